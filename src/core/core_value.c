/*
 * core_value.c
 *		Single values: dateTime, base64, types, comparison (RFC 7643 2.3).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core_fold.h"
#include "core_value.h"

#define FEW 16					/* up to here lists are compared without allocation */

#define USEC_PER_SEC INT64_C(1000000)

/* 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999999Z */
#define MIN_USEC (INT64_C(-62135596800) * USEC_PER_SEC)
#define MAX_USEC (INT64_C(253402300800) * USEC_PER_SEC - 1)

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
	bool		past = false;	/* some fraction, however small */

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
		{
			fraction += (*p - '0') * unit;
			past = past || *p != '0';
		}
	}
	if (!parse_zone(&p, end, &offset))
		return false;
	if (year < 1 || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) ||
		minute > 59 || second > 59 || hour > 24 ||
		(hour == 24 && (minute > 0 || second > 0 || past)))
		return false;
	*usec = ((days_from_civil(year, month, day) * 24 + hour) * 60 + minute) * 60 + second - offset;
	*usec = *usec * USEC_PER_SEC + fraction;
	/* a zone may lead to where scim_datetime_print() has no four digits */
	return *usec >= MIN_USEC && *usec <= MAX_USEC;
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
	bool		plain = false;
	bool		url = false;

	while (n > 0 && text[n - 1] == '=')
	{
		n--;
		padding++;
	}
	for (size_t i = 0; i < n; i++)
	{
		char		c = text[i];

		if (c == '+' || c == '/')
			plain = true;
		else if (c == '-' || c == '_')
			url = true;
		else if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')))
			return false;
	}
	/* a rest of one character holds six bits, less than a byte */
	if (n % 4 == 1 || (plain && url))
		return false;
	return padding == 0 || (padding <= 2 && (n + padding) % 4 == 0);
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

static bool
is_ascii(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char) s[i] >= 0x80)
			return false;
	return true;
}

static int
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
}

/* The order of the folded strings, for which ASCII needs no memory. */
static int
compare_ascii(const char *a, size_t alen, const char *b, size_t blen)
{
	for (size_t i = 0; i < alen && i < blen; i++)
		if (a[i] != b[i] && lower(a[i]) != lower(b[i]))
			return sign(lower(a[i]) - lower(b[i]));
	return (alen > blen) - (alen < blen);
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
		size_t		fxlen;
		size_t		fylen;
		char	   *fx;
		char	   *fy;
		bool		folded;
		int			result = 0;

		if (is_ascii(x, xlen) && is_ascii(y, ylen))
			return compare_ascii(x, xlen, y, ylen);
		fx = scim_fold(x, xlen, &fxlen);
		fy = scim_fold(y, ylen, &fylen);
		folded = fx != NULL && fy != NULL;
		if (folded)
			result = compare_bytes(fx, fxlen, fy, fylen);
		/* whoever sorts asks often */
		scim_free(fx);
		scim_free(fy);
		if (folded)
			return result;
		/* out of memory: the unfolded strings still give a definite order */
	}
	return compare_bytes(x, xlen, y, ylen);
}

int
scim_compare_integer_real(int64_t i, double d)
{
	int64_t		whole;

	if (d >= 9223372036854775808.0)
		return -1;
	if (d < -9223372036854775808.0)
		return 1;
	whole = (int64_t) d;
	if (i != whole)
		return i < whole ? -1 : 1;
	return ((double) whole > d) - ((double) whole < d);
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
	if (json_is_integer(a) && json_is_real(b))
		return scim_compare_integer_real(json_integer_value(a), json_real_value(b));
	if (json_is_real(a) && json_is_integer(b))
		return -scim_compare_integer_real(json_integer_value(b), json_real_value(a));
	if (json_is_real(a) && json_is_real(b))
		return (json_real_value(a) > json_real_value(b)) - (json_real_value(a) < json_real_value(b));
	if (json_is_boolean(a) && json_is_boolean(b))
		return (int) json_is_true(a) - (int) json_is_true(b);
	return (int) json_typeof(a) - (int) json_typeof(b);
}

/* ---- equality of state ---- */

/* An element of an array, found again by its hash. */
typedef struct Hashed
{
	uint64_t	hash;
	const json_t *value;
} Hashed;

static bool
is_false_primary(const ScimAttr *sub, const json_t *value)
{
	return value != NULL && json_is_false(value) && scim_name_eq(sub->name, strlen(sub->name), "primary");
}

/* A sub-attribute's value as far as it is part of the state, else NULL. */
static const json_t *
state_of(const json_t *value, const ScimAttr *sub)
{
	const json_t *part = json_object_get(value, sub->name);

	return is_false_primary(sub, part) || scim_json_unassigned(part) ? NULL : part;
}

static uint64_t
mix(uint64_t h)
{
	h ^= h >> 33;
	h *= UINT64_C(0xff51afd7ed558ccd);
	h ^= h >> 33;
	return h;
}

static uint64_t
hash_bytes(const void *data, size_t len)
{
	const unsigned char *bytes = data;
	uint64_t	h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < len; i++)
		h = (h ^ bytes[i]) * UINT64_C(0x100000001b3);
	return mix(h);
}

/*
 * A hash that agrees with same_single(): what is the same hashes alike.  What
 * no schema allows where it stands shares one hash.
 */
static uint64_t
hash_single(const ScimAttr *attr, const json_t *value)
{
	uint64_t	h = 0;
	double		number;

	if (json_is_string(value))
		return hash_bytes(json_string_value(value), json_string_length(value));
	if (json_is_number(value))
	{
		number = json_number_value(value);
		if (number == 0)
			number = 0;			/* -0 and 0 are one number */
		return hash_bytes(&number, sizeof(number));
	}
	if (attr->type != SCIM_TYPE_COMPLEX || !json_is_object(value))
		return (uint64_t) json_typeof(value);
	for (int i = 0; i < attr->nsubs; i++)
	{
		const json_t *part = state_of(value, attr->subs[i]);
		uint64_t	sum = 0;

		if (part == NULL)
			continue;
		if (!json_is_array(part))
			sum = hash_single(attr->subs[i], part);
		for (size_t j = 0; j < json_array_size(part); j++)
			sum += hash_single(attr->subs[i], json_array_get(part, j));
		h += mix(sum + (uint64_t) i);
	}
	return h;
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

		if (!scim_value_same(sub, state_of(a, sub), state_of(b, sub)))
			return false;
	}
	return true;
}

static int
compare_hashes(const void *a, const void *b)
{
	uint64_t	x = ((const Hashed *) a)->hash;
	uint64_t	y = ((const Hashed *) b)->hash;

	return (x > y) - (x < y);
}

static void
hash_elements(const ScimAttr *attr, const json_t *array, size_t first, size_t n, Hashed *out)
{
	for (size_t i = 0; i < n; i++)
	{
		out[i].value = json_array_get(array, first + i);
		out[i].hash = hash_single(attr, out[i].value);
	}
	qsort(out, n, sizeof(Hashed), compare_hashes);
}

/*
 * Pair the elements of two sorted lists.  Elements of one hash are the same
 * but for accidents, so that the first one left is nearly always the partner.
 */
static bool
pair_elements(const ScimAttr *attr, const Hashed *a, Hashed *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
	{
		size_t		j = i;

		while (j < n && b[j].hash == a[i].hash && !same_single(attr, a[i].value, b[j].value))
			j++;
		if (j == n || b[j].hash != a[i].hash)
			return false;
		b[j].value = b[i].value;
	}
	return true;
}

static bool
same_elements(const ScimAttr *attr, const json_t *a, const json_t *b)
{
	size_t		n = json_array_size(a);
	size_t		first = 0;
	Hashed		few[2 * FEW];
	Hashed	   *both = few;
	bool		same;

	if (n != json_array_size(b))
		return false;
	/* the usual case costs one comparison an element */
	while (first < n && same_single(attr, json_array_get(a, first), json_array_get(b, first)))
		first++;
	n -= first;
	if (n == 0)
		return true;
	if (n > FEW)
		both = scim_alloc(2 * n * sizeof(Hashed));
	if (both == NULL)
		return false;
	hash_elements(attr, a, first, n, both);
	hash_elements(attr, b, first, n, both + n);
	same = pair_elements(attr, both, both + n, n);
	if (both != few)
		scim_free(both);
	return same;
}

bool
scim_value_same(const ScimAttr *attr, const json_t *a, const json_t *b)
{
	bool		a_empty;
	bool		b_empty;

	if (a == b)
		return true;
	a_empty = scim_json_unassigned(a);
	b_empty = scim_json_unassigned(b);
	if (a_empty || b_empty)
		return a_empty && b_empty;
	if (json_is_array(a) && json_is_array(b))
		return same_elements(attr, a, b);
	return json_is_array(a) == json_is_array(b) && same_single(attr, a, b);
}
