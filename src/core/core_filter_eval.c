/*
 * core_filter_eval.c
 *		A bound filter on a resource in memory.
 *
 * Two-valued: null, absent, [] and {} are unassigned, an empty string is too
 * for pr, null and orderings; ne is true for what is unassigned; a
 * multi-valued attribute matches if any of its values does (requirements, A-01
 * to ).
 */
#include <string.h>

#include "core_filter.h"
#include "core_fold.h"
#include "core_value.h"

static bool eval_element(const ScimFilter *f, const json_t *element);

static bool
is_present(const json_t *value)
{
	if (scim_json_unassigned(value))
		return false;
	return !(json_is_string(value) && json_string_length(value) == 0);
}

static int
compare_bytes(const char *a, size_t alen, const char *b, size_t blen)
{
	int			n = memcmp(a, b, alen < blen ? alen : blen);

	return n != 0 ? n : (alen > blen) - (alen < blen);
}

static bool
ordering_holds(ScimFilterOp op, int order)
{
	switch (op)
	{
		case SCIM_OP_EQ:
			return order == 0;
		case SCIM_OP_NE:
			return order != 0;
		case SCIM_OP_GT:
			return order > 0;
		case SCIM_OP_GE:
			return order >= 0;
		case SCIM_OP_LT:
			return order < 0;
		case SCIM_OP_LE:
			return order <= 0;
		default:
			return false;
	}
}

static bool
contains(const char *s, size_t len, const char *part, size_t n)
{
	for (size_t i = 0; i + n <= len; i++)
		if (memcmp(s + i, part, n) == 0)
			return true;
	return false;
}

static bool
compare_string(const ScimFilter *f, const json_t *value)
{
	const char *s = json_string_value(value);
	size_t		len = json_string_length(value);
	const char *operand = f->operand.text;
	size_t		n = f->operand.len;
	char	   *folded = NULL;
	bool		holds;

	if (f->operand.folded != NULL)
	{
		operand = f->operand.folded;
		n = f->operand.folded_len;
		folded = scim_fold(s, len, &len);
		/* out of memory: nothing matches, and the caller's next allocation fails */
		if (folded == NULL)
			return false;
		s = folded;
	}
	switch (f->op)
	{
		case SCIM_OP_CO:
			holds = contains(s, len, operand, n);
			break;
		case SCIM_OP_SW:
			holds = len >= n && memcmp(s, operand, n) == 0;
			break;
		case SCIM_OP_EW:
			holds = len >= n && memcmp(s + len - n, operand, n) == 0;
			break;
		case SCIM_OP_EQ:
		case SCIM_OP_NE:
			holds = ordering_holds(f->op, compare_bytes(s, len, operand, n));
			break;
		default:
			holds = len > 0 && ordering_holds(f->op, compare_bytes(s, len, operand, n));
			break;
	}
	scim_free(folded);
	return holds;
}

static bool
compare_number(const ScimFilter *f, const json_t *value)
{
	if (json_is_integer(value) && f->operand.is_integer)
	{
		json_int_t	n = json_integer_value(value);

		return ordering_holds(f->op, (n > f->operand.integer) - (n < f->operand.integer));
	}
	return ordering_holds(f->op, (json_number_value(value) > f->operand.number) -
						  (json_number_value(value) < f->operand.number));
}

/*
 * One single value against the comparison; "leaf" is its attribute.  "inside":
 * it belongs to an existing value of a multi-valued attribute.
 */
static bool
compare(const ScimFilter *f, const ScimAttr *leaf, const json_t *value, bool inside)
{
	int64_t		usec;
	bool		unassigned = scim_json_unassigned(value);

	if (f->op == SCIM_OP_PR)
		return is_present(value);
	if (f->operand.kind == SCIM_OPERAND_NULL)
		return is_present(value) == (f->op == SCIM_OP_NE);
	if (unassigned && inside && leaf->type == SCIM_TYPE_BOOLEAN && strcmp(leaf->name, "primary") == 0)
		return ordering_holds(f->op, f->operand.boolean ? 1 : 0);
	if (unassigned)
		return f->op == SCIM_OP_NE;

	switch (f->operand.kind)
	{
		case SCIM_OPERAND_BOOLEAN:
			return json_is_boolean(value) ?
				ordering_holds(f->op, json_is_true(value) == f->operand.boolean ? 0 : 1) : f->op == SCIM_OP_NE;
		case SCIM_OPERAND_NUMBER:
			return json_is_number(value) ? compare_number(f, value) : f->op == SCIM_OP_NE;
		case SCIM_OPERAND_DATETIME:
			if (!json_is_string(value) ||
				!scim_datetime_parse(json_string_value(value), json_string_length(value), &usec))
				return f->op == SCIM_OP_NE;
			return ordering_holds(f->op, (usec > f->operand.usec) - (usec < f->operand.usec));
		default:
			return json_is_string(value) ? compare_string(f, value) : f->op == SCIM_OP_NE;
	}
}

/* ---- elements ---- */

/* The i-th value of a multi-valued attribute that holds something. */
static bool
any_element(const ScimFilter *f, const json_t *array)
{
	size_t		n = json_is_array(array) ? json_array_size(array) : 0;

	for (size_t i = 0; i < n; i++)
	{
		const json_t *element = json_array_get(array, i);

		if (!scim_json_unassigned(element) && eval_element(f, element))
			return true;
	}
	return false;
}

static const json_t *
sub_value(const json_t *element, const ScimAttr *sub)
{
	return sub ? scim_json_get(element, sub->name, NULL) : element;
}

static bool
eval_element(const ScimFilter *f, const json_t *element)
{
	switch (f->kind)
	{
		case SCIM_FILTER_AND:
			return eval_element(f->left, element) && eval_element(f->right, element);
		case SCIM_FILTER_OR:
			return eval_element(f->left, element) || eval_element(f->right, element);
		case SCIM_FILTER_NOT:
			return !eval_element(f->left, element);
		case SCIM_FILTER_COMPARE:
			return compare(f, f->sub ? f->sub : f->attr, sub_value(element, f->sub), true);
		case SCIM_FILTER_VALUE_PATH:
			break;
	}
	return false;
}

bool
scim_filter_eval_value(const ScimFilter *filter, const json_t *value)
{
	ScimCoreFrame frame;
	bool		holds;

	scim_core_enter(&frame);
	holds = eval_element(filter, value);
	scim_core_leave(&frame);
	return holds;
}

/* ---- resources ---- */

static const json_t *
attribute_value(const ScimResourceType *type, const ScimAttr *attr, const json_t *resource)
{
	const json_t *part = resource;

	if (attr->ext >= 0)
		part = scim_json_get(resource, type->exts[attr->ext].schema->uri, NULL);
	return part && json_is_object(part) ? scim_json_get(part, attr->name, NULL) : NULL;
}

static bool
eval_comparison(const ScimResourceType *type, const ScimFilter *f, const json_t *resource)
{
	const json_t *value = attribute_value(type, f->attr, resource);

	if (!f->attr->multi)
		return compare(f, f->sub ? f->sub : f->attr,
					   f->sub ? (json_is_object(value) ? scim_json_get(value, f->sub->name, NULL) : NULL) : value,
					   false);
	if (f->op == SCIM_OP_PR && f->sub == NULL)
		return is_present(value);
	if (f->operand.kind == SCIM_OPERAND_NULL && f->op != SCIM_OP_PR)
	{
		/* eq null: no value is assigned; ne null: one is */
		ScimFilter	presence = *f;

		presence.op = SCIM_OP_PR;
		presence.operand.kind = SCIM_OPERAND_NONE;
		return any_element(&presence, value) == (f->op == SCIM_OP_NE);
	}
	if (any_element(f, value))
		return true;
	return f->op == SCIM_OP_NE && scim_json_unassigned(value);
}

static bool
eval_value_path(const ScimResourceType *type, const ScimFilter *f, const json_t *resource)
{
	const json_t *value = attribute_value(type, f->attr, resource);
	size_t		n;

	if (!f->attr->multi)
		return !scim_json_unassigned(value) && eval_element(f->left, value) &&
			(f->right == NULL || eval_element(f->right, value));
	n = json_is_array(value) ? json_array_size(value) : 0;
	for (size_t i = 0; i < n; i++)
	{
		const json_t *element = json_array_get(value, i);

		if (!scim_json_unassigned(element) && eval_element(f->left, element) &&
			(f->right == NULL || eval_element(f->right, element)))
			return true;
	}
	return false;
}

static bool
eval(const ScimResourceType *type, const ScimFilter *f, const json_t *resource)
{
	switch (f->kind)
	{
		case SCIM_FILTER_AND:
			return eval(type, f->left, resource) && eval(type, f->right, resource);
		case SCIM_FILTER_OR:
			return eval(type, f->left, resource) || eval(type, f->right, resource);
		case SCIM_FILTER_NOT:
			return !eval(type, f->left, resource);
		case SCIM_FILTER_VALUE_PATH:
			return eval_value_path(type, f, resource);
		case SCIM_FILTER_COMPARE:
			return eval_comparison(type, f, resource);
	}
	return false;
}

bool
scim_filter_eval(const ScimResourceType *type, const ScimFilter *filter, const json_t *resource)
{
	ScimCoreFrame frame;
	bool		holds;

	scim_core_enter(&frame);
	holds = eval(type, filter, resource);
	scim_core_leave(&frame);
	return holds;
}

/* ---- templates ---- */

static json_t *
operand_json(const ScimOperand *o)
{
	switch (o->kind)
	{
		case SCIM_OPERAND_BOOLEAN:
			return json_boolean(o->boolean);
		case SCIM_OPERAND_NUMBER:
			return o->is_integer ? json_integer(o->integer) : json_real(o->number);
		case SCIM_OPERAND_STRING:
		case SCIM_OPERAND_DATETIME:
			return json_stringn(o->text, o->len);
		default:
			return NULL;
	}
}

static bool
fill_template(const ScimFilter *f, json_t *value)
{
	json_t	   *operand;

	if (f->kind == SCIM_FILTER_AND)
		return fill_template(f->left, value) && fill_template(f->right, value);
	if (f->kind != SCIM_FILTER_COMPARE || f->op != SCIM_OP_EQ || f->sub == NULL)
		return false;
	operand = operand_json(&f->operand);
	return operand != NULL && json_object_set_new(value, f->sub->name, operand) == 0;
}

bool
scim_filter_template(const ScimFilter *filter, json_t *value)
{
	ScimCoreFrame frame;
	bool		ok;

	scim_core_enter(&frame);
	ok = fill_template(filter, value);
	scim_core_leave(&frame);
	return ok;
}
