/*
 * catalog_cache.c
 *		The cache of the catalog: its life, and the bracket of a request.
 *
 * Everything cached hangs on one memory context.  An invalidation (a statement
 * trigger on our tables, or DDL on a mapped relation) only sets a flag; the
 * context is thrown away when the outermost request begins, so pointers stay
 * valid for as long as a request uses them.  Endpoints, tokens and mapping
 * sets are loaded when they are first asked for: a database with ten thousand
 * tenants does not pay for those that never call.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "catalog_cache_internal.h"

PG_FUNCTION_INFO_V1(scim_config_changed);

static ScimCatalogCache *cache = NULL;
static bool cache_stale = false;
static int	request_depth = 0;

/*
 * request_depth when each open subtransaction began, by nest level; 0 for those
 * that were open when this library was loaded.
 */
static int *depth_at_level = NULL;
static int	ndepths = 0;

/* Relations whose invalidation makes the cache stale; 0 until looked up. */
static Oid	config_relids[6];
static const char *const config_names[6] = {
	"_roles", "_schemas", "_mappings", "_endpoints", "_tokens", "_resource_types"
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
		ScimSetEntry   *entry = (ScimSetEntry *) lfirst(lc);

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
	ScimCatalogCache *fresh;
	HASHCTL		control;

	for (int i = 0; i < lengthof(config_relids); i++)
		config_relids[i] = scim_own_relid(config_names[i]);

	context = AllocSetContextCreate(CacheMemoryContext, "scim catalog", ALLOCSET_DEFAULT_SIZES);
	saved = MemoryContextSwitchTo(context);
	fresh = palloc0(sizeof(ScimCatalogCache));
	fresh->context = context;
	memset(&control, 0, sizeof(control));
	control.keysize = SCIM_TOKEN_HASH_SIZE;
	control.entrysize = sizeof(ScimTokenEntry);
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

ScimCatalogCache *
scim_catalog_cache(void)
{
	Assert(cache != NULL && request_depth > 0);
	return cache;
}

char *
scim_cache_strdup(const char *s)
{
	return s ? MemoryContextStrdup(cache->context, s) : NULL;
}
