/*
 * provider_search.c
 *		Lists: GET on a resource endpoint and POST .search (RFC 7644 3.4.2, 3.4.3).
 */
#include "postgres.h"

#include <limits.h>

#include "provider_internal.h"
#include "../scim_guc.h"

/*
 * An integer parameter; absent: *value stays.  400 invalidValue if it is none
 * or does not fit.
 */
static bool
integer_param(ScimCall *call, const char *name, const char *text, int64 *value)
{
	char	   *end;
	long long	n;

	if (text == NULL || text[0] == '\0')
		return true;
	errno = 0;
	n = strtoll(text, &end, 10);
	if (errno != 0 || *end != '\0' || !((text[0] >= '0' && text[0] <= '9') || text[0] == '-'))
		return scim_fail(&call->err, 400, SCIM_INVALID_VALUE, "%s is no integer", name);
	*value = n;
	return true;
}

static bool
sort_params(ScimCall *call, const ScimEndpointType *target, ScimQuery *query)
{
	const char *by = call->params.sort_by;
	const char *order = call->params.sort_order;
	ScimPath   *path;

	if (order && order[0])
	{
		if (pg_strcasecmp(order, "descending") == 0)
			query->descending = true;
		else if (pg_strcasecmp(order, "ascending") != 0)
			return scim_fail(&call->err, 400, SCIM_INVALID_VALUE, "sortOrder is ascending or descending");
	}
	if (by == NULL || by[0] == '\0')
	{
		query->descending = false;
		return true;
	}
	path = palloc0(sizeof(ScimPath));
	if (scim_path_resolve(target->type, by, strlen(by), call->endpoint->mode, path) != strlen(by) || path->attr == NULL)
		return scim_fail(&call->err, 400, SCIM_INVALID_PATH, "sortBy names no attribute");
	if (path->attr->type == SCIM_TYPE_COMPLEX && path->sub == NULL &&
		scim_attr_sub(path->attr, "value", 5) == NULL)
		return scim_fail(&call->err, 400, SCIM_INVALID_PATH, "sortBy needs a sub-attribute of %s", path->attr->name);
	if (path->attr->returned == SCIM_RETURNED_NEVER)
		return scim_fail(&call->err, 400, SCIM_INVALID_PATH, "sortBy names no attribute");
	query->sort_by = path;
	return true;
}

static bool
filter_param(ScimCall *call, const ScimEndpointType *target, ScimQuery *query, size_t max_length)
{
	const char *text = call->params.filter;
	ScimFilter *filter;

	if (text == NULL)
		return true;
	filter = scim_filter_parse(text, strlen(text), max_length, call->endpoint->mode, &call->err);
	if (filter == NULL || !scim_filter_bind(target->type, filter, call->endpoint->mode, &call->err))
		return false;
	query->filter = filter;
	return true;
}

static void
list(ScimCall *call, const ScimEndpointType *target, size_t max_filter)
{
	ScimResponse *response = call->response;
	ScimSelection *select;
	ScimQuery	query;
	StringInfoData resources;
	int64		count = scim_page_size;
	int64		total;
	int			n;

	memset(&query, 0, sizeof(query));
	query.start_index = 1;
	select = scim_selection_parse(target->type, call->params.attributes, call->params.excluded, &call->err);
	if (select == NULL ||
		!integer_param(call, "startIndex", call->params.start_index, &query.start_index) ||
		!integer_param(call, "count", call->params.count, &count) ||
		!sort_params(call, target, &query) ||
		!filter_param(call, target, &query, max_filter))
		return;
	if (query.start_index < 1)
		query.start_index = 1;
	query.count = Min(Max(count, 0), scim_max_page_size);

	initStringInfo(&resources);
	scim_store_list(target, &query, select, &resources, &total, &n);

	response->status = 200;
	response->content_type = SCIM_MEDIA_TYPE;
	appendStringInfo(&response->body,
					 "{\"schemas\":[\"%s\"],\"totalResults\":" INT64_FORMAT ",\"startIndex\":" INT64_FORMAT
					 ",\"itemsPerPage\":%d,\"Resources\":[",
					 SCIM_URN_LIST_RESPONSE, total, query.start_index, n);
	appendBinaryStringInfo(&response->body, resources.data, resources.len);
	appendStringInfoString(&response->body, "]}");
}

void
scim_search_list(ScimCall *call, const ScimEndpointType *target)
{
	list(call, target, SCIM_FILTER_MAX_LENGTH);
}

/* ---- SearchRequest ---- */

/* A member that is a string; absent: *out stays. */
static bool
text_member(ScimCall *call, const json_t *body, const char *name, const char **out)
{
	const json_t *value = scim_json_get(body, name, NULL);

	if (value == NULL || json_is_null(value))
		return true;
	if (!json_is_string(value))
		return scim_fail(&call->err, 400, SCIM_INVALID_VALUE, "%s is a string", name);
	*out = json_string_value(value);
	return true;
}

static bool
integer_member(ScimCall *call, const json_t *body, const char *name, const char **out)
{
	const json_t *value = scim_json_get(body, name, NULL);

	if (value == NULL || json_is_null(value))
		return true;
	if (json_is_integer(value))
		*out = psprintf("%lld", (long long) json_integer_value(value));
	else if (json_is_string(value) && call->endpoint->mode == SCIM_COMPAT)
		*out = json_string_value(value);
	else
		return scim_fail(&call->err, 400, SCIM_INVALID_VALUE, "%s is an integer", name);
	return true;
}

/* An array of names, or (tolerated) one comma-separated string. */
static bool
names_member(ScimCall *call, const json_t *body, const char *name, const char **out)
{
	const json_t *value = scim_json_get(body, name, NULL);
	StringInfoData names;

	if (value == NULL || json_is_null(value))
		return true;
	if (json_is_string(value))
	{
		*out = json_string_value(value);
		return true;
	}
	if (!json_is_array(value))
		return scim_fail(&call->err, 400, SCIM_INVALID_VALUE, "%s is an array of strings", name);
	initStringInfo(&names);
	for (size_t i = 0; i < json_array_size(value); i++)
	{
		const char *item = json_string_value(json_array_get(value, i));

		if (item == NULL)
			return scim_fail(&call->err, 400, SCIM_INVALID_VALUE, "%s is an array of strings", name);
		appendStringInfo(&names, "%s%s", i > 0 ? "," : "", item);
	}
	if (names.len > 0)
		*out = names.data;
	return true;
}

static bool
check_search_schemas(ScimCall *call, const json_t *body)
{
	const json_t *schemas = scim_json_get(body, "schemas", NULL);

	for (size_t i = 0; i < json_array_size(schemas); i++)
	{
		const char *uri = json_string_value(json_array_get(schemas, i));

		if (uri && scim_name_eq(uri, strlen(uri), SCIM_URN_SEARCH_REQUEST))
			return true;
	}
	if (schemas == NULL && call->endpoint->mode == SCIM_COMPAT)
		return true;
	return scim_fail(&call->err, 400, SCIM_INVALID_SYNTAX, "schemas must hold %s", SCIM_URN_SEARCH_REQUEST);
}

void
scim_search_post(ScimCall *call, const ScimEndpointType *target)
{
	json_t	   *body = scim_crud_body(call);
	ScimParams *params = &call->params;

	if (body == NULL)
		return;
	if (!json_is_object(body))
	{
		scim_fail(&call->err, 400, SCIM_INVALID_SYNTAX, "the body is no JSON object");
		return;
	}
	if (check_search_schemas(call, body) &&
		names_member(call, body, "attributes", &params->attributes) &&
		names_member(call, body, "excludedAttributes", &params->excluded) &&
		text_member(call, body, "filter", &params->filter) &&
		text_member(call, body, "sortBy", &params->sort_by) &&
		text_member(call, body, "sortOrder", &params->sort_order) &&
		integer_member(call, body, "startIndex", &params->start_index) &&
		integer_member(call, body, "count", &params->count))
		list(call, target, 2 * SCIM_FILTER_MAX_LENGTH);
}
