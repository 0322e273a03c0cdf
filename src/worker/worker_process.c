/*
 * worker_process.c
 *		What every worker process does around its loop: the connection, signals,
 *		and whether it may work in this database at all (threat-and-fault-model
 *		I1).
 *
 * Signals: SIGTERM sets a flag, so that what is in hand is finished; SIGHUP
 * reloads; SIGINT cancels the running statement.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/indexing.h"
#include "catalog/pg_auth_members.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_extension.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/sinval.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "scim_guc.h"
#include "worker/worker_internal.h"

static char last_note[WORKER_NOTE_LEN] = "";

/* --- signals and waiting --- */

void
scim_worker_interrupts(void)
{
	QueryCancelPending = false;
	HOLD_CANCEL_INTERRUPTS();
	CHECK_FOR_INTERRUPTS();
	RESUME_CANCEL_INTERRUPTS();
	if (catchupInterruptPending)
		ProcessCatchupInterrupt();
}

static void
set_lock_timeout(void)
{
	char		value[32];

	snprintf(value, sizeof(value), "%d", scim_lock_timeout);
	SetConfigOption("lock_timeout", value, PGC_SUSET, PGC_S_OVERRIDE);
}

void
scim_worker_reload(void)
{
	if (!ConfigReloadPending)
		return;
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	set_lock_timeout();
}

/* Returns early for signals. */
static void
idle(long ms)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	scim_worker_interrupts();
}

void
scim_worker_idle(long ms)
{
	TimestampTz start = GetCurrentTimestamp();

	while (!ShutdownRequestPending && !ConfigReloadPending)
	{
		long		left = ms - TimestampDifferenceMilliseconds(start, GetCurrentTimestamp());

		if (left <= 0)
			break;
		idle(left);
	}
	scim_worker_reload();
}

/* --- obstacles --- */

/*
 * I1: why this process must not serve as the role it authenticated as.
 */
static const char *
role_obstacle(void)
{
	Oid			role = GetSessionUserId();
	HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));
	Form_pg_authid form;
	Relation	rel;
	SysScanDesc scan;
	ScanKeyData key;
	bool		privileged;
	bool		member = false;

	if (!HeapTupleIsValid(tuple))
		return "its role has been dropped";
	form = (Form_pg_authid) GETSTRUCT(tuple);
	privileged = form->rolsuper || form->rolbypassrls || form->rolreplication || form->rolcreaterole;
	ReleaseSysCache(tuple);
	if (privileged)
		return "the role of scim.worker_role is SUPERUSER, BYPASSRLS, REPLICATION or CREATEROLE";

	ScanKeyInit(&key, Anum_pg_auth_members_roleid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(role));
	rel = table_open(AuthMemRelationId, AccessShareLock);
	scan = systable_beginscan(rel, AuthMemRoleMemIndexId, true, NULL, 1, &key);
	while (!member && HeapTupleIsValid(tuple = systable_getnext(scan)))
		member = !superuser_arg(((Form_pg_auth_members) GETSTRUCT(tuple))->member);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return member ? "the role of scim.worker_role has members, who could act as it" : NULL;
}

static const char *
extension_obstacle(void)
{
	const char *result = "extension \"scim\" is not installed in this database";
	Relation	rel;
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ, CStringGetDatum("scim"));
	rel = table_open(ExtensionRelationId, AccessShareLock);
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		result = NULL;
#ifdef SCIM_VERSION
		{
			bool		isnull;
			Datum		version = heap_getattr(tuple, Anum_pg_extension_extversion, RelationGetDescr(rel), &isnull);

			if (isnull || strcmp(TextDatumGetCString(version), SCIM_VERSION) != 0)
				result = "extension \"scim\" has another version than its library (ALTER EXTENSION scim UPDATE, or restart the server)";
		}
#endif
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return result;
}

const char *
scim_worker_obstacle(void)
{
	const char *result;

	if (RecoveryInProgress())
		return "the server is in recovery";

	/* waits for locks no longer than scim.lock_timeout */
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	result = extension_obstacle();
	if (result == NULL)
		result = role_obstacle();
	CommitTransactionCommand();
	return result;
}

void
scim_worker_report_obstacle(const ScimWorkerArgs *args, int port, const char *note)
{
	if (strcmp(note, last_note) != 0)
	{
		strlcpy(last_note, note, sizeof(last_note));
		if (args->kind == WORKER_LISTENER)
			ereport(LOG, (errmsg("scim listener %d waits: %s", args->index + 1, last_note)));
		else
			ereport(LOG, (errmsg("scim sync worker waits: %s", last_note)));
	}
	scim_worker_report(WORKER_WAITING, port, last_note);
}

void
scim_worker_obstacle_gone(void)
{
	last_note[0] = '\0';
}

/* --- the process --- */

static void
connect_database(const ScimWorkerArgs *args)
{
	/* the flag handler would not get through a wait for a lock in there */
	pqsignal(SIGTERM, die);
	scim_worker_connecting();
	if (OidIsValid(args->dboid))
		BackgroundWorkerInitializeConnectionByOid(args->dboid, args->role, SCIM_WORKER_CONNECT_FLAGS);
	else
		BackgroundWorkerInitializeConnection(args->database, scim_worker_role, SCIM_WORKER_CONNECT_FLAGS);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	scim_worker_connected();

	/* one plan per statement, for good; and no surprises from ALTER ROLE */
	SetConfigOption("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("plan_cache_mode", "force_generic_plan", PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("jit", "off", PGC_USERSET, PGC_S_OVERRIDE);
	scim_forbid_transaction_timeout();
	set_lock_timeout();
}

void
scim_worker_begin(const ScimWorkerArgs *args)
{
	long		wait;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();

	if (!scim_worker_attach(args))
	{
		ereport(LOG,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("there are too many scim workers")));
		proc_exit(0);
	}
	while (!ShutdownRequestPending && (wait = scim_worker_backoff(args)) > 0)
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, wait, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
	if (ShutdownRequestPending)
		scim_worker_end(args);
	connect_database(args);
}

/* Exit code: 0 is for good, with 1 the postmaster starts the worker again. */
void
scim_worker_end(const ScimWorkerArgs *args)
{
	proc_exit(scim_worker_stop_wanted(args) ? 0 : 1);
}
