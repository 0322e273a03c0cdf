-- A table that exists already, as an endpoint.
\set VERBOSITY terse
SET client_min_messages = warning;
SELECT scim.setup();
CREATE ROLE scim_regress_app;
CREATE SCHEMA app AUTHORIZATION scim_regress_app;
SET ROLE scim_regress_app;
CREATE TABLE app.users (
	id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
	org_id int NOT NULL,
	login text NOT NULL,
	disabled boolean NOT NULL DEFAULT false,
	job_title varchar(20),
	full_name text,
	email text,
	shoe_size int,
	UNIQUE (org_id, login)
);
CREATE TABLE app.user_phones (user_id int REFERENCES app.users ON DELETE CASCADE, number text NOT NULL, kind text);
CREATE TABLE app.teams (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, org_id int NOT NULL, name text NOT NULL);
CREATE TABLE app.team_members (team_id int REFERENCES app.teams ON DELETE CASCADE, user_id int REFERENCES app.users ON DELETE CASCADE);
RESET ROLE;

-- what is wrong is said at once
SELECT scim.create_mapping('app_users', 'User', 'app.users', attributes => '{"userName": "login"}');
SELECT scim.create_mapping('app_users', 'Robot', 'app.users', attributes => '{"userName": "login"}', owner => 'scim_regress_app');
SELECT scim.create_mapping('app_users', 'User', 'app.users', attributes => '{"shoeSize": "shoe_size"}', owner => 'scim_regress_app');
SELECT scim.create_mapping('app_users', 'User', 'app.users', attributes => '{"userName": "nothing"}', owner => 'scim_regress_app');
SELECT scim.create_mapping('app_users', 'User', 'app.users', attributes => '{"userName": "login) FROM app.users; DROP TABLE app.users; --"}', owner => 'scim_regress_app');
SELECT scim.create_mapping('app_users', 'User', 'app.users', attributes => '{"userName": "(SELECT login)"}', owner => 'scim_regress_app') IS NOT NULL AS made;
SELECT scim.drop_mapping('app_users');
SELECT scim.create_mapping('app_users', 'User', 'app.users', attributes => '{"id": "login"}', owner => 'scim_regress_app');
SELECT scim.create_mapping('app_users', 'User', 'app.users', attributes => '{"userName": {"table": "app.user_phones"}}', owner => 'scim_regress_app');
SELECT scim.create_mapping('app_users', 'User', 'app.users', attributes => '{"phoneNumbers": {"table": "user_phones"}}', owner => 'scim_regress_app');
SELECT scim.create_mapping('app_users', 'User', 'app.users', attributes => '{"phoneNumbers": {"table": "app.user_phones", "parent": "nobody"}}', owner => 'scim_regress_app');

SELECT scim.create_mapping('app_users', 'User', 'app.users', attributes => '{
	"userName": "login",
	"active": "NOT disabled",
	"title": "job_title",
	"name.formatted": "full_name",
	"displayName": "upper(full_name)",
	"emails[type eq \"work\"].value": "email",
	"phoneNumbers": {"table": "app.user_phones", "parent": "user_id", "columns": {"value": "number", "type": "kind"}}
}', owner => 'scim_regress_app');
SELECT scim.create_mapping('app_teams', 'Group', 'app.teams', attributes => '{
	"displayName": "name",
	"members": {"table": "app.team_members", "parent": "team_id", "ref": "user_id", "type": "User"}
}', owner => 'scim_regress_app');
SELECT scim.create_endpoint('org42', mappings => '{app_users,app_teams}', scope => '{"nothing": 42}');
SELECT scim.create_endpoint('org42', mappings => '{app_users,app_teams}', scope => '{"org_id": 42}', public_url => 'https://x/42');
SELECT scim.create_endpoint('org43', mappings => '{app_users,app_teams}', scope => '{"org_id": 43}', public_url => 'https://x/43');
SELECT scim.create_endpoint('mixed', mappings => '{app_users,groups}', scope => '{"org_id": 43}');

CREATE FUNCTION pg_temp.call(endpoint text, method text, path text, body text DEFAULT NULL, OUT status int, OUT answer text)
	LANGUAGE sql AS $$
	SELECT h.status, regexp_replace(regexp_replace(h.body, '"version":"W/\\"[\d.]+\\""', '"version":"W/\"*\""', 'g'), '"created":"[^"]*","lastModified":"[^"]*"', '"created":*,"lastModified":*', 'g')
	  FROM scim.handle(endpoint, method, path, '{}', body) h
$$;
SELECT * FROM pg_temp.call('org42', 'POST', '/Users', '{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
	"userName": "bjensen", "active": true, "title": "Boss", "name": {"formatted": "Barbara Jensen"},
	"emails": [{"type": "work", "value": "b@example.com"}],
	"phoneNumbers": [{"value": "+1", "type": "work"}, {"value": "+2", "type": "home"}]}');
SELECT * FROM app.users;
SELECT * FROM app.user_phones ORDER BY number;
-- the same name again, here and in the other tenant
SELECT * FROM pg_temp.call('org42', 'POST', '/Users', '{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "bjensen"}');
SELECT * FROM pg_temp.call('org43', 'POST', '/Users', '{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "bjensen"}');
-- tenants are apart
SELECT * FROM pg_temp.call('org43', 'GET', '/Users/1');
SELECT * FROM pg_temp.call('org43', 'DELETE', '/Users/1');
SELECT * FROM pg_temp.call('org43', 'GET', '/Users?filter=emails.value%20pr');
-- too long for the column: a 400 that names it
SELECT * FROM pg_temp.call('org42', 'PATCH', '/Users/1', '{"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
	"Operations": [{"op": "replace", "path": "title", "value": "a title of more than twenty letters"}]}');
SELECT * FROM pg_temp.call('org42', 'PATCH', '/Users/1', '{"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
	"Operations": [{"op": "Replace", "path": "active", "value": "False"},
		{"op": "Replace", "path": "emails[type eq \"work\"].value", "value": "bj@example.com"},
		{"op": "Remove", "path": "phoneNumbers[type eq \"home\"]"}]}');
SELECT * FROM app.users ORDER BY id;
SELECT * FROM app.user_phones ORDER BY number;
-- filters over columns, expressions, slots, child rows
SELECT f, c.* FROM unnest(ARRAY['userName%20eq%20%22BJENSEN%22', 'active%20eq%20false', 'active%20eq%20true', 'displayName%20co%20%22barbara%22',
	'emails%5Btype%20eq%20%22work%22%20and%20value%20sw%20%22BJ%22%5D', 'emails%5Btype%20eq%20%22home%22%5D', 'phoneNumbers.value%20eq%20%22%2B1%22',
	'phoneNumbers.value%20eq%20%22%2B2%22', 'id%20eq%20%221%22', 'id%20eq%20%2201%22', 'shoeSize%20eq%201']) f,
	pg_temp.call('org42', 'GET', '/Users?attributes=userName&filter=' || f) c;
-- groups: links, read from both sides
SELECT * FROM pg_temp.call('org42', 'POST', '/Groups', '{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "T", "members": [{"value": "1"}]}');
SELECT * FROM app.team_members;
SELECT * FROM pg_temp.call('org42', 'GET', '/Users/1?attributes=groups');
-- a member of the other tenant does not exist here
SELECT status, answer FROM pg_temp.call('org42', 'PATCH', '/Groups/1', '{"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
	"Operations": [{"op": "add", "path": "members", "value": [{"value": "3"}]}]}');
SELECT status FROM pg_temp.call('org42', 'PATCH', '/Groups/1', '{"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
	"Operations": [{"op": "Remove", "path": "members", "value": [{"value": "1"}]}]}');
SELECT * FROM app.team_members;
SELECT status FROM pg_temp.call('org42', 'DELETE', '/Users/1');
SELECT * FROM app.users;
-- a column goes: 503 that names it, and nothing else
BEGIN;
ALTER TABLE app.users DROP COLUMN job_title;
SELECT * FROM pg_temp.call('org43', 'GET', '/Users');
ROLLBACK;
SELECT status FROM pg_temp.call('org43', 'GET', '/Users');
SELECT scim.drop_mapping('app_users');
SELECT scim.drop_endpoint('org42'), scim.drop_endpoint('org43');
SELECT scim.drop_mapping('app_users'), scim.drop_mapping('app_teams');
DROP SCHEMA app CASCADE;
REVOKE ALL ON SCHEMA scim FROM scim_regress_app;
REVOKE ALL ON FUNCTION scim.fold(text) FROM scim_regress_app;
REVOKE ALL ON TABLE scim.resource_state FROM scim_regress_app;
DROP ROLE scim_regress_app;
