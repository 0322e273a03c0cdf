/*
 * worker_listener_connection.h
 *		Connections of the listener: for worker_listener_mhd.c only.  Plain C.
 */
#ifndef SCIM_WORKER_LISTENER_CONNECTION_H
#define SCIM_WORKER_LISTENER_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker_listener_guard.h"
#include "worker_listener_limit.h"
#include "worker_listener_linger.h"
#include "worker_listener_mhd.h"

#define NEVER INT64_MAX

struct MHD_Connection;
struct MHD_Daemon;

typedef enum Phase
{
	PHASE_HEAD,					/* from the first connect, or the request line */
	PHASE_BODY,
	PHASE_QUEUED,				/* complete, suspended, not yet taken */
	PHASE_SERVING,				/* taken by the loop */
	PHASE_HELD,					/* answered, suspended until the answer may be sent */
	PHASE_WRITE,				/* answer handed over */
	PHASE_IDLE,					/* between requests */
	PHASE_CUT					/* shut down, the library has yet to notice */
} Phase;

struct ScimHttpRequest
{
	ScimHttpServer *server;
	struct MHD_Connection *mhd;
	int			fd;
	struct ScimHttpRequest *prev;	/* all connections, oldest phase first */
	struct ScimHttpRequest *next;
	struct ScimHttpRequest *queue_next; /* PHASE_QUEUED, PHASE_HELD */
	Phase		phase;
	int64_t		phase_at;		/* when the phase began, ms */
	int64_t		request_at;		/* when the request began, ms */
	unsigned	requests;		/* on this connection */
	ScimAddress address;
	bool		trusted;		/* a request on it was authenticated */
	bool		linger;			/* refused before everything was read */
	/* the request */
	bool		checked;		/* the guard has seen the head */
	char	   *target;			/* raw, malloc'ed; NULL if too long */
	size_t		target_len;
	const char *raw;			/* the library's target, until on_head */
	const char *method;			/* the library's, until the answer is sent */
	ScimGuard	guard;
	char	   *body;			/* malloc'ed */
	size_t		body_len;
	size_t		body_size;		/* allocated */
	size_t		overrun;		/* bytes above the limit that were dropped */
};

struct ScimHttpServer
{
	struct MHD_Daemon *daemon;
	ScimHttpConfig config;		/* texts are not kept */
	bool		tls;
	int			in_place;		/* what the layout of a head tells (head_layout) */
	bool		closing;		/* no new connections, every answer closes */
	int			epoll_fd;
	unsigned	nconnections;
	ScimHttpRequest *first;		/* oldest phase */
	ScimHttpRequest *last;
	ScimHttpRequest *queue_first;
	ScimHttpRequest *queue_last;
	ScimHttpRequest *held;		/* latest first */
	int64_t		next_scan;		/* earliest moment at which one can be late */
	ScimLingers lingers;
	ScimLimit	limit;			/* failed authentications */
	char		message[256];	/* the library's last complaint */
};

static inline int64_t
earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* ms; only goes forward. */
extern int64_t scim_http_now(void);

/* A new connection, whose phase has begun; and one that is closed. */
extern void scim_connection_add(ScimHttpRequest *c);
extern void scim_connection_remove(ScimHttpRequest *c);

/* A phase begins, now. */
extern void scim_connection_enter(ScimHttpRequest *c, Phase phase);

/*
 * End a connection.  The library finds out by the event on its socket; it must
 * not be suspended.
 */
extern void scim_connection_cut(ScimHttpRequest *c);

/* End those that are late, and note when the next can be. */
extern void scim_connections_cut_late(ScimHttpServer *server, int64_t now);

/*
 * Make room for a new connection: the one that has been idle or incomplete for
 * longest and was never authenticated, else the one that is idle for longest.
 * False: there is none.
 */
extern bool scim_connections_shed(ScimHttpServer *server, const ScimHttpRequest *newcomer);

#endif							/* SCIM_WORKER_LISTENER_CONNECTION_H */
