-- All PATCH vectors through the SQL face of the language.
\set VERBOSITY terse
SET client_min_messages = warning;
\set vectors `cat test/data/patch-vectors.json`
CREATE TEMP TABLE file AS SELECT :'vectors'::jsonb AS f;
SELECT scim.create_schema(s, 'User') FROM file, jsonb_array_elements(f -> 'fixtureSchemas') s;

-- The state of a resource by the rules of the vectors: meta does not count;
-- null, absent, [] and {} are one; primary false is absent; lists have no order.
CREATE FUNCTION pg_temp.state(j jsonb, schemas boolean) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE k text; v jsonb; o jsonb := '{}';
BEGIN
	IF jsonb_typeof(j) = 'array' THEN
		RETURN (SELECT jsonb_agg(x ORDER BY x::text) FROM (SELECT pg_temp.state(e, schemas) x FROM jsonb_array_elements(j) e) s WHERE x IS NOT NULL);
	ELSIF jsonb_typeof(j) = 'object' THEN
		FOR k, v IN SELECT * FROM jsonb_each(j) LOOP
			v := pg_temp.state(v, schemas);
			IF v IS NULL OR k = 'meta' OR (k = 'primary' AND v = 'false') OR (k = 'schemas' AND NOT schemas) THEN CONTINUE; END IF;
			o := o || jsonb_build_object(k, v);
		END LOOP;
		RETURN nullif(o, '{}');
	ELSIF j = 'null' THEN
		RETURN NULL;
	END IF;
	RETURN j;
END $$;
CREATE FUNCTION pg_temp.run(type text, resource jsonb, request jsonb, mode text, OUT after jsonb, OUT error text) LANGUAGE plpgsql AS $$
BEGIN
	after := scim.patch_apply(type, resource, request, mode);
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS error = PG_EXCEPTION_DETAIL;
END $$;

CREATE TEMP TABLE run AS
	SELECT v ->> 'id' AS id, m.mode, v, f -> 'resources' -> (v ->> 'before') AS before, r.*
	  FROM file, jsonb_array_elements(f -> 'vectors') v, (VALUES ('strict'), ('compat')) m(mode),
		pg_temp.run(v ->> 'resourceType', f -> 'resources' -> (v ->> 'before'), v -> 'request', m.mode) r
	 WHERE v ->> 'mode' = m.mode OR (m.mode = 'compat' AND v ->> 'mode' = 'strict' AND (v ->> 'strictOnly') IS DISTINCT FROM 'true');
CREATE TEMP TABLE verdict AS
	SELECT *, CASE WHEN v ? 'error' THEN
			error IS NOT NULL AND error LIKE format('status=%s%%', v -> 'error' ->> 'status')
			AND (split_part(error, 'scimType=', 2) = v -> 'error' ->> 'scimType' OR v -> 'alsoAcceptable' ? split_part(error, 'scimType=', 2)
				 OR v -> 'error' -> 'alsoAcceptable' ? split_part(error, 'scimType=', 2))
		ELSE error IS NULL
			AND pg_temp.state(after, coalesce((v ->> 'checkSchemas')::boolean, false)) = pg_temp.state(v -> 'after', coalesce((v ->> 'checkSchemas')::boolean, false))
			AND (NOT v ? 'changed' OR (v ->> 'changed')::boolean = (pg_temp.state(after, false) IS DISTINCT FROM pg_temp.state(before, false)))
		END AS passed
	  FROM run;
SELECT mode, count(*) AS vectors, count(*) FILTER (WHERE passed) AS passed FROM verdict GROUP BY 1 ORDER BY 1;
SELECT id, mode, v -> 'request' -> 'Operations' AS operations, v -> 'error' AS expected, error, v -> 'alsoAcceptable' AS also FROM verdict WHERE passed IS NOT TRUE ORDER BY 1, 2;

-- errors name the operation and carry status and scimType
\set VERBOSITY default
SELECT scim.patch_apply('User', '{"userName": "x"}', '{"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [{"op": "add", "path": "title", "value": "t"}, {"op": "replace", "path": "shoeSize", "value": 1}]}', 'strict');
SELECT scim.patch_apply('User', '{"userName": "x"}', '{"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [{"op": "remove", "path": "userName"}]}', 'compat');
\set VERBOSITY terse
SELECT scim.patch_apply('User', '{"userName": "x"}', jsonb_build_object('schemas', '["urn:ietf:params:scim:api:messages:2.0:PatchOp"]'::jsonb,
	'Operations', (SELECT jsonb_agg('{"op": "add", "path": "title", "value": "t"}'::jsonb) FROM generate_series(1, 1001))), 'compat');

-- what compat had to rewrite is named for those who ask
SET client_min_messages = debug1;
SELECT scim.patch_apply('User', '{"userName": "x"}', '{"Operations": [{"op": "Replace", "value": {"active": "False", "name.givenName": "A", "name.familyName": "B", "shoeSize": 44}}]}', 'compat');
SELECT scim.validate('User', '{"userName": "x", "active": "True"}', 'compat');
SET client_min_messages = warning;

SELECT scim.drop_schema(s ->> 'id') FROM file, jsonb_array_elements(f -> 'fixtureSchemas') s;
