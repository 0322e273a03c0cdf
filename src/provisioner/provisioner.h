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

/* Keys in one row of scim._dirty. */
#define SCIM_DIRTY_KEYS 1000

/* What a sync may do at its server. */
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
	SCIM_APPLY_IF_ABSENT
} ScimSyncApply;

typedef enum ScimSyncOnNull
{
	SCIM_NULL_SKIP,
	SCIM_NULL_REMOVE,
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
	ScimSyncState state;
	const char *state_reason;	/* or NULL */
} ScimSync;

extern void scim_provisioner_init(void);	/* from _PG_init: callbacks */

/*
 * The sync of this name, or NULL; all that are active, in order of their ids.
 * In the current memory context; inside scim_catalog_begin() and _end().
 */
extern ScimSync *scim_sync_by_name(const char *name);
extern List *scim_sync_list_active(void);

/* Set state and reason (or NULL); 42704 if the sync has gone. */
extern void scim_sync_set_state(int64 id, ScimSyncState state, const char *reason);

/*
 * Queue changed keys (text[] of up to SCIM_DIRTY_KEYS; the Datum 0: every row) of a
 * sync.  The worker is woken when the transaction commits.  Needs SPI to be
 * connected.
 */
extern void scim_sync_queue(int64 sync_id, Datum keys, const char *reason);

/*
 * Replace what is queued for a sync by one entry that stands for every row: when
 * it starts anew, or when its queue has grown long while it did not run.  Needs
 * SPI to be connected.
 */
extern void scim_sync_restart_queue(int64 sync_id);

/* Wake the worker when the transaction, or subtransaction and all above, commit. */
extern void scim_sync_wake_at_commit(void);

/*
 * What wakes the worker: called after the commit of a transaction that asked for
 * it, must not raise.  Set by the worker floor; NULL: nobody to wake.
 */
extern void (*scim_wake_sync) (void);

#endif							/* SCIM_PROVISIONER_H */
