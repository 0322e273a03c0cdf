/*
 * store_scan.h
 *		Which index finds rows of a relation of a mapping: between
 *		store_scan_index.c, which chooses, and store_scan.c.
 */
#ifndef SCIM_STORE_SCAN_H
#define SCIM_STORE_SCAN_H

#include "store_table.h"

/* A column that is compared, and with what. */
typedef struct ScanColumn
{
	AttrNumber	attnum;
	Oid			type;			/* of the column and of the value */
	int			scope;			/* number of the scope's column; -1: the key, or what is looked for */
} ScanColumn;

/* An index that finds rows of a relation by fixed values, or none. */
typedef struct ScanIndex
{
	Oid			relid;
	Oid			index;			/* InvalidOid: there is none */
	int			nkeys;			/* scan keys, in the order of the index */
	ScanKeyData keys[SCIM_SCAN_KEYS + 1];
	ScanColumn	columns[SCIM_SCAN_KEYS];	/* of those keys that have an argument */
	int			narguments;
	AttrNumber	order;			/* of a child: its order column, or 0 */
	Oid			order_type;
	AttrNumber	fixed;			/* of a child: the text column that tells which rows are its own, or 0 */
	const char *fixed_text;		/* and how */
	int			fixed_len;
} ScanIndex;

typedef struct ScanColumnRead
{
	AttrNumber	attnum;			/* 0: none, it is the row's own version or of its state */
	Oid			type;
} ScanColumnRead;

/* An index that finds resources by the text of an attribute. */
typedef struct ScanLookup
{
	int			scalar;			/* index in mapping->scalars */
	bool		folded;			/* by what scim.fold() makes of it */
	ScanIndex	how;
} ScanLookup;

/* Of a mapping; made at the first use. */
typedef struct ScimScans
{
	ScanIndex	parent;
	int			nlookups;
	ScanLookup *lookups;
	ScanColumnRead *columns;	/* one for each column of a parent row */
	ScanIndex	groups;			/* is a user in any group? */
	ScanIndex  *children;		/* one for each child relation */
} ScimScans;

/* Those of a mapping. */
extern const ScimScans *scim_scans_of(const ScimMapping *m);

/* May this index be used at all? */
extern bool scim_scan_can_use(Relation index);

#endif							/* SCIM_STORE_SCAN_H */
