-- Workers (listeners, and the sync worker): start, stop, look.

CREATE FUNCTION scim.start_workers(port integer DEFAULT NULL, listeners integer DEFAULT NULL) RETURNS integer
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 10000
	AS 'MODULE_PATHNAME', 'scim_start_workers';
REVOKE ALL ON FUNCTION scim.start_workers(integer, integer) FROM PUBLIC;
COMMENT ON FUNCTION scim.start_workers(integer, integer) IS
'Start HTTP listeners for the current database, and a sync worker if there is none yet, without shared_preload_libraries; returns how many listeners. Waits until they work, and says with a notice what keeps them from it (they try again by themselves). They survive crashes, but no restart of the server.
port: default scim.port; listeners: processes that share the port, default scim.listeners; 0: only the sync worker.
Errors: 55000 preloaded workers serve this database, or a worker did not start; 42704 the role of scim.worker_role does not exist; 53400 max_worker_processes is too small; 0A000 built without the listener.';

CREATE FUNCTION scim.stop_workers() RETURNS integer
	LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE COST 10000
	AS 'MODULE_PATHNAME', 'scim_stop_workers';
REVOKE ALL ON FUNCTION scim.stop_workers() FROM PUBLIC;
COMMENT ON FUNCTION scim.stop_workers() IS
'Stop all workers of the current database and wait until they are gone; returns how many were running. A listener answers the requests it has in hand first, and cancels what runs for longer than a moment. Preloaded workers come back at the next restart of the server; until then scim.start_workers() may start others.';

CREATE FUNCTION scim._workers(
	OUT pid integer, OUT kind text, OUT port integer, OUT state text,
	OUT started timestamptz, OUT requests bigint, OUT note text, OUT unauthorized bigint, OUT worker text
) RETURNS SETOF record
	LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED ROWS 10
	AS 'MODULE_PATHNAME', 'scim_workers';
REVOKE ALL ON FUNCTION scim._workers() FROM PUBLIC;
COMMENT ON FUNCTION scim._workers() IS 'Internal: what the view scim.workers shows.';

CREATE VIEW scim.workers AS
	SELECT w.worker, w.pid, w.kind, w.port, w.state, w.started, w.requests, w.note, w.unauthorized FROM scim._workers() w;
REVOKE ALL ON TABLE scim.workers FROM PUBLIC;
COMMENT ON VIEW scim.workers IS 'Workers of the current database.';
COMMENT ON COLUMN scim.workers.worker IS 'listener, or sync: what sends changes to servers.';
COMMENT ON COLUMN scim.workers.pid IS 'Process; NULL while a preloaded worker waits for its restart.';
COMMENT ON COLUMN scim.workers.kind IS 'static: preloaded; dynamic: started by scim.start_workers().';
COMMENT ON COLUMN scim.workers.port IS 'Port a listener listens on or is meant to.';
COMMENT ON COLUMN scim.workers.state IS 'starting, waiting (see note), listening, syncing, stopping, restarting.';
COMMENT ON COLUMN scim.workers.started IS 'When the process started.';
COMMENT ON COLUMN scim.workers.requests IS 'Requests a listener has served, a preloaded one since the server started; NULL where the library is not preloaded.';
COMMENT ON COLUMN scim.workers.note IS 'What it waits for, or how its last start failed.';
COMMENT ON COLUMN scim.workers.unauthorized IS 'Requests that were answered 401: failed authentications are counted, not logged one by one.';
