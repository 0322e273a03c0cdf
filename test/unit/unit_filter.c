/*
 * unit_filter.c
 *		Filters: the vectors of the specification, cases of our own, limits,
 *		positions, random mutations, lack of memory.
 */
#include "unit.h"
#include "unit_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core_filter.h"

#define BADGE "urn:example:params:scim:schemas:extension:badge:2.0:User"
#define ENT SCIM_URN_ENTERPRISE_USER

static json_t *file;			/* filter-vectors.json */

static const char *
mode_text(ScimMode mode)
{
	return mode == SCIM_STRICT ? "strict" : "compat";
}

static ScimFilter *
parse(const char *text, size_t len, ScimMode mode, ScimError *err)
{
	memset(err, 0, sizeof(*err));
	err->position = -1;
	return scim_filter_parse(text, len, SCIM_FILTER_MAX_LENGTH, mode, err);
}

static ScimFilter *
parse_bind(const char *text, ScimMode mode, ScimError *err)
{
	ScimFilter *filter = parse(text, strlen(text), mode, err);

	if (filter != NULL && !scim_filter_bind(unit_world_type("User"), filter, mode, err))
		return NULL;
	return filter;
}

/* Ids of the resources that match, with blanks between. */
static const char *
matches(const ScimFilter *filter, const json_t *resources)
{
	static char out[1024];
	size_t		i;

	out[0] = '\0';
	for (i = 0; i < json_array_size(resources); i++)
	{
		const json_t *resource = json_array_get(resources, i);

		if (scim_filter_eval(unit_world_type("User"), filter, resource))
		{
			strcat(out, out[0] ? " " : "");
			strcat(out, json_string_value(json_object_get(resource, "id")));
		}
	}
	return out;
}

static const char *
ids(const json_t *array)
{
	static char out[1024];
	size_t		i;

	out[0] = '\0';
	for (i = 0; i < json_array_size(array); i++)
	{
		strcat(out, i ? " " : "");
		strcat(out, json_string_value(json_array_get(array, i)));
	}
	return out;
}

static const json_t *
resources(void)
{
	if (file == NULL)
		file = unit_load_json("filter-vectors.json");
	return json_object_get(file, "resources");
}

static bool
is_invalid_filter(const ScimError *err)
{
	return err->status == 400 && err->scim_type != NULL && strcmp(err->scim_type, SCIM_INVALID_FILTER) == 0;
}

/* A filter and the canonical text of it mean the same. */
static void
check_canonical(const char *id, const char *text, const char *want)
{
	ScimError	err;
	ScimFilter *again;
	char	   *printed;
	char		was[1024];

	again = parse_bind(text, SCIM_COMPAT, &err);
	unit_check(again != NULL, "%s: the canonical text is refused: %s", id, err.detail);
	if (again == NULL)
		return;
	snprintf(was, sizeof(was), "%s", matches(again, resources()));
	unit_check(strcmp(was, want) == 0, "%s: the canonical text matches %s instead of %s", id, was, want);

	/* what binding made of it is a filter, too */
	printed = scim_filter_print(again);
	again = parse_bind(printed, SCIM_COMPAT, &err);
	unit_check(again != NULL && strcmp(matches(again, resources()), want) == 0, "%s: bound: %s", id, printed);
}

/* ---- vectors ---- */

static void
run_vector(const json_t *vector, ScimMode mode)
{
	const char *id = json_string_value(json_object_get(vector, "id"));
	const json_t *text = json_object_get(vector, "filter");
	const char *want = json_string_value(json_object_get(vector, "parse"));
	const json_t *error = json_object_get(vector, "error");
	const char *phase = json_string_value(json_object_get(error, "phase"));
	ScimError	err;
	ScimFilter *filter;
	char	   *printed;
	char		got[1024];

	filter = parse(json_string_value(text), json_string_length(text), mode, &err);
	if (phase != NULL && strcmp(phase, "parse") == 0)
	{
		unit_check(filter == NULL && is_invalid_filter(&err) && err.position >= 0,
				   "%s (%s): must not parse: %s", id, mode_text(mode), filter ? scim_filter_print(filter) : err.detail);
		return;
	}
	unit_check(filter != NULL, "%s (%s): %s", id, mode_text(mode), err.detail);
	if (filter == NULL)
		return;
	printed = scim_filter_print(filter);
	unit_check(strcmp(printed, want) == 0, "%s (%s): %s instead of %s", id, mode_text(mode), printed, want);

	if (!scim_filter_bind(unit_world_type("User"), filter, mode, &err))
	{
		unit_check(phase != NULL && is_invalid_filter(&err) && err.position >= 0, "%s (%s): %s", id, mode_text(mode), err.detail);
		return;
	}
	unit_check(phase == NULL, "%s (%s): must be refused by the schema", id, mode_text(mode));
	snprintf(got, sizeof(got), "%s", matches(filter, resources()));
	want = ids(json_object_get(vector, "matches"));
	unit_check(strcmp(got, want) == 0, "%s (%s): matches %s instead of %s", id, mode_text(mode), got, want);
	check_canonical(id, printed, got);
}

static void
test_vectors(void)
{
	const json_t *vectors;
	int			runs = 0;
	size_t		i;

	resources();
	vectors = json_object_get(file, "vectors");
	for (i = 0; i < json_array_size(vectors); i++)
	{
		const json_t *vector = json_array_get(vectors, i);
		bool		strict = strcmp(json_string_value(json_object_get(vector, "mode")), "strict") == 0;

		if (strict)
			run_vector(vector, SCIM_STRICT);
		if (!strict || !json_is_true(json_object_get(vector, "strictOnly")))
			run_vector(vector, SCIM_COMPAT);
		runs += strict + (!strict || !json_is_true(json_object_get(vector, "strictOnly")));
	}
	unit_check(json_array_size(vectors) == 251, "%d vectors", (int) json_array_size(vectors));
	printf("%d filter vectors, %d runs\n", (int) json_array_size(vectors), runs);
}

/* ---- cases of our own ---- */

typedef struct Case
{
	const char *text;
	const char *strict;			/* ids, or NULL: invalidFilter */
	const char *compat;
} Case;

#define BOTH(ids) ids, ids
#define ALL "u01 u02 u03 u04 u05 u06 u07 u08 u09 u10 u11 u12"

static const Case cases[] = {
	/* the empty string */
	{"nickName eq \"\"", BOTH("u03")},
	{"nickName ne \"\"", BOTH("u01 u02 u04 u05 u06 u07 u08 u09 u10 u11 u12")},
	{"nickName sw \"\"", BOTH("u01 u03 u07")},
	{"nickName co \"\"", BOTH("u01 u03 u07")},
	{"nickName ew \"\"", BOTH("u01 u03 u07")},
	{"nickName ge \"\"", BOTH("u01 u07")},
	{"nickName le \"zzz\"", BOTH("u01 u07")},
	{"nickName ne null", BOTH("u01 u07")},
	{"userName sw \"\"", BOTH(ALL)},
	/* complex attributes */
	{"name pr", BOTH("u01 u02 u05")},
	{"name eq null", BOTH("u03 u04 u06 u07 u08 u09 u10 u11 u12")},
	{"name ne null", BOTH("u01 u02 u05")},
	{"name eq \"x\"", NULL, NULL},
	{"name gt \"a\"", NULL, NULL},
	{"name gt null", NULL, NULL},
	{"meta eq \"x\"", NULL, NULL},
	{"meta gt \"x\"", NULL, NULL},
	{"emails pr", BOTH("u01 u02 u04 u05 u06 u10")},
	{"emails ne null", BOTH("u01 u02 u04 u05 u06 u10")},
	{"emails gt \"k\"", BOTH("u06 u10")},
	{"emails ew null", NULL, NULL},
	{"emails eq 5", NULL, NULL},
	{ENT ":manager pr", BOTH("u01")},
	{ENT ":manager eq null", BOTH("u02 u03 u04 u05 u06 u07 u08 u09 u10 u11 u12")},
	{ENT ":manager.value ne \"u03\"", BOTH("u02 u03 u04 u05 u06 u07 u08 u09 u10 u11 u12")},
	{ENT ":manager[value eq \"u03\" and displayName sw \"john\"]", BOTH("u01")},
	{"manager.value eq \"u03\"", NULL, "u01"},
	{"name[familyName eq \"jensen\" and givenName eq \"jane\"]", BOTH("")},
	{"name[not (familyName eq \"jensen\")]", BOTH("u02 u05")},
	{"name[value eq \"x\"]", NULL, NULL},
	{"userName[value eq \"x\"]", NULL, NULL},
	/* null of sub-attributes */
	{"emails.type eq null", BOTH("u03 u04 u07 u08 u09 u11 u12")},
	{"emails.type ne null", BOTH("u01 u02 u05 u06 u10")},
	{"emails[type eq null]", BOTH("u04")},
	{"emails[type ne null]", BOTH("u01 u02 u05 u06 u10")},
	{"emails[primary eq null]", BOTH("u01 u02 u05 u06")},
	{"emails[primary pr]", BOTH("u01 u04 u10")},
	{"emails[primary ne false]", BOTH("u01 u04")},
	{"emails.primary ne true", BOTH("u01 u02 u03 u05 u06 u07 u08 u09 u10 u11 u12")},
	{"emails[primary eq \"False\"]", NULL, "u01 u02 u05 u06 u10"},
	{"emails[primary gt false]", NULL, NULL},
	/* booleans */
	{"active eq \"true\"", NULL, "u01 u02 u03 u06 u07 u08 u09 u10 u12"},
	{"active eq \"yes\"", NULL, NULL},
	{"active eq \"\"", NULL, NULL},
	{"active sw \"true\"", NULL, NULL},
	{"active eq null", BOTH("u05 u11")},
	{"active eq FALSE", NULL, "u04"},
	{"active eq trueish", NULL, NULL},
	{BADGE ":visible ne true", BOTH("u01 u02 u03 u04 u05 u06 u07 u09 u10 u11 u12")},
	/* numbers */
	{BADGE ":level ne 5", BOTH("u01 u02 u03 u04 u05 u06 u07 u09 u10 u11 u12")},
	{BADGE ":level gt 5.5", BOTH("u09")},
	{BADGE ":level le 9.99", BOTH("u08")},
	{BADGE ":level lt 1e300", BOTH("u08 u09")},
	{BADGE ":level gt -1E+3", BOTH("u08 u09")},
	{BADGE ":level ge 9223372036854775807", BOTH("")},
	{BADGE ":level gt -9223372036854775808", BOTH("u08 u09")},
	{BADGE ":level gt 9223372036854775808", NULL, NULL},
	{BADGE ":level gt 1e400", NULL, NULL},
	{BADGE ":level gt 1e-400", NULL, NULL},
	{BADGE ":level gt 0e-400", BOTH("u08 u09")},
	{BADGE ":score eq 4.50000000000000000000", BOTH("u08")},
	{BADGE ":score eq 4.5000000000000001", NULL, NULL},
	{BADGE ":score ge -1.25", BOTH("u08 u09")},
	{BADGE ":score le 4", BOTH("u09")},
	{BADGE ":score eq -0", BOTH("")},
	{BADGE ":level eq true", NULL, NULL},
	{BADGE ":level sw 5", NULL, NULL},
	{BADGE ":level eq -", NULL, NULL},
	{BADGE ":level eq 1e", NULL, NULL},
	{BADGE ":level eq 5x", NULL, NULL},
	{BADGE ":slots.rank gt 15", BOTH("u08")},
	{BADGE ":slots.rank lt 5", BOTH("u08 u09")},
	{BADGE ":slots eq \"B\"", BOTH("u08 u09")},
	{BADGE ":slots.rank ne 3", BOTH("u01 u02 u03 u04 u05 u06 u07 u08 u10 u11 u12")},
	/* dateTime */
	{"meta.created ne \"2012-01-01T00:00:00Z\"", BOTH("u01 u02 u05 u06 u07 u08 u09 u10 u11 u12")},
	{"meta.created eq \"2012-01-01T01:00:00+01:00\"", BOTH("u03 u04")},
	{"meta.created eq \"2011-12-31T24:00:00Z\"", BOTH("u03 u04")},
	{"meta.created sw \"2012\"", NULL, NULL},
	{"meta.created ne \"x\"", NULL, NULL},
	{"meta.created eq null", BOTH("")},
	{BADGE ":issued eq \"2024-02-29T12:00:00Z\"", BOTH("u08 u09")},
	{BADGE ":slots[since gt \"2022-01-01T00:00:00Z\" and rank gt 10]", BOTH("u08")},
	/* binary, reference, caseExact */
	{BADGE ":photo ne \"aGVsbG8=\"", BOTH("u01 u02 u03 u04 u05 u06 u07 u09 u10 u11 u12")},
	{BADGE ":photo co \"a\"", NULL, NULL},
	{BADGE ":photo sw \"a\"", NULL, NULL},
	{BADGE ":photo pr", BOTH("u08 u09")},
	{"profileUrl gt \"https://\"", BOTH("u12")},
	{"profileUrl eq 1", NULL, NULL},
	{BADGE ":code gt \"a\"", BOTH("u09")},
	{BADGE ":code lt \"a\"", BOTH("u08")},
	{"externalId sw \"EXT\"", BOTH("u01")},
	{"externalId ne \"EXT-1\"", BOTH("u02 u03 u04 u05 u06 u07 u08 u09 u10 u11 u12")},
	/* folding beyond ASCII, wide forms, ß */
	{"displayName eq \"\xc3\x85SA \xc3\x96" "BERG\"", BOTH("u05")},
	{"displayName ew \"\\u00d6BERG\"", BOTH("u05")},
	{"userName eq \"\\uff2aSMITH\"", BOTH("u02")},
	{"userName eq \"\xe2\x84\xab" "sa\"", BOTH("u05")},
	/* schemas and meta */
	{"schemas eq \"URN:ietf:params:scim:schemas:EXTENSION:enterprise:2.0:user\"", BOTH("u01 u03")},
	{"schemas pr", BOTH(ALL)},
	{"schemas eq null", BOTH("")},
	{"schemas sw \"urn:example\"", BOTH("u08 u09")},
	{"schemas[value sw \"urn:example\"]", NULL, "u08 u09"},
	{"schemas.value eq \"x\"", NULL, NULL},
	{"meta.version sw \"W/\"", BOTH(ALL)},
	{"meta.resourceType eq \"user\"", BOTH("")},
	{"urn:ietf:params:scim:schemas:core:2.0:User:meta.resourceType eq \"User\"", BOTH(ALL)},
	{"urn:ietf:params:scim:schemas:core:2.0:User eq \"x\"", NULL, NULL},
	{ENT " pr", NULL, NULL},
	{ENT ":userName pr", NULL, NULL},
	{ENT ":MANAGER.Value eq \"u03\"", BOTH("u01")},
	/* simple multi-valued */
	{BADGE ":tags ne \"red\"", BOTH(ALL)},
	{BADGE ":tags[value eq \"red\" or value eq \"green\"]", NULL, "u08"},
	{BADGE ":tags[not (value eq \"blue\")]", NULL, "u08"},
	{BADGE ":tags[type eq \"red\"]", NULL, NULL},
	{BADGE ":tags[value eq \"red\"].value eq \"x\"", NULL, ""},
	{BADGE ":tags.value eq \"red\"", NULL, NULL},
	{"tags eq \"BLUE\"", NULL, "u08 u09"},
	/* members of a value path, from outside (compat) */
	{"emails[type eq \"work\"].value ne \"bjensen@example.com\"", NULL, "u02 u03 u04 u05 u06 u07 u08 u09 u10 u11 u12"},
	{"emails[type eq \"work\"].value eq null", NULL, "u03 u04 u07 u08 u09 u11 u12"},
	{"emails[type eq \"work\"].value ne null", NULL, "u01 u02 u05 u06 u10"},
	{"emails[type eq \"work\"].value gt null", NULL, NULL},
	{"emails[type eq \"work\"].Primary eq \"TRUE\"", NULL, "u01"},
	{"emails[type eq \"work\"].foo eq \"x\"", NULL, NULL},
	{"emails[type eq \"work\"].value", NULL, NULL},
	{"emails[type eq \"work\"]. eq \"x\"", NULL, NULL},
	{"emails[type eq \"work\"].value.x eq \"x\"", NULL, NULL},
	{"not (emails[type eq \"work\"].value co \"example\")", NULL, "u03 u04 u06 u07 u08 u09 u11 u12"},
	{"emails[type eq \"work\"].value co \"work.com\" and active eq True", NULL, "u06"},
	{"name[familyName pr].givenName eq \"jane\"", NULL, "u02"},
	/* blanks */
	{"  (  ( title pr ) and(title pr)  )", NULL, NULL},
	{"  (  ( title pr ) and (title pr)  )\t", NULL, "u01 u02 u06 u12"},
	{"emails [ type eq \"work\" ]", NULL, "u01 u02 u05 u06 u10"},
	{"not  ( title pr )", NULL, "u03 u04 u05 u07 u08 u09 u10 u11"},
	{"not\n(title pr)", NULL, "u03 u04 u05 u07 u08 u09 u10 u11"},
	{"title pr\r\nand\tuserName pr", NULL, "u01 u02 u06 u12"},
	{"(title pr)and (title pr)", NULL, NULL},
	{"title pr ", NULL, "u01 u02 u06 u12"},
	{"title  pr", NULL, "u01 u02 u06 u12"},
	{"title pr  and title pr", NULL, "u01 u02 u06 u12"},
	{"title pr and  title pr", NULL, "u01 u02 u06 u12"},
	{"title eq\"VP\"", NULL, "u02"},
	{"title\xc2\xa0pr", NULL, NULL},
	{"active eqtrue", NULL, NULL},
	{BADGE ":level eq5", NULL, NULL},
	/* not before a value path: the canonical text has it */
	{"not emails[type eq \"work\"]", NULL, "u03 u04 u07 u08 u09 u11 u12"},
	{"not  emails [type eq \"work\"] and title pr", NULL, "u12"},
	{"not emails[type eq \"work\"].value pr", NULL, NULL},
	{"not not emails[type eq \"work\"]", NULL, NULL},
	{"notemails[type eq \"work\"]", NULL, NULL},
	/* keywords are names, too */
	{"not pr", NULL, NULL},
	{"and pr", NULL, NULL},
	{"not eq \"x\"", NULL, NULL},
	/* grammar */
	{"(title pr", NULL, NULL},
	{"((title pr)", NULL, NULL},
	{"title pr)", NULL, NULL},
	{"emails[type eq \"work\")", NULL, NULL},
	{"emails(type eq \"work\"]", NULL, NULL},
	{"emails[[type eq \"work\"]]", NULL, NULL},
	{"emails[emails.type eq \"work\"]", NULL, NULL},
	{"emails[urn:ietf:params:scim:schemas:core:2.0:User:emails.type pr]", NULL, NULL},
	{"emails[type eq \"work\"][value pr]", NULL, NULL},
	{"emails.type[value pr]", NULL, NULL},
	{"title pr or", NULL, NULL},
	{"title pr or ", NULL, NULL},
	{"or title pr", NULL, NULL},
	{"title pr and or title pr", NULL, NULL},
	{"title pr title pr", NULL, NULL},
	{"title prx", NULL, NULL},
	{"title eq", NULL, NULL},
	{"title eq ", NULL, NULL},
	{"title eq \"x", NULL, NULL},
	{"title eq \"x\\\"", NULL, NULL},
	{"title eq \"\\", NULL, NULL},
	{"title eq \"x\"\"y\"", NULL, NULL},
	{"title eq \"\\u12\"", NULL, NULL},
	{"title eq \"\\u00zz\"", NULL, NULL},
	{"title eq \"\\u0000\"", NULL, NULL},
	{"title eq \"\\udc00\"", NULL, NULL},
	{"title eq \"\\ud83d\\u0041\"", NULL, NULL},
	{"title eq \"\\ud83dx\"", NULL, NULL},
	{"title eq \"\\ud83d\\ude00\"", BOTH("")},
	{"title eq \"\\b\\f\\n\\r\\t\\/\\u001f\\u007f\\u07ff\\uffff\"", BOTH("")},
	{"title eq \"\t\"", NULL, NULL},
	{"title eq \"\xff\"", NULL, NULL},
	{"title eq \"\xed\xa0\x80\"", NULL, NULL},
	{"1title pr", NULL, NULL},
	{"_title pr", NULL, NULL},
	{".title pr", NULL, NULL},
	{"title..x pr", NULL, NULL},
	{":title pr", NULL, NULL},
	{"User:title pr", NULL, NULL},
	{"urn::title pr", NULL, NULL},
	{"urn:x:title pr", NULL, NULL},
	{"1rn:x:title pr", NULL, NULL},
	{"urn:x: pr", NULL, NULL},
	{"groups.$ref eq \"x\"", BOTH("")},
	{"groups[$ref pr]", BOTH("")},
	{"title regex \"x\"", NULL, NULL},
	{"title averylongoperatorname \"x\"", NULL, NULL},
	{"title in (\"x\")", NULL, NULL},
	{"title eq 'x'", NULL, NULL},
	{"userName co \"'; DROP TABLE x; --\"", BOTH("")},
	/* never returned */
	{"password ne \"x\"", NULL, NULL},
	{"password eq null", NULL, NULL},
	{"urn:ietf:params:scim:schemas:core:2.0:User:password pr", NULL, NULL},
};

static void
test_cases(void)
{
	size_t		i;
	int			m;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		for (m = 0; m < 2; m++)
		{
			ScimMode	mode = m == 0 ? SCIM_STRICT : SCIM_COMPAT;
			const char *want = m == 0 ? cases[i].strict : cases[i].compat;
			ScimError	err;
			ScimFilter *filter = parse_bind(cases[i].text, mode, &err);
			char	   *printed;
			char		got[1024];

			if (want == NULL)
			{
				unit_check(filter == NULL && is_invalid_filter(&err) && err.position >= 0 &&
						   (size_t) err.position <= strlen(cases[i].text) && strstr(err.detail, "position") != NULL,
						   "%s (%s): must be refused (%s)", cases[i].text, mode_text(mode), err.detail);
				continue;
			}
			unit_check(filter != NULL, "%s (%s): %s", cases[i].text, mode_text(mode), err.detail);
			if (filter == NULL)
				continue;
			snprintf(got, sizeof(got), "%s", matches(filter, resources()));
			unit_check(strcmp(got, want) == 0, "%s (%s): %s instead of %s", cases[i].text, mode_text(mode), got, want);
			printed = scim_filter_print(parse(cases[i].text, strlen(cases[i].text), mode, &err));
			check_canonical(cases[i].text, printed, got);
		}
	}
}

/* Errors say where and what, and never repeat an operand. */
static void
test_errors(void)
{
	static const struct
	{
		const char *text;
		int			position;
		const char *detail;
	}			errors[] = {
		{"", 0, "attribute name"},
		{"userName", 8, "operator"},
		{"userName eq", 11, "operand"},
		{"userName regex \"hush\"", 9, "\"regex\""},
		{"userName eq hush", 12, "JSON string"},
		{"userName eq \"hush", 12, "does not end"},
		{"userName eq \"hu\\sh\"", 15, "escape"},
		{"userName eq \"hush\" nor title pr", 18, "\"and\", \"or\""},
		{"(userName eq \"hush\"", 19, "not closed"},
		{"(userName eq \"hush\"]", 19, "\")\""},
		{"emails[type eq \"hush\"", 21, "not closed"},
		{"emails[type eq \"hush\" and ims[value pr]]", 29, "inside brackets"},
		{"name.givenName[value pr]", 14, "without sub-attribute"},
		{"title pr and shoeSize eq \"hush\"", 13, "\"shoeSize\": unknown attribute"},
		{"title pr and (active gt true)", 14, "gt does not go with type boolean"},
		{"meta.created gt \"hush\"", 0, "\"meta.created\": the operand of gt must be a dateTime"},
		{"userName eq 4711", 0, "the operand of eq must be a string"},
		{"emails[type eq \"x\" and size gt 4711]", 23, "\"size\": unknown sub-attribute"},
		{"password eq \"hush\"", 0, "never returned"},
		{"title gt null", 0, "eq and ne"},
		{"name eq \"hush\"", 0, "sub-attribute"},
	};
	ScimError	err;
	size_t		i;

	for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
	{
		parse_bind(errors[i].text, SCIM_STRICT, &err);
		unit_check(is_invalid_filter(&err) && err.position == errors[i].position && strstr(err.detail, errors[i].detail),
				   "%s: %s", errors[i].text, err.detail);
		unit_check(strstr(err.detail, "hush") == NULL && strstr(err.detail, "4711") == NULL, "%s: %s", errors[i].text, err.detail);
	}
}

/* ---- limits ---- */

/* n times "open", then "middle", then n times "close". */
static char *
nest(int n, const char *open, const char *middle, const char *close)
{
	size_t		o = strlen(open);
	size_t		m = strlen(middle);
	size_t		c = strlen(close);
	char	   *out = malloc(n * (o + c) + m + 1);
	int			i;

	for (i = 0; i < n; i++)
	{
		memcpy(out + i * o, open, o);
		memcpy(out + n * o + m + i * c, close, c);
	}
	memcpy(out + n * o, middle, m);
	out[n * (o + c) + m] = '\0';
	return out;
}

static void
check_limit(const char *what, char *text, bool accepted, size_t max_length, const char *detail)
{
	ScimError	err;
	ScimFilter *filter;
	ScimFilter *again;
	char	   *printed;

	memset(&err, 0, sizeof(err));
	filter = scim_filter_parse(text, strlen(text), max_length, SCIM_STRICT, &err);
	unit_check((filter != NULL) == accepted, "%s: %s", what, err.detail);
	if (filter == NULL)
		unit_check(is_invalid_filter(&err) && strstr(err.detail, detail) != NULL, "%s: %s", what, err.detail);
	else
	{
		/* no canonical text is too deep for the parser */
		printed = scim_filter_print(filter);
		again = scim_filter_parse(printed, strlen(printed), 4 * SCIM_FILTER_MAX_LENGTH, SCIM_COMPAT, &err);
		unit_check(again != NULL && strcmp(scim_filter_print(again), printed) == 0, "%s: again: %s", what, err.detail);
	}
	free(text);
}

static void
test_limits(void)
{
	char		text[3 * SCIM_FILTER_MAX_LENGTH];
	char	   *inner;
	int			n;
	int			i;

	for (n = 31; n <= 33; n++)
	{
		check_limit("parentheses", nest(n, "(", "title pr", ")"), n <= 32, 4096, "deeper than 32");
		check_limit("not", nest(n, "not (", "title pr", ")"), n <= 32, 4096, "deeper than 32");
		check_limit("groups", nest(n, "(title pr and ", "title pr", ")"), n <= 32, 4096, "deeper than 32");
		inner = nest(n, "(", "type pr", ")");
		check_limit("in brackets", nest(1, "emails[", inner, "]"), n <= 32, 4096, "deeper than 32");
		free(inner);
	}
	for (n = 300; n <= 1300; n += 500)
	{
		check_limit("bomb", nest(n, "(", "title pr", ")"), false, 4096, "deeper than 32");
		check_limit("open bomb", nest(n, "(", "", ""), false, 4096, "deeper than 32");
		check_limit("not bomb", nest(n / 2, "not(", "", ""), false, 4096, "deeper than 32");
		check_limit("bracket bomb", nest(n / 2, "a[", "", ""), false, 4096, "inside brackets");
	}
	check_limit("a megabyte", nest(500000, "(", "title pr", ")"), false, 4096, "longer than 4096");

	/* comparisons; a chain is one level, however long */
	for (n = 63; n <= 65; n++)
	{
		strcpy(text, "title pr");
		for (i = 1; i < n; i++)
			strcat(text, i % 9 ? " and title pr" : " or title pr");
		check_limit("comparisons", strdup(text), n <= 64, 4096, "more than 64");
		check_limit("chain", nest(n - 1, "(", "title pr", " or title pr)"), n <= 64, 4096, "more than 64");
	}

	/* length */
	for (n = 4095; n <= 4097; n++)
	{
		text[0] = '\0';
		for (i = 0; i < 5; i++)
		{
			int			end = i < 4 ? (i + 1) * 800 : n - 1;

			strcat(text, i ? " or title eq \"" : "title eq \"");
			while ((int) strlen(text) < end)
				strcat(text, "a");
			strcat(text, "\"");
		}
		unit_check((int) strlen(text) == n, "length of the text: %d", (int) strlen(text));
		check_limit("length", strdup(text), n <= 4096, 4096, "longer than 4096");
		check_limit("length by POST", strdup(text), true, 8192, "");
	}

	/* operand */
	for (n = 1023; n <= 1025; n++)
	{
		strcpy(text, "title eq \"");
		for (i = 0; i < n; i++)
			strcat(text, "a");
		strcat(text, "\"");
		check_limit("operand", strdup(text), n <= 1024, 4096, "longer than 1024");
	}
	for (n = 511; n <= 513; n++)
	{
		strcpy(text, "title eq \"");
		for (i = 0; i < n; i++)
			strcat(text, "\\u00e4");
		strcat(text, "\"");
		check_limit("escaped operand", strdup(text), n <= 512, 4096, "longer than 1024");
	}
	for (n = 1023; n <= 1025; n++)
	{
		inner = nest(n - 1, "1", "1", "");
		check_limit("number", nest(1, "title eq ", inner, ""), n <= 1024, 4096, "longer than 1024");
		free(inner);
	}
}

/* ---- evaluation against other forms ---- */

/* Values of another type than the schema's match nothing but ne. */
static void
test_odd_values(void)
{
	json_t	   *odd = unit_parse_json("{\"id\":\"o\",\"userName\":5,\"active\":\"true\",\"title\":[\"a\",\"b\"],"
									  "\"emails\":{\"value\":\"a@b\",\"type\":\"work\"},\"name\":\"x\",\"roles\":[{},null,[]],"
									  "\"meta\":{\"created\":\"yesterday\"},"
									  "\"" BADGE "\":{\"level\":\"5\",\"score\":9007199254740993,\"tags\":\"red\"}}");
	static const struct
	{
		const char *text;
		bool		matches;
	}			odd_cases[] = {
		{"userName eq \"5\"", false},
		{"userName ne \"5\"", true},
		{"userName pr", true},
		{"active eq true", false},
		{"active ne true", true},
		{"title eq \"b\"", true},
		{"title pr", true},
		{"emails.value eq \"a@b\"", true},
		{"emails[type eq \"work\" and value pr]", true},
		{"emails.type ne \"work\"", false},
		{"name.givenName pr", false},
		{"name.givenName ne \"x\"", true},
		{"roles pr", false},
		{"roles eq null", true},
		{"roles.value ne \"x\"", true},
		{"roles[primary eq false]", false},
		{"meta.created gt \"2000-01-01T00:00:00Z\"", false},
		{"meta.created ne \"2000-01-01T00:00:00Z\"", true},
		{"schemas eq \"x\"", false},
		{BADGE ":level eq 5", false},
		{BADGE ":level ne 5", true},
		{BADGE ":score gt 9007199254740992", true},
		{BADGE ":score lt 9007199254740994", true},
		{BADGE ":score gt 9007199254740992.0", false},
		{BADGE ":tags eq \"RED\"", true},
		{BADGE ":code eq null", true},
	};
	ScimError	err;
	size_t		i;

	for (i = 0; i < sizeof(odd_cases) / sizeof(odd_cases[0]); i++)
	{
		ScimFilter *filter = parse_bind(odd_cases[i].text, SCIM_STRICT, &err);

		/* more digits than a stored decimal has: refused, not rounded */
		if (strstr(odd_cases[i].text, "992.0"))
		{
			unit_check(filter == NULL, "%s", odd_cases[i].text);
			continue;
		}
		unit_check(filter != NULL, "%s: %s", odd_cases[i].text, err.detail);
		unit_check(filter == NULL || scim_filter_eval(unit_world_type("User"), filter, odd) == odd_cases[i].matches,
				   "%s", odd_cases[i].text);
	}
}

static void
test_template(void)
{
	static const struct
	{
		const char *text;
		const char *value;		/* NULL: none */
	}			templates[] = {
		{"emails[type eq \"work\"]", "{\"type\":\"work\"}"},
		{"emails[type eq \"work\" and primary eq true]", "{\"type\":\"work\",\"primary\":true}"},
		{"emails[type eq \"work\" and (primary eq \"True\" and value eq \"a@b\")]",
		"{\"type\":\"work\",\"primary\":true,\"value\":\"a@b\"}"},
		{"emails[type eq \"work\" and display eq null]", "{\"type\":\"work\"}"},
		{"emails[type eq \"work\" or type eq \"home\"]", NULL},
		{"emails[not (type eq \"work\")]", NULL},
		{"emails[type sw \"work\"]", NULL},
		{"emails[type pr]", NULL},
		{BADGE ":slots[rank eq 5 and since eq \"2020-01-01T00:00:00Z\"]", "{\"rank\":5,\"since\":\"2020-01-01T00:00:00Z\"}"},
		{BADGE ":slots[rank eq 5.5]", "{\"rank\":5.5}"},
		{BADGE ":tags[value eq \"x\"]", NULL},
	};
	ScimError	err;
	size_t		i;

	for (i = 0; i < sizeof(templates) / sizeof(templates[0]); i++)
	{
		ScimFilter *filter = parse_bind(templates[i].text, SCIM_COMPAT, &err);
		json_t	   *value = scim_json_object();

		unit_check(filter != NULL, "%s: %s", templates[i].text, err.detail);
		if (filter == NULL)
			continue;
		unit_check(scim_filter_template(filter->left, value) == (templates[i].value != NULL), "%s", templates[i].text);
		if (templates[i].value != NULL)
			unit_check(json_equal(value, unit_parse_json(templates[i].value)), "%s: %s", templates[i].text, json_dumps(value, 0));
	}
}

/* The same tree, bound again: against the same type, and against another one. */
static void
test_bind_again(void)
{
	static const struct
	{
		const char *text;
		bool		group;		/* a Group has the attributes, too */
	}			again[] = {
		{"displayName eq \"Babs Jensen\" and meta.created lt \"2024-01-01T00:00:00Z\"", true},
		{"meta.created gt \"2000-01-01T00:00:00+01:00\" or externalId eq \"x\"", true},
		{"emails[primary eq \"True\"].value ne \"bjensen@example.com\"", false},
	};
	ScimError	err;
	size_t		i;

	for (i = 0; i < sizeof(again) / sizeof(again[0]); i++)
	{
		ScimFilter *filter = parse_bind(again[i].text, SCIM_COMPAT, &err);
		char		was[1024];

		unit_check(filter != NULL, "%s: %s", again[i].text, err.detail);
		if (filter == NULL)
			continue;
		snprintf(was, sizeof(was), "%s", matches(filter, resources()));
		unit_check(scim_filter_bind(unit_world_type("Group"), filter, SCIM_COMPAT, &err) == again[i].group,
				   "Group: %s: %s", again[i].text, err.detail);
		memset(&err, 0, sizeof(err));
		unit_check(scim_filter_bind(unit_world_type("User"), filter, SCIM_COMPAT, &err), "%s: %s", again[i].text, err.detail);
		unit_check(strcmp(was, matches(filter, resources())) == 0, "%s", again[i].text);
	}
}

/* ---- random mutation ---- */

static uint32_t seed;

static uint32_t
next_random(uint32_t n)
{
	seed = seed * 1103515245u + 12345u;
	return (seed >> 8) % n;
}

static size_t
mutate(char *text, size_t len, size_t size, const char *other)
{
	static const char *const pieces[] = {
		"(", ")", "[", "]", " ", "\"", "\\", ".", ":", " and ", " or ", "not (", "not ", " pr", " eq ", " ne ", "null",
		"true", "1", "-", "e5", "\\u00e5", "\\ud83d\\ude00", "emails", "emails[", "].value", "type", "value", "primary",
		"\xc3\x85", "\xff", "\t", "\"x\"", "meta.created", "$ref"
	};
	int			rounds = 1 + next_random(4);

	while (rounds-- > 0)
	{
		size_t		at = next_random((uint32_t) len + 1);
		const char *piece = pieces[next_random(sizeof(pieces) / sizeof(pieces[0]))];
		size_t		n = strlen(piece);

		switch (next_random(4))
		{
			case 0:				/* insert */
				if (len + n >= size)
					break;
				memmove(text + at + n, text + at, len - at);
				memcpy(text + at, piece, n);
				len += n;
				break;
			case 1:				/* delete */
				n = next_random(8);
				if (at + n > len)
					break;
				memmove(text + at, text + at + n, len - at - n);
				len -= n;
				break;
			case 2:				/* replace a byte */
				if (at < len)
					text[at] = piece[0];
				break;
			default:			/* splice */
				n = strlen(other);
				if (at + n < size)
				{
					memcpy(text + at, other, n);
					len = at + n;
				}
				break;
		}
	}
	return len;
}

/* Accepted by strict, then by compat, with the same meaning. */
static bool
check_text(const char *text, size_t len, ScimMode mode)
{
	ScimError	err;
	ScimFilter *filter = parse(text, len, mode, &err);
	ScimFilter *again;
	ScimFilter *compat;
	char	   *printed;
	char		was[1024];

	if (filter == NULL)
	{
		unit_check(is_invalid_filter(&err) && err.position >= 0 && (size_t) err.position <= len, "%.*s: %s", (int) len, text, err.detail);
		return false;
	}
	printed = scim_filter_print(filter);
	memset(&err, 0, sizeof(err));
	again = scim_filter_parse(printed, strlen(printed), 8 * SCIM_FILTER_MAX_LENGTH, SCIM_COMPAT, &err);
	unit_check(again != NULL && strcmp(scim_filter_print(again), printed) == 0, "%.*s: again: %s %s", (int) len, text, printed, err.detail);
	if (again == NULL)
		return false;
	memset(&err, 0, sizeof(err));
	if (!scim_filter_bind(unit_world_type("User"), filter, mode, &err))
	{
		unit_check(is_invalid_filter(&err), "%s: %s", printed, err.detail);
		return false;
	}
	snprintf(was, sizeof(was), "%s", matches(filter, resources()));
	unit_check(scim_filter_bind(unit_world_type("User"), again, mode, &err) && strcmp(was, matches(again, resources())) == 0,
			   "%s: another meaning", printed);
	if (mode == SCIM_STRICT)
	{
		compat = parse(text, len, SCIM_COMPAT, &err);
		unit_check(compat != NULL && scim_filter_bind(unit_world_type("User"), compat, SCIM_COMPAT, &err) &&
				   strcmp(was, matches(compat, resources())) == 0, "%s: compat differs", printed);
	}
	return true;
}

static void
test_random(void)
{
	const json_t *vectors;
	size_t		n;
	int			accepted = 0;
	int			i;

	resources();
	vectors = json_object_get(file, "vectors");
	n = json_array_size(vectors);
	seed = 20240229;
	for (i = 0; i < 30000; i++)
	{
		const char *one = json_string_value(json_object_get(json_array_get(vectors, next_random(n)), "filter"));
		const char *two = json_string_value(json_object_get(json_array_get(vectors, next_random(n)), "filter"));
		char		text[SCIM_FILTER_MAX_LENGTH];
		char	   *exact;
		size_t		len = strlen(one);

		memcpy(text, one, len);
		len = mutate(text, len, sizeof(text), two);
		/* no terminator: reading on must be seen */
		exact = malloc(len ? len : 1);
		memcpy(exact, text, len);
		accepted += check_text(exact, len, SCIM_STRICT);
		accepted += check_text(exact, len, SCIM_COMPAT);
		free(exact);
		if (i % 500 == 0)
			unit_world_fresh();
	}
	unit_check(accepted > 2000, "only %d filters accepted", accepted);
	printf("%d of 60000 mutated filters accepted\n", accepted);
}

/* ---- lack of memory ---- */

static void
test_torture(void)
{
	static const char *const texts[] = {
		"userName eq \"\xc3\x85sa\" and not (emails[type eq \"work\" and value co \"example\"])",
		"emails[primary eq \"True\"].value ne \"x\" or " BADGE ":level gt 5",
		"meta.created gt \"2000-01-01T00:00:00Z\" and " ENT ":manager.displayName sw \"J\"",
	};
	ScimError	err;
	size_t		i;
	long		n;

	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
	{
		for (n = 1; n < 200; n++)
		{
			ScimFilter *filter;

			scim_alloc_fail_at(n);
			filter = parse_bind(texts[i], SCIM_COMPAT, &err);
			if (filter != NULL)
			{
				matches(filter, resources());
				scim_filter_print(filter);
			}
			else
				unit_check(err.status == 413, "%s: %ld: %s", texts[i], n, err.detail);
			if (scim_alloc_count() < n)
				break;
		}
		unit_check(n > 5 && n < 200, "%s: %ld allocations", texts[i], n);
		scim_alloc_fail_at(0);
	}
}

int
main(void)
{
	unit_run("vectors", test_vectors);
	unit_run("cases", test_cases);
	unit_run("errors", test_errors);
	unit_run("limits", test_limits);
	unit_run("odd_values", test_odd_values);
	unit_run("template", test_template);
	unit_run("bind_again", test_bind_again);
	unit_run("random", test_random);
	unit_run("torture", test_torture);
	return unit_finish();
}
