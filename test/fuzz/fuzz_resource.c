/*
 * fuzz_resource.c
 *		libFuzzer: any bytes as the body of a POST or PUT.
 *
 * The first byte chooses type, PUT, and whether unknown attributes are
 * refused.  Beside crashes these are findings: an error that is no 4xx, a
 * result that is not accepted as a body again with the same result, one that
 * the check of states refuses, and a body that strict takes but compat
 * refuses or understands otherwise.
 */
#include "../unit/unit_world.h"

#include "core_validate.h"

#define HEAP_LIMIT		(64 * 1024 * 1024)
#define FRESH_EVERY		500

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static json_t *resources;

static json_t *
wanted(const ScimResourceType *type, const json_t *body, const json_t *current, ScimMode mode, bool refuse)
{
	ScimError	err;
	ScimReport	report;
	json_t	   *result;

	memset(&err, 0, sizeof(err));
	memset(&report, 0, sizeof(report));
	result = scim_resource_wanted(type, body, current, mode, refuse, &report, &err);
	if (result == NULL && err.status != 400 && err.status != 413)
		abort();
	if (mode == SCIM_STRICT && report.rewrites != 0)
		abort();
	return result;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int	inputs = 0;
	const ScimResourceType *type;
	const json_t *current = NULL;
	bool		refuse;
	json_t	   *body;
	json_t	   *strict;
	json_t	   *compat;
	json_t	   *again;
	ScimError	err;

	if (size < 2)
		return 0;
	if (resources == NULL)
		resources = json_object_get(unit_load_json("patch-vectors.json"), "resources");
	if (inputs++ % FRESH_EVERY == 0)
	{
		scim_heap_begin(SIZE_MAX);
		unit_world_fresh();
	}
	scim_heap_begin(HEAP_LIMIT);
	type = unit_world_type(data[0] & 1 ? "Group" : "User");
	refuse = (data[0] & 2) != 0;
	if (data[0] & 4)
		current = json_object_get(resources, data[0] & 1 ? "group" : data[0] & 8 ? "badge" : "full");

	memset(&err, 0, sizeof(err));
	body = scim_json_parse((const char *) data + 1, size - 1, &err);
	if (body == NULL)
	{
		if (err.status != 400 && err.status != 413)
			abort();
		return 0;
	}
	strict = wanted(type, body, current, SCIM_STRICT, refuse);
	compat = wanted(type, body, current, SCIM_COMPAT, refuse);
	if (compat != NULL)
	{
		again = wanted(type, compat, current, SCIM_STRICT, true);
		if (again == NULL || !unit_same_state(compat, again, true))
			abort();
		memset(&err, 0, sizeof(err));
		if (!scim_resource_check(type, compat, &err))
			abort();
	}
	/* What strict drops as unknown, compat may know by another name. */
	if (strict != NULL && refuse && (compat == NULL || !unit_same_state(strict, compat, true)))
		abort();
	return 0;
}
