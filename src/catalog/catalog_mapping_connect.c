/*
 * catalog_mapping_connect.c
 *		What mappings of one set have to do with each other: references lead from
 *		one to another.
 */
#include "postgres.h"

#include "utils/lsyscache.h"

#include "catalog_mapping_internal.h"

static ScimMapping *
set_mapping_of(const ScimMappingSet *set, const char *type_name)
{
	for (int i = 0; i < set->nmappings; i++)
		if (pg_strcasecmp(set->mappings[i]->type->name, type_name) == 0)
			return set->mappings[i];
	return NULL;
}

/* NULL only in a set that is not complete. */
static ScimMapping *
set_mapping_needed(const ScimMappingSet *set, const ScimMapping *m, const char *type_name)
{
	ScimMapping *target = set_mapping_of(set, type_name);

	if (target == NULL && set->complete)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mapping \"%s\" refers to resource type \"%s\", of which there is no mapping",
						m->name, type_name),
				 errhint("Give both mappings to the endpoint.")));
	return target;
}

/* Without a scope a table of memberships tells nobody apart. */
static void
require_membership_scope(const ScimMappingSet *set, const ScimMapping *m)
{
	for (int i = 0; m->membership && i < m->nscope; i++)
		if (m->membership->scope[i])
			return;
	if (m->membership && set->complete)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mapping \"%s\" needs a scope that its memberships have a column for", m->name),
				 errhint("scope => '{\"org_id\": 1}'")));
}

/* SQL of columns, one by one. */
static const char **
column_parts(const ScimReference *columns, const char *alias)
{
	const char **parts = palloc(sizeof(char *) * columns->n);

	for (int i = 0; i < columns->n; i++)
		parts[i] = psprintf("%s.%s", alias, columns->columns[i]);
	return parts;
}

/* Where a column is not the id of what it refers to: the id is what is read, the key what is stored. */
static void
connect_columns(ScimMapping *m, const ScimAttr *attr, ScimSource *src)
{
	const ScimMapping *target = src->ref_target;
	ScimReference *columns = src->ref_columns;

	if (src->side || (columns == NULL && src->attnum == 0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("attribute \"%s\" of mapping \"%s\": a reference to what has a key like mapping \"%s\" needs columns of the row itself",
						attr->name, m->name, target->name)));
	if (columns == NULL)
	{
		columns = palloc0(sizeof(ScimReference));
		columns->n = 1;
		columns->columns = palloc(sizeof(char *));
		columns->columns[0] = src->column;
		columns->attnums = palloc(sizeof(AttrNumber));
		columns->attnums[0] = src->attnum;
		columns->types = palloc(sizeof(char *));
		columns->types[0] = src->type_name;
	}
	scim_fit_reference(target, m, attr->name, m->relid, "r", columns, NULL);
	scim_text_expression(psprintf("%s::pg_catalog.text", scim_key_id_sql(target, column_parts(columns, "r"))), src);
	src->ref_type = target->type->name;
	src->ref_target = unconstify(ScimMapping *, target);
	src->ref_columns = columns;
}

/*
 * A value that is an id is checked when it is written: where the mapping says
 * so, and where a foreign key does, which knows nothing of tenants.
 */
static void
connect_source(ScimMappingSet *set, ScimMapping *m, const ScimAttr *attr, ScimSource *src)
{
	const ScimAttr *ref = attr->parent ? scim_attr_sub(attr->parent, "$ref", 4) : NULL;

	if (src->ref_type)
		src->ref_target = set_mapping_needed(set, m, src->ref_type);
	else if (ref && ref->nref_types == 1 && strcmp(attr->name, "value") == 0 && src->column && src->attnum != 0)
	{
		ScimMapping *target = set_mapping_of(set, ref->ref_types[0]);

		if (target && scim_has_foreign_key(m->relid, src->attnum, target->relid))
			src->ref_target = target;
	}
	if (src->ref_target && (src->ref_columns || src->ref_target->key.by_expression))
		connect_columns(m, attr, src);
}

/* Does a row of the link's relation stand for the member itself: is it its key that is in the columns? */
static bool
refers_to_itself(const ScimChild *link)
{
	const ScimKey *key = &link->target->key;

	if (link->relid != link->target->relid)
		return false;
	for (int i = 0; i < key->n; i++)
		if (key->parts[i].attnum == 0 || link->refs.attnums[i] != key->parts[i].attnum)
			return false;
	return true;
}

static void
connect_link(ScimMapping *m, ScimChild *link)
{
	const ScimKey *key = &link->target->key;

	scim_fit_reference(link->target, m, link->attr->name, link->relid, "c", &link->refs, link->scope);
	if (key->n > 1 || key->by_expression)
		scim_text_expression(psprintf("%s::pg_catalog.text", scim_key_id_sql(link->target, column_parts(&link->refs, "c"))), &link->ref);
	link->by_column = refers_to_itself(link);
}

void
scim_mapping_connect(ScimMappingSet *set)
{
	ScimMapping *users = set_mapping_of(set, "User");
	ScimMapping *groups = set_mapping_of(set, "Group");
	ScimChild  *user_link = NULL;
	ScimChild  *group_link = NULL;

	for (int i = 0; i < set->nmappings; i++)
	{
		ScimMapping *m = set->mappings[i];

		require_membership_scope(set, m);
		for (int j = 0; j < m->nscalars; j++)
			connect_source(set, m, m->scalars[j].attr, &m->scalars[j].src);
		for (int j = 0; j < m->nslots; j++)
			for (int k = 0; k < m->slots[j].nsubs; k++)
				if (m->slots[j].srcs[k].ref_type)
					connect_source(set, m, m->slots[j].subs[k] ? m->slots[j].subs[k] : m->slots[j].attr, &m->slots[j].srcs[k]);
		for (int j = 0; j < m->nchildren; j++)
		{
			ScimChild  *child = &m->children[j];

			if (child->kind != SCIM_CHILD_LINK)
				continue;
			child->target = set_mapping_needed(set, m, child->ref_type);
			if (child->target)
				connect_link(m, child);
			if (m == groups && users && child->target == users)
				user_link = child;
			if (m == groups && child->target == groups)
				group_link = child;
		}
	}

	if (users && groups && user_link)
	{
		ScimAttr   *attr = scim_type_attr(users->type, SCIM_EXT_CORE, "groups", 6);

		if (attr)
		{
			ScimChild  *child = &users->children[users->nchildren++];

			memset(child, 0, sizeof(*child));
			child->kind = SCIM_CHILD_GROUPS;
			child->attr = attr;
			child->relid = user_link->relid;
			child->relation = user_link->relation;
			child->target = groups;
			child->user_link = user_link;
			child->group_link = group_link;
		}
	}
}
