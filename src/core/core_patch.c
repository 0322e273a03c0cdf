/*
 * core_patch.c
 *		The PATCH engine (RFC 7644 3.5.2; requirements sections 16 and 31):
 *		operations with paths, in order, on a copy of a resource.
 *
 * The copy is made where something changes: the resource's own members, the
 * extension, the array, the value.  What no operation touches is shared with
 * the resource before, which also makes it cheap to see that it is the same.
 * Nothing reachable from the resource before is ever modified.
 *
 * Here an operation finds its place and the outcome is judged; what happens
 * to single attributes is in core_patch_member.c, to lists of values in
 * core_patch_multi.c.
 *
 * Mutability is decided where a value would change: readOnly never, immutable
 * while it has no value.  Required attributes and `schemas` are judged on the
 * final state, two primaries after each operation.
 */
#include "core_patch_internal.h"

#include <string.h>

static bool
out_of_memory(ScimPatchApply *a)
{
	return scim_fail_memory(a->err);
}

static bool
unassigned(const json_t *value)
{
	return value == NULL || scim_json_unassigned(value);
}

/*
 * The object that holds attributes of "ext" in the state after, not shared
 * with the state before.  NULL in *part: there is none and "create" is false.
 */
static bool
own_part(ScimPatchApply *a, int ext, bool create, json_t **part)
{
	const char *uri;
	json_t	   *current;

	*part = a->after;
	if (ext == SCIM_EXT_CORE)
		return true;
	uri = a->type->exts[ext].schema->uri;
	current = json_object_get(a->after, uri);
	if (json_is_object(current))
	{
		if (current == json_object_get(a->before, uri))
		{
			current = scim_patch_copy_object(current);
			if (current == NULL || json_object_set_new_nocheck(a->after, uri, current) != 0)
				return out_of_memory(a);
		}
		*part = current;
		return true;
	}
	*part = NULL;
	if (!create)
		return true;
	current = scim_json_object();
	if (current == NULL || json_object_set_new_nocheck(a->after, uri, current) != 0)
		return out_of_memory(a);
	*part = current;
	return true;
}

/*
 * `schemas` says what is there and is made right at the end; an operation on
 * it can only be well-formed or wrong (R-7644-3.5.2-19).
 */
static bool
apply_schemas(ScimPatchApply *a)
{
	const ScimPatchOp *op = a->op;
	const ScimAttr *attr = op->path->attr;
	const json_t *list;
	bool		core = false;
	size_t		i;
	int			ext;

	if (op->kind == SCIM_PATCH_REMOVE)
	{
		if (op->path->filter == NULL && !op->listed_only)
			return scim_patch_refuse(a, attr, SCIM_MUTABILITY, "the attribute is required");
		list = op->listed_only ? scim_patch_as_array(op->value) : json_object_get(a->after, attr->name);
		if (list == NULL)
			return op->listed_only ? out_of_memory(a) : true;
		for (i = 0; i < json_array_size(list); i++)
		{
			const json_t *uri = json_array_get(list, i);

			if (!json_is_string(uri) ||
				(op->path->filter != NULL && !scim_filter_eval_value(op->path->filter, uri)))
				continue;
			if (scim_name_eq(json_string_value(uri), json_string_length(uri), a->type->schema->uri))
				return scim_patch_refuse(a, attr, SCIM_MUTABILITY, "the core schema cannot be removed");
		}
		return true;
	}
	if (op->path->filter != NULL)
		return scim_patch_refuse(a, attr, SCIM_MUTABILITY, "the values are those of the resource type");
	if (unassigned(op->value))
		return op->kind == SCIM_PATCH_ADD ||
			scim_patch_refuse(a, attr, SCIM_MUTABILITY, "the attribute is required");
	list = scim_patch_as_array(op->value);
	if (list == NULL)
		return out_of_memory(a);
	for (i = 0; i < json_array_size(list); i++)
	{
		const json_t *uri = json_array_get(list, i);

		if (!json_is_string(uri) || json_string_length(uri) == 0 ||
			scim_type_match_uri(a->type, json_string_value(uri), json_string_length(uri), &ext) !=
			json_string_length(uri))
			return scim_patch_refuse(a, attr, SCIM_INVALID_VALUE, "the values must be schema URIs of the resource type");
		if (ext == SCIM_EXT_CORE)
			core = true;
	}
	if (op->kind == SCIM_PATCH_REPLACE && !core)
		return scim_patch_refuse(a, attr, SCIM_MUTABILITY, "the core schema cannot be removed");
	return true;
}

static bool
apply_op(ScimPatchApply *a)
{
	const ScimPath *path = a->op->path;
	ScimAttr   *attr = path->attr;
	json_t	   *part;
	bool		ok;

	if (attr == a->type->a_schemas)
		return apply_schemas(a);
	if (attr->mutability == SCIM_READ_ONLY || (path->sub != NULL && path->sub->mutability == SCIM_READ_ONLY))
	{
		if (a->mode == SCIM_COMPAT && a->op->from_pathless)
			return true;
		return scim_patch_refuse(a, path->sub != NULL ? path->sub : attr, SCIM_MUTABILITY, "the attribute is readOnly");
	}
	if (!own_part(a, attr->ext, a->op->kind != SCIM_PATCH_REMOVE, &part))
		return false;
	if (part == NULL)
		return true;

	if (attr->multi)
		ok = path->filter != NULL || path->sub != NULL ? scim_patch_selected(a, part, attr) :
			scim_patch_multi(a, part, attr);
	else if (path->sub != NULL)
		ok = scim_patch_sub(a, part, attr, path->sub);
	else
		ok = scim_patch_member(a, part, attr, a->op->kind, a->op->value);

	if (ok && attr->ext != SCIM_EXT_CORE && json_object_size(part) == 0)
		json_object_del(a->after, a->type->exts[attr->ext].schema->uri);
	return ok;
}

/*
 * A required attribute that an operation took away is that operation's error,
 * and so is the last attribute of a required extension.
 */
static bool
check_unassigned(ScimPatchApply *a)
{
	int			i;

	for (i = 0; i < a->type->ntop; i++)
	{
		const ScimAttr *attr = a->type->top[i];
		const json_t *part;

		if (a->unassigned[attr->ord] == 0)
			continue;
		part = scim_resource_part(a->type, a->after, attr->ext);
		if (attr->ext != SCIM_EXT_CORE && a->type->exts[attr->ext].required && (part == NULL || json_object_size(part) == 0))
			return scim_patch_fail(a->err, a->type, a->unassigned[attr->ord] - 1, attr, 400, SCIM_MUTABILITY,
								   "the extension is required");
		if (!attr->required)
			continue;
		if (part == NULL || scim_json_unassigned(part))
		{
			/* An extension that is gone altogether requires nothing. */
			if (attr->ext != SCIM_EXT_CORE && !a->type->exts[attr->ext].required)
				continue;
		}
		if (part == NULL || unassigned(json_object_get(part, attr->name)))
			return scim_patch_fail(a->err, a->type, a->unassigned[attr->ord] - 1, attr, 400, SCIM_MUTABILITY,
								   "the attribute is required");
	}
	return true;
}

/* Does the state differ?  Derived attributes do not count. */
static bool
state_differs(ScimPatchApply *a)
{
	int			i;

	for (i = 0; i < a->type->ntop; i++)
	{
		const ScimAttr *attr = a->type->top[i];
		const json_t *before;
		const json_t *after;

		if (attr->mutability == SCIM_READ_ONLY || attr == a->type->a_schemas)
			continue;
		before = scim_resource_part(a->type, a->before, attr->ext);
		after = scim_resource_part(a->type, a->after, attr->ext);
		before = before == NULL ? NULL : json_object_get(before, attr->name);
		after = after == NULL ? NULL : json_object_get(after, attr->name);
		if (!scim_value_same(attr, before, after))
			return true;
	}
	return false;
}

/* About the length of a value's JSON text. */
static size_t
text_size(const json_t *value, int depth)
{
	const char *key;
	json_t	   *member;
	size_t		size = 2;
	size_t		i;

	if (depth > SCIM_JSON_MAX_DEPTH)
		return size;
	if (json_is_string(value))
		return size + json_string_length(value);
	for (i = 0; i < json_array_size(value); i++)
		size += 1 + text_size(json_array_get(value, i), depth + 1);
	json_object_foreach((json_t *) value, key, member)
		size += strlen(key) + 4 + text_size(member, depth + 1);
	return size;
}

/*
 * Each request is bounded, their sum is not.  Multi-valued complex attributes
 * are left out: they live in relations of their own.
 */
static bool
check_size(ScimPatchApply *a)
{
	size_t		size = 0;
	int			i;

	for (i = 0; i < a->type->ntop; i++)
	{
		const ScimAttr *attr = a->type->top[i];
		const json_t *part = scim_resource_part(a->type, a->after, attr->ext);

		if (part != NULL && !(attr->multi && attr->type == SCIM_TYPE_COMPLEX))
			size += text_size(json_object_get(part, attr->name), 0);
	}
	if (size > SCIM_PATCH_MAX_RESOURCE)
		return scim_fail(a->err, 400, SCIM_INVALID_VALUE, "the resource would be larger than %d bytes",
						 SCIM_PATCH_MAX_RESOURCE);
	return true;
}

static json_t *
patch_apply(ScimPatchApply *a, const ScimPatch *patch, bool *changed)
{
	int			i;

	a->after = scim_patch_copy_object(a->before);
	a->unassigned = scim_alloc0(sizeof(*a->unassigned) * ((size_t) a->type->nattrs + 1));
	a->owned = scim_alloc0((size_t) a->type->nattrs + 1);
	if (a->after == NULL || a->unassigned == NULL || a->owned == NULL)
	{
		out_of_memory(a);
		return NULL;
	}
	for (i = 0; i < patch->nops; i++)
	{
		a->op = &patch->ops[i];
		if (!apply_op(a))
			return NULL;
	}
	if (!check_unassigned(a) || !scim_resource_check(a->type, a->after, a->err))
		return NULL;
	*changed = state_differs(a);
	if (*changed && !check_size(a))
		return NULL;
	if (scim_alloc_failed())
	{
		out_of_memory(a);
		return NULL;
	}
	return a->after;
}

json_t *
scim_patch_apply(const ScimResourceType *type, const ScimPatch *patch,
				 const json_t *resource, ScimMode mode, bool *changed,
				 ScimReport *report, ScimError *err)
{
	ScimCoreFrame frame;
	ScimPatchApply		a;
	json_t	   *result;

	memset(&a, 0, sizeof(a));
	a.type = type;
	a.mode = mode;
	a.report = report;
	a.err = err;
	a.before = resource;
	*changed = false;
	scim_core_enter(&frame);
	result = patch_apply(&a, patch, changed);
	scim_core_leave(&frame);
	return result;
}
