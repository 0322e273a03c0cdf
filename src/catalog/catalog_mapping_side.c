/*
 * catalog_mapping_side.c
 *		Rows of other tables beside a resource: those that its values live in, are
 *		copied to, or that its own row names.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "catalog_mapping_internal.h"

/* The column of the resource's row that names a side row. */
static void
set_by(ScimResolve *ctx, const char *path, const json_t *by, ScimSide *side)
{
	ScimSource	src;

	if (!json_is_string(by) || !scim_column_source(ctx->mapping->relid, "r", json_string_value(by), &src) || src.column == NULL)
		scim_mapping_error(ctx, path, ERRCODE_UNDEFINED_COLUMN, "\"by\" does not name a column of the relation that can be set");
	side->by = src.column;
	side->by_attnum = src.attnum;
	if (side->parent.n != 1)
		scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "with \"by\", \"parent\" is one column");
	side->by_column = side->parent.columns[0];
	side->by_type = side->parent.types[0];
	side->always = src.not_null && !src.has_default;
}

/* What several attributes say of new rows of a side: each column as the first of them does. */
static void
add_side_inserts(ScimResolve *ctx, const char *path, const json_t *spec, ScimSide *side)
{
	int			n;
	ScimSetting *more = scim_mapping_settings(ctx, path, side->relid, ctx->mapping->relid, "r", spec, &n);
	ScimSetting *all = palloc(sizeof(ScimSetting) * (side->ninserts + n + 1));

	if (n == 0)
		return;
	if (side->ninserts > 0)
		memcpy(all, side->inserts, sizeof(ScimSetting) * side->ninserts);
	for (int i = 0; i < n; i++)
	{
		bool		known = false;

		for (int j = 0; j < side->ninserts && !known; j++)
			known = all[j].attnum == more[i].attnum;
		if (!known)
			all[side->ninserts++] = more[i];
	}
	side->inserts = all;
}

static ScimSide *
find_side(ScimResolve *ctx, const char *path, const json_t *spec)
{
	ScimMapping *m = ctx->mapping;
	Oid			relid = scim_mapping_table(ctx, path, spec);
	const json_t *where = json_object_get(spec, "where");
	const json_t *by = json_object_get(spec, "by");
	size_t		len;
	const char *key;
	ScimSide   *side;
	ScimReference parent;

	scim_resolve_reference(ctx, path, relid, "c", spec, "parent", by == NULL, &parent);
	key = psprintf("%u %s %s %s", relid, parent.row, where ? scim_json_print(where, &len) : "", by ? scim_json_print(by, &len) : "");
	for (int i = 0; i < m->nsides; i++)
		if (strcmp(m->sides[i].spec, key) == 0)
			return &m->sides[i];
	side = &m->sides[m->nsides++];
	memset(side, 0, sizeof(*side));
	side->relid = relid;
	side->relation = scim_qualified_relation(relid);
	side->parent = parent;
	side->spec = key;
	if (by)
		set_by(ctx, path, by, side);
	/* one row may be a resource of several scopes, or its key be one in each */
	if (relid == scim_own_relid("resource_state"))
	{
		side->by_text = true;
		side->by_scope = m->membership || m->shared || get_rel_relkind(m->relid) == RELKIND_VIEW ||
			!OidIsValid(scim_key_index(m, NULL, true));
		side->scope = palloc0(sizeof(char *) * Max(m->nscope, 1));
	}
	else
	{
		side->scope = scim_mapping_scope_of(ctx, relid);
		if (by == NULL)
			scim_fit_reference(m, m, path, relid, "c", &side->parent, side->scope);
	}
	scim_mapping_fixed(ctx, path, relid, where, &side->nfixed, &side->fixed_columns, &side->fixed_values, &side->fixed_types);
	return side;
}

ScimSide *
scim_mapping_side(ScimResolve *ctx, const char *path, const json_t *spec)
{
	ScimSide   *side = find_side(ctx, path, spec);

	add_side_inserts(ctx, path, json_object_get(spec, "insert"), side);
	return side;
}

void
scim_side_source(ScimResolve *ctx, const char *path, const ScimAttr *attr, const json_t *spec, ScimSource *src)
{
	ScimMapping *m = ctx->mapping;
	ScimSide   *side = scim_mapping_side(ctx, path, spec);
	ScimSource *inner = palloc(sizeof(ScimSource));
	const json_t *missing = json_object_get(spec, "default");
	StringInfoData expr;

	scim_object_source(ctx, path, side->relid, "c", attr, spec, inner);
	initStringInfo(&expr);
	if (missing)
		appendStringInfoString(&expr, "coalesce(");
	appendStringInfo(&expr, "(SELECT %s FROM %s c WHERE ", inner->expr, side->relation);
	scim_mapping_side_join(m, side, &expr);
	appendStringInfoString(&expr, " LIMIT 1)");
	if (missing)
		appendStringInfo(&expr, ", %s::%s)", quote_literal_cstr(scim_mapping_scalar(ctx, path, missing)), inner->type_name);
	*src = *inner;
	src->expr = expr.data;
	src->raw = NULL;
	src->attnum = 0;
	src->not_null = inner->not_null;
	src->side = side;
	src->inner = missing ? NULL : inner;
}

/* Rows of other tables that a value is written to, besides where it is read. */
void
scim_resolve_copies(ScimResolve *ctx, const char *path, const ScimAttr *attr, const json_t *spec, ScimSource *src)
{
	static const char *const known[] = {
		"table", "parent", "by", "where", "insert", "column", "write", "codes", "null", "time", "path", "fold", "folded", NULL
	};

	if (!json_is_array(spec))
		scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "\"copies\" is a list of columns of other tables");
	src->copies = palloc0(sizeof(ScimSource) * (json_array_size(spec) + 1));
	for (size_t i = 0; i < json_array_size(spec); i++)
	{
		const json_t *item = json_array_get(spec, i);
		ScimSource *copy = &src->copies[src->ncopies++];

		if (!json_is_object(item))
			scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "\"copies\" is a list of columns of other tables");
		scim_mapping_members(ctx, path, item, known);
		scim_side_source(ctx, path, attr, item, copy);
		if (!scim_source_writable(copy))
			scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "a copy can't be written");
	}
}

const char *
scim_mapping_scope_text(const ScimMapping *m, int first)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfoString(&text, "pg_catalog.concat_ws('~', ''");
	for (int i = 0; i < m->nscope; i++)
		appendStringInfo(&text, ", $%d", first + i);
	appendStringInfoChar(&text, ')');
	return text.data;
}

void
scim_mapping_side_join(const ScimMapping *m, const ScimSide *side, StringInfo out)
{
	if (side->by)
		appendStringInfo(out, "c.%s OPERATOR(pg_catalog.=) r.%s", side->by_column, side->by);
	else if (side->by_text)
		appendStringInfo(out, "%s OPERATOR(pg_catalog.=) %s::pg_catalog.text", side->parent.row, m->key.id.expr);
	else
		appendStringInfo(out, "%s OPERATOR(pg_catalog.=) %s", side->parent.row, m->key.row);
	if (side->by_text)
		appendStringInfo(out, " AND c.scope OPERATOR(pg_catalog.=) %s", side->by_scope ? scim_mapping_scope_text(m, 1) : "''");
	for (int i = 0; i < side->nfixed; i++)
		appendStringInfo(out, " AND c.%s OPERATOR(pg_catalog.=) %s::%s", side->fixed_columns[i], side->fixed_values[i], side->fixed_types[i]);
	for (int i = 0; i < m->nscope; i++)
	{
		if (side->scope[i] == NULL)
			continue;
		/* the parameters of the scope are the first of every statement */
		if (m->scope_columns[i])
			appendStringInfo(out, " AND c.%s OPERATOR(pg_catalog.=) r.%s", side->scope[i], m->scope_columns[i]);
		else
			appendStringInfo(out, " AND c.%s OPERATOR(pg_catalog.=) $%d::%s", side->scope[i], i + 1, m->scope_types[i]);
	}
}
