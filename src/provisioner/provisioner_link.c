/*
 * provisioner_link.c
 *		Fixed statements on the queue, the links and the log (what becomes of links:
 *		provisioner_write.c).
 *
 * All run as the owner of these tables (scim_own_execute), in the transaction
 * and the snapshot of whoever calls.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/timestamp.h"

#include "provisioner_engine.h"
#include "provisioner_row.h"
#include "../scim_guc.h"

/* Entries of the queue that one transaction takes, and keys in them but for the last. */
#define MAX_QUEUE_ENTRIES 1000
#define MAX_QUEUE_KEYS 8000

static Datum
text_array(const char *const *values, int n)
{
	Datum	   *elements = palloc(sizeof(Datum) * Max(n, 1));

	for (int i = 0; i < n; i++)
		elements[i] = CStringGetTextDatum(values[i]);
	return PointerGetDatum(construct_array(elements, n, TEXTOID, -1, false, TYPALIGN_INT));
}

static Datum
text_or_null(const char *value, char *isnull)
{
	*isnull = value == NULL ? 'n' : ' ';
	return value == NULL ? (Datum) 0 : CStringGetTextDatum(value);
}

/* Text of a column of the i-th row, in the current context; NULL. */
static const char *
row_text(int i, int column)
{
	return SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, column);
}

static Datum
row_datum(int i, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, column, isnull);
}

static int
execute(const char *key, const char *sql, int nargs, const Oid *types, Datum *values, const char *nulls, int expected)
{
	int			code = scim_own_execute(key, sql, nargs, types, values, nulls, false, 0);

	if (code != expected)
		elog(ERROR, "%s failed: %s", key, SPI_result_code_string(code));
	return (int) SPI_processed;
}

/*
 * Take entries off the queue and make the links of their rows due, also of
 * rows that have none yet.  Exactly the entries that were read go: what is
 * committed meanwhile stays.  "spread": rows that a link was made of besides its
 * own count as well.  Returns how many; *full: one of those that stay
 * says that all rows are to be looked at.
 */
int
scim_links_absorb(int64 sync_id, bool spread, bool *full)
{
	Oid			read_types[2] = {INT8OID, INT8OID};
	Datum		read_values[2] = {Int64GetDatum(sync_id), Int64GetDatum(MAX_QUEUE_ENTRIES)};
	Oid			types[2] = {INT8OID, INT8ARRAYOID};
	Datum		values[2];
	Datum		ids[MAX_QUEUE_ENTRIES];
	int64		keys = 0;
	int			n;
	int			taken = 0;

	*full = scim_links_full_wanted(sync_id);
	n = execute("read the queue",
				"SELECT id, pg_catalog.cardinality(keys) FROM scim._dirty WHERE sync_id OPERATOR(pg_catalog.=) $1"
				" AND keys IS NOT NULL ORDER BY sync_id, id LIMIT $2",
				2, read_types, read_values, NULL, SPI_OK_SELECT);
	while (taken < n && keys < MAX_QUEUE_KEYS)
	{
		bool		isnull;

		keys += DatumGetInt32(row_datum(taken, 2, &isnull));
		ids[taken] = Int64GetDatum(DatumGetInt64(row_datum(taken, 1, &isnull)));
		taken++;
	}
	if (taken == 0)
		return 0;

	values[0] = Int64GetDatum(sync_id);
	values[1] = PointerGetDatum(construct_array(ids, taken, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	if (spread)
		scim_nests_spread(sync_id, values[1]);
	(void) execute("absorb the queue",
				   "WITH d AS (DELETE FROM scim._dirty WHERE sync_id OPERATOR(pg_catalog.=) $1 AND id OPERATOR(pg_catalog.=) ANY ($2) RETURNING keys, reason)"
				   " INSERT INTO scim._links AS l (sync_id, source_key, next_at, lane)"
				   " SELECT $1, k, pg_catalog.clock_timestamp(), pg_catalog.min(CASE d.reason WHEN 'delete' THEN 0 ELSE 2 END)"
				   " FROM d, pg_catalog.unnest(d.keys) k GROUP BY k"
				   " ON CONFLICT (sync_id, source_key) DO UPDATE SET"
				   " lane = CASE WHEN l.remote_id IS NULL THEN 2 WHEN EXCLUDED.lane OPERATOR(pg_catalog.=) 0 THEN 0 ELSE 1 END,"
				   " dirty = l.intent IS NOT NULL OR l.state OPERATOR(pg_catalog.=) 'parked',"
				   " next_at = CASE WHEN l.intent IS NULL THEN EXCLUDED.next_at ELSE l.next_at END",
				   2, types, values, NULL, SPI_OK_INSERT);
	return taken;
}

/* Make links for rows that have none. */
void
scim_links_add(int64 sync_id, const char *const *keys, int n)
{
	ScimLinkRows *rows = scim_link_rows_open(sync_id);

	for (int i = 0; i < n; i++)
	{
		/* a view may have a key twice */
		if ((i > 0 && strcmp(keys[i], keys[i - 1]) == 0) || scim_link_rows_have(rows, keys[i]))
			continue;
		scim_link_rows_new(rows, keys[i]);
		scim_link_rows_insert(rows);
	}
	scim_link_rows_close(rows);
}

/* Make some links due, in the lane of changes. */
void
scim_links_mark(int64 sync_id, const char *const *keys, int n)
{
	Oid			types[2] = {INT8OID, TEXTARRAYOID};
	Datum		values[2] = {Int64GetDatum(sync_id), text_array(keys, n)};

	(void) execute("mark links",
				   "UPDATE scim._links SET lane = 1, dirty = intent IS NOT NULL OR state OPERATOR(pg_catalog.=) 'parked',"
				   " next_at = CASE WHEN intent IS NULL THEN pg_catalog.clock_timestamp() ELSE next_at END"
				   " WHERE sync_id OPERATOR(pg_catalog.=) $1 AND source_key OPERATOR(pg_catalog.=) ANY ($2)",
				   2, types, values, NULL, SPI_OK_UPDATE);
}

/* Entries of the queue that ask for all rows, as an array of their ids. */
Datum
scim_links_full_entries(int64 sync_id)
{
	Oid			types[1] = {INT8OID};
	Datum		values[1] = {Int64GetDatum(sync_id)};
	bool		isnull;

	(void) execute("full entries",
				   "SELECT coalesce(pg_catalog.array_agg(id), '{}') FROM scim._dirty"
				   " WHERE sync_id OPERATOR(pg_catalog.=) $1 AND keys IS NULL",
				   1, types, values, NULL, SPI_OK_SELECT);
	return datumCopy(row_datum(0, 1, &isnull), false, -1);
}

/* They are served.  (One that came meanwhile is about rows that were looked at before it.) */
void
scim_links_forget_full(int64 sync_id, Datum entries)
{
	Oid			types[2] = {INT8OID, INT8ARRAYOID};
	Datum		values[2] = {Int64GetDatum(sync_id), entries};

	(void) execute("forget full",
				   "DELETE FROM scim._dirty WHERE sync_id OPERATOR(pg_catalog.=) $1 AND id OPERATOR(pg_catalog.=) ANY ($2)",
				   2, types, values, NULL, SPI_OK_DELETE);
}

#define LINK_COLUMNS \
	"source_key, remote_id, state, acked::pg_catalog.text, wanted::pg_catalog.text," \
	" pg_catalog.encode(acked_hash, 'hex'), pg_catalog.encode(wanted_hash, 'hex'), doubt, attempts, gone_at, dirty, staged, approval, reason," \
	" refused, refused_until, refused_tries, lane, next_at"

/* A column of text[] as a list of char *. */
static List *
row_list(int i, int column)
{
	bool		isnull;
	Datum		array = row_datum(i, column, &isnull);
	Datum	   *elements;
	int			n;
	List	   *list = NIL;

	if (isnull)
		return NIL;
	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, &n);
	for (int j = 0; j < n; j++)
		list = lappend(list, TextDatumGetCString(elements[j]));
	return list;
}

static ScimLink *
collect_links(int n)
{
	ScimLink   *links = palloc0(sizeof(ScimLink) * Max(n, 1));

	for (int i = 0; i < n; i++)
	{
		bool		isnull;
		Datum		gone_at;
		Datum		refused_until;
		Datum		next_at;

		links[i].key = row_text(i, 1);
		links[i].remote_id = row_text(i, 2);
		links[i].state = row_text(i, 3);
		links[i].acked = row_text(i, 4);
		links[i].wanted = row_text(i, 5);
		links[i].acked_hash = row_text(i, 6);
		links[i].wanted_hash = row_text(i, 7);
		links[i].doubt = DatumGetInt32(row_datum(i, 8, &isnull));
		links[i].attempts = DatumGetInt32(row_datum(i, 9, &isnull));
		gone_at = row_datum(i, 10, &isnull);
		links[i].gone_at = isnull ? 0 : DatumGetTimestampTz(gone_at);
		links[i].dirty = DatumGetBool(row_datum(i, 11, &isnull));
		links[i].staged = row_text(i, 12);
		links[i].approval = row_text(i, 13);
		links[i].reason = row_text(i, 14);
		links[i].refused = row_list(i, 15);
		refused_until = row_datum(i, 16, &isnull);
		links[i].refused_until = isnull ? 0 : DatumGetTimestampTz(refused_until);
		links[i].refused_tries = DatumGetInt32(row_datum(i, 17, &isnull));
		links[i].lane = DatumGetInt16(row_datum(i, 18, &isnull));
		next_at = row_datum(i, 19, &isnull);
		links[i].next_at = isnull ? 0 : DatumGetTimestampTz(next_at);
	}
	return links;
}

/*
 * Links that are due and have no request in flight: what is gone before what
 * has changed before what is new, the longest waiting first, of each lane those
 * that are due from a time on (0: any).
 */
ScimLink *
scim_links_due(int64 sync_id, bool linked, int limit, const TimestampTz *from, int *n)
{
	Oid			types[4] = {INT8OID, INT2OID, INT8OID, TIMESTAMPTZOID};
	ScimLink   *links = palloc(sizeof(ScimLink) * Max(limit, 1));

	*n = 0;
	for (int lane = 0; lane < (linked ? SCIM_LANES - 1 : SCIM_LANES) && *n < limit; lane++)
	{
		Datum		values[4] = {Int64GetDatum(sync_id), Int16GetDatum(lane), Int64GetDatum(limit - *n),
		TimestampTzGetDatum(from[lane] == 0 ? DT_NOBEGIN : from[lane])};
		int			found = execute("due links",
									"SELECT " LINK_COLUMNS " FROM scim._links WHERE sync_id OPERATOR(pg_catalog.=) $1"
									" AND lane OPERATOR(pg_catalog.=) $2"
									" AND next_at OPERATOR(pg_catalog.<=) pg_catalog.clock_timestamp() AND next_at OPERATOR(pg_catalog.>=) $4"
									" AND intent IS NULL ORDER BY next_at LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED",
									4, types, values, NULL, SPI_OK_SELECT);

		memcpy(links + *n, collect_links(found), sizeof(ScimLink) * found);
		*n += found;
	}
	return links;
}

/*
 * What a reconcile has to know of links, by pages in the order of their keys:
 * no documents, only their hashes.
 */
ScimLink *
scim_links_page(int64 sync_id, const char *after, int limit, int *n)
{
	Oid			types[3] = {INT8OID, TEXTOID, INT8OID};
	Datum		values[3];
	char		nulls[3] = {' ', ' ', ' '};
	ScimLink   *links;

	values[0] = Int64GetDatum(sync_id);
	values[1] = text_or_null(after, &nulls[1]);
	values[2] = Int64GetDatum(limit);
	*n = execute("page of links",
				 "SELECT source_key, remote_id, state, pg_catalog.encode(acked_hash, 'hex'), pg_catalog.encode(wanted_hash, 'hex'), waiting"
				 " FROM scim._links WHERE sync_id OPERATOR(pg_catalog.=) $1 AND source_key OPERATOR(pg_catalog.>) coalesce($2, '')"
				 " ORDER BY source_key LIMIT $3",
				 3, types, values, nulls, SPI_OK_SELECT);
	links = palloc0(sizeof(ScimLink) * Max(*n, 1));
	for (int i = 0; i < *n; i++)
	{
		bool		isnull;

		links[i].key = row_text(i, 1);
		links[i].remote_id = row_text(i, 2);
		links[i].state = row_text(i, 3);
		links[i].acked_hash = row_text(i, 4);
		links[i].wanted_hash = row_text(i, 5);
		links[i].waiting = DatumGetBool(row_datum(i, 6, &isnull));
	}
	return links;
}

/* Links of some keys, those that exist, in no order. */
ScimLink *
scim_links_by_key(int64 sync_id, const char *const *keys, int nkeys, int *n)
{
	Oid			types[2] = {INT8OID, TEXTARRAYOID};
	Datum		values[2] = {Int64GetDatum(sync_id), text_array(keys, nkeys)};

	*n = execute("links by key",
				 "SELECT " LINK_COLUMNS " FROM scim._links WHERE sync_id OPERATOR(pg_catalog.=) $1"
				 " AND source_key OPERATOR(pg_catalog.=) ANY ($2)",
				 2, types, values, NULL, SPI_OK_SELECT);
	return collect_links(*n);
}

ScimLink *
scim_link_lock(int64 sync_id, const char *key)
{
	Oid			types[2] = {INT8OID, TEXTOID};
	Datum		values[2] = {Int64GetDatum(sync_id), CStringGetTextDatum(key)};
	ScimLink   *link;

	(void) execute("add link", "INSERT INTO scim._links (sync_id, source_key, next_at) VALUES ($1, $2, pg_catalog.clock_timestamp())"
				   " ON CONFLICT DO NOTHING",
				   2, types, values, NULL, SPI_OK_INSERT);
	if (execute("lock link",
				"SELECT " LINK_COLUMNS " FROM scim._links WHERE sync_id OPERATOR(pg_catalog.=) $1"
				" AND source_key OPERATOR(pg_catalog.=) $2 AND intent IS NULL FOR NO KEY UPDATE SKIP LOCKED",
				2, types, values, NULL, SPI_OK_SELECT) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("a request for the row with key %s is in flight", key),
				 errhint("Try again in a moment.")));
	link = collect_links(1);
	return link;
}

/*
 * Whoever sent the requests in flight is gone, and nobody knows what became of
 * them: they are looked at again; nothing is created before the target has said
 * three times that it is not there, and what was being changed is read first.
 * But for those in "flying", whose requests this process waits for.
 */
void
scim_links_recover(int64 sync_id, const char *const *flying, int n)
{
	Oid			types[2] = {INT8OID, TEXTARRAYOID};
	Datum		values[2] = {Int64GetDatum(sync_id), text_array(flying, n)};

	(void) execute("recover links",
				   "UPDATE scim._links SET doubt = CASE WHEN intent OPERATOR(pg_catalog.=) 'create' THEN 3"
				   " WHEN remote_id IS NOT NULL THEN GREATEST(doubt, 1) ELSE doubt END,"
				   " intent = NULL, intent_at = NULL, dirty = false, next_at = pg_catalog.clock_timestamp()"
				   " WHERE sync_id OPERATOR(pg_catalog.=) $1 AND next_at IS NOT NULL AND intent IS NOT NULL"
				   " AND source_key OPERATOR(pg_catalog.<>) ALL ($2)",
				   2, types, values, NULL, SPI_OK_UPDATE);
}

/* ids at the target of some keys, in their order; NULL: none is known. */
const char **
scim_links_remote_ids(int64 sync_id, const char *const *keys, int n)
{
	Oid			types[2] = {INT8OID, TEXTARRAYOID};
	Datum		values[2] = {Int64GetDatum(sync_id), text_array(keys, n)};
	const char **ids = palloc(sizeof(char *) * Max(n, 1));

	(void) execute("remote ids",
				   "SELECT l.remote_id FROM pg_catalog.unnest($2) WITH ORDINALITY u(k, n)"
				   " LEFT JOIN scim._links l ON l.sync_id OPERATOR(pg_catalog.=) $1 AND l.source_key OPERATOR(pg_catalog.=) u.k"
				   " ORDER BY u.n",
				   2, types, values, NULL, SPI_OK_SELECT);
	for (int i = 0; i < n; i++)
		ids[i] = row_text(i, 1);
	return ids;
}

/* Rows of all syncs to a server, in a moment: together with what else comes meanwhile. */
#define LINKS_OF_SERVER \
	" FROM scim._syncs s WHERE s.server OPERATOR(pg_catalog.=) $1 AND l.sync_id OPERATOR(pg_catalog.=) s.id"
#define IN_A_MOMENT "(pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) interval '1 second')"

/* Rows whose resource was lost and that have another by now, or will have none (as the index says it). */
#define LINK_IS_OUTDATED "l.formerly IS NOT NULL AND (l.remote_id IS NOT NULL OR l.state OPERATOR(pg_catalog.<>) 'pending')"

/*
 * Rows that have another resource than before, or none any more: whatever was sent
 * with the old id is looked at again, and whatever is in flight may have it.  Says
 * whether there are such rows.
 */
bool
scim_links_wake_outdated(const char *server)
{
	Oid			types[2] = {TEXTOID, TEXTARRAYOID};
	Datum		values[2] = {CStringGetTextDatum(server)};
	const char **ids;
	int			n = execute("changed ids",
							"SELECT l.formerly, (l.formerly OPERATOR(pg_catalog.<>) l.remote_id) IS NOT FALSE FROM scim._links l, scim._syncs s"
							" WHERE s.server OPERATOR(pg_catalog.=) $1 AND l.sync_id OPERATOR(pg_catalog.=) s.id AND " LINK_IS_OUTDATED,
							1, types, values, NULL, SPI_OK_SELECT);
	int			nchanged = 0;

	if (n == 0)
		return false;
	ids = palloc(sizeof(char *) * n);
	for (int i = 0; i < n; i++)
		ids[i] = row_text(i, 1);
	values[1] = text_array(ids, n);
	for (int i = 0; i < n; i++)
	{
		bool		isnull;

		if (DatumGetBool(row_datum(i, 2, &isnull)))
			ids[nchanged++] = ids[i];
	}
	(void) execute("forget former ids",
				   "UPDATE scim._links l SET formerly = NULL" LINKS_OF_SERVER
				   " AND l.formerly OPERATOR(pg_catalog.=) ANY ($2) AND " LINK_IS_OUTDATED,
				   2, types, values, NULL, SPI_OK_UPDATE);
	if (nchanged == 0)
		return false;
	values[1] = text_array(ids, nchanged);
	(void) execute("wake outdated",
				   "UPDATE scim._links l SET dirty = l.intent IS NOT NULL OR l.state OPERATOR(pg_catalog.=) 'parked',"
				   " lane = CASE WHEN l.remote_id IS NULL THEN l.lane ELSE 1 END,"
				   " next_at = CASE WHEN l.intent IS NULL THEN " IN_A_MOMENT " ELSE l.next_at END" LINKS_OF_SERVER
				   " AND (l.intent IS NOT NULL OR pg_catalog.jsonb_path_exists(l.acked, '$.**.value ? (@ == $ids[*])',"
				   " pg_catalog.jsonb_build_object('ids', pg_catalog.to_jsonb($2))))",
				   2, types, values, NULL, SPI_OK_UPDATE);
	return true;
}

/*
 * Rows have come to be known at the target: those that wait for such a row, and
 * those that know it by another id, are looked at again.
 */
void
scim_links_wake_referring(const char *server)
{
	Oid			types[1] = {TEXTOID};
	Datum		values[1] = {CStringGetTextDatum(server)};

	(void) scim_links_wake_outdated(server);
	(void) execute("wake waiting",
				   "UPDATE scim._links l SET dirty = l.dirty OR l.intent IS NOT NULL,"
				   " next_at = CASE WHEN l.intent IS NULL THEN " IN_A_MOMENT " ELSE l.next_at END" LINKS_OF_SERVER " AND l.waiting"
				   " AND CASE WHEN l.intent IS NOT NULL THEN NOT l.dirty ELSE l.next_at IS NULL OR l.next_at OPERATOR(pg_catalog.>) " IN_A_MOMENT " END",
				   1, types, values, NULL, SPI_OK_UPDATE);
}

/*
 * Other syncs to the same server, whose resources this sync's may refer to: a
 * ScimReferee for each further resource type, and the names of their mappings.
 */
List *
scim_links_partners(const ScimSync *sync, List **mappings)
{
	Oid			types[3] = {TEXTOID, INT8OID, OIDOID};
	Datum		values[3] = {CStringGetTextDatum(sync->server), Int64GetDatum(sync->id), ObjectIdGetDatum(sync->owner)};
	List	   *partners = NIL;
	int			n;

	n = execute("partners",
				"SELECT DISTINCT ON (m.resource_type) s.id, m.resource_type, m.name"
				" FROM scim._syncs s JOIN scim._mappings m ON m.id OPERATOR(pg_catalog.=) s.mapping_id"
				" WHERE s.server OPERATOR(pg_catalog.=) $1 AND m.owner OPERATOR(pg_catalog.=) $3 AND m.resource_type OPERATOR(pg_catalog.<>)"
				" (SELECT o.resource_type FROM scim._syncs t JOIN scim._mappings o ON o.id OPERATOR(pg_catalog.=) t.mapping_id"
				" WHERE t.id OPERATOR(pg_catalog.=) $2)"
				" ORDER BY m.resource_type, s.id",
				3, types, values, NULL, SPI_OK_SELECT);
	*mappings = NIL;
	for (int i = 0; i < n; i++)
	{
		ScimReferee *referee = palloc(sizeof(ScimReferee));
		bool		isnull;

		referee->sync_id = DatumGetInt64(row_datum(i, 1, &isnull));
		referee->type = row_text(i, 2);
		partners = lappend(partners, referee);
		*mappings = lappend(*mappings, unconstify(char *, row_text(i, 3)));
	}
	return partners;
}

/* When the next link is due; DT_NOEND: none is. */
TimestampTz
scim_links_next(int64 sync_id)
{
	Oid			types[2] = {INT8OID, INT2OID};
	TimestampTz next = DT_NOEND;

	for (int lane = 0; lane < SCIM_LANES; lane++)
	{
		Datum		values[2] = {Int64GetDatum(sync_id), Int16GetDatum(lane)};
		bool		isnull;

		if (execute("next link",
					"SELECT next_at FROM scim._links WHERE sync_id OPERATOR(pg_catalog.=) $1 AND lane OPERATOR(pg_catalog.=) $2"
					" AND next_at IS NOT NULL AND intent IS NULL ORDER BY next_at LIMIT 1",
					2, types, values, NULL, SPI_OK_SELECT) > 0)
			next = Min(next, DatumGetTimestampTz(row_datum(0, 1, &isnull)));
	}
	return next;
}

/* Is there an entry in the queue that asks for all rows? */
bool
scim_links_full_wanted(int64 sync_id)
{
	Oid			types[1] = {INT8OID};
	Datum		values[1] = {Int64GetDatum(sync_id)};

	return execute("full wanted",
				   "SELECT 1 FROM scim._dirty WHERE sync_id OPERATOR(pg_catalog.=) $1 AND keys IS NULL LIMIT 1",
				   1, types, values, NULL, SPI_OK_SELECT) > 0;
}

/*
 * Keys behind "after" in their order: those that are queued or due some time,
 * or (all) of every link.
 */
int
scim_links_keys(int64 sync_id, bool all, const char *after, int limit, const char ***keys)
{
	Oid			types[4] = {INT8OID, TEXTOID, INT8OID, BOOLOID};
	Datum		values[4];
	char		nulls[4] = {' ', ' ', ' ', ' '};
	int			n;

	values[0] = Int64GetDatum(sync_id);
	values[1] = text_or_null(after, &nulls[1]);
	values[2] = Int64GetDatum(limit);
	values[3] = BoolGetDatum(all);
	n = execute("keys of links",
				"SELECT k FROM (SELECT source_key AS k FROM scim._links WHERE sync_id OPERATOR(pg_catalog.=) $1"
				" AND ($4 OR next_at IS NOT NULL OR dirty)"
				" UNION SELECT pg_catalog.unnest(keys) COLLATE \"C\" FROM scim._dirty WHERE sync_id OPERATOR(pg_catalog.=) $1) q"
				" WHERE $2 IS NULL OR k OPERATOR(pg_catalog.>) $2 ORDER BY k LIMIT $3",
				4, types, values, nulls, SPI_OK_SELECT);
	*keys = palloc(sizeof(char *) * Max(n, 1));
	for (int i = 0; i < n; i++)
		(*keys)[i] = row_text(i, 1);
	return n;
}

/*
 * Before what time a server wants no request, as far as the syncs that use it
 * have heard: a process that begins anew knows nothing else of it.  0: none.
 */
TimestampTz
scim_attempts_held(const char *server)
{
	Oid			types[1] = {TEXTOID};
	Datum		values[1] = {CStringGetTextDatum(server)};
	Datum		held;
	bool		isnull;

	(void) execute("held until",
				   "SELECT pg_catalog.max(a.held_until) FROM scim._attempts a JOIN scim._syncs s ON s.id OPERATOR(pg_catalog.=) a.sync_id"
				   " WHERE s.server OPERATOR(pg_catalog.=) $1"
				   " AND a.held_until OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp()",
				   1, types, values, NULL, SPI_OK_SELECT);
	held = row_datum(0, 1, &isnull);
	return isnull ? 0 : DatumGetTimestampTz(held);
}

/*
 * Rows that wait for others which have not come in weeks are said to be wrong.
 * They go on as soon as one of these comes.
 */
void
scim_links_give_up_waiting(void)
{
	(void) execute("give up waiting",
				   "UPDATE scim._links l SET state = 'parked', reason = 'rows that it refers to have not come in '"
				   " OPERATOR(pg_catalog.||) d.days OPERATOR(pg_catalog.||) ' days: it is at the target without them'"
				   " FROM scim._syncs s CROSS JOIN LATERAL (SELECT coalesce((s.options OPERATOR(pg_catalog.->>) 'escrow_days')::pg_catalog.int4, "
				   CppAsString2(SCIM_ESCROW_DAYS) ") AS days) d"
				   " WHERE l.sync_id OPERATOR(pg_catalog.=) s.id AND l.waiting AND l.state OPERATOR(pg_catalog.=) 'linked' AND l.intent IS NULL"
				   " AND l.waiting_since OPERATOR(pg_catalog.<) (pg_catalog.now() OPERATOR(pg_catalog.-) pg_catalog.make_interval(days => d.days))",
				   0, NULL, NULL, NULL, SPI_OK_UPDATE);
}

/* Log entries that are old enough, some of them. */
void
scim_attempts_forget(void)
{
	Oid			types[1] = {INT4OID};
	Datum		values[1] = {Int32GetDatum(scim_sync_log_days)};

	(void) execute("forget attempts",
				   "DELETE FROM scim._attempts WHERE id IN (SELECT a.id FROM scim._attempts a"
				   " WHERE a.at OPERATOR(pg_catalog.<) (pg_catalog.now() OPERATOR(pg_catalog.-) pg_catalog.make_interval(days => $1))"
				   " ORDER BY a.at LIMIT 10000)",
				   1, types, values, NULL, SPI_OK_DELETE);
}
