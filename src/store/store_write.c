/*
 * store_write.c
 *		Wanted states and differences -> the smallest set of statements.
 *
 * A value goes to its column as a parameter of type text that the statement
 * casts.  Values of a child relation are set-based: one DELETE for those that
 * are gone, one INSERT for those that are new, and the rows of those that stay
 * are not touched.  Deletes come first, because a unique index on the child
 * (one primary of a user) holds at every statement.
 */
#include "postgres.h"

#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#include "store_internal.h"
#include "../core/core_value.h"

/* Up to so many rows are inserted as VALUES, a plan for each number. */
#define MAX_VALUES 3

bool		scim_store_writing = false;

void
scim_store_reset(void)
{
	scim_store_writing = false;
}

json_t *
scim_store_json_string(const char *text)
{
	ScimCoreFrame frame;
	json_t	   *value;

	scim_core_enter(&frame);
	value = json_string(text);
	scim_core_leave(&frame);
	if (value == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	return value;
}

/* ---- JSON values as parameters ---- */

/* Text of a single JSON value for a cast to its column; NULL: unassigned. */
static const char *
value_text(const json_t *value)
{
	size_t		len;
	char	   *text;

	if (value == NULL || json_is_null(value))
		return NULL;
	if (json_is_string(value))
		return json_string_value(value);
	if (json_is_boolean(value))
		return json_is_true(value) ? "true" : "false";
	text = scim_json_print(value, &len);
	if (text == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	return text;
}

/* The wanted value of a scalar attribute in a resource, or NULL. */
static const json_t *
scalar_json(const ScimResourceType *type, const json_t *resource, const ScimAttr *attr)
{
	const ScimAttr *top = attr->parent ? attr->parent : attr;
	const json_t *part = scim_resource_part(type, resource, top->ext);
	const json_t *value = part ? json_object_get(part, top->name) : NULL;

	if (value && attr->parent)
		value = json_object_get(value, attr->name);
	return value && json_is_null(value) ? NULL : value;
}

/* The array of a multi-valued attribute, or NULL. */
static const json_t *
multi_json(const ScimResourceType *type, const json_t *resource, const ScimAttr *attr)
{
	const json_t *part = scim_resource_part(type, resource, attr->ext);
	const json_t *value = part ? json_object_get(part, attr->name) : NULL;

	return value && json_is_array(value) && json_array_size(value) > 0 ? value : NULL;
}

static bool
same_json(const ScimAttr *attr, const json_t *a, const json_t *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return scim_value_same(attr, a, b);
}

/*
 * Does a value fit varchar(n)?  The server's own error would not say which
 * attribute it is about.
 */
static void
check_length(const ScimMapping *m, const ScimAttr *attr, const ScimSource *src, const char *text)
{
	char		path[256];

	if (src->max_length == 0 || text == NULL || pg_mbstrlen(text) <= src->max_length)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_STRING_DATA_RIGHT_TRUNCATION),
			 errmsg("%s: the value is longer than %d characters",
					scim_attr_path(m->type, attr, path, sizeof(path)), src->max_length)));
}

/*
 * A dateTime without a zone is UTC (core_value.h), and so is a column without
 * one: no cast of the server's has to guess.
 */
static const char *
time_in_utc(const ScimAttr *attr, const ScimSource *src, const char *text)
{
	int64_t		usec;
	char	   *buf;

	if (text == NULL || attr->type != SCIM_TYPE_DATETIME || src->cls == SCIM_SQL_TEXT ||
		!scim_datetime_parse(text, strlen(text), &usec))
		return text;
	buf = palloc(SCIM_DATETIME_SIZE);
	scim_datetime_print(usec, buf);
	return buf;
}

/* "$n::type", or "NOT $n::type" for a column that holds the opposite. */
static char *
parameter_sql(ScimSql *sql, const ScimMapping *m, const ScimAttr *attr, const ScimSource *src, const char *text)
{
	check_length(m, attr, src, text);
	text = time_in_utc(attr, src, text);
	return psprintf("%s$%d::%s", src->negated ? "NOT " : "", scim_sql_text(sql, text), src->type_name);
}

/* ---- slots ---- */

/*
 * The element of an array that a slot holds: the first whose fixed
 * sub-attributes are the slot's constants.
 */
static const json_t *
slot_element(const ScimSlot *slot, const json_t *array)
{
	size_t		n = array ? json_array_size(array) : 0;

	for (size_t i = 0; i < n; i++)
	{
		const json_t *element = json_array_get(array, i);
		bool		fits = true;

		for (int j = 0; fits && j < slot->nsubs; j++)
		{
			const char *text;

			if (slot->srcs[j].expr)
				continue;
			text = value_text(json_object_get(element, slot->subs[j]->name));
			fits = text != NULL && pg_strcasecmp(text, slot->srcs[j].constant) == 0;
		}
		if (fits)
			return element;
	}
	return NULL;
}

/* ---- the parent row ---- */

/* Collects "column = value" of one statement. */
typedef struct ColumnList
{
	ScimSql    *sql;
	StringInfoData columns;
	StringInfoData values;
	int			n;
	bool		pairs;			/* UPDATE: "column = value" in columns */
} ColumnList;

static void
add_column(ColumnList *list, const char *column, const char *value)
{
	const char *comma = list->n > 0 ? ", " : "";

	if (list->pairs)
		appendStringInfo(&list->columns, "%s%s = %s", comma, column, value);
	else
	{
		appendStringInfo(&list->columns, "%s%s", comma, column);
		appendStringInfo(&list->values, "%s%s", comma, value);
	}
	list->n++;
}

static void
init_columns(ColumnList *list, ScimSql *sql, bool pairs)
{
	list->sql = sql;
	initStringInfo(&list->columns);
	initStringInfo(&list->values);
	list->n = 0;
	list->pairs = pairs;
}

/* Columns of scalars and slots that differ between two states. */
static void
add_changed_columns(ColumnList *list, const ScimMapping *m, const json_t *before, const json_t *after)
{
	const ScimResourceType *type = m->type;

	for (int i = 0; i < m->nscalars; i++)
	{
		const ScimScalar *scalar = &m->scalars[i];
		const json_t *new_value = scalar_json(type, after, scalar->attr);
		const json_t *old_value = before ? scalar_json(type, before, scalar->attr) : NULL;

		if (scalar->src.column == NULL || scalar->attr->mutability == SCIM_READ_ONLY ||
			same_json(scalar->attr, old_value, new_value))
			continue;
		add_column(list, scalar->src.column, parameter_sql(list->sql, m, scalar->attr, &scalar->src, value_text(new_value)));
	}
	for (int i = 0; i < m->nslots; i++)
	{
		const ScimSlot *slot = &m->slots[i];
		const json_t *new_element = slot_element(slot, multi_json(type, after, slot->attr));
		const json_t *old_element = before ? slot_element(slot, multi_json(type, before, slot->attr)) : NULL;

		for (int j = 0; j < slot->nsubs; j++)
		{
			const ScimAttr *leaf = slot->subs[j] ? slot->subs[j] : slot->attr;
			const json_t *new_value = slot->subs[j] ? json_object_get(new_element, slot->subs[j]->name) : new_element;
			const json_t *old_value = slot->subs[j] ? json_object_get(old_element, slot->subs[j]->name) : old_element;

			if (slot->srcs[j].column == NULL || same_json(leaf, old_value, new_value))
				continue;
			add_column(list, slot->srcs[j].column,
					   parameter_sql(list->sql, m, leaf, &slot->srcs[j], value_text(new_value)));
		}
	}
}

/* ---- child rows ---- */

/* Does element "a" equal one of the unmatched elements of "array"? */
static bool
take_equal(const ScimAttr *attr, const json_t *a, const json_t *array, bool *taken)
{
	size_t		n = array ? json_array_size(array) : 0;

	for (size_t i = 0; i < n; i++)
		if (!taken[i] && scim_value_same(attr, a, json_array_get(array, i)))
		{
			taken[i] = true;
			return true;
		}
	return false;
}

/* Text of what an element has for a column of the child, checked. */
static const char *
element_text(const ScimMapping *m, const ScimChild *child, int column, const json_t *element)
{
	const ScimAttr *leaf = child->subs[column] ? child->subs[column] : child->attr;
	const char *text = value_text(child->subs[column] ? json_object_get(element, child->subs[column]->name) : element);

	check_length(m, leaf, &child->srcs[column], text);
	return time_in_utc(leaf, &child->srcs[column], text);
}

/* Parameters $first.. : one text[] per column of the child, for these elements. */
static int
element_params(ScimSql *sql, const ScimMapping *m, const ScimChild *child, const json_t **elements, int n)
{
	int			first = 0;
	const char **column = palloc(sizeof(char *) * Max(n, 1));

	for (int j = 0; j < child->nsubs; j++)
	{
		int			param;

		if (child->srcs[j].expr == NULL)
			continue;
		for (int i = 0; i < n; i++)
			column[i] = element_text(m, child, j, elements[i]);
		param = scim_sql_text_array(sql, column, n);
		if (first == 0)
			first = param;
	}
	return first;
}

static void
append_unnest(ScimSql *sql, const ScimChild *child, int first)
{
	int			n = 0;
	StringInfo	text = &sql->text;

	appendStringInfoString(text, "ROWS FROM (");
	for (int j = 0; j < child->nsubs; j++)
		if (child->srcs[j].expr)
		{
			appendStringInfo(text, "%spg_catalog.unnest($%d)", n > 0 ? ", " : "", first + n);
			n++;
		}
	appendStringInfoString(text, ") WITH ORDINALITY e(");
	for (int j = 0; j < n; j++)
		appendStringInfo(text, "v%d, ", j);
	appendStringInfoString(text, "n)");
}

/* "key, scope, " of a row to insert. */
static void
append_row_start(ScimSql *sql, const ScimMapping *m, const ScimChild *child, int key, int scope)
{
	appendStringInfo(&sql->text, "$%d::%s", key, m->key.type_name);
	for (int i = 0; i < m->nscope; i++)
		if (child->scope[i])
			appendStringInfo(&sql->text, ", $%d::%s", scope + i, m->scope_types[i]);
}

/* "VALUES (...), ..." of a few elements. */
static void
append_values(ScimSql *sql, const ScimMapping *m, const ScimChild *child, int key, int scope,
			  const json_t **elements, int n)
{
	for (int i = 0; i < n; i++)
	{
		appendStringInfoString(&sql->text, i > 0 ? ", (" : " VALUES (");
		append_row_start(sql, m, child, key, scope);
		for (int j = 0; j < child->nsubs; j++)
			if (child->srcs[j].column)
				appendStringInfo(&sql->text, ", $%d::%s",
								 scim_sql_text(sql, element_text(m, child, j, elements[i])), child->srcs[j].type_name);
		appendStringInfoChar(&sql->text, ')');
	}
}

/* The same as "SELECT ... FROM unnest(...)" of arrays, for any number. */
static void
append_arrays(ScimSql *sql, const ScimMapping *m, const ScimChild *child, int key, int scope,
			  const json_t **elements, int n)
{
	int			first = element_params(sql, m, child, elements, n);
	int			column = 0;

	appendStringInfoString(&sql->text, " SELECT ");
	append_row_start(sql, m, child, key, scope);
	for (int j = 0; j < child->nsubs; j++)
	{
		if (child->srcs[j].expr == NULL)
			continue;
		if (child->srcs[j].column)
			appendStringInfo(&sql->text, ", e.v%d::%s", column, child->srcs[j].type_name);
		column++;
	}
	appendStringInfoString(&sql->text, " FROM ");
	append_unnest(sql, child, first);
	appendStringInfoString(&sql->text, " ORDER BY e.n");
}

static void
insert_elements(const ScimEndpointType *target, const char *id, const ScimChild *child,
				const json_t **elements, int n)
{
	const ScimMapping *m = target->mapping;
	ScimSql		sql;
	int			scope;
	int			key;

	if (n == 0)
		return;
	scim_sql_init(&sql);
	scope = scim_sql_scope_params(&sql, target);
	key = scim_sql_text(&sql, id);

	appendStringInfo(&sql.text, "INSERT INTO %s (%s", child->relation, child->parent);
	for (int i = 0; i < m->nscope; i++)
		if (child->scope[i])
			appendStringInfo(&sql.text, ", %s", child->scope[i]);
	for (int j = 0; j < child->nsubs; j++)
		if (child->srcs[j].column)
			appendStringInfo(&sql.text, ", %s", child->srcs[j].column);
	appendStringInfoChar(&sql.text, ')');
	/* a plan over arrays takes more to set up than a few rows to insert */
	if (n <= MAX_VALUES)
		append_values(&sql, m, child, key, scope, elements, n);
	else
		append_arrays(&sql, m, child, key, scope, elements, n);
	scim_sql_execute(m, &sql, SPI_OK_INSERT, false, 0);
}

static void
delete_elements(const ScimEndpointType *target, const char *id, const ScimChild *child,
				const json_t **elements, int n)
{
	const ScimMapping *m = target->mapping;
	ScimSql		sql;
	int			scope;
	int			key;
	int			first;
	int			column = 0;

	if (n == 0)
		return;
	scim_sql_init(&sql);
	scope = scim_sql_scope_params(&sql, target);
	key = scim_sql_text(&sql, id);
	first = element_params(&sql, m, child, elements, n);

	appendStringInfo(&sql.text, "DELETE FROM %s c USING ", child->relation);
	append_unnest(&sql, child, first);
	appendStringInfo(&sql.text, " WHERE c.%s OPERATOR(pg_catalog.=) $%d::%s", child->parent, key, m->key.type_name);
	scim_sql_child_scope(&sql, m, child, "c", scope);
	for (int j = 0; j < child->nsubs; j++)
		if (child->srcs[j].expr)
			appendStringInfo(&sql.text, " AND %s::pg_catalog.text IS NOT DISTINCT FROM e.v%d::%s::pg_catalog.text",
							 child->srcs[j].expr, column++, child->srcs[j].type_name);
	scim_sql_execute(m, &sql, SPI_OK_DELETE, false, 0);
}

/* Make the child rows of one attribute what "after" says.  True: something was written. */
static bool
update_child(const ScimEndpointType *target, const char *id, const ScimChild *child,
			 const json_t *before, const json_t *after)
{
	const ScimResourceType *type = target->type;
	const json_t *old_array = before ? multi_json(type, before, child->attr) : NULL;
	const json_t *new_array = multi_json(type, after, child->attr);
	size_t		nold = old_array ? json_array_size(old_array) : 0;
	size_t		nnew = new_array ? json_array_size(new_array) : 0;
	bool	   *stays = palloc0(sizeof(bool) * Max(nold, 1));
	const json_t **gone = palloc(sizeof(json_t *) * Max(nold, 1));
	const json_t **fresh = palloc(sizeof(json_t *) * Max(nnew, 1));
	int			ngone = 0;
	int			nfresh = 0;

	for (size_t i = 0; i < nnew; i++)
	{
		const json_t *element = json_array_get(new_array, i);

		if (!take_equal(child->attr, element, old_array, stays))
			fresh[nfresh++] = element;
	}
	for (size_t i = 0; i < nold; i++)
		if (!stays[i])
			gone[ngone++] = json_array_get(old_array, i);

	delete_elements(target, id, child, gone, ngone);
	insert_elements(target, id, child, fresh, nfresh);
	return ngone > 0 || nfresh > 0;
}

/* Bits of the child relations whose values are known. */
static int32
known_mask(const ScimMapping *m, const ScimSelection *known)
{
	int32		mask = 0;

	for (int i = 0; i < m->nchildren; i++)
		if (m->children[i].present >= 0 && known->has[m->children[i].attr->ord])
			mask |= 1 << m->children[i].present;
	return mask;
}

/* Bits of the child relations in which a state has values. */
static int32
presence_mask(const ScimMapping *m, const json_t *resource)
{
	int32		mask = 0;

	for (int i = 0; i < m->nchildren; i++)
		if (m->children[i].present >= 0 && multi_json(m->type, resource, m->children[i].attr))
			mask |= 1 << m->children[i].present;
	return mask;
}

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
 * attribute that a delta takes care of.
 */
static bool
update_children(const ScimEndpointType *target, const char *id, const json_t *before, const json_t *after,
				const ScimAttr *skip, bool *changed, ScimError *err)
{
	const ScimMapping *m = target->mapping;

	for (int i = 0; i < m->type->ntop; i++)
	{
		ScimAttr   *attr = m->type->top[i];

		if (!attr->multi || attr == skip || !is_link(m, attr))
			continue;
		*changed = scim_store_replace_links(target, id, attr,
											before ? multi_json(m->type, before, attr) : NULL,
											multi_json(m->type, after, attr), err) || *changed;
		if (err->status)
			return false;
	}
	for (int i = 0; i < m->nchildren; i++)
		if (m->children[i].kind == SCIM_CHILD_VALUES)
			*changed = update_child(target, id, &m->children[i], before, after) || *changed;
	return true;
}

/* ---- the store's functions ---- */

char *
scim_store_insert(const ScimEndpointType *target, const json_t *wanted, ScimError *err)
{
	const ScimMapping *m = target->mapping;
	ScimSql		sql;
	ColumnList	list;
	int			scope;
	char	   *id;
	bool		changed = false;
	bool		saved_writing = scim_store_writing;

	scim_sql_init(&sql);
	init_columns(&list, &sql, false);
	scope = scim_sql_scope_params(&sql, target);
	for (int i = 0; i < m->nscope; i++)
		add_column(&list, m->scope_columns[i], psprintf("$%d::%s", scope + i, m->scope_types[i]));
	add_changed_columns(&list, m, NULL, wanted);
	if (m->present)
	{
		int32		mask = presence_mask(m, wanted);

		if (mask != 0)
			add_column(&list, m->present, psprintf("$%d::pg_catalog.int4", scim_sql_text(&sql, psprintf("%d", mask))));
	}
	if (list.n > 0)
		appendStringInfo(&sql.text, "INSERT INTO %s AS r (%s) VALUES (%s)", m->relation, list.columns.data, list.values.data);
	else
		appendStringInfo(&sql.text, "INSERT INTO %s AS r DEFAULT VALUES", m->relation);
	appendStringInfo(&sql.text, " RETURNING %s::pg_catalog.text", m->key.expr);
	/* no limit on rows: stopping early would leave out AFTER STATEMENT triggers */
	scim_sql_execute(m, &sql, SPI_OK_INSERT_RETURNING, false, 0);
	if (SPI_processed != 1)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("the mapped relation did not take the row")));
	id = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	if (id == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("the relation of mapping \"%s\" gives a new row no key", m->name)));

	scim_store_writing = true;
	update_children(target, id, NULL, wanted, NULL, &changed, err);
	scim_store_writing = saved_writing;
	return err->status ? NULL : id;
}

/* A column that may be set to what it is; NULL: there is none. */
static const char *
own_column(const ScimMapping *m)
{
	const char *column = m->key.column;

	if (column == NULL && m->nscope > 0)
		column = m->scope_columns[0];
	for (int i = 0; column == NULL && i < m->nscalars; i++)
		column = m->scalars[i].src.column;
	for (int i = 0; column == NULL && i < m->nslots; i++)
		for (int j = 0; column == NULL && j < m->slots[i].nsubs; j++)
			column = m->slots[i].srcs[j].column;
	return column;
}

/*
 * Write the parent row: changed columns and, if anything changed at all, the
 * version, the time and the presence bits.
 */
static void
update_parent(const ScimEndpointType *target, const char *id, ScimSql *sql, ColumnList *list,
			  const ScimSelection *known, const json_t *after, int scope)
{
	const ScimMapping *m = target->mapping;
	int32		mask = m->present ? known_mask(m, known) : 0;

	if (m->last_modified && m->last_modified->column)
		add_column(list, m->last_modified->column, "pg_catalog.clock_timestamp()");
	if (m->version && m->version->column)
		add_column(list, m->version->column, psprintf("%s OPERATOR(pg_catalog.+) 1", m->version->expr));
	if (mask != 0)
	{
		int			keep = scim_sql_text(sql, psprintf("%d", ~mask));
		int			set = scim_sql_text(sql, psprintf("%d", presence_mask(m, after)));

		add_column(list, m->present,
				   psprintf("r.%s OPERATOR(pg_catalog.&) $%d::pg_catalog.int4 OPERATOR(pg_catalog.|) $%d::pg_catalog.int4",
							m->present, keep, set));
	}
	/* no column tells of changes in child rows: rewriting the row moves its version */
	if (list->n == 0)
	{
		const char *column = own_column(m);

		if (column == NULL)
			return;
		add_column(list, column, psprintf("r.%s", column));
	}
	appendStringInfo(&sql->text, "UPDATE %s r SET %s WHERE ", m->relation, list->columns.data);
	scim_sql_scope(sql, m, "r", scope);
	appendStringInfo(&sql->text, " AND %s OPERATOR(pg_catalog.=) $%d::%s",
					 m->key.expr, scim_sql_text(sql, id), m->key.type_name);
	scim_sql_execute(m, sql, SPI_OK_UPDATE, false, 0);
}

bool
scim_store_update(const ScimEndpointType *target, const char *id,
				  const ScimSelection *known, const json_t *before, const json_t *after,
				  ScimAttr *delta_attr, const ScimDelta *delta,
				  bool *changed, ScimError *err)
{
	const ScimMapping *m = target->mapping;
	ScimSql		sql;
	ColumnList	list;
	int			scope;
	bool		saved_writing = scim_store_writing;

	*changed = false;
	scim_store_writing = true;
	if (delta && delta->any)
		*changed = scim_store_apply_delta(target, id, delta_attr, delta, err);
	if (err->status == 0)
		update_children(target, id, before, after, delta_attr, changed, err);
	scim_store_writing = saved_writing;
	if (err->status)
		return false;

	scim_sql_init(&sql);
	init_columns(&list, &sql, true);
	scope = scim_sql_scope_params(&sql, target);
	add_changed_columns(&list, m, before, after);
	if (list.n > 0)
		*changed = true;
	if (*changed)
		update_parent(target, id, &sql, &list, known, after, scope);
	return true;
}

/*
 * Whatever refers to a resource that is about to go changes with it: its
 * version moves (RFC 7643 3.1).  Rows are locked in the order of their keys,
 * so that two deletions do not wait for each other.
 */
static void
touch_referrers(const ScimEndpointType *target, const char *id, const ScimMapping *holder, const ScimChild *link)
{
	ScimSql		sql;
	ColumnList	list;
	int			scope;

	if ((holder->version == NULL || holder->version->column == NULL) &&
		(holder->last_modified == NULL || holder->last_modified->column == NULL))
		return;
	scim_sql_init(&sql);
	init_columns(&list, &sql, true);
	scope = scim_sql_scope_params(&sql, target);
	if (holder->last_modified && holder->last_modified->column)
		add_column(&list, holder->last_modified->column, "pg_catalog.clock_timestamp()");
	if (holder->version && holder->version->column)
		add_column(&list, holder->version->column, psprintf("%s OPERATOR(pg_catalog.+) 1", holder->version->expr));
	appendStringInfo(&sql.text, "WITH holder AS MATERIALIZED (SELECT %s AS k FROM %s r WHERE ", holder->key.expr, holder->relation);
	scim_sql_scope(&sql, holder, "r", scope);
	appendStringInfo(&sql.text, " AND %s IN (SELECT c.%s FROM %s c WHERE %s OPERATOR(pg_catalog.=) $%d::%s",
					 holder->key.expr, link->parent, link->relation, link->ref.expr,
					 scim_sql_text(&sql, id), link->ref.type_name);
	scim_sql_child_scope(&sql, holder, link, "c", scope);
	appendStringInfo(&sql.text, ") ORDER BY 1 FOR NO KEY UPDATE OF r) UPDATE %s r SET %s FROM holder WHERE %s OPERATOR(pg_catalog.=) holder.k AND ",
					 holder->relation, list.columns.data, holder->key.expr);
	scim_sql_scope(&sql, holder, "r", scope);
	scim_sql_execute(holder, &sql, SPI_OK_UPDATE, false, 0);
}

bool
scim_store_delete(const ScimEndpointType *target, const char *id)
{
	const ScimMapping *m = target->mapping;
	ScimSql		sql;
	int			scope;

	if (!scim_key_text_valid(&m->key, id))
		return false;
	for (int i = 0; i < m->nchildren; i++)
	{
		const ScimChild *child = &m->children[i];

		if (child->kind == SCIM_CHILD_GROUPS)
			touch_referrers(target, id, child->target, child->user_link);
		else if (child->kind == SCIM_CHILD_LINK && child->target == m)
			touch_referrers(target, id, m, child);
	}
	scim_sql_init(&sql);
	scope = scim_sql_scope_params(&sql, target);
	appendStringInfo(&sql.text, "DELETE FROM %s r WHERE ", m->relation);
	scim_sql_scope(&sql, m, "r", scope);
	appendStringInfo(&sql.text, " AND %s OPERATOR(pg_catalog.=) $%d::%s",
					 m->key.expr, scim_sql_text(&sql, id), m->key.type_name);
	scim_sql_execute(m, &sql, SPI_OK_DELETE, false, 0);
	return SPI_processed > 0;
}
