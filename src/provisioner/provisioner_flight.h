/*
 * provisioner_flight.h
 *		One row on its way to the target: requests one after the other, until it
 *		is known what its link has become.
 *
 *	create	MATCH (by each rule) -> nothing found -> CREATE -> linked
 *								 -> one found -> UPDATE -> linked
 *			CREATE refused as a duplicate, or answered without an id -> FIND
 *	update	UPDATE -> linked;  404 -> LOOK -> 404 -> the link is lost
 *			by PUT: READ -> UPDATE
 *			if the outcome of the last one is not known: COMPARE -> UPDATE
 *	disable	DISABLE -> LOOK, unless the answer says so itself -> disabled
 *	delete	DELETE -> the link goes
 */
#ifndef SCIM_PROVISIONER_FLIGHT_H
#define SCIM_PROVISIONER_FLIGHT_H

#include "provisioner_engine.h"

typedef enum ScimPhase
{
	SCIM_PHASE_MATCH,
	SCIM_PHASE_CREATE,
	SCIM_PHASE_FIND,			/* match, and never create */
	SCIM_PHASE_READ,			/* what a PUT is laid over */
	SCIM_PHASE_COMPARE,			/* GET by id: what became of an update? */
	SCIM_PHASE_UPDATE,
	SCIM_PHASE_DISABLE,
	SCIM_PHASE_LOOK,			/* GET by id: is it there, is it out of use? */
	SCIM_PHASE_DELETE,
	SCIM_PHASE_PROBE,			/* of a sync in quarantine: of no row */
	SCIM_PHASE_SCAN,			/* a page of the target's list: of no row */
	SCIM_PHASE_TOKEN,			/* a token, from its endpoint: of no row */
	SCIM_PHASE_BULK,			/* the requests of other flights in one */
	SCIM_PHASE_CONFIG			/* what the target says that it can do: of no row */
} ScimPhase;

typedef struct ScimFlight
{
	dlist_node	node;
	MemoryContext context;		/* of all that belongs to it */
	struct ScimSyncRun *run;	/* NULL: the sync has stopped, the answer is dropped */
	struct ScimTargetRun *target;	/* whom the request was sent to */
	const char *key;
	ScimAction	action;
	ScimPhase	phase;
	int			rule;			/* MATCH, FIND: the rule whose query this is */
	bool		may_create;
	bool		uncertain;		/* this sync may have made the resource itself */
	bool		stranger;		/* its creation was answered with the id of another row's resource */
	bool		adopted;		/* found by a match, and now brought to what is wanted */
	bool		absent;			/* there is no row any more: nothing is sent for it but this search */
	bool		former;			/* searched by what the row was when a POST was sent, and is not any more */
	bool		dry;			/* only to show what would come of it: nothing is stored */
	const char *match_paths[SCIM_MAX_RULES];
	const char *create_body;
	const char *from;			/* UPDATE: document that the target has at the beginning, or NULL */
	const char *full;			/* and the row's, towards which all steps lead */
	int			most;			/* changes of references in a request, after a larger one was refused; 0: any */
	bool		too_large;		/* because it was too large */
	const char *strange;		/* method that was answered 404 with a page for people: perhaps there is none, or NULL */
	const char *wanted;			/* document that the target has at the end */
	const char *created;		/* document that a POST sends, if that is not all of it */
	ScimChange	change;			/* of the next request that writes */
	bool		partial;		/* more follows after this flight */
	bool		deactivates;	/* the resource is out of use afterwards */
	ScimLinkUpdate link;		/* as it was; becomes what is stored */

	/* the request to send, or that was sent */
	const char *method;
	const char *path;
	const char *body;
	bool		sent;
	struct ScimFlight *carrier; /* that the request travels with, or NULL */
	bool		alone;			/* it must not, any more */
	bool		part;			/* response is a part of the carrier's, in this context */
	const json_t *parsed;		/* and its body, in this transaction; NULL: it is to be parsed */
	List	   *carried;		/* BULK: ScimFlight */
	int			creates;		/* BULK: creations among them */
	int			token_number;	/* of the token that it was sent with */
	ScimClientResponse *response;	/* not looked at yet; the worker's */
} ScimFlight;

/* What an answer tells about the target as a whole. */
typedef struct ScimTargetNews
{
	ScimVerdict verdict;
	int			status;			/* of the answer; 0: none */
	long		wait_ms;		/* ask nothing before; -1: nothing was said */
	const char *reason;
	bool		linked;			/* a row has become known to the target */
	bool		parked;			/* it was refused for good */
	bool		probed;			/* the probe was answered as it should be */
	bool		learned;		/* the server is another one now */
	bool		rescan;			/* what was read of the target's list is out of date */
	bool		too_large;		/* SCAN: the page is larger than an answer may be */
	const json_t *page;			/* SCAN, TOKEN, CONFIG: the answer; NULL: none */
} ScimTargetNews;

/* A flight that begins what was decided; in a context of its own below "parent". */
extern ScimFlight *scim_flight_begin(MemoryContext parent, const ScimLink *link, const ScimDecision *decision);

/*
 * Look at the answer.  False: the flight has its next request (the same again
 * if the target said "later").  True: the link is stored, the flight is over.
 * In a transaction, as the owner.
 */
extern bool scim_flight_answer(const ScimSyncView *view, ScimFlight *flight, const ScimClientResponse *response,
							   const char *secret, ScimTargetNews *news);

/* What the request is for: "match", "create", ... */
extern const char *scim_flight_phase_name(const ScimFlight *flight);

/* A flight that is no row's. */
extern ScimFlight *scim_flight_of_target(MemoryContext parent, ScimPhase phase, const char *method, const char *path);

/*
 * Instead of the queries of a flight that begins with a match: look in what was
 * read of the target's list ("empty": it had nobody).  Returns as scim_flight_answer().
 */
extern bool scim_flight_match_list(const ScimSyncView *view, ScimFlight *flight, bool empty, ScimTargetNews *news);

/* A flight that asks for a resource that nobody has, to see how the target answers. */
extern ScimFlight *scim_flight_probe(MemoryContext parent, const ScimSyncView *view);

extern void scim_flight_end(ScimFlight *flight);

/* ---- what refusals teach (provisioner_adapt.c) ---- */

/* Is the body a page for people, of a gateway or of a path that is no service? */
extern bool scim_adapt_is_page(const ScimClientResponse *response);

typedef enum ScimLesson
{
	SCIM_LESSON_NONE,			/* it was not refused for its form */
	SCIM_LESSON_NEW,
	SCIM_LESSON_OLD				/* the form is settled already: by an option, or by another answer meanwhile */
} ScimLesson;

/* The request was refused for its form: remember which form the target wants instead. */
extern ScimLesson scim_adapt_learn(const ScimSyncView *view, const ScimFlight *flight, const ScimClientResponse *response,
								   ScimVerdict verdict, const char *reason);
/* There is no such method; filters are ignored. */
extern ScimLesson scim_adapt_learn_method(const ScimSyncView *view, const char *method, const char *reason);
extern ScimLesson scim_adapt_learn_scan(const ScimSyncView *view, const char *reason);

/*
 * The request was refused for what it holds, or how much: true: the flight has
 * one with half of it.  False: there are no halves; *refused: the one reference
 * that it was refused for, or NULL.
 */
extern bool scim_adapt_split(const ScimSyncView *view, ScimFlight *flight, bool too_large, const char **refused);

/* A part of a request that was too large went through: its size is remembered. */
extern void scim_adapt_fitted(const ScimSyncView *view, const ScimFlight *flight);

#endif							/* SCIM_PROVISIONER_FLIGHT_H */
