-- What Microsoft Entra ID sends, through scim.handle: the same answers as over
-- HTTP (test/t/001_entra.pl).  Ids, times and versions are masked.
\set VERBOSITY terse
SET client_min_messages = warning;
SELECT scim.setup();
SELECT scim.create_endpoint('entra', base_path => '/api/v2/scim', public_url => 'https://id.example.com/api/v2/scim');

CREATE FUNCTION pg_temp.send(method text, path text, body text DEFAULT NULL, OUT status int, OUT answer text)
	LANGUAGE plpgsql AS $$
DECLARE
	u uuid := (SELECT id FROM scim.users WHERE tenant = 'entra' AND user_name = 'ann@contoso.com');
	m uuid := (SELECT id FROM scim.users WHERE tenant = 'entra' AND user_name = 'max@contoso.com');
	g uuid := (SELECT id FROM scim.groups WHERE tenant = 'entra');
BEGIN
	SELECT h.status, h.body INTO send.status, answer
	  FROM scim.handle('entra', method,
		replace(replace(path, '<user>', coalesce(u::text, '')), '<group>', coalesce(g::text, '')),
		'{"Content-Type": "application/scim+json; charset=utf-8"}',
		replace(replace(replace(body, '<user>', coalesce(u::text, '')), '<group>', coalesce(g::text, '')), '<manager>', coalesce(m::text, ''))) h;
	answer := regexp_replace(answer, '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}', '*', 'g');
	answer := regexp_replace(answer, '"\d{4}-\d\d-\d\dT[\d:.]+Z"', '"*"', 'g');
END
$$;
CREATE VIEW pg_temp.state AS
	SELECT user_name, active, title, name_formatted, nick_name, employee_number, e.value AS work, version
	  FROM scim.users u LEFT JOIN scim.user_emails e ON e.tenant = u.tenant AND e.user_id = u.id AND e.type = 'work'
	 WHERE u.tenant = 'entra' ORDER BY 1;

-- Test Connection: a random GUID; 200 and an empty list
SELECT * FROM pg_temp.send('GET', '/Users?filter=userName+eq+%223e59e27b-8f6c-4c9b-a6b6-5e0d3c4a0c11%22');
-- a query flag in the tenant URL is no obstacle
SELECT * FROM pg_temp.send('GET', '/Users?aadOptscim062020&filter=userName+eq+%22nobody%22');
-- match
SELECT * FROM pg_temp.send('GET', '/Users?filter=emails%5Btype%20eq%20%22work%22%5D.value%20eq%20%22ann@contoso.com%22');
-- create, with the five attributes of the reference mapping
SELECT * FROM pg_temp.send('POST', '/Users', '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],
	"externalId":"0a21f0f2","userName":"ann@contoso.com","active":true,"title":"Engineer",
	"emails":[{"primary":true,"type":"work","value":"ann@contoso.com"}],"meta":{"resourceType":"User"},"name":{"formatted":"Ann Example"},"roles":[]}');
SELECT * FROM pg_temp.state;
-- again: 409
SELECT * FROM pg_temp.send('POST', '/Users', '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"Ann@Contoso.com"}');
-- a manager, sent as a bare string; an extension that schemas does not name
SELECT status FROM pg_temp.send('POST', '/Users', '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"max@contoso.com","active":true,
	"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"employeeNumber":"1"}}');
SELECT * FROM pg_temp.send('GET', '/Users/<user>');

-- updates, default mode: capitalised, one operation for each attribute
SELECT status FROM pg_temp.send('PATCH', '/Users/<user>', '{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[
	{"op":"Replace","path":"emails[type eq \"work\"].value","value":"ann.new@contoso.com"},
	{"op":"Replace","path":"title","value":"Senior Engineer"},
	{"op":"Add","path":"nickName","value":"Annie"},
	{"op":"Replace","path":"name.formatted","value":"Ann B. Example"},
	{"op":"Replace","path":"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber","value":"42"},
	{"op":"Add","path":"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager","value":"<manager>"}]}');
SELECT * FROM pg_temp.state;
SELECT u.manager_id::uuid = m.id AS manager_is_max FROM scim.users u, scim.users m
 WHERE u.tenant = 'entra' AND m.tenant = 'entra' AND u.user_name = 'ann@contoso.com' AND m.user_name = 'max@contoso.com';
-- the same again: nothing changes, the version stays
SELECT status FROM pg_temp.send('PATCH', '/Users/<user>', '{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"Replace","path":"title","value":"Senior Engineer"}]}');
SELECT version FROM pg_temp.state WHERE user_name = 'ann@contoso.com';
-- updates, aadOptscim062020: one path-less operation with dotted and URN keys
SELECT status FROM pg_temp.send('PATCH', '/Users/<user>', '{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[
	{"op":"replace","value":{"title":"Principal","name.formatted":"Ann C. Example","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber":"43"}},
	{"op":"replace","path":"emails[type eq \"work\"].value","value":"ann@contoso.com"}]}');
SELECT * FROM pg_temp.state;
-- roles, as an expression and as JSON inside a string
SELECT status FROM pg_temp.send('PATCH', '/Users/<user>', '{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[
	{"op":"Add","path":"roles","value":[{"value":"{\"id\":\"1\",\"value\":\"Admin\",\"displayName\":\"Admin\"}"}]}]}');
SELECT status FROM pg_temp.send('PATCH', '/Users/<user>', '{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[
	{"op":"Replace","path":"roles[primary eq \"True\"].value","value":"Owner"}]}');
SELECT value, is_primary FROM scim.user_roles WHERE tenant = 'entra' ORDER BY 1;
-- disable, as a string and as a boolean; it stays visible; restore
SELECT status FROM pg_temp.send('PATCH', '/Users/<user>', '{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"Replace","path":"active","value":"False"}]}');
SELECT user_name, active FROM pg_temp.state;
SELECT status, answer::jsonb -> 'totalResults' AS found FROM pg_temp.send('GET', '/Users?filter=userName+eq+%22ann@contoso.com%22');
SELECT status FROM pg_temp.send('PATCH', '/Users/<user>', '{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"Replace","path":"active","value":"True"}]}');
SELECT status FROM pg_temp.send('PATCH', '/Users/<user>', '{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","path":"active","value":false}]}');
SELECT user_name, active FROM pg_temp.state;
SELECT status FROM pg_temp.send('PATCH', '/Users/<user>', '{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","path":"active","value":true}]}');
-- what does not turn anybody off is a 400 that says so
SELECT * FROM pg_temp.send('PATCH', '/Users/<user>', '{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"Replace","path":"active","value":"no"}]}');
-- an empty list of operations
SELECT status FROM pg_temp.send('PATCH', '/Users/<user>', '{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[]}');

-- groups
SELECT * FROM pg_temp.send('GET', '/Groups?excludedAttributes=members&filter=displayName+eq+%22Engineering%22');
SELECT * FROM pg_temp.send('POST', '/Groups', '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group","http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],
	"externalId":"8aa1a0c0","displayName":"Engineering","meta":{"resourceType":"Group"}}');
SELECT status FROM pg_temp.send('PATCH', '/Groups/<group>', '{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"Add","path":"members","value":[{"$ref":null,"value":"<user>"},{"$ref":null,"value":"<manager>"}]}]}');
SELECT g.display_name, u.user_name FROM scim.groups g JOIN scim.group_members m ON (m.tenant, m.group_id) = (g.tenant, g.id)
	JOIN scim.users u ON (u.tenant, u.id) = (m.tenant, m.user_id) WHERE g.tenant = 'entra' ORDER BY 2;
-- the reference probe
SELECT status, answer::jsonb -> 'totalResults' AS found FROM pg_temp.send('GET', '/Groups?excludedAttributes=members&filter=id+eq+%22<group>%22+and+members+eq+%22<user>%22');
-- removal with a value list takes those listed, and nobody else
SELECT status FROM pg_temp.send('PATCH', '/Groups/<group>', '{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"Remove","path":"members","value":[{"$ref":null,"value":"<user>"}]}]}');
SELECT u.user_name FROM scim.group_members m JOIN scim.users u ON (u.tenant, u.id) = (m.tenant, m.user_id) WHERE m.tenant = 'entra' ORDER BY 1;
SELECT status, answer::jsonb -> 'totalResults' AS found FROM pg_temp.send('GET', '/Groups?filter=id+eq+%22<group>%22+and+members+eq+%22<user>%22');
-- the other form
SELECT status FROM pg_temp.send('PATCH', '/Groups/<group>', '{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"add","path":"members","value":[{"value":"<user>"}]}]}');
SELECT status FROM pg_temp.send('PATCH', '/Groups/<group>', '{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"remove","path":"members[value eq \"<user>\"]"}]}');
SELECT u.user_name FROM scim.group_members m JOIN scim.users u ON (u.tenant, u.id) = (m.tenant, m.user_id) WHERE m.tenant = 'entra' ORDER BY 1;
SELECT * FROM pg_temp.send('GET', '/Groups/<group>?excludedAttributes=members');
SELECT status FROM pg_temp.send('PATCH', '/Groups/<group>', '{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"Replace","path":"displayName","value":"Platform"}]}');
SELECT display_name, version FROM scim.groups WHERE tenant = 'entra';

-- delete
SELECT status FROM pg_temp.send('DELETE', '/Groups/<group>');
SELECT status FROM pg_temp.send('DELETE', '/Users/<user>');
SELECT * FROM pg_temp.send('DELETE', '/Users/00000000-0000-0000-0000-000000000000');
SELECT user_name FROM pg_temp.state;

DELETE FROM scim.users WHERE tenant = 'entra';
SELECT scim.drop_endpoint('entra');
