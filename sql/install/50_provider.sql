-- The SCIM protocol as an SQL function.

CREATE FUNCTION scim.handle(
	endpoint text,
	method text,
	path text,
	headers jsonb DEFAULT '{}',
	body text DEFAULT NULL,
	OUT status integer,
	OUT headers jsonb,
	OUT body text
) RETURNS record
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'scim_handle';
REVOKE ALL ON FUNCTION scim.handle(text, text, text, jsonb, text) FROM PUBLIC;
COMMENT ON FUNCTION scim.handle(text, text, text, jsonb, text) IS
'Serve a SCIM request (RFC 7644) and return the response, as the listener would over HTTP.
endpoint: name; method: GET, POST, PUT, PATCH, DELETE, HEAD; path: below the base URL ("/Users?filter=..."), or with the base path before it; headers: object of texts (Content-Type, Accept, If-Match, If-None-Match, Prefer, Authorization); body: JSON text. Result: status, headers, body (null: none).
The caller must be a member of the role that owns the endpoint; a token is checked only if headers holds Authorization. Runs in a subtransaction of the caller''s transaction: what is not a success leaves nothing behind, and a success is as durable as the caller''s COMMIT.
Errors: 42704 no such endpoint, 42501 not a member of its owner, 22023 bad argument; everything else is a response.';

CREATE FUNCTION scim.explain(
	endpoint text,
	resource_type text,
	filter text DEFAULT NULL,
	sort_by text DEFAULT NULL,
	sort_order text DEFAULT 'ascending',
	start_index bigint DEFAULT 1,
	count integer DEFAULT 100
) RETURNS SETOF text
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'scim_explain';
REVOKE ALL ON FUNCTION scim.explain(text, text, text, text, text, bigint, integer) FROM PUBLIC;
COMMENT ON FUNCTION scim.explain(text, text, text, text, text, bigint, integer) IS
'Show the SQL statement that a list query becomes (first row) and its plan (the others); nothing is executed.
endpoint: name; resource_type: User, Group or another that the endpoint serves; filter: RFC 7644 section 3.4.2.2; sort_by, sort_order, start_index, count: as in a request.
Errors: 42704 no such endpoint or resource type, 42501 not a member of its owner, 22023 bad filter or order.';

CREATE FUNCTION scim.check_password(endpoint text, user_name text, password text) RETURNS boolean
	LANGUAGE c STABLE STRICT PARALLEL UNSAFE COST 100000
	AS 'MODULE_PATHNAME', 'scim_check_password';
REVOKE ALL ON FUNCTION scim.check_password(text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION scim.check_password(text, text, text) IS
'Is this the password of an active user of the built-in store? For endpoints that keep passwords: create_endpoint(..., mappings => ''{users_with_password,groups}'').
endpoint: name; user_name: without regard to case; password: in clear. False also if there is no such user, or none of his passwords is known.
Errors: 42704 no such endpoint, 42501 not a member of its owner.';

-- What was written, by whom: append-only, not dumped (a log of this server).
CREATE TABLE scim._audit (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	request uuid NOT NULL,
	endpoint_id bigint NOT NULL,
	endpoint text NOT NULL,
	owner pg_catalog.regrole NOT NULL,
	token text,
	caller pg_catalog.regrole NOT NULL,
	method text NOT NULL,
	resource_type text,
	resource_id text,
	attributes text[] NOT NULL,
	status integer NOT NULL,
	duration_ms double precision NOT NULL
);
REVOKE ALL ON TABLE scim._audit FROM PUBLIC;
COMMENT ON TABLE scim._audit IS 'Internal: writes of all endpoints; see the view scim.audit_log.';
COMMENT ON COLUMN scim._audit.id IS 'Number of the row, in the order of writing.';
COMMENT ON COLUMN scim._audit.at IS 'When it was written: at the end of the request.';
COMMENT ON COLUMN scim._audit.request IS 'Id of the request; that of a Bulk is in the row of each of its operations. Also in the detail of an answer of 500 and in the server''s log.';
COMMENT ON COLUMN scim._audit.endpoint_id IS 'Number of the endpoint, which may be gone.';
COMMENT ON COLUMN scim._audit.endpoint IS 'Name of the endpoint at that time.';
COMMENT ON COLUMN scim._audit.owner IS 'Owner of the endpoint at that time.';
COMMENT ON COLUMN scim._audit.token IS 'Label of the token; null: through scim.handle without one.';
COMMENT ON COLUMN scim._audit.caller IS 'Session user: who called scim.handle, or the worker role.';
COMMENT ON COLUMN scim._audit.method IS 'POST, PUT, PATCH, DELETE.';
COMMENT ON COLUMN scim._audit.resource_type IS 'Name of the resource type; null: the request did not get so far.';
COMMENT ON COLUMN scim._audit.resource_id IS 'id of the resource.';
COMMENT ON COLUMN scim._audit.attributes IS 'Names of the attributes that have changed; no values.';
COMMENT ON COLUMN scim._audit.status IS 'Status of the answer.';
COMMENT ON COLUMN scim._audit.duration_ms IS 'Time from the begin of the request to its row.';

CREATE FUNCTION scim._refuse_change() RETURNS trigger
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
	AS $$
BEGIN
	RAISE EXCEPTION 'scim._audit can only be appended to' USING ERRCODE = 'object_not_in_prerequisite_state';
END
$$;
REVOKE ALL ON FUNCTION scim._refuse_change() FROM PUBLIC;
COMMENT ON FUNCTION scim._refuse_change() IS 'Internal: statement trigger that refuses whatever it is fired by.';
CREATE TRIGGER append_only BEFORE UPDATE OR TRUNCATE ON scim._audit
	FOR EACH STATEMENT EXECUTE FUNCTION scim._refuse_change();

CREATE VIEW scim.audit_log AS
	SELECT a.at, a.request, a.endpoint, a.token, a.caller, a.method, a.resource_type, a.resource_id, a.attributes, a.status, a.duration_ms
	FROM scim._audit a
	WHERE pg_catalog.pg_has_role(a.owner, 'USAGE');
REVOKE ALL ON TABLE scim.audit_log FROM PUBLIC;
COMMENT ON VIEW scim.audit_log IS 'A row for each write request (each operation of a Bulk) on endpoints that belong to a role of the current user, kept for scim.audit_retention days. Failed authentications are counted (scim.workers), and have no row.';
COMMENT ON COLUMN scim.audit_log.at IS 'When it ended.';
COMMENT ON COLUMN scim.audit_log.request IS 'Id of the request; also in the detail of an answer of 500 and in the server''s log.';
COMMENT ON COLUMN scim.audit_log.endpoint IS 'Name of the endpoint.';
COMMENT ON COLUMN scim.audit_log.token IS 'Label of the token; null: through scim.handle without one.';
COMMENT ON COLUMN scim.audit_log.caller IS 'Session user: who called scim.handle, or the worker role.';
COMMENT ON COLUMN scim.audit_log.method IS 'POST, PUT, PATCH, DELETE.';
COMMENT ON COLUMN scim.audit_log.resource_type IS 'Name of the resource type.';
COMMENT ON COLUMN scim.audit_log.resource_id IS 'id of the resource.';
COMMENT ON COLUMN scim.audit_log.attributes IS 'Names of the attributes that have changed.';
COMMENT ON COLUMN scim.audit_log.status IS 'Status of the answer.';
COMMENT ON COLUMN scim.audit_log.duration_ms IS 'How long it took, in milliseconds.';

-- What identity providers send and get, where an endpoint's option asks for it.
CREATE TABLE scim._requests (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	request uuid NOT NULL,
	endpoint_id bigint NOT NULL,
	endpoint text NOT NULL,
	owner pg_catalog.regrole NOT NULL,
	token text,
	method text NOT NULL,
	path text NOT NULL,
	body jsonb,
	rewrites text[] NOT NULL,
	status integer NOT NULL,
	scim_type text,
	detail text,
	duration_ms double precision NOT NULL
);
REVOKE ALL ON TABLE scim._requests FROM PUBLIC;
COMMENT ON TABLE scim._requests IS 'Internal: requests on endpoints with option requestLog; see the view scim.request_log.';
COMMENT ON COLUMN scim._requests.id IS 'Number of the row, in the order of writing.';
COMMENT ON COLUMN scim._requests.at IS 'When it was written: at the end of the request.';
COMMENT ON COLUMN scim._requests.request IS 'Id of the request.';
COMMENT ON COLUMN scim._requests.endpoint_id IS 'Number of the endpoint, which may be gone.';
COMMENT ON COLUMN scim._requests.endpoint IS 'Name of the endpoint at that time.';
COMMENT ON COLUMN scim._requests.owner IS 'Owner of the endpoint at that time.';
COMMENT ON COLUMN scim._requests.token IS 'Label of the token; null: through scim.handle without one.';
COMMENT ON COLUMN scim._requests.method IS 'Method.';
COMMENT ON COLUMN scim._requests.path IS 'Path below the base URL and the parameters, texts in filters masked.';
COMMENT ON COLUMN scim._requests.body IS 'Body, with the length of each text in its place.';
COMMENT ON COLUMN scim._requests.rewrites IS 'What compat mode has put right.';
COMMENT ON COLUMN scim._requests.status IS 'Status of the answer.';
COMMENT ON COLUMN scim._requests.scim_type IS 'scimType of an error.';
COMMENT ON COLUMN scim._requests.detail IS 'detail of an error.';
COMMENT ON COLUMN scim._requests.duration_ms IS 'Time from the begin of the request to its row.';

CREATE VIEW scim.request_log AS
	SELECT r.at, r.request, r.endpoint, r.token, r.method, r.path, r.body, r.rewrites, r.status, r.scim_type, r.detail, r.duration_ms
	FROM scim._requests r
	WHERE pg_catalog.pg_has_role(r.owner, 'USAGE');
REVOKE ALL ON TABLE scim.request_log FROM PUBLIC;
COMMENT ON VIEW scim.request_log IS 'What identity providers sent and got, of endpoints with option requestLog that belong to a role of the current user; personal values masked; kept for scim.request_log_retention days.';
COMMENT ON COLUMN scim.request_log.at IS 'When it ended.';
COMMENT ON COLUMN scim.request_log.request IS 'Id of the request; also in scim.audit_log.';
COMMENT ON COLUMN scim.request_log.endpoint IS 'Name of the endpoint.';
COMMENT ON COLUMN scim.request_log.token IS 'Label of the token; null: through scim.handle without one.';
COMMENT ON COLUMN scim.request_log.method IS 'Method.';
COMMENT ON COLUMN scim.request_log.path IS 'Path below the base URL and the parameters, texts in filters masked.';
COMMENT ON COLUMN scim.request_log.body IS 'Body, with the length of each text in its place.';
COMMENT ON COLUMN scim.request_log.rewrites IS 'What compat mode has put right: op_case, string_boolean and so on.';
COMMENT ON COLUMN scim.request_log.status IS 'Status of the answer.';
COMMENT ON COLUMN scim.request_log.scim_type IS 'scimType of an error.';
COMMENT ON COLUMN scim.request_log.detail IS 'detail of an error.';
COMMENT ON COLUMN scim.request_log.duration_ms IS 'How long it took, in milliseconds.';
