/*
 * provider_explain.c
 *		scim.explain: the statement of a list query and its plan.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "provider_internal.h"
#include "../compat.h"

PG_FUNCTION_INFO_V1(scim_explain);

static void
raise_bad_filter(const ScimError *err)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s", err->detail)));
}

Datum
scim_explain(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	const ScimEndpoint *endpoint;
	const ScimEndpointType *target;
	ScimQuery	query;
	ScimError	err;
	ScimIdentity identity;
	List	   *lines;
	ListCell   *lc;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("scim.explain needs an endpoint and a resource type")));
	scim_init_materialized(fcinfo);

	memset(&query, 0, sizeof(query));
	memset(&err, 0, sizeof(err));
	memset(&identity, 0, sizeof(identity));
	query.start_index = 1;
	query.count = 100;

	SPI_connect();
	scim_catalog_begin();
	endpoint = scim_endpoint_by_name(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	if (endpoint == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("endpoint \"%s\" does not exist", text_to_cstring(PG_GETARG_TEXT_PP(0)))));
	scim_require_member(endpoint->owner, psprintf("endpoint \"%s\"", endpoint->name));
	target = scim_endpoint_type(endpoint, text_to_cstring(PG_GETARG_TEXT_PP(1)));
	if (target == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("endpoint \"%s\" has no resource type \"%s\"", endpoint->name,
						text_to_cstring(PG_GETARG_TEXT_PP(1)))));
	if (!PG_ARGISNULL(2))
	{
		char	   *filter_text = text_to_cstring(PG_GETARG_TEXT_PP(2));
		ScimFilter *filter = scim_filter_parse(filter_text, strlen(filter_text), SCIM_FILTER_MAX_LENGTH,
											   endpoint->mode, &err);

		if (filter == NULL || !scim_filter_bind(target->type, filter, endpoint->mode, &err))
			raise_bad_filter(&err);
		query.filter = filter;
	}
	scim_identity_assume(&identity, endpoint->owner, true);
	lines = scim_store_explain(target, &query);
	scim_identity_close_gucs(&identity);
	scim_identity_restore(&identity);
	foreach(lc, lines)
	{
		Datum		value = CStringGetTextDatum((char *) lfirst(lc));
		bool		isnull = false;

		tuplestore_putvalues(result->setResult, result->setDesc, &value, &isnull);
	}
	scim_catalog_end();
	SPI_finish();
	return (Datum) 0;
}
