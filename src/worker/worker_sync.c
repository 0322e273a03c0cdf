/*
 * worker_sync.c
 *		The sync worker: a background worker that drives all syncs of its
 *		database (threat-and-fault-model I10, S3).
 *
 * It carries requests from the provisioner to the client and responses back,
 * and waits on the latch, the postmaster and the client's epoll descriptor.
 * Transactions are the provisioner's, and never open here.
 *
 * The commit of a transaction that changed something sets the latch.  Wake-ups
 * that can be missed (prepared transactions, a worker that was just starting)
 * are made up for by looking now and then.
 */
#include "postgres.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "access/twophase.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "client/client.h"
#include "compat.h"
#include "provisioner/provisioner.h"
#include "scim_guc.h"
#include "worker/worker_internal.h"

/* Look for obstacles as often, and for changes where prepared transactions are possible. */
#define CHECK_MS 5000

/* Look for changes otherwise. */
#define TICK_MS 60000

#define REPORT_STAT_MS 1000

/* Memory that is kept for the next transaction. */
#define KEPT_MEMORY (16 * 1024 * 1024)

static ScimWorkerArgs args;

/*
 * Each transaction needs as much memory as the last: what the C library gives
 * back to the system between them has to be filled with zeros again, page by page.
 */
static void
keep_memory(void)
{
#ifdef __GLIBC__
	mallopt(M_TRIM_THRESHOLD, KEPT_MEMORY);
	mallopt(M_MMAP_THRESHOLD, KEPT_MEMORY / 4);
#endif
}

/* Send what may be sent now. */
static void
send_requests(ScimProvisioner *provisioner, ScimClient *client)
{
	const ScimClientTarget *target;
	ScimClientRequest request;
	void	   *tag;

	while ((tag = scim_provisioner_cancelled(provisioner)) != NULL)
		scim_client_cancel(client, tag);
	while (scim_provisioner_next(provisioner, &target, &request, &tag))
		if (!scim_client_start(client, target, &request, tag))
			ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
}

/*
 * The inner loop.  Returns when the process is to end (NULL) or when there is
 * an obstacle.
 */
static const char *
run(ScimProvisioner *provisioner, ScimClient *client)
{
	WaitEventSet *set = scim_create_wait_event_set(3);
	TimestampTz checked_at = GetCurrentTimestamp();
	TimestampTz looked_at = checked_at;
	TimestampTz stats_at = checked_at;
	const char *obstacle = NULL;
	bool		woken = true;

	AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);
	AddWaitEventToSet(set, WL_SOCKET_READABLE, scim_client_fd(client), NULL, NULL);

	while (!ShutdownRequestPending)
	{
		ScimClientResponse *response;
		TimestampTz now;
		WaitEvent	event;
		long		wait = CHECK_MS;
		long		wanted;

		scim_client_turn(client);
		while ((response = scim_client_next(client)) != NULL)
			scim_provisioner_answer(provisioner, response);
		/* what is ready goes out before others are looked at */
		send_requests(provisioner, client);
		scim_provisioner_work(provisioner, woken);
		woken = false;
		send_requests(provisioner, client);

		now = GetCurrentTimestamp();
		if (TimestampDifferenceExceeds(stats_at, now, REPORT_STAT_MS))
		{
			pgstat_report_stat(true);
			stats_at = now;
		}
		if (ConfigReloadPending)
		{
			scim_worker_reload();
			woken = true;
			continue;
		}
		if (TimestampDifferenceExceeds(checked_at, now, CHECK_MS))
		{
			obstacle = scim_worker_obstacle();
			if (obstacle != NULL)
				break;
			checked_at = now;
		}
		if (TimestampDifferenceExceeds(looked_at, now, max_prepared_xacts > 0 ? CHECK_MS : TICK_MS))
		{
			looked_at = now;
			woken = true;
			continue;
		}

		wanted = scim_client_timeout(client);
		if (wanted >= 0)
			wait = Min(wait, wanted);
		wanted = scim_provisioner_wait(provisioner);
		if (wanted >= 0)
			wait = Min(wait, wanted);
		(void) WaitEventSetWait(set, wait, &event, 1, PG_WAIT_EXTENSION);
		if (MyLatch->is_set)
			woken = true;
		ResetLatch(MyLatch);
		scim_worker_interrupts();
	}
	FreeWaitEventSet(set);
	return obstacle;
}

void
scim_sync_main(Datum arg)
{
	memcpy(&args, MyBgworkerEntry->bgw_extra, sizeof(args));
	scim_worker_begin(&args);
	keep_memory();
	scim_worker_report(WORKER_STARTING, 0, NULL);

	while (!ShutdownRequestPending)
	{
		const char *obstacle = scim_worker_obstacle();

		MemoryContextSwitchTo(TopMemoryContext);
		if (obstacle == NULL)
		{
			ScimClient *client = scim_client_create();

			if (client == NULL)
				obstacle = "there is no memory or no descriptor for requests";
			else
			{
				ScimProvisioner *provisioner = scim_provisioner_create();

				scim_worker_obstacle_gone();
				scim_worker_report(WORKER_SYNCING, 0, NULL);
				obstacle = run(provisioner, client);
				scim_worker_report(WORKER_STOPPING, 0, NULL);
				scim_client_destroy(client);
				scim_provisioner_destroy(provisioner);
			}
		}
		if (obstacle != NULL && !ShutdownRequestPending)
		{
			scim_worker_report_obstacle(&args, 0, obstacle);
			scim_worker_idle(CHECK_MS);
		}
	}
	scim_worker_end(&args);
}
