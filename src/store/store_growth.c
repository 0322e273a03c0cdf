/*
 * store_growth.c
 *		How many rows a table has gained, so that a total is counted once.
 *
 * Whoever pages through a million users asks for totalResults at each page, and
 * while somebody writes, to count them each time would take longer than the
 * pages.  So triggers of the tables of the built-in store note in scim._growth
 * by how much each statement has made a tenant's part of the table grow.  Only
 * differences between sums of these notes matter: who has counted the rows in
 * one snapshot knows their number in any other (store_page.c).  What is in
 * scim._growth to begin with is nobody's business, so it is in no dump, not
 * logged, and empty after a crash, when those who have counted are gone, too.
 *
 * Nothing is lost: a note is a row of the transaction whose rows it counts, with
 * their fate.  Nobody waits: nobody changes a note of another one; one writer in
 * some dozens replaces the notes that it finds by their sum, leaving out those
 * that another one is about to replace.
 *
 * Where the triggers are not all as CREATE EXTENSION has made them, or have not
 * been since the rows were counted (which the server tells everybody who has the
 * table open), rows are counted.  Replication does not run triggers of
 * statements; for it there is one of rows, which runs for nothing else.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "store_append.h"
#include "store_internal.h"
#include "../catalog/catalog.h"
#include "../compat.h"

/* One note in so many is followed by a replacement of all. */
#define FOLD_EVERY 64

/* Columns of scim._growth. */
#define COL_RELATION 1
#define COL_TENANT 2
#define COL_ROWS 3

/* ---- notes ---- */

static SysScanDesc
begin_scan(Relation notes, Oid relid, Datum tenant, Snapshot snapshot)
{
	ScanKeyData keys[2];

	ScanKeyInit(&keys[0], COL_RELATION, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	ScanKeyEntryInitialize(&keys[1], 0, COL_TENANT, BTEqualStrategyNumber, InvalidOid, C_COLLATION_OID, F_TEXTEQ, tenant);
	return systable_beginscan(notes, scim_own_relid("_growth_of"), true, snapshot, 2, keys);
}

static int64
rows_of(Relation notes, HeapTuple tuple)
{
	bool		isnull;

	return DatumGetInt64(heap_getattr(tuple, COL_ROWS, RelationGetDescr(notes), &isnull));
}

static void
add_note(Relation notes, Oid relid, Datum tenant, int64 rows)
{
	ScimAppend *append = scim_append_begin(notes, SCIM_FIRE_NONE);

	scim_append_set(append, COL_RELATION, ObjectIdGetDatum(relid), false);
	scim_append_set(append, COL_TENANT, tenant, false);
	scim_append_set(append, COL_ROWS, Int64GetDatum(rows), false);
	scim_append_row(append);
	scim_append_end(append);
}

/* Replace the notes that are there by their sum. */
static void
fold(Relation notes, Oid relid, Datum tenant)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	SysScanDesc scan = begin_scan(notes, relid, tenant, snapshot);
	HeapTuple	tuple;
	int64		sum = 0;
	int			n = 0;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		TM_FailureData failure;
		int64		rows = rows_of(notes, tuple);

		if (table_tuple_delete(notes, &tuple->t_self, GetCurrentCommandId(true), snapshot, InvalidSnapshot, false, &failure, false) != TM_Ok)
			continue;
		sum += rows;
		n++;
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	if (n > 0)
		add_note(notes, relid, tenant, sum);
}

static void
note(Oid relid, Datum tenant, int64 rows)
{
	Relation	notes = table_open(scim_own_relid("_growth"), RowExclusiveLock);

	add_note(notes, relid, tenant, rows);
	/* a snapshot of the whole transaction could not tell what others have replaced */
	if (!IsolationUsesXactSnapshot() && murmurhash32(GetCurrentTransactionId()) % FOLD_EVERY == 0)
		fold(notes, relid, tenant);
	table_close(notes, NoLock);
}

/* ---- the triggers ---- */

/*
 * Does this trigger work as intended: of statements in ordinary sessions, of
 * rows that move always, of other rows in replication?
 */
static bool
is_intact(const Trigger *trigger)
{
	bool		rows = TRIGGER_FOR_ROW(trigger->tgtype);

	if (TRIGGER_FOR_UPDATE(trigger->tgtype))
		return trigger->tgenabled == TRIGGER_FIRES_ALWAYS;
	return trigger->tgenabled == (rows ? TRIGGER_FIRES_ON_REPLICA : TRIGGER_FIRES_ON_ORIGIN);
}

AttrNumber
scim_growth_noted(Relation rel)
{
	const TriggerDesc *triggers = rel->trigdesc;
	Oid			function = InvalidOid;
	const char *column = NULL;
	int			events = 0;

	for (int i = 0; triggers && i < triggers->numtriggers; i++)
	{
		const Trigger *trigger = &triggers->triggers[i];

		if (trigger->tgisinternal || trigger->tgnargs != 1)
			continue;
		if (!OidIsValid(function))
		{
			char	   *name = get_func_name(trigger->tgfoid);

			if (name == NULL || strcmp(name, "_note_growth") != 0 ||
				get_func_namespace(trigger->tgfoid) != get_namespace_oid("scim", false))
				continue;
			function = trigger->tgfoid;
		}
		if (trigger->tgfoid != function)
			continue;
		if (!is_intact(trigger))
			return InvalidAttrNumber;
		events++;
		column = trigger->tgargs[0];
	}
	/* INSERT and DELETE of statements, of replicated rows, and of rows that move */
	return events == 4 ? get_attnum(RelationGetRelid(rel), column) : InvalidAttrNumber;
}

/* Note by tenant how many rows there are in a transition table. */
static void
note_rows(Relation rel, Tuplestorestate *rows, AttrNumber column, int sign)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsMinimalTuple);
	Datum		tenant = (Datum) 0;
	int64		n = 0;

	tuplestore_select_read_pointer(rows, tuplestore_alloc_read_pointer(rows, EXEC_FLAG_REWIND));
	tuplestore_rescan(rows);
	while (tuplestore_gettupleslot(rows, true, false, slot))
	{
		bool		isnull;
		Datum		value = slot_getattr(slot, column, &isnull);

		if (n > 0 && !DatumGetBool(DirectFunctionCall2Coll(texteq, C_COLLATION_OID, tenant, value)))
		{
			note(RelationGetRelid(rel), tenant, sign * n);
			n = 0;
		}
		if (n++ == 0)
			tenant = PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
	}
	if (n > 0)
		note(RelationGetRelid(rel), tenant, sign * n);
	ExecDropSingleTupleTableSlot(slot);
}

static void
note_row(Relation rel, TupleTableSlot *slot, AttrNumber column, int sign)
{
	bool		isnull;

	note(RelationGetRelid(rel), slot_getattr(slot, column, &isnull), sign);
}

PG_FUNCTION_INFO_V1(scim_note_growth);
Datum
scim_note_growth(PG_FUNCTION_ARGS)
{
	TriggerData *event = (TriggerData *) fcinfo->context;
	Relation	rel;
	AttrNumber	column = InvalidAttrNumber;
	Tuplestorestate *rows = NULL;
	int			sign = 1;

	if (CALLED_AS_TRIGGER(fcinfo) && event->tg_trigger->tgnargs == 1 && TRIGGER_FIRED_AFTER(event->tg_event))
	{
		column = get_attnum(RelationGetRelid(event->tg_relation), event->tg_trigger->tgargs[0]);
		sign = TRIGGER_FIRED_BY_DELETE(event->tg_event) ? -1 : 1;
		if (TRIGGER_FIRED_BY_INSERT(event->tg_event))
			rows = event->tg_newtable;
		else if (TRIGGER_FIRED_BY_DELETE(event->tg_event))
			rows = event->tg_oldtable;
	}
	if (column <= 0 || (TRIGGER_FIRED_FOR_STATEMENT(event->tg_event) && rows == NULL) ||
		TupleDescAttr(RelationGetDescr(event->tg_relation), column - 1)->atttypid != TEXTOID ||
		!TupleDescAttr(RelationGetDescr(event->tg_relation), column - 1)->attnotnull)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("scim._note_growth is a trigger of scim.users and scim.groups")));
	rel = event->tg_relation;
	if (TRIGGER_FIRED_FOR_STATEMENT(event->tg_event))
		note_rows(rel, rows, column, sign);
	else if (TRIGGER_FIRED_BY_UPDATE(event->tg_event))
	{
		note_row(rel, event->tg_trigslot, column, -1);
		note_row(rel, event->tg_newslot, column, 1);
	}
	else
		note_row(rel, event->tg_trigslot, column, sign);
	return PointerGetDatum(NULL);
}

/* ---- for the store ---- */

void
scim_growth_inserted(Relation rel, Datum tenant)
{
	/* there the trigger of rows has run */
	if (SessionReplicationRole != SESSION_REPLICATION_ROLE_REPLICA)
		note(RelationGetRelid(rel), tenant, 1);
}

int64
scim_growth_of(Oid relid, const char *tenant)
{
	Relation	notes = table_open(scim_own_relid("_growth"), AccessShareLock);
	SysScanDesc scan = begin_scan(notes, relid, CStringGetTextDatum(tenant), GetActiveSnapshot());
	HeapTuple	tuple;
	int64		sum = 0;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		sum += rows_of(notes, tuple);
	systable_endscan(scan);
	table_close(notes, AccessShareLock);
	return sum;
}
