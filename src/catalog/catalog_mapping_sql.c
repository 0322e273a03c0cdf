/*
 * catalog_mapping_sql.c
 *		SQL functions that make and drop mappings.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "catalog_mapping_internal.h"

PG_FUNCTION_INFO_V1(scim_create_mapping);
PG_FUNCTION_INFO_V1(scim_alter_mapping);
PG_FUNCTION_INFO_V1(scim_drop_mapping);

/* The columns of the primary key; raises if there is none. */
static char *
primary_key(Oid relid)
{
	List	   *names = scim_primary_key(relid);
	StringInfoData key;
	ListCell   *lc;

	if (names == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("relation \"%s\" has no primary key", get_rel_name(relid)),
				 errhint("Name the columns that are one: key => '...'")));
	if (list_length(names) == 1)
		return (char *) linitial(names);
	initStringInfo(&key);
	foreach(lc, names)
		appendStringInfo(&key, "%s%s", key.len > 0 ? ", " : "", quote_identifier((char *) lfirst(lc)));
	return key.data;
}

/* A key that is one column is kept as the column's name, which is not quoted. */
static char *
key_to_keep(Oid relid, char *key)
{
	List	   *names = scim_key_column_names(relid, key);

	return list_length(names) == 1 ? linitial(names) : key;
}

/* The owner of a mapping whose key is no column has to make ids of several. */
static void
grant_key(Oid relid, const char *key, Oid owner)
{
	Oid			types[1] = {OIDOID};
	Datum		values[1];

	values[0] = ObjectIdGetDatum(owner);
	if (get_attnum(relid, key) == InvalidAttrNumber)
		(void) scim_own_execute("grant key", "SELECT scim._grant_key($1)", 1, types, values, NULL, false, 0);
}

Datum
scim_create_mapping(PG_FUNCTION_ARGS)
{
	char	   *name = PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *resource_type = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
	Oid			relid = PG_ARGISNULL(2) ? InvalidOid : PG_GETARG_OID(2);
	char	   *key = PG_ARGISNULL(3) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(3));
	char	   *attributes;
	Oid			owner;
	ScimMappingRow row;
	Oid			types[7] = {TEXTOID, TEXTOID, OIDOID, TEXTOID, JSONBOID, OIDOID, JSONBOID};
	Datum		values[7];
	const Oid	grant_type = OIDOID;
	const ScimResourceType *type;

	if (name == NULL || name[0] == '\0' || strlen(name) > 200)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a mapping needs a name")));
	if (resource_type == NULL || !OidIsValid(relid))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a mapping needs a resource type and a relation")));
	if (PG_ARGISNULL(6))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("options must not be null")));

	if (!PG_ARGISNULL(5))
	{
		owner = get_role_oid(NameStr(*PG_GETARG_NAME(5)), false);
		scim_require_member(owner, "the owner of a mapping");
	}
	else if (superuser())
	{
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a mapping needs an owner"),
				 errdetail("Statements on the relation run as the owner, and never as a superuser."),
				 errhint("Name one: owner => 'some_role'")));
		owner = InvalidOid;		/* keep compiler quiet */
	}
	else
		owner = GetUserId();
	if (key == NULL)
		key = primary_key(relid);
	key = key_to_keep(relid, key);

	SPI_connect();
	scim_catalog_begin();
	if (PG_ARGISNULL(4))
		attributes = scim_mapping_propose(resource_type, relid, key);
	else
	{
		attributes = DatumGetCString(DirectFunctionCall1(jsonb_out, PG_GETARG_DATUM(4)));
		scim_mapping_make_extensions(resource_type, relid, attributes);
	}
	scim_catalog_end();

	/* its statements use functions and a view of scim, also before an endpoint uses it */
	values[0] = ObjectIdGetDatum(owner);
	(void) scim_own_execute("grant use", "SELECT scim._grant_use($1)", 1, &grant_type, values, NULL, false, 0);

	/* with the schemas that were made */
	scim_catalog_begin();
	type = scim_catalog_resource_type(resource_type);
	if (type == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("resource type \"%s\" does not exist", resource_type)));

	/*
	 * Resolve it once, as its owner: what is wrong is said now.  References to
	 * another mapping are checked when an endpoint brings the two together.
	 */
	memset(&row, 0, sizeof(row));
	row.name = name;
	row.resource_type = type->name;
	row.relid = relid;
	row.key = key;
	row.attributes = attributes;
	row.options = DatumGetCString(DirectFunctionCall1(jsonb_out, PG_GETARG_DATUM(6)));
	row.owner = owner;
	scim_mapping_check(list_make1(&row), owner);

	values[0] = CStringGetTextDatum(name);
	values[1] = CStringGetTextDatum(type->name);
	values[2] = ObjectIdGetDatum(relid);
	values[3] = CStringGetTextDatum(key);
	values[4] = DirectFunctionCall1(jsonb_in, CStringGetDatum(attributes));
	values[5] = ObjectIdGetDatum(owner);
	values[6] = PG_GETARG_DATUM(6);
	/* tracking begins with an UPDATE (84_capture.sql): a row that a restore inserts has its triggers already */
	if (scim_own_execute("create mapping",
						 "INSERT INTO scim._mappings (name, resource_type, relation, key, attributes, owner, options)"
						 " SELECT $1, $2, $3::pg_catalog.regclass, $4, $5, $6::pg_catalog.regrole, $7 OPERATOR(pg_catalog.-) 'track'"
						 " ON CONFLICT DO NOTHING",
						 7, types, values, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write scim._mappings");
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("mapping \"%s\" exists already", name)));
	scim_mapping_learn_names(scim_mapping_row(name));
	grant_key(relid, key, owner);
	if (scim_own_execute("track new mapping",
						 "UPDATE scim._mappings SET options = $7"
						 " WHERE name OPERATOR(pg_catalog.=) $1 AND options OPERATOR(pg_catalog.<>) $7",
						 7, types, values, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not write scim._mappings");

	scim_catalog_end();
	SPI_finish();
	PG_RETURN_VOID();
}

/* The mapping of this name, if the caller may change it (or "drop" it); raises else. */
static ScimMappingRow *
own_mapping(const char *name, bool drop)
{
	ScimMappingRow *row = scim_mapping_row(name);

	if (row == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("mapping \"%s\" does not exist", name)));
	/* those of scim.create_store_mapping are nobody's in particular, as schemas are */
	if (drop && row->made && (strcmp(row->resource_type, "User") == 0 || strcmp(row->resource_type, "Group") == 0))
		return row;
	if (row->builtin)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("mapping \"%s\" is part of the built-in store", name)));
	scim_require_member(row->owner, psprintf("mapping \"%s\"", name));
	return row;
}

/*
 * The endpoints that use a mapping have to be able to serve it still.  (One
 * whose owner is gone serves nothing, whatever the mapping is.)
 */
void
scim_mapping_check_endpoints(const char *mapping)
{
	Oid			types[1] = {TEXTOID};
	Datum		values[1];
	List	   *names = NIL;
	ListCell   *lc;

	values[0] = CStringGetTextDatum(mapping);
	if (scim_own_execute("endpoints of mapping",
						 "SELECT e.name FROM scim._endpoints e, pg_catalog.pg_roles r"
						 " WHERE $1 OPERATOR(pg_catalog.=) ANY (e.mappings) AND r.oid OPERATOR(pg_catalog.=) e.owner ORDER BY e.name",
						 1, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read scim._endpoints");
	for (uint64 i = 0; i < SPI_processed; i++)
		names = lappend(names, SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1));

	PushActiveSnapshot(GetTransactionSnapshot());
	scim_catalog_begin();
	foreach(lc, names)
	{
		const ScimEndpoint *endpoint = scim_endpoint_by_name((char *) lfirst(lc));

		if (endpoint && endpoint->broken)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("endpoint \"%s\" can't serve its mappings", endpoint->name),
					 errdetail("%s", endpoint->broken)));
	}
	scim_catalog_end();
	PopActiveSnapshot();
}

Datum
scim_alter_mapping(PG_FUNCTION_ARGS)
{
	char	   *name;
	ScimMappingRow *row;
	Oid			types[8] = {TEXTOID, JSONBOID, JSONBOID, TEXTOID, OIDOID, TEXTOID, TEXTOID, TEXTOID};
	Datum		values[8];
	char		nulls[9] = "        ";

	if (PG_ARGISNULL(0))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a mapping needs a name")));
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	SPI_connect();
	scim_catalog_begin();
	row = own_mapping(name, false);
	if (!PG_ARGISNULL(4))
		row->relid = PG_GETARG_OID(4);
	if (!PG_ARGISNULL(1))
		scim_mapping_make_extensions(row->resource_type, row->relid, DatumGetCString(DirectFunctionCall1(jsonb_out, PG_GETARG_DATUM(1))));
	scim_catalog_end();
	scim_catalog_begin();
	/* names are what they stand for now, and then all are looked up anew */
	row = own_mapping(name, false);
	(void) scim_mapping_rename_text(row);
	scim_mapping_forget_names(row);
	for (int i = 0; i < 5; i++)
	{
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
		values[i] = PG_ARGISNULL(i) ? (Datum) 0 : PG_GETARG_DATUM(i);
	}
	if (!PG_ARGISNULL(3))
		values[3] = CStringGetTextDatum(key_to_keep(PG_ARGISNULL(4) ? row->relid : PG_GETARG_OID(4),
													text_to_cstring(PG_GETARG_TEXT_PP(3))));
	values[5] = CStringGetTextDatum(row->attributes);
	values[6] = CStringGetTextDatum(row->options);
	values[7] = CStringGetTextDatum(row->key);
	if (scim_own_execute("alter mapping",
						 "UPDATE scim._mappings SET"
						 " attributes = (SELECT coalesce(pg_catalog.jsonb_object_agg(e.key, e.value), '{}')"
						 "  FROM pg_catalog.jsonb_each($6::pg_catalog.jsonb OPERATOR(pg_catalog.||) coalesce($2, '{}')) e"
						 "  WHERE pg_catalog.jsonb_typeof(e.value) OPERATOR(pg_catalog.<>) 'null'),"
						 " options = (SELECT coalesce(pg_catalog.jsonb_object_agg(e.key, e.value), '{}')"
						 "  FROM pg_catalog.jsonb_each($7::pg_catalog.jsonb OPERATOR(pg_catalog.||) coalesce($3, '{}')) e"
						 "  WHERE pg_catalog.jsonb_typeof(e.value) OPERATOR(pg_catalog.<>) 'null'),"
						 " key = coalesce($4, $8), relation = coalesce($5::pg_catalog.regclass, relation)"
						 " WHERE name OPERATOR(pg_catalog.=) $1",
						 8, types, values, nulls, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not write scim._mappings");
	CommandCounterIncrement();
	row = scim_mapping_row(name);
	grant_key(row->relid, row->key, row->owner);
	scim_mapping_check(list_make1(row), row->owner);
	scim_mapping_learn_names(row);
	scim_catalog_end();
	scim_mapping_check_endpoints(name);
	SPI_finish();
	PG_RETURN_VOID();
}

Datum
scim_drop_mapping(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Oid			types[1] = {TEXTOID};
	Datum		values[1];

	SPI_connect();
	scim_catalog_begin();
	(void) own_mapping(name, true);
	values[0] = CStringGetTextDatum(name);
	(void) scim_own_execute("drop mapping",
							"WITH dropped AS ("
							"DELETE FROM scim._mappings m WHERE m.name OPERATOR(pg_catalog.=) $1"
							" AND NOT EXISTS (SELECT 1 FROM scim._endpoints e WHERE $1 OPERATOR(pg_catalog.=) ANY (e.mappings))"
							" AND NOT EXISTS (SELECT 1 FROM scim._syncs s WHERE s.mapping_id OPERATOR(pg_catalog.=) m.id)"
							" RETURNING m.id),"
							" state AS (DELETE FROM scim._resource_state s USING dropped d WHERE s.mapping OPERATOR(pg_catalog.=) d.id)"
							" SELECT 1 FROM dropped",
							1, types, values, NULL, false, 0);
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("mapping \"%s\" is used by an endpoint or a sync", name)));
	scim_catalog_end();
	SPI_finish();
	PG_RETURN_VOID();
}
