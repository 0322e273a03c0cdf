/*
 * multi.c
 *		The yardstick of outbound.sh: what libcurl alone does with the requests
 *		of an initial sync.
 *
 * usage: multi URL TOKEN_FILE USERS CONCURRENCY [search]
 *
 * For each user a POST, with "search" one by userName before it; at most
 * CONCURRENCY requests at the same time, over kept connections.  Nothing is
 * parsed, decided, or stored.  Prints requests and seconds; exit status 1 if an
 * answer was not 200 or 201.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_CONCURRENCY 1000

typedef struct Slot
{
	CURL	   *easy;
	long		user;
	int			creating;		/* the search is done */
	char		url[1024];
	char		body[1024];
} Slot;

static struct curl_slist *headers;
static const char *base;
static long users;
static long next_user;
static long requests;
static int	searches;

static void
fail(const char *what)
{
	fprintf(stderr, "multi: %s\n", what);
	exit(1);
}

static size_t
ignore(char *bytes, size_t size, size_t count, void *data)
{
	(void) bytes;
	(void) data;
	return size * count;
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* The next request of a slot: the POST of its user, or the search for another. */
static int
begin(CURLM *multi, Slot *slot)
{
	if ((slot->user && !slot->creating) || !searches)
	{
		if (!searches)
		{
			if (next_user == users)
				return 0;
			slot->user = ++next_user;
		}
		slot->creating = 1;
		snprintf(slot->url, sizeof(slot->url), "%s/Users", base);
		snprintf(slot->body, sizeof(slot->body),
				 "{\"schemas\":[\"urn:ietf:params:scim:schemas:core:2.0:User\"],\"userName\":\"bare%ld@example.com\","
				 "\"name\":{\"formatted\":\"User %ld\"},\"title\":\"Title %ld\",\"active\":true,"
				 "\"emails\":[{\"type\":\"work\",\"value\":\"bare%ld@mail.example\"}]}",
				 slot->user, slot->user, slot->user, slot->user);
		curl_easy_setopt(slot->easy, CURLOPT_POSTFIELDS, slot->body);
	}
	else
	{
		if (next_user == users)
			return 0;
		slot->user = ++next_user;
		slot->creating = 0;
		snprintf(slot->url, sizeof(slot->url), "%s/Users?filter=userName%%20eq%%20%%22bare%ld%%40example.com%%22", base, slot->user);
		curl_easy_setopt(slot->easy, CURLOPT_HTTPGET, 1L);
	}
	curl_easy_setopt(slot->easy, CURLOPT_URL, slot->url);
	if (curl_multi_add_handle(multi, slot->easy) != CURLM_OK)
		fail("curl_multi_add_handle");
	requests++;
	return 1;
}

int
main(int argc, char **argv)
{
	static Slot slots[MAX_CONCURRENCY];
	char		token[256] = "";
	char		header[300];
	FILE	   *file;
	CURLM	   *multi;
	CURLMsg    *message;
	int			concurrency;
	int			running = 0;
	int			left;
	double		start;

	searches = argc == 6 && strcmp(argv[5], "search") == 0;
	if (argc != 5 + searches || (users = atol(argv[3])) < 1 || (concurrency = atoi(argv[4])) < 1 || concurrency > MAX_CONCURRENCY)
		fail("usage: multi URL TOKEN_FILE USERS CONCURRENCY [search]");
	base = argv[1];
	file = fopen(argv[2], "r");
	if (file == NULL || fgets(token, sizeof(token), file) == NULL)
		fail("the file of the token can't be read");
	token[strcspn(token, "\n")] = '\0';
	snprintf(header, sizeof(header), "Authorization: Bearer %s", token);
	headers = curl_slist_append(headers, header);
	headers = curl_slist_append(headers, "Content-Type: application/scim+json");
	curl_global_init(CURL_GLOBAL_ALL);
	multi = curl_multi_init();
	curl_multi_setopt(multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long) concurrency);
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long) concurrency);

	start = now();
	for (int i = 0; i < concurrency; i++)
	{
		slots[i].easy = curl_easy_init();
		curl_easy_setopt(slots[i].easy, CURLOPT_PRIVATE, &slots[i]);
		curl_easy_setopt(slots[i].easy, CURLOPT_HTTPHEADER, headers);
		curl_easy_setopt(slots[i].easy, CURLOPT_WRITEFUNCTION, ignore);
		curl_easy_setopt(slots[i].easy, CURLOPT_PROXY, "");
		running += begin(multi, &slots[i]);
	}
	while (running > 0)
	{
		if (curl_multi_perform(multi, &left) != CURLM_OK)
			fail("curl_multi_perform");
		while ((message = curl_multi_info_read(multi, &left)) != NULL)
		{
			Slot	   *slot;
			long		status = 0;

			curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **) &slot);
			curl_easy_getinfo(message->easy_handle, CURLINFO_RESPONSE_CODE, &status);
			if (message->data.result != CURLE_OK || status != (slot->creating ? 201 : 200))
				fail("a wrong answer");
			curl_multi_remove_handle(multi, slot->easy);
			running += begin(multi, slot) - 1;
		}
		if (running > 0 && curl_multi_poll(multi, NULL, 0, 1000, NULL) != CURLM_OK)
			fail("curl_multi_poll");
	}
	printf("%ld %.3f\n", requests, now() - start);
	return 0;
}
