-- Tables change under their mappings: renamed, dropped, of another type, or another in the place of one.
\set VERBOSITY terse
SET client_min_messages = warning;
SELECT scim.setup();
CREATE ROLE scim_regress_rename;
CREATE SCHEMA ren AUTHORIZATION scim_regress_rename;
CREATE FUNCTION pg_temp.get(endpoint text, path text, OUT status int, OUT answer text)
	LANGUAGE sql AS $$
	SELECT h.status, regexp_replace(regexp_replace(h.body, ',?"meta":[{][^}]*[}]', '', 'g'), '"schemas":[[][^]]*[]],?', '', 'g')
	  FROM scim.handle(endpoint, 'GET', path) h
$$;
CREATE FUNCTION pg_temp.put(attributes jsonb, OUT status int, OUT answer text)
	LANGUAGE sql AS $$
	SELECT h.status, regexp_replace(regexp_replace(h.body, ',?"meta":[{][^}]*[}]', '', 'g'), '"schemas":[[][^]]*[]],?', '', 'g')
	  FROM scim.handle('ren', 'PUT', '/Users/1', '{}', (attributes || '{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"]}')::text) h
$$;
SET ROLE scim_regress_rename;
CREATE TABLE ren.person (id int PRIMARY KEY, login text NOT NULL UNIQUE, off boolean NOT NULL DEFAULT false, first text, last text, title varchar(20), note text, kind text DEFAULT 'human', seen timestamptz, boss int REFERENCES ren.person);
CREATE TABLE ren.mail (person int NOT NULL REFERENCES ren.person ON DELETE CASCADE, mail text NOT NULL, type text, n int NOT NULL);
CREATE TABLE ren.profile (person int PRIMARY KEY REFERENCES ren.person, city text);
CREATE TABLE ren.team (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, name text NOT NULL);
CREATE TABLE ren.member (team int NOT NULL REFERENCES ren.team ON DELETE CASCADE, person int NOT NULL REFERENCES ren.person ON DELETE CASCADE, gone boolean NOT NULL DEFAULT false);
RESET ROLE;
INSERT INTO ren.person VALUES (1, 'ann', false, 'Ann', 'Lee', 'Boss', 'secret');
INSERT INTO ren.mail VALUES (1, 'a@x', 'work', 1);
INSERT INTO ren.profile VALUES (1, 'Rome');
INSERT INTO ren.team (name) VALUES ('All');
INSERT INTO ren.member VALUES (1, 1);
SELECT scim.create_mapping('ren_person', 'User', 'ren.person', attributes => '{"userName": "login", "active": "NOT off", "name.givenName": "first", "name.familyName": {"column": "last", "null": ""}, "title": "title",
	"displayName": "upper(first)", "nickName": {"read": "login", "write": {"note": "value"}},
	"addresses[type eq \"home\"].locality": {"table": "ren.profile", "parent": "person", "column": "city"},
	"emails": {"table": "ren.mail", "parent": "person", "columns": {"value": "mail", "type": {"column": "type", "null": ""}}, "order": "n"},
	"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value": {"column": "boss", "ref": "User"}}',
	options => '{"filter": "kind = ''human''", "insert": {"kind": "''human''"}, "touch": {"seen": "now()"}}', owner => 'scim_regress_rename');
SELECT scim.create_mapping('ren_team', 'Group', 'ren.team', attributes => '{"displayName": "name", "members":
	{"table": "ren.member", "parent": "team", "ref": "person", "type": "User", "filter": "NOT gone", "remove": {"gone": "true"}, "revive": {"gone": "false"}}}', owner => 'scim_regress_rename');
SELECT scim.create_endpoint('ren', mappings => '{ren_person,ren_team}', public_url => 'https://x');
SELECT * FROM pg_temp.get('ren', '/Users/1');

-- ---- renamed: followed, and the mapping says so ----
ALTER TABLE ren.person RENAME COLUMN id TO no;
ALTER TABLE ren.person RENAME COLUMN login TO user_name;
ALTER TABLE ren.person RENAME COLUMN off TO "Dis abled";
ALTER TABLE ren.person RENAME COLUMN last TO family;
ALTER TABLE ren.person RENAME COLUMN title TO job;
ALTER TABLE ren.person RENAME COLUMN note TO remark;
ALTER TABLE ren.person RENAME COLUMN seen TO touched;
ALTER TABLE ren.person RENAME COLUMN boss TO manager;
ALTER TABLE ren.mail RENAME COLUMN person TO owner;
ALTER TABLE ren.mail RENAME COLUMN mail TO address;
ALTER TABLE ren.mail RENAME COLUMN type TO kind;
ALTER TABLE ren.mail RENAME COLUMN n TO place;
ALTER TABLE ren.profile RENAME COLUMN person TO whose;
ALTER TABLE ren.profile RENAME COLUMN city TO town;
ALTER TABLE ren.mail RENAME TO mails;
ALTER TABLE ren.person RENAME TO people;
ALTER TABLE ren.member RENAME COLUMN team TO "group";
ALTER TABLE ren.member RENAME TO membership;
SELECT * FROM pg_temp.get('ren', '/Users/1');
SELECT * FROM pg_temp.put('{"userName": "ann", "nickName": "x", "name": {"givenName": "Anna"}, "addresses": [{"type": "home", "locality": "Bonn"}], "emails": [{"value": "b@x"}],
	"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"manager": {"value": "1"}}}');
SELECT touched IS NOT NULL AS was_touched FROM ren.people;
UPDATE ren.people SET touched = NULL;
SELECT * FROM ren.people, ren.mails, ren.profile \gx
SELECT answer FROM pg_temp.get('ren', '/Groups/1');
SELECT relation, key, jsonb_pretty(attributes) AS attributes, options FROM scim.mappings WHERE name = 'ren_person';
SELECT attributes FROM scim.mappings WHERE name = 'ren_team';
SELECT * FROM scim.check_mapping('ren_person') WHERE severity = 'error';
-- two names exchanged: each is what it was
BEGIN;
ALTER TABLE ren.people RENAME COLUMN job TO tmp;
ALTER TABLE ren.people RENAME COLUMN family TO job;
ALTER TABLE ren.people RENAME COLUMN tmp TO family;
UPDATE ren.people SET family = 'Boss', job = 'Lee';
SELECT answer FROM pg_temp.get('ren', '/Users/1?attributes=title,name.familyName');
SELECT attributes -> 'title' AS title, attributes -> 'name.familyName' AS family FROM scim.mappings WHERE name = 'ren_person';
ROLLBACK;
SELECT attributes -> 'title' AS title FROM scim.mappings WHERE name = 'ren_person';
-- a new column takes the old name: the mapping stays with its own
BEGIN;
ALTER TABLE ren.people RENAME COLUMN job TO job_old;
ALTER TABLE ren.people ADD COLUMN job text DEFAULT 'wrong';
UPDATE ren.people SET job_old = 'Boss';
SELECT answer FROM pg_temp.get('ren', '/Users/1?attributes=title');
SELECT scim.alter_mapping('ren_person', '{"title": "job"}');
SELECT answer FROM pg_temp.get('ren', '/Users/1?attributes=title');
ROLLBACK;
-- where the event trigger did not fire, they are followed when the mapping is used, and written down when it is altered
BEGIN;
ALTER EVENT TRIGGER scim_mapping_after DISABLE;
ALTER TABLE ren.people RENAME COLUMN user_name TO name;
ALTER TABLE ren.people RENAME COLUMN no TO user_name;
SELECT answer FROM pg_temp.get('ren', '/Users/1?attributes=userName');
SELECT key, attributes -> 'userName' AS user_name FROM scim.mappings WHERE name = 'ren_person';
SELECT scim.alter_mapping('ren_person');
SELECT key, attributes -> 'userName' AS user_name FROM scim.mappings WHERE name = 'ren_person';
SELECT answer FROM pg_temp.get('ren', '/Users/1?attributes=userName');
ROLLBACK;
-- a schema
ALTER SCHEMA ren RENAME TO ren2;
SELECT status FROM pg_temp.get('ren', '/Users/1?attributes=userName,emails');
SELECT relation, attributes #>> '{emails,table}' AS emails FROM scim.mappings WHERE name = 'ren_person';
ALTER SCHEMA ren2 RENAME TO ren;
ALTER TABLE ren.mails SET SCHEMA public;
SELECT attributes #>> '{emails,table}' AS emails FROM scim.mappings WHERE name = 'ren_person';
ALTER TABLE public.mails SET SCHEMA ren;

-- ---- renamed in an expression ----
BEGIN;
ALTER TABLE ren.people RENAME COLUMN first TO given;
SELECT * FROM pg_temp.get('ren', '/Users/1');
SELECT severity, problem, hint FROM scim.check_mapping('ren_person');
ALTER TABLE ren.people ADD COLUMN first text DEFAULT 'wrong';
SELECT * FROM pg_temp.get('ren', '/Users/1');
SELECT scim.alter_mapping('ren_person', '{"displayName": "upper(given)"}');
SELECT answer FROM pg_temp.get('ren', '/Users/1?attributes=displayName,name');
ROLLBACK;
-- ---- dropped, and another in its place ----
BEGIN;
ALTER TABLE ren.people DROP COLUMN job;
SELECT * FROM pg_temp.get('ren', '/Users/1');
SELECT severity, problem, hint FROM scim.check_mapping('ren_person');
ALTER TABLE ren.people RENAME COLUMN remark TO job;
SELECT * FROM pg_temp.get('ren', '/Users/1');
SELECT severity, problem, hint FROM scim.check_mapping('ren_person');
SELECT scim.alter_mapping('ren_person', '{"title": null}');
SELECT status FROM pg_temp.get('ren', '/Users/1');
ROLLBACK;
BEGIN;
ALTER TABLE ren.people DROP COLUMN job, ADD COLUMN job text;
SELECT * FROM pg_temp.get('ren', '/Users/1');
SELECT scim.alter_mapping('ren_person');
SELECT status FROM pg_temp.get('ren', '/Users/1');
ROLLBACK;
BEGIN;
ALTER TABLE ren.membership DROP COLUMN gone;
SELECT * FROM pg_temp.get('ren', '/Groups/1');
ROLLBACK;
-- ---- of another type ----
BEGIN;
ALTER TABLE ren.people ALTER COLUMN job TYPE text, ALTER COLUMN no TYPE bigint;
SELECT status FROM pg_temp.get('ren', '/Users/1');
ALTER TABLE ren.people ALTER COLUMN job TYPE int USING length(job);
SELECT * FROM pg_temp.get('ren', '/Users/1');
SELECT severity, problem, hint FROM scim.check_mapping('ren_person');
SELECT scim.alter_mapping('ren_person');
SELECT status FROM pg_temp.get('ren', '/Users/1');
ROLLBACK;
-- ---- tables ----
BEGIN;
DROP TABLE ren.mails;
SELECT * FROM pg_temp.get('ren', '/Users/1');
SELECT severity, problem, hint FROM scim.check_mapping('ren_person');
CREATE TABLE ren.mails (owner int, address text, kind text, place int);
ALTER TABLE ren.mails OWNER TO scim_regress_rename;
SELECT status FROM pg_temp.get('ren', '/Users/1');
SELECT scim.alter_mapping('ren_person');
SELECT status FROM pg_temp.get('ren', '/Users/1');
ROLLBACK;
BEGIN;
CREATE TABLE ren.other AS SELECT * FROM ren.people;
ALTER TABLE ren.other OWNER TO scim_regress_rename;
DROP TABLE ren.people CASCADE;
SELECT * FROM pg_temp.get('ren', '/Users/1');
SELECT severity, problem, hint FROM scim.check_mapping('ren_person');
SELECT scim.alter_mapping('ren_person', relation => 'ren.other');
SELECT status FROM pg_temp.get('ren', '/Users/1');
ROLLBACK;
SELECT status FROM pg_temp.get('ren', '/Users/1');

-- a dump knows the names only: the first ALTER learns the numbers
DELETE FROM scim._mapping_names;
ALTER TABLE ren.people RENAME COLUMN job TO title;
SELECT attributes -> 'title' AS title FROM scim.mappings WHERE name = 'ren_person';
SELECT status FROM pg_temp.get('ren', '/Users/1');
-- a key of several columns, references of several
SET ROLE scim_regress_rename;
CREATE TABLE ren.unit (org int, no int, name text NOT NULL, up_org int, up int, PRIMARY KEY (org, no), FOREIGN KEY (up_org, up) REFERENCES ren.unit);
CREATE TABLE ren.unit_tag (org int, unit int, tag text);
RESET ROLE;
INSERT INTO ren.unit VALUES (1, 1, 'a', NULL, NULL), (1, 2, 'b', 1, 1);
INSERT INTO ren.unit_tag VALUES (1, 1, 'x');
SELECT scim.create_mapping('ren_unit', 'User', 'ren.unit', attributes => '{"userName": "name", "entitlements": {"table": "ren.unit_tag", "parent": ["org", "unit"], "columns": {"value": "tag"}},
	"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value": {"columns": ["up_org", "up"], "ref": "User"}}', owner => 'scim_regress_rename');
SELECT scim.create_endpoint('unit', mappings => '{ren_unit}', scope => '{"org": 1}', public_url => 'https://x');
ALTER TABLE ren.unit RENAME no TO "Number";
ALTER TABLE ren.unit RENAME up TO over;
ALTER TABLE ren.unit_tag RENAME unit TO "Unit";
SELECT answer FROM pg_temp.get('unit', '/Users');
SELECT key, attributes FROM scim.mappings WHERE name = 'ren_unit';
SET ROLE scim_regress_rename;
CREATE TABLE ren.name (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, first text, made text);
CREATE TABLE ren.copy (org int, unit int, upper_name text, PRIMARY KEY (org, unit));
ALTER TABLE ren.unit ADD low text, ADD name_id int REFERENCES ren.name;
RESET ROLE;
SELECT scim.alter_mapping('ren_unit', '{"userName": {"column": "name", "fold": "lower", "folded": "low", "copies": [{"table": "ren.copy", "parent": ["org", "unit"], "column": "upper_name"}]},
	"name.givenName": {"table": "ren.name", "parent": "id", "by": "name_id", "column": "first", "insert": {"made": "''x''"}}}');
ALTER TABLE ren.unit RENAME low TO lower_name;
ALTER TABLE ren.unit RENAME name_id TO called;
ALTER TABLE ren.name RENAME id TO no;
ALTER TABLE ren.name RENAME made TO source;
ALTER TABLE ren.copy RENAME upper_name TO again;
ALTER TABLE ren.copy RENAME TO copies;
SELECT attributes -> 'userName' AS user_name, attributes -> 'name.givenName' AS given FROM scim.mappings WHERE name = 'ren_unit';
SELECT status FROM scim.handle('unit', 'PATCH', '/Users/2', '{}', '{"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [{"op": "add", "value": {"userName": "B", "name": {"givenName": "Bea"}}}]}');
SELECT name, lower_name, called, n.*, c.* FROM ren.unit u, ren.name n, ren.copies c WHERE u."Number" = 2;
-- a column of the scope is the endpoint's
BEGIN;
ALTER TABLE ren.unit RENAME org TO firm;
SELECT * FROM pg_temp.get('unit', '/Users');
-- which the mapping can say has another name here, and that is followed
SAVEPOINT s;
SELECT scim.alter_mapping('ren_unit', options => '{"scope": {"org": "nothing"}}');
ROLLBACK TO s;
SELECT scim.alter_mapping('ren_unit', options => '{"scope": {"org": "firm"}}');
SELECT * FROM pg_temp.get('unit', '/Users');
ALTER TABLE ren.unit RENAME firm TO "Company";
SELECT * FROM pg_temp.get('unit', '/Users');
SELECT options FROM scim.mappings WHERE name = 'ren_unit';
ROLLBACK TO s;
-- and no other that takes its name, also for an endpoint that is made later
ALTER TABLE ren.unit ADD org int DEFAULT 1;
SELECT * FROM pg_temp.get('unit', '/Users');
SELECT severity, problem, hint FROM scim.check_mapping('ren_unit') WHERE severity = 'error';
SELECT scim.create_endpoint('unit2', mappings => '{ren_unit}', scope => '{"org": 1}');
ROLLBACK;
SELECT scim.drop_endpoint('unit'), scim.drop_mapping('ren_unit');

SELECT scim.drop_endpoint('ren'), scim.drop_mapping('ren_person'), scim.drop_mapping('ren_team');
SELECT count(*) FROM scim._mapping_names;
DROP SCHEMA ren CASCADE;
REVOKE ALL ON SCHEMA scim FROM scim_regress_rename;
REVOKE ALL ON FUNCTION scim.fold(text), scim.key_text(text[]) FROM scim_regress_rename;
REVOKE ALL ON TABLE scim.resource_state FROM scim_regress_rename;
DROP ROLE scim_regress_rename;
