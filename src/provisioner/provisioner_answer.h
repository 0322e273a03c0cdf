/*
 * provisioner_answer.h
 *		What looking at an answer is made of: shared by the files that decide
 *		what becomes of a flight (provisioner_flight.c, provisioner_match.c,
 *		provisioner_outcome.c).
 *
 * All run in the flight's memory, in a transaction, as the owner, and return
 * what scim_flight_answer() returns: true: the flight is over, its link is
 * stored; false: it has its next request.
 */
#ifndef SCIM_PROVISIONER_ANSWER_H
#define SCIM_PROVISIONER_ANSWER_H

#include "provisioner_flight.h"

/* Tries of one row before it has to wait for hours. */
#define SCIM_MAX_ATTEMPTS 10

/* Of these, tries against another row that may give way. */
#define SCIM_MAX_CONFLICTS 3

#define SCIM_BACKOFF_FIRST_MS 1000

/* Misses that make sure that a POST of unknown outcome has come to nothing. */
#define SCIM_DOUBT_AFTER_SILENCE 3
#define SCIM_DOUBT_AFTER_ERROR 1

typedef struct ScimAnswer
{
	const ScimSyncView *view;
	ScimFlight *flight;
	const ScimClientResponse *response; /* NULL: what was read of the list answers */
	ScimVerdict verdict;
	const char *reason;
	json_t	   *body;			/* NULL: none, or no JSON object */
	TimestampTz now;
	ScimTargetNews *news;
} ScimAnswer;

/* ---- ends (provisioner_outcome.c) ---- */

/* The link becomes "state" (NULL: it goes). */
extern bool scim_answer_store(ScimAnswer *ctx, const char *state, const char *reason, TimestampTz next_at);

/* The target has what is wanted. */
extern bool scim_answer_succeed(ScimAnswer *ctx, const char *state);

/* It will never take it like this: not again before hours, or another document. */
extern bool scim_answer_park(ScimAnswer *ctx, const char *state, const char *reason);

/* The same again after a while, which grows. */
extern bool scim_answer_try_later(ScimAnswer *ctx);

/* Nobody knows what a request has done. */
extern bool scim_answer_doubt(ScimAnswer *ctx, int misses);

/*
 * The target refuses the form of the request: the row is decided anew with what
 * is known now, but not for ever.
 */
extern bool scim_answer_reformed(ScimAnswer *ctx, ScimLesson lesson);

/* The target refuses what the request holds, or how much. */
extern bool scim_answer_refused(ScimAnswer *ctx);

/* ---- next requests (provisioner_outcome.c) ---- */

/* False, for "the flight goes on". */
extern bool scim_answer_go_on(ScimFlight *flight, ScimPhase phase, const char *method, const char *path, const char *body);

/* ---- matching (provisioner_match.c) ---- */

/* Look for what is there, to create nothing. */
extern bool scim_answer_find(ScimAnswer *ctx);

/* The answer to the query of one rule. */
extern bool scim_answer_matched(ScimAnswer *ctx);

/* To a POST. */
extern bool scim_answer_created(ScimAnswer *ctx);

/* What a PUT is laid over. */
extern bool scim_answer_put(ScimAnswer *ctx, const json_t *resource);

/* What became of an update whose answer was lost. */
extern bool scim_answer_compared(ScimAnswer *ctx);

#endif							/* SCIM_PROVISIONER_ANSWER_H */
