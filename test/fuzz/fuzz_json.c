/*
 * fuzz_json.c
 *		libFuzzer: any bytes as a JSON text.
 *
 * Beside crashes these are findings: an error that is no 400 with a position
 * in the text, a value that jansson alone reads otherwise or refuses, text
 * that is printed but does not read back as itself, lack of memory that passes
 * for an answer, and a text for which jansson needs more than was set aside.
 */
#include "../unit/unit_world.h"

#include "core_json.h"

#define HEAP_LIMIT		(64 * 1024 * 1024)

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static json_t *
parse(const char *text, size_t size, ScimError *err)
{
	json_t	   *value;

	memset(err, 0, sizeof(*err));
	err->position = -1;
	value = scim_json_parse(text, size, err);
	if ((value == NULL) != (err->status != 0))
		abort();
	if (value == NULL && err->status != 413 &&
		(err->status != 400 || err->scim_type == NULL || err->position > (int) size))
		abort();
	return value;
}

static char *
print(const json_t *value)
{
	size_t		len;
	char	   *text = scim_json_print(value, &len);

	if (text != NULL && strlen(text) != len)
		abort();
	return text;
}

/* jansson has enough of what is set aside for it, whether it takes the text or not. */
static void
try_reserve(const char *text, size_t start, size_t size)
{
	ScimCoreFrame frame;
	ScimError	err;
	json_error_t error;
	json_t	   *value;
	size_t		need;

	memset(&err, 0, sizeof(err));
	if (!scim_json_scan(text, start, size, &need, &err))
		return;
	scim_core_enter(&frame);
	if (scim_reserve_begin(need))
	{
		scim_alloc_fail_at(0);
		value = json_loadb(text + start, size - start, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
		scim_reserve_end();
		if (scim_alloc_count() != 0)
			abort();
	}
	scim_core_leave(&frame);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static long turn = 0;
	const char *text = (const char *) data;
	size_t		bom = size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
	ScimError	err;
	json_error_t error;
	json_t	   *value;
	json_t	   *again;
	json_t	   *theirs;
	char	   *printed;
	char	   *reprinted;
	long		allocations;

	scim_arena_reset();
	scim_heap_begin(HEAP_LIMIT);
	try_reserve(text, bom, size);
	scim_alloc_fail_at(0);
	value = parse(text, size, &err);
	allocations = scim_alloc_count();
	printed = NULL;
	/* jansson takes a zero byte for the end; limits and names of another case are not its business */
	if (value == NULL && err.status == 400 && memchr(text, '\0', size) == NULL && !strstr(err.detail, "holds") &&
		!strstr(err.detail, "nested") && !strstr(err.detail, "longer") && !strstr(err.detail, "twice") &&
		strcmp(err.scim_type, SCIM_INVALID_SYNTAX) == 0)
	{
		theirs = json_loadb(text + bom, size - bom, JSON_DECODE_ANY, &error);
		if (theirs != NULL)
			abort();
	}
	if (value != NULL)
	{
		theirs = json_loadb(text + bom, size - bom, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);
		if (theirs == NULL || !json_equal(value, theirs))
			abort();
		json_decref(theirs);
		scim_json_unassigned(value);

		printed = print(value);
		again = printed ? parse(printed, strlen(printed), &err) : NULL;
		/* "1e2" is printed as an integer, escapes may be longer than what they stand for */
		if (printed == NULL || (again == NULL && err.status == 400 && !strstr(err.detail, "longer")))
			abort();
		reprinted = again ? print(again) : NULL;
		if (reprinted != NULL && (strcmp(printed, reprinted) != 0 || !unit_same_json(value, again)))
			abort();
	}

	/* the same with an allocation that fails, another one each time */
	if (allocations > 0)
	{
		scim_alloc_fail_once(1 + turn++ % allocations);
		again = parse(text, size, &err);
		if (again != NULL ? (value == NULL || scim_alloc_failed()) : (value != NULL && err.status != 413))
			abort();
		scim_alloc_fail_at(0);
	}
	return 0;
}
