/*
 * store_deleted.c
 *		Soft delete in the built-in store: what is deleted, and what comes back.
 *
 * A deleted resource leaves its tables, and everything that refers to it goes
 * with it, as in any deletion: so no statement anywhere has to know that such
 * resources exist, and their unique values are free.  What it was is a row of
 * scim._deleted.  Who comes back has the same id and time of creation, and a
 * version that no client has seen.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "store_internal.h"

/* So many rows past their time go with each deletion. */
#define PURGE_ROWS 100

bool
scim_store_keeps_deleted(const ScimEndpointType *target)
{
	return target->mapping->builtin && target->endpoint->options.soft_delete;
}

/* What of a resource is kept: no password, and nothing that others may be in by the million. */
static ScimSelection *
kept(const ScimEndpointType *target)
{
	const ScimMapping *m = target->mapping;
	ScimError	err;
	ScimSelection *all;

	memset(&err, 0, sizeof(err));
	all = scim_selection_all(target->type, &err);
	if (all == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("%s", err.detail)));
	for (int i = 0; i < target->type->ntop; i++)
		if (target->type->top[i]->ext == SCIM_EXT_CORE && strcmp(target->type->top[i]->name, "password") == 0)
			all->has[target->type->top[i]->ord] = false;
	for (int i = 0; i < m->nchildren; i++)
		if (m->children[i].kind != SCIM_CHILD_VALUES && m->children[i].kind != SCIM_CHILD_INLINE)
			all->has[m->children[i].attr->ord] = false;
	return all;
}

char *
scim_store_read_deleted(const ScimEndpointType *target, const char *id)
{
	StringInfoData text;
	ScimHead	head;

	initStringInfo(&text);
	return scim_store_get(target, id, kept(target), SCIM_NO_LOCK, &text, &head) ? text.data : NULL;
}

/* Resources that were deleted so long ago that nobody wants them back. */
static void
purge_old(const ScimEndpoint *endpoint)
{
	Oid			types[3] = {TEXTOID, INT8OID, INT8OID};
	Datum		values[3];

	if (endpoint->options.deleted_retention == 0)
		return;
	values[0] = CStringGetTextDatum(endpoint->tenant);
	values[1] = Int64GetDatum(endpoint->options.deleted_retention);
	values[2] = Int64GetDatum(PURGE_ROWS);
	(void) scim_own_execute("purge old deleted",
							"DELETE FROM scim._deleted d WHERE d.tenant OPERATOR(pg_catalog.=) $1 AND d.id OPERATOR(pg_catalog.=) ANY (ARRAY("
							" SELECT o.id FROM scim._deleted o WHERE o.tenant OPERATOR(pg_catalog.=) $1 AND o.deleted OPERATOR(pg_catalog.<)"
							" (pg_catalog.now() OPERATOR(pg_catalog.-) pg_catalog.make_interval(days => $2::pg_catalog.int4))"
							" ORDER BY o.deleted LIMIT $3 FOR UPDATE SKIP LOCKED))",
							3, types, values, NULL, false, 0);
}

void
scim_store_keep_deleted(const ScimEndpointType *target, const char *id, const char *resource)
{
	Oid			types[4] = {TEXTOID, TEXTOID, TEXTOID, JSONBOID};
	Datum		values[4];

	values[0] = CStringGetTextDatum(target->endpoint->tenant);
	values[1] = CStringGetTextDatum(id);
	values[2] = CStringGetTextDatum(target->type->name);
	values[3] = DirectFunctionCall1(jsonb_in, CStringGetDatum(resource));
	if (scim_own_execute("keep deleted",
						 "INSERT INTO scim._deleted (tenant, id, resource_type, key, created, version, resource)"
						 " SELECT $1, $2::pg_catalog.uuid, $3,"
						 "  CASE WHEN $3 OPERATOR(pg_catalog.=) 'User' THEN scim.fold($4 OPERATOR(pg_catalog.->>) 'userName') ELSE $4 OPERATOR(pg_catalog.->>) 'externalId' END,"
						 "  ($4 OPERATOR(pg_catalog.#>>) '{meta,created}')::pg_catalog.timestamptz,"
						 "  pg_catalog.btrim($4 OPERATOR(pg_catalog.#>>) '{meta,version}', 'W/\"')::pg_catalog.int8, $4",
						 4, types, values, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write scim._deleted");
	purge_old(target->endpoint);
}

/* The row that a statement has taken out of scim._deleted; false: it found none. */
static bool
taken_out(ScimRevival *revival)
{
	if (SPI_processed == 0)
		return false;
	revival->id = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	revival->created = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2);
	revival->version = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3);
	revival->resource = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 4);
	return true;
}

bool
scim_store_take_deleted(const ScimEndpointType *target, const char *id, ScimRevival *revival)
{
	Oid			types[3] = {TEXTOID, TEXTOID, TEXTOID};
	Datum		values[3];

	if (!target->mapping->builtin || !scim_key_id_valid(&target->mapping->key, id))
		return false;
	values[0] = CStringGetTextDatum(target->endpoint->tenant);
	values[1] = CStringGetTextDatum(target->type->name);
	values[2] = CStringGetTextDatum(id);
	if (scim_own_execute("take deleted",
						 "DELETE FROM scim._deleted d WHERE d.tenant OPERATOR(pg_catalog.=) $1 AND d.resource_type OPERATOR(pg_catalog.=) $2"
						 " AND d.id OPERATOR(pg_catalog.=) $3::pg_catalog.uuid"
						 " RETURNING d.id::pg_catalog.text, d.created::pg_catalog.text, (d.version OPERATOR(pg_catalog.+) 1)::pg_catalog.text, d.resource::pg_catalog.text",
						 3, types, values, NULL, false, 0) != SPI_OK_DELETE_RETURNING)
		elog(ERROR, "could not write scim._deleted");
	return taken_out(revival);
}

/*
 * A deletion of that name that has not ended is waited for: what it leaves can
 * be brought back.  A lock on the row does that; who is there to stay keeps his
 * name at the unique index.
 */
static void
await_deletion(const ScimEndpointType *target, const char *key)
{
	const char *name = target->type->name;
	Oid			types[3] = {TEXTOID, TEXTOID, TEXTOID};
	Datum		values[3];
	int			rc;

	values[0] = CStringGetTextDatum(target->endpoint->tenant);
	values[1] = CStringGetTextDatum(key);
	values[2] = CStringGetTextDatum(name);
	if (strcmp(name, "User") == 0)
		rc = scim_own_execute("await deletion of user",
							  "SELECT 1 FROM scim.users u WHERE u.tenant OPERATOR(pg_catalog.=) $1"
							  " AND scim.fold(u.user_name) COLLATE \"C\" OPERATOR(pg_catalog.=) scim.fold($2) FOR KEY SHARE",
							  2, types, values, NULL, false, 0);
	else if (strcmp(name, "Group") == 0)
		rc = scim_own_execute("await deletion of group",
							  "SELECT 1 FROM scim.groups g WHERE g.tenant OPERATOR(pg_catalog.=) $1 AND g.external_id OPERATOR(pg_catalog.=) $2 FOR KEY SHARE",
							  2, types, values, NULL, false, 0);
	else
		rc = scim_own_execute("await deletion of resource",
							  "SELECT 1 FROM scim.resources r WHERE r.tenant OPERATOR(pg_catalog.=) $1 AND r.external_id OPERATOR(pg_catalog.=) $2"
							  " AND r.resource_type OPERATOR(pg_catalog.=) $3 FOR KEY SHARE",
							  3, types, values, NULL, false, 0);
	if (rc != SPI_OK_SELECT)
		elog(ERROR, "could not lock a %s", name);
}

/*
 * The row lock decides between two requests for one name: the second finds the
 * row gone, goes on as if there had been none, and meets the first at the
 * unique index of the name.
 */
bool
scim_store_take_namesake(const ScimEndpointType *target, const json_t *wanted, ScimRevival *revival)
{
	bool		user = strcmp(target->type->name, "User") == 0;
	const char *key = json_string_value(json_object_get(wanted, user ? "userName" : "externalId"));
	Oid			types[4] = {TEXTOID, TEXTOID, TEXTOID, BOOLOID};
	Datum		values[4];

	if (key == NULL || !target->mapping->builtin || !target->endpoint->options.revive_deleted)
		return false;
	await_deletion(target, key);
	values[0] = CStringGetTextDatum(target->endpoint->tenant);
	values[1] = CStringGetTextDatum(target->type->name);
	values[2] = CStringGetTextDatum(key);
	values[3] = BoolGetDatum(user);
	if (scim_own_execute("take namesake",
						 "DELETE FROM scim._deleted d WHERE d.tenant OPERATOR(pg_catalog.=) $1 AND d.id OPERATOR(pg_catalog.=) ("
						 " SELECT o.id FROM scim._deleted o WHERE o.tenant OPERATOR(pg_catalog.=) $1 AND o.resource_type OPERATOR(pg_catalog.=) $2"
						 " AND o.key OPERATOR(pg_catalog.=) CASE WHEN $4 THEN scim.fold($3) ELSE $3 END"
						 " ORDER BY o.deleted DESC LIMIT 1 FOR UPDATE)"
						 " RETURNING d.id::pg_catalog.text, d.created::pg_catalog.text, (d.version OPERATOR(pg_catalog.+) 1)::pg_catalog.text, d.resource::pg_catalog.text",
						 4, types, values, NULL, false, 0) != SPI_OK_DELETE_RETURNING)
		elog(ERROR, "could not write scim._deleted");
	return taken_out(revival);
}
