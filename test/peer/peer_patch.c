/*
 * peer_patch.c
 *		PATCH (RFC 7644 3.5.2), and what a profile accepts in a resource.
 *
 * The document is a copy, thrown away on an error.  Members are changed in
 * place, because a group may have very many; each change leaves what was there
 * before in edit->undo.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "peer.h"

typedef enum
{
	OP_ADD, OP_REPLACE, OP_REMOVE
} Op;

static bool fail(Edit *edit, int status, const char *scim_type, const char *format,...)
			__attribute__((format(printf, 4, 5)));

static bool
fail(Edit *edit, int status, const char *scim_type, const char *format,...)
{
	va_list		args;

	edit->status = status;
	edit->scim_type = scim_type;
	va_start(args, format);
	vsnprintf(edit->error, sizeof(edit->error), format, args);
	va_end(args);
	return false;
}

/* ---- members ---- */

static void
member_set(Edit *edit, json_t *members, const char *id, json_t *member)
{
	if (edit->undo && members == edit->members && edit->kept == NULL)
	{
		json_t	   *old = json_object_get(members, id);

		json_array_append_new(edit->undo, json_pack("[s, O?]", id, old));
	}
	if (member)
		json_object_set(members, id, member);
	else
		json_object_del(members, id);
}

/* The id of a member as a client sends it, {"value": id, …}. */
static const char *
member_id(Edit *edit, const json_t *member)
{
	const char *id = json_string_value(peer_get(member, "value", NULL));
	int			most = peer_settings.profile.members_change;

	if (id == NULL || *id == '\0')
	{
		fail(edit, 400, "invalidValue", "a member must be an object with a value");
		return NULL;
	}
	if (edit->strict && most && ++edit->changes > most)
	{
		fail(edit, 400, "invalidValue", "more than %d members in a request", most);
		return NULL;
	}
	return id;
}

static bool
members_add(Edit *edit, json_t *members, const json_t *values)
{
	size_t		n = json_is_array(values) ? json_array_size(values) : 1;

	for (size_t i = 0; i < n; i++)
	{
		json_t	   *member = json_is_array(values) ? json_array_get(values, i) : (json_t *) values;
		const char *id = member_id(edit, member);

		if (id == NULL)
			return false;
		if (edit->strict && peer_settings.profile.members_exist && !peer_find(false, id) && !peer_find(true, id))
			return fail(edit, 400, "invalidValue", "member %.60s does not exist", id);
		if (json_object_get(members, id) == NULL)
		{
			json_t	   *clean = json_copy(member);
			const char *key;
			void	   *next;
			json_t	   *value;

			json_object_foreach_safe(clean, next, key, value)
				if (json_is_null(value))
					json_object_del(clean, key);
			member_set(edit, members, id, clean);
			json_decref(clean);
		}
	}
	return true;
}

/* An array of members as an object by id; NULL is an empty array. */
json_t *
peer_members_object(Edit *edit, const json_t *members)
{
	json_t	   *object = json_object();

	if (members != NULL && !json_is_null(members) && !members_add(edit, object, members))
	{
		json_decref(object);
		return NULL;
	}
	return object;
}

static bool
patch_members(Edit *edit, Op op, const Path *path, const json_t *value)
{
	if (path->key)
	{
		const char *id = json_string_value(path->value);

		if (op != OP_REMOVE || strcasecmp(path->key, "value") != 0 || id == NULL || path->sub)
			return fail(edit, 400, "invalidPath", "of members, only members[value eq \"id\"] can be removed");
		if (peer_settings.profile.members_change && ++edit->changes > peer_settings.profile.members_change)
			return fail(edit, 400, "invalidValue", "more than %d members in a request", peer_settings.profile.members_change);
		member_set(edit, edit->members, id, NULL);
		return true;
	}
	if (path->sub)
		return fail(edit, 400, "invalidPath", "members has to be changed as a whole");
	if (op == OP_ADD)
		return members_add(edit, edit->members, value);
	if (op == OP_REMOVE && json_is_array(value))
	{
		json_t	   *member;
		size_t		i;

		json_array_foreach((json_t *) value, i, member)
		{
			const char *id = member_id(edit, member);

			if (id == NULL)
				return false;
			member_set(edit, edit->members, id, NULL);
		}
		return true;
	}
	if (!peer_settings.profile.members_set)
		return fail(edit, 400, "invalidValue", "members cannot be replaced or removed as a whole");
	if (edit->kept == NULL)
		edit->kept = edit->members;
	else
		json_decref(edit->members);
	edit->members = json_object();
	return op == OP_REMOVE || members_add(edit, edit->members, value);
}

/* ---- other attributes ---- */

/* add and replace of an object give its sub-attributes, and leave others. */
static bool
merge(json_t *into, const json_t *value)
{
	const char *key;
	json_t	   *sub;

	json_object_foreach((json_t *) value, key, sub)
	{
		const char *spelled;

		peer_get(into, key, &spelled);
		if (json_is_null(sub))
			json_object_del(into, spelled);
		else
			json_object_set(into, spelled, sub);
	}
	return true;
}

static bool
append(json_t *array, json_t *value)
{
	json_t	   *there;
	size_t		i;

	json_array_foreach(array, i, there)
		if (json_equal(there, value))
			return true;
	return json_array_append(array, value) == 0;
}

static bool
patch_plain(Op op, json_t *container, const char *name, json_t *value)
{
	const char *spelled;
	json_t	   *old = peer_get(container, name, &spelled);

	if (op == OP_REMOVE || json_is_null(value))
		json_object_del(container, spelled);
	else if (json_is_object(old) && json_is_object(value))
		merge(old, value);
	else if (op == OP_ADD && json_is_array(old))
	{
		size_t		i;
		json_t	   *each;

		if (!json_is_array(value))
			return append(old, value);
		json_array_foreach(value, i, each)
			append(old, each);
	}
	else
		json_object_set(container, spelled, value);
	return true;
}

static bool
element_matches(const json_t *element, const Path *path)
{
	const json_t *value = peer_get(element, path->key, NULL);

	if (json_is_string(value) && json_is_string(path->value))
		return strcasecmp(json_string_value(value), json_string_value(path->value)) == 0;
	return value && json_equal((json_t *) value, path->value);
}

static bool
patch_elements(Edit *edit, Op op, json_t *container, const Path *path, json_t *value)
{
	const char *spelled;
	json_t	   *array = peer_get(container, path->attribute, &spelled);
	int			matched = 0;

	if (!peer_settings.profile.value_paths)
		return fail(edit, 400, "invalidPath", "a filter in a path is not supported");
	if (op != OP_REMOVE && path->sub == NULL && !json_is_object(value))
		return fail(edit, 400, "invalidValue", "the value of %.60s must be an object", path->attribute);
	for (size_t i = json_array_size(array); i-- > 0;)
	{
		json_t	   *element = json_array_get(array, i);

		if (!element_matches(element, path))
			continue;
		matched++;
		if (path->sub)
			patch_plain(op == OP_ADD ? OP_REPLACE : op, element, path->sub, value);
		else if (op == OP_REMOVE)
			json_array_remove(array, i);
		else
			merge(element, value);
	}
	if (json_is_array(array) && json_array_size(array) == 0)
		json_object_del(container, spelled);
	if (matched == 0 && op == OP_REPLACE)
		return fail(edit, 400, "noTarget", "no value of %.60s matches", path->attribute);
	if (matched == 0 && op == OP_ADD)
	{
		json_t	   *element = json_pack("{s:O}", path->key, path->value);

		if (path->sub)
			json_object_set(element, path->sub, value);
		else
			merge(element, value);
		if (!json_is_array(peer_get(container, path->attribute, &spelled)))
			json_object_set_new(container, spelled, json_array());
		json_array_append_new(json_object_get(container, spelled), element);
	}
	return true;
}

static bool
patch_sub(Edit *edit, Op op, json_t *container, const Path *path, json_t *value)
{
	const char *spelled;
	json_t	   *object = peer_get(container, path->attribute, &spelled);

	if (object == NULL && op == OP_REMOVE)
		return true;
	if (object == NULL)
	{
		object = json_object();
		json_object_set_new(container, spelled, object);
	}
	if (!json_is_object(object))
		return fail(edit, 400, "invalidPath", "%.60s has no sub-attribute of its own", path->attribute);
	patch_plain(op, object, path->sub, value);
	if (json_object_size(object) == 0)
		json_object_del(container, spelled);
	return true;
}

static bool
patch_path(Edit *edit, Op op, const char *text, json_t *value, bool pathless)
{
	const char *patchable = peer_settings.profile.patchable;
	Path		path;
	json_t	   *container = edit->doc;
	bool		done;

	if (!peer_path_parse(text, &path))
		done = fail(edit, 400, "invalidPath", "path \"%.80s\" is not understood", text);
	else if (path.urn == NULL && peer_listed("id meta schemas groups", path.attribute))
		done = pathless || fail(edit, 400, "mutability", "%.60s is read-only", path.attribute);
	else if (!edit->group && patchable && !peer_listed(patchable, path.attribute ? path.attribute : path.urn))
		done = fail(edit, 400, NULL, "Invalid Patch Operation.");
	else if (edit->group && path.urn == NULL && strcasecmp(path.attribute, "members") == 0)
		done = patch_members(edit, op, &path, value);
	else if (path.attribute == NULL)
		done = patch_plain(op, container, path.urn, value);
	else
	{
		if (path.urn)
		{
			const char *spelled;

			container = peer_get(edit->doc, path.urn, &spelled);
			if (!json_is_object(container))
			{
				container = json_object();
				json_object_set_new(edit->doc, spelled, container);
			}
		}
		if (path.key)
			done = patch_elements(edit, op, container, &path, value);
		else if (path.sub)
			done = patch_sub(edit, op, container, &path, value);
		else
			done = patch_plain(op, container, path.attribute, value);
		if (path.urn && json_object_size(container) == 0)
			json_object_del(edit->doc, path.urn);
	}
	peer_path_free(&path);
	return done;
}

static bool
patch_operation(Edit *edit, const json_t *operation)
{
	const char *name = json_string_value(peer_get(operation, "op", NULL));
	const json_t *path = peer_get(operation, "path", NULL);
	json_t	   *value = peer_get(operation, "value", NULL);
	const char *key;
	json_t	   *each;
	Op			op;

	if (name == NULL)
		return fail(edit, 400, "invalidSyntax", "an operation must have an op");
	for (const char *c = name; peer_settings.profile.lower_ops && *c; c++)
		if (isupper((unsigned char) *c))
			return fail(edit, 400, "invalidSyntax", "op must be one of add, replace, remove");
	if (strcasecmp(name, "add") == 0)
		op = OP_ADD;
	else if (strcasecmp(name, "replace") == 0)
		op = OP_REPLACE;
	else if (strcasecmp(name, "remove") == 0)
		op = OP_REMOVE;
	else
		return fail(edit, 400, "invalidSyntax", "op must be one of add, replace, remove");
	if (op != OP_REMOVE && value == NULL)
		return fail(edit, 400, "invalidValue", "%s needs a value", name);
	if (path)
	{
		if (!json_is_string(path))
			return fail(edit, 400, "invalidPath", "path must be a string");
		return patch_path(edit, op, json_string_value(path), value, false);
	}
	if (op == OP_REMOVE)
		return fail(edit, 400, "noTarget", "remove needs a path");
	if (peer_settings.profile.pathless == PATHLESS_NONE)
		return fail(edit, 400, "invalidPath", "an operation must have a path");
	if (!json_is_object(value))
		return fail(edit, 400, "invalidValue", "without a path, the value must be an object");
	if (peer_settings.profile.pathless == PATHLESS_SINGLE && json_object_size(value) != 1)
		return fail(edit, 400, "invalidPath", "without a path, the value must have a single attribute");
	json_object_foreach(value, key, each)
		if (!patch_path(edit, op, key, each, true))
			return false;
	return true;
}

/* Apply PATCH operations; after false, call peer_patch_undo. */
bool
peer_patch(Edit *edit, const json_t *operations)
{
	json_t	   *operation;
	size_t		i;

	if (!json_is_array(operations) || json_array_size(operations) == 0)
		return fail(edit, 400, "invalidSyntax", "Operations must be an array that is not empty");
	edit->undo = json_array();
	json_array_foreach((json_t *) operations, i, operation)
		if (!patch_operation(edit, operation))
			return false;
	return true;
}

/* Members as they were before peer_patch. */
void
peer_patch_undo(Edit *edit)
{
	if (edit->kept)
	{
		json_decref(edit->members);
		edit->members = edit->kept;
		edit->kept = NULL;
	}
	for (size_t i = json_array_size(edit->undo); i-- > 0;)
	{
		json_t	   *step = json_array_get(edit->undo, i);
		const char *id = json_string_value(json_array_get(step, 0));
		json_t	   *old = json_array_get(step, 1);

		if (json_is_null(old))
			json_object_del(edit->members, id);
		else
			json_object_set(edit->members, id, old);
	}
}

/* ---- what a profile accepts ---- */

/* "name.formatted" of the list allows {"formatted": …} in name, or [{…}, …]. */
static bool
attribute_allowed(const char *list, const char *name, const json_t *value)
{
	char		full[256];
	const char *sub;
	json_t	   *each;
	size_t		i;

	if (peer_listed(list, name))
		return true;
	if (json_is_array(value) && json_array_size(value) > 0)
	{
		json_array_foreach((json_t *) value, i, each)
			if (!attribute_allowed(list, name, each))
				return false;
		return true;
	}
	if (!json_is_object(value) || json_object_size(value) == 0)
		return false;
	json_object_foreach((json_t *) value, sub, each)
	{
		snprintf(full, sizeof(full), "%s.%s", name, sub);
		if (!peer_listed(list, full))
			return false;
	}
	return true;
}

static bool
check_emails(Edit *edit)
{
	const json_t *emails = peer_get(edit->doc, "emails", NULL);
	const char *types = peer_settings.profile.email_types;
	json_t	   *email;
	size_t		i;
	int			primaries = 0;

	if (peer_settings.profile.needs_email && json_array_size(emails) == 0)
		return fail(edit, 400, "invalidValue", "at least one e-mail address is required");
	if (emails && !json_is_array(emails))
		return fail(edit, 400, "invalidValue", "emails must be an array");
	json_array_foreach((json_t *) emails, i, email)
	{
		const char *type = json_string_value(peer_get(email, "type", NULL));
		const char *value = json_string_value(peer_get(email, "value", NULL));
		const json_t *primary = peer_get(email, "primary", NULL);

		if (value == NULL || strchr(value, '@') == NULL)
			return fail(edit, 400, "invalidValue", "an e-mail must have an address as its value");
		if (types && (type == NULL || !peer_listed(types, type)))
			return fail(edit, 400, "invalidValue", "the type of an e-mail must be one of: %s", types);
		if (primary && !json_is_boolean(primary))
			return fail(edit, 400, "invalidValue", "primary must be a boolean");
		primaries += json_is_true(primary);
	}
	if (primaries > 1)
		return fail(edit, 400, "invalidValue", "more than one e-mail is primary");
	return true;
}

static bool
check_name(Edit *edit, const char *attribute)
{
	const char *spelled;
	const char *name = json_string_value(peer_get(edit->doc, attribute, &spelled));
	int			most = peer_settings.profile.text_max;

	if (name == NULL || *name == '\0')
		return fail(edit, 400, "invalidValue", "%s is required", attribute);
	if (most && (int) strlen(name) > most)
		return fail(edit, 400, "invalidValue", "%s is longer than %d bytes", attribute, most);
	if (!edit->group && peer_settings.profile.lower_names)
	{
		char	   *lower = peer_strdup(name);

		for (char *c = lower; *c; c++)
			*c = tolower((unsigned char) *c);
		json_object_set_new(edit->doc, spelled, json_string(lower));
		free(lower);
	}
	return true;
}

/*
 * Is the document one that this profile takes?  Drops what is read-only, null,
 * or ignored.  before is the document that it replaces, or NULL.
 */
bool
peer_check(Edit *edit, const json_t *before)
{
	const Profile *profile = &peer_settings.profile;
	const char *list = edit->group ? profile->group_attributes : profile->user_attributes;
	const json_t *active;
	const char *key;
	void	   *next;
	json_t	   *value;

	json_object_foreach_safe(edit->doc, next, key, value)
	{
		if (peer_listed("id meta schemas", key))
			continue;
		if (json_is_null(value) || (json_is_array(value) && json_array_size(value) == 0) ||
			peer_listed("groups password", key))
			json_object_del(edit->doc, key);
		else if (list && !attribute_allowed(list, key, value))
		{
			if (!profile->ignores_unknown)
				return fail(edit, 400, "invalidValue", "attribute %.60s or a part of it is not supported", key);
			json_object_del(edit->doc, key);
		}
		else if (profile->multi_max && json_is_array(value) && (int) json_array_size(value) > profile->multi_max)
			return fail(edit, 400, "invalidValue", "%.60s has more than %d values", key, profile->multi_max);
		else if (before && peer_listed(profile->immutable, key) && !json_equal(value, peer_get(before, key, NULL)))
			return fail(edit, 400, "mutability", "%.60s cannot be changed", key);
	}
	active = peer_get(edit->doc, "active", NULL);
	if (active && !json_is_boolean(active))
		return fail(edit, 400, "invalidValue", "active must be a boolean");
	if (!edit->group && active == NULL)
		json_object_set_new(edit->doc, "active", json_true());
	if (edit->group && profile->members_total && (int) json_object_size(edit->members) > profile->members_total)
		return fail(edit, 413, "tooMany", "a group can have %d members", profile->members_total);
	return check_name(edit, edit->group ? "displayName" : "userName") && (edit->group || check_emails(edit));
}
