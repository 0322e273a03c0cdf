/*
 * store_constraint.c
 *		Deferred constraints of mapped relations, while scim.handle shares the
 *		transaction of its caller.
 *
 * For the length of the call they are IMMEDIATE; afterwards they are to be what
 * the caller had made them.  PostgreSQL does not tell what that is, so SET
 * CONSTRAINTS is listened to: what of it holds in this transaction is kept here.
 * (What was said before this library was loaded is not known; then a constraint
 * is taken for what it is declared as.)
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/trigger.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "tcop/utility.h"
#include "utils/memutils.h"

#include "store_append.h"
#include "store_internal.h"

/* A SET CONSTRAINTS of this transaction, in its memory. */
typedef struct Said
{
	int			level;			/* of the subtransaction that it holds in */
	bool		deferred;
	List	   *constraints;	/* of RangeVar; NIL: ALL */
} Said;

static List *said = NIL;		/* the last one last */
static ProcessUtility_hook_type previous_hook = NULL;

static void
remember(const ConstraintsSetStmt *stmt)
{
	MemoryContext saved = MemoryContextSwitchTo(TopTransactionContext);
	Said	   *one = palloc(sizeof(Said));

	one->level = GetCurrentTransactionNestLevel();
	one->deferred = stmt->deferred;
	one->constraints = copyObject(stmt->constraints);
	/* ALL puts an end to what the same subtransaction has said before */
	while (stmt->constraints == NIL && said != NIL && ((Said *) llast(said))->level >= one->level)
		said = list_delete_last(said);
	said = lappend(said, one);
	MemoryContextSwitchTo(saved);
}

static void
listen_to_utility(PlannedStmt *pstmt, const char *text, bool read_only_tree, ProcessUtilityContext context,
				  ParamListInfo params, QueryEnvironment *env, DestReceiver *dest, QueryCompletion *completion)
{
	const ConstraintsSetStmt *stmt = IsA(pstmt->utilityStmt, ConstraintsSetStmt) ?
		(const ConstraintsSetStmt *) pstmt->utilityStmt : NULL;

	if (previous_hook)
		previous_hook(pstmt, text, read_only_tree, context, params, env, dest, completion);
	else
		standard_ProcessUtility(pstmt, text, read_only_tree, context, params, env, dest, completion);
	/* COMMIT and its like leave no transaction, and other statements nothing to remember */
	if (stmt)
		remember(stmt);
}

static void
transaction_ended(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		said = NIL;
}

/* What a subtransaction said goes with it, or becomes its parent's. */
static void
subtransaction_ended(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();
	List	   *kept = NIL;
	MemoryContext saved;
	ListCell   *lc;

	if (said == NIL || (event != SUBXACT_EVENT_ABORT_SUB && event != SUBXACT_EVENT_COMMIT_SUB))
		return;
	saved = MemoryContextSwitchTo(TopTransactionContext);
	foreach(lc, said)
	{
		Said	   *one = (Said *) lfirst(lc);

		if (one->level >= level && event == SUBXACT_EVENT_ABORT_SUB)
			continue;
		one->level = Min(one->level, level - 1);
		kept = lappend(kept, one);
	}
	said = kept;
	MemoryContextSwitchTo(saved);
}

void
scim_store_init(void)
{
	previous_hook = ProcessUtility_hook;
	ProcessUtility_hook = listen_to_utility;
	RegisterXactCallback(transaction_ended, NULL);
	RegisterSubXactCallback(subtransaction_ended, NULL);
	scim_append_init();
}

/* Has the caller made it IMMEDIATE, though it is declared as deferred? */
static bool
made_immediate(const RangeVar *constraint)
{
	bool		immediate = false;
	ListCell   *lc;
	ListCell   *name;

	foreach(lc, said)
	{
		const Said *one = (const Said *) lfirst(lc);

		if (one->constraints == NIL)
			immediate = !one->deferred;
		foreach(name, one->constraints)
		{
			const RangeVar *named = lfirst_node(RangeVar, name);

			if (strcmp(named->relname, constraint->relname) == 0 &&
				(named->schemaname == NULL || strcmp(named->schemaname, constraint->schemaname) == 0))
				immediate = !one->deferred;
		}
	}
	return immediate;
}

static bool
has_constraint(const ScimEndpoint *endpoint, const RangeVar *constraint)
{
	for (int i = 0; i < endpoint->ntypes; i++)
		if (list_member(endpoint->types[i].mapping->deferrable, constraint))
			return true;
	return false;
}

void
scim_store_set_constraints(const ScimEndpoint *endpoint, bool immediate, const List *except)
{
	ConstraintsSetStmt *stmt = makeNode(ConstraintsSetStmt);
	ListCell   *lc;
	ListCell   *other;

	for (int i = 0; i < endpoint->ntypes; i++)
		foreach(lc, endpoint->types[i].mapping->deferrable)
		{
			RangeVar   *constraint = lfirst_node(RangeVar, lc);
			bool		kept = !immediate && made_immediate(constraint);

			foreach(other, except)
				kept = kept || has_constraint((const ScimEndpoint *) lfirst(other), constraint);
			if (!kept)
				stmt->constraints = lappend(stmt->constraints, constraint);
		}
	stmt->deferred = !immediate;
	if (stmt->constraints != NIL)
		AfterTriggerSetState(stmt);
}
