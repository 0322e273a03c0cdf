/*
 * store_update.c
 *		Changing the resource's row without a statement.
 *
 * As with new values (store_insert.c): where nothing happens at an UPDATE of
 * the table but what it does by itself, and columns get texts, the time, or the
 * next version, the row is found by its key and goes through the executor's
 * function for a single row.  The row is locked, so it is the latest of its kind.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "store_append.h"
#include "store_internal.h"
#include "store_table.h"

/* May a column be set to that without a statement? */
static bool
can_set(const ScimColumnItem *item, TupleDesc desc)
{
	Form_pg_attribute att;
	Oid			type;

	if (item->kind == SCIM_COLUMN_SQL || item->attnum <= 0 || item->attnum > desc->natts)
		return false;
	att = TupleDescAttr(desc, item->attnum - 1);
	switch (item->kind)
	{
		case SCIM_COLUMN_TEXT:
			return scim_table_takes_text(desc, item->attnum, &type);
		case SCIM_COLUMN_NOW:
			return !att->attisdropped && att->atttypid == TIMESTAMPTZOID && att->atttypmod == -1;
		default:
			return !att->attisdropped && (att->atttypid == INT4OID || att->atttypid == INT8OID);
	}
}

/* Is a trigger about columns of which none is set? */
static bool
is_of_others(const Trigger *trigger, const ScimColumns *list)
{
	for (int i = 0; i < trigger->tgnattr; i++)
		for (int j = 0; j < list->n; j++)
			if (list->items[j].attnum == trigger->tgattr[i])
				return false;
	return trigger->tgnattr > 0;
}

/* Does anything happen at an UPDATE of these columns but the check of foreign keys? */
static bool
has_triggers(const TriggerDesc *triggers, const ScimColumns *list)
{
	for (int i = 0; triggers && i < triggers->numtriggers; i++)
	{
		const Trigger *trigger = &triggers->triggers[i];

		if (TRIGGER_FOR_UPDATE(trigger->tgtype) &&
			(!trigger->tgisinternal || RI_FKey_trigger_type(trigger->tgfoid) == RI_TRIGGER_NONE) &&
			!is_of_others(trigger, list))
			return true;
	}
	return false;
}

/* May the current user change these columns of the table without a statement? */
static bool
can_update(Relation rel, const ScimColumns *list)
{
	TupleDesc	desc = RelationGetDescr(rel);

	for (int i = 0; i < list->n; i++)
		if (!can_set(&list->items[i], desc))
			return false;
	if (has_triggers(rel->trigdesc, list) || (desc->constr && desc->constr->has_generated_stored) || rel->rd_rel->relispartition ||
		pg_class_aclcheck(RelationGetRelid(rel), GetUserId(), ACL_UPDATE) != ACLCHECK_OK)
		return false;
	return true;
}

static void
set_column(TupleTableSlot *slot, const ScimColumnItem *item)
{
	int			i = item->attnum - 1;
	Oid			type = TupleDescAttr(slot->tts_tupleDescriptor, i)->atttypid;

	switch (item->kind)
	{
		case SCIM_COLUMN_TEXT:
			slot->tts_isnull[i] = item->text == NULL;
			if (item->text)
				slot->tts_values[i] = scim_table_datum(type, item->text);
			break;
		case SCIM_COLUMN_NOW:
			slot->tts_isnull[i] = false;
			slot->tts_values[i] = TimestampTzGetDatum(GetCurrentTimestamp());
			break;
		default:
			if (!slot->tts_isnull[i])
				slot->tts_values[i] = type == INT4OID ?
					DirectFunctionCall2(int4pl, slot->tts_values[i], Int32GetDatum(1)) :
					DirectFunctionCall2(int8pl, slot->tts_values[i], Int64GetDatum(1));
			break;
	}
}

/* The row in the scan's slot becomes what the list says. */
static void
update_row(ScimOpenScan *scan, const ScimColumns *list)
{
	EState	   *estate = CreateExecutorState();
	MemoryContext saved = MemoryContextSwitchTo(estate->es_query_cxt);
	ResultRelInfo *info = makeNode(ResultRelInfo);
	TupleTableSlot *slot = table_slot_create(scan->rel, &estate->es_tupleTable);
	int			natts = slot->tts_tupleDescriptor->natts;
	EPQState	nothing;

	/* there is no trigger that would look at it */
	memset(&nothing, 0, sizeof(nothing));
	estate->es_snapshot = GetActiveSnapshot();
	InitResultRelInfo(info, scan->rel, 0, NULL, 0);
	ExecOpenIndices(info, false);
	scim_append_prepare_checks(info, estate);
	estate->es_opened_result_relations = lappend(estate->es_opened_result_relations, info);
	AfterTriggerBeginQuery();

	slot_getallattrs(scan->slot);
	memcpy(slot->tts_values, scan->slot->tts_values, sizeof(Datum) * natts);
	memcpy(slot->tts_isnull, scan->slot->tts_isnull, sizeof(bool) * natts);
	for (int i = 0; i < list->n; i++)
		set_column(slot, &list->items[i]);
	ExecStoreVirtualTuple(slot);
	ExecSimpleRelationUpdate(info, estate, &nothing, scan->slot, slot);

	MemoryContextSwitchTo(saved);
	AfterTriggerEndQuery(estate);
	ExecResetTupleTable(estate->es_tupleTable, false);
	ExecCloseResultRelations(estate);
	FreeExecutorState(estate);
}

bool
scim_store_update_row(const ScimEndpointType *target, const char *id, const ScimColumns *list)
{
	ScimOpenScan scan;
	bool		found;
	bool		can = false;

	if (list->over_row || XactReadOnly)
		return false;
	scim_store_push_snapshot();
	if (scim_scan_parent(target, id, RowExclusiveLock, &found, &scan))
	{
		can = can_update(scan.rel, list);
		if (can && found)
			update_row(&scan, list);
		scim_scan_end(&scan);
	}
	PopActiveSnapshot();
	if (can)
		CommandCounterIncrement();
	return can;
}
