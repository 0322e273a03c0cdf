/*
 * catalog_mapping.c
 *		From the JSON of a mapping to resolved sources.
 *
 * Runs as the owner of the mapping, with a pinned search_path, so that names
 * resolve to what the owner may use.  Every identifier that later reaches SQL
 * was looked up here and comes out of the catalogs through quote_identifier;
 * expressions were parsed as one expression (threat-and-fault-model I5, I7).
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parser.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "catalog_mapping.h"
#include "../compat.h"
#include "../core/core_path.h"

/* What resolving one mapping needs at hand. */
typedef struct ResolveContext
{
	ScimMapping *mapping;
	ScimMappingRow *row;
	const ScimResourceType *full;	/* all attributes of the resource type */
	bool	   *kept;			/* by ord of full: has a source */
	List	   *scope;			/* names of scope columns */
} ResolveContext;

pg_noreturn static void mapping_error(const ResolveContext *ctx, const char *path, int sqlstate,
									  const char *problem);

static void
mapping_error(const ResolveContext *ctx, const char *path, int sqlstate, const char *problem)
{
	ereport(ERROR,
			(errcode(sqlstate),
			 errmsg("attribute \"%s\" of mapping \"%s\": %s", path, ctx->row->name, problem)));
}

/* ---- sources ---- */

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

static void
set_source_type(ScimSource *src, Oid typid)
{
	src->typid = typid;
	src->cls = sql_class(typid);
	src->pads = getBaseType(typid) == BPCHAROID;
	/*
	 * Without a type modifier: a cast to varchar(3) would cut in silence.  And
	 * "character" would be character(1).
	 */
	src->type_name = format_type_extended(typid, -1, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);
}

/*
 * A column of a relation by its name; false if there is none (or it is a
 * system column).
 */
static bool
column_source(Oid relid, const char *alias, const char *name, ScimSource *src)
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
	/* also of a domain, a cast to which would cut */
	typmod = att->atttypmod;
	base = getBaseTypeAndTypmod(att->atttypid, &typmod);
	if ((base == VARCHAROID || base == BPCHAROID) && typmod > VARHDRSZ)
		src->max_length = typmod - VARHDRSZ;
	src->not_null = att->attnotnull;
	generated = att->attgenerated != '\0' || att->attidentity == ATTRIBUTE_IDENTITY_ALWAYS;
	ReleaseSysCache(tuple);

	src->attnum = attnum;
	src->expr = psprintf("%s.%s", alias, quote_identifier(name));
	if (!generated)
		src->column = pstrdup(quote_identifier(name));
	return true;
}

/*
 * Is the text one SQL expression and nothing else?  The parser decides, on
 * "SELECT (text)": what closes the parenthesis early does not survive it.
 */
bool
scim_is_single_expression(const char *text)
{
	List	   *parsed = raw_parser(psprintf("SELECT (%s\n)", text), RAW_PARSE_DEFAULT);
	SelectStmt *select;

	if (list_length(parsed) != 1)
		return false;
	select = (SelectStmt *) linitial_node(RawStmt, parsed)->stmt;
	return IsA(select, SelectStmt) && list_length(select->targetList) == 1 &&
		select->fromClause == NIL && select->whereClause == NULL && select->sortClause == NIL &&
		select->intoClause == NULL && select->op == SETOP_NONE && select->withClause == NULL &&
		select->limitCount == NULL && select->limitOffset == NULL && select->lockingClause == NIL &&
		select->groupClause == NIL && select->havingClause == NULL && select->valuesLists == NIL &&
		select->windowClause == NIL && select->distinctClause == NIL;
}

/* "NOT column", which can be written as well; the column's name or NULL. */
static const char *
negated_column(const char *text)
{
	List	   *parsed = raw_parser(psprintf("SELECT (%s\n)", text), RAW_PARSE_DEFAULT);
	SelectStmt *select = (SelectStmt *) linitial_node(RawStmt, parsed)->stmt;
	ResTarget  *target = linitial_node(ResTarget, select->targetList);
	BoolExpr   *not;
	ColumnRef  *ref;

	if (!IsA(target->val, BoolExpr))
		return NULL;
	not = (BoolExpr *) target->val;
	if (not->boolop != NOT_EXPR || !IsA(linitial(not->args), ColumnRef))
		return NULL;
	ref = (ColumnRef *) linitial(not->args);
	if (list_length(ref->fields) != 1 || !IsA(linitial(ref->fields), String))
		return NULL;
	return strVal(linitial(ref->fields));
}

/* A source given as text: a column's name, or an expression over the relation. */
static void
parse_text_source(ResolveContext *ctx, const char *path, const char *text, ScimSource *src)
{
	ScimMapping *m = ctx->mapping;
	const char *column;
	MemoryContext caller = CurrentMemoryContext;
	SPIPlanPtr	plan;
	CachedPlanSource *source;

	if (column_source(m->relid, "r", text, src))
		return;
	if (!scim_is_single_expression(text))
		mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "its source is neither a column nor one SQL expression");

	column = negated_column(text);
	if (column && column_source(m->relid, "r", column, src) && src->cls == SCIM_SQL_BOOLEAN)
	{
		src->expr = psprintf("(NOT r.%s)", quote_identifier(column));
		src->negated = true;
		return;
	}

	/* Analysis tells whether it is valid, and its type; nothing is executed. */
	plan = SPI_prepare(psprintf("SELECT (%s\n) FROM %s r", text, m->relation), 0, NULL);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	MemoryContextSwitchTo(caller);	/* SPI leaves its own current */
	source = (CachedPlanSource *) linitial(SPI_plan_get_plan_sources(plan));
	memset(src, 0, sizeof(*src));
	set_source_type(src, TupleDescAttr(source->resultDesc, 0)->atttypid);
	src->expr = psprintf("(%s\n)", text);
	SPI_freeplan(plan);
}

/* The same; what the parser has to say comes with the attribute's name. */
static void
text_source(ResolveContext *ctx, const char *path, const char *text, ScimSource *src)
{
	MemoryContext caller = CurrentMemoryContext;

	PG_TRY();
	{
		parse_text_source(ctx, path, text, src);
	}
	PG_CATCH();
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
	PG_END_TRY();
}

static void
constant_source(const json_t *value, ScimSource *src)
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

/* ---- paths ---- */

static ScimPath *
resolve_path(ResolveContext *ctx, const ScimResourceType *type, const char *text)
{
	ScimError	err;
	ScimPath   *path;

	memset(&err, 0, sizeof(err));
	path = scim_path_parse(type, text, strlen(text), SCIM_STRICT, &err);
	if (path == NULL)
		mapping_error(ctx, text, ERRCODE_INVALID_PARAMETER_VALUE, err.detail);
	if (path->attr == NULL)
		mapping_error(ctx, text, ERRCODE_INVALID_PARAMETER_VALUE, "names a schema and no attribute");
	return path;
}

static void
keep(ResolveContext *ctx, const ScimAttr *attr)
{
	/* the second pass speaks of another type's attributes */
	if (ctx->kept == NULL)
		return;
	ctx->kept[attr->ord] = true;
	if (attr->parent)
		ctx->kept[attr->parent->ord] = true;
}

/*
 * A complex value whose `value` is the id of a SCIM resource also has a $ref,
 * made from it.
 */
static void
keep_reference(ResolveContext *ctx, const ScimAttr *attr)
{
	ScimAttr   *ref = scim_attr_sub(attr, "$ref", 4);

	if (ref && ref->type == SCIM_TYPE_REFERENCE)
		keep(ctx, ref);
}

static bool
keep_callback(const ScimAttr *attr, void *arg)
{
	ResolveContext *ctx = (ResolveContext *) arg;
	ScimAttr   *top;
	const ScimAttr *outer = attr->parent ? attr->parent : attr;

	if (attr->common)
	{
		top = scim_type_attr(ctx->full, SCIM_EXT_CORE, outer->name, strlen(outer->name));
		if (top == ctx->full->a_schemas || top == ctx->full->a_id)
			return true;
	}
	else
		top = scim_type_attr(ctx->full, attr->ext, outer->name, strlen(outer->name));
	if (top == NULL)
		return false;
	if (attr->parent)
		top = scim_attr_sub(top, attr->name, strlen(attr->name));
	return top != NULL && ctx->kept[top->ord];
}

/* ---- children ---- */

static Oid
child_relation(ResolveContext *ctx, const char *path, const json_t *spec)
{
	const char *name = json_string_value(json_object_get(spec, "table"));
	RangeVar   *rv;
	Oid			relid;

	if (name == NULL)
		mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "a child relation needs \"table\"");
	rv = makeRangeVarFromNameList(stringToQualifiedNameList(name, NULL));
	if (rv->schemaname == NULL)
		mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "name the child table with its schema");
	relid = RangeVarGetRelid(rv, AccessShareLock, true);
	if (!OidIsValid(relid))
		mapping_error(ctx, path, ERRCODE_UNDEFINED_TABLE, "its child table does not exist");
	return relid;
}

static const char *
qualified_relation(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid));
}

static void
child_column(ResolveContext *ctx, const char *path, Oid relid, const json_t *spec, const char *member,
			 ScimSource *src)
{
	const char *name = json_string_value(json_object_get(spec, member));

	if (name == NULL || !column_source(relid, "c", name, src))
		mapping_error(ctx, path, ERRCODE_UNDEFINED_COLUMN,
					  psprintf("\"%s\" does not name a column of its child table", member));
	if (src->column == NULL && strcmp(member, "order") != 0)
		mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE,
					  psprintf("\"%s\" names a generated column", member));
}

/* One entry of a multi-valued attribute in a child relation. */
static void
resolve_child(ResolveContext *ctx, const char *path, ScimAttr *attr, const json_t *spec, ScimChild *child)
{
	ScimMapping *m = ctx->mapping;
	ScimSource	src;
	const json_t *columns;
	const char *order;
	ListCell   *lc;
	int			i = 0;

	memset(child, 0, sizeof(*child));
	child->attr = attr;
	child->relid = child_relation(ctx, path, spec);
	child->relation = qualified_relation(child->relid);
	child->present = -1;
	child_column(ctx, path, child->relid, spec, "parent", &src);
	child->parent = src.column;
	child->parent_attnum = src.attnum;

	/* A scope column that the child has too is held there as well. */
	child->scope = palloc0(sizeof(char *) * Max(m->nscope, 1));
	foreach(lc, ctx->scope)
	{
		if (column_source(child->relid, "c", (char *) lfirst(lc), &src))
			child->scope[i] = src.column;
		i++;
	}

	if (json_object_get(spec, "pending"))
	{
		child->kind = SCIM_CHILD_PENDING;
		child_column(ctx, path, child->relid, spec, "pending", &child->ref);
		return;
	}
	if (json_object_get(spec, "ref"))
	{
		child->kind = SCIM_CHILD_LINK;
		child_column(ctx, path, child->relid, spec, "ref", &child->ref);
		child->ref_type = json_string_value(json_object_get(spec, "type"));
		if (child->ref_type == NULL)
			mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "a reference needs \"type\"");
		child->ref_type = pstrdup(child->ref_type);
		return;
	}

	child->kind = SCIM_CHILD_VALUES;
	columns = json_object_get(spec, "columns");
	if (!json_is_object(columns) || json_object_size(columns) == 0)
		mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "a child table needs \"columns\"");
	order = json_string_value(json_object_get(spec, "order"));
	if (order)
	{
		child_column(ctx, path, child->relid, spec, "order", &src);
		child->order = pstrdup(quote_identifier(order));
		child->order_is_integer = src.cls == SCIM_SQL_INTEGER;
	}
	if (json_is_integer(json_object_get(spec, "present")))
		child->present = (int) json_integer_value(json_object_get(spec, "present"));

	child->subs = palloc0(sizeof(ScimAttr *) * (json_object_size(columns) + json_object_size(json_object_get(spec, "fixed"))));
	child->srcs = palloc0(sizeof(ScimSource) * (json_object_size(columns) + json_object_size(json_object_get(spec, "fixed"))));
	for (int pass = 0; pass < 2; pass++)
	{
		const json_t *members = pass == 0 ? columns : json_object_get(spec, "fixed");
		void	   *iter;

		for (iter = members ? json_object_iter(unconstify(json_t *, members)) : NULL; iter;
			 iter = json_object_iter_next(unconstify(json_t *, members), iter))
		{
			const char *key = json_object_iter_key(iter);
			const json_t *value = json_object_iter_value(iter);
			ScimAttr   *sub = NULL;

			if (attr->type == SCIM_TYPE_COMPLEX)
			{
				sub = scim_attr_sub(attr, key, strlen(key));
				if (sub == NULL)
					mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE,
								  psprintf("has no sub-attribute \"%s\"", key));
			}
			else if (strcmp(key, "value") != 0)
				mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE,
							  "a simple attribute has one column, \"value\"");
			child->subs[child->nsubs] = sub;
			if (pass == 1)
				constant_source(value, &child->srcs[child->nsubs]);
			else if (!json_is_string(value) ||
					 !column_source(child->relid, "c", json_string_value(value), &child->srcs[child->nsubs]))
				mapping_error(ctx, path, ERRCODE_UNDEFINED_COLUMN,
							  psprintf("the source of \"%s\" is no column of its child table", key));
			child->nsubs++;
		}
	}
}

static void
keep_child(ResolveContext *ctx, const ScimChild *child)
{
	ScimAttr   *value = scim_attr_sub(child->attr, "value", 5);

	keep(ctx, child->attr);
	if (child->kind == SCIM_CHILD_VALUES)
	{
		for (int i = 0; i < child->nsubs; i++)
			if (child->subs[i])
				keep(ctx, child->subs[i]);
		return;
	}
	if (value)
		keep(ctx, value);
	keep_reference(ctx, child->attr);
	if (scim_attr_sub(child->attr, "type", 4))
		keep(ctx, scim_attr_sub(child->attr, "type", 4));
}

/* ---- slots ---- */

/*
 * emails[type eq "work"].value: the slot of the attribute whose filter fixes
 * the same values, made when it is not there yet.
 */
static void
add_slot(ResolveContext *ctx, const char *text, const ScimPath *path, const ScimSource *src)
{
	ScimMapping *m = ctx->mapping;
	json_t	   *fixed = scim_json_object();
	ScimSlot   *slot = NULL;
	void	   *iter;
	ScimAttr   *sub = path->sub;

	if (path->filter == NULL || !scim_filter_template(path->filter, fixed) ||
		(sub == NULL && path->attr->type == SCIM_TYPE_COMPLEX))
		mapping_error(ctx, text, ERRCODE_INVALID_PARAMETER_VALUE,
					  "a value path with one source needs a filter of eq comparisons and a sub-attribute");

	for (int i = 0; i < m->nslots && slot == NULL; i++)
	{
		bool		same = m->slots[i].attr == path->attr;
		int			nconstants = 0;

		for (int j = 0; same && j < m->slots[i].nsubs; j++)
		{
			const char *constant = m->slots[i].srcs[j].constant;
			const json_t *want = json_object_get(fixed, m->slots[i].subs[j]->name);

			if (constant == NULL)
				continue;
			nconstants++;
			same = json_is_string(want) ? strcmp(json_string_value(want), constant) == 0 :
				json_is_boolean(want) && strcmp(json_is_true(want) ? "true" : "false", constant) == 0;
		}
		if (same && nconstants == json_object_size(fixed))
			slot = &m->slots[i];
	}
	if (slot == NULL)
	{
		slot = &m->slots[m->nslots++];
		memset(slot, 0, sizeof(*slot));	/* the first pass has used it */
		slot->attr = path->attr;
		slot->subs = palloc0(sizeof(ScimAttr *) * (path->attr->nsubs + 1));
		slot->srcs = palloc0(sizeof(ScimSource) * (path->attr->nsubs + 1));
		for (iter = json_object_iter(fixed); iter; iter = json_object_iter_next(fixed, iter))
		{
			const char *key = json_object_iter_key(iter);

			slot->subs[slot->nsubs] = scim_attr_sub(path->attr, key, strlen(key));
			constant_source(json_object_iter_value(iter), &slot->srcs[slot->nsubs]);
			keep(ctx, slot->subs[slot->nsubs]);
			slot->nsubs++;
		}
	}
	for (int j = 0; j < slot->nsubs; j++)
		if (slot->subs[j] == sub)
			mapping_error(ctx, text, ERRCODE_INVALID_PARAMETER_VALUE, "has two sources");
	slot->subs[slot->nsubs] = sub;
	slot->srcs[slot->nsubs] = *src;
	slot->nsubs++;
	if (sub)
		keep(ctx, sub);
	keep(ctx, path->attr);
}

/* ---- one mapping ---- */

static void
check_relation(ResolveContext *ctx)
{
	char		kind;

	/* or it may be gone in the middle of all the look-ups that follow */
	LockRelationOid(ctx->row->relid, AccessShareLock);
	kind = get_rel_relkind(ctx->row->relid);
	if (kind == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the relation of mapping \"%s\" does not exist any more", ctx->row->name)));
	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE && kind != RELKIND_VIEW && kind != RELKIND_FOREIGN_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("mapping \"%s\" needs a table or a view", ctx->row->name)));
}

/* One member of the attributes object, against the type of this pass. */
static void
resolve_member(ResolveContext *ctx, const ScimResourceType *type, const char *text, const json_t *value)
{
	ScimMapping *m = ctx->mapping;
	ScimPath   *path;
	ScimSource	src;

	if (strcmp(text, "$present") == 0)
	{
		if (!json_is_string(value) || !column_source(m->relid, "r", json_string_value(value), &src))
			mapping_error(ctx, text, ERRCODE_UNDEFINED_COLUMN, "names no column");
		m->present = src.column;
		return;
	}

	path = resolve_path(ctx, type, text);
	if (path->attr == type->a_id || path->attr == type->a_schemas)
		mapping_error(ctx, text, ERRCODE_INVALID_PARAMETER_VALUE, "is made by scim and cannot be mapped");

	if (json_is_object(value) || json_is_array(value))
	{
		int			n = json_is_array(value) ? (int) json_array_size(value) : 1;

		if (!path->attr->multi || path->filter || path->sub)
			mapping_error(ctx, text, ERRCODE_INVALID_PARAMETER_VALUE, "only a multi-valued attribute lives in a child table");
		for (int i = 0; i < n; i++)
		{
			resolve_child(ctx, text, path->attr, json_is_array(value) ? json_array_get(value, i) : value,
						  &m->children[m->nchildren]);
			keep_child(ctx, &m->children[m->nchildren]);
			m->nchildren++;
		}
		return;
	}
	if (!json_is_string(value))
		mapping_error(ctx, text, ERRCODE_INVALID_PARAMETER_VALUE, "its source is a text, an object or a list of objects");
	text_source(ctx, text, json_string_value(value), &src);

	if (path->attr == type->a_meta)
	{
		ScimSource *copy = palloc(sizeof(ScimSource));

		*copy = src;
		if (path->sub && strcmp(path->sub->name, "created") == 0 && src.cls == SCIM_SQL_TIMESTAMPTZ)
			m->created = copy;
		else if (path->sub && strcmp(path->sub->name, "lastModified") == 0 && src.cls == SCIM_SQL_TIMESTAMPTZ)
			m->last_modified = copy;
		else if (path->sub && strcmp(path->sub->name, "version") == 0 && src.cls == SCIM_SQL_INTEGER)
			m->version = copy;
		else
			mapping_error(ctx, text, ERRCODE_INVALID_PARAMETER_VALUE,
						  "meta.created and meta.lastModified are mapped to timestamptz, meta.version to an integer");
		keep(ctx, path->sub);
		return;
	}
	if (path->attr->multi)
	{
		add_slot(ctx, text, path, &src);
		return;
	}
	if (path->filter || (path->attr->type == SCIM_TYPE_COMPLEX && path->sub == NULL))
		mapping_error(ctx, text, ERRCODE_INVALID_PARAMETER_VALUE, "a complex attribute is mapped by its sub-attributes");
	m->scalars[m->nscalars].attr = path->sub ? path->sub : path->attr;
	m->scalars[m->nscalars].src = src;
	m->nscalars++;
	keep(ctx, path->sub ? path->sub : path->attr);
	if (path->sub && strcmp(path->sub->name, "value") == 0)
		keep_reference(ctx, path->attr);
}

static void
resolve_members(ResolveContext *ctx, const ScimResourceType *type, json_t *attributes)
{
	ScimMapping *m = ctx->mapping;
	void	   *iter;

	m->nscalars = m->nslots = m->nchildren = 0;
	for (iter = json_object_iter(attributes); iter; iter = json_object_iter_next(attributes, iter))
		resolve_member(ctx, type, json_object_iter_key(iter), json_object_iter_value(iter));
}

static int
count_children(json_t *attributes)
{
	int			n = 1;			/* and one for groups */
	void	   *iter;

	for (iter = json_object_iter(attributes); iter; iter = json_object_iter_next(attributes, iter))
	{
		json_t	   *value = json_object_iter_value(iter);

		n += json_is_array(value) ? (int) json_array_size(value) : 1;
	}
	return n;
}

/* A scope column is set by the endpoint and by nobody else (T1). */
static void
check_scope_column(const ScimMapping *m, const char *scope_column, const char *column, const char *attribute)
{
	if (scope_column && column && strcmp(column, scope_column) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mapping \"%s\" maps attribute \"%s\" to a scope column", m->name, attribute)));
}

static void
check_scope(const ScimMapping *m)
{
	const struct
	{
		const ScimSource *src;
		const char *name;
	}			times[] = {
		{m->created, "meta.created"}, {m->last_modified, "meta.lastModified"}, {m->version, "meta.version"}
	};

	for (int i = 0; i < m->nscope; i++)
	{
		const char *scope = m->scope_columns[i];

		for (int j = 0; j < m->nscalars; j++)
			check_scope_column(m, scope, m->scalars[j].src.column, m->scalars[j].attr->name);
		for (int j = 0; j < m->nslots; j++)
			for (int k = 0; k < m->slots[j].nsubs; k++)
				check_scope_column(m, scope, m->slots[j].srcs[k].column, m->slots[j].attr->name);
		for (int j = 0; j < lengthof(times); j++)
			check_scope_column(m, scope, times[j].src ? times[j].src->column : NULL, times[j].name);
		check_scope_column(m, scope, m->present, "$present");
		for (int j = 0; j < m->nchildren; j++)
		{
			const ScimChild *child = &m->children[j];

			for (int k = 0; k < child->nsubs; k++)
				check_scope_column(m, child->scope[i], child->srcs[k].column, child->attr->name);
			check_scope_column(m, child->scope[i], child->ref.column, child->attr->name);
		}
	}
}

/*
 * Resolve one row.  Two passes over the attributes: the first against the full
 * resource type tells which attributes have a source; the second against the
 * type that has just these.
 */
static ScimMapping *
resolve_mapping(ScimMappingRow *row, List *scope, bool with_groups)
{
	ResolveContext ctx;
	ScimMapping *m = palloc0(sizeof(ScimMapping));
	ScimError	err;
	json_t	   *attributes;
	ListCell   *lc;
	int			n;

	memset(&err, 0, sizeof(err));
	ctx.mapping = m;
	ctx.row = row;
	ctx.scope = scope;
	ctx.full = scim_catalog_resource_type(row->resource_type);
	if (ctx.full == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("resource type \"%s\" of mapping \"%s\" does not exist", row->resource_type, row->name)));
	ctx.kept = palloc0(sizeof(bool) * ctx.full->nattrs);
	check_relation(&ctx);

	m->id = row->id;
	m->name = row->name;
	m->builtin = row->builtin;
	m->relid = row->relid;
	m->relation = qualified_relation(row->relid);
	m->table_schema = get_namespace_name(get_rel_namespace(row->relid));
	m->table_name = get_rel_name(row->relid);
	if (!column_source(m->relid, "r", row->key, &m->key))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("the key of mapping \"%s\" is no column of its relation", row->name)));

	m->scope_columns = palloc0(sizeof(char *) * Max(list_length(scope), 1));
	m->scope_types = palloc0(sizeof(char *) * Max(list_length(scope), 1));
	foreach(lc, scope)
	{
		ScimSource	src;

		if (!column_source(m->relid, "r", (char *) lfirst(lc), &src) || src.column == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("scope column \"%s\" is no column of the relation of mapping \"%s\"",
							(char *) lfirst(lc), row->name)));
		m->scope_columns[m->nscope] = src.column;
		m->scope_types[m->nscope++] = src.type_name;
	}

	attributes = scim_json_parse(row->attributes, strlen(row->attributes), &err);
	if (attributes == NULL || !json_is_object(attributes))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the attributes of mapping \"%s\" are no JSON object", row->name)));
	n = (int) json_object_size(attributes);
	m->scalars = palloc0(sizeof(ScimScalar) * (n + 1));
	m->slots = palloc0(sizeof(ScimSlot) * (n + 1));
	m->children = palloc0(sizeof(ScimChild) * count_children(attributes));

	resolve_members(&ctx, ctx.full, attributes);
	keep(&ctx, scim_attr_sub(ctx.full->a_meta, "resourceType", 12));
	keep(&ctx, scim_attr_sub(ctx.full->a_meta, "location", 8));
	/* every mapping has a version: a column, or the row's own */
	keep(&ctx, scim_attr_sub(ctx.full->a_meta, "version", 7));
	if (with_groups)
	{
		ScimAttr   *groups = scim_type_attr(ctx.full, SCIM_EXT_CORE, "groups", 6);

		for (int i = 0; groups && i < groups->nsubs; i++)
			keep(&ctx, groups->subs[i]);
	}

	m->type = scim_resource_type_make(scim_catalog_registry(), ctx.full->name, ctx.full->endpoint,
									  ctx.full->description, ctx.full->schema->uri,
									  ctx.full->exts, ctx.full->nexts, keep_callback, &ctx, &err);
	if (m->type == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("mapping \"%s\": %s", row->name, err.detail)));

	ctx.kept = NULL;
	resolve_members(&ctx, m->type, attributes);

	check_scope(m);
	return m;
}

/* ---- the set ---- */

static ScimMapping *
set_mapping_of(const ScimMappingSet *set, const char *type_name)
{
	for (int i = 0; i < set->nmappings; i++)
		if (pg_strcasecmp(set->mappings[i]->type->name, type_name) == 0)
			return set->mappings[i];
	return NULL;
}

/*
 * References lead from mapping to mapping; and User's `groups` are the links
 * of the Group mapping, read from the other side.
 */
static void
connect_set(ScimMappingSet *set)
{
	ScimMapping *users = set_mapping_of(set, "User");
	ScimMapping *groups = set_mapping_of(set, "Group");
	ScimChild  *user_link = NULL;
	ScimChild  *group_link = NULL;

	for (int i = 0; i < set->nmappings; i++)
	{
		ScimMapping *m = set->mappings[i];

		for (int j = 0; j < m->nchildren; j++)
		{
			ScimChild  *child = &m->children[j];

			if (child->kind != SCIM_CHILD_LINK)
				continue;
			child->target = set_mapping_of(set, child->ref_type);
			if (child->target == NULL)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("mapping \"%s\" refers to resource type \"%s\", of which there is no mapping",
								m->name, child->ref_type),
						 errhint("Give both mappings to the endpoint.")));
			if (m == groups && child->target == users)
				user_link = child;
			if (m == groups && child->target == groups)
				group_link = child;
		}
	}

	if (users && groups && user_link)
	{
		ScimAttr   *attr = scim_type_attr(users->type, SCIM_EXT_CORE, "groups", 6);

		if (attr)
		{
			ScimChild  *child = &users->children[users->nchildren++];

			memset(child, 0, sizeof(*child));
			child->kind = SCIM_CHILD_GROUPS;
			child->attr = attr;
			child->relid = user_link->relid;
			child->relation = user_link->relation;
			child->present = -1;
			child->target = groups;
			child->user_link = user_link;
			child->group_link = group_link;
		}
	}
}

ScimMappingSet *
scim_mapping_set_make(List *rows, Oid owner, List *scope)
{
	ScimMappingSet *set = palloc0(sizeof(ScimMappingSet));
	ScimIdentity identity;
	ListCell   *lc;
	bool		has_groups = false;
	int			nrelids = 0;
	MemoryContext caller = CurrentMemoryContext;

	memset(&identity, 0, sizeof(identity));
	SPI_connect();
	MemoryContextSwitchTo(caller);
	scim_identity_assume(&identity, owner, false);

	set->owner = owner;
	set->context = caller;
	set->mappings = palloc0(sizeof(ScimMapping *) * Max(list_length(rows), 1));
	foreach(lc, rows)
		has_groups = has_groups || pg_strcasecmp(((ScimMappingRow *) lfirst(lc))->resource_type, "Group") == 0;
	foreach(lc, rows)
	{
		ScimMappingRow *row = (ScimMappingRow *) lfirst(lc);

		set->mappings[set->nmappings++] =
			resolve_mapping(row, scope, has_groups && pg_strcasecmp(row->resource_type, "User") == 0);
	}
	connect_set(set);

	for (int i = 0; i < set->nmappings; i++)
		nrelids += 1 + set->mappings[i]->nchildren;
	set->relids = palloc(sizeof(Oid) * Max(nrelids, 1));
	for (int i = 0; i < set->nmappings; i++)
	{
		ScimMapping *m = set->mappings[i];

		scim_mapping_describe_relation(m, m->relid);
		set->relids[set->nrelids++] = m->relid;
		for (int j = 0; j < m->nchildren; j++)
		{
			if (m->children[j].kind != SCIM_CHILD_GROUPS)
				scim_mapping_describe_relation(m, m->children[j].relid);
			set->relids[set->nrelids++] = m->children[j].relid;
		}
	}

	scim_identity_close_gucs(&identity);
	scim_identity_restore(&identity);
	SPI_finish();
	MemoryContextSwitchTo(caller);
	return set;
}

void
scim_mapping_check(List *rows, Oid owner)
{
	ScimIdentity identity;
	ListCell   *lc;

	memset(&identity, 0, sizeof(identity));
	scim_identity_assume(&identity, owner, false);
	foreach(lc, rows)
		(void) resolve_mapping((ScimMappingRow *) lfirst(lc), NIL, false);
	scim_identity_close_gucs(&identity);
	scim_identity_restore(&identity);
}

ScimMapping *
scim_mapping_resolve(ScimMappingRow *row)
{
	ScimIdentity identity;
	ScimMapping *mapping;

	memset(&identity, 0, sizeof(identity));
	scim_identity_assume(&identity, row->owner, false);
	mapping = resolve_mapping(row, NIL, false);
	scim_identity_close_gucs(&identity);
	scim_identity_restore(&identity);
	return mapping;
}

/*
 * The text of a uuid or integer key in another spelling ("{..}", "+1", upper
 * case) is not that id: ids are case exact and have one form.
 */
bool
scim_key_text_valid(const ScimSource *key, const char *text)
{
	size_t		len = strlen(text);

	switch (key->cls)
	{
		case SCIM_SQL_UUID:
			if (len != 36)
				return false;
			for (size_t i = 0; i < len; i++)
			{
				bool		dash = i == 8 || i == 13 || i == 18 || i == 23;

				if (dash ? text[i] != '-' : !((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f')))
					return false;
			}
			return true;
		case SCIM_SQL_INTEGER:
			{
				const char *digits = text + (text[0] == '-');
				size_t		max = getBaseType(key->typid) == INT8OID ? 18 : getBaseType(key->typid) == INT4OID ? 9 : 4;

				if (*digits < '1' || *digits > '9')
					return strcmp(text, "0") == 0;
				/* the few largest of a type are looked up as text would be: not at all */
				return strspn(digits, "0123456789") == strlen(digits) && strlen(digits) <= max;
			}
		default:
			return len > 0 && len <= 1024;
	}
}
