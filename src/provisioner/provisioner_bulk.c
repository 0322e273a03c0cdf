/*
 * provisioner_bulk.c
 *		Several changes in one request, where the target offers that (RFC 7644
 *		3.7): creations and changes of rows; what takes somebody out of use goes
 *		by itself, and is looked after.
 *
 * A flight that is the carrier of others holds their requests as operations.
 * Its answer is taken apart into an answer to each, as if that had been sent
 * alone: whatever comes then is the same.  An answer that is lost, or that says
 * nothing of one operation, leaves it in doubt as any other.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/memutils.h"

#include "provisioner_run.h"
#include "../core/core_json.h"

#define BULK_PATH "/Bulk"
#define BULK_REQUEST "urn:ietf:params:scim:api:messages:2.0:BulkRequest"

/* Whether a target offers it is asked when so many requests wait at the same time. */
#define WORTH_ASKING 10

/* Bytes of an operation besides its path and data. */
#define OPERATION_BYTES 80

/* ---- gathering ---- */

/* A row's own change that has not failed before: what has, goes alone. */
static bool
may_be_carried(const ScimFlight *flight)
{
	return !flight->sent && flight->key && !flight->deactivates && flight->body && flight->link.attempts == 0 && !flight->alone &&
		(flight->phase == SCIM_PHASE_CREATE || flight->phase == SCIM_PHASE_UPDATE);
}

static void
append_operation(StringInfo body, const ScimFlight *flight, int number)
{
	appendStringInfo(body, "%s{\"method\":\"%s\",\"bulkId\":\"%d\",\"path\":", number > 1 ? "," : "", flight->method, number);
	escape_json(body, flight->path);
	appendStringInfo(body, ",\"data\":%s}", flight->body);
}

static void
ask_config(ScimProvisioner *p, ScimSyncRun *run)
{
	dlist_iter	iter;
	int			n = 0;

	dlist_foreach(iter, &run->flights)
		n += may_be_carried(dlist_container(ScimFlight, node, iter.cur));
	if (n < WORTH_ASKING)
		return;
	run->target->bulk_asked = true;
	scim_run_begin_flight(run, scim_flight_of_target(p->context, SCIM_PHASE_CONFIG, "GET", "/ServiceProviderConfig"));
}

ScimFlight *
scim_bulk_gather(ScimProvisioner *p, ScimSyncRun *run, const ScimFlight *first, int64 now)
{
	ScimTargetRun *target = run->target;
	int			creates = scim_target_creates(target, now);
	ScimFlight *chosen[SCIM_BULK_MOST];
	StringInfoData body;
	ScimFlight *carrier;
	MemoryContext saved;
	dlist_iter	iter;
	size_t		size = 0;
	int			n = 0;

	if (target->bulk == SCIM_BULK_ASK && !target->bulk_asked && !run->trial)
		ask_config(p, run);
	if (target->bulk != SCIM_BULK_TRUE || run->trial || !may_be_carried(first))
		return NULL;
	dlist_foreach(iter, &run->flights)
	{
		ScimFlight *flight = dlist_container(ScimFlight, node, iter.cur);
		size_t		bytes;

		if (n == Min(target->bulk_operations, SCIM_BULK_MOST))
			break;
		if (!may_be_carried(flight) || (flight->phase == SCIM_PHASE_CREATE && creates-- <= 0))
			continue;
		bytes = strlen(flight->path) + strlen(flight->body) + OPERATION_BYTES;
		if (size + bytes + OPERATION_BYTES > (size_t) target->bulk_payload)
			continue;
		size += bytes;
		chosen[n++] = flight;
	}
	if (n < 2)
		return NULL;

	carrier = scim_flight_of_target(p->context, SCIM_PHASE_BULK, "POST", BULK_PATH);
	saved = MemoryContextSwitchTo(carrier->context);
	initStringInfo(&body);
	appendStringInfo(&body, "{\"schemas\":[\"%s\"],\"Operations\":[", BULK_REQUEST);
	for (int i = 0; i < n; i++)
	{
		append_operation(&body, chosen[i], i + 1);
		carrier->carried = lappend(carrier->carried, chosen[i]);
		chosen[i]->carrier = carrier;
		chosen[i]->sent = true;
		chosen[i]->target = target;
		chosen[i]->token_number = target->access_number;
		carrier->creates += chosen[i]->phase == SCIM_PHASE_CREATE;
	}
	appendStringInfoString(&body, "]}");
	carrier->body = body.data;
	MemoryContextSwitchTo(saved);
	scim_run_begin_flight(run, carrier);
	return carrier;
}

/* ---- taking the answer apart ---- */

static ScimClientResponse *
answer_to(ScimFlight *flight, const ScimClientResponse *whole, ScimTransfer outcome, int status)
{
	ScimClientResponse *response = MemoryContextAllocZero(flight->context, sizeof(ScimClientResponse));

	response->tag = flight;
	response->outcome = outcome;
	response->status = status;
	response->ms = whole->ms;
	response->body = MemoryContextStrdup(flight->context, "");
	return response;
}

static void
give(ScimSyncRun *run, ScimFlight *flight, ScimClientResponse *response)
{
	flight->carrier = NULL;
	flight->response = response;
	flight->part = true;
	run->nanswers++;
}

static void
give_doubt(ScimSyncRun *run, ScimFlight *flight, const ScimClientResponse *whole, const char *detail)
{
	ScimClientResponse *response = answer_to(flight, whole, SCIM_TRANSFER_AMBIGUOUS, 0);

	strlcpy(response->detail, detail, sizeof(response->detail));
	give(run, flight, response);
}

/* The answer to the whole is the answer to each. */
static void
give_whole(ScimSyncRun *run, ScimFlight *flight, const ScimClientResponse *whole)
{
	ScimClientResponse *response = answer_to(flight, whole, whole->outcome, whole->status);

	memcpy(response->detail, whole->detail, sizeof(response->detail));
	if (whole->body)
	{
		response->body_len = Min(whole->body_len, 2048);
		response->body = MemoryContextAlloc(flight->context, response->body_len + 1);
		memcpy(response->body, whole->body, response->body_len);
		response->body[response->body_len] = '\0';
	}
	if (whole->retry_after)
		response->retry_after = MemoryContextStrdup(flight->context, whole->retry_after);
	if (whole->rate_reset)
		response->rate_reset = MemoryContextStrdup(flight->context, whole->rate_reset);
	if (whole->date)
		response->date = MemoryContextStrdup(flight->context, whole->date);
	give(run, flight, response);
}

static int
result_status(const json_t *result)
{
	const json_t *status = scim_json_get(result, "status", NULL);

	/* once it was {"code": "201"} */
	if (json_is_object(status))
		status = json_object_get(status, "code");
	if (json_is_integer(status))
		return (int) json_integer_value(status);
	return json_is_string(status) ? atoi(json_string_value(status)) : 0;
}

/* The result of an operation; false: it says nothing that can be believed. */
static bool
give_result(ScimSyncRun *run, ScimFlight *flight, const ScimClientResponse *whole, const json_t *result)
{
	const json_t *body = scim_json_get(result, "response", NULL);
	const json_t *location = scim_json_get(result, "location", NULL);
	int			status = result_status(result);
	ScimClientResponse *response;
	size_t		len;
	char	   *text;

	if (status < 200 || status > 599)
		return false;
	response = answer_to(flight, whole, SCIM_TRANSFER_ANSWERED, status);
	text = json_is_object(body) && status >= 300 ? scim_json_print(body, &len) : NULL;
	if (text)
	{
		response->body = MemoryContextStrdup(flight->context, text);
		response->body_len = strlen(response->body);
	}
	/* what went well is looked at in this transaction, and need not be parsed again */
	flight->parsed = json_is_object(body) && status < 300 ? body : NULL;
	if (json_is_string(location))
		response->location = MemoryContextStrdup(flight->context, json_string_value(location));
	give(run, flight, response);
	return true;
}

static bool
has_bulk_id(const json_t *result, const char *wanted)
{
	const json_t *id = result ? scim_json_get(result, "bulkId", NULL) : NULL;

	return json_is_string(id) && strcmp(json_string_value(id), wanted) == 0;
}

/* The result with the number of an operation, or in its place where results have none. */
static const json_t *
find_result(const json_t *results, int number, int n)
{
	const json_t *in_place = json_array_get(results, number - 1);
	char		wanted[12];

	snprintf(wanted, sizeof(wanted), "%d", number);
	if (has_bulk_id(in_place, wanted))
		return in_place;
	for (size_t i = 0; i < json_array_size(results); i++)
		if (has_bulk_id(json_array_get(results, i), wanted))
			return json_array_get(results, i);
	return (int) json_array_size(results) == n && scim_json_get(in_place, "bulkId", NULL) == NULL ? in_place : NULL;
}

/* They are sent again, each by itself. */
static void
let_go(const List *carried)
{
	ListCell   *lc;

	foreach(lc, carried)
	{
		ScimFlight *flight = (ScimFlight *) lfirst(lc);

		flight->sent = false;
		flight->carrier = NULL;
		flight->alone = true;
	}
}

static bool
learn(const ScimSyncView *view, const char *capability, const char *value, const char *evidence)
{
	return scim_server_learn(view->server, capability, value, evidence);
}

void
scim_bulk_distribute(ScimSyncRun *run, const ScimSyncView *view, ScimFlight *carrier, bool *learned)
{
	const ScimClientResponse *whole = carrier->response;
	List	   *carried = carrier->carried;
	int			n = list_length(carried);
	const json_t *results = NULL;
	json_t	   *body = NULL;
	ScimError	err;
	ListCell   *lc;
	int			number = 1;

	*learned = false;
	carrier->carried = NIL;
	scim_heap_begin(SCIM_BULK_HEAP);
	switch (scim_retry_verdict(whole))
	{
		case SCIM_VERDICT_OK:
			break;
		case SCIM_VERDICT_TOO_LARGE:
			*learned = n < 4 ? learn(view, "bulk", "false", "POST " BULK_PATH ": 413") :
				learn(view, "bulk_max_operations", psprintf("%d", n / 2), psprintf("POST " BULK_PATH ": 413, with %d operations", n));
			let_go(carried);
			return;
		case SCIM_VERDICT_DOUBT:
		case SCIM_VERDICT_TRANSIENT:
		case SCIM_VERDICT_UNREACHED:
		case SCIM_VERDICT_BARRED:
		case SCIM_VERDICT_THROTTLED:
		case SCIM_VERDICT_UNAUTHORIZED:
		case SCIM_VERDICT_MOVED:
			foreach(lc, carried)
				give_whole(run, (ScimFlight *) lfirst(lc), whole);
			return;
		default:
			*learned = learn(view, "bulk", "false", psprintf("POST " BULK_PATH ": %d", whole->status));
			let_go(carried);
			return;
	}

	memset(&err, 0, sizeof(err));
	body = whole->body_len > 0 ? scim_json_parse(whole->body, whole->body_len, &err) : NULL;
	if (json_is_object(body))
		results = scim_json_get(body, "Operations", NULL);
	if (!json_is_array(results))
		*learned = learn(view, "bulk", "false", "POST " BULK_PATH ": what is answered is no list of results");
	foreach(lc, carried)
	{
		ScimFlight *flight = (ScimFlight *) lfirst(lc);
		const json_t *result = json_is_array(results) ? find_result(results, number, n) : NULL;

		number++;
		if (result == NULL || !give_result(run, flight, whole, result))
			give_doubt(run, flight, whole, "the answer to a Bulk says nothing of it");
	}
}

/* ---- what the target says of itself ---- */

bool
scim_bulk_take_config(ScimTargetRun *target, const ScimSyncView *view, ScimVerdict verdict, const json_t *config)
{
	const json_t *bulk = config ? scim_json_get(config, "bulk", NULL) : NULL;
	const json_t *most = scim_json_get(bulk, "maxOperations", NULL);
	const json_t *payload = scim_json_get(bulk, "maxPayloadSize", NULL);
	bool		offered = json_is_object(bulk) && json_is_true(scim_json_get(bulk, "supported", NULL));

	/* it is asked another time */
	if (verdict != SCIM_VERDICT_OK && verdict != SCIM_VERDICT_NOT_FOUND && verdict != SCIM_VERDICT_REFUSED &&
		verdict != SCIM_VERDICT_UNSUPPORTED && verdict != SCIM_VERDICT_FORBIDDEN)
	{
		target->bulk_asked = false;
		return false;
	}
	if (offered && json_is_integer(most) && json_integer_value(most) < view->server->bulk_max_operations)
		(void) learn(view, "bulk_max_operations", psprintf("%d", (int) Max(json_integer_value(most), 1)), "GET /ServiceProviderConfig");
	if (offered && json_is_integer(payload) && json_integer_value(payload) < view->server->bulk_max_payload)
		(void) learn(view, "bulk_max_payload", psprintf("%d", (int) Max(json_integer_value(payload), 1)), "GET /ServiceProviderConfig");
	return learn(view, "bulk", offered ? "true" : "false", "GET /ServiceProviderConfig");
}
