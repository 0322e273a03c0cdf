/*
 * fuzz_patch.c
 *		libFuzzer: any bytes as the body of a PATCH.
 *
 * The first byte chooses the resource.  Beside crashes these are findings:
 * an error that is no 4xx, a resource before that was modified, an outcome
 * that its own check refuses, and a request that strict takes but compat
 * refuses or understands otherwise.
 */
#include "../unit/unit_world.h"

#include "core_patch.h"

#define HEAP_LIMIT		(64 * 1024 * 1024)
#define FRESH_EVERY		500

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static json_t *resources;
static json_t *copies;

static json_t *
outcome(const ScimResourceType *type, const json_t *before, const json_t *request, ScimMode mode,
		bool *changed, ScimReport *report, ScimError *err)
{
	ScimPatch  *patch;
	json_t	   *after;

	memset(err, 0, sizeof(*err));
	memset(report, 0, sizeof(*report));
	patch = scim_patch_parse(type, request, mode, report, err);
	if (patch == NULL)
	{
		if (err->status != 400 && err->status != 413)
			abort();
		return NULL;
	}
	after = scim_patch_apply(type, patch, before, mode, changed, report, err);
	if (after == NULL && err->status != 400 && err->status != 413)
		abort();
	return after;
}

static void
try_delta(const ScimResourceType *type, const json_t *request, ScimMode mode)
{
	ScimAttr   *members = scim_type_attr(type, SCIM_EXT_CORE, "members", strlen("members"));
	ScimDelta	delta;
	ScimError	err;
	ScimPatch  *patch;

	memset(&err, 0, sizeof(err));
	patch = members == NULL ? NULL : scim_patch_parse(type, request, mode, NULL, &err);
	if (patch == NULL)
		return;
	if (scim_patch_take_delta(type, patch, members, mode, &delta, NULL, &err))
	{
		if (err.status != 0 || scim_patch_touches(patch, members))
			abort();
	}
	else if (err.status != 0 && err.status != 400 && err.status != 413)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = {"full", "min", "home", "badge", "group", "empty"};
	static int	inputs = 0;
	const ScimResourceType *type;
	const char *name;
	json_t	   *before;
	json_t	   *request;
	json_t	   *strict;
	json_t	   *compat;
	bool		strict_changed;
	bool		compat_changed;
	ScimReport	report;
	ScimError	err;

	if (size < 2)
		return 0;
	if (resources == NULL)
	{
		resources = json_object_get(unit_load_json("patch-vectors.json"), "resources");
		copies = json_deep_copy(resources);
	}
	if (inputs++ % FRESH_EVERY == 0)
	{
		scim_heap_begin(SIZE_MAX);
		unit_world_fresh();
	}
	scim_heap_begin(HEAP_LIMIT);
	name = names[data[0] % 6];
	type = unit_world_type(data[0] % 6 >= 4 ? "Group" : "User");
	before = json_object_get(resources, name);

	memset(&err, 0, sizeof(err));
	request = scim_json_parse((const char *) data + 1, size - 1, &err);
	if (request == NULL)
		return 0;
	strict = outcome(type, before, request, SCIM_STRICT, &strict_changed, &report, &err);
	if (report.rewrites != 0)
		abort();
	compat = outcome(type, before, request, SCIM_COMPAT, &compat_changed, &report, &err);
	try_delta(type, request, SCIM_STRICT);
	try_delta(type, request, SCIM_COMPAT);

	if (!json_equal(before, json_object_get(copies, name)))
		abort();
	memset(&err, 0, sizeof(err));
	if (compat != NULL && !scim_resource_check(type, compat, &err))
		abort();
	if (strict != NULL)
	{
		/* The one deliberate exception: Entra's roles as JSON text. */
		if (unit_rewrites(&report, "json_in_string") > 0)
			return 0;
		if (compat == NULL || compat_changed != strict_changed || !unit_same_state(strict, compat, true))
			abort();
	}
	return 0;
}
