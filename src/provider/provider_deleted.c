/*
 * provider_deleted.c
 *		scim.restore_resource, scim.purge_deleted: what an operator does with
 *		resources that were deleted softly.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "provider_internal.h"
#include "../catalog/catalog_mapping.h"

PG_FUNCTION_INFO_V1(scim_restore_resource);
PG_FUNCTION_INFO_V1(scim_purge_deleted);

/* An endpoint whose owner the caller is a member of. */
static const ScimEndpoint *
own_endpoint(const char *name)
{
	const ScimEndpoint *endpoint;

	(void) scim_own_endpoint(name);
	endpoint = scim_endpoint_by_name(name);
	if (endpoint == NULL)
		elog(ERROR, "endpoint \"%s\" is gone", name);
	return endpoint;
}

/* What was kept, as a state that can be stored; raises if it is none any more. */
static json_t *
kept_state(const ScimEndpointType *target, const ScimRevival *revival)
{
	ScimError	err;
	ScimReport	report;
	json_t	   *tree;
	json_t	   *wanted;

	memset(&err, 0, sizeof(err));
	memset(&report, 0, sizeof(report));
	tree = scim_json_parse_stored(revival->resource, strlen(revival->resource), &err);
	wanted = tree ? scim_resource_wanted(target->type, tree, NULL, SCIM_COMPAT, false, &report, &err) : NULL;
	if (wanted == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s \"%s\" can't be restored", target->type->name, revival->id),
				 errdetail("%s", err.detail)));
	return wanted;
}

Datum
scim_restore_resource(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *type = text_to_cstring(PG_GETARG_TEXT_PP(1));
	char	   *id = text_to_cstring(PG_GETARG_TEXT_PP(2));
	const ScimEndpointType *target;
	ScimIdentity identity;
	ScimRevival revival;
	ScimError	err;

	memset(&identity, 0, sizeof(identity));
	memset(&err, 0, sizeof(err));
	SPI_connect();
	scim_catalog_begin();
	target = scim_endpoint_type(own_endpoint(name), type);
	if (target == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("endpoint \"%s\" has no resource type \"%s\"", name, type)));
	if (!scim_store_take_deleted(target, id, &revival))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("endpoint \"%s\" has no deleted %s \"%s\"", name, type, id)));
	scim_identity_assume(&identity, target->endpoint->owner, true);
	(void) scim_store_insert(target, kept_state(target, &revival), &revival, NULL, &err);
	scim_identity_close_gucs(&identity);
	scim_identity_restore(&identity);
	if (err.status)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s", err.detail)));
	scim_catalog_end();
	SPI_finish();
	PG_RETURN_VOID();
}

Datum
scim_purge_deleted(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	const ScimEndpoint *endpoint;
	Oid			types[2] = {TEXTOID, INTERVALOID};
	Datum		values[2];
	int64		n;

	SPI_connect();
	scim_catalog_begin();
	endpoint = own_endpoint(name);
	/* the tenant of an endpoint on tables of its own is a name, and nothing else */
	if (endpoint->ntypes == 0 || !endpoint->types[0].mapping->builtin)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("endpoint \"%s\" is not on the built-in store", name)));
	values[0] = CStringGetTextDatum(endpoint->tenant);
	values[1] = PG_GETARG_DATUM(1);
	if (scim_own_execute("purge deleted",
						 "DELETE FROM scim._deleted d WHERE d.tenant OPERATOR(pg_catalog.=) $1"
						 " AND d.deleted OPERATOR(pg_catalog.<=) (pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) $2)",
						 2, types, values, NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "could not write scim._deleted");
	n = (int64) SPI_processed;
	scim_catalog_end();
	SPI_finish();
	PG_RETURN_INT64(n);
}
