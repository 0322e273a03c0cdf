/*
 * core_value.c
 *		Single values: dateTime, base64, types, comparison (RFC 7643 2.3).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core_fold.h"
#include "core_value.h"

#define USEC_PER_SEC INT64_C(1000000)

/* ---- dateTime ---- */

/* Days since 1970-01-01 of a date of the proleptic Gregorian calendar. */
static int64_t
days_from_civil(int64_t y, int m, int d)
{
	int64_t		era;
	int64_t		yoe;
	int64_t		doy;

	y -= m <= 2;
	era = (y >= 0 ? y : y - 399) / 400;
	yoe = y - era * 400;
	doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static void
civil_from_days(int64_t days, int64_t *y, int *m, int *d)
{
	int64_t		era;
	int64_t		doe;
	int64_t		yoe;
	int64_t		doy;
	int64_t		mp;

	days += 719468;
	era = (days >= 0 ? days : days - 146096) / 146097;
	doe = days - era * 146097;
	yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	mp = (5 * doy + 2) / 153;
	*d = (int) (doy - (153 * mp + 2) / 5 + 1);
	*m = (int) (mp < 10 ? mp + 3 : mp - 9);
	*y = yoe + era * 400 + (*m <= 2);
}

static bool
digits(const char **p, const char *end, int n, int *value)
{
	*value = 0;
	for (int i = 0; i < n; i++, (*p)++)
	{
		if (*p >= end || **p < '0' || **p > '9')
			return false;
		*value = *value * 10 + (**p - '0');
	}
	return true;
}

static bool
literal(const char **p, const char *end, char c)
{
	if (*p >= end || **p != c)
		return false;
	(*p)++;
	return true;
}

static int
days_in_month(int y, int m)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool		leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;

	return m == 2 && leap ? 29 : days[m - 1];
}

/* "Z", "+hh:mm", "-hh:mm" or nothing; seconds east of UTC. */
static bool
parse_zone(const char **p, const char *end, int *offset)
{
	int			sign;
	int			hours;
	int			minutes;

	*offset = 0;
	if (*p == end)
		return true;
	if (literal(p, end, 'Z'))
		return *p == end;
	if (**p != '+' && **p != '-')
		return false;
	sign = **p == '+' ? 1 : -1;
	(*p)++;
	if (!digits(p, end, 2, &hours) || !literal(p, end, ':') || !digits(p, end, 2, &minutes) ||
		*p != end || minutes > 59 || hours > 14 || (hours == 14 && minutes > 0))
		return false;
	*offset = sign * (hours * 3600 + minutes * 60);
	return true;
}

bool
scim_datetime_parse(const char *text, size_t len, int64_t *usec)
{
	const char *p = text;
	const char *end = text + len;
	int			year,
				month,
				day,
				hour,
				minute,
				second,
				offset;
	int64_t		fraction = 0;

	if (!digits(&p, end, 4, &year) || !literal(&p, end, '-') ||
		!digits(&p, end, 2, &month) || !literal(&p, end, '-') ||
		!digits(&p, end, 2, &day) || !literal(&p, end, 'T') ||
		!digits(&p, end, 2, &hour) || !literal(&p, end, ':') ||
		!digits(&p, end, 2, &minute) || !literal(&p, end, ':') ||
		!digits(&p, end, 2, &second))
		return false;
	if (literal(&p, end, '.'))
	{
		int64_t		unit = USEC_PER_SEC / 10;

		if (p >= end || *p < '0' || *p > '9')
			return false;
		for (; p < end && *p >= '0' && *p <= '9'; p++, unit /= 10)
			fraction += (*p - '0') * unit;
	}
	if (!parse_zone(&p, end, &offset))
		return false;
	if (year < 1 || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) ||
		minute > 59 || second > 59 || hour > 24 ||
		(hour == 24 && (minute > 0 || second > 0 || fraction > 0)))
		return false;
	*usec = ((days_from_civil(year, month, day) * 24 + hour) * 60 + minute) * 60 + second - offset;
	*usec = *usec * USEC_PER_SEC + fraction;
	return true;
}

void
scim_datetime_print(int64_t usec, char *buf)
{
	int64_t		seconds = usec / USEC_PER_SEC;
	int64_t		fraction = usec % USEC_PER_SEC;
	int64_t		days;
	int64_t		year;
	int			month,
				day,
				rest,
				n;

	if (fraction < 0)
	{
		fraction += USEC_PER_SEC;
		seconds--;
	}
	days = seconds / 86400;
	rest = (int) (seconds % 86400);
	if (rest < 0)
	{
		rest += 86400;
		days--;
	}
	civil_from_days(days, &year, &month, &day);
	n = snprintf(buf, SCIM_DATETIME_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d",
				 (int) year, month, day, rest / 3600, rest / 60 % 60, rest % 60);
	if (fraction > 0)
	{
		n += snprintf(buf + n, SCIM_DATETIME_SIZE - n, ".%06d", (int) fraction);
		while (buf[n - 1] == '0')
			n--;
	}
	buf[n++] = 'Z';
	buf[n] = '\0';
}

/* ---- binary ---- */

bool
scim_base64_valid(const char *text, size_t len)
{
	size_t		n = len;
	size_t		padding = 0;

	while (n > 0 && text[n - 1] == '=')
	{
		n--;
		padding++;
	}
	for (size_t i = 0; i < n; i++)
	{
		char		c = text[i];

		if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
			  c == '+' || c == '/' || c == '-' || c == '_'))
			return false;
	}
	/* a rest of one character holds six bits, less than a byte */
	if (n % 4 == 1)
		return false;
	return padding == 0 || (n + padding) % 4 == 0;
}

/* ---- types ---- */

bool
scim_value_fits(const ScimAttr *attr, const json_t *value)
{
	int64_t		usec;

	switch (attr->type)
	{
		case SCIM_TYPE_STRING:
		case SCIM_TYPE_REFERENCE:
			return json_is_string(value);
		case SCIM_TYPE_BOOLEAN:
			return json_is_boolean(value);
		case SCIM_TYPE_DECIMAL:
			return json_is_number(value);
		case SCIM_TYPE_INTEGER:
			return json_is_integer(value);
		case SCIM_TYPE_DATETIME:
			return json_is_string(value) &&
				scim_datetime_parse(json_string_value(value), json_string_length(value), &usec);
		case SCIM_TYPE_BINARY:
			return json_is_string(value) &&
				scim_base64_valid(json_string_value(value), json_string_length(value));
		case SCIM_TYPE_COMPLEX:
			return json_is_object(value);
	}
	return false;
}

static int
sign(int n)
{
	return (n > 0) - (n < 0);
}

static int
compare_bytes(const char *a, size_t alen, const char *b, size_t blen)
{
	int			n = memcmp(a, b, alen < blen ? alen : blen);

	return n != 0 ? sign(n) : (alen > blen) - (alen < blen);
}

static int
compare_strings(const ScimAttr *attr, const json_t *a, const json_t *b)
{
	const char *x = json_string_value(a);
	const char *y = json_string_value(b);
	size_t		xlen = json_string_length(a);
	size_t		ylen = json_string_length(b);

	if (!attr->case_exact && attr->type == SCIM_TYPE_STRING)
	{
		const char *fx = scim_fold(x, xlen, &xlen);
		const char *fy = scim_fold(y, ylen, &ylen);

		/* out of memory: the unfolded strings still give a definite order */
		if (fx != NULL && fy != NULL)
			return compare_bytes(fx, xlen, fy, ylen);
		xlen = strlen(x);
		ylen = strlen(y);
	}
	return compare_bytes(x, xlen, y, ylen);
}

int
scim_value_compare(const ScimAttr *attr, const json_t *a, const json_t *b)
{
	int64_t		x;
	int64_t		y;

	if (attr->type == SCIM_TYPE_DATETIME && json_is_string(a) && json_is_string(b) &&
		scim_datetime_parse(json_string_value(a), json_string_length(a), &x) &&
		scim_datetime_parse(json_string_value(b), json_string_length(b), &y))
		return (x > y) - (x < y);
	if (json_is_string(a) && json_is_string(b))
		return compare_strings(attr, a, b);
	if (json_is_integer(a) && json_is_integer(b))
		return (json_integer_value(a) > json_integer_value(b)) - (json_integer_value(a) < json_integer_value(b));
	if (json_is_number(a) && json_is_number(b))
		return (json_number_value(a) > json_number_value(b)) - (json_number_value(a) < json_number_value(b));
	if (json_is_boolean(a) && json_is_boolean(b))
		return (int) json_is_true(a) - (int) json_is_true(b);
	return (int) json_typeof(a) - (int) json_typeof(b);
}

/* ---- equality of state ---- */

static bool
is_false_primary(const ScimAttr *sub, const json_t *value)
{
	return value != NULL && json_is_false(value) && strcmp(sub->name, "primary") == 0;
}

static bool
same_single(const ScimAttr *attr, const json_t *a, const json_t *b)
{
	if (attr->type != SCIM_TYPE_COMPLEX || !json_is_object(a) || !json_is_object(b))
	{
		if (json_is_number(a) && json_is_number(b))
			return scim_value_compare(attr, a, b) == 0;
		return json_equal((json_t *) a, (json_t *) b) != 0;
	}
	for (int i = 0; i < attr->nsubs; i++)
	{
		const ScimAttr *sub = attr->subs[i];
		const json_t *x = json_object_get(a, sub->name);
		const json_t *y = json_object_get(b, sub->name);

		if (is_false_primary(sub, x))
			x = NULL;
		if (is_false_primary(sub, y))
			y = NULL;
		if (!scim_value_same(sub, x, y))
			return false;
	}
	return true;
}

bool
scim_value_same(const ScimAttr *attr, const json_t *a, const json_t *b)
{
	bool		a_empty = scim_json_unassigned(a);
	bool		b_empty = scim_json_unassigned(b);
	size_t		n;
	bool	   *taken;
	bool		same = true;

	if (a_empty || b_empty)
		return a_empty && b_empty;
	if (!json_is_array(a) || !json_is_array(b))
		return json_is_array(a) == json_is_array(b) && same_single(attr, a, b);

	n = json_array_size(a);
	if (n != json_array_size(b))
		return false;
	/* the usual case costs one comparison an element */
	for (size_t i = 0; same && i < n; i++)
		same = same_single(attr, json_array_get(a, i), json_array_get(b, i));
	if (same)
		return true;
	taken = scim_alloc0(n * sizeof(bool));
	if (taken == NULL)
		return false;
	same = true;
	for (size_t i = 0; same && i < n; i++)
	{
		same = false;
		for (size_t j = 0; !same && j < n; j++)
			if (!taken[j] && same_single(attr, json_array_get(a, i), json_array_get(b, j)))
				taken[j] = same = true;
	}
	scim_free(taken);
	return same;
}
