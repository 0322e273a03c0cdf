/*
 * catalog_mapping_report.c
 *		SQL functions that tell people about a mapping: what it does, which
 *		indexes serve it and which would.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/ruleutils.h"

#include "catalog.h"
#include "catalog_mapping.h"
#include "../compat.h"

PG_FUNCTION_INFO_V1(scim_describe_mapping);
PG_FUNCTION_INFO_V1(scim_recommend_indexes);

/* ---- the mapping ---- */

/* The endpoint that shows a mapping at work: its mappings and scope columns. */
static bool
find_endpoint(const char *mapping, List **rows, List **scope, Oid *owner)
{
	Oid			types[1] = {TEXTOID};
	Datum		values[1];
	List	   *names = NIL;
	ListCell   *lc;
	bool		isnull;

	values[0] = CStringGetTextDatum(mapping);
	if (scim_own_execute("endpoint of mapping",
						 "SELECT m.name, e.owner::pg_catalog.oid, (SELECT pg_catalog.array_agg(s ORDER BY s) FROM pg_catalog.jsonb_object_keys(e.scope) s)::pg_catalog.text[]"
						 " FROM (SELECT * FROM scim._endpoints e WHERE $1 OPERATOR(pg_catalog.=) ANY (e.mappings) ORDER BY e.name LIMIT 1) e,"
						 " pg_catalog.unnest(e.mappings) m(name)",
						 1, types, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read scim._endpoints");
	if (SPI_processed == 0)
		return false;
	*owner = DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));
	values[0] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3, &isnull);
	if (!isnull)
	{
		Datum	   *elements;
		int			n;

		deconstruct_array(DatumGetArrayTypeP(values[0]), TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, &n);
		for (int i = 0; i < n; i++)
			*scope = lappend(*scope, TextDatumGetCString(elements[i]));
	}
	for (uint64 i = 0; i < SPI_processed; i++)
		names = lappend(names, SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1));
	foreach(lc, names)
	{
		ScimMappingRow *row = scim_mapping_row((char *) lfirst(lc));

		if (row)
			*rows = lappend(*rows, row);
	}
	return true;
}

ScimMapping *
scim_mapping_to_report(const char *name, List **scope, Oid *owner)
{
	ScimMappingRow *row = scim_mapping_row(name);
	List	   *rows = NIL;
	ScimMappingSet *set;

	if (row == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("mapping \"%s\" does not exist", name)));
	if (!row->builtin)
		scim_require_member(row->owner, psprintf("mapping \"%s\"", name));
	*scope = NIL;
	if (!find_endpoint(name, &rows, scope, owner))
	{
		rows = list_make1(row);
		*owner = row->builtin ? scim_recorded_role("store") : row->owner;
		if (row->builtin)
			*scope = list_make1("tenant");
	}
	set = scim_mapping_set_make(rows, *owner, *scope, false);
	for (int i = 0; i < set->nmappings; i++)
		if (strcmp(set->mappings[i]->name, name) == 0)
			return set->mappings[i];
	return NULL;				/* keep compiler quiet: it is among them */
}

/* ---- indexes ---- */

const char *
scim_mapping_index_expression(const ScimAttr *attr, const ScimSource *src)
{
	const char *column = src->raw ? src->raw : src->expr;
	bool		text = src->raw ? src->ncodes == 0 && src->time == SCIM_TIME_NATIVE && src->cls == SCIM_SQL_TEXT : src->cls == SCIM_SQL_TEXT;

	if (!text || src->citext)
		return column;
	if (src->folded)
		return src->folded;
	if (src->fold)
		return psprintf("%s(%s)", src->fold, column);
	if (src->typid != TEXTOID)
		column = psprintf("%s::pg_catalog.text", column);
	return attr->case_exact ? column : psprintf("scim.fold(%s)", column);
}

/* The collation that such an index has to have; InvalidOid: that of the column. */
static Oid
index_collation(const ScimSource *src)
{
	return src->cls == SCIM_SQL_TEXT && !src->fold && !src->citext && src->ncodes == 0 ? C_COLLATION_OID : InvalidOid;
}

/* An expression over one relation as a tree, as index definitions hold it. */
static Node *
expression_node(Relation rel, const char *alias, const char *expr)
{
	ParseState *pstate = make_parsestate(NULL);
	List	   *parsed = raw_parser(psprintf("SELECT (%s)", expr), RAW_PARSE_DEFAULT);
	SelectStmt *select = (SelectStmt *) linitial_node(RawStmt, parsed)->stmt;
	Node	   *node;

	addNSItemToQuery(pstate, addRangeTableEntryForRelation(pstate, rel, AccessShareLock, makeAlias(alias, NIL), false, true),
					 false, true, true);
	node = transformExpr(pstate, linitial_node(ResTarget, select->targetList)->val, EXPR_KIND_INDEX_EXPRESSION);
	assign_expr_collations(pstate, node);
	node = eval_const_expressions(NULL, node);
	fix_opfuncids(node);
	free_parsestate(pstate);
	return node;
}

/* Is key column "i" of an index this expression? */
static bool
is_index_column(Relation index, int i, List *expressions, Node *node)
{
	AttrNumber	attnum = index->rd_index->indkey.values[i];
	int			nth = 0;

	if (attnum != 0)
	{
		if (IsA(node, RelabelType))
			node = (Node *) ((RelabelType *) node)->arg;
		return IsA(node, Var) && ((Var *) node)->varattno == attnum;
	}
	for (int j = 0; j < i; j++)
		nth += index->rd_index->indkey.values[j] == 0;
	return nth < list_length(expressions) && equal(node, list_nth(expressions, nth));
}

/* Is key column "i" of an index one of the scope's? */
static bool
is_scope_column(const ScimMapping *m, Relation rel, Relation index, int i, const char *const *scope)
{
	AttrNumber	attnum = index->rd_index->indkey.values[i];

	for (int j = 0; attnum > 0 && scope && j < m->nscope; j++)
		if (scope[j] && strcmp(scope[j], quote_identifier(NameStr(TupleDescAttr(RelationGetDescr(rel), attnum - 1)->attname))) == 0)
			return true;
	return false;
}

/*
 * Is an index about all rows that a comparison of this expression can find:
 * without a predicate, or with one that says its column is not null?
 */
static bool
is_whole(Relation index, Node *node)
{
	List	   *predicate = RelationGetIndexPredicate(index);
	NullTest   *test;
	Bitmapset  *attnums = NULL;

	if (predicate == NIL)
		return true;
	test = (NullTest *) linitial(predicate);
	if (list_length(predicate) != 1 || !IsA(test, NullTest) || test->nulltesttype != IS_NOT_NULL || !IsA(test->arg, Var))
		return false;
	pull_varattnos(node, 1, &attnums);
	return bms_is_member(((Var *) test->arg)->varattno - FirstLowInvalidHeapAttributeNumber, attnums);
}

static Oid
find_index(const ScimMapping *m, Relation rel, Node *node, Oid collation, const char *const *scope, bool unique)
{
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *lc;
	Oid			found = InvalidOid;

	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		List	   *expressions = RelationGetIndexExpressions(index);
		int			nkeys = index->rd_index->indnkeyatts;
		int			i = 0;

		while (i < nkeys && is_scope_column(m, rel, index, i, scope))
			i++;
		if (!OidIsValid(found) && index->rd_index->indisvalid && is_whole(index, node) &&
			i < nkeys && is_index_column(index, i, expressions, node) &&
			(!OidIsValid(collation) || index->rd_indcollation[i] == collation) &&
			(!unique || index->rd_index->indisunique))
		{
			/* a unique index of more columns keeps nothing apart by these */
			bool		rest = false;

			for (int j = i + 1; j < nkeys; j++)
				rest = rest || !is_scope_column(m, rel, index, j, scope);
			if (!unique || !rest)
				found = lfirst_oid(lc);
		}
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
	return found;
}

static Oid
index_for(const ScimMapping *m, Oid relid, const char *alias, const char *expr, Oid collation,
		  const char *const *scope, bool unique)
{
	Relation	rel = table_open(relid, AccessShareLock);
	Oid			result = find_index(m, rel, expression_node(rel, alias, expr), collation, scope, unique);

	table_close(rel, NoLock);
	return result;
}

Oid
scim_mapping_index(const ScimMapping *m, Oid relid, const char *alias, const char *expr,
				   const char *const *scope, bool unique)
{
	return index_for(m, relid, alias, expr, InvalidOid, scope, unique);
}

Oid
scim_mapping_columns_index(const ScimMapping *m, Oid relid, const AttrNumber *attnums, int n,
						   const char *const *scope, bool unique)
{
	Relation	rel = table_open(relid, AccessShareLock);
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *lc;
	Oid			found = InvalidOid;

	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		int			nkeys = index->rd_index->indnkeyatts;
		int			first = 0;
		int			here = 0;
		int			rest = 0;

		while (first < nkeys && is_scope_column(m, rel, index, first, scope))
			first++;
		for (int i = first; i < nkeys; i++)
		{
			bool		known = false;

			for (int j = 0; j < n; j++)
				known = known || index->rd_index->indkey.values[i] == attnums[j];
			here += known && (unique || i < first + n);
			rest += !known && !is_scope_column(m, rel, index, i, scope);
		}
		/* one that is unique in fewer columns is so in all of them */
		if (!OidIsValid(found) && index->rd_index->indisvalid && RelationGetIndexPredicate(index) == NIL &&
			(unique ? index->rd_index->indisunique && here > 0 && rest == 0 : here == n))
			found = lfirst_oid(lc);
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
	table_close(rel, NoLock);
	return found;
}

/* ---- reports ---- */

typedef struct Report
{
	const ScimMapping *m;
	ReturnSetInfo *result;
	ScimIdentity identity;
} Report;

static void
put_row(Report *report, const char *const *texts, int n)
{
	Datum		values[8];
	bool		nulls[8];

	Assert(n <= lengthof(values));
	for (int i = 0; i < n; i++)
	{
		nulls[i] = texts[i] == NULL;
		values[i] = nulls[i] ? (Datum) 0 : CStringGetTextDatum(texts[i]);
	}
	tuplestore_putvalues(report->result->setResult, report->result->setDesc, values, nulls);
}

/* How a person would say where a value lives. */
static const char *
source_text(const ScimSource *src)
{
	const ScimSource *read = src->inner ? src->inner : src;
	StringInfoData text;

	if (src->expr == NULL || src->constant)
		return psprintf("constant %s", src->constant);
	initStringInfo(&text);
	if (src->side)
		appendStringInfo(&text, "%s: ", src->side->relation);
	if (src->ref_columns)
		appendStringInfoString(&text, scim_key_names(src->ref_columns));
	else if (src->column)
		appendStringInfo(&text, "%s%s", src->negated ? "NOT " : "", src->column);
	else
		appendStringInfoString(&text, read->attnum != 0 ? strchr(read->expr, '.') + 1 : src->expr);
	for (int i = 0; src->json_path && i < src->njson; i++)
		appendStringInfo(&text, "%s%s", i > 0 ? "." : " -> ", src->json_path[i]);
	if (src->ncodes > 0)
		appendStringInfo(&text, ", %d codes", src->ncodes);
	if (src->null_text)
		appendStringInfo(&text, ", null is %s", quote_literal_cstr(src->null_text));
	if (src->time == SCIM_TIME_SECONDS || src->time == SCIM_TIME_MILLISECONDS)
		appendStringInfoString(&text, src->time == SCIM_TIME_SECONDS ? ", seconds" : ", milliseconds");
	for (int i = 0; i < src->nwrites; i++)
		appendStringInfo(&text, ", writes %s", src->writes[i].column);
	for (int i = 0; i < src->ncopies; i++)
		appendStringInfo(&text, ", writes %s.%s", src->copies[i].side->relation, src->copies[i].column);
	return text.data;
}

static const char *
index_name(const ScimMapping *m, const ScimAttr *attr, Oid relid, const char *alias, const ScimSource *src,
		   const char *const *scope)
{
	const char *expr;
	Oid			index;

	if (src->expr == NULL || src->constant)
		return NULL;
	if (src->ref_columns)
	{
		index = scim_mapping_columns_index(m, relid, src->ref_columns->attnums, src->ref_columns->n, scope, false);
		return OidIsValid(index) ? get_rel_name(index) : NULL;
	}
	expr = scim_mapping_index_expression(attr, src);
	index = index_for(m, relid, alias, expr, index_collation(src), scope, false);
	return OidIsValid(index) ? get_rel_name(index) : NULL;
}

/* One line of a description. */
static void
describe(Report *report, const char *path, const ScimAttr *attr, Oid relid, const char *alias, const ScimSource *src,
		 const char *const *scope)
{
	const char *texts[7];

	texts[0] = path;
	texts[1] = scim_type_name(attr->type);
	texts[2] = source_text(src);
	texts[3] = scim_source_writable(src) && attr->mutability != SCIM_READ_ONLY ? "read, write" : "read";
	texts[4] = attr->required ? "required" : NULL;
	texts[5] = attr->uniqueness == SCIM_UNIQUE_NONE ? NULL : scim_uniqueness_name(attr->uniqueness);
	texts[6] = src->side ? (src->inner ? index_name(report->m, attr, src->side->relid, "c", src->inner, src->side->scope) : NULL) :
		index_name(report->m, attr, relid, alias, src, scope);
	put_row(report, texts, 7);
}

/* "emails[type eq "work"]" */
static const char *
slot_path(const ScimMapping *m, const ScimSlot *slot)
{
	StringInfoData text;
	char		path[256];
	bool		first = true;

	initStringInfo(&text);
	appendStringInfo(&text, "%s[", scim_attr_path(m->type, slot->attr, path, sizeof(path)));
	for (int i = 0; i < slot->nsubs; i++)
	{
		if (slot->srcs[i].expr || slot->srcs[i].implied)
			continue;
		appendStringInfo(&text, slot->subs[i]->type == SCIM_TYPE_BOOLEAN ? "%s%s eq %s" : "%s%s eq \"%s\"",
						 first ? "" : " and ", slot->subs[i]->name, slot->srcs[i].constant);
		first = false;
	}
	appendStringInfoChar(&text, ']');
	return text.data;
}

static void
describe_child(Report *report, const ScimChild *child)
{
	const ScimMapping *m = report->m;
	char		path[256];
	const char *name = scim_attr_path(m->type, child->attr, path, sizeof(path));
	const char *texts[7] = {name, "reference", NULL, "read, write", NULL, NULL, NULL};
	Oid			index;

	switch (child->kind)
	{
		case SCIM_CHILD_VALUES:
		case SCIM_CHILD_INLINE:
			for (int i = 0; i < child->nsubs; i++)
			{
				const ScimAttr *leaf = child->subs[i] ? child->subs[i] : child->attr;
				ScimSource	src = child->kind == SCIM_CHILD_INLINE && child->srcs[i].expr ? child->store : child->srcs[i];

				if (child->kind == SCIM_CHILD_VALUES)
					describe(report, pstrdup(scim_attr_path(m->type, leaf, path, sizeof(path))), leaf, child->relid, "c", &src, child->scope);
				else
					describe(report, pstrdup(scim_attr_path(m->type, leaf, path, sizeof(path))), leaf, m->relid, "r", &src, m->scope_columns);
			}
			return;
		case SCIM_CHILD_LINK:
			texts[2] = psprintf("%s: %s -> %s", child->relation, scim_key_names(&child->refs), child->ref_type);
			break;
		case SCIM_CHILD_PENDING:
			texts[2] = psprintf("%s: %s, what is not there yet", child->relation, scim_key_names(&child->refs));
			break;
		case SCIM_CHILD_GROUPS:
			texts[2] = psprintf("%s: members of the Group mapping", child->relation);
			texts[3] = "read";
			put_row(report, texts, 7);
			return;
	}
	index = scim_mapping_columns_index(m, child->relid, child->parent.attnums, child->parent.n, child->scope, false);
	texts[6] = OidIsValid(index) ? get_rel_name(index) : NULL;
	put_row(report, texts, 7);
}

static void
describe_key(Report *report)
{
	const ScimMapping *m = report->m;
	Oid			index = scim_key_index(m, m->scope_columns, false);
	const char *texts[7] = {"id", scim_type_name(m->type->a_id->type), NULL, "read",
		m->type->a_id->required ? "required" : NULL, scim_uniqueness_name(m->type->a_id->uniqueness), OidIsValid(index) ? get_rel_name(index) : NULL};
	StringInfoData text;

	initStringInfo(&text);
	if (m->key.by_expression)
		appendStringInfoString(&text, m->key.id.expr);
	for (int i = 0; !m->key.by_expression && i < m->key.n; i++)
		appendStringInfo(&text, "%s%s", i > 0 ? ", " : "", source_text(&m->key.parts[i]));
	texts[2] = text.data;
	put_row(report, texts, 7);
}

static void
describe_all(Report *report)
{
	const ScimMapping *m = report->m;
	const struct
	{
		const ScimSource *src;
		const char *name;
	}			meta[] = {
		{m->created, "created"}, {m->last_modified, "lastModified"}, {m->version, "version"}
	};
	char		path[256];

	describe_key(report);
	for (int i = 0; i < m->nscalars; i++)
		describe(report, pstrdup(scim_attr_path(m->type, m->scalars[i].attr, path, sizeof(path))), m->scalars[i].attr,
				 m->relid, "r", &m->scalars[i].src, m->scope_columns);
	for (int i = 0; i < m->nslots; i++)
		for (int j = 0; j < m->slots[i].nsubs; j++)
		{
			const ScimSlot *slot = &m->slots[i];
			const ScimAttr *leaf = slot->subs[j] ? slot->subs[j] : slot->attr;

			if (slot->srcs[j].expr)
				describe(report, slot->subs[j] ? psprintf("%s.%s", slot_path(m, slot), slot->subs[j]->name) : slot_path(m, slot),
						 leaf, m->relid, "r", &slot->srcs[j], m->scope_columns);
		}
	for (int i = 0; i < m->nchildren; i++)
		describe_child(report, &m->children[i]);
	for (int i = 0; i < lengthof(meta); i++)
		if (meta[i].src)
			describe(report, psprintf("meta.%s", meta[i].name), scim_attr_sub(m->type->a_meta, meta[i].name, strlen(meta[i].name)),
					 m->relid, "r", meta[i].src, m->scope_columns);
}

static void
begin_report(FunctionCallInfo fcinfo, Report *report)
{
	List	   *scope;
	Oid			owner;

	scim_init_materialized(fcinfo);
	memset(&report->identity, 0, sizeof(report->identity));
	report->result = (ReturnSetInfo *) fcinfo->resultinfo;
	SPI_connect();
	scim_catalog_begin();
	report->m = scim_mapping_to_report(text_to_cstring(PG_GETARG_TEXT_PP(0)), &scope, &owner);
	scim_identity_assume(&report->identity, owner, true);
}

static void
end_report(Report *report)
{
	scim_identity_close_gucs(&report->identity);
	scim_identity_restore(&report->identity);
	scim_catalog_end();
	SPI_finish();
}

Datum
scim_describe_mapping(PG_FUNCTION_ARGS)
{
	Report		report;

	begin_report(fcinfo, &report);
	describe_all(&report);
	end_report(&report);
	return (Datum) 0;
}

/* ---- recommendations ---- */

/* "login" of "r.login": an index is defined without an alias. */
static const char *
without_alias(Oid relid, const char *alias, const char *expr)
{
	Relation	rel = table_open(relid, AccessShareLock);
	Node	   *node = expression_node(rel, alias, expr);
	char	   *text = deparse_expression(node, deparse_context_for(get_rel_name(relid), relid), false, false);

	table_close(rel, NoLock);
	return IsA(node, Var) ? text : psprintf("(%s)", text);
}

/* The index that is there, or else one on "what" behind the columns of the scope. */
static void
put_index(Report *report, const char *path, Oid relid, Oid index, const char *what, const char *const *scope, bool unique)
{
	const ScimMapping *m = report->m;
	const char *texts[3] = {path, NULL, NULL};
	StringInfoData text;

	if (OidIsValid(index))
		texts[1] = get_rel_name(index);
	else
	{
		initStringInfo(&text);
		appendStringInfo(&text, "CREATE %sINDEX ON %s (", unique ? "UNIQUE " : "", scim_qualified_relation(relid));
		for (int i = 0; scope && i < m->nscope; i++)
			if (scope[i])
				appendStringInfo(&text, "%s, ", scope[i]);
		appendStringInfo(&text, "%s);", what);
		texts[2] = text.data;
	}
	put_row(report, texts, 3);
}

static void
recommend(Report *report, const char *path, Oid relid, const char *alias, const char *expr, Oid collation,
		  const char *const *scope, bool unique)
{
	put_index(report, path, relid, index_for(report->m, relid, alias, expr, collation, scope, false),
			  psprintf("%s%s", without_alias(relid, alias, expr), OidIsValid(collation) ? " COLLATE \"C\"" : ""), scope, unique);
}

static void
recommend_columns(Report *report, const char *path, Oid relid, const ScimReference *columns, const char *const *scope)
{
	put_index(report, path, relid, scim_mapping_columns_index(report->m, relid, columns->attnums, columns->n, scope, false),
			  scim_key_names(columns), scope, false);
}

static void
recommend_key(Report *report)
{
	const ScimMapping *m = report->m;
	StringInfoData what;

	if (get_rel_relkind(m->relid) == RELKIND_VIEW)
		return;
	initStringInfo(&what);
	if (m->key.by_expression)
		appendStringInfoString(&what, without_alias(m->relid, "r", m->key.id.expr));
	for (int i = 0; !m->key.by_expression && i < m->key.n; i++)
		appendStringInfo(&what, "%s%s", i > 0 ? ", " : "", without_alias(m->relid, "r", m->key.parts[i].expr));
	put_index(report, "id", m->relid, scim_key_index(m, m->scope_columns, false), what.data, m->scope_columns, true);
}

/* Comparing has to be all that a filter on it does. */
static void
recommend_source(Report *report, const char *path, const ScimAttr *attr, Oid relid, const char *alias,
				 const ScimSource *src, const char *const *scope)
{
	const char *expr;

	if (src->side)
	{
		relid = src->side->relid;
		scope = src->side->scope;
		src = src->inner;
		alias = "c";
	}
	if (src == NULL || src->expr == NULL || src->constant || src->cls == SCIM_SQL_BOOLEAN || get_rel_relkind(relid) == RELKIND_VIEW)
		return;
	expr = scim_mapping_index_expression(attr, src);
	recommend(report, path, relid, alias, expr, index_collation(src), scope, attr->uniqueness != SCIM_UNIQUE_NONE);
}

/* Attributes that clients look for. */
static bool
is_usual(const ScimMapping *m, const ScimAttr *attr)
{
	static const char *const names[] = {"userName", "externalId", "displayName", "emails.value", "name.familyName", NULL};
	char		path[256];

	scim_attr_path(m->type, attr, path, sizeof(path));
	for (int i = 0; names[i]; i++)
		if (strcmp(names[i], path) == 0)
			return true;
	return false;
}

static void
recommend_child(Report *report, const ScimChild *child)
{
	const ScimMapping *m = report->m;
	char		path[256];
	const char *name = pstrdup(scim_attr_path(m->type, child->attr, path, sizeof(path)));

	if (child->kind == SCIM_CHILD_INLINE || child->kind == SCIM_CHILD_GROUPS || get_rel_relkind(child->relid) == RELKIND_VIEW)
		return;
	recommend_columns(report, name, child->relid, &child->parent, child->scope);
	if (child->kind == SCIM_CHILD_LINK && !child->by_column)
		recommend_columns(report, psprintf("%s, from the other side", name), child->relid, &child->refs, child->scope);
	for (int i = 0; child->kind == SCIM_CHILD_VALUES && i < child->nsubs; i++)
		if (child->subs[i] && is_usual(m, child->subs[i]))
			recommend_source(report, pstrdup(scim_attr_path(m->type, child->subs[i], path, sizeof(path))), child->subs[i],
							 child->relid, "c", &child->srcs[i], child->scope);
}

Datum
scim_recommend_indexes(PG_FUNCTION_ARGS)
{
	Report		report;
	const ScimMapping *m;
	char		path[256];

	begin_report(fcinfo, &report);
	m = report.m;
	recommend_key(&report);
	for (int i = 0; i < m->nscalars; i++)
		if (is_usual(m, m->scalars[i].attr))
			recommend_source(&report, pstrdup(scim_attr_path(m->type, m->scalars[i].attr, path, sizeof(path))), m->scalars[i].attr,
							 m->relid, "r", &m->scalars[i].src, m->scope_columns);
	for (int i = 0; i < m->nslots; i++)
		for (int j = 0; j < m->slots[i].nsubs; j++)
			if (m->slots[i].subs[j] && m->slots[i].srcs[j].expr && is_usual(m, m->slots[i].subs[j]))
				recommend_source(&report, psprintf("%s.%s", slot_path(m, &m->slots[i]), m->slots[i].subs[j]->name), m->slots[i].subs[j],
								 m->relid, "r", &m->slots[i].srcs[j], m->scope_columns);
	for (int i = 0; i < m->nchildren; i++)
		recommend_child(&report, &m->children[i]);
	for (int i = 0; i < m->nsides; i++)
		if (&m->sides[i] != m->state)
			recommend_columns(&report, m->sides[i].relation, m->sides[i].relid, &m->sides[i].parent, m->sides[i].scope);
	if (m->membership)
		recommend_columns(&report, "membership", m->membership->relid, &m->membership->parent, m->membership->scope);
	end_report(&report);
	return (Datum) 0;
}
