-- The row as a whole: which rows are resources, what else is written, how they go; references; tenants.
\set VERBOSITY terse
SET client_min_messages = warning;
SELECT scim.setup();
CREATE ROLE scim_regress_row;
CREATE SCHEMA rows AUTHORIZATION scim_regress_row;
CREATE FUNCTION pg_temp.call(endpoint text, method text, path text, body text DEFAULT NULL, OUT status int, OUT answer text)
	LANGUAGE sql AS $$
	SELECT h.status, regexp_replace(regexp_replace(h.body, ',?"meta":[{][^}]*[}]', '', 'g'), '"schemas":[[][^]]*[]],?', '', 'g')
	  FROM scim.handle(endpoint, method, path, '{}', body) h
$$;
CREATE FUNCTION pg_temp.user(endpoint text, method text, path text, attributes jsonb, OUT status int, OUT answer text)
	LANGUAGE sql AS $$
	SELECT c.* FROM pg_temp.call(endpoint, method, path, (attributes || '{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"]}')::text) c
$$;
CREATE FUNCTION pg_temp.group(endpoint text, method text, path text, attributes jsonb, OUT status int, OUT answer text)
	LANGUAGE sql AS $$
	SELECT c.* FROM pg_temp.call(endpoint, method, path, (attributes || '{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"]}')::text) c
$$;
CREATE FUNCTION pg_temp.patch(endpoint text, path text, operations jsonb, OUT status int, OUT answer text)
	LANGUAGE sql AS $$
	SELECT c.* FROM pg_temp.call(endpoint, 'PATCH', path, jsonb_build_object('schemas', '["urn:ietf:params:scim:api:messages:2.0:PatchOp"]'::jsonb, 'Operations', operations)::text) c
$$;

-- ---- marked as deleted, revived; discriminated; touched ----
SET ROLE scim_regress_row;
CREATE TABLE rows.account (
	id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
	kind text NOT NULL, login text NOT NULL, title text, enabled boolean NOT NULL DEFAULT true,
	origin text NOT NULL, touched int NOT NULL DEFAULT 0, deleted_at timestamptz,
	manager int REFERENCES rows.account, UNIQUE (login));
CREATE TABLE rows.account_mail (account int NOT NULL, mail text NOT NULL);
CREATE TABLE rows.club (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, name text NOT NULL, grade int NOT NULL DEFAULT 7, parent int REFERENCES rows.club);
CREATE TABLE rows.club_account (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, club int NOT NULL REFERENCES rows.club ON DELETE CASCADE, account int NOT NULL,
	role text NOT NULL, grade int NOT NULL, source text NOT NULL, removed boolean NOT NULL DEFAULT false);
RESET ROLE;
INSERT INTO rows.account (kind, login, origin) VALUES ('bot', 'robot', 'made');
SELECT scim.create_mapping('row_account', 'User', 'rows.account', attributes => '{"userName": "login", "title": "title", "active": "enabled",
	"emails": {"table": "rows.account_mail", "parent": "account", "columns": {"value": "mail"}},
	"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value": "manager"}', owner => 'scim_regress_row',
	options => '{"filter": "kind = ''human'' AND deleted_at IS NULL", "insert": {"kind": "''human''", "origin": "''scim of '' || current_user"},
		"touch": {"touched": "touched + 1"},
		"delete": {"set": {"deleted_at": "now()", "enabled": "false"}}, "revive": {"by": "userName", "set": {"deleted_at": null}}}');
SELECT scim.create_mapping('row_club', 'Group', 'rows.club', attributes => '{"displayName": "name", "members": [
	{"table": "rows.club_account", "parent": "club", "ref": "account", "type": "User", "where": {"source": "scim"}, "filter": "NOT removed",
		"insert": {"role": "''member''", "grade": "grade"}, "remove": {"removed": "true"}, "revive": {"removed": "false", "role": "''again''"}},
	{"table": "rows.club", "parent": "parent", "ref": "id", "type": "Group"}]}', owner => 'scim_regress_row');
SELECT scim.create_endpoint('row', mappings => '{row_account,row_club}', public_url => 'https://x');
SELECT * FROM pg_temp.user('row', 'POST', '/Users', '{"userName": "ann", "title": "Boss", "emails": [{"value": "a@x"}, {"value": "b@x"}]}');
SELECT * FROM pg_temp.user('row', 'POST', '/Users', '{"userName": "bob", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"manager": {"value": "2"}}}');
-- what is no resource can't be seen, changed, referred to
SELECT c.* FROM unnest('{GET,DELETE}'::text[]) m, pg_temp.call('row', m, '/Users/1') c;
SELECT * FROM pg_temp.user('row', 'POST', '/Users', '{"userName": "cid", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"manager": {"value": "1"}}}');
SELECT answer FROM pg_temp.call('row', 'GET', '/Users?attributes=userName');
SELECT (pg_temp.patch('row', '/Users/2', '[{"op": "replace", "path": "active", "value": false}]')).status;
SELECT (pg_temp.patch('row', '/Users/2', '[{"op": "remove", "path": "emails[value eq \"b@x\"]"}]')).status;
SELECT id, kind, login, enabled, origin, touched, deleted_at IS NULL AS live, manager FROM rows.account ORDER BY id;
-- members: rows with more columns, marked, revived; clubs in clubs by a column of their own
SELECT * FROM pg_temp.group('row', 'POST', '/Groups', '{"displayName": "All"}');
SELECT * FROM pg_temp.group('row', 'POST', '/Groups', '{"displayName": "Some", "members": [{"value": "2"}, {"value": "3"}]}');
SELECT status FROM pg_temp.patch('row', '/Groups/1', '[{"op": "add", "path": "members", "value": [{"value": "2"}]}]');
SELECT status, answer FROM pg_temp.patch('row', '/Groups/1', '[{"op": "add", "path": "members", "value": [{"value": "9"}]}]');
INSERT INTO rows.club_account (club, account, role, grade, source) VALUES (1, 3, 'boss', 9, 'hand');
SELECT answer FROM pg_temp.call('row', 'GET', '/Groups');
SELECT status FROM pg_temp.patch('row', '/Groups/2', '[{"op": "remove", "path": "members[value eq \"2\"]"}]');
SELECT * FROM rows.club_account ORDER BY id;
SELECT answer FROM pg_temp.call('row', 'GET', '/Users/2?attributes=groups');
SELECT status FROM pg_temp.patch('row', '/Groups/2', '[{"op": "add", "path": "members", "value": [{"value": "2"}]}]');
SELECT * FROM rows.club_account WHERE club = 2 ORDER BY id;
-- a club in a club: its own column says so; "type" tells it from the account of that number
SELECT * FROM pg_temp.patch('row', '/Groups/1', '[{"op": "add", "path": "members", "value": [{"value": "2", "type": "Group"}]}]');
SELECT id, parent FROM rows.club ORDER BY id;
SELECT answer FROM pg_temp.call('row', 'GET', '/Groups/1');
SELECT answer FROM pg_temp.call('row', 'GET', '/Users/3?attributes=groups');
SELECT status FROM pg_temp.group('row', 'PUT', '/Groups/1', '{"displayName": "All", "members": [{"value": "2", "type": "User"}]}');
SELECT id, parent FROM rows.club ORDER BY id;
-- gone, but a row still: out of lists, groups and references; and back
SELECT c.* FROM unnest('{DELETE,GET,DELETE}'::text[]) m, pg_temp.call('row', m, '/Users/2') c;
SELECT answer FROM pg_temp.call('row', 'GET', '/Groups/2');
SELECT answer FROM pg_temp.call('row', 'GET', '/Groups?attributes=displayName&filter=members.value%20eq%20%222%22');
SELECT * FROM pg_temp.user('row', 'POST', '/Users', '{"userName": "Ann", "emails": [{"value": "c@x"}]}');
SELECT id, kind, login, title, enabled, origin, touched, deleted_at IS NULL AS live FROM rows.account WHERE id = 2;
SELECT * FROM rows.account_mail;
-- a name that somebody else has, in whatever shape
SELECT * FROM pg_temp.user('row', 'POST', '/Users', '{"userName": "robot"}');
-- refused altogether
SELECT scim.alter_mapping('row_account', options => '{"revive": null, "delete": "refuse"}');
SELECT * FROM pg_temp.call('row', 'DELETE', '/Users/3');
SELECT options FROM scim.mappings WHERE name = 'row_account';
SELECT scim.alter_mapping('row_account', attributes => '{"title": null, "nickName": "title"}');
SELECT answer FROM pg_temp.call('row', 'GET', '/Users?attributes=nickName,title');
SELECT scim.alter_mapping('row_account', attributes => '{"title": "nothing"}');
SELECT scim.alter_mapping('row_account', options => '{"filter": "login"}');
SELECT scim.alter_mapping('row_account', options => '{"filtre": "true"}');
SELECT scim.alter_mapping('row_account', options => '{"filter": "count(*) > 0"}');
SELECT scim.alter_mapping('users', options => '{"filter": "true"}');
SELECT scim.drop_endpoint('row'), scim.drop_mapping('row_account'), scim.drop_mapping('row_club');

-- ---- rows that have to be there beside a resource ----
SET ROLE scim_regress_row;
CREATE TABLE rows.main (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, org int NOT NULL, login text NOT NULL);
CREATE TABLE rows.settings (main int NOT NULL UNIQUE REFERENCES rows.main, org int NOT NULL, greeting text NOT NULL, theme text NOT NULL DEFAULT 'dark');
RESET ROLE;
SELECT scim.create_mapping('row_main', 'User', 'rows.main', attributes => '{"userName": "login"}', owner => 'scim_regress_row',
	options => '{"beside": [{"table": "rows.settings", "parent": "main", "insert": {"greeting": "''hello '' || login"}}], "delete": "cascade"}');
SELECT scim.create_endpoint('main', mappings => '{row_main}', scope => '{"org": 5}', public_url => 'https://x');
SELECT * FROM pg_temp.user('main', 'POST', '/Users', '{"userName": "ann", "title": "is dropped"}');
SELECT * FROM rows.settings;
-- what the schema has and the mapping has no place for is dropped in a PATCH, too; what nobody knows is an error
SELECT * FROM pg_temp.patch('main', '/Users/1', '[{"op": "replace", "path": "title", "value": "x"}, {"op": "add", "path": "emails[type eq \"work\"].value", "value": "x"}, {"op": "remove", "path": "name.givenName"}]');
SELECT * FROM pg_temp.patch('main', '/Users/1', '[{"op": "replace", "path": "shoeSize", "value": 1}]');
SELECT (pg_temp.call('main', 'DELETE', '/Users/1')).status;
SELECT count(*) FROM rows.settings;
SELECT scim.alter_mapping('row_main', options => '{"beside": [{"table": "rows.settings", "parent": "main", "insert": {"org": "7"}}]}');
SELECT scim.drop_endpoint('main'), scim.drop_mapping('row_main');

-- ---- a key that is an attribute ----
SET ROLE scim_regress_row;
CREATE TABLE rows.named (login text PRIMARY KEY, title text);
RESET ROLE;
SELECT scim.create_mapping('row_named', 'User', 'rows.named', attributes => '{"userName": "login", "title": "title"}', owner => 'scim_regress_row');
SELECT scim.create_endpoint('named', mappings => '{row_named}', public_url => 'https://x');
SELECT status, body::jsonb -> 'meta' ->> 'location' AS location FROM scim.handle('named', 'POST', '/Users', '{}', '{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "a/b ü?#%"}');
SELECT * FROM pg_temp.call('named', 'GET', '/Users/a%2Fb%20%C3%BC%3F%23%25');
SELECT * FROM pg_temp.user('named', 'PUT', '/Users/a%2Fb%20%C3%BC%3F%23%25', '{"userName": "other"}');
SELECT * FROM pg_temp.user('named', 'PUT', '/Users/a%2Fb%20%C3%BC%3F%23%25', '{"userName": "a/b ü?#%", "title": "T"}');
SELECT scim.drop_endpoint('named'), scim.drop_mapping('row_named');

-- ---- policies, views that nothing can lock or write ----
SET ROLE scim_regress_row;
CREATE TABLE rows.rls (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, login text NOT NULL, team text);
ALTER TABLE rows.rls ENABLE ROW LEVEL SECURITY;
ALTER TABLE rows.rls FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON rows.rls USING (true) WITH CHECK (login <> 'root');
CREATE VIEW rows.grouped AS SELECT login, min(id) AS id, count(*) AS n FROM rows.rls GROUP BY login;
CREATE VIEW rows.grouped2 AS SELECT login, min(id) AS id, count(*) AS n FROM rows.rls GROUP BY login;
CREATE FUNCTION rows.instead() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP = 'INSERT' THEN
		INSERT INTO rows.rls (login) VALUES (NEW.login) RETURNING id INTO NEW.id;
	ELSIF TG_OP = 'UPDATE' THEN
		UPDATE rows.rls SET login = NEW.login WHERE id = OLD.id;
	ELSE
		DELETE FROM rows.rls WHERE login = OLD.login;
		RETURN OLD;
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER instead INSTEAD OF INSERT OR UPDATE OR DELETE ON rows.grouped2 FOR EACH ROW EXECUTE FUNCTION rows.instead();
RESET ROLE;
SELECT scim.create_mapping(v, 'User', ('rows.' || v)::regclass, key => 'id', attributes => '{"userName": "login"}', owner => 'scim_regress_row') FROM unnest('{rls,grouped,grouped2}'::text[]) v;
SELECT scim.create_endpoint(v, mappings => ARRAY[v], public_url => 'https://x') FROM unnest('{rls,grouped,grouped2}'::text[]) v;
SELECT v, c.* FROM unnest('{rls,grouped,grouped2}'::text[]) v, pg_temp.user(v, 'POST', '/Users', '{"userName": "root"}') c;
SELECT v, c.* FROM unnest('{rls,grouped,grouped2}'::text[]) v, pg_temp.user(v, 'POST', '/Users', jsonb_build_object('userName', v)) c;
SELECT v, c.* FROM unnest('{rls,grouped,grouped2}'::text[]) v, rows.rls, pg_temp.user(v, 'PUT', '/Users/' || id, jsonb_build_object('userName', 'x')) c WHERE login = 'grouped2';
SELECT v, c.* FROM unnest('{grouped,grouped2}'::text[]) v, rows.rls, pg_temp.call(v, 'DELETE', '/Users/' || id) c WHERE login = 'x';
SELECT v, (pg_temp.call(v, 'GET', '/Users')).answer FROM unnest('{rls,grouped,grouped2}'::text[]) v;
SELECT scim.drop_endpoint(v), scim.drop_mapping(v) FROM unnest('{rls,grouped,grouped2}'::text[]) v;

-- ---- tenants by a table of memberships; users that all tenants share ----
SET ROLE scim_regress_row;
CREATE TABLE rows.person (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, email text NOT NULL, name text);
CREATE UNIQUE INDEX ON rows.person (lower(email));
CREATE TABLE rows.org_person (org int NOT NULL, person int NOT NULL REFERENCES rows.person, role int NOT NULL DEFAULT 1, PRIMARY KEY (org, person));
CREATE TABLE rows.team (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, org int NOT NULL, name text NOT NULL, UNIQUE (org, name));
CREATE TABLE rows.team_person (team int NOT NULL REFERENCES rows.team ON DELETE CASCADE, person int NOT NULL REFERENCES rows.person, PRIMARY KEY (team, person));
RESET ROLE;
SELECT scim.create_mapping('row_person', 'User', 'rows.person', attributes => '{"userName": {"column": "email", "fold": "lower"}, "name.formatted": "name",
	"userType": {"table": "rows.org_person", "parent": "person", "column": "role", "codes": {"1": "member", "2": "owner"}}}', owner => 'scim_regress_row',
	options => '{"membership": {"table": "rows.org_person", "parent": "person"}}');
SELECT scim.create_mapping('row_team', 'Group', 'rows.team', attributes => '{"displayName": "name",
	"members": {"table": "rows.team_person", "parent": "team", "ref": "person", "type": "User"}}', owner => 'scim_regress_row');
\set VERBOSITY default
SELECT scim.create_endpoint('org0', mappings => '{row_person}', public_url => 'https://x');
\set VERBOSITY terse
SELECT scim.create_endpoint('org' || n, mappings => '{row_person,row_team}', scope => jsonb_build_object('org', n), public_url => 'https://x/' || n) FROM generate_series(1, 2) n;
SELECT * FROM pg_temp.user('org1', 'POST', '/Users', '{"userName": "Ann@x", "name": {"formatted": "Ann"}, "userType": "owner"}');
SELECT * FROM pg_temp.user('org1', 'POST', '/Users', '{"userName": "bob@x"}');
SELECT * FROM pg_temp.user('org2', 'POST', '/Users', '{"userName": "cid@x"}');
SELECT * FROM rows.org_person ORDER BY 1, 2;
-- the other tenant's are not there, but their names are taken
SELECT n, (pg_temp.call('org2', m, '/Users/1')).status FROM unnest('{GET,DELETE}'::text[]) WITH ORDINALITY u(m, n);
SELECT * FROM pg_temp.user('org2', 'POST', '/Users', '{"userName": "ann@x"}');
SELECT n, answer FROM generate_series(1, 2) n, pg_temp.call('org' || n, 'GET', '/Users?filter=userType%20pr');
-- with "adopt" the person is one of both
SELECT scim.alter_mapping('row_person', options => '{"membership": {"table": "rows.org_person", "parent": "person", "adopt": "userName"}}');
SELECT * FROM pg_temp.user('org2', 'POST', '/Users', '{"userName": "ANN@x", "userType": "member"}');
SELECT * FROM pg_temp.user('org2', 'POST', '/Users', '{"userName": "ann@x"}');
SELECT n, answer FROM generate_series(1, 2) n, pg_temp.call('org' || n, 'GET', '/Users?filter=userName%20sw%20%22ANN%22') ORDER BY n;
SELECT * FROM pg_temp.patch('org2', '/Users/1', '[{"op": "replace", "path": "userType", "value": "owner"}]');
-- members and groups are of the tenant
SELECT n, c.* FROM generate_series(1, 2) n, pg_temp.group('org' || n, 'POST', '/Groups', '{"displayName": "T", "members": [{"value": "1"}]}') c;
SELECT * FROM pg_temp.patch('org1', '/Groups/1', '[{"op": "add", "path": "members", "value": [{"value": "3"}]}]');
INSERT INTO rows.team_person VALUES (1, 3);
SELECT n, answer FROM generate_series(1, 2) n, pg_temp.call('org' || n, 'GET', '/Groups');
SELECT n, answer FROM generate_series(1, 2) n, pg_temp.call('org' || n, 'GET', '/Users/1?attributes=groups');
-- nor does a filter tell of the other tenant's
SELECT n, g, c.answer FROM generate_series(1, 2) n, generate_series(1, 2) g, pg_temp.call('org' || n, 'GET', '/Users?attributes=userName&filter=groups.value%20eq%20%22' || g || '%22') c ORDER BY 1, 2;
-- unlinked here, a user there
SELECT n, m, (pg_temp.call('org' || n, m, '/Users/1')).status FROM unnest('{2,2,1}'::int[], '{DELETE,GET,GET}'::text[]) u(n, m);
SELECT * FROM rows.org_person ORDER BY 1, 2;
SELECT * FROM rows.person ORDER BY 1;
SELECT scim.drop_endpoint('org' || n) FROM generate_series(1, 2) n;
SELECT scim.drop_mapping('row_person');
SELECT scim.create_mapping('row_person', 'User', 'rows.person', attributes => '{"userName": "email"}', owner => 'scim_regress_row');
SELECT scim.create_endpoint('org1', mappings => '{row_person,row_team}', scope => '{"org": 1}', public_url => 'https://x/1');
SELECT scim.alter_mapping('row_person', options => '{"shared": true}');
SELECT scim.create_endpoint('org1', mappings => '{row_person,row_team}', scope => '{"org": 1}', public_url => 'https://x/1');
SELECT answer FROM pg_temp.call('org1', 'GET', '/Users?attributes=userName,groups');
SELECT scim.drop_endpoint('org1'), scim.drop_mapping('row_person'), scim.drop_mapping('row_team');

-- ---- what the table has no column for ----
SET ROLE scim_regress_row;
CREATE TABLE rows.bare (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, login text NOT NULL);
CREATE TABLE rows.bare_mail (bare int NOT NULL REFERENCES rows.bare ON DELETE CASCADE, mail text);
CREATE TABLE rows.org_bare (org int, bare int REFERENCES rows.bare ON DELETE CASCADE, PRIMARY KEY (org, bare));
RESET ROLE;
INSERT INTO rows.bare (login) VALUES ('old');
SELECT scim.create_mapping('row_bare', 'User', 'rows.bare', attributes => '{"userName": "login", "emails": {"table": "rows.bare_mail", "parent": "bare", "columns": {"value": "mail"}}}', owner => 'scim_regress_row');
SELECT scim.create_endpoint('bare', mappings => '{row_bare}', public_url => 'https://x');
CREATE FUNCTION pg_temp.meta(endpoint text, path text) RETURNS TABLE (external_id text, created boolean, modified boolean, version text)
	LANGUAGE sql AS $$
	SELECT b ->> 'externalId', b -> 'meta' ? 'created', b -> 'meta' ? 'lastModified', regexp_replace(b -> 'meta' ->> 'version', '\d+', 'n', 'g')
	  FROM scim.handle(endpoint, 'GET', path, '{}', NULL) h, LATERAL (SELECT h.body::jsonb AS b) x
$$;
SELECT status, answer FROM pg_temp.user('bare', 'POST', '/Users', '{"userName": "ann", "externalId": "E1"}');
SELECT u, m.* FROM unnest('{1,2}'::int[]) u, pg_temp.meta('bare', '/Users/' || u) m;
SELECT (pg_temp.patch('bare', '/Users/1', '[{"op": "add", "path": "externalId", "value": "E0"}]')).status;
SELECT (pg_temp.patch('bare', '/Users/2', '[{"op": "add", "path": "emails", "value": [{"value": "a@x"}]}]')).status;
SELECT (pg_temp.patch('bare', '/Users/2', '[{"op": "add", "path": "emails", "value": [{"value": "a@x"}]}]')).status;
SELECT u, m.* FROM unnest('{1,2}'::int[]) u, pg_temp.meta('bare', '/Users/' || u) m;
SELECT f, (pg_temp.call('bare', 'GET', '/Users?attributes=userName,externalId&filter=' || f)).answer FROM unnest('{externalId%20eq%20%22E1%22,externalId%20pr,meta.created%20pr,meta.lastModified%20gt%20%222020-01-01T00:00:00Z%22,not%20(externalId%20eq%20%22E0%22)}'::text[]) f;
-- the owner sees its mappings' rows and no others
SET ROLE scim_regress_row;
SELECT scope, key, external_id, created IS NOT NULL AS created, version > 0 AS version FROM scim.resource_state ORDER BY key;
UPDATE scim.resource_state SET mapping = 1;
SELECT * FROM scim._resource_state;
RESET ROLE;
SELECT (pg_temp.call('bare', 'DELETE', '/Users/2')).status;
SELECT key FROM scim._resource_state;
SELECT scim.drop_endpoint('bare');
-- one row, two tenants: each has its externalId
SELECT scim.alter_mapping('row_bare', options => '{"membership": {"table": "rows.org_bare", "parent": "bare", "adopt": "userName"}}');
SELECT scim.create_endpoint('bare' || n, mappings => '{row_bare}', scope => jsonb_build_object('org', n), public_url => 'https://x') FROM generate_series(1, 2) n;
SELECT n, c.status FROM generate_series(1, 2) n, pg_temp.user('bare' || n, 'POST', '/Users', jsonb_build_object('userName', 'max', 'externalId', 'M' || n)) c;
SELECT n, c.answer FROM generate_series(1, 2) n, pg_temp.call('bare' || n, 'GET', '/Users?filter=externalId%20sw%20%22M%22') c;
SELECT scope, external_id FROM scim._resource_state ORDER BY 1, 2;
SELECT scim.drop_endpoint('bare1'), scim.drop_endpoint('bare2'), scim.drop_mapping('row_bare');
SELECT count(*) FROM scim._resource_state;

-- ---- a trigger that writes child rows of the built-in store ----
SELECT scim.create_endpoint('built', public_url => 'https://x');
CREATE FUNCTION rows.more() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
	INSERT INTO scim.user_phone_numbers (tenant, user_id, value) VALUES (NEW.tenant, NEW.user_id, 'tel of ' || NEW.value);
	RETURN NULL;
END $$;
CREATE TRIGGER more AFTER INSERT ON scim.user_values FOR EACH ROW WHEN (NEW.attribute = 'emails') EXECUTE FUNCTION rows.more();
SELECT regexp_replace(answer, '"id":"[^"]*"', '"id":*') AS answer FROM pg_temp.user('built', 'POST', '/Users', '{"userName": "ann", "emails": [{"value": "a@x"}]}');
SELECT regexp_replace(c.answer, '"id":"[^"]*"', '"id":*') AS answer FROM scim.users u, pg_temp.patch('built', '/Users/' || u.id, '[{"op": "remove", "path": "phoneNumbers"}, {"op": "add", "path": "emails", "value": [{"value": "b@x"}]}]') c WHERE u.tenant = 'built';
DROP TRIGGER more ON scim.user_values;
DELETE FROM scim.users WHERE tenant = 'built';
SELECT scim.drop_endpoint('built');
DROP SCHEMA rows CASCADE;
REVOKE ALL ON SCHEMA scim FROM scim_regress_row;
REVOKE ALL ON FUNCTION scim.fold(text) FROM scim_regress_row;
REVOKE ALL ON TABLE scim.resource_state FROM scim_regress_row;
DROP ROLE scim_regress_row;
