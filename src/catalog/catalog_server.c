/*
 * catalog_server.c
 *		Servers of the foreign-data wrapper scim: finding them, the right to use
 *		them, what they can do.
 */
#include "postgres.h"

#include "catalog/pg_foreign_server.h"
#include "foreign/foreign.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "../compat.h"
#include "catalog_server_internal.h"

PG_FUNCTION_INFO_V1(scim_server_capabilities);

#define WRAPPER "scim"

static ScimServer *
resolve(ForeignServer *found, List **settings)
{
	ForeignDataWrapper *wrapper = GetForeignDataWrapper(found->fdwid);
	ScimServer *server;

	if (strcmp(wrapper->fdwname, WRAPPER) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("server \"%s\" is not one of SCIM", found->servername),
				 errdetail("It is of the foreign-data wrapper \"%s\".", wrapper->fdwname)));
	server = scim_server_resolve(found->servername, found->options, settings);
	server->oid = found->serverid;
	server->owner = found->owner;
	server->name = found->servername;
	return server;
}

ScimServer *
scim_server_by_name(const char *name)
{
	return resolve(GetForeignServerByName(name, false), NULL);
}

ScimServer *
scim_server_by_oid(Oid oid)
{
	ForeignServer *found = GetForeignServerExtended(oid, FSV_MISSING_OK);

	if (found == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("server with OID %u does not exist", oid)));
	return resolve(found, NULL);
}

void
scim_require_server_usage(const ScimServer *server)
{
	AclResult	result = scim_server_aclcheck(server->oid, GetUserId(), ACL_USAGE);

	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_FOREIGN_SERVER, server->name);
}

/* scim.server_capabilities(server): each setting, and what it comes from. */
Datum
scim_server_capabilities(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	List	   *settings = NIL;
	ScimServer *server = resolve(GetForeignServerByName(text_to_cstring(PG_GETARG_TEXT_PP(0)), false), &settings);
	ListCell   *lc;

	scim_require_server_usage(server);
	scim_init_materialized(fcinfo);
	foreach(lc, settings)
	{
		ScimServerSetting *s = lfirst(lc);
		Datum		values[3];
		bool		nulls[3] = {false, false, false};

		values[0] = CStringGetTextDatum(s->name);
		values[1] = CStringGetTextDatum(s->value);
		values[2] = CStringGetTextDatum(s->source);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
