/*
 * peer_store.c
 *		Resources in memory.
 *
 * A resource is kept as the JSON text that a GET answers, parsed only to be
 * changed, so that a million users fit and reading costs a copy.  Members of a
 * group are kept apart in an object by id, which adds and removes in constant
 * time however large the group is.
 *
 * Indexes are one search tree (tsearch) of "kind, value" with the resources
 * that have it, in order of creation.  The order of a list is that of creation;
 * the array has no holes, so that a page costs what is on it.
 */
#define _GNU_SOURCE

#include <ctype.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "peer.h"

typedef struct Entry
{
	char	   *key;
	Resource  **items;
	int			n;
} Entry;

typedef struct List
{
	Resource  **items;
	long		n;
	long		size;
} List;

static void *tree;
static List users;
static List groups;
static long next_seq = 1;
static uint64_t id_state = 1;

void
peer_store_seed(uint64_t seed)
{
	id_state = seed * 2 + 1;
}

/* ---- indexes ---- */

static int
compare_entries(const void *a, const void *b)
{
	return strcmp(((const Entry *) a)->key, ((const Entry *) b)->key);
}

/* ids and externalId are case-exact, names and addresses are not */
static char *
index_key(IndexKind kind, const char *value)
{
	char	   *key = peer_alloc(strlen(value) + 2);
	bool		fold = kind == BY_USER_NAME || kind == BY_DISPLAY_NAME || kind == BY_EMAIL || kind == BY_CREATED;

	key[0] = kind;
	strcpy(key + 1, value);
	for (char *c = key + 1; fold && *c; c++)
		*c = tolower((unsigned char) *c);
	return key;
}

static Entry *
index_entry(IndexKind kind, const char *value, bool make)
{
	Entry		wanted = {.key = index_key(kind, value)};
	Entry	  **found = tfind(&wanted, &tree, compare_entries);
	Entry	   *entry;

	if (found != NULL || !make)
	{
		free(wanted.key);
		return found ? *found : NULL;
	}
	entry = peer_alloc(sizeof(Entry));
	*entry = wanted;
	tsearch(entry, &tree, compare_entries);
	return entry;
}

static void
index_add(IndexKind kind, const char *value, Resource *res)
{
	Entry	   *entry = index_entry(kind, value, true);

	entry->items = realloc(entry->items, (entry->n + 1) * sizeof(Resource *));
	entry->items[entry->n++] = res;
}

static void
index_drop(IndexKind kind, const char *value, Resource *res)
{
	Entry	   *entry = index_entry(kind, value, false);

	for (int i = 0; entry != NULL && i < entry->n; i++)
		if (entry->items[i] == res)
		{
			memmove(entry->items + i, entry->items + i + 1, (entry->n - i - 1) * sizeof(Resource *));
			entry->n--;
			break;
		}
	if (entry != NULL && entry->n == 0)
	{
		tdelete(entry, &tree, compare_entries);
		free(entry->items);
		free(entry->key);
		free(entry);
	}
}

int
peer_lookup(IndexKind kind, const char *value, Resource ***found)
{
	Entry	   *entry = index_entry(kind, value, false);

	*found = entry ? entry->items : NULL;
	return entry ? entry->n : 0;
}

Resource *
peer_find(bool group, const char *id)
{
	Resource  **found;

	return peer_lookup(group ? BY_GROUP_ID : BY_USER_ID, id, &found) ? found[0] : NULL;
}

static const char *
text_of(const json_t *doc, const char *name)
{
	return json_string_value(peer_get(doc, name, NULL));
}

/* Add (or drop) every index entry of a document. */
static void
index_document(const json_t *doc, Resource *res, void (*change) (IndexKind, const char *, Resource *))
{
	const char *name = text_of(doc, res->group ? "displayName" : "userName");
	const char *external = text_of(doc, "externalId");
	json_t	   *emails = res->group ? NULL : peer_get(doc, "emails", NULL);
	json_t	   *email;
	size_t		i;

	change(res->group ? BY_GROUP_ID : BY_USER_ID, res->id, res);
	if (name)
		change(res->group ? BY_DISPLAY_NAME : BY_USER_NAME, name, res);
	if (external)
		change(res->group ? BY_GROUP_EXTERNAL_ID : BY_USER_EXTERNAL_ID, external, res);
	json_array_foreach(emails, i, email)
	{
		const char *value = text_of(email, "value");

		if (value)
			change(BY_EMAIL, value, res);
	}
}

/* ---- documents ---- */

static void
time_text(char *to, size_t size)
{
	time_t		now = peer_wall() / 1000;
	struct tm	tm;

	strftime(to, size, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
}

/* id, schemas and meta are ours, whatever a client has sent. */
static void
complete(Resource *res, json_t *doc)
{
	json_t	   *meta = json_object_get(doc, "meta");
	const char *type = res->group ? "Group" : "User";
	char		now[32];

	time_text(now, sizeof(now));
	if (!json_is_object(meta) || res->version == 0)
	{
		char	   *location = peer_format("%s/%ss/%s", peer_settings.location, type, res->id);

		meta = json_pack("{s:s, s:s, s:s}", "resourceType", type, "created", now, "location", location);
		json_object_set_new(doc, "meta", meta);
		free(location);
	}
	res->version++;
	json_object_set_new(meta, "lastModified", json_string(now));
	if (peer_settings.profile.etag)
		json_object_set_new(meta, "version", json_sprintf("W/\"%ld\"", res->version));
	if (!json_is_array(json_object_get(doc, "schemas")))
		json_object_set_new(doc, "schemas", json_pack("[s]", res->group ? PEER_GROUP : PEER_USER));
	json_object_set_new(doc, "id", json_string(res->id));
}

static void
keep_text(Resource *res, const json_t *doc)
{
	free(res->text);
	res->text = json_dumps(doc, JSON_COMPACT);
}

static void
new_id(char *id, size_t size)
{
	do
	{
		uint64_t	a = peer_random(&id_state);
		uint64_t	b = peer_random(&id_state);

		snprintf(id, size, "%08x-%04x-4%03x-%04x-%012llx", (unsigned) (a >> 32), (unsigned) (a >> 16 & 0xffff),
				 (unsigned) (a & 0xfff), (unsigned) (b >> 48 & 0x3fff) | 0x8000, (unsigned long long) (b & 0xffffffffffff));
	} while (peer_find(false, id) || peer_find(true, id));
}

/*
 * Make a resource of doc and, for a group, members; both are taken over.
 * *twice: a create of the same name or externalId has succeeded before.
 */
Resource *
peer_create(bool group, json_t *doc, json_t *members, bool *twice)
{
	Resource   *res = peer_alloc(sizeof(Resource));
	List	   *list = group ? &groups : &users;
	const char *name = text_of(doc, group ? "displayName" : "userName");
	const char *external = text_of(doc, "externalId");
	char	   *marked;
	Resource  **found;

	res->seq = next_seq++;
	res->group = group;
	res->members = group && members == NULL ? json_object() : members;
	res->visible_at = peer_now() + peer_settings.search_lag_ms;
	if (json_string_length(json_object_get(doc, "id")) > 0 && json_string_length(json_object_get(doc, "id")) < sizeof(res->id))
		strcpy(res->id, text_of(doc, "id"));
	else
		new_id(res->id, sizeof(res->id));
	complete(res, doc);

	*twice = false;
	marked = peer_format("%c%s", group ? 'g' : 'u', name ? name : "");
	*twice |= name && peer_lookup(BY_CREATED, marked, &found) > 0;
	if (name)
		index_add(BY_CREATED, marked, res);
	free(marked);
	marked = peer_format("%c%s", group ? 'g' : 'u', external ? external : "");
	*twice |= external && peer_lookup(BY_CREATED_EXTERNAL_ID, marked, &found) > 0;
	if (external)
		index_add(BY_CREATED_EXTERNAL_ID, marked, res);
	free(marked);

	index_document(doc, res, index_add);
	keep_text(res, doc);
	json_decref(doc);
	if (list->n == list->size)
	{
		list->size = list->size ? list->size * 2 : 1024;
		list->items = realloc(list->items, list->size * sizeof(Resource *));
	}
	list->items[list->n++] = res;
	return res;
}

/* A resource with its id, from a state that was saved; takes doc. */
Resource *
peer_restore(json_t *doc)
{
	const char *type = json_string_value(json_object_get(json_object_get(doc, "meta"), "resourceType"));
	bool		group = type ? strcmp(type, "Group") == 0 : json_object_get(doc, "userName") == NULL;
	Edit		edit = {.group = group, .doc = doc};
	json_t	   *members = group ? peer_members_object(&edit, json_object_get(doc, "members")) : NULL;
	bool		twice;
	Resource   *res;

	json_object_del(doc, "members");
	res = peer_create(group, doc, members, &twice);
	res->visible_at = 0;
	return res;
}

/* doc becomes the resource's document; it is taken over. */
void
peer_replace(Resource *res, json_t *doc)
{
	json_t	   *old = json_loads(res->text, 0, NULL);

	index_document(old, res, index_drop);
	complete(res, doc);
	index_document(doc, res, index_add);
	keep_text(res, doc);
	json_decref(old);
	json_decref(doc);
}

/* Requests under way may point at it, so it stays, empty. */
void
peer_remove(Resource *res)
{
	List	   *list = res->group ? &groups : &users;
	json_t	   *old = json_loads(res->text, 0, NULL);
	long		low = 0;
	long		high = list->n;

	index_document(old, res, index_drop);
	json_decref(old);
	while (low < high)
	{
		long		middle = (low + high) / 2;

		if (list->items[middle]->seq < res->seq)
			low = middle + 1;
		else
			high = middle;
	}
	memmove(list->items + low, list->items + low + 1, (list->n - low - 1) * sizeof(Resource *));
	list->n--;
	res->gone = true;
	free(res->text);
	res->text = NULL;
	json_decref(res->members);
	res->members = NULL;
}

void
peer_remove_all(void)
{
	while (users.n > 0)
		peer_remove(users.items[users.n - 1]);
	while (groups.n > 0)
		peer_remove(groups.items[groups.n - 1]);
}

json_t *
peer_document(const Resource *res, bool members)
{
	json_t	   *doc = json_loads(res->text, 0, NULL);

	if (members && res->members && json_object_size(res->members) > 0)
	{
		json_t	   *array = json_array();
		const char *id;
		json_t	   *member;

		json_object_foreach(res->members, id, member)
			json_array_append(array, member);
		json_object_set_new(doc, "members", array);
	}
	return doc;
}

char *
peer_text(const Resource *res, bool members, size_t *length)
{
	char	   *text;

	if (members && res->members && json_object_size(res->members) > 0)
	{
		json_t	   *doc = peer_document(res, true);

		text = json_dumps(doc, JSON_COMPACT);
		json_decref(doc);
	}
	else
		text = peer_strdup(res->text);
	*length = strlen(text);
	return text;
}

long
peer_resources(bool group, Resource ***all)
{
	*all = group ? groups.items : users.items;
	return group ? groups.n : users.n;
}

static int
compare_text(const void *a, const void *b, void *group)
{
	const char *name = *(bool *) group ? "displayName" : "userName";
	const char *left = text_of(*(json_t *const *) a, name);
	const char *right = text_of(*(json_t *const *) b, name);
	int			order = strcmp(left ? left : "", right ? right : "");

	return order ? order : strcmp(text_of(*(json_t *const *) a, "id"), text_of(*(json_t *const *) b, "id"));
}

/* {"Users": […], "Groups": […]}, by name. */
json_t *
peer_state(void)
{
	json_t	   *state = json_object();

	for (int group = 0; group < 2; group++)
	{
		const List *list = group ? &groups : &users;
		json_t	  **docs = peer_alloc((list->n + 1) * sizeof(json_t *));
		json_t	   *array = json_array();
		bool		is_group = group;

		for (long i = 0; i < list->n; i++)
			docs[i] = peer_document(list->items[i], true);
		qsort_r(docs, list->n, sizeof(json_t *), compare_text, &is_group);
		for (long i = 0; i < list->n; i++)
			json_array_append_new(array, docs[i]);
		free(docs);
		json_object_set_new(state, group ? "Groups" : "Users", array);
	}
	return state;
}
