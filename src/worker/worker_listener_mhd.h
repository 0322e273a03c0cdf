/*
 * worker_listener_mhd.h
 *		Between the worker's loop (PostgreSQL) and libmicrohttpd: plain C
 *		structs and values, seen by both sides.  Nothing here raises.
 */
#ifndef SCIM_WORKER_LISTENER_MHD_H
#define SCIM_WORKER_LISTENER_MHD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ScimHttpServer ScimHttpServer;
typedef struct ScimHttpRequest ScimHttpRequest;

/* What may change while connections are open. */
typedef struct ScimHttpLimits
{
	unsigned	max_keepalive_requests;
	unsigned	max_auth_failures;	/* of one address in 10 s; 0: no limit */
	size_t		max_body;		/* bytes; over it 413 */
	int			head_timeout_ms;
	int			body_timeout_ms;
	int			request_timeout_ms;
	int			idle_timeout_ms;
	int			write_timeout_ms;
} ScimHttpLimits;

typedef struct ScimHttpConfig
{
	int			listen_fd;		/* bound, listening, non-blocking; owned by the caller */
	const char *tls_cert;		/* PEM text, or NULL: plain HTTP */
	const char *tls_key;
	unsigned	max_connections;
	unsigned	max_connections_per_address;	/* 0: no limit */
	size_t		max_head;		/* bytes; 431 */
	size_t		max_url;		/* bytes; 414 */
	ScimHttpLimits limits;
} ScimHttpConfig;

/* What a complete, checked request holds; valid until it is answered. */
typedef struct ScimHttpView
{
	const char *method;
	const char *path;			/* raw */
	const char *query;			/* raw, or NULL */
	const char *authorization;
	const char *content_type;
	const char *accept;
	const char *if_match;
	const char *if_none_match;
	const char *prefer;
	const char *body;
	size_t		body_len;
} ScimHttpView;

typedef struct ScimHttpReply
{
	int			status;
	const char *const *headers;	/* name, value, name, value, ..., NULL; copied */
	const char *body;			/* copied */
	size_t		body_len;
	bool		close;			/* Connection: close after it */
	bool		hold;			/* keep it back until scim_http_release */
} ScimHttpReply;

/* NULL and a message in "err" on failure. */
extern ScimHttpServer *scim_http_start(const ScimHttpConfig *config, char *err, size_t errlen);
extern void scim_http_set_limits(ScimHttpServer *server, const ScimHttpLimits *limits);
extern int	scim_http_epoll_fd(const ScimHttpServer *server);

/* One turn: accept, read, write, deadlines.  Returns milliseconds until it
 * must be called again even without an event (-1: no need). */
extern int	scim_http_turn(ScimHttpServer *server);

/* Next complete request, or NULL; it stays suspended until answered. */
extern ScimHttpRequest *scim_http_next(ScimHttpServer *server, ScimHttpView *view);
extern void scim_http_answer(ScimHttpServer *server, ScimHttpRequest *request, const ScimHttpReply *reply);

/* Let go of the answers that were held back.  Without it they are never sent. */
extern void scim_http_release(ScimHttpServer *server);

/* Has the client of a request that is being served gone away? */
extern bool scim_http_client_gone(const ScimHttpRequest *request);

/*
 * Stop accepting; the listening socket is the caller's again.  What has been
 * sent by clients is served, and connections that nothing has come from yet are
 * waited for; others are closed.  Returns open connections.
 */
extern int	scim_http_quiesce(ScimHttpServer *server);
extern void scim_http_stop(ScimHttpServer *server);

#endif							/* SCIM_WORKER_LISTENER_MHD_H */
