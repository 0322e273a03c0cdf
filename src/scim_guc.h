/*
 * scim_guc.h
 *		Every setting of the extension (all "scim."); defined in scim_guc.c.
 */
#ifndef SCIM_GUC_H
#define SCIM_GUC_H

extern char *scim_listen_address;
extern int	scim_port;
extern int	scim_listeners;
extern char *scim_database;
extern char *scim_worker_role;
extern char *scim_tls_cert_file;
extern char *scim_tls_key_file;
extern bool scim_insecure_bind;
extern int	scim_max_connections;
extern int	scim_max_connections_per_address;
extern int	scim_max_keepalive_requests;
extern int	scim_max_auth_failures;
extern int	scim_max_body_size;		/* kB */
extern int	scim_request_memory;	/* kB */
extern int	scim_head_timeout;		/* ms */
extern int	scim_body_timeout;
extern int	scim_request_timeout;
extern int	scim_idle_timeout;
extern int	scim_write_timeout;
extern int	scim_statement_timeout;
extern int	scim_lock_timeout;
extern bool scim_shared_flush;
extern int	scim_page_size;			/* default count */
extern int	scim_max_page_size;
extern char *scim_allowed_targets;	/* list of host[:port]; catalog_origin.h reads it */
extern bool scim_outbound;
extern char *scim_node_identity;
extern int	scim_sync_log_days;

/* Where this process really listens (a worker sets them); else from the settings. */
extern int	scim_cursor_timeout;	/* seconds */
extern int	scim_audit_retention;	/* days; 0: for ever; -1: no audit */
extern int	scim_request_log_retention; /* days */
extern int	scim_actual_port;		/* 0: use scim_port */

extern void scim_guc_init(void);

#endif							/* SCIM_GUC_H */
