/*
 * provider_discovery.c
 *		ServiceProviderConfig, ResourceTypes, Schemas (RFC 7643 5 to 7, RFC 7644
 *		4), from what the endpoint really does.
 */
#include "postgres.h"

#include "utils/json.h"

#include "provider_internal.h"
#include "../scim_guc.h"

static void
respond_text(ScimCall *call)
{
	call->response->status = 200;
	call->response->content_type = SCIM_MEDIA_TYPE;
}

/* R-7644-4-04: a filter would suggest that something was searched. */
static bool
refuse_filter(ScimCall *call)
{
	if (call->params.filter == NULL)
		return true;
	return scim_fail(&call->err, 403, NULL, "discovery resources cannot be filtered");
}

static bool
keeps_passwords(const ScimEndpoint *endpoint)
{
	for (int i = 0; i < endpoint->ntypes; i++)
		if (scim_password_kept(endpoint->types[i].type))
			return true;
	return false;
}

void
scim_discovery_config(ScimCall *call)
{
	StringInfo	out = &call->response->body;
	const ScimOptions *options = &call->endpoint->options;
	const char *location = psprintf("%s/ServiceProviderConfig", scim_endpoint_base_url(call->endpoint));

	if (!refuse_filter(call))
		return;
	appendStringInfo(out, "{\"schemas\":[\"%s\"]"
					 ",\"patch\":{\"supported\":%s}"
					 ",\"bulk\":{\"supported\":%s,\"maxOperations\":%d,\"maxPayloadSize\":%d}"
					 ",\"filter\":{\"supported\":true,\"maxResults\":%d}"
					 ",\"changePassword\":{\"supported\":%s}"
					 ",\"sort\":{\"supported\":%s}"
					 ",\"etag\":{\"supported\":true}",
					 SCIM_URN_SERVICE_PROVIDER_CONFIG, options->patch ? "true" : "false", options->bulk ? "true" : "false",
					 SCIM_BULK_MAX_OPERATIONS, scim_max_body_size * 1024, scim_max_page_size, keeps_passwords(call->endpoint) ? "true" : "false",
					 options->sort ? "true" : "false");
	if (options->pagination)
		appendStringInfo(out, ",\"pagination\":{\"cursor\":true,\"index\":true,\"defaultPaginationMethod\":\"index\""
						 ",\"defaultPageSize\":%d,\"maxPageSize\":%d,\"cursorTimeout\":%d}",
						 Min(scim_page_size, scim_max_page_size), scim_max_page_size, scim_cursor_timeout);
	appendStringInfoString(out, ",\"authenticationSchemes\":[{\"type\":\"oauthbearertoken\",\"name\":\"OAuth Bearer Token\""
						   ",\"description\":\"A token of this endpoint in the Authorization header (RFC 6750)\""
						   ",\"specUri\":\"https://www.rfc-editor.org/info/rfc6750\",\"primary\":true}");
	if (options->oauth)
		appendStringInfoString(out, ",{\"type\":\"oauth2\",\"name\":\"OAuth 2.0 client credentials\""
							   ",\"description\":\"A client of this endpoint gets a bearer token by POST oauth/token (RFC 6749 4.4)\""
							   ",\"specUri\":\"https://www.rfc-editor.org/info/rfc6749\"}");
	appendStringInfoString(out, "],\"meta\":{\"resourceType\":\"ServiceProviderConfig\",\"location\":");
	escape_json(out, location);
	appendStringInfoString(out, "}}");
	respond_text(call);
}

static void
append_type(ScimCall *call, StringInfo out, const ScimResourceType *type)
{
	appendStringInfo(out, "{\"schemas\":[\"%s\"],\"id\":", SCIM_URN_RESOURCE_TYPE);
	escape_json(out, type->name);
	appendStringInfoString(out, ",\"name\":");
	escape_json(out, type->name);
	appendStringInfoString(out, ",\"description\":");
	escape_json(out, type->description);
	appendStringInfoString(out, ",\"endpoint\":");
	escape_json(out, type->endpoint);
	appendStringInfoString(out, ",\"schema\":");
	escape_json(out, type->schema->uri);
	appendStringInfoString(out, ",\"schemaExtensions\":[");
	for (int i = 0; i < type->nexts; i++)
	{
		appendStringInfoString(out, i > 0 ? ",{\"schema\":" : "{\"schema\":");
		escape_json(out, type->exts[i].schema->uri);
		appendStringInfo(out, ",\"required\":%s}", type->exts[i].required ? "true" : "false");
	}
	appendStringInfoString(out, "],\"meta\":{\"resourceType\":\"ResourceType\",\"location\":");
	escape_json(out, psprintf("%s/ResourceTypes/%s", scim_endpoint_base_url(call->endpoint), type->name));
	appendStringInfoString(out, "}}");
}

static void
open_list(StringInfo out, int n)
{
	appendStringInfo(out, "{\"schemas\":[\"%s\"],\"totalResults\":%d,\"startIndex\":1,\"itemsPerPage\":%d,\"Resources\":[",
					 SCIM_URN_LIST_RESPONSE, n, n);
}

void
scim_discovery_types(ScimCall *call, const char *name)
{
	StringInfo	out = &call->response->body;
	const ScimEndpoint *endpoint = call->endpoint;
	const ScimEndpointType *target;

	if (!refuse_filter(call))
		return;
	if (name)
	{
		target = scim_endpoint_type(endpoint, name);
		if (target == NULL)
		{
			scim_fail(&call->err, 404, NULL, "there is no resource type of this name");
			return;
		}
		append_type(call, out, target->type);
		respond_text(call);
		return;
	}
	open_list(out, endpoint->ntypes);
	for (int i = 0; i < endpoint->ntypes; i++)
	{
		if (i > 0)
			appendStringInfoChar(out, ',');
		append_type(call, out, endpoint->types[i].type);
	}
	appendStringInfoString(out, "]}");
	respond_text(call);
}

/* A schema and the type that shows how much of it this endpoint has. */
typedef struct ServedSchema
{
	const ScimSchema *schema;
	const ScimResourceType *type;	/* NULL: whole */
} ServedSchema;

/*
 * A schema that several types use is listed once, as the first of them shows
 * it.
 */
static void
add_schema(ServedSchema *served, int *n, const ScimSchema *schema, const ScimResourceType *type)
{
	for (int i = 0; i < *n; i++)
		if (scim_name_eq(schema->uri, strlen(schema->uri), served[i].schema->uri))
			return;
	served[*n].schema = schema;
	served[(*n)++].type = type;
}

static ServedSchema *
served_schemas(ScimCall *call, int *n)
{
	static const char *const discovery[] = {
		SCIM_URN_SERVICE_PROVIDER_CONFIG, SCIM_URN_RESOURCE_TYPE, SCIM_URN_SCHEMA
	};
	const ScimEndpoint *endpoint = call->endpoint;
	ServedSchema *served;
	int			max = lengthof(discovery);

	for (int i = 0; i < endpoint->ntypes; i++)
		max += 1 + endpoint->types[i].type->nexts;
	served = palloc(sizeof(ServedSchema) * max);
	*n = 0;
	for (int i = 0; i < endpoint->ntypes; i++)
	{
		const ScimResourceType *type = endpoint->types[i].type;

		add_schema(served, n, type->schema, type);
		for (int j = 0; j < type->nexts; j++)
			add_schema(served, n, type->exts[j].schema, type);
	}
	for (int i = 0; i < lengthof(discovery); i++)
		add_schema(served, n, scim_registry_schema(scim_catalog_registry(), discovery[i], strlen(discovery[i])), NULL);
	return served;
}

static bool
append_schema(ScimCall *call, const ServedSchema *served)
{
	json_t	   *tree = scim_schema_resource(served->type, served->schema, scim_endpoint_base_url(call->endpoint));
	size_t		len;
	char	   *text = tree ? scim_json_print(tree, &len) : NULL;

	if (text == NULL)
		return scim_fail_memory(&call->err);
	appendBinaryStringInfo(&call->response->body, text, len);
	return true;
}

void
scim_discovery_schemas(ScimCall *call, const char *uri)
{
	StringInfo	out = &call->response->body;
	ServedSchema *served;
	int			n;

	if (!refuse_filter(call))
		return;
	served = served_schemas(call, &n);
	if (uri)
	{
		for (int i = 0; i < n; i++)
			if (scim_name_eq(uri, strlen(uri), served[i].schema->uri))
			{
				if (append_schema(call, &served[i]))
					respond_text(call);
				return;
			}
		scim_fail(&call->err, 404, NULL, "there is no schema of this id");
		return;
	}
	open_list(out, n);
	for (int i = 0; i < n; i++)
	{
		if (i > 0)
			appendStringInfoChar(out, ',');
		if (!append_schema(call, &served[i]))
			return;
	}
	appendStringInfoString(out, "]}");
	respond_text(call);
}
