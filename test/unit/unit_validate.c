/*
 * unit_validate.c
 *		Bodies of POST and PUT against the schema, single values, the check of
 *		a final state, reports, lack of memory.
 */
#include "unit.h"
#include "unit_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core_validate.h"

static void
check_case(const json_t *item, int number, ScimMode mode)
{
	const char *id = json_string_value(json_object_get(item, "id"));
	const ScimResourceType *type = unit_world_type(json_string_value(json_object_get(item, "resourceType")));
	const json_t *body = json_object_get(item, "body");
	const json_t *error = json_object_get(item, "error");
	const json_t *report_wanted = json_object_get(item, "report");
	const json_t *ignored = json_object_get(item, "ignored");
	const char *detail = json_string_value(json_object_get(item, "detail"));
	const char *mode_name = mode == SCIM_STRICT ? "strict" : "compat";
	json_t	   *copy = json_deep_copy(body);
	ScimReport	report;
	ScimError	err;
	json_t	   *wanted;
	size_t		i;

	memset(&report, 0, sizeof(report));
	memset(&err, 0, sizeof(err));
	wanted = scim_resource_wanted(type, body, json_object_get(item, "current"), mode,
								  json_is_true(json_object_get(item, "refuseUnknown")), &report, &err);
	unit_check(json_equal(body, copy), "%d %s (%s): the body was modified", number, id, mode_name);
	if (error != NULL)
	{
		unit_check(wanted == NULL && err.status == 400 && err.scim_type != NULL &&
				   strcmp(err.scim_type, json_string_value(json_object_get(error, "scimType"))) == 0,
				   "%d %s (%s): wants %s, got %d %s (%s)", number, id, mode_name,
				   json_string_value(json_object_get(error, "scimType")), err.status,
				   err.scim_type ? err.scim_type : "-", err.detail);
		unit_check(detail == NULL || strstr(err.detail, detail) != NULL, "%d %s (%s): detail \"%s\" lacks \"%s\"",
				   number, id, mode_name, err.detail, detail);
		return;
	}
	unit_check(wanted != NULL, "%d %s (%s): refused with %d %s (%s)", number, id, mode_name, err.status,
			   err.scim_type ? err.scim_type : "-", err.detail);
	if (wanted == NULL)
		return;
	unit_check(unit_same_state(json_object_get(item, "wanted"), wanted, true), "%d %s (%s): got %s", number, id,
			   mode_name, json_dumps(wanted, 0));
	unit_check(json_object_get(wanted, "id") == NULL && json_object_get(wanted, "meta") == NULL,
			   "%d %s (%s): id or meta in the result", number, id, mode_name);
	for (i = 0; i < json_array_size(report_wanted); i++)
	{
		const char *name = json_string_value(json_array_get(report_wanted, i));

		unit_check(unit_rewrites(&report, name) > 0, "%d %s (%s): rewrite %s is not reported", number, id, mode_name, name);
	}
	if (ignored != NULL)
		unit_check(report.ignored == json_integer_value(ignored), "%d %s (%s): %d attributes dropped", number, id,
				   mode_name, report.ignored);
	unit_check(mode == SCIM_COMPAT || report.rewrites == 0, "%d %s: rewrites in strict mode", number, id);
}

static void
test_bodies(void)
{
	json_t	   *cases = json_object_get(unit_load_json("validate-cases.json"), "cases");
	size_t		i;

	for (i = 0; i < json_array_size(cases); i++)
	{
		const json_t *item = json_array_get(cases, i);
		bool		strict = strcmp(json_string_value(json_object_get(item, "mode")), "strict") == 0;

		if (strict)
			check_case(item, (int) i, SCIM_STRICT);
		if (!strict || !json_is_true(json_object_get(item, "strictOnly")))
			check_case(item, (int) i, SCIM_COMPAT);
	}
	printf("validate-cases.json: %d bodies\n", (int) i);
}

static void
wants(const ScimResourceType *type, const char *body, const char *current, const char *expected)
{
	ScimError	err;
	json_t	   *wanted;

	memset(&err, 0, sizeof(err));
	wanted = scim_resource_wanted(type, unit_parse_json(body), current == NULL ? NULL : unit_parse_json(current),
								  SCIM_STRICT, false, NULL, &err);
	if (expected[0] != '{')
		unit_check(wanted == NULL && err.scim_type != NULL && strncmp(expected, err.scim_type, strlen(err.scim_type)) == 0 &&
				   strstr(err.detail, expected + strlen(err.scim_type) + 1) != NULL,
				   "%s: wants %s, got %s (%s)", body, expected, err.scim_type ? err.scim_type : "a result", err.detail);
	else
		unit_check(wanted != NULL && unit_same_state(wanted, unit_parse_json(expected), false), "%s: got %s (%s)", body,
				   wanted == NULL ? "an error" : json_dumps(wanted, 0), err.detail);
}

#define DEVICE "{\"schemas\":[\"urn:example:core:Device\",\"urn:example:ext:Device\"],\"label\":\"L\""

static void
test_custom(void)
{
	const ScimResourceType *type = unit_world_type("Device");
	const ScimResourceType *strict = unit_world_type("StrictDevice");

	wants(type, DEVICE ",\"lease\":{\"number\":\"1\"}}", NULL, "invalidValue \"lease.start\" is required");
	wants(type, DEVICE ",\"ports\":[{\"primary\":true}]}", NULL, "invalidValue \"ports.value\" is required");
	wants(type, DEVICE ",\"ports\":[{\"value\":1,\"state\":\"x\"},{\"value\":1,\"primary\":true}]}", NULL,
		  "{\"label\":\"L\",\"ports\":[{\"value\":1,\"primary\":true}]}");
	wants(type, DEVICE ",\"lease\":{\"start\":\"2024-01-01T00:00:00Z\",\"notes\":[\"a\",\"A\",\"b\",null]}}", NULL,
		  "{\"label\":\"L\",\"lease\":{\"start\":\"2024-01-01T00:00:00Z\",\"notes\":[\"a\",\"b\"]}}");
	wants(type, DEVICE ",\"urn:example:ext:Device\":{\"room\":\"1\"}}", NULL, "invalidValue :owner\" is required");
	wants(type, DEVICE "}", NULL, "{\"label\":\"L\"}");
	wants(strict, DEVICE "}", NULL, "invalidValue extension \"urn:example:ext:Device\" is required");
	wants(strict, DEVICE ",\"urn:example:ext:Device\":{\"owner\":\"o\"}}", NULL,
		  "{\"label\":\"L\",\"urn:example:ext:Device\":{\"owner\":\"o\"}}");

	/* PUT: immutable parts of a singular complex attribute, an immutable list */
	wants(type, DEVICE ",\"lease\":{\"start\":\"2024-01-01T00:00:00Z\",\"number\":\"2\"}}",
		  DEVICE ",\"lease\":{\"start\":\"2024-01-01T00:00:00Z\",\"number\":\"1\"}}", "mutability \"lease.number\"");
	wants(type, DEVICE ",\"lease\":{\"start\":\"2025-01-01T00:00:00Z\"}}",
		  DEVICE ",\"lease\":{\"start\":\"2024-01-01T00:00:00Z\",\"number\":\"1\",\"key\":\"k\"}}",
		  "{\"label\":\"L\",\"lease\":{\"start\":\"2025-01-01T00:00:00Z\",\"number\":\"1\",\"key\":\"k\"}}");
	wants(type, DEVICE ",\"codes\":[2,1]}", DEVICE ",\"codes\":[1,2]}", "{\"label\":\"L\",\"codes\":[1,2]}");
	wants(type, DEVICE ",\"codes\":[2,1,3]}", DEVICE ",\"codes\":[1,2]}", "mutability \"codes\"");
}

static void
test_check(void)
{
	const ScimResourceType *type = unit_world_type("Device");
	const ScimResourceType *strict = unit_world_type("StrictDevice");
	static const struct
	{
		const char *resource;
		const char *error;
	}			cases[] = {
		{"{\"label\":\"L\"}", NULL},
		{"{}", SCIM_MUTABILITY},
		{"{\"label\":\"L\",\"lease\":{\"number\":\"1\"}}", SCIM_MUTABILITY},
		{"{\"label\":\"L\",\"ports\":[{\"value\":1},{\"primary\":true}]}", SCIM_MUTABILITY},
		{"{\"label\":\"L\",\"ports\":[{\"value\":1,\"primary\":true},{\"value\":2,\"primary\":true}]}", SCIM_INVALID_VALUE},
		{"{\"label\":\"L\",\"urn:example:ext:Device\":{\"room\":\"1\"}}", SCIM_MUTABILITY},
	};
	json_t	   *resource;
	ScimError	err;
	size_t		i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		memset(&err, 0, sizeof(err));
		resource = unit_parse_core(cases[i].resource);
		unit_check(scim_resource_check(type, resource, &err) == (cases[i].error == NULL) &&
				   (cases[i].error == NULL || (err.scim_type != NULL && strcmp(err.scim_type, cases[i].error) == 0)),
				   "%s: %s %s", cases[i].resource, err.scim_type ? err.scim_type : "-", err.detail);
	}
	memset(&err, 0, sizeof(err));
	resource = unit_parse_core("{\"label\":\"L\",\"schemas\":[\"x\"]}");
	scim_resource_check(type, resource, &err);
	unit_check(json_array_size(json_object_get(resource, "schemas")) == 1, "schemas: core only");
	resource = unit_parse_core("{\"label\":\"L\",\"urn:example:ext:Device\":{\"owner\":\"o\"}}");
	scim_resource_check(type, resource, &err);
	unit_check(json_array_size(json_object_get(resource, "schemas")) == 2, "schemas: with the extension");
	resource = unit_parse_core("{\"label\":\"L\",\"urn:example:ext:Device\":{\"owner\":\"o\"}}");
	scim_resource_check(strict, resource, &err);
	unit_check(json_array_size(json_object_get(resource, "schemas")) == 2 && err.status == 0, "schemas: required extension");
}

static void
test_values(void)
{
	const ScimResourceType *type = unit_world_type("User");
	ScimAttr   *emails = scim_type_attr(type, SCIM_EXT_CORE, "emails", strlen("emails"));
	ScimAttr   *title = scim_type_attr(type, SCIM_EXT_CORE, "title", strlen("title"));
	ScimError	err;
	json_t	   *value;

	memset(&err, 0, sizeof(err));
	value = scim_value_wanted(type, title, json_null(), SCIM_STRICT, true, NULL, &err);
	unit_check(json_is_null(value), "null stays null");
	value = scim_value_wanted(type, emails, unit_parse_json("[{\"Value\":\"b\"},{\"value\":\"a\"},{\"value\":\"B\"}]"),
							  SCIM_STRICT, true, NULL, &err);
	unit_check(json_array_size(value) == 2 &&
			   strcmp(json_string_value(json_object_get(json_array_get(value, 0), "value")), "b") == 0, "order of the client");
	value = scim_value_wanted(type, emails, unit_parse_json("[{\"value\":\"b\",\"foo\":1}]"), SCIM_STRICT, true, NULL, &err);
	unit_check(value == NULL && strcmp(err.scim_type, SCIM_INVALID_SYNTAX) == 0, "unknown sub-attribute refused");
	memset(&err, 0, sizeof(err));
	value = scim_value_wanted(type, emails, unit_parse_json("[[],[[]],{}]"), SCIM_COMPAT, false, NULL, &err);
	unit_check(value == NULL && err.status == 400, "an array in an array");
	memset(&err, 0, sizeof(err));
	value = scim_value_wanted(type, emails, unit_parse_json("[[],{},null]"), SCIM_COMPAT, false, NULL, &err);
	unit_check(json_is_null(value), "nothing but unassigned values");
}

static void
test_report(void)
{
	static const char *const names[] = {
		"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t", "u", "v", "w", "x", "y", "z"
	};
	ScimReport	report;
	size_t		i;
	char		buf[16];

	memset(&report, 0, sizeof(report));
	scim_report_add(NULL, "x");
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		scim_report_add(&report, names[i]);
		scim_report_add(&report, names[i]);
	}
	unit_check(report.nkinds == SCIM_REWRITE_KINDS && report.rewrites == 52, "report holds %d names of %d rewrites", report.nkinds,
			   report.rewrites);
	unit_check(unit_rewrites(&report, "a") == 2 && unit_rewrites(&report, "x") == 2 && unit_rewrites(&report, "y") == 0, "counts");
	unit_check(strcmp(scim_safe_name("name.givenName", buf, sizeof(buf)), "name.givenName") == 0, "a name");
	unit_check(strcmp(scim_safe_name("a\"b", buf, sizeof(buf)), "(unnamed)") == 0, "a quote");
	unit_check(strcmp(scim_safe_name("", buf, sizeof(buf)), "(unnamed)") == 0, "no name");
	unit_check(strcmp(scim_safe_name("abcdefghijklmnop", buf, sizeof(buf)), "(unnamed)") == 0, "too long a name");
}

/* 10,000 values cost 10,000 look-ups. */
static void
test_cost(void)
{
	const ScimResourceType *type = unit_world_type("User");
	json_t	   *body = json_object_of("userName", json_string("x"));
	json_t	   *roles = json_array();
	json_t	   *addresses = json_array();
	ScimError	err;
	json_t	   *wanted;
	int			i;

	for (i = 0; i < 20000; i++)
	{
		json_array_append_new(roles, json_object_of("value", json_sprintf("Role %d", i % 10000)));
		json_array_append_new(addresses, json_object_of("locality", json_sprintf("Town %d", i % 10000)));
	}
	json_object_set_new(body, "roles", roles);
	json_object_set_new(body, "addresses", addresses);
	memset(&err, 0, sizeof(err));
	wanted = scim_resource_wanted(type, body, NULL, SCIM_COMPAT, false, NULL, &err);
	unit_check(wanted != NULL && json_array_size(json_object_get(wanted, "roles")) == 10000 &&
			   json_array_size(json_object_get(wanted, "addresses")) == 10000, "20000 values, each twice: %s", err.detail);
}

static void
test_torture(void)
{
	json_t	   *cases = json_object_get(unit_load_json("validate-cases.json"), "cases");
	size_t		i;

	for (i = 0; i < json_array_size(cases); i++)
	{
		const json_t *item = json_array_get(cases, i);
		const json_t *body = json_object_get(item, "body");
		const json_t *current = json_object_get(item, "current");
		bool		refuse = json_is_true(json_object_get(item, "refuseUnknown"));
		ScimMode	mode = strcmp(json_string_value(json_object_get(item, "mode")), "strict") == 0 ? SCIM_STRICT : SCIM_COMPAT;
		const ScimResourceType *type;
		ScimError	err;
		json_t	   *whole;
		json_t	   *wanted;
		long		total;
		long		n;

		unit_world_fresh();
		type = unit_world_type(json_string_value(json_object_get(item, "resourceType")));
		memset(&err, 0, sizeof(err));
		scim_alloc_fail_at(0);
		whole = scim_resource_wanted(type, body, current, mode, refuse, NULL, &err);
		total = scim_alloc_count();
		for (n = 1; n <= 2 * total; n++)
		{
			ScimError	failed;

			memset(&failed, 0, sizeof(failed));
			if (n <= total)
				scim_alloc_fail_at(n);
			else
				scim_alloc_fail_once(n - total);
			wanted = scim_resource_wanted(type, body, current, mode, refuse, NULL, &failed);
			scim_alloc_fail_at(0);
			if (wanted == NULL)
				unit_check(failed.status == 413 || (whole == NULL && failed.status == err.status),
						   "case %d, allocation %ld: status %d", (int) i, n, failed.status);
			else
				unit_check(whole != NULL && unit_same_state(whole, wanted, true), "case %d, allocation %ld: another outcome",
						   (int) i, n);
		}
	}
	unit_world_fresh();
}

int
main(void)
{
	unit_run("bodies", test_bodies);
	unit_run("custom", test_custom);
	unit_run("check", test_check);
	unit_run("values", test_values);
	unit_run("report", test_report);
	unit_run("cost", test_cost);
	unit_run("torture", test_torture);
	return unit_finish();
}
