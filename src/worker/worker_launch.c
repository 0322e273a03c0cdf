/*
 * worker_launch.c
 *		Starting and stopping workers: registered when the postmaster preloads
 *		the library, or by SQL in the current database.
 *
 * Each database that is served has listeners, which share a port, and one sync
 * worker.
 *
 * How a worker's end is meant decides whether it comes back: after a crash or
 * an error the postmaster starts it again; a preloaded worker comes back after
 * pg_terminate_backend too; after scim.stop_workers(), and a worker that was
 * started from SQL after any SIGTERM, it stays away.
 */
#include "postgres.h"

#include <signal.h>

#include "access/htup_details.h"
#include "catalog/pg_authid.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/latch.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "provisioner/provisioner.h"
#include "scim_guc.h"
#include "worker/worker.h"
#include "worker/worker_internal.h"

#define START_TIMEOUT_MS 10000
#define STOP_TIMEOUT_MS 10000
#define POLL_MS 20
#define MAX_LISTENERS 64
#define RESTART_SECONDS 2

PG_FUNCTION_INFO_V1(scim_start_workers);
PG_FUNCTION_INFO_V1(scim_stop_workers);
PG_FUNCTION_INFO_V1(scim_workers);

StaticAssertDecl(sizeof(ScimWorkerArgs) <= BGW_EXTRALEN, "arguments of a worker do not fit");

/* Without libmicrohttpd there are no listeners to start. */
#ifdef SCIM_NO_LISTENER
#define DEFAULT_LISTENERS 0
#else
#define DEFAULT_LISTENERS scim_listeners
#endif

static void
fill_worker(BackgroundWorker *worker, const ScimWorkerArgs *args, const char *database)
{
	memset(worker, 0, sizeof(*worker));
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_ConsistentState;
	worker->bgw_restart_time = RESTART_SECONDS;
	snprintf(worker->bgw_library_name, sizeof(worker->bgw_library_name), "scim");
	snprintf(worker->bgw_function_name, sizeof(worker->bgw_function_name),
			 args->kind == WORKER_LISTENER ? "scim_listener_main" : "scim_sync_main");
	if (args->kind == WORKER_LISTENER)
		snprintf(worker->bgw_name, BGW_MAXLEN, "%s %d of database %s", scim_worker_type(args->kind), args->index + 1, database);
	else
		snprintf(worker->bgw_name, BGW_MAXLEN, "%s of database %s", scim_worker_type(args->kind), database);
	snprintf(worker->bgw_type, BGW_MAXLEN, "%s", scim_worker_type(args->kind));
	memcpy(worker->bgw_extra, args, sizeof(*args));
}

/* Blanks off both ends of [start, end). */
static void
trim(const char **start, const char **end)
{
	while (*start < *end && isspace((unsigned char) **start))
		(*start)++;
	while (*end > *start && isspace((unsigned char) (*end)[-1]))
		(*end)--;
}

/*
 * Next entry of scim.database: "name" or "name:port".  Moves *text behind it;
 * false at the end.  A bad entry gives an empty name.
 */
static bool
next_database(const char **text, char *name, int *port)
{
	const char *start = *text;
	const char *end;
	const char *colon = NULL;
	const char *name_end;

	if (*start == '\0')
		return false;
	end = strchr(start, ',');
	*text = end != NULL ? end + 1 : start + strlen(start);
	if (end == NULL)
		end = *text;
	trim(&start, &end);

	for (const char *p = start; p < end; p++)
	{
		if (*p == ':')
			colon = p;
	}
	name_end = colon != NULL ? colon : end;
	*port = 0;
	name[0] = '\0';
	if (colon != NULL)
	{
		char	   *stop;
		long		n = strtol(colon + 1, &stop, 10);

		if (stop != end || stop == colon + 1 || n < 1 || n > 65535)
			return true;
		*port = (int) n;
	}
	trim(&start, &name_end);
	if (name_end - start < NAMEDATALEN)
		strlcpy(name, start, name_end - start + 1);
	return true;
}

void
scim_worker_init(void)
{
	const char *text = scim_database;
	char		name[NAMEDATALEN];
	int			port;
	int			nslots = 0;

	scim_wake_sync = scim_worker_wake_sync;
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;

	while (next_database(&text, name, &port))
	{
		if (name[0] == '\0')
		{
			ereport(LOG,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("an entry of scim.database is neither \"name\" nor \"name:port\" and is ignored")));
			continue;
		}
		/* the last is the sync worker; all of a database are numbered together */
		for (int i = 0; i <= DEFAULT_LISTENERS; i++)
		{
			ScimWorkerArgs args;
			BackgroundWorker worker;

			memset(&args, 0, sizeof(args));
			args.kind = i < DEFAULT_LISTENERS ? WORKER_LISTENER : WORKER_SYNC;
			strlcpy(args.database, name, NAMEDATALEN);
			args.port = port;
			args.index = i;
			args.count = DEFAULT_LISTENERS;
			args.slot = nslots++;
			fill_worker(&worker, &args, name);
			RegisterBackgroundWorker(&worker);
		}
	}
	scim_worker_reserve(nslots);
}

/*
 * The role that workers are to authenticate as, or an error that says what to
 * do; whether it may be one is checked by the worker itself.
 */
static Oid
worker_role(void)
{
	HeapTuple	tuple = SearchSysCache1(AUTHNAME, CStringGetDatum(scim_worker_role));
	Oid			role;
	bool		login;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role \"%s\" does not exist", scim_worker_role),
				 errdetail("Workers authenticate as the role that scim.worker_role names."),
				 errhint("SELECT scim.setup();")));
	role = ((Form_pg_authid) GETSTRUCT(tuple))->oid;
	login = ((Form_pg_authid) GETSTRUCT(tuple))->rolcanlogin;
	ReleaseSysCache(tuple);
	if (!login && SCIM_WORKER_CONNECT_FLAGS == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("role \"%s\" is not permitted to log in", scim_worker_role),
				 errhint("ALTER ROLE ... LOGIN; it needs no password.")));
	return role;
}

static void
sleep_ms(long ms)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/*
 * Wait until each worker listens or says what keeps it from listening.
 * Reasons go to the client, each once.
 */
static void
wait_for_start(BackgroundWorkerHandle **handles, int n)
{
	TimestampTz start = GetCurrentTimestamp();
	char		told[WORKER_NOTE_LEN] = "";

	for (;;)
	{
		ScimWorkerInfo *list;
		int			nlist = scim_worker_list(&list);
		int			settled = 0;

		for (int i = 0; i < n; i++)
		{
			pid_t		pid;

			switch (GetBackgroundWorkerPid(handles[i], &pid))
			{
				case BGWH_STARTED:
					break;
				case BGWH_NOT_YET_STARTED:
					continue;
				case BGWH_STOPPED:
				case BGWH_POSTMASTER_DIED:
					ereport(ERROR,
							(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
							 errmsg("a worker ended while it started"),
							 errhint("The server log says why.")));
			}
			for (int j = 0; j < nlist; j++)
			{
				if (list[j].pid != pid ||
					(list[j].state != WORKER_LISTENING && list[j].state != WORKER_SYNCING && list[j].state != WORKER_WAITING))
					continue;
				settled++;
				if (list[j].state == WORKER_WAITING && strcmp(told, list[j].note) != 0)
				{
					strlcpy(told, list[j].note, sizeof(told));
					ereport(NOTICE,
							(errmsg("a %s has started and waits: %s",
									list[j].kind == WORKER_LISTENER ? "listener" : "sync worker", told)));
				}
				break;
			}
		}
		pfree(list);
		if (settled == n)
			return;
		if (TimestampDifferenceExceeds(start, GetCurrentTimestamp(), START_TIMEOUT_MS))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("%d of %d workers did not start within %d seconds",
							n - settled, n, START_TIMEOUT_MS / 1000),
					 errhint("The server log says why.")));
		sleep_ms(POLL_MS);
	}
}

/* Start one worker of the current database; raises 53400. */
static void
start_worker(const ScimWorkerArgs *args, BackgroundWorkerHandle **handle)
{
	BackgroundWorker worker;
	char		database[32];

	snprintf(database, sizeof(database), "%u", MyDatabaseId);
	fill_worker(&worker, args, database);
	worker.bgw_notify_pid = MyProcPid;
	if (!RegisterDynamicBackgroundWorker(&worker, handle))
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("there is no room for another background worker"),
				 errhint("Start fewer listeners, or raise max_worker_processes.")));
}

/*
 * scim.start_workers(port, listeners): listeners for the current database, and
 * a sync worker if there is none yet.  NULL stands for the setting.
 */
Datum
scim_start_workers(PG_FUNCTION_ARGS)
{
	int			port = PG_ARGISNULL(0) ? 0 : PG_GETARG_INT32(0);
	volatile int n = PG_ARGISNULL(1) ? DEFAULT_LISTENERS : PG_GETARG_INT32(1);
	BackgroundWorkerHandle **handles;
	ScimWorkerArgs args;
	ScimWorkerInfo *list;
	int			nlist;
	volatile int wanted;
	volatile int started = 0;

#ifdef SCIM_NO_LISTENER
	if (n > 0 || !PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("this scim was built without the listener"),
				 errhint("Build it with libmicrohttpd and without LISTENER=no; scim.handle() works all the same.")));
#endif
	if (!PG_ARGISNULL(0) && (port < 1 || port > 65535))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("port must be between 1 and 65535")));
	if (n < 0 || n > MAX_LISTENERS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("listeners must be between 0 and %d", MAX_LISTENERS)));

	wanted = n + 1;
	nlist = scim_worker_list(&list);
	for (int i = 0; i < nlist; i++)
	{
		if (list[i].is_static)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("preloaded workers serve this database already"),
					 errdetail("scim.database names it."),
					 errhint("SELECT * FROM scim.workers; scim.stop_workers() stops them.")));
		if (list[i].kind == WORKER_SYNC)
			wanted = n;
	}

	memset(&args, 0, sizeof(args));
	args.dboid = MyDatabaseId;
	args.role = worker_role();
	args.port = port;
	args.count = n;
	args.slot = -1;
	handles = palloc0(sizeof(BackgroundWorkerHandle *) * (n + 1));

	PG_TRY();
	{
		for (int i = 0; i < wanted; i++)
		{
			args.kind = i < n ? WORKER_LISTENER : WORKER_SYNC;
			args.index = i;
			start_worker(&args, &handles[i]);
			started = i + 1;
		}
		wait_for_start(handles, started);
	}
	PG_CATCH();
	{
		for (int i = 0; i < started; i++)
			TerminateBackgroundWorker(handles[i]);
		PG_RE_THROW();
	}
	PG_END_TRY();

	ereport(NOTICE,
			(errmsg("these workers do not survive a restart of the server"),
			 errhint("Workers that start with the server: shared_preload_libraries = 'scim', scim.database.")));
	PG_RETURN_INT32(n);
}

/*
 * scim.stop_workers(): end all workers of the current database for good, and
 * wait until they are gone.
 */
Datum
scim_stop_workers(PG_FUNCTION_ARGS)
{
	TimestampTz start = GetCurrentTimestamp();
	ScimWorkerInfo *list;
	int			n;
	int			stopped = 0;

	scim_worker_want_stop();
	n = scim_worker_list(&list);
	for (int i = 0; i < n; i++)
	{
		if (list[i].pid != 0 && kill(list[i].pid, SIGTERM) == 0)
			stopped++;
	}
	while ((n = scim_worker_list(&list)) > 0)
	{
		pfree(list);
		if (TimestampDifferenceExceeds(start, GetCurrentTimestamp(), STOP_TIMEOUT_MS))
		{
			ereport(WARNING,
					(errmsg("%d workers have not stopped within %d seconds", n, STOP_TIMEOUT_MS / 1000)));
			break;
		}
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, POLL_MS, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	PG_RETURN_INT32(stopped);
}

/*
 * scim._workers(): behind the view scim.workers.
 */
Datum
scim_workers(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ScimWorkerInfo *list;
	int			n = scim_worker_list(&list);

	scim_init_materialized(fcinfo);
	for (int i = 0; i < n; i++)
	{
		const ScimWorkerInfo *info = &list[i];
		Datum		values[9];
		bool		nulls[9] = {0};

		values[0] = Int32GetDatum(info->pid);
		nulls[0] = info->pid == 0;
		values[1] = CStringGetTextDatum(info->is_static ? "static" : "dynamic");
		values[2] = Int32GetDatum(info->port != 0 ? info->port : scim_port);
		nulls[2] = info->kind != WORKER_LISTENER;
		values[3] = CStringGetTextDatum(scim_worker_state_name(info->state));
		values[4] = TimestampTzGetDatum(info->started);
		nulls[4] = info->started == 0;
		values[5] = Int64GetDatum(info->requests);
		nulls[5] = info->requests < 0 || info->kind != WORKER_LISTENER;
		values[6] = CStringGetTextDatum(info->note);
		nulls[6] = info->note[0] == '\0';
		values[7] = Int64GetDatum(info->unauthorized);
		nulls[7] = info->unauthorized < 0 || info->kind != WORKER_LISTENER;
		values[8] = CStringGetTextDatum(scim_worker_kind_name(info->kind));
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
