/*
 * core_shim.h
 *		The one door between core and whatever hosts it: memory.
 *
 * Core is the SCIM data language in plain C over jansson.  It includes no
 * header of the server, raises nothing, and reports every failure as a value.
 * It takes memory through scim_alloc() and friends, which return NULL when
 * memory, or the budget of the request, is used up.  Two implementations
 * exist in core_shim.c: inside PostgreSQL the memory comes from the memory
 * context that was current at scim_core_enter(); with -DSCIM_STANDALONE it
 * comes from malloc, is remembered in an arena, and every n-th allocation can
 * be made to fail.
 *
 * Rules:
 *	- Every public function of core that may create, change or free a json_t
 *	  runs between scim_core_enter() and scim_core_leave() (it brackets itself;
 *	  brackets nest).  Inside, jansson allocates through this shim; outside,
 *	  jansson is as we found it, because another extension in this process may
 *	  use it too.
 *	- Outside a bracket a json_t may only be read (json_object_get,
 *	  json_string_value, iteration, ...): never json_decref, json_incref,
 *	  json_object_set.
 *	- Nothing needs to be freed: memory goes with the context (arena).  Freeing
 *	  is allowed, and worth it only in loops.
 */
#ifndef SCIM_CORE_SHIM_H
#define SCIM_CORE_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ScimCoreFrame
{
	void	   *saved_context;	/* where scim_alloc() allocated before */
} ScimCoreFrame;

extern void scim_core_enter(ScimCoreFrame *frame);
extern void scim_core_leave(ScimCoreFrame *frame);

/* After an error has jumped over the end of a bracket: none is open. */
extern void scim_core_reset(void);

/*
 * Starts a new budget: at most "limit" bytes may be held until the next call.
 * No allocation has failed so far.
 */
extern void scim_heap_begin(size_t limit);

extern void *scim_alloc(size_t size);
extern void *scim_alloc0(size_t size);
extern void *scim_realloc(void *p, size_t size);
extern void scim_free(void *p);
extern char *scim_strndup(const char *s, size_t len);

/*
 * Has an allocation failed since scim_heap_begin()?  To be asked after
 * functions that answer a question: their answer means nothing then.
 */
extern bool scim_alloc_failed(void);

/*
 * jansson's parser does not survive lack of memory: its lexer asserts, or
 * writes behind its buffer, when the buffer cannot grow.  So what it will need
 * is set aside before: from scim_reserve_begin() on, which returns false when
 * there is not that much, jansson's allocations are cut from one of "size"
 * bytes, SCIM_PIECE(n) for n, and single ones only if that were too small.
 * scim_reserve_end() says how many bytes were left.  What was set aside is
 * freed when all of its pieces are.  Both are called in one bracket.
 */
#define SCIM_PIECE(size) (sizeof(uint64_t) + (((size_t) (size) + 7) & ~(size_t) 7))

extern bool scim_reserve_begin(size_t size);
extern size_t scim_reserve_end(void);

#ifdef SCIM_STANDALONE
extern void scim_arena_reset(void);			/* frees all that scim_alloc gave */
extern void scim_arena_keep(void);			/* but not what it gave before this */
/* From the n-th allocation on all fail (0: none); only the n-th fails.  None has failed so far. */
extern void scim_alloc_fail_at(long n);
extern void scim_alloc_fail_once(long n);
extern long scim_alloc_count(void);			/* allocations since scim_alloc_fail_at() */
#endif

#endif							/* SCIM_CORE_SHIM_H */
