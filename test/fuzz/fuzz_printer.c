/*
 * fuzz_printer.c
 *		libFuzzer: the bytes choose a filter, which is written in two ways: as
 *		it is, and with needless parentheses and letters of another case.
 *
 * fuzz_filter.c finds what no filter is; here nearly all are filters, of all
 * attributes, operators and depths.  Findings: a canonical text that is no
 * filter, another text after another round, other resources that match, and
 * two spellings of one filter that differ in either.
 */
#include "../unit/unit_world.h"

#include "core_filter.h"

#define HEAP_LIMIT		(64 * 1024 * 1024)
#define FRESH_EVERY		500
#define TEXT_SIZE		(SCIM_FILTER_MAX_LENGTH - 200)
#define CANONICAL_MAX	(8 * SCIM_FILTER_MAX_LENGTH)
#define MAX_DEPTH		8

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Writer
{
	const uint8_t *data;
	size_t		left;
	char		plain[TEXT_SIZE + 200];
	char		noisy[2 * TEXT_SIZE + 400];
	size_t		nplain;
	size_t		nnoisy;
} Writer;

static const json_t *resources;

static unsigned
next(Writer *w)
{
	if (w->left == 0)
		return 0;
	w->left--;
	return *w->data++;
}

/* Writes text to both; "loose": its case does not matter. */
static void
put(Writer *w, const char *text, bool loose)
{
	unsigned	noise = loose ? next(w) : 0;

	for (size_t i = 0; text[i]; i++)
	{
		char		c = text[i];

		if (w->nplain >= TEXT_SIZE || w->nnoisy >= 2 * TEXT_SIZE)
			return;
		w->plain[w->nplain++] = c;
		if ((noise >> i % 8 & 1) && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')))
			c ^= 0x20;
		w->noisy[w->nnoisy++] = c;
	}
}

static void
put_noise(Writer *w, char c)
{
	if (w->nnoisy < 2 * TEXT_SIZE)
		w->noisy[w->nnoisy++] = c;
}

static void
put_operand(Writer *w, const ScimAttr *attr)
{
	static const char *const strings[] = {
		"\"\"", "\"a\"", "\"bjensen\"", "\"BJensen\"", "\"work\"", "\"@example.com\"", "\"\xC3\x85sa\"", "\"a\\\"b\\\\c\"",
		"\"\\u00e9\\n\"", "\"2819c223-7f76-453a-919d-413861904646\"", "\"Jen\"", "\"\\ud83d\\ude00\"",
	};
	static const char *const times[] = {
		"\"2011-05-13T04:42:34Z\"", "\"2010-01-23T05:56:22+01:00\"", "\"2030-12-31T23:59:59.999999-14:00\"", "\"0001-01-01T00:00:00Z\"",
	};
	static const char *const numbers[] = {"0", "-1", "42", "1.5", "9223372036854775807", "1e3", "-0.25"};
	unsigned	choice = next(w);

	if (choice % 16 == 15)
		put(w, "null", false);
	else if (choice % 16 == 14)
		put(w, strings[choice / 16 % 12], false);
	else if (attr->type == SCIM_TYPE_BOOLEAN)
		put(w, choice % 2 ? "true" : "false", false);
	else if (attr->type == SCIM_TYPE_DATETIME)
		put(w, times[choice % 4], false);
	else if (attr->type == SCIM_TYPE_INTEGER || attr->type == SCIM_TYPE_DECIMAL)
		put(w, numbers[choice % 7], false);
	else
		put(w, strings[choice % 12], false);
}

static void
put_compare(Writer *w, const char *path, const ScimAttr *attr)
{
	static const char *const operators[] = {"pr", "eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"};
	unsigned	op = next(w) % 10;

	put(w, path, true);
	put(w, " ", false);
	put(w, operators[op], true);
	if (op == 0)
		return;
	put(w, " ", false);
	put_operand(w, attr);
}

/* "of": the attribute in whose brackets this is, or NULL. */
static void
put_filter(Writer *w, const ScimAttr *of, int depth)
{
	const ScimResourceType *type = unit_world_type("User");
	unsigned	choice = depth >= MAX_DEPTH ? 0 : next(w) % 16;
	bool		parentheses = next(w) % 8 == 7;
	char		path[256];
	const ScimAttr *attr;

	if (parentheses)
		put_noise(w, '(');
	if (choice < 8)
	{
		if (of != NULL && of->nsubs > 0)
		{
			attr = of->subs[next(w) % of->nsubs];
			put_compare(w, attr->name, attr);
		}
		else if (of != NULL)
			put_compare(w, "value", of);
		else
		{
			attr = type->attrs[(next(w) * 256 + next(w)) % type->nattrs];
			put_compare(w, scim_attr_path(type, attr, path, sizeof(path)), attr);
		}
	}
	else if (choice < 12)
	{
		/* and binds tighter; a chain leans to the left */
		put(w, "(", false);
		put_filter(w, of, depth + 1);
		put(w, ")", false);
		put(w, choice < 10 ? " and " : " or ", true);
		put(w, "(", false);
		put_filter(w, of, depth + 1);
		put(w, ")", false);
	}
	else if (choice < 14 || of != NULL)
	{
		put(w, "not (", true);
		put_filter(w, of, depth + 1);
		put(w, ")", false);
	}
	else
	{
		attr = type->top[next(w) % type->ntop];
		put(w, scim_attr_path(type, attr, path, sizeof(path)), true);
		put(w, "[", false);
		put_filter(w, attr, depth + 1);
		put(w, "]", false);
	}
	if (parentheses)
		put_noise(w, ')');
}

static uint32_t
matches(const ScimFilter *filter)
{
	uint32_t	bits = 0;

	for (size_t i = 0; i < json_array_size(resources); i++)
		if (scim_filter_eval(unit_world_type("User"), filter, json_array_get(resources, i)))
			bits |= UINT32_C(1) << i;
	return bits;
}

/* Parses and prints; false: refused.  *bound: whether it also fits the schema. */
static bool
understand(const char *text, size_t len, char **canonical, bool *bound, uint32_t *bits)
{
	ScimError	err;
	ScimFilter *filter;

	memset(&err, 0, sizeof(err));
	filter = scim_filter_parse(text, len, CANONICAL_MAX, SCIM_COMPAT, &err);
	if (filter == NULL)
		return false;
	*canonical = scim_filter_print(filter);
	*bound = scim_filter_bind(unit_world_type("User"), filter, SCIM_COMPAT, &err);
	*bits = *bound ? matches(filter) : 0;
	return *canonical != NULL;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int	inputs = 0;
	static Writer w;
	char	   *canonical;
	char	   *other;
	bool		bound;
	bool		other_bound;
	uint32_t	bits;
	uint32_t	other_bits;

	if (resources == NULL)
		resources = json_object_get(unit_load_json("filter-vectors.json"), "resources");
	if (inputs++ % FRESH_EVERY == 0)
	{
		scim_heap_begin(SIZE_MAX);
		unit_world_fresh();
	}
	scim_heap_begin(HEAP_LIMIT);
	w.data = data;
	w.left = size;
	w.nplain = w.nnoisy = 0;
	put_filter(&w, NULL, 0);

	if (!understand(w.plain, w.nplain, &canonical, &bound, &bits))
		return 0;
	if (!understand(canonical, strlen(canonical), &other, &other_bound, &other_bits) ||
		strcmp(canonical, other) != 0 || bound != other_bound || bits != other_bits)
		abort();
	/* more parentheses may be too many */
	if (understand(w.noisy, w.nnoisy, &other, &other_bound, &other_bits) &&
		(bound != other_bound || bits != other_bits))
		abort();
	return 0;
}
