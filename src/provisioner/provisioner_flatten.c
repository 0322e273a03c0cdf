/*
 * provisioner_flatten.c
 *		Groups in groups, for targets that have none: the users of an inner group
 *		are members of the outer one (option flatten_groups of a sync).
 *
 * An inner group is read through the same mapping, whether it is in scope or
 * not.  One that holds itself, directly or not, ends where it begins.  Which
 * groups a document was made of is kept in scim._nests: a change of one of them
 * is a change of all that hold it.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"

#include "provisioner_engine.h"
#include "../compat.h"

/* More than these in one group are a mistake, and would be read for ever. */
#define MAX_GROUPS 100000

typedef struct Member
{
	const char *type;
	const char *key;
} Member;

typedef struct Nest
{
	const char *key;			/* of the group; first */
	List	   *inner;			/* char *: groups in it */
	List	   *members;		/* Member: all others */
	int			seen;			/* number of the walk that has been here */
} Nest;

struct ScimNests
{
	const ScimAttr *attr;		/* members */
	HTAB	   *groups;			/* Nest, by key */
	List	   *unread;			/* char *: keys of groups that were met and not read yet */
	int			walk;
};

static uint32
hash_key(const void *key, Size size)
{
	const char *text = *(const char *const *) key;

	return DatumGetUInt32(hash_any((const unsigned char *) text, (int) strlen(text)));
}

static int
match_key(const void *a, const void *b, Size size)
{
	return strcmp(*(const char *const *) a, *(const char *const *) b);
}

static HTAB *
create_table(Size entry)
{
	HASHCTL		control = {.keysize = sizeof(char *), .entrysize = entry, .hash = hash_key, .match = match_key,
	.hcxt = CurrentMemoryContext};

	return hash_create("scim groups", 64, &control, HASH_ELEM | HASH_FUNCTION | HASH_COMPARE | HASH_CONTEXT);
}

static Nest *
nest_of(ScimNests *nests, const char *key)
{
	bool		found;
	Nest	   *nest = hash_search(nests->groups, &key, HASH_ENTER, &found);

	if (!found)
	{
		if (hash_get_num_entries(nests->groups) > MAX_GROUPS)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("a group holds more than %d groups", MAX_GROUPS)));
		memset(nest, 0, sizeof(*nest));
		nest->key = pstrdup(key);
		nests->unread = lappend(nests->unread, unconstify(char *, nest->key));
	}
	return nest;
}

/* Take note of what a group holds, as its resource says. */
static void
take_members(const ScimSyncView *view, ScimNests *nests, Nest *nest, const char *resource)
{
	ScimCoreFrame frame;
	json_t	   *value = scim_document_parse(resource);
	const json_t *list;

	scim_core_enter(&frame);
	list = scim_document_value(view->type, value, nests->attr);
	for (size_t i = 0; i < json_array_size(list); i++)
	{
		const json_t *item = json_array_get(list, i);
		const char *key = json_string_value(json_object_get(item, "value"));
		const char *type = scim_referred_type(nests->attr, item);

		if (key == NULL)
			continue;
		if (pg_strcasecmp(type, view->type->name) == 0)
			nest->inner = lappend(nest->inner, pstrdup(key));
		else
		{
			Member	   *member = palloc(sizeof(Member));

			member->type = pstrdup(type);
			member->key = pstrdup(key);
			nest->members = lappend(nest->members, member);
		}
	}
	scim_core_leave(&frame);
}

/* Only what groups hold. */
static ScimSelection *
members_only(const ScimSyncView *view, const ScimAttr *attr)
{
	size_t		size = offsetof(ScimSelection, has) + sizeof(bool) * view->selection->nattrs;
	ScimSelection *selection = palloc0(size);

	selection->nattrs = view->selection->nattrs;
	selection->has[attr->ord] = true;
	for (int i = 0; i < attr->nsubs; i++)
		selection->has[attr->subs[i]->ord] = view->selection->has[attr->subs[i]->ord];
	return selection;
}

ScimNests *
scim_nests_read(const ScimSyncView *view, const ScimStoreRow *rows, int nrows, const char *const *keys)
{
	const ScimAttr *attr = scim_type_attr(view->type, SCIM_EXT_CORE, "members", strlen("members"));
	ScimNests  *nests;
	ScimSelection *selection;

	if (!view->sync->flatten_groups || attr == NULL || strcmp(view->type->name, "Group") != 0)
		return NULL;
	nests = palloc0(sizeof(ScimNests));
	nests->attr = attr;
	nests->groups = create_table(sizeof(Nest));
	selection = members_only(view, attr);
	for (int i = 0; i < nrows; i++)
		if (rows[i].json)
			take_members(view, nests, nest_of(nests, keys[rows[i].index]), rows[i].json);
	list_free(nests->unread);
	nests->unread = NIL;
	for (;;)
	{
		HASH_SEQ_STATUS status;
		Nest	   *nest;
		List	   *met = NIL;
		ListCell   *lc;
		const char **unread;
		ScimStoreRow *inner;
		int			n = 0;
		int			ninner;

		/* (a table that is gone through must not grow) */
		hash_seq_init(&status, nests->groups);
		while ((nest = hash_seq_search(&status)) != NULL)
			foreach(lc, nest->inner)
				met = lappend(met, lfirst(lc));
		foreach(lc, met)
			(void) nest_of(nests, (const char *) lfirst(lc));
		if (nests->unread == NIL)
			return nests;
		unread = palloc(sizeof(char *) * list_length(nests->unread));
		foreach(lc, nests->unread)
			unread[n++] = (const char *) lfirst(lc);
		list_free(nests->unread);
		nests->unread = NIL;
		scim_store_collect(&view->target, unread, n, NULL, selection, &inner, &ninner);
		for (int i = 0; i < ninner; i++)
			take_members(view, nests, nest_of(nests, unread[inner[i].index]), inner[i].json);
	}
}

typedef struct Walk
{
	ScimNests  *nests;
	HTAB	   *taken;			/* members, by type and key */
	List	   *members;		/* Member, each once */
	List	   *inner;			/* char *: groups below the first */
} Walk;

/* Everybody below a group, without recursion: a chain of groups may be long. */
static void
walk_group(Walk *walk, const char *key)
{
	List	   *stack = list_make1(nest_of(walk->nests, key));
	bool		first = true;

	walk->nests->walk++;
	while (stack != NIL)
	{
		Nest	   *nest = (Nest *) llast(stack);
		ListCell   *lc;

		stack = list_truncate(stack, list_length(stack) - 1);
		if (nest->seen == walk->nests->walk)
			continue;
		nest->seen = walk->nests->walk;
		if (!first)
			walk->inner = lappend(walk->inner, unconstify(char *, nest->key));
		first = false;
		foreach(lc, nest->members)
		{
			Member	   *member = (Member *) lfirst(lc);
			const char *name = psprintf("%s/%s", member->type, member->key);
			bool		found;

			(void) hash_search(walk->taken, &name, HASH_ENTER, &found);
			if (!found)
				walk->members = lappend(walk->members, member);
		}
		foreach(lc, nest->inner)
			stack = lappend(stack, nest_of(walk->nests, (const char *) lfirst(lc)));
	}
}

List *
scim_nests_flatten(const ScimSyncView *view, ScimNests *nests, const char *key, json_t *document)
{
	Walk		walk = {.nests = nests, .taken = create_table(sizeof(char *))};
	json_t	   *list = json_array();
	ListCell   *lc;

	walk_group(&walk, key);
	if (walk.inner == NIL)
		return NIL;
	foreach(lc, walk.members)
	{
		const Member *member = (const Member *) lfirst(lc);

		(void) json_array_append_new(list, json_pack("{s:s, s:s}", "value", member->key, "type", member->type));
	}
	scim_document_put(view->type, document, nests->attr, json_array_size(list) > 0 ? list : NULL);
	hash_destroy(walk.taken);
	return walk.inner;
}

void
scim_nests_store(const ScimSyncView *view, const ScimDocument *documents, int n)
{
	Oid			types[4] = {INT8OID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID};
	Datum		values[4];
	Datum	   *outer = palloc(sizeof(Datum) * Max(n, 1));
	Datum	   *of;
	Datum	   *inner;
	ListCell   *lc;
	int			npairs = 0;

	if (!view->sync->flatten_groups || n == 0)
		return;
	for (int i = 0; i < n; i++)
	{
		outer[i] = CStringGetTextDatum(documents[i].key);
		npairs += list_length(documents[i].inner);
	}
	of = palloc(sizeof(Datum) * Max(npairs, 1));
	inner = palloc(sizeof(Datum) * Max(npairs, 1));
	npairs = 0;
	for (int i = 0; i < n; i++)
		foreach(lc, documents[i].inner)
		{
			of[npairs] = outer[i];
			inner[npairs++] = CStringGetTextDatum((const char *) lfirst(lc));
		}
	values[0] = Int64GetDatum(view->sync->id);
	values[1] = PointerGetDatum(construct_array(outer, n, TEXTOID, -1, false, TYPALIGN_INT));
	values[2] = PointerGetDatum(construct_array(of, npairs, TEXTOID, -1, false, TYPALIGN_INT));
	values[3] = PointerGetDatum(construct_array(inner, npairs, TEXTOID, -1, false, TYPALIGN_INT));
	if (scim_own_execute("forget nests",
						 "DELETE FROM scim._nests n WHERE n.sync_id OPERATOR(pg_catalog.=) $1 AND n.outer_key OPERATOR(pg_catalog.=) ANY ($2)"
						 " AND NOT EXISTS (SELECT 1 FROM ROWS FROM (pg_catalog.unnest($3), pg_catalog.unnest($4)) u (o, i)"
						 " WHERE u.o OPERATOR(pg_catalog.=) n.outer_key AND u.i OPERATOR(pg_catalog.=) n.inner_key)",
						 4, types, values, NULL, false, 0) != SPI_OK_DELETE ||
		scim_own_execute("store nests",
						 "INSERT INTO scim._nests (sync_id, outer_key, inner_key)"
						 " SELECT $1, u.o, u.i FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3)) u (o, i) ON CONFLICT DO NOTHING",
						 3, (Oid[]) {INT8OID, TEXTARRAYOID, TEXTARRAYOID}, (Datum[]) {values[0], values[2], values[3]}, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write scim._nests");
}

void
scim_nests_spread(int64 sync_id, Datum entries)
{
	Oid			types[2] = {INT8OID, INT8ARRAYOID};
	Datum		values[2] = {Int64GetDatum(sync_id), entries};

	if (scim_own_execute("spread",
						 "UPDATE scim._links l SET lane = 1, dirty = l.intent IS NOT NULL OR l.state OPERATOR(pg_catalog.=) 'parked',"
						 " next_at = CASE WHEN l.intent IS NULL THEN pg_catalog.clock_timestamp() ELSE l.next_at END"
						 " FROM (SELECT DISTINCT n.outer_key FROM scim._dirty d CROSS JOIN LATERAL pg_catalog.unnest(d.keys) k (key)"
						 " JOIN scim._nests n ON n.sync_id OPERATOR(pg_catalog.=) $1 AND n.inner_key OPERATOR(pg_catalog.=) k.key"
						 " WHERE d.sync_id OPERATOR(pg_catalog.=) $1 AND d.id OPERATOR(pg_catalog.=) ANY ($2)) o"
						 " WHERE l.sync_id OPERATOR(pg_catalog.=) $1 AND l.source_key OPERATOR(pg_catalog.=) o.outer_key",
						 2, types, values, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not write scim._links");
}
