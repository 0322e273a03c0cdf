/*
 * provisioner_entra_function.c
 *		The functions of Entra's expressions, in SQL.
 *
 * What each does is in Microsoft's "Reference for writing expressions for
 * attribute mappings"; where that is silent on null, null in is null out.
 * docs/entra-import.md lists them with what they become.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "mb/pg_wchar.h"
#include "nodes/value.h"
#include "utils/builtins.h"

#include "provisioner_entra_value.h"


typedef ScimEntraValue *(*Handler) (ScimEntraCompiler *c, const ScimEntraNode *node);

typedef struct Function
{
	const char *name;
	Handler		handler;		/* NULL: it is not translated */
	int			min;			/* arguments that it needs */
	int			max;
	const char *parameters[8];	/* names in the parsed tree, where some may be left out */
	const char *reason;			/* why it is not translated */
} Function;

#define MANY 1000

static ScimEntraValue *
null_text(ScimEntraCompiler *c)
{
	return scim_entra_value(c, SCIM_ENTRA_TEXT, "NULL::pg_catalog.text");
}

/* ---- text ---- */

static ScimEntraValue *
do_append(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	const char *source = scim_entra_text(c, scim_entra_arg(node, 0));
	ScimEntraValue *suffix = scim_entra_compile(c, scim_entra_arg(node, 1));

	return scim_entra_value(c, SCIM_ENTRA_TEXT, suffix->constant ? "(%s OPERATOR(pg_catalog.||) %s)" :
							"(%s OPERATOR(pg_catalog.||) COALESCE(%s, ''))",
							source, scim_entra_as(c, scim_entra_arg(node, 1), suffix, SCIM_ENTRA_TEXT));
}

/* Entra's example Join(", ", "", [surname], [givenName]) shows that what is empty is left out. */
static ScimEntraValue *
do_join(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	const char *separator = scim_entra_text(c, scim_entra_arg(node, 0));
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 1; i < node->nargs && c->problem == NULL; i++)
	{
		ScimEntraValue *value = scim_entra_compile(c, scim_entra_arg(node, i));

		if (value->kind == SCIM_ENTRA_LIST)
			appendStringInfo(&list, ", NULLIF(pg_catalog.array_to_string(%s, %s), '')", value->sql, separator);
		else
			appendStringInfo(&list, ", %s", scim_entra_filled(c, scim_entra_arg(node, i), value));
	}
	return scim_entra_value(c, SCIM_ENTRA_TEXT, "pg_catalog.concat_ws(%s%s)", separator, list.data);
}

/* None of a null is "", a negative number is all of it. */
static ScimEntraValue *
do_left(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	const char *text = scim_entra_text(c, scim_entra_arg(node, 0));
	const char *count = scim_entra_integer(c, scim_entra_arg(node, 1), PG_INT32_MIN);

	if (count[0] >= '0' && count[0] <= '9')
		return scim_entra_value(c, SCIM_ENTRA_TEXT, "COALESCE(pg_catalog.left(%s, %s), '')", text, count);
	return scim_entra_value(c, SCIM_ENTRA_TEXT,
							"COALESCE(pg_catalog.substr(%s, 1, COALESCE(NULLIF(GREATEST(%s, -1), -1), 2147483647)), '')",
							text, count);
}

static ScimEntraValue *
do_mid(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	const char *text = scim_entra_text(c, scim_entra_arg(node, 0));
	const char *start = scim_entra_integer(c, scim_entra_arg(node, 1), 1);

	return scim_entra_value(c, SCIM_ENTRA_TEXT, "pg_catalog.substr(%s, %s, %s)", text, start,
							scim_entra_integer(c, scim_entra_arg(node, 2), 0));
}

/* lower or upper; a culture is a collation of ICU. */
static ScimEntraValue *
change_case(ScimEntraCompiler *c, const ScimEntraNode *node, const char *function)
{
	const char *text = scim_entra_text(c, scim_entra_arg(node, 0));
	const char *culture = scim_entra_given(node, 1) ? scim_entra_constant_text(c, scim_entra_arg(node, 1)) : "";
	char	   *collation;

	if (culture[0] == '\0')
		return scim_entra_value(c, SCIM_ENTRA_TEXT, "pg_catalog.%s(%s)", function, text);
	collation = psprintf("%s-x-icu", culture);
	if (strlen(collation) >= NAMEDATALEN ||
		!OidIsValid(get_collation_oid(list_make2(makeString("pg_catalog"), makeString(collation)), true)))
		scim_entra_problem(c, scim_entra_arg(node, 1), "this database has no collation for the culture \"%s\"", culture);

	/* the result goes back to the collation that everything else has */
	return scim_entra_value(c, SCIM_ENTRA_TEXT, "(pg_catalog.%s(%s COLLATE pg_catalog.%s) COLLATE pg_catalog.\"default\")",
							function, text, quote_identifier(collation));
}

static ScimEntraValue *
do_to_lower(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	return change_case(c, node, "lower");
}

static ScimEntraValue *
do_to_upper(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	return change_case(c, node, "upper");
}

static ScimEntraValue *
do_strip_spaces(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	return scim_entra_value(c, SCIM_ENTRA_TEXT, "pg_catalog.replace(%s, ' ', '')", scim_entra_text(c, scim_entra_arg(node, 0)));
}

/* Combining marks go; then the letters that have no decomposition. */
static ScimEntraValue *
do_normalize_diacritics(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	static const char *const letters[][2] = {
		{"\303\246", "ae"}, {"\303\206", "AE"}, {"\303\270", "oe"}, {"\303\230", "OE"}, {"\305\223", "oe"}, {"\305\222", "OE"},
		{"\303\237", "ss"}, {"\305\202", "l"}, {"\305\201", "L"}, {"\304\261", "i"}
	};
	const char *sql = psprintf("pg_catalog.regexp_replace(pg_catalog.normalize(%s, 'NFD'), '[\\u0300-\\u036f]', '', 'g')",
							   scim_entra_text(c, scim_entra_arg(node, 0)));

	for (int i = 0; i < lengthof(letters); i++)
		sql = psprintf("pg_catalog.replace(%s, '%s', '%s')", sql, letters[i][0], letters[i][1]);
	return scim_entra_value(c, SCIM_ENTRA_TEXT, "pg_catalog.normalize(%s, 'NFC')", sql);
}

/* Characters as they stand inside of the brackets of a regular expression. */
static char *
class_of(const char *characters)
{
	StringInfoData out;

	initStringInfo(&out);
	for (const char *at = characters; *at; at += pg_mblen(at))
	{
		if (strchr("\\]^-[", *at) != NULL)
			appendStringInfoChar(&out, '\\');
		appendBinaryStringInfo(&out, at, pg_mblen(at));
	}
	return out.data;
}

static ScimEntraValue *
do_proper_case(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	const char *text = scim_entra_text(c, scim_entra_arg(node, 0));
	const char *separators = scim_entra_given(node, 1) ? scim_entra_constant_text(c, scim_entra_arg(node, 1)) : "";
	char	   *class;

	if (separators[0] == '\0')
		return scim_entra_value(c, SCIM_ENTRA_TEXT, "pg_catalog.initcap(%s)", text);
	class = class_of(separators);
	return scim_entra_value(c, SCIM_ENTRA_TEXT,
							"(SELECT pg_catalog.string_agg(pg_catalog.upper(pg_catalog.left(t.m[1], 1))"
							" OPERATOR(pg_catalog.||) pg_catalog.lower(pg_catalog.substr(t.m[1], 2)), '' ORDER BY t.n)"
							" FROM pg_catalog.regexp_matches(%s, %s, 'g') WITH ORDINALITY AS t(m, n))",
							text, quote_literal_cstr(psprintf("[^%s]+|[%s]+", class, class)));
}

/* All delimiters become the first. */
static ScimEntraValue *
do_word(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	const char *text = scim_entra_text(c, scim_entra_arg(node, 0));
	const char *number = scim_entra_integer(c, scim_entra_arg(node, 1), PG_INT32_MIN);
	const char *delimiters = scim_entra_constant_text(c, scim_entra_arg(node, 2));
	const char *first;
	int			n = pg_mbstrlen(delimiters);

	if (n == 0)
	{
		scim_entra_problem(c, scim_entra_arg(node, 2), "a delimiter is needed");
		return null_text(c);
	}
	first = pnstrdup(delimiters, pg_mblen(delimiters));
	if (n > 1)
		text = psprintf("pg_catalog.translate(%s, %s, pg_catalog.repeat(%s, %d))", text,
						quote_literal_cstr(delimiters + strlen(first)), quote_literal_cstr(first), n - 1);
	return scim_entra_value(c, SCIM_ENTRA_TEXT,
							"COALESCE((pg_catalog.array_remove(pg_catalog.string_to_array(%s, %s), ''))[%s], '')",
							text, quote_literal_cstr(first), number);
}

static ScimEntraValue *
do_in_str(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	const char *text = scim_entra_text(c, scim_entra_arg(node, 0));
	const char *wanted = scim_entra_text(c, scim_entra_arg(node, 1));
	const char *type = scim_entra_given(node, 3) ? scim_entra_constant_text(c, scim_entra_arg(node, 3)) : "vbBinaryCompare";
	const char *start;

	if (pg_strcasecmp(type, "vbTextCompare") == 0 || strcmp(type, "1") == 0)
	{
		text = psprintf("pg_catalog.lower(%s)", text);
		wanted = psprintf("pg_catalog.lower(%s)", wanted);
	}
	else if (pg_strcasecmp(type, "vbBinaryCompare") != 0 && strcmp(type, "0") != 0)
		scim_entra_problem(c, scim_entra_arg(node, 3), "\"%s\" is neither vbTextCompare nor vbBinaryCompare", type);
	if (!scim_entra_given(node, 2))
		return scim_entra_value(c, SCIM_ENTRA_NUMERIC, "COALESCE(pg_catalog.strpos(%s, %s), 0)", text, wanted);
	start = scim_entra_integer(c, scim_entra_arg(node, 2), 1);
	return scim_entra_value(c, SCIM_ENTRA_NUMERIC,
							"COALESCE(NULLIF(pg_catalog.strpos(pg_catalog.substr(%s, %s), %s), 0)"
							" OPERATOR(pg_catalog.+) (%s OPERATOR(pg_catalog.-) 1), 0)",
							text, start, wanted, start);
}

/* "Unicode" is UTF-16, low byte first; beyond 16 bits two surrogates. */
static ScimEntraValue *
do_convert_to_base64(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	static const char *const units[] = {
		"t.u",
		"pg_catalog.int4pl(55296, pg_catalog.int4div(pg_catalog.int4mi(t.u, 65536), 1024))",
		"pg_catalog.int4pl(56320, pg_catalog.mod(t.u, 1024))"
	};
	const char *bytes[lengthof(units)];

	for (int i = 0; i < lengthof(units); i++)
		bytes[i] = psprintf("pg_catalog.byteacat(pg_catalog.substr(pg_catalog.int4send(%s), 4, 1),"
							" pg_catalog.substr(pg_catalog.int4send(%s), 3, 1))", units[i], units[i]);
	return scim_entra_value(c, SCIM_ENTRA_TEXT,
							"(SELECT pg_catalog.translate(pg_catalog.encode(pg_catalog.string_agg("
							"CASE WHEN pg_catalog.int4lt(t.u, 65536) THEN %s ELSE pg_catalog.byteacat(%s, %s) END,"
							" '' ORDER BY t.n), 'base64'), E'\\n', '')"
							" FROM (SELECT pg_catalog.ascii(s.c) AS u, s.n FROM pg_catalog.regexp_split_to_table(%s, '')"
							" WITH ORDINALITY AS s(c, n)) AS t)",
							bytes[0], bytes[1], bytes[2], scim_entra_text(c, scim_entra_arg(node, 0)));
}

static ScimEntraValue *
do_convert_to_utf8_hex(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	return scim_entra_value(c, SCIM_ENTRA_TEXT,
							"pg_catalog.upper(pg_catalog.encode(pg_catalog.convert_to(%s, 'UTF8'), 'hex'))",
							scim_entra_text(c, scim_entra_arg(node, 0)));
}

static ScimEntraValue *
do_c_str(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	return scim_entra_value(c, SCIM_ENTRA_TEXT, "%s", scim_entra_text(c, scim_entra_arg(node, 0)));
}

/* ---- Replace ---- */

/* The forms with a pattern; source and pattern are there. */
static ScimEntraValue *
replace_pattern(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	const char *source = scim_entra_text(c, scim_entra_arg(node, 0));
	const char *pattern = scim_entra_constant_text(c, scim_entra_arg(node, 2));
	const char *group = scim_entra_given(node, 3) ? scim_entra_constant_text(c, scim_entra_arg(node, 3)) : NULL;
	bool		extract = group && scim_entra_given(node, 5);
	ScimEntraRegex regex;
	const char *problem = NULL;
	const char *replacement;

	if (c->problem == NULL &&
		!scim_entra_regex(pattern, extract ? SCIM_ENTRA_REGEX_EXTRACT :
						  group ? SCIM_ENTRA_REGEX_PART : SCIM_ENTRA_REGEX_REPLACE, group, &regex, &problem))
		scim_entra_problem(c, scim_entra_arg(node, 2), "%s", problem);
	if (c->problem)
		return null_text(c);
	if (extract)
		return scim_entra_value(c, SCIM_ENTRA_TEXT, "COALESCE(NULLIF(%s, ''), pg_catalog.substring(%s, %s))", source,
								scim_entra_text(c, scim_entra_arg(node, 5)), quote_literal_cstr(regex.pattern));
	if (!scim_entra_given(node, 4))
	{
		scim_entra_problem(c, node, "a replacement is needed");
		return null_text(c);
	}
	replacement = scim_entra_replacement(&regex, scim_entra_constant_text(c, scim_entra_arg(node, 4)), &problem);
	if (replacement == NULL)
	{
		scim_entra_problem(c, scim_entra_arg(node, 4), "%s", problem);
		return null_text(c);
	}
	if (group)
		replacement = psprintf("\\1%s\\3", replacement);
	return scim_entra_value(c, SCIM_ENTRA_TEXT, "pg_catalog.regexp_replace(%s, %s, %s, 'g')", source,
							quote_literal_cstr(regex.pattern), quote_literal_cstr(replacement));
}

static ScimEntraValue *
do_replace(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	bool		old = scim_entra_given(node, 1);
	bool		template = scim_entra_given(node, 6);

	if (scim_entra_given(node, 2) && !old && !template)
		return replace_pattern(c, node);
	if (scim_entra_given(node, 2) || !old || template == scim_entra_given(node, 4))
	{
		scim_entra_problem(c, node, "this combination of parameters of Replace is not described");
		return null_text(c);
	}
	if (template)
		return scim_entra_value(c, SCIM_ENTRA_TEXT, "pg_catalog.replace(%s, %s, %s)", scim_entra_text(c, scim_entra_arg(node, 6)),
								scim_entra_text(c, scim_entra_arg(node, 1)), scim_entra_text(c, scim_entra_arg(node, 0)));
	return scim_entra_value(c, SCIM_ENTRA_TEXT, "pg_catalog.replace(%s, %s, %s)", scim_entra_text(c, scim_entra_arg(node, 0)),
							scim_entra_text(c, scim_entra_arg(node, 1)), scim_entra_text(c, scim_entra_arg(node, 4)));
}

/* ---- choices ---- */

static ScimEntraValue *
do_coalesce(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	ScimEntraValue **values = palloc(sizeof(ScimEntraValue *) * node->nargs);
	ScimEntraValueKind kind;
	StringInfoData list;

	for (int i = 0; i < node->nargs && c->problem == NULL; i++)
		values[i] = scim_entra_compile(c, node->args[i]);
	if (c->problem)
		return null_text(c);
	kind = scim_entra_common_kind(values, node->nargs);
	initStringInfo(&list);
	for (int i = 0; i < node->nargs; i++)
		appendStringInfo(&list, "%s%s", i ? ", " : "", scim_entra_as(c, node->args[i], values[i], kind));
	return scim_entra_value(c, kind, "COALESCE(%s)", list.data);
}

static ScimEntraValue *
do_iif(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	ScimEntraValue *condition = scim_entra_compile(c, scim_entra_arg(node, 0));
	ScimEntraValue *values[2];
	ScimEntraValueKind kind;

	values[0] = scim_entra_compile(c, scim_entra_arg(node, 1));
	values[1] = scim_entra_compile(c, scim_entra_arg(node, 2));
	kind = scim_entra_common_kind(values, 2);
	return scim_entra_value(c, kind, "CASE WHEN %s THEN %s ELSE %s END",
							scim_entra_as(c, scim_entra_arg(node, 0), condition, SCIM_ENTRA_BOOLEAN),
							scim_entra_as(c, scim_entra_arg(node, 1), values[0], kind), scim_entra_as(c, scim_entra_arg(node, 2), values[1], kind));
}

/*
 * A source without a value has the key "".  A boolean is compared as one if all
 * keys are.
 */
static ScimEntraValue *
do_switch(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	ScimEntraValue **values = palloc(sizeof(ScimEntraValue *) * node->nargs);
	ScimEntraValue **keys = palloc(sizeof(ScimEntraValue *) * node->nargs);
	ScimEntraValue *source = scim_entra_compile(c, scim_entra_arg(node, 0));
	int			nvalues = 0;
	bool		has_default = scim_entra_given(node, 1);
	ScimEntraValueKind key_kind = source->kind == SCIM_ENTRA_BOOLEAN ? SCIM_ENTRA_BOOLEAN : SCIM_ENTRA_TEXT;
	ScimEntraValueKind kind;
	StringInfoData branches;

	if (node->nargs % 2 != 0)
		scim_entra_problem(c, node, "keys and values come in pairs");
	if (has_default)
		values[nvalues++] = scim_entra_compile(c, scim_entra_arg(node, 1));
	for (int i = 3; i < node->nargs && c->problem == NULL; i += 2)
		values[nvalues++] = scim_entra_compile(c, scim_entra_arg(node, i));
	for (int i = 2; i < node->nargs && c->problem == NULL; i += 2)
	{
		keys[i] = scim_entra_compile(c, scim_entra_arg(node, i));
		if (!scim_entra_is_truth(keys[i]))
			key_kind = SCIM_ENTRA_TEXT;
	}
	if (c->problem)
		return null_text(c);
	kind = scim_entra_common_kind(values, nvalues);
	initStringInfo(&branches);
	for (int i = 2; i < node->nargs; i += 2)
		appendStringInfo(&branches, " WHEN %s THEN %s",
						 scim_entra_given(node, i) ? scim_entra_as(c, scim_entra_arg(node, i), keys[i], key_kind) : "''",
						 scim_entra_as(c, scim_entra_arg(node, i + 1), values[has_default + i / 2 - 1], kind));
	if (has_default)
		appendStringInfo(&branches, " ELSE %s", scim_entra_as(c, scim_entra_arg(node, 1), values[0], kind));
	return scim_entra_value(c, kind, key_kind == SCIM_ENTRA_BOOLEAN ? "CASE %s%s END" : "CASE COALESCE(%s, '')%s END",
							scim_entra_as(c, scim_entra_arg(node, 0), source, key_kind), branches.data);
}

static ScimEntraValue *
do_not(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	ScimEntraValue *value = scim_entra_compile(c, scim_entra_arg(node, 0));

	/* all that is not "True" counts as false, also what is no boolean at all */
	if (value->kind == SCIM_ENTRA_TEXT && value->constant == NULL)
		return scim_entra_value(c, SCIM_ENTRA_BOOLEAN, "(COALESCE(pg_catalog.lower(%s), '') OPERATOR(pg_catalog.<>) 'true')", value->sql);
	return scim_entra_value(c, SCIM_ENTRA_BOOLEAN, "(%s IS NOT TRUE)", scim_entra_as(c, scim_entra_arg(node, 0), value, SCIM_ENTRA_BOOLEAN));
}

static ScimEntraValue *
do_c_bool(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	ScimEntraValue *value = scim_entra_compile(c, scim_entra_arg(node, 0));

	/* of a text in a column, PostgreSQL reads "1" and "0" as well */
	if (value->constant && pg_strcasecmp(value->constant, "true") != 0 && pg_strcasecmp(value->constant, "false") != 0)
		return scim_entra_value(c, SCIM_ENTRA_BOOLEAN, "(%s OPERATOR(pg_catalog.<>) 0)",
								scim_entra_as(c, scim_entra_arg(node, 0), value, SCIM_ENTRA_NUMERIC));
	return scim_entra_value(c, SCIM_ENTRA_BOOLEAN, "COALESCE(%s, false)", scim_entra_as(c, scim_entra_arg(node, 0), value, SCIM_ENTRA_BOOLEAN));
}

/* "IS NULL" or "IS NOT NULL" of a value; "empty": what is empty counts as null. */
static ScimEntraValue *
null_test(ScimEntraCompiler *c, const ScimEntraNode *node, bool empty, const char *test)
{
	ScimEntraValue *value = scim_entra_compile(c, scim_entra_arg(node, 0));

	if (empty && value->kind == SCIM_ENTRA_LIST)
		return scim_entra_value(c, SCIM_ENTRA_BOOLEAN, "(NULLIF(pg_catalog.cardinality(%s), 0) %s)", value->sql, test);
	if (empty && value->kind == SCIM_ENTRA_TEXT)
		return scim_entra_value(c, SCIM_ENTRA_BOOLEAN, "(NULLIF(%s, '') %s)", value->sql, test);
	return scim_entra_value(c, SCIM_ENTRA_BOOLEAN, "((%s) %s)", value->sql, test);
}

static ScimEntraValue *
do_is_null(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	return null_test(c, node, false, "IS NULL");
}

static ScimEntraValue *
do_is_null_or_empty(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	return null_test(c, node, true, "IS NULL");
}

static ScimEntraValue *
do_is_present(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	return null_test(c, node, true, "IS NOT NULL");
}

static ScimEntraValue *
do_is_string(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	ScimEntraValue *value = scim_entra_compile(c, scim_entra_arg(node, 0));

	if (value->kind != SCIM_ENTRA_TEXT)
		return scim_entra_value(c, SCIM_ENTRA_BOOLEAN, "false");
	return scim_entra_value(c, SCIM_ENTRA_BOOLEAN, "((%s) IS NOT NULL)", value->sql);
}

/* What is null is not sent, whatever the attribute: import sets on_null to skip. */
static ScimEntraValue *
do_ignore_flow(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	ScimEntraValue *value = scim_entra_compile(c, scim_entra_arg(node, 0));

	if (value->kind != SCIM_ENTRA_TEXT)
		return value;
	return scim_entra_value(c, SCIM_ENTRA_TEXT, "NULLIF(%s, '')", value->sql);
}

static ScimEntraValue *
do_redact(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	scim_entra_note(c, "Redact: scim.sync_log holds no values unless the sync has the option log_values, scim.plan shows them");
	return scim_entra_compile(c, scim_entra_arg(node, 0));
}

/* ---- lists ---- */

/* Entra's example splits "One, Two" at "," into values without spaces around them. */
static ScimEntraValue *
do_split(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	return scim_entra_value(c, SCIM_ENTRA_LIST,
							"ARRAY(SELECT pg_catalog.btrim(t.e) FROM pg_catalog.unnest(pg_catalog.string_to_array(%s, %s))"
							" WITH ORDINALITY AS t(e, n) ORDER BY t.n)",
							scim_entra_text(c, scim_entra_arg(node, 0)), scim_entra_text(c, scim_entra_arg(node, 1)));
}

static ScimEntraValue *
do_item(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	const char *list = scim_entra_list(c, scim_entra_arg(node, 0));

	return scim_entra_value(c, SCIM_ENTRA_TEXT, "(%s)[%s]", list, scim_entra_integer(c, scim_entra_arg(node, 1), 1));
}

static ScimEntraValue *
do_count(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	return scim_entra_value(c, SCIM_ENTRA_NUMERIC, "COALESCE(pg_catalog.cardinality(%s), 0)", scim_entra_list(c, scim_entra_arg(node, 0)));
}

static ScimEntraValue *
do_remove_duplicates(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	return scim_entra_value(c, SCIM_ENTRA_LIST,
							"ARRAY(SELECT t.e FROM pg_catalog.unnest(%s) WITH ORDINALITY AS t(e, n)"
							" GROUP BY t.e ORDER BY pg_catalog.min(t.n))",
							scim_entra_list(c, scim_entra_arg(node, 0)));
}

/* ---- numbers ---- */

static ScimEntraValue *
do_bit_and(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	return scim_entra_value(c, SCIM_ENTRA_NUMERIC, "((%s)::pg_catalog.int8 OPERATOR(pg_catalog.&) (%s)::pg_catalog.int8)",
							scim_entra_number(c, scim_entra_arg(node, 0)), scim_entra_number(c, scim_entra_arg(node, 1)));
}

static ScimEntraValue *
do_guid(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	if (!c->create_only)
		scim_entra_problem(c, node, "it makes a new value each time, and the target would be updated each time;"
						   " it is translated where flowType is ObjectAddOnly");
	return scim_entra_value(c, SCIM_ENTRA_TEXT, "pg_catalog.gen_random_uuid()::pg_catalog.text");
}

/* ---- scope (its names cannot be written in an expression) ---- */

/* Null where it is empty: the scope's operators are false of that. */
static ScimEntraValue *
scope_value(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	ScimEntraValue *value = scim_entra_compile(c, scim_entra_arg(node, 0));

	if (value->kind != SCIM_ENTRA_TEXT || value->constant)
		return value;
	return scim_entra_value(c, SCIM_ENTRA_TEXT, "NULLIF(%s, '')", value->sql);
}

/* Of a text that is no boolean (number): null, because an error would be one of the whole scope. */
static ScimEntraValue *
scope_boolean(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	ScimEntraValue *value = scim_entra_compile(c, scim_entra_arg(node, 0));

	if (value->kind == SCIM_ENTRA_TEXT && value->constant == NULL)
		return scim_entra_value(c, SCIM_ENTRA_BOOLEAN, "CASE pg_catalog.lower(%s) WHEN 'true' THEN true WHEN 'false' THEN false END", value->sql);
	return scim_entra_value(c, SCIM_ENTRA_BOOLEAN, "%s", scim_entra_as(c, scim_entra_arg(node, 0), value, SCIM_ENTRA_BOOLEAN));
}

static ScimEntraValue *
scope_number(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	ScimEntraValue *value = scim_entra_compile(c, scim_entra_arg(node, 0));

	if (value->kind == SCIM_ENTRA_TEXT && value->constant == NULL)
		return scim_entra_value(c, SCIM_ENTRA_NUMERIC, "pg_catalog.substring(%s, '^-?[0-9]+$')::pg_catalog.numeric", value->sql);
	return scim_entra_value(c, SCIM_ENTRA_NUMERIC, "%s", scim_entra_as(c, scim_entra_arg(node, 0), value, SCIM_ENTRA_NUMERIC));
}

static ScimEntraValue *
scope_contains(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	return scim_entra_value(c, SCIM_ENTRA_BOOLEAN, "(pg_catalog.strpos(%s, %s) OPERATOR(pg_catalog.>) 0)",
							scim_entra_text(c, scim_entra_arg(node, 0)), scim_entra_text(c, scim_entra_arg(node, 1)));
}

static ScimEntraValue *
scope_ends_with(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	return scim_entra_value(c, SCIM_ENTRA_BOOLEAN, "(pg_catalog.right(%s, %d) OPERATOR(pg_catalog.=) %s)",
							scim_entra_text(c, scim_entra_arg(node, 0)), pg_mbstrlen(scim_entra_constant_text(c, scim_entra_arg(node, 1))),
							scim_entra_text(c, scim_entra_arg(node, 1)));
}

static ScimEntraValue *
scope_matches(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	const char *text = scim_entra_text(c, scim_entra_arg(node, 0));
	ScimEntraRegex regex;
	const char *problem = NULL;

	if (!scim_entra_regex(scim_entra_constant_text(c, scim_entra_arg(node, 1)), SCIM_ENTRA_REGEX_MATCH, NULL, &regex, &problem))
	{
		scim_entra_problem(c, scim_entra_arg(node, 1), "%s", problem);
		return scim_entra_value(c, SCIM_ENTRA_BOOLEAN, "false");
	}
	scim_entra_note(c, "a regular expression may match any part of the value: ^ and $ make it the whole");
	return scim_entra_value(c, SCIM_ENTRA_BOOLEAN, "(%s OPERATOR(pg_catalog.~) %s)", text, quote_literal_cstr(regex.pattern));
}

static ScimEntraValue *
scope_not(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	return scim_entra_value(c, SCIM_ENTRA_BOOLEAN, "(NOT %s)", scim_entra_compile(c, scim_entra_arg(node, 0))->sql);
}

/* ---- the table ---- */

#define ROLES "roles that are assigned to a user in Entra have no place in a row of a table"

static const Function functions[] = {
	{"Append", do_append, 2, 2},
	{"AppRoleAssignmentsComplex", NULL, .reason = ROLES},
	{"AssertiveAppRoleAssignmentsComplex", NULL, .reason = ROLES},
	{"BitAnd", do_bit_and, 2, 2},
	{"CBool", do_c_bool, 1, 1},
	{"CDate", scim_entra_c_date, 1, 1},
	{"Coalesce", do_coalesce, 1, MANY},
	{"ConvertToBase64", do_convert_to_base64, 1, 1},
	{"ConvertToUTF8Hex", do_convert_to_utf8_hex, 1, 1},
	{"Count", do_count, 1, 1},
	{"CStr", do_c_str, 1, 1},
	{"DateAdd", scim_entra_date_add, 3, 3},
	{"DateDiff", scim_entra_date_diff, 3, 3},
	{"DateFromNum", scim_entra_date_from_num, 1, 1},
	{"FormatDateTime", scim_entra_format_date_time, 4, 4, {"source", "dateTimeStyles", "inputFormat", "outputFormat"}},
	{"Guid", do_guid, 0, 0},
	{"IgnoreFlowIfNullOrEmpty", do_ignore_flow, 1, 1},
	{"IIF", do_iif, 3, 3},
	{"InStr", do_in_str, 2, 4, {"value1", "value2", "start", "compareType"}},
	{"IsNull", do_is_null, 1, 1},
	{"IsNullOrEmpty", do_is_null_or_empty, 1, 1},
	{"IsPresent", do_is_present, 1, 1},
	{"IsString", do_is_string, 1, 1},
	{"Item", do_item, 2, 2},
	{"Join", do_join, 2, MANY},
	{"Left", do_left, 2, 2},
	{"Mid", do_mid, 3, 3},
	{"NormalizeDiacritics", do_normalize_diacritics, 1, 1},
	{"Not", do_not, 1, 1},
	{"Now", scim_entra_now, 0, 0},
	{"NumFromDate", scim_entra_num_from_date, 1, 1},
	{"PCase", do_proper_case, 1, 2, {"source", "wordSeparators"}},
	{"RandomString", NULL, .reason = "it makes a new value each time, and passwords are not provisioned"},
	{"Redact", do_redact, 1, 1},
	{"RemoveDuplicates", do_remove_duplicates, 1, 1},
	{"Replace", do_replace, 1, 7, {"source", "oldValue", "regexPattern", "regexGroupName", "replacementValue",
	"replacementAttributeName", "template"}},
	{"SelectUniqueValue", NULL, .reason = "it asks the target which value is free"},
	{"SingleAppRoleAssignment", NULL, .reason = ROLES},
	{"Split", do_split, 2, 2},
	{"StripSpaces", do_strip_spaces, 1, 1},
	{"Switch", do_switch, 4, MANY, {"source", "defaultValue"}},
	{"ToLower", do_to_lower, 1, 2, {"source", "culture"}},
	{"ToUpper", do_to_upper, 1, 2, {"source", "culture"}},
	{"Word", do_word, 3, 3},
	{"$Boolean", scope_boolean, 1, 1},
	{"$Contains", scope_contains, 2, 2},
	{"$EndsWith", scope_ends_with, 2, 2},
	{"$Matches", scope_matches, 2, 2},
	{"$Not", scope_not, 1, 1},
	{"$Number", scope_number, 1, 1},
	{"$Value", scope_value, 1, 1}
};

static const Function *
find_function(const char *name)
{
	for (int i = 0; i < lengthof(functions); i++)
		if (pg_strcasecmp(functions[i].name, name) == 0)
			return &functions[i];
	return NULL;
}

int
scim_entra_parameter(const char *function, const char *name)
{
	const Function *f = find_function(function);

	/* what Microsoft Graph calls two of Replace */
	if (f && f->handler == do_replace && pg_strcasecmp(name, "Find") == 0)
		return 1;
	if (f && f->handler == do_replace && pg_strcasecmp(name, "Replacement") == 0)
		return 4;
	for (int i = 0; f && i < lengthof(f->parameters) && f->parameters[i]; i++)
		if (pg_strcasecmp(f->parameters[i], name) == 0)
			return i;
	return -1;
}

/* Parameters that a function with optional ones can do without, by place. */
static bool
is_optional(const Function *f, int place)
{
	if (f->handler == do_switch)
		return place == 1 || (place >= 2 && place % 2 == 0);
	if (f->handler == scim_entra_format_date_time)
		return place == 1 || place == 2;
	return place >= f->min || ((f->handler == do_coalesce || f->handler == do_join) && place > 0);
}

ScimEntraValue *
scim_entra_call(ScimEntraCompiler *c, const ScimEntraNode *node)
{
	const Function *f = find_function(node->text);

	if (f == NULL)
		scim_entra_problem(c, node, "\"%s\" is no function that is known", node->text);
	else if (f->handler == NULL)
		scim_entra_problem(c, node, "%s is not translated: %s", f->name, f->reason);
	else if (node->nargs < f->min || node->nargs > f->max)
		scim_entra_problem(c, node, "%s does not take %d arguments", f->name, node->nargs);
	for (int i = 0; c->problem == NULL && i < node->nargs; i++)
		if (node->args[i]->kind == SCIM_ENTRA_OMITTED && !is_optional(f, i))
			scim_entra_problem(c, node, "argument %d of %s is missing", i + 1, f->name);
	return c->problem ? null_text(c) : f->handler(c, node);
}
