/*
 * provisioner_guard.h
 *		What keeps a sync from doing harm: many disables at once, a copy of the
 *		database, a target that refuses everything (provisioning-engine 2.9,
 *		threat-and-fault-model S4, S5, C6).
 */
#ifndef SCIM_PROVISIONER_GUARD_H
#define SCIM_PROVISIONER_GUARD_H

#include "provisioner_engine.h"

/* ---- home ---- */

/*
 * Where a sync was started or resumed, as its text says (ScimSync), from here: this
 * server and database, on the timeline and from the base backup that its files
 * have now.  Not in recovery.
 */
typedef enum ScimHome
{
	SCIM_HOME_HERE,
	SCIM_HOME_PROMOTED,			/* and this was a standby of it when the postmaster started */
	SCIM_HOME_RESTORED,			/* and this is an earlier state of it */
	SCIM_HOME_ELSEWHERE			/* of which this is a copy, or NULL */
} ScimHome;

extern ScimHome scim_guard_home(const char *home);

/* The sync belongs here from now on; returns whether it did not. */
extern bool scim_guard_settle(const ScimSync *sync);

/* From _PG_init: looks how the server comes up. */
extern void scim_guard_init(void);

/* ---- disables and deletes ---- */

typedef struct ScimDeleteGuard
{
	bool		counted;
	int64		left;			/* how many may still go without approval */
} ScimDeleteGuard;

/*
 * Turn a decision to disable or delete into one that waits for approval, if
 * there were too many of them in this hour.  "guard" is zeroed at the beginning
 * of a transaction.
 */
extern void scim_guard_check(const ScimSyncView *view, ScimDeleteGuard *guard, const ScimLink *link,
							 ScimDecision *decision);

/* Every linked row waits for approval; those that are in scope go on at once. */
extern void scim_guard_stage_all(int64 sync_id, const char *reason);

/* ---- resources that have gone ---- */

/*
 * The target has the row's resource no more, and that counts.  False: there
 * were as many in this hour as are made anew without approval.
 */
extern bool scim_guard_may_recreate(const ScimSyncView *view, const char *key);

/* ---- quarantine ---- */

/*
 * Set the state quarantined, and when the target is probed; a WARNING once per
 * reason.  "unreached": it has never answered, and a probe costs nobody anything.
 */
extern void scim_guard_quarantine(const ScimSync *sync, const char *reason, bool unreached);

#endif							/* SCIM_PROVISIONER_GUARD_H */
