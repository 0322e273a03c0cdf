/*
 * provisioner_ddl.c
 *		The event trigger by which syncs follow other people's DDL.
 *
 * A new partition or inheritance child of a captured relation gets the
 * triggers; what changes rows behind the triggers' back has the syncs
 * reconcile; a server that is renamed is known by its new name.  Nothing here
 * makes a command fail: an error becomes a warning.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/event_trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "nodes/parsenodes.h"
#include "tcop/cmdtag.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/resowner.h"

#include "provisioner_internal.h"
#include "../catalog/catalog.h"

PG_FUNCTION_INFO_V1(scim_sync_ddl);

static bool
any_capture(void)
{
	if (scim_own_execute("any capture", "SELECT 1 FROM scim._captures LIMIT 1", 0, NULL, NULL, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read scim._captures");
	return SPI_processed > 0;
}

/* A foreign table has come to a tree: from now on all others go by rows. */
static void
put_row_triggers(Oid relid)
{
	Oid			types[1] = {OIDOID};
	Datum		values[1];
	List	   *relids = NIL;
	ListCell   *lc;

	values[0] = ObjectIdGetDatum(relid);
	if (scim_own_execute("foreign tree",
						 "WITH RECURSIVE watched (relation) AS (SELECT c.relation::pg_catalog.oid FROM scim._captures c"
						 " UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i, watched w"
						 " WHERE i.inhparent OPERATOR(pg_catalog.=) w.relation),"
						 " up (relation) AS (VALUES ($1)"
						 " UNION SELECT i.inhparent FROM pg_catalog.pg_inherits i, up u"
						 " WHERE i.inhrelid OPERATOR(pg_catalog.=) u.relation),"
						 " tree (relation) AS (SELECT u.relation FROM up u"
						 " UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i, tree t"
						 " WHERE i.inhparent OPERATOR(pg_catalog.=) t.relation)"
						 " SELECT r.oid FROM pg_catalog.pg_class r"
						 " WHERE r.relkind OPERATOR(pg_catalog.=) ANY ('{r,p}')"
						 " AND r.oid OPERATOR(pg_catalog.=) ANY (SELECT t.relation FROM tree t)"
						 " AND r.oid OPERATOR(pg_catalog.=) ANY (SELECT w.relation FROM watched w)"
						 " ORDER BY r.oid",
						 1, types, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read pg_inherits");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;

		relids = lappend_oid(relids, DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull)));
	}
	foreach(lc, relids)
		scim_capture_put_triggers(lfirst_oid(lc), true);
}

/*
 * Put triggers on the watched relations that the command has touched: new parts
 * of one, or those that a subscription writes to from now on.
 */
static void
put_missing_triggers(void)
{
	List	   *relids = NIL;
	ListCell   *lc;

	if (scim_own_execute("new parts",
						 "WITH RECURSIVE watched (relation) AS (SELECT c.relation::pg_catalog.oid FROM scim._captures c"
						 " UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i, watched w"
						 " WHERE i.inhparent OPERATOR(pg_catalog.=) w.relation),"
						 " command (class, object) AS (SELECT d.classid, d.objid FROM pg_catalog.pg_event_trigger_ddl_commands() d),"
						 " touched (relation) AS ((SELECT c.object FROM command c"
						 " WHERE c.class OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass"
						 " UNION SELECT s.srrelid FROM command c, pg_catalog.pg_subscription_rel s"
						 " WHERE c.class OPERATOR(pg_catalog.=) 'pg_catalog.pg_subscription'::pg_catalog.regclass"
						 " AND s.srsubid OPERATOR(pg_catalog.=) c.object)"
						 " UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i, touched t"
						 " WHERE i.inhparent OPERATOR(pg_catalog.=) t.relation)"
						 " SELECT r.oid FROM pg_catalog.pg_class r"
						 " WHERE r.relkind OPERATOR(pg_catalog.=) ANY ('{r,p,f}')"
						 " AND r.oid OPERATOR(pg_catalog.=) ANY (SELECT t.relation FROM touched t)"
						 " AND r.oid OPERATOR(pg_catalog.=) ANY (SELECT w.relation FROM watched w)"
						 " ORDER BY r.oid",
						 0, NULL, NULL, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read scim._captures");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;

		relids = lappend_oid(relids, DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull)));
	}
	foreach(lc, relids)
	{
		Oid			relid = lfirst_oid(lc);

		if (get_rel_relkind(relid) == RELKIND_FOREIGN_TABLE)
			put_row_triggers(relid);
		else
			scim_capture_put_triggers(relid, scim_capture_by_row(relid));
	}
}

/*
 * A partition that was attached or detached, a column of another type, triggers
 * that were off and are on again: rows that changed and no trigger saw it.
 */
static void
queue_altered_relations(void)
{
	List	   *sync_ids = NIL;
	List	   *mappings = NIL;
	ListCell   *lc;

	if (scim_own_execute("altered relations",
						 "WITH RECURSIVE altered (relation) AS (SELECT d.objid FROM pg_catalog.pg_event_trigger_ddl_commands() d"
						 " WHERE d.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass"
						 " UNION SELECT i.inhparent FROM pg_catalog.pg_inherits i, altered a"
						 " WHERE i.inhrelid OPERATOR(pg_catalog.=) a.relation)"
						 " SELECT DISTINCT c.sync_id, m.name FROM scim._captures c"
						 " LEFT JOIN scim._mappings m ON m.id OPERATOR(pg_catalog.=) c.mapping_id"
						 " WHERE c.relation OPERATOR(pg_catalog.=) ANY (SELECT a.relation FROM altered a) ORDER BY 1, 2",
						 0, NULL, NULL, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read scim._captures");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		int64	   *sync_id = palloc(sizeof(int64));

		*sync_id = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
		if (isnull)
			mappings = lappend(mappings, SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2));
		else
			sync_ids = lappend(sync_ids, sync_id);
	}
	foreach(lc, sync_ids)
		scim_sync_queue(*(int64 *) lfirst(lc), (Datum) 0, "full");
	scim_catalog_begin();
	foreach(lc, mappings)
		scim_track_all(scim_mapping_row((char *) lfirst(lc)));
	scim_catalog_end();
}

/* Syncs know their server by its name. */
static void
follow_server(const RenameStmt *stmt)
{
	Oid			types[2] = {TEXTOID, TEXTOID};
	Datum		values[2];

	values[0] = CStringGetTextDatum(strVal(stmt->object));
	values[1] = CStringGetTextDatum(stmt->newname);
	if (scim_own_execute("rename server",
						 "UPDATE scim._syncs SET server = $2 WHERE server OPERATOR(pg_catalog.=) $1",
						 2, types, values, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not write scim._syncs");
	if (scim_own_execute("rename server of secret",
						 "UPDATE scim._secrets SET server = $2 WHERE server OPERATOR(pg_catalog.=) $1",
						 2, types, values, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not write scim._secrets");
}

/* What kept its target from answering may be mended: it is not waited for the next probe. */
static void
probe_server(const char *name)
{
	Oid			types[1] = {TEXTOID};
	Datum		values[1] = {CStringGetTextDatum(name)};

	if (scim_own_execute("probe server",
						 "UPDATE scim._syncs SET probe_at = pg_catalog.clock_timestamp()"
						 " WHERE server OPERATOR(pg_catalog.=) $1 AND state OPERATOR(pg_catalog.=) 'quarantined'",
						 1, types, values, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not write scim._syncs");
	if (SPI_processed > 0)
		scim_sync_wake_at_commit(0);
}

/* What a command may have done that concerns us. */
typedef struct CommandEffect
{
	bool		parts;			/* a new part of a watched relation, or a subscription */
	bool		rows;			/* rows changed behind the triggers' back */
	bool		renamed;		/* a server has another name, */
	bool		options;		/* or other options */
} CommandEffect;

/*
 * Most commands are none of our business; above all those of a restore, which
 * makes the triggers itself, later.
 */
static CommandEffect
classify_command(const EventTriggerData *event)
{
	CommandEffect effect = {0};
	ListCell   *lc;

	if (event->tag == CMDTAG_ALTER_SERVER)
	{
		effect.renamed = IsA(event->parsetree, RenameStmt);
		effect.options = IsA(event->parsetree, AlterForeignServerStmt);
		return effect;
	}
	effect.parts = event->tag != CMDTAG_ALTER_TABLE && event->tag != CMDTAG_ALTER_FOREIGN_TABLE;
	if (effect.parts || !IsA(event->parsetree, AlterTableStmt))
		return effect;
	foreach(lc, ((AlterTableStmt *) event->parsetree)->cmds)
	{
		switch (lfirst_node(AlterTableCmd, lc)->subtype)
		{
			case AT_AttachPartition:
			case AT_AddInherit:
				effect.parts = true;
				effect.rows = true;
				break;
			case AT_DetachPartition:
			case AT_DetachPartitionFinalize:
			case AT_DropInherit:
			case AT_AlterColumnType:
			case AT_EnableTrig:
			case AT_EnableAlwaysTrig:
			case AT_EnableTrigAll:
			case AT_EnableTrigUser:
				effect.rows = true;
				break;
			default:
				break;
		}
	}
	return effect;
}

/*
 * Event trigger: ddl_command_end of CREATE and ALTER of (foreign) tables and
 * subscriptions, CREATE SCHEMA (which may hold a CREATE TABLE), ALTER SERVER.
 * It is other people's DDL: what fails here is a warning, and left to reconcile.
 */
Datum
scim_sync_ddl(PG_FUNCTION_ARGS)
{
	const EventTriggerData *event = (EventTriggerData *) fcinfo->context;
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	CommandEffect effect;

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("scim._sync_ddl can only be called as an event trigger")));
	effect = classify_command(event);
	if (!effect.parts && !effect.rows && !effect.renamed && !effect.options)
		PG_RETURN_NULL();

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		SPI_connect();
		if (effect.renamed)
			follow_server((const RenameStmt *) event->parsetree);
		else if (effect.options)
			probe_server(((const AlterForeignServerStmt *) event->parsetree)->servername);
		else if (any_capture())
		{
			if (effect.parts)
				put_missing_triggers();
			if (effect.rows)
				queue_altered_relations();
		}
		SPI_finish();
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(caller);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(caller);
		edata = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(caller);
		CurrentResourceOwner = owner;
		if (edata->sqlerrcode == ERRCODE_QUERY_CANCELED ||
			ERRCODE_TO_CATEGORY(edata->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
			ReThrowError(edata);
		ereport(WARNING,
				(errcode(edata->sqlerrcode),
				 errmsg("scim cannot follow what this command changed: %s", edata->message),
				 errhint("The views scim.syncs and scim.sync_captures show what is synced.")));
	}
	PG_END_TRY();
	PG_RETURN_NULL();
}
