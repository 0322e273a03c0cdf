/*
 * worker_listener_linger.c
 *		Sockets that are closed only after their rest has been read (RFC 9112
 *		9.6).
 *
 * A socket that is closed with unread input sends a reset, which can overtake
 * the answer: a client that is still sending a body when it is refused would
 * see a broken connection instead of 413.  So a duplicate is kept, and what
 * arrives is thrown away, for a bounded time and number of bytes.
 */
#ifdef POSTGRES_H
#error "worker_listener_linger.c must not use the server's API"
#endif

#ifndef _GNU_SOURCE
#define _GNU_SOURCE				/* F_DUPFD_CLOEXEC */
#endif

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "worker_listener_linger.h"

#define LINGER_MS 1000
#define LINGER_BYTES ((size_t) 8 * 1024 * 1024)

/* Reads of one socket in one turn. */
#define MAX_READS 16

void
scim_linger_add(ScimLingers *lingers, int fd, int64_t now)
{
	int			copy;

	if (lingers->n >= SCIM_LINGER_MAX)
		return;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (copy < 0)
		return;
	(void) shutdown(copy, SHUT_WR);
	lingers->sockets[lingers->n].fd = copy;
	lingers->sockets[lingers->n].until = now + LINGER_MS;
	lingers->sockets[lingers->n].left = LINGER_BYTES;
	lingers->n++;
}

void
scim_linger_poll(ScimLingers *lingers, int64_t now)
{
	char		waste[65536];
	int			kept = 0;

	for (int i = 0; i < lingers->n; i++)
	{
		bool		done = now >= lingers->sockets[i].until;

		for (int reads = 0; !done && reads < MAX_READS; reads++)
		{
			ssize_t		n = recv(lingers->sockets[i].fd, waste, sizeof(waste), MSG_DONTWAIT);

			if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
				break;
			done = n <= 0 || (size_t) n >= lingers->sockets[i].left;
			if (!done)
				lingers->sockets[i].left -= (size_t) n;
		}
		if (done)
			close(lingers->sockets[i].fd);
		else
			lingers->sockets[kept++] = lingers->sockets[i];
	}
	lingers->n = kept;
}

void
scim_linger_close(ScimLingers *lingers)
{
	for (int i = 0; i < lingers->n; i++)
		close(lingers->sockets[i].fd);
	lingers->n = 0;
}
