/*
 * peer.c
 *		A SCIM service that behaves like one of the products that the extension
 *		provisions, and misbehaves when told to.  For tests, the quickstart and
 *		measurements; on the loopback interface only.
 *
 * usage: peer [option...]
 *
 *	--port N			default 0: any free one; the first line of output says
 *						"listening on N"
 *	--profile NAME		generic (default), datadog, aws, …: peer_profile.c
 *	--base PATH			of the service; default: the profile's
 *	--token TEXT		bearer token; default: requests need none
 *	--token-file FILE	the same, for other users not to see it
 *	--latency MS		before each answer
 *	--rate N			requests in the profile's period, 0: any number
 *	--delete-means X	gone, disable, none; default: the profile's
 *	--setting NAME=JSON	any that /_peer/settings has
 *	--seed N			so many users, seed1@example.com and on
 *	--state FILE		read at the start, if it is there; written at the end
 *	--random-seed N		for ids and probabilities
 *	--tls-cert FILE --tls-key FILE
 *
 * One thread runs libmicrohttpd's loop.  A request is carried out when its
 * body is complete; its connection is then suspended until its answer is due,
 * so that any number of requests wait without one waiting for another.  Ends
 * on SIGTERM and SIGINT.
 */
#define _GNU_SOURCE

#include <arpa/inet.h>
#include <getopt.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "peer.h"

#define BODY_MAX		(32 << 20)
#define CONTROL			"/_peer/"

Settings	peer_settings = {.grace_ms = 100, .unique = true, .log_max = 200000};
Stats		peer_stats;

static struct MHD_Daemon *server;
static volatile sig_atomic_t ended;

/* A request and how far its answer has come. */
typedef struct Exchange
{
	Request		r;
	char	   *uri;
	char	   *path;
	size_t		size;			/* of r.body */
	bool		begun;
	bool		too_large;
	bool		control;
	bool		done;			/* r.answer is filled in */
	bool		counted;		/* in peer_stats.concurrent */
	double		due;			/* suspended until then */
	double		next_chunk;		/* SEND_TRICKLE */
} Exchange;

/* ---- small things ---- */

double
peer_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000.0 + t.tv_nsec / 1e6;
}

double
peer_wall(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * 1000.0 + t.tv_nsec / 1e6;
}

static void
die(const char *format,...)
{
	va_list		args;

	va_start(args, format);
	fputs("peer: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

/* zeroed */
void *
peer_alloc(size_t size)
{
	void	   *memory = calloc(1, size);

	if (memory == NULL)
		die("out of memory");
	return memory;
}

char *
peer_strdup(const char *s)
{
	return strcpy(peer_alloc(strlen(s) + 1), s);
}

char *
peer_format(const char *format,...)
{
	char	   *text;
	va_list		args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		die("out of memory");
	va_end(args);
	return text;
}

/* splitmix64 */
uint64_t
peer_random(uint64_t *state)
{
	uint64_t	z = (*state += 0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

/* ---- what waits for its time: a heap by due ---- */

static Exchange **waiting;
static int	n_waiting;
static int	size_waiting;

static void
wait_until(Exchange *x, double due)
{
	int			i = n_waiting++;

	if (n_waiting > size_waiting)
	{
		size_waiting = size_waiting ? size_waiting * 2 : 256;
		waiting = realloc(waiting, size_waiting * sizeof(Exchange *));
	}
	x->due = due;
	for (; i > 0 && waiting[(i - 1) / 2]->due > due; i = (i - 1) / 2)
		waiting[i] = waiting[(i - 1) / 2];
	waiting[i] = x;
	MHD_suspend_connection(x->r.connection);
}

static Exchange *
next_due(void)
{
	Exchange   *first = waiting[0];
	Exchange   *last = waiting[--n_waiting];
	int			i = 0;

	for (;;)
	{
		int			child = 2 * i + 1;

		if (child + 1 < n_waiting && waiting[child + 1]->due < waiting[child]->due)
			child++;
		if (child >= n_waiting || waiting[child]->due >= last->due)
			break;
		waiting[i] = waiting[child];
		i = child;
	}
	waiting[i] = last;
	return first;
}

static int
compare_due(const void *a, const void *b)
{
	double		left = (*(Exchange *const *) a)->due;
	double		right = (*(Exchange *const *) b)->due;

	return (left > right) - (left < right);
}

/*
 * Let go of those whose client has hung up: the library does not look at a
 * suspended connection, and a delay can be longer than a test.
 */
static void
sweep(void)
{
	for (int i = 0; i < n_waiting; i++)
		if (!peer_connected(&waiting[i]->r))
		{
			waiting[i]->r.answer.mode = SEND_DROP;
			waiting[i]->due = 0;
		}
	/* what is sorted is a heap */
	qsort(waiting, n_waiting, sizeof(Exchange *), compare_due);
}

/* ---- sending ---- */

/* The body of what is not sent at once. */
static ssize_t
read_body(void *cls, uint64_t at, char *to, size_t room)
{
	Exchange   *x = cls;
	Answer	   *a = &x->r.answer;
	size_t		total = a->mode == SEND_OVERSIZE ? a->size : a->length;
	size_t		n = total - at < room ? total - at : room;

	if (at >= total)
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (a->mode == SEND_OVERSIZE)
	{
		memset(to, ' ', n);
		if (at == 0)
			*to = '[';
		if (at + n == total)
			to[n - 1] = ']';
		return n;
	}
	if (a->mode == SEND_DROP)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	if (a->mode == SEND_CUT)
	{
		size_t		half = a->length / 2;

		if (at >= half)
			return MHD_CONTENT_READER_END_WITH_ERROR;
		n = half - at < n ? half - at : n;
	}
	else
	{
		if (peer_now() < x->next_chunk)
		{
			wait_until(x, x->next_chunk);
			return 0;
		}
		x->next_chunk = peer_now() + a->interval_ms;
		n = n < (size_t) a->chunk ? n : (size_t) a->chunk;
	}
	memcpy(to, a->body + at, n);
	return n;
}

static enum MHD_Result
drop(Exchange *x)
{
	if (x->r.answer.mode == SEND_RESET)
	{
		const union MHD_ConnectionInfo *info = MHD_get_connection_info(x->r.connection, MHD_CONNECTION_INFO_CONNECTION_FD);
		struct linger none = {.l_onoff = 1};

		setsockopt(info->connect_fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	}
	peer_log_end(&x->r, 0);
	return MHD_NO;
}

static enum MHD_Result
reply(Exchange *x)
{
	Answer	   *a = &x->r.answer;
	struct MHD_Response *response;
	const char *name;
	json_t	   *value;
	enum MHD_Result result;

	if (a->mode == SEND_DROP || a->mode == SEND_RESET)
		return drop(x);
	if (a->mode == SEND_PLAIN)
	{
		response = MHD_create_response_from_buffer(a->length, a->body ? a->body : "", a->body ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
		a->body = NULL;
	}
	else
		response = MHD_create_response_from_callback(a->chunked ? MHD_SIZE_UNKNOWN : a->mode == SEND_OVERSIZE ? a->size : a->length,
													 a->mode == SEND_TRICKLE ? 1024 : 65536, read_body, x, NULL);
	if (a->type[0])
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, a->type);
	json_object_foreach(a->headers, name, value)
		MHD_add_response_header(response, name, json_string_value(value));
	if (a->retry_ms > 0)
		peer_announce(peer_now() + a->retry_ms);
	if (a->retry_at > 0)
		peer_announce(a->retry_at);
	if (!x->control)
		peer_log_end(&x->r, a->status);
	result = MHD_queue_response(x->r.connection, a->status, response);
	MHD_destroy_response(response);
	return result;
}

/* ---- receiving ---- */

static const char *
header_of(const Request *r, const char *name)
{
	return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
}

/* Has the client not hung up?  What is part of a Bulk has no connection. */
bool
peer_connected(const Request *r)
{
	struct pollfd fd = {.events = POLLRDHUP};

	if (r->connection == NULL)
		return false;
	fd.fd = MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
	return poll(&fd, 1, 0) == 0;
}

static const char *
arg_of(const Request *r, const char *name)
{
	return MHD_lookup_connection_value(r->connection, MHD_GET_ARGUMENT_KIND, name);
}

static void *
on_uri(void *cls, const char *uri, struct MHD_Connection *connection)
{
	Exchange   *x = peer_alloc(sizeof(Exchange));

	(void) cls;
	x->uri = peer_strdup(uri);
	x->r.uri = x->uri;
	x->r.connection = connection;
	x->r.header = header_of;
	x->r.arg = arg_of;
	return x;
}

static void
on_data(Exchange *x, const char *data, size_t size)
{
	Request    *r = &x->r;

	if (r->length + size > BODY_MAX)
	{
		x->too_large = true;
		return;
	}
	if (r->length + size + 1 > x->size)
	{
		x->size = (r->length + size + 1) * 2;
		r->body = realloc(r->body, x->size);
		if (r->body == NULL)
			die("out of memory");
	}
	memcpy(r->body + r->length, data, size);
	r->length += size;
	r->body[r->length] = '\0';
}

static void
process(Exchange *x)
{
	Request    *r = &x->r;

	x->done = true;
	if (x->control)
	{
		peer_control(r);
		return;
	}
	x->counted = true;
	peer_stats.concurrent++;
	if (peer_stats.concurrent > peer_stats.max_concurrent)
		peer_stats.max_concurrent = peer_stats.concurrent;
	peer_process(r);
	r->answer.delay_ms += peer_settings.latency_ms;
}

static enum MHD_Result
on_request(void *cls, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
		   const char *data, size_t *size, void **state)
{
	Exchange   *x = *state;

	(void) cls;
	(void) connection;
	(void) version;
	if (!x->begun)
	{
		x->begun = true;
		x->path = peer_strdup(url);
		x->r.path = x->path;
		x->r.method = method;
		x->control = strncmp(url, CONTROL, strlen(CONTROL)) == 0;
		return MHD_YES;
	}
	if (*size > 0)
	{
		on_data(x, data, *size);
		*size = 0;
		return MHD_YES;
	}
	if (x->too_large)
		return MHD_NO;
	if (!x->done)
	{
		process(x);
		if (x->r.answer.delay_ms > 0)
		{
			wait_until(x, peer_now() + x->r.answer.delay_ms);
			return MHD_YES;
		}
	}
	return reply(x);
}

static void
on_completed(void *cls, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode code)
{
	Exchange   *x = *state;

	(void) cls;
	(void) connection;
	(void) code;
	if (x == NULL)
		return;
	if (x->r.entry)
		peer_log_end(&x->r, 0);
	peer_written(&x->r);
	if (x->counted)
		peer_stats.concurrent--;
	free(x->r.answer.body);
	json_decref(x->r.answer.headers);
	free(x->r.body);
	free(x->path);
	free(x->uri);
	free(x);
	*state = NULL;
}

/* ---- start ---- */

static void
on_signal(int number)
{
	(void) number;
	ended = 1;
}

static char *
read_file(const char *name)
{
	FILE	   *file = fopen(name, "r");
	char	   *text = NULL;
	size_t		size = 0;

	if (file == NULL || getdelim(&text, &size, '\0', file) < 0)
		die("cannot read %s", name);
	fclose(file);
	return text;
}

static void
start(int port, const char *cert_file, const char *key_file)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	char	   *cert = cert_file ? read_file(cert_file) : NULL;
	char	   *key = key_file ? read_file(key_file) : NULL;
	struct MHD_OptionItem tls[] = {
		{MHD_OPTION_HTTPS_MEM_CERT, 0, cert},
		{MHD_OPTION_HTTPS_MEM_KEY, 0, key},
		{MHD_OPTION_END, 0, NULL}
	};
	static const struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};

	if ((cert == NULL) != (key == NULL))
		die("--tls-cert and --tls-key go together");
	server = MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | (cert ? MHD_USE_TLS : 0), 0, NULL, NULL, on_request, NULL,
							  MHD_OPTION_SOCK_ADDR, &address,
							  MHD_OPTION_LISTENING_ADDRESS_REUSE, 1u,
							  MHD_OPTION_CONNECTION_LIMIT, 4096u,
							  MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) 65536,
							  MHD_OPTION_URI_LOG_CALLBACK, on_uri, NULL,
							  MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL,
							  MHD_OPTION_ARRAY, cert ? tls : none,
							  MHD_OPTION_END);
	if (server == NULL)
		die("cannot listen on port %d of 127.0.0.1", port);
	free(cert);
	free(key);
}

/*
 * Waits on the library's epoll descriptor by itself, because epoll_wait counts
 * in whole milliseconds, which is too coarse for a latency.
 */
static void
run(void)
{
	struct pollfd fd = {
		.fd = MHD_get_daemon_info(server, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd,
		.events = POLLIN
	};
	double		swept = peer_now();

	while (!ended)
	{
		double		wait = 200;
		struct timespec timeout;
		MHD_UNSIGNED_LONG_LONG most;

		if (n_waiting > 0 && peer_now() > swept + 500)
		{
			sweep();
			swept = peer_now();
		}
		/* MHD_get_timeout does not know of these */
		while (n_waiting > 0 && waiting[0]->due <= peer_now())
		{
			MHD_resume_connection(next_due()->r.connection);
			wait = 0;
		}
		if (n_waiting > 0 && waiting[0]->due - peer_now() < wait)
			wait = waiting[0]->due - peer_now();
		if (MHD_get_timeout(server, &most) == MHD_YES && most < wait)
			wait = most;
		if (wait < 0)
			wait = 0;
		timeout.tv_sec = 0;
		timeout.tv_nsec = wait * 1e6;
		ppoll(&fd, 1, &timeout, NULL);
		MHD_run(server);
	}
	/* a daemon must not stop with suspended connections */
	while (n_waiting > 0)
		MHD_resume_connection(next_due()->r.connection);
	MHD_run(server);
	MHD_stop_daemon(server);
}

static void
set(const char *name, const char *text)
{
	json_t	   *value = json_loads(text, JSON_DECODE_ANY, NULL);

	if (value == NULL || !peer_setting(name, value))
		die("there is no setting %s, or not with the value %s", name, text);
	json_decref(value);
}

static void
choose_profile(const char *name)
{
	const Profile *profile = peer_profile(name);

	if (profile == NULL)
	{
		char		names[512];

		peer_profile_names(names, sizeof(names));
		die("there is no profile %s; there are: %s", name, names);
	}
	peer_settings.profile = *profile;
}

int
main(int argc, char **argv)
{
	enum
	{
		PORT = 256, PROFILE, BASE, TOKEN, TOKEN_FILE, LATENCY, RATE, DELETE_MEANS, SETTING, SEED, STATE, RANDOM_SEED, TLS_CERT, TLS_KEY
	};
	static const struct option options[] = {
		{"port", required_argument, NULL, PORT}, {"profile", required_argument, NULL, PROFILE},
		{"base", required_argument, NULL, BASE}, {"token", required_argument, NULL, TOKEN},
		{"token-file", required_argument, NULL, TOKEN_FILE}, {"latency", required_argument, NULL, LATENCY},
		{"rate", required_argument, NULL, RATE}, {"delete-means", required_argument, NULL, DELETE_MEANS},
		{"setting", required_argument, NULL, SETTING}, {"seed", required_argument, NULL, SEED},
		{"state", required_argument, NULL, STATE}, {"random-seed", required_argument, NULL, RANDOM_SEED},
		{"tls-cert", required_argument, NULL, TLS_CERT}, {"tls-key", required_argument, NULL, TLS_KEY},
		{NULL, 0, NULL, 0}
	};
	int			port = 0;
	long		seed = 0;
	const char *state = NULL;
	const char *cert = NULL;
	const char *key = NULL;
	const char *base = NULL;
	uint64_t	random_seed = 1;
	int			option;
	char	   *text;

	choose_profile("generic");
	/* the profile first: other options change what it says */
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		if (option == PROFILE)
			choose_profile(optarg);
		else if (option == '?')
			return 2;
	if (optind < argc)
		die("unknown argument %s", argv[optind]);
	optind = 1;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
	{
		if (option == PORT)
			port = atoi(optarg);
		else if (option == BASE)
			base = optarg;
		else if (option == TOKEN)
			peer_settings.token = peer_strdup(optarg);
		else if (option == TOKEN_FILE)
		{
			peer_settings.token = read_file(optarg);
			peer_settings.token[strcspn(peer_settings.token, "\r\n")] = '\0';
		}
		else if (option == LATENCY)
			set("latency_ms", optarg);
		else if (option == RATE)
			set("rate", optarg);
		else if (option == DELETE_MEANS)
		{
			text = peer_format("\"%s\"", optarg);
			set("delete_means", text);
			free(text);
		}
		else if (option == SETTING)
		{
			text = peer_strdup(optarg);
			if (strchr(text, '=') == NULL)
				die("--setting takes NAME=JSON");
			*strchr(text, '=') = '\0';
			set(text, text + strlen(text) + 1);
			free(text);
		}
		else if (option == SEED)
			seed = atol(optarg);
		else if (option == STATE)
			state = optarg;
		else if (option == RANDOM_SEED)
			random_seed = strtoull(optarg, NULL, 10);
		else if (option == TLS_CERT)
			cert = optarg;
		else if (option == TLS_KEY)
			key = optarg;
	}

	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	peer_stats.by_status = json_object();
	peer_stats.duplicates = json_array();
	peer_store_seed(random_seed);
	peer_faults_seed(random_seed);
	start(port, cert, key);
	port = MHD_get_daemon_info(server, MHD_DAEMON_INFO_BIND_PORT)->port;
	peer_settings.base = peer_strdup(base ? base : peer_settings.profile.base);
	peer_settings.location = peer_settings.profile.location ? peer_strdup(peer_settings.profile.location) :
		peer_format("%s://127.0.0.1:%d%s", cert ? "https" : "http", port, peer_settings.base);
	if (state)
		peer_load(state);
	peer_seed_users(seed);
	printf("listening on %d\n", port);
	fflush(stdout);

	run();
	if (state && !peer_save(state))
		die("cannot write %s", state);
	return 0;
}
