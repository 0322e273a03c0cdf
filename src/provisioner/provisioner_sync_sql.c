/*
 * provisioner_sync_sql.c
 *		SQL functions that make and drop syncs and change their state.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "provisioner_guard.h"
#include "provisioner_internal.h"
#include "../catalog/catalog.h"

PG_FUNCTION_INFO_V1(scim_create_sync);
PG_FUNCTION_INFO_V1(scim_alter_sync);
PG_FUNCTION_INFO_V1(scim_drop_sync);
PG_FUNCTION_INFO_V1(scim_start_sync);
PG_FUNCTION_INFO_V1(scim_pause_sync);
PG_FUNCTION_INFO_V1(scim_resume_sync);
PG_FUNCTION_INFO_V1(scim_mapping_altered);

/* The mapping of a new sync; what it may not be is said here. */
static ScimMappingRow *
sync_mapping(const char *name)
{
	ScimMappingRow *row = scim_mapping_row(name);

	if (row == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("mapping \"%s\" does not exist", name)));
	if (row->builtin)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("mapping \"%s\" of the built-in store cannot be synced", name),
				 errdetail("It has no owner whose rights the sync could have."),
				 errhint("Make a mapping on scim.users or scim.groups, or on a view of them, with an owner.")));
	scim_require_member(row->owner, psprintf("mapping \"%s\"", name));
	return row;
}

/*
 * The caller may use the server.  The sync keeps its name: USAGE is asked for
 * again, and the secret is bound to the origin, when it is used.
 */
static void
check_server(const char *name)
{
	ForeignServer *server = GetForeignServerByName(name, false);

	if (!DatumGetBool(DirectFunctionCall2(has_server_privilege_id, ObjectIdGetDatum(server->serverid),
										  CStringGetTextDatum("USAGE"))))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for foreign server \"%s\"", name)));
}

static void
check_delete_after(const Interval *interval)
{
	if (interval->time < 0 || interval->day < 0 || interval->month < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("delete_after must not be negative")));
}

Datum
scim_create_sync(PG_FUNCTION_ARGS)
{
	ScimSync	sync;
	ScimMappingRow *row;
	const ScimMapping *mapping;
	char	   *attributes = "{}";
	char	   *options = "{}";
	Oid			types[8] = {TEXTOID, INT8OID, TEXTOID, TEXTOID, TEXTARRAYOID, INTERVALOID, TEXTOID, TEXTOID};
	Datum		values[8];
	char		nulls[9] = "        ";
	bool		isnull;

	memset(&sync, 0, sizeof(sync));
	sync.name = PG_ARGISNULL(0) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (sync.name[0] == '\0' || strlen(sync.name) > 200)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a sync needs a name")));
	if (PG_ARGISNULL(1) || PG_ARGISNULL(2))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a sync needs a mapping and a server")));
	if (PG_ARGISNULL(3) || PG_ARGISNULL(6))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a sync needs actions and delete_after")));
	sync.actions = scim_sync_parse_actions(PG_GETARG_DATUM(3));
	if (!PG_ARGISNULL(4))
		sync.scope = text_to_cstring(PG_GETARG_TEXT_PP(4));
	if (!PG_ARGISNULL(5))
		attributes = DatumGetCString(DirectFunctionCall1(jsonb_out, PG_GETARG_DATUM(5)));
	check_delete_after(PG_GETARG_INTERVAL_P(6));
	if (!PG_ARGISNULL(7))
		options = DatumGetCString(DirectFunctionCall1(jsonb_out, PG_GETARG_DATUM(7)));
	scim_sync_parse_options(&sync, options);

	SPI_connect();
	scim_catalog_begin();
	row = sync_mapping(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	sync.mapping_id = row->id;
	sync.mapping = row->name;
	sync.owner = row->owner;
	sync.server = NameStr(*PG_GETARG_NAME(2));
	check_server(sync.server);
	mapping = scim_mapping_resolve(row);
	scim_sync_parse_attributes(&sync, attributes, mapping->type);

	values[0] = CStringGetTextDatum(sync.name);
	values[1] = Int64GetDatum(sync.mapping_id);
	values[2] = CStringGetTextDatum(sync.server);
	values[3] = sync.scope ? CStringGetTextDatum(sync.scope) : (Datum) 0;
	if (sync.scope == NULL)
		nulls[3] = 'n';
	values[4] = PG_GETARG_DATUM(3);
	values[5] = PG_GETARG_DATUM(6);
	values[6] = CStringGetTextDatum(attributes);
	values[7] = CStringGetTextDatum(options);
	if (scim_own_execute("create sync",
						 "INSERT INTO scim._syncs (name, mapping_id, server, scope, actions, delete_after, attributes, options)"
						 " VALUES ($1, $2, $3, $4, $5, $6, $7::pg_catalog.jsonb, $8::pg_catalog.jsonb)"
						 " ON CONFLICT (name) DO NOTHING RETURNING id",
						 8, types, values, nulls, false, 0) != SPI_OK_INSERT_RETURNING)
		elog(ERROR, "could not write scim._syncs");
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("sync \"%s\" exists already", sync.name)));
	sync.id = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));

	types[0] = OIDOID;
	values[0] = ObjectIdGetDatum(sync.owner);
	(void) scim_own_execute("grant use", "SELECT scim._grant_use($1)", 1, types, values, NULL, false, 0);
	scim_capture_attach(&sync, row, true);

	scim_catalog_end();
	SPI_finish();
	PG_RETURN_VOID();
}

ScimSync *
scim_sync_of_caller(FunctionCallInfo fcinfo)
{
	char	   *name = PG_ARGISNULL(0) ? pstrdup("") : text_to_cstring(PG_GETARG_TEXT_PP(0));
	ScimSync   *sync = scim_sync_by_name(name);

	if (sync == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("sync \"%s\" does not exist", name)));
	scim_require_member(sync->owner, psprintf("sync \"%s\"", name));
	return sync;
}

/* Does the sync keep back something that a row has, or does not have any more? */
static bool
has_rules(const ScimSync *sync)
{
	for (int i = 0; i < sync->nattributes; i++)
		if (sync->attributes[i].apply != SCIM_APPLY_ALWAYS || sync->attributes[i].on_null == SCIM_NULL_SKIP)
			return true;
	return false;
}

/*
 * scim.alter_sync: what is NULL stays as it is.
 */
Datum
scim_alter_sync(PG_FUNCTION_ARGS)
{
	ScimSync   *sync;
	ScimMappingRow *row;
	Oid			types[6] = {INT8OID, TEXTOID, TEXTARRAYOID, INTERVALOID, JSONBOID, JSONBOID};
	Datum		values[6];
	char		nulls[7] = "      ";
	bool		ruled = false;

	SPI_connect();
	scim_catalog_begin();
	sync = scim_sync_of_caller(fcinfo);
	row = sync_mapping(sync->mapping);
	values[0] = Int64GetDatum(sync->id);
	for (int i = 1; i < 6; i++)
	{
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
		values[i] = PG_ARGISNULL(i) ? (Datum) 0 : PG_GETARG_DATUM(i);
	}
	if (!PG_ARGISNULL(1))
	{
		sync->scope = text_to_cstring(PG_GETARG_TEXT_PP(1));
		if (sync->scope[0] == '\0')
			sync->scope = NULL;
	}
	if (!PG_ARGISNULL(2))
		(void) scim_sync_parse_actions(PG_GETARG_DATUM(2));
	if (!PG_ARGISNULL(3))
		check_delete_after(PG_GETARG_INTERVAL_P(3));
	if (!PG_ARGISNULL(4))
	{
		ruled = has_rules(sync);
		sync->nattributes = 0;
		scim_sync_parse_attributes(sync, DatumGetCString(DirectFunctionCall1(jsonb_out, PG_GETARG_DATUM(4))),
								   scim_mapping_resolve(row)->type);
		ruled = ruled || has_rules(sync);
	}
	if (!PG_ARGISNULL(5))
		scim_sync_parse_options(sync, DatumGetCString(DirectFunctionCall1(jsonb_out, PG_GETARG_DATUM(5))));
	if (scim_own_execute("alter sync",
						 "UPDATE scim._syncs SET scope = CASE WHEN $2 IS NULL THEN scope WHEN $2 OPERATOR(pg_catalog.=) '' THEN NULL ELSE $2 END,"
						 " actions = coalesce($3, actions), delete_after = coalesce($4, delete_after),"
						 " attributes = coalesce($5, attributes), options = coalesce($6, options)"
						 " WHERE id OPERATOR(pg_catalog.=) $1",
						 6, types, values, nulls, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not write scim._syncs");

	/* whose time to be deleted is another one now */
	if (!PG_ARGISNULL(2) || !PG_ARGISNULL(3))
		(void) scim_own_execute("look at gone rows", "UPDATE scim._links SET next_at = pg_catalog.clock_timestamp()"
								" WHERE sync_id OPERATOR(pg_catalog.=) $1 AND gone_at IS NOT NULL"
								" AND state OPERATOR(pg_catalog.=) 'disabled' AND intent IS NULL",
								1, types, values, NULL, false, 0);
	/* what was kept back so far may have to be sent */
	if (ruled)
		(void) scim_own_execute("look at links", "UPDATE scim._links SET acked_hash = NULL"
								" WHERE sync_id OPERATOR(pg_catalog.=) $1 AND acked_hash IS NOT NULL",
								1, types, values, NULL, false, 0);

	/* other columns may matter now, and other rows be in scope */
	scim_capture_attach(sync, row, true);
	scim_capture_detach_unused();
	if (sync->state != SCIM_SYNC_CONFIGURED)
		scim_sync_queue(sync->id, (Datum) 0, "full");
	scim_catalog_end();
	SPI_finish();
	PG_RETURN_VOID();
}

Datum
scim_drop_sync(PG_FUNCTION_ARGS)
{
	ScimSync   *sync;
	Oid			types[1] = {INT8OID};
	Datum		values[1];

	SPI_connect();
	scim_catalog_begin();
	sync = scim_sync_of_caller(fcinfo);
	values[0] = Int64GetDatum(sync->id);
	(void) scim_own_execute("drop sync", "DELETE FROM scim._syncs WHERE id OPERATOR(pg_catalog.=) $1",
							1, types, values, NULL, false, 0);

	/*
	 * Also what other transactions have queued for a sync while it was being
	 * dropped: they don't lock it.
	 */
	(void) scim_own_execute("drop sync queue",
							"DELETE FROM scim._dirty d WHERE NOT EXISTS"
							" (SELECT 1 FROM scim._syncs s WHERE s.id OPERATOR(pg_catalog.=) d.sync_id)",
							0, NULL, NULL, NULL, false, 0);
	scim_capture_detach_unused();
	scim_catalog_end();
	SPI_finish();
	PG_RETURN_VOID();
}

Datum
scim_start_sync(PG_FUNCTION_ARGS)
{
	ScimSync   *sync;

	SPI_connect();
	scim_catalog_begin();
	sync = scim_sync_of_caller(fcinfo);
	if (sync->state != SCIM_SYNC_CONFIGURED)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("sync \"%s\" was started before", sync->name),
				 sync->state == SCIM_SYNC_ACTIVE ? 0 : errhint("SELECT scim.resume_sync(%s);", quote_literal_cstr(sync->name))));
	scim_sync_set_state(sync->id, SCIM_SYNC_ACTIVE, NULL);
	(void) scim_guard_settle(sync);

	scim_sync_restart_queue(sync->id);
	scim_catalog_end();
	SPI_finish();
	PG_RETURN_VOID();
}

Datum
scim_pause_sync(PG_FUNCTION_ARGS)
{
	ScimSync   *sync;

	SPI_connect();
	scim_catalog_begin();
	sync = scim_sync_of_caller(fcinfo);
	if (sync->state == SCIM_SYNC_CONFIGURED)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("sync \"%s\" was not started yet", sync->name)));
	scim_sync_set_state(sync->id, SCIM_SYNC_PAUSED, PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1)));
	scim_sync_wake_at_commit(sync->id);
	scim_catalog_end();
	SPI_finish();
	PG_RETURN_VOID();
}

Datum
scim_resume_sync(PG_FUNCTION_ARGS)
{
	ScimSync   *sync;

	SPI_connect();
	scim_catalog_begin();
	sync = scim_sync_of_caller(fcinfo);
	if (sync->state == SCIM_SYNC_CONFIGURED || sync->state == SCIM_SYNC_ACTIVE)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 sync->state == SCIM_SYNC_ACTIVE ? errmsg("sync \"%s\" is active", sync->name) :
				 errmsg("sync \"%s\" was not started yet", sync->name),
				 sync->state == SCIM_SYNC_ACTIVE ? 0 : errhint("SELECT scim.start_sync(%s);", quote_literal_cstr(sync->name))));
	scim_sync_set_state(sync->id, SCIM_SYNC_ACTIVE, NULL);
	/* a dump has no queue: what was in it is found by looking at every row */
	if (scim_guard_settle(sync))
		scim_sync_queue(sync->id, (Datum) 0, "full");
	scim_sync_wake_at_commit(sync->id);
	scim_catalog_end();
	SPI_finish();
	PG_RETURN_VOID();
}

/*
 * Row trigger of scim._mappings: runs as the owner of our tables, inside the
 * statement that altered the mapping, or dropped it.
 */
Datum
scim_mapping_altered(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	ScimMappingRow *row;
	List	   *names = NIL;
	ListCell   *lc;
	Oid			types[1] = {INT8OID};
	Datum		values[1];
	TupleDesc	tupdesc;
	bool		isnull;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) || TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("scim._mapping_altered can only be called as a row trigger of UPDATE or DELETE")));
	if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
	{
		SPI_connect();
		scim_capture_detach_unused();
		SPI_finish();
		return PointerGetDatum(NULL);
	}
	tupdesc = RelationGetDescr(trigger->tg_relation);

	/* or the mapping would be read as it was */
	CommandCounterIncrement();
	SPI_connect();
	scim_catalog_begin();
	values[0] = heap_getattr(trigger->tg_newtuple, SPI_fnumber(tupdesc, "id"), tupdesc, &isnull);
	if (scim_own_execute("syncs of mapping",
						 "SELECT s.name FROM scim._syncs s WHERE s.mapping_id OPERATOR(pg_catalog.=) $1 ORDER BY s.id",
						 1, types, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read scim._syncs");
	for (uint64 i = 0; i < SPI_processed; i++)
		names = lappend(names, SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1));
	row = scim_mapping_row(SPI_getvalue(trigger->tg_newtuple, tupdesc, SPI_fnumber(tupdesc, "name")));
	foreach(lc, names)
	{
		ScimSync   *sync = scim_sync_by_name((char *) lfirst(lc));

		scim_capture_attach(sync, row, false);
		scim_sync_queue(sync->id, (Datum) 0, "full");
	}
	if (scim_track_renew(row) || names != NIL)
		scim_capture_detach_unused();
	scim_catalog_end();
	SPI_finish();
	return PointerGetDatum(NULL);
}
