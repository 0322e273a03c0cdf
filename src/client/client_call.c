/*
 * client_call.c
 *		One HTTP request, waited for beside the latch.
 *
 * The transaction of the caller stays open meanwhile: this is for functions
 * that a person calls.  Workers use client.h themselves.
 *
 * One client serves the calls of a transaction, so that they share connections;
 * it goes with the transaction, whichever way that ends.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/memutils.h"

#include "../compat.h"
#include "../scim_guc.h"
#include "client_call.h"
#include "client_token.h"
#include "../core/core_shim.h"

static ScimClient *client = NULL;

static void
on_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PARALLEL_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE)
		return;
	scim_client_destroy(client);
	client = NULL;
}

static char *
copied(const char *text)
{
	return text != NULL ? pstrdup(text) : NULL;
}

/* From malloc to the current memory context.  May raise. */
static ScimClientResponse *
copy_response(const ScimClientResponse *r)
{
	ScimClientResponse *copy = palloc(sizeof(ScimClientResponse));

	*copy = *r;
	copy->content_type = copied(r->content_type);
	copy->location = copied(r->location);
	copy->etag = copied(r->etag);
	copy->retry_after = copied(r->retry_after);
	copy->rate_limit = copied(r->rate_limit);
	copy->rate_remaining = copied(r->rate_remaining);
	copy->rate_reset = copied(r->rate_reset);
	copy->date = copied(r->date);
	if (r->body != NULL)
	{
		copy->body = palloc(r->body_len + 1);
		memcpy(copy->body, r->body, r->body_len + 1);
	}
	return copy;
}

/* A token for the secret, from the server's token endpoint. */
static const char *
access_token(const ScimServer *server, const char *secret)
{
	ScimClientTarget target;
	ScimClientRequest request;
	ScimClientResponse *response;
	ScimCoreFrame frame;
	ScimError	error = {0};
	const char *token;
	int			expires_in;

	scim_client_token_request(server, secret, &target, &request);
	response = scim_client_call(&target, &request);
	if (response->outcome != SCIM_TRANSFER_ANSWERED || response->status != 200)
		ereport(ERROR,
				(errcode(ERRCODE_CONNECTION_FAILURE),
				 errmsg("the token endpoint of server \"%s\" gives no token", server->name),
				 response->status ? errdetail("Its answer has the status %d.", response->status) : errdetail("%s", response->detail)));
	scim_core_enter(&frame);
	token = scim_client_token_of(scim_json_parse(response->body, response->body_len, &error), &expires_in);
	token = copied(token);
	scim_core_leave(&frame);
	if (token == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("the token endpoint of server \"%s\" gives no token", server->name)));
	return token;
}

ScimClientTarget
scim_client_target(const ScimServer *server, const char *secret)
{
	ScimClientTarget target = {
		.base_url = server->base_url,
		.token = server->auth == SCIM_AUTH_BASIC ? scim_client_basic(server->client_id, secret) :
		server->auth == SCIM_AUTH_OAUTH2 ? access_token(server, secret) : secret,
		.scheme = server->auth == SCIM_AUTH_BASIC ? "Basic" : NULL,
		.ca_file = server->ca_file,
		.allowed = scim_allowed_targets,
		.content_type = server->content_type,
		.accept = server->accept,
		.connect_ms = server->connect_timeout,
		.total_ms = server->total_timeout,
		.http2 = server->http2,
		.max_connections = server->concurrency
	};

	return target;
}

ScimClientResponse *
scim_client_call(const ScimClientTarget *target, const ScimClientRequest *request)
{
	static bool registered = false;
	ScimClientResponse *volatile response = NULL;
	ScimClientResponse *volatile copy = NULL;

	if (!scim_outbound)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("requests to other services are switched off"),
				 errhint("The setting is scim.outbound.")));
	if (!registered)
	{
		RegisterXactCallback(on_transaction_end, NULL);
		registered = true;
	}
	if (client == NULL)
		client = scim_client_create();
	if (client == NULL || !scim_client_start(client, target, request, NULL))
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("could not prepare a request")));

	PG_TRY();
	{
		while ((response = scim_client_next(client)) == NULL)
		{
			long		wait = scim_client_timeout(client);

			if (wait != 0)
			{
				int			events = WL_LATCH_SET | WL_SOCKET_READABLE | WL_EXIT_ON_PM_DEATH;

				(void) WaitLatchOrSocket(MyLatch, wait > 0 ? events | WL_TIMEOUT : events,
										 scim_client_fd(client), wait, PG_WAIT_EXTENSION);
				ResetLatch(MyLatch);
				CHECK_FOR_INTERRUPTS();
			}
			scim_client_turn(client);
		}
		copy = copy_response(response);
	}
	PG_FINALLY();
	{
		/* after an error that a subtransaction catches the client lives on */
		scim_client_cancel_all(client);
		scim_client_release(response);
	}
	PG_END_TRY();
	return copy;
}
