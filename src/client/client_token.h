/*
 * client_token.h
 *		What authorizes requests to a server: the secret itself, or a token that
 *		is got for it (OAuth 2.0 client credentials, RFC 6749 4.4).  Server side.
 */
#ifndef SCIM_CLIENT_TOKEN_H
#define SCIM_CLIENT_TOKEN_H

#include "client.h"
#include "../catalog/catalog_server.h"
#include "../core/core_json.h"

/* "base64(user:password)" of Basic, RFC 7617. */
extern char *scim_client_basic(const char *user, const char *password);

/*
 * The request to the token endpoint of a server with auth
 * oauth2_client_credentials.  In the current memory context.
 */
extern void scim_client_token_request(const ScimServer *server, const char *secret,
									  ScimClientTarget *target, ScimClientRequest *request);

/* The token in its answer, and seconds until it expires; NULL: there is none. */
extern const char *scim_client_token_of(const json_t *answer, int *expires_in);

#endif							/* SCIM_CLIENT_TOKEN_H */
