/*
 * catalog_row.c
 *		Rows of our own tables, read by fixed statements.
 *
 * Everything that fills the cache reads scim._* through these, as the tables'
 * owner (scim_own_execute).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "catalog_cache_internal.h"

char *
scim_row_text(SPITupleTable *table, int row, int column)
{
	return SPI_getvalue(table->vals[row], table->tupdesc, column);
}

int64
scim_row_int64(SPITupleTable *table, int row, int column)
{
	bool		isnull;
	Datum		d = SPI_getbinval(table->vals[row], table->tupdesc, column, &isnull);

	return isnull ? 0 : DatumGetInt64(d);
}

Oid
scim_row_oid(SPITupleTable *table, int row, int column)
{
	bool		isnull;
	Datum		d = SPI_getbinval(table->vals[row], table->tupdesc, column, &isnull);

	return isnull ? InvalidOid : DatumGetObjectId(d);
}

bool
scim_row_bool(SPITupleTable *table, int row, int column)
{
	bool		isnull;
	Datum		d = SPI_getbinval(table->vals[row], table->tupdesc, column, &isnull);

	return !isnull && DatumGetBool(d);
}

List *
scim_row_texts(SPITupleTable *table, int row, int column, MemoryContext context)
{
	bool		isnull;
	Datum		array = SPI_getbinval(table->vals[row], table->tupdesc, column, &isnull);
	MemoryContext saved;
	List	   *texts = NIL;
	Datum	   *elements;
	int			n = 0;

	if (!isnull)
		deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, &n);
	saved = MemoryContextSwitchTo(context);
	for (int i = 0; i < n; i++)
		texts = lappend(texts, TextDatumGetCString(elements[i]));
	MemoryContextSwitchTo(saved);
	return texts;
}

void
scim_select_own(const char *key, const char *sql, const char *argument, const char *what)
{
	Oid			types[1] = {TEXTOID};
	Datum		values[1];
	int			nargs = argument ? 1 : 0;

	if (argument)
		values[0] = CStringGetTextDatum(argument);
	if (scim_own_execute(key, sql, nargs, types, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read %s", what);
}
