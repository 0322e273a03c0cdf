/*
 * catalog_mapping.c
 *		From the JSON of a mapping to resolved attributes, and from mappings to
 *		the set that an endpoint serves (what connects them:
 *		catalog_mapping_connect.c).
 *
 * Runs as the owner of the mapping, with a pinned search_path, so that names
 * resolve to what the owner may use.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "catalog_mapping_internal.h"

/* ---- paths ---- */

static ScimPath *
resolve_path(ScimResolve *ctx, const ScimResourceType *type, const char *text)
{
	ScimError	err;
	ScimPath   *path;

	memset(&err, 0, sizeof(err));
	path = scim_path_parse(type, text, strlen(text), SCIM_STRICT, &err);
	if (path == NULL)
		scim_mapping_error(ctx, text, ERRCODE_INVALID_PARAMETER_VALUE, err.detail);
	if (path->attr == NULL)
		scim_mapping_error(ctx, text, ERRCODE_INVALID_PARAMETER_VALUE, "names a schema and no attribute");
	return path;
}

static void
keep(ScimResolve *ctx, const ScimAttr *attr)
{
	/* the second pass speaks of another type's attributes */
	if (ctx->kept == NULL)
		return;
	ctx->kept[attr->ord] = true;
	if (attr->parent)
		ctx->kept[attr->parent->ord] = true;
}

/*
 * A complex value whose `value` is the id of a SCIM resource also has a $ref,
 * made from it.
 */
static void
keep_reference(ScimResolve *ctx, const ScimAttr *attr)
{
	ScimAttr   *ref = scim_attr_sub(attr, "$ref", 4);

	if (ref && ref->type == SCIM_TYPE_REFERENCE)
		keep(ctx, ref);
}

static bool
keep_callback(const ScimAttr *attr, void *arg)
{
	ScimResolve *ctx = (ScimResolve *) arg;
	ScimAttr   *top;
	const ScimAttr *outer = attr->parent ? attr->parent : attr;

	if (attr->common)
	{
		top = scim_type_attr(ctx->full, SCIM_EXT_CORE, outer->name, strlen(outer->name));
		if (top == ctx->full->a_schemas || top == ctx->full->a_id)
			return true;
	}
	else
		top = scim_type_attr(ctx->full, attr->ext, outer->name, strlen(outer->name));
	if (top == NULL)
		return false;
	if (attr->parent)
		top = scim_attr_sub(top, attr->name, strlen(attr->name));
	return top != NULL && ctx->kept[top->ord];
}

static void
keep_child(ScimResolve *ctx, const ScimChild *child)
{
	ScimAttr   *value = scim_attr_sub(child->attr, "value", 5);

	keep(ctx, child->attr);
	if (child->kind == SCIM_CHILD_VALUES || child->kind == SCIM_CHILD_INLINE)
	{
		for (int i = 0; i < child->nsubs; i++)
			if (child->subs[i])
				keep(ctx, child->subs[i]);
		return;
	}
	if (value)
		keep(ctx, value);
	keep_reference(ctx, child->attr);
	if (scim_attr_sub(child->attr, "type", 4))
		keep(ctx, scim_attr_sub(child->attr, "type", 4));
}

/* ---- slots ---- */

/* Does a slot have these fixed values, and no other? */
static bool
slot_is_fixed_by(const ScimSlot *slot, const json_t *fixed)
{
	size_t		nconstants = 0;

	for (int i = 0; i < slot->nsubs; i++)
	{
		const json_t *want;

		if (slot->srcs[i].expr)
			continue;
		want = json_object_get(fixed, slot->subs[i]->name);
		if (json_is_string(want) ? strcmp(json_string_value(want), slot->srcs[i].constant) != 0 :
			!json_is_boolean(want) || strcmp(json_is_true(want) ? "true" : "false", slot->srcs[i].constant) != 0)
			return false;
		nconstants++;
	}
	return nconstants == json_object_size(fixed);
}

/*
 * emails[type eq "work"].value: the slot of the attribute whose filter fixes
 * the same values, made when it is not there yet.  roles[value eq "admin"] on
 * a boolean: there is such a value where it is true.
 */
static void
add_slot(ScimResolve *ctx, const char *text, const ScimPath *path, const ScimSource *src)
{
	ScimMapping *m = ctx->mapping;
	json_t	   *fixed = scim_json_object();
	ScimSlot   *slot = NULL;
	void	   *iter;
	ScimAttr   *sub = path->sub;
	bool		flag = sub == NULL && path->attr->type == SCIM_TYPE_COMPLEX;

	if (path->filter == NULL || !scim_filter_template(path->filter, fixed))
		scim_mapping_error(ctx, text, ERRCODE_INVALID_PARAMETER_VALUE,
						   "a value path with one source needs a filter of eq comparisons");
	if (flag && src->cls != SCIM_SQL_BOOLEAN)
		scim_mapping_error(ctx, text, ERRCODE_INVALID_PARAMETER_VALUE,
						   "a value path without a sub-attribute needs a boolean");

	for (int i = 0; i < m->nslots && slot == NULL; i++)
		if (m->slots[i].attr == path->attr && slot_is_fixed_by(&m->slots[i], fixed))
			slot = &m->slots[i];
	if (slot && (flag || slot->flag))
		scim_mapping_error(ctx, text, ERRCODE_INVALID_PARAMETER_VALUE, "has two sources");
	if (slot == NULL)
	{
		slot = &m->slots[m->nslots++];
		memset(slot, 0, sizeof(*slot));	/* the first pass has used it */
		slot->attr = path->attr;
		slot->subs = palloc0(sizeof(ScimAttr *) * (path->attr->nsubs + 2));
		slot->srcs = palloc0(sizeof(ScimSource) * (path->attr->nsubs + 2));
		slot->flag = flag;
		for (iter = json_object_iter(fixed); iter; iter = json_object_iter_next(fixed, iter))
		{
			const char *key = json_object_iter_key(iter);

			slot->subs[slot->nsubs] = scim_attr_sub(path->attr, key, strlen(key));
			scim_constant_source(json_object_iter_value(iter), &slot->srcs[slot->nsubs]);
			scim_mapping_check_several(ctx, text, slot->subs[slot->nsubs], &slot->srcs[slot->nsubs]);
			keep(ctx, slot->subs[slot->nsubs]);
			slot->nsubs++;
		}
	}
	for (int j = 0; j < slot->nsubs; j++)
		if (slot->subs[j] == sub)
			scim_mapping_error(ctx, text, ERRCODE_INVALID_PARAMETER_VALUE, "has two sources");
	slot->subs[slot->nsubs] = sub;
	slot->srcs[slot->nsubs] = *src;
	slot->nsubs++;
	if (sub)
		keep(ctx, sub);
	keep(ctx, path->attr);
}

/* The only value that an attribute can have is its primary one. */
static void
imply_primary(ScimResolve *ctx, ScimSlot *slot)
{
	ScimMapping *m = ctx->mapping;
	ScimAttr   *primary = scim_attr_sub(slot->attr, "primary", 7);

	if (primary == NULL || slot->flag)
		return;
	for (int i = 0; i < m->nslots; i++)
		if (&m->slots[i] != slot && m->slots[i].attr == slot->attr)
			return;
	for (int i = 0; i < m->nchildren; i++)
		if (m->children[i].attr == slot->attr)
			return;
	for (int i = 0; i < slot->nsubs; i++)
		if (slot->subs[i] == primary)
			return;
	slot->subs[slot->nsubs] = primary;
	scim_constant_source(json_true(), &slot->srcs[slot->nsubs]);
	slot->srcs[slot->nsubs++].implied = true;
	keep(ctx, primary);
}

/* ---- one mapping ---- */

static void
check_relation(ScimResolve *ctx)
{
	char		kind;

	/* or it may be gone in the middle of all the look-ups that follow */
	LockRelationOid(ctx->row->relid, AccessShareLock);
	kind = get_rel_relkind(ctx->row->relid);
	if (kind == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the relation of mapping \"%s\" does not exist any more", ctx->row->name),
				 errhint("SELECT scim.alter_mapping(%s, relation => '...');", quote_literal_cstr(ctx->row->name))));
	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE && kind != RELKIND_VIEW && kind != RELKIND_FOREIGN_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("mapping \"%s\" needs a table or a view", ctx->row->name)));
}

/* One place of a multi-valued attribute. */
static void
add_child(ScimResolve *ctx, const char *text, ScimAttr *attr, const json_t *spec)
{
	ScimMapping *m = ctx->mapping;
	ScimChild  *child = &m->children[m->nchildren];

	if (json_object_get(spec, "table"))
		scim_resolve_child(ctx, text, attr, spec, child);
	else
		scim_resolve_inline(ctx, text, attr, spec, child);
	keep_child(ctx, child);
	m->nchildren++;
}

/* One member of the attributes object, against the type of this pass. */
static void
resolve_member(ScimResolve *ctx, const ScimResourceType *type, const char *text, const json_t *value)
{
	ScimMapping *m = ctx->mapping;
	ScimPath   *path;
	ScimAttr   *leaf;
	ScimSource	src;

	path = resolve_path(ctx, type, text);
	if (path->attr == type->a_id || path->attr == type->a_schemas)
		scim_mapping_error(ctx, text, ERRCODE_INVALID_PARAMETER_VALUE, "is made by scim and cannot be mapped");

	if (path->attr->multi && path->filter == NULL && path->sub == NULL)
	{
		int			n = json_is_array(value) ? (int) json_array_size(value) : 1;

		for (int i = 0; i < n; i++)
			add_child(ctx, text, path->attr, json_is_array(value) ? json_array_get(value, i) : value);
		return;
	}
	if (json_is_array(value))
		scim_mapping_error(ctx, text, ERRCODE_INVALID_PARAMETER_VALUE, "only a multi-valued attribute has several places");
	leaf = path->sub ? path->sub : path->attr;
	if (!path->attr->multi && (path->filter || leaf->type == SCIM_TYPE_COMPLEX))
		scim_mapping_error(ctx, text, ERRCODE_INVALID_PARAMETER_VALUE, "a complex attribute is mapped by its sub-attributes");
	scim_json_source(ctx, text, leaf, value, &src);
	scim_mapping_check_several(ctx, text, leaf, &src);

	if (path->attr == type->a_meta)
	{
		ScimSource *copy = palloc(sizeof(ScimSource));

		*copy = src;
		if (path->sub && strcmp(path->sub->name, "created") == 0 && src.cls == SCIM_SQL_TIMESTAMPTZ)
			m->created = copy;
		else if (path->sub && strcmp(path->sub->name, "lastModified") == 0 && src.cls == SCIM_SQL_TIMESTAMPTZ)
			m->last_modified = copy;
		else if (path->sub && strcmp(path->sub->name, "version") == 0 && src.cls == SCIM_SQL_INTEGER)
			m->version = copy;
		else
			scim_mapping_error(ctx, text, ERRCODE_INVALID_PARAMETER_VALUE,
							   "meta.created and meta.lastModified are mapped to a time, meta.version to an integer");
		keep(ctx, path->sub);
		return;
	}
	if (path->attr->multi)
	{
		add_slot(ctx, text, path, &src);
		return;
	}
	m->scalars[m->nscalars].attr = leaf;
	m->scalars[m->nscalars].src = src;
	m->nscalars++;
	keep(ctx, leaf);
	if (path->sub && strcmp(path->sub->name, "value") == 0)
		keep_reference(ctx, path->attr);
}

/* A column of the row of scim.resource_state beside every row. */
static void
state_source(ScimResolve *ctx, const char *path, const ScimAttr *attr, const char *column, ScimSource *src)
{
	json_t	   *spec = scim_json_object();
	ScimCoreFrame frame;
	bool		ok;

	scim_core_enter(&frame);
	ok = json_object_set_new(spec, "table", json_string("scim.resource_state")) == 0 &&
		json_object_set_new(spec, "parent", json_string("key")) == 0 &&
		json_object_set_new(spec, "where", json_pack("{s:I}", "mapping", (json_int_t) ctx->mapping->id)) == 0 &&
		json_object_set_new(spec, "column", json_string(column)) == 0;
	scim_core_leave(&frame);
	if (!ok)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	scim_json_source(ctx, path, attr, spec, src);
	ctx->mapping->state = src->side;
}

/*
 * What no attribute of the mapping says is in scim.resource_state; with the
 * option "track", the version in any case.
 */
static void
add_state(ScimResolve *ctx, const ScimResourceType *type)
{
	ScimMapping *m = ctx->mapping;
	ScimAttr   *external_id = type->a_external_id;
	struct
	{
		const char *name;
		const char *column;
		ScimSource **place;
	}			times[] = {
		{"created", "created", &m->created}, {"lastModified", "last_modified", &m->last_modified}
	};

	for (int i = 0; external_id && i < m->nscalars; i++)
		if (m->scalars[i].attr == external_id)
			external_id = NULL;
	if (external_id)
	{
		state_source(ctx, "externalId", external_id, "external_id", &m->scalars[m->nscalars].src);
		m->scalars[m->nscalars++].attr = external_id;
		keep(ctx, external_id);
	}
	for (int i = 0; i < lengthof(times); i++)
	{
		ScimAttr   *attr = scim_attr_sub(type->a_meta, times[i].name, strlen(times[i].name));

		if (*times[i].place)
			continue;
		*times[i].place = palloc(sizeof(ScimSource));
		state_source(ctx, psprintf("meta.%s", times[i].name), attr, times[i].column, *times[i].place);
		/* the store writes it with the rest of the row */
		(*times[i].place)->column = NULL;
		keep(ctx, attr);
	}
	if (m->track && m->state == NULL)
	{
		ScimSource	version;

		state_source(ctx, "meta.version", scim_attr_sub(type->a_meta, "version", 7), "version", &version);
	}
}

/* Options "state" and "track": whether there is a row of scim.resource_state, and who keeps it. */
static void
resolve_state(ScimResolve *ctx, const json_t *options)
{
	const json_t *state = json_object_get(options, "state");
	const json_t *track = json_object_get(options, "track");

	if ((state && !json_is_boolean(state)) || (track && !json_is_boolean(track)))
		scim_mapping_error(ctx, state && !json_is_boolean(state) ? "state" : "track", ERRCODE_INVALID_PARAMETER_VALUE, "is true or false");
	ctx->state = !json_is_false(state);
	ctx->mapping->track = json_is_true(track);
	if (ctx->mapping->track && !ctx->state)
		scim_mapping_error(ctx, "track", ERRCODE_INVALID_PARAMETER_VALUE, "needs \"state\", which is where it is kept");
}

/*
 * What triggers see of a row is its key: that has to name the resource, and be
 * a column that they can see.
 */
static void
check_track(ScimResolve *ctx)
{
	const ScimMapping *m = ctx->mapping;

	if (!m->track)
		return;
	if (get_rel_relkind(m->relid) != RELKIND_RELATION && get_rel_relkind(m->relid) != RELKIND_PARTITIONED_TABLE)
		scim_mapping_error(ctx, "track", ERRCODE_INVALID_PARAMETER_VALUE, "needs a table: a view or foreign table has no triggers that see its rows");
	if (m->state->by_scope || m->key.by_expression || m->key.ncolumns > 1 || m->key.id.attnum == 0)
		scim_mapping_error(ctx, "track", ERRCODE_INVALID_PARAMETER_VALUE,
						   "needs a key that is one column, unique by itself, and a row that is a resource of one endpoint");
}

static void
resolve_members(ScimResolve *ctx, const ScimResourceType *type, json_t *attributes)
{
	ScimMapping *m = ctx->mapping;
	void	   *iter;

	m->nscalars = m->nslots = m->nchildren = m->nsides = 0;
	m->state = NULL;
	m->created = m->last_modified = m->version = NULL;
	for (iter = json_object_iter(attributes); iter; iter = json_object_iter_next(attributes, iter))
		resolve_member(ctx, type, json_object_iter_key(iter), json_object_iter_value(iter));
	for (int i = 0; i < m->nslots; i++)
		imply_primary(ctx, &m->slots[i]);
	if (ctx->state)
		add_state(ctx, type);
}

static int
count_children(json_t *attributes)
{
	int			n = 1;			/* and one for groups */
	void	   *iter;

	for (iter = json_object_iter(attributes); iter; iter = json_object_iter_next(attributes, iter))
	{
		json_t	   *value = json_object_iter_value(iter);

		n += json_is_array(value) ? (int) json_array_size(value) : 1;
	}
	return n;
}

/* The most rows beside the resource that there can be: sources point at them. */
static int
count_sides(json_t *attributes, const json_t *options)
{
	int			n = (int) json_object_size(attributes) + (int) json_array_size(json_object_get(options, "beside"));
	void	   *iter;

	for (iter = json_object_iter(attributes); iter; iter = json_object_iter_next(attributes, iter))
		n += (int) json_array_size(json_object_get(json_object_iter_value(iter), "copies"));
	return n + 3;				/* those of add_state */
}

/* A scope column is set by the endpoint and by nobody else (T1). */
static void
check_scope_column(const ScimMapping *m, const char *scope_column, const char *column, const char *attribute)
{
	if (scope_column && column && strcmp(column, scope_column) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mapping \"%s\" maps attribute \"%s\" to a scope column", m->name, attribute)));
}

static void
check_scope_source(const ScimMapping *m, int i, const ScimSource *src, const char *attribute)
{
	const char *scope = src->side ? src->side->scope[i] : m->scope_columns[i];

	check_scope_column(m, scope, src->column, attribute);
	for (int j = 0; j < src->nwrites; j++)
		check_scope_column(m, scope, src->writes[j].column, attribute);
	for (int j = 0; j < src->ncopies; j++)
		check_scope_source(m, i, &src->copies[j], attribute);
}

static void
check_scope_settings(const ScimMapping *m, const char *scope, const ScimSetting *settings, int n, const char *name)
{
	for (int i = 0; i < n; i++)
		check_scope_column(m, scope, settings[i].column, name);
}

static void
check_scope(const ScimMapping *m)
{
	const struct
	{
		const ScimSource *src;
		const char *name;
	}			times[] = {
		{m->created, "meta.created"}, {m->last_modified, "meta.lastModified"}, {m->version, "meta.version"}
	};

	for (int i = 0; i < m->nscope; i++)
	{
		const char *scope = m->scope_columns[i];

		for (int j = 0; j < m->nscalars; j++)
			check_scope_source(m, i, &m->scalars[j].src, m->scalars[j].attr->name);
		for (int j = 0; j < m->nslots; j++)
			for (int k = 0; k < m->slots[j].nsubs; k++)
				check_scope_source(m, i, &m->slots[j].srcs[k], m->slots[j].attr->name);
		check_scope_settings(m, scope, m->inserts, m->ninserts, "insert");
		check_scope_settings(m, scope, m->touches, m->ntouches, "touch");
		for (int j = 0; j < m->nbesides; j++)
			check_scope_settings(m, m->besides[j].scope[i], m->besides[j].inserts, m->besides[j].ninserts, "beside");
		for (int j = 0; j < m->nsides; j++)
		{
			check_scope_settings(m, m->sides[j].scope[i], m->sides[j].inserts, m->sides[j].ninserts, "insert");
			check_scope_column(m, scope, m->sides[j].by, "by");
		}
		if (m->membership)
			check_scope_settings(m, m->membership->scope[i], m->membership->inserts, m->membership->ninserts, "membership");
		check_scope_settings(m, scope, m->marks, m->nmarks, "delete");
		check_scope_settings(m, scope, m->revives, m->nrevives, "revive");
		for (int j = 0; j < lengthof(times); j++)
			check_scope_column(m, scope, times[j].src ? times[j].src->column : NULL, times[j].name);
		for (int j = 0; j < m->nchildren; j++)
		{
			const ScimChild *child = &m->children[j];

			for (int k = 0; k < child->nsubs; k++)
				check_scope_column(m, child->scope[i], child->srcs[k].column, child->attr->name);
			for (int k = 0; k < child->refs.n; k++)
				check_scope_column(m, child->scope[i], child->refs.columns[k], child->attr->name);
			check_scope_column(m, scope, child->store.column, child->attr->name);
			check_scope_settings(m, child->scope[i], child->inserts, child->ninserts, child->attr->name);
			check_scope_settings(m, child->scope[i], child->removes, child->nremoves, child->attr->name);
			check_scope_settings(m, child->scope[i], child->revives, child->nrevives, child->attr->name);
		}
	}
}

/*
 * Resolve one row.  Two passes over the attributes: the first against the full
 * resource type tells which attributes have a source; the second against the
 * type that has just these.
 */
static ScimMapping *
resolve_mapping(ScimMappingRow *row, List *scope, bool with_groups)
{
	ScimResolve ctx;
	ScimMapping *m = palloc0(sizeof(ScimMapping));
	ScimError	err;
	json_t	   *attributes;
	json_t	   *options;
	int			n;

	memset(&err, 0, sizeof(err));
	ctx.mapping = m;
	ctx.row = row;
	ctx.scope = scope;
	ctx.full = scim_catalog_resource_type(row->resource_type);
	if (ctx.full == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("resource type \"%s\" of mapping \"%s\" does not exist", row->resource_type, row->name)));
	ctx.kept = palloc0(sizeof(bool) * ctx.full->nattrs);
	check_relation(&ctx);
	if (row->id != 0 && !row->builtin)
		scim_mapping_follow(row);

	m->id = row->id;
	m->name = row->name;
	m->builtin = row->builtin;
	m->relid = row->relid;
	m->relation = scim_qualified_relation(row->relid);
	m->table_schema = get_namespace_name(get_rel_namespace(row->relid));
	m->table_name = get_rel_name(row->relid);

	options = scim_json_parse(row->options, strlen(row->options), &err);
	if (options == NULL || !json_is_object(options))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the options of mapping \"%s\" are no JSON object", row->name)));
	scim_resolve_scope(&ctx, options);
	scim_resolve_key(&ctx);
	if (m->membership)
		scim_fit_reference(m, m, "membership", m->membership->relid, "c", &m->membership->parent, m->membership->scope);
	resolve_state(&ctx, options);

	attributes = scim_json_parse(row->attributes, strlen(row->attributes), &err);
	if (attributes == NULL || !json_is_object(attributes))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the attributes of mapping \"%s\" are no JSON object", row->name)));
	n = (int) json_object_size(attributes);
	m->scalars = palloc0(sizeof(ScimScalar) * (n + 1));
	m->slots = palloc0(sizeof(ScimSlot) * (n + 1));
	m->children = palloc0(sizeof(ScimChild) * count_children(attributes));
	m->sides = palloc0(sizeof(ScimSide) * (count_sides(attributes, options) + 1));

	resolve_members(&ctx, ctx.full, attributes);
	keep(&ctx, scim_attr_sub(ctx.full->a_meta, "resourceType", 12));
	keep(&ctx, scim_attr_sub(ctx.full->a_meta, "location", 8));
	/* every mapping has a version: a column, or the row's own */
	keep(&ctx, scim_attr_sub(ctx.full->a_meta, "version", 7));
	if (with_groups)
	{
		ScimAttr   *groups = scim_type_attr(ctx.full, SCIM_EXT_CORE, "groups", 6);

		for (int i = 0; groups && i < groups->nsubs; i++)
			keep(&ctx, groups->subs[i]);
	}

	m->type = scim_resource_type_make(scim_catalog_registry(), ctx.full->name, ctx.full->endpoint,
									  ctx.full->description, ctx.full->schema->uri,
									  ctx.full->exts, ctx.full->nexts, keep_callback, &ctx, &err);
	if (m->type == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("mapping \"%s\": %s", row->name, err.detail)));

	unconstify(ScimResourceType *, m->type)->wider = ctx.full;

	ctx.kept = NULL;
	resolve_members(&ctx, m->type, attributes);
	scim_resolve_options(&ctx, options);
	check_track(&ctx);
	scim_mapping_characteristics(&ctx);

	check_scope(m);
	return m;
}

/* ---- the set ---- */

/* Names that are to be there once, and that the store has to look for itself. */
static void
note_unguarded(ScimMapping *m)
{
	for (int i = 0; i < m->nscalars; i++)
	{
		ScimScalar *scalar = &m->scalars[i];

		/* the built-in store's own: scim._unique_values sees to it where no index does */
		if (!m->builtin && scalar->attr->uniqueness != SCIM_UNIQUE_NONE && scalar->src.attnum != 0)
			scalar->unguarded = get_rel_relkind(m->relid) == RELKIND_VIEW ||
				!OidIsValid(scim_mapping_index(m, m->relid, "r", scim_mapping_index_expression(scalar->attr, &scalar->src),
											   m->scope_columns, true));
	}
}

ScimMappingSet *
scim_mapping_set_make(List *rows, Oid owner, List *scope, bool complete)
{
	ScimMappingSet *set = palloc0(sizeof(ScimMappingSet));
	ScimIdentity identity;
	ListCell   *lc;
	bool		has_groups = false;
	int			nrelids = 0;
	MemoryContext caller = CurrentMemoryContext;

	memset(&identity, 0, sizeof(identity));
	SPI_connect();
	MemoryContextSwitchTo(caller);
	/* constants of index and CHECK expressions are folded: code of the owner's */
	scim_identity_assume(&identity, owner, true);

	set->owner = owner;
	set->complete = complete;
	set->context = caller;
	set->mappings = palloc0(sizeof(ScimMapping *) * Max(list_length(rows), 1));
	foreach(lc, rows)
		has_groups = has_groups || pg_strcasecmp(((ScimMappingRow *) lfirst(lc))->resource_type, "Group") == 0;
	foreach(lc, rows)
	{
		ScimMappingRow *row = (ScimMappingRow *) lfirst(lc);

		set->mappings[set->nmappings++] =
			resolve_mapping(row, scope, has_groups && pg_strcasecmp(row->resource_type, "User") == 0);
	}
	scim_mapping_connect(set);

	for (int i = 0; i < set->nmappings; i++)
		nrelids += 2 + set->mappings[i]->nchildren + set->mappings[i]->nsides + set->mappings[i]->nbesides;
	set->relids = palloc(sizeof(Oid) * Max(nrelids, 1));
	for (int i = 0; i < set->nmappings; i++)
	{
		ScimMapping *m = set->mappings[i];

		scim_mapping_describe_relation(m, m->relid);
		note_unguarded(m);
		set->relids[set->nrelids++] = m->relid;
		for (int j = 0; j < m->nchildren; j++)
		{
			if (m->children[j].kind != SCIM_CHILD_GROUPS)
				scim_mapping_describe_relation(m, m->children[j].relid);
			set->relids[set->nrelids++] = m->children[j].relid;
		}
		for (int j = 0; j < m->nsides; j++)
		{
			scim_mapping_describe_relation(m, m->sides[j].relid);
			set->relids[set->nrelids++] = m->sides[j].relid;
		}
		for (int j = 0; j < m->nbesides; j++)
			set->relids[set->nrelids++] = m->besides[j].relid;
		if (m->membership)
		{
			scim_mapping_describe_relation(m, m->membership->relid);
			set->relids[set->nrelids++] = m->membership->relid;
		}
	}

	scim_identity_close_gucs(&identity);
	scim_identity_restore(&identity);
	SPI_finish();
	MemoryContextSwitchTo(caller);
	return set;
}

void
scim_mapping_check(List *rows, Oid owner)
{
	ScimIdentity identity;
	ListCell   *lc;

	memset(&identity, 0, sizeof(identity));
	scim_identity_assume(&identity, owner, true);
	foreach(lc, rows)
		(void) resolve_mapping((ScimMappingRow *) lfirst(lc), NIL, false);
	scim_identity_close_gucs(&identity);
	scim_identity_restore(&identity);
}

ScimMapping *
scim_mapping_resolve(ScimMappingRow *row)
{
	ScimIdentity identity;
	ScimMapping *mapping;

	memset(&identity, 0, sizeof(identity));
	scim_identity_assume(&identity, row->owner, false);
	row->outbound = true;
	mapping = resolve_mapping(row, NIL, false);
	scim_identity_close_gucs(&identity);
	scim_identity_restore(&identity);
	return mapping;
}
