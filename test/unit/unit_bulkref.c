/*
 * unit_bulkref.c
 *		References between the operations of a Bulk: what is one and what only
 *		looks like one, the order, circles, ids in the place of references.
 */
#include "unit.h"
#include "unit_world.h"

#include "core_bulkref.h"

#define MAX_OPS 1000
#define ENT SCIM_URN_ENTERPRISE_USER

static ScimBulkOp ops[MAX_OPS];
static int	nops;
static ScimMode mode = SCIM_COMPAT;
static char out[64 * 1024];

/*
 * Operations from a JSON array; "to" is a resource type, "id" what the path
 * has behind it.  Built by core, so that core may change them.
 */
static bool
read_ops(const char *text, ScimError *err)
{
	json_t	   *array = scim_json_parse(text, strlen(text), err);

	if (array == NULL)
		return false;
	nops = (int) json_array_size(array);
	memset(ops, 0, sizeof(ops[0]) * (size_t) nops);
	for (int i = 0; i < nops; i++)
	{
		const json_t *op = json_array_get(array, (size_t) i);
		const char *to = json_string_value(json_object_get(op, "to"));

		ops[i].method = json_string_value(json_object_get(op, "method"));
		ops[i].bulk_id = json_string_value(json_object_get(op, "bulkId"));
		ops[i].id = json_string_value(json_object_get(op, "id"));
		ops[i].data = json_object_get(op, "data");
		ops[i].type = to == NULL ? NULL : strcmp(to, "User") == 0 ? world_user : world_group;
	}
	return true;
}

static const char *
name_of(const ScimBulkOp *op)
{
	static char numbers[4][16];
	static int	next;

	if (op->bulk_id != NULL)
		return op->bulk_id;
	next = (next + 1) % 4;
	snprintf(numbers[next], sizeof(numbers[next]), "#%d", (int) (op - ops));
	return numbers[next];
}

/* "a b|c d": units, and what is in them. */
static const char *
order_text(const ScimBulkGraph *graph)
{
	size_t		n = 0;

	out[0] = '\0';
	for (int u = 0; u < graph->nunits; u++)
		for (int i = graph->begin[u]; i < graph->begin[u + 1]; i++)
			n += (size_t) snprintf(out + n, sizeof(out) - n, "%s%s",
								   i > graph->begin[u] ? " " : u > 0 ? "|" : "", name_of(graph->order[i]));
	return out;
}

static void
append(const char *what, const char *text)
{
	size_t		n = strlen(out);

	snprintf(out + n, sizeof(out) - n, "%s%s\n", what, text);
}

/*
 * Do all operations, each POST getting the id "id-<bulkId>": what they came to
 * be, a line each.
 */
static bool
run_all(const ScimBulkGraph *graph, ScimError *err)
{
	size_t		len;

	out[0] = '\0';
	for (int u = 0; u < graph->nunits; u++)
	{
		for (int i = graph->begin[u]; i < graph->begin[u + 1]; i++)
		{
			ScimBulkOp *op = graph->order[i];
			char	   *text;

			if (!scim_bulk_prepare(op, err))
				return false;
			append(op->id != NULL ? op->id : name_of(op), "");
			text = op->data != NULL ? scim_json_print(op->data, &len) : scim_strndup("-", 1);
			if (text == NULL)
				return scim_fail_memory(err);
			append("  ", text);
			if (op->method != NULL && strcmp(op->method, "POST") == 0)
			{
				char		id[64];

				snprintf(id, sizeof(id), "id-%s", op->bulk_id);
				op->new_id = scim_strndup(id, strlen(id));
				if (op->new_id == NULL)
					return scim_fail_memory(err);
			}
		}
		for (int i = graph->begin[u]; i < graph->begin[u + 1]; i++)
		{
			json_t	   *patch;
			char	   *text;

			if (graph->order[i]->cuts == NULL)
				continue;
			patch = scim_bulk_complete(graph->order[i], err);
			if (patch == NULL)
				return false;
			text = scim_json_print(json_object_get(patch, "Operations"), &len);
			if (text == NULL)
				return scim_fail_memory(err);
			append("+ ", text);
		}
	}
	return true;
}

typedef struct Case
{
	const char *name;
	const char *operations;
	const char *order;
	const char *result;			/* NULL: not run; "!": run, and 409 */
} Case;

#define USER(bulk_id, more) "{\"method\":\"POST\",\"to\":\"User\",\"bulkId\":\"" bulk_id "\",\"data\":{\"userName\":\"" bulk_id "\"" more "}}"
#define GROUP(bulk_id, members) "{\"method\":\"POST\",\"to\":\"Group\",\"bulkId\":\"" bulk_id "\",\"data\":{\"members\":[" members "]}}"
#define REF(bulk_id) "{\"value\":\"bulkId:" bulk_id "\"}"
#define PATCH(id, operations) "{\"method\":\"PATCH\",\"to\":\"Group\",\"id\":\"" id "\",\"data\":{\"Operations\":[" operations "]}}"

static const Case cases[] = {
	{"nothing refers", "[" USER("a", "") "," USER("b", "") "]", "a|b",
	"a\n  {\"userName\":\"a\"}\nb\n  {\"userName\":\"b\"}\n"},
	{"forward", "[" GROUP("g", REF("u")) "," USER("u", "") "]", "u|g",
	"u\n  {\"userName\":\"u\"}\ng\n  {\"members\":[{\"value\":\"id-u\"}]}\n"},
	{"$ref", "[" USER("u", "") "," GROUP("g", "{\"$ref\":\"https://h/v2/Users/bulkId:u\"}") "]", "u|g",
	"u\n  {\"userName\":\"u\"}\ng\n  {\"members\":[{\"$ref\":\"https://h/v2/Users/id-u\"}]}\n"},
	{"bare text among members", "[" USER("u", "") "," GROUP("g", "\"bulkId:u\"") "]", "u|g",
	"u\n  {\"userName\":\"u\"}\ng\n  {\"members\":[\"id-u\"]}\n"},
	{"extension", "[" USER("a", ",\"" ENT "\":{\"manager\":{\"value\":\"bulkId:b\"}}") "," USER("b", "") "]", "b|a",
	"b\n  {\"userName\":\"b\"}\na\n  {\"userName\":\"a\",\"" ENT "\":{\"manager\":{\"value\":\"id-b\"}}}\n"},
	{"extension, dotted key", "[" USER("a", ",\"" ENT ":manager.value\":\"bulkId:b\"") "," USER("b", "") "]", "b|a",
	"b\n  {\"userName\":\"b\"}\na\n  {\"userName\":\"a\",\"" ENT ":manager.value\":\"id-b\"}\n"},
	{"an ordinary text", "[" USER("a", ",\"displayName\":\"bulkId:b\",\"title\":\"x/bulkId:b\"") "," USER("b", "") "]", "a|b",
	"a\n  {\"userName\":\"a\",\"displayName\":\"bulkId:b\",\"title\":\"x/bulkId:b\"}\nb\n  {\"userName\":\"b\"}\n"},
	{"a readOnly attribute", "[" USER("a", ",\"groups\":[{\"value\":\"bulkId:g\"}]") "," GROUP("g", "") "]", "a|g",
	"a\n  {\"userName\":\"a\",\"groups\":[{\"value\":\"bulkId:g\"}]}\ng\n  {\"members\":[]}\n"},
	{"a sub-attribute that is no reference", "[" GROUP("g", "{\"value\":\"7\",\"display\":\"bulkId:u\"}") "," USER("u", "") "]", "g|u",
	"g\n  {\"members\":[{\"value\":\"7\",\"display\":\"bulkId:u\"}]}\nu\n  {\"userName\":\"u\"}\n"},
	{"path of an operation", "[{\"method\":\"DELETE\",\"to\":\"User\",\"id\":\"bulkId:u\"}," USER("u", "") "]", "u|#0",
	"u\n  {\"userName\":\"u\"}\nid-u\n  -\n"},
	{"PATCH: value, filter of the path, no path",
		"[" PATCH("7", "{\"op\":\"add\",\"path\":\"members\",\"value\":[" REF("a") "]},"
				  "{\"op\":\"remove\",\"path\":\"members[value eq \\\"bulkId:a\\\" or value eq \\\"bulkId:b\\\"]\"},"
				  "{\"op\":\"add\",\"value\":{\"members\":[" REF("b") "]}},"
				  "{\"op\":\"replace\",\"path\":\"displayName\",\"value\":\"bulkId:a\"},"
				  "{\"op\":\"add\",\"path\":\"members[display eq \\\"bulkId:a\\\"]\",\"value\":{}},"
				  "{\"op\":\"add\",\"path\":\"members[\",\"value\":[" REF("a") "]},7") "," USER("a", "") "," USER("b", "") "]",
		"a|b|#0",
		"a\n  {\"userName\":\"a\"}\nb\n  {\"userName\":\"b\"}\n7\n  {\"Operations\":["
		"{\"op\":\"add\",\"path\":\"members\",\"value\":[{\"value\":\"id-a\"}]},"
		"{\"op\":\"remove\",\"path\":\"members[value eq \\\"id-a\\\" or value eq \\\"id-b\\\"]\"},"
		"{\"op\":\"add\",\"value\":{\"members\":[{\"value\":\"id-b\"}]}},"
		"{\"op\":\"replace\",\"path\":\"displayName\",\"value\":\"bulkId:a\"},"
		"{\"op\":\"add\",\"path\":\"members[display eq \\\"bulkId:a\\\"]\",\"value\":{}},"
	"{\"op\":\"add\",\"path\":\"members[\",\"value\":[{\"value\":\"bulkId:a\"}]},7]}\n"},
	{"a circle of two", "[" GROUP("a", REF("b")) "," GROUP("b", REF("a") "," REF("u")) "," USER("u", "") "]", "u|a b",
		"u\n  {\"userName\":\"u\"}\na\n  {}\nb\n  {\"members\":[{\"value\":\"id-a\"},{\"value\":\"id-u\"}]}\n"
	"+ [{\"op\":\"add\",\"path\":\"members\",\"value\":[{\"value\":\"id-b\"}]}]\n"},
	{"a circle of one", "[" GROUP("a", REF("a") "," REF("a")) "]", "a",
	"a\n  {}\n+ [{\"op\":\"add\",\"path\":\"members\",\"value\":[{\"value\":\"id-a\"},{\"value\":\"id-a\"}]}]\n"},
	{"a circle through an extension and a bare text",
		"[" USER("a", ",\"" ENT "\":{\"manager\":\"bulkId:b\"}") "," USER("b", ",\"" ENT "\":{\"manager\":{\"value\":\"bulkId:a\"}}") "]", "a b",
		"a\n  {\"userName\":\"a\",\"" ENT "\":{}}\nb\n  {\"userName\":\"b\",\"" ENT "\":{\"manager\":{\"value\":\"id-a\"}}}\n"
	"+ [{\"op\":\"add\",\"path\":\"" ENT ":manager\",\"value\":\"id-b\"}]\n"},
	{"two circles, one leads to the other",
		"[" GROUP("c", REF("d") "," REF("a")) "," GROUP("d", REF("c")) "," GROUP("a", REF("b")) "," GROUP("b", REF("a")) "]", "a b|c d", NULL},
	{"a circle with a PATCH in it cannot be", "[" GROUP("a", REF("b")) "," PATCH("bulkId:a", "{\"op\":\"add\",\"path\":\"members\",\"value\":" REF("a") "}") "]",
	"a|#1", "!"},
	{"nobody has this bulkId", "[" GROUP("a", REF("none")) "]", "a", "!"},
	{"nor in a path", "[{\"method\":\"DELETE\",\"to\":\"User\",\"id\":\"bulkId:none\"}]", "#0", "!"},
	{"a bulkId of a PATCH is no resource", "[" GROUP("a", REF("p")) ",{\"method\":\"DELETE\",\"bulkId\":\"p\",\"to\":\"User\",\"id\":\"7\"}]", "a|p", "!"},
	{"what is refused refers to nothing", "[{\"method\":\"POST\",\"bulkId\":\"a\",\"data\":{\"members\":[" REF("u") "]}}," USER("u", "") "]", "a|u",
	"a\n  {\"members\":[{\"value\":\"bulkId:u\"}]}\nu\n  {\"userName\":\"u\"}\n"},
};

static void
test_cases(void)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		const Case *c = &cases[i];
		ScimError	err;
		ScimBulkGraph *graph;
		bool		good;

		memset(&err, 0, sizeof(err));
		unit_world_fresh();
		if (!read_ops(c->operations, &err) || (graph = scim_bulk_graph(ops, nops, mode, &err)) == NULL)
		{
			unit_check(false, "%s: %s", c->name, err.detail);
			continue;
		}
		unit_check(strcmp(order_text(graph), c->order) == 0, "%s: order %s, not %s", c->name, out, c->order);
		if (c->result == NULL)
			continue;
		good = run_all(graph, &err);
		if (c->result[0] == '!')
			unit_check(!good && err.status == 409, "%s: %s", c->name, good ? "done" : err.detail);
		else
			unit_check(good && strcmp(out, c->result) == 0, "%s: %s, got\n%s, not\n%s", c->name, err.detail, out, c->result);
	}
}

static void
test_duplicates(void)
{
	ScimError	err;

	memset(&err, 0, sizeof(err));
	unit_world_fresh();
	unit_check(read_ops("[" USER("a", "") "," USER("b", "") ",{\"method\":\"DELETE\",\"bulkId\":\"a\",\"to\":\"User\",\"id\":\"7\"}]", &err) &&
			   scim_bulk_graph(ops, nops, mode, &err) == NULL && err.status == 400 &&
			   strcmp(err.scim_type, SCIM_INVALID_SYNTAX) == 0 && strstr(err.detail, "Operations[2]") != NULL,
			   "two of one bulkId: %s", err.detail);
}

/* A unit that was undone has no ids, and who refers to it is 409. */
static void
test_undone(void)
{
	ScimError	err;

	memset(&err, 0, sizeof(err));
	unit_world_fresh();
	unit_check(read_ops("[" USER("u", "") "," GROUP("g", REF("u")) "]", &err) &&
			   scim_bulk_graph(ops, nops, mode, &err) != NULL && scim_bulk_prepare(&ops[0], &err), "%s", err.detail);
	ops[0].new_id = NULL;
	unit_check(!scim_bulk_prepare(&ops[1], &err) && err.status == 409 && strstr(err.detail, "members") != NULL, "%s", err.detail);
}

/* As many as may be, in one chain: the recursion is that deep. */
static void
test_chain(void)
{
	static char text[200 * MAX_OPS];
	size_t		n = 0;
	ScimError	err;
	ScimBulkGraph *graph;
	bool		sorted = true;

	memset(&err, 0, sizeof(err));
	unit_world_fresh();
	for (int i = 0; i < MAX_OPS; i++)
		n += (size_t) snprintf(text + n, sizeof(text) - n,
							   "%c{\"method\":\"POST\",\"to\":\"Group\",\"bulkId\":\"%d\",\"data\":{\"members\":[{\"value\":\"bulkId:%d\"}]}}",
							   i > 0 ? ',' : '[', i, i + 1);
	snprintf(text + n, sizeof(text) - n, "]");
	if (!read_ops(text, &err) || (graph = scim_bulk_graph(ops, nops, mode, &err)) == NULL)
	{
		unit_check(false, "%s", err.detail);
		return;
	}
	for (int i = 0; i < MAX_OPS; i++)
		sorted = sorted && graph->order[i] == &ops[MAX_OPS - 1 - i];
	unit_check(sorted && graph->nunits == MAX_OPS, "a chain of %d comes out from its end", MAX_OPS);
}

static bool
torture(void *arg, ScimError *err)
{
	const Case *c = arg;
	ScimBulkGraph *graph;

	if (!read_ops(c->operations, err))
		return false;
	graph = scim_bulk_graph(ops, nops, mode, err);
	if (graph == NULL || !run_all(graph, err))
		return false;
	return strcmp(out, c->result) == 0;
}

static void
test_torture(void)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		unit_world_fresh();
		if (cases[i].result != NULL && cases[i].result[0] != '!')
			unit_torture(cases[i].name, torture, (void *) &cases[i]);
	}
}

int
main(void)
{
	unit_run("references, order, ids", test_cases);
	unit_run("bulkIds twice", test_duplicates);
	unit_run("undone", test_undone);
	unit_run("a chain", test_chain);
	unit_run("torture", test_torture);
	return unit_finish();
}
