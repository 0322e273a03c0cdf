/*
 * worker_listener_mhd.c
 *		The HTTP side of the listener: libmicrohttpd with a guard in front and
 *		deadlines of its own (RFC 9110, RFC 9112; threat-and-fault-model H2-H5).
 *
 * The library runs without a thread; its epoll descriptor sits in the wait of
 * the worker's loop, which calls scim_http_turn().  Inside, callbacks only
 * record: they check the head, gather the body in malloc'ed memory, and when a
 * request is complete they suspend its connection and put it on a queue.  The
 * loop takes it from there (scim_http_next), serves it, and hands the answer
 * over (scim_http_answer); the next turn sends it.
 *
 * A connection is one request at a time, so ScimHttpRequest is both; its life is
 * in worker_listener_connection.c.
 *
 * Nothing in this file raises or uses the server's memory; every allocation is
 * checked, and a failed one costs a connection.
 */
#ifdef POSTGRES_H
#error "worker_listener_mhd.c must not use the server's API"
#endif

#ifndef _GNU_SOURCE
#define _GNU_SOURCE				/* POLLRDHUP */
#endif

#include <errno.h>
#include <limits.h>
#include <microhttpd.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "worker_listener_connection.h"

/* Turns of the library within one of ours. */
#define MAX_RUNS 64

/* Connections above the limit that wait for others to be shed. */
#define SHED_SLACK 16

/* A chunked body over the limit, under TLS: read this much more of it. */
#define OVERRUN_BYTES ((size_t) 8 * 1024 * 1024)

/* A body buffer up to this size is kept for the next request. */
#define KEEP_BODY_BYTES 16384

/* --- answers made here --- */

#define ERROR_FORMAT \
	"{\"schemas\":[\"urn:ietf:params:scim:api:messages:2.0:Error\"],\"status\":\"%d\",\"detail\":\"%s\"}"
#define ERROR_TYPE "application/scim+json"

/* JSON of an error (RFC 7644 3.12); details hold ASCII, and quotes only. */
static size_t
error_body(char *buffer, size_t size, int status, const char *detail)
{
	char		escaped[256];
	size_t		n = 0;

	for (; *detail != '\0' && n < sizeof(escaped) - 3; detail++)
	{
		if (*detail == '"' || *detail == '\\')
			escaped[n++] = '\\';
		escaped[n++] = *detail;
	}
	escaped[n] = '\0';
	return (size_t) snprintf(buffer, size, ERROR_FORMAT, status, escaped);
}

static struct MHD_Response *
make_response(const char *body, size_t len)
{
	/* the cast: the library copies, its parameter is not const */
	return MHD_create_response_from_buffer(len, (void *) (uintptr_t) (len > 0 ? body : ""),
										   MHD_RESPMEM_MUST_COPY);
}

/*
 * Answer with an error and close the connection.  False: no memory, the caller
 * gives the connection up.
 */
static bool
queue_error(ScimHttpRequest *c, int status, const char *detail, int retry_after)
{
	char		body[512];
	size_t		len = error_body(body, sizeof(body), status, detail);
	struct MHD_Response *response = make_response(body, len);
	bool		ok;

	if (response == NULL)
		return false;
	ok = MHD_add_response_header(response, "Content-Type", ERROR_TYPE) == MHD_YES &&
		MHD_add_response_header(response, "X-Content-Type-Options", "nosniff") == MHD_YES &&
		MHD_add_response_header(response, "Cache-Control", "no-store") == MHD_YES &&
		MHD_add_response_header(response, "Connection", "close") == MHD_YES;
	if (ok && retry_after > 0)
	{
		char		seconds[16];

		snprintf(seconds, sizeof(seconds), "%d", retry_after);
		ok = MHD_add_response_header(response, "Retry-After", seconds) == MHD_YES;
	}
	if (ok)
	{
		scim_connection_enter(c, PHASE_WRITE);
		ok = MHD_queue_response(c->mhd, (unsigned) status, response) == MHD_YES;
	}
	MHD_destroy_response(response);
	return ok;
}

/*
 * 413 in the middle of a body, where the library takes no answer any more.
 * Nothing has been sent for this request yet but perhaps "100 Continue".
 */
static void
send_too_large(ScimHttpRequest *c)
{
	char		detail[80];
	char		body[512];
	char		answer[1024];
	size_t		len;
	int			n;

	scim_guard_too_large(detail, sizeof(detail), c->server->config.limits.max_body);
	len = error_body(body, sizeof(body), 413, detail);
	n = snprintf(answer, sizeof(answer),
				 "HTTP/1.1 413 Content Too Large\r\n"
				 "Content-Type: " ERROR_TYPE "\r\n"
				 "X-Content-Type-Options: nosniff\r\n"
				 "Cache-Control: no-store\r\n"
				 "Connection: close\r\n"
				 "Content-Length: %zu\r\n\r\n%s", len, body);
	(void) !send(c->fd, answer, (size_t) n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* --- callbacks: record only --- */

static void
forget_request(ScimHttpRequest *c)
{
	free(c->target);
	c->target = NULL;
	c->target_len = 0;
	c->method = NULL;
	c->checked = false;
	c->body_len = 0;
	c->overrun = 0;
	if (c->body_size > KEEP_BODY_BYTES)
	{
		free(c->body);
		c->body = NULL;
		c->body_size = 0;
	}
}

static void
on_connection(void *cls, struct MHD_Connection *connection, void **socket_context,
			  enum MHD_ConnectionNotificationCode code)
{
	ScimHttpServer *server = cls;
	const union MHD_ConnectionInfo *info;
	const union MHD_ConnectionInfo *peer;
	ScimHttpRequest *c;

	if (code == MHD_CONNECTION_NOTIFY_CLOSED)
	{
		c = *socket_context;
		if (c == NULL)
			return;
		if (c->linger)
			scim_linger_add(&server->lingers, c->fd, scim_http_now());
		scim_connection_remove(c);
		*socket_context = NULL;
		forget_request(c);
		free(c->body);
		free(c);
		return;
	}

	info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	c = calloc(1, sizeof(*c));
	*socket_context = c;
	if (c == NULL || info == NULL)
	{
		/* without a record nobody would watch it */
		if (info != NULL)
			(void) shutdown(info->connect_fd, SHUT_RDWR);
		free(c);
		*socket_context = NULL;
		return;
	}
	c->server = server;
	c->mhd = connection;
	c->fd = info->connect_fd;
	c->phase = PHASE_HEAD;
	c->phase_at = c->request_at = scim_http_now();
	peer = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	scim_address_from(&c->address, peer != NULL ? peer->client_addr : NULL);
	scim_connection_add(c);
	if (server->nconnections > server->config.max_connections && !scim_connections_shed(server, c))
		scim_connection_cut(c);
}

/* The record of a connection; NULL if there was no memory for it. */
static ScimHttpRequest *
record_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info != NULL ? info->socket_context : NULL;
}

/*
 * The request line is there: the raw target, before the library decodes it.
 */
static void *
on_target(void *cls, const char *target, struct MHD_Connection *connection)
{
	ScimHttpServer *server = cls;
	ScimHttpRequest *c = record_of(connection);

	if (c == NULL)
		return NULL;
	forget_request(c);
	if (c->phase == PHASE_IDLE)
	{
		scim_connection_enter(c, PHASE_HEAD);
		c->request_at = c->phase_at;
	}
	c->raw = target;
	if (target == NULL)
		target = "";
	c->target_len = strlen(target);
	if (c->target_len <= server->config.max_url)
	{
		c->target = malloc(c->target_len + 1);
		if (c->target != NULL)
			memcpy(c->target, target, c->target_len + 1);
	}
	return c;
}

/* Routing is by the raw path; the library's decoding is switched off. */
static size_t
no_unescape(void *cls, struct MHD_Connection *connection, char *text)
{
	(void) cls;
	(void) connection;
	return strlen(text);
}

/* --- how the lines of a head lie in the library's buffer --- */

#define LAYOUT_UNKNOWN 0		/* the library is strict enough by itself */
#define LAYOUT_LINES 1			/* names and values lie where they were received */
#define LAYOUT_SIZE 2			/* and the size of the head is known */

typedef struct HeadWalk
{
	ScimGuard  *guard;
	const char *at;				/* where the next line begins; NULL: do not look */
} HeadWalk;

/*
 * Before 1.0 the library takes bare LF for the end of a line, joins a folded
 * line to the *name* of the line before it (so that a folded Transfer-Encoding
 * disappears), ends the head at a line without a name, and ends texts at NUL.
 * None of that shows in names and values; but they lie in its buffer where they
 * were received, with blanks and line ends between them turned into zeros.  So:
 * every line has to begin two bytes behind the value before it.
 *
 * From 1.0 on MHD_OPTION_STRICT_FOR_CLIENT refuses all that.  (A still higher
 * MHD_OPTION_CLIENT_DISCIPLINE_LVL refuses nothing more that matters here, but
 * the empty line before a request, which RFC 9112 2.2 wants to be let pass.)
 */
static int
head_layout(void)
{
	const char *version = MHD_get_version();

	if (strncmp(version, "0.9.", 4) != 0)
		return LAYOUT_UNKNOWN;
	return atoi(version + 4) >= 75 ? LAYOUT_SIZE : LAYOUT_LINES;
}

static void
misplaced(HeadWalk *walk)
{
	scim_guard_refuse(walk->guard, 400, "A line of the head is folded, has no name, or does not end with CR LF.");
	walk->at = NULL;
}

static enum MHD_Result
on_header(void *cls, enum MHD_ValueKind kind, const char *name, size_t name_len,
		  const char *value, size_t value_len)
{
	HeadWalk   *walk = cls;

	(void) kind;
	if (value == NULL)
		value = "";
	if (walk->at != NULL)
	{
		const char *p = name + name_len;

		if (name != walk->at || *p != '\0')
			misplaced(walk);
		else
		{
			do
				p++;
			while (p != value && (*p == ' ' || *p == '\t'));
			if (p != value)
				misplaced(walk);
			else
				walk->at = value + value_len + 2;
		}
	}
	scim_guard_header(walk->guard, name, name_len, value, value_len);
	return MHD_YES;
}

/*
 * Look at every line of the head.
 */
static void
check_head(ScimHttpRequest *c, const char *version)
{
	const ScimHttpConfig *config = &c->server->config;
	const union MHD_ConnectionInfo *size =
		MHD_get_connection_info(c->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
	HeadWalk	walk = {&c->guard, NULL};

	scim_guard_begin(&c->guard, config->max_head, c->method, c->target, c->target_len, version);
	if (c->server->in_place != LAYOUT_UNKNOWN && c->guard.status == 0)
	{
		walk.at = version + strlen(version) + 2;
		if (c->raw != c->method + strlen(c->method) + 1 || version != c->raw + c->target_len + 1)
			scim_guard_refuse(&c->guard, 400, "The request line is malformed.");
	}
	MHD_get_connection_values_n(c->mhd, MHD_HEADER_KIND, on_header, &walk);
	if (walk.at != NULL && c->server->in_place == LAYOUT_SIZE &&
		(size == NULL || walk.at + 2 != c->method + size->header_size))
		misplaced(&walk);
	scim_guard_end(&c->guard, config->limits.max_body);
	c->raw = NULL;
}

/* The head is complete.  False: the connection is given up. */
static bool
on_head(ScimHttpRequest *c, const char *method, const char *version)
{
	const ScimHttpConfig *config = &c->server->config;
	int			wait;

	c->checked = true;
	c->method = method;
	c->requests++;
	if (c->target == NULL && c->target_len <= config->max_url)
		return false;			/* no memory */
	check_head(c, version);

	if (c->guard.status != 0)
	{
		c->linger = true;
		return queue_error(c, c->guard.status, c->guard.detail, 0);
	}
	wait = scim_limit_wait(&c->server->limit, config->limits.max_auth_failures, &c->address, c->guard.authorization, scim_http_now());
	if (wait > 0)
	{
		c->linger = true;
		return queue_error(c, 429, "There were too many failed authentications from this address.", wait);
	}
	scim_connection_enter(c, PHASE_BODY);
	return true;
}

/* A piece of the body.  False: the connection is given up. */
static bool
on_body(ScimHttpRequest *c, const char *data, size_t len)
{
	size_t		max = c->server->config.limits.max_body;

	/* the limit may have been lowered since the body began */
	if (c->overrun > 0 || c->body_len > max || len > max - c->body_len)
	{
		c->linger = true;
		c->overrun += len;
		if (!c->server->tls)
		{
			send_too_large(c);
			return false;
		}
		return c->overrun <= OVERRUN_BYTES;
	}
	if (c->body_len + len + 1 > c->body_size)
	{
		size_t		size = c->body_size > 0 ? c->body_size : 1024;
		char	   *body;

		if (c->guard.has_length && c->guard.length >= c->body_len + len)
			size = (size_t) c->guard.length + 1;
		while (size < c->body_len + len + 1)
			size *= 2;
		body = realloc(c->body, size);
		if (body == NULL)
			return false;
		c->body = body;
		c->body_size = size;
	}
	memcpy(c->body + c->body_len, data, len);
	c->body_len += len;
	c->body[c->body_len] = '\0';
	return true;
}

static void
enqueue(ScimHttpRequest *c)
{
	ScimHttpServer *server = c->server;

	c->queue_next = NULL;
	if (server->queue_last != NULL)
		server->queue_last->queue_next = c;
	else
		server->queue_first = c;
	server->queue_last = c;
	scim_connection_enter(c, PHASE_QUEUED);
	MHD_suspend_connection(c->mhd);
}

static enum MHD_Result
on_request(void *cls, struct MHD_Connection *connection, const char *url,
		   const char *method, const char *version,
		   const char *upload_data, size_t *upload_data_size, void **request)
{
	ScimHttpRequest *c = *request;

	(void) cls;
	(void) url;
	if (c == NULL || c != record_of(connection) || c->phase == PHASE_CUT)
		return MHD_NO;
	if (!c->checked)
		return on_head(c, method, version) ? MHD_YES : MHD_NO;
	if (*upload_data_size > 0)
	{
		bool		ok = on_body(c, upload_data, *upload_data_size);

		*upload_data_size = 0;
		return ok ? MHD_YES : MHD_NO;
	}
	if (c->overrun > 0)
	{
		char		detail[80];

		scim_guard_too_large(detail, sizeof(detail), c->server->config.limits.max_body);
		return queue_error(c, 413, detail, 0) ? MHD_YES : MHD_NO;
	}
	/* anything else comes back without an answer because there was no memory */
	if (c->phase != PHASE_BODY)
		return MHD_NO;
	enqueue(c);
	return MHD_YES;
}

static void
on_completed(void *cls, struct MHD_Connection *connection, void **request,
			 enum MHD_RequestTerminationCode code)
{
	ScimHttpRequest *c = *request;

	(void) cls;
	(void) connection;
	(void) code;
	*request = NULL;
	if (c == NULL)
		return;
	forget_request(c);
	if (c->phase != PHASE_CUT)
		scim_connection_enter(c, PHASE_IDLE);
}

static void on_message(void *cls, const char *format, va_list args) __attribute__((format(printf, 2, 0)));

static void
on_message(void *cls, const char *format, va_list args)
{
	ScimHttpServer *server = cls;

	vsnprintf(server->message, sizeof(server->message), format, args);
}

/* --- the server --- */

/*
 * Start serving.  The texts of "config" may be freed afterwards.
 */
ScimHttpServer *
scim_http_start(const ScimHttpConfig *config, char *err, size_t errlen)
{
	ScimHttpServer *server = calloc(1, sizeof(*server));
	const union MHD_DaemonInfo *info;
	unsigned	flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
	struct MHD_OptionItem tls_options[] = {
		{MHD_OPTION_HTTPS_MEM_CERT, 0, (void *) (uintptr_t) config->tls_cert},
		{MHD_OPTION_HTTPS_MEM_KEY, 0, (void *) (uintptr_t) config->tls_key},
		{MHD_OPTION_HTTPS_PRIORITIES, 0,
		(void *) (uintptr_t) "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"},
		{MHD_OPTION_END, 0, NULL}
	};
	struct MHD_OptionItem no_options[] = {{MHD_OPTION_END, 0, NULL}};
	size_t		pool = 2 * config->max_head;

	if (server == NULL)
	{
		snprintf(err, errlen, "out of memory");
		return NULL;
	}
	server->config = *config;
	server->config.tls_cert = server->config.tls_key = NULL;
	server->tls = config->tls_cert != NULL;
	server->next_scan = NEVER;
	server->in_place = head_layout();
	if (server->tls)
		flags |= MHD_USE_TLS;

	server->daemon =
		MHD_start_daemon(flags, 0, NULL, NULL, on_request, server,
						 MHD_OPTION_EXTERNAL_LOGGER, on_message, server,
						 MHD_OPTION_LISTEN_SOCKET, (MHD_socket) config->listen_fd,
						 MHD_OPTION_CONNECTION_LIMIT, config->max_connections + SHED_SLACK,
						 MHD_OPTION_PER_IP_CONNECTION_LIMIT, config->max_connections_per_address,
						 MHD_OPTION_CONNECTION_TIMEOUT, 0u,
						 MHD_OPTION_CONNECTION_MEMORY_LIMIT, pool < 32768 ? (size_t) 32768 : pool,
						 MHD_OPTION_NOTIFY_CONNECTION, on_connection, server,
						 MHD_OPTION_NOTIFY_COMPLETED, on_completed, server,
						 MHD_OPTION_URI_LOG_CALLBACK, on_target, server,
						 MHD_OPTION_UNESCAPE_CALLBACK, no_unescape, server,
						 MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,
						 MHD_OPTION_STRICT_FOR_CLIENT, 1,
						 MHD_OPTION_ARRAY, server->tls ? tls_options : no_options,
						 MHD_OPTION_END);
	if (server->daemon == NULL)
	{
		size_t		len = strcspn(server->message, "\r\n");

		server->message[len] = '\0';
		snprintf(err, errlen, "%s", len > 0 ? server->message : "libmicrohttpd did not start");
		free(server);
		return NULL;
	}
	info = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (info == NULL || info->epoll_fd < 0)
	{
		snprintf(err, errlen, "libmicrohttpd has no epoll descriptor");
		scim_http_stop(server);
		return NULL;
	}
	server->epoll_fd = info->epoll_fd;
	return server;
}

void
scim_http_set_limits(ScimHttpServer *server, const ScimHttpLimits *limits)
{
	server->config.limits = *limits;
	/* some may be late by now */
	if (server->nconnections > 0)
		server->next_scan = 0;
}

int
scim_http_epoll_fd(const ScimHttpServer *server)
{
	return server->epoll_fd;
}

int
scim_http_turn(ScimHttpServer *server)
{
	int64_t		now = scim_http_now();
	int64_t		next = NEVER;
	bool		ready = true;

	if (now >= server->next_scan)
		scim_connections_cut_late(server, now);
	if (server->lingers.n > 0)
		scim_linger_poll(&server->lingers, now);

	/*
	 * The library keeps a ready list of its own beside the edge-triggered
	 * events: while it has something on it, no event will come.
	 */
	for (int i = 0; ready && i < MAX_RUNS; i++)
	{
		MHD_UNSIGNED_LONG_LONG wait;

		(void) MHD_run(server->daemon);
		ready = MHD_get_timeout(server->daemon, &wait) == MHD_YES && wait == 0;
	}
	if (ready)
		return 0;

	if (server->lingers.n > 0)
		next = now + SCIM_LINGER_POLL_MS;
	next = earlier(next, server->next_scan);
	if (next == NEVER)
		return -1;
	now = scim_http_now();
	if (next <= now)
		return 0;
	return next - now > INT_MAX ? INT_MAX : (int) (next - now);
}

ScimHttpRequest *
scim_http_next(ScimHttpServer *server, ScimHttpView *view)
{
	ScimHttpRequest *c;
	char	   *query;

	while ((c = server->queue_first) != NULL)
	{
		server->queue_first = c->queue_next;
		if (server->queue_first == NULL)
			server->queue_last = NULL;
		c->queue_next = NULL;
		if (scim_http_now() < c->request_at + server->config.limits.request_timeout_ms)
			break;

		/* its client has waited too long: do not begin to serve it */
		(void) queue_error(c, 503, "The server is too busy.", 1);
		MHD_resume_connection(c->mhd);
	}
	if (c == NULL)
		return NULL;

	scim_connection_enter(c, PHASE_SERVING);
	memset(view, 0, sizeof(*view));
	query = strchr(c->target, '?');
	if (query != NULL)
		*query++ = '\0';
	view->method = c->method;
	view->path = c->target;
	view->query = query;
	view->authorization = c->guard.authorization;
	view->content_type = c->guard.content_type;
	view->accept = c->guard.accept;
	view->if_match = c->guard.if_match;
	view->if_none_match = c->guard.if_none_match;
	view->prefer = c->guard.prefer;
	view->body = c->body_len > 0 ? c->body : "";
	view->body_len = c->body_len;
	return c;
}

void
scim_http_answer(ScimHttpServer *server, ScimHttpRequest *c, const ScimHttpReply *reply)
{
	struct MHD_Response *response = make_response(reply->body, reply->body_len);
	bool		close_it = reply->close || server->closing ||
		c->requests >= server->config.limits.max_keepalive_requests;
	bool		ok = response != NULL;

	if (reply->status == 401)
		scim_limit_failed(&server->limit, &c->address, c->guard.authorization, scim_http_now());
	else if (c->guard.authorization != NULL && reply->status < 300)
	{
		scim_limit_accepted(&server->limit, c->guard.authorization);
		c->trusted = true;
	}

	for (const char *const *header = reply->headers; ok && header != NULL && header[0] != NULL; header += 2)
		ok = MHD_add_response_header(response, header[0], header[1]) == MHD_YES;
	if (ok && close_it)
		ok = MHD_add_response_header(response, "Connection", "close") == MHD_YES;
	scim_connection_enter(c, reply->hold ? PHASE_HELD : PHASE_WRITE);
	if (ok)
		ok = MHD_queue_response(c->mhd, (unsigned) reply->status, response) == MHD_YES;
	if (response != NULL)
		MHD_destroy_response(response);
	/* nothing is sent on a suspended connection */
	if (ok && reply->hold)
	{
		c->queue_next = server->held;
		server->held = c;
		return;
	}
	/* resumed without an answer it goes back to on_request, which gives it up */
	if (!ok)
		scim_connection_cut(c);
	MHD_resume_connection(c->mhd);
}

void
scim_http_release(ScimHttpServer *server)
{
	ScimHttpRequest *c;

	while ((c = server->held) != NULL)
	{
		server->held = c->queue_next;
		c->queue_next = NULL;
		scim_connection_enter(c, PHASE_WRITE);
		MHD_resume_connection(c->mhd);
	}
}

/*
 * Only system calls that a signal handler may make.  A client that has closed
 * its side for writing counts as gone: nothing tells it from one that closed
 * altogether.
 */
bool
scim_http_client_gone(const ScimHttpRequest *request)
{
	struct pollfd p = {.fd = request->fd, .events = POLLRDHUP};
	int			saved_errno = errno;
	bool		gone;

	gone = poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLERR | POLLHUP | POLLNVAL)) != 0;
	errno = saved_errno;
	return gone;
}

int
scim_http_quiesce(ScimHttpServer *server)
{
	if (!server->closing)
	{
		ScimHttpRequest *following;

		/* whoever has connected already is let in, and what was sent is read */
		(void) scim_http_turn(server);
		server->closing = true;
		(void) MHD_quiesce_daemon(server->daemon);
		for (ScimHttpRequest *c = server->first; c != NULL; c = following)
		{
			following = c->next;
			if (c->phase == PHASE_IDLE)
				scim_connection_cut(c);
		}
	}
	return (int) server->nconnections;
}

void
scim_http_stop(ScimHttpServer *server)
{
	ScimHttpRequest *c;
	ScimHttpRequest *following;

	/* the library aborts the process when connections are still suspended */
	(void) scim_http_quiesce(server);
	for (c = server->first; c != NULL; c = following)
	{
		following = c->next;
		if (c->phase == PHASE_QUEUED || c->phase == PHASE_SERVING)
		{
			(void) queue_error(c, 503, "The server is stopping.", 1);
			MHD_resume_connection(c->mhd);
		}
		else if (c->phase == PHASE_HELD)
		{
			scim_connection_cut(c);
			MHD_resume_connection(c->mhd);
		}
	}
	server->queue_first = server->queue_last = server->held = NULL;
	(void) scim_http_turn(server);
	MHD_stop_daemon(server->daemon);
	scim_linger_close(&server->lingers);
	free(server);
}
