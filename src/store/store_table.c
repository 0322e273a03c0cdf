/*
 * store_table.c
 *		What can be done on a table without a statement: the conditions that
 *		reading (store_scan.c) and inserting (store_insert.c) share.
 */
#include "postgres.h"

#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "store_table.h"

bool
scim_table_plain_type(Oid type)
{
	switch (type)
	{
		case TEXTOID:
		case VARCHAROID:
		case BOOLOID:
		case UUIDOID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
			return true;
		default:
			return false;
	}
}

bool
scim_table_key_type(Oid type)
{
	return scim_table_plain_type(type) && type != BOOLOID;
}

Datum
scim_table_datum(Oid type, const char *text)
{
	switch (type)
	{
		case BOOLOID:
			return DirectFunctionCall1(boolin, CStringGetDatum(text));
		case UUIDOID:
			return DirectFunctionCall1(uuid_in, CStringGetDatum(text));
		case INT2OID:
			return DirectFunctionCall1(int2in, CStringGetDatum(text));
		case INT4OID:
			return DirectFunctionCall1(int4in, CStringGetDatum(text));
		case INT8OID:
			return DirectFunctionCall1(int8in, CStringGetDatum(text));
		default:
			return CStringGetTextDatum(text);
	}
}

bool
scim_table_column(Relation rel, const char *quoted, AttrNumber *attnum, Oid *type)
{
	TupleDesc	desc = RelationGetDescr(rel);

	for (int i = 0; quoted && i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attisdropped || strcmp(quote_identifier(NameStr(att->attname)), quoted) != 0)
			continue;
		*attnum = att->attnum;
		*type = att->atttypid;
		return true;
	}
	return false;
}

bool
scim_table_stores(TupleDesc desc, AttrNumber attnum, Oid type)
{
	Form_pg_attribute att;

	if (attnum <= 0 || attnum > desc->natts)
		return false;
	att = TupleDescAttr(desc, attnum - 1);
	return !att->attisdropped && att->atttypid == type &&
		(att->attgenerated == '\0' || att->attgenerated == ATTRIBUTE_GENERATED_STORED);
}

bool
scim_table_is_plain(Relation rel)
{
	return rel->rd_rel->relkind == RELKIND_RELATION && !rel->rd_rel->relhassubclass &&
		!rel->rd_rel->relrowsecurity && rel->rd_rules == NULL && !RELATION_IS_OTHER_TEMP(rel);
}

bool
scim_table_takes_text(TupleDesc desc, AttrNumber attnum, Oid *type)
{
	Form_pg_attribute att;

	if (attnum <= 0 || attnum > desc->natts)
		return false;
	att = TupleDescAttr(desc, attnum - 1);
	*type = att->atttypid;
	return !att->attisdropped && att->attgenerated == '\0' && att->atttypmod == -1 && scim_table_plain_type(att->atttypid);
}

bool
scim_table_lock(Relation rel, TupleTableSlot *slot, bool *changed)
{
	uint8		flags = TUPLE_LOCK_FLAG_LOCK_UPDATE_IN_PROGRESS;
	ItemPointerData tid = slot->tts_tid;
	TM_FailureData failure;

	if (!IsolationUsesXactSnapshot())
		flags |= TUPLE_LOCK_FLAG_FIND_LAST_VERSION;
	switch (table_tuple_lock(rel, &tid, GetActiveSnapshot(), slot, GetCurrentCommandId(false),
							 LockTupleNoKeyExclusive, LockWaitBlock, flags, &failure))
	{
		case TM_Ok:
			*changed = failure.traversed;
			return true;
		case TM_Updated:
		case TM_Deleted:
			if (IsolationUsesXactSnapshot())
				ereport(ERROR,
						(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
						 errmsg("could not serialize access due to concurrent update")));
			return false;
		case TM_SelfModified:
			return false;
		default:
			elog(ERROR, "a row cannot be locked");
	}
}
