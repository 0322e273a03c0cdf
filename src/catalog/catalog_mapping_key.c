/*
 * catalog_mapping_key.c
 *		What the rows of a mapping are known by: key and id (see ScimKey), and
 *		the columns of other relations that hold keys.
 *
 * An id is one text.  That of a key of several columns is their texts, each
 * percent-encoded but for the unreserved characters of RFC 3986 without "~",
 * joined by "~": so it has one form, can be split again, and stands in a URL.
 * Columns that the scope of the endpoint fixes are no part of it.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_expr.h"
#include "parser/parse_oper.h"
#include "parser/parse_relation.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/syscache.h"

#include "catalog_mapping_internal.h"

/* Longer texts name nothing, and are not looked for. */
#define MAX_PART 1024
#define MAX_ID 4096

PG_FUNCTION_INFO_V1(scim_key_text);

/* ---- ids ---- */

static bool
is_plain(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' || c == '.' || c == '_';
}

char *
scim_key_join(const char *const *parts, int n)
{
	StringInfoData id;

	initStringInfo(&id);
	for (int i = 0; i < n; i++)
	{
		if (i > 0)
			appendStringInfoChar(&id, '~');
		for (const unsigned char *p = (const unsigned char *) parts[i]; *p; p++)
			appendStringInfo(&id, is_plain(*p) ? "%c" : "%%%02X", *p);
	}
	return id.data;
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The texts in an id of n parts; NULL: it is none, or none in this form. */
static const char **
split(const char *id, int n)
{
	const char **parts = palloc(sizeof(char *) * n);
	char	   *text = palloc(strlen(id) + 1);
	char	   *out = text;
	int			i = 0;

	parts[i++] = out;
	for (const char *p = id; *p; p++)
	{
		if (*p == '~')
		{
			*out++ = '\0';
			if (i == n)
				return NULL;
			parts[i++] = out;
		}
		else if (is_plain((unsigned char) *p))
			*out++ = *p;
		else
		{
			int			high = *p == '%' ? hex_value(p[1]) : -1;
			int			low = high >= 0 ? hex_value(p[2]) : -1;

			if (low < 0 || high + low == 0 || is_plain((unsigned char) (high * 16 + low)))
				return NULL;
			*out++ = (char) (high * 16 + low);
			p += 2;
		}
	}
	*out = '\0';
	if (i < n)
		return NULL;
	for (i = 0; i < n; i++)
		if (!pg_verifymbstr(parts[i], (int) strlen(parts[i]), true))
			return NULL;
	return parts;
}

/* The id of a row, of the texts of its key; null if one of them is. */
Datum
scim_key_text(PG_FUNCTION_ARGS)
{
	Datum	   *elements;
	bool	   *nulls;
	int			n;
	const char **parts;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	parts = palloc(sizeof(char *) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			PG_RETURN_NULL();
		parts[i] = TextDatumGetCString(elements[i]);
	}
	PG_RETURN_TEXT_P(cstring_to_text(scim_key_join(parts, n)));
}

/* ---- texts of one part ---- */

/* The canonical text of an integer that the type can hold. */
static bool
is_integer_text(Oid base, const char *text)
{
	const char *digits = text + (text[0] == '-');
	int64		min = base == INT8OID ? PG_INT64_MIN : base == INT4OID ? PG_INT32_MIN : PG_INT16_MIN;
	int64		max = base == INT8OID ? PG_INT64_MAX : base == INT4OID ? PG_INT32_MAX : PG_INT16_MAX;
	long long	value;

	if (*digits < '1' || *digits > '9')
		return strcmp(text, "0") == 0;
	if (strspn(digits, "0123456789") != strlen(digits))
		return false;
	errno = 0;
	value = strtoll(text, NULL, 10);
	return errno == 0 && value >= min && value <= max;
}

bool
scim_is_uuid_text(const char *text)
{
	if (strlen(text) != 36)
		return false;
	for (int i = 0; i < 36; i++)
	{
		bool		dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? text[i] != '-' : !((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f')))
			return false;
	}
	return true;
}

/*
 * Is it what a value of the type can be read from?  Only the type's input
 * function knows, and what it raises needs a rollback.
 */
static bool
is_text_of(Oid type, const char *text)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool valid = true;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		Oid			input;
		Oid			param;

		getTypeInputInfo(type, &input, &param);
		(void) OidInputFunctionCall(input, pstrdup(text), param, -1);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		int			category;

		MemoryContextSwitchTo(context);
		category = ERRCODE_TO_CATEGORY(geterrcode());
		if (category != ERRCODE_DATA_EXCEPTION && geterrcode() != ERRCODE_INVALID_TEXT_REPRESENTATION)
			PG_RE_THROW();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		valid = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return valid;
}

/* Any text is a value of these types. */
static bool
is_text_type(const ScimSource *part)
{
	Oid			base = getBaseType(part->typid);

	return base == TEXTOID || base == VARCHAROID || base == BPCHAROID || base == NAMEOID || part->citext != NULL;
}

bool
scim_key_is_exact(const ScimSource *part)
{
	Oid			base = getBaseType(part->typid);

	return part->cls == SCIM_SQL_UUID || part->cls == SCIM_SQL_INTEGER || base == TEXTOID || base == VARCHAROID;
}

static bool
part_valid(const ScimSource *part, const char *text)
{
	if (part->cls == SCIM_SQL_UUID)
		return scim_is_uuid_text(text);
	if (part->cls == SCIM_SQL_INTEGER)
		return is_integer_text(getBaseType(part->typid), text);
	if (strlen(text) > MAX_PART)
		return false;
	return is_text_type(part) || is_text_of(getBaseType(part->typid), text);
}

const char **
scim_key_split(const ScimKey *key, const char *id)
{
	const char **parts;

	Assert(!key->by_expression);
	if (key->n > 1)
	{
		parts = split(id, key->n);
		/* a place in a list, of before the mapping was altered */
		if (parts == NULL)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("\"%s\" is no id any more", id)));
		return parts;
	}
	parts = palloc(sizeof(char *));
	parts[0] = id;
	return parts;
}

bool
scim_key_id_valid(const ScimKey *key, const char *id)
{
	const char **parts;

	if (id[0] == '\0' || strlen(id) > MAX_ID)
		return false;
	if (key->by_expression)
		return part_valid(&key->id, id);
	if (key->n == 1)
		return part_valid(&key->parts[0], id);
	parts = split(id, key->n);
	for (int i = 0; parts && i < key->n; i++)
		if (!part_valid(&key->parts[i], parts[i]))
			return false;
	return parts != NULL;
}

/* ---- SQL ---- */

const char *
scim_key_row_sql(const char *const *parts, int n)
{
	StringInfoData row;

	if (n == 1)
		return parts[0];
	initStringInfo(&row);
	for (int i = 0; i < n; i++)
		appendStringInfo(&row, "%s%s", i > 0 ? ", " : "ROW(", parts[i]);
	appendStringInfoChar(&row, ')');
	return row.data;
}

const char *
scim_key_names(const ScimReference *columns)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < columns->n; i++)
		appendStringInfo(&list, "%s%s", i > 0 ? ", " : "", columns->columns[i]);
	return list.data;
}

const char *
scim_key_columns_sql(const ScimReference *columns, const char *alias)
{
	const char **parts = palloc(sizeof(char *) * Max(columns->n, 1));

	for (int i = 0; i < columns->n; i++)
		parts[i] = psprintf("%s.%s", alias, columns->columns[i]);
	return scim_key_row_sql(parts, columns->n);
}

/* "scim.key_text(a::text, b::text)" */
static const char *
joined_sql(const char *const *parts, int n)
{
	StringInfoData text;

	initStringInfo(&text);
	for (int i = 0; i < n; i++)
		appendStringInfo(&text, "%s%s::pg_catalog.text", i > 0 ? ", " : "scim.key_text(", parts[i]);
	appendStringInfoChar(&text, ')');
	return text.data;
}

const char *
scim_key_id_sql(const ScimMapping *m, const char *const *parts)
{
	const ScimKey *key = &m->key;
	StringInfoData sql;

	if (!key->by_expression)
		return key->n == 1 ? parts[0] : joined_sql(parts, key->n);
	initStringInfo(&sql);
	appendStringInfo(&sql, "(SELECT k.id FROM (SELECT %s AS id", key->id.expr);
	for (int i = 0; i < key->n; i++)
		appendStringInfo(&sql, ", %s AS k%d", key->parts[i].expr, i + 1);
	appendStringInfo(&sql, " FROM %s r) k WHERE ", m->relation);
	for (int i = 0; i < key->n; i++)
		appendStringInfo(&sql, "%sk.k%d OPERATOR(pg_catalog.=) %s", i > 0 ? " AND " : "", i + 1, parts[i]);
	appendStringInfoString(&sql, " LIMIT 1)");
	return sql.data;
}

bool
scim_key_has_column(const ScimKey *key, AttrNumber attnum)
{
	return attnum > 0 && bms_is_member(attnum, key->attnums);
}

bool
scim_key_is_written(const ScimKey *key, const ScimSource *src)
{
	bool		any = scim_key_has_column(key, src->attnum);

	/* what has a column of its own makes the key of a new row, and no other */
	for (int i = 0; src->column == NULL && i < src->nwrites; i++)
		any = any || scim_key_has_column(key, src->writes[i].attnum);
	for (int i = 0; src->ref_columns && i < src->ref_columns->n; i++)
		any = any || scim_key_has_column(key, src->ref_columns->attnums[i]);
	return any;
}

Oid
scim_key_index(const ScimMapping *m, const char *const *scope, bool unique)
{
	AttrNumber *attnums = palloc(sizeof(AttrNumber) * m->key.n);

	if (m->key.by_expression || m->key.parts[0].attnum == 0)
		return scim_mapping_index(m, m->relid, "r", m->key.id.expr, scope, unique);
	for (int i = 0; i < m->key.n; i++)
		attnums[i] = m->key.parts[i].attnum;
	return scim_mapping_columns_index(m, m->relid, attnums, m->key.n, scope, unique);
}

/* ---- from the text of a mapping ---- */

List *
scim_key_listed_names(Oid relid, const char *text)
{
	Node	   *tree;
	List	   *items;
	List	   *names = NIL;
	ListCell   *lc;

	if (get_attnum(relid, text) > 0)
		return list_make1(pstrdup(text));
	tree = scim_mapping_parse(text);
	/* in parentheses it is an expression */
	if (tree == NULL || (IsA(tree, ColumnRef) && text[strspn(text, " \t\r\n")] == '('))
		return NIL;
	items = IsA(tree, RowExpr) && ((RowExpr *) tree)->row_format == COERCE_IMPLICIT_CAST ? ((RowExpr *) tree)->args : list_make1(tree);
	foreach(lc, items)
	{
		ColumnRef  *ref = (ColumnRef *) lfirst(lc);

		if (!IsA(ref, ColumnRef) || list_length(ref->fields) != 1 || !IsA(linitial(ref->fields), String))
			return NIL;
		names = lappend(names, pstrdup(strVal(linitial(ref->fields))));
	}
	return names;
}

List *
scim_key_column_names(Oid relid, const char *text)
{
	List	   *names = scim_key_listed_names(relid, text);
	ListCell   *lc;

	foreach(lc, names)
		if (get_attnum(relid, (char *) lfirst(lc)) <= 0)
			return NIL;
	return names;
}

/* The columns of the primary key, in order; NIL: there is none. */
List *
scim_primary_key(Oid relid)
{
	Relation	rel = table_open(relid, AccessShareLock);
	List	   *names = NIL;
	HeapTuple	tuple;

	(void) RelationGetIndexList(rel);
	tuple = OidIsValid(rel->rd_pkindex) ? SearchSysCache1(INDEXRELID, ObjectIdGetDatum(rel->rd_pkindex)) : NULL;
	if (HeapTupleIsValid(tuple))
	{
		Form_pg_index form = (Form_pg_index) GETSTRUCT(tuple);

		for (int i = 0; i < form->indnkeyatts; i++)
			names = lappend(names, get_attname(relid, form->indkey.values[i], false));
		ReleaseSysCache(tuple);
	}
	table_close(rel, NoLock);
	return names;
}

/* A cast to a domain would check what is only looked for. */
static void
set_cast(ScimSource *src)
{
	src->type_name = format_type_extended(getBaseType(src->typid), -1, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);
}

/* The column of the scope that a column of the mapped relation is; -1: none. */
static int
scope_of(const ScimMapping *m, const char *name)
{
	for (int i = 0; i < m->nscope; i++)
		if (m->scope_columns[i] && strcmp(m->scope_columns[i], quote_identifier(name)) == 0)
			return i;
	return -1;
}

static void
use_columns(ScimResolve *ctx, List *names)
{
	ScimMapping *m = ctx->mapping;
	ScimKey    *key = &m->key;
	const char **exprs = palloc(sizeof(char *) * list_length(names));
	bool		any = false;
	ListCell   *lc;

	foreach(lc, names)
		any = any || scope_of(m, (char *) lfirst(lc)) < 0;
	key->parts = palloc0(sizeof(ScimSource) * list_length(names));
	key->columns = palloc0(sizeof(ScimKeyColumn) * list_length(names));
	key->n = key->ncolumns = 0;
	foreach(lc, names)
	{
		const char *name = (char *) lfirst(lc);
		ScimKeyColumn *column = &key->columns[key->ncolumns++];
		ScimSource *part = &key->parts[key->n];

		column->name = name;
		/* something has to be left, though it is one row a tenant then */
		column->scope = any ? scope_of(m, name) : -1;
		column->part = column->scope < 0 ? key->n : -1;
		if (column->part < 0)
			continue;
		if (!scim_column_source(m->relid, "r", name, part))
			elog(ERROR, "column \"%s\" has gone", name);
		set_cast(part);
		exprs[key->n++] = part->expr;
		key->attnums = bms_add_member(key->attnums, part->attnum);
	}
	key->row = scim_key_row_sql(exprs, key->n);
	if (key->by_expression)
		return;
	if (key->n == 1)
	{
		key->id = key->parts[0];
		return;
	}
	scim_text_expression(joined_sql(exprs, key->n), &key->id);
	key->id.not_null = true;
	for (int i = 0; i < key->n; i++)
		key->id.not_null = key->id.not_null && key->parts[i].not_null;
}

/* The columns that an expression reads, and whether it gives the same for the same row. */
static void
look_at_expression(ScimResolve *ctx, const char *text)
{
	ScimMapping *m = ctx->mapping;
	ParseState *pstate = make_parsestate(NULL);
	Relation	rel = table_open(m->relid, AccessShareLock);
	Bitmapset  *attnums = NULL;
	Node	   *node;
	int			attnum = -1;

	addNSItemToQuery(pstate, addRangeTableEntryForRelation(pstate, rel, AccessShareLock, makeAlias("r", NIL), false, true),
					 false, true, true);
	node = transformExpr(pstate, scim_mapping_parse(text), EXPR_KIND_SELECT_TARGET);
	if (contain_volatile_functions(node))
		scim_mapping_error(ctx, "id", ERRCODE_INVALID_PARAMETER_VALUE, "the key changes from one moment to the next");
	pull_varattnos(node, 1, &attnums);
	while ((attnum = bms_next_member(attnums, attnum)) >= 0)
		if (attnum + FirstLowInvalidHeapAttributeNumber > 0)
			m->key.attnums = bms_add_member(m->key.attnums, attnum + FirstLowInvalidHeapAttributeNumber);
	free_parsestate(pstate);
	table_close(rel, NoLock);
}

void
scim_resolve_key(ScimResolve *ctx)
{
	ScimMapping *m = ctx->mapping;
	ScimKey    *key = &m->key;
	List	   *names = scim_key_column_names(m->relid, ctx->row->key);

	if (names != NIL)
	{
		use_columns(ctx, names);
		return;
	}
	scim_text_source(ctx, "id", m->relid, "r", ctx->row->key, &key->id);
	look_at_expression(ctx, ctx->row->key);
	set_cast(&key->id);
	key->id.column = NULL;
	key->id.attnum = 0;
	names = scim_primary_key(m->relid);
	if (names != NIL)
	{
		/* a sync knows rows by what they are known by here: no target sees the id */
		key->by_expression = !ctx->row->outbound;
		use_columns(ctx, names);
		return;
	}
	key->n = key->ncolumns = 1;
	key->parts = &key->id;
	key->columns = palloc0(sizeof(ScimKeyColumn));
	key->row = key->id.expr;
}

/* ---- columns that hold keys ---- */

static void
add_column(ScimResolve *ctx, const char *path, Oid relid, const char *alias, const char *member, const json_t *name,
		   bool writable, ScimReference *columns)
{
	ScimSource	src;

	if (!json_is_string(name) || !scim_column_source(relid, alias, json_string_value(name), &src))
		scim_mapping_error(ctx, path, ERRCODE_UNDEFINED_COLUMN, psprintf("\"%s\" does not name a column of its table", member));
	if (writable && src.column == NULL)
		scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, psprintf("\"%s\" names a generated column", member));
	columns->columns[columns->n] = pstrdup(quote_identifier(json_string_value(name)));
	columns->attnums[columns->n] = src.attnum;
	columns->types[columns->n++] = src.type_name;
}

static void
make_columns(ScimReference *columns, int n)
{
	memset(columns, 0, sizeof(*columns));
	columns->columns = palloc(sizeof(char *) * Max(n, 1));
	columns->attnums = palloc(sizeof(AttrNumber) * Max(n, 1));
	columns->types = palloc(sizeof(char *) * Max(n, 1));
}

void
scim_resolve_reference(ScimResolve *ctx, const char *path, Oid relid, const char *alias, const json_t *spec,
					   const char *member, bool writable, ScimReference *columns)
{
	const json_t *names = json_object_get(spec, member);
	int			n = json_is_array(names) ? (int) json_array_size(names) : 1;

	make_columns(columns, n);
	for (int i = 0; i < n; i++)
		add_column(ctx, path, relid, alias, member, json_is_array(names) ? json_array_get(names, i) : names, writable, columns);
	if (columns->n == 0)
		scim_mapping_error(ctx, path, ERRCODE_UNDEFINED_COLUMN, psprintf("\"%s\" does not name a column of its table", member));
	columns->row = scim_key_columns_sql(columns, alias);
}

static bool
is_among(const ScimReference *columns, AttrNumber attnum)
{
	for (int i = 0; i < columns->n; i++)
		if (columns->attnums[i] == attnum)
			return true;
	return false;
}

pg_noreturn static void
does_not_fit(const ScimMapping *of, const ScimMapping *m, const char *path, const ScimReference *columns)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < of->key.ncolumns; i++)
		appendStringInfo(&names, "%s%s", i > 0 ? ", " : "", of->key.columns[i].name ? of->key.columns[i].name : "an expression");
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("attribute \"%s\" of mapping \"%s\": %d columns can't hold a key of mapping \"%s\", which is (%s)",
					path, m->name, columns->n, of->name, names.data),
			 errhint("Name them in that order: [\"...\", \"...\"]")));
}

/* A column whose values can't be compared with the keys does not hold them. */
static void
require_comparable(const ScimMapping *of, const ScimMapping *m, const char *path, Oid relid, const ScimSource *part, AttrNumber attnum)
{
	Oid			type = get_atttype(relid, attnum);

	if (OidIsValid(compatible_oper_opid(list_make2(makeString("pg_catalog"), makeString("=")), type, part->typid, true)))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("attribute \"%s\" of mapping \"%s\": column \"%s\" (%s) can't hold a key of mapping \"%s\" (%s)",
					path, m->name, get_attname(relid, attnum, false), format_type_be(type), of->name, format_type_be(part->typid)),
			 errhint("Where rows are known by one column outside and by the primary key to other tables, the key of the mapping is that column in parentheses: key => '(...)'.")));
}

void
scim_fit_reference(const ScimMapping *of, const ScimMapping *m, const char *path, Oid relid, const char *alias,
				   ScimReference *columns, const char **scope)
{
	const ScimKey *key = &of->key;
	int			unnamed = key->ncolumns - columns->n;	/* to be found by the names in the key */
	int			next = 0;
	ScimReference fitted;

	make_columns(&fitted, key->n);
	for (int i = 0; i < key->ncolumns; i++)
	{
		const ScimKeyColumn *column = &key->columns[i];
		ScimSource	src;
		bool		there = column->name && scim_column_source(relid, alias, column->name, &src) && !is_among(columns, src.attnum);
		const char *name = NULL;

		if (unnamed > 0 && (there || column->part < 0))
		{
			unnamed--;
			name = there ? quote_identifier(column->name) : NULL;
		}
		else if (next < columns->n)
		{
			name = columns->columns[next];
			src.attnum = columns->attnums[next];
			src.type_name = columns->types[next++];
		}
		else
			does_not_fit(of, m, path, columns);
		if (column->part >= 0)
		{
			fitted.columns[fitted.n] = name;
			fitted.attnums[fitted.n] = src.attnum;
			fitted.types[fitted.n++] = src.type_name;
		}
		else if (name && scope)
		{
			if (scope[column->scope] && strcmp(scope[column->scope], name) != 0)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("attribute \"%s\" of mapping \"%s\": columns %s and %s would both hold what the scope fixes",
								path, m->name, scope[column->scope], name)));
			scope[column->scope] = name;
		}
	}
	if (next < columns->n)
		does_not_fit(of, m, path, columns);
	for (int i = 0; i < fitted.n; i++)
	{
		require_comparable(of, m, path, relid, &key->parts[i], fitted.attnums[i]);
		/* what holds a key is not the scope's, whatever it is called */
		for (int j = 0; scope && j < m->nscope; j++)
			if (scope[j] && strcmp(scope[j], fitted.columns[i]) == 0)
				scope[j] = NULL;
	}
	fitted.row = scim_key_columns_sql(&fitted, alias);
	*columns = fitted;
}
