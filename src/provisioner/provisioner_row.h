/*
 * provisioner_row.h
 *		Links, one at a time by their keys, without a statement.
 */
#ifndef SCIM_PROVISIONER_ROW_H
#define SCIM_PROVISIONER_ROW_H

/* Columns of scim._links that are written like this. */
typedef enum ScimLinkColumn
{
	SCIM_LINK_SYNC_ID,
	SCIM_LINK_SOURCE_KEY,
	SCIM_LINK_REMOTE_ID,
	SCIM_LINK_FORMERLY,
	SCIM_LINK_STATE,
	SCIM_LINK_REASON,
	SCIM_LINK_ACKED,
	SCIM_LINK_ACKED_HASH,
	SCIM_LINK_WANTED,
	SCIM_LINK_WANTED_HASH,
	SCIM_LINK_LANE,
	SCIM_LINK_INTENT,
	SCIM_LINK_INTENT_AT,
	SCIM_LINK_DIRTY,
	SCIM_LINK_WAITING,
	SCIM_LINK_WAITING_SINCE,
	SCIM_LINK_DOUBT,
	SCIM_LINK_ATTEMPTS,
	SCIM_LINK_NEXT_AT,
	SCIM_LINK_GONE_AT,
	SCIM_LINK_STAGED,
	SCIM_LINK_APPROVAL,
	SCIM_LINK_REFUSED,
	SCIM_LINK_REFUSED_UNTIL,
	SCIM_LINK_REFUSED_TRIES,
	SCIM_LINK_CHANGED_AT,
	SCIM_LINK_COLUMNS
} ScimLinkColumn;

typedef struct ScimLinkRows ScimLinkRows;

/*
 * The links of a sync, as this transaction has made them so far; in the current
 * memory context.  To be closed in the same transaction, before anything else is
 * written.
 */
extern ScimLinkRows *scim_link_rows_open(int64 sync_id);
extern void scim_link_rows_close(ScimLinkRows *rows);

/* Is there a link of a key? */
extern bool scim_link_rows_have(ScimLinkRows *rows, const char *key);

/*
 * Find the link of a key, and lock it as an UPDATE does; false: there is none.
 * Raises 40001 if somebody has changed it behind the transaction's snapshot.
 */
extern bool scim_link_rows_find(ScimLinkRows *rows, const char *key);

/* A new one with this key, and with what links begin with. */
extern void scim_link_rows_new(ScimLinkRows *rows, const char *key);

/* What is in a column, and what is to be in it: of the link that was found, or is new. */
extern Datum scim_link_rows_get(const ScimLinkRows *rows, ScimLinkColumn column, bool *isnull);
extern void scim_link_rows_set(ScimLinkRows *rows, ScimLinkColumn column, Datum value, bool isnull);

/* Write what was set: of a link that was found, of one that is new. */
extern void scim_link_rows_update(ScimLinkRows *rows);
extern void scim_link_rows_insert(ScimLinkRows *rows);

/*
 * Links by their resources, as this transaction has made them up to here; all in
 * the same memory context.  The key of the link with a resource, or NULL.
 */
typedef struct ScimLinkRemotes ScimLinkRemotes;

extern ScimLinkRemotes *scim_link_remotes_open(int64 sync_id);
extern const char *scim_link_remotes_find(ScimLinkRemotes *remotes, const char *remote_id);
extern void scim_link_remotes_close(ScimLinkRemotes *remotes);

#endif							/* SCIM_PROVISIONER_ROW_H */
