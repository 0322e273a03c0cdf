-- Syncs, and the changes that triggers queue for them.
\set VERBOSITY terse
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SELECT scim.setup();
CREATE ROLE scim_regress_hr NOLOGIN;
CREATE ROLE scim_regress_clerk NOLOGIN;
RESET client_min_messages;
CREATE FOREIGN DATA WRAPPER scim_regress_wrapper;
CREATE SERVER scim_regress_server FOREIGN DATA WRAPPER scim_regress_wrapper;
CREATE SCHEMA hr AUTHORIZATION scim_regress_hr;
GRANT USAGE ON SCHEMA hr TO scim_regress_clerk;
SET ROLE scim_regress_hr;
CREATE TABLE hr.staff (
	id int PRIMARY KEY,
	login text NOT NULL UNIQUE,
	gone boolean NOT NULL DEFAULT false,
	job text,
	mail text,
	department text,
	shoe_size int,
	note text
);
CREATE TABLE hr.phones (staff_id int REFERENCES hr.staff ON UPDATE CASCADE ON DELETE CASCADE, number text, kind text, remark text);
GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON hr.staff, hr.phones TO scim_regress_clerk;
RESET ROLE;
SELECT scim.create_mapping('staff', 'User', 'hr.staff', owner => 'scim_regress_hr', attributes => '{
	"userName": "login",
	"active": "NOT gone",
	"title": "initcap(job)",
	"emails[type eq \"work\"].value": "mail",
	"phoneNumbers": {"table": "hr.phones", "parent": "staff_id", "columns": {"value": "number", "type": "kind"}}
}');

-- ---- what a sync may be ----

SELECT scim.create_sync('x', 'nothing', 'scim_regress_server');
SELECT scim.create_sync('x', 'staff', 'nothing');
SELECT scim.create_sync('x', 'users', 'scim_regress_server');
SELECT scim.create_sync('', 'staff', 'scim_regress_server');
SELECT scim.create_sync('x', NULL, 'scim_regress_server');
SELECT scim.create_sync('x', 'staff', 'scim_regress_server', actions => '{create,remove}');
SELECT scim.create_sync('x', 'staff', 'scim_regress_server', delete_after => '-1 day');
CREATE FUNCTION pg_temp.attempt(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE statement;
	RETURN 'ok';
EXCEPTION WHEN others THEN
	RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
SELECT a AS attributes, pg_temp.attempt(format('SELECT scim.create_sync(%L, %L, %L, attributes => %L)', 'x', 'staff', 'scim_regress_server', a)) AS answer
	FROM unnest(ARRAY['[]', '{"userName": 1}', '{"userName": {"match": 0}}', '{"userName": {"match": "yes"}}', '{"userName": {"rank": 1}}',
	'{"title": {"apply": "sometimes"}}', '{"title": {"on_null": "clear"}}', '{"title": {"on_null": "default"}}', '{"title": {"default": "x"}}',
	'{"shoeSize": {"match": 1}}', '{"nickName": {"match": 1}}', '{"id": {"match": 1}}', '{"emails": {"match": 1}}', '{"userName": {}, "username": {}}',
	'{"userName": {}, "urn:ietf:params:scim:schemas:core:2.0:User:userName": {}}']) a;
SELECT s AS scope, pg_temp.attempt(format('SELECT scim.create_sync(%L, %L, %L, scope => %L)', 'x', 'staff', 'scim_regress_server', s)) AS answer
	FROM unnest(ARRAY['', 'shoe_size', 'nothing = 1', 'true; DROP TABLE hr.staff', 'true) UNION SELECT (1', 'count(*) > 1',  '$1']) s;

-- ---- who may make one ----

GRANT EXECUTE ON FUNCTION scim.create_sync(text, text, name, text[], text, jsonb, interval, jsonb), scim.drop_sync(text), scim.start_sync(text),
	scim.pause_sync(text, text), scim.resume_sync(text) TO scim_regress_hr, scim_regress_clerk;
GRANT USAGE ON SCHEMA scim TO scim_regress_hr, scim_regress_clerk;
GRANT SELECT ON scim.syncs, scim.sync_captures TO scim_regress_hr, scim_regress_clerk;
SET ROLE scim_regress_clerk;
SELECT scim.create_sync('staff_out', 'staff', 'scim_regress_server');
SET ROLE scim_regress_hr;
SELECT scim.create_sync('staff_out', 'staff', 'scim_regress_server');
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER scim_regress_server TO scim_regress_hr;
SET ROLE scim_regress_hr;
SELECT scim.create_sync('staff_out', 'staff', 'scim_regress_server', scope => 'department <> ''contractor''',
	attributes => '{"userName": {"match": 1}, "title": {"apply": "create_only", "on_null": "default", "default": "Staff"}}');
SELECT scim.create_sync('staff_out', 'staff', 'scim_regress_server');
SELECT name, mapping, server, owner, scope, actions, delete_after, attributes, state, state_reason FROM scim.syncs ORDER BY name;
SELECT * FROM scim.sync_captures ORDER BY sync, relation::text;
SET ROLE scim_regress_clerk;
SELECT name FROM scim.syncs ORDER BY name;
SELECT scim.drop_sync('staff_out');
SELECT scim.start_sync('staff_out');
SELECT scim.pause_sync('staff_out');
SELECT scim.resume_sync('staff_out');
SELECT * FROM scim._dirty;
RESET ROLE;
SELECT scim.drop_mapping('staff');

-- ---- what is queued ----

-- The queue, and empty it.
CREATE FUNCTION pg_temp.queue(OUT sync text, OUT reason text, OUT n int, OUT keys text) RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY SELECT s.name, d.reason, cardinality(d.keys),
		CASE WHEN cardinality(d.keys) <= 10 THEN array_to_string(d.keys, ',') ELSE d.keys[1] || '..' || d.keys[cardinality(d.keys)] END
		FROM scim._dirty d JOIN scim._syncs s ON s.id = d.sync_id ORDER BY d.id;
	DELETE FROM scim._dirty;
END $$;

-- as somebody who knows nothing of scim
SET ROLE scim_regress_clerk;
INSERT INTO hr.staff (id, login, job, mail, department) VALUES (1, 'ann', 'clerk', 'ann@example.com', 'sales'), (2, 'bob', 'clerk', NULL, 'sales');
INSERT INTO hr.staff (id, login) SELECT 9, 'nobody' WHERE false;
RESET ROLE;
SELECT * FROM pg_temp.queue();
UPDATE hr.staff SET job = 'boss' WHERE id = 2;
SELECT * FROM pg_temp.queue();
-- an expression's column, to the same value of the expression: the row says so, not we
UPDATE hr.staff SET job = 'Boss' WHERE id = 2;
SELECT * FROM pg_temp.queue();
-- a column of the scope alone
UPDATE hr.staff SET department = 'contractor' WHERE id = 1;
SELECT * FROM pg_temp.queue();
-- what is not mapped, and what did not change
UPDATE hr.staff SET shoe_size = 42, note = 'x';
UPDATE hr.staff SET login = login, job = job || '', mail = mail, gone = false;
UPDATE hr.staff SET job = 'x' WHERE false;
DELETE FROM hr.staff WHERE false;
SELECT * FROM pg_temp.queue();
-- null is a value
UPDATE hr.staff SET mail = 'bob@example.com' WHERE id = 2;
UPDATE hr.staff SET mail = NULL WHERE id = 2;
SELECT * FROM pg_temp.queue();
-- a key that changes is two keys
UPDATE hr.staff SET id = 3 WHERE id = 2;
SELECT * FROM pg_temp.queue();
-- insert or update
INSERT INTO hr.staff (id, login, job) VALUES (4, 'cem', 'clerk'), (3, 'bob', 'chief')
	ON CONFLICT (id) DO UPDATE SET job = EXCLUDED.job;
SELECT * FROM pg_temp.queue();
INSERT INTO hr.staff (id, login, job) VALUES (5, 'dee', 'clerk'), (3, 'bob', 'chief')
	ON CONFLICT (id) DO UPDATE SET job = EXCLUDED.job;
SELECT * FROM pg_temp.queue();
COPY hr.staff (id, login) FROM stdin;
6	eva
7	fay
\.
SELECT * FROM pg_temp.queue();
DELETE FROM hr.staff WHERE id IN (6, 7);
SELECT * FROM pg_temp.queue();
-- WITH: each statement in it is one
WITH gone AS (DELETE FROM hr.staff WHERE id = 5 RETURNING *) INSERT INTO hr.staff (id, login) SELECT 8, login FROM gone;
SELECT * FROM pg_temp.queue();

-- children: the key is the parent's, once
INSERT INTO hr.phones VALUES (1, '+1', 'work'), (1, '+2', 'home'), (3, '+3', 'work'), (NULL, '+4', 'work');
SELECT * FROM pg_temp.queue();
UPDATE hr.phones SET remark = 'x';
UPDATE hr.phones SET kind = 'mobile' WHERE number = '+3';
UPDATE hr.phones SET staff_id = 1 WHERE number = '+3';
SELECT * FROM pg_temp.queue();
-- what foreign keys do is done by statements
UPDATE hr.staff SET id = 10 WHERE id = 1;
DELETE FROM hr.staff WHERE id = 10;
SELECT * FROM pg_temp.queue();

-- what is rolled back never happened
BEGIN;
UPDATE hr.staff SET job = 'kept' WHERE id = 3;
SAVEPOINT a;
UPDATE hr.staff SET job = 'lost' WHERE id = 4;
ROLLBACK TO a;
DO $$ BEGIN UPDATE hr.staff SET job = 'lost'; RAISE 'x'; EXCEPTION WHEN others THEN NULL; END $$;
COMMIT;
SELECT * FROM pg_temp.queue();

-- long values: a pointer that is the same, one that is not to the same text
UPDATE hr.staff SET job = (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 2000) i) WHERE id = 3;
SELECT * FROM pg_temp.queue();
UPDATE hr.staff SET note = 'y' WHERE id = 3;
UPDATE hr.staff SET job = job || '' WHERE id = 3;
SELECT * FROM pg_temp.queue();
UPDATE hr.staff SET job = overlay(job PLACING 'x' FROM 50000) WHERE id = 3;
SELECT * FROM pg_temp.queue();

-- a thousand keys in a row of the queue
INSERT INTO hr.staff (id, login) SELECT i, 'user' || i FROM generate_series(1001, 3500) i;
SELECT * FROM pg_temp.queue();
UPDATE hr.staff SET gone = true WHERE id % 2 = 0;
SELECT * FROM pg_temp.queue();
TRUNCATE hr.staff, hr.phones;
SELECT * FROM pg_temp.queue();

-- columns that come and go
ALTER TABLE hr.staff ADD COLUMN added text DEFAULT 'a';
INSERT INTO hr.staff (id, login) VALUES (1, 'ann');
ALTER TABLE hr.staff DROP COLUMN note, ADD COLUMN more int DEFAULT 7;
UPDATE hr.staff SET more = 8, added = 'b';
UPDATE hr.staff SET mail = 'ann@example.com';
SELECT * FROM pg_temp.queue();
-- a column of another type: what became of the values is found by reconciling
ALTER TABLE hr.staff ALTER COLUMN job TYPE varchar(100) USING left(job, 3);
SELECT * FROM pg_temp.queue();
-- one that is mapped is followed: the sync reconciles
ALTER TABLE hr.staff RENAME mail TO email;
UPDATE hr.staff SET more = 9;
SELECT * FROM pg_temp.queue();
ALTER TABLE hr.staff RENAME email TO mail;
UPDATE hr.staff SET more = 10;
ALTER TABLE hr.staff RENAME id TO number;
UPDATE hr.staff SET more = 11;
SELECT * FROM pg_temp.queue();
ALTER TABLE hr.staff RENAME number TO id;

-- ---- two syncs of one relation ----

SELECT scim.create_sync('staff_all', 'staff', 'scim_regress_server', actions => '{update}');
UPDATE hr.staff SET department = 'it';
UPDATE hr.staff SET gone = true;
SELECT * FROM pg_temp.queue();
SELECT tgrelid::regclass, tgname FROM pg_trigger WHERE tgrelid IN ('hr.staff'::regclass, 'hr.phones'::regclass) AND NOT tgisinternal ORDER BY tgrelid::regclass::text, tgname;
SELECT scim.drop_sync('staff_out');
UPDATE hr.staff SET department = 'sales';
UPDATE hr.staff SET gone = false;
SELECT * FROM pg_temp.queue();

-- ---- states ----

SELECT scim.pause_sync('staff_all');
SELECT scim.resume_sync('staff_all');
UPDATE hr.staff SET gone = true;
SELECT scim.start_sync('staff_all');
SELECT * FROM pg_temp.queue();
SELECT scim.start_sync('staff_all');
SELECT scim.resume_sync('staff_all');
SELECT scim.pause_sync('staff_all', 'the night');
SELECT name, state, state_reason FROM scim.syncs ORDER BY name;
UPDATE hr.staff SET gone = false;
SELECT scim.resume_sync('staff_all');
SELECT name, state, state_reason FROM scim.syncs ORDER BY name;
SELECT * FROM pg_temp.queue();
SELECT scim.drop_sync('nothing');

-- the server gets another name
ALTER SERVER scim_regress_server RENAME TO scim_regress_renamed;
ALTER SERVER scim_regress_renamed OPTIONS (a 'b');
SELECT name, server FROM scim.syncs ORDER BY name;
ALTER SERVER scim_regress_renamed RENAME TO scim_regress_server;

-- triggers that are off; what turns them on again has the syncs reconcile
ALTER TABLE hr.staff DISABLE TRIGGER scim_capture_update;
UPDATE hr.staff SET gone = true;
SELECT * FROM pg_temp.queue();
SELECT relation, captured FROM scim.sync_captures ORDER BY sync, relation::text;
ALTER TABLE hr.staff ENABLE TRIGGER scim_capture_update;

-- the mapping reads another column: captured from then on, and all is reconciled
UPDATE scim._mappings SET attributes = attributes || '{"nickName": "added"}' WHERE name = 'staff';
UPDATE hr.staff SET added = 'c';
SELECT * FROM pg_temp.queue();
SELECT * FROM scim.sync_captures ORDER BY sync, relation::text;

-- a whole row, a subquery
SELECT scim.create_sync('staff_row', 'staff', 'scim_regress_server', scope => '(SELECT r) IS NOT NULL');
SELECT scim.create_sync('staff_sub', 'staff', 'scim_regress_server', scope => 'EXISTS (SELECT 1 FROM hr.phones p WHERE p.staff_id = r.more)');
SELECT sync, columns FROM scim.sync_captures WHERE relation = 'hr.staff'::regclass ORDER BY sync;
SELECT scim.drop_sync('staff_row'), scim.drop_sync('staff_sub'), scim.drop_sync('staff_all');
SELECT tgname FROM pg_trigger WHERE tgname LIKE 'scim_capture%';
SELECT count(*) FROM scim._dirty;

-- ---- rights on the table ----

SET ROLE scim_regress_hr;
CREATE VIEW hr.active_staff AS SELECT * FROM hr.staff WHERE NOT gone;
RESET ROLE;
CREATE TABLE public.scim_regress_other (id int PRIMARY KEY, login text);
GRANT SELECT ON public.scim_regress_other TO scim_regress_hr;
SELECT scim.create_mapping('other', 'User', 'public.scim_regress_other', owner => 'scim_regress_hr', attributes => '{"userName": "login"}');
SELECT scim.create_sync('other', 'other', 'scim_regress_server');
GRANT TRIGGER ON public.scim_regress_other TO scim_regress_hr;
SELECT scim.create_sync('other', 'other', 'scim_regress_server');
INSERT INTO public.scim_regress_other VALUES (1, 'x');
SELECT * FROM pg_temp.queue();
REVOKE TRIGGER ON public.scim_regress_other FROM scim_regress_hr;
SET ROLE scim_regress_hr;
SELECT scim.drop_sync('other');
RESET ROLE;
SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'scim_capture%';
DROP TABLE public.scim_regress_other;
SELECT scim.drop_mapping('other');
-- nobody else can put the trigger somewhere
SET ROLE scim_regress_hr;
CREATE TRIGGER x AFTER UPDATE ON hr.staff FOR EACH STATEMENT EXECUTE FUNCTION scim._capture();
RESET ROLE;
CREATE TRIGGER x AFTER UPDATE ON hr.staff FOR EACH STATEMENT EXECUTE FUNCTION scim._capture();
UPDATE hr.staff SET gone = gone;
DROP TRIGGER x ON hr.staff;

-- a view: reconcile sees it
SELECT scim.create_mapping('active', 'User', 'hr.active_staff', key => 'id', owner => 'scim_regress_hr', attributes => '{"userName": "login"}');
SELECT scim.create_sync('active', 'active', 'scim_regress_server');
SELECT sync, relation, captured FROM scim.sync_captures ORDER BY sync, relation::text;
SELECT scim.drop_sync('active');
SELECT scim.drop_mapping('active');

-- ---- partitions ----

SET ROLE scim_regress_hr;
CREATE TABLE hr.people (org int, id int, login text, job text, note text, PRIMARY KEY (org, id)) PARTITION BY LIST (org);
CREATE TABLE hr.people_1 PARTITION OF hr.people FOR VALUES IN (1);
-- other column numbers
CREATE TABLE hr.people_2 (note text, x int, login text, id int NOT NULL, job text, org int NOT NULL);
ALTER TABLE hr.people_2 DROP COLUMN x;
ALTER TABLE hr.people ATTACH PARTITION hr.people_2 FOR VALUES IN (2);
RESET ROLE;
SELECT scim.create_mapping('people', 'User', 'hr.people', key => 'id', owner => 'scim_regress_hr', attributes => '{"userName": "login", "title": "job"}');
SELECT scim.create_sync('people', 'people', 'scim_regress_server');
SELECT relation, captured FROM scim.sync_captures ORDER BY sync, relation::text;
INSERT INTO hr.people VALUES (1, 1, 'a'), (2, 2, 'b');
INSERT INTO hr.people_2 (org, id, login) VALUES (2, 3, 'c');
COPY hr.people_2 (org, id, login) FROM stdin;
2	4	d
\.
SELECT * FROM pg_temp.queue();
UPDATE hr.people SET note = 'x';
UPDATE hr.people_2 SET note = 'y';
SELECT * FROM pg_temp.queue();
UPDATE hr.people_2 SET job = 'z' WHERE id = 3;
UPDATE hr.people SET job = 'z' WHERE id IN (1, 4);
SELECT * FROM pg_temp.queue();
-- moved to another partition, changed on the way or not
UPDATE hr.people SET org = 1 WHERE id = 2;
SELECT * FROM pg_temp.queue();
UPDATE hr.people SET org = CASE org WHEN 1 THEN 2 ELSE 1 END, login = CASE id WHEN 2 THEN 'moved' ELSE login END;
SELECT * FROM pg_temp.queue();
DELETE FROM hr.people_1 WHERE id = 3;
TRUNCATE hr.people_2;
SELECT * FROM pg_temp.queue();
-- new ones, in every way; those attached may have rows
SET ROLE scim_regress_hr;
CREATE TABLE hr.people_3 PARTITION OF hr.people FOR VALUES IN (3);
CREATE TABLE hr.people_4 PARTITION OF hr.people FOR VALUES IN (4) PARTITION BY RANGE (id);
CREATE TABLE hr.people_4a (LIKE hr.people);
ALTER TABLE hr.people_4 ATTACH PARTITION hr.people_4a FOR VALUES FROM (0) TO (100);
CREATE TABLE hr.people_5 (LIKE hr.people) PARTITION BY RANGE (id);
CREATE TABLE hr.people_5a PARTITION OF hr.people_5 FOR VALUES FROM (0) TO (100);
ALTER TABLE hr.people ATTACH PARTITION hr.people_5 FOR VALUES IN (5);
CREATE TABLE hr.unrelated (id int);
ALTER TABLE hr.unrelated ADD COLUMN x int;
RESET ROLE;
CREATE SCHEMA hr_more CREATE TABLE people_6 PARTITION OF hr.people FOR VALUES IN (6);
SELECT relation, captured FROM scim.sync_captures ORDER BY sync, relation::text;
INSERT INTO hr.people_3 VALUES (3, 1, 'e');
INSERT INTO hr.people_4a VALUES (4, 1, 'f');
INSERT INTO hr.people_5a VALUES (5, 1, 'g');
SELECT * FROM pg_temp.queue();
-- one that leaves is not watched any more
ALTER TABLE hr.people DETACH PARTITION hr.people_3;
UPDATE hr.people_3 SET job = 'x';
SELECT * FROM pg_temp.queue();
SELECT scim.drop_sync('people');
SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'scim_capture%';
SELECT scim.drop_mapping('people');

-- ---- a foreign table among the partitions: no transition tables, row triggers ----

SET ROLE scim_regress_hr;
CREATE TABLE hr.mixed (id int, org int, login text, note text) PARTITION BY LIST (org);
CREATE TABLE hr.mixed_1 PARTITION OF hr.mixed FOR VALUES IN (1);
RESET ROLE;
SELECT scim.create_mapping('mixed', 'User', 'hr.mixed', key => 'id', owner => 'scim_regress_hr', attributes => '{"userName": "login"}');
SELECT scim.create_sync('mixed', 'mixed', 'scim_regress_server');
INSERT INTO hr.mixed VALUES (1, 1, 'a'), (2, 1, 'b');
SELECT * FROM pg_temp.queue();
SET ROLE scim_regress_hr;
CREATE FOREIGN TABLE hr.mixed_2 PARTITION OF hr.mixed FOR VALUES IN (2) SERVER scim_regress_server;
CREATE TABLE hr.mixed_3 PARTITION OF hr.mixed FOR VALUES IN (3);
RESET ROLE;
CREATE FUNCTION pg_temp.triggers() RETURNS TABLE (relation text, triggers text) LANGUAGE sql AS $$
	SELECT tgrelid::regclass::text, string_agg(substr(tgname, 14) || ' ' || tgenabled::text, ', ' ORDER BY tgname COLLATE "C")
	FROM pg_trigger WHERE tgname LIKE 'scim_capture%' GROUP BY 1 ORDER BY tgrelid::regclass::text COLLATE "C" $$;
SELECT * FROM pg_temp.triggers() WHERE relation LIKE 'hr.mixed%';
SELECT relation, captured FROM scim.sync_captures WHERE sync = 'mixed' ORDER BY relation::text;
INSERT INTO hr.mixed VALUES (3, 1, 'c'), (4, 3, 'd');
UPDATE hr.mixed SET note = 'x' WHERE org = 1;
UPDATE hr.mixed SET login = 'y' WHERE org = 1 AND id < 3;
DELETE FROM hr.mixed_3;
TRUNCATE hr.mixed_3;
SELECT * FROM pg_temp.queue();
SELECT scim.drop_sync('mixed');
SELECT scim.create_sync('mixed', 'mixed', 'scim_regress_server');
SELECT * FROM pg_temp.triggers() WHERE relation LIKE 'hr.mixed%';
SELECT scim.drop_sync('mixed');
SELECT * FROM pg_temp.triggers() WHERE relation LIKE 'hr.mixed%';
SELECT scim.drop_mapping('mixed');

-- ---- inheritance ----

SET ROLE scim_regress_hr;
CREATE TABLE hr.base (id int PRIMARY KEY, login text);
RESET ROLE;
SELECT scim.create_mapping('base', 'User', 'hr.base', owner => 'scim_regress_hr', attributes => '{"userName": "login"}');
SELECT scim.create_sync('base', 'base', 'scim_regress_server');
SET ROLE scim_regress_hr;
CREATE TABLE hr.derived (extra text) INHERITS (hr.base);
CREATE TABLE hr.other (extra text, login text, id int NOT NULL);
ALTER TABLE hr.other INHERIT hr.base;
RESET ROLE;
INSERT INTO hr.derived VALUES (1, 'a', 'x');
INSERT INTO hr.other VALUES ('x', 'b', 2);
UPDATE hr.derived SET extra = 'y';
UPDATE hr.base SET login = login || '!';
SELECT * FROM pg_temp.queue();
ALTER TABLE hr.other NO INHERIT hr.base;
UPDATE hr.other SET login = 'c';
SELECT * FROM pg_temp.queue();
-- a trigger of somebody's that has our trigger's name: a warning, and the table is made
CREATE FUNCTION pg_temp.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TABLE hr.third (id int NOT NULL, login text);
CREATE TRIGGER scim_capture_update AFTER UPDATE ON hr.third FOR EACH STATEMENT EXECUTE FUNCTION pg_temp.nothing();
ALTER TABLE hr.third INHERIT hr.base;
SELECT relation, captured FROM scim.sync_captures ORDER BY sync, relation::text;
-- the relation goes, the sync can be dropped
DROP TABLE hr.base CASCADE;
SELECT sync, captured FROM scim.sync_captures ORDER BY sync;
SELECT scim.drop_sync('base');
SELECT scim.drop_mapping('base');

-- ---- references, and a table that is a child of itself ----

SET ROLE scim_regress_hr;
CREATE TABLE hr.teams (id int PRIMARY KEY, name text, parent int, motto text);
CREATE TABLE hr.team_members (team int, person int, since date);
RESET ROLE;
SELECT scim.create_mapping('teams', 'Group', 'hr.teams', owner => 'scim_regress_hr', attributes => '{
	"displayName": "name",
	"members": [{"table": "hr.team_members", "parent": "team", "ref": "person", "type": "User"},
		{"table": "hr.teams", "parent": "parent", "ref": "id", "type": "Group"}]}');
SELECT scim.create_sync('teams', 'teams', 'scim_regress_server');
SELECT relation, key_columns, columns, captured FROM scim.sync_captures ORDER BY relation::text, key_columns;
INSERT INTO hr.teams VALUES (1, 'all', NULL), (2, 'some', 1);
INSERT INTO hr.team_members VALUES (2, 7), (2, 8), (1, 7);
SELECT * FROM pg_temp.queue();
UPDATE hr.teams SET motto = 'x';
UPDATE hr.team_members SET since = '2026-01-01';
SELECT * FROM pg_temp.queue();
UPDATE hr.teams SET parent = NULL WHERE id = 2;
UPDATE hr.team_members SET person = 9 WHERE person = 8;
SELECT * FROM pg_temp.queue();
SELECT scim.drop_sync('teams');
SELECT scim.drop_mapping('teams');
-- both in one
SELECT scim.create_mapping('teams', 'User', 'hr.teams', owner => 'scim_regress_hr', attributes => '{
	"userName": "name", "emails": {"table": "hr.teams", "parent": "id", "columns": {"value": "motto"}}}');
SELECT scim.create_sync('teams', 'teams', 'scim_regress_server');
SELECT relation, key_columns, columns, captured FROM scim.sync_captures;
SELECT scim.drop_sync('teams');
SELECT scim.drop_mapping('teams');

-- ---- keys of other types, in one form whatever the session ----

SET ROLE scim_regress_hr;
CREATE TABLE hr.odd (id timestamptz PRIMARY KEY, login text);
RESET ROLE;
SELECT scim.create_mapping('odd', 'User', 'hr.odd', owner => 'scim_regress_hr', attributes => '{"userName": "login"}');
SELECT scim.create_sync('odd', 'odd', 'scim_regress_server');
SET datestyle = 'German';
INSERT INTO hr.odd VALUES ('2026-01-02 03:04:05', 'x');
SHOW datestyle;
RESET datestyle;
SELECT keys[1]::timestamptz = '2026-01-02 03:04:05' AS read_back, keys[1] ~ '^2026-01-02' AS iso FROM scim._dirty;
SELECT scim.drop_sync('odd');
SELECT scim.drop_mapping('odd');
-- several columns; an id that is an expression, which is nothing to the target: the key is what others refer to
SET ROLE scim_regress_hr;
CREATE TABLE hr.pairs (org int, code text, login text, PRIMARY KEY (org, code));
CREATE TABLE hr.pair_mails (org int, pair text, mail text);
RESET ROLE;
SELECT scim.create_mapping('pairs', 'User', 'hr.pairs', owner => 'scim_regress_hr', attributes => '{"userName": "login",
	"emails": {"table": "hr.pair_mails", "parent": ["org", "pair"], "columns": {"value": "mail"}}}');
SELECT scim.create_sync('pairs', 'pairs', 'scim_regress_server');
SELECT relation, key_columns, columns, captured FROM scim.sync_captures ORDER BY relation::text;
INSERT INTO hr.pairs VALUES (1, 'a~ /', 'x'), (2, 'b', 'y');
INSERT INTO hr.pair_mails VALUES (2, 'b', 'y@x'), (3, NULL, 'z@x');
SELECT * FROM pg_temp.queue();
UPDATE hr.pairs SET org = 4 WHERE org = 1;
UPDATE hr.pair_mails SET mail = 'b@x' WHERE org = 2;
SELECT * FROM pg_temp.queue();
SELECT scim.alter_mapping('pairs', key => 'code || org');
SELECT scim.alter_mapping('pairs', key => 'login');
SELECT scim.drop_sync('pairs');
SELECT scim.alter_mapping('pairs', '{"emails": {"table": "hr.pair_mails", "parent": "pair", "columns": {"value": "mail"}}}', key => 'code');
SELECT scim.alter_mapping('pairs', '{"emails": null}', key => 'org || code');
SELECT scim.create_sync('pairs', 'pairs', 'scim_regress_server');
SELECT relation, key_columns, columns, captured FROM scim.sync_captures ORDER BY relation::text;
SELECT scim.drop_sync('pairs');
SELECT scim.drop_mapping('pairs');
SELECT scim.drop_mapping('staff');

DROP SCHEMA hr, hr_more CASCADE;
DROP FOREIGN DATA WRAPPER scim_regress_wrapper CASCADE;
REVOKE ALL ON FUNCTION scim.create_sync(text, text, name, text[], text, jsonb, interval, jsonb), scim.drop_sync(text), scim.start_sync(text),
	scim.pause_sync(text, text), scim.resume_sync(text) FROM scim_regress_hr, scim_regress_clerk;
REVOKE ALL ON scim.syncs, scim.sync_captures FROM scim_regress_hr, scim_regress_clerk;
REVOKE ALL ON SCHEMA scim FROM scim_regress_hr, scim_regress_clerk;
REVOKE ALL ON FUNCTION scim.fold(text), scim.key_text(text[]) FROM scim_regress_hr;
REVOKE ALL ON TABLE scim.resource_state FROM scim_regress_hr;
DROP ROLE scim_regress_hr, scim_regress_clerk;
