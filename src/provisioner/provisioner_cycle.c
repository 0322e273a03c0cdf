/*
 * provisioner_cycle.c
 *		One sync in one transaction: answers, queue, reconcile, what is due
 *		(provisioning-engine 2.4, 2.5, 2.9).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "provisioner_guard.h"
#include "provisioner_run.h"
#include "../scim_guc.h"

/* Rows that one transaction takes up. */
#define MAX_CLAIM 400

/* Flights that are made ready, besides those for which there is room at the target. */
#define MAX_LEAD 500

/*
 * In ten minutes so many rows, and more than this share of them refused for
 * good, are no matter of rows any more.
 */
#define WINDOW_MS (10 * 60 * 1000)
#define WINDOW_ROWS 50
#define WINDOW_PERCENT 40

/* Rows that wait for others are looked at so long after one of those was linked. */
#define WAITING_MS 1000

/* Links that somebody has locked are looked at again after this. */
#define LOCKED_MS 5

/* Without a token the target is not asked, nor its endpoint before this. */
#define TOKEN_WAIT_MS 5000

/* Without any answer, after waits that have grown to minutes, it is left alone. */
#define MAX_UNREACHED 10

/* 403 for so many rows, one after the other, is about the token. */
#define MAX_FORBIDDEN 3

static void
set_reconciled(ScimProvisioner *p, ScimSyncRun *run, const char *key)
{
	if (run->reconciled)
		pfree(run->reconciled);
	run->reconciled = key ? MemoryContextStrdup(p->context, key) : NULL;
}

static void
quarantine(ScimSyncRun *run, const ScimSync *sync, const char *reason, bool unreached)
{
	if (!run->wanted)
		return;
	run->wanted = run->trial = false;
	/* afterwards it is judged by what comes then */
	run->finished = run->parked = run->forbidden = 0;
	scim_guard_quarantine(sync, reason, unreached);
}

/* Into quarantine: after this transaction the sync sends nothing more. */
static void
stop(ScimSyncRun *run, const ScimSync *sync, const char *reason)
{
	quarantine(run, sync, reason, false);
}

/* Out of it. */
static void
end_quarantine(ScimSyncRun *run, const ScimSync *sync)
{
	run->trial = false;
	scim_sync_set_state(sync->id, SCIM_SYNC_ACTIVE, NULL);
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

static void
reached(ScimSyncRun *run, const ScimSync *sync)
{
	if (run->target->unreached > 0 && run->wanted && sync->state == SCIM_SYNC_ACTIVE)
		scim_run_tell(sync, NULL);
	scim_target_reached(run->target);
}

/* What an answer says of the target. */
static void
hear(ScimSyncRun *run, const ScimSync *sync, const ScimFlight *flight, const ScimTargetNews *news, int64 now)
{
	ScimTargetRun *target = run->target;
	bool		token = flight->phase == SCIM_PHASE_TOKEN;

	if (news->wait_ms > 0)
		scim_target_block(target, now + news->wait_ms);
	switch (news->verdict)
	{
		case SCIM_VERDICT_UNREACHED:
		case SCIM_VERDICT_BARRED:
			if (scim_target_unreached(target, now) && run->wanted)
				scim_run_tell(sync, news->reason);
			if (target->unreached >= MAX_UNREACHED)
				quarantine(run, sync, psprintf("the target was not reached %d times in a row: see last_error", MAX_UNREACHED), true);
			return;
		case SCIM_VERDICT_UNAUTHORIZED:
			if (!token && scim_target_renew_token(target, flight->token_number))
				return;
			stop(run, sync, psprintf("the target refuses the secret (%s)", news->reason));
			return;
		case SCIM_VERDICT_MOVED:
			/* every row would hear the same, and nobody follows with a token to where an answer says */
			stop(run, sync, psprintf("the target redirects (%d): base_url has to name the service itself", news->status));
			return;
		case SCIM_VERDICT_FORBIDDEN:
			if (++run->forbidden >= MAX_FORBIDDEN || run->probing || run->trial)
				stop(run, sync, psprintf("the target forbids one row after the other (%s)", news->reason));
			return;
		case SCIM_VERDICT_REFUSED:
			if (token)
				stop(run, sync, psprintf("the token endpoint refuses the client (%s)", news->reason));
			reached(run, sync);
			return;
		case SCIM_VERDICT_OK:
			run->forbidden = 0;
			target->renewed = target->renewed && token;
			/* FALLTHROUGH */
		default:
			reached(run, sync);
	}
}

/* A target that answers fast does not wait for rows to be read. */
static void
set_lead(ScimSyncRun *run, int64 now)
{
	int64		passed = Max(now - run->looked_at, 1);

	if (run->nanswers == 0)
		return;
	run->lead = (int) Min(2 * SCIM_GATHER_MS * run->nanswers / passed, MAX_LEAD);
	run->looked_at = now;
}

/* Syncs to the same target have rows to look at in a moment. */
static void
rouse(ScimProvisioner *p, const ScimSyncRun *run, int64 now)
{
	dlist_iter	iter;

	dlist_foreach(iter, &p->syncs)
	{
		ScimSyncRun *other = dlist_container(ScimSyncRun, node, iter.cur);

		if (other->target == run->target)
			other->due_at = Min(other->due_at, now + WAITING_MS);
	}
}

static void
look_at_answers(ScimProvisioner *p, ScimSyncRun *run, const ScimSyncView *view, int64 now)
{
	dlist_mutable_iter iter;
	bool		linked = false;
	bool		lost = false;
	bool		learned;

	set_lead(run, now);
	scim_writes_gather(run->id);
	dlist_foreach_modify(iter, &run->flights)
	{
		ScimFlight *flight = dlist_container(ScimFlight, node, iter.cur);

		if (flight->phase != SCIM_PHASE_BULK || flight->response == NULL)
			continue;
		scim_bulk_distribute(run, view, flight, &learned);
		if (learned)
			p->refresh_at = now;
	}
	dlist_foreach_modify(iter, &run->flights)
	{
		ScimFlight *flight = dlist_container(ScimFlight, node, iter.cur);
		ScimTargetNews news;
		bool		writing = flight->key && strcmp(flight->method, "GET") != 0;
		bool		over;

		if (flight->response == NULL)
			continue;
		over = scim_flight_answer(view, flight, flight->response,
								  flight->phase == SCIM_PHASE_TOKEN ? run->target->token_wire.token : run->target->wire.token, &news);
		if (flight->phase == SCIM_PHASE_SCAN && over && run->scan.state == SCIM_SCAN_RUNNING && !run->draining)
			scim_list_take(p, run, view, &news, now);
		if (flight->phase == SCIM_PHASE_TOKEN && !scim_target_take_token(p, run->target, news.page, now))
			scim_target_block(run->target, now + TOKEN_WAIT_MS);
		if (flight->phase == SCIM_PHASE_CONFIG && scim_bulk_take_config(run->target, view, news.verdict, news.page))
			p->refresh_at = now;
		scim_run_forget_answer(run, flight);
		hear(run, view->sync, flight, &news, now);
		if (news.learned)
			p->refresh_at = now;
		if (news.rescan && run->scan.state == SCIM_SCAN_DONE)
			run->scan.state = SCIM_SCAN_NONE;
		linked = linked || news.linked;
		lost = lost || (over && flight->key && flight->link.remote_id == NULL);
		if (news.probed)
		{
			/* that it answers is not yet that it takes something */
			run->probing = run->tried = false;
			run->trial = true;
		}
		else if (run->trial && writing && news.verdict == SCIM_VERDICT_OK)
			end_quarantine(run, view->sync);
		else if (run->trial && news.parked)
			stop(run, view->sync, view->sync->state_reason);
		else if (run->probing && (flight->phase != SCIM_PHASE_TOKEN || news.page == NULL))
			stop(run, view->sync, view->sync->state_reason);
		if (over && flight->key)
			weigh(run, view->sync, news.parked, now);
		if (over || run->draining)
			scim_run_forget_flight(p, run, flight);
	}
	scim_writes_end();
	scim_run_calm(run);
	/* rows that refer to these can go on, also those of other syncs */
	if (linked)
		scim_links_wake_referring(view->sync->server);
	if (linked || (lost && scim_links_wake_outdated(view->sync->server)))
		rouse(p, run, now);
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

/* When all rows are looked at although nothing asks for it; DT_NOEND: never. */
static TimestampTz
reconcile_due(const ScimSync *sync)
{
	return sync->reconcile_seconds == 0 ? DT_NOEND :
		TimestampTzPlusMilliseconds(sync->reconciled_at, sync->reconcile_seconds * INT64CONST(1000));
}

static void
note_reconciled(int64 sync_id)
{
	Oid			types[1] = {INT8OID};
	Datum		values[1] = {Int64GetDatum(sync_id)};

	if (scim_own_execute("reconciled", "UPDATE scim._syncs SET reconciled_at = pg_catalog.clock_timestamp() WHERE id OPERATOR(pg_catalog.=) $1",
						 1, types, values, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not write scim._syncs");
}

/*
 * A reconcile, page by page: first every row gets a link that has none, then
 * every link is held against its row.  What is as it should be is not touched.
 */
static void
reconcile_rows(ScimProvisioner *p, ScimSyncRun *run, const ScimSyncView *view)
{
	const char **keys;
	int			page = scim_watch_page(run, SCIM_RECONCILE_PAGE);
	bool		in_scope;
	int			n = scim_documents_keys(view, run->reconciled, page, &keys, &in_scope);

	if (run->reconciled == NULL)
	{
		begin_reconcile(p, run);
		run->any_rows = run->any_in_scope = false;
	}
	run->any_rows = run->any_rows || n > 0;
	run->any_in_scope = run->any_in_scope || in_scope;
	/* an empty source, or a scope that nobody is in, is more likely a mistake than the end of everybody */
	if (n < page && !(run->any_rows && run->any_in_scope))
		scim_guard_stage_all(run->id, run->any_rows ? "no row is in the scope of the sync" : "the source has no rows");
	if (n > 0)
		scim_links_add(run->id, keys, n);
	set_reconciled(p, run, n == page ? keys[n - 1] : NULL);
	run->reconcile_links = n < page;
}

static void
reconcile_links(ScimProvisioner *p, ScimSyncRun *run, const ScimSyncView *view)
{
	int			page = scim_watch_page(run, SCIM_RECONCILE_PAGE);
	int			n;
	ScimLink   *links = scim_links_page(run->id, run->reconciled, page, &n);
	const char **keys = palloc(sizeof(char *) * Max(n, 1));
	ScimDocument *documents;
	const char *last = n > 0 ? links[n - 1].key : NULL;
	int			nread = 0;
	int			nmarked = 0;

	/* those that are pending are looked at anyway */
	for (int i = 0; i < n; i++)
		if (strcmp(links[i].state, "pending") != 0)
			links[nread++] = links[i];
	for (int i = 0; i < nread; i++)
		keys[i] = links[i].key;
	documents = scim_watch_read(run, view, keys, nread);
	scim_nests_store(view, documents, nread);
	for (int i = 0; i < nread; i++)
		if (scim_link_needs_look(&links[i], &documents[i]))
			keys[nmarked++] = links[i].key;
	if (nmarked > 0)
		scim_links_mark(run->id, keys, nmarked);
	set_reconciled(p, run, n == page ? last : NULL);
	if (n < page)
	{
		scim_links_forget_full(run->id, run->full_entries);
		note_reconciled(run->id);
		run->reconcile_links = false;
	}
}

/*
 * How many rows without a resource may be taken up: none while the target's list
 * is read, and no more than it may be asked to create.  Those that wait for that
 * would take the room of others.
 */
static int
new_rows(ScimSyncRun *run, const ScimSyncView *view, int64 now)
{
	int			n = scim_list_awaited(run, view) ? 0 : scim_target_creates(run->target, now);
	dlist_iter	iter;

	if (n < PG_INT32_MAX)
		dlist_foreach(iter, &run->flights)
			n -= dlist_container(ScimFlight, node, iter.cur)->action == SCIM_ACTION_CREATE;
	return Max(n, 0);
}

/*
 * All of these have been taken up (0: not all that was due).  While there is a
 * transaction that still sees them as they were, the next would be found behind
 * all of them, each time.
 */
static void
note_due(ScimSyncRun *run, const ScimLink *links, int n)
{
	if (n == 0)
		memset(run->due_from, 0, sizeof(run->due_from));
	/* who is to be disabled is never passed over */
	for (int i = 0; i < n; i++)
		if (links[i].lane > 0)
			run->due_from[links[i].lane] = links[i].next_at;
}

/*
 * Take up links that are due, while there is room for flights, "creates" of them
 * without a resource.  True: there may be more.
 */
static bool
take_up(ScimProvisioner *p, ScimSyncRun *run, const ScimSyncView *view, int room, int creates)
{
	/* in a reconcile nearly all rows are as they should be: then read many */
	int			limit = scim_watch_page(run, run->idle_rows ? MAX_CLAIM : Min(room, MAX_CLAIM));
	int			begun = 0;
	int			n;
	bool		rescan = false;
	bool		lost = false;
	ScimLink   *links = scim_links_due(run->id, creates <= 0, limit, run->due_from, &n);
	bool		all = true;
	const char **keys = palloc(sizeof(char *) * Max(n, 1));
	ScimDocument *documents;
	TimestampTz now = GetCurrentTimestamp();
	ScimDeleteGuard guard;
	bool		bounded = false;

	for (int i = 0; i < SCIM_LANES; i++)
		bounded = bounded || run->due_from[i] != 0;
	for (int i = 0; i < n; i++)
		keys[i] = links[i].key;
	documents = scim_watch_read(run, view, keys, n);
	scim_nests_store(view, documents, n);
	memset(&guard, 0, sizeof(guard));
	scim_writes_gather(run->id);
	for (int i = 0; i < n; i++)
	{
		ScimDecision *decision;
		ScimFlight *flight;

		scim_heap_begin((size_t) scim_request_memory * 1024);
		decision = scim_decide(view, &links[i], &documents[i], now);
		if ((decision->action != SCIM_ACTION_NONE && begun >= room) ||
			(decision->action == SCIM_ACTION_CREATE && creates-- <= 0))
		{
			all = false;
			continue;
		}
		scim_guard_check(view, &guard, &links[i], decision);
		if (decision->action == SCIM_ACTION_NONE)
		{
			lost = lost || decision->after.remote_id == NULL;
			scim_link_store(run->id, &decision->after);
			continue;
		}
		begun++;
		run->tried = true;
		scim_link_intend(run->id, links[i].key,
						 decision->action == SCIM_ACTION_CREATE ? "match" : scim_action_name(decision->action), decision->after.waiting);
		flight = scim_flight_begin(p->context, &links[i], decision);
		if (decision->action == SCIM_ACTION_CREATE && run->scan.state == SCIM_SCAN_DONE &&
			(links[i].doubt == 0 || view->server->list_scan))
		{
			ScimTargetNews news;
			bool		over = scim_flight_match_list(view, flight, run->scan.total == 0, &news);

			rescan = rescan || news.rescan;
			if (over)
			{
				scim_flight_end(flight);
				continue;
			}
		}
		scim_run_begin_flight(run, flight);
	}
	scim_writes_end();
	if (lost && scim_links_wake_outdated(view->sync->server))
		rouse(p, run, scim_run_now());
	if (rescan)
		run->scan.state = SCIM_SCAN_NONE;
	run->idle_rows = begun < n / 4;
	note_due(run, links, all && n == limit ? n : 0);
	/* what was passed over, or locked, before the time from which on these are due */
	return n == limit || bounded;
}

/* Rows in flight that no flight of this process is about. */
static void
recover_links(ScimSyncRun *run)
{
	const char **keys = palloc(sizeof(char *) * Max(run->nflights, 1));
	dlist_iter	iter;
	int			n = 0;

	dlist_foreach(iter, &run->flights)
	{
		const ScimFlight *flight = dlist_container(ScimFlight, node, iter.cur);

		if (flight->key)
			keys[n++] = flight->key;
	}
	scim_links_recover(run->id, keys, n);
}

/* What another process has left: rows in flight, and what it was told to wait for. */
static void
recover(ScimSyncRun *run, const ScimSync *sync, int64 now)
{
	TimestampTz held = scim_attempts_held(sync->server);

	if (held != 0)
		scim_target_block(run->target, now + TimestampDifferenceMilliseconds(GetCurrentTimestamp(), held) + 1);
	recover_links(run);
	run->recovered = true;
}

void
scim_cycle_drain(ScimProvisioner *p, ScimSyncRun *run, const ScimSync *sync)
{
	/* a mapping that is broken keeps no sync from stopping */
	if (run->nanswers > 0)
		look_at_answers(p, run, scim_sync_view(sync), scim_run_now());
	scim_run_forget_unsent(p, run);
	/* who stops leaves nothing in flight: people work on with the rows by hand */
	if (run->nflights == 0)
		recover_links(run);
	run->due_at = PG_INT64_MAX;
}

void
scim_cycle_work(ScimProvisioner *p, ScimSyncRun *run, const ScimSync *sync)
{
	const ScimSyncView *view = scim_sync_view(sync);
	int64		now = scim_run_now();
	int			most;
	int			room;
	bool		more = false;
	bool		full = false;
	int			creates;

	if (!run->recovered)
		recover(run, sync, now);
	look_at_answers(p, run, view, now);
	if (!run->wanted)
		return;
	if (run->probing)
	{
		if (run->nflights == 0)
			scim_run_begin_flight(run, scim_flight_probe(p->context, view));
		run->due_at = PG_INT64_MAX;
		return;
	}

	if (scim_links_absorb(run->id, sync->flatten_groups, &full) > 0)
		more = true;
	if (!full && reconcile_due(sync) <= GetCurrentTimestamp())
	{
		scim_sync_queue(run->id, (Datum) 0, "full");
		full = true;
	}
	if (full)
	{
		/* a new cycle: what was read before is of the last one */
		if (!run->reconcile_links && run->reconciled == NULL && run->scan.state != SCIM_SCAN_RUNNING)
			run->scan.state = SCIM_SCAN_NONE;
		if (run->reconcile_links)
			reconcile_links(p, run, view);
		else
			reconcile_rows(p, run, view);
		more = true;
	}
	scim_list_want(p, run, view, now);
	creates = new_rows(run, view, now);
	most = run->trial ? 1 : 2 * run->target->concurrency + run->lead;
	if (run->target->bulk == SCIM_BULK_TRUE && !run->trial)
		most = Max(most, 2 * Min(run->target->bulk_operations, SCIM_BULK_MOST));
	room = most - run->nflights;
	/* while the target must not be asked, rows are better read later */
	if (room > 0 && run->target->blocked_until <= now && (creates > 0 || run->linked_at <= now))
	{
		run->linked_at = now + SCIM_LIST_MS;
		more = take_up(p, run, view, room, creates) || more;
	}

	if (run->drift != SCIM_DRIFT_NONE)
		more = scim_drift_work(p, run, view) || more;

	if (run->target->blocked_until > now)
		run->due_at = run->target->blocked_until;
	else if (run->nflights >= most)
		run->due_at = PG_INT64_MAX;	/* an answer comes first */
	else if (creates == 0)
		run->due_at = full ? now : now + SCIM_LIST_MS;
	else if (more)
		run->due_at = now;
	else
	{
		TimestampTz next = Min(scim_links_next(run->id), reconcile_due(sync));

		if (run->nflights == 0 && run->drift == SCIM_DRIFT_NONE)
		{
			run->scan.state = SCIM_SCAN_NONE;
			/* what somebody has changed there is looked for when there is nothing else to do */
			if (scim_drift_due(sync) <= GetCurrentTimestamp() && !run->trial)
				scim_list_check(p, run, view, now);
			next = Min(next, scim_drift_due(sync));
		}
		/* there is nothing to try it with */
		if (run->trial && !run->tried)
			end_quarantine(run, sync);
		/* what is due and was not taken up is locked by somebody, for a moment */
		run->due_at = next == DT_NOEND ? PG_INT64_MAX :
			now + Max(TimestampDifferenceMilliseconds(GetCurrentTimestamp(), next) + 1, run->drift == SCIM_DRIFT_NONE ? LOCKED_MS : SCIM_LIST_MS);
	}
}
