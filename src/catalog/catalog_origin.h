/*
 * catalog_origin.h
 *		What may be asked of the network, as plain text: URLs, their origins,
 *		the list scim.allowed_targets, bearer tokens.
 *
 * Plain C without the server's API, because both the checks of configuration
 * and the files that see libcurl need it.  Nothing here allocates or raises.
 */
#ifndef SCIM_CATALOG_ORIGIN_H
#define SCIM_CATALOG_ORIGIN_H

#include <stdbool.h>
#include <stddef.h>

#define SCIM_MAX_HOST 253
#define SCIM_MAX_URL 2000
#define SCIM_MAX_BEARER 8192

/* Room for an origin as text: "https://[...]:65535" and its end. */
#define SCIM_ORIGIN_SIZE (SCIM_MAX_HOST + 20)

typedef struct ScimOrigin
{
	bool		https;			/* else http */
	bool		literal6;		/* host is an IPv6 address; kept without brackets */
	char		host[SCIM_MAX_HOST + 1];	/* lower case */
	int			port;			/* always set */
} ScimOrigin;

/*
 * Take a base URL apart: http or https, host, port, path; no user information,
 * no query, no fragment, no dot segment, only characters that RFC 3986 allows.
 * So narrow that no other reader of URLs can find another host in it.  NULL, or
 * a fixed text that says what is wrong.
 */
extern const char *scim_origin_parse(const char *url, ScimOrigin *origin);

/* "https://host:port" into a buffer of SCIM_ORIGIN_SIZE. */
extern void scim_origin_print(const ScimOrigin *origin, char *out);

/*
 * A path below a base URL, with or without a query: begins with '/', only
 * characters of RFC 3986, no fragment, no dot segment.
 */
extern bool scim_request_path_ok(const char *path);

/*
 * scim.allowed_targets: host or host:port, separated by commas; IPv6 addresses
 * in brackets.  NULL, or a fixed text that says what is wrong.
 */
extern const char *scim_allowed_check(const char *list);

/* Does the list name this host, with this port or without one? */
extern bool scim_allowed_names(const char *list, const ScimOrigin *origin);

/* RFC 6750 section 2.1: b64token; and not too long. */
extern bool scim_bearer_ok(const char *token);

#endif							/* SCIM_CATALOG_ORIGIN_H */
