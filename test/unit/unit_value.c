/*
 * unit_value.c
 *		Single values: dateTime (grammar; arithmetic against the C library's),
 *		base64, types, order, sameness, cost, lack of memory.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE				/* timegm() */
#endif

#include "unit.h"
#include "unit_world.h"

#include <time.h>

#include "core_multi.h"
#include "core_value.h"

#define SEC INT64_C(1000000)

/* ---- dateTime ---- */

static void
test_datetime(void)
{
	/* the text, what it is in UTC; NULL: no dateTime */
	static const char *const cases[][2] = {
		{"1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"},
		{"1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"},
		{"2024-02-29T12:00:00+01:00", "2024-02-29T11:00:00Z"},
		{"2024-02-29T23:30:00-01:00", "2024-03-01T00:30:00Z"},
		{"2000-02-29T00:00:00", "2000-02-29T00:00:00Z"},	/* no zone: UTC */
		{"2011-05-13T04:42:34.5Z", "2011-05-13T04:42:34.5Z"},
		{"2011-05-13T04:42:34.500Z", "2011-05-13T04:42:34.5Z"},
		{"2011-05-13T04:42:34.000Z", "2011-05-13T04:42:34Z"},
		{"2011-05-13T04:42:34.1234567Z", "2011-05-13T04:42:34.123456Z"},
		{"2011-05-13T04:42:34.0000001Z", "2011-05-13T04:42:34Z"},
		{"2011-05-13T04:42:34.00000000000000000000000000000000000000000001Z", "2011-05-13T04:42:34Z"},
		{"2011-05-13T24:00:00Z", "2011-05-14T00:00:00Z"},
		{"2011-12-31T24:00:00.000Z", "2012-01-01T00:00:00Z"},
		{"2011-05-13T04:42:34+14:00", "2011-05-12T14:42:34Z"},
		{"2011-05-13T04:42:34-14:00", "2011-05-13T18:42:34Z"},
		{"2011-05-13T04:42:34+00:00", "2011-05-13T04:42:34Z"},
		{"2011-05-13T04:42:34-00:00", "2011-05-13T04:42:34Z"},
		{"2011-05-13T04:42:34.25+05:30", "2011-05-12T23:12:34.25Z"},
		{"0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"},
		{"0001-01-01T00:00:00-00:01", "0001-01-01T00:01:00Z"},
		{"9999-12-31T23:59:59.9999999Z", "9999-12-31T23:59:59.999999Z"},
		{"9999-12-31T23:59:59+00:01", "9999-12-31T23:58:59Z"},
		{"1900-02-28T00:00:00Z", "1900-02-28T00:00:00Z"},
		/* what cannot be said in UTC with a year of four digits */
		{"0001-01-01T00:00:00+00:01", NULL}, {"9999-12-31T23:59:59.5-00:01", NULL}, {"9999-12-31T24:00:00Z", NULL},
		{"0000-01-01T00:00:00Z", NULL}, {"10000-01-01T00:00:00Z", NULL}, {"-0001-01-01T00:00:00Z", NULL},
		/* dates that are none */
		{"2023-02-29T00:00:00Z", NULL}, {"1900-02-29T00:00:00Z", NULL}, {"2100-02-29T00:00:00Z", NULL},
		{"2023-04-31T00:00:00Z", NULL}, {"2023-00-01T00:00:00Z", NULL}, {"2023-13-01T00:00:00Z", NULL},
		{"2023-01-00T00:00:00Z", NULL}, {"2023-01-32T00:00:00Z", NULL},
		/* times that are none */
		{"2023-01-01T25:00:00Z", NULL}, {"2023-01-01T24:00:01Z", NULL}, {"2023-01-01T24:01:00Z", NULL},
		{"2023-01-01T24:00:00.1Z", NULL}, {"2023-01-01T24:00:00.0000001Z", NULL}, {"2023-01-01T00:60:00Z", NULL},
		{"2023-01-01T00:00:60Z", NULL}, {"2016-12-31T23:59:60Z", NULL},
		/* zones that are none */
		{"2023-01-01T00:00:00+14:01", NULL}, {"2023-01-01T00:00:00-15:00", NULL}, {"2023-01-01T00:00:00+00:60", NULL},
		{"2023-01-01T00:00:00+1:00", NULL}, {"2023-01-01T00:00:00+0100", NULL}, {"2023-01-01T00:00:00+01", NULL},
		{"2023-01-01T00:00:00+", NULL}, {"2023-01-01T00:00:00z", NULL}, {"2023-01-01T00:00:00ZZ", NULL},
		{"2023-01-01T00:00:00 Z", NULL}, {"2023-01-01T00:00:00UTC", NULL}, {"2023-01-01T00:00:00+01:00Z", NULL},
		{"2023-01-01T00:00:00+01:0", NULL}, {"2023-01-01T00:00:00+01:000", NULL}, {"2023-01-01T00:00:00+ab:cd", NULL},
		/* shapes */
		{"", NULL}, {"yesterday", NULL}, {"2023", NULL}, {"2023-01-01", NULL}, {"2023-01-01T", NULL}, {"2023-01-01T00", NULL},
		{"2023-01-01T00:00", NULL}, {"2023-01-01T00:00Z", NULL}, {"2023-01-01 00:00:00Z", NULL}, {"2023-01-01t00:00:00Z", NULL},
		{"2023-1-01T00:00:00Z", NULL}, {"23-01-01T00:00:00Z", NULL}, {"2023-01-01T00:00:00.Z", NULL}, {"2023-01-01T00:00:00.", NULL},
		{"2023-01-01T00:00:00,5Z", NULL}, {" 2023-01-01T00:00:00Z", NULL}, {"2023-01-01T00:00:00Z ", NULL},
		{"2023-01-01T0:00:00Z", NULL}, {"20230101T000000Z", NULL}, {"+2023-01-01T00:00:00Z", NULL}, {"2023-01-01T00:00:0", NULL},
		{"2023/01/01T00:00:00Z", NULL}, {"2023-01-01T00.00.00Z", NULL}, {"2023-01-01T00:00:00.5.5Z", NULL}, {"1683952954", NULL},
		{"2023-01-01T00:00:00.-5Z", NULL}, {"\xD9\xA2\xD9\xA0\xD9\xA2\xD9\xA3-01-01T00:00:00Z", NULL},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		int64_t		usec = 0;
		int64_t		again;
		char		buf[SCIM_DATETIME_SIZE] = "";
		bool		parsed = scim_datetime_parse(cases[i][0], strlen(cases[i][0]), &usec);

		if (cases[i][1] == NULL)
		{
			unit_check(!parsed, "%s is taken for a dateTime", cases[i][0]);
			continue;
		}
		if (parsed)
			scim_datetime_print(usec, buf);
		unit_check(parsed && strcmp(buf, cases[i][1]) == 0, "%s: %s", cases[i][0], buf);
		unit_check(scim_datetime_parse(buf, strlen(buf), &again) && again == usec, "%s: %s is another time", cases[i][0], buf);
		/* every part of it is none, but for a whole dateTime without its zone or fraction */
		for (size_t n = 0; n < 19; n++)
			unit_check(!scim_datetime_parse(cases[i][0], n, &again), "%.*s is taken for a dateTime", (int) n, cases[i][0]);
	}
}

static void
test_datetime_arithmetic(void)
{
	uint64_t	seed = 1;
	int			good = 0;
	const int	all = 200000;

	for (int i = 0; i < all; i++)
	{
		struct tm	tm;
		char		text[SCIM_DATETIME_SIZE];
		char		printed[SCIM_DATETIME_SIZE];
		int64_t		usec;

		seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		memset(&tm, 0, sizeof(tm));
		tm.tm_year = (int) (seed >> 33) % 9999 + 1 - 1900;
		tm.tm_mon = (int) (seed >> 20 & 0xFFFF) % 12;
		/* the last days of a month more often than not */
		tm.tm_mday = 27 + (int) (seed >> 8 & 0xFF) % 5;
		tm.tm_hour = (int) (seed >> 40 & 0xFF) % 24;
		tm.tm_min = (int) (seed >> 48 & 0xFF) % 60;
		tm.tm_sec = (int) (seed >> 56 & 0xFF) % 60;
		snprintf(text, sizeof(text), "%04u-%02u-%02uT%02u:%02u:%02uZ", (unsigned) (tm.tm_year + 1900) % 10000,
				 (unsigned) (tm.tm_mon + 1) % 100, (unsigned) tm.tm_mday % 100, (unsigned) tm.tm_hour % 100,
				 (unsigned) tm.tm_min % 100, (unsigned) tm.tm_sec % 100);
		if (scim_datetime_parse(text, strlen(text), &usec))
		{
			scim_datetime_print(usec, printed);
			if (usec == (int64_t) timegm(&tm) * SEC && strcmp(text, printed) == 0)
				good++;
			else
				unit_check(false, "%s: %lld, printed %s", text, (long long) usec, printed);
		}
		else
		{
			int			day = tm.tm_mday;

			/* a day that the month does not have: the C library moves on */
			timegm(&tm);
			if (tm.tm_mday != day)
				good++;
			else
				unit_check(false, "%s is refused", text);
		}
	}
	unit_check(good == all, "%d of %d dates", good, all);

	/* any microsecond, from the first to the last there is */
	good = 0;
	for (int i = 0; i < all; i++)
	{
		char		text[SCIM_DATETIME_SIZE];
		int64_t		usec;
		int64_t		again = 0;

		seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		usec = (int64_t) (seed >> 1) % (INT64_C(253402300800) * SEC);
		usec = i % 2 ? usec : -usec / 5;
		usec = i % 3 ? usec : usec / SEC * SEC;
		scim_datetime_print(usec, text);
		if (scim_datetime_parse(text, strlen(text), &again) && again == usec)
			good++;
		else
			unit_check(false, "%lld is printed as %s, which is %lld", (long long) usec, text, (long long) again);
	}
	unit_check(good == all, "%d of %d microseconds", good, all);
}

/* ---- binary ---- */

static void
test_base64(void)
{
	static const char *const good[] = {
		"", "AA==", "AA", "AAA=", "AAA", "AAAA", "aGVsbG8=", "aGVsbG8", "+/+/", "-_-_", "-_8", "+/8=", "AAAAAAAA", "zz09AZ"
	};
	static const char *const bad[] = {
		"A", "AAAAA", "=", "==", "====", "A=", "A==", "A===", "AA=", "AA===", "AAA==", "AAAA=", "AAAA==", "AAAA====", "A=AA",
		"=AAA", "AA AA", "AAA\n", " AAAA", "***", "AA+_", "+/-_", "AAAA,", ("\xC3\xA9" "AA"), "AA==AA=="
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		unit_check(scim_base64_valid(good[i], strlen(good[i])), "base64: %s is refused", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		unit_check(!scim_base64_valid(bad[i], strlen(bad[i])), "base64: %s is accepted", bad[i]);
	unit_check(!scim_base64_valid("AAA\0", 4), "base64: a zero byte");

	/* what an encoder makes is taken, with and without padding */
	for (int n = 0; n < 50; n++)
	{
		static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
		char		text[100];
		int			len = 0;

		for (int bits = 0; bits < 8 * n; bits += 6)
			text[len++] = letters[(bits * 7 + n) % 64];
		unit_check(scim_base64_valid(text, len), "%d bytes without padding", n);
		while (len % 4)
			text[len++] = '=';
		unit_check(scim_base64_valid(text, len), "%d bytes with padding", n);
	}
}

/* ---- types ---- */

static ScimAttr
simple(ScimType type, bool case_exact)
{
	ScimAttr	attr;

	memset(&attr, 0, sizeof(attr));
	attr.name = "x";
	attr.type = type;
	attr.case_exact = case_exact;
	return attr;
}

static void
test_fits(void)
{
	static const char *const values[] = {
		"\"abc\"", "\"\"", "true", "1", "1.5", "1e3", "null", "[]", "{}", "\"2024-02-29T12:00:00Z\"", "\"aGVsbG8=\"", "\"***\""
	};
	static const char *const fits[] = {	/* a line for each type */
		"++-------+++", "--+---------", "---+++------", "---+--------", "---------+--", "++-------+++", "++--------+-", "--------+---"
	};

	for (int type = SCIM_TYPE_STRING; type <= SCIM_TYPE_COMPLEX; type++)
		for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		{
			ScimAttr	attr = simple((ScimType) type, false);

			unit_check(scim_value_fits(&attr, unit_parse_core(values[i])) == (fits[type][i] == '+'), "%s as %s", values[i],
					   scim_type_name((ScimType) type));
		}
	scim_arena_reset();
}

static void
test_compare(void)
{
	static const struct
	{
		ScimType	type;
		bool		case_exact;
		const char *a;
		const char *b;
		int			order;
	}			cases[] = {
		{SCIM_TYPE_STRING, false, "\"abc\"", "\"ABC\"", 0}, {SCIM_TYPE_STRING, true, "\"abc\"", "\"ABC\"", 1},
		{SCIM_TYPE_STRING, false, "\"a\"", "\"B\"", -1}, {SCIM_TYPE_STRING, true, "\"a\"", "\"B\"", 1},
		{SCIM_TYPE_STRING, false, "\"a\"", "\"ab\"", -1}, {SCIM_TYPE_STRING, false, "\"AB\"", "\"a\"", 1},
		{SCIM_TYPE_STRING, false, "\"\"", "\"\"", 0}, {SCIM_TYPE_STRING, false, "\"\"", "\"a\"", -1},
		{SCIM_TYPE_STRING, false, "\"_\"", "\"A\"", -1}, {SCIM_TYPE_STRING, false, "\"_\"", "\"a\"", -1},
		{SCIM_TYPE_STRING, true, "\"_\"", "\"A\"", 1}, {SCIM_TYPE_STRING, true, "\"_\"", "\"a\"", -1},
		{SCIM_TYPE_STRING, false, "\"\xC3\x85sa\"", "\"\xC3\xA5SA\"", 0}, {SCIM_TYPE_STRING, true, "\"\xC3\x85sa\"", "\"\xC3\xA5SA\"", -1},
		{SCIM_TYPE_STRING, false, "\"z\"", "\"\xC3\xA5\"", -1}, {SCIM_TYPE_STRING, false, "\"\xC3\xA5\"", "\"z\"", 1},
		{SCIM_TYPE_STRING, false, "\"a\"", "\"a\xCC\x8A\"", -1}, {SCIM_TYPE_STRING, false, "\"A\xCC\x8A\"", "\"\xC3\xA5\"", 0},
		/* as bytes of UTF-8, not of UTF-16 */
		{SCIM_TYPE_STRING, false, "\"\xEF\xBF\xBD\"", "\"\xF0\x90\x80\x80\"", -1},
		{SCIM_TYPE_STRING, false, "\"Straße\"", "\"STRASSE\"", 0},
		/* of a reference, case counts whatever the schema says */
		{SCIM_TYPE_REFERENCE, false, "\"../Users/A\"", "\"../Users/a\"", -1}, {SCIM_TYPE_BINARY, false, "\"AA==\"", "\"aa==\"", -1},
		{SCIM_TYPE_BOOLEAN, false, "true", "true", 0}, {SCIM_TYPE_BOOLEAN, false, "false", "true", -1},
		{SCIM_TYPE_INTEGER, false, "1", "2", -1}, {SCIM_TYPE_INTEGER, false, "-1", "-2", 1}, {SCIM_TYPE_INTEGER, false, "7", "7", 0},
		{SCIM_TYPE_INTEGER, false, "9223372036854775807", "9223372036854775806", 1},
		{SCIM_TYPE_INTEGER, false, "-9223372036854775808", "9223372036854775807", -1},
		{SCIM_TYPE_DECIMAL, false, "1.5", "2", -1}, {SCIM_TYPE_DECIMAL, false, "2.0", "2", 0}, {SCIM_TYPE_DECIMAL, false, "2", "2.0", 0},
		{SCIM_TYPE_DECIMAL, false, "2", "1.5", 1}, {SCIM_TYPE_DECIMAL, false, "0.1", "0.1", 0}, {SCIM_TYPE_DECIMAL, false, "-0.0", "0", 0},
		{SCIM_TYPE_DECIMAL, false, "0.2", "0.1", 1}, {SCIM_TYPE_DECIMAL, false, "-1.5", "-1", -1},
		{SCIM_TYPE_DECIMAL, false, "9223372036854775807", "1e300", -1}, {SCIM_TYPE_DECIMAL, false, "1e300", "1", 1},
		{SCIM_TYPE_DECIMAL, false, "-9223372036854775808", "-1e300", 1}, {SCIM_TYPE_DECIMAL, false, "-1e300", "-9223372036854775808", -1},
		{SCIM_TYPE_DECIMAL, false, "1000000000000000001", "1e18", 1}, {SCIM_TYPE_DECIMAL, false, "1e18", "1000000000000000001", -1},
		{SCIM_TYPE_DECIMAL, false, "999999999999999999", "1e18", -1}, {SCIM_TYPE_DECIMAL, false, "1000000000000000000", "1e18", 0},
		{SCIM_TYPE_DATETIME, false, "\"2024-02-29T12:00:00+01:00\"", "\"2024-02-29T11:00:00Z\"", 0},
		{SCIM_TYPE_DATETIME, false, "\"2024-02-29T12:00:00+01:00\"", "\"2024-02-29T11:30:00Z\"", -1},
		{SCIM_TYPE_DATETIME, false, "\"2024-02-29T12:00:00Z\"", "\"2024-02-29T11:30:00.5Z\"", 1},
		/* what does not fit has an order all the same */
		{SCIM_TYPE_DATETIME, false, "\"x\"", "\"y\"", -1}, {SCIM_TYPE_STRING, false, "1", "\"a\"", 1},
		{SCIM_TYPE_STRING, false, "null", "null", 0}, {SCIM_TYPE_BOOLEAN, false, "true", "\"true\"", 1},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		ScimAttr	attr = simple(cases[i].type, cases[i].case_exact);
		json_t	   *a = unit_parse_core(cases[i].a);
		json_t	   *b = unit_parse_core(cases[i].b);
		int			ab = scim_value_compare(&attr, a, b);
		int			ba = scim_value_compare(&attr, b, a);

		unit_check((ab > 0) - (ab < 0) == cases[i].order && (ba > 0) - (ba < 0) == -cases[i].order, "%s, %s: %d, %d", cases[i].a,
				   cases[i].b, ab, ba);
	}

	/* folded strings order as their folds do, whatever the way they are compared */
	{
		static const char *const texts[] = {"", "A", "a", "B", "_", "Z", "ab", "aB", "\xC3\x85", "\xC3\xA5", "a\xC3\xA5", "\xEF\xBC\xA1", "ss", "\xC3\x9F", "~"};
		const int	n = sizeof(texts) / sizeof(texts[0]);
		ScimAttr	attr = simple(SCIM_TYPE_STRING, false);
		ScimCoreFrame frame;
		json_t	   *v[sizeof(texts) / sizeof(texts[0])];

		scim_core_enter(&frame);
		for (int i = 0; i < n; i++)
			v[i] = json_string(texts[i]);
		scim_core_leave(&frame);
		for (int i = 0; i < n; i++)
			for (int j = 0; j < n; j++)
				for (int k = 0; k < n; k++)
				{
					int			ij = scim_value_compare(&attr, v[i], v[j]);
					int			jk = scim_value_compare(&attr, v[j], v[k]);
					int			ik = scim_value_compare(&attr, v[i], v[k]);

					unit_check(!(ij <= 0 && jk <= 0) || (ij == 0 && jk == 0 ? ik == 0 : ik <= 0), "order of %s, %s, %s", texts[i],
							   texts[j], texts[k]);
				}
	}
	scim_arena_reset();
}

/* ---- sameness ---- */

static void
test_same(void)
{
	static const struct
	{
		const char *type;
		const char *attr;
		const char *a;			/* NULL: absent */
		const char *b;
		bool		same;
	}			cases[] = {
		{"User", "title", "\"a\"", "\"a\"", true}, {"User", "title", "\"a\"", "\"A\"", false}, {"User", "title", "\"a\"", "\"b\"", false},
		{"User", "title", NULL, NULL, true}, {"User", "title", NULL, "null", true}, {"User", "title", "null", "null", true},
		{"User", "title", NULL, "\"\"", false}, {"User", "title", "\"a\"", "[\"a\"]", false}, {"User", "title", "\"1\"", "1", false},
		{"User", "active", "false", NULL, false}, {"User", "active", "false", "false", true}, {"User", "active", "true", "false", false},
		{"User", "emails", NULL, "[]", true}, {"User", "emails", "null", "[]", true}, {"User", "emails", "{}", "[]", true},
		{"User", "emails", "[{}]", "[]", false},
		{"User", "name", "{}", NULL, true}, {"User", "name", "{\"givenName\":null}", NULL, true},
		{"User", "name", "{\"givenName\":\"a\"}", "{\"givenName\":\"a\",\"familyName\":null}", true},
		{"User", "name", "{\"givenName\":\"a\",\"familyName\":\"b\"}", "{\"familyName\":\"b\",\"givenName\":\"a\"}", true},
		{"User", "name", "{\"givenName\":\"a\"}", "{\"givenName\":\"b\"}", false},
		{"User", "name", "{\"givenName\":\"a\"}", "\"a\"", false},
		/* what the schema does not know is no part of the value */
		{"User", "name", "{\"givenName\":\"a\",\"x\":1}", "{\"givenName\":\"a\"}", true},
		{"User", "emails", "[{\"value\":\"a\"},{\"value\":\"b\"}]", "[{\"value\":\"b\"},{\"value\":\"a\"}]", true},
		{"User", "emails", "[{\"value\":\"a\"},{\"value\":\"b\"}]", "[{\"value\":\"b\"},{\"value\":\"b\"}]", false},
		{"User", "emails", "[{\"value\":\"a\"},{\"value\":\"a\"}]", "[{\"value\":\"a\"}]", false},
		{"User", "emails", "[{\"value\":\"a\",\"primary\":false}]", "[{\"value\":\"a\"}]", true},
		{"User", "emails", "[{\"value\":\"a\",\"primary\":true}]", "[{\"value\":\"a\"}]", false},
		{"User", "emails", "[{\"value\":\"a\",\"type\":\"work\"}]", "[{\"value\":\"a\",\"type\":\"Work\"}]", false},
		{"User", "emails", "[{\"value\":\"a\",\"type\":null}]", "[{\"value\":\"a\"}]", true},
		{"User", "emails", "[\"a\",{\"value\":\"a\"}]", "[{\"value\":\"a\"},\"a\"]", true},
		{"User", "emails", "[null,1]", "[1,null]", true}, {"User", "emails", "[null]", "[{}]", false},
		{"Device", "codes", "[1,2,3]", "[3,1,2]", true}, {"Device", "codes", "[1,2,3]", "[3,1,1]", false},
		{"Device", "codes", "[1,2.0]", "[2,1.0]", true}, {"Device", "codes", "[0]", "[-0.0]", true}, {"Device", "codes", "[1,-0.0]", "[0,1]", true}, {"Device", "codes", "[1]", "[1.5]", false},
		{"Device", "codes", "[1]", "[\"1\"]", false}, {"Device", "codes", "[[1,2]]", "[[1,2]]", true}, {"Device", "codes", "[[1],3]", "[3,[1]]", true},
		{"Device", "flags", "[true,false]", "[false,true]", true}, {"Device", "flags", "[true,true]", "[false,true]", false},
		/* exactly, an instant written in another way is a change */
		{"Device", "times", "[\"2024-01-01T00:00:00Z\"]", "[\"2024-01-01T00:00:00+00:00\"]", false},
		{"Device", "ports", "[{\"value\":1,\"aliases\":[\"a\",\"b\"]},{\"value\":2}]", "[{\"value\":2.0,\"aliases\":[]},{\"value\":1,\"aliases\":[\"b\",\"a\"]}]", true},
		{"Device", "ports", "[{\"value\":1,\"aliases\":[\"a\",\"b\"]},{\"value\":2}]", "[{\"value\":2},{\"value\":1,\"aliases\":[\"b\",\"b\"]}]", false},
		{"Device", "ports", "[{\"value\":1,\"aliases\":\"a\"},1]", "[1,{\"value\":1,\"aliases\":[\"a\"]}]", false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		const ScimAttr *attr;
		json_t	   *a;
		json_t	   *b;

		unit_world_fresh();
		attr = scim_type_attr(unit_world_type(cases[i].type), SCIM_EXT_CORE, cases[i].attr, strlen(cases[i].attr));
		a = cases[i].a ? unit_parse_core(cases[i].a) : NULL;
		b = cases[i].b ? unit_parse_core(cases[i].b) : NULL;
		unit_check(scim_value_same(attr, a, b) == cases[i].same, "%s: %s, %s", cases[i].attr, cases[i].a ? cases[i].a : "-",
				   cases[i].b ? cases[i].b : "-");
		unit_check(scim_value_same(attr, b, a) == cases[i].same, "%s: %s, %s", cases[i].attr, cases[i].b ? cases[i].b : "-",
				   cases[i].a ? cases[i].a : "-");
		unit_check(scim_value_same(attr, a, a) && scim_value_same(attr, b, b), "%s: itself", cases[i].attr);
	}
	unit_world_fresh();
}

/* Twice the values, shuffled; in some all are alike, or nearly. */
static void
make_lists(int n, int kind, bool differ, json_t **a, json_t **b)
{
	ScimCoreFrame frame;
	uint64_t	seed = 5 + n;

	scim_core_enter(&frame);
	*a = json_array();
	*b = json_array();
	for (int i = 0; i < n; i++)
	{
		char		text[64];
		json_t	   *value = scim_json_object();
		json_t	   *twin = scim_json_object();

		snprintf(text, sizeof(text), "user%d@example.com", kind == 0 ? i : kind == 1 ? 0 : i % 7);
		json_object_set_new(value, "value", json_string(text));
		if (differ && i == n / 2)
			text[0] = 'x';
		json_object_set_new(twin, "value", json_string(text));
		json_array_append_new(*a, value);
		json_array_append_new(*b, twin);
	}
	for (int i = n; i-- > 1;)
	{
		json_t	   *x;
		int			j;

		seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		j = (int) ((seed >> 33) % (uint64_t) (i + 1));
		x = json_incref(json_array_get(*b, i));
		json_array_set(*b, i, json_array_get(*b, j));
		json_array_set_new(*b, j, x);
	}
	scim_core_leave(&frame);
}

static void
test_same_lists(void)
{
	static const int sizes[] = {2, 3, 15, 16, 17, 18, 33, 1000, 60000};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (int kind = 0; kind < 3; kind++)
			for (int differ = 0; differ < 2; differ++)
			{
				const ScimAttr *attr;
				json_t	   *a;
				json_t	   *b;
				clock_t		start;
				double		seconds;

				unit_world_fresh();
				attr = scim_type_attr(unit_world_type("User"), SCIM_EXT_CORE, "emails", 6);
				make_lists(sizes[i], kind, differ, &a, &b);
				start = clock();
				unit_check(scim_value_same(attr, a, b) == !differ, "%d values of kind %d", sizes[i], kind);
				seconds = (double) (clock() - start) / CLOCKS_PER_SEC;
				unit_check(seconds < 1.0, "%d values of kind %d: %.2f s", sizes[i], kind, seconds);
			}
	unit_world_fresh();
}

/* ---- identity, which is weaker ---- */

static void
test_multi(void)
{
	const ScimAttr *emails;
	const ScimAttr *members;
	ScimMultiSet set;
	ScimError	err;
	uint64_t	hash;
	json_t	   *list;

	unit_world_fresh();
	memset(&err, 0, sizeof(err));
	emails = scim_type_attr(unit_world_type("User"), SCIM_EXT_CORE, "emails", 6);
	members = scim_type_attr(unit_world_type("Group"), SCIM_EXT_CORE, "members", 7);
	unit_check(!scim_multi_is_reference(emails) && scim_multi_is_reference(members), "references");

	list = unit_parse_core("[{\"value\":\"a\",\"type\":\"work\"},{\"value\":\"A\",\"type\":\"home\"},{\"type\":\"other\"},\"x\",{\"display\":\"\xC3\x85\"}]");
	scim_multi_init(&set, emails, false);
	unit_check(scim_multi_add_all(&set, list, &err) && set.nitems == 5, "a list is taken over");
	unit_check(scim_multi_find(&set, unit_parse_core("{\"value\":\"A\",\"type\":\"WORK\",\"primary\":true}"), &hash, &err) == 0, "value and type");
	unit_check(scim_multi_find(&set, unit_parse_core("{\"value\":\"a\"}"), &hash, &err) == -1, "value without type");
	unit_check(scim_multi_find(&set, unit_parse_core("{\"type\":\"Other\"}"), &hash, &err) == 2, "type alone");
	unit_check(scim_multi_find(&set, unit_parse_core("\"x\""), &hash, &err) == 3, "no object");
	unit_check(scim_multi_find(&set, unit_parse_core("{\"display\":\"\xC3\xA5\"}"), &hash, &err) == 4, "without value and type");
	scim_multi_init(&set, emails, true);
	scim_multi_add_all(&set, list, &err);
	unit_check(scim_multi_find(&set, unit_parse_core("{\"value\":\"A\"}"), &hash, &err) == 0, "by value alone");
	scim_multi_init(&set, members, false);
	scim_multi_add_all(&set, list, &err);
	unit_check(scim_multi_find(&set, unit_parse_core("{\"value\":\"A\"}"), &hash, &err) == 1, "ids with their case");
	unit_check(err.status == 0, "no error");
	unit_world_fresh();
}

/* ---- lack of memory ---- */

static void
test_torture(void)
{
	ScimAttr	attr = simple(SCIM_TYPE_STRING, false);
	const ScimAttr *emails;
	json_t	   *a;
	json_t	   *b;

	unit_world_fresh();
	emails = scim_type_attr(unit_world_type("User"), SCIM_EXT_CORE, "emails", 6);
	a = unit_parse_core("\"\xC3\x85sa\"");
	b = unit_parse_core("\"\xC3\xA5sA\"");
	for (long n = 1; n < 30; n++)
	{
		int			order;

		scim_alloc_fail_once(n);
		order = scim_value_compare(&attr, a, b);
		unit_check(order == 0 || scim_alloc_failed(), "compare, allocation %ld: %d", n, order);
	}
	scim_alloc_fail_at(0);
	make_lists(40, 0, false, &a, &b);
	scim_alloc_fail_at(1);
	unit_check(!scim_value_same(emails, a, b) && scim_alloc_failed(), "a comparison that fails says so");
	scim_alloc_fail_at(0);
	unit_check(scim_value_same(emails, a, b) && !scim_alloc_failed(), "with memory they are the same");
	unit_world_fresh();
}

int
main(void)
{
	unit_run("datetime", test_datetime);
	unit_run("datetime_arithmetic", test_datetime_arithmetic);
	unit_run("base64", test_base64);
	unit_run("fits", test_fits);
	unit_run("compare", test_compare);
	unit_run("same", test_same);
	unit_run("same_lists", test_same_lists);
	unit_run("multi", test_multi);
	unit_run("torture", test_torture);
	return unit_finish();
}
