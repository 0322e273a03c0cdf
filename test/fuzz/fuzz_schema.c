/*
 * fuzz_schema.c
 *		libFuzzer: any bytes as the definition of a schema.
 *
 * Beside crashes these are findings: an error that is no 400; a schema that is
 * accepted, but whose own Schema resource is refused or says something else; a
 * resource type whose attributes are not in order or cannot be found by their
 * names and paths; and a body that such a type does not judge.
 */
#include "../unit/unit_world.h"

#include "core_path.h"
#include "core_validate.h"

#define HEAP_LIMIT		(64 * 1024 * 1024)
#define FRESH_EVERY		200

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static ScimRegistry *registry;
static char uri[600];

/* Gives the definition an id that the registry does not have; "again": even if it has the one given. */
static bool
add(json_t *definition, bool again, ScimError *err)
{
	static int	n = 0;
	const json_t *id = scim_json_get(definition, "id", NULL);
	ScimCoreFrame frame;

	memset(err, 0, sizeof(*err));
	uri[0] = '\0';
	if (json_is_string(id) && json_string_length(id) < 400 && json_string_length(id) > 0 &&
		(again || !scim_registry_schema(registry, json_string_value(id), json_string_length(id))))
	{
		const char *key;

		snprintf(uri, sizeof(uri), "%s%d", json_string_value(id), n++);
		scim_core_enter(&frame);
		scim_json_get(definition, "id", &key);
		json_object_set_new_nocheck(definition, key, json_string(uri));
		scim_core_leave(&frame);
	}
	if (scim_registry_add_schema(registry, definition, err))
		return true;
	if (err->status != 400 && err->status != 413)
		abort();
	return false;
}

/* Half of the attributes, by their names. */
static bool
keep(const ScimAttr *attr, void *arg)
{
	return attr->common || (attr->name[0] & 1) == 0;
}

static void
check_type(ScimResourceType *type, const ScimSchema *schema)
{
	char		path[1024];
	ScimError	err;
	json_t	   *body;
	int			ext;

	for (int i = 0; i < type->nattrs; i++)
	{
		ScimAttr   *attr = type->attrs[i];

		if (attr->ord != i || (attr->parent != NULL && attr->parent->ord >= i) ||
			(attr->parent != NULL && (attr->type == SCIM_TYPE_COMPLEX || attr->nsubs != 0 || attr->ext != attr->parent->ext)) ||
			attr->ext >= type->nexts)
			abort();
		if (attr->parent == NULL ? scim_type_attr(type, attr->ext, attr->name, strlen(attr->name)) != attr :
			scim_attr_sub(attr->parent, attr->name, strlen(attr->name)) != attr)
			abort();
		scim_attr_path(type, attr, path, sizeof(path));
		if (strlen(path) < sizeof(path) - 1)
		{
			ScimPath   *parsed;

			memset(&err, 0, sizeof(err));
			parsed = scim_path_parse(type, path, strlen(path), SCIM_STRICT, &err);
			/* the names of common attributes come first, a path has its limits */
			if (parsed == NULL ? err.status != 400 && err.status != 413 :
				parsed->attr->ext == attr->ext && (parsed->sub ? parsed->sub : parsed->attr) != attr)
				abort();
		}
	}
	if (scim_type_match_uri(type, schema->uri, strlen(schema->uri), &ext) != strlen(schema->uri))
		abort();

	/* its Schema resource, as a body with members of all its names */
	body = scim_schema_resource(type, schema, "");
	if (body == NULL)
		abort();
	memset(&err, 0, sizeof(err));
	if (scim_resource_wanted(type, body, NULL, SCIM_COMPAT, false, NULL, &err) == NULL && err.status != 400 && err.status != 413)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int	inputs = 0;
	ScimError	err;
	json_t	   *definition;
	json_t	   *served;
	json_t	   *again;
	const ScimSchema *schema;
	ScimExtension ext;
	ScimResourceType *type;

	scim_heap_begin(SIZE_MAX);
	memset(&err, 0, sizeof(err));
	if (inputs++ % FRESH_EVERY == 0)
	{
		scim_arena_reset();
		registry = scim_registry_create(&err);
	}
	scim_heap_begin(HEAP_LIMIT);
	definition = scim_json_parse((const char *) data, size, &err);
	if (definition == NULL || !add(definition, false, &err))
		return 0;

	/* served, and read again */
	schema = scim_registry_schema(registry, uri, strlen(uri));
	if (schema == NULL)
		abort();
	served = scim_schema_resource(NULL, schema, "https://example.com");
	if (served == NULL)
		abort();
	if (!add(served, true, &err))
	{
		if (err.status == 413 || strlen(uri) > 500)
			return 0;
		abort();
	}
	again = scim_schema_resource(NULL, scim_registry_schema(registry, uri, strlen(uri)), "https://example.com");
	if (again == NULL || !json_equal(json_object_get(served, "attributes"), json_object_get(again, "attributes")) ||
		!json_equal(json_object_get(served, "name"), json_object_get(again, "name")))
		abort();

	/* as core schema, as extension, and in part */
	memset(&err, 0, sizeof(err));
	ext.schema = schema;
	ext.required = true;
	type = scim_resource_type_make(registry, "Fuzz", "/Fuzzes", "", schema->uri, NULL, 0, NULL, NULL, &err);
	if (type == NULL)
		abort();
	check_type(type, schema);
	type = scim_resource_type_make(registry, "User", "/Users", "", SCIM_URN_USER, &ext, 1, NULL, NULL, &err);
	if (type == NULL)
		abort();
	check_type(type, type->schema);
	type = scim_resource_type_make(registry, "Fuzz", "/Fuzzes", "", schema->uri, NULL, 0, keep, NULL, &err);
	if (type == NULL)
		abort();
	check_type(type, schema);
	return 0;
}
