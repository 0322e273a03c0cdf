/*
 * core_validate.c
 *		One value that a client sent, held against its attribute (RFC 7643 2
 *		and 7): type, unassigned values, duplicates, primary, required
 *		sub-attributes, limits.
 *
 * POST, PUT and PATCH use the same functions, so that a rule holds on every
 * way in.  Whole bodies are in core_validate_body.c.
 *
 * What identity providers send beyond the RFC is taken in SCIM_COMPAT only,
 * and each such rewrite is noted by name in the report.  Compat never guesses
 * about types beyond that: "yes" is no boolean and 5 is no string.
 *
 * Scalars of the result are shared with the body by reference count; arrays
 * and objects are new.
 */
#include "core_validate_internal.h"

#include <string.h>

#include "core_fold.h"
#include "core_multi.h"

#define PATH_SIZE			SCIM_WANTED_PATH_SIZE
#define MAX_UNIQUE_SIZE		1024	/* bytes after folding: a B-tree key */
#define MAX_FOLD_GROWTH		4		/* folding makes no string longer than this */

void
scim_report_add(ScimReport *report, const char *name)
{
	int			i;

	if (report == NULL)
		return;
	report->rewrites++;
	for (i = 0; i < report->nkinds && strcmp(report->kinds[i].name, name) != 0; i++)
		;
	if (i == SCIM_REWRITE_KINDS)
		return;
	report->kinds[i].name = name;
	report->kinds[i].count++;
	if (i == report->nkinds)
		report->nkinds++;
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
out_of_memory(ScimWanted *w)
{
	scim_fail_memory(w->err);
	return NULL;
}

/*
 * null, [] and {} are unassigned (RFC 7643 2.5), but {} is no way to write a
 * simple attribute.
 */
static bool
unassigned(const ScimAttr *attr, const json_t *value)
{
	if (json_is_object(value) && attr->type != SCIM_TYPE_COMPLEX)
		return false;
	return value == NULL || scim_json_unassigned(value);
}

static bool
string_is(const json_t *value, const char *text)
{
	return json_is_string(value) && scim_name_eq(json_string_value(value), json_string_length(value), text);
}

static json_t *
wrong_type(ScimWanted *w, const ScimAttr *attr)
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
bool
scim_wanted_unknown(ScimWanted *w, const ScimAttr *parent, const char *name)
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
is_key(const ScimWanted *w, const ScimAttr *attr)
{
	if (attr->uniqueness != SCIM_UNIQUE_NONE || attr == w->type->a_external_id)
		return true;
	return attr->parent != NULL && scim_multi_is_reference(attr->parent) &&
		scim_name_eq(attr->name, strlen(attr->name), "value");
}

/* Rules on strings that go beyond their type. */
static bool
check_string(ScimWanted *w, const ScimAttr *attr, const json_t *value)
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
wanted_simple(ScimWanted *w, ScimAttr *attr, const json_t *value)
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
wanted_complex(ScimWanted *w, ScimAttr *attr, const json_t *object)
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
			if (!scim_wanted_unknown(w, attr, key))
				return NULL;
			continue;
		}
		if (sub->mutability == SCIM_READ_ONLY)
		{
			if (w->report != NULL)
				w->report->ignored++;
			continue;
		}
		value = scim_wanted_value(w, sub, member);
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
json_t *
scim_wanted_single(ScimWanted *w, ScimAttr *attr, const json_t *value)
{
	json_t	   *object;

	if (unassigned(attr, value))
		return json_null();

	if (w->mode == SCIM_COMPAT && !attr->multi && json_is_array(value) && json_array_size(value) == 1)
	{
		/* manager [{"value":"u7"}] */
		scim_report_add(w->report, "array_of_one");
		value = json_array_get(value, 0);
		if (unassigned(attr, value))
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
fold_duplicate(ScimWanted *w, ScimAttr *attr, json_t *first, const json_t *again)
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

bool
scim_check_primary(const ScimResourceType *type, const ScimAttr *attr, const json_t *array, ScimError *err)
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
wanted_array(ScimWanted *w, ScimAttr *attr, const json_t *array)
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
		json_t	   *value = scim_wanted_single(w, attr, json_array_get(array, i));
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
	if (!scim_check_primary(w->type, attr, out, w->err))
		return NULL;
	return out;
}

json_t *
scim_wanted_value(ScimWanted *w, ScimAttr *attr, const json_t *value)
{
	json_t	   *array;

	if (unassigned(attr, value))
		return json_null();
	if (!attr->multi)
		return scim_wanted_single(w, attr, value);
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
	ScimWanted		w = {type, mode, refuse_unknown, report, err};
	json_t	   *result;

	scim_core_enter(&frame);
	result = scim_wanted_value(&w, attr, value);
	scim_core_leave(&frame);
	return result;
}

