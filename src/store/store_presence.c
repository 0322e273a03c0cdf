/*
 * store_presence.c
 *		Keeps scim.users.values_present true for plain SQL.
 *
 * A read skips the child tables whose bit is not set.  The store sets the bits
 * itself; when anybody else inserts into a child table, this trigger does.  A
 * bit that is set too much costs a look-up and is cleared by the next write.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"

#include "store_internal.h"

PG_FUNCTION_INFO_V1(scim_value_written);

/*
 * AFTER INSERT OR UPDATE row trigger with one argument: the number of the bit.
 * The table's columns "tenant" and "user_id" name the user.
 */
Datum
scim_value_written(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	HeapTuple	row;
	Oid			types[3] = {TEXTOID, UUIDOID, INT4OID};
	Datum		values[3];
	bool		isnull;

	if (!CALLED_AS_TRIGGER(fcinfo) || trigger->tg_trigger->tgnargs != 1)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("scim._value_written can only be called as a trigger")));
	if (scim_store_writer.depth >= 0 && scim_store_trigger_depth() == scim_store_writer.depth + 1)
		return PointerGetDatum(NULL);

	desc = RelationGetDescr(trigger->tg_relation);
	row = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : trigger->tg_trigtuple;
	values[0] = heap_getattr(row, SPI_fnumber(desc, "tenant"), desc, &isnull);
	values[1] = heap_getattr(row, SPI_fnumber(desc, "user_id"), desc, &isnull);
	values[2] = Int32GetDatum(1 << pg_strtoint32(trigger->tg_trigger->tgargs[0]));

	/* the row as it will be written in the end has to have the bit as well */
	if (scim_store_writer.id &&
		strcmp(DatumGetCString(DirectFunctionCall1(uuid_out, values[1])), scim_store_writer.id) == 0)
		scim_store_writer.present |= DatumGetInt32(values[2]);

	SPI_connect();
	if (scim_own_execute("value written",
						 "UPDATE scim.users SET values_present = values_present OPERATOR(pg_catalog.|) $3"
						 " WHERE tenant OPERATOR(pg_catalog.=) $1 AND id OPERATOR(pg_catalog.=) $2"
						 " AND (values_present OPERATOR(pg_catalog.&) $3) OPERATOR(pg_catalog.=) 0",
						 3, types, values, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not write scim.users");
	SPI_finish();
	return PointerGetDatum(NULL);
}
