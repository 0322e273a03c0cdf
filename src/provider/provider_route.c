/*
 * provider_route.c
 *		From a raw path and query to the function that serves it (RFC 7644 3.2).
 *
 * The path is split on "/" before anything is decoded, and each segment is
 * decoded once (threat-and-fault-model H3).
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "provider_internal.h"
#include "../core/core_fold.h"

#define MAX_SEGMENTS 8

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/*
 * Percent-decode once; in a query "+" is a blank.  NULL: malformed, NUL or not
 * UTF-8.
 */
char *
scim_route_decode(const char *s, size_t len, bool plus)
{
	char	   *out = palloc(len + 1);
	size_t		n = 0;

	for (size_t i = 0; i < len; i++)
	{
		char		c = s[i];

		if (c == '%')
		{
			int			high;
			int			low;

			if (i + 2 >= len)
				return NULL;
			high = hex_value(s[i + 1]);
			low = hex_value(s[i + 2]);
			if (high < 0 || low < 0)
				return NULL;
			c = (char) (high * 16 + low);
			i += 2;
		}
		else if (plus && c == '+')
			c = ' ';
		if (c == '\0')
			return NULL;
		out[n++] = c;
	}
	out[n] = '\0';
	return scim_utf8_valid(out, n, NULL) ? out : NULL;
}

bool
scim_route_split(ScimCall *call, const char *path)
{
	const char *p = path;

	call->segments = palloc(sizeof(char *) * (MAX_SEGMENTS + 1));
	call->nsegments = 0;
	while (*p == '/')
	{
		size_t		len = strcspn(p + 1, "/");
		char	   *segment;

		/* one slash at the end is tolerated */
		if (len == 0 && p[1] == '\0')
			return true;
		segment = scim_route_decode(p + 1, len, false);
		if (segment == NULL || segment[0] == '\0' || call->nsegments >= MAX_SEGMENTS ||
			strcmp(segment, ".") == 0 || strcmp(segment, "..") == 0)
			return scim_fail(&call->err, 404, NULL, "there is nothing at this path");
		call->segments[call->nsegments++] = segment;
		p += len + 1;
	}
	if (*p != '\0')
		return scim_fail(&call->err, 404, NULL, "there is nothing at this path");
	return true;
}

bool
scim_route_params(ScimCall *call, const char *query)
{
	ScimParams *params = &call->params;
	const struct
	{
		const char *name;
		const char **value;
	}			known[] = {
		{"attributes", &params->attributes}, {"excludedAttributes", &params->excluded},
		{"filter", &params->filter}, {"sortBy", &params->sort_by}, {"sortOrder", &params->sort_order},
		{"startIndex", &params->start_index}, {"count", &params->count}, {"cursor", &params->cursor}
	};

	while (query && *query)
	{
		size_t		len = strcspn(query, "&");
		size_t		name_len = strcspn(query, "=&");
		char	   *name = scim_route_decode(query, name_len, true);
		const char *value = name_len < len ? scim_route_decode(query + name_len + 1, len - name_len - 1, true) : "";

		if (name && strcmp(name, "access_token") == 0)
			params->access_token = true;
		for (int i = 0; name && i < lengthof(known); i++)
		{
			if (pg_strcasecmp(name, known[i].name) != 0)
				continue;
			if (value == NULL)
				scim_fail(&call->err, 400, known[i].value == &params->filter ? SCIM_INVALID_FILTER : SCIM_INVALID_VALUE,
						  "parameter %s is not percent-encoded UTF-8", known[i].name);
			else if (*known[i].value == NULL)
				*known[i].value = value;
			else if (known[i].value == &params->filter)
				scim_fail(&call->err, 400, SCIM_INVALID_FILTER, "there is more than one filter");
			else
				scim_fail(&call->err, 400, SCIM_INVALID_VALUE, "parameter %s is given more than once", known[i].name);
		}
		query += len + (query[len] == '&');
	}
	/* an empty list counts as absent (R-7644-3.9-09) */
	if (params->attributes && params->attributes[0] == '\0')
		params->attributes = NULL;
	if (params->excluded && params->excluded[0] == '\0')
		params->excluded = NULL;
	return call->err.status == 0;
}

/* Does a media type (with parameters) name JSON as we speak it? */
static bool
is_json_type(const char *type, size_t len)
{
	size_t		n = 0;

	while (n < len && type[n] != ';' && type[n] != ' ' && type[n] != '\t')
		n++;
	return (n == strlen(SCIM_MEDIA_TYPE) && pg_strncasecmp(type, SCIM_MEDIA_TYPE, n) == 0) ||
		(n == strlen("application/json") && pg_strncasecmp(type, "application/json", n) == 0);
}

/* Is there a parameter q=0: "anything but this" (RFC 9110 12.4.2)? */
static bool
is_refused(const char *range, size_t len)
{
	for (size_t i = 0; i + 2 < len; i++)
	{
		const char *q;

		if (range[i] != ';')
			continue;
		q = range + i + 1;
		q += strspn(q, " \t");
		if (pg_strncasecmp(q, "q=0", 3) == 0)
		{
			q += 3;
			q += strspn(q, ".0");
			return q >= range + len || *q == ' ' || *q == '\t' || *q == ';';
		}
	}
	return false;
}

static bool
accepts_json(const char *accept)
{
	const char *p = accept;

	while (*p)
	{
		size_t		len;

		p += strspn(p, ", \t");
		len = strcspn(p, ",");
		if (len > 0 && !is_refused(p, len) &&
			(is_json_type(p, len) || strncmp(p, "*/*", 3) == 0 || pg_strncasecmp(p, "application/*", 13) == 0))
			return true;
		p += len;
	}
	return false;
}

bool
scim_route_negotiate(ScimCall *call)
{
	const ScimRequest *request = call->request;

	if (request->accept && request->accept[0] && !accepts_json(request->accept))
		return scim_fail(&call->err, 406, NULL, "answers are %s", SCIM_MEDIA_TYPE);
	if (request->body_len > 0 && request->content_type && request->content_type[0] &&
		!is_json_type(request->content_type, strlen(request->content_type)))
		return scim_fail(&call->err, 415, NULL, "bodies are %s or application/json", SCIM_MEDIA_TYPE);
	return true;
}

static void
not_allowed(ScimCall *call, const char *allow)
{
	call->allow = allow;
	scim_fail(&call->err, 405, NULL, "this method is not available here");
}

static bool
is_method(const ScimCall *call, const char *method)
{
	return strcmp(call->request->method, method) == 0;
}

static bool
is_read(const ScimCall *call)
{
	return is_method(call, "GET") || is_method(call, "HEAD");
}

static void
dispatch_discovery(ScimCall *call, void (*serve) (ScimCall *call, const char *name))
{
	if (call->nsegments > 2)
		scim_fail(&call->err, 404, NULL, "there is nothing at this path");
	else if (!is_read(call))
		not_allowed(call, "GET, HEAD");
	else
		serve(call, call->nsegments == 2 ? call->segments[1] : NULL);
}

static void
serve_config(ScimCall *call, const char *name)
{
	if (name)
		scim_fail(&call->err, 404, NULL, "there is nothing at this path");
	else
		scim_discovery_config(call);
}

static void
dispatch_resource(ScimCall *call, const ScimEndpointType *target, const char *id)
{
	if (is_read(call))
		scim_crud_read(call, target, id);
	else if (is_method(call, "PUT"))
		scim_crud_replace(call, target, id);
	else if (is_method(call, "PATCH") && !call->endpoint->options.patch)
		scim_fail(&call->err, 501, NULL, "PATCH is switched off here");
	else if (is_method(call, "PATCH"))
		scim_crud_patch(call, target, id);
	else if (is_method(call, "DELETE"))
		scim_crud_delete(call, target, id);
	else
		not_allowed(call, call->endpoint->options.patch ? "GET, PUT, PATCH, DELETE, HEAD" : "GET, PUT, DELETE, HEAD");
}

static void
dispatch_type(ScimCall *call, const ScimEndpointType *target)
{
	const char *id;

	if (!scim_auth_has_type(call, target->type))
	{
		scim_auth_refuse(call, "this token is not for resources of this type");
		return;
	}
	if (call->nsegments == 1)
	{
		if (is_read(call))
			scim_search_list(call, target);
		else if (is_method(call, "POST"))
			scim_crud_create(call, target);
		else
			not_allowed(call, "GET, POST, HEAD");
		return;
	}
	id = call->segments[1];
	if (strcmp(id, ".search") == 0 && call->nsegments == 2)
	{
		if (is_method(call, "POST"))
			scim_search_post(call, target);
		else
			not_allowed(call, "POST");
		return;
	}
	if (call->nsegments > 2)
		scim_fail(&call->err, 404, NULL, "there is nothing at this path");
	else
		dispatch_resource(call, target, id);
}

/*
 * /Me (RFC 7644 3.11) is the user that the token belongs to; its Location is the
 * permanent one.  A token that belongs to nobody has no /Me, and nobody makes
 * himself: a token comes after its user.
 */
static void
dispatch_me(ScimCall *call)
{
	const ScimEndpointType *target = scim_endpoint_type(call->endpoint, "User");

	if (call->token == NULL || call->token->subject == NULL || target == NULL)
		scim_fail(&call->err, 501, NULL, "/Me is not supported: the token belongs to no user");
	else if (call->nsegments > 1)
		scim_fail(&call->err, 404, NULL, "there is nothing at this path");
	else if (!scim_auth_has_type(call, target->type))
		scim_auth_refuse(call, "this token is not for resources of this type");
	else if (is_method(call, "POST"))
		scim_fail(&call->err, 501, NULL, "users are not made through /Me");
	else
		dispatch_resource(call, target, call->token->subject);
}

void
scim_route_dispatch(ScimCall *call)
{
	const char *first = call->nsegments > 0 ? call->segments[0] : "";
	const ScimEndpointType *target;

	if (call->endpoint->broken)
	{
		scim_fail(&call->err, 503, NULL, "%s", call->endpoint->broken);
		return;
	}
	if (call->nsegments == 0)
	{
		if (is_read(call))
			scim_root_list(call);
		else
			not_allowed(call, "GET, HEAD");
	}
	else if (strcmp(first, ".search") == 0 && call->nsegments == 1)
	{
		if (is_method(call, "POST"))
			scim_root_post(call);
		else
			not_allowed(call, "POST");
	}
	else if (strcmp(first, "ServiceProviderConfig") == 0 || strcmp(first, "ServiceProviderConfigs") == 0)
		dispatch_discovery(call, serve_config);
	else if (strcmp(first, "ResourceTypes") == 0)
		dispatch_discovery(call, scim_discovery_types);
	else if (strcmp(first, "Schemas") == 0)
		dispatch_discovery(call, scim_discovery_schemas);
	else if (strcmp(first, "Bulk") == 0 && call->nsegments == 1)
	{
		if (!call->endpoint->options.bulk)
			scim_fail(&call->err, 501, NULL, "Bulk is switched off here");
		else if (is_method(call, "POST"))
			scim_bulk(call);
		else
			not_allowed(call, "POST");
	}
	else if (strcmp(first, "Me") == 0)
		dispatch_me(call);
	else if ((target = scim_endpoint_type_by_path(call->endpoint, first)) != NULL)
		dispatch_type(call, target);
	else
		scim_fail(&call->err, 404, NULL, "there is nothing at this path");
}
