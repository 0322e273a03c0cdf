/*
 * catalog_server.h
 *		Remote SCIM service providers: servers of the foreign-data wrapper scim,
 *		what they can do (profile, overlaid by the server's options), their
 *		secrets.
 *
 * A capability is a fact about the target that requests have to be adapted to.
 * Each has the name of the server option that sets it.
 */
#ifndef SCIM_CATALOG_SERVER_H
#define SCIM_CATALOG_SERVER_H

#include "catalog_origin.h"
#include "nodes/pg_list.h"

typedef enum ScimUpdateMethod
{
	SCIM_UPDATE_PATCH,
	SCIM_UPDATE_PUT,			/* replaces the resource */
	SCIM_UPDATE_PUT_MERGE		/* PUT, but what it leaves out stays */
} ScimUpdateMethod;

typedef enum ScimPatchPathStyle
{
	SCIM_PATCH_PATHED,
	SCIM_PATCH_PATHLESS			/* one operation whose value is an object */
} ScimPatchPathStyle;

typedef enum ScimMemberRemove
{
	SCIM_MEMBER_REMOVE_FILTER,	/* path members[value eq "..."] */
	SCIM_MEMBER_REMOVE_VALUE	/* path members, value [{"value": "..."}] */
} ScimMemberRemove;

/* What becomes of a user that is set to active false. */
typedef enum ScimDisableMeans
{
	SCIM_DISABLE_DISABLES,		/* and it is still there */
	SCIM_DISABLE_UNLINKS,		/* its resource is gone or answers 404 afterwards */
	SCIM_DISABLE_DELETES		/* the account itself is gone */
} ScimDisableMeans;

typedef enum ScimDeleteMeans
{
	SCIM_DELETE_DELETES,
	SCIM_DELETE_DISABLES,		/* as active false would */
	SCIM_DELETE_IRREVERSIBLE,	/* the account can never be provisioned again */
	SCIM_DELETE_NONE			/* there is no DELETE */
} ScimDeleteMeans;

typedef enum ScimReactivation
{
	SCIM_REACTIVATE_SAME_ID,	/* active true on the same resource */
	SCIM_REACTIVATE_NEW_ID,		/* create anew */
	SCIM_REACTIVATE_IMPOSSIBLE
} ScimReactivation;

/* What a request is authorized by. */
typedef enum ScimServerAuth
{
	SCIM_AUTH_BEARER,			/* the secret */
	SCIM_AUTH_BASIC,			/* client_id and the secret as user and password */
	SCIM_AUTH_OAUTH2			/* a token that token_url gives for client_id and the secret */
} ScimServerAuth;

/* Are several changes sent in one request? */
typedef enum ScimBulk
{
	SCIM_BULK_ASK,				/* as its ServiceProviderConfig says */
	SCIM_BULK_TRUE,
	SCIM_BULK_FALSE
} ScimBulk;

typedef struct ScimServer
{
	Oid			oid;
	Oid			owner;
	const char *name;
	const char *profile;
	const char *base_url;		/* no slash at the end */
	const char *origin;			/* "https://host:port" */
	const char *ca_file;		/* or NULL */
	const char *secret_file;	/* or NULL */
	const char *bound_to;		/* origins that the secret is set for */
	const char *client_id;		/* or NULL */
	const char *scope;			/* or NULL */
	const char *token_origin;	/* of token_url, or NULL, */
	const char *token_path;		/* and the rest of it */
	int			connect_timeout;	/* ms */
	int			total_timeout;	/* ms */

	/* capabilities; lists are of char *, NIL: see the option's description */
	int			auth;			/* ScimServerAuth */
	int			update_method;	/* ScimUpdateMethod */
	int			group_update;	/* ScimUpdateMethod */
	int			patch_path_style;	/* ScimPatchPathStyle */
	bool		patch_one_operation;	/* a PATCH carries one operation */
	bool		patch_value_path;	/* do paths like emails[type eq "work"].value work? */
	int			member_remove;	/* ScimMemberRemove */
	List	   *filter_user;	/* attributes that "eq" works on */
	List	   *filter_group;
	bool		filter_and;
	bool		list_scan;		/* filters don't work: whole list, compared here */
	int			page_size;		/* largest count */
	int			members_per_request;	/* changes of members in one request */
	int			multi_value_max;	/* values of a multi-valued attribute; 0: no limit */
	List	   *email_types;	/* NIL: any */
	List	   *user_attributes;	/* attributes, "name.formatted", extension URNs; NIL: all */
	List	   *group_attributes;
	List	   *immutable_attributes;	/* set at creation, never changed */
	bool		groups;			/* are there Groups? */
	bool		external_id_user;	/* is externalId kept? */
	bool		external_id_group;
	int			disable_means;	/* ScimDisableMeans */
	int			delete_means;	/* ScimDeleteMeans */
	int			reactivation;	/* ScimReactivation */
	const char *content_type;
	const char *accept;
	double		rate_per_second;	/* requests; 0: no limit */
	int			burst;			/* requests at once before the rate counts */
	int			creates_per_hour;	/* 0: no limit */
	int			concurrency;	/* requests at the same time */
	bool		http2;			/* is it spoken with targets that have it? */
	int			bulk;			/* ScimBulk */
	int			bulk_max_operations;
	int			bulk_max_payload;	/* bytes */
	bool		create_sends_invite;	/* each creation mails a person */
} ScimServer;

/*
 * In the current memory context; need a transaction.  Raise 42704 if there is
 * no such server, 42809 if it is of another wrapper, HV00D and its like if its
 * options no longer pass.  Whether the caller may use it is the caller's to ask
 * (scim_require_server_usage).
 */
extern ScimServer *scim_server_by_name(const char *name);
extern ScimServer *scim_server_by_oid(Oid oid);

/*
 * Remember that the target has shown a capability to be "value"; "evidence": by
 * which request and answer.  False: an option of the server says what it is, or
 * something else was learned before.  Needs a transaction.
 */
extern bool scim_server_learn(const ScimServer *server, const char *capability, const char *value, const char *evidence);

/* Raises 42501 unless the current user has USAGE on the server. */
extern void scim_require_server_usage(const ScimServer *server);

/*
 * The secret (a bearer token, or as auth says), in the current memory context; or NULL, with a text of why
 * in *problem.  Looked for in this order: scim.set_secret(), the file of the
 * option secret_file, a user mapping of the server's owner, one of PUBLIC.
 * Needs a transaction.
 */
extern const char *scim_server_secret(const ScimServer *server, const char **problem);

#endif							/* SCIM_CATALOG_SERVER_H */
