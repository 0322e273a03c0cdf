/*
 * catalog_language.c
 *		The SCIM language in SQL: fold, filters, PATCH, validation, projection,
 *		and schemas defined by users.
 *
 * For people who write integrations, and for tests.  Values come as jsonb and
 * resource types by name; the registry of this database says what they hold.
 *
 * Errors of core become errors of class SC: SQLSTATE SC400 for status 400 and
 * so on, the detail as message, and "status=400 scimType=invalidFilter" as
 * DETAIL.  Everything that may raise happens between calls of core, never in
 * them.
 *
 * The functions are named scim_<name>_sql here, because core has a scim_fold()
 * and a scim_project() itself.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "catalog.h"
#include "../core/core_filter.h"
#include "../core/core_fold.h"
#include "../core/core_patch.h"
#include "../core/core_project.h"
#include "../core/core_validate.h"
#include "../scim_guc.h"

#define MESSAGES_PREFIX "urn:ietf:params:scim:api:messages:"

PG_FUNCTION_INFO_V1(scim_fold_sql);
PG_FUNCTION_INFO_V1(scim_filter_canonical_sql);
PG_FUNCTION_INFO_V1(scim_filter_matches_sql);
PG_FUNCTION_INFO_V1(scim_patch_apply_sql);
PG_FUNCTION_INFO_V1(scim_validate_sql);
PG_FUNCTION_INFO_V1(scim_project_sql);
PG_FUNCTION_INFO_V1(scim_create_schema_sql);
PG_FUNCTION_INFO_V1(scim_drop_schema_sql);

/* ---- errors and arguments ---- */

/* An error of core, as an error of class SC. */
static void
raise_error(const ScimError *err)
{
	int			sqlstate = MAKE_SQLSTATE('S', 'C', '0' + err->status / 100 % 10,
										 '0' + err->status / 10 % 10, '0' + err->status % 10);

	if (err->scim_type)
		ereport(ERROR,
				(errcode(sqlstate), errmsg("%s", err->detail),
				 errdetail("status=%d scimType=%s", err->status, err->scim_type)));
	ereport(ERROR,
			(errcode(sqlstate), errmsg("%s", err->detail), errdetail("status=%d", err->status)));
}

/* Each call has the memory of a request. */
static void
begin(ScimError *err)
{
	memset(err, 0, sizeof(*err));
	err->position = -1;
	scim_heap_begin((size_t) scim_request_memory * 1024);
}

static ScimMode
mode_argument(const text *mode)
{
	char	   *name = text_to_cstring(mode);

	if (strcmp(name, "strict") == 0)
		return SCIM_STRICT;
	if (strcmp(name, "compat") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mode must be \"strict\" or \"compat\"")));
	return SCIM_COMPAT;
}

static const ScimResourceType *
type_argument(const text *name)
{
	char	   *cname = text_to_cstring(name);
	const ScimResourceType *type = scim_catalog_resource_type(cname);

	if (type == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("resource type \"%s\" does not exist", cname)));
	return type;
}

static json_t *
json_argument(Jsonb *jsonb)
{
	ScimError	err;
	char	   *text = JsonbToCString(NULL, &jsonb->root, VARSIZE(jsonb));
	json_t	   *value;

	memset(&err, 0, sizeof(err));
	value = scim_json_parse(text, strlen(text), &err);
	if (value == NULL)
		raise_error(&err);
	return value;
}

/* A resource in the schema's spelling, nothing left out that the type knows. */
static json_t *
resource_argument(const ScimResourceType *type, Jsonb *jsonb)
{
	ScimError	err;
	json_t	   *value = json_argument(jsonb);
	ScimSelection *all;

	memset(&err, 0, sizeof(err));
	if (!json_is_object(value))
		scim_fail(&err, 400, SCIM_INVALID_SYNTAX, "a resource is a JSON object");
	else if ((all = scim_selection_all(type, &err)) != NULL)
		value = scim_project(type, value, all, &err);
	if (err.status)
		raise_error(&err);
	return value;
}

/* NULL elements are left out. */
static const char **
names_argument(ArrayType *array, int *n)
{
	Datum	   *elements;
	bool	   *nulls;
	int			count;
	const char **names;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
	names = palloc(sizeof(char *) * Max(count, 1));
	*n = 0;
	for (int i = 0; i < count; i++)
		if (!nulls[i])
			names[(*n)++] = TextDatumGetCString(elements[i]);
	return names;
}

/* What compat has rewritten is for those who ask: SET client_min_messages = debug1. */
static void
tell_rewrites(const ScimReport *report)
{
	StringInfoData text;

	if (report->rewrites == 0)
		return;
	initStringInfo(&text);
	for (int i = 0; i < report->nkinds; i++)
		appendStringInfo(&text, "%s%s (%d)", i ? ", " : "", report->kinds[i].name, report->kinds[i].count);
	ereport(DEBUG1, (errmsg_internal("rewritten for compatibility: %s", text.data)));
}

/* The end of a function that answers with JSON: raises if there is no value. */
static Datum
json_result(const json_t *value, ScimError *err)
{
	char	   *text = value ? scim_json_print(value, NULL) : NULL;
	Datum		result;

	if (text == NULL)
	{
		scim_fail_memory(err);
		raise_error(err);
	}
	result = DirectFunctionCall1(jsonb_in, CStringGetDatum(text));
	scim_catalog_end();
	return result;
}

/* ---- fold ---- */

Datum
scim_fold_sql(PG_FUNCTION_ARGS)
{
	text	   *value = PG_GETARG_TEXT_PP(0);
	const char *s = VARDATA_ANY(value);
	size_t		len = VARSIZE_ANY_EXHDR(value);
	text	   *result = palloc(len + VARHDRSZ);
	char	   *out = VARDATA(result);
	unsigned char bits = 0;
	char	   *folded;

	/* one pass over what nearly always is ASCII, without a second copy */
	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) s[i];

		bits |= c;
		out[i] = (char) (c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
	}
	if (bits < 0x80)
	{
		SET_VARSIZE(result, len + VARHDRSZ);
		PG_RETURN_TEXT_P(result);
	}

	folded = scim_fold(s, len, &len);
	if (folded == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory"),
				 errdetail("A text could not be folded within the memory of a request.")));
	pfree(result);
	result = cstring_to_text_with_len(folded, (int) len);
	scim_free(folded);
	PG_RETURN_TEXT_P(result);
}

/* ---- filters ---- */

Datum
scim_filter_canonical_sql(PG_FUNCTION_ARGS)
{
	text	   *filter = PG_GETARG_TEXT_PP(0);
	ScimError	err;
	ScimFilter *parsed;
	char	   *printed = NULL;

	begin(&err);
	parsed = scim_filter_parse(VARDATA_ANY(filter), VARSIZE_ANY_EXHDR(filter),
							   SCIM_FILTER_MAX_LENGTH, SCIM_COMPAT, &err);
	if (parsed != NULL)
	{
		printed = scim_filter_print(parsed);
		if (printed == NULL)
			scim_fail_memory(&err);
	}
	if (err.status)
		raise_error(&err);
	PG_RETURN_TEXT_P(cstring_to_text(printed));
}

Datum
scim_filter_matches_sql(PG_FUNCTION_ARGS)
{
	text	   *filter = PG_GETARG_TEXT_PP(2);
	ScimMode	mode = mode_argument(PG_GETARG_TEXT_PP(3));
	const ScimResourceType *type;
	ScimError	err;
	ScimFilter *parsed;
	json_t	   *resource;
	bool		matches;

	begin(&err);
	scim_catalog_begin();
	type = type_argument(PG_GETARG_TEXT_PP(0));
	parsed = scim_filter_parse(VARDATA_ANY(filter), VARSIZE_ANY_EXHDR(filter),
							   SCIM_FILTER_MAX_LENGTH, mode, &err);
	if (parsed == NULL || !scim_filter_bind(type, parsed, mode, &err))
		raise_error(&err);
	resource = resource_argument(type, PG_GETARG_JSONB_P(1));
	matches = scim_filter_eval(type, parsed, resource);
	scim_catalog_end();
	PG_RETURN_BOOL(matches);
}

/* ---- PATCH, validation, projection ---- */

Datum
scim_patch_apply_sql(PG_FUNCTION_ARGS)
{
	ScimMode	mode = mode_argument(PG_GETARG_TEXT_PP(3));
	const ScimResourceType *type;
	ScimError	err;
	json_t	   *resource;
	json_t	   *request;
	ScimPatch  *patch;
	json_t	   *after = NULL;
	ScimReport	report = {0};
	bool		changed;

	begin(&err);
	scim_catalog_begin();
	type = type_argument(PG_GETARG_TEXT_PP(0));
	resource = resource_argument(type, PG_GETARG_JSONB_P(1));
	request = json_argument(PG_GETARG_JSONB_P(2));
	patch = scim_patch_parse(type, request, mode, &report, &err);
	if (patch != NULL)
		after = scim_patch_apply(type, patch, resource, mode, &changed, &report, &err);
	tell_rewrites(&report);
	return json_result(after, &err);
}

Datum
scim_validate_sql(PG_FUNCTION_ARGS)
{
	ScimMode	mode = mode_argument(PG_GETARG_TEXT_PP(2));
	const ScimResourceType *type;
	ScimError	err;
	ScimReport	report = {0};
	json_t	   *body;
	json_t	   *wanted;

	begin(&err);
	scim_catalog_begin();
	type = type_argument(PG_GETARG_TEXT_PP(0));
	body = json_argument(PG_GETARG_JSONB_P(1));
	wanted = scim_resource_wanted(type, body, NULL, mode, false, &report, &err);
	tell_rewrites(&report);
	return json_result(wanted, &err);
}

Datum
scim_project_sql(PG_FUNCTION_ARGS)
{
	const ScimResourceType *type;
	ScimError	err;
	const char **attributes = NULL;
	const char **excluded = NULL;
	int			nattributes = 0;
	int			nexcluded = 0;
	ScimSelection *selection;
	json_t	   *resource;
	json_t	   *projected = NULL;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_NULL();
	if (!PG_ARGISNULL(2))
		attributes = names_argument(PG_GETARG_ARRAYTYPE_P(2), &nattributes);
	if (!PG_ARGISNULL(3))
		excluded = names_argument(PG_GETARG_ARRAYTYPE_P(3), &nexcluded);

	begin(&err);
	scim_catalog_begin();
	type = type_argument(PG_GETARG_TEXT_PP(0));
	selection = scim_selection_make(type, attributes, nattributes, excluded, nexcluded, &err);
	if (selection == NULL)
		raise_error(&err);
	resource = json_argument(PG_GETARG_JSONB_P(1));
	if (!json_is_object(resource))
		scim_fail(&err, 400, SCIM_INVALID_SYNTAX, "a resource is a JSON object");
	else
		projected = scim_project(type, resource, selection, &err);
	return json_result(projected, &err);
}

/* ---- schemas ---- */

/*
 * The resource type that a schema extends: the one named, or the one that the
 * last part of the URI names; NULL: it is a base schema.
 */
static const ScimResourceType *
extended_type(const char *uri, const text *extends)
{
	const char *last;

	if (extends != NULL)
		return type_argument(extends);
	last = strrchr(uri, ':');
	return last ? scim_catalog_resource_type(last + 1) : NULL;
}

/* The definition as core understands it; raises what is wrong with it (22023). */
static const ScimSchema *
check_definition(const json_t *definition, const ScimResourceType *extends)
{
	ScimError	err;
	ScimRegistry *registry;
	const ScimSchema *schema = NULL;
	ScimExtension extension;

	memset(&err, 0, sizeof(err));
	registry = scim_registry_create(&err);
	if (registry != NULL && scim_registry_add_schema(registry, definition, &err))
	{
		schema = scim_registry_schema_at(registry, scim_registry_nschemas(registry) - 1);
		if (extends != NULL)
		{
			extension.schema = schema;
			extension.required = false;
			scim_resource_type_make(scim_catalog_registry(), extends->name, extends->endpoint, extends->description,
									extends->schema->uri, &extension, 1, NULL, NULL, &err);
		}
	}
	if (err.status)
		ereport(ERROR,
				(errcode(err.status == 400 ? ERRCODE_INVALID_PARAMETER_VALUE : ERRCODE_OUT_OF_MEMORY),
				 errmsg("%s", err.detail)));
	return schema;
}

/* What is unique is in a table, where the triggers of the built-in store see it. */
static void
note_unique(const ScimSchema *schema, const ScimAttr *attr)
{
	Oid			types[4] = {TEXTOID, TEXTOID, TEXTOID, BOOLOID};
	Datum		values[4];
	const char *top = attr->parent ? attr->parent->name : attr->name;

	for (int i = 0; i < attr->nsubs; i++)
		note_unique(schema, attr->subs[i]);
	if (attr->uniqueness == SCIM_UNIQUE_NONE || attr->type == SCIM_TYPE_COMPLEX || attr->type == SCIM_TYPE_BOOLEAN)
		return;
	values[0] = CStringGetTextDatum(schema->uri);
	values[1] = CStringGetTextDatum(attr->parent ? psprintf("%s.%s", top, attr->name) : top);
	/* lax: of a multi-valued attribute, each value */
	values[2] = CStringGetTextDatum(attr->parent ? psprintf("$.\"%s\".\"%s\"[*]", top, attr->name) : psprintf("$.\"%s\"[*]", top));
	values[3] = BoolGetDatum(attr->case_exact);
	if (scim_own_execute("note unique",
						 "INSERT INTO scim._unique_attributes (schema, attribute, path, case_exact) VALUES ($1, $2, $3::pg_catalog.jsonpath, $4)",
						 4, types, values, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write scim._unique_attributes");
}

Datum
scim_create_schema_sql(PG_FUNCTION_ARGS)
{
	Oid			types[4] = {TEXTOID, JSONBOID, TEXTOID, BOOLOID};
	Datum		values[4];
	char		nulls[4] = {' ', ' ', ' ', ' '};
	bool		required = !PG_ARGISNULL(2) && PG_GETARG_BOOL(2);
	ScimError	err;
	json_t	   *definition;
	const char *uri;
	const ScimResourceType *extends;
	const ScimSchema *schema;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("schema must not be null")));

	begin(&err);
	scim_catalog_begin();
	definition = json_argument(PG_GETARG_JSONB_P(0));
	uri = json_string_value(json_object_get(definition, "id"));
	if (uri == NULL)
	{
		/* says so in its own words */
		check_definition(definition, NULL);
		elog(ERROR, "a schema without id was accepted");
	}
	if (pg_strncasecmp(uri, MESSAGES_PREFIX, strlen(MESSAGES_PREFIX)) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("schema \"%s\" is a message of the protocol", uri)));
	if (scim_registry_schema(scim_catalog_registry(), uri, strlen(uri)) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("schema \"%s\" already exists", uri)));
	extends = extended_type(uri, PG_ARGISNULL(1) ? NULL : PG_GETARG_TEXT_PP(1));
	if (extends == NULL && required)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("schema \"%s\" cannot be required", uri),
				 errdetail("It extends no resource type."),
				 errhint("Name one: extends => 'User'")));
	if (extends != NULL && extends->nexts >= SCIM_MAX_EXTENSIONS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("resource type \"%s\" has %d extensions already", extends->name, extends->nexts)));
	schema = check_definition(definition, extends);

	SPI_connect();
	values[0] = CStringGetTextDatum(schema->uri);
	values[1] = PG_GETARG_DATUM(0);
	values[2] = extends ? CStringGetTextDatum(extends->name) : (Datum) 0;
	nulls[2] = extends ? ' ' : 'n';
	values[3] = BoolGetDatum(required);
	if (scim_own_execute("create schema",
						 "INSERT INTO scim._schemas (uri, definition, extends, required) VALUES ($1, $2, $3, $4)",
						 4, types, values, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write scim._schemas");
	for (int i = 0; i < schema->nattrs; i++)
		note_unique(schema, schema->attrs[i]);
	SPI_finish();
	scim_catalog_end();
	PG_RETURN_VOID();
}

/*
 * Raises if something needs the schema: a mapping has attributes of it or is
 * one of its resource type, or another schema extends that type.
 */
static void
check_unused(const ScimSchema *schema)
{
	Oid			types[2] = {TEXTOID, TEXTOID};
	Datum		values[2];
	const char *colon = strrchr(schema->uri, ':');

	values[0] = CStringGetTextDatum(schema->uri);
	values[1] = CStringGetTextDatum(strcmp(schema->name, schema->uri) != 0 ? schema->name : colon ? colon + 1 : "");
	if (scim_own_execute("schema in use",
						 "SELECT 'Mapping \"' OPERATOR(pg_catalog.||) m.name OPERATOR(pg_catalog.||) '\" uses it.'"
						 " FROM scim._mappings m WHERE EXISTS (SELECT 1 FROM pg_catalog.jsonb_object_keys(m.attributes) k"
						 "  WHERE pg_catalog.starts_with(pg_catalog.lower(k), pg_catalog.lower($1) OPERATOR(pg_catalog.||) ':'))"
						 " OR (pg_catalog.lower(m.resource_type) OPERATOR(pg_catalog.=) pg_catalog.lower($2)"
						 "  AND EXISTS (SELECT 1 FROM scim._schemas s WHERE s.uri OPERATOR(pg_catalog.=) $1 AND s.extends IS NULL))"
						 " UNION ALL SELECT 'Schema \"' OPERATOR(pg_catalog.||) e.uri OPERATOR(pg_catalog.||) '\" extends its resource type.'"
						 " FROM scim._schemas e, scim._schemas s WHERE s.uri OPERATOR(pg_catalog.=) $1 AND s.extends IS NULL"
						 "  AND pg_catalog.lower(e.extends) OPERATOR(pg_catalog.=) pg_catalog.lower($2)"
						 " UNION ALL SELECT 'It is the base schema of resource type \"' OPERATOR(pg_catalog.||) t.name OPERATOR(pg_catalog.||) '\".'"
						 " FROM scim._resource_types t WHERE t.schema OPERATOR(pg_catalog.=) $1 ORDER BY 1",
						 2, types, values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read scim._mappings");
	if (SPI_processed > 0)
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("schema \"%s\" is in use", schema->uri),
				 errdetail("%s", SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1))));
}

Datum
scim_drop_schema_sql(PG_FUNCTION_ARGS)
{
	char	   *uri = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Oid			types[1] = {TEXTOID};
	Datum		values[1];
	const ScimSchema *schema;

	scim_catalog_begin();
	schema = scim_registry_schema(scim_catalog_registry(), uri, strlen(uri));
	if (schema == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("schema \"%s\" does not exist", uri)));
	if (schema->builtin)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("schema \"%s\" is a standard schema", schema->uri),
				 errdetail("Only schemas made by scim.create_schema can be dropped.")));
	SPI_connect();
	check_unused(schema);
	values[0] = CStringGetTextDatum(schema->uri);
	if (scim_own_execute("drop schema",
						 "DELETE FROM scim._schemas s WHERE pg_catalog.lower(s.uri) OPERATOR(pg_catalog.=) pg_catalog.lower($1)",
						 1, types, values, NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "could not write scim._schemas");
	SPI_finish();
	scim_catalog_end();
	PG_RETURN_VOID();
}
