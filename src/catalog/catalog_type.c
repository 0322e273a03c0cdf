/*
 * catalog_type.c
 *		SQL functions that make, change and drop resource types, and mappings of
 *		the built-in store that have extensions (RFC 7643 section 6).
 *
 * A type is a row of scim._resource_types, its extensions are the schemas that
 * say so (scim._schemas.extends), and what the store does with it is an
 * ordinary mapping, made from the schemas: endpoints, filters and all else know
 * no difference.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

#include "catalog_cache_internal.h"
#include "catalog_mapping_internal.h"
#include "catalog_type.h"

#define MAX_ATTRIBUTES 1000

PG_FUNCTION_INFO_V1(scim_create_resource_type);
PG_FUNCTION_INFO_V1(scim_alter_resource_type);
PG_FUNCTION_INFO_V1(scim_drop_resource_type);
PG_FUNCTION_INFO_V1(scim_create_store_mapping);

static char *
text_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

pg_noreturn static void
bad_argument(const char *message)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s", message)));
}

/* A fixed statement that writes our own tables; returns how many rows it wrote. */
static uint64
write_own(const char *key, const char *sql, int nargs, const Oid *types, Datum *values, const char *nulls)
{
	if (scim_own_execute(key, sql, nargs, types, values, nulls, false, 0) < 0)
		elog(ERROR, "could not execute \"%s\"", key);
	CommandCounterIncrement();
	return SPI_processed;
}

/* What was written has to be seen by the look-ups that follow. */
static void
see_changes(void)
{
	scim_catalog_end();
	scim_catalog_begin();
}

/* ---- names ---- */

/* A name that stands in URLs, schemas and filters as it is. */
static void
check_name(const char *name, const char *what)
{
	const char *letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

	if (name == NULL || name[0] == '\0' || strlen(name) > 100 || strchr(letters, name[0]) == NULL ||
		strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != strlen(name))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid %s \"%s\"", what, name ? name : ""),
				 errdetail("It begins with a letter and consists of letters, digits, \"-\", \"_\".")));
}

/* A path that is not another's: of the protocol, or of a standard type. */
static void
check_path(const char *path)
{
	static const char *const reserved[] = {
		"/Users", "/Groups", "/Me", "/Bulk", "/Schemas", "/ResourceTypes", "/ServiceProviderConfig", "/oauth"
	};

	if (path[0] != '/')
		bad_argument("the endpoint of a resource type begins with \"/\"");
	check_name(path + 1, "endpoint of a resource type");
	for (int i = 0; i < lengthof(reserved); i++)
		if (pg_strcasecmp(path, reserved[i]) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_DUPLICATE_OBJECT),
					 errmsg("endpoint \"%s\" is taken", path)));
}

static char *
lower_case(const char *text)
{
	char	   *copy = pstrdup(text);

	for (char *p = copy; *p; p++)
		*p = pg_ascii_tolower(*p);
	return copy;
}

/* The name of a type as it was made; raises if there is none that was. */
static char *
made_type(const char *name)
{
	if (name == NULL)
		bad_argument("a resource type needs a name");
	scim_select_own("made type", "SELECT t.name FROM scim._resource_types t WHERE pg_catalog.lower(t.name) OPERATOR(pg_catalog.=) pg_catalog.lower($1)",
					name, "scim._resource_types");
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("resource type \"%s\" does not exist, or was not made by scim.create_resource_type", name)));
	return scim_row_text(SPI_tuptable, 0, 1);
}

/* ---- schemas ---- */

/* A schema of a user; raises if it is none. */
static const ScimSchema *
own_schema(const char *uri)
{
	const ScimSchema *schema = scim_registry_schema(scim_catalog_registry(), uri, strlen(uri));

	if (schema == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("schema \"%s\" does not exist", uri)));
	if (schema->builtin)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("schema \"%s\" is a standard schema", schema->uri),
				 errdetail("A resource type of one's own is made of schemas made by scim.create_schema.")));
	return schema;
}

/* Whether a schema is the base of a type; *extends: the name of the type that it extends, or NULL. */
static bool
schema_use(const ScimSchema *schema, char **extends)
{
	scim_select_own("use of schema",
					"SELECT s.extends, EXISTS (SELECT 1 FROM scim._resource_types t WHERE t.schema OPERATOR(pg_catalog.=) s.uri)"
					" FROM scim._schemas s WHERE s.uri OPERATOR(pg_catalog.=) $1",
					schema->uri, "scim._schemas");
	if (SPI_processed == 0)
		elog(ERROR, "schema \"%s\" is gone", schema->uri);
	*extends = scim_row_text(SPI_tuptable, 0, 1);
	return scim_row_bool(SPI_tuptable, 0, 2);
}

static void
add_extension(const char *type, const char *uri, bool required)
{
	const ScimSchema *schema = own_schema(uri);
	Oid			types[3] = {TEXTOID, TEXTOID, BOOLOID};
	Datum		values[3];
	char	   *extends;

	if (schema_use(schema, &extends))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("schema \"%s\" is the base schema of a resource type and extends none", schema->uri)));
	if (extends && pg_strcasecmp(extends, type) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("schema \"%s\" extends resource type \"%s\"", schema->uri, extends)));
	values[0] = CStringGetTextDatum(schema->uri);
	values[1] = CStringGetTextDatum(type);
	values[2] = BoolGetDatum(required);
	write_own("extend", "UPDATE scim._schemas s SET extends = $2, required = $3 WHERE s.uri OPERATOR(pg_catalog.=) $1", 3, types, values, NULL);
}

static void
remove_extension(const char *type, const char *uri)
{
	const ScimSchema *schema = own_schema(uri);
	Oid			types[2] = {TEXTOID, TEXTOID};
	Datum		values[2];

	values[0] = CStringGetTextDatum(type);
	values[1] = CStringGetTextDatum(schema->uri);
	if (scim_own_execute("extension in use",
						 "SELECT 1 FROM scim.resources r WHERE r.resource_type OPERATOR(pg_catalog.=) $1"
						 " AND (r.attributes OPERATOR(pg_catalog.?) $2 OR EXISTS (SELECT 1 FROM scim.resource_links l"
						 "  WHERE l.tenant OPERATOR(pg_catalog.=) r.tenant AND l.resource_id OPERATOR(pg_catalog.=) r.id"
						 "  AND pg_catalog.starts_with(l.attribute, $2 OPERATOR(pg_catalog.||) ':')))",
						 2, types, values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read scim.resources");
	if (SPI_processed > 0)
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("extension \"%s\" of resource type \"%s\" is in use", schema->uri, type),
				 errdetail("A resource has data of it.")));
	if (write_own("extend no more",
				  "UPDATE scim._schemas s SET extends = NULL, required = false"
				  " WHERE s.uri OPERATOR(pg_catalog.=) $2 AND pg_catalog.lower(s.extends) OPERATOR(pg_catalog.=) pg_catalog.lower($1)",
				  2, types, values, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("schema \"%s\" does not extend resource type \"%s\"", schema->uri, type)));
}

/* {"urn:...": required, ...}; null for one that goes. */
static void
set_extensions(const char *type, Jsonb *argument, bool making)
{
	char	   *text = JsonbToCString(NULL, &argument->root, VARSIZE(argument));
	ScimError	err;
	json_t	   *extensions;
	const char *uri;
	json_t	   *required;

	memset(&err, 0, sizeof(err));
	extensions = scim_json_parse(text, strlen(text), &err);
	if (extensions == NULL || !json_is_object(extensions))
		bad_argument("extensions are given as {\"urn:...\": required}");
	json_object_foreach(extensions, uri, required)
	{
		if (json_is_boolean(required))
			add_extension(type, uri, json_is_true(required));
		else if (json_is_null(required) && !making)
			remove_extension(type, uri);
		else
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("extension \"%s\" is required or not: true or false", uri)));
	}
}

/* ---- mappings ---- */

/* A row that is read has a column for each attribute, and a statement 1,664 at most. */
static void
check_size(const ScimResourceType *type)
{
	if (type->nattrs > MAX_ATTRIBUTES || type->nexts > SCIM_MAX_EXTENSIONS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("resource type \"%s\" is too large", type->name),
				 errdetail("The built-in store keeps at most %d attributes and sub-attributes of a type, and %d extensions.", MAX_ATTRIBUTES, SCIM_MAX_EXTENSIONS)));
}

static Datum
uri_array(const List *uris)
{
	Datum	   *elements = palloc(sizeof(Datum) * Max(list_length(uris), 1));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, uris)
		elements[n++] = CStringGetTextDatum((char *) lfirst(lc));
	return PointerGetDatum(construct_array(elements, n, TEXTOID, -1, false, TYPALIGN_INT));
}

static List *
all_extensions(const ScimResourceType *type)
{
	List	   *uris = NIL;

	for (int i = 0; i < type->nexts; i++)
		if (!type->exts[i].schema->builtin)
			uris = lappend(uris, unconstify(char *, type->exts[i].schema->uri));
	return uris;
}

/* A mapping that has been written is resolved once, as the role that will use it. */
static void
check_mapping(const char *name)
{
	Oid			store = scim_recorded_role("store");

	if (!OidIsValid(store))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("scim is not set up in this database"),
				 errhint("SELECT scim.setup();")));
	see_changes();
	scim_mapping_check(list_make1(scim_mapping_row(name)), store);
	scim_mapping_check_endpoints(name);
}

static void
name_taken(const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_DUPLICATE_OBJECT),
			 errmsg("mapping \"%s\" exists already", name)));
}

/* Write the mapping of a type that is there, or write it anew. */
static void
write_type_mapping(const char *type_name, const char *mapping)
{
	const ScimResourceType *type;
	Oid			types[4] = {TEXTOID, TEXTOID, JSONBOID, TEXTARRAYOID};
	Datum		values[4];

	see_changes();
	type = scim_catalog_resource_type(type_name);
	if (type == NULL)
		elog(ERROR, "resource type \"%s\" is gone", type_name);
	check_size(type);
	values[1] = CStringGetTextDatum(type->name);
	values[2] = DirectFunctionCall1(jsonb_in, CStringGetDatum(scim_type_own_attributes(type)));
	values[3] = uri_array(all_extensions(type));
	if (mapping)
	{
		values[0] = CStringGetTextDatum(mapping);
		if (write_own("type mapping",
					  "INSERT INTO scim._mappings (name, resource_type, relation, key, builtin, attributes, extensions, options)"
					  " SELECT $1, $2, 'scim.resources'::pg_catalog.regclass, 'id', true, $3, $4, pg_catalog.jsonb_build_object("
					  "  'filter', 'resource_type = ' OPERATOR(pg_catalog.||) pg_catalog.quote_literal($2),"
					  "  'insert', pg_catalog.jsonb_build_object('resource_type', pg_catalog.quote_literal($2)))"
					  " ON CONFLICT DO NOTHING",
					  4, types, values, NULL) == 0)
			name_taken(mapping);
		check_mapping(mapping);
		return;
	}
	values[0] = (Datum) 0;
	write_own("type mapping anew",
			  "UPDATE scim._mappings m SET attributes = $3, extensions = $4"
			  " WHERE m.builtin AND m.resource_type OPERATOR(pg_catalog.=) $2 AND $1 IS NULL",
			  4, types, values, "n   ");
	scim_select_own("mapping of type", "SELECT m.name FROM scim._mappings m WHERE m.builtin AND m.resource_type OPERATOR(pg_catalog.=) $1",
					type->name, "scim._mappings");
	check_mapping(scim_row_text(SPI_tuptable, 0, 1));
}

/* ---- resource types ---- */

Datum
scim_create_resource_type(PG_FUNCTION_ARGS)
{
	char	   *name = text_argument(fcinfo, 0);
	char	   *uri = text_argument(fcinfo, 1);
	char	   *path = text_argument(fcinfo, 2);
	Oid			types[4] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID};
	Datum		values[4];
	char		nulls[5] = "    ";
	const ScimResourceType *other;
	const ScimSchema *schema;
	char	   *extends;

	check_name(name, "name of a resource type");
	if (uri == NULL)
		bad_argument("a resource type needs a schema");
	if (path == NULL)
		path = psprintf("/%ss", name);
	check_path(path);

	SPI_connect();
	scim_catalog_begin();
	schema = own_schema(uri);
	other = scim_catalog_resource_type(name);
	/* one that a mapping has made of this very schema is taken over */
	if (other && strcmp(other->schema->uri, schema->uri) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("resource type \"%s\" exists already", other->name)));
	(void) schema_use(schema, &extends);
	if (extends)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("schema \"%s\" extends resource type \"%s\" and is no base schema", schema->uri, extends)));
	values[0] = CStringGetTextDatum(name);
	values[1] = CStringGetTextDatum(schema->uri);
	values[2] = CStringGetTextDatum(path);
	if (PG_ARGISNULL(4))
		nulls[3] = 'n';
	else
		values[3] = PG_GETARG_DATUM(4);
	if (write_own("create type",
				  "INSERT INTO scim._resource_types (name, schema, endpoint, description) SELECT $1, $2, $3, coalesce($4, '')"
				  " ON CONFLICT DO NOTHING",
				  4, types, values, nulls) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("a resource type \"%s\" or one with endpoint \"%s\" exists already", name, path)));
	if (!PG_ARGISNULL(3))
		set_extensions(name, PG_GETARG_JSONB_P(3), true);
	write_type_mapping(name, lower_case(path + 1));
	scim_catalog_end();
	SPI_finish();
	PG_RETURN_VOID();
}

Datum
scim_alter_resource_type(PG_FUNCTION_ARGS)
{
	char	   *name = text_argument(fcinfo, 0);
	char	   *path = text_argument(fcinfo, 2);
	Oid			types[3] = {TEXTOID, TEXTOID, TEXTOID};
	Datum		values[3];
	char		nulls[4] = "   ";

	if (path)
		check_path(path);
	SPI_connect();
	scim_catalog_begin();
	name = made_type(name);
	if (!PG_ARGISNULL(1))
		set_extensions(name, PG_GETARG_JSONB_P(1), false);
	values[0] = CStringGetTextDatum(name);
	for (int i = 1; i < 3; i++)
	{
		nulls[i] = PG_ARGISNULL(i + 1) ? 'n' : ' ';
		values[i] = PG_ARGISNULL(i + 1) ? (Datum) 0 : PG_GETARG_DATUM(i + 1);
	}
	if (write_own("alter type",
				  "UPDATE scim._resource_types t SET endpoint = coalesce($2, t.endpoint), description = coalesce($3, t.description)"
				  " WHERE t.name OPERATOR(pg_catalog.=) $1 AND NOT EXISTS (SELECT 1 FROM scim._resource_types o"
				  "  WHERE pg_catalog.lower(o.endpoint) OPERATOR(pg_catalog.=) pg_catalog.lower($2) AND o.name OPERATOR(pg_catalog.<>) $1)",
				  3, types, values, nulls) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("endpoint \"%s\" is taken", path)));
	write_type_mapping(name, NULL);
	scim_catalog_end();
	SPI_finish();
	PG_RETURN_VOID();
}

Datum
scim_drop_resource_type(PG_FUNCTION_ARGS)
{
	char	   *name = text_argument(fcinfo, 0);
	Oid			types[1] = {TEXTOID};
	Datum		values[1];

	SPI_connect();
	scim_catalog_begin();
	name = made_type(name);
	scim_select_own("type in use",
					"SELECT 'Endpoint \"' OPERATOR(pg_catalog.||) e.name OPERATOR(pg_catalog.||) '\" serves it.' FROM scim._endpoints e, scim._mappings m"
					" WHERE m.resource_type OPERATOR(pg_catalog.=) $1 AND m.name OPERATOR(pg_catalog.=) ANY (e.mappings)"
					" UNION ALL SELECT 'Mapping \"' OPERATOR(pg_catalog.||) m.name OPERATOR(pg_catalog.||) '\" uses it.' FROM scim._mappings m"
					" WHERE m.resource_type OPERATOR(pg_catalog.=) $1 AND NOT m.builtin"
					" UNION ALL SELECT 'There are resources of it.' WHERE EXISTS (SELECT 1 FROM scim.resources r WHERE r.resource_type OPERATOR(pg_catalog.=) $1)",
					name, "scim._resource_types");
	if (SPI_processed > 0)
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("resource type \"%s\" is in use", name),
				 errdetail("%s", scim_row_text(SPI_tuptable, 0, 1))));
	values[0] = CStringGetTextDatum(name);
	write_own("drop type mapping", "DELETE FROM scim._mappings m WHERE m.builtin AND m.resource_type OPERATOR(pg_catalog.=) $1", 1, types, values, NULL);
	write_own("drop type extensions",
			  "UPDATE scim._schemas s SET extends = NULL, required = false WHERE pg_catalog.lower(s.extends) OPERATOR(pg_catalog.=) pg_catalog.lower($1)",
			  1, types, values, NULL);
	write_own("drop type", "DELETE FROM scim._resource_types t WHERE t.name OPERATOR(pg_catalog.=) $1", 1, types, values, NULL);
	scim_catalog_end();
	SPI_finish();
	PG_RETURN_VOID();
}

/* ---- extensions of users and groups ---- */

/* Extensions of a type by their URIs; NULL: all that are not standard. */
static List *
chosen_extensions(const ScimResourceType *type, ArrayType *array)
{
	List	   *all = all_extensions(type);
	List	   *chosen = NIL;
	Datum	   *elements;
	bool	   *nulls;
	int			n;

	if (array == NULL)
		return all;
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		const char *uri = nulls[i] ? "" : TextDatumGetCString(elements[i]);
		char	   *found = NULL;
		ListCell   *lc;

		foreach(lc, all)
			if (pg_strcasecmp((char *) lfirst(lc), uri) == 0)
				found = (char *) lfirst(lc);
		if (found == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("no schema \"%s\" made by scim.create_schema extends resource type \"%s\"", uri, type->name)));
		chosen = list_append_unique_ptr(chosen, found);
	}
	return chosen;
}

Datum
scim_create_store_mapping(PG_FUNCTION_ARGS)
{
	char	   *name = text_argument(fcinfo, 0);
	char	   *type_name = text_argument(fcinfo, 1);
	bool		passwords = !PG_ARGISNULL(3) && PG_GETARG_BOOL(3);
	Oid			types[4] = {TEXTOID, TEXTOID, JSONBOID, TEXTARRAYOID};
	Datum		values[4];
	const ScimResourceType *type;
	List	   *uris;

	if (name == NULL || name[0] == '\0' || strlen(name) > 200)
		bad_argument("a mapping needs a name");
	SPI_connect();
	scim_catalog_begin();
	type = type_name ? scim_catalog_resource_type(type_name) : NULL;
	if (type == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("resource type \"%s\" does not exist", type_name ? type_name : "")));
	if (strcmp(type->name, "User") != 0 && strcmp(type->name, "Group") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("resource type \"%s\" has a mapping of the built-in store already, or none", type->name),
				 errhint("scim.create_resource_type makes it, with all its extensions.")));
	if (passwords && strcmp(type->name, "User") != 0)
		bad_argument("only users have passwords");
	check_size(type);
	uris = chosen_extensions(type, PG_ARGISNULL(2) ? NULL : PG_GETARG_ARRAYTYPE_P(2));
	values[0] = CStringGetTextDatum(name);
	values[1] = CStringGetTextDatum(passwords ? "users_with_password" : strcmp(type->name, "User") == 0 ? "users" : "groups");
	values[2] = DirectFunctionCall1(jsonb_in, CStringGetDatum(scim_type_extension_attributes(type, uris)));
	values[3] = uri_array(uris);
	if (write_own("create store mapping",
				  "INSERT INTO scim._mappings (name, resource_type, relation, key, builtin, attributes, extensions)"
				  " SELECT $1, m.resource_type, m.relation, m.key, true, m.attributes OPERATOR(pg_catalog.||) $3, $4"
				  " FROM scim._mappings m WHERE m.name OPERATOR(pg_catalog.=) $2 ON CONFLICT DO NOTHING",
				  4, types, values, NULL) == 0)
		name_taken(name);
	check_mapping(name);
	scim_catalog_end();
	SPI_finish();
	PG_RETURN_VOID();
}
