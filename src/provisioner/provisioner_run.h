/*
 * provisioner_run.h
 *		What the engine holds in memory of a sync that it works on.
 */
#ifndef SCIM_PROVISIONER_RUN_H
#define SCIM_PROVISIONER_RUN_H

#include "provisioner_scan.h"
#include "provisioner_target.h"

/* While the target's list is read, rows are looked at as often. */
#define SCIM_LIST_MS 1000

typedef struct ScimSyncRun
{
	dlist_node	node;
	int64		id;
	char		name[NAMEDATALEN * 4];
	ScimTargetRun *target;
	dlist_head	flights;
	int			nflights;
	int			nanswers;		/* flights with an answer that nobody has looked at */
	bool		idle_rows;		/* nearly all rows taken up last needed no request */
	bool		claimed;		/* this process holds the lock of the sync */
	bool		recovered;		/* what another process left in flight was looked at */
	bool		wanted;			/* is among the active syncs */
	bool		probing;		/* it is quarantined, and this is the probe */
	int			forbidden;		/* 403 in a row */
	int64		window_at;		/* ms: since when the next two count */
	int			finished;		/* flights */
	int			parked;			/* of these, refused for good */
	int64		due_at;			/* ms: when there is something to do without an answer */
	ScimScan	scan;			/* of the target's list */
	int64		scan_at;		/* ms: not again before */
	int64		linked_at;		/* ms: while it is read, rows whose resource is known are looked at now and then */
	char	   *reconciled;		/* key up to which a reconcile has come; NULL: none is under way */
} ScimSyncRun;

struct ScimProvisioner
{
	MemoryContext context;
	dlist_head	targets;
	dlist_head	syncs;
	int64		refresh_at;		/* ms: look again which syncs there are; 0: when woken */
};

/* A flight goes among those of the sync. */
extern void scim_run_begin(ScimSyncRun *run, ScimFlight *flight);

/* A sync that works says nothing (NULL); another says what keeps it from it. */
extern void scim_run_tell(const ScimSync *sync, const char *reason);

/* ---- the target's list (provisioner_list.c) ---- */

/*
 * Where many rows are to be matched, or no query can do it, begin to read the
 * target's list.  What was read counts until there is nothing more to do.
 */
extern void scim_list_want(ScimProvisioner *p, ScimSyncRun *run, const ScimSyncView *view, int64 now);

/* The answer to a request for a page; NULL: it is none. */
extern void scim_list_take(ScimProvisioner *p, ScimSyncRun *run, const ScimSyncView *view, const json_t *page, int64 now);

/* Are rows without a resource to wait for it? */
extern bool scim_list_awaited(const ScimSyncRun *run, const ScimSyncView *view);

#endif							/* SCIM_PROVISIONER_RUN_H */
