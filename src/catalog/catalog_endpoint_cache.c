/*
 * catalog_endpoint_cache.c
 *		Endpoints, as requests need them.
 *
 * An endpoint is loaded when it is first asked for: a database with ten thousand
 * tenants does not pay for those that never call.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/memutils.h"

#include "catalog_cache_internal.h"
#include "../scim_guc.h"

typedef struct BasePath
{
	const char *base_path;
	size_t		len;
	const char *endpoint;
} BasePath;

/*
 * Text of a scope value as a parameter: strings bare, the rest as JSON prints
 * it (42, true); NULL for JSON null.
 */
static const char *
scope_value_text(const json_t *value)
{
	size_t		len;

	if (json_is_string(value))
		return pstrdup(json_string_value(value));
	if (json_is_null(value))
		return NULL;
	return scim_json_print(value, &len);
}

/*
 * Resource types of an endpoint from its mappings; sets endpoint->broken
 * instead of raising.  Runs in the cache's context.
 */
static void
endpoint_load_types(ScimEndpoint *endpoint, List *names, const char *scope_text)
{
	List	   *scope_names = NIL;
	List	   *scope_values = NIL;
	ScimMappingSet *set;
	ScimError	err;
	json_t	   *scope;
	void	   *iter;

	memset(&err, 0, sizeof(err));
	scope = scim_json_parse(scope_text, strlen(scope_text), &err);
	if (scope == NULL || !json_is_object(scope))
	{
		endpoint->broken = "the scope of the endpoint is no JSON object";
		return;
	}
	for (iter = json_object_iter(scope); iter; iter = json_object_iter_next(scope, iter))
	{
		scope_names = lappend(scope_names, pstrdup(json_object_iter_key(iter)));
		scope_values = lappend(scope_values, (void *) scope_value_text(json_object_iter_value(iter)));
	}

	set = scim_cache_mapping_set(endpoint->owner, names, scope_names, false);
	if (set->broken)
	{
		endpoint->broken = set->broken;
		return;
	}
	endpoint->ntypes = set->nmappings;
	endpoint->types = palloc0(sizeof(ScimEndpointType) * Max(set->nmappings, 1));
	for (int i = 0; i < set->nmappings; i++)
	{
		ScimEndpointType *et = &endpoint->types[i];
		int			n = 0;
		ListCell   *lc;

		et->endpoint = endpoint;
		et->mapping = set->mappings[i];
		et->type = et->mapping->type;
		et->scope = palloc0(sizeof(char *) * Max(list_length(scope_values), 1));
		foreach(lc, scope_values)
			et->scope[n++] = (const char *) lfirst(lc);
	}
}

const ScimEndpoint *
scim_endpoint_by_name(const char *name)
{
	ScimCatalogCache *cache = scim_catalog_cache();
	ListCell   *lc;
	ScimEndpoint *endpoint;
	List	   *names;
	char	   *scope_text;
	char	   *options_text;
	ScimError	err;
	MemoryContext saved;

	foreach(lc, cache->endpoints)
	{
		endpoint = (ScimEndpoint *) lfirst(lc);
		if (strcmp(endpoint->name, name) == 0)
			return endpoint;
	}

	SPI_connect();
	scim_select_own("endpoint",
			   "SELECT e.id, e.name, e.base_path, e.public_url, e.tenant, e.owner::pg_catalog.oid, e.enabled,"
			   " e.mode, e.mappings, e.scope::pg_catalog.text, e.options::pg_catalog.text"
			   " FROM scim._endpoints e WHERE e.name OPERATOR(pg_catalog.=) $1",
			   name, "scim._endpoints");
	if (SPI_processed == 0)
	{
		SPI_finish();
		return NULL;
	}
	endpoint = MemoryContextAllocZero(cache->context, sizeof(ScimEndpoint));
	endpoint->id = scim_row_int64(SPI_tuptable, 0, 1);
	endpoint->name = scim_cache_strdup(scim_row_text(SPI_tuptable, 0, 2));
	endpoint->base_path = scim_cache_strdup(scim_row_text(SPI_tuptable, 0, 3));
	endpoint->public_url = scim_cache_strdup(scim_row_text(SPI_tuptable, 0, 4));
	endpoint->tenant = scim_cache_strdup(scim_row_text(SPI_tuptable, 0, 5));
	endpoint->owner = scim_row_oid(SPI_tuptable, 0, 6);
	endpoint->enabled = scim_row_bool(SPI_tuptable, 0, 7);
	endpoint->mode = strcmp(scim_row_text(SPI_tuptable, 0, 8), "strict") == 0 ? SCIM_STRICT : SCIM_COMPAT;
	names = scim_row_texts(SPI_tuptable, 0, 9, cache->context);
	scope_text = MemoryContextStrdup(cache->context, scim_row_text(SPI_tuptable, 0, 10));
	options_text = MemoryContextStrdup(cache->context, scim_row_text(SPI_tuptable, 0, 11));
	SPI_finish();

	saved = MemoryContextSwitchTo(cache->context);
	endpoint_load_types(endpoint, names, scope_text);
	memset(&err, 0, sizeof(err));
	if (!scim_options_parse(options_text, &endpoint->options, &err) && endpoint->broken == NULL)
		endpoint->broken = pstrdup(err.detail);
	cache->endpoints = lappend(cache->endpoints, endpoint);
	MemoryContextSwitchTo(saved);
	return endpoint;
}

static void
load_base_paths(ScimCatalogCache *cache)
{
	MemoryContext saved;

	SPI_connect();
	scim_select_own("base paths",
			   "SELECT e.base_path, e.name FROM scim._endpoints e"
			   " ORDER BY pg_catalog.length(e.base_path) DESC, e.base_path",
			   NULL, "scim._endpoints");
	saved = MemoryContextSwitchTo(cache->context);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		BasePath   *bp = palloc(sizeof(BasePath));

		bp->base_path = pstrdup(scim_row_text(SPI_tuptable, i, 1));
		bp->len = strlen(bp->base_path);
		bp->endpoint = pstrdup(scim_row_text(SPI_tuptable, i, 2));
		cache->base_paths = lappend(cache->base_paths, bp);
	}
	MemoryContextSwitchTo(saved);
	SPI_finish();
	cache->base_paths_loaded = true;
}

const ScimEndpoint *
scim_endpoint_by_path(const char *path, const char **rest)
{
	ScimCatalogCache *cache = scim_catalog_cache();
	ListCell   *lc;

	if (!cache->base_paths_loaded)
		load_base_paths(cache);
	foreach(lc, cache->base_paths)
	{
		BasePath   *bp = (BasePath *) lfirst(lc);

		if (strncmp(path, bp->base_path, bp->len) == 0 &&
			(path[bp->len] == '/' || path[bp->len] == '\0'))
		{
			*rest = path + bp->len;
			return scim_endpoint_by_name(bp->endpoint);
		}
	}
	return NULL;
}

const ScimEndpointType *
scim_endpoint_type(const ScimEndpoint *endpoint, const char *name)
{
	for (int i = 0; i < endpoint->ntypes; i++)
		if (strcmp(endpoint->types[i].type->name, name) == 0)
			return &endpoint->types[i];
	return NULL;
}

const ScimEndpointType *
scim_endpoint_type_by_path(const ScimEndpoint *endpoint, const char *segment)
{
	for (int i = 0; i < endpoint->ntypes; i++)
	{
		const char *own = endpoint->types[i].type->endpoint + 1;	/* without "/" */

		if (strcmp(own, segment) == 0 ||
			(endpoint->mode == SCIM_COMPAT && pg_strcasecmp(own, segment) == 0))
			return &endpoint->types[i];
	}
	return NULL;
}

const char *
scim_endpoint_base_url(const ScimEndpoint *endpoint)
{
	const char *address = scim_listen_address ? scim_listen_address : "127.0.0.1";
	bool		tls = scim_tls_cert_file && scim_tls_cert_file[0];

	if (endpoint->public_url)
		return endpoint->public_url;
	return psprintf(strchr(address, ':') ? "%s://[%s]:%d%s" : "%s://%s:%d%s",
					tls ? "https" : "http", address,
					scim_actual_port ? scim_actual_port : scim_port, endpoint->base_path);
}
