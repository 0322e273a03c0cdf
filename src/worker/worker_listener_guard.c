/*
 * worker_listener_guard.c
 *		Framing and head checks in front of everything else (RFC 9112 2-6,
 *		threat-and-fault-model H2).
 *
 * The HTTP library is lenient where leniency is dangerous: it accepts two
 * lengths, a length beside a transfer coding, unknown codings, blanks in front
 * of the colon.  Whatever two readers of one byte stream could understand
 * differently is refused here, and the caller closes the connection with the
 * answer, so that nothing behind it is read as a request.
 *
 * How lines end and fold is not visible in names and values; the caller knows
 * where they lie and judges that (worker_listener_mhd.c, head_layout).
 *
 * Details name the line, never its value.
 */
#ifdef POSTGRES_H
#error "worker_listener_guard.c must not use the server's API"
#endif

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "worker_listener_guard.h"

void
scim_guard_refuse(ScimGuard *guard, int status, const char *detail)
{
	if (guard->status != 0)
		return;
	guard->status = status;
	guard->detail = detail;
}

/* RFC 9110 5.6.2: tchar. */
static bool
is_token_char(unsigned char c)
{
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
		return true;
	return c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static bool
is_token(const char *text, size_t len)
{
	if (len == 0)
		return false;
	for (size_t i = 0; i < len; i++)
	{
		if (!is_token_char((unsigned char) text[i]))
			return false;
	}
	return true;
}

/* Field values: no control but HTAB (RFC 9110 5.5); obs-text passes. */
static bool
is_value(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) text[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

/*
 * Origin-form (RFC 9112 3.2.1): begins with a slash, printable ASCII, and no
 * fragment.  A quote or brace that should have been percent-encoded passes:
 * clients send them in filters, and nothing reads them in two ways.
 */
static bool
is_origin_form(const char *target, size_t len)
{
	if (len == 0 || target[0] != '/')
		return false;
	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) target[i];

		if (c <= 0x20 || c >= 0x7f || c == '#')
			return false;
	}
	return true;
}

/* Host: no user, no path, no list, no blanks. */
static bool
is_host(const char *value, size_t len)
{
	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = (unsigned char) value[i];

		if (c <= 0x20 || c >= 0x7f || strchr("/\\@?#,<>\"", c) != NULL)
			return false;
	}
	return true;
}

/* RFC 9112 6.3: 1*DIGIT, not a list, and not more than 64 bits. */
static bool
parse_length(const char *value, size_t len, uint64_t *result)
{
	uint64_t	n = 0;

	if (len == 0 || len > 19)
		return false;
	for (size_t i = 0; i < len; i++)
	{
		if (value[i] < '0' || value[i] > '9')
			return false;
		n = n * 10 + (uint64_t) (value[i] - '0');
	}
	*result = n;
	return true;
}

static bool
named(const char *name, size_t len, const char *wanted)
{
	return len == strlen(wanted) && strncasecmp(name, wanted, len) == 0;
}

/* Keep the only value of a header that may occur once. */
static void
keep_single(ScimGuard *guard, const char **place, const char *value, const char *detail)
{
	if (*place != NULL)
		scim_guard_refuse(guard, 400, detail);
	*place = value;
}

void
scim_guard_begin(ScimGuard *guard, size_t max_head, const char *method,
				 const char *target, size_t target_len, const char *version)
{
	memset(guard, 0, sizeof(*guard));
	guard->max_head = max_head;
	guard->head_bytes = strlen(method) + target_len + strlen(version) + 4;

	/* 0.9 has no version; HTTP/2 without negotiation is somebody's mistake */
	if (strcmp(version, "HTTP/1.1") == 0)
		guard->http11 = true;
	else if (strncmp(version, "HTTP/", 5) != 0)
		scim_guard_refuse(guard, 400, "The request line is malformed.");
	else if (strcmp(version, "HTTP/1.0") != 0)
		scim_guard_refuse(guard, 505, "This server speaks HTTP/1.1.");
	if (!is_token(method, strlen(method)))
		scim_guard_refuse(guard, 400, "The request method is malformed.");
	if (target == NULL)
		scim_guard_refuse(guard, 414, "The request target is too long.");
	else if (!is_origin_form(target, target_len))
		scim_guard_refuse(guard, 400, "The request target is not an absolute path of printable ASCII characters.");
}

void
scim_guard_header(ScimGuard *guard, const char *name, size_t name_len,
				  const char *value, size_t value_len)
{
	guard->head_bytes += name_len + value_len + 4;
	if (guard->head_bytes > guard->max_head)
	{
		scim_guard_refuse(guard, 431, "The head of the request is too large.");
		return;
	}
	if (!is_token(name, name_len))
	{
		scim_guard_refuse(guard, 400, "The name of a header is malformed.");
		return;
	}
	if (!is_value(value, value_len))
	{
		scim_guard_refuse(guard, 400, "The value of a header holds a control character.");
		return;
	}

	if (named(name, name_len, "Host"))
	{
		if (guard->has_host)
			scim_guard_refuse(guard, 400, "There is more than one Host header.");
		guard->has_host = true;
		if (!is_host(value, value_len))
			scim_guard_refuse(guard, 400, "The Host header is malformed.");
	}
	else if (named(name, name_len, "Content-Length"))
	{
		if (guard->has_length)
			scim_guard_refuse(guard, 400, "There is more than one Content-Length header.");
		guard->has_length = true;
		if (!parse_length(value, value_len, &guard->length))
			scim_guard_refuse(guard, 400, "The Content-Length header is malformed.");
	}
	else if (named(name, name_len, "Transfer-Encoding"))
	{
		if (guard->chunked)
			scim_guard_refuse(guard, 400, "There is more than one Transfer-Encoding header.");
		if (!named(value, value_len, "chunked"))
			scim_guard_refuse(guard, 501, "The only transfer coding is \"chunked\".");
		guard->chunked = true;
	}
	else if (named(name, name_len, "Content-Encoding"))
	{
		if (!named(value, value_len, "identity"))
			scim_guard_refuse(guard, 415, "The content must not be encoded.");
	}
	else if (named(name, name_len, "Expect"))
	{
		if (!named(value, value_len, "100-continue"))
			scim_guard_refuse(guard, 417, "The only expectation is \"100-continue\".");
	}
	else if (named(name, name_len, "Authorization"))
		keep_single(guard, &guard->authorization, value, "There is more than one Authorization header.");
	else if (named(name, name_len, "Content-Type"))
		keep_single(guard, &guard->content_type, value, "There is more than one Content-Type header.");
	else if (named(name, name_len, "If-Match"))
		keep_single(guard, &guard->if_match, value, "There is more than one If-Match header.");
	else if (named(name, name_len, "If-None-Match"))
		keep_single(guard, &guard->if_none_match, value, "There is more than one If-None-Match header.");
	else if (named(name, name_len, "Accept"))
	{
		if (guard->accept == NULL)
			guard->accept = value;
	}
	else if (named(name, name_len, "Prefer"))
	{
		if (guard->prefer == NULL)
			guard->prefer = value;
	}
}

/* RFC 7644 3.7.4: the answer names the limit. */
void
scim_guard_too_large(char *buffer, size_t size, size_t max_body)
{
	snprintf(buffer, size, "The request body is larger than maxPayloadSize (%zu bytes).", max_body);
}

void
scim_guard_end(ScimGuard *guard, size_t max_body)
{
	if (guard->chunked && guard->has_length)
		scim_guard_refuse(guard, 400, "There is a Content-Length beside a Transfer-Encoding.");
	if (guard->chunked && !guard->http11)
		scim_guard_refuse(guard, 400, "HTTP/1.0 has no transfer codings.");
	if (guard->http11 && !guard->has_host)
		scim_guard_refuse(guard, 400, "There is no Host header.");
	if (guard->has_length && guard->length > max_body)
	{
		scim_guard_too_large(guard->limit, sizeof(guard->limit), max_body);
		scim_guard_refuse(guard, 413, guard->limit);
	}
}
