/*
 * store_side.c
 *		Rows of other tables that belong to a resource: those its attributes live
 *		in, those that have to be there, the one by which it is in a scope.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "store_internal.h"

/* "c.parent = key of id AND ..." for statements on a side row. */
void
scim_side_append(ScimSql *sql, const ScimMapping *m, const ScimSide *side, const char *id, int scope)
{
	appendStringInfo(&sql->text, "%s OPERATOR(pg_catalog.=) %s", side->parent.row, scim_sql_key(m, scim_sql_id(sql, m, id)));
	scim_sql_fixed(sql, side->nfixed, side->fixed_columns, side->fixed_values, side->fixed_types);
	for (int i = 0; i < m->nscope; i++)
		if (side->scope[i])
			appendStringInfo(&sql->text, " AND c.%s OPERATOR(pg_catalog.=) $%d::%s", side->scope[i], scope + i, m->scope_types[i]);
}

/* Columns that say whose row it is. */
static void
add_side_columns(ScimColumns *list, const ScimMapping *m, const ScimSide *side, const char *id, int scope)
{
	int			key = scim_sql_id(list->sql, m, id);

	for (int i = 0; i < side->parent.n; i++)
		scim_columns_add(list, side->parent.columns[i], scim_sql_key_part(m, i, key));
	for (int i = 0; i < side->nfixed; i++)
		scim_columns_add(list, side->fixed_columns[i], psprintf("%s::%s", side->fixed_values[i], side->fixed_types[i]));
	for (int i = 0; i < m->nscope; i++)
		if (side->scope[i])
			scim_columns_add(list, side->scope[i], psprintf("$%d::%s", scope + i, m->scope_types[i]));
}

/* Has the wanted state a value that lives in this row? */
static bool
has_side_value(const ScimChange *change, const ScimSide *side)
{
	const ScimMapping *m = change->target->mapping;

	for (int i = 0; i < m->nscalars; i++)
		if (m->scalars[i].src.side == side && scim_change_scalar(m->type, change->after, m->scalars[i].attr))
			return true;
	for (int i = 0; i < m->nslots; i++)
	{
		const ScimSlot *slot = &m->slots[i];
		const json_t *element = scim_store_slot_element(m, slot, scim_store_multi(m->type, change->after, slot->attr));

		for (int j = 0; element && j < slot->nsubs; j++)
			if (slot->srcs[j].side == side && scim_change_slot_value(slot, j, element))
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

	scim_sql_init(&sql);
	scim_columns_init(&list, &sql, false);
	scope = scim_sql_scope_params(&sql, change->target);
	add_side_columns(&list, m, side, id, scope);
	scim_change_columns(&list, &whole, side);
	scim_columns_append_insert(&list, side->relation);
	scim_sql_execute(m, &sql, SPI_OK_INSERT, false, 0);
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
	bool		is_membership = m->membership && m->membership->relid == side->relid;

	scim_sql_init(&sql);
	scim_columns_init(&list, &sql, true);
	scope = scim_sql_scope_params(&sql, change->target);
	scim_change_columns(&list, change, side);
	if (list.n == 0)
		return false;
	if (!any && side->nfixed > 0 && !is_membership)
	{
		scim_sql_init(&sql);
		scope = scim_sql_scope_params(&sql, change->target);
		appendStringInfo(&sql.text, "DELETE FROM %s c WHERE ", side->relation);
		scim_side_append(&sql, m, side, id, scope);
		scim_sql_execute(m, &sql, SPI_OK_DELETE, false, 0);
		return true;
	}
	appendStringInfo(&sql.text, "UPDATE %s c SET ", side->relation);
	scim_columns_append_set(&list);
	appendStringInfoString(&sql.text, " WHERE ");
	scim_side_append(&sql, m, side, id, scope);
	scim_sql_execute(m, &sql, SPI_OK_UPDATE, false, 0);
	if (SPI_processed == 0 && any)
		insert_side(change, id, side);
	return true;
}

bool
scim_side_update(const ScimChange *change, const char *id)
{
	const ScimMapping *m = change->target->mapping;
	bool		changed = false;

	for (int i = 0; i < m->nsides; i++)
		if (&m->sides[i] != m->state)
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

	if (m->membership == NULL)
		return;
	scim_sql_init(&sql);
	scim_columns_init(&list, &sql, false);
	scope = scim_sql_scope_params(&sql, target);
	add_side_columns(&list, m, m->membership, id, scope);
	list.over_row = true;
	scim_columns_append_insert(&list, m->membership->relation);
	appendStringInfo(&sql.text, " WHERE NOT EXISTS (SELECT 1 FROM %s c WHERE ", m->membership->relation);
	scim_side_append(&sql, m, m->membership, id, scope);
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
				scim_columns_add(&list, beside->scope[j], psprintf("$%d::%s", scope + j, m->scope_types[j]));
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
