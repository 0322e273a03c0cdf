/*
 * store_write.c
 *		Wanted states and differences -> the smallest set of statements.
 *
 * The parent row, rows beside it, child rows (store_child.c), links
 * (store_members.c).  What does not differ is not written.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "store_internal.h"
#include "../core/core_value.h"

/* ---- differences ---- */

/* The wanted value of a scalar attribute in a resource, or NULL. */
const json_t *
scim_change_scalar(const ScimResourceType *type, const json_t *resource, const ScimAttr *attr)
{
	const ScimAttr *top = attr->parent ? attr->parent : attr;
	const json_t *part = scim_resource_part(type, resource, top->ext);
	const json_t *value = part ? json_object_get(part, top->name) : NULL;

	if (value && attr->parent)
		value = json_object_get(value, attr->name);
	return value && json_is_null(value) ? NULL : value;
}

static bool
same_json(const ScimAttr *attr, const json_t *a, const json_t *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return scim_value_same(attr, a, b);
}

/* The same for values of one source: a column of times knows no zones. */
static bool
same_value(const ScimAttr *attr, const ScimSource *src, const json_t *a, const json_t *b)
{
	if (attr->type == SCIM_TYPE_DATETIME && json_is_string(a) && json_is_string(b))
		return strcmp(scim_store_time_text(attr, src, json_string_value(a)),
					  scim_store_time_text(attr, src, json_string_value(b))) == 0;
	return same_json(attr, a, b);
}

/* The value of a sub-attribute (NULL: the element itself) of a slot; a flag's is that there is an element. */
const json_t *
scim_change_slot_value(const ScimSlot *slot, int i, const json_t *element)
{
	if (slot->flag)
		return element ? json_true() : json_false();
	return slot->subs[i] ? json_object_get(element, slot->subs[i]->name) : element;
}

/* A new row has to be given what stands for null, where the column's default is another. */
static bool
is_due(const ScimColumns *list, const ScimSource *src)
{
	return !list->update && src->side == NULL && src->null_text && !src->has_default;
}

/*
 * Does a singular attribute that has a value live in the same column?  What is
 * missing then takes nothing away.
 */
static bool
is_held_by_scalar(const ScimChange *change, const ScimSource *src)
{
	const ScimMapping *m = change->target->mapping;

	for (int i = 0; src->column && src->json_path == NULL && i < m->nscalars; i++)
	{
		const ScimSource *other = &m->scalars[i].src;

		if (other == src || other->side != src->side || scim_change_scalar(m->type, change->after, m->scalars[i].attr) == NULL)
			continue;
		if (other->column && other->json_path == NULL && strcmp(other->column, src->column) == 0)
			return true;
		/* of a row that comes back all is written */
		for (int j = 0; change->all && j < other->nwrites; j++)
			if (strcmp(other->writes[j].column, src->column) == 0)
				return true;
	}
	return false;
}

/*
 * A value that becomes another, in all places of one row that it goes to.
 * "due": it is set in any case.
 */
static void
change_places(ScimColumns *list, const ScimChange *change, const ScimSide *side, const ScimAttr *attr, const ScimSource *src,
			  bool due, bool same, const json_t *new_value)
{
	if (src->side == side && scim_source_writable(src) && (due || is_due(list, src) || change->all || !same) &&
		!(new_value == NULL && is_held_by_scalar(change, src)))
		scim_columns_set(list, change->target, attr, src, new_value);
	for (int i = 0; i < src->ncopies; i++)
		if (src->copies[i].side == side && (change->all || !same))
			scim_columns_set(list, change->target, attr, &src->copies[i], new_value);
}

/* Columns of scalars and slots that differ, of the parent row or of the row beside it. */
void
scim_change_columns(ScimColumns *list, const ScimChange *change, const ScimSide *side)
{
	const ScimMapping *m = change->target->mapping;
	const ScimResourceType *type = m->type;

	for (int i = 0; i < m->nscalars; i++)
	{
		const ScimScalar *scalar = &m->scalars[i];
		const json_t *new_value = scim_change_scalar(type, change->after, scalar->attr);
		const json_t *old_value = change->before ? scim_change_scalar(type, change->before, scalar->attr) : NULL;

		if (new_value == NULL && (!list->update || change->all))
			new_value = scalar->src.initial;
		if (scalar->attr->mutability != SCIM_READ_ONLY)
			change_places(list, change, side, scalar->attr, &scalar->src, false,
						  same_value(scalar->attr, &scalar->src, old_value, new_value), new_value);
	}
	for (int i = 0; i < m->nslots; i++)
	{
		const ScimSlot *slot = &m->slots[i];
		const json_t *new_element = scim_store_slot_element(m, slot, scim_store_multi(type, change->after, slot->attr));
		const json_t *old_element = change->before ?
			scim_store_slot_element(m, slot, scim_store_multi(type, change->before, slot->attr)) : NULL;

		for (int j = 0; j < slot->nsubs; j++)
		{
			const ScimAttr *leaf = slot->subs[j] ? slot->subs[j] : slot->attr;
			const json_t *new_value = scim_change_slot_value(slot, j, new_element);
			const json_t *old_value = scim_change_slot_value(slot, j, old_element);

			/* a flag is stored as false, too */
			change_places(list, change, side, leaf, &slot->srcs[j], slot->flag && !list->update,
						  slot->flag ? new_value == old_value : same_value(leaf, &slot->srcs[j], old_value, new_value), new_value);
		}
	}
}

/* Columns that hold all values of an attribute. */
static void
add_inline_columns(ScimColumns *list, const ScimChange *change)
{
	const ScimMapping *m = change->target->mapping;

	for (int i = 0; i < m->nchildren; i++)
	{
		const ScimChild *child = &m->children[i];
		const json_t *old_array;
		const json_t *new_array;
		const json_t **elements;
		int			n;

		if (child->kind != SCIM_CHILD_INLINE || child->store.column == NULL)
			continue;
		old_array = change->before ? scim_store_multi(m->type, change->before, child->attr) : NULL;
		new_array = scim_store_multi(m->type, change->after, child->attr);
		if (!change->all && same_json(child->attr, old_array, new_array))
			continue;
		n = scim_store_child_elements(m, child, new_array, &elements);
		scim_columns_set_inline(list, m, child, elements, n);
	}
}

/* ---- child relations ---- */

static bool
is_link(const ScimMapping *m, const ScimAttr *attr)
{
	for (int i = 0; i < m->nchildren; i++)
		if (m->children[i].attr == attr && m->children[i].kind == SCIM_CHILD_LINK)
			return true;
	return false;
}

/*
 * All child relations: values by difference, links as sets.  "skip" is the
 * attribute that a delta takes care of; what "known" (NULL: all is) leaves out
 * stays as it is.
 */
static bool
update_children(const ScimChange *change, const char *id, const ScimSelection *known, const ScimAttr *skip,
				bool *changed, ScimError *err)
{
	const ScimEndpointType *target = change->target;
	const ScimMapping *m = target->mapping;
	ScimChildRows *fresh = palloc(sizeof(ScimChildRows) * Max(m->nchildren, 1));
	int			nfresh = 0;

	for (int i = 0; i < m->type->ntop; i++)
	{
		ScimAttr   *attr = m->type->top[i];

		if (!attr->multi || attr == skip || !is_link(m, attr) || (known && !known->has[attr->ord]))
			continue;
		*changed = scim_store_replace_links(target, id, attr, change->before || change->all,
											scim_store_multi(m->type, change->after, attr), err) || *changed;
		if (err->status)
			return false;
	}
	for (int i = 0; i < m->nchildren; i++)
	{
		if (m->children[i].kind != SCIM_CHILD_VALUES)
			continue;
		if (change->all)
			scim_store_clear_child(target, id, &m->children[i]);
		*changed = scim_store_child_delete(target, id, &m->children[i], change->before, change->after, &fresh[nfresh++]) || *changed;
	}
	*changed = scim_store_children_insert(change, id, fresh, nfresh) || *changed;
	return true;
}

/* ---- the parent row ---- */

/* A column that may be set to what it is; NULL: there is none. */
static const char *
own_column(const ScimMapping *m)
{
	const char *column = m->key.parts[0].column;

	for (int i = 0; column == NULL && i < m->nscope; i++)
		column = m->scope_columns[i];
	for (int i = 0; column == NULL && i < m->nscalars; i++)
		column = m->scalars[i].src.side ? NULL : m->scalars[i].src.column;
	for (int i = 0; column == NULL && i < m->nslots; i++)
		for (int j = 0; column == NULL && j < m->slots[i].nsubs; j++)
			column = m->slots[i].srcs[j].side ? NULL : m->slots[i].srcs[j].column;
	return column;
}

/* What every change of a row sets besides. */
static void
add_touches(ScimColumns *list, const ScimMapping *m)
{
	if (m->last_modified && m->last_modified->column)
		scim_columns_add_known(list, m->last_modified->column, m->last_modified->attnum, scim_store_now_sql(m->last_modified), SCIM_COLUMN_NOW, NULL);
	if (m->version && m->version->column)
		scim_columns_add_known(list, m->version->column, m->version->attnum, psprintf("%s OPERATOR(pg_catalog.+) 1", m->version->expr), SCIM_COLUMN_NEXT, NULL);
	scim_columns_settings(list, m->touches, m->ntouches);
}

/* Who may not change resources, whatever the request. */
static void
require_ability(const ScimMapping *m, bool able, const char *what)
{
	if (!able)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a %s can't be %s here", m->type->name, what)));
}

/* "... WHERE scope AND key = id": the resource's row. */
static void
append_where_key(ScimSql *sql, const ScimMapping *m, const char *id, int scope)
{
	appendStringInfoString(&sql->text, " WHERE ");
	scim_sql_scope(sql, m, "r", scope);
	appendStringInfo(&sql->text, " AND %s", scim_sql_is_id(m, scim_sql_id(sql, m, id)));
}

/* Write the parent row, of which something has changed: version and time, too. */
static void
update_parent(const ScimChange *change, const char *id, ScimSql *sql, ScimColumns *list, int scope)
{
	const ScimMapping *m = change->target->mapping;

	add_touches(list, m);
	scim_state_write(change, id);
	if (list->n == 0 && m->state)
		return;
	/* no column tells of changes in child rows: rewriting the row moves its version */
	if (list->n == 0)
	{
		const char *column = own_column(m);

		if (column == NULL)
			return;
		scim_columns_add(list, column, psprintf("r.%s", column));
	}
	if (scim_store_update_row(change->target, id, list))
		return;
	appendStringInfo(&sql->text, "UPDATE %s r SET ", m->relation);
	scim_columns_append_set(list);
	append_where_key(sql, m, id, scope);
	scim_sql_execute(m, sql, SPI_OK_UPDATE, false, 0);
}

void
scim_store_no_key(const ScimMapping *m)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("the relation of mapping \"%s\" gives a new row no key", m->name)));
}

static char *
returned_key(const ScimMapping *m)
{
	char	   *id;

	if (SPI_processed != 1)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("the mapped relation did not take the row")));
	id = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	if (id == NULL)
		scim_store_no_key(m);
	return id;
}

/* A column of a new row that neither a client nor a default gives. */
static void
add_missing(ScimColumns *list, const ScimSource *src, const char *value)
{
	if (src && src->column && !src->has_default)
		scim_columns_add(list, src->column, value);
}

/* What a resource of the built-in store that comes back has from before. */
static void
add_revival(ScimColumns *list, const ScimMapping *m, const ScimRevival *revival)
{
	scim_columns_add(list, m->key.id.column, scim_sql_cast(scim_sql_text(list->sql, revival->id), m->key.id.type_name));
	scim_columns_add(list, m->created->column, scim_sql_cast(scim_sql_text(list->sql, revival->created), m->created->type_name));
	scim_columns_add(list, m->version->column, scim_sql_cast(scim_sql_text(list->sql, revival->version), m->version->type_name));
}

static char *
insert_parent(ScimChange *change, const ScimRevival *revival)
{
	const ScimMapping *m = change->target->mapping;
	ScimSql		sql;
	ScimColumns list;
	char	   *id;
	int			scope;
	bool		others;

	scim_sql_init(&sql);
	scim_columns_init(&list, &sql, false);
	scope = scim_sql_scope_params(&sql, change->target);
	for (int i = 0; i < m->nscope; i++)
		if (m->scope_columns[i])
			scim_columns_add_known(&list, m->scope_columns[i], m->scope_attnums[i], scim_sql_cast(scope + i, m->scope_types[i]),
								   SCIM_COLUMN_TEXT, change->target->scope[i]);
	if (revival)
		add_revival(&list, m, revival);
	scim_change_columns(&list, change, NULL);
	add_inline_columns(&list, change);
	scim_columns_settings(&list, m->inserts, m->ninserts);
	add_missing(&list, m->created, m->created ? scim_store_now_sql(m->created) : NULL);
	add_missing(&list, m->last_modified, m->last_modified ? scim_store_now_sql(m->last_modified) : NULL);
	add_missing(&list, m->version, "1");
	for (int i = 0; i < m->nsides; i++)
		if (scim_side_is_made_first(change, &m->sides[i]))
			scim_columns_add(&list, m->sides[i].by, scim_sql_cast(scim_sql_text(&sql, scim_side_insert_named(change, &m->sides[i])), m->sides[i].by_type));
	id = scim_store_insert_row(change->target, &list, &others, &change->version);
	/* in tables of others, expressions of indexes and constraints are their code */
	change->fresh = id != NULL && m->builtin && !others;
	if (id)
		return id;
	scim_columns_append_insert(&list, m->relation);
	appendStringInfo(&sql.text, " RETURNING %s::pg_catalog.text", m->key.id.expr);
	/* no limit on rows: stopping early would leave out AFTER STATEMENT triggers */
	scim_sql_execute(m, &sql, SPI_OK_INSERT_RETURNING, false, 0);
	return returned_key(m);
}

/* ---- rows that are there already ---- */

static const ScimSource *
source_of(const ScimMapping *m, const ScimAttr *attr)
{
	return &m->scalars[scim_store_state(m)->scalar_of[attr->ord]].src;
}

/* "column = value", as the mapping compares them, for the value of "attr" in the wanted state. */
static bool
append_same_value(ScimSql *sql, const ScimChange *change, const ScimAttr *attr)
{
	const ScimMapping *m = change->target->mapping;
	const ScimSource *src = source_of(m, attr);
	const json_t *value = scim_change_scalar(m->type, change->after, attr);
	const char *text = value ? scim_store_stored_text(m, attr, src, value) : NULL;
	const char *column = src->raw ? src->raw : src->expr;

	if (text == NULL)
		return false;
	if (src->fold)
		appendStringInfo(&sql->text, "%s OPERATOR(pg_catalog.=) %s($%d)", src->folded ? src->folded : psprintf("%s(%s)", src->fold, column),
						 src->fold, scim_sql_text(sql, text));
	else if (src->cls == SCIM_SQL_TEXT && !attr->case_exact && src->ncodes == 0)
		appendStringInfo(&sql->text, "scim.fold(%s::pg_catalog.text) COLLATE \"C\" OPERATOR(pg_catalog.=) scim.fold($%d)", column, scim_sql_text(sql, text));
	else
		appendStringInfo(&sql->text, "%s OPERATOR(pg_catalog.=) $%d::%s", column, scim_sql_text(sql, text), src->column_type);
	return true;
}

/*
 * Is a name taken that is to be unique, and that no index guards?  (Two
 * requests at one time can still both have it: scim.check_mapping says so.)
 */
static bool
check_unique(const ScimChange *change, const char *id, ScimError *err)
{
	const ScimMapping *m = change->target->mapping;
	char		path[256];

	for (int i = 0; i < m->nscalars; i++)
	{
		const ScimAttr *attr = m->scalars[i].attr;
		ScimSql		sql;
		int			scope;

		if (!m->scalars[i].unguarded ||
			(change->before && same_json(attr, scim_change_scalar(m->type, change->before, attr), scim_change_scalar(m->type, change->after, attr))))
			continue;
		scim_sql_init(&sql);
		scope = scim_sql_scope_params(&sql, change->target);
		appendStringInfo(&sql.text, "SELECT 1 FROM %s r WHERE ", m->relation);
		scim_sql_scope(&sql, m, "r", scope);
		appendStringInfoString(&sql.text, " AND ");
		if (!append_same_value(&sql, change, attr))
			continue;
		if (id)
			appendStringInfo(&sql.text, " AND (%s) IS NOT TRUE", scim_sql_is_id(m, scim_sql_id(&sql, m, id)));
		scim_sql_execute(m, &sql, SPI_OK_SELECT, false, 1);
		if (SPI_processed > 0)
			return scim_fail(err, 409, SCIM_UNIQUENESS, "%s is taken", scim_attr_path(m->type, attr, path, sizeof(path)));
	}
	return true;
}

/*
 * What a row is known by does not change.  (Core has seen to attributes that
 * are immutable as a whole; a slot may have one value in a column of the key.)
 */
static bool
check_key(const ScimChange *change, ScimError *err)
{
	const ScimMapping *m = change->target->mapping;
	char		path[256];

	for (int i = 0; i < m->nslots; i++)
	{
		const ScimSlot *slot = &m->slots[i];
		const json_t *before = scim_store_slot_element(m, slot, scim_store_multi(m->type, change->before, slot->attr));
		const json_t *after = scim_store_slot_element(m, slot, scim_store_multi(m->type, change->after, slot->attr));

		for (int j = 0; j < slot->nsubs; j++)
			if (slot->srcs[j].side == NULL && scim_source_writable(&slot->srcs[j]) && scim_key_is_written(&m->key, &slot->srcs[j]) &&
				!same_value(slot->subs[j] ? slot->subs[j] : slot->attr, &slot->srcs[j],
							scim_change_slot_value(slot, j, before), scim_change_slot_value(slot, j, after)))
				return scim_fail(err, 400, SCIM_MUTABILITY, "%s is part of the id and does not change",
								 scim_attr_path(m->type, slot->attr, path, sizeof(path)));
	}
	for (int i = 0; i < m->nchildren; i++)
	{
		const ScimChild *child = &m->children[i];

		if (child->kind == SCIM_CHILD_INLINE && scim_key_has_column(&m->key, child->store.attnum) &&
			!same_json(child->attr, scim_store_multi(m->type, change->before, child->attr), scim_store_multi(m->type, change->after, child->attr)))
			return scim_fail(err, 400, SCIM_MUTABILITY, "%s is part of the id and does not change",
							 scim_attr_path(m->type, child->attr, path, sizeof(path)));
	}
	return true;
}

/* A row that was marked as deleted and has this value becomes the resource; NULL: there is none. */
static char *
revive(ScimChange *change)
{
	const ScimMapping *m = change->target->mapping;
	ScimSql		sql;
	ScimColumns list;
	int			scope;

	if (m->revive_by == NULL)
		return NULL;
	scim_sql_init(&sql);
	scim_columns_init(&list, &sql, true);
	scope = scim_sql_scope_params(&sql, change->target);
	change->all = true;
	scim_columns_settings(&list, m->revives, m->nrevives);
	scim_change_columns(&list, change, NULL);
	add_inline_columns(&list, change);
	add_touches(&list, m);
	appendStringInfo(&sql.text, "UPDATE %s r SET ", m->relation);
	scim_columns_append_set(&list);
	appendStringInfoString(&sql.text, " WHERE ");
	scim_sql_tenant(&sql, m, "r", scope);
	/* marked, and not one that the filter leaves out for another reason */
	appendStringInfo(&sql.text, " AND (%s) IS NOT TRUE AND %s AND ", m->filter, m->revived);
	if (append_same_value(&sql, change, m->revive_by))
	{
		appendStringInfo(&sql.text, " RETURNING %s::pg_catalog.text", m->key.id.expr);
		scim_sql_execute(m, &sql, SPI_OK_UPDATE_RETURNING, false, 0);
		if (SPI_processed > 0)
			return returned_key(m);
	}
	change->all = false;
	return NULL;
}

/*
 * A row of another scope that has this value becomes a resource of this one,
 * too; NULL: there is none.  What the client does not say stays.
 */
static char *
adopt(const ScimChange *change)
{
	const ScimMapping *m = change->target->mapping;
	ScimSql		sql;
	ScimColumns list;
	char	   *id;
	int			scope;

	if (m->adopt_by == NULL)
		return NULL;
	scim_sql_init(&sql);
	scope = scim_sql_scope_params(&sql, change->target);
	appendStringInfo(&sql.text, "SELECT %s::pg_catalog.text, ", m->key.id.expr);
	scim_sql_tenant(&sql, m, "r", scope);
	appendStringInfo(&sql.text, " FROM %s r WHERE ", m->relation);
	if (!append_same_value(&sql, change, m->adopt_by))
		return NULL;
	if (m->filter)
		appendStringInfo(&sql.text, " AND %s", m->filter);
	scim_sql_execute(m, &sql, SPI_OK_SELECT, false, 0);
	if (SPI_processed == 0)
		return NULL;
	id = returned_key(m);
	/* the resource of this scope: the insert says what is taken */
	if (strcmp(SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2), "t") == 0)
		return NULL;

	scim_sql_init(&sql);
	scim_columns_init(&list, &sql, true);
	(void) scim_sql_scope_params(&sql, change->target);
	scim_change_columns(&list, change, NULL);
	add_inline_columns(&list, change);
	add_touches(&list, m);
	appendStringInfo(&sql.text, "UPDATE %s r SET ", m->relation);
	scim_columns_append_set(&list);
	appendStringInfo(&sql.text, " WHERE %s", scim_sql_is_id(m, scim_sql_id(&sql, m, id)));
	scim_sql_execute(m, &sql, SPI_OK_UPDATE, false, 0);
	return id;
}

/* ---- the store's functions ---- */

char *
scim_store_insert(const ScimEndpointType *target, const json_t *wanted, const ScimRevival *revival, ScimHead *head, ScimError *err)
{
	const ScimMapping *m = target->mapping;
	ScimChange		change = {.target = target, .after = wanted};
	uint64		executed;
	char	   *id;
	ScimRevival namesake;
	bool		changed = false;
	bool		made = false;

	require_ability(m, m->insertable, "created");
	if (!scim_store_check_places(target, wanted, err) || !check_unique(&change, NULL, err))
		return NULL;
	if (revival == NULL && scim_store_take_namesake(target, wanted, &namesake))
		revival = &namesake;
	id = revive(&change);
	if (id == NULL)
		id = adopt(&change);
	if (id == NULL)
	{
		id = insert_parent(&change, revival);
		made = true;
	}
	executed = scim_sql_executed();
	scim_side_update(&change, id, made);
	scim_side_insert_membership(target, id);
	scim_side_insert_besides(target, id);
	update_children(&change, id, NULL, NULL, &changed, err);
	if (err->status)
		return NULL;
	/* the last of all: what triggers make of the others is part of it */
	scim_state_write(&change, id);
	/* no statement, so no code but scim's, could have changed the row again */
	if (head && change.fresh && change.version && scim_sql_executed() == executed)
	{
		head->id = id;
		head->version = scim_store_version_of(change.version);
		head->location = scim_store_location(target, scim_endpoint_base_url(target->endpoint), id);
	}
	return id;
}

bool
scim_store_takes_part(const ScimEndpointType *target)
{
	return target->mapping->nsides == (target->mapping->state ? 1 : 0);
}

bool
scim_store_update(const ScimEndpointType *target, const char *id,
				  const ScimSelection *known, const json_t *before, const json_t *after,
				  ScimAttr *delta_attr, const ScimDelta *delta,
				  bool *changed, ScimError *err)
{
	ScimChange		change = {.target = target, .before = before, .after = after};
	ScimSql		sql;
	ScimColumns list;
	int			scope;

	*changed = false;
	require_ability(target->mapping, target->mapping->updatable, "changed");
	if (!scim_store_check_places(target, after, err) || !check_key(&change, err) || !check_unique(&change, id, err))
		return false;
	if (delta && delta->any)
		*changed = scim_store_apply_delta(target, id, delta_attr, delta, err);
	if (err->status == 0)
		update_children(&change, id, known, delta_attr, changed, err);
	if (err->status == 0)
	{
		*changed = scim_side_update(&change, id, false) || *changed;
		scim_sql_init(&sql);
		scim_columns_init(&list, &sql, true);
		scope = scim_sql_scope_params(&sql, target);
		scim_change_columns(&list, &change, NULL);
		add_inline_columns(&list, &change);
		if (list.n > 0 || scim_state_changes(&change))
			*changed = true;
		if (*changed)
			update_parent(&change, id, &sql, &list, scope);
	}
	return err->status == 0;
}

/*
 * Whatever refers to a resource that is about to go changes with it: its
 * version moves (RFC 7643 3.1).  Rows are locked in the order of their keys,
 * so that two deletions do not wait for each other.
 */
static void
touch_referrers(const ScimEndpointType *target, const char *id, const ScimChild *link)
{
	const ScimMapping *holder = target->mapping;
	const ScimKey *key = &holder->key;
	ScimSql		sql;
	ScimColumns list;
	int			scope;

	scim_sql_init(&sql);
	scim_columns_init(&list, &sql, true);
	scope = scim_sql_scope_params(&sql, target);
	add_touches(&list, holder);
	if (list.n == 0 && holder->state == NULL)
		return;
	appendStringInfo(&sql.text, "WITH holder(%s, id) AS MATERIALIZED (SELECT ", scim_sql_key_list("k", key->n));
	for (int i = 0; i < key->n; i++)
		appendStringInfo(&sql.text, "%s, ", key->parts[i].expr);
	appendStringInfo(&sql.text, "%s::pg_catalog.text FROM %s r WHERE ", key->id.expr, holder->relation);
	scim_sql_scope(&sql, holder, "r", scope);
	appendStringInfo(&sql.text, " AND %s OPERATOR(pg_catalog.=) ANY (SELECT %s FROM %s c WHERE %s",
					 key->row, scim_sql_columns(&link->parent, "c"), link->relation,
					 scim_sql_refers(link->target, &link->refs, scim_sql_id(&sql, link->target, id)));
	scim_sql_child_scope(&sql, holder, link, "c", scope);
	appendStringInfoString(&sql.text, ") ORDER BY ");
	for (int i = 0; i < key->n; i++)
		appendStringInfo(&sql.text, "%s%d", i > 0 ? ", " : "", i + 1);
	appendStringInfoString(&sql.text, " FOR NO KEY UPDATE OF r)");
	if (list.n > 0)
	{
		appendStringInfo(&sql.text, ", touched AS (UPDATE %s r SET ", holder->relation);
		scim_columns_append_set(&list);
		appendStringInfo(&sql.text, " FROM holder WHERE %s OPERATOR(pg_catalog.=) %s AND ", key->row, scim_sql_key_row("holder.k", key->n));
		scim_sql_scope(&sql, holder, "r", scope);
		appendStringInfoChar(&sql.text, ')');
	}
	appendStringInfoString(&sql.text, " SELECT pg_catalog.array_agg(h.id) FROM holder h");
	scim_sql_execute(holder, &sql, SPI_OK_SELECT, false, 0);
	if (holder->state)
	{
		bool		isnull;
		Datum		keys = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);

		if (!isnull)
			scim_state_change(target, holder, keys);
	}
}

/*
 * Rows of other relations that name the resource, where no foreign key takes
 * them away: all, also those that its attributes leave out.
 */
static void
delete_dependents(const ScimEndpointType *target, const char *id)
{
	const ScimMapping *m = target->mapping;

	for (int i = 0; i < m->nchildren; i++)
	{
		const ScimChild *child = &m->children[i];

		if (child->kind == SCIM_CHILD_GROUPS)
			scim_store_delete_rows(target, child->user_link->relation, child->user_link->scope, child->user_link->by_column ? scim_store_removal(child->user_link) : NULL, &child->user_link->refs, id);
		else if (child->kind != SCIM_CHILD_INLINE)
		{
			scim_store_delete_rows(target, child->relation, child->scope, child->by_column ? scim_store_removal(child) : NULL, &child->parent, id);
			if (child->kind == SCIM_CHILD_LINK && child->target == m && !child->by_column)
				scim_store_delete_rows(target, child->relation, child->scope, NULL, &child->refs, id);
		}
	}
	for (int i = 0; i < m->nbesides; i++)
		scim_store_delete_rows(target, m->besides[i].relation, m->besides[i].scope, NULL, &m->besides[i].parent, id);
	for (int i = 0; i < m->nsides; i++)
		if (&m->sides[i] != m->state && m->sides[i].by == NULL)
			scim_store_delete_rows(target, m->sides[i].relation, m->sides[i].scope, NULL, &m->sides[i].parent, id);
}

bool
scim_store_delete(const ScimEndpointType *target, const char *id)
{
	const ScimMapping *m = target->mapping;
	bool		cascade = m->delete_policy == SCIM_DELETE_CASCADE && !m->membership;
	const char **named = palloc0(sizeof(char *) * Max(m->nsides, 1));
	ScimSql		sql;
	char	   *kept = NULL;
	int			scope;
	bool		found;

	if (!scim_key_id_valid(&m->key, id))
		return false;
	if (scim_store_keeps_deleted(target))
		kept = scim_store_read_deleted(target, id);
	require_ability(m, m->delete_policy == SCIM_DELETE_MARK ? m->updatable : m->delete_policy != SCIM_DELETE_REFUSE && m->deletable, "deleted");
	for (int i = 0; i < target->endpoint->ntypes; i++)
	{
		const ScimEndpointType *holder = &target->endpoint->types[i];

		for (int j = 0; j < holder->mapping->nchildren; j++)
			if (holder->mapping->children[j].kind == SCIM_CHILD_LINK && holder->mapping->children[j].target == m)
				touch_referrers(holder, id, &holder->mapping->children[j]);
	}
	for (int i = 0; cascade && i < m->nsides; i++)
		if (m->sides[i].by)
			named[i] = scim_side_named(target, &m->sides[i], id);
	if (cascade)
		delete_dependents(target, id);
	scim_state_delete(target, id);
	scim_sql_init(&sql);
	scope = scim_sql_scope_params(&sql, target);
	if (m->membership)
	{
		/* the resource may be one of other scopes, too */
		appendStringInfo(&sql.text, "DELETE FROM %s c WHERE ", m->membership->relation);
		scim_side_append(&sql, m, m->membership, scim_sql_id(&sql, m, id), scope);
		scim_sql_execute(m, &sql, SPI_OK_DELETE, false, 0);
	}
	else if (m->delete_policy == SCIM_DELETE_MARK)
	{
		ScimColumns list;

		scim_columns_init(&list, &sql, true);
		scim_columns_settings(&list, m->marks, m->nmarks);
		add_touches(&list, m);
		appendStringInfo(&sql.text, "UPDATE %s r SET ", m->relation);
		scim_columns_append_set(&list);
		append_where_key(&sql, m, id, scope);
		scim_sql_execute(m, &sql, SPI_OK_UPDATE, false, 0);
	}
	else
	{
		appendStringInfo(&sql.text, "DELETE FROM %s r", m->relation);
		append_where_key(&sql, m, id, scope);
		scim_sql_execute(m, &sql, SPI_OK_DELETE, false, 0);
	}
	found = SPI_processed > 0;
	/* what the row named can go when it has gone */
	for (int i = 0; found && i < m->nsides; i++)
		if (named[i])
			scim_side_delete_named(target, &m->sides[i], named[i]);
	if (found && kept)
		scim_store_keep_deleted(target, id, kept);
	return found;
}
