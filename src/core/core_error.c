/*
 * core_error.c
 *		Filling error values (see core_error.h).
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core_error.h"
#include "core_fold.h"

static const char no_memory[] = "the request needs more memory than it may use";

/* Cut an over-long detail before the character that does not fit whole. */
static void
cut_at_character(char *s, size_t len)
{
	size_t		end = len;

	while (end > 0 && ((unsigned char) s[end - 1] & 0xC0) == 0x80)
		end--;
	if (end > 0 && (unsigned char) s[end - 1] >= 0xC0)
		end--;
	s[end] = '\0';
}

static void fill(ScimError *err, int status, const char *scim_type, int position,
				 const char *fmt, va_list args)
			__attribute__((format(printf, 5, 0)));

static void
fill(ScimError *err, int status, const char *scim_type, int position, const char *fmt, va_list args)
{
	char		suffix[40] = "";
	size_t		room;
	size_t		bad;
	int			n;

	if (err->status != 0)
		return;
	/* What is said about a request after that is no fact. */
	if (scim_alloc_failed())
	{
		status = 413;
		scim_type = NULL;
		position = -1;
		fmt = no_memory;
	}
	err->status = status;
	err->scim_type = scim_type;
	err->position = position;
	if (position >= 0)
		snprintf(suffix, sizeof(suffix), " (at position %d)", position);
	room = sizeof(err->detail) - strlen(suffix);
	n = vsnprintf(err->detail, room, fmt, args);
	if (n >= (int) room)
		cut_at_character(err->detail, room - 1);
	/* "%.100s" may have cut a character in two */
	while (!scim_utf8_valid(err->detail, strlen(err->detail), &bad))
		err->detail[bad] = '?';
	strcat(err->detail, suffix);
}

bool
scim_fail(ScimError *err, int status, const char *scim_type, const char *fmt,...)
{
	va_list		args;

	va_start(args, fmt);
	fill(err, status, scim_type, -1, fmt, args);
	va_end(args);
	return false;
}

bool
scim_fail_at(ScimError *err, int status, const char *scim_type, int position, const char *fmt,...)
{
	va_list		args;

	va_start(args, fmt);
	fill(err, status, scim_type, position, fmt, args);
	va_end(args);
	return false;
}

bool
scim_fail_memory(ScimError *err)
{
	return scim_fail(err, 413, NULL, no_memory);
}
