/*
 * catalog_mapping_child.c
 *		Places of multi-valued attributes: rows of child relations, links, and
 *		columns that hold several values.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/varlena.h"

#include "catalog_mapping_internal.h"

const char *
scim_qualified_relation(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid));
}

Oid
scim_mapping_table(ScimResolve *ctx, const char *path, const json_t *spec)
{
	const char *name = json_string_value(json_object_get(spec, "table"));
	RangeVar   *rv;
	Oid			relid;

	if (name == NULL)
		scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "a child relation needs \"table\"");
	rv = makeRangeVarFromNameList(stringToQualifiedNameList(name, NULL));
	if (rv->schemaname == NULL)
		scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "name the child table with its schema");
	relid = RangeVarGetRelid(rv, AccessShareLock, true);
	if (!OidIsValid(relid))
		scim_mapping_error(ctx, path, ERRCODE_UNDEFINED_TABLE, "its child table does not exist");
	return relid;
}

const char **
scim_mapping_scope_of(ScimResolve *ctx, Oid relid)
{
	const char **scope = palloc0(sizeof(char *) * Max(ctx->mapping->nscope, 1));
	ListCell   *lc;
	int			i = 0;

	if (ctx->mapping->shared)
		return scope;
	foreach(lc, ctx->scope)
	{
		ScimSource	src;

		if (scim_column_source(relid, "c", (char *) lfirst(lc), &src))
			scope[i] = src.column;
		i++;
	}
	return scope;
}

void
scim_mapping_fixed(ScimResolve *ctx, const char *path, Oid relid, const json_t *value, int *n,
				   const char ***columns, const char ***values, const char ***types)
{
	void	   *iter;

	*n = 0;
	if (value == NULL)
		return;
	if (!json_is_object(value))
		scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "fixed columns are given as {\"column\": value}");
	*columns = palloc(sizeof(char *) * (json_object_size(value) + 1));
	*values = palloc(sizeof(char *) * (json_object_size(value) + 1));
	*types = palloc(sizeof(char *) * (json_object_size(value) + 1));
	for (iter = json_object_iter(unconstify(json_t *, value)); iter;
		 iter = json_object_iter_next(unconstify(json_t *, value), iter))
	{
		ScimSource	src;

		if (!scim_column_source(relid, "c", json_object_iter_key(iter), &src) || src.column == NULL)
			scim_mapping_error(ctx, path, ERRCODE_UNDEFINED_COLUMN,
							   psprintf("there is no column \"%s\" that can be set", json_object_iter_key(iter)));
		(*columns)[*n] = src.column;
		(*types)[*n] = src.type_name;
		(*values)[(*n)++] = quote_literal_cstr(scim_mapping_scalar(ctx, path, json_object_iter_value(iter)));
	}
}

static void
child_column(ScimResolve *ctx, const char *path, Oid relid, const json_t *spec, const char *member,
			 ScimSource *src)
{
	const char *name = json_string_value(json_object_get(spec, member));

	if (name == NULL || !scim_column_source(relid, "c", name, src))
		scim_mapping_error(ctx, path, ERRCODE_UNDEFINED_COLUMN,
						   psprintf("\"%s\" does not name a column of its child table", member));
}

/* The first of the columns that refer, which is the id until the target's key says more. */
static void
reference_source(const ScimChild *child, ScimSource *src)
{
	if (!scim_column_source(child->relid, "c", get_attname(child->relid, child->refs.attnums[0], false), src))
		elog(ERROR, "a column of \"%s\" has gone", child->relation);
}

/* The values of fixed columns, in the order of scim_mapping_fixed. */
static const char **
fixed_texts(ScimResolve *ctx, const char *path, const json_t *where)
{
	const char **texts = palloc(sizeof(char *) * (json_object_size(where) + 1));
	const char *column;
	json_t	   *value;
	int			n = 0;

	json_object_foreach(unconstify(json_t *, where), column, value)
		texts[n++] = pstrdup(scim_mapping_scalar(ctx, path, value));
	return texts;
}

/* What all rows of a child relation have in common. */
static void
common_members(ScimResolve *ctx, const char *path, const json_t *spec, ScimChild *child)
{
	const json_t *filter = json_object_get(spec, "filter");

	scim_mapping_fixed(ctx, path, child->relid, json_object_get(spec, "where"),
					   &child->nfixed, &child->fixed_columns, &child->fixed_values, &child->fixed_types);
	child->fixed_texts = fixed_texts(ctx, path, json_object_get(spec, "where"));
	if (filter)
	{
		Oid			typid = InvalidOid;

		if (json_is_string(filter))
			child->filter = scim_mapping_expression(ctx, path, child->relid, "c", json_string_value(filter), &typid);
		if (typid != BOOLOID)
			scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "\"filter\" is a boolean expression over its child table");
	}
	child->inserts = scim_mapping_settings(ctx, path, child->relid, ctx->mapping->relid, "r", json_object_get(spec, "insert"),
										   &child->ninserts);
}

static bool
is_primary_key(Oid relid, AttrNumber attnum)
{
	Relation	rel = table_open(relid, AccessShareLock);
	Bitmapset  *key = RelationGetIndexAttrBitmap(rel, INDEX_ATTR_BITMAP_PRIMARY_KEY);
	bool		found = bms_membership(key) == BMS_SINGLETON && bms_is_member(attnum - FirstLowInvalidHeapAttributeNumber, key);

	table_close(rel, NoLock);
	return found;
}

static void
resolve_link(ScimResolve *ctx, const char *path, const json_t *spec, ScimChild *child)
{
	static const char *const known[] = {
		"table", "parent", "ref", "type", "where", "filter", "insert", "remove", "revive", NULL
	};

	scim_mapping_members(ctx, path, spec, known);
	child->kind = SCIM_CHILD_LINK;
	/* where a row is the member itself, these are its key, and never written */
	scim_resolve_reference(ctx, path, child->relid, "c", spec, "ref", false, &child->refs);
	reference_source(child, &child->ref);
	child->ref_type = json_string_value(json_object_get(spec, "type"));
	if (child->ref_type == NULL)
		scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "a reference needs \"type\"");
	child->ref_type = pstrdup(child->ref_type);
	common_members(ctx, path, spec, child);
	child->removes = scim_mapping_settings(ctx, path, child->relid, child->relid, "c", json_object_get(spec, "remove"),
										   &child->nremoves);
	child->revives = scim_mapping_settings(ctx, path, child->relid, child->relid, "c", json_object_get(spec, "revive"),
										   &child->nrevives);
	/* where a row is the member itself, it names another group then, or none */
	if (child->nremoves > 0 && child->filter == NULL && !is_primary_key(child->relid, child->ref.attnum))
		scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "\"remove\" needs a \"filter\" that leaves removed links out");
	if (child->nrevives > 0 && child->nremoves == 0)
		scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "\"revive\" needs \"remove\"");
}

/* The sub-attribute that a member of "columns", "keys" or "fixed" is for; NULL: the value itself. */
static ScimAttr *
member_sub(ScimResolve *ctx, const char *path, ScimAttr *attr, const char *name)
{
	ScimAttr   *sub;

	if (attr->type != SCIM_TYPE_COMPLEX)
	{
		if (strcmp(name, "value") != 0)
			scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "a simple attribute has one column, \"value\"");
		return NULL;
	}
	sub = scim_attr_sub(attr, name, strlen(name));
	if (sub == NULL)
		scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, psprintf("has no sub-attribute \"%s\"", name));
	return sub;
}

static void
add_fixed_subs(ScimResolve *ctx, const char *path, const json_t *spec, ScimChild *child)
{
	const json_t *fixed = json_object_get(spec, "fixed");
	void	   *iter;

	for (iter = fixed ? json_object_iter(unconstify(json_t *, fixed)) : NULL; iter;
		 iter = json_object_iter_next(unconstify(json_t *, fixed), iter))
	{
		child->subs[child->nsubs] = member_sub(ctx, path, child->attr, json_object_iter_key(iter));
		scim_constant_source(json_object_iter_value(iter), &child->srcs[child->nsubs]);
		scim_mapping_check_several(ctx, path, child->subs[child->nsubs], &child->srcs[child->nsubs]);
		child->nsubs++;
	}
}

static void
make_subs(ScimChild *child, size_t n, const json_t *spec)
{
	n += json_object_size(json_object_get(spec, "fixed")) + 1;
	child->subs = palloc0(sizeof(ScimAttr *) * n);
	child->srcs = palloc0(sizeof(ScimSource) * n);
}

static void
resolve_values(ScimResolve *ctx, const char *path, const json_t *spec, ScimChild *child)
{
	static const char *const known[] = {
		"table", "parent", "columns", "fixed", "order", "where", "filter", "insert", NULL
	};
	const json_t *columns = json_object_get(spec, "columns");
	const char *order = json_string_value(json_object_get(spec, "order"));
	ScimSource	src;
	void	   *iter;

	scim_mapping_members(ctx, path, spec, known);
	child->kind = SCIM_CHILD_VALUES;
	if (!json_is_object(columns) || json_object_size(columns) == 0)
		scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "a child table needs \"columns\"");
	if (order)
	{
		child_column(ctx, path, child->relid, spec, "order", &src);
		child->order = pstrdup(quote_identifier(order));
		child->order_is_integer = src.cls == SCIM_SQL_INTEGER;
		child->order_is_given = child->order_is_integer && src.column && !src.has_default;
	}
	common_members(ctx, path, spec, child);

	make_subs(child, json_object_size(columns), spec);
	for (iter = json_object_iter(unconstify(json_t *, columns)); iter; iter = json_object_iter_next(unconstify(json_t *, columns), iter))
	{
		ScimAttr   *sub = member_sub(ctx, path, child->attr, json_object_iter_key(iter));

		child->subs[child->nsubs] = sub;
		scim_child_source(ctx, path, child->relid, sub ? sub : child->attr, json_object_iter_value(iter), &child->srcs[child->nsubs]);
		if (sub)
			scim_mapping_check_several(ctx, path, sub, &child->srcs[child->nsubs]);
		child->nsubs++;
	}
	add_fixed_subs(ctx, path, spec, child);
}

void
scim_resolve_child(ScimResolve *ctx, const char *path, ScimAttr *attr, const json_t *spec, ScimChild *child)
{
	memset(child, 0, sizeof(*child));
	child->attr = attr;
	child->relid = scim_mapping_table(ctx, path, spec);
	child->relation = scim_qualified_relation(child->relid);
	scim_resolve_reference(ctx, path, child->relid, "c", spec, "parent", true, &child->parent);
	/* A scope column that the child has too is held there as well. */
	child->scope = scim_mapping_scope_of(ctx, child->relid);
	scim_fit_reference(ctx->mapping, ctx->mapping, path, child->relid, "c", &child->parent, child->scope);

	if (json_object_get(spec, "pending"))
	{
		static const char *const known[] = {"table", "parent", "pending", NULL};

		scim_mapping_members(ctx, path, spec, known);
		child->kind = SCIM_CHILD_PENDING;
		scim_resolve_reference(ctx, path, child->relid, "c", spec, "pending", true, &child->refs);
		reference_source(child, &child->ref);
	}
	else if (json_object_get(spec, "ref"))
		resolve_link(ctx, path, spec, child);
	else
		resolve_values(ctx, path, spec, child);
}

/* ---- several values in one column ---- */

/* A value that SQL makes of an element, of type text. */
static void
element_source(const ScimAttr *leaf, const char *expr, ScimSource *src)
{
	scim_text_expression(expr, src);
	/* what is no boolean is none, and not an error of a cast */
	if (leaf->type == SCIM_TYPE_BOOLEAN)
		src->expr = psprintf("(CASE WHEN %s IN ('true', 'false') THEN %s END)", expr, expr);
}

static void
inline_json(ScimResolve *ctx, const char *path, const json_t *spec, ScimChild *child)
{
	const json_t *keys = json_object_get(spec, "keys");
	const json_t *where = json_object_get(spec, "path");
	ScimSource *store = &child->store;
	const char *document;
	void	   *iter;

	scim_mapping_document(ctx, path, child->relid, store);
	document = store->document;
	store->json_path = where ? scim_mapping_json_path(ctx, path, where, &store->njson) : palloc(sizeof(char *));
	if (store->njson > 0)
		document = psprintf("(%s OPERATOR(pg_catalog.#>) %s)", document, scim_mapping_path_sql(store->json_path, store->njson));
	child->form = SCIM_INLINE_JSON;
	child->from = psprintf("pg_catalog.jsonb_array_elements(CASE pg_catalog.jsonb_typeof(%s) WHEN 'array' THEN %s ELSE '[]' END) WITH ORDINALITY c(v, n)",
						   document, document);
	if (keys == NULL)
	{
		element_source(child->attr, "(c.v OPERATOR(pg_catalog.#>>) '{}')", &child->srcs[0]);
		return;
	}
	if (!json_is_object(keys) || child->attr->type != SCIM_TYPE_COMPLEX || json_object_size(keys) == 0)
		scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "\"keys\" is given as {\"sub-attribute\": \"member\"}, of a complex attribute");
	child->nsubs = 0;
	child->json_keys = palloc0(sizeof(char *) * (json_object_size(keys) + json_object_size(json_object_get(spec, "fixed")) + 1));
	for (iter = json_object_iter(unconstify(json_t *, keys)); iter; iter = json_object_iter_next(unconstify(json_t *, keys), iter))
	{
		ScimAttr   *sub = member_sub(ctx, path, child->attr, json_object_iter_key(iter));
		const char *key;

		if (!json_is_string(json_object_iter_value(iter)))
			scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "\"keys\" is given as {\"sub-attribute\": \"member\"}, of a complex attribute");
		child->json_keys[child->nsubs] = pstrdup(json_string_value(json_object_iter_value(iter)));
		child->subs[child->nsubs] = sub;
		key = quote_literal_cstr(child->json_keys[child->nsubs]);
		if (sub->multi)
		{
			scim_text_expression(scim_several_sql(sub, psprintf("(c.v OPERATOR(pg_catalog.->) %s)", key)), &child->srcs[child->nsubs]);
			child->srcs[child->nsubs].several = true;
		}
		else
			element_source(sub, psprintf("(c.v OPERATOR(pg_catalog.->>) %s)", key), &child->srcs[child->nsubs]);
		child->nsubs++;
	}
}

void
scim_resolve_inline(ScimResolve *ctx, const char *path, ScimAttr *attr, const json_t *spec, ScimChild *child)
{
	static const char *const known[] = {"column", "delimiter", "path", "keys", "fixed", NULL};
	ScimMapping *m = ctx->mapping;
	const char *column = json_string_value(json_is_string(spec) ? spec : json_object_get(spec, "column"));
	ScimSource *store = &child->store;
	const json_t *delimiter = json_object_get(spec, "delimiter");
	Oid			element;

	if (json_is_object(spec))
		scim_mapping_members(ctx, path, spec, known);
	memset(child, 0, sizeof(*child));
	child->kind = SCIM_CHILD_INLINE;
	child->attr = attr;
	child->relid = m->relid;
	child->relation = m->relation;
	child->scope = palloc0(sizeof(char *) * Max(m->nscope, 1));
	if (column == NULL || !scim_column_source(m->relid, "r", column, store))
		scim_mapping_error(ctx, path, ERRCODE_UNDEFINED_COLUMN, "its source is neither a column nor a child table");

	make_subs(child, json_object_size(json_object_get(spec, "keys")) + 1, spec);
	child->nsubs = 1;
	if (attr->type == SCIM_TYPE_COMPLEX && json_object_get(spec, "keys") == NULL)
		child->subs[0] = member_sub(ctx, path, attr, "value");
	element = get_element_type(getBaseType(store->typid));
	if (delimiter)
	{
		child->delimiter = json_string_value(delimiter);
		if (child->delimiter == NULL || child->delimiter[0] == '\0' || store->cls != SCIM_SQL_TEXT)
			scim_mapping_error(ctx, path, ERRCODE_INVALID_PARAMETER_VALUE, "\"delimiter\" is a text, of a column that is text");
		child->delimiter = pstrdup(child->delimiter);
		child->form = SCIM_INLINE_DELIMITED;
		child->from = psprintf("pg_catalog.unnest(pg_catalog.string_to_array(%s::pg_catalog.text, %s)) WITH ORDINALITY c(v, n)",
							   store->expr, quote_literal_cstr(child->delimiter));
		element_source(attr, "nullif(pg_catalog.btrim(c.v), '')", &child->srcs[0]);
	}
	else if (OidIsValid(element))
	{
		child->form = SCIM_INLINE_ARRAY;
		child->from = psprintf("pg_catalog.unnest(%s) WITH ORDINALITY c(v, n)", store->expr);
		element_source(attr, "c.v::pg_catalog.text", &child->srcs[0]);
	}
	else
		inline_json(ctx, path, spec, child);
	if (child->subs[0])
		scim_mapping_check_several(ctx, path, child->subs[0], &child->srcs[0]);
	/* an element that is null is no value */
	if (child->json_keys == NULL)
		child->filter = psprintf("(%s IS NOT NULL)", child->srcs[0].expr);
	add_fixed_subs(ctx, path, spec, child);
}
