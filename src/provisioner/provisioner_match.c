/*
 * provisioner_match.c
 *		Which resource of the target a row is, and how one that is known there is
 *		brought to what is wanted (provisioning-engine 2.6, 2.7).
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "provisioner_answer.h"
#include "provisioner_scan.h"
#include "../scim_guc.h"

/*
 * Between misses that make sure that a POST of unknown outcome has come to
 * nothing: a target may find what it has made a while later.
 */
#define FIRST_LAG_MS 2000
#define SECOND_LAG_MS 10000

/* Tries after "duplicate" of what is not found: an index may lag behind some seconds. */
#define MAX_LAGS 3

/* A row that somebody else creates is looked for again after this. */
#define SKIPPED_AGAIN_MS (60 * 60 * 1000)

bool
scim_answer_find(ScimAnswer *ctx)
{
	ScimFlight *flight = ctx->flight;

	if (ctx->view->server->list_scan)
	{
		/* there is no query for it: its list is read again */
		ctx->news->rescan = true;
		if (flight->uncertain)
			flight->link.doubt = Max(flight->link.doubt, 2);
		return scim_answer_try_later(ctx);
	}
	flight->rule = 0;
	while (flight->match_paths[flight->rule] == NULL)
		flight->rule++;
	return scim_answer_go_on(flight, SCIM_PHASE_FIND, "GET", flight->match_paths[flight->rule], NULL);
}

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
created_id(const ScimAnswer *ctx)
{
	const ScimSyncView *view = ctx->view;
	const char *id = text_member(ctx->body, "id");
	const char *location = ctx->response->location;
	const char *slash;

	if (id)
	{
		const ScimMatchRule *rule = &view->rules[ctx->flight->rule];
		const char *path = ctx->flight->match_paths[ctx->flight->rule];
		const char *found = rule->nattrs == 1 || view->server->filter_and ? scim_match_path(view, rule, ctx->body) : NULL;

		/* the very value that was looked for */
		if (found && path && strcmp(found, path) == 0)
			return id;
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
bool
scim_answer_put(ScimAnswer *ctx, const json_t *resource)
{
	ScimFlight *flight = ctx->flight;
	const char *id = text_member(resource, "id");
	const ScimMatchRule *rule = &ctx->view->rules[0];

	/* what a truncated answer leaves out would be lost */
	if (id == NULL || strcmp(id, flight->link.remote_id) != 0 ||
		scim_document_value(ctx->view->type, resource, rule->attrs[0]) == NULL)
		return scim_answer_park(ctx, "parked", "what the target returns is no whole resource: it is not overwritten");
	return scim_answer_go_on(flight, flight->action == SCIM_ACTION_DISABLE ? SCIM_PHASE_DISABLE : SCIM_PHASE_UPDATE, "PUT",
				 scim_resource_path(ctx->view, id), scim_overlay(ctx->view, resource, flight->full ? flight->full : flight->wanted));
}

/*
 * Is what was there before the row's?  What this sync has made itself, and lost
 * sight of, is.  False: the link says what is missing.
 */
static bool
may_adopt(ScimAnswer *ctx, const char *id)
{
	ScimFlight *flight = ctx->flight;
	ScimSyncAdopt adopt = ctx->view->sync->adopt;

	if (adopt == SCIM_ADOPT_AUTO || flight->uncertain ||
		(flight->link.approval && strcmp(flight->link.approval, "approved") == 0))
		return true;
	if (adopt == SCIM_ADOPT_NEVER)
	{
		scim_answer_park(ctx, "conflict", psprintf("resource %s is at the target already, and the sync adopts none", id));
		/* by this sync, not by the target */
		ctx->news->parked = false;
		return false;
	}
	flight->link.staged = "adopt";
	scim_answer_store(ctx, "staged", psprintf("resource %s is at the target already: it waits for scim.approve()", id), 0);
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
takes_out_of_use(const ScimAnswer *ctx, const json_t *resource)
{
	return ctx->view->active_mapped &&
		json_is_false(scim_json_get(scim_document_parse(ctx->flight->wanted), "active", NULL)) &&
		!json_is_false(scim_json_get(resource, "active", NULL));
}

/* A resource of the target, as it is there now, is brought to what is wanted. */
static bool
bring(ScimAnswer *ctx, const char *id, const json_t *resource, bool reactivate)
{
	ScimFlight *flight = ctx->flight;
	ScimDecision update;

	memset(&update, 0, sizeof(update));
	if (!scim_decide_update(ctx->view, id, resource, flight->wanted, reactivate, 0, &update))
		return scim_answer_succeed(ctx, "linked");
	if ((ctx->view->sync->actions & SCIM_SYNC_UPDATE) == 0)
	{
		ctx->news->linked = true;
		return scim_answer_store(ctx, "linked", "update is none of the actions of the sync", 0);
	}
	if (takes_out_of_use(ctx, resource))
	{
		/* like every change that does, it has to pass the delete guard */
		flight->link.staged = flight->link.approval = NULL;
		flight->link.acked = resource_text(resource);
		ctx->news->linked = true;
		return scim_answer_store(ctx, "linked", NULL, ctx->now);
	}
	/* from here on a repetition starts from what the target has */
	flight->action = SCIM_ACTION_UPDATE;
	flight->adopted = true;
	flight->from = flight->link.acked = resource_text(resource);
	flight->full = update.full;
	flight->wanted = update.wanted;
	flight->change = update.change;
	flight->partial = update.partial;
	if (update.read_first && ctx->response == NULL)
		return scim_answer_go_on(flight, SCIM_PHASE_READ, "GET", update.path, NULL);
	if (update.read_first)
		return scim_answer_put(ctx, resource);
	return scim_answer_go_on(flight, SCIM_PHASE_UPDATE, update.method, update.path, update.body);
}

/* What became of an update whose answer was lost. */
bool
scim_answer_compared(ScimAnswer *ctx)
{
	ScimFlight *flight = ctx->flight;
	const char *id = text_member(ctx->body, "id");

	if (id == NULL || strcmp(id, flight->link.remote_id) != 0)
	{
		ctx->reason = "the target returns another resource than the one that was asked for";
		return scim_answer_try_later(ctx);
	}
	flight->link.doubt = 0;
	/* the mapping may have no `active`, and we took it out of use */
	return bring(ctx, flight->link.remote_id, ctx->body,
				 !ctx->view->active_mapped && json_is_false(scim_json_get(ctx->body, "active", NULL)) &&
				 strcmp(flight->link.state, "disabled") == 0);
}

/*
 * The resource belongs to a row that is gone, as after a change of its key: it
 * is this row's now.  What the target has of it is read next.
 */
static bool
take_over(ScimAnswer *ctx, const char *id, const char *owner)
{
	ScimFlight *flight = ctx->flight;
	const char *state = scim_link_of_gone(ctx->view->sync->id, owner, !flight->dry);

	if (state == NULL)
		return false;
	flight->link.remote_id = pstrdup(id);
	flight->link.acked = "{}";
	flight->link.doubt = 1;
	flight->link.attempts = 0;
	/* whom we have taken out of use we take back */
	return scim_answer_store(ctx, strcmp(state, "disabled") == 0 ? "disabled" : "linked",
							 psprintf("it was the resource of the row with key %s, which is gone", owner), ctx->now);
}

/* Exactly one resource matches: it is the row's, if it is no other row's. */
static bool
adopt(ScimAnswer *ctx, const json_t *resource)
{
	ScimFlight *flight = ctx->flight;
	const char *id = text_member(resource, "id");
	const char *owner;

	if (id == NULL)
		return scim_answer_park(ctx, "conflict", "the resource that matches has no id");
	owner = scim_link_of_remote(ctx->view->sync->id, id);
	if (owner && strcmp(owner, flight->key) != 0 && take_over(ctx, id, owner))
		return true;
	if (owner && strcmp(owner, flight->key) != 0)
	{
		ctx->reason = psprintf("the resource that matches belongs to the row with key %s", owner);
		/* which may be about to give it up: another name, another key, gone */
		return flight->link.attempts < SCIM_MAX_CONFLICTS ? scim_answer_try_later(ctx) : scim_answer_park(ctx, "conflict", ctx->reason);
	}
	if (!may_adopt(ctx, id))
		return true;

	flight->link.remote_id = pstrdup(id);
	flight->link.doubt = 0;
	/* made for a row that is gone, or another one, by now: what follows is decided anew */
	if (flight->absent || flight->former)
	{
		flight->link.acked = resource_text(resource);
		return scim_answer_store(ctx, "linked", NULL, ctx->now);
	}
	return bring(ctx, id, resource, false);
}

/* No rule has found anything. */
static bool
not_found(ScimAnswer *ctx)
{
	ScimFlight *flight = ctx->flight;

	if (flight->phase == SCIM_PHASE_FIND)
	{
		ctx->reason = flight->uncertain ? "the target says that it was created, and does not find it" :
			"the target calls it a duplicate, and does not find it";
		if (flight->stranger)
			return scim_answer_park(ctx, "conflict", "the target answers its creation with the id of another row");
		if (flight->uncertain)
			return scim_answer_doubt(ctx, SCIM_DOUBT_AFTER_SILENCE);
		if (flight->link.attempts >= MAX_LAGS)
			return scim_answer_park(ctx, "conflict", ctx->reason);
		flight->link.attempts++;
		return scim_answer_store(ctx, flight->link.state, ctx->reason,
								 TimestampTzPlusMilliseconds(ctx->now, flight->link.attempts == 1 ? FIRST_LAG_MS : SECOND_LAG_MS));
	}
	if (flight->link.doubt > 0 && --flight->link.doubt > 0)
	{
		/* an index of the target may lag behind; asked again, it may know */
		ctx->news->rescan = true;
		return scim_answer_store(ctx, "pending", "the outcome of its creation is not known",
					 TimestampTzPlusMilliseconds(ctx->now, flight->link.doubt > 1 ? FIRST_LAG_MS : SECOND_LAG_MS));
	}
	if (flight->former)
		return scim_answer_store(ctx, "pending", NULL, ctx->now);
	if (!flight->may_create)
		/* where others create, it may come */
		return scim_answer_store(ctx, flight->absent ? NULL : "skipped", flight->link.reason,
								 flight->absent || (ctx->view->sync->actions & SCIM_SYNC_CREATE) != 0 ? 0 :
								 TimestampTzPlusMilliseconds(ctx->now, SKIPPED_AGAIN_MS));
	if (!flight->dry)
		scim_link_intend_create(ctx->view->sync->id, flight->key, flight->wanted);
	return scim_answer_go_on(flight, SCIM_PHASE_CREATE, "POST", ctx->view->type->endpoint, flight->create_body);
}

/* Does a list hold less than it counts? */
static bool
is_cut(const ScimAnswer *ctx, const json_t *resources)
{
	const json_t *total = scim_json_get(ctx->body, "totalResults", NULL);

	return json_is_integer(total) && json_integer_value(total) > (json_int_t) json_array_size(resources);
}

/* The answer to the query of one rule. */
bool
scim_answer_matched(ScimAnswer *ctx)
{
	ScimFlight *flight = ctx->flight;
	const ScimMatchRule *rule = &ctx->view->rules[flight->rule];
	const json_t *resources = ctx->body ? scim_json_get(ctx->body, "Resources", NULL) : NULL;
	const json_t *wanted = scim_document_parse(flight->wanted);
	const json_t *found = NULL;
	int			nfound = 0;

	/* rules that hold for nothing hold for every resource */
	if (flight->rule >= ctx->view->nrules)
		return scim_answer_store(ctx, flight->link.state, "its sync was altered", ctx->now);
	if (ctx->body == NULL)
	{
		ctx->reason = "the answer to a query is no list";
		return scim_answer_try_later(ctx);
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
		return scim_answer_park(ctx, "conflict", psprintf("%d resources match", nfound));
	if (nfound < (int) json_array_size(resources) && is_cut(ctx, resources))
	{
		if (rule->nattrs > 1 && !ctx->view->server->filter_and)
			return scim_answer_park(ctx, "conflict", "more resources match a part of the rule than the target sends");
		/* whoever is looked for, or a second one, may be on a page that was not sent */
		ctx->reason = "asked for one by a filter, the target sends others";
		return scim_answer_reformed(ctx, scim_adapt_learn_scan(ctx->view, ctx->reason));
	}
	if (nfound == 1)
		return adopt(ctx, found);

	while (++flight->rule < SCIM_MAX_RULES && flight->match_paths[flight->rule] == NULL)
		;
	if (flight->rule < SCIM_MAX_RULES)
		return scim_answer_go_on(flight, flight->phase, "GET", flight->match_paths[flight->rule], NULL);
	/* what a creation is verified by, and a conflict looked up with */
	for (flight->rule = 0; flight->match_paths[flight->rule] == NULL; flight->rule++)
		;
	return not_found(ctx);
}

bool
scim_flight_match_list(const ScimSyncView *view, ScimFlight *flight, bool empty, ScimTargetNews *news)
{
	MemoryContext saved = MemoryContextSwitchTo(flight->context);
	ScimAnswer ctx = {.view = view, .flight = flight, .now = GetCurrentTimestamp(), .news = news};
	const json_t *wanted = NULL;
	bool		over = false;
	bool		known = false;

	scim_heap_begin((size_t) scim_request_memory * 1024);
	memset(news, 0, sizeof(*news));
	if (!empty)
		wanted = scim_document_parse(flight->wanted);
	for (flight->rule = 0; !empty && flight->rule < SCIM_MAX_RULES && !known; flight->rule++)
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
		over = n == 1 ? adopt(&ctx, found) : scim_answer_park(&ctx, "conflict", psprintf("%d resources match", n));
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

bool
scim_answer_created(ScimAnswer *ctx)
{
	const char *id = created_id(ctx);
	const char *owner = id ? scim_link_of_remote(ctx->view->sync->id, id) : NULL;

	/* created, it seems, but as what? */
	if (id == NULL || (owner && strcmp(owner, ctx->flight->key) != 0))
	{
		ctx->flight->uncertain = true;
		ctx->flight->stranger = id != NULL;
		return scim_answer_find(ctx);
	}
	ctx->flight->link.remote_id = pstrdup(id);
	if (ctx->flight->created)
	{
		ctx->flight->wanted = ctx->flight->created;
		ctx->flight->partial = true;
	}
	return scim_answer_succeed(ctx, "linked");
}
