/*
 * store_state.c
 *		scim.resource_state: externalId, times and version of resources whose
 *		relation has no columns for them.
 *
 * Its table is the extension's own, so nothing of a mapping's owner is asked
 * for.  Rows are read by a scan of an index, in the snapshot that the resource
 * is read in, as store_scan.c does it: one look-up for each resource.  They are
 * written by fixed statements, in the transaction of the change.  (Filters and
 * sortBy go through the view, but for a comparison that clients find resources
 * by: externalId eq.)
 *
 * Where the mapping says "track", the triggers of capture write here, too
 * (provisioner_track.c), and the version of the row here is that of the
 * resource; else it is one half of it, and the parent row's own the other.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "store_internal.h"

/* Columns of scim._resource_state, in their order. */
enum
{
	STATE_MAPPING = 1,
	STATE_SCOPE,
	STATE_KEY,
	STATE_EXTERNAL_ID,
	STATE_CREATED,
	STATE_LAST_MODIFIED,
	STATE_VERSION
};

/* ---- reading ---- */

typedef struct StateScan
{
	Relation	rel;
	Relation	index;
	IndexScanDesc desc;
	TupleTableSlot *slot;
	ScanKeyData keys[3];
} StateScan;

/* As scim_mapping_scope_text() has it in SQL. */
static const char *
scope_text(const ScimMapping *m, const ScimEndpointType *target)
{
	StringInfoData text;

	initStringInfo(&text);
	if (m->state->by_scope)
		for (int i = 0; i < m->nscope; i++)
			appendStringInfo(&text, "~%s", target->scope[i]);
	return text.data;
}

static void
text_key(ScanKey key, int column, Datum value)
{
	ScanKeyEntryInitialize(key, 0, column, BTEqualStrategyNumber, TEXTOID, C_COLLATION_OID, F_TEXTEQ, value);
}

/* Both indexes begin with mapping and scope; the third key comes with each start. */
static void
begin_state_scan(StateScan *scan, const ScimEndpointType *target, const char *index)
{
	scan->rel = table_open(scim_own_relid("_resource_state"), AccessShareLock);
	scan->index = index_open(scim_own_relid(index), AccessShareLock);
	ScanKeyEntryInitialize(&scan->keys[0], 0, 1, BTEqualStrategyNumber, INT8OID, InvalidOid, F_INT8EQ,
						   Int64GetDatum(target->mapping->id));
	text_key(&scan->keys[1], 2, CStringGetTextDatum(scope_text(target->mapping, target)));
	scan->slot = table_slot_create(scan->rel, NULL);
	scan->desc = scim_index_beginscan(scan->rel, scan->index, GetActiveSnapshot(), lengthof(scan->keys));
}

static void
start_state_scan(StateScan *scan, const char *text)
{
	text_key(&scan->keys[2], 3, CStringGetTextDatum(text));
	index_rescan(scan->desc, scan->keys, lengthof(scan->keys), NULL, 0);
}

static bool
next_state(StateScan *scan)
{
	CHECK_FOR_INTERRUPTS();
	if (!index_getnext_slot(scan->desc, ForwardScanDirection, scan->slot))
		return false;
	slot_getallattrs(scan->slot);
	return true;
}

static void
end_state_scan(StateScan *scan)
{
	index_endscan(scan->desc);
	ExecDropSingleTupleTableSlot(scan->slot);
	index_close(scan->index, AccessShareLock);
	table_close(scan->rel, NoLock);
}

/* One column of the state as column "place" of the parent row; a place of -1: it is not there. */
static void
take_column(const StateScan *scan, int column, ScimParentRow *row, int place)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(scan->rel), column - 1);

	if (place < 0)
		return;
	row->nulls[place] = scan->slot->tts_isnull[column - 1];
	if (!row->nulls[place])
		row->values[place] = datumCopy(scan->slot->tts_values[column - 1], att->attbyval, att->attlen);
}

/* The version, of which the parent row's own may be one half. */
static void
take_version(const StateScan *scan, const ScimMapping *m, ScimParentRow *row, int place)
{
	int64		version = DatumGetInt64(scan->slot->tts_values[STATE_VERSION - 1]);
	const char *own = m->track || row->nulls[place] ? NULL : TextDatumGetCString(row->values[place]);

	row->nulls[place] = false;
	row->values[place] = CStringGetTextDatum(own ? psprintf("%s." INT64_FORMAT, own, version) :
											 psprintf(INT64_FORMAT, version));
}

void
scim_state_fill(const ScimEndpointType *target, ScimParentRow *rows, int n)
{
	const ScimMapping *m = target->mapping;
	const ScimStoreState *state = scim_store_state(m);
	StateScan	scan;

	if (m->state == NULL || n == 0)
		return;
	begin_state_scan(&scan, target, "_resource_state_pkey");
	for (int i = 0; i < n; i++)
	{
		start_state_scan(&scan, rows[i].id);
		if (!next_state(&scan))
			continue;
		take_column(&scan, STATE_EXTERNAL_ID, &rows[i], state->state_external_id);
		take_column(&scan, STATE_CREATED, &rows[i], state->state_created);
		take_column(&scan, STATE_LAST_MODIFIED, &rows[i], state->state_modified);
		if (m->version == NULL)
			take_version(&scan, m, &rows[i], state->col_version);
	}
	end_state_scan(&scan);
}

int
scim_state_keys(const ScimEndpointType *target, const char *external_id, const char ***keys)
{
	StateScan	scan;
	int			n = 0;
	int			capacity = 4;

	*keys = palloc(sizeof(char *) * capacity);
	begin_state_scan(&scan, target, "_resource_state_external_id");
	start_state_scan(&scan, external_id);
	while (next_state(&scan))
	{
		char	   *key = TextDatumGetCString(scan.slot->tts_values[STATE_KEY - 1]);

		/* of a row that has gone, when its column was of another type */
		if (!scim_key_id_valid(&target->mapping->key, key))
			continue;
		if (n == capacity)
			*keys = repalloc(*keys, sizeof(char *) * (capacity *= 2));
		(*keys)[n++] = key;
	}
	end_state_scan(&scan);
	return n;
}

/* ---- writing ---- */

void
scim_state_write(const ScimChange *change, const char *id)
{
	const ScimMapping *m = change->target->mapping;
	const ScimAttr *attr = m->type->a_external_id;
	const json_t *external_id = NULL;
	Oid			types[6] = {INT8OID, TEXTOID, TEXTOID, TEXTOID, BOOLOID, BOOLOID};
	Datum		values[6];
	char		nulls[7] = "      ";
	bool		created = change->before == NULL;

	if (m->state == NULL)
		return;
	if (scim_store_state(m)->state_external_id >= 0)
		external_id = scim_change_scalar(m->type, change->after, attr);
	values[0] = Int64GetDatum(m->id);
	values[1] = CStringGetTextDatum(scope_text(m, change->target));
	values[2] = CStringGetTextDatum(id);
	values[3] = external_id ? CStringGetTextDatum(scim_store_value_text(external_id)) : (Datum) 0;
	if (external_id == NULL)
		nulls[3] = 'n';
	/* what a row of this key has left behind is not the new resource's */
	values[4] = BoolGetDatum(created || scim_state_changes(change));
	values[5] = BoolGetDatum(created);
	if (scim_own_execute("write state",
						 "INSERT INTO scim._resource_state AS s (mapping, scope, key, external_id, created, last_modified)"
						 " SELECT $1, $2, $3, $4, CASE WHEN $6 THEN t.now END, t.now FROM (SELECT pg_catalog.clock_timestamp() AS now) t"
						 " ON CONFLICT (mapping, scope, key) DO UPDATE SET"
						 " external_id = CASE WHEN $5 THEN excluded.external_id ELSE s.external_id END,"
						 " created = coalesce(excluded.created, s.created),"
						 " last_modified = excluded.last_modified, version = excluded.version",
						 6, types, values, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write scim._resource_state");
}

bool
scim_state_changes(const ScimChange *change)
{
	const ScimMapping *m = change->target->mapping;
	const ScimAttr *attr = m->type->a_external_id;
	const json_t *old_value;
	const json_t *new_value;

	if (m->state == NULL || scim_store_state(m)->state_external_id < 0)
		return false;
	old_value = change->before ? scim_change_scalar(m->type, change->before, attr) : NULL;
	new_value = scim_change_scalar(m->type, change->after, attr);
	if (old_value == NULL || new_value == NULL)
		return old_value != new_value;
	return strcmp(scim_store_value_text(old_value), scim_store_value_text(new_value)) != 0;
}

void
scim_state_delete(const ScimEndpointType *target, const char *id)
{
	Oid			types[3] = {INT8OID, TEXTOID, TEXTOID};
	Datum		values[3];

	if (target->mapping->state == NULL)
		return;
	values[0] = Int64GetDatum(target->mapping->id);
	values[1] = CStringGetTextDatum(scope_text(target->mapping, target));
	values[2] = CStringGetTextDatum(id);
	if (scim_own_execute("delete state",
						 "DELETE FROM scim._resource_state WHERE mapping OPERATOR(pg_catalog.=) $1"
						 " AND scope OPERATOR(pg_catalog.=) $2 AND key OPERATOR(pg_catalog.=) $3",
						 3, types, values, NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "could not write scim._resource_state");
}

/* ---- many at a time ---- */

/* A change of these resources, in the order of their keys: two that do this do not wait for each other in a circle. */
#define ORDERED_KEYS "(SELECT DISTINCT k COLLATE \"C\" AS k FROM pg_catalog.unnest($3) k ORDER BY 1)"

static const struct
{
	const char *key;
	const char *sql;
	int			code;
}			state_statements[] = {
	[SCIM_STATE_SEEN] = {"see states",
		"INSERT INTO scim._resource_state (mapping, scope, key)"
		" SELECT $1, $2, n.k FROM " ORDERED_KEYS " n"
		" ON CONFLICT DO NOTHING", SPI_OK_INSERT},
	[SCIM_STATE_CREATED] = {"create states",
		"INSERT INTO scim._resource_state (mapping, scope, key, created, last_modified)"
		" SELECT $1, $2, n.k, t.now, t.now FROM " ORDERED_KEYS " n, (SELECT pg_catalog.clock_timestamp() AS now) t"
		" ON CONFLICT (mapping, scope, key) DO UPDATE SET external_id = NULL, created = excluded.created,"
		" last_modified = excluded.last_modified, version = excluded.version", SPI_OK_INSERT},
	[SCIM_STATE_CHANGED] = {"change states",
		"INSERT INTO scim._resource_state (mapping, scope, key, last_modified)"
		" SELECT $1, $2, n.k, t.now FROM " ORDERED_KEYS " n, (SELECT pg_catalog.clock_timestamp() AS now) t"
		" ON CONFLICT (mapping, scope, key) DO UPDATE SET"
		" last_modified = excluded.last_modified, version = excluded.version", SPI_OK_INSERT},
	[SCIM_STATE_TOUCHED] = {"touch states",
		"WITH touched AS MATERIALIZED (SELECT s.key FROM scim._resource_state s"
		" WHERE s.mapping OPERATOR(pg_catalog.=) $1 AND s.scope OPERATOR(pg_catalog.=) $2 AND s.key OPERATOR(pg_catalog.=) ANY ($3)"
		" ORDER BY s.key FOR NO KEY UPDATE)"
		" UPDATE scim._resource_state s SET last_modified = pg_catalog.clock_timestamp(),"
		" version = pg_catalog.nextval('scim._resource_version'::pg_catalog.regclass)"
		" FROM touched t WHERE s.mapping OPERATOR(pg_catalog.=) $1 AND s.scope OPERATOR(pg_catalog.=) $2"
		" AND s.key OPERATOR(pg_catalog.=) t.key", SPI_OK_UPDATE},
	[SCIM_STATE_GONE] = {"delete states",
		"DELETE FROM scim._resource_state s WHERE s.mapping OPERATOR(pg_catalog.=) $1 AND s.scope OPERATOR(pg_catalog.=) $2"
		" AND s.key OPERATOR(pg_catalog.=) ANY ($3) AND s.version OPERATOR(pg_catalog.<) $4", SPI_OK_DELETE},
};

static void
note_many(int64 mapping, const char *scope, Datum keys, ScimStateEvent event, int64 before)
{
	Oid			types[4] = {INT8OID, TEXTOID, TEXTARRAYOID, INT8OID};
	Datum		values[4];

	values[0] = Int64GetDatum(mapping);
	values[1] = CStringGetTextDatum(scope);
	values[2] = keys;
	values[3] = Int64GetDatum(before);
	if (scim_own_execute(state_statements[event].key, state_statements[event].sql, event == SCIM_STATE_GONE ? 4 : 3,
						 types, values, NULL, false, 0) != state_statements[event].code)
		elog(ERROR, "could not write scim._resource_state");
}

void
scim_state_change(const ScimEndpointType *target, const ScimMapping *m, Datum keys)
{
	note_many(m->id, scope_text(m, target), keys, SCIM_STATE_CHANGED, 0);
}

void
scim_state_note(int64 mapping, Datum keys, ScimStateEvent event, int64 before)
{
	note_many(mapping, "", keys, event, before);
}

void
scim_state_note_all(int64 mapping, ScimStateEvent event)
{
	Oid			types[1] = {INT8OID};
	Datum		values[1];
	bool		gone = event == SCIM_STATE_GONE;

	values[0] = Int64GetDatum(mapping);
	if (scim_own_execute(gone ? "delete all states" : "touch all states",
						 gone ? "DELETE FROM scim._resource_state WHERE mapping OPERATOR(pg_catalog.=) $1" :
						 "UPDATE scim._resource_state SET last_modified = pg_catalog.clock_timestamp(),"
						 " version = pg_catalog.nextval('scim._resource_version'::pg_catalog.regclass)"
						 " WHERE mapping OPERATOR(pg_catalog.=) $1",
						 1, types, values, NULL, false, 0) != (gone ? SPI_OK_DELETE : SPI_OK_UPDATE))
		elog(ERROR, "could not write scim._resource_state");
}

int64
scim_state_next_version(void)
{
	return nextval_internal(scim_own_relid("_resource_version"), false);
}
