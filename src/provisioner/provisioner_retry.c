/*
 * provisioner_retry.c
 *		What an answer of a target means (provisioning-engine 2.8).
 */
#include "postgres.h"

#include <math.h>

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

#include "provisioner_retry.h"
#include "../compat.h"
#include "../core/core_json.h"

#define MAX_REASON 400
#define MAX_WAIT_SECONDS 3600

/* A number greater than this is a time, not a duration. */
#define EPOCH_BORDER 1000000000LL

ScimVerdict
scim_retry_verdict(const ScimClientResponse *response)
{
	switch (response->outcome)
	{
		case SCIM_TRANSFER_NOT_SENT:
			return SCIM_VERDICT_UNREACHED;
		case SCIM_TRANSFER_AMBIGUOUS:
			return SCIM_VERDICT_DOUBT;
		case SCIM_TRANSFER_REFUSED:
			return SCIM_VERDICT_BARRED;
		case SCIM_TRANSFER_TOO_LARGE:
			/* what it answered is unknown, also whether it did what was asked */
			return response->status >= 200 && response->status < 300 ? SCIM_VERDICT_DOUBT : SCIM_VERDICT_TRANSIENT;
		case SCIM_TRANSFER_ANSWERED:
			break;
	}
	switch (response->status)
	{
		case 401:
			return SCIM_VERDICT_UNAUTHORIZED;
		case 403:
			return SCIM_VERDICT_FORBIDDEN;
		case 404:
		case 410:
			return SCIM_VERDICT_NOT_FOUND;
		case 405:
		case 501:
			return SCIM_VERDICT_UNSUPPORTED;
		case 408:
		case 425:
			return SCIM_VERDICT_TRANSIENT;
		case 409:
			return SCIM_VERDICT_CONFLICT;
		case 412:
			return SCIM_VERDICT_CHANGED;
		case 413:
			return SCIM_VERDICT_TOO_LARGE;
		case 429:
			return SCIM_VERDICT_THROTTLED;
		case 503:
			return response->retry_after ? SCIM_VERDICT_THROTTLED : SCIM_VERDICT_TRANSIENT;
		case 502:
		case 504:
			/* a gateway gave up; what is behind it may have gone on */
			return SCIM_VERDICT_DOUBT;
	}
	if (response->status >= 200 && response->status < 300)
		return SCIM_VERDICT_OK;
	if (response->status >= 300 && response->status < 400)
		return SCIM_VERDICT_MOVED;
	if (response->status >= 500)
		return SCIM_VERDICT_TRANSIENT;
	return SCIM_VERDICT_REFUSED;
}

const char *
scim_retry_verdict_name(ScimVerdict verdict)
{
	static const char *const names[] = {
		[SCIM_VERDICT_OK] = "ok",
		[SCIM_VERDICT_UNREACHED] = "unreached",
		[SCIM_VERDICT_DOUBT] = "doubt",
		[SCIM_VERDICT_TRANSIENT] = "transient",
		[SCIM_VERDICT_THROTTLED] = "throttled",
		[SCIM_VERDICT_UNAUTHORIZED] = "unauthorized",
		[SCIM_VERDICT_FORBIDDEN] = "forbidden",
		[SCIM_VERDICT_NOT_FOUND] = "not found",
		[SCIM_VERDICT_CONFLICT] = "conflict",
		[SCIM_VERDICT_CHANGED] = "changed",
		[SCIM_VERDICT_TOO_LARGE] = "too large",
		[SCIM_VERDICT_UNSUPPORTED] = "unsupported",
		[SCIM_VERDICT_MOVED] = "moved",
		[SCIM_VERDICT_REFUSED] = "refused",
		[SCIM_VERDICT_BARRED] = "barred",
	};

	return names[verdict];
}

/* A number, its fraction rounded up; false: it is none. */
static bool
parse_seconds(const char *text, long long *seconds)
{
	char	   *end;
	double		value;

	if (text == NULL || *text < '0' || *text > '9')
		return false;
	value = strtod(text, &end);
	while (*end == ' ')
		end++;
	if (*end != '\0' || !(value < 1e15))
		return false;
	*seconds = (long long) ceil(value);
	return true;
}

static long
bounded(long long seconds)
{
	return (long) Max(0, Min(seconds, MAX_WAIT_SECONDS));
}

long
scim_retry_wanted(const ScimClientResponse *response, long long now)
{
	long long	seconds;
	long long	date;

	if (response->retry_after == NULL && response->rate_reset == NULL)
		return -1;
	/* the target's clock is what its times are about */
	date = response->date ? scim_client_date(response->date) : -1;
	if (date > 0)
		now = date;
	if (response->retry_after)
	{
		if (parse_seconds(response->retry_after, &seconds))
			return bounded(seconds > EPOCH_BORDER ? seconds - now : seconds);
		seconds = scim_client_date(response->retry_after);
		if (seconds > 0)
			return bounded(seconds - now);
	}
	if (parse_seconds(response->rate_reset, &seconds))
		return bounded(seconds > EPOCH_BORDER ? seconds - now : seconds);
	return -1;
}

long long
scim_retry_left(const ScimClientResponse *response, bool limit)
{
	long long	number;

	return parse_seconds(limit ? response->rate_limit : response->rate_remaining, &number) ? number : -1;
}

bool
scim_retry_exhausted(const ScimClientResponse *response)
{
	return scim_retry_left(response, false) == 0;
}

long
scim_retry_backoff(int attempt, long first, long most)
{
	double		ceiling = Min((double) most, ldexp((double) first, Min(attempt, 40)));

	/* never at once: a target that is down gets a moment */
	return Max(first / 4, (long) (ceiling * scim_random_fraction()));
}

/* ---- reasons ---- */

static void
append_text(StringInfo buf, const char *text)
{
	if (buf->len > 0)
		appendStringInfoString(buf, "; ");
	appendStringInfoString(buf, text);
}

/* Texts in {"errors": ["...", {"detail": "..."}]}, "message", "error". */
static void
append_errors(StringInfo buf, const json_t *value)
{
	static const char *const members[] = {"detail", "description", "message", "title"};

	if (json_is_string(value))
		append_text(buf, json_string_value(value));
	else if (json_is_array(value))
	{
		for (size_t i = 0; i < json_array_size(value) && buf->len < MAX_REASON; i++)
			append_errors(buf, json_array_get(value, i));
	}
	else if (json_is_object(value))
	{
		for (int i = 0; i < lengthof(members); i++)
		{
			const json_t *member = json_object_get(value, members[i]);

			if (json_is_string(member))
			{
				append_text(buf, json_string_value(member));
				return;
			}
		}
	}
}

static void
append_reason(StringInfo buf, const json_t *body)
{
	static const char *const members[] = {"detail", "errors", "error", "message", "error_description"};

	if (!json_is_object(body))
		return;
	if (json_is_string(json_object_get(body, "scimType")))
		append_text(buf, json_string_value(json_object_get(body, "scimType")));
	for (int i = 0; i < lengthof(members); i++)
		append_errors(buf, json_object_get(body, members[i]));
}

/* Whatever a target says of a secret, it is not kept. */
static void
mask_secret(StringInfo buf, const char *secret)
{
	char	   *found;

	if (secret == NULL || secret[0] == '\0')
		return;
	while ((found = strstr(buf->data, secret)) != NULL)
		memset(found, '*', strlen(secret));
}

char *
scim_retry_reason(const ScimClientResponse *response, const char *secret)
{
	StringInfoData buf;
	ScimError	err;
	json_t	   *body = NULL;

	initStringInfo(&buf);
	if (response->outcome != SCIM_TRANSFER_ANSWERED)
		appendStringInfoString(&buf, response->detail);
	else if (response->body && response->body_len > 0)
	{
		memset(&err, 0, sizeof(err));
		body = scim_json_parse(response->body, response->body_len, &err);
		append_reason(&buf, body);
		if (buf.len == 0)
			/* so much that no part of the secret is left when the rest is cut off */
			appendBinaryStringInfo(&buf, response->body, (int) Min(response->body_len, MAX_REASON + (secret ? strlen(secret) : 0)));
	}
	mask_secret(&buf, secret);

	if (buf.len > MAX_REASON)
		buf.data[buf.len = MAX_REASON] = '\0';
	buf.data[buf.len = pg_encoding_verifymbstr(PG_UTF8, buf.data, buf.len)] = '\0';
	for (int i = 0; i < buf.len; i++)
		if ((unsigned char) buf.data[i] < ' ' || buf.data[i] == 0x7f)
			buf.data[i] = ' ';
	return buf.data;
}
