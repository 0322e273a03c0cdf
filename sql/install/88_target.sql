-- Outbound: what was read of the lists of targets.

-- A cache: after a crash it is read again.
CREATE UNLOGGED TABLE scim._scans (
	sync_id bigint PRIMARY KEY REFERENCES scim._syncs ON DELETE CASCADE,
	began timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	ended timestamptz
);
REVOKE ALL ON TABLE scim._scans FROM PUBLIC;
COMMENT ON TABLE scim._scans IS 'Internal: when the list of a sync''s target was read.';
COMMENT ON COLUMN scim._scans.sync_id IS 'The sync.';
COMMENT ON COLUMN scim._scans.began IS 'When its reading began.';
COMMENT ON COLUMN scim._scans.ended IS 'When it was read to its end; null: it was not.';

CREATE UNLOGGED TABLE scim._remote (
	sync_id bigint NOT NULL REFERENCES scim._syncs ON DELETE CASCADE,
	remote_id text COLLATE "C" NOT NULL,
	key text COLLATE "C" NOT NULL,
	document jsonb NOT NULL,
	PRIMARY KEY (sync_id, remote_id, key)
);
CREATE INDEX _remote_key ON scim._remote (sync_id, key);
REVOKE ALL ON TABLE scim._remote FROM PUBLIC;
COMMENT ON TABLE scim._remote IS 'Internal: resources of a target, as its list was read last; see the view scim.orphans.';
COMMENT ON COLUMN scim._remote.sync_id IS 'The sync.';
COMMENT ON COLUMN scim._remote.remote_id IS 'id of the resource.';
COMMENT ON COLUMN scim._remote.key IS 'Hash of a value that a row could match it by; one row for each. Empty: there is none.';
COMMENT ON COLUMN scim._remote.document IS 'What the sync manages and matches by.';

CREATE VIEW scim.orphans AS
	SELECT s.name AS sync, s.server, r.remote_id, r.document ->> 'userName' AS user_name, r.document ->> 'displayName' AS display_name,
		(r.document ->> 'active') AS active, c.ended AS seen
	FROM (SELECT DISTINCT ON (q.sync_id, q.remote_id) q.sync_id, q.remote_id, q.document FROM scim._remote q) r
	JOIN scim._scans c ON c.sync_id = r.sync_id AND c.ended IS NOT NULL
	JOIN scim._syncs s ON s.id = r.sync_id
	JOIN scim._mappings m ON m.id = s.mapping_id
	WHERE pg_catalog.pg_has_role(m.owner, 'USAGE')
		AND NOT EXISTS (SELECT 1 FROM scim._links l WHERE l.sync_id = r.sync_id AND l.remote_id = r.remote_id);
REVOKE ALL ON TABLE scim.orphans FROM PUBLIC;
COMMENT ON VIEW scim.orphans IS 'Resources of a target that are no row''s, as far as its list was read last (when many rows were matched, or by scim.check_drift): for the syncs of a role of the current user.';
COMMENT ON COLUMN scim.orphans.sync IS 'Name of the sync.';
COMMENT ON COLUMN scim.orphans.server IS 'Its server.';
COMMENT ON COLUMN scim.orphans.remote_id IS 'id of the resource.';
COMMENT ON COLUMN scim.orphans.user_name IS 'Its userName, if the sync has to do with that.';
COMMENT ON COLUMN scim.orphans.display_name IS 'Its displayName.';
COMMENT ON COLUMN scim.orphans.active IS 'Whether it is in use, as the target says.';
COMMENT ON COLUMN scim.orphans.seen IS 'When the list was read.';

CREATE TABLE scim._drift (
	sync_id bigint NOT NULL REFERENCES scim._syncs ON DELETE CASCADE,
	source_key text COLLATE "C" NOT NULL,
	remote_id text COLLATE "C" NOT NULL,
	attribute text,
	seen timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);
CREATE INDEX _drift_sync ON scim._drift (sync_id, source_key);
REVOKE ALL ON TABLE scim._drift FROM PUBLIC;
COMMENT ON TABLE scim._drift IS 'Internal: what the worker has found changed at targets; see the view scim.sync_drift.';
COMMENT ON COLUMN scim._drift.sync_id IS 'The sync.';
COMMENT ON COLUMN scim._drift.source_key IS 'Key of the row.';
COMMENT ON COLUMN scim._drift.remote_id IS 'id of its resource.';
COMMENT ON COLUMN scim._drift.attribute IS 'What differs; null: the resource has gone.';
COMMENT ON COLUMN scim._drift.seen IS 'When.';

CREATE VIEW scim.sync_drift AS
	SELECT s.name AS sync, d.source_key, d.remote_id, d.attribute, d.seen
	FROM scim._drift d JOIN scim._syncs s ON s.id = d.sync_id JOIN scim._mappings m ON m.id = s.mapping_id
	WHERE pg_catalog.pg_has_role(m.owner, 'USAGE');
REVOKE ALL ON TABLE scim.sync_drift FROM PUBLIC;
COMMENT ON VIEW scim.sync_drift IS 'What the last look at the target (option drift_interval of a sync) has found changed there, for the syncs of a role of the current user. scim.check_drift() looks now, and shows values.';
COMMENT ON COLUMN scim.sync_drift.sync IS 'Name of the sync.';
COMMENT ON COLUMN scim.sync_drift.source_key IS 'Key of the row.';
COMMENT ON COLUMN scim.sync_drift.remote_id IS 'id of its resource.';
COMMENT ON COLUMN scim.sync_drift.attribute IS 'What differs; null: the resource has gone.';
COMMENT ON COLUMN scim.sync_drift.seen IS 'When it was found.';

CREATE FUNCTION scim.check_drift(
	sync text,
	repair boolean DEFAULT false,
	OUT source_key text,
	OUT remote_id text,
	OUT attribute text,
	OUT wanted jsonb,
	OUT found jsonb
) RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 10000
	AS 'MODULE_PATHNAME', 'scim_check_drift';
REVOKE ALL ON FUNCTION scim.check_drift(text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION scim.check_drift(text, boolean) IS
'Read the list of the target of a sync, page by page, and show what somebody else has changed there: what the target has acknowledged and has no more. The requests are sent by this session, in this transaction; scim.orphans shows afterwards what is there and no row''s.
sync: name; repair: true: the worker sends again what differs, after the commit. Result: source_key: key of the row; remote_id: id of its resource; attribute: null if the resource has gone; wanted, found: its values.
Errors: 42704 no such sync, 42501 not a member of its owner or no USAGE on the server, 55006 the worker reads that list now, 55000 mapping or server can''t be used, or scim.outbound is off, 08006 no answer, 08P01 the list is not whole.';
