-- Soft delete and revival in the built-in store.
\set VERBOSITY terse
SET client_min_messages = warning;
SELECT scim.setup();
\pset format unaligned
\pset tuples_only on

CREATE FUNCTION pg_temp.r(m text, p text, b jsonb DEFAULT NULL, e text DEFAULT 'soft') RETURNS text LANGUAGE sql AS $$
	SELECT h.status || ' ' || regexp_replace(regexp_replace(regexp_replace(coalesce(h.body, ''), '[0-9a-f]{8}-[0-9a-f-]{27}', 'ID', 'g'), 'http://[^/]*', '', 'g'),
		'"(created|lastModified|location)":"[^"]*",?', '', 'g')
	FROM scim.handle(e, m, p, body => b::text) h $$;
CREATE FUNCTION pg_temp.usr(name text, more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('schemas', ARRAY['urn:ietf:params:scim:schemas:core:2.0:User'], 'userName', name) || more $$;
CREATE FUNCTION pg_temp.grp(name text, members text[] DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('schemas', ARRAY['urn:ietf:params:scim:schemas:core:2.0:Group'], 'displayName', name, 'members', (SELECT jsonb_agg(jsonb_build_object('value', m)) FROM unnest(members) m)) $$;
CREATE FUNCTION pg_temp.id(name text) RETURNS text LANGUAGE sql AS $$ SELECT id::text FROM scim.users WHERE tenant = 'soft' AND user_name = name $$;
CREATE FUNCTION pg_temp.patch(VARIADIC ops jsonb[]) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('schemas', ARRAY['urn:ietf:params:scim:api:messages:2.0:PatchOp'], 'Operations', to_jsonb(ops)) $$;

SELECT scim.create_endpoint('soft', base_path => '/soft', mappings => '{users_with_password,groups}');
SELECT scim.create_endpoint('hard', base_path => '/hard', tenant => 'soft');
SELECT scim.alter_endpoint('soft', '{"softDelete": "yes"}');
SELECT scim.alter_endpoint('soft', '{"deletedRetention": 0}');
SELECT scim.alter_endpoint('soft', '{"deletedRetention": 99999999}');
SELECT scim.alter_endpoint('soft', '{"softDelete": true}');
CREATE ROLE regress_soft;
CREATE TABLE public.soft_people (id int PRIMARY KEY, login text NOT NULL);
ALTER TABLE public.soft_people OWNER TO regress_soft;
SELECT scim.create_mapping('soft_people', 'User', 'public.soft_people', attributes => '{"userName": "login"}', owner => 'regress_soft');
SELECT scim.create_endpoint('mapped', mappings => '{soft_people}', tenant => 'soft');
SELECT scim.alter_endpoint('mapped', '{"softDelete": true}');
SELECT scim.purge_deleted('mapped');

-- ---- what is deleted is nowhere ----
SELECT left(pg_temp.r('POST', '/Users', pg_temp.usr('ann', '{"externalId": "x1", "password": "t0psecret!", "emails": [{"value": "a@b", "type": "work"}], "name": {"givenName": "Ann"}}')), 3);
SELECT left(pg_temp.r('POST', '/Users', pg_temp.usr('bob', jsonb_build_object('urn:ietf:params:scim:schemas:extension:enterprise:2.0:User', jsonb_build_object('manager', jsonb_build_object('value', pg_temp.id('ann')))))), 3);
SELECT left(pg_temp.r('POST', '/Groups', pg_temp.grp('g', ARRAY[pg_temp.id('ann'), pg_temp.id('bob')])), 3);
SELECT left(pg_temp.r('PATCH', '/Users/' || pg_temp.id('ann'), pg_temp.patch('{"op": "add", "path": "title", "value": "T"}')), 3);
SELECT pg_temp.id('ann') AS ann, (SELECT id FROM scim.groups WHERE tenant = 'soft') AS g, (SELECT created FROM scim.users WHERE tenant = 'soft' AND user_name = 'ann') AS created \gset
SELECT pg_temp.r('DELETE', '/Users/' || :'ann');
SELECT m, e, left(pg_temp.r(m, '/Users/' || :'ann', CASE m WHEN 'PUT' THEN pg_temp.usr('ann') WHEN 'PATCH' THEN pg_temp.patch('{"op": "add", "path": "title", "value": "T"}') END, e), 3)
	FROM unnest('{GET,PUT,PATCH,DELETE}'::text[]) m, unnest('{soft,hard}'::text[]) e;
SELECT pg_temp.r('GET', '/Users?attributes=userName');
SELECT replace(q, :'ann', 'ann'), pg_temp.r('GET', q) FROM unnest(ARRAY['/Users?count=0&filter=userName%20eq%20%22ann%22', '/Users?count=0&filter=externalId%20eq%20%22x1%22', '/Users?count=0&filter=id%20eq%20%22' || :'ann' || '%22', '/?count=0&filter=userName%20pr',
	'/Groups?count=0&filter=members.value%20eq%20%22' || :'ann' || '%22', '/Users?count=0&cursor&filter=userName%20sw%20%22a%22']) q;
SELECT pg_temp.r('GET', '/Groups/' || :'g' || '?attributes=members,meta.version');
-- a token of its own is of no use any more
SELECT scim.create_token('soft', label => 'me', subject => :'ann') AS me \gset
SELECT h.status FROM scim.handle('soft', 'GET', '/Me', headers => jsonb_build_object('Authorization', 'Bearer ' || :'me')) h;
-- its id names nothing: kept as pending in compat mode, as any that names nothing
SELECT left(pg_temp.r('PATCH', '/Groups/' || :'g', pg_temp.patch(jsonb_build_object('op', 'add', 'path', 'members', 'value', jsonb_build_array(jsonb_build_object('value', :'ann'))))), 3);
SELECT count(*) FROM scim.pending WHERE endpoint = 'soft' AND value = :'ann';
SELECT scim.check_password('soft', 'ann', 't0psecret!');
SELECT endpoint, resource_type, id = :'ann' AS same, resource - '{id,meta}'::text[] FROM scim.deleted_resources ORDER BY endpoint;

-- ---- its name is free: a POST makes a new one ----
SELECT pg_temp.r('POST', '/Users', pg_temp.usr('ANN'));
SELECT pg_temp.id('ANN') <> :'ann' AS another;
SELECT scim.restore_resource('soft', 'User', :'ann');
SELECT left(pg_temp.r('DELETE', '/Users/' || pg_temp.id('ANN')), 3);
SELECT count(*) FROM scim.deleted_resources WHERE endpoint = 'soft';

-- ---- or brings the last one back ----
SELECT scim.alter_endpoint('soft', '{"reviveDeleted": true}');
SELECT scim.restore_resource('soft', 'User', :'ann');
SELECT left(pg_temp.r('DELETE', '/Users/' || :'ann'), 3);
SELECT pg_temp.r('POST', '/Users', pg_temp.usr('Ann', '{"displayName": "again"}'));
SELECT pg_temp.id('Ann') = :'ann' AS same_id, (SELECT created = :'created' FROM scim.users WHERE tenant = 'soft' AND user_name = 'Ann') AS same_created, (SELECT last_modified > :'created' FROM scim.users WHERE tenant = 'soft' AND user_name = 'Ann') AS modified;
-- memberships end with the deletion; one that was pending becomes real
SELECT pg_temp.r('GET', '/Groups/' || :'g' || '?attributes=members');
SELECT left(pg_temp.r('POST', '/Users', pg_temp.usr('ann')), 3);
SELECT count(*) FROM scim.deleted_resources WHERE endpoint = 'soft' AND resource_type = 'User';
-- an endpoint without the option deletes, and makes anew
SELECT left(pg_temp.r('DELETE', '/Users/' || :'ann', e => 'hard'), 3);
SELECT left(pg_temp.r('POST', '/Users', pg_temp.usr('ann'), 'hard'), 3), pg_temp.id('ann') <> :'ann';
-- a group comes back by its externalId
SELECT left(pg_temp.r('POST', '/Groups', pg_temp.grp('h') || '{"externalId": "gx"}'), 3);
SELECT id AS h FROM scim.groups WHERE tenant = 'soft' AND external_id = 'gx' \gset
SELECT left(pg_temp.r('DELETE', '/Groups/' || :'h'), 3);
SELECT left(pg_temp.r('POST', '/Groups', pg_temp.grp('h')), 3), left(pg_temp.r('POST', '/Groups', pg_temp.grp('hh', ARRAY[pg_temp.id('bob')]) || '{"externalId": "gx"}'), 3);
SELECT display_name, version FROM scim.groups WHERE id = :'h';

-- ---- Bulk ----
SELECT pg_temp.r('POST', '/Bulk', jsonb_build_object('schemas', ARRAY['urn:ietf:params:scim:api:messages:2.0:BulkRequest'], 'Operations', jsonb_build_array(
	jsonb_build_object('method', 'DELETE', 'path', '/Users/' || pg_temp.id('bob')),
	jsonb_build_object('method', 'GET', 'path', '/Users/' || pg_temp.id('bob')),
	jsonb_build_object('method', 'PATCH', 'path', '/Users/' || pg_temp.id('bob'), 'data', pg_temp.patch('{"op": "add", "path": "title", "value": "T"}')),
	jsonb_build_object('method', 'POST', 'path', '/Users', 'bulkId', 'b', 'data', pg_temp.usr('bob')),
	jsonb_build_object('method', 'PATCH', 'path', '/Users/bulkId:b', 'data', pg_temp.patch('{"op": "add", "path": "title", "value": "back"}')))));

-- ---- restored by hand: as it was, without password and memberships ----
SELECT left(pg_temp.r('DELETE', '/Users/' || pg_temp.id('bob')), 3);
SELECT resource ->> 'title' AS title FROM scim.deleted_resources WHERE endpoint = 'soft' AND resource ->> 'userName' = 'bob';
SELECT id AS bob FROM scim.deleted_resources WHERE endpoint = 'soft' AND resource ->> 'userName' = 'bob' \gset
SELECT scim.restore_resource('soft', 'Group', '11111111-2222-4333-8444-555555555555');
SELECT scim.restore_resource('soft', 'Thing', :'bob');
SELECT scim.restore_resource('soft', 'User', 'nonsense');
SELECT scim.restore_resource('none', 'User', :'bob');
SELECT scim.restore_resource('soft', 'User', :'bob');
SELECT pg_temp.r('GET', '/Users/' || :'bob');

-- ---- purged: by hand, or by the next deletion ----
SELECT left(pg_temp.r('DELETE', '/Users/' || :'bob'), 3);
SELECT scim.purge_deleted('soft', '1 day'), scim.purge_deleted('none');
SELECT scim.purge_deleted('soft', '1 day'), scim.purge_deleted('hard'), (SELECT count(*) FROM scim.deleted_resources);
SELECT left(pg_temp.r('POST', '/Users', pg_temp.usr('carl')), 3), left(pg_temp.r('POST', '/Users', pg_temp.usr('dora')), 3);
SELECT left(pg_temp.r('DELETE', '/Users/' || pg_temp.id('carl')), 3);
UPDATE scim._deleted SET deleted = deleted - interval '8 days';
SELECT scim.alter_endpoint('soft', '{"deletedRetention": 7}');
SELECT left(pg_temp.r('DELETE', '/Users/' || pg_temp.id('dora')), 3);
SELECT resource ->> 'userName' FROM scim.deleted_resources WHERE endpoint = 'soft';

-- ---- a POST that meets active: false ----
SELECT left(pg_temp.r('POST', '/Users', pg_temp.usr('eve', '{"externalId": "e1", "active": false, "title": "old", "nickName": "e"}')), 3);
SELECT pg_temp.r('POST', '/Users', pg_temp.usr('eve', '{"externalId": "e1"}'));
SELECT left(pg_temp.r('GET', '/Users/' || pg_temp.id('eve')), 3), pg_temp.id('eve') AS eve \gset
SELECT scim.alter_endpoint('soft', '{"reviveInactive": true}');
SELECT pg_temp.r('POST', '/Users', pg_temp.usr('eve', '{"externalId": "E1"}'));
SELECT pg_temp.r('POST', '/Users', pg_temp.usr('eve'));
SELECT pg_temp.r('POST', '/Users', pg_temp.usr('eva', '{"externalId": "e1", "active": true, "title": "new"}'));
SELECT pg_temp.id('eva') = :'eve' AS same;
SELECT method, status, resource_id = :'eve' AS same, attributes FROM scim.audit_log WHERE endpoint = 'soft' ORDER BY at DESC LIMIT 1;
-- now it is active: the next is a new user, or a conflict
SELECT left(pg_temp.r('POST', '/Users', pg_temp.usr('eva', '{"externalId": "e1"}')), 3), left(pg_temp.r('POST', '/Users', pg_temp.usr('eva2', '{"externalId": "e1", "active": false}')), 3), left(pg_temp.r('POST', '/Users', pg_temp.usr('eva3', '{"externalId": "e1", "active": false}')), 3);
SELECT count(*) FROM scim.users WHERE tenant = 'soft' AND external_id = 'e1';
-- a name that is taken stays taken, and two of one externalId are nobody's
SELECT left(pg_temp.r('POST', '/Users', pg_temp.usr('fred', '{"externalId": "f1", "active": false}')), 3);
SELECT pg_temp.r('POST', '/Users', pg_temp.usr('eva', '{"externalId": "f1"}'));
SELECT pg_temp.r('POST', '/Users', '{"externalId": "f1"}'), pg_temp.r('POST', '/Users', '[]'), left(pg_temp.r('POST', '/Users', pg_temp.usr('gus', jsonb_build_object('externalId', repeat('\"x', 600)))), 3);
SELECT active, external_id FROM scim.users WHERE tenant = 'soft' AND user_name = 'fred';

SELECT scim.drop_endpoint(e) FROM unnest('{soft,hard,mapped}'::text[]) e;
DELETE FROM scim.groups WHERE tenant = 'soft';
DELETE FROM scim.users WHERE tenant = 'soft';
DELETE FROM scim._deleted;
SELECT scim.drop_mapping('soft_people');
DROP TABLE public.soft_people;
DROP OWNED BY regress_soft;
DROP ROLE regress_soft;
