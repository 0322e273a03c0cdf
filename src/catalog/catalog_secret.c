/*
 * catalog_secret.c
 *		Secrets of servers (threat-and-fault-model K2 to K4).
 *
 * A secret is kept for the name of a server, and bound to the origin of its
 * URL and to its owner at the time: a server that leads somewhere else now, or
 * belongs to somebody else, does not get it.
 *
 * The text of a statement that fails is logged, so scim.set_secret() reports
 * by its result what is wrong, and takes its statement out of what is logged
 * with an error that it could not foresee.
 */
#include "postgres.h"

#include <sys/stat.h>

#include "access/htup_details.h"
#include "access/reloptions.h"
#include "access/xact.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_type.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/fd.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "../compat.h"
#include "catalog.h"
#include "catalog_server.h"

PG_FUNCTION_INFO_V1(scim_set_secret);
PG_FUNCTION_INFO_V1(scim_drop_secret);

/* ---- reading ---- */

/*
 * The secret in scim._secrets, or NULL; then *problem is set if there is one
 * that must not be used.
 */
static char *
stored_secret(const ScimServer *server, const char **problem)
{
	MemoryContext caller = CurrentMemoryContext;
	Oid			types[1] = {TEXTOID};
	Datum		values[1];
	char	   *secret = NULL;

	SPI_connect();
	values[0] = CStringGetTextDatum(server->name);
	if (scim_own_execute("secret",
						 "SELECT s.secret, s.origin, s.owner::pg_catalog.oid FROM scim._secrets s WHERE s.server OPERATOR(pg_catalog.=) $1",
						 1, types, values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read scim._secrets");
	if (SPI_processed > 0)
	{
		HeapTuple	row = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		bool		isnull;

		if (strcmp(SPI_getvalue(row, desc, 2), server->bound_to) != 0)
			*problem = "the secret was set for another origin: set it again";
		else if (DatumGetObjectId(SPI_getbinval(row, desc, 3, &isnull)) != server->owner)
			*problem = "the secret was set for another owner of the server: set it again";
		else
			secret = MemoryContextStrdup(caller, SPI_getvalue(row, desc, 1));
	}
	SPI_finish();
	return secret;
}

/* NULL, or what is wrong with a secret: passwords have other letters than tokens. */
static const char *
secret_problem(const ScimServer *server, const char *secret)
{
	if (strlen(secret) > SCIM_MAX_BEARER)
		return "the secret is too long";
	if (server->auth == SCIM_AUTH_BEARER)
		return scim_bearer_ok(secret) ? NULL :
			"the secret is not a bearer token: letters, digits and \"-._~+/\", with \"=\" at its end (RFC 6750); look for spaces and line ends";
	for (const char *p = secret; *p != '\0'; p++)
		if (*p < ' ' || *p > '~')
			return "the secret holds characters that are not printable ASCII; look for line ends";
	return secret[0] == '\0' ? "the secret is empty" : NULL;
}

/* The first line of a file that only the server's user, or its group, can read. */
static char *
file_secret(const ScimServer *server, const char **problem)
{
	const char *path = server->secret_file;
	char	   *line = palloc(SCIM_MAX_BEARER + 3);
	FILE	   *file = AllocateFile(path, "r");
	struct stat st;
	size_t		len;

	if (file == NULL || fstat(fileno(file), &st) != 0 || !S_ISREG(st.st_mode))
		*problem = "the file of secret_file cannot be read";
	else if (st.st_mode & (S_IWGRP | S_IRWXO))
		*problem = "the file of secret_file is open to others: its mode has to be 0640 or less";
	else if (fgets(line, SCIM_MAX_BEARER + 3, file) == NULL)
		*problem = "the file of secret_file is empty";
	if (file != NULL)
		FreeFile(file);
	if (*problem != NULL)
		return NULL;
	len = strlen(line);
	while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
		line[--len] = '\0';
	if (secret_problem(server, line) != NULL)
	{
		*problem = server->auth == SCIM_AUTH_BEARER ? "the first line of the file of secret_file is not a bearer token (RFC 6750)" :
			"the first line of the file of secret_file is no password";
		return NULL;
	}
	return line;
}

/* The option token of the mapping of a role (InvalidOid: PUBLIC), or NULL. */
static char *
mapping_secret(const ScimServer *server, Oid role)
{
	HeapTuple	tuple = SearchSysCache2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(role), ObjectIdGetDatum(server->oid));
	Datum		options;
	bool		isnull;
	char	   *token = NULL;

	if (!HeapTupleIsValid(tuple))
		return NULL;
	options = SysCacheGetAttr(USERMAPPINGUSERSERVER, tuple, Anum_pg_user_mapping_umoptions, &isnull);
	if (!isnull)
	{
		ListCell   *lc;

		foreach(lc, untransformRelOptions(options))
			if (strcmp(lfirst_node(DefElem, lc)->defname, "token") == 0)
				token = pstrdup(defGetString(lfirst_node(DefElem, lc)));
	}
	ReleaseSysCache(tuple);
	return token;
}

const char *
scim_server_secret(const ScimServer *server, const char **problem)
{
	char	   *secret;

	*problem = NULL;
	secret = stored_secret(server, problem);
	if (secret == NULL && *problem == NULL && server->secret_file != NULL)
		secret = file_secret(server, problem);
	if (secret == NULL && *problem == NULL)
		secret = mapping_secret(server, server->owner);
	if (secret == NULL && *problem == NULL)
		secret = mapping_secret(server, InvalidOid);
	if (secret == NULL && *problem == NULL)
		*problem = "no secret is set: scim.set_secret()";
	return secret;
}

/* ---- setting ---- */

static void
hide_statement(void *arg)
{
	errhidestmt(true);
	errhidecontext(true);
}

/* Members of the owner who may use the server: NULL, or what is missing. */
static const char *
may_set(const ScimServer *server)
{
	Oid			user = GetUserId();

	if (!has_privs_of_role(user, server->owner) || !member_can_set_role(user, server->owner) ||
		scim_server_aclcheck(server->oid, user, ACL_USAGE) != ACLCHECK_OK)
		return psprintf("permission denied for server \"%s\": it belongs to another role", server->name);
	return NULL;
}

static const char *
set_secret(const char *name, const char *secret)
{
	ForeignServer *found = GetForeignServerByName(name, true);
	ScimServer *server;
	const char *problem;
	Oid			types[4] = {TEXTOID, TEXTOID, OIDOID, TEXTOID};
	Datum		values[4];

	if (found == NULL || strcmp(GetForeignDataWrapper(found->fdwid)->fdwname, "scim") != 0)
		return psprintf("server \"%s\" does not exist, or is not one of SCIM", name);
	server = scim_server_by_oid(found->serverid);
	problem = may_set(server);
	if (problem != NULL)
		return problem;
	problem = secret_problem(server, secret);
	if (problem != NULL)
		return problem;
	if (XactReadOnly)
		return "the transaction is read-only";

	values[0] = CStringGetTextDatum(server->name);
	values[1] = CStringGetTextDatum(server->bound_to);
	values[2] = ObjectIdGetDatum(server->owner);
	values[3] = CStringGetTextDatum(secret);
	SPI_connect();
	if (scim_own_execute("set secret",
						 "INSERT INTO scim._secrets AS s (server, origin, owner, secret, set_by)"
						 " VALUES ($1, $2, $3::pg_catalog.regrole, $4, session_user)"
						 " ON CONFLICT (server) DO UPDATE SET origin = excluded.origin, owner = excluded.owner,"
						 " secret = excluded.secret, set_at = excluded.set_at, set_by = excluded.set_by",
						 4, types, values, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write scim._secrets");
	SPI_finish();
	return "ok";
}

Datum
scim_set_secret(PG_FUNCTION_ARGS)
{
	ErrorContextCallback callback;
	const char *result;

	/* in the place of the statement's text, also when it has ended */
	pgstat_report_activity(STATE_RUNNING, "SELECT scim.set_secret(...)");

	callback.callback = hide_statement;
	callback.arg = NULL;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		result = "a server and a secret are needed";
	else
		result = set_secret(text_to_cstring(PG_GETARG_TEXT_PP(0)), text_to_cstring(PG_GETARG_TEXT_PP(1)));
	error_context_stack = callback.previous;
	PG_RETURN_TEXT_P(cstring_to_text(result));
}

/* By the name alone: the server may be gone.  True if there was a secret. */
Datum
scim_drop_secret(PG_FUNCTION_ARGS)
{
	text	   *name = PG_GETARG_TEXT_PP(0);
	Oid			types[1] = {TEXTOID};
	Datum		values[1];
	bool		there;
	bool		isnull;

	SPI_connect();
	values[0] = PointerGetDatum(name);
	if (scim_own_execute("secret owner",
						 "SELECT s.owner::pg_catalog.oid FROM scim._secrets s WHERE s.server OPERATOR(pg_catalog.=) $1 FOR UPDATE",
						 1, types, values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read scim._secrets");
	there = SPI_processed > 0;
	if (there)
	{
		scim_require_member(DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull)),
							psprintf("the secret of server \"%s\"", text_to_cstring(name)));
		if (scim_own_execute("drop secret", "DELETE FROM scim._secrets s WHERE s.server OPERATOR(pg_catalog.=) $1",
							 1, types, values, NULL, false, 0) != SPI_OK_DELETE)
			elog(ERROR, "could not write scim._secrets");
	}
	SPI_finish();
	PG_RETURN_BOOL(there);
}
