/*
 * store_page.c
 *		Lists: the rows of a page, and how many resources there are.
 *
 * By number (startIndex), what comes before the page would have to be walked,
 * and for totalResults all there is would have to be counted, at each page.
 * Two things are remembered, per process and mapping, to spare that:
 *
 * Where pages have ended.  The page that begins behind such a place, or not far
 * from it, is found by key.  Who walks through all pages is then not disturbed
 * by resources that come and go in those he has seen, and for who jumps the
 * number is as good as ten seconds ago (RFC 7644 3.4.2.4 lets it be).
 *
 * How many resources there were, without a filter.  That is exact for as long
 * as no transaction with an effect has ended anywhere in the cluster, which the
 * server keeps count of, for the same reason; and afterwards, where the growth of
 * the table is noted (store_growth.c), with what it has grown by since.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "store_internal.h"
#include "../scim_guc.h"

#define MAX_MARKS 64
#define MARK_LIFE_MS 10000
#define MAX_TOTALS 8

/* A row, and how many come before it and with it. */
typedef struct PageMark
{
	char	   *list;			/* which list; NULL: there is no mark */
	int64		position;
	char	   *id;
	TimestampTz at;
} PageMark;

typedef struct Total
{
	char	   *list;
	uint64		completed;		/* transactions that had ended in the cluster */
	int64		total;
	bool		noted;
	int64		base;			/* noted: what the total would be if there were no notes */
} Total;

/* Of a mapping. */
typedef struct ScimPages
{
	MemoryContext context;
	int			next_mark;		/* the oldest, that gives way */
	PageMark	marks[MAX_MARKS];
	int			next_total;
	Total		totals[MAX_TOTALS];
} ScimPages;

static ScimPages *
pages_of(const ScimMapping *m)
{
	ScimStoreState *state = scim_store_state(m);

	if (state->pages == NULL)
	{
		ScimPages  *pages = MemoryContextAllocZero(state->context, sizeof(ScimPages));

		pages->context = state->context;
		state->pages = pages;
	}
	return state->pages;
}

/*
 * A list apart from its pages: its conditions and their values.  NULL: it can't
 * be told by them.
 */
static char *
list_name(const ScimEndpointType *target, const ScimQuery *query)
{
	ScimSql		sql;
	StringInfoData name;

	scim_sql_init(&sql);
	scim_store_where(&sql, target, query, scim_sql_scope_params(&sql, target));
	initStringInfo(&name);
	appendStringInfoString(&name, sql.text.data);
	for (int i = 0; i < sql.nparams; i++)
	{
		char	   *value;

		if (sql.types[i] != TEXTOID)
			return NULL;
		value = sql.nulls[i] == 'n' ? NULL : TextDatumGetCString(sql.values[i]);
		appendStringInfo(&name, " %zu:%s", value ? strlen(value) : 0, value ? value : "");
	}
	return name.data;
}

/* ---- where pages have ended ---- */

/* The mark nearest to the begin of the page, not behind it; NULL: there is none. */
static const PageMark *
find_mark(const ScimPages *pages, const char *list, int64 start_index)
{
	const PageMark *best = NULL;
	TimestampTz now = GetCurrentTimestamp();

	for (int i = 0; i < MAX_MARKS; i++)
	{
		const PageMark *mark = &pages->marks[i];

		if (mark->list && mark->position < start_index && (best == NULL || mark->position > best->position) &&
			strcmp(mark->list, list) == 0 && !TimestampDifferenceExceeds(mark->at, now, MARK_LIFE_MS))
			best = mark;
	}
	return best;
}

static void
set_mark(ScimPages *pages, const char *list, int64 position, const char *id)
{
	PageMark   *mark = NULL;
	char	   *list_copy;
	char	   *id_copy;

	for (int i = 0; i < MAX_MARKS && mark == NULL; i++)
		if (pages->marks[i].list && pages->marks[i].position == position && strcmp(pages->marks[i].list, list) == 0)
			mark = &pages->marks[i];
	if (mark == NULL)
	{
		mark = &pages->marks[pages->next_mark];
		pages->next_mark = (pages->next_mark + 1) % MAX_MARKS;
	}
	list_copy = MemoryContextStrdup(pages->context, list);
	id_copy = MemoryContextStrdup(pages->context, id);
	if (mark->list)
	{
		pfree(mark->list);
		pfree(mark->id);
	}
	mark->list = list_copy;
	mark->id = id_copy;
	mark->position = position;
	mark->at = GetCurrentTimestamp();
}

/* ---- how many there are ---- */

int64
scim_store_count(const ScimEndpointType *target, const ScimQuery *query)
{
	ScimSql		sql;
	bool		isnull;

	scim_sql_init(&sql);
	appendStringInfoString(&sql.text, "SELECT pg_catalog.count(*)");
	scim_store_where(&sql, target, query, scim_sql_scope_params(&sql, target));
	scim_sql_execute(target->mapping, &sql, SPI_OK_SELECT, true, 1);
	return DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
}


/* Is the growth of the list, which has all rows of a tenant, noted? */
static bool
is_noted(const ScimMapping *m)
{
	Relation	rel;
	AttrNumber	tenant;

	if (m->nscope != 1 || RecoveryInProgress())
		return false;
	rel = table_open(m->relid, AccessShareLock);
	tenant = scim_growth_noted(rel);
	table_close(rel, AccessShareLock);
	return AttributeNumberIsValid(tenant) && tenant == m->scope_attnums[0];
}

/* Where the total of a list is kept: where it was, or else in the oldest place. */
static Total *
find_total(ScimPages *pages, const char *list)
{
	Total	   *place;

	for (int i = 0; i < MAX_TOTALS; i++)
		if (pages->totals[i].list && strcmp(pages->totals[i].list, list) == 0)
			return &pages->totals[i];
	place = &pages->totals[pages->next_total];
	pages->next_total = (pages->next_total + 1) % MAX_TOTALS;
	if (place->list)
		pfree(place->list);
	memset(place, 0, sizeof(*place));
	place->list = MemoryContextStrdup(pages->context, list);
	return place;
}

/*
 * All resources of a list without a filter, in the active snapshot, which is of
 * the time when so many transactions had ended (0: not known).
 */
static int64
count_all(const ScimEndpointType *target, const ScimQuery *query, uint64 completed)
{
	const ScimMapping *m = target->mapping;
	const char *list;
	Total	   *place;
	int64		total;
	int64		growth = 0;
	bool		noted;

	/* what else than rows it depends on (expressions, policies) only a statement knows */
	if (query->filter || !scim_store_can_count(target) || (list = list_name(target, query)) == NULL)
		return scim_store_count(target, query);
	/* what this transaction has done may be half noted, and may come to nothing */
	if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
	{
		total = scim_store_scan_count(target);
		return total < 0 ? scim_store_count(target, query) : total;
	}
	place = find_total(pages_of(m), list);
	if (completed != 0 && place->completed == completed)
		return place->total;
	noted = is_noted(m);
	if (noted)
		growth = scim_growth_of(m->relid, target->scope[0]);
	if (noted && place->noted)
		total = place->base + growth;
	else
		total = scim_store_scan_count(target);
	if (total < 0)
		return scim_store_count(target, query);
	place->completed = completed;
	place->total = total;
	place->noted = noted;
	place->base = total - growth;
	return total;
}

/* ---- the page ---- */

/*
 * The statement of a page, of its rows or only of their keys.  With keyset the
 * sort key comes along as the last column, and a row more than the page, which
 * tells whether there are any.
 */
static void
build_page(ScimSql *sql, const ScimEndpointType *target, const ScimQuery *query, const ScimSelection *selection, bool keys_only)
{
	const ScimMapping *m = target->mapping;
	int			scope;

	scim_sql_init(sql);
	scope = scim_sql_scope_params(sql, target);
	/* not as text: rows that OFFSET skips would be cast, too */
	if (keys_only)
		appendStringInfo(&sql->text, "SELECT %s", m->key.id.expr);
	else
		appendStringInfo(&sql->text, "SELECT %s", scim_store_select_list(m, selection));
	if (query->keyset)
		appendStringInfo(&sql->text, ", %s", scim_store_sort_text(sql, target, query, scope));
	scim_store_where(sql, target, query, scope);
	if (query->from)
		scim_store_beyond(sql, target, query, scope);
	scim_store_order(sql, target, query, scope);
	appendStringInfo(&sql->text, " LIMIT $%d::pg_catalog.int8",
					 scim_sql_text(sql, psprintf(INT64_FORMAT, query->count + (query->keyset ? 1 : 0))));
	if (!query->keyset && query->start_index > 1)
		appendStringInfo(&sql->text, " OFFSET $%d::pg_catalog.int8",
						 scim_sql_text(sql, psprintf(INT64_FORMAT, query->start_index - 1)));
}

/* Is there anything that comes before (backward) or after a position? */
static bool
anything_beyond(const ScimEndpointType *target, const ScimQuery *query, const ScimPosition *from, bool backward)
{
	ScimQuery	beyond = *query;
	ScimSql		sql;
	int			scope;

	beyond.from = from;
	beyond.backward = backward;
	scim_sql_init(&sql);
	scope = scim_sql_scope_params(&sql, target);
	appendStringInfoString(&sql.text, "SELECT 1");
	scim_store_where(&sql, target, &beyond, scope);
	scim_store_beyond(&sql, target, &beyond, scope);
	appendStringInfoString(&sql.text, " LIMIT 1");
	scim_sql_execute(target->mapping, &sql, SPI_OK_SELECT, true, 1);
	return SPI_processed > 0;
}

/* What surrounds a page that was read by position. */
static void
look_around(const ScimEndpointType *target, const ScimQuery *query, const ScimParentRow *rows,
			char *const *sort_keys, bool more, ScimPage *page)
{
	bool	   *ahead = query->backward ? &page->more_before : &page->more_after;
	bool	   *behind = query->backward ? &page->more_after : &page->more_before;

	*ahead = more;
	if (page->n == 0)
	{
		/* all that was there has gone since */
		*behind = query->from != NULL && page->total > 0;
		return;
	}
	page->first.id = rows[0].id;
	page->first.sort_key = sort_keys[0];
	page->last.id = rows[page->n - 1].id;
	page->last.sort_key = sort_keys[page->n - 1];
	*behind = query->from != NULL &&
		anything_beyond(target, query, query->backward ? &page->last : &page->first, !query->backward);
}

/* The texts of a column of SPI's result, as far as it is of the page, in the page's order. */
static char **
page_texts(const ScimQuery *query, int column)
{
	int			n = (int) Min((int64) SPI_processed, query->count);
	char	  **texts = palloc(sizeof(char *) * Max(n, 1));

	for (int i = 0; i < n; i++)
		texts[query->backward ? n - 1 - i : i] =
			SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, column + 1);
	return texts;
}

/* Run the statement of a page; returns how many rows there are. */
static int
select_page(const ScimEndpointType *target, const ScimQuery *query, const ScimSelection *selection, bool keys_only, char ***sort_keys)
{
	ScimSql		sql;

	build_page(&sql, target, query, selection, keys_only);
	scim_sql_execute(target->mapping, &sql, SPI_OK_SELECT, true, 0);
	*sort_keys = query->keyset ? page_texts(query, keys_only ? 1 : scim_store_state(target->mapping)->ncolumns) : NULL;
	return (int) SPI_processed;
}

/*
 * The rows of a page, and with keyset their sort keys; returns how many there
 * are, with the one behind the page.  Where rows come by their key without a
 * statement, the statement says only which: then its plan has few columns to
 * set up, and the rows that OFFSET skips are not even read.
 */
static int
read_page(const ScimEndpointType *target, const ScimQuery *query, const ScimSelection *selection, ScimParentRow **rows, char ***sort_keys)
{
	int			found;
	int			n;

	if (scim_store_can_scan_parents(target->mapping))
	{
		char	  **ids;

		found = select_page(target, query, NULL, true, sort_keys);
		n = (int) Min(found, query->count);
		ids = page_texts(query, 0);
		*rows = palloc0(sizeof(ScimParentRow) * Max(n, 1));
		if (scim_store_scan_parents(target, ids, n, *rows))
		{
			scim_state_fill(target, *rows, n);
			return found;
		}
	}

	found = select_page(target, query, selection, false, sort_keys);
	*rows = scim_store_parent_rows(target, (int) Min(found, query->count), query->backward);
	return found;
}

/* Is the list one resource at most, which an index finds?  Then the page is that, or nothing. */
static bool
read_only_one(const ScimEndpointType *target, const ScimQuery *query, ScimParentRow **rows, ScimPage *page)
{
	ScimScanned found;

	if (query->filter == NULL || query->keyset || query->sort_by || query->start_index > 1 || !scim_store_can_scan_parents(target->mapping))
		return false;
	*rows = palloc0(sizeof(ScimParentRow));
	found = scim_store_scan_equal(target, query->filter, *rows);
	if (found == SCIM_SCAN_NOT)
		return false;
	page->n = found == SCIM_SCAN_FOUND ? 1 : 0;
	if (page->n > 0)
		scim_state_fill(target, *rows, 1);
	return true;
}

/* Is the page the end of its list, so that its rows tell how many there are? */
static bool
ends_list(const ScimQuery *query, int found)
{
	int			n = (int) Min(found, query->count);

	if (query->keyset)
		return query->from == NULL && found <= query->count;
	return n < query->count && (n > 0 || query->start_index <= 1);
}

/* The rows of a page, what the page says of the list, and what is remembered of it. */
static void
read_listed(const ScimEndpointType *target, const ScimQuery *query, const ScimSelection *selection,
			uint64 completed, ScimParentRow **rows, ScimPage *page)
{
	ScimPages  *pages = pages_of(target->mapping);
	char	   *list = NULL;
	const PageMark *mark = NULL;
	ScimQuery	behind = *query;
	ScimPosition position;
	char	  **sort_keys;
	int			found;

	if (query->by_marks && !query->keyset && query->sort_by == NULL)
		list = list_name(target, query);
	if (list && query->start_index > 1)
		mark = find_mark(pages, list, query->start_index);
	if (mark)
	{
		position.sort_key = NULL;
		position.id = pstrdup(mark->id);
		behind.from = &position;
		behind.start_index = query->start_index - mark->position;
	}
	found = read_page(target, &behind, selection, rows, &sort_keys);
	page->n = (int) Min(found, query->count);
	if (list && page->n == query->count)
		set_mark(pages, list, query->start_index - 1 + page->n, (*rows)[page->n - 1].id);

	if (mark == NULL && ends_list(query, found))
		page->total = page->n + (query->keyset ? 0 : query->start_index - 1);
	else
		page->total = count_all(target, query, completed);
	if (query->keyset)
		look_around(target, query, *rows, sort_keys, found > page->n, page);
}

void
scim_store_list(const ScimEndpointType *target, const ScimQuery *query,
				const ScimSelection *selection, StringInfo out, ScimPage *page)
{
	const char *base_url = scim_endpoint_base_url(target->endpoint);
	ScimParentRow *rows = NULL;
	uint64		completed;

	memset(page, 0, sizeof(*page));
	completed = scim_store_push_snapshot();
	if (query->count <= 0)
		page->total = count_all(target, query, completed);
	else if (read_only_one(target, query, &rows, page))
		page->total = page->n;
	else
		read_listed(target, query, selection, completed, &rows, page);

	if (page->n > 0)
		scim_store_read_children(target, selection, rows, page->n);
	for (int i = 0; i < page->n; i++)
	{
		if (i > 0)
			appendStringInfoChar(out, ',');
		scim_store_emit(target, selection, &rows[i], base_url, out);
		scim_store_check_size(out);
	}
	PopActiveSnapshot();
}

/* ---- what a list query does ---- */

/*
 * The statement of a list query and its plan, for scim.explain.
 */
List *
scim_store_explain(const ScimEndpointType *target, const ScimQuery *query)
{
	ScimSql		sql;
	List	   *lines = NIL;
	StringInfoData explain;

	build_page(&sql, target, query, NULL, scim_store_can_scan_parents(target->mapping));
	lines = lappend(lines, pstrdup(sql.text.data));
	initStringInfo(&explain);
	appendStringInfo(&explain, "EXPLAIN %s", sql.text.data);
	if (SPI_execute_with_args(explain.data, sql.nparams, sql.types, sql.values, sql.nulls, false, 0) != SPI_OK_UTILITY)
		elog(ERROR, "EXPLAIN failed");
	for (uint64 i = 0; i < SPI_processed; i++)
		lines = lappend(lines, SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1));
	return lines;
}
