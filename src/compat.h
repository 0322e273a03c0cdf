/*
 * compat.h
 *		Every difference between PostgreSQL versions (14 and later).
 *
 * Elsewhere code reads as for the newest version.  Each shim says which
 * version makes it unnecessary.
 */
#ifndef SCIM_COMPAT_H
#define SCIM_COMPAT_H

#include "miscadmin.h"

#if PG_VERSION_NUM < 140000
#error "scim needs PostgreSQL 14 or later"
#endif

/* Until 15: placeholders of a prefix could not be reserved. */
#if PG_VERSION_NUM < 150000
#define MarkGUCPrefixReserved(prefix) EmitWarningsOnPlaceholders(prefix)
#endif

/* Until 15: what a check of a password has to say was not const. */
#if PG_VERSION_NUM < 150000
typedef char ScimLogDetail;
#else
typedef const char ScimLogDetail;
#endif

/* Until 15: a function that returns a set had to make its tuplestore itself. */
#if PG_VERSION_NUM < 150000
#include "funcapi.h"
#include "utils/tuplestore.h"

static inline void
scim_init_materialized(FunctionCallInfo fcinfo)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext saved;

	if (result == NULL || !IsA(result, ReturnSetInfo) ||
		(result->allowedModes & SFRM_Materialize) == 0 || result->expectedDesc == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("set-valued function called in context that cannot accept a set")));
	saved = MemoryContextSwitchTo(result->econtext->ecxt_per_query_memory);
	result->returnMode = SFRM_Materialize;
	result->setDesc = CreateTupleDescCopy(result->expectedDesc);
	result->setResult = tuplestore_begin_heap(true, false, work_mem);
	MemoryContextSwitchTo(saved);
}
#else
#define scim_init_materialized(fcinfo) InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC)
#endif

/* Until 15: random numbers came from the C library.  From 0, below 1. */
#if PG_VERSION_NUM < 150000
#define scim_random_fraction() ((double) random() / ((double) MAX_RANDOM_VALUE + 1.0))
#else
#include "common/pg_prng.h"
#define scim_random_fraction() pg_prng_double(&pg_global_prng_state)
#endif

/* Until 15: shared memory was asked for in _PG_init itself. */
#if PG_VERSION_NUM < 150000
typedef void (*shmem_request_hook_type) (void);
#define scim_hook_shmem_request(hook, previous) ((previous) = NULL, (hook) ())
#else
#define scim_hook_shmem_request(hook, previous) \
	((previous) = shmem_request_hook, shmem_request_hook = (hook))
#endif

/*
 * Until 15: no timeout repeated itself; its handler had to start it again with
 * scim_timeout_again.
 */
#if PG_VERSION_NUM < 150000
#define scim_timeout_every(id, ms) enable_timeout_after(id, ms)
#define scim_timeout_from(id, first, ms) enable_timeout_after(id, first)
#define scim_timeout_again(id, ms) enable_timeout_after(id, ms)
#else
#define scim_timeout_every(id, ms) \
	scim_timeout_from(id, ms, ms)
#define scim_timeout_from(id, first, ms) \
	enable_timeout_every(id, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), first), ms)
#define scim_timeout_again(id, ms) ((void) 0)
#endif

/* Until 15: a variable, which is set when recovery is found to be over. */
#if PG_VERSION_NUM < 150000
#include "access/xlog.h"
#define GetWALInsertionTimeLine() (RecoveryInProgress() ? 0 : ThisTimeLineID)
#endif

/*
 * What GetMemoryChunkSpace() counts beyond a chunk's usable bytes.  Until 16 it
 * was more; a server with assertions keeps the requested size there, too.
 */
#ifdef MEMORY_CONTEXT_CHECKING
#define SCIM_CHUNK_REQUESTED sizeof(Size)
#else
#define SCIM_CHUNK_REQUESTED 0
#endif
#if PG_VERSION_NUM < 160000
#define SCIM_CHUNK_HEADER (16 + SCIM_CHUNK_REQUESTED)
#else
#define SCIM_CHUNK_HEADER (8 + SCIM_CHUNK_REQUESTED)
#endif

/* Until 16: every member of a role could SET ROLE to it. */
#if PG_VERSION_NUM < 160000
#include "utils/acl.h"
#define member_can_set_role(member, role) is_member_of_role(member, role)
#endif

/* Until 16: no index was one that only summarizes. */
#if PG_VERSION_NUM < 160000
#define scim_insert_index_tuples(info, slot, estate) ExecInsertIndexTuples(info, slot, estate, false, false, NULL, NIL)
#else
#define scim_insert_index_tuples(info, slot, estate) ExecInsertIndexTuples(info, slot, estate, false, false, NULL, NIL, false)
#endif

/* Until 16: the locks of a process were in a list of another kind. */
#if PG_VERSION_NUM < 160000
#define scim_proclock_iter PROCLOCK *
#define scim_proclocks_empty(list) SHMQueueEmpty(list)
#define scim_proclocks_foreach(iter, list) \
	for (iter = (PROCLOCK *) SHMQueueNext(list, list, offsetof(PROCLOCK, procLink)); iter; \
		 iter = (PROCLOCK *) SHMQueueNext(list, &(iter)->procLink, offsetof(PROCLOCK, procLink)))
#define scim_proclock_of(iter) (iter)
#else
#define scim_proclock_iter dlist_iter
#define scim_proclocks_empty(list) dlist_is_empty(list)
#define scim_proclocks_foreach(iter, list) dlist_foreach(iter, list)
#define scim_proclock_of(iter) dlist_container(PROCLOCK, procLink, (iter).cur)
#endif

/* Until 16: one function for each kind of object. */
#if PG_VERSION_NUM < 160000
#include "utils/acl.h"
#define scim_schema_aclcheck(schema, role, mode) pg_namespace_aclcheck(schema, role, mode)
#define scim_server_aclcheck(server, role, mode) pg_foreign_server_aclcheck(server, role, mode)
#else
#define scim_schema_aclcheck(schema, role, mode) object_aclcheck(NamespaceRelationId, schema, role, mode)
#define scim_server_aclcheck(server, role, mode) object_aclcheck(ForeignServerRelationId, server, role, mode)
#endif

/* Until 16: no place for an error to go, it was always raised. */
#if PG_VERSION_NUM < 160000
#include "utils/regproc.h"
#define stringToQualifiedNameList(string, escontext) stringToQualifiedNameList(string)
#endif

/* Until 16: without a parent trigger and the choice to recurse. */
#if PG_VERSION_NUM < 160000
#define scim_trigger_fires(rel, name, when) \
	EnableDisableTrigger(rel, name, when, false, ShareRowExclusiveLock)
#else
#define scim_trigger_fires(rel, name, when) \
	EnableDisableTrigger(rel, name, InvalidOid, when, false, false, ShareRowExclusiveLock)
#endif

/* Until 16: no list of the relations whose rows may be checked again. */
#if PG_VERSION_NUM < 160000
#define scim_epq_init(epq, estate) EvalPlanQualInit(epq, estate, NULL, NIL, -1)
#else
#define scim_epq_init(epq, estate) EvalPlanQualInit(epq, estate, NULL, NIL, -1, NIL)
#endif

/* Until 16: named otherwise. */
#if PG_VERSION_NUM < 160000
#define pgstat_get_local_beentry_by_index(i) pgstat_fetch_stat_local_beentry(i)
#endif

/* Until 17: a wait set belonged to a memory context. */
#if PG_VERSION_NUM < 170000
#define scim_create_wait_event_set(n) CreateWaitEventSet(TopMemoryContext, n)
#else
#define scim_create_wait_event_set(n) CreateWaitEventSet(NULL, n)
#endif

/* Until 17: a worker's role had to have LOGIN. */
#if PG_VERSION_NUM < 170000
#define SCIM_WORKER_CONNECT_FLAGS 0
#else
#define SCIM_WORKER_CONNECT_FLAGS BGWORKER_BYPASS_ROLELOGINCHECK
#endif

/*
 * Until 17: a transaction had no time limit.  Since then any session may set
 * one, and the end of it is the end of the process: in a worker nobody may.
 */
#if PG_VERSION_NUM < 170000
#define scim_forbid_transaction_timeout() ((void) 0)
#else
#include "utils/guc_tables.h"
static inline void
scim_forbid_transaction_timeout(void)
{
	SetConfigOption("transaction_timeout", "0", PGC_USERSET, PGC_S_OVERRIDE);
	find_option("transaction_timeout", false, false, ERROR)->context = PGC_SUSET;
}
#endif

/* Until 18: a scan did not count for EXPLAIN. */
#if PG_VERSION_NUM < 180000
#define scim_index_beginscan(rel, index, snapshot, nkeys) index_beginscan(rel, index, snapshot, nkeys, 0)
#else
#define scim_index_beginscan(rel, index, snapshot, nkeys) index_beginscan(rel, index, snapshot, NULL, nkeys, 0)
#endif

/*
 * Until 18: every check was enforced, none was about a column that is computed
 * when it is read, and a result relation had them under another name.
 */
#if PG_VERSION_NUM < 180000
#define scim_has_virtual_columns(constr) false
#define ri_CheckConstraintExprs ri_ConstraintExprs
#define scim_check_is_enforced(check) ((check)->ccbin != NULL)
#else
#define scim_has_virtual_columns(constr) ((constr)->has_generated_virtual)
#define scim_check_is_enforced(check) ((check)->ccenforced)
#endif

/* Until 18: an attribute behind the declaration, of another name. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

#endif							/* SCIM_COMPAT_H */
