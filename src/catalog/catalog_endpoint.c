/*
 * catalog_endpoint.c
 *		SQL functions that make, change and drop endpoints.
 *
 * Written in C, and not as SECURITY DEFINER functions in SQL, because only
 * here the role of the caller can be told: membership in the owner is what
 * every one of them asks for (threat-and-fault-model K2).
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "catalog.h"
#include "catalog_mapping.h"

PG_FUNCTION_INFO_V1(scim_create_endpoint);
PG_FUNCTION_INFO_V1(scim_drop_endpoint);
PG_FUNCTION_INFO_V1(scim_enable_endpoint);
PG_FUNCTION_INFO_V1(scim_alter_endpoint);
PG_FUNCTION_INFO_V1(scim_set_mappings);

static char *
text_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

Oid
scim_recorded_role(const char *kind)
{
	Oid			types[1] = {TEXTOID};
	Datum		values[1];
	Oid			role = InvalidOid;
	bool		isnull;

	values[0] = CStringGetTextDatum(kind);
	if (scim_own_execute("role", "SELECT r.role::pg_catalog.oid FROM scim._roles r WHERE r.kind OPERATOR(pg_catalog.=) $1",
						 1, types, values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read scim._roles");
	if (SPI_processed > 0)
		role = DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	return role;
}

/*
 * A base path: "/" and unreserved characters, no empty or dot segment, no
 * slash at the end.
 */
static void
check_base_path(const char *path)
{
	bool		ok = path[0] == '/' && strlen(path) > 1 && strlen(path) <= 512 &&
		path[strlen(path) - 1] != '/';

	for (const char *p = path; ok && *p; p++)
	{
		if (*p == '/')
			ok = p[1] != '/' &&
				!(p[1] == '.' && (p[2] == '/' || p[2] == '\0')) &&
				!(p[1] == '.' && p[2] == '.' && (p[3] == '/' || p[3] == '\0'));
		else
			ok = isalnum((unsigned char) *p) || strchr("-._~", *p) != NULL;
	}
	if (!ok)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid base path \"%s\"", path),
				 errdetail("A base path begins with \"/\", does not end with it, and consists of letters, digits, \"-\", \".\", \"_\", \"~\"."),
				 errhint("For example: /acme/scim/v2")));
}

static void
check_public_url(char *url)
{
	size_t		len = strlen(url);
	bool		ok = (strncmp(url, "https://", 8) == 0 || strncmp(url, "http://", 7) == 0) && len <= 1024;

	for (const char *p = url; ok && *p; p++)
		ok = (unsigned char) *p > ' ' && (unsigned char) *p < 0x7f && strchr("\"<>\\^`{|}@?#", *p) == NULL;
	if (!ok)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid public URL \"%s\"", url),
				 errdetail("It is an http or https URL without user information, query and fragment.")));
	while (len > 0 && url[len - 1] == '/')
		url[--len] = '\0';
}

/*
 * Who an endpoint or mapping is to belong to: the named role, of which the
 * caller must be a member, or the caller.  A superuser has to name one, since
 * nothing runs as a superuser; "fallback" serves where there is a natural one.
 */
static Oid
choose_owner(const char *owner_name, Oid fallback, const char *what)
{
	Oid			owner;

	if (owner_name)
	{
		owner = get_role_oid(owner_name, false);
		scim_require_member(owner, what);
		return owner;
	}
	if (!superuser())
		return GetUserId();
	if (OidIsValid(fallback))
		return fallback;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s needs an owner", what),
			 errdetail("Statements on data run as the owner, and never as a superuser."),
			 errhint("Name one: owner => 'some_role'")));
	return InvalidOid;			/* keep compiler quiet */
}

static void
check_mode(const char *mode)
{
	if (mode == NULL || (strcmp(mode, "strict") != 0 && strcmp(mode, "compat") != 0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("mode must be \"strict\" or \"compat\"")));
}

/*
 * The mappings of a new endpoint: they exist, the caller is a member of each
 * one's owner, all have one owner, and no resource type comes twice.  Returns
 * that owner (InvalidOid: the built-in store only).
 */
static Oid
check_mappings(ArrayType *array, bool *all_builtin)
{
	Datum	   *elements;
	bool	   *nulls;
	int			n;
	Oid			owner = InvalidOid;
	List	   *types = NIL;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	if (n == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("an endpoint needs a mapping")));
	*all_builtin = true;
	for (int i = 0; i < n; i++)
	{
		ScimMappingRow *row;
		ListCell   *lc;

		row = nulls[i] ? NULL : scim_mapping_row(TextDatumGetCString(elements[i]));
		if (row == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("mapping \"%s\" does not exist", nulls[i] ? "" : TextDatumGetCString(elements[i]))));
		foreach(lc, types)
			if (strcmp((char *) lfirst(lc), row->resource_type) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						 errmsg("two mappings of resource type \"%s\"", row->resource_type)));
		types = lappend(types, unconstify(char *, row->resource_type));
		if (row->builtin)
			continue;
		*all_builtin = false;
		scim_require_member(row->owner, psprintf("mapping \"%s\"", row->name));
		if (OidIsValid(owner) && owner != row->owner)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("all mappings of an endpoint must have the same owner"),
					 errdetail("A request is one transaction, and a transaction has one identity.")));
		owner = row->owner;
	}
	return owner;
}

/* An endpoint that can't serve is refused while its maker is looking. */
static void
check_serves(const char *name)
{
	const ScimEndpoint *endpoint;

	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	scim_catalog_begin();
	endpoint = scim_endpoint_by_name(name);
	if (endpoint && endpoint->broken)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("endpoint \"%s\" can't serve its mappings", name),
				 errdetail("%s", endpoint->broken)));
	scim_catalog_end();
	PopActiveSnapshot();
}

Datum
scim_create_endpoint(PG_FUNCTION_ARGS)
{
	char	   *name = text_argument(fcinfo, 0);
	char	   *base_path = text_argument(fcinfo, 1);
	char	   *public_url = text_argument(fcinfo, 2);
	char	   *tenant = text_argument(fcinfo, 3);
	char	   *owner_name = PG_ARGISNULL(6) ? NULL : NameStr(*PG_GETARG_NAME(6));
	char	   *mode = text_argument(fcinfo, 7);
	ArrayType  *mappings;
	Oid			owner;
	Oid			mapping_owner;
	bool		all_builtin;
	Datum		values[8];
	char		nulls[9] = "        ";
	Oid			types[8] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, OIDOID, TEXTARRAYOID, JSONBOID, TEXTOID};

	if (name == NULL || name[0] == '\0' || strlen(name) > 200)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("an endpoint needs a name")));
	if (base_path == NULL)
		base_path = psprintf("/%s/scim/v2", name);
	check_base_path(base_path);
	if (public_url)
		check_public_url(public_url);
	check_mode(mode);
	if (tenant == NULL)
		tenant = name;

	SPI_connect();
	scim_catalog_begin();

	if (PG_ARGISNULL(4))
	{
		Datum		defaults[2];

		defaults[0] = CStringGetTextDatum("users");
		defaults[1] = CStringGetTextDatum("groups");
		mappings = construct_array(defaults, 2, TEXTOID, -1, false, TYPALIGN_INT);
	}
	else
		mappings = PG_GETARG_ARRAYTYPE_P(4);
	mapping_owner = check_mappings(mappings, &all_builtin);

	if (all_builtin)
	{
		Oid			store = scim_recorded_role("store");

		if (!OidIsValid(store))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("scim is not set up in this database"),
					 errhint("SELECT scim.setup();")));
		owner = choose_owner(owner_name, store, "an endpoint");
	}
	else
	{
		owner = owner_name ? choose_owner(owner_name, InvalidOid, "an endpoint") : mapping_owner;
		if (owner != mapping_owner)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("an endpoint must have the owner of its mappings"),
					 errdetail("They belong to role \"%s\".", GetUserNameFromId(mapping_owner, true))));
	}

	values[0] = CStringGetTextDatum(name);
	values[1] = CStringGetTextDatum(base_path);
	if (public_url)
		values[2] = CStringGetTextDatum(public_url);
	else
		nulls[2] = 'n';
	values[3] = CStringGetTextDatum(tenant);
	values[4] = ObjectIdGetDatum(owner);
	values[5] = PointerGetDatum(mappings);
	if (!PG_ARGISNULL(5))
		values[6] = PG_GETARG_DATUM(5);
	else
		nulls[6] = 'n';
	values[7] = CStringGetTextDatum(mode);

	/* The built-in store's scope is the tenant, and nothing else. */
	if (all_builtin && !PG_ARGISNULL(5))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the built-in store takes a tenant, not a scope")));
	if (scim_own_execute(all_builtin ? "create endpoint on store" : "create endpoint",
						 all_builtin ?
						 "INSERT INTO scim._endpoints (name, base_path, public_url, tenant, owner, mappings, scope, mode)"
						 " SELECT $1, $2, $3, $4, $5::pg_catalog.regrole, $6, coalesce($7, pg_catalog.jsonb_build_object('tenant', $4)), $8"
						 " ON CONFLICT DO NOTHING" :
						 "INSERT INTO scim._endpoints (name, base_path, public_url, tenant, owner, mappings, scope, mode)"
						 " SELECT $1, $2, $3, $4, $5::pg_catalog.regrole, $6, coalesce($7, '{}'), $8"
						 " ON CONFLICT DO NOTHING",
						 8, types, values, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write scim._endpoints");
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("an endpoint \"%s\" or one with base path \"%s\" exists already", name, base_path)));
	types[0] = OIDOID;
	values[0] = ObjectIdGetDatum(owner);
	(void) scim_own_execute("grant use", "SELECT scim._grant_use($1)", 1, types, values, NULL, false, 0);
	scim_mapping_learn_scopes();
	scim_catalog_end();
	check_serves(name);
	SPI_finish();
	PG_RETURN_VOID();
}

int64
scim_own_endpoint(const char *name)
{
	Oid			types[1] = {TEXTOID};
	Datum		values[1];
	bool		isnull;
	int64		id;
	Oid			owner;

	values[0] = CStringGetTextDatum(name);
	if (scim_own_execute("own endpoint",
						 "SELECT e.id, e.owner::pg_catalog.oid FROM scim._endpoints e WHERE e.name OPERATOR(pg_catalog.=) $1",
						 1, types, values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read scim._endpoints");
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("endpoint \"%s\" does not exist", name)));
	id = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	owner = DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));
	scim_require_member(owner, psprintf("endpoint \"%s\"", name));
	return id;
}

Datum
scim_drop_endpoint(PG_FUNCTION_ARGS)
{
	Oid			types[1] = {INT8OID};
	Datum		values[1];

	SPI_connect();
	values[0] = Int64GetDatum(scim_own_endpoint(text_argument(fcinfo, 0)));
	(void) scim_own_execute("drop endpoint",
							"DELETE FROM scim._endpoints WHERE id OPERATOR(pg_catalog.=) $1",
							1, types, values, NULL, false, 0);
	SPI_finish();
	PG_RETURN_VOID();
}

Datum
scim_enable_endpoint(PG_FUNCTION_ARGS)
{
	Oid			types[2] = {INT8OID, BOOLOID};
	Datum		values[2];

	SPI_connect();
	values[0] = Int64GetDatum(scim_own_endpoint(text_argument(fcinfo, 0)));
	values[1] = PG_GETARG_DATUM(1);
	(void) scim_own_execute("enable endpoint",
							"UPDATE scim._endpoints SET enabled = $2 WHERE id OPERATOR(pg_catalog.=) $1",
							2, types, values, NULL, false, 0);
	SPI_finish();
	PG_RETURN_VOID();
}

/* The mappings of an endpoint as they are now. */
static ArrayType *
current_mappings(int64 id, Oid *owner)
{
	Oid			types[1] = {INT8OID};
	Datum		values[1];
	bool		isnull;

	values[0] = Int64GetDatum(id);
	if (scim_own_execute("mappings of endpoint",
						 "SELECT e.mappings, e.owner::pg_catalog.oid FROM scim._endpoints e WHERE e.id OPERATOR(pg_catalog.=) $1",
						 1, types, values, NULL, false, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not read scim._endpoints");
	*owner = DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));
	return DatumGetArrayTypePCopy(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}

/* Options that say what the built-in store does are of no use elsewhere. */
static void
require_store(int64 id)
{
	Oid			owner;
	bool		builtin;

	(void) check_mappings(current_mappings(id, &owner), &builtin);
	if (!builtin)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("options softDelete and reviveDeleted are for the built-in store"),
				 errhint("A mapping has options \"delete\" and \"revive\".")));
}

Datum
scim_alter_endpoint(PG_FUNCTION_ARGS)
{
	Oid			types[2] = {INT8OID, JSONBOID};
	Datum		values[2];
	ScimOptions options;
	ScimError	err;
	char	   *text;

	SPI_connect();
	values[0] = Int64GetDatum(scim_own_endpoint(text_argument(fcinfo, 0)));
	values[1] = PG_GETARG_DATUM(1);
	if (!JB_ROOT_IS_OBJECT(PG_GETARG_JSONB_P(1)))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("options must be a JSON object")));
	if (scim_own_execute("alter endpoint",
						 "UPDATE scim._endpoints e SET options = pg_catalog.jsonb_strip_nulls(e.options OPERATOR(pg_catalog.||) $2)"
						 " WHERE e.id OPERATOR(pg_catalog.=) $1 RETURNING e.options::pg_catalog.text",
						 2, types, values, NULL, false, 0) != SPI_OK_UPDATE_RETURNING || SPI_processed != 1)
		elog(ERROR, "could not write scim._endpoints");

	/* what cannot be is not left behind */
	text = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	memset(&err, 0, sizeof(err));
	if (!scim_options_parse(text, &options, &err))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s", err.detail)));
	if (options.soft_delete || options.revive_deleted)
		require_store(DatumGetInt64(values[0]));
	SPI_finish();
	PG_RETURN_VOID();
}

/*
 * Tenant or scope, and owner, stay what they were: other mappings have to be of
 * the same kind.
 */
Datum
scim_set_mappings(PG_FUNCTION_ARGS)
{
	char	   *name = text_argument(fcinfo, 0);
	ArrayType  *mappings = PG_GETARG_ARRAYTYPE_P(1);
	Oid			types[2] = {INT8OID, TEXTARRAYOID};
	Datum		values[2];
	ArrayType  *before;
	Oid			owner;
	Oid			mapping_owner;
	bool		was_builtin;
	bool		builtin;
	int64		id;

	SPI_connect();
	id = scim_own_endpoint(name);
	before = current_mappings(id, &owner);
	(void) check_mappings(before, &was_builtin);
	mapping_owner = check_mappings(mappings, &builtin);
	if (builtin != was_builtin || (!builtin && mapping_owner != owner))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("endpoint \"%s\" can't serve these mappings", name),
				 errdetail("They are of the built-in store where those before are not, or belong to another role.")));
	values[0] = Int64GetDatum(id);
	values[1] = PointerGetDatum(mappings);
	if (scim_own_execute("set mappings",
						 "UPDATE scim._endpoints SET mappings = $2 WHERE id OPERATOR(pg_catalog.=) $1",
						 2, types, values, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not write scim._endpoints");
	scim_mapping_learn_scopes();
	check_serves(name);
	SPI_finish();
	PG_RETURN_VOID();
}
