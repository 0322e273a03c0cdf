/*
 * store_scan_index.c
 *		Which index finds the rows of a mapping's relations (see store_scan.c).
 *
 * That is asked once for a mapping: an index that comes or goes makes the
 * mapping stale (catalog_cache.c).
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "nodes/primnodes.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "store_scan.h"

/* ---- what can be read like this ---- */

/* Is what is read of a source the column itself, and no expression over it? */
static bool
is_column(const ScimSource *src, const char *alias, TupleDesc desc)
{
	Form_pg_attribute att;

	if (src->expr == NULL || !scim_table_stores(desc, src->attnum, src->typid))
		return false;
	att = TupleDescAttr(desc, src->attnum - 1);
	return strcmp(src->expr, psprintf("%s.%s", alias, quote_identifier(NameStr(att->attname)))) == 0;
}

bool
scim_scan_can_use(Relation index)
{
	/* "checkxmin": rows changed before it was made may be missing for old snapshots */
	return index->rd_rel->relam == BTREE_AM_OID && index->rd_index->indisvalid &&
		index->rd_index->indisready && index->rd_index->indislive && !index->rd_index->indcheckxmin;
}

/* No predicate, or "column IS NOT NULL" of a column that is compared. */
static bool
predicate_holds(Relation index, const ScanColumn *columns, int n)
{
	List	   *predicate = RelationGetIndexPredicate(index);
	NullTest   *test;

	if (predicate == NIL)
		return true;
	if (list_length(predicate) != 1 || !IsA(linitial(predicate), NullTest))
		return false;
	test = linitial_node(NullTest, predicate);
	if (test->nulltesttype != IS_NOT_NULL || !IsA(test->arg, Var))
		return false;
	for (int i = 0; i < n; i++)
		if (((Var *) test->arg)->varattno == columns[i].attnum)
			return true;
	return false;
}

/* The scan key of a column of the index, for "="; false: it has no such operator. */
static bool
set_key(Relation index, int i, const ScanColumn *column, MemoryContext context, ScanIndex *result)
{
	Oid			class = index->rd_opcintype[i];
	Oid			operator = get_opfamily_member(index->rd_opfamily[i], class, class, BTEqualStrategyNumber);
	FmgrInfo	equal;

	if (!OidIsValid(operator))
		return false;
	fmgr_info_cxt(get_opcode(operator), &equal, context);
	ScanKeyEntryInitializeWithInfo(&result->keys[i], 0, i + 1, BTEqualStrategyNumber, class,
								   index->rd_indcollation[i], &equal, (Datum) 0);
	result->columns[i] = *column;
	return true;
}

/*
 * Fill in the scan keys if the index begins with these columns, in any order,
 * and compares them as "=" does.
 */
static bool
match_index(Relation rel, Relation index, const ScanColumn *columns, int n, MemoryContext context, ScanIndex *result)
{
	TupleDesc	desc = RelationGetDescr(rel);

	if (!scim_scan_can_use(index) || IndexRelationGetNumberOfKeyAttributes(index) < n ||
		!predicate_holds(index, columns, n))
		return false;
	for (int i = 0; i < n; i++)
	{
		AttrNumber	attnum = index->rd_index->indkey.values[i];
		Oid			class = index->rd_opcintype[i];
		int			j = 0;

		while (j < n && columns[j].attnum != attnum)
			j++;
		if (j == n || (class != columns[j].type && !(class == TEXTOID && columns[j].type == VARCHAROID)) ||
			index->rd_indcollation[i] != TupleDescAttr(desc, attnum - 1)->attcollation)
			return false;
		for (int k = 0; k < i; k++)
			if (index->rd_index->indkey.values[k] == attnum)
				return false;
		if (!set_key(index, i, &columns[j], context, result))
			return false;
	}
	result->nkeys = result->narguments = n;
	return true;
}

/*
 * Find an index of an open relation.  "next", if not 0, is the column that rows
 * should come in the order of; "next_needed": or else the index will not do,
 * and rows without a value in it are left out.
 */
static void
find_index(Relation rel, const ScanColumn *columns, int n, AttrNumber next, bool next_needed,
		   MemoryContext context, ScanIndex *result)
{
	List	   *indexes = RelationGetIndexList(rel);
	ScanIndex	found = *result;
	bool		ordered = false;
	ListCell   *lc;

	result->relid = RelationGetRelid(rel);
	result->index = InvalidOid;
	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		bool		by_next = next != 0 && IndexRelationGetNumberOfKeyAttributes(index) > n &&
			index->rd_index->indkey.values[n] == next && (index->rd_indoption[n] & INDOPTION_DESC) == 0 &&
			index->rd_indcollation[n] == TupleDescAttr(RelationGetDescr(rel), next - 1)->attcollation;

		if ((by_next || !next_needed) && (by_next || !OidIsValid(result->index)) && !ordered &&
			match_index(rel, index, columns, n, context, &found))
		{
			if (next_needed)
				ScanKeyEntryInitialize(&found.keys[found.nkeys++], SK_ISNULL | SK_SEARCHNOTNULL, n + 1,
									   InvalidStrategy, InvalidOid, InvalidOid, InvalidOid, (Datum) 0);
			found.relid = RelationGetRelid(rel);
			found.index = RelationGetRelid(index);
			*result = found;
			ordered = by_next;
		}
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
}

/* ---- what a mapping's relations can do ---- */

/* Scope columns of the mapping's own relation; false: it has too many, or not all. */
static bool
parent_scope(const ScimMapping *m, Relation rel, ScanColumn *columns, int *n)
{
	if (m->nscope >= SCIM_SCAN_KEYS)
		return false;
	for (*n = 0; *n < m->nscope; (*n)++)
	{
		ScanColumn *column = &columns[*n];

		if (!scim_table_column(rel, m->scope_columns[*n], &column->attnum, &column->type) || !scim_table_key_type(column->type))
			return false;
		column->scope = *n;
	}
	return true;
}

/*
 * The scope columns that a child relation has, of the types of the parent's,
 * and one more, of the type of the key.
 */
static bool
child_columns(const ScimMapping *m, const ScanColumn *scope, const ScimChild *child, Relation rel,
			  const char *by, const ScimSource *key, ScanColumn *columns, int *n)
{
	*n = 0;
	if (!scim_key_is_column(&m->key))
		return false;
	for (int i = 0; i < m->nscope; i++)
	{
		if (child->scope[i] == NULL)
			continue;
		columns[*n].scope = i;
		if (!scim_table_column(rel, child->scope[i], &columns[*n].attnum, &columns[*n].type) ||
			columns[*n].type != scope[i].type)
			return false;
		(*n)++;
	}
	columns[*n].scope = -1;
	if (!scim_table_column(rel, by, &columns[*n].attnum, &columns[*n].type) ||
		columns[*n].type != key->typid || !scim_table_key_type(key->typid))
		return false;
	(*n)++;
	return true;
}

/* Does nothing but the columns that are compared tell which rows of a child relation count? */
static bool
counts_all_rows(const ScimChild *child)
{
	const ScimMapping *target = child->target;

	if (child->kind == SCIM_CHILD_INLINE || child->kind == SCIM_CHILD_GROUPS || child->by_column)
		return false;
	/* a member has to be a resource, and one of this scope */
	if (child->kind == SCIM_CHILD_LINK && target && (target->filter || target->membership))
		return false;
	return child->filter == NULL && (child->nfixed == 0 || (child->nfixed == 1 && child->kind == SCIM_CHILD_VALUES));
}

/* A column that holds the same text in all rows of a child relation, compared by its bytes. */
static bool
find_fixed(const ScimChild *child, Relation rel, ScanIndex *result)
{
	Oid			type;

	if (child->nfixed == 0)
		return true;
	result->fixed_text = child->fixed_texts[0];
	result->fixed_len = strlen(result->fixed_text);
	return scim_table_column(rel, child->fixed_columns[0], &result->fixed, &type) && type == TEXTOID &&
		get_collation_isdeterministic(TupleDescAttr(RelationGetDescr(rel), result->fixed - 1)->attcollation);
}

/* Is every value of a child row a column whose text needs no cast, or fixed? */
static bool
child_is_plain(const ScimChild *child, TupleDesc desc)
{
	if (child->kind == SCIM_CHILD_LINK || child->kind == SCIM_CHILD_PENDING)
		return is_column(&child->ref, "c", desc) && scim_table_key_type(child->ref.typid);
	if (child->kind != SCIM_CHILD_VALUES || (child->order != NULL && !child->order_is_integer))
		return false;
	for (int i = 0; i < child->nsubs; i++)
		if (child->srcs[i].expr != NULL &&
			(!is_column(&child->srcs[i], "c", desc) || !scim_table_plain_type(child->srcs[i].typid)))
			return false;
	return true;
}

static void
prepare_child(const ScimMapping *m, const ScanColumn *scope, const ScimChild *child, MemoryContext context, ScanIndex *result)
{
	ScanColumn	columns[SCIM_SCAN_KEYS];
	AttrNumber	next = 0;
	Relation	rel;
	int			n;

	if (!counts_all_rows(child))
		return;
	rel = table_open(child->relid, AccessShareLock);
	if (!child_is_plain(child, RelationGetDescr(rel)) || !find_fixed(child, rel, result))
	{
		table_close(rel, NoLock);
		return;
	}
	if (child->kind != SCIM_CHILD_VALUES)
		next = child->ref.attnum;
	else if (scim_table_column(rel, child->order, &result->order, &result->order_type))
		next = result->order;
	/* values without an order would have to be sorted */
	if (next != 0 && scim_table_is_plain(rel) &&
		child_columns(m, scope, child, rel, child->parent.columns[0], &m->key.id, columns, &n))
		find_index(rel, columns, n, next, child->kind != SCIM_CHILD_VALUES, context, result);
	table_close(rel, NoLock);
}

static bool
note_column(ScimScans *scans, TupleDesc desc, int place, const ScimSource *src)
{
	if (!is_column(src, "r", desc))
		return false;
	scans->columns[place].attnum = src->attnum;
	scans->columns[place].type = src->typid;
	return true;
}

/*
 * Do the scope's columns alone tell which rows are resources, and the row alone
 * (but for its state) what they are?
 */
static bool
counts_all_resources(const ScimMapping *m)
{
	return m->filter == NULL && m->membership == NULL && m->nsides == (m->state ? 1 : 0);
}

/* Where each column of a parent row comes from; false: not all are columns. */
static bool
note_columns(const ScimMapping *m, const ScimStoreState *state, Relation rel, ScimScans *scans)
{
	TupleDesc	desc = RelationGetDescr(rel);
	int			place = state->col_slots;

	if (!scim_key_is_column(&m->key) || !note_column(scans, desc, SCIM_COL_KEY, &m->key.id) || !scim_table_key_type(m->key.id.typid))
		return false;
	if (m->version && (!note_column(scans, desc, state->col_version, m->version) || !scim_table_key_type(m->version->typid)))
		return false;
	if (m->created && m->created->side == NULL && !note_column(scans, desc, state->col_created, m->created))
		return false;
	if (m->last_modified && m->last_modified->side == NULL && !note_column(scans, desc, state->col_modified, m->last_modified))
		return false;
	for (int i = 0; i < m->nscalars; i++)
		if (m->scalars[i].src.side == NULL && !note_column(scans, desc, state->col_scalars + i, &m->scalars[i].src))
			return false;
	for (int i = 0; i < m->nslots; i++)
		for (int j = 0; j < m->slots[i].nsubs; j++)
			if (m->slots[i].srcs[j].expr && !note_column(scans, desc, place++, &m->slots[i].srcs[j]))
				return false;
	return true;
}

/*
 * Is there an index on what the members of groups refer to users with?  Rows
 * that a filter leaves out may be found: then the statement says so.
 */
static void
prepare_groups(const ScimMapping *m, const ScanColumn *scope, const ScimChild *link, MemoryContext context, ScanIndex *result)
{
	Relation	rel = table_open(link->relid, AccessShareLock);
	ScanColumn	columns[SCIM_SCAN_KEYS];
	int			n;

	if (!link->by_column && scim_table_is_plain(rel) && child_columns(m, scope, link, rel, link->refs.columns[0], &m->key.id, columns, &n))
		find_index(rel, columns, n, 0, false, context, result);
	table_close(rel, NoLock);
}

/* ---- resources by an attribute ---- */

/* The column that scim.fold() is applied to in this expression of an index; 0: it is another one. */
static AttrNumber
folded_column(Relation index, int column)
{
	List	   *expressions = RelationGetIndexExpressions(index);
	int			n = 0;
	FuncExpr   *call;
	char	   *name;

	for (int i = 0; i < column; i++)
		if (index->rd_index->indkey.values[i] == 0)
			n++;
	if (n >= list_length(expressions) || !IsA(list_nth(expressions, n), FuncExpr))
		return 0;
	call = list_nth_node(FuncExpr, expressions, n);
	name = get_func_name(call->funcid);
	if (name == NULL || strcmp(name, "fold") != 0 || get_func_namespace(call->funcid) != get_namespace_oid("scim", false) ||
		list_length(call->args) != 1 || !IsA(linitial(call->args), Var))
		return 0;
	return linitial_node(Var, call->args)->varattno;
}

/*
 * Fill in the scan keys if the index begins with the scope's columns and one
 * more, in any order, whose texts it compares by their bytes: as it is, or
 * folded.
 */
static bool
match_lookup(Relation index, const ScanColumn *scope, int n, MemoryContext context, ScanLookup *result)
{
	ScanIndex  *how = &result->how;
	AttrNumber	column = 0;
	ScanColumn	columns[SCIM_SCAN_KEYS];

	if (!scim_scan_can_use(index) || IndexRelationGetNumberOfKeyAttributes(index) < n + 1)
		return false;
	for (int i = 0; i <= n; i++)
	{
		AttrNumber	attnum = index->rd_index->indkey.values[i];
		Oid			class = index->rd_opcintype[i];
		int			j = 0;

		while (j < n && (attnum == 0 || scope[j].attnum != attnum))
			j++;
		if (j == n)
		{
			/* the one that is not of the scope */
			if (column != 0 || class != TEXTOID || index->rd_indcollation[i] != C_COLLATION_OID)
				return false;
			result->folded = attnum == 0;
			column = result->folded ? folded_column(index, i) : attnum;
			if (column <= 0)
				return false;
			columns[i].attnum = column;
			columns[i].type = TEXTOID;
			columns[i].scope = -1;
		}
		else
		{
			if (class != scope[j].type)
				return false;
			columns[i] = scope[j];
		}
		if (!set_key(index, i, &columns[i], context, how))
			return false;
	}
	how->nkeys = how->narguments = n + 1;
	return column != 0 && predicate_holds(index, columns, n + 1);
}

/* Is this attribute what a column holds, and compared as the index does? */
static bool
is_looked_up(const ScimScalar *scalar, const ScanLookup *lookup, TupleDesc desc)
{
	const ScimSource *src = &scalar->src;
	const ScanColumn *column = lookup->how.columns;

	while (column->scope >= 0)
		column++;
	return src->side == NULL && src->attnum == column->attnum && src->typid == TEXTOID && src->cls == SCIM_SQL_TEXT &&
		scalar->attr->type == SCIM_TYPE_STRING && scalar->attr->case_exact == !lookup->folded &&
		src->fold == NULL && src->citext == NULL && src->ref_type == NULL && is_column(src, "r", desc);
}

static void
prepare_lookups(const ScimMapping *m, Relation rel, const ScanColumn *scope, int n, MemoryContext context, ScimScans *scans)
{
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *lc;

	scans->lookups = palloc0(sizeof(ScanLookup) * Max(m->nscalars, 1));
	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		ScanLookup	lookup = {0};

		if (n + 1 <= SCIM_SCAN_KEYS && match_lookup(index, scope, n, context, &lookup))
		{
			lookup.how.relid = RelationGetRelid(rel);
			lookup.how.index = RelationGetRelid(index);
			for (int i = 0; i < m->nscalars && scans->nlookups < m->nscalars; i++)
				if (is_looked_up(&m->scalars[i], &lookup, RelationGetDescr(rel)))
				{
					lookup.scalar = i;
					scans->lookups[scans->nlookups++] = lookup;
				}
		}
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
}

static ScimScans *
make_scans(const ScimMapping *m, ScimStoreState *state)
{
	MemoryContext context = AllocSetContextCreate(state->context, "scim scans", ALLOCSET_SMALL_SIZES);
	MemoryContext saved = MemoryContextSwitchTo(context);
	ScimScans  *scans = palloc0(sizeof(ScimScans));
	Relation	rel = table_open(m->relid, AccessShareLock);
	ScanColumn	columns[SCIM_SCAN_KEYS];
	int			n;

	scans->columns = palloc0(sizeof(ScanColumnRead) * state->ncolumns);
	scans->children = palloc0(sizeof(ScanIndex) * Max(m->nchildren, 1));
	if (parent_scope(m, rel, columns, &n))
	{
		for (int i = 0; i < m->nchildren; i++)
			prepare_child(m, columns, &m->children[i], context, &scans->children[i]);
		if (state->groups_child >= 0)
			prepare_groups(m, columns, m->children[state->groups_child].user_link, context, &scans->groups);
		if (counts_all_resources(m) && scim_table_is_plain(rel) && note_columns(m, state, rel, scans))
		{
			columns[n].scope = -1;
			columns[n].attnum = m->key.id.attnum;
			columns[n].type = m->key.id.typid;
			find_index(rel, columns, n + 1, 0, false, context, &scans->parent);
			if (OidIsValid(scans->parent.index))
				prepare_lookups(m, rel, columns, n, context, scans);
		}
	}
	table_close(rel, NoLock);
	MemoryContextSwitchTo(saved);
	state->scans = scans;
	return scans;
}

const ScimScans *
scim_scans_of(const ScimMapping *m)
{
	ScimStoreState *state = scim_store_state(m);

	return state->scans ? state->scans : make_scans(m, state);
}
