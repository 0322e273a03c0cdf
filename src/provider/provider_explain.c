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
raise_bad_query(const ScimError *err)
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
	ScimCall	call;
	ScimIdentity identity;
	List	   *lines;
	ListCell   *lc;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("scim.explain needs an endpoint and a resource type")));
	scim_init_materialized(fcinfo);

	memset(&query, 0, sizeof(query));
	memset(&call, 0, sizeof(call));
	memset(&identity, 0, sizeof(identity));
	query.start_index = PG_ARGISNULL(5) ? 1 : Max(PG_GETARG_INT64(5), 1);
	query.count = PG_ARGISNULL(6) ? 100 : Max(PG_GETARG_INT32(6), 0);

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
											   endpoint->mode, &call.err);

		if (filter == NULL || !scim_filter_bind(target->type, filter, endpoint->mode, &call.err))
			raise_bad_query(&call.err);
		query.filter = filter;
	}
	call.endpoint = endpoint;
	call.params.sort_by = PG_ARGISNULL(3) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(3));
	call.params.sort_order = PG_ARGISNULL(4) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(4));
	if (!scim_search_sort(&call, target->type, &query))
		raise_bad_query(&call.err);
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
