/*
 * provider_oauth.c
 *		Access tokens for clients: OAuth 2.0 client credentials (RFC 6749 4.4),
 *		POST <base>/oauth/token, where the endpoint's option oauth is on.
 *
 * A client (scim.create_client) has a secret that is good for nothing but this.
 * What it gets is a bearer token like any other, with the client's rights, for
 * an hour or what the client's lifetime says; revoking the client revokes it.
 */
#include "postgres.h"

#include "common/base64.h"
#include "utils/json.h"
#include "utils/timestamp.h"

#include "provider_internal.h"

#define FORM_TYPE "application/x-www-form-urlencoded"
#define JSON_TYPE "application/json"

typedef struct TokenRequest
{
	const char *grant_type;
	const char *client_id;
	const char *secret;
	bool		twice;			/* a parameter, or the credentials, more than once */
} TokenRequest;

/* Is this a request for a token?  Asked before anything is authenticated. */
bool
scim_oauth_is_request(const ScimCall *call, const char *rest)
{
	return call->endpoint && call->endpoint->enabled && call->endpoint->options.oauth &&
		strcmp(rest, "/oauth/token") == 0;
}

/* RFC 6749 5.2; not a SCIM error, because no SCIM client asks. */
static void
refuse(ScimCall *call, int status, const char *error)
{
	ScimResponse *response = call->response;

	response->status = status;
	response->content_type = JSON_TYPE;
	resetStringInfo(&response->body);
	appendStringInfo(&response->body, "{\"error\":\"%s\"}", error);
	if (status == 401)
		response->www_authenticate = "Basic realm=\"scim\"";
}

static void
set_once(TokenRequest *request, const char **field, const char *value)
{
	request->twice = request->twice || *field != NULL;
	*field = value ? value : "";
}

static void
read_form(TokenRequest *request, const char *form)
{
	while (*form)
	{
		size_t		len = strcspn(form, "&");
		size_t		name_len = strcspn(form, "=&");
		char	   *name = scim_route_decode(form, name_len, true);
		const char *value = name_len < len ? scim_route_decode(form + name_len + 1, len - name_len - 1, true) : "";

		if (name && strcmp(name, "grant_type") == 0)
			set_once(request, &request->grant_type, value);
		else if (name && strcmp(name, "client_id") == 0)
			set_once(request, &request->client_id, value);
		else if (name && strcmp(name, "client_secret") == 0)
			set_once(request, &request->secret, value);
		form += len + (form[len] == '&');
	}
}

/* "Basic base64(id:secret)", both form-encoded (RFC 6749 2.3.1). */
static void
read_basic(TokenRequest *request, const char *header)
{
	size_t		len = strlen(header);
	char	   *pair;
	char	   *colon;
	int			n;

	if (pg_strncasecmp(header, "Basic ", 6) != 0 || len > 2048)
	{
		request->twice = true;
		return;
	}
	header += 6 + strspn(header + 6, " ");
	len = strlen(header);
	pair = palloc(pg_b64_dec_len(len) + 1);
	n = pg_b64_decode(header, len, (void *) pair, pg_b64_dec_len(len));
	pair[Max(n, 0)] = '\0';
	colon = n > 0 && strlen(pair) == n ? strchr(pair, ':') : NULL;
	if (colon == NULL)
	{
		set_once(request, &request->client_id, "");
		set_once(request, &request->secret, "");
		return;
	}
	set_once(request, &request->client_id, scim_route_decode(pair, colon - pair, true));
	set_once(request, &request->secret, scim_route_decode(colon + 1, strlen(colon + 1), true));
}

/* A secret that was rotated out keeps its client's id, for as long as it lasts. */
static bool
is_labelled(const char *label, const char *client_id)
{
	size_t		len = strlen(client_id);

	return strncmp(label, client_id, len) == 0 &&
		(label[len] == '\0' || strncmp(label + len, SCIM_ROTATED_OUT, strlen(SCIM_ROTATED_OUT)) == 0);
}

/* The client that this is, or NULL. */
static const ScimToken *
known_client(const ScimCall *call, const TokenRequest *request)
{
	uint8		hash[32];
	const ScimToken *client;

	scim_sha256((const uint8 *) request->secret, strlen(request->secret), hash);
	client = scim_token_by_hash(hash);
	if (client == NULL || !client->is_client || client->endpoint_id != call->endpoint->id ||
		!is_labelled(client->label, request->client_id) || client->revoked ||
		(client->expires != DT_NOEND && client->expires <= GetCurrentTimestamp()))
		return NULL;
	return client;
}

void
scim_oauth_serve(ScimCall *call)
{
	const ScimRequest *in = call->request;
	ScimResponse *response = call->response;
	TokenRequest request;
	const ScimToken *client;
	int64		seconds;
	char	   *token;
	size_t		type_len = in->content_type ? strcspn(in->content_type, "; \t") : 0;

	memset(&request, 0, sizeof(request));
	if (strcmp(in->method, "POST") != 0)
	{
		refuse(call, 405, "invalid_request");
		response->allow = "POST";
		return;
	}
	if (in->body == NULL || strlen(in->body) != in->body_len || type_len != strlen(FORM_TYPE) ||
		pg_strncasecmp(in->content_type, FORM_TYPE, type_len) != 0)
	{
		refuse(call, 400, "invalid_request");
		return;
	}
	read_form(&request, in->body);
	if (in->authorization && in->authorization[0])
		read_basic(&request, in->authorization);
	if (request.twice || request.grant_type == NULL || request.client_id == NULL || request.secret == NULL)
		refuse(call, request.twice || request.grant_type == NULL ? 400 : 401,
			   request.twice || request.grant_type == NULL ? "invalid_request" : "invalid_client");
	else if (strcmp(request.grant_type, "client_credentials") != 0)
		refuse(call, 400, "unsupported_grant_type");
	else if ((client = known_client(call, &request)) == NULL)
		refuse(call, 401, "invalid_client");
	else
	{
		token = scim_token_issue(client, &seconds);
		response->status = 200;
		response->content_type = JSON_TYPE;
		appendStringInfoString(&response->body, "{\"access_token\":");
		escape_json(&response->body, token);
		appendStringInfo(&response->body, ",\"token_type\":\"Bearer\",\"expires_in\":" INT64_FORMAT "}", seconds);
		scim_token_touch(client);
	}
}
