/*
 * store_members.c
 *		References in link relations (members of groups), as sets.
 *
 * Adding or removing references never reads the others: a group of a million
 * members costs what a group of ten does.  An id that names nothing in the
 * tenant is kept as pending in compat mode, because identity providers do not
 * send a refused push again; in strict mode it is 400 invalidValue (RFC 7643
 * 2.3.7 leaves it open).
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"

#include "store_internal.h"

/* The link attribute a delta is for: the first of the mapping. */
ScimAttr *
scim_store_delta_attr(const ScimEndpointType *target)
{
	const ScimMapping *m = target->mapping;

	for (int i = 0; i < m->nchildren; i++)
		if (m->children[i].kind == SCIM_CHILD_LINK)
			return m->children[i].attr;
	return NULL;
}

/* A list of ids. */
typedef struct IdList
{
	const char **ids;
	const char **types;			/* resource type that the client names with it, or NULL */
	int			n;
} IdList;

static void
id_list_init(IdList *list, int capacity)
{
	list->ids = palloc(sizeof(char *) * Max(capacity, 1));
	list->types = palloc0(sizeof(char *) * Max(capacity, 1));
	list->n = 0;
}

/*
 * May this id be one of the link's resource type?  In compat mode a UUID tells by
 * itself what it is of, whatever type a client gives all members alike.
 */
static bool
may_be_of(const ScimEndpointType *target, const IdList *list, int i, const ScimChild *link)
{
	return list->types[i] == NULL || pg_strcasecmp(list->types[i], link->ref_type) == 0 ||
		(target->endpoint->mode != SCIM_STRICT && link->target->key.id.cls == SCIM_SQL_UUID);
}

static uint32
hash_id(const void *key, Size size)
{
	const char *id = *(const char *const *) key;

	return hash_bytes((const unsigned char *) id, (int) strlen(id));
}

static int
match_ids(const void *a, const void *b, Size size)
{
	return strcmp(*(const char *const *) a, *(const char *const *) b);
}

static HTAB *
make_id_set(int size)
{
	HASHCTL		control;

	/* of pointers: an id may be long, and there may be a million of them */
	memset(&control, 0, sizeof(control));
	control.keysize = sizeof(char *);
	control.entrysize = sizeof(char *);
	control.hash = hash_id;
	control.match = match_ids;
	control.hcxt = CurrentMemoryContext;
	return hash_create("scim ids", Max(size, 16), &control, HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
}

/*
 * May rows that are referred to be locked?  It takes the right to change them,
 * which an owner need not have.
 */
static bool
may_lock(const ScimMapping *to)
{
	return to->lockable && pg_class_aclcheck(to->relid, GetUserId(), ACL_UPDATE) == ACLCHECK_OK;
}

/*
 * Those of "ids" that exist in the target of a link; removes them from "ids".
 * They are locked against deletion, as a foreign key would do it, but before it
 * is too late: who is gone when the lock comes is none of them, where the key
 * would refuse all the others with him.
 */
static void
take_known(const ScimEndpointType *target, const ScimChild *link, IdList *ids, IdList *known)
{
	const ScimMapping *to = link->target;
	IdList		valid;
	ScimSql		sql;
	int			scope;
	HTAB	   *found;
	int			rest = 0;

	id_list_init(known, ids->n);
	id_list_init(&valid, ids->n);
	for (int i = 0; i < ids->n; i++)
		if (scim_key_id_valid(&to->key, ids->ids[i]) && may_be_of(target, ids, i, link))
			valid.ids[valid.n++] = ids->ids[i];
	if (valid.n == 0)
		return;

	scim_sql_init(&sql);
	scope = scim_sql_scope_params(&sql, target);
	appendStringInfo(&sql.text, "SELECT %s::pg_catalog.text FROM %s r WHERE ", to->key.id.expr, to->relation);
	scim_sql_scope(&sql, to, "r", scope);
	appendStringInfo(&sql.text, " AND %s", scim_sql_is_any_id(to, scim_sql_ids(&sql, to, valid.ids, valid.n)));
	if (may_lock(to))
		appendStringInfoString(&sql.text, " FOR KEY SHARE OF r");
	scim_sql_execute(target->mapping, &sql, SPI_OK_SELECT, false, 0);
	if (SPI_processed == 0)
		return;

	found = make_id_set((int) SPI_processed);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		char	   *id = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);

		(void) hash_search(found, &id, HASH_ENTER, NULL);
		known->ids[known->n++] = id;
	}
	for (int i = 0; i < ids->n; i++)
		if (hash_search(found, &ids->ids[i], HASH_FIND, NULL) == NULL)
		{
			ids->types[rest] = ids->types[i];
			ids->ids[rest++] = ids->ids[i];
		}
	ids->n = rest;
	hash_destroy(found);
}

/* "c.parent = $key AND ref = ANY ($refs) AND ...": links of a parent, also removed ones. */
static void
append_links(ScimSql *sql, const ScimMapping *m, const ScimChild *child, int key, int scope)
{
	appendStringInfo(&sql->text, "%s OPERATOR(pg_catalog.=) %s", child->parent.row, scim_sql_key(m, key));
	scim_sql_child_tenant(sql, m, child, "c", scope);
}

static void
append_settings(StringInfo text, const ScimSetting *settings, int n)
{
	for (int i = 0; i < n; i++)
		appendStringInfo(text, "%s%s = %s", i > 0 ? ", " : "", settings[i].column, settings[i].expr);
}

/* Members whose own row names the group: it names this one now. */
static uint64
set_parent(const ScimEndpointType *target, const char *id, const ScimChild *child, const IdList *ids)
{
	const ScimMapping *m = target->mapping;
	const ScimMapping *to = child->target;
	ScimSql		sql;
	int			scope;
	int			key;

	scim_sql_init(&sql);
	scope = scim_sql_scope_params(&sql, target);
	key = scim_sql_id(&sql, m, id);
	appendStringInfo(&sql.text, "UPDATE %s r SET ", child->relation);
	for (int i = 0; i < m->key.n; i++)
		appendStringInfo(&sql.text, "%s%s = %s", i > 0 ? ", " : "", child->parent.columns[i], scim_sql_key_part(m, i, key));
	appendStringInfo(&sql.text, " WHERE %s AND %s IS DISTINCT FROM %s AND ",
					 scim_sql_is_any_id(to, scim_sql_ids(&sql, to, ids->ids, ids->n)),
					 scim_key_columns_sql(&child->parent, "r"), scim_sql_key(m, key));
	scim_sql_scope(&sql, to, "r", scope);
	scim_sql_execute(m, &sql, SPI_OK_UPDATE, false, 0);
	return SPI_processed;
}

/* Bring links back that were removed; returns how many. */
static uint64
revive_links(const ScimEndpointType *target, const char *id, const ScimChild *child, const IdList *ids)
{
	const ScimMapping *m = target->mapping;
	ScimSql		sql;
	int			scope;
	int			key;

	scim_sql_init(&sql);
	scope = scim_sql_scope_params(&sql, target);
	key = scim_sql_id(&sql, m, id);
	appendStringInfo(&sql.text, "UPDATE %s c SET ", child->relation);
	append_settings(&sql.text, child->revives, child->nrevives);
	appendStringInfoString(&sql.text, " WHERE ");
	append_links(&sql, m, child, key, scope);
	appendStringInfo(&sql.text, " AND (%s) IS NOT TRUE AND %s", child->filter,
					 scim_sql_refers_to_any(child->target, &child->refs, scim_sql_ids(&sql, child->target, ids->ids, ids->n)));
	scim_sql_execute(m, &sql, SPI_OK_UPDATE, false, 0);
	return SPI_processed;
}

/* Insert references that are not there yet; returns how many. */
static uint64
insert_links(const ScimEndpointType *target, const char *id, const ScimChild *child, const IdList *ids)
{
	const ScimMapping *m = target->mapping;
	ScimSql		sql;
	int			scope;
	int			key;
	int			refs;
	const ScimMapping *to = child->target;
	const char **values = palloc(sizeof(char *) * child->refs.n);
	uint64		revived = 0;

	if (ids->n == 0)
		return 0;
	if (child->by_column)
		return set_parent(target, id, child, ids);
	if (child->nrevives > 0)
		revived = revive_links(target, id, child, ids);
	scim_sql_init(&sql);
	scope = scim_sql_scope_params(&sql, target);
	key = scim_sql_id(&sql, m, id);
	refs = to ? scim_sql_ids(&sql, to, ids->ids, ids->n) : scim_sql_text_array(&sql, ids->ids, ids->n);
	for (int i = 0; i < child->refs.n; i++)
		values[i] = psprintf("p.k%d::%s", i + 1, child->refs.types[i]);

	appendStringInfo(&sql.text, "INSERT INTO %s (%s, %s", child->relation, scim_key_names(&child->parent), scim_key_names(&child->refs));
	for (int i = 0; i < m->nscope; i++)
		if (child->scope[i])
			appendStringInfo(&sql.text, ", %s", child->scope[i]);
	for (int i = 0; i < child->nfixed; i++)
		appendStringInfo(&sql.text, ", %s", child->fixed_columns[i]);
	for (int i = 0; i < child->ninserts; i++)
		appendStringInfo(&sql.text, ", %s", child->inserts[i].column);
	appendStringInfoString(&sql.text, ") SELECT ");
	for (int i = 0; i < m->key.n; i++)
		appendStringInfo(&sql.text, "%s%s", i > 0 ? ", " : "", scim_sql_key_part(m, i, key));
	for (int i = 0; i < child->refs.n; i++)
		appendStringInfo(&sql.text, ", %s", values[i]);
	for (int i = 0; i < m->nscope; i++)
		if (child->scope[i])
			appendStringInfo(&sql.text, ", $%d::%s", scope + i, m->scope_types[i]);
	for (int i = 0; i < child->nfixed; i++)
		appendStringInfo(&sql.text, ", %s::%s", child->fixed_values[i], child->fixed_types[i]);
	for (int i = 0; i < child->ninserts; i++)
		appendStringInfo(&sql.text, ", %s", child->inserts[i].expr);
	/* what is pending is no key of anything */
	appendStringInfo(&sql.text, " FROM %s", to ? scim_sql_keys_from(to, refs) : psprintf("pg_catalog.unnest($%d) p(k1)", refs));
	/* what else goes into the row may come from the parent's */
	if (child->ninserts > 0)
	{
		appendStringInfo(&sql.text, " JOIN %s r ON %s AND ", m->relation, scim_sql_is_id(m, key));
		scim_sql_scope(&sql, m, "r", scope);
	}
	/* NOT EXISTS serves link tables that have no unique constraint; the
	 * conflict clause serves whoever adds the same one at the same time */
	appendStringInfo(&sql.text, " WHERE NOT EXISTS (SELECT 1 FROM %s c WHERE ", child->relation);
	append_links(&sql, m, child, key, scope);
	if (child->filter)
		appendStringInfo(&sql.text, " AND %s", child->filter);
	appendStringInfo(&sql.text, " AND %s OPERATOR(pg_catalog.=) %s) ON CONFLICT DO NOTHING",
					 child->refs.row, scim_key_row_sql(values, child->refs.n));
	scim_sql_execute(m, &sql, SPI_OK_INSERT, false, 0);
	return revived + SPI_processed;
}

const char *
scim_store_removal(const ScimChild *child)
{
	StringInfoData text;

	initStringInfo(&text);
	if (child->nremoves == 0)
	{
		for (int i = 0; i < child->parent.n; i++)
			appendStringInfo(&text, "%s%s = NULL", i > 0 ? ", " : "", child->parent.columns[i]);
		return text.data;
	}
	append_settings(&text, child->removes, child->nremoves);
	return text.data;
}

/* The statement that makes links go: deleted, marked, or with no parent any more. */
static int
begin_removal(ScimSql *sql, const ScimChild *child)
{
	if (child->by_column)
		appendStringInfo(&sql->text, "UPDATE %s c SET %s WHERE ", child->relation, scim_store_removal(child));
	else if (child->nremoves > 0)
	{
		appendStringInfo(&sql->text, "UPDATE %s c SET ", child->relation);
		append_settings(&sql->text, child->removes, child->nremoves);
		appendStringInfoString(&sql->text, " WHERE ");
	}
	else
	{
		appendStringInfo(&sql->text, "DELETE FROM %s c WHERE ", child->relation);
		return SPI_OK_DELETE;
	}
	return SPI_OK_UPDATE;
}

static const char *
refers_to_any(ScimSql *sql, const ScimChild *child, const IdList *ids)
{
	if (child->kind == SCIM_CHILD_PENDING)
		return psprintf("%s OPERATOR(pg_catalog.=) ANY ($%d::%s[])", child->ref.expr,
						scim_sql_text_array(sql, ids->ids, ids->n), child->ref.type_name);
	return scim_sql_refers_to_any(child->target, &child->refs, scim_sql_ids(sql, child->target, ids->ids, ids->n));
}

/*
 * Remove references: those listed, or all but those listed.
 */
static uint64
delete_links(const ScimEndpointType *target, const char *id, const ScimChild *child,
			 const IdList *ids, bool all_but)
{
	const ScimMapping *m = target->mapping;
	ScimSql		sql;
	int			scope;
	int			expected;
	IdList		valid;

	id_list_init(&valid, ids->n);
	for (int i = 0; i < ids->n; i++)
		if (child->kind == SCIM_CHILD_PENDING || (scim_key_id_valid(&child->target->key, ids->ids[i]) && may_be_of(target, ids, i, child)))
			valid.ids[valid.n++] = ids->ids[i];
	if (valid.n == 0 && !all_but)
		return 0;

	scim_sql_init(&sql);
	scope = scim_sql_scope_params(&sql, target);
	expected = begin_removal(&sql, child);
	append_links(&sql, m, child, scim_sql_id(&sql, m, id), scope);
	if (child->filter)
		appendStringInfo(&sql.text, " AND %s", child->filter);
	if (child->kind == SCIM_CHILD_LINK)
		appendStringInfo(&sql.text, " AND %s IS NOT NULL", child->refs.row);
	if (valid.n > 0)
		appendStringInfo(&sql.text, all_but ? " AND (%s) IS NOT TRUE" : " AND %s", refers_to_any(&sql, child, &valid));
	scim_sql_execute(m, &sql, expected, false, 0);
	return SPI_processed;
}

/* `value` of each reference in an array, each once. */
static void
collect_ids(const json_t *array, IdList *list)
{
	size_t		n = array ? json_array_size(array) : 0;
	HTAB	   *seen;

	id_list_init(list, (int) n);
	if (n == 0)
		return;
	seen = make_id_set((int) n);
	for (size_t i = 0; i < n; i++)
	{
		const json_t *element = json_array_get(array, i);
		const char *text = json_string_value(json_is_string(element) ? element : json_object_get(element, "value"));
		bool		found;

		if (text == NULL || text[0] == '\0')
			continue;
		(void) hash_search(seen, &text, HASH_ENTER, &found);
		if (found)
			continue;
		if (json_is_object(element))
			list->types[list->n] = json_string_value(json_object_get(element, "type"));
		list->ids[list->n++] = text;
	}
	hash_destroy(seen);
}

/*
 * Add references to all links of an attribute: to each the ids that exist
 * there; what exists nowhere is pending, or an error.
 */
static bool
add_references(const ScimEndpointType *target, const char *id, const ScimAttr *attr, IdList *add,
			   bool *changed, ScimError *err)
{
	const ScimMapping *m = target->mapping;
	const ScimChild *pending = NULL;

	for (int i = 0; i < m->nchildren && pending == NULL; i++)
		if (m->children[i].attr == attr && m->children[i].kind == SCIM_CHILD_PENDING)
			pending = &m->children[i];
	for (int i = 0; i < m->nchildren && add->n > 0; i++)
	{
		const ScimChild *child = &m->children[i];
		IdList		known;

		if (child->attr != attr || child->kind != SCIM_CHILD_LINK)
			continue;
		take_known(target, child, add, &known);
		if (insert_links(target, id, child, &known) > 0)
			*changed = true;
		/* who appeared while he was being named waits no more */
		if (pending && known.n > 0 && delete_links(target, id, pending, &known, false) > 0)
			*changed = true;
	}
	if (add->n == 0)
		return true;
	if (pending == NULL || target->endpoint->mode == SCIM_STRICT)
		return scim_fail(err, 400, SCIM_INVALID_VALUE,
						 "%s: %d of the values name no resource of this endpoint", attr->name, add->n);
	if (insert_links(target, id, pending, add) > 0)
		*changed = true;
	return true;
}

bool
scim_store_apply_delta(const ScimEndpointType *target, const char *id, const ScimAttr *attr,
					   const ScimDelta *delta, ScimError *err)
{
	const ScimMapping *m = target->mapping;
	IdList		add;
	IdList		remove;
	bool		changed = false;

	collect_ids(delta->add, &add);
	collect_ids(delta->remove, &remove);
	for (int i = 0; i < m->nchildren; i++)
	{
		const ScimChild *child = &m->children[i];

		if (child->attr != attr || (child->kind != SCIM_CHILD_LINK && child->kind != SCIM_CHILD_PENDING))
			continue;
		if (delete_links(target, id, child, delta->clear ? &add : &remove, delta->clear) > 0)
			changed = true;
	}
	add_references(target, id, attr, &add, &changed, err);
	return changed;
}

bool
scim_store_replace_links(const ScimEndpointType *target, const char *id, const ScimAttr *attr,
						 bool any, const json_t *after, ScimError *err)
{
	const ScimMapping *m = target->mapping;
	IdList		add;
	bool		changed = false;

	collect_ids(after, &add);
	for (int i = 0; any && i < m->nchildren; i++)
	{
		const ScimChild *child = &m->children[i];

		if (child->attr == attr && (child->kind == SCIM_CHILD_LINK || child->kind == SCIM_CHILD_PENDING) &&
			delete_links(target, id, child, &add, true) > 0)
			changed = true;
	}
	add_references(target, id, attr, &add, &changed, err);
	return changed;
}
