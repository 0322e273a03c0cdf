/*
 * catalog_cache.c
 *		Endpoints, tokens and resource types, cached per backend.
 *
 * Everything cached hangs on one memory context.  An invalidation (a statement
 * trigger on our tables, or DDL on a mapped relation) only sets a flag; the
 * context is thrown away when the outermost request begins, so pointers stay
 * valid for as long as a request uses them.  Endpoints, tokens and mapping
 * sets are loaded when they are first asked for: a database with ten thousand
 * tenants does not pay for those that never call.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "catalog.h"
#include "catalog_mapping.h"
#include "../compat.h"
#include "../scim_guc.h"

#define TOKEN_HASH_SIZE 32
/* Unknown tokens are remembered too, but not without bound. */
#define MAX_CACHED_TOKENS 10000
#define TOKEN_TOUCH_INTERVAL_MS 60000

PG_FUNCTION_INFO_V1(scim_config_changed);

typedef struct TokenEntry
{
	uint8		hash[TOKEN_HASH_SIZE];
	bool		known;
	ScimToken	token;
} TokenEntry;

typedef struct TypeEntry
{
	const char *name;
	ScimResourceType *type;
} TypeEntry;

typedef struct CatalogCache
{
	MemoryContext context;
	ScimRegistry *registry;
	List	   *types;			/* of TypeEntry */
	List	   *endpoints;		/* of ScimEndpoint: those asked for */
	List	   *sets;			/* of SetEntry */
	HTAB	   *tokens;
	List	   *base_paths;		/* of BasePath, longest first; NIL: not loaded */
	bool		base_paths_loaded;
} CatalogCache;

typedef struct BasePath
{
	const char *base_path;
	size_t		len;
	const char *endpoint;
} BasePath;

typedef struct SetEntry
{
	Oid			owner;
	List	   *names;			/* mapping names, in order */
	List	   *scope;			/* scope column names */
	ScimMappingSet *set;
} SetEntry;

static CatalogCache *cache = NULL;
static bool cache_stale = false;
static int	request_depth = 0;

/*
 * request_depth when each open subtransaction began, by nest level; 0 for those
 * that were open when this library was loaded.
 */
static int *depth_at_level = NULL;
static int	ndepths = 0;

/* Relations whose invalidation makes the cache stale; 0 until looked up. */
static Oid	config_relids[5];
static const char *const config_names[5] = {
	"_roles", "_schemas", "_mappings", "_endpoints", "_tokens"
};

/*
 * Called for every relation invalidation in this database, at any moment: only
 * sets a flag.
 */
static void
relation_invalidated(Datum arg, Oid relid)
{
	ListCell   *lc;

	if (cache == NULL || cache_stale)
		return;
	if (!OidIsValid(relid))
	{
		cache_stale = true;
		return;
	}
	for (int i = 0; i < lengthof(config_relids); i++)
		if (config_relids[i] == relid)
		{
			cache_stale = true;
			return;
		}
	foreach(lc, cache->sets)
	{
		SetEntry   *entry = (SetEntry *) lfirst(lc);

		/* what a broken one waits for is not known */
		if (entry->set->broken)
		{
			cache_stale = true;
			return;
		}
		for (int i = 0; i < entry->set->nrelids; i++)
			if (entry->set->relids[i] == relid)
			{
				cache_stale = true;
				return;
			}
	}
}

/* Roles changed: owners may have lost or gained rights. */
static void
role_invalidated(Datum arg, int cacheid, uint32 hashvalue)
{
	cache_stale = true;
}

/* With the last request its memory budget ends, too. */
static void
set_depth(int depth)
{
	request_depth = depth;
	if (depth == 0)
		scim_heap_begin(SIZE_MAX);
}

/*
 * An error jumps over scim_catalog_end(): the end of the (sub)transaction that
 * it ends puts the depth right.
 */
static void
transaction_ended(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT)
		set_depth(0);
}

static void
subtransaction_event(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();

	if (event == SUBXACT_EVENT_START_SUB)
	{
		if (level >= ndepths)
		{
			int			n = Max(64, level * 2);

			depth_at_level = depth_at_level ? repalloc(depth_at_level, sizeof(int) * n) :
				MemoryContextAlloc(TopMemoryContext, sizeof(int) * n);
			memset(depth_at_level + ndepths, 0, sizeof(int) * (n - ndepths));
			ndepths = n;
		}
		depth_at_level[level] = request_depth;
	}
	else if (event == SUBXACT_EVENT_ABORT_SUB)
		/* one that was open already when this library was loaded began with nothing */
		set_depth(level < ndepths ? depth_at_level[level] : 0);
}

void
scim_catalog_init(void)
{
	RegisterXactCallback(transaction_ended, NULL);
	RegisterSubXactCallback(subtransaction_event, NULL);
	CacheRegisterRelcacheCallback(relation_invalidated, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, role_invalidated, (Datum) 0);
}

static void
cache_drop(void)
{
	if (cache == NULL)
		return;
	MemoryContextDelete(cache->context);
	cache = NULL;
}

static void
cache_create(void)
{
	MemoryContext context;
	MemoryContext saved;
	CatalogCache *fresh;
	HASHCTL		control;

	for (int i = 0; i < lengthof(config_relids); i++)
		config_relids[i] = scim_own_relid(config_names[i]);

	context = AllocSetContextCreate(CacheMemoryContext, "scim catalog", ALLOCSET_DEFAULT_SIZES);
	saved = MemoryContextSwitchTo(context);
	fresh = palloc0(sizeof(CatalogCache));
	fresh->context = context;
	memset(&control, 0, sizeof(control));
	control.keysize = TOKEN_HASH_SIZE;
	control.entrysize = sizeof(TokenEntry);
	control.hcxt = context;
	fresh->tokens = hash_create("scim tokens", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	MemoryContextSwitchTo(saved);
	cache = fresh;
	cache_stale = false;
}

void
scim_catalog_begin(void)
{
	/* Nothing arrives by itself while no lock is taken. */
	AcceptInvalidationMessages();
	if (request_depth == 0 && cache_stale)
		cache_drop();
	if (cache == NULL)
		cache_create();
	request_depth++;
}

void
scim_catalog_end(void)
{
	Assert(request_depth > 0);
	set_depth(request_depth - 1);
}

/*
 * Statement trigger of the configuration tables.  DML alone tells nobody.
 */
Datum
scim_config_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("scim._config_changed can only be called as a trigger")));
	CacheInvalidateRelcacheByRelid(RelationGetRelid(trigger->tg_relation));
	return PointerGetDatum(NULL);
}

/* ---- rows into structs ---- */

static char *
row_text(SPITupleTable *table, int row, int column)
{
	return SPI_getvalue(table->vals[row], table->tupdesc, column);
}

static int64
row_int64(SPITupleTable *table, int row, int column)
{
	bool		isnull;
	Datum		d = SPI_getbinval(table->vals[row], table->tupdesc, column, &isnull);

	return isnull ? 0 : DatumGetInt64(d);
}

static Oid
row_oid(SPITupleTable *table, int row, int column)
{
	bool		isnull;
	Datum		d = SPI_getbinval(table->vals[row], table->tupdesc, column, &isnull);

	return isnull ? InvalidOid : DatumGetObjectId(d);
}

static bool
row_bool(SPITupleTable *table, int row, int column)
{
	bool		isnull;
	Datum		d = SPI_getbinval(table->vals[row], table->tupdesc, column, &isnull);

	return !isnull && DatumGetBool(d);
}

static char *
cache_strdup(const char *s)
{
	return s ? MemoryContextStrdup(cache->context, s) : NULL;
}

/* A text[], into the cache's context. */
static List *
row_texts(SPITupleTable *table, int row, int column)
{
	bool		isnull;
	Datum		array = SPI_getbinval(table->vals[row], table->tupdesc, column, &isnull);
	MemoryContext saved;
	List	   *texts = NIL;
	Datum	   *elements;
	int			n = 0;

	if (!isnull)
		deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, &n);
	saved = MemoryContextSwitchTo(cache->context);
	for (int i = 0; i < n; i++)
		texts = lappend(texts, TextDatumGetCString(elements[i]));
	MemoryContextSwitchTo(saved);
	return texts;
}

static void
select_own(const char *key, const char *sql, const char *argument, const char *what)
{
	Oid			types[1] = {TEXTOID};
	Datum		values[1];
	int			nargs = argument ? 1 : 0;

	if (argument)
		values[0] = CStringGetTextDatum(argument);
	if (scim_own_execute(key, sql, nargs, types, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read %s", what);
}

/* ---- resource types ---- */

const ScimRegistry *
scim_catalog_registry(void)
{
	MemoryContext saved;
	ScimError	err;
	ScimRegistry *registry;

	Assert(cache != NULL);
	if (cache->registry != NULL)
		return cache->registry;

	memset(&err, 0, sizeof(err));
	saved = MemoryContextSwitchTo(cache->context);
	registry = scim_registry_create(&err);
	MemoryContextSwitchTo(saved);
	if (registry == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("%s", err.detail)));

	SPI_connect();
	select_own("schemas", "SELECT s.definition::pg_catalog.text FROM scim._schemas s ORDER BY s.uri",
			   NULL, "scim._schemas");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		char	   *text = row_text(SPI_tuptable, i, 1);
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
 * What a resource type is made of: the standard ones are known; any other is a
 * base schema of a user (scim.create_schema without extends), whose name, or
 * the last part of whose URN, is the name of the type.
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
		select_own("base schema",
				   "SELECT s.uri, coalesce(s.definition OPERATOR(pg_catalog.->>) 'name', pg_catalog.regexp_replace(s.uri, '^.*:', ''))"
				   " FROM scim._schemas s WHERE s.extends IS NULL AND pg_catalog.lower($1) OPERATOR(pg_catalog.=) pg_catalog.lower("
				   "coalesce(s.definition OPERATOR(pg_catalog.->>) 'name', pg_catalog.regexp_replace(s.uri, '^.*:', '')))"
				   " ORDER BY s.uri LIMIT 1",
				   name, "scim._schemas");
		if (SPI_processed == 0)
			return false;
		uri = row_text(SPI_tuptable, 0, 1);
		parts->name = row_text(SPI_tuptable, 0, 2);
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
	TypeParts	parts;
	ScimExtension exts[64];
	int			nexts = 0;
	ScimError	err;
	ScimResourceType *type;
	TypeEntry  *entry;
	ListCell   *lc;
	MemoryContext saved;

	foreach(lc, cache->types)
	{
		entry = (TypeEntry *) lfirst(lc);
		if (pg_strcasecmp(entry->name, name) == 0)
			return entry->type;
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
	select_own("extensions",
			   "SELECT s.uri, s.required FROM scim._schemas s"
			   " WHERE pg_catalog.lower(s.extends) OPERATOR(pg_catalog.=) pg_catalog.lower($1) ORDER BY s.uri",
			   parts.name, "scim._schemas");
	for (uint64 i = 0; i < SPI_processed && nexts < lengthof(exts); i++)
	{
		char	   *uri = row_text(SPI_tuptable, i, 1);

		exts[nexts].schema = scim_registry_schema(registry, uri, strlen(uri));
		exts[nexts].required = row_bool(SPI_tuptable, i, 2);
		if (exts[nexts].schema != NULL)
			nexts++;
	}

	memset(&err, 0, sizeof(err));
	saved = MemoryContextSwitchTo(cache->context);
	type = scim_resource_type_make(registry, parts.name, parts.endpoint, parts.description,
								   parts.schema->uri, exts, nexts, NULL, NULL, &err);
	if (type != NULL)
	{
		entry = palloc(sizeof(TypeEntry));
		entry->name = type->name;
		entry->type = type;
		cache->types = lappend(cache->types, entry);
	}
	MemoryContextSwitchTo(saved);
	SPI_finish();
	if (type == NULL)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("%s", err.detail)));
	return type;
}

/* ---- mapping sets ---- */

ScimMappingRow *
scim_mapping_row(const char *name)
{
	ScimMappingRow *row = NULL;
	MemoryContext caller = CurrentMemoryContext;

	SPI_connect();
	select_own("mapping",
			   "SELECT m.id, m.name, m.resource_type, m.relation::pg_catalog.oid, m.key,"
			   " m.attributes::pg_catalog.text, m.owner::pg_catalog.oid, m.builtin, m.options::pg_catalog.text"
			   " FROM scim._mappings m WHERE m.name OPERATOR(pg_catalog.=) $1",
			   name, "scim._mappings");
	if (SPI_processed > 0)
	{
		row = MemoryContextAlloc(caller, sizeof(ScimMappingRow));
		row->id = row_int64(SPI_tuptable, 0, 1);
		row->name = MemoryContextStrdup(caller, row_text(SPI_tuptable, 0, 2));
		row->resource_type = MemoryContextStrdup(caller, row_text(SPI_tuptable, 0, 3));
		row->relid = row_oid(SPI_tuptable, 0, 4);
		row->key = MemoryContextStrdup(caller, row_text(SPI_tuptable, 0, 5));
		row->attributes = MemoryContextStrdup(caller, row_text(SPI_tuptable, 0, 6));
		row->owner = row_oid(SPI_tuptable, 0, 7);
		row->builtin = row_bool(SPI_tuptable, 0, 8);
		row->options = MemoryContextStrdup(caller, row_text(SPI_tuptable, 0, 9));
	}
	SPI_finish();
	return row;
}

static bool
same_texts(List *a, List *b)
{
	ListCell   *la,
			   *lb;

	if (list_length(a) != list_length(b))
		return false;
	forboth(la, a, lb, b)
	{
		if (strcmp((char *) lfirst(la), (char *) lfirst(lb)) != 0)
			return false;
	}
	return true;
}

/* An error that says nothing about a mapping: the next try may have none. */
static bool
is_passing(int sqlerrcode)
{
	switch (ERRCODE_TO_CATEGORY(sqlerrcode))
	{
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OPERATOR_INTERVENTION:
			return true;
	}
	return sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE;
}

/*
 * The set of these mappings for this owner, compiled at first use.  A mapping
 * that cannot be resolved (a dropped column, say) gives a set that is marked
 * broken, so that the answer is 503 with its reason and costs nothing again
 * until something changes.
 */
static ScimMappingSet *
mapping_set(Oid owner, List *names, List *scope)
{
	SetEntry   *entry;
	ListCell   *lc;
	MemoryContext context;
	MemoryContext saved = CurrentMemoryContext;
	ResourceOwner saved_owner = CurrentResourceOwner;
	ScimMappingSet *set;

	foreach(lc, cache->sets)
	{
		entry = (SetEntry *) lfirst(lc);
		if (entry->owner == owner && same_texts(entry->names, names) && same_texts(entry->scope, scope))
			return entry->set;
	}

	context = AllocSetContextCreate(cache->context, "scim mapping set", ALLOCSET_DEFAULT_SIZES);

	/*
	 * Compiling looks up names, which can fail in ways that need a rollback:
	 * hence the subtransaction.
	 */
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		List	   *rows = NIL;

		foreach(lc, names)
		{
			ScimMappingRow *row = scim_mapping_row((char *) lfirst(lc));

			if (row == NULL)
				ereport(ERROR,
						(errcode(ERRCODE_UNDEFINED_OBJECT),
						 errmsg("mapping \"%s\" does not exist", (char *) lfirst(lc))));
			rows = lappend(rows, row);
		}
		set = scim_mapping_set_make(rows, owner, scope, true);
		set->context = context;
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(saved);
		CurrentResourceOwner = saved_owner;
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(context);
		edata = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(saved);
		CurrentResourceOwner = saved_owner;
		if (is_passing(edata->sqlerrcode))
			ReThrowError(edata);
		set = MemoryContextAllocZero(context, sizeof(ScimMappingSet));
		set->owner = owner;
		set->broken = edata->message;
	}
	PG_END_TRY();

	MemoryContextSwitchTo(cache->context);
	entry = palloc(sizeof(SetEntry));
	entry->owner = owner;
	entry->names = NIL;
	entry->scope = NIL;
	foreach(lc, names)
		entry->names = lappend(entry->names, pstrdup((char *) lfirst(lc)));
	foreach(lc, scope)
		entry->scope = lappend(entry->scope, pstrdup((char *) lfirst(lc)));
	entry->set = set;
	cache->sets = lappend(cache->sets, entry);
	MemoryContextSwitchTo(saved);
	return set;
}

const ScimMappingSet *
scim_catalog_mappings(Oid owner, List *names)
{
	return mapping_set(owner, names, NIL);
}

/* ---- endpoints ---- */

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

	set = mapping_set(endpoint->owner, names, scope_names);
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
	ListCell   *lc;
	ScimEndpoint *endpoint;
	List	   *names;
	char	   *scope_text;
	char	   *options_text;
	ScimError	err;
	MemoryContext saved;

	Assert(cache != NULL && request_depth > 0);
	foreach(lc, cache->endpoints)
	{
		endpoint = (ScimEndpoint *) lfirst(lc);
		if (strcmp(endpoint->name, name) == 0)
			return endpoint;
	}

	SPI_connect();
	select_own("endpoint",
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
	endpoint->id = row_int64(SPI_tuptable, 0, 1);
	endpoint->name = cache_strdup(row_text(SPI_tuptable, 0, 2));
	endpoint->base_path = cache_strdup(row_text(SPI_tuptable, 0, 3));
	endpoint->public_url = cache_strdup(row_text(SPI_tuptable, 0, 4));
	endpoint->tenant = cache_strdup(row_text(SPI_tuptable, 0, 5));
	endpoint->owner = row_oid(SPI_tuptable, 0, 6);
	endpoint->enabled = row_bool(SPI_tuptable, 0, 7);
	endpoint->mode = strcmp(row_text(SPI_tuptable, 0, 8), "strict") == 0 ? SCIM_STRICT : SCIM_COMPAT;
	names = row_texts(SPI_tuptable, 0, 9);
	scope_text = MemoryContextStrdup(cache->context, row_text(SPI_tuptable, 0, 10));
	options_text = MemoryContextStrdup(cache->context, row_text(SPI_tuptable, 0, 11));
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
load_base_paths(void)
{
	MemoryContext saved;

	SPI_connect();
	select_own("base paths",
			   "SELECT e.base_path, e.name FROM scim._endpoints e"
			   " ORDER BY pg_catalog.length(e.base_path) DESC, e.base_path",
			   NULL, "scim._endpoints");
	saved = MemoryContextSwitchTo(cache->context);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		BasePath   *bp = palloc(sizeof(BasePath));

		bp->base_path = pstrdup(row_text(SPI_tuptable, i, 1));
		bp->len = strlen(bp->base_path);
		bp->endpoint = pstrdup(row_text(SPI_tuptable, i, 2));
		cache->base_paths = lappend(cache->base_paths, bp);
	}
	MemoryContextSwitchTo(saved);
	SPI_finish();
	cache->base_paths_loaded = true;
}

const ScimEndpoint *
scim_endpoint_by_path(const char *path, const char **rest)
{
	ListCell   *lc;

	if (!cache->base_paths_loaded)
		load_base_paths();
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

/* ---- tokens ---- */

const ScimToken *
scim_token_by_hash(const uint8 *hash)
{
	TokenEntry *entry;
	bool		found;
	Oid			types[1] = {BYTEAOID};
	Datum		values[1];
	bytea	   *key;

	Assert(cache != NULL && request_depth > 0);
	entry = (TokenEntry *) hash_search(cache->tokens, hash, HASH_FIND, &found);
	if (found)
		return entry->known ? &entry->token : NULL;

	/* Guesses must not fill the memory; real tokens come back at their next use. */
	if (hash_get_num_entries(cache->tokens) >= MAX_CACHED_TOKENS)
	{
		HASH_SEQ_STATUS status;

		hash_seq_init(&status, cache->tokens);
		while ((entry = (TokenEntry *) hash_seq_search(&status)) != NULL)
			if (!entry->known)
				(void) hash_search(cache->tokens, entry->hash, HASH_REMOVE, NULL);
	}

	key = (bytea *) palloc(VARHDRSZ + TOKEN_HASH_SIZE);
	SET_VARSIZE(key, VARHDRSZ + TOKEN_HASH_SIZE);
	memcpy(VARDATA(key), hash, TOKEN_HASH_SIZE);
	values[0] = PointerGetDatum(key);

	SPI_connect();
	if (scim_own_execute("token",
						 "SELECT t.id, t.endpoint_id, t.label, t.can_write, t.expires, t.revoked IS NOT NULL,"
						 " t.resource_types, t.subject, t.lifetime IS NOT NULL"
						 " FROM scim._tokens t WHERE t.hash OPERATOR(pg_catalog.=) $1",
						 1, types, values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read scim._tokens");

	entry = (TokenEntry *) hash_search(cache->tokens, hash, HASH_ENTER, &found);
	memset(&entry->token, 0, sizeof(entry->token));
	entry->known = false;
	if (SPI_processed > 0)
	{
		bool		isnull;
		Datum		expires = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 5, &isnull);

		entry->token.id = row_int64(SPI_tuptable, 0, 1);
		entry->token.endpoint_id = row_int64(SPI_tuptable, 0, 2);
		entry->token.label = cache_strdup(row_text(SPI_tuptable, 0, 3));
		entry->token.can_write = row_bool(SPI_tuptable, 0, 4);
		entry->token.expires = isnull ? DT_NOEND : DatumGetTimestampTz(expires);
		entry->token.revoked = row_bool(SPI_tuptable, 0, 6);
		entry->token.last_used = DT_NOBEGIN;
		entry->token.subject = cache_strdup(row_text(SPI_tuptable, 0, 8));
		entry->token.is_client = row_bool(SPI_tuptable, 0, 9);
		entry->token.types = row_texts(SPI_tuptable, 0, 7);
		entry->known = true;
	}
	SPI_finish();
	return entry->known ? &entry->token : NULL;
}

/*
 * The write waits for nobody: if another process is at the same row, its time
 * stamp is as good as ours.
 */
void
scim_token_touch(const ScimToken *token)
{
	TimestampTz now = GetCurrentTimestamp();
	Oid			types[1] = {INT8OID};
	Datum		values[1];

	if (token->last_used != DT_NOBEGIN &&
		!TimestampDifferenceExceeds(token->last_used, now, TOKEN_TOUCH_INTERVAL_MS))
		return;
	((ScimToken *) token)->last_used = now;
	if (XactReadOnly || RecoveryInProgress())
		return;

	values[0] = Int64GetDatum(token->id);
	SPI_connect();
	(void) scim_own_execute("touch token insert",
							"INSERT INTO scim._token_use AS u (token_id, last_used)"
							" SELECT t.id, pg_catalog.now() FROM scim._tokens t"
							" WHERE t.id OPERATOR(pg_catalog.=) $1"
							" AND NOT EXISTS (SELECT 1 FROM scim._token_use o WHERE o.token_id OPERATOR(pg_catalog.=) $1)"
							" ON CONFLICT DO NOTHING",
							1, types, values, NULL, false, 0);
	(void) scim_own_execute("touch token update",
							"UPDATE scim._token_use SET last_used = pg_catalog.now() WHERE token_id OPERATOR(pg_catalog.=)"
							" (SELECT o.token_id FROM scim._token_use o WHERE o.token_id OPERATOR(pg_catalog.=) $1"
							"  AND o.last_used OPERATOR(pg_catalog.<) (pg_catalog.now() OPERATOR(pg_catalog.-) '50 seconds'::pg_catalog.interval)"
							"  FOR UPDATE SKIP LOCKED)",
							1, types, values, NULL, false, 0);
	SPI_finish();
}
