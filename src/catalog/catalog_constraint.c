/*
 * catalog_constraint.c
 *		Which attributes a constraint or a column of a mapped relation is about.
 *
 * An error of the server names a constraint; a client has to hear of an
 * attribute.  This is looked up when a mapping is compiled, because the error
 * is translated after its transaction is gone.  Deferred constraints are noted
 * by name, for scim.handle.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_index.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "catalog_mapping.h"

/* Which attribute lives in this column?  NULL: none. */
static const char *
column_attribute(const ScimMapping *m, Oid relid, AttrNumber attnum)
{
	char		buf[256];

	for (int i = 0; relid == m->relid && i < m->nscalars; i++)
		if (m->scalars[i].src.attnum == attnum)
			return pstrdup(scim_attr_path(m->type, m->scalars[i].attr, buf, sizeof(buf)));
	for (int i = 0; relid == m->relid && i < m->nslots; i++)
		for (int j = 0; j < m->slots[i].nsubs; j++)
			if (m->slots[i].srcs[j].attnum == attnum)
				return pstrdup(scim_attr_path(m->type, m->slots[i].attr, buf, sizeof(buf)));
	for (int i = 0; i < m->nchildren; i++)
	{
		const ScimChild *child = &m->children[i];

		if (child->relid != relid || child->kind == SCIM_CHILD_GROUPS)
			continue;
		for (int j = 0; j < child->nsubs; j++)
			if (child->srcs[j].attnum == attnum)
				return pstrdup(scim_attr_path(m->type, child->subs[j] ? child->subs[j] : child->attr, buf, sizeof(buf)));
		if (child->ref.attnum == attnum)
			return pstrdup(scim_attr_path(m->type, child->attr, buf, sizeof(buf)));
	}
	return NULL;
}

static void
add_constraint(ScimMapping *m, Oid relid, const char *name, Bitmapset *attnums)
{
	ScimConstraint *c;
	StringInfoData names;
	int			attnum = -1;
	List	   *seen = NIL;
	ListCell   *lc;

	initStringInfo(&names);
	while ((attnum = bms_next_member(attnums, attnum)) >= 0)
	{
		const char *path = column_attribute(m, relid, (AttrNumber) attnum);
		bool		known = path == NULL;

		foreach(lc, seen)
			known = known || strcmp((char *) lfirst(lc), path) == 0;
		if (known)
			continue;
		appendStringInfo(&names, "%s%s", seen == NIL ? "" : ", ", path);
		seen = lappend(seen, unconstify(char *, path));
	}
	if (m->nconstraints % 16 == 0)
		m->constraints = m->constraints ?
			repalloc(m->constraints, sizeof(ScimConstraint) * (m->nconstraints + 16)) :
			palloc(sizeof(ScimConstraint) * 16);
	c = &m->constraints[m->nconstraints++];
	c->relid = relid;
	c->table_schema = get_namespace_name(get_rel_namespace(relid));
	c->table_name = get_rel_name(relid);
	c->name = pstrdup(name);
	c->attributes = seen ? names.data : NULL;
}

/* Unique indexes of a relation, their columns and the ones in expressions. */
static void
add_unique_indexes(ScimMapping *m, Relation rel)
{
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *lc;

	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		Form_pg_index form = index->rd_index;
		Bitmapset  *attnums = NULL;

		if (form->indisunique)
		{
			Bitmapset  *in_expressions = NULL;
			int			member = -1;

			for (int i = 0; i < form->indnkeyatts; i++)
				if (form->indkey.values[i] > 0)
					attnums = bms_add_member(attnums, form->indkey.values[i]);
			pull_varattnos((Node *) RelationGetIndexExpressions(index), 1, &in_expressions);
			while ((member = bms_next_member(in_expressions, member)) >= 0)
				if (member + FirstLowInvalidHeapAttributeNumber > 0)
					attnums = bms_add_member(attnums, member + FirstLowInvalidHeapAttributeNumber);
			add_constraint(m, RelationGetRelid(rel), RelationGetRelationName(index), attnums);
		}
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
}

/* Constraints of a relation; deferrable ones by name. */
static void
add_constraints(ScimMapping *m, Relation rel)
{
	Relation	pg_constraint = table_open(ConstraintRelationId, AccessShareLock);
	ScanKeyData key[1];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key[0], Anum_pg_constraint_conrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(RelationGetRelid(rel)));
	scan = systable_beginscan(pg_constraint, ConstraintRelidTypidNameIndexId, true, NULL, 1, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_constraint con = (Form_pg_constraint) GETSTRUCT(tuple);
		bool		isnull;
		Datum		conkey = heap_getattr(tuple, Anum_pg_constraint_conkey, RelationGetDescr(pg_constraint), &isnull);
		Bitmapset  *attnums = NULL;

		if (!isnull)
		{
			ArrayType  *array = DatumGetArrayTypeP(conkey);
			int16	   *values = (int16 *) ARR_DATA_PTR(array);

			for (int i = 0; i < ARR_DIMS(array)[0]; i++)
				if (values[i] > 0)
					attnums = bms_add_member(attnums, values[i]);
		}
		if (con->contype != CONSTRAINT_PRIMARY && con->contype != CONSTRAINT_UNIQUE)
			add_constraint(m, RelationGetRelid(rel), NameStr(con->conname), attnums);
		if (con->condeferrable && con->condeferred)
			m->deferrable = lappend(m->deferrable,
									makeRangeVar(get_namespace_name(con->connamespace), pstrdup(NameStr(con->conname)), -1));
	}
	systable_endscan(scan);
	table_close(pg_constraint, AccessShareLock);
}

void
scim_mapping_describe_relation(ScimMapping *m, Oid relid)
{
	Relation	rel;

	for (int i = 0; i < m->nconstraints; i++)
		if (m->constraints[i].relid == relid)
			return;
	rel = table_open(relid, AccessShareLock);
	add_unique_indexes(m, rel);
	add_constraints(m, rel);
	if (relid == m->relid)
	{
		m->ncolumns = RelationGetNumberOfAttributes(rel);
		m->column_names = palloc0(sizeof(char *) * m->ncolumns);
		m->column_attrs = palloc0(sizeof(char *) * m->ncolumns);
		for (int i = 0; i < m->ncolumns; i++)
		{
			m->column_names[i] = pstrdup(NameStr(TupleDescAttr(RelationGetDescr(rel), i)->attname));
			m->column_attrs[i] = column_attribute(m, relid, (AttrNumber) (i + 1));
		}
	}
	table_close(rel, AccessShareLock);
}

