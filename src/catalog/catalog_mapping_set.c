/*
 * catalog_mapping_set.c
 *		Mappings, read from scim._mappings and compiled into sets.
 *
 * A set is compiled when it is first asked for, once for each owner and scope.
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "catalog_cache_internal.h"

/* A set stays for as long as a listener: blocks that double would leave half a megabyte of it unused. */
#define MAX_BLOCK (64 * 1024)

ScimMappingRow *
scim_mapping_row(const char *name)
{
	ScimMappingRow *row = NULL;
	MemoryContext caller = CurrentMemoryContext;

	SPI_connect();
	scim_select_own("mapping",
			   "SELECT m.id, m.name, m.resource_type, m.relation::pg_catalog.oid, m.key,"
			   " m.attributes::pg_catalog.text, m.owner::pg_catalog.oid, m.builtin, m.options::pg_catalog.text, m.extensions IS NOT NULL"
			   " FROM scim._mappings m WHERE m.name OPERATOR(pg_catalog.=) $1",
			   name, "scim._mappings");
	if (SPI_processed > 0)
	{
		row = MemoryContextAlloc(caller, sizeof(ScimMappingRow));
		row->id = scim_row_int64(SPI_tuptable, 0, 1);
		row->name = MemoryContextStrdup(caller, scim_row_text(SPI_tuptable, 0, 2));
		row->resource_type = MemoryContextStrdup(caller, scim_row_text(SPI_tuptable, 0, 3));
		row->relid = scim_row_oid(SPI_tuptable, 0, 4);
		row->key = MemoryContextStrdup(caller, scim_row_text(SPI_tuptable, 0, 5));
		row->attributes = MemoryContextStrdup(caller, scim_row_text(SPI_tuptable, 0, 6));
		row->owner = scim_row_oid(SPI_tuptable, 0, 7);
		row->builtin = scim_row_bool(SPI_tuptable, 0, 8);
		row->options = MemoryContextStrdup(caller, scim_row_text(SPI_tuptable, 0, 9));
		row->made = scim_row_bool(SPI_tuptable, 0, 10);
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
ScimMappingSet *
scim_cache_mapping_set(Oid owner, List *names, List *scope, bool outbound)
{
	ScimCatalogCache *cache = scim_catalog_cache();
	ScimSetEntry *entry;
	ListCell   *lc;
	MemoryContext context;
	MemoryContext saved = CurrentMemoryContext;
	ResourceOwner saved_owner = CurrentResourceOwner;
	ScimMappingSet *set;

	foreach(lc, cache->sets)
	{
		entry = (ScimSetEntry *) lfirst(lc);
		if (entry->owner == owner && entry->outbound == outbound && same_texts(entry->names, names) && same_texts(entry->scope, scope))
			return entry->set;
	}

	context = AllocSetContextCreate(cache->context, "scim mapping set", ALLOCSET_DEFAULT_MINSIZE, ALLOCSET_DEFAULT_INITSIZE,
									MAX_BLOCK);

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
			row->outbound = outbound;
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
	entry = palloc(sizeof(ScimSetEntry));
	entry->owner = owner;
	entry->outbound = outbound;
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
	return scim_cache_mapping_set(owner, names, NIL, true);
}
