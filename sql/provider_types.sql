-- Resource types and extensions of users in the built-in store.
\set VERBOSITY default
SET client_min_messages = warning;
SELECT scim.setup();
\set show_context never
\pset format unaligned
\pset tuples_only on

CREATE FUNCTION pg_temp.r(m text, p text, b jsonb DEFAULT NULL, e text DEFAULT 'types') RETURNS text LANGUAGE sql AS $$
	SELECT h.status || ' ' || regexp_replace(regexp_replace(regexp_replace(coalesce(h.body, ''), '[0-9a-f]{8}-[0-9a-f-]{27}', 'ID', 'g'), 'http://[^/]*', '', 'g'),
		'"(created|lastModified|location)":"[^"]*",?', '', 'g')
	FROM scim.handle(e, m, p, body => b::text) h $$;
-- What a list finds: names only.
CREATE FUNCTION pg_temp.found(filter text, more text DEFAULT '', e text DEFAULT 'types', p text DEFAULT '/Devices') RETURNS text LANGUAGE sql AS $$
	SELECT CASE WHEN h.status = 200 THEN (SELECT coalesce(string_agg(coalesce(r ->> 'serial', r ->> 'userName', r ->> 'displayName'), ' '), '-') FROM jsonb_array_elements(h.body::jsonb -> 'Resources') r)
		ELSE h.status || ' ' || (h.body::jsonb ->> 'detail') END
	FROM scim.handle(e, 'POST', p || '/.search', body => (jsonb_build_object('schemas', ARRAY['urn:ietf:params:scim:api:messages:2.0:SearchRequest'], 'filter', filter) || coalesce(nullif(more, ''), '{}')::jsonb)::text) h $$;
CREATE FUNCTION pg_temp.device(serial text, more jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('schemas', ARRAY['urn:acme:2.0:Device', 'urn:acme:lease:2.0:Device'], 'serial', serial, 'urn:acme:lease:2.0:Device', jsonb_build_object('contract', 'k' || serial)) || more $$;
CREATE FUNCTION pg_temp.patch(VARIADIC ops jsonb[]) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('schemas', ARRAY['urn:ietf:params:scim:api:messages:2.0:PatchOp'], 'Operations', to_jsonb(ops)) $$;

-- ---- definitions; what is wrong is named ----
SELECT scim.create_schema('{"id": "urn:acme:2.0:Device", "name": "Device", "description": "A thing", "attributes": [
	{"name": "serial", "required": true, "uniqueness": "server"}, {"name": "model", "caseExact": true}, {"name": "color", "canonicalValues": ["red", "blue"]},
	{"name": "ports", "type": "integer", "multiValued": true}, {"name": "weight", "type": "decimal"}, {"name": "count", "type": "integer"},
	{"name": "bought", "type": "dateTime"}, {"name": "on", "type": "boolean"}, {"name": "key", "type": "binary"},
	{"name": "pin", "mutability": "writeOnly", "returned": "never"}, {"name": "maker", "mutability": "immutable"}, {"name": "state", "mutability": "readOnly"},
	{"name": "notes", "returned": "request"}, {"name": "label", "returned": "always"}, {"name": "page", "type": "reference", "referenceTypes": ["external"]},
	{"name": "place", "type": "complex", "subAttributes": [{"name": "room"}, {"name": "floor", "type": "integer"}, {"name": "code", "caseExact": true, "uniqueness": "server"}]},
	{"name": "owner", "type": "complex", "subAttributes": [{"name": "value"}, {"name": "$ref", "type": "reference", "referenceTypes": ["User"]}]},
	{"name": "users", "type": "complex", "multiValued": true, "subAttributes": [{"name": "value"}, {"name": "$ref", "type": "reference", "referenceTypes": ["User", "Group"]}, {"name": "type"}]},
	{"name": "parts", "type": "complex", "multiValued": true, "subAttributes": [{"name": "value"}, {"name": "$ref", "type": "reference", "referenceTypes": ["Device"]}]},
	{"name": "disks", "type": "complex", "multiValued": true, "subAttributes": [{"name": "value", "uniqueness": "server"}, {"name": "size", "type": "integer"},
		{"name": "primary", "type": "boolean"}, {"name": "since", "type": "dateTime"}]}]}');
SELECT scim.create_schema('{"id": "urn:acme:lease:2.0:Device", "name": "Lease", "attributes": [
	{"name": "until", "type": "dateTime"}, {"name": "contract", "uniqueness": "global"}, {"name": "tags", "multiValued": true}]}');
SELECT scim.create_schema('{"id": "urn:acme:hr:2.0:User", "name": "HR", "attributes": [
	{"name": "badge", "uniqueness": "server", "required": true}, {"name": "grade", "type": "integer"}, {"name": "skills", "type": "complex", "multiValued": true,
		"subAttributes": [{"name": "value"}, {"name": "level", "type": "integer"}]}]}');
SELECT scim.create_schema('{"id": "urn:acme:team:2.0:Group", "name": "Team", "attributes": [{"name": "budget", "type": "decimal"}]}', required => true);
\set VERBOSITY terse
SELECT scim.create_schema('{"id": "urn:acme:bad:2.0:X", "attributes": [{"name": "a", "type": "complex", "subAttributes": [{"name": "b", "type": "number"}]}]}');
SELECT scim.create_resource_type('1st', 'urn:acme:2.0:Device');
SELECT scim.create_resource_type(NULL, 'urn:acme:2.0:Device');
SELECT scim.create_resource_type('Device', NULL);
SELECT scim.create_resource_type('User', 'urn:acme:2.0:Device');
SELECT scim.create_resource_type('Device', 'urn:acme:none');
SELECT scim.create_resource_type('Device', 'urn:ietf:params:scim:schemas:core:2.0:User');
SELECT scim.create_resource_type('Device', 'urn:acme:hr:2.0:User');
SELECT scim.create_resource_type('Device', 'urn:acme:2.0:Device', endpoint => '/Users');
SELECT scim.create_resource_type('Device', 'urn:acme:2.0:Device', endpoint => 'Devices');
SELECT scim.create_resource_type('Device', 'urn:acme:2.0:Device', endpoint => '/a/b');
SELECT scim.create_resource_type('Device', 'urn:acme:2.0:Device', extensions => '["x"]');
SELECT scim.create_resource_type('Device', 'urn:acme:2.0:Device', extensions => '{"urn:acme:hr:2.0:User": true}');
SELECT scim.create_resource_type('Device', 'urn:acme:2.0:Device', extensions => '{"urn:acme:lease:2.0:Device": "yes"}');
SELECT scim.create_resource_type('Device', 'urn:acme:2.0:Device', extensions => '{"urn:acme:2.0:Device": true}');
SELECT scim.create_resource_type('Device', 'urn:acme:2.0:Device', extensions => '{"URN:acme:lease:2.0:device": true}');
SELECT scim.create_resource_type('device', 'urn:acme:2.0:Device', endpoint => '/Things');
SELECT scim.create_resource_type('Thing', 'urn:acme:2.0:Device', endpoint => '/devices');
SELECT scim.create_store_mapping('acme_users', 'User', '{urn:acme:hr:2.0:User}', passwords => true);
SELECT scim.create_store_mapping('acme_groups', 'Group');
SELECT scim.create_store_mapping('acme_users', 'User');
SELECT scim.create_store_mapping('x', 'Device');
SELECT scim.create_store_mapping('x', 'User', '{urn:acme:lease:2.0:Device}');
SELECT scim.create_store_mapping('x', 'Group', passwords => true);
SELECT scim.drop_schema('urn:acme:lease:2.0:Device');
SELECT scim.drop_schema('urn:acme:2.0:Device');
SELECT scim.drop_schema('urn:acme:hr:2.0:User');
SELECT * FROM scim.resource_types;
SELECT name, resource_type, relation, builtin FROM scim.mappings WHERE name ~ 'acme|devices' ORDER BY name;

-- ---- endpoints choose ----
SELECT scim.create_endpoint('types', base_path => '/types', mappings => '{acme_users,acme_groups,devices}');
SELECT scim.create_endpoint('plain', base_path => '/plain', tenant => 'types');
SELECT scim.create_endpoint('strict', base_path => '/strict', mappings => '{users,groups,devices}', mode => 'strict');
SELECT scim.create_endpoint('lonely', mappings => '{devices}');
SELECT e, jsonb_path_query_array(h.body::jsonb, '$.Resources[*].schemaExtensions') AS extensions, jsonb_path_query_array(h.body::jsonb, '$.Resources[*].endpoint') AS endpoints
	FROM unnest('{types,plain,strict}'::text[]) e, scim.handle(e, 'GET', '/ResourceTypes') h;
SELECT e, jsonb_path_query_array(h.body::jsonb, '$.Resources[*].id ? (@ starts with "urn:acme")') FROM unnest('{types,plain,strict}'::text[]) e, scim.handle(e, 'GET', '/Schemas') h;
SELECT a ->> 'name' AS name, a ->> 'type' AS type, a ->> 'mutability' AS mutability, a ->> 'returned' AS returned, a ->> 'uniqueness' AS uniqueness, a ->> 'required' AS required, a ->> 'canonicalValues' AS canonical
	FROM scim.handle('types', 'GET', '/Schemas/urn:acme:2.0:Device') h, jsonb_array_elements(h.body::jsonb -> 'attributes') a;
SELECT status FROM scim.handle('plain', 'GET', '/Devices');

-- ---- create, read ----
SELECT pg_temp.r('POST', '/Users', '{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", "urn:acme:hr:2.0:User"], "userName": "ann", "urn:acme:hr:2.0:User": {"badge": "B1", "grade": 7, "skills": [{"value": "sql", "level": 3}, {"value": "c", "level": 5}]}}');
SELECT pg_temp.r('POST', '/Users', '{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", "urn:acme:hr:2.0:User"], "userName": "bob", "urn:acme:hr:2.0:User": {"badge": "b1"}}');
SELECT pg_temp.r('POST', '/Users', '{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", "urn:acme:hr:2.0:User"], "userName": "bob", "urn:acme:hr:2.0:User": {"grade": 1}}');
SELECT pg_temp.r('POST', '/Users', '{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "bob"}');
SELECT pg_temp.r('POST', '/Groups', '{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "g"}');
SELECT pg_temp.r('POST', '/Groups', '{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group", "urn:acme:team:2.0:Group"], "displayName": "g", "urn:acme:team:2.0:Group": {"budget": 12.50}}');
SELECT id AS ann FROM scim.users WHERE tenant = 'types' AND user_name = 'ann' \gset
SELECT id AS g FROM scim.groups WHERE tenant = 'types' \gset
SELECT pg_temp.r('POST', '/Devices', pg_temp.device('S1', jsonb_build_object('externalId', 'x1', 'model', 'M', 'color', 'red', 'ports', '[1, 2]'::jsonb, 'weight', 1.50, 'count', 7, 'bought', '2024-02-29T12:00:00+01:00',
	'on', true, 'key', 'aGVsbG8=', 'pin', 'secret', 'maker', 'm', 'state', 'ignored', 'notes', 'n', 'label', 'l', 'page', 'https://example.org/', 'place', '{"room": "r", "floor": 3, "code": "C"}'::jsonb,
	'owner', jsonb_build_object('value', :'ann'), 'users', jsonb_build_array(jsonb_build_object('value', :'ann'), jsonb_build_object('value', :'g')),
	'disks', '[{"value": "d1", "size": 10, "primary": true, "since": "2020-01-01T00:00:00Z"}, {"value": "d2", "size": 20}]'::jsonb)));
SELECT id AS d1 FROM scim.resources WHERE tenant = 'types' \gset
SELECT pg_temp.r('POST', '/Devices', pg_temp.device('S2', jsonb_build_object('ports', '[2, 3]'::jsonb, 'bought', '2024-02-29T12:00:00-01:00', 'parts', jsonb_build_array(jsonb_build_object('value', :'d1')))));
SELECT pg_temp.r('POST', '/Devices', pg_temp.device('S3', '{"place": {"code": "c"}, "on": false}'));
SELECT id AS d2 FROM scim.resources WHERE tenant = 'types' AND attributes ->> 'serial' = 'S2' \gset
SELECT pg_temp.r('GET', '/Devices/' || :'d1');
SELECT pg_temp.r('GET', '/Devices/' || :'d1' || '?attributes=urn:acme:lease:2.0:Device:contract,place.room,notes,pin');
SELECT pg_temp.r('GET', '/Devices/' || :'d1' || '?attributes=urn:acme:lease:2.0:Device');
SELECT pg_temp.r('GET', '/Devices/' || :'d1' || '?excludedAttributes=disks,users,owner,place,label,urn:acme:lease:2.0:Device');
SELECT attributes ->> 'pin' AS kept, attributes ? 'state' AS read_only FROM scim.resources WHERE id = :'d1';
-- at an endpoint without the extensions the same user has none
SELECT pg_temp.r('GET', '/Users/' || :'ann', e => 'plain');
SELECT pg_temp.r('GET', '/Devices/' || :'d1', e => 'strict');

-- ---- refused ----
SELECT pg_temp.r('POST', '/Devices', pg_temp.device('s1'));
SELECT pg_temp.r('POST', '/Devices', pg_temp.device('S9', '{"urn:acme:lease:2.0:Device": {"contract": "KS1"}}'));
SELECT pg_temp.r('POST', '/Devices', pg_temp.device('S9', '{"place": {"code": "C"}}'));
SELECT pg_temp.r('POST', '/Devices', pg_temp.device('S9', '{"disks": [{"value": "x"}, {"value": "D2"}]}'));
SELECT pg_temp.r('POST', '/Devices', pg_temp.device('S9') - 'serial');
SELECT pg_temp.r('POST', '/Devices', pg_temp.device('S9') - 'urn:acme:lease:2.0:Device');
SELECT pg_temp.r('POST', '/Devices', pg_temp.device('S9', '{"owner": {"value": "11111111-2222-4333-8444-555555555555"}}'));
SELECT pg_temp.r('POST', '/Devices', pg_temp.device('S9', '{"users": [{"value": "nobody"}]}'));
SELECT pg_temp.r('POST', '/Devices', pg_temp.device('S9', '{"count": 1.5}'));
SELECT pg_temp.r('POST', '/Devices', pg_temp.device('S9', '{"bought": "yesterday"}'));
SELECT pg_temp.r('POST', '/Devices', pg_temp.device('S9', '{"disks": [{"value": "a", "primary": true}, {"value": "b", "primary": true}]}'));
SELECT count(*) FROM scim.resources WHERE tenant = 'types';
-- another tenant is another world
SELECT left(pg_temp.r('POST', '/Devices', pg_temp.device('S1'), 'strict'), 3);
SELECT pg_temp.r('POST', '/Devices', pg_temp.device('S5', jsonb_build_object('owner', jsonb_build_object('value', :'ann'))), 'strict');

-- ---- filters, order, pages ----
SELECT f, pg_temp.found(f, '{"sortBy": "serial"}') FROM unnest(ARRAY['serial eq "s1"', 'serial ne "s1"', 'serial sw "s"', 'serial ew "2"', 'serial co "s"', 'serial gt "s1"', 'serial le "S2"', 'model eq "m"', 'model eq "M"', 'model pr', 'not (model pr)',
	'ports eq 2', 'ports gt 2', 'ports eq 1 and ports eq 3', 'weight eq 1.5', 'weight lt 2', 'count ge 7', 'bought eq "2024-02-29T11:00:00Z"', 'bought gt "2024-02-29T11:00:00Z"', 'on eq true', 'on eq false', 'on ne true', 'key eq "aGVsbG8="',
	'page co "example"', 'place.floor gt 2 and place.room eq "R"', 'place[floor eq 3 and room eq "r"]', 'place pr', 'owner.value pr', 'users.type eq "Group"', 'users[type eq "User"]', 'parts pr', 'disks[value eq "d2" and size gt 15]', 'disks[value eq "d1" and size gt 15]',
	'disks[not (value eq "d1")]', 'disks[primary eq true]', 'disks.since gt "2019-12-31T23:00:00-02:00"', 'externalId eq "x1"', 'urn:acme:lease:2.0:Device:contract eq "KS2"', 'urn:acme:lease:2.0:Device:until pr', 'schemas eq "urn:acme:lease:2.0:Device"',
	'meta.resourceType eq "Device"', 'urn:acme:2.0:Device:serial eq "S3"', 'pin eq "secret"', 'nothing pr', 'count eq "7"']) f;
SELECT f, pg_temp.found(f, p => '/Users') FROM unnest(ARRAY['urn:acme:hr:2.0:User:badge eq "b1"', 'urn:acme:hr:2.0:User:grade ge 7', 'urn:acme:hr:2.0:User:skills[value eq "sql" and level eq 5]', 'urn:acme:hr:2.0:User:skills[value eq "c" and level eq 5]']) f;
SELECT pg_temp.found('urn:acme:hr:2.0:User:grade ge 7', e => 'plain', p => '/Users');
SELECT s, pg_temp.found('serial pr', jsonb_build_object('sortBy', s)::text), pg_temp.found('serial pr', jsonb_build_object('sortBy', s, 'sortOrder', 'descending')::text)
	FROM unnest('{serial,ports,bought,on,place.code,urn:acme:lease:2.0:Device:contract}'::text[]) s;
SELECT pg_temp.found('serial pr', '{"sortBy": "bought", "count": 1, "startIndex": 2}');
-- at the base
SELECT pg_temp.found('serial eq "S1" or userName eq "ann" or displayName eq "g"', p => '');
-- nothing is filtered by hand: it is one statement
SELECT split_part(s, E'\n', 1) ~ 'jsonb_array_elements' AND s ~ 'resource_type' FROM scim.explain('types', 'Device', 'disks[value eq "d1" and size gt 5]') s LIMIT 1;

-- who has a unique value is found by an index
SELECT f, bool_or(s ~ 'Index .*_unique_values') FROM unnest(ARRAY['serial eq "s1"', 'disks[value eq "D1" and size eq 10]', 'urn:acme:lease:2.0:Device:contract eq "x"', 'serial ne "s1"', 'model eq "M"']) f, scim.explain('types', 'Device', f) s GROUP BY f ORDER BY f;
SELECT * FROM scim.check_mapping('devices');

-- ---- change ----
SELECT pg_temp.r('PATCH', '/Devices/' || :'d1' || '?attributes=place,disks,users,owner,urn:acme:lease:2.0:Device,meta.version', pg_temp.patch('{"op": "replace", "path": "place.floor", "value": 4}', '{"op": "add", "path": "disks", "value": [{"value": "d3", "size": 30}]}', '{"op": "remove", "path": "disks[value eq \"d1\"]"}',
	'{"op": "replace", "path": "disks[value eq \"d2\"].size", "value": 21}', '{"op": "replace", "path": "urn:acme:lease:2.0:Device:tags", "value": ["a", "b"]}', '{"op": "remove", "path": "owner"}'));
SELECT pg_temp.r('PATCH', '/Devices/' || :'d1' || '?attributes=users,parts,meta.version', pg_temp.patch(jsonb_build_object('op', 'remove', 'path', format('users[value eq "%s"]', :'g')), jsonb_build_object('op', 'add', 'path', 'parts', 'value', jsonb_build_array(jsonb_build_object('value', :'d2')))));
SELECT pg_temp.r('PATCH', '/Devices/' || :'d1' || '?attributes=meta.version', pg_temp.patch('{"op": "replace", "path": "place.floor", "value": 4}'));
SELECT pg_temp.r('PATCH', '/Devices/' || :'d1', pg_temp.patch('{"op": "replace", "path": "maker", "value": "other"}'));
SELECT pg_temp.r('PATCH', '/Devices/' || :'d1', pg_temp.patch('{"op": "replace", "path": "state", "value": "other"}'));
SELECT pg_temp.r('PATCH', '/Devices/' || :'d1', pg_temp.patch('{"op": "remove", "path": "serial"}'));
SELECT pg_temp.r('PATCH', '/Devices/' || :'d1', pg_temp.patch('{"op": "remove", "path": "urn:acme:lease:2.0:Device"}'));
SELECT pg_temp.r('PATCH', '/Devices/' || :'d1', pg_temp.patch('{"op": "replace", "path": "serial", "value": "S2"}'));
SELECT pg_temp.r('PUT', '/Devices/' || :'d1', pg_temp.device('S1b', '{"maker": "m", "place": {"floor": 9}}'));
SELECT pg_temp.r('PATCH', '/Users/' || :'ann' || '?attributes=urn:acme:hr:2.0:User,meta.version', pg_temp.patch('{"op": "replace", "value": {"urn:acme:hr:2.0:User:grade": 8}}', '{"op": "replace", "path": "urn:acme:hr:2.0:User:skills[value eq \"c\"].level", "value": 6}'));
-- who does not know of the extension leaves it as it is
SELECT left(pg_temp.r('PUT', '/Users/' || :'ann', '{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ann", "title": "t"}', 'plain'), 3);
SELECT pg_temp.r('GET', '/Users/' || :'ann' || '?attributes=title,urn:acme:hr:2.0:User:badge');
-- values that have gone are free
SELECT left(pg_temp.r('POST', '/Devices', pg_temp.device('s1', '{"disks": [{"value": "d1"}], "place": {"code": "C"}}')), 3);

-- ---- Bulk, references in a circle ----
SELECT pg_temp.r('POST', '/Bulk', jsonb_build_object('schemas', ARRAY['urn:ietf:params:scim:api:messages:2.0:BulkRequest'], 'Operations', jsonb_build_array(
	jsonb_build_object('method', 'POST', 'path', '/Devices', 'bulkId', 'a', 'data', pg_temp.device('B1', '{"parts": [{"value": "bulkId:b"}], "owner": {"value": "bulkId:u"}}')),
	jsonb_build_object('method', 'POST', 'path', '/Devices', 'bulkId', 'b', 'data', pg_temp.device('B2', '{"parts": [{"value": "bulkId:a"}]}')),
	jsonb_build_object('method', 'POST', 'path', '/Users', 'bulkId', 'u', 'data', '{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", "urn:acme:hr:2.0:User"], "userName": "bulk", "urn:acme:hr:2.0:User": {"badge": "bulk"}}'::jsonb),
	jsonb_build_object('method', 'POST', 'path', '/Devices', 'bulkId', 'c', 'data', pg_temp.device('b1')))));
SELECT pg_temp.found('parts pr', '{"sortBy": "serial"}'), pg_temp.found('owner pr');
SELECT resource_type, method, status, attributes FROM (SELECT * FROM scim.audit_log WHERE endpoint = 'types' AND resource_type = 'Device' ORDER BY at DESC LIMIT 3) a ORDER BY status DESC, attributes::text DESC;

-- ---- what is referred to goes ----
SELECT pg_temp.r('PATCH', '/Devices/' || :'d2' || '?attributes=users,parts,meta.version', pg_temp.patch(jsonb_build_object('op', 'replace', 'path', 'users', 'value', jsonb_build_array(jsonb_build_object('value', :'ann')))));
SELECT left(pg_temp.r('DELETE', '/Users/' || :'ann'), 3), left(pg_temp.r('DELETE', '/Devices/' || :'d1'), 3);
SELECT pg_temp.r('GET', '/Devices/' || :'d2' || '?attributes=users,parts,meta.version');
SELECT pg_temp.r('GET', '/Devices/' || :'d1');
SELECT attribute, count(*) FROM scim._unique_values WHERE tenant = 'types' GROUP BY 1 ORDER BY 1;
SELECT count(*) AS not_right FROM scim._unique_values v WHERE NOT EXISTS (SELECT 1 FROM scim.resources r WHERE r.id = v.resource_id UNION ALL SELECT 1 FROM scim.users u WHERE u.id = v.resource_id);

-- ---- a type changes, and goes ----
SELECT scim.alter_resource_type('device', extensions => '{"urn:acme:lease:2.0:Device": null}');
SELECT scim.alter_resource_type('Device', extensions => '{"urn:acme:lease:2.0:Device": false}', endpoint => '/Gadgets', description => 'A gadget');
SELECT scim.alter_resource_type('Device', endpoint => '/Me');
SELECT scim.alter_resource_type('Gadget');
SELECT jsonb_path_query(h.body::jsonb, '$.Resources[*] ? (@.id == "Device")') - '{meta,schemas}'::text[] FROM scim.handle('types', 'GET', '/ResourceTypes') h;
SELECT left(pg_temp.r('POST', '/Gadgets', pg_temp.device('G1') - 'urn:acme:lease:2.0:Device'), 3);
SELECT left(pg_temp.r('GET', '/Devices'), 3);
SELECT scim.drop_resource_type('Device');
SELECT scim.drop_resource_type('User');
SELECT scim.drop_mapping('devices');
SELECT scim.drop_mapping('acme_users');
SELECT scim.set_mappings('types', '{users,nothing}');
SELECT scim.set_mappings('types', '{users,acme_users}');
SELECT scim.set_mappings('types', '{}');
SELECT scim.set_mappings('none', '{users}');
SELECT scim.set_mappings('types', '{users,groups}'), scim.set_mappings('strict', '{users,groups}');
SELECT left(pg_temp.r('GET', '/Gadgets'), 3), left(pg_temp.r('GET', '/Users'), 3);
SELECT scim.drop_mapping('acme_users'), scim.drop_mapping('acme_groups');
SELECT scim.drop_resource_type('Device');
DELETE FROM scim.resources;
SELECT scim.drop_resource_type('Device');
SELECT scim.create_resource_type('Device', 'urn:acme:2.0:Device', extensions => '{"urn:acme:lease:2.0:Device": false}');
SELECT scim.alter_resource_type('Device', extensions => '{"urn:acme:lease:2.0:Device": null}');
SELECT scim.drop_resource_type('Device');
SELECT scim.drop_schema(s) FROM unnest('{urn:acme:2.0:Device,urn:acme:lease:2.0:Device,urn:acme:hr:2.0:User,urn:acme:team:2.0:Group}'::text[]) s;
SELECT count(*) FROM scim._unique_attributes;

-- ---- a wide type: no statement grows faster than its attributes ----
SELECT scim.create_schema(jsonb_build_object('id', 'urn:acme:wider:2.0:Wider', 'name', 'Wider', 'attributes', (SELECT jsonb_agg(jsonb_build_object('name', 'a' || i)) FROM generate_series(1, 1001) i)));
SELECT scim.create_resource_type('Wider', 'urn:acme:wider:2.0:Wider');
SELECT scim.create_schema(jsonb_build_object('id', 'urn:acme:wide:2.0:Wide', 'name', 'Wide', 'attributes', (SELECT jsonb_agg(jsonb_build_object('name', 'a' || i)) FROM generate_series(1, 600) i)));
SELECT scim.create_resource_type('Wide', 'urn:acme:wide:2.0:Wide');
SELECT scim.create_endpoint('wide', mappings => '{wides}');
SET statement_timeout = '20s';
SELECT left(pg_temp.r('POST', '/Wides', (SELECT jsonb_object_agg('a' || i, i::text) FROM generate_series(1, 600) i) || '{"schemas": ["urn:acme:wide:2.0:Wide"]}', 'wide'), 3);
SELECT left(pg_temp.r('PATCH', '/Wides/' || (SELECT id FROM scim.resources) || '?attributes=a1', pg_temp.patch((SELECT jsonb_build_object('op', 'replace', 'value', jsonb_object_agg('a' || i, 'x')) FROM generate_series(1, 600) i), '{"op": "remove", "path": "a2"}'), 'wide'), 3);
SELECT left(pg_temp.r('PATCH', '/Wides/' || (SELECT id FROM scim.resources), pg_temp.patch((SELECT jsonb_build_object('op', 'replace', 'value', jsonb_object_agg('a' || i, NULL)) FROM generate_series(5, 600) i)), 'wide'), 3);
RESET statement_timeout;
SELECT (SELECT count(*) FROM jsonb_object_keys(attributes)) FROM scim.resources;
SELECT scim.drop_endpoint(e) FROM unnest('{types,plain,strict,wide}'::text[]) e;
DELETE FROM scim.resources;
DELETE FROM scim.users WHERE tenant = 'types';
DELETE FROM scim.groups WHERE tenant = 'types';
SELECT scim.drop_resource_type('Wide');
SELECT scim.drop_schema('urn:acme:wide:2.0:Wide'), scim.drop_schema('urn:acme:wider:2.0:Wider');
