/*
 * core_validate.c
 *		What a client sent becomes the state that is wanted (RFC 7643 2 and 7,
 *		RFC 7644 3.3 and 3.5.1).
 *
 * One value goes through wanted_value(): type, unassigned values, duplicates,
 * primary, required sub-attributes, limits.  POST, PUT and PATCH use the same
 * function, so that a rule holds on every way in.  A whole body is taken in
 * two passes: first the members that are named as the schema names them, then
 * (compat) those that are paths, "name.givenName" or "urn:...:User:department",
 * so that the order of members carries no meaning (R-7643-2.3.8-01).
 *
 * What identity providers send beyond the RFC is taken in SCIM_COMPAT only,
 * and each such rewrite is noted by name in the report.  Compat never guesses
 * about types beyond that: "yes" is no boolean and 5 is no string.
 *
 * Scalars of the result are shared with the body by reference count; arrays
 * and objects are new.
 */
#include "core_validate.h"

#include <string.h>

#include "core_fold.h"
#include "core_multi.h"
#include "core_path.h"

#define PATH_SIZE			256
#define MAX_UNIQUE_SIZE		1024	/* bytes after folding: a B-tree key */
#define MAX_FOLD_GROWTH		4		/* folding makes no string longer than this */

typedef struct Wanted
{
	const ScimResourceType *type;
	ScimMode	mode;
	bool		refuse_unknown;
	ScimReport *report;
	ScimError  *err;
} Wanted;

static json_t *wanted_value(Wanted *w, ScimAttr *attr, const json_t *value);

void
scim_report_add(ScimReport *report, const char *name)
{
	int			i;

	if (report == NULL)
		return;
	report->rewrites++;
	for (i = 0; i < report->nnames; i++)
	{
		if (strcmp(report->names[i], name) == 0)
			return;
	}
	if (report->nnames < (int) (sizeof(report->names) / sizeof(report->names[0])))
		report->names[report->nnames++] = name;
}

const char *
scim_safe_name(const char *name, char *buf, size_t size)
{
	size_t		len = strlen(name);
	size_t		i;

	if (len == 0 || len >= size)
		return "(unnamed)";
	for (i = 0; i < len; i++)
	{
		char		c = name[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			  c == '$' || c == '-' || c == '_' || c == '.' || c == ':'))
			return "(unnamed)";
	}
	memcpy(buf, name, len + 1);
	return buf;
}

static json_t *
share(const json_t *value)
{
	return json_incref((json_t *) value);
}

static json_t *
out_of_memory(Wanted *w)
{
	scim_fail_memory(w->err);
	return NULL;
}

static bool
unassigned(const json_t *value)
{
	return value == NULL || scim_json_unassigned(value);
}

static bool
string_is(const json_t *value, const char *text)
{
	return json_is_string(value) && scim_name_eq(json_string_value(value), json_string_length(value), text);
}

static json_t *
wrong_type(Wanted *w, const ScimAttr *attr)
{
	char		path[PATH_SIZE];
	const char *what;

	switch (attr->type)
	{
		case SCIM_TYPE_BOOLEAN:
			what = "true or false";
			break;
		case SCIM_TYPE_DECIMAL:
			what = "a number";
			break;
		case SCIM_TYPE_INTEGER:
			what = "a number without fraction or exponent";
			break;
		case SCIM_TYPE_DATETIME:
			what = "a dateTime such as \"2024-02-29T12:00:00Z\"";
			break;
		case SCIM_TYPE_BINARY:
			what = "a base64 string";
			break;
		case SCIM_TYPE_COMPLEX:
			what = "an object";
			break;
		default:
			what = "a string";
			break;
	}
	scim_fail(w->err, 400, SCIM_INVALID_VALUE, "attribute \"%s\" must be %s%s",
			  scim_attr_path(w->type, attr, path, sizeof(path)),
			  attr->multi ? "an array, each value " : "", what);
	return NULL;
}

/* An attribute that no schema defines: dropped, or refused. */
static bool
unknown_attribute(Wanted *w, const ScimAttr *parent, const char *name)
{
	char		path[PATH_SIZE];
	char		safe[SCIM_SAFE_NAME_SIZE];

	if (w->refuse_unknown)
	{
		if (parent != NULL)
			return scim_fail(w->err, 400, SCIM_INVALID_SYNTAX, "attribute \"%s\" has no sub-attribute \"%s\"",
							 scim_attr_path(w->type, parent, path, sizeof(path)),
							 scim_safe_name(name, safe, sizeof(safe)));
		return scim_fail(w->err, 400, SCIM_INVALID_SYNTAX, "attribute \"%s\" is not defined",
						 scim_safe_name(name, safe, sizeof(safe)));
	}
	if (w->report != NULL)
		w->report->ignored++;
	return true;
}

/*
 * Controls and bidirectional controls: they make one user name look like
 * another (threat-and-fault-model P4).
 */
static bool
has_controls(const char *s, size_t len)
{
	size_t		i;

	for (i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) s[i];
		unsigned int code;

		if (c < 0x20 || c == 0x7f)
			return true;
		if (c == 0xc2 && i + 1 < len && (unsigned char) s[i + 1] < 0xa0)
			return true;		/* U+0080 to U+009F */
		if (c == 0xd8 && i + 1 < len && (unsigned char) s[i + 1] == 0x9c)
			return true;		/* U+061C */
		if (c != 0xe2 || i + 2 >= len)
			continue;
		code = 0x2000u | (((unsigned char) s[i + 1] & 0x3fu) << 6) | ((unsigned char) s[i + 2] & 0x3fu);
		if (code == 0x200e || code == 0x200f || (code >= 0x202a && code <= 0x202e) ||
			(code >= 0x2066 && code <= 0x2069))
			return true;
	}
	return false;
}

/* Does the value end up in a unique index or a key? */
static bool
is_key(const Wanted *w, const ScimAttr *attr)
{
	if (attr->uniqueness != SCIM_UNIQUE_NONE || attr == w->type->a_external_id)
		return true;
	return attr->parent != NULL && scim_multi_is_reference(attr->parent) &&
		scim_name_eq(attr->name, strlen(attr->name), "value");
}

/* Rules on strings that go beyond their type. */
static bool
check_string(Wanted *w, const ScimAttr *attr, const json_t *value)
{
	char		path[PATH_SIZE];
	const char *s = json_string_value(value);
	size_t		len = json_string_length(value);

	if (attr->required && len == 0)
		return scim_fail(w->err, 400, SCIM_INVALID_VALUE, "attribute \"%s\" must not be empty",
						 scim_attr_path(w->type, attr, path, sizeof(path)));

	if (attr->parent == NULL && attr->ext == SCIM_EXT_CORE &&
		scim_name_eq(attr->name, strlen(attr->name), "userName") && has_controls(s, len))
		return scim_fail(w->err, 400, SCIM_INVALID_VALUE, "attribute \"userName\" must not contain control characters");

	if (len > MAX_UNIQUE_SIZE / MAX_FOLD_GROWTH && is_key(w, attr))
	{
		size_t		folded_len = len;

		if (!attr->case_exact && !scim_fold_is_noop_ascii(s, len))
		{
			char	   *folded = scim_fold(s, len, &folded_len);

			if (folded == NULL)
				return scim_fail_memory(w->err);
			scim_free(folded);
		}
		if (folded_len > MAX_UNIQUE_SIZE)
			return scim_fail(w->err, 400, SCIM_INVALID_VALUE, "attribute \"%s\" is longer than %d bytes",
							 scim_attr_path(w->type, attr, path, sizeof(path)), MAX_UNIQUE_SIZE);
	}
	return true;
}

static json_t *
wanted_simple(Wanted *w, ScimAttr *attr, const json_t *value)
{
	if (attr->type == SCIM_TYPE_BOOLEAN && w->mode == SCIM_COMPAT && json_is_string(value))
	{
		/* Entra: {"op":"Replace","path":"active","value":"False"} */
		if (string_is(value, "true") || string_is(value, "false"))
		{
			scim_report_add(w->report, "string_boolean");
			return json_boolean(string_is(value, "true"));
		}
	}
	if (!scim_value_fits(attr, value))
		return wrong_type(w, attr);
	if (json_is_string(value) && !check_string(w, attr, value))
		return NULL;
	return share(value);
}

static json_t *
wanted_complex(Wanted *w, ScimAttr *attr, const json_t *object)
{
	json_t	   *out = scim_json_object();
	const char *key;
	json_t	   *member;
	char		path[PATH_SIZE];
	int			i;

	if (out == NULL)
		return out_of_memory(w);

	json_object_foreach((json_t *) object, key, member)
	{
		ScimAttr   *sub = scim_attr_sub(attr, key, strlen(key));
		json_t	   *value;

		if (sub == NULL)
		{
			if (!unknown_attribute(w, attr, key))
				return NULL;
			continue;
		}
		if (sub->mutability == SCIM_READ_ONLY)
		{
			if (w->report != NULL)
				w->report->ignored++;
			continue;
		}
		value = wanted_value(w, sub, member);
		if (value == NULL)
			return NULL;
		if (json_is_null(value))
			continue;
		if (json_object_set_new_nocheck(out, sub->name, value) != 0)
			return out_of_memory(w);
	}
	if (json_object_size(out) == 0)
		return json_null();

	for (i = 0; i < attr->nsubs; i++)
	{
		if (attr->subs[i]->required && attr->subs[i]->mutability != SCIM_READ_ONLY &&
			json_object_get(out, attr->subs[i]->name) == NULL)
		{
			scim_fail(w->err, 400, SCIM_INVALID_VALUE, "attribute \"%s\" is required",
					  scim_attr_path(w->type, attr->subs[i], path, sizeof(path)));
			return NULL;
		}
	}
	return out;
}

/*
 * One value: of a singular attribute, or an element of a multi-valued one.
 * JSON null where it is unassigned.
 */
static json_t *
wanted_single(Wanted *w, ScimAttr *attr, const json_t *value)
{
	json_t	   *object;

	if (unassigned(value))
		return json_null();

	if (w->mode == SCIM_COMPAT && !attr->multi && json_is_array(value) && json_array_size(value) == 1)
	{
		/* manager [{"value":"u7"}] */
		scim_report_add(w->report, "array_of_one");
		value = json_array_get(value, 0);
		if (unassigned(value))
			return json_null();
	}
	if (attr->type != SCIM_TYPE_COMPLEX)
		return wanted_simple(w, attr, value);

	if (json_is_object(value))
		return wanted_complex(w, attr, value);

	if (w->mode == SCIM_COMPAT && !attr->multi && json_is_string(value) &&
		scim_attr_sub(attr, "value", strlen("value")) != NULL)
	{
		/* Entra sends the id of a manager as a bare string. */
		scim_report_add(w->report, "manager_string");
		object = scim_json_object();
		if (object == NULL || json_object_set_nocheck(object, "value", (json_t *) value) != 0)
			return out_of_memory(w);
		return wanted_complex(w, attr, object);
	}
	return wrong_type(w, attr);
}

/* Folds an identical value into the one that came first: gaps are filled. */
static bool
fold_duplicate(Wanted *w, ScimAttr *attr, json_t *first, const json_t *again)
{
	int			i;

	if (attr->type != SCIM_TYPE_COMPLEX)
		return true;
	for (i = 0; i < attr->nsubs; i++)
	{
		const char *name = attr->subs[i]->name;
		json_t	   *value = json_object_get(again, name);
		json_t	   *old = json_object_get(first, name);

		/* "primary" given by either of the two counts. */
		if (value == NULL ||
			(old != NULL && !(json_is_true(value) && scim_name_eq(name, strlen(name), "primary"))))
			continue;
		if (json_object_set_nocheck(first, name, value) != 0)
			return scim_fail_memory(w->err);
	}
	return true;
}

static bool
check_primary(const ScimResourceType *type, const ScimAttr *attr, const json_t *array, ScimError *err)
{
	size_t		n = json_array_size(array);
	size_t		i;
	int			primaries = 0;
	char		path[PATH_SIZE];
	const ScimAttr *primary;

	if (attr->type != SCIM_TYPE_COMPLEX)
		return true;
	primary = scim_attr_sub(attr, "primary", strlen("primary"));
	if (primary == NULL || primary->type != SCIM_TYPE_BOOLEAN)
		return true;
	for (i = 0; i < n; i++)
	{
		if (json_is_true(json_object_get(json_array_get(array, i), primary->name)))
			primaries++;
	}
	if (primaries > 1)
		return scim_fail(err, 400, SCIM_INVALID_VALUE, "attribute \"%s\" has more than one primary value",
						 scim_attr_path(type, attr, path, sizeof(path)));
	return true;
}

static json_t *
wanted_array(Wanted *w, ScimAttr *attr, const json_t *array)
{
	json_t	   *out = json_array();
	ScimMultiSet set;
	size_t		n = json_array_size(array);
	size_t		i;

	if (out == NULL)
		return out_of_memory(w);
	scim_multi_init(&set, attr, false);
	for (i = 0; i < n; i++)
	{
		json_t	   *value = wanted_single(w, attr, json_array_get(array, i));
		uint64_t	hash;
		int			found;

		if (value == NULL)
			return NULL;
		if (json_is_null(value))
			continue;
		found = scim_multi_find(&set, value, &hash, w->err);
		if (found == -2)
			return NULL;
		if (found >= 0)
		{
			if (!fold_duplicate(w, attr, json_array_get(out, (size_t) found), value))
				return NULL;
			json_decref(value);
			continue;
		}
		if (json_array_append_new(out, value) != 0)
			return out_of_memory(w);
		if (!scim_multi_add(&set, value, hash, w->err))
			return NULL;
	}
	if (json_array_size(out) == 0)
		return json_null();
	if (!check_primary(w->type, attr, out, w->err))
		return NULL;
	return out;
}

static json_t *
wanted_value(Wanted *w, ScimAttr *attr, const json_t *value)
{
	json_t	   *array;

	if (unassigned(value))
		return json_null();
	if (!attr->multi)
		return wanted_single(w, attr, value);
	if (json_is_array(value))
		return wanted_array(w, attr, value);

	if (w->mode != SCIM_COMPAT)
		return wrong_type(w, attr);
	scim_report_add(w->report, "single_value");
	array = json_array();
	if (array == NULL || json_array_append(array, (json_t *) value) != 0)
		return out_of_memory(w);
	return wanted_array(w, attr, array);
}

json_t *
scim_value_wanted(const ScimResourceType *type, ScimAttr *attr, const json_t *value,
				  ScimMode mode, bool refuse_unknown, ScimReport *report, ScimError *err)
{
	ScimCoreFrame frame;
	Wanted		w = {type, mode, refuse_unknown, report, err};
	json_t	   *result;

	scim_core_enter(&frame);
	result = wanted_value(&w, attr, value);
	scim_core_leave(&frame);
	return result;
}

/* The object of "ext" in the state under construction; made where missing. */
static json_t *
part_for(Wanted *w, json_t *out, int ext)
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
set_attribute(Wanted *w, json_t *out, ScimAttr *attr, const json_t *value)
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
	wanted = wanted_value(w, attr, value);
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
take_plain(Wanted *w, json_t *out, const json_t *object, int ext)
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
take_path(Wanted *w, json_t *out, const char *text, const json_t *value, bool *taken)
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

	wanted = path->sub != NULL ? wanted_value(w, path->sub, value) : wanted_single(w, attr, value);
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
			if (!scim_filter_template(path->filter, holder))
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
take_others(Wanted *w, json_t *out, const json_t *object, int ext)
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
		if (!taken && !unknown_attribute(w, NULL, key))
			return false;
	}
	return true;
}

/*
 * Values that came by several paths into one attribute are held together
 * against its rules once more: duplicates, primary, required sub-attributes.
 */
static bool
settle_paths(Wanted *w, json_t *out)
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
		again = wanted_value(w, attr, value);
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
check_schemas(Wanted *w, const json_t *body)
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
keep_current(Wanted *w, ScimAttr *attr, json_t *out, const json_t *current)
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

		if (attr->common || attr->mutability == SCIM_READ_ONLY)
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
resource_wanted(Wanted *w, const json_t *body, const json_t *current)
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
	Wanted		w = {type, mode, refuse_unknown, report, err};
	json_t	   *result;

	scim_core_enter(&frame);
	result = resource_wanted(&w, body, current);
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
		ok = part == NULL || check_primary(type, attr, json_object_get(part, attr->name), err);
	}
	ok = ok && set_schemas(type, resource, err);
	scim_core_leave(&frame);
	return ok;
}
