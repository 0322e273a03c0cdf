/*
 * provisioner_scan.c
 *		Reading the list of a target by pages (see provisioner_scan.h).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "provisioner_scan.h"
#include "../core/core_fold.h"

/* In place of a catalog in the tag of the lock of who reads. */
#define SCAN_LOCK_CLASS 0x7363696e

static void
out_of_memory(void)
{
	ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
}

static int
execute(const char *key, const char *sql, int nargs, const Oid *types, Datum *values, int expected)
{
	int			code = scim_own_execute(key, sql, nargs, types, values, NULL, false, 0);

	if (code != expected)
		elog(ERROR, "%s failed: %s", key, SPI_result_code_string(code));
	return (int) SPI_processed;
}

/* ---- begin and end ---- */

bool
scim_scan_begin(const ScimSyncView *view, ScimScan *scan, int64 worth, bool keep)
{
	Oid			types[1] = {INT8OID};
	Datum		values[1] = {Int64GetDatum(view->sync->id)};
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, SCAN_LOCK_CLASS, (Oid) view->sync->id, 0);
	if (LockAcquire(&tag, ExclusiveLock, keep, true) == LOCKACQUIRE_NOT_AVAIL)
		return false;
	(void) execute("forget remote", "DELETE FROM scim._remote WHERE sync_id OPERATOR(pg_catalog.=) $1",
				   1, types, values, SPI_OK_DELETE);
	(void) execute("begin scan",
				   "INSERT INTO scim._scans (sync_id) VALUES ($1) ON CONFLICT (sync_id) DO UPDATE SET"
				   " began = pg_catalog.clock_timestamp(), ended = NULL",
				   1, types, values, SPI_OK_INSERT);
	memset(scan, 0, sizeof(*scan));
	scan->state = SCIM_SCAN_RUNNING;
	scan->next = 1;
	scan->count = view->server->page_size;
	scan->worth = worth;
	return true;
}

void
scim_scan_release(int64 sync_id)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, SCAN_LOCK_CLASS, (Oid) sync_id, 0);
	(void) LockRelease(&tag, ExclusiveLock, true);
}

static void
finish(const ScimSyncView *view, ScimScan *scan)
{
	Oid			types[1] = {INT8OID};
	Datum		values[1] = {Int64GetDatum(view->sync->id)};

	(void) execute("end scan", "UPDATE scim._scans SET ended = pg_catalog.clock_timestamp() WHERE sync_id OPERATOR(pg_catalog.=) $1",
				   1, types, values, SPI_OK_UPDATE);
	scan->state = SCIM_SCAN_DONE;
}

static void
fail(ScimScan *scan, const char *problem)
{
	scan->state = SCIM_SCAN_FAILED;
	scan->problem = problem;
}

char *
scim_scan_path(const ScimSyncView *view, const ScimScan *scan)
{
	return psprintf("%s?startIndex=" INT64_FORMAT "&count=%d", view->type->endpoint, scan->next, scan->count);
}

bool
scim_scan_shrink(ScimScan *scan)
{
	if (scan->count <= 1)
		return false;
	scan->count /= 2;
	return true;
}

/* ---- what is kept of a resource ---- */

/* Letters of any case are alike here; whoever asks compares again. */
static char *
match_key(int rule, const char *value)
{
	size_t		len;
	char	   *folded = scim_fold(value, strlen(value), &len);

	if (folded == NULL)
		out_of_memory();
	return scim_text_hash(psprintf("%d:%s", rule, folded));
}

/* What the sync manages, what it matches by, and whether it is in use. */
static char *
kept_document(const ScimSyncView *view, const json_t *resource, const char *id)
{
	json_t	   *kept = scim_json_object();
	size_t		len;
	char	   *text;

	if (kept == NULL || json_object_set_new(kept, "id", json_string(id)) != 0)
		out_of_memory();
	for (int i = 0; i < view->type->ntop; i++)
	{
		const ScimAttr *attr = view->type->top[i];
		const json_t *value = scim_document_value(view->type, resource, attr);
		bool		wanted = view->selection->has[attr->ord];

		for (int j = 0; j < view->nrules; j++)
			for (int k = 0; k < view->rules[j].nattrs; k++)
				wanted = wanted || view->rules[j].attrs[k] == attr || view->rules[j].attrs[k]->parent == attr;
		if (wanted && value && attr != view->type->a_id && attr != view->type->a_meta && attr != view->type->a_schemas)
			scim_document_put(view->type, kept, attr, value);
	}
	if (!view->active_mapped)
	{
		json_t	   *active = scim_json_get(resource, "active", NULL);

		if (json_is_boolean(active) && json_object_set(kept, "active", active) != 0)
			out_of_memory();
	}
	text = scim_json_print(kept, &len);
	if (text == NULL)
		out_of_memory();
	return text;
}

typedef struct PageRows
{
	int			n;
	int			room;
	Datum	   *ids;
	Datum	   *keys;
	Datum	   *documents;
} PageRows;

static void
add_row(PageRows *rows, Datum id, const char *key, Datum document)
{
	if (rows->n == rows->room)
	{
		rows->room *= 2;
		rows->ids = repalloc(rows->ids, sizeof(Datum) * rows->room);
		rows->keys = repalloc(rows->keys, sizeof(Datum) * rows->room);
		rows->documents = repalloc(rows->documents, sizeof(Datum) * rows->room);
	}
	rows->ids[rows->n] = id;
	rows->keys[rows->n] = CStringGetTextDatum(key);
	rows->documents[rows->n++] = document;
}

/* A row for each value that a rule could find it by; one without a key if there is none. */
static void
add_resource(const ScimSyncView *view, PageRows *rows, const json_t *resource, const char *id)
{
	Datum		id_datum = CStringGetTextDatum(id);
	Datum		document = CStringGetTextDatum(kept_document(view, resource, id));
	int			before = rows->n;

	for (int i = 0; i < view->nrules; i++)
	{
		const json_t *value = scim_document_value(view->type, resource, view->rules[i].attrs[0]);
		size_t		n = json_is_array(value) ? json_array_size(value) : value ? 1 : 0;

		for (size_t j = 0; j < n; j++)
		{
			const json_t *item = json_is_array(value) ? json_array_get(value, j) : value;

			if (json_is_object(item))
				item = scim_json_get(item, "value", NULL);
			if (json_is_string(item))
				add_row(rows, id_datum, match_key(i, json_string_value(item)), document);
		}
	}
	if (rows->n == before)
		add_row(rows, id_datum, "", document);
}

static Datum
array_datum(Datum *elements, int n)
{
	return PointerGetDatum(construct_array(elements, n, TEXTOID, -1, false, TYPALIGN_INT));
}

/* False: some of them were on another page already. */
static bool
store_rows(const ScimSyncView *view, PageRows *rows)
{
	Oid			types[4] = {INT8OID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID};
	Datum		values[4] = {Int64GetDatum(view->sync->id), array_datum(rows->ids, rows->n),
	array_datum(rows->keys, rows->n), array_datum(rows->documents, rows->n)};

	if (execute("seen remote",
				"SELECT 1 FROM scim._remote WHERE sync_id OPERATOR(pg_catalog.=) $1 AND remote_id OPERATOR(pg_catalog.=) ANY ($2) LIMIT 1",
				2, types, values, SPI_OK_SELECT) > 0)
		return false;
	(void) execute("store remote",
				   "INSERT INTO scim._remote (sync_id, remote_id, key, document)"
				   " SELECT $1, u.id, u.key, u.document::pg_catalog.jsonb FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4)) u (id, key, document)"
				   " ON CONFLICT DO NOTHING",
				   4, types, values, SPI_OK_INSERT);
	return true;
}

void
scim_scan_take(const ScimSyncView *view, ScimScan *scan, const json_t *page)
{
	const json_t *resources = page ? scim_json_get(page, "Resources", NULL) : NULL;
	const json_t *total = page ? scim_json_get(page, "totalResults", NULL) : NULL;
	size_t		n = json_is_array(resources) ? json_array_size(resources) : 0;
	PageRows	rows = {.room = 256};

	if (!json_is_integer(total) || json_integer_value(total) < 0)
	{
		fail(scan, "what it sends is no list");
		return;
	}
	if (scan->next == 1)
	{
		int64		pages = n > 0 ? json_integer_value(total) / (int64) n : 0;

		scan->total = json_integer_value(total);
		if (scan->worth > 0 && pages > scan->worth)
		{
			fail(scan, "it has many more resources than are looked for");
			return;
		}
	}
	else if (json_integer_value(total) != scan->total)
	{
		fail(scan, "its list changes while it is read");
		return;
	}
	if (n == 0)
	{
		if (scan->next <= scan->total)
			fail(scan, "its list ends before its end");
		else
			finish(view, scan);
		return;
	}

	rows.ids = palloc(sizeof(Datum) * rows.room);
	rows.keys = palloc(sizeof(Datum) * rows.room);
	rows.documents = palloc(sizeof(Datum) * rows.room);
	for (size_t i = 0; i < n; i++)
	{
		const json_t *resource = json_array_get(resources, i);
		const char *id = scim_resource_id(resource);

		if (id == NULL)
		{
			fail(scan, "a resource of its list has no id");
			return;
		}
		add_resource(view, &rows, resource, id);
	}
	if (!store_rows(view, &rows))
	{
		fail(scan, "it sends the same page again");
		return;
	}
	scan->next += (int64) n;
	if (scan->next > scan->total)
		finish(view, scan);
}

/* ---- matching ---- */

json_t *
scim_scan_find(const ScimSyncView *view, int rule, const json_t *document)
{
	const char *wanted = scim_match_text(view, view->rules[rule].attrs[0], document);
	Oid			types[2] = {INT8OID, TEXTOID};
	Datum		values[2];
	json_t	   *found = json_array();
	int			n;

	if (found == NULL)
		out_of_memory();
	if (wanted == NULL)
		return found;
	values[0] = Int64GetDatum(view->sync->id);
	values[1] = CStringGetTextDatum(match_key(rule, wanted));
	n = execute("find remote",
				"SELECT document::pg_catalog.text FROM scim._remote WHERE sync_id OPERATOR(pg_catalog.=) $1"
				" AND key OPERATOR(pg_catalog.=) $2 LIMIT 10",
				2, types, values, SPI_OK_SELECT);
	for (int i = 0; i < n; i++)
		if (json_array_append_new(found, scim_document_parse(SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1))) != 0)
			out_of_memory();
	return found;
}

int64
scim_scan_rows(int64 sync_id, bool doubtful, int64 limit)
{
	Oid			types[3] = {INT8OID, BOOLOID, INT8OID};
	Datum		values[3] = {Int64GetDatum(sync_id), BoolGetDatum(doubtful), Int64GetDatum(limit)};
	bool		isnull;

	(void) execute("count unlinked",
				   "SELECT pg_catalog.count(*) FROM (SELECT 1 FROM scim._links WHERE sync_id OPERATOR(pg_catalog.=) $1"
				   " AND remote_id IS NULL AND intent IS NULL AND (doubt OPERATOR(pg_catalog.=) 0 OR $2)"
				   " AND next_at OPERATOR(pg_catalog.<=) pg_catalog.clock_timestamp() LIMIT $3) q",
				   3, types, values, SPI_OK_SELECT);
	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}
