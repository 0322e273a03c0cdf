/*
 * client_token.c
 *		What authorizes requests to a server (see client_token.h).
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "../compat.h"
#include "../scim_guc.h"
#include "client_token.h"

#define MAX_ANSWER ((size_t) 64 * 1024)

/* Of a token that does not say it (RFC 6749 5.1 only recommends that it does). */
#define DEFAULT_EXPIRES_IN 300
#define MAX_EXPIRES_IN 86400

char *
scim_client_basic(const char *user, const char *password)
{
	char	   *pair = psprintf("%s:%s", user, password);
	text	   *bytes = cstring_to_text(pair);
	char	   *encoded = text_to_cstring(DatumGetTextPP(DirectFunctionCall2(binary_encode, PointerGetDatum(bytes),
																			 CStringGetTextDatum("base64"))));
	char	   *to = encoded;

	/* lines of 76 letters are for mail */
	for (const char *from = encoded; *from != '\0'; from++)
		if (*from != '\n')
			*to++ = *from;
	*to = '\0';
	explicit_bzero(pair, strlen(pair));
	explicit_bzero(VARDATA(bytes), VARSIZE(bytes) - VARHDRSZ);
	return encoded;
}

static char *
form_encoded(const char *text)
{
	char	   *encoded = scim_client_encode(text);
	char	   *copy;

	if (encoded == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	copy = pstrdup(encoded);
	free(encoded);
	return copy;
}

void
scim_client_token_request(const ScimServer *server, const char *secret,
						  ScimClientTarget *target, ScimClientRequest *request)
{
	StringInfoData body;

	memset(target, 0, sizeof(*target));
	target->base_url = server->token_origin;
	target->scheme = "Basic";
	/* RFC 6749 2.3.1: both are form-encoded first */
	target->token = scim_client_basic(form_encoded(server->client_id), form_encoded(secret));
	target->ca_file = server->ca_file;
	target->allowed = scim_allowed_targets;
	target->content_type = "application/x-www-form-urlencoded";
	target->accept = "application/json";
	target->connect_ms = server->connect_timeout;
	target->total_ms = server->total_timeout;

	initStringInfo(&body);
	appendStringInfoString(&body, "grant_type=client_credentials");
	if (server->scope)
		appendStringInfo(&body, "&scope=%s", form_encoded(server->scope));
	memset(request, 0, sizeof(*request));
	request->method = "POST";
	request->path = server->token_path;
	request->body = body.data;
	request->body_len = body.len;
	request->max_body = MAX_ANSWER;
}

const char *
scim_client_token_of(const json_t *answer, int *expires_in)
{
	const json_t *token = json_is_object(answer) ? json_object_get(answer, "access_token") : NULL;
	const json_t *expires = json_is_object(answer) ? json_object_get(answer, "expires_in") : NULL;

	*expires_in = json_is_integer(expires) && json_integer_value(expires) > 0 ?
		(int) Min(json_integer_value(expires), MAX_EXPIRES_IN) : DEFAULT_EXPIRES_IN;
	return json_is_string(token) && scim_bearer_ok(json_string_value(token)) ? json_string_value(token) : NULL;
}
