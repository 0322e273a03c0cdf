/*
 * catalog_mapping_sql.c
 *		SQL functions that make and drop mappings.
 */
#include "postgres.h"

#include "access/htup_details.h"
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
#include "utils/syscache.h"

#include "catalog.h"
#include "catalog_mapping.h"

PG_FUNCTION_INFO_V1(scim_create_mapping);
PG_FUNCTION_INFO_V1(scim_drop_mapping);

/* The column of a one-column primary key; raises if there is none. */
static char *
primary_key_column(Oid relid)
{
	Relation	rel = RelationIdGetRelation(relid);
	Oid			index;
	HeapTuple	tuple;
	Form_pg_index form;
	char	   *name = NULL;

	if (!RelationIsValid(rel))
		elog(ERROR, "could not open relation %u", relid);
	(void) RelationGetIndexList(rel);
	index = rel->rd_pkindex;
	RelationClose(rel);
	if (OidIsValid(index))
	{
		tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
		if (HeapTupleIsValid(tuple))
		{
			form = (Form_pg_index) GETSTRUCT(tuple);
			if (form->indnkeyatts == 1)
				name = get_attname(relid, form->indkey.values[0], false);
			ReleaseSysCache(tuple);
		}
	}
	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("relation \"%s\" has no primary key of one column", get_rel_name(relid)),
				 errhint("Name the column: key => '...'")));
	return name;
}

Datum
scim_create_mapping(PG_FUNCTION_ARGS)
{
	char	   *name = PG_ARGISNULL(0) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *resource_type = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
	Oid			relid = PG_ARGISNULL(2) ? InvalidOid : PG_GETARG_OID(2);
	char	   *key = PG_ARGISNULL(3) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(3));
	Oid			owner;
	ScimMappingRow row;
	Oid			types[6] = {TEXTOID, TEXTOID, OIDOID, TEXTOID, JSONBOID, OIDOID};
	Datum		values[6];
	const ScimResourceType *type;
	List	   *rows = NIL;

	if (name == NULL || name[0] == '\0' || strlen(name) > 200)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a mapping needs a name")));
	if (resource_type == NULL || !OidIsValid(relid))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a mapping needs a resource type and a relation")));
	if (PG_ARGISNULL(4))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a mapping needs attributes")));

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
		key = primary_key_column(relid);

	SPI_connect();
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
	row.attributes = DatumGetCString(DirectFunctionCall1(jsonb_out, PG_GETARG_DATUM(4)));
	row.owner = owner;
	rows = lappend(rows, &row);
	scim_mapping_check(rows, owner);

	values[0] = CStringGetTextDatum(name);
	values[1] = CStringGetTextDatum(type->name);
	values[2] = ObjectIdGetDatum(relid);
	values[3] = CStringGetTextDatum(key);
	values[4] = PG_GETARG_DATUM(4);
	values[5] = ObjectIdGetDatum(owner);
	if (scim_own_execute("create mapping",
						 "INSERT INTO scim._mappings (name, resource_type, relation, key, attributes, owner)"
						 " SELECT $1, $2, $3::pg_catalog.regclass, $4, $5, $6::pg_catalog.regrole"
						 " ON CONFLICT DO NOTHING",
						 6, types, values, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write scim._mappings");
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("mapping \"%s\" exists already", name)));

	scim_catalog_end();
	SPI_finish();
	PG_RETURN_VOID();
}

Datum
scim_drop_mapping(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Oid			types[1] = {TEXTOID};
	Datum		values[1];
	ScimMappingRow *row;

	SPI_connect();
	scim_catalog_begin();
	row = scim_mapping_row(name);
	if (row == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("mapping \"%s\" does not exist", name)));
	if (row->builtin)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("mapping \"%s\" is part of the built-in store", name)));
	scim_require_member(row->owner, psprintf("mapping \"%s\"", name));
	values[0] = CStringGetTextDatum(name);
	(void) scim_own_execute("drop mapping",
							"DELETE FROM scim._mappings m WHERE m.name OPERATOR(pg_catalog.=) $1"
							" AND NOT EXISTS (SELECT 1 FROM scim._endpoints e WHERE $1 OPERATOR(pg_catalog.=) ANY (e.mappings))"
							" AND NOT EXISTS (SELECT 1 FROM scim._syncs s WHERE s.mapping_id OPERATOR(pg_catalog.=) m.id)",
							1, types, values, NULL, false, 0);
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("mapping \"%s\" is used by an endpoint or a sync", name)));
	scim_catalog_end();
	SPI_finish();
	PG_RETURN_VOID();
}
