/*
 * store_key.c
 *		Ids as parameters of statements, and the keys that they stand for.
 *
 * A statement that looks for a resource compares its id; one on rows that
 * belong to it, or refer to it, compares its key.  The key is in the id but for
 * an id that is an expression over the row: then the row is asked, within the
 * statement.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "store_internal.h"

int
scim_sql_id(ScimSql *sql, const ScimMapping *m, const char *id)
{
	const char **parts;
	int			first;

	if (m->key.by_expression)
		return scim_sql_text(sql, id);
	parts = scim_key_split(&m->key, id);
	first = scim_sql_text(sql, parts[0]);
	for (int i = 1; i < m->key.n; i++)
		(void) scim_sql_text(sql, parts[i]);
	return first;
}

int
scim_sql_ids(ScimSql *sql, const ScimMapping *m, const char *const *ids, int n)
{
	const char **part = palloc(sizeof(char *) * Max(n, 1));
	const char ***parts;
	int			first = 0;

	if (m->key.by_expression || m->key.n == 1)
		return scim_sql_text_array(sql, ids, n);
	parts = palloc(sizeof(char **) * Max(n, 1));
	for (int i = 0; i < n; i++)
		parts[i] = scim_key_split(&m->key, ids[i]);
	for (int j = 0; j < m->key.n; j++)
	{
		int			param;

		for (int i = 0; i < n; i++)
			part[i] = parts[i][j];
		param = scim_sql_text_array(sql, part, n);
		if (j == 0)
			first = param;
	}
	return first;
}

/* "r.a = $1::type", and that they are one text, where values of the type can be equal and not that. */
static void
append_is(StringInfo out, const ScimSource *part, const char *value)
{
	appendStringInfo(out, "%s OPERATOR(pg_catalog.=) %s::%s", part->expr, value, part->type_name);
	if (!scim_key_is_exact(part))
		appendStringInfo(out, " AND %s::pg_catalog.text COLLATE \"C\" OPERATOR(pg_catalog.=) %s", part->expr, value);
}

const char *
scim_sql_is_id(const ScimMapping *m, int id)
{
	const ScimKey *key = &m->key;
	StringInfoData sql;

	initStringInfo(&sql);
	if (key->by_expression)
		append_is(&sql, &key->id, psprintf("$%d", id));
	else
		for (int i = 0; i < key->n; i++)
		{
			if (i > 0)
				appendStringInfoString(&sql, " AND ");
			append_is(&sql, &key->parts[i], psprintf("$%d", id + i));
		}
	return sql.data;
}

/* "r.org_id = $1::type AND ": the columns of the scope, where ids are unique within it only. */
static void
append_scope_columns(StringInfo out, const ScimMapping *m)
{
	/* the parameters of the scope are the first of every statement */
	for (int i = 0; i < m->nscope; i++)
		if (m->scope_columns[i])
			appendStringInfo(out, "r.%s OPERATOR(pg_catalog.=) $%d::%s AND ", m->scope_columns[i], i + 1, m->scope_types[i]);
}

const char *
scim_sql_key_part(const ScimMapping *m, int i, int id)
{
	const ScimKey *key = &m->key;
	StringInfoData sql;

	if (!key->by_expression)
		return scim_sql_cast(id + i, key->parts[i].type_name);
	initStringInfo(&sql);
	appendStringInfo(&sql, "(SELECT %s FROM %s r WHERE ", key->parts[i].expr, m->relation);
	append_scope_columns(&sql, m);
	appendStringInfo(&sql, "%s LIMIT 1)", scim_sql_is_id(m, id));
	return sql.data;
}

const char *
scim_sql_key(const ScimMapping *m, int id)
{
	const char **parts = palloc(sizeof(char *) * m->key.n);

	for (int i = 0; i < m->key.n; i++)
		parts[i] = scim_sql_key_part(m, i, id);
	return scim_key_row_sql(parts, m->key.n);
}

const char *
scim_sql_refers(const ScimMapping *to, const ScimReference *columns, int id)
{
	const char **parts = palloc(sizeof(char *) * to->key.n);

	for (int i = 0; i < to->key.n; i++)
		parts[i] = psprintf("%s::%s", scim_sql_key_part(to, i, id), columns->types[i]);
	return psprintf("%s OPERATOR(pg_catalog.=) %s", columns->row, scim_key_row_sql(parts, to->key.n));
}

const char *
scim_sql_columns(const ScimReference *columns, const char *alias)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < columns->n; i++)
		appendStringInfo(&list, "%s%s.%s", i > 0 ? ", " : "", alias, columns->columns[i]);
	return list.data;
}

const char *
scim_sql_key_list(const char *prefix, int n)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < n; i++)
		appendStringInfo(&list, "%s%s%d", i > 0 ? ", " : "", prefix, i + 1);
	return list.data;
}

const char *
scim_sql_key_row(const char *prefix, int n)
{
	return psprintf(n == 1 ? "%s" : "ROW(%s)", scim_sql_key_list(prefix, n));
}

const char *
scim_sql_keys_from(const ScimMapping *m, int ids)
{
	const ScimKey *key = &m->key;
	StringInfoData sql;

	initStringInfo(&sql);
	if (key->by_expression)
	{
		appendStringInfoString(&sql, "(SELECT ");
		for (int i = 0; i < key->n; i++)
			appendStringInfo(&sql, "%s AS k%d, ", key->parts[i].expr, i + 1);
		appendStringInfo(&sql, "i.n FROM pg_catalog.unnest($%d) WITH ORDINALITY i(id, n), %s r WHERE ", ids, m->relation);
		append_scope_columns(&sql, m);
		append_is(&sql, &key->id, "i.id");
		appendStringInfoString(&sql, ") p");
		return sql.data;
	}
	if (key->n > 1)
		appendStringInfoString(&sql, "ROWS FROM (");
	for (int i = 0; i < key->n; i++)
		appendStringInfo(&sql, "%spg_catalog.unnest($%d::%s[])", i > 0 ? ", " : "", ids + i, key->parts[i].type_name);
	appendStringInfo(&sql, "%s WITH ORDINALITY p(%s, n)", key->n > 1 ? ")" : "", scim_sql_key_list("k", key->n));
	return sql.data;
}

const char *
scim_sql_is_any_id(const ScimMapping *m, int ids)
{
	const ScimKey *key = &m->key;
	const ScimSource *one = key->by_expression ? &key->id : &key->parts[0];
	const char *sql;

	if (key->n > 1 && !key->by_expression)
		return psprintf("%s OPERATOR(pg_catalog.=) ANY (SELECT %s FROM %s)", key->row,
						scim_sql_key_list("p.k", key->n), scim_sql_keys_from(m, ids));
	sql = psprintf("%s OPERATOR(pg_catalog.=) ANY ($%d::%s[])", one->expr, ids, one->type_name);
	return scim_key_is_exact(one) ? sql :
		psprintf("%s AND %s::pg_catalog.text COLLATE \"C\" OPERATOR(pg_catalog.=) ANY ($%d)", sql, one->expr, ids);
}

const char *
scim_sql_refers_to_any(const ScimMapping *to, const ScimReference *columns, int ids)
{
	StringInfoData keys;

	if (to->key.n == 1 && !to->key.by_expression)
		return psprintf("%s OPERATOR(pg_catalog.=) ANY ($%d::%s[])", columns->row, ids, columns->types[0]);
	initStringInfo(&keys);
	for (int i = 0; i < to->key.n; i++)
		appendStringInfo(&keys, "%sp.k%d::%s", i > 0 ? ", " : "", i + 1, columns->types[i]);
	return psprintf("%s OPERATOR(pg_catalog.=) ANY (SELECT %s FROM %s)", columns->row, keys.data, scim_sql_keys_from(to, ids));
}

/* ---- the order of ids ---- */

const char *
scim_sql_id_order(const ScimMapping *m, bool down)
{
	const ScimKey *key = &m->key;
	StringInfoData list;

	initStringInfo(&list);
	if (key->by_expression)
		appendStringInfo(&list, "%s%s", key->id.expr, down ? " DESC" : "");
	else
		for (int i = 0; i < key->n; i++)
			appendStringInfo(&list, "%s%s%s", i > 0 ? ", " : "", key->parts[i].expr, down ? " DESC" : "");
	return list.data;
}

const char *
scim_sql_id_after(const ScimMapping *m, bool down, int id)
{
	const ScimKey *key = &m->key;

	if (key->by_expression)
		return psprintf("%s OPERATOR(pg_catalog.%s) $%d::%s", key->id.expr, down ? "<" : ">", id, key->id.type_name);
	return psprintf("%s OPERATOR(pg_catalog.%s) %s", key->row, down ? "<" : ">", scim_sql_key(m, id));
}
