/*
 * catalog_mapping_schema.c
 *		Schemas made from tables: a resource type with an attribute for each
 *		column, and extensions for attributes that no schema knows.
 *
 * Only what says so is made: a mapping without attributes, and attributes that
 * are named by the URN of a schema that does not exist.  A misspelt name of a
 * standard attribute stays an error.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "catalog_mapping_internal.h"

#define CUSTOM_PREFIX "urn:scim:schemas:custom:2.0:"

/* "job_title" is jobTitle; NULL: no name of an attribute can be made of it. */
static char *
attribute_name(const char *column)
{
	StringInfoData name;
	bool		upper = false;

	initStringInfo(&name);
	for (const char *p = column; *p; p++)
	{
		unsigned char c = (unsigned char) *p;

		/* what has no letter of its own in a name is not guessed at */
		if (c >= 0x80)
			return NULL;
		if (isalnum(c))
		{
			appendStringInfoChar(&name, name.len == 0 ? pg_ascii_tolower(c) : upper ? pg_ascii_toupper(c) : c);
			upper = false;
		}
		else
			upper = true;
	}
	if (name.len == 0 || !isalpha((unsigned char) name.data[0]) || pg_strcasecmp(name.data, "id") == 0 || pg_strcasecmp(name.data, "meta") == 0 ||
		pg_strcasecmp(name.data, "schemas") == 0)
		return NULL;
	return name.data;
}

/* Characteristics that follow from the column: type, and whether it holds several values. */
static void
append_attribute(StringInfo out, const char *name, const ScimSource *src)
{
	Oid			element = src ? get_element_type(getBaseType(src->typid)) : InvalidOid;
	const char *type = "string";

	if (src && !OidIsValid(element))
		switch (src->cls)
		{
			case SCIM_SQL_BOOLEAN:
				type = "boolean";
				break;
			case SCIM_SQL_INTEGER:
				type = "integer";
				break;
			case SCIM_SQL_NUMERIC:
				type = "decimal";
				break;
			case SCIM_SQL_TIMESTAMPTZ:
				type = "dateTime";
				break;
			default:
				if (getBaseType(src->typid) == TIMESTAMPOID)
					type = "dateTime";
				break;
		}
	appendStringInfoString(out, out->data[out->len - 1] == '[' ? "{\"name\": " : ", {\"name\": ");
	escape_json(out, name);
	appendStringInfo(out, ", \"type\": \"%s\", \"multiValued\": %s, \"description\": \"\"}", type, OidIsValid(element) ? "true" : "false");
}

static void
begin_schema(StringInfo out, const char *uri, const char *name)
{
	initStringInfo(out);
	appendStringInfoString(out, "{\"id\": ");
	escape_json(out, uri);
	appendStringInfoString(out, ", \"name\": ");
	escape_json(out, name);
	appendStringInfoString(out, ", \"description\": \"\", \"attributes\": [");
}

/* As the extension's owner: who may make a mapping may make what it needs. */
static void
create_schema(StringInfo definition, const char *extends)
{
	Oid			types[2] = {TEXTOID, TEXTOID};
	Datum		values[2] = {0, 0};

	appendStringInfoString(definition, "]}");
	values[0] = CStringGetTextDatum(definition->data);
	if (extends)
		values[1] = CStringGetTextDatum(extends);
	(void) scim_own_execute("make schema", "SELECT scim.create_schema($1::pg_catalog.jsonb, $2)", 2, types, values,
							extends ? "  " : " n", false, 0);
	CommandCounterIncrement();
}

/* ---- a mapping without attributes ---- */

static bool
is_among(List *names, const char *name)
{
	ListCell   *lc;

	foreach(lc, names)
		if (strcmp((char *) lfirst(lc), name) == 0)
			return true;
	return false;
}

char *
scim_mapping_propose(const char *type_name, Oid relid, const char *key)
{
	const ScimResourceType *type = scim_catalog_resource_type(type_name);
	Relation	rel = table_open(relid, AccessShareLock);
	StringInfoData attributes;
	StringInfoData schema;
	List	   *keys = scim_key_column_names(relid, key);
	bool		any = false;

	initStringInfo(&attributes);
	appendStringInfoChar(&attributes, '{');
	begin_schema(&schema, psprintf(CUSTOM_PREFIX "%s", type_name), type_name);
	for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), i);
		const char *column = NameStr(att->attname);
		char	   *name = att->attisdropped || is_among(keys, column) ? NULL : attribute_name(column);
		ScimSource	src;

		if (name == NULL || !scim_column_source(relid, "r", column, &src))
			continue;
		if (type)
		{
			ScimAttr   *attr = scim_type_attr(type, SCIM_EXT_CORE, name, strlen(name));

			if (attr == NULL || attr->type == SCIM_TYPE_COMPLEX || attr->multi != OidIsValid(get_element_type(getBaseType(src.typid))))
				continue;
		}
		else if (pg_strcasecmp(name, "externalId") != 0)
			append_attribute(&schema, name, &src);
		if (any)
			appendStringInfoString(&attributes, ", ");
		escape_json(&attributes, name);
		appendStringInfoString(&attributes, ": ");
		escape_json(&attributes, column);
		any = true;
	}
	table_close(rel, NoLock);
	appendStringInfoChar(&attributes, '}');
	if (!any || (type && strcmp(type->name, "User") == 0 && strstr(attributes.data, "\"userName\"") == NULL))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a mapping needs attributes"),
				 errdetail("The names of its columns do not say which they are.")));
	if (type == NULL)
		create_schema(&schema, NULL);
	return attributes.data;
}

/* ---- attributes by a URN that nobody knows ---- */

/* The column of a source, as far as it tells the attribute's type; false: it is something else. */
static bool
column_of(Oid relid, const json_t *source, ScimSource *src)
{
	const char *name = json_string_value(json_is_string(source) ? source : json_object_get(source, "column"));

	if (json_object_get(source, "codes") || json_object_get(source, "path") || json_object_get(source, "table") || json_object_get(source, "time") ||
		json_object_get(source, "delimiter"))
		return false;
	return name && scim_column_source(relid, "r", name, src);
}

/* The schema of an attribute's key: what is before its last colon, if that is a URN. */
static char *
schema_of(const char *key, const char **name)
{
	const char *colon = strrchr(key, ':');

	if (pg_strncasecmp(key, "urn:", 4) != 0 || colon == NULL)
		return NULL;
	*name = colon + 1;
	return pnstrdup(key, colon - key);
}

void
scim_mapping_make_extensions(const char *type_name, Oid relid, const char *attributes_text)
{
	const ScimResourceType *type = scim_catalog_resource_type(type_name);
	ScimError	err;
	json_t	   *attributes;
	void	   *iter;
	List	   *made = NIL;

	memset(&err, 0, sizeof(err));
	attributes = scim_json_parse(attributes_text, strlen(attributes_text), &err);
	if (type == NULL || attributes == NULL || !json_is_object(attributes))
		return;
	for (iter = json_object_iter(attributes); iter; iter = json_object_iter_next(attributes, iter))
	{
		const char *name;
		char	   *uri = schema_of(json_object_iter_key(iter), &name);
		StringInfoData schema;
		void	   *other;
		ListCell   *lc;
		bool		known = uri == NULL || scim_registry_schema(scim_catalog_registry(), uri, strlen(uri)) != NULL ||
			strpbrk(json_object_iter_key(iter), "[") != NULL;

		foreach(lc, made)
			known = known || pg_strcasecmp((char *) lfirst(lc), uri) == 0;
		if (known)
			continue;
		begin_schema(&schema, uri, strrchr(uri, ':') + 1);
		for (other = json_object_iter(attributes); other; other = json_object_iter_next(attributes, other))
		{
			char	   *other_uri = schema_of(json_object_iter_key(other), &name);
			ScimSource	src;

			if (other_uri && pg_strcasecmp(other_uri, uri) == 0)
				append_attribute(&schema, name, column_of(relid, json_object_iter_value(other), &src) ? &src : NULL);
		}
		create_schema(&schema, type->name);
		made = lappend(made, uri);
	}
}
