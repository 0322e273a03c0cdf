/*
 * store_internal.h
 *		Shared by the files of the store, and by nobody else.
 */
#ifndef SCIM_STORE_INTERNAL_H
#define SCIM_STORE_INTERNAL_H

#include "executor/spi.h"

#include "store.h"
#include "../catalog/catalog_mapping.h"

/* ---- a statement being built: text, and parameters beside it ---- */

typedef struct ScimSql
{
	StringInfoData text;
	int			nparams;
	int			capacity;
	Oid		   *types;
	Datum	   *values;
	char	   *nulls;			/* ' ' or 'n' */
} ScimSql;

extern void scim_sql_init(ScimSql *sql);
/* Add a parameter and return its number, for "$n". */
extern int	scim_sql_text(ScimSql *sql, const char *value);	/* NULL: SQL null */
extern int	scim_sql_text_array(ScimSql *sql, const char *const *values, int n);

/*
 * Run it with a plan that is kept with the mapping, keyed by the text.
 * Raises unless the SPI code is "expected".  "count" as in SPI_execute_plan.
 * "shared_snapshot": in the active snapshot (reads only), so that several
 * statements see one state; else in a new one.
 */
extern void scim_sql_execute(const ScimMapping *mapping, ScimSql *sql, int expected,
							 bool shared_snapshot, long count);

/* "r.tenant = $1::text AND ..." for alias r or c; adds the parameters once per
 * statement and returns the number of the first (0: no scope). */
extern int	scim_sql_scope_params(ScimSql *sql, const ScimEndpointType *target);
extern void scim_sql_scope(ScimSql *sql, const ScimMapping *mapping, const char *alias, int first_param);
extern void scim_sql_child_scope(ScimSql *sql, const ScimMapping *mapping, const ScimChild *child,
								 const char *alias, int first_param);

/* ---- per mapping: where to find things (store_compile.c) ---- */

typedef struct ScimStoreState
{
	MemoryContext context;
	struct ScimPlans *plans;	/* text hash -> plan */
	struct ScimScans *scans;	/* which rows need no plan; NULL: not looked yet */
	int		   *scalar_of;		/* by ord: index in mapping->scalars, or -1 */
	const char *select_list;	/* of the parent: see ScimColumn */
	int			ncolumns;
	int			col_version;	/* fixed columns of the parent row, from 0 */
	int			col_created;	/* -1: there is none */
	int			col_modified;
	int			col_present;
	int			col_scalars;	/* first of mapping->nscalars columns */
	int			col_slots;		/* first of the slots' columns, in order */
	int			groups_child;	/* index of the GROUPS child, or -1 */
} ScimStoreState;

#define SCIM_COL_KEY 0			/* column of the key in every parent row */

extern ScimStoreState *scim_store_state(const ScimMapping *mapping);
extern const char *scim_store_version_sql(const ScimMapping *mapping);

/* ---- rows of one page (store_read.c -> store_emit.c) ---- */

typedef struct ScimChildRow
{
	const ScimChild *child;
	int64		order;			/* among the values of its attribute */
	char	  **values;			/* text of each column of the branch; NULL: null */
	struct ScimChildRow *next;	/* of the same parent */
} ScimChildRow;

typedef struct ScimParentRow
{
	Datum	   *values;
	bool	   *nulls;
	char	   *id;
	bool		has_key;		/* "key" is the same as a value of the key's type */
	Datum		key;
	ScimChildRow *first;
	ScimChildRow *last;
	bool		unordered;		/* the rows have to be put in order yet */
} ScimParentRow;

extern void scim_store_emit(const ScimEndpointType *target, const ScimSelection *selection,
							const ScimParentRow *row, const char *base_url, StringInfo out);
extern char *scim_store_version(const ScimMapping *mapping, Datum *values, bool *nulls);
extern char *scim_store_location(const ScimEndpointType *target, const char *base_url, const char *id);
/* Text of a column's value as the wire has it (boolean, dateTime, ...). */
extern char *scim_store_datum_text(const ScimSource *src, Datum value);

/* Append a row to those of its parent. */
extern void scim_store_add_row(ScimParentRow *parent, ScimChildRow *row);

/* An answer holds more rows than a request may use memory for: raises 54000. */
extern void scim_store_too_much(void) pg_attribute_noreturn();

/* ---- rows without a statement (store_scan.c), in the active snapshot ---- */

typedef enum ScimScanned
{
	SCIM_SCAN_NOT,				/* a statement has to do it */
	SCIM_SCAN_NONE,				/* there is no such row */
	SCIM_SCAN_FOUND
} ScimScanned;

/* The row with this id, a valid text of a key. */
extern ScimScanned scim_store_scan_parent(const ScimEndpointType *target, const char *id, ScimParentRow *row);

/* May rows come by their id without a statement? */
extern bool scim_store_can_scan_parents(const ScimMapping *mapping);

/* The rows with these ids, each of which is there; false: a statement has to do it. */
extern bool scim_store_scan_parents(const ScimEndpointType *target, char *const *ids, int n, ScimParentRow *rows);

/* May the rows of this child relation come without a statement? */
extern bool scim_store_can_scan(const ScimMapping *mapping, int child);

/*
 * Append the rows of a child relation to their parents; false: a statement has
 * to do it.  "budget": how many more rows there may be.
 */
extern bool scim_store_scan_child(const ScimEndpointType *target, int child, ScimParentRow *rows, int n, long *budget);

/* Can any of these users be in a group?  Also true if only a statement can tell. */
extern bool scim_store_any_in_group(const ScimEndpointType *target, ScimParentRow *rows, int n);

/* ---- predicates (store_predicate.c) ---- */

/* Append a boolean SQL expression over alias r, two-valued. */
extern void scim_store_predicate(ScimSql *sql, const ScimEndpointType *target, const ScimFilter *filter, int scope_param);
/* Append "expr [COLLATE ..] ASC|DESC NULLS ..": the order of a query, total. */
extern void scim_store_order(ScimSql *sql, const ScimEndpointType *target, const ScimQuery *query, int scope_param);
/* A value as SQL text that a child branch or predicate reads. */
extern const char *scim_store_value_sql(const ScimSource *src);

/* A JSON string, for comparing constants by core's rules (memory: current context). */
extern json_t *scim_store_json_string(const char *text);

/* ---- members (store_members.c) ---- */

/* Apply a set difference to a link attribute; true: something changed. */
extern bool scim_store_apply_delta(const ScimEndpointType *target, const char *id, const ScimAttr *attr,
								   const ScimDelta *delta, ScimError *err);
/* The difference between two arrays of references. */
extern bool scim_store_replace_links(const ScimEndpointType *target, const char *id, const ScimAttr *attr,
									 const json_t *before, const json_t *after, ScimError *err);

/* True while this process writes child rows itself: the triggers that keep
 * scim.users.values_present right for plain SQL then have nothing to do. */
extern bool scim_store_writing;

#endif							/* SCIM_STORE_INTERNAL_H */
