/*
 * provisioner_write.c
 *		What becomes of links, and the log: written for many rows at once.
 *
 * A transaction of the worker is about dozens of rows.  Between
 * scim_writes_gather() and scim_writes_end() what is to be written is gathered;
 * otherwise each call writes at once, in the same way.  Intents come before
 * what links become, so that of a row both may be gathered.  Whoever reads links
 * in between knows that they are as they were, but for scim_link_of_remote().
 *
 * What becomes of links is written by their keys, without a statement
 * (provisioner_row.h); the log by one.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/sha2.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "provisioner_engine.h"
#include "provisioner_row.h"

/* Before a request is sent: what it is meant to lead to. */
typedef struct Intent
{
	const char *key;
	const char *intent;
	const char *wanted;			/* document of a POST, or NULL: as it is */
	bool		begins;			/* it is the first of a row, */
	bool		waiting;		/* which refers to others that are not there yet */
} Intent;

/* Rows of the log. */
enum
{
	LOG_KEY, LOG_AT, LOG_ACTION, LOG_METHOD, LOG_PATH, LOG_STATUS, LOG_VERDICT, LOG_DETAIL, LOG_LATENCY, LOG_HELD_UNTIL,
	LOG_BEFORE, LOG_AFTER, LOG_OLD_VALUES, LOG_NEW_VALUES, LOG_COLUMNS
};

static const Oid log_types[LOG_COLUMNS] = {TEXTOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID, INT4OID, TEXTOID, TEXTOID, FLOAT8OID, TIMESTAMPTZOID,
TEXTOID, TEXTOID, TEXTOID, TEXTOID};

typedef struct Writes
{
	MemoryContext context;
	MemoryContextCallback callback;
	int64		sync_id;
	bool		gives_up;		/* one of them has no resource (any more) */
	int			nintents;
	int			intents_room;
	Intent	   *intents;
	int			nlinks;
	int			links_room;
	ScimLinkUpdate *links;
	ScimLinkRemotes *remotes;	/* links as they were written last; NULL: not looked at since */
	int			nlog;
	int			log_room;
	Datum	   *values[LOG_COLUMNS];
	bool	   *nulls[LOG_COLUMNS];
} Writes;

/* What is gathered; NULL: nothing is. */
static Writes *gathered = NULL;

/* ---- gathering ---- */

/* Its context goes with the transaction, also when that fails. */
static void
forget_writes(void *writes)
{
	if (gathered == writes)
		gathered = NULL;
}

static Writes *
begin_writes(int64 sync_id)
{
	MemoryContext context = AllocSetContextCreate(TopTransactionContext, "scim writes", ALLOCSET_DEFAULT_SIZES);
	Writes	   *writes = MemoryContextAllocZero(context, sizeof(Writes));

	writes->context = context;
	writes->sync_id = sync_id;
	writes->callback.func = forget_writes;
	writes->callback.arg = writes;
	MemoryContextRegisterResetCallback(context, &writes->callback);
	return writes;
}

/* Room for one more element of an array. */
static void *
with_room(void *array, int n, int *room, size_t size)
{
	if (n < *room)
		return array;
	*room = *room ? 2 * *room : 16;
	return array ? repalloc(array, size * *room) : palloc(size * *room);
}

static const char *
copied(const char *text)
{
	return text ? pstrdup(text) : NULL;
}

/* ---- writing links ---- */

static void
set_text(ScimLinkRows *rows, ScimLinkColumn column, const char *text)
{
	scim_link_rows_set(rows, column, text ? CStringGetTextDatum(text) : (Datum) 0, text == NULL);
}

static void
set_json(ScimLinkRows *rows, ScimLinkColumn column, const char *text)
{
	scim_link_rows_set(rows, column, text ? DirectFunctionCall1(jsonb_in, CStringGetDatum(text)) : (Datum) 0, text == NULL);
}

static void
set_time(ScimLinkRows *rows, ScimLinkColumn column, TimestampTz time)
{
	scim_link_rows_set(rows, column, TimestampTzGetDatum(time), time == 0);
}

/* A hash, given as hexadecimal digits. */
static void
set_hash(ScimLinkRows *rows, ScimLinkColumn column, const char *hex)
{
	bytea	   *hash = palloc(VARHDRSZ + PG_SHA256_DIGEST_LENGTH);

	SET_VARSIZE(hash, VARHDRSZ + PG_SHA256_DIGEST_LENGTH);
	if (hex && hex_decode(hex, strlen(hex), VARDATA(hash)) != PG_SHA256_DIGEST_LENGTH)
		elog(ERROR, "a hash has another length");
	scim_link_rows_set(rows, column, PointerGetDatum(hash), hex == NULL);
}

static void
set_list(ScimLinkRows *rows, ScimLinkColumn column, List *list)
{
	Datum	   *elements = palloc(sizeof(Datum) * Max(list_length(list), 1));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, list)
		elements[n++] = CStringGetTextDatum((const char *) lfirst(lc));
	scim_link_rows_set(rows, column, PointerGetDatum(construct_array(elements, n, TEXTOID, -1, false, TYPALIGN_INT)), list == NIL);
}

static bool
is_set(const ScimLinkRows *rows, ScimLinkColumn column)
{
	bool		isnull;
	Datum		value = scim_link_rows_get(rows, column, &isnull);

	return !isnull && DatumGetBool(value);
}

static bool
has_value(const ScimLinkRows *rows, ScimLinkColumn column)
{
	bool		isnull;

	(void) scim_link_rows_get(rows, column, &isnull);
	return !isnull;
}

/* What a request is meant to lead to; a link that was forgotten meanwhile does not come back. */
static void
write_intent(ScimLinkRows *rows, const Intent *intent, TimestampTz now)
{
	if (!scim_link_rows_find(rows, intent->key))
		return;
	set_text(rows, SCIM_LINK_INTENT, intent->intent);
	if (intent->wanted)
		set_json(rows, SCIM_LINK_WANTED, intent->wanted);
	if (intent->begins)
	{
		set_time(rows, SCIM_LINK_INTENT_AT, now);
		scim_link_rows_set(rows, SCIM_LINK_DIRTY, BoolGetDatum(false), false);
		/* so that who comes to be known meanwhile is not missed (scim_links_wake_referring) */
		scim_link_rows_set(rows, SCIM_LINK_WAITING, BoolGetDatum(intent->waiting), false);
	}
	/* what is in flight is found among what is due (scim_links_recover) */
	if (!has_value(rows, SCIM_LINK_NEXT_AT))
		set_time(rows, SCIM_LINK_NEXT_AT, now);
	set_time(rows, SCIM_LINK_CHANGED_AT, now);
	scim_link_rows_update(rows);
}

/* The resource of a link; the id of one that is lost is remembered (scim_links_wake_referring). */
static void
set_remote_id(ScimLinkRows *rows, const char *remote_id)
{
	bool		isnull;
	Datum		old = scim_link_rows_get(rows, SCIM_LINK_REMOTE_ID, &isnull);

	if (!isnull && !has_value(rows, SCIM_LINK_FORMERLY) &&
		(remote_id == NULL || strcmp(TextDatumGetCString(old), remote_id) != 0))
		scim_link_rows_set(rows, SCIM_LINK_FORMERLY, old, false);
	set_text(rows, SCIM_LINK_REMOTE_ID, remote_id);
}

static void
write_link(ScimLinkRows *rows, const ScimLinkUpdate *link, TimestampTz now)
{
	bool		again;

	if (!scim_link_rows_find(rows, link->key))
		return;
	/* a row that has changed meanwhile is due at once */
	again = is_set(rows, SCIM_LINK_DIRTY) && has_value(rows, SCIM_LINK_INTENT);
	set_text(rows, SCIM_LINK_STATE, link->state);
	set_remote_id(rows, link->remote_id);
	if (link->acked)
		set_json(rows, SCIM_LINK_ACKED, link->acked);
	if (link->acked_hash || link->acked)
		set_hash(rows, SCIM_LINK_ACKED_HASH, link->acked_hash ? link->acked_hash : scim_text_hash(link->acked));
	set_json(rows, SCIM_LINK_WANTED, link->wanted);
	set_hash(rows, SCIM_LINK_WANTED_HASH, link->wanted_hash);
	set_text(rows, SCIM_LINK_REASON, link->reason);
	scim_link_rows_set(rows, SCIM_LINK_DOUBT, Int32GetDatum(link->doubt), false);
	scim_link_rows_set(rows, SCIM_LINK_ATTEMPTS, Int32GetDatum(link->attempts), false);
	set_time(rows, SCIM_LINK_NEXT_AT, again ? now : link->next_at);
	set_time(rows, SCIM_LINK_GONE_AT, link->gone_at);
	scim_link_rows_set(rows, SCIM_LINK_WAITING, BoolGetDatum(link->waiting), false);
	if (!link->waiting)
		set_time(rows, SCIM_LINK_WAITING_SINCE, 0);
	else if (!has_value(rows, SCIM_LINK_WAITING_SINCE))
		set_time(rows, SCIM_LINK_WAITING_SINCE, now);
	set_text(rows, SCIM_LINK_STAGED, link->staged);
	set_text(rows, SCIM_LINK_APPROVAL, link->approval);
	set_list(rows, SCIM_LINK_REFUSED, link->refused);
	set_time(rows, SCIM_LINK_REFUSED_UNTIL, link->refused_until);
	scim_link_rows_set(rows, SCIM_LINK_REFUSED_TRIES, Int32GetDatum(link->refused_tries), false);
	set_text(rows, SCIM_LINK_INTENT, NULL);
	set_time(rows, SCIM_LINK_INTENT_AT, 0);
	scim_link_rows_set(rows, SCIM_LINK_DIRTY, BoolGetDatum(false), false);
	set_time(rows, SCIM_LINK_CHANGED_AT, now);
	scim_link_rows_update(rows);
}

static void
write_intents(Writes *writes)
{
	ScimLinkRows *rows;
	TimestampTz now = GetCurrentTimestamp();

	if (writes->nintents == 0)
		return;
	rows = scim_link_rows_open(writes->sync_id);
	for (int i = 0; i < writes->nintents; i++)
		write_intent(rows, &writes->intents[i], now);
	scim_link_rows_close(rows);
	writes->nintents = 0;
}

static void
write_links(Writes *writes)
{
	ScimLinkRows *rows;
	TimestampTz now = GetCurrentTimestamp();

	if (writes->nlinks == 0)
		return;
	rows = scim_link_rows_open(writes->sync_id);
	for (int i = 0; i < writes->nlinks; i++)
		write_link(rows, &writes->links[i], now);
	scim_link_rows_close(rows);
	writes->nlinks = 0;
}

/* ---- writing the log ---- */

static void
put(Writes *writes, int column, Datum value, bool isnull)
{
	writes->values[column][writes->nlog] = value;
	writes->nulls[column][writes->nlog] = isnull;
}

static void
put_text(Writes *writes, int column, const char *text)
{
	put(writes, column, text ? CStringGetTextDatum(text) : (Datum) 0, text == NULL);
}

static void
put_time(Writes *writes, int column, TimestampTz time)
{
	put(writes, column, TimestampTzGetDatum(time), time == 0);
}

static Datum
column_array(const Writes *writes, int column)
{
	int			dims[1] = {writes->nlog};
	int			bounds[1] = {1};
	int16		len;
	bool		byval;
	char		align;

	get_typlenbyvalalign(log_types[column], &len, &byval, &align);
	return PointerGetDatum(construct_md_array(writes->values[column], writes->nulls[column], 1, dims, bounds, log_types[column], len, byval, align));
}

static void
write_log(Writes *writes)
{
	Oid			types[LOG_COLUMNS + 1] = {INT8OID};
	Datum		values[LOG_COLUMNS + 1] = {Int64GetDatum(writes->sync_id)};

	if (writes->nlog == 0)
		return;
	for (int i = 0; i < LOG_COLUMNS; i++)
	{
		types[i + 1] = get_array_type(log_types[i]);
		values[i + 1] = column_array(writes, i);
	}
	if (scim_own_execute("log attempts",
						 "INSERT INTO scim._attempts (sync_id, source_key, at, action, method, path, status, verdict, detail, latency_ms, held_until,"
						 " before, after, old_values, new_values)"
						 " SELECT $1, u.key, u.at, u.action, u.method, u.path, u.status, u.verdict, u.detail, u.latency_ms, u.held_until,"
						 " u.before::pg_catalog.text[], u.after::pg_catalog.text[], u.old_values::pg_catalog.jsonb, u.new_values::pg_catalog.jsonb"
						 " FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5),"
						 " pg_catalog.unnest($6), pg_catalog.unnest($7), pg_catalog.unnest($8), pg_catalog.unnest($9), pg_catalog.unnest($10), pg_catalog.unnest($11),"
						 " pg_catalog.unnest($12), pg_catalog.unnest($13), pg_catalog.unnest($14), pg_catalog.unnest($15))"
						 " u (key, at, action, method, path, status, verdict, detail, latency_ms, held_until, before, after, old_values, new_values)",
						 LOG_COLUMNS + 1, types, values, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write scim._attempts");
	writes->nlog = 0;
}

/* They are not as they were. */
static void
forget_remotes(Writes *writes)
{
	if (writes->remotes)
		scim_link_remotes_close(writes->remotes);
	writes->remotes = NULL;
}

static void
write_all(Writes *writes)
{
	MemoryContext saved = MemoryContextSwitchTo(writes->context);

	forget_remotes(writes);
	write_intents(writes);
	write_links(writes);
	write_log(writes);
	writes->gives_up = false;
	MemoryContextSwitchTo(saved);
}

void
scim_writes_gather(int64 sync_id)
{
	gathered = begin_writes(sync_id);
}

void
scim_writes_end(void)
{
	Writes	   *writes = gathered;

	write_all(writes);
	MemoryContextDelete(writes->context);
}

/* Where a row goes: to what is gathered, or to what is written by finish(). */
static Writes *
writes_for(int64 sync_id)
{
	return gathered && gathered->sync_id == sync_id ? gathered : begin_writes(sync_id);
}

static void
finish(Writes *writes)
{
	if (writes == gathered)
		return;
	write_all(writes);
	MemoryContextDelete(writes->context);
}

/* ---- what is written ---- */

static void
intend(int64 sync_id, const char *key, const char *intent, const char *wanted, bool begins, bool waiting)
{
	Writes	   *writes = writes_for(sync_id);
	MemoryContext saved = MemoryContextSwitchTo(writes->context);
	Intent	   *last = writes->nintents > 0 ? &writes->intents[writes->nintents - 1] : NULL;

	/* what is found in the target's list, or not, goes on at once */
	if (last && strcmp(last->key, key) == 0)
	{
		last->intent = intent;
		last->wanted = copied(wanted);
	}
	else
	{
		writes->intents = with_room(writes->intents, writes->nintents, &writes->intents_room, sizeof(Intent));
		last = &writes->intents[writes->nintents++];
		last->key = pstrdup(key);
		last->intent = intent;
		last->wanted = copied(wanted);
		last->begins = begins;
		last->waiting = waiting;
	}
	MemoryContextSwitchTo(saved);
	finish(writes);
}

/* Before the first request is sent: what it is meant to lead to. */
void
scim_link_intend(int64 sync_id, const char *key, const char *intent, bool waiting)
{
	intend(sync_id, key, intent, NULL, true, waiting);
}

/* Before a POST is sent: from now on there may be a resource that is not known here. */
void
scim_link_intend_create(int64 sync_id, const char *key, const char *wanted)
{
	intend(sync_id, key, "create", wanted, false, false);
}

static void
drop_link(int64 sync_id, const char *key)
{
	Oid			types[2] = {INT8OID, TEXTOID};
	Datum		values[2] = {Int64GetDatum(sync_id), CStringGetTextDatum(key)};

	if (gathered && gathered->sync_id == sync_id)
		forget_remotes(gathered);
	/* a row that has come back meanwhile begins anew */
	if (scim_own_execute("drop link",
						 "WITH d AS (DELETE FROM scim._links WHERE sync_id OPERATOR(pg_catalog.=) $1"
						 " AND source_key OPERATOR(pg_catalog.=) $2 RETURNING dirty)"
						 " INSERT INTO scim._dirty (sync_id, keys, reason) SELECT $1, ARRAY[$2], 'update' FROM d WHERE d.dirty",
						 2, types, values, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write scim._links");
}

static List *
copied_list(List *texts)
{
	List	   *copy = NIL;
	ListCell   *lc;

	foreach(lc, texts)
		copy = lappend(copy, pstrdup((const char *) lfirst(lc)));
	return copy;
}

void
scim_link_store(int64 sync_id, const ScimLinkUpdate *update)
{
	Writes	   *writes;
	MemoryContext saved;
	ScimLinkUpdate *link;

	if (update->state == NULL)
	{
		drop_link(sync_id, update->key);
		return;
	}
	writes = writes_for(sync_id);
	saved = MemoryContextSwitchTo(writes->context);
	writes->links = with_room(writes->links, writes->nlinks, &writes->links_room, sizeof(ScimLinkUpdate));
	link = &writes->links[writes->nlinks++];
	*link = *update;
	link->key = pstrdup(update->key);
	link->state = pstrdup(update->state);
	link->remote_id = copied(update->remote_id);
	link->acked = copied(update->acked);
	link->wanted = copied(update->wanted);
	link->wanted_hash = copied(update->wanted_hash);
	link->acked_hash = copied(update->acked_hash);
	link->reason = copied(update->reason);
	link->staged = copied(update->staged);
	link->approval = copied(update->approval);
	link->refused = copied_list(update->refused);
	writes->gives_up = writes->gives_up || update->remote_id == NULL;
	MemoryContextSwitchTo(saved);
	finish(writes);
}

const char *
scim_link_of_remote(int64 sync_id, const char *remote_id)
{
	ScimLinkRemotes *remotes;
	MemoryContext saved;
	const char *key;

	if (gathered && gathered->sync_id == sync_id)
	{
		/* who may have given it up has to be written before it gets another owner */
		if (gathered->gives_up)
			write_all(gathered);
		for (int i = 0; i < gathered->nlinks; i++)
			if (strcmp(gathered->links[i].remote_id, remote_id) == 0)
				return gathered->links[i].key;
	}
	if (gathered == NULL || gathered->sync_id != sync_id)
	{
		remotes = scim_link_remotes_open(sync_id);
		key = scim_link_remotes_find(remotes, remote_id);
		scim_link_remotes_close(remotes);
		return key;
	}
	saved = MemoryContextSwitchTo(gathered->context);
	if (gathered->remotes == NULL)
		gathered->remotes = scim_link_remotes_open(sync_id);
	key = scim_link_remotes_find(gathered->remotes, remote_id);
	MemoryContextSwitchTo(saved);
	return key;
}

/*
 * The state of a link whose row is gone and that no request is about, or NULL;
 * "drop": it goes, because its resource is another row's.
 */
const char *
scim_link_of_gone(int64 sync_id, const char *key, bool drop)
{
	Oid			types[2] = {INT8OID, TEXTOID};
	Datum		values[2] = {Int64GetDatum(sync_id), CStringGetTextDatum(key)};
	int			code;

	if (gathered && gathered->sync_id == sync_id)
		write_all(gathered);
#define OF_GONE \
	" WHERE sync_id OPERATOR(pg_catalog.=) $1 AND source_key OPERATOR(pg_catalog.=) $2" \
	" AND gone_at IS NOT NULL AND intent IS NULL AND NOT dirty"
	code = drop ? scim_own_execute("drop link of gone row", "DELETE FROM scim._links" OF_GONE " RETURNING state", 2, types, values, NULL, false, 0) :
		scim_own_execute("link of gone row", "SELECT state FROM scim._links" OF_GONE, 2, types, values, NULL, false, 0);
#undef OF_GONE
	if (code != (drop ? SPI_OK_DELETE_RETURNING : SPI_OK_SELECT))
		elog(ERROR, "could not look at scim._links");
	return SPI_processed > 0 ? SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1) : NULL;
}

void
scim_attempt_log(int64 sync_id, const char *key, const char *action, const char *method, const char *path,
				 const ScimClientResponse *response, ScimVerdict verdict, const char *detail, TimestampTz held_until,
				 const ScimChange *change)
{
	Writes	   *writes = writes_for(sync_id);
	MemoryContext saved = MemoryContextSwitchTo(writes->context);
	const char *filter = strchr(path, '?');
	int			room = writes->log_room;

	for (int i = 0; i < LOG_COLUMNS; i++)
	{
		int			nulls_room = writes->log_room;

		room = writes->log_room;
		writes->values[i] = with_room(writes->values[i], writes->nlog, &room, sizeof(Datum));
		writes->nulls[i] = with_room(writes->nulls[i], writes->nlog, &nulls_room, sizeof(bool));
	}
	writes->log_room = room;
	put_text(writes, LOG_KEY, key);
	put_time(writes, LOG_AT, GetCurrentTimestamp());
	put_text(writes, LOG_ACTION, action);
	put_text(writes, LOG_METHOD, method);
	/* values of a filter are personal data */
	put_text(writes, LOG_PATH, filter ? pnstrdup(path, filter - path) : path);
	put(writes, LOG_STATUS, Int32GetDatum(response->status), response->status == 0);
	put_text(writes, LOG_VERDICT, scim_retry_verdict_name(verdict));
	put_text(writes, LOG_DETAIL, detail && detail[0] ? detail : NULL);
	put(writes, LOG_LATENCY, Float8GetDatum(response->ms), false);
	put_time(writes, LOG_HELD_UNTIL, held_until);
	put_text(writes, LOG_BEFORE, change ? change->before : NULL);
	put_text(writes, LOG_AFTER, change ? change->after : NULL);
	put_text(writes, LOG_OLD_VALUES, change ? change->old_values : NULL);
	put_text(writes, LOG_NEW_VALUES, change ? change->new_values : NULL);
	writes->nlog++;
	MemoryContextSwitchTo(saved);
	finish(writes);
}
