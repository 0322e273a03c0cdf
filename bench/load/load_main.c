/*
 * load_main.c
 *		Load generator for HTTP/1.1: N keep-alive connections, one thread.
 *
 * usage: load [option...] SCENARIO...
 *
 *   --url URL          http[s]://host[:port][/path]; the scenario's path follows
 *   --token-file FILE  bearer token (a file, so that ps does not show it)
 *   --ca-file FILE     certificates to trust (PEM); https needs it
 *   --connections N    default 16: no more requests are under way
 *   --warm S           seconds before anything is counted; default 0
 *   --seconds S        default 5
 *   --rate R           requests a second; default: as many as the answers allow
 *   --check N          look into the body of every Nth answer; default 16
 *   --watch PID,...    report the CPU time of these processes for each answer
 *   --tag TEXT         value of {run}; default: from the time and the process
 *   --out FILE         where the report goes (JSON); default: standard output
 *
 * Requests take turns among the scenarios.  A scenario is a text file, a word
 * and its value on each line:
 *
 *   url URL                    instead of --url
 *   token-file FILE            instead of --token-file
 *   method PATCH
 *   path /Users/{1}
 *   data ids.tsv               one row a line, columns separated by tabs
 *   rows in-order              one after the other, instead of at random
 *   rows walk                  the same for each connection, each from a place of its own
 *   body patch.json            file with the request's body
 *   header Name: value         any number
 *   status 200                 the only status that is no error
 *   expect "id":"{1}"          text that the answer must hold, any number
 *   carry "nextCursor":"       {carry} is what followed this in the last answer on the connection
 *
 * In path, body and expect, {1} to {9} are columns of a row of the data, picked
 * at random for each request (or in their order); {n} is the number of the
 * request, {run} the tag, {carry} see above.  Files are named relative to the
 * scenario.
 *
 * What is counted: every answer's status is compared.  In every Nth answer, and
 * the first of each connection, the body must be JSON by its brackets and
 * strings and must hold each "expect", with white space between tokens left
 * out of account.  Anything else that is not expected (a closed connection that
 * was not announced, no answer within half a minute, a broken head) is an error
 * as well.  One error or more, or no answer at all: exit status 1.
 *
 * What is timed: from the moment the request is due to the last byte of its
 * answer.  Without --rate a request is due when another's answer is complete;
 * opening a new connection because the server announced the end of the old one
 * is part of it.  With --rate it is due by the clock, whether a connection is
 * free or not, so that a stall shows in everything that had to wait.  The rate
 * counts answers that are complete when the time is up; those still under way
 * are waited for and checked, and are in the latencies.
 */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

#define ANSWER_TIMEOUT	(30 * LOAD_SECOND)
#define TIMER			((void *) &load_run)	/* epoll's word for the clock of --rate */

LoadRun		load_run;

/*
 * Say what is wrong with the call and end.
 */
void
load_fatal(const char *format,...)
{
	va_list		args;

	va_start(args, format);
	fputs("load: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(2);
}

/*
 * Count an error; the first one's text goes into the report.
 */
void
load_error(const char *format,...)
{
	va_list		args;

	if (load_run.errors++ > 0)
		return;
	va_start(args, format);
	vsnprintf(load_run.first_error, sizeof(load_run.first_error), format, args);
	va_end(args);
}

int64_t
load_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * LOAD_SECOND + t.tv_nsec;
}

void *
load_allocate(size_t size)
{
	void	   *p = calloc(1, size);

	if (p == NULL)
		load_fatal("out of memory");
	return p;
}

char *
load_copy_text(const char *text)
{
	char	   *copy = strdup(text);

	if (copy == NULL)
		load_fatal("out of memory");
	return copy;
}

void
load_reserve(LoadBuffer *buffer, size_t more)
{
	if (buffer->size - buffer->len > more)
		return;
	buffer->size = (buffer->len + more + 1) * 2;
	buffer->data = realloc(buffer->data, buffer->size);
	if (buffer->data == NULL)
		load_fatal("out of memory");
}

void
load_append(LoadBuffer *buffer, const char *text, size_t len)
{
	load_reserve(buffer, len);
	memcpy(buffer->data + buffer->len, text, len);
	buffer->len += len;
}

void
load_append_text(LoadBuffer *buffer, const char *text)
{
	load_append(buffer, text, strlen(text));
}

/*
 * The whole of a file, with a NUL after it.  "beside" names the file that the
 * path is relative to, or is NULL.
 */
char *
load_read_file(const char *path, const char *beside, size_t *len)
{
	LoadBuffer	content = {0};
	LoadBuffer	name = {0};
	const char *slash = beside != NULL && *path != '/' ? strrchr(beside, '/') : NULL;
	FILE	   *file;
	size_t		got;

	if (slash != NULL)
		load_append(&name, beside, slash + 1 - beside);
	load_append(&name, path, strlen(path) + 1);
	file = fopen(name.data, "r");
	if (file == NULL)
		load_fatal("%s: %s", name.data, strerror(errno));
	do
	{
		load_reserve(&content, 65536);
		got = fread(content.data + content.len, 1, 65536, file);
		content.len += got;
	} while (got > 0);
	if (ferror(file))
		load_fatal("%s: %s", name.data, strerror(errno));
	fclose(file);
	free(name.data);
	load_append(&content, "", 1);
	if (len != NULL)
		*len = content.len - 1;
	return content.data;
}

char *
load_read_token(const char *path, const char *beside)
{
	char	   *token = load_read_file(path, beside, NULL);

	token[strcspn(token, "\r\n")] = '\0';
	return token;
}

/*
 * CPU time so far of the processes watched, in seconds.
 */
static double
watched_cpu(void)
{
	const char *p = load_run.watched;
	double		sum = 0;

	while (p != NULL && *p != '\0')
	{
		char		path[64];
		unsigned long user;
		unsigned long system;
		char	   *end;
		char	   *stat;
		const char *fields;

		snprintf(path, sizeof(path), "/proc/%lu/stat", strtoul(p, &end, 10));
		if (end == p)
			load_fatal("--watch: \"%s\" is no process", p);
		p = end + strspn(end, ", ");
		stat = load_read_file(path, NULL, NULL);
		/* the name of the program, in parentheses, may hold anything */
		fields = strrchr(stat, ')');
		if (fields == NULL || sscanf(fields, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
			load_fatal("%s cannot be understood", path);
		sum += (double) (user + system) / sysconf(_SC_CLK_TCK);
		free(stat);
	}
	return sum;
}

/*
 * Start the requests that are due.  Without a rate, that is as many as may be
 * under way; with one, the clock says it.
 */
static void
dispatch(void)
{
	int64_t		t = load_now();

	while (load_run.in_flight < load_run.connections && t < load_run.end && load_run.errors < LOAD_MAX_ERRORS)
	{
		LoadScenario *scenario = &load_run.scenarios[load_run.issued % load_run.scenario_count];
		int64_t		due = t;

		if (load_run.rate > 0)
		{
			due = load_run.start + (int64_t) (load_run.issued * (LOAD_SECOND / load_run.rate));
			if (due > t)
				return;
		}
		load_start_request(load_take_idle(scenario->target), scenario, due);
	}
}

static int
start_clock(void)
{
	struct itimerspec when = {0};
	struct epoll_event event = {0};
	int64_t		interval = (int64_t) (LOAD_SECOND / load_run.rate);
	int			fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);

	when.it_value.tv_nsec = 1;
	when.it_interval.tv_sec = interval / LOAD_SECOND;
	when.it_interval.tv_nsec = interval % LOAD_SECOND;
	event.events = EPOLLIN;
	event.data.ptr = TIMER;
	if (fd < 0 || timerfd_settime(fd, 0, &when, NULL) != 0 || epoll_ctl(load_run.epoll, EPOLL_CTL_ADD, fd, &event) != 0)
		load_fatal("timer: %s", strerror(errno));
	return fd;
}

static void
run_scenarios(void)
{
	struct epoll_event events[256];
	int64_t		looked = 0;
	int			clock = -1;
	double		cpu = 0;
	bool		counting = false;
	bool		counted = false;

	load_run.start = load_now();
	load_run.begin = load_run.start + (int64_t) (load_run.warm * LOAD_SECOND);
	load_run.end = load_run.begin + (int64_t) (load_run.seconds * LOAD_SECOND);
	if (load_run.rate > 0)
		clock = start_clock();
	for (;;)
	{
		int64_t		t = load_now();
		int			count;

		if (!counting && t >= load_run.begin)
		{
			counting = true;
			cpu = watched_cpu();
		}
		if (!counted && t >= load_run.end)
		{
			counted = true;
			load_run.cpu = watched_cpu() - cpu;
		}
		dispatch();
		if (t - looked > LOAD_SECOND / 10 || t >= load_run.end)
		{
			looked = t;
			if (!load_any_under_way(ANSWER_TIMEOUT) && (t >= load_run.end || load_run.errors >= LOAD_MAX_ERRORS))
				break;
		}

		count = epoll_wait(load_run.epoll, events, 256, t < load_run.begin ? 1 : 100);
		if (count < 0 && errno != EINTR)
			load_fatal("epoll_wait: %s", strerror(errno));
		for (int i = 0; i < count; i++)
		{
			if (events[i].data.ptr == TIMER)
			{
				uint64_t	ticks;

				if (read(clock, &ticks, sizeof(ticks)) < 0 && errno != EAGAIN)
					load_fatal("timer: %s", strerror(errno));
				continue;
			}
			load_serve_event(events[i].data.ptr, events[i].events);

			/* go on at once: the others' answers are not this one's business */
			if (load_run.rate == 0)
				dispatch();
		}
	}
	load_close_all();
	if (clock >= 0)
		close(clock);
}

static double
number(const char *option, const char *value, bool zero)
{
	char	   *end;
	double		n = strtod(value, &end);

	if (*value == '\0' || *end != '\0' || !(n < 1e9) || !(n > 0 || (zero && n == 0)))
		load_fatal("%s: \"%s\" is not a positive number", option, value);
	return n;
}

int
main(int argc, char **argv)
{
	char	  **paths = load_allocate(argc * sizeof(char *));
	const char *url = NULL;
	const char *out = NULL;
	char		tag[40];
	FILE	   *file = stdout;

	load_run.connections = 16;
	load_run.seconds = 5;
	load_run.check = 16;
	snprintf(tag, sizeof(tag), "%llx", (unsigned long long) load_now() * 1021 + getpid());
	load_run.tag = tag;
	for (int i = 1; i < argc; i++)
	{
		const char *option = argv[i];
		char	   *value = i + 1 < argc ? argv[i + 1] : NULL;

		if (strncmp(option, "--", 2) != 0)
		{
			paths[load_run.scenario_count++] = argv[i];
			continue;
		}
		if (value == NULL)
			load_fatal("%s: unknown, or without a value", option);
		i++;
		if (strcmp(option, "--url") == 0)
			url = value;
		else if (strcmp(option, "--token-file") == 0)
			load_run.token = load_read_token(value, NULL);
		else if (strcmp(option, "--ca-file") == 0)
			load_run.ca_file = value;
		else if (strcmp(option, "--connections") == 0)
			load_run.connections = (int) number(option, value, false);
		else if (strcmp(option, "--warm") == 0)
			load_run.warm = number(option, value, true);
		else if (strcmp(option, "--seconds") == 0)
			load_run.seconds = number(option, value, false);
		else if (strcmp(option, "--rate") == 0)
			load_run.rate = number(option, value, false);
		else if (strcmp(option, "--check") == 0)
			load_run.check = (unsigned) number(option, value, false);
		else if (strcmp(option, "--watch") == 0)
			load_run.watched = value;
		else if (strcmp(option, "--tag") == 0)
			load_run.tag = value;
		else if (strcmp(option, "--out") == 0)
			out = value;
		else
			load_fatal("%s: unknown option", option);
	}
	if (load_run.scenario_count == 0 || load_run.connections < 1 || load_run.connections > 60000 || load_run.check < 1)
		load_fatal("usage: load [--url URL] [--token-file FILE] [--ca-file FILE] [--connections N] [--warm S]\n"
				   "            [--seconds S] [--rate R] [--check N] [--watch PID,...] [--tag TEXT] [--out FILE] SCENARIO...");
	signal(SIGPIPE, SIG_IGN);
	load_run.random = (uint64_t) load_now() ^ ((uint64_t) getpid() << 32) ^ UINT64_C(0x9e3779b97f4a7c15);
	load_run.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (load_run.epoll < 0)
		load_fatal("epoll: %s", strerror(errno));
	load_run.scenarios = load_allocate(load_run.scenario_count * sizeof(LoadScenario));
	for (int i = 0; i < load_run.scenario_count; i++)
		load_scenario_read(&load_run.scenarios[i], paths[i], url);

	run_scenarios();
	if (load_run.completed == 0 && load_run.errors == 0)
		load_error("no answer at all");

	if (out != NULL && (file = fopen(out, "w")) == NULL)
		load_fatal("%s: %s", out, strerror(errno));
	load_report(file);
	if (fflush(file) != 0)
		load_fatal("the report cannot be written: %s", strerror(errno));
	if (load_run.errors > 0)
		fprintf(stderr, "load: %llu errors; the first: %s\n", (unsigned long long) load_run.errors, load_run.first_error);
	return load_run.errors > 0 ? 1 : 0;
}
