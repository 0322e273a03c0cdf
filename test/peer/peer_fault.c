/*
 * peer_fault.c
 *		Misbehaviour on command, and the rate limiter.
 *
 * POST /_peer/faults takes a list of rules; the first that matches a request
 * and whose turn it is decides.  A rule is an object:
 *
 *	name		shown in the log
 *	which requests (all that are given must hold):
 *	method		"POST" or ["POST", "PATCH"]
 *	path		what the path, without the base, starts with
 *	regex		extended regular expression on "METHOD path?query"
 *	body, filter	text that the body, the decoded filter contains
 *	which of those (all that are given must hold):
 *	skip		not the first N
 *	first		only the first N after these
 *	every		every Nth
 *	probability	0 to 1, from a generator with --random-seed
 *	what happens:
 *	action		see below
 *	applied		true: the request is carried out first, the client learns
 *				something else (only for actions marked *)
 *	delay_ms	before the answer; the request is applied before the delay
 *
 *	delay			nothing but delay_ms
 *	answer *		status (429 with a time, else 500), headers, answer_body (text
 *					or JSON), content_type, and one of retry_after (s),
 *					retry_after_date (s from now), x_ratelimit_reset (s),
 *					x_rate_limit_reset (s from now, sent as an epoch),
 *					ratelimit_reset (s)
 *	html *			a page of HTML, status 500
 *	garbage *		status 200, a body that is no JSON
 *	deep *			status 200, arrays within arrays, depth 100000
 *	oversize *		status 200, bytes of JSON (64 MB); chunked
 *	redirect *		status 302 to location
 *	unauthorized *	401 in the profile's words
 *	drop *, reset *	close the connection, the second with RST
 *	truncate		the true answer, cut in the middle
 *	trickle			the true answer, chunk bytes (1) every interval_ms (100)
 *	close			the true answer, then close the connection, as announced
 *	no_body			the true status without a body; location false: nor Location
 *	no_id			the true answer without id
 *	wrong_type		the true answer as content_type (text/html)
 *	ignore_filter	a list of everybody
 *	stranger		somebody else than asked for
 */
#define _GNU_SOURCE

#include <math.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "peer.h"

typedef enum
{
	DO_DELAY, DO_ANSWER, DO_HTML, DO_GARBAGE, DO_DEEP, DO_OVERSIZE, DO_REDIRECT, DO_UNAUTHORIZED, DO_DROP, DO_RESET,
	DO_TRUNCATE, DO_TRICKLE, DO_CLOSE, DO_NO_BODY, DO_NO_ID, DO_WRONG_TYPE, DO_IGNORE_FILTER, DO_STRANGER
} Action;

#define LAST_THAT_REPLACES	DO_RESET

static const char *const actions[] = {
	"delay", "answer", "html", "garbage", "deep", "oversize", "redirect", "unauthorized", "drop", "reset",
	"truncate", "trickle", "close", "no_body", "no_id", "wrong_type", "ignore_filter", "stranger", NULL
};

static const char keys[] = "name method path regex body filter skip first every probability action applied delay_ms"
	" status headers content_type retry_after retry_after_date x_ratelimit_reset x_rate_limit_reset ratelimit_reset"
	" depth bytes chunked location chunk interval_ms answer_body";

typedef struct Rule
{
	json_t	   *spec;
	Action		action;
	regex_t		regex;
	bool		has_regex;
	long		matched;
	long		fired;
} Rule;

static Rule *rules;
static int	n_rules;
static uint64_t chance = 1;

static const char *
text_key(const Rule *rule, const char *key)
{
	return json_string_value(json_object_get(rule->spec, key));
}

static double
number_key(const Rule *rule, const char *key, double otherwise)
{
	const json_t *value = json_object_get(rule->spec, key);

	return json_is_number(value) ? json_number_value(value) : otherwise;
}

/* ---- the list ---- */

void
peer_faults_seed(uint64_t seed)
{
	chance = seed;
}

static void
free_rules(Rule *list, int n)
{
	for (int i = 0; i < n; i++)
	{
		json_decref(list[i].spec);
		if (list[i].has_regex)
			regfree(&list[i].regex);
	}
	free(list);
}

static bool
read_rule(const json_t *spec, Rule *rule, char *error, size_t size)
{
	const char *action;
	const char *pattern;
	const char *key;
	json_t	   *value;

	json_object_foreach((json_t *) spec, key, value)
		if (!peer_listed(keys, key))
		{
			snprintf(error, size, "a rule has no key \"%.60s\"", key);
			return false;
		}
	rule->spec = json_deep_copy(spec);
	action = text_key(rule, "action");
	while (action && actions[rule->action] && strcmp(actions[rule->action], action) != 0)
		rule->action++;
	if (action == NULL || actions[rule->action] == NULL)
	{
		snprintf(error, size, "a rule needs an action; \"%.60s\" is none", action ? action : "");
		return false;
	}
	pattern = text_key(rule, "regex");
	if (pattern && regcomp(&rule->regex, pattern, REG_EXTENDED | REG_NOSUB) != 0)
	{
		snprintf(error, size, "this is no regular expression: %.60s", pattern);
		return false;
	}
	rule->has_regex = pattern != NULL;
	return true;
}

/* Take a list of rules instead of those there are. */
bool
peer_faults_set(json_t *specs, char *error, size_t size)
{
	int			n = json_array_size(specs);
	Rule	   *list = peer_alloc((n + 1) * sizeof(Rule));

	if (!json_is_array(specs))
	{
		snprintf(error, size, "rules come as a list");
		free(list);
		return false;
	}
	for (int i = 0; i < n; i++)
		if (!read_rule(json_array_get(specs, i), &list[i], error, size))
		{
			free_rules(list, i + 1);
			return false;
		}
	free_rules(rules, n_rules);
	rules = list;
	n_rules = n;
	return true;
}

/* The rules, with how often each has matched and fired. */
json_t *
peer_faults_get(void)
{
	json_t	   *list = json_array();

	for (int i = 0; i < n_rules; i++)
	{
		json_t	   *one = json_copy(rules[i].spec);

		json_object_set_new(one, "matched", json_integer(rules[i].matched));
		json_object_set_new(one, "fired", json_integer(rules[i].fired));
		json_array_append_new(list, one);
	}
	return list;
}

/* ---- does it fire? ---- */

static bool
matches(Rule *rule, Request *r)
{
	const json_t *method = json_object_get(rule->spec, "method");
	const char *path = text_key(rule, "path");
	const char *body = text_key(rule, "body");
	const char *filter = text_key(rule, "filter");

	if (json_is_string(method) && strcmp(json_string_value(method), r->method) != 0)
		return false;
	if (json_is_array(method))
	{
		bool		listed = false;

		for (size_t i = 0; i < json_array_size(method); i++)
		{
			const char *one = json_string_value(json_array_get(method, i));

			listed |= one && strcmp(one, r->method) == 0;
		}
		if (!listed)
			return false;
	}
	if (path && strncmp(path, r->path, strlen(path)) != 0)
		return false;
	if (body && (r->body == NULL || strstr(r->body, body) == NULL))
		return false;
	if (filter && (r->arg(r, "filter") == NULL || strstr(r->arg(r, "filter"), filter) == NULL))
		return false;
	if (rule->has_regex)
	{
		const char *query = strchr(r->uri, '?');
		char	   *line = peer_format("%s %s%s", r->method, r->path, query ? query : "");
		bool		good = regexec(&rule->regex, line, 0, NULL, 0) == 0;

		free(line);
		return good;
	}
	return true;
}

static Rule *
rule_for(Request *r)
{
	for (int i = 0; i < n_rules; i++)
	{
		Rule	   *rule = &rules[i];
		long		turn;

		if (!matches(rule, r))
			continue;
		turn = ++rule->matched - (long) number_key(rule, "skip", 0);
		if (turn <= 0 || turn > number_key(rule, "first", turn) ||
			turn % (long) fmax(number_key(rule, "every", 1), 1) != 0 ||
			(peer_random(&chance) >> 11) * 0x1p-53 >= number_key(rule, "probability", 1))
			continue;
		rule->fired++;
		peer_stats.faults++;
		return rule;
	}
	return NULL;
}

/* ---- what happens ---- */

/* The spellings of "not before"; true if the rule has one. */
static bool
announce_time(const Rule *rule, Request *r)
{
	static const struct
	{
		const char *key;
		const char *header;
		bool		date;		/* as HTTP-date */
		bool		epoch;
	}			spellings[] = {
		{"retry_after", "Retry-After", false, false},
		{"retry_after_date", "Retry-After", true, false},
		{"x_ratelimit_reset", "X-RateLimit-Reset", false, false},
		{"x_rate_limit_reset", "X-Rate-Limit-Reset", false, true},
		{"ratelimit_reset", "RateLimit-Reset", false, false},
	};
	bool		any = false;

	for (size_t i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++)
	{
		double		seconds = number_key(rule, spellings[i].key, -1);
		time_t		when = ceil(peer_wall() / 1000 + seconds);
		char		date[64];
		struct tm	tm;

		if (seconds < 0)
			continue;
		any = true;
		if (spellings[i].date || spellings[i].epoch)
			r->answer.retry_at = fmax(r->answer.retry_at, peer_now() + when * 1000.0 - peer_wall());
		else
			r->answer.retry_ms = fmax(r->answer.retry_ms, ceil(seconds) * 1000);
		strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&when, &tm));
		if (spellings[i].date)
			peer_header(r, spellings[i].header, "%s", date);
		else
			peer_header(r, spellings[i].header, "%ld", spellings[i].epoch ? (long) when : (long) ceil(seconds));
	}
	return any;
}

/* Headers and status of what the request has really led to are forgotten. */
static void
forget(Request *r)
{
	free(r->answer.body);
	json_decref(r->answer.headers);
	memset(&r->answer, 0, sizeof(r->answer));
}

static void
do_answer(const Rule *rule, Request *r)
{
	int			status = number_key(rule, "status", announce_time(rule, r) ? 429 : 500);
	const json_t *body = json_object_get(rule->spec, "answer_body");
	const json_t *headers = json_object_get(rule->spec, "headers");
	const char *type = text_key(rule, "content_type");
	const char *key;
	json_t	   *value;

	if (body == NULL)
		peer_answer_error(r, status, NULL, "%s", status == 429 ? "Too many requests" : "told to fail");
	else
	{
		char	   *text = json_is_string(body) ? peer_strdup(json_string_value(body)) : json_dumps(body, JSON_COMPACT | JSON_ENCODE_ANY);

		peer_answer(r, status, peer_settings.profile.content_type, text, strlen(text));
	}
	if (type)
		snprintf(r->answer.type, sizeof(r->answer.type), "%s", type);
	json_object_foreach((json_t *) headers, key, value)
		if (json_is_string(value))
			peer_header(r, key, "%s", json_string_value(value));
}

static void
do_deep(const Rule *rule, Request *r)
{
	size_t		depth = number_key(rule, "depth", 100000);
	char	   *text = peer_alloc(2 * depth + 1);

	memset(text, '[', depth);
	memset(text + depth, ']', depth);
	peer_answer(r, number_key(rule, "status", 200), peer_settings.profile.content_type, text, 2 * depth);
}

/* In place of an answer. */
static void
answer_instead(const Rule *rule, Request *r)
{
	static const char page[] = "<!DOCTYPE html>\n<html><head><title>Something went wrong</title></head><body><h1>Oops</h1></body></html>\n";
	static const char garbage[] = "{\"schemas\": [\"urn:ietf:params:scim:schemas:core:2.0:User\", }\xff ]] id: 17";
	const char *location = text_key(rule, "location");

	forget(r);
	switch (rule->action)
	{
		case DO_HTML:
			peer_answer(r, number_key(rule, "status", 500), "text/html; charset=utf-8", peer_strdup(page), strlen(page));
			announce_time(rule, r);
			break;
		case DO_GARBAGE:
			peer_answer(r, number_key(rule, "status", 200), peer_settings.profile.content_type, peer_strdup(garbage), strlen(garbage));
			break;
		case DO_DEEP:
			do_deep(rule, r);
			break;
		case DO_OVERSIZE:
			peer_answer(r, number_key(rule, "status", 200), peer_settings.profile.content_type, NULL, 0);
			r->answer.mode = SEND_OVERSIZE;
			r->answer.size = number_key(rule, "bytes", 64 << 20);
			r->answer.chunked = json_is_true(json_object_get(rule->spec, "chunked"));
			break;
		case DO_REDIRECT:
			peer_answer(r, number_key(rule, "status", 302), NULL, NULL, 0);
			peer_header(r, "Location", "%s", location ? location : "/");
			break;
		case DO_UNAUTHORIZED:
			peer_answer_error(r, 401, NULL, "Unauthorized");
			break;
		case DO_DROP:
		case DO_RESET:
			r->answer.mode = rule->action == DO_DROP ? SEND_DROP : SEND_RESET;
			break;
		default:
			do_answer(rule, r);
	}
}

/* To the true answer. */
static void
spoil_answer(const Rule *rule, Request *r)
{
	const char *type = text_key(rule, "content_type");
	json_t	   *body;

	switch (rule->action)
	{
		case DO_TRUNCATE:
			r->answer.mode = SEND_CUT;
			break;
		case DO_TRICKLE:
			r->answer.mode = SEND_TRICKLE;
			r->answer.chunk = fmax(number_key(rule, "chunk", 1), 1);
			r->answer.interval_ms = number_key(rule, "interval_ms", 100);
			break;
		case DO_CLOSE:
			peer_header(r, "Connection", "close");
			break;
		case DO_NO_BODY:
			peer_answer(r, r->answer.status, NULL, NULL, 0);
			if (json_is_false(json_object_get(rule->spec, "location")) && r->answer.headers)
				json_object_del(r->answer.headers, "Location");
			break;
		case DO_NO_ID:
			body = json_loadb(r->answer.body ? r->answer.body : "", r->answer.length, 0, NULL);
			if (body)
			{
				json_object_del(body, "id");
				peer_answer_json(r, r->answer.status, body);
			}
			break;
		case DO_WRONG_TYPE:
			snprintf(r->answer.type, sizeof(r->answer.type), "%s", type ? type : "text/html");
			break;
		default:
			break;
	}
}

/* ---- limits ---- */

static double window_start;
static int	window_used;
static double tokens = -1;
static double tokens_at;

static void
answer_limit(Request *r, double seconds)
{
	long		wait = fmax(ceil(seconds), 1);

	peer_answer_error(r, 429, NULL, "Too many requests");
	if (peer_settings.profile.limit == LIMIT_RETRY_AFTER)
		peer_header(r, "Retry-After", "%ld", wait);
	r->answer.retry_ms = wait * 1000.0;
}

static bool
within_bucket(Request *r)
{
	const Profile *profile = &peer_settings.profile;
	double		per_ms = profile->rate / (profile->period * 1000.0);

	if (tokens < 0 || tokens > profile->burst)
		tokens = profile->burst;
	tokens = fmin(tokens + (peer_now() - tokens_at) * per_ms, profile->burst);
	tokens_at = peer_now();
	if (tokens >= 1)
	{
		tokens--;
		return true;
	}
	answer_limit(r, (1 - tokens) / per_ms / 1000);
	return false;
}

static bool
within_window(Request *r)
{
	const Profile *profile = &peer_settings.profile;
	double		period = profile->period * 1000.0;
	double		start = floor(peer_wall() / period) * period;
	double		left = (start + period - peer_wall()) / 1000;
	bool		good;

	if (start != window_start)
	{
		window_start = start;
		window_used = 0;
	}
	good = window_used < profile->rate;
	window_used += good;
	if (!good)
		answer_limit(r, left);
	if (profile->limit == LIMIT_X_RATELIMIT)
	{
		peer_header(r, "X-RateLimit-Limit", "%d", profile->rate);
		peer_header(r, "X-RateLimit-Period", "%d", profile->period);
		peer_header(r, "X-RateLimit-Remaining", "%d", profile->rate - window_used);
		peer_header(r, "X-RateLimit-Reset", "%ld", (long) fmax(ceil(left), 1));
	}
	else if (profile->limit == LIMIT_X_RATE_LIMIT)
	{
		peer_header(r, "X-Rate-Limit-Remaining", "%d", profile->rate - window_used);
		peer_header(r, "X-Rate-Limit-Reset", "%ld", (long) ceil((start + period) / 1000));
		if (!good)
		{
			r->answer.retry_ms = 0;
			r->answer.retry_at = peer_now() + start + period - peer_wall();
		}
	}
	return good;
}

static bool
within_limits(Request *r)
{
	const Profile *profile = &peer_settings.profile;

	if (profile->concurrency && peer_stats.concurrent > profile->concurrency)
	{
		answer_limit(r, 1);
		return false;
	}
	if (profile->rate == 0 || (profile->limit_writes && strcmp(r->method, "GET") == 0))
		return true;
	return profile->burst > 0 ? within_bucket(r) : within_window(r);
}

/* ---- times that were announced ---- */

#define WINDOWS 64

static struct
{
	double		from;
	double		until;
}			announced[WINDOWS];
static int	next_announced;

/* An answer that is being sent asks for no request until then. */
void
peer_announce(double until)
{
	announced[next_announced].from = peer_now() + peer_settings.grace_ms;
	announced[next_announced].until = until;
	next_announced = (next_announced + 1) % WINDOWS;
}

bool
peer_early(double now)
{
	for (int i = 0; i < WINDOWS; i++)
		if (now > announced[i].from && now < announced[i].until)
			return true;
	return false;
}

/* ---- a request ---- */

/* Fill in the answer of a request to the SCIM service. */
void
peer_process(Request *r)
{
	size_t		base = strlen(peer_settings.base);
	Rule	   *rule;
	double		delay;

	peer_log_begin(r);
	if (peer_settings.token_basic && strcmp(r->path, "/oauth/token") == 0)
	{
		peer_token(r);
		return;
	}
	if (strncmp(r->path, peer_settings.base, base) != 0)
	{
		peer_answer_error(r, 404, NULL, "%s not found", r->path);
		return;
	}
	r->path += base;
	rule = rule_for(r);
	delay = rule ? number_key(rule, "delay_ms", 0) : 0;
	if (rule)
	{
		const char *name = text_key(rule, "name");

		r->entry->fault = peer_strdup(name ? name : actions[rule->action]);
		r->ignore_filter = rule->action == DO_IGNORE_FILTER;
		r->stranger = rule->action == DO_STRANGER;
	}
	if (rule && rule->action > DO_DELAY && rule->action <= LAST_THAT_REPLACES)
	{
		if (json_is_true(json_object_get(rule->spec, "applied")) && within_limits(r))
			peer_scim(r);
		answer_instead(rule, r);
	}
	else if (within_limits(r))
	{
		peer_scim(r);
		if (rule)
			spoil_answer(rule, r);
	}
	r->answer.delay_ms += delay;
}
