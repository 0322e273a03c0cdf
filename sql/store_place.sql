-- Places of values beside the column they are read from: rows that the resource's names, copies, columns folded
-- by the application, columns that several attributes share.
\set VERBOSITY terse
SET client_min_messages = warning;
SELECT scim.setup();
CREATE ROLE scim_regress_place;
CREATE SCHEMA place AUTHORIZATION scim_regress_place;
CREATE FUNCTION pg_temp.call(endpoint text, method text, path text, body text DEFAULT NULL, OUT status int, OUT answer text)
	LANGUAGE sql AS $$
	SELECT h.status, regexp_replace(regexp_replace(h.body, ',?"meta":[{][^}]*[}]', '', 'g'), '"schemas":[[][^]]*[]],?', '', 'g')
	  FROM scim.handle(endpoint, method, path, '{}', body) h
$$;
CREATE FUNCTION pg_temp.user(endpoint text, method text, path text, attributes jsonb, OUT status int, OUT answer text)
	LANGUAGE sql AS $$
	SELECT c.* FROM pg_temp.call(endpoint, method, path, (attributes || '{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"]}')::text) c
$$;
CREATE FUNCTION pg_temp.patch(endpoint text, path text, operations jsonb, OUT status int, OUT answer text)
	LANGUAGE sql AS $$
	SELECT c.* FROM pg_temp.call(endpoint, 'PATCH', path, jsonb_build_object('schemas', '["urn:ietf:params:scim:api:messages:2.0:PatchOp"]'::jsonb, 'Operations', operations)::text) c
$$;
CREATE FUNCTION pg_temp.find(endpoint text, VARIADIC filters text[]) RETURNS TABLE (filter text, users text)
	LANGUAGE sql AS $$
	SELECT f, coalesce((SELECT string_agg(r ->> 'userName', ' ' ORDER BY r ->> 'userName') FROM jsonb_array_elements(h.body::jsonb -> 'Resources') r), h.body::jsonb ->> 'detail')
	  FROM unnest(filters) WITH ORDINALITY u(f, n),
		scim.handle(endpoint, 'POST', '/Users/.search', '{}', jsonb_build_object('schemas', '["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]'::jsonb,
			'filter', f, 'attributes', '["userName"]'::jsonb)::text) h
	 ORDER BY n
$$;

-- ---- a row that the resource's row names: made before it, gone after it ----
SET ROLE scim_regress_place;
CREATE TABLE place.party (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, org int NOT NULL, name text NOT NULL, mail text UNIQUE, kind text NOT NULL, on_duty boolean);
CREATE TABLE place.badge (number int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, color text, made date NOT NULL);
CREATE TABLE place.login (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, org int NOT NULL, login text NOT NULL, enabled boolean NOT NULL DEFAULT true,
	party int NOT NULL REFERENCES place.party ON DELETE CASCADE, badge int REFERENCES place.badge, UNIQUE (org, login));
CREATE TABLE place.alias (id uuid PRIMARY KEY, login int NOT NULL REFERENCES place.login ON DELETE CASCADE, alias text NOT NULL UNIQUE, main boolean NOT NULL, org int NOT NULL);
RESET ROLE;
SELECT scim.create_mapping('place_login', 'User', 'place.login', owner => 'scim_regress_place', attributes => '{
	"userName": {"column": "login", "copies": [{"table": "place.alias", "parent": "login", "where": {"main": true}, "column": "alias", "insert": {"id": "gen_random_uuid()"}}]},
	"displayName": {"table": "place.party", "parent": "id", "by": "party", "column": "name", "insert": {"kind": "''person''", "name": "''nobody''"}},
	"emails[type eq \"work\"].value": {"table": "place.party", "parent": "id", "by": "party", "column": "mail"},
	"nickName": {"table": "place.badge", "parent": "number", "by": "badge", "column": "color", "insert": {"made": "''2020-01-01''"}},
	"active": {"column": "enabled", "copies": [{"table": "place.party", "parent": "id", "by": "party", "column": "on_duty"}]}
}', options => '{"delete": "cascade"}');
SELECT scim.create_endpoint('place' || n, mappings => '{place_login}', scope => jsonb_build_object('org', n), public_url => 'https://x/' || n) FROM generate_series(1, 2) n;
SELECT attribute, source, access FROM scim.describe_mapping('place_login') WHERE attribute IN ('userName', 'displayName', 'active');
SELECT severity, subject, problem FROM scim.check_mapping('place_login');
SELECT * FROM pg_temp.user('place1', 'POST', '/Users', '{"userName": "ann", "displayName": "Ann", "emails": [{"type": "work", "value": "a@x"}], "active": true}');
SELECT * FROM pg_temp.user('place1', 'POST', '/Users', '{"userName": "bob", "nickName": "red", "active": false}');
SELECT login, l.org, name, mail, kind, on_duty, badge, p.org FROM place.login l JOIN place.party p ON p.id = party ORDER BY login;
SELECT login, alias, main, org FROM place.alias ORDER BY 1;
-- what can't be taken is refused by the name of its attribute, and leaves nothing behind
SELECT * FROM pg_temp.user('place1', 'POST', '/Users', '{"userName": "cid", "emails": [{"type": "work", "value": "a@x"}]}');
SELECT * FROM pg_temp.user('place2', 'POST', '/Users', '{"userName": "ann"}');
SELECT count(*) FROM place.party;
-- a row that is named later; one that is named already; a copy that goes along
SELECT c.* FROM pg_temp.patch('place1', '/Users/1', '[{"op": "add", "value": {"nickName": "blue", "displayName": "Anna", "userName": "anna", "active": false}}]') c;
SELECT c.status FROM pg_temp.patch('place1', '/Users/1', '[{"op": "remove", "path": "nickName"}, {"op": "remove", "path": "emails"}]') c;
SELECT login, name, mail, on_duty, color, made, (SELECT alias FROM place.alias a WHERE a.login = l.id) AS alias FROM place.login l JOIN place.party p ON p.id = party LEFT JOIN place.badge ON number = badge ORDER BY login;
SELECT * FROM pg_temp.find('place1', 'displayName eq "ANNA"', 'displayName pr and not (nickName pr)', 'nickName eq "red"', 'emails pr', 'active eq false');
-- tenants: a name that leads to another's row shows nothing of it, and changes nothing of it
UPDATE place.login SET party = (SELECT id FROM place.party WHERE name = 'Anna') WHERE login = 'bob';
UPDATE place.party SET org = 2 WHERE name = 'Anna';
SELECT * FROM pg_temp.call('place1', 'GET', '/Users/2');
SELECT status FROM pg_temp.patch('place1', '/Users/2', '[{"op": "replace", "path": "displayName", "value": "Bob"}]');
SELECT id, org, name FROM place.party ORDER BY id;
-- two logins of one party: it goes with the last
UPDATE place.party SET org = 1;
UPDATE place.login SET party = (SELECT min(id) FROM place.party);
SELECT i, (pg_temp.call('place1', 'DELETE', '/Users/' || i)).status, (SELECT count(*) FROM place.party) FROM generate_series(1, 2) i ORDER BY i;
SELECT count(*) FROM place.login;
SELECT count(*) FROM place.party;
SELECT scim.drop_endpoint('place' || n) FROM generate_series(1, 2) n;
SELECT scim.drop_mapping('place_login');

-- ---- columns that the application folds; fold by upper() ----
SET ROLE scim_regress_place;
CREATE TABLE place.folded (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, org int, login varchar(20) NOT NULL, login_lower varchar(20) NOT NULL UNIQUE, mail text, mail_upper text GENERATED ALWAYS AS (upper(mail)) STORED,
	name text, title text NOT NULL DEFAULT '', title_lower text NOT NULL DEFAULT '', flags int NOT NULL, label text NOT NULL, deleted boolean NOT NULL DEFAULT false);
CREATE UNIQUE INDEX ON place.folded (upper(name));
RESET ROLE;
SELECT scim.create_mapping('place_folded', 'User', 'place.folded', owner => 'scim_regress_place', attributes => '{
	"userName": {"column": "login", "fold": "lower", "folded": "login_lower", "write": {"label": "coalesce(label, ''of '' || value)"}},
	"nickName": "label",
	"displayName": {"column": "name", "fold": "upper"},
	"title": {"column": "title", "null": "", "fold": "lower", "folded": "title_lower"},
	"emails[type eq \"work\"].value": {"column": "mail", "fold": "upper", "folded": "mail_upper"},
	"roles[value eq \"a\"]": {"read": "flags & 1 <> 0", "write": {"flags": "CASE WHEN value THEN flags | 1 ELSE flags & ~1 END"}},
	"roles[value eq \"b\"]": {"read": "flags & 2 <> 0", "write": {"flags": "CASE WHEN value THEN flags | 2 ELSE flags & ~2 END"}},
	"active": {"read": "flags & 4 = 0", "write": {"flags": "CASE WHEN value IS NOT FALSE THEN coalesce(flags, 0) & ~4 ELSE coalesce(flags, 0) | 4 END"}}
}', options => '{"filter": "NOT deleted", "insert": {"flags": "0"}, "delete": {"set": {"deleted": true}}, "revive": {"by": "userName", "set": {"deleted": false}}}');
SELECT scim.create_endpoint('folded', mappings => '{place_folded}', public_url => 'https://x');
SELECT a ->> 'name' AS name, a -> 'required' AS required, a ->> 'mutability' AS mutability, a ->> 'uniqueness' AS uniqueness
  FROM scim.handle('folded', 'GET', '/Schemas', '{}', NULL) h, jsonb_array_elements(h.body::jsonb -> 'Resources') r, jsonb_array_elements(r -> 'attributes') a
 WHERE r ->> 'id' LIKE '%:User' ORDER BY 1;
SELECT * FROM pg_temp.user('folded', 'POST', '/Users', '{"userName": "Ann", "displayName": "Straße", "emails": [{"type": "work", "value": "A@x"}], "roles": [{"value": "b"}, {"value": "a"}], "active": false}');
SELECT * FROM pg_temp.user('folded', 'POST', '/Users', '{"userName": "Bob", "nickName": "B", "title": "Boss"}');
SELECT login, login_lower, mail, mail_upper, title, title_lower, flags, label FROM place.folded ORDER BY id;
SELECT * FROM pg_temp.user('folded', 'POST', '/Users', '{"userName": "aNN"}');
SELECT * FROM pg_temp.user('folded', 'POST', '/Users', '{"userName": "cid", "displayName": "STRASSE"}');
SELECT * FROM pg_temp.user('folded', 'POST', '/Users', '{"userName": "cid", "displayName": "straße"}');
SELECT status FROM pg_temp.patch('folded', '/Users/1', '[{"op": "remove", "path": "roles[value eq \"a\"]"}, {"op": "replace", "path": "active", "value": true}]');
SELECT flags FROM place.folded WHERE id = 1;
SELECT * FROM pg_temp.find('folded', 'userName eq "ANN"', 'userName sw "AN"', 'userName co "N"', 'userName ew "OB"', 'userName ne "bob"', 'userName gt "ANN"', 'displayName eq "STRAßE"', 'displayName sw "stra"',
	'emails.value eq "a@X"', 'emails[type eq "work" and value sw "a@"]', 'title eq "BOSS"', 'title pr', 'roles.value eq "b"');
SELECT substring(l FROM 'WHERE (.*) ORDER') AS predicate FROM unnest(ARRAY['userName eq "x"', 'displayName eq "x"', 'title eq "x"']) f, scim.explain('folded', 'User', f) l WHERE l LIKE 'SELECT %';
-- a marked row that comes back is like a new one
SELECT status FROM pg_temp.patch('folded', '/Users/2', '[{"op": "replace", "path": "active", "value": false}]');
SELECT (pg_temp.call('folded', 'DELETE', '/Users/2')).status;
SELECT * FROM pg_temp.user('folded', 'POST', '/Users', '{"userName": "BOB"}');
SELECT login, title, title_lower, flags, label FROM place.folded WHERE id = 2;
SELECT scim.drop_endpoint('folded'), scim.drop_mapping('place_folded');

-- ---- one column of two attributes; the scope's value in another column; what a membership needs ----
SET ROLE scim_regress_place;
CREATE TABLE place.person (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, mail text NOT NULL UNIQUE, home_org int NOT NULL, note text);
CREATE TABLE place.member (id int PRIMARY KEY, org int NOT NULL, person int NOT NULL REFERENCES place.person ON DELETE CASCADE, role text NOT NULL, note text, UNIQUE (org, person));
CREATE SEQUENCE place.member_id;
CREATE TABLE place.club (id text PRIMARY KEY, name text NOT NULL, org int NOT NULL, within text NOT NULL);
RESET ROLE;
SELECT scim.create_mapping('place_person', 'User', 'place.person', owner => 'scim_regress_place', attributes => '{
	"userName": "mail", "emails[type eq \"work\"].value": "mail",
	"userType": {"table": "place.member", "parent": "person", "column": "role"}
}', options => '{"insert": {"home_org": {"scope": "org"}},
	"membership": {"table": "place.member", "parent": "person", "insert": {"id": "nextval(''place.member_id'')", "role": "''guest''", "note": "mail"}, "adopt": "userName"}}');
SELECT scim.create_mapping('place_club', 'Group', 'place.club', owner => 'scim_regress_place', attributes => '{"displayName": "name",
	"members": {"table": "place.club", "parent": "within", "ref": "id", "type": "Group", "remove": {"within": "''-''"}}}',
	options => '{"insert": {"id": "gen_random_uuid()", "within": "''-''"}, "delete": "cascade"}');
SELECT scim.create_endpoint('org' || n, mappings => '{place_person,place_club}', scope => jsonb_build_object('org', n), public_url => 'https://x/' || n) FROM generate_series(1, 2) n;
SELECT * FROM pg_temp.user('org1', 'POST', '/Users', '{"userName": "ann@x"}');
SELECT * FROM pg_temp.user('org2', 'POST', '/Users', '{"userName": "ann@x", "userType": "owner"}');
SELECT mail, home_org FROM place.person;
SELECT org, role, note FROM place.member ORDER BY org;
SELECT * FROM pg_temp.patch('org1', '/Users/1', '[{"op": "remove", "path": "emails"}]');
SELECT * FROM pg_temp.user('org1', 'PUT', '/Users/1', '{"userName": "ann@x"}');
SELECT status FROM pg_temp.patch('org1', '/Users/1', '[{"op": "replace", "path": "emails[type eq \"work\"].value", "value": "anna@x"}]');
SELECT mail FROM place.person;
INSERT INTO place.club VALUES ('1', 'one', 1, '-'), ('2', 'two', 1, '1'), ('3', 'elsewhere', 2, '1');
SELECT answer FROM pg_temp.call('org1', 'GET', '/Groups/1');
SELECT status FROM pg_temp.patch('org1', '/Groups/1', '[{"op": "remove", "path": "members[value eq \"2\"]"}]');
SELECT (pg_temp.call('org1', 'DELETE', '/Groups/1')).status;
SELECT id, within FROM place.club ORDER BY id;
SELECT scim.drop_endpoint('org' || n) FROM generate_series(1, 2) n;

-- ---- values that fit no column, by the name of their attribute; what nothing fills ----
SET ROLE scim_regress_place;
CREATE DOMAIN place.even AS int CHECK (VALUE % 2 = 0);
CREATE TYPE place.grade AS ENUM ('low', 'High');
CREATE TABLE place.typed (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, login text NOT NULL, born date, address inet, token uuid, size numeric(4, 1), count smallint, even place.even, grade place.grade, number int);
CREATE TABLE place.needs (id text PRIMARY KEY DEFAULT 'not me', typed int NOT NULL UNIQUE REFERENCES place.typed ON DELETE CASCADE, value text, needed text NOT NULL);
RESET ROLE;
SELECT scim.create_mapping('place_typed', 'User', 'place.typed', owner => 'scim_regress_place', attributes => '{"userName": "login", "nickName": "born", "title": "address", "externalId": "token", "locale": "grade", "userType": "number",
	"displayName": {"table": "place.needs", "parent": "typed", "column": "value"},
	"urn:example:place:2.0:User:size": "size", "urn:example:place:2.0:User:count": "count", "urn:example:place:2.0:User:even": "even"}');
SELECT scim.create_endpoint('typed', mappings => '{place_typed}', public_url => 'https://x');
SELECT severity, subject, problem, hint FROM scim.check_mapping('place_typed') WHERE subject = 'place.needs';
SELECT a, c.* FROM unnest('{"{\"nickName\": \"some day\"}","{\"title\": \"1.2.3\"}","{\"externalId\": \"x\"}","{\"locale\": \"middle\"}","{\"userType\": \"many\"}","{\"displayName\": \"x\"}"}'::text[]) a,
	pg_temp.user('typed', 'POST', '/Users', a::jsonb || '{"userName": "u"}') c;
SELECT a, c.* FROM unnest('{"{\"size\": 1234.5}","{\"count\": 40000}","{\"even\": 3}","{\"even\": 4, \"size\": 123.45, \"count\": 7}"}'::text[]) a,
	pg_temp.user('typed', 'POST', '/Users', jsonb_build_object('userName', 'v', 'locale', 'HIGH', 'urn:example:place:2.0:User', a::jsonb)) c;
SELECT scim.drop_endpoint('typed'), scim.drop_mapping('place_typed');
SELECT scim.drop_schema('urn:example:place:2.0:User');

-- ---- what is said wrongly ----
SELECT scim.alter_mapping('place_person', options => '{"insert": {"home_org": {"scope": 1}}}');
SELECT scim.alter_mapping('place_person', options => '{"insert": {"home_org": {"scopes": "org"}}}');
SELECT scim.alter_mapping('place_person', options => '{"membership": {"table": "place.member", "parent": "person", "insert": {"roles": "1"}}}');
SELECT scim.alter_mapping('place_person', options => '{"insert": {"home_org": {"scope": "nothing"}}}');
SELECT scim.create_endpoint('org1', mappings => '{place_person,place_club}', scope => '{"org": 1}', public_url => 'https://x/1');
SELECT scim.alter_mapping('place_person', options => '{"insert": {"home_org": "1"}, "membership": {"table": "place.member", "parent": "person", "insert": {"org": "7"}}}');
SELECT scim.create_endpoint('org1', mappings => '{place_person,place_club}', scope => '{"org": 1}', public_url => 'https://x/1');
SELECT scim.alter_mapping('place_person', attributes => '{"userName": {"column": "mail", "fold": "title"}}');
SELECT scim.alter_mapping('place_person', attributes => '{"userName": {"column": "mail", "folded": "note"}}');
SELECT scim.alter_mapping('place_person', attributes => '{"userName": {"column": "mail", "fold": "upper", "folded": "home_org"}}');
SELECT scim.alter_mapping('place_person', attributes => '{"userName": {"read": "mail || ''x''", "fold": "upper", "folded": "note"}}');
SELECT scim.alter_mapping('place_person', attributes => '{"userName": {"column": "mail", "copies": {"column": "note"}}}');
SELECT scim.alter_mapping('place_person', attributes => '{"userName": {"column": "mail", "copies": ["note"]}}');
SELECT scim.alter_mapping('place_person', attributes => '{"userName": {"column": "mail", "copies": [{"column": "note"}]}}');
SELECT scim.alter_mapping('place_person', attributes => '{"title": {"table": "place.member", "parent": "id", "by": "nothing", "column": "note"}}');
SELECT scim.alter_mapping('place_person', attributes => '{"title": {"table": "place.member", "parent": "nothing", "by": "id", "column": "note"}}');
SELECT scim.drop_mapping('place_person'), scim.drop_mapping('place_club');
DROP SCHEMA place CASCADE;
REVOKE ALL ON SCHEMA scim FROM scim_regress_place;
REVOKE ALL ON FUNCTION scim.fold(text) FROM scim_regress_place;
REVOKE ALL ON TABLE scim.resource_state FROM scim_regress_place;
DROP ROLE scim_regress_place;
