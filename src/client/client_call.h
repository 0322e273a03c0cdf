/*
 * client_call.h
 *		One HTTP request from a function that somebody waits for.  Server side.
 */
#ifndef SCIM_CLIENT_CALL_H
#define SCIM_CLIENT_CALL_H

#include "client.h"
#include "../catalog/catalog_server.h"

/*
 * What a server's requests have in common.  Points into the server and the
 * settings.  With OAuth it asks the token endpoint: raises 08006, 08P01, if that
 * gives no token.
 */
extern ScimClientTarget scim_client_target(const ScimServer *server, const char *secret);

/*
 * Send one request and wait for its answer, at most target->total_ms; a cancel
 * or a termination ends the wait.  Connections are kept until the transaction
 * ends.  The response is in the current memory context: nothing to release.
 * Raises 55000 while scim.outbound is off, 53200 when memory is out; whatever
 * goes wrong with the request is in the response.
 */
extern ScimClientResponse *scim_client_call(const ScimClientTarget *target, const ScimClientRequest *request);

#endif							/* SCIM_CLIENT_CALL_H */
