/*
 * store_order.c
 *		The order of a list (RFC 7644 3.4.2.3), places in it (RFC 9865), and
 *		lists over several resource types (RFC 7644 3.4.2.1).
 *
 * The order is total: the sort key, then the id.  Unassigned values come last,
 * descending first.  A page that is read backward is the same order turned
 * round, so that "beyond a place" is one condition:
 *
 *		key after key_of_place, or equal and id after id_of_place
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "store_internal.h"

/* What rows are ordered by. */
typedef struct Order
{
	const char *key;			/* SQL; NULL: the id alone */
	const char *type;			/* of the key */
	bool		not_null;
	bool		key_down;		/* descending, and nulls first */
	bool		id_down;
} Order;

static Order
order_of(ScimSql *sql, const ScimEndpointType *target, const ScimQuery *query, int scope_param)
{
	Order		order = {NULL, "pg_catalog.text", false, false, false};

	if (query->sort_by && query->sort_by->attr)
		order.key = scim_store_sort_key(sql, target, query->sort_by, scope_param, &order.type, &order.not_null);
	order.key_down = query->descending != query->backward;
	order.id_down = query->backward;
	return order;
}

static const char *
direction(bool down)
{
	return down ? "DESC NULLS FIRST" : "ASC NULLS LAST";
}

void
scim_store_order(ScimSql *sql, const ScimEndpointType *target, const ScimQuery *query, int scope_param)
{
	Order		order = order_of(sql, target, query, scope_param);

	appendStringInfoString(&sql->text, " ORDER BY ");
	if (order.key)
		appendStringInfo(&sql->text, "%s %s, ", order.key, direction(order.key_down));
	appendStringInfoString(&sql->text, scim_sql_id_order(target->mapping, order.id_down));
}

const char *
scim_store_sort_text(ScimSql *sql, const ScimEndpointType *target, const ScimQuery *query, int scope_param)
{
	Order		order = order_of(sql, target, query, scope_param);

	return order.key ? psprintf("(%s)::pg_catalog.text", order.key) : "NULL::pg_catalog.text";
}

/*
 * "key after the place's key", with "or_equal" also equal; an unassigned key is
 * the greatest.
 */
static void
key_after(ScimSql *sql, const Order *order, const char *key_of_place, int param, bool or_equal)
{
	const char *after = order->key_down ? "<" : ">";

	if (key_of_place == NULL)
	{
		/* those that are unassigned, too: all that there is, or the rest */
		if (or_equal)
			appendStringInfo(&sql->text, "(%s%s IS NULL)", order->key_down ? "true OR " : "", order->key);
		else
			appendStringInfo(&sql->text, "(%s%s IS NOT NULL)", order->key_down ? "" : "false AND ", order->key);
	}
	else if (order->key_down || order->not_null)
		appendStringInfo(&sql->text, "(%s OPERATOR(pg_catalog.%s%s) $%d::%s)",
						 order->key, after, or_equal ? "=" : "", param, order->type);
	else
		appendStringInfo(&sql->text, "(%s OPERATOR(pg_catalog.%s%s) $%d::%s OR %s IS NULL)",
						 order->key, after, or_equal ? "=" : "", param, order->type, order->key);
}

void
scim_store_beyond(ScimSql *sql, const ScimEndpointType *target, const ScimQuery *query, int scope_param)
{
	const ScimMapping *m = target->mapping;
	const ScimPosition *from = query->from;
	Order		order = order_of(sql, target, query, scope_param);
	const char *id_after = scim_sql_id_after(m, order.id_down, scim_sql_id(sql, m, from->id));
	int			param = 0;

	if (order.key == NULL)
	{
		appendStringInfo(&sql->text, " AND %s", id_after);
		return;
	}
	if (from->sort_key)
		param = scim_sql_text(sql, from->sort_key);
	/* the first condition is there for an index */
	appendStringInfoString(&sql->text, " AND ");
	key_after(sql, &order, from->sort_key, param, true);
	appendStringInfoString(&sql->text, " AND (");
	key_after(sql, &order, from->sort_key, param, false);
	if (from->sort_key)
		appendStringInfo(&sql->text, " OR (%s OPERATOR(pg_catalog.=) $%d::%s AND %s))",
						 order.key, param, order.type, id_after);
	else
		appendStringInfo(&sql->text, " OR (%s IS NULL AND %s))", order.key, id_after);
}

/* ---- several resource types ---- */

/* A row of the merged list. */
typedef struct Merged
{
	int			part;
	const char *id;
	const char *sort_key;
} Merged;

typedef struct Merge
{
	const ScimListPart *parts;
	int			nparts;
	const ScimQuery *query;
	int			from_part;
	const char *type;			/* in which keys of all parts compare */
} Merge;

/* The key of a part, made comparable with those of the others. */
static Order
part_order(const Merge *merge, ScimSql *sql, int i, int scope)
{
	ScimQuery	query = merge->parts[i].query;
	Order		order;

	query.descending = merge->query->descending;
	query.backward = merge->query->backward;
	order = order_of(sql, merge->parts[i].target, &query, scope);
	if (order.key == NULL)
		order.key = psprintf("NULL::%s%s", merge->type,
							 strcmp(merge->type, "pg_catalog.text") == 0 ? " COLLATE \"C\"" : "");
	else if (strcmp(order.type, merge->type) != 0)
		order.key = psprintf("(%s)::%s COLLATE \"C\"", order.key, merge->type);
	order.type = merge->type;
	return order;
}

/* The type of the keys, if all parts have the same; else text. */
static const char *
common_type(const Merge *merge)
{
	const char *common = NULL;

	for (int i = 0; i < merge->nparts; i++)
	{
		const ScimListPart *part = &merge->parts[i];
		ScimSql		unused;
		Order		order;

		if (part->nothing || part->query.sort_by == NULL)
			continue;
		scim_sql_init(&unused);
		order = order_of(&unused, part->target, &part->query, scim_sql_scope_params(&unused, part->target));
		if (order.key && common && strcmp(common, order.type) != 0)
			return "pg_catalog.text";
		if (order.key)
			common = order.type;
	}
	return common ? common : "pg_catalog.text";
}

/* What of part i comes beyond the place: parts before and after that of the place differ. */
static void
part_beyond(const Merge *merge, ScimSql *sql, int i, const Order *order)
{
	const ScimPosition *from = merge->query->from;
	bool		later = merge->query->backward ? i < merge->from_part : i > merge->from_part;
	int			param = from->sort_key ? scim_sql_text(sql, from->sort_key) : 0;

	appendStringInfoString(&sql->text, " AND (");
	key_after(sql, order, from->sort_key, param, later);
	if (i == merge->from_part)
	{
		if (from->sort_key)
			appendStringInfo(&sql->text, " OR (%s OPERATOR(pg_catalog.=) $%d::%s", order->key, param, order->type);
		else
			appendStringInfo(&sql->text, " OR (%s IS NULL", order->key);
		appendStringInfo(&sql->text, " AND %s::pg_catalog.text COLLATE \"C\" OPERATOR(pg_catalog.%s) $%d)",
						 merge->parts[i].target->mapping->key.id.expr, order->id_down ? "<" : ">",
						 scim_sql_text(sql, from->id));
	}
	appendStringInfoChar(&sql->text, ')');
}

/*
 * Which resources are in the page: one statement over all types, each of which
 * is read no further than the page reaches.
 */
static int
merged_rows(const Merge *merge, Merged **rows, int64 limit)
{
	const ScimQuery *query = merge->query;
	const ScimMapping *first = NULL;
	int64		offset = query->keyset ? 0 : query->start_index - 1;
	const char *key_direction = direction(query->descending != query->backward);
	const char *id_direction = query->backward ? "DESC" : "ASC";
	int			count_param;
	ScimSql		sql;

	scim_sql_init(&sql);
	count_param = scim_sql_text(&sql, psprintf(INT64_FORMAT, limit + offset));
	appendStringInfoString(&sql.text, "SELECT u.t, u.id, u.k::pg_catalog.text FROM (");
	for (int i = 0; i < merge->nparts; i++)
	{
		const ScimEndpointType *target = merge->parts[i].target;
		Order		order;
		int			scope;

		if (merge->parts[i].nothing)
			continue;
		scope = scim_sql_scope_params(&sql, target);
		order = part_order(merge, &sql, i, scope);
		appendStringInfo(&sql.text, "%s(SELECT %d AS t, %s::pg_catalog.text COLLATE \"C\" AS id, %s AS k",
						 first ? " UNION ALL " : "", i, target->mapping->key.id.expr, order.key);
		scim_store_where(&sql, target, &merge->parts[i].query, scope);
		if (query->from)
			part_beyond(merge, &sql, i, &order);
		appendStringInfo(&sql.text, " ORDER BY 3 %s, 2 %s LIMIT $%d::pg_catalog.int8)", key_direction, id_direction, count_param);
		if (first == NULL)
			first = target->mapping;
	}
	if (first == NULL)
		return 0;
	appendStringInfo(&sql.text, ") u ORDER BY u.k %s, u.t %s, u.id %s LIMIT $%d::pg_catalog.int8 OFFSET $%d::pg_catalog.int8",
					 key_direction, id_direction, id_direction,
					 scim_sql_text(&sql, psprintf(INT64_FORMAT, limit)),
					 scim_sql_text(&sql, psprintf(INT64_FORMAT, offset)));
	scim_sql_execute(first, &sql, SPI_OK_SELECT, true, 0);
	*rows = palloc(sizeof(Merged) * Max(SPI_processed, 1));
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		Merged	   *row = &(*rows)[i];
		bool		isnull;

		row->part = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull));
		row->id = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2);
		row->sort_key = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 3);
	}
	return (int) SPI_processed;
}

/* Append the resources of the page: those of each type are read at once. */
static void
append_rows(const Merge *merge, const Merged *rows, int n, StringInfo out)
{
	const char **ids = palloc(sizeof(char *) * n);
	char	  **texts = palloc0(sizeof(char *) * n);
	char	  **some = palloc(sizeof(char *) * n);

	for (int part = 0; part < merge->nparts; part++)
	{
		int			nids = 0;

		for (int i = 0; i < n; i++)
			if (rows[i].part == part)
				ids[nids++] = rows[i].id;
		if (nids == 0)
			continue;
		scim_store_get_many(merge->parts[part].target, merge->parts[part].selection, ids, nids, some);
		nids = 0;
		for (int i = 0; i < n; i++)
			if (rows[i].part == part)
				texts[i] = some[nids++];
	}
	for (int i = 0; i < n; i++)
	{
		appendStringInfo(out, "%s%s", i > 0 ? "," : "", texts[i]);
		scim_store_check_size(out);
	}
}

static ScimPosition
merged_position(const Merged *row)
{
	ScimPosition at = {row->sort_key, row->id};

	return at;
}

/* Is there anything that comes before or after a row of the page? */
static bool
anything_beyond_row(const Merge *merge, const Merged *row, bool backward)
{
	ScimPosition at = merged_position(row);
	ScimQuery	query = *merge->query;
	Merge		beyond = *merge;
	Merged	   *unused;

	query.from = &at;
	query.backward = backward;
	beyond.query = &query;
	beyond.from_part = row->part;
	return merged_rows(&beyond, &unused, 1) > 0;
}

void
scim_store_merge(const ScimListPart *parts, int nparts, const ScimQuery *query, int from_part,
				 StringInfo out, ScimPage *page, int *first_part, int *last_part)
{
	Merge		merge = {parts, nparts, query, from_part, NULL};
	Merged	   *rows = NULL;
	bool	   *ahead = query->backward ? &page->more_before : &page->more_after;
	bool	   *behind = query->backward ? &page->more_after : &page->more_before;
	int			found = 0;

	memset(page, 0, sizeof(*page));
	scim_store_push_snapshot();
	merge.type = common_type(&merge);
	for (int i = 0; i < nparts; i++)
		if (!parts[i].nothing)
			page->total += scim_store_count(parts[i].target, &parts[i].query);
	if (query->count > 0)
		found = merged_rows(&merge, &rows, query->count + (query->keyset ? 1 : 0));
	page->n = (int) Min(found, query->count);
	for (int i = 0; query->backward && i < page->n / 2; i++)
	{
		Merged		swapped = rows[i];

		rows[i] = rows[page->n - 1 - i];
		rows[page->n - 1 - i] = swapped;
	}
	if (query->keyset)
	{
		*ahead = found > page->n;
		*behind = query->from != NULL &&
			(page->n == 0 ? page->total > 0 :
			 anything_beyond_row(&merge, query->backward ? &rows[page->n - 1] : &rows[0], !query->backward));
	}
	if (page->n > 0)
	{
		page->first = merged_position(&rows[0]);
		page->last = merged_position(&rows[page->n - 1]);
		*first_part = rows[0].part;
		*last_part = rows[page->n - 1].part;
		append_rows(&merge, rows, page->n, out);
	}
	PopActiveSnapshot();
}
