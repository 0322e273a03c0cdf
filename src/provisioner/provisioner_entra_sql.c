/*
 * provisioner_entra_sql.c
 *		Values, their kinds, and what the target wants them to be.
 *
 * In Entra nearly everything is a string and is read as a number, a boolean or
 * a date where one is needed.  Here a value has the kind of its column, and the
 * conversions are those of Entra: True and False, M/d/yyyy h:mm:ss tt in UTC.
 *
 * Columns come from the catalogs and are written r.column, as everywhere in
 * the SQL of a mapping; constants are quoted literals; functions and operators
 * are named with their schema.  CASE x WHEN y, NULLIF and COALESCE have no
 * place for a schema: they find "=" because the settings that such expressions
 * are evaluated under have pg_catalog in front (catalog_identity.c).
 */
#include "postgres.h"

#include <ctype.h>

#include "access/htup_details.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "provisioner_entra_value.h"

/* An offset may stand behind a date alone, which PostgreSQL does not read; without one it is UTC. */
#define DATE_WITH_OFFSET "'^(\\d{4}-\\d\\d-\\d\\d)(Z|[+-]\\d\\d:\\d\\d)$', '\\1 00:00:00\\2'"
#define NO_OFFSET "'^(?!.*(:.*[+-]|Z$))(.*)$', '\\1 UTC'"

void
scim_entra_problem(ScimEntraCompiler *c, const ScimEntraNode *node, const char *fmt,...)
{
	StringInfoData text;
	va_list		args;
	int			missing;

	if (c->problem)
		return;
	initStringInfo(&text);
	for (;;)
	{
		va_start(args, fmt);
		missing = appendStringInfoVA(&text, fmt, args);
		va_end(args);
		if (missing == 0)
			break;
		enlargeStringInfo(&text, missing);
	}
	if (node && node->position > 0)
		appendStringInfo(&text, " (character %d of the expression)", node->position);
	c->problem = text.data;
}

void
scim_entra_note(ScimEntraCompiler *c, const char *note)
{
	ListCell   *lc;

	foreach(lc, c->notes)
		if (strcmp((const char *) lfirst(lc), note) == 0)
			return;
	c->notes = lappend(c->notes, pstrdup(note));
}

/*
 * Functions nest, and some write an argument twice: the length is bounded at
 * each step, or 64 levels could be 2^64 bytes.
 */
ScimEntraValue *
scim_entra_value(ScimEntraCompiler *c, ScimEntraValueKind kind, const char *fmt,...)
{
	ScimEntraValue *value = palloc0(sizeof(ScimEntraValue));
	StringInfoData text;
	va_list		args;
	int			missing;

	initStringInfo(&text);
	for (;;)
	{
		va_start(args, fmt);
		missing = appendStringInfoVA(&text, fmt, args);
		va_end(args);
		if (missing == 0)
			break;
		enlargeStringInfo(&text, missing);
	}
	if (text.len > SCIM_ENTRA_MAX_SQL)
		scim_entra_problem(c, NULL, "it would be more than %d bytes of SQL", SCIM_ENTRA_MAX_SQL);
	value->kind = kind;
	value->sql = c->problem ? "NULL" : text.data;
	return value;
}

const char *
scim_entra_filled(ScimEntraCompiler *c, const ScimEntraNode *node, const ScimEntraValue *value)
{
	const char *sql = scim_entra_as(c, node, value, SCIM_ENTRA_TEXT);

	if (value->constant)
		return value->constant[0] ? sql : "NULL";
	return psprintf("NULLIF(%s, '')", sql);
}

/* A literal, without the space that keeps E'' apart from what precedes it. */
static const char *
literal(const char *text)
{
	const char *quoted = quote_literal_cstr(text);

	return quoted[0] == ' ' ? quoted + 1 : quoted;
}

ScimEntraValue *
scim_entra_constant(ScimEntraCompiler *c, const char *text)
{
	ScimEntraValue *value = scim_entra_value(c, SCIM_ENTRA_TEXT, "%s", literal(text));

	value->constant = text;
	return value;
}

const ScimEntraNode *
scim_entra_arg(const ScimEntraNode *node, int i)
{
	static const ScimEntraNode omitted = {.kind = SCIM_ENTRA_OMITTED, .text = ""};

	return i < node->nargs ? node->args[i] : &omitted;
}

bool
scim_entra_given(const ScimEntraNode *node, int i)
{
	return scim_entra_arg(node, i)->kind != SCIM_ENTRA_OMITTED;
}

/* ---- columns ---- */

JsonbValue *
scim_entra_given_column(const ScimEntraColumns *columns, const char *attribute)
{
	return columns->given ? getKeyJsonValueFromContainer(columns->given, attribute, strlen(attribute), NULL) : NULL;
}

/* userPrincipalName: user_principal_name. */
static char *
snake_case(const char *name)
{
	StringInfoData out;

	initStringInfo(&out);
	for (const char *at = name; *at; at++)
	{
		bool		upper = isupper((unsigned char) *at);

		if (upper && at > name && (!isupper((unsigned char) at[-1]) || islower((unsigned char) at[1])) && at[-1] != '_')
			appendStringInfoChar(&out, '_');
		appendStringInfoChar(&out, upper ? tolower((unsigned char) *at) : *at);
	}
	return out.data;
}

/* Name of the column that holds an attribute; NULL: a problem. */
static const char *
column_of(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	JsonbValue *given = scim_entra_given_column(c->columns, node->text);
	char	   *names[3];

	if (given)
	{
		if (given->type == jbvNull)
			scim_entra_problem(c, node, "attribute \"%s\" is left out by \"columns\"", node->text);
		else if (given->type != jbvString)
			scim_entra_problem(c, node, "attribute \"%s\" lives in a child table, and is only mapped as a whole", node->text);
		else
			return pnstrdup(given->val.string.val, given->val.string.len);
		return NULL;
	}
	names[0] = unconstify(char *, node->text);
	names[1] = snake_case(node->text);
	names[2] = psprintf("%s", node->text);
	for (char *at = names[2]; *at; at++)
		*at = tolower((unsigned char) *at);
	for (int i = 0; i < lengthof(names); i++)
		if (strlen(names[i]) < NAMEDATALEN && get_attnum(c->columns->relid, names[i]) > 0)
			return names[i];
	scim_entra_problem(c, node, "there is no column for attribute \"%s\"; name one in \"columns\"", node->text);
	return NULL;
}

static ScimEntraValue *
attribute_value(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	const char *name = column_of(c, node);
	ScimEntraValue *value;
	HeapTuple	tuple;
	Form_pg_attribute att;
	const char *sql;
	const char *collate;
	Oid			base;
	char		category;
	bool		preferred;
	bool		not_null;

	if (name == NULL)
		return scim_entra_value(c, SCIM_ENTRA_TEXT, "NULL");
	tuple = SearchSysCacheAttName(c->columns->relid, name);
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for column \"%s\" of relation %u", name, c->columns->relid);
	att = (Form_pg_attribute) GETSTRUCT(tuple);
	base = getBaseType(att->atttypid);
	not_null = att->attnotnull;

	/* two columns of different collations could not be put into one function */
	collate = OidIsValid(att->attcollation) && att->attcollation != DEFAULT_COLLATION_OID ?
		" COLLATE pg_catalog.\"default\"" : "";
	sql = psprintf("r.%s", quote_identifier(NameStr(att->attname)));
	ReleaseSysCache(tuple);

	get_type_category_preferred(base, &category, &preferred);
	if (base == BOOLOID)
		value = scim_entra_value(c, SCIM_ENTRA_BOOLEAN, "%s", sql);
	else if (base == INT2OID || base == INT4OID || base == INT8OID || base == NUMERICOID ||
			 base == FLOAT4OID || base == FLOAT8OID)
		value = scim_entra_value(c, SCIM_ENTRA_NUMERIC, "%s", sql);
	else if (base == TIMESTAMPTZOID)
		value = scim_entra_value(c, SCIM_ENTRA_TIME, "pg_catalog.timezone('UTC', %s)", sql);
	else if (base == TIMESTAMPOID || base == DATEOID)
		value = scim_entra_value(c, SCIM_ENTRA_TIME, "%s::pg_catalog.timestamp", sql);
	else if (category == TYPCATEGORY_ARRAY)
		value = scim_entra_value(c, SCIM_ENTRA_LIST, "%s::pg_catalog._text%s", sql, collate);
	else
		value = scim_entra_value(c, SCIM_ENTRA_TEXT, collate[0] ? "(%s%s%s)" : "%s%s%s", sql,
								 base == TEXTOID ? "" : "::pg_catalog.text", collate);
	value->column = name;
	value->not_null = not_null;
	return value;
}

/* ---- conversions ---- */

static bool
is_number(const char *text)
{
	const char *at = text + (*text == '-');
	int			digits = strspn(at, "0123456789");

	if (digits == 0 || digits > 40)
		return false;
	at += digits;
	if (*at == '.' && at[1] != '\0' && strlen(at) <= 40)
		at += 1 + strspn(at + 1, "0123456789");
	return *at == '\0';
}

static const char *
number_literal(const char *text)
{
	return text[0] == '-' ? psprintf("(%s)", text) : text;
}

static const char *
constant_as(ScimEntraCompiler *c, const ScimEntraNode *node, const ScimEntraValue *value, ScimEntraValueKind kind)
{
	if (kind == SCIM_ENTRA_NUMERIC)
	{
		if (is_number(value->constant))
			return number_literal(value->constant);
		scim_entra_problem(c, node, "\"%s\" is no number", value->constant);
	}
	else if (kind == SCIM_ENTRA_BOOLEAN)
	{
		if (pg_strcasecmp(value->constant, "true") == 0)
			return "true";
		if (pg_strcasecmp(value->constant, "false") == 0)
			return "false";
		scim_entra_problem(c, node, "\"%s\" is neither True nor False", value->constant);
	}
	else if (kind == SCIM_ENTRA_TEXT)
		return literal(value->constant);
	return NULL;
}

const char *
scim_entra_as(ScimEntraCompiler *c, const ScimEntraNode *node, const ScimEntraValue *value, ScimEntraValueKind kind)
{
	static const char *const kind_names[] = {"a text", "a boolean", "a number", "a date", "a list"};
	const char *sql = value->constant ? constant_as(c, node, value, kind) : NULL;
	ScimEntraValueKind from = value->kind;

	if (sql)
		return sql;
	if (from == kind)
		return value->sql;
	if (kind == SCIM_ENTRA_TEXT)
	{
		if (from == SCIM_ENTRA_BOOLEAN)
			return psprintf("CASE %s WHEN true THEN 'True' WHEN false THEN 'False' END", value->sql);
		if (from == SCIM_ENTRA_NUMERIC)
			return psprintf("(%s)::pg_catalog.text", value->sql);
		if (from == SCIM_ENTRA_TIME)
			return psprintf("pg_catalog.to_char(%s, 'FMMM/FMDD/YYYY FMHH12:MI:SS AM')", value->sql);
	}
	else if (kind == SCIM_ENTRA_BOOLEAN)
	{
		if (from == SCIM_ENTRA_TEXT)
			return psprintf("NULLIF(%s, '')::pg_catalog.bool", value->sql);
		if (from == SCIM_ENTRA_NUMERIC)
			return psprintf("(%s OPERATOR(pg_catalog.<>) 0)", value->sql);
	}
	else if (kind == SCIM_ENTRA_NUMERIC && from == SCIM_ENTRA_TEXT)
		return psprintf("NULLIF(%s, '')::pg_catalog.numeric", value->sql);
	else if (kind == SCIM_ENTRA_TIME && from == SCIM_ENTRA_TEXT)
		return psprintf("pg_catalog.timezone('UTC', pg_catalog.regexp_replace(pg_catalog.regexp_replace(NULLIF(%s, ''),"
						" " DATE_WITH_OFFSET "), " NO_OFFSET ")::pg_catalog.timestamptz)", value->sql);
	else if (kind == SCIM_ENTRA_LIST && from != SCIM_ENTRA_LIST)
		return psprintf("pg_catalog.array_remove(ARRAY[%s], NULL)", scim_entra_as(c, node, value, SCIM_ENTRA_TEXT));
	scim_entra_problem(c, node, "%s is given where %s is needed", kind_names[from], kind_names[kind]);
	return "NULL";
}

const char *
scim_entra_text(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	return scim_entra_as(c, node, scim_entra_compile(c, node), SCIM_ENTRA_TEXT);
}

const char *
scim_entra_number(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	return scim_entra_as(c, node, scim_entra_compile(c, node), SCIM_ENTRA_NUMERIC);
}

const char *
scim_entra_time(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	return scim_entra_as(c, node, scim_entra_compile(c, node), SCIM_ENTRA_TIME);
}

const char *
scim_entra_list(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	return scim_entra_as(c, node, scim_entra_compile(c, node), SCIM_ENTRA_LIST);
}

const char *
scim_entra_integer(ScimEntraCompiler *c, const ScimEntraNode *node, int min)
{
	ScimEntraValue *value = scim_entra_compile(c, node);

	if (value->constant)
	{
		const char *text = value->constant;

		if (!is_number(text) || strchr(text, '.') || strlen(text) > 9)
			scim_entra_problem(c, node, "\"%s\" is no integer of up to nine digits", text);
		else if (atoi(text) < min)
			scim_entra_problem(c, node, "a number of at least %d is needed", min);
		else
			return number_literal(text);
		return "NULL";
	}
	value = scim_entra_value(c, SCIM_ENTRA_NUMERIC, "(%s)::pg_catalog.int4", scim_entra_as(c, node, value, SCIM_ENTRA_NUMERIC));
	return min == PG_INT32_MIN ? value->sql : psprintf("GREATEST(%s, %d)", value->sql, min);
}

const char *
scim_entra_constant_text(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	if (node->kind == SCIM_ENTRA_CONSTANT || node->kind == SCIM_ENTRA_NUMBER || node->kind == SCIM_ENTRA_WORD)
		return node->text;
	scim_entra_problem(c, node, "a constant is needed here");
	return "";
}

bool
scim_entra_is_truth(const ScimEntraValue *value)
{
	return value->constant && (strcmp(value->constant, "True") == 0 || strcmp(value->constant, "False") == 0);
}

ScimEntraValueKind
scim_entra_common_kind(ScimEntraValue *const *values, int n)
{
	ScimEntraValueKind common = SCIM_ENTRA_TEXT;

	for (int i = 0; i < n; i++)
	{
		ScimEntraValueKind kind = scim_entra_is_truth(values[i]) ? SCIM_ENTRA_BOOLEAN : values[i]->kind;

		if (i > 0 && kind != common)
			return SCIM_ENTRA_TEXT;
		common = kind;
	}
	return common;
}

/* ---- nodes ---- */

static bool
is_boolean_constant(const ScimEntraValue *value)
{
	return value->constant && (pg_strcasecmp(value->constant, "true") == 0 || pg_strcasecmp(value->constant, "false") == 0);
}

/*
 * What two values are compared as.  A text is read as a number only to be less
 * or greater than one: it might be none, and is equal to it as text as well.
 */
static ScimEntraValueKind
comparison_kind(const ScimEntraValue *a, const ScimEntraValue *b, bool equality)
{
	if (a->kind == SCIM_ENTRA_BOOLEAN || b->kind == SCIM_ENTRA_BOOLEAN)
		return (a->kind == b->kind || is_boolean_constant(a) || is_boolean_constant(b)) && equality ?
			SCIM_ENTRA_BOOLEAN : SCIM_ENTRA_TEXT;
	if (a->kind == SCIM_ENTRA_TIME || b->kind == SCIM_ENTRA_TIME)
		return SCIM_ENTRA_TIME;
	if (a->kind == SCIM_ENTRA_NUMERIC || b->kind == SCIM_ENTRA_NUMERIC)
	{
		const ScimEntraValue *text = a->kind == SCIM_ENTRA_TEXT ? a : b->kind == SCIM_ENTRA_TEXT ? b : NULL;

		if (text == NULL || !equality || (text->constant && is_number(text->constant)))
			return SCIM_ENTRA_NUMERIC;
	}
	return SCIM_ENTRA_TEXT;
}

static ScimEntraValue *
comparison_value(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	ScimEntraValue *a = scim_entra_compile(c, node->args[0]);
	ScimEntraValue *b = scim_entra_compile(c, node->args[1]);
	bool		equality = strcmp(node->text, "=") == 0 || strcmp(node->text, "<>") == 0;
	ScimEntraValueKind kind = comparison_kind(a, b, equality);
	const char *collate = kind == SCIM_ENTRA_TEXT && !equality ? " COLLATE pg_catalog.\"C\"" : "";

	return scim_entra_value(c, SCIM_ENTRA_BOOLEAN, "(%s%s OPERATOR(pg_catalog.%s) %s%s)",
							scim_entra_as(c, node->args[0], a, kind), collate, node->text,
							scim_entra_as(c, node->args[1], b, kind), collate);
}

ScimEntraValue *
scim_entra_compile(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	ScimEntraValue *value;

	switch (node->kind)
	{
		case SCIM_ENTRA_ATTRIBUTE:
			return attribute_value(c, node);
		case SCIM_ENTRA_CONSTANT:
			return scim_entra_constant(c, node->text);
		case SCIM_ENTRA_NUMBER:
			value = scim_entra_value(c, SCIM_ENTRA_NUMERIC, "%s", number_literal(node->text));
			value->constant = node->text;
			return value;
		case SCIM_ENTRA_WORD:
			value = scim_entra_constant(c, node->text);
			if (!is_boolean_constant(value))
				scim_entra_problem(c, node, "\"%s\" is neither a function nor a constant that is known", node->text);
			return value;
		case SCIM_ENTRA_CALL:
			return scim_entra_call(c, node);
		case SCIM_ENTRA_COMPARE:
			return comparison_value(c, node);
		case SCIM_ENTRA_OMITTED:
			break;
	}
	return scim_entra_value(c, SCIM_ENTRA_TEXT, "NULL::pg_catalog.text");
}

/* ---- what the target wants ---- */

static ScimEntraValueKind
target_kind(ScimType type, const ScimEntraValue *value)
{
	switch (type)
	{
		case SCIM_TYPE_BOOLEAN:
			return SCIM_ENTRA_BOOLEAN;
		case SCIM_TYPE_INTEGER:
		case SCIM_TYPE_DECIMAL:
			return SCIM_ENTRA_NUMERIC;
		case SCIM_TYPE_DATETIME:
			return value->kind == SCIM_ENTRA_TIME ? SCIM_ENTRA_TIME : SCIM_ENTRA_TEXT;
		default:
			return SCIM_ENTRA_TEXT;
	}
}

/* Can the column be the source as it is, and stay writable? */
static bool
is_plain(const ScimEntraValue *value, ScimEntraValueKind kind)
{
	if (value->column == NULL || value->kind == SCIM_ENTRA_LIST)
		return false;
	return kind == SCIM_ENTRA_TEXT ? value->kind != SCIM_ENTRA_BOOLEAN : kind == value->kind;
}

static ScimEntraSql
finish(const ScimEntraCompiler *c, const char *sql, bool constant)
{
	ScimEntraSql result = {.problem = c->problem, .notes = c->notes};

	if (c->problem == NULL)
	{
		result.sql = sql;
		result.constant = constant;
	}
	return result;
}

ScimEntraSql
scim_entra_sql(const ScimEntraColumns *columns, const ScimEntraNode *node, const ScimEntraTarget *target)
{
	ScimEntraCompiler c = {.columns = columns, .create_only = target->create_only};
	ScimEntraValue *value = scim_entra_compile(&c, node);
	ScimEntraValueKind kind = target_kind(target->type, value);
	const char *sql;

	if (target->default_value == NULL && is_plain(value, kind))
		return finish(&c, value->column, false);

	/* the form that can be written, too; the same where there is no null */
	if (target->default_value == NULL && kind == SCIM_ENTRA_BOOLEAN && node->kind == SCIM_ENTRA_CALL &&
		pg_strcasecmp(node->text, "Not") == 0 && node->nargs == 1)
	{
		ScimEntraValue *inner = scim_entra_compile(&c, node->args[0]);

		if (inner->column && inner->kind == SCIM_ENTRA_BOOLEAN && inner->not_null)
			return finish(&c, psprintf("NOT %s", quote_identifier(inner->column)), false);
	}

	sql = scim_entra_as(&c, node, value, kind);
	if (target->default_value)
	{
		ScimEntraValue *other = scim_entra_constant(&c, target->default_value);
		const char *other_sql = scim_entra_as(&c, NULL, other, kind);

		sql = value->constant ? sql : psprintf("COALESCE(%s, %s)", sql, other_sql);
	}
	return finish(&c, sql, value->constant != NULL);
}

ScimEntraSql
scim_entra_condition(const ScimEntraColumns *columns, const ScimEntraNode *node)
{
	ScimEntraCompiler c = {.columns = columns};
	const char *sql = scim_entra_as(&c, node, scim_entra_compile(&c, node), SCIM_ENTRA_BOOLEAN);

	return finish(&c, sql, false);
}
