/*
 * worker_listener_linger.h
 *		Sockets that are closed only after their rest has been read.  Plain C.
 */
#ifndef SCIM_WORKER_LISTENER_LINGER_H
#define SCIM_WORKER_LISTENER_LINGER_H

#include <stddef.h>
#include <stdint.h>

#define SCIM_LINGER_MAX 64

typedef struct ScimLingers
{
	int			n;
	struct
	{
		int			fd;
		int64_t		until;		/* ms */
		size_t		left;		/* bytes */
	}			sockets[SCIM_LINGER_MAX];
} ScimLingers;

/* Keep a duplicate of "fd", which its owner is about to close. */
extern void scim_linger_add(ScimLingers *lingers, int fd, int64_t now);
/* Read what has come; call it every SCIM_LINGER_POLL_MS while there are any. */
extern void scim_linger_poll(ScimLingers *lingers, int64_t now);
extern void scim_linger_close(ScimLingers *lingers);

#define SCIM_LINGER_POLL_MS 20

#endif							/* SCIM_WORKER_LISTENER_LINGER_H */
