-- scale.sql - what is not touched must cost nothing: the median time of a request
-- in a small world and in a large one, and their ratio.
--
--   psql -d DATABASE -f bench/scale.sql [-v users=1000000] [-v calls=100]
--
-- In a database where scim.setup() has run (make quickstart makes one); as
-- superuser.  Makes the endpoints scale_small and scale_large with 1,000 and
-- :users users, each a member of a group of all, and a group of 10 in the latter;
-- drops them at the end.  Through scim.handle: what HTTP adds is the same for both.  The limit
-- is 1.5.
\set ON_ERROR_STOP on
\pset format aligned
\pset footer off
SET client_min_messages = warning;
SET synchronous_commit = off;
\if :{?users} \else \set users 1000000 \endif
\if :{?calls} \else \set calls 100 \endif

SELECT scim.create_endpoint('scale_small'), scim.create_endpoint('scale_large') \g /dev/null
INSERT INTO scim.users (tenant, user_name, external_id, title)
	SELECT t.name, 'user' || i || '@example.org', 'ext-' || i, 'title ' || i % 100
	  FROM (VALUES ('scale_small', 1000), ('scale_large', :users)) t(name, n), generate_series(1, t.n) i;
INSERT INTO scim.user_emails (tenant, user_id, value, type)
	SELECT u.tenant, u.id, 'mail-' || u.user_name, 'work' FROM scim.users u WHERE u.tenant IN ('scale_small', 'scale_large');
INSERT INTO scim.groups (tenant, display_name) VALUES ('scale_small', 'all'), ('scale_large', 'ten'), ('scale_large', 'all');
INSERT INTO scim.group_members (tenant, group_id, user_id)
	SELECT g.tenant, g.id, u.id FROM scim.groups g JOIN scim.users u USING (tenant) WHERE g.tenant IN ('scale_small', 'scale_large') AND (g.display_name = 'all' OR u.user_name ~ '^user[0-9]@');
INSERT INTO scim.users (tenant, user_name) SELECT 'scale_large', 'late' || i FROM generate_series(1, :calls + 5) i;
-- VACUUM, so that both find their tuples alike
VACUUM ANALYZE scim.users, scim.user_emails, scim.groups, scim.group_members;

CREATE TEMP TABLE late AS SELECT row_number() OVER (ORDER BY u.user_name) AS n, u.id FROM scim.users u WHERE u.tenant = 'scale_large' AND u.user_name LIKE 'late%';
CREATE TEMP TABLE taken (what text, large boolean, ms double precision);

-- One request, a transaction of its own; the first few calls are not counted.
CREATE FUNCTION pg_temp.once(what text, large boolean, n int, endpoint text, method text, path text, body text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	started timestamptz := clock_timestamp();
	status int;
BEGIN
	SELECT h.status INTO status FROM scim.handle(endpoint, method, path, '{}', body) h;
	IF status >= 300 THEN
		RAISE EXCEPTION '% %: status %', method, path, status;
	END IF;
	IF n > 0 THEN
		INSERT INTO taken VALUES (what, large, extract(epoch FROM clock_timestamp() - started)::float8 * 1000);
	END IF;
END
$$;

CREATE TEMP TABLE calls AS
	SELECT q.ord, q.what, e.large, n, 'scale_' || CASE WHEN e.large THEN 'large' ELSE 'small' END AS endpoint, 'GET' AS method,
		'/Users?filter=' || replace(replace(q.filter, '{i}', (n + 20)::text), '{id}', (SELECT u.id::text FROM scim.users u WHERE u.tenant = 'scale_' || CASE WHEN e.large THEN 'large' ELSE 'small' END AND u.user_name = 'user77@example.org')) AS path, NULL::text AS body
	  FROM (VALUES (1, 'filter on userName', 'userName%20eq%20%22user{i}@example.org%22'), (2, 'filter on externalId', 'externalId%20eq%20%22ext-{i}%22'),
		(3, 'filter on an e-mail address', 'emails.value%20eq%20%22mail-user{i}@example.org%22'), (4, 'filter on id', 'id%20eq%20%22{id}%22')) q(ord, what, filter),
		(VALUES (false), (true)) e(large), generate_series(-4, :calls) n
	UNION ALL
	SELECT q.ord, q.what, g.display_name = 'all', n, 'scale_large', q.method, replace(q.path, '{g}', g.id::text),
		replace(replace(q.body, '{i}', n::text), '{late}', (SELECT l.id::text FROM late l WHERE l.n = n.n + 5))
	  FROM (VALUES (5, 'add a member', 'PATCH', '/Groups/{g}', '{"Operations":[{"op":"add","path":"members","value":[{"value":"{late}"}]}]}'),
		(6, 'remove a member', 'PATCH', '/Groups/{g}', '{"Operations":[{"op":"remove","path":"members[value eq \"{late}\"]"}]}'),
		(7, 'GET without members', 'GET', '/Groups/{g}?excludedAttributes=members', NULL),
		(8, 'PATCH of displayName', 'PATCH', '/Groups/{g}', '{"Operations":[{"op":"replace","path":"displayName","value":"name {i}"}]}')) q(ord, what, method, path, body), scim.groups g, generate_series(-4, :calls) n(n)
	 WHERE g.tenant = 'scale_large';
-- small and large in turn
\o /dev/null
SELECT format('SELECT pg_temp.once(%L, %L, %L, %L, %L, %L, %L)', what, large, n, endpoint, method, path, body) FROM calls ORDER BY ord, n, large \gexec
\o

SELECT what, round(small::numeric, 3) AS "small, ms", round(large::numeric, 3) AS "large, ms", round((large / small)::numeric, 2) AS ratio, CASE WHEN large <= 1.5 * small THEN 'ok' ELSE 'TOO MUCH' END AS "1.5"
  FROM (SELECT t.what, percentile_cont(0.5) WITHIN GROUP (ORDER BY ms) FILTER (WHERE NOT t.large) AS small, percentile_cont(0.5) WITHIN GROUP (ORDER BY ms) FILTER (WHERE t.large) AS large FROM taken t GROUP BY 1) m
  JOIN (SELECT DISTINCT what, ord FROM calls) c USING (what) ORDER BY c.ord;

SELECT scim.drop_endpoint('scale_small'), scim.drop_endpoint('scale_large') \g /dev/null
DELETE FROM scim.groups WHERE tenant IN ('scale_small', 'scale_large');
DELETE FROM scim.users WHERE tenant IN ('scale_small', 'scale_large');
