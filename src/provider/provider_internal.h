/*
 * provider_internal.h
 *		Shared by the files of the provider, and by nobody else.
 */
#ifndef SCIM_PROVIDER_INTERNAL_H
#define SCIM_PROVIDER_INTERNAL_H

#include "utils/timestamp.h"

#include "provider.h"
#include "../core/core_bulkref.h"
#include "../core/core_validate.h"
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
	const char *cursor;
	bool		access_token;	/* the URL holds an access_token */
} ScimParams;

#define SCIM_REQUEST_ID_SIZE 37

/* What a write was about, for the audit. */
typedef struct ScimAuditEntry
{
	const char *method;
	const char *type;			/* name of the resource type, or NULL */
	const char *id;				/* of the resource, or NULL */
	List	   *attributes;		/* names of those that changed */
	int			status;
} ScimAuditEntry;

typedef struct ScimAudit ScimAudit;
typedef struct ScimLogged ScimLogged;

/* What is written of a request beside its data, when it has ended. */
typedef struct ScimTraces
{
	ScimAudit  *audit;			/* or NULL */
	ScimLogged *logged;			/* or NULL */
} ScimTraces;

/* One request being served. */
typedef struct ScimCall
{
	const ScimRequest *request;
	ScimResponse *response;
	const ScimEndpoint *endpoint;
	const ScimToken *token;		/* NULL: through SQL, or a request that needs none */
	bool		admitted;		/* what is asked for may be looked at */
	char	  **segments;		/* decoded path below the base */
	int			nsegments;
	ScimParams	params;
	bool		own_transaction;	/* over HTTP: nobody else's work is in it */
	bool		head_only;		/* in Bulk: the resource itself is not part of the answer */
	json_t	   *body;			/* in Bulk: the body, parsed already; else NULL */
	ScimAuditEntry subject;		/* of a request on one resource */
	List	   *done;			/* of ScimAuditEntry: operations of a Bulk */
	ScimReport	report;			/* what compat has put right */
	TimestampTz started;
	char		request_id[SCIM_REQUEST_ID_SIZE];	/* empty: not made yet */
	ScimError	err;			/* status 0: none */
	const char *allow;			/* with 405 */
} ScimCall;

/* provider_route.c */
/* Percent-decode once; in a query "+" is a blank.  NULL: malformed, NUL or not UTF-8. */
extern char *scim_route_decode(const char *s, size_t len, bool plus);
extern bool scim_route_split(ScimCall *call, const char *path);
/* Reads all it can, also behind an error. */
extern bool scim_route_params(ScimCall *call, const char *query);
extern bool scim_route_negotiate(ScimCall *call);
extern void scim_route_dispatch(ScimCall *call);

/* provider_auth.c */
extern bool scim_auth_check(ScimCall *call);
extern bool scim_auth_is_write(const ScimCall *call);
/* Is the token for resources of this type? */
extern bool scim_auth_has_type(const ScimCall *call, const ScimResourceType *type);
/* 403: the token is not for this; false. */
extern bool scim_auth_refuse(ScimCall *call, const char *detail);

/* provider_password.c */
extern bool scim_password_kept(const ScimResourceType *type);
extern bool scim_password_seal(ScimCall *call, const ScimEndpointType *target, const json_t *before, json_t *wanted);

/* provider_oauth.c */
extern bool scim_oauth_is_request(const ScimCall *call, const char *rest);
extern void scim_oauth_serve(ScimCall *call);

/* provider_audit.c */
extern const char *scim_request_id(ScimCall *call);
extern ScimAudit *scim_audit_of(ScimCall *call, MemoryContext context);
extern void scim_audit_write(const ScimAudit *audit);
extern List *scim_audit_differences(const json_t *before, const json_t *after);

/* provider_log.c */
extern ScimLogged *scim_log_of(ScimCall *call, MemoryContext context);
extern void scim_log_write(const ScimLogged *logged);

/* provider_crud.c */
extern void scim_crud_create(ScimCall *call, const ScimEndpointType *target);
extern void scim_crud_read(ScimCall *call, const ScimEndpointType *target, const char *id);
extern void scim_crud_replace(ScimCall *call, const ScimEndpointType *target, const char *id);
extern void scim_crud_patch(ScimCall *call, const ScimEndpointType *target, const char *id);
extern void scim_crud_delete(ScimCall *call, const ScimEndpointType *target, const char *id);
extern json_t *scim_crud_body(ScimCall *call);

/* provider_cursor.c: a place in a list; err (400 invalidCursor, ...) where it fails */
typedef struct ScimCursor
{
	bool		backward;
	bool		placed;			/* else: the beginning, or (backward) the end */
	int			part;			/* in a list of several types: that of the place */
	ScimPosition at;
	int64		count;			/* of the first request */
} ScimCursor;

extern char *scim_cursor_seal(ScimCall *call, const StringInfoData *identity, const ScimCursor *cursor);
extern bool scim_cursor_open(ScimCall *call, const StringInfoData *identity, const char *text, ScimCursor *cursor);

/* provider_search.c */
typedef struct ScimListing
{
	ScimQuery	query;			/* the page; the rest where there is one type */
	ScimCursor	cursor;			/* with query.keyset */
	StringInfoData identity;	/* what a cursor is bound to */
} ScimListing;

extern void scim_search_list(ScimCall *call, const ScimEndpointType *target);
extern void scim_search_post(ScimCall *call, const ScimEndpointType *target);
/* 403 if a filter in a URL names what must not be in one; false and err. */
extern bool scim_search_discreet(ScimCall *call, const ScimResourceType *type, const ScimFilter *filter);
/* startIndex, count, cursor; false and err. */
extern bool scim_search_page(ScimCall *call, ScimListing *listing);
/* Once filter and order are known to be right: go to the place of the cursor. */
extern bool scim_search_continue(ScimCall *call, const char *type_names, ScimListing *listing);
/* sortBy, sortOrder; the second leaves it open whether the type has the attribute. */
extern bool scim_search_sort(ScimCall *call, const ScimResourceType *type, ScimQuery *query);
extern bool scim_search_sort_if_known(ScimCall *call, const ScimResourceType *type, ScimQuery *query, bool *known);
extern void scim_search_respond(ScimCall *call, const ScimListing *listing, const StringInfo resources,
								const ScimPage *page, int first_part, int last_part);
/* The body's members become the parameters; false and err. */
extern bool scim_search_request(ScimCall *call);

/* provider_root.c: the same over all resource types */
extern void scim_root_list(ScimCall *call);
extern void scim_root_post(ScimCall *call);

/* provider_bulk.c */
extern void scim_bulk(ScimCall *call);

/* provider_discovery.c */
extern void scim_discovery_config(ScimCall *call);
extern void scim_discovery_types(ScimCall *call, const char *name);
extern void scim_discovery_schemas(ScimCall *call, const char *uri);

/* provider_etag.c */
/* If-Match and If-None-Match of a write; fills err with 412. */
extern bool scim_etag_write_allowed(ScimCall *call, const char *version);
/* Those of a read: false and 412, or whether the client has this version already. */
extern bool scim_etag_read_allowed(ScimCall *call, const char *version, bool *not_modified);

/* provider_error.c */
/* What a caught SQL error says about a request with this method, which has values of the client's or none. */
extern void scim_error_caught(const ScimEndpoint *endpoint, const char *method, bool has_values, const ErrorData *edata, ScimError *err);
extern void scim_error_body(const ScimError *err, StringInfo body);
extern void scim_error_respond(const ScimError *err, ScimResponse *response);

#define SCIM_MEDIA_TYPE "application/scim+json"

#endif							/* SCIM_PROVIDER_INTERNAL_H */
