/*
 * provisioner_engine.h
 *		Shared by the files that turn rows into requests and answers into links.
 *
 *	row of the mapping --(document)--> what the target should have
 *	link + document --(decide)--> decision: nothing, or a first request
 *	flight: a decision under way, through match, create, update, ... to its end
 *	link: what is known when no request is in flight
 */
#ifndef SCIM_PROVISIONER_ENGINE_H
#define SCIM_PROVISIONER_ENGINE_H

#include "lib/ilist.h"
#include "lib/stringinfo.h"
#include "nodes/pg_list.h"

#include "provisioner.h"
#include "provisioner_diff.h"
#include "provisioner_retry.h"
#include "../catalog/catalog_mapping.h"
#include "../catalog/catalog_server.h"
#include "../store/store.h"

/* ---- a sync with all that deciding needs (provisioner_document.c) ---- */

typedef struct ScimMatchRule
{
	int			nattrs;			/* all of them have to match */
	const ScimAttr **attrs;
} ScimMatchRule;

/* Whose links tell what a reference to a resource type is at the target. */
typedef struct ScimReferee
{
	const char *type;			/* "User" */
	int64		sync_id;
} ScimReferee;

/*
 * Valid between scim_catalog_begin() and scim_catalog_end() of the transaction
 * that made it.
 */
typedef struct ScimSyncView
{
	const ScimSync *sync;
	const ScimServer *server;
	ScimEndpointType target;	/* the mapping, as the store wants it */
	const ScimResourceType *type;
	ScimSelection *selection;	/* what clients may write */
	bool		can_disable;	/* resources of this type have `active` */
	bool		active_mapped;	/* and the mapping has a source for it */
	bool		as_stored;		/* documents are what the store says of rows, without schemas and id */
	ScimDiffStyle style;
	bool		has_rules;		/* not all of a document is sent by an update */
	int			update_method;	/* ScimUpdateMethod, for this type */
	int			nrules;
	ScimMatchRule *rules;		/* in order of priority */
	List	   *referees;		/* ScimReferee: this sync, and others of the server */
} ScimSyncView;

/* Raises 55000 if mapping or server cannot be used. */
extern ScimSyncView *scim_sync_view(const ScimSync *sync);

typedef enum ScimPresence
{
	SCIM_ROW_GONE,
	SCIM_ROW_OUT_OF_SCOPE,
	SCIM_ROW_IN_SCOPE
} ScimPresence;

typedef struct ScimDocument
{
	const char *key;
	ScimPresence presence;
	char	   *text;			/* JSON; NULL unless in scope */
	List	   *inner;			/* char *: keys of groups whose members are in it as its own */
	int			waiting;		/* references to rows that are not at the target yet: left out */
	const char *problem;		/* reading this row raised an error: SQLSTATE and message */
} ScimDocument;

/*
 * Read the documents of some keys, in one snapshot, as the owner.  A row that
 * cannot be read (an expression that fails) costs no other.
 */
extern ScimDocument *scim_documents_read(const ScimSyncView *view, const char *const *keys, int n);

/*
 * A page of the keys of the mapping's rows (scim_store_keys); *in_scope: one of
 * them is in the scope of the sync, or that can't be said of all of them.
 */
extern int	scim_documents_keys(const ScimSyncView *view, const char *after, int limit, const char ***keys, bool *in_scope);

/* Parse a document's text again; in a bracket of core.  Raises on lack of memory. */
extern json_t *scim_document_parse(const char *text);

/* Give a top-level attribute of a document a value, or none. */
extern void scim_document_put(const ScimResourceType *type, json_t *document, const ScimAttr *attr, const json_t *value);

/* The id of a resource as text; NULL: it has none. */
extern const char *scim_resource_id(const json_t *resource);

/* The value of a matching attribute as text; NULL: there is none. */
extern const char *scim_match_text(const ScimSyncView *view, const ScimAttr *attr, const json_t *document);

/* "/Users?filter=...": the query of a rule; NULL: the document lacks a value of it. */
extern char *scim_match_path(const ScimSyncView *view, const ScimMatchRule *rule, const json_t *document);

/* Does a returned resource really match (C5)? */
extern bool scim_match_holds(const ScimSyncView *view, const ScimMatchRule *rule,
							 const json_t *document, const json_t *resource);

/* The type that an item of a list of references refers to. */
extern const char *scim_referred_type(const ScimAttr *attr, const json_t *item);

/* ---- groups in groups (provisioner_flatten.c) ---- */

typedef struct ScimNests ScimNests;

/*
 * All groups that these rows hold, directly or not, as the owner; NULL: the sync
 * leaves groups as they are.  keys: what the rows were asked for by.
 */
extern ScimNests *scim_nests_read(const ScimSyncView *view, const ScimStoreRow *rows, int nrows, const char *const *keys);

/* The members of a document become all that are in it; returns the groups among these. */
extern List *scim_nests_flatten(const ScimSyncView *view, ScimNests *nests, const char *key, json_t *document);

/* Keep which groups the documents were made of; have a change of one reach all that hold it. */
extern void scim_nests_store(const ScimSyncView *view, const ScimDocument *documents, int n);
extern void scim_nests_spread(int64 sync_id, Datum entries);

/* ---- steps and PUT (provisioner_step.c) ---- */

/*
 * The document to send next, where one request cannot carry all that leads from
 * "from" to "to"; NULL: it can.  "most", unless 0: an update changes so many
 * references and nothing else, a creation has none.
 */
extern char *scim_step_towards(const ScimSyncView *view, const json_t *from, const char *to, bool create, int most);

/* Values (of a list of references: by their ids) of "list" that "other" holds, or (missing) does not hold. */
extern json_t *scim_references(const ScimAttr *attr, const json_t *list, const json_t *other, bool missing);

/* How many references differ; *only: the id of the last of them. */
extern int	scim_reference_changes(const ScimSyncView *view, const char *from, const char *to, const char **only);

/* Those of these ids (char *) that are references in only one of two documents. */
extern List *scim_references_that_differ(const ScimSyncView *view, const char *from, const char *to, List *ids);

/* "to", with these references (char *) as they are in "from": the target refuses to change them. */
extern char *scim_keep_references(const ScimSyncView *view, const char *from, const char *to, List *refused);

/*
 * What the target has after an update: "to", but for what the rules of the sync
 * keep from being sent, of which it has what it had.  (Without rules: "to".)
 */
extern const char *scim_apply_rules(const ScimSyncView *view, const json_t *from, const char *to);

/* The body of a PUT: the resource as the target has it, with what is managed as wanted. */
extern char *scim_overlay(const ScimSyncView *view, const json_t *current, const char *wanted);

/* ---- what a request changes, for the log (provisioner_change.c) ---- */

typedef struct ScimChange
{
	const char *before;			/* names of the attributes that change and have a value before, as text of a text[], */
	const char *after;			/* and of those that have one afterwards; both NULL: it is not known, or a deletion */
	const char *old_values;		/* JSON objects; NULL: the sync does not log values */
	const char *new_values;
} ScimChange;

/*
 * An update of these attributes (const ScimAttr *) from one document to another;
 * "active" besides, unless 0: it takes the resource into use (1), or out of it (-1).
 */
extern void scim_change_note(const ScimSyncView *view, const List *attrs, const json_t *from, const json_t *to, int active,
							 ScimChange *change);

/* A creation with this document. */
extern void scim_change_note_create(const ScimSyncView *view, const json_t *document, ScimChange *change);

/* ---- links (provisioner_link.c) ---- */

/* What is gone, what has changed, what is new. */
#define SCIM_LANES 3

typedef struct ScimLink
{
	const char *key;
	const char *remote_id;		/* NULL: none */
	const char *state;
	const char *acked;			/* JSON text, or NULL */
	const char *wanted;			/* JSON text, or NULL */
	const char *acked_hash;		/* hex, or NULL */
	const char *wanted_hash;	/* hex, or NULL */
	bool		waiting;		/* for rows that it refers to (scim_links_page only) */
	int			doubt;
	int			attempts;
	TimestampTz gone_at;		/* 0: it is not */
	bool		dirty;			/* parked, and due because its row has changed */
	const char *staged;			/* action that waits, or waited, for approval, or NULL */
	const char *approval;		/* "approved", "rejected", or NULL */
	const char *reason;
	List	   *refused;		/* char *: references that the target refuses, */
	TimestampTz refused_until;	/* when they are tried again (DT_NOEND: not any more), */
	int			refused_tries;	/* and how often they were */
	int			lane;
	TimestampTz next_at;		/* 0: when its row changes */
} ScimLink;

/* What a link becomes when a flight ends or needs no request. */
typedef struct ScimLinkUpdate
{
	const char *key;
	const char *state;			/* NULL: the link is deleted */
	const char *remote_id;
	const char *acked;			/* NULL: as it is */
	const char *acked_hash;		/* hex, of the row's document, where that is not what is acknowledged; or NULL */
	const char *wanted;			/* kept while the outcome is in doubt */
	const char *wanted_hash;
	const char *reason;
	int			doubt;
	int			attempts;
	TimestampTz next_at;		/* 0: when the row changes */
	TimestampTz gone_at;
	bool		waiting;		/* for rows that it refers to */
	const char *staged;
	const char *approval;
	List	   *refused;
	TimestampTz refused_until;
	int			refused_tries;
} ScimLinkUpdate;

extern int	scim_links_absorb(int64 sync_id, bool spread, bool *full);
extern void scim_links_add(int64 sync_id, const char *const *keys, int n);
extern void scim_links_mark(int64 sync_id, const char *const *keys, int n);
extern ScimLink *scim_links_page(int64 sync_id, const char *after, int limit, int *n);
extern Datum scim_links_full_entries(int64 sync_id);
extern void scim_links_forget_full(int64 sync_id, Datum entries);
/* "linked": not those that are new. */
extern ScimLink *scim_links_due(int64 sync_id, bool linked, int limit, const TimestampTz *from, int *n);
/* The link of a key, made if it is not there, locked; raises 55006 if a request is in flight. */
extern ScimLink *scim_link_lock(int64 sync_id, const char *key);
extern ScimLink *scim_links_by_key(int64 sync_id, const char *const *keys, int nkeys, int *n);
extern void scim_links_recover(int64 sync_id, const char *const *flying, int n);
extern void scim_attempts_forget(void);
extern void scim_links_give_up_waiting(void);
extern const char **scim_links_remote_ids(int64 sync_id, const char *const *keys, int n);
extern bool scim_links_wake_outdated(const char *server);
extern void scim_links_wake_referring(const char *server);
extern List *scim_links_partners(const ScimSync *sync, List **mappings);
extern TimestampTz scim_links_next(int64 sync_id);
extern bool scim_links_full_wanted(int64 sync_id);
extern int	scim_links_keys(int64 sync_id, bool all, const char *after, int limit, const char ***keys);
extern TimestampTz scim_attempts_held(const char *server);

/* ---- what becomes of links, and the log (provisioner_write.c) ---- */

/*
 * From here on what is written about this sync is gathered; it is written at the
 * end, which comes in the same transaction.  Otherwise each call writes at once.
 */
extern void scim_writes_gather(int64 sync_id);
extern void scim_writes_end(void);

/* Before the first request is sent; "waiting": its row refers to others that are not known at the target. */
extern void scim_link_intend(int64 sync_id, const char *key, const char *intent, bool waiting);
extern void scim_link_intend_create(int64 sync_id, const char *key, const char *wanted);
/* After the last answer: what is known now. */
extern void scim_link_store(int64 sync_id, const ScimLinkUpdate *update);
/* The key that a resource of the target belongs to, or NULL.  Knows what is gathered. */
extern const char *scim_link_of_remote(int64 sync_id, const char *remote_id);
extern const char *scim_link_of_gone(int64 sync_id, const char *key, bool drop);
extern void scim_attempt_log(int64 sync_id, const char *key, const char *action, const char *method, const char *path,
							 const ScimClientResponse *response, ScimVerdict verdict, const char *detail, TimestampTz held_until,
							 const ScimChange *change);

/* ---- decisions (provisioner_plan.c) ---- */

typedef enum ScimAction
{
	SCIM_ACTION_NONE,
	SCIM_ACTION_CREATE,			/* match, then create or update */
	SCIM_ACTION_UPDATE,
	SCIM_ACTION_DISABLE,
	SCIM_ACTION_DELETE
} ScimAction;

typedef struct ScimDecision
{
	ScimAction	action;
	ScimLinkUpdate after;		/* action NONE: what the link becomes */
	const char *method;			/* else: the request */
	const char *path;
	char	   *body;			/* or NULL */
	ScimChange	change;			/* what it changes */
	char	   *match_paths[4]; /* CREATE: queries before it, by rule; NULL: the rule has no value */
	bool		may_create;		/* CREATE: false: match only */
	bool		partial;		/* a step: more follows */
	bool		compare;		/* UPDATE: a GET tells first what the target has */
	bool		read_first;		/* PUT: the body is laid over what a GET brings */
	bool		deactivates;	/* UPDATE: the row itself says active: false now */
	bool		loses;			/* NONE: a resource that was out of use already is deleted in time */
	bool		absent;			/* CREATE: of a row that is not there any more, to see what became of a POST */
	bool		former;			/* CREATE: of a row that would be found otherwise now; likewise */
	const char *wanted;			/* document that the target has afterwards */
	const char *full;			/* UPDATE: the row's, towards which all steps lead */
	const char *created;		/* CREATE: what it has after the POST, if that is not all; or NULL */
	const char *reason;
} ScimDecision;

#define SCIM_MAX_RULES 4

extern ScimDecision *scim_decide(const ScimSyncView *view, const ScimLink *link, const ScimDocument *document,
								 TimestampTz now);
extern const char *scim_action_name(ScimAction action);

/* Make it a decision that sends nothing: the link becomes "state". */
extern ScimDecision *scim_decide_nothing(ScimDecision *decision, const ScimLink *link, const char *state,
										 const char *reason, TimestampTz next_at);

/* The request that takes a resource out of use, and the document afterwards. */
extern void scim_decide_disable(const ScimSyncView *view, const ScimLink *link, ScimDecision *decision);
/*
 * The PATCH from one document to another; false: they are the same.
 * "reactivate": say active: true besides; "most": see scim_step_towards.
 */
extern bool scim_decide_update(const ScimSyncView *view, const char *remote_id, const json_t *from, const char *to,
							   bool reactivate, int most, ScimDecision *decision);
extern char *scim_resource_path(const ScimSyncView *view, const char *remote_id);

/*
 * Has a reconcile anything to do with this link?  Its document may be NULL (not
 * read), and only hashes of the link are looked at.
 */
extern bool scim_link_needs_look(const ScimLink *link, const ScimDocument *document);

/*
 * When a document that was refused is sent again although it is the same: after
 * 6, 12, then each 24 hours; 0: not any more.
 */
extern TimestampTz scim_escrow_time(const ScimSync *sync, int attempts, TimestampTz now);

/* Hex SHA-256 of a text. */
extern char *scim_text_hash(const char *text);

#endif							/* SCIM_PROVISIONER_ENGINE_H */
