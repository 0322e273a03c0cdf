/*
 * provider_password.c
 *		Passwords of users in the built-in store: kept as SCRAM-SHA-256 secrets
 *		(RFC 5803), in the form PostgreSQL has for its own roles, where the
 *		endpoint serves the mapping users_with_password; ignored otherwise.
 *
 * Nothing ever returns one.  A mapping of a user's own table hands a password to
 * its column as it is: there the owner's trigger decides.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "libpq/crypt.h"
#include "utils/builtins.h"

#include "provider_internal.h"
#include "../catalog/catalog_mapping.h"
#include "../compat.h"

PG_FUNCTION_INFO_V1(scim_check_password);

static bool
is_password(const char *secret, const char *password)
{
	ScimLogDetail *detail = NULL;

	return plain_crypt_verify("", secret, password, &detail) == STATUS_OK;
}

/* Does this type keep passwords? */
bool
scim_password_kept(const ScimResourceType *type)
{
	return strcmp(type->name, "User") == 0 && scim_type_attr(type, SCIM_EXT_CORE, "password", strlen("password")) != NULL;
}

/*
 * Put the secret in the place of a new password in the state that is wanted; a
 * password that is the old one keeps its secret, so that nothing changes.
 * "before" may be NULL.  False and err: 400, it is empty; memory is out.
 */
bool
scim_password_seal(ScimCall *call, const ScimEndpointType *target, const json_t *before, json_t *wanted)
{
	const char *password = json_string_value(json_object_get(wanted, "password"));
	const char *old = before ? json_string_value(json_object_get(before, "password")) : NULL;
	const char *secret;
	ScimCoreFrame frame;
	int			status;

	if (password == NULL || !target->mapping->builtin || !scim_password_kept(target->type) ||
		(old && strcmp(old, password) == 0))
		return true;
	if (password[0] == '\0')
		return scim_fail(&call->err, 400, SCIM_INVALID_VALUE, "password must not be empty");
	/* the server would take it for what it is to become */
	if (get_password_type(password) != PASSWORD_TYPE_PLAINTEXT)
		return scim_fail(&call->err, 400, SCIM_INVALID_VALUE, "password must be a password, not the secret made of one");
	secret = old && is_password(old, password) ? old : encrypt_password(PASSWORD_TYPE_SCRAM_SHA_256, "", password);
	scim_core_enter(&frame);
	status = json_object_set_new(wanted, "password", json_string(secret));
	scim_core_leave(&frame);
	return status == 0 || scim_fail_memory(&call->err);
}

/*
 * scim.check_password(endpoint, user_name, password): see its comment in SQL.
 */
Datum
scim_check_password(PG_FUNCTION_ARGS)
{
	const ScimEndpoint *endpoint;
	char	   *password = text_to_cstring(PG_GETARG_TEXT_PP(2));
	char	   *secret = NULL;
	Oid			types[2] = {TEXTOID, TEXTOID};
	Datum		values[2];
	bool		right;

	SPI_connect();
	scim_catalog_begin();
	endpoint = scim_endpoint_by_name(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	if (endpoint == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("endpoint \"%s\" does not exist", text_to_cstring(PG_GETARG_TEXT_PP(0)))));
	scim_require_member(endpoint->owner, psprintf("endpoint \"%s\"", endpoint->name));
	values[0] = CStringGetTextDatum(endpoint->tenant);
	values[1] = PG_GETARG_DATUM(1);
	if (scim_own_execute("password",
						 "SELECT u.password_hash FROM scim.users u WHERE u.tenant OPERATOR(pg_catalog.=) $1"
						 " AND scim.fold(u.user_name) COLLATE \"C\" OPERATOR(pg_catalog.=) scim.fold($2) AND u.active IS NOT FALSE",
						 2, types, values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read scim.users");
	if (SPI_processed > 0)
		secret = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	/* who does not exist takes as long as who does */
	if (secret == NULL)
		(void) encrypt_password(PASSWORD_TYPE_SCRAM_SHA_256, "", password);
	right = secret != NULL && is_password(secret, password);
	scim_catalog_end();
	SPI_finish();
	PG_RETURN_BOOL(right);
}
