/*
 * client_option.c
 *		Every option of libcurl, in one function, and the callbacks it installs
 *		(threat-and-fault-model C1 to C3).
 *
 * What libcurl does by default is for a user at a terminal: proxies of the
 * environment, .netrc, many protocols.  Here nothing is left to it that
 * decides where bytes go or who is believed.  There is no setting that turns
 * verification off.
 *
 * Callbacks record in the transfer and return; they allocate with malloc only.
 *
 * The pre-request callback runs after the connection is there (TLS included)
 * and before the first byte of a request is sent, and again if libcurl sends a
 * request a second time, because a kept connection was found dead.  It judges
 * the address of connections that are used again, it is what tells "not sent"
 * from "perhaps sent", and it lets only GET be sent twice: whether the other
 * methods may be repeated is not for libcurl to say.
 */
#ifdef POSTGRES_H
#error "client_option.c must not use the server's API"
#endif

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "client_address.h"
#include "client_internal.h"

#define MAX_HEAD ((size_t) 64 * 1024)
#define MAX_HEADER_VALUE 1024
#define MAX_IDLE_SECONDS 30L
#define MAX_LIFETIME_SECONDS 600L

/* malloc'ed printable value of a header, or NULL. */
static char *
header_value(const char *value, size_t len)
{
	char	   *copy;

	while (len > 0 && (*value == ' ' || *value == '\t'))
	{
		value++;
		len--;
	}
	while (len > 0 && strchr(" \t\r\n", value[len - 1]) != NULL)
		len--;
	if (len > MAX_HEADER_VALUE)
		return NULL;
	for (size_t i = 0; i < len; i++)
		if (value[i] < ' ' || value[i] > '~')
			return NULL;
	copy = malloc(len + 1);
	if (copy != NULL)
	{
		memcpy(copy, value, len);
		copy[len] = '\0';
	}
	return copy;
}

typedef struct Header
{
	const char *name;
	size_t		field;			/* of a response */
} Header;

static const Header headers[] = {
	{"content-type", offsetof(ScimClientResponse, content_type)},
	{"location", offsetof(ScimClientResponse, location)},
	{"etag", offsetof(ScimClientResponse, etag)},
	{"retry-after", offsetof(ScimClientResponse, retry_after)},
	{"x-ratelimit-limit", offsetof(ScimClientResponse, rate_limit)},
	{"x-rate-limit-limit", offsetof(ScimClientResponse, rate_limit)},
	{"ratelimit-limit", offsetof(ScimClientResponse, rate_limit)},
	{"x-ratelimit-remaining", offsetof(ScimClientResponse, rate_remaining)},
	{"x-rate-limit-remaining", offsetof(ScimClientResponse, rate_remaining)},
	{"ratelimit-remaining", offsetof(ScimClientResponse, rate_remaining)},
	{"x-ratelimit-reset", offsetof(ScimClientResponse, rate_reset)},
	{"x-rate-limit-reset", offsetof(ScimClientResponse, rate_reset)},
	{"ratelimit-reset", offsetof(ScimClientResponse, rate_reset)},
	{"date", offsetof(ScimClientResponse, date)},
};

/*
 * The first of several headers of one meaning counts.  A status line begins a
 * new head: what came before it was an interim answer (1xx).
 */
static size_t
on_header(char *line, size_t size, size_t count, void *data)
{
	ScimClientTransfer *t = data;
	size_t		len = size * count;
	const char *colon;
	bool		first = len > 5 && memcmp(line, "HTTP/", 5) == 0;

	t->head_len += len;
	if (t->head_len > MAX_HEAD)
	{
		t->too_large = true;
		return 0;
	}
	t->head_whole = !first && (t->head_whole || *line == '\r' || *line == '\n');
	colon = memchr(line, ':', len);
	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
	{
		const Header *h = &headers[i];
		char	  **field = (char **) ((char *) &t->response + h->field);

		if (first)
		{
			free(*field);
			*field = NULL;
		}
		else if (colon != NULL && *field == NULL && strlen(h->name) == (size_t) (colon - line) &&
				 strncasecmp(h->name, line, strlen(h->name)) == 0)
			*field = header_value(colon + 1, len - (size_t) (colon + 1 - line));
	}
	return len;
}

/* Bytes come here decoded, in pieces of at most 16 KiB. */
static size_t
on_body(char *bytes, size_t size, size_t count, void *data)
{
	ScimClientTransfer *t = data;
	ScimClientResponse *r = &t->response;
	size_t		len = size * count;

	if (len > t->max_body - r->body_len)
	{
		t->too_large = true;
		return 0;
	}
	if (r->body_len + len + 1 > t->body_room)
	{
		size_t		room = (r->body_len + len + 1) * 2;
		char	   *grown;

		if (room > t->max_body + 1)
			room = t->max_body + 1;
		grown = realloc(r->body, room);
		if (grown == NULL)
			return 0;
		r->body = grown;
		t->body_room = room;
	}
	memcpy(r->body + r->body_len, bytes, len);
	r->body_len += len;
	r->body[r->body_len] = '\0';
	return len;
}

static curl_socket_t
on_open_socket(void *data, curlsocktype purpose, struct curl_sockaddr *address)
{
	ScimClientTransfer *t = data;

	if (!t->named && !scim_address_public(&address->addr))
	{
		t->refused = true;
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static int
on_request(void *data, char *peer, char *local, int peer_port, int local_port)
{
	ScimClientTransfer *t = data;

	if (!t->named && !scim_address_text_public(peer))
	{
		t->refused = true;
		return CURL_PREREQFUNC_ABORT;
	}
	if (t->sent && strcmp(t->method, "GET") != 0)
		return CURL_PREREQFUNC_ABORT;
	t->sent = true;
	return CURL_PREREQFUNC_OK;
}

/* Protocols by name from 7.85 on, which also is when the numbers went out of use. */
static bool
set_protocols(CURL *easy, bool https)
{
#if LIBCURL_VERSION_NUM >= 0x075500
	return curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, https ? "https" : "http") == CURLE_OK &&
		curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "https") == CURLE_OK;
#else
	return curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long) (https ? CURLPROTO_HTTPS : CURLPROTO_HTTP)) == CURLE_OK &&
		curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS, (long) CURLPROTO_HTTPS) == CURLE_OK;
#endif
}

#define SET(option, value) \
	do { \
		if (curl_easy_setopt(easy, option, value) != CURLE_OK) \
			return false; \
	} while (0)

bool
scim_client_set_options(ScimClientTransfer *t)
{
	CURL	   *easy = t->easy;
	long		slow = t->total_ms / 2000;

	/* where to, and how */
	if (!set_protocols(easy, t->https))
		return false;
	SET(CURLOPT_URL, t->url);
	SET(CURLOPT_PATH_AS_IS, 1L);
	SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_MAXREDIRS, 0L);
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	SET(CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
	SET(CURLOPT_OPENSOCKETDATA, t);
	SET(CURLOPT_PREREQFUNCTION, on_request);
	SET(CURLOPT_PREREQDATA, t);

	/* whom to believe */
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	if (t->ca_file != NULL)
	{
		/* instead of the system's, whose directory libcurl looks into as well */
		SET(CURLOPT_CAINFO, t->ca_file);
		SET(CURLOPT_CAPATH, (char *) NULL);
	}

	/*
	 * HTTP/1.1: a request has a connection to itself, so a broken connection
	 * leaves one request in doubt and not all.  HTTP/2, where the server's option
	 * wants it and both sides have it: they share one.
	 */
	SET(CURLOPT_HTTP_VERSION, (long) (t->http2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1));
	SET(CURLOPT_PIPEWAIT, t->http2 ? 1L : 0L);
	SET(CURLOPT_HTTP09_ALLOWED, 0L);
	SET(CURLOPT_USERAGENT, "scim-pg/" SCIM_VERSION);
	SET(CURLOPT_ACCEPT_ENCODING, "gzip, deflate");
	SET(CURLOPT_HTTPHEADER, t->headers);
	if (t->content != NULL)
	{
		SET(CURLOPT_POSTFIELDS, t->content);
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) t->content_len);
	}
	else
		SET(CURLOPT_HTTPGET, 1L);
	SET(CURLOPT_CUSTOMREQUEST, t->method);

	/* how much, how long */
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_WRITEDATA, t);
	SET(CURLOPT_HEADERFUNCTION, on_header);
	SET(CURLOPT_HEADERDATA, t);
	SET(CURLOPT_MAXFILESIZE_LARGE, (curl_off_t) t->max_body);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long) t->connect_ms);
	SET(CURLOPT_TIMEOUT_MS, (long) t->total_ms);
	SET(CURLOPT_LOW_SPEED_LIMIT, 10L);
	SET(CURLOPT_LOW_SPEED_TIME, slow > 0 ? slow : 1L);
	SET(CURLOPT_MAXAGE_CONN, MAX_IDLE_SECONDS);
	SET(CURLOPT_MAXLIFETIME_CONN, MAX_LIFETIME_SECONDS);

	/* inside a server process */
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_NOPROGRESS, 1L);
	SET(CURLOPT_VERBOSE, 0L);
	SET(CURLOPT_ERRORBUFFER, t->error);
	SET(CURLOPT_PRIVATE, t);
#if LIBCURL_VERSION_NUM >= 0x075700
	/* a name server that hangs must not hold up a cancel */
	SET(CURLOPT_QUICK_EXIT, 1L);
#endif
	return true;
}
