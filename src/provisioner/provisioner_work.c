/*
 * provisioner_work.c
 *		The engine of all syncs of a database (provisioning-engine 2.3, 2.4, 2.10).
 *
 * Everything that is decided, is decided in a transaction with one snapshot:
 * answers are looked at, the queue is taken over into links, links that are due
 * become flights, and intents are written.  After its commit the requests of
 * these flights may be sent.  While bytes travel no transaction is open.
 *
 * If such a transaction fails, the flights of its sync are forgotten, as if
 * this process had been killed: their intents are in the links, and the next
 * transaction looks at them as a new process would.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_foreign_server.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "provisioner_guard.h"
#include "provisioner_run.h"
#include "../compat.h"
#include "../scim_guc.h"

/* Why a sync stops that was not started in this database. */
#define ELSEWHERE "it was started in another server or database, of which this may be a copy"

/* Or in this one, when it knew more. */
#define RESTORED "this server was restored to an earlier state"

/* Why one stops that never comes to an end. */
#define ENDLESS "code of its mapping goes on after its time, again and again"

/* A sync whose transaction has failed waits. */
#define BROKEN_WAIT_MS 10000

/* One that took too long is tried with less, soon. */
#define SLOW_WAIT_MS 500

/* How often what has become old is looked for. */
#define TIDY_MS 30000

/* Largest answers: a resource, a list. */
#define MAX_ANSWER (4 * 1024 * 1024)
#define MAX_LIST_ANSWER (16 * 1024 * 1024)

/* In place of a catalog in the tag of a lock. */
#define SYNC_LOCK_CLASS 0x7363696d

int64
scim_run_now(void)
{
	instr_time	t;

	INSTR_TIME_SET_CURRENT(t);
	return (int64) INSTR_TIME_GET_MILLISEC(t);
}

ScimProvisioner *
scim_provisioner_create(void)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "scim provisioner", ALLOCSET_DEFAULT_SIZES);
	ScimProvisioner *p = MemoryContextAllocZero(context, sizeof(ScimProvisioner));

	p->context = context;
	dlist_init(&p->targets);
	dlist_init(&p->syncs);
	dlist_init(&p->orphans);
	return p;
}

/* ---- syncs ---- */

void
scim_run_begin_flight(ScimSyncRun *run, ScimFlight *flight)
{
	flight->run = run;
	dlist_push_tail(&run->flights, &flight->node);
	run->nflights++;
}

void
scim_run_calm(ScimSyncRun *run)
{
	if (run->alarmed)
		run->alarmed->alarmed--;
	run->alarmed = NULL;
}

void
scim_run_forget_answer(ScimSyncRun *run, ScimFlight *flight)
{
	if (flight->response == NULL)
		return;
	if (!flight->part)
		scim_client_release(flight->response);
	flight->part = false;
	flight->parsed = NULL;
	flight->response = NULL;
	flight->carrier = NULL;
	/* its request is over, or the target would be thought to answer it again */
	flight->sent = false;
	if (--run->nanswers == 0)
		scim_run_calm(run);
}

void
scim_run_forget_flight(ScimProvisioner *p, ScimSyncRun *run, ScimFlight *flight)
{
	bool		under_way = flight->sent && flight->response == NULL && flight->carrier == NULL;
	ListCell   *lc;

	if (flight->carrier)
		flight->carrier->carried = list_delete_ptr(flight->carrier->carried, flight);
	foreach(lc, flight->carried)
	{
		ScimFlight *carried = (ScimFlight *) lfirst(lc);

		carried->carrier = NULL;
		carried->sent = false;
	}
	dlist_delete(&flight->node);
	run->nflights--;
	scim_run_forget_answer(run, flight);
	if (under_way)
	{
		/* its request must be over before there is another about this row */
		flight->run = NULL;
		dlist_push_tail(&p->orphans, &flight->node);
	}
	else
		scim_flight_end(flight);
}

void
scim_run_forget_unsent(ScimProvisioner *p, ScimSyncRun *run)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &run->flights)
	{
		ScimFlight *flight = dlist_container(ScimFlight, node, iter.cur);

		if (!flight->sent)
			scim_run_forget_flight(p, run, flight);
	}
}

static void
forget_flights(ScimProvisioner *p, ScimSyncRun *run)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &run->flights)
		scim_run_forget_flight(p, run, dlist_container(ScimFlight, node, iter.cur));
	scim_run_calm(run);
	run->recovered = false;
	memset(run->due_from, 0, sizeof(run->due_from));
	run->scan.state = SCIM_SCAN_NONE;
	run->drift = SCIM_DRIFT_NONE;
	run->reconcile_links = false;
	if (run->reconciled)
		pfree(run->reconciled);
	if (run->began_after)
		pfree(run->began_after);
	run->reconciled = run->began_after = NULL;
}

/* What is being read of the target's list is of no use any more. */
static void
forget_scan(ScimProvisioner *p, ScimSyncRun *run)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &run->flights)
	{
		ScimFlight *flight = dlist_container(ScimFlight, node, iter.cur);

		if (flight->phase == SCIM_PHASE_SCAN)
			scim_run_forget_flight(p, run, flight);
	}
	run->drift = SCIM_DRIFT_NONE;
	run->scan.state = SCIM_SCAN_NONE;
}

/*
 * The lock that says who works on a sync: held by this session until the sync
 * stops or the process ends.  (A transaction that fails releases it, and it is
 * taken again at once; an advisory lock would not survive the scrubbing of the
 * session.)
 */
static void
sync_lock_tag(int64 id, LOCKTAG *tag)
{
	SET_LOCKTAG_OBJECT(*tag, MyDatabaseId, SYNC_LOCK_CLASS, (uint32) id, (uint16) (id >> 32));
}

static bool
claim_sync(ScimSyncRun *run)
{
	LOCKTAG		tag;

	if (!run->claimed)
	{
		sync_lock_tag(run->id, &tag);
		run->claimed = LockAcquire(&tag, ExclusiveLock, true, true) != LOCKACQUIRE_NOT_AVAIL;
	}
	return run->claimed;
}

static void
release_sync(ScimProvisioner *p, ScimSyncRun *run)
{
	LOCKTAG		tag;

	scim_list_stop(run);
	forget_flights(p, run);
	if (run->full_entries)
		pfree(DatumGetPointer(run->full_entries));
	if (run->claimed)
	{
		sync_lock_tag(run->id, &tag);
		(void) LockRelease(&tag, ExclusiveLock, true);
	}
	dlist_delete(&run->node);
	pfree(run);
}

/*
 * A sync that is to stop: nothing more is sent, and what was sent is waited for.
 * The transaction that finds nothing under way any more is its last.
 */
static void
stop_sync(ScimProvisioner *p, ScimSyncRun *run)
{
	scim_list_stop(run);
	if (!run->claimed || (run->draining && run->nflights == 0))
	{
		release_sync(p, run);
		return;
	}
	scim_run_forget_unsent(p, run);
	run->draining = true;
	run->due_at = run->nflights == 0 ? 0 : PG_INT64_MAX;
}

static ScimSyncRun *
sync_run(ScimProvisioner *p, int64 id)
{
	dlist_iter	iter;
	ScimSyncRun *run;

	dlist_foreach(iter, &p->syncs)
	{
		run = dlist_container(ScimSyncRun, node, iter.cur);
		if (run->id == id)
			return run;
	}
	run = MemoryContextAllocZero(p->context, sizeof(ScimSyncRun));
	run->id = id;
	scim_watch_remember(run);
	dlist_init(&run->flights);
	dlist_push_tail(&p->syncs, &run->node);
	return run;
}

void
scim_run_tell(const ScimSync *sync, const char *reason)
{
	if (reason ? sync->state_reason == NULL || strcmp(sync->state_reason, reason) != 0 : sync->state_reason != NULL)
		scim_sync_set_state(sync->id, sync->state, reason);
}

/*
 * The server of a sync and its secret; NULL and why not.  What is wrong with one
 * server is no matter of the others.
 */
static const ScimServer *
usable_server(const ScimSync *sync, const char **secret, const char **problem)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	const ScimServer *volatile server = NULL;

	*problem = NULL;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		server = scim_server_by_name(sync->server);
		*secret = scim_server_secret(server, problem);
		if (scim_server_aclcheck(server->oid, sync->owner, ACL_USAGE) != ACLCHECK_OK)
		{
			*problem = "its owner has no USAGE on the server";
			*secret = NULL;
		}
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(context);
		edata = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (ERRCODE_TO_CATEGORY(edata->sqlerrcode) == ERRCODE_TO_CATEGORY(ERRCODE_OPERATOR_INTERVENTION))
			ReThrowError(edata);
		*secret = NULL;
		*problem = edata->message;
	}
	PG_END_TRY();
	return *secret ? server : NULL;
}

/* May this server send for the sync?  If not, it pauses until a person has looked. */
static bool
is_at_home(const ScimSync *sync)
{
	ScimHome	home = scim_guard_home(sync->home);
	const char *reason = home == SCIM_HOME_RESTORED ? RESTORED : ELSEWHERE;

	if (home == SCIM_HOME_PROMOTED)
		(void) scim_guard_settle(sync);
	if (home == SCIM_HOME_HERE || home == SCIM_HOME_PROMOTED)
		return true;
	scim_sync_set_state(sync->id, SCIM_SYNC_PAUSED, reason);
	ereport(WARNING,
			(errmsg("scim: sync \"%s\" is paused: %s", sync->name, reason),
			 errhint("SELECT * FROM scim.plan(...); then scim.resume_sync(...)."),
			 errhidestmt(true), errhidecontext(true)));
	return false;
}

/*
 * Look which syncs are active, and at their servers.  In a transaction.
 */
static void
refresh_syncs(ScimProvisioner *p)
{
	dlist_mutable_iter iter;
	ListCell   *lc;

	dlist_foreach_modify(iter, &p->syncs)
		dlist_container(ScimSyncRun, node, iter.cur)->wanted = false;

	foreach(lc, scim_outbound ? scim_sync_list_active() : NIL)
	{
		const ScimSync *sync = (const ScimSync *) lfirst(lc);
		ScimSyncRun *run = sync_run(p, sync->id);
		const char *secret;
		const char *problem;
		const ScimServer *server = usable_server(sync, &secret, &problem);

		strlcpy(run->name, sync->name, sizeof(run->name));
		if (!is_at_home(sync))
			continue;
		if (server == NULL)
		{
			scim_run_tell(sync, problem);
			continue;
		}
		if (scim_watch_gives_up(run))
		{
			scim_sync_set_state(sync->id, SCIM_SYNC_PAUSED, ENDLESS);
			ereport(WARNING,
					(errmsg("scim: sync \"%s\" is paused: %s", sync->name, ENDLESS),
					 errhidestmt(true), errhidecontext(true)));
			continue;
		}
		if (!claim_sync(run))
			continue;
		run->trial = run->trial && sync->state == SCIM_SYNC_QUARANTINED;
		run->probing = sync->state == SCIM_SYNC_QUARANTINED && !run->trial;
		/* that its target is not reached is said until it is */
		if (sync->state != SCIM_SYNC_QUARANTINED && !(run->target && run->target->unreached > 0))
			scim_run_tell(sync, NULL);
		run->wanted = true;
		/* what was forgotten when it stopped has left intents */
		if (run->draining)
		{
			forget_scan(p, run);
			run->recovered = false;
		}
		run->draining = false;
		run->target = scim_target_refresh(p, server, secret);
		run->due_at = 0;
	}
	dlist_foreach_modify(iter, &p->syncs)
	{
		ScimSyncRun *run = dlist_container(ScimSyncRun, node, iter.cur);

		if (!run->wanted)
			stop_sync(p, run);
	}
}

/* ---- transactions ---- */

/* SET CONSTRAINTS ALL IMMEDIATE: what the owner's code left pending fires as the owner. */
static void
fire_constraints(void)
{
	ConstraintsSetStmt *stmt = makeNode(ConstraintsSetStmt);

	stmt->constraints = NIL;
	stmt->deferred = false;
	AfterTriggerSetState(stmt);
}

static void
begin_transaction(const ScimSyncRun *run)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	/* documents and what the queue says of them have to be of one moment */
	XactIsoLevel = XACT_REPEATABLE_READ;
	scim_watch_begin(run ? run->id : 0);
	PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	scim_catalog_begin();
}

static void
end_transaction(ScimIdentity *identity)
{
	if (identity->switched)
		fire_constraints();
	scim_identity_close_gucs(identity);
	scim_catalog_end();
	SPI_finish();
	PopActiveSnapshot();
	scim_watch_end();
	CommitTransactionCommand();
	scim_identity_restore(identity);
}

/*
 * After an error: nothing of the transaction stays, nor the flights of the sync
 * it was about.  It has released the locks of all syncs; whoever got one before
 * it is back here works on that sync now.
 */
static void
abort_transaction(ScimProvisioner *p, ScimSyncRun *failed, ScimIdentity *identity)
{
	dlist_iter	iter;

	scim_watch_end();
	AbortCurrentTransaction();
	scim_identity_restore(identity);
	scim_core_reset();
	if (failed)
	{
		/* pages before this one were committed */
		char	   *reconciled = failed->began_after;
		bool		links = failed->began_links;

		failed->began_after = NULL;
		forget_flights(p, failed);
		failed->reconciled = reconciled;
		failed->reconcile_links = links;
	}
	StartTransactionCommand();
	dlist_foreach(iter, &p->syncs)
	{
		ScimSyncRun *run = dlist_container(ScimSyncRun, node, iter.cur);
		bool		claimed = run->claimed;

		run->claimed = false;
		if (claimed && !claim_sync(run))
		{
			forget_flights(p, run);
			run->due_at = 0;
		}
		else if (run->scan.state == SCIM_SCAN_RUNNING)
		{
			/* which has a lock of its own, that is gone as well */
			forget_scan(p, run);
			run->due_at = 0;
		}
	}
	CommitTransactionCommand();
}

/* One line for an operator; a message could hold values of rows. */
static void
log_failure(const ErrorData *edata, const char *what)
{
	ereport(LOG,
			(errmsg("scim: %s failed with SQLSTATE %s", what, unpack_sql_state(edata->sqlerrcode)),
			 errdetail("Raised in %s, %s:%d%s%s.", edata->funcname ? edata->funcname : "?",
					   edata->filename ? edata->filename : "?", edata->lineno,
					   edata->constraint_name ? ", constraint " : "", edata->constraint_name ? edata->constraint_name : ""),
			 errhidestmt(true), errhidecontext(true)));
}

/* Why the last one failed: becomes visible in scim.sync_status. */
static char *failure = NULL;

/* What the transactions of this file do. */
typedef void (*WorkStep) (ScimProvisioner *p, ScimSyncRun *run, ScimIdentity *identity);

static void
step_refresh(ScimProvisioner *p, ScimSyncRun *run, ScimIdentity *identity)
{
	refresh_syncs(p);
	if (p->tidy_at > scim_run_now())
		return;
	p->tidy_at = scim_run_now() + TIDY_MS;
	scim_attempts_forget();
	scim_links_give_up_waiting();
}

static void
step_work(ScimProvisioner *p, ScimSyncRun *run, ScimIdentity *identity)
{
	const ScimSync *sync = scim_sync_by_name(run->name);

	/* without a target: looking for syncs has failed when it had just found this one */
	if (sync == NULL || sync->id != run->id || run->target == NULL || !claim_sync(run))
	{
		run->wanted = false;
		forget_flights(p, run);
		return;
	}
	if (sync->state != SCIM_SYNC_ACTIVE && !(sync->state == SCIM_SYNC_QUARANTINED && (run->probing || run->trial)))
	{
		run->wanted = false;
		run->draining = true;
	}
	if (run->began_after)
		pfree(run->began_after);
	run->began_after = run->reconciled ? MemoryContextStrdup(p->context, run->reconciled) : NULL;
	run->began_links = run->reconcile_links;
	scim_identity_assume(identity, sync->owner, false);
	if (run->draining)
		scim_cycle_drain(p, run, sync);
	else
		scim_cycle_work(p, run, sync);
}

static void
step_tell(ScimProvisioner *p, ScimSyncRun *run, ScimIdentity *identity)
{
	const ScimSync *sync = scim_sync_by_name(run->name);

	if (sync && sync->state == SCIM_SYNC_ACTIVE)
		scim_run_tell(sync, failure);
}

/*
 * Run a step in a transaction.  False: it has failed and was rolled back;
 * "sqlstate" tells why.
 */
static bool
transact(ScimProvisioner *p, ScimSyncRun *run, WorkStep step, const char *what, int *sqlstate)
{
	MemoryContext caller = CurrentMemoryContext;
	ScimIdentity identity;
	volatile bool ok = true;

	memset(&identity, 0, sizeof(identity));
	PG_TRY();
	{
		begin_transaction(run);
		step(p, run, &identity);
		end_transaction(&identity);
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(caller);
		edata = CopyErrorData();
		FlushErrorState();
		abort_transaction(p, run, &identity);
		*sqlstate = edata->sqlerrcode;
		/* what this extension has to say holds nothing of a row */
		failure = edata->sqlerrcode == ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE ?
			MemoryContextStrdup(p->context, edata->message) : NULL;
		if (*sqlstate != ERRCODE_T_R_SERIALIZATION_FAILURE && *sqlstate != ERRCODE_T_R_DEADLOCK_DETECTED)
			log_failure(edata, what);
		FreeErrorData(edata);
		ok = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	HOLD_INTERRUPTS();
	scim_identity_scrub_session();
	RESUME_INTERRUPTS();
	return ok;
}

/* ---- what the worker calls ---- */

/* When answers of a sync are to be looked at; PG_INT64_MAX: there are none. */
static int64
answers_due(const ScimSyncRun *run)
{
	if (run->nanswers == 0)
		return PG_INT64_MAX;
	/* or nothing is under way that could be waited for */
	if (run->nanswers >= SCIM_GATHER_ANSWERS || run->target == NULL || run->alarmed || run->target->in_flight == 0)
		return 0;
	return run->answered_at + SCIM_GATHER_MS;
}

static ScimSyncRun *
next_to_work(ScimProvisioner *p, int64 now)
{
	dlist_iter	iter;

	dlist_foreach(iter, &p->syncs)
	{
		ScimSyncRun *run = dlist_container(ScimSyncRun, node, iter.cur);

		if (answers_due(run) <= now || run->due_at <= now)
			return run;
	}
	return NULL;
}

void
scim_provisioner_work(ScimProvisioner *p, bool woken)
{
	MemoryContext context = AllocSetContextCreate(p->context, "scim work", ALLOCSET_DEFAULT_SIZES);
	MemoryContext saved = MemoryContextSwitchTo(context);
	ScimSyncRun *run;
	int			sqlstate = 0;
	int64		now = scim_run_now();

	if (woken || (p->refresh_at != 0 && p->refresh_at <= now))
		p->refresh_at = transact(p, NULL, step_refresh, "looking for syncs", &sqlstate) ? 0 : now + BROKEN_WAIT_MS;
	while ((run = next_to_work(p, now)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		/* once in this call: what is due at once again comes after other answers */
		run->due_at = Max(run->due_at, now + 1);
		if (!transact(p, run, step_work, "work on a sync", &sqlstate))
		{
			bool		again = sqlstate == ERRCODE_T_R_SERIALIZATION_FAILURE || sqlstate == ERRCODE_T_R_DEADLOCK_DETECTED;

			run->due_at = scim_run_now() + (again ? 10 :
											sqlstate == ERRCODE_QUERY_CANCELED && scim_watch_took_long(run) ? SLOW_WAIT_MS : BROKEN_WAIT_MS);
			if (failure == NULL)
				failure = MemoryContextStrdup(p->context, psprintf("its work fails with SQLSTATE %s", unpack_sql_state(sqlstate)));
			if (!again)
				(void) transact(p, run, step_tell, "telling why a sync does not work", &sqlstate);
		}
		else
		{
			scim_watch_went_well(run);
			if (!run->wanted)
				stop_sync(p, run);
		}
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(saved);
	MemoryContextDelete(context);
}

/* Before anything else the target's token endpoint is asked. */
static ScimFlight *
ask_token(ScimProvisioner *p, ScimSyncRun *run, int64 now)
{
	ScimTargetRun *target = run->target;
	ScimFlight *flight = scim_flight_of_target(p->context, SCIM_PHASE_TOKEN, "POST", target->token_request.path);

	target->asking_until = now + target->token_wire.total_ms;
	scim_run_begin_flight(run, flight);
	return flight;
}

bool
scim_provisioner_next(ScimProvisioner *p, const ScimClientTarget **target, ScimClientRequest *request, void **tag)
{
	int64		now = scim_run_now();
	dlist_iter	iter;

	dlist_foreach(iter, &p->syncs)
	{
		ScimSyncRun *run = dlist_container(ScimSyncRun, node, iter.cur);
		dlist_iter	inner;

		if (run->target == NULL || run->draining || scim_target_wait(run->target, now) != 0)
			continue;
		dlist_foreach(inner, &run->flights)
		{
			ScimFlight *flight = dlist_container(ScimFlight, node, inner.cur);

			if (flight->sent || (flight->phase == SCIM_PHASE_CREATE && scim_target_create_wait(run->target, now) > 0))
				continue;
			if (!scim_target_has_token(run->target, now))
				flight = ask_token(p, run, now);
			else
			{
				ScimFlight *carrier = scim_bulk_gather(p, run, flight, now);

				if (carrier)
					flight = carrier;
			}
			flight->sent = true;
			flight->token_number = run->target->access_number;
			flight->target = run->target;
			scim_target_sent(run->target, flight->phase == SCIM_PHASE_CREATE ? 1 : flight->creates, now);
			*tag = flight;
			if (flight->phase == SCIM_PHASE_TOKEN)
			{
				*request = run->target->token_request;
				*target = &run->target->token_wire;
				return true;
			}
			request->method = flight->method;
			request->path = flight->path;
			request->body = flight->body;
			request->body_len = flight->body ? strlen(flight->body) : 0;
			request->max_body = strchr(flight->path, '?') || flight->carried ? MAX_LIST_ANSWER : MAX_ANSWER;
			*target = &run->target->wire;
			return true;
		}
	}
	return false;
}

void
scim_provisioner_answer(ScimProvisioner *p, ScimClientResponse *response)
{
	ScimFlight *flight = (ScimFlight *) response->tag;
	int64		now = scim_run_now();

	if (scim_target_answered(flight->target, response, now) && flight->run->alarmed == NULL)
	{
		flight->run->alarmed = flight->target;
		flight->target->alarmed++;
	}
	flight->response = response;
	if (flight->run->nanswers++ == 0)
		flight->run->answered_at = now;
}

void *
scim_provisioner_cancelled(ScimProvisioner *p)
{
	ScimFlight *flight;

	if (dlist_is_empty(&p->orphans))
		return NULL;
	flight = dlist_container(ScimFlight, node, dlist_pop_head_node(&p->orphans));
	(void) scim_target_answered(flight->target, NULL, scim_run_now());
	scim_flight_end(flight);
	return flight;
}

long
scim_provisioner_wait(ScimProvisioner *p)
{
	int64		now = scim_run_now();
	int64		wait = p->refresh_at != 0 ? Max(p->refresh_at - now, 0) : -1;
	dlist_iter	iter;

	dlist_foreach(iter, &p->syncs)
	{
		ScimSyncRun *run = dlist_container(ScimSyncRun, node, iter.cur);
		int64		due = Min(answers_due(run), run->due_at);
		dlist_iter	inner;

		/* a request that is held back */
		dlist_foreach(inner, &run->flights)
		{
			ScimFlight *flight = dlist_container(ScimFlight, node, inner.cur);
			long		hold;

			if (flight->sent)
				continue;
			hold = scim_target_wait(run->target, now);
			if (hold >= 0 && flight->phase == SCIM_PHASE_CREATE)
				hold = Max(hold, scim_target_create_wait(run->target, now));
			if (hold >= 0)
				due = Min(due, now + hold);
			if (hold < 0 || flight->phase != SCIM_PHASE_CREATE)
				break;
		}
		if (due != PG_INT64_MAX)
			wait = wait < 0 ? Max(due - now, 0) : Min(wait, Max(due - now, 0));
	}
	return (long) Min(wait, INT_MAX);
}

void
scim_provisioner_destroy(ScimProvisioner *p)
{
	dlist_mutable_iter iter;

	/* their transactions are long over; only the locks of syncs are left */
	StartTransactionCommand();
	dlist_foreach_modify(iter, &p->syncs)
		release_sync(p, dlist_container(ScimSyncRun, node, iter.cur));
	CommitTransactionCommand();
	MemoryContextDelete(p->context);
}
