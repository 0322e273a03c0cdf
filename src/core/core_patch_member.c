/*
 * core_patch_member.c
 *		PATCH on one attribute in the object that holds it: a singular attribute
 *		in its resource or extension, a sub-attribute in its value (the rows
 *		`title`, `name`, `name.givenName` of the matrix in section 31).
 *
 * add and replace are the same for a singular attribute (RFC 7644 3.5.2.1,
 * 3.5.2.3): a simple value is set, a complex one merged.  Null unassigns.
 * Here is decided what mutability allows; required attributes are judged at
 * the end.
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

bool
scim_patch_refuse(ScimPatchApply *a, const ScimAttr *attr, const char *scim_type, const char *text)
{
	return scim_patch_fail(a->err, a->type, a->op->index, attr, 400, scim_type, "%s", text);
}

bool
scim_patch_immutable(ScimPatchApply *a, const ScimAttr *attr)
{
	return scim_patch_refuse(a, attr, SCIM_MUTABILITY, "the attribute is immutable and has a value");
}

/* A new object with the same members; jansson's own copy hides lack of memory. */
json_t *
scim_patch_copy_object(const json_t *object)
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

json_t *
scim_patch_copy_array(const json_t *array)
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
bool
scim_patch_unassign(ScimPatchApply *a, json_t *holder, const ScimAttr *attr)
{
	const json_t *old = json_object_get(holder, attr->name);
	int			i;

	if (old == NULL)
		return true;
	if (!unassigned(old))
	{
		if (attr->mutability == SCIM_IMMUTABLE)
			return scim_patch_immutable(a, attr);
		if (attr->type == SCIM_TYPE_COMPLEX && !attr->multi)
		{
			for (i = 0; i < attr->nsubs; i++)
			{
				if (attr->subs[i]->mutability == SCIM_IMMUTABLE &&
					!unassigned(json_object_get(old, attr->subs[i]->name)))
					return scim_patch_immutable(a, attr->subs[i]);
			}
		}
	}
	if (a->unassigned[attr->ord] == 0)
		a->unassigned[attr->ord] = a->op->index + 1;
	json_object_del(holder, attr->name);
	return true;
}

/* Puts a normalised value (a new reference) in place. */
bool
scim_patch_assign(ScimPatchApply *a, json_t *holder, const ScimAttr *attr, json_t *value)
{
	const json_t *old = json_object_get(holder, attr->name);

	if (attr->mutability == SCIM_IMMUTABLE && !unassigned(old) && !scim_value_same(attr, old, value))
		return scim_patch_immutable(a, attr);
	if (json_object_set_new_nocheck(holder, attr->name, value) != 0)
		return out_of_memory(a);
	return true;
}

/*
 * A value for a complex attribute that is to be merged: still with its nulls,
 * because a null member unassigns.  NULL: it is no object (error given).
 */
const json_t *
scim_patch_object_given(ScimPatchApply *a, ScimAttr *attr, const json_t *value)
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
	scim_patch_refuse(a, attr, SCIM_INVALID_VALUE, "the value must be an object");
	return NULL;
}

/* Merges the given sub-attributes into a value that is not shared. */
bool
scim_patch_merge_object(ScimPatchApply *a, json_t *target, ScimAttr *attr, ScimPatchKind kind, const json_t *object)
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
				return scim_patch_refuse(a, sub, SCIM_MUTABILITY, "the attribute is readOnly");
			if (a->report != NULL)
				a->report->ignored++;
			continue;
		}
		if (!scim_patch_member(a, target, sub, kind, value))
			return false;
	}
	return true;
}

/* add and replace of a sub-attribute that is a list itself. */
static bool
member_list(ScimPatchApply *a, json_t *holder, ScimAttr *attr, ScimPatchKind kind, json_t *values)
{
	const json_t *old = json_object_get(holder, attr->name);
	json_t	   *list;
	ScimMultiSet set;
	size_t		i;
	uint64_t	hash;
	int			found;

	if (kind == SCIM_PATCH_REPLACE || !json_is_array(old))
		return scim_patch_assign(a, holder, attr, values);
	list = scim_patch_copy_array(old);
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
	return scim_patch_assign(a, holder, attr, list);
}

/*
 * One attribute in "holder", which is not shared: a singular attribute in its
 * resource or extension, or a sub-attribute in its value.
 */
bool
scim_patch_member(ScimPatchApply *a, json_t *holder, ScimAttr *attr, ScimPatchKind kind, const json_t *value)
{
	const json_t *old = json_object_get(holder, attr->name);
	const json_t *object;
	json_t	   *merged;
	json_t	   *new_value;

	if (kind == SCIM_PATCH_REMOVE || json_is_null(value))
	{
		if (attr->multi && kind == SCIM_PATCH_ADD)
			return true;
		return scim_patch_unassign(a, holder, attr);
	}

	if (attr->type == SCIM_TYPE_COMPLEX && !attr->multi)
	{
		object = scim_patch_object_given(a, attr, value);
		if (object == NULL)
			return false;
		merged = json_is_object(old) ? scim_patch_copy_object(old) : scim_json_object();
		if (merged == NULL)
			return out_of_memory(a);
		if (!scim_patch_merge_object(a, merged, attr, kind, object))
			return false;
		if (!has_writable(attr, merged))
			return scim_patch_unassign(a, holder, attr);
		return scim_patch_assign(a, holder, attr, merged);
	}

	new_value = scim_patch_wanted(a->type, a->op, attr, value, a->mode, a->report, a->err);
	if (new_value == NULL)
		return false;
	if (attr->multi)
	{
		if (!json_is_null(new_value))
			return member_list(a, holder, attr, kind, new_value);
		return kind == SCIM_PATCH_ADD || scim_patch_unassign(a, holder, attr);
	}
	if (json_is_null(new_value))
		return scim_patch_unassign(a, holder, attr);
	return scim_patch_assign(a, holder, attr, new_value);
}

/* name.givenName: the parent comes into being, and goes with its last sub-attribute. */
bool
scim_patch_sub(ScimPatchApply *a, json_t *part, ScimAttr *attr, ScimAttr *sub)
{
	const json_t *old = json_object_get(part, attr->name);
	json_t	   *object;

	if (!json_is_object(old) && a->op->kind == SCIM_PATCH_REMOVE)
		return true;
	object = json_is_object(old) ? scim_patch_copy_object(old) : scim_json_object();
	if (object == NULL)
		return out_of_memory(a);
	if (!scim_patch_member(a, object, sub, a->op->kind, a->op->value))
		return false;
	if (!has_writable(attr, object))
		return scim_patch_unassign(a, part, attr);
	return scim_patch_assign(a, part, attr, object);
}
