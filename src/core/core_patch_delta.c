/*
 * core_patch_delta.c
 *		Operations on one big multi-valued attribute as a set difference.
 *
 * A group may have a million members, and a request names a few of them
 * (R-7644-3.5.2.1-12).  When every operation on such an attribute says which
 * values it means by their `value`, the outcome can be written down without
 * knowing what is stored:
 *
 *		(clear ? {} : stored) - remove + add
 *
 * The rules are those of the engine: a value is added only if it is not there
 * yet, in order; whoever applies the delta leaves a stored value alone that is
 * in "add" but not in "remove".  `value` is an id and is compared byte for
 * byte, in filters too.
 */
#include "core_patch_internal.h"

#include <string.h>

typedef struct Delta
{
	const ScimResourceType *type;
	ScimAttr   *attr;
	const ScimAttr *value;		/* sub-attribute that identifies */
	ScimMode	mode;
	ScimReport *report;
	ScimError  *err;
	bool		clear;
	ScimMultiSet set;			/* every value mentioned, by its first mention */
	json_t	  **added;			/* by index in set: the value to add, or NULL */
	bool	   *removed;		/* by index in set: to be taken out of what is stored */
	int			capacity;
} Delta;

/* The index of a mentioned value; -1: memory is out. */
static int
mention(Delta *d, const json_t *value)
{
	uint64_t	hash;
	int			i = scim_multi_find(&d->set, value, &hash, d->err);

	if (i == -2)
		return -1;
	if (i >= 0)
		return i;
	if (!scim_multi_add(&d->set, value, hash, d->err))
		return -1;
	i = d->set.nitems - 1;
	if (i == d->capacity)
	{
		int			capacity = d->capacity == 0 ? 16 : d->capacity * 2;
		json_t	  **added = scim_alloc0(sizeof(*added) * (size_t) capacity);
		bool	   *removed = scim_alloc0(sizeof(*removed) * (size_t) capacity);

		if (added == NULL || removed == NULL)
		{
			scim_fail_memory(d->err);
			return -1;
		}
		if (d->capacity > 0)
		{
			memcpy(added, d->added, sizeof(*added) * (size_t) d->capacity);
			memcpy(removed, d->removed, sizeof(*removed) * (size_t) d->capacity);
		}
		d->added = added;
		d->removed = removed;
		d->capacity = capacity;
	}
	return i;
}

static bool
take_remove(Delta *d, const json_t *value)
{
	int			i = mention(d, value);

	if (i < 0)
		return false;
	d->added[i] = NULL;
	d->removed[i] = !d->clear;
	return true;
}

static void
take_clear(Delta *d)
{
	int			i;

	d->clear = true;
	for (i = 0; i < d->set.nitems; i++)
	{
		d->added[i] = NULL;
		d->removed[i] = false;
	}
}

static bool
take_add(Delta *d, const json_t *values)
{
	size_t		n;

	for (n = 0; n < json_array_size(values); n++)
	{
		json_t	   *value = json_array_get(values, n);
		int			i = mention(d, value);

		if (i < 0)
			return false;
		if (d->added[i] == NULL)
			d->added[i] = value;
	}
	return true;
}

/* value eq "x", or several of them joined by or. */
static bool
is_value_filter(const Delta *d, const ScimFilter *filter)
{
	/* A parsed filter is at most SCIM_FILTER_MAX_DEPTH deep, or a chain of or. */
	while (filter->kind == SCIM_FILTER_OR)
	{
		if (!is_value_filter(d, filter->right))
			return false;
		filter = filter->left;
	}
	return filter->kind == SCIM_FILTER_COMPARE && filter->op == SCIM_OP_EQ &&
		filter->attr == d->attr && filter->sub == d->value &&
		filter->operand.kind == SCIM_OPERAND_STRING;
}

static bool
take_filter(Delta *d, const ScimFilter *filter)
{
	json_t	   *value;

	while (filter->kind == SCIM_FILTER_OR)
	{
		if (!take_filter(d, filter->right))
			return false;
		filter = filter->left;
	}
	value = scim_json_object();
	if (value == NULL ||
		json_object_set_new_nocheck(value, d->value->name,
									json_stringn_nocheck(filter->operand.text, filter->operand.len)) != 0)
		return scim_fail_memory(d->err);
	return take_remove(d, value);
}

/* Can the operation be part of a delta, whatever its values are? */
static bool
is_simple(const Delta *d, const ScimPatchOp *op)
{
	if (op->path->sub != NULL)
		return false;
	if (op->path->filter != NULL)
		return op->kind == SCIM_PATCH_REMOVE && is_value_filter(d, op->path->filter);
	return true;
}

/* Do all values to be added carry an identifying value? */
static bool
identified(const Delta *d, const json_t *values)
{
	size_t		i;

	for (i = 0; i < json_array_size(values); i++)
	{
		if (json_object_get(json_array_get(values, i), d->value->name) == NULL)
			return false;
	}
	return true;
}

/* *fits is false where a value without identity turns up. */
static bool
take_op(Delta *d, const ScimPatchOp *op, bool *fits)
{
	json_t	   *values;
	size_t		i;

	if (op->kind == SCIM_PATCH_REMOVE)
	{
		if (op->path->filter != NULL)
			return take_filter(d, op->path->filter);
		if (!op->listed_only)
		{
			take_clear(d);
			return true;
		}
		values = scim_patch_listed(d->type, op, d->mode, d->report, d->err);
		if (values == NULL)
			return false;
		for (i = 0; i < json_array_size(values); i++)
		{
			if (!take_remove(d, json_array_get(values, i)))
				return false;
		}
		return true;
	}
	values = scim_patch_wanted(d->type, op, d->attr, op->value, d->mode, d->report, d->err);
	if (values == NULL)
		return false;
	if (!identified(d, values))
	{
		*fits = false;
		return true;
	}
	if (op->kind == SCIM_PATCH_REPLACE)
		take_clear(d);
	return take_add(d, values);
}

static bool
delta_result(Delta *d, ScimDelta *delta)
{
	int			i;

	delta->add = json_array();
	delta->remove = json_array();
	if (delta->add == NULL || delta->remove == NULL)
		return scim_fail_memory(d->err);
	delta->clear = d->clear;
	for (i = 0; i < d->set.nitems; i++)
	{
		if (d->added[i] != NULL && json_array_append(delta->add, d->added[i]) != 0)
			return scim_fail_memory(d->err);
		if (d->removed[i] &&
			json_array_append(delta->remove, json_object_get(d->set.items[i], d->value->name)) != 0)
			return scim_fail_memory(d->err);
	}
	return true;
}

static bool
take_delta(Delta *d, ScimPatch *patch, ScimDelta *delta)
{
	const ScimAttr *attr = d->attr;
	ScimReport	before = {0};
	bool		fits = true;
	int			kept = 0;
	int			i;

	/*
	 * `primary` depends on the other values, required on what is left, and
	 * immutable or readOnly on what is stored: those are the engine's.
	 */
	if (!scim_multi_is_reference(attr) || attr->required || attr->mutability == SCIM_IMMUTABLE ||
		attr->mutability == SCIM_READ_ONLY || scim_attr_sub(attr, "primary", strlen("primary")) != NULL)
		return false;
	d->value = scim_attr_sub(attr, "value", strlen("value"));
	scim_multi_init(&d->set, attr, true);

	for (i = 0; i < patch->nops; i++)
	{
		if (patch->ops[i].path->attr != attr)
			continue;
		if (!is_simple(d, &patch->ops[i]))
			return false;
		delta->any = true;
	}
	if (d->report != NULL)
		before = *d->report;
	for (i = 0; i < patch->nops && fits; i++)
	{
		if (patch->ops[i].path->attr == attr && !take_op(d, &patch->ops[i], &fits))
			return false;
	}
	if (!fits)
	{
		/* The engine will do it all again, and note it then. */
		if (d->report != NULL)
			*d->report = before;
		return false;
	}
	if (!delta_result(d, delta))
		return false;
	for (i = 0; i < patch->nops; i++)
	{
		if (patch->ops[i].path->attr != attr)
			patch->ops[kept++] = patch->ops[i];
	}
	patch->nops = kept;
	return true;
}

bool
scim_patch_take_delta(const ScimResourceType *type, ScimPatch *patch, ScimAttr *attr,
					  ScimMode mode, ScimDelta *delta, ScimReport *report, ScimError *err)
{
	ScimCoreFrame frame;
	Delta		d;
	bool		taken;

	memset(&d, 0, sizeof(d));
	d.type = type;
	d.attr = attr;
	d.mode = mode;
	d.report = report;
	d.err = err;
	memset(delta, 0, sizeof(*delta));
	scim_core_enter(&frame);
	taken = take_delta(&d, patch, delta);
	scim_core_leave(&frame);
	if (!taken)
		memset(delta, 0, sizeof(*delta));
	return taken;
}
