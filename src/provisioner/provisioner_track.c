/*
 * provisioner_track.c
 *		Mappings with the option "track": what scim.resource_state holds of a
 *		resource is kept by the triggers of capture, whoever changes it.
 *
 * The triggers are those of syncs (provisioner_attach.c), and so is the rule of
 * what matters; only what becomes of a key is another thing: no row of a queue,
 * but another version of the resource.
 *
 * A row of a child relation that goes does not tell whether its parent goes,
 * too, and has taken it along.  So such a change moves only a version that is
 * there, and all rows of the relation get one when tracking begins.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/portal.h"

#include "provisioner_internal.h"
#include "../catalog/catalog.h"
#include "../store/store.h"

/* How many keys are looked at in one go. */
#define SEEN_KEYS 1000

/* The keys that a cursor has fetched. */
static Datum
fetched_keys(void)
{
	Datum	   *keys = palloc(sizeof(Datum) * Max(SPI_processed, 1));

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;

		keys[i] = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull);
	}
	return PointerGetDatum(construct_array(keys, (int) SPI_processed, TEXTOID, -1, false, TYPALIGN_INT));
}

/* Every row that is there has a state from now on; read as the mapping's owner. */
static void
see_all(const ScimMappingRow *row)
{
	const char *key = quote_identifier(row->key);
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(caller, "scim track", ALLOCSET_DEFAULT_SIZES);
	ScimIdentity identity;
	SPIPlanPtr	plan;
	Portal		cursor;

	memset(&identity, 0, sizeof(identity));
	scim_identity_assume(&identity, row->owner, true);
	plan = SPI_prepare(psprintf("SELECT r.%s::pg_catalog.text FROM %s r WHERE r.%s IS NOT NULL",
								key, scim_qualified_relation(row->relid), key), 0, NULL);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	cursor = SPI_cursor_open(NULL, plan, NULL, NULL, false);
	for (;;)
	{
		MemoryContext saved;

		SPI_cursor_fetch(cursor, true, SEEN_KEYS);
		if (SPI_processed == 0)
			break;
		saved = MemoryContextSwitchTo(context);
		scim_state_note(row->id, fetched_keys(), SCIM_STATE_SEEN, 0);
		MemoryContextSwitchTo(saved);
		MemoryContextReset(context);
	}
	SPI_cursor_close(cursor);
	SPI_freeplan(plan);
	scim_identity_close_gucs(&identity);
	scim_identity_restore(&identity);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}

bool
scim_track_renew(ScimMappingRow *row)
{
	const ScimMapping *mapping;
	bool		before;

	/* keeps its own state, and has no owner to look at it as */
	if (row->builtin)
		return false;
	scim_capture_forget(NULL, row);
	before = SPI_processed > 0;
	mapping = scim_mapping_resolve(row);
	if (!mapping->track)
		return before;
	scim_capture_attach(NULL, row, true);
	if (before)
		scim_state_note_all(row->id, SCIM_STATE_TOUCHED);
	see_all(row);
	return true;
}

void
scim_track_all(ScimMappingRow *row)
{
	scim_state_note_all(row->id, SCIM_STATE_TOUCHED);
	/* (where its key has gone, it answers 503 until it is altered) */
	if (get_attnum(row->relid, row->key) != InvalidAttrNumber)
		see_all(row);
}
