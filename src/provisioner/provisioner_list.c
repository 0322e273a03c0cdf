/*
 * provisioner_list.c
 *		When the engine reads the list of a target (see provisioner_run.h).
 */
#include "postgres.h"

#include "provisioner_run.h"

/*
 * Unlinked rows from which on the target's list is read instead of a query for
 * each, and how long after it could not be read.
 */
#define SCAN_ROWS 50
#define SCAN_WAIT_MS 60000

/* What was read counts no longer than this. */
#define SCAN_VALID_MS (60 * 60 * 1000)

static void
ask_page(ScimProvisioner *p, ScimSyncRun *run, const ScimSyncView *view)
{
	scim_run_begin_flight(run, scim_flight_of_target(p->context, SCIM_PHASE_SCAN, "GET", scim_scan_path(view, &run->scan)));
}

void
scim_list_take(ScimProvisioner *p, ScimSyncRun *run, const ScimSyncView *view, const ScimTargetNews *news, int64 now)
{
	if (!news->too_large || !scim_scan_shrink(&run->scan))
		scim_scan_take(view, &run->scan, news->page);
	if (run->scan.state == SCIM_SCAN_RUNNING)
		ask_page(p, run, view);
	else
		scim_scan_release(run->id);
	if (run->scan.state == SCIM_SCAN_FAILED && view->server->list_scan)
	{
		scim_run_tell(view->sync, psprintf("the list of its target can't be read: %s", run->scan.problem));
		run->scan_at = now + SCAN_WAIT_MS;
	}
	else if (run->scan.state == SCIM_SCAN_DONE)
	{
		scim_run_tell(view->sync, NULL);
		run->scan_at = now + SCAN_VALID_MS;
	}
}

void
scim_list_want(ScimProvisioner *p, ScimSyncRun *run, const ScimSyncView *view, int64 now)
{
	bool		must = view->server->list_scan;
	int64		rows;

	/* others make resources as well */
	if (run->scan.state == SCIM_SCAN_DONE && run->scan_at <= now)
		run->scan.state = SCIM_SCAN_NONE;
	if (run->scan.state == SCIM_SCAN_RUNNING || run->scan.state == SCIM_SCAN_DONE ||
		(run->scan.state == SCIM_SCAN_FAILED && (!must || run->scan_at > now)) || run->busy_until > now)
		return;
	rows = scim_scan_rows(run->id, must, must ? 1 : SCAN_ROWS + 1);
	if (rows == 0 || (!must && rows <= SCAN_ROWS))
		return;
	if (!must)
		rows = scim_scan_rows(run->id, false, PG_INT64_MAX);
	if (scim_scan_begin(view, &run->scan, must ? 0 : rows / 2, true))
		ask_page(p, run, view);
	else
		run->busy_until = now + SCIM_LIST_MS;
}

void
scim_list_check(ScimProvisioner *p, ScimSyncRun *run, const ScimSyncView *view, int64 now)
{
	if (run->busy_until > now)
		return;
	if (!scim_scan_begin(view, &run->scan, 0, true))
	{
		run->busy_until = now + SCIM_LIST_MS;
		return;
	}
	run->drift = SCIM_DRIFT_READING;
	ask_page(p, run, view);
}

bool
scim_list_awaited(const ScimSyncRun *run, const ScimSyncView *view)
{
	return run->scan.state == SCIM_SCAN_RUNNING || (view->server->list_scan && run->scan.state != SCIM_SCAN_DONE);
}

void
scim_list_stop(ScimSyncRun *run)
{
	if (run->scan.state == SCIM_SCAN_RUNNING)
		scim_scan_release(run->id);
	run->scan.state = SCIM_SCAN_NONE;
	run->drift = SCIM_DRIFT_NONE;
}
