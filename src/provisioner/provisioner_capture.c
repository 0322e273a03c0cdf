/*
 * provisioner_capture.c
 *		The trigger that queues the keys of changed rows, and notes them in
 *		scim.resource_state for mappings that are tracked.
 *
 * A captured relation, and each of its partitions and inheritance children, has
 * four statement triggers (provisioner_attach.c): a statement fires those of
 * the relation that it names and no others.  Those of INSERT, UPDATE and DELETE
 * see the rows in transition tables, which of an UPDATE are aligned: the n-th
 * old row has become the n-th new one, also with ON CONFLICT and when a row
 * moved to another partition.  So the two are walked in lockstep, and a key is
 * taken if a column that is watched has changed.  What logical replication
 * applies fires no statement triggers but that of TRUNCATE; a table that it
 * writes to has a row trigger for it, too.
 *
 * Nothing here may make the statement of a user fail that would succeed
 * without us, but for what makes any INSERT fail: a change that is not queued
 * would never be pushed.  What is not understood (a column that has gone since)
 * counts as changed.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/bitmapset.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "provisioner_guard.h"
#include "provisioner_internal.h"
#include "../catalog/catalog.h"
#include "../catalog/catalog_mapping.h"
#include "../store/store.h"

PG_FUNCTION_INFO_V1(scim_capture);

/* Bytes of keys that are gathered before they are queued. */
#define MAX_KEYS_SIZE (4 * 1024 * 1024)

void		(*scim_wake_sync) (void) = NULL;

/* What one sync, or one mapping that is tracked, watches in a relation. */
typedef struct Watch
{
	int64		sync_id;
	int64		mapping_id;		/* 0: it is a sync */
	bool		root;			/* of a mapping: the relation is its own, and no child */
	int			nkeys;			/* 0: a column has gone */
	AttrNumber *keys;			/* columns of the key, in its order */
	int			ncolumns;
	AttrNumber *columns;		/* in order, the key among them; NULL: any change matters */
} Watch;

/* A relation as the trigger needs it. */
typedef struct Captured
{
	Oid			relid;			/* hash key */
	bool		valid;
	MemoryContext context;		/* of all below */
	int			nwatches;
	Watch	   *watches;
	AttrNumber	last;			/* highest column that any of them reads */
	FmgrInfo   *output;			/* by attnum - 1: for the columns that are keys */
	int			nrelids;
	Oid		   *relids;			/* itself and what it is a part of */
} Captured;

/*
 * Keys gathered for a watch, until there are enough for a row of the queue.  A
 * mapping has two: of rows that are there, and of rows that were.
 */
typedef struct Batch
{
	const Watch *watch;
	bool		were;
	int			n;
	Datum	   *keys;
	Size		size;			/* bytes of them */
	MemoryContext context;		/* of their texts */
} Batch;

typedef struct CaptureState
{
	Captured   *captured;
	TupleDesc	tupdesc;
	const char *reason;
	MemoryContext row;			/* reset with each row */
	Batch	   *batches;		/* one for each watch, then another for each that is a mapping's */
	int64		version;		/* states that this change has written are beyond it */
	int8	   *same;			/* UPDATE, by attnum - 1: 1 equal, 0 not, -1 not compared yet */
} CaptureState;

static HTAB *captured_relations = NULL;
static Oid	captures_relid = InvalidOid;

/* ---- waking the worker ---- */

/* For which syncs this transaction has asked for it (0: for none in particular). */
typedef struct Asked
{
	int64		sync_id;
	int			level;			/* lowest nesting level of transactions that did */
} Asked;

static List *asked = NIL;		/* in the memory of the transaction */

bool
scim_sync_wake_is_pending(int64 sync_id)
{
	ListCell   *lc;

	foreach(lc, asked)
		if (((Asked *) lfirst(lc))->sync_id == sync_id)
			return true;
	return false;
}

void
scim_sync_wake_at_commit(int64 sync_id)
{
	int			level = GetCurrentTransactionNestLevel();
	MemoryContext saved;
	Asked	   *entry;
	ListCell   *lc;

	foreach(lc, asked)
	{
		entry = (Asked *) lfirst(lc);
		if (entry->sync_id == sync_id)
		{
			entry->level = Min(entry->level, level);
			return;
		}
	}
	saved = MemoryContextSwitchTo(TopTransactionContext);
	entry = palloc(sizeof(Asked));
	entry->sync_id = sync_id;
	entry->level = level;
	asked = lappend(asked, entry);
	MemoryContextSwitchTo(saved);
}

/* (A prepared transaction is found by polling, when it has been committed.) */
static void
transaction_ended(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
			if (asked != NIL && scim_wake_sync != NULL)
				scim_wake_sync();
			asked = NIL;
			break;
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			asked = NIL;
			break;
		default:
			break;
	}
}

static void
subtransaction_ended(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();
	ListCell   *lc;

	if (event != SUBXACT_EVENT_COMMIT_SUB && event != SUBXACT_EVENT_ABORT_SUB)
		return;
	foreach(lc, asked)
	{
		Asked	   *entry = (Asked *) lfirst(lc);

		if (event == SUBXACT_EVENT_COMMIT_SUB && entry->level == level)
			entry->level = level - 1;
		else if (event == SUBXACT_EVENT_ABORT_SUB && entry->level >= level)
			asked = foreach_delete_current(asked, lc);
	}
}

/* ---- what is watched, cached ---- */

/* Called for any relation, at any moment: sets flags only. */
static void
relation_invalidated(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS status;
	Captured   *entry;

	if (captured_relations == NULL)
		return;
	hash_seq_init(&status, captured_relations);
	while ((entry = (Captured *) hash_seq_search(&status)) != NULL)
	{
		bool		hit = !OidIsValid(relid) || relid == captures_relid;

		for (int i = 0; i < entry->nrelids && !hit; i++)
			hit = entry->relids[i] == relid;
		if (hit)
			entry->valid = false;
	}
}

void
scim_provisioner_init(void)
{
	RegisterXactCallback(transaction_ended, NULL);
	RegisterSubXactCallback(subtransaction_ended, NULL);
	CacheRegisterRelcacheCallback(relation_invalidated, (Datum) 0);
	scim_guard_init();
}

/* Number of a column by its name, 0 if there is none. */
static AttrNumber
column_number(TupleDesc tupdesc, const char *name)
{
	for (int i = 0; i < tupdesc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(tupdesc, i);

		if (!att->attisdropped && strcmp(NameStr(att->attname), name) == 0)
			return att->attnum;
	}
	return 0;
}

/* The watch in a row of scim._captures, with the numbers that this relation has for its columns. */
static void
load_watch(Captured *entry, Watch *watch, TupleDesc tupdesc, int row)
{
	HeapTuple	tuple = SPI_tuptable->vals[row];
	Bitmapset  *numbers = NULL;
	Datum		array;
	bool		isnull;
	int			number = -1;
	Datum	   *names;
	int			n;

	watch->sync_id = DatumGetInt64(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 2, &isnull));
	if (isnull)
	{
		watch->mapping_id = DatumGetInt64(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 5, &isnull));
		watch->root = DatumGetBool(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 6, &isnull));
	}
	array = SPI_getbinval(tuple, SPI_tuptable->tupdesc, 3, &isnull);
	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &names, NULL, &n);
	watch->keys = MemoryContextAlloc(entry->context, sizeof(AttrNumber) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		watch->keys[i] = column_number(tupdesc, TextDatumGetCString(names[i]));
		if (watch->keys[i] == 0)
			return;
		numbers = bms_add_member(numbers, watch->keys[i]);
		entry->last = Max(entry->last, watch->keys[i]);
	}
	watch->nkeys = n;
	array = SPI_getbinval(tuple, SPI_tuptable->tupdesc, 4, &isnull);
	if (!isnull)
	{
		deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &names, NULL, &n);
		for (int i = 0; i < n && !isnull; i++)
		{
			AttrNumber	attnum = column_number(tupdesc, TextDatumGetCString(names[i]));

			numbers = bms_add_member(numbers, attnum);
			/* a virtual generated column has no value in a transition table */
			isnull = attnum == 0 || TupleDescAttr(tupdesc, attnum - 1)->attgenerated == 'v';
		}
	}
	if (isnull)					/* all, or one that can't be compared */
	{
		entry->last = tupdesc->natts;
		return;
	}
	watch->columns = MemoryContextAlloc(entry->context, sizeof(AttrNumber) * bms_num_members(numbers));
	while ((number = bms_next_member(numbers, number)) >= 0)
	{
		watch->columns[watch->ncolumns++] = number;
		entry->last = Max(entry->last, number);
	}
}

/*
 * What is watched in a relation: by its own name, or as a part of a relation.
 * Needs SPI to be connected.
 */
static Captured *
captured_relation(Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	TupleDesc	tupdesc = RelationGetDescr(rel);
	Captured   *entry;
	bool		found;
	Oid			types[1] = {OIDOID};
	Datum		values[1];

	if (captured_relations == NULL)
	{
		HASHCTL		control;

		memset(&control, 0, sizeof(control));
		control.keysize = sizeof(Oid);
		control.entrysize = sizeof(Captured);
		control.hcxt = CacheMemoryContext;
		captured_relations = hash_create("scim captured relations", 32, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	entry = (Captured *) hash_search(captured_relations, &relid, HASH_FIND, &found);
	if (found && entry->valid)
		return entry;
	if (found)
	{
		MemoryContextDelete(entry->context);
		(void) hash_search(captured_relations, &relid, HASH_REMOVE, NULL);
	}

	/*
	 * Valid from before it is read: an invalidation that arrives meanwhile is
	 * not lost.  (After an error it is an entry without watches, hence the
	 * flag is set back.)
	 */
	captures_relid = scim_own_relid("_captures");
	entry = (Captured *) hash_search(captured_relations, &relid, HASH_ENTER, &found);
	memset((char *) entry + sizeof(Oid), 0, sizeof(Captured) - sizeof(Oid));
	entry->context = AllocSetContextCreate(CacheMemoryContext, "scim captured relation", ALLOCSET_SMALL_SIZES);
	entry->relids = MemoryContextAlloc(entry->context, sizeof(Oid));
	entry->relids[0] = relid;
	entry->nrelids = 1;
	entry->valid = true;
	PG_TRY();
	{
		Oid		   *relids;

		values[0] = ObjectIdGetDatum(relid);
		if (scim_own_execute("captured",
							 "WITH RECURSIVE part (relation) AS (VALUES ($1)"
							 " UNION SELECT i.inhparent FROM pg_catalog.pg_inherits i, part p"
							 " WHERE i.inhrelid OPERATOR(pg_catalog.=) p.relation)"
							 " SELECT p.relation, c.sync_id, c.key_columns, c.columns, m.id,"
							 " c.relation OPERATOR(pg_catalog.=) m.relation AND c.key_columns OPERATOR(pg_catalog.=) ARRAY[m.key]"
							 " FROM part p LEFT JOIN scim._captures c ON c.relation OPERATOR(pg_catalog.=) p.relation"
							 " LEFT JOIN scim._mappings m ON m.id OPERATOR(pg_catalog.=) c.mapping_id",
							 1, types, values, NULL, true, 0) != SPI_OK_SELECT)
			elog(ERROR, "could not read scim._captures");
		relids = MemoryContextAlloc(entry->context, sizeof(Oid) * Max(SPI_processed, 1));
		entry->watches = MemoryContextAllocZero(entry->context, sizeof(Watch) * Max(SPI_processed, 1));
		entry->output = MemoryContextAllocZero(entry->context, sizeof(FmgrInfo) * Max(tupdesc->natts, 1));
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			bool		isnull;

			relids[i] = DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
			(void) SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 3, &isnull);
			if (!isnull)
				load_watch(entry, &entry->watches[entry->nwatches++], tupdesc, i);
		}
		entry->relids = relids;
		entry->nrelids = (int) SPI_processed;
		for (int i = 0; i < entry->nwatches; i++)
			for (int j = 0; j < entry->watches[i].nkeys; j++)
			{
				AttrNumber	key = entry->watches[i].keys[j];
				Oid			function;
				bool		varlena;

				getTypeOutputInfo(TupleDescAttr(tupdesc, key - 1)->atttypid, &function, &varlena);
				fmgr_info_cxt(function, &entry->output[key - 1], entry->context);
			}
	}
	PG_CATCH();
	{
		entry->valid = false;
		PG_RE_THROW();
	}
	PG_END_TRY();
	return entry;
}

/* ---- the queue ---- */

void
scim_sync_queue(int64 sync_id, Datum keys, const char *reason)
{
	Oid			types[3] = {INT8OID, TEXTARRAYOID, TEXTOID};
	Datum		values[3];
	char		nulls[4] = "   ";

	values[0] = Int64GetDatum(sync_id);
	values[1] = keys;
	if (keys == (Datum) 0)
		nulls[1] = 'n';
	values[2] = CStringGetTextDatum(reason);
	if (scim_own_execute("queue", "INSERT INTO scim._dirty (sync_id, keys, reason) VALUES ($1, $2, $3)",
						 3, types, values, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write scim._dirty");
	scim_sync_wake_at_commit(sync_id);
}

/*
 * What is seen to be queued has committed, and is part of what is reconciled.
 * (What is not seen yet will be queued beside it.)
 */
void
scim_sync_restart_queue(int64 sync_id)
{
	Oid			types[1] = {INT8OID};
	Datum		values[1];

	values[0] = Int64GetDatum(sync_id);
	if (scim_own_execute("restart queue", "DELETE FROM scim._dirty WHERE sync_id OPERATOR(pg_catalog.=) $1",
						 1, types, values, NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "could not write scim._dirty");
	scim_sync_queue(sync_id, (Datum) 0, "full");
}

/* What the rows of a batch are to a mapping. */
static ScimStateEvent
state_event(const CaptureState *state, const Batch *batch)
{
	if (batch->were)
		return batch->watch->root ? SCIM_STATE_GONE : SCIM_STATE_TOUCHED;
	return batch->watch->root && strcmp(state->reason, "insert") == 0 ? SCIM_STATE_CREATED : SCIM_STATE_CHANGED;
}

static void
flush(CaptureState *state, Batch *batch)
{
	MemoryContext saved;
	Datum		keys;

	if (batch->n == 0)
		return;
	saved = MemoryContextSwitchTo(batch->context);
	keys = PointerGetDatum(construct_array(batch->keys, batch->n, TEXTOID, -1, false, TYPALIGN_INT));
	if (batch->watch->mapping_id == 0)
		scim_sync_queue(batch->watch->sync_id, keys, state->reason);
	else
		scim_state_note(batch->watch->mapping_id, keys, state_event(state, batch), state->version);
	MemoryContextSwitchTo(saved);
	batch->n = 0;
	batch->size = 0;
	MemoryContextReset(batch->context);
}

/*
 * Reconcile: for all watches, or those whose key has gone.  (A mapping whose
 * key has gone answers 503 until it is altered, which moves all versions.)
 */
static void
queue_full(Captured *captured, bool all)
{
	for (int i = 0; i < captured->nwatches; i++)
	{
		const Watch *watch = &captured->watches[i];

		if (!all && watch->nkeys > 0)
			continue;
		if (watch->mapping_id == 0)
			scim_sync_queue(watch->sync_id, (Datum) 0, "full");
		else if (all)
			scim_state_note_all(watch->mapping_id, watch->root ? SCIM_STATE_GONE : SCIM_STATE_TOUCHED);
	}
}

/* The key of a row in one text; NULL: it has none. */
static const char *
key_of(CaptureState *state, const Watch *watch, TupleTableSlot *slot)
{
	const char **parts = palloc(sizeof(char *) * watch->nkeys);

	for (int i = 0; i < watch->nkeys; i++)
	{
		int			column = watch->keys[i] - 1;

		if (slot->tts_isnull[column])
			return NULL;		/* a child row without a parent */
		parts[i] = OutputFunctionCall(&state->captured->output[column], slot->tts_values[column]);
	}
	return watch->nkeys == 1 ? parts[0] : scim_key_join(parts, watch->nkeys);
}

/* Add the key of a row that is there, or was, to the batch of watch i; the row has been deformed. */
static void
add_key(CaptureState *state, int i, bool were, TupleTableSlot *slot)
{
	const Watch *watch = &state->captured->watches[i];
	Batch	   *batch = &state->batches[were && watch->mapping_id != 0 ? state->captured->nwatches + i : i];
	MemoryContext saved = MemoryContextSwitchTo(batch->context);
	const char *key = key_of(state, watch, slot);
	Datum		text = key ? CStringGetTextDatum(key) : (Datum) 0;

	MemoryContextSwitchTo(saved);
	if (key == NULL)
		return;

	/* Child rows of one parent often come one after the other, or of two in turn. */
	for (int back = 1; back <= 2 && back <= batch->n; back++)
		if (datum_image_eq(batch->keys[batch->n - back], text, false, -1))
			return;
	batch->keys[batch->n++] = text;
	batch->size += VARSIZE_ANY(DatumGetPointer(text));
	if (batch->n == SCIM_DIRTY_KEYS || batch->size > MAX_KEYS_SIZE)
		flush(state, batch);
}

/* ---- comparing ---- */

/*
 * A value that an UPDATE left alone is the same bytes, be it a pointer to the
 * toast table; only when they differ, and the lengths don't, it is fetched.
 */
static bool
value_same(const FormData_pg_attribute *att, Datum old, Datum new)
{
	if (att->attlen == -1)
	{
		struct varlena *a = (struct varlena *) DatumGetPointer(old);
		struct varlena *b = (struct varlena *) DatumGetPointer(new);

		if (VARSIZE_ANY(a) == VARSIZE_ANY(b) && memcmp(a, b, VARSIZE_ANY(a)) == 0)
			return true;
	}
	return datum_image_eq(old, new, att->attbyval, att->attlen);
}

static bool
column_same(CaptureState *state, AttrNumber attnum, TupleTableSlot *old, TupleTableSlot *new)
{
	int			i = attnum - 1;

	if (state->same[i] < 0)
	{
		if (old->tts_isnull[i] || new->tts_isnull[i])
			state->same[i] = old->tts_isnull[i] && new->tts_isnull[i];
		else
			state->same[i] = value_same(TupleDescAttr(state->tupdesc, i), old->tts_values[i], new->tts_values[i]);
	}
	return state->same[i] != 0;
}

static bool
row_same(CaptureState *state, const Watch *watch, TupleTableSlot *old, TupleTableSlot *new)
{
	if (watch->columns == NULL)
	{
		for (int i = 0; i < state->tupdesc->natts; i++)
			if (!TupleDescAttr(state->tupdesc, i)->attisdropped && !column_same(state, i + 1, old, new))
				return false;
		return true;
	}
	for (int i = 0; i < watch->ncolumns; i++)
		if (!column_same(state, watch->columns[i], old, new))
			return false;
	return true;
}

/* ---- the trigger ---- */

/* A row that came or ("were") went: its key. */
static void
capture_row(CaptureState *state, bool were, TupleTableSlot *slot)
{
	slot_getsomeattrs(slot, state->captured->last);
	for (int i = 0; i < state->captured->nwatches; i++)
		if (state->captured->watches[i].nkeys > 0)
			add_key(state, i, were, slot);
}

/* A row that became another: its key, and the one it had, if it matters. */
static void
capture_change(CaptureState *state, TupleTableSlot *old, TupleTableSlot *new)
{
	slot_getsomeattrs(old, state->captured->last);
	slot_getsomeattrs(new, state->captured->last);
	memset(state->same, -1, state->tupdesc->natts);
	for (int i = 0; i < state->captured->nwatches; i++)
	{
		const Watch *watch = &state->captured->watches[i];
		MemoryContext saved = MemoryContextSwitchTo(state->row);
		bool		same = watch->nkeys == 0 || row_same(state, watch, old, new);
		bool		same_key = true;

		MemoryContextSwitchTo(saved);
		if (same)
			continue;
		add_key(state, i, false, new);
		for (int j = 0; j < watch->nkeys; j++)
			same_key = same_key && column_same(state, watch->keys[j], old, new);
		if (!same_key)
			add_key(state, i, true, old);
	}
	MemoryContextReset(state->row);
}

/* Walk a transition table ("were": of rows that went), or the two of an UPDATE. */
static void
capture_tables(CaptureState *state, bool were, Tuplestorestate *rows, Tuplestorestate *new_rows)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(state->tupdesc, &TTSOpsMinimalTuple);
	TupleTableSlot *new = MakeSingleTupleTableSlot(state->tupdesc, &TTSOpsMinimalTuple);

	tuplestore_select_read_pointer(rows, 0);
	tuplestore_rescan(rows);
	if (new_rows)
	{
		tuplestore_select_read_pointer(new_rows, 0);
		tuplestore_rescan(new_rows);
	}
	while (tuplestore_gettupleslot(rows, true, false, slot))
	{
		CHECK_FOR_INTERRUPTS();
		if (new_rows == NULL)
			capture_row(state, were, slot);
		else if (tuplestore_gettupleslot(new_rows, true, false, new))
			capture_change(state, slot, new);
		else
			elog(ERROR, "an UPDATE has fewer new rows than old ones");
	}
	ExecDropSingleTupleTableSlot(slot);
	ExecDropSingleTupleTableSlot(new);

	/* as we found them, for a trigger that does not look */
	tuplestore_rescan(rows);
	if (new_rows)
		tuplestore_rescan(new_rows);
}

static void
check_trigger(const TriggerData *trigger)
{
	TriggerEvent event = trigger->tg_event;
	bool		insert = TRIGGER_FIRED_BY_INSERT(event);
	bool		delete = TRIGGER_FIRED_BY_DELETE(event);
	bool		truncate = TRIGGER_FIRED_BY_TRUNCATE(event);

	if (!TRIGGER_FIRED_AFTER(event) ||
		(!TRIGGER_FIRED_FOR_ROW(event) && !truncate &&
		 ((!insert && trigger->tg_oldtable == NULL) || (!delete && trigger->tg_newtable == NULL))))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("scim._capture can only be called as an AFTER trigger of a row, or of a statement with transition tables"),
				 errhint("scim.create_sync makes its triggers.")));
}

/* What the trigger was fired for. */
static void
capture_event(CaptureState *state, const TriggerData *trigger)
{
	bool		row = TRIGGER_FIRED_FOR_ROW(trigger->tg_event);

	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event))
	{
		queue_full(state->captured, true);
		return;
	}
	queue_full(state->captured, false);
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
	{
		state->reason = "update";
		if (row)
			capture_change(state, trigger->tg_trigslot, trigger->tg_newslot);
		else
			capture_tables(state, false, trigger->tg_oldtable, trigger->tg_newtable);
	}
	else
	{
		bool		insert = TRIGGER_FIRED_BY_INSERT(trigger->tg_event);

		state->reason = insert ? "insert" : "delete";
		if (row)
			capture_row(state, !insert, trigger->tg_trigslot);
		else
			capture_tables(state, !insert, insert ? trigger->tg_newtable : trigger->tg_oldtable, NULL);
	}
	/* those that were come last: a key that another row has now is still there */
	for (int i = 0; i < 2 * state->captured->nwatches; i++)
		flush(state, &state->batches[i]);
}

Datum
scim_capture(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	CaptureState state;
	MemoryContext context;
	int			guc_level;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("scim._capture can only be called as a trigger")));
	check_trigger(trigger);

	SPI_connect();
	memset(&state, 0, sizeof(state));
	state.captured = captured_relation(trigger->tg_relation);
	if (state.captured->nwatches == 0)
	{
		SPI_finish();
		return PointerGetDatum(NULL);
	}
	state.tupdesc = RelationGetDescr(trigger->tg_relation);
	context = AllocSetContextCreate(CurrentMemoryContext, "scim capture", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	state.row = AllocSetContextCreate(context, "scim captured row", ALLOCSET_SMALL_SIZES);
	state.same = palloc(Max(state.tupdesc->natts, 1));
	state.batches = palloc0(sizeof(Batch) * 2 * state.captured->nwatches);
	for (int i = 0; i < 2 * state.captured->nwatches; i++)
	{
		Batch	   *batch = &state.batches[i];

		batch->watch = &state.captured->watches[i % state.captured->nwatches];
		batch->were = i >= state.captured->nwatches;
		if (batch->were && batch->watch->mapping_id == 0)
			continue;
		batch->keys = palloc(sizeof(Datum) * SCIM_DIRTY_KEYS);
		batch->context = AllocSetContextCreate(context, "scim captured keys", ALLOCSET_DEFAULT_SIZES);
		if (batch->were && batch->watch->root && state.version == 0)
			state.version = scim_state_next_version();
	}

	/*
	 * Keys become text in one form, whatever the session has set.  Nothing from
	 * here on calls this function again, which would throw away what is cached.
	 */
	guc_level = NewGUCNestLevel();
	scim_identity_pin_settings();
	capture_event(&state, trigger);
	AtEOXact_GUC(false, guc_level);
	SPI_finish();
	return PointerGetDatum(NULL);
}
