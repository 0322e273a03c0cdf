/*
 * provisioner_guard.c
 *		What keeps a sync from doing harm (see provisioner_guard.h).
 */
#include "postgres.h"

#include <sys/stat.h>

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "common/sha2.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/rel.h"

#include "provisioner_guard.h"
#include "../compat.h"
#include "../scim_guc.h"

/* Resources that are made anew in an hour, where the sync does not say. */
#define DEFAULT_RECREATE_COUNT 5

PG_FUNCTION_INFO_V1(scim_secret_changed);

/* ---- home ---- */

/* First line of a small file; "": it can't be read. */
static char *
file_line(const char *path)
{
	FILE	   *file = AllocateFile(path, "r");
	char		line[256] = "";

	if (file)
	{
		if (fgets(line, sizeof(line), file) == NULL)
			line[0] = '\0';
		FreeFile(file);
	}
	line[strcspn(line, "\r\n")] = '\0';
	return pstrdup(line);
}

/* This server and database. */
static char *
home_place(void)
{
	StringInfoData text;
	struct stat st;

	initStringInfo(&text);
	if (scim_node_identity[0] != '\0')
		appendStringInfo(&text, "named|%s", scim_node_identity);
	else
	{
		/* a copy of the files has other inodes, a copy of the machine another id */
		memset(&st, 0, sizeof(st));
		(void) stat(psprintf("%s/PG_VERSION", DataDir), &st);
		appendStringInfo(&text, "machine|%s|%s|%ld", file_line("/etc/machine-id"), DataDir, (long) st.st_ino);
	}
	appendStringInfo(&text, "|" UINT64_FORMAT "|%u", GetSystemIdentifier(), MyDatabaseId);
	return scim_text_hash(text.data);
}

/* Which base backup its files come from; "": from none, as far as can be seen. */
static char *
home_backup(void)
{
	const char *path = psprintf("%s/" BACKUP_LABEL_OLD, DataDir);
	FILE	   *file = AllocateFile(path, "r");
	char		text[2048];
	size_t		len = 0;

	if (file)
	{
		len = fread(text, 1, sizeof(text) - 1, file);
		FreeFile(file);
	}
	text[len] = '\0';
	return len > 0 ? scim_text_hash(text) : "";
}

/* What the postmaster has found when it started: inherited by all its children. */
static bool came_as_standby = false;

static bool
is_set(const char *name)
{
	const char *value = GetConfigOption(name, true, false);

	return value && value[0] != '\0';
}

void
scim_guard_init(void)
{
	struct stat st;

	/* a standby that is to stop at some point of the past is a restore as well */
	came_as_standby = process_shared_preload_libraries_in_progress &&
		stat(STANDBY_SIGNAL_FILE, &st) == 0 &&
		!is_set("recovery_target") && !is_set("recovery_target_lsn") && !is_set("recovery_target_name") &&
		!is_set("recovery_target_time") && !is_set("recovery_target_xid");
}

/* "place:timeline:backup" */
static char *
current_home(void)
{
	return psprintf("%s:%u:%s", home_place(), GetWALInsertionTimeLine(), home_backup());
}

ScimHome
scim_guard_home(const char *home)
{
	const char *here = current_home();
	const char *timeline = strchr(here, ':');
	const char *backup = strrchr(here, ':');

	if (home && strcmp(home, here) == 0)
		return SCIM_HOME_HERE;
	if (home == NULL || strncmp(home, here, timeline + 1 - here) != 0)
		return SCIM_HOME_ELSEWHERE;
	/* whoever tidies up has removed the label; a restore leaves one */
	if (backup[1] == '\0' && strncmp(home, here, backup + 1 - here) == 0)
		return SCIM_HOME_HERE;
	return came_as_standby ? SCIM_HOME_PROMOTED : SCIM_HOME_RESTORED;
}

bool
scim_guard_settle(const ScimSync *sync)
{
	bool		moved = scim_guard_home(sync->home) != SCIM_HOME_HERE;
	Oid			types[2] = {INT8OID, TEXTOID};
	Datum		values[2] = {Int64GetDatum(sync->id), CStringGetTextDatum(current_home())};

	if (scim_own_execute("settle", "UPDATE scim._syncs SET home = $2 WHERE id OPERATOR(pg_catalog.=) $1",
						 2, types, values, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not write scim._syncs");
	return moved;
}

/* ---- disables and deletes ---- */

/* What this hour still allows. */
static void
count(const ScimSyncView *view, ScimDeleteGuard *guard)
{
	Oid			types[1] = {INT8OID};
	Datum		values[1] = {Int64GetDatum(view->sync->id)};
	bool		isnull;
	int64		linked;
	int64		done;

	if (guard->counted)
		return;
	guard->counted = true;
	if (scim_own_execute("guard",
						 "SELECT (SELECT pg_catalog.count(*) FROM scim._links l WHERE l.sync_id OPERATOR(pg_catalog.=) $1"
						 " AND l.remote_id IS NOT NULL AND l.state OPERATOR(pg_catalog.<>) 'disabled'),"
						 " (SELECT pg_catalog.count(*) FROM scim._removals r WHERE r.sync_id OPERATOR(pg_catalog.=) $1"
						 " AND r.at OPERATOR(pg_catalog.>) (pg_catalog.now() OPERATOR(pg_catalog.-) interval '1 hour'))",
						 1, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read scim._links");
	linked = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	done = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));
	/* the share is of what was there at the beginning of the hour */
	guard->left = Max(view->sync->guard_count, (int64) ((linked + done) * view->sync->guard_percent / 100)) - done;
}

static void
note_removal(const ScimSyncView *view, const char *key)
{
	Oid			types[2] = {INT8OID, TEXTOID};
	Datum		values[2] = {Int64GetDatum(view->sync->id), CStringGetTextDatum(key)};

	(void) scim_own_execute("forget removals",
							"DELETE FROM scim._removals WHERE sync_id OPERATOR(pg_catalog.=) $1"
							" AND at OPERATOR(pg_catalog.<=) (pg_catalog.now() OPERATOR(pg_catalog.-) interval '1 hour')",
							1, types, values, NULL, false, 0);
	if (scim_own_execute("note removal",
						 "INSERT INTO scim._removals (sync_id, source_key, at) VALUES ($1, $2, pg_catalog.now())"
						 " ON CONFLICT (sync_id, source_key) DO UPDATE SET at = EXCLUDED.at",
						 2, types, values, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write scim._removals");
}

void
scim_guard_check(const ScimSyncView *view, ScimDeleteGuard *guard, const ScimLink *link, ScimDecision *decision)
{
	const char *action = decision->action == SCIM_ACTION_DELETE || decision->loses ? "delete" : "disable";
	TimestampTz gone_at = decision->after.gone_at;
	bool		staged;

	if (decision->action != SCIM_ACTION_DISABLE && decision->action != SCIM_ACTION_DELETE && !decision->deactivates && !decision->loses)
		return;
	/* whoever has decided about one removal has decided about the other */
	staged = link->staged && strcmp(link->staged, "adopt") != 0 && strcmp(link->staged, "recreate") != 0;
	if (staged && link->approval && strcmp(link->approval, "rejected") == 0)
	{
		scim_decide_nothing(decision, link, "linked", "rejected: it stays as it is", 0);
		decision->after.staged = link->staged;
		decision->after.approval = link->approval;
		return;
	}
	if (staged && link->approval)
		return;
	if (staged && strcmp(link->state, "staged") == 0)
	{
		scim_decide_nothing(decision, link, "staged", link->reason, 0);
		decision->after.staged = link->staged;
		decision->after.gone_at = gone_at;
		return;
	}
	if (decision->action == SCIM_ACTION_DELETE && view->server->delete_means == SCIM_DELETE_IRREVERSIBLE)
	{
		scim_decide_nothing(decision, link, "staged", "delete waits for scim.approve(): this target can't undo it", 0);
		decision->after.staged = action;
		decision->after.gone_at = gone_at;
		return;
	}
	/* what follows a disable is no further loss, and was waited for */
	if (decision->action == SCIM_ACTION_DELETE && strcmp(link->state, "disabled") == 0)
		return;
	count(view, guard);
	if (guard->left > 0)
	{
		guard->left--;
		note_removal(view, link->key);
		return;
	}
	scim_decide_nothing(decision, link, "staged",
						psprintf("%s waits for scim.approve(): there were as many in this hour as the guard allows", action), 0);
	decision->after.staged = action;
	decision->after.gone_at = gone_at;
}

void
scim_guard_stage_all(int64 sync_id, const char *reason)
{
	Oid			types[2] = {INT8OID, TEXTOID};
	Datum		values[2] = {Int64GetDatum(sync_id), CStringGetTextDatum(psprintf("disable waits for scim.approve(): %s", reason))};

	(void) scim_own_execute("stage all",
							"UPDATE scim._links SET state = 'staged', staged = 'disable', approval = NULL, next_at = NULL,"
							" reason = $2"
							" WHERE sync_id OPERATOR(pg_catalog.=) $1 AND state OPERATOR(pg_catalog.=) 'linked' AND intent IS NULL",
							2, types, values, NULL, false, 0);
}

/* ---- resources that have gone ---- */

/* As the sync says; else, where each creation mails a person, none. */
static int
recreate_count(const ScimSyncView *view)
{
	if (view->sync->recreate_count >= 0)
		return view->sync->recreate_count;
	return view->server->create_sends_invite ? 0 : DEFAULT_RECREATE_COUNT;
}

bool
scim_guard_may_recreate(const ScimSyncView *view, const char *key)
{
	Oid			types[2] = {INT8OID, TEXTOID};
	Datum		values[2] = {Int64GetDatum(view->sync->id), CStringGetTextDatum(key)};
	bool		isnull;

	(void) scim_own_execute("forget losses",
							"DELETE FROM scim._losses WHERE sync_id OPERATOR(pg_catalog.=) $1"
							" AND at OPERATOR(pg_catalog.<=) (pg_catalog.now() OPERATOR(pg_catalog.-) interval '1 hour')",
							1, types, values, NULL, false, 0);
	if (scim_own_execute("note loss", "INSERT INTO scim._losses (sync_id, source_key, at) VALUES ($1, $2, pg_catalog.now())",
						 2, types, values, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write scim._losses");
	if (scim_own_execute("losses", "SELECT pg_catalog.count(*) FROM scim._losses WHERE sync_id OPERATOR(pg_catalog.=) $1",
						 1, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read scim._losses");
	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull)) <= recreate_count(view);
}

/* ---- quarantine ---- */

void
scim_guard_quarantine(const ScimSync *sync, const char *reason, bool unreached)
{
	Oid			types[2] = {INT8OID, BOOLOID};
	Datum		values[2] = {Int64GetDatum(sync->id), BoolGetDatum(unreached)};
	bool		told = sync->state == SCIM_SYNC_QUARANTINED && sync->state_reason && strcmp(sync->state_reason, reason) == 0;
	bool		isnull;

	/* 1 min, 5 min, 30 min, 1 h, 6 h, 12 h, then 24 h; after four weeks it is given up */
	if (scim_own_execute("quarantine",
						 "UPDATE scim._syncs SET probes = probes OPERATOR(pg_catalog.+) 1,"
						 " probe_at = pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+)"
						 " LEAST((ARRAY['1 min', '5 min', '30 min', '1 hour', '6 hours', '12 hours', '24 hours']::interval[])"
						 "[LEAST(probes OPERATOR(pg_catalog.+) 1, 7)], CASE WHEN $2 THEN interval '15 min' END)"
						 " WHERE id OPERATOR(pg_catalog.=) $1"
						 " RETURNING quarantined_at OPERATOR(pg_catalog.<) (pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) interval '28 days')",
						 2, types, values, NULL, false, 0) != SPI_OK_UPDATE_RETURNING)
		elog(ERROR, "could not write scim._syncs");
	if (SPI_processed > 0)
	{
		Datum		long_ago = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);

		scim_sync_set_state(sync->id, !isnull && DatumGetBool(long_ago) ? SCIM_SYNC_DISABLED : SCIM_SYNC_QUARANTINED, reason);
	}
	if (!told)
		ereport(WARNING,
				(errmsg("scim: sync \"%s\" is quarantined", sync->name),
				 /* the reason has the target's words in it, which may be about a person */
				 errhint("The reason is in scim.sync_status."),
				 errhidestmt(true), errhidecontext(true)));
}

/*
 * Row trigger of scim._secrets: runs as the owner of our tables.
 */
Datum
scim_secret_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Oid			types[1] = {TEXTOID};
	Datum		values[1];
	TupleDesc	tupdesc;
	HeapTuple	row;
	int64	   *ids;
	int			n;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("scim._secret_changed can only be called as a row trigger")));
	tupdesc = RelationGetDescr(trigger->tg_relation);
	row = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : trigger->tg_trigtuple;

	/* also for those that only wait for a secret, or that have to do without */
	scim_sync_wake_at_commit(0);
	if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		return PointerGetDatum(NULL);

	SPI_connect();
	values[0] = CStringGetTextDatum(SPI_getvalue(row, tupdesc, SPI_fnumber(tupdesc, "server")));
	if (scim_own_execute("quarantined syncs of server",
						 "SELECT id FROM scim._syncs WHERE server OPERATOR(pg_catalog.=) $1"
						 " AND state OPERATOR(pg_catalog.=) 'quarantined' ORDER BY id",
						 1, types, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read scim._syncs");
	n = (int) SPI_processed;
	ids = palloc(sizeof(int64) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		bool		isnull;

		ids[i] = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
	}
	for (int i = 0; i < n; i++)
		scim_sync_set_state(ids[i], SCIM_SYNC_ACTIVE, NULL);
	SPI_finish();
	return PointerGetDatum(NULL);
}
