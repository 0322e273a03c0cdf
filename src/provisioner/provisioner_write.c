/*
 * provisioner_write.c
 *		What becomes of links, and the log: written for many rows with one
 *		statement each.
 *
 * A transaction of the worker is about dozens of rows.  Between
 * scim_writes_gather() and scim_writes_end() what is to be written is gathered;
 * otherwise each call writes at once, by the same statements.  Intents come before
 * what links become, so that of a row both may be gathered.  Whoever reads links
 * in between knows that they are as they were, but for scim_link_of_remote().
 *
 * Links are written by ON CONFLICT, not by an UPDATE that joins them with arrays: its
 * plan, made while there were few links, would go on to walk through all of a sync.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "provisioner_engine.h"

#define MAX_COLUMNS 18

/* A statement, and the rows it is to write: parameter $1 is the sync, others are arrays. */
typedef struct Rows
{
	const char *name;
	const char *sql;
	int			result;			/* of SPI */
	int			ncolumns;
	const Oid  *types;			/* of the elements */
	int			n;
	int			room;
	Datum	   *values[MAX_COLUMNS];
	bool	   *nulls[MAX_COLUMNS];
} Rows;

typedef enum WriteKind
{
	WRITE_INTENTS,
	WRITE_LINKS,
	WRITE_LOG,
	WRITE_KINDS
} WriteKind;

/* Columns of WRITE_INTENTS and WRITE_LINKS that are looked at again. */
enum { INTENT_KEY, INTENT_TEXT, INTENT_WANTED };
enum { LINK_KEY, LINK_STATE, LINK_REMOTE_ID };

typedef struct Writes
{
	MemoryContext context;
	MemoryContextCallback callback;
	int64		sync_id;
	bool		gives_up;		/* one of them has no resource (any more) */
	Rows		rows[WRITE_KINDS];
} Writes;

/* What is gathered; NULL: nothing is. */
static Writes *gathered = NULL;

static const Oid intent_types[] = {TEXTOID, TEXTOID, TEXTOID, BOOLOID};
static const Oid link_types[] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,
INT4OID, INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID, BOOLOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID};
static const Oid log_types[] = {TEXTOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID, INT4OID, TEXTOID, TEXTOID, FLOAT8OID, TIMESTAMPTZOID};

/* That it is there: a link that was forgotten meanwhile does not come back. */
#define LINK_IS_THERE \
	" WHERE (SELECT true FROM scim._links e WHERE e.sync_id OPERATOR(pg_catalog.=) $1 AND e.source_key OPERATOR(pg_catalog.=) u.key)"

static const Rows statements[WRITE_KINDS] = {
	[WRITE_INTENTS] = {
		.name = "intend", .result = SPI_OK_INSERT, .ncolumns = lengthof(intent_types), .types = intent_types,
		.sql = "INSERT INTO scim._links AS l (sync_id, source_key, intent, wanted, dirty)"
		" SELECT $1, u.key, u.intent, u.wanted::pg_catalog.jsonb, NOT u.begins"
		" FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5)) u (key, intent, wanted, begins)"
		LINK_IS_THERE
		" ON CONFLICT (sync_id, source_key) DO UPDATE SET intent = EXCLUDED.intent, wanted = coalesce(EXCLUDED.wanted, l.wanted),"
		" intent_at = CASE WHEN EXCLUDED.dirty THEN l.intent_at ELSE pg_catalog.clock_timestamp() END, dirty = l.dirty AND EXCLUDED.dirty,"
		" changed_at = pg_catalog.clock_timestamp()"
	},
	[WRITE_LINKS] = {
		.name = "store links", .result = SPI_OK_INSERT, .ncolumns = lengthof(link_types), .types = link_types,
		/* a row that has changed meanwhile is due at once */
		.sql = "INSERT INTO scim._links AS l (sync_id, source_key, state, remote_id, acked, wanted, wanted_hash, reason, doubt, attempts,"
		" next_at, gone_at, waiting, staged, approval, acked_hash, refused, refused_until)"
		" SELECT $1, u.key, u.state, u.remote_id, u.acked::pg_catalog.jsonb, u.wanted::pg_catalog.jsonb, pg_catalog.decode(u.wanted_hash, 'hex'), u.reason,"
		" u.doubt, u.attempts, u.next_at, u.gone_at, u.waiting, u.staged, u.approval, pg_catalog.decode(u.acked_hash, 'hex'),"
		" u.refused::pg_catalog.text[], u.refused_until"
		" FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5), pg_catalog.unnest($6),"
		" pg_catalog.unnest($7), pg_catalog.unnest($8), pg_catalog.unnest($9), pg_catalog.unnest($10), pg_catalog.unnest($11),"
		" pg_catalog.unnest($12), pg_catalog.unnest($13), pg_catalog.unnest($14), pg_catalog.unnest($15), pg_catalog.unnest($16),"
		" pg_catalog.unnest($17), pg_catalog.unnest($18))"
		" u (key, state, remote_id, acked, wanted, wanted_hash, reason, doubt, attempts, next_at, gone_at, waiting, staged, approval,"
		" acked_hash, refused, refused_until)"
		LINK_IS_THERE
		" ON CONFLICT (sync_id, source_key) DO UPDATE SET state = EXCLUDED.state, remote_id = EXCLUDED.remote_id,"
		" formerly = CASE WHEN EXCLUDED.remote_id IS DISTINCT FROM l.remote_id THEN coalesce(l.formerly, l.remote_id) ELSE l.formerly END,"
		" acked = coalesce(EXCLUDED.acked, l.acked), acked_hash = CASE WHEN EXCLUDED.acked IS NULL THEN l.acked_hash ELSE EXCLUDED.acked_hash END,"
		" wanted = EXCLUDED.wanted, wanted_hash = EXCLUDED.wanted_hash, reason = EXCLUDED.reason, doubt = EXCLUDED.doubt, attempts = EXCLUDED.attempts,"
		" next_at = CASE WHEN l.dirty AND l.intent IS NOT NULL THEN pg_catalog.clock_timestamp() ELSE EXCLUDED.next_at END,"
		" gone_at = EXCLUDED.gone_at, waiting = EXCLUDED.waiting,"
		" waiting_since = CASE WHEN EXCLUDED.waiting THEN coalesce(l.waiting_since, pg_catalog.clock_timestamp()) END, staged = EXCLUDED.staged, approval = EXCLUDED.approval,"
		" refused = EXCLUDED.refused, refused_until = EXCLUDED.refused_until,"
		" intent = NULL, intent_at = NULL, dirty = false, changed_at = pg_catalog.clock_timestamp()"
	},
	[WRITE_LOG] = {
		.name = "log attempts", .result = SPI_OK_INSERT, .ncolumns = lengthof(log_types), .types = log_types,
		.sql = "INSERT INTO scim._attempts (sync_id, source_key, at, action, method, path, status, verdict, detail, latency_ms, held_until)"
		" SELECT $1, u.* FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5),"
		" pg_catalog.unnest($6), pg_catalog.unnest($7), pg_catalog.unnest($8), pg_catalog.unnest($9), pg_catalog.unnest($10), pg_catalog.unnest($11)) u"
	},
};

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
	memcpy(writes->rows, statements, sizeof(statements));
	writes->callback.func = forget_writes;
	writes->callback.arg = writes;
	MemoryContextRegisterResetCallback(context, &writes->callback);
	return writes;
}

/* Room for another row; its index. */
static int
add_row(Rows *rows)
{
	if (rows->n == rows->room)
	{
		int			room = rows->room ? 2 * rows->room : 16;

		for (int i = 0; i < rows->ncolumns; i++)
		{
			rows->values[i] = rows->room ? repalloc(rows->values[i], sizeof(Datum) * room) : palloc(sizeof(Datum) * room);
			rows->nulls[i] = rows->room ? repalloc(rows->nulls[i], sizeof(bool) * room) : palloc(sizeof(bool) * room);
		}
		rows->room = room;
	}
	return rows->n++;
}

static void
put(Rows *rows, int row, int column, Datum value, bool isnull)
{
	rows->values[column][row] = value;
	rows->nulls[column][row] = isnull;
}

static void
put_text(Rows *rows, int row, int column, const char *text)
{
	put(rows, row, column, text ? CStringGetTextDatum(text) : (Datum) 0, text == NULL);
}

static void
put_time(Rows *rows, int row, int column, TimestampTz time)
{
	put(rows, row, column, TimestampTzGetDatum(time), time == 0);
}

/* ---- writing ---- */

static Datum
column_array(const Rows *rows, int column)
{
	int			dims[1] = {rows->n};
	int			bounds[1] = {1};
	int16		len;
	bool		byval;
	char		align;

	get_typlenbyvalalign(rows->types[column], &len, &byval, &align);
	return PointerGetDatum(construct_md_array(rows->values[column], rows->nulls[column], 1, dims, bounds, rows->types[column], len, byval, align));
}

static void
write_rows(int64 sync_id, Rows *rows)
{
	Oid			types[MAX_COLUMNS + 1] = {INT8OID};
	Datum		values[MAX_COLUMNS + 1] = {Int64GetDatum(sync_id)};
	int			code;

	if (rows->n == 0)
		return;
	for (int i = 0; i < rows->ncolumns; i++)
	{
		types[i + 1] = get_array_type(rows->types[i]);
		values[i + 1] = column_array(rows, i);
	}
	code = scim_own_execute(rows->name, rows->sql, rows->ncolumns + 1, types, values, NULL, false, 0);
	if (code != rows->result)
		elog(ERROR, "%s failed: %s", rows->name, SPI_result_code_string(code));
	rows->n = 0;
}

static void
write_all(Writes *writes)
{
	MemoryContext saved = MemoryContextSwitchTo(writes->context);

	for (int i = 0; i < WRITE_KINDS; i++)
		write_rows(writes->sync_id, &writes->rows[i]);
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
intend(int64 sync_id, const char *key, const char *intent, const char *wanted, bool begins)
{
	Writes	   *writes = writes_for(sync_id);
	MemoryContext saved = MemoryContextSwitchTo(writes->context);
	Rows	   *rows = &writes->rows[WRITE_INTENTS];
	int			last = rows->n - 1;

	/* what is found in the target's list, or not, goes on at once */
	if (last >= 0 && strcmp(TextDatumGetCString(rows->values[INTENT_KEY][last]), key) == 0)
	{
		put_text(rows, last, INTENT_TEXT, intent);
		put_text(rows, last, INTENT_WANTED, wanted);
	}
	else
	{
		int			i = add_row(rows);

		put_text(rows, i, INTENT_KEY, key);
		put_text(rows, i, INTENT_TEXT, intent);
		put_text(rows, i, INTENT_WANTED, wanted);
		put(rows, i, INTENT_WANTED + 1, BoolGetDatum(begins), false);
	}
	MemoryContextSwitchTo(saved);
	finish(writes);
}

/* Before the first request is sent: what it is meant to lead to. */
void
scim_link_intend(int64 sync_id, const char *key, const char *intent)
{
	intend(sync_id, key, intent, NULL, true);
}

/* Before a POST is sent: from now on there may be a resource that is not known here. */
void
scim_link_intend_create(int64 sync_id, const char *key, const char *wanted)
{
	intend(sync_id, key, "create", wanted, false);
}

static void
drop_link(int64 sync_id, const char *key)
{
	Oid			types[2] = {INT8OID, TEXTOID};
	Datum		values[2] = {Int64GetDatum(sync_id), CStringGetTextDatum(key)};

	/* a row that has come back meanwhile begins anew */
	if (scim_own_execute("drop link",
						 "WITH d AS (DELETE FROM scim._links WHERE sync_id OPERATOR(pg_catalog.=) $1"
						 " AND source_key OPERATOR(pg_catalog.=) $2 RETURNING dirty)"
						 " INSERT INTO scim._dirty (sync_id, keys, reason) SELECT $1, ARRAY[$2], 'update' FROM d WHERE d.dirty",
						 2, types, values, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write scim._links");
}

/* "{a,b}" */
static char *
list_text(List *list)
{
	Datum	   *elements = palloc(sizeof(Datum) * list_length(list));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, list)
		elements[n++] = CStringGetTextDatum((const char *) lfirst(lc));
	return OidOutputFunctionCall(F_ARRAY_OUT, PointerGetDatum(construct_array(elements, n, TEXTOID, -1, false, TYPALIGN_INT)));
}

void
scim_link_store(int64 sync_id, const ScimLinkUpdate *update)
{
	Writes	   *writes;
	MemoryContext saved;
	Rows	   *rows;
	int			row;
	int			column = 0;

	if (update->state == NULL)
	{
		drop_link(sync_id, update->key);
		return;
	}
	writes = writes_for(sync_id);
	saved = MemoryContextSwitchTo(writes->context);
	rows = &writes->rows[WRITE_LINKS];
	row = add_row(rows);
	put_text(rows, row, column++, update->key);
	put_text(rows, row, column++, update->state);
	put_text(rows, row, column++, update->remote_id);
	put_text(rows, row, column++, update->acked);
	put_text(rows, row, column++, update->wanted);
	put_text(rows, row, column++, update->wanted_hash);
	put_text(rows, row, column++, update->reason);
	put(rows, row, column++, Int32GetDatum(update->doubt), false);
	put(rows, row, column++, Int32GetDatum(update->attempts), false);
	put_time(rows, row, column++, update->next_at);
	put_time(rows, row, column++, update->gone_at);
	put(rows, row, column++, BoolGetDatum(update->waiting), false);
	put_text(rows, row, column++, update->staged);
	put_text(rows, row, column++, update->approval);
	put_text(rows, row, column++, update->acked ? scim_text_hash(update->acked) : NULL);
	put_text(rows, row, column++, update->refused ? list_text(update->refused) : NULL);
	put_time(rows, row, column++, update->refused_until);
	writes->gives_up = writes->gives_up || update->remote_id == NULL;
	MemoryContextSwitchTo(saved);
	finish(writes);
}

const char *
scim_link_of_remote(int64 sync_id, const char *remote_id)
{
	Oid			types[2] = {INT8OID, TEXTOID};
	Datum		values[2] = {Int64GetDatum(sync_id), CStringGetTextDatum(remote_id)};

	if (gathered && gathered->sync_id == sync_id)
	{
		const Rows *rows = &gathered->rows[WRITE_LINKS];

		/* who may have given it up has to be written before it gets another owner */
		if (gathered->gives_up)
			write_all(gathered);
		for (int i = 0; i < rows->n; i++)
			if (strcmp(TextDatumGetCString(rows->values[LINK_REMOTE_ID][i]), remote_id) == 0)
				return TextDatumGetCString(rows->values[LINK_KEY][i]);
	}
	if (scim_own_execute("link of remote",
						 "SELECT source_key FROM scim._links WHERE sync_id OPERATOR(pg_catalog.=) $1"
						 " AND remote_id OPERATOR(pg_catalog.=) $2",
						 2, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read scim._links");
	return SPI_processed > 0 ? SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1) : NULL;
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
				 const ScimClientResponse *response, ScimVerdict verdict, const char *detail, TimestampTz held_until)
{
	Writes	   *writes = writes_for(sync_id);
	MemoryContext saved = MemoryContextSwitchTo(writes->context);
	Rows	   *rows = &writes->rows[WRITE_LOG];
	const char *filter = strchr(path, '?');
	int			row = add_row(rows);
	int			column = 0;

	put_text(rows, row, column++, key);
	put_time(rows, row, column++, GetCurrentTimestamp());
	put_text(rows, row, column++, action);
	put_text(rows, row, column++, method);
	/* values of a filter are personal data */
	put_text(rows, row, column++, filter ? pnstrdup(path, filter - path) : path);
	put(rows, row, column++, Int32GetDatum(response->status), response->status == 0);
	put_text(rows, row, column++, scim_retry_verdict_name(verdict));
	put_text(rows, row, column++, detail && detail[0] ? detail : NULL);
	put(rows, row, column++, Float8GetDatum(response->ms), false);
	put_time(rows, row, column++, held_until);
	MemoryContextSwitchTo(saved);
	finish(writes);
}
