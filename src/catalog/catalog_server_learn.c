/*
 * catalog_server_learn.c
 *		What targets have shown that they can and cannot do.
 *
 * Written by the engine when a target refuses a request by its form.  Kept for
 * the name of a server and the origin of its URL: one that leads somewhere else
 * now is another target.  An option of the server goes before what was learned.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"

#include "catalog.h"
#include "catalog_server_internal.h"

PG_FUNCTION_INFO_V1(scim_forget_learned);

List *
scim_server_learned(const char *name, const char *origin)
{
	MemoryContext caller = CurrentMemoryContext;
	Oid			types[2] = {TEXTOID, TEXTOID};
	Datum		values[2] = {CStringGetTextDatum(name), CStringGetTextDatum(origin)};
	List	   *settings = NIL;

	SPI_connect();
	if (scim_own_execute("learned",
						 "SELECT l.capability, l.value FROM scim._learned l"
						 " WHERE l.server OPERATOR(pg_catalog.=) $1 AND l.origin OPERATOR(pg_catalog.=) $2",
						 2, types, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read scim._learned");
	MemoryContextSwitchTo(caller);
	for (uint64 i = 0; i < SPI_processed; i++)
		settings = lappend(settings,
						   makeDefElem(SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1),
									   (Node *) makeString(SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2)), -1));
	SPI_finish();
	return settings;
}

bool
scim_server_learn(const ScimServer *server, const char *capability, const char *value, const char *evidence)
{
	ForeignServer *found = GetForeignServer(server->oid);
	Oid			types[5] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID};
	Datum		values[5];
	bool		learned = false;
	bool		isnull;
	ListCell   *lc;

	foreach(lc, found->options)
		if (strcmp(lfirst_node(DefElem, lc)->defname, capability) == 0 &&
			strcmp(defGetString(lfirst_node(DefElem, lc)), SCIM_ASK) != 0)
			return false;
	values[0] = CStringGetTextDatum(server->name);
	values[1] = CStringGetTextDatum(server->origin);
	values[2] = CStringGetTextDatum(capability);
	values[3] = CStringGetTextDatum(value);
	values[4] = CStringGetTextDatum(evidence);
	SPI_connect();
	/* once: a target that refuses either way is not asked this way and that for ever; numbers only get smaller */
	if (scim_own_execute("learn",
						 "INSERT INTO scim._learned AS l (server, origin, capability, value, evidence) VALUES ($1, $2, $3, $4, $5)"
						 " ON CONFLICT (server, capability) DO UPDATE SET origin = excluded.origin, value = excluded.value,"
						 " evidence = excluded.evidence, at = excluded.at"
						 " WHERE l.origin OPERATOR(pg_catalog.<>) excluded.origin OR l.value OPERATOR(pg_catalog.=) excluded.value"
						 /* what it says of itself counts until it shows otherwise */
						 " OR (l.capability OPERATOR(pg_catalog.=) 'bulk' AND excluded.value OPERATOR(pg_catalog.=) 'false')"
						 " OR (l.capability IN ('members_per_request', 'bulk_max_operations', 'bulk_max_payload')"
						 " AND l.value::pg_catalog.int4 OPERATOR(pg_catalog.>) excluded.value::pg_catalog.int4)"
						 " RETURNING true",
						 5, types, values, NULL, false, 0) != SPI_OK_INSERT_RETURNING)
		elog(ERROR, "could not write scim._learned");
	if (SPI_processed > 0)
		learned = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	return learned;
}

/* scim.forget_learned(server): how many there were. */
Datum
scim_forget_learned(PG_FUNCTION_ARGS)
{
	ScimServer *server = scim_server_by_name(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	Oid			types[1] = {TEXTOID};
	Datum		values[1] = {PG_GETARG_DATUM(0)};
	int64		n;

	scim_require_server_usage(server);
	SPI_connect();
	if (scim_own_execute("forget learned", "DELETE FROM scim._learned l WHERE l.server OPERATOR(pg_catalog.=) $1",
						 1, types, values, NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "could not write scim._learned");
	n = (int64) SPI_processed;
	SPI_finish();
	PG_RETURN_INT64(n);
}
