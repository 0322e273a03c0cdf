/*
 * store_internal.h
 *		Shared by the files of the store, and by nobody else.
 */
#ifndef SCIM_STORE_INTERNAL_H
#define SCIM_STORE_INTERNAL_H

#include "executor/spi.h"

#include "store.h"
#include "../catalog/catalog_mapping.h"
#include "../compat.h"

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
extern char *scim_sql_cast(int param, const char *type);	/* "$n::type" */

/*
 * Run it with a plan that is kept with the mapping, keyed by the text.
 * Raises unless the SPI code is "expected".  "count" as in SPI_execute_plan.
 * "shared_snapshot": in the active snapshot (reads only), so that several
 * statements see one state; else in a new one.
 */
extern void scim_sql_execute(const ScimMapping *mapping, ScimSql *sql, int expected,
							 bool shared_snapshot, long count);
/* How many statements have been run so. */
extern uint64 scim_sql_executed(void);

/* "r.tenant = $1::text AND ..." for alias r or c; adds the parameters once per
 * statement, as its first (expressions of a mapping rely on it), and returns
 * the number of the first (0: no scope). */
extern int	scim_sql_scope_params(ScimSql *sql, const ScimEndpointType *target);
/* Which rows of the mapped relation belong to this scope; never empty. */
extern void scim_sql_tenant(ScimSql *sql, const ScimMapping *mapping, const char *alias, int first_param);
/* The same, without those that the mapping's filter leaves out: its resources. */
extern void scim_sql_scope(ScimSql *sql, const ScimMapping *mapping, const char *alias, int first_param);
/* " AND ...": which rows of a child relation count. */
extern void scim_sql_child_scope(ScimSql *sql, const ScimMapping *mapping, const ScimChild *child,
								 const char *alias, int first_param);
/* The same with those that its filter leaves out (links that were removed). */
extern void scim_sql_child_tenant(ScimSql *sql, const ScimMapping *mapping, const ScimChild *child,
								  const char *alias, int first_param);
/* " AND c.column = value": columns that hold fixed values. */
extern void scim_sql_fixed(ScimSql *sql, int n, const char **columns, const char **values, const char **types);

/* ---- ids and the keys that they stand for (store_key.c) ---- */

/* Add a valid id, or several, as parameters; returns the number of the first. */
extern int	scim_sql_id(ScimSql *sql, const ScimMapping *m, const char *id);
extern int	scim_sql_ids(ScimSql *sql, const ScimMapping *m, const char *const *ids, int n);
/* "row r has this id", "one of these". */
extern const char *scim_sql_is_id(const ScimMapping *m, int id);
extern const char *scim_sql_is_any_id(const ScimMapping *m, int ids);
/* SQL of the key of an id, as one value or a ROW; of one part of it. */
extern const char *scim_sql_key(const ScimMapping *m, int id);
extern const char *scim_sql_key_part(const ScimMapping *m, int i, int id);
/* FROM item "p(k1, ..., n)": the keys of several ids, and which of them (from 1) it is. */
extern const char *scim_sql_keys_from(const ScimMapping *m, int ids);
/* "columns hold the key of this id", "of one of these". */
extern const char *scim_sql_refers(const ScimMapping *to, const ScimReference *columns, int id);
extern const char *scim_sql_refers_to_any(const ScimMapping *to, const ScimReference *columns, int ids);
/* "c.a, c.b" */
extern const char *scim_sql_columns(const ScimReference *columns, const char *alias);
/* "k1, k2"; the same as one value. */
extern const char *scim_sql_key_list(const char *prefix, int n);
extern const char *scim_sql_key_row(const char *prefix, int n);
/* What ORDER BY says of ids, and "row r comes after (down: before) this id" in that order. */
extern const char *scim_sql_id_order(const ScimMapping *m, bool down);
extern const char *scim_sql_id_after(const ScimMapping *m, bool down, int id);

/* ---- per mapping: where to find things (store_compile.c) ---- */

typedef struct ScimStoreState
{
	MemoryContext context;
	struct ScimPlans *plans;	/* text hash -> plan */
	struct ScimScans *scans;	/* which rows need no plan; NULL: not looked yet */
	struct ScimInserts *inserts;	/* the same of new rows */
	struct ScimPages *pages;	/* what is remembered of lists */
	int		   *scalar_of;		/* by ord: index in mapping->scalars, or -1 */
	const char *select_list;	/* of the parent: all columns */
	const char *select_head;	/* those before the scalars */
	bool		has_costly;		/* some are worth leaving out */
	int			ncolumns;
	int			col_version;	/* fixed columns of the parent row, from 0 */
	int			col_created;	/* -1: there is none */
	int			col_modified;
	int			col_scalars;	/* first of mapping->nscalars columns */
	int			col_slots;		/* first of the slots' columns, in order */
	int			groups_child;	/* index of the GROUPS child, or -1 */
	int			state_external_id;	/* columns that store_state.c fills in; -1: it does not */
	int			state_created;
	int			state_modified;
} ScimStoreState;

#define SCIM_COL_KEY 0			/* column of the key in every parent row */

extern ScimStoreState *scim_store_state(const ScimMapping *mapping);
extern const char *scim_store_version_sql(const ScimMapping *mapping);

/* The columns of a parent row, null for what "selection" (NULL: everything is asked for) does not need. */
extern const char *scim_store_select_list(const ScimMapping *mapping, const ScimSelection *selection);

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
/* Of a row, and of one that has this text in the column of its version. */
extern char *scim_store_version(const ScimMapping *mapping, Datum *values, bool *nulls);
extern char *scim_store_version_of(const char *text);
/* Text of a column's value as the wire has it (boolean, dateTime, ...). */
extern char *scim_store_datum_text(const ScimSource *src, Datum value);

/* Append a row to those of its parent. */
extern void scim_store_add_row(ScimParentRow *parent, ScimChildRow *row);

/* An answer holds more rows than a request may use memory for: raises 54000. */
pg_noreturn extern void scim_store_too_much(void);

/* ---- rows without a statement (store_scan.c), in the active snapshot ---- */

typedef enum ScimScanned
{
	SCIM_SCAN_NOT,				/* a statement has to do it */
	SCIM_SCAN_NONE,				/* there is no such row */
	SCIM_SCAN_FOUND
} ScimScanned;

/* The row with this id, a valid text of a key. */
extern ScimScanned scim_store_scan_parent(const ScimEndpointType *target, const char *id, ScimParentRow *row);

/* The same, locked: as it is now, which a snapshot of before may not see. */
extern ScimScanned scim_store_lock_parent(const ScimEndpointType *target, const char *id, ScimParentRow *row);

/* May rows come by their id without a statement? */
extern bool scim_store_can_scan_parents(const ScimMapping *mapping);

/* The rows with these ids, each of which is there; false: a statement has to do it. */
extern bool scim_store_scan_parents(const ScimEndpointType *target, char *const *ids, int n, ScimParentRow *rows);

/* The only row that fulfils a filter; SCIM_SCAN_NOT also if there are several. */
extern ScimScanned scim_store_scan_equal(const ScimEndpointType *target, const ScimFilter *filter, ScimParentRow *row);

/* May all rows of a scope be counted without a statement, and how many there are (-1: a statement has to). */
extern bool scim_store_can_count(const ScimEndpointType *target);
extern int64 scim_store_scan_count(const ScimEndpointType *target);

/* May the rows of this child relation come without a statement? */
extern bool scim_store_can_scan(const ScimMapping *mapping, int child);

/*
 * Append the rows of a child relation, and those of others in "use" that lie
 * among them and "can" be read so, to their parents, and take those out of
 * "use"; false: a statement has to do it.  "budget": how many more rows there
 * may be.
 */
extern bool scim_store_scan_children(const ScimEndpointType *target, int child, const bool *can, bool *use,
									 ScimParentRow *rows, int n, long *budget);

/* Can any of these users be in a group?  Also true if only a statement can tell. */
extern bool scim_store_any_in_group(const ScimEndpointType *target, ScimParentRow *rows, int n);

/* ---- how many rows a table has gained (store_growth.c) ---- */

/* The column that tells tenants apart in a table whose growth is noted, or InvalidAttrNumber: it is not. */
extern AttrNumber scim_growth_noted(Relation rel);

/* Note a row that was inserted without a statement into such a table. */
extern void scim_growth_inserted(Relation rel, Datum tenant);

/* By how much a tenant's part of the table has grown, in the active snapshot. */
extern int64 scim_growth_of(Oid relid, const char *tenant);

/* ---- predicates (store_predicate.c) ---- */

/* Append a boolean SQL expression over alias r, two-valued. */
extern void scim_store_predicate(ScimSql *sql, const ScimEndpointType *target, const ScimFilter *filter, int scope_param);
/* What sortBy orders by, its type, and whether it is never null; NULL: all are alike. */
extern const char *scim_store_sort_key(ScimSql *sql, const ScimEndpointType *target, const ScimPath *path,
									   int scope_param, const char **type, bool *not_null);
/* A value as SQL text that a child branch or predicate reads. */
extern const char *scim_store_value_sql(const ScimSource *src);

/* A JSON string, for comparing constants by core's rules (memory: current context). */
extern json_t *scim_store_json_string(const char *text);

/* ---- the order of a query (store_order.c) ---- */

/* Append " ORDER BY ...": total, turned round for a page that is read backward. */
extern void scim_store_order(ScimSql *sql, const ScimEndpointType *target, const ScimQuery *query, int scope_param);
/* Append " AND (...)": what comes after query->from in that order. */
extern void scim_store_beyond(ScimSql *sql, const ScimEndpointType *target, const ScimQuery *query, int scope_param);
/* The sort key as text, for ScimPosition. */
extern const char *scim_store_sort_text(ScimSql *sql, const ScimEndpointType *target, const ScimQuery *query, int scope_param);

/* ---- reading (store_read.c), for the lists of several types ---- */

/*
 * One state for all statements of a read, with what this transaction wrote: to
 * be popped.  Returns how many transactions had ended then; 0: not known.
 */
extern uint64 scim_store_push_snapshot(void);
/* The rows of SPI's result, up to "n" of them; "backward": the last one first. */
extern ScimParentRow *scim_store_parent_rows(const ScimEndpointType *target, int n, bool backward);
/* The rows of the child relations of some parents, as far as selected. */
extern void scim_store_read_children(const ScimEndpointType *target, const ScimSelection *selection, ScimParentRow *rows, int n);
/* Append " FROM ... WHERE scope AND filter". */
extern void scim_store_where(ScimSql *sql, const ScimEndpointType *target, const ScimQuery *query, int scope_param);
/* How many resources match (snapshot: the active one). */
extern int64 scim_store_count(const ScimEndpointType *target, const ScimQuery *query);
/* Raise if an answer has become larger than a request may use memory for. */
extern void scim_store_check_size(const StringInfo out);
/* Emit the resources with these ids: the text of each in out[i], NULL where there is none. */
extern void scim_store_get_many(const ScimEndpointType *target, const ScimSelection *selection,
								const char *const *ids, int n, char **out);

/* ---- values to be stored (store_column.c) ---- */

/* What a column is set to, where it takes no statement to say it. */
typedef enum ScimColumnKind
{
	SCIM_COLUMN_SQL,			/* it does */
	SCIM_COLUMN_TEXT,			/* "text", by the input function of its type */
	SCIM_COLUMN_NOW,
	SCIM_COLUMN_NEXT			/* one more than it was */
} ScimColumnKind;

/* One column of a statement and the SQL it is set to. */
typedef struct ScimColumnItem
{
	const char *column;			/* quoted */
	ScimColumnKind kind;
	AttrNumber	attnum;			/* unless it takes SQL */
	const char *text;			/* NULL: null */
	const char *value;
	const char *cast;			/* type that the whole value is cast to, or NULL */
	bool		object;			/* the value is a document that is an object for sure */
	int			nmembers;		/* of it that the last step has put: it can take more */
	const char *members;		/* these, as arguments of jsonb_build_object */
	const char *base;			/* the document that they were put into */
	bool		derived;		/* from an attribute that lives elsewhere: its own goes before */
	bool		written;		/* an expression of a mapping made it: the next one goes on from there */
} ScimColumnItem;

typedef struct ScimColumns
{
	ScimSql    *sql;
	ScimColumnItem *items;
	int			n;
	int			capacity;
	bool		update;			/* of a row that is there */
	bool		over_row;		/* a value is an expression over the row */
	int			key;			/* of a row beside the resource that is there: parameters of its id */
	int			scope;			/* and of the first of the scope */
} ScimColumns;

extern void scim_columns_init(ScimColumns *list, ScimSql *sql, bool update);
/* Set a column to SQL, unless it is in the list. */
extern void scim_columns_add(ScimColumns *list, const char *column, const char *value);
/* The same, with what it means: "text" of SCIM_COLUMN_TEXT. */
extern void scim_columns_add_known(ScimColumns *list, const char *column, AttrNumber attnum, const char *value,
								   ScimColumnKind kind, const char *text);
extern void scim_columns_settings(ScimColumns *list, const ScimSetting *settings, int n);
/* Set all columns that a value of a source lives in; NULL: unassigned. */
extern void scim_columns_set(ScimColumns *list, const ScimEndpointType *target, const ScimAttr *attr,
							 const ScimSource *src, const json_t *value);
/* Set the column that holds these values of a multi-valued attribute. */
extern void scim_columns_set_inline(ScimColumns *list, const ScimMapping *m, const ScimChild *child,
									const json_t **elements, int n);
/* Append "a = 1, b = 2", or a whole INSERT without RETURNING. */
extern void scim_columns_append_set(const ScimColumns *list);
extern void scim_columns_append_insert(const ScimColumns *list, const char *relation);

/* Text of a single JSON value; NULL: unassigned. */
extern const char *scim_store_value_text(const json_t *value);
/* The same as SQL compares it: times in UTC. */
extern const char *scim_store_time_text(const ScimAttr *attr, const ScimSource *src, const char *text);
/* The same as its column holds it; raises 22xxx naming the attribute. */
extern const char *scim_store_stored_text(const ScimMapping *m, const ScimAttr *attr, const ScimSource *src,
										  const json_t *value);
/* The time of a change, as a column holds times. */
extern const char *scim_store_now_sql(const ScimSource *src);

/* ---- differences (store_write.c) ---- */

/*
 * The two states of a resource between which columns differ.  "all": set all
 * columns, whatever they held.
 */
typedef struct ScimChange
{
	const ScimEndpointType *target;
	const json_t *before;		/* or NULL: nothing */
	const json_t *after;
	bool		all;
	bool		fresh;			/* the row is one that was inserted just now, and nobody's code has run since */
	char	   *version;		/* of a fresh row, as text; or NULL */
} ScimChange;

/* The value of a scalar attribute in a resource, or NULL. */
extern const json_t *scim_change_scalar(const ScimResourceType *type, const json_t *resource, const ScimAttr *attr);
/* What the i-th source of a slot holds of an element (NULL: of none); a flag's is that there is one. */
extern const json_t *scim_change_slot_value(const ScimSlot *slot, int i, const json_t *element);
/* Columns of scalars and slots that differ, of the parent row or of the row beside it. */
extern void scim_change_columns(ScimColumns *list, const ScimChange *change, const ScimSide *side);

/* Raises 42704: a row was inserted, and it has no key. */
pg_noreturn extern void scim_store_no_key(const ScimMapping *m);

/*
 * Insert the resource's row without a statement (store_insert.c): its id; NULL: a
 * statement has to do it.  *others: triggers that are not scim's have run.
 * *version: what it has in the column of its version, or NULL.
 */
extern char *scim_store_insert_row(const ScimEndpointType *target, const ScimColumns *list, bool *others, char **version);

/* Change a row that is locked without a statement (store_update.c); false: one has to do it. */
extern bool scim_store_update_row(const ScimEndpointType *target, const char *id, const ScimColumns *list);

/* ---- rows of other tables (store_side.c) ---- */

/* What a column of a new row is set to, of a resource that is there; NULL: the mapping does not say. */
extern const char *scim_side_inserted(const ScimMapping *m, const ScimSide *side, AttrNumber attnum, int key, int scope);
/* "c.parent = key AND ...": a side row, for statements on it; "key": the parameters of an id. */
extern void scim_side_append(ScimSql *sql, const ScimMapping *m, const ScimSide *side, int key, int scope);
/* A row that the resource's row is to name: is one made for a new resource?  Make it; its key. */
extern bool scim_side_is_made_first(const ScimChange *change, const ScimSide *side);
extern char *scim_side_insert_named(const ScimChange *change, const ScimSide *side);
/* The key of the row that a resource's row names (NULL: none); delete a row by it. */
extern char *scim_side_named(const ScimEndpointType *target, const ScimSide *side, const char *id);
extern void scim_side_delete_named(const ScimEndpointType *target, const ScimSide *side, const char *key);
/*
 * Make the rows beside a resource what "after" says.  "made": the row is new, and
 * so are those that it names.  True: something was written.
 */
extern bool scim_side_update(const ScimChange *change, const char *id, bool made);
/* Rows that a new resource is given. */
extern void scim_side_insert_membership(const ScimEndpointType *target, const char *id);
extern void scim_side_insert_besides(const ScimEndpointType *target, const char *id);

/* ---- scim.resource_state (store_state.c); all do nothing where a mapping has none ---- */

/* Fill in what it holds of these resources, in the active snapshot. */
extern void scim_state_fill(const ScimEndpointType *target, ScimParentRow *rows, int n);
/* The keys of the resources that have this externalId there, in the active snapshot. */
extern int	scim_state_keys(const ScimEndpointType *target, const char *external_id, const char ***keys);
/* Does the externalId that it holds differ between the two states of a change? */
extern bool scim_state_changes(const ScimChange *change);
/* The row of a resource that was created (there is no "before") or changed. */
extern void scim_state_write(const ScimChange *change, const char *id);
extern void scim_state_delete(const ScimEndpointType *target, const char *id);
/* Resources of mapping "m" of the same endpoint have changed: a text array of keys. */
extern void scim_state_change(const ScimEndpointType *target, const ScimMapping *m, Datum keys);

/* ---- multi-valued attributes (store_child.c) ---- */

/* The array of a multi-valued attribute, or NULL. */
extern const json_t *scim_store_multi(const ScimResourceType *type, const json_t *resource, const ScimAttr *attr);

/*
 * The elements of an array that a place of its attribute holds: the value of
 * a slot (or NULL), the values of a child relation or column.
 */
extern const json_t *scim_store_slot_element(const ScimMapping *m, const ScimSlot *slot, const json_t *array);
extern int	scim_store_child_elements(const ScimMapping *m, const ScimChild *child, const json_t *array,
									  const json_t ***elements);

/* Strict: 400 where a value of "after" has no place in the mapping. */
extern bool scim_store_check_places(const ScimEndpointType *target, const json_t *after, ScimError *err);

/* Values of a child relation that have no row yet. */
typedef struct ScimChildRows
{
	const ScimChild *child;
	const json_t **elements;
	int			n;
} ScimChildRows;

/*
 * Make child rows what "after" says, in two steps: delete those of each
 * attribute that are gone, telling which are new; insert these, of all.  True:
 * something was written.
 */
extern bool scim_store_child_delete(const ScimEndpointType *target, const char *id, const ScimChild *child,
									const json_t *before, const json_t *after, ScimChildRows *fresh);
extern bool scim_store_children_insert(const ScimChange *change, const char *id, ScimChildRows *fresh, int n);
/*
 * What the columns of a sub-attribute are to hold for some elements: "stored",
 * as new rows have it; else as it is read, to be compared.  False: null for all.
 */
extern bool scim_store_element_texts(const ScimMapping *m, const ScimChild *child, int sub, const json_t **elements, int n,
									 bool stored, const char **column);
/*
 * Insert rows of some child relations that are one table without a statement
 * (store_insert.c); false: a statement has to do it.
 */
extern bool scim_store_insert_rows(const ScimChange *change, const char *id, const ScimChildRows *fresh, int n);
/* Delete all rows of a child relation. */
extern void scim_store_clear_child(const ScimEndpointType *target, const char *id, const ScimChild *child);

/*
 * Delete rows of a relation whose columns hold the key of an id (and its scope
 * columns, or NULL for each, those of the scope), or with "cleared" set what that says.
 */
extern void scim_store_delete_rows(const ScimEndpointType *target, const char *relation, const char *const *scope_columns,
								   const char *cleared, const ScimReference *columns, const char *id);

/* ---- soft delete (store_deleted.c) ---- */

/* Does a deletion keep the resource? */
extern bool scim_store_keeps_deleted(const ScimEndpointType *target);
/* What is to be kept of a resource that is about to go, as JSON; NULL: it is not there. */
extern char *scim_store_read_deleted(const ScimEndpointType *target, const char *id);
/* Keep it. */
extern void scim_store_keep_deleted(const ScimEndpointType *target, const char *id, const char *resource);
/* The last deleted one of the same name, if the endpoint brings such back. */
extern bool scim_store_take_namesake(const ScimEndpointType *target, const json_t *wanted, ScimRevival *revival);

/* ---- members (store_members.c) ---- */

/* "parent = NULL", or what the mapping says: how a member's own row names a group no more. */
extern const char *scim_store_removal(const ScimChild *child);
/* Apply a set difference to a link attribute; true: something changed. */
extern bool scim_store_apply_delta(const ScimEndpointType *target, const char *id, const ScimAttr *attr,
								   const ScimDelta *delta, ScimError *err);
/* Make the references what "after" says; "any": there may be others. */
extern bool scim_store_replace_links(const ScimEndpointType *target, const char *id, const ScimAttr *attr,
									 bool any, const json_t *after, ScimError *err);

#endif							/* SCIM_STORE_INTERNAL_H */
