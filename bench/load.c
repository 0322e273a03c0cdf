/*
 * load.c
 *		Load generator for HTTP/1.1: N keep-alive connections, one thread.
 *
 * usage: load [option...] SCENARIO
 *
 *   --url URL          http://host[:port][/path]; the scenario's path follows
 *   --token-file FILE  bearer token (a file, so that ps does not show it)
 *   --connections N    default 16
 *   --seconds S        default 5
 *   --rate R           requests a second; default: as many as the answers allow
 *   --check N          look into the body of every Nth answer; default 16
 *   --tag TEXT         value of {run}; default: from the time and the process
 *   --out FILE         where the report goes (JSON); default: standard output
 *
 * A scenario is a text file, a word and its value on each line:
 *
 *   method PATCH
 *   path /Users/{1}
 *   data ids.tsv               one row a line, columns separated by tabs
 *   rows in-order              one after the other, instead of at random
 *   body patch.json            file with the request's body
 *   header Name: value         any number
 *   status 200                 the only status that is no error
 *   expect "id":"{1}"          text that the answer must hold, any number
 *
 * In path, body and expect, {1} to {9} are columns of a row of the data, picked
 * at random for each request (or in their order); {n} is the number of the request, {run} the tag.
 * Files are named relative to the scenario.
 *
 * What is counted: every answer's status is compared.  In every Nth answer, and
 * the first of each connection, the body must be JSON by its brackets and
 * strings and must hold each "expect", with white space between tokens left
 * out of account.  Anything else that is not expected (a closed connection that
 * was not announced, no answer within ten seconds, a broken head) is an error
 * as well.  One error or more, or no answer at all: exit status 1.
 *
 * What is timed: from the moment the request is due to the last byte of its
 * answer.  Without --rate a request is due when the connection's previous
 * answer is complete; opening a new connection because the server announced
 * the end of the old one is part of it.  With --rate it is due by the clock,
 * whether a connection is free or not, so that a stall shows in everything that
 * had to wait.  The rate counts answers that are complete when the time is up;
 * those still under way are waited for and checked, and are in the latencies.
 */
#define _GNU_SOURCE

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define MAX_EXPECT		8
#define MAX_HEADERS		8
#define MAX_SEGMENTS	4096
#define MAX_STATUS		600
#define MAX_ANSWER		((size_t) 256 * 1024 * 1024)
#define ANSWER_TIMEOUT	INT64_C(10000000000)	/* ns */
#define SECOND			INT64_C(1000000000)
#define TOO_MANY_ERRORS 1000	/* there is nothing to learn from more */
#define TIMER			((void *) &run)	/* epoll's word for the clock of --rate */

/* Log-linear histogram of nanoseconds: 64 steps to each power of two. */
#define STEP_BITS		6
#define STEPS			(1 << STEP_BITS)
#define BUCKETS			((64 - STEP_BITS + 1) * STEPS)

typedef struct Buffer
{
	char	   *data;
	size_t		len;
	size_t		size;
} Buffer;

typedef enum SegmentKind
{
	SEGMENT_TEXT,
	SEGMENT_COLUMN,
	SEGMENT_NUMBER
} SegmentKind;

typedef struct Segment
{
	SegmentKind kind;
	const char *text;			/* SEGMENT_TEXT */
	size_t		len;
	int			column;			/* SEGMENT_COLUMN: 0 is the first */
} Segment;

typedef struct Template
{
	Segment		segments[MAX_SEGMENTS];
	int			count;
} Template;

typedef struct Scenario
{
	char		method[16];
	Template	path;
	Template	body;
	bool		has_body;
	Template	expect[MAX_EXPECT];
	int			expect_count;
	char	   *headers[MAX_HEADERS];
	int			header_count;
	int			status;
	char	  **rows;			/* columns are separated by NUL */
	size_t		row_count;
	bool		in_order;
	int			columns;		/* of every row */
} Scenario;

typedef enum ConnectionState
{
	CONNECTION_CLOSED,			/* free, and has to be opened first */
	CONNECTION_FREE,
	CONNECTION_SENDING,			/* opening counts as sending */
	CONNECTION_READING
} ConnectionState;

typedef struct Connection
{
	int			fd;
	ConnectionState state;
	bool		writable_wanted;	/* epoll tells when it can be written */
	bool		first;			/* no answer has come on it yet */
	Buffer		out;
	size_t		sent;
	Buffer		in;
	size_t		head_len;		/* 0: the head is not complete yet */
	size_t		body_len;		/* valid when the head is complete */
	int			status;
	bool		last;			/* the server closes after this answer */
	const char *row;
	uint64_t	number;
	int64_t		due;
} Connection;

typedef struct Run
{
	struct sockaddr_storage address;
	socklen_t	address_len;
	char	   *host;
	char	   *base;			/* path of the URL, no slash at its end */
	char	   *token;
	char	   *tag;
	int			connections;
	double		seconds;
	double		rate;			/* 0: no rate */
	unsigned	check;
	int			epoll;
	int64_t		start;
	int64_t		end;
	uint64_t	issued;
	uint64_t	completed;		/* answers, right or wrong */
	uint64_t	in_time;		/* those complete before the end */
	uint64_t	checked;
	uint64_t	opened;
	uint64_t	bytes;
	uint64_t	errors;
	uint64_t	statuses[MAX_STATUS];
	uint64_t	histogram[BUCKETS];
	int64_t		longest;
	double		sum;			/* ns */
	char		first_error[300];
	uint64_t	random;
} Run;

static Run	run;
static Scenario scenario;
static Buffer rendered;			/* an expectation with its values */
static Buffer stripped;			/* a body without white space */

static void fatal(const char *format,...) __attribute__((format(printf, 1, 2), noreturn));
static void note_error(const char *format,...) __attribute__((format(printf, 1, 2)));

/*
 * Say what is wrong with the call and end.
 */
static void
fatal(const char *format,...)
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
static void
note_error(const char *format,...)
{
	va_list		args;

	if (run.errors++ > 0)
		return;
	va_start(args, format);
	vsnprintf(run.first_error, sizeof(run.first_error), format, args);
	va_end(args);
}

static int64_t
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * SECOND + t.tv_nsec;
}

static void *
allocate(size_t size)
{
	void	   *p = calloc(1, size);

	if (p == NULL)
		fatal("out of memory");
	return p;
}

static char *
copy_text(const char *text)
{
	char	   *copy = strdup(text);

	if (copy == NULL)
		fatal("out of memory");
	return copy;
}

static void
reserve(Buffer *buffer, size_t more)
{
	if (buffer->size - buffer->len > more)
		return;
	buffer->size = (buffer->len + more + 1) * 2;
	buffer->data = realloc(buffer->data, buffer->size);
	if (buffer->data == NULL)
		fatal("out of memory");
}

static void
append(Buffer *buffer, const char *text, size_t len)
{
	reserve(buffer, len);
	memcpy(buffer->data + buffer->len, text, len);
	buffer->len += len;
}

static void
append_text(Buffer *buffer, const char *text)
{
	append(buffer, text, strlen(text));
}

static uint64_t
next_random(void)
{
	run.random ^= run.random >> 12;
	run.random ^= run.random << 25;
	run.random ^= run.random >> 27;
	return run.random * UINT64_C(2685821657736338717);
}

/* ---- templates ---- */

/*
 * Cut a text at its placeholders.  The text has to live as long as the
 * template.  {run} is the same in all requests, so it becomes text.
 */
static void
compile(Template *template, const char *text)
{
	const char *start = text;
	const char *p = text;

	for (;;)
	{
		Segment		segment = {0};
		size_t		len = 0;

		if (*p == '{' && p[1] >= '1' && p[1] <= '9' && p[2] == '}')
		{
			segment.kind = SEGMENT_COLUMN;
			segment.column = p[1] - '1';
			if (segment.column + 1 > scenario.columns)
				scenario.columns = segment.column + 1;
			len = 3;
		}
		else if (strncmp(p, "{n}", 3) == 0)
		{
			segment.kind = SEGMENT_NUMBER;
			len = 3;
		}
		else if (strncmp(p, "{run}", 5) == 0)
		{
			segment.text = run.tag;
			segment.len = strlen(run.tag);
			len = 5;
		}
		else if (*p != '\0')
		{
			p++;
			continue;
		}

		if (template->count + 2 > MAX_SEGMENTS)
			fatal("too many placeholders");
		if (p > start)
		{
			Segment    *before = &template->segments[template->count++];

			before->kind = SEGMENT_TEXT;
			before->text = start;
			before->len = p - start;
		}
		if (*p == '\0')
			return;
		template->segments[template->count++] = segment;
		p += len;
		start = p;
	}
}

static void
render(Buffer *buffer, const Template *template, const char *row, uint64_t number)
{
	for (int i = 0; i < template->count; i++)
	{
		const Segment *segment = &template->segments[i];
		const char *column = row;
		char		digits[24];

		switch (segment->kind)
		{
			case SEGMENT_TEXT:
				append(buffer, segment->text, segment->len);
				break;
			case SEGMENT_COLUMN:
				for (int skip = segment->column; skip > 0; skip--)
					column += strlen(column) + 1;
				append_text(buffer, column);
				break;
			case SEGMENT_NUMBER:
				snprintf(digits, sizeof(digits), "%llu", (unsigned long long) number);
				append_text(buffer, digits);
				break;
		}
	}
}

/* ---- scenario ---- */

/*
 * The whole of a file, with a NUL after it.  "beside" names the file that the
 * path is relative to, or is NULL.
 */
static char *
read_file(const char *path, const char *beside, size_t *len)
{
	Buffer		content = {0};
	Buffer		name = {0};
	const char *slash = beside != NULL && *path != '/' ? strrchr(beside, '/') : NULL;
	FILE	   *file;
	size_t		got;

	if (slash != NULL)
		append(&name, beside, slash + 1 - beside);
	append(&name, path, strlen(path) + 1);
	file = fopen(name.data, "r");
	if (file == NULL)
		fatal("%s: %s", name.data, strerror(errno));
	do
	{
		reserve(&content, 65536);
		got = fread(content.data + content.len, 1, 65536, file);
		content.len += got;
	} while (got > 0);
	if (ferror(file))
		fatal("%s: %s", name.data, strerror(errno));
	fclose(file);
	free(name.data);
	append(&content, "", 1);
	if (len != NULL)
		*len = content.len - 1;
	return content.data;
}

static void
read_rows(const char *path, const char *beside)
{
	size_t		len;
	size_t		lines = 0;
	char	   *text = read_file(path, beside, &len);
	char	   *save;

	for (size_t i = 0; i < len; i++)
		lines += text[i] == '\n';
	scenario.rows = allocate((lines + 1) * sizeof(char *));
	for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save))
		scenario.rows[scenario.row_count++] = line;
	if (scenario.row_count == 0)
		fatal("%s holds no row", path);
}

/*
 * Separate the columns of all rows, and make sure that each has as many as the
 * scenario asks for.
 */
static void
split_rows(void)
{
	if (scenario.columns > 0 && scenario.row_count == 0)
		fatal("the scenario names columns but no data");
	for (size_t i = 0; i < scenario.row_count; i++)
	{
		int			columns = 1;

		for (char *p = scenario.rows[i]; *p != '\0'; p++)
		{
			if (*p == '\t')
			{
				*p = '\0';
				columns++;
			}
		}
		if (columns < scenario.columns)
			fatal("row %zu of the data has %d columns, the scenario uses %d", i + 1, columns, scenario.columns);
	}
}

static void
read_scenario(const char *path)
{
	char	   *save;
	char	   *text = read_file(path, NULL, NULL);

	strcpy(scenario.method, "GET");
	scenario.status = 200;
	for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save))
	{
		size_t		word = strcspn(line, " \t");
		char	   *value = line + word + strspn(line + word, " \t");

		line[word] = '\0';
		if (*line == '#' || *line == '\0')
			continue;
		if (strcmp(line, "method") == 0 && strlen(value) < sizeof(scenario.method))
			strcpy(scenario.method, value);
		else if (strcmp(line, "path") == 0)
			compile(&scenario.path, value);
		else if (strcmp(line, "data") == 0)
			read_rows(value, path);
		else if (strcmp(line, "status") == 0)
			scenario.status = atoi(value);
		else if (strcmp(line, "expect") == 0 && scenario.expect_count < MAX_EXPECT)
			compile(&scenario.expect[scenario.expect_count++], value);
		else if (strcmp(line, "header") == 0 && scenario.header_count < MAX_HEADERS)
			scenario.headers[scenario.header_count++] = value;
		else if (strcmp(line, "rows") == 0 && (strcmp(value, "in-order") == 0 || strcmp(value, "random") == 0))
			scenario.in_order = strcmp(value, "in-order") == 0;
		else if (strcmp(line, "body") == 0)
		{
			size_t		len;
			char	   *body = read_file(value, path, &len);

			/* a text editor's last newline is not part of a body */
			while (len > 0 && body[len - 1] == '\n')
				body[--len] = '\0';
			compile(&scenario.body, body);
			scenario.has_body = true;
		}
		else
			fatal("%s: \"%s\" is not a word of a scenario, or one too many", path, line);
	}
	split_rows();
}

/* ---- connections ---- */

static void
watch(Connection *c, bool writable, int operation)
{
	struct epoll_event event = {0};

	event.events = EPOLLIN | (writable ? EPOLLOUT : 0);
	event.data.ptr = c;
	if (epoll_ctl(run.epoll, operation, c->fd, &event) != 0)
		fatal("epoll_ctl: %s", strerror(errno));
	c->writable_wanted = writable;
}

static void
close_connection(Connection *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->state = CONNECTION_CLOSED;
}

/*
 * Begin to open a connection.  A server that does not even let us begin is the
 * end of the run: there would be nothing but errors, at full speed.
 */
static void
open_connection(Connection *c)
{
	int			one = 1;

	c->fd = socket(run.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		fatal("socket: %s", strerror(errno));
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(c->fd, (struct sockaddr *) &run.address, run.address_len) != 0 && errno != EINPROGRESS)
		fatal("connect: %s", strerror(errno));
	c->first = true;
	run.opened++;
	watch(c, true, EPOLL_CTL_ADD);
}

/*
 * The request has come to nothing: count it and give up the connection.
 */
static void
fail_connection(Connection *c, const char *what)
{
	note_error("%s (request %llu)", what, (unsigned long long) c->number);
	close_connection(c);
}

static void
send_request(Connection *c)
{
	while (c->sent < c->out.len)
	{
		ssize_t		n = send(c->fd, c->out.data + c->sent, c->out.len - c->sent, MSG_NOSIGNAL);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
		{
			if (!c->writable_wanted)
				watch(c, true, EPOLL_CTL_MOD);
			return;
		}
		if (n < 0)
		{
			fail_connection(c, strerror(errno));
			return;
		}
		c->sent += n;
	}
	c->state = CONNECTION_READING;
	if (c->writable_wanted)
		watch(c, false, EPOLL_CTL_MOD);
}

/*
 * Make the next request and send as much of it as the socket takes.
 */
static void
start_request(Connection *c, int64_t due)
{
	char		length[64];

	c->row = scenario.row_count > 0 ?
		scenario.rows[(scenario.in_order ? run.issued : next_random()) % scenario.row_count] : NULL;
	c->number = run.issued++;
	c->due = due;
	c->sent = 0;
	c->head_len = 0;
	c->in.len = 0;

	rendered.len = 0;
	if (scenario.has_body)
		render(&rendered, &scenario.body, c->row, c->number);
	c->out.len = 0;
	append_text(&c->out, scenario.method);
	append_text(&c->out, " ");
	append_text(&c->out, run.base);
	render(&c->out, &scenario.path, c->row, c->number);
	append_text(&c->out, " HTTP/1.1\r\nHost: ");
	append_text(&c->out, run.host);
	if (run.token != NULL)
	{
		append_text(&c->out, "\r\nAuthorization: Bearer ");
		append_text(&c->out, run.token);
	}
	for (int i = 0; i < scenario.header_count; i++)
	{
		append_text(&c->out, "\r\n");
		append_text(&c->out, scenario.headers[i]);
	}
	if (scenario.has_body)
		snprintf(length, sizeof(length), "\r\nContent-Length: %zu\r\n\r\n", rendered.len);
	else
		strcpy(length, "\r\n\r\n");
	append_text(&c->out, length);
	if (scenario.has_body)
		append(&c->out, rendered.data, rendered.len);

	if (c->state == CONNECTION_CLOSED)
	{
		c->state = CONNECTION_SENDING;
		open_connection(c);
		return;					/* epoll tells when it is open */
	}
	c->state = CONNECTION_SENDING;
	send_request(c);
}

/* ---- answers ---- */

/*
 * Copy JSON without the white space between tokens.  False if brackets or
 * strings do not end, or if there is anything after the value.
 */
static bool
strip_json(const char *json, size_t len, Buffer *to)
{
	int			depth = 0;
	bool		in_string = false;
	bool		ended = false;

	to->len = 0;
	reserve(to, len);
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
check_body(Connection *c)
{
	const char *body = c->in.data + c->head_len;

	run.checked++;
	if (scenario.expect_count == 0)
		return;
	if (!strip_json(body, c->body_len, &stripped))
	{
		note_error("the body of the answer is not JSON (request %llu)", (unsigned long long) c->number);
		return;
	}
	for (int i = 0; i < scenario.expect_count; i++)
	{
		rendered.len = 0;
		render(&rendered, &scenario.expect[i], c->row, c->number);
		if (memmem(stripped.data, stripped.len, rendered.data, rendered.len) == NULL)
		{
			note_error("the answer does not hold %.*s (request %llu)",
					   (int) rendered.len, rendered.data, (unsigned long long) c->number);
			return;
		}
	}
}

static void
record(int64_t latency)
{
	uint64_t	value = latency > 0 ? latency : 0;
	int			octave = value < STEPS ? 0 : 63 - __builtin_clzll(value) - STEP_BITS + 1;
	int			bucket = octave == 0 ? (int) value : octave * STEPS + (int) ((value >> (octave - 1)) & (STEPS - 1));

	run.histogram[bucket]++;
	run.sum += value;
	if (latency > run.longest)
		run.longest = latency;
}

/*
 * The latency that "part" of all answers did not exceed, in microseconds; exact
 * to 1.6 %.
 */
static double
percentile(double part)
{
	uint64_t	wanted = (uint64_t) (part * run.completed);
	uint64_t	seen = 0;

	for (int i = 0; i < BUCKETS; i++)
	{
		seen += run.histogram[i];
		if (seen > wanted || (seen > 0 && seen == run.completed))
		{
			int			octave = i / STEPS;

			if (octave == 0)
				return i / 1000.0;
			return (((uint64_t) (STEPS + i % STEPS) << (octave - 1)) + ((UINT64_C(1) << (octave - 1)) >> 1)) / 1000.0;
		}
	}
	return 0;
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
read_head(Connection *c)
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
	if (c->status < 200 || c->status >= MAX_STATUS)
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

static void
finish_answer(Connection *c)
{
	int64_t		end = now();

	run.completed++;
	if (end <= run.end)
		run.in_time++;
	run.statuses[c->status]++;
	run.bytes += c->head_len + c->body_len;
	record(end - c->due);
	if (c->status != scenario.status)
	{
		const char *body = c->in.data + c->head_len;

		note_error("status %d (request %llu): %.*s", c->status, (unsigned long long) c->number,
				   (int) (c->body_len > 200 ? 200 : c->body_len), body);
	}
	else if (c->first || c->number % run.check == 0)
		check_body(c);
	c->first = false;
	c->state = CONNECTION_FREE;
	if (c->last)
		close_connection(c);
}

static void
read_answer(Connection *c)
{
	for (;;)
	{
		const char *wrong = NULL;
		ssize_t		n;

		reserve(&c->in, 16384);
		n = recv(c->fd, c->in.data + c->in.len, c->in.size - c->in.len - 1, 0);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n == 0 && c->state == CONNECTION_FREE)
		{
			/* between two requests the server may close, as we may */
			close_connection(c);
			return;
		}
		if (n <= 0)
		{
			fail_connection(c, n == 0 ? "the server closed the connection before its answer was complete" : strerror(errno));
			return;
		}
		c->in.len += n;
		if (c->state != CONNECTION_READING)
		{
			/* an answer that does not wait for the request, such as 408 */
			fail_connection(c, "an answer came that nobody had asked for");
			return;
		}
		if (c->head_len == 0)
			wrong = read_head(c);
		if (wrong == NULL && c->head_len > 0 && c->in.len > c->head_len + c->body_len)
			wrong = "bytes follow the answer";
		if (wrong != NULL)
		{
			fail_connection(c, wrong);
			return;
		}
		if (c->head_len > 0 && c->in.len == c->head_len + c->body_len)
		{
			finish_answer(c);
			return;
		}
	}
}

/* ---- the run ---- */

/*
 * Give requests that are due to connections that are free.  With a rate, the
 * clock says how many are due; the connections take turns.
 */
static void
dispatch(Connection *connections)
{
	static int	turn = 0;
	int64_t		t = now();

	for (int i = 0; i < run.connections; i++)
	{
		Connection *c = &connections[(turn + i) % run.connections];
		int64_t		due = t;

		if (t >= run.end || run.errors >= TOO_MANY_ERRORS)
			return;
		if (c->state != CONNECTION_FREE && c->state != CONNECTION_CLOSED)
			continue;
		if (run.rate > 0)
		{
			due = run.start + (int64_t) (run.issued * (SECOND / run.rate));
			if (due > t)
			{
				turn = (turn + i) % run.connections;
				return;
			}
		}
		start_request(c, due);
	}
}

static int
start_clock(void)
{
	struct itimerspec when = {0};
	struct epoll_event event = {0};
	int64_t		interval = (int64_t) (SECOND / run.rate);
	int			fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);

	when.it_value.tv_nsec = 1;
	when.it_interval.tv_sec = interval / SECOND;
	when.it_interval.tv_nsec = interval % SECOND;
	event.events = EPOLLIN;
	event.data.ptr = TIMER;
	if (fd < 0 || timerfd_settime(fd, 0, &when, NULL) != 0 || epoll_ctl(run.epoll, EPOLL_CTL_ADD, fd, &event) != 0)
		fatal("timer: %s", strerror(errno));
	return fd;
}

static void
run_scenario(void)
{
	Connection *connections = allocate(run.connections * sizeof(Connection));
	struct epoll_event events[256];
	int64_t		looked = 0;
	int			clock = -1;

	run.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (run.epoll < 0)
		fatal("epoll: %s", strerror(errno));
	for (int i = 0; i < run.connections; i++)
		connections[i].fd = -1;
	run.start = now();
	run.end = run.start + (int64_t) (run.seconds * SECOND);
	if (run.rate > 0)
		clock = start_clock();
	dispatch(connections);
	for (;;)
	{
		int			count = epoll_wait(run.epoll, events, 256, 100);
		bool		busy = false;
		int64_t		t;

		if (count < 0 && errno != EINTR)
			fatal("epoll_wait: %s", strerror(errno));
		for (int i = 0; i < count; i++)
		{
			Connection *c = events[i].data.ptr;

			if (events[i].data.ptr == TIMER)
			{
				uint64_t	ticks;

				if (read(clock, &ticks, sizeof(ticks)) < 0 && errno != EAGAIN)
					fatal("timer: %s", strerror(errno));
				continue;
			}
			if (c->state == CONNECTION_SENDING && (events[i].events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
				send_request(c);
			if (c->fd >= 0 && (events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) && c->state != CONNECTION_SENDING)
				read_answer(c);

			/* go on at once: the others' answers are not this one's business */
			if (run.rate == 0 && (c->state == CONNECTION_FREE || c->state == CONNECTION_CLOSED) &&
				run.errors < TOO_MANY_ERRORS && (t = now()) < run.end)
				start_request(c, t);
		}
		if (run.rate > 0)
			dispatch(connections);

		t = now();
		if (t - looked > SECOND / 10 || t >= run.end)
		{
			looked = t;
			for (int i = 0; i < run.connections; i++)
			{
				Connection *c = &connections[i];

				if (c->state != CONNECTION_SENDING && c->state != CONNECTION_READING)
					continue;
				if (t - c->due > ANSWER_TIMEOUT)
					fail_connection(c, "no answer within ten seconds");
				else
					busy = true;
			}
			if (!busy && (t >= run.end || run.errors >= TOO_MANY_ERRORS))
				break;
			if (!busy && run.rate == 0)
				dispatch(connections);
		}
	}
	for (int i = 0; i < run.connections; i++)
	{
		close_connection(&connections[i]);
		free(connections[i].out.data);
		free(connections[i].in.data);
	}
	free(connections);
	if (clock >= 0)
		close(clock);
	close(run.epoll);
}

/* ---- report ---- */

static void
print_text(FILE *file, const char *text)
{
	fputc('"', file);
	for (; *text != '\0'; text++)
	{
		if (*text == '"' || *text == '\\')
			fprintf(file, "\\%c", *text);
		else if ((unsigned char) *text < ' ' || *text == 127)
			fprintf(file, "\\u%04x", (unsigned char) *text);
		else
			fputc(*text, file);
	}
	fputc('"', file);
}

/*
 * One JSON object on one line.
 */
static void
report(FILE *file)
{
	double		late = run.rate > 0 ? run.rate * run.seconds - run.issued : 0;
	bool		comma = false;

	fprintf(file, "{\"connections\": %d, \"seconds\": %.3f, \"requests\": %llu, \"answers\": %llu, \"answers_in_time\": %llu, \"rate\": %.1f",
			run.connections, run.seconds, (unsigned long long) run.issued, (unsigned long long) run.completed,
			(unsigned long long) run.in_time, run.in_time / run.seconds);
	if (run.rate > 0)
		fprintf(file, ", \"asked_rate\": %.1f, \"never_sent\": %.0f", run.rate, late > 1 ? late : 0);
	fprintf(file, ", \"mean_us\": %.1f, \"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f",
			run.completed > 0 ? run.sum / run.completed / 1000.0 : 0.0, percentile(0.5), percentile(0.9),
			percentile(0.99), percentile(0.999), run.longest / 1000.0);
	fprintf(file, ", \"bytes\": %llu, \"connections_opened\": %llu, \"bodies_checked\": %llu, \"statuses\": {",
			(unsigned long long) run.bytes, (unsigned long long) run.opened, (unsigned long long) run.checked);
	for (int i = 0; i < MAX_STATUS; i++)
	{
		if (run.statuses[i] == 0)
			continue;
		fprintf(file, "%s\"%d\": %llu", comma ? ", " : "", i, (unsigned long long) run.statuses[i]);
		comma = true;
	}
	fprintf(file, "}, \"errors\": %llu", (unsigned long long) run.errors);
	if (run.errors > 0)
	{
		fputs(", \"first_error\": ", file);
		print_text(file, run.first_error);
	}
	fputs("}\n", file);
}

static void
read_url(const char *url)
{
	struct addrinfo hints = {0};
	struct addrinfo *found;
	char	   *copy;
	char	   *host;
	char	   *port;
	size_t		len;
	int			rc;

	if (strncmp(url, "http://", 7) != 0)
		fatal("the URL must begin with http://");
	url += 7;
	len = strcspn(url, "/");
	run.host = copy_text(url);
	run.host[len] = '\0';
	run.base = copy_text(url + len);
	for (len = strlen(run.base); len > 0 && run.base[len - 1] == '/'; len--)
		run.base[len - 1] = '\0';

	host = copy = copy_text(run.host);
	port = strrchr(host, ':');
	if (port != NULL && strchr(port, ']') == NULL)
		*port++ = '\0';
	else
		port = NULL;
	if (*host == '[')
	{
		host++;
		host[strcspn(host, "]")] = '\0';
	}
	hints.ai_socktype = SOCK_STREAM;
	rc = getaddrinfo(host, port != NULL ? port : "80", &hints, &found);
	if (rc != 0)
		fatal("%s: %s", host, gai_strerror(rc));
	memcpy(&run.address, found->ai_addr, found->ai_addrlen);
	run.address_len = found->ai_addrlen;
	freeaddrinfo(found);
	free(copy);
}

static double
positive(const char *option, const char *value)
{
	char	   *end;
	double		number = strtod(value, &end);

	if (*value == '\0' || *end != '\0' || !(number > 0 && number < 1e9))
		fatal("%s: \"%s\" is not a positive number", option, value);
	return number;
}

int
main(int argc, char **argv)
{
	const char *scenario_path = NULL;
	const char *url = NULL;
	const char *out = NULL;
	char		tag[40];
	FILE	   *file = stdout;

	run.connections = 16;
	run.seconds = 5;
	run.check = 16;
	snprintf(tag, sizeof(tag), "%llx", (unsigned long long) now() * 1021 + getpid());
	run.tag = tag;
	for (int i = 1; i < argc; i++)
	{
		const char *option = argv[i];
		char	   *value = i + 1 < argc ? argv[i + 1] : NULL;

		if (strncmp(option, "--", 2) != 0)
		{
			scenario_path = option;
			continue;
		}
		if (value == NULL)
			fatal("%s: unknown, or without a value", option);
		i++;
		if (strcmp(option, "--url") == 0)
			url = value;
		else if (strcmp(option, "--token-file") == 0)
		{
			run.token = read_file(value, NULL, NULL);
			run.token[strcspn(run.token, "\r\n")] = '\0';
		}
		else if (strcmp(option, "--connections") == 0)
			run.connections = (int) positive(option, value);
		else if (strcmp(option, "--seconds") == 0)
			run.seconds = positive(option, value);
		else if (strcmp(option, "--rate") == 0)
			run.rate = positive(option, value);
		else if (strcmp(option, "--check") == 0)
			run.check = (unsigned) positive(option, value);
		else if (strcmp(option, "--tag") == 0)
			run.tag = value;
		else if (strcmp(option, "--out") == 0)
			out = value;
		else
			fatal("%s: unknown option", option);
	}
	if (scenario_path == NULL || url == NULL || run.connections < 1 || run.connections > 60000 || run.check < 1)
		fatal("usage: load --url URL [--token-file FILE] [--connections N] [--seconds S] [--rate R]\n"
			  "            [--check N] [--tag TEXT] [--out FILE] SCENARIO");
	signal(SIGPIPE, SIG_IGN);
	run.random = (uint64_t) now() ^ ((uint64_t) getpid() << 32) ^ UINT64_C(0x9e3779b97f4a7c15);
	read_url(url);
	read_scenario(scenario_path);

	run_scenario();
	if (run.completed == 0 && run.errors == 0)
		note_error("no answer at all");

	if (out != NULL && (file = fopen(out, "w")) == NULL)
		fatal("%s: %s", out, strerror(errno));
	report(file);
	if (fflush(file) != 0)
		fatal("the report cannot be written: %s", strerror(errno));
	if (run.errors > 0)
		fprintf(stderr, "load: %llu errors; the first: %s\n", (unsigned long long) run.errors, run.first_error);
	return run.errors > 0 ? 1 : 0;
}
