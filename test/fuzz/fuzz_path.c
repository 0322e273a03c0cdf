/*
 * fuzz_path.c
 *		libFuzzer: any bytes as an attribute path.
 *
 * Beside crashes these are findings: an error that is no 400 invalidPath or
 * invalidFilter with a position in the text, a path whose canonical spelling
 * is no path or another one, and a path that strict takes but compat refuses
 * or understands otherwise.
 */
#include "../unit/unit_world.h"

#include "core_path.h"

#define HEAP_LIMIT		(64 * 1024 * 1024)
#define FRESH_EVERY		500
#define SPELLING_SIZE	(8 * SCIM_FILTER_MAX_LENGTH)

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The path in the schema's spelling; false: the filter does not fit. */
static bool
spell(const ScimResourceType *type, const ScimPath *path, char *out)
{
	char		name[256];
	char	   *filter = path->filter ? scim_filter_print(path->filter) : NULL;

	if (path->attr == NULL)
		snprintf(out, SPELLING_SIZE, "%s", path->ext < 0 ? type->schema->uri : type->exts[path->ext].schema->uri);
	else
		snprintf(out, SPELLING_SIZE, "%s%s%s%s%s%s", scim_attr_path(type, path->attr, name, sizeof(name)),
				 filter ? "[" : "", filter ? filter : "", filter ? "]" : "",
				 path->sub ? "." : "", path->sub ? path->sub->name : "");
	return filter == NULL || strlen(filter) <= SCIM_FILTER_MAX_LENGTH;
}

static ScimPath *
try_mode(const ScimResourceType *type, const char *text, size_t size, ScimMode mode, char *spelling)
{
	static char respelled[SPELLING_SIZE];
	ScimError	err;
	ScimPath   *path;
	ScimPath   *again;
	ScimPath	resolved;
	size_t		n;

	memset(&err, 0, sizeof(err));
	err.position = -1;
	n = scim_path_resolve(type, text, size, mode, &resolved);
	if (n > size)
		abort();
	path = scim_path_parse(type, text, size, mode, &err);
	if (path == NULL)
	{
		if (err.status != 413 &&
			(err.status != 400 || err.position < 0 || (size_t) err.position > size ||
			 (strcmp(err.scim_type, SCIM_INVALID_PATH) != 0 && strcmp(err.scim_type, SCIM_INVALID_FILTER) != 0)))
			abort();
		return NULL;
	}
	if (n == 0 || resolved.attr != path->attr || resolved.ext != path->ext ||
		(path->sub && path->sub->parent != path->attr) ||
		(path->filter && !path->attr->multi))
		abort();
	if (spell(type, path, spelling))
	{
		again = scim_path_parse(type, spelling, strlen(spelling), SCIM_COMPAT, &err);
		if (again == NULL && err.status == 413)
			return NULL;
		if (again == NULL || again->attr != path->attr || again->sub != path->sub)
			abort();
		spell(type, again, respelled);
		if (strcmp(spelling, respelled) != 0)
			abort();
	}
	return path;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int	inputs = 0;
	static char spelled[2][SPELLING_SIZE];
	const ScimResourceType *type;
	ScimPath   *strict;
	ScimPath   *compat;

	if (inputs++ % FRESH_EVERY == 0)
	{
		scim_heap_begin(SIZE_MAX);
		unit_world_fresh();
	}
	scim_heap_begin(HEAP_LIMIT);
	type = unit_world_type("User");

	strict = try_mode(type, (const char *) data, size, SCIM_STRICT, spelled[0]);
	compat = try_mode(type, (const char *) data, size, SCIM_COMPAT, spelled[1]);
	if (strict != NULL && (compat == NULL || strict->attr != compat->attr || strict->sub != compat->sub ||
						   strcmp(spelled[0], spelled[1]) != 0))
		abort();
	return 0;
}
