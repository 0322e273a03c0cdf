/*
 * worker.h
 *		Background workers: registration, start and stop from SQL.
 */
#ifndef SCIM_WORKER_H
#define SCIM_WORKER_H

/*
 * From _PG_init: under shared_preload_libraries registers the static workers
 * (nothing in a binary upgrade).
 */
extern void scim_worker_init(void);

#endif							/* SCIM_WORKER_H */
