/*
 * catalog_server_option.c
 *		The options of servers and user mappings: one table of them, how their
 *		values are read, the validator of the foreign-data wrapper.
 *
 * A capability of a target is set by the first of: the server's option, what
 * was learned of the target (scim._learned), the profile (a row of
 * scim._profiles, whose jsonb has the options' names), the value in the table
 * below.  All are text read by the same function, so a profile can say nothing
 * that an option could not.
 *
 * Options that make the server read files are for superusers.  PostgreSQL
 * hands the validator the whole list after an ALTER, so others can take such an
 * option away, and while it is there change nothing: neither where the secret
 * of a file goes, nor who is believed to be there.
 */
#include "postgres.h"

#include "access/reloptions.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_type.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "../compat.h"
#include "../scim_guc.h"
#include "catalog.h"
#include "catalog_server_internal.h"

PG_FUNCTION_INFO_V1(scim_server_options);

#define DEFAULT_PROFILE "generic"
#define MAX_HEADER 200

typedef enum OptionKind
{
	OPTION_BOOL,
	OPTION_INT,
	OPTION_MS,
	OPTION_REAL,
	OPTION_ENUM,
	OPTION_LIST,
	OPTION_HEADER				/* value of an HTTP header */
} OptionKind;

typedef struct Option
{
	const char *name;
	OptionKind	kind;
	size_t		field;			/* of ScimServer */
	const char *boot;
	double		min;
	double		max;
	const char *const *words;	/* of an enum, in its order, ends with NULL */
} Option;

static const char *const auth_words[] = {"bearer", "basic", "oauth2_client_credentials", NULL};
static const char *const update_words[] = {"patch", "put", "put_merge", NULL};
static const char *const style_words[] = {"pathed", "pathless", NULL};
static const char *const remove_words[] = {"filter", "value", NULL};
static const char *const disable_words[] = {"disables", "unlinks", "deletes", NULL};
static const char *const delete_words[] = {"deletes", "disables", "irreversible", "none", NULL};
static const char *const reactivation_words[] = {"same_id", "new_id", "impossible", NULL};
static const char *const bulk_words[] = {SCIM_ASK, "true", "false", NULL};

#define FIELD(name) offsetof(ScimServer, name)

/* (The defaults are what RFC 7644 lets one expect of anybody, and no more.) */
static const Option table[] = {
	{"connect_timeout", OPTION_MS, FIELD(connect_timeout), "10s", 100, 600000},
	{"total_timeout", OPTION_MS, FIELD(total_timeout), "60s", 100, 3600000},
	{"auth", OPTION_ENUM, FIELD(auth), "bearer", 0, 0, auth_words},
	{"update_method", OPTION_ENUM, FIELD(update_method), "patch", 0, 0, update_words},
	{"group_update", OPTION_ENUM, FIELD(group_update), "patch", 0, 0, update_words},
	{"patch_path_style", OPTION_ENUM, FIELD(patch_path_style), "pathed", 0, 0, style_words},
	{"patch_one_operation", OPTION_BOOL, FIELD(patch_one_operation), "false"},
	{"patch_value_path", OPTION_BOOL, FIELD(patch_value_path), "true"},
	{"member_remove", OPTION_ENUM, FIELD(member_remove), "filter", 0, 0, remove_words},
	{"filter_user", OPTION_LIST, FIELD(filter_user), "userName"},
	{"filter_group", OPTION_LIST, FIELD(filter_group), "displayName"},
	{"filter_and", OPTION_BOOL, FIELD(filter_and), "false"},
	{"list_scan", OPTION_BOOL, FIELD(list_scan), "false"},
	{"page_size", OPTION_INT, FIELD(page_size), "100", 1, 10000},
	{"members_per_request", OPTION_INT, FIELD(members_per_request), "100", 1, 100000},
	{"multi_value_max", OPTION_INT, FIELD(multi_value_max), "0", 0, 100000},
	{"email_types", OPTION_LIST, FIELD(email_types), ""},
	{"user_attributes", OPTION_LIST, FIELD(user_attributes), ""},
	{"group_attributes", OPTION_LIST, FIELD(group_attributes), ""},
	{"immutable_attributes", OPTION_LIST, FIELD(immutable_attributes), ""},
	{"groups", OPTION_BOOL, FIELD(groups), "true"},
	{"external_id_user", OPTION_BOOL, FIELD(external_id_user), "true"},
	{"external_id_group", OPTION_BOOL, FIELD(external_id_group), "true"},
	{"disable_means", OPTION_ENUM, FIELD(disable_means), "disables", 0, 0, disable_words},
	{"delete_means", OPTION_ENUM, FIELD(delete_means), "deletes", 0, 0, delete_words},
	{"reactivation", OPTION_ENUM, FIELD(reactivation), "same_id", 0, 0, reactivation_words},
	{"content_type", OPTION_HEADER, FIELD(content_type), "application/scim+json"},
	{"accept", OPTION_HEADER, FIELD(accept), "application/scim+json, application/json"},
	{"rate_per_second", OPTION_REAL, FIELD(rate_per_second), "0", 0, 100000},
	{"burst", OPTION_INT, FIELD(burst), "10", 1, 100000},
	{"creates_per_hour", OPTION_INT, FIELD(creates_per_hour), "0", 0, 10000000},
	{"concurrency", OPTION_INT, FIELD(concurrency), "8", 1, 500},
	{"http2", OPTION_BOOL, FIELD(http2), "false"},
	{"bulk", OPTION_ENUM, FIELD(bulk), SCIM_ASK, 0, 0, bulk_words},
	{"bulk_max_operations", OPTION_INT, FIELD(bulk_max_operations), "100", 1, 100000},
	{"bulk_max_payload", OPTION_INT, FIELD(bulk_max_payload), "1048576", 1, 1073741824},
	{"create_sends_invite", OPTION_BOOL, FIELD(create_sends_invite), "false"},
};

/* Options that are no capability or limit. */
static const char *const other_options[] = {"base_url", "profile", "site", "ca_file", "secret_file", "client_id", "token_url", "scope"};

/* ---- reading values ---- */

pg_noreturn static void bad_value(const char *name, const char *value, const char *detail);

/* What is wrong with a value, raised with the option's name. */
static void
bad_value(const char *name, const char *value, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
			 errmsg("invalid value for option \"%s\": \"%s\"", name, value),
			 errdetail("%s", detail)));
}

/* Items between commas, without white space round them. */
static List *
read_list(const char *name, const char *value)
{
	List	   *items = NIL;
	const char *p = value;

	while (*p != '\0')
	{
		size_t		len = strcspn(p, ",");
		const char *end = p + len;
		const char *next = *end == ',' ? end + 1 : end;

		while (p < end && isspace((unsigned char) *p))
			p++;
		while (end > p && isspace((unsigned char) end[-1]))
			end--;
		if (p == end || (*next == '\0' && next[-1] == ','))
			bad_value(name, value, "Items are separated by one comma.");
		items = lappend(items, pnstrdup(p, end - p));
		p = next;
	}
	return items;
}

static void
read_value(ScimServer *server, const Option *option, const char *value)
{
	char	   *field = (char *) server + option->field;
	const char *hint = NULL;

	switch (option->kind)
	{
		case OPTION_BOOL:
			if (!parse_bool(value, (bool *) field))
				bad_value(option->name, value, "It is true or false.");
			break;
		case OPTION_INT:
		case OPTION_MS:
			if (!parse_int(value, (int *) field, option->kind == OPTION_MS ? GUC_UNIT_MS : 0, &hint) ||
				*(int *) field < option->min || *(int *) field > option->max)
				bad_value(option->name, value,
						  psprintf("It is a number between %d and %d%s.", (int) option->min, (int) option->max,
								   option->kind == OPTION_MS ? " milliseconds" : ""));
			break;
		case OPTION_REAL:
			/* (written so that NaN is refused, too) */
			if (!parse_real(value, (double *) field, 0, &hint) ||
				!(*(double *) field >= option->min && *(double *) field <= option->max))
				bad_value(option->name, value,
						  psprintf("It is a number between %g and %g.", option->min, option->max));
			break;
		case OPTION_ENUM:
			{
				int			i = 0;
				StringInfoData words;

				while (option->words[i] != NULL && pg_strcasecmp(option->words[i], value) != 0)
					i++;
				if (option->words[i] != NULL)
				{
					*(int *) field = i;
					break;
				}
				initStringInfo(&words);
				for (i = 0; option->words[i] != NULL; i++)
					appendStringInfo(&words, "%s%s", i == 0 ? "" : ", ", option->words[i]);
				bad_value(option->name, value, psprintf("It is one of: %s.", words.data));
			}
			break;
		case OPTION_LIST:
			*(List **) field = read_list(option->name, value);
			break;
		case OPTION_HEADER:
			for (const char *p = value; *p != '\0'; p++)
				if (*p < ' ' || *p > '~')
					bad_value(option->name, value, "It consists of printable ASCII characters.");
			if (value[0] == '\0' || strlen(value) > MAX_HEADER)
				bad_value(option->name, value, psprintf("It has between 1 and %d characters.", MAX_HEADER));
			*(const char **) field = pstrdup(value);
			break;
	}
}

/* ---- profiles ---- */

/*
 * A profile as DefElems of strings, lists with commas; raises if there is none
 * of that name.
 */
static List *
read_profile(const char *name)
{
	MemoryContext caller = CurrentMemoryContext;
	Oid			types[1] = {TEXTOID};
	Datum		values[1];
	List	   *settings = NIL;

	SPI_connect();
	values[0] = CStringGetTextDatum(name);
	if (scim_own_execute("profile",
						 "SELECT s.key, CASE pg_catalog.jsonb_typeof(s.value) WHEN 'array' THEN"
						 " coalesce((SELECT pg_catalog.string_agg(i.item, ',' ORDER BY i.n) FROM"
						 " pg_catalog.jsonb_array_elements_text(s.value) WITH ORDINALITY i (item, n)), '')"
						 " ELSE s.value OPERATOR(pg_catalog.#>>) '{}' END"
						 " FROM scim._profiles p LEFT JOIN LATERAL pg_catalog.jsonb_each(p.capabilities) s ON true"
						 " WHERE p.name OPERATOR(pg_catalog.=) $1",
						 1, types, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read scim._profiles");
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
				 errmsg("invalid value for option \"%s\": \"%s\"", "profile", name),
				 errdetail("There is no such profile."),
				 errhint("The view scim.profiles shows them all; \"%s\" is for targets that have none.", DEFAULT_PROFILE)));
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		char	   *key = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
		char	   *value = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2);
		MemoryContext saved;

		if (key == NULL || value == NULL)
			continue;
		saved = MemoryContextSwitchTo(caller);
		settings = lappend(settings, makeDefElem(pstrdup(key), (Node *) makeString(pstrdup(value)), -1));
		MemoryContextSwitchTo(saved);
	}
	SPI_finish();
	return settings;
}

static const char *
setting(List *settings, const char *name)
{
	ListCell   *lc;

	foreach(lc, settings)
	{
		DefElem    *e = lfirst_node(DefElem, lc);

		if (strcmp(e->defname, name) == 0)
			return defGetString(e);
	}
	return NULL;
}

/* ---- base URL ---- */

/*
 * The base URL: the option, or the profile's with the site filled in, which has
 * to be one of those that the profile names: a site is part of a host name.
 */
static const char *
choose_base_url(List *options, List *profile)
{
	const char *url = setting(options, "base_url");
	const char *site = setting(options, "site");
	const char *model = setting(profile, "base_url");
	const char *sites = setting(profile, "sites");
	const char *hole;
	List	   *known;
	ListCell   *lc;
	bool		found = false;

	if (url != NULL && site != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				 errmsg("invalid option \"%s\"", "site"),
				 errdetail("A server has a base_url or a site, not both.")));
	if (url != NULL)
		return url;
	if (model == NULL)
		ereport(ERROR,
				(errcode(site != NULL ? ERRCODE_FDW_INVALID_OPTION_NAME : ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
				 site != NULL ? errmsg("invalid option \"%s\"", "site") : errmsg("option \"%s\" is missing", "base_url"),
				 errhint("Name the base URL of the target's SCIM service: base_url 'https://example.com/scim/v2'")));
	hole = strstr(model, "{site}");
	if (hole == NULL)
		return model;

	known = read_list("sites", sites != NULL ? sites : "");
	if (known == NIL)
		elog(ERROR, "a profile has a base_url with a site, and no sites");
	if (site == NULL)
		site = linitial(known);
	foreach(lc, known)
		found = found || strcmp(site, lfirst(lc)) == 0;
	if (!found)
		bad_value("site", site, psprintf("The sites of the profile are: %s.", sites));
	return psprintf("%.*s%s%s", (int) (hole - model), model, site, hole + strlen("{site}"));
}

/* Without slashes at the end. */
static void
set_base_url(ScimServer *server, const char *url)
{
	char	   *copy = pstrdup(url);
	char	   *print = palloc(SCIM_ORIGIN_SIZE);
	size_t		len = strlen(copy);
	ScimOrigin	origin;
	const char *problem = scim_origin_parse(copy, &origin);

	if (problem != NULL)
	{
		/* what stands before an @ may well be a password */
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
				 errmsg("invalid value for option \"%s\"", "base_url"),
				 errdetail("%s", problem),
				 errhint("For example: https://example.com/scim/v2"),
				 errhidestmt(true)));
	}
	while (len > 0 && copy[len - 1] == '/')
		copy[--len] = '\0';
	scim_origin_print(&origin, print);
	server->base_url = copy;
	server->origin = print;
}

/* ---- what authorizes requests ---- */

static const char *
text_option(List *options, const char *name)
{
	const char *value = setting(options, name);

	if (value == NULL)
		return NULL;
	for (const char *p = value; *p != '\0'; p++)
		if (*p < ' ' || *p > '~')
			bad_value(name, value, "It consists of printable ASCII characters.");
	if (value[0] == '\0' || strlen(value) > MAX_HEADER)
		bad_value(name, value, psprintf("It has between 1 and %d characters.", MAX_HEADER));
	return value;
}

static void
require_option(const char *name, const char *value)
{
	if (value == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
				 errmsg("option \"%s\" is missing", name),
				 errhint("With the option auth other than bearer, client_id is needed, and for OAuth token_url.")));
}

/* A secret goes to the token endpoint where there is one, and what that gives to the target. */
static void
set_auth(ScimServer *server, List *options)
{
	const char *url = setting(options, "token_url");

	server->client_id = text_option(options, "client_id");
	server->scope = text_option(options, "scope");
	server->bound_to = server->origin;
	if (server->auth != SCIM_AUTH_BEARER)
		require_option("client_id", server->client_id);
	if (server->auth == SCIM_AUTH_BASIC && strchr(server->client_id, ':') != NULL)
		bad_value("client_id", server->client_id, "A user's name has no colon (RFC 7617).");
	if (server->auth == SCIM_AUTH_OAUTH2)
		require_option("token_url", url);
	if (url != NULL)
	{
		char	   *print = palloc(SCIM_ORIGIN_SIZE);
		ScimOrigin	origin;
		const char *problem = scim_origin_parse(url, &origin);
		const char *path;

		if (problem != NULL)
			ereport(ERROR,
					(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
					 errmsg("invalid value for option \"%s\"", "token_url"),
					 errdetail("%s", problem),
					 errhidestmt(true)));
		scim_origin_print(&origin, print);
		path = strchr(strstr(url, "://") + 3, '/');
		server->token_origin = print;
		server->token_path = pstrdup(path != NULL ? path : "/");
	}
	if (server->auth == SCIM_AUTH_OAUTH2)
		server->bound_to = psprintf("%s %s", server->origin, server->token_origin);
}

/* ---- the whole ---- */

static const Option *
find_known_option(const char *name)
{
	for (int i = 0; i < lengthof(table); i++)
		if (strcmp(table[i].name, name) == 0)
			return &table[i];
	return NULL;
}

static bool
is_other_option(const char *name)
{
	for (int i = 0; i < lengthof(other_options); i++)
		if (strcmp(other_options[i], name) == 0)
			return true;
	return false;
}

ScimServer *
scim_server_resolve(const char *server_name, List *options, List **settings)
{
	ScimServer *server = palloc0(sizeof(ScimServer));
	const char *name = setting(options, "profile");
	List	   *profile;
	List	   *learned = NIL;
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *e = lfirst_node(DefElem, lc);
		StringInfoData names;

		if (find_known_option(e->defname) != NULL || is_other_option(e->defname))
			continue;
		initStringInfo(&names);
		for (int i = 0; i < lengthof(other_options); i++)
			appendStringInfo(&names, "%s%s", i == 0 ? "" : ", ", other_options[i]);
		for (int i = 0; i < lengthof(table); i++)
			appendStringInfo(&names, ", %s", table[i].name);
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				 errmsg("invalid option \"%s\"", e->defname),
				 errhint("Options of a server are: %s", names.data)));
	}

	server->profile = pstrdup(name != NULL ? name : DEFAULT_PROFILE);
	profile = read_profile(server->profile);
	set_base_url(server, choose_base_url(options, profile));
	if (server_name)
		learned = scim_server_learned(server_name, server->origin);
	for (int i = 0; i < lengthof(table); i++)
	{
		const char *option = setting(options, table[i].name);
		const char *shown = setting(learned, table[i].name);
		const char *said = setting(profile, table[i].name);
		/* "ask": whatever the profile says, it is for the target to show */
		bool		asked = option != NULL && strcmp(option, SCIM_ASK) == 0 && shown != NULL;
		const char *value = asked ? shown : option != NULL ? option : shown != NULL ? shown : said != NULL ? said : table[i].boot;

		read_value(server, &table[i], value);
		if (settings != NULL)
		{
			ScimServerSetting *s = palloc(sizeof(ScimServerSetting));

			s->name = table[i].name;
			s->value = value;
			s->source = option != NULL && !asked ? "option" : shown != NULL ? "learned" : said != NULL ? "profile" : "default";
			*settings = lappend(*settings, s);
		}
	}
	set_auth(server, options);
	server->ca_file = setting(options, "ca_file");
	server->secret_file = setting(options, "secret_file");
	return server;
}

/* ---- the validator ---- */

/*
 * (What a setting decides is no error here: the client refuses it anyway, and
 * a dump has to go into a cluster whose settings have yet to come.)
 */
static void
check_server(List *options)
{
	static const char *const file_options[] = {"ca_file", "secret_file"};
	ScimServer *server = scim_server_resolve(NULL, options, NULL);
	ScimOrigin	origin;

	if (scim_origin_parse(server->base_url, &origin) == NULL &&
		!origin.https && !scim_allowed_names(scim_allowed_targets, &origin))
		ereport(WARNING,
				(errmsg("requests to \"%s\" will be refused", server->base_url),
				 errdetail("Plain http goes only to hosts that scim.allowed_targets names."),
				 errhint("Use https.")));
	for (int i = 0; i < lengthof(file_options); i++)
	{
		const char *file = setting(options, file_options[i]);

		if (file == NULL)
			continue;
		if (!superuser())
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied for option \"%s\"", file_options[i]),
					 errdetail("A server with it can only be made or altered by superusers.")));
		if (!is_absolute_path(file))
			bad_value(file_options[i], file, "It is an absolute path.");
	}
}

static void
check_user_mapping(List *options)
{
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *e = lfirst_node(DefElem, lc);

		if (strcmp(e->defname, "token") != 0)
			ereport(ERROR,
					(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
					 errmsg("invalid option \"%s\"", e->defname),
					 errhint("The option of a user mapping is: token"),
					 errhidestmt(true)));
		if (!scim_bearer_ok(defGetString(e)))
			ereport(ERROR,
					(errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
					 errmsg("invalid value for option \"%s\"", "token"),
					 errdetail("A bearer token consists of letters, digits and \"-._~+/\", with \"=\" at its end (RFC 6750)."),
					 errhidestmt(true)));
		ereport(NOTICE,
				(errmsg("a token in a user mapping is seen by others"),
				 errdetail("It stands in the server's log if that logs DDL, in pg_stat_statements, and in every dump; and it is sent to wherever the server's base_url leads."),
				 errhint("DROP USER MAPPING, and use scim.set_secret().")));
	}
}

Datum
scim_server_options(PG_FUNCTION_ARGS)
{
	List	   *options = untransformRelOptions(PG_GETARG_DATUM(0));
	Oid			catalog = PG_GETARG_OID(1);

	/* pg_upgrade makes servers while the table of profiles is still empty */
	if (IsBinaryUpgrade)
		PG_RETURN_VOID();
	if (catalog == ForeignServerRelationId)
		check_server(options);
	else if (catalog == UserMappingRelationId)
		check_user_mapping(options);
	else if (options != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				 errmsg("invalid option \"%s\"", linitial_node(DefElem, options)->defname),
				 errhint("Servers and user mappings of scim have options.")));
	PG_RETURN_VOID();
}
