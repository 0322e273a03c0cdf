/*
 * provisioner_retry.h
 *		What an answer of a target means, and how long to wait after it.
 */
#ifndef SCIM_PROVISIONER_RETRY_H
#define SCIM_PROVISIONER_RETRY_H

#include "../client/client.h"

typedef enum ScimVerdict
{
	SCIM_VERDICT_OK,
	SCIM_VERDICT_UNREACHED,		/* no byte was sent: the target's fault, costs the object nothing */
	SCIM_VERDICT_DOUBT,			/* sent, and nobody knows what became of it */
	SCIM_VERDICT_TRANSIENT,		/* 408, 425, 5xx: again later */
	SCIM_VERDICT_THROTTLED,		/* 429, or 503 with Retry-After: the whole target waits */
	SCIM_VERDICT_UNAUTHORIZED,	/* 401 */
	SCIM_VERDICT_FORBIDDEN,		/* 403 */
	SCIM_VERDICT_NOT_FOUND,		/* 404, 410 */
	SCIM_VERDICT_CONFLICT,		/* 409 */
	SCIM_VERDICT_CHANGED,		/* 412 */
	SCIM_VERDICT_TOO_LARGE,		/* 413 */
	SCIM_VERDICT_UNSUPPORTED,	/* 405, 501 */
	SCIM_VERDICT_MOVED,			/* 3xx: the server is set up with another address than the target's */
	SCIM_VERDICT_REFUSED,		/* other 4xx: no use to repeat it */
	SCIM_VERDICT_BARRED			/* by our own rules, which are about the server and no row: nothing was sent */
} ScimVerdict;

extern ScimVerdict scim_retry_verdict(const ScimClientResponse *response);
extern const char *scim_retry_verdict_name(ScimVerdict verdict);

/*
 * Seconds that a target asks for: Retry-After (seconds or an HTTP date), else
 * X-RateLimit-Reset and its kin (values over 10^9 are times, others seconds);
 * -1: it asks for nothing.  "now" is the time of this machine, seconds since
 * 1970.  A time is taken relative to the Date of the answer if it has one.
 * At most an hour.
 */
extern long scim_retry_wanted(const ScimClientResponse *response, long long now);

/* Requests that the target's quota leaves (or, limit: that it has in all), as the answer says; -1: it does not. */
extern long long scim_retry_left(const ScimClientResponse *response, bool limit);

/* Is the answer the last that the target's quota allows for now? */
extern bool scim_retry_exhausted(const ScimClientResponse *response);

/* Milliseconds: first * 2^attempt, at most "most", with full jitter. */
extern long scim_retry_backoff(int attempt, long first, long most);

/*
 * Why a target refused, for people: the detail of a SCIM error, the texts of
 * {"errors": [...]}, "message" or "error", else the beginning of the body.
 * Printable, at most 400 bytes, without the secret.  In the current context.
 */
extern char *scim_retry_reason(const ScimClientResponse *response, const char *secret);

#endif							/* SCIM_PROVISIONER_RETRY_H */
