/*
 * provisioner_target.c
 *		How fast a target may be asked: by its profile, and by what it says
 *		(provisioning-engine 2.8).
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "provisioner_run.h"
#include "../scim_guc.h"

/* An unreachable target: 1 s, 2 s, ... 15 min. */
#define UNREACHED_FIRST_MS 1000
#define UNREACHED_MOST_MS (15 * 60 * 1000)

static char *
keep(ScimTargetRun *target, const char *text)
{
	return text ? MemoryContextStrdup(target->context, text) : NULL;
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
		target->tokens_at = scim_run_now();
		dlist_push_tail(&p->targets, &target->node);
	}
	MemoryContextReset(target->context);
	target->secret = keep(target, secret);
	target->wire.base_url = keep(target, server->base_url);
	target->wire.token = target->secret;
	target->wire.ca_file = keep(target, server->ca_file);
	target->wire.allowed = keep(target, scim_allowed_targets);
	target->wire.content_type = keep(target, server->content_type);
	target->wire.accept = keep(target, server->accept);
	target->wire.connect_ms = server->connect_timeout;
	target->wire.total_ms = server->total_timeout;
	target->wire.max_connections = server->concurrency;
	target->concurrency = server->concurrency;
	target->rate = server->rate_per_second;
	target->burst = Max(server->burst, 1);
	return target;
}

static void
refill(ScimTargetRun *target, int64 now)
{
	if (target->rate <= 0)
		return;
	target->tokens = Min(target->burst, target->tokens + target->rate * (now - target->tokens_at) / 1000.0);
	target->tokens_at = now;
}

long
scim_target_wait(ScimTargetRun *target, int64 now)
{
	refill(target, now);
	if (target->blocked_until > now)
		return (long) (target->blocked_until - now);
	if (target->rate > 0 && target->tokens < 1)
		return (long) ((1 - target->tokens) * 1000.0 / target->rate) + 1;
	return 0;
}

void
scim_target_sent(ScimTargetRun *target)
{
	target->in_flight++;
	if (target->rate > 0)
		target->tokens -= 1;
}

void
scim_target_answered(ScimTargetRun *target)
{
	target->in_flight--;
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
