/*
 * provisioner_adapt.c
 *		What a refusal teaches: that the target wants another form of request,
 *		or less in one (provisioning-engine 2.7, 2.8).
 *
 * What is learned is kept for the server (scim._learned) and the row is decided
 * anew with it.  That a request is too large, or that it holds something that
 * the target does not take, is found out by halves, within the flight.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "provisioner_flight.h"

/* More members than these, refused one by one, are the group's fault. */
#define MAX_REFUSED 20

#define SCIM_JSON "application/scim+json"
#define PLAIN_JSON "application/json"

bool
scim_adapt_is_page(const ScimClientResponse *response)
{
	const char *p = response->body;

	if (response->outcome != SCIM_TRANSFER_ANSWERED || p == NULL)
		return false;
	while (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n')
		p++;
	return *p == '<';
}

static bool
has_filter(const ScimFlight *flight)
{
	return flight->phase == SCIM_PHASE_MATCH || flight->phase == SCIM_PHASE_FIND;
}

/* Is there a path like emails[type eq "work"] in it? */
static bool
names_value(const ScimFlight *flight)
{
	return flight->body && strcmp(flight->method, "PATCH") == 0 && strstr(flight->body, "[type eq \\\"") != NULL;
}

static ScimLesson
learn(const ScimSyncView *view, const char *capability, const char *value, const char *method, const char *reason)
{
	return scim_server_learn(view->server, capability, value, psprintf("%s: %s", method, reason)) ? SCIM_LESSON_NEW : SCIM_LESSON_OLD;
}

ScimLesson
scim_adapt_learn(const ScimSyncView *view, const ScimFlight *flight, const ScimClientResponse *response,
				 ScimVerdict verdict, const char *reason)
{
	const ScimServer *server = view->server;

	if (response->status == 415 && flight->body)
		return learn(view, "content_type", strstr(server->content_type, "scim") ? PLAIN_JSON : SCIM_JSON, flight->method, reason);
	if (response->status == 406)
		return learn(view, "accept", strcmp(server->accept, SCIM_JSON) == 0 ? PLAIN_JSON : SCIM_JSON, flight->method, reason);
	if (has_filter(flight) && (verdict == SCIM_VERDICT_UNSUPPORTED || strstr(reason, "invalidFilter")))
		return scim_adapt_learn_scan(view, reason);
	if (flight->phase == SCIM_PHASE_DELETE && verdict == SCIM_VERDICT_UNSUPPORTED)
		return learn(view, "delete_means", "none", flight->method, reason);
	if (flight->phase == SCIM_PHASE_UPDATE && names_value(flight) && response->status == 400 &&
		(strstr(reason, "invalidPath") || strstr(reason, "invalidFilter")))
		return learn(view, "patch_value_path", "false", flight->method, reason);
	if ((flight->phase == SCIM_PHASE_UPDATE || flight->phase == SCIM_PHASE_DISABLE) && verdict == SCIM_VERDICT_UNSUPPORTED)
		return scim_adapt_learn_method(view, flight->method, reason);
	return SCIM_LESSON_NONE;
}

ScimLesson
scim_adapt_learn_method(const ScimSyncView *view, const char *method, const char *reason)
{
	return learn(view, strcmp(view->type->name, "Group") == 0 ? "group_update" : "update_method",
				 strcmp(method, "PATCH") == 0 ? "put" : "patch", method, reason);
}

ScimLesson
scim_adapt_learn_scan(const ScimSyncView *view, const char *reason)
{
	return learn(view, "list_scan", "true", "GET", reason);
}

/* ---- halves ---- */

/* A group without its members can be created; they follow by updates. */
static bool
create_bare(const ScimSyncView *view, ScimFlight *flight)
{
	char	   *bare = scim_step_towards(view, scim_document_parse("{}"), flight->wanted, true, 1);
	const json_t *document;
	StringInfoData body;

	if (bare == NULL || flight->most > 0)
		return false;
	flight->most = 1;
	initStringInfo(&body);
	document = scim_document_parse(bare);
	scim_diff_create_body(view->type, document, &body);
	scim_change_note_create(view, document, &flight->change);
	flight->created = bare;
	flight->create_body = flight->body = body.data;
	flight->sent = false;
	return true;
}

bool
scim_adapt_split(const ScimSyncView *view, ScimFlight *flight, bool too_large, const char **refused)
{
	const char *from = flight->from ? flight->from : "{}";
	ScimDecision update;
	int			n;

	*refused = NULL;
	if (flight->phase == SCIM_PHASE_CREATE)
		return create_bare(view, flight);
	if (flight->phase != SCIM_PHASE_UPDATE || view->update_method != SCIM_UPDATE_PATCH ||
		strcmp(flight->link.state, "disabled") == 0)
		return false;
	n = scim_reference_changes(view, from, flight->wanted, refused);
	if (n == 0)
		return false;
	if (n == 1 && flight->most > 0)
	{
		/* this one, then; a group that is full is full for any other as well */
		if (too_large || list_length(flight->link.refused) >= MAX_REFUSED)
			*refused = NULL;
		return false;
	}
	*refused = NULL;
	flight->most = Max(n / 2, 1);
	flight->too_large = too_large;
	memset(&update, 0, sizeof(update));
	if (!scim_decide_update(view, flight->link.remote_id, scim_document_parse(from), flight->full, false, flight->most, &update))
		return false;
	flight->wanted = update.wanted;
	flight->change = update.change;
	flight->partial = update.partial;
	flight->body = update.body;
	flight->sent = false;
	return true;
}

void
scim_adapt_fitted(const ScimSyncView *view, const ScimFlight *flight)
{
	if (flight->phase == SCIM_PHASE_UPDATE && flight->too_large && flight->most > 0)
		(void) scim_server_learn(view->server, "members_per_request", psprintf("%d", flight->most),
								 psprintf("%s: 413, and %d went through", flight->method, flight->most));
}
