/*
 * worker_listener_connection.c
 *		The life of a connection, and its deadlines (threat-and-fault-model H2-H5):
 *
 *	 HEAD -> BODY -> QUEUED -> SERVING -> WRITE -> IDLE -> HEAD ...
 *	   \______\________________________>  WRITE (refused by the guard; closes)
 *
 * Each phase but QUEUED and SERVING has a deadline.  The library's own timeout
 * counts from the last byte, which one byte a second defeats; so a connection
 * that is late is shut down here (shutdown(2)), and the library, which sees the
 * end of its socket, cleans up.  A queued request that is late is answered 503
 * instead of being served.
 */
#ifdef POSTGRES_H
#error "worker_listener_connection.c must not use the server's API"
#endif

#include <sys/socket.h>
#include <time.h>

#include "worker_listener_connection.h"

/* A scan of all connections for late ones happens at most this often. */
#define SCAN_INTERVAL_MS 100

int64_t
scim_http_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int64_t
deadline_of(const ScimHttpRequest *c)
{
	const ScimHttpLimits *limits = &c->server->config.limits;

	switch (c->phase)
	{
		case PHASE_HEAD:
			return earlier(c->phase_at + limits->head_timeout_ms,
						   c->request_at + limits->request_timeout_ms);
		case PHASE_BODY:
			return earlier(c->phase_at + limits->body_timeout_ms,
						   c->request_at + limits->request_timeout_ms);
		case PHASE_WRITE:
			return c->phase_at + limits->write_timeout_ms;
		case PHASE_IDLE:
			return c->phase_at + limits->idle_timeout_ms;
		case PHASE_QUEUED:
		case PHASE_SERVING:
		case PHASE_HELD:
		case PHASE_CUT:
			break;
	}
	return NEVER;
}

static void
unlink_connection(ScimHttpRequest *c)
{
	ScimHttpServer *server = c->server;

	if (c->prev != NULL)
		c->prev->next = c->next;
	else
		server->first = c->next;
	if (c->next != NULL)
		c->next->prev = c->prev;
	else
		server->last = c->prev;
	c->prev = c->next = NULL;
}

static void
append_connection(ScimHttpRequest *c)
{
	ScimHttpServer *server = c->server;

	c->prev = server->last;
	c->next = NULL;
	if (server->last != NULL)
		server->last->next = c;
	else
		server->first = c;
	server->last = c;
}

void
scim_connection_add(ScimHttpRequest *c)
{
	append_connection(c);
	c->server->nconnections++;
	c->server->next_scan = earlier(c->server->next_scan, deadline_of(c));
}

void
scim_connection_remove(ScimHttpRequest *c)
{
	unlink_connection(c);
	/* nobody is left to be late: no need to wake up for it */
	if (--c->server->nconnections == 0)
		c->server->next_scan = NEVER;
}

void
scim_connection_enter(ScimHttpRequest *c, Phase phase)
{
	c->phase = phase;
	c->phase_at = scim_http_now();
	if (c->server->last != c)
	{
		unlink_connection(c);
		append_connection(c);
	}
	c->server->next_scan = earlier(c->server->next_scan, deadline_of(c));
}

void
scim_connection_cut(ScimHttpRequest *c)
{
	if (c->phase == PHASE_CUT)
		return;
	scim_connection_enter(c, PHASE_CUT);
	(void) shutdown(c->fd, SHUT_RDWR);
}

void
scim_connections_cut_late(ScimHttpServer *server, int64_t now)
{
	int64_t		next = NEVER;
	ScimHttpRequest *following;

	for (ScimHttpRequest *c = server->first; c != NULL; c = following)
	{
		int64_t		deadline = deadline_of(c);

		following = c->next;
		if (deadline <= now)
			scim_connection_cut(c);
		else
			next = earlier(next, deadline);
	}
	server->next_scan = (next == NEVER || next > now + SCAN_INTERVAL_MS) ? next : now + SCAN_INTERVAL_MS;
}

bool
scim_connections_shed(ScimHttpServer *server, const ScimHttpRequest *newcomer)
{
	ScimHttpRequest *idle = NULL;

	for (ScimHttpRequest *c = server->first; c != NULL; c = c->next)
	{
		if (c == newcomer)
			continue;
		if (!c->trusted && (c->phase == PHASE_HEAD || c->phase == PHASE_BODY || c->phase == PHASE_IDLE))
		{
			scim_connection_cut(c);
			return true;
		}
		if (idle == NULL && c->phase == PHASE_IDLE)
			idle = c;
	}
	if (idle == NULL)
		return false;
	scim_connection_cut(idle);
	return true;
}
