/*
 * store_read.c
 *		Rows of a mapping read as resources: by id (store_page.c: by page).
 *
 * Rows of plain tables come without a statement where a scan of an index is
 * enough (store_scan.c): a row by its id, and child rows.  The rest is two
 * plans, however many child relations a mapping has, three where User `groups`
 * are asked for and there are any: the parent rows; one UNION ALL over the
 * child relations that the projection asks for; the groups.  All of it sees one
 * snapshot.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "store_internal.h"
#include "../scim_guc.h"

/* What a child row costs in memory at least, to stay within the budget. */
#define CHILD_ROW_COST 256

/* ---- child rows ---- */

/* "AT TIME ZONE" and not a setting: the same whatever the session's zone is. */
const char *
scim_store_value_sql(const ScimSource *src)
{
	if (src->expr == NULL)
		return quote_literal_cstr(src->constant);
	switch (src->cls)
	{
		case SCIM_SQL_TIMESTAMPTZ:
			return psprintf("pg_catalog.to_char(%s AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')", src->expr);
		default:
			return psprintf("%s::pg_catalog.text", src->expr);
	}
}

/* Is a row described by its sub-attributes, and not by an id? */
static bool
has_subs(const ScimChild *child)
{
	return child->kind == SCIM_CHILD_VALUES || child->kind == SCIM_CHILD_INLINE;
}

static int
child_width(const ScimChild *child)
{
	return has_subs(child) ? child->nsubs : 1;
}

/*
 * Are the rows put in order here?  A sort in each branch would keep the planner
 * from pulling it up, which costs more than all the rows there usually are.
 */
static bool
ordered_here(const ScimChild *child)
{
	return child->kind == SCIM_CHILD_INLINE || (child->order != NULL && child->order_is_integer);
}

/*
 * One branch of the UNION ALL: (n of parent, index of child, place in the
 * order, values padded to "width").
 */
static void
append_branch(ScimSql *sql, const ScimMapping *m, int index, int width, bool single, int keys, int scope)
{
	const ScimChild *child = &m->children[index];
	StringInfo	text = &sql->text;
	int			n = child_width(child);

	appendStringInfo(text, "%sSELECT %s, %d", ordered_here(child) ? "" : "(", single ? "1::pg_catalog.int8" : "p.n", index);
	if (child->kind == SCIM_CHILD_INLINE)
		appendStringInfoString(text, ", c.n");
	else if (ordered_here(child))
		appendStringInfo(text, ", c.%s::pg_catalog.int8", child->order);
	else
		appendStringInfoString(text, ", 0::pg_catalog.int8");
	for (int i = 0; i < n; i++)
		appendStringInfo(text, ", %s", scim_store_value_sql(has_subs(child) ? &child->srcs[i] : &child->ref));
	for (int i = n; i < width; i++)
		appendStringInfoString(text, ", NULL::pg_catalog.text");
	if (child->kind == SCIM_CHILD_INLINE && single)
		appendStringInfo(text, " FROM %s r, %s WHERE %s",
						 m->relation, child->from, scim_sql_is_id(m, keys));
	else if (child->kind == SCIM_CHILD_INLINE)
		appendStringInfo(text, " FROM %s, %s r, %s WHERE %s OPERATOR(pg_catalog.=) %s",
						 scim_sql_keys_from(m, keys), m->relation, child->from, m->key.row, scim_sql_key_row("p.k", m->key.n));
	else if (single)
		appendStringInfo(text, " FROM %s c WHERE %s OPERATOR(pg_catalog.=) %s",
						 child->relation, child->parent.row, scim_sql_key(m, keys));
	else
		appendStringInfo(text, " FROM %s, %s c WHERE %s OPERATOR(pg_catalog.=) %s",
						 scim_sql_keys_from(m, keys), child->relation, child->parent.row, scim_sql_key_row("p.k", m->key.n));
	/* keys are not unique beyond the scope */
	if (child->kind == SCIM_CHILD_INLINE)
	{
		appendStringInfoString(text, " AND ");
		scim_sql_scope(sql, m, "r", scope);
	}
	scim_sql_child_scope(sql, m, child, "c", scope);
	if (child->kind == SCIM_CHILD_LINK)
		appendStringInfo(text, " AND %s IS NOT NULL", child->ref.expr);
	if (ordered_here(child))
		return;
	if (child->order)
		appendStringInfo(text, " ORDER BY c.%s)", child->order);
	else
		appendStringInfoString(text, " ORDER BY 4)");
}

/*
 * Groups of users, direct and through nested groups (RFC 7643 4.1.2).  The
 * recursion is over a set, so that cycles end.
 */
static void
append_groups(ScimSql *sql, const ScimMapping *m, const ScimChild *child, bool single, int keys, int scope)
{
	const ScimChild *users = child->user_link;
	const ScimChild *groups = child->group_link;
	const ScimMapping *target = child->target;
	StringInfo	text = &sql->text;
	const char *display = "NULL::pg_catalog.text";

	for (int i = 0; i < target->nscalars; i++)
		if (strcmp(target->scalars[i].attr->name, "displayName") == 0 && target->scalars[i].attr->parent == NULL)
			display = scim_store_value_sql(&target->scalars[i].src);

	appendStringInfo(text, "WITH RECURSIVE member(n, %s, direct) AS (SELECT %s, %s, true FROM ",
					 scim_sql_key_list("g", target->key.n), single ? "1::pg_catalog.int8" : "p.n", scim_sql_columns(&users->parent, "c"));
	if (single)
		appendStringInfo(text, "%s c WHERE %s OPERATOR(pg_catalog.=) %s",
						 users->relation, users->refs.row, scim_sql_key(m, keys));
	else
		appendStringInfo(text, "%s, %s c WHERE %s OPERATOR(pg_catalog.=) %s",
						 scim_sql_keys_from(m, keys), users->relation, users->refs.row, scim_sql_key_row("p.k", m->key.n));
	scim_sql_child_scope(sql, target, users, "c", scope);
	if (groups)
	{
		appendStringInfo(text, " UNION SELECT u.n, %s, false FROM member u, %s c WHERE %s OPERATOR(pg_catalog.=) %s",
						 scim_sql_columns(&groups->parent, "c"), groups->relation, groups->refs.row,
						 scim_sql_key_row("u.g", target->key.n));
		scim_sql_child_scope(sql, target, groups, "c", scope);
	}
	appendStringInfo(text, ") SELECT u.n, 0, 0::pg_catalog.int8, %s::pg_catalog.text, %s,"
					 " CASE WHEN pg_catalog.bool_or(u.direct) THEN 'direct' ELSE 'indirect' END"
					 " FROM member u JOIN %s r ON %s OPERATOR(pg_catalog.=) %s AND ",
					 target->key.id.expr, display, target->relation, target->key.row, scim_sql_key_row("u.g", target->key.n));
	scim_sql_scope(sql, target, "r", scope);
	appendStringInfoString(text, " GROUP BY 1, 4, 5 ORDER BY 1, 4");
}

static int
compare_rows(const void *a, const void *b)
{
	const ScimChildRow *x = *(ScimChildRow *const *) a;
	const ScimChildRow *y = *(ScimChildRow *const *) b;

	if (x->child != y->child)
		return x->child < y->child ? -1 : 1;
	return (x->order > y->order) - (x->order < y->order);
}

/* Rows come in the order of the index nearly always; if not, sort them. */
static void
put_in_order(ScimParentRow *parent)
{
	int			n = 0;
	ScimChildRow **rows;

	for (ScimChildRow *row = parent->first; row; row = row->next)
		n++;
	rows = palloc(sizeof(ScimChildRow *) * n);
	n = 0;
	for (ScimChildRow *row = parent->first; row; row = row->next)
		rows[n++] = row;
	qsort(rows, n, sizeof(ScimChildRow *), compare_rows);
	for (int i = 0; i < n; i++)
		rows[i]->next = i + 1 < n ? rows[i + 1] : NULL;
	parent->first = rows[0];
	parent->last = rows[n - 1];
	parent->unordered = false;
}

/* Columns of a branch before its values. */
#define BRANCH_VALUES 3

void
scim_store_add_row(ScimParentRow *parent, ScimChildRow *row)
{
	row->next = NULL;
	if (parent->last)
	{
		parent->last->next = row;
		if (ordered_here(row->child) && parent->last->child->relid == row->child->relid && parent->last->order > row->order)
			parent->unordered = true;
	}
	else
		parent->first = row;
	parent->last = row;
}

static void
collect_rows(const ScimMapping *m, ScimParentRow *rows, const ScimChild *fixed_child)
{
	TupleDesc	desc = SPI_tuptable->tupdesc;
	Datum	   *values = palloc(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * desc->natts);

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		ScimChildRow *row;
		ScimParentRow *parent;

		heap_deform_tuple(SPI_tuptable->vals[i], desc, values, nulls);
		parent = &rows[DatumGetInt64(values[0]) - 1];
		row = palloc(sizeof(ScimChildRow));
		row->child = fixed_child ? fixed_child : &m->children[DatumGetInt32(values[1])];
		row->order = nulls[2] ? 0 : DatumGetInt64(values[2]);
		row->values = palloc(sizeof(char *) * (desc->natts - BRANCH_VALUES));
		for (int j = BRANCH_VALUES; j < desc->natts; j++)
			row->values[j - BRANCH_VALUES] = nulls[j] ? NULL : TextDatumGetCString(values[j]);
		scim_store_add_row(parent, row);
	}
}

void
scim_store_too_much(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("the answer holds more values than a request may use memory for"),
			 errhint("Ask for less, or exclude the large attribute (excludedAttributes).")));
}

/* As many rows as "budget" still allows, which they are taken from. */
static void
execute_bounded(const ScimMapping *m, ScimSql *sql, long *budget)
{
	scim_sql_execute(m, sql, SPI_OK_SELECT, true, *budget + 1);
	*budget -= (long) SPI_processed;
	if (*budget < 0)
		scim_store_too_much();
}

/* A statement reads this attribute: all of it, so that the order of its values is the same. */
static void
leave_to_statement(const ScimMapping *m, const ScimAttr *attr, bool *can)
{
	for (int i = 0; i < m->nchildren; i++)
		if (m->children[i].attr == attr)
			can[i] = false;
}

/* Read what needs no statement, and take it out of "use". */
static void
scan_children(const ScimEndpointType *target, bool *use, ScimParentRow *rows, int n, long *budget)
{
	const ScimMapping *m = target->mapping;
	bool	   *can = palloc(sizeof(bool) * Max(m->nchildren, 1));

	memcpy(can, use, sizeof(bool) * m->nchildren);
	for (int i = 0; i < m->nchildren; i++)
		if (use[i] && !scim_store_can_scan(m, i))
			leave_to_statement(m, m->children[i].attr, can);
	for (int i = 0; i < m->nchildren; i++)
		if (use[i] && can[i] && !scim_store_scan_children(target, i, can, use, rows, n, budget))
			leave_to_statement(m, m->children[i].attr, can);
}

/* The keys of some parents as a parameter. */
static int
keys_param(ScimSql *sql, const ScimMapping *m, const ScimParentRow *rows, int n)
{
	const char **ids;

	if (n == 1)
		return scim_sql_id(sql, m, rows[0].id);
	ids = palloc(sizeof(char *) * n);
	for (int i = 0; i < n; i++)
		ids[i] = rows[i].id;
	return scim_sql_ids(sql, m, ids, n);
}

/* The rows of the child relations in "use", by one statement. */
static void
select_children(const ScimEndpointType *target, const bool *use, int width, ScimParentRow *rows, int n, long *budget)
{
	const ScimMapping *m = target->mapping;
	ScimSql		sql;
	int			keys;
	int			scope;
	bool		first = true;

	scim_sql_init(&sql);
	scope = scim_sql_scope_params(&sql, target);
	keys = keys_param(&sql, m, rows, n);
	for (int i = 0; i < m->nchildren; i++)
	{
		if (!use[i])
			continue;
		if (!first)
			appendStringInfoString(&sql.text, " UNION ALL ");
		append_branch(&sql, m, i, width, n == 1, keys, scope);
		first = false;
	}
	execute_bounded(m, &sql, budget);
	collect_rows(m, rows, NULL);
}

static void
select_groups(const ScimEndpointType *target, const ScimChild *child, ScimParentRow *rows, int n, long *budget)
{
	const ScimMapping *m = target->mapping;
	ScimSql		sql;
	int			keys;
	int			scope;

	scim_sql_init(&sql);
	scope = scim_sql_scope_params(&sql, target);
	keys = keys_param(&sql, m, rows, n);
	append_groups(&sql, m, child, n == 1, keys, scope);
	execute_bounded(m, &sql, budget);
	collect_rows(m, rows, child);
}

void
scim_store_read_children(const ScimEndpointType *target, const ScimSelection *selection, ScimParentRow *rows, int n)
{
	const ScimMapping *m = target->mapping;
	ScimStoreState *state = scim_store_state(m);
	int			width = 0;
	long		budget = (long) scim_request_memory * 1024L / CHILD_ROW_COST;
	bool	   *use = palloc0(sizeof(bool) * Max(m->nchildren, 1));

	for (int i = 0; i < m->nchildren; i++)
		use[i] = m->children[i].kind != SCIM_CHILD_GROUPS && selection->has[m->children[i].attr->ord];
	scan_children(target, use, rows, n, &budget);
	for (int i = 0; i < m->nchildren; i++)
		if (use[i])
			width = Max(width, child_width(&m->children[i]));
	if (width > 0)
		select_children(target, use, width, rows, n, &budget);
	if (state->groups_child >= 0 && selection->has[m->children[state->groups_child].attr->ord] &&
		scim_store_any_in_group(target, rows, n))
		select_groups(target, &m->children[state->groups_child], rows, n, &budget);
	for (int i = 0; i < n; i++)
		if (rows[i].unordered)
			put_in_order(&rows[i]);
}

/* ---- parent rows ---- */

uint64
scim_store_push_snapshot(void)
{
	Snapshot	snapshot;

	CommandCounterIncrement();
	snapshot = GetTransactionSnapshot();
	PushActiveSnapshot(snapshot);
	return snapshot->snapXactCompletionCount;
}

static void
check_type(const ScimMapping *m, TupleDesc desc, int column, Oid typid)
{
	if (TupleDescAttr(desc, column)->atttypid != typid)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("a column of mapping \"%s\" has changed its type", m->name)));
}

/*
 * A statement waits for an ALTER TABLE and then goes on with the new columns,
 * while the mapping is that of before: what is read must be of the type that it
 * is taken for.  Another try has the new mapping.
 */
static void
check_types(const ScimMapping *m, const ScimStoreState *state, TupleDesc desc)
{
	int			column = state->col_slots;

	if (state->col_created >= 0)
		check_type(m, desc, state->col_created, m->created->typid);
	if (state->col_modified >= 0)
		check_type(m, desc, state->col_modified, m->last_modified->typid);
	for (int i = 0; i < m->nscalars; i++)
		check_type(m, desc, state->col_scalars + i, m->scalars[i].src.typid);
	for (int i = 0; i < m->nslots; i++)
		for (int j = 0; j < m->slots[i].nsubs; j++)
			if (m->slots[i].srcs[j].expr)
				check_type(m, desc, column++, m->slots[i].srcs[j].typid);
}

static void
deform_parent(TupleDesc desc, HeapTuple tuple, ScimParentRow *row)
{
	row->values = palloc(sizeof(Datum) * desc->natts);
	row->nulls = palloc(sizeof(bool) * desc->natts);
	heap_deform_tuple(tuple, desc, row->values, row->nulls);
	row->id = TextDatumGetCString(row->values[SCIM_COL_KEY]);
	row->has_key = false;
	row->first = row->last = NULL;
	row->unordered = false;
}

/*
 * The row with this id by a statement, which locks it if that is asked for.
 * With a lock there is a snapshot of behind it then.
 */
static bool
select_parent(const ScimEndpointType *target, const char *id, const ScimSelection *selection, ScimLock lock, ScimParentRow *row)
{
	const ScimMapping *m = target->mapping;
	ScimStoreState *state = scim_store_state(m);
	ScimSql		sql;
	int			scope;

	scim_sql_init(&sql);
	scope = scim_sql_scope_params(&sql, target);
	appendStringInfo(&sql.text, "SELECT %s FROM %s r WHERE ", scim_store_select_list(m, selection), m->relation);
	scim_sql_scope(&sql, m, "r", scope);
	appendStringInfo(&sql.text, " AND %s", scim_sql_is_id(m, scim_sql_id(&sql, m, id)));
	/* members of a group may be added (FOR KEY SHARE) while a user is changed */
	if (lock == SCIM_FOR_UPDATE && m->lockable)
		appendStringInfoString(&sql.text, " FOR NO KEY UPDATE OF r");
	scim_sql_execute(m, &sql, SPI_OK_SELECT, lock == SCIM_NO_LOCK, 1);
	if (SPI_processed == 0)
		return false;
	if (lock != SCIM_NO_LOCK)
		scim_store_push_snapshot();
	check_types(m, state, SPI_tuptable->tupdesc);
	deform_parent(SPI_tuptable->tupdesc, SPI_tuptable->vals[0], row);
	return true;
}

bool
scim_store_get(const ScimEndpointType *target, const char *id,
			   const ScimSelection *selection, ScimLock lock,
			   StringInfo out, ScimHead *head)
{
	const ScimMapping *m = target->mapping;
	const char *base_url = scim_endpoint_base_url(target->endpoint);
	ScimScanned scanned = SCIM_SCAN_NOT;
	ScimParentRow row;

	if (!scim_key_id_valid(&m->key, id))
		return false;
	if (lock == SCIM_NO_LOCK)
	{
		scim_store_push_snapshot();
		scanned = scim_store_scan_parent(target, id, &row);
	}
	else if ((scanned = scim_store_lock_parent(target, id, &row)) == SCIM_SCAN_FOUND)
		scim_store_push_snapshot();
	if (scanned == SCIM_SCAN_NONE ||
		(scanned == SCIM_SCAN_NOT && !select_parent(target, id, out ? selection : NULL, lock, &row)))
	{
		if (lock == SCIM_NO_LOCK)
			PopActiveSnapshot();
		return false;
	}
	scim_state_fill(target, &row, 1);
	if (head)
	{
		head->id = row.id;
		head->version = scim_store_version(m, row.values, row.nulls);
		head->location = scim_store_location(target, base_url, row.id);
	}
	if (out)
	{
		scim_store_read_children(target, selection, &row, 1);
		scim_store_emit(target, selection, &row, base_url, out);
	}
	PopActiveSnapshot();
	return true;
}

/* "FROM ... WHERE scope AND filter": the part that page and count share. */
void
scim_store_where(ScimSql *sql, const ScimEndpointType *target, const ScimQuery *query, int scope)
{
	appendStringInfo(&sql->text, " FROM %s r WHERE ", target->mapping->relation);
	scim_sql_scope(sql, target->mapping, "r", scope);
	/* what has no id is no resource (a view, a key that is not the primary one) */
	if (!target->mapping->key.id.not_null)
		appendStringInfo(&sql->text, " AND %s IS NOT NULL", target->mapping->key.id.expr);
	if (query->filter)
	{
		appendStringInfoString(&sql->text, " AND ");
		scim_store_predicate(sql, target, query->filter, scope);
	}
}

void
scim_store_check_size(const StringInfo out)
{
	if (out->len > (int64) scim_request_memory * 1024)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the page is larger than a request may use memory for"),
				 errhint("Ask for fewer resources (count) or attributes.")));
}

ScimParentRow *
scim_store_parent_rows(const ScimEndpointType *target, int n, bool backward)
{
	TupleDesc	desc = SPI_tuptable->tupdesc;
	ScimParentRow *rows = palloc0(sizeof(ScimParentRow) * Max(n, 1));

	check_types(target->mapping, scim_store_state(target->mapping), desc);
	for (int i = 0; i < n; i++)
		deform_parent(desc, SPI_tuptable->vals[i], &rows[backward ? n - 1 - i : i]);
	scim_state_fill(target, rows, n);
	return rows;
}

void
scim_store_get_many(const ScimEndpointType *target, const ScimSelection *selection,
					const char *const *ids, int n, char **out)
{
	const ScimMapping *m = target->mapping;
	const char *base_url = scim_endpoint_base_url(target->endpoint);
	ScimParentRow *rows;
	ScimSql		sql;
	int			scope;
	int			found;

	scim_sql_init(&sql);
	scope = scim_sql_scope_params(&sql, target);
	appendStringInfo(&sql.text, "SELECT %s FROM %s r WHERE ", scim_store_select_list(m, selection), m->relation);
	scim_sql_scope(&sql, m, "r", scope);
	appendStringInfo(&sql.text, " AND %s", scim_sql_is_any_id(m, scim_sql_ids(&sql, m, ids, n)));
	scim_sql_execute(m, &sql, SPI_OK_SELECT, true, 0);
	found = (int) SPI_processed;
	rows = scim_store_parent_rows(target, found, false);
	if (found > 0)
		scim_store_read_children(target, selection, rows, found);
	for (int i = 0; i < n; i++)
	{
		StringInfoData text;

		out[i] = NULL;
		for (int j = 0; j < found && out[i] == NULL; j++)
		{
			if (strcmp(rows[j].id, ids[i]) != 0)
				continue;
			initStringInfo(&text);
			scim_store_emit(target, selection, &rows[j], base_url, &text);
			out[i] = text.data;
		}
	}
}

/* ---- rows by key ---- */

/* A key that is asked for, and its row. */
typedef struct WantedRow
{
	const char *id;
	int			index;
	bool		found;
	ScimParentRow row;
} WantedRow;

static int
compare_wanted(const void *a, const void *b)
{
	return strcmp(((const WantedRow *) a)->id, ((const WantedRow *) b)->id);
}

static int
compare_index(const void *a, const void *b)
{
	return ((const WantedRow *) a)->index - ((const WantedRow *) b)->index;
}

/* Fill the rows of "wanted" (sorted by id); a key that is not unique (a view) names any of its rows. */
static void
read_wanted(const ScimEndpointType *target, WantedRow *wanted, int n, const char *condition)
{
	const ScimMapping *m = target->mapping;
	ScimStoreState *state = scim_store_state(m);
	const char **keys = palloc(sizeof(char *) * n);
	ScimSql		sql;
	int			scope;
	TupleDesc	desc;

	for (int i = 0; i < n; i++)
		keys[i] = wanted[i].id;
	scim_sql_init(&sql);
	scope = scim_sql_scope_params(&sql, target);
	/* nothing but r in FROM: expressions of the mapping name its columns bare */
	if (condition)
		appendStringInfo(&sql.text, "SELECT %s, (%s\n) IS TRUE", state->select_list, condition);
	else
		appendStringInfo(&sql.text, "SELECT %s, true", state->select_list);
	appendStringInfo(&sql.text, " FROM %s r WHERE ", m->relation);
	scim_sql_scope(&sql, m, "r", scope);
	appendStringInfo(&sql.text, " AND %s", scim_sql_is_any_id(m, scim_sql_ids(&sql, m, keys, n)));
	scim_sql_execute(m, &sql, SPI_OK_SELECT, true, 0);
	desc = SPI_tuptable->tupdesc;
	check_types(m, state, desc);

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		WantedRow	row;
		WantedRow  *place;

		memset(&row, 0, sizeof(row));
		deform_parent(desc, SPI_tuptable->vals[i], &row.row);
		row.id = row.row.id;
		place = bsearch(&row, wanted, n, sizeof(WantedRow), compare_wanted);
		if (place)
		{
			place->found = true;
			place->row = row.row;
		}
	}
}

void
scim_store_collect(const ScimEndpointType *target, const char *const *ids, int n,
				   const char *condition, const ScimSelection *selection,
				   ScimStoreRow **result, int *nresult)
{
	const ScimMapping *m = target->mapping;
	int			in_scope = scim_store_state(m)->ncolumns;
	const char *base_url = scim_endpoint_base_url(target->endpoint);
	WantedRow  *wanted = palloc0(sizeof(WantedRow) * Max(n, 1));
	ScimParentRow *rows = palloc0(sizeof(ScimParentRow) * Max(n, 1));
	int			nwanted = 0;
	int			nrows = 0;

	*result = palloc0(sizeof(ScimStoreRow) * Max(n, 1));
	*nresult = 0;
	/* what cannot be a key is not the key of a row, and no error */
	for (int i = 0; i < n; i++)
		if (scim_key_id_valid(&m->key, ids[i]))
		{
			wanted[nwanted].id = ids[i];
			wanted[nwanted++].index = i;
		}
	if (nwanted == 0)
		return;

	scim_store_push_snapshot();
	qsort(wanted, nwanted, sizeof(WantedRow), compare_wanted);
	read_wanted(target, wanted, nwanted, condition);
	qsort(wanted, nwanted, sizeof(WantedRow), compare_index);
	for (int i = 0; i < nwanted; i++)
	{
		ScimStoreRow *row = &(*result)[*nresult];

		if (!wanted[i].found)
			continue;
		(*nresult)++;
		row->index = wanted[i].index;
		row->in_scope = DatumGetBool(wanted[i].row.values[in_scope]);
		if (row->in_scope)
			rows[nrows++] = wanted[i].row;
	}
	scim_state_fill(target, rows, nrows);
	if (nrows > 0)
		scim_store_read_children(target, selection, rows, nrows);
	for (int i = 0, j = 0; i < *nresult; i++)
	{
		StringInfoData json;

		if (!(*result)[i].in_scope)
			continue;
		initStringInfo(&json);
		scim_store_emit(target, selection, &rows[j++], base_url, &json);
		(*result)[i].json = json.data;
	}
	PopActiveSnapshot();
}

int
scim_store_keys(const ScimEndpointType *target, const char *after, int limit, const char *condition,
				const char ***keys, bool *any)
{
	const ScimMapping *m = target->mapping;
	ScimSql		sql;
	int			scope;
	int			n;

	scim_store_push_snapshot();
	scim_sql_init(&sql);
	scope = scim_sql_scope_params(&sql, target);
	appendStringInfo(&sql.text, "SELECT %s::pg_catalog.text", m->key.id.expr);
	if (condition)
		appendStringInfo(&sql.text, ", (%s\n) IS TRUE", condition);
	appendStringInfo(&sql.text, " FROM %s r WHERE ", m->relation);
	scim_sql_scope(&sql, m, "r", scope);
	appendStringInfo(&sql.text, " AND %s IS NOT NULL", m->key.id.expr);
	if (after)
		appendStringInfo(&sql.text, " AND %s", scim_sql_id_after(m, false, scim_sql_id(&sql, m, after)));
	appendStringInfo(&sql.text, " ORDER BY %s LIMIT $%d::pg_catalog.int8",
					 scim_sql_id_order(m, false), scim_sql_text(&sql, psprintf("%d", limit)));
	scim_sql_execute(m, &sql, SPI_OK_SELECT, true, 0);
	n = (int) SPI_processed;
	*keys = palloc(sizeof(char *) * Max(n, 1));
	*any = condition == NULL && n > 0;
	for (int i = 0; i < n; i++)
	{
		bool		isnull;

		(*keys)[i] = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
		*any = *any || DatumGetBool(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2, &isnull));
	}
	PopActiveSnapshot();
	return n;
}
