/*
 * worker_listener_pem.c
 *		The files of the listener's certificate and key.
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/fd.h"

#include "worker_internal.h"

#define MAX_TLS_FILE (1024 * 1024)

/*
 * Contents of a PEM file, in the current context; NULL: "note" says why not.
 */
char *
scim_listener_read_pem(const char *path, bool is_key, char *note)
{
	struct stat st;
	int			fd = OpenTransientFile(path, O_RDONLY);
	char	   *text = NULL;
	ssize_t		n = 0;

	if (fd < 0)
		snprintf(note, WORKER_NOTE_LEN, "could not open the TLS %s file: %s", is_key ? "key" : "certificate", strerror(errno));
	else if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > MAX_TLS_FILE)
		snprintf(note, WORKER_NOTE_LEN, "the TLS %s file is not a regular file of at most %d kB",
				 is_key ? "key" : "certificate", MAX_TLS_FILE / 1024);
	else if (is_key && ((st.st_uid == geteuid() && (st.st_mode & (S_IRWXG | S_IRWXO)) != 0) ||
						(st.st_mode & (S_IWGRP | S_IXGRP | S_IRWXO)) != 0))
		snprintf(note, WORKER_NOTE_LEN, "the TLS key file has group or world access (0600, or 0640 if owned by root)");
	else
	{
		text = palloc(st.st_size + 1);
		while (n < st.st_size)
		{
			ssize_t		got = read(fd, text + n, st.st_size - n);

			if (got <= 0)
				break;
			n += got;
		}
		text[n] = '\0';
	}
	if (fd >= 0)
		CloseTransientFile(fd);
	return text;
}
