/*
 * provider_search.c
 *		Lists: GET on a resource endpoint or on the base, and POST .search on
 *		either (RFC 7644 3.4.2, 3.4.3).
 *
 * A query on the base is one query on each resource type, in the order of the
 * endpoint, whose pages are laid end to end.  There an attribute that a type
 * lacks is unassigned (3.4.2.1): the filter of each type is the query's with
 * those terms decided beforehand, and a type for which nothing is left to ask
 * is not read.
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
order_param(ScimCall *call, bool *descending)
{
	const char *order = call->params.sort_order;

	*descending = order && pg_strcasecmp(order, "descending") == 0;
	if (order && order[0] && !*descending && pg_strcasecmp(order, "ascending") != 0)
		return scim_fail(&call->err, 400, SCIM_INVALID_VALUE, "sortOrder is ascending or descending");
	return true;
}

static bool
sort_params(ScimCall *call, const ScimEndpointType *target, ScimQuery *query)
{
	const char *by = call->params.sort_by;
	ScimPath   *path;

	if (!order_param(call, &query->descending))
		return false;
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

/* startIndex and count, clipped (RFC 7644 3.4.2.4). */
static bool
page_params(ScimCall *call, ScimQuery *query)
{
	int64		count = scim_page_size;

	query->start_index = 1;
	if (!integer_param(call, "startIndex", call->params.start_index, &query->start_index) ||
		!integer_param(call, "count", call->params.count, &count))
		return false;
	query->start_index = Max(query->start_index, 1);
	query->count = Min(Max(count, 0), scim_max_page_size);
	return true;
}

static void
respond(ScimCall *call, const StringInfo resources, int64 total, int64 start_index, int n)
{
	ScimResponse *response = call->response;

	response->status = 200;
	response->content_type = SCIM_MEDIA_TYPE;
	appendStringInfo(&response->body,
					 "{\"schemas\":[\"%s\"],\"totalResults\":" INT64_FORMAT ",\"startIndex\":" INT64_FORMAT
					 ",\"itemsPerPage\":%d,\"Resources\":[",
					 SCIM_URN_LIST_RESPONSE, total, start_index, n);
	appendBinaryStringInfo(&response->body, resources->data, resources->len);
	appendStringInfoString(&response->body, "]}");
}

static void
list(ScimCall *call, const ScimEndpointType *target, size_t max_filter)
{
	ScimSelection *select;
	ScimQuery	query;
	StringInfoData resources;
	int64		total;
	int			n;

	memset(&query, 0, sizeof(query));
	select = scim_selection_parse(target->type, call->params.attributes, call->params.excluded, &call->err);
	if (select == NULL || !page_params(call, &query) || !sort_params(call, target, &query) ||
		!filter_param(call, target, &query, max_filter))
		return;
	initStringInfo(&resources);
	scim_store_list(target, &query, select, &resources, &total, &n);
	respond(call, &resources, total, query.start_index, n);
}

void
scim_search_list(ScimCall *call, const ScimEndpointType *target)
{
	list(call, target, SCIM_FILTER_MAX_LENGTH);
}

/* ---- the base: all resource types ---- */

/* What is known of a filter before any resource is looked at. */
typedef enum Truth
{
	TRUTH_OPEN,
	TRUTH_ALWAYS,
	TRUTH_NEVER
} Truth;

/* The part of a query that one resource type answers. */
typedef struct RootPart
{
	const ScimEndpointType *target;
	ScimSelection *select;
	ScimQuery	query;
	bool		nothing;		/* the filter matches no resource of this type */
} RootPart;

static bool
has_attribute(const ScimCall *call, const ScimResourceType *type, const char *name, ScimPath *path)
{
	return scim_path_resolve(type, name, strlen(name), call->endpoint->mode, path) == strlen(name) &&
		path->attr != NULL;
}

static bool
known_to_any(const ScimCall *call, const char *name)
{
	ScimPath	path;

	for (int i = 0; i < call->endpoint->ntypes; i++)
		if (has_attribute(call, call->endpoint->types[i].type, name, &path))
			return true;
	return false;
}

/*
 * A comparison or value path, which is bound unless only other types know its
 * attribute.  False and err: what it says is wrong.
 */
static bool
decide_leaf(ScimCall *call, const ScimResourceType *type, ScimFilter *filter, Truth *truth)
{
	const ScimOperand *operand = &filter->operand;
	ScimPath	path;
	bool		is_equality = filter->kind == SCIM_FILTER_COMPARE &&
		(filter->op == SCIM_OP_EQ || filter->op == SCIM_OP_NE);
	bool		known = has_attribute(call, type, filter->name, &path);

	*truth = TRUTH_OPEN;
	if (!known && known_to_any(call, filter->name))
	{
		/* unassigned: eq null, and ne anything else */
		*truth = is_equality && (filter->op == SCIM_OP_EQ) == (operand->kind == SCIM_OPERAND_NULL) ?
			TRUTH_ALWAYS : TRUTH_NEVER;
		return true;
	}
	if (!scim_filter_bind(type, filter, call->endpoint->mode, &call->err))
		return false;
	if (is_equality && path.attr == type->a_meta && path.sub != NULL &&
		strcmp(path.sub->name, "resourceType") == 0 && operand->kind == SCIM_OPERAND_STRING)
	{
		bool		same = path.sub->case_exact ? strcmp(operand->text, type->name) == 0 :
			scim_name_eq(operand->text, operand->len, type->name);

		*truth = same == (filter->op == SCIM_OP_EQ) ? TRUTH_ALWAYS : TRUTH_NEVER;
	}
	return true;
}

/*
 * The filter, bound, without what is decided for every resource of the type;
 * *truth says whether anything is left.  NULL and err: the filter is wrong.
 * Depth is bounded by the parser.
 */
static ScimFilter *
decide(ScimCall *call, const ScimResourceType *type, ScimFilter *filter, Truth *truth)
{
	Truth		decides;
	Truth		right;

	switch (filter->kind)
	{
		case SCIM_FILTER_NOT:
			filter->left = decide(call, type, filter->left, truth);
			if (*truth != TRUTH_OPEN)
				*truth = *truth == TRUTH_ALWAYS ? TRUTH_NEVER : TRUTH_ALWAYS;
			return filter->left ? filter : NULL;
		case SCIM_FILTER_AND:
		case SCIM_FILTER_OR:
			decides = filter->kind == SCIM_FILTER_AND ? TRUTH_NEVER : TRUTH_ALWAYS;
			filter->left = decide(call, type, filter->left, truth);
			filter->right = decide(call, type, filter->right, &right);
			if (filter->left == NULL || filter->right == NULL)
				return NULL;
			if (*truth == decides || right == decides)
			{
				*truth = decides;
				return filter;
			}
			if (*truth == TRUTH_OPEN)
				return right == TRUTH_OPEN ? filter : filter->left;
			*truth = right;
			return filter->right;
		default:
			return decide_leaf(call, type, filter, truth) ? filter : NULL;
	}
}

static bool
root_filter(ScimCall *call, RootPart *part, size_t max_length)
{
	const char *text = call->params.filter;
	ScimFilter *filter;
	Truth		truth;

	if (text == NULL)
		return true;
	/* deciding and binding change the tree: each type has its own */
	filter = scim_filter_parse(text, strlen(text), max_length, call->endpoint->mode, &call->err);
	if (filter == NULL || (filter = decide(call, part->target->type, filter, &truth)) == NULL)
		return false;
	part->nothing = truth == TRUTH_NEVER;
	part->query.filter = truth == TRUTH_OPEN ? filter : NULL;
	return true;
}

/*
 * Sorting would have to merge the types' pages; it is offered where one type
 * is left to ask.
 */
static bool
root_sort(ScimCall *call, RootPart *parts)
{
	RootPart   *only = NULL;
	bool		descending;

	if (!order_param(call, &descending))
		return false;
	if (call->params.sort_by == NULL || call->params.sort_by[0] == '\0')
		return true;
	for (int i = 0; i < call->endpoint->ntypes; i++)
	{
		if (parts[i].nothing)
			continue;
		if (only != NULL)
			return scim_fail(&call->err, 400, SCIM_INVALID_PATH,
							 "sortBy is available for one resource type: query its endpoint, or filter on meta.resourceType");
		only = &parts[i];
	}
	return only == NULL || sort_params(call, only->target, &only->query);
}

static void
list_root(ScimCall *call, size_t max_filter)
{
	const ScimEndpoint *endpoint = call->endpoint;
	RootPart   *parts = palloc0(sizeof(RootPart) * Max(endpoint->ntypes, 1));
	ScimQuery	page;
	StringInfoData resources;
	int64		total = 0;
	int			n = 0;

	memset(&page, 0, sizeof(page));
	if (!page_params(call, &page))
		return;
	for (int i = 0; i < endpoint->ntypes; i++)
	{
		parts[i].target = &endpoint->types[i];
		parts[i].select = scim_selection_parse(parts[i].target->type, call->params.attributes,
											   call->params.excluded, &call->err);
		if (parts[i].select == NULL || !root_filter(call, &parts[i], max_filter))
			return;
	}
	if (!root_sort(call, parts))
		return;

	initStringInfo(&resources);
	for (int i = 0; i < endpoint->ntypes; i++)
	{
		StringInfoData some;
		int64		some_total;
		int			some_n;

		if (parts[i].nothing)
			continue;
		/* where the page begins, counted within this type */
		parts[i].query.start_index = Max(page.start_index - total, 1);
		parts[i].query.count = page.count - n;
		initStringInfo(&some);
		scim_store_list(parts[i].target, &parts[i].query, parts[i].select, &some, &some_total, &some_n);
		if (resources.len > 0 && some_n > 0)
			appendStringInfoChar(&resources, ',');
		appendBinaryStringInfo(&resources, some.data, some.len);
		total += some_total;
		n += some_n;
	}
	respond(call, &resources, total, page.start_index, n);
}

void
scim_search_root_list(ScimCall *call)
{
	list_root(call, SCIM_FILTER_MAX_LENGTH);
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

/* The body's members become the parameters. */
static bool
search_request(ScimCall *call)
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
		integer_member(call, body, "count", &params->count);
}

void
scim_search_post(ScimCall *call, const ScimEndpointType *target)
{
	if (search_request(call))
		list(call, target, 2 * SCIM_FILTER_MAX_LENGTH);
}

void
scim_search_root_post(ScimCall *call)
{
	if (search_request(call))
		list_root(call, 2 * SCIM_FILTER_MAX_LENGTH);
}
