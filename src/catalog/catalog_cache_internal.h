/*
 * catalog_cache_internal.h
 *		The cache of the catalog and rows of our own tables, shared by the files
 *		that fill it, and by nobody else.
 *
 *		catalog_cache.c			its life: invalidations, the bracket of a request
 *		catalog_registry.c		schemas and resource types
 *		catalog_mapping_set.c	mappings, compiled for their owner
 *		catalog_endpoint_cache.c	endpoints, by name and by path
 *		catalog_token_cache.c	tokens, by hash
 */
#ifndef SCIM_CATALOG_CACHE_INTERNAL_H
#define SCIM_CATALOG_CACHE_INTERNAL_H

#include "executor/spi.h"
#include "utils/hsearch.h"

#include "catalog.h"
#include "catalog_mapping.h"

#define SCIM_TOKEN_HASH_SIZE 32

typedef struct ScimTokenEntry
{
	uint8		hash[SCIM_TOKEN_HASH_SIZE];
	bool		known;
	ScimToken	token;
} ScimTokenEntry;

typedef struct ScimSetEntry
{
	Oid			owner;
	List	   *names;			/* mapping names, in order */
	List	   *scope;			/* scope column names */
	bool		outbound;		/* as in ScimMappingRow */
	ScimMappingSet *set;
} ScimSetEntry;

/* Everything hangs on the context; each part is filled by the file that knows it. */
typedef struct ScimCatalogCache
{
	MemoryContext context;
	ScimRegistry *registry;
	List	   *types;			/* of ScimResourceType: those asked for */
	List	   *endpoints;		/* of ScimEndpoint: those asked for */
	List	   *sets;			/* of ScimSetEntry */
	HTAB	   *tokens;			/* of ScimTokenEntry */
	List	   *base_paths;		/* longest first; NIL: not loaded */
	bool		base_paths_loaded;
} ScimCatalogCache;

/* The cache of the request that is under way (scim_catalog_begin). */
extern ScimCatalogCache *scim_catalog_cache(void);

/* A copy in the cache's context; NULL of NULL. */
extern char *scim_cache_strdup(const char *s);

/* The set of mappings for this owner and these scope columns, compiled at first use. */
extern ScimMappingSet *scim_cache_mapping_set(Oid owner, List *names, List *scope, bool outbound);

/* ---- rows of our own tables (catalog_row.c) ---- */

/*
 * A fixed statement with at most one text argument (NULL: none); SPI must be
 * connected, and SPI_tuptable holds the rows.  "what" is for the error.
 */
extern void scim_select_own(const char *key, const char *sql, const char *argument, const char *what);

/* Column of a row of SPI_tuptable; 0, InvalidOid, false, NULL where it is null. */
extern char *scim_row_text(SPITupleTable *table, int row, int column);
extern int64 scim_row_int64(SPITupleTable *table, int row, int column);
extern Oid	scim_row_oid(SPITupleTable *table, int row, int column);
extern bool scim_row_bool(SPITupleTable *table, int row, int column);

/* A text[], list and texts in "context". */
extern List *scim_row_texts(SPITupleTable *table, int row, int column, MemoryContext context);

#endif							/* SCIM_CATALOG_CACHE_INTERNAL_H */
