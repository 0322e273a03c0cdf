/*
 * provider_audit.c
 *		scim.audit_log: a row for each write, what became of it and by whom.
 *
 * The row of a success is written in its transaction: there is no write without
 * it.  That of a failure comes after the rollback, in a transaction of its own
 * (through scim.handle: in the caller's).  A Bulk has a row for each operation
 * that was attempted, with one request id.  Only names of attributes are
 * recorded, no values.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "provider_internal.h"
#include "../scim_guc.h"
#include "../store/store_append.h"

/* Rows past their time go a few at a time, once in so many new ones of a process. */
#define PURGE_EVERY 256

struct ScimAudit
{
	char		request_id[SCIM_REQUEST_ID_SIZE];
	int64		endpoint_id;
	const char *endpoint;
	Oid			owner;
	const char *token;			/* label, or NULL */
	Oid			caller;
	TimestampTz started;
	List	   *entries;		/* of ScimAuditEntry */
};

const char *
scim_request_id(ScimCall *call)
{
	if (call->request_id[0] == '\0')
		strlcpy(call->request_id, DatumGetCString(DirectFunctionCall1(uuid_out, DirectFunctionCall1(gen_random_uuid, (Datum) 0))),
				sizeof(call->request_id));
	return call->request_id;
}

static const char *
copy_text(const char *s)
{
	return s ? pstrdup(s) : NULL;
}

static ScimAuditEntry *
copy_entry(const ScimAuditEntry *entry)
{
	ScimAuditEntry *copy = palloc(sizeof(ScimAuditEntry));
	ListCell   *lc;

	*copy = *entry;
	copy->method = copy_text(entry->method);
	copy->type = copy_text(entry->type);
	copy->id = copy_text(entry->id);
	copy->attributes = NIL;
	foreach(lc, entry->attributes)
		copy->attributes = lappend(copy->attributes, pstrdup((const char *) lfirst(lc)));
	return copy;
}

/*
 * What there is to be recorded of a request that has ended, in the given
 * memory, which outlives the transaction; NULL: nothing.
 */
ScimAudit *
scim_audit_of(ScimCall *call, MemoryContext context)
{
	MemoryContext saved;
	ScimAudit  *audit;
	ListCell   *lc;

	if (!call->admitted || scim_audit_retention < 0 || RecoveryInProgress() || !scim_auth_is_write(call))
		return NULL;
	saved = MemoryContextSwitchTo(context);
	audit = palloc0(sizeof(ScimAudit));
	strlcpy(audit->request_id, scim_request_id(call), sizeof(audit->request_id));
	audit->endpoint_id = call->endpoint->id;
	audit->endpoint = pstrdup(call->endpoint->name);
	audit->owner = call->endpoint->owner;
	audit->token = call->token ? pstrdup(call->token->label) : NULL;
	audit->caller = GetSessionUserId();
	audit->started = call->started;
	if (call->err.status == 0 && call->done != NIL)
	{
		foreach(lc, call->done)
			audit->entries = lappend(audit->entries, copy_entry((const ScimAuditEntry *) lfirst(lc)));
	}
	else
	{
		ScimAuditEntry entry = call->subject;

		entry.method = call->request->method;
		entry.status = call->err.status ? call->err.status : call->response->status;
		audit->entries = list_make1(copy_entry(&entry));
	}
	MemoryContextSwitchTo(saved);
	return audit;
}

static Datum
text_array(const List *texts)
{
	Datum	   *elements = palloc(sizeof(Datum) * Max(list_length(texts), 1));
	int			n = 0;
	ListCell   *lc;

	foreach(lc, texts)
		elements[n++] = CStringGetTextDatum((const char *) lfirst(lc));
	return PointerGetDatum(construct_array(elements, n, TEXTOID, -1, false, TYPALIGN_INT));
}

static Datum
nullable_text(const char *s, char *isnull)
{
	*isnull = s ? ' ' : 'n';
	return s ? CStringGetTextDatum(s) : (Datum) 0;
}

/* Rows that another process deletes are left to it. */
static void
purge(int nrows)
{
	static int	rows = 0;
	Oid			types[1] = {INT4OID};
	Datum		values[1];

	rows += nrows;
	if (rows < PURGE_EVERY || scim_audit_retention == 0)
		return;
	rows = 0;
	values[0] = Int32GetDatum(scim_audit_retention);
	(void) scim_own_execute("purge audit",
							"DELETE FROM scim._audit a WHERE a.id OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT o.id FROM scim._audit o"
							" WHERE o.id OPERATOR(pg_catalog.<) ((SELECT pg_catalog.min(f.id) FROM scim._audit f) OPERATOR(pg_catalog.+) 1000)"
							" AND o.at OPERATOR(pg_catalog.<) (pg_catalog.now() OPERATOR(pg_catalog.-) pg_catalog.make_interval(days => $1)) FOR UPDATE SKIP LOCKED))",
							1, types, values, NULL, false, 0);
}

/* Columns of scim._audit behind id and at, in their order (50_provider.sql). */
#define AUDIT_FIRST 3
#define AUDIT_COLUMNS 12

/* What is the same for all rows. */
static void
common_values(const ScimAudit *audit, Datum *values, char *nulls)
{
	values[0] = DirectFunctionCall1(uuid_in, CStringGetDatum(audit->request_id));
	values[1] = Int64GetDatum(audit->endpoint_id);
	values[2] = CStringGetTextDatum(audit->endpoint);
	values[3] = ObjectIdGetDatum(audit->owner);
	values[4] = nullable_text(audit->token, &nulls[4]);
	values[5] = ObjectIdGetDatum(audit->caller);
	values[11] = Float8GetDatum((double) (GetCurrentTimestamp() - audit->started) / 1000.0);
}

static void
entry_values(const ScimAuditEntry *entry, Datum *values, char *nulls)
{
	values[6] = CStringGetTextDatum(entry->method ? entry->method : "");
	values[7] = nullable_text(entry->type, &nulls[7]);
	values[8] = nullable_text(entry->id, &nulls[8]);
	values[9] = text_array(entry->attributes);
	values[10] = Int32GetDatum(entry->status);
}

static void
insert_row(Datum *values, const char *nulls)
{
	Oid			types[AUDIT_COLUMNS] = {UUIDOID, INT8OID, TEXTOID, OIDOID, TEXTOID, OIDOID, TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID, INT4OID, FLOAT8OID};

	if (scim_own_execute("audit",
						 "INSERT INTO scim._audit (request, endpoint_id, endpoint, owner, token, caller, method, resource_type, resource_id, attributes, status, duration_ms)"
						 " VALUES ($1, $2, $3, $4::pg_catalog.regrole, $5, $6::pg_catalog.regrole, $7, $8, $9, $10, $11, $12)",
						 AUDIT_COLUMNS, types, values, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write scim._audit");
}

/*
 * Rows go into the table without a statement (store_append.c), unless something
 * has been made to happen there that takes one: a trigger, a rule, pgaudit.
 * Needs a transaction and SPI to be connected.
 */
void
scim_audit_write(const ScimAudit *audit)
{
	Datum		values[AUDIT_COLUMNS];
	char		nulls[AUDIT_COLUMNS + 1] = "            ";
	ScimOwnIdentity identity;
	ScimAppend *append = NULL;
	Relation	rel;
	ListCell   *lc;

	if (audit == NULL || XactReadOnly)
		return;
	common_values(audit, values, nulls);
	rel = table_open(scim_own_relid("_audit"), RowExclusiveLock);
	if (ExecutorCheckPerms_hook == NULL && !scim_append_has_triggers(rel->trigdesc) && scim_append_can(rel))
	{
		scim_own_assume(&identity);
		append = scim_append_begin(rel, SCIM_FIRE_NONE);
	}
	foreach(lc, audit->entries)
	{
		entry_values((const ScimAuditEntry *) lfirst(lc), values, nulls);
		if (append == NULL)
		{
			insert_row(values, nulls);
			continue;
		}
		for (int i = 0; i < AUDIT_COLUMNS; i++)
			scim_append_set(append, AUDIT_FIRST + i, values[i], nulls[i] == 'n');
		scim_append_row(append);
	}
	if (append)
	{
		scim_append_end(append);
		scim_own_restore(&identity);
	}
	table_close(rel, NoLock);
	purge(list_length(audit->entries));
}

/* ---- which attributes a write has changed ---- */

static void note_differences(const json_t *before, const json_t *after, const char *prefix, List **names);

/* An attribute, or each of the attributes of an extension with its URN before them. */
static void
note_difference(const char *prefix, const char *name, const json_t *old, const json_t *new, List **names)
{
	static const char *const servers[] = {"schemas", "id", "meta"};

	if (prefix == NULL && strchr(name, ':') && (json_is_object(old) || json_is_object(new)))
	{
		note_differences(old, new, name, names);
		return;
	}
	/* what the server sets is no change of the client's */
	for (int i = 0; prefix == NULL && i < lengthof(servers); i++)
		if (strcmp(name, servers[i]) == 0)
			return;
	*names = lappend(*names, prefix ? psprintf("%s:%s", prefix, name) : pstrdup(name));
}

static void
note_differences(const json_t *before, const json_t *after, const char *prefix, List **names)
{
	const char *name;
	json_t	   *value;

	json_object_foreach((json_t *) after, name, value)
	{
		const json_t *old = json_object_get(before, name);

		if (old == NULL || !json_equal(old, value))
			note_difference(prefix, name, old, value, names);
	}
	json_object_foreach((json_t *) before, name, value)
		if (json_object_get(after, name) == NULL)
			note_difference(prefix, name, value, NULL, names);
}

/*
 * Names of the attributes in which two states differ; "before" may be NULL.
 */
List *
scim_audit_differences(const json_t *before, const json_t *after)
{
	List	   *names = NIL;

	note_differences(before, after, NULL, &names);
	return names;
}
