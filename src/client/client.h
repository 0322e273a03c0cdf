/*
 * client.h
 *		HTTP requests to other services: requests in, responses out, as plain C
 *		values.  Everything of libcurl is behind this header; nothing here
 *		raises, blocks, or uses the server's memory.
 *
 * Life of a request: scim_client_start() copies it; the caller waits until
 * scim_client_fd() is readable or scim_client_timeout() has passed, calls
 * scim_client_turn(), and takes what has finished from scim_client_next().
 * The rules that every request is under (threat-and-fault-model C1 to C4) are
 * in client_option.c and client_address.c; no caller can loosen them.
 */
#ifndef SCIM_CLIENT_H
#define SCIM_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

typedef struct ScimClient ScimClient;

typedef enum ScimTransfer
{
	SCIM_TRANSFER_ANSWERED,		/* a whole answer, of whatever status */
	SCIM_TRANSFER_NOT_SENT,		/* DNS, connect, TLS: no byte of the request went out */
	SCIM_TRANSFER_AMBIGUOUS,	/* sent wholly or partly, no whole answer */
	SCIM_TRANSFER_REFUSED,		/* by our own rules: scheme, address, header value; nothing sent */
	SCIM_TRANSFER_TOO_LARGE		/* answer over max_body (or its head over 64 KiB); status is set */
} ScimTransfer;

typedef struct ScimClientTarget
{
	const char *base_url;		/* no slash at the end */
	const char *token;			/* or NULL */
	const char *scheme;			/* of the token: "Basic"; NULL: "Bearer" */
	const char *ca_file;		/* PEM, trusted instead of the system's, or NULL */
	const char *allowed;		/* text of scim.allowed_targets, or NULL */
	const char *content_type;	/* of request bodies */
	const char *accept;
	bool		http2;			/* by https, if libcurl and the target have it */
	int			connect_ms;
	int			total_ms;		/* also while it waits for a connection */
	int			max_connections;	/* to one host, of this client; 0: no limit */
} ScimClientTarget;

typedef struct ScimClientRequest
{
	const char *method;			/* GET, POST, PUT, PATCH, DELETE */
	const char *path;			/* below base_url, percent-encoded, begins with '/'; may have a query */
	const char *body;			/* or NULL */
	size_t		body_len;
	size_t		max_body;		/* largest decoded body of the answer, bytes */
} ScimClientRequest;

/*
 * Header values are printable ASCII, at most 1,024 bytes, NULL if absent (or
 * not like that).  The body is whatever came: check that it is UTF-8 without
 * NUL before it goes anywhere.
 */
typedef struct ScimClientResponse
{
	void	   *tag;			/* the caller's */
	ScimTransfer outcome;
	int			status;			/* 0: no answer began */
	char		detail[256];	/* what went wrong, printable ASCII; never the token */
	char	   *body;			/* NUL-terminated; "" if none; not set (NULL) unless ANSWERED */
	size_t		body_len;
	char	   *content_type;
	char	   *location;
	char	   *etag;
	char	   *retry_after;
	char	   *rate_limit;		/* X-RateLimit-Limit, X-Rate-Limit-Limit, RateLimit-Limit */
	char	   *rate_remaining;
	char	   *rate_reset;
	char	   *date;
	double		ms;				/* from start to end */
} ScimClientResponse;

/* NULL: out of memory or descriptors.  Not to be called in the postmaster. */
extern ScimClient *scim_client_create(void);
extern void scim_client_destroy(ScimClient *client);	/* with all that is in it */

extern int	scim_client_fd(const ScimClient *client);	/* wait on it for reading */
extern long scim_client_timeout(const ScimClient *client);	/* ms until a turn is due; -1: none */

/*
 * Begin a request.  False: out of memory, and nothing has begun.  A request
 * that breaks a rule finishes as REFUSED.  Wait and timeout have to be asked
 * for anew afterwards.
 */
extern bool scim_client_start(ScimClient *client, const ScimClientTarget *target,
							  const ScimClientRequest *request, void *tag);
extern void scim_client_turn(ScimClient *client);	/* never blocks */

/* A finished one, to be released, or NULL. */
extern ScimClientResponse *scim_client_next(ScimClient *client);
extern void scim_client_release(ScimClientResponse *response);

/* Started and not yet returned by scim_client_next(). */
extern int	scim_client_in_flight(const ScimClient *client);

/* Forget requests: no response will come. */
extern void scim_client_cancel(ScimClient *client, const void *tag);
extern void scim_client_cancel_all(ScimClient *client);

/* An HTTP date as seconds since 1970; -1: it is none. */
extern long long scim_client_date(const char *text);

/*
 * Percent-encode a path segment or a query value: all but unreserved
 * characters.  malloc'ed, to be freed with free(); NULL: out of memory.
 */
extern char *scim_client_encode(const char *text);

#endif							/* SCIM_CLIENT_H */
