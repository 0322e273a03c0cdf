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
 * One function per kind of target, after the matrix of section 31:
 *
 *	apply_schemas()		`schemas`, which follows from the data
 *	apply_member()		an attribute in the object that holds it: a singular
 *						attribute, or a sub-attribute of one value
 *	apply_sub()			a sub-attribute of a singular complex attribute
 *	apply_multi()		all values of a multi-valued attribute
 *	apply_selected()	the values that a filter selects, or (emails.type) each
 *
 * Mutability is decided where a value would change: readOnly never, immutable
 * while it has no value.  Required attributes and `schemas` are judged on the
 * final state, two primaries after each operation.
 */
#include "core_patch_internal.h"

#include <string.h>

typedef struct Apply
{
	const ScimResourceType *type;
	ScimMode	mode;
	ScimReport *report;
	ScimError  *err;
	const json_t *before;
	json_t	   *after;
	const ScimPatchOp *op;		/* the operation at work */
	int		   *unassigned;		/* by ord: index + 1 of the operation that did it */
	bool	   *owned;			/* by ord: the array in "after" is not shared */
	ScimMultiSet set;			/* the values of set_attr, while only add touches it */
	const ScimAttr *set_attr;
} Apply;

static bool apply_member(Apply *a, json_t *holder, ScimAttr *attr, ScimPatchKind kind, const json_t *value);

static bool
out_of_memory(Apply *a)
{
	return scim_fail_memory(a->err);
}

static bool
unassigned(const json_t *value)
{
	return value == NULL || scim_json_unassigned(value);
}

static bool
refuse(Apply *a, const ScimAttr *attr, const char *scim_type, const char *text)
{
	return scim_patch_fail(a->err, a->type, a->op->index, attr, 400, scim_type, "%s", text);
}

static bool
immutable_changed(Apply *a, const ScimAttr *attr)
{
	return refuse(a, attr, SCIM_MUTABILITY, "the attribute is immutable and has a value");
}

/* A new object with the same members; jansson's own copy hides lack of memory. */
static json_t *
copy_object(const json_t *object)
{
	json_t	   *copy = scim_json_object();
	const char *key;
	json_t	   *value;

	if (copy == NULL)
		return NULL;
	json_object_foreach((json_t *) object, key, value)
	{
		if (json_object_set_nocheck(copy, key, value) != 0)
			return NULL;
	}
	return copy;
}

static json_t *
copy_array(const json_t *array)
{
	json_t	   *copy = json_array();
	size_t		i;

	if (copy == NULL)
		return NULL;
	for (i = 0; i < json_array_size(array); i++)
	{
		if (json_array_append(copy, json_array_get(array, i)) != 0)
			return NULL;
	}
	return copy;
}

static json_t *
wanted(Apply *a, ScimAttr *attr, const json_t *value)
{
	return scim_patch_wanted(a->type, a->op, attr, value, a->mode, a->report, a->err);
}

static const ScimAttr *
primary_of(const ScimAttr *attr)
{
	const ScimAttr *primary;

	if (attr->type != SCIM_TYPE_COMPLEX)
		return NULL;
	primary = scim_attr_sub(attr, "primary", strlen("primary"));
	return primary != NULL && primary->type == SCIM_TYPE_BOOLEAN ? primary : NULL;
}

static bool
is_primary(const ScimAttr *primary, const json_t *value)
{
	return primary != NULL && json_is_true(json_object_get(value, primary->name));
}

/*
 * The object that holds attributes of "ext" in the state after, not shared
 * with the state before.  NULL in *part: there is none and "create" is false.
 */
static bool
own_part(Apply *a, int ext, bool create, json_t **part)
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
			current = copy_object(current);
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

/* Does a complex value hold anything that a client could have put there? */
static bool
has_writable(const ScimAttr *attr, const json_t *object)
{
	int			i;

	for (i = 0; i < attr->nsubs; i++)
	{
		if (attr->subs[i]->mutability != SCIM_READ_ONLY &&
			!unassigned(json_object_get(object, attr->subs[i]->name)))
			return true;
	}
	return false;
}

/* Removes an attribute from the object that holds it. */
static bool
unassign(Apply *a, json_t *holder, const ScimAttr *attr)
{
	const json_t *old = json_object_get(holder, attr->name);
	int			i;

	if (old == NULL)
		return true;
	if (!unassigned(old))
	{
		if (attr->mutability == SCIM_IMMUTABLE)
			return immutable_changed(a, attr);
		if (attr->type == SCIM_TYPE_COMPLEX && !attr->multi)
		{
			for (i = 0; i < attr->nsubs; i++)
			{
				if (attr->subs[i]->mutability == SCIM_IMMUTABLE &&
					!unassigned(json_object_get(old, attr->subs[i]->name)))
					return immutable_changed(a, attr->subs[i]);
			}
		}
	}
	if (a->unassigned[attr->ord] == 0)
		a->unassigned[attr->ord] = a->op->index + 1;
	json_object_del(holder, attr->name);
	return true;
}

/* Puts a normalised value (a new reference) in place. */
static bool
assign(Apply *a, json_t *holder, const ScimAttr *attr, json_t *value)
{
	const json_t *old = json_object_get(holder, attr->name);

	if (attr->mutability == SCIM_IMMUTABLE && !unassigned(old) && !scim_value_same(attr, old, value))
		return immutable_changed(a, attr);
	if (json_object_set_new_nocheck(holder, attr->name, value) != 0)
		return out_of_memory(a);
	return true;
}

/*
 * A value for a complex attribute that is to be merged: still with its nulls,
 * because a null member unassigns.  NULL: it is no object (error given).
 */
static const json_t *
object_given(Apply *a, ScimAttr *attr, const json_t *value)
{
	json_t	   *object;

	if (a->mode == SCIM_COMPAT && json_is_array(value) && json_array_size(value) == 1)
	{
		scim_report_add(a->report, "array_of_one");
		value = json_array_get(value, 0);
	}
	if (json_is_object(value))
		return value;
	if (a->mode == SCIM_COMPAT && !attr->multi && json_is_string(value) &&
		scim_attr_sub(attr, "value", strlen("value")) != NULL)
	{
		scim_report_add(a->report, "manager_string");
		object = scim_json_object();
		if (object == NULL || json_object_set_nocheck(object, "value", (json_t *) value) != 0)
		{
			out_of_memory(a);
			return NULL;
		}
		return object;
	}
	refuse(a, attr, SCIM_INVALID_VALUE, "the value must be an object");
	return NULL;
}

/* Merges the given sub-attributes into a value that is not shared. */
static bool
merge_object(Apply *a, json_t *target, ScimAttr *attr, ScimPatchKind kind, const json_t *object)
{
	const char *key;
	json_t	   *value;
	char		safe[SCIM_SAFE_NAME_SIZE];

	json_object_foreach((json_t *) object, key, value)
	{
		ScimAttr   *sub = scim_attr_sub(attr, key, strlen(key));

		if (sub == NULL)
		{
			if (a->mode == SCIM_STRICT)
				return scim_patch_fail(a->err, a->type, a->op->index, attr, 400, SCIM_INVALID_SYNTAX,
									   "the attribute has no sub-attribute \"%s\"",
									   scim_safe_name(key, safe, sizeof(safe)));
			if (a->report != NULL)
				a->report->ignored++;
			continue;
		}
		if (sub->mutability == SCIM_READ_ONLY)
		{
			/* A-18; with an explicit path a client may repeat what it read. */
			if (a->mode == SCIM_STRICT && a->op->from_pathless)
				return refuse(a, sub, SCIM_MUTABILITY, "the attribute is readOnly");
			if (a->report != NULL)
				a->report->ignored++;
			continue;
		}
		if (!apply_member(a, target, sub, kind, value))
			return false;
	}
	return true;
}

/* add and replace of a sub-attribute that is a list itself. */
static bool
member_list(Apply *a, json_t *holder, ScimAttr *attr, ScimPatchKind kind, json_t *values)
{
	const json_t *old = json_object_get(holder, attr->name);
	json_t	   *list;
	ScimMultiSet set;
	size_t		i;
	uint64_t	hash;
	int			found;

	if (kind == SCIM_PATCH_REPLACE || !json_is_array(old))
		return assign(a, holder, attr, values);
	list = copy_array(old);
	if (list == NULL)
		return out_of_memory(a);
	scim_multi_init(&set, attr, false);
	if (!scim_multi_add_all(&set, old, a->err))
		return false;
	for (i = 0; i < json_array_size(values); i++)
	{
		found = scim_multi_find(&set, json_array_get(values, i), &hash, a->err);
		if (found == -2)
			return false;
		if (found == -1 && json_array_append(list, json_array_get(values, i)) != 0)
			return out_of_memory(a);
	}
	return assign(a, holder, attr, list);
}

/*
 * One attribute in "holder", which is not shared: a singular attribute in its
 * resource or extension, or a sub-attribute in its value.
 */
static bool
apply_member(Apply *a, json_t *holder, ScimAttr *attr, ScimPatchKind kind, const json_t *value)
{
	const json_t *old = json_object_get(holder, attr->name);
	const json_t *object;
	json_t	   *merged;
	json_t	   *new_value;

	if (kind == SCIM_PATCH_REMOVE || json_is_null(value))
	{
		if (attr->multi && kind == SCIM_PATCH_ADD)
			return true;
		return unassign(a, holder, attr);
	}

	if (attr->type == SCIM_TYPE_COMPLEX && !attr->multi)
	{
		object = object_given(a, attr, value);
		if (object == NULL)
			return false;
		merged = json_is_object(old) ? copy_object(old) : scim_json_object();
		if (merged == NULL)
			return out_of_memory(a);
		if (!merge_object(a, merged, attr, kind, object))
			return false;
		if (!has_writable(attr, merged))
			return unassign(a, holder, attr);
		return assign(a, holder, attr, merged);
	}

	new_value = wanted(a, attr, value);
	if (new_value == NULL)
		return false;
	if (attr->multi)
	{
		if (!json_is_null(new_value))
			return member_list(a, holder, attr, kind, new_value);
		return kind == SCIM_PATCH_ADD || unassign(a, holder, attr);
	}
	if (json_is_null(new_value))
		return unassign(a, holder, attr);
	return assign(a, holder, attr, new_value);
}

/* name.givenName: the parent comes into being, and goes with its last sub-attribute. */
static bool
apply_sub(Apply *a, json_t *part, ScimAttr *attr, ScimAttr *sub)
{
	const json_t *old = json_object_get(part, attr->name);
	json_t	   *object;

	if (!json_is_object(old) && a->op->kind == SCIM_PATCH_REMOVE)
		return true;
	object = json_is_object(old) ? copy_object(old) : scim_json_object();
	if (object == NULL)
		return out_of_memory(a);
	if (!apply_member(a, object, sub, a->op->kind, a->op->value))
		return false;
	if (!has_writable(attr, object))
		return unassign(a, part, attr);
	return assign(a, part, attr, object);
}

/*
 * `schemas` says what is there and is made right at the end; an operation on
 * it can only be well-formed or wrong (R-7644-3.5.2-19).
 */
static bool
apply_schemas(Apply *a)
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
			return refuse(a, attr, SCIM_MUTABILITY, "the attribute is required");
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
				return refuse(a, attr, SCIM_MUTABILITY, "the core schema cannot be removed");
		}
		return true;
	}
	if (op->path->filter != NULL)
		return refuse(a, attr, SCIM_MUTABILITY, "the values are those of the resource type");
	if (unassigned(op->value))
		return op->kind == SCIM_PATCH_ADD ||
			refuse(a, attr, SCIM_MUTABILITY, "the attribute is required");
	list = scim_patch_as_array(op->value);
	if (list == NULL)
		return out_of_memory(a);
	for (i = 0; i < json_array_size(list); i++)
	{
		const json_t *uri = json_array_get(list, i);

		if (!json_is_string(uri) || json_string_length(uri) == 0 ||
			scim_type_match_uri(a->type, json_string_value(uri), json_string_length(uri), &ext) !=
			json_string_length(uri))
			return refuse(a, attr, SCIM_INVALID_VALUE, "the values must be schema URIs of the resource type");
		if (ext == SCIM_EXT_CORE)
			core = true;
	}
	if (op->kind == SCIM_PATCH_REPLACE && !core)
		return refuse(a, attr, SCIM_MUTABILITY, "the core schema cannot be removed");
	return true;
}

/*
 * Setting primary true resets it on the other values (RFC 7644 3.5.2).  "set"
 * marks the values on which the operation set it: more than one is an error.
 * "array" is not shared, its elements may be.
 */
static bool
settle_primary(Apply *a, const ScimAttr *attr, json_t *array, const bool *set)
{
	const ScimAttr *primary = primary_of(attr);
	size_t		n = json_array_size(array);
	size_t		i;
	int			count = 0;
	json_t	   *copy;

	if (primary == NULL)
		return true;
	for (i = 0; i < n; i++)
	{
		if (set[i] && is_primary(primary, json_array_get(array, i)))
			count++;
	}
	if (count == 0)
		return true;
	if (count > 1)
		return refuse(a, attr, SCIM_INVALID_VALUE, "more than one value would be primary");
	for (i = 0; i < n; i++)
	{
		const json_t *element = json_array_get(array, i);

		if (set[i] || !is_primary(primary, element))
			continue;
		copy = copy_object(element);
		if (copy == NULL || json_object_set_new_nocheck(copy, primary->name, json_false()) != 0 ||
			json_array_set_new(array, i, copy) != 0)
			return out_of_memory(a);
	}
	return true;
}

/*
 * Adds what is given to an identical value that is there already: gaps are
 * filled, other sub-attributes replaced.  Values of a reference list and the
 * identity itself stay as they are (R-7644-3.5.2.1-11, A-38).
 */
static bool
merge_identical(Apply *a, const ScimAttr *attr, json_t *array, size_t i, const json_t *given, bool *changed)
{
	const json_t *old = json_array_get(array, i);
	json_t	   *copy = NULL;
	int			j;

	*changed = false;
	if (attr->type != SCIM_TYPE_COMPLEX || scim_multi_is_reference(attr) || !json_is_object(old))
		return true;
	for (j = 0; j < attr->nsubs; j++)
	{
		const ScimAttr *sub = attr->subs[j];
		json_t	   *value = json_object_get(given, sub->name);
		json_t	   *was = json_object_get(old, sub->name);

		if (value == NULL || scim_value_same(sub, was, value))
			continue;
		if (!unassigned(was) &&
			(scim_name_eq(sub->name, strlen(sub->name), "value") ||
			 scim_name_eq(sub->name, strlen(sub->name), "type")))
			continue;
		if (!unassigned(was) && sub->mutability == SCIM_IMMUTABLE)
			return immutable_changed(a, sub);
		if (copy == NULL)
		{
			copy = copy_object(old);
			if (copy == NULL || json_array_set_new(array, i, copy) != 0)
				return out_of_memory(a);
			old = copy;			/* the former one may be gone */
		}
		if (json_object_set_nocheck(copy, sub->name, value) != 0)
			return out_of_memory(a);
	}
	*changed = copy != NULL;
	return true;
}

/* The array of "attr" in "part" as one that may be modified; made where missing. */
static json_t *
own_array(Apply *a, json_t *part, const ScimAttr *attr)
{
	json_t	   *array = json_object_get(part, attr->name);

	if (json_is_array(array) && a->owned[attr->ord])
		return array;
	array = json_is_array(array) ? copy_array(array) : json_array();
	if (array == NULL || json_object_set_new_nocheck(part, attr->name, array) != 0)
	{
		out_of_memory(a);
		return NULL;
	}
	a->owned[attr->ord] = true;
	return array;
}

/* Appends to "array" what is not there yet. */
static bool
append_values(Apply *a, json_t *part, ScimAttr *attr, const json_t *values)
{
	const ScimAttr *primary = primary_of(attr);
	json_t	   *array;
	bool	   *set;
	bool		any_primary = false;
	size_t		i;
	uint64_t	hash;

	if (attr->mutability == SCIM_IMMUTABLE && !unassigned(json_object_get(part, attr->name)))
	{
		ScimMultiSet old;

		scim_multi_init(&old, attr, false);
		if (!scim_multi_add_all(&old, json_object_get(part, attr->name), a->err))
			return false;
		for (i = 0; i < json_array_size(values); i++)
		{
			int			found = scim_multi_find(&old, json_array_get(values, i), &hash, a->err);

			if (found == -2)
				return false;
			if (found == -1)
				return immutable_changed(a, attr);
		}
		return true;
	}

	array = own_array(a, part, attr);
	if (array == NULL)
		return false;
	if (a->set_attr != attr)
	{
		/* Kept for the next operation: a thousand adds cost one set. */
		a->set_attr = NULL;
		scim_multi_init(&a->set, attr, false);
		if (!scim_multi_add_all(&a->set, array, a->err))
			return false;
		a->set_attr = attr;
	}
	for (i = 0; i < json_array_size(values) && !any_primary; i++)
		any_primary = is_primary(primary, json_array_get(values, i));
	set = any_primary ? scim_alloc0(json_array_size(array) + json_array_size(values)) : NULL;
	if (any_primary && set == NULL)
		return out_of_memory(a);

	for (i = 0; i < json_array_size(values); i++)
	{
		json_t	   *value = json_array_get(values, i);
		int			found = scim_multi_find(&a->set, value, &hash, a->err);
		bool		changed;

		if (found == -2)
			return false;
		if (found >= 0)
		{
			if (!merge_identical(a, attr, array, (size_t) found, value, &changed))
				return false;
			if (changed)
				scim_multi_replace(&a->set, found, json_array_get(array, (size_t) found));
		}
		else
		{
			found = (int) json_array_size(array);
			if (json_array_append(array, value) != 0)
				return out_of_memory(a);
			if (!scim_multi_add(&a->set, value, hash, a->err))
				return false;
		}
		if (any_primary && is_primary(primary, value))
			set[found] = true;
	}
	if (!any_primary)
		return true;
	a->set_attr = NULL;
	return settle_primary(a, attr, array, set);
}

/* What the server derived of a value (readOnly sub-attributes) outlives its replacement. */
static bool
keep_derived(Apply *a, ScimAttr *attr, const json_t *old, json_t *values)
{
	ScimMultiSet set;
	bool		any = false;
	size_t		i;
	uint64_t	hash;
	int			j;

	for (j = 0; j < attr->nsubs && !any; j++)
		any = attr->subs[j]->mutability == SCIM_READ_ONLY;
	if (!any || !json_is_array(old))
		return true;
	scim_multi_init(&set, attr, false);
	if (!scim_multi_add_all(&set, old, a->err))
		return false;
	for (i = 0; i < json_array_size(values); i++)
	{
		json_t	   *value = json_array_get(values, i);
		int			found = scim_multi_find(&set, value, &hash, a->err);

		if (found == -2)
			return false;
		for (j = 0; found >= 0 && j < attr->nsubs; j++)
		{
			json_t	   *derived = json_object_get(json_array_get(old, (size_t) found), attr->subs[j]->name);

			if (attr->subs[j]->mutability == SCIM_READ_ONLY && derived != NULL &&
				json_object_set_nocheck(value, attr->subs[j]->name, derived) != 0)
				return out_of_memory(a);
		}
	}
	return true;
}

/* Compat: remove with a value list. */
static bool
remove_listed(Apply *a, json_t *part, ScimAttr *attr)
{
	const json_t *old = json_object_get(part, attr->name);
	const ScimAttr *type = NULL;
	json_t	   *listed;
	json_t	   *left;
	ScimMultiSet exact;
	ScimMultiSet by_value;
	uint64_t	hash;
	size_t		i;

	listed = scim_patch_listed(a->type, a->op, a->mode, a->report, a->err);
	if (listed == NULL)
		return false;
	if (!json_is_array(old))
		return true;
	if (attr->type == SCIM_TYPE_COMPLEX)
		type = scim_attr_sub(attr, "type", strlen("type"));

	/* An element that gives a value but no type names that value of any type. */
	scim_multi_init(&exact, attr, false);
	scim_multi_init(&by_value, attr, true);
	for (i = 0; i < json_array_size(listed); i++)
	{
		const json_t *one = json_array_get(listed, i);
		ScimMultiSet *set = &exact;

		if (type != NULL && json_object_get(one, type->name) == NULL && json_object_get(one, "value") != NULL)
			set = &by_value;
		if (scim_multi_find(set, one, &hash, a->err) == -2 || !scim_multi_add(set, one, hash, a->err))
			return false;
	}
	left = json_array();
	if (left == NULL)
		return out_of_memory(a);
	for (i = 0; i < json_array_size(old); i++)
	{
		json_t	   *value = json_array_get(old, i);
		int			found = scim_multi_find(&exact, value, &hash, a->err);

		if (found == -1 && by_value.nitems > 0)
			found = scim_multi_find(&by_value, value, &hash, a->err);
		if (found == -2)
			return false;
		if (found == -1 && json_array_append(left, value) != 0)
			return out_of_memory(a);
	}
	if (json_array_size(left) == json_array_size(old))
		return true;
	if (attr->mutability == SCIM_IMMUTABLE)
		return immutable_changed(a, attr);
	if (json_array_size(left) == 0)
		return unassign(a, part, attr);
	if (json_object_set_new_nocheck(part, attr->name, left) != 0)
		return out_of_memory(a);
	a->owned[attr->ord] = true;
	return true;
}

/* A multi-valued attribute as a whole. */
static bool
apply_multi(Apply *a, json_t *part, ScimAttr *attr)
{
	json_t	   *values;

	if (a->op->kind != SCIM_PATCH_ADD)
		a->set_attr = NULL;
	if (a->op->kind == SCIM_PATCH_REMOVE)
	{
		if (a->op->listed_only)
			return remove_listed(a, part, attr);
		return unassign(a, part, attr);
	}
	values = wanted(a, attr, a->op->value);
	if (values == NULL)
		return false;
	if (json_is_null(values))
		return a->op->kind == SCIM_PATCH_ADD || unassign(a, part, attr);
	if (a->op->kind == SCIM_PATCH_ADD)
		return append_values(a, part, attr, values);
	if (!keep_derived(a, attr, json_object_get(part, attr->name), values) || !assign(a, part, attr, values))
		return false;
	a->owned[attr->ord] = true;
	return true;
}

/*
 * replace of a selected value: replaced whole, except for what the
 * client cannot give (readOnly) or cannot take away (immutable).
 */
static json_t *
replace_whole(Apply *a, ScimAttr *attr, const json_t *old, const json_t *given)
{
	json_t	   *value = copy_object(given);
	int			i;

	if (value == NULL)
	{
		out_of_memory(a);
		return NULL;
	}
	for (i = 0; i < attr->nsubs; i++)
	{
		const ScimAttr *sub = attr->subs[i];
		json_t	   *was = json_object_get(old, sub->name);
		json_t	   *now = json_object_get(value, sub->name);

		if (unassigned(was) || (sub->mutability != SCIM_READ_ONLY && sub->mutability != SCIM_IMMUTABLE))
			continue;
		if (now != NULL && !scim_value_same(sub, was, now))
		{
			immutable_changed(a, sub);
			return NULL;
		}
		if (now == NULL && json_object_set_nocheck(value, sub->name, was) != 0)
		{
			out_of_memory(a);
			return NULL;
		}
	}
	return value;
}

/*
 * A value path that selects nothing: a value is made from the equality terms
 * of its filter, or there is no target.
 */
static bool
create_value(Apply *a, json_t *part, ScimAttr *attr)
{
	const ScimPath *path = a->op->path;
	const json_t *given;
	json_t	   *value;
	json_t	   *list;

	if (path->filter == NULL || !a->op->may_create)
		return refuse(a, attr, SCIM_NO_TARGET, "the path selects no value");
	if (unassigned(a->op->value))
	{
		/* There is nothing to unassign, and nothing worth making. */
		if (a->mode == SCIM_COMPAT || a->op->kind == SCIM_PATCH_ADD)
			return true;
		return refuse(a, attr, SCIM_NO_TARGET, "the path selects no value");
	}
	value = scim_json_object();
	if (value == NULL)
		return out_of_memory(a);
	if (!scim_filter_template(path->filter, value) || !scim_filter_eval_value(path->filter, value))
		return refuse(a, attr, SCIM_NO_TARGET, "the path selects no value, and its filter does not describe one");
	if (a->op->kind == SCIM_PATCH_REPLACE)
		scim_report_add(a->report, "create_from_filter");

	if (path->sub != NULL)
	{
		if (!apply_member(a, value, path->sub, a->op->kind, a->op->value))
			return false;
	}
	else
	{
		given = object_given(a, attr, a->op->value);
		if (given == NULL || !merge_object(a, value, attr, a->op->kind, given))
			return false;
	}
	list = json_array();
	if (list == NULL || json_array_append_new(list, value) != 0)
		return out_of_memory(a);
	list = wanted(a, attr, list);
	if (list == NULL)
		return false;
	return json_is_null(list) || append_values(a, part, attr, list);
}

/* Values selected by a filter, or every value for a path such as emails.type. */
static bool
apply_selected(Apply *a, json_t *part, ScimAttr *attr)
{
	const ScimPatchOp *op = a->op;
	const ScimPath *path = op->path;
	const ScimAttr *primary = primary_of(attr);
	const json_t *old = part == NULL ? NULL : json_object_get(part, attr->name);
	const json_t *given = NULL;
	const char *key;
	size_t		n = json_is_array(old) ? json_array_size(old) : 0;
	size_t		i;
	size_t		matches = 0;
	bool		sets_primary = false;
	bool	   *set;
	json_t	   *array;
	json_t	   *element;

	array = json_array();
	set = scim_alloc0(n + 1);
	if (array == NULL || set == NULL)
		return out_of_memory(a);
	for (i = 0; i < n; i++)
	{
		if (path->filter == NULL || scim_filter_eval_value(path->filter, json_array_get(old, i)))
		{
			set[i] = true;
			matches++;
		}
	}
	if (matches == 0)
	{
		if (op->kind == SCIM_PATCH_REMOVE)
			return true;
		return create_value(a, part, attr);
	}
	a->set_attr = NULL;
	if (attr->mutability == SCIM_IMMUTABLE && path->sub == NULL && op->kind == SCIM_PATCH_REMOVE)
		return immutable_changed(a, attr);

	/* The value of an operation on whole values is judged once, not for each. */
	if (path->sub == NULL && op->kind != SCIM_PATCH_REMOVE && !json_is_null(op->value))
	{
		given = op->value;
		if (attr->type == SCIM_TYPE_COMPLEX)
		{
			given = object_given(a, attr, given);
			if (given == NULL)
				return false;
		}
		else if (json_is_array(given))
		{
			if (a->mode == SCIM_STRICT || json_array_size(given) != 1)
				return refuse(a, attr, SCIM_INVALID_VALUE, "the value of a selected value must not be an array");
			scim_report_add(a->report, "array_of_one");
			given = json_array_get(given, 0);
		}
		if (op->kind == SCIM_PATCH_REPLACE || attr->type != SCIM_TYPE_COMPLEX)
		{
			json_t	   *list = wanted(a, attr, given);

			if (list == NULL)
				return false;
			given = json_is_null(list) ? NULL : json_array_get(list, 0);
		}
	}

	for (i = 0; i < n; i++)
	{
		element = json_array_get(old, i);
		if (!set[i])
		{
			element = json_incref(element);
		}
		else if (path->sub != NULL)
		{
			element = json_is_object(element) ? copy_object(element) : scim_json_object();
			if (element == NULL)
				return out_of_memory(a);
			if (!apply_member(a, element, path->sub, op->kind, op->value))
				return false;
			if (scim_json_unassigned(element))
				continue;
		}
		else if (given == NULL)
		{
			/* remove; replace by null.  Nothing given to add is no change. */
			if (op->kind != SCIM_PATCH_ADD)
				continue;
			element = json_incref(element);
		}
		else if (attr->type != SCIM_TYPE_COMPLEX)
			element = json_incref((json_t *) given);
		else if (op->kind == SCIM_PATCH_REPLACE)
		{
			element = replace_whole(a, attr, element, given);
			if (element == NULL)
				return false;
		}
		else
		{
			element = json_is_object(element) ? copy_object(element) : scim_json_object();
			if (element == NULL)
				return out_of_memory(a);
			if (!merge_object(a, element, attr, op->kind, given))
				return false;
		}
		set[json_array_size(array)] = set[i];
		if (json_array_append_new(array, element) != 0)
			return out_of_memory(a);
	}

	if (primary != NULL)
	{
		if (path->sub != NULL)
			sets_primary = path->sub == primary && op->kind != SCIM_PATCH_REMOVE;
		else if (json_is_object(given))
			sets_primary = scim_json_get(given, primary->name, &key) != NULL;
	}
	if (sets_primary && !settle_primary(a, attr, array, set))
		return false;
	if (json_array_size(array) == 0)
		return unassign(a, part, attr);
	if (!assign(a, part, attr, array))
		return false;
	a->owned[attr->ord] = true;
	return true;
}

static bool
apply_op(Apply *a)
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
		return refuse(a, path->sub != NULL ? path->sub : attr, SCIM_MUTABILITY, "the attribute is readOnly");
	}
	if (!own_part(a, attr->ext, a->op->kind != SCIM_PATCH_REMOVE, &part))
		return false;
	if (part == NULL)
		return true;

	if (attr->multi)
		ok = path->filter != NULL || path->sub != NULL ? apply_selected(a, part, attr) :
			apply_multi(a, part, attr);
	else if (path->sub != NULL)
		ok = apply_sub(a, part, attr, path->sub);
	else
		ok = apply_member(a, part, attr, a->op->kind, a->op->value);

	if (ok && attr->ext != SCIM_EXT_CORE && json_object_size(part) == 0)
		json_object_del(a->after, a->type->exts[attr->ext].schema->uri);
	return ok;
}

/* A required attribute that an operation took away is that operation's error. */
static bool
check_unassigned(Apply *a)
{
	int			i;

	for (i = 0; i < a->type->ntop; i++)
	{
		const ScimAttr *attr = a->type->top[i];
		const json_t *part;

		if (!attr->required || attr->common || a->unassigned[attr->ord] == 0)
			continue;
		part = scim_resource_part(a->type, a->after, attr->ext);
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
compare_states(Apply *a, bool *changed)
{
	int			i;
	bool		same;

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
		if (before == after)
			continue;
		if (!scim_multi_same(attr, before, after, &same, a->err))
			return false;
		if (!same)
		{
			*changed = true;
			return true;
		}
	}
	return true;
}

static json_t *
patch_apply(Apply *a, const ScimPatch *patch, bool *changed)
{
	int			i;

	a->after = copy_object(a->before);
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
	if (!check_unassigned(a) || !scim_resource_check(a->type, a->after, a->err) ||
		!compare_states(a, changed))
		return NULL;
	return a->after;
}

json_t *
scim_patch_apply(const ScimResourceType *type, const ScimPatch *patch,
				 const json_t *resource, ScimMode mode, bool *changed,
				 ScimReport *report, ScimError *err)
{
	ScimCoreFrame frame;
	Apply		a;
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
