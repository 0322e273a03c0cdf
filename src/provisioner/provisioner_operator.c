/*
 * provisioner_operator.c
 *		What people do with a sync by hand: one row now, approvals, another try,
 *		a restart, waiting (provisioning-engine 2.12).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "provisioner_flight.h"
#include "provisioner_internal.h"
#include "../client/client_call.h"
#include "../compat.h"
#include "../scim_guc.h"

PG_FUNCTION_INFO_V1(scim_sync_now);
PG_FUNCTION_INFO_V1(scim_explain_sync);
PG_FUNCTION_INFO_V1(scim_approve);
PG_FUNCTION_INFO_V1(scim_reject);
PG_FUNCTION_INFO_V1(scim_retry);
PG_FUNCTION_INFO_V1(scim_restart_sync);
PG_FUNCTION_INFO_V1(scim_wait_synced);

/* Requests of one row: matches by each rule, a creation, an update, a look. */
#define MAX_REQUESTS 12

#define MAX_ANSWER ((size_t) 4 * 1024 * 1024)
#define WAIT_POLL_MS 50

/* ---- one row, now ---- */

typedef struct StepContext
{
	ReturnSetInfo *result;
	ScimSyncView *view;
	const char *key;
} StepContext;

static void
put_step(StepContext *ctx, const char *step, const char *outcome, const char *detail,
		 const char *method, const char *path, int status, const char *body)
{
	Datum		values[7];
	bool		nulls[7] = {false, false, detail == NULL, method == NULL, path == NULL, status == 0, body == NULL};

	values[0] = CStringGetTextDatum(step);
	values[1] = CStringGetTextDatum(outcome);
	if (detail)
		values[2] = CStringGetTextDatum(detail);
	if (method)
		values[3] = CStringGetTextDatum(method);
	if (path)
		values[4] = CStringGetTextDatum(path);
	values[5] = Int32GetDatum(status);
	if (body)
		values[6] = DirectFunctionCall1(jsonb_in, CStringGetDatum(body));
	tuplestore_putvalues(ctx->result->setResult, ctx->result->setDesc, values, nulls);
}

/* Requests until the row is where it should be; with "dry" only those that read. */
static void
fly(StepContext *ctx, const ScimLink *link, const ScimDecision *decision, const char *secret, bool dry)
{
	ScimClientTarget target = scim_client_target(ctx->view->server, secret);
	ScimFlight *flight = scim_flight_begin(CurrentMemoryContext, link, decision);
	bool		linked = false;

	flight->dry = dry;
	for (int n = 0; n < MAX_REQUESTS; n++)
	{
		ScimClientRequest request = {.method = flight->method, .path = flight->path, .body = flight->body,
			.body_len = flight->body ? strlen(flight->body) : 0, .max_body = MAX_ANSWER};
		const char *step = scim_flight_phase_name(flight);
		const char *body = flight->body;
		ScimClientResponse *response;
		ScimTargetNews news;
		bool		over;

		if (dry && strcmp(flight->method, "GET") != 0)
		{
			put_step(ctx, "action", step, "not sent", flight->method, flight->path, 0, body);
			break;
		}
		response = scim_client_call(&target, &request);
		over = scim_flight_answer(ctx->view, flight, response, target.token, &news);
		linked = linked || news.linked;
		put_step(ctx, step, scim_retry_verdict_name(news.verdict), news.reason, request.method, request.path,
				 response->status, body);
		if (over)
			break;
		if (news.verdict == SCIM_VERDICT_THROTTLED)
		{
			put_step(ctx, "action", "waits", psprintf("the target asks to wait %ld ms", news.wait_ms), NULL, NULL, 0, NULL);
			break;
		}
	}
	scim_flight_end(flight);
	if (linked && !dry)
		scim_links_wake_referring(ctx->view->sync->server);
}

static void
one_row(FunctionCallInfo fcinfo, bool dry)
{
	StepContext ctx = {.result = (ReturnSetInfo *) fcinfo->resultinfo};
	ScimIdentity identity;
	ScimSync   *sync;
	ScimLink	unknown = {.state = "pending"};
	ScimLink   *link = &unknown;
	ScimDocument *document;
	ScimDecision *decision;
	const char *secret;
	const char *problem = NULL;
	int			nlinks;

	scim_init_materialized(fcinfo);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a sync and a key are needed")));
	ctx.key = unknown.key = text_to_cstring(PG_GETARG_TEXT_PP(1));
	memset(&identity, 0, sizeof(identity));
	SPI_connect();
	scim_catalog_begin();
	sync = scim_sync_of_caller(fcinfo);
	ctx.view = scim_sync_view(sync);
	scim_require_server_usage(ctx.view->server);
	secret = scim_server_secret(ctx.view->server, &problem);
	put_step(&ctx, "connection", secret ? "ok" : "failed", secret ? ctx.view->server->origin : problem, NULL, NULL, 0, NULL);

	scim_identity_assume(&identity, sync->owner, true);
	document = scim_documents_read(ctx.view, &ctx.key, 1);
	put_step(&ctx, "source", document->problem ? "failed" : document->presence == SCIM_ROW_GONE ? "gone" : "found",
			 document->problem, NULL, NULL, 0, document->text);
	if (document->presence != SCIM_ROW_GONE)
		put_step(&ctx, "scope", document->presence == SCIM_ROW_IN_SCOPE ? "in scope" : "out of scope", sync->scope, NULL, NULL, 0, NULL);
	if (dry)
	{
		ScimLink   *known = scim_links_by_key(sync->id, &ctx.key, 1, &nlinks);

		if (nlinks > 0)
			link = known;
	}
	else
		link = scim_link_lock(sync->id, ctx.key);
	if (link->remote_id)
		put_step(&ctx, "link", link->state, psprintf("resource %s", link->remote_id), NULL, NULL, 0, NULL);

	decision = scim_decide(ctx.view, link, document, GetCurrentTimestamp());
	if (decision->action == SCIM_ACTION_NONE)
	{
		put_step(&ctx, "action", "none", decision->reason, NULL, NULL, 0, NULL);
		if (!dry)
			scim_link_store(sync->id, &decision->after);
	}
	else if (secret)
		fly(&ctx, link, decision, secret, dry);
	/* what is still to be done, or can go on now, is the worker's, who remembers which rows this one was made of */
	if (!dry && document->inner != NIL)
	{
		Datum		own = CStringGetTextDatum(ctx.key);

		scim_sync_queue(sync->id, PointerGetDatum(construct_array(&own, 1, TEXTOID, -1, false, TYPALIGN_INT)), "update");
	}
	if (!dry)
		scim_sync_wake_at_commit(sync->id);

	scim_identity_close_gucs(&identity);
	scim_identity_restore(&identity);
	scim_catalog_end();
	SPI_finish();
}

Datum
scim_sync_now(PG_FUNCTION_ARGS)
{
	one_row(fcinfo, false);
	return (Datum) 0;
}

Datum
scim_explain_sync(PG_FUNCTION_ARGS)
{
	one_row(fcinfo, true);
	return (Datum) 0;
}

/* ---- links, changed by hand ---- */

/*
 * Execute a fixed UPDATE of links of the sync in the first argument; $2 is the
 * second argument, NULL if it is.  Wakes the worker; returns the rows.
 */
static int64
update_links(FunctionCallInfo fcinfo, const char *name, const char *sql, Oid type)
{
	ScimSync   *sync;
	Oid			types[2] = {INT8OID, type};
	Datum		values[2];
	char		nulls[3] = "  ";
	int64		n;

	SPI_connect();
	scim_catalog_begin();
	sync = scim_sync_of_caller(fcinfo);
	values[0] = Int64GetDatum(sync->id);
	values[1] = PG_ARGISNULL(1) ? (Datum) 0 : PG_GETARG_DATUM(1);
	nulls[1] = PG_ARGISNULL(1) ? 'n' : ' ';
	if (scim_own_execute(name, sql, 2, types, values, nulls, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not write scim._links");
	n = (int64) SPI_processed;
	scim_sync_wake_at_commit(sync->id);
	scim_catalog_end();
	SPI_finish();
	return n;
}

#define OF_KEYS \
	" WHERE sync_id OPERATOR(pg_catalog.=) $1 AND ($2 IS NULL OR source_key OPERATOR(pg_catalog.=) ANY ($2))"

Datum
scim_approve(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(update_links(fcinfo, "approve",
								 "UPDATE scim._links SET approval = 'approved', next_at = pg_catalog.clock_timestamp()"
								 OF_KEYS " AND state OPERATOR(pg_catalog.=) 'staged'", TEXTARRAYOID));
}

Datum
scim_reject(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(update_links(fcinfo, "reject",
								 "UPDATE scim._links SET approval = 'rejected', next_at = NULL, reason = 'rejected',"
								 " state = CASE WHEN staged IN ('adopt', 'recreate') THEN 'conflict' ELSE 'linked' END"
								 OF_KEYS " AND state OPERATOR(pg_catalog.=) 'staged'", TEXTARRAYOID));
}

Datum
scim_retry(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64(update_links(fcinfo, "retry",
								 "UPDATE scim._links SET attempts = 0, wanted_hash = NULL, refused = NULL, refused_until = NULL, refused_tries = 0,"
								 " approval = CASE staged WHEN 'recreate' THEN 'approved' ELSE approval END,"
								 " next_at = pg_catalog.clock_timestamp()"
								 " WHERE sync_id OPERATOR(pg_catalog.=) $1 AND ($2 IS NULL OR source_key OPERATOR(pg_catalog.=) $2)"
								 " AND intent IS NULL AND (state IN ('parked', 'conflict') OR attempts OPERATOR(pg_catalog.>) 0 OR refused IS NOT NULL OR $2 IS NOT NULL)",
								 TEXTOID));
}

/* What Microsoft Entra's "restart" can reset (synchronizationJobRestartCriteria). */
typedef struct RestartScope
{
	bool		watermark;		/* look at every row */
	bool		escrows;		/* try again what was refused */
	bool		quarantine;
	bool		links;			/* forget which resource is whose: all is matched anew */
	bool		deletes;		/* release what waits for approval */
} RestartScope;

static RestartScope
parse_scope(ArrayType *array)
{
	RestartScope scope;
	Datum	   *elements;
	bool	   *nulls;
	int			n;

	memset(&scope, 0, sizeof(scope));
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		const char *word = nulls[i] ? "" : TextDatumGetCString(elements[i]);
		bool		full = strcmp(word, "full") == 0;

		if (full || strcmp(word, "watermark") == 0)
			scope.watermark = true;
		if (full || strcmp(word, "escrows") == 0)
			scope.escrows = true;
		if (full || strcmp(word, "quarantine") == 0)
			scope.quarantine = true;
		if (full || strcmp(word, "links") == 0)
			scope.links = scope.watermark = true;
		if (strcmp(word, "force_deletes") == 0)
			scope.deletes = true;
		if (!full && strcmp(word, "watermark") != 0 && strcmp(word, "escrows") != 0 && strcmp(word, "quarantine") != 0 &&
			strcmp(word, "links") != 0 && strcmp(word, "force_deletes") != 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"%s\" is nothing that a restart resets", word),
					 errhint("There are watermark, escrows, quarantine, links, force_deletes and full.")));
	}
	return scope;
}

static void
restart_step(bool wanted, const char *name, const char *sql, int64 sync_id)
{
	Oid			types[1] = {INT8OID};
	Datum		values[1] = {Int64GetDatum(sync_id)};

	if (wanted)
		(void) scim_own_execute(name, sql, 1, types, values, NULL, false, 0);
}

Datum
scim_restart_sync(PG_FUNCTION_ARGS)
{
	ScimSync   *sync;
	RestartScope scope;

	if (PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("say what the restart resets")));
	SPI_connect();
	scim_catalog_begin();
	sync = scim_sync_of_caller(fcinfo);
	scope = parse_scope(PG_GETARG_ARRAYTYPE_P(1));
	if (sync->state == SCIM_SYNC_CONFIGURED)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("sync \"%s\" was not started yet", sync->name)));

	/* a POST in flight may still come to something: its row stays in doubt */
	restart_step(scope.links, "restart links",
				 "UPDATE scim._links SET remote_id = NULL, formerly = coalesce(formerly, remote_id), acked = NULL, acked_hash = NULL, state = 'pending', reason = NULL,"
				 " next_at = pg_catalog.clock_timestamp(),"
				 " staged = NULL, approval = NULL, gone_at = NULL WHERE sync_id OPERATOR(pg_catalog.=) $1 AND intent IS NULL", sync->id);
	restart_step(scope.escrows, "restart escrows",
				 "UPDATE scim._links SET attempts = 0, wanted_hash = NULL, refused = NULL, refused_until = NULL, refused_tries = 0,"
				 " next_at = pg_catalog.clock_timestamp()"
				 " WHERE sync_id OPERATOR(pg_catalog.=) $1 AND intent IS NULL"
				 " AND (state IN ('parked', 'conflict') OR attempts OPERATOR(pg_catalog.>) 0 OR refused IS NOT NULL)", sync->id);
	restart_step(scope.deletes, "restart deletes",
				 "UPDATE scim._links SET approval = 'approved', next_at = pg_catalog.clock_timestamp()"
				 " WHERE sync_id OPERATOR(pg_catalog.=) $1 AND state OPERATOR(pg_catalog.=) 'staged'", sync->id);
	if (scope.quarantine && sync->state == SCIM_SYNC_QUARANTINED)
		scim_sync_set_state(sync->id, SCIM_SYNC_ACTIVE, NULL);
	if (scope.watermark)
		scim_sync_queue(sync->id, (Datum) 0, "full");
	scim_sync_wake_at_commit(sync->id);
	scim_catalog_end();
	SPI_finish();
	PG_RETURN_VOID();
}

/* ---- waiting ---- */

typedef enum SyncProgress
{
	PROGRESS_DONE,
	PROGRESS_GOING,
	PROGRESS_STUCK				/* no amount of waiting helps */
} SyncProgress;

static SyncProgress
progress(int64 sync_id, text *key)
{
	Oid			types[2] = {INT8OID, TEXTOID};
	Datum		values[2] = {Int64GetDatum(sync_id), PointerGetDatum(key)};
	char		nulls[3] = "  ";
	bool		isnull;
	bool		going;
	bool		stuck;

	nulls[1] = key ? ' ' : 'n';
	/* in the latest snapshot: what the worker has committed meanwhile */
	if (scim_own_execute("progress",
						 "SELECT EXISTS (SELECT 1 FROM scim._dirty d WHERE d.sync_id OPERATOR(pg_catalog.=) $1"
						 " AND ($2 IS NULL OR d.keys IS NULL OR $2 OPERATOR(pg_catalog.=) ANY (d.keys)))"
						 " OR EXISTS (SELECT 1 FROM scim._links l WHERE l.sync_id OPERATOR(pg_catalog.=) $1"
						 " AND ($2 IS NULL OR l.source_key OPERATOR(pg_catalog.=) $2)"
						 " AND l.next_at IS NOT NULL AND l.intent IS NOT NULL)"
						 /* what changes while it is in flight or parked has one of the two; a deletion that is due in weeks is not waited for */
						 " OR EXISTS (SELECT 1 FROM scim._links l WHERE l.sync_id OPERATOR(pg_catalog.=) $1"
						 " AND ($2 IS NULL OR l.source_key OPERATOR(pg_catalog.=) $2) AND l.next_at IS NOT NULL"
						 " AND (l.next_at OPERATOR(pg_catalog.<=) pg_catalog.clock_timestamp() OR (l.refused IS NULL AND l.state IN ('pending', 'linked')"
						 " AND (l.gone_at IS NULL OR l.attempts OPERATOR(pg_catalog.>) 0)))),"
						 " $2 IS NOT NULL AND EXISTS (SELECT 1 FROM scim._links l WHERE l.sync_id OPERATOR(pg_catalog.=) $1"
						 " AND l.source_key OPERATOR(pg_catalog.=) $2 AND l.intent IS NULL AND NOT l.dirty"
						 " AND l.state IN ('parked', 'conflict', 'staged', 'skipped'))",
						 2, types, values, nulls, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read scim._links");
	going = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	stuck = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));
	SPI_freetuptable(SPI_tuptable);
	return going ? PROGRESS_GOING : stuck ? PROGRESS_STUCK : PROGRESS_DONE;
}

Datum
scim_wait_synced(PG_FUNCTION_ARGS)
{
	text	   *key = PG_ARGISNULL(1) ? NULL : PG_GETARG_TEXT_PP(1);
	ScimSync   *sync;
	TimestampTz end;
	SyncProgress state;

	if (PG_ARGISNULL(2))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("say how long to wait")));
	end = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(GetCurrentTimestamp()),
												  PG_GETARG_DATUM(2)));
	SPI_connect();
	scim_catalog_begin();
	sync = scim_sync_of_caller(fcinfo);
	if (scim_sync_wake_is_pending(sync->id))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("this transaction has changes that are sent only after its commit"),
				 errhint("Commit first.")));
	while ((state = progress(sync->id, key)) == PROGRESS_GOING && GetCurrentTimestamp() < end)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, WAIT_POLL_MS, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	scim_catalog_end();
	SPI_finish();
	PG_RETURN_BOOL(state == PROGRESS_DONE);
}
