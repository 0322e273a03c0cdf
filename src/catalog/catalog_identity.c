/*
 * catalog_identity.c
 *		Who a statement runs as (threat-and-fault-model I1 to I5).
 *
 * Statements on data run as the owner of the endpoint, with
 * SECURITY_LOCAL_USERID_CHANGE, so that code of that owner (triggers,
 * expressions, policies) can't get back to whoever called: SET ROLE and
 * SET SESSION AUTHORIZATION are refused.  The switch lasts through commit,
 * because deferred triggers run there.
 *
 * scim.handle can't keep the switch through commit, which is its caller's.  If
 * the caller is not the owner, code that the owner's triggers leave behind (a
 * deferred trigger, a held cursor) would run as the caller: then the work is a
 * SECURITY_RESTRICTED_OPERATION, where PostgreSQL refuses all of that.
 * Advisory locks it does not refuse; they are given back.  In a worker it is
 * not used: it would make every deferred constraint fail.
 *
 * Statements on the extension's own tables run as the owner of those tables
 * for the length of that statement, the way ri_triggers.c does it; their text
 * is fixed, nothing a user can define is reachable from them.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "commands/async.h"
#include "commands/discard.h"
#include "commands/prepare.h"
#include "commands/sequence.h"
#include "common/cryptohash.h"
#include "common/sha2.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "parser/parse_expr.h"
#include "parser/parser.h"
#include "utils/acl.h"
#include "utils/bytea.h"
#include "utils/float.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "catalog.h"
#include "../compat.h"

#define SAFE_SEARCH_PATH "pg_catalog, pg_temp"

/*
 * What decides how values become text and how text is read: the same whoever
 * calls, so that a resource and its version do not depend on it.  (The time
 * zone is left alone: nothing here depends on it, and triggers of the owner
 * may well do.)
 */
static const struct
{
	const char *name;
	const char *value;
}			safe_settings[] = {
	{"search_path", SAFE_SEARCH_PATH},
	{"row_security", "on"},
	{"datestyle", "ISO, MDY"},
	{"intervalstyle", "postgres"},
	{"extra_float_digits", "1"},
	{"bytea_output", "hex"},
	{"standard_conforming_strings", "on"},
	{"transform_null_equals", "off"}
};

/*
 * Raise 42501 if a role must not own what requests run as: it is gone, or has
 * rights that row security and grants don't bind (checked at every use, since
 * a role can be altered after the endpoint was made).
 */
static void
check_owner(Oid owner)
{
	HeapTuple	tuple;
	Form_pg_authid role;
	bool		privileged;

	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(owner));
	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("the owner of the endpoint does not exist any more")));
	role = (Form_pg_authid) GETSTRUCT(tuple);
	privileged = role->rolsuper || role->rolbypassrls || role->rolreplication;
	ReleaseSysCache(tuple);

	if (privileged)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("role \"%s\" must not own an endpoint", GetUserNameFromId(owner, true)),
				 errdetail("It is SUPERUSER, BYPASSRLS or REPLICATION."),
				 errhint("Name another owner.")));
}

/*
 * What generated and fixed statements rely on, for the current GUC level.  A
 * worker has these values already; setting them again would make every plan
 * look its names up anew.
 */
void
scim_identity_pin_settings(void)
{
	const bool	right[] = {
		namespace_search_path != NULL && strcmp(namespace_search_path, SAFE_SEARCH_PATH) == 0,
		row_security,
		DateStyle == USE_ISO_DATES && DateOrder == DATEORDER_MDY,
		IntervalStyle == INTSTYLE_POSTGRES,
		extra_float_digits == 1,
		bytea_output == BYTEA_OUTPUT_HEX,
		standard_conforming_strings,
		!Transform_null_equals
	};

	StaticAssertStmt(lengthof(right) == lengthof(safe_settings), "one test for each setting");
	for (int i = 0; i < lengthof(right); i++)
		if (!right[i])
			(void) set_config_option(safe_settings[i].name, safe_settings[i].value,
									 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

/* An advisory lock that is held. */
typedef struct AdvisoryLock
{
	LOCKTAG		tag;
	LOCKMASK	modes;
} AdvisoryLock;

/*
 * Advisory locks that this process holds, for a transaction or beyond it.  They
 * are found in its own list: GetLockStatusData() would copy every lock of every
 * session, and stop them all to do so.  (A list that is empty needs no lock to
 * be read: others add to it only what they take out of our fast path, where
 * there are no advisory locks.)
 */
static List *
advisory_locks(void)
{
	List	   *locks = NIL;

	for (int i = 0; i < NUM_LOCK_PARTITIONS; i++)
	{
		scim_proclock_iter iter;

		if (scim_proclocks_empty(&MyProc->myProcLocks[i]))
			continue;
		LWLockAcquire(LockHashPartitionLockByIndex(i), LW_SHARED);
		scim_proclocks_foreach(iter, &MyProc->myProcLocks[i])
		{
			PROCLOCK   *held = scim_proclock_of(iter);

			if (held->tag.myLock->tag.locktag_type == LOCKTAG_ADVISORY && held->holdMask != 0)
			{
				AdvisoryLock *copy = palloc(sizeof(AdvisoryLock));

				copy->tag = held->tag.myLock->tag;
				copy->modes = held->holdMask;
				locks = lappend(locks, copy);
			}
		}
		LWLockRelease(LockHashPartitionLockByIndex(i));
	}
	return locks;
}

/* How a lock was held before. */
static LOCKMASK
modes_before(const List *before, const LOCKTAG *tag)
{
	ListCell   *lc;

	foreach(lc, before)
	{
		const AdvisoryLock *known = (const AdvisoryLock *) lfirst(lc);

		if (memcmp(&known->tag, tag, sizeof(LOCKTAG)) == 0)
			return known->modes;
	}
	return 0;
}

/*
 * Give back those that were not there before.  One that only the transaction
 * holds stays: releasing it for the session does nothing but warn, which
 * nobody has to see.
 */
static void
release_new_locks(const List *before)
{
	List	   *now = advisory_locks();
	ListCell   *lc;
	int			guc_level;

	if (now == NIL)
		return;
	guc_level = NewGUCNestLevel();
	(void) set_config_option("client_min_messages", "error",
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("log_min_messages", "error",
							 PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	foreach(lc, now)
	{
		AdvisoryLock *lock = (AdvisoryLock *) lfirst(lc);
		LOCKMASK	fresh = lock->modes & ~modes_before(before, &lock->tag);

		for (LOCKMODE mode = 1; mode <= MaxLockMode; mode++)
			if ((fresh & LOCKBIT_ON(mode)) != 0)
				while (LockRelease(&lock->tag, mode, true))
					;
	}
	AtEOXact_GUC(false, guc_level);
}

void
scim_identity_assume(ScimIdentity *identity, Oid owner, bool restricted)
{
	identity->switched = false;
	check_owner(owner);

	GetUserIdAndSecContext(&identity->saved_user, &identity->saved_context);
	restricted = restricted && owner != identity->saved_user;
	identity->restricted = restricted;
	if (restricted)
		identity->locks = advisory_locks();
	SetUserIdAndSecContext(owner, identity->saved_context | SECURITY_LOCAL_USERID_CHANGE |
						   (restricted ? SECURITY_RESTRICTED_OPERATION : 0));
	identity->switched = true;

	identity->guc_level = NewGUCNestLevel();
	scim_identity_pin_settings();
}

void
scim_identity_close_gucs(ScimIdentity *identity)
{
	if (identity->guc_level > 0)
	{
		AtEOXact_GUC(false, identity->guc_level);
		identity->guc_level = 0;
	}
}

/*
 * Give the identity back.  After an abort the transaction machinery may have
 * restored it and closed the GUC level already; doing it again is harmless.
 */
void
scim_identity_restore(ScimIdentity *identity)
{
	if (!identity->switched)
		return;
	SetUserIdAndSecContext(identity->saved_user, identity->saved_context);
	if (identity->restricted)
		release_new_locks(identity->locks);
	identity->switched = false;
	identity->guc_level = 0;
}

/*
 * What DISCARD ALL does, by hand, because DISCARD ALL can't run inside a
 * function: whatever a trigger left in the session is gone before the next
 * request (I3).
 */
void
scim_identity_scrub_session(void)
{
	StartTransactionCommand();
	PortalHashTableDeleteAll();
	ResetAllOptions();
	DropAllPreparedStatements();
	Async_UnlistenAll();
	LockReleaseAll(USER_LOCKMETHOD, true);
	/* dropping tables reads catalogs with toast tables */
	PushActiveSnapshot(GetTransactionSnapshot());
	ResetTempTableNamespace();
	PopActiveSnapshot();
	ResetSequenceCaches();
	CommitTransactionCommand();
}

Oid
scim_own_relid(const char *name)
{
	Oid			namespace_id = get_namespace_oid("scim", false);
	Oid			relid = get_relname_relid(name, namespace_id);

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation scim.%s is missing", name),
				 errhint("DROP EXTENSION scim CASCADE; CREATE EXTENSION scim.")));
	return relid;
}

/* All our tables have one owner: whoever installed the extension. */
Oid
scim_own_role(void)
{
	Oid			relid = scim_own_relid("_endpoints");
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/*
 * An error leaves the identity to the (sub)transaction's abort, which puts
 * user, security context and GUC level back to what they were when it began;
 * the callers' own error paths do the rest.
 */
void
scim_own_assume(ScimOwnIdentity *identity)
{
	Oid			owner = scim_own_role();

	GetUserIdAndSecContext(&identity->saved_user, &identity->saved_context);
	SetUserIdAndSecContext(owner, identity->saved_context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
	identity->guc_level = NewGUCNestLevel();
	scim_identity_pin_settings();
}

void
scim_own_restore(const ScimOwnIdentity *identity)
{
	AtEOXact_GUC(false, identity->guc_level);
	SetUserIdAndSecContext(identity->saved_user, identity->saved_context);
}

/* Saved plans of statements on our own tables. */
typedef struct OwnPlan
{
	char		key[NAMEDATALEN];
	SPIPlanPtr	plan;
} OwnPlan;

static HTAB *own_plans = NULL;

int
scim_own_execute(const char *key, const char *sql, int nargs, const Oid *argtypes,
				 Datum *values, const char *nulls, bool read_only, long count)
{
	OwnPlan    *entry;
	bool		found;
	char		name[NAMEDATALEN];
	ScimOwnIdentity identity;
	int			code;
	MemoryContext caller = CurrentMemoryContext;

	if (own_plans == NULL)
	{
		HASHCTL		control;

		memset(&control, 0, sizeof(control));
		control.keysize = NAMEDATALEN;
		control.entrysize = sizeof(OwnPlan);
		control.hcxt = CacheMemoryContext;
		own_plans = hash_create("scim own statements", 32, &control,
								HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	}

	scim_own_assume(&identity);
	strlcpy(name, key, NAMEDATALEN);
	entry = (OwnPlan *) hash_search(own_plans, name, HASH_FIND, &found);
	if (!found)
	{
		SPIPlanPtr	plan;

		plan = SPI_prepare(sql, nargs, unconstify(Oid *, argtypes));
		if (plan == NULL)
			elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
		if (SPI_keepplan(plan) != 0)
			elog(ERROR, "SPI_keepplan failed");
		entry = (OwnPlan *) hash_search(own_plans, name, HASH_ENTER, &found);
		entry->plan = plan;
	}

	/*
	 * What is read here may be cached for longer than the snapshot of whoever
	 * asks: it has to be what every invalidation that has arrived is about.
	 */
	if (read_only)
		PushActiveSnapshot(GetLatestSnapshot());
	code = SPI_execute_plan(entry->plan, values, nulls, read_only, count);
	if (read_only)
		PopActiveSnapshot();

	/* SPI leaves its own current */
	MemoryContextSwitchTo(caller);
	scim_own_restore(&identity);
	return code;
}

/*
 * A member is who has the role's privileges at once, which is what PostgreSQL
 * asks of who deals with a role's objects, and may SET ROLE to it, which it
 * asks of who gives objects to a role: what is made here acts as the role, with
 * expressions of the caller's choice.  From 16 on neither implies the other
 * (GRANT ... WITH INHERIT, SET); ADMIN alone gives neither.
 */
void
scim_require_member(Oid role, const char *what)
{
	Oid			user = GetUserId();

	if (!has_privs_of_role(user, role) || !member_can_set_role(user, role))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for %s", what),
				 errdetail("It belongs to role \"%s\".", GetUserNameFromId(role, true))));
}

void
scim_sha256(const uint8 *data, size_t len, uint8 *digest)
{
	pg_cryptohash_ctx *ctx = pg_cryptohash_create(PG_SHA256);
	bool		ok;

	if (ctx == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	ok = pg_cryptohash_init(ctx) >= 0 &&
		pg_cryptohash_update(ctx, data, len) >= 0 &&
		pg_cryptohash_final(ctx, digest, PG_SHA256_DIGEST_LENGTH) >= 0;
	pg_cryptohash_free(ctx);
	if (!ok)
		elog(ERROR, "could not compute SHA-256");
}
