/*
 * catalog_registry.c
 *		Schemas and resource types, as this database knows them.
 *
 * The standard schemas are built in (core_schema_builtin.c); those of users are
 * the rows of scim._schemas.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/memutils.h"

#include "catalog_cache_internal.h"

const ScimRegistry *
scim_catalog_registry(void)
{
	ScimCatalogCache *cache = scim_catalog_cache();
	MemoryContext saved;
	ScimError	err;
	ScimRegistry *registry;

	if (cache->registry != NULL)
		return cache->registry;

	memset(&err, 0, sizeof(err));
	saved = MemoryContextSwitchTo(cache->context);
	registry = scim_registry_create(&err);
	MemoryContextSwitchTo(saved);
	if (registry == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("%s", err.detail)));

	SPI_connect();
	scim_select_own("schemas", "SELECT s.definition::pg_catalog.text FROM scim._schemas s ORDER BY s.uri",
			   NULL, "scim._schemas");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		char	   *text = scim_row_text(SPI_tuptable, i, 1);
		json_t	   *definition;
		bool		ok;

		saved = MemoryContextSwitchTo(cache->context);
		definition = scim_json_parse(text, strlen(text), &err);
		ok = definition != NULL && scim_registry_add_schema(registry, definition, &err);
		MemoryContextSwitchTo(saved);
		if (!ok)
			ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("bad row in scim._schemas: %s", err.detail)));
	}
	SPI_finish();
	cache->registry = registry;
	return registry;
}

/*
 * What a resource type is made of: the standard ones are known, those of
 * scim.create_resource_type are rows; any other is a base schema of a user
 * (scim.create_schema without extends), whose name, or the last part of whose
 * URN, is the name of the type.
 */
typedef struct TypeParts
{
	const char *name;
	const char *endpoint;
	const char *description;
	const ScimSchema *schema;
} TypeParts;

static bool
find_type(const ScimRegistry *registry, const char *name, TypeParts *parts)
{
	const char *uri = NULL;

	memset(parts, 0, sizeof(*parts));
	if (pg_strcasecmp(name, "User") == 0)
		*parts = (TypeParts) {"User", "/Users", "User account", NULL};
	else if (pg_strcasecmp(name, "Group") == 0)
		*parts = (TypeParts) {"Group", "/Groups", "Group of resources", NULL};
	if (parts->name)
		uri = strcmp(parts->name, "User") == 0 ? SCIM_URN_USER : SCIM_URN_GROUP;
	else
	{
		scim_select_own("resource type",
						"SELECT t.schema, t.name, t.endpoint, nullif(t.description, '') FROM scim._resource_types t"
						" WHERE pg_catalog.lower(t.name) OPERATOR(pg_catalog.=) pg_catalog.lower($1)",
						name, "scim._resource_types");
		if (SPI_processed > 0)
		{
			uri = scim_row_text(SPI_tuptable, 0, 1);
			parts->name = scim_row_text(SPI_tuptable, 0, 2);
			parts->endpoint = scim_row_text(SPI_tuptable, 0, 3);
			parts->description = scim_row_text(SPI_tuptable, 0, 4);
		}
	}
	if (uri == NULL)
	{
		scim_select_own("base schema",
				   "SELECT s.uri, coalesce(s.definition OPERATOR(pg_catalog.->>) 'name', pg_catalog.regexp_replace(s.uri, '^.*:', ''))"
				   " FROM scim._schemas s WHERE s.extends IS NULL AND pg_catalog.lower($1) OPERATOR(pg_catalog.=) pg_catalog.lower("
				   "coalesce(s.definition OPERATOR(pg_catalog.->>) 'name', pg_catalog.regexp_replace(s.uri, '^.*:', '')))"
				   " ORDER BY s.uri LIMIT 1",
				   name, "scim._schemas");
		if (SPI_processed == 0)
			return false;
		uri = scim_row_text(SPI_tuptable, 0, 1);
		parts->name = scim_row_text(SPI_tuptable, 0, 2);
		parts->endpoint = psprintf("/%ss", parts->name);
	}
	parts->schema = scim_registry_schema(registry, uri, strlen(uri));
	if (parts->schema == NULL)
		return false;
	if (parts->description == NULL)
		parts->description = parts->schema->description;
	return true;
}

const ScimResourceType *
scim_catalog_resource_type(const char *name)
{
	const ScimRegistry *registry = scim_catalog_registry();
	ScimCatalogCache *cache = scim_catalog_cache();
	TypeParts	parts;
	ScimExtension exts[SCIM_MAX_EXTENSIONS + 1];
	int			nexts = 0;
	ScimError	err;
	ScimResourceType *type;
	ListCell   *lc;
	MemoryContext saved;

	foreach(lc, cache->types)
	{
		type = (ScimResourceType *) lfirst(lc);
		if (pg_strcasecmp(type->name, name) == 0)
			return type;
	}

	SPI_connect();
	if (!find_type(registry, name, &parts))
	{
		SPI_finish();
		return NULL;
	}
	if (strcmp(parts.name, "User") == 0)
	{
		exts[nexts].schema = scim_registry_schema(registry, SCIM_URN_ENTERPRISE_USER, strlen(SCIM_URN_ENTERPRISE_USER));
		exts[nexts++].required = false;
	}
	scim_select_own("extensions",
			   "SELECT s.uri, s.required FROM scim._schemas s"
			   " WHERE pg_catalog.lower(s.extends) OPERATOR(pg_catalog.=) pg_catalog.lower($1) ORDER BY s.uri",
			   parts.name, "scim._schemas");
	for (uint64 i = 0; i < SPI_processed && nexts < lengthof(exts); i++)
	{
		char	   *uri = scim_row_text(SPI_tuptable, i, 1);

		exts[nexts].schema = scim_registry_schema(registry, uri, strlen(uri));
		exts[nexts].required = scim_row_bool(SPI_tuptable, i, 2);
		if (exts[nexts].schema != NULL)
			nexts++;
	}

	memset(&err, 0, sizeof(err));
	saved = MemoryContextSwitchTo(cache->context);
	type = scim_resource_type_make(registry, parts.name, parts.endpoint, parts.description,
								   parts.schema->uri, exts, nexts, NULL, NULL, &err);
	if (type != NULL)
		cache->types = lappend(cache->types, type);
	MemoryContextSwitchTo(saved);
	SPI_finish();
	if (type == NULL)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("%s", err.detail)));
	return type;
}
