-- Filters that one index entry answers, without a statement: the same answers.
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SELECT scim.setup();
SELECT scim.create_endpoint(e, base_path => '/' || e) FROM unnest('{look,look2}'::text[]) e;
CREATE FUNCTION pg_temp.found(filter text, endpoint text DEFAULT 'look', more text DEFAULT '', type text DEFAULT 'Users') RETURNS text LANGUAGE sql AS $$
	SELECT h.status || coalesce(' ' || (b ->> 'totalResults'), ' ' || (b ->> 'detail')) || ':' || coalesce((SELECT string_agg(' ' || coalesce(r ->> 'userName', r ->> 'displayName', r ->> 'id'), '' ORDER BY n) FROM jsonb_array_elements(b -> 'Resources') WITH ORDINALITY x(r, n)), '')
	  FROM scim.handle(endpoint, 'GET', '/' || type || '?filter=' || replace(replace(replace(filter, '%', '%25'), ' ', '%20'), '"', '%22') || more) h, LATERAL (SELECT h.body::jsonb AS b) j;
$$;
INSERT INTO scim.users (tenant, id, user_name, external_id, title) VALUES
	('look', '00000000-0000-7000-8000-0000000000a1', 'Ann@Example.com', 'E1', 'Boss'),
	('look', '00000000-0000-7000-8000-0000000000a2', 'straße', 'e1', 'boss'),
	('look', '00000000-0000-7000-8000-0000000000a3', 'Ωmega', 'twice', NULL),
	('look', '00000000-0000-7000-8000-0000000000a4', 'four', 'twice', NULL),
	('look', '00000000-0000-7000-8000-0000000000a5', 'five', NULL, NULL),
	('look2', '00000000-0000-7000-8000-0000000000b1', 'ANN@example.com', 'E1', NULL);
INSERT INTO scim.groups (tenant, id, display_name, external_id) VALUES ('look', '00000000-0000-7000-8000-0000000000c1', 'Team', 'G'), ('look', '00000000-0000-7000-8000-0000000000c2', 'team', 'H');
SELECT pg_temp.found('userName eq "ann@example.COM"'), pg_temp.found('userName eq "ann@example.COM"', 'look2');
SELECT pg_temp.found('userName eq "STRASSE"'), pg_temp.found('userName eq "ωMEGA"'), pg_temp.found('userName eq "nobody"'), pg_temp.found('userName eq ""');
SELECT pg_temp.found('urn:ietf:params:scim:schemas:core:2.0:User:userName eq "FOUR"'), pg_temp.found('not (userName eq "four")'), pg_temp.found('(userName eq "four")');
SELECT pg_temp.found('externalId eq "E1"'), pg_temp.found('externalId eq "e1"'), pg_temp.found('externalId eq "twice"'), pg_temp.found('externalId eq null');
SELECT pg_temp.found('externalId eq "twice"', more => '&count=1'), pg_temp.found('externalId eq "twice"', more => '&startIndex=2'), pg_temp.found('externalId eq "twice"', more => '&count=1&sortBy=userName');
SELECT pg_temp.found('id eq "00000000-0000-7000-8000-0000000000a1"'), pg_temp.found('id eq "00000000-0000-7000-8000-0000000000A1"'), pg_temp.found('id eq "00000000-0000-7000-8000-0000000000b1"'), pg_temp.found('id eq "x"'), pg_temp.found('id eq "{00000000-0000-7000-8000-0000000000a1}"');
SELECT pg_temp.found('userName eq "four"', more => '&count=0'), pg_temp.found('userName eq "four"', more => '&count=1'), pg_temp.found('userName eq "four"', more => '&startIndex=2'), pg_temp.found('userName eq "four"', more => '&sortBy=title'), pg_temp.found('userName eq "four"', more => '&cursor&count=1');
SELECT pg_temp.found('displayName eq "TEAM"', type => 'Groups'), pg_temp.found('externalId eq "G"', type => 'Groups'), pg_temp.found('externalId eq "g"', type => 'Groups');
SELECT pg_temp.found('userName eq 5'), pg_temp.found('userName eq true'), pg_temp.found('userName eq "a" and'), pg_temp.found('title eq "BOSS"'), pg_temp.found('userName ne "four" and externalId eq "twice"');
-- without the attribute in the answer
SELECT body FROM scim.handle('look', 'GET', '/Users?filter=userName%20eq%20%22FOUR%22&attributes=title');

-- what this transaction has written
BEGIN;
UPDATE scim.users SET user_name = 'renamed', external_id = 'E9' WHERE user_name = 'four';
SELECT pg_temp.found('userName eq "four"'), pg_temp.found('userName eq "renamed"'), pg_temp.found('externalId eq "twice"');
DELETE FROM scim.users WHERE user_name = 'renamed';
SELECT pg_temp.found('userName eq "renamed"');
ROLLBACK;
SELECT pg_temp.found('userName eq "four"'), pg_temp.found('userName eq "renamed"');

-- your own tables: which indexes serve, and what is in their way
CREATE SCHEMA look;
CREATE ROLE scim_regress_look;
GRANT USAGE ON SCHEMA look TO scim_regress_look;
CREATE TABLE look.people (id int PRIMARY KEY, org text COLLATE "C" NOT NULL, login text COLLATE "C" NOT NULL, badge text, nick text COLLATE "C", job varchar(20) COLLATE "C", mail text);
GRANT ALL ON look.people TO scim_regress_look;
INSERT INTO look.people VALUES (1, 'a', 'One', 'B1', '', 'Cook', 'One@x'), (2, 'a', 'Two', 'b1', 'two', 'cook', 'TWO@x'), (3, 'b', 'ONE', 'B1', NULL, 'x', 'one@x');
SELECT scim.create_mapping('look', 'User', 'look.people', 'id',
	'{"userName": "login", "externalId": "badge", "nickName": {"column": "nick", "null": ""}, "title": "job", "displayName": "mail", "userType": "upper(login)"}', owner => 'scim_regress_look') IS NOT NULL;
SELECT scim.create_mapping('plain', 'User', 'look.people', 'id', '{"userName": "login", "externalId": "badge", "nickName": "nick", "title": "job", "displayName": "mail"}', owner => 'scim_regress_look') IS NOT NULL;
SELECT scim.create_endpoint('plain', base_path => '/plain', mappings => '{plain}', scope => '{"org": "a"}', owner => 'scim_regress_look') IS NOT NULL;
SELECT scim.create_endpoint('mine', base_path => '/mine', mappings => '{look}', scope => '{"org": "a"}', owner => 'scim_regress_look') IS NOT NULL;
CREATE FUNCTION pg_temp.all_found() RETURNS SETOF text LANGUAGE sql AS $$
	SELECT f || ' -> ' || pg_temp.found(f, 'mine') || ' / ' || pg_temp.found(f, 'plain') FROM unnest('{"userName eq \"ONE\"","externalId eq \"B1\"","externalId eq \"b1\"","nickName eq \"TWO\"","nickName eq \"\"","title eq \"COOK\"","displayName eq \"one@X\"","userType eq \"one\"","id eq \"2\"","id eq \"02\""}'::text[]) f;
$$;
SELECT * FROM pg_temp.all_found();
CREATE UNIQUE INDEX ON look.people (org, scim.fold(login) COLLATE "C");
CREATE INDEX ON look.people (badge COLLATE "C", org) WHERE badge IS NOT NULL;
CREATE INDEX ON look.people (org, scim.fold(nick) COLLATE "C");
CREATE INDEX ON look.people (org, scim.fold(job) COLLATE "C");
CREATE INDEX ON look.people (org, lower(mail));
CREATE INDEX ON look.people (org, scim.fold(login) COLLATE "C") WHERE id > 1;
SELECT * FROM pg_temp.all_found();
-- an index that does not say the same: of another collation, of one tenant
CREATE INDEX ON look.people (org, badge);
DROP INDEX look.people_badge_org_idx;
SELECT * FROM pg_temp.all_found();
-- row security
ALTER TABLE look.people ENABLE ROW LEVEL SECURITY;
SELECT * FROM pg_temp.all_found();
CREATE POLICY cooks ON look.people USING (job = 'cook');
SELECT * FROM pg_temp.all_found();
ALTER TABLE look.people DISABLE ROW LEVEL SECURITY;
-- columns and their types
ALTER TABLE look.people ALTER login TYPE varchar(30) COLLATE "C";
SELECT pg_temp.found('userName eq "ONE"', 'mine'), pg_temp.found('userName eq "ONE"', 'plain');
DROP INDEX look.people_org_fold_idx;
SELECT pg_temp.found('userName eq "ONE"', 'mine'), pg_temp.found('userName eq "ONE"', 'plain');
REVOKE ALL ON look.people FROM scim_regress_look;
SELECT pg_temp.found('userName eq "ONE"', 'mine'), pg_temp.found('userName eq "ONE"', 'plain');
GRANT SELECT (id, org, login, badge, nick, job, mail) ON look.people TO scim_regress_look;
SELECT pg_temp.found('userName eq "ONE"', 'mine'), pg_temp.found('userName eq "ONE"', 'plain');

SELECT scim.drop_endpoint(e) FROM unnest('{mine,plain,look,look2}'::text[]) e;
SELECT scim.drop_mapping(m) FROM unnest('{look,plain}'::text[]) m;
DELETE FROM scim.users WHERE tenant LIKE 'look%';
DELETE FROM scim.groups WHERE tenant LIKE 'look%';
DROP SCHEMA look CASCADE;
DROP OWNED BY scim_regress_look;
DROP ROLE scim_regress_look;
