/*
 * store_compare.c
 *		One comparison of a filter as SQL, on one value.
 *
 * Attributes that are not caseExact compare scim.fold(x) COLLATE "C" with a
 * folded operand, for which expression indexes serve.  `sw` adds a range that
 * such an index can serve.  What a column holds instead of the value (a code, a
 * number for a time) is compared as it is held, where the operator allows it.
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/formatting.h"

#include "store_predicate.h"
#include "../core/core_value.h"

/* ---- values ---- */

SqlValue
scim_sql_source_value(const ScimSource *src)
{
	SqlValue	v;

	v.expr = src->expr ? src->expr : psprintf("%s::pg_catalog.text", quote_literal_cstr(src->constant));
	v.cls = src->expr ? src->cls : SCIM_SQL_TEXT;
	v.is_text = src->expr == NULL || src->typid == TEXTOID;
	v.src = src->expr ? src : NULL;
	return v;
}

SqlValue
scim_sql_text_value(const char *expr)
{
	SqlValue	v = {expr, SCIM_SQL_TEXT, true, NULL};

	return v;
}

SqlValue
scim_sql_no_value(void)
{
	return scim_sql_text_value("NULL::pg_catalog.text");
}

static const char *
as_text(const SqlValue *v)
{
	return v->is_text ? v->expr : psprintf("%s::pg_catalog.text", v->expr);
}

/* ---- comparison of one value ---- */

void
scim_compare_present(PredicateContext *ctx, const SqlValue *v)
{
	if (v->cls == SCIM_SQL_TEXT)
		appendStringInfo(&ctx->sql->text, "(%s OPERATOR(pg_catalog.<>) '')", as_text(v));
	else
		appendStringInfo(&ctx->sql->text, "(%s IS NOT NULL)", v->expr);
}

static const char *
order_operator(ScimFilterOp op)
{
	switch (op)
	{
		case SCIM_OP_GT:
			return ">";
		case SCIM_OP_GE:
			return ">=";
		case SCIM_OP_LT:
			return "<";
		case SCIM_OP_LE:
			return "<=";
		default:
			return "=";
	}
}

/* "lhs op rhs" for eq, ne and the orderings, on one SQL type. */
static void
compare_plain(PredicateContext *ctx, ScimFilterOp op, const char *lhs, const char *rhs)
{
	if (op == SCIM_OP_NE)
		appendStringInfo(&ctx->sql->text, "(%s IS DISTINCT FROM %s)", lhs, rhs);
	else
		appendStringInfo(&ctx->sql->text, "(%s OPERATOR(pg_catalog.%s) %s)", lhs, order_operator(op), rhs);
}

/*
 * The least string that is greater than all strings with this prefix, in the
 * order of bytes; NULL if there is none.  The last character is replaced by
 * the next one, so that the result is valid UTF-8.
 */
static char *
prefix_end(const char *prefix, size_t len)
{
	char	   *end = pnstrdup(prefix, len);

	while (len > 0)
	{
		size_t		start = len - 1;
		pg_wchar	c;
		unsigned char buf[8];

		while (start > 0 && ((unsigned char) end[start] & 0xC0) == 0x80)
			start--;
		c = utf8_to_unicode((unsigned char *) end + start) + 1;
		if (c == 0xD800)
			c = 0xE000;
		if (c <= 0x10FFFF)
		{
			unicode_to_utf8(c, buf);
			return psprintf("%.*s%.*s", (int) start, end, pg_utf_mblen(buf), (char *) buf);
		}
		len = start;
	}
	return NULL;
}

/* The comparisons of texts: "lhs" and the operand in one spelling. */
static void
compare_texts(PredicateContext *ctx, ScimFilterOp op, const SqlValue *v, const char *lhs, const char *operand, size_t len)
{
	StringInfo	text = &ctx->sql->text;
	int			n = scim_sql_text(ctx->sql, operand);
	char	   *end;

	switch (op)
	{
		case SCIM_OP_CO:
			appendStringInfo(text, "(pg_catalog.strpos(%s, $%d) OPERATOR(pg_catalog.>) 0)", lhs, n);
			return;
		case SCIM_OP_SW:
			if (len == 0)
			{
				appendStringInfo(text, "(%s IS NOT NULL)", v->expr);
				return;
			}
			end = prefix_end(operand, len);
			appendStringInfo(text, "(%s OPERATOR(pg_catalog.>=) $%d", lhs, n);
			if (end)
				appendStringInfo(text, " AND %s OPERATOR(pg_catalog.<) $%d", lhs, scim_sql_text(ctx->sql, end));
			appendStringInfo(text, " AND pg_catalog.starts_with(%s, $%d))", lhs, n);
			return;
		case SCIM_OP_EW:
			appendStringInfo(text, "(%s IS NOT NULL AND pg_catalog.right(%s, pg_catalog.length($%d)) OPERATOR(pg_catalog.=) $%d"
							 " AND pg_catalog.length(%s) OPERATOR(pg_catalog.>=) pg_catalog.length($%d))",
							 v->expr, lhs, n, n, lhs, n);
			return;
		case SCIM_OP_GT:
		case SCIM_OP_GE:
		case SCIM_OP_LT:
		case SCIM_OP_LE:
			/* an empty string is unassigned to an ordering */
			appendStringInfo(text, "(%s OPERATOR(pg_catalog.<>) '' AND %s OPERATOR(pg_catalog.%s) $%d)",
							 as_text(v), lhs, order_operator(op), n);
			return;
		default:
			compare_plain(ctx, op, lhs, psprintf("$%d", n));
			return;
	}
}

/*
 * The fold of the table's own index: lower(), upper(), or citext's.  Equality is left to
 * it; the other operators compare the folded text by bytes.
 */
static void
compare_as_stored(PredicateContext *ctx, const SqlValue *v, const ScimFilter *f)
{
	const ScimSource *src = v->src;
	const char *function = src->fold ? src->fold : "pg_catalog.lower";
	const char *bare = src->raw ? src->raw : v->expr;
	const char *folded = src->folded ? psprintf("%s::pg_catalog.text", src->folded) : psprintf("%s(%s)", function, as_text(v));
	Datum		operand;

	if (f->op == SCIM_OP_EQ && src->citext)
	{
		/* citext's own operator, which its index is for; it is where the type is */
		appendStringInfo(&ctx->sql->text, "(%s OPERATOR(%s.=) $%d::%s)", bare, src->citext,
						 scim_sql_text(ctx->sql, f->operand.text), src->type_name);
		return;
	}
	if (f->op == SCIM_OP_EQ)
	{
		appendStringInfo(&ctx->sql->text, "(%s OPERATOR(pg_catalog.=) %s($%d))", src->folded ? src->folded : psprintf("%s(%s)", function, bare),
						 function, scim_sql_text(ctx->sql, f->operand.text));
		return;
	}
	operand = DirectFunctionCall1Coll(strcmp(function, "pg_catalog.upper") == 0 ? upper : lower, DEFAULT_COLLATION_OID, CStringGetTextDatum(f->operand.text));
	compare_texts(ctx, f->op, v, psprintf("%s COLLATE \"C\"", folded), TextDatumGetCString(operand),
				  VARSIZE_ANY_EXHDR(DatumGetPointer(operand)));
}

/*
 * In the built-in store the owner of a value that a schema of a user's says is
 * unique is found by its digest: the documents have no index on it.
 */
static bool
append_unique_owner(PredicateContext *ctx, const ScimAttr *attr, const char *operand)
{
	const ScimResourceType *type = ctx->target->type;
	const ScimAttr *top = attr->parent ? attr->parent : attr;
	const ScimSchema *schema = top->ext < 0 ? type->schema : type->exts[top->ext].schema;
	char		path[1024];

	/* (an owner of an endpoint that is not the store role may lack the right) */
	if (!ctx->mapping->builtin || top->common || schema->builtin || attr->uniqueness == SCIM_UNIQUE_NONE || ctx->mapping->nscope != 1 ||
		pg_class_aclcheck(scim_own_relid("_unique_values"), GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		return false;
	appendStringInfo(&ctx->sql->text, "(%s IN (SELECT v.resource_id FROM scim._unique_values v WHERE v.tenant OPERATOR(pg_catalog.=) $%d"
					 " AND v.resource_type OPERATOR(pg_catalog.=) %s AND v.attribute OPERATOR(pg_catalog.=) %s"
					 " AND v.digest OPERATOR(pg_catalog.=) pg_catalog.sha256(pg_catalog.convert_to($%d, 'UTF8'))) AND ",
					 ctx->mapping->key.id.expr, ctx->scope, quote_literal_cstr(type->name),
					 quote_literal_cstr(scim_attr_path(type, attr, path, sizeof(path))), scim_sql_text(ctx->sql, operand));
	return true;
}

static void
compare_string(PredicateContext *ctx, const ScimAttr *attr, const SqlValue *v, const ScimFilter *f)
{
	bool		fold = !attr->case_exact && f->operand.folded != NULL;
	const char *operand = fold ? f->operand.folded : f->operand.text;
	size_t		len = fold ? f->operand.folded_len : f->operand.len;
	const char *lhs;
	bool		by_owner;

	/* a uuid in another spelling is another text, and the index is on the type */
	if (v->cls == SCIM_SQL_UUID && (f->op == SCIM_OP_EQ || f->op == SCIM_OP_NE))
	{
		if (!scim_is_uuid_text(f->operand.text))
			appendStringInfoString(&ctx->sql->text, f->op == SCIM_OP_NE ? "true" : "false");
		else
			compare_plain(ctx, f->op, v->expr,
						  psprintf("$%d::pg_catalog.uuid", scim_sql_text(ctx->sql, operand)));
		return;
	}

	if (fold && v->src && (v->src->fold || v->src->citext))
	{
		compare_as_stored(ctx, v, f);
		return;
	}
	if (fold)
		lhs = psprintf("scim.fold(%s) COLLATE \"C\"", as_text(v));
	else
		lhs = psprintf("%s COLLATE \"C\"", as_text(v));
	by_owner = f->op == SCIM_OP_EQ && append_unique_owner(ctx, attr, operand);
	compare_texts(ctx, f->op, v, lhs, operand, len);
	if (by_owner)
		appendStringInfoChar(&ctx->sql->text, ')');
}

static void
compare_number(PredicateContext *ctx, const SqlValue *v, const ScimFilter *f)
{
	const char *operand = f->operand.is_integer ?
		psprintf(INT64_FORMAT, f->operand.integer) : f->operand.text;
	int			n = scim_sql_text(ctx->sql, operand);

	if (v->cls == SCIM_SQL_INTEGER && f->operand.is_integer)
		compare_plain(ctx, f->op, v->expr, psprintf("$%d::pg_catalog.int8", n));
	else
		compare_plain(ctx, f->op, psprintf("%s::pg_catalog.numeric", v->expr), psprintf("$%d::pg_catalog.numeric", n));
}

/* ---- values that are stored as something else ---- */

static bool
is_same_label(const ScimAttr *attr, const char *label, const ScimFilter *f)
{
	if (f->operand.kind == SCIM_OPERAND_BOOLEAN)
		return (strcmp(label, "true") == 0) == f->operand.boolean;
	if (f->operand.kind != SCIM_OPERAND_STRING)
		return false;
	return scim_value_compare(attr, scim_store_json_string(label), scim_store_json_string(f->operand.text)) == 0;
}

/* eq on a code: the codes with that label, for which the column's index serves. */
static void
compare_code(PredicateContext *ctx, const ScimAttr *attr, const ScimSource *src, const ScimFilter *f)
{
	StringInfo	text = &ctx->sql->text;
	bool		any = false;

	appendStringInfoChar(text, '(');
	for (int i = 0; i < src->ncodes; i++)
		if (is_same_label(attr, src->codes[i].label, f))
		{
			appendStringInfo(text, "%s%s OPERATOR(pg_catalog.=) %s::%s", any ? " OR " : "", src->raw,
							 quote_literal_cstr(src->codes[i].code), src->column_type);
			any = true;
		}
	appendStringInfoString(text, any ? ")" : "false)");
}

/* A time in a number, against the number that is due: exact. */
static void
compare_epoch(PredicateContext *ctx, const ScimSource *src, const ScimFilter *f)
{
	int64		unit = src->time == SCIM_TIME_SECONDS ? 1000000 : 1000;
	char	   *number = psprintf(INT64_FORMAT, f->operand.usec / unit);

	if (f->operand.usec % unit == 0)
		compare_plain(ctx, f->op, src->raw, psprintf("$%d::pg_catalog.int8", scim_sql_text(ctx->sql, number)));
	else
		compare_plain(ctx, f->op, psprintf("%s::pg_catalog.numeric", src->raw),
					  psprintf("($%d::pg_catalog.numeric OPERATOR(pg_catalog./) %d)",
							   scim_sql_text(ctx->sql, psprintf(INT64_FORMAT, f->operand.usec)), (int) unit));
}

/*
 * Comparisons that hold for no missing value can be made where the value is
 * stored, and as it is stored: there indexes are.  False: not this one.
 */
static bool
compare_stored(PredicateContext *ctx, const ScimAttr *attr, const ScimSource *src, const ScimFilter *f)
{
	StringInfo	text = &ctx->sql->text;
	char		buf[SCIM_DATETIME_SIZE];
	SqlValue	v;
	ScimSource	bare;

	if (f->operand.kind == SCIM_OPERAND_NULL ? f->op != SCIM_OP_NE : f->op == SCIM_OP_NE)
		return false;
	if (src->side && src->inner)
	{
		appendStringInfo(text, "EXISTS (SELECT 1 FROM %s c WHERE ", src->side->relation);
		scim_mapping_side_join(ctx->mapping, src->side, text);
		appendStringInfoString(text, " AND ");
		v = scim_sql_source_value(src->inner);
		scim_compare_value(ctx, attr, &v, f, false);
		appendStringInfoChar(text, ')');
		return true;
	}
	if (src->raw == NULL || f->op == SCIM_OP_PR || f->operand.kind == SCIM_OPERAND_NULL ||
		(src->time != SCIM_TIME_NATIVE && f->operand.kind != SCIM_OPERAND_DATETIME))
		return false;
	if (src->ncodes > 0)
	{
		if (f->op != SCIM_OP_EQ)
			return false;
		compare_code(ctx, attr, src, f);
		return true;
	}

	appendStringInfoChar(text, '(');
	if (f->operand.kind == SCIM_OPERAND_DATETIME && src->time == SCIM_TIME_UTC)
	{
		scim_datetime_print(f->operand.usec, buf);
		compare_plain(ctx, f->op, src->raw, psprintf("($%d::pg_catalog.timestamptz AT TIME ZONE 'UTC')", scim_sql_text(ctx->sql, buf)));
	}
	else if (f->operand.kind == SCIM_OPERAND_DATETIME && src->time != SCIM_TIME_NATIVE)
		compare_epoch(ctx, src, f);
	else
	{
		bare = *src;
		bare.expr = src->raw;
		bare.raw = NULL;
		v = scim_sql_source_value(&bare);
		scim_compare_value(ctx, attr, &v, f, false);
	}
	if (src->null_text)
		appendStringInfo(text, " AND %s OPERATOR(pg_catalog.<>) %s::%s", src->raw, quote_literal_cstr(src->null_text), src->column_type);
	appendStringInfoChar(text, ')');
	return true;
}

bool
scim_compare_id(PredicateContext *ctx, const ScimMapping *to, const char *key, const ScimFilter *f)
{
	StringInfo	text = &ctx->sql->text;
	int			id;

	if ((f->op != SCIM_OP_EQ && f->op != SCIM_OP_NE) || f->operand.kind != SCIM_OPERAND_STRING)
		return false;
	if (!scim_key_id_valid(&to->key, f->operand.text))
	{
		appendStringInfoString(text, f->op == SCIM_OP_NE ? "true" : "false");
		return true;
	}
	id = scim_sql_id(ctx->sql, to, f->operand.text);
	if (key)
		appendStringInfo(text, "(%s OPERATOR(pg_catalog.=) %s)", key, scim_sql_key(to, id));
	else
		appendStringInfo(text, "(%s)", scim_sql_is_id(to, id));
	if (f->op == SCIM_OP_NE)
		appendStringInfoString(text, " IS NOT TRUE");
	return true;
}

/* A sub-attribute with several values: one of them compares; ne is true of none, too. */
static void
compare_several(PredicateContext *ctx, const ScimAttr *attr, const SqlValue *v, const ScimFilter *f)
{
	StringInfo	text = &ctx->sql->text;
	SqlValue	element = scim_sql_text_value("s.v");

	appendStringInfo(text, "(EXISTS (SELECT 1 FROM pg_catalog.jsonb_array_elements_text(%s::pg_catalog.jsonb) s(v) WHERE ", v->expr);
	scim_compare_value(ctx, attr, &element, f, false);
	appendStringInfoChar(text, ')');
	if (f->op == SCIM_OP_NE)
		appendStringInfo(text, " OR %s IS NULL", v->expr);
	appendStringInfoChar(text, ')');
}

void
scim_compare_value(PredicateContext *ctx, const ScimAttr *attr, const SqlValue *v, const ScimFilter *f, bool in_element)
{
	char		buf[SCIM_DATETIME_SIZE];
	const char *expr;

	if (v->src && v->src->ref_columns && scim_compare_id(ctx, v->src->ref_target, v->src->ref_columns->row, f))
		return;
	if (v->src && compare_stored(ctx, attr, v->src, f))
		return;
	if (f->op == SCIM_OP_PR || (f->op == SCIM_OP_NE && f->operand.kind == SCIM_OPERAND_NULL))
	{
		scim_compare_present(ctx, v);
		return;
	}
	if (f->operand.kind == SCIM_OPERAND_NULL)
	{
		appendStringInfoChar(&ctx->sql->text, '(');
		scim_compare_present(ctx, v);
		appendStringInfoString(&ctx->sql->text, " IS NOT TRUE)");
		return;
	}
	if (v->src && v->src->several)
	{
		compare_several(ctx, attr, v, f);
		return;
	}

	switch (f->operand.kind)
	{
		case SCIM_OPERAND_BOOLEAN:
			expr = v->cls == SCIM_SQL_BOOLEAN ? v->expr : psprintf("%s::pg_catalog.bool", as_text(v));
			if (in_element && strcmp(attr->name, "primary") == 0)
				expr = psprintf("coalesce(%s, false)", expr);
			compare_plain(ctx, f->op, expr, f->operand.boolean ? "true" : "false");
			return;
		case SCIM_OPERAND_NUMBER:
			compare_number(ctx, v, f);
			return;
		case SCIM_OPERAND_DATETIME:
			scim_datetime_print(f->operand.usec, buf);
			expr = v->cls == SCIM_SQL_TIMESTAMPTZ ? v->expr : scim_time_sql(as_text(v));
			compare_plain(ctx, f->op, expr, psprintf("$%d::pg_catalog.timestamptz", scim_sql_text(ctx->sql, buf)));
			return;
		default:
			compare_string(ctx, attr, v, f);
			return;
	}
}
