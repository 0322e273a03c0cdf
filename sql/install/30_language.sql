-- The SCIM language: fold, filters, PATCH, validation, projection, schemas.
--
-- Errors of the language have SQLSTATEs of a class of their own, SC: SC400 for
-- HTTP status 400, SC413 for 413 and so on.  The message is what a SCIM client
-- would get as "detail"; DETAIL is "status=400 scimType=invalidFilter" (without
-- scimType where the RFC defines none).

CREATE FUNCTION scim.fold(value text) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1
	AS 'MODULE_PATHNAME', 'scim_fold_sql';
REVOKE ALL ON FUNCTION scim.fold(text) FROM PUBLIC;
-- Indexes of users' tables are on scim.fold(column): whoever inserts a row or
-- runs ANALYZE evaluates it, and would be refused otherwise.  It reads nothing.
GRANT EXECUTE ON FUNCTION scim.fold(text) TO PUBLIC;
COMMENT ON FUNCTION scim.fold(text) IS
'What a value that is not caseExact is compared by: NFC(NFD(CF(NFD(W(value))))), W wide and narrow forms, CF full case folding without the Turkic rules, by the tables of one Unicode version whatever the server''s collations are. Idempotent. Compare, index and sort it COLLATE "C".';

CREATE FUNCTION scim.key_text(VARIADIC parts text[]) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 1
	AS 'MODULE_PATHNAME', 'scim_key_text';
REVOKE ALL ON FUNCTION scim.key_text(text[]) FROM PUBLIC;
COMMENT ON FUNCTION scim.key_text(text[]) IS
'The id of a resource whose key is several columns, of their texts: each percent-encoded but for letters, digits, "-", "." and "_", joined by "~". Null if one of them is.';

CREATE FUNCTION scim.filter_canonical(filter text) RETURNS text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 10
	AS 'MODULE_PATHNAME', 'scim_filter_canonical_sql';
REVOKE ALL ON FUNCTION scim.filter_canonical(text) FROM PUBLIC;
COMMENT ON FUNCTION scim.filter_canonical(text) IS
'A filter in its canonical form: each comparison and each and/or/not in parentheses, keywords in lower case, names as written. Takes what compat takes; attributes are not looked up.
Errors: SC400 (status=400 scimType=invalidFilter) malformed, or over a limit: 4096 bytes, 32 levels, 64 comparisons, 1024 bytes in an operand; the message gives the position.';

CREATE FUNCTION scim.filter_matches(
	resource_type text,
	resource jsonb,
	filter text,
	mode text DEFAULT 'compat'
) RETURNS boolean
	LANGUAGE c STABLE STRICT PARALLEL UNSAFE COST 100
	AS 'MODULE_PATHNAME', 'scim_filter_matches_sql';
REVOKE ALL ON FUNCTION scim.filter_matches(text, jsonb, text, text) FROM PUBLIC;
COMMENT ON FUNCTION scim.filter_matches(text, jsonb, text, text) IS
'Whether a filter (RFC 7644 3.4.2.2) selects a resource.
resource_type: User, Group or one of yours, with the schemas that extend it; resource: as in a response; filter: its text; mode: strict (the RFC) or compat (also what identity providers send).
Errors: SC400 (status=400 scimType=invalidFilter) malformed filter, unknown attribute, operator or operand that does not fit; SC400 (invalidSyntax, invalidValue) no resource; 42704 no such resource type; 22023 bad mode.';

CREATE FUNCTION scim.patch_apply(
	resource_type text,
	resource jsonb,
	request jsonb,
	mode text DEFAULT 'compat'
) RETURNS jsonb
	LANGUAGE c STABLE STRICT PARALLEL UNSAFE COST 200
	AS 'MODULE_PATHNAME', 'scim_patch_apply_sql';
REVOKE ALL ON FUNCTION scim.patch_apply(text, jsonb, jsonb, text) FROM PUBLIC;
COMMENT ON FUNCTION scim.patch_apply(text, jsonb, jsonb, text) IS
'The resource as it is after a PATCH (RFC 7644 3.5.2); all operations apply, or none.
resource_type: User, Group or one of yours; resource: the state before; request: the body, {"schemas": [...PatchOp], "Operations": [...]}; mode: strict or compat. What compat had to rewrite is named at client_min_messages = debug1.
Errors: SC400 with scimType invalidSyntax, invalidPath, invalidFilter, noTarget, mutability or invalidValue, the message names the operation; SC413 (status=413) too many operations; 42704 no such resource type; 22023 bad mode.';

CREATE FUNCTION scim.validate(
	resource_type text,
	resource jsonb,
	mode text DEFAULT 'compat'
) RETURNS jsonb
	LANGUAGE c STABLE STRICT PARALLEL UNSAFE COST 100
	AS 'MODULE_PATHNAME', 'scim_validate_sql';
REVOKE ALL ON FUNCTION scim.validate(text, jsonb, text) FROM PUBLIC;
COMMENT ON FUNCTION scim.validate(text, jsonb, text) IS
'The state that a POST with this body asks for: names in the schema''s spelling, without readOnly, unknown and unassigned attributes.
resource_type: User, Group or one of yours; resource: the body; mode: strict or compat. What compat had to rewrite is named at client_min_messages = debug1.
Errors: SC400 with scimType invalidSyntax or invalidValue, the message names the attribute; 42704 no such resource type; 22023 bad mode.';

CREATE FUNCTION scim.project(
	resource_type text,
	resource jsonb,
	attributes text[] DEFAULT NULL,
	excluded_attributes text[] DEFAULT NULL
) RETURNS jsonb
	LANGUAGE c STABLE PARALLEL UNSAFE COST 100
	AS 'MODULE_PATHNAME', 'scim_project_sql';
REVOKE ALL ON FUNCTION scim.project(text, jsonb, text[], text[]) FROM PUBLIC;
COMMENT ON FUNCTION scim.project(text, jsonb, text[], text[]) IS
'What a response holds of a resource (RFC 7644 3.9), by "returned" of each attribute and what the request names.
resource_type: User, Group or one of yours; resource: all of it; attributes: only these, and what is always returned; excluded_attributes: not these. Unknown names are ignored. Null if resource_type or resource is null.
Errors: SC400 (status=400 scimType=invalidValue) both lists given; SC400 (invalidSyntax, invalidValue) no resource; 42704 no such resource type.';

-- URIs of schemas compare without case.
CREATE UNIQUE INDEX _schemas_lower_uri ON scim._schemas (pg_catalog.lower(uri) COLLATE "C");

CREATE FUNCTION scim.create_schema(
	schema jsonb,
	extends text DEFAULT NULL,
	required boolean DEFAULT false
) RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE COST 100
	AS 'MODULE_PATHNAME', 'scim_create_schema_sql';
REVOKE ALL ON FUNCTION scim.create_schema(jsonb, text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION scim.create_schema(jsonb, text, boolean) IS
'Define a schema of this database.
schema: a Schema resource (RFC 7643 7) with id and attributes; extends: the resource type it extends (default: the one that the last part of the URN names, as in ...:2.0:User; else it is a base schema for a resource type); required: whether resources must carry the extension.
Errors: 22023 bad definition (the message names the attribute), required without extends, or a message schema; 42710 exists; 42704 no such resource type; 54000 too many extensions.';

CREATE FUNCTION scim.drop_schema(uri text) RETURNS void
	LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE COST 100
	AS 'MODULE_PATHNAME', 'scim_drop_schema_sql';
REVOKE ALL ON FUNCTION scim.drop_schema(text) FROM PUBLIC;
COMMENT ON FUNCTION scim.drop_schema(text) IS
'Drop a schema made by scim.create_schema.
Errors: 42704 no such schema; 42809 it is a standard schema; 2BP01 a mapping or a resource type uses it.';
