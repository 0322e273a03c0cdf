/*
 * provisioner_drift.c
 *		What a target has, held against what it has acknowledged
 *		(provisioning-engine 2.6): by scim.check_drift(), and by the worker at
 *		the times that a sync names.
 *
 * The list is read page by page into scim._remote, by the session or by the
 * worker as for matching; then links are gone through by pages.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "provisioner_guard.h"
#include "provisioner_internal.h"
#include "provisioner_run.h"
#include "../client/client_call.h"
#include "../compat.h"
#include "../scim_guc.h"

PG_FUNCTION_INFO_V1(scim_check_drift);

#define LINKS_PAGE 500
#define MAX_LIST_ANSWER ((size_t) 16 * 1024 * 1024)

/* ---- the list ---- */

static void
read_page(const ScimSyncView *view, ScimScan *scan, const ScimClientTarget *target, const char *secret)
{
	ScimClientRequest request = {.method = "GET", .path = scim_scan_path(view, scan), .max_body = MAX_LIST_ANSWER};
	ScimClientResponse *response = scim_client_call(target, &request);
	ScimVerdict verdict = scim_retry_verdict(response);
	ScimError	err;

	if (response->outcome == SCIM_TRANSFER_TOO_LARGE && scim_scan_shrink(scan))
		return;
	scim_heap_begin((size_t) scim_request_memory * 1024);
	if (verdict != SCIM_VERDICT_OK)
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("the list of the target of sync \"%s\" can't be read: %s", view->sync->name, scim_retry_verdict_name(verdict)),
				 errdetail("%d: %s", response->status, scim_retry_reason(response, secret))));
	memset(&err, 0, sizeof(err));
	scim_scan_take(view, scan, scim_json_parse(response->body, response->body_len, &err));
	if (scan->state == SCIM_SCAN_FAILED)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("the list of the target of sync \"%s\" can't be read: %s", view->sync->name, scan->problem)));
}

static void
read_list(const ScimSyncView *view)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext page = AllocSetContextCreate(caller, "scim page", ALLOCSET_DEFAULT_SIZES);
	const char *problem = NULL;
	const char *secret = scim_server_secret(view->server, &problem);
	ScimClientTarget target = scim_client_target(view->server, secret);
	ScimScan	scan;

	if (secret == NULL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE), errmsg("server \"%s\": %s", view->server->name, problem)));
	if (!scim_scan_begin(view, &scan, 0, false))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("the list of the target of sync \"%s\" is being read", view->sync->name),
				 errhint("Try again in a moment.")));
	while (scan.state == SCIM_SCAN_RUNNING)
	{
		MemoryContextSwitchTo(page);
		read_page(view, &scan, &target, secret);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(page);
	}
	MemoryContextDelete(page);
}

/* ---- comparing ---- */

typedef struct Drift
{
	ReturnSetInfo *result;		/* NULL: it goes into scim._drift */
	const ScimSyncView *view;
	const char *key;
	const char *remote_id;
	int			n;				/* differences of this row */
} Drift;

static Datum
jsonb_of(const json_t *value, bool *isnull)
{
	size_t		len;
	char	   *text;

	*isnull = value == NULL;
	if (value == NULL)
		return (Datum) 0;
	text = scim_json_print(value, &len);
	if (text == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(text));
}

/* Without values: who may see them is asked when somebody looks. */
static void
keep_drift(const Drift *drift, const char *attribute)
{
	Oid			types[4] = {INT8OID, TEXTOID, TEXTOID, TEXTOID};
	Datum		values[4] = {Int64GetDatum(drift->view->sync->id), CStringGetTextDatum(drift->key), CStringGetTextDatum(drift->remote_id),
	attribute ? CStringGetTextDatum(attribute) : (Datum) 0};
	char		nulls[5] = "    ";

	if (attribute == NULL)
		nulls[3] = 'n';
	if (scim_own_execute("keep drift", "INSERT INTO scim._drift (sync_id, source_key, remote_id, attribute) VALUES ($1, $2, $3, $4)",
						 4, types, values, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write scim._drift");
}

static void
put_drift(Drift *drift, const char *attribute, const json_t *wanted, const json_t *found)
{
	Datum		values[5];
	bool		nulls[5] = {false, false, attribute == NULL, false, false};

	drift->n++;
	if (drift->result == NULL)
	{
		keep_drift(drift, attribute);
		return;
	}
	values[0] = CStringGetTextDatum(drift->key);
	values[1] = CStringGetTextDatum(drift->remote_id);
	if (attribute)
		values[2] = CStringGetTextDatum(attribute);
	values[3] = jsonb_of(wanted, &nulls[3]);
	values[4] = jsonb_of(found, &nulls[4]);
	tuplestore_putvalues(drift->result->setResult, drift->result->setDesc, values, nulls);
}

/* Each attribute that an update would have to change. */
static void
compare(Drift *drift, const json_t *wanted, const json_t *found)
{
	const ScimSyncView *view = drift->view;
	ScimDiffStyle style = view->style;
	bool	   *managed = palloc0(sizeof(bool) * view->type->nattrs);

	style.managed = managed;
	for (int i = 0; i < view->type->ntop; i++)
	{
		const ScimAttr *attr = view->type->top[i];
		StringInfoData operations;
		char		path[256];

		initStringInfo(&operations);
		managed[attr->ord] = view->selection->has[attr->ord];
		for (int j = 0; j < attr->nsubs; j++)
			managed[attr->subs[j]->ord] = view->selection->has[attr->subs[j]->ord];
		if (scim_diff_operations(view->type, &style, found, wanted, &operations, NULL) > 0)
			put_drift(drift, scim_attr_path(view->type, attr, path, sizeof(path)),
					  scim_document_value(view->type, wanted, attr), scim_document_value(view->type, found, attr));
		managed[attr->ord] = false;
		for (int j = 0; j < attr->nsubs; j++)
			managed[attr->subs[j]->ord] = false;
	}
}

/* What we took out of use is out of use, also where the mapping does not say it. */
static void
compare_active(Drift *drift, const json_t *found)
{
	const json_t *active = json_object_get(found, "active");

	if (!drift->view->active_mapped && json_is_true(active))
		put_drift(drift, "active", json_false(), active);
}

/*
 * The link is as the target says: whatever differs from its row is sent, and
 * what has gone is looked for and created anew.
 */
static void
repair(const Drift *drift, const char *found)
{
	Oid			types[4] = {INT8OID, TEXTOID, TEXTOID, BOOLOID};
	Datum		values[4] = {Int64GetDatum(drift->view->sync->id), CStringGetTextDatum(drift->key), (Datum) 0, BoolGetDatum(false)};
	char		nulls[5] = "    ";

	nulls[2] = found ? ' ' : 'n';
	if (found)
		values[2] = CStringGetTextDatum(found);
	else if (drift->result == NULL)
		/* nobody has asked for it: then it has bounds */
		values[3] = BoolGetDatum(!scim_guard_may_recreate(drift->view, drift->key));
	if (scim_own_execute("repair",
						 "UPDATE scim._links SET state = CASE WHEN $4 THEN 'staged' WHEN $3 IS NULL THEN 'pending' ELSE 'linked' END,"
						 " staged = CASE WHEN $4 THEN 'recreate' END, approval = NULL,"
						 " remote_id = CASE WHEN $3 IS NOT NULL THEN remote_id END,"
						 " formerly = CASE WHEN $3 IS NOT NULL THEN formerly ELSE coalesce(formerly, remote_id) END,"
						 " wanted = CASE WHEN $3 IS NULL THEN acked END, doubt = CASE WHEN $3 IS NULL THEN 1 ELSE doubt END,"
						 " acked = coalesce($3, '{}')::pg_catalog.jsonb OPERATOR(pg_catalog.-) 'id', acked_hash = NULL,"
						 " reason = CASE WHEN $4 THEN 'its resource has gone from the target, like too many in this hour: making it anew waits for scim.approve()'"
						 " ELSE 'the target had something else' END,"
						 " next_at = CASE WHEN NOT $4 THEN pg_catalog.clock_timestamp() END, lane = 1"
						 " WHERE sync_id OPERATOR(pg_catalog.=) $1 AND source_key OPERATOR(pg_catalog.=) $2 AND intent IS NULL",
						 4, types, values, nulls, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not write scim._links");
}

/* The next links behind "after", which becomes the last of them.  False: there were none. */
static bool
compare_page(Drift *drift, char **after, bool repairing, MemoryContext caller)
{
	Oid			types[3] = {INT8OID, TEXTOID, INT8OID};
	Datum		values[3] = {Int64GetDatum(drift->view->sync->id), CStringGetTextDatum(*after), Int64GetDatum(LINKS_PAGE)};
	SPITupleTable *rows;
	uint64		n;

	if (scim_own_execute("links and remote",
						 "SELECT l.source_key, l.remote_id, l.state, l.acked::pg_catalog.text, (SELECT r.document::pg_catalog.text FROM scim._remote r"
						 " WHERE r.sync_id OPERATOR(pg_catalog.=) l.sync_id AND r.remote_id OPERATOR(pg_catalog.=) l.remote_id LIMIT 1)"
						 " FROM scim._links l WHERE l.sync_id OPERATOR(pg_catalog.=) $1 AND l.source_key OPERATOR(pg_catalog.>) $2"
						 " AND l.remote_id IS NOT NULL AND l.intent IS NULL AND l.state IN ('linked', 'disabled')"
						 /* what was written since is not what was read */
						 " AND l.changed_at OPERATOR(pg_catalog.<) (SELECT c.began FROM scim._scans c WHERE c.sync_id OPERATOR(pg_catalog.=) $1)"
						 " ORDER BY l.source_key LIMIT $3",
						 3, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read scim._links");
	n = SPI_processed;
	rows = SPI_tuptable;
	for (uint64 i = 0; i < n; i++)
	{
		const char *state = SPI_getvalue(rows->vals[i], rows->tupdesc, 3);
		const char *acked = SPI_getvalue(rows->vals[i], rows->tupdesc, 4);
		const char *document = SPI_getvalue(rows->vals[i], rows->tupdesc, 5);
		bool		disabled = strcmp(state, "disabled") == 0;
		const json_t *wanted;

		drift->key = SPI_getvalue(rows->vals[i], rows->tupdesc, 1);
		drift->remote_id = SPI_getvalue(rows->vals[i], rows->tupdesc, 2);
		drift->n = 0;
		scim_heap_begin((size_t) scim_request_memory * 1024);
		wanted = scim_document_parse(acked ? acked : "{}");
		if (document)
		{
			const json_t *found = scim_document_parse(document);

			if (!disabled)
				compare(drift, wanted, found);
			else
				compare_active(drift, found);
		}
		else if (!disabled)
			put_drift(drift, NULL, wanted, NULL);
		if (repairing && drift->n > 0)
			repair(drift, document);
	}
	if (n > 0)
		*after = MemoryContextStrdup(caller, drift->key);
	return n > 0;
}

Datum
scim_check_drift(PG_FUNCTION_ARGS)
{
	bool		repairing = !PG_ARGISNULL(1) && PG_GETARG_BOOL(1);
	Drift		drift = {.result = (ReturnSetInfo *) fcinfo->resultinfo};
	MemoryContext caller;
	MemoryContext page;
	char	   *after = "";
	bool		more = true;

	scim_init_materialized(fcinfo);
	SPI_connect();
	scim_catalog_begin();
	drift.view = scim_sync_view(scim_sync_of_caller(fcinfo));
	scim_require_server_usage(drift.view->server);
	read_list(drift.view);

	caller = CurrentMemoryContext;
	page = AllocSetContextCreate(caller, "scim drift", ALLOCSET_DEFAULT_SIZES);
	while (more)
	{
		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(page);
		more = compare_page(&drift, &after, repairing, caller);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(page);
		SPI_freetuptable(SPI_tuptable);
	}
	MemoryContextDelete(page);
	if (repairing)
		scim_sync_wake_at_commit(drift.view->sync->id);
	scim_catalog_end();
	SPI_finish();
	return (Datum) 0;
}

/* ---- by the worker ---- */

TimestampTz
scim_drift_due(const ScimSync *sync)
{
	return sync->drift_seconds == 0 ? DT_NOEND : TimestampTzPlusMilliseconds(sync->drift_at, sync->drift_seconds * INT64CONST(1000));
}

static void
execute(const char *key, const char *sql, int64 sync_id)
{
	Oid			types[1] = {INT8OID};
	Datum		values[1] = {Int64GetDatum(sync_id)};

	(void) scim_own_execute(key, sql, 1, types, values, NULL, false, 0);
}

static void
end_check(ScimSyncRun *run)
{
	execute("drift checked", "UPDATE scim._syncs SET drift_at = pg_catalog.clock_timestamp() WHERE id OPERATOR(pg_catalog.=) $1", run->id);
	run->drift = SCIM_DRIFT_NONE;
	if (run->drift_after)
		pfree(run->drift_after);
	run->drift_after = NULL;
}

bool
scim_drift_work(ScimProvisioner *p, ScimSyncRun *run, const ScimSyncView *view)
{
	Drift		drift = {.view = view};
	char	   *after = run->drift_after ? run->drift_after : "";
	bool		more;

	if (run->drift == SCIM_DRIFT_READING)
	{
		if (run->scan.state == SCIM_SCAN_RUNNING)
			return false;
		if (run->scan.state != SCIM_SCAN_DONE)
		{
			/* another time */
			end_check(run);
			return false;
		}
		execute("forget drift", "DELETE FROM scim._drift WHERE sync_id OPERATOR(pg_catalog.=) $1", run->id);
		run->drift = SCIM_DRIFT_COMPARING;
	}
	more = compare_page(&drift, &after, view->sync->drift_repair, CurrentMemoryContext);
	if (!more)
	{
		end_check(run);
		return false;
	}
	if (run->drift_after)
		pfree(run->drift_after);
	run->drift_after = MemoryContextStrdup(p->context, after);
	return true;
}
