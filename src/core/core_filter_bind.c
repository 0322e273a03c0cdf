/*
 * core_filter_bind.c
 *		Names -> attributes, operands -> values of the attribute's type.
 *
 * What the schema forbids is refused here, before anything is read: unknown
 * attributes, operators that do not go with a type, operands of
 * another type, attributes that are never returned.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core_filter_internal.h"
#include "core_fold.h"
#include "core_path.h"
#include "core_value.h"

/* More digits of a decimal than a stored value can have (see core_json.c). */
#define MAX_SIGNIFICANT_DIGITS 15

#define OP_BIT(op) (1 << (op))
#define OPS_EQUAL (OP_BIT(SCIM_OP_EQ) | OP_BIT(SCIM_OP_NE))
#define OPS_ORDER (OP_BIT(SCIM_OP_GT) | OP_BIT(SCIM_OP_GE) | OP_BIT(SCIM_OP_LT) | OP_BIT(SCIM_OP_LE))
#define OPS_PART (OP_BIT(SCIM_OP_CO) | OP_BIT(SCIM_OP_SW) | OP_BIT(SCIM_OP_EW))

typedef struct Binder
{
	const ScimResourceType *type;
	ScimAttr   *value_of;		/* in brackets: the attribute whose value is looked at */
	ScimMode	mode;
	ScimError  *err;
} Binder;

/* What the attribute's type allows, and the kind of operand it wants. */
typedef struct TypeRule
{
	int			ops;
	ScimOperandKind kind;
	const char *wants;
} TypeRule;

static const TypeRule type_rules[] = {
	[SCIM_TYPE_STRING] = {OPS_EQUAL | OPS_ORDER | OPS_PART, SCIM_OPERAND_STRING, "a string"},
	[SCIM_TYPE_BOOLEAN] = {OPS_EQUAL, SCIM_OPERAND_BOOLEAN, "true or false"},
	[SCIM_TYPE_DECIMAL] = {OPS_EQUAL | OPS_ORDER, SCIM_OPERAND_NUMBER, "a number"},
	[SCIM_TYPE_INTEGER] = {OPS_EQUAL | OPS_ORDER, SCIM_OPERAND_NUMBER, "a number"},
	[SCIM_TYPE_DATETIME] = {OPS_EQUAL | OPS_ORDER, SCIM_OPERAND_STRING, "a dateTime"},
	[SCIM_TYPE_REFERENCE] = {OPS_EQUAL | OPS_ORDER | OPS_PART, SCIM_OPERAND_STRING, "a string"},
	[SCIM_TYPE_BINARY] = {OPS_EQUAL, SCIM_OPERAND_STRING, "a string"},
};

static bool
fail(Binder *b, const ScimFilter *f, const char *what)
{
	return scim_fail_at(b->err, 400, SCIM_INVALID_FILTER, f->position,
						"filter on attribute \"%.120s\": %s", f->name, what);
}

/* ---- operands ---- */

/*
 * Values have at most 15 significant digits or are 64-bit integers; another
 * operand would be compared with something else than what was written.
 */
static bool
check_number(Binder *b, const ScimFilter *f)
{
	const ScimOperand *operand = &f->operand;
	int			digits = 0;
	int			zeros = 0;

	if (operand->is_integer)
		return true;
	for (const char *p = operand->text; *p && *p != 'e' && *p != 'E'; p++)
	{
		if (*p == '0')
			zeros += digits > 0;
		else if (*p > '0' && *p <= '9')
		{
			digits += zeros + 1;
			zeros = 0;
		}
	}
	if (digits > MAX_SIGNIFICANT_DIGITS)
		return fail(b, f, "the number has more than 15 significant digits");
	if (isinf(operand->number) || (operand->number == 0 && digits > 0))
		return fail(b, f, "the number is out of range");
	return true;
}

/* What an earlier binding made of the literal. */
static void
unbind_operand(ScimOperand *operand)
{
	if (operand->kind == SCIM_OPERAND_DATETIME ||
		(operand->kind == SCIM_OPERAND_BOOLEAN && operand->text != NULL))
		operand->kind = SCIM_OPERAND_STRING;
	operand->folded = NULL;
	operand->folded_len = 0;
}

static bool
bind_operand(Binder *b, ScimFilter *f, const ScimAttr *attr)
{
	const TypeRule *rule = &type_rules[attr->type];
	ScimOperand *operand = &f->operand;
	char		what[80];

	if (!(rule->ops & OP_BIT(f->op)))
	{
		snprintf(what, sizeof(what), "operator %s does not go with type %s",
				 scim_filter_op_name(f->op), scim_type_name(attr->type));
		return fail(b, f, what);
	}
	/* Entra: roles[primary eq "True"] */
	if (b->mode == SCIM_COMPAT && attr->type == SCIM_TYPE_BOOLEAN && operand->kind == SCIM_OPERAND_STRING &&
		(scim_name_eq(operand->text, operand->len, "true") || scim_name_eq(operand->text, operand->len, "false")))
	{
		operand->kind = SCIM_OPERAND_BOOLEAN;
		operand->boolean = (operand->text[0] | 0x20) == 't';
	}
	if (operand->kind != rule->kind)
	{
		snprintf(what, sizeof(what), "the operand of %s must be %s", scim_filter_op_name(f->op), rule->wants);
		return fail(b, f, what);
	}
	if (operand->kind == SCIM_OPERAND_NUMBER)
		return check_number(b, f);
	if (attr->type == SCIM_TYPE_DATETIME)
	{
		if (!scim_datetime_parse(operand->text, operand->len, &operand->usec))
		{
			snprintf(what, sizeof(what), "the operand of %s must be %s", scim_filter_op_name(f->op), rule->wants);
			return fail(b, f, what);
		}
		operand->kind = SCIM_OPERAND_DATETIME;
	}
	else if (operand->kind == SCIM_OPERAND_STRING && !attr->case_exact)
	{
		operand->folded = scim_fold(operand->text, operand->len, &operand->folded_len);
		if (operand->folded == NULL)
			return scim_fail_memory(b->err);
	}
	return true;
}

/* ---- names ---- */

/* Sets attr and sub of a comparison. */
static bool
resolve(Binder *b, ScimFilter *f)
{
	size_t		len = strlen(f->name);
	ScimPath	path;

	if (b->value_of != NULL)
	{
		f->attr = b->value_of;
		f->sub = scim_attr_sub(b->value_of, f->name, len);
		if (f->sub == NULL &&
			(b->value_of->type == SCIM_TYPE_COMPLEX || !scim_name_eq(f->name, len, "value")))
			return fail(b, f, "unknown sub-attribute");
	}
	else
	{
		if (scim_path_resolve(b->type, f->name, len, b->mode, &path) != len || path.attr == NULL)
			return fail(b, f, "unknown attribute");
		f->attr = path.attr;
		f->sub = path.sub;
	}
	if (f->attr->returned == SCIM_RETURNED_NEVER || (f->sub && f->sub->returned == SCIM_RETURNED_NEVER))
		return fail(b, f, "the attribute is never returned and cannot be filtered on");
	return true;
}

static bool
bind_comparison(Binder *b, ScimFilter *f)
{
	bool		is_equal = f->op == SCIM_OP_EQ || f->op == SCIM_OP_NE;

	unbind_operand(&f->operand);
	if (!resolve(b, f))
		return false;
	if (f->op == SCIM_OP_PR)
		return true;
	if (f->operand.kind == SCIM_OPERAND_NULL)
		return is_equal || fail(b, f, "null can only be compared by eq and ne");
	if (f->attr->type == SCIM_TYPE_COMPLEX && f->sub == NULL)
	{
		/* emails co "x" is emails.value co "x"; compat: manager eq "x", too */
		if (f->attr->multi || b->mode == SCIM_COMPAT)
			f->sub = scim_attr_sub(f->attr, "value", 5);
		if (f->sub == NULL)
			return fail(b, f, "a complex attribute needs a sub-attribute here");
		if (f->sub->returned == SCIM_RETURNED_NEVER)
			return fail(b, f, "the attribute is never returned and cannot be filtered on");
	}
	return bind_operand(b, f, f->sub ? f->sub : f->attr);
}

static bool bind(Binder *b, ScimFilter *f);

static bool
bind_value_path(Binder *b, ScimFilter *f)
{
	Binder		inner = *b;

	if (!resolve(b, f))
		return false;
	if (f->sub != NULL)
		return fail(b, f, "brackets follow an attribute without sub-attribute");
	if (f->attr->type != SCIM_TYPE_COMPLEX && !(b->mode == SCIM_COMPAT && f->attr->multi))
		return fail(b, f, "the attribute has no sub-attributes");
	inner.value_of = f->attr;
	return bind(&inner, f->left);
}

static ScimFilter *
new_node(Binder *b, const ScimFilter *from, ScimFilterKind kind, ScimFilter *left, ScimFilter *right)
{
	ScimFilter *node = scim_alloc0(sizeof(ScimFilter));

	if (node == NULL)
	{
		scim_fail_memory(b->err);
		return NULL;
	}
	node->kind = kind;
	node->left = left;
	node->right = right;
	node->name = from->name;
	node->position = from->position;
	return node;
}

/*
 * emails[f].value op x: some value that f selects compares; it is the value
 * path emails[f and value op x].  Two comparisons are also true when f selects
 * nothing, for then the attribute is unassigned: ne x, and eq null.
 */
static bool
rewrite_selected(Binder *b, ScimFilter *f)
{
	ScimFilter *selected = f->left;
	ScimFilter *compare = new_node(b, f, SCIM_FILTER_COMPARE, NULL, NULL);
	ScimFilter *both;
	ScimFilter *none;
	bool		is_null = f->operand.kind == SCIM_OPERAND_NULL;

	if (compare == NULL)
		return false;
	compare->op = f->op;
	compare->operand = f->operand;
	compare->name = f->sub_name;
	if (is_null && (f->op == SCIM_OP_EQ || f->op == SCIM_OP_NE))
	{
		compare->op = SCIM_OP_PR;
		compare->operand.kind = SCIM_OPERAND_NONE;
	}
	both = new_node(b, f, SCIM_FILTER_AND, selected, compare);
	if (both == NULL)
		return false;
	f->sub_name = NULL;
	if (is_null && f->op == SCIM_OP_EQ)
	{
		f->kind = SCIM_FILTER_NOT;
		f->left = new_node(b, f, SCIM_FILTER_VALUE_PATH, both, NULL);
		return f->left != NULL;
	}
	if (is_null || f->op != SCIM_OP_NE)
	{
		f->kind = SCIM_FILTER_VALUE_PATH;
		f->left = both;
		return true;
	}
	none = new_node(b, f, SCIM_FILTER_VALUE_PATH, selected, NULL);
	if (none == NULL)
		return false;
	f->left = new_node(b, f, SCIM_FILTER_VALUE_PATH, both, NULL);
	f->right = new_node(b, f, SCIM_FILTER_NOT, none, NULL);
	f->kind = SCIM_FILTER_OR;
	return f->left != NULL && f->right != NULL;
}

/* Recursion is bounded by the parser. */
static bool
bind(Binder *b, ScimFilter *f)
{
	switch (f->kind)
	{
		case SCIM_FILTER_AND:
		case SCIM_FILTER_OR:
			return bind(b, f->left) && bind(b, f->right);
		case SCIM_FILTER_NOT:
			return bind(b, f->left);
		case SCIM_FILTER_VALUE_PATH:
			return bind_value_path(b, f);
		case SCIM_FILTER_COMPARE:
			if (f->sub_name != NULL)
				return rewrite_selected(b, f) && bind(b, f);
			return bind_comparison(b, f);
	}
	return false;
}

bool
scim_filter_bind(const ScimResourceType *type, ScimFilter *filter, ScimMode mode, ScimError *err)
{
	Binder		b = {type, NULL, mode, err};

	return bind(&b, filter);
}

bool
scim_filter_bind_value(const ScimResourceType *type, ScimAttr *attr, ScimFilter *filter,
					   ScimMode mode, ScimError *err)
{
	Binder		b = {type, attr, mode, err};

	return bind(&b, filter);
}
