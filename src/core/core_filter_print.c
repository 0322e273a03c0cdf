/*
 * core_filter_print.c
 *		Tree -> canonical text: every comparison and every and/or/not in its own
 *		parentheses, keywords in lower case, names as written, strings with the
 *		escapes that JSON demands.
 *
 * The text parses (in compat, which also has "not" before a value path) to the
 * same tree.
 */
#include <stdio.h>
#include <string.h>

#include "core_filter_internal.h"

typedef struct Printer
{
	char	   *data;
	size_t		len;
	size_t		size;
	bool		failed;
} Printer;

static void
put_bytes(Printer *out, const char *s, size_t n)
{
	if (out->failed)
		return;
	if (out->len + n + 1 > out->size)
	{
		size_t		size = out->size ? out->size : 256;
		char	   *data;

		while (size < out->len + n + 1)
			size *= 2;
		data = scim_realloc(out->data, size);
		if (data == NULL)
		{
			out->failed = true;
			return;
		}
		out->data = data;
		out->size = size;
	}
	memcpy(out->data + out->len, s, n);
	out->len += n;
	out->data[out->len] = '\0';
}

static void
put(Printer *out, const char *s)
{
	put_bytes(out, s, strlen(s));
}

static void
put_string(Printer *out, const char *s, size_t len)
{
	static const char specials[] = "\"\\\b\f\n\r\t";
	static const char letters[] = "\"\\bfnrt";
	char		buf[8];

	put(out, "\"");
	for (size_t i = 0; i < len; i++)
	{
		const char *special = s[i] ? strchr(specials, s[i]) : NULL;

		if (special != NULL)
		{
			buf[0] = '\\';
			buf[1] = letters[special - specials];
			put_bytes(out, buf, 2);
		}
		else if ((unsigned char) s[i] < 0x20)
		{
			snprintf(buf, sizeof(buf), "\\u%04x", (unsigned char) s[i]);
			put(out, buf);
		}
		else
			put_bytes(out, s + i, 1);
	}
	put(out, "\"");
}

static void
put_operand(Printer *out, const ScimOperand *operand)
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
			put_string(out, operand->text, operand->len);
			return;
	}
}

/* Recursion is bounded by the parser. */
static void
print(Printer *out, const ScimFilter *f)
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
	Printer		out;

	memset(&out, 0, sizeof(out));
	print(&out, filter);
	return out.failed ? NULL : out.data;
}
