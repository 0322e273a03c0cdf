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
#include "catalog/index.h"
#include "catalog/indexing.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "nodes/makefuncs.h"
#include "optimizer/optimizer.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "catalog_mapping.h"

/* Does a source read or write this column of "relid"? */
static bool
source_uses(const ScimMapping *m, const ScimSource *src, Oid relid, AttrNumber attnum)
{
	if ((src->side ? src->side->relid : m->relid) != relid)
		return false;
	if ((src->inner ? src->inner->attnum : src->attnum) == attnum)
		return true;
	for (int i = 0; i < src->nwrites; i++)
		if (src->writes[i].attnum == attnum)
			return true;
	for (int i = 0; src->ref_columns && i < src->ref_columns->n; i++)
		if (src->ref_columns->attnums[i] == attnum)
			return true;
	return false;
}

/* The same of all places that a value goes to. */
static bool
places_use(const ScimMapping *m, const ScimSource *src, Oid relid, AttrNumber attnum)
{
	bool		use = source_uses(m, src, relid, attnum);

	for (int i = 0; i < src->ncopies && !use; i++)
		use = source_uses(m, &src->copies[i], relid, attnum);
	return use;
}

/* Which attribute lives in this column?  NULL: none. */
static const char *
column_attribute(const ScimMapping *m, Oid relid, AttrNumber attnum)
{
	char		buf[256];

	for (int i = 0; i < m->nscalars; i++)
		if (places_use(m, &m->scalars[i].src, relid, attnum))
			return pstrdup(scim_attr_path(m->type, m->scalars[i].attr, buf, sizeof(buf)));
	for (int i = 0; i < m->nslots; i++)
		for (int j = 0; j < m->slots[i].nsubs; j++)
			if (m->slots[i].srcs[j].expr && places_use(m, &m->slots[i].srcs[j], relid, attnum))
				return pstrdup(scim_attr_path(m->type, m->slots[i].attr, buf, sizeof(buf)));
	for (int i = 0; i < m->nchildren; i++)
	{
		const ScimChild *child = &m->children[i];

		if (child->relid != relid || child->kind == SCIM_CHILD_GROUPS)
			continue;
		for (int j = 0; j < child->nsubs; j++)
			if (child->srcs[j].attnum == attnum)
				return pstrdup(scim_attr_path(m->type, child->subs[j] ? child->subs[j] : child->attr, buf, sizeof(buf)));
		for (int j = 0; j < child->refs.n; j++)
			if (child->refs.attnums[j] == attnum)
				return pstrdup(scim_attr_path(m->type, child->attr, buf, sizeof(buf)));
		if (child->store.attnum == attnum)
			return pstrdup(scim_attr_path(m->type, child->attr, buf, sizeof(buf)));
	}
	return NULL;
}

static ScimConstraint *
add_entry(ScimMapping *m, Oid relid, const char *name)
{
	ScimConstraint *c;

	if (m->nconstraints % 16 == 0)
		m->constraints = m->constraints ?
			repalloc(m->constraints, sizeof(ScimConstraint) * (m->nconstraints + 16)) :
			palloc(sizeof(ScimConstraint) * 16);
	c = &m->constraints[m->nconstraints++];
	memset(c, 0, sizeof(*c));
	c->relid = relid;
	c->table_schema = get_namespace_name(get_rel_namespace(relid));
	c->table_name = get_rel_name(relid);
	c->name = pstrdup(name);
	return c;
}

/* The attributes in these columns, each once; NULL: none. */
static const char *
attributes_in(const ScimMapping *m, Oid relid, const Bitmapset *attnums, int *n)
{
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
	*n = list_length(seen);
	return seen ? names.data : NULL;
}

static void
add_constraint(ScimMapping *m, Oid relid, const char *name, Bitmapset *attnums)
{
	int			n;

	add_entry(m, relid, name)->attributes = attributes_in(m, relid, attnums, &n);
}

/* The attribute whose only source is this column, of the mapped relation itself. */
static ScimAttr *
attribute_in_column(const ScimMapping *m, AttrNumber attnum)
{
	for (int i = 0; i < m->nscalars; i++)
		if (m->scalars[i].src.attnum == attnum && m->scalars[i].src.json_path == NULL)
			return m->scalars[i].attr;
	return NULL;
}

/*
 * Does an index keep two resources of one scope from having one value of an
 * attribute?  It does where all its columns are that attribute's or the
 * scope's, and it is about all rows.
 */
static void
note_uniqueness(ScimMapping *m, Relation rel, Relation index, Bitmapset *attnums)
{
	ScimAttr   *attr = NULL;
	int			attnum = -1;

	if (RelationGetRelid(rel) != m->relid || RelationGetIndexPredicate(index) != NIL)
		return;
	while ((attnum = bms_next_member(attnums, attnum)) >= 0)
	{
		const char *name = quote_identifier(NameStr(TupleDescAttr(RelationGetDescr(rel), attnum - 1)->attname));
		bool		is_scope = false;
		ScimAttr   *here;

		for (int i = 0; i < m->nscope && !is_scope; i++)
			is_scope = m->scope_columns[i] && strcmp(m->scope_columns[i], name) == 0;
		if (is_scope)
			continue;
		here = attribute_in_column(m, (AttrNumber) attnum);
		if (here == NULL || (attr && attr != here))
			return;
		attr = here;
	}
	if (attr && attr->type != SCIM_TYPE_BOOLEAN && attr->uniqueness == SCIM_UNIQUE_NONE)
		attr->uniqueness = SCIM_UNIQUE_SERVER;
}

/* Indexes of partitions: their violations are reported as the partition's. */
static void
add_partition_indexes(ScimMapping *m, const ScimConstraint *parent, Oid indexid)
{
	const char *attributes = parent->attributes;
	ListCell   *lc;

	foreach(lc, find_all_inheritors(indexid, NoLock, NULL))
		if (lfirst_oid(lc) != indexid)
		{
			const char *name = get_rel_name(lfirst_oid(lc));
			Oid			relid = IndexGetRelation(lfirst_oid(lc), true);

			/* it may have gone by now */
			if (name && OidIsValid(relid))
				add_entry(m, relid, name)->attributes = attributes;
		}
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
			note_uniqueness(m, rel, index, attnums);
			if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
				add_partition_indexes(m, &m->constraints[m->nconstraints - 1], RelationGetRelid(index));
		}
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
}

/* Columns, by name: what a missing value is about. */
static void
add_columns(ScimMapping *m, Relation rel)
{
	for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
	{
		const char *attribute = column_attribute(m, RelationGetRelid(rel), (AttrNumber) (i + 1));
		ScimConstraint *c;

		if (attribute == NULL)
			continue;
		c = add_entry(m, RelationGetRelid(rel), NameStr(TupleDescAttr(RelationGetDescr(rel), i)->attname));
		c->column = true;
		c->attributes = attribute;
	}
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
	add_columns(m, rel);
	table_close(rel, AccessShareLock);
}


bool
scim_has_foreign_key(Oid relid, AttrNumber attnum, Oid target)
{
	Relation	pg_constraint = table_open(ConstraintRelationId, AccessShareLock);
	ScanKeyData key[1];
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found = false;

	ScanKeyInit(&key[0], Anum_pg_constraint_conrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relid));
	scan = systable_beginscan(pg_constraint, ConstraintRelidTypidNameIndexId, true, NULL, 1, key);
	while (!found && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_constraint con = (Form_pg_constraint) GETSTRUCT(tuple);
		bool		isnull;
		Datum		conkey = heap_getattr(tuple, Anum_pg_constraint_conkey, RelationGetDescr(pg_constraint), &isnull);
		ArrayType  *array;

		if (con->contype != CONSTRAINT_FOREIGN || con->confrelid != target || isnull)
			continue;
		array = DatumGetArrayTypeP(conkey);
		for (int i = 0; i < ARR_DIMS(array)[0]; i++)
			found = found || ((int16 *) ARR_DATA_PTR(array))[i] == attnum;
	}
	systable_endscan(scan);
	table_close(pg_constraint, AccessShareLock);
	return found;
}
