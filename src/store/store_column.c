/*
 * store_column.c
 *		A value of a resource -> what its column is set to.
 *
 * A value goes to its column as a parameter of type text that the statement
 * casts; what the column holds instead of it (a code, a substitute for null, a
 * number of seconds) is made here, so that the statement's text does not depend
 * on the value.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/resowner.h"

#include "store_internal.h"
#include "../core/core_value.h"

/* A function has at most 100 arguments (FUNC_MAX_ARGS). */
#define MAX_MEMBERS 50

json_t *
scim_store_json_string(const char *text)
{
	ScimCoreFrame frame;
	json_t	   *value;

	scim_core_enter(&frame);
	value = json_string(text);
	scim_core_leave(&frame);
	if (value == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	return value;
}

/* ---- values ---- */

static char *
json_text(const json_t *value)
{
	size_t		len;
	char	   *text = scim_json_print(value, &len);

	if (text == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	return text;
}

const char *
scim_store_value_text(const json_t *value)
{
	if (value == NULL || json_is_null(value))
		return NULL;
	if (json_is_string(value))
		return json_string_value(value);
	if (json_is_boolean(value))
		return json_is_true(value) ? "true" : "false";
	return json_text(value);
}

/* What is wrong with a value, by the name of its attribute. */
static void
refuse_value(const ScimMapping *m, const ScimAttr *attr, const char *problem)
{
	char		path[256];

	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s: %s", scim_attr_path(m->type, attr, path, sizeof(path)), problem)));
}

/*
 * Does a value fit varchar(n)?  The server's own error would not say which
 * attribute it is about.
 */
static void
check_length(const ScimMapping *m, const ScimAttr *attr, const ScimSource *src, const char *text)
{
	if (src->max_length != 0 && text != NULL && pg_mbstrlen(text) > src->max_length)
		refuse_value(m, attr, psprintf("the value is longer than %d characters", src->max_length));
}

/*
 * A dateTime without a zone is UTC (core_value.h), and so is a column without
 * one: no cast of the server's has to guess.
 */
const char *
scim_store_time_text(const ScimAttr *attr, const ScimSource *src, const char *text)
{
	int64_t		usec;
	char	   *buf;

	if (text == NULL || attr->type != SCIM_TYPE_DATETIME || src->cls == SCIM_SQL_TEXT ||
		!scim_datetime_parse(text, strlen(text), &usec))
		return text;
	buf = palloc(SCIM_DATETIME_SIZE);
	scim_datetime_print(usec, buf);
	return buf;
}

/* A time as a number of seconds or milliseconds; a column of integers cuts. */
static const char *
epoch_text(const ScimSource *src, const char *text)
{
	int64_t		usec;
	int64		unit = src->time == SCIM_TIME_SECONDS ? 1000000 : 1000;
	int64		whole;
	int64		rest;

	if (!scim_datetime_parse(text, strlen(text), &usec))
		return text;
	whole = usec / unit;
	rest = usec % unit;
	if (rest < 0)
	{
		whole--;
		rest += unit;
	}
	if (src->whole || rest == 0)
		return psprintf(INT64_FORMAT, whole);
	/* the fraction counts upwards, also from a negative number */
	return psprintf("%.6f", (double) usec / (double) unit);
}

static const char *
code_of(const ScimMapping *m, const ScimAttr *attr, const ScimSource *src, const json_t *value)
{
	for (int i = 0; i < src->ncodes; i++)
	{
		const char *label = src->codes[i].label;

		if (json_is_boolean(value) ? (strcmp(label, "true") == 0) == json_is_true(value) :
			json_is_string(value) && scim_value_compare(attr, scim_store_json_string(label), value) == 0)
			return src->codes[i].code;
	}
	refuse_value(m, attr, "the value is none of its canonical values");
	return NULL;				/* keep compiler quiet */
}

/* The label of an enum that a value is, in whatever case the attribute allows. */
static const char *
label_of(const ScimMapping *m, const ScimAttr *attr, const json_t *value)
{
	for (int i = 0; i < attr->ncanonical; i++)
		if (json_is_string(value) && scim_value_compare(attr, scim_store_json_string(attr->canonical[i]), value) == 0)
			return attr->canonical[i];
	refuse_value(m, attr, "the value is none of its canonical values");
	return NULL;				/* keep compiler quiet */
}

/* Does a number fit its column? */
static void
check_integer(const ScimMapping *m, const ScimAttr *attr, const ScimSource *src, const json_t *value)
{
	Oid			base = json_is_integer(value) && src->cls == SCIM_SQL_INTEGER ? getBaseType(src->typid) : InvalidOid;
	int64		number = OidIsValid(base) ? (int64) json_integer_value(value) : 0;

	if ((base == INT2OID && number != (int16) number) || (base == INT4OID && number != (int32) number))
		refuse_value(m, attr, "the number is too large");
}

/*
 * Does a text make a value of its column's type?  The error of a statement would
 * not say which attribute it is about.
 */
static void
check_input(const ScimMapping *m, const ScimAttr *attr, const ScimSource *src, const char *text)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool fits = true;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		Oid			function;
		Oid			param;

		getTypeInputInfo(src->typid, &function, &param);
		(void) OidInputFunctionCall(function, unconstify(char *, text), param, src->typmod);
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		ErrorData  *edata;
		int			category;

		MemoryContextSwitchTo(context);
		edata = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		category = ERRCODE_TO_CATEGORY(edata->sqlerrcode);
		if (category != ERRCODE_DATA_EXCEPTION && category != ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION)
			ReThrowError(edata);
		fits = false;
	}
	PG_END_TRY();
	if (!fits)
		refuse_value(m, attr, "the value does not fit its attribute");
}

const char *
scim_store_stored_text(const ScimMapping *m, const ScimAttr *attr, const ScimSource *src, const json_t *value)
{
	const char *text = scim_store_value_text(value);

	if (text == NULL)
		return src->null_text;
	if (src->ncodes > 0)
		return code_of(m, attr, src, value);
	if (src->time == SCIM_TIME_SECONDS || src->time == SCIM_TIME_MILLISECONDS)
		return epoch_text(src, text);
	check_length(m, attr, src, text);
	if (src->typtype == TYPTYPE_ENUM && attr->ncanonical > 0)
		return label_of(m, attr, value);
	check_integer(m, attr, src, value);
	if (attr->type != SCIM_TYPE_DATETIME && !src->negated &&
		(src->typmod >= 0 || src->typtype == TYPTYPE_DOMAIN || (json_is_string(value) && src->cls != SCIM_SQL_TEXT)))
		check_input(m, attr, src, text);
	return scim_store_time_text(attr, src, text);
}

/* ---- columns of one statement ---- */

void
scim_columns_init(ScimColumns *list, ScimSql *sql, bool update)
{
	memset(list, 0, sizeof(*list));
	list->sql = sql;
	list->update = update;
	list->capacity = 16;
	list->items = palloc(sizeof(ScimColumnItem) * list->capacity);
}

static ScimColumnItem *
find_column(ScimColumns *list, const char *column)
{
	for (int i = 0; i < list->n; i++)
		if (strcmp(list->items[i].column, column) == 0)
			return &list->items[i];
	return NULL;
}

static void
add_column(ScimColumns *list, const char *column, const char *value, bool derived)
{
	ScimColumnItem *item = find_column(list, column);

	if (item && item->derived && !derived)
	{
		item->value = value;
		item->kind = SCIM_COLUMN_SQL;
		item->derived = item->written = item->object = false;
		item->nmembers = 0;
	}
	if (item)
		return;
	if (list->n == list->capacity)
	{
		list->capacity *= 2;
		list->items = repalloc(list->items, sizeof(ScimColumnItem) * list->capacity);
	}
	list->items[list->n].column = column;
	list->items[list->n].kind = SCIM_COLUMN_SQL;
	list->items[list->n].cast = NULL;
	list->items[list->n].derived = derived;
	list->items[list->n].written = false;
	list->items[list->n].object = false;
	list->items[list->n].nmembers = 0;
	list->items[list->n++].value = value;
}

/*
 * Set a column by an expression over a value.  Where several attributes have a
 * say in one column (bits of a number), each sees it as the last has left it.
 */
static void
write_column(ScimColumns *list, const ScimWrite *write, const char *value, bool derived)
{
	ScimColumnItem *item = find_column(list, write->column);

	list->over_row = true;
	if (item && item->written)
		item->value = psprintf("(SELECT (%s\n) FROM (SELECT %s AS value, (%s)::%s AS %s) v)", write->expr, value, item->value,
							   write->type_name, write->column);
	else if (item == NULL)
	{
		add_column(list, write->column, psprintf("(SELECT (%s\n) FROM (SELECT %s AS value) v)", write->expr, value), derived);
		list->items[list->n - 1].written = true;
	}
}

/* A column that two attributes share is set by the first of them. */
void
scim_columns_add(ScimColumns *list, const char *column, const char *value)
{
	add_column(list, column, value, false);
}

void
scim_columns_add_known(ScimColumns *list, const char *column, AttrNumber attnum, const char *value,
					   ScimColumnKind kind, const char *text)
{
	ScimColumnItem *item;

	scim_columns_add(list, column, value);
	item = find_column(list, column);
	if (item->value != value)
		return;
	item->kind = kind;
	item->attnum = attnum;
	item->text = text;
}

void
scim_columns_settings(ScimColumns *list, const ScimSetting *settings, int n)
{
	for (int i = 0; i < n; i++)
		add_column(list, settings[i].column, settings[i].expr, true);
	list->over_row = list->over_row || n > 0;
}

/* What is no object is an empty one. */
static char *
object_sql(const char *document)
{
	return psprintf("(CASE pg_catalog.jsonb_typeof(%s) WHEN 'object' THEN %s ELSE '{}' END)", document, document);
}

/* A document with a value at a path; objects on the way are made. */
static char *
put_sql(const char *document, const char *const *path, int n, const char *value)
{
	const char *key = quote_literal_cstr(path[0]);

	if (n > 1)
		value = put_sql(psprintf("(%s OPERATOR(pg_catalog.->) %s)", document, key), path + 1, n - 1, value);
	return psprintf("pg_catalog.jsonb_set(%s, ARRAY[%s], %s)", object_sql(document), key, value);
}

/*
 * What a step makes of the document x.d, over the one before it.  OFFSET 0:
 * pulled up, each step would stand twice in the next, and the first as often
 * as there are subsets of them.
 */
static char *
step_sql(const char *made, const char *document)
{
	return psprintf("(SELECT %s FROM (SELECT %s AS d OFFSET 0) x)", made, document);
}

/* Members of a document are put into it together: the server nests no deeper than its stack. */
static void
put_member(ScimColumnItem *item, const char *name, const char *value)
{
	const char *member = psprintf("%s, %s", quote_literal_cstr(name), value);

	if (item->nmembers == 0 || item->nmembers == MAX_MEMBERS)
	{
		item->base = item->value;
		item->members = member;
		item->nmembers = 1;
	}
	else
	{
		item->members = psprintf("%s, %s", item->members, member);
		item->nmembers++;
	}
	item->value = step_sql(psprintf("%s OPERATOR(pg_catalog.||) pg_catalog.jsonb_build_object(%s)", object_sql("x.d"), item->members), item->base);
}

/*
 * Put a value (NULL: nothing) at a place in the document of a column.  Several
 * attributes live in one document: each is put into what the last has made.
 */
static void
put_json(ScimColumns *list, const ScimSource *src, const json_t *value)
{
	ScimColumnItem *item = find_column(list, src->column);
	char	   *parameter = NULL;

	if (value && !json_is_null(value))
		parameter = psprintf("$%d::pg_catalog.jsonb", scim_sql_text(list->sql, json_text(value)));
	if (src->njson == 0)
	{
		scim_columns_add(list, src->column, parameter ? psprintf("%s::%s", parameter, src->column_type) : "NULL");
		return;
	}
	if (item == NULL)
	{
		scim_columns_add(list, src->column, list->update ? src->document : src->new_document);
		item = &list->items[list->n - 1];
		item->cast = src->column_type;
	}
	item->kind = SCIM_COLUMN_SQL;
	if (parameter && src->njson == 1)
		put_member(item, src->json_path[0], parameter);
	else
	{
		const char *path = scim_mapping_path_sql(src->json_path, src->njson);

		if (parameter)
			item->value = step_sql(put_sql("x.d", src->json_path, src->njson, parameter), item->value);
		else if (item->object)
			item->value = psprintf("(%s OPERATOR(pg_catalog.#-) %s)", item->value, path);
		else
			item->value = step_sql(psprintf("(%s OPERATOR(pg_catalog.#-) %s)", object_sql("x.d"), path), item->value);
		item->nmembers = 0;
	}
	item->object = true;
}

/* A reference has to name a resource that this endpoint has. */
static void
check_reference(const ScimEndpointType *target, const ScimAttr *attr, const ScimSource *src, const char *text)
{
	const ScimMapping *to = src->ref_target;
	ScimSql		sql;
	int			scope;

	if (to == NULL || text == NULL)
		return;
	if (scim_key_id_valid(&to->key, text))
	{
		scim_sql_init(&sql);
		scope = scim_sql_scope_params(&sql, target);
		appendStringInfo(&sql.text, "SELECT 1 FROM %s r WHERE ", to->relation);
		scim_sql_scope(&sql, to, "r", scope);
		appendStringInfo(&sql.text, " AND %s", scim_sql_is_id(to, scim_sql_id(&sql, to, text)));
		scim_sql_execute(target->mapping, &sql, SPI_OK_SELECT, false, 1);
		if (SPI_processed > 0)
			return;
	}
	refuse_value(target->mapping, attr, psprintf("there is no %s with this id", to->type->name));
}

/* The columns that hold the key of what is referred to. */
static void
set_reference(ScimColumns *list, const ScimSource *src, const char *id)
{
	const ScimReference *columns = src->ref_columns;
	int			param = id ? scim_sql_id(list->sql, src->ref_target, id) : 0;

	for (int i = 0; i < columns->n; i++)
		scim_columns_add(list, columns->columns[i],
						 id ? psprintf("%s::%s", scim_sql_key_part(src->ref_target, i, param), columns->types[i]) : "NULL");
}

/* What a new row has in a column that no attribute gives; NULL: nothing is said. */
static const char *
inserted_sql(const ScimColumns *list, const ScimMapping *m, const ScimSource *src)
{
	AttrNumber	attnum = src->inner ? src->inner->attnum : src->attnum;

	if (src->side)
		return list->key > 0 ? scim_side_inserted(m, src->side, attnum, list->key, list->scope) : NULL;
	for (int i = 0; i < m->ninserts; i++)
		if (m->inserts[i].attnum == attnum)
			return m->inserts[i].expr;
	return NULL;
}

/* An expression over a new row sees what the mapping puts there. */
static void
start_column(ScimColumns *list, const ScimMapping *m, const ScimWrite *write)
{
	for (int i = 0; i < m->ninserts; i++)
		if (m->inserts[i].attnum == write->attnum && find_column(list, write->column) == NULL)
		{
			add_column(list, write->column, m->inserts[i].expr, true);
			list->items[list->n - 1].written = true;
		}
}

/* Does an expression say what goes into the column itself? */
static bool
is_written(const ScimSource *src)
{
	for (int i = 0; i < src->nwrites; i++)
		if (strcmp(src->writes[i].column, src->column) == 0)
			return true;
	return false;
}

void
scim_columns_set(ScimColumns *list, const ScimEndpointType *target, const ScimAttr *attr, const ScimSource *src,
				 const json_t *value)
{
	const ScimMapping *m = target->mapping;
	const char *text;

	check_reference(target, attr, src, scim_store_value_text(value));
	if (src->ref_columns)
		set_reference(list, src, scim_store_value_text(value));
	if (src->json_path && src->column)
		put_json(list, src, value);
	else if (src->column && !is_written(src))
	{
		text = scim_store_stored_text(m, attr, src, value);
		if (text == NULL && src->not_null && src->has_default && list->update)
			scim_columns_add(list, src->column, "DEFAULT");
		else if (text == NULL && src->not_null && list->update && inserted_sql(list, m, src))
			scim_columns_add(list, src->column, inserted_sql(list, m, src));
		else
		{
			const char *sql = scim_sql_cast(scim_sql_text(list->sql, text), src->column_type);

			scim_columns_add_known(list, src->column, src->attnum, src->negated ? psprintf("NOT %s", sql) : sql,
								   src->negated ? SCIM_COLUMN_SQL : SCIM_COLUMN_TEXT, text);
		}
	}
	for (int i = 0; i < src->nwrites; i++)
	{
		/* an id does not change */
		if (list->update && src->side == NULL && scim_key_has_column(&m->key, src->writes[i].attnum))
			continue;
		text = scim_store_time_text(attr, src, scim_store_value_text(value));
		if (!list->update && src->side == NULL)
			start_column(list, m, &src->writes[i]);
		write_column(list, &src->writes[i], scim_sql_cast(scim_sql_text(list->sql, text), src->value_type),
					 src->column != NULL && strcmp(src->writes[i].column, src->column) != 0);
	}
}

/* ---- several values in one column ---- */

static void
append_json_element(StringInfo out, const ScimChild *child, const json_t *element)
{
	bool		first = true;

	if (child->json_keys == NULL)
	{
		const json_t *value = child->subs[0] ? json_object_get(element, child->subs[0]->name) : element;

		appendStringInfoString(out, value ? json_text(value) : "null");
		return;
	}
	appendStringInfoChar(out, '{');
	for (int i = 0; i < child->nsubs; i++)
	{
		const json_t *value = json_object_get(element, child->subs[i]->name);

		if (child->json_keys[i] == NULL || value == NULL || json_is_null(value))
			continue;
		appendStringInfo(out, "%s%s: %s", first ? "" : ", ", json_text(scim_store_json_string(child->json_keys[i])), json_text(value));
		first = false;
	}
	appendStringInfoChar(out, '}');
}

void
scim_columns_set_inline(ScimColumns *list, const ScimMapping *m, const ScimChild *child, const json_t **elements, int n)
{
	const ScimSource *store = &child->store;
	const char **texts = palloc(sizeof(char *) * Max(n, 1));
	StringInfoData text;
	int			ntexts = 0;

	if (child->form == SCIM_INLINE_JSON)
	{
		ScimError	err;
		json_t	   *array = NULL;

		initStringInfo(&text);
		appendStringInfoChar(&text, '[');
		for (int i = 0; i < n; i++)
		{
			appendStringInfoString(&text, i > 0 ? ", " : "");
			append_json_element(&text, child, elements[i]);
		}
		appendStringInfoChar(&text, ']');
		memset(&err, 0, sizeof(err));
		if (n > 0 || (store->not_null && store->njson == 0))
			array = scim_json_parse(text.data, text.len, &err);
		put_json(list, store, array);
		return;
	}

	for (int i = 0; i < n; i++)
	{
		const json_t *value = child->subs[0] ? json_object_get(elements[i], child->subs[0]->name) : elements[i];

		texts[ntexts] = scim_store_value_text(value);
		if (texts[ntexts] && child->form == SCIM_INLINE_DELIMITED && strstr(texts[ntexts], child->delimiter))
			refuse_value(m, child->attr, psprintf("a value must not contain \"%s\"", child->delimiter));
		if (texts[ntexts])
			ntexts++;
	}
	if (ntexts == 0 && !store->not_null)
		scim_columns_add(list, store->column, "NULL");
	else if (child->form == SCIM_INLINE_ARRAY)
		scim_columns_add(list, store->column, scim_sql_cast(scim_sql_text_array(list->sql, texts, ntexts), store->column_type));
	else
	{
		initStringInfo(&text);
		for (int i = 0; i < ntexts; i++)
			appendStringInfo(&text, "%s%s", i > 0 ? child->delimiter : "", texts[i]);
		check_length(m, child->attr, store, text.data);
		scim_columns_add(list, store->column, scim_sql_cast(scim_sql_text(list->sql, text.data), store->column_type));
	}
}

/* ---- the statement ---- */

static void
append_value(StringInfo out, const ScimColumnItem *item)
{
	if (item->cast)
		appendStringInfo(out, "(%s)::%s", item->value, item->cast);
	else
		appendStringInfoString(out, item->value);
}

void
scim_columns_append_set(const ScimColumns *list)
{
	StringInfo	text = &list->sql->text;

	for (int i = 0; i < list->n; i++)
	{
		appendStringInfo(text, "%s%s = ", i > 0 ? ", " : "", list->items[i].column);
		append_value(text, &list->items[i]);
	}
}

void
scim_columns_append_insert(const ScimColumns *list, const char *relation)
{
	StringInfo	text = &list->sql->text;

	if (list->n == 0)
	{
		appendStringInfo(text, "INSERT INTO %s AS r DEFAULT VALUES", relation);
		return;
	}
	appendStringInfo(text, "INSERT INTO %s AS r (", relation);
	for (int i = 0; i < list->n; i++)
		appendStringInfo(text, "%s%s", i > 0 ? ", " : "", list->items[i].column);
	appendStringInfoString(text, list->over_row ? ") SELECT " : ") VALUES (");
	for (int i = 0; i < list->n; i++)
	{
		appendStringInfoString(text, i > 0 ? ", " : "");
		append_value(text, &list->items[i]);
	}
	/* expressions see a row of nulls where an update has the old one */
	if (list->over_row)
		appendStringInfo(text, " FROM (SELECT (NULL::%s).*) r", relation);
	else
		appendStringInfoChar(text, ')');
}

const char *
scim_store_now_sql(const ScimSource *src)
{
	switch (src->time)
	{
		case SCIM_TIME_UTC:
			return "(pg_catalog.clock_timestamp() AT TIME ZONE 'UTC')";
		case SCIM_TIME_SECONDS:
			return src->whole ? "pg_catalog.floor(pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()))" :
				"pg_catalog.date_part('epoch', pg_catalog.clock_timestamp())";
		case SCIM_TIME_MILLISECONDS:
			return "pg_catalog.floor(pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()) OPERATOR(pg_catalog.*) 1000)";
		default:
			return "pg_catalog.clock_timestamp()";
	}
}
