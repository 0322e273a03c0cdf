/*
 * core_validate_body.c
 *		A body of POST or PUT becomes the state that is wanted (RFC 7644 3.3,
 *		3.5.1), and the check of a final state.
 *
 * A body is taken in two passes: first the members that are named as the
 * schema names them, then (compat) those that are paths, "name.givenName" or
 * "urn:...:User:department", so that the order of members carries no meaning
 * (R-7643-2.3.8-01).  What PUT cannot change or cannot know (immutable,
 * writeOnly) is taken over from the stored resource.
 */
#include "core_validate_internal.h"

#include <string.h>

#include "core_multi.h"
#include "core_path.h"

#define PATH_SIZE			SCIM_WANTED_PATH_SIZE

static json_t *
out_of_memory(ScimWanted *w)
{
	scim_fail_memory(w->err);
	return NULL;
}

static bool
unassigned(const json_t *value)
{
	return value == NULL || scim_json_unassigned(value);
}

/* The object of "ext" in the state under construction; made where missing. */
static json_t *
part_for(ScimWanted *w, json_t *out, int ext)
{
	const char *uri;
	json_t	   *part;

	if (ext == SCIM_EXT_CORE)
		return out;
	uri = w->type->exts[ext].schema->uri;
	part = json_object_get(out, uri);
	if (part == NULL)
	{
		part = scim_json_object();
		if (part == NULL || json_object_set_new_nocheck(out, uri, part) != 0)
			return out_of_memory(w);
	}
	return part;
}

static bool
set_attribute(ScimWanted *w, json_t *out, ScimAttr *attr, const json_t *value)
{
	json_t	   *part;
	json_t	   *wanted;

	if (attr == w->type->a_schemas)
		return true;
	if (attr->mutability == SCIM_READ_ONLY)
	{
		if (w->report != NULL)
			w->report->ignored++;
		return true;
	}
	wanted = scim_wanted_value(w, attr, value);
	if (wanted == NULL)
		return false;
	if (json_is_null(wanted))
		return true;
	part = part_for(w, out, attr->ext);
	if (part == NULL)
		return false;
	if (json_object_set_new_nocheck(part, attr->name, wanted) != 0)
		return scim_fail_memory(w->err);
	return true;
}

/* Is "key" the URI of the core schema or of an extension, and of which? */
static bool
is_schema_uri(const ScimResourceType *type, const char *key, int *ext)
{
	size_t		len = strlen(key);

	return len > 0 && scim_type_match_uri(type, key, len, ext) == len;
}

/* Members of one object (the body, or an extension's), named as in the schema. */
static bool
take_plain(ScimWanted *w, json_t *out, const json_t *object, int ext)
{
	const char *key;
	json_t	   *value;
	char		safe[SCIM_SAFE_NAME_SIZE];

	json_object_foreach((json_t *) object, key, value)
	{
		ScimAttr   *attr = scim_type_attr(w->type, ext, key, strlen(key));
		int			inner;

		if (attr != NULL)
		{
			if (!set_attribute(w, out, attr, value))
				return false;
			continue;
		}
		if (ext != SCIM_EXT_CORE || !is_schema_uri(w->type, key, &inner) || inner == SCIM_EXT_CORE)
			continue;
		if (unassigned(value))
			continue;
		if (!json_is_object(value))
			return scim_fail(w->err, 400, SCIM_INVALID_VALUE, "extension \"%s\" must be an object",
							 scim_safe_name(w->type->exts[inner].schema->uri, safe, sizeof(safe)));
		if (!take_plain(w, out, value, inner))
			return false;
	}
	return true;
}

/*
 * A member whose name is a path (compat): {"name.givenName": "x"}, or
 * {"emails[type eq \"work\"].value": "y"}.  *taken is false if it is none.
 */
static bool
take_path(ScimWanted *w, json_t *out, const char *text, const json_t *value, bool *taken)
{
	ScimError	local;
	ScimPath   *path;
	json_t	   *part;
	json_t	   *holder;
	json_t	   *wanted;
	ScimAttr   *attr;

	memset(&local, 0, sizeof(local));
	*taken = false;
	path = scim_path_parse(w->type, text, strlen(text), SCIM_COMPAT, &local);
	if (path == NULL)
	{
		if (local.status == 413)
			return scim_fail_memory(w->err);
		return true;
	}
	attr = path->attr;
	if (attr == NULL)
		return true;
	if (path->filter != NULL ? !attr->multi || attr->type != SCIM_TYPE_COMPLEX : path->sub != NULL && attr->multi)
		return true;
	*taken = true;
	scim_report_add(w->report, path->filter != NULL ? "value_path_key" :
					strchr(text, ':') != NULL ? "urn_key" :
					path->sub != NULL ? "dotted_key" : "bare_extension_key");
	if (attr->mutability == SCIM_READ_ONLY || (path->sub != NULL && path->sub->mutability == SCIM_READ_ONLY))
	{
		if (w->report != NULL)
			w->report->ignored++;
		return true;
	}
	if (path->filter == NULL && path->sub == NULL)
		return set_attribute(w, out, attr, value);

	wanted = path->sub != NULL ? scim_wanted_value(w, path->sub, value) : scim_wanted_single(w, attr, value);
	if (wanted == NULL)
		return false;
	if (json_is_null(wanted))
		return true;
	part = part_for(w, out, attr->ext);
	if (part == NULL)
		return false;

	holder = json_object_get(part, attr->name);
	if (path->filter == NULL)
	{
		if (holder == NULL)
		{
			holder = scim_json_object();
			if (holder == NULL || json_object_set_new_nocheck(part, attr->name, holder) != 0)
				return scim_fail_memory(w->err);
		}
	}
	else
	{
		json_t	   *array = holder;
		size_t		i;
		bool		described;

		if (array == NULL)
		{
			array = json_array();
			if (array == NULL || json_object_set_new_nocheck(part, attr->name, array) != 0)
				return scim_fail_memory(w->err);
		}
		holder = NULL;
		for (i = 0; i < json_array_size(array) && holder == NULL; i++)
		{
			if (scim_filter_eval_value(path->filter, json_array_get(array, i)))
				holder = json_array_get(array, i);
		}
		if (holder == NULL)
		{
			holder = scim_json_object();
			if (holder == NULL || json_array_append_new(array, holder) != 0)
				return scim_fail_memory(w->err);
			if (!scim_multi_describe(path->filter, holder, &described, w->err))
				return false;
			if (!described)
				return scim_fail(w->err, 400, SCIM_INVALID_VALUE,
								 "attribute \"%s\": the filter in a member name must be a conjunction of eq",
								 attr->name);
		}
	}
	if (path->sub != NULL)
	{
		if (json_object_set_new_nocheck(holder, path->sub->name, wanted) != 0)
			return scim_fail_memory(w->err);
	}
	else if (json_object_update(holder, wanted) != 0)
		return scim_fail_memory(w->err);
	return true;
}

/* Members that take_plain() passed over: paths (compat) and unknown ones. */
static bool
take_others(ScimWanted *w, json_t *out, const json_t *object, int ext)
{
	const char *key;
	json_t	   *value;

	json_object_foreach((json_t *) object, key, value)
	{
		const char *text = key;
		bool		taken = false;
		int			inner;

		if (scim_type_attr(w->type, ext, key, strlen(key)) != NULL)
			continue;
		if (ext == SCIM_EXT_CORE && is_schema_uri(w->type, key, &inner))
		{
			if (inner != SCIM_EXT_CORE || w->mode == SCIM_COMPAT)
			{
				if (json_is_object(value) && !take_others(w, out, value, inner))
					return false;
				continue;
			}
		}
		else if (w->mode == SCIM_COMPAT)
		{
			if (ext != SCIM_EXT_CORE)
			{
				const char *uri = w->type->exts[ext].schema->uri;
				size_t		size = strlen(uri) + strlen(key) + 2;
				char	   *full = scim_alloc(size);

				if (full == NULL)
					return scim_fail_memory(w->err);
				memcpy(full, uri, strlen(uri));
				full[strlen(uri)] = ':';
				memcpy(full + strlen(uri) + 1, key, strlen(key) + 1);
				text = full;
			}
			if (!take_path(w, out, text, value, &taken))
				return false;
		}
		if (!taken && !scim_wanted_unknown(w, NULL, key))
			return false;
	}
	return true;
}

/*
 * Values that came by several paths into one attribute are held together
 * against its rules once more: duplicates, primary, required sub-attributes.
 */
static bool
settle_paths(ScimWanted *w, json_t *out)
{
	int			i;

	for (i = 0; i < w->type->ntop; i++)
	{
		ScimAttr   *attr = w->type->top[i];
		json_t	   *part = scim_resource_part(w->type, out, attr->ext);
		json_t	   *value = part == NULL ? NULL : json_object_get(part, attr->name);
		json_t	   *again;

		if (value == NULL || attr->type != SCIM_TYPE_COMPLEX)
			continue;
		again = scim_wanted_value(w, attr, value);
		if (again == NULL)
			return false;
		if (json_is_null(again))
		{
			json_object_del(part, attr->name);
			continue;
		}
		if (json_object_set_new_nocheck(part, attr->name, again) != 0)
			return scim_fail_memory(w->err);
	}
	return true;
}

/*
 * The `schemas` of a body.  Strict: present, known, complete.  Compat: Entra's
 * groups name "http://schemas.microsoft.com/2006/11/...", others name nothing.
 */
static bool
check_schemas(ScimWanted *w, const json_t *body)
{
	const char *key;
	const json_t *schemas = scim_json_get(body, "schemas", &key);
	const json_t *value;
	bool		compat = w->mode == SCIM_COMPAT;
	bool		core = false;
	bool	   *named;
	size_t		i;
	size_t		n;
	int			ext;

	named = scim_alloc0((size_t) w->type->nexts + 1);
	if (named == NULL)
		return scim_fail_memory(w->err);

	if (schemas == NULL || json_is_null(schemas) || (json_is_array(schemas) && json_array_size(schemas) == 0))
	{
		if (!compat)
			return scim_fail(w->err, 400, SCIM_INVALID_SYNTAX, "attribute \"schemas\" is required");
		scim_report_add(w->report, "schemas_missing");
		return true;
	}
	if (!json_is_array(schemas) && !(compat && json_is_string(schemas)))
		return scim_fail(w->err, 400, SCIM_INVALID_SYNTAX, "attribute \"schemas\" must be an array of URIs");

	n = json_is_array(schemas) ? json_array_size(schemas) : 1;
	for (i = 0; i < n; i++)
	{
		value = json_is_array(schemas) ? json_array_get(schemas, i) : schemas;
		if (!json_is_string(value))
			return scim_fail(w->err, 400, SCIM_INVALID_SYNTAX, "attribute \"schemas\" must be an array of URIs");
		if (is_schema_uri(w->type, json_string_value(value), &ext))
		{
			if (ext == SCIM_EXT_CORE)
				core = true;
			else
				named[ext] = true;
			continue;
		}
		if (!compat)
			return scim_fail(w->err, 400, SCIM_INVALID_SYNTAX,
							 "attribute \"schemas\" names a schema (position %d) that resource type %s does not have",
							 (int) i, w->type->name);
		scim_report_add(w->report, "unknown_schema_ignored");
	}
	if (!core && !compat)
		return scim_fail(w->err, 400, SCIM_INVALID_SYNTAX, "attribute \"schemas\" lacks \"%s\"",
						 w->type->schema->uri);
	if (!core)
		scim_report_add(w->report, "schemas_missing");

	json_object_foreach((json_t *) body, key, value)
	{
		if (!is_schema_uri(w->type, key, &ext) || ext == SCIM_EXT_CORE || named[ext] || unassigned(value))
			continue;
		if (!compat)
			return scim_fail(w->err, 400, SCIM_INVALID_SYNTAX, "attribute \"schemas\" lacks \"%s\", which is in the body",
							 w->type->exts[ext].schema->uri);
		scim_report_add(w->report, "extension_not_in_schemas");
	}
	return true;
}

/*
 * PUT: immutable attributes keep their value, another one is refused; what
 * cannot be read back (password) stays if the body does not give it.
 */
static bool
keep_current(ScimWanted *w, ScimAttr *attr, json_t *out, const json_t *current)
{
	const json_t *part = scim_resource_part(w->type, current, attr->ext);
	const json_t *old = part == NULL ? NULL : json_object_get(part, attr->name);
	json_t	   *new_part;
	json_t	   *new_value;
	char		path[PATH_SIZE];
	int			i;

	if (unassigned(old))
		return true;
	new_part = scim_resource_part(w->type, out, attr->ext);
	new_value = new_part == NULL ? NULL : json_object_get(new_part, attr->name);

	if (attr->mutability == SCIM_IMMUTABLE || attr->mutability == SCIM_WRITE_ONLY)
	{
		if (new_value == NULL)
		{
			new_part = part_for(w, out, attr->ext);
			if (new_part == NULL)
				return false;
			if (json_object_set_nocheck(new_part, attr->name, (json_t *) old) != 0)
				return scim_fail_memory(w->err);
			return true;
		}
		if (attr->mutability == SCIM_IMMUTABLE && !scim_value_same(attr, old, new_value))
			return scim_fail(w->err, 400, SCIM_MUTABILITY, "attribute \"%s\" is immutable and has another value",
							 scim_attr_path(w->type, attr, path, sizeof(path)));
		return true;
	}

	/*
	 * Immutable sub-attributes of a singular complex attribute that stays.
	 * Those of a multi-valued one (members) identify values, and values may
	 * come and go.
	 */
	if (attr->type != SCIM_TYPE_COMPLEX || attr->multi || new_value == NULL)
		return true;
	for (i = 0; i < attr->nsubs; i++)
	{
		const ScimAttr *sub = attr->subs[i];
		json_t	   *old_sub = json_object_get(old, sub->name);
		json_t	   *new_sub = json_object_get(new_value, sub->name);

		if (unassigned(old_sub) || (sub->mutability != SCIM_IMMUTABLE && sub->mutability != SCIM_WRITE_ONLY))
			continue;
		if (new_sub == NULL)
		{
			if (json_object_set_nocheck(new_value, sub->name, old_sub) != 0)
				return scim_fail_memory(w->err);
		}
		else if (sub->mutability == SCIM_IMMUTABLE && !scim_value_same(sub, old_sub, new_sub))
			return scim_fail(w->err, 400, SCIM_MUTABILITY, "attribute \"%s\" is immutable and has another value",
							 scim_attr_path(w->type, sub, path, sizeof(path)));
	}
	return true;
}

static bool
part_has_data(const ScimResourceType *type, const json_t *resource, int ext)
{
	const json_t *part = scim_resource_part(type, resource, ext);

	return part != NULL && !scim_json_unassigned(part);
}

/* Required top-level attributes; with "subs" the required sub-attributes too. */
static bool
check_required(const ScimResourceType *type, const json_t *resource, bool subs,
			   const char *scim_type, ScimError *err)
{
	char		path[PATH_SIZE];
	int			i;
	int			j;
	size_t		k;

	for (i = 0; i < type->ntop; i++)
	{
		const ScimAttr *attr = type->top[i];
		const json_t *part;
		const json_t *value;

		if (attr == type->a_schemas || attr->mutability == SCIM_READ_ONLY)
			continue;
		if (attr->ext != SCIM_EXT_CORE && !type->exts[attr->ext].required &&
			!part_has_data(type, resource, attr->ext))
			continue;
		part = scim_resource_part(type, resource, attr->ext);
		value = part == NULL ? NULL : json_object_get(part, attr->name);
		if (unassigned(value))
		{
			if (attr->required)
				return scim_fail(err, 400, scim_type, "attribute \"%s\" is required",
								 scim_attr_path(type, attr, path, sizeof(path)));
			continue;
		}
		if (!subs || attr->type != SCIM_TYPE_COMPLEX)
			continue;
		for (j = 0; j < attr->nsubs; j++)
		{
			if (!attr->subs[j]->required || attr->subs[j]->mutability == SCIM_READ_ONLY)
				continue;
			for (k = 0; k < (attr->multi ? json_array_size(value) : 1); k++)
			{
				const json_t *one = attr->multi ? json_array_get(value, k) : value;

				if (unassigned(json_object_get(one, attr->subs[j]->name)))
					return scim_fail(err, 400, scim_type, "attribute \"%s\" is required",
									 scim_attr_path(type, attr->subs[j], path, sizeof(path)));
			}
		}
	}
	return true;
}

/* `schemas` = core + each extension that has data or is required (R-7643-3-05). */
static bool
set_schemas(const ScimResourceType *type, json_t *resource, ScimError *err)
{
	json_t	   *schemas = json_array();
	int			i;

	if (schemas == NULL || json_array_append_new(schemas, json_string_nocheck(type->schema->uri)) != 0)
		return scim_fail_memory(err);
	for (i = 0; i < type->nexts; i++)
	{
		if (!type->exts[i].required && !part_has_data(type, resource, i))
			continue;
		if (json_array_append_new(schemas, json_string_nocheck(type->exts[i].schema->uri)) != 0)
			return scim_fail_memory(err);
	}
	if (json_object_set_new_nocheck(resource, "schemas", schemas) != 0)
		return scim_fail_memory(err);
	return true;
}

static json_t *
resource_wanted(ScimWanted *w, const json_t *body, const json_t *current)
{
	json_t	   *out;
	char		safe[SCIM_SAFE_NAME_SIZE];
	const char *key;
	json_t	   *value;
	int			rewrites;
	int			i;

	if (!json_is_object(body))
	{
		scim_fail(w->err, 400, SCIM_INVALID_SYNTAX, "the body must be a JSON object");
		return NULL;
	}
	if (!check_schemas(w, body))
		return NULL;
	out = scim_json_object();
	/* `schemas` comes first in what is stored and shown. */
	if (out == NULL || json_object_set_new_nocheck(out, "schemas", json_null()) != 0)
		return out_of_memory(w);
	if (!take_plain(w, out, body, SCIM_EXT_CORE))
		return NULL;
	if (w->mode == SCIM_COMPAT)
	{
		/* An object under the core URI holds core attributes. */
		json_object_foreach((json_t *) body, key, value)
		{
			if (json_is_object(value) && is_schema_uri(w->type, key, &i) && i == SCIM_EXT_CORE)
			{
				scim_report_add(w->report, "urn_key");
				if (!take_plain(w, out, value, SCIM_EXT_CORE))
					return NULL;
			}
		}
	}
	rewrites = w->report == NULL ? 0 : w->report->rewrites;
	if (!take_others(w, out, body, SCIM_EXT_CORE))
		return NULL;
	if (w->mode == SCIM_COMPAT && (w->report == NULL || w->report->rewrites != rewrites) && !settle_paths(w, out))
		return NULL;

	if (current != NULL)
	{
		for (i = 0; i < w->type->ntop; i++)
		{
			if (w->type->top[i]->mutability != SCIM_READ_ONLY &&
				!keep_current(w, w->type->top[i], out, current))
				return NULL;
		}
	}
	for (i = 0; i < w->type->nexts; i++)
	{
		if (w->type->exts[i].required && !part_has_data(w->type, out, i))
		{
			scim_fail(w->err, 400, SCIM_INVALID_VALUE, "extension \"%s\" is required",
					  scim_safe_name(w->type->exts[i].schema->uri, safe, sizeof(safe)));
			return NULL;
		}
	}
	if (!check_required(w->type, out, false, SCIM_INVALID_VALUE, w->err) ||
		!set_schemas(w->type, out, w->err))
		return NULL;
	return out;
}

json_t *
scim_resource_wanted(const ScimResourceType *type, const json_t *body,
					 const json_t *current, ScimMode mode, bool refuse_unknown,
					 ScimReport *report, ScimError *err)
{
	ScimCoreFrame frame;
	ScimWanted		w = {type, mode, refuse_unknown, report, err};
	json_t	   *result;

	scim_core_enter(&frame);
	result = resource_wanted(&w, body, current);
	if (result != NULL && scim_alloc_failed())
	{
		scim_fail_memory(err);
		result = NULL;
	}
	scim_core_leave(&frame);
	return result;
}

bool
scim_resource_check(const ScimResourceType *type, json_t *resource, ScimError *err)
{
	ScimCoreFrame frame;
	bool		ok;
	int			i;

	scim_core_enter(&frame);
	ok = check_required(type, resource, true, SCIM_MUTABILITY, err);
	for (i = 0; ok && i < type->ntop; i++)
	{
		const ScimAttr *attr = type->top[i];
		const json_t *part;

		if (!attr->multi || attr->type != SCIM_TYPE_COMPLEX || attr->mutability == SCIM_READ_ONLY)
			continue;
		part = scim_resource_part(type, resource, attr->ext);
		ok = part == NULL || scim_check_primary(type, attr, json_object_get(part, attr->name), err);
	}
	ok = ok && set_schemas(type, resource, err);
	scim_core_leave(&frame);
	return ok;
}
