/*
 * provisioner_outcome.c
 *		What an answer can lead to: an end, with a link that is stored, or the
 *		next request (see provisioner_answer.h).
 */
#include "postgres.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "provisioner_answer.h"

/* Requests of another form than was settled, of one row. */
#define MAX_SWITCHES 2

#define BACKOFF_MOST_MS (15 * 60 * 1000)

/* ---- ends: each stores the link ---- */

bool
scim_answer_store(ScimAnswer *ctx, const char *state, const char *reason, TimestampTz next_at)
{
	ScimLinkUpdate *link = &ctx->flight->link;

	link->state = state;
	link->reason = reason;
	link->next_at = next_at;
	/* what a POST may have made is found by what it held */
	link->wanted = link->doubt > 0 ? ctx->flight->wanted : NULL;
	if (!ctx->flight->dry)
		scim_link_store(ctx->view->sync->id, link);
	return true;
}

static TimestampTz
later(const ScimAnswer *ctx, int attempt)
{
	return TimestampTzPlusMilliseconds(ctx->now, scim_retry_backoff(attempt, SCIM_BACKOFF_FIRST_MS, BACKOFF_MOST_MS));
}

static const char *
refused_reason(const ScimSync *sync, const ScimLinkUpdate *link)
{
	const char *given_up = link->refused_until == DT_NOEND ? psprintf("given up after %d days: ", sync->escrow_days) : "";

	return psprintf("%sthe target refuses %d of the members, %s among them", given_up, list_length(link->refused),
					(const char *) llast(link->refused));
}

/*
 * A reference that the target refuses: it is left as it is there, and tried again
 * together with the others that are refused, as rows are that are refused.
 */
static void
refuse_reference(const ScimAnswer *ctx, const char *reference)
{
	ScimLinkUpdate *link = &ctx->flight->link;

	/* the first of a round; one that comes when the others were given up begins anew */
	if (link->refused == NIL || link->refused_until == DT_NOEND)
	{
		link->refused_tries = link->refused == NIL ? link->refused_tries + 1 : 1;
		link->refused_until = scim_escrow_time(ctx->view->sync, link->refused_tries, ctx->now);
		if (link->refused_until == 0)
			link->refused_until = DT_NOEND;
	}
	link->refused = lappend(link->refused, unconstify(char *, reference));
}

/* The target has what is wanted. */
bool
scim_answer_succeed(ScimAnswer *ctx, const char *state)
{
	ScimFlight *flight = ctx->flight;

	flight->link.acked = flight->wanted;
	/* what the rules of the sync keep back is no reason to look at the row again */
	if (flight->full && !flight->partial && flight->link.refused == NIL && strcmp(flight->full, flight->wanted) != 0)
		flight->link.acked_hash = scim_text_hash(flight->full);
	flight->link.staged = flight->link.approval = NULL;
	flight->link.wanted_hash = NULL;
	flight->link.doubt = 0;
	flight->link.attempts = 0;
	if (flight->deactivates && !flight->partial && ctx->view->server->disable_means != SCIM_DISABLE_DISABLES)
	{
		/* the target has no such resource any more: whoever comes back is new */
		flight->link.remote_id = NULL;
		flight->link.acked = "{}";
		return scim_answer_store(ctx, "disabled", "removed by the target when it was disabled", 0);
	}
	ctx->news->linked = ctx->news->linked || flight->action == SCIM_ACTION_CREATE || flight->adopted;
	scim_adapt_fitted(ctx->view, flight);
	if (flight->partial)
		/* somebody who is being taken back is not back before the last step */
		return scim_answer_store(ctx, strcmp(flight->link.state, "disabled") == 0 ? "disabled" : state, flight->link.reason, ctx->now);
	if (flight->link.refused != NIL)
		return scim_answer_store(ctx, state, refused_reason(ctx->view->sync, &flight->link),
								 flight->link.refused_until == DT_NOEND ? 0 : flight->link.refused_until);
	flight->link.refused_tries = 0;
	return scim_answer_store(ctx, state, flight->link.waiting ? "waits for rows that it refers to" : NULL,
				 flight->action == SCIM_ACTION_DISABLE ? flight->link.next_at : 0);
}

/* Tried again now and then, for some weeks. */
static bool
wait_for_hours(ScimAnswer *ctx, const char *state, const char *reason, int attempt)
{
	const ScimSync *sync = ctx->view->sync;
	TimestampTz next = scim_escrow_time(sync, attempt, ctx->now);

	if (next == 0)
		reason = psprintf("given up after %d days: %s", sync->escrow_days, reason);
	return scim_answer_store(ctx, next == 0 && strcmp(state, "conflict") != 0 ? "parked" : state, reason, next);
}

/* It will never take it like this: not again before hours, or another document. */
bool
scim_answer_park(ScimAnswer *ctx, const char *state, const char *reason)
{
	ScimFlight *flight = ctx->flight;

	ctx->news->parked = true;
	flight->link.attempts++;
	flight->link.wanted_hash = flight->full ? scim_text_hash(flight->full) : flight->wanted ? scim_text_hash(flight->wanted) : NULL;
	return wait_for_hours(ctx, state, reason, flight->link.attempts);
}

/*
 * The target refuses the form of the request: the row is decided anew with what
 * is known now, but not for ever.
 */
bool
scim_answer_reformed(ScimAnswer *ctx, ScimLesson lesson)
{
	ScimFlight *flight = ctx->flight;
	ScimLinkUpdate *link = &flight->link;

	ctx->news->learned = ctx->news->learned || lesson == SCIM_LESSON_NEW;
	if (lesson == SCIM_LESSON_OLD && ++link->attempts > MAX_SWITCHES)
		return scim_answer_park(ctx, "parked", ctx->reason);
	return scim_answer_store(ctx, flight->adopted ? "linked" : link->state, ctx->reason, ctx->now);
}

/* The target refuses what the request holds, or how much. */
bool
scim_answer_refused(ScimAnswer *ctx)
{
	ScimFlight *flight = ctx->flight;
	ScimLesson	lesson = scim_adapt_learn(ctx->view, flight, ctx->response, ctx->verdict, ctx->reason);
	const char *reference;

	if (lesson != SCIM_LESSON_NONE)
		return scim_answer_reformed(ctx, lesson);
	if (ctx->verdict != SCIM_VERDICT_UNSUPPORTED &&
		scim_adapt_split(ctx->view, flight, ctx->verdict == SCIM_VERDICT_TOO_LARGE, &reference))
		return false;
	if (ctx->verdict == SCIM_VERDICT_REFUSED && reference)
	{
		/* the others of the list are not its fault */
		refuse_reference(ctx, reference);
		return scim_answer_store(ctx, flight->adopted ? "linked" : flight->link.state, refused_reason(ctx->view->sync, &flight->link), ctx->now);
	}
	return scim_answer_park(ctx, "parked", ctx->reason);
}

/* The same again after a while, which grows. */
bool
scim_answer_try_later(ScimAnswer *ctx)
{
	ScimLinkUpdate *link = &ctx->flight->link;

	if (++link->attempts > SCIM_MAX_ATTEMPTS)
		return wait_for_hours(ctx, link->state, ctx->reason, link->attempts - SCIM_MAX_ATTEMPTS);
	return scim_answer_store(ctx, link->state, ctx->reason, later(ctx, link->attempts - 1));
}

/* Nobody knows what a request has done. */
bool
scim_answer_doubt(ScimAnswer *ctx, int misses)
{
	ctx->flight->link.doubt = Max(ctx->flight->link.doubt, misses);
	return scim_answer_try_later(ctx);
}

/* False, for "the flight goes on". */
bool
scim_answer_go_on(ScimFlight *flight, ScimPhase phase, const char *method, const char *path, const char *body)
{
	flight->phase = phase;
	flight->method = method;
	/* it may be one of the catalog's texts, and be sent long after this transaction */
	flight->path = MemoryContextStrdup(flight->context, path);
	flight->body = body;
	flight->sent = false;
	return false;
}
