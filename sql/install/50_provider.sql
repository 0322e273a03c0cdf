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
