/*
 * store_insert.c
 *		New rows without a statement: of child relations, and of the resource.
 *
 * A statement for each multi-valued attribute costs more than its rows: it
 * opens the table and its indexes again, prepares their expressions and the
 * table's constraints again.  So where nothing happens at an INSERT but what a
 * table does by itself (defaults, constraints, indexes), the values of all
 * attributes that lie in one table are inserted together, through the
 * executor's function for a single row, as a subscription applies changes.
 *
 * All these rows have the same parent, so its foreign key is checked once, for
 * the first of them.
 *
 * What makes a statement more than that is left to one: triggers, row security,
 * rules, partitions, generated columns, columns that have to be cast,
 * privileges on columns only, other foreign keys, a module that looks at
 * privileges itself.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "store_internal.h"
#include "store_table.h"

/* A column and what it is given in every row of a child relation. */
typedef struct FixedColumn
{
	AttrNumber	attnum;
	Oid			type;
	int			scope;			/* number of the scope's column; -1: "value" */
	Datum		value;
} FixedColumn;

/* How the rows of a child relation are made. */
typedef struct RowMaker
{
	bool		usable;
	AttrNumber	parent;
	int			nfixed;
	FixedColumn *fixed;
	Oid		   *types;			/* of the column of each sub-attribute */
	int			natts;			/* of the relation */
	Expr	  **defaults;		/* planned, by column; NULL: null */
} RowMaker;

/* Of a mapping; made at the first use. */
typedef struct ScimInserts
{
	RowMaker   *children;		/* one for each child relation */
	RowMaker	parent;			/* only its defaults */
	Oid			appeared;		/* what scim itself does where rows come with a key that was named before */
} ScimInserts;

/* ---- what can be inserted like this ---- */

static bool
add_fixed(RowMaker *maker, Relation rel, const char *column, int scope)
{
	FixedColumn *fixed = &maker->fixed[maker->nfixed++];

	fixed->scope = scope;
	return scim_table_column(rel, column, &fixed->attnum, &fixed->type) &&
		scim_table_takes_text(RelationGetDescr(rel), fixed->attnum, &fixed->type);
}

/* The columns that are the same in all rows of one parent. */
static bool
prepare_fixed(const ScimMapping *m, const ScimChild *child, Relation rel, RowMaker *maker)
{
	maker->fixed = palloc0(sizeof(FixedColumn) * (m->nscope + child->nfixed + 1));
	for (int i = 0; i < m->nscope; i++)
		if (child->scope[i] && !add_fixed(maker, rel, child->scope[i], i))
			return false;
	for (int i = 0; i < child->nfixed; i++)
	{
		if (!add_fixed(maker, rel, child->fixed_columns[i], -1))
			return false;
		maker->fixed[maker->nfixed - 1].value = scim_table_datum(maker->fixed[maker->nfixed - 1].type, child->fixed_texts[i]);
	}
	return true;
}

/* The column of each value: no two in the same. */
static bool
prepare_values(const ScimChild *child, Relation rel, RowMaker *maker)
{
	maker->types = palloc0(sizeof(Oid) * Max(child->nsubs, 1));
	for (int j = 0; j < child->nsubs; j++)
	{
		const ScimSource *src = &child->srcs[j];

		if (src->column == NULL)
			continue;
		if (src->negated || !scim_table_takes_text(RelationGetDescr(rel), src->attnum, &maker->types[j]))
			return false;
		for (int i = 0; i < j; i++)
			if (child->srcs[i].column && child->srcs[i].attnum == src->attnum)
				return false;
	}
	return true;
}

/* What columns hold that are not given a value; false: not only null and expressions. */
static bool
prepare_defaults(Relation rel, RowMaker *maker)
{
	TupleDesc	desc = RelationGetDescr(rel);

	if (desc->constr && desc->constr->has_generated_stored)
		return false;
	maker->natts = desc->natts;
	maker->defaults = palloc0(sizeof(Expr *) * desc->natts);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attisdropped)
			continue;
		/* a domain may not take null */
		if (att->attgenerated != '\0' || get_typtype(att->atttypid) == TYPTYPE_DOMAIN)
			return false;
		if (att->atthasdef || att->attidentity != '\0')
			maker->defaults[i] = expression_planner((Expr *) build_column_default(rel, i + 1));
	}
	return true;
}

static void
prepare_child(const ScimMapping *m, const ScimChild *child, RowMaker *maker)
{
	Relation	rel;
	Oid			type;

	if (!scim_key_is_column(&m->key) || child->kind != SCIM_CHILD_VALUES || child->ninserts > 0 || child->order_is_given)
		return;
	rel = table_open(child->relid, AccessShareLock);
	maker->parent = child->parent.attnums[0];
	maker->usable = scim_table_is_plain(rel) && scim_table_takes_text(RelationGetDescr(rel), maker->parent, &type) &&
		type == m->key.id.typid && prepare_fixed(m, child, rel, maker) && prepare_values(child, rel, maker) &&
		prepare_defaults(rel, maker);
	table_close(rel, NoLock);
}

/* The function of scim's own trigger, if the table has it. */
static Oid
find_appeared(const TriggerDesc *triggers)
{
	for (int i = 0; triggers && i < triggers->numtriggers; i++)
	{
		Oid			function = triggers->triggers[i].tgfoid;
		char	   *name = get_func_name(function);

		if (name && strcmp(name, "_member_appeared") == 0 && get_func_namespace(function) == get_namespace_oid("scim", false))
			return function;
	}
	return InvalidOid;
}

static void
prepare_parent(const ScimMapping *m, ScimInserts *inserts)
{
	Relation	rel = table_open(m->relid, AccessShareLock);

	inserts->parent.usable = scim_table_is_plain(rel) && scim_key_is_column(&m->key) && prepare_defaults(rel, &inserts->parent);
	inserts->appeared = find_appeared(rel->trigdesc);
	table_close(rel, NoLock);
}

static ScimInserts *
inserts_of(const ScimMapping *m)
{
	ScimStoreState *state = scim_store_state(m);
	MemoryContext context;
	MemoryContext saved;
	ScimInserts *inserts;

	if (state->inserts)
		return state->inserts;
	context = AllocSetContextCreate(state->context, "scim inserts", ALLOCSET_SMALL_SIZES);
	saved = MemoryContextSwitchTo(context);
	inserts = palloc0(sizeof(ScimInserts));
	inserts->children = palloc0(sizeof(RowMaker) * Max(m->nchildren, 1));
	for (int i = 0; i < m->nchildren; i++)
		prepare_child(m, &m->children[i], &inserts->children[i]);
	prepare_parent(m, inserts);
	MemoryContextSwitchTo(saved);
	state->inserts = inserts;
	return inserts;
}

/* Is this column the same in all rows of one parent? */
static bool
is_fixed(const RowMaker *maker, AttrNumber attnum)
{
	for (int i = 0; i < maker->nfixed; i++)
		if (maker->fixed[i].attnum == attnum && maker->fixed[i].scope >= 0)
			return true;
	return attnum == maker->parent;
}

/* Are the foreign keys about the parent, and so the same for all of its rows? */
static bool
refers_to_parent(Relation rel, const RowMaker *maker)
{
	ListCell   *lc;

	foreach(lc, RelationGetFKeyList(rel))
	{
		ForeignKeyCacheInfo *key = lfirst_node(ForeignKeyCacheInfo, lc);

		for (int i = 0; i < key->nkeys; i++)
			if (!is_fixed(maker, key->conkey[i]))
				return false;
	}
	return true;
}

/* Does anything happen at an INSERT but the check of foreign keys, and (valid or not) this function? */
static bool
has_triggers(const TriggerDesc *triggers, Oid but)
{
	for (int i = 0; triggers && i < triggers->numtriggers; i++)
	{
		const Trigger *trigger = &triggers->triggers[i];

		if (TRIGGER_FOR_INSERT(trigger->tgtype) && trigger->tgfoid != but &&
			(!trigger->tgisinternal || RI_FKey_trigger_type(trigger->tgfoid) != RI_TRIGGER_FK))
			return true;
	}
	return false;
}

/* Are the columns still what they were taken for? */
static bool
still_fits(const ScimChild *child, const RowMaker *maker, TupleDesc desc)
{
	if (!maker->usable || maker->natts != desc->natts)
		return false;
	for (int i = 0; i < maker->nfixed; i++)
		if (!scim_table_stores(desc, maker->fixed[i].attnum, maker->fixed[i].type))
			return false;
	for (int j = 0; j < child->nsubs; j++)
		if (maker->types[j] != InvalidOid && !scim_table_stores(desc, child->srcs[j].attnum, maker->types[j]))
			return false;
	return true;
}

/* May the current user, and this transaction, insert rows into it without a statement? */
static bool
can_insert(const ScimMapping *m, Relation rel, const ScimChildRows *fresh, int n)
{
	const RowMaker *makers = inserts_of(m)->children;

	if (ExecutorCheckPerms_hook != NULL || XactReadOnly || !scim_table_is_plain(rel) || has_triggers(rel->trigdesc, InvalidOid) ||
		pg_class_aclcheck(RelationGetRelid(rel), GetUserId(), ACL_INSERT) != ACLCHECK_OK)
		return false;
	for (int i = 0; i < n; i++)
	{
		const RowMaker *maker = &makers[fresh[i].child - m->children];

		if (!still_fits(fresh[i].child, maker, RelationGetDescr(rel)) || !refers_to_parent(rel, maker))
			return false;
	}
	return true;
}

/* ---- inserting ---- */

/* A table that rows are inserted into. */
typedef struct OpenInsert
{
	EState	   *estate;
	ResultRelInfo *info;
	TupleTableSlot *slot;
	ExprState **defaults;
	TriggerDesc *triggers;
} OpenInsert;

static void
begin_insert(Relation rel, const RowMaker *maker, OpenInsert *open)
{
	EState	   *estate = CreateExecutorState();
	MemoryContext saved = MemoryContextSwitchTo(estate->es_query_cxt);

	/* see what earlier statements have written */
	CommandCounterIncrement();
	open->estate = estate;
	open->info = makeNode(ResultRelInfo);
	InitResultRelInfo(open->info, rel, 0, NULL, 0);
	ExecOpenIndices(open->info, false);
	estate->es_opened_result_relations = lappend(estate->es_opened_result_relations, open->info);
	open->triggers = open->info->ri_TrigDesc;
	open->slot = table_slot_create(rel, &estate->es_tupleTable);
	open->defaults = palloc0(sizeof(ExprState *) * maker->natts);
	for (int i = 0; i < maker->natts; i++)
		if (maker->defaults[i])
			open->defaults[i] = ExecInitExpr(maker->defaults[i], NULL);
	AfterTriggerBeginQuery();
	MemoryContextSwitchTo(saved);
}

/* Columns that are not "given" get their default. */
static void
fill_defaults(OpenInsert *open, const bool *given)
{
	TupleTableSlot *slot = open->slot;

	for (int i = 0; i < slot->tts_tupleDescriptor->natts; i++)
	{
		if (given[i])
			continue;
		slot->tts_isnull[i] = true;
		if (open->defaults[i])
			slot->tts_values[i] = ExecEvalExprSwitchContext(open->defaults[i], GetPerTupleExprContext(open->estate), &slot->tts_isnull[i]);
	}
}

/* Insert what is in the slot. */
static void
insert_slot(OpenInsert *open)
{
	TupleTableSlot *slot = open->slot;
	EState	   *estate = open->estate;

	ExecStoreVirtualTuple(slot);
	ExecSimpleRelationInsert(open->info, estate, slot);
	/* the parent is there: once is enough */
	open->info->ri_TrigDesc = NULL;
	ExecClearTuple(slot);
	ResetPerTupleExprContext(estate);
}

static void
end_insert(OpenInsert *open)
{
	EState	   *estate = open->estate;

	open->info->ri_TrigDesc = open->triggers;
	AfterTriggerEndQuery(estate);
	ExecResetTupleTable(estate->es_tupleTable, false);
	ExecCloseResultRelations(estate);
	FreeExecutorState(estate);
	CommandCounterIncrement();
}

static void
set_column(OpenInsert *open, bool *given, AttrNumber attnum, Oid type, const char *text)
{
	given[attnum - 1] = true;
	open->slot->tts_isnull[attnum - 1] = text == NULL;
	if (text)
		open->slot->tts_values[attnum - 1] = scim_table_datum(type, text);
}

/* The rows of one child relation. */
static void
insert_child(const ScimEndpointType *target, const char *id, const RowMaker *maker, const ScimChildRows *fresh, OpenInsert *open)
{
	const ScimMapping *m = target->mapping;
	const ScimChild *child = fresh->child;
	const char ***texts = palloc0(sizeof(char **) * Max(child->nsubs, 1));
	bool	   *given = palloc0(sizeof(bool) * maker->natts);

	for (int j = 0; j < child->nsubs; j++)
	{
		const char **column = palloc(sizeof(char *) * fresh->n);

		/* where no value is given, the column's default counts */
		if (maker->types[j] != InvalidOid &&
			(scim_store_element_texts(m, child, j, fresh->elements, fresh->n, true, column) || !child->srcs[j].has_default))
			texts[j] = column;
	}
	for (int i = 0; i < fresh->n; i++)
	{
		MemoryContext saved = MemoryContextSwitchTo(GetPerTupleMemoryContext(open->estate));

		set_column(open, given, maker->parent, m->key.id.typid, id);
		for (int k = 0; k < maker->nfixed; k++)
		{
			const FixedColumn *fixed = &maker->fixed[k];

			if (fixed->scope >= 0)
				set_column(open, given, fixed->attnum, fixed->type, target->scope[fixed->scope]);
			else
			{
				given[fixed->attnum - 1] = true;
				open->slot->tts_isnull[fixed->attnum - 1] = false;
				open->slot->tts_values[fixed->attnum - 1] = fixed->value;
			}
		}
		for (int j = 0; j < child->nsubs; j++)
			if (texts[j])
				set_column(open, given, child->srcs[j].attnum, maker->types[j], texts[j][i]);
		MemoryContextSwitchTo(saved);
		fill_defaults(open, given);
		insert_slot(open);
	}
}

bool
scim_store_insert_rows(const ScimEndpointType *target, const char *id, const ScimChildRows *fresh, int n)
{
	const ScimMapping *m = target->mapping;
	const RowMaker *makers = inserts_of(m)->children;
	Relation	rel = table_open(fresh->child->relid, RowExclusiveLock);
	OpenInsert	open;
	bool		can = can_insert(m, rel, fresh, n);

	if (can)
	{
		begin_insert(rel, &makers[fresh->child - m->children], &open);
		for (int i = 0; i < n; i++)
			insert_child(target, id, &makers[fresh[i].child - m->children], &fresh[i], &open);
		end_insert(&open);
	}
	/* as a statement would, keep the lock on the table to the end */
	table_close(rel, NoLock);
	return can;
}

/* ---- the resource's row ---- */

/* May the current user insert a row with these columns, and see its key, without a statement? */
static bool
can_insert_parent(const ScimMapping *m, const ScimInserts *inserts, Relation rel, const ScimColumns *list)
{
	TupleDesc	desc = RelationGetDescr(rel);
	Oid			relid = RelationGetRelid(rel);
	Oid			type;

	if (ExecutorCheckPerms_hook != NULL || XactReadOnly || !inserts->parent.usable || inserts->parent.natts != desc->natts ||
		!scim_table_is_plain(rel) || has_triggers(rel->trigdesc, inserts->appeared) ||
		!scim_table_stores(desc, m->key.id.attnum, m->key.id.typid) ||
		pg_class_aclcheck(relid, GetUserId(), ACL_INSERT) != ACLCHECK_OK ||
		pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		return false;
	for (int i = 0; i < list->n; i++)
	{
		/* a key that is given may have been named before: that is scim's trigger's work */
		if (list->items[i].kind != SCIM_COLUMN_TEXT || list->items[i].attnum == m->key.id.attnum ||
			!scim_table_takes_text(desc, list->items[i].attnum, &type))
			return false;
	}
	return true;
}

char *
scim_store_insert_row(const ScimEndpointType *target, const ScimColumns *list)
{
	const ScimMapping *m = target->mapping;
	const ScimInserts *inserts = inserts_of(m);
	Relation	rel;
	OpenInsert	open;
	bool	   *given;
	char	   *id = NULL;

	if (list->over_row)
		return NULL;
	rel = table_open(m->relid, RowExclusiveLock);
	if (can_insert_parent(m, inserts, rel, list))
	{
		begin_insert(rel, &inserts->parent, &open);
		given = palloc0(sizeof(bool) * inserts->parent.natts);
		for (int i = 0; i < list->n; i++)
		{
			const ScimColumnItem *item = &list->items[i];

			set_column(&open, given, item->attnum, TupleDescAttr(RelationGetDescr(rel), item->attnum - 1)->atttypid, item->text);
		}
		fill_defaults(&open, given);
		id = scim_store_datum_text(&m->key.id, open.slot->tts_values[m->key.id.attnum - 1]);
		insert_slot(&open);
		end_insert(&open);
	}
	table_close(rel, NoLock);
	return id;
}
