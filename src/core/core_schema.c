/*
 * core_schema.c
 *		Schemas and resource types in memory (RFC 7643 sections 2, 6, 7).
 *
 * The standard schemas and those of users are read by the same code, from JSON.
 */
#include <stdio.h>
#include <string.h>

#include "core_schema.h"
#include "core_schema_builtin.h"

struct ScimRegistry
{
	ScimSchema **schemas;
	int			nschemas;
	int			capacity;
	ScimAttr  **common;			/* schemas, id, externalId, meta */
	int			ncommon;
};

/* ---- names of characteristics ---- */

static const char *const type_names[] = {
	"string", "boolean", "decimal", "integer", "dateTime", "reference", "binary", "complex"
};
static const char *const mutability_names[] = {"readWrite", "readOnly", "immutable", "writeOnly"};
static const char *const returned_names[] = {"default", "always", "never", "request"};
static const char *const uniqueness_names[] = {"none", "server", "global"};

const char *
scim_type_name(ScimType type)
{
	return type_names[type];
}

const char *
scim_mutability_name(ScimMutability m)
{
	return mutability_names[m];
}

const char *
scim_returned_name(ScimReturned r)
{
	return returned_names[r];
}

const char *
scim_uniqueness_name(ScimUniqueness u)
{
	return uniqueness_names[u];
}

/* ---- a definition's members ---- */

static bool
bad(ScimError *err, const char *name, const char *problem)
{
	return scim_fail(err, 400, SCIM_INVALID_VALUE, "schema attribute \"%.100s\": %s", name, problem);
}

/* RFC 7643 2.1: ALPHA *("$" / "-" / "_" / DIGIT / ALPHA), and the usual $ref. */
static bool
valid_name(const char *name)
{
	if (strcmp(name, "$ref") == 0)
		return true;
	if (!((name[0] >= 'a' && name[0] <= 'z') || (name[0] >= 'A' && name[0] <= 'Z')))
		return false;
	return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789$-_") == strlen(name) &&
		strlen(name) <= 200;
}

static bool
get_text(const json_t *def, const char *member, const char **out, ScimError *err, const char *name)
{
	const json_t *value = scim_json_get(def, member, NULL);

	if (value == NULL || json_is_null(value))
		return true;
	if (!json_is_string(value))
		return bad(err, name, "a characteristic that is text holds something else");
	*out = scim_strndup(json_string_value(value), json_string_length(value));
	return *out != NULL || scim_fail_memory(err);
}

static bool
get_bool(const json_t *def, const char *member, bool *out, ScimError *err, const char *name)
{
	const json_t *value = scim_json_get(def, member, NULL);

	if (value == NULL || json_is_null(value))
		return true;
	if (!json_is_boolean(value))
		return bad(err, name, "a boolean characteristic holds something else");
	*out = json_is_true(value);
	return true;
}

/* One of the names of a characteristic; an absent one keeps *out. */
static bool
get_choice(const json_t *def, const char *member, const char *const *names, int n, int *out,
		   ScimError *err, const char *name)
{
	const json_t *value = scim_json_get(def, member, NULL);

	if (value == NULL || json_is_null(value))
		return true;
	for (int i = 0; json_is_string(value) && i < n; i++)
		if (scim_name_eq(json_string_value(value), json_string_length(value), names[i]))
		{
			*out = i;
			return true;
		}
	return scim_fail(err, 400, SCIM_INVALID_VALUE, "schema attribute \"%.100s\": unknown value of \"%s\"", name, member);
}

static bool
get_texts(const json_t *def, const char *member, const char ***out, int *nout, ScimError *err, const char *name)
{
	const json_t *value = scim_json_get(def, member, NULL);
	size_t		n;

	if (value == NULL || json_is_null(value))
		return true;
	if (!json_is_array(value))
		return bad(err, name, "canonicalValues and referenceTypes are arrays of strings");
	n = json_array_size(value);
	*out = scim_alloc((n + 1) * sizeof(char *));
	if (*out == NULL)
		return scim_fail_memory(err);
	for (size_t i = 0; i < n; i++)
	{
		const json_t *item = json_array_get(value, i);

		if (!json_is_string(item))
			return bad(err, name, "canonicalValues and referenceTypes are arrays of strings");
		(*out)[i] = scim_strndup(json_string_value(item), json_string_length(item));
		if ((*out)[i] == NULL)
			return scim_fail_memory(err);
	}
	*nout = (int) n;
	return true;
}

static ScimAttr *read_attr(const json_t *def, ScimAttr *parent, int levels, ScimError *err);

/* The attributes of an array; none may come twice.  "levels" may nest below. */
static bool
read_attrs(const json_t *array, ScimAttr *parent, int levels, ScimAttr ***out, int *nout, ScimError *err)
{
	size_t		n = json_array_size(array);

	if (n > SCIM_SCHEMA_MAX_ATTRS)
		return scim_fail(err, 400, SCIM_INVALID_VALUE, "a schema has at most %d attributes, and an attribute %d sub-attributes",
						 SCIM_SCHEMA_MAX_ATTRS, SCIM_SCHEMA_MAX_ATTRS);
	*out = scim_alloc((n + 1) * sizeof(ScimAttr *));
	if (*out == NULL)
		return scim_fail_memory(err);
	*nout = 0;
	for (size_t i = 0; i < n; i++)
	{
		ScimAttr   *attr = read_attr(json_array_get(array, i), parent, levels, err);

		if (attr == NULL)
			return false;
		for (int j = 0; j < *nout; j++)
			if (scim_name_eq(attr->name, strlen(attr->name), (*out)[j]->name))
				return bad(err, attr->name, "is defined twice");
		(*out)[(*nout)++] = attr;
	}
	return true;
}

static bool
check_sub(const ScimAttr *attr, ScimError *err)
{
	if (attr->parent == NULL)
		return true;
	if (scim_name_eq(attr->name, strlen(attr->name), "primary") && (attr->type != SCIM_TYPE_BOOLEAN || attr->multi))
		return bad(err, attr->name, "is a single boolean wherever a schema uses it (RFC 7643 2.4)");
	return true;
}

static ScimAttr *
read_attr(const json_t *def, ScimAttr *parent, int levels, ScimError *err)
{
	ScimAttr   *attr = scim_alloc0(sizeof(ScimAttr));
	int			type = SCIM_TYPE_STRING;
	int			mutability = SCIM_READ_WRITE;
	int			returned = SCIM_RETURNED_DEFAULT;
	int			uniqueness = SCIM_UNIQUE_NONE;
	const json_t *subs;

	if (attr == NULL)
	{
		scim_fail_memory(err);
		return NULL;
	}
	attr->ord = -1;
	attr->ext = SCIM_EXT_CORE;
	attr->parent = parent;
	attr->description = "";
	if (!json_is_object(def) || !get_text(def, "name", &attr->name, err, "?") ||
		attr->name == NULL || !valid_name(attr->name))
	{
		bad(err, attr->name ? attr->name : "", "an attribute needs a name of letters, digits, \"-\", \"_\", \"$\" that begins with a letter");
		return NULL;
	}
	if (!get_text(def, "description", &attr->description, err, attr->name) ||
		!get_choice(def, "type", type_names, 8, &type, err, attr->name) ||
		!get_choice(def, "mutability", mutability_names, 4, &mutability, err, attr->name) ||
		!get_choice(def, "returned", returned_names, 4, &returned, err, attr->name) ||
		!get_choice(def, "uniqueness", uniqueness_names, 3, &uniqueness, err, attr->name) ||
		!get_bool(def, "multiValued", &attr->multi, err, attr->name) ||
		!get_bool(def, "required", &attr->required, err, attr->name) ||
		!get_bool(def, "caseExact", &attr->case_exact, err, attr->name) ||
		!get_texts(def, "canonicalValues", &attr->canonical, &attr->ncanonical, err, attr->name) ||
		!get_texts(def, "referenceTypes", &attr->ref_types, &attr->nref_types, err, attr->name))
		return NULL;
	attr->type = (ScimType) type;
	attr->mutability = (ScimMutability) mutability;
	attr->returned = (ScimReturned) returned;
	attr->uniqueness = (ScimUniqueness) uniqueness;
	/* RFC 7643 2.3.6, 2.3.7 */
	if (attr->type == SCIM_TYPE_REFERENCE || attr->type == SCIM_TYPE_BINARY)
		attr->case_exact = true;

	subs = scim_json_get(def, "subAttributes", NULL);
	if (attr->type == SCIM_TYPE_COMPLEX)
	{
		if (levels == 0)
		{
			bad(err, attr->name, "a sub-attribute must not be complex (RFC 7643 2.3.8)");
			return NULL;
		}
		if (!json_is_array(subs) || json_array_size(subs) == 0)
		{
			bad(err, attr->name, "a complex attribute needs subAttributes");
			return NULL;
		}
		if (!read_attrs(subs, attr, levels - 1, &attr->subs, &attr->nsubs, err))
			return NULL;
	}
	else if (!scim_json_unassigned(subs))
	{
		bad(err, attr->name, "only a complex attribute has subAttributes");
		return NULL;
	}
	return check_sub(attr, err) ? attr : NULL;
}

/* ---- registry ---- */

const ScimSchema *
scim_registry_schema(const ScimRegistry *registry, const char *uri, size_t len)
{
	for (int i = 0; i < registry->nschemas; i++)
		if (scim_name_eq(uri, len, registry->schemas[i]->uri))
			return registry->schemas[i];
	return NULL;
}

int
scim_registry_nschemas(const ScimRegistry *registry)
{
	return registry->nschemas;
}

const ScimSchema *
scim_registry_schema_at(const ScimRegistry *registry, int i)
{
	return registry->schemas[i];
}

static bool
valid_uri(const char *uri)
{
	size_t		n = strlen(uri);

	if (n < 5 || n > 500 || !scim_name_eq(uri, 4, "urn:") || uri[n - 1] == ':')
		return false;
	return strspn(uri, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:.-_()+,=@;$!*'%/") == n;
}

static bool
add_schema(ScimRegistry *registry, const json_t *definition, bool builtin, ScimError *err)
{
	ScimSchema *schema = scim_alloc0(sizeof(ScimSchema));
	const json_t *attributes = scim_json_get(definition, "attributes", NULL);

	if (schema == NULL)
		return scim_fail_memory(err);
	schema->builtin = builtin;
	if (!get_text(definition, "id", &schema->uri, err, "id") ||
		!get_text(definition, "name", &schema->name, err, "name") ||
		!get_text(definition, "description", &schema->description, err, "description"))
		return false;
	if (schema->uri == NULL || !valid_uri(schema->uri))
		return scim_fail(err, 400, SCIM_INVALID_VALUE, "a schema needs an id that is a URN (\"urn:...\")");
	if (scim_registry_schema(registry, schema->uri, strlen(schema->uri)))
		return scim_fail(err, 400, SCIM_INVALID_VALUE, "a schema with this id exists already");
	if (schema->name == NULL)
		schema->name = schema->uri;
	if (schema->description == NULL)
		schema->description = "";
	if (!json_is_array(attributes))
		return scim_fail(err, 400, SCIM_INVALID_VALUE, "a schema needs an array \"attributes\"");
	/* only the Schema schema nests deeper (RFC 7643 7: attributes.subAttributes) */
	if (!read_attrs(attributes, NULL, builtin ? 2 : 1, &schema->attrs, &schema->nattrs, err))
		return false;

	if (registry->nschemas == registry->capacity)
	{
		int			capacity = registry->capacity ? registry->capacity * 2 : 16;
		ScimSchema **grown = scim_realloc(registry->schemas, capacity * sizeof(ScimSchema *));

		if (grown == NULL)
			return scim_fail_memory(err);
		registry->schemas = grown;
		registry->capacity = capacity;
	}
	registry->schemas[registry->nschemas++] = schema;
	return true;
}

bool
scim_registry_add_schema(ScimRegistry *registry, const json_t *definition, ScimError *err)
{
	ScimCoreFrame frame;
	bool		ok;

	if (!json_is_object(definition))
		return scim_fail(err, 400, SCIM_INVALID_VALUE, "a schema is a JSON object");
	scim_core_enter(&frame);
	ok = add_schema(registry, definition, false, err);
	scim_core_leave(&frame);
	return ok;
}

static bool
add_builtin(ScimRegistry *registry, ScimError *err)
{
	json_t	   *common = scim_json_parse(scim_builtin_common, strlen(scim_builtin_common), err);

	if (common == NULL || !read_attrs(common, NULL, 1, &registry->common, &registry->ncommon, err))
		return false;
	for (int i = 0; i < registry->ncommon; i++)
	{
		registry->common[i]->common = true;
		for (int j = 0; j < registry->common[i]->nsubs; j++)
			registry->common[i]->subs[j]->common = true;
	}
	for (int i = 0; scim_builtin_schemas[i]; i++)
	{
		json_t	   *definition = scim_json_parse(scim_builtin_schemas[i], strlen(scim_builtin_schemas[i]), err);

		if (definition == NULL)
			return false;
		if (!add_schema(registry, definition, true, err))
			return false;
		json_decref(definition);
	}
	json_decref(common);
	return true;
}

ScimRegistry *
scim_registry_create(ScimError *err)
{
	ScimCoreFrame frame;
	ScimRegistry *registry;

	scim_core_enter(&frame);
	registry = scim_alloc0(sizeof(ScimRegistry));
	if (registry == NULL)
		scim_fail_memory(err);
	else if (!add_builtin(registry, err))
		registry = NULL;
	scim_core_leave(&frame);
	return registry;
}

/* ---- resource types ---- */

typedef struct TypeBuilder
{
	ScimResourceType *type;
	int			capacity;
	ScimKeepAttr keep;
	void	   *arg;
	ScimError  *err;
} TypeBuilder;

static bool
append_attr(TypeBuilder *b, ScimAttr *attr)
{
	ScimResourceType *type = b->type;

	if (type->nattrs == b->capacity)
	{
		int			capacity = b->capacity ? b->capacity * 2 : 128;
		ScimAttr  **attrs = scim_realloc(type->attrs, capacity * sizeof(ScimAttr *));
		ScimAttr  **top = scim_realloc(type->top, capacity * sizeof(ScimAttr *));

		if (attrs == NULL || top == NULL)
			return scim_fail_memory(b->err);
		type->attrs = attrs;
		type->top = top;
		b->capacity = capacity;
	}
	attr->ord = type->nattrs;
	type->attrs[type->nattrs++] = attr;
	if (attr->parent == NULL)
		type->top[type->ntop++] = attr;
	return true;
}

static ScimAttr *
copy_attr(TypeBuilder *b, const ScimAttr *from, ScimAttr *parent, int ext)
{
	ScimAttr   *attr = scim_alloc(sizeof(ScimAttr));

	if (attr == NULL)
	{
		scim_fail_memory(b->err);
		return NULL;
	}
	*attr = *from;
	attr->ext = ext;
	attr->parent = parent;
	attr->subs = NULL;
	attr->nsubs = 0;
	return attr;
}

/*
 * Copy an attribute with the sub-attributes that are kept; *kept: it was.
 * "given" is its extension's place among those given, "ext" among those of the
 * type, where an extension before it may have been dropped.
 */
static bool
take_attr(TypeBuilder *b, const ScimAttr *from, int given, int ext, bool *kept)
{
	ScimAttr	probe = *from;
	ScimAttr   *attr;

	*kept = false;
	probe.ext = given;
	if (b->keep && !b->keep(&probe, b->arg))
		return true;
	attr = copy_attr(b, from, NULL, ext);
	if (attr == NULL || !append_attr(b, attr))
		return false;
	*kept = true;
	if (from->nsubs == 0)
		return true;
	attr->subs = scim_alloc(from->nsubs * sizeof(ScimAttr *));
	if (attr->subs == NULL)
		return scim_fail_memory(b->err);
	for (int i = 0; i < from->nsubs; i++)
	{
		ScimAttr   *sub;

		probe = *from->subs[i];
		probe.ext = given;
		/* resources nest no deeper than that, whatever the Schema schema says */
		if (from->subs[i]->type == SCIM_TYPE_COMPLEX || (b->keep && !b->keep(&probe, b->arg)))
			continue;
		sub = copy_attr(b, from->subs[i], attr, ext);
		if (sub == NULL || !append_attr(b, sub))
			return false;
		attr->subs[attr->nsubs++] = sub;
	}
	return true;
}

static bool
is_common(const ScimRegistry *registry, const ScimAttr *attr)
{
	for (int i = 0; i < registry->ncommon; i++)
		if (scim_name_eq(attr->name, strlen(attr->name), registry->common[i]->name))
			return true;
	return false;
}

static bool
build_type(TypeBuilder *b, const ScimRegistry *registry, const ScimExtension *exts, int nexts)
{
	ScimResourceType *type = b->type;
	bool		kept;

	for (int i = 0; i < registry->ncommon; i++)
		if (!take_attr(b, registry->common[i], SCIM_EXT_CORE, SCIM_EXT_CORE, &kept))
			return false;
	for (int i = 0; i < type->schema->nattrs; i++)
	{
		const ScimAttr *attr = type->schema->attrs[i];

		/* a schema that lists id or meta describes what every resource has */
		if (!is_common(registry, attr) && !take_attr(b, attr, SCIM_EXT_CORE, SCIM_EXT_CORE, &kept))
			return false;
	}
	for (int i = 0; i < nexts; i++)
	{
		bool		any = false;

		for (int j = 0; j < exts[i].schema->nattrs; j++)
		{
			if (!take_attr(b, exts[i].schema->attrs[j], i, type->nexts, &kept))
				return false;
			any = any || kept;
		}
		if (any || b->keep == NULL)
			type->exts[type->nexts++] = exts[i];
	}
	type->a_schemas = scim_type_attr(type, SCIM_EXT_CORE, "schemas", 7);
	type->a_id = scim_type_attr(type, SCIM_EXT_CORE, "id", 2);
	type->a_external_id = scim_type_attr(type, SCIM_EXT_CORE, "externalId", 10);
	type->a_meta = scim_type_attr(type, SCIM_EXT_CORE, "meta", 4);
	if (type->a_schemas == NULL || type->a_id == NULL || type->a_meta == NULL)
		return scim_fail(b->err, 500, NULL, "resource type \"%s\" lacks a common attribute", type->name);
	return true;
}

ScimResourceType *
scim_resource_type_make(const ScimRegistry *registry,
						const char *name, const char *endpoint, const char *description,
						const char *schema_uri,
						const ScimExtension *exts, int nexts,
						ScimKeepAttr keep, void *arg, ScimError *err)
{
	ScimCoreFrame frame;
	TypeBuilder b;
	ScimResourceType *type;

	scim_core_enter(&frame);
	memset(&b, 0, sizeof(b));
	b.keep = keep;
	b.arg = arg;
	b.err = err;
	b.type = type = scim_alloc0(sizeof(ScimResourceType));
	if (type == NULL)
		scim_fail_memory(err);
	else
	{
		type->name = scim_strndup(name, strlen(name));
		type->endpoint = scim_strndup(endpoint, strlen(endpoint));
		type->description = scim_strndup(description, strlen(description));
		type->schema = scim_registry_schema(registry, schema_uri, strlen(schema_uri));
		type->exts = scim_alloc0((nexts + 1) * sizeof(ScimExtension));
		if (type->name == NULL || type->endpoint == NULL || type->description == NULL || type->exts == NULL)
		{
			scim_fail_memory(err);
			type = NULL;
		}
		else if (type->schema == NULL)
		{
			scim_fail(err, 400, SCIM_INVALID_VALUE, "the schema of resource type \"%.100s\" does not exist", name);
			type = NULL;
		}
		else if (!build_type(&b, registry, exts, nexts))
			type = NULL;
	}
	scim_core_leave(&frame);
	return type;
}

ScimResourceType *
scim_resource_type_standard(const ScimRegistry *registry, const char *name, ScimError *err)
{
	ScimExtension enterprise;

	if (strcmp(name, "Group") == 0)
		return scim_resource_type_make(registry, "Group", "/Groups", "Group of resources", SCIM_URN_GROUP,
									   NULL, 0, NULL, NULL, err);
	enterprise.schema = scim_registry_schema(registry, SCIM_URN_ENTERPRISE_USER, strlen(SCIM_URN_ENTERPRISE_USER));
	enterprise.required = false;
	return scim_resource_type_make(registry, "User", "/Users", "User account", SCIM_URN_USER,
								   &enterprise, 1, NULL, NULL, err);
}

/* ---- look-ups ---- */

ScimAttr *
scim_type_attr(const ScimResourceType *type, int ext, const char *name, size_t len)
{
	for (int i = 0; i < type->ntop; i++)
		if (type->top[i]->ext == ext && len > 0 &&
			(type->top[i]->name[0] | 0x20) == (name[0] | 0x20) &&
			scim_name_eq(name, len, type->top[i]->name))
			return type->top[i];
	return NULL;
}

ScimAttr *
scim_attr_sub(const ScimAttr *attr, const char *name, size_t len)
{
	for (int i = 0; i < attr->nsubs; i++)
		if (scim_name_eq(name, len, attr->subs[i]->name))
			return attr->subs[i];
	return NULL;
}

size_t
scim_type_match_uri(const ScimResourceType *type, const char *text, size_t len, int *ext)
{
	size_t		best = 0;

	for (int i = -1; i < type->nexts; i++)
	{
		const char *uri = i < 0 ? type->schema->uri : type->exts[i].schema->uri;
		size_t		n = strlen(uri);

		if (n > best && n <= len && scim_name_eq(text, n, uri) && (n == len || text[n] == ':'))
		{
			best = n;
			*ext = i < 0 ? SCIM_EXT_CORE : i;
		}
	}
	return best;
}

const char *
scim_attr_path(const ScimResourceType *type, const ScimAttr *attr, char *buf, size_t size)
{
	const ScimAttr *top = attr->parent ? attr->parent : attr;
	const char *uri = top->ext >= 0 ? type->exts[top->ext].schema->uri : "";

	snprintf(buf, size, "%s%s%s%s%s", uri, top->ext >= 0 ? ":" : "", top->name,
			 attr->parent ? "." : "", attr->parent ? attr->name : "");
	return buf;
}

json_t *
scim_resource_part(const ScimResourceType *type, const json_t *resource, int ext)
{
	if (ext < 0)
		return (json_t *) resource;
	return json_object_get(resource, type->exts[ext].schema->uri);
}

/* ---- Schema resources ---- */

static bool
set(json_t *object, const char *name, json_t *value)
{
	return object != NULL && value != NULL && json_object_set_new(object, name, value) == 0;
}

static json_t *
texts_json(const char **texts, int n)
{
	json_t	   *array = json_array();

	for (int i = 0; array != NULL && i < n; i++)
		if (json_array_append_new(array, json_string(texts[i])) != 0)
			return NULL;
	return array;
}

static json_t *attrs_json(ScimAttr *const *attrs, int n, int ext);

static json_t *
attr_json(const ScimAttr *attr)
{
	json_t	   *o = json_pack("{}");
	bool		simple_text = attr->type != SCIM_TYPE_COMPLEX && attr->type != SCIM_TYPE_BOOLEAN;
	bool		ok;

	ok = set(o, "name", json_string(attr->name)) &&
		set(o, "type", json_string(type_names[attr->type])) &&
		set(o, "multiValued", json_boolean(attr->multi)) &&
		set(o, "description", json_string(attr->description)) &&
		set(o, "required", json_boolean(attr->required)) &&
		(!simple_text || set(o, "caseExact", json_boolean(attr->case_exact))) &&
		set(o, "mutability", json_string(mutability_names[attr->mutability])) &&
		set(o, "returned", json_string(returned_names[attr->returned])) &&
		(!simple_text || set(o, "uniqueness", json_string(uniqueness_names[attr->uniqueness]))) &&
		(attr->ncanonical == 0 || set(o, "canonicalValues", texts_json(attr->canonical, attr->ncanonical))) &&
		(attr->nref_types == 0 || set(o, "referenceTypes", texts_json(attr->ref_types, attr->nref_types))) &&
		(attr->type != SCIM_TYPE_COMPLEX || set(o, "subAttributes", attrs_json(attr->subs, attr->nsubs, attr->ext)));
	return ok ? o : NULL;
}

static json_t *
attrs_json(ScimAttr *const *attrs, int n, int ext)
{
	json_t	   *array = json_array();

	for (int i = 0; array != NULL && i < n; i++)
	{
		/* common attributes are part of no schema (RFC 7643 3.1) */
		if (attrs[i]->common || attrs[i]->ext != ext)
			continue;
		if (json_array_append_new(array, attr_json(attrs[i])) != 0)
			return NULL;
	}
	return array;
}

json_t *
scim_schema_resource(const ScimResourceType *type, const ScimSchema *schema, const char *base_url)
{
	ScimCoreFrame frame;
	json_t	   *o;
	json_t	   *meta;
	json_t	   *schemas;
	json_t	   *attributes = NULL;
	size_t		size = strlen(base_url) + strlen(schema->uri) + 16;
	char	   *location;
	bool		ok;

	scim_core_enter(&frame);
	location = scim_alloc(size);
	if (location != NULL)
		snprintf(location, size, "%s/Schemas/%s", base_url, schema->uri);
	if (type == NULL)
		attributes = attrs_json(schema->attrs, schema->nattrs, SCIM_EXT_CORE);
	else if (type->schema == schema)
		attributes = attrs_json(type->top, type->ntop, SCIM_EXT_CORE);
	for (int i = 0; type != NULL && attributes == NULL && i < type->nexts; i++)
		if (type->exts[i].schema == schema)
			attributes = attrs_json(type->top, type->ntop, i);

	o = json_pack("{}");
	meta = json_pack("{}");
	schemas = json_array();
	ok = location != NULL && schemas != NULL &&
		json_array_append_new(schemas, json_string(SCIM_URN_SCHEMA)) == 0 &&
		set(meta, "resourceType", json_string("Schema")) &&
		set(meta, "location", json_string(location)) &&
		set(o, "schemas", schemas) &&
		set(o, "id", json_string(schema->uri)) &&
		set(o, "name", json_string(schema->name)) &&
		set(o, "description", json_string(schema->description)) &&
		set(o, "attributes", attributes) &&
		set(o, "meta", meta);
	scim_core_leave(&frame);
	return ok ? o : NULL;
}
