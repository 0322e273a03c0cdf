-- Outbound: what is known of each row at each target, and what was tried.

CREATE FUNCTION scim._secret_changed() RETURNS trigger
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'scim_secret_changed';
REVOKE ALL ON FUNCTION scim._secret_changed() FROM PUBLIC;
COMMENT ON FUNCTION scim._secret_changed() IS 'Internal: row trigger of scim._secrets; syncs in quarantine try again with a new secret; those that use one that is dropped stop.';
CREATE TRIGGER resume AFTER INSERT OR UPDATE OF secret OR DELETE ON scim._secrets
	FOR EACH ROW EXECUTE FUNCTION scim._secret_changed();

CREATE TABLE scim._links (
	sync_id bigint NOT NULL REFERENCES scim._syncs ON DELETE CASCADE,
	source_key text COLLATE "C" NOT NULL,
	remote_id text COLLATE "C",
	formerly text COLLATE "C",
	state text NOT NULL DEFAULT 'pending'
		CHECK (state IN ('pending', 'linked', 'disabled', 'parked', 'conflict', 'skipped', 'staged')),
	reason text,
	acked jsonb,
	acked_hash bytea,
	wanted jsonb,
	wanted_hash bytea,
	lane smallint NOT NULL DEFAULT 2,
	intent text CHECK (intent IN ('match', 'create', 'update', 'disable', 'delete')),
	intent_at timestamptz,
	dirty boolean NOT NULL DEFAULT false,
	waiting boolean NOT NULL DEFAULT false,
	waiting_since timestamptz,
	doubt integer NOT NULL DEFAULT 0,
	attempts integer NOT NULL DEFAULT 0,
	next_at timestamptz,
	gone_at timestamptz,
	staged text CHECK (staged IN ('disable', 'delete', 'adopt', 'recreate')),
	approval text CHECK (approval IN ('approved', 'rejected')),
	refused text[],
	refused_until timestamptz,
	refused_tries integer NOT NULL DEFAULT 0,
	changed_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
	PRIMARY KEY (sync_id, source_key)
);
-- All others are partial: a plan for a row by its key, made while the table is
-- small, must not take one of them and go through all rows of a sync.
CREATE UNIQUE INDEX _links_remote ON scim._links (sync_id, remote_id) WHERE remote_id IS NOT NULL;
CREATE INDEX _links_due ON scim._links (sync_id, lane, next_at) WHERE next_at IS NOT NULL;
CREATE INDEX _links_formerly ON scim._links (sync_id) WHERE formerly IS NOT NULL AND (remote_id IS NOT NULL OR state <> 'pending');
CREATE INDEX _links_waiting ON scim._links (sync_id) WHERE waiting;
REVOKE ALL ON TABLE scim._links FROM PUBLIC;
COMMENT ON TABLE scim._links IS 'Internal: which resource of the target a row of a synced mapping is; see the view scim.sync_links.';
COMMENT ON COLUMN scim._links.sync_id IS 'The sync.';
COMMENT ON COLUMN scim._links.source_key IS 'Key of the row, as text.';
COMMENT ON COLUMN scim._links.remote_id IS 'id of the resource at the target; null: none is known.';
COMMENT ON COLUMN scim._links.formerly IS 'id that was known before the resource was lost; until it is settled which one it has, if any, and those that refer to it are to learn that.';
COMMENT ON COLUMN scim._links.state IS 'pending: not matched or created yet; linked; disabled: because its row is gone or out of scope; parked: refused as it is; conflict: several resources match, or one that is another row''s; skipped: by the actions of the sync; staged: waits for approval.';
COMMENT ON COLUMN scim._links.reason IS 'Why it is in this state, or what went wrong last.';
COMMENT ON COLUMN scim._links.acked IS 'What the target has acknowledged: the document it was sent last.';
COMMENT ON COLUMN scim._links.acked_hash IS 'SHA-256 of the text of the row''s document then: a row that still makes it needs no look at the rest.';
COMMENT ON COLUMN scim._links.wanted IS 'The document of a POST in flight, or of one whose outcome is not known.';
COMMENT ON COLUMN scim._links.wanted_hash IS 'SHA-256 of the document that was refused: it is not sent again.';
COMMENT ON COLUMN scim._links.lane IS 'What is taken up first: 0: rows that are gone; 1: changes of resources; 2: rows that may be new.';
COMMENT ON COLUMN scim._links.intent IS 'What a request in flight is meant to do; committed before it is sent.';
COMMENT ON COLUMN scim._links.intent_at IS 'Since when.';
COMMENT ON COLUMN scim._links.dirty IS 'Whether the row has changed while a request was in flight.';
COMMENT ON COLUMN scim._links.waiting IS 'Whether the row refers to others that are not at the target yet.';
COMMENT ON COLUMN scim._links.waiting_since IS 'Since when it has.';
COMMENT ON COLUMN scim._links.doubt IS 'The outcome of a request is not known. Without remote_id: how often the target has to say that there is no such resource before one is created; with it: its resource is read before it is changed again.';
COMMENT ON COLUMN scim._links.attempts IS 'Failed tries since the last success.';
COMMENT ON COLUMN scim._links.next_at IS 'When to look at it again; null: when its row changes.';
COMMENT ON COLUMN scim._links.gone_at IS 'Since when the row is gone.';
COMMENT ON COLUMN scim._links.staged IS 'What waits, or waited, for approval.';
COMMENT ON COLUMN scim._links.approval IS 'What was said to it.';
COMMENT ON COLUMN scim._links.refused IS 'ids of resources that it refers to and that the target refuses as such: they are left as they are there.';
COMMENT ON COLUMN scim._links.refused_until IS 'When they are tried again; infinity: not any more.';
COMMENT ON COLUMN scim._links.refused_tries IS 'How often they were refused.';
COMMENT ON COLUMN scim._links.changed_at IS 'When this was last written.';
SELECT pg_catalog.pg_extension_config_dump('scim._links', '');

CREATE TABLE scim._removals (
	sync_id bigint NOT NULL REFERENCES scim._syncs ON DELETE CASCADE,
	source_key text COLLATE "C" NOT NULL,
	at timestamptz NOT NULL,
	PRIMARY KEY (sync_id, source_key)
);
REVOKE ALL ON TABLE scim._removals FROM PUBLIC;
COMMENT ON TABLE scim._removals IS 'Internal: rows whose resource was disabled or deleted in the last hour, which the delete guard counts.';
COMMENT ON COLUMN scim._removals.sync_id IS 'The sync.';
COMMENT ON COLUMN scim._removals.source_key IS 'Key of the row.';
COMMENT ON COLUMN scim._removals.at IS 'When it was decided.';

CREATE TABLE scim._nests (
	sync_id bigint NOT NULL REFERENCES scim._syncs ON DELETE CASCADE,
	outer_key text COLLATE "C" NOT NULL,
	inner_key text COLLATE "C" NOT NULL,
	PRIMARY KEY (sync_id, outer_key, inner_key)
);
CREATE INDEX _nests_inner ON scim._nests (sync_id, inner_key);
REVOKE ALL ON TABLE scim._nests FROM PUBLIC;
COMMENT ON TABLE scim._nests IS 'Internal: groups whose members were sent as members of another, with the option flatten_groups of a sync.';
COMMENT ON COLUMN scim._nests.sync_id IS 'The sync.';
COMMENT ON COLUMN scim._nests.outer_key IS 'Key of the group that was sent.';
COMMENT ON COLUMN scim._nests.inner_key IS 'Key of one that it holds, directly or not.';
SELECT pg_catalog.pg_extension_config_dump('scim._nests', '');

CREATE TABLE scim._losses (
	sync_id bigint NOT NULL REFERENCES scim._syncs ON DELETE CASCADE,
	source_key text COLLATE "C" NOT NULL,
	at timestamptz NOT NULL
);
CREATE INDEX _losses_sync ON scim._losses (sync_id, at);
REVOKE ALL ON TABLE scim._losses FROM PUBLIC;
COMMENT ON TABLE scim._losses IS 'Internal: resources that the target had no more in the last hour, each time one: so many are made anew without approval.';
COMMENT ON COLUMN scim._losses.sync_id IS 'The sync.';
COMMENT ON COLUMN scim._losses.source_key IS 'Key of the row.';
COMMENT ON COLUMN scim._losses.at IS 'When it was found.';

CREATE TABLE scim._attempts (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	sync_id bigint NOT NULL,
	source_key text,
	at timestamptz NOT NULL,
	action text NOT NULL,
	method text NOT NULL,
	path text NOT NULL,
	status integer,
	verdict text NOT NULL,
	detail text,
	latency_ms real,
	held_until timestamptz,
	before text[],
	after text[],
	old_values jsonb,
	new_values jsonb
);
CREATE INDEX _attempts_sync ON scim._attempts (sync_id, id);
CREATE INDEX _attempts_held ON scim._attempts (sync_id, held_until) WHERE held_until IS NOT NULL;
CREATE INDEX _attempts_at ON scim._attempts (at);
REVOKE ALL ON TABLE scim._attempts FROM PUBLIC;
COMMENT ON TABLE scim._attempts IS 'Internal: requests to targets; see the view scim.sync_log.';
COMMENT ON COLUMN scim._attempts.id IS 'Number of the request.';
COMMENT ON COLUMN scim._attempts.sync_id IS 'The sync.';
COMMENT ON COLUMN scim._attempts.source_key IS 'Key of the row it was about; null: of the sync as a whole.';
COMMENT ON COLUMN scim._attempts.at IS 'When its answer was looked at.';
COMMENT ON COLUMN scim._attempts.action IS 'match, create, read, update, disable, delete, verify, probe, list, token, bulk or config.';
COMMENT ON COLUMN scim._attempts.method IS 'Method of the request.';
COMMENT ON COLUMN scim._attempts.path IS 'Path of the request, without values of a filter.';
COMMENT ON COLUMN scim._attempts.status IS 'Status of the answer; null: there was none.';
COMMENT ON COLUMN scim._attempts.verdict IS 'What was made of it.';
COMMENT ON COLUMN scim._attempts.detail IS 'What the target said of a failure.';
COMMENT ON COLUMN scim._attempts.latency_ms IS 'Milliseconds from request to answer.';
COMMENT ON COLUMN scim._attempts.held_until IS 'Before that time the target wants no request; null: it did not say so.';
COMMENT ON COLUMN scim._attempts.before IS 'Of a creation or change: attributes that it changes and that had a value before.';
COMMENT ON COLUMN scim._attempts.after IS 'And those that have one afterwards.';
COMMENT ON COLUMN scim._attempts.old_values IS 'The values before; null unless the sync has the option log_values.';
COMMENT ON COLUMN scim._attempts.new_values IS 'And afterwards.';

CREATE VIEW scim.sync_links AS
	SELECT s.name AS sync, l.source_key, l.remote_id, l.state, l.reason, l.staged, l.approval, l.refused, l.intent, l.attempts, l.next_at, l.gone_at, l.changed_at
	FROM scim._links l JOIN scim._syncs s ON s.id = l.sync_id JOIN scim._mappings m ON m.id = s.mapping_id
	WHERE pg_catalog.pg_has_role(m.owner, 'USAGE');
REVOKE ALL ON TABLE scim.sync_links FROM PUBLIC;
COMMENT ON VIEW scim.sync_links IS 'Rows of synced mappings and the resources they are at the target, for the syncs of a role of the current user.';
COMMENT ON COLUMN scim.sync_links.sync IS 'Name of the sync.';
COMMENT ON COLUMN scim.sync_links.source_key IS 'Key of the row.';
COMMENT ON COLUMN scim.sync_links.remote_id IS 'id of the resource at the target.';
COMMENT ON COLUMN scim.sync_links.state IS 'pending, linked, disabled, parked, conflict, skipped or staged.';
COMMENT ON COLUMN scim.sync_links.reason IS 'Why it is in this state, or what went wrong last.';
COMMENT ON COLUMN scim.sync_links.staged IS 'What waits, or waited, for approval: disable, delete, adopt or recreate.';
COMMENT ON COLUMN scim.sync_links.approval IS 'approved, rejected, or null.';
COMMENT ON COLUMN scim.sync_links.refused IS 'ids of members that the target refuses.';
COMMENT ON COLUMN scim.sync_links.intent IS 'What a request in flight is meant to do.';
COMMENT ON COLUMN scim.sync_links.attempts IS 'Failed tries since the last success.';
COMMENT ON COLUMN scim.sync_links.next_at IS 'When it is looked at again; null: when its row changes.';
COMMENT ON COLUMN scim.sync_links.gone_at IS 'Since when the row is gone.';
COMMENT ON COLUMN scim.sync_links.changed_at IS 'When its state was last written.';

CREATE VIEW scim.sync_log AS
	SELECT a.id, s.name AS sync, a.source_key, a.at, a.action, a.method, a.path, a.status, a.verdict, a.detail, a.latency_ms, a.held_until,
		a.before, a.after, a.old_values, a.new_values
	FROM scim._attempts a JOIN scim._syncs s ON s.id = a.sync_id JOIN scim._mappings m ON m.id = s.mapping_id
	WHERE pg_catalog.pg_has_role(m.owner, 'USAGE');
REVOKE ALL ON TABLE scim.sync_log FROM PUBLIC;
COMMENT ON VIEW scim.sync_log IS 'Requests to targets and what was made of their answers, for the syncs of a role of the current user; no bodies, and no values without the option log_values of the sync.';
COMMENT ON COLUMN scim.sync_log.id IS 'Number of the request, in the order in which answers were looked at.';
COMMENT ON COLUMN scim.sync_log.sync IS 'Name of the sync.';
COMMENT ON COLUMN scim.sync_log.source_key IS 'Key of the row it was about; null: of the sync as a whole.';
COMMENT ON COLUMN scim.sync_log.at IS 'When its answer was looked at.';
COMMENT ON COLUMN scim.sync_log.action IS 'match, create, read, update, disable, delete, verify, probe, list, token, bulk or config.';
COMMENT ON COLUMN scim.sync_log.method IS 'Method of the request.';
COMMENT ON COLUMN scim.sync_log.path IS 'Path of the request, without values of a filter.';
COMMENT ON COLUMN scim.sync_log.status IS 'Status of the answer; null: there was none.';
COMMENT ON COLUMN scim.sync_log.verdict IS 'ok, unreached, doubt, transient, throttled, unauthorized, forbidden, not found, conflict, changed, too large, unsupported, moved, refused, or barred: by the rules for requests of this server, nothing was sent.';
COMMENT ON COLUMN scim.sync_log.detail IS 'What the target said of a failure.';
COMMENT ON COLUMN scim.sync_log.latency_ms IS 'Milliseconds from request to answer.';
COMMENT ON COLUMN scim.sync_log.held_until IS 'Before that time the target wants no request (Retry-After and its kin); null: it did not say so.';
COMMENT ON COLUMN scim.sync_log.before IS 'Of a creation or change: the attributes that it changes and that the target had a value of before, as far as is known; null: the request reads or deletes.';
COMMENT ON COLUMN scim.sync_log.after IS 'And those that have a value afterwards: what changes is in both, what is added only here, what is removed only in before.';
COMMENT ON COLUMN scim.sync_log.old_values IS 'Values before, by attribute; of references those that are removed; null unless the sync has the option log_values.';
COMMENT ON COLUMN scim.sync_log.new_values IS 'Values afterwards; of references those that are added. Never here: what is not returned, and what is named like a secret.';

CREATE VIEW scim.sync_status AS
	SELECT s.name, m.name AS mapping, s.server, s.state, s.state_reason AS reason,
		l.linked, l.pending, l.disabled, l.failed, l.skipped, l.staged, l.in_flight, l.due, d.queued, d.queued_since,
		pg_catalog.round(100.0 * (l.total - l.open) / NULLIF(l.total, 0), 1) AS percent,
		pg_catalog.round(r.rate::numeric, 2) AS rate,
		CASE WHEN l.open > 0 AND r.rate > 0 THEN pg_catalog.make_interval(secs => pg_catalog.round((l.open / r.rate)::numeric)::float8) END AS eta,
		pg_catalog.clock_timestamp() - LEAST(d.queued_since, l.due_since) AS lag,
		(SELECT a.verdict || coalesce(': ' || a.detail, '') FROM scim._attempts a
			WHERE a.sync_id = s.id AND a.verdict NOT IN ('ok', 'not found') AND a.at > pg_catalog.clock_timestamp() - interval '1 day'
			ORDER BY a.at DESC LIMIT 1) AS last_error,
		s.reconciled_at, coalesce(d.reconciling, false) AS reconciling,
		CASE WHEN s.state NOT IN ('configured', 'disabled') AND i.every <> 'never'
			THEN coalesce(s.reconciled_at, s.created) + i.every::interval END AS reconcile_at
	FROM scim._syncs s
	JOIN scim._mappings m ON m.id = s.mapping_id
	CROSS JOIN LATERAL (
		SELECT pg_catalog.count(*) AS total,
			pg_catalog.count(*) FILTER (WHERE k.state = 'linked') AS linked,
			pg_catalog.count(*) FILTER (WHERE k.state = 'pending') AS pending,
			pg_catalog.count(*) FILTER (WHERE k.state = 'disabled') AS disabled,
			pg_catalog.count(*) FILTER (WHERE k.state IN ('parked', 'conflict')) AS failed,
			pg_catalog.count(*) FILTER (WHERE k.state = 'skipped') AS skipped,
			pg_catalog.count(*) FILTER (WHERE k.state = 'staged') AS staged,
			pg_catalog.count(*) FILTER (WHERE k.intent IS NOT NULL) AS in_flight,
			pg_catalog.count(*) FILTER (WHERE k.next_at <= pg_catalog.clock_timestamp()) AS due,
			pg_catalog.min(k.next_at) FILTER (WHERE k.next_at <= pg_catalog.clock_timestamp()) AS due_since,
			pg_catalog.count(*) FILTER (WHERE k.state = 'pending' OR k.intent IS NOT NULL OR k.next_at <= pg_catalog.clock_timestamp()) AS open
		FROM scim._links k WHERE k.sync_id = s.id
	) l
	CROSS JOIN LATERAL (
		SELECT pg_catalog.count(*) AS queued, pg_catalog.min(q.at) AS queued_since,
			pg_catalog.bool_or(q.keys IS NULL) AS reconciling
		FROM scim._dirty q WHERE q.sync_id = s.id
	) d
	CROSS JOIN LATERAL (
		SELECT pg_catalog.count(*) / GREATEST(1, EXTRACT(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.min(a.at))) AS rate
		FROM scim._attempts a
		WHERE a.sync_id = s.id AND a.at > pg_catalog.clock_timestamp() - interval '1 minute'
			AND a.source_key IS NOT NULL AND a.method <> 'GET' AND a.verdict = 'ok'
	) r
	CROSS JOIN LATERAL (SELECT coalesce(s.options ->> 'reconcile_interval', '1 day') AS every) i
	WHERE pg_catalog.pg_has_role(m.owner, 'USAGE');
REVOKE ALL ON TABLE scim.sync_status FROM PUBLIC;
COMMENT ON VIEW scim.sync_status IS 'How far each sync of a role of the current user is.';
COMMENT ON COLUMN scim.sync_status.name IS 'Name of the sync.';
COMMENT ON COLUMN scim.sync_status.mapping IS 'The mapping whose rows it sends.';
COMMENT ON COLUMN scim.sync_status.server IS 'The server it sends them to.';
COMMENT ON COLUMN scim.sync_status.state IS 'configured: not started; active; paused; quarantined: stopped by the target''s answers, tried again by itself; disabled.';
COMMENT ON COLUMN scim.sync_status.reason IS 'Why it is paused, quarantined or disabled.';
COMMENT ON COLUMN scim.sync_status.linked IS 'Rows whose resource at the target is known.';
COMMENT ON COLUMN scim.sync_status.pending IS 'Rows that are to be matched or created.';
COMMENT ON COLUMN scim.sync_status.disabled IS 'Resources that were disabled because their row is gone or out of scope.';
COMMENT ON COLUMN scim.sync_status.failed IS 'Rows that the target refuses, or whose resource is not certain: see scim.sync_links.';
COMMENT ON COLUMN scim.sync_status.skipped IS 'Rows that the actions of the sync leave out.';
COMMENT ON COLUMN scim.sync_status.staged IS 'Rows that wait for scim.approve() or scim.reject().';
COMMENT ON COLUMN scim.sync_status.in_flight IS 'Rows that a request is about now.';
COMMENT ON COLUMN scim.sync_status.due IS 'Rows that are to be looked at now.';
COMMENT ON COLUMN scim.sync_status.queued IS 'Entries of the queue of changes; each is up to 1,000 rows.';
COMMENT ON COLUMN scim.sync_status.queued_since IS 'When the oldest change in the queue was made.';
COMMENT ON COLUMN scim.sync_status.percent IS 'How many of a hundred rows are settled: at the target, or failed, skipped, staged. What is still in the queue is not counted.';
COMMENT ON COLUMN scim.sync_status.rate IS 'Rows written in a second, of the last minute.';
COMMENT ON COLUMN scim.sync_status.eta IS 'How long the rest takes at that rate; null: there is none, or nothing is written.';
COMMENT ON COLUMN scim.sync_status.lag IS 'Age of what waits longest to be looked at; null: nothing does.';
COMMENT ON COLUMN scim.sync_status.last_error IS 'What the last request of this day that failed has come to.';
COMMENT ON COLUMN scim.sync_status.reconciled_at IS 'When all rows were looked at last.';
COMMENT ON COLUMN scim.sync_status.reconciling IS 'Whether they are being looked at, or are to be next.';
COMMENT ON COLUMN scim.sync_status.reconcile_at IS 'When they are looked at next, at the latest (option reconcile_interval of the sync).';

CREATE FUNCTION scim.plan(
	sync text,
	key text DEFAULT NULL,
	OUT source_key text,
	OUT action text,
	OUT method text,
	OUT path text,
	OUT body jsonb,
	OUT reason text
) RETURNS SETOF record
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'scim_plan';
REVOKE ALL ON FUNCTION scim.plan(text, text) FROM PUBLIC;
COMMENT ON FUNCTION scim.plan(text, text) IS
'Show what a sync would send for the rows whose change it has not sent yet, and send nothing. Sees what this transaction has changed.
sync: name; key: only the row with this key, whether it has changed or not. Result: a row for each request: source_key: key of the row; action: create (which a match comes before), update, disable or delete; or none with its reason, if key is given; method, path, body: the request; reason: why.
A sync that was never started plans all rows of its mapping.
Errors: 42704 no such sync, 42501 not a member of its owner, 55000 its mapping or server can''t be used.';
