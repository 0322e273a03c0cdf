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

Datum
scim_create_token(PG_FUNCTION_ARGS)
{
	char	   *endpoint = text_argument(fcinfo, 0);
	char	   *label = text_argument(fcinfo, 1);
	char	   *token;
	bytea	   *hash;
	Oid			types[7] = {INT8OID, TEXTOID, BYTEAOID, BOOLOID, INTERVALOID, TEXTARRAYOID, TEXTOID};
	Datum		values[7];
	char		nulls[8] = "       ";
	MemoryContext caller = CurrentMemoryContext;

	if (endpoint == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a token needs an endpoint")));
	if (label && label[0] == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("a label must not be empty")));

	SPI_connect();
	values[0] = Int64GetDatum(scim_own_endpoint(endpoint));
	if (!PG_ARGISNULL(2))
		check_interval(PG_GETARG_INTERVAL_P(2), false, "expires_in");
	if (!PG_ARGISNULL(4))
		check_types(endpoint, PG_GETARG_ARRAYTYPE_P(4));

	token = make_token(&hash);
	if (label)
		values[1] = CStringGetTextDatum(label);
	else
		nulls[1] = 'n';
	values[2] = PointerGetDatum(hash);
	values[3] = PG_ARGISNULL(3) ? BoolGetDatum(true) : PG_GETARG_DATUM(3);
	for (int i = 4; i < 7; i++)
	{
		int			argument = i == 4 ? 2 : i - 1;

		if (PG_ARGISNULL(argument))
			nulls[i] = 'n';
		else
			values[i] = PG_GETARG_DATUM(argument);
	}
	if (scim_own_execute("create token",
						 "INSERT INTO scim._tokens (endpoint_id, label, hash, can_write, expires, resource_types, subject)"
						 " SELECT $1, coalesce($2, 'token-' OPERATOR(pg_catalog.||)"
						 " (SELECT coalesce(pg_catalog.max(t.id), 0) OPERATOR(pg_catalog.+) 1 FROM scim._tokens t)::pg_catalog.text),"
						 " $3, $4, pg_catalog.now() OPERATOR(pg_catalog.+) $5, $6, $7"
						 " ON CONFLICT DO NOTHING",
						 7, types, values, nulls, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write scim._tokens");
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("endpoint \"%s\" has a live token with this label already", endpoint)));
	PG_RETURN_TEXT_P(return_token(token, caller));
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
						 "UPDATE scim._tokens t SET label = pg_catalog.concat(t.label, ', rotated out ', pg_catalog.clock_timestamp()),"
						 " expires = least(t.expires, pg_catalog.now() OPERATOR(pg_catalog.+) $3)"
						 " WHERE t.endpoint_id OPERATOR(pg_catalog.=) $1 AND t.label OPERATOR(pg_catalog.=) $2 AND t.revoked IS NULL"
						 " AND (t.expires IS NULL OR t.expires OPERATOR(pg_catalog.>) pg_catalog.now())"
						 " RETURNING t.can_write, t.resource_types, t.subject",
						 3, types, values, nulls, false, 0) != SPI_OK_UPDATE_RETURNING)
		elog(ERROR, "could not write scim._tokens");
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("endpoint \"%s\" has no live token with this label", endpoint)));
	{
		Oid			new_types[7] = {INT8OID, TEXTOID, BYTEAOID, INTERVALOID, BOOLOID, TEXTARRAYOID, TEXTOID};
		Datum		new_values[7] = {values[0], values[1], values[3], values[4]};
		char		new_nulls[8] = "       ";

		new_nulls[3] = nulls[4];
		for (int i = 0; i < 3; i++)
		{
			bool		isnull;

			new_values[4 + i] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i + 1, &isnull);
			new_nulls[4 + i] = isnull ? 'n' : ' ';
		}
		if (scim_own_execute("rotate token in",
							 "INSERT INTO scim._tokens (endpoint_id, label, hash, expires, can_write, resource_types, subject)"
							 " VALUES ($1, $2, $3, pg_catalog.now() OPERATOR(pg_catalog.+) $4, $5, $6, $7)",
							 7, new_types, new_values, new_nulls, false, 0) != SPI_OK_INSERT)
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
							"UPDATE scim._tokens SET revoked = pg_catalog.now()"
							" WHERE endpoint_id OPERATOR(pg_catalog.=) $1 AND label OPERATOR(pg_catalog.=) $2 AND revoked IS NULL",
							2, types, values, NULL, false, 0);
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("endpoint \"%s\" has no live token with this label", text_argument(fcinfo, 0))));
	SPI_finish();
	PG_RETURN_VOID();
}
