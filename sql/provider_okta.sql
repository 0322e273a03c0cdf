-- What Okta sends, through scim.handle: the same answers as over HTTP
-- (test/t/002_okta.pl).
\set VERBOSITY terse
SET client_min_messages = warning;
SELECT scim.setup();
SELECT scim.create_endpoint('okta', public_url => 'https://id.example.com/okta/scim/v2');
CREATE FUNCTION pg_temp.send(method text, path text, body text DEFAULT NULL, OUT status int, OUT answer text)
	LANGUAGE plpgsql AS $$
DECLARE
	u uuid := (SELECT id FROM scim.users WHERE tenant = 'okta' AND user_name = 'isaac@example.com');
	g uuid := (SELECT id FROM scim.groups WHERE tenant = 'okta');
BEGIN
	SELECT h.status, h.body INTO send.status, answer
	  FROM scim.handle('okta', method,
		replace(replace(path, '<user>', coalesce(u::text, '')), '<group>', coalesce(g::text, '')),
		'{"Content-Type": "application/scim+json; charset=utf-8", "Accept": "application/scim+json"}',
		replace(replace(body, '<user>', coalesce(u::text, '')), '<group>', coalesce(g::text, ''))) h;
	answer := regexp_replace(answer, '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}', '*', 'g');
	answer := regexp_replace(answer, '"\d{4}-\d\d-\d\dT[\d:.]+Z"', '"*"', 'g');
END
$$;
-- test credentials: numbers are numbers
SELECT * FROM pg_temp.send('GET', '/Users?startIndex=1&count=2');
SELECT * FROM pg_temp.send('GET', '/Groups?startIndex=1&count=100');
-- match, create
SELECT * FROM pg_temp.send('GET', '/Users?filter=userName%20eq%20%22isaac%40example.com%22&startIndex=1&count=100');
SELECT * FROM pg_temp.send('POST', '/Users', '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"isaac@example.com",
	"name":{"givenName":"Isaac","familyName":"Brock"},"emails":[{"primary":true,"value":"isaac@example.com","type":"work"}],
	"displayName":"Isaac Brock","locale":"en-US","externalId":"00ujl29u0le5T6Aj10h7","groups":[],"password":"1mz050nq","active":true}');
-- the password is nowhere
SELECT count(*) FROM scim.users u WHERE u::text LIKE '%1mz050nq%';
-- update, wizard mode: GET, then PUT of what was read, changed
SELECT status, answer FROM pg_temp.send('PUT', '/Users/<user>', (SELECT (h.body::jsonb || '{"displayName": "I. Brock", "unknown": 1}')::text
	FROM scim.handle('okta', 'GET', '/Users/' || (SELECT id FROM scim.users WHERE tenant = 'okta')) h));
-- what was only read changes nothing
SELECT h.body::jsonb -> 'meta' -> 'version' AS version FROM scim.users x,
	scim.handle('okta', 'GET', '/Users/' || x.id) g, scim.handle('okta', 'PUT', '/Users/' || x.id, '{}', g.body) h WHERE x.tenant = 'okta';
-- deactivate: path-less, and by PUT
SELECT status FROM pg_temp.send('PATCH', '/Users/<user>', '{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","value":{"active":false}}]}');
SELECT user_name, active FROM scim.users WHERE tenant = 'okta';
SELECT status FROM pg_temp.send('PATCH', '/Users/<user>', '{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","value":{"active":true}}]}');
SELECT status FROM pg_temp.send('PUT', '/Users/<user>', '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"id":"<user>","userName":"isaac@example.com","active":false,
	"name":{"givenName":"Isaac","familyName":"Brock"},"meta":{"resourceType":"User"},"groups":[]}');
SELECT user_name, active, display_name, (SELECT count(*) FROM scim.user_emails e WHERE e.tenant = u.tenant AND e.user_id = u.id) AS emails FROM scim.users u WHERE tenant = 'okta';
-- groups: create, rename with a read-only id, one PATCH that mixes, full push
SELECT status FROM pg_temp.send('POST', '/Groups', '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"Test SCIMv2","members":[]}');
SELECT status FROM pg_temp.send('PATCH', '/Groups/<group>', '{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","value":{"id":"<group>","displayName":"Renamed"}}]}');
SELECT status FROM pg_temp.send('PATCH', '/Groups/<group>', '{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[
	{"op":"remove","path":"members[value eq \"89bb1940-b905-4575-9e7f-6f887cfb368e\"]"},
	{"op":"add","path":"members","value":[{"value":"<user>","display":"isaac@example.com"}]}]}');
SELECT g.display_name, u.user_name FROM scim.groups g LEFT JOIN scim.group_members m ON (m.tenant, m.group_id) = (g.tenant, g.id)
	LEFT JOIN scim.users u ON (u.tenant, u.id) = (m.tenant, m.user_id) WHERE g.tenant = 'okta';
-- a member that exists nowhere is kept, because Okta does not push again
SELECT status FROM pg_temp.send('PATCH', '/Groups/<group>', '{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[
	{"op":"replace","path":"members","value":[{"value":"<user>"},{"value":"nobody"}]}]}');
SELECT value FROM scim.pending_members WHERE tenant = 'okta';
SELECT answer FROM pg_temp.send('GET', '/Groups/<group>');
SELECT answer FROM pg_temp.send('GET', '/Users/<user>?attributes=groups');
SELECT status FROM pg_temp.send('PUT', '/Groups/<group>', '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"Renamed","members":[]}');
SELECT (SELECT count(*) FROM scim.group_members WHERE tenant = 'okta') AS members, (SELECT count(*) FROM scim.pending_members WHERE tenant = 'okta') AS pending;
SELECT status FROM pg_temp.send('DELETE', '/Groups/<group>');
DELETE FROM scim.users WHERE tenant = 'okta';
SELECT scim.drop_endpoint('okta');
