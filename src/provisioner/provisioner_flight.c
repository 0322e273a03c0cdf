/*
 * provisioner_flight.c
 *		Flights: how they begin, and what the answer to a request leads to
 *		(provisioning-engine 2.6 to 2.8).
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "provisioner_answer.h"
#include "provisioner_guard.h"
#include "../scim_guc.h"

/* ---- begin and end ---- */

static const char *
copied(const char *text)
{
	return text ? pstrdup(text) : NULL;
}

static List *
copied_list(List *texts)
{
	List	   *copy = NIL;
	ListCell   *lc;

	foreach(lc, texts)
		copy = lappend(copy, pstrdup((const char *) lfirst(lc)));
	return copy;
}

ScimFlight *
scim_flight_begin(MemoryContext parent, const ScimLink *link, const ScimDecision *decision)
{
	MemoryContext context = AllocSetContextCreate(parent, "scim flight", ALLOCSET_SMALL_SIZES);
	MemoryContext saved = MemoryContextSwitchTo(context);
	ScimFlight *flight = palloc0(sizeof(ScimFlight));

	flight->context = context;
	flight->key = flight->link.key = pstrdup(link->key);
	flight->action = decision->action;
	flight->may_create = decision->may_create;
	flight->absent = decision->absent;
	flight->former = decision->former;
	flight->wanted = copied(decision->wanted);
	if (decision->action == SCIM_ACTION_UPDATE)
	{
		flight->from = copied(link->acked);
		flight->full = copied(decision->full);
	}
	flight->created = copied(decision->created);
	flight->change.before = copied(decision->change.before);
	flight->change.after = copied(decision->change.after);
	flight->change.old_values = copied(decision->change.old_values);
	flight->change.new_values = copied(decision->change.new_values);
	flight->partial = decision->partial;
	flight->deactivates = decision->deactivates || decision->action == SCIM_ACTION_DISABLE;
	flight->link.state = pstrdup(link->state);
	flight->link.remote_id = copied(link->remote_id);
	flight->link.doubt = link->doubt;
	flight->uncertain = link->doubt > 0;
	flight->link.staged = link->approval ? copied(link->staged) : NULL;
	flight->link.approval = copied(link->approval);
	flight->link.attempts = link->attempts;
	flight->link.gone_at = decision->after.gone_at;
	flight->link.waiting = decision->after.waiting;
	flight->link.refused = copied_list(decision->after.refused);
	flight->link.refused_until = decision->after.refused_until;
	flight->link.refused_tries = decision->after.refused_tries;
	flight->link.next_at = decision->after.next_at;
	flight->link.reason = copied(decision->reason);
	flight->method = pstrdup(decision->method);
	flight->path = pstrdup(decision->path);
	flight->body = copied(decision->body);
	switch (decision->action)
	{
		case SCIM_ACTION_CREATE:
			flight->phase = SCIM_PHASE_MATCH;
			flight->create_body = flight->body;
			flight->rule = -1;
			for (int i = 0; i < SCIM_MAX_RULES; i++)
			{
				flight->match_paths[i] = copied(decision->match_paths[i]);
				if (flight->match_paths[i] && flight->rule < 0)
					flight->rule = i;
			}
			flight->method = "GET";
			flight->path = flight->match_paths[flight->rule];
			flight->body = NULL;
			break;
		case SCIM_ACTION_UPDATE:
		case SCIM_ACTION_DISABLE:
			flight->phase = decision->action == SCIM_ACTION_UPDATE ? SCIM_PHASE_UPDATE : SCIM_PHASE_DISABLE;
			if (decision->compare)
				flight->phase = SCIM_PHASE_COMPARE;
			else if (decision->read_first)
			{
				flight->phase = SCIM_PHASE_READ;
				flight->method = "GET";
				flight->body = NULL;
			}
			break;
		case SCIM_ACTION_DELETE:
			flight->phase = SCIM_PHASE_DELETE;
			break;
		case SCIM_ACTION_NONE:
			elog(ERROR, "a flight without a request");
	}
	MemoryContextSwitchTo(saved);
	return flight;
}

ScimFlight *
scim_flight_of_target(MemoryContext parent, ScimPhase phase, const char *method, const char *path)
{
	MemoryContext context = AllocSetContextCreate(parent, "scim flight", ALLOCSET_SMALL_SIZES);
	ScimFlight *flight = MemoryContextAllocZero(context, sizeof(ScimFlight));

	flight->context = context;
	flight->phase = phase;
	flight->method = method;
	flight->path = MemoryContextStrdup(context, path);
	return flight;
}

ScimFlight *
scim_flight_probe(MemoryContext parent, const ScimSyncView *view)
{
	/* id is what every target can look for; whether it finds nothing or says 404 is the same here */
	return scim_flight_of_target(parent, SCIM_PHASE_PROBE, "GET",
								 psprintf("%s/%s", view->type->endpoint,
										  DatumGetCString(DirectFunctionCall1(uuid_out, DirectFunctionCall1(gen_random_uuid, (Datum) 0)))));
}

void
scim_flight_end(ScimFlight *flight)
{
	MemoryContextDelete(flight->context);
}

/* ---- next requests ---- */

static bool
look(ScimAnswer *ctx)
{
	ScimFlight *flight = ctx->flight;

	return scim_answer_go_on(flight, SCIM_PHASE_LOOK, "GET", scim_resource_path(ctx->view, flight->link.remote_id), NULL);
}

/* ---- answers ---- */

/* A GET by id: after a 404, or to see whether it is out of use. */
static bool
looked(ScimAnswer *ctx)
{
	ScimFlight *flight = ctx->flight;
	const json_t *active = ctx->body ? scim_json_get(ctx->body, "active", NULL) : NULL;

	if (json_is_false(active) || (json_is_string(active) && pg_strcasecmp(json_string_value(active), "false") == 0))
	{
		if (flight->action == SCIM_ACTION_DISABLE)
			return scim_answer_succeed(ctx, "disabled");
	}
	if (flight->strange)
	{
		ctx->reason = "404 with a page of HTML, for a resource that is there";
		return scim_answer_reformed(ctx, scim_adapt_learn_method(ctx->view, flight->strange, ctx->reason));
	}
	if (flight->action != SCIM_ACTION_DISABLE)
	{
		ctx->reason = "not found when it was to be changed, and found when it was looked for";
		return scim_answer_try_later(ctx);
	}
	ctx->reason = "the target has accepted that it is disabled, and says that it is active";
	return scim_answer_try_later(ctx);
}

/* The row has no resource any more: it is matched, and made anew unless that happens all the time. */
static bool
lost(ScimAnswer *ctx)
{
	ScimFlight *flight = ctx->flight;

	flight->link.remote_id = NULL;
	flight->link.acked = "{}";
	flight->link.doubt = 1;
	if (flight->dry || scim_guard_may_recreate(ctx->view, flight->key))
		return scim_answer_store(ctx, "pending", "its resource has gone from the target", ctx->now);
	flight->link.staged = "recreate";
	flight->link.approval = NULL;
	return scim_answer_store(ctx, "staged",
							 "its resource has gone from the target, like too many in this hour: making it anew waits for scim.approve()", 0);
}

/* The resource is not there (any more). */
static bool
vanished(ScimAnswer *ctx)
{
	ScimFlight *flight = ctx->flight;
	bool		page = scim_adapt_is_page(ctx->response);

	/* a page for people says nothing of a resource */
	if (page && flight->phase != SCIM_PHASE_UPDATE && flight->phase != SCIM_PHASE_DISABLE && flight->phase != SCIM_PHASE_CREATE)
		return scim_answer_try_later(ctx);
	switch (flight->phase)
	{
		case SCIM_PHASE_DELETE:
			return scim_answer_store(ctx, NULL, NULL, 0);
		case SCIM_PHASE_DISABLE:
		case SCIM_PHASE_UPDATE:
			flight->strange = page ? flight->method : NULL;
			return look(ctx);
		case SCIM_PHASE_READ:
		case SCIM_PHASE_COMPARE:
		case SCIM_PHASE_LOOK:
			if (flight->action == SCIM_ACTION_DISABLE)
				return scim_answer_succeed(ctx, "disabled");
			return lost(ctx);
		case SCIM_PHASE_MATCH:
		case SCIM_PHASE_FIND:
			/* some say so instead of an empty list */
			ctx->body = scim_document_parse("{}");
			return scim_answer_matched(ctx);
		case SCIM_PHASE_CREATE:
		case SCIM_PHASE_PROBE:
		case SCIM_PHASE_SCAN:
		case SCIM_PHASE_TOKEN:
		case SCIM_PHASE_BULK:
		case SCIM_PHASE_CONFIG:
			break;
	}
	return scim_answer_park(ctx, "parked", ctx->reason);
}

static bool
done(ScimAnswer *ctx)
{
	switch (ctx->flight->phase)
	{
		case SCIM_PHASE_MATCH:
		case SCIM_PHASE_FIND:
			return scim_answer_matched(ctx);
		case SCIM_PHASE_CREATE:
			return scim_answer_created(ctx);
		case SCIM_PHASE_READ:
			return scim_answer_put(ctx, ctx->body);
		case SCIM_PHASE_COMPARE:
			return scim_answer_compared(ctx);
		case SCIM_PHASE_UPDATE:
			return scim_answer_succeed(ctx, "linked");
		case SCIM_PHASE_DISABLE:
			/* its word is taken for it where the answer says so */
			if (ctx->body && json_is_false(scim_json_get(ctx->body, "active", NULL)))
				return scim_answer_succeed(ctx, "disabled");
			return look(ctx);
		case SCIM_PHASE_LOOK:
			return looked(ctx);
		case SCIM_PHASE_DELETE:
			return scim_answer_store(ctx, NULL, NULL, 0);
		case SCIM_PHASE_PROBE:
		case SCIM_PHASE_SCAN:
		case SCIM_PHASE_TOKEN:
		case SCIM_PHASE_BULK:
		case SCIM_PHASE_CONFIG:
			break;
	}
	return true;
}

static bool
decide_next(ScimAnswer *ctx)
{
	ScimFlight *flight = ctx->flight;
	bool		creating = flight->phase == SCIM_PHASE_CREATE;
	bool		writing = flight->phase == SCIM_PHASE_UPDATE || flight->phase == SCIM_PHASE_DISABLE;

	switch (ctx->verdict)
	{
		case SCIM_VERDICT_OK:
			return done(ctx);
		case SCIM_VERDICT_NOT_FOUND:
			return vanished(ctx);
		case SCIM_VERDICT_THROTTLED:
			/* it was not done: the same again, when the target says */
			flight->sent = false;
			return false;
		case SCIM_VERDICT_UNREACHED:
		case SCIM_VERDICT_BARRED:
		case SCIM_VERDICT_UNAUTHORIZED:
		case SCIM_VERDICT_MOVED:
			/* not the row's fault */
			return scim_answer_store(ctx, flight->link.state, ctx->reason,
						 TimestampTzPlusMilliseconds(ctx->now, Max(ctx->news->wait_ms, 0)));
		case SCIM_VERDICT_DOUBT:
			return creating ? scim_answer_doubt(ctx, SCIM_DOUBT_AFTER_SILENCE) : writing ? scim_answer_doubt(ctx, 1) : scim_answer_try_later(ctx);
		case SCIM_VERDICT_TRANSIENT:
			return creating || writing ? scim_answer_doubt(ctx, SCIM_DOUBT_AFTER_ERROR) : scim_answer_try_later(ctx);
		case SCIM_VERDICT_CONFLICT:
			if (creating)
				return scim_answer_find(ctx);
			if (flight->link.attempts >= SCIM_MAX_CONFLICTS)
				return scim_answer_park(ctx, "conflict", ctx->reason);
			return scim_answer_try_later(ctx);
		case SCIM_VERDICT_CHANGED:
			return scim_answer_try_later(ctx);
		case SCIM_VERDICT_FORBIDDEN:
			return scim_answer_park(ctx, "parked", ctx->reason);
		case SCIM_VERDICT_TOO_LARGE:
		case SCIM_VERDICT_UNSUPPORTED:
		case SCIM_VERDICT_REFUSED:
			return scim_answer_refused(ctx);
	}
	return true;
}

/* A page that did not come is asked for again, some times. */
static bool
scan_again(ScimAnswer *ctx)
{
	if (ctx->response->outcome == SCIM_TRANSFER_TOO_LARGE)
		return false;
	switch (ctx->verdict)
	{
		case SCIM_VERDICT_DOUBT:
		case SCIM_VERDICT_TRANSIENT:
		case SCIM_VERDICT_UNREACHED:
		case SCIM_VERDICT_BARRED:
		case SCIM_VERDICT_UNAUTHORIZED:
		case SCIM_VERDICT_MOVED:
			if (++ctx->flight->link.attempts > SCIM_MAX_ATTEMPTS)
				return false;
			if (ctx->verdict == SCIM_VERDICT_DOUBT || ctx->verdict == SCIM_VERDICT_TRANSIENT)
				ctx->news->wait_ms = Max(ctx->news->wait_ms, SCIM_BACKOFF_FIRST_MS);
			break;
		case SCIM_VERDICT_THROTTLED:
			break;
		default:
			return false;
	}
	ctx->flight->sent = false;
	return true;
}

const char *
scim_flight_phase_name(const ScimFlight *flight)
{
	static const char *const names[] = {
		[SCIM_PHASE_MATCH] = "match",
		[SCIM_PHASE_CREATE] = "create",
		[SCIM_PHASE_FIND] = "match",
		[SCIM_PHASE_READ] = "read",
		[SCIM_PHASE_COMPARE] = "verify",
		[SCIM_PHASE_UPDATE] = "update",
		[SCIM_PHASE_DISABLE] = "disable",
		[SCIM_PHASE_LOOK] = "verify",
		[SCIM_PHASE_DELETE] = "delete",
		[SCIM_PHASE_PROBE] = "probe",
		[SCIM_PHASE_SCAN] = "list",
		[SCIM_PHASE_TOKEN] = "token",
		[SCIM_PHASE_BULK] = "bulk",
		[SCIM_PHASE_CONFIG] = "config",
	};

	return names[flight->phase];
}

/*
 * A success whose body is a page for people, or broken JSON: it may come from
 * something in between, and the target know of nothing.  (A short text is fine.)
 */
static bool
is_no_answer(const ScimClientResponse *response)
{
	return scim_adapt_is_page(response) || (response->content_type && strstr(response->content_type, "json"));
}

bool
scim_flight_answer(const ScimSyncView *view, ScimFlight *flight, const ScimClientResponse *response,
				   const char *secret, ScimTargetNews *news)
{
	MemoryContext saved = MemoryContextSwitchTo(flight->context);
	ScimAnswer ctx = {.view = view, .flight = flight, .response = response, .now = GetCurrentTimestamp(), .news = news};
	ScimError	err;
	long		wanted;
	bool		broken = false;
	bool		over;

	scim_heap_begin((size_t) scim_request_memory * 1024);
	ctx.verdict = scim_retry_verdict(response);
	ctx.reason = ctx.verdict == SCIM_VERDICT_OK ? NULL : scim_retry_reason(response, secret);
	if (ctx.reason && response->status)
		ctx.reason = psprintf("%d: %s", response->status, ctx.reason);
	if (ctx.verdict == SCIM_VERDICT_OK && flight->parsed)
		ctx.body = unconstify(json_t *, flight->parsed);
	else if (ctx.verdict == SCIM_VERDICT_OK && response->body_len > 0)
	{
		memset(&err, 0, sizeof(err));
		ctx.body = scim_json_parse(response->body, response->body_len, &err);
		broken = ctx.body == NULL;
		if (!json_is_object(ctx.body))
			ctx.body = NULL;
	}

	if (broken && strcmp(flight->method, "GET") != 0 && is_no_answer(response))
	{
		ctx.verdict = SCIM_VERDICT_DOUBT;
		ctx.reason = psprintf("%d: the answer is none of SCIM", response->status);
	}

	news->linked = news->parked = news->probed = news->learned = news->rescan = news->too_large = false;
	news->page = NULL;
	news->verdict = ctx.verdict;
	news->status = response->status;
	news->reason = ctx.reason;
	wanted = scim_retry_wanted(response, (long long) (ctx.now / USECS_PER_SEC) +
							   (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY);
	news->wait_ms = ctx.verdict == SCIM_VERDICT_THROTTLED ? (wanted >= 0 ? wanted * 1000 : 1000) :
		scim_retry_exhausted(response) && wanted >= 0 ? wanted * 1000 : -1;

	scim_attempt_log(view->sync->id, flight->key, scim_flight_phase_name(flight), flight->method, flight->path,
					 response, ctx.verdict, ctx.reason,
					 news->wait_ms > 0 ? TimestampTzPlusMilliseconds(ctx.now, news->wait_ms) : 0,
					 strcmp(flight->method, "GET") == 0 ? NULL : &flight->change);
	if (flight->phase == SCIM_PHASE_PROBE)
	{
		/* whatever it says of the request, it lets us in, and it works */
		news->probed = ctx.verdict == SCIM_VERDICT_OK || ctx.verdict == SCIM_VERDICT_NOT_FOUND ||
			ctx.verdict == SCIM_VERDICT_REFUSED || ctx.verdict == SCIM_VERDICT_UNSUPPORTED;
		over = true;
	}
	else if (flight->phase == SCIM_PHASE_SCAN)
	{
		news->page = ctx.body;
		/* one that can't be read has too many values, perhaps */
		news->too_large = response->outcome == SCIM_TRANSFER_TOO_LARGE || (ctx.verdict == SCIM_VERDICT_OK && ctx.body == NULL);
		over = !scan_again(&ctx);
	}
	else if (flight->phase == SCIM_PHASE_TOKEN || flight->phase == SCIM_PHASE_CONFIG || flight->phase == SCIM_PHASE_BULK)
	{
		news->page = ctx.body;
		over = true;
	}
	else
		over = decide_next(&ctx);
	MemoryContextSwitchTo(saved);
	return over;
}
