/*
 * catalog.h
 *		What the extension knows about this database: endpoints, tokens,
 *		mappings, resource types; read from scim._* and cached per backend.
 *
 * Cached objects live until the cache is found stale at the outermost
 * scim_catalog_begin(); between begin and end pointers into it stay valid,
 * whatever invalidation arrives.
 */
#ifndef SCIM_CATALOG_H
#define SCIM_CATALOG_H

#include "nodes/parsenodes.h"
#include "utils/timestamp.h"

#include "../core/core_schema.h"

struct ScimMapping;				/* catalog_mapping.h */

/* One resource type that an endpoint serves. */
typedef struct ScimEndpointType
{
	struct ScimEndpoint *endpoint;
	struct ScimMapping *mapping;	/* compiled for the endpoint's owner */
	const ScimResourceType *type;	/* as the mapping exposes it */
	const char **scope;			/* value of each of mapping->scope_columns, as text */
} ScimEndpointType;

/* What scim.alter_endpoint() can say (catalog_option.c). */
typedef struct ScimOptions
{
	bool		patch;			/* false: 501, and ServiceProviderConfig says so */
	bool		bulk;
	bool		sort;			/* false: sortBy is ignored */
	bool		pagination;		/* false: ServiceProviderConfig does not mention it */
	bool		refuse_unknown; /* unknown attributes in POST/PUT are 400 */
	bool		public_config;	/* ServiceProviderConfig needs no token */
	bool		oauth;			/* clients get tokens by POST oauth/token */
	bool		request_log;	/* requests are logged, with values masked */
	bool		soft_delete;	/* built-in store: what is deleted is kept in scim._deleted */
	bool		revive_deleted; /* and a POST of its name brings it back */
	bool		revive_inactive;	/* a POST of its externalId takes over an inactive resource */
	List	   *sensitive;		/* names of attributes that no URL may filter on */
	int64		too_many;		/* more matches are 400; 0: there is no limit */
	int64		rate;			/* requests of a token in a second; 0: there is no limit */
	int64		deleted_retention;	/* days that what is deleted is kept; 0: for ever */
} ScimOptions;

typedef struct ScimEndpoint
{
	int64		id;
	const char *name;
	const char *base_path;		/* "/api/v2/scim": no slash at the end */
	const char *public_url;		/* what Location begins with, or NULL: from the settings */
	const char *tenant;			/* in the built-in store */
	Oid			owner;			/* role that statements on data run as */
	bool		enabled;
	ScimMode	mode;
	ScimOptions options;
	ScimEndpointType *types;
	int			ntypes;
	const char *broken;			/* why no request can be served (503), or NULL */
} ScimEndpoint;

typedef struct ScimToken
{
	int64		id;
	int64		endpoint_id;
	const char *label;
	bool		is_client;		/* no token, but the secret of who may get some */
	bool		can_write;
	List	   *types;			/* names of the resource types it is for; NIL: all */
	const char *subject;		/* id of the user that /Me is, or NULL */
	TimestampTz expires;		/* DT_NOEND: never */
	bool		revoked;
	TimestampTz last_used;		/* as this backend knows it */
} ScimToken;

extern void scim_catalog_init(void);	/* from _PG_init: invalidation callbacks */

/* Bracket a request; needs a transaction.  Nests; an abort closes it. */
extern void scim_catalog_begin(void);
extern void scim_catalog_end(void);

/* NULL if there is none.  Disabled ones are returned. */
extern const ScimEndpoint *scim_endpoint_by_name(const char *name);

/*
 * The endpoint with the longest base path that "path" (decoded nothing, raw)
 * begins with, at a segment border; *rest points behind it.
 */
extern const ScimEndpoint *scim_endpoint_by_path(const char *path, const char **rest);

/* By SHA-256 of the presented token; NULL if unknown. */
extern const ScimToken *scim_token_by_hash(const uint8 *hash);

extern const ScimEndpointType *scim_endpoint_type(const ScimEndpoint *endpoint, const char *name);
extern const ScimEndpointType *scim_endpoint_type_by_path(const ScimEndpoint *endpoint, const char *segment);

/* Base URL without a slash at the end, from public_url or the settings. */
extern const char *scim_endpoint_base_url(const ScimEndpoint *endpoint);

/* Registry of this database (standard and user-defined schemas). */
extern const ScimRegistry *scim_catalog_registry(void);

/*
 * Resource type by name (without case) as the registry knows it: all
 * attributes, with user-defined extensions; NULL if there is none.
 */
extern const ScimResourceType *scim_catalog_resource_type(const char *name);

/*
 * Options from the text of a JSON object, in the current context.  False and
 * err: there is no such option, or it cannot have this value.
 */
extern bool scim_options_parse(const char *text, ScimOptions *options, ScimError *err);

/* As many as a resource type may have, not counting the standard one. */
#define SCIM_MAX_EXTENSIONS 63

/* Number of an endpoint whose owner the caller is a member of; raises 42704, 42501. */
extern int64 scim_own_endpoint(const char *name);

/*
 * Mappings by name, resolved together as "owner" for a sync; broken (see there) if one of
 * them is not there or does not resolve.
 */
extern const struct ScimMappingSet *scim_catalog_mappings(Oid owner, List *names);
/* What scim.rotate_token puts behind the label of the old one, before the time. */
#define SCIM_ROTATED_OUT ", rotated out "

/* A new token with the rights of a client, and how long it is valid. */
extern char *scim_token_issue(const ScimToken *client, int64 *seconds);

/* Note that a token was used; writes at most once a minute per process. */
extern void scim_token_touch(const ScimToken *token);

/* --- identity (catalog_identity.c; threat-and-fault-model I1-I11) --- */

typedef struct ScimIdentity
{
	Oid			saved_user;
	int			saved_context;
	int			guc_level;
	bool		switched;
	bool		restricted;
	List	   *locks;			/* restricted: advisory locks held before */
} ScimIdentity;

/*
 * Become "owner" for statements on data: SetUserIdAndSecContext with
 * SECURITY_LOCAL_USERID_CHANGE, a GUC level with search_path = pg_catalog,
 * pg_temp and safe defaults.  Refuses (SQLSTATE 42501) a role that is gone,
 * superuser, BYPASSRLS or REPLICATION.
 *
 * "restricted": there is code of the owner's in it (triggers, expressions), and
 * the session goes on as somebody else afterwards (scim.handle): nothing may be
 * left that runs then.  Allocates in the current context, which has to last
 * until scim_identity_restore().
 */
extern void scim_identity_assume(ScimIdentity *identity, Oid owner, bool restricted);
/* Close the GUC level (before commit), and give the identity back (after). */
extern void scim_identity_close_gucs(ScimIdentity *identity);
extern void scim_identity_restore(ScimIdentity *identity);
/* Worker only, outside a transaction: leave nothing of the last request behind. */
extern void scim_identity_scrub_session(void);

/*
 * The settings that decide how values become text and names are looked up, for
 * the GUC level that the caller has opened.
 */
extern void scim_identity_pin_settings(void);

/* Owner of the extension's own tables. */
extern Oid	scim_own_role(void);

/*
 * Act as that owner, on the extension's own tables only, the way ri_triggers.c
 * does; not to be held across anything that others can define.
 */
typedef struct ScimOwnIdentity
{
	Oid			saved_user;
	int			saved_context;
	int			guc_level;
} ScimOwnIdentity;
extern void scim_own_assume(ScimOwnIdentity *identity);
extern void scim_own_restore(const ScimOwnIdentity *identity);

/*
 * Execute a fixed statement on the extension's own tables as their owner.  "key" (static string) names the saved plan; values
 * are parameters.  Returns the SPI code; needs SPI to be connected.
 */
extern int	scim_own_execute(const char *key, const char *sql, int nargs, const Oid *argtypes,
							 Datum *values, const char *nulls, bool read_only, long count);

/* Raises 42501 unless the current user is a member of "role" (or superuser). */
extern void scim_require_member(Oid role, const char *what);

/* The role that scim.setup() recorded ("store", "worker"); InvalidOid: none. */
extern Oid	scim_recorded_role(const char *kind);

/* OID of scim.<name>, cached by the syscache; raises if it is missing. */
extern Oid	scim_own_relid(const char *name);

/* SHA-256 of bytes (32 bytes out); raises on failure. */
extern void scim_sha256(const uint8 *data, size_t len, uint8 *digest);

#endif							/* SCIM_CATALOG_H */
