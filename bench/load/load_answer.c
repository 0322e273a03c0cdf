/*
 * load_answer.c
 *		What comes back: its head, and whether it is what was expected.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "load.h"

#define MAX_ANSWER ((size_t) 256 * 1024 * 1024)

static LoadBuffer rendered;		/* an expectation with its values */
static LoadBuffer stripped;		/* a body without white space */

/*
 * Copy JSON without the white space between tokens.  False if brackets or
 * strings do not end, or if there is anything after the value.
 */
static bool
strip_json(const char *json, size_t len, LoadBuffer *to)
{
	int			depth = 0;
	bool		in_string = false;
	bool		ended = false;

	to->len = 0;
	load_reserve(to, len);
	for (size_t i = 0; i < len; i++)
	{
		char		ch = json[i];

		if (in_string)
		{
			if (ch == '\\' && i + 1 < len)
			{
				to->data[to->len++] = ch;
				ch = json[++i];
			}
			else if (ch == '"')
				in_string = false;
		}
		else if (ch == ' ' || ch == '\t' || ch == '\n' || ch == '\r')
			continue;
		else
		{
			if (ended)
				return false;
			if (ch == '"')
				in_string = true;
			else if (ch == '{' || ch == '[')
				depth++;
			else if ((ch == '}' || ch == ']') && --depth <= 0)
				ended = true;
		}
		to->data[to->len++] = ch;
	}
	return ended && depth == 0 && !in_string;
}

static void
check_body(LoadConnection *c)
{
	const LoadScenario *scenario = c->scenario;

	load_run.checked++;
	if (scenario->expect_count == 0)
		return;
	if (!strip_json(c->in.data + c->head_len, c->body_len, &stripped))
	{
		load_error("%s: the body of the answer is not JSON (request %llu)", scenario->name, (unsigned long long) c->number);
		return;
	}
	for (int i = 0; i < scenario->expect_count; i++)
	{
		rendered.len = 0;
		load_render(&rendered, &scenario->expect[i], c);
		if (memmem(stripped.data, stripped.len, rendered.data, rendered.len) == NULL)
		{
			load_error("%s: the answer does not hold %.*s (request %llu)", scenario->name,
					   (int) rendered.len, rendered.data, (unsigned long long) c->number);
			return;
		}
	}
}

/*
 * Keep what the next request on this connection has to name: what follows the
 * text of "carry", up to the end of the JSON string.  Nothing, if it is not there.
 */
static void
keep_carry(LoadConnection *c)
{
	const char *body = c->in.data + c->head_len;
	const char *end = body + c->body_len;
	const char *found = memmem(body, c->body_len, c->scenario->carry, strlen(c->scenario->carry));
	const char *quote;

	c->carry.len = 0;
	if (found == NULL)
		return;
	found += strlen(c->scenario->carry);
	quote = memchr(found, '"', end - found);
	if (quote == NULL)
		return;
	load_append(&c->carry, found, quote - found);
	load_append(&c->carry, "", 1);
}

/*
 * Is this line of a head the header "name"?  Then its value.
 */
static const char *
header_value(const char *line, const char *end, const char *name)
{
	size_t		len = strlen(name);

	if ((size_t) (end - line) <= len || line[len] != ':' || strncasecmp(line, name, len) != 0)
		return NULL;
	line += len + 1;
	while (line < end && (*line == ' ' || *line == '\t'))
		line++;
	return line;
}

/*
 * Read the head, once all of it is there.  NULL, or what is wrong with it.
 */
static const char *
read_head(LoadConnection *c)
{
	const char *end = memmem(c->in.data, c->in.len, "\r\n\r\n", 4);
	const char *line;
	bool		has_length = false;

	if (end == NULL)
		return c->in.len > 65536 ? "the head of the answer does not end" : NULL;
	c->head_len = end + 4 - c->in.data;
	c->body_len = 0;
	if (c->in.len < 12 || strncmp(c->in.data, "HTTP/1.", 7) != 0)
		return "the answer is not HTTP/1";
	c->status = atoi(c->in.data + 9);
	if (c->status < 200 || c->status >= LOAD_MAX_STATUS)
		return "the answer has a strange status";
	c->last = c->in.data[7] == '0';

	line = memchr(c->in.data, '\n', c->head_len);
	while (line != NULL && ++line < end)
	{
		const char *next = memchr(line, '\n', c->head_len - (line - c->in.data));
		const char *value;

		if ((value = header_value(line, next, "Content-Length")) != NULL)
		{
			c->body_len = strtoull(value, NULL, 10);
			has_length = true;
		}
		else if ((value = header_value(line, next, "Connection")) != NULL)
		{
			if (strncasecmp(value, "close", 5) == 0)
				c->last = true;
		}
		else if (header_value(line, next, "Transfer-Encoding") != NULL)
			return "the answer has a transfer encoding, which is not read here";
		line = next;
	}
	if (c->body_len > MAX_ANSWER)
		return "the answer is too large";
	if (!has_length && c->status != 204 && c->status != 304)
		return "the answer has no Content-Length";
	return NULL;
}

/*
 * Look at what has come so far.  NULL, or what is wrong with it.
 */
const char *
load_read_answer(LoadConnection *c, bool *complete)
{
	*complete = false;
	if (c->head_len == 0)
	{
		const char *wrong = read_head(c);

		if (wrong != NULL || c->head_len == 0)
			return wrong;
	}
	if (c->in.len > c->head_len + c->body_len)
		return "bytes follow the answer";
	*complete = c->in.len == c->head_len + c->body_len;
	return NULL;
}

/*
 * Count a complete answer, and compare it.
 */
void
load_finish_answer(LoadConnection *c)
{
	LoadScenario *scenario = c->scenario;
	int64_t		end = load_now();

	load_run.completed++;
	load_run.statuses[c->status]++;
	if (end >= load_run.begin && end <= load_run.end)
	{
		load_run.in_time++;
		load_run.bytes_in_time += c->head_len + c->body_len;
	}
	if (c->due >= load_run.begin)
	{
		load_record(&scenario->latencies, end - c->due);
		load_record(&load_run.latencies, end - c->due);
	}
	if (c->status != scenario->status)
		load_error("%s: status %d (request %llu): %.*s", scenario->name, c->status, (unsigned long long) c->number,
				   (int) (c->body_len > 200 ? 200 : c->body_len), c->in.data + c->head_len);
	else if (c->first || c->number % load_run.check == 0)
		check_body(c);
	if (scenario->carry != NULL)
		keep_carry(c);
	c->first = false;
}
