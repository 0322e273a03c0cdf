/*
 * provisioner_document.c
 *		What a target should have: documents of rows, and how a resource of the
 *		target is recognised as one of them.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "provisioner_engine.h"
#include "../compat.h"
#include "../core/core_multi.h"
#include "../core/core_path.h"
#include "../core/core_project.h"
#include "../core/core_value.h"
#include "../scim_guc.h"

/* ---- the view of a sync ---- */

pg_noreturn static void
unusable(const ScimSync *sync, const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("sync \"%s\" can't be used: %s", sync->name, problem)));
}

/* Is the attribute, or the one it is part of, or its schema, in the list? */
static bool
listed(const ScimResourceType *type, const ScimAttr *attr, List *names)
{
	const ScimAttr *top = attr->parent ? attr->parent : attr;
	char		path[256];
	ListCell   *lc;

	(void) scim_attr_path(type, attr, path, sizeof(path));
	foreach(lc, names)
	{
		const char *name = (const char *) lfirst(lc);
		size_t		len = strlen(name);

		if (pg_strcasecmp(name, path) == 0 ||
			(pg_strncasecmp(name, path, len) == 0 && (path[len] == '.' || path[len] == ':')))
			return true;
		/* "name.formatted" is why "name" is there */
		if (attr == top && attr->type == SCIM_TYPE_COMPLEX && pg_strncasecmp(name, path, strlen(path)) == 0 && name[strlen(path)] == '.')
			return true;
	}
	return false;
}

/*
 * May clients write it, by the schema?  (That the mapping can't write it back
 * into the relation is no matter here.)
 */
static bool
is_writable(const ScimResourceType *full, const ScimResourceType *type, const ScimAttr *attr)
{
	const ScimAttr *top = attr->parent ? attr->parent : attr;
	const ScimAttr *known = NULL;

	if (top->ext == SCIM_EXT_CORE)
		known = scim_type_attr(full, SCIM_EXT_CORE, top->name, strlen(top->name));
	for (int i = 0; i < full->nexts && top->ext != SCIM_EXT_CORE; i++)
		if (strcmp(full->exts[i].schema->uri, type->exts[top->ext].schema->uri) == 0)
			known = scim_type_attr(full, i, top->name, strlen(top->name));
	if (known && known->mutability != SCIM_READ_ONLY && attr->parent)
		known = scim_attr_sub(known, attr->name, strlen(attr->name));
	return known && known->mutability != SCIM_READ_ONLY;
}

/* All attributes that a client may write, and that this target keeps. */
static ScimSelection *
writable(const ScimSync *sync, const ScimServer *server, const ScimResourceType *type)
{
	bool		group = strcmp(type->name, "Group") == 0;
	List	   *kept = group ? server->group_attributes : server->user_attributes;
	bool		external_id = group ? server->external_id_group : server->external_id_user;
	const ScimResourceType *full = scim_catalog_resource_type(type->name);
	ScimError	err;
	ScimSelection *selection;

	memset(&err, 0, sizeof(err));
	selection = scim_selection_all(type, &err);
	if (selection == NULL)
		unusable(sync, err.detail);
	for (int i = 0; i < type->nattrs; i++)
	{
		const ScimAttr *attr = type->attrs[i];
		const ScimAttr *top = attr->parent ? attr->parent : attr;

		if (top == type->a_meta || top == type->a_schemas || top == type->a_id ||
			full == NULL || !is_writable(full, type, attr) || strcmp(attr->name, "$ref") == 0 ||
			(attr == type->a_external_id ? !external_id : kept != NIL && !listed(type, attr, kept)))
			selection->has[i] = false;
	}
	return selection;
}

static const ScimAttr *
path_attr(const ScimSync *sync, const ScimResourceType *type, const char *text, bool *unmapped)
{
	ScimError	err;
	ScimPath   *path;

	memset(&err, 0, sizeof(err));
	path = scim_path_parse(type, text, strlen(text), SCIM_STRICT, &err);
	*unmapped = path == NULL;
	if (path == NULL || path->attr == NULL)
		return NULL;
	/* a rule on one value of a list is a rule on the list */
	return path->sub && !path->attr->multi ? path->sub : path->attr;
}

/*
 * Of a list that is made of slots (emails[type eq "work"]) the sync manages the
 * values of these types, and no others.
 */
static void
set_types(ScimSyncView *view)
{
	const ScimMapping *mapping = view->target.mapping;
	bool	   *whole = palloc0(sizeof(bool) * view->type->nattrs);

	view->style.types = palloc0(sizeof(List *) * view->type->nattrs);
	for (int i = 0; i < mapping->nchildren; i++)
		whole[mapping->children[i].attr->ord] = true;
	for (int i = 0; i < mapping->nslots; i++)
	{
		const ScimSlot *slot = &mapping->slots[i];
		const char *type = NULL;

		for (int j = 0; j < slot->nsubs; j++)
			if (slot->subs[j] && strcmp(slot->subs[j]->name, "type") == 0)
				type = slot->srcs[j].constant;
		if (type == NULL)
			whole[slot->attr->ord] = true;
		else
			view->style.types[slot->attr->ord] = lappend(view->style.types[slot->attr->ord], unconstify(char *, type));
	}
	for (int i = 0; i < view->type->nattrs; i++)
		if (whole[i])
			view->style.types[i] = NIL;
}

/* What the sync says of attributes, by ord. */
static void
set_rules(ScimSyncView *view)
{
	const ScimSync *sync = view->sync;
	ScimAttrRule *rules = palloc0(sizeof(ScimAttrRule) * view->type->nattrs);

	for (int i = 0; i < view->type->nattrs; i++)
		if (listed(view->type, view->type->attrs[i], view->server->immutable_attributes))
			rules[i].apply = SCIM_APPLY_CREATE_ONLY;
	for (int i = 0; i < sync->nattributes; i++)
	{
		const ScimSyncAttribute *given = &sync->attributes[i];
		bool		unmapped;
		const ScimAttr *attr = path_attr(sync, view->type, given->path, &unmapped);

		if (attr == NULL)
			unusable(sync, psprintf("its mapping has no attribute \"%s\"", given->path));
		if (given->apply != SCIM_APPLY_ALWAYS)
			rules[attr->ord].apply = given->apply;
		rules[attr->ord].on_null = given->on_null;
		for (int j = 0; j < attr->nsubs; j++)
			rules[attr->subs[j]->ord] = rules[attr->ord];
	}
	for (int i = 0; i < view->type->nattrs; i++)
		view->has_rules = view->has_rules || rules[i].apply != SCIM_APPLY_ALWAYS || rules[i].on_null == SCIM_NULL_SKIP;
	view->style.rules = rules;
}

static void
add_rule(ScimSyncView *view, const ScimAttr *attr)
{
	ScimMatchRule *rule = &view->rules[view->nrules++];

	rule->nattrs = 1;
	rule->attrs = palloc(sizeof(ScimAttr *));
	rule->attrs[0] = attr;
}

static void
add_to_rule(ScimMatchRule *rule, const ScimAttr *attr)
{
	rule->attrs = repalloc(rule->attrs, sizeof(ScimAttr *) * (rule->nattrs + 1));
	rule->attrs[rule->nattrs++] = attr;
}

/* Does "eq" on this attribute work at the target? */
static bool
can_filter(const ScimServer *server, const ScimResourceType *type, const char *name)
{
	List	   *names = strcmp(type->name, "Group") == 0 ? server->filter_group : server->filter_user;
	ListCell   *lc;

	foreach(lc, names)
		if (pg_strcasecmp((const char *) lfirst(lc), name) == 0)
			return true;
	return false;
}

/* An attribute that identifies resources, if mapping and target have it. */
static void
add_default_rule(ScimSyncView *view, const char *name)
{
	const ScimAttr *attr = scim_type_attr(view->type, SCIM_EXT_CORE, name, strlen(name));

	if (attr && view->nrules < SCIM_MAX_RULES &&
		can_filter(view->server, view->type, name))
		add_rule(view, attr);
}

/* The rules of the sync in their order; without any, those that everybody has. */
static void
set_match_rules(ScimSyncView *view)
{
	const ScimSync *sync = view->sync;
	int			done = 0;

	view->rules = palloc0(sizeof(ScimMatchRule) * SCIM_MAX_RULES);
	for (;;)
	{
		const ScimSyncAttribute *next = NULL;
		bool		unmapped;

		for (int i = 0; i < sync->nattributes; i++)
		{
			const ScimSyncAttribute *given = &sync->attributes[i];

			if (given->match > done && (next == NULL || given->match < next->match))
				next = given;
		}
		if (next == NULL || view->nrules == SCIM_MAX_RULES)
			break;
		done = next->match;
		add_rule(view, path_attr(sync, view->type, next->path, &unmapped));
		/* those of one rank are one rule */
		for (int i = 0; i < sync->nattributes; i++)
			if (sync->attributes[i].match == done && &sync->attributes[i] != next)
				add_to_rule(&view->rules[view->nrules - 1], path_attr(sync, view->type, sync->attributes[i].path, &unmapped));
	}
	if (view->nrules > 0)
		return;
	add_default_rule(view, "externalId");
	add_default_rule(view, "userName");
	add_default_rule(view, "displayName");
	if (view->nrules == 0)
		unusable(sync, "no attribute of its mapping tells which resource of the target a row is; name one with \"match\"");
}

/* A complex attribute whose `value` is the id of a resource. */
static bool
is_reference(const ScimAttr *attr)
{
	const ScimAttr *ref = attr->type == SCIM_TYPE_COMPLEX ? scim_attr_sub(attr, "$ref", 4) : NULL;

	return ref && ref->type == SCIM_TYPE_REFERENCE && scim_attr_sub(attr, "value", 5);
}

/*
 * Is there nothing to change in what the store says of a row?  (Numbers are
 * parsed: a column may hold what is none.)
 */
static bool
is_as_stored(const ScimSyncView *view)
{
	for (int i = 0; i < view->sync->nattributes; i++)
		if (view->sync->attributes[i].on_null == SCIM_NULL_DEFAULT)
			return false;
	if (view->server->email_types != NIL || view->server->multi_value_max != 0)
		return false;
	for (int i = 0; i < view->type->nattrs; i++)
	{
		const ScimAttr *attr = view->type->attrs[i];

		if (view->selection->has[attr->ord] &&
			(attr->type == SCIM_TYPE_INTEGER || attr->type == SCIM_TYPE_DECIMAL || is_reference(attr)))
			return false;
	}
	return true;
}

ScimSyncView *
scim_sync_view(const ScimSync *sync)
{
	ScimSyncView *view = palloc0(sizeof(ScimSyncView));
	ScimEndpoint *nowhere = palloc0(sizeof(ScimEndpoint));
	ScimReferee *self = palloc(sizeof(ScimReferee));
	const ScimMappingSet *set;
	List	   *mappings;
	const ScimAttr *active;

	/* references lead from one mapping to another: they are resolved together */
	view->referees = scim_links_partners(sync, &mappings);
	set = scim_catalog_mappings(sync->owner, lcons(unconstify(char *, sync->mapping), mappings));

	if (set->broken)
		unusable(sync, set->broken);
	view->sync = sync;
	view->server = scim_server_by_name(sync->server);
	nowhere->name = sync->name;
	nowhere->public_url = "";
	nowhere->owner = sync->owner;
	view->target.endpoint = nowhere;
	view->target.mapping = set->mappings[0];
	view->target.type = view->type = set->mappings[0]->type;
	self->type = view->type->name;
	self->sync_id = sync->id;
	view->referees = lcons(self, view->referees);
	view->selection = writable(sync, view->server, view->type);

	active = scim_type_attr(view->type, SCIM_EXT_CORE, "active", 6);
	view->active_mapped = active != NULL;
	view->can_disable = active != NULL || strcmp(view->type->name, "User") == 0;
	set_rules(view);
	set_types(view);
	view->style.managed = view->selection->has;
	view->style.pathless = view->server->patch_path_style == SCIM_PATCH_PATHLESS;
	view->style.one_operation = view->server->patch_one_operation;
	view->style.whole_lists = !view->server->patch_value_path;
	view->style.members_per_request = view->server->members_per_request;
	view->update_method = strcmp(view->type->name, "Group") == 0 ? view->server->group_update : view->server->update_method;
	view->style.remove_by_list = view->server->member_remove == SCIM_MEMBER_REMOVE_VALUE;
	set_match_rules(view);
	view->as_stored = is_as_stored(view);
	return view;
}

/* ---- documents ---- */

/* Give an attribute without a value its default. */
static void
set_default(const ScimSyncView *view, json_t *document, const ScimSyncAttribute *given)
{
	bool		unmapped;
	const ScimAttr *attr = path_attr(view->sync, view->type, given->path, &unmapped);
	const ScimAttr *top;
	json_t	   *part = document;
	json_t	   *inner;
	ScimError	err;

	if (attr == NULL || !view->selection->has[attr->ord] || scim_document_value(view->type, document, attr))
		return;
	memset(&err, 0, sizeof(err));
	top = attr->parent ? attr->parent : attr;
	if (top->ext != SCIM_EXT_CORE)
	{
		const char *uri = view->type->exts[top->ext].schema->uri;

		if (!json_is_object(json_object_get(document, uri)))
			json_object_set_new(document, uri, scim_json_object());
		part = json_object_get(document, uri);
	}
	if (attr->parent)
	{
		if (!json_is_object(json_object_get(part, top->name)))
			json_object_set_new(part, top->name, scim_json_object());
		part = json_object_get(part, top->name);
	}
	inner = scim_json_parse(given->default_value, strlen(given->default_value), &err);
	if (inner)
		json_object_set_new(part, attr->name, inner);
}

/* Leave out values of a list that the target does not take. */
static void
limit_values(const ScimSyncView *view, json_t *document, const ScimAttr *attr)
{
	const ScimServer *server = view->server;
	json_t	   *list = attr->ext == SCIM_EXT_CORE ? json_object_get(document, attr->name) : NULL;
	size_t		kept = 0;

	if (!json_is_array(list) || scim_multi_is_reference(attr))
		return;
	while (kept < json_array_size(list))
	{
		const json_t *type = json_object_get(json_array_get(list, kept), "type");
		bool		fits = server->email_types == NIL || strcmp(attr->name, "emails") != 0;
		ListCell   *lc;

		if (!fits)
			foreach(lc, server->email_types)
				fits = fits || (json_is_string(type) && pg_strcasecmp(json_string_value(type), (const char *) lfirst(lc)) == 0);
		if (fits && (server->multi_value_max == 0 || kept < server->multi_value_max))
			kept++;
		else
			json_array_remove(list, kept);
	}
	if (kept == 0)
		json_object_del(document, attr->name);
}

/* ---- references ---- */

/* The type that a value refers to: as it says itself, or as the schema says. */
const char *
scim_referred_type(const ScimAttr *attr, const json_t *value)
{
	const ScimAttr *ref = scim_attr_sub(attr, "$ref", 4);
	const json_t *type = json_object_get(value, "type");

	if (json_is_string(type))
		return json_string_value(type);
	return ref->nref_types > 0 ? ref->ref_types[0] : "User";
}

/*
 * Replace the keys in a list of references by ids of the target.  What is not
 * there yet is left out, and counted; as is, without being counted, what no sync
 * brings there.
 */
static void
translate_list(const ScimSyncView *view, const ScimAttr *attr, json_t *list, int *waiting)
{
	size_t		n = json_array_size(list);
	const char **keys = palloc(sizeof(char *) * Max(n, 1));
	bool	   *kept = palloc0(sizeof(bool) * Max(n, 1));
	json_t	   *all;
	ListCell   *lc;

	foreach(lc, view->referees)
	{
		const ScimReferee *referee = (const ScimReferee *) lfirst(lc);
		const char **ids;
		int			nkeys = 0;

		for (size_t i = 0; i < n; i++)
			if (pg_strcasecmp(scim_referred_type(attr, json_array_get(list, i)), referee->type) == 0 &&
				json_is_string(json_object_get(json_array_get(list, i), "value")))
				keys[nkeys++] = json_string_value(json_object_get(json_array_get(list, i), "value"));
		if (nkeys == 0)
			continue;
		ids = scim_links_remote_ids(referee->sync_id, keys, nkeys);
		nkeys = 0;
		for (size_t i = 0; i < n; i++)
		{
			json_t	   *item = json_array_get(list, i);

			if (kept[i] || pg_strcasecmp(scim_referred_type(attr, item), referee->type) != 0 ||
				!json_is_string(json_object_get(item, "value")))
				continue;
			if (ids[nkeys])
			{
				json_object_set_new(item, "value", json_string(ids[nkeys]));
				json_object_del(item, "display");
				kept[i] = true;
			}
			else
				(*waiting)++;
			nkeys++;
		}
	}
	/* one pass: to remove each would move the rest each time */
	all = json_copy(list);
	json_array_clear(list);
	for (size_t i = 0; i < n; i++)
		if (kept[i])
			json_array_append(list, json_array_get(all, i));
	json_decref(all);
}

/* Keys of rows become ids of the target, in every attribute that refers to resources. */
static void
translate_references(const ScimSyncView *view, json_t *document, int *waiting)
{
	for (int i = 0; i < view->type->ntop; i++)
	{
		const ScimAttr *attr = view->type->top[i];
		json_t	   *part = scim_resource_part(view->type, document, attr->ext);
		json_t	   *value = json_is_object(part) ? json_object_get(part, attr->name) : NULL;
		json_t	   *list;

		if (value == NULL || !is_reference(attr))
			continue;
		if (json_is_array(value))
			translate_list(view, attr, value, waiting);
		else
		{
			list = json_array();
			json_array_append(list, value);
			translate_list(view, attr, list, waiting);
			if (json_array_size(list) == 0)
				json_object_del(part, attr->name);
			value = NULL;
		}
		if (json_is_array(value) && json_array_size(value) == 0)
			json_object_del(part, attr->name);
	}
}

/* ---- the text ---- */

/* Texts as long as this are parsed, so that a limit is one of the row. */
#define MAX_AS_STORED (64 * 1024)

/* {"schemas":[...],"id":"...",attributes}: the attributes alone. */
static char *
without_head(const char *resource)
{
	static const char *const id = "],\"id\":\"";
	const char *p = strstr(resource, id);

	if (p == NULL)
		elog(ERROR, "a resource has no id");
	p += strlen(id);
	while (*p != '"')
		p += *p == '\\' ? 2 : 1;
	p++;
	return psprintf("{%s", *p == ',' ? p + 1 : p);
}

/*
 * The row's resource as this target is to have it: without what the target
 * makes itself, with defaults of the sync, referring to resources by their ids
 * there.
 */
static char *
document_text(const ScimSyncView *view, const char *resource, ScimNests *nests, ScimDocument *document)
{
	ScimCoreFrame frame;
	ScimError	err;
	json_t	   *value;
	char	   *text;
	size_t		len;

	if (view->as_stored && nests == NULL && strlen(resource) < MAX_AS_STORED)
		return without_head(resource);
	memset(&err, 0, sizeof(err));
	scim_core_enter(&frame);
	value = scim_json_parse(resource, strlen(resource), &err);
	if (value)
	{
		json_object_del(value, "id");
		json_object_del(value, "schemas");
		for (int i = 0; i < view->sync->nattributes; i++)
			if (view->sync->attributes[i].on_null == SCIM_NULL_DEFAULT)
				set_default(view, value, &view->sync->attributes[i]);
		for (int i = 0; i < view->type->ntop; i++)
			limit_values(view, value, view->type->top[i]);
		if (nests)
			document->inner = scim_nests_flatten(view, nests, document->key, value);
		translate_references(view, value, &document->waiting);
	}
	text = value ? scim_json_print(value, &len) : NULL;
	scim_core_leave(&frame);
	if (text == NULL || scim_alloc_failed())
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a resource can't be read: %s", err.status ? err.detail : "out of memory")));
	return text;
}

json_t *
scim_document_parse(const char *text)
{
	ScimError	err;
	json_t	   *value;

	memset(&err, 0, sizeof(err));
	value = scim_json_parse(text, strlen(text), &err);
	if (value == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("a document can't be read: %s", err.detail)));
	return value;
}

/* What is read in a subtransaction. */
typedef struct Reading
{
	const ScimSyncView *view;
	ScimDocument *documents;
	int			n;
	const char *after;			/* read_keys */
	int			limit;
	const char **keys;
	bool		in_scope;
} Reading;

static void
read_some(Reading *reading)
{
	const ScimSyncView *view = reading->view;
	ScimDocument *documents = reading->documents;
	int			n = reading->n;
	MemoryContext context = CurrentMemoryContext;
	const char **ids = palloc(sizeof(char *) * n);
	ScimStoreRow *rows;
	ScimNests  *nests;
	int			nrows;

	for (int i = 0; i < n; i++)
		ids[i] = documents[i].key;
	scim_heap_begin((size_t) scim_request_memory * 1024);
	scim_store_collect(&view->target, ids, n, view->sync->scope, view->selection, &rows, &nrows);
	MemoryContextSwitchTo(context);
	nests = scim_nests_read(view, rows, nrows, ids);
	/* rows come in the order of the keys, some of which have none */
	for (int i = 0, j = 0; i < n; i++)
	{
		documents[i].presence = SCIM_ROW_GONE;
		documents[i].text = NULL;
		documents[i].waiting = 0;
		documents[i].inner = NIL;
		documents[i].problem = NULL;
		if (j >= nrows || rows[j].index != i)
			continue;
		documents[i].presence = rows[j].in_scope ? SCIM_ROW_IN_SCOPE : SCIM_ROW_OUT_OF_SCOPE;
		if (rows[j].in_scope)
			documents[i].text = document_text(view, rows[j].json, nests, &documents[i]);
		j++;
	}
}

/*
 * The owner's expressions may fail: then what was read is nothing, and this
 * returns the error's SQLSTATE.  (Messages may hold values of a row.)
 */
static int
in_subtransaction(void (*read) (Reading *reading), Reading *reading)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile int sqlstate = ERRCODE_SUCCESSFUL_COMPLETION;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		read(reading);
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(context);
		edata = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		scim_core_reset();
		switch (ERRCODE_TO_CATEGORY(edata->sqlerrcode))
		{
			case ERRCODE_TO_CATEGORY(ERRCODE_T_R_SERIALIZATION_FAILURE):
			case ERRCODE_TO_CATEGORY(ERRCODE_OPERATOR_INTERVENTION):
			case ERRCODE_TO_CATEGORY(ERRCODE_INSUFFICIENT_RESOURCES):
				ReThrowError(edata);
		}
		sqlstate = edata->sqlerrcode;
	}
	PG_END_TRY();
	return sqlstate;
}

/* If one row fails, each half is tried, until it is known which. */
static void
read_bisecting(const ScimSyncView *view, ScimDocument *documents, int n)
{
	Reading		reading = {.view = view, .documents = documents, .n = n};
	int			sqlstate = in_subtransaction(read_some, &reading);

	if (sqlstate == ERRCODE_SUCCESSFUL_COMPLETION)
		return;
	documents[0].presence = SCIM_ROW_IN_SCOPE;
	documents[0].text = NULL;
	documents[0].problem = psprintf("the row can't be read: SQLSTATE %s", unpack_sql_state(sqlstate));
	if (n > 1)
	{
		read_bisecting(view, documents, n / 2);
		read_bisecting(view, documents + n / 2, n - n / 2);
	}
}

ScimDocument *
scim_documents_read(const ScimSyncView *view, const char *const *keys, int n)
{
	ScimDocument *documents = palloc0(sizeof(ScimDocument) * Max(n, 1));

	for (int i = 0; i < n; i++)
		documents[i].key = keys[i];
	if (n > 0)
		read_bisecting(view, documents, n);
	return documents;
}

static void
read_keys(Reading *reading)
{
	reading->n = scim_store_keys(&reading->view->target, reading->after, reading->limit, reading->view->sync->scope,
								 &reading->keys, &reading->in_scope);
}

int
scim_documents_keys(const ScimSyncView *view, const char *after, int limit, const char ***keys, bool *in_scope)
{
	Reading		reading = {.view = view, .after = after, .limit = limit};
	bool		any;

	if (view->sync->scope && in_subtransaction(read_keys, &reading) == ERRCODE_SUCCESSFUL_COMPLETION)
	{
		*keys = reading.keys;
		*in_scope = reading.in_scope;
		return reading.n;
	}
	*in_scope = true;
	return scim_store_keys(&view->target, after, limit, NULL, keys, &any);
}

/* ---- matching ---- */

const char *
scim_match_text(const ScimSyncView *view, const ScimAttr *attr, const json_t *document)
{
	const json_t *value = scim_document_value(view->type, document, attr);

	if (json_is_array(value))
		value = json_array_get(value, 0);
	if (json_is_object(value))
		value = json_object_get(value, "value");
	return json_is_string(value) && json_string_length(value) > 0 ? json_string_value(value) : NULL;
}

char *
scim_match_path(const ScimSyncView *view, const ScimMatchRule *rule, const json_t *document)
{
	StringInfoData filter;
	char	   *encoded;
	char	   *path;

	initStringInfo(&filter);
	for (int i = 0; i < rule->nattrs; i++)
	{
		const ScimAttr *attr = rule->attrs[i];
		const char *value = scim_match_text(view, attr, document);
		char		name[256];

		if (value == NULL)
			return NULL;
		/* where a filter has no "and", the rest is looked for in what is returned */
		if (i > 0 && !view->server->filter_and)
			continue;
		if (i > 0)
			appendStringInfoString(&filter, " and ");
		appendStringInfoString(&filter, scim_attr_path(view->type, attr, name, sizeof(name)));
		if (attr->type == SCIM_TYPE_COMPLEX)
			appendStringInfoString(&filter, ".value");
		appendStringInfoString(&filter, " eq ");
		escape_json(&filter, value);
	}
	encoded = scim_client_encode(filter.data);
	if (encoded == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	path = psprintf("%s?filter=%s", view->type->endpoint, encoded);
	free(encoded);
	return path;
}

/* Does the resource hold this value, by the attribute's rules? */
static bool
holds(const ScimSyncView *view, const ScimAttr *attr, const char *wanted, const json_t *resource)
{
	const ScimAttr *value_attr = attr->type == SCIM_TYPE_COMPLEX ? scim_attr_sub(attr, "value", 5) : attr;
	const json_t *value = scim_document_value(view->type, resource, attr);
	size_t		n = json_is_array(value) ? json_array_size(value) : 1;
	bool		result = false;
	ScimCoreFrame frame;
	json_t	   *text;

	if (value_attr == NULL || value == NULL)
		return false;
	scim_core_enter(&frame);
	text = json_string(wanted);
	for (size_t i = 0; text && i < n && !result; i++)
	{
		const json_t *item = json_is_array(value) ? json_array_get(value, i) : value;

		if (json_is_object(item))
			item = scim_json_get(item, "value", NULL);
		result = item && scim_value_fits(value_attr, item) && scim_value_compare(value_attr, item, text) == 0;
	}
	scim_core_leave(&frame);
	return result;
}

bool
scim_match_holds(const ScimSyncView *view, const ScimMatchRule *rule,
				 const json_t *document, const json_t *resource)
{
	for (int i = 0; i < rule->nattrs; i++)
	{
		const char *wanted = scim_match_text(view, rule->attrs[i], document);

		if (wanted == NULL || !holds(view, rule->attrs[i], wanted, resource))
			return false;
	}
	return true;
}
