-- What an answer leaves out is not read: not from the tables, and no expression of a mapping is computed for it.
\set VERBOSITY terse
SET client_min_messages = warning;
SELECT scim.setup();
\pset format unaligned
\pset tuples_only on

SELECT scim.create_endpoint('project');
INSERT INTO scim.users (tenant, id, user_name, title) VALUES ('project', '00000000-0000-4000-8000-000000000001', 'ann', 't');
INSERT INTO scim.user_values (tenant, user_id, attribute, value) VALUES ('project', '00000000-0000-4000-8000-000000000001', 'emails', 'a@example.com');
INSERT INTO scim.groups (tenant, id, display_name) VALUES ('project', '00000000-0000-4000-8000-000000000002', 'team');
INSERT INTO scim.group_members (tenant, group_id, user_id) VALUES ('project', '00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-000000000001');
CREATE FUNCTION pg_temp.r(m text, p text, b text DEFAULT NULL, e text DEFAULT 'project') RETURNS text LANGUAGE sql AS $$ SELECT m || ' ' || p || ': ' || h.status || ' ' || coalesce((h.body::jsonb -> 'totalResults')::text, '') FROM scim.handle(e, m, p, body => b) h $$;
\set user /Users/00000000-0000-4000-8000-000000000001
\set group /Groups/00000000-0000-4000-8000-000000000002

-- who may not read a table notices whether it is read
REVOKE ALL ON scim.group_members, scim.pending_members FROM scim_store;
SELECT pg_temp.r('GET', :'group' || q) FROM unnest('{"",?attributes=members,?excludedAttributes=members,?attributes=displayName,?attributes=members.display&x}'::text[]) q;
SELECT pg_temp.r('GET', '/Groups' || q) FROM unnest('{"",?excludedAttributes=members,?attributes=displayName&filter=displayName+pr,?attributes=displayName&filter=members+pr}'::text[]) q;
SELECT pg_temp.r('GET', :'user' || q) FROM unnest('{"",?excludedAttributes=groups,?attributes=userName}'::text[]) q;
SELECT pg_temp.r('PATCH', :'group' || '?excludedAttributes=members', '{"Operations":[{"op":"replace","path":"displayName","value":"crew"}]}');
SELECT pg_temp.r('PATCH', :'user' || '?attributes=title', '{"Operations":[{"op":"replace","path":"title","value":"x"}]}');
SELECT pg_temp.r('POST', '/Groups/.search', '{"excludedAttributes":["members"]}'), pg_temp.r('POST', '/.search', '{"attributes":["userName","displayName"]}'), pg_temp.r('POST', '/.search', '{}');
REVOKE ALL ON scim.user_values FROM scim_store;
SELECT pg_temp.r('GET', :'user' || q) FROM unnest('{?attributes=emails,?excludedAttributes=groups,?attributes=title,?attributes=meta.version}'::text[]) q;
SELECT pg_temp.r('PATCH', :'user' || '?attributes=title', '{"Operations":[{"op":"replace","path":"title","value":"y"}]}');
GRANT SELECT, INSERT, UPDATE, DELETE ON scim.group_members, scim.pending_members, scim.user_values TO scim_store;
SELECT pg_temp.r('GET', :'group'), pg_temp.r('GET', :'user');

-- an expression that can't be computed
CREATE ROLE scim_regress_project;
CREATE TABLE people (id text PRIMARY KEY, login text, n int);
INSERT INTO people VALUES ('1', 'ann', 0);
ALTER TABLE people OWNER TO scim_regress_project;
SELECT scim.create_mapping('own_project', 'User', 'people', key => 'id', owner => 'scim_regress_project', attributes => '{"userName": "login", "title": {"read": "(1 / r.n)::text"}, "nickName": {"read": "(SELECT (1 / r.n)::text)"}}', options => '{"state": false}');
SELECT scim.create_endpoint('own_project', mappings => '{own_project}');
SELECT pg_temp.r('GET', '/Users/1' || q, e => 'own_project') FROM unnest('{"",?attributes=userName,?excludedAttributes=title,"?excludedAttributes=title,nickName",?attributes=nickName}'::text[]) q;
SELECT pg_temp.r('GET', '/Users' || q, e => 'own_project') FROM unnest('{"",?attributes=userName,"?excludedAttributes=title,nickName"}'::text[]) q;

-- what a client asks for by a value may be the value's fault
SELECT pg_temp.r('GET', '/Users?filter=title+pr', e => 'own_project'), pg_temp.r('GET', '/Users?filter=userName+pr&attributes=userName', e => 'own_project');

-- nor is a row beside it read
CREATE TABLE profiles (person text PRIMARY KEY REFERENCES people, phone text);
INSERT INTO profiles VALUES ('1', '5');
GRANT SELECT ON profiles TO scim_regress_project;
SELECT scim.create_mapping('beside_project', 'User', 'people', key => 'id', owner => 'scim_regress_project', attributes => '{"userName": "login", "phoneNumbers[type eq \"work\"].value": {"table": "public.profiles", "parent": "person", "column": "phone"}}', options => '{"state": false}');
SELECT scim.create_endpoint('beside_project', mappings => '{beside_project}');
SELECT body::jsonb -> 'phoneNumbers' FROM scim.handle('beside_project', 'GET', '/Users/1');
REVOKE SELECT ON profiles FROM scim_regress_project;
SELECT pg_temp.r('GET', p || q, e => 'beside_project') FROM unnest('{/Users/1,/Users}'::text[]) p, unnest('{"",?attributes=userName,?excludedAttributes=phoneNumbers,?attributes=phoneNumbers.type}'::text[]) q;
SELECT scim.drop_endpoint('beside_project'), scim.drop_mapping('beside_project');
DROP TABLE profiles;

SELECT scim.drop_endpoint('own_project'), scim.drop_mapping('own_project'), scim.drop_endpoint('project');
DROP TABLE people;
DROP OWNED BY scim_regress_project;
DROP ROLE scim_regress_project;
DELETE FROM scim.groups WHERE tenant = 'project';
DELETE FROM scim.users WHERE tenant = 'project';
