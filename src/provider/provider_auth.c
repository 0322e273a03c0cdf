/*
 * provider_auth.c
 *		Bearer tokens (RFC 6750; threat-and-fault-model H1, K1).
 *
 * There are exactly two 401 answers, each byte for byte the same whatever the
 * reason: "no credential" and "credential not valid here".
 */
#include "postgres.h"

#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "provider_internal.h"

#define MAX_TOKEN_LENGTH 512

/* Requests with a token in the second that "since" began. */
typedef struct TokenRate
{
	int64		token_id;
	TimestampTz since;
	int64		count;
} TokenRate;

static HTAB *rates = NULL;

static bool
no_credential(ScimCall *call)
{
	call->response->www_authenticate = "Bearer realm=\"scim\"";
	return scim_fail(&call->err, 401, NULL, "authentication is required");
}

static bool
invalid_credential(ScimCall *call)
{
	call->response->www_authenticate = "Bearer realm=\"scim\", error=\"invalid_token\"";
	return scim_fail(&call->err, 401, NULL, "the credential is not valid here");
}

/* The token of "Bearer <b64token>", or NULL. */
static char *
presented_token(const char *authorization)
{
	const char *p = authorization;
	const char *start;
	size_t		len;

	if (pg_strncasecmp(p, "Bearer", 6) != 0 || p[6] != ' ')
		return NULL;
	p += 6;
	while (*p == ' ')
		p++;
	start = p;
	while ((*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') ||
		   (*p && strchr("-._~+/", *p)))
		p++;
	while (*p == '=')
		p++;
	len = p - start;
	while (*p == ' ')
		p++;
	if (*p != '\0' || len == 0 || len > MAX_TOKEN_LENGTH)
		return NULL;
	return pnstrdup(start, len);
}

bool
scim_auth_is_write(const ScimCall *call)
{
	const char *method = call->request->method;

	if (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0)
		return false;
	return !(strcmp(method, "POST") == 0 && call->nsegments > 0 &&
			 strcmp(call->segments[call->nsegments - 1], ".search") == 0);
}

/* Option requestsPerSecond; counted by this process alone. */
static bool
within_rate(ScimCall *call)
{
	int64		limit = call->endpoint->options.rate;
	TimestampTz now = GetCurrentTimestamp();
	TokenRate  *rate;
	bool		found;

	if (limit == 0)
		return true;
	if (rates == NULL)
	{
		HASHCTL		control;

		memset(&control, 0, sizeof(control));
		control.keysize = sizeof(int64);
		control.entrysize = sizeof(TokenRate);
		control.hcxt = TopMemoryContext;
		rates = hash_create("scim rates", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	rate = (TokenRate *) hash_search(rates, &call->token->id, HASH_ENTER, &found);
	if (!found || now - rate->since >= USECS_PER_SEC || now < rate->since)
	{
		rate->since = now;
		rate->count = 0;
	}
	if (rate->count >= limit)
		return scim_fail(&call->err, 429, NULL, "there are more requests with this token than " INT64_FORMAT " in a second", limit);
	rate->count++;
	return true;
}

bool
scim_auth_has_type(const ScimCall *call, const ScimResourceType *type)
{
	ListCell   *lc;

	if (call->token == NULL || call->token->types == NIL)
		return true;
	foreach(lc, call->token->types)
		if (strcmp((const char *) lfirst(lc), type->name) == 0)
			return true;
	return false;
}

bool
scim_auth_refuse(ScimCall *call, const char *detail)
{
	call->response->www_authenticate = "Bearer realm=\"scim\", error=\"insufficient_scope\"";
	return scim_fail(&call->err, 403, NULL, "%s", detail);
}

/*
 * True: call->token is valid here.  Else err and the challenge are set.
 *
 * What is presented is hashed and looked up whatever it is, also what is no
 * token at all, so that time tells as little as the answer.
 */
bool
scim_auth_check(ScimCall *call)
{
	const char *authorization = call->request->authorization;
	const char *text;
	const char *hashed;
	uint8		hash[32];
	const ScimToken *token;

	if (authorization == NULL || authorization[0] == '\0')
		return no_credential(call);
	if (call->params.access_token)
	{
		call->response->www_authenticate = "Bearer realm=\"scim\", error=\"invalid_request\"";
		return scim_fail(&call->err, 400, NULL, "the token is sent in more than one way");
	}
	text = presented_token(authorization);
	hashed = text ? text : authorization;
	scim_sha256((const uint8 *) hashed, strlen(hashed), hash);
	token = scim_token_by_hash(hash);

	if (text == NULL || token == NULL || call->endpoint == NULL || token->endpoint_id != call->endpoint->id ||
		token->is_client || token->revoked || !call->endpoint->enabled ||
		(token->expires != DT_NOEND && token->expires <= GetCurrentTimestamp()))
		return invalid_credential(call);
	call->token = token;
	return within_rate(call);
}
