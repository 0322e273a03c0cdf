/*
 * core_filter_eval.c
 *		A bound filter on a resource in memory.
 *
 * Two-valued logic: every comparison is true or false, and
 * `not` inverts.  null, absence, [] and {} are unassigned; the empty string is
 * too for pr, eq null, ne null and the orderings, but it equals "" and begins
 * with "".  An unspecified primary of a value is false, but not present.
 *
 * store_predicate.c says the same in SQL; keep them alike.
 */
#include <string.h>

#include "core_filter_internal.h"
#include "core_fold.h"
#include "core_value.h"

/* ---- presence ---- */

static bool
assigned(const json_t *value, int depth)
{
	void	   *iter;

	if (value == NULL || json_is_null(value) || depth > SCIM_JSON_MAX_DEPTH)
		return false;
	if (json_is_string(value))
		return json_string_length(value) > 0;
	if (json_is_array(value))
	{
		for (size_t i = 0; i < json_array_size(value); i++)
			if (assigned(json_array_get(value, i), depth + 1))
				return true;
		return false;
	}
	if (!json_is_object(value))
		return true;
	for (iter = json_object_iter((json_t *) value); iter; iter = json_object_iter_next((json_t *) value, iter))
		if (assigned(json_object_iter_value(iter), depth + 1))
			return true;
	return false;
}

/* ---- strings ---- */

static char
ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char) (c + ('a' - 'A')) : c;
}

static bool
is_ascii(const char *s, size_t len)
{
	unsigned char bits = 0;

	for (size_t i = 0; i < len; i++)
		bits |= (unsigned char) s[i];
	return bits < 0x80;
}

/* A string to compare: its characters, and whether they still need folding. */
typedef struct Text
{
	const char *s;
	size_t		len;
	bool		lower;			/* ASCII: lower case on the way */
} Text;

static char
char_at(const Text *t, size_t i)
{
	return t->lower ? ascii_lower(t->s[i]) : t->s[i];
}

static bool
equal_at(const Text *t, size_t start, const char *with, size_t len)
{
	if (!t->lower)
		return memcmp(t->s + start, with, len) == 0;
	for (size_t i = 0; i < len; i++)
		if (ascii_lower(t->s[start + i]) != with[i])
			return false;
	return true;
}

static bool
contains(const Text *t, const char *part, size_t len)
{
	if (len == 0)
		return true;
	for (size_t i = 0; i + len <= t->len; i++)
		if (char_at(t, i) == part[0] && equal_at(t, i, part, len))
			return true;
	return false;
}

static int
order(const Text *t, const char *with, size_t len)
{
	for (size_t i = 0; i < t->len && i < len; i++)
	{
		unsigned char a = (unsigned char) char_at(t, i);
		unsigned char b = (unsigned char) with[i];

		if (a != b)
			return a < b ? -1 : 1;
	}
	return (t->len > len) - (t->len < len);
}

static bool
order_matches(ScimFilterOp op, int order)
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
compare_text(ScimFilterOp op, const Text *t, const char *with, size_t len)
{
	switch (op)
	{
		case SCIM_OP_EQ:
			return t->len == len && equal_at(t, 0, with, len);
		case SCIM_OP_NE:
			return t->len != len || !equal_at(t, 0, with, len);
		case SCIM_OP_CO:
			return contains(t, with, len);
		case SCIM_OP_SW:
			return t->len >= len && equal_at(t, 0, with, len);
		case SCIM_OP_EW:
			return t->len >= len && equal_at(t, t->len - len, with, len);
		default:
			return t->len > 0 && order_matches(op, order(t, with, len));
	}
}

static bool
compare_string(const ScimFilter *f, const json_t *value)
{
	const ScimOperand *operand = &f->operand;
	char	   *folded = NULL;
	Text		t;
	bool		result;

	t.s = json_string_value(value);
	t.len = json_string_length(value);
	t.lower = false;
	if (operand->folded == NULL)
		return compare_text(f->op, &t, operand->text, operand->len);
	if (is_ascii(t.s, t.len))
		t.lower = true;
	else
	{
		folded = scim_fold(t.s, t.len, &t.len);
		if (folded == NULL)
			return false;
		t.s = folded;
	}
	result = compare_text(f->op, &t, operand->folded, operand->folded_len);
	scim_free(folded);
	return result;
}

/* ---- other types ---- */

static bool
compare_number(const ScimFilter *f, const json_t *value)
{
	const ScimOperand *operand = &f->operand;
	int			n;

	if (json_is_integer(value))
	{
		int64_t		i = json_integer_value(value);

		n = operand->is_integer ? (i > operand->integer) - (i < operand->integer) :
			scim_compare_integer_real(i, operand->number);
	}
	else
	{
		double		d = json_real_value(value);

		n = operand->is_integer ? -scim_compare_integer_real(operand->integer, d) :
			(d > operand->number) - (d < operand->number);
	}
	return order_matches(f->op, n);
}

/*
 * Compare one value (NULL: absent).  "is_primary": it is the sub-attribute
 * primary of an existing value.
 */
static bool
compare_value(const ScimFilter *f, const json_t *value, bool is_primary)
{
	int64_t		usec;
	bool		truth;

	if (f->op == SCIM_OP_PR || f->operand.kind == SCIM_OPERAND_NULL)
		return assigned(value, 0) != (f->op == SCIM_OP_EQ);

	switch (f->operand.kind)
	{
		case SCIM_OPERAND_STRING:
			if (json_is_string(value))
				return compare_string(f, value);
			break;
		case SCIM_OPERAND_BOOLEAN:
			truth = json_is_true(value);
			if (json_is_boolean(value) || (is_primary && scim_json_unassigned(value)))
				return (truth == f->operand.boolean) == (f->op == SCIM_OP_EQ);
			break;
		case SCIM_OPERAND_NUMBER:
			if (json_is_number(value))
				return compare_number(f, value);
			break;
		case SCIM_OPERAND_DATETIME:
			if (json_is_string(value) &&
				scim_datetime_parse(json_string_value(value), json_string_length(value), &usec))
				return order_matches(f->op, (usec > f->operand.usec) - (usec < f->operand.usec));
			break;
		default:
			break;
	}
	/* unassigned, or of another type: not identical to the operand */
	return f->op == SCIM_OP_NE;
}

/* The same for a value that may be an array: any of its values. */
static bool
compare_values(const ScimFilter *f, const json_t *value, bool is_primary)
{
	size_t		n = 0;

	if (!json_is_array(value) || f->op == SCIM_OP_PR || f->operand.kind == SCIM_OPERAND_NULL)
		return compare_value(f, value, is_primary);
	for (size_t i = 0; i < json_array_size(value); i++)
	{
		const json_t *element = json_array_get(value, i);

		if (scim_json_unassigned(element))
			continue;
		if (compare_value(f, element, is_primary))
			return true;
		n++;
	}
	return n == 0 && f->op == SCIM_OP_NE;
}

/* A comparison on one value of f->attr. */
static bool
compare_element(const ScimFilter *f, const json_t *element)
{
	bool		is_primary;

	if (f->sub == NULL)
		return compare_values(f, element, false);
	is_primary = json_is_object(element) && f->sub->type == SCIM_TYPE_BOOLEAN &&
		strcmp(f->sub->name, "primary") == 0;
	return compare_values(f, json_is_object(element) ? json_object_get(element, f->sub->name) : NULL, is_primary);
}

/* ---- multi-valued attributes ---- */

static bool
has_value(const json_t *value)
{
	if (!json_is_array(value))
		return !scim_json_unassigned(value);
	for (size_t i = 0; i < json_array_size(value); i++)
		if (!scim_json_unassigned(json_array_get(value, i)))
			return true;
	return false;
}

/* Is there a value for which the filter of a value path holds? */
static bool
any_value(const ScimFilter *filter, const json_t *value)
{
	if (!json_is_array(value))
		return !scim_json_unassigned(value) && scim_filter_eval_value(filter, value);
	for (size_t i = 0; i < json_array_size(value); i++)
	{
		const json_t *element = json_array_get(value, i);

		if (!scim_json_unassigned(element) && scim_filter_eval_value(filter, element))
			return true;
	}
	return false;
}

/* A comparison of a multi-valued attribute, or of a sub-attribute of it. */
static bool
compare_multi(const ScimFilter *f, const json_t *value)
{
	bool		is_presence = f->op == SCIM_OP_PR || f->operand.kind == SCIM_OPERAND_NULL;
	ScimFilter	present;

	if (is_presence)
	{
		/* no value has the sub-attribute: it is unassigned */
		present = *f;
		present.op = SCIM_OP_PR;
		return any_value(&present, value) != (f->op == SCIM_OP_EQ);
	}
	if (any_value(f, value))
		return true;
	return f->op == SCIM_OP_NE && !has_value(value);
}

/* ---- trees ---- */

bool
scim_filter_eval_value(const ScimFilter *filter, const json_t *value)
{
	switch (filter->kind)
	{
		case SCIM_FILTER_AND:
			return scim_filter_eval_value(filter->left, value) && scim_filter_eval_value(filter->right, value);
		case SCIM_FILTER_OR:
			return scim_filter_eval_value(filter->left, value) || scim_filter_eval_value(filter->right, value);
		case SCIM_FILTER_NOT:
			return !scim_filter_eval_value(filter->left, value);
		case SCIM_FILTER_COMPARE:
			return compare_element(filter, value);
		case SCIM_FILTER_VALUE_PATH:
			break;				/* not inside brackets */
	}
	return false;
}

bool
scim_filter_eval(const ScimResourceType *type, const ScimFilter *filter, const json_t *resource)
{
	const json_t *part;
	const json_t *value;

	switch (filter->kind)
	{
		case SCIM_FILTER_AND:
			return scim_filter_eval(type, filter->left, resource) && scim_filter_eval(type, filter->right, resource);
		case SCIM_FILTER_OR:
			return scim_filter_eval(type, filter->left, resource) || scim_filter_eval(type, filter->right, resource);
		case SCIM_FILTER_NOT:
			return !scim_filter_eval(type, filter->left, resource);
		case SCIM_FILTER_COMPARE:
		case SCIM_FILTER_VALUE_PATH:
			break;
	}
	part = scim_resource_part(type, resource, filter->attr->ext);
	value = part ? json_object_get(part, filter->attr->name) : NULL;
	if (filter->kind == SCIM_FILTER_VALUE_PATH)
		return any_value(filter->left, value);
	if (filter->attr->multi)
		return compare_multi(filter, value);
	return compare_element(filter, value);
}

/* ---- the value that a filter describes ---- */

static json_t *
operand_json(const ScimOperand *operand)
{
	switch (operand->kind)
	{
		case SCIM_OPERAND_BOOLEAN:
			return json_boolean(operand->boolean);
		case SCIM_OPERAND_NUMBER:
			return operand->is_integer ? json_integer(operand->integer) : json_real(operand->number);
		default:
			return json_stringn_nocheck(operand->text, operand->len);
	}
}

static bool
add_terms(const ScimFilter *filter, json_t *value)
{
	if (filter->kind == SCIM_FILTER_AND)
		return add_terms(filter->left, value) && add_terms(filter->right, value);
	if (filter->kind != SCIM_FILTER_COMPARE || filter->op != SCIM_OP_EQ ||
		filter->sub == NULL)
		return false;
	if (filter->operand.kind == SCIM_OPERAND_NULL)
		return true;
	return json_object_set_new_nocheck(value, filter->sub->name, operand_json(&filter->operand)) == 0;
}

bool
scim_filter_template(const ScimFilter *filter, json_t *value)
{
	ScimCoreFrame frame;
	bool		ok;

	scim_core_enter(&frame);
	ok = add_terms(filter, value);
	scim_core_leave(&frame);
	return ok;
}
