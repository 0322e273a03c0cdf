/*
 * provisioner_sync.c
 *		Rows of scim._syncs as structs.
 *
 * Syncs are few and read once in a worker's cycle: nothing is cached here.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/async.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"

#include "provisioner_internal.h"
#include "../catalog/catalog.h"
#include "../compat.h"
#include "../core/core_path.h"

static const char *const state_names[] = {"configured", "active", "paused", "quarantined", "disabled"};
static const char *const apply_names[] = {"always", "create_only", "if_absent", "add_only"};
static const char *const on_null_names[] = {"remove", "skip", "default"};
static const char *const adopt_names[] = {"auto", "approve", "never"};
static const char *const action_names[] = {"create", "update", "delete"};

/* Disables and deletes in an hour that nobody has to approve. */
#define DEFAULT_GUARD_COUNT 20
#define DEFAULT_GUARD_PERCENT 5

#define SYNC_COLUMNS \
	"s.id, s.name, s.mapping_id, m.name, s.server, m.owner::pg_catalog.oid, s.scope, s.actions," \
	" s.delete_after, s.attributes::pg_catalog.text, s.state, s.state_reason, s.options::pg_catalog.text, s.home," \
	" coalesce(s.drift_at, s.created)," \
	" coalesce(s.reconciled_at, s.created)" \
	" FROM scim._syncs s JOIN scim._mappings m ON m.id OPERATOR(pg_catalog.=) s.mapping_id"

/* Position of a word in a list of n, or -1. */
static int
word_index(const char *word, const char *const *words, int n)
{
	for (int i = 0; i < n; i++)
		if (strcmp(word, words[i]) == 0)
			return i;
	return -1;
}

int
scim_sync_parse_actions(Datum array)
{
	Datum	   *elements;
	bool	   *nulls;
	int			n;
	int			flags = 0;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		const char *name = nulls[i] ? "" : TextDatumGetCString(elements[i]);
		int			index = word_index(name, action_names, lengthof(action_names));

		if (index < 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("\"%s\" is no action of a sync", name),
					 errdetail("Actions are create, update and delete.")));
		flags |= 1 << index;
	}
	return flags;
}

/* ---- attributes ---- */

pg_noreturn static void attribute_error(const ScimSync *sync, const char *path, const char *problem);

static void
attribute_error(const ScimSync *sync, const char *path, const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("attribute \"%s\" of sync \"%s\": %s", path, sync->name, problem)));
}

/* A member that is one of a list of words. */
static int
parse_word(const ScimSync *sync, const char *path, const char *member, const json_t *value,
		   const char *const *words, int n)
{
	int			index = json_is_string(value) ? word_index(json_string_value(value), words, n) : -1;
	StringInfoData list;

	if (index >= 0)
		return index;
	initStringInfo(&list);
	for (int i = 0; i < n; i++)
		appendStringInfo(&list, "%s%s", i == 0 ? "" : i == n - 1 ? " or " : ", ", words[i]);
	attribute_error(sync, path, psprintf("\"%s\" is %s", member, list.data));
}

static void
parse_attribute(ScimSync *sync, const char *path, json_t *spec, ScimSyncAttribute *attribute)
{
	void	   *iter;

	memset(attribute, 0, sizeof(*attribute));
	attribute->path = pstrdup(path);
	if (!json_is_object(spec))
		attribute_error(sync, path, "is described by an object");
	for (iter = json_object_iter(spec); iter; iter = json_object_iter_next(spec, iter))
	{
		const char *member = json_object_iter_key(iter);
		const json_t *value = json_object_iter_value(iter);
		size_t		len;

		if (strcmp(member, "match") == 0)
		{
			if (!json_is_integer(value) || json_integer_value(value) < 1 || json_integer_value(value) > 100)
				attribute_error(sync, path, "\"match\" is a rank from 1 to 100");
			attribute->match = (int) json_integer_value(value);
		}
		else if (strcmp(member, "apply") == 0)
			attribute->apply = parse_word(sync, path, member, value, apply_names, lengthof(apply_names));
		else if (strcmp(member, "on_null") == 0)
			attribute->on_null = parse_word(sync, path, member, value, on_null_names, lengthof(on_null_names));
		else if (strcmp(member, "default") == 0)
			attribute->default_value = scim_json_print(value, &len);
		else
			attribute_error(sync, path, psprintf("has no option \"%s\": there are match, apply, on_null and default", member));
	}
	if ((attribute->on_null == SCIM_NULL_DEFAULT) != (attribute->default_value != NULL))
		attribute_error(sync, path, "\"on_null\": \"default\" and \"default\" go together");
}

/* The path leads to something that the mapping pushes, and is there once. */
static void
check_attribute(const ScimSync *sync, int n, const ScimResourceType *type, ScimPath **paths)
{
	const ScimSyncAttribute *attribute = &sync->attributes[n];
	ScimError	err;
	ScimPath   *path;

	memset(&err, 0, sizeof(err));
	path = scim_path_parse(type, attribute->path, strlen(attribute->path), SCIM_STRICT, &err);
	if (path == NULL)
		attribute_error(sync, attribute->path, err.detail);
	if (path->attr == NULL)
		attribute_error(sync, attribute->path, "names a schema and no attribute");
	if (path->attr == type->a_id || path->attr == type->a_schemas || path->attr == type->a_meta)
		attribute_error(sync, attribute->path, "is made by the server and not pushed");
	if (attribute->match && path->sub == NULL && path->attr->type == SCIM_TYPE_COMPLEX)
		attribute_error(sync, attribute->path, "only a simple attribute can be matched");
	for (int i = 0; i < n; i++)
		if (paths[i]->attr == path->attr && paths[i]->sub == path->sub &&
			paths[i]->filter == NULL && path->filter == NULL)
			attribute_error(sync, attribute->path, "is there twice");
	paths[n] = path;
}

void
scim_sync_parse_attributes(ScimSync *sync, const char *json, const ScimResourceType *type)
{
	ScimError	err;
	json_t	   *attributes;
	ScimPath  **paths;
	void	   *iter;

	memset(&err, 0, sizeof(err));
	attributes = scim_json_parse(json, strlen(json), &err);
	if (attributes == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the attributes of sync \"%s\": %s", sync->name, err.detail)));
	if (!json_is_object(attributes))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the attributes of sync \"%s\" are no JSON object", sync->name)));
	sync->attributes = palloc0(sizeof(ScimSyncAttribute) * Max(json_object_size(attributes), 1));
	paths = palloc0(sizeof(ScimPath *) * Max(json_object_size(attributes), 1));
	for (iter = json_object_iter(attributes); iter; iter = json_object_iter_next(attributes, iter))
	{
		parse_attribute(sync, json_object_iter_key(iter), json_object_iter_value(iter),
						&sync->attributes[sync->nattributes]);
		if (type)
			check_attribute(sync, sync->nattributes, type, paths);
		sync->nattributes++;
	}
}

/* ---- options ---- */

pg_noreturn static void option_error(const ScimSync *sync, const char *option, const char *problem);

static void
option_error(const ScimSync *sync, const char *option, const char *problem)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("option \"%s\" of sync \"%s\" %s", option, sync->name, problem)));
}

static int
parse_count(const ScimSync *sync, const char *name, const json_t *value, int least, const char *problem)
{
	if (!json_is_integer(value) || json_integer_value(value) < least || json_integer_value(value) > INT_MAX)
		option_error(sync, name, problem);
	return (int) json_integer_value(value);
}

static int64
parse_seconds(const ScimSync *sync, const char *name, const json_t *value, bool may_be_never)
{
	Interval   *interval;
	double		seconds;

	if (!json_is_string(value))
		option_error(sync, name, "is an interval");
	if (may_be_never && strcmp(json_string_value(value), "never") == 0)
		return 0;
	interval = DatumGetIntervalP(DirectFunctionCall3(interval_in, CStringGetDatum(json_string_value(value)),
													 ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
	seconds = interval->time / (double) USECS_PER_SEC + (interval->day + interval->month * 30.0) * SECS_PER_DAY;
	if (!(seconds >= 1 && seconds < 1e9))
		option_error(sync, name, "is an interval of a second at least");
	return (int64) seconds;
}

static bool
parse_flag(const ScimSync *sync, const char *name, const json_t *value)
{
	if (!json_is_boolean(value))
		option_error(sync, name, "is true or false");
	return json_is_true(value);
}

static void
parse_option(ScimSync *sync, const char *name, const json_t *value)
{
	if (strcmp(name, "adopt") == 0)
	{
		int			index = json_is_string(value) ? word_index(json_string_value(value), adopt_names, lengthof(adopt_names)) : -1;

		if (index < 0)
			option_error(sync, name, "is auto, approve or never");
		sync->adopt = index;
	}
	else if (strcmp(name, "guard_count") == 0)
		sync->guard_count = parse_count(sync, name, value, 0, "is a number of rows");
	else if (strcmp(name, "recreate_count") == 0)
		sync->recreate_count = parse_count(sync, name, value, 0, "is a number of resources");
	else if (strcmp(name, "escrow_days") == 0)
		sync->escrow_days = parse_count(sync, name, value, 1, "is a number of days");
	else if (strcmp(name, "guard_percent") == 0)
	{
		if (!json_is_number(value) || json_number_value(value) < 0 || json_number_value(value) > 100)
			option_error(sync, name, "is a number from 0 to 100");
		sync->guard_percent = json_number_value(value);
	}
	else if (strcmp(name, "create_inactive") == 0)
		sync->create_inactive = parse_flag(sync, name, value);
	else if (strcmp(name, "drift_interval") == 0)
		sync->drift_seconds = parse_seconds(sync, name, value, false);
	else if (strcmp(name, "reconcile_interval") == 0)
		sync->reconcile_seconds = parse_seconds(sync, name, value, true);
	else if (strcmp(name, "drift_repair") == 0)
		sync->drift_repair = parse_flag(sync, name, value);
	else if (strcmp(name, "flatten_groups") == 0)
		sync->flatten_groups = parse_flag(sync, name, value);
	else if (strcmp(name, "log_values") == 0)
		sync->log_values = parse_flag(sync, name, value);
	else
		option_error(sync, name, "does not exist: there are adopt, guard_count, guard_percent, recreate_count, escrow_days, create_inactive, flatten_groups, reconcile_interval, drift_interval, drift_repair and log_values");
}

void
scim_sync_parse_options(ScimSync *sync, const char *json)
{
	ScimError	err;
	json_t	   *options;
	void	   *iter;

	sync->adopt = SCIM_ADOPT_AUTO;
	sync->guard_count = DEFAULT_GUARD_COUNT;
	sync->guard_percent = DEFAULT_GUARD_PERCENT;
	sync->create_inactive = sync->flatten_groups = sync->drift_repair = sync->log_values = false;
	sync->drift_seconds = 0;
	sync->reconcile_seconds = SCIM_RECONCILE_SECONDS;
	sync->recreate_count = -1;
	sync->escrow_days = SCIM_ESCROW_DAYS;
	memset(&err, 0, sizeof(err));
	options = scim_json_parse(json, strlen(json), &err);
	if (!json_is_object(options))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the options of sync \"%s\" are no JSON object", sync->name)));
	for (iter = json_object_iter(options); iter; iter = json_object_iter_next(options, iter))
		parse_option(sync, json_object_iter_key(iter), json_object_iter_value(iter));
}

/* ---- rows ---- */

/* Text of a column in the current memory context, or NULL. */
static char *
column_text(int row, int column)
{
	return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);
}

static Datum
column_value(int row, int column)
{
	bool		isnull;

	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &isnull);
}

static ScimSync *
make_sync(int row)
{
	ScimSync   *sync = palloc0(sizeof(ScimSync));

	sync->id = DatumGetInt64(column_value(row, 1));
	sync->name = column_text(row, 2);
	sync->mapping_id = DatumGetInt64(column_value(row, 3));
	sync->mapping = column_text(row, 4);
	sync->server = column_text(row, 5);
	sync->owner = DatumGetObjectId(column_value(row, 6));
	sync->scope = column_text(row, 7);
	sync->actions = scim_sync_parse_actions(column_value(row, 8));
	sync->delete_after = *DatumGetIntervalP(column_value(row, 9));
	scim_sync_parse_attributes(sync, column_text(row, 10), NULL);
	sync->state = word_index(column_text(row, 11), state_names, lengthof(state_names));
	sync->state_reason = column_text(row, 12);
	scim_sync_parse_options(sync, column_text(row, 13));
	sync->home = column_text(row, 14);
	sync->drift_at = DatumGetTimestampTz(column_value(row, 15));
	sync->reconciled_at = DatumGetTimestampTz(column_value(row, 16));
	return sync;
}

static List *
read_syncs(const char *key, const char *sql, int nargs, const Oid *types, Datum *values)
{
	MemoryContext caller = CurrentMemoryContext;
	List	   *list = NIL;

	SPI_connect();
	if (scim_own_execute(key, sql, nargs, types, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read scim._syncs");
	MemoryContextSwitchTo(caller);
	for (uint64 i = 0; i < SPI_processed; i++)
		list = lappend(list, make_sync(i));
	SPI_finish();
	return list;
}

ScimSync *
scim_sync_by_name(const char *name)
{
	Oid			types[1] = {TEXTOID};
	Datum		values[1];
	List	   *list;

	values[0] = CStringGetTextDatum(name);
	list = read_syncs("sync", "SELECT " SYNC_COLUMNS " WHERE s.name OPERATOR(pg_catalog.=) $1", 1, types, values);
	return list == NIL ? NULL : (ScimSync *) linitial(list);
}

List *
scim_sync_list_active(void)
{
	return read_syncs("active syncs", "SELECT " SYNC_COLUMNS " WHERE s.state OPERATOR(pg_catalog.=) 'active'"
					  " OR (s.state OPERATOR(pg_catalog.=) 'quarantined' AND s.probe_at OPERATOR(pg_catalog.<=) pg_catalog.clock_timestamp())"
					  " ORDER BY s.id",
					  0, NULL, NULL);
}

/*
 * Whoever listens to the channel scim_sync hears of it at commit: anybody may,
 * so that the reason, which may be about a row, is not told there.
 */
static void
notify(const char *name, const char *state)
{
	StringInfoData payload;

	initStringInfo(&payload);
	appendStringInfoString(&payload, "{\"sync\":");
	escape_json(&payload, name);
	appendStringInfo(&payload, ",\"state\":\"%s\"}", state);
	Async_Notify("scim_sync", payload.data);
}

void
scim_sync_set_state(int64 id, ScimSyncState state, const char *reason)
{
	Oid			types[3] = {INT8OID, TEXTOID, TEXTOID};
	Datum		values[3];
	char		nulls[4] = "   ";
	bool		stopped;

	values[0] = Int64GetDatum(id);
	values[1] = CStringGetTextDatum(state_names[state]);
	values[2] = reason ? CStringGetTextDatum(reason) : (Datum) 0;
	if (reason == NULL)
		nulls[2] = 'n';
	SPI_connect();
	/* back to work: what was probed for is of the past */
	if (scim_own_execute("sync state",
						 "UPDATE scim._syncs s SET state = $2, state_reason = $3,"
						 " probes = CASE WHEN $2 OPERATOR(pg_catalog.=) 'quarantined' THEN s.probes ELSE 0 END,"
						 " probe_at = CASE WHEN $2 OPERATOR(pg_catalog.=) 'quarantined' THEN s.probe_at END,"
						 " quarantined_at = CASE WHEN $2 OPERATOR(pg_catalog.=) 'quarantined'"
						 " THEN coalesce(s.quarantined_at, pg_catalog.clock_timestamp()) END"
						 " FROM scim._syncs o WHERE s.id OPERATOR(pg_catalog.=) $1 AND o.id OPERATOR(pg_catalog.=) s.id"
						 " RETURNING s.name, o.state OPERATOR(pg_catalog.<>) $2, o.state IN ('quarantined', 'disabled')",
						 3, types, values, nulls, false, 0) != SPI_OK_UPDATE_RETURNING)
		elog(ERROR, "could not write scim._syncs");
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("the sync does not exist any more")));
	stopped = DatumGetBool(column_value(0, 3));
	if (DatumGetBool(column_value(0, 2)))
		notify(column_text(0, 1), state_names[state]);
	/* what the target has made of its trouble is not known: every row is held against it */
	if (stopped && state == SCIM_SYNC_ACTIVE)
		scim_sync_queue(id, (Datum) 0, "full");
	SPI_finish();
}
