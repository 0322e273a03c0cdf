/*
 * provider.h
 *		The SCIM protocol as a function: request in, response out (RFC 7644 3).
 *		Knows nothing of sockets.
 */
#ifndef SCIM_PROVIDER_H
#define SCIM_PROVIDER_H

#include "lib/stringinfo.h"

#include "../catalog/catalog.h"

/* All texts are NUL-terminated; a header that was not sent is NULL. */
typedef struct ScimRequest
{
	const char *method;			/* exact case */
	const char *path;			/* raw (percent-encoded) path, without query */
	const char *query;			/* raw query without "?", or NULL */
	const char *authorization;
	const char *content_type;
	const char *accept;
	const char *if_match;
	const char *if_none_match;
	const char *prefer;
	const char *body;			/* may hold NUL bytes */
	size_t		body_len;
	/* called before each operation of a Bulk, which has a time limit of its own; or NULL */
	void		(*next_operation) (void);
	bool		flush_later;	/* the caller waits until the commit is durable */
} ScimRequest;

typedef struct ScimResponse
{
	int			status;
	const char *content_type;	/* NULL: no body */
	const char *location;
	const char *etag;
	const char *allow;
	const char *www_authenticate;
	int			retry_after;	/* seconds; 0: no header */
	bool		suppress_body;	/* HEAD */
	StringInfoData body;
} ScimResponse;

/*
 * Serve one HTTP request: authenticate, run it in a transaction of its own as
 * the endpoint's owner, commit, and only then return.  Called outside any
 * transaction by a worker; never raises an ERROR (FATAL passes).  The response
 * lives in "context".
 *
 * With request->flush_later the commit may not be durable yet: then
 * XactLastCommitEnd has moved, and up to there the log must be flushed before
 * anybody hears of a success.
 */
extern void scim_provider_serve(const ScimRequest *request, MemoryContext context, ScimResponse *response);

#endif							/* SCIM_PROVIDER_H */
