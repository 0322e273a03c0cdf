/*
 * peer_control.c
 *		/_peer/: what has happened, and what shall happen next.  For tests, so
 *		it asks for no token, has no latency, and is not in the log.
 *
 *	GET    state				{"Users": […], "Groups": […]}, by name
 *	GET    log?since=N&limit=N	{"next": N, "requests": […]}, those from number N on
 *	DELETE log
 *	GET    stats
 *	DELETE stats				counters back to 0
 *	GET    faults				the rules, how often they matched and fired
 *	POST   faults				other rules (peer_fault.c says what a rule is)
 *	DELETE faults
 *	GET    settings
 *	PATCH  settings				{"latency_ms": 50, "rate": 0, …}
 *	POST   resources			a list of users and groups; one with the id of a
 *								resource that exists takes its place
 *	DELETE resources[/id]		as if somebody else had done it
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer.h"

static LogEntry **entries;
static long first_entry;		/* index of the oldest in the log */
static long n_entries;			/* and behind the newest */
static long entries_size;
static long last_number;

/* ---- log ---- */

static void
free_entry(LogEntry *entry)
{
	free(entry->method);
	free(entry->path);
	free(entry->query);
	free(entry->body);
	free(entry->agent);
	free(entry->type);
	free(entry->fault);
	free(entry);
}

/* The oldest ones go, but not those under way. */
static void
trim_log(long most)
{
	while (n_entries - first_entry > most && entries[first_entry]->end_ms > 0)
		free_entry(entries[first_entry++]);
	if (first_entry > 1024 && first_entry > n_entries / 2)
	{
		memmove(entries, entries + first_entry, (n_entries - first_entry) * sizeof(LogEntry *));
		n_entries -= first_entry;
		first_entry = 0;
	}
}

/* What is not UTF-8 cannot be shown in JSON: without its high bytes, then. */
static char *
copy(const char *text)
{
	char	   *to = text ? peer_strdup(text) : NULL;
	json_t	   *shown = to ? json_string(to) : NULL;

	for (char *c = to; c != NULL && shown == NULL && *c; c++)
		if (*c & 0x80)
			*c = '?';
	json_decref(shown);
	return to;
}

void
peer_log_begin(Request *r)
{
	LogEntry   *entry = peer_alloc(sizeof(LogEntry));
	const char *query = strchr(r->uri, '?');

	entry->number = ++last_number;
	entry->time_ms = peer_now();
	entry->method = copy(r->method);
	entry->path = copy(r->path);
	entry->query = copy(query ? query + 1 : "");
	entry->body = copy(r->body);
	entry->agent = copy(r->header(r, "User-Agent"));
	entry->type = copy(r->header(r, "Content-Type"));
	entry->early = peer_early(entry->time_ms);
	peer_stats.requests++;
	if (entry->early)
		peer_stats.violations++;

	trim_log(peer_settings.log_max);
	if (n_entries == entries_size)
	{
		entries_size = entries_size ? entries_size * 2 : 4096;
		entries = realloc(entries, entries_size * sizeof(LogEntry *));
	}
	entries[n_entries++] = entry;
	r->entry = entry;
}

/* status 0: the connection is closed without an answer */
void
peer_log_end(Request *r, int status)
{
	LogEntry   *entry = r->entry;
	json_t	   *counts = json_object_get(peer_stats.by_status, entry->method);
	char		key[16];

	entry->end_ms = peer_now();
	entry->status = status;
	entry->applied = r->applied;
	entry->created_twice = r->created_twice;
	entry->overlaps = r->overlaps;
	if (status)
		snprintf(key, sizeof(key), "%d", status);
	else
		strcpy(key, "dropped");
	if (counts == NULL)
	{
		counts = json_object();
		json_object_set_new(peer_stats.by_status, entry->method, counts);
	}
	json_object_set_new(counts, key, json_integer(json_integer_value(json_object_get(counts, key)) + 1));
	r->entry = NULL;
}

static json_t *
entry_json(const LogEntry *entry)
{
	return json_pack("{s:I, s:f, s:o, s:s, s:s, s:s, s:s?, s:s?, s:s?, s:s?, s:o, s:b, s:b, s:b, s:b}",
					 "number", (json_int_t) entry->number,
					 "time_ms", entry->time_ms,
					 "end_ms", entry->end_ms > 0 ? json_real(entry->end_ms) : json_null(),
					 "method", entry->method,
					 "path", entry->path,
					 "query", entry->query,
					 "body", entry->body,
					 "user_agent", entry->agent,
					 "content_type", entry->type,
					 "fault", entry->fault,
					 "status", entry->end_ms > 0 ? json_integer(entry->status) : json_null(),
					 "applied", (int) entry->applied,
					 "created_twice", (int) entry->created_twice,
					 "early", (int) entry->early,
					 "overlaps", (int) entry->overlaps);
}

static json_t *
log_since(long since, long limit)
{
	json_t	   *list = json_array();
	long		next = last_number + 1;
	long		from = first_entry;

	/* numbers have no gaps */
	if (n_entries > first_entry && since > entries[first_entry]->number)
		from = first_entry + since - entries[first_entry]->number;
	for (long i = from; i < n_entries; i++)
	{
		if (limit-- <= 0)
		{
			next = entries[i]->number;
			break;
		}
		json_array_append_new(list, entry_json(entries[i]));
	}
	return json_pack("{s:I, s:o}", "next", (json_int_t) next, "requests", list);
}

/* ---- counters, settings ---- */

static json_t *
stats(void)
{
	return json_pack("{s:I, s:I, s:I, s:O, s:I, s:I, s:I, s:i, s:i, s:O}",
					 "requests", (json_int_t) peer_stats.requests,
					 "creates", (json_int_t) peer_stats.creates,
					 "duplicate_creates", (json_int_t) peer_stats.duplicate_creates,
					 "duplicates", peer_stats.duplicates,
					 "violations", (json_int_t) peer_stats.violations,
					 "overlaps", (json_int_t) peer_stats.overlaps,
					 "faults", (json_int_t) peer_stats.faults,
					 "concurrent", peer_stats.concurrent,
					 "max_concurrent", peer_stats.max_concurrent,
					 "by_status", peer_stats.by_status);
}

static void
reset_stats(void)
{
	int			concurrent = peer_stats.concurrent;

	json_decref(peer_stats.by_status);
	json_decref(peer_stats.duplicates);
	memset(&peer_stats, 0, sizeof(peer_stats));
	peer_stats.concurrent = concurrent;
	peer_stats.by_status = json_object();
	peer_stats.duplicates = json_array();
}

/* Settings that are numbers, and where they are. */
static const struct
{
	const char *name;
	double	   *real;
	int		   *whole;
	long	   *large;
}			numbers[] = {
	{"latency_ms", &peer_settings.latency_ms, NULL, NULL},
	{"search_lag_ms", &peer_settings.search_lag_ms, NULL, NULL},
	{"grace_ms", &peer_settings.grace_ms, NULL, NULL},
	{"rate", NULL, &peer_settings.profile.rate, NULL},
	{"period", NULL, &peer_settings.profile.period, NULL},
	{"burst", NULL, &peer_settings.profile.burst, NULL},
	{"concurrency", NULL, &peer_settings.profile.concurrency, NULL},
	{"page_default", NULL, &peer_settings.profile.page_default, NULL},
	{"page_max", NULL, &peer_settings.profile.page_max, NULL},
	{"members_change", NULL, &peer_settings.profile.members_change, NULL},
	{"members_total", NULL, &peer_settings.profile.members_total, NULL},
	{"token_ttl", &peer_settings.token_ttl, NULL, NULL},
	{"log_max", NULL, NULL, &peer_settings.log_max},
};

#define N_NUMBERS	(sizeof(numbers) / sizeof(numbers[0]))

static const char *const means[] = {"gone", "disable", "none"};

/* false: there is no such setting, or not with such a value */
bool
peer_setting(const char *name, const json_t *value)
{
	for (size_t i = 0; i < N_NUMBERS; i++)
		if (strcmp(numbers[i].name, name) == 0)
		{
			double		number = json_number_value(value);

			if (!json_is_number(value) || number < 0 || (number < 1 && strcmp(name, "period") == 0))
				return false;
			if (numbers[i].real)
				*numbers[i].real = number;
			else if (numbers[i].whole)
				*numbers[i].whole = number;
			else
				*numbers[i].large = number;
			return true;
		}
	if (strcmp(name, "unique") == 0 && json_is_boolean(value))
	{
		peer_settings.unique = json_is_true(value);
		return true;
	}
	if (strcmp(name, "token") == 0 && (json_is_string(value) || json_is_null(value)))
	{
		free(peer_settings.token);
		peer_settings.token = copy(json_string_value(value));
		return true;
	}
	if (strcmp(name, "token_basic") == 0 && (json_is_string(value) || json_is_null(value)))
	{
		free(peer_settings.token_basic);
		peer_settings.token_basic = copy(json_string_value(value));
		return true;
	}
	for (int i = 0; strcmp(name, "delete_means") == 0 && json_is_string(value) && i < 3; i++)
		if (strcmp(json_string_value(value), means[i]) == 0)
		{
			peer_settings.profile.delete_means = i;
			return true;
		}
	return false;
}

static json_t *
settings(void)
{
	json_t	   *all = json_pack("{s:s, s:s, s:s, s:b, s:s}", "profile", peer_settings.profile.name,
								"base", peer_settings.base, "location", peer_settings.location,
								"unique", (int) peer_settings.unique,
								"delete_means", means[peer_settings.profile.delete_means]);

	for (size_t i = 0; i < N_NUMBERS; i++)
		json_object_set_new(all, numbers[i].name, numbers[i].real ? json_real(*numbers[i].real) :
							json_integer(numbers[i].whole ? *numbers[i].whole : *numbers[i].large));
	return all;
}

/* ---- resources ---- */

void
peer_seed_users(long n)
{
	for (long i = 1; i <= n; i++)
		peer_restore(json_pack("{s:o, s:b, s:{s:o}, s:[{s:b, s:s, s:o}]}",
							   "userName", json_sprintf("seed%ld@example.com", i), "active", 1,
							   "name", "formatted", json_sprintf("Seed %ld", i),
							   "emails", "primary", 1, "type", "work", "value", json_sprintf("seed%ld@example.com", i)));
}

static void
take_resource(json_t *doc)
{
	const char *id = json_string_value(json_object_get(doc, "id"));
	Resource   *res = id ? peer_find(false, id) : NULL;

	if (res == NULL && id)
		res = peer_find(true, id);
	if (res == NULL)
	{
		peer_restore(json_deep_copy(doc));
		return;
	}
	if (res->group)
	{
		Edit		edit = {.group = true};

		json_decref(res->members);
		res->members = peer_members_object(&edit, json_object_get(doc, "members"));
	}
	doc = json_deep_copy(doc);
	json_object_del(doc, "members");
	if (json_object_get(doc, "meta") == NULL)
	{
		json_t	   *old = peer_document(res, false);

		json_object_set(doc, "meta", json_object_get(old, "meta"));
		json_decref(old);
	}
	peer_replace(res, doc);
}

/* "" or what is wrong with a list of resources */
static const char *
check_resources(const json_t *list)
{
	const json_t *doc;
	size_t		i;

	if (!json_is_array(list))
		return "resources come as a list";
	json_array_foreach((json_t *) list, i, doc)
	{
		Edit		edit = {0};
		const json_t *members = json_object_get(doc, "members");
		json_t	   *object = peer_members_object(&edit, members);

		if (!json_is_object(doc) || object == NULL)
			return "a resource is an object, and its members are a list of objects with value";
		json_decref(object);
		if (!json_is_string(json_object_get(doc, "userName")) && !json_is_string(json_object_get(doc, "displayName")))
			return "a user has a userName, a group a displayName";
	}
	return "";
}

/* A state that peer_save has written. */
bool
peer_load(const char *file)
{
	json_t	   *state = json_load_file(file, 0, NULL);
	json_t	   *doc;
	size_t		i;

	if (state == NULL)
		return false;
	json_array_foreach(json_object_get(state, "Users"), i, doc)
		peer_restore(json_incref(doc));
	json_array_foreach(json_object_get(state, "Groups"), i, doc)
		peer_restore(json_incref(doc));
	json_decref(state);
	return true;
}

bool
peer_save(const char *file)
{
	json_t	   *state = peer_state();
	char	   *fresh = peer_format("%s.new", file);
	bool		good = json_dump_file(state, fresh, JSON_INDENT(1)) == 0 && rename(fresh, file) == 0;

	free(fresh);
	json_decref(state);
	return good;
}

/* ---- the door ---- */

static void
answer(Request *r, int status, json_t *value)
{
	char	   *text = json_dumps(value, JSON_COMPACT);

	peer_answer(r, status, "application/json", text, strlen(text));
	json_decref(value);
}

static void
answer_wrong(Request *r, int status, const char *text)
{
	answer(r, status, json_pack("{s:s}", "error", text));
}

static long
number_arg(Request *r, const char *name, long otherwise)
{
	const char *text = r->arg(r, name);

	return text ? strtol(text, NULL, 10) : otherwise;
}

static void
change(Request *r, const char *what, const json_t *body)
{
	char		error[200] = "";
	const char *key;
	json_t	   *value;
	size_t		i;

	if (strcmp(what, "POST faults") == 0)
	{
		if (peer_faults_set((json_t *) body, error, sizeof(error)))
			answer(r, 200, peer_faults_get());
		else
			answer_wrong(r, 400, error);
	}
	else if (strcmp(what, "PATCH settings") == 0)
	{
		json_object_foreach((json_t *) body, key, value)
			if (!peer_setting(key, value))
			{
				snprintf(error, sizeof(error), "there is no setting \"%.60s\", or not with this value", key);
				answer_wrong(r, 400, error);
				return;
			}
		answer(r, 200, settings());
	}
	else if (strcmp(what, "POST resources") == 0)
	{
		const char *wrong = check_resources(body);

		if (*wrong)
		{
			answer_wrong(r, 400, wrong);
			return;
		}
		json_array_foreach((json_t *) body, i, value)
			take_resource(value);
		answer(r, 200, json_pack("{s:i}", "resources", (int) json_array_size(body)));
	}
	else
		answer_wrong(r, 404, "there is no such thing");
}

static void
remove_one(Request *r, const char *id)
{
	Resource   *res = peer_find(false, id);

	if (res == NULL)
		res = peer_find(true, id);
	if (res)
		peer_remove(res);
	answer(r, res ? 200 : 404, json_pack("{s:b}", "removed", res != NULL));
}

void
peer_control(Request *r)
{
	char	   *what = peer_format("%s %s", r->method, r->path + strlen("/_peer/"));

	if (strcmp(what, "GET state") == 0)
		answer(r, 200, peer_state());
	else if (strcmp(what, "GET log") == 0)
		answer(r, 200, log_since(number_arg(r, "since", 0), number_arg(r, "limit", 10000)));
	else if (strcmp(what, "GET stats") == 0)
		answer(r, 200, stats());
	else if (strcmp(what, "GET faults") == 0)
		answer(r, 200, peer_faults_get());
	else if (strcmp(what, "GET settings") == 0)
		answer(r, 200, settings());
	else if (strcmp(what, "DELETE log") == 0)
	{
		trim_log(0);
		answer(r, 200, json_object());
	}
	else if (strcmp(what, "DELETE stats") == 0)
	{
		reset_stats();
		answer(r, 200, stats());
	}
	else if (strcmp(what, "DELETE faults") == 0)
	{
		json_t	   *none = json_array();

		change(r, "POST faults", none);
		json_decref(none);
	}
	else if (strcmp(what, "DELETE resources") == 0)
	{
		peer_remove_all();
		answer(r, 200, json_object());
	}
	else if (strncmp(what, "DELETE resources/", 17) == 0)
		remove_one(r, what + 17);
	else
	{
		json_t	   *body = r->body ? json_loadb(r->body, r->length, 0, NULL) : NULL;

		if (body)
			change(r, what, body);
		else
			answer_wrong(r, r->body ? 400 : 404, r->body ? "the body is no JSON" : "there is no such thing");
		json_decref(body);
	}
	free(what);
}
