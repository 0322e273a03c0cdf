/*
 * provider_root.c
 *		Lists over all resource types: GET and POST .search on the base (RFC 7644
 *		3.4.2.1).
 *
 * An attribute that a type lacks is unassigned there: the filter of each type is
 * the query's with those terms decided beforehand, and a type for which nothing
 * is left to ask is not read.  Without sortBy the types come one after the
 * other, in the order of the endpoint; with it, they are merged in SQL.
 */
#include "postgres.h"

#include "provider_internal.h"

/* What is known of a filter before any resource is looked at. */
typedef enum Truth
{
	TRUTH_OPEN,
	TRUTH_ALWAYS,
	TRUTH_NEVER
} Truth;

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
root_filter(ScimCall *call, ScimListPart *part, size_t max_length)
{
	const char *text = call->params.filter;
	ScimFilter *filter;
	Truth		truth;

	if (text == NULL)
		return true;
	/* deciding and binding change the tree: each type has its own */
	filter = scim_filter_parse(text, strlen(text), max_length, call->endpoint->mode, &call->err);
	if (filter == NULL || !scim_search_discreet(call, part->target->type, filter) || (filter = decide(call, part->target->type, filter, &truth)) == NULL)
		return false;
	part->nothing = truth == TRUTH_NEVER;
	part->query.filter = truth == TRUTH_OPEN ? filter : NULL;
	return true;
}

/*
 * sortBy and sortOrder for each type.  A type that lacks the attribute has no
 * value for any resource; one that no type has is wrong.
 */
static bool
root_sort(ScimCall *call, ScimListPart *parts, ScimListing *listing)
{
	bool		known_to_one = false;

	for (int i = 0; i < call->endpoint->ntypes; i++)
	{
		bool		known;

		if (!scim_search_sort_if_known(call, parts[i].target->type, &parts[i].query, &known))
			return false;
		known_to_one = known_to_one || known;
		listing->query.descending = parts[i].query.descending;
		if (parts[i].query.sort_by)
			listing->query.sort_by = parts[i].query.sort_by;
	}
	return known_to_one || call->endpoint->ntypes == 0 ||
		scim_fail(&call->err, 400, SCIM_INVALID_PATH, "sortBy names no attribute");
}

/*
 * Without an order: the pages of the types laid end to end.  By cursor: from
 * the type of the place on, in either direction.
 */
static void
lay_end_to_end(const ScimListPart *parts, int nparts, const ScimListing *listing,
			   StringInfo out, ScimPage *page, int *first_part, int *last_part)
{
	const ScimQuery *query = &listing->query;
	int			step = query->backward ? -1 : 1;
	int			begin = query->backward ? nparts - 1 : 0;
	bool		passed = query->from == NULL;	/* the type of the place is behind us */

	memset(page, 0, sizeof(*page));
	for (int i = begin; i >= 0 && i < nparts; i += step)
	{
		ScimQuery	own = parts[i].query;
		ScimPage	some;
		StringInfoData text;
		bool		here = query->from != NULL && i == listing->cursor.part;
		bool		skipped = query->keyset && !passed && !here;

		if (parts[i].nothing)
		{
			passed = passed || here;
			continue;
		}
		own.keyset = query->keyset;
		own.backward = query->backward;
		own.from = here ? query->from : NULL;
		own.count = skipped ? 0 : query->count - page->n;
		/* where the page begins, counted within this type */
		own.start_index = Max(query->start_index - page->total, 1);
		initStringInfo(&text);
		scim_store_list(parts[i].target, &own, parts[i].selection, &text, &some);
		passed = passed || here;
		page->total += some.total;
		if (query->keyset)
		{
			/* a type that is not read lies wholly on one side of the page */
			bool		before = skipped != query->backward;

			if (own.count == 0)
				some.more_before = some.more_after = false;
			if (own.count == 0 && some.total > 0)
				*(before ? &some.more_before : &some.more_after) = true;
			page->more_before = page->more_before || some.more_before;
			page->more_after = page->more_after || some.more_after;
		}
		if (some.n == 0)
			continue;
		if (page->n == 0 || query->backward)
		{
			page->first = some.first;
			*first_part = i;
		}
		if (page->n == 0 || !query->backward)
		{
			page->last = some.last;
			*last_part = i;
		}
		if (query->backward && out->len > 0)
		{
			appendStringInfoChar(&text, ',');
			appendBinaryStringInfo(&text, out->data, out->len);
			*out = text;
		}
		else
			appendStringInfo(out, "%s%s", out->len > 0 ? "," : "", text.data);
		page->n += some.n;
	}
}

/* Names of all types, in their order: a cursor counts on it. */
static const char *
type_names(const ScimEndpoint *endpoint)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < endpoint->ntypes; i++)
		appendStringInfo(&names, "/%s", endpoint->types[i].type->name);
	return names.data;
}

static void
list_root(ScimCall *call, size_t max_filter)
{
	const ScimEndpoint *endpoint = call->endpoint;
	ScimListPart *parts = palloc0(sizeof(ScimListPart) * Max(endpoint->ntypes, 1));
	ScimListing listing;
	ScimPage	page;
	StringInfoData resources;
	int			first_part = 0;
	int			last_part = 0;

	memset(&listing, 0, sizeof(listing));
	if (!scim_search_page(call, &listing))
		return;
	for (int i = 0; i < endpoint->ntypes; i++)
	{
		parts[i].target = &endpoint->types[i];
		parts[i].selection = scim_selection_parse(parts[i].target->type, call->params.attributes,
												  call->params.excluded, &call->err);
		if (parts[i].selection == NULL || !root_filter(call, &parts[i], max_filter))
			return;
		parts[i].nothing = parts[i].nothing || !scim_auth_has_type(call, parts[i].target->type);
	}
	if (!root_sort(call, parts, &listing) || !scim_search_continue(call, type_names(endpoint), &listing))
		return;

	initStringInfo(&resources);
	if (listing.query.sort_by)
		scim_store_merge(parts, endpoint->ntypes, &listing.query, listing.cursor.part,
						 &resources, &page, &first_part, &last_part);
	else
		lay_end_to_end(parts, endpoint->ntypes, &listing, &resources, &page, &first_part, &last_part);
	scim_search_respond(call, &listing, &resources, &page, first_part, last_part);
}

void
scim_root_list(ScimCall *call)
{
	list_root(call, SCIM_FILTER_MAX_LENGTH);
}

void
scim_root_post(ScimCall *call)
{
	if (scim_search_request(call))
		list_root(call, 2 * SCIM_FILTER_MAX_LENGTH);
}
