/*
 * store_table.h
 *		Tables as store_scan.c and store_insert.c see them.
 */
#ifndef SCIM_STORE_TABLE_H
#define SCIM_STORE_TABLE_H

#include "access/genam.h"
#include "access/skey.h"
#include "executor/tuptable.h"
#include "storage/lock.h"
#include "utils/relcache.h"

#include "store_internal.h"

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

/*
 * Does a text become the column's value by the input function of its type, and
 * nothing else?  *type: that type.
 */
extern bool scim_table_takes_text(TupleDesc desc, AttrNumber attnum, Oid *type);

/* A scope has few columns; beyond this it is SQL. */
#define SCIM_SCAN_KEYS 8

/* A scan that is open. */
typedef struct ScimOpenScan
{
	Relation	rel;
	Relation	index;
	IndexScanDesc desc;
	TupleTableSlot *slot;
	ScanKeyData keys[SCIM_SCAN_KEYS + 1];
	int			nkeys;
} ScimOpenScan;

/*
 * Open a scan of a mapping's own relation with the row of this id in its slot,
 * if *found, in the active snapshot; false: a statement has to do it.
 */
extern bool scim_scan_parent(const ScimEndpointType *target, const char *id, LOCKMODE lock, bool *found, ScimOpenScan *scan);
extern void scim_scan_end(ScimOpenScan *scan);

#endif							/* SCIM_STORE_TABLE_H */
