/*
 * unit_client.c
 *		src/client and what it is built on, without a server: URLs, allowed
 *		targets, addresses, options of libcurl as they are really set, and
 *		transfers to a peer on loopback that misbehaves in every way it can
 *		(threat-and-fault-model C1 to C4, K4).
 *
 * The peer is a child process; it forks for each connection, and what it should
 * do is the last segment of the path.  Counters are in shared memory.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../src/client/client_address.h"
#include "../../src/client/client_internal.h"
#include "unit.h"

#define TOKEN "canary-0123456789"

/* ---- the options, read on their way into libcurl ---- */

typedef struct Seen
{
	CURLoption	option;
	long long	number;
	const void *pointer;
	char		text[200];
} Seen;

static Seen seen[100];
static int	nseen;
static sigset_t mask_in_callback;

extern CURLcode __real_curl_easy_setopt(CURL *easy, CURLoption option,...);
extern CURLcode __wrap_curl_easy_setopt(CURL *easy, CURLoption option,...);

CURLcode
__wrap_curl_easy_setopt(CURL *easy, CURLoption option,...)
{
	va_list		args;
	Seen	   *s = &seen[nseen < 99 ? nseen++ : 99];
	CURLcode	code;

	va_start(args, option);
	memset(s, 0, sizeof(*s));
	s->option = option;
	pthread_sigmask(SIG_SETMASK, NULL, &mask_in_callback);
	if (option < CURLOPTTYPE_OBJECTPOINT)
	{
		s->number = va_arg(args, long);
		code = __real_curl_easy_setopt(easy, option, (long) s->number);
	}
	else if (option >= CURLOPTTYPE_OFF_T && option < CURLOPTTYPE_BLOB)
	{
		s->number = va_arg(args, curl_off_t);
		code = __real_curl_easy_setopt(easy, option, (curl_off_t) s->number);
	}
	else
	{
		s->pointer = va_arg(args, void *);
		if (option == CURLOPT_URL || option == CURLOPT_PROXY || option == CURLOPT_USERAGENT || option == CURLOPT_CAINFO ||
			option == CURLOPT_ACCEPT_ENCODING || option == CURLOPT_CUSTOMREQUEST || option == CURLOPT_PROTOCOLS_STR)
			snprintf(s->text, sizeof(s->text), "%s", (const char *) s->pointer);
		code = __real_curl_easy_setopt(easy, option, s->pointer);
	}
	va_end(args);
	return code;
}

/* The value that an option was last set to; NULL: never. */
static const Seen *
last(CURLoption option)
{
	for (int i = nseen - 1; i >= 0; i--)
		if (seen[i].option == option)
			return &seen[i];
	return NULL;
}

static void
number_is(CURLoption option, long long value, const char *name)
{
	const Seen *s = last(option);

	unit_check(s != NULL && s->number == value, "%s is %lld", name, value);
}

static void
text_is(CURLoption option, const char *value, const char *name)
{
	const Seen *s = last(option);

	unit_check(s != NULL && strcmp(s->text, value) == 0, "%s is \"%s\", not \"%s\"", name, value, s ? s->text : "(unset)");
}

#define NUMBER(option, value) number_is(option, value, #option)
#define TEXT(option, value) text_is(option, value, #option)

/* ---- names that resolve to where nothing may go ---- */

typedef int (*Resolver) (const char *, const char *, const struct addrinfo *, struct addrinfo **);

static const struct
{
	const char *name;
	const char *address;
}			names[] = {
	{"inside.test", "127.0.0.1"}, {"six.test", "::1"}, {"metadata.test", "169.254.169.254"}, {"mapped.test", "::ffff:127.0.0.1"}, {"office.test", "10.1.2.3"},
};

extern int	getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **result);

/* In the place of the C library's, for libcurl as well. */
int
getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **result)
{
	Resolver	real;
	void	   *symbol = dlsym(RTLD_NEXT, "getaddrinfo");

	memcpy(&real, &symbol, sizeof(real));
	for (size_t i = 0; node != NULL && i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(node, names[i].name) == 0)
			node = names[i].address;
	return real(node, service, hints, result);
}

/* ---- allocations of our own that fail ---- */

static long fail_at;			/* 0: none */
static long allocations;

static bool
fails(void)
{
	return ++allocations == fail_at;
}

extern void *__real_malloc(size_t size);
extern void *__real_calloc(size_t n, size_t size);
extern void *__real_realloc(void *p, size_t size);
extern char *__real_strdup(const char *text);
extern void *__wrap_malloc(size_t size);
extern void *__wrap_calloc(size_t n, size_t size);
extern void *__wrap_realloc(void *p, size_t size);
extern char *__wrap_strdup(const char *text);

void *
__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *
__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *
__wrap_realloc(void *p, size_t size)
{
	return fails() ? NULL : __real_realloc(p, size);
}

char *
__wrap_strdup(const char *text)
{
	return fails() ? NULL : __real_strdup(text);
}

/* ---- the peer ---- */

typedef struct Shared
{
	volatile int requests;
	volatile int connections;
	volatile int canary;		/* requests to where nothing may go */
	char		head[8192];		/* of the last request */
} Shared;

static Shared *shared;
static int	peer_port;
static pid_t peer_pid;

static void
say(int fd, const char *text)
{
	size_t		left = strlen(text);

	while (left > 0)
	{
		ssize_t		n = send(fd, text, left, MSG_NOSIGNAL);

		if (n <= 0)
			_exit(0);
		text += n;
		left -= (size_t) n;
	}
}

/* Read a request with its body; false: the other side is gone. */
static bool
read_request(int fd, char *head, size_t size)
{
	size_t		len = 0;
	char	   *end;
	const char *length;
	size_t		body;

	for (;;)
	{
		ssize_t		n = read(fd, head + len, size - 1 - len);

		if (n <= 0)
			return false;
		len += (size_t) n;
		head[len] = '\0';
		end = strstr(head, "\r\n\r\n");
		if (end != NULL)
			break;
	}
	length = strcasestr(head, "\r\nContent-Length:");
	body = length != NULL && length < end ? (size_t) atol(length + 17) : 0;
	len -= (size_t) (end + 4 - head);
	while (len < body)
	{
		char		rest[4096];
		ssize_t		n = read(fd, rest, sizeof(rest));

		if (n <= 0)
			return false;
		len += (size_t) n;
	}
	return true;
}

static void
say_length(int fd, const char *extra, const char *body)
{
	char		head[1000];

	snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\n%sContent-Length: %zu\r\n\r\n", extra, strlen(body));
	say(fd, head);
	say(fd, body);
}

static void
say_bomb(int fd)
{
	FILE	   *zip = popen("head -c 20000000 /dev/zero | gzip -c", "r");
	static char bytes[100000];
	size_t		n = fread(bytes, 1, sizeof(bytes), zip);
	char		head[200];

	pclose(zip);
	snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n", n);
	say(fd, head);
	(void) !write(fd, bytes, n);
}

static void
serve(int fd)
{
	static char head[65536];
	int			number = 0;

	while (read_request(fd, head, sizeof(head)))
	{
		char		what[100] = "";
		char		line[300];

		number++;
		sscanf(head, "%*s /scim/%99[a-z0-9]", what);
		if (strcmp(what, "canary") == 0)
			__sync_fetch_and_add(&shared->canary, 1);
		__sync_fetch_and_add(&shared->requests, 1);
		memcpy(shared->head, head, sizeof(shared->head) - 1);

		if (strcmp(what, "redirect") == 0)
		{
			snprintf(line, sizeof(line), "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:%d/scim/canary\r\nContent-Length: 0\r\n\r\n", peer_port);
			say(fd, line);
		}
		else if (strcmp(what, "rates1") == 0)
			say_length(fd, "X-RateLimit-Limit: 10\r\nX-RateLimit-Remaining: 9\r\nX-RateLimit-Reset: 8\r\nRetry-After: 7\r\nETag: W/\"1\"\r\n", "{}");
		else if (strcmp(what, "rates2") == 0)
			say_length(fd, "x-rate-limit-limit:10\r\nX-RATE-LIMIT-REMAINING:  9 \r\nX-Rate-Limit-Reset: 8\r\n", "{}");
		else if (strcmp(what, "rates3") == 0)
			say_length(fd, "RateLimit-Limit: 10\r\nRateLimit-Remaining: 9\r\nRateLimit-Reset: 8\r\nRateLimit-Reset: 99\r\nDate: now\r\nContent-Type: application/json\r\n", "{}");
		else if (strcmp(what, "oddheader") == 0)
			say_length(fd, "ETag: \"\x01\xff\"\r\nLocation: \xc3\xa4\r\n", "{}");
		else if (strcmp(what, "hints") == 0)
		{
			say(fd, "HTTP/1.1 103 Early Hints\r\nLocation: /early\r\n\r\n");
			say_length(fd, "ETag: late\r\n", "{}");
		}
		else if (strcmp(what, "chunked") == 0)
			say(fd, "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\nX-Trailer: 1\r\n\r\n");
		else if (strcmp(what, "none") == 0)
			say(fd, "HTTP/1.1 204 No Content\r\n\r\n");
		else if (strcmp(what, "error") == 0)
			say(fd, "HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\n{}");
		else if (strcmp(what, "exact") == 0 || strcmp(what, "over") == 0)
		{
			char	   *body = calloc(1, 1002);

			memset(body, 'x', what[0] == 'e' ? 1000 : 1001);
			say_length(fd, "", body);
			free(body);
		}
		else if (strcmp(what, "biglength") == 0)
		{
			say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\nx");
			pause();
		}
		else if (strcmp(what, "bigchunks") == 0)
		{
			say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
			for (;;)
				say(fd, "10\r\n0123456789abcdef\r\n");
		}
		else if (strcmp(what, "bighead") == 0)
		{
			say(fd, "HTTP/1.1 200 OK\r\n");
			for (;;)
				say(fd, "X-More: 0123456789abcdef0123456789abcdef0123456789abcdef\r\n");
		}
		else if (strcmp(what, "bomb") == 0)
			say_bomb(fd);
		else if (strcmp(what, "badzip") == 0)
			say_length(fd, "Content-Encoding: gzip\r\n", "this is not gzip at all, is it");
		else if (strcmp(what, "drop") == 0)
			return;
		else if (strcmp(what, "half") == 0)
		{
			say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789");
			return;
		}
		else if (strcmp(what, "halfchunk") == 0)
		{
			say(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n");
			return;
		}
		else if (strcmp(what, "halfhead") == 0)
		{
			say(fd, "HTTP/1.1 200 OK\r\nContent-Len");
			return;
		}
		else if (strcmp(what, "garbage") == 0)
		{
			say(fd, "SSH-2.0-OpenSSH_9.2\r\n\r\n");
			return;
		}
		else if (strcmp(what, "slow") == 0)
			pause();
		else if (strcmp(what, "drip") == 0)
		{
			say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
			for (;;)
			{
				say(fd, "x");
				usleep(300000);
			}
		}
		else if (strcmp(what, "second") == 0 && number > 1)
			return;				/* a kept connection dies under the second request */
		else
			say_length(fd, "", "{\"ok\": true}");
	}
}

static void
start_peer(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t	len = sizeof(at);
	int			fd = socket(AF_INET, SOCK_STREAM, 0);

	shared = mmap(NULL, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *) &at, sizeof(at)) != 0 || listen(fd, 100) != 0 ||
		getsockname(fd, (struct sockaddr *) &at, &len) != 0)
		exit(2);
	peer_port = ntohs(at.sin_port);
	fflush(stdout);
	peer_pid = fork();
	if (peer_pid != 0)
	{
		close(fd);
		return;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGCHLD, SIG_IGN);
	for (;;)
	{
		int			connection = accept(fd, NULL, NULL);

		if (connection < 0)
			continue;
		__sync_fetch_and_add(&shared->connections, 1);
		if (fork() == 0)
		{
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			close(fd);
			serve(connection);
			_exit(0);
		}
		close(connection);
	}
}

/* ---- helpers ---- */

static char base_url[100];

static ScimClientTarget
target(void)
{
	ScimClientTarget t = {
		.base_url = base_url, .token = TOKEN, .allowed = "127.0.0.1", .content_type = "application/scim+json",
		.accept = "application/json", .connect_ms = 3000, .total_ms = 10000, .max_connections = 4
	};

	return t;
}

/* The next response, whatever it takes; NULL: 30 s were not enough. */
static ScimClientResponse *
wait_next(ScimClient *client)
{
	time_t		until = time(NULL) + 30;
	ScimClientResponse *r;

	while ((r = scim_client_next(client)) == NULL && time(NULL) < until)
	{
		struct pollfd p = {.fd = scim_client_fd(client), .events = POLLIN};
		long		ms = scim_client_timeout(client);

		poll(&p, 1, ms < 0 || ms > 1000 ? 1000 : (int) ms);
		scim_client_turn(client);
	}
	return r;
}

static ScimClientResponse *
call_with(ScimClient *client, const ScimClientTarget *t, const char *method, const char *path, const char *body)
{
	ScimClientRequest request = {.method = method, .path = path, .body = body, .body_len = body ? strlen(body) : 0, .max_body = 1000};

	if (!scim_client_start(client, t, &request, NULL))
		return NULL;
	return wait_next(client);
}

static ScimClientResponse *
call(ScimClient *client, const char *method, const char *path, const char *body)
{
	ScimClientTarget t = target();

	return call_with(client, &t, method, path, body);
}

static const char *const outcomes[] = {"ANSWERED", "NOT_SENT", "AMBIGUOUS", "REFUSED", "TOO_LARGE"};

/* Check outcome and status, and that the token is in no detail; release. */
static void
expect(ScimClientResponse *r, ScimTransfer outcome, int status, const char *what)
{
	unit_check(r != NULL, "%s: there is a response", what);
	if (r == NULL)
		return;
	unit_check(r->outcome == outcome && r->status == status, "%s: %s %d, not %s %d (%s)", what,
			   outcomes[outcome], status, outcomes[r->outcome], r->status, r->detail);
	unit_check((r->body != NULL) == (outcome == SCIM_TRANSFER_ANSWERED), "%s: a body if it was answered", what);
	unit_check((r->detail[0] == '\0') == (outcome == SCIM_TRANSFER_ANSWERED), "%s: a detail unless it was answered", what);
	unit_check(strstr(r->detail, TOKEN) == NULL, "%s: the detail is without the token", what);
	scim_client_release(r);
}

/* ---- texts ---- */

static void
test_origin(void)
{
	static const struct
	{
		const char *url;
		const char *origin;
	}			good[] = {
		{"https://example.com", "https://example.com:443"},
		{"HTTPS://Example.COM/scim/v2", "https://example.com:443"},
		{"http://localhost:8080/x", "http://localhost:8080"},
		{"https://a_b.example.com:65535/%41/~x;y=1/", "https://a_b.example.com:65535"},
		{"https://[2001:DB8::1]:8443/", "https://[2001:db8::1]:8443"},
		{"https://10.0.0.1", "https://10.0.0.1:443"},
		{"https://example.com/a@b", "https://example.com:443"},
		{"https://example.com/.a/..b/...", "https://example.com:443"},
		{"http://h", "http://h:80"},
	};
	static const char *const bad[] = {
		"", "https://", "https:///x", "example.com", "//example.com", "ftp://example.com", "file:///etc/passwd", "https:example.com",
		"https://user@example.com", "https://user:pw@example.com/", "https://@example.com", "https://example.com?x", "https://example.com/#x",
		"https://example.com/?aadOptscim062020", "https://example.com:0", "https://example.com:65536", "https://example.com:", "https://example.com:99999999999",
		"https://example.com:8x", "https://exa mple.com", "https://example.com/a b", "https://example.com\\@evil.com", "https://example.com\\.evil.com",
		"https://example.com/\\x", "https://ex%61mple.com", "https://[::1", "https://[fe80::1%25eth0]", "https://[1234]", "https://.example.com",
		"https://example.com.", "https://a..b", "https://example.com/../x", "https://example.com/%2e%2E/x", "https://example.com/a/.", "https://example.com/%zz",
		"https://\xc3\xa4.example", "https://example.com/\xc3\xa4", "https://example.com\n.evil.com", " https://example.com", "https://example.com/\t",
		"javascript:https://x", "https://example.com,evil.com", "https://example.com;evil.com",
	};
	ScimOrigin	origin;
	char		text[SCIM_ORIGIN_SIZE];
	char		longest[3000];

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
	{
		const char *problem = scim_origin_parse(good[i].url, &origin);

		unit_check(problem == NULL, "%s is a URL (%s)", good[i].url, problem ? problem : "");
		if (problem != NULL)
			continue;
		scim_origin_print(&origin, text);
		unit_check(strcmp(text, good[i].origin) == 0, "%s: %s, not %s", good[i].url, good[i].origin, text);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		unit_check(scim_origin_parse(bad[i], &origin) != NULL, "\"%s\" is no URL", bad[i]);
	memset(longest, 'a', sizeof(longest));
	memcpy(longest, "https://", 8);
	longest[2999] = '\0';
	unit_check(scim_origin_parse(longest, &origin) != NULL, "a URL has a length");
	longest[300] = '\0';
	unit_check(scim_origin_parse(longest, &origin) != NULL, "a host has a length");
	longest[8 + SCIM_MAX_HOST] = '\0';
	unit_check(scim_origin_parse(longest, &origin) == NULL, "the longest host");
	scim_origin_print(&origin, text);
	unit_check(strlen(text) == 8 + SCIM_MAX_HOST + 4, "its origin is whole");

	unit_check(scim_request_path_ok("/Users?filter=userName%20eq%20%22a%22&startIndex=1"), "a path with a query");
	unit_check(scim_request_path_ok("/Users/..a?x=/../"), "dots are fine in names and queries");
	unit_check(!scim_request_path_ok("Users") && !scim_request_path_ok("") && !scim_request_path_ok("/a b") && !scim_request_path_ok("/a\r\nX: y") &&
			   !scim_request_path_ok("/Users/..") && !scim_request_path_ok("/Users/%2e%2e/x") && !scim_request_path_ok("/Users/.?x") &&
			   !scim_request_path_ok("/a#b") && !scim_request_path_ok("/a%") && !scim_request_path_ok("/a\\b"), "what is no path");
}

/*
 * Whatever is taken for a URL here, libcurl reads the same way: scheme, host,
 * port, no user.  Mutations of URLs that look alike, from a fixed seed.
 */
static void
test_readers(void)
{
	static const char *const seeds[] = {
		"https://example.com/scim/v2", "http://a.example:8080/x", "https://user:pw@example.com:8443/", "https://[2001:db8::1]:443/a", "https://example.com\\@evil.com/",
		"https://evil.com#@example.com/", "https://example.com:80@evil.com/", "https://a%2eb.com/", "https://[::1]@example.com/", "https://example.com;evil.com:1/?x#y",
	};
	static const char alphabet[] = "aZ09-._~:/?#[]@!$&'()*+,;=%\\ \t\n\r\"<>^`{|}\x01\x7f\xc3\xa4:/@[]";
	unsigned	state = 12345;
	int			taken = 0;
	int			refused_there = 0;

	for (int round = 0; round < 200000; round++)
	{
		char		url[300];
		ScimOrigin	origin;
		size_t		len;
		CURLU	   *u;

#define RANDOM(n) ((state = state * 1664525u + 1013904223u) >> 8) % (n)
		snprintf(url, 200, "%s", seeds[RANDOM(10)]);
		len = strlen(url);
		for (unsigned changes = 1 + RANDOM(4); changes > 0 && len > 1; changes--)
		{
			size_t		at = RANDOM(len);
			char		c = alphabet[RANDOM(sizeof(alphabet) - 1)];

			switch (RANDOM(3))
			{
				case 0:
					url[at] = c;
					break;
				case 1:
					memmove(url + at + 1, url + at, len - at + 1);
					url[at] = c;
					len++;
					break;
				default:
					memmove(url + at, url + at + 1, len - at);
					len--;
			}
		}
		if (scim_origin_parse(url, &origin) != NULL)
			continue;
		taken++;
		u = curl_url();
		if (curl_url_set(u, CURLUPART_URL, url, CURLU_PATH_AS_IS) != CURLUE_OK)
			refused_there++;
		else
		{
			char	   *scheme = NULL;
			char	   *host = NULL;
			char	   *port = NULL;
			char	   *user = NULL;
			bool		numeric = strspn(origin.host, "0123456789abcdefx.") == strlen(origin.host);
			bool		same;

			curl_url_get(u, CURLUPART_SCHEME, &scheme, 0);
			curl_url_get(u, CURLUPART_HOST, &host, 0);
			curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT);
			same = curl_url_get(u, CURLUPART_USER, &user, 0) == CURLUE_NO_USER && strcmp(scheme, origin.https ? "https" : "http") == 0 &&
				atoi(port) == origin.port;
			/* (numbers and IPv6 addresses it spells its own way) */
			if (origin.literal6)
				same = same && host[0] == '[';
			else if (!numeric)
				same = same && strcasecmp(host, origin.host) == 0;
			unit_check(same, "%s is %s port %d here, and %s port %s to libcurl", url, origin.host, origin.port, host, port);
			curl_free(scheme);
			curl_free(host);
			curl_free(port);
			curl_free(user);
		}
		curl_url_cleanup(u);
	}
	unit_check(taken > 5000 && refused_there < taken / 5, "enough of them were URLs (%d, and %d only here)", taken, refused_there);
}

static void
test_allowed(void)
{
	ScimOrigin	origin;

	unit_check(scim_allowed_check("") == NULL && scim_allowed_check("localhost") == NULL &&
			   scim_allowed_check(" a.example:8080 , [::1]:443,10.0.0.1\n") == NULL, "lists");
	unit_check(scim_allowed_check("a b") && scim_allowed_check("a,,b") && scim_allowed_check("a:0") && scim_allowed_check("a:x") && scim_allowed_check("*") &&
			   scim_allowed_check("http://a") && scim_allowed_check("10.0.0.0/8") && scim_allowed_check("::1") && scim_allowed_check(",") && scim_allowed_check("a:70000"), "what is no list");

	scim_origin_parse("http://LocalHost:8080/x", &origin);
	unit_check(scim_allowed_names("localhost", &origin) && scim_allowed_names("x, LOCALHOST:8080", &origin), "named, with and without a port");
	unit_check(!scim_allowed_names("localhost:80", &origin) && !scim_allowed_names("", &origin) && !scim_allowed_names(NULL, &origin) &&
			   !scim_allowed_names("localhost.example", &origin) && !scim_allowed_names("127.0.0.1", &origin), "not named");
	scim_origin_parse("https://[::1]", &origin);
	unit_check(scim_allowed_names("[::1]:443", &origin) && !scim_allowed_names("[::2]", &origin), "IPv6");

	unit_check(scim_bearer_ok("abcXYZ019-._~+/==") && scim_bearer_ok("a"), "bearer tokens");
	unit_check(!scim_bearer_ok("") && !scim_bearer_ok("=") && !scim_bearer_ok("a=b") && !scim_bearer_ok("a b") && !scim_bearer_ok("a\r\nX: y") &&
			   !scim_bearer_ok("\xc3\xa4") && !scim_bearer_ok("a:b") && !scim_bearer_ok("a\"") && !scim_bearer_ok(" a") && !scim_bearer_ok("a\n"), "what is none");
}

static void
test_address(void)
{
	static const char *const public[] = {
		"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0", "169.253.255.255", "169.255.0.0",
		"172.15.255.255", "172.32.0.0", "192.0.1.0", "192.0.3.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "203.0.112.255", "203.0.114.0", "223.255.255.255",
		"2606:4700::1111", "2001:200::1", "2003::1", "2a00:1450:4001::200e", "64:ff9b::1.1.1.1", "3ffe::1",
	};
	static const char *const private[] = {
		"0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.127.255.255", "127.0.0.0", "127.0.0.1", "127.255.255.255", "169.254.0.0", "169.254.169.254",
		"169.254.255.255", "172.16.0.0", "172.31.255.255", "192.0.0.0", "192.0.0.170", "192.0.2.1", "192.88.99.1", "192.168.0.0", "192.168.255.255", "198.18.0.0", "198.19.255.255",
		"198.51.100.7", "203.0.113.7", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::ffff:127.0.0.1", "::ffff:1.1.1.1", "::ffff:169.254.169.254", "::7f00:1", "::1.1.1.1", "64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::a9fe:a9fe",
		"64:ff9b:1::1.1.1.1", "100::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::", "2002:a9fe:a9fe::1",
		"3fff::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "ff0e::1", "5f00::1", "4000::1", "e000::",
		"", "localhost", "1.1.1", "0x7f.1", "1.1.1.1%eth0", "2606:4700::1111%1",
	};
	struct sockaddr unix_address = {.sa_family = AF_UNIX};

	for (size_t i = 0; i < sizeof(public) / sizeof(public[0]); i++)
		unit_check(scim_address_text_public(public[i]), "%s is public", public[i]);
	for (size_t i = 0; i < sizeof(private) / sizeof(private[0]); i++)
		unit_check(!scim_address_text_public(private[i]), "%s is not public", private[i]);
	unit_check(!scim_address_public(&unix_address), "a socket of the file system is not public");
}

static void
test_encode(void)
{
	char	   *text = scim_client_encode("userName eq \"a+b@c&d/\xc3\xa4\"");

	unit_check(text && strcmp(text, "userName%20eq%20%22a%2Bb%40c%26d%2F%C3%A4%22") == 0, "encoded: %s", text ? text : "");
	free(text);
	text = scim_client_encode("");
	unit_check(text && text[0] == '\0', "nothing stays nothing");
	free(text);
}

/* ---- options ---- */

static void
test_options(void)
{
	ScimClient *client = scim_client_create();
	ScimClientTarget t = target();
	ScimClientRequest request = {.method = "PATCH", .path = "/Users/1?x=y", .body = "{}", .body_len = 2, .max_body = 12345};
	static const CURLoption callbacks[] = {CURLOPT_OPENSOCKETFUNCTION, CURLOPT_PREREQFUNCTION, CURLOPT_WRITEFUNCTION, CURLOPT_HEADERFUNCTION};
	sigset_t	mask;

	t.base_url = "https://example.invalid/scim";
	t.ca_file = "/nowhere/ca.pem";
	nseen = 0;
	unit_check(scim_client_start(client, &t, &request, NULL), "started");
	TEXT(CURLOPT_URL, "https://example.invalid/scim/Users/1?x=y");
	TEXT(CURLOPT_PROTOCOLS_STR, "https");
	NUMBER(CURLOPT_FOLLOWLOCATION, 0);
	NUMBER(CURLOPT_SSL_VERIFYPEER, 1);
	NUMBER(CURLOPT_SSL_VERIFYHOST, 2);
	NUMBER(CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
	NUMBER(CURLOPT_NOSIGNAL, 1);
	TEXT(CURLOPT_PROXY, "");
	NUMBER(CURLOPT_NETRC, CURL_NETRC_IGNORED);
	NUMBER(CURLOPT_DISALLOW_USERNAME_IN_URL, 1);
	NUMBER(CURLOPT_PATH_AS_IS, 1);
	NUMBER(CURLOPT_VERBOSE, 0);
	NUMBER(CURLOPT_HTTP09_ALLOWED, 0);
	NUMBER(CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
	TEXT(CURLOPT_USERAGENT, "scim-pg/unit");
	TEXT(CURLOPT_ACCEPT_ENCODING, "gzip, deflate");
	TEXT(CURLOPT_CUSTOMREQUEST, "PATCH");
	TEXT(CURLOPT_CAINFO, "/nowhere/ca.pem");
	unit_check(last(CURLOPT_CAPATH) && last(CURLOPT_CAPATH)->pointer == NULL, "with a file of one's own the system's directory is not trusted");
	NUMBER(CURLOPT_MAXFILESIZE_LARGE, 12345);
	NUMBER(CURLOPT_CONNECTTIMEOUT_MS, 3000);
	NUMBER(CURLOPT_TIMEOUT_MS, 10000);
	NUMBER(CURLOPT_LOW_SPEED_LIMIT, 10);
	NUMBER(CURLOPT_LOW_SPEED_TIME, 5);
	NUMBER(CURLOPT_MAXLIFETIME_CONN, 600);
	NUMBER(CURLOPT_POSTFIELDSIZE_LARGE, 2);
	for (int i = 0; i < 4; i++)
		unit_check(last(callbacks[i]) && last(callbacks[i])->pointer != NULL, "callback %d is set", (int) callbacks[i]);
	unit_check(nseen < 99, "no option was missed");
	unit_check(sigismember(&mask_in_callback, SIGTERM) && sigismember(&mask_in_callback, SIGUSR1) && sigismember(&mask_in_callback, SIGALRM) &&
			   sigismember(&mask_in_callback, SIGINT) && !sigismember(&mask_in_callback, SIGSEGV), "signals are blocked round libcurl");
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	unit_check(!sigismember(&mask, SIGTERM), "and not behind it");

	t.base_url = base_url;
	t.ca_file = NULL;
	nseen = 0;
	scim_client_start(client, &t, &request, NULL);
	TEXT(CURLOPT_PROTOCOLS_STR, "http");
	unit_check(last(CURLOPT_CAINFO) == NULL && last(CURLOPT_CAPATH) == NULL, "else the system's certificates");
	unit_check(scim_client_in_flight(client) == 2, "two in flight");
	scim_client_destroy(client);
}

/* ---- transfers ---- */

static void
test_refused(void)
{
	ScimClient *client = scim_client_create();
	int			before = shared->connections;
	ScimClientTarget t;
	static char base[40][100];
	static const char *const hosts[] = {
		"127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001", "127.0.0.2", "0.0.0.0", "0", "[::1]", "[::]",
		"[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[0:0:0:0:0:0:0:1]", "[64:ff9b::127.0.0.1]", "localhost", "LOCALHOST", "ip6-localhost",
		"169.254.169.254", "0xa9fea9fe", "2852039166", "[fe80::1]", "[fd00:ec2::254]", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.100.100.200", "[fc00::1]",
		"224.0.0.1", "255.255.255.255", "[ff02::1]", "[2002:7f00:1::1]"
	};

	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++)
	{
		ScimClientResponse *r;

		t = target();
		t.allowed = "example.com, 127.0.0.1:1";
		snprintf(base[i], sizeof(base[i]), "https://%s:%d/scim", hosts[i], peer_port);
		t.base_url = base[i];
		r = call_with(client, &t, "GET", "/canary", NULL);
		/* (a name or spelling that this system does not resolve is as silent) */
		unit_check(r && r->status == 0 && (r->outcome == SCIM_TRANSFER_REFUSED || r->outcome == SCIM_TRANSFER_NOT_SENT),
				   "%s is refused: %s", hosts[i], r ? r->detail : "");
		scim_client_release(r);
	}

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		t = target();
		t.allowed = "127.0.0.1, [::1]";	/* what a name resolves to is not what is named */
		snprintf(base[i], sizeof(base[i]), "https://%s:%d/scim", names[i].name, peer_port);
		t.base_url = base[i];
		expect(call_with(client, &t, "GET", "/canary", NULL), SCIM_TRANSFER_REFUSED, 0, names[i].name);
	}

	t = target();
	t.allowed = "localhost";
	expect(call_with(client, &t, "GET", "/canary", NULL), SCIM_TRANSFER_REFUSED, 0, "plain http to who is not named");
	t = target();
	t.base_url = "ftp://127.0.0.1/";
	expect(call_with(client, &t, "GET", "/canary", NULL), SCIM_TRANSFER_REFUSED, 0, "another scheme");
	t = target();
	t.token = TOKEN "\r\nX-Evil: 1";
	expect(call_with(client, &t, "GET", "/canary", NULL), SCIM_TRANSFER_REFUSED, 0, "CR LF in a token");
	t = target();
	t.accept = "a\nb";
	expect(call_with(client, &t, "GET", "/canary", NULL), SCIM_TRANSFER_REFUSED, 0, "LF in Accept");
	t = target();
	t.content_type = "a\rb";
	expect(call_with(client, &t, "POST", "/canary", "{}"), SCIM_TRANSFER_REFUSED, 0, "CR in Content-Type");
	expect(call(client, "CONNECT", "/canary", NULL), SCIM_TRANSFER_REFUSED, 0, "a method");
	expect(call(client, "GET", "/../canary", NULL), SCIM_TRANSFER_REFUSED, 0, "a path with dots");
	expect(call(client, "GET", "canary", NULL), SCIM_TRANSFER_REFUSED, 0, "a path without a slash");
	unit_check(shared->connections == before && shared->canary == 0, "the peer has not heard a thing");

	t = target();
	t.allowed = "Inside.Test";
	snprintf(base[0], sizeof(base[0]), "http://inside.test:%d/scim", peer_port);
	t.base_url = base[0];
	expect(call_with(client, &t, "GET", "/plain", NULL), SCIM_TRANSFER_ANSWERED, 200, "a name that is named");
	scim_client_destroy(client);
}

static void
test_answers(void)
{
	ScimClient *client = scim_client_create();
	ScimClientResponse *r;
	const char *rates[] = {"/rates1", "/rates2", "/rates3"};
	int			before;

	expect(call(client, "GET", "/plain", NULL), SCIM_TRANSFER_ANSWERED, 200, "plain");
	unit_check(strncmp(shared->head, "GET /scim/plain HTTP/1.1\r\n", 26) == 0, "request line");
	unit_check(strstr(shared->head, "\r\nAuthorization: Bearer " TOKEN "\r\n") && strstr(shared->head, "\r\nUser-Agent: scim-pg/unit\r\n") &&
			   strstr(shared->head, "\r\nAccept: application/json\r\n") && !strstr(shared->head, "Content-Type"), "headers: %s", shared->head);
	expect(call(client, "POST", "/plain", "{\"a\": 1}"), SCIM_TRANSFER_ANSWERED, 200, "a POST");
	unit_check(strncmp(shared->head, "POST ", 5) == 0 && strstr(shared->head, "\r\nContent-Type: application/scim+json\r\n") &&
			   strstr(shared->head, "\r\nContent-Length: 8\r\n") && strstr(shared->head, "\r\n\r\n{\"a\": 1}"), "headers and body");
	{
		char	   *large = malloc(2000001);

		memset(large, 'x', 2000000);
		large[2000000] = '\0';
		expect(call(client, "PUT", "/plain", large), SCIM_TRANSFER_ANSWERED, 200, "a large PUT");
		unit_check(!strcasestr(shared->head, "Expect:"), "without Expect");
		free(large);
	}
	expect(call(client, "DELETE", "/none", NULL), SCIM_TRANSFER_ANSWERED, 204, "a DELETE");
	expect(call(client, "GET", "/error", NULL), SCIM_TRANSFER_ANSWERED, 500, "an error is an answer");

	r = call(client, "GET", "/chunked", NULL);
	unit_check(r && r->body && strcmp(r->body, "{\"a\":1}") == 0 && r->body_len == 7, "a chunked body");
	expect(r, SCIM_TRANSFER_ANSWERED, 201, "chunked");
	for (int i = 0; i < 3; i++)
	{
		r = call(client, "GET", rates[i], NULL);
		unit_check(r && r->rate_limit && strcmp(r->rate_limit, "10") == 0 && r->rate_remaining && strcmp(r->rate_remaining, "9") == 0 &&
				   r->rate_reset && strcmp(r->rate_reset, "8") == 0, "rates in spelling %d", i + 1);
		if (i == 0)
			unit_check(r && r->retry_after && strcmp(r->retry_after, "7") == 0 && r->etag && strcmp(r->etag, "W/\"1\"") == 0, "Retry-After, ETag");
		if (i == 2)
			unit_check(r && r->date && r->content_type && strcmp(r->content_type, "application/json") == 0, "Date, Content-Type");
		scim_client_release(r);
	}
	r = call(client, "GET", "/oddheader", NULL);
	unit_check(r && r->status == 200 && r->etag == NULL && r->location == NULL, "headers that are not printable are left out");
	scim_client_release(r);
	r = call(client, "GET", "/hints", NULL);
	unit_check(r && r->status == 200 && r->location == NULL && r->etag && strcmp(r->etag, "late") == 0, "an interim answer is no answer");
	scim_client_release(r);

	r = call(client, "GET", "/redirect", NULL);
	unit_check(r && r->location && strstr(r->location, "/canary"), "Location");
	expect(r, SCIM_TRANSFER_ANSWERED, 302, "redirect");
	unit_check(shared->canary == 0, "a redirect is not followed");

	before = shared->connections;
	for (int i = 0; i < 10; i++)
		scim_client_release(call(client, "GET", "/plain", NULL));
	unit_check(shared->connections <= before + 1, "connections are kept");
	scim_client_destroy(client);
}

static void
test_limits(void)
{
	ScimClient *client = scim_client_create();
	ScimClientTarget t = target();

	expect(call(client, "GET", "/exact", NULL), SCIM_TRANSFER_ANSWERED, 200, "a body as large as it may be");
	expect(call(client, "GET", "/over", NULL), SCIM_TRANSFER_TOO_LARGE, 200, "one byte more");
	expect(call(client, "GET", "/biglength", NULL), SCIM_TRANSFER_TOO_LARGE, 200, "too large by its length");
	expect(call(client, "GET", "/bigchunks", NULL), SCIM_TRANSFER_TOO_LARGE, 200, "endless chunks");
	expect(call(client, "GET", "/bighead", NULL), SCIM_TRANSFER_TOO_LARGE, 200, "an endless head");
	expect(call(client, "GET", "/bomb", NULL), SCIM_TRANSFER_TOO_LARGE, 200, "20 MB in 20 kB");
	t.total_ms = 700;
	expect(call_with(client, &t, "GET", "/slow", NULL), SCIM_TRANSFER_AMBIGUOUS, 0, "no answer in time");
	t.total_ms = 2500;
	expect(call_with(client, &t, "GET", "/drip", NULL), SCIM_TRANSFER_AMBIGUOUS, 200, "an answer that drips");
	scim_client_destroy(client);
}

static void
test_broken(void)
{
	ScimClient *client = scim_client_create();
	ScimClientTarget t = target();
	int			before;
	int			fd;
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t	len = sizeof(at);
	char		url[100];

	expect(call(client, "POST", "/drop", "{}"), SCIM_TRANSFER_AMBIGUOUS, 0, "no answer");
	expect(call(client, "POST", "/garbage", "{}"), SCIM_TRANSFER_AMBIGUOUS, 0, "what is not HTTP");
	expect(call(client, "POST", "/halfhead", "{}"), SCIM_TRANSFER_AMBIGUOUS, 200, "half a head");
	expect(call(client, "POST", "/half", "{}"), SCIM_TRANSFER_AMBIGUOUS, 200, "half a body");
	expect(call(client, "POST", "/halfchunk", "{}"), SCIM_TRANSFER_AMBIGUOUS, 200, "half of the chunks");
	expect(call(client, "GET", "/badzip", NULL), SCIM_TRANSFER_AMBIGUOUS, 200, "gzip that is none");

	/* a port where nobody listens: bound, and not listening */
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(fd, (struct sockaddr *) &at, sizeof(at)) == 0 && getsockname(fd, (struct sockaddr *) &at, &len) == 0)
	{
		snprintf(url, sizeof(url), "http://127.0.0.1:%d", ntohs(at.sin_port));
		t.base_url = url;
		expect(call_with(client, &t, "POST", "/x", "{}"), SCIM_TRANSFER_NOT_SENT, 0, "nobody listens");
	}
	close(fd);
	t = target();
	t.base_url = "https://nowhere.invalid";
	expect(call_with(client, &t, "POST", "/x", "{}"), SCIM_TRANSFER_NOT_SENT, 0, "no such host");
	t = target();
	snprintf(url, sizeof(url), "https://127.0.0.1:%d", peer_port);
	t.base_url = url;
	t.total_ms = 2000;
	expect(call_with(client, &t, "POST", "/canary", "{}"), SCIM_TRANSFER_NOT_SENT, 0, "TLS to who speaks none");
	unit_check(shared->canary == 0, "and it has heard no request");

	/* a kept connection dies under its second request */
	scim_client_destroy(client);
	client = scim_client_create();
	expect(call(client, "POST", "/second", "{}"), SCIM_TRANSFER_ANSWERED, 200, "the first");
	before = shared->requests;
	expect(call(client, "POST", "/second", "{}"), SCIM_TRANSFER_AMBIGUOUS, 0, "the second");
	unit_check(shared->requests == before + 1, "a POST is sent once (%d)", shared->requests - before);
	expect(call(client, "GET", "/second", NULL), SCIM_TRANSFER_ANSWERED, 200, "the first GET");
	before = shared->requests;
	expect(call(client, "GET", "/second", NULL), SCIM_TRANSFER_ANSWERED, 200, "the second GET");
	unit_check(shared->requests == before + 2, "a GET is sent again (%d)", shared->requests - before);
	scim_client_destroy(client);
}

static void
test_many(void)
{
	ScimClient *client = scim_client_create();
	ScimClientTarget t = target();
	int			tags[200];
	int			answered = 0;
	int			before = shared->connections;
	ScimClientResponse *r;
	ScimClientRequest request = {.method = "GET", .path = "/plain", .max_body = 1000};

	for (int i = 0; i < 200; i++)
	{
		tags[i] = 0;
		scim_client_start(client, &t, &request, &tags[i]);
	}
	unit_check(scim_client_in_flight(client) == 200, "200 in flight");
	while (scim_client_in_flight(client) > 0 && (r = wait_next(client)) != NULL)
	{
		answered += r->outcome == SCIM_TRANSFER_ANSWERED;
		(*(int *) r->tag)++;
		scim_client_release(r);
	}
	unit_check(answered == 200 && scim_client_in_flight(client) == 0, "200 answers");
	for (int i = 0; i < 200; i++)
		unit_check(tags[i] == 1, "each with its own tag");
	unit_check(shared->connections - before <= 4, "over four connections (%d)", shared->connections - before);

	request.path = "/slow";
	for (int i = 0; i < 6; i++)
		scim_client_start(client, &t, &request, &tags[i % 2]);
	scim_client_turn(client);
	scim_client_cancel(client, &tags[0]);
	unit_check(scim_client_in_flight(client) == 3, "one tag is cancelled");
	t.token = "not\none";
	scim_client_start(client, &t, &request, &tags[1]);
	unit_check(scim_client_timeout(client) == 0, "what is refused is finished at once");
	scim_client_cancel_all(client);
	unit_check(scim_client_in_flight(client) == 0 && scim_client_next(client) == NULL, "all are cancelled");
	expect(call(client, "GET", "/plain", NULL), SCIM_TRANSFER_ANSWERED, 200, "and it goes on");
	scim_client_start(client, &t, &request, NULL);
	scim_client_destroy(client);
	scim_client_destroy(NULL);
}

/* Each allocation fails once: no crash, no leak, no answer that is none. */
static void
test_memory(void)
{
	ScimClientTarget t = target();
	ScimClientRequest request = {.method = "POST", .path = "/rates1", .body = "{}", .body_len = 2, .max_body = 1000};
	int			refused = 0;
	int			answered = 0;

	t.ca_file = "/nowhere";
	for (long n = 1;; n++)
	{
		ScimClient *client;
		ScimClientResponse *r = NULL;
		bool		started = false;

		allocations = 0;
		fail_at = n;
		client = scim_client_create();
		if (client != NULL)
		{
			started = scim_client_start(client, &t, &request, NULL);
			unit_check(scim_client_in_flight(client) == (started ? 1 : 0), "allocation %ld: in flight is what has started", n);
			if (started)
				r = wait_next(client);
		}
		fail_at = 0;
		if (!started)
			refused++;
		else
		{
			unit_check(r != NULL && (r->outcome == SCIM_TRANSFER_ANSWERED ? r->status == 200 && strcmp(r->body, "{}") == 0 :
									 r->outcome == SCIM_TRANSFER_AMBIGUOUS && strcmp(r->detail, "out of memory") == 0), "allocation %ld: an answer, or it says so", n);
			answered += r != NULL && r->outcome == SCIM_TRANSFER_ANSWERED;
		}
		scim_client_release(r);
		scim_client_destroy(client);
		if (allocations < n)
			break;
	}
	unit_check(refused >= 8 && answered >= 1, "both ends were seen (%d, %d)", refused, answered);
}

int
main(void)
{
	start_peer();
	snprintf(base_url, sizeof(base_url), "http://127.0.0.1:%d/scim", peer_port);

	unit_run("URLs and paths", test_origin);
	unit_run("URLs as libcurl reads them", test_readers);
	unit_run("allowed targets, bearer tokens", test_allowed);
	unit_run("addresses", test_address);
	unit_run("percent-encoding", test_encode);
	unit_run("options of libcurl", test_options);
	unit_run("what is refused", test_refused);
	unit_run("answers", test_answers);
	unit_run("limits", test_limits);
	unit_run("broken connections", test_broken);
	unit_run("many at once", test_many);
	unit_run("memory runs out", test_memory);
	kill(peer_pid, SIGKILL);
	return unit_finish();
}
