-- What only a mapping says about rows is left to a statement, as well as what
-- a PATCH that sees but some of the attributes could get wrong.
\set VERBOSITY terse
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SELECT scim.setup();
CREATE ROLE scim_regress_scan;
CREATE SCHEMA said AUTHORIZATION scim_regress_scan;
SET ROLE scim_regress_scan;
CREATE TABLE said.person (id uuid PRIMARY KEY, name text NOT NULL, title text, gone boolean NOT NULL DEFAULT false);
CREATE TABLE said.mail (person uuid, n int GENERATED ALWAYS AS IDENTITY, address text, source text, PRIMARY KEY (person, n));
CREATE TABLE said.fact (person uuid, kind text, value text, note text, PRIMARY KEY (person, kind));
CREATE TABLE said.firm (firm text, person uuid, PRIMARY KEY (firm, person));
CREATE TABLE said.team (id uuid PRIMARY KEY, name text NOT NULL);
CREATE TABLE said.member (team uuid, person uuid, until date, PRIMARY KEY (team, person));
CREATE INDEX ON said.member (person);
INSERT INTO said.person VALUES ('00000000-0000-4000-8000-000000000001', 'ann', 'Boss', false), ('00000000-0000-4000-8000-000000000002', 'bob', NULL, true),
	('00000000-0000-4000-8000-000000000003', 'cid', NULL, false);
INSERT INTO said.mail (person, address, source) VALUES ('00000000-0000-4000-8000-000000000001', 'ann@scim', 'scim'), ('00000000-0000-4000-8000-000000000001', 'ann@crm', 'crm');
INSERT INTO said.fact VALUES ('00000000-0000-4000-8000-000000000001', 'nick', 'annie', 'a note');
INSERT INTO said.firm VALUES ('one', '00000000-0000-4000-8000-000000000001'), ('two', '00000000-0000-4000-8000-000000000003');
INSERT INTO said.team VALUES ('00000000-0000-4000-8000-0000000000a0', 'all');
INSERT INTO said.member VALUES ('00000000-0000-4000-8000-0000000000a0', '00000000-0000-4000-8000-000000000001', NULL),
	('00000000-0000-4000-8000-0000000000a0', '00000000-0000-4000-8000-000000000002', NULL), ('00000000-0000-4000-8000-0000000000a0', '00000000-0000-4000-8000-000000000003', '2020-01-01');
RESET ROLE;
SELECT scim.create_mapping('said_people', 'User', 'said.person', attributes => '{"userName": "name", "title": "title"}', owner => 'scim_regress_scan');
SELECT scim.create_mapping('said_teams', 'Group', 'said.team', attributes => '{"displayName": "name",
	"members": {"table": "said.member", "parent": "team", "ref": "person", "type": "User"}}', owner => 'scim_regress_scan');
SELECT scim.create_endpoint('said', mappings => '{said_people,said_teams}', public_url => 'https://x');

-- What is answered, and which relations were scanned (sql/store_scan.sql).
SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off;
CREATE FUNCTION pg_temp.look(path text, endpoint text DEFAULT 'said', method text DEFAULT 'GET', body text DEFAULT NULL, OUT scanned text, OUT answer text) LANGUAGE plpgsql AS $$
DECLARE
	before jsonb;
BEGIN
	SELECT jsonb_object_agg(indexrelid, pg_stat_get_xact_numscans(indexrelid)) INTO before FROM pg_index;
	SELECT h.status || ' ' || regexp_replace(regexp_replace(h.body, '"schemas":[[][^]]*[]],?', '', 'g'), '"meta":[{][^}]*[}]', '"meta":*', 'g')
		INTO answer FROM scim.handle(endpoint, method, path, '{}', body) h;
	SELECT string_agg(DISTINCT c.relname::text, ' ' ORDER BY c.relname::text) INTO scanned
		FROM pg_class c JOIN pg_index i ON i.indrelid = c.oid
		WHERE c.relnamespace = 'said'::regnamespace AND pg_stat_get_xact_numscans(i.indexrelid) > (before ->> i.indexrelid::text)::bigint;
END
$$;
CREATE FUNCTION pg_temp.patch(path text, operations text, OUT answer text) LANGUAGE sql AS $$
	SELECT l.answer FROM pg_temp.look(path, 'said', 'PATCH', '{"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": ' || operations || '}') l
$$;
\set ann '/Users/00000000-0000-4000-8000-000000000001'
\set bob '/Users/00000000-0000-4000-8000-000000000002'
\set cid '/Users/00000000-0000-4000-8000-000000000003'
\set team '/Groups/00000000-0000-4000-8000-0000000000a0'
-- nothing is said
SELECT * FROM pg_temp.look(:'bob');
SELECT * FROM pg_temp.look(:'team');
-- which links count
SELECT scim.alter_mapping('said_teams', '{"members": {"table": "said.member", "parent": "team", "ref": "person", "type": "User", "filter": "until IS NULL"}}');
SELECT * FROM pg_temp.look(:'team');
SELECT * FROM pg_temp.look(:'ann');
SELECT * FROM pg_temp.look(:'cid');
SELECT scim.alter_mapping('said_teams', '{"members": {"table": "said.member", "parent": "team", "ref": "person", "type": "User"}}');
-- which rows are resources, and so members
SELECT scim.alter_mapping('said_people', NULL, '{"filter": "NOT gone"}');
SELECT * FROM pg_temp.look(:'ann');
SELECT * FROM pg_temp.look(:'bob');
SELECT * FROM pg_temp.look('/Users?sortBy=userName&attributes=userName');
SELECT * FROM pg_temp.look(:'team');
-- rows of which source
SELECT scim.alter_mapping('said_people', '{"emails": {"table": "said.mail", "parent": "person", "order": "n", "where": {"source": "scim"}, "columns": {"value": "address"}}}', '{"filter": null}');
SELECT * FROM pg_temp.look(:'ann' || '?attributes=emails.value');
SELECT scim.alter_mapping('said_people', '{"emails": {"table": "said.mail", "parent": "person", "order": "n", "filter": "source = ''crm''", "columns": {"value": "address"}}}');
SELECT * FROM pg_temp.look(:'ann' || '?attributes=emails.value');
SELECT scim.alter_mapping('said_people', '{"emails": {"table": "said.mail", "parent": "person", "order": "n", "columns": {"value": "address"}}}');
SELECT * FROM pg_temp.look(:'ann' || '?attributes=emails.value');
-- a row beside it, of two attributes: one that a PATCH does not name stays, and with it the row
SELECT scim.alter_mapping('said_people', '{
	"nickName": {"table": "said.fact", "parent": "person", "where": {"kind": "nick"}, "column": "value"},
	"profileUrl": {"table": "said.fact", "parent": "person", "where": {"kind": "nick"}, "column": "note"}}');
SELECT * FROM pg_temp.look(:'ann');
SELECT pg_temp.patch(:'ann', '[{"op": "remove", "path": "nickName"}]');
SELECT * FROM said.fact;
SELECT pg_temp.patch(:'ann', '[{"op": "remove", "path": "profileUrl"}]');
SELECT * FROM said.fact;
SELECT scim.alter_mapping('said_people', '{"nickName": null, "profileUrl": null}');
-- the row of scim.resource_state beside it takes no statement either
SELECT scim.alter_mapping('said_people', NULL, '{"state": true}');
SELECT * FROM pg_temp.look(:'ann');
SELECT scim.alter_mapping('said_people', NULL, '{"state": false}');
SELECT * FROM pg_temp.look(:'ann');
-- in which scope a row is, another table says
SELECT scim.drop_endpoint('said');
SELECT scim.alter_mapping('said_people', NULL, '{"membership": {"table": "said.firm", "parent": "person"}}');
SELECT scim.create_endpoint('said', mappings => '{said_people}', scope => '{"firm": "one"}', public_url => 'https://x');
SELECT * FROM pg_temp.look(:'ann');
SELECT * FROM pg_temp.look(:'cid');
SELECT * FROM pg_temp.look('/Users?attributes=userName');
SELECT scim.drop_endpoint('said');
SELECT scim.drop_mapping('said_teams');
SELECT scim.drop_mapping('said_people');

-- ---- an extension that is gone altogether requires nothing; one that is not, does ----
SELECT scim.create_schema('{"id": "urn:example:said:2.0:User", "name": "Said", "attributes": [
	{"name": "badge", "type": "string", "required": true}, {"name": "room", "type": "string"}]}', extends => 'User');
SET ROLE scim_regress_scan;
ALTER TABLE said.person ADD badge text, ADD room text;
UPDATE said.person SET badge = 'b', room = 'r';
RESET ROLE;
SELECT scim.create_mapping('said_people', 'User', 'said.person', attributes => '{"userName": "name", "title": "title", "urn:example:said:2.0:User:badge": "badge", "urn:example:said:2.0:User:room": "room"}', owner => 'scim_regress_scan');
SELECT scim.create_endpoint('said', mappings => '{said_people}', public_url => 'https://x');
SELECT pg_temp.patch(:'ann', '[{"op": "remove", "path": "urn:example:said:2.0:User:badge"}]');
SELECT pg_temp.patch(:'ann', '[{"op": "replace", "path": "title", "value": "Chief"}]');
SELECT pg_temp.patch(:'ann', '[{"op": "remove", "path": "urn:example:said:2.0:User:badge"}, {"op": "remove", "path": "urn:example:said:2.0:User:room"}]');
SELECT name, title, badge, room FROM said.person WHERE name = 'ann';

SELECT scim.drop_endpoint('said');
SELECT scim.drop_mapping('said_people');
SELECT scim.drop_schema('urn:example:said:2.0:User');
DROP SCHEMA said CASCADE;
DROP OWNED BY scim_regress_scan;
DROP ROLE scim_regress_scan;
