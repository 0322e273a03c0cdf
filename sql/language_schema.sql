-- Validation, projection, schemas of users; fold.
\set VERBOSITY terse
SET client_min_messages = warning;
-- validation: names in the schema's spelling, what is not writable dropped
SELECT scim.validate('User', '{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "USERNAME": "ann", "id": "x", "meta": {}, "groups": [],
	"Emails": [{"Value": "a@b", "TYPE": "work"}, {"value": "a@b", "type": "work"}], "active": "True", "title": null, "shoeSize": 44}', 'compat');
SELECT scim.validate('User', '{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ann", "active": "True"}', 'strict');
SELECT scim.validate('User', '{"userName": "ann"}', 'strict');
SELECT scim.validate('User', '{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"]}', 'compat');
SELECT scim.validate('User', '{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": ""}', 'compat');
SELECT scim.validate('User', '{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "x", "name": "y"}', 'compat');
SELECT scim.validate('User', '{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "x", "emails": [{"value": "a", "primary": true}, {"value": "b", "primary": true}]}', 'compat');
SELECT scim.validate('User', '{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "x", "x509Certificates": [{"value": "***"}]}', 'compat');
SELECT scim.validate('User', '{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "x", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"manager": "u7"}}', 'compat');
SELECT scim.validate('Group', '{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "g", "members": [{"value": "u1", "$ref": null}]}', 'compat');
-- each call has the memory of a request
SELECT scim.validate('User', jsonb_build_object('userName', 'x', 'photos', (SELECT jsonb_agg(repeat('x', 250000)) FROM generate_series(1, 300))));

-- projection
SELECT p, scim.project('User', '{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "id": "u1", "userName": "ann", "password": "secret", "title": "T",
	"name": {"givenName": "Ann", "familyName": "E"}, "emails": [{"value": "a@b", "type": "work"}],
	"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"department": "D", "costCenter": "C"}}', p, NULL) AS attributes
  FROM (VALUES (NULL::text[]), ('{USERNAME}'), ('{name.givenName,emails.value}'), ('{password,nothing}'),
	('{urn:ietf:params:scim:schemas:extension:enterprise:2.0:User}'), ('{urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department}')) v(p);
SELECT scim.project('User', '{"schemas": ["x"], "id": "u1", "userName": "ann", "name": {"givenName": "Ann", "familyName": "E"}, "title": "T"}', NULL, '{id,title,name.familyName}');
SELECT scim.project('User', '{}', '{userName}', '{title}');

-- schemas: every type and characteristic; what is wrong is named
SELECT scim.create_schema('{"id": "urn:example:2.0:User", "name": "Example", "attributes": [
	{"name": "nick"},
	{"name": "level", "type": "integer"}, {"name": "score", "type": "decimal"}, {"name": "born", "type": "dateTime"},
	{"name": "vip", "type": "boolean"}, {"name": "photo", "type": "binary"}, {"name": "page", "type": "reference", "referenceTypes": ["external"]},
	{"name": "badge", "type": "string", "mutability": "immutable", "caseExact": true, "uniqueness": "server", "required": true},
	{"name": "pin", "type": "string", "mutability": "writeOnly", "returned": "never"},
	{"name": "tags", "type": "string", "multiValued": true, "canonicalValues": ["red", "blue"], "returned": "request"},
	{"name": "slots", "type": "complex", "multiValued": true, "subAttributes": [{"name": "value"}, {"name": "primary", "type": "boolean"}]}]}');
SELECT scim.validate('User', '{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", "urn:example:2.0:User"], "userName": "x",
	"urn:example:2.0:User": {"badge": "B", "level": 9007199254740993, "score": 0.1, "born": "2024-02-29T12:00:00+01:00", "tags": ["red"], "slots": [{"value": "a", "primary": true}]}}', 'strict');
SELECT scim.validate('User', '{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", "urn:example:2.0:User"], "userName": "x", "urn:example:2.0:User": {"level": 1}}', 'strict');
SELECT a, scim.validate('User', jsonb_build_object('schemas', '["urn:ietf:params:scim:schemas:core:2.0:User", "urn:example:2.0:User"]'::jsonb, 'userName', 'x',
	'urn:example:2.0:User', '{"badge": "B"}'::jsonb || a), 'strict') -> 'urn:example:2.0:User' AS kept
  FROM (VALUES ('{"level": 7}'::jsonb), ('{"born": "2024-02-29T12:00:00Z"}'), ('{"photo": "aGVsbG8"}'), ('{"page": "https://x"}')) v(a);
SELECT scim.validate('User', '{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", "urn:example:2.0:User"], "userName": "x", "urn:example:2.0:User": {"badge": "B", "level": 7.5}}', 'strict');
SELECT scim.validate('User', '{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", "urn:example:2.0:User"], "userName": "x", "urn:example:2.0:User": {"badge": "B", "born": "2023-02-29T00:00:00Z"}}', 'strict');
SELECT scim.validate('User', '{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", "urn:example:2.0:User"], "userName": "x", "urn:example:2.0:User": {"badge": "B", "photo": "***"}}', 'strict');
SELECT scim.create_schema('{"id": "urn:example:2.0:User", "attributes": []}');
SELECT scim.create_schema('{"id": "example", "attributes": []}');
SELECT scim.create_schema('{"id": "urn:example:bad:2.0:User", "attributes": [{"name": "1x"}]}');
SELECT scim.create_schema('{"id": "urn:example:bad:2.0:User", "attributes": [{"name": "a b"}]}');
SELECT scim.create_schema('{"id": "urn:example:bad:2.0:User", "attributes": [{"name": "a", "type": "number"}]}');
SELECT scim.create_schema('{"id": "urn:example:bad:2.0:User", "attributes": [{"name": "a"}, {"name": "A"}]}');
SELECT scim.create_schema('{"id": "urn:example:bad:2.0:User", "attributes": [{"name": "a", "type": "complex", "subAttributes": [{"name": "b", "type": "complex", "subAttributes": [{"name": "c"}]}]}]}');
SELECT scim.create_schema('{"id": "urn:example:bad:2.0:User", "attributes": [{"name": "a", "type": "complex", "subAttributes": [{"name": "primary"}]}]}');
SELECT scim.create_schema('{"id": "urn:example:bad:2.0:User", "attributes": [{"name": "a", "mutability": "sometimes"}]}');
SELECT scim.drop_schema('urn:example:2.0:User');
SELECT scim.drop_schema('urn:example:2.0:User');
SELECT scim.drop_schema('urn:ietf:params:scim:schemas:core:2.0:User');

-- a base schema is a resource type of its own, which others may extend
SELECT scim.create_schema('{"id": "urn:example:core:2.0:Device", "name": "Device", "description": "A thing", "attributes": [
	{"name": "serial", "required": true, "uniqueness": "server"}, {"name": "ports", "type": "integer", "multiValued": true},
	{"name": "place", "type": "complex", "subAttributes": [{"name": "room"}, {"name": "floor", "type": "integer"}]}]}');
SELECT scim.create_schema('{"id": "urn:example:extension:2.0:Device", "attributes": [{"name": "owner"}]}');
SELECT scim.validate('device', '{"schemas": ["urn:example:core:2.0:Device"], "SERIAL": "S1", "ports": [1, 2], "urn:example:extension:2.0:Device": {"owner": "o"}}', 'compat');
SELECT scim.validate('Device', '{"schemas": ["urn:example:core:2.0:Device"]}', 'compat');
SELECT scim.filter_matches('Device', '{"serial": "S1", "ports": [1, 2], "place": {"floor": 3}}', 'ports eq 2 and place.floor gt 2 and serial eq "s1"');
SELECT scim.patch_apply('Device', '{"schemas": ["urn:example:core:2.0:Device"], "serial": "S1"}', '{"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [{"op": "add", "path": "place.room", "value": "R"}]}', 'strict');
SELECT scim.drop_schema('urn:example:core:2.0:Device');
SELECT scim.drop_schema('urn:example:extension:2.0:Device'), scim.drop_schema('urn:example:core:2.0:Device');

-- fold: case, width, composition; nothing Turkic; the empty string
SELECT scim.fold('BJensen') AS ascii, scim.fold('Åsa') = scim.fold('ÅSA') AS composed, scim.fold('Straße') AS sharp_s, scim.fold('ＡＢＣ') AS wide,
	scim.fold('İ') = scim.fold('i') AS turkic, scim.fold('') AS empty, scim.fold(NULL) IS NULL AS strict;
SELECT count(*) AS not_idempotent FROM generate_series(1, 55295) i WHERE scim.fold(scim.fold(chr(i))) <> scim.fold(chr(i));
SELECT provolatile, proparallel, proisstrict FROM pg_proc WHERE oid = 'scim.fold(text)'::regprocedure;
