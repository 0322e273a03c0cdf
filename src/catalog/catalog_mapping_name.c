/*
 * catalog_mapping_name.c
 *		Columns and tables that a mapping names, followed by their numbers.
 *
 * A mapping is text: names, so that it survives dump and restore.  What they
 * stood for when it was made, altered, or first seen by the event trigger after
 * a restore, is in scim._mapping_names: for each table its OID, for each column
 * its number and type.  From then on the number counts, as it does in a view:
 *
 * - renamed: the text is changed to the new name, by the event trigger at once;
 *   where that did not fire, in memory whenever the mapping is compiled;
 * - renamed, and named in an expression, which is not rewritten: an error;
 * - dropped, or of a type of another kind: an error, also if there is another
 *   column of that name now, which may be anything;
 * - alter_mapping looks up all names anew: by it a person says what is meant.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/event_trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/regproc.h"
#include "utils/resowner.h"
#include "utils/varlena.h"

#include "catalog_mapping_internal.h"

PG_FUNCTION_INFO_V1(scim_mapping_ddl);

/* A table (attnum 0) or column that a mapping names. */
typedef struct MappedName
{
	Oid			relid;
	AttrNumber	attnum;
	const char *name;			/* as the text of the mapping has it */
	bool		fixed;			/* in an expression, which stays as it is */
	const char *now;			/* what it is called, if it is renamed */
} MappedName;

typedef struct Walk
{
	Oid			relid;			/* of the mapping */
	List	   *known;			/* Names that are renamed are replaced; NIL: all are to be learned */
	List	   *learned;
} Walk;

static json_t *walk_object(Walk *walk, Oid relid, const json_t *object, bool row);

/* ---- JSON, a bracket for each step: the parser may raise in between ---- */

static void
put(json_t *object, const char *key, json_t *value)
{
	ScimCoreFrame frame;
	bool		ok;

	scim_core_enter(&frame);
	ok = value && json_object_set_new(object, key, value) == 0;
	scim_core_leave(&frame);
	if (!ok)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
}

static json_t *
json_text(const char *text)
{
	ScimCoreFrame frame;
	json_t	   *result;

	scim_core_enter(&frame);
	result = json_string(text);
	scim_core_leave(&frame);
	return result;
}

static json_t *
copy(const json_t *value)
{
	ScimCoreFrame frame;
	json_t	   *result;

	scim_core_enter(&frame);
	result = json_deep_copy(value);
	scim_core_leave(&frame);
	return result;
}

static json_t *
empty_array(void)
{
	ScimCoreFrame frame;
	json_t	   *result;

	scim_core_enter(&frame);
	result = json_array();
	scim_core_leave(&frame);
	return result;
}

static void
append(json_t *array, json_t *value)
{
	ScimCoreFrame frame;
	bool		ok;

	scim_core_enter(&frame);
	ok = value && json_array_append_new(array, value) == 0;
	scim_core_leave(&frame);
	if (!ok)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
}

/* ---- names ---- */

static void
learn(Walk *walk, Oid relid, AttrNumber attnum, const char *name, bool fixed)
{
	MappedName *entry;
	ListCell   *lc;

	foreach(lc, walk->learned)
	{
		entry = (MappedName *) lfirst(lc);
		if (entry->relid == relid && entry->attnum == attnum && entry->fixed == fixed && strcmp(entry->name, name) == 0)
			return;
	}
	entry = palloc0(sizeof(MappedName));
	entry->relid = relid;
	entry->attnum = attnum;
	entry->name = pstrdup(name);
	entry->fixed = fixed;
	walk->learned = lappend(walk->learned, entry);
}

/* What a column is called now; the name itself where it is not renamed, or none. */
static const char *
column_now(Walk *walk, Oid relid, const char *name)
{
	ListCell   *lc;

	foreach(lc, walk->known)
	{
		const MappedName *entry = (const MappedName *) lfirst(lc);

		if (entry->relid == relid && entry->attnum != 0 && !entry->fixed && strcmp(entry->name, name) == 0)
			return entry->now ? entry->now : name;
	}
	if (walk->known == NIL && get_attnum(relid, name) > 0)
		learn(walk, relid, get_attnum(relid, name), name, false);
	return name;
}

/* The table that a text names, and what it is called now; InvalidOid: there is none. */
static Oid
table_now(Walk *walk, const char *name, const char **now)
{
	ListCell   *lc;
	Oid			relid;

	*now = name;
	foreach(lc, walk->known)
	{
		const MappedName *entry = (const MappedName *) lfirst(lc);

		if (entry->attnum != 0 || strcmp(entry->name, name) != 0)
			continue;
		if (entry->now)
			*now = entry->now;
		return entry->relid;
	}
	relid = RangeVarGetRelid(makeRangeVarFromNameList(stringToQualifiedNameList(name, NULL)), NoLock, true);
	if (walk->known == NIL && OidIsValid(relid))
		learn(walk, relid, 0, name, false);
	return relid;
}

typedef struct Columns
{
	Walk	   *walk;
	Oid			relid;
} Columns;

/* Columns that an expression may name: "column", or "alias.column". */
static bool
find_columns(Node *node, void *context)
{
	const Columns *columns = (const Columns *) context;

	if (node == NULL)
		return false;
	if (IsA(node, ColumnRef))
	{
		List	   *fields = ((ColumnRef *) node)->fields;
		const char *name = IsA(llast(fields), String) ? strVal(llast(fields)) : NULL;
		AttrNumber	attnum = name && list_length(fields) <= 2 ? get_attnum(columns->relid, name) : 0;

		if (attnum > 0)
			learn(columns->walk, columns->relid, attnum, name, true);
		return false;
	}
	return raw_expression_tree_walker(node, find_columns, context);
}

static void
walk_expression(Walk *walk, Oid relid, const json_t *text)
{
	Columns		columns = {walk, relid};

	if (walk->known == NIL && json_is_string(text))
		(void) find_columns(scim_mapping_parse(json_string_value(text)), &columns);
}

/* ---- the text of a mapping ---- */

static json_t *
walk_column(Walk *walk, Oid relid, const json_t *name)
{
	json_t	   *list;

	if (json_is_string(name))
		return json_text(column_now(walk, relid, json_string_value(name)));
	if (!json_is_array(name))
		return copy(name);
	list = empty_array();
	for (size_t i = 0; i < json_array_size(name); i++)
		append(list, walk_column(walk, relid, json_array_get(name, i)));
	return list;
}

/* A source given as text: a column, NOT a column, or an expression. */
static json_t *
walk_text(Walk *walk, Oid relid, const json_t *text)
{
	const char *name = json_string_value(text);
	const char *now = column_now(walk, relid, name);
	const char *column;

	if (now != name)
		return json_text(now);
	if (get_attnum(relid, name) > 0)
		return copy(text);
	column = scim_mapping_negated(name);
	if (column && column_now(walk, relid, column) != column)
		return json_text(psprintf("NOT %s", quote_identifier(column_now(walk, relid, column))));
	if (column == NULL)
		walk_expression(walk, relid, text);
	return copy(text);
}

/* {"column": "expression"} */
static json_t *
walk_settings(Walk *walk, Oid relid, Oid over, const json_t *settings)
{
	json_t	   *result;
	const char *name;
	json_t	   *value;

	if (!json_is_object(settings))
		return copy(settings);
	result = scim_json_object();
	json_object_foreach(unconstify(json_t *, settings), name, value)
	{
		/* fixed values are no expressions */
		if (OidIsValid(over))
			walk_expression(walk, over, value);
		put(result, column_now(walk, relid, name), copy(value));
	}
	return result;
}

/* The columns of sub-attributes. */
static json_t *
walk_columns(Walk *walk, Oid relid, const json_t *columns)
{
	json_t	   *result;
	const char *name;
	json_t	   *value;

	if (!json_is_object(columns))
		return walk_column(walk, relid, columns);
	result = scim_json_object();
	json_object_foreach(unconstify(json_t *, columns), name, value)
		put(result, name, json_is_object(value) ? walk_object(walk, relid, value, false) : walk_column(walk, relid, value));
	return result;
}

static bool
is_one_of(const char *name, const char *const *names)
{
	for (int i = 0; names[i]; i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

/* {"column": value}: fixed values, or values that are expressions over "over". */
static json_t *
walk_member(Walk *walk, Oid relid, const json_t *object, const char *name, const json_t *value, bool row)
{
	static const char *const columns[] = {"column", "folded", "parent", "pending", "order", NULL};
	static const char *const settings[] = {"write", "remove", "revive", "set", "touch", NULL};

	if (is_one_of(name, columns) || (strcmp(name, "ref") == 0 && json_object_get(object, "table")))
		return walk_column(walk, relid, value);
	/* (of "revive" it is an attribute) */
	if (strcmp(name, "by") == 0 && json_object_get(object, "table"))
		return walk_column(walk, walk->relid, value);
	if (strcmp(name, "columns") == 0 || (row && strcmp(name, "scope") == 0))
		return walk_columns(walk, relid, value);
	if (strcmp(name, "read") == 0 && json_is_string(value))
		return walk_text(walk, relid, value);
	if (strcmp(name, "where") == 0)
		return walk_settings(walk, relid, InvalidOid, value);
	if (strcmp(name, "insert") == 0)
		return walk_settings(walk, relid, walk->relid, value);
	if (row && json_is_object(value) && (strcmp(name, "delete") == 0 || strcmp(name, "revive") == 0 || strcmp(name, "membership") == 0))
		return walk_object(walk, relid, value, false);
	if (is_one_of(name, settings))
		return walk_settings(walk, relid, relid, value);
	if (strcmp(name, "filter") == 0)
		walk_expression(walk, relid, value);
	if (strcmp(name, row ? "beside" : "copies") == 0 && json_is_array(value))
	{
		json_t	   *list = empty_array();

		for (size_t i = 0; i < json_array_size(value); i++)
			append(list, walk_object(walk, relid, json_array_get(value, i), false));
		return list;
	}
	return copy(value);
}

/* A source, a place of values, or ("row") the options. */
static json_t *
walk_object(Walk *walk, Oid relid, const json_t *object, bool row)
{
	const char *table = row ? NULL : json_string_value(json_object_get(object, "table"));
	json_t	   *result;
	const char *name;
	json_t	   *value;

	if (!json_is_object(object))
		return copy(object);
	result = scim_json_object();
	if (table)
	{
		relid = table_now(walk, table, &table);
		if (!OidIsValid(relid))
			return copy(object);
	}
	json_object_foreach(unconstify(json_t *, object), name, value)
		put(result, name, table && strcmp(name, "table") == 0 ? json_text(table) :
			walk_member(walk, relid, object, name, value, row));
	return result;
}

static json_t *
walk_source(Walk *walk, const json_t *value)
{
	json_t	   *list;

	if (json_is_string(value))
		return walk_text(walk, walk->relid, value);
	if (!json_is_array(value))
		return walk_object(walk, walk->relid, value, false);
	list = empty_array();
	for (size_t i = 0; i < json_array_size(value); i++)
		append(list, walk_source(walk, json_array_get(value, i)));
	return list;
}

static const char *
walk_key(Walk *walk, const char *key)
{
	List	   *names = NIL;
	StringInfoData text;
	ListCell   *lc;
	Columns		columns = {walk, walk->relid};

	/* its columns may have other names now */
	foreach(lc, walk->known)
	{
		const MappedName *entry = (const MappedName *) lfirst(lc);

		if (entry->relid == walk->relid && entry->attnum != 0 && strcmp(entry->name, key) == 0)
			return column_now(walk, walk->relid, key);
	}
	names = scim_key_listed_names(walk->relid, key);
	if (names == NIL)
	{
		if (walk->known == NIL)
			(void) find_columns(scim_mapping_parse(key), &columns);
		return key;
	}
	if (list_length(names) == 1)
		return column_now(walk, walk->relid, (char *) linitial(names));
	initStringInfo(&text);
	foreach(lc, names)
		appendStringInfo(&text, "%s%s", text.len > 0 ? ", " : "", quote_identifier(column_now(walk, walk->relid, (char *) lfirst(lc))));
	return text.data;
}

static const char *
print(const json_t *value)
{
	size_t		len;
	const char *text = scim_json_print(value, &len);

	if (text == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	return text;
}

/* Go through all that a mapping says; its texts become those of the names of now. */
static void
walk_mapping(Walk *walk, ScimMappingRow *row)
{
	ScimError	err;
	json_t	   *attributes;
	json_t	   *options;
	json_t	   *result = scim_json_object();
	const char *name;
	json_t	   *value;

	memset(&err, 0, sizeof(err));
	attributes = scim_json_parse(row->attributes, strlen(row->attributes), &err);
	options = scim_json_parse(row->options, strlen(row->options), &err);
	if (!json_is_object(attributes) || !json_is_object(options))
		return;
	json_object_foreach(attributes, name, value)
		put(result, name, walk_source(walk, value));
	row->attributes = print(result);
	row->options = print(walk_object(walk, row->relid, options, true));
	row->key = walk_key(walk, row->key);
}

/* The same with the rights of whoever has the extension: nothing of the mapping's is executed. */
static void
walk_as_owner(Walk *walk, ScimMappingRow *row)
{
	Oid			saved_user;
	int			saved_context;

	GetUserIdAndSecContext(&saved_user, &saved_context);
	SetUserIdAndSecContext(scim_own_role(), saved_context | SECURITY_LOCAL_USERID_CHANGE);
	walk_mapping(walk, row);
	SetUserIdAndSecContext(saved_user, saved_context);
}

/* ---- what has become of the names ---- */

/* One row of scim._mapping_names and the catalogs: raises what can't be followed, if "strict". */
static MappedName *
read_name(const ScimMappingRow *row, HeapTuple tuple, TupleDesc desc, bool strict)
{
	MappedName *entry = palloc0(sizeof(MappedName));
	bool		isnull;
	const char *name = SPI_getvalue(tuple, desc, 3);
	const char *table = SPI_getvalue(tuple, desc, 6);
	const char *now = SPI_getvalue(tuple, desc, 7);
	Oid			old_type = DatumGetObjectId(SPI_getbinval(tuple, desc, 5, &isnull));
	Oid			type = DatumGetObjectId(SPI_getbinval(tuple, desc, 8, &isnull));

	entry->relid = DatumGetObjectId(SPI_getbinval(tuple, desc, 1, &isnull));
	entry->attnum = DatumGetInt16(SPI_getbinval(tuple, desc, 2, &isnull));
	entry->fixed = DatumGetBool(SPI_getbinval(tuple, desc, 4, &isnull));
	entry->name = name;
	if (table == NULL && strict)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 entry->attnum == 0 ? errmsg("table %s, which mapping \"%s\" names, has been dropped", name, row->name) :
				 errmsg("the table of column \"%s\", which mapping \"%s\" names, has been dropped", name, row->name),
				 errhint("scim.alter_mapping looks for a table of that name, or takes another.")));
	if (table && now == NULL && strict)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of table %s, which mapping \"%s\" names, has been dropped", name, table, row->name),
				 get_attnum(entry->relid, name) > 0 ?
				 errhint("Another column is called so now. If that is meant: SELECT scim.alter_mapping(%s);", quote_literal_cstr(row->name)) :
				 errhint("Map its attribute to another column, or remove it: scim.alter_mapping.")));
	if (table == NULL || now == NULL)
		return entry;
	if (strcmp(now, name) != 0 && entry->fixed && strict)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of table %s, which an expression of mapping \"%s\" or the scope of an endpoint names, is called \"%s\" now", name, table, row->name, now),
				 errhint("Give the attribute or option with that expression again: scim.alter_mapping. For a scope: options => '{\"scope\": {\"%s\": \"%s\"}}'.", name, now)));
	if (entry->attnum != 0 && strict && !scim_types_are_alike(old_type, type))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table %s, which mapping \"%s\" names, was of type %s and is of type %s now", now, table, row->name,
						format_type_be(old_type), format_type_be(type)),
				 errhint("If the mapping is right as it is: SELECT scim.alter_mapping(%s);", quote_literal_cstr(row->name))));
	if (strcmp(now, name) != 0)
		entry->now = now;
	return entry;
}

/* Is a table still called as the text has it? */
static bool
same_table(const MappedName *entry)
{
	RangeVar   *rv = makeRangeVarFromNameList(stringToQualifiedNameList(entry->name, NULL));

	return rv->schemaname && strcmp(rv->relname, get_rel_name(entry->relid)) == 0 &&
		strcmp(rv->schemaname, get_namespace_name(get_rel_namespace(entry->relid))) == 0;
}

/* The names of a mapping; true: one of them is renamed. */
static bool
read_names(const ScimMappingRow *row, bool strict, List **names)
{
	Oid			types[1] = {INT8OID};
	Datum		values[1];
	SPITupleTable *table;
	uint64		n;
	bool		any = false;

	*names = NIL;
	values[0] = Int64GetDatum(row->id);
	if (scim_own_execute("names of mapping",
						 "SELECT n.relation, n.attnum, n.name, n.fixed, n.type, c.oid::pg_catalog.regclass::pg_catalog.text,"
						 " CASE WHEN n.attnum OPERATOR(pg_catalog.=) 0 THEN n.name ELSE a.attname::pg_catalog.text END, a.atttypid"
						 " FROM scim._mapping_names n LEFT JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) n.relation"
						 " LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) n.relation"
						 " AND a.attnum OPERATOR(pg_catalog.=) n.attnum AND NOT a.attisdropped"
						 " WHERE n.mapping OPERATOR(pg_catalog.=) $1 ORDER BY n.attnum, n.name",
						 1, types, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read scim._mapping_names");
	table = SPI_tuptable;
	n = SPI_processed;
	for (uint64 i = 0; i < n; i++)
	{
		MappedName *entry = read_name(row, table->vals[i], table->tupdesc, strict);

		if (entry->attnum == 0 && get_rel_name(entry->relid) && !same_table(entry))
			entry->now = scim_qualified_relation(entry->relid);
		any = any || (entry->now && !entry->fixed);
		*names = lappend(*names, entry);
	}
	return any;
}

void
scim_mapping_follow(ScimMappingRow *row)
{
	Walk		walk = {row->relid, NIL, NIL};
	MemoryContext caller = CurrentMemoryContext;
	bool		renamed;

	SPI_connect();
	MemoryContextSwitchTo(caller);
	renamed = read_names(row, true, &walk.known);
	SPI_finish();
	MemoryContextSwitchTo(caller);
	if (renamed)
		walk_mapping(&walk, row);
}

/* ---- learning ---- */

void
scim_mapping_forget_names(const ScimMappingRow *row)
{
	Oid			types[1] = {INT8OID};
	Datum		values[1];

	values[0] = Int64GetDatum(row->id);
	if (scim_own_execute("forget names", "DELETE FROM scim._mapping_names WHERE mapping OPERATOR(pg_catalog.=) $1",
						 1, types, values, NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "could not write scim._mapping_names");
}

/*
 * Scope columns are named by endpoints, in any table of a mapping that has them.
 * What is known already stays: another column of that name is none of them.
 */
void
scim_mapping_learn_scopes(void)
{
	if (scim_own_execute("learn scopes",
						 "INSERT INTO scim._mapping_names (mapping, relation, attnum, name, fixed, type)"
						 " SELECT DISTINCT m.id, a.attrelid, a.attnum, s.name, true, a.atttypid"
						 " FROM scim._endpoints e CROSS JOIN LATERAL pg_catalog.jsonb_object_keys(e.scope) s (name)"
						 " JOIN scim._mappings m ON NOT m.builtin AND m.name OPERATOR(pg_catalog.=) ANY (e.mappings)"
						 " JOIN pg_catalog.pg_attribute a ON a.attname OPERATOR(pg_catalog.=) s.name::pg_catalog.name"
						 " AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped"
						 " WHERE (a.attrelid OPERATOR(pg_catalog.=) m.relation OR a.attrelid IN (SELECT t.relation FROM scim._mapping_names t"
						 "  WHERE t.mapping OPERATOR(pg_catalog.=) m.id AND t.attnum OPERATOR(pg_catalog.=) 0))"
						 " AND EXISTS (SELECT 1 FROM scim._mapping_names t WHERE t.mapping OPERATOR(pg_catalog.=) m.id)"
						 " AND NOT EXISTS (SELECT 1 FROM scim._mapping_names o WHERE o.mapping OPERATOR(pg_catalog.=) m.id"
						 "  AND o.relation OPERATOR(pg_catalog.=) a.attrelid AND o.fixed AND o.name OPERATOR(pg_catalog.=) s.name)"
						 " ON CONFLICT DO NOTHING",
						 0, NULL, NULL, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write scim._mapping_names");
}

void
scim_mapping_learn_names(const ScimMappingRow *row)
{
	Walk		walk = {row->relid, NIL, NIL};
	ScimMappingRow unused = *row;
	ListCell   *lc;
	Oid			types[6] = {INT8OID, OIDOID, INT2OID, TEXTOID, BOOLOID, OIDOID};
	Datum		values[6];

	walk_as_owner(&walk, &unused);
	foreach(lc, walk.learned)
	{
		const MappedName *entry = (const MappedName *) lfirst(lc);

		values[0] = Int64GetDatum(row->id);
		values[1] = ObjectIdGetDatum(entry->relid);
		values[2] = Int16GetDatum(entry->attnum);
		values[3] = CStringGetTextDatum(entry->name);
		values[4] = BoolGetDatum(entry->fixed);
		values[5] = ObjectIdGetDatum(entry->attnum == 0 ? InvalidOid : get_atttype(entry->relid, entry->attnum));
		if (scim_own_execute("learn name",
							 "INSERT INTO scim._mapping_names (mapping, relation, attnum, name, fixed, type)"
							 " VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
							 6, types, values, NULL, false, 0) != SPI_OK_INSERT)
			elog(ERROR, "could not write scim._mapping_names");
	}
	scim_mapping_learn_scopes();
}

/* What is renamed is known by its new name from now on. */
static void
rename_known(const ScimMappingRow *row, const List *names)
{
	Oid			types[5] = {INT8OID, OIDOID, INT2OID, TEXTOID, TEXTOID};
	Datum		values[5];
	ListCell   *lc;

	foreach(lc, names)
	{
		const MappedName *entry = (const MappedName *) lfirst(lc);

		if (entry->now == NULL || entry->fixed)
			continue;
		values[0] = Int64GetDatum(row->id);
		values[1] = ObjectIdGetDatum(entry->relid);
		values[2] = Int16GetDatum(entry->attnum);
		values[3] = CStringGetTextDatum(entry->name);
		values[4] = CStringGetTextDatum(entry->now);
		if (scim_own_execute("rename name",
							 "UPDATE scim._mapping_names SET name = $5 WHERE mapping OPERATOR(pg_catalog.=) $1"
							 " AND relation OPERATOR(pg_catalog.=) $2 AND attnum OPERATOR(pg_catalog.=) $3"
							 " AND name OPERATOR(pg_catalog.=) $4 AND NOT fixed",
							 5, types, values, NULL, false, 0) != SPI_OK_UPDATE)
			elog(ERROR, "could not write scim._mapping_names");
	}
}

bool
scim_mapping_rename_text(ScimMappingRow *row)
{
	Walk		walk = {row->relid, NIL, NIL};

	if (!read_names(row, false, &walk.known))
		return false;
	walk_as_owner(&walk, row);
	rename_known(row, walk.known);
	return true;
}

static void
rename_in_mapping(ScimMappingRow *row)
{
	Oid			types[4] = {INT8OID, TEXTOID, TEXTOID, TEXTOID};
	Datum		values[4];

	if (!scim_mapping_rename_text(row))
		return;
	values[0] = Int64GetDatum(row->id);
	values[1] = CStringGetTextDatum(row->attributes);
	values[2] = CStringGetTextDatum(row->options);
	values[3] = CStringGetTextDatum(row->key);
	if (scim_own_execute("rename in mapping",
						 "UPDATE scim._mappings SET attributes = $2::pg_catalog.jsonb, options = $3::pg_catalog.jsonb, key = $4"
						 " WHERE id OPERATOR(pg_catalog.=) $1",
						 4, types, values, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not write scim._mappings");
	CommandCounterIncrement();
}

/* ---- DDL ---- */

/* Mappings without numbers (of a restored dump), or with names that are not right any more. */
static List *
mappings_to_do(bool start)
{
	List	   *names = NIL;

	if (scim_own_execute(start ? "mappings to learn" : "mappings to rename",
						 start ? "SELECT m.name FROM scim._mappings m WHERE NOT m.builtin"
						 " AND NOT EXISTS (SELECT 1 FROM scim._mapping_names n WHERE n.mapping OPERATOR(pg_catalog.=) m.id) ORDER BY m.name" :
						 "SELECT m.name FROM scim._mappings m WHERE EXISTS (SELECT 1 FROM scim._mapping_names n"
						 " LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) n.relation"
						 " AND a.attnum OPERATOR(pg_catalog.=) n.attnum AND NOT a.attisdropped"
						 " WHERE n.mapping OPERATOR(pg_catalog.=) m.id AND NOT n.fixed"
						 " AND (n.attnum OPERATOR(pg_catalog.=) 0 OR a.attname OPERATOR(pg_catalog.<>) n.name)) ORDER BY m.name",
						 0, NULL, NULL, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read scim._mappings");
	for (uint64 i = 0; i < SPI_processed; i++)
		names = lappend(names, SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1));
	return names;
}

static void
follow_command(bool start)
{
	ListCell   *lc;
	List	   *names;

	SPI_connect();
	scim_catalog_begin();
	names = mappings_to_do(start);
	foreach(lc, names)
	{
		ScimMappingRow *row = scim_mapping_row((char *) lfirst(lc));

		if (start)
			scim_mapping_learn_names(row);
		else
			rename_in_mapping(row);
	}
	scim_catalog_end();
	SPI_finish();
}

/*
 * Event trigger: ddl_command_start and _end of ALTER of tables, views and
 * schemas.  It is other people's DDL: what fails here is a warning, and the
 * mapping is followed when it is compiled.
 */
Datum
scim_mapping_ddl(PG_FUNCTION_ARGS)
{
	const EventTriggerData *event = (EventTriggerData *) fcinfo->context;
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	bool		start;

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("scim._mapping_ddl can only be called as an event trigger")));
	start = strcmp(event->event, "ddl_command_start") == 0;
	/* no relation says that its schema is called otherwise */
	if (!start && event->tag == CMDTAG_ALTER_SCHEMA)
		CacheInvalidateRelcacheByRelid(scim_own_relid("_mappings"));
	if (!start && !IsA(event->parsetree, RenameStmt) && !IsA(event->parsetree, AlterObjectSchemaStmt))
		PG_RETURN_NULL();

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		follow_command(start);
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(caller);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(caller);
		edata = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(caller);
		CurrentResourceOwner = owner;
		if (ERRCODE_TO_CATEGORY(edata->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
			ReThrowError(edata);
		ereport(WARNING,
				(errcode(edata->sqlerrcode),
				 errmsg("scim does not follow this command in all of its mappings: %s", edata->message),
				 errhint("See scim.check_mapping.")));
	}
	PG_END_TRY();
	PG_RETURN_NULL();
}
