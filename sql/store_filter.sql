-- Filters on rows give what the filters' vectors say (the same vectors run
-- against the evaluation in memory in test/unit/unit_filter.c).
--
-- Left out are those on the vectors' own test extension, on what the store
-- assigns itself (id, meta) and on the read-only groups.
\set VERBOSITY terse
SET client_min_messages = warning;
SELECT scim.setup();
SELECT scim.create_endpoint('compat', tenant => 'vectors');
SELECT scim.create_endpoint('strict', tenant => 'vectors', mode => 'strict');
\set vectors `cat test/data/filter-vectors.json`
CREATE TEMP TABLE file AS SELECT :'vectors'::jsonb AS f;
CREATE TEMP TABLE fixture AS
	SELECT r ->> 'id' AS id, r ->> 'userName' AS user_name, r - '{id,meta,groups}'::text[] AS resource
	  FROM file, jsonb_array_elements(f -> 'resources') r;

-- the resources, without the test extension
SELECT h.status, count(*) FROM fixture,
	scim.handle('compat', 'POST', '/Users', '{}',
		(resource - 'urn:example:params:scim:schemas:extension:badge:2.0:User'
			|| jsonb_build_object('schemas', (SELECT jsonb_agg(s) FROM jsonb_array_elements_text(resource -> 'schemas') s WHERE s NOT LIKE '%badge%')))::text) h
 GROUP BY 1;

CREATE FUNCTION pg_temp.percent(t text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT string_agg('%' || upper(encode(substring(convert_to(t, 'UTF8') FROM i FOR 1), 'hex')), '' ORDER BY i)
	  FROM generate_series(1, octet_length(t)) i
$$;

CREATE TEMP TABLE run AS
	SELECT v ->> 'id' AS id, m.mode, v ->> 'filter' AS filter, v -> 'matches' AS matches, v -> 'error' AS error,
		h.status, h.body::jsonb AS body
	  FROM file, jsonb_array_elements(f -> 'vectors') v,
		(VALUES ('strict'), ('compat')) m(mode),
		scim.handle(m.mode, 'GET', '/Users?count=100&attributes=userName&filter=' || coalesce(pg_temp.percent(v ->> 'filter'), '')) h
	 WHERE (v ->> 'mode' = m.mode OR (m.mode = 'compat' AND v ->> 'mode' = 'strict' AND (v ->> 'strictOnly') IS DISTINCT FROM 'true'))
	   AND v ->> 'filter' !~* 'badge|\mid |\mmeta|\mgroups|displayName eq "john smith"'
	   AND v ->> 'filter' <> '';
SELECT mode, count(*) FILTER (WHERE error IS NULL) AS queries, count(*) FILTER (WHERE error IS NOT NULL) AS errors FROM run GROUP BY 1 ORDER BY 1;

-- what differs: nothing
SELECT id, mode, filter, status, body ->> 'detail' AS detail,
	(SELECT jsonb_agg(x.id ORDER BY x.id) FROM jsonb_array_elements(body -> 'Resources') r JOIN fixture x ON x.user_name = r ->> 'userName') AS found, matches
  FROM run
 WHERE error IS NULL AND (status <> 200 OR
	coalesce((SELECT jsonb_agg(x.id ORDER BY x.id) FROM jsonb_array_elements(body -> 'Resources') r JOIN fixture x ON x.user_name = r ->> 'userName'), '[]')
	IS DISTINCT FROM matches)
 ORDER BY 1, 2;
SELECT id, mode, filter, status, body ->> 'scimType' AS scim_type FROM run
 WHERE error IS NOT NULL AND (status <> 400 OR body ->> 'scimType' <> error ->> 'scimType') ORDER BY 1, 2;

-- sorting: unassigned last, descending first; folded; by primary or first value
SELECT s, o, (SELECT string_agg(r ->> 'userName', ' ' ORDER BY n) FROM jsonb_array_elements(h.body::jsonb -> 'Resources') WITH ORDINALITY e(r, n)) AS users
  FROM (VALUES ('userName', 'emails pr'), ('title', 'title pr and not (userName eq "j") or userName eq "zed"'), ('emails', 'emails pr or title eq "null"'),
			('name.familyName', 'name.familyName pr or userName eq "zed"')) a(s, f),
	(VALUES ('ascending'), ('descending')) b(o),
	scim.handle('compat', 'GET', format('/Users?attributes=userName&filter=%s&sortBy=%s&sortOrder=%s', pg_temp.percent(f), s, o)) h;
-- paging by any order: each once
SELECT count(*), count(DISTINCT u) FROM generate_series(1, 12) i,
	scim.handle('compat', 'GET', format('/Users?count=1&startIndex=%s&sortBy=title&attributes=userName', i)) h,
	LATERAL (SELECT h.body::jsonb -> 'Resources' -> 0 ->> 'userName' AS u) x;

DELETE FROM scim.users WHERE tenant = 'vectors';
SELECT scim.drop_endpoint('compat'), scim.drop_endpoint('strict');
