/*
 * catalog_type_store.c
 *		What the built-in store does with a schema of a user: the attributes of a
 *		mapping, made from those of the schema.
 *
 * All values of a resource are in one document, under their names; those of an
 * extension under its URI.  A multi-valued attribute that is nothing but
 * references is rows of scim.resource_links.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/json.h"

#include "catalog_type.h"

/* The document that values go to, and what of the type is to be in it. */
typedef struct Store
{
	const ScimResourceType *type;
	const char *column;			/* that holds the document */
	bool		links;			/* it has scim.resource_links */
	StringInfo	out;
} Store;

/* "name", or "urn:...:name", with "." and the sub-attribute behind it. */
static const char *
key_of(const Store *store, const ScimAttr *attr)
{
	char		path[1024];

	return pstrdup(scim_attr_path(store->type, attr, path, sizeof(path)));
}

static void
open_member(const Store *store, const char *key)
{
	if (store->out->data[store->out->len - 1] != '{')
		appendStringInfoString(store->out, ", ");
	escape_json(store->out, key);
	appendStringInfoString(store->out, ": ");
}

/* {"column": ..., "path": [...]: the place of an attribute, not closed. */
static void
append_place(const Store *store, const ScimAttr *attr)
{
	const ScimAttr *top = attr->parent ? attr->parent : attr;

	appendStringInfo(store->out, "{\"column\": \"%s\", \"path\": [", store->column);
	if (top->ext >= 0)
	{
		escape_json(store->out, store->type->exts[top->ext].schema->uri);
		appendStringInfoString(store->out, ", ");
	}
	escape_json(store->out, top->name);
	if (attr->parent)
	{
		appendStringInfoString(store->out, ", ");
		escape_json(store->out, attr->name);
	}
	appendStringInfoChar(store->out, ']');
}

/* ---- references ---- */

/* The resource type that a reference may name, as the catalog spells it; NULL: it is a URI. */
static const char *
referred_type(const char *name)
{
	const ScimResourceType *type = scim_catalog_resource_type(name);

	return type ? type->name : NULL;
}

/* The $ref of a complex attribute whose `value` is an id. */
static const ScimAttr *
reference_of(const ScimAttr *attr)
{
	const ScimAttr *ref = scim_attr_sub(attr, "$ref", 4);
	const ScimAttr *value = scim_attr_sub(attr, "value", 5);

	return ref && ref->type == SCIM_TYPE_REFERENCE && !ref->multi && value && !value->multi ? ref : NULL;
}

/* Does the attribute hold references to resources and nothing else? */
static bool
is_links(const Store *store, const ScimAttr *attr)
{
	const ScimAttr *ref = reference_of(attr);

	if (!store->links || ref == NULL || ref->nref_types == 0)
		return false;
	for (int i = 0; i < ref->nref_types; i++)
		if (referred_type(ref->ref_types[i]) == NULL)
			return false;
	for (int i = 0; i < attr->nsubs; i++)
	{
		const char *name = attr->subs[i]->name;

		if (pg_strcasecmp(name, "value") != 0 && pg_strcasecmp(name, "$ref") != 0 && pg_strcasecmp(name, "type") != 0)
			return false;
	}
	return true;
}

static void
append_links(const Store *store, const ScimAttr *attr)
{
	const ScimAttr *ref = reference_of(attr);
	const char *key = key_of(store, attr);

	open_member(store, key);
	appendStringInfoChar(store->out, '[');
	for (int i = 0; i < ref->nref_types; i++)
	{
		const char *type = referred_type(ref->ref_types[i]);

		appendStringInfo(store->out, "%s{\"table\": \"scim.resource_links\", \"parent\": \"resource_id\", \"ref\": \"%s\", \"type\": ",
						 i > 0 ? ", " : "",
						 strcmp(type, "User") == 0 ? "user_id" : strcmp(type, "Group") == 0 ? "group_id" : "other_id");
		escape_json(store->out, type);
		appendStringInfoString(store->out, ", \"where\": {\"attribute\": ");
		escape_json(store->out, key);
		appendStringInfoString(store->out, "}}");
	}
	appendStringInfoChar(store->out, ']');
}

/* ---- attributes ---- */

static void
append_scalar(const Store *store, const ScimAttr *attr)
{
	const ScimAttr *ref = attr->parent ? reference_of(attr->parent) : NULL;
	const char *type;

	/* the store makes it from the value */
	if (ref == attr && ref->nref_types == 1 && referred_type(ref->ref_types[0]))
		return;
	open_member(store, key_of(store, attr));
	append_place(store, attr);
	if (attr->type == SCIM_TYPE_DATETIME && !attr->multi)
		appendStringInfoString(store->out, ", \"time\": \"iso\"");
	if (ref && strcmp(attr->name, "value") == 0 && ref->nref_types == 1 &&
		(type = referred_type(ref->ref_types[0])) != NULL)
	{
		appendStringInfoString(store->out, ", \"ref\": ");
		escape_json(store->out, type);
	}
	appendStringInfoChar(store->out, '}');
}

static void
append_multi(const Store *store, const ScimAttr *attr)
{
	if (is_links(store, attr))
	{
		append_links(store, attr);
		return;
	}
	open_member(store, key_of(store, attr));
	append_place(store, attr);
	for (int i = 0; i < attr->nsubs; i++)
	{
		const ScimAttr *sub = attr->subs[i];

		appendStringInfoString(store->out, i == 0 ? ", \"keys\": {" : ", ");
		escape_json(store->out, sub->name);
		appendStringInfoString(store->out, ": ");
		escape_json(store->out, sub->name);
	}
	appendStringInfoString(store->out, attr->nsubs > 0 ? "}}" : "}");
}

static void
append_attribute(const Store *store, const ScimAttr *attr)
{
	if (attr->multi)
		append_multi(store, attr);
	else if (attr->type == SCIM_TYPE_COMPLEX)
		for (int i = 0; i < attr->nsubs; i++)
			append_scalar(store, attr->subs[i]);
	else
		append_scalar(store, attr);
}

char *
scim_type_own_attributes(const ScimResourceType *type)
{
	StringInfoData out;
	Store		store = {type, "attributes", true, &out};

	initStringInfo(&out);
	appendStringInfoString(&out, "{\"externalId\": \"external_id\", \"meta.created\": \"created\","
						   " \"meta.lastModified\": \"last_modified\", \"meta.version\": \"version\"");
	for (int i = 0; i < type->ntop; i++)
		if (!type->top[i]->common)
			append_attribute(&store, type->top[i]);
	appendStringInfoChar(&out, '}');
	return out.data;
}

char *
scim_type_extension_attributes(const ScimResourceType *type, const List *uris)
{
	StringInfoData out;
	Store		store = {type, "extensions", false, &out};

	initStringInfo(&out);
	appendStringInfoChar(&out, '{');
	for (int i = 0; i < type->ntop; i++)
	{
		const ScimAttr *attr = type->top[i];
		ListCell   *lc;

		foreach(lc, uris)
			if (attr->ext >= 0 && strcmp((char *) lfirst(lc), type->exts[attr->ext].schema->uri) == 0)
				append_attribute(&store, attr);
	}
	appendStringInfoChar(&out, '}');
	return out.data;
}
