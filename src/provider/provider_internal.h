/*
 * provider_internal.h
 *		Shared by the files of the provider, and by nobody else.
 */
#ifndef SCIM_PROVIDER_INTERNAL_H
#define SCIM_PROVIDER_INTERNAL_H

#include "provider.h"
#include "../store/store.h"

/* Parameters of a query, from the URL or a SearchRequest (RFC 7644 3.4.2). */
typedef struct ScimParams
{
	const char *attributes;		/* comma-separated; NULL: absent */
	const char *excluded;
	const char *filter;
	const char *sort_by;
	const char *sort_order;
	const char *start_index;
	const char *count;
	bool		filter_twice;	/* more than one filter parameter */
	bool		access_token;	/* the URL holds an access_token */
} ScimParams;

/* One request being served. */
typedef struct ScimCall
{
	const ScimRequest *request;
	ScimResponse *response;
	const ScimEndpoint *endpoint;
	const ScimToken *token;		/* NULL: through SQL */
	char	  **segments;		/* decoded path below the base */
	int			nsegments;
	ScimParams	params;
	bool		own_transaction;	/* over HTTP: nobody else's work is in it */
	bool		head_only;		/* in Bulk: the resource itself is not part of the answer */
	json_t	   *body;			/* in Bulk: the body, parsed already; else NULL */
	const char *new_id;			/* of the resource that was created */
	ScimError	err;			/* status 0: none */
	const char *allow;			/* with 405 */
} ScimCall;

/* provider_route.c */
extern bool scim_route_split(ScimCall *call, const char *path);
/* Reads all it can, also behind an error. */
extern bool scim_route_params(ScimCall *call, const char *query);
extern bool scim_route_negotiate(ScimCall *call);
extern void scim_route_dispatch(ScimCall *call);

/* provider_auth.c */
extern bool scim_auth_check(ScimCall *call);
extern bool scim_auth_is_write(const ScimCall *call);

/* provider_crud.c */
extern void scim_crud_create(ScimCall *call, const ScimEndpointType *target);
extern void scim_crud_read(ScimCall *call, const ScimEndpointType *target, const char *id);
extern void scim_crud_replace(ScimCall *call, const ScimEndpointType *target, const char *id);
extern void scim_crud_patch(ScimCall *call, const ScimEndpointType *target, const char *id);
extern void scim_crud_delete(ScimCall *call, const ScimEndpointType *target, const char *id);
extern json_t *scim_crud_body(ScimCall *call);

/* provider_search.c */
extern void scim_search_list(ScimCall *call, const ScimEndpointType *target);
extern void scim_search_post(ScimCall *call, const ScimEndpointType *target);
/* The same over all resource types. */
extern void scim_search_root_list(ScimCall *call);
extern void scim_search_root_post(ScimCall *call);

/* provider_bulk.c */
#define SCIM_BULK_MAX_OPERATIONS 1000
extern void scim_bulk(ScimCall *call);

/* provider_discovery.c */
extern void scim_discovery_config(ScimCall *call);
extern void scim_discovery_types(ScimCall *call, const char *name);
extern void scim_discovery_schemas(ScimCall *call, const char *uri);

/* provider_etag.c */
/* If-Match and If-None-Match of a write; fills err with 412. */
extern bool scim_etag_write_allowed(ScimCall *call, const char *version);
/* Does If-None-Match of a read match? */
extern bool scim_etag_not_modified(const ScimCall *call, const char *version);

/* provider_error.c */
extern void scim_error_body(const ScimError *err, StringInfo body);
extern void scim_error_respond(const ScimError *err, ScimResponse *response);

#define SCIM_MEDIA_TYPE "application/scim+json"

#endif							/* SCIM_PROVIDER_INTERNAL_H */
