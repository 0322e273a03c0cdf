/*
 * catalog_mapping_check.c
 *		scim.check_mapping: what will go wrong with a mapping, before it does.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/resowner.h"
#include "utils/tuplestore.h"

#include "catalog.h"
#include "catalog_mapping.h"
#include "../compat.h"

PG_FUNCTION_INFO_V1(scim_check_mapping);

typedef struct Check
{
	const ScimMapping *m;
	Oid			owner;
	bool		scoped;			/* an endpoint gives it to one tenant of several */
	ReturnSetInfo *result;
} Check;

/* error: requests will fail; warning: they will do what nobody expects; notice: good to know. */
static void
report(Check *check, const char *severity, const char *subject, const char *problem, const char *hint)
{
	Datum		values[4];
	bool		nulls[4] = {false, false, false, hint == NULL};

	values[0] = CStringGetTextDatum(severity);
	values[1] = CStringGetTextDatum(subject);
	values[2] = CStringGetTextDatum(problem);
	values[3] = hint ? CStringGetTextDatum(hint) : (Datum) 0;
	tuplestore_putvalues(check->result->setResult, check->result->setDesc, values, nulls);
}

static const char *
path_of(const ScimMapping *m, const ScimAttr *attr)
{
	char		path[256];

	return pstrdup(scim_attr_path(m->type, attr, path, sizeof(path)));
}

/* ---- rights ---- */

static void
check_rights(Check *check, Oid relid, AclMode needed, const char *what)
{
	AclMode		missing = needed & ~pg_class_aclmask(relid, check->owner, needed, ACLMASK_ALL);
	Oid			namespace = get_rel_namespace(relid);
	const char *role = quote_identifier(GetUserNameFromId(check->owner, true));
	StringInfoData rights;

	if (scim_schema_aclcheck(namespace, check->owner, ACL_USAGE) != ACLCHECK_OK)
		report(check, "error", what, psprintf("role %s may not use schema \"%s\"", role, get_namespace_name(namespace)),
			   psprintf("GRANT USAGE ON SCHEMA %s TO %s;", quote_identifier(get_namespace_name(namespace)), role));
	if (missing == 0)
		return;
	initStringInfo(&rights);
	if (missing & ACL_SELECT)
		appendStringInfoString(&rights, ", SELECT");
	if (missing & ACL_INSERT)
		appendStringInfoString(&rights, ", INSERT");
	if (missing & ACL_UPDATE)
		appendStringInfoString(&rights, ", UPDATE");
	if (missing & ACL_DELETE)
		appendStringInfoString(&rights, ", DELETE");
	report(check, "error", what, psprintf("role %s lacks rights on %s", role, scim_qualified_relation(relid)),
		   psprintf("GRANT %s ON %s TO %s;", rights.data + 2, scim_qualified_relation(relid), role));
}

static void
check_all_rights(Check *check)
{
	const ScimMapping *m = check->m;
	const AclMode all = ACL_SELECT | ACL_INSERT | ACL_UPDATE | ACL_DELETE;

	check_rights(check, m->relid, m->delete_policy <= SCIM_DELETE_CASCADE && !m->membership ? all : all & ~ACL_DELETE, "relation");
	for (int i = 0; i < m->nchildren; i++)
		if (m->children[i].kind != SCIM_CHILD_GROUPS && m->children[i].relid != m->relid)
			check_rights(check, m->children[i].relid, m->children[i].by_column ? ACL_SELECT | ACL_UPDATE : ACL_SELECT | ACL_INSERT | ACL_DELETE,
						 path_of(m, m->children[i].attr));
	for (int i = 0; i < m->nsides; i++)
		if (&m->sides[i] != m->state)
			check_rights(check, m->sides[i].relid, ACL_SELECT | ACL_INSERT | ACL_UPDATE, m->sides[i].relation);
	if (m->membership)
		check_rights(check, m->membership->relid, ACL_SELECT | ACL_INSERT | ACL_DELETE, "membership");
}

/* ---- new rows ---- */

static bool
is_given(const ScimMapping *m, AttrNumber attnum, const char *column)
{
	for (int i = 0; i < m->nscope; i++)
		if (m->scope_columns[i] && strcmp(m->scope_columns[i], column) == 0)
			return true;
	for (int i = 0; i < m->ninserts; i++)
		if (m->inserts[i].attnum == attnum)
			return true;
	for (int i = 0; i < m->nscalars; i++)
	{
		const ScimSource *src = &m->scalars[i].src;

		if (src->side)
			continue;
		if (src->column && src->attnum == attnum)
			return true;
		for (int j = 0; j < src->nwrites; j++)
			if (src->writes[j].attnum == attnum)
				return true;
	}
	for (int i = 0; i < m->nslots; i++)
		for (int j = 0; j < m->slots[i].nsubs; j++)
			if (m->slots[i].srcs[j].column && m->slots[i].srcs[j].attnum == attnum && !m->slots[i].srcs[j].side)
				return true;
	for (int i = 0; i < m->nchildren; i++)
		if (m->children[i].kind == SCIM_CHILD_INLINE && m->children[i].store.attnum == attnum)
			return true;
	for (int i = 0; i < m->nsides; i++)
		if (m->sides[i].by && m->sides[i].by_attnum == attnum)
			return true;
	return (m->created && m->created->attnum == attnum) || (m->last_modified && m->last_modified->attnum == attnum) ||
		(m->version && m->version->attnum == attnum);
}

/* A primary key of one column whose default does not differ from row to row. */
static void
check_default(Check *check, Relation rel, AttrNumber attnum, const char *subject, const char *column)
{
	Bitmapset  *key = RelationGetIndexAttrBitmap(rel, INDEX_ATTR_BITMAP_PRIMARY_KEY);
	Node	   *value;

	if (!TupleDescAttr(RelationGetDescr(rel), attnum - 1)->atthasdef || bms_membership(key) != BMS_SINGLETON ||
		!bms_is_member(attnum - FirstLowInvalidHeapAttributeNumber, key))
		return;
	value = build_column_default(rel, attnum);
	if (value && !contain_volatile_functions(value))
		report(check, "warning", subject, psprintf("the default of its key %s is the same for all new rows", column),
			   psprintf("\"insert\": {\"%s\": \"expression\"}", NameStr(TupleDescAttr(RelationGetDescr(rel), attnum - 1)->attname)));
}

/* Columns that refuse null and that nothing fills. */
static void
check_new_rows(Check *check)
{
	const ScimMapping *m = check->m;
	Relation	rel = table_open(m->relid, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		const char *column = quote_identifier(NameStr(att->attname));

		if (att->attisdropped || !att->attnotnull || att->attidentity || is_given(m, i + 1, column))
			continue;
		if (att->atthasdef)
		{
			check_default(check, rel, i + 1, "id", column);
			continue;
		}
		if (scim_key_has_column(&m->key, i + 1))
			report(check, "error", "id", psprintf("nothing gives a new row its key %s", column),
				   "Give the column a default, or map the attribute that it is.");
		else
			report(check, "error", "relation", psprintf("column %s takes no null, has no default, and no attribute is mapped to it", column),
				   psprintf("options => '{\"insert\": {%s: \"expression\"}}'", psprintf("\"%s\"", NameStr(att->attname))));
	}
	table_close(rel, NoLock);
}

/* Does a mapping give this column of a new row beside the resource? */
static bool
is_given_beside(const ScimMapping *m, const ScimSide *side, AttrNumber attnum, const char *column)
{
	bool		given = side->by && strcmp(side->by_column, column) == 0;

	for (int i = 0; side->by == NULL && i < side->parent.n && !given; i++)
		given = side->parent.attnums[i] == attnum;
	for (int i = 0; i < m->nscope && !given; i++)
		given = side->scope[i] && strcmp(side->scope[i], column) == 0;
	for (int i = 0; i < side->nfixed && !given; i++)
		given = strcmp(side->fixed_columns[i], column) == 0;
	for (int i = 0; i < side->ninserts && !given; i++)
		given = side->inserts[i].attnum == attnum;
	if (!given && side != m->membership && m->membership && m->membership->relid == side->relid)
		given = is_given_beside(m, m->membership, attnum, column);
	return given;
}

static bool
is_written_beside(const ScimSource *src, const ScimSide *side, const char *column)
{
	bool		written = src->side == side && src->column && strcmp(src->column, column) == 0;

	for (int i = 0; src->side == side && i < src->nwrites && !written; i++)
		written = strcmp(src->writes[i].column, column) == 0;
	for (int i = 0; i < src->ncopies && !written; i++)
		written = is_written_beside(&src->copies[i], side, column);
	return written;
}

/* The same of rows beside the resource, which a value or the resource makes. */
static void
check_new_side(Check *check, const ScimSide *side)
{
	const ScimMapping *m = check->m;
	Relation	rel = table_open(side->relid, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		const char *column = quote_identifier(NameStr(att->attname));
		bool		given = att->attisdropped || !att->attnotnull || att->attidentity ||
			is_given_beside(m, side, i + 1, column);

		for (int j = 0; j < m->nscalars && !given; j++)
			given = is_written_beside(&m->scalars[j].src, side, column);
		for (int j = 0; j < m->nslots; j++)
			for (int k = 0; k < m->slots[j].nsubs && !given; k++)
				given = is_written_beside(&m->slots[j].srcs[k], side, column);
		if (!given && att->atthasdef)
			check_default(check, rel, i + 1, side->relation, column);
		else if (!given)
			report(check, "error", side->relation, psprintf("column %s of a new row takes no null, has no default, and nothing fills it", column),
				   psprintf("\"insert\": {\"%s\": \"expression\"}", NameStr(att->attname)));
	}
	table_close(rel, NoLock);
}

/* ---- identity and uniqueness ---- */

/* How a person would say what the key is. */
static const char *
key_text(const ScimMapping *m)
{
	StringInfoData text;

	if (m->key.by_expression || m->key.parts[0].attnum == 0)
		return m->key.id.expr;
	initStringInfo(&text);
	for (int i = 0; i < m->key.n; i++)
		appendStringInfo(&text, "%s%s", i > 0 ? ", " : "", m->key.parts[i].expr + 2);
	return text.data;
}

static void
check_key(Check *check)
{
	const ScimMapping *m = check->m;

	if (get_rel_relkind(m->relid) == RELKIND_VIEW)
		return;
	if (!OidIsValid(scim_key_index(m, m->scope_columns, true)))
		report(check, "warning", "id", psprintf("no unique index keeps two rows from having one key %s", key_text(m)),
			   m->key.by_expression ? "An id names one resource, and rows are looked for by it: see scim.recommend_indexes." :
			   "An id names one resource: declare the key UNIQUE.");
	for (int i = 0; i < m->key.n; i++)
		if (m->key.parts[i].max_length > 0 && m->key.parts[i].max_length < 16)
			report(check, "notice", "id", psprintf("the key takes %d characters only", m->key.parts[i].max_length), NULL);
}

/* A name that should be there once: by which rule does the table see to it? */
static void
check_unique(Check *check, const ScimAttr *attr, const ScimSource *src)
{
	static const char *const folds[] = {"lower", "upper"};
	const ScimMapping *m = check->m;
	const char *column = src->raw ? src->raw : src->expr;
	const char *name = path_of(m, attr);

	/* (the built-in store's own: scim._unique_values sees to it where no index does) */
	if (m->builtin || attr->uniqueness == SCIM_UNIQUE_NONE || src->side || src->attnum == 0 || get_rel_relkind(m->relid) == RELKIND_VIEW)
		return;
	if (OidIsValid(scim_mapping_index(m, m->relid, "r", scim_mapping_index_expression(attr, src), m->scope_columns, true)))
	{
		if (src->fold || src->citext)
			report(check, "notice", name, "the table compares by its own lower() or upper(), which differs from SCIM for letters such as \"ß\", \"ſ\", and for composed and decomposed accents",
				   NULL);
		return;
	}
	for (int i = 0; i < lengthof(folds) && !attr->case_exact; i++)
		if (OidIsValid(scim_mapping_index(m, m->relid, "r", psprintf("pg_catalog.%s(%s::pg_catalog.text)", folds[i], column), m->scope_columns, true)))
		{
			report(check, "notice", name, psprintf("the table has a unique index on %s(), which filters do not use", folds[i]),
				   psprintf("Say so, and they will: {\"column\": ..., \"fold\": \"%s\"}", folds[i]));
			return;
		}
	if (!attr->case_exact && OidIsValid(scim_mapping_index(m, m->relid, "r", column, m->scope_columns, true)))
		report(check, "warning", name, "is unique with regard to case only: \"Ann\" and \"ann\" can be two resources",
			   psprintf("CREATE UNIQUE INDEX ... (scim.fold(%s) COLLATE \"C\"); see scim.recommend_indexes", column + 2));
	else
		report(check, "warning", name, "is to be unique, and no constraint sees to it", "Two requests at one time can make it twice.");
}

/* ---- references, children ---- */

/* Does a foreign key of "child" lead to "parent" and take rows away with it? */
static bool
goes_with_parent(Oid child, Oid parent, bool *has_key)
{
	Relation	pg_constraint = table_open(ConstraintRelationId, AccessShareLock);
	ScanKeyData key[1];
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		cascades = false;

	*has_key = false;
	ScanKeyInit(&key[0], Anum_pg_constraint_conrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(child));
	scan = systable_beginscan(pg_constraint, ConstraintRelidTypidNameIndexId, true, NULL, 1, key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_constraint con = (Form_pg_constraint) GETSTRUCT(tuple);

		if (con->contype != CONSTRAINT_FOREIGN || con->confrelid != parent)
			continue;
		*has_key = true;
		cascades = cascades || con->confdeltype == FKCONSTR_ACTION_CASCADE || con->confdeltype == FKCONSTR_ACTION_SETNULL ||
			con->confdeltype == FKCONSTR_ACTION_SETDEFAULT;
	}
	systable_endscan(scan);
	table_close(pg_constraint, AccessShareLock);
	return cascades;
}

/* What happens to rows of another table when the resource's row goes? */
static void
check_dependent(Check *check, const char *name, Oid relid, Oid parent)
{
	bool		has_key;

	if (check->m->delete_policy != SCIM_DELETE_ROW || check->m->membership || relid == parent ||
		get_rel_relkind(relid) == RELKIND_VIEW || get_rel_relkind(parent) == RELKIND_VIEW)
		return;
	if (goes_with_parent(relid, parent, &has_key))
		return;
	if (has_key)
		report(check, "warning", name, psprintf("a foreign key of %s keeps a row from being deleted (409)", scim_qualified_relation(relid)),
			   "ON DELETE CASCADE, or options => '{\"delete\": \"cascade\"}'");
	else
		report(check, "warning", name, psprintf("nothing deletes rows of %s with their resource", scim_qualified_relation(relid)),
			   "A foreign key with ON DELETE CASCADE, or options => '{\"delete\": \"cascade\"}'");
}

static void
check_children(Check *check)
{
	const ScimMapping *m = check->m;

	for (int i = 0; i < m->nchildren; i++)
	{
		const ScimChild *child = &m->children[i];
		const char *name = path_of(m, child->attr);

		if (child->kind == SCIM_CHILD_INLINE)
			continue;
		if (child->kind == SCIM_CHILD_GROUPS)
		{
			/* links of the resource that goes are somebody else's children */
			if (!child->user_link->by_column)
				check_dependent(check, name, child->relid, m->relid);
			continue;
		}
		if (!child->by_column)
			check_dependent(check, name, child->relid, m->relid);
		if (child->kind != SCIM_CHILD_LINK || child->by_column || child->target == NULL)
			continue;
		if (!scim_has_foreign_key(child->relid, child->refs.attnums[0], child->target->relid))
			report(check, "notice", name, psprintf("no foreign key leads from %s to %s: scim looks whether a member is there, and plain SQL can delete it",
												   scim_qualified_relation(child->relid), scim_qualified_relation(child->target->relid)), NULL);
		if (child->target->relid != m->relid && child->target->key.id.cls == SCIM_SQL_INTEGER && m->key.id.cls == SCIM_SQL_INTEGER)
			for (int j = 0; j < m->nchildren; j++)
				if (j != i && m->children[j].kind == SCIM_CHILD_LINK && m->children[j].attr == child->attr && m->children[j].target == m)
					report(check, "warning", name, "users and groups have ids of one form: a member that a client names without \"type\" is taken for a user",
						   "Keys of type uuid, or sequences that do not overlap.");
	}
	for (int i = 0; i < m->nsides; i++)
	{
		if (m->sides[i].by)
		{
			if (m->delete_policy == SCIM_DELETE_ROW && !m->membership)
				report(check, "warning", m->sides[i].relation, psprintf("nothing deletes rows of %s with their resource", m->sides[i].relation),
					   "options => '{\"delete\": \"cascade\"}'");
			if (get_rel_relkind(m->relid) != RELKIND_VIEW &&
				!OidIsValid(scim_mapping_index(m, m->relid, "r", psprintf("r.%s", m->sides[i].by), NULL, true)))
				report(check, "notice", m->sides[i].relation, psprintf("several resources can have the row that column %s names: what changes it for one does for all", m->sides[i].by),
					   "Declare the column UNIQUE.");
			continue;
		}
		check_dependent(check, m->sides[i].relation, m->sides[i].relid, m->relid);
		if (m->sides[i].nfixed == 0 && get_rel_relkind(m->sides[i].relid) != RELKIND_VIEW &&
			!OidIsValid(scim_mapping_columns_index(m, m->sides[i].relid, m->sides[i].parent.attnums, m->sides[i].parent.n, m->sides[i].scope, true)))
			report(check, "warning", m->sides[i].relation, "more than one row can be beside a resource: any of them is read", "Declare its parent column UNIQUE.");
	}
}

/* ---- triggers ---- */

/* Tables whose changes are to be tracked, and that have no triggers for it, or none that fire. */
static void
check_track(Check *check)
{
	const ScimMapping *m = check->m;
	Oid			types[1] = {TEXTOID};
	Datum		values[1];

	values[0] = CStringGetTextDatum(m->name);
	if (!m->track)
		return;
	if (scim_own_execute("untracked relations",
						 "SELECT DISTINCT c.relation::pg_catalog.text FROM scim.sync_captures c"
						 " WHERE c.mapping OPERATOR(pg_catalog.=) $1 AND c.sync IS NULL AND NOT c.captured ORDER BY 1",
						 1, types, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read scim.sync_captures");
	for (uint64 i = 0; i < SPI_processed; i++)
		report(check, "warning", "track",
			   psprintf("changes of %s by plain SQL are not seen: its triggers are missing or disabled",
						SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1)),
			   "ALTER TABLE ... ENABLE TRIGGER, or scim.alter_mapping, which makes them anew.");
}

/* ---- the whole ---- */

static void
check_abilities(Check *check)
{
	const ScimMapping *m = check->m;

	if (!m->insertable || !m->updatable || !m->deletable)
		report(check, "notice", "relation", psprintf("the view can't be%s%s%s: such requests are answered 403", m->insertable ? "" : " inserted into",
													 m->updatable ? "" : m->insertable ? " updated" : ", updated", m->deletable ? "" : ", deleted from"),
			   "INSTEAD OF triggers would do it.");
	else if (!m->lockable)
		report(check, "notice", "relation", "rows of the view can't be locked: of two changes at one time the later wins", NULL);
	if (check->scoped && m->shared)
		report(check, "warning", "relation", "all endpoints see and change the same resources, whatever their scope", NULL);
	if (m->adopt_by)
		report(check, "notice", "membership", "a tenant that creates a resource which another has already shares its attributes with that tenant", NULL);
}

static void
check_all(Check *check)
{
	const ScimMapping *m = check->m;

	check_all_rights(check);
	check_abilities(check);
	check_key(check);
	if (m->insertable)
		check_new_rows(check);
	for (int i = 0; i < m->nsides; i++)
		if (&m->sides[i] != m->state)
			check_new_side(check, &m->sides[i]);
	if (m->membership)
		check_new_side(check, m->membership);
	for (int i = 0; i < m->nscalars; i++)
		check_unique(check, m->scalars[i].attr, &m->scalars[i].src);
	check_children(check);
	check_track(check);
}

/* A mapping that does not resolve has this one problem; the reason is the report. */
static ScimMapping *
resolve(Check *check, const char *name, List **scope, Oid *owner)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner saved_owner = CurrentResourceOwner;
	ScimMapping *volatile m = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		m = scim_mapping_to_report(name, scope, owner);
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = saved_owner;
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(context);
		edata = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = saved_owner;
		report(check, "error", "mapping", edata->message,
			   edata->hint ? edata->hint : "Requests are answered 503 until it is mended: scim.alter_mapping, or put the column back.");
	}
	PG_END_TRY();
	return m;
}

Datum
scim_check_mapping(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Check		check;
	ScimMappingRow *row;
	List	   *scope = NIL;
	Oid			owner;
	ScimIdentity identity;

	scim_init_materialized(fcinfo);
	memset(&check, 0, sizeof(check));
	check.result = (ReturnSetInfo *) fcinfo->resultinfo;
	SPI_connect();
	scim_catalog_begin();
	row = scim_mapping_row(name);
	if (row == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("mapping \"%s\" does not exist", name)));
	if (!row->builtin)
		scim_require_member(row->owner, psprintf("mapping \"%s\"", name));
	check.owner = row->builtin ? scim_recorded_role("store") : row->owner;
	check.m = resolve(&check, name, &scope, &owner);
	check.scoped = scope != NIL;
	if (check.m)
	{
		memset(&identity, 0, sizeof(identity));
		scim_identity_assume(&identity, owner, true);
		check_all(&check);
		scim_identity_close_gucs(&identity);
		scim_identity_restore(&identity);
	}
	scim_catalog_end();
	SPI_finish();
	return (Datum) 0;
}
