-- What scim says about mappings: descriptions, indexes, problems.
\set VERBOSITY terse
SET client_min_messages = warning;
SELECT scim.setup();
CREATE ROLE scim_regress_report;
CREATE SCHEMA rep AUTHORIZATION scim_regress_report;
SET ROLE scim_regress_report;
CREATE TABLE rep.users (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, org int NOT NULL, login text NOT NULL, nick text, code varchar(40), kind text NOT NULL, role smallint NOT NULL DEFAULT 1,
	mail text, data jsonb, tags text[], UNIQUE (org, login));
CREATE INDEX users_mail ON rep.users (org, lower(mail));
RESET ROLE;
GRANT USAGE ON SCHEMA scim TO scim_regress_report;
GRANT EXECUTE ON FUNCTION scim.fold(text) TO scim_regress_report;
SET ROLE scim_regress_report;
CREATE INDEX users_nick ON rep.users (scim.fold(nick) COLLATE "C") WHERE nick IS NOT NULL;
CREATE TABLE rep.phones (user_id int NOT NULL, number text);
CREATE TABLE rep.profiles (user_id int REFERENCES rep.users, city text);
CREATE TABLE rep.teams (id int, org int NOT NULL, name text NOT NULL, parent int);
CREATE TABLE rep.team_users (team_id int, user_id int REFERENCES rep.users);
RESET ROLE;
SELECT scim.create_mapping('rep_users', 'User', 'rep.users', attributes => '{"userName": "login", "nickName": "nick", "displayName": "code", "userType": {"column": "role", "codes": {"1": "member"}},
	"emails[type eq \"work\"].value": {"column": "mail", "fold": "lower"}, "title": {"column": "data", "path": "job.title"},
	"phoneNumbers": {"table": "rep.phones", "parent": "user_id", "columns": {"value": "number"}},
	"locale": {"table": "rep.profiles", "parent": "user_id", "column": "city"}, "name.formatted": "upper(nick)"}', owner => 'scim_regress_report');
SELECT scim.create_mapping('rep_teams', 'Group', 'rep.teams', key => 'id', attributes => '{"displayName": "name", "members": [
	{"table": "rep.team_users", "parent": "team_id", "ref": "user_id", "type": "User"}, {"table": "rep.teams", "parent": "parent", "ref": "id", "type": "Group"}]}', owner => 'scim_regress_report');
-- before an endpoint uses them, and after
SELECT * FROM scim.describe_mapping('rep_users') WHERE attribute IN ('userName', 'emails[type eq "work"].value');
SELECT * FROM scim.describe_mapping('rep_teams');
SELECT scim.create_endpoint('rep', mappings => '{rep_users,rep_teams}', scope => '{"org": 1}');
SELECT * FROM scim.describe_mapping('rep_users');
SELECT * FROM scim.describe_mapping('rep_teams');
SELECT * FROM scim.recommend_indexes('rep_users');
SELECT * FROM scim.recommend_indexes('rep_teams');
SELECT * FROM scim.check_mapping('rep_users');
SELECT * FROM scim.check_mapping('rep_teams');
-- what it says is right: the first statement by which nothing more is asked for
SELECT count(*) FROM (SELECT statement FROM scim.recommend_indexes('rep_users') UNION ALL SELECT statement FROM scim.recommend_indexes('rep_teams')) s WHERE statement IS NOT NULL;
DO $$
DECLARE s text;
BEGIN
	FOR s IN SELECT statement FROM scim.recommend_indexes('rep_users') WHERE statement IS NOT NULL UNION ALL SELECT statement FROM scim.recommend_indexes('rep_teams') WHERE statement IS NOT NULL LOOP
		EXECUTE s;
	END LOOP;
END $$;
SELECT count(*) FROM (SELECT statement FROM scim.recommend_indexes('rep_users') UNION ALL SELECT statement FROM scim.recommend_indexes('rep_teams')) s WHERE statement IS NOT NULL;
-- and the planner agrees
INSERT INTO rep.users (org, login, nick, code, mail, kind) SELECT 1 + i % 3, 'u' || i, 'n' || i, 'c' || i, 'm' || i, 'x' FROM generate_series(1, 5000) i;
ANALYZE rep.users;
SELECT f, substring(l FROM '(?:Index Scan using|Bitmap Index Scan on) (\w+)') AS index FROM unnest(ARRAY['userName eq "x"', 'userName sw "x"', 'displayName eq "x"', 'emails[type eq "work" and value eq "x"]', 'nickName eq "x"']) f, scim.explain('rep', 'User', f) l WHERE l ~ 'Index Scan' AND l !~ 'profiles' ORDER BY 1;
DELETE FROM rep.users;
-- DDL: what is broken, and how to mend it
ALTER TABLE rep.users RENAME login TO logon;
ALTER TABLE rep.users DROP COLUMN nick;
SELECT * FROM scim.check_mapping('rep_users');
SELECT status, body FROM scim.handle('rep', 'GET', '/Users');
SELECT scim.alter_mapping('rep_users', attributes => '{"nickName": null, "name.formatted": null}', options => '{"insert": {"kind": "''x''"}}');
SELECT severity, subject, problem FROM scim.check_mapping('rep_users');
SELECT status FROM scim.handle('rep', 'GET', '/Users');
REVOKE INSERT, DELETE ON rep.users FROM scim_regress_report;
SELECT severity, subject, problem, hint FROM scim.check_mapping('rep_users') WHERE severity = 'error';
-- the built-in store has no problem
SELECT * FROM scim.check_mapping('users');
SELECT * FROM scim.check_mapping('groups');
SELECT * FROM scim.check_mapping('nothing');
SELECT scim.drop_endpoint('rep'), scim.drop_mapping('rep_users'), scim.drop_mapping('rep_teams');
-- what looking at a table runs (constants in CHECK and index expressions) leaves nothing in the session
SET ROLE scim_regress_report;
CREATE FUNCTION rep.evil_too() RETURNS text LANGUAGE plpgsql VOLATILE AS $$
BEGIN
	PERFORM pg_advisory_lock(4711);
	EXECUTE 'LISTEN evil';
	RETURN 'evil';
EXCEPTION WHEN OTHERS THEN
	RETURN 'good';
END $$;
CREATE FUNCTION rep.evil() RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN rep.evil_too(); END $$;
CREATE TABLE rep.evil (id int PRIMARY KEY, login text, kind text CHECK (kind IN (rep.evil(), 'x')), more text);
CREATE UNIQUE INDEX ON rep.evil ((login || rep.evil()));
UNLISTEN *;
SELECT pg_advisory_unlock_all();
RESET ROLE;
SELECT scim.create_mapping('rep_evil', 'User', 'rep.evil', attributes => '{"userName": "login", "userType": "kind", "title": {"read": "more || rep.evil()", "write": {"more": "rep.evil()"}}}', owner => 'scim_regress_report');
SELECT pg_listening_channels();
SELECT scim.create_endpoint('evil', mappings => '{rep_evil}');
SELECT pg_listening_channels();
SELECT count(*) AS described FROM scim.describe_mapping('rep_evil');
SELECT count(*) AS checked FROM scim.check_mapping('rep_evil');
SELECT count(*) AS recommended FROM scim.recommend_indexes('rep_evil');
SELECT pg_listening_channels();
SELECT count(*) AS locks FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();
SELECT scim.drop_endpoint('evil');
SELECT scim.drop_mapping('rep_evil');
-- a resource type from a table, an extension from attributes
SET ROLE scim_regress_report;
CREATE TABLE rep.devices (id uuid PRIMARY KEY DEFAULT '11111111-2222-4333-8444-555555555555', serial_number text NOT NULL UNIQUE, external_id text, "meta" jsonb, "Größe" numeric, ports int, "rack-mounted" boolean, labels text[], bought timestamptz, "2nd" text);
RESET ROLE;
SELECT scim.create_mapping('rep_devices', 'Device', 'rep.devices', owner => 'scim_regress_report');
SELECT attributes FROM scim.mappings WHERE name = 'rep_devices';
SELECT scim.create_endpoint('devices', mappings => '{rep_devices}', public_url => 'https://x');
SELECT a ->> 'name' AS name, a ->> 'type' AS type, a -> 'multiValued' AS multi, a -> 'required' AS required, a ->> 'uniqueness' AS uniqueness
  FROM scim.handle('devices', 'GET', '/Schemas/urn:scim:schemas:custom:2.0:Device', '{}', NULL) h, jsonb_array_elements(h.body::jsonb -> 'attributes') a ORDER BY 1;
SELECT status, body::jsonb - 'meta' AS body FROM scim.handle('devices', 'POST', '/Devices', '{}', '{"schemas": ["urn:scim:schemas:custom:2.0:Device"], "serialNumber": "S1", "externalId": "E", "ports": 4, "rackMounted": true, "labels": ["a", "b"], "bought": "2020-01-01T00:00:00Z"}');
SELECT serial_number, external_id, ports, "rack-mounted", labels FROM rep.devices;
SELECT status, body::jsonb ->> 'totalResults' FROM scim.handle('devices', 'GET', '/Devices?filter=labels%20eq%20%22B%22%20and%20ports%20gt%203', '{}', NULL);
SELECT scim.create_mapping('rep_nothing', 'User', 'rep.devices', owner => 'scim_regress_report');
SELECT scim.create_mapping('rep_devices2', 'Device', 'rep.devices', owner => 'scim_regress_report');
SELECT scim.create_mapping('rep_more', 'User', 'rep.users', attributes => '{"userName": "logon", "urn:example:rep:2.0:User:shoeSize": "role", "urn:example:rep:2.0:User:labels": "tags", "urn:example:rep:2.0:User:what": "upper(kind)", "urn:example:rep:2.0:User:job": {"column": "data", "path": "job"}}', owner => 'scim_regress_report');
SELECT attribute, type, access FROM scim.describe_mapping('rep_more') ORDER BY 1;
SELECT scim.create_mapping('rep_typo', 'User', 'rep.users', attributes => '{"usrName": "logon"}', owner => 'scim_regress_report');
SELECT scim.alter_mapping('rep_more', attributes => '{"urn:example:other:2.0:User:kind": "kind"}');
SELECT scim.drop_endpoint('devices'), scim.drop_mapping(m) FROM unnest('{rep_devices}'::text[]) m;
SELECT scim.drop_mapping('rep_devices2'), scim.drop_mapping('rep_more');
SELECT scim.drop_schema('urn:example:rep:2.0:User'), scim.drop_schema('urn:example:other:2.0:User'), scim.drop_schema('urn:scim:schemas:custom:2.0:Device');
DROP SCHEMA rep CASCADE;
REVOKE ALL ON SCHEMA scim FROM scim_regress_report;
REVOKE ALL ON FUNCTION scim.fold(text) FROM scim_regress_report;
REVOKE ALL ON TABLE scim.resource_state FROM scim_regress_report;
DROP ROLE scim_regress_report;
