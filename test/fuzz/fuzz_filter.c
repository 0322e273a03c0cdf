/*
 * fuzz_filter.c
 *		libFuzzer: any bytes as a filter.
 *
 * Beside crashes these are findings: an error that is no 400 with a position
 * in the text, canonical text that is no filter or not canonical, another
 * meaning of the canonical text, of the bound tree printed, or of a tree that
 * is bound again, and a filter that strict takes but compat refuses or
 * understands otherwise.
 */
#include "../unit/unit_world.h"

#include "core_filter.h"

#define HEAP_LIMIT		(64 * 1024 * 1024)
#define FRESH_EVERY		500
#define CANONICAL_MAX	(8 * SCIM_FILTER_MAX_LENGTH)

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const json_t *resources;

static void
check_error(const ScimError *err, size_t size)
{
	if (err->status == 413)
		return;
	if (err->status != 400 || err->scim_type == NULL || strcmp(err->scim_type, SCIM_INVALID_FILTER) != 0 ||
		err->position < 0 || (size_t) err->position > size)
		abort();
}

/* Which of the resources match, as bits. */
static uint32_t
matches(const ScimFilter *filter)
{
	uint32_t	bits = 0;
	size_t		i;

	for (i = 0; i < json_array_size(resources); i++)
		if (scim_filter_eval(unit_world_type("User"), filter, json_array_get(resources, i)))
			bits |= UINT32_C(1) << i;
	return bits;
}

static ScimFilter *
parse_again(const char *text)
{
	ScimError	err;
	ScimFilter *filter;

	memset(&err, 0, sizeof(err));
	filter = scim_filter_parse(text, strlen(text), CANONICAL_MAX, SCIM_COMPAT, &err);
	if (filter == NULL && err.status != 413)
		abort();
	return filter;
}

static bool
bind(ScimFilter *filter, ScimMode mode, ScimError *err)
{
	memset(err, 0, sizeof(*err));
	return scim_filter_bind(unit_world_type("User"), filter, mode, err);
}

/* Returns whether the filter was accepted, its canonical text, and what matches. */
static bool
try_mode(const uint8_t *data, size_t size, ScimMode mode, char **canonical, uint32_t *bits)
{
	ScimError	err;
	ScimFilter *filter;
	ScimFilter *again;
	char	   *text;

	memset(&err, 0, sizeof(err));
	err.position = -1;
	filter = scim_filter_parse((const char *) data, size, SCIM_FILTER_MAX_LENGTH, mode, &err);
	if (filter == NULL)
	{
		check_error(&err, size);
		return false;
	}
	*canonical = scim_filter_print(filter);
	again = *canonical ? parse_again(*canonical) : NULL;
	if (again == NULL)
		return false;
	text = scim_filter_print(again);
	if (text == NULL || strcmp(text, *canonical) != 0)
		abort();

	err.position = -1;
	if (!bind(filter, mode, &err))
	{
		check_error(&err, size);
		return false;
	}
	*bits = matches(filter);
	if (!bind(again, mode, &err) || matches(again) != *bits)
		abort();
	if (!bind(filter, mode, &err) || matches(filter) != *bits)
		abort();
	again = parse_again(scim_filter_print(filter));
	if (again == NULL || !bind(again, SCIM_COMPAT, &err) || matches(again) != *bits)
		abort();
	return true;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int	inputs = 0;
	char	   *strict;
	char	   *compat;
	uint32_t	strict_bits;
	uint32_t	compat_bits;

	if (resources == NULL)
		resources = json_object_get(unit_load_json("filter-vectors.json"), "resources");
	if (inputs++ % FRESH_EVERY == 0)
	{
		scim_heap_begin(SIZE_MAX);
		unit_world_fresh();
	}
	scim_heap_begin(HEAP_LIMIT);

	if (try_mode(data, size, SCIM_STRICT, &strict, &strict_bits) &&
		(!try_mode(data, size, SCIM_COMPAT, &compat, &compat_bits) ||
		 strcmp(strict, compat) != 0 || strict_bits != compat_bits))
		abort();
	try_mode(data, size, SCIM_COMPAT, &compat, &compat_bits);
	return 0;
}
