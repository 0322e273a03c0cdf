-- Outbound: what people look at and do by hand.

CREATE VIEW scim.sync_errors AS
	SELECT l.sync, l.source_key, l.remote_id, l.state, l.reason, l.attempts, l.next_at, l.changed_at
	FROM scim.sync_links l
	WHERE l.state IN ('parked', 'conflict') OR l.attempts > 0 OR l.refused IS NOT NULL;
REVOKE ALL ON TABLE scim.sync_errors FROM PUBLIC;
COMMENT ON VIEW scim.sync_errors IS 'Rows that the target refuses, wholly or some of their members, or that failed and are tried again.';
COMMENT ON COLUMN scim.sync_errors.sync IS 'Name of the sync.';
COMMENT ON COLUMN scim.sync_errors.source_key IS 'Key of the row.';
COMMENT ON COLUMN scim.sync_errors.remote_id IS 'id of the resource at the target.';
COMMENT ON COLUMN scim.sync_errors.state IS 'parked: refused as it is; conflict: its resource is not certain; linked: some members are refused (scim.sync_links.refused), or it is tried again.';
COMMENT ON COLUMN scim.sync_errors.reason IS 'What the target said, or what is not certain.';
COMMENT ON COLUMN scim.sync_errors.attempts IS 'Failed tries since the last success.';
COMMENT ON COLUMN scim.sync_errors.next_at IS 'When it is tried again; scim.retry() does it now.';
COMMENT ON COLUMN scim.sync_errors.changed_at IS 'When it failed.';

CREATE VIEW scim.sync_conflicts AS
	SELECT e.sync, e.source_key, e.reason, e.next_at, e.changed_at FROM scim.sync_errors e WHERE e.state = 'conflict';
REVOKE ALL ON TABLE scim.sync_conflicts FROM PUBLIC;
COMMENT ON VIEW scim.sync_conflicts IS 'Rows whose resource at the target is not certain: nothing is sent for them.';
COMMENT ON COLUMN scim.sync_conflicts.sync IS 'Name of the sync.';
COMMENT ON COLUMN scim.sync_conflicts.source_key IS 'Key of the row.';
COMMENT ON COLUMN scim.sync_conflicts.reason IS 'What is not certain.';
COMMENT ON COLUMN scim.sync_conflicts.next_at IS 'When it is looked at again.';
COMMENT ON COLUMN scim.sync_conflicts.changed_at IS 'When it was found.';

CREATE VIEW scim.pending_disables AS
	SELECT l.sync, l.source_key, l.remote_id, l.state, l.reason, l.attempts, l.gone_at, l.changed_at
	FROM scim.sync_links l
	WHERE l.intent IN ('disable', 'delete') OR (l.state = 'staged' AND l.staged IN ('disable', 'delete'))
		OR (l.gone_at IS NOT NULL AND l.state <> 'disabled');
REVOKE ALL ON TABLE scim.pending_disables FROM PUBLIC;
COMMENT ON VIEW scim.pending_disables IS 'Resources that are to be disabled or deleted, and are not yet: of rows that are gone or out of scope.';
COMMENT ON COLUMN scim.pending_disables.sync IS 'Name of the sync.';
COMMENT ON COLUMN scim.pending_disables.source_key IS 'Key of the row.';
COMMENT ON COLUMN scim.pending_disables.remote_id IS 'id of the resource at the target.';
COMMENT ON COLUMN scim.pending_disables.state IS 'staged: waits for scim.approve().';
COMMENT ON COLUMN scim.pending_disables.reason IS 'What it waits for, or what went wrong.';
COMMENT ON COLUMN scim.pending_disables.attempts IS 'Failed tries.';
COMMENT ON COLUMN scim.pending_disables.gone_at IS 'Since when the row is gone.';
COMMENT ON COLUMN scim.pending_disables.changed_at IS 'When this was last written.';

CREATE VIEW scim.sync_lag AS
	SELECT s.name AS sync,
		(SELECT pg_catalog.count(*) FROM scim._dirty d WHERE d.sync_id = s.id) AS queued,
		(SELECT pg_catalog.count(*) FROM scim._links l WHERE l.sync_id = s.id AND l.next_at <= pg_catalog.clock_timestamp()) AS due,
		pg_catalog.clock_timestamp() - LEAST(
			(SELECT pg_catalog.min(d.at) FROM scim._dirty d WHERE d.sync_id = s.id),
			(SELECT pg_catalog.min(l.next_at) FROM scim._links l WHERE l.sync_id = s.id AND l.next_at <= pg_catalog.clock_timestamp())) AS lag,
		r.requests / 60.0 AS requests_per_second
	FROM scim._syncs s
	JOIN scim._mappings m ON m.id = s.mapping_id
	CROSS JOIN LATERAL (
		SELECT pg_catalog.count(*) AS requests FROM scim._attempts a
		WHERE a.sync_id = s.id AND a.at > pg_catalog.clock_timestamp() - interval '1 minute'
	) r
	WHERE pg_catalog.pg_has_role(m.owner, 'USAGE');
REVOKE ALL ON TABLE scim.sync_lag FROM PUBLIC;
COMMENT ON VIEW scim.sync_lag IS 'How far each sync is behind, for the syncs of a role of the current user.';
COMMENT ON COLUMN scim.sync_lag.sync IS 'Name of the sync.';
COMMENT ON COLUMN scim.sync_lag.queued IS 'Entries of the queue of changes; each is up to 1,000 rows.';
COMMENT ON COLUMN scim.sync_lag.due IS 'Rows that are to be looked at now.';
COMMENT ON COLUMN scim.sync_lag.lag IS 'Age of the oldest of these; null: there are none.';
COMMENT ON COLUMN scim.sync_lag.requests_per_second IS 'Requests of the last minute.';

CREATE FUNCTION scim.sync_now(
	sync text,
	key text,
	OUT step text,
	OUT outcome text,
	OUT detail text,
	OUT method text,
	OUT path text,
	OUT status integer,
	OUT body jsonb
) RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'scim_sync_now';
REVOKE ALL ON FUNCTION scim.sync_now(text, text) FROM PUBLIC;
COMMENT ON FUNCTION scim.sync_now(text, text) IS
'Bring one row to the target now, and return the steps it took: connection, source, scope, link, match, action. The requests are sent by this session, in this transaction: commit soon. Works also before the sync is started or while it is paused; a removal needs no approval here.
sync: name; key: of the row. Result: step; outcome; detail; method, path, status, body: of a request.
Errors: 42704 no such sync, 42501 not a member of its owner or no USAGE on the server, 55006 a request for the row is in flight, 55000 mapping or server can''t be used, or scim.outbound is off.';

CREATE FUNCTION scim.explain_sync(
	sync text,
	key text,
	OUT step text,
	OUT outcome text,
	OUT detail text,
	OUT method text,
	OUT path text,
	OUT status integer,
	OUT body jsonb
) RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'scim_explain_sync';
REVOKE ALL ON FUNCTION scim.explain_sync(text, text) FROM PUBLIC;
COMMENT ON FUNCTION scim.explain_sync(text, text) IS
'Show the steps that scim.sync_now() would take for a row: requests that read are sent, the first one that writes is shown and not sent.
sync: name; key: of the row. Result and errors as there.';

CREATE FUNCTION scim.approve(sync text, keys text[] DEFAULT NULL) RETURNS bigint
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'scim_approve';
REVOKE ALL ON FUNCTION scim.approve(text, text[]) FROM PUBLIC;
COMMENT ON FUNCTION scim.approve(text, text[]) IS
'Let rows go on that wait for approval (scim.sync_links, state staged): disables and deletes that the guard stopped, adoptions. Returns how many.
sync: name; keys: of the rows (default: all that wait).
Errors: 42704 no such sync, 42501 not a member of its owner.';

CREATE FUNCTION scim.reject(sync text, keys text[] DEFAULT NULL) RETURNS bigint
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'scim_reject';
REVOKE ALL ON FUNCTION scim.reject(text, text[]) FROM PUBLIC;
COMMENT ON FUNCTION scim.reject(text, text[]) IS
'Refuse what waits for approval: resources stay as they are. Returns how many.
sync: name; keys: of the rows (default: all that wait).
Errors: 42704 no such sync, 42501 not a member of its owner.';

CREATE FUNCTION scim.retry(sync text, key text DEFAULT NULL) RETURNS bigint
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'scim_retry';
REVOKE ALL ON FUNCTION scim.retry(text, text) FROM PUBLIC;
COMMENT ON FUNCTION scim.retry(text, text) IS
'Try rows again now that failed or were refused (scim.sync_errors). Returns how many.
sync: name; key: of one row (default: all of them).
Errors: 42704 no such sync, 42501 not a member of its owner.';

CREATE FUNCTION scim.restart_sync(name text, scope text[] DEFAULT '{watermark}') RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'scim_restart_sync';
REVOKE ALL ON FUNCTION scim.restart_sync(text, text[]) FROM PUBLIC;
COMMENT ON FUNCTION scim.restart_sync(text, text[]) IS
'Begin a cycle anew, with the words of Microsoft Entra for what is reset.
name: of the sync; scope: watermark: every row is looked at; escrows: what failed or was refused is tried again; quarantine: it ends; links: which resource is whose is forgotten and matched anew (implies watermark); force_deletes: what waits for approval is approved; full: all but the last.
Errors: 42704 no such sync, 42501 not a member of its owner, 22023 unknown word, 55000 it was not started yet.';

CREATE FUNCTION scim.wait_synced(sync text, key text DEFAULT NULL, timeout interval DEFAULT '30 seconds') RETURNS boolean
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'scim_wait_synced';
REVOKE ALL ON FUNCTION scim.wait_synced(text, text, interval) FROM PUBLIC;
COMMENT ON FUNCTION scim.wait_synced(text, text, interval) IS
'Wait until the changes that have committed are at the target. True: they are, as far as the target takes them; false: not in that time, or the row waits for something else (scim.sync_links).
sync: name; key: only this row; timeout: how long to wait.
Errors: 42704 no such sync, 42501 not a member of its owner, 55000 this transaction itself has changes to send: they wait for its commit.';
