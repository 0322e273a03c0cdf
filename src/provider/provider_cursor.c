/*
 * provider_cursor.c
 *		Cursors (RFC 9865): a place in a list, sealed.
 *
 * Nothing is kept on the server: a cursor holds the place itself, sort key and
 * id of the resource at the border of a page.  It is sealed with HMAC-SHA256 as
 * a synthetic IV:
 *
 *		tag = HMAC(k1, identity, plaintext), the first 16 bytes
 *		ciphertext = plaintext xor HMAC(k2, tag, 0), HMAC(k2, tag, 1), ...
 *		cursor = base64url(tag, ciphertext)
 *
 * "identity" says what the query is (resource type, filter, order, attributes),
 * so that a cursor is good for its own query only; the keys are the endpoint's.
 * The tag is compared, in constant time, before anything is looked at.  There is
 * one answer for all that is wrong with a cursor but its age.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/base64.h"
#include "common/hmac.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "provider_internal.h"
#include "../scim_guc.h"

#define KEY_BYTES 32			/* each of the two */
#define TAG_BYTES 16
#define MAC_BYTES 32
#define FORMAT_VERSION 1
/* Plaintexts are padded, so that lengths of values do not show. */
#define PAD_BYTES 64
/* A cursor has to fit into a URL. */
#define MAX_PLACE_BYTES 2048
#define MAX_CURSOR_BYTES 4096

/* What the place is preceded by. */
typedef struct CursorHead
{
	uint8		version;
	uint8		backward;
	uint8		placed;
	uint8		has_key;
	int32		part;
	int32		key_len;
	int32		id_len;
	int64		count;
	int64		expires;		/* TimestampTz */
} CursorHead;

/*
 * Both keys of the endpoint; made at their first use.  They are in no dump: a
 * restored database knows none of the cursors of the old one.
 */
static void
endpoint_keys(const ScimEndpoint *endpoint, uint8 *keys)
{
	Oid			types[2] = {INT8OID, BYTEAOID};
	Datum		values[2];
	bytea	   *made;
	bytea	   *stored;
	bool		isnull;

	values[0] = Int64GetDatum(endpoint->id);
	for (int attempt = 0; attempt < 2; attempt++)
	{
		if (scim_own_execute("cursor key",
							 "SELECT k.key FROM scim._cursor_keys k WHERE k.endpoint_id OPERATOR(pg_catalog.=) $1",
							 1, types, values, NULL, true, 1) != SPI_OK_SELECT)
			elog(ERROR, "could not read scim._cursor_keys");
		if (SPI_processed > 0)
		{
			stored = DatumGetByteaPP(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
			memcpy(keys, VARDATA_ANY(stored), 2 * KEY_BYTES);
			return;
		}
		made = (bytea *) palloc(VARHDRSZ + 2 * KEY_BYTES);
		SET_VARSIZE(made, VARHDRSZ + 2 * KEY_BYTES);
		if (!pg_strong_random(VARDATA(made), 2 * KEY_BYTES))
			ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values")));
		values[1] = PointerGetDatum(made);
		if (scim_own_execute("make cursor key",
							 "INSERT INTO scim._cursor_keys (endpoint_id, key) VALUES ($1, $2) ON CONFLICT DO NOTHING",
							 2, types, values, NULL, false, 0) != SPI_OK_INSERT)
			elog(ERROR, "could not write scim._cursor_keys");
		CommandCounterIncrement();
	}
	elog(ERROR, "the cursor key of an endpoint is gone");
}

static void
mac(const uint8 *key, const void *a, size_t a_len, const void *b, size_t b_len, uint8 *out)
{
	pg_hmac_ctx *ctx = pg_hmac_create(PG_SHA256);
	bool		ok;

	if (ctx == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	ok = pg_hmac_init(ctx, key, KEY_BYTES) >= 0 &&
		pg_hmac_update(ctx, (const uint8 *) a, a_len) >= 0 &&
		pg_hmac_update(ctx, (const uint8 *) b, b_len) >= 0 &&
		pg_hmac_final(ctx, out, MAC_BYTES) >= 0;
	pg_hmac_free(ctx);
	if (!ok)
		elog(ERROR, "could not compute HMAC-SHA256");
}

/* The tag: of the identity, whose length comes first, and the plaintext. */
static void
make_tag(const uint8 *keys, const StringInfoData *identity, const char *plain, size_t len, uint8 *tag)
{
	StringInfoData head;
	uint8		digest[MAC_BYTES];
	int64		identity_len = identity->len;

	initStringInfo(&head);
	appendBinaryStringInfo(&head, (const char *) &identity_len, sizeof(identity_len));
	appendBinaryStringInfo(&head, identity->data, identity->len);
	mac(keys, head.data, head.len, plain, len, digest);
	memcpy(tag, digest, TAG_BYTES);
}

/* Encrypt or decrypt in place. */
static void
apply_stream(const uint8 *keys, const uint8 *tag, char *data, size_t len)
{
	uint8		block[MAC_BYTES];

	for (size_t i = 0; i < len; i++)
	{
		if (i % MAC_BYTES == 0)
		{
			int64		counter = i / MAC_BYTES;

			mac(keys + KEY_BYTES, tag, TAG_BYTES, &counter, sizeof(counter), block);
		}
		data[i] ^= block[i % MAC_BYTES];
	}
}

/* base64url without padding: unreserved characters (RFC 9865 2). */
static char *
encode(const char *bytes, int len)
{
	int			size = pg_b64_enc_len(len);
	char	   *text = palloc(size + 1);
	int			n = pg_b64_encode((const void *) bytes, len, text, size);

	if (n < 0)
		elog(ERROR, "could not encode a cursor");
	while (n > 0 && text[n - 1] == '=')
		n--;
	text[n] = '\0';
	for (char *p = text; *p; p++)
	{
		if (*p == '+')
			*p = '-';
		else if (*p == '/')
			*p = '_';
	}
	return text;
}

/* Bytes of such a text, or NULL: it is none, or not the one that encode() makes. */
static char *
decode(const char *text, int *len)
{
	size_t		n = strlen(text);
	char	   *standard;
	char	   *bytes;

	if (n > MAX_CURSOR_BYTES)
		return NULL;
	standard = palloc(n + 4);
	for (size_t i = 0; i < n; i++)
		standard[i] = text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
	while (n % 4 != 0)
		standard[n++] = '=';
	bytes = palloc(pg_b64_dec_len(n) + 1);
	*len = pg_b64_decode(standard, n, (void *) bytes, pg_b64_dec_len(n));
	return *len >= 0 && strcmp(encode(bytes, *len), text) == 0 ? bytes : NULL;
}

/*
 * NULL and err: the place does not fit into a cursor.
 */
char *
scim_cursor_seal(ScimCall *call, const StringInfoData *identity, const ScimCursor *cursor)
{
	StringInfoData plain;
	StringInfoData sealed;
	CursorHead	head;
	uint8		keys[2 * KEY_BYTES];
	uint8		tag[TAG_BYTES];

	memset(&head, 0, sizeof(head));
	head.version = FORMAT_VERSION;
	head.backward = cursor->backward;
	head.placed = cursor->placed;
	head.part = cursor->part;
	head.count = cursor->count;
	head.expires = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), (int64) scim_cursor_timeout * 1000);
	if (cursor->placed)
	{
		head.has_key = cursor->at.sort_key != NULL;
		head.key_len = head.has_key ? (int32) strlen(cursor->at.sort_key) : 0;
		head.id_len = (int32) strlen(cursor->at.id);
		if (head.key_len + head.id_len > MAX_PLACE_BYTES)
		{
			scim_fail(&call->err, 400, SCIM_INVALID_VALUE,
					  "a value of sortBy is too long for a cursor: page by startIndex, or sort by another attribute");
			return NULL;
		}
	}
	initStringInfo(&plain);
	appendBinaryStringInfo(&plain, (const char *) &head, sizeof(head));
	if (head.has_key)
		appendStringInfoString(&plain, cursor->at.sort_key);
	if (cursor->placed)
		appendStringInfoString(&plain, cursor->at.id);
	while (plain.len % PAD_BYTES != 0)
		appendStringInfoChar(&plain, '\0');

	endpoint_keys(call->endpoint, keys);
	make_tag(keys, identity, plain.data, plain.len, tag);
	apply_stream(keys, tag, plain.data, plain.len);
	initStringInfo(&sealed);
	appendBinaryStringInfo(&sealed, (const char *) tag, TAG_BYTES);
	appendBinaryStringInfo(&sealed, plain.data, plain.len);
	return encode(sealed.data, sealed.len);
}

/*
 * False and err: 400 invalidCursor, expiredCursor.
 */
bool
scim_cursor_open(ScimCall *call, const StringInfoData *identity, const char *text, ScimCursor *cursor)
{
	static const char invalid[] = "the cursor is not valid here";
	CursorHead	head;
	uint8		keys[2 * KEY_BYTES];
	uint8		tag[TAG_BYTES];
	uint8		difference = 0;
	char	   *plain;
	char	   *bytes;
	int			len;

	bytes = decode(text, &len);
	if (bytes == NULL || len < TAG_BYTES + (int) sizeof(head))
		return scim_fail(&call->err, 400, SCIM_INVALID_CURSOR, invalid);
	plain = bytes + TAG_BYTES;
	len -= TAG_BYTES;
	endpoint_keys(call->endpoint, keys);
	apply_stream(keys, (const uint8 *) bytes, plain, len);
	make_tag(keys, identity, plain, len, tag);
	for (int i = 0; i < TAG_BYTES; i++)
		difference |= tag[i] ^ (uint8) bytes[i];
	if (difference != 0)
		return scim_fail(&call->err, 400, SCIM_INVALID_CURSOR, invalid);

	memcpy(&head, plain, sizeof(head));
	if (head.version != FORMAT_VERSION)
		return scim_fail(&call->err, 400, SCIM_INVALID_CURSOR, invalid);
	if (head.expires <= GetCurrentTimestamp())
		return scim_fail(&call->err, 400, SCIM_EXPIRED_CURSOR, "the cursor has expired: begin again");
	memset(cursor, 0, sizeof(*cursor));
	cursor->backward = head.backward;
	cursor->placed = head.placed;
	cursor->part = head.part;
	cursor->count = head.count;
	plain += sizeof(head);
	if (head.has_key)
		cursor->at.sort_key = pnstrdup(plain, head.key_len);
	if (head.placed)
		cursor->at.id = pnstrdup(plain + head.key_len, head.id_len);
	return true;
}
