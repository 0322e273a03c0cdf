/*
 * core_patch_compat.c
 *		What identity providers send in a PATCH, rewritten for the pure engine
 *		(requirements section 17).
 *
 * Nothing here is needed for a client that follows RFC 7644.  Each rewrite has
 * a name and is noted in the report; those on single values (string booleans,
 * a manager as a string, arrays of one) are in core_validate.c, because POST
 * and PUT need them as well.
 *
 *	member_case				"operations", "Op", "Path"
 *	op_case					"Replace"							(Entra)
 *	schemas_missing			no PatchOp URI
 *	empty_operations		"Operations": []					(Entra's validator)
 *	empty_path				"path": ""
 *	array_of_one			"value": [{...}] without path, or for one value
 *	dotted_key				{"name.givenName": "x"}				(Entra)
 *	urn_key					{"urn:...:User:department": "x"}	(Entra)
 *	value_path_key			{"emails[type eq \"work\"].value": "x"}
 *	bare_extension_key		"department"
 *	extension_path			"path": "urn:...:enterprise:2.0:User"
 *	schemas_key_ignored		{"schemas": [...], "title": "x"}
 *	readonly_key_ignored	{"id": "g1", "displayName": "x"}	(Okta)
 *	unknown_key_ignored		{"shoeSize": 44}
 *	remove_value_list		remove members [{"value": "u1"}]	(Entra)
 *	json_in_string			roles [{"value": "{\"value\":...}"}] (Entra)
 *	create_from_filter		replace of a value that is not there (in the engine)
 */
#include "core_patch_internal.h"

#include <string.h>

static bool
lower_eq(const json_t *value, const char *text)
{
	return json_is_string(value) && scim_name_eq(json_string_value(value), json_string_length(value), text);
}

/* Copies member "name" under its right spelling. */
static bool
copy_member(json_t *to, const json_t *from, const char *name, ScimReport *report)
{
	const char *key = NULL;
	json_t	   *value = scim_json_get(from, name, &key);

	if (value == NULL)
		return true;
	if (strcmp(key, name) != 0)
		scim_report_add(report, "member_case");
	return json_object_set_nocheck(to, name, value) == 0;
}

static json_t *
request_operation(const json_t *operation, ScimReport *report)
{
	static const char *const ops[] = {"add", "replace", "remove"};
	json_t	   *out = scim_json_object();
	json_t	   *value;
	size_t		i;

	if (out == NULL ||
		!copy_member(out, operation, "op", report) ||
		!copy_member(out, operation, "path", report) ||
		!copy_member(out, operation, "value", report))
		return NULL;

	value = json_object_get(out, "op");
	for (i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
	{
		if (!lower_eq(value, ops[i]) || strcmp(json_string_value(value), ops[i]) == 0)
			continue;
		scim_report_add(report, "op_case");
		if (json_object_set_new_nocheck(out, "op", json_string_nocheck(ops[i])) != 0)
			return NULL;
		break;
	}

	value = json_object_get(out, "path");
	if (json_is_string(value) && json_string_length(value) == 0)
	{
		scim_report_add(report, "empty_path");
		json_object_del(out, "path");
		value = NULL;
	}
	if (value == NULL || json_is_null(value))
	{
		value = json_object_get(out, "value");
		if (json_is_array(value) && json_array_size(value) == 1 && json_is_object(json_array_get(value, 0)))
		{
			scim_report_add(report, "array_of_one");
			if (json_object_set_nocheck(out, "value", json_array_get(value, 0)) != 0)
				return NULL;
		}
	}
	return out;
}

static json_t *
request(const json_t *body, ScimReport *report)
{
	json_t	   *out = scim_json_object();
	json_t	   *schemas;
	json_t	   *operations;
	json_t	   *list;
	size_t		i;

	if (out == NULL ||
		!copy_member(out, body, "schemas", report) ||
		!copy_member(out, body, "Operations", report))
		return NULL;

	schemas = json_object_get(out, "schemas");
	if (schemas == NULL || json_is_null(schemas) || (json_is_array(schemas) && json_array_size(schemas) == 0) ||
		lower_eq(schemas, SCIM_URN_PATCH_OP))
	{
		scim_report_add(report, "schemas_missing");
		list = json_array();
		if (list == NULL || json_array_append_new(list, json_string_nocheck(SCIM_URN_PATCH_OP)) != 0 ||
			json_object_set_new_nocheck(out, "schemas", list) != 0)
			return NULL;
	}

	operations = json_object_get(out, "Operations");
	/* One past the limit is as good as a million. */
	if (!json_is_array(operations) || json_array_size(operations) > SCIM_PATCH_MAX_OPERATIONS)
		return out;
	if (json_array_size(operations) == 0)
		scim_report_add(report, "empty_operations");
	list = json_array();
	if (list == NULL)
		return NULL;
	for (i = 0; i < json_array_size(operations); i++)
	{
		json_t	   *operation = json_array_get(operations, i);

		if (json_is_object(operation))
		{
			if (json_array_append_new(list, request_operation(operation, report)) != 0)
				return NULL;
		}
		else if (json_array_append(list, operation) != 0)
			return NULL;
	}
	if (json_object_set_new_nocheck(out, "Operations", list) != 0)
		return NULL;
	return out;
}

const json_t *
scim_patch_compat_request(const json_t *body, ScimReport *report, ScimError *err)
{
	json_t	   *out = request(body, report);

	if (out == NULL)
		scim_fail_memory(err);
	return out;
}

bool
scim_patch_compat_ignores(ScimPatchBuild *build, const ScimAttr *attr, const ScimAttr *sub)
{
	const char *name = NULL;

	if (attr == build->type->a_schemas)
		name = "schemas_key_ignored";
	else if (attr->mutability == SCIM_READ_ONLY || (sub != NULL && sub->mutability == SCIM_READ_ONLY))
		name = "readonly_key_ignored";
	if (name == NULL)
		return false;
	scim_report_add(build->report, name);
	if (build->report != NULL)
		build->report->ignored++;
	return true;
}

static char *
qualified(const char *uri, const char *key)
{
	size_t		ulen = strlen(uri);
	size_t		klen = strlen(key);
	char	   *text = scim_alloc(ulen + klen + 2);

	if (text == NULL)
		return NULL;
	memcpy(text, uri, ulen);
	text[ulen] = ':';
	memcpy(text + ulen + 1, key, klen + 1);
	return text;
}

bool
scim_patch_compat_key(ScimPatchBuild *build, ScimPatchKind kind, int index, int ext,
					  const char *key, const json_t *value)
{
	const ScimResourceType *type = build->type;
	const char *text = key;
	ScimPath   *path;
	ScimPath	named;
	ScimError	local;

	if (ext != SCIM_EXT_CORE)
	{
		text = qualified(type->exts[ext].schema->uri, key);
		if (text == NULL)
			return scim_fail_memory(build->err);
	}
	memset(&local, 0, sizeof(local));
	local.position = -1;
	path = scim_path_parse(type, text, strlen(text), SCIM_COMPAT, &local);
	if (path == NULL)
	{
		const char *bracket = strchr(text, '[');

		/*
		 * An unknown name is ignored, but a known attribute with a filter
		 * that cannot be read is an error: silence would lose a change.
		 */
		memset(&named, 0, sizeof(named));
		if (local.status == 413 ||
			(bracket != NULL && scim_path_resolve(type, text, (size_t) (bracket - text), SCIM_COMPAT, &named) > 0))
			return scim_patch_pass(build->err, type, index, named.attr, &local);
		scim_report_add(build->report, "unknown_key_ignored");
		if (build->report != NULL)
			build->report->ignored++;
		return true;
	}
	if (path->attr == NULL)
	{
		/* {"urn:...:core:2.0:User": {...}}; extensions never come here. */
		scim_report_add(build->report, "urn_key");
		return scim_patch_compat_extension(build, kind, index, path->ext, value);
	}
	scim_report_add(build->report, path->filter != NULL ? "value_path_key" :
					strchr(key, ':') != NULL ? "urn_key" :
					path->sub != NULL ? "dotted_key" : "bare_extension_key");
	if (scim_patch_compat_ignores(build, path->attr, path->sub))
		return true;
	return scim_patch_push(build, kind, index, path, path->attr, value, true);
}

bool
scim_patch_compat_extension(ScimPatchBuild *build, ScimPatchKind kind, int index, int ext, const json_t *value)
{
	const ScimResourceType *type = build->type;
	int			i;

	if (build->mode == SCIM_COMPAT)
		scim_report_add(build->report, "extension_path");
	if (kind == SCIM_PATCH_REMOVE || json_is_null(value))
	{
		if (ext == SCIM_EXT_CORE)
			return scim_patch_fail(build->err, type, index, NULL, 400, SCIM_NO_TARGET,
								   "the core schema cannot be removed");
		if (kind == SCIM_PATCH_ADD)
			return true;
		for (i = 0; i < type->ntop; i++)
		{
			ScimAttr   *attr = type->top[i];

			if (attr->ext == ext && attr->mutability != SCIM_READ_ONLY &&
				!scim_patch_push(build, SCIM_PATCH_REMOVE, index, NULL, attr, NULL, true))
				return false;
		}
		return true;
	}
	if (json_is_array(value) && json_array_size(value) == 1)
		value = json_array_get(value, 0);
	if (!json_is_object(value))
		return scim_patch_fail(build->err, type, index, NULL, 400, SCIM_INVALID_VALUE,
							   "the value of a schema must be an object");
	return scim_patch_split(build, kind, index, ext, value);
}

/* Copies a member of the JSON text as a sub-attribute, if there is such a one. */
static bool
take_inner(const ScimAttr *attr, json_t *to, const char *name, const json_t *inner, const char *from)
{
	json_t	   *value = json_object_get(inner, from);

	if (value == NULL || scim_attr_sub(attr, name, strlen(name)) == NULL || json_object_get(to, name) != NULL)
		return true;
	return json_object_set_nocheck(to, name, value) == 0;
}

/*
 * Entra: {"value": "{\"id\":\"...\",\"value\":\"Admin\",\"displayName\":\"Admin\"}"}
 * means {"value": "Admin", "display": "Admin"}.  Returns the text's object, or
 * NULL if it is none with a string `value`.
 */
static json_t *
unpack_text(const json_t *value)
{
	ScimError	local;
	json_t	   *inner;

	if (!json_is_string(value) || json_string_value(value)[0] != '{')
		return NULL;
	memset(&local, 0, sizeof(local));
	inner = scim_json_parse(json_string_value(value), json_string_length(value), &local);
	if (!json_is_object(inner) || !json_is_string(json_object_get(inner, "value")))
		return NULL;
	return inner;
}

static json_t *
unpack_roles(ScimPatchBuild *build, const ScimAttr *attr, const json_t *value)
{
	json_t	   *list = json_array();
	size_t		n = json_is_array(value) ? json_array_size(value) : 1;
	size_t		i;

	if (list == NULL)
		return NULL;
	for (i = 0; i < n; i++)
	{
		json_t	   *role = json_is_array(value) ? json_array_get(value, i) : (json_t *) value;
		json_t	   *inner = json_is_object(role) ? unpack_text(json_object_get(role, "value")) : NULL;
		json_t	   *out;
		const char *key;
		json_t	   *member;

		if (inner == NULL)
		{
			if (json_array_append(list, role) != 0)
				return NULL;
			continue;
		}
		scim_report_add(build->report, "json_in_string");
		out = scim_json_object();
		if (out == NULL || json_array_append_new(list, out) != 0)
			return NULL;
		json_object_foreach(role, key, member)
		{
			if (strcmp(key, "value") != 0 && json_object_set_nocheck(out, key, member) != 0)
				return NULL;
		}
		if (!take_inner(attr, out, "value", inner, "value") ||
			!take_inner(attr, out, "display", inner, "display") ||
			!take_inner(attr, out, "display", inner, "displayName") ||
			!take_inner(attr, out, "type", inner, "type") ||
			!take_inner(attr, out, "primary", inner, "primary"))
			return NULL;
	}
	return list;
}

bool
scim_patch_compat_op(ScimPatchBuild *build, ScimPatchOp *op)
{
	ScimPath   *path = op->path;
	bool		whole = path->filter == NULL && path->sub == NULL;
	json_t	   *inner;

	if (op->kind == SCIM_PATCH_REMOVE)
	{
		/*
		 * Entra: {"op":"Remove","path":"members","value":[{"value":"u1"}]}.
		 * An empty list names nobody and counts as absent (P-C052), but one
		 * whose elements say nothing is not empty: see scim_patch_listed().
		 */
		if (op->value != NULL && whole && path->attr->multi && !json_is_null(op->value) &&
			!(json_is_array(op->value) && json_array_size(op->value) == 0))
		{
			op->listed_only = true;
			scim_report_add(build->report, "remove_value_list");
		}
		else
			op->value = NULL;
	}
	else if (op->kind == SCIM_PATCH_REPLACE)
		op->may_create = path->filter != NULL && path->attr->type == SCIM_TYPE_COMPLEX &&
			!scim_multi_is_reference(path->attr);

	if (op->value == NULL || !path->attr->multi || path->attr->ext != SCIM_EXT_CORE ||
		!scim_name_eq(path->attr->name, strlen(path->attr->name), "roles"))
		return true;
	if (path->sub == NULL)
	{
		op->value = unpack_roles(build, path->attr, op->value);
		if (op->value == NULL)
			return scim_fail_memory(build->err);
		/* A filter selects values; what replaces one is no list. */
		if (path->filter != NULL && json_array_size(op->value) == 1)
			op->value = json_array_get(op->value, 0);
	}
	else if (scim_name_eq(path->sub->name, strlen(path->sub->name), "value"))
	{
		inner = unpack_text(op->value);
		if (inner != NULL)
		{
			scim_report_add(build->report, "json_in_string");
			op->value = json_object_get(inner, "value");
		}
	}
	return true;
}

json_t *
scim_patch_listed(const ScimResourceType *type, const ScimPatchOp *op, ScimMode mode,
				  ScimReport *report, ScimError *err)
{
	ScimAttr   *attr = op->path->attr;
	bool		reference = scim_multi_is_reference(attr);
	const json_t *list = scim_patch_as_array(op->value);
	json_t	   *out = json_array();
	size_t		i;
	int			j;

	if (list == NULL || out == NULL)
	{
		scim_fail_memory(err);
		return NULL;
	}
	if (attr->type != SCIM_TYPE_COMPLEX)
	{
		json_t	   *wanted = scim_patch_wanted(type, op, attr, list, mode, report, err);

		return json_is_null(wanted) ? out : wanted;
	}
	for (i = 0; i < json_array_size(list); i++)
	{
		const json_t *given = json_array_get(list, i);
		json_t	   *one = scim_json_object();

		if (one == NULL || json_array_append_new(out, one) != 0)
		{
			scim_fail_memory(err);
			return NULL;
		}
		for (j = 0; j < attr->nsubs; j++)
		{
			ScimAttr   *sub = attr->subs[j];
			bool		is_value = scim_name_eq(sub->name, strlen(sub->name), "value");
			const char *key;
			const json_t *part;
			json_t	   *wanted;

			if (reference && !is_value)
				continue;
			part = json_is_string(given) && is_value ? given :
				json_is_object(given) ? scim_json_get(given, sub->name, &key) : NULL;
			if (part == NULL || scim_json_unassigned(part))
				continue;
			wanted = scim_patch_wanted(type, op, sub, part, mode, report, err);
			if (wanted == NULL)
				return NULL;
			if (!json_is_null(wanted) && json_object_set_new_nocheck(one, sub->name, wanted) != 0)
			{
				scim_fail_memory(err);
				return NULL;
			}
		}
		if (json_object_size(one) == 0)
		{
			scim_patch_fail(err, type, op->index, attr, 400, SCIM_INVALID_VALUE,
							"element %d of the value names nothing to remove", (int) i);
			return NULL;
		}
	}
	return out;
}
