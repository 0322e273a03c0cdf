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

#endif							/* SCIM_COMPAT_H */
