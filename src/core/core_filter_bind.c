/*
 * core_filter_bind.c
 *		A tree of names -> a tree of attributes and typed operands.
 *
 * What cannot be compared is said here, before anything is evaluated: unknown
 * attributes, operators that an attribute's type does not have, operands of
 * another type (requirements, A-05 to A-09).
 */
#include <string.h>

#include "core_fold.h"
#include "core_path.h"
#include "core_value.h"

typedef struct Binder
{
	const ScimResourceType *type;
	ScimAttr   *outer;			/* attribute of the value path, inside brackets */
	ScimMode	mode;
	ScimError  *err;
} Binder;

static bool bind(Binder *b, ScimFilter *f);

static bool
fail(Binder *b, const ScimFilter *f, const char *problem)
{
	const ScimAttr *leaf = f->sub ? f->sub : f->attr;
	char		path[256];

	if (leaf == NULL)
		return scim_fail_at(b->err, 400, SCIM_INVALID_FILTER, f->position, "%s", problem);
	return scim_fail_at(b->err, 400, SCIM_INVALID_FILTER, f->position, "%s: %s",
						scim_attr_path(b->type, leaf, path, sizeof(path)), problem);
}

static ScimAttr *
value_sub(const ScimAttr *attr)
{
	return scim_attr_sub(attr, "value", 5);
}

/* ---- names ---- */

static bool
bind_outer_name(Binder *b, ScimFilter *f)
{
	size_t		len = strlen(f->name);
	ScimPath	path;

	memset(&path, 0, sizeof(path));
	if (scim_path_resolve(b->type, f->name, len, b->mode, &path) != len || path.attr == NULL)
		return fail(b, f, "unknown attribute");
	f->attr = path.attr;
	f->sub = path.sub;
	if (f->attr->returned == SCIM_RETURNED_NEVER || (f->sub && f->sub->returned == SCIM_RETURNED_NEVER))
	{
		/* not even whether it exists */
		f->attr = f->sub = NULL;
		return fail(b, f, "unknown attribute");
	}
	return true;
}

static bool
bind_inner_name(Binder *b, ScimFilter *f)
{
	size_t		len = strlen(f->name);

	f->attr = b->outer;
	f->sub = NULL;
	if (b->outer->type != SCIM_TYPE_COMPLEX)
	{
		if (b->mode == SCIM_COMPAT && scim_name_eq(f->name, len, "value"))
			return true;
		return fail(b, f, "has no sub-attributes");
	}
	f->sub = scim_attr_sub(b->outer, f->name, len);
	if (f->sub == NULL || f->sub->returned == SCIM_RETURNED_NEVER)
	{
		f->sub = NULL;
		return fail(b, f, "unknown sub-attribute");
	}
	return true;
}

/* ---- operands ---- */

static bool
is_ordering(ScimFilterOp op)
{
	return op == SCIM_OP_GT || op == SCIM_OP_GE || op == SCIM_OP_LT || op == SCIM_OP_LE;
}

static bool
is_substring(ScimFilterOp op)
{
	return op == SCIM_OP_CO || op == SCIM_OP_SW || op == SCIM_OP_EW;
}

static bool
bind_string(Binder *b, ScimFilter *f, const ScimAttr *leaf)
{
	ScimOperand *o = &f->operand;

	if (o->kind != SCIM_OPERAND_STRING)
		return fail(b, f, "is compared with a string");
	if (leaf->type == SCIM_TYPE_BINARY && (is_ordering(f->op) || is_substring(f->op)))
		return fail(b, f, "is binary and has eq, ne and pr only");
	if (leaf->case_exact || leaf->type != SCIM_TYPE_STRING)
		return true;
	o->folded = scim_fold(o->text, o->len, &o->folded_len);
	return o->folded != NULL || scim_fail_memory(b->err);
}

static bool
bind_boolean(Binder *b, ScimFilter *f)
{
	ScimOperand *o = &f->operand;

	if (is_ordering(f->op) || is_substring(f->op))
		return fail(b, f, "is boolean and has eq, ne and pr only");
	if (b->mode == SCIM_COMPAT && o->kind == SCIM_OPERAND_STRING &&
		(scim_name_eq(o->text, o->len, "true") || scim_name_eq(o->text, o->len, "false")))
	{
		o->kind = SCIM_OPERAND_BOOLEAN;
		o->boolean = o->len == 4;
	}
	return o->kind == SCIM_OPERAND_BOOLEAN || fail(b, f, "is compared with true or false");
}

static bool
bind_datetime(Binder *b, ScimFilter *f)
{
	ScimOperand *o = &f->operand;

	if (is_substring(f->op))
		return fail(b, f, "is a dateTime and has no co, sw and ew");
	if (o->kind != SCIM_OPERAND_STRING || !scim_datetime_parse(o->text, o->len, &o->usec))
		return fail(b, f, "is compared with a dateTime");
	o->kind = SCIM_OPERAND_DATETIME;
	return true;
}

static bool
bind_number(Binder *b, ScimFilter *f)
{
	if (is_substring(f->op))
		return fail(b, f, "is a number and has no co, sw and ew");
	return f->operand.kind == SCIM_OPERAND_NUMBER || fail(b, f, "is compared with a number");
}

static bool
bind_operand(Binder *b, ScimFilter *f)
{
	const ScimAttr *leaf = f->sub ? f->sub : f->attr;

	if (f->op == SCIM_OP_PR)
		return true;
	if (f->operand.kind == SCIM_OPERAND_NULL)
		return f->op == SCIM_OP_EQ || f->op == SCIM_OP_NE || fail(b, f, "only eq and ne compare with null");
	switch (leaf->type)
	{
		case SCIM_TYPE_BOOLEAN:
			return bind_boolean(b, f);
		case SCIM_TYPE_DATETIME:
			return bind_datetime(b, f);
		case SCIM_TYPE_DECIMAL:
		case SCIM_TYPE_INTEGER:
			return bind_number(b, f);
		case SCIM_TYPE_COMPLEX:
			return fail(b, f, "is complex: compare one of its sub-attributes");
		default:
			return bind_string(b, f, leaf);
	}
}

/* ---- nodes ---- */

static bool
bind_comparison(Binder *b, ScimFilter *f)
{
	if (!(b->outer ? bind_inner_name(b, f) : bind_outer_name(b, f)))
		return false;

	/*
	 * A complex attribute stands for its `value`: a multi-valued one always, a
	 * singular one in compat (manager eq "id").  Presence and null ask for the
	 * attribute itself.
	 */
	if (f->attr->type == SCIM_TYPE_COMPLEX && f->sub == NULL && f->op != SCIM_OP_PR &&
		f->operand.kind != SCIM_OPERAND_NULL && (f->attr->multi || b->mode == SCIM_COMPAT))
		f->sub = value_sub(f->attr);
	return bind_operand(b, f);
}

static bool
bind_value_path(Binder *b, ScimFilter *f)
{
	Binder		inner = *b;

	if (!bind_outer_name(b, f))
		return false;
	if (f->sub != NULL || (f->attr->type != SCIM_TYPE_COMPLEX && !f->attr->multi))
		return fail(b, f, "takes no value filter");
	inner.outer = f->attr;
	return bind(&inner, f->left) && (f->right == NULL || bind(&inner, f->right));
}

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
			return bind_comparison(b, f);
	}
	return false;
}

static bool
bind_with(const ScimResourceType *type, ScimAttr *outer, ScimFilter *filter, ScimMode mode, ScimError *err)
{
	ScimCoreFrame frame;
	Binder		b;
	bool		ok;

	b.type = type;
	b.outer = outer;
	b.mode = mode;
	b.err = err;
	scim_core_enter(&frame);
	ok = bind(&b, filter);
	scim_core_leave(&frame);
	return ok;
}

bool
scim_filter_bind(const ScimResourceType *type, ScimFilter *filter, ScimMode mode, ScimError *err)
{
	return bind_with(type, NULL, filter, mode, err);
}

bool
scim_filter_bind_value(const ScimResourceType *type, ScimAttr *attr, ScimFilter *filter,
					   ScimMode mode, ScimError *err)
{
	return bind_with(type, attr, filter, mode, err);
}
