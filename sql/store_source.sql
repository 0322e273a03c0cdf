-- Where a value may live: every form of a source, read, written and filtered.
\set VERBOSITY terse
SET client_min_messages = warning;
SELECT scim.setup();
CREATE ROLE scim_regress_source;
CREATE SCHEMA src AUTHORIZATION scim_regress_source;
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
-- The names of the users that match each filter.
CREATE FUNCTION pg_temp.find(endpoint text, VARIADIC filters text[]) RETURNS TABLE (filter text, users text)
	LANGUAGE sql AS $$
	SELECT f, coalesce((SELECT string_agg(r ->> 'userName', ' ' ORDER BY r ->> 'userName') FROM jsonb_array_elements(h.body::jsonb -> 'Resources') r), h.body::jsonb ->> 'detail')
	  FROM unnest(filters) WITH ORDINALITY u(f, n),
		scim.handle(endpoint, 'POST', '/Users/.search', '{}', jsonb_build_object('schemas', '["urn:ietf:params:scim:api:messages:2.0:SearchRequest"]'::jsonb,
			'filter', f, 'attributes', '["userName"]'::jsonb)::text) h
	 ORDER BY n
$$;
SELECT scim.create_schema('{"id": "urn:example:source:2.0:User", "name": "Source", "attributes": [
	{"name": "tags", "type": "string", "multiValued": true},
	{"name": "labels", "type": "string", "multiValued": true},
	{"name": "langs", "type": "string", "multiValued": true},
	{"name": "born", "type": "dateTime"}, {"name": "seen", "type": "dateTime"}, {"name": "used", "type": "dateTime"},
	{"name": "size", "type": "integer"}, {"name": "vip", "type": "boolean"}]}', extends => 'User');

-- ---- one column ----
SET ROLE scim_regress_source;
CREATE TYPE src.mood AS ENUM ('sad', 'happy');
CREATE TABLE src.users (
	id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
	login text NOT NULL UNIQUE, login_lower text UNIQUE,
	role smallint NOT NULL DEFAULT 2,
	status char(1) NOT NULL DEFAULT 'A',
	title text NOT NULL DEFAULT '',
	nick text, mood src.mood, kind text CHECK (kind IN ('Employee', 'Contractor')),
	locale varchar(5) NOT NULL,
	deactivated timestamptz,
	born timestamp, seen bigint, used bigint,
	twice text GENERATED ALWAYS AS (login || login) STORED,
	made bigint NOT NULL, changed timestamp NOT NULL
);
RESET ROLE;
SELECT scim.create_mapping('src_users', 'User', 'src.users', attributes => '{
	"userName": {"column": "login", "write": {"login_lower": "lower(value)"}},
	"userType": {"column": "role", "codes": [[1, "admin"], [2, "member"], [3, "member"]]},
	"active": {"read": "deactivated IS NULL", "write": {"deactivated": "CASE WHEN value THEN NULL ELSE coalesce(deactivated, timestamptz ''2020-01-01Z'' + coalesce(seen, 0) * interval ''1 second'') END"}},
	"title": {"column": "title", "null": ""},
	"nickName": {"column": "nick", "required": true},
	"locale": "locale",
	"displayName": "twice",
	"preferredLanguage": {"constant": "en"},
	"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department": "mood",
	"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:division": "kind",
	"urn:example:source:2.0:User:vip": {"column": "status", "codes": {"A": false, "V": true}},
	"urn:example:source:2.0:User:born": "born",
	"urn:example:source:2.0:User:seen": {"column": "seen", "time": "epoch"},
	"urn:example:source:2.0:User:used": {"column": "used", "time": "epoch_ms"},
	"meta.created": {"column": "made", "time": "epoch_ms"},
	"meta.lastModified": "changed"
}', owner => 'scim_regress_source');
SELECT scim.create_endpoint('src', mappings => '{src_users}', public_url => 'https://x');
-- the columns are the schema
SELECT a ->> 'name' AS name, a -> 'required' AS required, a ->> 'mutability' AS mutability, a ->> 'uniqueness' AS uniqueness, a -> 'canonicalValues' AS canonical
  FROM scim.handle('src', 'GET', '/Schemas', '{}', NULL) h, jsonb_array_elements(h.body::jsonb -> 'Resources') r, jsonb_array_elements(r -> 'attributes') a
 WHERE r ->> 'id' LIKE '%:User' ORDER BY 1;
SELECT * FROM pg_temp.user('src', 'POST', '/Users', '{"userName": "Ann", "nickName": "a"}');
SELECT * FROM pg_temp.user('src', 'POST', '/Users', '{"userName": "Ann", "nickName": "a", "locale": "en-GB-oed"}');
SELECT * FROM pg_temp.user('src', 'POST', '/Users', '{"userName": "Ann", "nickName": "a", "locale": "en", "userType": "ADMIN", "preferredLanguage": "fr", "active": true, "title": "Boss",
	"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"department": "sad", "division": "Employee"},
	"urn:example:source:2.0:User": {"vip": true, "born": "2000-01-02T03:04:05+01:00", "seen": "1969-12-31T23:59:59.5Z", "used": "2020-01-01T00:00:00.123Z"}}');
SELECT login, login_lower, role, status, title, deactivated, born, seen, used, made > 1700000000000 AS made, changed IS NOT NULL AS changed FROM src.users;
SELECT * FROM pg_temp.user('src', 'POST', '/Users', '{"userName": "ANN", "nickName": "b", "locale": "en"}');
SELECT * FROM pg_temp.user('src', 'POST', '/Users', '{"userName": "bob", "nickName": "b", "locale": "en", "userType": "boss"}');
SELECT * FROM pg_temp.user('src', 'POST', '/Users', '{"userName": "bob", "nickName": "b", "locale": "en", "active": false}');
INSERT INTO src.users (login, role, nick, locale, made, changed) VALUES ('cid', 3, 'c', 'de', 0, '2020-01-01');
-- a state that is repeated writes nothing; one that was kept stays
UPDATE src.users SET deactivated = '2001-01-01Z' WHERE login = 'bob';
SELECT (pg_temp.patch('src', '/Users/' || id, '[{"op": "replace", "path": "active", "value": false}, {"op": "replace", "path": "userType", "value": "member"}]')).status, xmin = (SELECT xmin FROM src.users WHERE login = 'bob') AS same
  FROM src.users WHERE login = 'bob';
SELECT (pg_temp.patch('src', '/Users/' || id, '[{"op": "replace", "path": "title", "value": "T"}]')).status FROM src.users WHERE login = 'bob';
SELECT deactivated AT TIME ZONE 'UTC' AS deactivated, role, title FROM src.users WHERE login = 'bob';
-- null: a substitute, a default, a real null, or none allowed
SELECT c.* FROM src.users, pg_temp.patch('src', '/Users/' || id, '[{"op": "remove", "path": "title"}, {"op": "remove", "path": "userType"}, {"op": "remove", "path": "urn:example:source:2.0:User:vip"}, {"op": "remove", "path": "urn:example:source:2.0:User:seen"}]') c WHERE login = 'Ann';
SELECT role, status, title, seen FROM src.users WHERE login = 'Ann';
SELECT c.status, c.answer FROM src.users, pg_temp.patch('src', '/Users/' || id, '[{"op": "remove", "path": "locale"}]') c WHERE login = 'Ann';
SELECT (pg_temp.patch('src', '/Users/' || id, '[{"op": "replace", "path": "title", "value": "Chef"}, {"op": "replace", "path": "urn:example:source:2.0:User:vip", "value": true}, {"op": "replace", "path": "urn:example:source:2.0:User:seen", "value": "2020-06-01T00:00:00Z"}]')).status FROM src.users WHERE login = 'Ann';
SET timezone = 'Asia/Tokyo'; SET datestyle = 'SQL, DMY';
SELECT * FROM pg_temp.find('src', 'title eq "chef"', 'title ne "chef"', 'title pr', 'not (title pr)', 'title eq ""', 'title sw "t"', 'title eq null',
	'userType eq "Member"', 'userType ne "member"', 'userType sw "mem"', 'userType pr', 'userType eq "boss"',
	'active eq true', 'active eq false', 'active ne true', 'preferredLanguage eq "EN"',
	'urn:example:source:2.0:User:vip eq true', 'urn:example:source:2.0:User:vip eq false',
	'urn:example:source:2.0:User:born eq "2000-01-02T02:04:05Z"', 'urn:example:source:2.0:User:born lt "2000-01-02T02:04:05.1Z"',
	'urn:example:source:2.0:User:seen eq "2020-06-01T02:00:00+02:00"', 'urn:example:source:2.0:User:seen gt "2020-05-31T23:59:59.999Z"', 'urn:example:source:2.0:User:seen ne "2020-06-01T00:00:00Z"',
	'urn:example:source:2.0:User:used eq "2020-01-01T00:00:00.123Z"', 'urn:example:source:2.0:User:used gt "2020-01-01T00:00:00.1225Z"', 'urn:example:source:2.0:User:used lt "2020-01-01T00:00:00.123Z"',
	'meta.created eq "1970-01-01T00:00:00Z"', 'meta.lastModified le "2020-01-01T00:00:00Z"');
RESET timezone; RESET datestyle;
SELECT substring(l FROM 'WHERE (.*) ORDER') AS predicate FROM unnest(ARRAY['title eq "x"', 'userType eq "member"', 'urn:example:source:2.0:User:seen gt "2020-01-01T00:00:00Z"', 'urn:example:source:2.0:User:born gt "2020-01-01T00:00:00Z"']) f, scim.explain('src', 'User', f) l WHERE l LIKE 'SELECT %';
SELECT scim.drop_endpoint('src'), scim.drop_mapping('src_users');

-- ---- several values in one row ----
SET ROLE scim_regress_source;
CREATE TABLE src.many (
	id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
	login text NOT NULL UNIQUE,
	is_admin boolean NOT NULL DEFAULT false, blocked boolean NOT NULL DEFAULT true,
	mail text, mail_verified text, home text,
	tags text[], labels text NOT NULL DEFAULT '', phones text,
	data jsonb NOT NULL DEFAULT '{"keep": [1]}', blob text, extra json
);
RESET ROLE;
SELECT scim.create_mapping('src_many', 'User', 'src.many', attributes => '{
	"userName": "login",
	"roles[value eq \"admin\"]": "is_admin",
	"roles[value eq \"poster\" and type eq \"forum\"]": "NOT blocked",
	"emails[type eq \"work\"].value": "mail",
	"emails[type eq \"work\"].display": "mail_verified",
	"emails[type eq \"home\"].value": {"column": "home", "null": "-"},
	"phoneNumbers": {"column": "phones", "delimiter": ",", "fixed": {"type": "work"}},
	"urn:example:source:2.0:User:tags": "tags",
	"urn:example:source:2.0:User:labels": {"column": "labels", "delimiter": ";"},
	"urn:example:source:2.0:User:langs": {"column": "data", "path": "profile.langs"},
	"urn:example:source:2.0:User:size": {"column": "data", "path": ["profile", "size"]},
	"urn:example:source:2.0:User:vip": {"column": "data", "path": "vip"},
	"displayName": {"column": "data", "path": "full_name"},
	"title": {"column": "blob", "path": "job.title"},
	"nickName": {"column": "blob", "path": "nick"},
	"ims": {"column": "extra", "path": "ims", "keys": {"value": "id", "type": "net", "primary": "main"}}
}', owner => 'scim_regress_source');
SELECT scim.create_endpoint('many', mappings => '{src_many}', public_url => 'https://x');
SELECT * FROM pg_temp.user('many', 'POST', '/Users', '{"userName": "ann", "displayName": "Ann A.", "title": "Boss", "nickName": "An",
	"roles": [{"value": "admin"}], "emails": [{"value": "a@x", "type": "work", "display": "yes"}, {"value": "h@x", "type": "home", "primary": true}],
	"phoneNumbers": [{"value": "+1", "type": "work"}, {"value": "+2"}, {"value": "+3", "type": "fax"}],
	"ims": [{"value": "a1", "type": "xmpp", "primary": true}, {"value": "a2", "type": "aim"}],
	"urn:example:source:2.0:User": {"tags": ["x", "y,z"], "labels": ["l1", "l2"], "langs": ["en", "de"], "size": 42, "vip": true}}');
SELECT * FROM src.many;
SELECT * FROM pg_temp.user('many', 'POST', '/Users', '{"userName": "bob", "roles": [{"value": "poster", "type": "forum"}]}');
SELECT * FROM pg_temp.user('many', 'POST', '/Users', '{"userName": "cid", "urn:example:source:2.0:User": {"labels": ["a;b"]}}');
-- siblings stay; what is empty goes
UPDATE src.many SET data = data || '{"other": {"deep": true}}', blob = '{"job": {"level": 3, "title": "Boss"}, "nick": "An"}' WHERE login = 'ann';
SELECT c.status FROM src.many, pg_temp.patch('many', '/Users/' || id, '[{"op": "replace", "path": "title", "value": "Chef"}, {"op": "remove", "path": "nickName"}, {"op": "remove", "path": "displayName"},
	{"op": "remove", "path": "urn:example:source:2.0:User:langs"}, {"op": "add", "path": "urn:example:source:2.0:User:tags", "value": ["w"]}, {"op": "remove", "path": "urn:example:source:2.0:User:labels"},
	{"op": "remove", "path": "emails"}, {"op": "replace", "path": "roles", "value": [{"value": "poster", "type": "forum"}]}, {"op": "remove", "path": "ims[type eq \"aim\"]"}]') c WHERE login = 'ann';
SELECT * FROM src.many WHERE login = 'ann';
SELECT answer FROM src.many, pg_temp.call('many', 'GET', '/Users/' || id) WHERE login = 'ann';
-- what is no object, no list, no boolean is none
UPDATE src.many SET data = '{"vip": "maybe", "profile": {"size": "big", "langs": "en"}}', blob = '' WHERE login = 'bob';
SELECT answer FROM src.many, pg_temp.call('many', 'GET', '/Users/' || id) WHERE login = 'bob';
SELECT (pg_temp.patch('many', '/Users/' || id, '[{"op": "add", "path": "urn:example:source:2.0:User:langs", "value": ["fr"]}, {"op": "add", "value": {"title": "T", "emails": [{"type": "work", "value": "b@x"}]}}]')).status FROM src.many WHERE login = 'bob';
SELECT data, blob, mail FROM src.many WHERE login = 'bob';
SELECT * FROM pg_temp.find('many', 'roles.value eq "admin"', 'roles[value eq "poster" and type eq "forum"]', 'roles pr', 'not (roles.value eq "poster")', 'roles.value ne "admin"',
	'emails[type eq "work" and value sw "B@"]', 'emails pr', 'emails.type eq "home"',
	'phoneNumbers.value eq "+2"', 'phoneNumbers[type eq "work" and value eq "+1"]', 'phoneNumbers pr',
	'urn:example:source:2.0:User:tags eq "w"', 'urn:example:source:2.0:User:tags pr', 'urn:example:source:2.0:User:labels pr', 'urn:example:source:2.0:User:langs eq "FR"',
	'urn:example:source:2.0:User:size gt 41', 'urn:example:source:2.0:User:size pr', 'urn:example:source:2.0:User:vip eq true', 'urn:example:source:2.0:User:vip ne true',
	'title eq "chef"', 'title pr', 'ims[type eq "xmpp" and primary eq true]', 'ims[primary eq false]', 'ims.value co "A"');
-- strict: what has no place is refused
SELECT scim.create_endpoint('strict', mappings => '{src_many}', public_url => 'https://x', mode => 'strict');
SELECT * FROM pg_temp.user('strict', 'POST', '/Users', '{"userName": "dan", "roles": [{"value": "king"}]}');
SELECT * FROM pg_temp.user('strict', 'POST', '/Users', '{"userName": "dan", "emails": [{"value": "d@x", "type": "work"}, {"value": "d2@x", "type": "work"}]}');
SELECT scim.drop_endpoint('many'), scim.drop_endpoint('strict'), scim.drop_mapping('src_many');

-- ---- rows of other tables ----
SET ROLE scim_regress_source;
CREATE TABLE src.person (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, login text NOT NULL UNIQUE);
CREATE TABLE src.profile (person int PRIMARY KEY REFERENCES src.person ON DELETE CASCADE, full_name text, city text, born date);
CREATE TABLE src.meta (person int REFERENCES src.person ON DELETE CASCADE, scope text, key text, value text NOT NULL, PRIMARY KEY (person, scope, key));
CREATE TABLE src.mail (id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, person int REFERENCES src.person ON DELETE CASCADE, mail text NOT NULL, main boolean NOT NULL, made timestamptz NOT NULL,
	label text NOT NULL DEFAULT 'none', UNIQUE (person, mail));
CREATE UNIQUE INDEX one_main ON src.mail (person) WHERE main;
CREATE TABLE src.contact (person int REFERENCES src.person ON DELETE CASCADE, what text NOT NULL, number text NOT NULL, place int NOT NULL, UNIQUE (what, number));
RESET ROLE;
SELECT scim.create_mapping('src_person', 'User', 'src.person', attributes => '{
	"userName": "login",
	"displayName": {"table": "src.profile", "parent": "person", "column": "full_name"},
	"locale": {"table": "src.profile", "parent": "person", "column": "city", "default": "nowhere"},
	"nickName": {"table": "src.meta", "parent": "person", "where": {"scope": "app", "key": "nick"}, "column": "value"},
	"active": {"table": "src.meta", "parent": "person", "where": {"scope": "app", "key": "state"}, "column": "value", "codes": {"on": true, "off": false}},
	"addresses[type eq \"home\"].locality": {"table": "src.meta", "parent": "person", "where": {"scope": "app", "key": "home"}, "column": "value"},
	"emails": {"table": "src.mail", "parent": "person", "columns": {"value": "mail", "type": {"column": "main", "codes": {"true": "work", "false": "other"}}, "primary": "main", "display": "label"},
		"insert": {"made": "now()"}, "order": "id"},
	"phoneNumbers": [{"table": "src.contact", "parent": "person", "columns": {"value": "number"}, "where": {"what": "phone"}, "fixed": {"type": "work"}, "order": "place"},
		{"table": "src.contact", "parent": "person", "columns": {"value": "number"}, "where": {"what": "fax"}, "fixed": {"type": "fax"}, "order": "place"}]
}', owner => 'scim_regress_source');
SELECT scim.create_endpoint('person', mappings => '{src_person}', public_url => 'https://x');
SELECT * FROM pg_temp.user('person', 'POST', '/Users', '{"userName": "ann", "displayName": "Ann", "nickName": "An", "active": true, "addresses": [{"type": "home", "locality": "Rome"}],
	"emails": [{"value": "a@x", "type": "work", "primary": true}, {"value": "b@x"}],
	"phoneNumbers": [{"value": "+1", "type": "work"}, {"value": "+9", "type": "fax"}, {"value": "+2", "type": "work"}, {"value": "+5", "type": "pager"}]}');
SELECT * FROM pg_temp.user('person', 'POST', '/Users', '{"userName": "bob"}');
SELECT login, full_name, city FROM src.person LEFT JOIN src.profile ON person = id ORDER BY 1;
SELECT person, key, value FROM src.meta ORDER BY 1, 2;
SELECT person, mail, main, label FROM src.mail ORDER BY id;
SELECT * FROM src.contact ORDER BY what, place;
-- moving the primary, swapping values: no statement breaks a unique index
SELECT c.* FROM src.person, pg_temp.patch('person', '/Users/' || id, '[{"op": "replace", "path": "emails[value eq \"a@x\"].primary", "value": false}, {"op": "replace", "path": "emails[value eq \"a@x\"].type", "value": "other"},
	{"op": "replace", "path": "emails[value eq \"b@x\"].primary", "value": true}, {"op": "replace", "path": "emails[value eq \"b@x\"].type", "value": "work"},
	{"op": "replace", "path": "phoneNumbers", "value": [{"value": "+9", "type": "work"}, {"value": "+1", "type": "fax"}]},
	{"op": "remove", "path": "nickName"}, {"op": "replace", "path": "active", "value": false}, {"op": "remove", "path": "displayName"}, {"op": "replace", "path": "locale", "value": "Rome"}]') c WHERE login = 'ann';
SELECT person, key, value FROM src.meta ORDER BY 1, 2;
SELECT * FROM src.profile;
SELECT * FROM src.contact ORDER BY what, place;
SELECT c.status FROM src.person, pg_temp.patch('person', '/Users/' || id, '[{"op": "add", "path": "nickName", "value": "B"}, {"op": "add", "path": "displayName", "value": "Bob"}]') c WHERE login = 'bob';
SELECT * FROM pg_temp.user('person', 'POST', '/Users', '{"userName": "cid", "phoneNumbers": [{"value": "+1", "type": "fax"}]}');
SELECT * FROM pg_temp.find('person', 'displayName eq "BOB"', 'displayName pr', 'displayName ne "bob"', 'nickName sw "b"', 'nickName pr', 'active eq false', 'active eq true', 'active ne false', 'locale eq "nowhere"', 'locale eq "rome"',
	'addresses.locality eq "rome"', 'addresses[type eq "home"]', 'emails[type eq "work"].value eq "b@x"', 'emails[primary eq true and value eq "a@x"]', 'phoneNumbers[type eq "fax"].value eq "+1"');
SELECT (pg_temp.call('person', 'DELETE', '/Users/' || id)).status FROM src.person ORDER BY id;
SELECT count(*) FROM src.meta;
SELECT scim.drop_endpoint('person'), scim.drop_mapping('src_person');
SELECT scim.drop_schema('urn:example:source:2.0:User');
DROP SCHEMA src CASCADE;
REVOKE ALL ON SCHEMA scim FROM scim_regress_source;
REVOKE ALL ON FUNCTION scim.fold(text) FROM scim_regress_source;
REVOKE ALL ON TABLE scim.resource_state FROM scim_regress_source;
DROP ROLE scim_regress_source;
