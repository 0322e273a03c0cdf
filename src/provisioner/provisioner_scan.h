/*
 * provisioner_scan.h
 *		The list of a target, read by pages: for matching many rows without a
 *		query for each, for targets whose filters do not work, and for looking
 *		what the target really has (provisioning-engine 2.6).
 *
 * What is read goes into scim._remote, page by page; nothing of it is held in
 * memory.
 */
#ifndef SCIM_PROVISIONER_SCAN_H
#define SCIM_PROVISIONER_SCAN_H

#include "provisioner_engine.h"

typedef enum ScimScanState
{
	SCIM_SCAN_NONE,
	SCIM_SCAN_RUNNING,
	SCIM_SCAN_DONE,
	SCIM_SCAN_FAILED
} ScimScanState;

typedef struct ScimScan
{
	ScimScanState state;
	int64		next;			/* startIndex of the next page */
	int			count;			/* resources of a page */
	int64		total;			/* as the first page said */
	int64		worth;			/* rows to match: more pages than these are not worth it; 0: any number */
	const char *problem;		/* FAILED: why; a constant */
} ScimScan;

/*
 * Begin: what was read of the target before is forgotten.  False: another
 * session reads it for this sync.  The claim ends with the transaction unless
 * "keep", then with scim_scan_release().
 */
extern bool scim_scan_begin(const ScimSyncView *view, ScimScan *scan, int64 worth, bool keep);
extern void scim_scan_release(int64 sync_id);

/* "/Users?startIndex=1&count=100" */
extern char *scim_scan_path(const ScimSyncView *view, const ScimScan *scan);

/* A page was too large: ask for half of it.  False: it was one resource. */
extern bool scim_scan_shrink(ScimScan *scan);

/* Take over a page; the state is RUNNING while there are more.  NULL: no list. */
extern void scim_scan_take(const ScimSyncView *view, ScimScan *scan, const json_t *page);

/* Resources that may match by a rule: an array. */
extern json_t *scim_scan_find(const ScimSyncView *view, int rule, const json_t *document);

/* Rows that are due and not linked, those that were created perhaps not counted. */
extern int64 scim_scan_rows(int64 sync_id, bool doubtful, int64 limit);

#endif							/* SCIM_PROVISIONER_SCAN_H */
