/*
 * provider_search.c
 *		Lists of one resource type: GET and POST .search (RFC 7644 3.4.2, 3.4.3),
 *		paged by index or by cursor (RFC 9865); and what lists of several share.
 */
#include "postgres.h"

#include <limits.h>

#include "utils/builtins.h"
#include "utils/formatting.h"

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

/*
 * sortBy and sortOrder; false and err: what they say is wrong.  *known: the type
 * has such an attribute.
 */
bool
scim_search_sort_if_known(ScimCall *call, const ScimResourceType *type, ScimQuery *query, bool *known)
{
	const char *by = call->params.sort_by;
	const char *order = call->params.sort_order;
	ScimPath   *path;

	*known = true;
	query->descending = order && pg_strcasecmp(order, "descending") == 0;
	if (order && order[0] && !query->descending && pg_strcasecmp(order, "ascending") != 0)
		return scim_fail(&call->err, 400, SCIM_INVALID_VALUE, "sortOrder is ascending or descending");
	if (by == NULL || by[0] == '\0' || !call->endpoint->options.sort)
	{
		query->descending = false;
		return true;
	}
	path = palloc0(sizeof(ScimPath));
	*known = scim_path_resolve(type, by, strlen(by), call->endpoint->mode, path) == strlen(by) &&
		path->attr != NULL && path->attr->returned != SCIM_RETURNED_NEVER;
	if (!*known)
		return true;
	if (path->attr->type == SCIM_TYPE_COMPLEX && path->sub == NULL &&
		scim_attr_sub(path->attr, "value", 5) == NULL)
		return scim_fail(&call->err, 400, SCIM_INVALID_PATH, "sortBy needs a sub-attribute of %s", path->attr->name);
	query->sort_by = path;
	return true;
}

bool
scim_search_sort(ScimCall *call, const ScimResourceType *type, ScimQuery *query)
{
	bool		known;

	return scim_search_sort_if_known(call, type, query, &known) &&
		(known || scim_fail(&call->err, 400, SCIM_INVALID_PATH, "sortBy names no attribute"));
}

/* Does an entry of option sensitive ("emails", "name.familyName") mean this path? */
static bool
is_meant(const char *entry, const ScimPath *path)
{
	const char *dot = strchr(entry, '.');
	size_t		len = dot ? (size_t) (dot - entry) : strlen(entry);

	return scim_name_eq(entry, len, path->attr->name) &&
		(dot == NULL || path->sub == NULL || scim_name_eq(dot + 1, strlen(dot + 1), path->sub->name));
}

bool
scim_search_discreet(ScimCall *call, const ScimResourceType *type, const ScimFilter *filter)
{
	ListCell   *lc;
	ScimPath	path;

	/* POST .search has no filter in its URL */
	if (call->endpoint->options.sensitive == NIL || strcmp(call->request->method, "POST") == 0)
		return true;
	switch (filter->kind)
	{
		case SCIM_FILTER_AND:
		case SCIM_FILTER_OR:
			return scim_search_discreet(call, type, filter->left) && scim_search_discreet(call, type, filter->right);
		case SCIM_FILTER_NOT:
			return scim_search_discreet(call, type, filter->left);
		default:
			break;
	}
	if (scim_path_resolve(type, filter->name, strlen(filter->name), call->endpoint->mode, &path) == 0 || path.attr == NULL)
		return true;
	foreach(lc, call->endpoint->options.sensitive)
		if (is_meant((const char *) lfirst(lc), &path))
			return scim_fail(&call->err, 403, SCIM_SENSITIVE,
							 "a URL must not hold a filter on %s: use POST .search", path.attr->name);
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
	return scim_search_discreet(call, target->type, filter);
}

/* Paging by cursor: count, which RFC 9865 has an error of its own for. */
static bool
cursor_params(ScimCall *call, ScimQuery *query)
{
	int64		count = Min(scim_page_size, scim_max_page_size);

	if (call->params.start_index)
		return scim_fail(&call->err, 400, SCIM_INVALID_VALUE, "startIndex and cursor exclude each other");
	if (!integer_param(call, "count", call->params.count, &count))
	{
		memset(&call->err, 0, sizeof(call->err));
		return scim_fail(&call->err, 400, SCIM_INVALID_COUNT, "count is no integer");
	}
	query->keyset = true;
	query->count = Min(Max(count, 0), scim_max_page_size);
	return true;
}

/* startIndex and count, clipped (RFC 7644 3.4.2.4), or cursor. */
bool
scim_search_page(ScimCall *call, ScimListing *listing)
{
	ScimQuery  *query = &listing->query;
	int64		count = scim_page_size;

	if (call->params.cursor)
		return cursor_params(call, query);
	query->start_index = 1;
	/* in SQL, what has just been written counts */
	query->by_marks = call->own_transaction;
	if (!integer_param(call, "startIndex", call->params.start_index, &query->start_index) ||
		!integer_param(call, "count", call->params.count, &count))
		return false;
	query->start_index = Max(query->start_index, 1);
	query->count = Min(Max(count, 0), scim_max_page_size);
	return true;
}

static void
append_identity(StringInfo identity, const char *text)
{
	appendStringInfo(identity, "%zu:%s,", text ? strlen(text) : 0, text ? text : "");
}

/*
 * What a query is apart from the page (RFC 9865 2: the other parameters stay
 * the same from page to page).
 */
static bool
identify(ScimCall *call, const char *type_names, StringInfo identity)
{
	const ScimParams *params = &call->params;
	const char *filter = params->filter;

	if (filter)
	{
		ScimFilter *parsed = scim_filter_parse(filter, strlen(filter), 2 * SCIM_FILTER_MAX_LENGTH,
											   call->endpoint->mode, &call->err);

		filter = parsed ? scim_filter_print(parsed) : NULL;
		if (filter == NULL)
			return scim_fail_memory(&call->err);
	}
	initStringInfo(identity);
	append_identity(identity, type_names);
	append_identity(identity, filter);
	append_identity(identity, params->sort_by ? asc_tolower(params->sort_by, strlen(params->sort_by)) : NULL);
	append_identity(identity, params->sort_order ? asc_tolower(params->sort_order, strlen(params->sort_order)) : NULL);
	append_identity(identity, params->attributes);
	append_identity(identity, params->excluded);
	return true;
}

bool
scim_search_continue(ScimCall *call, const char *type_names, ScimListing *listing)
{
	ScimQuery  *query = &listing->query;
	const char *text = call->params.cursor;

	if (!query->keyset)
		return true;
	if (!identify(call, type_names, &listing->identity))
		return false;
	if (text[0] == '\0')
		return true;
	if (!scim_cursor_open(call, &listing->identity, text, &listing->cursor))
		return false;
	if (call->params.count && query->count != listing->cursor.count)
		return scim_fail(&call->err, 400, SCIM_INVALID_COUNT, "count is not that of the first page");
	query->count = listing->cursor.count;
	query->backward = listing->cursor.backward;
	if (listing->cursor.placed)
		query->from = &listing->cursor.at;
	return true;
}

/* "nextCursor":"...", if there is more on that side of the page. */
static bool
append_cursor(ScimCall *call, const ScimListing *listing, const ScimPage *page, bool backward, int part, StringInfo out)
{
	ScimCursor	cursor;
	char	   *sealed;

	if (listing->query.count == 0 || (backward ? !page->more_before : !page->more_after))
		return true;
	memset(&cursor, 0, sizeof(cursor));
	cursor.backward = backward;
	cursor.count = listing->query.count;
	cursor.placed = page->n > 0;
	cursor.part = part;
	cursor.at = backward ? page->first : page->last;
	sealed = scim_cursor_seal(call, &listing->identity, &cursor);
	if (sealed)
		appendStringInfo(out, ",\"%s\":\"%s\"", backward ? "previousCursor" : "nextCursor", sealed);
	return sealed != NULL;
}

void
scim_search_respond(ScimCall *call, const ScimListing *listing, const StringInfo resources,
					const ScimPage *page, int first_part, int last_part)
{
	ScimResponse *response = call->response;
	StringInfo	out = &response->body;

	if (call->endpoint->options.too_many > 0 && page->total > call->endpoint->options.too_many)
	{
		scim_fail(&call->err, 400, SCIM_TOO_MANY, "more resources match than the limit of " INT64_FORMAT,
				  call->endpoint->options.too_many);
		return;
	}
	appendStringInfo(out, "{\"schemas\":[\"%s\"],\"totalResults\":" INT64_FORMAT, SCIM_URN_LIST_RESPONSE, page->total);
	if (!listing->query.keyset)
		appendStringInfo(out, ",\"startIndex\":" INT64_FORMAT, listing->query.start_index);
	appendStringInfo(out, ",\"itemsPerPage\":%d", page->n);
	if (listing->query.keyset &&
		(!append_cursor(call, listing, page, false, last_part, out) ||
		 !append_cursor(call, listing, page, true, first_part, out)))
		return;
	appendStringInfoString(out, ",\"Resources\":[");
	appendBinaryStringInfo(out, resources->data, resources->len);
	appendStringInfoString(out, "]}");
	response->status = 200;
	response->content_type = SCIM_MEDIA_TYPE;
}

static void
list(ScimCall *call, const ScimEndpointType *target, size_t max_filter)
{
	ScimSelection *select;
	ScimListing listing;
	ScimPage	page;
	StringInfoData resources;

	memset(&listing, 0, sizeof(listing));
	select = scim_selection_parse(target->type, call->params.attributes, call->params.excluded, &call->err);
	if (select == NULL || !scim_search_page(call, &listing) ||
		!scim_search_sort(call, target->type, &listing.query) ||
		!filter_param(call, target, &listing.query, max_filter) ||
		!scim_search_continue(call, target->type->name, &listing))
		return;
	initStringInfo(&resources);
	scim_store_list(target, &listing.query, select, &resources, &page);
	scim_search_respond(call, &listing, &resources, &page, 0, 0);
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

bool
scim_search_request(ScimCall *call)
{
	json_t	   *body = scim_crud_body(call);
	ScimParams *params = &call->params;

	if (body == NULL)
		return false;
	if (!json_is_object(body))
		return scim_fail(&call->err, 400, SCIM_INVALID_SYNTAX, "the body is no JSON object");
	return check_search_schemas(call, body) &&
		names_member(call, body, "attributes", &params->attributes) &&
		names_member(call, body, "excludedAttributes", &params->excluded) &&
		text_member(call, body, "filter", &params->filter) &&
		text_member(call, body, "sortBy", &params->sort_by) &&
		text_member(call, body, "sortOrder", &params->sort_order) &&
		integer_member(call, body, "startIndex", &params->start_index) &&
		integer_member(call, body, "count", &params->count) &&
		text_member(call, body, "cursor", &params->cursor);
}

void
scim_search_post(ScimCall *call, const ScimEndpointType *target)
{
	if (scim_search_request(call))
		list(call, target, 2 * SCIM_FILTER_MAX_LENGTH);
}
