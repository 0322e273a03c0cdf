/*
 * unit_json.c
 *		Parsing and printing JSON: grammar and limits at their borders, what
 *		jansson alone would let pass, print after parse, cost, lack of memory.
 */
#include "unit.h"
#include "unit_world.h"

#include <dirent.h>
#include <float.h>
#include <sys/stat.h>
#include <time.h>

#include "core_json.h"

static json_t *
parse(const char *text, size_t len, ScimError *err)
{
	memset(err, 0, sizeof(*err));
	err->position = -1;
	return scim_json_parse(text, len, err);
}

static bool
failed_with(const json_t *value, const ScimError *err, int status, const char *scim_type)
{
	return value == NULL && err->status == status &&
		(scim_type == NULL ? err->scim_type == NULL : err->scim_type != NULL && strcmp(err->scim_type, scim_type) == 0);
}

/* ---- grammar ---- */

static void
test_accepted(void)
{
	/* the text; how it is printed, NULL: as it is */
	static const char *const cases[][2] = {
		{"null", NULL}, {"true", NULL}, {"false", NULL}, {"0", NULL}, {"-1", NULL}, {"\"\"", NULL}, {"[]", NULL}, {"{}", NULL},
		{" \t\r\n[ 1 , 2 ]\n", "[1,2]"},
		{"{ \"a\" : { \"b\" : [ null , true ] } }", "{\"a\":{\"b\":[null,true]}}"},
		{"\xEF\xBB\xBF{}", "{}"},
		{"{\"b\":1,\"a\":2,\"\":3}", NULL},
		{"{\"a\":1,\"ab\":2,\"b\":3}", NULL},
		{"\"\\u00e9\\n\\r\\t\\b\\f\\/\\\\\\\"\"", "\"\xC3\xA9\\n\\r\\t\\b\\f/\\\\\\\"\""},
		{"\"\\u20AC\\uFFFF\\uDBFF\\uDFFF\"", "\"\xE2\x82\xAC\xEF\xBF\xBF\xF4\x8F\xBF\xBF\""},
		{"\"\\u0001\\u001F\\u007f\"", "\"\\u0001\\u001f\x7F\""},
		{"\"\\ud83d\\ude00 \xF0\x9F\x98\x80\"", "\"\xF0\x9F\x98\x80 \xF0\x9F\x98\x80\""},
		{"\"\\\\u0000\"", NULL},	/* a backslash and letters */
		{"\"\\\\\\\\u0000\"", NULL},
		{"{\"\xC3\xA5\":1,\"\xC3\x85\":2}", NULL},	/* only ASCII names are without case */
		{"9223372036854775807", NULL}, {"-9223372036854775808", NULL}, {"9007199254740993", NULL},
		{"-0", "0"}, {"-0.0", "0"}, {"0e5", "0"}, {"0.000", "0"},
		{"0.1", NULL}, {"1.5e3", "1500"}, {"1E-2", "0.01"}, {"1e+2", "100"}, {"5.0", "5"},
		{"123456789012345.0", "123456789012345"}, {"0.00000123456789012345", "1.23456789012345e-06"},
		{"1234567890.12345", NULL}, {"123456789012345e5", "1.23456789012345e+19"},
		{"1.000000000000000000000", "1"}, {"0.10000000000000000000000", "0.1"},
		{"1e307", "1e+307"}, {"1.7976931348623e308", "1.7976931348623e+308"}, {"1e-307", NULL}, {"0.0e-999999999", "0"},
		{"0.00001e-302", "1e-307"}, {"10000000000e-317", "1e-307"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		const char *expected = cases[i][1] ? cases[i][1] : cases[i][0];
		ScimError	err;
		json_t	   *value = parse(cases[i][0], strlen(cases[i][0]), &err);
		size_t		len = 0;
		char	   *text = value ? scim_json_print(value, &len) : NULL;

		unit_check(text != NULL && strcmp(text, expected) == 0 && len == strlen(expected), "%s: printed %s (%s)", cases[i][0],
				   text ? text : "-", err.detail);
	}
	scim_arena_reset();
}

static void
test_refused(void)
{
	static const struct
	{
		const char *text;
		const char *scim_type;
		int			position;	/* -2: whatever */
	}			cases[] = {
		{"", SCIM_INVALID_SYNTAX, -2}, {" ", SCIM_INVALID_SYNTAX, -2}, {"\xEF\xBB\xBF", SCIM_INVALID_SYNTAX, -2},
		{"{", SCIM_INVALID_SYNTAX, -2}, {"[1,", SCIM_INVALID_SYNTAX, -2}, {"[1", SCIM_INVALID_SYNTAX, -2},
		{"]", SCIM_INVALID_SYNTAX, -2}, {"}}}}[[[[", SCIM_INVALID_SYNTAX, -2}, {"[1]]", SCIM_INVALID_SYNTAX, -2},
		{"{} {}", SCIM_INVALID_SYNTAX, -2}, {"{}x", SCIM_INVALID_SYNTAX, -2}, {"1 2", SCIM_INVALID_SYNTAX, -2},
		{"[1,]", SCIM_INVALID_SYNTAX, -2}, {"{\"a\":1,}", SCIM_INVALID_SYNTAX, -2}, {"{a:1}", SCIM_INVALID_SYNTAX, -2},
		{"{\"a\" 1}", SCIM_INVALID_SYNTAX, -2}, {"{1:1}", SCIM_INVALID_SYNTAX, -2}, {"[1 2]", SCIM_INVALID_SYNTAX, -2},
		{"'a'", SCIM_INVALID_SYNTAX, -2}, {"nul", SCIM_INVALID_SYNTAX, -2}, {"True", SCIM_INVALID_SYNTAX, -2},
		{"NaN", SCIM_INVALID_SYNTAX, -2}, {"Infinity", SCIM_INVALID_SYNTAX, -2}, {"-Infinity", SCIM_INVALID_SYNTAX, -2},
		{"01", SCIM_INVALID_SYNTAX, -2}, {"+1", SCIM_INVALID_SYNTAX, -2}, {".5", SCIM_INVALID_SYNTAX, -2},
		{"1.", SCIM_INVALID_SYNTAX, -2}, {"1e", SCIM_INVALID_SYNTAX, -2}, {"1e+", SCIM_INVALID_SYNTAX, -2},
		{"-", SCIM_INVALID_SYNTAX, -2}, {"0x10", SCIM_INVALID_SYNTAX, -2}, {"1.2.3", SCIM_INVALID_SYNTAX, -2},
		{"--1", SCIM_INVALID_SYNTAX, -2}, {"/* a */ 1", SCIM_INVALID_SYNTAX, -2}, {"[1] // a", SCIM_INVALID_SYNTAX, -2},
		{"\"a", SCIM_INVALID_SYNTAX, 0}, {"\"a\\", SCIM_INVALID_SYNTAX, 0}, {"\"a\\\"", SCIM_INVALID_SYNTAX, 0},
		{"\xEF\xBB\xBF[\"a", SCIM_INVALID_SYNTAX, 4},
		{"\"\\x41\"", SCIM_INVALID_SYNTAX, -2}, {"\"\\u12\"", SCIM_INVALID_SYNTAX, -2}, {"\"\\u123g\"", SCIM_INVALID_SYNTAX, -2},
		{"\"a\nb\"", SCIM_INVALID_SYNTAX, -2}, {"\"\x01\"", SCIM_INVALID_SYNTAX, -2}, {"\"\t\"", SCIM_INVALID_SYNTAX, -2},
		/* lone surrogates */
		{"\"\\ud800\"", SCIM_INVALID_SYNTAX, -2}, {"\"\\udc00\"", SCIM_INVALID_SYNTAX, -2},
		{"\"\\ud800x\"", SCIM_INVALID_SYNTAX, -2}, {"\"\\ud800\\ud800\"", SCIM_INVALID_SYNTAX, -2},
		{"\"\\ud800\\u0041\"", SCIM_INVALID_SYNTAX, -2}, {"\"\\udc00\\ud800\"", SCIM_INVALID_SYNTAX, -2},
		{"{\"\\ud800\":1}", SCIM_INVALID_SYNTAX, -2},
		/* not UTF-8 */
		{"\"\xFF\"", SCIM_INVALID_SYNTAX, 1}, {"\"a\xC3\"", SCIM_INVALID_SYNTAX, 2}, {"\"\xC0\x80\"", SCIM_INVALID_SYNTAX, 1},
		{"\"\xED\xA0\x80\"", SCIM_INVALID_SYNTAX, 1}, {"{}\x80", SCIM_INVALID_SYNTAX, 2}, {"\xFF\xFE{\x01}", SCIM_INVALID_SYNTAX, 0},
		{"\xEF\xBB\xBF\"\xFF\"", SCIM_INVALID_SYNTAX, 4}, {"\xEF\xBB\xBF\xEF\xBB\xBF{}", SCIM_INVALID_SYNTAX, -2},
		/* U+0000 */
		{"\"\\u0000\"", SCIM_INVALID_VALUE, 1}, {"[1,\"ab\\u0000\"]", SCIM_INVALID_VALUE, 6},
		{"{\"\\u0000\":1}", SCIM_INVALID_VALUE, 2}, {"\"\\\\\\u0000\"", SCIM_INVALID_VALUE, 3},
		{"\xEF\xBB\xBF\"\\u0000\"", SCIM_INVALID_VALUE, 4},
		/* numbers */
		{"9223372036854775808", SCIM_INVALID_VALUE, -2}, {"-9223372036854775809", SCIM_INVALID_VALUE, -2},
		{"1000000000000000000000000000000", SCIM_INVALID_VALUE, -2},
		{"12345678901234.5678", SCIM_INVALID_VALUE, 0}, {"0.1234567890123456", SCIM_INVALID_VALUE, 0},
		{"1234567890123456e0", SCIM_INVALID_VALUE, 0}, {"1234567890123456.0", SCIM_INVALID_VALUE, 0},
		{"[1, 1.000000000000001]", SCIM_INVALID_VALUE, 4}, {"100000000000000000000.5e-30", SCIM_INVALID_VALUE, 0},
		{"1e309", SCIM_INVALID_VALUE, -2}, {"-1e309", SCIM_INVALID_VALUE, -2}, {"1e99999999999999999999", SCIM_INVALID_VALUE, -2},
		{"1e-308", SCIM_INVALID_VALUE, 0}, {"1e-400", SCIM_INVALID_VALUE, 0}, {"-1e-99999999999999999999", SCIM_INVALID_VALUE, 0},
		{"0.1e-307", SCIM_INVALID_VALUE, 0}, {"100e-310", SCIM_INVALID_VALUE, 0},
		/* a member twice */
		{"{\"a\":1,\"a\":1}", SCIM_INVALID_SYNTAX, -2}, {"{\"a\":1,\"A\":2}", SCIM_INVALID_SYNTAX, -2},
		{"{\"\\u0061\":1,\"a\":1}", SCIM_INVALID_SYNTAX, -2},
		{"{\"userName\":1,\"x\":2,\"USERNAME\":3}", SCIM_INVALID_SYNTAX, -2},
		{"[{\"b\":{\"c\":[{\"zz\":1,\"y\":1,\"Zz\":2}]}}]", SCIM_INVALID_SYNTAX, -2},
		{"{\"urn:a:B\":1,\"URN:A:b\":1}", SCIM_INVALID_SYNTAX, -2},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		ScimError	err;
		size_t		len = strlen(cases[i].text);
		json_t	   *value = parse(cases[i].text, len, &err);

		unit_check(failed_with(value, &err, 400, cases[i].scim_type), "%s: status %d %s", cases[i].text, err.status,
				   err.scim_type ? err.scim_type : "-");
		unit_check(cases[i].position == -2 ? err.position <= (int) len : err.position == cases[i].position,
				   "%s: position %d", cases[i].text, err.position);
		unit_check(err.position < 0 || strstr(err.detail, "(at position "), "%s: %s", cases[i].text, err.detail);
	}

	/* bytes that are no C string */
	{
		ScimError	err;

		unit_check(failed_with(parse("\"a\0b\"", 5, &err), &err, 400, SCIM_INVALID_SYNTAX), "a zero byte in a string");
		unit_check(failed_with(parse("{}\0", 3, &err), &err, 400, SCIM_INVALID_SYNTAX), "a zero byte behind the text");
		unit_check(failed_with(parse("\0", 1, &err), &err, 400, SCIM_INVALID_SYNTAX), "a zero byte");
		unit_check(failed_with(parse("1\0", 2, &err), &err, 400, SCIM_INVALID_SYNTAX), "a zero byte behind a number");
		/* what is cut short is not read on */
		unit_check(failed_with(parse("\"\\u0000\"", 4, &err), &err, 400, SCIM_INVALID_SYNTAX), "cut in an escape");
		unit_check(parse("123", 1, &err) != NULL, "a number ends with the text");
		unit_check(failed_with(parse("-1", 1, &err), &err, 400, SCIM_INVALID_SYNTAX), "cut behind a sign");
		unit_check(failed_with(parse("1e-5", 3, &err), &err, 400, SCIM_INVALID_SYNTAX), "cut in an exponent");
		unit_check(failed_with(parse("1e-5", 2, &err), &err, 400, SCIM_INVALID_SYNTAX), "cut behind an e");
	}
	scim_arena_reset();
}

/* Where the token at fault begins, whatever jansson had read by then. */
static void
test_positions(void)
{
	static const struct
	{
		const char *text;
		int			position;
		const char *detail;
	}			cases[] = {
		{"", 0, "ends too early"}, {"  ", 2, "ends too early"}, {"\xEF\xBB\xBF", 3, "ends too early"}, {"[1,", 3, "ends too early"},
		{"{\"a\"  ", 6, "ends too early"}, {"[1 ", 3, "ends too early"},
		{"{} x", 3, "something follows"}, {"{\"a\":1} {}", 8, "something follows"}, {"\xEF\xBB\xBF[] true", 6, "something follows"},
		{"1 \"abc\"", 2, "something follows"}, {"[]]", 2, "something follows"},
		{"[1,]", 3, "not valid JSON"}, {"{\"a\":1,}", 7, "not valid JSON"}, {"{a:1}", 1, "not valid JSON"},
		{"[1 2]", 3, "not valid JSON"}, {"[1}", 2, "not valid JSON"}, {"{\"a\" 1}", 5, "not valid JSON"}, {":", 0, "not valid JSON"},
		{"[ 'a']", 2, "not valid JSON"}, {"[true, trUe]", 7, "not valid JSON"}, {"[nullx]", 1, "not valid JSON"},
		{"[0, 01]", 4, "not valid JSON"}, {"[1.2.3]", 1, "not valid JSON"}, {"[ \"a\\xb\"]", 2, "not valid JSON"},
		{"[\"\xC3\xA9\", \xC3\xA9]", 7, "not valid JSON"}, {"[\"a\nb\"]", 1, "not valid JSON"}, {"[1,\"\\ud800\"]", 3, "not valid JSON"},
		{"[1, 9223372036854775808 ]", 4, "out of range"}, {"[1,1e400,2]", 3, "out of range"},
		{"{\"a\":1, \"b\":2, \"a\":3}", 15, "same member twice"},
		{"{\"a\":1, \"A\":2}", -1, "same member twice"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		ScimError	err;
		json_t	   *value = parse(cases[i].text, strlen(cases[i].text), &err);

		unit_check(value == NULL && err.status == 400 && err.position == cases[i].position && strstr(err.detail, cases[i].detail) != NULL,
				   "%s: %d %s", cases[i].text, err.position, err.detail);
	}
	scim_arena_reset();
}

/* ---- limits ---- */

typedef struct Text
{
	char	   *s;
	size_t		len;
} Text;

static void
append(Text *t, const char *part)
{
	size_t		n = strlen(part);

	memcpy(t->s + t->len, part, n);
	t->len += n;
}

static void
test_limits(void)
{
	Text		t = {malloc(4 * 1024 * 1024), 0};
	ScimError	err;

	/* depth, of arrays, objects, both */
	for (int depth = SCIM_JSON_MAX_DEPTH - 1; depth <= SCIM_JSON_MAX_DEPTH + 1; depth++)
		for (int kind = 0; kind < 3; kind++)
		{
			json_t	   *value;

			t.len = 0;
			for (int i = 0; i < depth; i++)
				append(&t, kind == 0 || (kind == 2 && i % 2) ? "[" : i == depth - 1 ? "{" : "{\"a\":");
			for (int i = depth; i-- > 0;)
				append(&t, kind == 0 || (kind == 2 && i % 2) ? "]" : "}");
			value = parse(t.s, t.len, &err);
			if (depth <= SCIM_JSON_MAX_DEPTH)
				unit_check(value != NULL && scim_json_print(value, NULL) != NULL, "depth %d: %s", depth, err.detail);
			else
				unit_check(failed_with(value, &err, 400, SCIM_INVALID_SYNTAX) && strstr(err.detail, "nested"), "depth %d", depth);
		}
	t.len = 0;
	for (int i = 0; i < 1000000; i++)
		append(&t, "[");
	unit_check(failed_with(parse(t.s, t.len, &err), &err, 400, SCIM_INVALID_SYNTAX) && err.position == SCIM_JSON_MAX_DEPTH,
			   "a million brackets: %s", err.detail);
	/* many at the same depth are no nesting */
	t.len = 0;
	append(&t, "[");
	for (int i = 0; i < 1000; i++)
		append(&t, i ? ",[[]]" : "[[]]");
	append(&t, "]");
	unit_check(parse(t.s, t.len, &err) != NULL, "brackets side by side: %s", err.detail);

	/* tokens: two for the brackets, one for each value; two for a member */
	for (int tokens = SCIM_JSON_MAX_TOKENS - 1; tokens <= SCIM_JSON_MAX_TOKENS + 1; tokens++)
		for (int kind = 0; kind < 6; kind++)
		{
			static const char *const values[] = {"1", "true", "\"\"", "null", "-1.5e3", "false"};
			json_t	   *value;

			t.len = 0;
			append(&t, "[");
			for (int i = 0; i < tokens - 2; i++)
			{
				if (i)
					append(&t, ",");
				append(&t, values[kind]);
			}
			append(&t, "]");
			value = parse(t.s, t.len, &err);
			if (tokens <= SCIM_JSON_MAX_TOKENS)
				unit_check(value != NULL && json_array_size(value) == (size_t) tokens - 2, "%d tokens %s: %s", tokens,
						   values[kind], err.detail);
			else
				unit_check(failed_with(value, &err, 400, SCIM_INVALID_SYNTAX), "%d tokens %s", tokens, values[kind]);
			scim_arena_reset();
		}

	/* wherever the last one stands */
	for (int rest = 1; rest <= 6; rest++)
	{
		t.len = 0;
		append(&t, "[");
		for (int i = 0; i < SCIM_JSON_MAX_TOKENS - rest; i++)
			append(&t, "0,");
		append(&t, "{\"a\":[{}]}]");
		unit_check(failed_with(parse(t.s, t.len, &err), &err, 400, SCIM_INVALID_SYNTAX) && strstr(err.detail, "more than 200000"),
				   "%d tokens left: %s", rest, err.detail);
		scim_arena_reset();
	}

	/* strings, as values and as names; escapes count as they are written */
	for (int size = SCIM_JSON_MAX_STRING - 1; size <= SCIM_JSON_MAX_STRING + 1; size++)
		for (int kind = 0; kind < 3; kind++)
		{
			json_t	   *value;

			t.len = 0;
			append(&t, kind == 1 ? "{\"" : "\"");
			memset(t.s + t.len, 'x', size);
			if (kind == 2)
				memcpy(t.s + t.len + size - 6, "\\u0041", 6);
			t.len += size;
			append(&t, kind == 1 ? "\":1}" : "\"");
			value = parse(t.s, t.len, &err);
			if (size <= SCIM_JSON_MAX_STRING)
				unit_check(value != NULL, "string of %d bytes: %s", size, err.detail);
			else
				unit_check(failed_with(value, &err, 400, SCIM_INVALID_SYNTAX) && err.position == (kind == 1), "string of %d bytes",
						   size);
			scim_arena_reset();
		}

	/* the budget: 1 MB of "{}," asks for far more memory than its own size */
	t.len = 0;
	append(&t, "[");
	for (int i = 0; i < 90000; i++)
		append(&t, i ? ",{}" : "{}");
	append(&t, "]");
	scim_heap_begin(1024 * 1024);
	unit_check(failed_with(parse(t.s, t.len, &err), &err, 413, NULL), "over the budget: %d", err.status);
	unit_check(scim_alloc_failed(), "the failure is remembered");
	scim_heap_begin(SIZE_MAX);
	unit_check(!scim_alloc_failed(), "until the next budget");
	unit_check(parse(t.s, t.len, &err) != NULL, "within the budget: %s", err.detail);
	scim_arena_reset();

	/* what asks for most within the limits is far from the budget of a request */
	for (int kind = 0; kind < 5; kind++)
	{
		static const char *const parts[] = {"{}", "[]", "{\"\":{}}", "{\"\":[]}", "[[[[[[[[[]]]]]]]]]"};
		static const int tokens[] = {2, 2, 5, 5, 18};

		t.len = 0;
		append(&t, "[");
		for (int i = 0; i < (SCIM_JSON_MAX_TOKENS - 2) / tokens[kind]; i++)
		{
			append(&t, i ? "," : "");
			append(&t, parts[kind]);
		}
		append(&t, "]");
		scim_heap_begin(64 * 1024 * 1024);
		unit_check(parse(t.s, t.len, &err) != NULL, "%s many times: %s", parts[kind], err.detail);
		scim_heap_begin(8 * 1024 * 1024);
		scim_arena_reset();
		unit_check(failed_with(parse(t.s, t.len, &err), &err, 413, NULL), "%s many times in 8 MiB: %d", parts[kind], err.status);
		scim_heap_begin(SIZE_MAX);
		scim_arena_reset();
	}
	free(t.s);
}

/* A value that no parser of core made, nested deeper than any. */
static void
test_deep_tree(void)
{
	ScimCoreFrame frame;
	json_t	   *top;
	json_t	   *value;

	scim_core_enter(&frame);
	top = value = scim_json_object();
	for (int i = 0; i < 5 * SCIM_JSON_MAX_DEPTH; i++)
	{
		json_t	   *inner = scim_json_object();

		json_object_set_new(value, "a", inner);
		value = inner;
	}
	scim_core_leave(&frame);
	unit_check(scim_json_print(top, NULL) == NULL, "a tree too deep is not printed");
	unit_check(!scim_json_unassigned(top), "nor called unassigned");
	scim_arena_reset();
}

/* ---- print after parse ---- */

/* What is printed reads back as the same text. */
static bool
is_stable(const json_t *value)
{
	ScimError	err;
	size_t		len;
	char	   *text = scim_json_print(value, &len);
	json_t	   *again = text ? parse(text, len, &err) : NULL;
	char	   *twice = again ? scim_json_print(again, NULL) : NULL;

	return twice != NULL && strcmp(text, twice) == 0;
}

static void
test_printed(void)
{
	static const char *const files[] = {
		"schemas.json", "patch-vectors.json", "filter-vectors.json", "patch-cases.json", "validate-cases.json"
	};
	uint64_t	seed = 7644;
	int			good = 0;
	const int	all = 20000;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
	{
		json_t	   *value = unit_load_json(files[i]);
		ScimError	err;
		size_t		len;
		char	   *text = scim_json_print(value, &len);
		json_t	   *again = text ? parse(text, len, &err) : NULL;

		/* vectors hold limits of their own: a file may be past those of a body */
		if (again == NULL)
			unit_check(text != NULL && err.status == 400, "%s: not printed", files[i]);
		else
			unit_check(is_stable(again) && unit_same_json(value, again), "%s: print and parse", files[i]);
		scim_arena_reset();
	}

	/* decimals of up to 15 digits come back as they were */
	for (int i = 0; i < all; i++)
	{
		char		text[64];
		ScimError	err;
		json_t	   *value;
		char	   *printed;

		seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		snprintf(text, sizeof(text), "%s%lld.%llde%d", seed >> 63 ? "-" : "", (long long) (seed >> 20 & 0xFFFFFFF) % 10000000,
				 (long long) (seed >> 10) % 9999999 + 1, (int) (seed >> 40) % 290);
		value = parse(text, strlen(text), &err);
		printed = value ? scim_json_print(value, NULL) : NULL;
		if (printed != NULL && strtod(printed, NULL) == strtod(text, NULL) && strlen(printed) <= strlen(text) + 4 && is_stable(value))
			good++;
		else
			unit_check(false, "%s is printed as %s (%s)", text, printed ? printed : "-", err.detail);
		if (i % 1000 == 0)
			scim_arena_reset();
	}
	unit_check(good == all, "%d of %d decimals", good, all);
	scim_arena_reset();
}

/* Doubles that no client can send, but a database can hold. */
static void
test_reals(void)
{
	static const double values[] = {0.1 + 0.2, 1.0 / 3, DBL_MAX, DBL_MIN, 5e-324, 1e22, 123456789.123456789, -2.5};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
	{
		ScimCoreFrame frame;
		json_t	   *value;
		char	   *text;

		scim_core_enter(&frame);
		value = json_real(values[i]);
		scim_core_leave(&frame);
		text = scim_json_print(value, NULL);
		unit_check(text != NULL && strtod(text, NULL) == values[i], "%.17g is printed as %s", values[i], text);
	}
	scim_arena_reset();
}

/* ---- memory set aside for jansson ---- */

typedef struct Reserves
{
	int			texts;			/* that jansson read to the end */
	int			exceeded;
	size_t		need;			/* what was set aside for those */
	size_t		used;
} Reserves;

/* jansson never asks for more than was computed, whether it takes the text or not. */
static void
reserve_for(const char *name, const char *text, size_t len, Reserves *sum)
{
	ScimCoreFrame frame;
	ScimError	err;
	json_error_t error;
	json_t	   *value;
	size_t		start = len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
	size_t		need;
	size_t		left;

	memset(&err, 0, sizeof(err));
	if (!scim_json_scan(text, start, len, &need, &err))
		return;
	scim_core_enter(&frame);
	scim_alloc_fail_at(0);
	unit_check(scim_reserve_begin(need), "%s: %zu bytes", name, need);
	value = json_loadb(text + start, len - start, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	left = scim_reserve_end();
	if (scim_alloc_count() != 1)
	{
		sum->exceeded++;
		unit_check(false, "%s: %zu bytes were too few", name, need);
	}
	if (value != NULL)
	{
		sum->texts++;
		sum->need += need;
		sum->used += need - left;
	}
	scim_core_leave(&frame);
	scim_arena_reset();
}

static void
reserve_for_file(const char *path, Reserves *sum)
{
	FILE	   *file = fopen(path, "rb");
	char	   *text = malloc(4 * 1024 * 1024);
	size_t		len = file ? fread(text, 1, 4 * 1024 * 1024, file) : 0;

	unit_check(file != NULL, "%s", path);
	/* cut anywhere it is no JSON, as a rule */
	for (size_t part = 0; part < (len > 4000 ? 1 : len); part++)
		reserve_for(path, text, part, sum);
	reserve_for(path, text, len, sum);
	if (file)
		fclose(file);
	free(text);
}

/* Each file of the vectors, and of the corpora of the fuzzers. */
static void
reserve_for_files(const char *directory, Reserves *sum)
{
	DIR		   *dir = opendir(directory);
	struct dirent *entry;
	struct stat st;
	char		path[1024];

	unit_check(dir != NULL, "%s", directory);
	while (dir != NULL && (entry = readdir(dir)) != NULL)
	{
		snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
		if (entry->d_name[0] == '.' || stat(path, &st) != 0)
			continue;
		if (S_ISDIR(st.st_mode))
			reserve_for_files(path, sum);
		else if (st.st_size < 4 * 1024 * 1024)
			reserve_for_file(path, sum);
	}
	if (dir != NULL)
		closedir(dir);
}

static void
test_reserve_files(void)
{
	Reserves	sum = {0};

	reserve_for_files(SCIM_TEST_DATA, &sum);
	reserve_for_files(SCIM_TEST_DATA "/../fuzz/corpus", &sum);
	unit_check(sum.exceeded == 0, "%d too small", sum.exceeded);
	unit_check(sum.texts > 20 && sum.used * 100 >= sum.need * 90, "%d texts: %zu of %zu bytes used", sum.texts, sum.used, sum.need);
	printf("reserve: %d texts of the corpora, %.1f %% of it used\n", sum.texts, 100.0 * (double) sum.used / (double) sum.need);
}

/* Tables that grow, strings and numbers of every length, what ends too early. */
static void
test_reserve_shapes(void)
{
	static const char *const broken[] = {
		"[\"a\":1,\"b\":2]", "{\"a\":\"b\":\"c\"}", "{\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\",\"i\",\"j\"}", "[:::::::::::::::]",
		"[,,,,,,,,,,,,,,,]", "{::::}", "{,,,,}", "[}", "{]", "]]]]", "}}}}", "\"a\"\"b\"\"c\"\"d\"", "1\"a\"2", "[1[2[3", "{\"a\":{\"b\"{", "\"a\":\"b\"",
		"truefalsenull", "TRUEFALSENULLTRUEFALSENULLTRUEFALSENULL", "[1 2 3 4 5 6 7 8 9 10 11 12]", "\xF0\x9F\x98\x80", "{\"a\":1 \"b\":2}",
		"aaaaaaaaaaaaaaa", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "-", "-e", "--------------------------------", "0000000000000000000000000000000000",
		"1e", "1e+", "1.", "[1.]", "[\"\\q\"]", "[\"\\u12\"", "\"\x01\""
	};
	const size_t size = 3 * 1024 * 1024;
	Text		t = {malloc(size), 0};
	Reserves	sum = {0};

	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
		reserve_for(broken[i], broken[i], strlen(broken[i]), &sum);
	/* lists and objects of 0 to 300 entries, of each kind; then large ones */
	for (int n = 0; n <= 50000; n += n < 300 ? 1 : n / 3)
		for (int kind = 0; kind < 6; kind++)
		{
			static const char *const entries[] = {"1", "\"\"", "[]", "{}", "-12.25e1", "\"\\u00e9\\\\\""};

			t.len = 0;
			append(&t, "[[");
			for (int i = 0; i < n; i++)
			{
				append(&t, i ? "," : "");
				append(&t, entries[kind]);
			}
			append(&t, "],{");
			for (int i = 0; i < n; i++)
				t.len += (size_t) sprintf(t.s + t.len, "%s\"%d\":%s", i ? "," : "", i, entries[kind]);
			append(&t, "}]");
			reserve_for("entries", t.s, t.len, &sum);
		}
	/* strings, names, numbers, words around each size of the lexer's buffer */
	for (size_t n = 1; n < SCIM_JSON_MAX_STRING; n += n < 300 ? 1 : n % 1000 > 20 ? 1 : n)
		for (int kind = 0; kind < 5; kind++)
		{
			static const char *const before[] = {"\"", "{\"", "[", "[0.", "["};
			static const char *const after[] = {"\"", "\":\"\"}", "]", "]", "]"};

			t.len = 0;
			append(&t, before[kind]);
			memset(t.s + t.len, kind < 2 ? 'x' : kind == 2 ? '1' : kind == 3 ? '0' : 'a', n);
			t.len += n;
			append(&t, after[kind]);
			reserve_for("length", t.s, t.len, &sum);
		}
	/* deep, and deep again */
	for (int depth = 1; depth <= SCIM_JSON_MAX_DEPTH; depth++)
	{
		t.len = 0;
		append(&t, "[");
		for (int side = 0; side < 20; side++)
		{
			append(&t, side ? "," : "");
			for (int i = 1; i < depth; i++)
				append(&t, i % 2 ? "{\"name\":" : "[0,");
			append(&t, "null");
			for (int i = depth; i-- > 1;)
				append(&t, i % 2 ? "}" : "]");
		}
		append(&t, "]");
		reserve_for("deep", t.s, t.len, &sum);
	}
	unit_check(sum.exceeded == 0, "%d too small", sum.exceeded);
	unit_check(sum.used * 100 >= sum.need * 90, "%zu of %zu bytes used", sum.used, sum.need);
	printf("reserve: %d texts of all shapes, %.1f %% of it used\n", sum.texts, 100.0 * (double) sum.used / (double) sum.need);
	free(t.s);
}

/* Bytes at random, mostly those that JSON is made of. */
static void
test_reserve_random(void)
{
	static const char *const parts[] = {
		"{", "}", "[", "]", ":", ",", "\"", "\"a\"", "\"bcdefghijklmno\":", "1", "-1.5e3", "true", "null", "x", " ", "\\", "\\u00e9", "\"a\":{", "[1,2", "}]"
	};
	Reserves	sum = {0};
	uint64_t	seed = 7643;
	char		text[1024];

	for (int i = 0; i < 200000; i++)
	{
		size_t		len = 0;
		int			n = 1 + i % 40;

		for (int k = 0; k < n; k++)
		{
			const char *part;

			seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
			part = parts[(seed >> 33) % (sizeof(parts) / sizeof(parts[0]))];
			memcpy(text + len, part, strlen(part));
			len += strlen(part);
		}
		reserve_for("random", text, len, &sum);
	}
	unit_check(sum.exceeded == 0, "%d too small", sum.exceeded);
	unit_check(sum.texts > 100, "%d texts are JSON", sum.texts);
}

/* ---- members ---- */

static void
test_members(void)
{
	json_t	   *object = unit_parse_core("{\"userName\":1,\"b\":{\"c\":{}},\"d\":[],\"e\":[{}],\"f\":{\"g\":null,\"h\":[]},\"i\":\"\",\"j\":false}");
	const char *key = NULL;
	static const struct
	{
		const char *name;
		bool		unassigned;
	}			cases[] = {
		{"userName", false}, {"b", true}, {"d", true}, {"e", false}, {"f", true}, {"i", false}, {"j", false}, {"absent", true}
	};

	unit_check(json_integer_value(scim_json_get(object, "USERname", &key)) == 1 && strcmp(key, "userName") == 0, "another case");
	unit_check(json_integer_value(scim_json_get(object, "userName", &key)) == 1 && strcmp(key, "userName") == 0, "the same case");
	unit_check(scim_json_get(object, "userName", NULL) != NULL && scim_json_get(object, "USERNAME", NULL) != NULL, "no key asked for");
	unit_check(scim_json_get(object, "userNam", &key) == NULL && scim_json_get(object, "userNames", &key) == NULL, "no part of a name");
	unit_check(scim_json_get(unit_parse_core("[1]"), "a", NULL) == NULL, "no object");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		unit_check(scim_json_unassigned(json_object_get(object, cases[i].name)) == cases[i].unassigned, "%s", cases[i].name);
	unit_check(scim_name_eq("aBc-1", 5, "AbC-1") && !scim_name_eq("abc", 3, "abcd") && !scim_name_eq("abcd", 4, "abc") &&
			   scim_name_eq("", 0, "") && scim_name_eq("abcd", 3, "ABC") && !scim_name_eq("[", 1, "{") && !scim_name_eq("@", 1, "`"),
			   "names");
	scim_arena_reset();
}

/* An object of many members costs a sort, whatever their names. */
static void
test_cost(void)
{
	Text		t = {malloc(4 * 1024 * 1024), 0};
	ScimError	err;
	clock_t		start;
	double		seconds;

	append(&t, "{");
	for (int i = 0; i < 90000; i++)
	{
		char		member[64];

		snprintf(member, sizeof(member), "%s\"aaaaaaaaaaaaaaaa%d\":1", i ? "," : "", i);
		append(&t, member);
	}
	append(&t, "}");
	start = clock();
	unit_check(parse(t.s, t.len, &err) != NULL, "90,000 members: %s", err.detail);
	seconds = (double) (clock() - start) / CLOCKS_PER_SEC;
	unit_check(seconds < 2.0, "90,000 members: %.2f s", seconds);
	scim_arena_reset();
	free(t.s);
}

/* ---- lack of memory ---- */

static void
test_torture(void)
{
	static const char *const texts[] = {
		"{\"a\":[1,2.5,\"x\",{\"b\":null,\"c\":true,\"d\":{}}],\"e\":\"0123456789012345678901234567890123456789\"}",
		"[\"\\ud83d\\ude00\",[[[[]]]],{\"x\":1,\"y\":2,\"z\":3,\"v\":4,\"w\":5,\"u\":6,\"t\":7,\"s\":8,\"r\":9}]",
		"{\"a\":1,\"b\":2,\"A\":3}",
		"{\"a\":1,\"b\":2,\"c\":3,\"d\":4,\"e\":5,\"f\":6,\"g\":7,\"h\":8,\"i\":9,\"j\":10,\"k\":11,\"l\":12,\"m\\u00e9\":13,\"0123456789012345678901234567890123456789012345678901234567890123456789\":14}",
		"[1,",
		"12345678901234567890",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
	{
		ScimError	whole_err;
		ScimError	err;
		json_t	   *whole;
		char	   *text;
		char	   *printed;
		long		total;

		scim_alloc_fail_at(0);
		whole = parse(texts[i], strlen(texts[i]), &whole_err);
		text = whole ? scim_json_print(whole, NULL) : NULL;
		total = scim_alloc_count();
		for (long n = 1; n <= 2 * total; n++)
		{
			json_t	   *value;

			if (n <= total)
				scim_alloc_fail_at(n);
			else
				scim_alloc_fail_once(n - total);
			value = parse(texts[i], strlen(texts[i]), &err);
			printed = value ? scim_json_print(value, NULL) : NULL;
			scim_alloc_fail_at(0);
			if (value == NULL)
				unit_check(err.status == 413, "text %d, allocation %ld: %d", (int) i, n, err.status);
			else
				unit_check(printed == NULL || (text != NULL && strcmp(printed, text) == 0), "text %d, allocation %ld: printed %s",
						   (int) i, n, printed);
		}
		scim_arena_reset();
	}
	/* a budget that ends anywhere, also inside a long string or number */
	{
		char		text[2000];
		size_t		n = 0;
		int			refused = 0;
		ScimError	err;

		n += (size_t) sprintf(text, "[\"%0300d\\u00e9\\\"%0200d\",", 1, 2);
		for (int i = 0; i < 20; i++)
			n += (size_t) sprintf(text + n, "-12%016d,{\"%040d\":1.5e%d},", i, i, i);
		n += (size_t) sprintf(text + n, "true]");
		for (size_t limit = 1; limit < 12000; limit += 7)
		{
			json_t	   *value;

			scim_heap_begin(limit);
			value = parse(text, n, &err);
			unit_check(value != NULL ? json_array_size(value) == 42 && !scim_alloc_failed() : err.status == 413,
					   "a budget of %d: %d %s", (int) limit, err.status, err.detail);
			refused += value == NULL;
			scim_heap_begin(SIZE_MAX);
			scim_arena_reset();
		}
		unit_check(refused > 100, "%d budgets were too small", refused);
	}
	scim_alloc_fail_at(1);
	unit_check(scim_json_object() == NULL && scim_strndup("a", 1) == NULL && scim_alloc0(1) == NULL && scim_realloc(NULL, 1) == NULL,
			   "NULL everywhere");
	scim_alloc_fail_at(0);
}

int
main(void)
{
	unit_run("accepted", test_accepted);
	unit_run("refused", test_refused);
	unit_run("positions", test_positions);
	unit_run("limits", test_limits);
	unit_run("deep_tree", test_deep_tree);
	unit_run("printed", test_printed);
	unit_run("reals", test_reals);
	unit_run("reserve: files", test_reserve_files);
	unit_run("reserve: shapes", test_reserve_shapes);
	unit_run("reserve: random", test_reserve_random);
	unit_run("members", test_members);
	unit_run("cost", test_cost);
	unit_run("torture", test_torture);
	return unit_finish();
}
