/*
 * store_sql.c
 *		Statements: text with numbered parameters, and the plans kept for them.
 *
 * All values are parameters of type text (or text[]) that the statement casts
 * to the type of the column.  The text of a statement depends on the mapping
 * and the shape of the request only, so that few plans serve all requests.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "store_internal.h"

/* Filters of many shapes must not fill the memory. */
#define MAX_PLANS 256

typedef struct PlanEntry
{
	uint64		key;
	char	   *text;
	SPIPlanPtr	plan;
} PlanEntry;

/*
 * The plans of a mapping.  Freeing them with the mapping needs "kept": a hash
 * table has a context of its own below the mapping's, and is gone by then.
 */
typedef struct ScimPlans
{
	HTAB	   *table;
	int			nkept;
	SPIPlanPtr	kept[MAX_PLANS];
} ScimPlans;

/* Statements that run: a trigger may call scim.handle in the middle of one. */
static int	running = 0;

void
scim_sql_init(ScimSql *sql)
{
	initStringInfo(&sql->text);
	sql->nparams = 0;
	sql->capacity = 32;
	sql->types = palloc(sizeof(Oid) * sql->capacity);
	sql->values = palloc(sizeof(Datum) * sql->capacity);
	sql->nulls = palloc(sql->capacity);
}

static int
add_param(ScimSql *sql, Oid type, Datum value, bool isnull)
{
	if (sql->nparams == sql->capacity)
	{
		sql->capacity *= 2;
		sql->types = repalloc(sql->types, sizeof(Oid) * sql->capacity);
		sql->values = repalloc(sql->values, sizeof(Datum) * sql->capacity);
		sql->nulls = repalloc(sql->nulls, sql->capacity);
	}
	sql->types[sql->nparams] = type;
	sql->values[sql->nparams] = value;
	sql->nulls[sql->nparams] = isnull ? 'n' : ' ';
	return ++sql->nparams;
}

int
scim_sql_text(ScimSql *sql, const char *value)
{
	return add_param(sql, TEXTOID, value ? CStringGetTextDatum(value) : (Datum) 0, value == NULL);
}

/* By hand, because each column of a new row has one: psprintf takes ten times as long. */
char *
scim_sql_cast(int param, const char *type)
{
	size_t		len = strlen(type);
	char	   *text = palloc(16 + len);
	char	   *end = text;

	*end++ = '$';
	end += pg_ltoa(param, end);
	*end++ = ':';
	*end++ = ':';
	memcpy(end, type, len + 1);
	return text;
}

int
scim_sql_text_array(ScimSql *sql, const char *const *values, int n)
{
	Datum	   *elements = palloc(sizeof(Datum) * Max(n, 1));
	bool	   *nulls = palloc(sizeof(bool) * Max(n, 1));
	int			dims[1];
	int			lbs[1] = {1};
	ArrayType  *array;

	for (int i = 0; i < n; i++)
	{
		nulls[i] = values[i] == NULL;
		elements[i] = nulls[i] ? (Datum) 0 : CStringGetTextDatum(values[i]);
	}
	dims[0] = n;
	array = n == 0 ? construct_empty_array(TEXTOID) :
		construct_md_array(elements, nulls, 1, dims, lbs, TEXTOID, -1, false, TYPALIGN_INT);
	return add_param(sql, TEXTARRAYOID, PointerGetDatum(array), false);
}

int
scim_sql_scope_params(ScimSql *sql, const ScimEndpointType *target)
{
	int			first = 0;

	for (int i = 0; i < target->mapping->nscope; i++)
	{
		int			n = scim_sql_text(sql, target->scope[i]);

		if (first == 0)
			first = n;
	}
	return first;
}

void
scim_sql_tenant(ScimSql *sql, const ScimMapping *mapping, const char *alias, int first_param)
{
	StringInfo	text = &sql->text;
	const ScimSide *membership = mapping->membership;
	int			start = text->len;

	for (int i = 0; i < mapping->nscope; i++)
		if (mapping->scope_columns[i])
			appendStringInfo(text, "%s%s.%s OPERATOR(pg_catalog.=) $%d::%s",
							 text->len > start ? " AND " : "", alias, mapping->scope_columns[i],
							 first_param + i, mapping->scope_types[i]);
	if (membership)
	{
		appendStringInfo(text, "%sEXISTS (SELECT 1 FROM %s c WHERE %s OPERATOR(pg_catalog.=) %s",
						 text->len > start ? " AND " : "", membership->relation, membership->parent.row, mapping->key.row);
		for (int i = 0; i < mapping->nscope; i++)
			if (membership->scope[i])
				appendStringInfo(text, " AND c.%s OPERATOR(pg_catalog.=) $%d::%s", membership->scope[i],
								 first_param + i, mapping->scope_types[i]);
		scim_sql_fixed(sql, membership->nfixed, membership->fixed_columns, membership->fixed_values, membership->fixed_types);
		appendStringInfoChar(text, ')');
	}
	if (text->len == start)
		appendStringInfoString(text, "true");
}

void
scim_sql_scope(ScimSql *sql, const ScimMapping *mapping, const char *alias, int first_param)
{
	scim_sql_tenant(sql, mapping, alias, first_param);
	if (mapping->filter)
		appendStringInfo(&sql->text, " AND %s", mapping->filter);
}

void
scim_sql_fixed(ScimSql *sql, int n, const char **columns, const char **values, const char **types)
{
	for (int i = 0; i < n; i++)
		appendStringInfo(&sql->text, " AND c.%s OPERATOR(pg_catalog.=) %s::%s", columns[i], values[i], types[i]);
}

void
scim_sql_child_scope(ScimSql *sql, const ScimMapping *mapping, const ScimChild *child,
					 const char *alias, int first_param)
{
	scim_sql_child_tenant(sql, mapping, child, alias, first_param);
	if (child->filter)
		appendStringInfo(&sql->text, " AND %s", child->filter);
	/* what is no resource any more, or of another tenant, is no member */
	if (child->kind == SCIM_CHILD_LINK && child->target && (child->target->filter || child->target->membership))
	{
		appendStringInfo(&sql->text, " AND EXISTS (SELECT 1 FROM %s r WHERE %s OPERATOR(pg_catalog.=) %s AND ",
						 child->target->relation, child->target->key.row, child->refs.row);
		scim_sql_scope(sql, child->target, "r", first_param);
		appendStringInfoChar(&sql->text, ')');
	}
}

void
scim_sql_child_tenant(ScimSql *sql, const ScimMapping *mapping, const ScimChild *child,
					  const char *alias, int first_param)
{
	for (int i = 0; i < mapping->nscope; i++)
		if (child->scope[i])
			appendStringInfo(&sql->text, " AND %s.%s OPERATOR(pg_catalog.=) $%d::%s",
							 alias, child->scope[i], first_param + i, mapping->scope_types[i]);
	scim_sql_fixed(sql, child->nfixed, child->fixed_columns, child->fixed_values, child->fixed_types);
}

/*
 * Forget all plans of a mapping.  Only reached through very many different
 * filters; what is used comes back at its next use.
 */
static void
drop_plans(ScimPlans *plans)
{
	HASH_SEQ_STATUS status;
	PlanEntry  *entry;

	hash_seq_init(&status, plans->table);
	while ((entry = (PlanEntry *) hash_seq_search(&status)) != NULL)
	{
		SPI_freeplan(entry->plan);
		pfree(entry->text);
		(void) hash_search(plans->table, &entry->key, HASH_REMOVE, NULL);
	}
	plans->nkept = 0;
}

/* Keep a plan, unless there is no room that can be made now. */
static void
keep_plan(ScimStoreState *state, uint64 key, const char *text, SPIPlanPtr plan)
{
	ScimPlans  *plans = state->plans;
	PlanEntry  *entry;
	char	   *copy;

	if (plans->nkept >= MAX_PLANS)
	{
		if (running > 0)
			return;
		drop_plans(plans);
	}
	copy = MemoryContextStrdup(state->context, text);
	if (SPI_keepplan(plan) != 0)
		elog(ERROR, "SPI_keepplan failed");
	plans->kept[plans->nkept++] = plan;
	entry = (PlanEntry *) hash_search(plans->table, &key, HASH_ENTER, NULL);
	entry->text = copy;
	entry->plan = plan;
}

static uint64 executed = 0;

uint64
scim_sql_executed(void)
{
	return executed;
}

void
scim_sql_execute(const ScimMapping *mapping, ScimSql *sql, int expected,
				 bool shared_snapshot, long count)
{
	ScimStoreState *state = scim_store_state(mapping);
	uint64		key = hash_bytes_extended((const unsigned char *) sql->text.data, sql->text.len, 0);
	PlanEntry  *entry = (PlanEntry *) hash_search(state->plans->table, &key, HASH_FIND, NULL);
	SPIPlanPtr	plan;
	int			code;

	if (entry != NULL && strcmp(entry->text, sql->text.data) == 0)
		plan = entry->plan;
	else
	{
		plan = SPI_prepare(sql->text.data, sql->nparams, sql->types);
		if (plan == NULL)
			elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
		if (entry == NULL)
			keep_plan(state, key, sql->text.data, plan);
	}

	running++;
	executed++;
	PG_TRY();
	{
		code = SPI_execute_plan(plan, sql->values, sql->nulls, shared_snapshot, count);
	}
	PG_FINALLY();
	{
		running--;
	}
	PG_END_TRY();
	if (code != expected)
		elog(ERROR, "unexpected result of a statement on mapping \"%s\": %s",
			 mapping->name, SPI_result_code_string(code));
}

/* Plans live in contexts of their own: free them with the mapping. */
static void
free_plans_callback(void *arg)
{
	ScimPlans  *plans = (ScimPlans *) arg;

	while (plans->nkept > 0)
		SPI_freeplan(plans->kept[--plans->nkept]);
}

/* No plans yet, in the given context. */
static ScimPlans *
make_plans(MemoryContext context)
{
	HASHCTL		control;
	ScimPlans  *plans = MemoryContextAlloc(context, sizeof(ScimPlans));
	MemoryContextCallback *callback = MemoryContextAlloc(context, sizeof(MemoryContextCallback));

	memset(&control, 0, sizeof(control));
	control.keysize = sizeof(uint64);
	control.entrysize = sizeof(PlanEntry);
	control.hcxt = context;
	plans->table = hash_create("scim plans", 32, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	plans->nkept = 0;
	callback->func = free_plans_callback;
	callback->arg = plans;
	MemoryContextRegisterResetCallback(context, callback);
	return plans;
}

/* ---- the state of a mapping ---- */

/* The version of the row itself. */
static const char *
row_version_sql(const ScimMapping *mapping)
{
	if (mapping->version)
		return mapping->version->expr;
	/* a view or foreign table has none, there the row as a whole stands for it */
	switch (get_rel_relkind(mapping->relid))
	{
		case RELKIND_VIEW:
		case RELKIND_FOREIGN_TABLE:
			return "pg_catalog.md5(r::pg_catalog.text)";
		default:
			return "r.xmin";
	}
}

const char *
scim_store_version_sql(const ScimMapping *mapping)
{
	const char *own = row_version_sql(mapping);
	StringInfoData sql;

	if (mapping->state == NULL || mapping->version)
		return own;
	/* as take_version() of store_state.c puts them together */
	initStringInfo(&sql);
	if (mapping->track)
		appendStringInfoString(&sql, "coalesce(");
	else
		appendStringInfo(&sql, "pg_catalog.concat_ws('.', %s, ", own);
	appendStringInfo(&sql, "(SELECT c.version::pg_catalog.text FROM %s c WHERE ", mapping->state->relation);
	scim_mapping_side_join(mapping, mapping->state, &sql);
	appendStringInfoChar(&sql, ')');
	if (mapping->track)
		appendStringInfo(&sql, ", %s::pg_catalog.text", own);
	appendStringInfoChar(&sql, ')');
	return sql.data;
}

static void
add_column(StringInfo list, int *n, const char *expr)
{
	appendStringInfo(list, "%s%s", *n > 0 ? ", " : "", expr);
	(*n)++;
}

/* What is read of a source: itself, or nothing where store_state.c fills it in. */
static const char *
source_sql(const ScimMapping *m, const ScimSource *src)
{
	return m->state && src->side == m->state ? psprintf("NULL::%s", src->type_name) : src->expr;
}

/*
 * Is a source of a core attribute worth leaving out?  A column of the row comes
 * with the row; a row of another table, an expression, a place in a document
 * does not.  (`schemas` tells whether there is anything of an extension, and a
 * domain may not take a null.)
 */
static bool
is_costly(const ScimMapping *m, const ScimAttr *attr, const ScimSource *src)
{
	return (attr->parent ? attr->parent : attr)->ext < 0 && src->constant == NULL && src->typtype != TYPTYPE_DOMAIN &&
		(src->attnum == 0 || src->json_path) && !(m->state && src->side == m->state);
}

/* Does an answer need the value of an attribute?  That of a complex one's `value` makes its $ref. */
static bool
is_needed(const ScimSelection *selection, const ScimAttr *attr)
{
	if (selection == NULL || selection->has[attr->ord])
		return true;
	return attr->parent && selection->has[attr->parent->ord] && strcmp(attr->name, "value") == 0;
}

static void
add_source(StringInfo list, int *n, const ScimMapping *m, const ScimAttr *attr, const ScimSource *src, const ScimSelection *selection)
{
	if (!is_needed(selection, attr) && is_costly(m, attr, src))
		add_column(list, n, psprintf("NULL::%s", src->type_name));
	else
		add_column(list, n, source_sql(m, src));
}

/* Append a column for each scalar and slot source; "selection" (NULL: all): those that are needed. */
static void
add_sources(StringInfo list, int *n, const ScimMapping *m, const ScimSelection *selection)
{
	for (int i = 0; i < m->nscalars; i++)
		add_source(list, n, m, m->scalars[i].attr, &m->scalars[i].src, selection);
	for (int i = 0; i < m->nslots; i++)
		for (int j = 0; j < m->slots[i].nsubs; j++)
			if (m->slots[i].srcs[j].expr)
				add_source(list, n, m, m->slots[i].attr, &m->slots[i].srcs[j], selection);
}

static bool
has_costly(const ScimMapping *m)
{
	for (int i = 0; i < m->nscalars; i++)
		if (is_costly(m, m->scalars[i].attr, &m->scalars[i].src))
			return true;
	for (int i = 0; i < m->nslots; i++)
		for (int j = 0; j < m->slots[i].nsubs; j++)
			if (m->slots[i].srcs[j].expr && is_costly(m, m->slots[i].attr, &m->slots[i].srcs[j]))
				return true;
	return false;
}

/*
 * The columns of a parent row: key, version, times, then one for
 * each scalar and slot source.
 */
static void
build_select_list(const ScimMapping *m, ScimStoreState *state)
{
	StringInfoData list;
	int			n = 0;

	initStringInfo(&list);
	add_column(&list, &n, psprintf("%s::pg_catalog.text", m->key.id.expr));
	state->col_version = n;
	/* without a version column, the row's own: every write moves it */
	add_column(&list, &n, psprintf("%s::pg_catalog.text", row_version_sql(m)));
	state->col_created = state->col_modified = -1;
	state->state_external_id = state->state_created = state->state_modified = -1;
	if (m->created)
	{
		state->col_created = n;
		if (m->state && m->created->side == m->state)
			state->state_created = n;
		add_column(&list, &n, source_sql(m, m->created));
	}
	if (m->last_modified)
	{
		state->col_modified = n;
		if (m->state && m->last_modified->side == m->state)
			state->state_modified = n;
		add_column(&list, &n, source_sql(m, m->last_modified));
	}
	state->groups_child = -1;
	for (int i = 0; i < m->nchildren; i++)
		if (m->children[i].kind == SCIM_CHILD_GROUPS)
			state->groups_child = i;
	state->select_head = pstrdup(list.data);
	state->col_scalars = n;
	state->col_slots = n + m->nscalars;
	for (int i = 0; i < m->nscalars; i++)
		if (m->state && m->scalars[i].src.side == m->state)
			state->state_external_id = n + i;
	add_sources(&list, &n, m, NULL);
	state->ncolumns = n;
	state->select_list = list.data;
	state->has_costly = has_costly(m);
}

const char *
scim_store_select_list(const ScimMapping *mapping, const ScimSelection *selection)
{
	const ScimStoreState *state = scim_store_state(mapping);
	StringInfoData list;
	int			n = state->col_scalars;

	if (selection == NULL || !state->has_costly)
		return state->select_list;
	initStringInfo(&list);
	appendStringInfoString(&list, state->select_head);
	add_sources(&list, &n, mapping, selection);
	return list.data;
}

ScimStoreState *
scim_store_state(const ScimMapping *mapping)
{
	ScimStoreState *state = (ScimStoreState *) mapping->store;
	MemoryContext context;
	MemoryContext saved;

	if (state != NULL)
		return state;

	context = AllocSetContextCreate(GetMemoryChunkContext(unconstify(ScimMapping *, mapping)),
									"scim store", ALLOCSET_DEFAULT_SIZES);
	saved = MemoryContextSwitchTo(context);
	state = palloc0(sizeof(ScimStoreState));
	state->context = context;
	state->plans = make_plans(context);
	state->scalar_of = palloc(sizeof(int) * Max(mapping->type->nattrs, 1));
	for (int i = 0; i < mapping->type->nattrs; i++)
		state->scalar_of[i] = -1;
	for (int i = 0; i < mapping->nscalars; i++)
		state->scalar_of[mapping->scalars[i].attr->ord] = i;
	build_select_list(mapping, state);
	MemoryContextSwitchTo(saved);
	unconstify(ScimMapping *, mapping)->store = state;
	return state;
}
