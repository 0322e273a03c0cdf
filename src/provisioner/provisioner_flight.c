/*
 * provisioner_flight.c
 *		From the answer to one request to the next request, or to what is known
 *		of the row (provisioning-engine 2.6 to 2.8).
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "provisioner_flight.h"
#include "provisioner_scan.h"
#include "../scim_guc.h"

/* Tries of one row before it has to wait for hours. */
#define MAX_ATTEMPTS 10

/* Requests of another form than was settled, of one row. */
#define MAX_SWITCHES 2
/* Of these, tries against another row that may give way. */
#define MAX_CONFLICTS 3
/* And after "duplicate" of what is not found: an index may lag behind some seconds. */
#define MAX_LAGS 6

#define BACKOFF_FIRST_MS 1000
#define BACKOFF_MOST_MS (15 * 60 * 1000)

/*
 * Misses that make sure that a POST of unknown outcome has come to nothing, and
 * the time between them: a target may find what it has made a while later.
 */
#define DOUBT_AFTER_SILENCE 3
#define DOUBT_AFTER_ERROR 1
#define FIRST_LAG_MS 2000
#define SECOND_LAG_MS 10000

/* What looking at one answer needs at hand. */
typedef struct AnswerContext
{
	const ScimSyncView *view;
	ScimFlight *flight;
	const ScimClientResponse *response;
	ScimVerdict verdict;
	const char *reason;
	json_t	   *body;			/* NULL: none, or no JSON object */
	TimestampTz now;
	ScimTargetNews *news;
} AnswerContext;

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

/* ---- outcomes: each stores the link and ends the flight ---- */

static bool
store(AnswerContext *ctx, const char *state, const char *reason, TimestampTz next_at)
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
later(const AnswerContext *ctx, int attempt)
{
	return TimestampTzPlusMilliseconds(ctx->now, scim_retry_backoff(attempt, BACKOFF_FIRST_MS, BACKOFF_MOST_MS));
}

static const char *
refused_reason(const ScimFlight *flight)
{
	return psprintf("the target refuses %d of the members, %s among them", list_length(flight->link.refused),
					(const char *) llast(flight->link.refused));
}

/* The target has what is wanted. */
static bool
succeed(AnswerContext *ctx, const char *state)
{
	ScimFlight *flight = ctx->flight;

	flight->link.acked = flight->wanted;
	flight->link.staged = flight->link.approval = NULL;
	flight->link.wanted_hash = NULL;
	flight->link.doubt = 0;
	flight->link.attempts = 0;
	if (flight->deactivates && !flight->partial && ctx->view->server->disable_means != SCIM_DISABLE_DISABLES)
	{
		/* the target has no such resource any more: whoever comes back is new */
		flight->link.remote_id = NULL;
		flight->link.acked = "{}";
		return store(ctx, "disabled", "removed by the target when it was disabled", 0);
	}
	ctx->news->linked = ctx->news->linked || flight->action == SCIM_ACTION_CREATE || flight->adopted;
	scim_adapt_fitted(ctx->view, flight);
	if (flight->partial)
		/* somebody who is being taken back is not back before the last step */
		return store(ctx, strcmp(flight->link.state, "disabled") == 0 ? "disabled" : state, flight->link.reason, ctx->now);
	if (flight->link.refused != NIL)
		return store(ctx, state, refused_reason(flight), flight->link.refused_until);
	return store(ctx, state, flight->link.waiting ? "waits for rows that it refers to" : NULL,
				 flight->action == SCIM_ACTION_DISABLE ? flight->link.next_at : 0);
}

/* It will never take it like this: not again before hours, or another document. */
static bool
park(AnswerContext *ctx, const char *state, const char *reason)
{
	ScimFlight *flight = ctx->flight;

	ctx->news->parked = true;
	flight->link.attempts++;
	flight->link.wanted_hash = flight->wanted ? scim_text_hash(flight->wanted) : NULL;
	return store(ctx, state, reason, scim_escrow_time(flight->link.attempts, ctx->now));
}

/*
 * The target refuses the form of the request: the row is decided anew with what
 * is known now, but not for ever.
 */
static bool
reformed(AnswerContext *ctx, ScimLesson lesson)
{
	ScimFlight *flight = ctx->flight;
	ScimLinkUpdate *link = &flight->link;

	ctx->news->learned = ctx->news->learned || lesson == SCIM_LESSON_NEW;
	if (lesson == SCIM_LESSON_OLD && ++link->attempts > MAX_SWITCHES)
		return park(ctx, "parked", ctx->reason);
	return store(ctx, flight->adopted ? "linked" : link->state, ctx->reason, ctx->now);
}

/* The target refuses what the request holds, or how much. */
static bool
refused(AnswerContext *ctx)
{
	ScimFlight *flight = ctx->flight;
	ScimLesson	lesson = scim_adapt_learn(ctx->view, flight, ctx->response, ctx->verdict, ctx->reason);
	const char *reference;

	if (lesson != SCIM_LESSON_NONE)
		return reformed(ctx, lesson);
	if (ctx->verdict != SCIM_VERDICT_UNSUPPORTED &&
		scim_adapt_split(ctx->view, flight, ctx->verdict == SCIM_VERDICT_TOO_LARGE, &reference))
		return false;
	if (ctx->verdict == SCIM_VERDICT_REFUSED && reference)
	{
		/* the others of the list are not its fault */
		flight->link.refused = lappend(flight->link.refused, unconstify(char *, reference));
		flight->link.refused_until = scim_escrow_time(1, ctx->now);
		return store(ctx, flight->adopted ? "linked" : flight->link.state, refused_reason(flight), ctx->now);
	}
	return park(ctx, "parked", ctx->reason);
}

/* The same again after a while, which grows. */
static bool
try_later(AnswerContext *ctx)
{
	ScimLinkUpdate *link = &ctx->flight->link;

	link->attempts++;
	return store(ctx, link->state, ctx->reason,
				 link->attempts > MAX_ATTEMPTS ? scim_escrow_time(link->attempts - MAX_ATTEMPTS, ctx->now) :
				 later(ctx, link->attempts - 1));
}

/* Nobody knows what a request has done. */
static bool
doubt(AnswerContext *ctx, int misses)
{
	ctx->flight->link.doubt = Max(ctx->flight->link.doubt, misses);
	return try_later(ctx);
}

/* ---- next requests ---- */

/* False, for "the flight goes on". */
static bool
go_on(ScimFlight *flight, ScimPhase phase, const char *method, const char *path, const char *body)
{
	flight->phase = phase;
	flight->method = method;
	flight->path = path;
	flight->body = body;
	flight->sent = false;
	return false;
}

static bool
find(AnswerContext *ctx)
{
	ScimFlight *flight = ctx->flight;

	if (ctx->view->server->list_scan)
	{
		/* there is no query for it: its list is read again */
		ctx->news->rescan = true;
		if (flight->uncertain)
			flight->link.doubt = Max(flight->link.doubt, 2);
		return try_later(ctx);
	}
	flight->rule = 0;
	while (flight->match_paths[flight->rule] == NULL)
		flight->rule++;
	return go_on(flight, SCIM_PHASE_FIND, "GET", flight->match_paths[flight->rule], NULL);
}

static bool
look(AnswerContext *ctx)
{
	ScimFlight *flight = ctx->flight;

	return go_on(flight, SCIM_PHASE_LOOK, "GET", scim_resource_path(ctx->view, flight->link.remote_id), NULL);
}

/* ---- answers ---- */

static const char *
text_member(const json_t *object, const char *name)
{
	const json_t *value = json_is_object(object) ? scim_json_get(object, name, NULL) : NULL;

	if (json_is_integer(value))
		return psprintf(INT64_FORMAT, (int64) json_integer_value(value));
	return json_is_string(value) && json_string_length(value) > 0 ? json_string_value(value) : NULL;
}

const char *
scim_resource_id(const json_t *resource)
{
	return text_member(resource, "id");
}

/*
 * The id of what was created: in the body, or the last segment of Location.
 * What is there of the matching attribute in the body has to be what was sent
 * (C5).
 */
static const char *
created_id(const AnswerContext *ctx)
{
	const ScimSyncView *view = ctx->view;
	const char *id = text_member(ctx->body, "id");
	const char *location = ctx->response->location;
	const char *slash;

	if (id)
	{
		const ScimMatchRule *rule = &view->rules[ctx->flight->rule];

		for (int i = 0; i < rule->nattrs; i++)
			if (scim_document_value(view->type, ctx->body, rule->attrs[i]) &&
				!scim_match_holds(view, rule, scim_document_parse(ctx->flight->wanted), ctx->body))
				return NULL;
		return id;
	}
	slash = location ? strrchr(location, '/') : NULL;
	return slash && slash[1] && strpbrk(slash + 1, "%?#") == NULL ? slash + 1 : NULL;
}

/* The resource is known: what is wanted is laid over it. */
static bool
put(AnswerContext *ctx, const json_t *resource)
{
	ScimFlight *flight = ctx->flight;
	const char *id = text_member(resource, "id");
	const ScimMatchRule *rule = &ctx->view->rules[0];

	/* what a truncated answer leaves out would be lost */
	if (id == NULL || strcmp(id, flight->link.remote_id) != 0 ||
		scim_document_value(ctx->view->type, resource, rule->attrs[0]) == NULL)
		return park(ctx, "parked", "what the target returns is no whole resource: it is not overwritten");
	return go_on(flight, flight->action == SCIM_ACTION_DISABLE ? SCIM_PHASE_DISABLE : SCIM_PHASE_UPDATE, "PUT",
				 scim_resource_path(ctx->view, id), scim_overlay(ctx->view, resource, flight->wanted));
}

/*
 * Is what was there before the row's?  What this sync has made itself, and lost
 * sight of, is.  False: the link says what is missing.
 */
static bool
may_adopt(AnswerContext *ctx, const char *id)
{
	ScimFlight *flight = ctx->flight;
	ScimSyncAdopt adopt = ctx->view->sync->adopt;

	if (adopt == SCIM_ADOPT_AUTO || flight->uncertain ||
		(flight->link.approval && strcmp(flight->link.approval, "approved") == 0))
		return true;
	if (adopt == SCIM_ADOPT_NEVER)
	{
		park(ctx, "conflict", psprintf("resource %s is at the target already, and the sync adopts none", id));
		/* by this sync, not by the target */
		ctx->news->parked = false;
		return false;
	}
	flight->link.staged = "adopt";
	store(ctx, "staged", psprintf("resource %s is at the target already: it waits for scim.approve()", id), 0);
	return false;
}

static const char *
resource_text(const json_t *resource)
{
	size_t		len;
	const char *text = scim_json_print(resource, &len);

	if (text == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	return text;
}

/* Is the resource in use, and not to be? */
static bool
takes_out_of_use(const AnswerContext *ctx, const json_t *resource)
{
	return ctx->view->active_mapped &&
		json_is_false(scim_json_get(scim_document_parse(ctx->flight->wanted), "active", NULL)) &&
		!json_is_false(scim_json_get(resource, "active", NULL));
}

/* A resource of the target, as it is there now, is brought to what is wanted. */
static bool
bring(AnswerContext *ctx, const char *id, const json_t *resource, bool reactivate)
{
	ScimFlight *flight = ctx->flight;
	ScimDecision update;

	memset(&update, 0, sizeof(update));
	if (!scim_decide_update(ctx->view, id, resource, flight->wanted, reactivate, 0, &update))
		return succeed(ctx, "linked");
	if ((ctx->view->sync->actions & SCIM_SYNC_UPDATE) == 0)
		return store(ctx, "linked", "update is none of the actions of the sync", 0);
	if (takes_out_of_use(ctx, resource))
	{
		/* like every change that does, it has to pass the delete guard */
		flight->link.staged = flight->link.approval = NULL;
		flight->link.acked = resource_text(resource);
		ctx->news->linked = true;
		return store(ctx, "linked", NULL, ctx->now);
	}
	/* from here on a repetition starts from what the target has */
	flight->action = SCIM_ACTION_UPDATE;
	flight->adopted = true;
	flight->from = flight->link.acked = resource_text(resource);
	flight->full = update.full;
	flight->wanted = update.wanted;
	flight->partial = update.partial;
	if (update.read_first && ctx->response == NULL)
		return go_on(flight, SCIM_PHASE_READ, "GET", update.path, NULL);
	if (update.read_first)
		return put(ctx, resource);
	return go_on(flight, SCIM_PHASE_UPDATE, update.method, update.path, update.body);
}

/* What became of an update whose answer was lost. */
static bool
compared(AnswerContext *ctx)
{
	ScimFlight *flight = ctx->flight;
	const char *id = text_member(ctx->body, "id");

	if (id == NULL || strcmp(id, flight->link.remote_id) != 0)
	{
		ctx->reason = "the target returns another resource than the one that was asked for";
		return try_later(ctx);
	}
	flight->link.doubt = 0;
	/* the mapping may have no `active`, and we took it out of use */
	return bring(ctx, flight->link.remote_id, ctx->body,
				 !ctx->view->active_mapped && json_is_false(scim_json_get(ctx->body, "active", NULL)) &&
				 strcmp(flight->link.state, "disabled") == 0);
}

/* Exactly one resource matches: it is the row's, if it is no other row's. */
static bool
adopt(AnswerContext *ctx, const json_t *resource)
{
	ScimFlight *flight = ctx->flight;
	const char *id = text_member(resource, "id");
	const char *owner;

	if (id == NULL)
		return park(ctx, "conflict", "the resource that matches has no id");
	owner = scim_link_of_remote(ctx->view->sync->id, id);
	if (owner && strcmp(owner, flight->key) != 0)
	{
		ctx->reason = psprintf("the resource that matches belongs to the row with key %s", owner);
		/* which may be about to give it up: another name, another key, gone */
		return flight->link.attempts < MAX_CONFLICTS ? try_later(ctx) : park(ctx, "conflict", ctx->reason);
	}
	if (!may_adopt(ctx, id))
		return true;

	flight->link.remote_id = pstrdup(id);
	flight->link.doubt = 0;
	/* made for a row that is gone, or another one, by now: what follows is decided anew */
	if (flight->absent || flight->former)
	{
		flight->link.acked = resource_text(resource);
		return store(ctx, "linked", NULL, ctx->now);
	}
	return bring(ctx, id, resource, false);
}

/* No rule has found anything. */
static bool
not_found(AnswerContext *ctx)
{
	ScimFlight *flight = ctx->flight;

	if (flight->phase == SCIM_PHASE_FIND)
	{
		ctx->reason = flight->uncertain ? "the target says that it was created, and does not find it" :
			"the target calls it a duplicate, and does not find it";
		if (flight->stranger)
			return park(ctx, "conflict", "the target answers its creation with the id of another row");
		if (flight->uncertain)
			return doubt(ctx, DOUBT_AFTER_SILENCE);
		return flight->link.attempts < MAX_LAGS ? try_later(ctx) : park(ctx, "conflict", ctx->reason);
	}
	if (flight->link.doubt > 0 && --flight->link.doubt > 0)
	{
		/* an index of the target may lag behind; asked again, it may know */
		ctx->news->rescan = true;
		return store(ctx, "pending", "the outcome of its creation is not known",
					 TimestampTzPlusMilliseconds(ctx->now, flight->link.doubt > 1 ? FIRST_LAG_MS : SECOND_LAG_MS));
	}
	if (flight->former)
		return store(ctx, "pending", NULL, ctx->now);
	if (!flight->may_create)
		return store(ctx, flight->absent ? NULL : "skipped", flight->link.reason, 0);
	if (!flight->dry)
		scim_link_intend_create(ctx->view->sync->id, flight->key, flight->wanted);
	return go_on(flight, SCIM_PHASE_CREATE, "POST", ctx->view->type->endpoint, flight->create_body);
}

/* Does a list hold less than it counts? */
static bool
is_cut(const AnswerContext *ctx, const json_t *resources)
{
	const json_t *total = scim_json_get(ctx->body, "totalResults", NULL);

	return json_is_integer(total) && json_integer_value(total) > (json_int_t) json_array_size(resources);
}

/* The answer to the query of one rule. */
static bool
matched(AnswerContext *ctx)
{
	ScimFlight *flight = ctx->flight;
	const ScimMatchRule *rule = &ctx->view->rules[flight->rule];
	const json_t *resources = ctx->body ? scim_json_get(ctx->body, "Resources", NULL) : NULL;
	const json_t *wanted = scim_document_parse(flight->wanted);
	const json_t *found = NULL;
	int			nfound = 0;

	/* rules that hold for nothing hold for every resource */
	if (flight->rule >= ctx->view->nrules)
		return store(ctx, flight->link.state, "its sync was altered", ctx->now);
	if (ctx->body == NULL)
	{
		ctx->reason = "the answer to a query is no list";
		return try_later(ctx);
	}
	/* servers that ignore the filter return strangers */
	for (size_t i = 0; json_is_array(resources) && i < json_array_size(resources); i++)
	{
		const json_t *resource = json_array_get(resources, i);

		if (scim_match_holds(ctx->view, rule, wanted, resource))
		{
			found = resource;
			nfound++;
		}
	}
	if (nfound > 1)
		return park(ctx, "conflict", psprintf("%d resources match", nfound));
	if (nfound < (int) json_array_size(resources) && is_cut(ctx, resources))
	{
		/* whoever is looked for, or a second one, may be on a page that was not sent */
		ctx->reason = "asked for one by a filter, the target sends others";
		return reformed(ctx, scim_adapt_learn_scan(ctx->view, ctx->reason));
	}
	if (nfound == 1)
		return adopt(ctx, found);

	while (++flight->rule < SCIM_MAX_RULES && flight->match_paths[flight->rule] == NULL)
		;
	if (flight->rule < SCIM_MAX_RULES)
		return go_on(flight, flight->phase, "GET", flight->match_paths[flight->rule], NULL);
	/* what a creation is verified by, and a conflict looked up with */
	for (flight->rule = 0; flight->match_paths[flight->rule] == NULL; flight->rule++)
		;
	return not_found(ctx);
}

bool
scim_flight_match_list(const ScimSyncView *view, ScimFlight *flight, ScimTargetNews *news)
{
	MemoryContext saved = MemoryContextSwitchTo(flight->context);
	AnswerContext ctx = {.view = view, .flight = flight, .now = GetCurrentTimestamp(), .news = news};
	const json_t *wanted;
	bool		over = false;
	bool		known = false;

	scim_heap_begin((size_t) scim_request_memory * 1024);
	memset(news, 0, sizeof(*news));
	wanted = scim_document_parse(flight->wanted);
	for (flight->rule = 0; flight->rule < SCIM_MAX_RULES && !known; flight->rule++)
	{
		const ScimMatchRule *rule = &view->rules[flight->rule];
		const json_t *found = NULL;
		json_t	   *candidates;
		int			n = 0;

		if (flight->match_paths[flight->rule] == NULL)
			continue;
		candidates = scim_scan_find(view, flight->rule, wanted);
		for (size_t i = 0; i < json_array_size(candidates); i++)
			if (scim_match_holds(view, rule, wanted, json_array_get(candidates, i)))
			{
				found = json_array_get(candidates, i);
				n++;
			}
		if (n == 0)
			continue;
		known = true;
		over = n == 1 ? adopt(&ctx, found) : park(&ctx, "conflict", psprintf("%d resources match", n));
	}
	if (!known)
	{
		for (flight->rule = 0; flight->match_paths[flight->rule] == NULL; flight->rule++)
			;
		over = not_found(&ctx);
	}
	MemoryContextSwitchTo(saved);
	return over;
}

static bool
created(AnswerContext *ctx)
{
	const char *id = created_id(ctx);
	const char *owner = id ? scim_link_of_remote(ctx->view->sync->id, id) : NULL;

	/* created, it seems, but as what? */
	if (id == NULL || (owner && strcmp(owner, ctx->flight->key) != 0))
	{
		ctx->flight->uncertain = true;
		ctx->flight->stranger = id != NULL;
		return find(ctx);
	}
	ctx->flight->link.remote_id = pstrdup(id);
	if (ctx->flight->created)
	{
		ctx->flight->wanted = ctx->flight->created;
		ctx->flight->partial = true;
	}
	return succeed(ctx, "linked");
}

/* A GET by id: after a 404, or to see whether it is out of use. */
static bool
looked(AnswerContext *ctx)
{
	ScimFlight *flight = ctx->flight;
	const json_t *active = ctx->body ? scim_json_get(ctx->body, "active", NULL) : NULL;

	if (json_is_false(active) || (json_is_string(active) && pg_strcasecmp(json_string_value(active), "false") == 0))
	{
		if (flight->action == SCIM_ACTION_DISABLE)
			return succeed(ctx, "disabled");
	}
	if (flight->strange)
	{
		ctx->reason = "404 with a page of HTML, for a resource that is there";
		return reformed(ctx, scim_adapt_learn_method(ctx->view, flight->strange, ctx->reason));
	}
	if (flight->action != SCIM_ACTION_DISABLE)
	{
		ctx->reason = "not found when it was to be changed, and found when it was looked for";
		return try_later(ctx);
	}
	ctx->reason = "the target has accepted that it is disabled, and says that it is active";
	return try_later(ctx);
}

/* The resource is not there (any more). */
static bool
vanished(AnswerContext *ctx)
{
	ScimFlight *flight = ctx->flight;
	bool		page = scim_adapt_is_page(ctx->response);

	/* a page for people says nothing of a resource */
	if (page && flight->phase != SCIM_PHASE_UPDATE && flight->phase != SCIM_PHASE_DISABLE && flight->phase != SCIM_PHASE_CREATE)
		return try_later(ctx);
	switch (flight->phase)
	{
		case SCIM_PHASE_DELETE:
			return store(ctx, NULL, NULL, 0);
		case SCIM_PHASE_DISABLE:
		case SCIM_PHASE_UPDATE:
			flight->strange = page ? flight->method : NULL;
			return look(ctx);
		case SCIM_PHASE_READ:
		case SCIM_PHASE_COMPARE:
		case SCIM_PHASE_LOOK:
			if (flight->action == SCIM_ACTION_DISABLE)
				return succeed(ctx, "disabled");
			flight->link.remote_id = NULL;
			flight->link.acked = "{}";
			flight->link.doubt = 1;
			return store(ctx, "pending", "its resource has gone from the target", ctx->now);
		case SCIM_PHASE_MATCH:
		case SCIM_PHASE_FIND:
			/* some say so instead of an empty list */
			ctx->body = scim_document_parse("{}");
			return matched(ctx);
		case SCIM_PHASE_CREATE:
		case SCIM_PHASE_PROBE:
		case SCIM_PHASE_SCAN:
		case SCIM_PHASE_TOKEN:
			break;
	}
	return park(ctx, "parked", ctx->reason);
}

static bool
done(AnswerContext *ctx)
{
	switch (ctx->flight->phase)
	{
		case SCIM_PHASE_MATCH:
		case SCIM_PHASE_FIND:
			return matched(ctx);
		case SCIM_PHASE_CREATE:
			return created(ctx);
		case SCIM_PHASE_READ:
			return put(ctx, ctx->body);
		case SCIM_PHASE_COMPARE:
			return compared(ctx);
		case SCIM_PHASE_UPDATE:
			return succeed(ctx, "linked");
		case SCIM_PHASE_DISABLE:
			/* its word is taken for it where the answer says so */
			if (ctx->body && json_is_false(scim_json_get(ctx->body, "active", NULL)))
				return succeed(ctx, "disabled");
			return look(ctx);
		case SCIM_PHASE_LOOK:
			return looked(ctx);
		case SCIM_PHASE_DELETE:
			return store(ctx, NULL, NULL, 0);
		case SCIM_PHASE_PROBE:
		case SCIM_PHASE_SCAN:
		case SCIM_PHASE_TOKEN:
			break;
	}
	return true;
}

static bool
decide_next(AnswerContext *ctx)
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
		case SCIM_VERDICT_UNAUTHORIZED:
			/* not the row's fault */
			return store(ctx, flight->link.state, ctx->reason,
						 TimestampTzPlusMilliseconds(ctx->now, Max(ctx->news->wait_ms, 0)));
		case SCIM_VERDICT_DOUBT:
			return creating ? doubt(ctx, DOUBT_AFTER_SILENCE) : writing ? doubt(ctx, 1) : try_later(ctx);
		case SCIM_VERDICT_TRANSIENT:
			return creating || writing ? doubt(ctx, DOUBT_AFTER_ERROR) : try_later(ctx);
		case SCIM_VERDICT_CONFLICT:
			if (creating)
				return find(ctx);
			if (flight->link.attempts >= MAX_CONFLICTS)
				return park(ctx, "conflict", ctx->reason);
			return try_later(ctx);
		case SCIM_VERDICT_CHANGED:
			return try_later(ctx);
		case SCIM_VERDICT_FORBIDDEN:
			return park(ctx, "parked", ctx->reason);
		case SCIM_VERDICT_TOO_LARGE:
		case SCIM_VERDICT_UNSUPPORTED:
		case SCIM_VERDICT_REFUSED:
			return refused(ctx);
	}
	return true;
}

/* A page that did not come is asked for again, some times. */
static bool
scan_again(AnswerContext *ctx)
{
	if (ctx->response->outcome == SCIM_TRANSFER_TOO_LARGE)
		return false;
	switch (ctx->verdict)
	{
		case SCIM_VERDICT_DOUBT:
		case SCIM_VERDICT_TRANSIENT:
		case SCIM_VERDICT_UNREACHED:
		case SCIM_VERDICT_UNAUTHORIZED:
			if (++ctx->flight->link.attempts > MAX_ATTEMPTS)
				return false;
			if (ctx->verdict == SCIM_VERDICT_DOUBT || ctx->verdict == SCIM_VERDICT_TRANSIENT)
				ctx->news->wait_ms = Max(ctx->news->wait_ms, BACKOFF_FIRST_MS);
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
	AnswerContext ctx = {.view = view, .flight = flight, .response = response, .now = GetCurrentTimestamp(), .news = news};
	ScimError	err;
	long		wanted;
	bool		broken = false;
	bool		over;

	scim_heap_begin((size_t) scim_request_memory * 1024);
	ctx.verdict = scim_retry_verdict(response);
	ctx.reason = ctx.verdict == SCIM_VERDICT_OK ? NULL : scim_retry_reason(response, secret);
	if (ctx.reason && response->status)
		ctx.reason = psprintf("%d: %s", response->status, ctx.reason);
	if (ctx.verdict == SCIM_VERDICT_OK && response->body_len > 0)
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
	news->reason = ctx.reason;
	wanted = scim_retry_wanted(response, (long long) (ctx.now / USECS_PER_SEC) +
							   (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY);
	news->wait_ms = ctx.verdict == SCIM_VERDICT_THROTTLED ? (wanted >= 0 ? wanted * 1000 : 1000) :
		scim_retry_exhausted(response) && wanted >= 0 ? wanted * 1000 : -1;

	scim_attempt_log(view->sync->id, flight->key, scim_flight_phase_name(flight), flight->method, flight->path,
					 response, ctx.verdict, ctx.reason,
					 news->wait_ms > 0 ? TimestampTzPlusMilliseconds(ctx.now, news->wait_ms) : 0);
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
	else if (flight->phase == SCIM_PHASE_TOKEN)
	{
		news->page = ctx.body;
		over = true;
	}
	else
		over = decide_next(&ctx);
	MemoryContextSwitchTo(saved);
	return over;
}
