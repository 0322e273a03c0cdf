/*
 * core_filter_print.c
 *		Tree -> canonical text: every comparison and every and/or/not in its own
 *		parentheses, keywords in lower case, names as written, strings with the
 *		escapes that JSON demands.
 *
 * The text parses (in compat, which also has "not" before a value path) to the
 * same tree.
 */
#include <string.h>

#include "core_filter_internal.h"
#include "core_text.h"

static void
put(ScimText *out, const char *s)
{
	scim_text_put(out, s, strlen(s));
}

static void
put_operand(ScimText *out, const ScimOperand *operand)
{
	switch (operand->kind)
	{
		case SCIM_OPERAND_NONE:
			return;
		case SCIM_OPERAND_NULL:
			put(out, " null");
			return;
		case SCIM_OPERAND_NUMBER:
			put(out, " ");
			put(out, operand->text);
			return;
		case SCIM_OPERAND_BOOLEAN:
			if (operand->text == NULL)
			{
				put(out, operand->boolean ? " true" : " false");
				return;
			}
			/* compat's "True" */
			/* FALLTHROUGH */
		default:
			put(out, " ");
			scim_text_put_string(out, operand->text, operand->len);
			return;
	}
}

/* Recursion is bounded by the parser. */
static void
print(ScimText *out, const ScimFilter *f)
{
	switch (f->kind)
	{
		case SCIM_FILTER_AND:
		case SCIM_FILTER_OR:
			put(out, "(");
			print(out, f->left);
			put(out, f->kind == SCIM_FILTER_AND ? " and " : " or ");
			print(out, f->right);
			put(out, ")");
			return;
		case SCIM_FILTER_NOT:
			put(out, "(not ");
			print(out, f->left);
			put(out, ")");
			return;
		case SCIM_FILTER_VALUE_PATH:
			put(out, f->name);
			put(out, "[");
			print(out, f->left);
			put(out, "]");
			return;
		case SCIM_FILTER_COMPARE:
			put(out, "(");
			put(out, f->name);
			if (f->sub_name != NULL)
			{
				put(out, "[");
				print(out, f->left);
				put(out, "].");
				put(out, f->sub_name);
			}
			put(out, " ");
			put(out, scim_filter_op_name(f->op));
			put_operand(out, &f->operand);
			put(out, ")");
			return;
	}
}

char *
scim_filter_print(const ScimFilter *filter)
{
	ScimText	out;

	memset(&out, 0, sizeof(out));
	print(&out, filter);
	return out.failed ? NULL : out.data;
}
