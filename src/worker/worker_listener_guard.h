/*
 * worker_listener_guard.h
 *		What of a request's head is let through (threat-and-fault-model H2).
 *		Plain C, seen by neither the server's nor the HTTP library's headers.
 */
#ifndef SCIM_WORKER_LISTENER_GUARD_H
#define SCIM_WORKER_LISTENER_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * State while the lines of one head are looked at.  Pointers are the caller's
 * texts.  Once "status" is set, what follows changes nothing.
 */
typedef struct ScimGuard
{
	int			status;			/* 0: nothing wrong so far */
	const char *detail;			/* static text, or "limit" */
	char		limit[80];
	size_t		head_bytes;		/* as it stood on the wire, but for blanks */
	size_t		max_head;
	bool		http11;
	bool		has_host;
	bool		has_length;
	bool		chunked;
	uint64_t	length;			/* valid if has_length */
	const char *authorization;
	const char *content_type;
	const char *accept;
	const char *if_match;
	const char *if_none_match;
	const char *prefer;
} ScimGuard;

/* Begin with the request line.  "target" is raw, NULL if it was too long. */
extern void scim_guard_begin(ScimGuard *guard, size_t max_head, const char *method,
							 const char *target, size_t target_len, const char *version);

/* One header line; "value" is NUL-terminated. */
extern void scim_guard_header(ScimGuard *guard, const char *name, size_t name_len,
							  const char *value, size_t value_len);

/* Anything else that the caller has found; "detail" is static text. */
extern void scim_guard_refuse(ScimGuard *guard, int status, const char *detail);

/* What to say of a body over the limit. */
extern void scim_guard_too_large(char *buffer, size_t size, size_t max_body);

/* After the last line: what only the whole head tells. */
extern void scim_guard_end(ScimGuard *guard, size_t max_body);

#endif							/* SCIM_WORKER_LISTENER_GUARD_H */
