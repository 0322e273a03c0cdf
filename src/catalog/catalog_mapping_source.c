/*
 * catalog_mapping_source.c
 *		Where a value lives: from the text or JSON of a mapping to a source.
 *
 * Every identifier comes out of the catalogs through quote_identifier.  An
 * expression is parsed as one expression, analysed against its relation alone
 * and printed again from the tree, so that each column stands behind its alias
 * and each name is the one that was found (threat-and-fault-model I5, I7).
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"

#include "catalog_mapping_internal.h"

void
scim_mapping_error(const ScimResolve *ctx, const char *path, int sqlstate, const char *problem)
{
	ereport(ERROR,
			(errcode(sqlstate),
			 errmsg("attribute \"%s\" of mapping \"%s\": %s", path, ctx->row->name, problem)));
}

void
scim_mapping_members(ScimResolve *ctx, const char *path, const json_t *object, const char *const *known)
{
	void	   *iter;

	for (iter = json_object_iter(unconstify(json_t *, object)); iter;
		 iter = json_object_iter_next(unconstify(json_t *, object), iter))
	{
		const char *name = json_object_iter_key(iter);
		bool		found = false;

		for (int i = 0; known[i] && !found; i++)
			found = strcmp(known[i], name) == 0;
		if (!found)
			scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE,
							   psprintf("\"%s\" is nothing that can be said here", name));
	}
}

/* ---- types ---- */

static ScimSqlClass
sql_class(Oid typid)
{
	Oid			base = getBaseType(typid);
	char		category;
	bool		preferred;

	switch (base)
	{
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case NAMEOID:
			return SCIM_SQL_TEXT;
		case BOOLOID:
			return SCIM_SQL_BOOLEAN;
		case INT2OID:
		case INT4OID:
		case INT8OID:
			return SCIM_SQL_INTEGER;
		case NUMERICOID:
		case FLOAT4OID:
		case FLOAT8OID:
			return SCIM_SQL_NUMERIC;
		case TIMESTAMPTZOID:
			return SCIM_SQL_TIMESTAMPTZ;
		case UUIDOID:
			return SCIM_SQL_UUID;
	}
	get_type_category_preferred(base, &category, &preferred);
	if (category == TYPCATEGORY_STRING || category == TYPCATEGORY_ENUM)
		return SCIM_SQL_TEXT;
	return SCIM_SQL_OTHER;
}

bool
scim_types_are_alike(Oid a, Oid b)
{
	ScimSqlClass class = sql_class(a);

	return getBaseType(a) == getBaseType(b) || (class != SCIM_SQL_OTHER && class == sql_class(b));
}

/* The quoted schema of citext, if a type is that; NULL else. */
static const char *
citext_schema(Oid typid)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(getBaseType(typid)));
	const char *schema = NULL;

	if (HeapTupleIsValid(tuple))
	{
		Form_pg_type type = (Form_pg_type) GETSTRUCT(tuple);

		if (strcmp(NameStr(type->typname), "citext") == 0)
			schema = pstrdup(quote_identifier(get_namespace_name(type->typnamespace)));
		ReleaseSysCache(tuple);
	}
	return schema;
}

static void
set_source_type(ScimSource *src, Oid typid)
{
	src->typid = typid;
	src->typmod = -1;
	src->typtype = get_typtype(getBaseType(typid)) == TYPTYPE_ENUM ? TYPTYPE_ENUM : get_typtype(typid);
	src->cls = sql_class(typid);
	src->pads = getBaseType(typid) == BPCHAROID;
	src->citext = citext_schema(typid);
	/*
	 * Without a type modifier: a cast to varchar(3) would cut in silence.  And
	 * "character" would be character(1).
	 */
	src->type_name = format_type_extended(typid, -1, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);
}

bool
scim_column_source(Oid relid, const char *alias, const char *name, ScimSource *src)
{
	AttrNumber	attnum = get_attnum(relid, name);
	HeapTuple	tuple;
	Form_pg_attribute att;
	bool		generated;
	Oid			base;
	int32		typmod;

	if (attnum <= 0)
		return false;
	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid), Int16GetDatum(attnum));
	if (!HeapTupleIsValid(tuple))
		return false;
	att = (Form_pg_attribute) GETSTRUCT(tuple);
	memset(src, 0, sizeof(*src));
	set_source_type(src, att->atttypid);
	src->column_type = src->type_name;
	/* also of a domain, a cast to which would cut */
	typmod = att->atttypmod;
	base = getBaseTypeAndTypmod(att->atttypid, &typmod);
	src->typmod = base == NUMERICOID ? typmod : -1;
	if ((base == VARCHAROID || base == BPCHAROID) && typmod > VARHDRSZ)
		src->max_length = typmod - VARHDRSZ;
	src->not_null = att->attnotnull;
	src->has_default = att->atthasdef || att->attidentity != '\0';
	generated = att->attgenerated != '\0' || att->attidentity == ATTRIBUTE_IDENTITY_ALWAYS;
	ReleaseSysCache(tuple);

	src->attnum = attnum;
	src->expr = psprintf("%s.%s", alias, quote_identifier(name));
	if (!generated)
		src->column = pstrdup(quote_identifier(name));
	return true;
}

/* ---- expressions ---- */

/*
 * Is the text one SQL expression and nothing else?  The parser decides, on
 * "SELECT (text)": what closes the parenthesis early does not survive it.
 * NULL: it is not.
 */
Node *
scim_mapping_parse(const char *text)
{
	List	   *parsed = raw_parser(psprintf("SELECT (%s\n)", text), RAW_PARSE_DEFAULT);
	SelectStmt *select;

	if (list_length(parsed) != 1)
		return NULL;
	select = (SelectStmt *) linitial_node(RawStmt, parsed)->stmt;
	if (IsA(select, SelectStmt) && list_length(select->targetList) == 1 &&
		select->fromClause == NIL && select->whereClause == NULL && select->sortClause == NIL &&
		select->intoClause == NULL && select->op == SETOP_NONE && select->withClause == NULL &&
		select->limitCount == NULL && select->limitOffset == NULL && select->lockingClause == NIL &&
		select->groupClause == NIL && select->havingClause == NULL && select->valuesLists == NIL &&
		select->windowClause == NIL && select->distinctClause == NIL)
		return linitial_node(ResTarget, select->targetList)->val;
	return NULL;
}

bool
scim_is_single_expression(const char *text)
{
	return scim_mapping_parse(text) != NULL;
}

/* "NOT column", which can be written as well; the column's name or NULL. */
static const char *
negated_column(const Node *expression)
{
	const BoolExpr *not = (const BoolExpr *) expression;
	ColumnRef  *ref;

	if (!IsA(expression, BoolExpr) || not->boolop != NOT_EXPR || !IsA(linitial(not->args), ColumnRef))
		return NULL;
	ref = (ColumnRef *) linitial(not->args);
	if (list_length(ref->fields) != 1 || !IsA(linitial(ref->fields), String))
		return NULL;
	return strVal(linitial(ref->fields));
}

const char *
scim_mapping_negated(const char *text)
{
	const Node *expression = scim_mapping_parse(text);

	return expression ? negated_column(expression) : NULL;
}

/* Analyse an expression over one relation, for a column of type "target" (or any), and print it again. */
static char *
print_expression(ScimResolve *ctx, const char *path, Oid relid, const char *alias, Node *raw, Oid target, Oid *typid)
{
	ParseState *pstate = make_parsestate(NULL);
	Relation	rel = table_open(relid, AccessShareLock);
	Node	   *node;
	char	   *text;

	addNSItemToQuery(pstate, addRangeTableEntryForRelation(pstate, rel, AccessShareLock, makeAlias(alias, NIL), false, true),
					 false, true, true);
	node = transformExpr(pstate, raw, EXPR_KIND_SELECT_TARGET);
	if (!OidIsValid(target) && exprType(node) == UNKNOWNOID)
		target = TEXTOID;
	if (OidIsValid(target))
		node = coerce_to_target_type(pstate, node, exprType(node), target, -1, COERCION_ASSIGNMENT, COERCE_IMPLICIT_CAST, -1);
	if (node == NULL)
		scim_mapping_error(ctx, path, ERRCODE_DATATYPE_MISMATCH,
						   psprintf("an expression is not of type %s, as its column is", format_type_be(target)));
	assign_expr_collations(pstate, node);
	if (pstate->p_hasAggs || pstate->p_hasWindowFuncs || pstate->p_hasTargetSRFs)
		scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE,
						   "an expression must not aggregate, and must not return a set");
	if (typid)
		*typid = exprType(node);
	text = psprintf("(%s)", deparse_expression(node, deparse_context_for(alias, relid), true, false));
	free_parsestate(pstate);
	table_close(rel, NoLock);
	return text;
}

/*
 * What the parser has to say comes with the attribute's name: call inside
 * PG_CATCH.
 */
static void
rethrow_named(ScimResolve *ctx, const char *path, MemoryContext caller)
{
	ErrorData  *edata;

	MemoryContextSwitchTo(caller);
	edata = CopyErrorData();
	FlushErrorState();
	if (strncmp(edata->message, "attribute \"", 11) != 0)
		edata->message = psprintf("attribute \"%s\" of mapping \"%s\": %s", path, ctx->row->name, edata->message);
	edata->cursorpos = edata->internalpos = 0;
	ReThrowError(edata);
}

/* The same for a text that is to be one expression. */
static char *
parse_expression(ScimResolve *ctx, const char *path, Oid relid, const char *alias, const char *text, Oid target, Oid *typid)
{
	MemoryContext caller = CurrentMemoryContext;
	char	   *volatile result = NULL;

	PG_TRY();
	{
		Node	   *raw = scim_mapping_parse(text);

		if (raw == NULL)
			scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE,
							   "its source is neither a column nor one SQL expression");
		result = print_expression(ctx, path, relid, alias, raw, target, typid);
	}
	PG_CATCH();
	{
		rethrow_named(ctx, path, caller);
	}
	PG_END_TRY();
	return result;
}

char *
scim_mapping_expression(ScimResolve *ctx, const char *path, Oid relid, const char *alias, const char *text, Oid *typid)
{
	return parse_expression(ctx, path, relid, alias, text, InvalidOid, typid);
}

/*
 * An expression over "value" and the columns of "relid" as they were: it is
 * only analysed here, and stands in a sub-select where "value" comes first.
 */
static char *
write_expression(ScimResolve *ctx, const char *path, Oid relid, const char *value_type, const char *text)
{
	MemoryContext caller = CurrentMemoryContext;

	PG_TRY();
	{
		SPIPlanPtr	plan;

		if (scim_mapping_parse(text) == NULL)
			scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "what is written is no SQL expression");
		plan = SPI_prepare(psprintf("SELECT (SELECT (%s\n) FROM (SELECT NULL::%s AS value) v) FROM %s r",
									text, value_type, scim_qualified_relation(relid)), 0, NULL);
		if (plan == NULL)
			elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
		SPI_freeplan(plan);
		MemoryContextSwitchTo(caller);	/* SPI leaves its own current */
	}
	PG_CATCH();
	{
		rethrow_named(ctx, path, caller);
	}
	PG_END_TRY();
	return pstrdup(text);
}

/* A column without a time zone is UTC. */
static void
set_time_zone(ScimSource *src)
{
	if (src->expr == NULL || getBaseType(src->typid) != TIMESTAMPOID)
		return;
	src->raw = src->expr;
	src->expr = psprintf("(%s AT TIME ZONE 'UTC')", src->expr);
	src->time = SCIM_TIME_UTC;
	set_source_type(src, TIMESTAMPTZOID);
}

void
scim_text_source(ScimResolve *ctx, const char *path, Oid relid, const char *alias, const char *text, ScimSource *src)
{
	MemoryContext caller = CurrentMemoryContext;
	const char *column;
	Oid			typid;
	char	   *expr;

	if (!scim_column_source(relid, alias, text, src))
	{
		expr = scim_mapping_expression(ctx, path, relid, alias, text, &typid);
		column = negated_column(scim_mapping_parse(text));
		MemoryContextSwitchTo(caller);
		if (column && scim_column_source(relid, alias, column, src) && src->cls == SCIM_SQL_BOOLEAN)
		{
			src->expr = psprintf("(NOT %s.%s)", alias, quote_identifier(column));
			src->negated = true;
			return;
		}
		memset(src, 0, sizeof(*src));
		set_source_type(src, typid);
		src->expr = expr;
	}
	set_time_zone(src);
}

void
scim_constant_source(const json_t *value, ScimSource *src)
{
	memset(src, 0, sizeof(*src));
	set_source_type(src, TEXTOID);
	if (json_is_string(value))
		src->constant = pstrdup(json_string_value(value));
	else
	{
		size_t		len;

		src->constant = scim_json_print(value, &len);
	}
}

void
scim_text_expression(const char *expr, ScimSource *src)
{
	memset(src, 0, sizeof(*src));
	set_source_type(src, TEXTOID);
	src->expr = expr;
}

const char *
scim_several_sql(const ScimAttr *sub, const char *array)
{
	bool		number = sub->type == SCIM_TYPE_INTEGER || sub->type == SCIM_TYPE_DECIMAL;

	return psprintf("(SELECT pg_catalog.jsonb_agg(e.v ORDER BY e.n)::pg_catalog.text"
					" FROM pg_catalog.jsonb_array_elements(CASE pg_catalog.jsonb_typeof(%s) WHEN 'array' THEN %s ELSE '[]' END) WITH ORDINALITY e(v, n)"
					" WHERE pg_catalog.jsonb_typeof(e.v) OPERATOR(pg_catalog.=) '%s')",
					array, array, number ? "number" : sub->type == SCIM_TYPE_BOOLEAN ? "boolean" : "string");
}

void
scim_mapping_check_several(ScimResolve *ctx, const char *path, const ScimAttr *attr, const ScimSource *src)
{
	if (attr->parent && attr->multi && !src->several)
		scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE,
						   "a sub-attribute with several values lives in a document of JSON (\"path\", \"keys\")");
}

const char *
scim_mapping_scalar(ScimResolve *ctx, const char *path, const json_t *value)
{
	size_t		len;

	if (json_is_string(value))
		return pstrdup(json_string_value(value));
	if (value == NULL || json_is_object(value) || json_is_array(value) || json_is_null(value))
		scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "a value of a column is a text, a number or a boolean");
	return scim_json_print(value, &len);
}

/* ---- lists of columns ---- */

/* {"scope": "column"}: a value of the endpoint's scope, whose parameters are the first of every statement. */
static const char *
scope_value(ScimResolve *ctx, const char *path, const json_t *value, const char *type_name)
{
	static const char *const known[] = {"scope", NULL};
	const char *name = json_string_value(json_object_get(value, "scope"));
	ListCell   *lc;
	int			n = 0;

	scim_mapping_members(ctx, path, value, known);
	if (name == NULL)
		scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "\"scope\" is the name of a column of the scope");
	foreach(lc, ctx->scope)
	{
		n++;
		if (strcmp((char *) lfirst(lc), name) == 0)
			return psprintf("$%d::%s", n, type_name);
	}
	/* without an endpoint there is no scope yet */
	if (ctx->scope != NIL)
		scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, psprintf("the scope has no column \"%s\"", name));
	return psprintf("NULL::%s", type_name);
}

ScimSetting *
scim_mapping_settings(ScimResolve *ctx, const char *path, Oid relid, Oid over, const char *alias,
					  const json_t *value, int *n)
{
	ScimSetting *settings;
	void	   *iter;

	*n = 0;
	if (value == NULL)
		return NULL;
	if (!json_is_object(value))
		scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "columns to be set are given as {\"column\": \"expression\"}");
	settings = palloc0(sizeof(ScimSetting) * (json_object_size(value) + 1));
	for (iter = json_object_iter(unconstify(json_t *, value)); iter;
		 iter = json_object_iter_next(unconstify(json_t *, value), iter))
	{
		ScimSource	src;
		ScimSetting *setting = &settings[(*n)++];

		if (!scim_column_source(relid, "r", json_object_iter_key(iter), &src) || src.column == NULL)
			scim_mapping_error(ctx, path, ERRCODE_UNDEFINED_COLUMN,
							   psprintf("there is no column \"%s\" that can be set", json_object_iter_key(iter)));
		setting->column = src.column;
		setting->attnum = src.attnum;
		if (json_is_string(json_object_iter_value(iter)))
			setting->expr = parse_expression(ctx, path, over, alias, json_string_value(json_object_iter_value(iter)), src.typid, NULL);
		else if (json_is_object(json_object_iter_value(iter)))
			setting->expr = scope_value(ctx, path, json_object_iter_value(iter), src.type_name);
		else if (json_is_null(json_object_iter_value(iter)))
			setting->expr = psprintf("NULL::%s", src.type_name);
		else
			setting->expr = psprintf("%s::%s", quote_literal_cstr(scim_mapping_scalar(ctx, path, json_object_iter_value(iter))), src.type_name);
	}
	return settings;
}

/* ---- JSON documents ---- */

const char **
scim_mapping_json_path(ScimResolve *ctx, const char *path, const json_t *value, int *n)
{
	const char **parts;

	*n = 0;
	if (json_is_string(value))
	{
		char	   *text = pstrdup(json_string_value(value));

		parts = palloc(sizeof(char *) * (strlen(text) + 1));
		for (char *part = text; part;)
		{
			char	   *dot = strchr(part, '.');

			if (dot)
				*dot++ = '\0';
			parts[(*n)++] = part;
			part = dot;
		}
		return parts;
	}
	if (!json_is_array(value))
		scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "\"path\" is a text or a list of texts");
	parts = palloc(sizeof(char *) * (json_array_size(value) + 1));
	for (size_t i = 0; i < json_array_size(value); i++)
	{
		if (!json_is_string(json_array_get(value, i)))
			scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "\"path\" is a text or a list of texts");
		parts[(*n)++] = pstrdup(json_string_value(json_array_get(value, i)));
	}
	return parts;
}

const char *
scim_mapping_path_sql(const char *const *path, int n)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfoString(&text, "ARRAY[");
	for (int i = 0; i < n; i++)
		appendStringInfo(&text, "%s%s", i > 0 ? ", " : "", quote_literal_cstr(path[i]));
	appendStringInfoString(&text, "]::pg_catalog.text[]");
	return text.data;
}

/* The default of a column as SQL; NULL: it has none. */
static const char *
column_default(Oid relid, AttrNumber attnum)
{
	Relation	rel = table_open(relid, AccessShareLock);
	Node	   *expr = build_column_default(rel, attnum);
	const char *text = expr ? psprintf("(%s)", deparse_expression(expr, NIL, false, false)) : NULL;

	table_close(rel, NoLock);
	return text;
}

static const char *
document_in(const char *column, Oid typid)
{
	switch (typid)
	{
		case JSONBOID:
			return column;
		case JSONOID:
			return psprintf("%s::pg_catalog.jsonb", column);
		case TEXTOID:
		case VARCHAROID:
			return psprintf("nullif(%s::pg_catalog.text, '')::pg_catalog.jsonb", column);
	}
	return NULL;
}

void
scim_mapping_document(ScimResolve *ctx, const char *path, Oid relid, ScimSource *src)
{
	const char *value = src->has_default ? column_default(relid, src->attnum) : NULL;

	src->document = document_in(src->expr, getBaseType(src->typid));
	if (src->document == NULL || src->attnum == 0)
		scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "\"path\" needs a column of type jsonb, json or text");
	src->new_document = value ? document_in(value, getBaseType(src->typid)) : "NULL::pg_catalog.jsonb";
}

/* The value at a path, of the attribute's type; what is of another type there is none. */
static void
set_json(ScimResolve *ctx, const char *path, Oid relid, const ScimAttr *attr, const json_t *spec, ScimSource *src)
{
	const char *where;

	scim_mapping_document(ctx, path, relid, src);
	src->json_path = scim_mapping_json_path(ctx, path, spec, &src->njson);
	if (src->njson == 0)
		scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "\"path\" is empty");
	where = scim_mapping_path_sql(src->json_path, src->njson);
	src->max_length = 0;
	if (attr->parent && attr->multi)
	{
		src->several = true;
		src->expr = scim_several_sql(attr, psprintf("(%s OPERATOR(pg_catalog.#>) %s)", src->document, where));
		set_source_type(src, TEXTOID);
		return;
	}
	switch (attr->type)
	{
		case SCIM_TYPE_BOOLEAN:
			src->expr = psprintf("(CASE pg_catalog.jsonb_typeof(%s OPERATOR(pg_catalog.#>) %s) WHEN 'boolean' THEN (%s OPERATOR(pg_catalog.#>>) %s)::pg_catalog.bool END)",
								 src->document, where, src->document, where);
			set_source_type(src, BOOLOID);
			break;
		case SCIM_TYPE_INTEGER:
		case SCIM_TYPE_DECIMAL:
			src->expr = psprintf("(CASE pg_catalog.jsonb_typeof(%s OPERATOR(pg_catalog.#>) %s) WHEN 'number' THEN (%s OPERATOR(pg_catalog.#>>) %s)::pg_catalog.numeric END)",
								 src->document, where, src->document, where);
			set_source_type(src, NUMERICOID);
			break;
		default:
			src->expr = psprintf("(%s OPERATOR(pg_catalog.#>>) %s)", src->document, where);
			set_source_type(src, TEXTOID);
			break;
	}
}

/* ---- what a column holds instead of the value ---- */

const char *
scim_time_sql(const char *text)
{
	return psprintf("(SELECT CASE WHEN x.t OPERATOR(pg_catalog.~*) '[t ].*(z|[-+][0-9:]+)$' THEN x.t::pg_catalog.timestamptz"
					" ELSE x.t::pg_catalog.timestamp AT TIME ZONE 'UTC' END FROM (SELECT (%s)::pg_catalog.text AS t) x)", text);
}

static void
add_code(ScimResolve *ctx, const char *path, const ScimAttr *attr, const char *code, const json_t *label, ScimSource *src)
{
	size_t		len;

	if (attr->type == SCIM_TYPE_BOOLEAN ? !json_is_boolean(label) : !json_is_string(label))
		scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE,
						   "\"codes\" are given as {\"code\": label}, or as [[code, label], ...]; a label is of the attribute's type");
	src->codes[src->ncodes].code = code;
	src->codes[src->ncodes++].label = json_is_string(label) ? pstrdup(json_string_value(label)) : scim_json_print(label, &len);
}

/*
 * Codes: {"1": "admin", "2": "member"}; where several codes have one label, a
 * list of pairs says by its order which is written.
 */
static void
set_codes(ScimResolve *ctx, const char *path, const ScimAttr *attr, const json_t *spec, ScimSource *src)
{
	StringInfoData expr;
	void	   *iter;
	bool		boolean = attr->type == SCIM_TYPE_BOOLEAN;

	if (json_is_object(spec))
	{
		src->codes = palloc(sizeof(ScimCode) * (json_object_size(spec) + 1));
		for (iter = json_object_iter(unconstify(json_t *, spec)); iter; iter = json_object_iter_next(unconstify(json_t *, spec), iter))
			add_code(ctx, path, attr, pstrdup(json_object_iter_key(iter)), json_object_iter_value(iter), src);
	}
	else
	{
		src->codes = palloc(sizeof(ScimCode) * (json_array_size(spec) + 1));
		for (size_t i = 0; i < json_array_size(spec); i++)
			add_code(ctx, path, attr, scim_mapping_scalar(ctx, path, json_array_get(json_array_get(spec, i), 0)),
					 json_array_get(json_array_get(spec, i), 1), src);
	}
	if (src->ncodes == 0)
		scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "\"codes\" is empty");

	initStringInfo(&expr);
	src->raw = src->expr;
	appendStringInfo(&expr, "(CASE %s", src->expr);
	for (int i = 0; i < src->ncodes; i++)
		appendStringInfo(&expr, " WHEN %s::%s THEN %s", quote_literal_cstr(src->codes[i].code), src->column_type,
						 boolean ? src->codes[i].label : quote_literal_cstr(src->codes[i].label));
	appendStringInfoString(&expr, " END)");
	src->expr = expr.data;
	src->max_length = 0;
	set_source_type(src, boolean ? BOOLOID : TEXTOID);
}

static void
set_time(ScimResolve *ctx, const char *path, const json_t *spec, ScimSource *src)
{
	const char *form = json_string_value(spec);

	if (form && strcmp(form, "utc") == 0)
	{
		if (src->cls != SCIM_SQL_TIMESTAMPTZ)
			scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "\"time\": \"utc\" needs a column of type timestamp");
		return;
	}
	if (form && strcmp(form, "iso") == 0)
	{
		if (src->cls != SCIM_SQL_TEXT || src->ncodes > 0)
			scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "\"time\": \"iso\" needs a text");
		src->expr = scim_time_sql(src->expr);
		set_source_type(src, TIMESTAMPTZOID);
		return;
	}
	if (form == NULL || (strcmp(form, "epoch") != 0 && strcmp(form, "epoch_ms") != 0))
		scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "\"time\" is \"utc\", \"iso\", \"epoch\" or \"epoch_ms\"");
	src->whole = src->cls == SCIM_SQL_INTEGER;
	if (!src->whole && src->cls != SCIM_SQL_NUMERIC)
		scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "seconds since 1970 need a column that is a number");
	src->time = strcmp(form, "epoch") == 0 ? SCIM_TIME_SECONDS : SCIM_TIME_MILLISECONDS;
	src->raw = src->raw ? src->raw : src->expr;
	/* an interval counts microseconds: exact, unlike to_timestamp */
	src->expr = psprintf("('1970-01-01Z'::pg_catalog.timestamptz OPERATOR(pg_catalog.+) (%s::pg_catalog.float8 OPERATOR(pg_catalog.*) '%s'::pg_catalog.interval))",
						 src->expr, src->time == SCIM_TIME_SECONDS ? "1 second" : "1 millisecond");
	set_source_type(src, TIMESTAMPTZOID);
}

static const char *
value_type_of(const ScimAttr *attr)
{
	switch (attr->type)
	{
		case SCIM_TYPE_BOOLEAN:
		case SCIM_TYPE_COMPLEX:	/* a flag: is there such an element? */
			return "pg_catalog.bool";
		case SCIM_TYPE_INTEGER:
			return "pg_catalog.int8";
		case SCIM_TYPE_DECIMAL:
			return "pg_catalog.numeric";
		case SCIM_TYPE_DATETIME:
			return "pg_catalog.timestamptz";
		default:
			return "pg_catalog.text";
	}
}

/* {"column": "expression over value"}: more places that a value is written to. */
static void
set_writes(ScimResolve *ctx, const char *path, Oid relid, const ScimAttr *attr, const json_t *spec, ScimSource *src)
{
	void	   *iter;

	if (!json_is_object(spec))
		scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "\"write\" is given as {\"column\": \"expression over value\"}");
	src->value_type = value_type_of(attr);
	/* and one for set_fold */
	src->writes = palloc0(sizeof(ScimWrite) * (json_object_size(spec) + 1));
	for (iter = json_object_iter(unconstify(json_t *, spec)); iter; iter = json_object_iter_next(unconstify(json_t *, spec), iter))
	{
		ScimSource	column;
		ScimWrite  *write = &src->writes[src->nwrites++];

		if (!scim_column_source(relid, "r", json_object_iter_key(iter), &column) || column.column == NULL)
			scim_mapping_error(ctx, path, ERRCODE_UNDEFINED_COLUMN,
							   psprintf("there is no column \"%s\" that can be set", json_object_iter_key(iter)));
		if (!json_is_string(json_object_iter_value(iter)))
			scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "\"write\" is given as {\"column\": \"expression over value\"}");
		write->column = column.column;
		write->attnum = column.attnum;
		write->type_name = column.type_name;
		write->expr = write_expression(ctx, path, relid, src->value_type, json_string_value(json_object_iter_value(iter)));
	}
}

/* Columns that hold the key of another resource; the set that has its mapping says what is read of them. */
static void
reference_source(ScimResolve *ctx, const char *path, Oid relid, const char *alias, const json_t *spec, ScimSource *src)
{
	ScimReference *columns = palloc(sizeof(ScimReference));

	if (!json_object_get(spec, "ref"))
		scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "\"columns\" needs \"ref\", the resource type whose key they hold");
	scim_resolve_reference(ctx, path, relid, alias, spec, "columns", true, columns);
	scim_text_expression(psprintf("(CASE WHEN %s IS NOT NULL THEN '' END)", columns->row), src);
	src->ref_columns = columns;
}

/* How the table compares, and the column in which it has that at hand. */
static void
set_fold(ScimResolve *ctx, const char *path, Oid relid, const char *alias, const ScimAttr *attr, const json_t *spec, ScimSource *src)
{
	const json_t *fold = json_object_get(spec, "fold");
	const json_t *folded = json_object_get(spec, "folded");
	const char *function = json_string_value(fold);
	ScimSource	column;
	ScimWrite  *write;

	if (fold == NULL && folded == NULL)
		return;
	if (function == NULL || (strcmp(function, "lower") != 0 && strcmp(function, "upper") != 0) || src->cls != SCIM_SQL_TEXT)
		scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "\"fold\" is \"lower\" or \"upper\", of a text");
	src->fold = psprintf("pg_catalog.%s", function);
	if (folded == NULL)
		return;
	if (src->column == NULL || src->json_path || src->ncodes > 0)
		scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "\"folded\" needs a column that holds the value");
	if (!json_is_string(folded) || !scim_column_source(relid, alias, json_string_value(folded), &column) || column.cls != SCIM_SQL_TEXT)
		scim_mapping_error(ctx, path, ERRCODE_UNDEFINED_COLUMN, "\"folded\" does not name a column of texts");
	src->folded = column.expr;
	/* a generated column is what it is */
	if (column.column == NULL)
		return;
	if (src->writes == NULL)
		src->writes = palloc0(sizeof(ScimWrite));
	write = &src->writes[src->nwrites++];
	src->value_type = value_type_of(attr);
	write->column = column.column;
	write->attnum = column.attnum;
	write->type_name = column.type_name;
	write->expr = src->null_text ? psprintf("%s(coalesce(value, %s))", src->fold, quote_literal_cstr(src->null_text)) :
		psprintf("%s(value)", src->fold);
}

/* Of several values in a document it can be said where they are. */
static void
check_several_members(ScimResolve *ctx, const char *path, const json_t *spec)
{
	static const char *const single[] = {"codes", "time", "ref", "write", "fold", "folded", NULL};

	for (int i = 0; single[i]; i++)
		if (json_object_get(spec, single[i]) || (json_object_get(spec, "table") && json_object_get(spec, "default")))
			scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE,
							   "of a sub-attribute with several values nothing can be said but where they are");
}

/* A source in "relid", whose rows have "alias". */
void
scim_object_source(ScimResolve *ctx, const char *path, Oid relid, const char *alias, const ScimAttr *attr,
			  const json_t *spec, ScimSource *src)
{
	const json_t *column = json_object_get(spec, "column");
	const json_t *read = json_object_get(spec, "read");
	const json_t *null_value = json_object_get(spec, "null");

	if (json_is_string(column) && read == NULL)
	{
		if (!scim_column_source(relid, alias, json_string_value(column), src))
			scim_mapping_error(ctx, path, ERRCODE_UNDEFINED_COLUMN,
							   psprintf("column \"%s\" does not exist", json_string_value(column)));
		set_time_zone(src);
	}
	else if (json_object_get(spec, "columns") && column == NULL && read == NULL)
		reference_source(ctx, path, relid, alias, spec, src);
	else if (json_is_string(read) && column == NULL)
		scim_text_source(ctx, path, relid, alias, json_string_value(read), src);
	else
		scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "a source has one of \"column\", \"read\" and \"constant\"");

	if (json_object_get(spec, "path"))
		set_json(ctx, path, relid, attr, json_object_get(spec, "path"), src);
	if (src->several)
		check_several_members(ctx, path, spec);
	if (null_value)
	{
		if (src->column == NULL || src->json_path)
			scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "\"null\" needs a column");
		src->null_text = scim_mapping_scalar(ctx, path, null_value);
	}
	if (json_object_get(spec, "codes"))
		set_codes(ctx, path, attr, json_object_get(spec, "codes"), src);
	if (src->null_text && src->ncodes == 0)
	{
		src->raw = src->raw ? src->raw : src->expr;
		src->expr = psprintf("nullif(%s, %s::%s)::%s", src->expr, quote_literal_cstr(src->null_text), src->type_name, src->type_name);
	}
	if (json_object_get(spec, "time"))
		set_time(ctx, path, json_object_get(spec, "time"), src);
	if (json_object_get(spec, "ref"))
	{
		if (!json_is_string(json_object_get(spec, "ref")))
			scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "\"ref\" is the name of a resource type");
		src->ref_type = pstrdup(json_string_value(json_object_get(spec, "ref")));
	}
	src->required = json_is_true(json_object_get(spec, "required"));
	if (!json_object_get(spec, "table"))
		src->initial = json_object_get(spec, "default");
	if (json_object_get(spec, "write"))
		set_writes(ctx, path, relid, attr, json_object_get(spec, "write"), src);
	set_fold(ctx, path, relid, alias, attr, spec, src);
}

void
scim_json_source(ScimResolve *ctx, const char *path, const ScimAttr *attr, const json_t *value, ScimSource *src)
{
	static const char *const known[] = {
		"column", "columns", "read", "write", "constant", "codes", "null", "time", "path", "fold", "folded", "required", "ref",
		"table", "parent", "by", "where", "insert", "default", "copies", NULL
	};
	const json_t *constant;

	if (json_is_string(value))
	{
		scim_text_source(ctx, path, ctx->mapping->relid, "r", json_string_value(value), src);
		return;
	}
	if (!json_is_object(value))
		scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "its source is a text or an object");
	scim_mapping_members(ctx, path, value, known);
	constant = json_object_get(value, "constant");
	if (constant)
	{
		if (json_object_size(value) > 1)
			scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "a constant is read-only, and nothing more can be said of it");
		scim_constant_source(constant, src);
		if (attr->type == SCIM_TYPE_BOOLEAN && json_is_boolean(constant))
			set_source_type(src, BOOLOID);
		else if (attr->type == SCIM_TYPE_INTEGER || attr->type == SCIM_TYPE_DECIMAL)
			set_source_type(src, NUMERICOID);
		src->expr = psprintf("%s::%s", quote_literal_cstr(src->constant), src->type_name);
		return;
	}
	if (json_object_get(value, "table"))
		scim_side_source(ctx, path, attr, value, src);
	else
		scim_object_source(ctx, path, ctx->mapping->relid, "r", attr, value, src);
	if (json_object_get(value, "copies"))
		scim_resolve_copies(ctx, path, attr, json_object_get(value, "copies"), src);
}

void
scim_child_source(ScimResolve *ctx, const char *path, Oid relid, const ScimAttr *attr, const json_t *value,
				  ScimSource *src)
{
	static const char *const known[] = {"column", "codes", "null", "time", "fold", "folded", "write", "required", NULL};

	if (json_is_string(value))
	{
		if (!scim_column_source(relid, "c", json_string_value(value), src))
			scim_mapping_error(ctx, path, ERRCODE_UNDEFINED_COLUMN,
							   psprintf("its child table has no column \"%s\"", json_string_value(value)));
		set_time_zone(src);
		return;
	}
	if (!json_is_object(value))
		scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "its source is a text or an object");
	scim_mapping_members(ctx, path, value, known);
	scim_object_source(ctx, path, relid, "c", attr, value, src);
}
