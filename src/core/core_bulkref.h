/*
 * core_bulkref.h
 *		References between the operations of a Bulk (RFC 7644 3.7.1, 3.7.2): what
 *		"bulkId:x" stands where, in which order operations can be done, and what
 *		takes its place.
 *
 * References are found by the schema: in values of attributes that refer to
 * resources, where the filter of a PATCH path compares an id, and in the path of
 * an operation.  The same characters in any other text are left alone.
 *
 *	1. scim_bulk_graph(): all operations -> units, in the order of need.
 *	2. For each operation of a unit: scim_bulk_prepare(), do it, set new_id.
 *	3. For those from which something was cut out, because it refers to a
 *	   resource of the same unit that had no id yet: scim_bulk_complete(), and do
 *	   the PATCH that it gives.
 */
#ifndef SCIM_CORE_BULKREF_H
#define SCIM_CORE_BULKREF_H

#include "core_path.h"

/* Recursion is as deep as there are operations that refer to each other. */
#define SCIM_BULK_MAX_OPERATIONS 1000

struct ScimBulkReference;		/* core_bulkref.c */
struct ScimBulkCut;

typedef struct ScimBulkOp
{
	/* given by the caller */
	const char *method;			/* NULL: no text */
	const char *bulk_id;		/* NULL: none */
	const char *id;				/* in the path: an id or "bulkId:x"; NULL: a POST */
	const ScimResourceType *type;	/* NULL: the operation is refused, and refers to nothing */
	json_t	   *data;			/* object, or NULL; changed by scim_bulk_prepare() */
	const char *new_id;			/* set when a POST is done, and back to NULL if it is undone */

	/* found */
	int			unit;			/* number of its unit */
	struct ScimBulkReference *in_path;
	struct ScimBulkReference *first;
	struct ScimBulkReference *last;
	struct ScimBulkCut *cuts;	/* not NULL: to be completed */

	/* used while sorting */
	int			visited;
	int			low;
	bool		on_stack;
} ScimBulkOp;

typedef struct ScimBulkGraph
{
	ScimBulkOp *ops;			/* the caller's */
	int			nops;
	ScimBulkOp **order;			/* all of them, unit after unit */
	int			nunits;
	int		   *begin;			/* order[begin[u]] to order[begin[u + 1] - 1] is unit u */

	ScimMode	mode;
	ScimBulkOp **by_id;			/* those with a bulkId, sorted by it */
	int			nby_id;
	ScimBulkOp **stack;
	int			nstack;
	int			counter;
	int			nordered;
} ScimBulkGraph;

/*
 * Find the references of up to SCIM_BULK_MAX_OPERATIONS operations and sort
 * them: each unit comes after those it refers to, otherwise in the order given;
 * operations that refer to each other in a circle are one unit.  NULL and err:
 * 400 invalidSyntax, two operations have one bulkId; 413, memory is out.
 */
extern ScimBulkGraph *scim_bulk_graph(ScimBulkOp *ops, int nops, ScimMode mode, ScimError *err);

/*
 * Put ids in the place of the references of an operation; op->id too.  An
 * attribute of a POST that refers to a resource of the same unit that has no id
 * yet is cut out.  False and err: 409, it refers to what no operation has made.
 */
extern bool scim_bulk_prepare(ScimBulkOp *op, ScimError *err);

/*
 * The PatchOp that adds what was cut out of an operation, once its whole unit
 * is done.  NULL and err as above.
 */
extern json_t *scim_bulk_complete(ScimBulkOp *op, ScimError *err);

/* Is this the id in a path that stands for another operation's? */
extern bool scim_bulk_is_reference(const char *id);

#endif							/* SCIM_CORE_BULKREF_H */
