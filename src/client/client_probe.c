/*
 * client_probe.c
 *		scim.test_connection(): what Microsoft Entra's "Test Connection" does,
 *		step by step, and whether the target can be believed.
 *
 * A user is asked for by a userName that nobody has.  The right answer is an
 * empty list (RFC 7644 3.4.2); one with somebody in it means that the target
 * ignores filters, and whoever matched by it would take a stranger's account
 * for the one that was meant (threat-and-fault-model C5).
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"
#include "utils/uuid.h"

#include "../compat.h"
#include "../core/core_json.h"
#include "../core/core_shim.h"
#include "client_call.h"

PG_FUNCTION_INFO_V1(scim_test_connection);

#define MAX_ANSWER ((size_t) 1024 * 1024)
#define MAX_DETAIL 300			/* of what the target says */
#define LIST_RESPONSE "urn:ietf:params:scim:api:messages:2.0:ListResponse"

typedef struct Probe
{
	ScimServer *server;
	const char *secret;
	ScimClientTarget target;
	ReturnSetInfo *result;
} Probe;

static void
report(Probe *probe, bool ok, const char *step, const ScimClientResponse *response, const char *detail)
{
	Datum		values[5];
	bool		nulls[5] = {false, false, true, true, false};

	values[0] = BoolGetDatum(ok);
	values[1] = CStringGetTextDatum(step);
	if (response != NULL)
	{
		nulls[2] = response->status == 0;
		values[2] = Int32GetDatum(response->status);
		nulls[3] = false;
		values[3] = DirectFunctionCall3(numeric_in, CStringGetDatum(psprintf("%.1f", response->ms)),
										ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	}
	values[4] = CStringGetTextDatum(detail);
	tuplestore_putvalues(probe->result->setResult, probe->result->setDesc, values, nulls);
}

static ScimClientResponse *
get(Probe *probe, const char *path)
{
	ScimClientRequest request = {.method = "GET", .path = path, .max_body = MAX_ANSWER};

	return scim_client_call(&probe->target, &request);
}

/*
 * What of a target's text is shown: valid UTF-8, one line, not for ever; and
 * nothing if it repeats the secret.
 */
static const char *
shown(const Probe *probe, const char *text)
{
	size_t		len = strlen(text);
	char	   *copy;

	if (strstr(text, probe->secret) != NULL)
		return "(withheld: it repeats the secret)";
	if (pg_verify_mbstr(PG_UTF8, text, len, true))
		len = pg_mbcliplen(text, len, MAX_DETAIL);
	else
		return "(not UTF-8)";
	copy = pnstrdup(text, len);
	for (char *p = copy; *p != '\0'; p++)
		if ((unsigned char) *p < ' ' || *p == 0x7f)
			*p = ' ';
	return copy;
}

/* A parsed answer; NULL: it is no JSON object.  Read-only outside the bracket. */
static json_t *
parse(const ScimClientResponse *response)
{
	ScimCoreFrame frame;
	ScimError	error = {0};
	json_t	   *json;

	scim_core_enter(&frame);
	json = scim_json_parse(response->body, response->body_len, &error);
	scim_core_leave(&frame);
	return json_is_object(json) ? json : NULL;
}

/* What the target says about an error, in any of the forms in use, or NULL. */
static const char *
error_text(json_t *json)
{
	static const char *const members[] = {"detail", "message", "error", "error_description"};
	const char *key;
	json_t	   *list;

	for (int i = 0; i < lengthof(members); i++)
	{
		json_t	   *member = scim_json_get(json, members[i], &key);

		if (json_is_string(member))
			return json_string_value(member);
	}
	list = scim_json_get(json, "errors", &key);
	if (json_is_array(list) && json_is_string(json_array_get(list, 0)))
		return json_string_value(json_array_get(list, 0));
	return NULL;
}

/* The failure of a request or answer, in words. */
static const char *
failure(const Probe *probe, const ScimClientResponse *r)
{
	const char *said;
	const char *why;
	json_t	   *json;

	switch (r->outcome)
	{
		case SCIM_TRANSFER_NOT_SENT:
			return psprintf("not sent: %s", shown(probe, r->detail));
		case SCIM_TRANSFER_REFUSED:
			return psprintf("refused here: %s", shown(probe, r->detail));
		case SCIM_TRANSFER_AMBIGUOUS:
			return psprintf("no whole answer: %s", shown(probe, r->detail));
		case SCIM_TRANSFER_TOO_LARGE:
			return r->detail;
		case SCIM_TRANSFER_ANSWERED:
			break;
	}
	if (r->status >= 300 && r->status < 400)
		why = "redirects are not followed: base_url has to name the service itself";
	else if (r->status == 401)
		why = "the secret is not accepted";
	else if (r->status == 403)
		why = "the secret does not permit this";
	else if (r->status == 404)
		why = "nothing is there: see base_url";
	else if (r->status == 429)
		why = "too many requests";
	else
		why = "an answer that was not expected";
	json = parse(r);
	said = json != NULL ? error_text(json) : NULL;
	return said != NULL ? psprintf("%s; the target says: %s", why, shown(probe, said)) : why;
}

/* Ask for somebody who is not there. */
static bool
probe_users(Probe *probe)
{
	const char *step = "users";
	pg_uuid_t  *uuid = DatumGetUUIDP(DirectFunctionCall1(gen_random_uuid, (Datum) 0));
	char	   *nobody = DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(uuid)));
	char	   *filter;
	char	   *path;
	ScimClientResponse *r;
	json_t	   *json;
	json_t	   *total;
	json_t	   *resources;
	const char *key;

	if (probe->server->list_scan)
		path = "/Users?startIndex=1&count=1";
	else
	{
		filter = scim_client_encode(psprintf("userName eq \"%s\"", nobody));
		if (filter == NULL)
			ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
		path = psprintf("/Users?filter=%s", filter);
		free(filter);
	}
	r = get(probe, path);
	if (r->outcome != SCIM_TRANSFER_ANSWERED || r->status != 200)
	{
		report(probe, false, step, r, failure(probe, r));
		return false;
	}
	json = parse(r);
	total = json != NULL ? scim_json_get(json, "totalResults", &key) : NULL;
	resources = json != NULL ? scim_json_get(json, "Resources", &key) : NULL;
	if (!json_is_integer(total) || (resources != NULL && !json_is_array(resources) && !json_is_null(resources)))
	{
		report(probe, false, step, r, "the answer is not a ListResponse of SCIM: see base_url");
		return false;
	}
	if (probe->server->list_scan)
	{
		report(probe, true, step, r, psprintf("%lld users", (long long) json_integer_value(total)));
		return true;
	}
	if (json_integer_value(total) != 0 || json_array_size(resources) != 0)
	{
		report(probe, false, step, r,
			   psprintf("the target ignores filters: it answers with users when asked for one that does not exist (%lld of them); option list_scan is for such targets",
						(long long) json_integer_value(total)));
		return false;
	}
	report(probe, true, step, r, "a filter on userName works");
	return true;
}

static bool
supported(json_t *config, const char *feature)
{
	const char *key;
	json_t	   *member = scim_json_get(config, feature, &key);

	return json_is_object(member) && json_is_true(scim_json_get(member, "supported", &key));
}

/* What the target says about itself: a hint, and no fault if there is nothing. */
static void
probe_config(Probe *probe)
{
	const char *step = "service provider config";
	ScimClientResponse *r = get(probe, "/ServiceProviderConfig");
	json_t	   *json;

	if (r->outcome != SCIM_TRANSFER_ANSWERED)
	{
		report(probe, false, step, r, failure(probe, r));
		return;
	}
	json = r->status == 200 ? parse(r) : NULL;
	if (json == NULL)
		report(probe, true, step, r, "not offered");
	else
		report(probe, true, step, r,
			   psprintf("patch: %s, bulk: %s, filter: %s, etag: %s",
						supported(json, "patch") ? "yes" : "no", supported(json, "bulk") ? "yes" : "no",
						supported(json, "filter") ? "yes" : "no", supported(json, "etag") ? "yes" : "no"));
}

Datum
scim_test_connection(PG_FUNCTION_ARGS)
{
	Probe		probe;
	const char *problem;

	probe.server = scim_server_by_name(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	scim_require_server_usage(probe.server);
	scim_init_materialized(fcinfo);
	probe.result = (ReturnSetInfo *) fcinfo->resultinfo;

	probe.secret = scim_server_secret(probe.server, &problem);
	if (probe.secret == NULL)
	{
		report(&probe, false, "secret", NULL, problem);
		return (Datum) 0;
	}
	report(&probe, true, "secret", NULL, psprintf("for %s", probe.server->origin));
	scim_heap_begin(16 * MAX_ANSWER);
	probe.target = scim_client_target(probe.server, probe.secret);
	if (probe_users(&probe))
		probe_config(&probe);
	return (Datum) 0;
}
