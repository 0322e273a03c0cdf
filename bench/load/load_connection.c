/*
 * load_connection.c
 *		Servers, connections to them, and requests on their way.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "load.h"

static LoadTarget **targets;
static int	target_count;
static LoadBuffer body;

/* ---- targets ---- */

static void
resolve(LoadTarget *target, const char *port)
{
	struct addrinfo hints = {0};
	struct addrinfo *found;
	int			rc;

	hints.ai_socktype = SOCK_STREAM;
	rc = getaddrinfo(target->name, port, &hints, &found);
	if (rc != 0)
		load_fatal("%s: %s", target->name, gai_strerror(rc));
	memcpy(&target->address, found->ai_addr, found->ai_addrlen);
	target->address_len = found->ai_addrlen;
	freeaddrinfo(found);
}

/*
 * The server that a URL names, with its connections, none of which is open.
 */
LoadTarget *
load_target(const char *url)
{
	LoadTarget *target;
	const char *rest;
	char	   *port;
	size_t		len;

	for (int i = 0; i < target_count; i++)
	{
		if (strcmp(targets[i]->url, url) == 0)
			return targets[i];
	}
	targets = realloc(targets, (target_count + 1) * sizeof(LoadTarget *));
	if (targets == NULL)
		load_fatal("out of memory");
	target = targets[target_count++] = load_allocate(sizeof(LoadTarget));
	target->url = load_copy_text(url);

	target->tls = strncmp(url, "https://", 8) == 0;
	if (!target->tls && strncmp(url, "http://", 7) != 0)
		load_fatal("\"%s\": a URL begins with http:// or https://", url);
	rest = url + (target->tls ? 8 : 7);
	len = strcspn(rest, "/");
	target->host = load_copy_text(rest);
	target->host[len] = '\0';
	target->base = load_copy_text(rest + len);
	for (len = strlen(target->base); len > 0 && target->base[len - 1] == '/'; len--)
		target->base[len - 1] = '\0';

	target->name = load_copy_text(target->host);
	port = strrchr(target->name, ':');
	if (port != NULL && strchr(port, ']') == NULL)
		*port++ = '\0';
	else
		port = NULL;
	if (*target->name == '[')
	{
		target->name++;
		target->name[strcspn(target->name, "]")] = '\0';
	}
	resolve(target, port != NULL ? port : target->tls ? "443" : "80");

	target->connections = load_allocate(load_run.connections * sizeof(LoadConnection));
	target->idle = load_allocate(load_run.connections * sizeof(LoadConnection *));
	target->idle_count = load_run.connections;
	for (int i = 0; i < load_run.connections; i++)
	{
		target->connections[i].target = target;
		target->connections[i].index = i;
		target->connections[i].fd = -1;
		target->idle[i] = &target->connections[i];
	}
	return target;
}

/*
 * The connection that has been idle for longest.  There is one: no target has
 * fewer than requests may be under way.
 */
LoadConnection *
load_take_idle(LoadTarget *target)
{
	LoadConnection *c = target->idle[target->first_idle];

	target->first_idle = (target->first_idle + 1) % load_run.connections;
	target->idle_count--;
	return c;
}

static void
put_idle(LoadConnection *c)
{
	LoadTarget *target = c->target;

	target->idle[(target->first_idle + target->idle_count++) % load_run.connections] = c;
	load_run.in_flight--;
}

/* ---- connections ---- */

static void
watch(LoadConnection *c, bool writable, int operation)
{
	struct epoll_event event = {0};

	event.events = EPOLLIN | (writable ? EPOLLOUT : 0);
	event.data.ptr = c;
	if (epoll_ctl(load_run.epoll, operation, c->fd, &event) != 0)
		load_fatal("epoll_ctl: %s", strerror(errno));
	c->writable_wanted = writable;
}

static void
want_writable(LoadConnection *c, bool writable)
{
	if (c->writable_wanted != writable)
		watch(c, writable, EPOLL_CTL_MOD);
}

static bool
under_way(const LoadConnection *c)
{
	return c->state == LOAD_SENDING || c->state == LOAD_READING;
}

static void
close_connection(LoadConnection *c)
{
	bool		was_under_way = under_way(c);

	load_tls_close(c);
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->state = LOAD_CLOSED;
	if (was_under_way)
		put_idle(c);
}

/*
 * Begin to open a connection.  A server that does not even let us begin is the
 * end of the run: there would be nothing but errors, at full speed.
 */
static void
open_connection(LoadConnection *c)
{
	const LoadTarget *target = c->target;
	int			one = 1;

	c->fd = socket(target->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		load_fatal("socket: %s", strerror(errno));
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(c->fd, (const struct sockaddr *) &target->address, target->address_len) != 0 && errno != EINPROGRESS)
		load_fatal("connect: %s", strerror(errno));
	c->first = true;
	load_run.opened++;
	watch(c, true, EPOLL_CTL_ADD);
	if (target->tls)
		load_tls_open(c);
}

/*
 * The request has come to nothing: count it and give up the connection.
 */
static void
fail_connection(LoadConnection *c, const char *what)
{
	load_error("%s: %s (request %llu)", c->scenario->name, what, (unsigned long long) c->number);
	close_connection(c);
}

/*
 * Bytes sent or received, or -1: later, or never if "wrong" says so.
 */
static ssize_t
send_bytes(LoadConnection *c, const char *data, size_t len, const char **wrong)
{
	ssize_t		n;

	if (c->tls != NULL)
		return load_tls_send(c, data, len, wrong);
	n = send(c->fd, data, len, MSG_NOSIGNAL);
	*wrong = n >= 0 || errno == EAGAIN || errno == EINTR ? NULL : strerror(errno);
	return n;
}

static ssize_t
receive_bytes(LoadConnection *c, char *data, size_t size, const char **wrong)
{
	ssize_t		n;

	if (c->tls != NULL)
		return load_tls_receive(c, data, size, wrong);
	n = recv(c->fd, data, size, 0);
	*wrong = n >= 0 || errno == EAGAIN || errno == EINTR ? NULL : strerror(errno);
	return n;
}

static void
send_request(LoadConnection *c)
{
	const char *wrong;

	if (c->tls != NULL && !c->handshaken)
	{
		int			rc = load_tls_handshake(c, &wrong);

		if (wrong != NULL)
		{
			fail_connection(c, wrong);
			return;
		}
		if (rc != 0)
		{
			want_writable(c, rc == 1);
			return;
		}
	}
	while (c->sent < c->out.len)
	{
		ssize_t		n = send_bytes(c, c->out.data + c->sent, c->out.len - c->sent, &wrong);

		if (wrong != NULL)
		{
			fail_connection(c, wrong);
			return;
		}
		if (n < 0)
		{
			want_writable(c, true);
			return;
		}
		c->sent += n;
	}
	c->state = LOAD_READING;
	want_writable(c, false);
}

/*
 * Make the scenario's next request and send as much of it as the socket takes.
 */
void
load_start_request(LoadConnection *c, LoadScenario *scenario, int64_t due)
{
	char		length[64];
	uint64_t	pick = 0;

	if (scenario->row_count > 0)
	{
		switch (scenario->order)
		{
			case LOAD_ORDER_RANDOM:
				load_run.random ^= load_run.random >> 12;
				load_run.random ^= load_run.random << 25;
				load_run.random ^= load_run.random >> 27;
				pick = load_run.random * UINT64_C(2685821657736338717);
				break;
			case LOAD_ORDER_GIVEN:
				pick = scenario->issued;
				break;
			case LOAD_ORDER_WALK:
				pick = scenario->row_count * c->index / load_run.connections + c->walked++;
				break;
		}
		c->row = scenario->rows[pick % scenario->row_count];
	}
	c->scenario = scenario;
	c->number = load_run.issued++;
	scenario->issued++;
	c->due = due;
	c->sent = 0;
	c->head_len = 0;
	c->in.len = 0;

	body.len = 0;
	if (scenario->has_body)
		load_render(&body, &scenario->body, c);
	c->out.len = 0;
	load_append_text(&c->out, scenario->method);
	load_append_text(&c->out, " ");
	load_append_text(&c->out, c->target->base);
	load_render(&c->out, &scenario->path, c);
	load_append_text(&c->out, " HTTP/1.1\r\nHost: ");
	load_append_text(&c->out, c->target->host);
	if (scenario->token != NULL)
	{
		load_append_text(&c->out, "\r\nAuthorization: Bearer ");
		load_append_text(&c->out, scenario->token);
	}
	for (int i = 0; i < scenario->header_count; i++)
	{
		load_append_text(&c->out, "\r\n");
		load_append_text(&c->out, scenario->headers[i]);
	}
	if (scenario->has_body)
		snprintf(length, sizeof(length), "\r\nContent-Length: %zu\r\n\r\n", body.len);
	else
		strcpy(length, "\r\n\r\n");
	load_append_text(&c->out, length);
	if (scenario->has_body)
		load_append(&c->out, body.data, body.len);

	load_run.in_flight++;
	if (c->state == LOAD_CLOSED)
	{
		c->state = LOAD_SENDING;
		open_connection(c);
		return;					/* epoll tells when it is open */
	}
	c->state = LOAD_SENDING;
	send_request(c);
}

static void
receive_answer(LoadConnection *c)
{
	for (;;)
	{
		const char *wrong;
		bool		complete;
		ssize_t		n;

		load_reserve(&c->in, 16384);
		n = receive_bytes(c, c->in.data + c->in.len, c->in.size - c->in.len - 1, &wrong);
		if (n < 0 && wrong == NULL)
			return;
		if (c->state != LOAD_READING)
		{
			/* between two requests the server may close, as we may; but an answer
			 * that waits for no request, such as 408, is an error */
			if (n > 0)
				load_error("an answer came that nobody had asked for");
			close_connection(c);
			return;
		}
		if (n == 0)
			wrong = "the server closed the connection before its answer was complete";
		if (wrong == NULL)
		{
			c->in.len += n;
			wrong = load_read_answer(c, &complete);
		}
		if (wrong != NULL)
		{
			fail_connection(c, wrong);
			return;
		}
		if (complete)
		{
			load_finish_answer(c);
			if (c->last)
				close_connection(c);
			else
			{
				c->state = LOAD_IDLE;
				put_idle(c);
			}
			return;
		}
	}
}

/*
 * Something has happened to a connection's socket.
 */
void
load_serve_event(LoadConnection *c, uint32_t events)
{
	bool		broken = (events & (EPOLLERR | EPOLLHUP)) != 0;

	if (c->state == LOAD_SENDING)
	{
		if ((events & EPOLLOUT) || broken || (c->tls != NULL && !c->handshaken))
			send_request(c);
	}
	else if (c->fd >= 0 && ((events & EPOLLIN) || broken))
		receive_answer(c);
}

/*
 * Is any request under way?  Those that have been for too long are given up.
 */
bool
load_any_under_way(int64_t timeout)
{
	int64_t		t = load_now();
	bool		any = false;

	for (int i = 0; i < target_count; i++)
	{
		for (int j = 0; j < load_run.connections; j++)
		{
			LoadConnection *c = &targets[i]->connections[j];

			if (!under_way(c))
				continue;
			if (t - c->due > timeout)
				fail_connection(c, "no answer in time");
			else
				any = true;
		}
	}
	return any;
}

void
load_close_all(void)
{
	for (int i = 0; i < target_count; i++)
	{
		for (int j = 0; j < load_run.connections; j++)
			close_connection(&targets[i]->connections[j]);
	}
}
