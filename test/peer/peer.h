/*
 * peer.h
 *		What the files of the test peer share.
 *
 * The peer is a process that answers like a SaaS product's SCIM service, and
 * misbehaves when told to.  It is one thread: libmicrohttpd calls the handler,
 * peer_process() fills in an Answer, and peer.c sends it when it is due.  So
 * nothing here needs a lock, and a request is applied at the moment it has
 * arrived in full.
 *
 *	peer.c			command line, sockets, time, sending
 *	peer_profile.c	what the products do differently, as a table
 *	peer_store.c	resources and their indexes
 *	peer_filter.c	filters and PATCH paths
 *	peer_patch.c	PATCH, and what a profile accepts in a resource
 *	peer_scim.c		the SCIM endpoints
 *	peer_fault.c	rules of misbehaviour, the rate limiter
 *	peer_control.c	/_peer/: state, log, counters, settings
 */
#ifndef PEER_H
#define PEER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PEER_USER		"urn:ietf:params:scim:schemas:core:2.0:User"
#define PEER_GROUP		"urn:ietf:params:scim:schemas:core:2.0:Group"
#define PEER_ERROR		"urn:ietf:params:scim:api:messages:2.0:Error"
#define PEER_LIST		"urn:ietf:params:scim:api:messages:2.0:ListResponse"

/* ---- profiles ---- */

typedef enum
{
	ERRORS_SCIM,				/* RFC 7644 3.12 */
	ERRORS_ARRAY,				/* {"errors": ["…"]} */
	ERRORS_DETAIL				/* schemas and detail, without status or scimType */
} ErrorFormat;

typedef enum
{
	PUT_FULL,
	PUT_MERGE,					/* what is left out stays */
	PUT_NONE,					/* 405 */
	PUT_HTML					/* 404 with a page of HTML */
} PutMode;

typedef enum
{
	PATHLESS_ANY,
	PATHLESS_SINGLE,			/* of a single attribute only */
	PATHLESS_NONE
} PathlessMode;

typedef enum
{
	DELETE_GONE,
	DELETE_DISABLES,			/* stays, found, with active false */
	DELETE_NONE					/* 405 */
} DeleteMeans;

typedef enum
{
	LIMIT_RETRY_AFTER,			/* Retry-After in seconds, on 429 only */
	LIMIT_X_RATELIMIT,			/* Datadog: X-RateLimit-*, Reset in seconds */
	LIMIT_X_RATE_LIMIT			/* X-Rate-Limit-*, Reset as an epoch */
} LimitHeaders;

/* Lists are words separated by spaces; NULL is "no restriction". */
typedef struct Profile
{
	const char *name;
	const char *base;			/* path of the service */
	ErrorFormat errors;
	int			wrong_token;	/* status for a token that is not the right one */
	const char *content_type;	/* of answers */
	const char *accepts;		/* content types of requests */
	bool		needs_agent;	/* 403 without User-Agent */
	const char *needs_accept;	/* 406 unless Accept has it */
	const char *config;			/* path of ServiceProviderConfig */

	const char *user_filter;	/* "a" alone may be asked for, "a+b" in this pair */
	const char *group_filter;
	bool		filter_and;		/* any conjunction of those */
	bool		paging;
	int			page_default;
	int			page_max;

	const char *user_attributes;	/* others: 400, or ignored */
	const char *group_attributes;
	bool		ignores_unknown;
	const char *email_types;
	int			multi_max;		/* values of a multi-valued attribute, 0: any */
	bool		needs_email;
	bool		external_ids;	/* externalId is required, and the id */
	bool		lower_names;	/* userName is stored in lower case */
	const char *immutable;		/* attributes */
	int			text_max;		/* bytes of userName or displayName, 0: any */

	PutMode		put_user;
	PutMode		put_group;
	bool		lower_ops;		/* "Replace" is 400 */
	PathlessMode pathless;
	bool		value_paths;	/* emails[type eq "work"].value in paths */
	const char *patchable;		/* attributes of users */
	int			patch_user;		/* status of an accepted PATCH */
	int			patch_group;
	bool		groups;			/* is there /Groups? */
	bool		members_exist;	/* a member that does not exist is 400 */
	bool		members_set;	/* replace or remove of all members */
	int			members_change;	/* members in a request, 0: any; else 400 */
	int			members_total;	/* members of a group, 0: any; else 413 */

	bool		etag;
	bool		bulk;
	bool		disable_removes;	/* active false takes the record away */
	DeleteMeans delete_means;
	const char *location;		/* base of meta.location, NULL: ours */

	int			rate;			/* requests in period, 0: any number */
	int			period;			/* s */
	int			burst;			/* > 0: a bucket, 0: windows by the clock */
	int			concurrency;	/* requests at once, 0: any number */
	LimitHeaders limit;
	bool		limit_writes;	/* reads do not count */
} Profile;

/* What /_peer/settings can change while it runs. */
typedef struct Settings
{
	Profile		profile;		/* a copy: its limits and delete_means change */
	char	   *token;			/* NULL: every request is let in */
	char	   *token_basic;	/* "Basic ..." that POST /oauth/token wants; NULL: there is none */
	double		token_ttl;		/* s that a token of it is good for */
	double		token_until;	/* when the latest ends, by peer_now(); 0: never */
	char	   *base;
	char	   *location;		/* base of meta.location */
	double		latency_ms;
	double		search_lag_ms;	/* a new resource is in no list before */
	double		grace_ms;		/* for what was on its way at a 429 */
	bool		unique;			/* 409 on a second userName or displayName */
	long		log_max;		/* requests kept in the log */
} Settings;

extern Settings peer_settings;

extern const Profile *peer_profile(const char *name);
extern void peer_profile_names(char *to, size_t size);
extern bool peer_listed(const char *list, const char *word);

/* ---- requests and answers ---- */

typedef enum
{
	SEND_PLAIN,
	SEND_DROP,					/* close without an answer */
	SEND_RESET,					/* the same with RST */
	SEND_CUT,					/* close in the middle of the body */
	SEND_TRICKLE,				/* chunk bytes each interval */
	SEND_OVERSIZE				/* size bytes of filler */
} SendMode;

typedef struct Answer
{
	int			status;
	char	   *body;			/* malloc'd */
	size_t		length;
	char		type[64];		/* Content-Type, "" for none */
	json_t	   *headers;		/* name: value, or NULL */
	SendMode	mode;
	size_t		size;			/* SEND_OVERSIZE */
	bool		chunked;		/* without Content-Length */
	int			chunk;			/* SEND_TRICKLE */
	double		interval_ms;
	double		delay_ms;		/* besides the latency */
	double		retry_ms;		/* announced: not before so long from now, */
	double		retry_at;		/* or not before this time of peer_now() */
} Answer;

struct Resource;

typedef struct Request
{
	const char *method;
	const char *path;			/* decoded, without the base */
	const char *uri;			/* as it came */
	char	   *body;			/* NUL-terminated, or NULL */
	size_t		length;
	const char *(*header) (const struct Request *r, const char *name);
	const char *(*arg) (const struct Request *r, const char *name);
	void	   *connection;

	bool		ignore_filter;	/* told by a fault */
	bool		stranger;
	struct Resource *writes;	/* what it writes, for overlaps */
	bool		applied;
	bool		created_twice;
	bool		overlaps;
	struct LogEntry *entry;
	Answer		answer;
} Request;

/* A request of the log. */
typedef struct LogEntry
{
	long		number;
	double		time_ms;
	double		end_ms;			/* 0 while under way */
	char	   *method;
	char	   *path;
	char	   *query;
	char	   *body;
	char	   *agent;
	char	   *type;
	char	   *fault;			/* name of the rule that fired */
	int			status;			/* 0: no answer was sent */
	bool		applied;
	bool		created_twice;
	bool		early;			/* before an announced time had passed */
	bool		overlaps;		/* with another write of the same resource */
} LogEntry;

typedef struct Stats
{
	long		requests;
	long		creates;
	long		duplicate_creates;
	long		violations;		/* requests before an announced time had passed */
	long		overlaps;
	long		faults;
	int			concurrent;
	int			max_concurrent;
	json_t	   *by_status;		/* {"POST": {"201": 3}} */
	json_t	   *duplicates;		/* the first hundred names */
} Stats;

extern Stats peer_stats;

extern double peer_now(void);			/* ms, monotonic */
extern bool peer_connected(const Request *r);
extern void peer_written(Request *r);
extern double peer_wall(void);			/* ms since 1970 */
extern void peer_answer(Request *r, int status, const char *type, char *body, size_t length);
extern void peer_answer_json(Request *r, int status, json_t *value);
extern void peer_answer_error(Request *r, int status, const char *scim_type, const char *format,...)
			__attribute__((format(printf, 4, 5)));
extern void peer_header(Request *r, const char *name, const char *format,...)
			__attribute__((format(printf, 3, 4)));
extern void *peer_alloc(size_t size);
extern char *peer_strdup(const char *s);
extern uint64_t peer_random(uint64_t *state);
extern char *peer_format(const char *format,...) __attribute__((format(printf, 1, 2)));

/* ---- resources ---- */

typedef struct Resource
{
	long		seq;
	bool		group;
	bool		gone;			/* a Resource is never freed */
	char		id[40];
	char	   *text;			/* JSON as it is answered, without members */
	json_t	   *members;		/* groups: {"id": member}; users: NULL */
	double		visible_at;		/* for lists and filters */
	long		version;
	struct Request *writer;		/* the latest request under way that writes it */
} Resource;

/* What an index entry is under: its value follows. */
typedef enum
{
	BY_USER_ID = 'u', BY_GROUP_ID = 'g', BY_USER_NAME = 'n', BY_DISPLAY_NAME = 'd',
	BY_USER_EXTERNAL_ID = 'x', BY_GROUP_EXTERNAL_ID = 'y', BY_EMAIL = 'e',
	BY_CREATED = 'c', BY_CREATED_EXTERNAL_ID = 'f'
} IndexKind;

extern void peer_store_seed(uint64_t seed);
extern Resource *peer_find(bool group, const char *id);
extern int	peer_lookup(IndexKind kind, const char *value, Resource ***found);
extern Resource *peer_create(bool group, json_t *doc, json_t *members, bool *twice);
extern Resource *peer_restore(json_t *doc);
extern void peer_replace(Resource *res, json_t *doc);
extern void peer_remove(Resource *res);
extern void peer_remove_all(void);
extern json_t *peer_document(const Resource *res, bool members);
extern char *peer_text(const Resource *res, bool members, size_t *length);
extern long peer_resources(bool group, Resource ***all);
extern json_t *peer_state(void);

/* ---- filters, paths, PATCH ---- */

#define TERMS_MAX	4

typedef struct Filter
{
	int			n;
	char	   *attribute[TERMS_MAX];	/* malloc'd */
	char	   *value[TERMS_MAX];
} Filter;

/* urn:…:attribute[key eq "value"].sub; NULL where there is none. */
typedef struct Path
{
	char	   *urn;
	char	   *attribute;
	char	   *key;
	json_t	   *value;			/* of the value filter */
	char	   *sub;
} Path;

extern const char *peer_filter_parse(const char *text, bool group, Filter *filter);
extern void peer_filter_free(Filter *filter);
extern int	peer_filter_run(const Filter *filter, bool group, Resource ***found);
extern bool peer_path_parse(const char *text, Path *path);
extern void peer_path_free(Path *path);
extern json_t *peer_get(const json_t *object, const char *name, const char **spelled);

/* A resource while it is being changed. */
typedef struct Edit
{
	bool		group;
	json_t	   *doc;
	json_t	   *members;		/* groups: as in Resource, changed in place */
	json_t	   *kept;			/* the members before they were replaced as a whole */
	json_t	   *undo;			/* [[id, member before or null], …] */
	bool		strict;			/* do members have to exist, if the profile says so? */
	int			changes;		/* members named so far */
	int			status;			/* of an error */
	const char *scim_type;
	char		error[256];
} Edit;

extern bool peer_patch(Edit *edit, const json_t *operations);
extern void peer_patch_undo(Edit *edit);
extern bool peer_check(Edit *edit, const json_t *before);
extern json_t *peer_members_object(Edit *edit, const json_t *members);

/* ---- the rest ---- */

extern void peer_scim(Request *r);
extern void peer_control(Request *r);
extern void peer_token(Request *r);
extern void peer_process(Request *r);	/* with faults and limits, by peer_fault.c */
extern void peer_announce(double until);
extern bool peer_early(double now);
extern bool peer_faults_set(json_t *rules, char *error, size_t size);
extern json_t *peer_faults_get(void);
extern void peer_faults_seed(uint64_t seed);
extern bool peer_setting(const char *name, const json_t *value);
extern void peer_log_begin(Request *r);
extern void peer_log_end(Request *r, int status);
extern void peer_seed_users(long n);
extern bool peer_load(const char *file);
extern bool peer_save(const char *file);

#endif							/* PEER_H */
