/*
 * worker_slot.c
 *		What workers tell about themselves, and where.
 *
 * A preloaded library has a small table in shared memory: a slot for every
 * static worker, the same one for its whole life and through its restarts, and
 * some for workers that are started from SQL.  It is what lets a worker know
 * that its last start failed before there was a connection, and what
 * scim.workers shows.
 *
 * Without shared_preload_libraries there is no shared memory to have.  Then a
 * worker says who it is in application_name ("scim listener 8080 listening",
 * "scim sync 0 syncing") and its note in the text of its activity, and others
 * read both where pg_stat_activity does.  A client could choose that name as
 * well, therefore only background workers of our types count.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "port/atomics.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "storage/shmem.h"
#include "utils/backend_status.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "provisioner/provisioner.h"
#include "scim_guc.h"
#include "worker/worker_internal.h"

/* Slots for workers that are started from SQL. */
#define DYNAMIC_SLOTS 128

/* Wait after a start that got no connection. */
#define BACKOFF_MS 10000

typedef struct WorkerSlot
{
	ScimWorkerKind kind;
	bool		is_static;
	bool		stop;			/* end for good (scim.stop_workers) */
	bool		connected;		/* the last start got a connection */
	int			pid;			/* 0: not running, or a free dynamic slot */
	Oid			dboid;			/* invalid until connected */
	char		database[NAMEDATALEN];	/* static ones only */
	int			port;
	int			index;
	ScimWorkerState state;
	TimestampTz started;
	TimestampTz attempt_at;		/* when the last start began to connect */
	pg_atomic_uint64 requests;
	pg_atomic_uint64 unauthorized;
	ScimSyncMemory memory;		/* of sync workers */
	char		note[WORKER_NOTE_LEN];
} WorkerSlot;

typedef struct WorkerTable
{
	LWLock	   *lock;
	int			nslots;
	int			nstatic;
	WorkerSlot	slots[FLEXIBLE_ARRAY_MEMBER];
} WorkerTable;

static int	reserved_static = 0;
static WorkerTable *table = NULL;	/* NULL: not preloaded */
static WorkerSlot *my_slot = NULL;
static ScimWorkerKind my_kind;
static shmem_request_hook_type previous_request_hook = NULL;
static shmem_startup_hook_type previous_startup_hook = NULL;

/* --- shared memory --- */

static Size
table_size(void)
{
	return add_size(offsetof(WorkerTable, slots),
					mul_size(reserved_static + DYNAMIC_SLOTS, sizeof(WorkerSlot)));
}

static void
request_table(void)
{
	if (previous_request_hook != NULL)
		previous_request_hook();
	RequestAddinShmemSpace(table_size());
	RequestNamedLWLockTranche("scim", 1);
}

static void
create_table(void)
{
	bool		found;

	if (previous_startup_hook != NULL)
		previous_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	table = ShmemInitStruct("scim workers", table_size(), &found);
	if (!found)
	{
		memset(table, 0, table_size());
		table->lock = &(GetNamedLWLockTranche("scim"))->lock;
		table->nstatic = reserved_static;
		table->nslots = reserved_static + DYNAMIC_SLOTS;
		for (int i = 0; i < table->nslots; i++)
		{
			pg_atomic_init_u64(&table->slots[i].requests, 0);
			pg_atomic_init_u64(&table->slots[i].unauthorized, 0);
		}
	}
	LWLockRelease(AddinShmemInitLock);
}

void
scim_worker_reserve(int nstatic)
{
	reserved_static = nstatic;
	scim_hook_shmem_request(request_table, previous_request_hook);
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = create_table;
}

/* --- in a worker --- */

/*
 * The process ends: leave the slot, but for what the next start has to know.
 */
static void
release_slot(int code, Datum arg)
{
	LWLockAcquire(table->lock, LW_EXCLUSIVE);
	my_slot->pid = 0;
	my_slot->state = WORKER_RESTARTING;
	if (my_slot->is_static && !my_slot->connected && my_slot->attempt_at != 0)
		snprintf(my_slot->note, WORKER_NOTE_LEN,
				 "could not connect to database \"%s\" as role \"%s\" (see the server log)",
				 my_slot->database, scim_worker_role);
	LWLockRelease(table->lock);
	my_slot = NULL;
}

bool
scim_worker_attach(const ScimWorkerArgs *args)
{
	my_kind = args->kind;
	if (table == NULL)
		return true;

	LWLockAcquire(table->lock, LW_EXCLUSIVE);
	if (args->slot >= 0 && args->slot < table->nstatic)
		my_slot = &table->slots[args->slot];
	else
	{
		for (int i = table->nstatic; i < table->nslots && my_slot == NULL; i++)
		{
			if (table->slots[i].pid == 0)
				my_slot = &table->slots[i];
		}
		if (my_slot != NULL)
		{
			my_slot->stop = false;
			my_slot->attempt_at = 0;
			memset(&my_slot->memory, 0, sizeof(my_slot->memory));
			my_slot->note[0] = '\0';
			pg_atomic_write_u64(&my_slot->requests, 0);
			pg_atomic_write_u64(&my_slot->unauthorized, 0);
		}
	}
	if (my_slot != NULL)
	{
		my_slot->kind = args->kind;
		my_slot->is_static = args->slot >= 0;
		my_slot->pid = MyProcPid;
		my_slot->dboid = args->dboid;
		strlcpy(my_slot->database, args->database, NAMEDATALEN);
		my_slot->port = args->port;
		my_slot->index = args->index;
		my_slot->state = WORKER_STARTING;
		my_slot->started = GetCurrentTimestamp();
	}
	LWLockRelease(table->lock);
	if (my_slot == NULL)
		return false;
	if (my_slot->kind == WORKER_SYNC)
		scim_sync_memory = &my_slot->memory;
	on_shmem_exit(release_slot, (Datum) 0);
	return true;
}

/*
 * When a start failed before there was a connection, the next one waits.  Of
 * the workers of one database only the first tries then, and the others wait
 * until it got through, so that a missing database is one line in the log
 * every ten seconds and not one of each worker.
 */
long
scim_worker_backoff(const ScimWorkerArgs *args)
{
	TimestampTz now = GetCurrentTimestamp();
	long		wait = 0;

	if (my_slot == NULL || !my_slot->is_static)
		return 0;

	LWLockAcquire(table->lock, LW_EXCLUSIVE);
	if (my_slot->attempt_at != 0 && !my_slot->connected)
	{
		const WorkerSlot *leader = &table->slots[args->slot - args->index];

		wait = TimestampDifferenceMilliseconds(now, TimestampTzPlusMilliseconds(my_slot->attempt_at, BACKOFF_MS));
		if (args->index > 0 && leader->connected && leader->pid != 0)
			wait = 0;
		else if (args->index > 0 && !leader->stop)
			wait = Max(wait, 500);
	}
	my_slot->state = wait > 0 ? WORKER_WAITING : WORKER_STARTING;
	LWLockRelease(table->lock);
	return wait;
}

void
scim_worker_connecting(void)
{
	if (my_slot == NULL)
		return;
	LWLockAcquire(table->lock, LW_EXCLUSIVE);
	my_slot->attempt_at = GetCurrentTimestamp();
	my_slot->connected = false;
	LWLockRelease(table->lock);
}

void
scim_worker_connected(void)
{
	if (my_slot == NULL)
		return;
	LWLockAcquire(table->lock, LW_EXCLUSIVE);
	my_slot->connected = true;
	my_slot->dboid = MyDatabaseId;
	my_slot->note[0] = '\0';
	LWLockRelease(table->lock);
}

void
scim_worker_report(ScimWorkerState state, int port, const char *note)
{
	char		name[NAMEDATALEN];

	if (my_slot != NULL)
	{
		LWLockAcquire(table->lock, LW_EXCLUSIVE);
		my_slot->state = state;
		my_slot->port = port;
		strlcpy(my_slot->note, note != NULL ? note : "", WORKER_NOTE_LEN);
		LWLockRelease(table->lock);
	}
	snprintf(name, sizeof(name), "%s %d %s", scim_worker_type(my_kind), port, scim_worker_state_name(state));
	SetConfigOption("application_name", name, PGC_USERSET, PGC_S_OVERRIDE);
	pgstat_report_activity(STATE_IDLE, note);
}

void
scim_worker_count_request(bool unauthorized)
{
	if (my_slot == NULL)
		return;
	pg_atomic_fetch_add_u64(&my_slot->requests, 1);
	if (unauthorized)
		pg_atomic_fetch_add_u64(&my_slot->unauthorized, 1);
}

/* Without a slot to say otherwise a signal to end is meant for good. */
bool
scim_worker_stop_wanted(const ScimWorkerArgs *args)
{
	return my_slot == NULL || !my_slot->is_static || my_slot->stop;
}

bool
scim_worker_sibling_listens(int port)
{
	ScimWorkerInfo *list;
	int			n = scim_worker_list(&list);

	for (int i = 0; i < n; i++)
	{
		if (list[i].pid != MyProcPid && list[i].port == port && list[i].state == WORKER_LISTENING)
			return true;
	}
	return false;
}

/* --- in any session --- */

static const char *const state_names[] = {
	[WORKER_STARTING] = "starting",
	[WORKER_WAITING] = "waiting",
	[WORKER_LISTENING] = "listening",
	[WORKER_SYNCING] = "syncing",
	[WORKER_STOPPING] = "stopping",
	[WORKER_RESTARTING] = "restarting",
};

const char *
scim_worker_state_name(ScimWorkerState state)
{
	return state_names[state];
}

static const char *const kind_names[] = {
	[WORKER_LISTENER] = "listener",
	[WORKER_SYNC] = "sync",
};

static const char *const type_names[] = {
	[WORKER_LISTENER] = "scim listener",
	[WORKER_SYNC] = "scim sync",
};

const char *
scim_worker_kind_name(ScimWorkerKind kind)
{
	return kind_names[kind];
}

const char *
scim_worker_type(ScimWorkerKind kind)
{
	return type_names[kind];
}

static int
list_slots(ScimWorkerInfo **list)
{
	/* looked up before the lock is taken */
	char	   *database = get_database_name(MyDatabaseId);
	int			n = 0;

	*list = palloc0(sizeof(ScimWorkerInfo) * table->nslots);
	LWLockAcquire(table->lock, LW_SHARED);
	for (int i = 0; i < table->nslots; i++)
	{
		const WorkerSlot *slot = &table->slots[i];
		ScimWorkerInfo *info = &(*list)[n];

		if (slot->pid == 0 && (!slot->is_static || slot->stop))
			continue;
		if (OidIsValid(slot->dboid) ? slot->dboid != MyDatabaseId :
			(database == NULL || strcmp(slot->database, database) != 0))
			continue;
		info->kind = slot->kind;
		info->pid = slot->pid;
		info->is_static = slot->is_static;
		info->port = slot->port;
		info->state = slot->state;
		info->started = slot->started;
		info->requests = (int64) pg_atomic_read_u64(unconstify(pg_atomic_uint64 *, &slot->requests));
		info->unauthorized = (int64) pg_atomic_read_u64(unconstify(pg_atomic_uint64 *, &slot->unauthorized));
		strlcpy(info->note, slot->note, WORKER_NOTE_LEN);
		n++;
	}
	LWLockRelease(table->lock);
	return n;
}

/*
 * The same from what pg_stat_activity knows.
 */
static int
list_backends(ScimWorkerInfo **list)
{
	int			nbackends;
	int			n = 0;

	/* the snapshot of this transaction may be older than a worker */
	pgstat_clear_snapshot();
	nbackends = pgstat_fetch_stat_numbackends();
	*list = palloc0(sizeof(ScimWorkerInfo) * Max(nbackends, 1));
	for (int i = 1; i <= nbackends; i++)
	{
		LocalPgBackendStatus *local = pgstat_get_local_beentry_by_index(i);
		PgBackendStatus *entry = local != NULL ? &local->backendStatus : NULL;
		ScimWorkerInfo *info = &(*list)[n];
		const char *type;
		int			kind;
		int			port;
		int			used = 0;

		if (entry == NULL || entry->st_backendType != B_BG_WORKER || entry->st_databaseid != MyDatabaseId)
			continue;
		type = GetBackgroundWorkerTypeByPid(entry->st_procpid);
		for (kind = 0; type != NULL && kind < lengthof(type_names) && strcmp(type, type_names[kind]) != 0; kind++)
			;
		if (type == NULL || kind == lengthof(type_names))
			continue;
		info->kind = kind;
		info->pid = entry->st_procpid;
		info->state = WORKER_STARTING;
		info->started = entry->st_proc_start_timestamp;
		info->requests = info->unauthorized = -1;
		if (strncmp(entry->st_appname, type, strlen(type)) == 0 &&
			sscanf(entry->st_appname + strlen(type), " %d %n", &port, &used) == 1 && used > 0)
		{
			info->port = port;
			for (int state = 0; state < lengthof(state_names); state++)
			{
				if (strcmp(entry->st_appname + strlen(type) + used, state_names[state]) == 0)
					info->state = state;
			}
		}
		if (info->state == WORKER_WAITING)
			strlcpy(info->note, entry->st_activity_raw, WORKER_NOTE_LEN);
		n++;
	}
	return n;
}

/* Needs a transaction. */
int
scim_worker_list(ScimWorkerInfo **list)
{
	return table != NULL ? list_slots(list) : list_backends(list);
}

void
scim_worker_want_stop(void)
{
	char	   *database;

	if (table == NULL)
		return;
	database = get_database_name(MyDatabaseId);
	LWLockAcquire(table->lock, LW_EXCLUSIVE);
	for (int i = 0; i < table->nslots; i++)
	{
		WorkerSlot *slot = &table->slots[i];

		if (OidIsValid(slot->dboid) ? slot->dboid == MyDatabaseId :
			(database != NULL && strcmp(slot->database, database) == 0))
			slot->stop = true;
	}
	LWLockRelease(table->lock);
}

/*
 * Runs in the commit of whatever transaction has something to sync: no look-up
 * in a catalog, no error.  A worker that starts at this moment looks for itself.
 */
void
scim_worker_wake_sync(void)
{
	pid_t		pids[16];
	int			n = 0;

	if (table != NULL)
	{
		LWLockAcquire(table->lock, LW_SHARED);
		for (int i = 0; i < table->nslots && n < lengthof(pids); i++)
		{
			const WorkerSlot *slot = &table->slots[i];

			if (slot->kind == WORKER_SYNC && slot->pid != 0 && slot->dboid == MyDatabaseId)
				pids[n++] = slot->pid;
		}
		LWLockRelease(table->lock);
	}
	else
	{
		ScimWorkerInfo *list;
		int			nlist = list_backends(&list);

		for (int i = 0; i < nlist && n < lengthof(pids); i++)
			if (list[i].kind == WORKER_SYNC)
				pids[n++] = list[i].pid;
		pfree(list);
	}
	for (int i = 0; i < n; i++)
	{
		PGPROC	   *proc = BackendPidGetProc(pids[i]);

		if (proc != NULL)
			SetLatch(&proc->procLatch);
	}
}
