/*
 * provisioner_row.c
 *		Links, one at a time by their keys, without a statement (see
 *		provisioner_row.h).
 *
 * A statement that writes hundreds of links spends most of its time on bringing
 * two dozen columns of each to the table and back.  What is known here is the
 * key and the few columns that change, so the row is found in the index of the
 * primary key, and is written through the executor's function for a single row,
 * as a subscription applies changes.  Locks, constraints, indexes and what other
 * transactions see are as those of a statement.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "provisioner_engine.h"
#include "provisioner_row.h"
#include "../catalog/catalog.h"
#include "../store/store.h"
#include "../compat.h"

static const char *const column_names[SCIM_LINK_COLUMNS] = {
	[SCIM_LINK_SYNC_ID] = "sync_id",
	[SCIM_LINK_SOURCE_KEY] = "source_key",
	[SCIM_LINK_REMOTE_ID] = "remote_id",
	[SCIM_LINK_FORMERLY] = "formerly",
	[SCIM_LINK_STATE] = "state",
	[SCIM_LINK_REASON] = "reason",
	[SCIM_LINK_ACKED] = "acked",
	[SCIM_LINK_ACKED_HASH] = "acked_hash",
	[SCIM_LINK_WANTED] = "wanted",
	[SCIM_LINK_WANTED_HASH] = "wanted_hash",
	[SCIM_LINK_LANE] = "lane",
	[SCIM_LINK_INTENT] = "intent",
	[SCIM_LINK_INTENT_AT] = "intent_at",
	[SCIM_LINK_DIRTY] = "dirty",
	[SCIM_LINK_WAITING] = "waiting",
	[SCIM_LINK_WAITING_SINCE] = "waiting_since",
	[SCIM_LINK_DOUBT] = "doubt",
	[SCIM_LINK_ATTEMPTS] = "attempts",
	[SCIM_LINK_NEXT_AT] = "next_at",
	[SCIM_LINK_GONE_AT] = "gone_at",
	[SCIM_LINK_STAGED] = "staged",
	[SCIM_LINK_APPROVAL] = "approval",
	[SCIM_LINK_REFUSED] = "refused",
	[SCIM_LINK_REFUSED_UNTIL] = "refused_until",
	[SCIM_LINK_REFUSED_TRIES] = "refused_tries",
	[SCIM_LINK_CHANGED_AT] = "changed_at",
};

struct ScimLinkRows
{
	int64		sync_id;
	Relation	rel;
	Relation	index;
	IndexScanDesc scan;
	EState	   *estate;
	EPQState	epq;
	ResultRelInfo *info;
	TriggerDesc *triggers;
	TupleTableSlot *found;		/* the row as it is */
	TupleTableSlot *row;		/* and as it is to be */
	AttrNumber	columns[SCIM_LINK_COLUMNS];
};

/* The key of our own index with two columns that are looked for. */
static void
set_keys(ScanKeyData *keys, int64 first, Datum second)
{
	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(first));
	/* the columns are COLLATE "C" */
	ScanKeyEntryInitialize(&keys[1], 0, 2, BTEqualStrategyNumber, TEXTOID, C_COLLATION_OID, F_TEXTEQ, second);
}

/* ---- open and close ---- */

ScimLinkRows *
scim_link_rows_open(int64 sync_id)
{
	ScimLinkRows *rows = palloc0(sizeof(ScimLinkRows));
	Relation	rel = table_open(scim_own_relid("_links"), RowExclusiveLock);
	EState	   *estate = CreateExecutorState();
	MemoryContext saved = MemoryContextSwitchTo(estate->es_query_cxt);

	/* see what earlier statements have written */
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	rows->sync_id = sync_id;
	rows->rel = rel;
	rows->estate = estate;
	for (int i = 0; i < SCIM_LINK_COLUMNS; i++)
	{
		rows->columns[i] = get_attnum(RelationGetRelid(rel), column_names[i]);
		if (rows->columns[i] <= 0)
			elog(ERROR, "scim._links lacks a column");
	}
	list_free(RelationGetIndexList(rel));
	rows->index = index_open(rel->rd_pkindex, RowExclusiveLock);
	rows->scan = scim_index_beginscan(rel, rows->index, GetActiveSnapshot(), 2);
	estate->es_snapshot = GetActiveSnapshot();
	rows->info = makeNode(ResultRelInfo);
	InitResultRelInfo(rows->info, rel, 0, NULL, 0);
	ExecOpenIndices(rows->info, false);
	estate->es_opened_result_relations = lappend(estate->es_opened_result_relations, rows->info);
	/* the only trigger is that of the sync, which never changes */
	rows->triggers = rows->info->ri_TrigDesc;
	rows->found = table_slot_create(rel, &estate->es_tupleTable);
	rows->row = MakeTupleTableSlot(RelationGetDescr(rel), &TTSOpsVirtual);
	scim_epq_init(&rows->epq, estate);
	AfterTriggerBeginQuery();
	MemoryContextSwitchTo(saved);
	return rows;
}

void
scim_link_rows_close(ScimLinkRows *rows)
{
	EState	   *estate = rows->estate;

	index_endscan(rows->scan);
	index_close(rows->index, NoLock);
	rows->info->ri_TrigDesc = rows->triggers;
	AfterTriggerEndQuery(estate);
	ExecDropSingleTupleTableSlot(rows->row);
	ExecResetTupleTable(estate->es_tupleTable, false);
	ExecCloseResultRelations(estate);
	FreeExecutorState(estate);
	PopActiveSnapshot();
	/* as a statement would, keep the lock on the table to the end */
	table_close(rows->rel, NoLock);
	CommandCounterIncrement();
	pfree(rows);
}

/* ---- one link ---- */

bool
scim_link_rows_have(ScimLinkRows *rows, const char *key)
{
	MemoryContext saved = MemoryContextSwitchTo(GetPerTupleMemoryContext(rows->estate));
	ScanKeyData keys[2];
	bool		found;

	set_keys(keys, rows->sync_id, CStringGetTextDatum(key));
	/* a scan keeps memory of its own from here */
	MemoryContextSwitchTo(rows->estate->es_query_cxt);
	index_rescan(rows->scan, keys, lengthof(keys), NULL, 0);
	found = index_getnext_slot(rows->scan, ForwardScanDirection, rows->found);
	MemoryContextSwitchTo(saved);
	return found;
}

bool
scim_link_rows_find(ScimLinkRows *rows, const char *key)
{
	bool		changed;

	if (!scim_link_rows_have(rows, key) || !scim_table_lock(rows->rel, rows->found, &changed))
		return false;

	slot_getallattrs(rows->found);
	ExecClearTuple(rows->row);
	memcpy(rows->row->tts_values, rows->found->tts_values, sizeof(Datum) * RelationGetDescr(rows->rel)->natts);
	memcpy(rows->row->tts_isnull, rows->found->tts_isnull, sizeof(bool) * RelationGetDescr(rows->rel)->natts);
	return true;
}

void
scim_link_rows_new(ScimLinkRows *rows, const char *key)
{
	MemoryContext saved = MemoryContextSwitchTo(GetPerTupleMemoryContext(rows->estate));

	ExecClearTuple(rows->row);
	memset(rows->row->tts_isnull, true, sizeof(bool) * RelationGetDescr(rows->rel)->natts);
	scim_link_rows_set(rows, SCIM_LINK_SYNC_ID, Int64GetDatum(rows->sync_id), false);
	scim_link_rows_set(rows, SCIM_LINK_SOURCE_KEY, CStringGetTextDatum(key), false);
	scim_link_rows_set(rows, SCIM_LINK_STATE, CStringGetTextDatum("pending"), false);
	scim_link_rows_set(rows, SCIM_LINK_LANE, Int16GetDatum(2), false);
	scim_link_rows_set(rows, SCIM_LINK_DIRTY, BoolGetDatum(false), false);
	scim_link_rows_set(rows, SCIM_LINK_WAITING, BoolGetDatum(false), false);
	scim_link_rows_set(rows, SCIM_LINK_DOUBT, Int32GetDatum(0), false);
	scim_link_rows_set(rows, SCIM_LINK_ATTEMPTS, Int32GetDatum(0), false);
	scim_link_rows_set(rows, SCIM_LINK_REFUSED_TRIES, Int32GetDatum(0), false);
	scim_link_rows_set(rows, SCIM_LINK_NEXT_AT, TimestampTzGetDatum(GetCurrentTimestamp()), false);
	scim_link_rows_set(rows, SCIM_LINK_CHANGED_AT, TimestampTzGetDatum(GetCurrentTimestamp()), false);
	MemoryContextSwitchTo(saved);
}

Datum
scim_link_rows_get(const ScimLinkRows *rows, ScimLinkColumn column, bool *isnull)
{
	*isnull = rows->row->tts_isnull[rows->columns[column] - 1];
	return rows->row->tts_values[rows->columns[column] - 1];
}

void
scim_link_rows_set(ScimLinkRows *rows, ScimLinkColumn column, Datum value, bool isnull)
{
	rows->row->tts_isnull[rows->columns[column] - 1] = isnull;
	rows->row->tts_values[rows->columns[column] - 1] = isnull ? (Datum) 0 : value;
}

void
scim_link_rows_update(ScimLinkRows *rows)
{
	ExecStoreVirtualTuple(rows->row);
	rows->info->ri_TrigDesc = NULL;
	ExecSimpleRelationUpdate(rows->info, rows->estate, &rows->epq, rows->found, rows->row);
	rows->info->ri_TrigDesc = rows->triggers;
	ExecClearTuple(rows->row);
	ExecClearTuple(rows->found);
	ResetPerTupleExprContext(rows->estate);
}

void
scim_link_rows_insert(ScimLinkRows *rows)
{
	MemoryContext caller = CurrentMemoryContext;

	ExecStoreVirtualTuple(rows->row);
	PG_TRY();
	{
		ExecSimpleRelationInsert(rows->info, rows->estate, rows->row);
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(caller);
		edata = CopyErrorData();
		if (edata->sqlerrcode != ERRCODE_UNIQUE_VIOLATION)
			PG_RE_THROW();
		/* somebody has made it whom this transaction cannot see */
		FlushErrorState();
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent update")));
	}
	PG_END_TRY();
	/* the sync is there: to be told so once is enough */
	rows->info->ri_TrigDesc = NULL;
	ExecClearTuple(rows->row);
	ResetPerTupleExprContext(rows->estate);
}

/* ---- by the resource ---- */

struct ScimLinkRemotes
{
	int64		sync_id;
	Relation	rel;
	Relation	index;
	Snapshot	snapshot;
	IndexScanDesc scan;
	TupleTableSlot *slot;
	AttrNumber	key;
};

ScimLinkRemotes *
scim_link_remotes_open(int64 sync_id)
{
	ScimLinkRemotes *remotes = palloc0(sizeof(ScimLinkRemotes));
	Relation	rel = table_open(scim_own_relid("_links"), AccessShareLock);

	CommandCounterIncrement();
	remotes->sync_id = sync_id;
	remotes->rel = rel;
	remotes->index = index_open(get_relname_relid("_links_remote", RelationGetNamespace(rel)), AccessShareLock);
	remotes->snapshot = RegisterSnapshot(GetTransactionSnapshot());
	remotes->scan = scim_index_beginscan(rel, remotes->index, remotes->snapshot, 2);
	remotes->slot = table_slot_create(rel, NULL);
	remotes->key = get_attnum(RelationGetRelid(rel), column_names[SCIM_LINK_SOURCE_KEY]);
	return remotes;
}

const char *
scim_link_remotes_find(ScimLinkRemotes *remotes, const char *remote_id)
{
	Datum		id = CStringGetTextDatum(remote_id);
	ScanKeyData keys[2];
	const char *key = NULL;
	bool		isnull;

	set_keys(keys, remotes->sync_id, id);
	index_rescan(remotes->scan, keys, lengthof(keys), NULL, 0);
	if (index_getnext_slot(remotes->scan, ForwardScanDirection, remotes->slot))
		key = TextDatumGetCString(slot_getattr(remotes->slot, remotes->key, &isnull));
	ExecClearTuple(remotes->slot);
	pfree(DatumGetPointer(id));
	return key;
}

void
scim_link_remotes_close(ScimLinkRemotes *remotes)
{
	index_endscan(remotes->scan);
	UnregisterSnapshot(remotes->snapshot);
	ExecDropSingleTupleTableSlot(remotes->slot);
	index_close(remotes->index, AccessShareLock);
	table_close(remotes->rel, AccessShareLock);
	pfree(remotes);
}
