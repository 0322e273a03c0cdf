/*
 * provisioner_attach.c
 *		Which relations a sync or a tracked mapping watches, and the triggers on
 *		them.
 *
 * scim._captures names the relation of the mapping and its child relations,
 * each with the columns whose change matters: those that the mapping's sources
 * and the scope of the sync read, as the parser finds them.  All syncs on a
 * relation share its triggers, which stand on its partitions and
 * inheritance children, too (provisioner_ddl.c puts them on new ones).
 *
 * Where one of these is a foreign table, a trigger with transition tables would
 * make statements fail ("cannot collect transition tuples from child foreign
 * tables"): there a row trigger on each local table takes their place.
 *
 * Triggers are made and removed by OID and as the owner of the extension's
 * tables, after the mapping's owner was seen to have the TRIGGER privilege: so
 * nobody needs a right on scim._capture, and no name is looked up twice.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/bitmapset.h"
#include "nodes/parsenodes.h"
#include "optimizer/optimizer.h"
#include "parser/parse_func.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/rel.h"

#include "provisioner_internal.h"
#include "../catalog/catalog.h"
#include "../compat.h"

typedef struct TriggerKind
{
	const char *name;
	int16		events;
	bool		row;			/* for what the others can't see */
	bool		old_rows;
	bool		new_rows;
} TriggerKind;

static const TriggerKind trigger_kinds[] = {
	{"scim_capture_insert", TRIGGER_TYPE_INSERT, false, false, true},
	{"scim_capture_update", TRIGGER_TYPE_UPDATE, false, true, true},
	{"scim_capture_delete", TRIGGER_TYPE_DELETE, false, true, false},
	{"scim_capture_truncate", TRIGGER_TYPE_TRUNCATE, false, false, false},
	{"scim_capture_row", TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE | TRIGGER_TYPE_DELETE, true, false, false}
};

/* Aliases of catalog_mapping.h: a relation may be a child of itself. */
#define ROOT 0
#define CHILD 1
static const char *const aliases[] = {"r", "c"};

/* A row of scim._captures in the making. */
typedef struct Capture
{
	Oid			relid;
	const char *relation;		/* quoted, qualified */
	List	   *key;			/* names of the columns, in the order of the key */
	List	   *expressions[2];	/* SQL texts that are read, by the alias they are written for */
	bool		all;			/* every column matters */
	Bitmapset  *columns;		/* else these, by attnum */
} Capture;

/* ---- what matters ---- */

static bool
has_triggers(Oid relid)
{
	char		kind = get_rel_relkind(relid);

	return kind == RELKIND_RELATION || kind == RELKIND_PARTITIONED_TABLE;
}

/* Columns of the one relation in FROM that a query reads, wherever in it. */
static void
add_columns(Capture *capture, const char *sql)
{
	SPIPlanPtr	plan = SPI_prepare(sql, 0, NULL);
	CachedPlanSource *source;
	ListCell   *lc;

	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	source = (CachedPlanSource *) linitial(SPI_plan_get_plan_sources(plan));
	foreach(lc, pull_vars_of_level((Node *) linitial_node(Query, source->query_list), 0))
	{
		Var		   *var = lfirst_node(Var, lc);

		/* the row as a whole; or what changes with every version of a row */
		if (var->varattno <= 0)
			capture->all = true;
		else
			capture->columns = bms_add_member(capture->columns, var->varattno);
	}
	SPI_freeplan(plan);
}

static void
add_source(Capture *capture, int alias, const ScimSource *src)
{
	if (src->expr)
		capture->expressions[alias] = lappend(capture->expressions[alias], unconstify(char *, src->expr));
}

/* A quoted column of a child relation; NULL: none. */
static void
add_child_column(Capture *capture, const char *column)
{
	if (column)
		capture->expressions[CHILD] = lappend(capture->expressions[CHILD], psprintf("%s.%s", aliases[CHILD], column));
}

static void
add_child_columns(Capture *capture, const ScimReference *columns)
{
	for (int i = 0; i < columns->n; i++)
		add_child_column(capture, columns->columns[i]);
}

/* The entry of a relation and key in the list, made when it is not there yet. */
static Capture *
find_capture(List **captures, Oid relid, const char *relation, List *key)
{
	Capture    *capture;
	ListCell   *lc;

	foreach(lc, *captures)
	{
		capture = (Capture *) lfirst(lc);
		if (capture->relid == relid && equal(capture->key, key))
			return capture;
	}
	capture = palloc0(sizeof(Capture));
	capture->relid = relid;
	capture->relation = relation;
	capture->key = key;
	*captures = lappend(*captures, capture);
	return capture;
}

/* Names of columns, as String nodes. */
static List *
column_names(Oid relid, const ScimReference *columns)
{
	List	   *names = NIL;

	for (int i = 0; i < columns->n; i++)
		names = lappend(names, makeString(get_attname(relid, columns->attnums[i], false)));
	return names;
}

/* The columns of the key; NIL: it is an expression, which the trigger does not evaluate. */
static List *
key_names(const ScimMapping *mapping)
{
	List	   *names = NIL;

	for (int i = 0; i < mapping->key.n; i++)
	{
		if (mapping->key.parts[i].attnum == 0)
			return NIL;
		names = lappend(names, makeString(get_attname(mapping->relid, mapping->key.parts[i].attnum, false)));
	}
	return names;
}

/* meta.created and its like are not pushed. */
static List *
mapping_captures(const ScimMapping *mapping)
{
	List	   *captures = NIL;
	Capture    *root = find_capture(&captures, mapping->relid, mapping->relation, key_names(mapping));

	for (int i = 0; i < mapping->key.n; i++)
		add_source(root, ROOT, &mapping->key.parts[i]);
	for (int i = 0; i < mapping->nscalars; i++)
		add_source(root, ROOT, &mapping->scalars[i].src);
	for (int i = 0; i < mapping->nslots; i++)
		for (int j = 0; j < mapping->slots[i].nsubs; j++)
			add_source(root, ROOT, &mapping->slots[i].srcs[j]);
	for (int i = 0; i < mapping->nchildren; i++)
	{
		const ScimChild *child = &mapping->children[i];
		Capture    *capture;

		/* the groups of a user are pushed as members of the groups */
		if (child->kind == SCIM_CHILD_GROUPS)
			continue;
		if (child->kind == SCIM_CHILD_INLINE)
		{
			add_source(root, ROOT, &child->store);
			continue;
		}
		capture = find_capture(&captures, child->relid, child->relation,
							   column_names(child->relid, &child->parent));
		add_child_columns(capture, &child->parent);
		add_child_column(capture, child->order);
		add_child_columns(capture, &child->refs);
		for (int j = 0; j < child->nsubs; j++)
			add_source(capture, CHILD, &child->srcs[j]);
		if (child->filter)
			capture->expressions[CHILD] = lappend(capture->expressions[CHILD], unconstify(char *, child->filter));
	}
	/* rows beside the relation's are read through expressions over both */
	for (int i = 0; i < mapping->nsides; i++)
	{
		const ScimSide *side = &mapping->sides[i];

		/* what scim keeps itself changes with what it writes; a row that the
		 * resource's names does not tell which that is: reconciling finds it */
		if (side->by_text || side->by)
			continue;
		find_capture(&captures, side->relid, side->relation,
					 column_names(side->relid, &side->parent))->all = true;
	}
	if (mapping->filter)
		root->expressions[ROOT] = lappend(root->expressions[ROOT], unconstify(char *, mapping->filter));
	return captures;
}

static void
scope_context(void *name)
{
	errcontext("scope of sync \"%s\"", (char *) name);
}

/*
 * One SQL condition over the relation.  As the WHERE of a query, so that it is
 * a boolean and without aggregates.
 */
static void
add_scope(Capture *root, const ScimSync *sync)
{
	ErrorContextCallback callback;

	callback.callback = scope_context;
	callback.arg = unconstify(char *, sync->name);
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	if (!scim_is_single_expression(sync->scope))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the scope is not one SQL expression")));
	add_columns(root, psprintf("SELECT 1 FROM %s %s WHERE (%s\n)", root->relation, aliases[ROOT], sync->scope));
	error_context_stack = callback.previous;
}

static void
add_expressions(Capture *capture, int alias)
{
	StringInfoData sql;
	ListCell   *lc;

	if (capture->expressions[alias] == NIL)
		return;
	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT ");
	foreach(lc, capture->expressions[alias])
		appendStringInfo(&sql, "%s%s", lc == list_head(capture->expressions[alias]) ? "" : ", ", (char *) lfirst(lc));
	appendStringInfo(&sql, " FROM %s %s", capture->relation, aliases[alias]);
	add_columns(capture, sql.data);
}

/* The captures of a sync (NULL: of the mapping), as the mapping's owner sees its relations. */
static List *
describe(const ScimSync *sync, ScimMappingRow *row)
{
	const ScimMapping *mapping = scim_mapping_resolve(row);
	List	   *captures = mapping_captures(mapping);
	MemoryContext caller = CurrentMemoryContext;
	ScimIdentity identity;
	ListCell   *lc;

	memset(&identity, 0, sizeof(identity));
	scim_identity_assume(&identity, row->owner, false);
	if (sync && sync->scope)
		add_scope((Capture *) linitial(captures), sync);
	foreach(lc, captures)
	{
		Capture    *capture = (Capture *) lfirst(lc);

		for (int alias = 0; alias < lengthof(aliases); alias++)
			add_expressions(capture, alias);
	}
	scim_identity_close_gucs(&identity);
	scim_identity_restore(&identity);
	MemoryContextSwitchTo(caller);
	return captures;
}

/* ---- triggers ---- */

static Oid
capture_function(void)
{
	return LookupFuncName(list_make2(makeString("scim"), makeString("_capture")), 0, NULL, false);
}

/* Does a subscription write to a table, or to what it is a partition of? */
static bool
is_replicated(Oid relid)
{
	Oid			types[1] = {OIDOID};
	Datum		values[1];

	values[0] = ObjectIdGetDatum(relid);
	if (scim_own_execute("replicated",
						 "WITH RECURSIVE part (relation) AS (VALUES ($1)"
						 " UNION SELECT i.inhparent FROM pg_catalog.pg_inherits i, part p"
						 " WHERE i.inhrelid OPERATOR(pg_catalog.=) p.relation)"
						 " SELECT 1 FROM pg_catalog.pg_subscription_rel s"
						 " WHERE s.srrelid OPERATOR(pg_catalog.=) ANY (SELECT p.relation FROM part p)",
						 1, types, values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read pg_subscription_rel");
	return SPI_processed > 0;
}

bool
scim_capture_by_row(Oid relid)
{
	Oid			types[1] = {OIDOID};
	Datum		values[1];

	values[0] = ObjectIdGetDatum(relid);
	if (scim_own_execute("foreign part",
						 "WITH RECURSIVE up (relation) AS (VALUES ($1)"
						 " UNION SELECT i.inhparent FROM pg_catalog.pg_inherits i, up u"
						 " WHERE i.inhrelid OPERATOR(pg_catalog.=) u.relation),"
						 " tree (relation) AS (SELECT u.relation FROM up u"
						 " UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i, tree t"
						 " WHERE i.inhparent OPERATOR(pg_catalog.=) t.relation)"
						 " SELECT 1 FROM tree t JOIN pg_catalog.pg_class r ON r.oid OPERATOR(pg_catalog.=) t.relation"
						 " WHERE r.relkind OPERATOR(pg_catalog.=) 'f'",
						 1, types, values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read pg_inherits");
	return SPI_processed > 0;
}

/* What to do about the triggers of a relation, by kind. */
typedef struct TriggerPlan
{
	bool		put[lengthof(trigger_kinds)];
	Oid			drop[lengthof(trigger_kinds)];
	bool		always;			/* the row trigger is there for replication only */
} TriggerPlan;

/* false: nothing is to be done. */
static bool
plan_triggers(Oid relid, bool by_row, TriggerPlan *plan)
{
	Relation	rel = table_open(relid, AccessShareLock);
	Oid			function = capture_function();
	bool		any = false;

	memset(plan, 0, sizeof(*plan));
	for (int kind = 0; kind < lengthof(trigger_kinds); kind++)
	{
		const Trigger *there = NULL;
		bool		wanted;

		for (int i = 0; rel->trigdesc && i < rel->trigdesc->numtriggers; i++)
			if (rel->trigdesc->triggers[i].tgfoid == function &&
				strcmp(rel->trigdesc->triggers[i].tgname, trigger_kinds[kind].name) == 0)
				there = &rel->trigdesc->triggers[i];
		if (trigger_kinds[kind].row)
			wanted = rel->rd_rel->relkind == RELKIND_RELATION && (by_row || is_replicated(relid));
		else
			wanted = !by_row || trigger_kinds[kind].events == TRIGGER_TYPE_TRUNCATE;
		plan->put[kind] = wanted && there == NULL;
		plan->drop[kind] = !wanted && there ? there->tgoid : InvalidOid;
		if (wanted && there && trigger_kinds[kind].row && by_row && there->tgenabled == TRIGGER_FIRES_ON_REPLICA)
			plan->always = true;
		any = any || plan->put[kind] || OidIsValid(plan->drop[kind]) || plan->always;
	}
	table_close(rel, NoLock);
	return any;
}

static void
put_trigger(Oid relid, const TriggerKind *kind)
{
	CreateTrigStmt *stmt = makeNode(CreateTrigStmt);

	stmt->trigname = pstrdup(kind->name);
	stmt->funcname = list_make2(makeString("scim"), makeString("_capture"));
	stmt->row = kind->row;
	stmt->timing = TRIGGER_TYPE_AFTER;
	stmt->events = kind->events;
	for (int is_new = 0; is_new < 2; is_new++)
		if (is_new ? kind->new_rows : kind->old_rows)
		{
			TriggerTransition *transition = makeNode(TriggerTransition);

			transition->name = is_new ? "new_rows" : "old_rows";
			transition->isNew = is_new;
			transition->isTable = true;
			stmt->transitionRels = lappend(stmt->transitionRels, transition);
		}
	(void) CreateTrigger(stmt, NULL, relid, InvalidOid, InvalidOid, InvalidOid, capture_function(), InvalidOid,
						 NULL, false, false);
}

/* Let a trigger fire for what replication applies, too ('A') or only ('R'). */
static void
set_firing(Oid relid, const char *name, char when)
{
	Relation	rel = table_open(relid, ShareRowExclusiveLock);

	CommandCounterIncrement();
	scim_trigger_fires(rel, name, when);
	table_close(rel, NoLock);
}

/* The strongest lock that carrying out a plan needs. */
static LOCKMODE
plan_lock(const TriggerPlan *plan)
{
	for (int kind = 0; kind < lengthof(trigger_kinds); kind++)
		if (OidIsValid(plan->drop[kind]))
			return AccessExclusiveLock;
	return ShareRowExclusiveLock;
}

void
scim_capture_put_triggers(Oid relid, bool by_row)
{
	TriggerPlan plan;
	Oid			saved_user;
	int			saved_context;

	if (!plan_triggers(relid, by_row, &plan))
		return;
	/* what is there may have changed while we waited */
	LockRelationOid(relid, plan_lock(&plan));
	(void) plan_triggers(relid, by_row, &plan);

	GetUserIdAndSecContext(&saved_user, &saved_context);
	SetUserIdAndSecContext(scim_own_role(), saved_context | SECURITY_LOCAL_USERID_CHANGE);
	for (int kind = 0; kind < lengthof(trigger_kinds); kind++)
	{
		if (OidIsValid(plan.drop[kind]))
		{
			ObjectAddress address;

			ObjectAddressSet(address, TriggerRelationId, plan.drop[kind]);
			performDeletion(&address, DROP_RESTRICT, 0);
		}
		if (plan.put[kind])
			put_trigger(relid, &trigger_kinds[kind]);
		if (trigger_kinds[kind].row && (plan.put[kind] || plan.always))
		{
			set_firing(relid, trigger_kinds[kind].name, by_row ? TRIGGER_FIRES_ALWAYS : TRIGGER_FIRES_ON_REPLICA);
			set_firing(relid, "scim_capture_truncate", TRIGGER_FIRES_ALWAYS);
		}
	}
	SetUserIdAndSecContext(saved_user, saved_context);
	CommandCounterIncrement();
}

static void
not_captured(const ScimSync *sync, const char *relation)
{
	ereport(NOTICE,
			(errmsg("changes of %s are not captured", relation),
			 errdetail("Only a table whose key is columns has triggers that see its rows.%s", sync ? " Changes are pushed when the sync reconciles." : "")));
}

/*
 * The lock is needed also where the triggers are there already: a transaction
 * that wrote before it knew of this sync has to end before the sync begins.
 */
static void
put_triggers_on_tree(const ScimSync *sync, Oid relid, bool notice)
{
	bool		by_row;
	ListCell   *lc;
	List	   *relids;

	LockRelationOid(relid, ShareRowExclusiveLock);
	relids = find_all_inheritors(relid, ShareRowExclusiveLock, NULL);
	by_row = scim_capture_by_row(relid);
	foreach(lc, relids)
	{
		if (has_triggers(lfirst_oid(lc)))
			scim_capture_put_triggers(lfirst_oid(lc), by_row);
		else if (notice)
			not_captured(sync, quote_qualified_identifier(get_namespace_name(get_rel_namespace(lfirst_oid(lc))),
														  get_rel_name(lfirst_oid(lc))));
	}
}

/* The names of the columns, or the Datum 0 for all. */
static Datum
column_array(const Capture *capture)
{
	Datum	   *names;
	int			n = 0;
	int			attnum = -1;

	if (capture->all)
		return (Datum) 0;
	names = palloc(sizeof(Datum) * Max(bms_num_members(capture->columns), 1));
	while ((attnum = bms_next_member(capture->columns, attnum)) >= 0)
		names[n++] = CStringGetTextDatum(get_attname(capture->relid, attnum, false));
	return PointerGetDatum(construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT));
}

static Datum
name_array(List *strings)
{
	Datum	   *names = palloc(sizeof(Datum) * Max(list_length(strings), 1));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, strings)
		names[n++] = CStringGetTextDatum(strVal(lfirst(lc)));
	return PointerGetDatum(construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT));
}

static void
write_capture(const ScimSync *sync, const ScimMappingRow *row, const Capture *capture)
{
	Oid			types[5] = {INT8OID, INT8OID, OIDOID, TEXTARRAYOID, TEXTARRAYOID};
	Datum		values[5];
	char		nulls[6] = "     ";

	values[0] = Int64GetDatum(sync ? sync->id : 0);
	values[1] = Int64GetDatum(row->id);
	nulls[sync ? 1 : 0] = 'n';
	values[2] = ObjectIdGetDatum(capture->relid);
	values[3] = name_array(capture->key);
	values[4] = column_array(capture);
	if (values[4] == (Datum) 0)
		nulls[4] = 'n';
	if (scim_own_execute("create capture",
						 "INSERT INTO scim._captures (sync_id, mapping_id, relation, key_columns, columns)"
						 " VALUES ($1, $2, $3::pg_catalog.regclass, $4, $5)",
						 5, types, values, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write scim._captures");
}

void
scim_capture_forget(const ScimSync *sync, const ScimMappingRow *row)
{
	Oid			types[1] = {INT8OID};
	Datum		values[1];

	values[0] = Int64GetDatum(sync ? sync->id : row->id);
	if (scim_own_execute(sync ? "drop captures of sync" : "drop captures of mapping",
						 sync ? "DELETE FROM scim._captures WHERE sync_id OPERATOR(pg_catalog.=) $1" :
						 "DELETE FROM scim._captures WHERE mapping_id OPERATOR(pg_catalog.=) $1",
						 1, types, values, NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "could not write scim._captures");
}

void
scim_capture_attach(const ScimSync *sync, ScimMappingRow *row, bool notice)
{
	List	   *captures = describe(sync, row);
	ListCell   *lc;

	scim_capture_forget(sync, row);
	foreach(lc, captures)
	{
		Capture    *capture = (Capture *) lfirst(lc);

		if (!has_triggers(capture->relid) || capture->key == NIL)
		{
			if (notice)
				not_captured(sync, capture->relation);
		}
		else
		{
			if (pg_class_aclcheck(capture->relid, row->owner, ACL_TRIGGER) != ACLCHECK_OK)
				ereport(ERROR,
						(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						 errmsg("role \"%s\" may not create triggers on table %s", GetUserNameFromId(row->owner, true), capture->relation),
						 errhint("GRANT TRIGGER ON %s TO %s;", capture->relation,
								 quote_identifier(GetUserNameFromId(row->owner, true)))));
			put_triggers_on_tree(sync, capture->relid, notice);
		}
		write_capture(sync, row, capture);
	}
	CommandCounterIncrement();
}

void
scim_capture_detach_unused(void)
{
	SPITupleTable *table;
	uint64		n;

	CommandCounterIncrement();
	if (scim_own_execute("unused triggers",
						 "WITH RECURSIVE watched (relation) AS (SELECT c.relation::pg_catalog.oid FROM scim._captures c"
						 " UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i, watched w"
						 " WHERE i.inhparent OPERATOR(pg_catalog.=) w.relation)"
						 " SELECT g.oid FROM pg_catalog.pg_trigger g"
						 " WHERE g.tgfoid OPERATOR(pg_catalog.=) 'scim._capture'::pg_catalog.regproc"
						 " AND NOT EXISTS (SELECT 1 FROM watched w WHERE w.relation OPERATOR(pg_catalog.=) g.tgrelid)"
						 " ORDER BY g.tgrelid, g.oid",
						 0, NULL, NULL, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read pg_trigger");
	table = SPI_tuptable;
	n = SPI_processed;
	for (uint64 i = 0; i < n; i++)
	{
		ObjectAddress address;
		bool		isnull;

		ObjectAddressSet(address, TriggerRelationId,
						 DatumGetObjectId(SPI_getbinval(table->vals[i], table->tupdesc, 1, &isnull)));
		performDeletion(&address, DROP_RESTRICT, 0);
	}
}
