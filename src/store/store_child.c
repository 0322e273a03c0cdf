/*
 * store_child.c
 *		Values of multi-valued attributes: which place of the mapping holds which,
 *		and the rows of child relations.
 *
 * Values of a child relation are set-based: one DELETE for those that are gone,
 * one INSERT for those that are new, and the rows of those that stay are not
 * touched.  Deletes come first, of all relations, because a unique index (one
 * primary of a user) holds at every statement.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "store_internal.h"
#include "../core/core_multi.h"

/* Up to so many rows are inserted as VALUES, a plan for each number. */
#define MAX_VALUES 3

const json_t *
scim_store_multi(const ScimResourceType *type, const json_t *resource, const ScimAttr *attr)
{
	const json_t *part = scim_resource_part(type, resource, attr->ext);
	const json_t *value = part ? json_object_get(part, attr->name) : NULL;

	return value && json_is_array(value) && json_array_size(value) > 0 ? value : NULL;
}

/* ---- places ---- */

static bool
is_valued(const ScimChild *child)
{
	return child->kind == SCIM_CHILD_VALUES || child->kind == SCIM_CHILD_INLINE;
}

/* How many places an attribute has. */
static int
count_places(const ScimMapping *m, const ScimAttr *attr)
{
	int			n = 0;

	for (int i = 0; i < m->nslots; i++)
		n += m->slots[i].attr == attr;
	for (int i = 0; i < m->nchildren; i++)
		n += m->children[i].attr == attr && is_valued(&m->children[i]);
	return n;
}

/*
 * Are the fixed sub-attributes of a place those of the element?  Where it is
 * the only place, what the element does not say may be taken for said.
 */
static bool
fits(const json_t *element, int nsubs, ScimAttr *const *subs, const ScimSource *srcs, bool only)
{
	for (int i = 0; i < nsubs; i++)
	{
		const char *text;

		if (srcs[i].expr || srcs[i].implied)
			continue;
		text = scim_store_value_text(json_object_get(element, subs[i]->name));
		if (text == NULL ? !only : pg_strcasecmp(text, srcs[i].constant) != 0)
			return false;
	}
	return true;
}

/*
 * The place of each element of an array: the index of a slot, nslots + the
 * index of a child, or -1.  A slot holds one value, the first that fits.
 */
static int *
find_places(const ScimMapping *m, const ScimAttr *attr, const json_t *array)
{
	int			n = (int) json_array_size(array);
	int		   *places = palloc(sizeof(int) * Max(n, 1));
	bool		only = count_places(m, attr) == 1;

	for (int i = 0; i < n; i++)
		places[i] = -1;
	for (int s = 0; s < m->nslots; s++)
	{
		const ScimSlot *slot = &m->slots[s];

		for (int i = 0; slot->attr == attr && i < n; i++)
			if (places[i] < 0 && fits(json_array_get(array, i), slot->nsubs, slot->subs, slot->srcs, only && n == 1 && !slot->flag))
			{
				places[i] = s;
				break;
			}
	}
	for (int c = 0; c < m->nchildren; c++)
	{
		const ScimChild *child = &m->children[c];

		for (int i = 0; child->attr == attr && is_valued(child) && i < n; i++)
			if (places[i] < 0 && fits(json_array_get(array, i), child->nsubs, child->subs, child->srcs, only))
				places[i] = m->nslots + c;
	}
	return places;
}

const json_t *
scim_store_slot_element(const ScimMapping *m, const ScimSlot *slot, const json_t *array)
{
	int			n = array ? (int) json_array_size(array) : 0;
	int		   *places = n > 0 ? find_places(m, slot->attr, array) : NULL;

	for (int i = 0; i < n; i++)
		if (places[i] == slot - m->slots)
			return json_array_get(array, i);
	return NULL;
}

int
scim_store_child_elements(const ScimMapping *m, const ScimChild *child, const json_t *array, const json_t ***elements)
{
	int			n = array ? (int) json_array_size(array) : 0;
	int		   *places = n > 0 ? find_places(m, child->attr, array) : NULL;
	int			found = 0;

	*elements = palloc(sizeof(json_t *) * Max(n, 1));
	for (int i = 0; i < n; i++)
		if (places[i] == m->nslots + (child - m->children))
			(*elements)[found++] = json_array_get(array, i);
	return found;
}

bool
scim_store_check_places(const ScimEndpointType *target, const json_t *after, ScimError *err)
{
	const ScimMapping *m = target->mapping;
	char		path[256];

	if (target->endpoint->mode != SCIM_STRICT)
		return true;
	for (int i = 0; i < m->type->ntop; i++)
	{
		const ScimAttr *attr = m->type->top[i];
		const json_t *array = attr->multi && count_places(m, attr) > 0 ? scim_store_multi(m->type, after, attr) : NULL;
		int		   *places = array ? find_places(m, attr, array) : NULL;

		for (int j = 0; array && j < (int) json_array_size(array); j++)
			if (places[j] < 0)
				return scim_fail(err, 400, SCIM_INVALID_VALUE, "%s: there is no place for one of the values",
								 scim_attr_path(m->type, attr, path, sizeof(path)));
	}
	return true;
}

/* ---- child rows ---- */

/*
 * A parameter text[] for each column of the child, or "single": text, one for
 * each value.  "stored": as the columns hold the values, for new rows; else as
 * they are read, to be compared.
 */
typedef struct ElementParams
{
	int		   *params;			/* by sub-attribute; 0: none */
	int			first;			/* of all */
	int			n;
	bool		single;			/* a column's parameters follow each other */
} ElementParams;

static int
add_params(ScimSql *sql, const char **column, int n, bool single)
{
	int			first = 0;

	if (!single)
		return scim_sql_text_array(sql, column, n);
	for (int i = 0; i < n; i++)
	{
		int			param = scim_sql_text(sql, column[i]);

		if (i == 0)
			first = param;
	}
	return first;
}

bool
scim_store_element_texts(const ScimMapping *m, const ScimChild *child, int sub, const json_t **elements, int n,
						 bool stored, const char **column)
{
	const ScimSource *src = &child->srcs[sub];
	const ScimAttr *leaf = child->subs[sub] ? child->subs[sub] : child->attr;
	bool		any = false;

	for (int i = 0; i < n; i++)
	{
		const json_t *value = child->subs[sub] ? json_object_get(elements[i], leaf->name) : elements[i];

		column[i] = stored ? scim_store_stored_text(m, leaf, src, value) :
			scim_store_time_text(leaf, src, scim_store_value_text(value));
		any = any || column[i] != NULL;
		/* an unspecified primary is false (RFC 7643 2.4) */
		if (column[i] == NULL && stored && src->not_null && src->cls == SCIM_SQL_BOOLEAN)
			column[i] = "false";
	}
	return any;
}

static void
element_params(ScimSql *sql, const ScimMapping *m, const ScimChild *child, const json_t **elements, int n,
			   bool stored, bool single, ElementParams *out)
{
	const char **column = palloc(sizeof(char *) * Max(n, 1));

	out->params = palloc0(sizeof(int) * Max(child->nsubs, 1));
	out->n = out->first = 0;
	out->single = single;
	for (int j = 0; j < child->nsubs; j++)
	{
		const ScimSource *src = &child->srcs[j];

		if (src->expr == NULL || (stored && src->column == NULL))
			continue;
		/* where no value is given, the column's default counts */
		if (!scim_store_element_texts(m, child, j, elements, n, stored, column) && stored && src->has_default)
			continue;
		out->params[j] = add_params(sql, column, n, single);
		if (out->first == 0)
			out->first = out->params[j];
		out->n++;
	}
	/* a row with nothing in it needs something to come from */
	if (out->n == 0 && !single)
	{
		out->first = scim_sql_text_array(sql, palloc0(sizeof(char *) * Max(n, 1)), n);
		out->n = 1;
	}
}

/* "ROWS FROM (unnest(..), ..) WITH ORDINALITY e(v0, v1, n)" */
static void
append_unnest(ScimSql *sql, const ElementParams *params)
{
	StringInfo	text = &sql->text;

	appendStringInfoString(text, "ROWS FROM (");
	for (int j = 0; j < params->n; j++)
		appendStringInfo(text, "%spg_catalog.unnest($%d)", j > 0 ? ", " : "", params->first + j);
	appendStringInfoString(text, ") WITH ORDINALITY e(");
	for (int j = 0; j < params->n; j++)
		appendStringInfo(text, "v%d, ", j);
	appendStringInfoString(text, "n)");
}

/* Columns of an INSERT, and the values of a row (or of all, over the rows of append_unnest). */
typedef struct InsertList
{
	StringInfoData columns;
	StringInfoData values;
} InsertList;

static void
add_insert(InsertList *list, const char *column, const char *value)
{
	const char *comma = list->columns.len > 0 ? ", " : "";

	appendStringInfo(&list->columns, "%s%s", comma, column);
	appendStringInfo(&list->values, "%s%s", comma, value);
}

/* Has an earlier sub-attribute this column, too? */
static bool
is_column_of_another(const ScimChild *child, const ElementParams *params, int j)
{
	for (int i = 0; i < j; i++)
		if (params->params[i] > 0 && strcmp(child->srcs[i].column, child->srcs[j].column) == 0)
			return true;
	return false;
}

/* What the row has for a sub-attribute, as text. */
static const char *
element_value(const ElementParams *params, int j, int row)
{
	return params->single ? psprintf("$%d", params->params[j] + row) : psprintf("e.v%d", params->params[j] - params->first);
}

static void
add_element_columns(InsertList *list, const ScimChild *child, const ElementParams *params, int row)
{
	for (int j = 0; j < child->nsubs; j++)
	{
		StringInfoData value;

		if (params->params[j] == 0 || is_column_of_another(child, params, j))
			continue;
		initStringInfo(&value);
		appendStringInfo(&value, "%s::%s", element_value(params, j, row), child->srcs[j].column_type);
		/* two sub-attributes of one column: the first that says something */
		for (int i = j + 1; i < child->nsubs; i++)
			if (params->params[i] > 0 && strcmp(child->srcs[i].column, child->srcs[j].column) == 0)
			{
				char	   *sofar = pstrdup(value.data);

				resetStringInfo(&value);
				appendStringInfo(&value, "coalesce(%s, %s::%s)", sofar, element_value(params, i, row), child->srcs[i].column_type);
			}
		add_insert(list, child->srcs[j].column, value.data);
	}
}

/* All columns of a row to insert; "key" and "scope" are parameters. */
static void
make_row(InsertList *list, const ScimMapping *m, const ScimChild *child, const ElementParams *params,
		 int key, int scope, int row)
{
	initStringInfo(&list->columns);
	initStringInfo(&list->values);
	for (int i = 0; i < m->key.n; i++)
		add_insert(list, child->parent.columns[i], scim_sql_key_part(m, i, key));
	for (int i = 0; i < m->nscope; i++)
		if (child->scope[i])
			add_insert(list, child->scope[i], scim_sql_cast(scope + i, m->scope_types[i]));
	for (int i = 0; i < child->nfixed; i++)
		add_insert(list, child->fixed_columns[i], psprintf("%s::%s", child->fixed_values[i], child->fixed_types[i]));
	for (int i = 0; i < child->ninserts; i++)
		add_insert(list, child->inserts[i].column, child->inserts[i].expr);
	if (child->order_is_given)
		add_insert(list, child->order,
				   psprintf("(SELECT coalesce(pg_catalog.max(c.%s), 0) FROM %s c WHERE %s OPERATOR(pg_catalog.=) %s) OPERATOR(pg_catalog.+) %s",
							child->order, child->relation, child->parent.row, scim_sql_key(m, key),
							params->single ? psprintf("%d", row + 1) : "e.n"));
	add_element_columns(list, child, params, row);
}

static void
insert_elements(const ScimEndpointType *target, const char *id, const ScimChild *child,
				const json_t **elements, int n)
{
	const ScimMapping *m = target->mapping;
	/* a plan over arrays takes more to set up than a few rows to insert */
	bool		single = n <= MAX_VALUES && child->ninserts == 0;
	ScimSql		sql;
	ElementParams params;
	InsertList	list;
	int			scope;
	int			key;

	if (n == 0)
		return;
	scim_sql_init(&sql);
	scope = scim_sql_scope_params(&sql, target);
	key = scim_sql_id(&sql, m, id);
	element_params(&sql, m, child, elements, n, true, single, &params);

	make_row(&list, m, child, &params, key, scope, 0);
	appendStringInfo(&sql.text, "INSERT INTO %s (%s)", child->relation, list.columns.data);
	if (single)
	{
		appendStringInfo(&sql.text, " VALUES (%s)", list.values.data);
		for (int i = 1; i < n; i++)
		{
			make_row(&list, m, child, &params, key, scope, i);
			appendStringInfo(&sql.text, ", (%s)", list.values.data);
		}
	}
	else
	{
		appendStringInfo(&sql.text, " SELECT %s FROM ", list.values.data);
		append_unnest(&sql, &params);
		if (child->ninserts > 0)
			appendStringInfo(&sql.text, " JOIN %s r ON %s", m->relation, scim_sql_is_id(m, key));
		appendStringInfoString(&sql.text, " ORDER BY e.n");
	}
	scim_sql_execute(m, &sql, SPI_OK_INSERT, false, 0);
}

static void
delete_elements(const ScimEndpointType *target, const char *id, const ScimChild *child,
				const json_t **elements, int n)
{
	const ScimMapping *m = target->mapping;
	ScimSql		sql;
	ElementParams params;
	int			scope;
	int			key;

	if (n == 0)
		return;
	scim_sql_init(&sql);
	scope = scim_sql_scope_params(&sql, target);
	key = scim_sql_id(&sql, m, id);
	element_params(&sql, m, child, elements, n, false, false, &params);

	appendStringInfo(&sql.text, "DELETE FROM %s c USING ", child->relation);
	append_unnest(&sql, &params);
	appendStringInfo(&sql.text, " WHERE %s OPERATOR(pg_catalog.=) %s", child->parent.row, scim_sql_key(m, key));
	scim_sql_child_scope(&sql, m, child, "c", scope);
	for (int j = 0; j < child->nsubs; j++)
		if (params.params[j] > 0)
			appendStringInfo(&sql.text, " AND %s::pg_catalog.text IS NOT DISTINCT FROM e.v%d::%s::pg_catalog.text",
							 child->srcs[j].expr, params.params[j] - params.first, child->srcs[j].type_name);
	scim_sql_execute(m, &sql, SPI_OK_DELETE, false, 0);
}

void
scim_store_clear_child(const ScimEndpointType *target, const char *id, const ScimChild *child)
{
	const ScimMapping *m = target->mapping;
	ScimSql		sql;
	int			scope;

	scim_sql_init(&sql);
	scope = scim_sql_scope_params(&sql, target);
	appendStringInfo(&sql.text, "DELETE FROM %s c WHERE %s OPERATOR(pg_catalog.=) %s", child->relation, child->parent.row,
					 scim_sql_key(m, scim_sql_id(&sql, m, id)));
	scim_sql_child_scope(&sql, m, child, "c", scope);
	scim_sql_execute(m, &sql, SPI_OK_DELETE, false, 0);
}

void
scim_store_delete_rows(const ScimEndpointType *target, const char *relation, const char *const *scope_columns,
					   const char *cleared, const ScimReference *columns, const char *id)
{
	const ScimMapping *m = target->mapping;
	ScimSql		sql;
	int			scope;

	scim_sql_init(&sql);
	scope = scim_sql_scope_params(&sql, target);
	if (cleared)
		appendStringInfo(&sql.text, "UPDATE %s c SET %s", relation, cleared);
	else
		appendStringInfo(&sql.text, "DELETE FROM %s c", relation);
	appendStringInfo(&sql.text, " WHERE %s OPERATOR(pg_catalog.=) %s", columns->row, scim_sql_key(m, scim_sql_id(&sql, m, id)));
	for (int i = 0; i < m->nscope; i++)
		if (scope_columns[i])
			appendStringInfo(&sql.text, " AND c.%s::pg_catalog.text OPERATOR(pg_catalog.=) $%d", scope_columns[i], scope + i);
	scim_sql_execute(m, &sql, cleared ? SPI_OK_UPDATE : SPI_OK_DELETE, false, 0);
}

/* The index of an element that has not been taken and is the same; -1: there is none. */
static int
find_equal(const ScimAttr *attr, const json_t *a, const ScimMultiSet *set, const bool *taken, ScimError *err)
{
	uint64_t	hash;
	int			i = scim_multi_find(set, a, &hash, err);

	if (i == -2)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	if (i < 0 || !taken[i])
		return i >= 0 && scim_value_same(attr, a, set->items[i]) ? i : -1;
	/* rows that plain SQL has written twice */
	for (int j = 0; j < set->nitems; j++)
		if (!taken[j] && scim_value_same(attr, a, set->items[j]))
			return j;
	return -1;
}

bool
scim_store_child_delete(const ScimEndpointType *target, const char *id, const ScimChild *child,
						const json_t *before, const json_t *after, ScimChildRows *fresh)
{
	const ScimMapping *m = target->mapping;
	const json_t **old;
	int			nold = scim_store_child_elements(m, child, before ? scim_store_multi(m->type, before, child->attr) : NULL, &old);
	int			nnew = scim_store_child_elements(m, child, scim_store_multi(m->type, after, child->attr), &fresh->elements);
	bool	   *stays = palloc0(sizeof(bool) * Max(nold, 1));
	ScimCoreFrame frame;
	ScimMultiSet set;
	ScimError	err;
	int			ngone = 0;

	fresh->child = child;
	fresh->n = 0;
	memset(&err, 0, sizeof(err));
	scim_core_enter(&frame);
	scim_multi_init(&set, child->attr, false);
	for (int i = 0; i < nold; i++)
	{
		uint64_t	hash;

		(void) scim_multi_find(&set, old[i], &hash, &err);
		if (!scim_multi_add(&set, old[i], hash, &err))
			ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	}
	for (int i = 0; i < nnew; i++)
	{
		int			j = nold > 0 ? find_equal(child->attr, fresh->elements[i], &set, stays, &err) : -1;

		if (j >= 0)
			stays[j] = true;
		else
			fresh->elements[fresh->n++] = fresh->elements[i];
	}
	scim_core_leave(&frame);
	for (int i = 0; i < nold; i++)
		if (!stays[i])
			old[ngone++] = old[i];
	delete_elements(target, id, child, old, ngone);
	return ngone > 0;
}

bool
scim_store_children_insert(const ScimChange *change, const char *id, ScimChildRows *fresh, int n)
{
	ScimChildRows *together = palloc(sizeof(ScimChildRows) * Max(n, 1));
	bool		any = false;

	for (int i = 0; i < n; i++)
	{
		int			ntogether = 0;

		if (fresh[i].n == 0)
			continue;
		any = true;
		/* those of the same table, which then are done */
		for (int j = i; j < n; j++)
			if (fresh[j].n > 0 && fresh[j].child->relid == fresh[i].child->relid)
				together[ntogether++] = fresh[j];
		if (!scim_store_insert_rows(change, id, together, ntogether))
			for (int j = 0; j < ntogether; j++)
				insert_elements(change->target, id, together[j].child, together[j].elements, together[j].n);
		for (int j = i + 1; j < n; j++)
			if (fresh[j].child->relid == fresh[i].child->relid)
				fresh[j].n = 0;
	}
	return any;
}
