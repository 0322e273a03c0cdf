/*
 * scim_guc.c
 *		Every setting of the extension, in one place.
 *
 * Settings that only a start can apply are PGC_SIGHUP: workers read them when
 * they start, and a changed one takes effect when the worker restarts.
 */
#include "postgres.h"

#include <limits.h>

#include "utils/guc.h"

#include "catalog/catalog_origin.h"
#include "compat.h"
#include "scim_guc.h"

char	   *scim_listen_address = NULL;
int			scim_port = 8080;
int			scim_listeners = 4;
char	   *scim_database = NULL;
char	   *scim_worker_role = NULL;
char	   *scim_tls_cert_file = NULL;
char	   *scim_tls_key_file = NULL;
bool		scim_insecure_bind = false;
bool		scim_shared_flush = true;
int			scim_max_connections = 2000;
int			scim_max_connections_per_address = 0;
int			scim_max_keepalive_requests = 1000;
int			scim_max_auth_failures = 1000;
int			scim_max_body_size = 1024;
int			scim_request_memory = 64 * 1024;
int			scim_head_timeout = 10000;
int			scim_body_timeout = 30000;
int			scim_request_timeout = 60000;
int			scim_idle_timeout = 15000;
int			scim_write_timeout = 30000;
int			scim_statement_timeout = 5000;
int			scim_lock_timeout = 2000;
int			scim_page_size = 100;
int			scim_max_page_size = 1000;
int			scim_cursor_timeout = 3600;
int			scim_audit_retention = 365;
char	   *scim_allowed_targets = NULL;
bool		scim_outbound = true;
char	   *scim_node_identity = NULL;
int			scim_sync_log_days = 30;
int			scim_request_log_retention = 7;
int			scim_actual_port = 0;

typedef struct IntSetting
{
	const char *name;
	const char *description;
	int		   *variable;
	int			boot;
	int			min;
	int			max;
	int			flags;
} IntSetting;

static const IntSetting int_settings[] = {
	{"scim.port", "TCP port of the listener.", &scim_port, 8080, 1, 65535, 0},
	{"scim.listeners", "Number of listener processes that share the port.", &scim_listeners, 4, 0, 64, 0},
	{"scim.max_connections", "Open HTTP connections of all listeners together.", &scim_max_connections, 2000, 1, 1000000, 0},
	{"scim.max_connections_per_address", "Open HTTP connections from one address, per listener; 0 means no limit.", &scim_max_connections_per_address, 0, 0, 1000000, 0},
	{"scim.max_keepalive_requests", "Requests served on one connection before it is closed.", &scim_max_keepalive_requests, 1000, 1, INT_MAX, 0},
	{"scim.max_auth_failures", "Failed authentications of one address in ten seconds, per listener, before it has to wait; 0 means no limit.", &scim_max_auth_failures, 1000, 0, 1000000, 0},
	{"scim.max_body_size", "Largest request body.", &scim_max_body_size, 1024, 1, 64 * 1024, GUC_UNIT_KB},
	{"scim.request_memory", "Memory that one request may use.", &scim_request_memory, 64 * 1024, 1024, 1024 * 1024, GUC_UNIT_KB},
	{"scim.head_timeout", "Time for a client to send the head of a request.", &scim_head_timeout, 10000, 10, INT_MAX, GUC_UNIT_MS},
	{"scim.body_timeout", "Time for a client to send the body of a request.", &scim_body_timeout, 30000, 10, INT_MAX, GUC_UNIT_MS},
	{"scim.request_timeout", "Time for a request as a whole.", &scim_request_timeout, 60000, 10, INT_MAX, GUC_UNIT_MS},
	{"scim.idle_timeout", "Time a connection may be idle between requests.", &scim_idle_timeout, 15000, 10, INT_MAX, GUC_UNIT_MS},
	{"scim.write_timeout", "Time for a client to read an answer.", &scim_write_timeout, 30000, 10, INT_MAX, GUC_UNIT_MS},
	{"scim.statement_timeout", "Time for the statements of one request.", &scim_statement_timeout, 5000, 1, INT_MAX, GUC_UNIT_MS},
	{"scim.lock_timeout", "Time to wait for a lock in a request.", &scim_lock_timeout, 2000, 1, INT_MAX, GUC_UNIT_MS},
	{"scim.page_size", "Resources in a page when the client does not say.", &scim_page_size, 100, 1, 100000, 0},
	{"scim.max_page_size", "Most resources in a page.", &scim_max_page_size, 1000, 1, 100000, 0},
	{"scim.cursor_timeout", "How long a cursor (RFC 9865) is valid.", &scim_cursor_timeout, 3600, 1, 30 * 24 * 3600, GUC_UNIT_S},
	{"scim.audit_retention", "Days that rows of scim.audit_log are kept; 0 means for ever, -1 that none is written.", &scim_audit_retention, 365, -1, 36500, 0},
	{"scim.request_log_retention", "Days that rows of scim.request_log are kept.", &scim_request_log_retention, 7, 1, 36500, 0},
};

typedef struct StringSetting
{
	const char *name;
	const char *description;
	char	  **variable;
	const char *boot;
	GucContext	context;
} StringSetting;

static const StringSetting string_settings[] = {
	{"scim.listen_address", "Address the listener binds to.", &scim_listen_address, "127.0.0.1", PGC_SIGHUP},
	{"scim.database", "Databases that preloaded workers serve: name, or name:port, separated by commas.", &scim_database, "", PGC_POSTMASTER},
	{"scim.worker_role", "Role that workers authenticate as.", &scim_worker_role, "scim_worker", PGC_POSTMASTER},
	{"scim.tls_cert_file", "Certificate chain (PEM) of the listener; empty means plain HTTP.", &scim_tls_cert_file, "", PGC_SIGHUP},
	{"scim.tls_key_file", "Private key (PEM) of the listener.", &scim_tls_key_file, "", PGC_SIGHUP},
};

static bool
check_allowed_targets(char **value, void **extra, GucSource source)
{
	const char *problem = *value != NULL ? scim_allowed_check(*value) : NULL;

	if (problem != NULL)
		GUC_check_errdetail("%s", problem);
	return problem == NULL;
}

/*
 * Define all settings.  Called once from _PG_init.
 */
void
scim_guc_init(void)
{
	for (int i = 0; i < lengthof(int_settings); i++)
	{
		const IntSetting *s = &int_settings[i];

		DefineCustomIntVariable(s->name, s->description, NULL, s->variable,
								s->boot, s->min, s->max, PGC_SIGHUP,
								s->flags, NULL, NULL, NULL);
	}

	for (int i = 0; i < lengthof(string_settings); i++)
	{
		const StringSetting *s = &string_settings[i];

		/*
		 * A postmaster setting can only be defined while the postmaster loads
		 * its libraries; a session that loads the library later sees it as
		 * fixed from then on.
		 */
		GucContext	context = s->context;

		if (context == PGC_POSTMASTER && !process_shared_preload_libraries_in_progress)
			context = PGC_SIGHUP;
		DefineCustomStringVariable(s->name, s->description, NULL, s->variable,
								   s->boot, context,
								   GUC_SUPERUSER_ONLY,
								   NULL, NULL, NULL);
	}

	DefineCustomBoolVariable("scim.insecure_bind",
							 "Allow plain HTTP on an address that is not loopback.",
							 NULL, &scim_insecure_bind, false, PGC_SIGHUP,
							 0, NULL, NULL, NULL);

	DefineCustomStringVariable("scim.allowed_targets",
							   "Hosts that requests may go to by plain http, and whose addresses may be private: host or host:port, separated by commas.",
							   NULL, &scim_allowed_targets, "", PGC_SUSET,
							   0, check_allowed_targets, NULL, NULL);
	DefineCustomBoolVariable("scim.outbound",
							 "Send requests to other services.",
							 NULL, &scim_outbound, true, PGC_SIGHUP,
							 0, NULL, NULL, NULL);
	DefineCustomStringVariable("scim.node_identity",
							   "A text that all servers share between which syncs may move (failover); empty: the files of this one.",
							   "A sync that finds itself elsewhere pauses, so that a copy of the database does not send.",
							   &scim_node_identity, "", PGC_SIGHUP,
							   0, NULL, NULL, NULL);
	DefineCustomIntVariable("scim.sync_log_days",
							"Days for which scim.sync_log keeps requests.",
							NULL, &scim_sync_log_days, 30, 1, 3650, PGC_SIGHUP,
							0, NULL, NULL, NULL);

	DefineCustomBoolVariable("scim.shared_flush",
							 "Make several writes durable at once, before the first of them is answered.",
							 "Where synchronous_commit is off, nothing waits.", &scim_shared_flush, true, PGC_SIGHUP,
							 0, NULL, NULL, NULL);

	MarkGUCPrefixReserved("scim");
}
