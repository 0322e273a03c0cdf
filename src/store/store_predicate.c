/*
 * store_predicate.c
 *		Filter -> SQL (RFC 7644 3.4.2.2).  AST in, boolean expression out; every
 *		operand is a parameter, every identifier comes from the mapping.
 *
 * Two-valued logic: a comparison may yield NULL, which a WHERE clause takes
 * for false, as the rules want it; `not` is "IS NOT TRUE", so that NULL never
 * travels through a negation.
 *
 * Values of multi-valued attributes: EXISTS over a child relation (alias c),
 * with the whole bracket filter inside one EXISTS: the same element.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "store_predicate.h"

/* Where the values of a sub-attribute come from, inside one element. */
typedef struct Element
{
	const ScimChild *child;		/* or NULL */
	const ScimSlot *slot;		/* or NULL */
} Element;

static void element_predicate(PredicateContext *ctx, const Element *element, const ScimFilter *f);

/* What a comparison or value path becomes depends on where it stands. */
typedef void (*LeafPredicate) (PredicateContext *ctx, const ScimFilter *f, const void *arg);

/* and, or, not: the same everywhere; "leaf" does the rest. */
static void
logical(PredicateContext *ctx, const ScimFilter *f, LeafPredicate leaf, const void *arg)
{
	StringInfo	text = &ctx->sql->text;

	switch (f->kind)
	{
		case SCIM_FILTER_AND:
		case SCIM_FILTER_OR:
			appendStringInfoChar(text, '(');
			logical(ctx, f->left, leaf, arg);
			appendStringInfoString(text, f->kind == SCIM_FILTER_AND ? " AND " : " OR ");
			logical(ctx, f->right, leaf, arg);
			appendStringInfoChar(text, ')');
			break;
		case SCIM_FILTER_NOT:
			appendStringInfoChar(text, '(');
			logical(ctx, f->left, leaf, arg);
			appendStringInfoString(text, " IS NOT TRUE)");
			break;
		default:
			leaf(ctx, f, arg);
			break;
	}
}

/* ---- elements of multi-valued attributes ---- */

/* "base_url/Users/" || id: where a reference leads. */
static const char *
reference_expr(PredicateContext *ctx, const char *type_name, const char *id_text)
{
	const ScimEndpointType *to = type_name ? scim_endpoint_type(ctx->target->endpoint, type_name) : NULL;

	if (to == NULL)
		return "NULL::pg_catalog.text";
	return psprintf("($%d OPERATOR(pg_catalog.||) %s)",
					scim_sql_text(ctx->sql, psprintf("%s%s/", scim_endpoint_base_url(ctx->target->endpoint), to->type->endpoint)),
					id_text);
}

/* The id of a group that child_elements() has found. */
static const char *
group_id(const ScimMapping *groups)
{
	const char **parts = palloc(sizeof(char *) * groups->key.n);

	for (int i = 0; i < groups->key.n; i++)
		parts[i] = psprintf("m.g%d", i + 1);
	return psprintf("%s::pg_catalog.text", scim_key_id_sql(groups, parts));
}

/* The value of a sub-attribute (NULL: of the simple attribute) in an element. */
static SqlValue
element_value(PredicateContext *ctx, const Element *element, const ScimAttr *sub)
{
	const ScimChild *child = element->child;
	const ScimSource *id = NULL;
	const char *type_name = NULL;

	if (element->slot)
	{
		for (int i = 0; i < element->slot->nsubs; i++)
			if (element->slot->subs[i] == sub)
				return scim_sql_source_value(&element->slot->srcs[i]);
		return scim_sql_no_value();
	}

	switch (child->kind)
	{
		case SCIM_CHILD_VALUES:
		case SCIM_CHILD_INLINE:
			for (int i = 0; i < child->nsubs; i++)
				if (child->subs[i] == sub)
					return scim_sql_source_value(&child->srcs[i]);
			return scim_sql_no_value();
		case SCIM_CHILD_LINK:
			id = &child->ref;
			type_name = child->ref_type;
			break;
		case SCIM_CHILD_PENDING:
			id = &child->ref;
			break;
		case SCIM_CHILD_GROUPS:
			if (sub && strcmp(sub->name, "type") == 0)
				return scim_sql_text_value("m.type");
			if (sub && strcmp(sub->name, "display") == 0)
				return scim_sql_text_value("m.display");
			if (sub && strcmp(sub->name, "$ref") == 0)
				return scim_sql_text_value(reference_expr(ctx, "Group", group_id(child->target)));
			return sub && strcmp(sub->name, "value") == 0 ? scim_sql_text_value(group_id(child->target)) : scim_sql_no_value();
	}
	if (sub == NULL || strcmp(sub->name, "value") == 0)
		return scim_sql_source_value(id);
	if (strcmp(sub->name, "type") == 0 && type_name)
		return scim_sql_text_value(psprintf("%s::pg_catalog.text", quote_literal_cstr(type_name)));
	if (strcmp(sub->name, "$ref") == 0 && type_name)
		return scim_sql_text_value(reference_expr(ctx, type_name, psprintf("%s::pg_catalog.text", id->expr)));
	return scim_sql_no_value();
}

/* Do links to groups tell by themselves which groups are resources of the scope? */
static bool
links_are_scoped(const ScimMapping *groups, const ScimChild *link)
{
	for (int i = 0; i < groups->nscope; i++)
		if (groups->scope_columns[i] && link->scope[i] == NULL)
			return false;
	return groups->filter == NULL && groups->membership == NULL;
}

/*
 * FROM and WHERE of the elements of a child relation of row r.
 */
static void
child_elements(PredicateContext *ctx, const ScimChild *child)
{
	StringInfo	text = &ctx->sql->text;
	const ScimChild *users = child->user_link;
	const ScimChild *groups = child->group_link;
	const char *display = "NULL::pg_catalog.text";
	int			n = child->target ? child->target->key.n : 0;

	if (child->kind == SCIM_CHILD_INLINE)
	{
		appendStringInfo(text, "FROM %s WHERE true", child->from);
		scim_sql_child_scope(ctx->sql, ctx->mapping, child, "c", ctx->scope);
		return;
	}
	if (child->kind != SCIM_CHILD_GROUPS)
	{
		appendStringInfo(text, "FROM %s c WHERE %s OPERATOR(pg_catalog.=) %s",
						 child->relation, child->parent.row, ctx->mapping->key.row);
		scim_sql_child_scope(ctx->sql, ctx->mapping, child, "c", ctx->scope);
		if (child->kind == SCIM_CHILD_LINK)
			appendStringInfo(text, " AND %s IS NOT NULL", child->ref.expr);
		return;
	}

	for (int i = 0; i < child->target->nscalars; i++)
		if (strcmp(child->target->scalars[i].attr->name, "displayName") == 0 && child->target->scalars[i].attr->parent == NULL)
			display = psprintf("(SELECT %s FROM %s r WHERE %s OPERATOR(pg_catalog.=) %s LIMIT 1)",
							   scim_store_value_sql(&child->target->scalars[i].src),
							   child->target->relation, child->target->key.row, scim_sql_key_row("w.g", n));
	appendStringInfo(text, "FROM (WITH RECURSIVE w(%s, direct) AS (SELECT %s, true FROM %s c WHERE %s OPERATOR(pg_catalog.=) %s",
					 scim_sql_key_list("g", n), scim_sql_columns(&users->parent, "c"), users->relation, users->refs.row, ctx->mapping->key.row);
	scim_sql_child_scope(ctx->sql, child->target, users, "c", ctx->scope);
	if (groups)
	{
		appendStringInfo(text, " UNION SELECT %s, false FROM w u, %s c WHERE %s OPERATOR(pg_catalog.=) %s",
						 scim_sql_columns(&groups->parent, "c"), groups->relation, groups->refs.row, scim_sql_key_row("u.g", n));
		scim_sql_child_scope(ctx->sql, child->target, groups, "c", ctx->scope);
	}
	appendStringInfo(text, ") SELECT %s, CASE WHEN pg_catalog.bool_or(w.direct) THEN 'direct' ELSE 'indirect' END AS type,"
					 " %s AS display FROM w", scim_sql_key_list("w.g", n), display);
	/* a group of another tenant is none, and no filter tells that there is one */
	if (!links_are_scoped(child->target, users))
	{
		appendStringInfo(text, " WHERE EXISTS (SELECT 1 FROM %s r WHERE %s OPERATOR(pg_catalog.=) %s AND ",
						 child->target->relation, child->target->key.row, scim_sql_key_row("w.g", n));
		scim_sql_scope(ctx->sql, child->target, "r", ctx->scope);
		appendStringInfoChar(text, ')');
	}
	appendStringInfo(text, " GROUP BY %s) m WHERE true", scim_sql_key_list("w.g", n));
}

/* Does a slot hold a value: is any of its columns not null? */
static void
slot_exists(PredicateContext *ctx, const ScimSlot *slot)
{
	bool		first = true;

	appendStringInfoChar(&ctx->sql->text, '(');
	for (int i = 0; i < slot->nsubs; i++)
	{
		if (slot->srcs[i].expr == NULL)
			continue;
		appendStringInfo(&ctx->sql->text, "%s%s IS %s", first ? "" : " OR ", slot->srcs[i].expr, slot->flag ? "TRUE" : "NOT NULL");
		first = false;
	}
	appendStringInfoChar(&ctx->sql->text, ')');
}

/*
 * "There is an element for which f holds"; f NULL: there is an element.
 */
static void
any_element(PredicateContext *ctx, const ScimAttr *attr, const ScimFilter *f)
{
	StringInfo	text = &ctx->sql->text;
	bool		first = true;
	Element		element;

	appendStringInfoChar(text, '(');
	for (int i = 0; i < ctx->mapping->nslots; i++)
	{
		if (ctx->mapping->slots[i].attr != attr)
			continue;
		element.child = NULL;
		element.slot = &ctx->mapping->slots[i];
		appendStringInfoString(text, first ? "(" : " OR (");
		slot_exists(ctx, element.slot);
		if (f)
		{
			appendStringInfoString(text, " AND ");
			element_predicate(ctx, &element, f);
		}
		appendStringInfoChar(text, ')');
		first = false;
	}
	for (int i = 0; i < ctx->mapping->nchildren; i++)
	{
		if (ctx->mapping->children[i].attr != attr)
			continue;
		element.child = &ctx->mapping->children[i];
		element.slot = NULL;
		appendStringInfoString(text, first ? "EXISTS (SELECT 1 " : " OR EXISTS (SELECT 1 ");
		child_elements(ctx, element.child);
		if (f)
		{
			appendStringInfoString(text, " AND ");
			element_predicate(ctx, &element, f);
		}
		appendStringInfoChar(text, ')');
		first = false;
	}
	if (first)
		appendStringInfoString(text, "false");
	appendStringInfoChar(text, ')');
}

/* What in an element says which resource it refers to, and the mapping of that; NULL: nothing does. */
static const char *
element_key(const Element *element, const ScimAttr *sub, const ScimMapping **to)
{
	const ScimChild *child = element->child;

	*to = child ? child->target : NULL;
	if (*to == NULL || sub == NULL || strcmp(sub->name, "value") != 0)
		return NULL;
	return child->kind == SCIM_CHILD_GROUPS ? scim_sql_key_row("m.g", (*to)->key.n) : child->refs.row;
}

static void
element_leaf(PredicateContext *ctx, const ScimFilter *f, const void *arg)
{
	SqlValue	v = element_value(ctx, (const Element *) arg, f->sub);
	const ScimMapping *to;
	const char *key = element_key((const Element *) arg, f->sub, &to);

	if (key && scim_compare_id(ctx, to, key, f))
		return;
	scim_compare_value(ctx, f->sub ? f->sub : f->attr, &v, f, true);
}

/* A filter on one element: comparisons of its sub-attributes. */
static void
element_predicate(PredicateContext *ctx, const Element *element, const ScimFilter *f)
{
	logical(ctx, f, element_leaf, element);
}

/* A comparison of a multi-valued attribute outside brackets. */
static void
compare_multi(PredicateContext *ctx, const ScimFilter *f)
{
	StringInfo	text = &ctx->sql->text;
	ScimFilter	presence;

	if (f->op == SCIM_OP_PR && f->sub == NULL)
	{
		any_element(ctx, f->attr, NULL);
		return;
	}
	if (f->operand.kind == SCIM_OPERAND_NULL)
	{
		/* eq null: no value is assigned; ne null: one is */
		presence = *f;
		presence.op = SCIM_OP_PR;
		presence.operand.kind = SCIM_OPERAND_NONE;
		appendStringInfoChar(text, '(');
		any_element(ctx, f->attr, f->sub || f->attr->type != SCIM_TYPE_COMPLEX ? &presence : NULL);
		appendStringInfoString(text, f->op == SCIM_OP_NE ? " IS TRUE)" : " IS NOT TRUE)");
		return;
	}
	appendStringInfoChar(text, '(');
	any_element(ctx, f->attr, f);
	if (f->op == SCIM_OP_NE)
	{
		/* any value differs, or there is none */
		appendStringInfoString(text, " OR ");
		any_element(ctx, f->attr, NULL);
		appendStringInfoString(text, " IS NOT TRUE");
	}
	appendStringInfoChar(text, ')');
}

/* ---- attributes of the resource itself ---- */

static bool
constant_compare(const ScimFilter *f, json_t *value)
{
	ScimFilter	copy = *f;

	return scim_filter_eval_value(&copy, value);
}

/*
 * `schemas`: each URI of the type is compared here; SQL asks only whether the
 * row has something of the extensions that matched.
 */
static void
extension_has_data(PredicateContext *ctx, int ext)
{
	StringInfo	text = &ctx->sql->text;
	const ScimMapping *m = ctx->mapping;
	bool		first = true;

	appendStringInfoChar(text, '(');
	for (int i = 0; i < m->nscalars; i++)
	{
		const ScimAttr *attr = m->scalars[i].attr;

		if ((attr->parent ? attr->parent : attr)->ext != ext)
			continue;
		appendStringInfo(text, "%s%s IS NOT NULL", first ? "" : " OR ", m->scalars[i].src.expr);
		first = false;
	}
	for (int i = 0; i < ctx->target->type->ntop; i++)
	{
		const ScimAttr *attr = ctx->target->type->top[i];

		if (attr->ext != ext || !attr->multi)
			continue;
		if (!first)
			appendStringInfoString(text, " OR ");
		any_element(ctx, attr, NULL);
		first = false;
	}
	if (first)
		appendStringInfoString(text, "false");
	appendStringInfoChar(text, ')');
}

static void
compare_schemas(PredicateContext *ctx, const ScimFilter *f)
{
	const ScimResourceType *type = ctx->target->type;
	ScimFilter	leaf = *f;
	bool		core;

	if (f->op == SCIM_OP_PR || f->operand.kind == SCIM_OPERAND_NULL)
	{
		/* every resource has schemas */
		appendStringInfoString(&ctx->sql->text, f->op == SCIM_OP_EQ ? "false" : "true");
		return;
	}
	core = constant_compare(&leaf, scim_store_json_string(type->schema->uri));
	appendStringInfo(&ctx->sql->text, "(%s", core ? "true" : "false");
	for (int i = 0; i < type->nexts && !core; i++)
		if (constant_compare(&leaf, scim_store_json_string(type->exts[i].schema->uri)))
		{
			appendStringInfoString(&ctx->sql->text, " OR ");
			extension_has_data(ctx, i);
		}
	appendStringInfoChar(&ctx->sql->text, ')');
}

static SqlValue
meta_value(PredicateContext *ctx, const ScimAttr *sub)
{
	const ScimMapping *m = ctx->mapping;

	if (strcmp(sub->name, "created") == 0 && m->created)
		return scim_sql_source_value(m->created);
	if (strcmp(sub->name, "lastModified") == 0 && m->last_modified)
		return scim_sql_source_value(m->last_modified);
	if (strcmp(sub->name, "location") == 0)
		return scim_sql_text_value(reference_expr(ctx, ctx->target->type->name, psprintf("%s::pg_catalog.text", m->key.id.expr)));
	if (strcmp(sub->name, "version") == 0)
		return scim_sql_text_value(psprintf("('W/\"' OPERATOR(pg_catalog.||) %s::pg_catalog.text OPERATOR(pg_catalog.||) '\"')",
								   scim_store_version_sql(m)));
	if (strcmp(sub->name, "resourceType") == 0)
		return scim_sql_text_value(psprintf("%s::pg_catalog.text", quote_literal_cstr(ctx->target->type->name)));
	return scim_sql_no_value();
}

/* The value of a singular attribute (or sub-attribute) of the parent row. */
static SqlValue
scalar_value(PredicateContext *ctx, const ScimFilter *f)
{
	const ScimAttr *leaf = f->sub ? f->sub : f->attr;
	int			i;

	if (f->attr == ctx->target->type->a_id)
		return scim_sql_source_value(&ctx->mapping->key.id);
	if (f->attr == ctx->target->type->a_meta)
		return f->sub ? meta_value(ctx, f->sub) : scim_sql_text_value("'meta'::pg_catalog.text");
	i = scim_store_state(ctx->mapping)->scalar_of[leaf->ord];
	if (i >= 0)
		return scim_sql_source_value(&ctx->mapping->scalars[i].src);
	if (f->sub && strcmp(f->sub->name, "$ref") == 0)
	{
		const ScimAttr *value = scim_attr_sub(f->attr, "value", 5);

		i = value ? scim_store_state(ctx->mapping)->scalar_of[value->ord] : -1;
		if (i >= 0)
			return scim_sql_text_value(reference_expr(ctx, leaf->nref_types > 0 ? leaf->ref_types[0] : NULL,
											 psprintf("%s::pg_catalog.text", ctx->mapping->scalars[i].src.expr)));
	}
	return scim_sql_no_value();
}

/* Presence of a singular complex attribute: any of its sub-attributes. */
static void
complex_present(PredicateContext *ctx, const ScimFilter *f)
{
	bool		first = true;
	bool		negate = f->op == SCIM_OP_EQ;	/* eq null */

	appendStringInfoString(&ctx->sql->text, "((");
	for (int i = 0; i < ctx->mapping->nscalars; i++)
	{
		SqlValue	v;

		if (ctx->mapping->scalars[i].attr->parent != f->attr)
			continue;
		if (!first)
			appendStringInfoString(&ctx->sql->text, " OR ");
		v = scim_sql_source_value(&ctx->mapping->scalars[i].src);
		scim_compare_present(ctx, &v);
		first = false;
	}
	if (first)
		appendStringInfoString(&ctx->sql->text, f->attr == ctx->target->type->a_meta ? "true" : "false");
	appendStringInfo(&ctx->sql->text, ") IS %sTRUE)", negate ? "NOT " : "");
}

/* A comparison inside a value path on a singular complex attribute. */
static void
singular_leaf(PredicateContext *ctx, const ScimFilter *f, const void *arg)
{
	SqlValue	v = scalar_value(ctx, f);

	scim_compare_value(ctx, f->sub ? f->sub : f->attr, &v, f, true);
}

/*
 * externalId eq, where scim.resource_state has it: the keys are looked up, so
 * that the relation's own index serves the rest.
 */
static void
compare_state_id(PredicateContext *ctx, const ScimFilter *f)
{
	const char **keys;
	int			n = scim_state_keys(ctx->target, f->operand.text, &keys);

	appendStringInfo(&ctx->sql->text, "(%s)", scim_sql_is_any_id(ctx->mapping, scim_sql_ids(ctx->sql, ctx->mapping, keys, n)));
}

static void
compare_attribute(PredicateContext *ctx, const ScimFilter *f)
{
	SqlValue	v;

	if (f->attr == ctx->target->type->a_schemas)
		compare_schemas(ctx, f);
	else if (f->attr->multi)
		compare_multi(ctx, f);
	else if (f->attr->type == SCIM_TYPE_COMPLEX && f->sub == NULL)
		complex_present(ctx, f);
	else if (f->attr == ctx->target->type->a_external_id && f->op == SCIM_OP_EQ && f->operand.kind == SCIM_OPERAND_STRING &&
			 scim_store_state(ctx->mapping)->state_external_id >= 0)
		compare_state_id(ctx, f);
	else
	{
		if (f->attr == ctx->target->type->a_id && scim_compare_id(ctx, ctx->mapping, NULL, f))
			return;
		v = scalar_value(ctx, f);
		scim_compare_value(ctx, f->sub ? f->sub : f->attr, &v, f, false);
	}
}

static void
resource_leaf(PredicateContext *ctx, const ScimFilter *f, const void *arg)
{
	StringInfo	text = &ctx->sql->text;
	ScimFilter	exists;

	if (f->kind == SCIM_FILTER_COMPARE)
		compare_attribute(ctx, f);
	else if (f->attr->multi)
		any_element(ctx, f->attr, f->left);
	else
	{
		memset(&exists, 0, sizeof(exists));
		exists.kind = SCIM_FILTER_COMPARE;
		exists.op = SCIM_OP_PR;
		exists.attr = f->attr;
		appendStringInfoChar(text, '(');
		complex_present(ctx, &exists);
		appendStringInfoString(text, " AND ");
		logical(ctx, f->left, singular_leaf, NULL);
		appendStringInfoChar(text, ')');
	}
}

void
scim_store_predicate(ScimSql *sql, const ScimEndpointType *target, const ScimFilter *filter, int scope_param)
{
	PredicateContext ctx;

	ctx.sql = sql;
	ctx.target = target;
	ctx.mapping = target->mapping;
	ctx.scope = scope_param;
	logical(&ctx, filter, resource_leaf, NULL);
}

/* ---- order ---- */

/*
 * The sort key of a multi-valued attribute: its primary value, else the first
 * (RFC 7644 3.4.2.3).
 */
static const char *
multi_sort_key(PredicateContext *ctx, const ScimPath *path, SqlValue *v)
{
	const ScimMapping *m = ctx->mapping;
	const ScimAttr *sub = path->sub;
	StringInfoData saved = ctx->sql->text;
	StringInfoData key;
	Element		element;

	if (sub == NULL && path->attr->type == SCIM_TYPE_COMPLEX)
		sub = scim_attr_sub(path->attr, "value", 5);

	for (int i = 0; i < m->nslots; i++)
	{
		if (m->slots[i].attr != path->attr)
			continue;
		element.child = NULL;
		element.slot = &m->slots[i];
		*v = element_value(ctx, &element, sub);
		return v->expr;
	}
	for (int i = 0; i < m->nchildren; i++)
	{
		const ScimChild *child = &m->children[i];
		const ScimAttr *primary = scim_attr_sub(path->attr, "primary", 7);

		if (child->attr != path->attr)
			continue;
		element.child = child;
		element.slot = NULL;
		initStringInfo(&ctx->sql->text);
		*v = element_value(ctx, &element, sub);
		appendStringInfo(&ctx->sql->text, "(SELECT %s ", v->expr);
		child_elements(ctx, child);
		appendStringInfoString(&ctx->sql->text, " ORDER BY ");
		if (primary && (child->kind == SCIM_CHILD_VALUES || child->kind == SCIM_CHILD_INLINE))
			appendStringInfo(&ctx->sql->text, "coalesce(%s::pg_catalog.bool, false) DESC, ",
							 element_value(ctx, &element, primary).expr);
		if (child->order || child->kind == SCIM_CHILD_INLINE)
			appendStringInfo(&ctx->sql->text, "c.%s", child->order ? child->order : "n");
		else
			appendStringInfoString(&ctx->sql->text, v->expr);
		appendStringInfoString(&ctx->sql->text, " LIMIT 1)");
		key = ctx->sql->text;
		ctx->sql->text = saved;
		return key.data;
	}
	*v = scim_sql_no_value();
	return v->expr;
}

/* The first value of a sub-attribute with several, of which "array" is SQL. */
static const char *
first_of_several(const ScimAttr *sub, const char *array, SqlValue *v)
{
	const char *first = psprintf("((%s)::pg_catalog.jsonb OPERATOR(pg_catalog.->>) 0)", array);

	*v = scim_sql_text_value(first);
	if (sub->type == SCIM_TYPE_INTEGER || sub->type == SCIM_TYPE_DECIMAL)
		v->cls = SCIM_SQL_NUMERIC;
	else if (sub->type == SCIM_TYPE_DATETIME)
	{
		v->cls = SCIM_SQL_TIMESTAMPTZ;
		first = scim_time_sql(first);
	}
	return first;
}

/*
 * The expression that sortBy orders by and its type, in which two values of it
 * compare; NULL: all resources are alike.  *not_null: it has a value in every
 * row, and the expression is the one that an index is on.
 */
const char *
scim_store_sort_key(ScimSql *sql, const ScimEndpointType *target, const ScimPath *path, int scope_param,
					const char **type, bool *not_null)
{
	PredicateContext ctx;
	const ScimAttr *leaf = path->sub ? path->sub : path->attr;
	ScimFilter	name;
	SqlValue	v;
	const char *expr;

	*not_null = false;
	if (path->attr == target->type->a_schemas)
		return NULL;
	ctx.sql = sql;
	ctx.target = target;
	ctx.mapping = target->mapping;
	ctx.scope = scope_param;
	if (path->attr->multi)
	{
		expr = multi_sort_key(&ctx, path, &v);
		if (path->sub == NULL && path->attr->type == SCIM_TYPE_COMPLEX)
			leaf = scim_attr_sub(path->attr, "value", 5);
	}
	else
	{
		int			i = scim_store_state(target->mapping)->scalar_of[leaf->ord];

		memset(&name, 0, sizeof(name));
		name.attr = path->attr;
		name.sub = path->sub;
		v = scalar_value(&ctx, &name);
		expr = v.expr;
		*not_null = i >= 0 && leaf->required && target->mapping->scalars[i].src.not_null;
	}
	if (v.src && v.src->several)
		expr = first_of_several(leaf, expr, &v);
	switch (v.cls)
	{
		case SCIM_SQL_TEXT:
		case SCIM_SQL_OTHER:
			break;
		case SCIM_SQL_BOOLEAN:
			*type = "pg_catalog.bool";
			return expr;
		case SCIM_SQL_INTEGER:
			*type = "pg_catalog.int8";
			return expr;
		case SCIM_SQL_NUMERIC:
			*type = "pg_catalog.numeric";
			return psprintf("(%s)::pg_catalog.numeric", expr);
		case SCIM_SQL_TIMESTAMPTZ:
			*type = "pg_catalog.timestamptz";
			return expr;
		case SCIM_SQL_UUID:
			*type = "pg_catalog.uuid";
			return expr;
	}
	*type = "pg_catalog.text";
	if (!v.is_text)
		expr = psprintf("(%s)::pg_catalog.text", expr);
	/* an empty string is unassigned */
	if (!*not_null)
		expr = psprintf("nullif(%s, '')", expr);
	if (leaf && !leaf->case_exact && leaf->type == SCIM_TYPE_STRING)
		expr = psprintf("scim.fold(%s)", expr);
	return psprintf("%s COLLATE \"C\"", expr);
}
