/*
 * provisioner_step.c
 *		Updates that a target does not take in one PATCH: steps of several, and
 *		PUT of the resource as a whole; and what either leads to by the rules of
 *		the sync (provisioning-engine 2.1, 2.7).
 *
 * A step is a document part of the way between what the target has and what it
 * should have.  It is sent and acknowledged like any other; then the link is
 * looked at again, and the next step follows.
 */
#include "postgres.h"

#include "provisioner_engine.h"
#include "../core/core_multi.h"
#include "../core/core_value.h"

static void
out_of_memory(void)
{
	ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
}

/* The object in which the attributes of a schema are, made if it is not there. */
static json_t *
part_of(const ScimResourceType *type, json_t *document, int ext)
{
	const char *uri;

	if (ext == SCIM_EXT_CORE)
		return document;
	uri = type->exts[ext].schema->uri;
	if (!json_is_object(json_object_get(document, uri)))
		json_object_set_new(document, uri, scim_json_object());
	return json_object_get(document, uri);
}

void
scim_document_put(const ScimResourceType *type, json_t *document, const ScimAttr *attr, const json_t *value)
{
	json_t	   *part = part_of(type, document, attr->ext);

	if (part == NULL)
		out_of_memory();
	if (value == NULL)
	{
		json_object_del(part, attr->name);
		if (attr->ext != SCIM_EXT_CORE && json_object_size(part) == 0)
			json_object_del(document, type->exts[attr->ext].schema->uri);
	}
	else if (json_object_set(part, attr->name, unconstify(json_t *, value)) != 0)
		out_of_memory();
}

static bool
is_managed(const ScimSyncView *view, const ScimAttr *attr)
{
	return view->selection->has[attr->ord];
}

/* ---- steps ---- */

json_t *
scim_references(const ScimAttr *attr, const json_t *list, const json_t *other, bool missing)
{
	ScimMultiSet set;
	ScimError	err;
	json_t	   *result = json_array();

	memset(&err, 0, sizeof(err));
	scim_multi_init(&set, attr, scim_multi_is_reference(attr));
	if (result == NULL || !scim_multi_add_all(&set, other, &err))
		out_of_memory();
	for (size_t i = 0; i < json_array_size(list); i++)
	{
		uint64_t	hash;
		int			found = scim_multi_find(&set, json_array_get(list, i), &hash, &err);

		if (found < -1 || ((found < 0) == missing && json_array_append(result, json_array_get(list, i)) != 0))
			out_of_memory();
	}
	return result;
}

/*
 * A list of references with at most "limit" changes towards "to"; with
 * "one_kind" only additions, or only removals.
 */
static json_t *
reference_step(const ScimAttr *attr, const json_t *from, const json_t *to, int limit, bool one_kind, bool *partial)
{
	json_t	   *list = scim_references(attr, from, to, false);
	json_t	   *gone = scim_references(attr, from, to, true);
	json_t	   *new = scim_references(attr, to, from, true);
	size_t		nnew = Min(json_array_size(new), (size_t) limit);
	size_t		ngone = one_kind && nnew > 0 ? 0 : Min(json_array_size(gone), limit - nnew);

	for (size_t i = 0; i < nnew; i++)
		json_array_append(list, json_array_get(new, i));
	for (size_t i = ngone; i < json_array_size(gone); i++)
		json_array_append(list, json_array_get(gone, i));
	*partial = *partial || nnew < json_array_size(new) || ngone < json_array_size(gone);
	return list;
}

typedef struct StepContext
{
	const ScimSyncView *view;
	const json_t *from;
	const json_t *to;
	json_t	   *step;
	bool		one;			/* one operation in a request */
	bool		create;
	int			most;			/* see scim_step_towards */
	int			changes;
	bool		partial;
} StepContext;

static void
step_attr(StepContext *ctx, const ScimAttr *attr)
{
	const ScimSyncView *view = ctx->view;
	const json_t *from = scim_document_value(view->type, ctx->from, attr);
	const json_t *to = scim_document_value(view->type, ctx->to, attr);
	bool		reference = scim_multi_is_reference(attr);
	int			limit = ctx->most > 0 ? ctx->most : view->style.members_per_request;

	if (!is_managed(view, attr))
		return;
	if (scim_value_same(attr, from, to))
		scim_document_put(view->type, ctx->step, attr, from);
	else if ((ctx->one && ctx->changes > 0) || (ctx->most > 0 && reference == ctx->create))
	{
		scim_document_put(view->type, ctx->step, attr, from);
		ctx->partial = true;
	}
	else
	{
		/* a removal by filter is an operation for each value */
		if (ctx->one && reference && !view->style.remove_by_list &&
			json_array_size(scim_references(attr, to, from, true)) == 0)
			limit = 1;
		if (reference && limit > 0)
			to = reference_step(attr, from, to, limit, ctx->one, &ctx->partial);
		scim_document_put(view->type, ctx->step, attr, to);
		ctx->changes++;
	}
}

static bool
comes_last(const ScimAttr *attr)
{
	return attr->ext == SCIM_EXT_CORE && (strcmp(attr->name, "active") == 0 || strcmp(attr->name, "userName") == 0);
}

/* Does the sync manage a list of references? */
static bool
has_references(const ScimSyncView *view)
{
	for (int i = 0; i < view->type->ntop; i++)
		if (scim_multi_is_reference(view->type->top[i]) && is_managed(view, view->type->top[i]))
			return true;
	return false;
}

char *
scim_step_towards(const ScimSyncView *view, const json_t *from, const char *to, bool create, int most)
{
	StepContext ctx = {.view = view, .from = from, .one = view->server->patch_one_operation && !create,
	.create = create, .most = most};
	ScimCoreFrame frame;
	char	   *text = NULL;
	size_t		len;

	if (!ctx.one && most == 0 && (view->style.members_per_request == 0 || !has_references(view)))
		return NULL;
	scim_core_enter(&frame);
	ctx.to = scim_document_parse(to);
	ctx.step = scim_json_object();
	if (ctx.step == NULL)
		out_of_memory();
	for (int pass = 0; pass < 2; pass++)
		for (int i = 0; i < view->type->ntop; i++)
			if (comes_last(view->type->top[i]) == (pass == 1))
				step_attr(&ctx, view->type->top[i]);
	if (ctx.partial)
		text = scim_json_print(ctx.step, &len);
	scim_core_leave(&frame);
	if (ctx.partial && text == NULL)
		out_of_memory();
	return text;
}

/* ---- references that the target refuses ---- */

static bool
is_listed(const List *ids, const json_t *item)
{
	const char *id = json_string_value(json_object_get(item, "value"));
	ListCell   *lc;

	foreach(lc, ids)
		if (id && strcmp(id, (const char *) lfirst(lc)) == 0)
			return true;
	return false;
}

/* Those that differ between two documents, if they are among the ids; NULL: whatever they are. */
static List *
differing(const ScimSyncView *view, const char *from, const char *to, const List *const *ids)
{
	ScimCoreFrame frame;
	json_t	   *before;
	json_t	   *after;
	List	   *result = NIL;

	scim_core_enter(&frame);
	before = scim_document_parse(from);
	after = scim_document_parse(to);
	for (int i = 0; i < view->type->ntop; i++)
	{
		const ScimAttr *attr = view->type->top[i];
		const json_t *old = scim_document_value(view->type, before, attr);
		const json_t *new = scim_document_value(view->type, after, attr);

		if (!is_managed(view, attr) || !scim_multi_is_reference(attr))
			continue;
		for (int way = 0; way < 2; way++)
		{
			const json_t *differ = way == 0 ? scim_references(attr, new, old, true) : scim_references(attr, old, new, true);

			for (size_t j = 0; j < json_array_size(differ); j++)
			{
				const json_t *item = json_array_get(differ, j);
				const char *id = json_string_value(json_object_get(item, "value"));

				if (id && (ids == NULL || is_listed(*ids, item)))
					result = lappend(result, pstrdup(id));
			}
		}
	}
	scim_core_leave(&frame);
	return result;
}

int
scim_reference_changes(const ScimSyncView *view, const char *from, const char *to, const char **only)
{
	List	   *ids = differing(view, from, to, NULL);

	*only = ids ? (const char *) llast(ids) : NULL;
	return list_length(ids);
}

List *
scim_references_that_differ(const ScimSyncView *view, const char *from, const char *to, List *ids)
{
	const List *among = ids;

	return differing(view, from, to, &among);
}

/* Append the items of a list that are, or are not, among the ids. */
static void
append_listed(json_t *list, const json_t *items, List *ids, bool listed)
{
	for (size_t i = 0; i < json_array_size(items); i++)
		if (is_listed(ids, json_array_get(items, i)) == listed &&
			json_array_append(list, json_array_get(items, i)) != 0)
			out_of_memory();
}

char *
scim_keep_references(const ScimSyncView *view, const char *from, const char *to, List *refused)
{
	ScimCoreFrame frame;
	json_t	   *before;
	json_t	   *after;
	char	   *text;
	size_t		len;

	scim_core_enter(&frame);
	before = scim_document_parse(from);
	after = scim_document_parse(to);
	for (int i = 0; i < view->type->ntop; i++)
	{
		const ScimAttr *attr = view->type->top[i];
		json_t	   *list;

		if (!is_managed(view, attr) || !scim_multi_is_reference(attr))
			continue;
		list = json_array();
		if (list == NULL)
			out_of_memory();
		append_listed(list, scim_document_value(view->type, after, attr), refused, false);
		append_listed(list, scim_document_value(view->type, before, attr), refused, true);
		scim_document_put(view->type, after, attr, json_array_size(list) > 0 ? list : NULL);
	}
	text = scim_json_print(after, &len);
	scim_core_leave(&frame);
	if (text == NULL)
		out_of_memory();
	return text;
}

/* ---- what an update leads to ---- */

/* Is the value of a type that is managed? */
static bool
is_of_types(const json_t *item, const List *types)
{
	const json_t *type = json_object_get(item, "type");
	ListCell   *lc;

	foreach(lc, types)
		if (json_is_string(type) && pg_strcasecmp(json_string_value(type), (const char *) lfirst(lc)) == 0)
			return true;
	return false;
}

static bool
has_type_of(const json_t *list, const json_t *item)
{
	const char *type = json_string_value(json_object_get(item, "type"));

	for (size_t i = 0; type && i < json_array_size(list); i++)
		if (is_of_types(json_array_get(list, i), list_make1(unconstify(char *, type))))
			return true;
	return false;
}

/*
 * Of a list of which only some types are managed: these as wanted; "others": and
 * the others as they are; "keep": those that are managed and not wanted as well.
 */
static json_t *
overlay_list(const List *types, const json_t *current, const json_t *wanted, bool others, bool keep)
{
	json_t	   *list = json_array();

	if (list == NULL)
		out_of_memory();
	for (size_t i = 0; i < json_array_size(current); i++)
	{
		const json_t *item = json_array_get(current, i);

		if (is_of_types(item, types) ? keep && !has_type_of(wanted, item) : others)
			json_array_append(list, unconstify(json_t *, item));
	}
	for (size_t i = 0; i < json_array_size(wanted); i++)
		json_array_append(list, json_array_get(wanted, i));
	return list;
}

/* A list, and what another has besides. */
static json_t *
joined(const ScimAttr *attr, const json_t *list, const json_t *more)
{
	json_t	   *all = json_array();

	if (all == NULL || json_array_extend(all, unconstify(json_t *, list)) != 0 ||
		json_array_extend(all, scim_references(attr, more, list, true)) != 0)
		out_of_memory();
	return all;
}

/* What the target has of an attribute after an update. */
static const json_t *
value_by_rules(const ScimSyncView *view, const ScimAttr *attr, const json_t *from, const json_t *to)
{
	const json_t *old = scim_document_value(view->type, from, attr);
	const json_t *new = scim_document_value(view->type, to, attr);
	const ScimAttrRule *rule = &view->style.rules[attr->ord];
	const List *types = attr->multi ? view->style.types[attr->ord] : NIL;

	if (rule->apply == SCIM_APPLY_CREATE_ONLY || (rule->apply == SCIM_APPLY_IF_ABSENT && old) || (scim_diff_keeps(rule) && new == NULL))
		return old;
	if (types != NIL)
		return scim_diff_keeps(rule) ? overlay_list(types, old, new, false, true) : new;
	if (attr->multi)
		return rule->apply == SCIM_APPLY_ADD_ONLY ? joined(attr, new, old) : new;
	if (attr->type == SCIM_TYPE_COMPLEX && scim_attr_sub(attr, "$ref", 4) == NULL)
	{
		/* each part has a rule of its own */
		json_t	   *merged = new ? json_copy(unconstify(json_t *, new)) : scim_json_object();

		if (merged == NULL)
			out_of_memory();
		for (int i = 0; i < attr->nsubs; i++)
		{
			const ScimAttr *sub = attr->subs[i];
			const json_t *value;

			if (!is_managed(view, sub))
				continue;
			value = value_by_rules(view, sub, from, to);
			if (value == NULL)
				json_object_del(merged, sub->name);
			else if (json_object_set(merged, sub->name, unconstify(json_t *, value)) != 0)
				out_of_memory();
		}
		return json_object_size(merged) > 0 ? merged : NULL;
	}
	return new;
}

const char *
scim_apply_rules(const ScimSyncView *view, const json_t *from, const char *to)
{
	ScimCoreFrame frame;
	json_t	   *document;
	char	   *text;
	size_t		len;

	if (!view->has_rules)
		return to;
	scim_core_enter(&frame);
	document = scim_document_parse(to);
	for (int i = 0; i < view->type->ntop; i++)
	{
		const ScimAttr *attr = view->type->top[i];

		if (is_managed(view, attr))
			scim_document_put(view->type, document, attr, value_by_rules(view, attr, from, document));
	}
	text = scim_json_print(document, &len);
	scim_core_leave(&frame);
	if (text == NULL)
		out_of_memory();
	return text;
}

/* ---- PUT ---- */

static void
overlay_attr(const ScimSyncView *view, json_t *resource, const json_t *wanted, const ScimAttr *attr)
{
	const json_t *current = scim_document_value(view->type, resource, attr);
	const json_t *value = value_by_rules(view, attr, resource, wanted);

	if (!is_managed(view, attr) || value == current)
		return;
	if (attr->multi && view->style.types[attr->ord] != NIL)
		value = overlay_list(view->style.types[attr->ord], current, value, true, false);
	else if (attr->type == SCIM_TYPE_COMPLEX && !attr->multi && json_is_object(current))
	{
		/* sub-attributes that the mapping lacks stay */
		json_t	   *merged = json_copy(unconstify(json_t *, current));

		if (merged == NULL)
			out_of_memory();
		for (int i = 0; i < attr->nsubs; i++)
			if (is_managed(view, attr->subs[i]))
				json_object_del(merged, attr->subs[i]->name);
		if (value && json_object_update(merged, unconstify(json_t *, value)) != 0)
			out_of_memory();
		value = json_object_size(merged) > 0 ? merged : NULL;
	}
	scim_document_put(view->type, resource, attr, value);
}

char *
scim_overlay(const ScimSyncView *view, const json_t *current, const char *wanted)
{
	ScimCoreFrame frame;
	json_t	   *resource;
	json_t	   *document;
	const json_t *active;
	char	   *text;
	size_t		len;

	scim_core_enter(&frame);
	document = scim_document_parse(wanted);
	resource = json_copy(unconstify(json_t *, current));
	if (resource == NULL)
		out_of_memory();
	json_object_del(resource, "meta");
	for (int i = 0; i < view->type->ntop; i++)
		overlay_attr(view, resource, document, view->type->top[i]);
	/* what disables and reactivates says so, also where the mapping does not */
	active = json_object_get(document, "active");
	if (!view->active_mapped && json_is_boolean(active))
		json_object_set(resource, "active", unconstify(json_t *, active));
	text = scim_json_print(resource, &len);
	scim_core_leave(&frame);
	if (text == NULL)
		out_of_memory();
	return text;
}
