-- scim.resource_state: externalId, times and versions of resources whose table
-- has no columns for them; with "track" also of changes that plain SQL makes.
\set VERBOSITY terse
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SELECT scim.setup();
CREATE ROLE scim_regress_state;
CREATE SCHEMA kept AUTHORIZATION scim_regress_state;
SET ROLE scim_regress_state;
CREATE TABLE kept.person (id int PRIMARY KEY, login text NOT NULL UNIQUE, seen timestamptz, title text);
CREATE TABLE kept.mail (person int NOT NULL REFERENCES kept.person ON DELETE CASCADE ON UPDATE CASCADE, mail text NOT NULL, note text);
CREATE TABLE kept.team (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE kept.member (team int NOT NULL REFERENCES kept.team ON DELETE CASCADE, person int NOT NULL REFERENCES kept.person ON DELETE CASCADE ON UPDATE CASCADE, PRIMARY KEY (team, person));
CREATE SEQUENCE kept.ids START 101;
ALTER TABLE kept.person ALTER id SET DEFAULT nextval('kept.ids');
ALTER TABLE kept.team ALTER id SET DEFAULT nextval('kept.ids');
INSERT INTO kept.person SELECT i, 'p' || i FROM generate_series(1, 5) i;
INSERT INTO kept.mail VALUES (1, 'one@x'), (2, 'two@x');
INSERT INTO kept.team VALUES (10, 'ten'), (20, 'twenty');
INSERT INTO kept.member VALUES (10, 1), (20, 2);
RESET ROLE;
SELECT scim.create_mapping('kept_person', 'User', 'kept.person', owner => 'scim_regress_state', attributes => '{"userName": "login", "title": "title",
	"emails": {"table": "kept.mail", "parent": "person", "columns": {"value": "mail"}}}');
SELECT scim.create_mapping('kept_team', 'Group', 'kept.team', owner => 'scim_regress_state', attributes => '{"displayName": "name",
	"members": {"table": "kept.member", "parent": "team", "ref": "person", "type": "User"}}');
SELECT scim.create_endpoint('kept', mappings => '{kept_person,kept_team}', public_url => 'https://x');

CREATE FUNCTION pg_temp.call(method text, path text, body text DEFAULT NULL, headers jsonb DEFAULT '{}') RETURNS text LANGUAGE sql AS $$
	SELECT h.status || coalesce(' ' || (h.body::jsonb ->> 'id'), '') || coalesce(' ' || (h.body::jsonb ->> 'totalResults'), '') FROM scim.handle('kept', method, path, headers, body) h
$$;
CREATE FUNCTION pg_temp.user(body jsonb) RETURNS text LANGUAGE sql AS $$
	SELECT pg_temp.call('POST', '/Users', (body || '{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"]}')::text)
$$;
CREATE FUNCTION pg_temp.patch(path text, operations text, headers jsonb DEFAULT '{}') RETURNS text LANGUAGE sql AS $$
	SELECT pg_temp.call('PATCH', path, '{"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": ' || operations || '}', headers)
$$;
-- what all resources say now, and which of them another version than at the last look
CREATE FUNCTION pg_temp.now() RETURNS TABLE (path text, version text, external_id text, created text, modified text) LANGUAGE sql AS $$
	SELECT regexp_replace(r -> 'meta' ->> 'location', '.*/', t || '/'), r -> 'meta' ->> 'version', r ->> 'externalId', r -> 'meta' ->> 'created', r -> 'meta' ->> 'lastModified'
	  FROM unnest('{Users,Groups}'::text[]) t, scim.handle('kept', 'GET', '/' || t || '?count=100', '{}', NULL) h, jsonb_array_elements(h.body::jsonb -> 'Resources') r
$$;
CREATE TEMP TABLE before AS SELECT * FROM pg_temp.now();
CREATE FUNCTION pg_temp.moved() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	CREATE TEMP TABLE after AS SELECT * FROM pg_temp.now();
	SELECT coalesce(string_agg(concat_ws(' ', coalesce(a.path, b.path || ' is gone'), CASE WHEN b.path IS NULL THEN 'is new' END), ', ' ORDER BY coalesce(a.path, b.path)), 'nothing') INTO result
	  FROM after a FULL JOIN before b USING (path) WHERE a.version IS DISTINCT FROM b.version;
	/* the time moves with the version, where it is known */
	IF EXISTS (SELECT FROM after a JOIN before b USING (path) WHERE (a.version IS NOT DISTINCT FROM b.version) AND (a.modified IS DISTINCT FROM b.modified)) THEN
		result := result || '; a lastModified moved alone';
	END IF;
	DROP TABLE before;
	ALTER TABLE after RENAME TO before;
	RETURN result;
END
$$;

-- ---- kept by scim's own writes ----
SELECT pg_temp.user('{"userName": "ann", "externalId": "E1", "emails": [{"value": "ann@x"}]}');
SELECT pg_temp.user('{"userName": "bob", "externalId": "E1"}');
SELECT path, external_id, created = modified AS new FROM pg_temp.now() ORDER BY 1;
SELECT pg_temp.moved();
SELECT f, pg_temp.call('GET', '/Users?filter=' || f) FROM unnest('{externalId%20eq%20%22E1%22,externalId%20eq%20%22e1%22,externalId%20ne%20%22E1%22,externalId%20sw%20%22E%22,not%20(externalId%20pr),meta.created%20pr,externalId%20eq%20%22E1%22%20and%20userName%20eq%20%22bob%22}'::text[]) f;
-- the keys are looked up, and the table's own index does the rest
SELECT l FROM scim.explain('kept', 'User', 'externalId eq "E1"') WITH ORDINALITY e(l, n) WHERE n = 1;
SELECT pg_temp.patch('/Users/101', '[{"op": "add", "path": "emails", "value": [{"value": "ann@y"}]}]');
SELECT pg_temp.moved();
SELECT pg_temp.patch('/Users/101', '[{"op": "replace", "path": "externalId", "value": "E2"}]');
SELECT pg_temp.moved();
SELECT pg_temp.patch('/Users/101', '[{"op": "replace", "path": "externalId", "value": "E2"}]');
SELECT pg_temp.moved();
SELECT pg_temp.patch('/Users/101', '[{"op": "remove", "path": "externalId"}]');
SELECT external_id FROM pg_temp.now() WHERE path = 'Users/101';
SELECT pg_temp.moved();
-- the version in If-Match
SELECT pg_temp.patch('/Users/101', '[{"op": "replace", "path": "title", "value": "x"}]', jsonb_build_object('If-Match', version)) FROM before WHERE path = 'Users/101';
SELECT pg_temp.patch('/Users/101', '[{"op": "replace", "path": "title", "value": "y"}]', jsonb_build_object('If-Match', version)) FROM before WHERE path = 'Users/101';
SELECT pg_temp.moved();
-- and in a filter
SELECT count(*) FROM before b, LATERAL pg_temp.call('GET', '/Users?filter=meta.version%20eq%20%22' || replace(replace(replace(version, '\', '\\'), '"', '%5C%22'), ' ', '') || '%22') c WHERE path LIKE 'Users%' AND c LIKE '200 1';
-- plain SQL moves the version with the row, and not with a row beside it
UPDATE kept.person SET title = 'z' WHERE id IN (1, 101);
SELECT pg_temp.moved();
UPDATE kept.mail SET mail = 'z@x' WHERE person = 101;
SELECT pg_temp.moved();
-- a user who goes leaves the groups that she is in
INSERT INTO kept.member VALUES (20, 101);
SELECT pg_temp.moved();
SELECT pg_temp.call('DELETE', '/Users/101');
SELECT pg_temp.moved();
-- of whom nothing stays, also where somebody else has her key now
SELECT count(*) FROM scim._resource_state WHERE key = '101';
SELECT setval('kept.ids', 102, false);
DELETE FROM kept.person WHERE id = 102;
SELECT pg_temp.user('{"userName": "cid"}');
SELECT path, external_id FROM pg_temp.now() WHERE path = 'Users/102';
SELECT pg_temp.moved();
SELECT scim.alter_mapping('kept_person', options => '{"state": false}');
SELECT pg_temp.call('GET', '/Users/102'), pg_temp.call('GET', '/Users?filter=externalId%20pr');
SELECT pg_temp.moved();
SELECT scim.alter_mapping('kept_person', options => '{"state": "no"}');
SELECT scim.alter_mapping('kept_person', options => '{"track": true}');
SELECT scim.alter_mapping('kept_person', options => '{"state": null}');
SELECT pg_temp.moved();

-- ---- kept by triggers ----
SELECT scim.alter_mapping('kept_person', options => '{"track": true}'), scim.alter_mapping('kept_team', options => '{"track": true}');
SELECT * FROM scim.sync_captures ORDER BY mapping, relation::text;
SELECT pg_temp.moved() LIKE 'Groups/10, Groups/20, Users/1, Users/102%' AS all_have_another;
-- a row; what is not mapped does not matter
UPDATE kept.person SET title = 'a' WHERE id = 1;
SELECT pg_temp.moved();
UPDATE kept.person SET seen = now();
SELECT pg_temp.moved();
UPDATE kept.person SET title = title;
SELECT pg_temp.moved();
-- many
UPDATE kept.person SET title = 'b' WHERE id < 6;
SELECT pg_temp.moved();
INSERT INTO kept.person SELECT i, 'many' || i FROM generate_series(1001, 3500) i;
SELECT count(*) FROM scim._resource_state s JOIN scim._mappings m ON m.id = s.mapping WHERE m.name = 'kept_person' AND s.created = s.last_modified AND s.key::int > 1000;
DELETE FROM kept.person WHERE id > 1000;
SELECT count(*) FROM scim._resource_state WHERE key::int > 1000;
SELECT pg_temp.moved();
-- rows beside it
INSERT INTO kept.mail VALUES (3, 'three@x'), (3, '3@x'), (1, 'uno@x');
SELECT pg_temp.moved();
UPDATE kept.mail SET note = 'n';
SELECT pg_temp.moved();
UPDATE kept.mail SET mail = 'tres@x', person = 4 WHERE mail = 'three@x';
SELECT pg_temp.moved();
DELETE FROM kept.mail WHERE person IN (2, 4);
SELECT pg_temp.moved();
INSERT INTO kept.member VALUES (10, 3), (10, 4);
SELECT pg_temp.moved();
UPDATE kept.member SET team = 20 WHERE person = 3;
SELECT pg_temp.moved();
-- with COPY, in a statement that does several things, and by MERGE's elder brother
COPY kept.mail (person, mail) FROM stdin;
2	copied@x
4	copied@x
\.
SELECT pg_temp.moved();
WITH i AS (INSERT INTO kept.person VALUES (6, 'p6') RETURNING id), m AS (INSERT INTO kept.mail SELECT 5, 'five@x') UPDATE kept.team SET name = 'TEN' WHERE id = 10;
SELECT pg_temp.moved();
INSERT INTO kept.person VALUES (5, 'p5', NULL, 'c'), (7, 'p7', NULL, 'c') ON CONFLICT (id) DO UPDATE SET title = excluded.title;
SELECT pg_temp.moved();
-- what was rolled back was nothing
BEGIN;
UPDATE kept.person SET title = 'rolled back';
SAVEPOINT s;
DELETE FROM kept.mail;
ROLLBACK TO s;
ROLLBACK;
SELECT pg_temp.moved();
-- a key that changes: the one has gone, the other is new
SELECT pg_temp.patch('/Users/7', '[{"op": "add", "path": "externalId", "value": "E7"}]');
UPDATE kept.person SET id = 8 WHERE id = 7;
SELECT path, external_id FROM pg_temp.now() WHERE path = 'Users/8';
SELECT pg_temp.moved();
-- rows that go, and what goes with them; a key that comes again has another version
SELECT pg_temp.patch('/Users/2', '[{"op": "add", "path": "externalId", "value": "E2"}]');
SELECT pg_temp.moved();
DELETE FROM kept.person WHERE id IN (2, 3);
SELECT pg_temp.moved();
SELECT s.key FROM scim._resource_state s JOIN scim._mappings m ON m.id = s.mapping WHERE m.name = 'kept_person' ORDER BY s.key::int;
INSERT INTO kept.person VALUES (2, 'p2');
SELECT path, external_id, created = modified AS new FROM pg_temp.now() WHERE path = 'Users/2';
-- requests: the answer has the version that the resource has then
SELECT h.body::jsonb -> 'meta' = g.body::jsonb -> 'meta' AS same, h.body::jsonb #>> '{meta,created}' = (h.body::jsonb #>> '{meta,lastModified}') AS new
  FROM scim.handle('kept', 'POST', '/Users', '{}', '{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "dan", "externalId": "E9", "emails": [{"value": "dan@x"}]}') h,
	scim.handle('kept', 'GET', '/Users/' || (h.body::jsonb ->> 'id'), '{}', NULL) g;
SELECT pg_temp.moved();
SELECT pg_temp.patch('/Users/103', '[{"op": "replace", "path": "emails", "value": [{"value": "dan@y"}]}]');
SELECT pg_temp.moved();
SELECT pg_temp.patch('/Users/103', '[{"op": "replace", "path": "emails", "value": [{"value": "dan@y"}]}]', jsonb_build_object('If-Match', version)) FROM before WHERE path = 'Users/103';
SELECT pg_temp.moved();
SELECT pg_temp.call('DELETE', '/Users/103');
SELECT count(*) FROM scim._resource_state WHERE key = '103';
SELECT pg_temp.moved();
-- all rows of a child, all rows
TRUNCATE kept.mail;
SELECT pg_temp.moved();
TRUNCATE kept.person CASCADE;
SELECT pg_temp.moved();
SELECT count(*) FROM scim._resource_state s JOIN scim._mappings m ON m.id = s.mapping WHERE m.name = 'kept_person';

-- ---- what triggers do not see ----
INSERT INTO kept.person VALUES (1, 'p1'), (2, 'p2');
SELECT pg_temp.moved();
SET session_replication_role = replica;
UPDATE kept.person SET title = 'unseen';
INSERT INTO kept.person VALUES (3, 'p3');
RESET session_replication_role;
SELECT pg_temp.moved();
-- such a row has the version of the row, until its next change
UPDATE kept.person SET title = 'seen' WHERE id = 3;
SELECT pg_temp.moved();
SELECT severity, subject, problem, hint FROM scim.check_mapping('kept_person') WHERE subject = 'track';
ALTER TABLE kept.mail DISABLE TRIGGER scim_capture_insert;
SELECT severity, subject, problem, hint FROM scim.check_mapping('kept_person') WHERE subject = 'track';
INSERT INTO kept.mail VALUES (1, 'unseen@x');
SELECT pg_temp.moved();
ALTER TABLE kept.mail ENABLE TRIGGER scim_capture_insert;
SELECT pg_temp.moved();
-- a view, a row that is a resource of several, a table without rights
CREATE VIEW kept.view AS SELECT * FROM kept.person;
GRANT SELECT ON kept.view TO scim_regress_state;
SELECT scim.create_mapping('kept_view', 'User', 'kept.view', key => 'id', owner => 'scim_regress_state', attributes => '{"userName": "login"}', options => '{"track": true}');
SELECT scim.alter_mapping('kept_person', options => '{"shared": true}');
CREATE TABLE kept.foreign_to_all (id int PRIMARY KEY, name text);
GRANT SELECT ON kept.foreign_to_all TO scim_regress_state;
SELECT scim.create_mapping('kept_foreign', 'User', 'kept.foreign_to_all', owner => 'scim_regress_state', attributes => '{"userName": "name"}', options => '{"track": true}');

-- ---- keys that move on: what is still there keeps its state ----
SET ROLE scim_regress_state;
CREATE TABLE kept.line (id int PRIMARY KEY, name text NOT NULL);
INSERT INTO kept.line SELECT i, 'n' || i FROM generate_series(1, 2500) i;
RESET ROLE;
SELECT scim.create_mapping('kept_line', 'User', 'kept.line', owner => 'scim_regress_state', attributes => '{"userName": "name"}', options => '{"track": true}');
UPDATE kept.line SET id = id - 1;
SELECT min(s.key::int), max(s.key::int), count(*), count(*) FILTER (WHERE s.last_modified IS NULL) AS unmoved FROM scim._resource_state s JOIN scim._mappings m ON m.id = s.mapping WHERE m.name = 'kept_line';
SELECT scim.drop_mapping('kept_line');

-- ---- a key whose name has to be quoted, said as SQL says it ----
SET ROLE scim_regress_state;
CREATE TABLE kept.quoted ("Id" int PRIMARY KEY, name text NOT NULL);
INSERT INTO kept.quoted VALUES (1, 'one');
RESET ROLE;
SELECT scim.create_mapping('kept_quoted', 'User', 'kept.quoted', key => '"Id"', owner => 'scim_regress_state', attributes => '{"userName": "name"}', options => '{"track": true}');
UPDATE kept.quoted SET "Id" = 2;
TRUNCATE kept.quoted;
INSERT INTO kept.quoted VALUES (3, 'three');
SELECT s.key, s.last_modified IS NOT NULL AS moved FROM scim._resource_state s JOIN scim._mappings m ON m.id = s.mapping WHERE m.name = 'kept_quoted' ORDER BY s.key;
SELECT scim.drop_mapping('kept_quoted');

-- ---- partitions ----
SET ROLE scim_regress_state;
CREATE TABLE kept.part (id int PRIMARY KEY, name text NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE kept.part1 PARTITION OF kept.part FOR VALUES FROM (0) TO (10);
CREATE TABLE kept.part2 (id int PRIMARY KEY, name text NOT NULL);
INSERT INTO kept.part1 VALUES (1, 'one');
INSERT INTO kept.part2 VALUES (11, 'eleven');
RESET ROLE;
SELECT scim.create_mapping('kept_part', 'User', 'kept.part', owner => 'scim_regress_state', attributes => '{"userName": "name"}', options => '{"track": true}');
CREATE FUNCTION pg_temp.part() RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(s.key || CASE WHEN s.created IS NULL THEN '' ELSE ' new' END, ', ' ORDER BY s.key::int) FROM scim._resource_state s JOIN scim._mappings m ON m.id = s.mapping WHERE m.name = 'kept_part'
$$;
SELECT pg_temp.part();
ALTER TABLE kept.part ATTACH PARTITION kept.part2 FOR VALUES FROM (10) TO (20);
SELECT pg_temp.part();
INSERT INTO kept.part2 VALUES (12, 'twelve');
UPDATE kept.part SET id = 2 WHERE id = 12;
DELETE FROM kept.part1 WHERE id = 1;
SELECT pg_temp.part();

-- ---- and an end ----
SELECT scim.alter_mapping('kept_team', options => '{"track": false}');
SELECT tgrelid::regclass, tgname FROM pg_trigger WHERE tgfoid = 'scim._capture'::regproc AND tgname LIKE '%update' ORDER BY tgrelid::regclass::text;
SELECT scim.drop_endpoint('kept');
SELECT scim.drop_mapping('kept_person'), scim.drop_mapping('kept_team'), scim.drop_mapping('kept_part');
SELECT count(*) FROM pg_trigger WHERE tgfoid = 'scim._capture'::regproc;
SELECT count(*) FROM scim._resource_state;
DROP SCHEMA kept CASCADE;
REVOKE ALL ON SCHEMA scim FROM scim_regress_state;
REVOKE ALL ON FUNCTION scim.fold(text) FROM scim_regress_state;
REVOKE ALL ON TABLE scim.resource_state FROM scim_regress_state;
DROP ROLE scim_regress_state;
