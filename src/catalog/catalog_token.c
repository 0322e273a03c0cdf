/*
 * catalog_token.c
 *		SQL functions that make, rotate and revoke tokens.
 *
 * In C for the same reason as those of endpoints (catalog_endpoint.c).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/base64.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "catalog.h"

#define TOKEN_BYTES 32
#define TOKEN_PREFIX "scim_"

PG_FUNCTION_INFO_V1(scim_create_token);
PG_FUNCTION_INFO_V1(scim_create_client);
PG_FUNCTION_INFO_V1(scim_rotate_token);
PG_FUNCTION_INFO_V1(scim_revoke_token);

static char *
text_argument(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(n));
}

/*
 * 256 random bits, base64url (a subset of RFC 6750's b64token), with a prefix
 * by which secret scanners can tell what leaked.
 */
static char *
new_token(void)
{
	uint8		bytes[TOKEN_BYTES];
	char		text[64];
	int			len;

	if (!pg_strong_random(bytes, sizeof(bytes)))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values")));
	len = pg_b64_encode((const void *) bytes, sizeof(bytes), text, sizeof(text));
	if (len < 0)
		elog(ERROR, "could not encode token");
	while (len > 0 && text[len - 1] == '=')
		len--;
	text[len] = '\0';
	for (char *p = text; *p; p++)
	{
		if (*p == '+')
			*p = '-';
		else if (*p == '/')
			*p = '_';
	}
	return psprintf(TOKEN_PREFIX "%s", text);
}

/* A length of time; "zero" is one, too. */
static void
check_interval(const Interval *value, bool zero, const char *name)
{
	bool		is_zero = value->month == 0 && value->day == 0 && value->time == 0;

	if (value->month < 0 || value->day < 0 || value->time < 0 || (is_zero && !zero))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg(zero ? "%s must not be negative" : "%s must be positive", name)));
}

/* Resource types that a token is for: the endpoint has them. */
static void
check_types(const char *endpoint_name, ArrayType *array)
{
	const ScimEndpoint *endpoint;
	Datum	   *elements;
	bool	   *nulls;
	int			n;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	if (n == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a token needs a resource type")));
	scim_catalog_begin();
	endpoint = scim_endpoint_by_name(endpoint_name);
	for (int i = 0; i < n; i++)
	{
		const char *name = nulls[i] ? "" : TextDatumGetCString(elements[i]);

		if (endpoint == NULL || scim_endpoint_type(endpoint, name) == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("endpoint \"%s\" has no resource type \"%s\"", endpoint_name, name)));
	}
	scim_catalog_end();
}

/* A new token and the hash of it. */
static char *
make_token(bytea **hash)
{
	char	   *token = new_token();

	*hash = (bytea *) palloc(VARHDRSZ + 32);
	SET_VARSIZE(*hash, VARHDRSZ + 32);
	scim_sha256((const uint8 *) token, strlen(token), (uint8 *) VARDATA(*hash));
	return token;
}

/* Text of a token, in the memory of whoever called, at the end of SPI. */
static text *
return_token(const char *token, MemoryContext caller)
{
	MemoryContext saved = MemoryContextSwitchTo(caller);
	text	   *result = cstring_to_text(token);

	MemoryContextSwitchTo(saved);
	SPI_finish();
	return result;
}

/* A row of scim._tokens that is to be. */
typedef struct NewToken
{
	const char *endpoint;
	const char *label;			/* NULL: token-<number> */
	Interval   *expires_in;		/* NULL: never */
	bool		can_write;
	ArrayType  *types;			/* NULL: all */
	text	   *subject;		/* NULL: nobody */
	Interval   *lifetime;		/* of a client; NULL: it is a token */
} NewToken;

static Datum
nullable(void *pointer, char *isnull)
{
	*isnull = pointer ? ' ' : 'n';
	return PointerGetDatum(pointer);
}

/* Needs SPI; raises what is wrong. */
static char *
insert_token(const NewToken *new)
{
	char	   *token;
	bytea	   *hash;
	Oid			types[8] = {INT8OID, TEXTOID, BYTEAOID, BOOLOID, INTERVALOID, TEXTARRAYOID, TEXTOID, INTERVALOID};
	Datum		values[8];
	char		nulls[9] = "        ";

	if (new->label && new->label[0] == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a label must not be empty")));
	values[0] = Int64GetDatum(scim_own_endpoint(new->endpoint));
	if (new->expires_in)
		check_interval(new->expires_in, false, "expires_in");
	if (new->lifetime)
		check_interval(new->lifetime, false, "lifetime");
	if (new->types)
		check_types(new->endpoint, new->types);

	token = make_token(&hash);
	values[1] = nullable(new->label ? cstring_to_text(new->label) : NULL, &nulls[1]);
	values[2] = PointerGetDatum(hash);
	values[3] = BoolGetDatum(new->can_write);
	values[4] = nullable(new->expires_in, &nulls[4]);
	values[5] = nullable(new->types, &nulls[5]);
	values[6] = nullable(new->subject, &nulls[6]);
	values[7] = nullable(new->lifetime, &nulls[7]);
	if (scim_own_execute("create token",
						 "INSERT INTO scim._tokens (endpoint_id, label, hash, can_write, expires, resource_types, subject, lifetime)"
						 " SELECT $1, coalesce($2, 'token-' OPERATOR(pg_catalog.||)"
						 " (SELECT coalesce(pg_catalog.max(t.id), 0) OPERATOR(pg_catalog.+) 1 FROM scim._tokens t)::pg_catalog.text),"
						 " $3, $4, pg_catalog.now() OPERATOR(pg_catalog.+) $5, $6, $7, $8"
						 " ON CONFLICT DO NOTHING",
						 8, types, values, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write scim._tokens");
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("endpoint \"%s\" has a live token with this label already", new->endpoint)));
	return token;
}

Datum
scim_create_token(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	NewToken	new;

	memset(&new, 0, sizeof(new));
	new.endpoint = text_argument(fcinfo, 0);
	new.label = text_argument(fcinfo, 1);
	new.expires_in = PG_ARGISNULL(2) ? NULL : PG_GETARG_INTERVAL_P(2);
	new.can_write = PG_ARGISNULL(3) || PG_GETARG_BOOL(3);
	new.types = PG_ARGISNULL(4) ? NULL : PG_GETARG_ARRAYTYPE_P(4);
	new.subject = PG_ARGISNULL(5) ? NULL : PG_GETARG_TEXT_PP(5);
	if (new.endpoint == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a token needs an endpoint")));
	SPI_connect();
	PG_RETURN_TEXT_P(return_token(insert_token(&new), caller));
}

Datum
scim_create_client(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	NewToken	new;

	memset(&new, 0, sizeof(new));
	new.endpoint = text_argument(fcinfo, 0);
	new.label = text_argument(fcinfo, 1);
	new.lifetime = PG_ARGISNULL(2) ? NULL : PG_GETARG_INTERVAL_P(2);
	new.can_write = PG_ARGISNULL(3) || PG_GETARG_BOOL(3);
	new.types = PG_ARGISNULL(4) ? NULL : PG_GETARG_ARRAYTYPE_P(4);
	if (new.endpoint == NULL || new.label == NULL || new.lifetime == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a client needs an endpoint, an id and a lifetime")));
	SPI_connect();
	PG_RETURN_TEXT_P(return_token(insert_token(&new), caller));
}

/*
 * What has run out of those the client got before goes: nobody asks for them
 * any more.
 */
char *
scim_token_issue(const ScimToken *client, int64 *seconds)
{
	char	   *token;
	bytea	   *hash;
	Oid			types[2] = {INT8OID, BYTEAOID};
	Datum		values[2];
	bool		isnull;
	MemoryContext caller = CurrentMemoryContext;

	SPI_connect();
	token = make_token(&hash);
	values[0] = Int64GetDatum(client->id);
	values[1] = PointerGetDatum(hash);
	(void) scim_own_execute("forget issued tokens",
							"DELETE FROM scim._tokens WHERE client_id OPERATOR(pg_catalog.=) $1 AND expires OPERATOR(pg_catalog.<)"
							" (pg_catalog.now() OPERATOR(pg_catalog.-) '1 day'::pg_catalog.interval)",
							1, types, values, NULL, false, 0);
	if (scim_own_execute("issue token",
						 "INSERT INTO scim._tokens (endpoint_id, label, hash, can_write, resource_types, expires, client_id)"
						 " SELECT c.endpoint_id, pg_catalog.concat(c.label, ', issued ', pg_catalog.clock_timestamp(), ' ', pg_catalog.left(pg_catalog.encode($2, 'hex'), 8)),"
						 " $2, c.can_write, c.resource_types, least(c.expires, pg_catalog.now() OPERATOR(pg_catalog.+) c.lifetime), c.id"
						 " FROM scim._tokens c WHERE c.id OPERATOR(pg_catalog.=) $1"
						 " RETURNING pg_catalog.floor(EXTRACT(epoch FROM expires OPERATOR(pg_catalog.-) pg_catalog.now()))::pg_catalog.int8",
						 2, types, values, NULL, false, 0) != SPI_OK_INSERT_RETURNING || SPI_processed != 1)
		elog(ERROR, "could not write scim._tokens");
	*seconds = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	token = MemoryContextStrdup(caller, token);
	SPI_finish();
	return token;
}

Datum
scim_rotate_token(PG_FUNCTION_ARGS)
{
	char	   *endpoint = text_argument(fcinfo, 0);
	char	   *label = text_argument(fcinfo, 1);
	char	   *token;
	bytea	   *hash;
	Oid			types[5] = {INT8OID, TEXTOID, INTERVALOID, BYTEAOID, INTERVALOID};
	Datum		values[5];
	char		nulls[6] = "     ";
	MemoryContext caller = CurrentMemoryContext;

	if (endpoint == NULL || label == NULL || PG_ARGISNULL(2))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a rotation needs an endpoint, a label and an overlap")));
	check_interval(PG_GETARG_INTERVAL_P(2), true, "overlap");
	if (!PG_ARGISNULL(3))
		check_interval(PG_GETARG_INTERVAL_P(3), false, "expires_in");

	SPI_connect();
	values[0] = Int64GetDatum(scim_own_endpoint(endpoint));
	values[1] = CStringGetTextDatum(label);
	values[2] = PG_GETARG_DATUM(2);
	token = make_token(&hash);
	values[3] = PointerGetDatum(hash);
	if (PG_ARGISNULL(3))
		nulls[4] = 'n';
	else
		values[4] = PG_GETARG_DATUM(3);
	/* the label is free before the new one takes it */
	if (scim_own_execute("rotate token out",
						 "UPDATE scim._tokens t SET label = pg_catalog.concat(t.label, '" SCIM_ROTATED_OUT "', pg_catalog.clock_timestamp()),"
						 " expires = least(t.expires, pg_catalog.now() OPERATOR(pg_catalog.+) $3)"
						 " WHERE t.endpoint_id OPERATOR(pg_catalog.=) $1 AND t.label OPERATOR(pg_catalog.=) $2 AND t.revoked IS NULL"
						 " AND (t.expires IS NULL OR t.expires OPERATOR(pg_catalog.>) pg_catalog.now())"
						 " RETURNING t.can_write, t.resource_types, t.subject, t.lifetime, t.id",
						 3, types, values, nulls, false, 0) != SPI_OK_UPDATE_RETURNING)
		elog(ERROR, "could not write scim._tokens");
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("endpoint \"%s\" has no live token with this label", endpoint)));
	/* tokens that the old secret has got end with the new one, too */
	{
		Oid			new_types[9] = {INT8OID, TEXTOID, BYTEAOID, INTERVALOID, BOOLOID, TEXTARRAYOID, TEXTOID, INTERVALOID, INT8OID};
		Datum		new_values[9] = {values[0], values[1], values[3], values[4]};
		char		new_nulls[10] = "         ";

		new_nulls[3] = nulls[4];
		for (int i = 0; i < 5; i++)
		{
			bool		isnull;

			new_values[4 + i] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i + 1, &isnull);
			new_nulls[4 + i] = isnull ? 'n' : ' ';
		}
		if (scim_own_execute("rotate token in",
							 "WITH fresh AS (INSERT INTO scim._tokens (endpoint_id, label, hash, expires, can_write, resource_types, subject, lifetime)"
							 " VALUES ($1, $2, $3, pg_catalog.now() OPERATOR(pg_catalog.+) $4, $5, $6, $7, $8) RETURNING id)"
							 " UPDATE scim._tokens t SET client_id = fresh.id FROM fresh WHERE t.client_id OPERATOR(pg_catalog.=) $9",
							 9, new_types, new_values, new_nulls, false, 0) != SPI_OK_UPDATE)
			elog(ERROR, "could not write scim._tokens");
	}
	PG_RETURN_TEXT_P(return_token(token, caller));
}

Datum
scim_revoke_token(PG_FUNCTION_ARGS)
{
	Oid			types[2] = {INT8OID, TEXTOID};
	Datum		values[2];

	SPI_connect();
	values[0] = Int64GetDatum(scim_own_endpoint(text_argument(fcinfo, 0)));
	values[1] = PG_GETARG_DATUM(1);
	(void) scim_own_execute("revoke token",
							"WITH gone AS (UPDATE scim._tokens SET revoked = pg_catalog.now()"
							" WHERE endpoint_id OPERATOR(pg_catalog.=) $1 AND label OPERATOR(pg_catalog.=) $2 AND revoked IS NULL RETURNING id),"
							" issued AS (UPDATE scim._tokens t SET revoked = pg_catalog.now() FROM gone"
							" WHERE t.client_id OPERATOR(pg_catalog.=) gone.id AND t.revoked IS NULL)"
							" SELECT id FROM gone",
							2, types, values, NULL, false, 0);
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("endpoint \"%s\" has no live token with this label", text_argument(fcinfo, 0))));
	SPI_finish();
	PG_RETURN_VOID();
}
