/*
 * core_json.c
 *		jansson, guarded (see core_json.h).
 *
 * One pass over the text comes first: UTF-8, depth, tokens, lengths.  It is
 * what keeps a few bytes from asking for much (1 MB of "{}," would cost
 * jansson 71 MB), and its recursion within bounds.  The grammar itself is
 * jansson's business.
 */
#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core_fold.h"
#include "core_json.h"

/* A decimal with more digits could come back as another number. */
#define MAX_SIGNIFICANT_DIGITS 15

#define MAX_EXPONENT 100000		/* far beyond what a double can hold, and the length of a text */

static char
ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char) (c + ('a' - 'A')) : c;
}

bool
scim_name_eq(const char *a, size_t alen, const char *b)
{
	for (size_t i = 0; i < alen; i++)
		if (b[i] == '\0' || ascii_lower(a[i]) != ascii_lower(b[i]))
			return false;
	return b[alen] == '\0';
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

/* ---- the pass before parsing ---- */

/*
 * A number token: at most 15 significant digits and no smaller than a double
 * holds, unless it is an integer (whose range jansson checks, as it checks that
 * of large ones).  Sets *end behind it.
 */
static bool
scan_number(const char *text, size_t len, size_t start, size_t *end, ScimError *err)
{
	size_t		i = start;
	int			digits = 0;
	int			zeros = 0;		/* pending: trailing zeros are not significant */
	long		scale = 0;		/* decimal exponent of the first significant digit */
	long		exponent = 0;
	bool		fraction = false;
	bool		negative = false;

	i += text[i] == '-';
	for (; i < len && (text[i] == '.' || (text[i] >= '0' && text[i] <= '9')); i++)
	{
		if (text[i] == '.')
		{
			fraction = true;
			continue;
		}
		if (digits > 0 ? !fraction : (fraction && text[i] == '0'))
			scale += fraction ? -1 : 1;
		if (text[i] != '0')
		{
			/* the place that this digit holds itself */
			scale -= digits == 0 && fraction;
			digits += zeros + 1;
			zeros = 0;
		}
		else
			zeros += digits > 0;
	}
	if (i < len && (text[i] == 'e' || text[i] == 'E'))
	{
		fraction = true;
		i++;
		negative = i < len && text[i] == '-';
		i += i < len && (text[i] == '-' || text[i] == '+');
		for (; i < len && text[i] >= '0' && text[i] <= '9'; i++)
			exponent = exponent > MAX_EXPONENT ? exponent : exponent * 10 + (text[i] - '0');
	}
	*end = i;
	if (!fraction)
		return true;
	if (digits > MAX_SIGNIFICANT_DIGITS)
		return scim_fail_at(err, 400, SCIM_INVALID_VALUE, (int) start,
							"a number has more than %d significant digits", MAX_SIGNIFICANT_DIGITS);
	if (digits > 0 && scale + (negative ? -exponent : exponent) < DBL_MIN_10_EXP)
		return scim_fail_at(err, 400, SCIM_INVALID_VALUE, (int) start, "a number is out of range");
	return true;
}

/* The pass over text[start, len). */
static bool
prescan(const char *text, size_t start, size_t len, ScimError *err)
{
	size_t		i = start;
	int			depth = 0;
	long		tokens = 0;
	size_t		bad;

	if (!scim_utf8_valid(text, len, &bad))
		return scim_fail_at(err, 400, SCIM_INVALID_SYNTAX, (int) bad, "the body is not valid UTF-8");

	while (i < len)
	{
		char		c = text[i];

		if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == ',' || c == ':')
		{
			i++;
			continue;
		}
		if (++tokens > SCIM_JSON_MAX_TOKENS)
			return scim_fail_at(err, 400, SCIM_INVALID_SYNTAX, (int) i,
								"the body holds more than %d names, values and brackets", SCIM_JSON_MAX_TOKENS);
		if (c == '"')
		{
			size_t		first = i++;

			for (; i < len && text[i] != '"'; i += text[i] == '\\' ? 2 : 1)
				if (text[i] == '\\' && len - i >= 6 && memcmp(text + i + 1, "u0000", 5) == 0)
					return scim_fail_at(err, 400, SCIM_INVALID_VALUE, (int) i, "a string holds the character U+0000");
			if (i >= len)
				return scim_fail_at(err, 400, SCIM_INVALID_SYNTAX, (int) first, "a string does not end");
			if (i - first - 1 > SCIM_JSON_MAX_STRING)
				return scim_fail_at(err, 400, SCIM_INVALID_SYNTAX, (int) first,
									"a string is longer than %d bytes", SCIM_JSON_MAX_STRING);
			i++;
		}
		else if (c == '{' || c == '[')
		{
			if (++depth > SCIM_JSON_MAX_DEPTH)
				return scim_fail_at(err, 400, SCIM_INVALID_SYNTAX, (int) i,
									"the body is nested deeper than %d levels", SCIM_JSON_MAX_DEPTH);
			i++;
		}
		else if (c == '}' || c == ']')
		{
			depth--;
			i++;
		}
		else if (c == '-' || (c >= '0' && c <= '9'))
		{
			if (!scan_number(text, len, i, &i, err))
				return false;
		}
		else if (c == '\0')
			/* jansson would take it for the end of the text */
			return scim_fail_at(err, 400, SCIM_INVALID_SYNTAX, (int) i, "the body is not valid JSON");
		else
		{
			/* true, false, null, or what jansson will refuse */
			for (i++; i < len && text[i] >= 'a' && text[i] <= 'z'; i++)
				;
		}
	}
	return true;
}

/* ---- what jansson lets pass ---- */

static int
compare_names(const void *a, const void *b)
{
	const char *x = *(const char *const *) a;
	const char *y = *(const char *const *) b;

	for (; *x && ascii_lower(*x) == ascii_lower(*y); x++, y++)
		;
	return (unsigned char) ascii_lower(*x) - (unsigned char) ascii_lower(*y);
}

/* Names that differ only in case are the same attribute (RFC 7643 2.1). */
static bool
check_names(const json_t *object, ScimError *err)
{
	size_t		n = json_object_size(object);
	const char **names;
	size_t		i = 0;
	void	   *iter;

	if (n < 2)
		return true;
	names = scim_alloc(sizeof(char *) * n);
	if (names == NULL)
		return scim_fail_memory(err);
	for (iter = json_object_iter((json_t *) object); iter; iter = json_object_iter_next((json_t *) object, iter))
		names[i++] = json_object_iter_key(iter);
	qsort(names, n, sizeof(char *), compare_names);
	for (i = 1; i < n; i++)
		if (compare_names(&names[i - 1], &names[i]) == 0)
			return scim_fail(err, 400, SCIM_INVALID_SYNTAX, "an object has the same member twice");
	scim_free(names);
	return true;
}

static bool
check_tree(const json_t *value, ScimError *err)
{
	void	   *iter;

	switch (json_typeof(value))
	{
		case JSON_ARRAY:
			for (size_t i = 0; i < json_array_size(value); i++)
				if (!check_tree(json_array_get(value, i), err))
					return false;
			return true;
		case JSON_OBJECT:
			if (!check_names(value, err))
				return false;
			for (iter = json_object_iter((json_t *) value); iter; iter = json_object_iter_next((json_t *) value, iter))
				if (!check_tree(json_object_iter_value(iter), err))
					return false;
			return true;
		default:
			return true;
	}
}

/* "skipped": bytes before the text that jansson saw. */
static bool
parse_failed(const json_error_t *error, int skipped, ScimError *err)
{
	int			position = skipped + error->position;

	switch (json_error_code(error))
	{
		case json_error_out_of_memory:
			return scim_fail_memory(err);
		case json_error_numeric_overflow:
			return scim_fail_at(err, 400, SCIM_INVALID_VALUE, position, "a number is out of range");
		case json_error_duplicate_key:
			return scim_fail_at(err, 400, SCIM_INVALID_SYNTAX, position, "an object has the same member twice");
		case json_error_premature_end_of_input:
			return scim_fail_at(err, 400, SCIM_INVALID_SYNTAX, position, "the JSON text ends too early");
		case json_error_end_of_input_expected:
			return scim_fail_at(err, 400, SCIM_INVALID_SYNTAX, position, "something follows the JSON text");
		default:
			return scim_fail_at(err, 400, SCIM_INVALID_SYNTAX, position, "the body is not valid JSON");
	}
}

json_t *
scim_json_parse(const char *text, size_t len, ScimError *err)
{
	ScimCoreFrame frame;
	json_t	   *value;
	json_error_t error;
	size_t		start = 0;

	/* RFC 8259 8.1: a byte order mark may be ignored */
	if (len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
		start = 3;
	if (!prescan(text, start, len, err))
		return NULL;

	scim_core_enter(&frame);
	value = json_loadb(text + start, len - start, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	if (value == NULL)
		parse_failed(&error, (int) start, err);
	else if (scim_alloc_failed())
	{
		/* jansson's lexer drops characters it has no room for, and goes on */
		scim_fail_memory(err);
		value = NULL;
	}
	else if (!check_tree(value, err))
		value = NULL;
	scim_core_leave(&frame);
	return value;
}

/* ---- printing ---- */

typedef struct PrintBuffer
{
	char	   *data;
	size_t		len;
	size_t		size;
	bool		failed;
} PrintBuffer;

static void
put(PrintBuffer *out, const char *s, size_t n)
{
	if (out->failed)
		return;
	if (out->len + n + 1 > out->size)
	{
		size_t		size = out->size ? out->size : 256;
		char	   *data;

		while (size < out->len + n + 1)
			size *= 2;
		data = scim_realloc(out->data, size);
		if (data == NULL)
		{
			out->failed = true;
			return;
		}
		out->data = data;
		out->size = size;
	}
	memcpy(out->data + out->len, s, n);
	out->len += n;
	out->data[out->len] = '\0';
}

static void
put_string(PrintBuffer *out, const char *s, size_t n)
{
	size_t		start = 0;
	char		buf[8];

	put(out, "\"", 1);
	for (size_t i = 0; i < n; i++)
	{
		unsigned char c = (unsigned char) s[i];

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		put(out, s + start, i - start);
		start = i + 1;
		switch (c)
		{
			case '"':
				put(out, "\\\"", 2);
				break;
			case '\\':
				put(out, "\\\\", 2);
				break;
			case '\n':
				put(out, "\\n", 2);
				break;
			case '\r':
				put(out, "\\r", 2);
				break;
			case '\t':
				put(out, "\\t", 2);
				break;
			case '\b':
				put(out, "\\b", 2);
				break;
			case '\f':
				put(out, "\\f", 2);
				break;
			default:
				snprintf(buf, sizeof(buf), "\\u%04x", c);
				put(out, buf, 6);
		}
	}
	put(out, s + start, n - start);
	put(out, "\"", 1);
}

/* The shortest text that reads back as the same double. */
static void
put_real(PrintBuffer *out, double value)
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
	put(out, buf, strlen(buf));
}

static void
put_value(PrintBuffer *out, const json_t *value, int depth)
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
			put_string(out, json_string_value(value), json_string_length(value));
			break;
		case JSON_INTEGER:
			snprintf(buf, sizeof(buf), "%lld", (long long) json_integer_value(value));
			put(out, buf, strlen(buf));
			break;
		case JSON_REAL:
			put_real(out, json_real_value(value));
			break;
		case JSON_TRUE:
			put(out, "true", 4);
			break;
		case JSON_FALSE:
			put(out, "false", 5);
			break;
		case JSON_NULL:
			put(out, "null", 4);
			break;
		case JSON_ARRAY:
			put(out, "[", 1);
			for (size_t i = 0; i < json_array_size(value); i++)
			{
				if (i > 0)
					put(out, ",", 1);
				put_value(out, json_array_get(value, i), depth + 1);
			}
			put(out, "]", 1);
			break;
		case JSON_OBJECT:
			put(out, "{", 1);
			for (iter = json_object_iter((json_t *) value); iter; iter = json_object_iter_next((json_t *) value, iter))
			{
				if (!first)
					put(out, ",", 1);
				first = false;
				put_string(out, json_object_iter_key(iter), strlen(json_object_iter_key(iter)));
				put(out, ":", 1);
				put_value(out, json_object_iter_value(iter), depth + 1);
			}
			put(out, "}", 1);
			break;
	}
}

char *
scim_json_print(const json_t *value, size_t *len)
{
	ScimCoreFrame frame;
	PrintBuffer out;

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
