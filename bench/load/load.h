/*
 * load.h
 *		What the parts of the load generator share: the run, its scenarios,
 *		its connections.
 *
 * load_main.c has the manual.
 */
#ifndef LOAD_H
#define LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>

#define LOAD_SECOND		INT64_C(1000000000) /* times are in ns */
#define LOAD_MAX_STATUS	600
#define LOAD_MAX_EXPECT	8
#define LOAD_MAX_HEADERS 8
#define LOAD_MAX_ERRORS	1000	/* there is nothing to learn from more */

/* Log-linear histogram of nanoseconds: 64 steps to each power of two. */
#define LOAD_STEP_BITS	6
#define LOAD_STEPS		(1 << LOAD_STEP_BITS)
#define LOAD_BUCKETS	((64 - LOAD_STEP_BITS + 1) * LOAD_STEPS)

typedef struct LoadBuffer
{
	char	   *data;
	size_t		len;
	size_t		size;
} LoadBuffer;

typedef struct LoadLatencies
{
	uint64_t	histogram[LOAD_BUCKETS];
	uint64_t	count;
	int64_t		longest;
	double		sum;
} LoadLatencies;

typedef enum LoadSegmentKind
{
	LOAD_SEGMENT_TEXT,
	LOAD_SEGMENT_COLUMN,
	LOAD_SEGMENT_NUMBER,
	LOAD_SEGMENT_CARRY
} LoadSegmentKind;

typedef struct LoadSegment
{
	LoadSegmentKind kind;
	const char *text;			/* LOAD_SEGMENT_TEXT */
	size_t		len;
	int			column;			/* LOAD_SEGMENT_COLUMN: 0 is the first */
} LoadSegment;

typedef struct LoadTemplate
{
	LoadSegment *segments;
	int			count;
	int			size;
} LoadTemplate;

typedef struct LoadConnection LoadConnection;

/* A server: its address, and the connections to it that wait for work. */
typedef struct LoadTarget
{
	const char *url;			/* as it was given */
	struct sockaddr_storage address;
	socklen_t	address_len;
	char	   *host;			/* with its port, for the header */
	char	   *name;			/* without, for the certificate */
	char	   *base;			/* path of the URL, no slash at its end */
	bool		tls;
	LoadConnection *connections;	/* one for each request under way */
	LoadConnection **idle;		/* a ring: they take turns */
	int			first_idle;
	int			idle_count;
} LoadTarget;

typedef enum LoadOrder
{
	LOAD_ORDER_RANDOM,
	LOAD_ORDER_GIVEN,			/* one after the other */
	LOAD_ORDER_WALK				/* the same on each connection, from a place of its own */
} LoadOrder;

typedef struct LoadScenario
{
	const char *name;			/* path of its file, as it was given */
	LoadTarget *target;
	char	   *token;			/* or NULL */
	char		method[16];
	LoadTemplate path;
	LoadTemplate body;
	bool		has_body;
	LoadTemplate expect[LOAD_MAX_EXPECT];
	int			expect_count;
	char	   *headers[LOAD_MAX_HEADERS];
	int			header_count;
	int			status;
	char	   *carry;			/* what {carry} is preceded by, or NULL */
	char	  **rows;			/* columns are separated by NUL */
	size_t		row_count;
	LoadOrder	order;
	int			columns;		/* of every row */
	uint64_t	issued;
	LoadLatencies latencies;
} LoadScenario;

typedef enum LoadState
{
	LOAD_CLOSED,				/* idle, and has to be opened first */
	LOAD_IDLE,
	LOAD_SENDING,				/* opening counts as sending */
	LOAD_READING
} LoadState;

struct LoadConnection
{
	LoadTarget *target;
	int			index;			/* among those of its target */
	int			fd;
	void	   *tls;			/* gnutls_session_t, or NULL */
	bool		handshaken;
	LoadState	state;
	bool		writable_wanted;	/* epoll tells when it can be written */
	bool		first;			/* no answer has come on it yet */
	LoadBuffer	out;
	size_t		sent;
	LoadBuffer	in;
	size_t		head_len;		/* 0: the head is not complete yet */
	size_t		body_len;		/* valid when the head is complete */
	int			status;
	bool		last;			/* the server closes after this answer */
	LoadScenario *scenario;		/* of the request under way */
	const char *row;
	uint64_t	number;
	int64_t		due;
	uint64_t	walked;			/* rows, with LOAD_ORDER_WALK */
	LoadBuffer	carry;			/* ends with NUL when it holds anything */
};

typedef struct LoadRun
{
	char	   *token;			/* of scenarios that name none, or NULL */
	const char *ca_file;
	char	   *tag;
	int			connections;
	double		warm;			/* seconds before anything is counted */
	double		seconds;
	double		rate;			/* 0: no rate */
	unsigned	check;
	const char *watched;		/* processes whose CPU time is read, or NULL */
	LoadScenario *scenarios;
	int			scenario_count;
	int			epoll;
	int			in_flight;
	int64_t		start;			/* of sending */
	int64_t		begin;			/* of counting */
	int64_t		end;
	uint64_t	issued;
	uint64_t	completed;		/* answers, right or wrong */
	uint64_t	in_time;		/* those that came while counting */
	uint64_t	bytes_in_time;
	uint64_t	checked;
	uint64_t	opened;
	uint64_t	errors;
	uint64_t	statuses[LOAD_MAX_STATUS];
	LoadLatencies latencies;	/* of all scenarios */
	double		cpu;			/* seconds of the processes watched */
	char		first_error[300];
	uint64_t	random;
} LoadRun;

extern LoadRun load_run;

/* load_main.c */
extern void load_fatal(const char *format,...) __attribute__((format(printf, 1, 2), noreturn));
extern void load_error(const char *format,...) __attribute__((format(printf, 1, 2)));
extern int64_t load_now(void);
extern void *load_allocate(size_t size);
extern void load_reserve(LoadBuffer *buffer, size_t more);
extern void load_append(LoadBuffer *buffer, const char *text, size_t len);
extern void load_append_text(LoadBuffer *buffer, const char *text);
extern char *load_copy_text(const char *text);
extern char *load_read_file(const char *path, const char *beside, size_t *len);
extern char *load_read_token(const char *path, const char *beside);

/* load_scenario.c */
extern void load_scenario_read(LoadScenario *scenario, const char *path, const char *url);
extern void load_render(LoadBuffer *buffer, const LoadTemplate *template, const LoadConnection *c);

/* load_connection.c */
extern LoadTarget *load_target(const char *url);
extern LoadConnection *load_take_idle(LoadTarget *target);
extern void load_start_request(LoadConnection *c, LoadScenario *scenario, int64_t due);
extern void load_serve_event(LoadConnection *c, uint32_t events);
extern bool load_any_under_way(int64_t timeout);
extern void load_close_all(void);

/* load_answer.c */
extern const char *load_read_answer(LoadConnection *c, bool *complete);
extern void load_finish_answer(LoadConnection *c);

/* load_tls.c */
extern void load_tls_open(LoadConnection *c);
extern void load_tls_close(LoadConnection *c);
extern int	load_tls_handshake(LoadConnection *c, const char **wrong);
extern ssize_t load_tls_send(LoadConnection *c, const char *data, size_t len, const char **wrong);
extern ssize_t load_tls_receive(LoadConnection *c, char *data, size_t size, const char **wrong);

/* load_report.c */
extern void load_record(LoadLatencies *latencies, int64_t latency);
extern void load_report(FILE *file);

#endif							/* LOAD_H */
