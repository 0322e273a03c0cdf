/*
 * provisioner_plan.c
 *		From a link and the document of its row to what is to be done, and
 *		scim.plan(), which shows that and does nothing (provisioning-engine 2.5,
 *		2.7, 2.12).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/sha2.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "provisioner_engine.h"
#include "../compat.h"
#include "../scim_guc.h"

#define PLAN_PAGE 500

PG_FUNCTION_INFO_V1(scim_plan);

const char *
scim_action_name(ScimAction action)
{
	static const char *const names[] = {
		[SCIM_ACTION_NONE] = "none",
		[SCIM_ACTION_CREATE] = "create",
		[SCIM_ACTION_UPDATE] = "update",
		[SCIM_ACTION_DISABLE] = "disable",
		[SCIM_ACTION_DELETE] = "delete",
	};

	return names[action];
}

char *
scim_text_hash(const char *text)
{
	uint8		digest[PG_SHA256_DIGEST_LENGTH];
	char	   *hex = palloc(2 * PG_SHA256_DIGEST_LENGTH + 1);

	scim_sha256((const uint8 *) text, strlen(text), digest);
	hex[hex_encode((const char *) digest, PG_SHA256_DIGEST_LENGTH, hex)] = '\0';
	return hex;
}

char *
scim_resource_path(const ScimSyncView *view, const char *remote_id)
{
	char	   *encoded = scim_client_encode(remote_id);
	char	   *path;

	if (encoded == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	path = psprintf("%s/%s", view->type->endpoint, encoded);
	free(encoded);
	return path;
}

/* ---- decisions ---- */

TimestampTz
scim_escrow_time(const ScimSync *sync, int attempts, TimestampTz now)
{
	int			hours = attempts <= 1 ? 6 : attempts == 2 ? 12 : 24;
	int64		passed = attempts <= 1 ? 0 : attempts == 2 ? 6 : 18 + INT64CONST(24) * (attempts - 3);

	if (passed + hours > INT64CONST(24) * sync->escrow_days)
		return 0;

	return TimestampTzPlusMilliseconds(now, hours * INT64CONST(3600000));
}

ScimDecision *
scim_decide_nothing(ScimDecision *decision, const ScimLink *link, const char *state, const char *reason,
					TimestampTz next_at)
{
	decision->action = SCIM_ACTION_NONE;
	decision->after.state = state;
	decision->after.reason = reason;
	decision->after.remote_id = link->remote_id;
	decision->after.wanted_hash = link->wanted_hash;
	decision->after.wanted = link->wanted;
	decision->after.doubt = link->doubt;
	decision->after.attempts = link->attempts;
	decision->after.gone_at = link->gone_at;
	decision->after.next_at = next_at;
	decision->reason = reason;
	return decision;
}

/* The document, saying active: true, or false. */
static char *
with_active(const char *document, bool active)
{
	ScimCoreFrame frame;
	json_t	   *value;
	char	   *text;
	size_t		len;

	scim_core_enter(&frame);
	value = scim_document_parse(document ? document : "{}");
	json_object_set_new(value, "active", json_boolean(active));
	text = scim_json_print(value, &len);
	scim_core_leave(&frame);
	if (text == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	return text;
}

/* {"schemas": [...], "id": ..., attributes}: a PUT of a target that keeps what is left out. */
static char *
merge_body(const ScimSyncView *view, const char *remote_id, const char *document)
{
	StringInfoData body;

	initStringInfo(&body);
	scim_diff_create_body(view->type, scim_document_parse(document), &body);
	body.data[--body.len] = '\0';
	appendStringInfoString(&body, ",\"id\":");
	escape_json(&body, remote_id);
	appendStringInfoChar(&body, '}');
	return body.data;
}

/*
 * By PUT: a resource as a whole.  What it is laid over is known only when it has
 * been read.
 */
static void
decide_put(const ScimSyncView *view, const char *remote_id, const char *to, ScimDecision *decision)
{
	decision->method = "PUT";
	decision->read_first = view->update_method == SCIM_UPDATE_PUT;
	decision->body = merge_body(view, remote_id, to);
	decision->partial = false;
	decision->wanted = to;
}

bool
scim_decide_update(const ScimSyncView *view, const char *remote_id, const json_t *from, const char *to,
				   bool reactivate, int most, ScimDecision *decision)
{
	StringInfoData operations;
	StringInfoData body;
	const char *row = to;
	char	   *step;
	const json_t *next;
	List	   *changed = NIL;
	bool		later = false;
	int			n;

	to = scim_apply_rules(view, from, row);
	step = view->update_method == SCIM_UPDATE_PATCH ? scim_step_towards(view, from, to, false, most) : NULL;
	next = scim_document_parse(step ? step : to);
	initStringInfo(&operations);
	n = scim_diff_operations(view->type, &view->style, from, next, &operations, &changed);
	/* where a request carries one operation, this one comes last and alone */
	later = reactivate && n > 0 && (step != NULL || view->style.one_operation);
	if (reactivate && !later)
		appendStringInfo(&operations, "%s{\"op\":\"replace\",\"path\":\"active\",\"value\":true}", n++ > 0 ? "," : "");
	if (n == 0)
		return false;
	scim_change_note(view, changed, from, next, reactivate && !later ? 1 : 0, &decision->change);
	initStringInfo(&body);
	scim_diff_patch_body(operations.data, &body);
	decision->action = SCIM_ACTION_UPDATE;
	decision->method = "PATCH";
	decision->path = scim_resource_path(view, remote_id);
	decision->body = body.data;
	decision->partial = step != NULL || later;
	decision->wanted = step ? step : to;
	decision->full = row;
	if (view->update_method != SCIM_UPDATE_PATCH)
	{
		decision->full = reactivate ? with_active(row, true) : row;
		decide_put(view, remote_id, reactivate ? with_active(to, true) : to, decision);
	}
	return true;
}

void
scim_decide_disable(const ScimSyncView *view, const ScimLink *link, ScimDecision *decision)
{
	StringInfoData body;

	initStringInfo(&body);
	scim_diff_patch_body("{\"op\":\"replace\",\"path\":\"active\",\"value\":false}", &body);
	decision->action = SCIM_ACTION_DISABLE;
	decision->method = "PATCH";
	decision->path = scim_resource_path(view, link->remote_id);
	decision->body = body.data;
	decision->wanted = with_active(link->acked, false);
	scim_change_note(view, NIL, NULL, NULL, -1, &decision->change);
	if (view->update_method != SCIM_UPDATE_PATCH)
		decide_put(view, link->remote_id, decision->wanted, decision);
}

/* Does a document say that the resource is out of use? */
static bool
says_inactive(const char *document)
{
	/* most documents need not be parsed for it */
	return document && strstr(document, "false") && json_is_false(scim_json_get(scim_document_parse(document), "active", NULL));
}

static const char *
waiting_reason(const ScimDocument *document)
{
	return document->waiting ? psprintf("waits for %d rows that it refers to", document->waiting) : NULL;
}

/* How a document is looked for at the target; false: it can't be. */
static bool
set_search(const ScimSyncView *view, const json_t *document, ScimDecision *decision)
{
	bool		any = false;

	for (int i = 0; i < view->nrules; i++)
	{
		decision->match_paths[i] = scim_match_path(view, &view->rules[i], document);
		any = any || decision->match_paths[i];
	}
	return any;
}

static bool
same_search(const ScimSyncView *view, const char *document, const ScimDecision *decision)
{
	ScimDecision other;

	(void) set_search(view, scim_document_parse(document), &other);
	for (int i = 0; i < view->nrules; i++)
		if ((other.match_paths[i] == NULL) != (decision->match_paths[i] == NULL) ||
			(other.match_paths[i] && strcmp(other.match_paths[i], decision->match_paths[i]) != 0))
			return false;
	return true;
}

/* The row is there and in scope. */
static ScimDecision *
decide_present(const ScimSyncView *view, const ScimLink *link, const ScimDocument *document, TimestampTz now,
			   ScimDecision *decision)
{
	const ScimSync *sync = view->sync;
	const json_t *wanted = scim_document_parse(document->text);
	const char *acked = link->acked ? link->acked : "{}";
	const char *to = document->text;
	StringInfoData body;
	char	   *step;
	bool		any;

	/* a change that leaves the document as it was refused is no reason to send it */
	if (link->dirty && link->wanted_hash && strcmp(link->wanted_hash, scim_text_hash(document->text)) == 0)
		return scim_decide_nothing(decision, link, "parked", "refused by the target as it is", scim_escrow_time(sync, link->attempts, now));

	if (link->remote_id)
	{
		bool		was_disabled = strcmp(link->state, "disabled") == 0;

		/* what the target has is not known: it says so, and is brought from there to what is wanted */
		if (link->doubt > 0)
		{
			decision->action = SCIM_ACTION_UPDATE;
			decision->compare = true;
			decision->method = "GET";
			decision->path = scim_resource_path(view, link->remote_id);
			decision->wanted = document->text;
			decision->reason = "the outcome of its last change is not known";
			return decision;
		}
		/* the very text that was acknowledged */
		if (!was_disabled && link->acked_hash && strcmp(link->acked_hash, scim_text_hash(document->text)) == 0)
		{
			/* with all members that it has */
			decision->after.refused = NIL;
			decision->after.refused_tries = 0;
			return scim_decide_nothing(decision, link, "linked", waiting_reason(document), 0);
		}
		/* what we took out of use comes back, also where the mapping has no `active` */
		if (decision->after.refused != NIL)
			decision->after.refused = scim_references_that_differ(view, acked, to, decision->after.refused);
		if (decision->after.refused != NIL)
			to = scim_keep_references(view, acked, to, decision->after.refused);
		if (!scim_decide_update(view, link->remote_id, scim_document_parse(acked), to,
								was_disabled && !view->active_mapped, 0, decision))
		{
			if (decision->after.refused != NIL)
				return scim_decide_nothing(decision, link, "linked", link->reason,
										   decision->after.refused_until == DT_NOEND ? 0 : decision->after.refused_until);
			decision->after.refused_tries = 0;
			decision->after.acked_hash = scim_text_hash(document->text);
			return scim_decide_nothing(decision, link, "linked", waiting_reason(document), 0);
		}
		if ((sync->actions & SCIM_SYNC_UPDATE) == 0)
			return scim_decide_nothing(decision, link, "linked", "update is none of the actions of the sync", 0);
		decision->deactivates = view->active_mapped && says_inactive(document->text) && !says_inactive(link->acked);
		decision->reason = was_disabled ? "in scope again" : "changed";
		return decision;
	}

	/* what was disabled has gone for good from some targets */
	if (strcmp(link->state, "disabled") == 0 && view->server->reactivation == SCIM_REACTIVATE_IMPOSSIBLE)
		return scim_decide_nothing(decision, link, "disabled", "the target takes nobody back whom it has removed", 0);

	decision->may_create = (sync->actions & SCIM_SYNC_CREATE) != 0;
	decision->reason = decision->may_create ? "no resource is known" : "create is none of the actions of the sync";
	if (decision->may_create && !sync->create_inactive && view->active_mapped && says_inactive(document->text))
	{
		/* nobody is created, invited and billed to be out of use */
		decision->may_create = false;
		decision->reason = "inactive, and not at the target";
	}
	decision->action = SCIM_ACTION_CREATE;
	any = set_search(view, wanted, decision);
	if (link->doubt > 0 && link->wanted && !same_search(view, link->wanted, decision))
	{
		/* what a POST for it may have made has to be found before another is sent */
		decision->former = true;
		decision->may_create = false;
		decision->reason = "the outcome of its creation is not known";
		any = set_search(view, scim_document_parse(link->wanted), decision);
	}
	if (!any)
		return scim_decide_nothing(decision, link, "parked", "it has no value of a matching attribute", 0);
	step = scim_step_towards(view, scim_document_parse("{}"), document->text, true, 0);
	initStringInfo(&body);
	if (step)
		wanted = scim_document_parse(step);
	scim_diff_create_body(view->type, wanted, &body);
	scim_change_note_create(view, wanted, &decision->change);
	decision->method = "POST";
	decision->path = view->type->endpoint;
	decision->body = body.data;
	decision->wanted = decision->former ? link->wanted : document->text;
	decision->created = decision->former ? NULL : step;
	return decision;
}

/* The row is gone, or out of scope. */
static ScimDecision *
decide_absent(const ScimSyncView *view, const ScimLink *link, ScimPresence presence, TimestampTz now,
			  ScimDecision *decision)
{
	const ScimSync *sync = view->sync;
	bool		gone = presence == SCIM_ROW_GONE;
	bool		inactive;
	TimestampTz delete_at = 0;

	if (link->remote_id == NULL)
	{
		/* a POST for it may have got through: it has to be found before it can go */
		if (link->doubt > 0 && link->wanted)
		{
			ScimDocument last = {.key = link->key, .presence = SCIM_ROW_IN_SCOPE, .text = pstrdup(link->wanted)};

			decide_present(view, link, &last, now, decision);
			decision->may_create = false;
			decision->absent = true;
			return decision;
		}
		scim_decide_nothing(decision, link, NULL, gone ? "gone, and not at the target" : "out of scope, and not at the target", 0);
		return decision;
	}

	/* who only matches has nothing to take back */
	if (sync->actions == 0)
		return scim_decide_nothing(decision, link, NULL, gone ? "its row is gone" : "out of scope", 0);

	if (gone)
		decision->after.gone_at = link->gone_at ? link->gone_at : now;
	if (gone && (sync->actions & SCIM_SYNC_DELETE) != 0 && view->server->delete_means != SCIM_DELETE_NONE)
	{
		delete_at = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(decision->after.gone_at),
															IntervalPGetDatum(unconstify(Interval *, &sync->delete_after))));
		if (delete_at <= now)
		{
			decision->action = SCIM_ACTION_DELETE;
			decision->method = "DELETE";
			decision->path = scim_resource_path(view, link->remote_id);
			decision->reason = "its row is gone";
			return decision;
		}
	}

	inactive = strcmp(link->state, "disabled") == 0 ||
		(link->doubt == 0 && view->active_mapped && says_inactive(link->acked));
	if (!inactive && view->can_disable && (sync->actions & SCIM_SYNC_UPDATE) != 0)
	{
		scim_decide_disable(view, link, decision);
		decision->after.next_at = delete_at;
		decision->reason = gone ? "its row is gone" : "out of scope";
		return decision;
	}
	scim_decide_nothing(decision, link, inactive ? "disabled" : "linked",
		   inactive ? (gone ? "its row is gone" : "out of scope") :
		   view->can_disable ? "update is none of the actions of the sync" : "resources of this type can't be disabled",
		   delete_at);
	if (gone)
		decision->after.gone_at = link->gone_at ? link->gone_at : now;
	/* in time it is deleted, and nothing that the guard has counted comes before that */
	decision->loses = inactive && delete_at != 0 && strcmp(link->state, "disabled") != 0;
	return decision;
}

ScimDecision *
scim_decide(const ScimSyncView *view, const ScimLink *link, const ScimDocument *document, TimestampTz now)
{
	ScimDecision *decision = palloc0(sizeof(ScimDecision));

	decision->after.key = link->key;
	decision->after.waiting = document->waiting > 0;
	decision->after.refused_tries = link->refused_tries;
	if (link->refused_until > now)
	{
		decision->after.refused = link->refused;
		decision->after.refused_until = link->refused_until;
	}
	if (document->problem)
		return scim_decide_nothing(decision, link, "parked", document->problem, 0);
	if (document->presence == SCIM_ROW_IN_SCOPE && link->staged && strcmp(link->staged, "recreate") == 0 &&
		(link->approval == NULL || strcmp(link->approval, "approved") != 0))
	{
		scim_decide_nothing(decision, link, link->approval ? "conflict" : "staged", link->reason, 0);
		decision->after.staged = link->staged;
		decision->after.approval = link->approval;
		return decision;
	}
	if (document->presence == SCIM_ROW_IN_SCOPE)
		return decide_present(view, link, document, now, decision);
	return decide_absent(view, link, document->presence, now, decision);
}

bool
scim_link_needs_look(const ScimLink *link, const ScimDocument *document)
{
	const char *hash;

	/* what waits for approval, or is looked at again by itself */
	if (strcmp(link->state, "pending") == 0 || document->problem)
		return false;
	if (document->presence != SCIM_ROW_IN_SCOPE)
		return strcmp(link->state, "linked") == 0 || link->remote_id == NULL;
	hash = scim_text_hash(document->text);
	if (strcmp(link->state, "linked") == 0)
		return link->acked_hash == NULL || strcmp(link->acked_hash, hash) != 0 || link->waiting != (document->waiting > 0);
	if (strcmp(link->state, "parked") == 0)
		return link->wanted_hash == NULL || strcmp(link->wanted_hash, hash) != 0;
	return strcmp(link->state, "conflict") != 0;
}

/* ---- scim.plan ---- */

/* Will it send something that writes? */
static bool
is_request(const ScimDecision *decision)
{
	return decision->action != SCIM_ACTION_NONE && (decision->action != SCIM_ACTION_CREATE || decision->may_create);
}

static void
put_decision(ReturnSetInfo *result, const char *key, const ScimDecision *decision)
{
	Datum		values[6];
	bool		nulls[6] = {false};

	values[0] = CStringGetTextDatum(key);
	values[1] = CStringGetTextDatum(scim_action_name(is_request(decision) ? decision->action : SCIM_ACTION_NONE));
	nulls[2] = nulls[3] = !is_request(decision);
	nulls[4] = nulls[2] || decision->body == NULL;
	nulls[5] = decision->reason == NULL;
	if (!nulls[2])
	{
		values[2] = CStringGetTextDatum(decision->method);
		values[3] = CStringGetTextDatum(decision->path);
	}
	if (!nulls[4])
		values[4] = DirectFunctionCall1(jsonb_in, CStringGetDatum(decision->body));
	if (!nulls[5])
		values[5] = CStringGetTextDatum(decision->reason);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* Which keys of those that are given are shown. */
typedef enum PlanFilter
{
	PLAN_ALL,					/* also those that come to nothing */
	PLAN_REQUESTS,
	PLAN_ABSENT					/* requests for rows that are gone or out of scope */
} PlanFilter;

static void
plan_keys(ReturnSetInfo *result, const ScimSyncView *view, const char *const *keys, int n, PlanFilter filter)
{
	ScimDocument *documents = scim_documents_read(view, keys, n);
	int			nlinks;
	ScimLink   *links = scim_links_by_key(view->sync->id, keys, n, &nlinks);
	TimestampTz now = GetCurrentTimestamp();

	for (int i = 0; i < n; i++)
	{
		ScimLink	link = {.key = keys[i], .state = "pending"};
		ScimDecision *decision;

		for (int j = 0; j < nlinks; j++)
			if (strcmp(links[j].key, keys[i]) == 0)
				link = links[j];
		scim_heap_begin((size_t) scim_request_memory * 1024);
		decision = scim_decide(view, &link, &documents[i], now);
		if (filter == PLAN_ALL || (is_request(decision) && (filter == PLAN_REQUESTS || documents[i].presence != SCIM_ROW_IN_SCOPE)))
			put_decision(result, keys[i], decision);
	}
}

/* Pages of keys, of the mapping's rows or of links and queue, each in memory of its own. */
static void
plan_pages(ReturnSetInfo *result, const ScimSyncView *view, bool rows, bool all_links, PlanFilter filter)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext page = AllocSetContextCreate(caller, "scim plan", ALLOCSET_DEFAULT_SIZES);
	char	   *after = NULL;

	for (;;)
	{
		const char **keys;
		bool		any;
		int			n;

		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(page);
		n = rows ? scim_store_keys(&view->target, after, PLAN_PAGE, NULL, &keys, &any) :
			scim_links_keys(view->sync->id, all_links, after, PLAN_PAGE, &keys);
		if (n > 0)
			plan_keys(result, view, keys, n, filter);
		MemoryContextSwitchTo(caller);
		if (n == 0)
			break;
		after = pstrdup(keys[n - 1]);
		MemoryContextReset(page);
	}
	MemoryContextDelete(page);
}

Datum
scim_plan(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	char	   *name = PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0));
	const char *key = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
	ScimIdentity identity;
	ScimSync   *sync;
	ScimSyncView *view;

	scim_init_materialized(fcinfo);
	memset(&identity, 0, sizeof(identity));
	SPI_connect();
	scim_catalog_begin();
	sync = name ? scim_sync_by_name(name) : NULL;
	if (sync == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("sync \"%s\" does not exist", name ? name : "")));
	scim_require_member(sync->owner, psprintf("sync \"%s\"", sync->name));
	view = scim_sync_view(sync);
	scim_identity_assume(&identity, sync->owner, true);

	if (key)
		plan_keys(result, view, &key, 1, PLAN_ALL);
	else if (sync->state == SCIM_SYNC_CONFIGURED || scim_links_full_wanted(sync->id))
	{
		plan_pages(result, view, true, false, PLAN_REQUESTS);
		plan_pages(result, view, false, true, PLAN_ABSENT);
	}
	else
		plan_pages(result, view, false, false, PLAN_REQUESTS);

	scim_identity_close_gucs(&identity);
	scim_identity_restore(&identity);
	scim_catalog_end();
	SPI_finish();
	return (Datum) 0;
}
