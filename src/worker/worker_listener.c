/*
 * worker_listener.c
 *		The listener process: a background worker that serves HTTP requests one
 *		at a time (threat-and-fault-model I1, I9, I10, H4-H7).
 *
 * Two loops.  The outer one looks whether this database can be served (the
 * extension is there, in the version of this library; the server is not in
 * recovery; the worker's role is as harmless as it has to be; the port is
 * free), and waits with one line in the log while it cannot.  The inner one
 * turns the HTTP side, takes complete requests from it, serves each through
 * scim_provider_serve, and waits on the latch, the postmaster and the HTTP
 * side's epoll descriptor.
 *
 * A port belongs to one database, although its listeners bind it with
 * SO_REUSEPORT: before that, under a lock that all databases share, a probe
 * without the option tells whether anybody has the port, and if so, only
 * another listener of this database may share it.
 *
 * A timeout of our own looks four times a second whether the client of the
 * running request is gone or the process is to stop, and cancels the statement
 * then.
 */
#include "postgres.h"

#include <fcntl.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "replication/syncrep.h"
#include "replication/walsender.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "provider/provider.h"
#include "scim_guc.h"
#include "worker/worker_internal.h"
#include "worker/worker_listener_mhd.h"

/* An idle worker wakes this often, and looks for obstacles as often. */
#define CHECK_MS 6000

/* A port or file that was not to be had is tried again after this. */
#define RETRY_MS 10000

/* Time for answers after SIGTERM. */
#define DRAIN_MS 700

#define WATCH_MS 250

/* A request that goes on for so long after its timeout ends its process. */
#define OVERTIME_MS 5000
#define REPORT_STAT_MS 1000

/* Writes that are made durable together: begun within this time, and small. */
#define MAX_TOGETHER_MS 5
#define MAX_SHORT_BODY (64 * 1024)

/* Limits of one request's head that are not settings. */
#define MAX_HEAD_BYTES (16 * 1024)
#define MAX_URL_BYTES (8 * 1024)

/*
 * Bytes; beyond this memory is taken from the system and given back at once, and
 * each page of it costs a fault.  The tree of a Bulk's body fits.  What is kept is
 * given back when it gets quiet (clear_up).
 */
#define KEEP_MEMORY (4 * 1024 * 1024)

/* Descriptors beside connections and the server's own files. */
#define SPARE_DESCRIPTORS 64

/* Key of the lock on binding, in the class of advisory locks; no SQL function
 * can take one of database 0. */
#define BIND_LOCK_KEY 0x7363696d

static ScimWorkerArgs args;
static int	port;				/* wanted or bound */
static TimeoutId watch_timeout;
static const ScimHttpRequest *volatile serving = NULL;
static volatile TimestampTz serving_until = 0;	/* end of its statement timeout */
static TimestampTz serving_at_most_until = 0;	/* with all operations of a Bulk */
static TimestampTz checked_at = 0;
static TimestampTz stats_at = 0;
static bool stats_due = false;

/* --- signals and waiting --- */

/*
 * Runs in the handler of SIGALRM: only flags and system calls.
 */
static void
watch_request(void)
{
	TimestampTz over = serving != NULL ? GetCurrentTimestamp() - serving_until : -1;

	/* code of an owner can catch one cancel, or all of them; the end it can't */
	if (over > OVERTIME_MS * INT64CONST(1000))
	{
		ProcDiePending = true;
		InterruptPending = true;
		SetLatch(MyLatch);
	}
	if (ShutdownRequestPending || over > 0 || (serving != NULL && scim_http_client_gone(serving)))
	{
		QueryCancelPending = true;
		InterruptPending = true;
		SetLatch(MyLatch);
	}
	scim_timeout_again(watch_timeout, WATCH_MS);
}

/* --- the socket --- */

typedef struct ListenAddress
{
	struct sockaddr_storage addr;
	socklen_t	len;
	bool		loopback;
	bool		both;			/* IPv4, too, by an IPv6 socket */
} ListenAddress;

/* The listening socket (-1: none) and what it is bound to. */
static int	listen_fd = -1;
static ListenAddress listen_address;

/* Can this machine bind "::"? */
static bool
have_ipv6(void)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6};
	int			fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool		result;

	if (fd < 0)
		return false;
	result = bind(fd, (const struct sockaddr *) &any, sizeof(any)) == 0;
	close(fd);
	return result;
}

/*
 * scim.listen_address: an IPv4 or IPv6 address, "localhost" or "*".
 */
static bool
parse_address(ListenAddress *result)
{
	const char *text = scim_listen_address;
	struct addrinfo hints = {0};
	struct addrinfo *found = NULL;
	char		service[16];

	if (strcmp(text, "localhost") == 0)
		text = "127.0.0.1";
	else if (strcmp(text, "*") == 0)
		text = have_ipv6() ? "::" : "0.0.0.0";
	hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE;
	hints.ai_family = AF_UNSPEC;
	hints.ai_socktype = SOCK_STREAM;
	snprintf(service, sizeof(service), "%d", port);
	if (getaddrinfo(text, service, &hints, &found) != 0 || found == NULL)
		return false;

	memset(result, 0, sizeof(*result));
	memcpy(&result->addr, found->ai_addr, found->ai_addrlen);
	result->len = found->ai_addrlen;
	result->both = strcmp(scim_listen_address, "*") == 0;
	if (found->ai_family == AF_INET)
	{
		const struct sockaddr_in *in = (const struct sockaddr_in *) found->ai_addr;

		result->loopback = (ntohl(in->sin_addr.s_addr) >> 24) == 127;
	}
	else if (found->ai_family == AF_INET6)
		result->loopback = IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *) found->ai_addr)->sin6_addr);
	freeaddrinfo(found);
	return true;
}

/*
 * A socket bound to the address, or -1 with errno.  With "shared" it listens
 * beside its siblings; without it is a probe.
 */
static int
bind_socket(const ListenAddress *address, bool shared)
{
	int			fd = socket(address->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int			on = 1;
	int			only = !address->both;
	int			saved_errno;

	if (fd < 0)
		return -1;
	/* connections of a predecessor in TIME_WAIT do not matter */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
		(!shared || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0) &&
		(address->addr.ss_family != AF_INET6 ||
		 setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only)) == 0) &&
		bind(fd, (const struct sockaddr *) &address->addr, address->len) == 0 &&
		(!shared || listen(fd, SOMAXCONN) == 0))
		return fd;
	saved_errno = errno;
	close(fd);
	errno = saved_errno;
	return -1;
}

static void
close_socket(void)
{
	if (listen_fd >= 0)
		close(listen_fd);
	listen_fd = -1;
	scim_actual_port = 0;
}

/*
 * Bind the port for this database.  False: "note" says why not.
 */
static bool
open_socket(const ListenAddress *address, char *note)
{
	LOCKTAG		tag;
	int			fd;
	bool		sibling = false;

	scim_timeout_every(watch_timeout, WATCH_MS);
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	SET_LOCKTAG_ADVISORY(tag, InvalidOid, BIND_LOCK_KEY, 0, 2);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);

	fd = bind_socket(address, false);
	if (fd >= 0)
		close(fd);
	else if (errno == EADDRINUSE)
		sibling = scim_worker_sibling_listens(port);
	if (fd >= 0 || sibling)
		fd = bind_socket(address, true);
	if (fd >= 0)
	{
		/* the next one to ask has to see it */
		scim_worker_report(WORKER_LISTENING, port, NULL);
	}
	else if (errno == EADDRINUSE)
		snprintf(note, WORKER_NOTE_LEN, "port %d of %s is in use", port, scim_listen_address);
	else
		snprintf(note, WORKER_NOTE_LEN, "could not bind port %d of %s: %s", port, scim_listen_address, strerror(errno));

	CommitTransactionCommand();
	disable_timeout(watch_timeout, false);
	listen_fd = fd;
	listen_address = *address;
	return fd >= 0;
}

/*
 * As many connections as this process may have and has descriptors for.
 */
static unsigned
connection_limit(void)
{
	struct rlimit limit;
	long		wanted = Max(1, (scim_max_connections + args.count - 1) / args.count);

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
	{
		rlim_t		need = (rlim_t) wanted + max_safe_fds + SPARE_DESCRIPTORS;

		if (limit.rlim_cur < need)
		{
			struct rlimit raised = limit;

			raised.rlim_cur = limit.rlim_max == RLIM_INFINITY ? need : Min(need, limit.rlim_max);
			if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
				limit = raised;
		}
		if (limit.rlim_cur < need)
			wanted = Max(16, (long) limit.rlim_cur - max_safe_fds - SPARE_DESCRIPTORS);
	}
	return (unsigned) wanted;
}

/*
 * Everything that only a new HTTP side can apply, as one text.
 */
static char *
fingerprint(void)
{
	StringInfoData buf;
	const char *files[] = {scim_tls_cert_file, scim_tls_key_file};

	initStringInfo(&buf);
	appendStringInfo(&buf, "%s|%d|%d|%d|%d",
					 scim_listen_address, args.port != 0 ? args.port : scim_port, scim_insecure_bind,
					 scim_max_connections, scim_max_connections_per_address);
	for (int i = 0; i < lengthof(files); i++)
	{
		struct stat st;

		if (files[i][0] == '\0' || stat(files[i], &st) != 0)
			memset(&st, 0, sizeof(st));
		appendStringInfo(&buf, "|%s|%ld|%ld|%ld|%ld", files[i], (long) st.st_ino, (long) st.st_size,
						 (long) st.st_mtim.tv_sec, (long) st.st_mtim.tv_nsec);
	}
	return buf.data;
}

/* And everything else. */
static ScimHttpLimits
current_limits(void)
{
	return (ScimHttpLimits) {
		.max_keepalive_requests = (unsigned) scim_max_keepalive_requests,
			.max_auth_failures = (unsigned) scim_max_auth_failures,
			.max_body = (size_t) scim_max_body_size * 1024,
			.head_timeout_ms = scim_head_timeout,
			.body_timeout_ms = scim_body_timeout,
			.request_timeout_ms = scim_request_timeout,
			.idle_timeout_ms = scim_idle_timeout,
			.write_timeout_ms = scim_write_timeout
	};
}

/*
 * Socket and HTTP side.  NULL: "note" says what is in the way.
 */
static ScimHttpServer *
open_listener(char *note)
{
	ScimHttpConfig config = {0};
	ScimHttpServer *http;
	ListenAddress address;
	char	   *cert = NULL;
	char	   *key = NULL;
	bool		tls = scim_tls_cert_file[0] != '\0';

	port = args.port != 0 ? args.port : scim_port;
	if (!parse_address(&address))
	{
		snprintf(note, WORKER_NOTE_LEN, "scim.listen_address is not an IPv4 or IPv6 address, \"localhost\" or \"*\"");
		return NULL;
	}
	if (!address.loopback && !tls && !scim_insecure_bind)
	{
		snprintf(note, WORKER_NOTE_LEN,
				 "%s is not a loopback address: set scim.tls_cert_file, or scim.insecure_bind", scim_listen_address);
		return NULL;
	}
	if (tls)
	{
		cert = scim_listener_read_pem(scim_tls_cert_file, false, note);
		key = cert != NULL ? scim_listener_read_pem(scim_tls_key_file[0] != '\0' ? scim_tls_key_file : scim_tls_cert_file, true, note) : NULL;
		if (key == NULL)
			return NULL;
	}

	if (listen_fd >= 0 && memcmp(&listen_address, &address, sizeof(address)) != 0)
		close_socket();
	if (listen_fd < 0 && !open_socket(&address, note))
		return NULL;

	config.listen_fd = listen_fd;
	config.tls_cert = cert;
	config.tls_key = key;
	config.max_connections = connection_limit();
	config.max_connections_per_address = (unsigned) scim_max_connections_per_address;
	config.max_head = MAX_HEAD_BYTES;
	config.max_url = MAX_URL_BYTES;
	config.limits = current_limits();
	{
		char		err[128];

		http = scim_http_start(&config, err, sizeof(err));
		if (key != NULL)
			explicit_bzero(key, strlen(key));
		if (http == NULL)
		{
			snprintf(note, WORKER_NOTE_LEN, "the HTTP side did not start: %s", err);
			return NULL;
		}
	}

	if (!address.loopback && !tls)
		ereport(WARNING,
				(errmsg("scim listener %d speaks plain HTTP on %s, as scim.insecure_bind allows",
						args.index + 1, scim_listen_address),
				 errdetail("Whoever sees the traffic sees the tokens.")));
	ereport(LOG,
			(errmsg("scim listener %d listens on %s port %d%s",
					args.index + 1, scim_listen_address, port, tls ? " (TLS)" : "")));
	scim_actual_port = port;
	scim_worker_obstacle_gone();
	return http;
}

/* --- serving --- */

#define MAX_HEADERS 8

static void
add_header(const char **headers, int *n, const char *name, const char *value)
{
	if (value == NULL)
		return;
	Assert(*n + 2 <= 2 * MAX_HEADERS);
	headers[(*n)++] = name;
	headers[(*n)++] = value;
}

/*
 * The time for statements begins, again for each operation of a Bulk; all of
 * them together have that of a request.
 */
static void
start_clock(void)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), scim_statement_timeout);

	serving_until = Min(until, serving_at_most_until);
	enable_timeout_at(STATEMENT_TIMEOUT, serving_until);
}

/*
 * Shared flush: writes that come together are committed one after the other
 * without waiting for the disk, and then made durable at once; their answers
 * are held until then.  A crash in between loses what nobody has heard of.
 * Others may see a row that is not on disk yet, for as long as that takes.
 *
 * What lets a process end in between (an ERROR out of here) must not answer.
 */
static XLogRecPtr flush_to = InvalidXLogRecPtr;

/* A write that is over soon, so that others may wait for it. */
static bool
is_short_write(const ScimHttpView *view)
{
	static const char *const slow[] = {"/Bulk", "/.search"};

	if (strcmp(view->method, "GET") == 0 || strcmp(view->method, "HEAD") == 0 || view->body_len > MAX_SHORT_BODY)
		return false;
	for (int i = 0; i < lengthof(slow); i++)
	{
		size_t		len = strlen(view->path);
		size_t		end = strlen(slow[i]);

		if (len >= end && pg_strcasecmp(view->path + len - end, slow[i]) == 0)
			return false;
	}
	return true;
}

/*
 * Make durable what was committed since the last time, and let the answers go.
 * Replication is waited for as in a commit: a timeout or a cancel ends the wait
 * with a warning.
 */
static void
flush_writes(ScimHttpServer *http)
{
	const DisableTimeoutParams timeouts[] = {{STATEMENT_TIMEOUT, false}, {watch_timeout, false}};

	if (!XLogRecPtrIsInvalid(flush_to))
		XLogFlush(flush_to);
	if (!XLogRecPtrIsInvalid(flush_to) && SyncRepRequested())
	{
		QueryCancelPending = false;
		scim_timeout_every(watch_timeout, WATCH_MS);
		enable_timeout_after(STATEMENT_TIMEOUT, scim_statement_timeout);
		HOLD_INTERRUPTS();
		SyncRepWaitForLSN(flush_to, true);
		RESUME_INTERRUPTS();
		disable_timeouts(timeouts, lengthof(timeouts));
		QueryCancelPending = false;
	}
	flush_to = InvalidXLogRecPtr;
	scim_http_release(http);
}

/*
 * Serve one request and hand its answer over; with "flush_later" it is sent
 * behind flush_writes() only.
 */
static void
serve_request(ScimHttpServer *http, ScimHttpRequest *request, const ScimHttpView *view, bool flush_later,
			  MemoryContext context)
{
	ScimRequest in = {
		.method = view->method,
		.path = view->path,
		.query = view->query,
		.authorization = view->authorization,
		.content_type = view->content_type,
		.accept = view->accept,
		.if_match = view->if_match,
		.if_none_match = view->if_none_match,
		.prefer = view->prefer,
		.body = view->body,
		.body_len = view->body_len,
		.next_operation = start_clock,
		.flush_later = flush_later,
	};
	const DisableTimeoutParams timeouts[] = {{STATEMENT_TIMEOUT, false}, {watch_timeout, false}};
	ScimResponse response;
	ScimHttpReply reply = {0};
	const char *headers[2 * MAX_HEADERS + 1];
	char		retry_after[16];
	XLogRecPtr	committed = XactLastCommitEnd;
	int			n = 0;

	memset(&response, 0, sizeof(response));
	MemoryContextSwitchTo(context);
	SetCurrentStatementStartTimestamp();
	pgstat_report_activity(STATE_RUNNING, "SCIM request");
	QueryCancelPending = false;
	serving_at_most_until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
														 Max(scim_request_timeout, scim_statement_timeout));
	start_clock();
	serving = request;
	scim_timeout_every(watch_timeout, WATCH_MS);

	scim_provider_serve(&in, context, &response);

	disable_timeouts(timeouts, lengthof(timeouts));
	serving = NULL;
	QueryCancelPending = false;
	/* whatever was left open would be the next request's */
	if (IsTransactionOrTransactionBlock())
		elog(ERROR, "a request has left its transaction open");
	if (flush_later && XactLastCommitEnd != committed)
		flush_to = XactLastCommitEnd;
	MemoryContextSwitchTo(context);

	add_header(headers, &n, "Content-Type", response.content_type);
	add_header(headers, &n, "Location", response.location);
	add_header(headers, &n, "ETag", response.etag);
	add_header(headers, &n, "Allow", response.allow);
	add_header(headers, &n, "WWW-Authenticate", response.www_authenticate);
	if (response.retry_after > 0)
	{
		snprintf(retry_after, sizeof(retry_after), "%d", response.retry_after);
		add_header(headers, &n, "Retry-After", retry_after);
	}
	add_header(headers, &n, "Cache-Control", "no-store");
	add_header(headers, &n, "X-Content-Type-Options", "nosniff");
	headers[n] = NULL;

	/* the body of an answer to HEAD is given for its length; it is not sent */
	reply.status = response.status;
	reply.headers = headers;
	reply.body = response.content_type != NULL ? response.body.data : NULL;
	reply.body_len = response.content_type != NULL ? response.body.len : 0;
	reply.hold = flush_later;
	scim_http_answer(http, request, &reply);
	scim_worker_count_request(response.status == 401);
	pgstat_report_activity(STATE_IDLE, NULL);
	stats_due = true;
	MemoryContextSwitchTo(TopMemoryContext);
	MemoryContextReset(context);
}

/* The next request; while answers are held, also one that comes just now. */
static ScimHttpRequest *
next_request(ScimHttpServer *http, bool held, ScimHttpView *view)
{
	ScimHttpRequest *request = scim_http_next(http, view);

	if (request == NULL && held)
	{
		(void) scim_http_turn(http);
		request = scim_http_next(http, view);
	}
	return request;
}

/*
 * Serve the next request, and the short writes that follow a short write;
 * false: there was none.
 */
static bool
serve_next(ScimHttpServer *http, MemoryContext context)
{
	TimestampTz start = GetCurrentTimestamp();
	ScimHttpView view;
	ScimHttpRequest *request;
	bool		held = false;
	bool		any = false;

	while ((request = next_request(http, held, &view)) != NULL)
	{
		bool		together = scim_shared_flush && synchronous_commit > SYNCHRONOUS_COMMIT_OFF && is_short_write(&view);

		any = true;
		/* nobody who is done waits for one that may take long */
		if (!together && held)
		{
			flush_writes(http);
			(void) scim_http_turn(http);
		}
		serve_request(http, request, &view, together, context);
		held = together;
		if (!together || ShutdownRequestPending ||
			TimestampDifferenceExceeds(start, GetCurrentTimestamp(), MAX_TOGETHER_MS))
			break;
	}
	if (held)
		flush_writes(http);
	return any;
}

/*
 * About once a second and when it gets quiet: tell the statistics of what was
 * done, without which autovacuum never hears of our writes; and let go of the
 * memory that is free between what is in use.  An answer that was given just now
 * is still in use, so there will be a second time.
 */
static void
clear_up(TimestampTz now, bool served)
{
	if (!stats_due || !TimestampDifferenceExceeds(stats_at, now, REPORT_STAT_MS))
		return;
	pgstat_report_stat(true);
#ifdef __GLIBC__
	(void) malloc_trim(0);
#endif
	stats_at = now;
	stats_due = served;
}

/*
 * The inner loop.  Returns when the process is to end, when a setting wants a
 * new listener (NULL), or when there is an obstacle.
 */
static const char *
serve(ScimHttpServer *http, MemoryContext context)
{
	WaitEventSet *set = scim_create_wait_event_set(3);
	char	   *settings = fingerprint();
	const char *obstacle = NULL;
	int			unwatched = 0;

	AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(set, WL_SOCKET_READABLE, scim_http_epoll_fd(http), NULL, NULL);

	while (!ShutdownRequestPending)
	{
		int			wait = scim_http_turn(http);
		bool		served = serve_next(http, context);
		TimestampTz now;
		long		next_check;
		WaitEvent	event;

		now = GetCurrentTimestamp();
		clear_up(now, served);
		if (ConfigReloadPending)
		{
			char	   *changed;
			ScimHttpLimits limits;

			scim_worker_reload();
			changed = fingerprint();
			if (strcmp(changed, settings) != 0)
				break;
			pfree(changed);
			limits = current_limits();
			scim_http_set_limits(http, &limits);
		}
		if (TimestampDifferenceExceeds(checked_at, now, CHECK_MS))
		{
			obstacle = scim_worker_obstacle();
			checked_at = now;
			if (obstacle != NULL)
				break;
			MemoryContextSwitchTo(TopMemoryContext);
		}

		/* look at the latch now and then, however much there is to do */
		if (served)
		{
			if (++unwatched < 16)
				continue;
			wait = 0;
		}
		unwatched = 0;
		next_check = CHECK_MS + 1 - TimestampDifferenceMilliseconds(checked_at, now);
		if (wait < 0 || wait > next_check)
			wait = (int) Max(next_check, 0);
		if (stats_due)
			wait = Min(wait, REPORT_STAT_MS);
		(void) WaitEventSetWait(set, wait, &event, 1, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		scim_worker_interrupts();
	}

	FreeWaitEventSet(set);
	pfree(settings);
	return obstacle;
}

/*
 * Answer what is in hand, for a moment, and close everything.  With "again" a
 * new HTTP side follows: it gets the socket, on which clients wait meanwhile.
 */
static void
close_listener(ScimHttpServer *http, bool again, MemoryContext context)
{
	TimestampTz start = GetCurrentTimestamp();
	int			open;

	if (!again)
		scim_worker_report(WORKER_STOPPING, port, NULL);
	open = scim_http_quiesce(http);
	/* nobody may wait on a socket that is going to be closed */
	if (!again)
		close_socket();
	while (open > 0 && !TimestampDifferenceExceeds(start, GetCurrentTimestamp(), DRAIN_MS))
	{
		struct pollfd p = {.fd = scim_http_epoll_fd(http), .events = POLLIN};

		(void) scim_http_turn(http);
		if (!serve_next(http, context))
			(void) poll(&p, 1, 20);
		open = scim_http_quiesce(http);
	}
	scim_http_stop(http);
}

/* --- the process --- */

/*
 * Memory of one large answer goes back to the system.  By itself the C library
 * takes the size of what was freed last for what it should keep.
 */
static void
give_memory_back(void)
{
#ifdef __GLIBC__
	(void) mallopt(M_MMAP_THRESHOLD, KEEP_MEMORY);
	(void) mallopt(M_TRIM_THRESHOLD, 2 * KEEP_MEMORY);
#endif
}

void
scim_listener_main(Datum arg)
{
	MemoryContext context;

	memcpy(&args, MyBgworkerEntry->bgw_extra, sizeof(args));
	give_memory_back();
	scim_worker_begin(&args);
	watch_timeout = RegisterTimeout(USER_TIMEOUT, watch_request);
	port = args.port != 0 ? args.port : scim_port;
	scim_worker_report(WORKER_STARTING, port, NULL);
	context = AllocSetContextCreate(TopMemoryContext, "scim request", ALLOCSET_DEFAULT_SIZES);

	while (!ShutdownRequestPending)
	{
		const char *obstacle = scim_worker_obstacle();
		long		retry = CHECK_MS;
		char		note[WORKER_NOTE_LEN];
		ScimHttpServer *http;

		checked_at = GetCurrentTimestamp();
		MemoryContextSwitchTo(context);
		if (obstacle == NULL)
		{
			http = open_listener(note);
			MemoryContextSwitchTo(TopMemoryContext);
			MemoryContextReset(context);
			if (http != NULL)
			{
				obstacle = serve(http, context);
				close_listener(http, obstacle == NULL && !ShutdownRequestPending, context);
			}
			else
			{
				close_socket();
				obstacle = note;
				retry = RETRY_MS;
			}
		}
		MemoryContextSwitchTo(TopMemoryContext);
		if (obstacle != NULL && !ShutdownRequestPending)
		{
			scim_worker_report_obstacle(&args, port, obstacle);
			scim_worker_idle(retry);
		}
	}
	scim_worker_end(&args);
}
