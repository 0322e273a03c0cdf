-- scim.audit_log: a row for each write; members that nobody is yet; constraints of the caller.
\set VERBOSITY terse
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SELECT scim.setup();
SELECT scim.create_endpoint('audited');
CREATE TEMP TABLE token AS SELECT scim.create_token('audited', 'writer') AS w, scim.create_token('audited', 'reader', can_write => false) AS r;
CREATE FUNCTION pg_temp.send(method text, path text, body text DEFAULT NULL, headers jsonb DEFAULT '{}') RETURNS int LANGUAGE sql AS $$
	SELECT h.status FROM scim.handle('audited', method, path, headers, body) h
$$;
CREATE TEMP VIEW log AS SELECT a.token, a.method, a.resource_type, a.resource_id ~ '^[0-9a-f-]{36}$' AS id, a.attributes, a.status, a.caller = session_user::regrole AS mine,
	a.duration_ms BETWEEN 0 AND 60000 AND a.at BETWEEN now() - interval '1 minute' AND clock_timestamp() AS times FROM scim.audit_log a WHERE a.endpoint = 'audited' ORDER BY a.at, a.request, a.resource_type, a.method;

SELECT pg_temp.send('POST', '/Users', '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"anna","title":"secret","password":"hush","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"department":"x"}}');
SELECT pg_temp.send('POST', '/Users', '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"Anna"}');
SELECT pg_temp.send('POST', '/Users', '{', jsonb_build_object('Authorization', 'Bearer ' || w)) FROM token;
SELECT * FROM log;
SELECT count(DISTINCT request) FROM scim.audit_log WHERE endpoint = 'audited';
SELECT a::text ~ 'secret|hush' FROM scim.audit_log a WHERE endpoint = 'audited' ORDER BY at LIMIT 1;
BEGIN;
SELECT id AS anna FROM scim.users WHERE tenant = 'audited' \gset
SELECT pg_temp.send('PATCH', '/Users/' || :'anna', '{"Operations":[{"op":"replace","path":"title","value":"T"},{"op":"replace","path":"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department","value":"y"},{"op":"add","path":"nickName","value":"n"}]}');
SELECT pg_temp.send('PATCH', '/Users/' || :'anna', '{"Operations":[{"op":"replace","path":"title","value":"T"}]}');
SELECT pg_temp.send('PUT', '/Users/' || :'anna', '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"anna","title":"T"}');
SELECT pg_temp.send('POST', '/Groups', '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"team"}');
SELECT id AS team FROM scim.groups WHERE tenant = 'audited' \gset
SELECT pg_temp.send('PATCH', '/Groups/' || :'team', '{"Operations":[{"op":"add","path":"members","value":[{"value":"' || :'anna' || '"}]}]}');
SELECT pg_temp.send('PUT', '/Groups/' || :'team', '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"crew","members":[{"value":"' || :'anna' || '"}]}');
SELECT pg_temp.send('DELETE', '/Users/' || :'anna', NULL, '{"If-Match":"W/\"0\""}');
SELECT pg_temp.send('DELETE', '/Users/' || :'anna');
SELECT pg_temp.send('DELETE', '/Users/' || :'anna');
COMMIT;
SELECT * FROM log OFFSET 3;
-- reads are not writes, and who is not let in has no row; who may not, has
SELECT count(*) AS before FROM log \gset
SELECT pg_temp.send('GET', '/Users'), pg_temp.send('POST', '/Users/.search', '{}'), pg_temp.send('POST', '/Users', '{}', '{"Authorization":"Bearer nobody"}'), pg_temp.send('POST', '/Users', '{}', jsonb_build_object('Authorization', 'Bearer ' || r)) FROM token;
SELECT * FROM log OFFSET :before;
-- a Bulk: a row for each operation, one request
SELECT pg_temp.send('POST', '/Bulk', '{"failOnErrors":1,"Operations":[{"method":"POST","path":"/Users","bulkId":"b","data":{"userName":"bert"}},{"method":"PATCH","path":"/Users/bulkId:b","data":{"Operations":[{"op":"add","path":"title","value":"x"}]}},
	{"method":"DELETE","path":"/Users/nobody"},{"method":"POST","path":"/Users","bulkId":"c","data":{"userName":"carl"}}]}');
SELECT count(DISTINCT request), array_agg(method || ' ' || status || ' ' || attributes::text ORDER BY method, status) FROM scim.audit_log WHERE request = (SELECT request FROM scim.audit_log ORDER BY at DESC LIMIT 1);
-- who owns nothing sees nothing; nobody changes a row
CREATE ROLE scim_regress_audit;
GRANT SELECT ON scim.audit_log, scim.pending TO scim_regress_audit;
GRANT USAGE ON SCHEMA scim TO scim_regress_audit;
SET ROLE scim_regress_audit;
SELECT count(*) FROM scim.audit_log;
SELECT count(*) FROM scim._audit;
RESET ROLE;
UPDATE scim._audit SET status = 200;
TRUNCATE scim._audit;
-- a trigger of whoever installed the extension sees each row
CREATE FUNCTION pg_temp.see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE WARNING '% % %', NEW.method, NEW.resource_type, NEW.attributes;
	RETURN NEW;
END
$$;
CREATE TRIGGER see BEFORE INSERT ON scim._audit FOR EACH ROW EXECUTE FUNCTION pg_temp.see();
SELECT pg_temp.send('POST', '/Bulk', '{"Operations":[{"method":"POST","path":"/Users","bulkId":"e","data":{"userName":"emil"}},{"method":"DELETE","path":"/Users/bulkId:e"}]}');
DROP TRIGGER see ON scim._audit;
-- an abort of the caller takes it along; a read-only transaction has none
SELECT count(*) AS before FROM log \gset
BEGIN;
SELECT pg_temp.send('POST', '/Users', '{"userName":"dora"}');
ROLLBACK;
BEGIN READ ONLY;
SELECT pg_temp.send('POST', '/Users', '{"userName":"dora"}');
COMMIT;
SELECT count(*) - :before FROM log;

-- ---- the request log: what was sent, without what it says of whom ----
SELECT scim.alter_endpoint('audited', '{"requestLog":true}');
SELECT pg_temp.send('GET', '/Users?filter=userName%20eq%20%22secret-name%22%20and%20title%20pr&count=5&attributes=userName'), pg_temp.send('POST', '/Users/.search', '{"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],"filter":"emails[value eq \"secret@mail\"]","count":7}'),
	pg_temp.send('POST', '/Users', '{"userName":"secret-name","active":"True","password":"secret","name":{"familyName":"secret"},"emails":[{"type":"work","value":"secret@mail","primary":true}],"x[y eq \"secret\"]":1}'),
	pg_temp.send('POST', '/Users', '{"userName":"secret-name"'), pg_temp.send('POST', '/Users', '{"userName":7}', jsonb_build_object('Authorization', 'Bearer ' || w)), pg_temp.send('GET', '/Users?cursor&count=1'), pg_temp.send('GET', '/Nothing'),
	pg_temp.send('POST', '/Users', '{}', '{"Authorization":"Bearer nobody"}') FROM token;
SELECT pg_temp.send('PATCH', '/Users/' || id, '{"Operations":[{"op":"Replace","path":"emails[type eq \"work\" and value eq \"secret@mail\"].value","value":"other-secret"}]}') FROM scim.users WHERE user_name = 'secret-name';
SELECT token, method, regexp_replace(path, '[0-9a-f-]{36}', '*'), body, rewrites, status, scim_type, detail, duration_ms > 0 FROM scim.request_log WHERE endpoint = 'audited' ORDER BY at;
SELECT count(*) FROM scim._requests r WHERE r::text LIKE '%secret%';
SELECT count(*) FROM scim.request_log l JOIN scim.audit_log a USING (request);
SELECT scim.alter_endpoint('audited', '{"requestLog":null}');

-- ---- members that nobody is yet ----
SELECT pg_temp.send('POST', '/Groups', '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"waiting","members":[{"value":"00000000-0000-4000-8000-0000000000b1"},{"value":"00000000-0000-4000-8000-0000000000b2"},{"value":"nobody"}]}');
SELECT endpoint, display_name, value FROM scim.pending WHERE endpoint = 'audited' ORDER BY value;
INSERT INTO scim.users (tenant, id, user_name) VALUES ('audited', '00000000-0000-4000-8000-0000000000b1', 'b1'), ('other', '00000000-0000-4000-8000-0000000000b2', 'b2');
INSERT INTO scim.groups (tenant, id, display_name) VALUES ('other', '00000000-0000-4000-8000-0000000000b2', 'b2');
SELECT value FROM scim.pending WHERE endpoint = 'audited' ORDER BY value;
INSERT INTO scim.groups (tenant, id, display_name) VALUES ('audited', '00000000-0000-4000-8000-0000000000b2', 'b2');
SELECT value FROM scim.pending WHERE endpoint = 'audited' ORDER BY value;
SELECT m ->> 'value', m ->> 'type' FROM scim.handle('audited', 'GET', '/Groups?filter=displayName%20eq%20%22waiting%22') h, jsonb_array_elements(h.body::jsonb #> '{Resources,0,members}') m ORDER BY 1;
SELECT g ->> 'display', g ->> 'type' FROM scim.handle('audited', 'GET', '/Users/00000000-0000-4000-8000-0000000000b1') h, jsonb_array_elements(h.body::jsonb -> 'groups') g;

-- compat: the id tells who it is, whatever type a client gives it; strict: both have to be right
SELECT scim.create_endpoint('precise', mode => 'strict');
INSERT INTO scim.users (tenant, id, user_name) VALUES ('audited', '00000000-0000-4000-8000-0000000000c1', 'c1'), ('precise', '00000000-0000-4000-8000-0000000000c1', 'c1');
INSERT INTO scim.groups (tenant, id, display_name) VALUES ('audited', '00000000-0000-4000-8000-0000000000c2', 'c2'), ('audited', '00000000-0000-4000-8000-0000000000c3', 'c3'), ('precise', '00000000-0000-4000-8000-0000000000c2', 'c2'), ('precise', '00000000-0000-4000-8000-0000000000c3', 'c3');
SELECT e, op, h.status, (SELECT string_agg(m ->> 'value' || ' ' || coalesce(m ->> 'type', '-'), ', ' ORDER BY m ->> 'value') FROM jsonb_array_elements(h.body::jsonb -> 'members') m)
	FROM unnest('{audited,precise}'::text[]) e, (VALUES (1, 'add', '[{"value":"00000000-0000-4000-8000-0000000000c1","type":"Group"},{"value":"00000000-0000-4000-8000-0000000000c2","type":"User"}]'), (2, 'add', '[{"value":"00000000-0000-4000-8000-0000000000c1","type":"User"}]'),
		(3, 'remove', '[{"value":"00000000-0000-4000-8000-0000000000c1","type":"Group"}]')) v(i, op, value),
	scim.handle(e, 'PATCH', '/Groups/00000000-0000-4000-8000-0000000000c3?attributes=members', '{}', format('{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"%s","path":"members","value":%s}]}', op, value)) h ORDER BY 1, i;
SELECT count(*) FROM scim.pending_members WHERE group_id = '00000000-0000-4000-8000-0000000000c3';
-- one who appeared at the same moment is named again: a member, once
SET session_replication_role = replica;
INSERT INTO scim.pending_members VALUES ('audited', '00000000-0000-4000-8000-0000000000c3', '00000000-0000-4000-8000-0000000000c4');
INSERT INTO scim.users (tenant, id, user_name) VALUES ('audited', '00000000-0000-4000-8000-0000000000c4', 'c4');
RESET session_replication_role;
SELECT jsonb_path_query_array(h.body::jsonb, '$.members[*].value') FROM scim.handle('audited', 'PATCH', '/Groups/00000000-0000-4000-8000-0000000000c3?attributes=members', '{}', '{"Operations":[{"op":"add","path":"members","value":[{"value":"00000000-0000-4000-8000-0000000000c4"}]}]}') h;
SELECT scim.drop_endpoint('precise');

-- ---- a trigger that calls scim.handle leaves the constraints of the call around it immediate ----
CREATE SCHEMA nest AUTHORIZATION scim_regress_audit;
GRANT EXECUTE ON FUNCTION scim.handle(text, text, text, jsonb, text), scim.fold(text) TO scim_regress_audit;
CREATE TABLE nest.boss (login text PRIMARY KEY);
CREATE TABLE nest.people (login text PRIMARY KEY, title text, boss text REFERENCES nest.boss DEFERRABLE INITIALLY DEFERRED);
ALTER TABLE nest.boss OWNER TO scim_regress_audit;
ALTER TABLE nest.people OWNER TO scim_regress_audit;
SELECT scim.create_mapping('nest', 'User', 'nest.people', key => 'login', attributes => '{"userName":"login","title":"title","nickName":"boss"}', owner => 'scim_regress_audit');
SELECT scim.create_endpoint('nest', mappings => '{nest}');
CREATE FUNCTION nest.inner_call() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.title = 'outer' THEN
		NEW.title := 'inner ' || (SELECT h.status FROM scim.handle('nest', 'POST', '/Users', '{}', json_build_object('userName', NEW.login || ' inner')::text) h);
	END IF;
	RETURN NEW;
END
$$;
CREATE TRIGGER inner_call BEFORE INSERT ON nest.people FOR EACH ROW EXECUTE FUNCTION nest.inner_call();
SELECT status, body::jsonb ->> 'title' FROM scim.handle('nest', 'POST', '/Users', '{}', '{"userName":"a","title":"outer"}');
SELECT status, body::jsonb ->> 'detail' FROM scim.handle('nest', 'POST', '/Users', '{}', '{"userName":"b","title":"outer","nickName":"nobody"}');
SELECT login, title FROM nest.people ORDER BY 1;
-- afterwards they are what they were
BEGIN;
SELECT status FROM scim.handle('nest', 'POST', '/Users', '{}', '{"userName":"c"}');
INSERT INTO nest.people VALUES ('d', NULL, 'late');
INSERT INTO nest.boss VALUES ('late');
COMMIT;
-- also if the caller had made them immediate, all or one by name, and had not if that was taken back
CREATE FUNCTION pg_temp.state(OUT state text) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM h.status FROM scim.handle('nest', 'POST', '/Users', '{}', json_build_object('userName', clock_timestamp()::text)::text) h;
	INSERT INTO nest.people VALUES (clock_timestamp()::text, NULL, 'missing');
	state := 'deferred';
	DELETE FROM nest.people WHERE boss = 'missing';
EXCEPTION WHEN foreign_key_violation THEN state := 'immediate';
END
$$;
BEGIN; SELECT pg_temp.state(); COMMIT;
BEGIN; SET CONSTRAINTS ALL IMMEDIATE; SELECT pg_temp.state(); COMMIT;
BEGIN; SET CONSTRAINTS nest.people_boss_fkey IMMEDIATE; SELECT pg_temp.state(); COMMIT;
BEGIN; SET CONSTRAINTS nest.people_boss_fkey IMMEDIATE; SET CONSTRAINTS ALL DEFERRED; SELECT pg_temp.state(); COMMIT;
BEGIN; SET CONSTRAINTS ALL IMMEDIATE; SAVEPOINT s; SET CONSTRAINTS ALL DEFERRED; SELECT pg_temp.state(); ROLLBACK TO s; SELECT pg_temp.state(); COMMIT;
BEGIN; SAVEPOINT s; SET CONSTRAINTS ALL IMMEDIATE; RELEASE s; SELECT pg_temp.state(); COMMIT;
BEGIN; SAVEPOINT s; SET CONSTRAINTS ALL IMMEDIATE; ROLLBACK TO s; SELECT pg_temp.state(); COMMIT;
SELECT pg_temp.state();
-- DELETE of what is still referred to
CREATE TABLE nest.badge (login text REFERENCES nest.people);
ALTER TABLE nest.badge OWNER TO scim_regress_audit;
INSERT INTO nest.badge VALUES ('a');
SELECT status, body::jsonb ->> 'detail' FROM scim.handle('nest', 'DELETE', '/Users/a');
SELECT status FROM scim.handle('nest', 'DELETE', '/Users/c');
SELECT jsonb_path_query_array(body::jsonb, '$.Operations[*].status') FROM scim.handle('nest', 'POST', '/Bulk', '{}', '{"Operations":[{"method":"DELETE","path":"/Users/a"},{"method":"DELETE","path":"/Users/d"}]}');

SELECT scim.drop_endpoint('nest'), scim.drop_mapping('nest'), scim.drop_endpoint('audited');
DROP SCHEMA nest CASCADE;
DROP OWNED BY scim_regress_audit;
DROP ROLE scim_regress_audit;
DELETE FROM scim.groups WHERE tenant IN ('audited', 'other', 'precise');
DELETE FROM scim.users WHERE tenant IN ('audited', 'other', 'precise');
