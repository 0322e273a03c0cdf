/*
 * core_shim.c
 *		Memory for core: from a memory context of the server, or from an arena
 *		of malloc (see core_shim.h).
 */
#ifdef SCIM_STANDALONE
#include <stdlib.h>
#include <string.h>
#else
#include "postgres.h"

#include "utils/memutils.h"

#include "../compat.h"
#endif

#include "core_json.h"

static int	bracket_depth = 0;
static json_malloc_t outer_malloc;	/* jansson's functions outside all brackets */
static json_free_t outer_free;
static size_t heap_used = 0;
static size_t heap_limit = SIZE_MAX;
static bool failed = false;

/* What scim_reserve_begin() has set aside; the pieces follow. */
typedef struct Reserve
{
	uint64_t	live;			/* pieces in use */
} Reserve;

/*
 * Before each piece of memory that jansson holds: the reserve that it was cut
 * from, or NULL.  A reserve is freed with its last piece, also when jansson
 * frees that much later.
 */
typedef struct Piece
{
	union
	{
		Reserve    *reserve;
		uint64_t	pad;		/* keeps 8-byte alignment */
	}			of;
} Piece;

static Reserve *reserve = NULL; /* the one at work */
static char *reserve_free;		/* the part of it that is left */
static size_t reserve_left;

#ifndef SCIM_STANDALONE

/* Where scim_alloc() allocates; valid inside a bracket. */
static MemoryContext heap_context = NULL;

void *
scim_alloc(size_t size)
{
	MemoryContext context = heap_context ? heap_context : CurrentMemoryContext;
	void	   *p = NULL;

	if (size == 0)
		size = 1;
	if (AllocSizeIsValid(size) && heap_used + size <= heap_limit)
		p = MemoryContextAllocExtended(context, size, MCXT_ALLOC_NO_OOM);
	if (p != NULL)
		heap_used += GetMemoryChunkSpace(p);
	else
		failed = true;
	return p;
}

void
scim_free(void *p)
{
	size_t		space;

	if (p == NULL)
		return;
	space = GetMemoryChunkSpace(p);
	heap_used = heap_used > space ? heap_used - space : 0;
	pfree(p);
}

#else							/* SCIM_STANDALONE */

/* Every block is preceded by its links in the arena and its size. */
typedef struct ArenaBlock
{
	struct ArenaBlock *prev;
	struct ArenaBlock *next;
	size_t		size;
	size_t		pad;			/* keeps 16-byte alignment */
} ArenaBlock;

static ArenaBlock *arena = NULL;	/* the newest comes first */
static ArenaBlock *kept = NULL;	/* from here on nothing is reset */
static long alloc_count = 0;
static long alloc_fail_at = 0;
static bool alloc_fail_single = false;

void *
scim_alloc(size_t size)
{
	ArenaBlock *block = NULL;

	alloc_count++;
	if ((alloc_fail_at == 0 || alloc_count < alloc_fail_at || (alloc_fail_single && alloc_count > alloc_fail_at)) &&
		size <= SIZE_MAX / 2 && heap_used + size <= heap_limit)
		block = malloc(sizeof(ArenaBlock) + (size ? size : 1));
	if (block == NULL)
	{
		failed = true;
		return NULL;
	}
	block->prev = NULL;
	block->next = arena;
	block->size = size;
	if (arena)
		arena->prev = block;
	arena = block;
	heap_used += size;
	return block + 1;
}

void
scim_free(void *p)
{
	ArenaBlock *block;

	if (p == NULL)
		return;
	block = (ArenaBlock *) p - 1;
	if (block == kept)
		kept = block->next;
	if (block->prev)
		block->prev->next = block->next;
	else
		arena = block->next;
	if (block->next)
		block->next->prev = block->prev;
	heap_used = heap_used > block->size ? heap_used - block->size : 0;
	free(block);
}

void
scim_arena_reset(void)
{
	while (arena != kept)
		scim_free(arena + 1);
	heap_used = 0;
}

void
scim_arena_keep(void)
{
	kept = arena;
}

void
scim_alloc_fail_at(long n)
{
	alloc_count = 0;
	alloc_fail_at = n;
	alloc_fail_single = false;
	failed = false;
}

void
scim_alloc_fail_once(long n)
{
	scim_alloc_fail_at(n);
	alloc_fail_single = true;
}

long
scim_alloc_count(void)
{
	return alloc_count;
}

#endif							/* SCIM_STANDALONE */

void
scim_heap_begin(size_t limit)
{
	heap_used = 0;
	heap_limit = limit;
	failed = false;
}

bool
scim_alloc_failed(void)
{
	return failed;
}

void *
scim_alloc0(size_t size)
{
	void	   *p = scim_alloc(size);

	if (p != NULL)
		memset(p, 0, size);
	return p;
}

void *
scim_realloc(void *p, size_t size)
{
	void	   *fresh = scim_alloc(size);
	size_t		old;

	if (p == NULL || fresh == NULL)
		return fresh;
#ifdef SCIM_STANDALONE
	old = ((ArenaBlock *) p - 1)->size;
#else
	old = GetMemoryChunkSpace(p) - SCIM_CHUNK_HEADER;
#endif
	memcpy(fresh, p, old < size ? old : size);
	scim_free(p);
	return fresh;
}

char *
scim_strndup(const char *s, size_t len)
{
	char	   *copy = scim_alloc(len + 1);

	if (copy != NULL)
	{
		memcpy(copy, s, len);
		copy[len] = '\0';
	}
	return copy;
}

/* ---- jansson's allocator ---- */

static void *
jansson_alloc(size_t size)
{
	Piece	   *piece = NULL;

	if (reserve != NULL && size <= reserve_left && SCIM_PIECE(size) <= reserve_left)
	{
		piece = (Piece *) reserve_free;
		piece->of.reserve = reserve;
		reserve_free += SCIM_PIECE(size);
		reserve_left -= SCIM_PIECE(size);
		reserve->live++;
		return piece + 1;
	}
	if (size <= SIZE_MAX - sizeof(Piece))
		piece = scim_alloc(sizeof(Piece) + size);
	if (piece == NULL)
		return NULL;
	piece->of.reserve = NULL;
	return piece + 1;
}

static void
jansson_free(void *p)
{
	Piece	   *piece = (Piece *) p - 1;
	Reserve    *from = piece->of.reserve;

	if (from == NULL)
		scim_free(piece);
	else if (--from->live == 0 && from != reserve)
		scim_free(from);
}

bool
scim_reserve_begin(size_t size)
{
	reserve = size <= SIZE_MAX - sizeof(Reserve) ? scim_alloc(sizeof(Reserve) + size) : NULL;
	if (reserve == NULL)
		return false;
	reserve->live = 0;
	reserve_free = (char *) (reserve + 1);
	reserve_left = size;
	return true;
}

size_t
scim_reserve_end(void)
{
	Reserve    *ended = reserve;

	reserve = NULL;
	if (ended->live == 0)
		scim_free(ended);
	return reserve_left;
}

/* ---- brackets ---- */

void
scim_core_enter(ScimCoreFrame *frame)
{
	frame->saved_context = NULL;
	if (bracket_depth++ == 0)
	{
		json_get_alloc_funcs(&outer_malloc, &outer_free);
		json_set_alloc_funcs(jansson_alloc, jansson_free);
	}
#ifndef SCIM_STANDALONE
	frame->saved_context = heap_context;
	heap_context = CurrentMemoryContext;
#endif
}

void
scim_core_leave(ScimCoreFrame *frame)
{
#ifndef SCIM_STANDALONE
	heap_context = (MemoryContext) frame->saved_context;
#else
	(void) frame;
#endif
	if (--bracket_depth == 0)
		json_set_alloc_funcs(outer_malloc, outer_free);
}

/*
 * After an error has jumped over a bracket's end: jansson as it was, no
 * bracket open.
 */
void
scim_core_reset(void)
{
	if (bracket_depth > 0)
		json_set_alloc_funcs(outer_malloc, outer_free);
	bracket_depth = 0;
	reserve = NULL;
#ifndef SCIM_STANDALONE
	heap_context = NULL;
#endif
}
