/*
 * core_text.h
 *		A text that grows: what the printers of core write to.
 */
#ifndef SCIM_CORE_TEXT_H
#define SCIM_CORE_TEXT_H

#include "core_shim.h"

/* All zero to begin with. */
typedef struct ScimText
{
	char	   *data;			/* NUL-terminated; NULL: nothing yet */
	size_t		len;
	size_t		size;
	bool		failed;			/* memory is out: data is incomplete */
} ScimText;

/* Append "n" bytes; nothing happens once the text has failed. */
extern void scim_text_put(ScimText *text, const char *s, size_t n);

/* The same in quotes, with the escapes that JSON demands. */
extern void scim_text_put_string(ScimText *text, const char *s, size_t n);

#endif							/* SCIM_CORE_TEXT_H */
