/*
 * catalog_origin.c
 *		URLs, origins, scim.allowed_targets, bearer tokens (RFC 3986, RFC 6750;
 *		threat-and-fault-model C1, C2, K4).
 *
 * A URL is read here first and by libcurl afterwards.  Two readers that
 * disagree about the host are how requests get to where nobody allowed them, so
 * this one takes only what can be read in one way: no user information, no
 * percent-encoding in the host, no backslash, no white space.  Spellings of
 * addresses (0x7f.1, 2130706433) pass as names; what they resolve to is
 * judged when the socket is opened (client_address.c).
 */
#ifdef POSTGRES_H
#error "catalog_origin.c must not use the server's API"
#endif

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "catalog_origin.h"

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_alnum(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char) (c - 'A' + 'a') : c;
}

/* Length of the path or query character at p, or 0 (RFC 3986 section 3.3). */
static int
path_char(const char *p)
{
	if (*p == '\0')
		return 0;
	if (is_alnum(*p) || strchr("-._~!$&'()*+,;=:@/", *p) != NULL)
		return 1;
	if (*p == '%' && is_hex(p[1]) && is_hex(p[2]))
		return 3;
	return 0;
}

/*
 * Is the segment that begins at p "." or ".." ("%2e" is a dot as well)?
 * Readers of URLs remove such segments, and then it is another path.
 */
static bool
dot_segment(const char *p)
{
	int			dots = 0;

	for (;;)
	{
		if (*p == '.')
			p++;
		else if (p[0] == '%' && p[1] == '2' && lower(p[2]) == 'e')
			p += 3;
		else
			break;
		dots++;
	}
	return (dots == 1 || dots == 2) && (*p == '\0' || *p == '/' || *p == '?');
}

/* 1 to 65535, or 0; *p is moved behind the digits. */
static int
read_port(const char **p)
{
	int			port = 0;
	int			digits = 0;

	while (is_digit(**p) && digits++ < 6)
		port = port * 10 + (*(*p)++ - '0');
	return digits > 0 && digits < 6 && port <= 65535 ? port : 0;
}

/*
 * Read a host at *p, up to a character that cannot be part of one: a name or
 * IPv4 address, or an IPv6 address in brackets.  False: it is none.
 */
static bool
read_host(const char **p, ScimOrigin *origin)
{
	const char *s = *p;
	size_t		n = 0;

	origin->literal6 = *s == '[';
	if (origin->literal6)
	{
		s++;
		while (is_hex(*s) || *s == ':' || *s == '.')
		{
			if (n == SCIM_MAX_HOST)
				return false;
			origin->host[n++] = lower(*s++);
		}
		origin->host[n] = '\0';
		if (*s++ != ']' || strchr(origin->host, ':') == NULL)
			return false;
	}
	else
	{
		while (is_alnum(*s) || *s == '-' || *s == '.' || *s == '_')
		{
			if (n == SCIM_MAX_HOST || (*s == '.' && (n == 0 || s[-1] == '.')))
				return false;
			origin->host[n++] = lower(*s++);
		}
		origin->host[n] = '\0';
		if (n == 0 || origin->host[n - 1] == '.')
			return false;
	}
	*p = s;
	return true;
}

const char *
scim_origin_parse(const char *url, ScimOrigin *origin)
{
	const char *p = url;

	if (strlen(url) > SCIM_MAX_URL)
		return "The URL is too long.";
	if (strncasecmp(p, "https://", 8) == 0)
	{
		origin->https = true;
		p += 8;
	}
	else if (strncasecmp(p, "http://", 7) == 0)
	{
		origin->https = false;
		p += 7;
	}
	else
		return "The URL does not begin with https://.";

	if (p[strcspn(p, "/@")] == '@')
		return "The URL holds user information.";
	if (!read_host(&p, origin))
		return "The URL has no valid host name or address.";
	origin->port = origin->https ? 443 : 80;
	if (*p == ':')
	{
		p++;
		origin->port = read_port(&p);
		if (origin->port == 0)
			return "The port is not between 1 and 65535.";
	}
	if (*p != '\0' && *p != '/' && *p != '?' && *p != '#')
		return "The URL has no valid host name or address.";

	while (*p != '\0')
	{
		int			len;

		if (*p == '?' || *p == '#')
			return "The URL has a query or a fragment.";
		len = path_char(p);
		if (len == 0)
			return "The path holds a character that has to be percent-encoded.";
		if (*p == '/' && dot_segment(p + 1))
			return "The path holds the segment \".\" or \"..\".";
		p += len;
	}
	return NULL;
}

void
scim_origin_print(const ScimOrigin *origin, char *out)
{
	snprintf(out, SCIM_ORIGIN_SIZE, "%s://%s%s%s:%d",
			 origin->https ? "https" : "http",
			 origin->literal6 ? "[" : "", origin->host, origin->literal6 ? "]" : "",
			 origin->port);
}

bool
scim_request_path_ok(const char *path)
{
	bool		query = false;

	if (path[0] != '/')
		return false;
	for (const char *p = path; *p != '\0';)
	{
		int			len = *p == '?' ? 1 : path_char(p);

		if (len == 0)
			return false;
		if (!query && *p == '/' && dot_segment(p + 1))
			return false;
		query = query || *p == '?';
		p += len;
	}
	return true;
}

/*
 * The next entry of a list of allowed targets; its port is 0 if it names none.
 * False at the end of the list, and with *bad set at what is no entry.
 */
static bool
next_allowed(const char **p, ScimOrigin *entry, bool *bad)
{
	*bad = false;
	while (**p == ' ' || **p == '\t' || **p == '\n')
		(*p)++;
	if (**p == '\0')
		return false;
	*bad = !read_host(p, entry);
	if (*bad)
		return false;
	entry->port = 0;
	if (**p == ':')
	{
		(*p)++;
		entry->port = read_port(p);
		*bad = entry->port == 0;
	}
	while (**p == ' ' || **p == '\t' || **p == '\n')
		(*p)++;
	if (**p == ',')
		(*p)++;
	else if (**p != '\0')
		*bad = true;
	return !*bad;
}

const char *
scim_allowed_check(const char *list)
{
	ScimOrigin	entry;
	bool		bad;

	while (next_allowed(&list, &entry, &bad))
		;
	return bad ? "Entries are host names or addresses, each with or without a port (host:port, [::1]:port), separated by commas." : NULL;
}

bool
scim_allowed_names(const char *list, const ScimOrigin *origin)
{
	ScimOrigin	entry;
	bool		bad;

	while (list != NULL && next_allowed(&list, &entry, &bad))
		if (strcmp(entry.host, origin->host) == 0 && entry.literal6 == origin->literal6 &&
			(entry.port == 0 || entry.port == origin->port))
			return true;
	return false;
}

bool
scim_bearer_ok(const char *token)
{
	size_t		n = 0;

	while (is_alnum(token[n]) || (token[n] != '\0' && strchr("-._~+/", token[n]) != NULL))
		n++;
	if (n == 0)
		return false;
	while (token[n] == '=')
		n++;
	return token[n] == '\0' && n <= SCIM_MAX_BEARER;
}
