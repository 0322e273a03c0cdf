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
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "provisioner_flight.h"
#include "provisioner_guard.h"
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

typedef struct ScimTargetRun
{
	dlist_node	node;
	MemoryContext context;		/* of the texts */
	char	   *name;
	char	   *secret;
	ScimClientTarget wire;
	double		rate;			/* requests a second; 0: no limit */
	double		burst;
	int			concurrency;
	double		tokens;
	int64		tokens_at;		/* ms */
	int64		blocked_until;	/* ms */
	int			unreached;		/* in a row */
	int			in_flight;
	bool		used;			/* by a sync of this round */
} ScimTargetRun;

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
	Datum		full_entries;	/* of the queue, that a reconcile serves (an array of ids); 0: none */
	bool		reconcile_links;	/* the second half of a reconcile is under way */
	char	   *reconciled;		/* key up to which it has come; NULL: nowhere yet */
} ScimSyncRun;

struct ScimProvisioner
{
	MemoryContext context;
	dlist_head	targets;
	dlist_head	syncs;
	int64		refresh_at;		/* ms: look again which syncs there are; 0: when woken */
};

static int64
now_ms(void)
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
	return p;
}

/* ---- targets ---- */

static char *
keep(ScimTargetRun *target, const char *text)
{
	return text ? MemoryContextStrdup(target->context, text) : NULL;
}

/* As the catalogs have it now; what is known of its state stays. */
static ScimTargetRun *
refresh_target(ScimProvisioner *p, const ScimServer *server, const char *secret)
{
	ScimTargetRun *target = NULL;
	dlist_iter	iter;

	dlist_foreach(iter, &p->targets)
	{
		ScimTargetRun *known = dlist_container(ScimTargetRun, node, iter.cur);

		if (strcmp(known->name, server->name) == 0)
			target = known;
	}
	if (target == NULL)
	{
		target = MemoryContextAllocZero(p->context, sizeof(ScimTargetRun));
		target->context = AllocSetContextCreate(p->context, "scim target", ALLOCSET_SMALL_SIZES);
		target->name = MemoryContextStrdup(p->context, server->name);
		target->tokens = server->burst;
		target->tokens_at = now_ms();
		dlist_push_tail(&p->targets, &target->node);
	}
	MemoryContextReset(target->context);
	target->secret = keep(target, secret);
	target->wire.base_url = keep(target, server->base_url);
	target->wire.token = target->secret;
	target->wire.ca_file = keep(target, server->ca_file);
	target->wire.allowed = keep(target, scim_allowed_targets);
	target->wire.content_type = keep(target, server->content_type);
	target->wire.accept = keep(target, server->accept);
	target->wire.connect_ms = server->connect_timeout;
	target->wire.total_ms = server->total_timeout;
	target->wire.max_connections = server->concurrency;
	target->concurrency = server->concurrency;
	target->rate = server->rate_per_second;
	target->burst = Max(server->burst, 1);
	return target;
}

static void
refill(ScimTargetRun *target, int64 now)
{
	if (target->rate <= 0)
		return;
	target->tokens = Min(target->burst, target->tokens + target->rate * (now - target->tokens_at) / 1000.0);
	target->tokens_at = now;
}

/* Milliseconds until the target may be asked; 0: now. */
static long
target_wait(ScimTargetRun *target, int64 now)
{
	refill(target, now);
	if (target->blocked_until > now)
		return (long) (target->blocked_until - now);
	if (target->rate > 0 && target->tokens < 1)
		return (long) ((1 - target->tokens) * 1000.0 / target->rate) + 1;
	return 0;
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
	run->reconcile_links = false;
	if (run->reconciled)
		pfree(run->reconciled);
	run->reconciled = NULL;
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

	forget_flights(run);
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

/* A sync that works says nothing; another says what keeps it from it. */
static void
tell(const ScimSync *sync, const char *reason)
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
			tell(sync, problem);
			continue;
		}
		if (!claim_sync(run))
			continue;
		run->probing = sync->state == SCIM_SYNC_QUARANTINED;
		if (!run->probing)
			tell(sync, NULL);
		run->wanted = true;
		run->target = refresh_target(p, server, secret);
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

static void
set_reconciled(ScimProvisioner *p, ScimSyncRun *run, const char *key)
{
	if (run->reconciled)
		pfree(run->reconciled);
	run->reconciled = key ? MemoryContextStrdup(p->context, key) : NULL;
}

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
				tell(sync, news->reason);
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
		forget_answer(run, flight);
		hear(run, view->sync, &news, now);
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

/* The entries of the queue that this reconcile serves. */
static void
begin_reconcile(ScimProvisioner *p, ScimSyncRun *run)
{
	Datum		entries = scim_links_full_entries(run->id);
	MemoryContext saved = MemoryContextSwitchTo(p->context);

	if (run->full_entries)
		pfree(DatumGetPointer(run->full_entries));
	run->full_entries = datumCopy(entries, false, -1);
	MemoryContextSwitchTo(saved);
}

/*
 * A reconcile, page by page: first every row gets a link that has none, then
 * every link is held against its row.  What is as it should be is not touched.
 */
static void
reconcile_rows(ScimProvisioner *p, ScimSyncRun *run, const ScimSyncView *view)
{
	const char **keys;
	int			n = scim_store_keys(&view->target, run->reconciled, RECONCILE_PAGE, &keys);

	if (run->reconciled == NULL)
		begin_reconcile(p, run);
	if (run->reconciled == NULL && n == 0)
		/* an empty source is more likely a mistake than the end of everybody */
		scim_guard_stage_all(run->id);
	if (n > 0)
		scim_links_add(run->id, keys, n);
	set_reconciled(p, run, n == RECONCILE_PAGE ? keys[n - 1] : NULL);
	run->reconcile_links = n < RECONCILE_PAGE;
}

static void
reconcile_links(ScimProvisioner *p, ScimSyncRun *run, const ScimSyncView *view)
{
	int			n;
	ScimLink   *links = scim_links_page(run->id, run->reconciled, RECONCILE_PAGE, &n);
	const char **keys = palloc(sizeof(char *) * Max(n, 1));
	ScimDocument *documents;
	int			nmarked = 0;

	for (int i = 0; i < n; i++)
		keys[i] = links[i].key;
	documents = scim_documents_read(view, keys, n);
	for (int i = 0; i < n; i++)
		if (scim_link_needs_look(&links[i], &documents[i]))
			keys[nmarked++] = links[i].key;
	if (nmarked > 0)
		scim_links_mark(run->id, keys, nmarked);
	set_reconciled(p, run, n == RECONCILE_PAGE ? links[n - 1].key : NULL);
	if (n < RECONCILE_PAGE)
	{
		scim_links_forget_full(run->id, run->full_entries);
		run->reconcile_links = false;
	}
}

static void
begin_flight(ScimSyncRun *run, ScimFlight *flight)
{
	flight->run = run;
	dlist_push_tail(&run->flights, &flight->node);
	run->nflights++;
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
	ScimLink   *links = scim_links_due(run->id, limit, &n);
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
		begin_flight(run, scim_flight_begin(p->context, &links[i], decision));
	}
	run->idle_rows = begun < n / 4;
	return n == limit;
}

/* What another process has left: rows in flight, and what it was told to wait for. */
static void
recover(ScimSyncRun *run, const ScimSync *sync, int64 now)
{
	TimestampTz held = scim_attempts_held(sync->server);

	if (held != 0)
		run->target->blocked_until = Max(run->target->blocked_until,
										 now + TimestampDifferenceMilliseconds(GetCurrentTimestamp(), held) + 1);
	(void) scim_links_recover(run->id);
	run->recovered = true;
}

/*
 * All that there is to do for a sync now.
 */
static void
work_sync(ScimProvisioner *p, ScimSyncRun *run, const ScimSync *sync)
{
	const ScimSyncView *view = scim_sync_view(sync);
	int64		now = now_ms();
	int			room = 2 * run->target->concurrency - run->nflights + run->nanswers;
	bool		more = false;
	bool		full = false;

	if (!run->recovered)
		recover(run, sync, now);
	look_at_answers(p, run, view, now);
	if (!run->wanted)
		return;
	if (run->probing)
	{
		if (run->nflights == 0)
			begin_flight(run, scim_flight_probe(p->context, view));
		run->due_at = PG_INT64_MAX;
		return;
	}

	if (scim_links_absorb(run->id, &full) > 0)
		more = true;
	if (full)
	{
		if (run->reconcile_links)
			reconcile_links(p, run, view);
		else
			reconcile_rows(p, run, view);
		more = true;
	}
	/* while the target must not be asked, rows are better read later */
	if (room > 0 && run->target->blocked_until <= now)
		more = take_up(p, run, view, room) || more;

	if (run->target->blocked_until > now)
		run->due_at = run->target->blocked_until;
	else if (run->nflights >= 2 * run->target->concurrency)
		run->due_at = PG_INT64_MAX;	/* an answer comes first */
	else if (more)
		run->due_at = now;
	else
	{
		TimestampTz next = scim_links_next(run->id);

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
		tell(sync, failure);
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
	int64		now = now_ms();

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

			run->due_at = now_ms() + (again ? 10 : BROKEN_WAIT_MS);
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
	int64		now = now_ms();
	dlist_iter	iter;

	dlist_foreach(iter, &p->syncs)
	{
		ScimSyncRun *run = dlist_container(ScimSyncRun, node, iter.cur);
		dlist_iter	inner;

		if (run->target == NULL || run->target->in_flight >= run->target->concurrency || target_wait(run->target, now) > 0)
			continue;
		dlist_foreach(inner, &run->flights)
		{
			ScimFlight *flight = dlist_container(ScimFlight, node, inner.cur);

			if (flight->sent)
				continue;
			flight->sent = true;
			flight->target = run->target;
			run->target->in_flight++;
			run->target->tokens -= 1;
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

	flight->target->in_flight--;
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
	int64		now = now_ms();
	int64		wait = p->refresh_at != 0 ? Max(p->refresh_at - now, 0) : -1;
	dlist_iter	iter;

	dlist_foreach(iter, &p->syncs)
	{
		ScimSyncRun *run = dlist_container(ScimSyncRun, node, iter.cur);
		int64		due = run->nanswers > 0 ? now : run->due_at;
		dlist_iter	inner;

		/* a request that is held back */
		dlist_foreach(inner, &run->flights)
			if (!dlist_container(ScimFlight, node, inner.cur)->sent)
			{
				if (run->target->in_flight < run->target->concurrency)
					due = Min(due, now + target_wait(run->target, now));
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
