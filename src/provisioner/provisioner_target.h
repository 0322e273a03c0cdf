/*
 * provisioner_target.h
 *		The servers that requests go to: what they are as the catalogs have it,
 *		and how fast they may be asked (provisioning-engine 2.8, throttle).
 *
 * All syncs to a server share its limits.  Times are milliseconds of a clock
 * that only goes forward.
 */
#ifndef SCIM_PROVISIONER_TARGET_H
#define SCIM_PROVISIONER_TARGET_H

#include "provisioner_flight.h"

typedef struct ScimTargetRun
{
	dlist_node	node;
	MemoryContext context;		/* of the texts */
	char	   *name;
	char	   *secret;
	ScimClientTarget wire;
	double		rate;			/* requests a second; 0: no limit */
	double		burst;
	double		tokens;
	int64		tokens_at;
	double		creates_per_second; /* 0: no limit */
	double		creates_burst;
	double		creates;		/* that may go now */
	int64		creates_at;
	int			concurrency;	/* requests at the same time, at most, */
	double		window;			/* and as many as go well */
	int64		halved_at;
	long		pace_ms;		/* between requests, while the target has few left; 0: none */
	int64		pace_until;
	int64		sent_at;
	int64		blocked_until;
	int			unreached;		/* in a row */
	int			in_flight;
	bool		used;			/* by a sync of this round */
} ScimTargetRun;

extern int64 scim_target_now(void);

/*
 * As the catalogs have the server now, in a list of targets; what is known of
 * its state stays.  In a transaction.
 */
extern ScimTargetRun *scim_target_refresh(dlist_head *targets, MemoryContext context, const ScimServer *server,
										  const char *secret);

/* Milliseconds until the target may be asked; 0: now.  -1: when an answer has come. */
extern long scim_target_wait(ScimTargetRun *target, int64 now);

/* Milliseconds until it may be asked to create; 0: now. */
extern long scim_target_create_wait(ScimTargetRun *target, int64 now);

/* A request goes out; its answer has come. */
extern void scim_target_sent(ScimTargetRun *target, bool create, int64 now);
extern void scim_target_answered(ScimTargetRun *target, const ScimClientResponse *response, int64 now);

#endif							/* SCIM_PROVISIONER_TARGET_H */
