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

/* This server and database, as a text that a copy of them does not have. */
extern char *scim_guard_home(void);

/* The sync belongs here from now on. */
extern void scim_guard_settle(int64 sync_id);

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

/* Every linked row waits for approval: the source has become empty. */
extern void scim_guard_stage_all(int64 sync_id);

/* ---- resources that have gone ---- */

/*
 * The target has the row's resource no more, and that counts.  False: there
 * were as many in this hour as are made anew without approval.
 */
extern bool scim_guard_may_recreate(const ScimSyncView *view, const char *key);

/* ---- quarantine ---- */

/* Set the state quarantined, and when the target is probed; a WARNING once per reason. */
extern void scim_guard_quarantine(const ScimSync *sync, const char *reason);

#endif							/* SCIM_PROVISIONER_GUARD_H */
