/*
 * store_append.c
 *		Rows added to a table by the executor's functions, without a statement.
 *
 * The rows of one call are gathered and go into the table together, as those
 * of COPY do: a page is visited once for all that fit into it, with one record
 * of the log.  Their entries of indexes follow, row by row.
 *
 * What is known of a table beforehand, the expressions of its defaults and
 * checks, is planned once and kept until anything about it changes.
 *
 * To open a table takes as long as to add two or three rows.  So while a Bulk
 * runs, tables stay open for all of its operations (the keeper below).  They
 * belong to the transaction then, and the rollback of an operation does not
 * close them.  A trigger that ends up here in the middle of a row finds its table
 * busy, and opens it for itself.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/syscache.h"

#include "store_append.h"
#include "store_table.h"
#include "../compat.h"

/* Rows that are gathered; more go in several parts. */
#define MAX_ROWS 64

/* What is known of a table beforehand. */
typedef struct TablePlan
{
	Oid			relid;			/* key */
	bool		made;
	bool		valid;			/* nothing has changed since it was begun */
	bool		usable;
	MemoryContext context;
	int			natts;
	Expr	  **defaults;		/* planned, by column; NULL: null */
	int			nchecks;
	Expr	  **checks;			/* planned; NULL: not enforced */
} TablePlan;

struct ScimAppend
{
	ResourceOwner owner;		/* of all that is open */
	Relation	rel;
	EState	   *estate;
	ResultRelInfo *info;
	ExprState **defaults;
	bool	   *given;			/* columns of the row that is being made */
	TupleTableSlot *slots[MAX_ROWS];
	int			nslots;			/* made */
	int			nrows;			/* filled */
	ScimAppendFires fires;
	bool		any;			/* a row has been stored */
	bool		kept;
	bool		busy;
	struct ScimAppend *next;	/* of those that are kept */
};

/* Tables that stay open. */
typedef struct Keeper
{
	MemoryContext context;
	MemoryContextCallback forget;
	ResourceOwner owner;
	ScimAppend *tables;
	bool		stale;			/* one of them has changed */
	struct Keeper *outer;
} Keeper;

static HTAB *plans = NULL;
static Keeper *keeper = NULL;

/* ---- what is known of a table ---- */

static void
invalidate(TablePlan *plan)
{
	plan->valid = false;
	for (Keeper *k = keeper; k; k = k->outer)
		k->stale = true;
}

static void
invalidate_all(void)
{
	HASH_SEQ_STATUS all;
	TablePlan  *plan;

	hash_seq_init(&all, plans);
	while ((plan = (TablePlan *) hash_seq_search(&all)) != NULL)
		invalidate(plan);
}

static void
relation_changed(Datum arg, Oid relid)
{
	TablePlan  *plan;

	if (plans == NULL)
		return;
	if (!OidIsValid(relid))
		invalidate_all();
	else if ((plan = (TablePlan *) hash_search(plans, &relid, HASH_FIND, NULL)) != NULL)
		invalidate(plan);
}

/* A function that an expression calls may have been put into it. */
static void
function_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	if (plans != NULL)
		invalidate_all();
}

void
scim_append_init(void)
{
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(PROCOID, function_changed, (Datum) 0);
}

/* What columns hold that are not given a value; false: not only null and expressions. */
static bool
plan_defaults(Relation rel, TablePlan *plan)
{
	TupleDesc	desc = RelationGetDescr(rel);

	plan->natts = desc->natts;
	plan->defaults = palloc0(sizeof(Expr *) * desc->natts);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attisdropped)
			continue;
		/* a domain may not take null */
		if (att->attgenerated != '\0' || get_typtype(att->atttypid) == TYPTYPE_DOMAIN)
			return false;
		if (att->atthasdef || att->attidentity != '\0')
			plan->defaults[i] = expression_planner((Expr *) build_column_default(rel, i + 1));
	}
	return true;
}

static void
plan_checks(Relation rel, TablePlan *plan)
{
	TupleConstr *constr = RelationGetDescr(rel)->constr;

	/* where a column has to be put into the expressions first, the executor does it */
	plan->nchecks = constr && !scim_has_virtual_columns(constr) ? constr->num_check : 0;
	plan->checks = palloc0(sizeof(Expr *) * Max(plan->nchecks, 1));
	for (int i = 0; i < plan->nchecks; i++)
		if (scim_check_is_enforced(&constr->check[i]))
			plan->checks[i] = expression_planner((Expr *) stringToNode(constr->check[i].ccbin));
}

static TablePlan *
plan_of(Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	MemoryContext saved;
	TablePlan  *plan;
	bool		found;

	if (plans == NULL)
	{
		HASHCTL		control;

		memset(&control, 0, sizeof(control));
		control.keysize = sizeof(Oid);
		control.entrysize = sizeof(TablePlan);
		control.hcxt = CacheMemoryContext;
		plans = hash_create("scim tables", 32, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	plan = (TablePlan *) hash_search(plans, &relid, HASH_ENTER, &found);
	if (!found)
	{
		plan->made = false;
		plan->context = AllocSetContextCreate(CacheMemoryContext, "scim table", ALLOCSET_SMALL_SIZES);
	}
	if (plan->made && plan->valid)
		return plan;
	plan->made = false;
	plan->valid = true;
	MemoryContextReset(plan->context);
	saved = MemoryContextSwitchTo(plan->context);
	plan->usable = plan_defaults(rel, plan);
	plan_checks(rel, plan);
	MemoryContextSwitchTo(saved);
	plan->made = true;
	return plan;
}

bool
scim_append_can(Relation rel)
{
	return scim_table_is_plain(rel) && plan_of(rel)->usable;
}

bool
scim_append_has_triggers(const TriggerDesc *triggers)
{
	for (int i = 0; triggers && i < triggers->numtriggers; i++)
	{
		const Trigger *trigger = &triggers->triggers[i];

		if (TRIGGER_FOR_INSERT(trigger->tgtype) &&
			(!trigger->tgisinternal || RI_FKey_trigger_type(trigger->tgfoid) != RI_TRIGGER_FK))
			return true;
	}
	return false;
}

/*
 * The executor reads checks anew for every statement.  Copies, because it keeps
 * pointers into them and the plan may go.
 */
void
scim_append_prepare_checks(ResultRelInfo *info, EState *estate)
{
	TablePlan  *plan = plan_of(info->ri_RelationDesc);
	MemoryContext saved = MemoryContextSwitchTo(estate->es_query_cxt);

	if (plan->nchecks > 0)
	{
		info->ri_CheckConstraintExprs = palloc0(sizeof(ExprState *) * plan->nchecks);
		for (int i = 0; i < plan->nchecks; i++)
			if (plan->checks[i])
				info->ri_CheckConstraintExprs[i] = ExecInitExpr((Expr *) copyObject(plan->checks[i]), NULL);
	}
	MemoryContextSwitchTo(saved);
}

/* ---- opening and closing ---- */

static ScimAppend *
open_table(Relation rel)
{
	ScimAppend *append = palloc0(sizeof(ScimAppend));
	EState	   *estate = CreateExecutorState();
	TablePlan  *plan = plan_of(rel);
	MemoryContext saved = MemoryContextSwitchTo(estate->es_query_cxt);

	append->owner = CurrentResourceOwner;
	append->rel = rel;
	append->estate = estate;
	append->info = makeNode(ResultRelInfo);
	InitResultRelInfo(append->info, rel, 0, NULL, 0);
	ExecOpenIndices(append->info, false);
	estate->es_opened_result_relations = lappend(estate->es_opened_result_relations, append->info);
	append->given = palloc0(sizeof(bool) * plan->natts);
	append->defaults = palloc0(sizeof(ExprState *) * plan->natts);
	for (int i = 0; i < plan->natts; i++)
		if (plan->defaults[i])
			append->defaults[i] = ExecInitExpr((Expr *) copyObject(plan->defaults[i]), NULL);
	scim_append_prepare_checks(append->info, estate);
	MemoryContextSwitchTo(saved);
	return append;
}

/* All but the relation itself. */
static void
close_table(ScimAppend *append)
{
	EState	   *estate = append->estate;

	ExecResetTupleTable(estate->es_tupleTable, false);
	ExecCloseResultRelations(estate);
	FreeExecutorState(estate);
}

/* ---- tables that stay open ---- */

static void
forget_keeper(void *arg)
{
	for (Keeper **k = &keeper; *k; k = &(*k)->outer)
		if (*k == (Keeper *) arg)
		{
			*k = (*k)->outer;
			break;
		}
}

void
scim_append_keep_begin(void)
{
	/* goes with the subtransaction, if that fails */
	MemoryContext context = AllocSetContextCreate(CurTransactionContext, "scim open tables", ALLOCSET_DEFAULT_SIZES);
	Keeper	   *fresh = MemoryContextAllocZero(context, sizeof(Keeper));

	fresh->context = context;
	fresh->owner = CurrentResourceOwner;
	fresh->forget.func = forget_keeper;
	fresh->forget.arg = fresh;
	MemoryContextRegisterResetCallback(context, &fresh->forget);
	fresh->outer = keeper;
	keeper = fresh;
}

void
scim_append_keep_drop(void)
{
	ResourceOwner saved = CurrentResourceOwner;

	if (keeper == NULL)
		return;
	CurrentResourceOwner = keeper->owner;
	for (ScimAppend *append = keeper->tables; append; append = append->next)
	{
		close_table(append);
		table_close(append->rel, NoLock);
	}
	CurrentResourceOwner = saved;
	keeper->tables = NULL;
	keeper->stale = false;
}

void
scim_append_keep_end(void)
{
	if (keeper == NULL)
		return;
	scim_append_keep_drop();
	MemoryContextDelete(keeper->context);
}

static bool
any_busy(void)
{
	for (const ScimAppend *append = keeper->tables; append; append = append->next)
		if (append->busy)
			return true;
	return false;
}

/* The table as it is kept, opened if need be; NULL: it is not to be had now. */
static ScimAppend *
kept_table(Oid relid)
{
	ResourceOwner saved_owner = CurrentResourceOwner;
	MemoryContext saved;
	ScimAppend *append;

	if (keeper == NULL)
		return NULL;
	if (keeper->stale)
	{
		if (any_busy())
			return NULL;
		scim_append_keep_drop();
	}
	for (append = keeper->tables; append && RelationGetRelid(append->rel) != relid; append = append->next)
		;
	if (append)
		return append->busy ? NULL : append;
	CurrentResourceOwner = keeper->owner;
	saved = MemoryContextSwitchTo(keeper->context);
	append = open_table(table_open(relid, RowExclusiveLock));
	append->kept = true;
	append->next = keeper->tables;
	keeper->tables = append;
	MemoryContextSwitchTo(saved);
	CurrentResourceOwner = saved_owner;
	return append;
}

/* ---- rows ---- */

ScimAppend *
scim_append_begin(Relation rel, ScimAppendFires fires)
{
	ScimAppend *append = kept_table(RelationGetRelid(rel));

	if (append == NULL)
		append = open_table(rel);
	/* see what earlier statements have written */
	CommandCounterIncrement();
	append->busy = true;
	append->fires = fires;
	append->any = false;
	AfterTriggerBeginQuery();
	return append;
}

/* The slot of the row that is being made. */
static TupleTableSlot *
current_slot(ScimAppend *append)
{
	if (append->nrows == append->nslots)
	{
		MemoryContext saved = MemoryContextSwitchTo(append->estate->es_query_cxt);
		ResourceOwner saved_owner = CurrentResourceOwner;

		CurrentResourceOwner = append->owner;
		append->slots[append->nslots++] = table_slot_create(append->rel, &append->estate->es_tupleTable);
		CurrentResourceOwner = saved_owner;
		MemoryContextSwitchTo(saved);
	}
	return append->slots[append->nrows];
}

void
scim_append_set(ScimAppend *append, AttrNumber attnum, Datum value, bool isnull)
{
	TupleTableSlot *slot = current_slot(append);

	append->given[attnum - 1] = true;
	slot->tts_values[attnum - 1] = value;
	slot->tts_isnull[attnum - 1] = isnull;
}

/* Columns that are not given get their default. */
static void
fill_defaults(ScimAppend *append, TupleTableSlot *slot)
{
	for (int i = 0; i < slot->tts_tupleDescriptor->natts; i++)
	{
		if (append->given[i])
			continue;
		slot->tts_isnull[i] = true;
		if (append->defaults[i])
			slot->tts_values[i] = ExecEvalExprSwitchContext(append->defaults[i], GetPerTupleExprContext(append->estate), &slot->tts_isnull[i]);
	}
	memset(append->given, 0, sizeof(bool) * slot->tts_tupleDescriptor->natts);
}

/* Store the rows that are gathered. */
static void
flush(ScimAppend *append)
{
	ResultRelInfo *info = append->info;
	EState	   *estate = append->estate;
	MemoryContext saved;

	if (append->nrows == 0)
		return;
	if (RelationGetDescr(append->rel)->constr)
		for (int i = 0; i < append->nrows; i++)
			ExecConstraints(info, append->slots[i], estate);
	saved = MemoryContextSwitchTo(GetPerTupleMemoryContext(estate));
	if (append->nrows == 1)
		simple_table_tuple_insert(append->rel, append->slots[0]);
	else
		table_multi_insert(append->rel, append->slots, append->nrows, GetCurrentCommandId(true), 0, NULL);
	MemoryContextSwitchTo(saved);
	for (int i = 0; i < append->nrows; i++)
	{
		List	   *recheck = NIL;

		if (info->ri_NumIndices > 0)
			recheck = scim_insert_index_tuples(info, append->slots[i], estate);
		if (append->fires == SCIM_FIRE_ALL || (append->fires == SCIM_FIRE_FIRST && !append->any))
			ExecARInsertTriggers(estate, info, append->slots[i], recheck, NULL);
		append->any = true;
	}
	for (int i = 0; i < append->nrows; i++)
		ExecClearTuple(append->slots[i]);
	append->nrows = 0;
	ResetPerTupleExprContext(estate);
}

void
scim_append_row(ScimAppend *append)
{
	TupleTableSlot *slot = current_slot(append);

	fill_defaults(append, slot);
	ExecStoreVirtualTuple(slot);
	if (++append->nrows == MAX_ROWS)
		flush(append);
}

bool
scim_append_value(ScimAppend *append, AttrNumber attnum, Datum *value)
{
	bool		isnull;

	Assert(append->nrows > 0);
	*value = slot_getattr(append->slots[append->nrows - 1], attnum, &isnull);
	return !isnull;
}

void
scim_append_end(ScimAppend *append)
{
	flush(append);
	append->busy = false;
	AfterTriggerEndQuery(append->estate);
	if (!append->kept)
		close_table(append);
	CommandCounterIncrement();
}
