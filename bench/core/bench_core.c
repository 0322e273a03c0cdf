/*
 * bench_core.c
 *		How long core takes, as a ratio to what jansson takes to parse the same
 *		bytes in the same run: a machine's speed, and what else it does, cancels
 *		out.
 *
 * Each round measures all of it, yardstick and measured in turn; the median of
 * the rounds is printed.  Core frees nothing by itself: what it allocated goes
 * with the arena, as with a memory context in the server, and that counts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core_filter.h"
#include "core_patch.h"
#include "core_validate.h"

#define USERS		100000
#define MAX_ROUNDS	101
#define SLICE		0.03		/* seconds of one measurement, at least */

static const char user_text[] =
"{\"schemas\":[\"urn:ietf:params:scim:schemas:core:2.0:User\",\"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User\"],"
"\"externalId\":\"701984\",\"userName\":\"bjensen@example.com\","
"\"name\":{\"formatted\":\"Ms. Barbara J Jensen, III\",\"familyName\":\"Jensen\",\"givenName\":\"Barbara\",\"middleName\":\"Jane\","
"\"honorificPrefix\":\"Ms.\",\"honorificSuffix\":\"III\"},"
"\"displayName\":\"Babs Jensen\",\"nickName\":\"Babs\",\"profileUrl\":\"https://login.example.com/bjensen\","
"\"emails\":[{\"value\":\"bjensen@example.com\",\"type\":\"work\",\"primary\":true},{\"value\":\"babs@jensen.org\",\"type\":\"home\"}],"
"\"addresses\":[{\"type\":\"work\",\"streetAddress\":\"100 Universal City Plaza\",\"locality\":\"Hollywood\",\"region\":\"CA\","
"\"postalCode\":\"91608\",\"country\":\"US\",\"formatted\":\"100 Universal City Plaza\\nHollywood, CA 91608 USA\",\"primary\":true}],"
"\"phoneNumbers\":[{\"value\":\"tel:+1-555-555-5555\",\"type\":\"work\"},{\"value\":\"tel:+1-555-555-4444\",\"type\":\"mobile\"}],"
"\"ims\":[{\"value\":\"someaimhandle\",\"type\":\"aim\"}],"
"\"photos\":[{\"value\":\"https://photos.example.com/profilephoto/72930000000Ccne/F\",\"type\":\"photo\"}],"
"\"roles\":[{\"value\":\"guide\",\"display\":\"Guide\",\"primary\":true}],"
"\"userType\":\"Employee\",\"title\":\"Tour Guide\",\"preferredLanguage\":\"en-US\",\"locale\":\"en-US\","
"\"timezone\":\"America/Los_Angeles\",\"active\":true,"
"\"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User\":{\"employeeNumber\":\"701984\",\"costCenter\":\"4130\","
"\"organization\":\"Universal Studios\",\"division\":\"Theme Park\",\"department\":\"Tour Operations\","
"\"manager\":{\"value\":\"26118915-6090-4610-87e4-49d8ca9f808d\",\"$ref\":\"../Users/26118915-6090-4610-87e4-49d8ca9f808d\"}}}";

static const char filter_text[] =
"(userName sw \"bj\" or displayName co \"jensen\") and active eq true and not (userType eq \"Contractor\") and "
"emails[type eq \"work\" and value ew \"@example.com\"] and name.familyName eq \"Jensen\" and title pr and "
"(meta.lastModified gt \"2011-05-13T04:42:34Z\" or "
"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department eq \"Tour Operations\")";

/* For users in memory: what it says is decided late for most of them. */
static const char match_text[] =
"active eq true and (userName sw \"user9\" or emails[type eq \"work\" and value co \"77@\"]) and not (title eq \"Guest\")";

static const char patch_text[] =
"{\"schemas\":[\"urn:ietf:params:scim:api:messages:2.0:PatchOp\"],\"Operations\":["
"{\"op\":\"replace\",\"path\":\"active\",\"value\":false},"
"{\"op\":\"add\",\"path\":\"emails[type eq \\\"work\\\"].display\",\"value\":\"Work\"},"
"{\"op\":\"replace\",\"value\":{\"title\":\"Head of Tours\",\"name\":{\"familyName\":\"Jensen-Smith\"}}}]}";

static ScimResourceType *type;
static json_t *stored;
static json_t **users;
static char **user_texts;
static ScimFilter *match;
static char *filter_json;		/* the filter as a JSON string */
static size_t users_size;
static volatile size_t sink;

static void
check(const void *result, const ScimError *err)
{
	if (result == NULL)
	{
		fprintf(stderr, "%s\n", err->detail);
		exit(1);
	}
	sink += (size_t) result & 1;
}

static void
clear(ScimError *err)
{
	memset(err, 0, sizeof(*err));
}

/* ---- what is measured ---- */

static void
their_parse(const char *text)
{
	json_error_t error;
	json_t	   *value = json_loadb(text, strlen(text), JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);

	sink += value != NULL;
	json_decref(value);
}

static void
their_user(void)
{
	their_parse(user_text);
}

static void
our_parse(void)
{
	ScimError	err;

	clear(&err);
	check(scim_json_parse(user_text, sizeof(user_text) - 1, &err), &err);
	scim_arena_reset();
}

static void
our_validate(void)
{
	ScimError	err;
	ScimReport	report;
	json_t	   *body;

	clear(&err);
	memset(&report, 0, sizeof(report));
	body = scim_json_parse(user_text, sizeof(user_text) - 1, &err);
	check(scim_resource_wanted(type, body, NULL, SCIM_COMPAT, false, &report, &err), &err);
	scim_arena_reset();
}

static void
their_filter(void)
{
	their_parse(filter_json);
}

static void
our_filter(void)
{
	ScimError	err;
	ScimFilter *filter;

	clear(&err);
	filter = scim_filter_parse(filter_text, sizeof(filter_text) - 1, SCIM_FILTER_MAX_LENGTH, SCIM_COMPAT, &err);
	check(filter, &err);
	check(scim_filter_bind(type, filter, SCIM_COMPAT, &err) ? filter : NULL, &err);
	scim_arena_reset();
}

static void
their_users(void)
{
	for (int i = 0; i < USERS; i++)
		their_parse(user_texts[i]);
}

static void
our_eval(void)
{
	int			n = 0;

	for (int i = 0; i < USERS; i++)
		n += scim_filter_eval(type, match, users[i]);
	if (n == 0 || n == USERS)
	{
		fprintf(stderr, "the filter matches %d users\n", n);
		exit(1);
	}
	sink += (size_t) n;
}

static void
their_patch(void)
{
	their_parse(patch_text);
}

static void
our_patch(void)
{
	ScimError	err;
	ScimReport	report;
	json_t	   *body;
	ScimPatch  *patch;
	bool		changed;

	clear(&err);
	memset(&report, 0, sizeof(report));
	body = scim_json_parse(patch_text, sizeof(patch_text) - 1, &err);
	patch = scim_patch_parse(type, body, SCIM_COMPAT, &report, &err);
	check(patch, &err);
	check(scim_patch_apply(type, patch, stored, SCIM_COMPAT, &changed, &report, &err), &err);
	scim_arena_reset();
}

/* ---- how ---- */

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

/* Seconds of one call. */
static double
measure(void (*work) (void))
{
	long		calls = 0;
	double		start = now();
	double		elapsed;

	do
	{
		work();
		calls++;
		elapsed = now() - start;
	} while (elapsed < SLICE);
	return elapsed / (double) calls;
}

static int
compare_doubles(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return (x > y) - (x < y);
}

static double
median(double *values, int n)
{
	qsort(values, n, sizeof(double), compare_doubles);
	return values[n / 2];
}

static void
set_up(void)
{
	ScimError	err;
	ScimRegistry *registry;
	json_t	   *body;
	char		text[1024];

	clear(&err);
	registry = scim_registry_create(&err);
	check(registry, &err);
	type = scim_resource_type_standard(registry, "User", &err);
	check(type, &err);
	body = scim_json_parse(user_text, sizeof(user_text) - 1, &err);
	stored = scim_resource_wanted(type, body, NULL, SCIM_COMPAT, false, NULL, &err);
	check(stored, &err);

	users = malloc(USERS * sizeof(json_t *));
	user_texts = malloc(USERS * sizeof(char *));
	for (int i = 0; i < USERS; i++)
	{
		snprintf(text, sizeof(text),
				 "{\"schemas\":[\"" SCIM_URN_USER "\"],\"id\":\"%d\",\"userName\":\"user%d@example.com\","
				 "\"name\":{\"givenName\":\"Given%d\",\"familyName\":\"Family%d\"},\"displayName\":\"User %d\","
				 "\"emails\":[{\"value\":\"user%d@example.com\",\"type\":\"work\",\"primary\":true},"
				 "{\"value\":\"%d@home.example.com\",\"type\":\"home\"}],\"title\":\"%s\",\"active\":%s}",
				 i, i, i % 100, i % 1000, i, i, i, i % 3 ? "Guide" : "Guest", i % 10 ? "true" : "false");
		user_texts[i] = strdup(text);
		users_size += strlen(text);
		users[i] = scim_json_parse(text, strlen(text), &err);
		check(users[i], &err);
	}
	match = scim_filter_parse(match_text, sizeof(match_text) - 1, SCIM_FILTER_MAX_LENGTH, SCIM_COMPAT, &err);
	check(match, &err);
	check(scim_filter_bind(type, match, SCIM_COMPAT, &err) ? match : NULL, &err);
	body = json_string(filter_text);
	filter_json = json_dumps(body, JSON_ENCODE_ANY);
	json_decref(body);
	scim_arena_keep();
}

int
main(int argc, char **argv)
{
	static const struct
	{
		const char *name;
		size_t		bytes;
		void		(*theirs) (void);
		void		(*ours) (void);
	}			benches[] = {
		{"parse of a user", sizeof(user_text) - 1, their_user, our_parse},
		{"parse and validate of a user", sizeof(user_text) - 1, their_user, our_validate},
		{"parse and bind of a filter of ten terms", sizeof(filter_text) - 1, their_filter, our_filter},
		{"evaluation of a filter on 100,000 users", 0, their_users, our_eval},
		{"PATCH of three operations, parsed and applied", sizeof(patch_text) - 1, their_patch, our_patch},
	};
	const int	n = sizeof(benches) / sizeof(benches[0]);
	int			rounds = argc > 1 ? atoi(argv[1]) : 7;
	static double ratios[sizeof(benches) / sizeof(benches[0])][MAX_ROUNDS];
	static double ours[sizeof(benches) / sizeof(benches[0])][MAX_ROUNDS];

	if (rounds < 1 || rounds > MAX_ROUNDS)
		rounds = 7;
	set_up();
	for (int round = 0; round < rounds; round++)
		for (int i = 0; i < n; i++)
		{
			double		theirs = measure(benches[i].theirs);

			ours[i][round] = measure(benches[i].ours);
			ratios[i][round] = ours[i][round] / theirs;
		}
	printf("%-48s %8s %12s %8s\n", "", "bytes", "time", "ratio");
	for (int i = 0; i < n; i++)
		printf("%-48s %8zu %9.2f us %7.2fx\n", benches[i].name, benches[i].bytes ? benches[i].bytes : users_size, median(ours[i], rounds) * 1e6,
			   median(ratios[i], rounds));
	return 0;
}
