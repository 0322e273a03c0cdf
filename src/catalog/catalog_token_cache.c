/*
 * catalog_token_cache.c
 *		Tokens, as requests present them.
 *
 * Known by the SHA-256 of what was presented; unknown ones are remembered, too.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "catalog_cache_internal.h"

/* Unknown tokens are remembered too, but not without bound. */
#define MAX_CACHED_TOKENS 10000
#define TOKEN_TOUCH_INTERVAL_MS 60000

const ScimToken *
scim_token_by_hash(const uint8 *hash)
{
	ScimCatalogCache *cache = scim_catalog_cache();
	ScimTokenEntry *entry;
	bool		found;
	Oid			types[1] = {BYTEAOID};
	Datum		values[1];
	bytea	   *key;

	entry = (ScimTokenEntry *) hash_search(cache->tokens, hash, HASH_FIND, &found);
	if (found)
		return entry->known ? &entry->token : NULL;

	/* Guesses must not fill the memory; real tokens come back at their next use. */
	if (hash_get_num_entries(cache->tokens) >= MAX_CACHED_TOKENS)
	{
		HASH_SEQ_STATUS status;

		hash_seq_init(&status, cache->tokens);
		while ((entry = (ScimTokenEntry *) hash_seq_search(&status)) != NULL)
			if (!entry->known)
				(void) hash_search(cache->tokens, entry->hash, HASH_REMOVE, NULL);
	}

	key = (bytea *) palloc(VARHDRSZ + SCIM_TOKEN_HASH_SIZE);
	SET_VARSIZE(key, VARHDRSZ + SCIM_TOKEN_HASH_SIZE);
	memcpy(VARDATA(key), hash, SCIM_TOKEN_HASH_SIZE);
	values[0] = PointerGetDatum(key);

	SPI_connect();
	if (scim_own_execute("token",
						 "SELECT t.id, t.endpoint_id, t.label, t.can_write, t.expires, t.revoked IS NOT NULL,"
						 " t.resource_types, t.subject, t.lifetime IS NOT NULL"
						 " FROM scim._tokens t WHERE t.hash OPERATOR(pg_catalog.=) $1",
						 1, types, values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read scim._tokens");

	entry = (ScimTokenEntry *) hash_search(cache->tokens, hash, HASH_ENTER, &found);
	memset(&entry->token, 0, sizeof(entry->token));
	entry->known = false;
	if (SPI_processed > 0)
	{
		bool		isnull;
		Datum		expires = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 5, &isnull);

		entry->token.id = scim_row_int64(SPI_tuptable, 0, 1);
		entry->token.endpoint_id = scim_row_int64(SPI_tuptable, 0, 2);
		entry->token.label = scim_cache_strdup(scim_row_text(SPI_tuptable, 0, 3));
		entry->token.can_write = scim_row_bool(SPI_tuptable, 0, 4);
		entry->token.expires = isnull ? DT_NOEND : DatumGetTimestampTz(expires);
		entry->token.revoked = scim_row_bool(SPI_tuptable, 0, 6);
		entry->token.last_used = DT_NOBEGIN;
		entry->token.subject = scim_cache_strdup(scim_row_text(SPI_tuptable, 0, 8));
		entry->token.is_client = scim_row_bool(SPI_tuptable, 0, 9);
		entry->token.types = scim_row_texts(SPI_tuptable, 0, 7, cache->context);
		entry->known = true;
	}
	SPI_finish();
	return entry->known ? &entry->token : NULL;
}

/*
 * The write waits for nobody: if another process is at the same row, its time
 * stamp is as good as ours.
 */
void
scim_token_touch(const ScimToken *token)
{
	TimestampTz now = GetCurrentTimestamp();
	Oid			types[1] = {INT8OID};
	Datum		values[1];

	if (token->last_used != DT_NOBEGIN &&
		!TimestampDifferenceExceeds(token->last_used, now, TOKEN_TOUCH_INTERVAL_MS))
		return;
	((ScimToken *) token)->last_used = now;
	if (XactReadOnly || RecoveryInProgress())
		return;

	values[0] = Int64GetDatum(token->id);
	SPI_connect();
	(void) scim_own_execute("touch token insert",
							"INSERT INTO scim._token_use AS u (token_id, last_used)"
							" SELECT t.id, pg_catalog.now() FROM scim._tokens t"
							" WHERE t.id OPERATOR(pg_catalog.=) $1"
							" AND NOT EXISTS (SELECT 1 FROM scim._token_use o WHERE o.token_id OPERATOR(pg_catalog.=) $1)"
							" ON CONFLICT DO NOTHING",
							1, types, values, NULL, false, 0);
	(void) scim_own_execute("touch token update",
							"UPDATE scim._token_use SET last_used = pg_catalog.now() WHERE token_id OPERATOR(pg_catalog.=)"
							" (SELECT o.token_id FROM scim._token_use o WHERE o.token_id OPERATOR(pg_catalog.=) $1"
							"  AND o.last_used OPERATOR(pg_catalog.<) (pg_catalog.now() OPERATOR(pg_catalog.-) '50 seconds'::pg_catalog.interval)"
							"  FOR UPDATE SKIP LOCKED)",
							1, types, values, NULL, false, 0);
	SPI_finish();
}
