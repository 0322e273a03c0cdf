/*
 * core_json.c
 *		jansson's values: members by name, and text (see core_json.h).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core_json.h"
#include "core_text.h"

static char
ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char) (c + ('a' - 'A')) : c;
}

bool
scim_name_eq(const char *a, size_t alen, const char *b)
{
	if (strlen(b) != alen)
		return false;
	/* nearly all are written as they should be */
	if (memcmp(a, b, alen) == 0)
		return true;
	for (size_t i = 0; i < alen; i++)
		if (ascii_lower(a[i]) != ascii_lower(b[i]))
			return false;
	return true;
}

int
scim_name_compare(const char *a, const char *b)
{
	for (; *a && ascii_lower(*a) == ascii_lower(*b); a++, b++)
		;
	return (unsigned char) ascii_lower(*a) - (unsigned char) ascii_lower(*b);
}

json_t *
scim_json_object(void)
{
	ScimCoreFrame frame;
	json_t	   *object;

	scim_core_enter(&frame);
	object = json_pack("{}");
	scim_core_leave(&frame);
	return object;
}

json_t *
scim_json_get(const json_t *object, const char *name, const char **key)
{
	size_t		len = strlen(name);
	void	   *iter;
	json_t	   *value = json_object_get(object, name);

	if (value != NULL)
	{
		if (key)
			*key = name;
		return value;
	}
	for (iter = json_object_iter((json_t *) object); iter; iter = json_object_iter_next((json_t *) object, iter))
		if (scim_name_eq(name, len, json_object_iter_key(iter)))
		{
			if (key)
				*key = json_object_iter_key(iter);
			return json_object_iter_value(iter);
		}
	return NULL;
}

static bool
unassigned(const json_t *value, int depth)
{
	void	   *iter;

	if (value == NULL || json_is_null(value))
		return true;
	if (json_is_array(value))
		return json_array_size(value) == 0;
	if (!json_is_object(value))
		return false;
	for (iter = json_object_iter((json_t *) value); iter; iter = json_object_iter_next((json_t *) value, iter))
		if (depth >= SCIM_JSON_MAX_DEPTH || !unassigned(json_object_iter_value(iter), depth + 1))
			return false;
	return true;
}

bool
scim_json_unassigned(const json_t *value)
{
	return unassigned(value, 0);
}

/* ---- printing ---- */

/* The shortest text that reads back as the same double. */
static void
put_real(ScimText *out, double value)
{
	char		buf[40];

	if (value == 0)
		value = 0;				/* not -0, which reads back as an integer without a sign */
	for (int digits = 15; digits <= 17; digits++)
	{
		snprintf(buf, sizeof(buf), "%.*g", digits, value);
		if (strtod(buf, NULL) == value)
			break;
	}
	scim_text_put(out, buf, strlen(buf));
}

static void
put_value(ScimText *out, const json_t *value, int depth)
{
	char		buf[32];
	void	   *iter;
	bool		first = true;

	if (depth > 2 * SCIM_JSON_MAX_DEPTH)
	{
		out->failed = true;
		return;
	}
	switch (json_typeof(value))
	{
		case JSON_STRING:
			scim_text_put_string(out, json_string_value(value), json_string_length(value));
			break;
		case JSON_INTEGER:
			snprintf(buf, sizeof(buf), "%lld", (long long) json_integer_value(value));
			scim_text_put(out, buf, strlen(buf));
			break;
		case JSON_REAL:
			put_real(out, json_real_value(value));
			break;
		case JSON_TRUE:
			scim_text_put(out, "true", 4);
			break;
		case JSON_FALSE:
			scim_text_put(out, "false", 5);
			break;
		case JSON_NULL:
			scim_text_put(out, "null", 4);
			break;
		case JSON_ARRAY:
			scim_text_put(out, "[", 1);
			for (size_t i = 0; i < json_array_size(value); i++)
			{
				if (i > 0)
					scim_text_put(out, ",", 1);
				put_value(out, json_array_get(value, i), depth + 1);
			}
			scim_text_put(out, "]", 1);
			break;
		case JSON_OBJECT:
			scim_text_put(out, "{", 1);
			for (iter = json_object_iter((json_t *) value); iter; iter = json_object_iter_next((json_t *) value, iter))
			{
				if (!first)
					scim_text_put(out, ",", 1);
				first = false;
				scim_text_put_string(out, json_object_iter_key(iter), strlen(json_object_iter_key(iter)));
				scim_text_put(out, ":", 1);
				put_value(out, json_object_iter_value(iter), depth + 1);
			}
			scim_text_put(out, "}", 1);
			break;
	}
}

char *
scim_json_print(const json_t *value, size_t *len)
{
	ScimCoreFrame frame;
	ScimText	out;

	memset(&out, 0, sizeof(out));
	scim_core_enter(&frame);
	put_value(&out, value, 0);
	scim_core_leave(&frame);
	if (out.failed)
		return NULL;
	if (len)
		*len = out.len;
	return out.data;
}
