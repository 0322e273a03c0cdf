/*
 * core_patch_parse.c
 *		From the body of a PATCH to a list of operations (RFC 7644 3.5.2).
 *
 * The body has the PatchOp schema and an array of operations, each with op,
 * path and value.  Here the structure is checked, paths are resolved against
 * the resource type, and a path-less value is split into one operation per
 * attribute, so that the engine knows only operations with a path.  Values
 * are not looked into; the engine does that when their turn comes.
 *
 * In compat mode the request passes core_patch_compat.c first.
 */
#include "core_patch_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool
scim_patch_fail(ScimError *err, const ScimResourceType *type, int index, const ScimAttr *attr,
				int status, const char *scim_type, const char *fmt,...)
{
	char		text[SCIM_DETAIL_SIZE];
	char		path[SCIM_PATCH_PATH_SIZE];
	va_list		args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (attr == NULL)
		return scim_fail(err, status, scim_type, "Operations[%d]: %s", index, text);
	return scim_fail(err, status, scim_type, "Operations[%d]: path \"%s\": %s", index,
					 scim_attr_path(type, attr, path, sizeof(path)), text);
}

bool
scim_patch_pass(ScimError *err, const ScimResourceType *type, int index, const ScimAttr *attr,
				const ScimError *cause)
{
	bool		first = err->status == 0;

	scim_patch_fail(err, type, index, attr, cause->status, cause->scim_type, "%s", cause->detail);
	if (first)
		err->position = cause->position;
	return false;
}

const json_t *
scim_patch_as_array(const json_t *value)
{
	json_t	   *array;

	if (json_is_array(value))
		return value;
	array = json_array();
	if (array == NULL || json_array_append(array, (json_t *) value) != 0)
		return NULL;
	return array;
}

json_t *
scim_patch_wanted(const ScimResourceType *type, const ScimPatchOp *op, ScimAttr *attr,
				  const json_t *value, ScimMode mode, ScimReport *report, ScimError *err)
{
	ScimError	local;
	json_t	   *wanted;

	memset(&local, 0, sizeof(local));
	local.position = -1;
	if (attr->multi && value != NULL && !json_is_null(value))
	{
		/* RFC 7644 3.5.2.1: a single value is added like a list of one. */
		value = scim_patch_as_array(value);
		if (value == NULL)
		{
			scim_fail_memory(err);
			return NULL;
		}
	}
	/* What strict does with unknown attributes in a PATCH value: A-19. */
	wanted = scim_value_wanted(type, attr, value, mode, mode == SCIM_STRICT, report, &local);
	if (wanted == NULL)
		scim_patch_pass(err, type, op->index, op->path->attr, &local);
	return wanted;
}

bool
scim_patch_push(ScimPatchBuild *build, ScimPatchKind kind, int index, ScimPath *path,
				ScimAttr *attr, const json_t *value, bool from_pathless)
{
	ScimPatchOp *op;
	ScimPatchOp *ops;

	if (path == NULL)
	{
		path = scim_alloc0(sizeof(*path));
		if (path == NULL)
			return scim_fail_memory(build->err);
		path->ext = attr->ext;
		path->attr = attr;
	}
	if (path->filter != NULL && !path->attr->multi)
		return scim_patch_fail(build->err, build->type, index, path->attr, 400, SCIM_INVALID_PATH,
							   "a filter needs a multi-valued attribute");

	if (build->nops == build->capacity)
	{
		int			capacity = build->capacity == 0 ? 8 : build->capacity * 2;

		ops = build->capacity == 0 ? scim_alloc(sizeof(*ops) * (size_t) capacity) :
			scim_realloc(build->ops, sizeof(*ops) * (size_t) capacity);
		if (ops == NULL)
			return scim_fail_memory(build->err);
		build->ops = ops;
		build->capacity = capacity;
	}
	op = &build->ops[build->nops];
	memset(op, 0, sizeof(*op));
	op->kind = kind;
	op->index = index;
	op->path = path;
	op->value = kind == SCIM_PATCH_REMOVE ? NULL : value;
	op->from_pathless = from_pathless;
	op->may_create = kind == SCIM_PATCH_ADD && path->filter != NULL &&
		path->attr->type == SCIM_TYPE_COMPLEX && !scim_multi_is_reference(path->attr);

	if (build->mode == SCIM_COMPAT)
	{
		op->value = value;
		if (!scim_patch_compat_op(build, op))
			return false;
	}
	else if (kind == SCIM_PATCH_REMOVE && value != NULL && !scim_json_unassigned(value) &&
			 path->attr->multi && path->filter == NULL && path->sub == NULL)
	{
		/*
		 * the RFC gives a value no meaning here, so that a client that
		 * wants some members gone would lose all of them.
		 */
		return scim_patch_fail(build->err, build->type, index, path->attr, 400, SCIM_INVALID_SYNTAX,
							   "remove takes no value; select values with a filter");
	}
	build->nops++;
	return true;
}

bool
scim_patch_split(ScimPatchBuild *build, ScimPatchKind kind, int index, int ext, const json_t *object)
{
	const ScimResourceType *type = build->type;
	const char *key;
	json_t	   *value;
	char		safe[SCIM_SAFE_NAME_SIZE];

	json_object_foreach((json_t *) object, key, value)
	{
		size_t		len = strlen(key);
		ScimAttr   *attr = scim_type_attr(type, ext, key, len);
		int			inner = SCIM_EXT_CORE;

		if (attr != NULL)
		{
			if (build->mode == SCIM_COMPAT && scim_patch_compat_ignores(build, attr, NULL))
				continue;
			if (!scim_patch_push(build, kind, index, NULL, attr, value, true))
				return false;
			continue;
		}
		if (ext == SCIM_EXT_CORE && len > 0 && scim_type_match_uri(type, key, len, &inner) == len &&
			inner != SCIM_EXT_CORE)
		{
			/* Null, like {}, gives nothing to an add, and leaves nothing of it to a replace. */
			if (json_is_null(value))
			{
				if (kind == SCIM_PATCH_REPLACE &&
					!scim_patch_compat_extension(build, SCIM_PATCH_REMOVE, index, inner, NULL))
					return false;
				continue;
			}
			if (!json_is_object(value))
				return scim_patch_fail(build->err, type, index, NULL, 400, SCIM_INVALID_VALUE,
									   "extension \"%s\" must be an object",
									   scim_safe_name(type->exts[inner].schema->uri, safe, sizeof(safe)));
			if (!scim_patch_split(build, kind, index, inner, value))
				return false;
			continue;
		}
		if (build->mode == SCIM_COMPAT)
		{
			if (!scim_patch_compat_key(build, kind, index, ext, key, value))
				return false;
			continue;
		}
		return scim_patch_fail(build->err, type, index, NULL, 400, SCIM_INVALID_SYNTAX,
							   "attribute \"%s\" in the value is not defined",
							   scim_safe_name(key, safe, sizeof(safe)));
	}
	return true;
}

/* `schemas` names PatchOp. */
static bool
check_schemas(const json_t *body, ScimError *err)
{
	const json_t *schemas = json_object_get(body, "schemas");
	size_t		i;

	for (i = 0; i < json_array_size(schemas); i++)
	{
		const json_t *uri = json_array_get(schemas, i);

		if (json_is_string(uri) &&
			scim_name_eq(json_string_value(uri), json_string_length(uri), SCIM_URN_PATCH_OP))
			return true;
	}
	return scim_fail(err, 400, SCIM_INVALID_SYNTAX, "attribute \"schemas\" must be [\"%s\"]", SCIM_URN_PATCH_OP);
}

/*
 * A name in another case is not one of ours, but it cannot be ignored like any
 * other: {"op": "remove", "path": "members", "vAlue": [...]} would then remove
 * all members.  (Compat has spelled the names right before.)
 */
static bool
check_names(ScimPatchBuild *build, int index, const json_t *operation)
{
	static const char *const names[] = {"op", "path", "value"};
	char		safe[SCIM_SAFE_NAME_SIZE];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		const char *key = names[i];

		if (scim_json_get(operation, names[i], &key) != NULL && strcmp(key, names[i]) != 0)
			return scim_patch_fail(build->err, build->type, index, NULL, 400, SCIM_INVALID_SYNTAX,
								   "\"%s\" must be written \"%s\"", scim_safe_name(key, safe, sizeof(safe)), names[i]);
	}
	return true;
}

/*
 * Compat: a path to what the schema has, and this service has no place for, is
 * dropped, as such attributes of a POST or PUT are.
 */
static bool
is_known_elsewhere(ScimPatchBuild *build, const char *text, size_t len)
{
	ScimError	ignored;

	if (build->mode != SCIM_COMPAT || build->type->wider == NULL)
		return false;
	memset(&ignored, 0, sizeof(ignored));
	if (scim_path_parse(build->type->wider, text, len, build->mode, &ignored) == NULL)
		return false;
	if (build->report)
		build->report->ignored++;
	return true;
}

static bool
parse_operation(ScimPatchBuild *build, int index, const json_t *operation)
{
	const json_t *op;
	const json_t *path;
	const json_t *value;
	const char *text;
	size_t		len;
	ScimPatchKind kind;
	ScimPath   *parsed;
	ScimError	local;

	if (!json_is_object(operation))
		return scim_patch_fail(build->err, build->type, index, NULL, 400, SCIM_INVALID_SYNTAX,
							   "an operation must be an object");
	if (!check_names(build, index, operation))
		return false;
	op = json_object_get(operation, "op");
	path = json_object_get(operation, "path");
	value = json_object_get(operation, "value");

	if (json_is_string(op) && strcmp(json_string_value(op), "add") == 0)
		kind = SCIM_PATCH_ADD;
	else if (json_is_string(op) && strcmp(json_string_value(op), "replace") == 0)
		kind = SCIM_PATCH_REPLACE;
	else if (json_is_string(op) && strcmp(json_string_value(op), "remove") == 0)
		kind = SCIM_PATCH_REMOVE;
	else
		return scim_patch_fail(build->err, build->type, index, NULL, 400, SCIM_INVALID_SYNTAX,
							   "\"op\" must be \"add\", \"remove\" or \"replace\"");

	if (json_is_null(path))
		path = NULL;
	if (path != NULL && !json_is_string(path))
		return scim_patch_fail(build->err, build->type, index, NULL, 400, SCIM_INVALID_PATH,
							   "\"path\" must be a string");
	if (path == NULL && kind == SCIM_PATCH_REMOVE)
		return scim_patch_fail(build->err, build->type, index, NULL, 400, SCIM_NO_TARGET,
							   "remove needs a \"path\"");
	if (value == NULL && kind != SCIM_PATCH_REMOVE)
		return scim_patch_fail(build->err, build->type, index, NULL, 400, SCIM_INVALID_VALUE,
							   "%s needs a \"value\"", kind == SCIM_PATCH_ADD ? "add" : "replace");

	if (path == NULL)
	{
		if (!json_is_object(value))
			return scim_patch_fail(build->err, build->type, index, NULL, 400, SCIM_INVALID_VALUE,
								   "without a \"path\" the \"value\" must be an object");
		return scim_patch_split(build, kind, index, SCIM_EXT_CORE, value);
	}

	/* Blanks are for filters; a path has none round it, in compat neither. */
	text = json_string_value(path);
	len = json_string_length(path);
	if (len > 0 && (text[0] == ' ' || text[len - 1] == ' '))
		return scim_patch_fail(build->err, build->type, index, NULL, 400, SCIM_INVALID_PATH,
							   "path: begins or ends with a blank");
	memset(&local, 0, sizeof(local));
	local.position = -1;
	parsed = scim_path_parse(build->type, text, len, build->mode, &local);
	if (parsed == NULL && is_known_elsewhere(build, text, len))
		return true;
	if (parsed == NULL)
		return scim_patch_pass(build->err, build->type, index, NULL, &local);
	if (parsed->attr == NULL)
	{
		if (build->mode == SCIM_COMPAT)
			return scim_patch_compat_extension(build, kind, index, parsed->ext, value);
		return scim_patch_fail(build->err, build->type, index, NULL, 400, SCIM_INVALID_PATH,
							   "the path names a schema, not an attribute");
	}
	if (build->mode == SCIM_COMPAT && parsed->attr->ext != SCIM_EXT_CORE &&
		strchr(text, ':') == NULL)
		scim_report_add(build->report, "bare_extension_key");
	return scim_patch_push(build, kind, index, parsed, parsed->attr, value, false);
}

static ScimPatch *
patch_parse(ScimPatchBuild *build, const json_t *body)
{
	const json_t *operations;
	ScimPatch  *patch;
	size_t		n;
	size_t		i;

	if (!json_is_object(body))
	{
		scim_fail(build->err, 400, SCIM_INVALID_SYNTAX, "the body must be a JSON object");
		return NULL;
	}
	if (build->mode == SCIM_COMPAT)
	{
		body = scim_patch_compat_request(body, build->report, build->err);
		if (body == NULL)
			return NULL;
	}
	if (!check_schemas(body, build->err))
		return NULL;
	operations = json_object_get(body, "Operations");
	if (!json_is_array(operations))
	{
		scim_fail(build->err, 400, SCIM_INVALID_SYNTAX, "\"Operations\" must be an array");
		return NULL;
	}
	n = json_array_size(operations);
	if (n == 0 && build->mode == SCIM_STRICT)
	{
		scim_fail(build->err, 400, SCIM_INVALID_SYNTAX, "\"Operations\" must not be empty");
		return NULL;
	}
	if (n > SCIM_PATCH_MAX_OPERATIONS)
	{
		scim_fail(build->err, 413, NULL, "a PATCH has at most %d operations", SCIM_PATCH_MAX_OPERATIONS);
		return NULL;
	}
	for (i = 0; i < n; i++)
	{
		if (!parse_operation(build, (int) i, json_array_get(operations, i)))
			return NULL;
	}
	patch = scim_alloc(sizeof(*patch));
	if (patch == NULL)
	{
		scim_fail_memory(build->err);
		return NULL;
	}
	patch->ops = build->ops;
	patch->nops = build->nops;
	return patch;
}

ScimPatch *
scim_patch_parse(const ScimResourceType *type, const json_t *body, ScimMode mode,
				 ScimReport *report, ScimError *err)
{
	ScimCoreFrame frame;
	ScimPatchBuild build;
	ScimPatch  *patch;

	memset(&build, 0, sizeof(build));
	build.type = type;
	build.mode = mode;
	build.report = report;
	build.err = err;
	scim_core_enter(&frame);
	patch = patch_parse(&build, body);
	scim_core_leave(&frame);
	return patch;
}

bool
scim_patch_touches(const ScimPatch *patch, const ScimAttr *attr)
{
	int			i;

	for (i = 0; i < patch->nops; i++)
	{
		if (patch->ops[i].path->attr == attr)
			return true;
	}
	return false;
}
