/*
 * worker_internal.h
 *		Shared by the files of this floor: what a worker is told at its start,
 *		and what it tells others about itself.
 */
#ifndef SCIM_WORKER_INTERNAL_H
#define SCIM_WORKER_INTERNAL_H

#include "datatype/timestamp.h"

#include "compat.h"

typedef enum ScimWorkerKind
{
	WORKER_LISTENER,
	WORKER_SYNC
} ScimWorkerKind;

#define WORKER_NOTE_LEN 160

/* Travels in bgw_extra. */
typedef struct ScimWorkerArgs
{
	ScimWorkerKind kind;
	char		database[NAMEDATALEN];	/* static workers, else empty */
	Oid			dboid;			/* dynamic workers, else invalid */
	Oid			role;			/* the same */
	int			port;			/* of listeners; 0: scim.port */
	int			index;			/* of the workers that were started together */
	int			count;			/* listeners that were started together */
	int			slot;			/* static workers, else -1 */
} ScimWorkerArgs;

typedef enum ScimWorkerState
{
	WORKER_STARTING,
	WORKER_WAITING,				/* something is in the way, the note says what */
	WORKER_LISTENING,
	WORKER_SYNCING,
	WORKER_STOPPING,
	WORKER_RESTARTING			/* a preloaded one that has ended and will return */
} ScimWorkerState;

typedef struct ScimWorkerInfo
{
	ScimWorkerKind kind;
	int			pid;			/* 0: WORKER_RESTARTING */
	bool		is_static;
	int			port;			/* 0: not known yet */
	ScimWorkerState state;
	TimestampTz started;
	int64		requests;		/* -1: nobody counts */
	int64		unauthorized;	/* of them: answered 401; -1 */
	char		note[WORKER_NOTE_LEN];
} ScimWorkerInfo;

/* --- worker_slot.c --- */

/* From _PG_init while the postmaster preloads: room for that many and others. */
extern void scim_worker_reserve(int nstatic);

/* --- in a worker, in this order --- */

/* Claim a slot until the process ends; false: there is none. */
extern bool scim_worker_attach(const ScimWorkerArgs *args);
/* Milliseconds to wait because the last start got no connection. */
extern long scim_worker_backoff(const ScimWorkerArgs *args);
extern void scim_worker_connecting(void);
extern void scim_worker_connected(void);
/* Outside a transaction or inside; "note" may be NULL. */
extern void scim_worker_report(ScimWorkerState state, int port, const char *note);
extern void scim_worker_count_request(bool unauthorized);
/* Has scim.stop_workers() asked for the end, for good? */
extern bool scim_worker_stop_wanted(const ScimWorkerArgs *args);
/* Does another worker of this database listen on that port? */
extern bool scim_worker_sibling_listens(int port);

/* --- in any session --- */

/* Workers of the current database, in the current context. */
extern int	scim_worker_list(ScimWorkerInfo **list);
/* Tell all of them to end for good; they still want a signal. */
extern void scim_worker_want_stop(void);
extern const char *scim_worker_state_name(ScimWorkerState state);

/* "scim listener": bgw_type, and the first words of application_name. */
extern const char *scim_worker_type(ScimWorkerKind kind);

/* "listener": what the view calls it. */
extern const char *scim_worker_kind_name(ScimWorkerKind kind);

/* After a commit: wake the sync workers of this database.  Must not raise. */
extern void scim_worker_wake_sync(void);

/* --- worker_process.c: in a worker --- */

/* Signals, a slot, the connection; does not return if the end comes first. */
extern void scim_worker_begin(const ScimWorkerArgs *args);
pg_noreturn extern void scim_worker_end(const ScimWorkerArgs *args);

/*
 * Why this database cannot be served now, or NULL; static text.  Needs a
 * connection and no transaction.
 */
extern const char *scim_worker_obstacle(void);

/* Say once what is in the way; another time the same is said again after "gone". */
extern void scim_worker_report_obstacle(const ScimWorkerArgs *args, int port, const char *note);
extern void scim_worker_obstacle_gone(void);

/* Wait for that long, unless there is a reload or the end comes. */
extern void scim_worker_idle(long ms);

/* Reload the settings if that was asked for. */
extern void scim_worker_reload(void);

/*
 * Serve what other processes ask of this one (barriers, catch-up with
 * invalidations).  A cancel that came too late is dropped.
 */
extern void scim_worker_interrupts(void);

/* --- worker_listener_pem.c --- */

/* Contents of a PEM file, in the current context; NULL: "note" says why not. */
extern char *scim_listener_read_pem(const char *path, bool is_key, char *note);

/* --- worker_listener.c, worker_sync.c --- */

extern PGDLLEXPORT void scim_listener_main(Datum arg);
extern PGDLLEXPORT void scim_sync_main(Datum arg);

#endif							/* SCIM_WORKER_INTERNAL_H */
