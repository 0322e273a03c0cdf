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

/* Until 15: the digest's size was not passed. */
#if PG_VERSION_NUM < 150000
#define scim_cryptohash_final(ctx, dest, len) pg_cryptohash_final(ctx, dest)
#else
#define scim_cryptohash_final(ctx, dest, len) pg_cryptohash_final(ctx, dest, len)
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

#endif							/* SCIM_COMPAT_H */
