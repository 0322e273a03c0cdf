/*
 * scim.c
 *		The module: loading, settings, registration of workers.
 */
#include "postgres.h"

#include "fmgr.h"

#include "compat.h"
#include "catalog/catalog.h"
#include "provisioner/provisioner.h"
#include "scim_guc.h"
#include "store/store.h"
#include "worker/worker.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	scim_guc_init();
	scim_catalog_init();
	scim_store_init();
	scim_provisioner_init();
	scim_worker_init();
}
