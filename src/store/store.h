/*
 * store.h
 *		Resources <-> rows of a mapping.  Everything here runs inside a
 *		transaction, with SPI connected, as the endpoint's owner, between
 *		scim_catalog_begin() and scim_catalog_end().
 *
 * SQL errors are raised as they come (23505, 23503, 22xxx, ...): whoever owns
 * the (sub)transaction catches them and asks scim_store_error() what to say.
 */
#ifndef SCIM_STORE_H
#define SCIM_STORE_H

#include "executor/tuptable.h"
#include "lib/stringinfo.h"
#include "utils/relcache.h"

#include "../catalog/catalog.h"
#include "../core/core_filter.h"
#include "../core/core_patch.h"
#include "../core/core_project.h"

typedef struct ScimHead
{
	char	   *id;
	char	   *version;		/* as in meta.version and ETag, W/"..." */
	char	   *location;
} ScimHead;

typedef enum ScimLock
{
	SCIM_NO_LOCK,
	SCIM_FOR_UPDATE				/* row lock on the parent row first */
} ScimLock;

/* Where a resource is: base URL, endpoint of its type, id. */
extern char *scim_store_location(const ScimEndpointType *target, const char *base_url, const char *id);

/*
 * Append the JSON of one resource to "out"; false: no such id in this scope
 * (also when the text cannot be a key).  "out" may be NULL: only the head.
 */
extern bool scim_store_get(const ScimEndpointType *target, const char *id,
						   const ScimSelection *selection, ScimLock lock,
						   StringInfo out, ScimHead *head);

/* Where a resource stands in the order of a query. */
typedef struct ScimPosition
{
	const char *sort_key;		/* as text; NULL: unassigned, or not sorted */
	const char *id;
} ScimPosition;

typedef struct ScimQuery
{
	const ScimFilter *filter;	/* bound, or NULL */
	const ScimPath *sort_by;	/* or NULL */
	bool		descending;
	int64		count;			/* clipped by the caller; 0: totals only */
	int64		start_index;	/* from 1; of no meaning with keyset */
	bool		by_marks;		/* start_index may be that of some seconds ago (store_page.c) */
	/* paging by position (RFC 9865) */
	bool		keyset;
	const ScimPosition *from;	/* what comes after it (backward: before); NULL: from the end */
	bool		backward;		/* the last "count" of them, still in order */
} ScimQuery;

typedef struct ScimPage
{
	int64		total;			/* matches in all */
	int			n;				/* resources in the page */
	/* with keyset */
	ScimPosition first;			/* set if n > 0 */
	ScimPosition last;
	bool		more_before;	/* matches that come before the page ... */
	bool		more_after;		/* ... and after it */
} ScimPage;

/* Append the resources of the page, separated by commas. */
extern void scim_store_list(const ScimEndpointType *target, const ScimQuery *query,
							const ScimSelection *selection, StringInfo out, ScimPage *page);

/* The part that one resource type has in a query over several. */
typedef struct ScimListPart
{
	const ScimEndpointType *target;
	ScimSelection *selection;
	ScimQuery	query;			/* filter and sort_by (NULL: it lacks the attribute) */
	bool		nothing;		/* the filter matches no resource of this type */
} ScimListPart;

/*
 * One page over several resource types, sorted by query->sort_by of each; what
 * is alike is ordered by type, then id.  "page" as above; with keyset,
 * *from_part is the part that query->from is of, *first_part and *last_part
 * are those of page->first and last.
 */
extern void scim_store_merge(const ScimListPart *parts, int nparts, const ScimQuery *query, int from_part,
							 StringInfo out, ScimPage *page, int *first_part, int *last_part);

/* A row among those that were asked for by key. */
typedef struct ScimStoreRow
{
	int			index;			/* of its key in the list */
	bool		in_scope;		/* the condition holds */
	char	   *json;			/* the resource; NULL unless in scope */
} ScimStoreRow;

/*
 * Rows by key, in the order of the list, each key once, those that are there.
 * "condition": an SQL condition over the relation (alias r), or NULL.
 */
extern void scim_store_collect(const ScimEndpointType *target, const char *const *ids, int n,
							   const char *condition, const ScimSelection *selection,
							   ScimStoreRow **rows, int *nrows);

/*
 * The next keys behind "after" (NULL: from the beginning), as text, in their
 * order; returns how many, at most "limit".  "condition": see scim_store_collect;
 * *any: it holds for one of them.
 */
extern int	scim_store_keys(const ScimEndpointType *target, const char *after, int limit, const char *condition,
							const char ***keys, bool *any);

/* A deleted resource of the built-in store, taken out of scim._deleted to come back. */
typedef struct ScimRevival
{
	const char *id;
	const char *created;		/* texts of what its columns held, and of the next version */
	const char *version;
	const char *resource;		/* JSON: what it was */
} ScimRevival;

/* The one of this id; false: there is none. */
extern bool scim_store_take_deleted(const ScimEndpointType *target, const char *id, ScimRevival *revival);

/*
 * Insert a wanted state (scim_resource_wanted); returns the new id.  NULL and
 * err: a reference that is not there (strict), ...  "revival": what it is to
 * be again; NULL: a new one, or what the endpoint's options bring back.  "head"
 * (may be NULL) is filled where it is known without reading the resource.
 */
extern char *scim_store_insert(const ScimEndpointType *target, const json_t *wanted, const ScimRevival *revival, ScimHead *head,
							   ScimError *err);

/*
 * Store the difference of two states of a resource that is locked, both as far
 * as "known" selects (what it does not stays as it is); members as a set
 * difference in "delta" (may be NULL), which "before" and "after" then do not
 * hold.  *changed: something was written (and version moved).
 */
extern bool scim_store_update(const ScimEndpointType *target, const char *id,
							  const ScimSelection *known, const json_t *before, const json_t *after,
							  ScimAttr *delta_attr, const ScimDelta *delta,
							  bool *changed, ScimError *err);

/*
 * May a write know only some of the attributes?  Rows beside the resource are
 * written, made and taken away by all that they hold.
 */
extern bool scim_store_takes_part(const ScimEndpointType *target);

/* False: no such row. */
extern bool scim_store_delete(const ScimEndpointType *target, const char *id);

/* The attribute of a type that ScimDelta is meant for (members), or NULL. */
extern ScimAttr *scim_store_delta_attr(const ScimEndpointType *target);

/* ---- changes that triggers see (store_state.c), for mappings that are tracked ---- */

typedef enum ScimStateEvent
{
	SCIM_STATE_SEEN,			/* there is such a row, perhaps for long */
	SCIM_STATE_CREATED,
	SCIM_STATE_CHANGED,			/* the row or what belongs to it */
	SCIM_STATE_TOUCHED,			/* the same, if it is still there */
	SCIM_STATE_GONE				/* unless its state is from "before" or later */
} ScimStateEvent;

/* Note it in scim.resource_state for a text array of keys; SPI is connected. */
extern void scim_state_note(int64 mapping, Datum keys, ScimStateEvent event, int64 before);
/* The same for all resources of a mapping: SCIM_STATE_TOUCHED or SCIM_STATE_GONE. */
extern void scim_state_note_all(int64 mapping, ScimStateEvent event);
/* A version that all states written from now on are beyond. */
extern int64 scim_state_next_version(void);

extern void scim_store_init(void);	/* from _PG_init: listens to SET CONSTRAINTS */

/*
 * SET CONSTRAINTS of the mapped relations, by name, IMMEDIATE (which fires what
 * is pending) or back to DEFERRED, but for what the transaction has made
 * IMMEDIATE itself and those of the endpoints in "except":
 * for scim.handle, which shares the caller's transaction.
 */
extern void scim_store_set_constraints(const ScimEndpoint *endpoint, bool immediate, const List *except);

/*
 * Lock the row in a slot, found by the active snapshot, as an UPDATE does; the slot
 * has it as it is now then.  *changed: it is not as it was found.  False: it is
 * gone.  Raises 40001 where the snapshot is the transaction's.
 */
extern bool scim_table_lock(Relation rel, TupleTableSlot *slot, bool *changed);

/*
 * Translate a caught error into status, scimType and a detail that names the
 * attribute: the one table of SQLSTATEs (class 22, 23, 40, 45, 53, 55, 57...).
 */
extern void scim_store_error(const ScimEndpoint *endpoint, const ErrorData *edata, ScimError *err);

/* Statement and plan of a list query, one line per row of text. */
extern List *scim_store_explain(const ScimEndpointType *target, const ScimQuery *query);

#endif							/* SCIM_STORE_H */
