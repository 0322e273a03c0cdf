/*
 * core_text.c
 *		A text that grows (see core_text.h).
 */
#include <stdio.h>
#include <string.h>

#include "core_text.h"

#define FIRST_SIZE 256

void
scim_text_put(ScimText *text, const char *s, size_t n)
{
	if (text->failed)
		return;
	if (text->len + n + 1 > text->size)
	{
		size_t		size = text->size ? text->size : FIRST_SIZE;
		char	   *data;

		while (size < text->len + n + 1)
			size *= 2;
		data = scim_realloc(text->data, size);
		if (data == NULL)
		{
			text->failed = true;
			return;
		}
		text->data = data;
		text->size = size;
	}
	memcpy(text->data + text->len, s, n);
	text->len += n;
	text->data[text->len] = '\0';
}

void
scim_text_put_string(ScimText *text, const char *s, size_t n)
{
	static const char specials[] = "\"\\\b\f\n\r\t";
	static const char letters[] = "\"\\bfnrt";
	size_t		start = 0;
	char		escape[8];

	scim_text_put(text, "\"", 1);
	for (size_t i = 0; i < n; i++)
	{
		unsigned char c = (unsigned char) s[i];
		const char *special;

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		scim_text_put(text, s + start, i - start);
		start = i + 1;
		special = c ? strchr(specials, c) : NULL;
		if (special != NULL)
			snprintf(escape, sizeof(escape), "\\%c", letters[special - specials]);
		else
			snprintf(escape, sizeof(escape), "\\u%04x", c);
		scim_text_put(text, escape, strlen(escape));
	}
	scim_text_put(text, s + start, n - start);
	scim_text_put(text, "\"", 1);
}
