/*
 * unit_world.h
 *		What the tests of validation and PATCH stand on: the standard resource
 *		types with the test extension of patch-vectors.json, JSON from files,
 *		and a comparison of states by the rules which that file states.
 *
 * Test data is made outside all brackets of core, so that it outlives
 * unit_world_fresh(), which forgets all that core ever made.
 */
#ifndef UNIT_WORLD_H
#define UNIT_WORLD_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core_schema.h"
#include "core_validate.h"

/* Where the JSON files are; tests run in test/unit or test/fuzz. */
#ifndef SCIM_TEST_DATA
#define SCIM_TEST_DATA "../data"
#endif

/*
 * Test data is never freed by hand; the list keeps it reachable, so that a
 * leak checker has nothing to say about it.
 */
typedef struct UnitBlock
{
	struct UnitBlock *prev;
	struct UnitBlock *next;
} UnitBlock;

static UnitBlock unit_blocks = {&unit_blocks, &unit_blocks};

static void *
unit_malloc(size_t size)
{
	UnitBlock  *block = malloc(sizeof(UnitBlock) + size);

	if (block == NULL)
		return NULL;
	block->prev = &unit_blocks;
	block->next = unit_blocks.next;
	block->next->prev = block;
	unit_blocks.next = block;
	return block + 1;
}

static void
unit_free(void *p)
{
	UnitBlock  *block = (UnitBlock *) p - 1;

	if (p == NULL)
		return;
	block->prev->next = block->next;
	block->next->prev = block->prev;
	free(block);
}

__attribute__((constructor)) static void
unit_world_start(void)
{
	json_set_alloc_funcs(unit_malloc, unit_free);
}

static ScimResourceType *world_user;
static ScimResourceType *world_group;
static ScimResourceType *world_device;
static ScimResourceType *world_strict_device;	/* its extension is required */
static json_t *world_badge;

static inline json_t *
unit_load_json(const char *name)
{
	char		path[512];
	json_error_t error;
	json_t	   *value;

	snprintf(path, sizeof(path), "%s/%s", getenv("SCIM_TEST_DATA") ? getenv("SCIM_TEST_DATA") : SCIM_TEST_DATA, name);
	value = json_load_file(path, 0, &error);
	if (value == NULL)
	{
		fprintf(stderr, "%s: line %d: %s\n", path, error.line, error.text);
		exit(1);
	}
	return value;
}

static inline json_t *
unit_parse_json(const char *text)
{
	json_error_t error;
	json_t	   *value = json_loads(text, JSON_DECODE_ANY, &error);

	if (value == NULL)
	{
		fprintf(stderr, "%s: %s\n", text, error.text);
		exit(1);
	}
	return value;
}

/* The same, made by core: for what core will modify. */
static inline json_t *
unit_parse_core(const char *text)
{
	ScimError	err;
	json_t	   *value;

	memset(&err, 0, sizeof(err));
	value = scim_json_parse(text, strlen(text), &err);
	if (value == NULL)
	{
		fprintf(stderr, "%s: %s\n", text, err.detail);
		exit(1);
	}
	return value;
}

/* An object with one member (none if "key" is NULL); takes over "value". */
static inline json_t *
json_object_of(const char *key, json_t *value)
{
	json_t	   *object = json_pack("{}");

	if (key != NULL)
		json_object_set_new(object, key, value);
	return object;
}

/* A schema with what the standard ones lack: required parts, lists inside a value, immutable parts. */
static const char device_schema[] =
"{\"id\":\"urn:example:core:Device\",\"name\":\"Device\",\"attributes\":["
"{\"name\":\"label\",\"type\":\"string\",\"required\":true},"
"{\"name\":\"lease\",\"type\":\"complex\",\"subAttributes\":["
"{\"name\":\"start\",\"type\":\"dateTime\",\"required\":true},"
"{\"name\":\"number\",\"type\":\"string\",\"mutability\":\"immutable\"},"
"{\"name\":\"key\",\"type\":\"string\",\"mutability\":\"writeOnly\",\"returned\":\"never\"},"
"{\"name\":\"notes\",\"type\":\"string\",\"multiValued\":true}]},"
"{\"name\":\"ports\",\"type\":\"complex\",\"multiValued\":true,\"subAttributes\":["
"{\"name\":\"value\",\"type\":\"integer\",\"required\":true},"
"{\"name\":\"primary\",\"type\":\"boolean\"},"
"{\"name\":\"mac\",\"type\":\"string\",\"mutability\":\"immutable\"},"
"{\"name\":\"aliases\",\"type\":\"string\",\"multiValued\":true},"
"{\"name\":\"state\",\"type\":\"string\",\"mutability\":\"readOnly\"}]},"
"{\"name\":\"codes\",\"type\":\"integer\",\"multiValued\":true,\"mutability\":\"immutable\"},"
"{\"name\":\"flags\",\"type\":\"boolean\",\"multiValued\":true},"
"{\"name\":\"times\",\"type\":\"dateTime\",\"multiValued\":true},"
"{\"name\":\"spans\",\"type\":\"complex\",\"multiValued\":true,\"mutability\":\"immutable\",\"subAttributes\":["
"{\"name\":\"from\",\"type\":\"dateTime\"},{\"name\":\"load\",\"type\":\"decimal\"}]},"
"{\"name\":\"maker\",\"type\":\"complex\",\"mutability\":\"immutable\",\"subAttributes\":["
"{\"name\":\"name\",\"type\":\"string\"},{\"name\":\"country\",\"type\":\"string\"}]}]}";

static const char device_extension[] =
"{\"id\":\"urn:example:ext:Device\",\"name\":\"DeviceExt\",\"attributes\":["
"{\"name\":\"owner\",\"type\":\"string\",\"required\":true},{\"name\":\"room\",\"type\":\"string\"}]}";

static inline ScimResourceType *
unit_device_type(const ScimRegistry *registry, bool required)
{
	ScimError	err;
	ScimExtension ext;

	memset(&err, 0, sizeof(err));
	ext.schema = scim_registry_schema(registry, "urn:example:ext:Device", strlen("urn:example:ext:Device"));
	ext.required = required;
	return scim_resource_type_make(registry, "Device", "/Devices", "", "urn:example:core:Device", &ext, 1,
								   NULL, NULL, &err);
}

static inline void
unit_world_make(void)
{
	ScimError	err;
	ScimRegistry *registry;
	ScimExtension exts[2];
	static json_t *device;
	static json_t *extension;

	if (world_badge == NULL)
	{
		device = unit_parse_json(device_schema);
		extension = unit_parse_json(device_extension);
		world_badge = json_array_get(json_object_get(unit_load_json("patch-vectors.json"), "fixtureSchemas"), 0);
	}
	memset(&err, 0, sizeof(err));
	registry = scim_registry_create(&err);
	if (registry == NULL || !scim_registry_add_schema(registry, world_badge, &err) ||
		!scim_registry_add_schema(registry, device, &err) || !scim_registry_add_schema(registry, extension, &err))
	{
		fprintf(stderr, "registry: %s\n", err.detail);
		exit(1);
	}
	exts[0].schema = scim_registry_schema(registry, SCIM_URN_ENTERPRISE_USER, strlen(SCIM_URN_ENTERPRISE_USER));
	exts[0].required = false;
	exts[1].schema = scim_registry_schema(registry, json_string_value(json_object_get(world_badge, "id")),
										  json_string_length(json_object_get(world_badge, "id")));
	exts[1].required = false;
	world_user = scim_resource_type_make(registry, "User", "/Users", "User", SCIM_URN_USER, exts, 2, NULL, NULL, &err);
	world_group = scim_resource_type_standard(registry, "Group", &err);
	world_device = unit_device_type(registry, false);
	world_strict_device = unit_device_type(registry, true);
	if (world_user == NULL || world_group == NULL || world_device == NULL || world_strict_device == NULL)
	{
		fprintf(stderr, "resource types: %s\n", err.detail);
		exit(1);
	}
}

/* Frees all that core allocated, the resource types included, and makes those anew. */
static inline void
unit_world_fresh(void)
{
	scim_arena_reset();
	unit_world_make();
}

static inline const ScimResourceType *
unit_world_type(const char *name)
{
	if (world_user == NULL)
		unit_world_make();
	return strcmp(name, "Group") == 0 ? world_group :
		strcmp(name, "Device") == 0 ? world_device :
		strcmp(name, "StrictDevice") == 0 ? world_strict_device : world_user;
}

static inline bool
unit_is_empty(const char *key, const json_t *value)
{
	const char *name;
	json_t	   *member;

	if (value == NULL || json_is_null(value))
		return true;
	if (json_is_false(value) && key != NULL && strcmp(key, "primary") == 0)
		return true;
	if (json_is_array(value))
		return json_array_size(value) == 0;
	if (!json_is_object(value))
		return false;
	json_object_foreach((json_t *) value, name, member)
	{
		if (!unit_is_empty(name, member))
			return false;
	}
	return true;
}

/* null, absent, [] and {} are equal; arrays have no order; primary false is absent. */
static inline bool
unit_same_json(const json_t *a, const json_t *b)
{
	const char *key;
	json_t	   *value;
	size_t		i;
	size_t		j;
	bool	   *taken;
	bool		same = true;

	if (json_is_object(a) && json_is_object(b))
	{
		json_object_foreach((json_t *) a, key, value)
		{
			json_t	   *other = json_object_get(b, key);

			if (unit_is_empty(key, value) ? !unit_is_empty(key, other) :
				other == NULL || !unit_same_json(value, other))
				return false;
		}
		json_object_foreach((json_t *) b, key, value)
		{
			if (json_object_get(a, key) == NULL && !unit_is_empty(key, value))
				return false;
		}
		return true;
	}
	if (!json_is_array(a) || !json_is_array(b))
		return json_is_number(a) && json_is_number(b) ? json_number_value(a) == json_number_value(b) : json_equal(a, b) != 0;
	if (json_array_size(a) != json_array_size(b))
		return false;
	taken = calloc(json_array_size(a) + 1, sizeof(bool));
	for (i = 0; i < json_array_size(a) && same; i++)
	{
		same = false;
		for (j = 0; j < json_array_size(b) && !same; j++)
		{
			if (!taken[j] && unit_same_json(json_array_get(a, i), json_array_get(b, j)))
				same = taken[j] = true;
		}
	}
	free(taken);
	return same;
}

/* Two resources, by the comparison rules of patch-vectors.json; meta is not compared. */
static inline bool
unit_same_state(const json_t *a, const json_t *b, bool schemas)
{
	json_t	   *x = json_copy((json_t *) a);
	json_t	   *y = json_copy((json_t *) b);
	bool		same;

	json_object_del(x, "meta");
	json_object_del(y, "meta");
	if (!schemas)
	{
		json_object_del(x, "schemas");
		json_object_del(y, "schemas");
	}
	same = unit_same_json(x, y);
	json_decref(x);
	json_decref(y);
	return same;
}

/* How often compat made a rewrite of that name. */
static inline int
unit_rewrites(const ScimReport *report, const char *name)
{
	for (int i = 0; i < report->nkinds; i++)
	{
		if (strcmp(report->kinds[i].name, name) == 0)
			return report->kinds[i].count;
	}
	return 0;
}

#endif							/* UNIT_WORLD_H */
