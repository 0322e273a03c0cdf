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
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "provisioner_guard.h"
#include "provisioner_run.h"
#include "../compat.h"
#include "../scim_guc.h"

/* Rows that one transaction takes up, and keys of one page of a reconcile. */
#define MAX_CLAIM 200
#define RECONCILE_PAGE 1000

/* Why a sync stops that was not started in this database. */
#define ELSEWHERE "it was started in another server or database, of which this may be a copy"

/*
 * In ten minutes so many rows, and more than this share of them refused for
 * good, are no matter of rows any more.
 */
#define WINDOW_MS (10 * 60 * 1000)
#define WINDOW_ROWS 50
#define WINDOW_PERCENT 40

/* A sync whose transaction has failed waits. */
#define BROKEN_WAIT_MS 10000

/* Largest answers: a resource, a list. */
#define MAX_ANSWER (4 * 1024 * 1024)
#define MAX_LIST_ANSWER (16 * 1024 * 1024)

/* Rows that wait for others are looked at so long after one of those was linked. */
#define WAITING_MS 1000

/* An unreachable target: 1 s, 2 s, ... 15 min. */
#define UNREACHED_FIRST_MS 1000
#define UNREACHED_MOST_MS (15 * 60 * 1000)

/* In place of a catalog in the tag of a lock. */
#define SYNC_LOCK_CLASS 0x7363696d

/* 403 for so many rows, one after the other, is about the token. */
#define MAX_FORBIDDEN 3

ScimProvisioner *
scim_provisioner_create(void)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "scim provisioner", ALLOCSET_DEFAULT_SIZES);
	ScimProvisioner *p = MemoryContextAllocZero(context, sizeof(ScimProvisioner));

	p->context = context;
	dlist_init(&p->targets);
	dlist_init(&p->syncs);
	return p;
}

/* ---- syncs ---- */

static void
forget_answer(ScimSyncRun *run, ScimFlight *flight)
{
	if (flight->response == NULL)
		return;
	scim_client_release(flight->response);
	flight->response = NULL;
	run->nanswers--;
}

static void
forget_flight(ScimSyncRun *run, ScimFlight *flight)
{
	bool		under_way = flight->sent && flight->response == NULL;

	dlist_delete(&flight->node);
	run->nflights--;
	forget_answer(run, flight);
	if (under_way)
		flight->run = NULL;		/* freed when its answer comes */
	else
		scim_flight_end(flight);
}

static void
forget_flights(ScimSyncRun *run)
{
	dlist_mutable_iter iter;

	dlist_foreach_modify(iter, &run->flights)
		forget_flight(run, dlist_container(ScimFlight, node, iter.cur));
	run->recovered = false;
	run->scan.state = SCIM_SCAN_NONE;
}

/*
 * The lock that says who works on a sync: held by this session until the sync
 * stops, the process ends, or a transaction fails, which releases it and is the
 * end of all flights anyway.  (An advisory lock would not survive the scrubbing
 * of the session.)
 */
static void
sync_lock_tag(int64 id, LOCKTAG *tag)
{
	SET_LOCKTAG_OBJECT(*tag, MyDatabaseId, SYNC_LOCK_CLASS, (Oid) id, 0);
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
release_sync(ScimSyncRun *run)
{
	LOCKTAG		tag;

	if (run->scan.state == SCIM_SCAN_RUNNING)
		scim_scan_release(run->id);
	forget_flights(run);
	if (run->claimed)
	{
		sync_lock_tag(run->id, &tag);
		(void) LockRelease(&tag, ExclusiveLock, true);
	}
	if (run->reconciled)
		pfree(run->reconciled);
	dlist_delete(&run->node);
	pfree(run);
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

/*
 * Look which syncs are active, and at their servers.  In a transaction.
 */
static void
refresh_syncs(ScimProvisioner *p)
{
	const char *home = scim_guard_home();
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
		if (sync->home == NULL || strcmp(sync->home, home) != 0)
		{
			scim_sync_set_state(sync->id, SCIM_SYNC_PAUSED, ELSEWHERE);
			ereport(WARNING,
					(errmsg("scim: sync \"%s\" is paused: %s", sync->name, ELSEWHERE),
					 errhint("SELECT * FROM scim.plan(...); then scim.resume_sync(...)."),
					 errhidestmt(true), errhidecontext(true)));
			continue;
		}
		if (server == NULL)
		{
			scim_run_tell(sync, problem);
			continue;
		}
		if (!claim_sync(run))
			continue;
		run->probing = sync->state == SCIM_SYNC_QUARANTINED;
		if (!run->probing)
			scim_run_tell(sync, NULL);
		run->wanted = true;
		run->target = scim_target_refresh(&p->targets, p->context, server, secret);
		run->due_at = 0;
	}
	dlist_foreach_modify(iter, &p->syncs)
	{
		ScimSyncRun *run = dlist_container(ScimSyncRun, node, iter.cur);

		if (!run->wanted)
			release_sync(run);
	}
}

/* ---- one sync, in its transaction ---- */

/* Into quarantine: after this transaction the sync sends nothing more. */
static void
stop(ScimSyncRun *run, const ScimSync *sync, const char *reason)
{
	if (!run->wanted)
		return;
	run->wanted = false;
	scim_guard_quarantine(sync, reason);
}

/* Is it still a matter of single rows? */
static void
weigh(ScimSyncRun *run, const ScimSync *sync, bool parked, int64 now)
{
	if (now - run->window_at > WINDOW_MS)
	{
		run->window_at = now;
		run->finished = run->parked = 0;
	}
	run->finished++;
	run->parked += parked;
	if (run->finished >= WINDOW_ROWS && run->parked * 100 > run->finished * WINDOW_PERCENT)
		stop(run, sync, psprintf("the target has refused %d of %d rows", run->parked, run->finished));
}

/* What an answer says of the target. */
static void
hear(ScimSyncRun *run, const ScimSync *sync, const ScimTargetNews *news, int64 now)
{
	ScimTargetRun *target = run->target;

	if (news->wait_ms > 0)
		target->blocked_until = Max(target->blocked_until, now + news->wait_ms);
	switch (news->verdict)
	{
		case SCIM_VERDICT_UNREACHED:
			/* answers of one moment are one failure */
			if (target->blocked_until <= now)
			{
				target->blocked_until = now + scim_retry_backoff(target->unreached++, UNREACHED_FIRST_MS, UNREACHED_MOST_MS);
				scim_run_tell(sync, news->reason);
			}
			return;
		case SCIM_VERDICT_UNAUTHORIZED:
			stop(run, sync, psprintf("the target refuses the secret (%s)", news->reason));
			return;
		case SCIM_VERDICT_FORBIDDEN:
			if (++run->forbidden >= MAX_FORBIDDEN || run->probing)
				stop(run, sync, psprintf("the target forbids one row after the other (%s)", news->reason));
			return;
		case SCIM_VERDICT_OK:
			run->forbidden = 0;
			/* FALLTHROUGH */
		default:
			target->unreached = 0;
	}
}

void
scim_run_begin(ScimSyncRun *run, ScimFlight *flight)
{
	flight->run = run;
	dlist_push_tail(&run->flights, &flight->node);
	run->nflights++;
}

static void
look_at_answers(ScimProvisioner *p, ScimSyncRun *run, const ScimSyncView *view, int64 now)
{
	dlist_mutable_iter iter;
	bool		linked = false;

	dlist_foreach_modify(iter, &run->flights)
	{
		ScimFlight *flight = dlist_container(ScimFlight, node, iter.cur);
		ScimTargetNews news;
		bool		over;

		if (flight->response == NULL)
			continue;
		over = scim_flight_answer(view, flight, flight->response, run->target->secret, &news);
		if (flight->phase == SCIM_PHASE_SCAN && over)
			scim_list_take(p, run, view, news.page, now);
		forget_answer(run, flight);
		hear(run, view->sync, &news, now);
		if (news.learned)
			p->refresh_at = now;
		if (news.rescan && run->scan.state == SCIM_SCAN_DONE)
			run->scan.state = SCIM_SCAN_NONE;
		linked = linked || news.linked;
		if (news.probed)
		{
			/* what comes next shows whether it is over */
			scim_sync_set_state(view->sync->id, SCIM_SYNC_ACTIVE, NULL);
			run->probing = false;
		}
		else if (run->probing)
			stop(run, view->sync, view->sync->state_reason);
		if (over)
		{
			if (flight->key)
				weigh(run, view->sync, news.parked, now);
			forget_flight(run, flight);
		}
	}
	if (!linked)
		return;
	/* rows that refer to these can go on, also those of other syncs */
	scim_links_wake_waiting(view->sync->server);
	dlist_foreach_modify(iter, &p->syncs)
	{
		ScimSyncRun *other = dlist_container(ScimSyncRun, node, iter.cur);

		if (other->target == run->target)
			other->due_at = Min(other->due_at, now + WAITING_MS);
	}
}

/*
 * A reconcile: every link is looked at, and every row that has none gets one,
 * page by page.
 */
static void
reconcile(ScimProvisioner *p, ScimSyncRun *run, const ScimSyncView *view)
{
	const char **keys;
	int			n;

	n = scim_store_keys(&view->target, run->reconciled, RECONCILE_PAGE, &keys);
	if (run->reconciled == NULL && n == 0)
		/* an empty source is more likely a mistake than the end of everybody */
		scim_guard_stage_all(run->id);
	else if (run->reconciled == NULL)
		scim_links_mark_all(run->id);
	if (n > 0)
		scim_links_add(run->id, keys, n);
	if (run->reconciled)
		pfree(run->reconciled);
	run->reconciled = NULL;
	if (n == RECONCILE_PAGE)
		run->reconciled = MemoryContextStrdup(p->context, keys[n - 1]);
	else
		scim_links_forget_full(run->id);
}

/*
 * Take up links that are due, while there is room for flights.  True: there may
 * be more.
 */
static bool
take_up(ScimProvisioner *p, ScimSyncRun *run, const ScimSyncView *view, int room)
{
	/* in a reconcile nearly all rows are as they should be: then read many */
	int			limit = run->idle_rows ? MAX_CLAIM : Min(room, MAX_CLAIM);
	int			begun = 0;
	int			n;
	bool		rescan = false;
	bool		linked = scim_list_awaited(run, view);
	ScimLink   *links = scim_links_due(run->id, linked, limit, &n);
	const char **keys = palloc(sizeof(char *) * Max(n, 1));
	ScimDocument *documents;
	TimestampTz now = GetCurrentTimestamp();
	ScimDeleteGuard guard;

	for (int i = 0; i < n; i++)
		keys[i] = links[i].key;
	documents = scim_documents_read(view, keys, n);
	memset(&guard, 0, sizeof(guard));
	for (int i = 0; i < n; i++)
	{
		ScimDecision *decision;
		ScimFlight *flight;

		scim_heap_begin((size_t) scim_request_memory * 1024);
		decision = scim_decide(view, &links[i], &documents[i], now);
		if (decision->action != SCIM_ACTION_NONE && begun >= room)
			continue;
		scim_guard_check(view, &guard, &links[i], decision);
		if (decision->action == SCIM_ACTION_NONE)
		{
			scim_link_store(run->id, &decision->after);
			continue;
		}
		begun++;
		scim_link_intend(run->id, links[i].key,
						 decision->action == SCIM_ACTION_CREATE ? "match" : scim_action_name(decision->action));
		flight = scim_flight_begin(p->context, &links[i], decision);
		if (decision->action == SCIM_ACTION_CREATE && run->scan.state == SCIM_SCAN_DONE &&
			(links[i].doubt == 0 || view->server->list_scan))
		{
			ScimTargetNews news;
			bool		over = scim_flight_match_list(view, flight, &news);

			if (news.rescan)
				rescan = true;
			if (over)
			{
				scim_flight_end(flight);
				continue;
			}
		}
		scim_run_begin(run, flight);
	}
	if (rescan)
		run->scan.state = SCIM_SCAN_NONE;
	run->idle_rows = begun < n / 4;
	return n == limit;
}

/*
 * All that there is to do for a sync now.
 */
static void
work_sync(ScimProvisioner *p, ScimSyncRun *run, const ScimSync *sync)
{
	const ScimSyncView *view = scim_sync_view(sync);
	int64		now = scim_target_now();
	int			room = 2 * run->target->concurrency - run->nflights + run->nanswers;
	bool		more = false;
	bool		full = false;
	bool		listing;

	if (!run->recovered)
		(void) scim_links_recover(run->id);
	run->recovered = true;
	look_at_answers(p, run, view, now);
	if (!run->wanted)
		return;
	if (run->probing)
	{
		if (run->nflights == 0)
			scim_run_begin(run, scim_flight_probe(p->context, view));
		run->due_at = PG_INT64_MAX;
		return;
	}

	if (scim_links_absorb(run->id, &full) > 0)
		more = true;
	if (full)
	{
		/* a new cycle: what was read before is of the last one */
		if (run->reconciled == NULL && run->scan.state != SCIM_SCAN_RUNNING)
			run->scan.state = SCIM_SCAN_NONE;
		reconcile(p, run, view);
		more = true;
	}
	scim_list_want(p, run, view, now);
	listing = scim_list_awaited(run, view);
	/* while the target must not be asked, rows are better read later */
	if (room > 0 && run->target->blocked_until <= now && (!listing || run->linked_at <= now))
	{
		run->linked_at = now + SCIM_LIST_MS;
		more = take_up(p, run, view, room) || more;
	}

	if (run->target->blocked_until > now)
		run->due_at = run->target->blocked_until;
	else if (run->nflights >= 2 * run->target->concurrency)
		run->due_at = PG_INT64_MAX;	/* an answer comes first */
	else if (listing)
		run->due_at = full ? now : now + SCIM_LIST_MS;
	else if (more)
		run->due_at = now;
	else
	{
		TimestampTz next = scim_links_next(run->id);

		if (run->nflights == 0)
			run->scan.state = SCIM_SCAN_NONE;
		run->due_at = next == DT_NOEND ? PG_INT64_MAX :
			now + TimestampDifferenceMilliseconds(GetCurrentTimestamp(), next) + 1;
	}
}

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
begin_transaction(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	/* documents and what the queue says of them have to be of one moment */
	XactIsoLevel = XACT_REPEATABLE_READ;
	enable_timeout_after(STATEMENT_TIMEOUT, scim_statement_timeout);
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
	disable_timeout(STATEMENT_TIMEOUT, false);
	CommitTransactionCommand();
	scim_identity_restore(identity);
}

/* After an error: nothing of the transaction stays, nor the locks of syncs. */
static void
abort_transaction(ScimProvisioner *p, ScimIdentity *identity)
{
	dlist_iter	iter;

	disable_timeout(STATEMENT_TIMEOUT, false);
	AbortCurrentTransaction();
	scim_identity_restore(identity);
	scim_core_reset();
	scim_store_reset();
	dlist_foreach(iter, &p->syncs)
	{
		ScimSyncRun *run = dlist_container(ScimSyncRun, node, iter.cur);

		forget_flights(run);
		run->claimed = false;
	}
}

/* One line for an operator; a message could hold values of rows. */
static void
log_failure(const ErrorData *edata, const char *what)
{
	ereport(LOG,
			(errmsg("scim: %s failed with SQLSTATE %s", what, unpack_sql_state(edata->sqlerrcode)),
			 errdetail("Raised in %s, %s:%d.", edata->funcname ? edata->funcname : "?",
					   edata->filename ? edata->filename : "?", edata->lineno),
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
	scim_attempts_forget();
}

static void
step_work(ScimProvisioner *p, ScimSyncRun *run, ScimIdentity *identity)
{
	const ScimSync *sync = scim_sync_by_name(run->name);

	if (sync == NULL || sync->id != run->id || !claim_sync(run) ||
		!(sync->state == SCIM_SYNC_ACTIVE || (sync->state == SCIM_SYNC_QUARANTINED && run->probing)))
	{
		run->wanted = false;
		return;
	}
	scim_identity_assume(identity, sync->owner, false);
	work_sync(p, run, sync);
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
		begin_transaction();
		step(p, run, &identity);
		end_transaction(&identity);
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(caller);
		edata = CopyErrorData();
		FlushErrorState();
		abort_transaction(p, &identity);
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

static ScimSyncRun *
next_to_work(ScimProvisioner *p, int64 now)
{
	dlist_iter	iter;

	dlist_foreach(iter, &p->syncs)
	{
		ScimSyncRun *run = dlist_container(ScimSyncRun, node, iter.cur);

		if (run->nanswers > 0 || run->due_at <= now)
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
	int64		now = scim_target_now();

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

			run->due_at = scim_target_now() + (again ? 10 : BROKEN_WAIT_MS);
			if (failure == NULL)
				failure = MemoryContextStrdup(p->context, psprintf("its work fails with SQLSTATE %s", unpack_sql_state(sqlstate)));
			if (!again)
				(void) transact(p, run, step_tell, "telling why a sync does not work", &sqlstate);
		}
		else if (!run->wanted)
			release_sync(run);
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(saved);
	MemoryContextDelete(context);
}

bool
scim_provisioner_next(ScimProvisioner *p, const ScimClientTarget **target, ScimClientRequest *request, void **tag)
{
	int64		now = scim_target_now();
	dlist_iter	iter;

	dlist_foreach(iter, &p->syncs)
	{
		ScimSyncRun *run = dlist_container(ScimSyncRun, node, iter.cur);
		dlist_iter	inner;

		if (run->target == NULL || scim_target_wait(run->target, now) != 0)
			continue;
		dlist_foreach(inner, &run->flights)
		{
			ScimFlight *flight = dlist_container(ScimFlight, node, inner.cur);

			if (flight->sent || (flight->phase == SCIM_PHASE_CREATE && scim_target_create_wait(run->target, now) > 0))
				continue;
			flight->sent = true;
			flight->target = run->target;
			scim_target_sent(run->target, flight->phase == SCIM_PHASE_CREATE, now);
			request->method = flight->method;
			request->path = flight->path;
			request->body = flight->body;
			request->body_len = flight->body ? strlen(flight->body) : 0;
			request->max_body = strchr(flight->path, '?') ? MAX_LIST_ANSWER : MAX_ANSWER;
			*target = &run->target->wire;
			*tag = flight;
			return true;
		}
	}
	return false;
}

void
scim_provisioner_answer(ScimProvisioner *p, ScimClientResponse *response)
{
	ScimFlight *flight = (ScimFlight *) response->tag;

	scim_target_answered(flight->target, response, scim_target_now());
	if (flight->run)
	{
		flight->response = response;
		flight->run->nanswers++;
		return;
	}
	scim_client_release(response);
	scim_flight_end(flight);
}

long
scim_provisioner_wait(ScimProvisioner *p)
{
	int64		now = scim_target_now();
	int64		wait = p->refresh_at != 0 ? Max(p->refresh_at - now, 0) : -1;
	dlist_iter	iter;

	dlist_foreach(iter, &p->syncs)
	{
		ScimSyncRun *run = dlist_container(ScimSyncRun, node, iter.cur);
		int64		due = run->nanswers > 0 ? now : run->due_at;
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
		release_sync(dlist_container(ScimSyncRun, node, iter.cur));
	CommitTransactionCommand();
	MemoryContextDelete(p->context);
}
