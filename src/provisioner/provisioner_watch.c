/*
 * provisioner_watch.c
 *		The time that a transaction of the sync worker may take, and what comes
 *		after one that took too long.
 *
 * Mappings are code of their owners.  It is cancelled when scim.statement_timeout
 * is over, and again while it catches that and goes on; after a while the
 * process ends, which nobody can catch.  Whatever it was about is then read in
 * smaller pages, down to single rows, of which the one that takes so long is
 * left out.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "provisioner_run.h"
#include "../compat.h"
#include "../scim_guc.h"

#define WATCH_MS 250

/* A transaction that goes on for so long after its time ends its process. */
#define OVERTIME_MS 5000

/* Pages that were read in time, before larger ones are tried. */
#define GOOD_PAGES 8

/* A sync that has ended the process so often, and got nothing done, stops. */
#define MAX_ENDS 5

static ScimSyncMemory forgotten;
ScimSyncMemory *scim_sync_memory = &forgotten;

static TimeoutId watch;
static bool registered = false;
static volatile TimestampTz until = 0;
static int64 watched = 0;
static char reading[SCIM_SLOW_KEY];	/* the only row that this transaction reads */

/*
 * Runs in the handler of SIGALRM: only flags and system calls.
 */
static void
look(void)
{
	TimestampTz over = until != 0 ? GetCurrentTimestamp() - until : -1;

	if (over > OVERTIME_MS * INT64CONST(1000) && watched != 0)
	{
		ProcDiePending = true;
		scim_sync_memory->overtime = watched;
		memcpy(scim_sync_memory->slow_key, reading, SCIM_SLOW_KEY);
	}
	if (over >= 0)
	{
		QueryCancelPending = true;
		InterruptPending = true;
		SetLatch(MyLatch);
	}
	scim_timeout_again(watch, WATCH_MS);
}

void
scim_watch_begin(int64 sync_id)
{
	if (!registered)
		watch = RegisterTimeout(USER_TIMEOUT, look);
	registered = true;
	watched = sync_id;
	reading[0] = '\0';
	until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), scim_statement_timeout);
	scim_timeout_from(watch, scim_statement_timeout, WATCH_MS);
}

void
scim_watch_end(void)
{
	until = 0;
	disable_timeout(watch, false);
	/* one that came when all was done */
	QueryCancelPending = false;
}

/* ---- smaller pages ---- */

int
scim_watch_page(const ScimSyncRun *run, int most)
{
	return run->page > 0 ? Min(run->page, most) : most;
}

ScimDocument *
scim_watch_read(ScimSyncRun *run, const ScimSyncView *view, const char *const *keys, int n)
{
	char		key[SCIM_SLOW_KEY] = "";
	ScimDocument *document;

	if (n == 1)
		strlcpy(key, keys[0], SCIM_SLOW_KEY);
	memcpy(reading, key, SCIM_SLOW_KEY);
	run->has_read = run->has_read || n > 0;
	if (key[0] == '\0' || strcmp(key, run->slow_key) != 0)
		return scim_documents_read(view, keys, n);
	/* once: when the row has changed, it may be better */
	run->skipped = true;
	document = palloc0(sizeof(ScimDocument));
	document->key = keys[0];
	document->presence = SCIM_ROW_IN_SCOPE;
	document->problem = "to read the row takes longer than scim.statement_timeout";
	return document;
}

void
scim_watch_went_well(ScimSyncRun *run)
{
	if (run->skipped)
		run->slow_key[0] = '\0';
	if (run->has_read)
		run->ends = 0;
	if (run->has_read && run->page > 0 && ++run->good_pages >= GOOD_PAGES)
	{
		run->good_pages = 0;
		run->page = run->page >= SCIM_RECONCILE_PAGE / 2 ? 0 : run->page * 2;
	}
	run->has_read = run->skipped = false;
}

bool
scim_watch_took_long(ScimSyncRun *run)
{
	bool		less = run->page != 1 || reading[0] != '\0';

	run->has_read = run->skipped = false;
	run->good_pages = 0;
	memcpy(run->slow_key, reading, SCIM_SLOW_KEY);
	run->page = Max((run->page > 0 ? run->page : SCIM_RECONCILE_PAGE) / 8, 1);
	return less;
}

void
scim_watch_remember(ScimSyncRun *run)
{
	ScimSyncMemory *memory = scim_sync_memory;

	if (memory->overtime != run->id)
		return;
	memory->ends = memory->suspect == run->id ? memory->ends + 1 : 1;
	memory->suspect = run->id;
	memory->overtime = 0;
	run->ends = memory->ends;
	run->page = 1;
	memcpy(run->slow_key, memory->slow_key, SCIM_SLOW_KEY);
}

bool
scim_watch_gives_up(ScimSyncRun *run)
{
	if (run->ends < MAX_ENDS)
	{
		/* it has got something done since */
		if (run->ends == 0 && scim_sync_memory->suspect == run->id)
			scim_sync_memory->suspect = 0;
		return false;
	}
	run->ends = 0;
	scim_sync_memory->suspect = 0;
	return true;
}
