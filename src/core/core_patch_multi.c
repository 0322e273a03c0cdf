/*
 * core_patch_multi.c
 *		PATCH on the values of a multi-valued attribute: all of them, those that
 *		a filter selects, or (emails.type) each (section 31 of the requirements).
 *
 * Arrays are copied when an operation changes them, values when they change;
 * what stays the same is shared with the resource before.  At most one value
 * is primary: setting it resets the others (RFC 7644 3.5.2).  Consecutive adds
 * share one set of what is there, and so cost a look-up for each value.
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

static json_t *
wanted(ScimPatchApply *a, ScimAttr *attr, const json_t *value)
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
 * Setting primary true resets it on the other values (RFC 7644 3.5.2).  "set"
 * marks the values on which the operation set it: more than one is an error.
 * "array" is not shared, its elements may be.
 */
static bool
settle_primary(ScimPatchApply *a, const ScimAttr *attr, json_t *array, const bool *set)
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
		return scim_patch_refuse(a, attr, SCIM_INVALID_VALUE, "more than one value would be primary");
	for (i = 0; i < n; i++)
	{
		const json_t *element = json_array_get(array, i);

		if (set[i] || !is_primary(primary, element))
			continue;
		copy = scim_patch_copy_object(element);
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
merge_identical(ScimPatchApply *a, const ScimAttr *attr, json_t *array, size_t i, const json_t *given, bool *changed)
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
			return scim_patch_immutable(a, sub);
		if (copy == NULL)
		{
			copy = scim_patch_copy_object(old);
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
own_array(ScimPatchApply *a, json_t *part, const ScimAttr *attr)
{
	json_t	   *array = json_object_get(part, attr->name);

	if (json_is_array(array) && a->owned[attr->ord])
		return array;
	array = json_is_array(array) ? scim_patch_copy_array(array) : json_array();
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
append_values(ScimPatchApply *a, json_t *part, ScimAttr *attr, const json_t *values)
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
				return scim_patch_immutable(a, attr);
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
keep_derived(ScimPatchApply *a, ScimAttr *attr, const json_t *old, json_t *values)
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
remove_listed(ScimPatchApply *a, json_t *part, ScimAttr *attr)
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
		return scim_patch_immutable(a, attr);
	if (json_array_size(left) == 0)
		return scim_patch_unassign(a, part, attr);
	if (json_object_set_new_nocheck(part, attr->name, left) != 0)
		return out_of_memory(a);
	a->owned[attr->ord] = true;
	return true;
}

/* A multi-valued attribute as a whole. */
bool
scim_patch_multi(ScimPatchApply *a, json_t *part, ScimAttr *attr)
{
	json_t	   *values;

	if (a->op->kind != SCIM_PATCH_ADD)
		a->set_attr = NULL;
	if (a->op->kind == SCIM_PATCH_REMOVE)
	{
		if (a->op->listed_only)
			return remove_listed(a, part, attr);
		return scim_patch_unassign(a, part, attr);
	}
	values = wanted(a, attr, a->op->value);
	if (values == NULL)
		return false;
	if (json_is_null(values))
		return a->op->kind == SCIM_PATCH_ADD || scim_patch_unassign(a, part, attr);
	if (a->op->kind == SCIM_PATCH_ADD)
		return append_values(a, part, attr, values);
	if (!keep_derived(a, attr, json_object_get(part, attr->name), values) || !scim_patch_assign(a, part, attr, values))
		return false;
	a->owned[attr->ord] = true;
	return true;
}

/*
 * replace of a selected value: replaced whole, except for what the
 * client cannot give (readOnly) or cannot take away (immutable).
 */
static json_t *
replace_whole(ScimPatchApply *a, ScimAttr *attr, const json_t *old, const json_t *given)
{
	json_t	   *value = scim_patch_copy_object(given);
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
			scim_patch_immutable(a, sub);
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
create_value(ScimPatchApply *a, json_t *part, ScimAttr *attr)
{
	const ScimPath *path = a->op->path;
	const json_t *given;
	json_t	   *value;
	json_t	   *list;
	bool		described;

	if (path->filter == NULL || !a->op->may_create)
		return scim_patch_refuse(a, attr, SCIM_NO_TARGET, "the path selects no value");
	if (unassigned(a->op->value))
	{
		/* There is nothing to unassign, and nothing worth making. */
		if (a->mode == SCIM_COMPAT || a->op->kind == SCIM_PATCH_ADD)
			return true;
		return scim_patch_refuse(a, attr, SCIM_NO_TARGET, "the path selects no value");
	}
	value = scim_json_object();
	if (value == NULL)
		return out_of_memory(a);
	if (!scim_multi_describe(path->filter, value, &described, a->err))
		return false;
	if (!described)
		return scim_patch_refuse(a, attr, SCIM_NO_TARGET, "the path selects no value, and its filter does not describe one");
	if (a->op->kind == SCIM_PATCH_REPLACE)
		scim_report_add(a->report, "create_from_filter");

	if (path->sub != NULL)
	{
		if (!scim_patch_member(a, value, path->sub, a->op->kind, a->op->value))
			return false;
	}
	else
	{
		given = scim_patch_object_given(a, attr, a->op->value);
		if (given == NULL || !scim_patch_merge_object(a, value, attr, a->op->kind, given))
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

/*
 * The value of an operation on whole values, judged once and not for each; NULL
 * in *given: there is none, or nothing in it.
 */
static bool
given_for_each(ScimPatchApply *a, ScimAttr *attr, const json_t **given)
{
	const ScimPatchOp *op = a->op;
	const json_t *value = op->value;

	*given = NULL;
	if (op->path->sub != NULL || op->kind == SCIM_PATCH_REMOVE || json_is_null(value))
		return true;
	if (attr->type == SCIM_TYPE_COMPLEX)
	{
		value = scim_patch_object_given(a, attr, value);
		if (value == NULL)
			return false;
	}
	else if (json_is_array(value))
	{
		if (a->mode == SCIM_STRICT || json_array_size(value) != 1)
			return scim_patch_refuse(a, attr, SCIM_INVALID_VALUE, "the value of a selected value must not be an array");
		scim_report_add(a->report, "array_of_one");
		value = json_array_get(value, 0);
	}
	if (op->kind == SCIM_PATCH_REPLACE || attr->type != SCIM_TYPE_COMPLEX)
	{
		json_t	   *list = wanted(a, attr, value);

		if (list == NULL)
			return false;
		value = json_is_null(list) ? NULL : json_array_get(list, 0);
	}
	*given = value;
	return true;
}

/* What becomes of a selected value; NULL in *element: it goes. */
static bool
change_selected(ScimPatchApply *a, ScimAttr *attr, const json_t *given, json_t **element)
{
	const ScimPatchOp *op = a->op;
	ScimAttr   *sub = op->path->sub;
	json_t	   *old = *element;

	*element = NULL;
	if (sub == NULL && given == NULL)
	{
		/* remove; replace by null.  Nothing given to add is no change. */
		if (op->kind == SCIM_PATCH_ADD)
			*element = json_incref(old);
		return true;
	}
	if (sub == NULL && attr->type != SCIM_TYPE_COMPLEX)
	{
		*element = json_incref((json_t *) given);
		return true;
	}
	if (sub == NULL && op->kind == SCIM_PATCH_REPLACE)
	{
		*element = replace_whole(a, attr, old, given);
		return *element != NULL;
	}
	*element = json_is_object(old) ? scim_patch_copy_object(old) : scim_json_object();
	if (*element == NULL)
		return out_of_memory(a);
	if (sub == NULL)
		return scim_patch_merge_object(a, *element, attr, op->kind, given);
	if (!scim_patch_member(a, *element, sub, op->kind, op->value))
		return false;
	if (scim_json_unassigned(*element))
		*element = NULL;
	return true;
}

/* Does the operation say which of the selected values is primary? */
static bool
sets_primary(const ScimPatchOp *op, const ScimAttr *attr, const json_t *given)
{
	const ScimAttr *primary = primary_of(attr);
	const char *key;

	if (primary == NULL)
		return false;
	if (op->path->sub != NULL)
		return op->path->sub == primary && op->kind != SCIM_PATCH_REMOVE;
	return json_is_object(given) && scim_json_get(given, primary->name, &key) != NULL;
}

/* Values selected by a filter, or every value for a path such as emails.type. */
bool
scim_patch_selected(ScimPatchApply *a, json_t *part, ScimAttr *attr)
{
	const ScimPatchOp *op = a->op;
	const ScimPath *path = op->path;
	const json_t *old = part == NULL ? NULL : json_object_get(part, attr->name);
	const json_t *given;
	size_t		n = json_is_array(old) ? json_array_size(old) : 0;
	size_t		matches = 0;
	bool	   *set = scim_alloc0(n + 1);
	json_t	   *array = json_array();

	if (array == NULL || set == NULL)
		return out_of_memory(a);
	for (size_t i = 0; i < n; i++)
	{
		set[i] = path->filter == NULL || scim_filter_eval_value(path->filter, json_array_get(old, i));
		matches += set[i];
	}
	if (matches == 0)
		return op->kind == SCIM_PATCH_REMOVE || create_value(a, part, attr);
	a->set_attr = NULL;
	if (attr->mutability == SCIM_IMMUTABLE && path->sub == NULL && op->kind == SCIM_PATCH_REMOVE)
		return scim_patch_immutable(a, attr);
	if (!given_for_each(a, attr, &given))
		return false;

	for (size_t i = 0; i < n; i++)
	{
		json_t	   *element = json_array_get(old, i);

		if (!set[i])
			json_incref(element);
		else if (!change_selected(a, attr, given, &element))
			return false;
		if (element == NULL)
			continue;
		set[json_array_size(array)] = set[i];
		if (json_array_append_new(array, element) != 0)
			return out_of_memory(a);
	}

	if (sets_primary(op, attr, given) && !settle_primary(a, attr, array, set))
		return false;
	if (json_array_size(array) == 0)
		return scim_patch_unassign(a, part, attr);
	if (!scim_patch_assign(a, part, attr, array))
		return false;
	a->owned[attr->ord] = true;
	return true;
}
