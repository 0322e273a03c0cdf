/*
 * store_insert.c
 *		New rows without a statement: of child relations, and of the resource.
 *
 * A statement for each multi-valued attribute costs more than its rows: it
 * opens the table and its indexes again, prepares their expressions and the
 * table's constraints again.  So where nothing happens at an INSERT but what a
 * table does by itself (defaults, constraints, indexes), the values of all
 * attributes that lie in one table are inserted together (store_append.c).
 *
 * All these rows have the same parent, so its foreign key is checked once, for
 * the first of them, and not at all where the parent was inserted just before
 * and nothing but scim has run since.  (The check is a statement of the server's,
 * whose plan is that of an empty table in a session that began with one.)
 *
 * What makes a statement more than that is left to one: triggers, row security,
 * rules, partitions, generated columns, columns that have to be cast,
 * privileges on columns only, other foreign keys, a module that looks at
 * privileges itself.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "store_append.h"
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
	Oid			parent_type;
	int			nfixed;
	FixedColumn *fixed;
	Oid		   *types;			/* of the column of each sub-attribute */
} RowMaker;

/* Of a mapping; made at the first use. */
typedef struct ScimInserts
{
	RowMaker   *children;		/* one for each child relation */
	/* what scim itself does, by triggers of statements: */
	Oid			appeared;		/* where rows come with a key that was named before */
	Oid			noting;			/* where the growth of the table is noted */
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

static void
prepare_child(const ScimMapping *m, const ScimChild *child, RowMaker *maker)
{
	Relation	rel;

	if (!scim_key_is_column(&m->key) || child->kind != SCIM_CHILD_VALUES || child->ninserts > 0 || child->order_is_given)
		return;
	rel = table_open(child->relid, AccessShareLock);
	maker->parent = child->parent.attnums[0];
	maker->usable = scim_table_takes_text(RelationGetDescr(rel), maker->parent, &maker->parent_type) &&
		maker->parent_type == m->key.id.typid && prepare_fixed(m, child, rel, maker) && prepare_values(child, rel, maker);
	table_close(rel, NoLock);
}

/* The function of scim's own trigger with this name, if the table has it. */
static Oid
find_own(const TriggerDesc *triggers, const char *own)
{
	for (int i = 0; triggers && i < triggers->numtriggers; i++)
	{
		Oid			function = triggers->triggers[i].tgfoid;
		char	   *name = get_func_name(function);

		if (name && strcmp(name, own) == 0 && get_func_namespace(function) == get_namespace_oid("scim", false))
			return function;
	}
	return InvalidOid;
}

static ScimInserts *
inserts_of(const ScimMapping *m)
{
	ScimStoreState *state = scim_store_state(m);
	MemoryContext context;
	MemoryContext saved;
	ScimInserts *inserts;
	Relation	rel;

	if (state->inserts)
		return state->inserts;
	context = AllocSetContextCreate(state->context, "scim inserts", ALLOCSET_SMALL_SIZES);
	saved = MemoryContextSwitchTo(context);
	inserts = palloc0(sizeof(ScimInserts));
	inserts->children = palloc0(sizeof(RowMaker) * Max(m->nchildren, 1));
	for (int i = 0; i < m->nchildren; i++)
		prepare_child(m, &m->children[i], &inserts->children[i]);
	rel = table_open(m->relid, AccessShareLock);
	inserts->appeared = find_own(rel->trigdesc, "_member_appeared");
	inserts->noting = find_own(rel->trigdesc, "_note_growth");
	table_close(rel, NoLock);
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
refers_to_parent(const ScimMapping *m, Relation rel, const RowMaker *maker)
{
	ListCell   *lc;

	foreach(lc, RelationGetFKeyList(rel))
	{
		ForeignKeyCacheInfo *key = lfirst_node(ForeignKeyCacheInfo, lc);

		if (key->confrelid != m->relid)
			return false;
		for (int i = 0; i < key->nkeys; i++)
			if (!is_fixed(maker, key->conkey[i]))
				return false;
	}
	return true;
}

/* Are the columns still what they were taken for? */
static bool
still_fits(const ScimChild *child, const RowMaker *maker, TupleDesc desc)
{
	if (!maker->usable)
		return false;
	if (!scim_table_stores(desc, maker->parent, maker->parent_type))
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

	if (ExecutorCheckPerms_hook != NULL || XactReadOnly || !scim_append_can(rel) || scim_append_has_triggers(rel->trigdesc) ||
		pg_class_aclcheck(RelationGetRelid(rel), GetUserId(), ACL_INSERT) != ACLCHECK_OK)
		return false;
	for (int i = 0; i < n; i++)
	{
		const RowMaker *maker = &makers[fresh[i].child - m->children];

		if (!still_fits(fresh[i].child, maker, RelationGetDescr(rel)) || !refers_to_parent(m, rel, maker))
			return false;
	}
	return true;
}

/* ---- inserting ---- */

static void
set_text(ScimAppend *append, AttrNumber attnum, Oid type, const char *text)
{
	scim_append_set(append, attnum, text ? scim_table_datum(type, text) : (Datum) 0, text == NULL);
}

/* The rows of one child relation. */
static void
insert_child(const ScimEndpointType *target, Datum parent, const RowMaker *maker, const ScimChildRows *fresh, ScimAppend *append)
{
	const ScimMapping *m = target->mapping;
	const ScimChild *child = fresh->child;
	const char ***texts = palloc0(sizeof(char **) * Max(child->nsubs, 1));
	Datum	   *fixed = palloc(sizeof(Datum) * Max(maker->nfixed, 1));

	for (int k = 0; k < maker->nfixed; k++)
	{
		const FixedColumn *column = &maker->fixed[k];

		fixed[k] = column->scope >= 0 ? scim_table_datum(column->type, target->scope[column->scope]) : column->value;
	}
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
		scim_append_set(append, maker->parent, parent, false);
		for (int k = 0; k < maker->nfixed; k++)
			scim_append_set(append, maker->fixed[k].attnum, fixed[k], false);
		for (int j = 0; j < child->nsubs; j++)
			if (texts[j])
				set_text(append, child->srcs[j].attnum, maker->types[j], texts[j][i]);
		scim_append_row(append);
	}
}

bool
scim_store_insert_rows(const ScimChange *change, const char *id, const ScimChildRows *fresh, int n)
{
	const ScimEndpointType *target = change->target;
	const ScimMapping *m = target->mapping;
	const RowMaker *makers = inserts_of(m)->children;
	Relation	rel = table_open(fresh->child->relid, RowExclusiveLock);
	bool		can = can_insert(m, rel, fresh, n);

	if (can)
	{
		/* a foreign key to a row that this transaction has just inserted holds; else once is enough */
		ScimAppend *append = scim_append_begin(rel, change->fresh ? SCIM_FIRE_NONE : SCIM_FIRE_FIRST);
		Datum		parent = scim_table_datum(m->key.id.typid, id);

		for (int i = 0; i < n; i++)
			insert_child(target, parent, &makers[fresh[i].child - m->children], &fresh[i], append);
		scim_append_end(append);
	}
	/* as a statement would, keep the lock on the table to the end */
	table_close(rel, NoLock);
	return can;
}

/* ---- the resource's row ---- */

/*
 * Does anything happen at an INSERT of one row but what the executor's function
 * for one does: foreign keys, triggers after the row?  *others: of these, other
 * than scim's own.
 */
static bool
has_more_triggers(const TriggerDesc *triggers, const ScimInserts *inserts, bool *others)
{
	*others = false;
	for (int i = 0; triggers && i < triggers->numtriggers; i++)
	{
		const Trigger *trigger = &triggers->triggers[i];

		if (!TRIGGER_FOR_INSERT(trigger->tgtype) || trigger->tgfoid == inserts->appeared || trigger->tgfoid == inserts->noting ||
			(trigger->tgisinternal && RI_FKey_trigger_type(trigger->tgfoid) == RI_TRIGGER_FK))
			continue;
		if (!TRIGGER_FOR_ROW(trigger->tgtype) || !TRIGGER_FOR_AFTER(trigger->tgtype) || trigger->tgnewtable != NULL)
			return true;
		*others = *others || get_func_namespace(trigger->tgfoid) != get_namespace_oid("scim", false);
	}
	return false;
}

/* May the current user insert a row with these columns, and see its key, without a statement? */
static bool
can_insert_parent(const ScimMapping *m, const ScimInserts *inserts, Relation rel, const ScimColumns *list, bool *others)
{
	TupleDesc	desc = RelationGetDescr(rel);
	Oid			relid = RelationGetRelid(rel);
	Oid			type;

	if (ExecutorCheckPerms_hook != NULL || XactReadOnly || !scim_key_is_column(&m->key) ||
		!scim_append_can(rel) || has_more_triggers(rel->trigdesc, inserts, others) ||
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
scim_store_insert_row(const ScimEndpointType *target, const ScimColumns *list, bool *others, char **version)
{
	const ScimMapping *m = target->mapping;
	Relation	rel;
	char	   *id = NULL;
	AttrNumber	noted;
	Datum		tenant = (Datum) 0;
	Datum		value;

	*version = NULL;
	if (list->over_row)
		return NULL;
	rel = table_open(m->relid, RowExclusiveLock);
	if (can_insert_parent(m, inserts_of(m), rel, list, others))
	{
		ScimAppend *append = scim_append_begin(rel, SCIM_FIRE_ALL);

		for (int i = 0; i < list->n; i++)
		{
			const ScimColumnItem *item = &list->items[i];

			set_text(append, item->attnum, TupleDescAttr(RelationGetDescr(rel), item->attnum - 1)->atttypid, item->text);
		}
		scim_append_row(append);
		if (scim_append_value(append, m->key.id.attnum, &value))
			id = scim_store_datum_text(&m->key.id, value);
		if (m->version && m->version->column && m->version->side == NULL && scim_append_value(append, m->version->attnum, &value))
			*version = scim_store_datum_text(m->version, value);
		noted = OidIsValid(inserts_of(m)->noting) ? scim_growth_noted(rel) : InvalidAttrNumber;
		if (AttributeNumberIsValid(noted))
			(void) scim_append_value(append, noted, &tenant);
		scim_append_end(append);
		if (id == NULL)
			scim_store_no_key(m);
		if (AttributeNumberIsValid(noted))
			scim_growth_inserted(rel, tenant);
	}
	table_close(rel, NoLock);
	return id;
}
