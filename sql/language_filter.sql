-- All filter vectors through the SQL face of the language.
\set VERBOSITY terse
SET client_min_messages = warning;
\set vectors `cat test/data/filter-vectors.json`
CREATE TEMP TABLE file AS SELECT :'vectors'::jsonb AS f;
SELECT scim.create_schema(s, 'User') FROM file, jsonb_array_elements(f -> 'fixtureSchemas') s;

-- An expectation and what came of it: canonical text, ids, or status and scimType.
CREATE FUNCTION pg_temp.canonical(filter text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE d text;
BEGIN
	RETURN scim.filter_canonical(filter);
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL;
	RETURN 'error ' || SQLSTATE || ' ' || d;
END $$;
CREATE FUNCTION pg_temp.matching(filter text, mode text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE d text;
BEGIN
	RETURN (SELECT coalesce(jsonb_agg(r -> 'id' ORDER BY n), '[]')::text
			  FROM file, jsonb_array_elements(f -> 'resources') WITH ORDINALITY e(r, n)
			 WHERE scim.filter_matches('User', r, filter, mode));
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL;
	RETURN 'error ' || SQLSTATE || ' ' || d;
END $$;

CREATE TEMP TABLE run AS
	SELECT v ->> 'id' AS id, m.mode, v ->> 'filter' AS filter,
		coalesce((v -> 'matches')::text, format('error SC%s status=%1$s scimType=%s', v -> 'error' ->> 'status', v -> 'error' ->> 'scimType')) AS expected,
		pg_temp.matching(v ->> 'filter', m.mode) AS got,
		v ->> 'parse' AS parse, pg_temp.canonical(v ->> 'filter') AS canonical
	  FROM file, jsonb_array_elements(f -> 'vectors') v, (VALUES ('strict'), ('compat')) m(mode)
	 WHERE v ->> 'mode' = m.mode OR (m.mode = 'compat' AND v ->> 'mode' = 'strict' AND (v ->> 'strictOnly') IS DISTINCT FROM 'true');
SELECT mode, count(*) AS vectors, count(*) FILTER (WHERE expected = got) AS passed FROM run GROUP BY 1 ORDER BY 1;
SELECT count(*) AS canonical, count(*) FILTER (WHERE parse = canonical) AS passed, count(*) FILTER (WHERE scim.filter_canonical(canonical) = canonical) AS stable
  FROM run WHERE parse IS NOT NULL;
SELECT id, mode, filter, expected, got FROM run WHERE expected <> got ORDER BY 1, 2;
SELECT id, mode, filter, parse, canonical FROM run WHERE parse <> canonical ORDER BY 1, 2;

-- errors carry status and scimType in DETAIL, and a position in the message
\set VERBOSITY default
SELECT scim.filter_canonical('userName eq');
SELECT scim.filter_matches('User', '{}', 'shoeSize eq 1', 'strict');
SELECT scim.filter_matches('Robot', '{}', 'userName pr');
SELECT scim.filter_matches('User', '{}', 'userName pr', 'lax');
SELECT scim.filter_matches('User', '[]', 'userName pr');
\set VERBOSITY terse
SELECT scim.filter_canonical(repeat('(', 33) || 'a pr' || repeat(')', 33));
SELECT length(scim.filter_canonical(repeat('a pr and ', 63) || 'a pr')) AS comparisons_64;
SELECT scim.filter_canonical(repeat('a pr and ', 64) || 'a pr');
SELECT scim.filter_canonical('a eq "' || repeat('x', 4096) || '"');
SELECT scim.filter_canonical(repeat('(', 1000000));
SELECT scim.filter_canonical(NULL) IS NULL AS strict;

SELECT scim.drop_schema(s ->> 'id') FROM file, jsonb_array_elements(f -> 'fixtureSchemas') s;
