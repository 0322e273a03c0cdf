/*
 * store_scan.c
 *		Rows by their key without the executor: a scan of a btree index.
 *
 * A GET reads a row or two of a handful of relations, and a plan costs three
 * times as much as finding them (measured: 64,000 instructions for a branch of
 * a UNION ALL against 22,000).  So where a relation is a plain table, its
 * mapped columns are columns, and a btree index begins with the columns that
 * are compared, its rows are read straight through the table's and the index's
 * access methods, as the server reads its own catalogs.
 *
 * What makes a statement more than that is left to one: row security, rules,
 * views, partitions and inheritance, foreign tables, expressions, types that
 * have to be cast, privileges on columns only, a module that looks at
 * privileges itself (ExecutorCheckPerms_hook).  That is asked at each use and
 * behind the lock on the relation, because none of it is fixed.
 *
 * Which index serves is asked once for a mapping (store_scan_index.c).
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/visibilitymap.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/predicate.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "store_scan.h"

/* ---- scanning ---- */

/*
 * Open a relation and its index, if the current user may read all of it and
 * nothing has come in the way since the index was chosen.
 */
static bool
open_scan(const ScanIndex *how, LOCKMODE lock, ScimOpenScan *scan)
{
	List	   *indexes;
	bool		usable;

	if (!OidIsValid(how->index) || ExecutorCheckPerms_hook != NULL)
		return false;
	scan->rel = table_open(how->relid, lock);
	scan->index = NULL;
	usable = scim_table_is_plain(scan->rel) &&
		pg_class_aclcheck(how->relid, GetUserId(), ACL_SELECT) == ACLCHECK_OK;
	if (usable)
	{
		indexes = RelationGetIndexList(scan->rel);
		usable = list_member_oid(indexes, how->index);
		list_free(indexes);
	}
	if (usable)
	{
		scan->index = index_open(how->index, AccessShareLock);
		usable = scim_scan_can_use(scan->index);
		if (!usable)
			index_close(scan->index, AccessShareLock);
	}
	/* as a statement would, keep the lock on the table to the end */
	if (!usable)
		table_close(scan->rel, NoLock);
	return usable;
}

/* The keys with the scope's values; the key itself comes with each start. */
static void
begin_scan(const ScimEndpointType *target, const ScanIndex *how, int nkeys, ScimOpenScan *scan)
{
	scan->nkeys = nkeys;
	memcpy(scan->keys, how->keys, sizeof(ScanKeyData) * how->nkeys);
	for (int i = 0; i < how->narguments; i++)
		if (how->columns[i].scope >= 0)
			scan->keys[i].sk_argument = scim_table_datum(how->columns[i].type, target->scope[how->columns[i].scope]);
	scan->slot = table_slot_create(scan->rel, NULL);
	scan->desc = scim_index_beginscan(scan->rel, scan->index, GetActiveSnapshot(), scan->nkeys);
}

static Datum
key_of(const ScimMapping *m, ScimParentRow *row)
{
	if (!row->has_key)
	{
		row->key = scim_table_datum(m->key.id.typid, row->id);
		row->has_key = true;
	}
	return row->key;
}

static void
start_at(const ScanIndex *how, ScimOpenScan *scan, Datum key)
{
	for (int i = 0; i < how->narguments; i++)
		if (how->columns[i].scope < 0)
			scan->keys[i].sk_argument = key;
	index_rescan(scan->desc, scan->keys, scan->nkeys, NULL, 0);
}

static bool
next_row(ScimOpenScan *scan)
{
	CHECK_FOR_INTERRUPTS();
	return index_getnext_slot(scan->desc, ForwardScanDirection, scan->slot);
}

void
scim_scan_end(ScimOpenScan *scan)
{
	index_endscan(scan->desc);
	ExecDropSingleTupleTableSlot(scan->slot);
	index_close(scan->index, AccessShareLock);
	table_close(scan->rel, NoLock);
}

/* ---- child rows ---- */

/* Are the columns of a child still what they were taken for? */
static bool
child_fits(const ScimChild *child, const ScanIndex *how, TupleDesc desc)
{
	if (child->kind != SCIM_CHILD_VALUES)
		return scim_table_stores(desc, child->ref.attnum, child->ref.typid);
	for (int i = 0; i < child->nsubs; i++)
		if (child->srcs[i].expr && !scim_table_stores(desc, child->srcs[i].attnum, child->srcs[i].typid))
			return false;
	return scim_table_stores(desc, how->order, how->order_type) && (how->fixed == 0 || scim_table_stores(desc, how->fixed, TEXTOID));
}

static int64
integer_value(Datum value, Oid type)
{
	switch (type)
	{
		case INT2OID:
			return DatumGetInt16(value);
		case INT4OID:
			return DatumGetInt32(value);
		default:
			return DatumGetInt64(value);
	}
}

static char *
value_text(const ScimSource *src, TupleTableSlot *slot)
{
	if (src->expr == NULL)
		return unconstify(char *, src->constant);
	if (slot->tts_isnull[src->attnum - 1])
		return NULL;
	return scim_store_datum_text(src, slot->tts_values[src->attnum - 1]);
}

bool
scim_store_can_scan(const ScimMapping *m, int child)
{
	return OidIsValid(scim_scans_of(m)->children[child].index);
}

/* Do the rows of two child relations come from one scan? */
static bool
same_place(const ScanIndex *a, const ScanIndex *b)
{
	return a->fixed != 0 && a->fixed == b->fixed && a->relid == b->relid && a->index == b->index && a->order == b->order;
}

/* Child relations whose rows one scan finds. */
typedef struct ScanGroup
{
	int			n;
	int			last;			/* the one that the last row was of: values of one attribute lie together */
	const ScimChild **children;
	const ScanIndex **how;
} ScanGroup;

/* Those that lie in the place of the first; false: not as they were. */
static bool
make_group(const ScimMapping *m, int first, const bool *can, const bool *use, TupleDesc desc, ScanGroup *group)
{
	const ScanIndex *hows = scim_scans_of(m)->children;

	group->n = group->last = 0;
	group->children = palloc(sizeof(ScimChild *) * m->nchildren);
	group->how = palloc(sizeof(ScanIndex *) * m->nchildren);
	for (int i = first; i < m->nchildren; i++)
	{
		if (i != first && (!can[i] || !use[i] || !same_place(&hows[first], &hows[i])))
			continue;
		if (!child_fits(&m->children[i], &hows[i], desc))
			return false;
		group->children[group->n] = &m->children[i];
		group->how[group->n++] = &hows[i];
	}
	return true;
}

/* Is this row of that child relation? */
static bool
is_of(const ScanIndex *how, TupleTableSlot *slot)
{
	text	   *value;

	if (how->fixed == 0)
		return true;
	if (slot->tts_isnull[how->fixed - 1])
		return false;
	value = DatumGetTextPP(slot->tts_values[how->fixed - 1]);
	return VARSIZE_ANY_EXHDR(value) == how->fixed_len && memcmp(VARDATA_ANY(value), how->fixed_text, how->fixed_len) == 0;
}

/* The relation that a row is of; false: none that is asked for. */
static bool
find_child(ScanGroup *group, TupleTableSlot *slot)
{
	for (int i = 0; i < group->n; i++)
	{
		int			j = (group->last + i) % group->n;

		if (!is_of(group->how[j], slot))
			continue;
		group->last = j;
		return true;
	}
	return false;
}

static ScimChildRow *
make_child_row(const ScimChild *child, const ScanIndex *how, TupleTableSlot *slot)
{
	ScimChildRow *row = palloc(sizeof(ScimChildRow));

	row->child = child;
	row->order = 0;
	if (child->kind == SCIM_CHILD_VALUES)
	{
		row->values = palloc(sizeof(char *) * child->nsubs);
		for (int j = 0; j < child->nsubs; j++)
			row->values[j] = value_text(&child->srcs[j], slot);
		if (!slot->tts_isnull[how->order - 1])
			row->order = integer_value(slot->tts_values[how->order - 1], how->order_type);
	}
	else
	{
		row->values = palloc(sizeof(char *));
		row->values[0] = value_text(&child->ref, slot);
	}
	return row;
}

bool
scim_store_scan_children(const ScimEndpointType *target, int index, const bool *can, bool *use,
						 ScimParentRow *rows, int n, long *budget)
{
	const ScimMapping *m = target->mapping;
	const ScanIndex *how = &scim_scans_of(m)->children[index];
	ScanGroup	group;
	ScimOpenScan	scan;

	if (!open_scan(how, AccessShareLock, &scan))
		return false;
	if (!make_group(m, index, can, use, RelationGetDescr(scan.rel), &group))
	{
		index_close(scan.index, AccessShareLock);
		table_close(scan.rel, NoLock);
		return false;
	}
	begin_scan(target, how, how->nkeys, &scan);
	for (int i = 0; i < n; i++)
	{
		start_at(how, &scan, key_of(m, &rows[i]));
		while (next_row(&scan))
		{
			slot_getallattrs(scan.slot);
			if (!find_child(&group, scan.slot))
				continue;
			if (--*budget < 0)
				scim_store_too_much();
			scim_store_add_row(&rows[i], make_child_row(group.children[group.last], group.how[group.last], scan.slot));
		}
	}
	scim_scan_end(&scan);
	for (int i = 0; i < group.n; i++)
		use[group.children[i] - m->children] = false;
	return true;
}

bool
scim_store_any_in_group(const ScimEndpointType *target, ScimParentRow *rows, int n)
{
	const ScimMapping *m = target->mapping;
	const ScanIndex *how = &scim_scans_of(m)->groups;
	ScimOpenScan	scan;
	bool		any = false;

	if (!open_scan(how, AccessShareLock, &scan))
		return true;
	begin_scan(target, how, how->nkeys, &scan);
	for (int i = 0; i < n && !any; i++)
	{
		start_at(how, &scan, key_of(m, &rows[i]));
		any = next_row(&scan);
	}
	scim_scan_end(&scan);
	return any;
}

/* ---- the parent row ---- */

static bool
parent_fits(const ScimScans *scans, int n, TupleDesc desc)
{
	for (int i = 0; i < n; i++)
		if (scans->columns[i].attnum != 0 && !scim_table_stores(desc, scans->columns[i].attnum, scans->columns[i].type))
			return false;
	return true;
}

/* The row's own version, where there is no column for it. */
static Datum
xmin_text(TupleTableSlot *slot)
{
	bool		isnull;
	Datum		xmin = slot_getsysattr(slot, MinTransactionIdAttributeNumber, &isnull);

	return CStringGetTextDatum(psprintf("%u", DatumGetTransactionId(xmin)));
}

static void
fill_parent(const ScimMapping *m, const ScimStoreState *state, const ScimScans *scans, Relation rel,
			TupleTableSlot *slot, ScimParentRow *row)
{
	TupleDesc	desc = RelationGetDescr(rel);
	HeapTuple	tuple = ExecCopySlotHeapTuple(slot);
	Datum	   *values = palloc(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * desc->natts);

	heap_deform_tuple(tuple, desc, values, nulls);
	memset(row, 0, sizeof(*row));
	row->values = palloc(sizeof(Datum) * state->ncolumns);
	row->nulls = palloc(sizeof(bool) * state->ncolumns);
	for (int i = 0; i < state->ncolumns; i++)
	{
		AttrNumber	attnum = scans->columns[i].attnum;

		row->nulls[i] = attnum == 0 || nulls[attnum - 1];
		row->values[i] = attnum == 0 ? (Datum) 0 : values[attnum - 1];
	}
	row->key = row->values[SCIM_COL_KEY];
	row->has_key = true;
	row->id = scim_store_datum_text(&m->key.id, row->key);
	row->values[SCIM_COL_KEY] = CStringGetTextDatum(row->id);
	if (m->version == NULL)
	{
		row->values[state->col_version] = xmin_text(slot);
		row->nulls[state->col_version] = false;
	}
	else if (!row->nulls[state->col_version])
		row->values[state->col_version] =
			CStringGetTextDatum(scim_store_datum_text(m->version, row->values[state->col_version]));
}

/* Open a scan of a mapping's own relation, by so many keys of an index. */
static bool
open_by(const ScimEndpointType *target, const ScanIndex *how, int nkeys, LOCKMODE lock, ScimOpenScan *scan)
{
	if (!open_scan(how, lock, scan))
		return false;
	if (!parent_fits(scim_scans_of(target->mapping), scim_store_state(target->mapping)->ncolumns, RelationGetDescr(scan->rel)))
	{
		index_close(scan->index, AccessShareLock);
		table_close(scan->rel, NoLock);
		return false;
	}
	begin_scan(target, how, nkeys, scan);
	return true;
}

/* By those of its key. */
static bool
open_parents(const ScimEndpointType *target, int nkeys, LOCKMODE lock, ScimOpenScan *scan)
{
	return open_by(target, &scim_scans_of(target->mapping)->parent, nkeys, lock, scan);
}

/* The row with this id. */
static bool
next_parent(const ScimMapping *m, ScimOpenScan *scan, const char *id, ScimParentRow *row)
{
	const ScimScans *scans = scim_scans_of(m);

	start_at(&scans->parent, scan, scim_table_datum(m->key.id.typid, id));
	if (!next_row(scan))
		return false;
	fill_parent(m, scim_store_state(m), scans, scan->rel, scan->slot, row);
	return true;
}

ScimScanned
scim_store_scan_parent(const ScimEndpointType *target, const char *id, ScimParentRow *row)
{
	ScimOpenScan	scan;
	bool		found;

	if (!open_parents(target, scim_scans_of(target->mapping)->parent.nkeys, AccessShareLock, &scan))
		return SCIM_SCAN_NOT;
	found = next_parent(target->mapping, &scan, id, row);
	scim_scan_end(&scan);
	return found ? SCIM_SCAN_FOUND : SCIM_SCAN_NONE;
}

/* After waiting for another's change: has the row still the key that was looked for? */
static bool
has_keys(const ScimOpenScan *scan)
{
	for (int i = 0; i < scan->nkeys; i++)
	{
		ScanKeyData *key = (ScanKeyData *) &scan->keys[i];
		AttrNumber	attnum = scan->index->rd_index->indkey.values[key->sk_attno - 1];
		bool		isnull;
		Datum		value = slot_getattr(scan->slot, attnum, &isnull);

		if (isnull || !DatumGetBool(FunctionCall2Coll(&key->sk_func, key->sk_collation, value, key->sk_argument)))
			return false;
	}
	return true;
}

/* Lock the row that was found; false: it is gone, or is another by now. */
static bool
lock_row(ScimOpenScan *scan)
{
	bool		changed;

	return scim_table_lock(scan->rel, scan->slot, &changed) && (!changed || has_keys(scan));
}

bool
scim_scan_parent(const ScimEndpointType *target, const char *id, LOCKMODE lock, bool *found, ScimOpenScan *scan)
{
	const ScanIndex *how = &scim_scans_of(target->mapping)->parent;

	if (!open_parents(target, how->nkeys, lock, scan))
		return false;
	start_at(how, scan, scim_table_datum(target->mapping->key.id.typid, id));
	*found = next_row(scan);
	return true;
}

/* As SELECT ... FOR NO KEY UPDATE does. */
ScimScanned
scim_store_lock_parent(const ScimEndpointType *target, const char *id, ScimParentRow *row)
{
	const ScimMapping *m = target->mapping;
	const ScimScans *scans = scim_scans_of(m);
	ScimScanned result = SCIM_SCAN_NOT;
	ScimOpenScan	scan;

	if (!m->lockable || XactReadOnly)
		return SCIM_SCAN_NOT;
	scim_store_push_snapshot();
	if (open_parents(target, scans->parent.nkeys, RowShareLock, &scan))
	{
		if (pg_class_aclcheck(RelationGetRelid(scan.rel), GetUserId(), ACL_UPDATE) == ACLCHECK_OK)
		{
			result = SCIM_SCAN_NONE;
			start_at(&scans->parent, &scan, scim_table_datum(m->key.id.typid, id));
			while (result == SCIM_SCAN_NONE && next_row(&scan))
				if (lock_row(&scan))
				{
					fill_parent(m, scim_store_state(m), scans, scan.rel, scan.slot, row);
					result = SCIM_SCAN_FOUND;
				}
		}
		scim_scan_end(&scan);
	}
	PopActiveSnapshot();
	return result;
}

bool
scim_store_can_scan_parents(const ScimMapping *m)
{
	return OidIsValid(scim_scans_of(m)->parent.index);
}

bool
scim_store_scan_parents(const ScimEndpointType *target, char *const *ids, int n, ScimParentRow *rows)
{
	ScimOpenScan	scan;
	bool		found = true;

	if (!open_parents(target, scim_scans_of(target->mapping)->parent.nkeys, AccessShareLock, &scan))
		return false;
	for (int i = 0; i < n && found; i++)
		found = next_parent(target->mapping, &scan, ids[i], &rows[i]);
	scim_scan_end(&scan);
	return found;
}

/* ---- the resource with a value ---- */

/* The index that finds what fulfils a filter, and the text to look for; NULL: there is none. */
static const ScanIndex *
find_lookup(const ScimEndpointType *target, const ScimFilter *f, Datum *value)
{
	const ScimMapping *m = target->mapping;
	const ScimScans *scans = scim_scans_of(m);
	const ScimAttr *leaf = f->sub ? f->sub : f->attr;

	if (f->kind != SCIM_FILTER_COMPARE || f->op != SCIM_OP_EQ || f->operand.kind != SCIM_OPERAND_STRING || f->attr->multi)
		return NULL;
	if (f->attr == target->type->a_id)
	{
		/* of another type it may have another spelling */
		if (m->key.id.typid != UUIDOID || !scim_is_uuid_text(f->operand.text))
			return NULL;
		*value = scim_table_datum(UUIDOID, f->operand.text);
		return &scans->parent;
	}
	for (int i = 0; i < scans->nlookups; i++)
	{
		const ScanLookup *lookup = &scans->lookups[i];

		if (m->scalars[lookup->scalar].attr != leaf || (lookup->folded && f->operand.folded == NULL))
			continue;
		*value = CStringGetTextDatum(lookup->folded ? f->operand.folded : f->operand.text);
		return &lookup->how;
	}
	return NULL;
}

ScimScanned
scim_store_scan_equal(const ScimEndpointType *target, const ScimFilter *filter, ScimParentRow *row)
{
	const ScimMapping *m = target->mapping;
	ScimScanned result = SCIM_SCAN_NONE;
	Datum		value;
	const ScanIndex *how = find_lookup(target, filter, &value);
	ScimOpenScan	scan;

	if (how == NULL || !open_by(target, how, how->nkeys, AccessShareLock, &scan))
		return SCIM_SCAN_NOT;
	start_at(how, &scan, value);
	if (next_row(&scan))
	{
		fill_parent(m, scim_store_state(m), scim_scans_of(m), scan.rel, scan.slot, row);
		/* of several, the statement tells which the page has */
		result = next_row(&scan) ? SCIM_SCAN_NOT : SCIM_SCAN_FOUND;
	}
	scim_scan_end(&scan);
	return result;
}

/* ---- how many there are ---- */

/* The keys of the scope's columns, where the index begins with them; or 0. */
static int
scope_keys(const ScanIndex *how)
{
	int			n = how->narguments - 1;

	return n > 0 && how->columns[n].scope < 0 ? n : 0;
}

bool
scim_store_can_count(const ScimEndpointType *target)
{
	const ScimMapping *m = target->mapping;

	return scim_store_can_scan_parents(m) && m->key.id.not_null && scope_keys(&scim_scans_of(m)->parent) > 0;
}

/*
 * As an index-only scan does: the table is looked at only where not all rows of
 * a page are known to be visible.
 */
int64
scim_store_scan_count(const ScimEndpointType *target)
{
	const ScanIndex *how = &scim_scans_of(target->mapping)->parent;
	Buffer		visible = InvalidBuffer;
	ScimOpenScan	scan;
	ItemPointer tid;
	int64		n = 0;

	if (!open_parents(target, scope_keys(how), AccessShareLock, &scan))
		return -1;
	if (scan.rel->rd_rel->relam != HEAP_TABLE_AM_OID)
	{
		scim_scan_end(&scan);
		return -1;
	}
	index_rescan(scan.desc, scan.keys, scan.nkeys, NULL, 0);
	while ((tid = index_getnext_tid(scan.desc, ForwardScanDirection)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		if (VM_ALL_VISIBLE(scan.rel, ItemPointerGetBlockNumber(tid), &visible))
		{
			PredicateLockPage(scan.rel, ItemPointerGetBlockNumber(tid), GetActiveSnapshot());
			n++;
		}
		else if (index_fetch_heap(scan.desc, scan.slot))
			n++;
	}
	if (BufferIsValid(visible))
		ReleaseBuffer(visible);
	scim_scan_end(&scan);
	return n;
}
