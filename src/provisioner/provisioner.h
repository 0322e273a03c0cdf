/*
 * provisioner.h
 *		The outbound side: syncs, and the changes captured for them.
 *
 * A sync pushes the rows of a mapping to a foreign server.  Triggers on the
 * mapped relations queue the keys of changed rows in scim._dirty, in the
 * transaction of the change.
 */
#ifndef SCIM_PROVISIONER_H
#define SCIM_PROVISIONER_H

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

#include "../client/client.h"

/* Keys in one row of scim._dirty. */
#define SCIM_DIRTY_KEYS 1000

/* Days after which what is refused, or waits, is given up, unless the sync says otherwise. */
#define SCIM_ESCROW_DAYS 28

/* Seconds after which all rows are looked at again, likewise. */
#define SCIM_RECONCILE_SECONDS (24 * 60 * 60)

/* What a sync may do at its server; none: it only matches. */
#define SCIM_SYNC_CREATE 0x1
#define SCIM_SYNC_UPDATE 0x2
#define SCIM_SYNC_DELETE 0x4

typedef enum ScimSyncState
{
	SCIM_SYNC_CONFIGURED,		/* never started */
	SCIM_SYNC_ACTIVE,
	SCIM_SYNC_PAUSED,
	SCIM_SYNC_QUARANTINED,
	SCIM_SYNC_DISABLED
} ScimSyncState;

typedef enum ScimSyncApply
{
	SCIM_APPLY_ALWAYS,
	SCIM_APPLY_CREATE_ONLY,
	SCIM_APPLY_IF_ABSENT,
	SCIM_APPLY_ADD_ONLY			/* values are added to a list, and none is taken away */
} ScimSyncApply;

typedef enum ScimSyncOnNull
{
	SCIM_NULL_REMOVE,			/* the target's value is removed */
	SCIM_NULL_SKIP,				/* the target's value stays */
	SCIM_NULL_DEFAULT
} ScimSyncOnNull;

/* What create_sync was told of an attribute; the others have the zeros. */
typedef struct ScimSyncAttribute
{
	const char *path;			/* as it was written */
	int			match;			/* rank among the matching attributes; 0: it is none */
	ScimSyncApply apply;
	ScimSyncOnNull on_null;
	const char *default_value;	/* JSON text; only with SCIM_NULL_DEFAULT */
} ScimSyncAttribute;

/* What becomes of a resource that is at the target already and matches. */
typedef enum ScimSyncAdopt
{
	SCIM_ADOPT_AUTO,			/* it is the row's */
	SCIM_ADOPT_APPROVE,			/* it is, when somebody has approved that */
	SCIM_ADOPT_NEVER			/* a conflict */
} ScimSyncAdopt;

typedef struct ScimSync
{
	int64		id;
	const char *name;
	int64		mapping_id;
	const char *mapping;
	const char *server;			/* name; may have gone since */
	Oid			owner;			/* the mapping's */
	const char *scope;			/* SQL condition over the relation (alias r), or NULL */
	int			actions;		/* of SCIM_SYNC_CREATE, ... */
	Interval	delete_after;
	int			nattributes;
	ScimSyncAttribute *attributes;
	ScimSyncAdopt adopt;
	int			guard_count;	/* disables and deletes in an hour that need no approval, */
	double		guard_percent;	/* or so many of a hundred linked rows, whichever is more */
	bool		create_inactive;	/* rows that say active: false are created, too */
	bool		flatten_groups; /* members of inner groups are members of the outer ones */
	int			recreate_count; /* resources that have gone from the target and are made anew in an hour without approval; -1: not said */
	int64		drift_seconds;	/* between looks at what has changed at the target; 0: none */
	int64		reconcile_seconds;	/* between reconciles of all rows; 0: only when something asks for one */
	TimestampTz reconciled_at;	/* when the last one ended */
	bool		drift_repair;	/* and it is changed back */
	TimestampTz drift_at;		/* when that was done last */
	bool		log_values;		/* what changes is logged with its values */
	int			escrow_days;	/* what is refused, or waits for other rows, is given up after so many */
	ScimSyncState state;
	const char *state_reason;	/* or NULL */
	const char *home;			/* where it was started (provisioner_guard.h), or NULL */
} ScimSync;

/*
 * ---- the engine (provisioner_work.c): what the sync worker drives ----
 *
 * Requests and responses pass as values; no socket is known here.  None of
 * these may be called in a transaction.
 */
typedef struct ScimProvisioner ScimProvisioner;

extern ScimProvisioner *scim_provisioner_create(void);
extern void scim_provisioner_destroy(ScimProvisioner *p);	/* after the client */

/*
 * Do what is due: look at answers, take over the queue, decide what to send.
 * "woken": look also which syncs there are.  Errors of one sync are its own:
 * they are logged, and it is tried again later.
 */
extern void scim_provisioner_work(ScimProvisioner *p, bool woken);

/* The next request to send now, valid until the next call; false: none. */
extern bool scim_provisioner_next(ScimProvisioner *p, const ScimClientTarget **target,
								  ScimClientRequest *request, void **tag);

/* Hand over the answer to a request (its tag says which), to be looked at by the next work. */
extern void scim_provisioner_answer(ScimProvisioner *p, ScimClientResponse *response);

/*
 * The tag of a request that nobody waits for any more, to be cancelled before the
 * next request is sent; NULL: none.  (The tag is only compared from here on.)
 */
extern void *scim_provisioner_cancelled(ScimProvisioner *p);

/* Milliseconds until work or a request is due; -1: when woken or answered. */
extern long scim_provisioner_wait(ScimProvisioner *p);

/* ---- syncs ---- */

extern void scim_provisioner_init(void);	/* from _PG_init: callbacks */

/*
 * The sync of this name, or NULL; all that are active, and the quarantined ones
 * whose probe is due, in order of their ids.
 * In the current memory context; inside scim_catalog_begin() and _end().
 */
extern ScimSync *scim_sync_by_name(const char *name);
extern List *scim_sync_list_active(void);

/*
 * Set state and reason (or NULL), and tell listeners of the channel scim_sync at
 * commit if the state is another; 42704 if the sync has gone.
 */
extern void scim_sync_set_state(int64 id, ScimSyncState state, const char *reason);

/*
 * Queue changed keys (text[] of up to SCIM_DIRTY_KEYS; the Datum 0: every row) of a
 * sync.  The worker is woken when the transaction commits.  Needs SPI to be
 * connected.
 */
extern void scim_sync_queue(int64 sync_id, Datum keys, const char *reason);

/* Has this transaction queued changes of a sync, or asked for the worker because of it? */
extern bool scim_sync_wake_is_pending(int64 sync_id);
/*
 * Replace what is queued for a sync by one entry that stands for every row: when
 * it starts anew, or when its queue has grown long while it did not run.  Needs
 * SPI to be connected.
 */
extern void scim_sync_restart_queue(int64 sync_id);

/*
 * Wake the worker when the transaction, or subtransaction and all above, commit;
 * 0: because of no sync in particular.
 */
extern void scim_sync_wake_at_commit(int64 sync_id);

/* Room for the key of a row, or so much of it. */
#define SCIM_SLOW_KEY 128

/*
 * What outlives the process of the sync worker: the worker floor says where that
 * is.
 */
typedef struct ScimSyncMemory
{
	int64		overtime;		/* sync whose work had to be ended with the process; 0: none */
	char		slow_key[SCIM_SLOW_KEY];	/* and the row that it was about; "": several */
	int64		suspect;		/* sync that this has happened to, */
	int			ends;			/* and how often */
} ScimSyncMemory;

extern ScimSyncMemory *scim_sync_memory;

/*
 * What wakes the worker: called after the commit of a transaction that asked for
 * it, must not raise.  Set by the worker floor; NULL: nobody to wake.
 */
extern void (*scim_wake_sync) (void);

#endif							/* SCIM_PROVISIONER_H */
