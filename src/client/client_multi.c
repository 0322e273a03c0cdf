/*
 * client_multi.c
 *		Transfers: libcurl's multi handle behind an epoll descriptor.
 *
 * libcurl says through a callback which sockets it waits for, and they are
 * registered in one epoll descriptor, which the process waits on beside its
 * latch; it also says when it wants to be called without an event.  A turn tells
 * libcurl what has happened and moves what has finished to the list of finished
 * transfers.
 *
 * All signals are blocked round everything that can enter libcurl: its threads
 * for names inherit the mask, so that a handler of the server never runs in one
 * of them (threat-and-fault-model C4).
 *
 * No function here raises, and nothing of libcurl calls into the server.
 */
#ifdef POSTGRES_H
#error "client_multi.c must not use the server's API"
#endif

#ifndef _GNU_SOURCE
#define _GNU_SOURCE				/* explicit_bzero */
#endif

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "client_internal.h"

#define EVENTS 64

/* Handles kept for the next requests: a new one costs as much as a third of a transfer. */
#define MAX_IDLE 200

/* Connections kept; by default it is a multiple of what runs at the moment. */
#define MAX_KEPT 500L

typedef ScimClientTransfer Transfer;

typedef struct List
{
	Transfer   *first;
	Transfer   *last;
} List;

struct ScimClient
{
	CURLM	   *multi;
	int			epoll;
	CURL	   *idle[MAX_IDLE]; /* handles of transfers that have ended */
	int			nidle;
	List		running;
	List		finished;		/* in the order they finished */
	int			in_flight;
};

/* ---- small things ---- */

static double
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec * 1e3 + (double) t.tv_nsec / 1e6;
}

static void
block_signals(sigset_t *saved)
{
	sigset_t	all;

	sigfillset(&all);
	/* faults have to be seen for what they are */
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGILL);
	sigdelset(&all, SIGABRT);
	sigdelset(&all, SIGTRAP);
	pthread_sigmask(SIG_SETMASK, &all, saved);
}

static void
restore_signals(const sigset_t *saved)
{
	pthread_sigmask(SIG_SETMASK, saved, NULL);
}

static void
list_append(List *list, Transfer *t)
{
	t->prev = list->last;
	t->next = NULL;
	if (list->last != NULL)
		list->last->next = t;
	else
		list->first = t;
	list->last = t;
}

static void
list_remove(List *list, Transfer *t)
{
	if (t->prev != NULL)
		t->prev->next = t->next;
	else
		list->first = t->next;
	if (t->next != NULL)
		t->next->prev = t->prev;
	else
		list->last = t->prev;
}

static void set_detail(Transfer *t, const char *format,...)
			__attribute__((format(printf, 2, 3)));

static void
set_detail(Transfer *t, const char *format,...)
{
	va_list		args;

	va_start(args, format);
	vsnprintf(t->response.detail, sizeof(t->response.detail), format, args);
	va_end(args);

	/* messages of libcurl can quote what the peer has sent */
	for (char *p = t->response.detail; *p != '\0'; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
}

/* What only a running transfer needs, the token among it. */
static void
free_request(Transfer *t)
{
	for (struct curl_slist *h = t->headers; h != NULL; h = h->next)
		explicit_bzero(h->data, strlen(h->data));
	curl_slist_free_all(t->headers);
	t->headers = NULL;
	free(t->url);
	free(t->content);
	free(t->ca_file);
	t->url = t->content = t->ca_file = NULL;
}

static void
free_transfer(Transfer *t)
{
	ScimClientResponse *r = &t->response;

	free_request(t);
	free(r->body);
	free(r->content_type);
	free(r->location);
	free(r->etag);
	free(r->retry_after);
	free(r->rate_limit);
	free(r->rate_remaining);
	free(r->rate_reset);
	free(r->date);
	free(t);
}

/* ---- what libcurl tells ---- */

static int
on_socket(CURL *easy, curl_socket_t fd, int what, void *data, void *known)
{
	ScimClient *client = data;
	struct epoll_event event = {0};

	if (what == CURL_POLL_REMOVE)
	{
		/* it may be closed already, and then it is gone from there */
		(void) epoll_ctl(client->epoll, EPOLL_CTL_DEL, fd, &event);
		return 0;
	}
	event.data.fd = fd;
	if (what != CURL_POLL_OUT)
		event.events |= EPOLLIN;
	if (what != CURL_POLL_IN)
		event.events |= EPOLLOUT;
	/* libcurl says of a new one that it is not known */
	if (epoll_ctl(client->epoll, known != NULL ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) != 0 &&
		((errno != ENOENT && errno != EEXIST) ||
		 epoll_ctl(client->epoll, errno == ENOENT ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event) != 0))
		return -1;
	if (known == NULL)
		(void) curl_multi_assign(client->multi, fd, client);
	return 0;
}

/* ---- handles ---- */

/* One without any option set, or NULL. */
static CURL *
take_handle(ScimClient *client)
{
	return client->nidle > 0 ? client->idle[--client->nidle] : curl_easy_init();
}

/* Nothing of its transfer stays but what libcurl knows of hosts and TLS sessions. */
static void
give_handle(ScimClient *client, CURL *easy)
{
	if (client->nidle == MAX_IDLE)
		curl_easy_cleanup(easy);
	else
	{
		curl_easy_reset(easy);
		client->idle[client->nidle++] = easy;
	}
}

/* ---- finishing ---- */

/* Put a transfer that libcurl has nothing of any more on the finished list. */
static void
finish(ScimClient *client, Transfer *t)
{
	free_request(t);
	t->response.ms = now_ms() - t->started;
	list_append(&client->finished, t);
}

/* What became of a transfer that libcurl is done with. */
static void
judge(Transfer *t, CURLcode code)
{
	ScimClientResponse *r = &t->response;
	long		status = 0;
	const char *text = t->error[0] != '\0' ? t->error : curl_easy_strerror(code);

	if (curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK)
		r->status = (int) status;

	if (t->too_large || code == CURLE_FILESIZE_EXCEEDED)
	{
		r->outcome = SCIM_TRANSFER_TOO_LARGE;
		set_detail(t, "the answer is larger than %zu bytes, or its head larger than 64 KiB", t->max_body);
	}
	else if (code == CURLE_OK && t->head_whole && (r->body != NULL || (r->body = calloc(1, 1)) != NULL))
		r->outcome = SCIM_TRANSFER_ANSWERED;
	else if (t->refused && !t->sent)
	{
		r->outcome = SCIM_TRANSFER_REFUSED;
		set_detail(t, "the host has an address that is not public, and scim.allowed_targets does not name it");
	}
	else
	{
		r->outcome = t->sent ? SCIM_TRANSFER_AMBIGUOUS : SCIM_TRANSFER_NOT_SENT;
		if (code == CURLE_OK && !t->head_whole)
			set_detail(t, "the answer broke off in its head");
		else if (code == CURLE_OK || code == CURLE_WRITE_ERROR || code == CURLE_OUT_OF_MEMORY)
			set_detail(t, "out of memory");
		else if (code == CURLE_ABORTED_BY_CALLBACK)
			set_detail(t, "the connection broke off before an answer");
		else
			set_detail(t, "%s", text);
	}
	if (r->outcome != SCIM_TRANSFER_ANSWERED)
	{
		free(r->body);
		r->body = NULL;
		r->body_len = 0;
	}
}

static void
collect(ScimClient *client)
{
	CURLMsg    *message;
	int			left;

	while ((message = curl_multi_info_read(client->multi, &left)) != NULL)
	{
		Transfer   *t = NULL;
		CURLcode	code = message->data.result;
		CURL	   *easy = message->easy_handle;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(easy, CURLINFO_PRIVATE, &t);
		judge(t, code);
		curl_multi_remove_handle(client->multi, easy);
		give_handle(client, easy);
		t->easy = NULL;
		list_remove(&client->running, t);
		finish(client, t);
	}
}

/* ---- requests ---- */

static bool
printable(const char *text)
{
	for (; *text != '\0'; text++)
		if (*text < ' ' || *text > '~')
			return false;
	return true;
}

/*
 * Is the request one that may be sent?  Else the text of why not.  Whatever
 * goes into a header is checked here: libcurl sends CR and LF in it as they are.
 */
static const char *
check_request(const ScimClientTarget *target, const ScimClientRequest *request, ScimOrigin *origin)
{
	static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};
	const char *problem = scim_origin_parse(target->base_url, origin);
	size_t		i = 0;

	if (problem != NULL)
		return problem;
	if (!origin->https && !scim_allowed_names(target->allowed, origin))
		return "plain http goes only to hosts that scim.allowed_targets names";
	while (i < sizeof(methods) / sizeof(methods[0]) && strcmp(methods[i], request->method) != 0)
		i++;
	if (i == sizeof(methods) / sizeof(methods[0]))
		return "the method is not one of SCIM";
	if (!scim_request_path_ok(request->path))
		return "the path of the request is not one";
	if (target->token != NULL && !scim_bearer_ok(target->token))
		return "the secret is not of the alphabet of bearer tokens (RFC 6750)";
	if (!printable(target->content_type) || !printable(target->accept))
		return "a header value holds characters that are not printable ASCII";
	return NULL;
}

/* Append "name: value"; an empty value takes away what libcurl would send. */
static bool
add_header(Transfer *t, const char *name, const char *value)
{
	size_t		size = strlen(name) + strlen(value) + 3;
	char	   *line = malloc(size);
	struct curl_slist *longer;

	if (line == NULL)
		return false;
	snprintf(line, size, value[0] != '\0' ? "%s: %s" : "%s:", name, value);
	longer = curl_slist_append(t->headers, line);
	explicit_bzero(line, size);
	free(line);
	if (longer == NULL)
		return false;
	t->headers = longer;
	return true;
}

static bool
copy_request(Transfer *t, const ScimClientTarget *target, const ScimClientRequest *request)
{
	size_t		size = strlen(target->base_url) + strlen(request->path) + 1;

	t->url = malloc(size);
	if (t->url == NULL)
		return false;
	snprintf(t->url, size, "%s%s", target->base_url, request->path);
	if (request->body != NULL)
	{
		t->content = malloc(request->body_len + 1);
		if (t->content == NULL)
			return false;
		memcpy(t->content, request->body, request->body_len);
		t->content[request->body_len] = '\0';
		t->content_len = request->body_len;
	}
	if (target->ca_file != NULL && (t->ca_file = strdup(target->ca_file)) == NULL)
		return false;
	snprintf(t->method, sizeof(t->method), "%s", request->method);
	t->connect_ms = target->connect_ms;
	t->total_ms = target->total_ms;
	t->max_body = request->max_body;

	if (target->token != NULL)
	{
		const char *scheme = target->scheme != NULL ? target->scheme : "Bearer";
		size_t		room = strlen(scheme) + strlen(target->token) + 2;
		char	   *bearer = malloc(room);
		bool		ok;

		if (bearer == NULL)
			return false;
		snprintf(bearer, room, "%s %s", scheme, target->token);
		ok = add_header(t, "Authorization", bearer);
		explicit_bzero(bearer, room);
		free(bearer);
		if (!ok)
			return false;
	}
	return add_header(t, "Accept", target->accept) &&
		(request->body == NULL || add_header(t, "Content-Type", target->content_type)) &&
		add_header(t, "Expect", "");
}

static bool
start(ScimClient *client, Transfer *t, const ScimClientTarget *target, const ScimClientRequest *request)
{
	ScimOrigin	origin;
	const char *problem = check_request(target, request, &origin);

	if (problem == NULL)
	{
		t->https = origin.https;
		t->http2 = target->http2 && (curl_version_info(CURLVERSION_NOW)->features & CURL_VERSION_HTTP2) != 0;
		t->named = scim_allowed_names(target->allowed, &origin);
		if (!copy_request(t, target, request) || (t->easy = take_handle(client)) == NULL)
			return false;
		if (!scim_client_set_options(t) ||
			curl_multi_setopt(client->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long) target->max_connections) != CURLM_OK)
		{
			problem = "libcurl does not know an option that is needed";
			give_handle(client, t->easy);
			t->easy = NULL;
		}
	}
	if (problem != NULL)
	{
		t->response.outcome = SCIM_TRANSFER_REFUSED;
		set_detail(t, "%s", problem);
		finish(client, t);
		return true;
	}
	if (curl_multi_add_handle(client->multi, t->easy) != CURLM_OK)
	{
		give_handle(client, t->easy);
		return false;
	}
	list_append(&client->running, t);
	return true;
}

/* ---- the interface ---- */

ScimClient *
scim_client_create(void)
{
	static bool initialised = false;
	sigset_t	saved;
	ScimClient *client = calloc(1, sizeof(ScimClient));
	bool		ok;

	if (client == NULL)
		return NULL;
	block_signals(&saved);
	initialised = initialised || curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
	client->epoll = epoll_create1(EPOLL_CLOEXEC);
	client->multi = initialised ? curl_multi_init() : NULL;
	ok = client->epoll >= 0 && client->multi != NULL &&
		curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, MAX_KEPT) == CURLM_OK &&
		curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, on_socket) == CURLM_OK &&
		curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client) == CURLM_OK;
	restore_signals(&saved);
	if (!ok)
	{
		scim_client_destroy(client);
		return NULL;
	}
	return client;
}

void
scim_client_destroy(ScimClient *client)
{
	sigset_t	saved;

	if (client == NULL)
		return;
	scim_client_cancel_all(client);
	block_signals(&saved);
	while (client->nidle > 0)
		curl_easy_cleanup(client->idle[--client->nidle]);
	if (client->multi != NULL)
		curl_multi_cleanup(client->multi);
	restore_signals(&saved);
	if (client->epoll >= 0)
		close(client->epoll);
	free(client);
}

int
scim_client_fd(const ScimClient *client)
{
	return client->epoll;
}

long
scim_client_timeout(const ScimClient *client)
{
	long		left = -1;

	if (client->finished.first != NULL)
		return 0;
	(void) curl_multi_timeout(client->multi, &left);
	return left;
}

bool
scim_client_start(ScimClient *client, const ScimClientTarget *target,
				  const ScimClientRequest *request, void *tag)
{
	sigset_t	saved;
	Transfer   *t = calloc(1, sizeof(Transfer));
	bool		ok;

	if (t == NULL)
		return false;
	t->response.tag = tag;
	t->started = now_ms();
	block_signals(&saved);
	ok = start(client, t, target, request);
	if (!ok)
		free_transfer(t);
	restore_signals(&saved);
	if (ok)
		client->in_flight++;
	return ok;
}

void
scim_client_turn(ScimClient *client)
{
	struct epoll_event events[EVENTS];
	sigset_t	saved;
	long		due = -1;
	int			running;
	int			n;

	block_signals(&saved);
	n = epoll_wait(client->epoll, events, EVENTS, 0);
	for (int i = 0; i < n; i++)
	{
		int			what = 0;

		if (events[i].events & EPOLLIN)
			what |= CURL_CSELECT_IN;
		if (events[i].events & EPOLLOUT)
			what |= CURL_CSELECT_OUT;
		if (events[i].events & (EPOLLERR | EPOLLHUP))
			what |= CURL_CSELECT_ERR;
		(void) curl_multi_socket_action(client->multi, events[i].data.fd, what, &running);
	}
	if (curl_multi_timeout(client->multi, &due) == CURLM_OK && due == 0)
		(void) curl_multi_socket_action(client->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	collect(client);
	restore_signals(&saved);
}

ScimClientResponse *
scim_client_next(ScimClient *client)
{
	Transfer   *t = client->finished.first;

	if (t == NULL)
		return NULL;
	list_remove(&client->finished, t);
	client->in_flight--;
	return &t->response;
}

void
scim_client_release(ScimClientResponse *response)
{
	if (response != NULL)
		free_transfer((Transfer *) response);
}

int
scim_client_in_flight(const ScimClient *client)
{
	return client->in_flight;
}

/* Forget the transfers of one tag, or all. */
static void
cancel(ScimClient *client, const void *tag, bool all)
{
	List	   *const lists[] = {&client->running, &client->finished};
	sigset_t	saved;

	block_signals(&saved);
	for (int i = 0; i < 2; i++)
	{
		Transfer   *next;

		for (Transfer *t = lists[i]->first; t != NULL; t = next)
		{
			next = t->next;
			if (!all && t->response.tag != tag)
				continue;
			list_remove(lists[i], t);
			if (t->easy != NULL)
			{
				curl_multi_remove_handle(client->multi, t->easy);
				give_handle(client, t->easy);
			}
			free_transfer(t);
			client->in_flight--;
		}
	}
	restore_signals(&saved);
}

void
scim_client_cancel(ScimClient *client, const void *tag)
{
	cancel(client, tag, false);
}

void
scim_client_cancel_all(ScimClient *client)
{
	cancel(client, NULL, true);
}

long long
scim_client_date(const char *text)
{
	return (long long) curl_getdate(text, NULL);
}

char *
scim_client_encode(const char *text)
{
	char	   *escaped = curl_easy_escape(NULL, text, 0);
	char	   *copy = escaped != NULL ? strdup(escaped) : NULL;

	curl_free(escaped);
	return copy;
}
