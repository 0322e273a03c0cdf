/*
 * store_table.h
 *		Tables as store_scan.c and store_insert.c see them.
 */
#ifndef SCIM_STORE_TABLE_H
#define SCIM_STORE_TABLE_H

#include "utils/relcache.h"

/* A plain table, and nothing in its way that only a statement would do. */
extern bool scim_table_is_plain(Relation rel);

/* Types whose text is that of a cast, whatever the settings; and of those the ones that keys have. */
extern bool scim_table_plain_type(Oid type);
extern bool scim_table_key_type(Oid type);
/* The value of a text as such a type; raises 22xxx. */
extern Datum scim_table_datum(Oid type, const char *text);

/* A column of an open relation by its quoted name; false: it is not to be had here. */
extern bool scim_table_column(Relation rel, const char *quoted, AttrNumber *attnum, Oid *type);
/* Is that column there, of that type, and in the row itself? */
extern bool scim_table_stores(TupleDesc desc, AttrNumber attnum, Oid type);

#endif							/* SCIM_STORE_TABLE_H */
