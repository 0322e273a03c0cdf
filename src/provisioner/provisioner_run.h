/*
 * provisioner_run.h
 *		What the engine remembers between transactions: targets and what they
 *		asked for, syncs and their flights.  Nothing of it has to survive the
 *		process.
 *
 * Times are milliseconds of a clock that never jumps (scim_run_now).
 */
#ifndef SCIM_PROVISIONER_RUN_H
#define SCIM_PROVISIONER_RUN_H

#include "provisioner_flight.h"
#include "provisioner_scan.h"

/* Keys of one page of a reconcile. */
#define SCIM_RECONCILE_PAGE 1000

/*
 * Answers that are looked at together while requests are under way, and how long
 * they wait for each other: a transaction about many rows costs little more than
 * one about a single row.
 */
#define SCIM_GATHER_ANSWERS 400
#define SCIM_GATHER_MS 20

/* While the target's list is read, rows are looked at as often. */
#define SCIM_LIST_MS 1000

typedef struct ScimTargetRun
{
	dlist_node	node;
	MemoryContext context;		/* of the texts */
	char	   *name;
	char	   *secret;
	ScimClientTarget wire;
	bool		oauth;			/* wire.token is one that the token endpoint has given */
	ScimClientTarget token_wire;	/* the endpoint, */
	ScimClientRequest token_request;	/* and what it is asked */
	char	   *access;			/* the token; NULL: none */
	int			access_number;	/* counts tokens */
	int64		access_until;	/* ms */
	int64		asking_until;	/* ms: a request for one is under way */
	bool		renewed;		/* after a 401, and nothing has gone well since */
	double		rate;			/* requests a second; 0: no limit */
	double		burst;
	double		tokens;
	int64		tokens_at;		/* ms */
	double		creates_per_second; /* 0: no limit */
	double		creates_burst;
	double		creates;		/* that may go now */
	int64		creates_at;		/* ms */
	int			concurrency;	/* requests at the same time, at most, */
	double		window;			/* and as many as go well */
	int64		halved_at;		/* ms */
	int			bulk;			/* ScimBulk */
	bool		bulk_asked;		/* whether it offers that, by this process */
	int			bulk_operations;
	int			bulk_payload;	/* bytes */
	long		pace_ms;		/* between requests, while the target has few left; 0: none */
	int64		pace_until;		/* ms */
	int64		sent_at;		/* ms */
	int64		blocked_until;	/* ms */
	int			unreached;		/* in a row */
	int			alarmed;		/* syncs with an answer that is to be looked at before anything else is sent */
	int			in_flight;
} ScimTargetRun;

typedef enum ScimDriftState
{
	SCIM_DRIFT_NONE,
	SCIM_DRIFT_READING,			/* the target's list is read for it */
	SCIM_DRIFT_COMPARING
} ScimDriftState;

typedef struct ScimSyncRun
{
	dlist_node	node;
	int64		id;
	char		name[NAMEDATALEN * 4];
	ScimTargetRun *target;
	dlist_head	flights;
	int			nflights;
	int			nanswers;		/* flights with an answer that nobody has looked at, */
	int64		answered_at;	/* ms: since when there is one */
	ScimTargetRun *alarmed;		/* whose alarm one of them is, or NULL */
	int64		looked_at;		/* ms: when answers were looked at last */
	int			lead;			/* flights to have ready besides those under way */
	int			page;			/* rows to read in a transaction, after one took too long; 0: as many as there are room for */
	int			good_pages;		/* so many of that size were read in time */
	bool		has_read;		/* this transaction has */
	char		slow_key[SCIM_SLOW_KEY];	/* row that takes too long by itself: it is left out once; "": none */
	bool		skipped;		/* in this transaction */
	int			ends;			/* of the process, by this sync, since something was read in time */
	TimestampTz due_from[SCIM_LANES];	/* what was due before is taken up; 0: nothing is known */
	bool		idle_rows;		/* nearly all rows taken up last needed no request */
	bool		claimed;		/* this process holds the lock of the sync */
	bool		recovered;		/* what another process left in flight was looked at */
	bool		wanted;			/* is among the active syncs */
	bool		draining;		/* it has stopped: what is under way ends, and nothing begins */
	bool		probing;		/* it is quarantined, and this is the probe */
	bool		trial;			/* it is, and the probe went well: one row at a time, until one is written */
	bool		tried;			/* and there was one */
	int			forbidden;		/* 403 in a row */
	int64		window_at;		/* ms: since when the next two count */
	int			finished;		/* flights */
	int			parked;			/* of these, refused for good */
	int64		due_at;			/* ms: when there is something to do without an answer */
	Datum		full_entries;	/* of the queue, that a reconcile serves (an array of ids); 0: none */
	bool		any_rows;		/* the first half of a reconcile has found rows, */
	bool		any_in_scope;	/* and some in scope */
	bool		reconcile_links;	/* the second half of a reconcile is under way */
	ScimScan	scan;			/* of the target's list */
	int64		scan_at;		/* ms: FAILED: not again before; DONE: counts no longer */
	int64		busy_until;		/* ms: another session reads it */
	ScimDriftState drift;		/* the list was read to see what has changed there */
	char	   *drift_after;	/* key up to which links were compared; NULL: none */
	int64		linked_at;		/* ms: while it is read, the rest is looked at now and then */
	char	   *reconciled;		/* key up to which it has come; NULL: nowhere yet */
	char	   *began_after;	/* where this transaction began, */
	bool		began_links;	/* and in which half */
} ScimSyncRun;

struct ScimProvisioner
{
	MemoryContext context;
	dlist_head	targets;
	dlist_head	syncs;
	dlist_head	orphans;		/* flights whose answers nobody waits for any more */
	int64		refresh_at;		/* ms: look again which syncs there are; 0: when woken */
	int64		tidy_at;		/* ms: what has become old is looked for then */
};

extern int64 scim_run_now(void);

/* ---- time (provisioner_watch.c) ---- */

/* Round a transaction of this sync (0: of none): nothing in it goes on for ever. */
extern void scim_watch_begin(int64 sync_id);
extern void scim_watch_end(void);

/* How many rows to read at once, at most "most"; and how that went.  False: less is of no use. */
extern int	scim_watch_page(const ScimSyncRun *run, int most);
extern ScimDocument *scim_watch_read(ScimSyncRun *run, const ScimSyncView *view, const char *const *keys, int n);
extern void scim_watch_went_well(ScimSyncRun *run);
extern bool scim_watch_took_long(ScimSyncRun *run);

/* A process begins to work on a sync: one before it may have come to its end by that. */
extern void scim_watch_remember(ScimSyncRun *run);
/* Has this happened too often? */
extern bool scim_watch_gives_up(ScimSyncRun *run);

/* ---- targets (provisioner_target.c) ---- */

/* As the catalogs have it now; what is known of its state stays. */
extern ScimTargetRun *scim_target_refresh(ScimProvisioner *p, const ScimServer *server, const char *secret);

/* Milliseconds until the target may be asked; 0: now; -1: when an answer has come. */
extern long scim_target_wait(ScimTargetRun *target, int64 now);

/* Milliseconds until it may be asked to create; 0: now.  And how often now. */
extern long scim_target_create_wait(ScimTargetRun *target, int64 now);
extern int	scim_target_creates(ScimTargetRun *target, int64 now);

/*
 * A request is about to be sent; its answer has come, or will not (NULL).  True: it
 * may be about more than a row.
 */
extern void scim_target_sent(ScimTargetRun *target, int creates, int64 now);
extern bool scim_target_answered(ScimTargetRun *target, const ScimClientResponse *response, int64 now);

/*
 * The token of the target: is there one that can be used?  That request 401 was
 * answered with token "number": true: another one is to be got; false: it was
 * new.  The answer of its endpoint: false: it holds none.
 */
extern bool scim_target_has_token(const ScimTargetRun *target, int64 now);
extern bool scim_target_renew_token(ScimTargetRun *target, int number);
extern bool scim_target_take_token(ScimProvisioner *p, ScimTargetRun *target, const json_t *answer, int64 now);

/* Ask nothing before that time. */
extern void scim_target_block(ScimTargetRun *target, int64 until);

/* It could not be reached, or was.  True: that it could not is news. */
extern bool scim_target_unreached(ScimTargetRun *target, int64 now);
extern void scim_target_reached(ScimTargetRun *target);

/* ---- syncs and flights (provisioner_work.c) ---- */

extern void scim_run_begin_flight(ScimSyncRun *run, ScimFlight *flight);
/* Its answers are looked at, or will not be. */
extern void scim_run_calm(ScimSyncRun *run);

extern void scim_run_forget_answer(ScimSyncRun *run, ScimFlight *flight);
extern void scim_run_forget_flight(ScimProvisioner *p, ScimSyncRun *run, ScimFlight *flight);
extern void scim_run_forget_unsent(ScimProvisioner *p, ScimSyncRun *run);

/* A sync that works says nothing; another says what keeps it from it. */
extern void scim_run_tell(const ScimSync *sync, const char *reason);

/* ---- the target's list (provisioner_list.c) ---- */

/*
 * Where many rows are to be matched, or no query can do it, begin to read the
 * target's list.  What was read counts until there is nothing more to do.
 */
extern void scim_list_want(ScimProvisioner *p, ScimSyncRun *run, const ScimSyncView *view, int64 now);

/* The answer to a request for a page. */
extern void scim_list_take(ScimProvisioner *p, ScimSyncRun *run, const ScimSyncView *view, const ScimTargetNews *news, int64 now);

/* Are rows without a resource to wait for it? */
extern bool scim_list_awaited(const ScimSyncRun *run, const ScimSyncView *view);

/* Read it to see what has changed there; if another session reads it, later. */
extern void scim_list_check(ScimProvisioner *p, ScimSyncRun *run, const ScimSyncView *view, int64 now);

/* Read no more of it. */
extern void scim_list_stop(ScimSyncRun *run);

/* ---- several changes in one request (provisioner_bulk.c) ---- */

/* Operations of one request, whatever the target takes; memory to take its answer apart. */
#define SCIM_BULK_MOST 500
#define SCIM_BULK_HEAP ((size_t) 128 * 1024 * 1024)

/* A flight that carries "first" and others like it; NULL: it goes alone. */
extern ScimFlight *scim_bulk_gather(ScimProvisioner *p, ScimSyncRun *run, const ScimFlight *first, int64 now);

/* The answer to it becomes one to each; *learned: the server is another one now. */
extern void scim_bulk_distribute(ScimSyncRun *run, const ScimSyncView *view, ScimFlight *carrier, bool *learned);

/* What ServiceProviderConfig says (NULL: nothing).  True: the server is another one now. */
extern bool scim_bulk_take_config(ScimTargetRun *target, const ScimSyncView *view, ScimVerdict verdict, const json_t *config);

/* ---- what has changed at the target (provisioner_drift.c) ---- */

/* When that is looked for next; DT_NOEND: never. */
extern TimestampTz scim_drift_due(const ScimSync *sync);

/* While it is looked for: the next page of links.  True: there is more to compare now. */
extern bool scim_drift_work(ScimProvisioner *p, ScimSyncRun *run, const ScimSyncView *view);

/* ---- one sync (provisioner_cycle.c) ---- */

/* All that there is to do for a sync now.  In a transaction, as the owner. */
extern void scim_cycle_work(ScimProvisioner *p, ScimSyncRun *run, const ScimSync *sync);

/*
 * Only look at answers; flights that would need another request end.  Without any
 * left, no row has an intent.
 */
extern void scim_cycle_drain(ScimProvisioner *p, ScimSyncRun *run, const ScimSync *sync);

#endif							/* SCIM_PROVISIONER_RUN_H */
