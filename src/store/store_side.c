/*
 * store_side.c
 *		Rows of other tables that belong to a resource: those its attributes live
 *		in, those that have to be there, the one by which it is in a scope.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "store_internal.h"

/* The value of an expression over the resource's row. */
static const char *
over_row(const ScimMapping *m, const char *expr, int key, int scope)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfo(&text, "(SELECT %s FROM %s r WHERE %s", expr, m->relation, scim_sql_is_id(m, key));
	for (int i = 0; i < m->nscope; i++)
		if (m->scope_columns[i])
			appendStringInfo(&text, " AND r.%s OPERATOR(pg_catalog.=) $%d::%s", m->scope_columns[i], scope + i, m->scope_types[i]);
	appendStringInfoString(&text, " LIMIT 1)");
	return text.data;
}

/* Further columns of a new row, over the resource's; key 0: which is not there yet. */
static void
add_inserts(ScimColumns *list, const ScimMapping *m, const ScimSide *side, int key, int scope)
{
	for (int i = 0; i < side->ninserts; i++)
		scim_columns_add(list, side->inserts[i].column,
						 key > 0 ? over_row(m, side->inserts[i].expr, key, scope) :
						 psprintf("(SELECT %s FROM (SELECT (NULL::%s).*) r)", side->inserts[i].expr, m->relation));
}

static bool
is_membership(const ScimMapping *m, const ScimSide *side)
{
	return m->membership && m->membership->relid == side->relid;
}

const char *
scim_side_inserted(const ScimMapping *m, const ScimSide *side, AttrNumber attnum, int key, int scope)
{
	for (int i = 0; i < side->ninserts; i++)
		if (side->inserts[i].attnum == attnum)
			return over_row(m, side->inserts[i].expr, key, scope);
	return side != m->membership && is_membership(m, side) ? scim_side_inserted(m, m->membership, attnum, key, scope) : NULL;
}

/* "c.parent = key AND ..." for statements on a side row; "key": the parameters of an id. */
void
scim_side_append(ScimSql *sql, const ScimMapping *m, const ScimSide *side, int key, int scope)
{
	if (side->by)
		appendStringInfo(&sql->text, "c.%s OPERATOR(pg_catalog.=) %s", side->by_column, over_row(m, psprintf("r.%s", side->by), key, scope));
	else
		appendStringInfo(&sql->text, "%s OPERATOR(pg_catalog.=) %s", side->parent.row, scim_sql_key(m, key));
	scim_sql_fixed(sql, side->nfixed, side->fixed_columns, side->fixed_values, side->fixed_types);
	for (int i = 0; i < m->nscope; i++)
		if (side->scope[i])
			appendStringInfo(&sql->text, " AND c.%s OPERATOR(pg_catalog.=) $%d::%s", side->scope[i], scope + i, m->scope_types[i]);
}

/* Columns that say whose row it is; a row that another names tells nobody. */
static void
add_side_columns(ScimColumns *list, const ScimMapping *m, const ScimSide *side, int key, int scope)
{
	for (int i = 0; side->by == NULL && i < side->parent.n; i++)
		scim_columns_add(list, side->parent.columns[i], scim_sql_key_part(m, i, key));
	for (int i = 0; i < side->nfixed; i++)
		scim_columns_add(list, side->fixed_columns[i], psprintf("%s::%s", side->fixed_values[i], side->fixed_types[i]));
	for (int i = 0; i < m->nscope; i++)
		if (side->scope[i])
			scim_columns_add(list, side->scope[i], scim_sql_cast(scope + i, m->scope_types[i]));
}

/* Is this one of the rows that a value goes to? */
static bool
lives_in(const ScimSource *src, const ScimSide *side)
{
	if (src->side == side)
		return true;
	for (int i = 0; i < src->ncopies; i++)
		if (src->copies[i].side == side)
			return true;
	return false;
}

/* Has the wanted state a value that lives in this row? */
static bool
has_side_value(const ScimChange *change, const ScimSide *side)
{
	const ScimMapping *m = change->target->mapping;

	for (int i = 0; i < m->nscalars; i++)
		if (lives_in(&m->scalars[i].src, side) && scim_change_scalar(m->type, change->after, m->scalars[i].attr))
			return true;
	for (int i = 0; i < m->nslots; i++)
	{
		const ScimSlot *slot = &m->slots[i];
		const json_t *element = scim_store_slot_element(m, slot, scim_store_multi(m->type, change->after, slot->attr));

		for (int j = 0; element && j < slot->nsubs; j++)
			if (lives_in(&slot->srcs[j], side) && scim_change_slot_value(slot, j, element))
				return true;
	}
	return false;
}

static void
insert_side(const ScimChange *change, const char *id, const ScimSide *side)
{
	const ScimMapping *m = change->target->mapping;
	ScimChange		whole = {change->target, NULL, change->after, false};
	ScimSql		sql;
	ScimColumns list;
	int			scope;
	int			key;

	scim_sql_init(&sql);
	scim_columns_init(&list, &sql, false);
	scope = scim_sql_scope_params(&sql, change->target);
	key = scim_sql_id(&sql, m, id);
	add_side_columns(&list, m, side, key, scope);
	scim_change_columns(&list, &whole, side);
	add_inserts(&list, m, side, key, scope);
	if (is_membership(m, side))
		add_inserts(&list, m, m->membership, key, scope);
	scim_columns_append_insert(&list, side->relation);
	scim_sql_execute(m, &sql, SPI_OK_INSERT, false, 0);
}

/* ---- rows that the resource's row names ---- */

bool
scim_side_is_made_first(const ScimChange *change, const ScimSide *side)
{
	return side->by && (side->always || has_side_value(change, side));
}

char *
scim_side_insert_named(const ScimChange *change, const ScimSide *side)
{
	const ScimMapping *m = change->target->mapping;
	ScimChange		whole = {change->target, NULL, change->after, false};
	ScimSql		sql;
	ScimColumns list;
	int			scope;
	char	   *key = NULL;

	scim_sql_init(&sql);
	scim_columns_init(&list, &sql, false);
	scope = scim_sql_scope_params(&sql, change->target);
	add_side_columns(&list, m, side, 0, scope);
	scim_change_columns(&list, &whole, side);
	add_inserts(&list, m, side, 0, scope);
	scim_columns_append_insert(&list, side->relation);
	appendStringInfo(&sql.text, " RETURNING r.%s::pg_catalog.text", side->by_column);
	scim_sql_execute(m, &sql, SPI_OK_INSERT_RETURNING, false, 0);
	if (SPI_processed == 1)
		key = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	if (key == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("a relation beside the mapped one did not take the row")));
	return key;
}

char *
scim_side_named(const ScimEndpointType *target, const ScimSide *side, const char *id)
{
	const ScimMapping *m = target->mapping;
	ScimSql		sql;
	int			scope;

	scim_sql_init(&sql);
	scope = scim_sql_scope_params(&sql, target);
	appendStringInfo(&sql.text, "SELECT r.%s::pg_catalog.text FROM %s r WHERE %s AND ",
					 side->by, m->relation, scim_sql_is_id(m, scim_sql_id(&sql, m, id)));
	scim_sql_scope(&sql, m, "r", scope);
	scim_sql_execute(m, &sql, SPI_OK_SELECT, false, 1);
	return SPI_processed > 0 ? SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1) : NULL;
}

void
scim_side_delete_named(const ScimEndpointType *target, const ScimSide *side, const char *key)
{
	const ScimMapping *m = target->mapping;
	ScimSql		sql;
	int			scope;

	scim_sql_init(&sql);
	scope = scim_sql_scope_params(&sql, target);
	appendStringInfo(&sql.text, "DELETE FROM %s c WHERE c.%s OPERATOR(pg_catalog.=) $%d::%s", side->relation, side->by_column,
					 scim_sql_text(&sql, key), side->by_type);
	for (int i = 0; i < m->nscope; i++)
		if (side->scope[i])
			appendStringInfo(&sql.text, " AND c.%s OPERATOR(pg_catalog.=) $%d::%s", side->scope[i], scope + i, m->scope_types[i]);
	/* it may be another's, too, and a foreign key would take that one with it */
	appendStringInfo(&sql.text, " AND NOT EXISTS (SELECT 1 FROM %s r WHERE r.%s OPERATOR(pg_catalog.=) c.%s)", m->relation, side->by, side->by_column);
	scim_sql_execute(m, &sql, SPI_OK_DELETE, false, 0);
}

/* A resource whose row named none gets one. */
static void
name_side(const ScimChange *change, const char *id, const ScimSide *side)
{
	const ScimMapping *m = change->target->mapping;
	char	   *named = scim_side_insert_named(change, side);
	ScimSql		sql;
	int			scope;

	scim_sql_init(&sql);
	scope = scim_sql_scope_params(&sql, change->target);
	appendStringInfo(&sql.text, "UPDATE %s r SET %s = $%d::%s WHERE ", m->relation, side->by, scim_sql_text(&sql, named), side->by_type);
	appendStringInfo(&sql.text, "%s AND ", scim_sql_is_id(m, scim_sql_id(&sql, m, id)));
	scim_sql_scope(&sql, m, "r", scope);
	scim_sql_execute(m, &sql, SPI_OK_UPDATE, false, 0);
}

/*
 * One row of an entity-attribute-value table goes with its value; a row that
 * is there once for each resource stays.
 */
static bool
update_side(const ScimChange *change, const char *id, const ScimSide *side)
{
	const ScimMapping *m = change->target->mapping;
	ScimSql		sql;
	ScimColumns list;
	int			scope;
	bool		any = has_side_value(change, side);

	scim_sql_init(&sql);
	scim_columns_init(&list, &sql, true);
	list.scope = scope = scim_sql_scope_params(&sql, change->target);
	list.key = scim_sql_id(&sql, m, id);
	scim_change_columns(&list, change, side);
	if (list.n == 0)
		return false;
	if (!any && side->nfixed > 0 && side->by == NULL && !is_membership(m, side))
	{
		scim_sql_init(&sql);
		scope = scim_sql_scope_params(&sql, change->target);
		appendStringInfo(&sql.text, "DELETE FROM %s c WHERE ", side->relation);
		scim_side_append(&sql, m, side, scim_sql_id(&sql, m, id), scope);
		scim_sql_execute(m, &sql, SPI_OK_DELETE, false, 0);
		return true;
	}
	appendStringInfo(&sql.text, "UPDATE %s c SET ", side->relation);
	scim_columns_append_set(&list);
	appendStringInfoString(&sql.text, " WHERE ");
	scim_side_append(&sql, m, side, list.key, scope);
	scim_sql_execute(m, &sql, SPI_OK_UPDATE, false, 0);
	if (SPI_processed == 0 && any && side->by)
		name_side(change, id, side);
	else if (SPI_processed == 0 && any)
		insert_side(change, id, side);
	return true;
}

bool
scim_side_update(const ScimChange *change, const char *id, bool made)
{
	const ScimMapping *m = change->target->mapping;
	bool		changed = false;

	for (int i = 0; i < m->nsides; i++)
		if (&m->sides[i] != m->state && (!made || m->sides[i].by == NULL))
			changed = update_side(change, id, &m->sides[i]) || changed;
	return changed;
}

/* The row by which a resource is in the scope; one with attributes in it may be there already. */
void
scim_side_insert_membership(const ScimEndpointType *target, const char *id)
{
	const ScimMapping *m = target->mapping;
	ScimSql		sql;
	ScimColumns list;
	int			scope;
	int			key;

	if (m->membership == NULL)
		return;
	scim_sql_init(&sql);
	scim_columns_init(&list, &sql, false);
	scope = scim_sql_scope_params(&sql, target);
	key = scim_sql_id(&sql, m, id);
	add_side_columns(&list, m, m->membership, key, scope);
	add_inserts(&list, m, m->membership, key, scope);
	list.over_row = true;
	scim_columns_append_insert(&list, m->membership->relation);
	appendStringInfo(&sql.text, " WHERE NOT EXISTS (SELECT 1 FROM %s c WHERE ", m->membership->relation);
	scim_side_append(&sql, m, m->membership, key, scope);
	appendStringInfoChar(&sql.text, ')');
	scim_sql_execute(m, &sql, SPI_OK_INSERT, false, 0);
}

/* Rows that have to be there beside a new resource, and that a trigger may have made. */
void
scim_side_insert_besides(const ScimEndpointType *target, const char *id)
{
	const ScimMapping *m = target->mapping;

	for (int i = 0; i < m->nbesides; i++)
	{
		const ScimBeside *beside = &m->besides[i];
		ScimSql		sql;
		ScimColumns list;
		int			scope;

		scim_sql_init(&sql);
		scim_columns_init(&list, &sql, false);
		scope = scim_sql_scope_params(&sql, target);
		for (int j = 0; j < m->key.n; j++)
			scim_columns_add(&list, beside->parent.columns[j], m->key.parts[j].expr);
		for (int j = 0; j < m->nscope; j++)
			if (beside->scope[j])
				scim_columns_add(&list, beside->scope[j], scim_sql_cast(scope + j, m->scope_types[j]));
		scim_columns_settings(&list, beside->inserts, beside->ninserts);
		appendStringInfo(&sql.text, "INSERT INTO %s (", beside->relation);
		for (int j = 0; j < list.n; j++)
			appendStringInfo(&sql.text, "%s%s", j > 0 ? ", " : "", list.items[j].column);
		appendStringInfoString(&sql.text, ") SELECT ");
		for (int j = 0; j < list.n; j++)
			appendStringInfo(&sql.text, "%s%s", j > 0 ? ", " : "", list.items[j].value);
		appendStringInfo(&sql.text, " FROM %s r WHERE %s AND ", m->relation, scim_sql_is_id(m, scim_sql_id(&sql, m, id)));
		scim_sql_tenant(&sql, m, "r", scope);
		appendStringInfo(&sql.text, " AND NOT EXISTS (SELECT 1 FROM %s c WHERE %s OPERATOR(pg_catalog.=) %s", beside->relation, beside->parent.row, m->key.row);
		for (int j = 0; j < m->nscope; j++)
			if (beside->scope[j])
				appendStringInfo(&sql.text, " AND c.%s OPERATOR(pg_catalog.=) $%d::%s", beside->scope[j], scope + j, m->scope_types[j]);
		appendStringInfoChar(&sql.text, ')');
		scim_sql_execute(m, &sql, SPI_OK_INSERT, false, 0);
	}
}
