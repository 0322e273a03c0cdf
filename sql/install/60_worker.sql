-- Listeners: start, stop, look.

CREATE FUNCTION scim.start_workers(port integer DEFAULT NULL, listeners integer DEFAULT NULL) RETURNS integer
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 10000
	AS 'MODULE_PATHNAME', 'scim_start_workers';
REVOKE ALL ON FUNCTION scim.start_workers(integer, integer) FROM PUBLIC;
COMMENT ON FUNCTION scim.start_workers(integer, integer) IS
'Start HTTP listeners for the current database, without shared_preload_libraries; returns how many. Waits until they listen, and says with a notice what keeps them from it (they try again by themselves). They survive crashes, but no restart of the server.
port: default scim.port; listeners: processes that share the port, default scim.listeners.
Errors: 55000 preloaded listeners serve this database, or a listener did not start; 42704 the role of scim.worker_role does not exist; 53400 max_worker_processes is too small; 0A000 built without the listener.';

CREATE FUNCTION scim.stop_workers() RETURNS integer
	LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE COST 10000
	AS 'MODULE_PATHNAME', 'scim_stop_workers';
REVOKE ALL ON FUNCTION scim.stop_workers() FROM PUBLIC;
COMMENT ON FUNCTION scim.stop_workers() IS
'Stop all HTTP listeners of the current database and wait until they are gone; returns how many were running. Each answers the requests it has in hand first, and cancels what runs for longer than a moment. Preloaded listeners come back at the next restart of the server; until then scim.start_workers() may start others.';

CREATE FUNCTION scim._workers(
	OUT pid integer, OUT kind text, OUT port integer, OUT state text,
	OUT started timestamptz, OUT requests bigint, OUT note text, OUT unauthorized bigint
) RETURNS SETOF record
	LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED ROWS 10
	AS 'MODULE_PATHNAME', 'scim_workers';
REVOKE ALL ON FUNCTION scim._workers() FROM PUBLIC;
COMMENT ON FUNCTION scim._workers() IS 'Internal: what the view scim.workers shows.';

CREATE VIEW scim.workers AS
	SELECT w.pid, w.kind, w.port, w.state, w.started, w.requests, w.note, w.unauthorized FROM scim._workers() w;
REVOKE ALL ON TABLE scim.workers FROM PUBLIC;
COMMENT ON VIEW scim.workers IS 'HTTP listeners of the current database.';
COMMENT ON COLUMN scim.workers.pid IS 'Process; NULL while a preloaded listener waits for its restart.';
COMMENT ON COLUMN scim.workers.kind IS 'static: preloaded; dynamic: started by scim.start_workers().';
COMMENT ON COLUMN scim.workers.port IS 'Port it listens on or is meant to.';
COMMENT ON COLUMN scim.workers.state IS 'starting, waiting (see note), listening, stopping, restarting.';
COMMENT ON COLUMN scim.workers.started IS 'When the process started.';
COMMENT ON COLUMN scim.workers.requests IS 'Requests served, of a preloaded listener since the server started; NULL where the library is not preloaded.';
COMMENT ON COLUMN scim.workers.note IS 'What it waits for, or how its last start failed.';
COMMENT ON COLUMN scim.workers.unauthorized IS 'Requests that were answered 401: failed authentications are counted, not logged one by one.';
