/*
 * worker_listener_limit.h
 *		Limit on failed authentications of one address, in memory only
 *		(threat-and-fault-model H5).  Plain C.
 */
#ifndef SCIM_WORKER_LISTENER_LIMIT_H
#define SCIM_WORKER_LISTENER_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

struct sockaddr;

/* Who connects: IPv4 mapped into IPv6, or the /64 of an IPv6 address. */
typedef struct ScimAddress
{
	unsigned char bytes[16];
} ScimAddress;

#define SCIM_LIMIT_SLOTS 1024
#define SCIM_LIMIT_GOOD_SLOTS 256

typedef struct ScimLimitSlot
{
	ScimAddress address;
	int64_t		window_at;		/* ms; 0: free */
	unsigned	failures;
} ScimLimitSlot;

/* All zeros to begin with. */
typedef struct ScimLimit
{
	ScimLimitSlot slots[SCIM_LIMIT_SLOTS];
	uint64_t	good[SCIM_LIMIT_GOOD_SLOTS];	/* hashes of accepted credentials */
} ScimLimit;

/* "sa" may be NULL. */
extern void scim_address_from(ScimAddress *address, const struct sockaddr *sa);

/* What came of a request; "credential" (the Authorization header) may be NULL. */
extern void scim_limit_failed(ScimLimit *limit, const ScimAddress *address, const char *credential, int64_t now);
extern void scim_limit_accepted(ScimLimit *limit, const char *credential);

/*
 * Seconds that a request has to wait; 0: none.  "max" failures are allowed (0:
 * any number).
 */
extern int	scim_limit_wait(const ScimLimit *limit, unsigned max, const ScimAddress *address, const char *credential, int64_t now);

#endif							/* SCIM_WORKER_LISTENER_LIMIT_H */
