/*
 * provider_log.c
 *		scim.request_log: what an identity provider sent and got, for whoever has
 *		to find out why a provisioning job fails (option requestLog).
 *
 * Personal values are masked: of every text in a body only its length is kept,
 * but for those that say what the request is (schemas, op, path, type, method,
 * version); so are the strings of filters, in paths as in the query.  Headers
 * are not recorded.  Nothing of a value can be had back.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/timestamp.h"

#include "provider_internal.h"
#include "../scim_guc.h"

#define MAX_LOGGED_BYTES (64 * 1024)
#define PURGE_EVERY 64

struct ScimLogged
{
	const char *request_id;
	int64		endpoint_id;
	const char *endpoint;
	Oid			owner;
	const char *token;			/* label, or NULL */
	const char *method;
	const char *path;
	const char *body;			/* masked, or NULL */
	const char *rewrites;		/* comma-separated */
	int			status;
	const char *scim_type;		/* of an error, or NULL */
	const char *detail;
	double		duration_ms;
};

/* Members whose values say what a request is, and nothing of a person. */
static bool
is_structural(const char *name)
{
	static const char *const names[] = {
		"schemas", "op", "type", "method", "version", "sortBy", "sortOrder", "attributes", "excludedAttributes",
		"count", "startIndex", "failOnErrors"
	};

	for (int i = 0; i < lengthof(names); i++)
		if (scim_name_eq(name, strlen(name), names[i]))
			return true;
	return false;
}

/* A text with what stands in quotes masked: a filter, or a path with one. */
static char *
mask_quoted(const char *text)
{
	StringInfoData out;
	bool		inside = false;

	initStringInfo(&out);
	for (const char *p = text; *p; p++)
	{
		if (*p == '"')
		{
			inside = !inside;
			appendStringInfoString(&out, inside ? "\"***" : "\"");
		}
		else if (!inside)
			appendStringInfoChar(&out, *p);
		else if (*p == '\\' && p[1])
			p++;
	}
	if (inside)
		appendStringInfoChar(&out, '"');
	return out.data;
}

/* "name" is that of the member that the value is (part) of. */
static void
append_masked(StringInfo out, const char *name, const json_t *value)
{
	const char *key;
	json_t	   *member;
	bool		first = true;

	if (out->len > MAX_LOGGED_BYTES)
		return;
	if (json_is_object(value))
	{
		appendStringInfoChar(out, '{');
		json_object_foreach((json_t *) value, key, member)
		{
			if (!first)
				appendStringInfoChar(out, ',');
			first = false;
			/* compat: a key can be a path */
			escape_json(out, mask_quoted(key));
			appendStringInfoChar(out, ':');
			append_masked(out, key, member);
		}
		appendStringInfoChar(out, '}');
	}
	else if (json_is_array(value))
	{
		appendStringInfoChar(out, '[');
		for (size_t i = 0; i < json_array_size(value); i++)
		{
			if (i > 0)
				appendStringInfoChar(out, ',');
			append_masked(out, name, json_array_get(value, i));
		}
		appendStringInfoChar(out, ']');
	}
	else if (json_is_string(value))
	{
		const char *text = json_string_value(value);

		if (is_structural(name))
			escape_json(out, text);
		else if (scim_name_eq(name, strlen(name), "path") || scim_name_eq(name, strlen(name), "filter"))
			escape_json(out, mask_quoted(text));
		else
			appendStringInfo(out, "\"*** (%zu)\"", strlen(text));
	}
	else if (json_is_boolean(value))
		appendStringInfoString(out, json_is_true(value) ? "true" : "false");
	else if (json_is_integer(value) && is_structural(name))
		appendStringInfo(out, INT64_FORMAT, (int64) json_integer_value(value));
	else
		appendStringInfoString(out, json_is_null(value) ? "null" : "\"*** (number)\"");
}

/* The body as it may be kept: masked, and no longer than there is room for. */
static const char *
masked_body(const ScimCall *call)
{
	const ScimRequest *request = call->request;
	StringInfoData out;
	ScimError	ignored;
	json_t	   *tree;

	if (request->body == NULL || request->body_len == 0)
		return NULL;
	memset(&ignored, 0, sizeof(ignored));
	tree = request->body_len <= (size_t) scim_max_body_size * 1024 ?
		scim_json_parse(request->body, request->body_len, &ignored) : NULL;
	if (tree == NULL)
		return psprintf("\"no JSON (%zu bytes)\"", request->body_len);
	initStringInfo(&out);
	append_masked(&out, "", tree);
	return out.len <= MAX_LOGGED_BYTES ? out.data : psprintf("\"too long (%zu bytes)\"", request->body_len);
}

/* Path and parameters; strings in filters are masked, cursors left out. */
static const char *
masked_path(const ScimCall *call)
{
	const ScimParams *params = &call->params;
	const struct
	{
		const char *name;
		const char *value;
	}			shown[] = {
		{"filter", params->filter ? mask_quoted(params->filter) : NULL}, {"sortBy", params->sort_by},
		{"sortOrder", params->sort_order}, {"startIndex", params->start_index}, {"count", params->count},
		{"cursor", params->cursor && params->cursor[0] ? "***" : params->cursor},
		{"attributes", params->attributes}, {"excludedAttributes", params->excluded}
	};
	StringInfoData out;
	char		separator = '?';

	initStringInfo(&out);
	for (int i = 0; i < call->nsegments; i++)
		appendStringInfo(&out, "/%s", call->segments[i]);
	/* those of a SearchRequest are in the body */
	for (int i = 0; call->request->query && i < lengthof(shown); i++)
	{
		if (shown[i].value == NULL)
			continue;
		appendStringInfo(&out, "%c%s=%s", separator, shown[i].name, shown[i].value);
		separator = '&';
	}
	return out.data;
}

static const char *
rewrite_names(const ScimReport *report)
{
	StringInfoData out;

	initStringInfo(&out);
	for (int i = 0; i < report->nkinds; i++)
		appendStringInfo(&out, "%s%s", i > 0 ? "," : "", report->kinds[i].name);
	return out.data;
}

/*
 * What there is to be logged of a request that has ended, in the given memory;
 * NULL: nothing.
 */
ScimLogged *
scim_log_of(ScimCall *call, MemoryContext context)
{
	MemoryContext saved;
	ScimLogged *logged;

	if (!call->admitted || !call->endpoint->options.request_log)
		return NULL;
	saved = MemoryContextSwitchTo(context);
	logged = palloc0(sizeof(ScimLogged));
	logged->request_id = pstrdup(scim_request_id(call));
	logged->endpoint_id = call->endpoint->id;
	logged->endpoint = pstrdup(call->endpoint->name);
	logged->owner = call->endpoint->owner;
	logged->token = call->token ? pstrdup(call->token->label) : NULL;
	logged->method = call->request->method;
	logged->path = masked_path(call);
	logged->body = masked_body(call);
	logged->rewrites = rewrite_names(&call->report);
	logged->status = call->err.status ? call->err.status : call->response->status;
	logged->scim_type = call->err.status ? call->err.scim_type : NULL;
	logged->detail = call->err.status ? pstrdup(call->err.detail) : NULL;
	logged->duration_ms = (double) (GetCurrentTimestamp() - call->started) / 1000.0;
	MemoryContextSwitchTo(saved);
	return logged;
}

static Datum
nullable_text(const char *s, char *isnull)
{
	*isnull = s ? ' ' : 'n';
	return s ? CStringGetTextDatum(s) : (Datum) 0;
}

static void
purge(void)
{
	static int	rows = 0;
	Oid			types[1] = {INT4OID};
	Datum		values[1];

	if (++rows % PURGE_EVERY != 0)
		return;
	values[0] = Int32GetDatum(scim_request_log_retention);
	(void) scim_own_execute("purge request log",
							"DELETE FROM scim._requests a WHERE a.id OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT o.id FROM scim._requests o"
							" WHERE o.id OPERATOR(pg_catalog.<) ((SELECT pg_catalog.min(f.id) FROM scim._requests f) OPERATOR(pg_catalog.+) 1000)"
							" AND o.at OPERATOR(pg_catalog.<) (pg_catalog.now() OPERATOR(pg_catalog.-) pg_catalog.make_interval(days => $1)) FOR UPDATE SKIP LOCKED))",
							1, types, values, NULL, false, 0);
}

/* Needs a transaction and SPI to be connected. */
void
scim_log_write(const ScimLogged *logged)
{
	Oid			types[13] = {TEXTOID, INT8OID, TEXTOID, OIDOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, INT4OID, TEXTOID, TEXTOID, FLOAT8OID};
	Datum		values[13];
	char		nulls[14] = "             ";

	if (logged == NULL || XactReadOnly)
		return;
	values[0] = CStringGetTextDatum(logged->request_id);
	values[1] = Int64GetDatum(logged->endpoint_id);
	values[2] = CStringGetTextDatum(logged->endpoint);
	values[3] = ObjectIdGetDatum(logged->owner);
	values[4] = nullable_text(logged->token, &nulls[4]);
	values[5] = CStringGetTextDatum(logged->method);
	values[6] = CStringGetTextDatum(logged->path);
	values[7] = nullable_text(logged->body, &nulls[7]);
	values[8] = CStringGetTextDatum(logged->rewrites);
	values[9] = Int32GetDatum(logged->status);
	values[10] = nullable_text(logged->scim_type, &nulls[10]);
	values[11] = nullable_text(logged->detail, &nulls[11]);
	values[12] = Float8GetDatum(logged->duration_ms);
	if (scim_own_execute("log request",
						 "INSERT INTO scim._requests (request, endpoint_id, endpoint, owner, token, method, path, body, rewrites, status, scim_type, detail, duration_ms)"
						 " VALUES ($1::pg_catalog.uuid, $2, $3, $4::pg_catalog.regrole, $5, $6, $7, $8::pg_catalog.jsonb,"
						 " pg_catalog.string_to_array($9, ','), $10, $11, $12, $13)",
						 13, types, values, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write scim._requests");
	purge();
}
