/*
 * unit_json.c
 *		Parsing and printing JSON: grammar and limits at their borders, what
 *		jansson alone would let pass, print after parse, cost, lack of memory.
 */
#include "unit.h"
#include "unit_world.h"

#include <float.h>
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
		for (int kind = 0; kind < 5; kind++)
		{
			static const char *const values[] = {"1", "true", "\"\"", "null", "-1.5e3"};
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
	unit_run("limits", test_limits);
	unit_run("deep_tree", test_deep_tree);
	unit_run("printed", test_printed);
	unit_run("reals", test_reals);
	unit_run("members", test_members);
	unit_run("cost", test_cost);
	unit_run("torture", test_torture);
	return unit_finish();
}
