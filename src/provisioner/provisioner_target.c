/*
 * provisioner_target.c
 *		How fast a target may be asked: by its profile, and by what it says
 *		(provisioning-engine 2.8).
 *
 * Three bounds, besides the times that it names with 429 and Retry-After: the
 * token buckets of its options; a window of requests at the same time, which a
 * 429 halves and each answer widens a little; and a pace, when it says that few
 * requests are left until its quota begins anew.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "provisioner_run.h"
#include "../catalog/catalog.h"
#include "../client/client_token.h"
#include "../scim_guc.h"

/* A token is got anew so long before its end. */
#define TOKEN_MARGIN_MS 60000

/* Answers with 429 of one moment are one. */
#define HALVE_MS 1000

/* A quota is spent evenly once less than one part in so many is left. */
#define LOW_SHARE 10

/* An unreachable target: 1 s, 2 s, ... 15 min. */
#define UNREACHED_FIRST_MS 1000
#define UNREACHED_MOST_MS (15 * 60 * 1000)

static char *
keep(ScimTargetRun *target, const char *text)
{
	return text ? MemoryContextStrdup(target->context, text) : NULL;
}

/* ---- tokens ---- */

static void
forget_token(ScimTargetRun *target)
{
	if (target->access)
	{
		explicit_bzero(target->access, strlen(target->access));
		pfree(target->access);
	}
	target->access = NULL;
	target->wire.token = NULL;
}

static void
set_auth(ScimTargetRun *target, const ScimServer *server)
{
	MemoryContext saved = MemoryContextSwitchTo(target->context);

	target->oauth = server->auth == SCIM_AUTH_OAUTH2;
	if (server->auth == SCIM_AUTH_BASIC)
	{
		target->wire.token = scim_client_basic(server->client_id, target->secret);
		target->wire.scheme = "Basic";
	}
	if (target->oauth)
	{
		scim_client_token_request(server, target->secret, &target->token_wire, &target->token_request);
		target->token_wire.base_url = keep(target, server->token_origin);
		target->token_wire.ca_file = keep(target, server->ca_file);
		target->token_wire.allowed = keep(target, scim_allowed_targets);
		target->token_request.path = keep(target, server->token_path);
		target->wire.token = target->access;
	}
	MemoryContextSwitchTo(saved);
}

bool
scim_target_has_token(const ScimTargetRun *target, int64 now)
{
	return !target->oauth || (target->access && target->access_until > now);
}

bool
scim_target_renew_token(ScimTargetRun *target, int number)
{
	if (!target->oauth || (target->access && number == target->access_number && target->renewed))
		return false;
	if (target->access && number == target->access_number)
	{
		forget_token(target);
		target->renewed = true;
	}
	return true;
}

bool
scim_target_take_token(ScimProvisioner *p, ScimTargetRun *target, const json_t *answer, int64 now)
{
	int			expires_in;
	const char *token = scim_client_token_of(answer, &expires_in);

	target->asking_until = 0;
	forget_token(target);
	if (token == NULL)
		return false;
	target->access = MemoryContextStrdup(p->context, token);
	target->wire.token = target->access;
	target->access_number++;
	/* a new one is got in time */
	target->access_until = now + expires_in * INT64CONST(1000) - Min(expires_in * INT64CONST(1000) / 10, TOKEN_MARGIN_MS);
	return true;
}

/* Creations of the last hour, also those of processes that have ended. */
static double
recent_creates(const char *server)
{
	Oid			types[1] = {TEXTOID};
	Datum		values[1] = {CStringGetTextDatum(server)};
	bool		isnull;
	double		n;

	SPI_connect();
	if (scim_own_execute("recent creates",
						 "SELECT pg_catalog.count(*)::pg_catalog.float8 FROM scim._attempts a"
						 " JOIN scim._syncs s ON s.id OPERATOR(pg_catalog.=) a.sync_id"
						 " WHERE s.server OPERATOR(pg_catalog.=) $1 AND a.action OPERATOR(pg_catalog.=) 'create'"
						 " AND a.at OPERATOR(pg_catalog.>) (pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) interval '1 hour')",
						 1, types, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read scim._attempts");
	n = DatumGetFloat8(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	return n;
}

ScimTargetRun *
scim_target_refresh(ScimProvisioner *p, const ScimServer *server, const char *secret)
{
	ScimTargetRun *target = NULL;
	dlist_iter	iter;

	dlist_foreach(iter, &p->targets)
	{
		ScimTargetRun *known = dlist_container(ScimTargetRun, node, iter.cur);

		if (strcmp(known->name, server->name) == 0)
			target = known;
	}
	if (target == NULL)
	{
		target = MemoryContextAllocZero(p->context, sizeof(ScimTargetRun));
		target->context = AllocSetContextCreate(p->context, "scim target", ALLOCSET_SMALL_SIZES);
		target->name = MemoryContextStrdup(p->context, server->name);
		target->tokens = server->burst;
		target->window = server->concurrency;
		target->tokens_at = target->creates_at = scim_run_now();
		if (server->creates_per_hour > 0)
			target->creates = server->creates_per_hour - recent_creates(server->name);
		dlist_push_tail(&p->targets, &target->node);
	}
	if (target->secret && strcmp(target->secret, secret) != 0)
		forget_token(target);
	/* what another address offers is not known */
	if (target->wire.base_url && strcmp(target->wire.base_url, server->base_url) != 0)
		target->bulk_asked = false;
	/* another address, or one that is allowed now: what was out of reach may be there */
	if (target->unreached > 0 && target->wire.base_url && (strcmp(target->wire.base_url, server->base_url) != 0 ||
														   strcmp(target->wire.allowed ? target->wire.allowed : "", scim_allowed_targets ? scim_allowed_targets : "") != 0))
		target->blocked_until = target->unreached = 0;
	MemoryContextReset(target->context);
	target->secret = keep(target, secret);
	target->wire.base_url = keep(target, server->base_url);
	target->wire.token = target->secret;
	target->wire.scheme = NULL;
	set_auth(target, server);
	target->wire.ca_file = keep(target, server->ca_file);
	target->wire.allowed = keep(target, scim_allowed_targets);
	target->wire.content_type = keep(target, server->content_type);
	target->wire.accept = keep(target, server->accept);
	target->wire.connect_ms = server->connect_timeout;
	target->wire.total_ms = server->total_timeout;
	target->wire.max_connections = server->concurrency;
	target->wire.http2 = server->http2;
	if (target->concurrency != server->concurrency)
		target->window = server->concurrency;
	target->concurrency = server->concurrency;
	if (target->creates_per_second == 0)
		target->creates_at = scim_run_now();
	target->creates_per_second = server->creates_per_hour / 3600.0;
	target->creates_burst = server->creates_per_hour;
	target->rate = server->rate_per_second;
	target->bulk = server->bulk;
	target->bulk_operations = server->bulk_max_operations;
	target->bulk_payload = server->bulk_max_payload;
	target->burst = Max(server->burst, 1);
	return target;
}

static long
until_token(double tokens, double per_second)
{
	return tokens >= 1 ? 0 : (long) ((1 - tokens) * 1000.0 / per_second) + 1;
}

long
scim_target_wait(ScimTargetRun *target, int64 now)
{
	long		wait = 0;

	if (target->alarmed > 0 || target->in_flight >= (int) target->window)
		return -1;
	if (!scim_target_has_token(target, now) && target->asking_until > now)
		return -1;
	if (target->blocked_until > now)
		return (long) (target->blocked_until - now);
	if (target->rate > 0)
	{
		target->tokens = Min(target->burst, target->tokens + target->rate * (now - target->tokens_at) / 1000.0);
		target->tokens_at = now;
		wait = until_token(target->tokens, target->rate);
	}
	if (target->pace_ms > 0 && target->pace_until > now && target->sent_at + target->pace_ms > now)
		wait = Max(wait, (long) (target->sent_at + target->pace_ms - now));
	return wait;
}

long
scim_target_create_wait(ScimTargetRun *target, int64 now)
{
	if (target->creates_per_second == 0)
		return 0;
	target->creates = Min(target->creates_burst, target->creates + target->creates_per_second * (now - target->creates_at) / 1000.0);
	target->creates_at = now;
	return until_token(target->creates, target->creates_per_second);
}

int
scim_target_creates(ScimTargetRun *target, int64 now)
{
	if (target->creates_per_second == 0)
		return PG_INT32_MAX;
	return scim_target_create_wait(target, now) > 0 ? 0 : (int) target->creates;
}

void
scim_target_sent(ScimTargetRun *target, int creates, int64 now)
{
	target->in_flight++;
	target->tokens -= 1;
	target->sent_at = now;
	target->creates -= creates;
}

bool
scim_target_answered(ScimTargetRun *target, const ScimClientResponse *response, int64 now)
{
	ScimVerdict verdict;
	long		reset;
	long long	left;

	target->in_flight--;
	if (response == NULL)
		return false;
	verdict = scim_retry_verdict(response);
	if (verdict == SCIM_VERDICT_THROTTLED)
	{
		if (now - target->halved_at > HALVE_MS)
			target->window = Max(target->window / 2, 1);
		target->halved_at = now;
	}
	else if (response->outcome == SCIM_TRANSFER_ANSWERED)
		target->window = Min(target->window + 1 / target->window, target->concurrency);

	reset = scim_retry_wanted(response, (long long) time(NULL));
	left = scim_retry_left(response, false);
	target->pace_ms = 0;
	if (left > 0 && reset > 0 && left <= Max(2 * target->concurrency, scim_retry_left(response, true) / LOW_SHARE))
	{
		target->pace_ms = reset * 1000 / (long) left;
		target->pace_until = now + reset * 1000;
	}
	/* a secret that is refused, a target that wants to be left alone */
	return verdict != SCIM_VERDICT_OK && verdict != SCIM_VERDICT_NOT_FOUND &&
		verdict != SCIM_VERDICT_CONFLICT && verdict != SCIM_VERDICT_CHANGED;
}

void
scim_target_block(ScimTargetRun *target, int64 until)
{
	target->blocked_until = Max(target->blocked_until, until);
}

bool
scim_target_unreached(ScimTargetRun *target, int64 now)
{
	/* answers of one moment are one failure */
	if (target->blocked_until > now)
		return false;
	scim_target_block(target, now + scim_retry_backoff(target->unreached++, UNREACHED_FIRST_MS, UNREACHED_MOST_MS));
	return true;
}

void
scim_target_reached(ScimTargetRun *target)
{
	target->unreached = 0;
}
