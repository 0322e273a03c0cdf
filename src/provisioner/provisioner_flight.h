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
	SCIM_PHASE_UPDATE,
	SCIM_PHASE_DISABLE,
	SCIM_PHASE_LOOK,			/* GET by id: is it there, is it out of use? */
	SCIM_PHASE_DELETE,
	SCIM_PHASE_PROBE			/* of a sync in quarantine: of no row */
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
	bool		adopted;		/* found by a match, and now brought to what is wanted */
	bool		absent;			/* there is no row any more: nothing is sent for it but this search */
	bool		dry;			/* only to show what would come of it: nothing is stored */
	const char *match_paths[SCIM_MAX_RULES];
	const char *create_body;
	const char *wanted;			/* document that the target has at the end */
	const char *created;		/* document that a POST sends, if that is not all of it */
	bool		partial;		/* more follows after this flight */
	bool		deactivates;	/* the resource is out of use afterwards */
	ScimLinkUpdate link;		/* as it was; becomes what is stored */

	/* the request to send, or that was sent */
	const char *method;
	const char *path;
	const char *body;
	bool		sent;
	ScimClientResponse *response;	/* not looked at yet; the worker's */
} ScimFlight;

/* What an answer tells about the target as a whole. */
typedef struct ScimTargetNews
{
	ScimVerdict verdict;
	long		wait_ms;		/* ask nothing before; -1: nothing was said */
	const char *reason;
	bool		linked;			/* a row has become known to the target */
	bool		parked;			/* it was refused for good */
	bool		probed;			/* the probe was answered as it should be */
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

/* A flight that asks for a resource that nobody has, to see how the target answers. */
extern ScimFlight *scim_flight_probe(MemoryContext parent, const ScimSyncView *view);

extern void scim_flight_end(ScimFlight *flight);

#endif							/* SCIM_PROVISIONER_FLIGHT_H */
