/*
 * core_error.c
 *		Filling error values (see core_error.h).
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core_error.h"

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
	int			n;

	if (err->status != 0)
		return;
	err->status = status;
	err->scim_type = scim_type;
	err->position = position;
	n = vsnprintf(err->detail, sizeof(err->detail), fmt, args);
	if (n >= (int) sizeof(err->detail))
	{
		n = sizeof(err->detail) - 1;
		cut_at_character(err->detail, (size_t) n);
	}
	if (position >= 0)
	{
		size_t		len = strlen(err->detail);

		snprintf(err->detail + len, sizeof(err->detail) - len, " (at position %d)", position);
	}
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
	return scim_fail(err, 413, NULL, "the request needs more memory than it may use");
}
