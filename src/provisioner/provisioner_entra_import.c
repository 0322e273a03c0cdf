/*
 * provisioner_entra_import.c
 *		A synchronization schema that Microsoft Graph exports, as a mapping and
 *		a sync, with a report that leaves nothing out.
 *
 * An object mapping of the schema becomes rows of the report: one for each
 * attribute, for the scope, for the actions, and for what is around it.  A row
 * says what something became or why it did not.  scim.import_entra_schema then
 * makes what the rows say, through scim.create_mapping and scim.create_sync as
 * the caller, so that their checks and their rights are the only ones.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/tuplestore.h"

#include "provisioner_engine.h"
#include "provisioner_entra.h"
#include "../catalog/catalog.h"
#include "../compat.h"
#include "../core/core_path.h"
#include "../scim_guc.h"

PG_FUNCTION_INFO_V1(scim_translate_entra_expression);
PG_FUNCTION_INFO_V1(scim_translate_entra_schema);
PG_FUNCTION_INFO_V1(scim_import_entra_schema);

typedef struct Report
{
	ReturnSetInfo *result;
	ScimEntraColumns columns;
	const ScimResourceType *type;
	StringInfoData attributes;	/* members of the mapping's attributes, JSON */
	StringInfoData options;		/* members of the sync's attributes, JSON */
	List	   *paths;			/* that have a source */
	List	   *used;			/* attributes of Entra that some source names */
	bool		matches;		/* an attribute is matched */
	const char *scope;			/* SQL, or NULL */
	const char *unscoped;		/* why the scope is not known, or NULL */
	List	   *actions;
} Report;

pg_noreturn static void invalid(const char *what);

static void
invalid(const char *what)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("the synchronization schema %s", what)));
}

static void
put_row(Report *report, const char *kind, const char *path, const char *source, const char *sql,
		const char *options, const char *note)
{
	const char *texts[6] = {kind, path, source, sql, options, note};
	Datum		values[6];
	bool		nulls[6];

	for (int i = 0; i < lengthof(texts); i++)
	{
		nulls[i] = texts[i] == NULL;
		values[i] = nulls[i] ? (Datum) 0 : i == 4 ? DirectFunctionCall1(jsonb_in, CStringGetDatum(texts[i])) :
			CStringGetTextDatum(texts[i]);
	}
	tuplestore_putvalues(report->result->setResult, report->result->setDesc, values, nulls);
}

static void
put_problem(Report *report, const char *path, const char *source, const char *problem)
{
	put_row(report, "report", path, source, NULL, NULL, problem);
}

static const char *
join_notes(List *notes)
{
	StringInfoData text;
	ListCell   *lc;

	if (notes == NIL)
		return NULL;
	initStringInfo(&text);
	foreach(lc, notes)
		appendStringInfo(&text, "%s%s", text.len ? "; " : "", (const char *) lfirst(lc));
	return text.data;
}

static void
append_member(StringInfo object, const char *name, const char *json)
{
	appendStringInfoString(object, object->len ? ", " : "");
	escape_json(object, name);
	appendStringInfo(object, ": %s", json);
}

static char *
json_text(const char *text)
{
	StringInfoData out;

	initStringInfo(&out);
	escape_json(&out, text);
	return out.data;
}

/* ---- arguments ---- */

/* "columns" names columns that are there, and child tables. */
static void
check_columns(const ScimEntraColumns *columns)
{
	JsonbIterator *it;
	JsonbValue	value;
	JsonbIteratorToken token;
	char	   *key = NULL;

	if (columns->given == NULL)
		return;
	if (!JsonContainerIsObject(columns->given))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"columns\" is a JSON object from attributes to columns")));
	it = JsonbIteratorInit(columns->given);
	(void) JsonbIteratorNext(&it, &value, true);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			key = pnstrdup(value.val.string.val, value.val.string.len);
		if (token != WJB_VALUE || value.type == jbvNull || value.type == jbvBinary)
			continue;
		if (value.type != jbvString)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"columns\" gives attribute \"%s\" neither a column nor a child table", key)));
		if (value.val.string.len >= NAMEDATALEN ||
			get_attnum(columns->relid, pnstrdup(value.val.string.val, value.val.string.len)) <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%.*s\" of attribute \"%s\" does not exist",
							value.val.string.len, value.val.string.val, key)));
	}
}

static ScimEntraColumns
columns_of(FunctionCallInfo fcinfo, int relation, int columns)
{
	ScimEntraColumns result = {InvalidOid, NULL};

	if (PG_ARGISNULL(relation))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a relation is needed")));
	result.relid = PG_GETARG_OID(relation);
	if (get_rel_name(result.relid) == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("relation %u does not exist", result.relid)));
	if (!PG_ARGISNULL(columns))
		result.given = &PG_GETARG_JSONB_P(columns)->root;
	check_columns(&result);
	return result;
}

/* ---- paths ---- */

/*
 * The filter of a value path as scim.create_mapping wants it: comparisons with
 * eq, and booleans that are none in Entra ("True").  NULL: *problem.
 */
static char *
value_filter(const ScimPath *path, const char **problem)
{
	ScimCoreFrame frame;
	json_t	   *fixed;
	StringInfoData text;
	void	   *iter;

	initStringInfo(&text);
	scim_core_enter(&frame);
	fixed = scim_json_object();
	if (fixed == NULL || !scim_filter_template(path->filter, fixed) || json_object_size(fixed) == 0 ||
		(path->sub == NULL && path->attr->type == SCIM_TYPE_COMPLEX))
		*problem = "a value of many is named by a filter of eq comparisons, and a sub-attribute";
	for (iter = *problem ? NULL : json_object_iter(fixed); iter; iter = json_object_iter_next(fixed, iter))
	{
		const char *name = json_object_iter_key(iter);
		const json_t *value = json_object_iter_value(iter);
		const ScimAttr *sub = scim_attr_sub(path->attr, name, strlen(name));
		size_t		len;
		char	   *json = scim_json_print(value, &len);

		if (json == NULL)
			ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
		if (sub && sub->type == SCIM_TYPE_BOOLEAN && json_is_string(value))
			json = pg_strcasecmp(json_string_value(value), "true") == 0 ? "true" : "false";
		if (sub && sub == path->sub)
			*problem = "its filter says already what the value is";
		appendStringInfo(&text, "%s%s eq %s", text.len ? " and " : "", name, json);
	}
	scim_core_leave(&frame);
	return *problem ? NULL : text.data;
}

/* What keeps an attribute from having one source, or NULL. */
static const char *
target_problem(const ScimResourceType *type, const ScimPath *path)
{
	if (path->attr == NULL)
		return "the target attribute is a whole schema";
	if (path->attr == type->a_id || path->attr == type->a_schemas || path->attr == type->a_meta ||
		path->attr->mutability == SCIM_READ_ONLY)
		return "the target attribute is made by the target";
	if (!path->attr->multi && path->filter)
		return "only an attribute of many values has a filter";
	if (!path->attr->multi && path->attr->type == SCIM_TYPE_COMPLEX && path->sub == NULL)
		return "a complex attribute is mapped by its sub-attributes";
	return NULL;
}

/*
 * The path of a target attribute as scim.create_mapping wants it; NULL:
 * *problem.  Entra names the manager without its sub-attribute.
 */
static char *
canonical_path(const ScimResourceType *type, const char *text, ScimPath **parsed, const char **problem)
{
	ScimError	err;
	ScimPath   *path;
	char		name[512];
	char	   *filter = NULL;

	memset(&err, 0, sizeof(err));
	path = scim_path_parse(type, text, strlen(text), SCIM_COMPAT, &err);
	*parsed = path;
	*problem = NULL;
	if (path == NULL)
	{
		*problem = psprintf("the target attribute is not one of %s: %s", type->name, err.detail);
		return NULL;
	}
	if (path->attr && !path->attr->multi && path->attr->type == SCIM_TYPE_COMPLEX && path->sub == NULL)
		path->sub = scim_attr_sub(path->attr, "value", 5);
	*problem = target_problem(type, path);
	if (*problem == NULL && path->filter)
		filter = value_filter(path, problem);
	if (*problem)
		return NULL;
	(void) scim_attr_path(type, path->attr, name, sizeof(name));
	return psprintf("%s%s%s", name, filter ? psprintf("[%s]", filter) : "", path->sub ? psprintf(".%s", path->sub->name) : "");
}

/* ---- attributes ---- */

/* What stands in the report for a source. */
static const char *
source_text(JsonbContainer *source)
{
	char	   *expression = scim_entra_string(source, "expression");

	return expression ? expression : scim_entra_string(source, "name");
}

static double
matching_priority(JsonbContainer *list, uint32 index)
{
	JsonbContainer *mapping = scim_entra_object(getIthJsonbValueFromContainer(list, index));
	JsonbValue *priority = mapping ? scim_entra_member(mapping, "matchingPriority") : NULL;

	if (priority == NULL || priority->type != jbvNumeric)
		return 0;
	return DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow, NumericGetDatum(priority->val.numeric)));
}

/* Place of an attribute mapping among those that match, from 1; 0: it does not. */
static int
match_rank(JsonbContainer *list, uint32 index)
{
	double		own = matching_priority(list, index);
	int			rank = 1;

	if (own <= 0)
		return 0;
	for (uint32 i = 0; i < JsonContainerSize(list); i++)
	{
		double		other = matching_priority(list, i);

		if (other > 0 && (other < own || (other == own && i < index)))
			rank++;
	}
	return rank;
}

/* Options of the sync for one attribute, as members of a JSON object; notes what is not the same there. */
static void
add_options(Report *report, JsonbContainer *list, uint32 index, const ScimPath *path, bool nullable,
			const char *default_value, StringInfo options, List **notes)
{
	JsonbContainer *mapping = scim_entra_object(getIthJsonbValueFromContainer(list, index));
	char	   *flow = scim_entra_string(mapping, "flowType");
	char	   *behavior = scim_entra_string(mapping, "flowBehavior");
	int			rank = match_rank(list, index);
	const ScimAttr *attr = path->sub ? path->sub : path->attr;

	if (rank > 0 && (attr->type == SCIM_TYPE_COMPLEX || rank > 100))
		*notes = lappend(*notes, "it is not matched");
	else if (rank > 0)
	{
		append_member(options, "match", psprintf("%d", rank));
		report->matches = true;
		if (rank > SCIM_MAX_RULES)
			*notes = lappend(*notes, psprintf("a sync matches by the first %d attributes only", SCIM_MAX_RULES));
	}

	if (flow && (pg_strcasecmp(flow, "ObjectAddOnly") == 0 || pg_strcasecmp(flow, "AttributeAddOnly") == 0))
	{
		append_member(options, "apply", pg_strcasecmp(flow, "ObjectAddOnly") == 0 ? "\"create_only\"" : "\"if_absent\"");
		if (path->attr->multi)
			*notes = lappend(*notes, psprintf("a sync applies that to all values of %s", path->attr->name));
	}
	else if (flow && (pg_strcasecmp(flow, "ValueAddOnly") == 0 || pg_strcasecmp(flow, "MultiValueAddOnly") == 0))
		append_member(options, "apply", "\"add_only\"");
	else if (flow && pg_strcasecmp(flow, "Always") != 0)
		*notes = lappend(*notes, psprintf("flowType %s: the attribute is always sent, and not taken away when it is null", flow));
	if (behavior && pg_strcasecmp(behavior, "FlowWhenChanged") != 0)
		*notes = lappend(*notes, psprintf("flowBehavior %s: what the target has already is not sent again", behavior));

	if (default_value)
		*notes = lappend(*notes, "the default is applied to updates, too, not only to what is created");
	if (default_value && !path->attr->multi)
	{
		append_member(options, "on_null", "\"default\"");
		append_member(options, "default", attr->type == SCIM_TYPE_BOOLEAN || attr->type == SCIM_TYPE_INTEGER ||
					  attr->type == SCIM_TYPE_DECIMAL ? default_value : json_text(default_value));
	}
	else if (nullable)
		append_member(options, "on_null", "\"skip\"");
}

static void
put_mapping(Report *report, const char *path, const char *source, const char *sql, bool is_json,
			const char *options, List *notes)
{
	put_row(report, "mapping", path, source, sql, options[0] ? psprintf("{%s}", options) : NULL, join_notes(notes));
	append_member(&report->attributes, path, is_json ? sql : json_text(sql));
	if (options[0])
		append_member(&report->options, path, psprintf("{%s}", options));
	report->paths = lappend(report->paths, unconstify(char *, path));
}

static bool
is_mapped(const Report *report, const char *path)
{
	ListCell   *lc;

	foreach(lc, report->paths)
		if (strcmp((const char *) lfirst(lc), path) == 0)
			return true;
	return false;
}

/*
 * An attribute that "columns" gives a child table (an object, or a list of
 * them); its JSON text, or NULL.
 */
static char *
child_table(const Report *report, const ScimEntraNode *node)
{
	JsonbValue *given = node->kind == SCIM_ENTRA_ATTRIBUTE ? scim_entra_given_column(&report->columns, node->text) : NULL;

	return given && given->type == jbvBinary ? JsonbToCString(NULL, given->val.binary.data, given->val.binary.len) : NULL;
}

/* A default as JSON (boolean, number) or text that the attribute can have; false: it cannot. */
static bool
check_default(ScimType type, char **value)
{
	char	   *end;

	if (type == SCIM_TYPE_BOOLEAN)
	{
		if (pg_strcasecmp(*value, "true") != 0 && pg_strcasecmp(*value, "false") != 0)
			return false;
		*value = pg_strcasecmp(*value, "true") == 0 ? "true" : "false";
	}
	else if (type == SCIM_TYPE_INTEGER || type == SCIM_TYPE_DECIMAL)
	{
		if (strlen(*value) > 18)
			return false;
		(void) strtol(*value, &end, 10);
		return end != *value && *end == '\0';
	}
	return true;
}

static void
translate_attribute(Report *report, JsonbContainer *list, uint32 index)
{
	JsonbContainer *mapping = scim_entra_object(getIthJsonbValueFromContainer(list, index));
	char	   *target = mapping ? scim_entra_string(mapping, "targetAttributeName") : NULL;
	JsonbContainer *source = mapping ? scim_entra_object(scim_entra_member(mapping, "source")) : NULL;
	char	   *default_value = mapping ? scim_entra_string(mapping, "defaultValue") : NULL;
	char	   *flow = mapping ? scim_entra_string(mapping, "flowType") : NULL;
	const char *text = source ? source_text(source) : NULL;
	const char *problem = NULL;
	ScimEntraTarget wanted;
	ScimEntraNode *node;
	ScimEntraSql sql;
	ScimPath   *parsed = NULL;
	const ScimAttr *attr;
	char	   *path;
	char	   *child;
	StringInfoData options;

	initStringInfo(&options);
	if (target == NULL)
	{
		put_problem(report, NULL, text, psprintf("attribute mapping %u has no target attribute", index + 1));
		return;
	}
	if (default_value && default_value[0] == '\0')
		default_value = NULL;
	if (source)
		node = scim_entra_source(source, &problem);
	else
	{
		node = default_value ? scim_entra_node(SCIM_ENTRA_CONSTANT, default_value, 0) : NULL;
		problem = "it has neither a source nor a default";
		default_value = NULL;
	}
	if (node == NULL)
	{
		put_problem(report, target, text, problem);
		return;
	}
	report->used = list_concat(report->used, scim_entra_attributes(node));

	path = canonical_path(report->type, target, &parsed, &problem);
	if (path == NULL)
	{
		put_problem(report, target, text, problem);
		return;
	}
	if (is_mapped(report, path))
	{
		put_problem(report, path, text, "the target attribute has a source already");
		return;
	}
	child = child_table(report, node);
	if (child)
	{
		if (!parsed->attr->multi || parsed->filter || parsed->sub)
			put_problem(report, path, text, "only an attribute of many values, as a whole, lives in a child table");
		else
		{
			List	   *notes = NIL;

			add_options(report, list, index, parsed, false, NULL, &options, &notes);
			put_mapping(report, path, text, child, true, options.data, notes);
		}
		return;
	}
	if (parsed->attr->multi && parsed->filter == NULL)
	{
		put_problem(report, path, text, "it has many values: give its source attribute a child table in \"columns\"");
		return;
	}

	attr = parsed->sub ? parsed->sub : parsed->attr;
	if (default_value && !check_default(attr->type, &default_value))
	{
		put_problem(report, path, text, psprintf("its default is no %s", scim_type_name(attr->type)));
		return;
	}
	wanted.type = attr->type;
	wanted.default_value = parsed->attr->multi ? default_value : NULL;
	wanted.create_only = flow && pg_strcasecmp(flow, "ObjectAddOnly") == 0;
	sql = scim_entra_sql(&report->columns, node, &wanted);
	if (sql.sql == NULL)
	{
		put_problem(report, path, text, sql.problem);
		return;
	}
	if (!parsed->attr->multi && parsed->attr->type == SCIM_TYPE_COMPLEX && strcmp(attr->name, "value") == 0)
		sql.notes = lappend(sql.notes, "a reference: its value is the key of a row");
	add_options(report, list, index, parsed, !sql.constant, sql.constant ? NULL : default_value, &options, &sql.notes);
	put_mapping(report, path, text, sql.sql, false, options.data, sql.notes);
}

/* ---- object mappings ---- */

static void
translate_scope(Report *report, JsonbContainer *object)
{
	ScimEntraScope scope = scim_entra_scope(&report->columns, scim_entra_object(scim_entra_member(object, "scope")));

	report->used = list_concat(report->used, scope.attributes);
	report->scope = scope.sql.sql;
	report->unscoped = scope.sql.problem;
	if (report->unscoped)
		put_problem(report, "scope", scope.source, report->unscoped);
	else if (report->scope)
		put_row(report, "scope", NULL, scope.source, report->scope, NULL, join_notes(scope.sql.notes));
}

/* "Add, Update, Delete" */
static void
translate_actions(Report *report, JsonbContainer *object)
{
	static const char *const names[][2] = {{"Add", "create"}, {"Update", "update"}, {"Delete", "delete"}};
	char	   *flows = scim_entra_string(object, "flowTypes");
	StringInfoData json;
	char	   *state;

	initStringInfo(&json);
	if (flows == NULL)
		flows = "Add, Update, Delete";
	for (char *word = strtok_r(pstrdup(flows), ", ", &state); word; word = strtok_r(NULL, ", ", &state))
	{
		const char *action = NULL;

		for (int i = 0; i < lengthof(names); i++)
			if (pg_strcasecmp(word, names[i][0]) == 0)
				action = names[i][1];
		if (action == NULL)
		{
			put_problem(report, "actions", flows, psprintf("flow type \"%s\" is not known", word));
			continue;
		}
		report->actions = lappend(report->actions, unconstify(char *, action));
		appendStringInfo(&json, "%s\"%s\"", json.len ? ", " : "", action);
	}
	if (report->actions == NIL)
		put_problem(report, "actions", flows, "nothing is done at the target");
	else
		put_row(report, "actions", NULL, flows, NULL, psprintf("[%s]", json.data), NULL);
}

static bool
is_enabled(JsonbContainer *object)
{
	JsonbValue *value = scim_entra_member(object, "enabled");

	return value == NULL || value->type != jbvBool || value->val.boolean;
}

/* Its target is a name or a URN that ends in one. */
static bool
is_for(JsonbContainer *object, const char *resource_type)
{
	char	   *name = scim_entra_string(object, "targetObjectName");
	char	   *colon = name ? strrchr(name, ':') : NULL;

	return name && pg_strcasecmp(colon ? colon + 1 : name, resource_type) == 0;
}

static const char *
object_text(JsonbContainer *object)
{
	char	   *source = scim_entra_string(object, "sourceObjectName");
	char	   *target = scim_entra_string(object, "targetObjectName");

	return psprintf("%s to %s", source ? source : "?", target ? target : "?");
}

/* All object mappings of all rules. */
static List *
object_mappings(JsonbContainer *schema)
{
	JsonbContainer *rules = JsonContainerIsObject(schema) ? scim_entra_array(schema, "synchronizationRules") : NULL;
	List	   *list = NIL;

	if (rules == NULL)
		invalid("has no synchronizationRules");
	for (uint32 i = 0; i < JsonContainerSize(rules); i++)
	{
		JsonbContainer *rule = scim_entra_object(getIthJsonbValueFromContainer(rules, i));
		JsonbContainer *objects = rule ? scim_entra_array(rule, "objectMappings") : NULL;

		if (objects == NULL)
			invalid(psprintf("has no objectMappings in its rule %u", i + 1));
		for (uint32 j = 0; j < JsonContainerSize(objects); j++)
		{
			JsonbContainer *object = scim_entra_object(getIthJsonbValueFromContainer(objects, j));

			if (object == NULL)
				invalid(psprintf("has an object mapping that is no object in its rule %u", i + 1));
			list = lappend(list, object);
		}
	}
	return list;
}

/* The one for the resource type: of several, the one that is enabled. */
static JsonbContainer *
choose_object(List *objects, const char *resource_type)
{
	JsonbContainer *chosen = NULL;
	int			enabled = 0;
	int			disabled = 0;
	ListCell   *lc;

	foreach(lc, objects)
	{
		JsonbContainer *object = (JsonbContainer *) lfirst(lc);

		if (!is_for(object, resource_type))
			continue;
		if (is_enabled(object) ? enabled++ == 0 : disabled++ == 0 && enabled == 0)
			chosen = object;
	}
	if (chosen == NULL)
		invalid(psprintf("has no object mapping whose target is \"%s\"", resource_type));
	if (enabled > 1 || (enabled == 0 && disabled > 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the synchronization schema has several object mappings whose target is \"%s\"", resource_type),
				 errhint("Take the others out of the JSON, or disable them there.")));
	return chosen;
}

/* What "columns" says of attributes that nothing reads. */
static void
report_unused(Report *report)
{
	JsonbIterator *it;
	JsonbValue	value;
	JsonbIteratorToken token;

	if (report->columns.given == NULL)
		return;
	it = JsonbIteratorInit(report->columns.given);
	(void) JsonbIteratorNext(&it, &value, true);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		ListCell   *lc;
		bool		used = false;
		char	   *key;

		if (token != WJB_KEY)
			continue;
		key = pnstrdup(value.val.string.val, value.val.string.len);
		foreach(lc, report->used)
			used = used || strcmp((const char *) lfirst(lc), key) == 0;
		if (!used)
			put_problem(report, NULL, psprintf("[%s]", key), "\"columns\" has the attribute, and nothing reads it");
	}
}

/* Fill the report. */
static void
translate_object(Report *report, Jsonb *schema, const char *resource_type)
{
	List	   *objects = object_mappings(&schema->root);
	JsonbContainer *object = choose_object(objects, resource_type);
	JsonbContainer *list = scim_entra_array(object, "attributeMappings");
	ListCell   *lc;

	report->type = scim_catalog_resource_type(resource_type);
	if (report->type == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("resource type \"%s\" does not exist", resource_type)));
	initStringInfo(&report->attributes);
	initStringInfo(&report->options);
	for (uint32 i = 0; list && i < JsonContainerSize(list); i++)
	{
		CHECK_FOR_INTERRUPTS();
		translate_attribute(report, list, i);
	}
	translate_scope(report, object);
	translate_actions(report, object);

	if (!is_enabled(object))
		put_problem(report, NULL, object_text(object), "the object mapping is not enabled in Entra");
	if (!report->matches)
		put_problem(report, NULL, object_text(object),
					"no attribute is matched: a sync without one matches by externalId, userName or displayName");
	foreach(lc, objects)
		if (lfirst(lc) != object)
			put_problem(report, NULL, object_text((JsonbContainer *) lfirst(lc)), "another object mapping, which was not looked at");
	report_unused(report);
}

/* ---- SQL functions ---- */

Datum
scim_translate_entra_expression(PG_FUNCTION_ARGS)
{
	ScimEntraColumns columns = columns_of(fcinfo, 1, 2);
	ScimEntraTarget target = {.type = SCIM_TYPE_STRING};
	const char *problem = NULL;
	ScimEntraNode *node;
	ScimEntraSql sql;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	node = scim_entra_parse(text_to_cstring(PG_GETARG_TEXT_PP(0)), &problem);
	if (node)
	{
		sql = scim_entra_sql(&columns, node, &target);
		problem = sql.problem;
	}
	if (problem)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s", problem)));
	PG_RETURN_TEXT_P(cstring_to_text(sql.sql));
}

/* The arguments that both functions on schemas have. */
static void
begin_report(Report *report, FunctionCallInfo fcinfo, int relation, int columns, int resource_type)
{
	memset(report, 0, sizeof(*report));
	report->result = (ReturnSetInfo *) fcinfo->resultinfo;
	if (PG_ARGISNULL(0) || PG_ARGISNULL(resource_type))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a synchronization schema and a resource type are needed")));
	report->columns = columns_of(fcinfo, relation, columns);
	scim_heap_begin((size_t) scim_request_memory * 1024);
	translate_object(report, PG_GETARG_JSONB_P(0), text_to_cstring(PG_GETARG_TEXT_PP(resource_type)));
}

Datum
scim_translate_entra_schema(PG_FUNCTION_ARGS)
{
	Report		report;

	scim_init_materialized(fcinfo);
	SPI_connect();
	scim_catalog_begin();
	begin_report(&report, fcinfo, 1, 2, 3);
	scim_catalog_end();
	SPI_finish();
	return (Datum) 0;
}

static void
execute(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls)
{
	int			code = SPI_execute_with_args(sql, nargs, types, values, nulls, false, 0);

	if (code != SPI_OK_SELECT)
		elog(ERROR, "could not execute \"%s\": %s", sql, SPI_result_code_string(code));
}

static Datum
json_object_datum(const char *members)
{
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(psprintf("{%s}", members)));
}

static void
make_sync(const Report *report, FunctionCallInfo fcinfo)
{
	Oid			types[6] = {TEXTOID, TEXTOID, NAMEOID, TEXTARRAYOID, TEXTOID, JSONBOID};
	Datum		values[6];
	char		nulls[7] = "      ";
	Datum	   *actions = palloc(sizeof(Datum) * 3);
	int			n = 0;
	ListCell   *lc;

	if (report->unscoped)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the scope of the object mapping could not be translated"),
				 errdetail_internal("%s", report->unscoped),
				 errhint("Import the mapping alone, and give scim.create_sync a scope.")));
	if (report->actions == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the object mapping has no flow type that a sync could have")));
	foreach(lc, report->actions)
		if (n < 3)
			actions[n++] = CStringGetTextDatum((const char *) lfirst(lc));
	values[0] = PG_GETARG_DATUM(7);
	values[1] = PG_GETARG_DATUM(1);
	values[2] = PG_GETARG_DATUM(8);
	values[3] = PointerGetDatum(construct_array(actions, n, TEXTOID, -1, false, TYPALIGN_INT));
	values[4] = report->scope ? CStringGetTextDatum(report->scope) : (Datum) 0;
	if (report->scope == NULL)
		nulls[4] = 'n';
	values[5] = json_object_datum(report->options.data);
	execute("SELECT scim.create_sync(name => $1, mapping => $2, server => $3, actions => $4, scope => $5, attributes => $6)",
			6, types, values, nulls);
}

Datum
scim_import_entra_schema(PG_FUNCTION_ARGS)
{
	Report		report;
	Oid			types[6] = {TEXTOID, TEXTOID, REGCLASSOID, TEXTOID, JSONBOID, NAMEOID};
	Datum		values[6];
	char		nulls[7] = "      ";

	scim_init_materialized(fcinfo);
	if (PG_ARGISNULL(7) != PG_ARGISNULL(8))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a sync needs a name and a server")));
	SPI_connect();
	scim_catalog_begin();
	begin_report(&report, fcinfo, 2, 4, 6);
	if (report.paths == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("no attribute of the object mapping could be translated"),
				 errhint("scim.translate_entra_schema says why.")));

	for (int i = 0; i < 4; i++)
	{
		static const int arguments[] = {1, 6, 2, 3};

		values[i] = PG_GETARG_DATUM(arguments[i]);
		nulls[i] = PG_ARGISNULL(arguments[i]) ? 'n' : ' ';
	}
	values[4] = json_object_datum(report.attributes.data);
	values[5] = PG_GETARG_DATUM(5);
	nulls[5] = PG_ARGISNULL(5) ? 'n' : ' ';
	execute("SELECT scim.create_mapping(name => $1, resource_type => $2, relation => $3, key => $4, attributes => $5, owner => $6)",
			6, types, values, nulls);
	if (!PG_ARGISNULL(7))
		make_sync(&report, fcinfo);
	scim_catalog_end();
	SPI_finish();
	return (Datum) 0;
}
