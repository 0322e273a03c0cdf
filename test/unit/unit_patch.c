/*
 * unit_patch.c
 *		PATCH: the vectors of the specification, cases of our own, deltas
 *		against the engine, limits, lack of memory.
 *
 * Vectors are judged by the rules that their file states, with a comparison
 * that knows nothing of the code under test.
 */
#include "unit.h"
#include "unit_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core_patch.h"

typedef struct Outcome
{
	json_t	   *after;
	bool		changed;
	ScimReport	report;
	ScimError	err;
} Outcome;

/* parse, apply; the resource before must come out of it as it went in. */
static void
run_patch(const ScimResourceType *type, const json_t *before, const json_t *request, ScimMode mode, Outcome *out)
{
	ScimPatch  *patch;

	memset(out, 0, sizeof(*out));
	out->err.position = -1;
	patch = scim_patch_parse(type, request, mode, &out->report, &out->err);
	if (patch != NULL)
		out->after = scim_patch_apply(type, patch, before, mode, &out->changed, &out->report, &out->err);
}

static bool
string_in(const json_t *array, const char *text)
{
	size_t		i;

	for (i = 0; i < json_array_size(array); i++)
	{
		if (text != NULL && strcmp(json_string_value(json_array_get(array, i)), text) == 0)
			return true;
	}
	return false;
}

/* The state expected: "after" of a vector, or "before" with the members of "set". */
static json_t *
expected_after(const json_t *item, const json_t *before)
{
	json_t	   *after = json_object_get(item, "after");
	const char *key;
	json_t	   *value;

	if (after != NULL)
		return after;
	after = json_copy((json_t *) before);
	json_object_foreach(json_object_get(item, "set"), key, value)
	{
		if (json_is_null(value))
			json_object_del(after, key);
		else
			json_object_set(after, key, value);
	}
	return after;
}

static void
check_item(const json_t *item, const json_t *resources, ScimMode mode)
{
	const char *id = json_string_value(json_object_get(item, "id"));
	const char *type_name = json_string_value(json_object_get(item, "resourceType"));
	const ScimResourceType *type = unit_world_type(type_name);
	json_t	   *before = json_object_get(resources, json_string_value(json_object_get(item, "before")));
	json_t	   *error = json_object_get(item, "error");
	json_t	   *copy = json_deep_copy(before);
	const char *detail = json_string_value(json_object_get(item, "detail"));
	const char *mode_name = mode == SCIM_STRICT ? "strict" : "compat";
	json_t	   *report = json_object_get(item, "report");
	Outcome		out;
	size_t		i;

	run_patch(type, before, json_object_get(item, "request"), mode, &out);
	unit_check(json_equal(before, copy), "%s (%s): the resource before was modified", id, mode_name);

	if (error != NULL)
	{
		const char *want = json_string_value(json_object_get(error, "scimType"));
		int			status = (int) json_integer_value(json_object_get(error, "status"));

		unit_check(out.after == NULL && out.err.status == status, "%s (%s): wants status %d, got %d %s (%s)",
				   id, mode_name, status, out.err.status, out.err.scim_type ? out.err.scim_type : "-", out.err.detail);
		unit_check((want == NULL && out.err.scim_type == NULL) ||
				   (want != NULL && out.err.scim_type != NULL &&
					(strcmp(want, out.err.scim_type) == 0 ||
					 string_in(json_object_get(item, "alsoAcceptable"), out.err.scim_type))),
				   "%s (%s): wants %s, got %s (%s)", id, mode_name, want ? want : "-",
				   out.err.scim_type ? out.err.scim_type : "-", out.err.detail);
		unit_check(detail == NULL || strstr(out.err.detail, detail) != NULL,
				   "%s (%s): detail \"%s\" lacks \"%s\"", id, mode_name, out.err.detail, detail);
		return;
	}
	unit_check(out.after != NULL, "%s (%s): refused with %d %s (%s)", id, mode_name, out.err.status,
			   out.err.scim_type ? out.err.scim_type : "-", out.err.detail);
	if (out.after == NULL)
		return;
	unit_check(unit_same_state(expected_after(item, before), out.after, json_is_true(json_object_get(item, "checkSchemas"))),
			   "%s (%s): the state after is %s", id, mode_name, json_dumps(out.after, 0));
	unit_check(out.changed == json_is_true(json_object_get(item, "changed")), "%s (%s): changed is %d", id, mode_name,
			   (int) out.changed);
	for (i = 0; i < json_array_size(report); i++)
	{
		const char *name = json_string_value(json_array_get(report, i));

		unit_check(unit_rewrites(&out.report, name) > 0, "%s (%s): rewrite %s is not reported", id, mode_name, name);
	}
	unit_check(mode == SCIM_COMPAT || out.report.rewrites == 0, "%s: rewrites in strict mode", id);
}

/* Runs all entries in their modes; returns how many (an entry in two modes counts once). */
static int
check_items(const json_t *items, const json_t *resources, int *runs)
{
	size_t		i;

	for (i = 0; i < json_array_size(items); i++)
	{
		const json_t *item = json_array_get(items, i);
		bool		strict = strcmp(json_string_value(json_object_get(item, "mode")), "strict") == 0;

		if (strict)
			check_item(item, resources, SCIM_STRICT);
		if (!strict || !json_is_true(json_object_get(item, "strictOnly")))
			check_item(item, resources, SCIM_COMPAT);
		*runs += !strict || json_is_true(json_object_get(item, "strictOnly")) ? 1 : 2;
	}
	return (int) json_array_size(items);
}

static void
test_vectors(void)
{
	json_t	   *file = unit_load_json("patch-vectors.json");
	int			runs = 0;
	int			n;

	n = check_items(json_object_get(file, "vectors"), json_object_get(file, "resources"), &runs);
	unit_check(n == 246, "%d vectors", n);
	printf("patch-vectors.json: %d vectors, %d runs\n", n, runs);
}

static void
test_cases(void)
{
	json_t	   *file = unit_load_json("patch-vectors.json");
	json_t	   *own = unit_load_json("patch-cases.json");
	int			runs = 0;
	int			n;

	json_object_update(json_object_get(file, "resources"), json_object_get(own, "resources"));
	n = check_items(json_object_get(own, "cases"), json_object_get(file, "resources"), &runs);
	printf("patch-cases.json: %d cases, %d runs\n", n, runs);
}

/* ---- deltas ---- */

static unsigned int random_state = 1;

static int
random_below(int n)
{
	random_state = random_state * 1103515245u + 12345u;
	return (int) ((random_state >> 16) % (unsigned int) n);
}

static json_t *
random_member(void)
{
	json_t	   *member = json_object_of("value", json_sprintf("u%d", random_below(8)));

	if (random_below(3) == 0)
		json_object_set_new(member, "display", json_sprintf("d%d", random_below(3)));
	if (random_below(3) == 0)
		json_object_set_new(member, "type", json_string("User"));
	if (random_below(4) == 0)
		json_object_set_new(member, "$ref", json_null());
	return member;
}

static json_t *
random_members(int max)
{
	json_t	   *list = json_array();
	int			n = random_below(max + 1);

	while (n-- > 0)
		json_array_append_new(list, random_member());
	return list;
}

static json_t *
random_operation(void)
{
	json_t	   *op = json_object_of("path", json_string("members"));

	switch (random_below(8))
	{
		case 0:
		case 1:
			json_object_set_new(op, "op", json_string("Add"));
			json_object_set_new(op, "value", random_members(5));
			break;
		case 2:
			json_object_set_new(op, "op", json_string("remove"));
			json_object_set_new(op, "path", json_sprintf("members[value eq \"u%d\"]", random_below(8)));
			break;
		case 3:
			json_object_set_new(op, "op", json_string("remove"));
			json_object_set_new(op, "path", json_sprintf("members[value eq \"u%d\" or value eq \"u%d\"]",
														 random_below(8), random_below(8)));
			break;
		case 4:
			json_object_set_new(op, "op", json_string("Remove"));
			json_object_set_new(op, "value", random_members(4));
			break;
		case 5:
			json_object_set_new(op, "op", json_string("replace"));
			json_object_set_new(op, "value", random_below(5) ? random_members(5) : json_null());
			break;
		case 6:
			json_object_set_new(op, "op", json_string("add"));
			json_object_del(op, "path");
			json_object_set_new(op, "value", json_object_of("members", random_members(3)));
			break;
		default:
			json_object_set_new(op, "op", json_string(random_below(4) ? "add" : "remove"));
			if (strcmp(json_string_value(json_object_get(op, "op")), "add") == 0)
				json_object_set_new(op, "value", random_member());
			break;
	}
	return op;
}

static json_t *
by_value(const json_t *members)
{
	json_t	   *map = json_object_of(NULL, NULL);
	size_t		i;

	for (i = 0; i < json_array_size(members); i++)
		json_object_set(map, json_string_value(json_object_get(json_array_get(members, i), "value")),
						json_array_get(members, i));
	return map;
}

/* What the store does with a delta. */
static json_t *
apply_delta(const json_t *members, const ScimDelta *delta)
{
	json_t	   *map = delta->clear ? json_object_of(NULL, NULL) : by_value(members);
	size_t		i;

	for (i = 0; i < json_array_size(delta->remove); i++)
		json_object_del(map, json_string_value(json_array_get(delta->remove, i)));
	for (i = 0; i < json_array_size(delta->add); i++)
	{
		json_t	   *value = json_array_get(delta->add, i);
		const char *id = json_string_value(json_object_get(value, "value"));

		if (json_object_get(map, id) == NULL)
			json_object_set(map, id, value);
	}
	return map;
}

static void
test_delta_random(void)
{
	const ScimResourceType *type = unit_world_type("Group");
	ScimAttr   *members = scim_type_attr(type, SCIM_EXT_CORE, "members", 7);
	int			round;
	int			taken = 0;

	for (round = 0; round < 3000; round++)
	{
		json_t	   *before = json_object_of("displayName", json_string("G"));
		json_t	   *request = json_object_of("Operations", json_array());
		json_t	   *stored = by_value(random_members(6));
		json_t	   *list = json_array();
		int			n = 1 + random_below(6);
		const char *key;
		json_t	   *value;
		Outcome		out;
		ScimPatch  *patch;
		ScimDelta	delta;
		ScimReport	report;
		ScimError	err;

		json_object_foreach(stored, key, value)
		{
			json_object_del(value, "$ref");
			json_array_append(list, value);
		}
		json_object_set_new(before, "members", list);
		while (n-- > 0)
			json_array_append_new(json_object_get(request, "Operations"), random_operation());
		if (random_below(3) == 0)
			json_array_append_new(json_object_get(request, "Operations"),
								  json_pack("{s:s,s:s,s:s}", "op", "replace", "path", "displayName", "value", "N"));

		run_patch(type, before, request, SCIM_COMPAT, &out);
		memset(&err, 0, sizeof(err));
		memset(&report, 0, sizeof(report));
		patch = scim_patch_parse(type, request, SCIM_COMPAT, &report, &err);
		if (patch == NULL)
		{
			unit_check(out.after == NULL, "round %d: refused only once: %s", round, err.detail);
			continue;
		}
		if (!scim_patch_take_delta(type, patch, members, SCIM_COMPAT, &delta, &report, &err))
		{
			unit_check(err.status != 0 && out.after == NULL, "round %d: no delta of %s", round, json_dumps(request, 0));
			continue;
		}
		taken++;
		unit_check(delta.any && !scim_patch_touches(patch, members), "round %d: operations are left", round);
		unit_check(out.after != NULL, "round %d: delta of a request that the engine refuses: %s", round, out.err.detail);
		if (out.after == NULL)
			continue;
		unit_check(json_equal(apply_delta(list, &delta), by_value(json_object_get(out.after, "members"))),
				   "round %d: %s on %s: delta clear %d add %s remove %s", round, json_dumps(request, 0),
				   json_dumps(list, 0), (int) delta.clear, json_dumps(delta.add, 0), json_dumps(delta.remove, 0));
		unit_check(report.rewrites == out.report.rewrites, "round %d: rewrites counted differently", round);
	}
	printf("deltas: %d of %d random requests\n", taken, round);
	unit_check(taken > 2000, "only %d deltas", taken);
}

static void
delta_of(const char *operations, ScimMode mode, bool *taken, ScimDelta *delta, ScimError *err, int *left)
{
	const ScimResourceType *type = unit_world_type("Group");
	ScimAttr   *members = scim_type_attr(type, SCIM_EXT_CORE, "members", 7);
	json_t	   *request = json_object_of("Operations", unit_parse_json(operations));
	ScimPatch  *patch;

	json_object_set_new(request, "schemas", json_pack("[s]", SCIM_URN_PATCH_OP));
	memset(err, 0, sizeof(*err));
	memset(delta, 0, sizeof(*delta));
	patch = scim_patch_parse(type, request, mode, NULL, err);
	unit_check(patch != NULL, "%s: %s", operations, err->detail);
	*taken = patch != NULL && scim_patch_take_delta(type, patch, members, mode, delta, NULL, err);
	*left = patch == NULL ? 0 : patch->nops;
}

static void
test_delta_cases(void)
{
	static const char *const untaken[] = {
		"[{\"op\":\"replace\",\"path\":\"members[value eq \\\"u1\\\"].display\",\"value\":\"x\"}]",
		"[{\"op\":\"remove\",\"path\":\"members[type eq \\\"User\\\"]\"}]",
		"[{\"op\":\"remove\",\"path\":\"members[value eq \\\"u1\\\" and type eq \\\"User\\\"]\"}]",
		"[{\"op\":\"remove\",\"path\":\"members[not (value eq \\\"u1\\\")]\"}]",
		"[{\"op\":\"remove\",\"path\":\"members.display\"}]",
		"[{\"op\":\"add\",\"path\":\"members\",\"value\":[{\"display\":\"x\"}]}]",
		"[{\"op\":\"add\",\"path\":\"members[value eq \\\"u1\\\"]\",\"value\":{\"display\":\"x\"}}]",
	};
	bool		taken;
	ScimDelta	delta;
	ScimError	err;
	int			left;
	size_t		i;

	for (i = 0; i < sizeof(untaken) / sizeof(untaken[0]); i++)
	{
		delta_of(untaken[i], SCIM_STRICT, &taken, &delta, &err, &left);
		unit_check(!taken && !delta.any && err.status == 0 && left == 1, "%s: taken", untaken[i]);
	}
	delta_of("[{\"op\":\"add\",\"path\":\"members\",\"value\":[{\"value\":5}]}]", SCIM_COMPAT, &taken, &delta, &err, &left);
	unit_check(!taken && err.status == 400 && strcmp(err.scim_type, SCIM_INVALID_VALUE) == 0 &&
			   strstr(err.detail, "Operations[0]: path \"members\"") != NULL, "invalid member: %s", err.detail);
	delta_of("[{\"op\":\"replace\",\"path\":\"displayName\",\"value\":\"x\"}]", SCIM_STRICT, &taken, &delta, &err, &left);
	unit_check(taken && !delta.any && left == 1, "a patch without members");
	delta_of("[{\"op\":\"add\",\"path\":\"members\",\"value\":[]},{\"op\":\"replace\",\"path\":\"displayName\",\"value\":\"x\"}]",
			 SCIM_STRICT, &taken, &delta, &err, &left);
	unit_check(taken && delta.any && !delta.clear && json_array_size(delta.add) == 0 && left == 1, "nothing to add");
	delta_of("[{\"op\":\"remove\",\"path\":\"members[value eq \\\"u1\\\"]\"},{\"op\":\"add\",\"path\":\"members\",\"value\":{\"value\":\"u1\"}}]",
			 SCIM_STRICT, &taken, &delta, &err, &left);
	unit_check(taken && json_array_size(delta.add) == 1 && json_array_size(delta.remove) == 1, "removed and added");
	delta_of("[{\"op\":\"add\",\"path\":\"members\",\"value\":{\"value\":\"u1\"}},{\"op\":\"remove\",\"path\":\"members\"}]",
			 SCIM_STRICT, &taken, &delta, &err, &left);
	unit_check(taken && delta.clear && json_array_size(delta.add) == 0 && json_array_size(delta.remove) == 0, "cleared");
}

/* ---- cost ---- */

static void
test_cost(void)
{
	const ScimResourceType *type = unit_world_type("User");
	json_t	   *before = json_object_of("userName", json_string("x"));
	json_t	   *request = json_object_of("Operations", json_array());
	json_t	   *emails = json_array();
	json_t	   *back = json_array();
	Outcome		out;
	int			i;

	for (i = 0; i < 20000; i++)
		json_array_append_new(emails, json_object_of("value", json_sprintf("User%d@example.com", i)));
	for (i = 20000; i-- > 0;)
		json_array_append(back, json_array_get(emails, (size_t) i));
	json_object_set(before, "emails", emails);

	/* each of these would be 400 million comparisons */
	json_array_append_new(json_object_get(request, "Operations"),
						  json_pack("{s:s,s:s,s:O}", "op", "add", "path", "emails", "value", back));
	run_patch(type, before, request, SCIM_COMPAT, &out);
	unit_check(out.after != NULL && !out.changed, "20000 values added again: %s", out.err.detail);

	json_object_set_new(request, "Operations",
						json_pack("[{s:s,s:s,s:O}]", "op", "replace", "path", "emails", "value", back));
	run_patch(type, before, request, SCIM_COMPAT, &out);
	unit_check(out.after != NULL && !out.changed, "20000 values in another order: %s", out.err.detail);

	/* one value differs, in what does not identify it; then in what does */
	back = json_deep_copy(back);
	json_object_set_new(json_array_get(back, 7), "display", json_string("D"));
	json_object_set_new(request, "Operations",
						json_pack("[{s:s,s:s,s:O}]", "op", "replace", "path", "emails", "value", back));
	run_patch(type, before, request, SCIM_COMPAT, &out);
	unit_check(out.after != NULL && out.changed, "20000 values, one with another display: %s", out.err.detail);
	json_object_set_new(json_array_get(back, 7), "value", json_string("other"));
	run_patch(type, before, request, SCIM_COMPAT, &out);
	unit_check(out.after != NULL && out.changed, "20000 values, one of them new: %s", out.err.detail);

	json_object_set_new(request, "Operations",
						json_pack("[{s:s,s:s,s:O}]", "op", "remove", "path", "emails", "value", emails));
	run_patch(type, before, request, SCIM_COMPAT, &out);
	unit_check(out.after != NULL && out.changed && json_object_get(out.after, "emails") == NULL,
			   "20000 values removed: %s", out.err.detail);

	/* a thousand operations cost one set, not a thousand */
	json_object_set_new(request, "Operations", json_array());
	for (i = 0; i < SCIM_PATCH_MAX_OPERATIONS; i++)
		json_array_append_new(json_object_get(request, "Operations"),
							  json_pack("{s:s,s:s,s:{s:o}}", "op", "add", "path", "emails", "value",
										"value", json_sprintf("new%d@example.com", i)));
	run_patch(type, before, request, SCIM_COMPAT, &out);
	unit_check(out.after != NULL && json_array_size(json_object_get(out.after, "emails")) == 21000,
			   "1000 values added one by one: %s", out.err.detail);
}

/* Operations at their limit, and far beyond it, within the memory of a request. */
static void
test_operations(void)
{
	static const struct
	{
		int			n;
		const char *operation;
		int			status;		/* 0: it is applied */
	}			cases[] = {
		{999, "{\"op\":\"add\",\"path\":\"title\",\"value\":\"t\"}", 0},
		{1000, "{\"op\":\"add\",\"path\":\"title\",\"value\":\"t\"}", 0},
		{1001, "{\"op\":\"add\",\"path\":\"title\",\"value\":\"t\"}", 413},
		/* within the limits of JSON */
		{20000, "{\"op\":\"add\",\"path\":\"title\",\"value\":\"t\"}", 413},
		{66000, "{\"op\":1}", 400},
		{49000, "{\"op\":1}", 413},
		{99000, "{}", 413},
		{100000, "null", 413},
		/* beyond them */
		{100000, "{}", 400},
		{100000, "{\"op\":\"add\",\"path\":\"title\",\"value\":\"t\"}", 400},
	};
	const ScimResourceType *type = unit_world_type("User");
	char	   *text = malloc(8 * 1024 * 1024);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (int mode = 0; mode < 2; mode++)
		{
			json_t	   *before = json_object_of("userName", json_string("x"));
			size_t		len = (size_t) sprintf(text, "{\"schemas\":[\"" SCIM_URN_PATCH_OP "\"],\"Operations\":[");
			clock_t		start = clock();
			ScimError	err;
			json_t	   *request;
			Outcome		out;

			for (int k = 0; k < cases[i].n; k++)
				len += (size_t) sprintf(text + len, "%s%s", k ? "," : "", cases[i].operation);
			len += (size_t) sprintf(text + len, "]}");
			scim_heap_begin(64 * 1024 * 1024);
			memset(&err, 0, sizeof(err));
			request = scim_json_parse(text, len, &err);
			if (request != NULL)
			{
				run_patch(type, before, request, mode ? SCIM_COMPAT : SCIM_STRICT, &out);
				err = out.err;
			}
			unit_check(err.status == cases[i].status && !scim_alloc_failed(), "%d of %s: %d %s", cases[i].n, cases[i].operation,
					   err.status, err.detail);
			unit_check(err.status != 413 || strstr(err.detail, "at most 1000") != NULL, "%s", err.detail);
			unit_check(clock() - start < 2 * CLOCKS_PER_SEC, "%d of %s take too long", cases[i].n, cases[i].operation);
			scim_heap_begin(SIZE_MAX);
		}
	free(text);
}

/* A resource grows by PATCH up to 1 MiB, not counting its relations. */
static void
test_size(void)
{
	const ScimResourceType *type = unit_world_type("User");
	json_t	   *before = json_object_of("userName", json_string("x"));
	json_t	   *request;
	size_t		len = 250 * 1024;
	char	   *text = malloc(len);
	static const char *const names[] = {"title", "nickName", "userType", "displayName"};
	Outcome		out;
	size_t		i;

	memset(text, 'x', len);
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		json_object_set_new(before, names[i], json_stringn(text, len));
	request = json_object_of("Operations", json_pack("[{s:s,s:s,s:s}]", "op", "replace", "path", "locale", "value", "en"));
	run_patch(type, before, request, SCIM_COMPAT, &out);
	unit_check(out.after != NULL && out.changed, "1000 KiB: %s", out.err.detail);
	request = json_object_of("Operations", json_pack("[{s:s,s:s,s:s%}]", "op", "replace", "path", "locale", "value",
													  text, (size_t) 24000));
	run_patch(type, before, request, SCIM_COMPAT, &out);
	unit_check(out.after != NULL && out.changed, "1023 KiB: %s", out.err.detail);
	request = json_object_of("Operations", json_pack("[{s:s,s:s,s:s%}]", "op", "replace", "path", "locale", "value",
													  text, (size_t) 25000));
	run_patch(type, before, request, SCIM_COMPAT, &out);
	unit_check(out.after == NULL && out.err.status == 400 && strcmp(out.err.scim_type, SCIM_INVALID_VALUE) == 0,
			   "1025 KiB: %d %s", out.err.status, out.err.detail);
	free(text);
}

/* ---- lack of memory ---- */

/*
 * Every n-th allocation of every vector fails in turn, with all that follow
 * and alone: the outcome is the error of lack of memory, or the outcome without
 * failure, never another.
 */
static void
torture_item(const json_t *item, const json_t *resources, const ScimResourceType *type)
{
	json_t	   *before = json_object_get(resources, json_string_value(json_object_get(item, "before")));
	json_t	   *request = json_object_get(item, "request");
	ScimMode	mode = strcmp(json_string_value(json_object_get(item, "mode")), "strict") == 0 ? SCIM_STRICT : SCIM_COMPAT;
	Outcome		whole;
	Outcome		out;
	long		n;
	long		total;

	scim_alloc_fail_at(0);
	run_patch(type, before, request, mode, &whole);
	total = scim_alloc_count();
	for (n = 1; n <= 2 * total; n++)
	{
		if (n <= total)
			scim_alloc_fail_at(n);
		else
			scim_alloc_fail_once(n - total);
		run_patch(type, before, request, mode, &out);
		scim_alloc_fail_at(0);
		if (out.after == NULL)
			unit_check(out.err.status == 413 ||
					   (whole.after == NULL && out.err.status == whole.err.status),
					   "%s: allocation %ld: status %d (%s)", json_string_value(json_object_get(item, "id")), n,
					   out.err.status, out.err.detail);
		else
			unit_check(whole.after != NULL && unit_same_state(whole.after, out.after, true),
					   "%s: allocation %ld: another outcome", json_string_value(json_object_get(item, "id")), n);
	}
}

static void
torture_file(const char *name, const char *member)
{
	json_t	   *file = unit_load_json("patch-vectors.json");
	json_t	   *own = unit_load_json(name);
	json_t	   *items = json_object_get(own, member);
	json_t	   *resources = json_object_get(file, "resources");
	size_t		i;

	if (json_object_get(own, "resources") != NULL)
		json_object_update(resources, json_object_get(own, "resources"));
	for (i = 0; i < json_array_size(items); i++)
	{
		const json_t *item = json_array_get(items, i);

		if (json_array_size(json_object_get(json_object_get(item, "request"), "Operations")) > 40)
			continue;
		unit_world_fresh();
		torture_item(item, resources, unit_world_type(json_string_value(json_object_get(item, "resourceType"))));
	}
	unit_world_fresh();
}

/* The same for a delta. */
static void
torture_delta(void)
{
	const ScimResourceType *type;
	ScimAttr   *members;
	json_t	   *request = json_object_of("Operations", json_array());
	json_t	   *stored = unit_parse_json("[{\"value\":\"u1\"},{\"value\":\"u2\",\"display\":\"d\"},{\"value\":\"x9\"}]");
	json_t	   *whole = NULL;
	long		n;
	long		total = 0;
	int			i;

	unit_world_fresh();
	type = unit_world_type("Group");
	members = scim_type_attr(type, SCIM_EXT_CORE, "members", 7);
	for (i = 0; i < 40; i++)
	{
		const char *texts[] = {
			"{\"op\":\"add\",\"path\":\"members\",\"value\":[{\"value\":\"u%d\",\"display\":\"D\"}]}",
			"{\"op\":\"remove\",\"path\":\"members[value eq \\\"x%d\\\" or value eq \\\"y\\\"]\"}",
			"{\"op\":\"remove\",\"path\":\"members\",\"value\":[{\"value\":\"z%d\"}]}"};
		char		text[200];

		snprintf(text, sizeof(text), texts[i % 3], i);
		json_array_append_new(json_object_get(request, "Operations"), unit_parse_json(text));
	}
	for (n = 0; n <= total; n++)
	{
		ScimError	err;
		ScimDelta	delta;
		ScimPatch  *patch;
		bool		taken;

		memset(&err, 0, sizeof(err));
		patch = scim_patch_parse(type, request, SCIM_COMPAT, NULL, &err);
		scim_alloc_fail_at(n);
		taken = patch != NULL && scim_patch_take_delta(type, patch, members, SCIM_COMPAT, &delta, NULL, &err);
		if (n == 0)
			total = scim_alloc_count();
		scim_alloc_fail_at(0);
		if (n == 0)
			whole = taken ? apply_delta(stored, &delta) : NULL;
		else if (!taken)
			unit_check(err.status == 413 && patch->nops == 40, "delta, allocation %ld: status %d", n, err.status);
		else
			unit_check(json_equal(whole, apply_delta(stored, &delta)), "delta, allocation %ld: another outcome", n);
	}
	unit_check(whole != NULL && total > 100, "delta: %ld allocations", total);
}

static void
test_torture(void)
{
	torture_delta();
	torture_file("patch-vectors.json", "vectors");
	torture_file("patch-cases.json", "cases");
}

int
main(void)
{
	unit_run("vectors", test_vectors);
	unit_run("cases", test_cases);
	unit_run("delta_cases", test_delta_cases);
	unit_run("delta_random", test_delta_random);
	unit_run("cost", test_cost);
	unit_run("operations", test_operations);
	unit_run("size", test_size);
	unit_run("torture", test_torture);
	return unit_finish();
}
