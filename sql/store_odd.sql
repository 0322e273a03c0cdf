-- Mapped relations, values and callers that are out of the ordinary.
\set VERBOSITY terse
SET client_min_messages = warning;
SELECT scim.setup();
CREATE ROLE scim_regress_odd;
CREATE SCHEMA odd AUTHORIZATION scim_regress_odd;
CREATE FUNCTION pg_temp.call(endpoint text, method text, path text, body text DEFAULT NULL, OUT status int, OUT answer text)
	LANGUAGE sql AS $$
	SELECT h.status, regexp_replace(regexp_replace(h.body, '"meta":[{][^}]*[}]', '"meta":*', 'g'), '"schemas":[[][^]]*[]],?', '', 'g')
	  FROM scim.handle(endpoint, method, path, '{}', body) h
$$;
-- Make or change a user by its attributes alone.
CREATE FUNCTION pg_temp.user(endpoint text, method text, path text, attributes jsonb, OUT status int, OUT answer text)
	LANGUAGE sql AS $$
	SELECT c.* FROM pg_temp.call(endpoint, method, path, (attributes || '{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"]}')::text) c
$$;
CREATE FUNCTION pg_temp.patch(endpoint text, path text, operations jsonb, OUT status int, OUT answer text)
	LANGUAGE sql AS $$
	SELECT c.* FROM pg_temp.call(endpoint, 'PATCH', path, jsonb_build_object('schemas', '["urn:ietf:params:scim:api:messages:2.0:PatchOp"]'::jsonb, 'Operations', operations)::text) c
$$;
SELECT scim.create_schema('{"id": "urn:example:odd:2.0:User", "name": "Odd", "attributes": [
	{"name": "tags", "type": "string", "multiValued": true},
	{"name": "born", "type": "dateTime"},
	{"name": "seen", "type": "dateTime"},
	{"name": "day", "type": "string"},
	{"name": "span", "type": "string"},
	{"name": "bytes", "type": "string"},
	{"name": "size", "type": "decimal"},
	{"name": "code", "type": "string"},
	{"name": "short", "type": "string"},
	{"name": "mood", "type": "string"}]}', extends => 'User');

-- ---- values in columns of many types ----
SET ROLE scim_regress_odd;
CREATE DOMAIN odd.short AS varchar(3);
CREATE DOMAIN odd.login AS text CHECK (VALUE <> 'root');
CREATE TYPE odd.mood AS ENUM ('sad', 'Happy');
CREATE TABLE odd."User" (
	"Key" bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
	"select" odd.login UNIQUE,
	born timestamptz, seen timestamp, day date, span interval, bytes bytea, size float8,
	code char(6), short odd.short, mood odd.mood,
	twice text GENERATED ALWAYS AS ("select"::text || '!') STORED,
	made timestamptz DEFAULT '2020-01-01', touched timestamptz);
CREATE TABLE odd.tag (owner bigint REFERENCES odd."User" ON DELETE CASCADE, tag text);
RESET ROLE;
SELECT scim.create_mapping('odd_users', 'User', 'odd."User"', attributes => '{
	"userName": "select", "displayName": "twice", "meta.created": "made",
	"urn:example:odd:2.0:User:tags": {"table": "odd.tag", "parent": "owner", "columns": {"value": "tag"}},
	"urn:example:odd:2.0:User:born": "born", "urn:example:odd:2.0:User:seen": "seen", "urn:example:odd:2.0:User:day": "day",
	"urn:example:odd:2.0:User:span": "span", "urn:example:odd:2.0:User:bytes": "bytes", "urn:example:odd:2.0:User:size": "size",
	"urn:example:odd:2.0:User:code": "code", "urn:example:odd:2.0:User:short": "short", "urn:example:odd:2.0:User:mood": "mood"
}', owner => 'scim_regress_odd');
SELECT scim.create_endpoint('odd', mappings => '{odd_users}', public_url => 'https://x');
-- texts are not cut: char(6) holds six characters, and a domain over varchar(3) no more than three
SELECT * FROM pg_temp.user('odd', 'POST', '/Users', '{"userName": "ann", "urn:example:odd:2.0:User": {"code": "abc"}}');
SELECT * FROM pg_temp.call('odd', 'GET', '/Users?attributes=userName&filter=urn:example:odd:2.0:User:code%20eq%20%22abc%22');
SELECT * FROM pg_temp.user('odd', 'POST', '/Users', '{"userName": "bob", "urn:example:odd:2.0:User": {"short": "abcd"}}');
SELECT * FROM pg_temp.user('odd', 'POST', '/Users', '{"userName": "bob", "urn:example:odd:2.0:User": {"code": "abcdefg"}}');
-- domains and enums refuse as they do in SQL
SELECT * FROM pg_temp.user('odd', 'POST', '/Users', '{"userName": "root"}');
SELECT * FROM pg_temp.user('odd', 'POST', '/Users', '{"userName": "bob", "urn:example:odd:2.0:User": {"mood": "glad"}}');
-- the caller's settings are not the client's
CREATE FUNCTION pg_temp.show(OUT answer text) LANGUAGE sql AS $$ SELECT c.answer FROM pg_temp.call('odd', 'GET', '/Users?filter=userName%20eq%20%22carl%22') c $$;
SET timezone = 'Asia/Tokyo'; SET datestyle = 'SQL, DMY'; SET intervalstyle = 'iso_8601'; SET extra_float_digits = -5; SET bytea_output = 'escape'; SET standard_conforming_strings = off;
SELECT * FROM pg_temp.user('odd', 'POST', '/Users', '{"userName": "carl", "urn:example:odd:2.0:User": {"born": "1969-12-31T23:59:59.5+02:00", "seen": "2020-02-03T10:00:00+02:00",
	"day": "2020-02-03", "span": "1 day 2 hours", "bytes": "abc", "size": 0.1234567890123, "mood": "Happy"}}');
SELECT * FROM pg_temp.call('odd', 'GET', '/Users?attributes=userName&filter=urn:example:odd:2.0:User:seen%20eq%20%222020-02-03T08:00:00Z%22%20and%20urn:example:odd:2.0:User:born%20lt%20%221969-12-31T22:00:00Z%22');
SELECT * FROM pg_temp.call('odd', 'GET', '/Users?attributes=userName&filter=urn:example:odd:2.0:User:mood%20eq%20%22HAPPY%22');
-- a dateTime without a zone is UTC, also where it is stored
SELECT status FROM pg_temp.patch('odd', '/Users/' || (SELECT "Key" FROM odd."User" WHERE "select" = 'carl'), '[{"op": "replace", "path": "urn:example:odd:2.0:User:born", "value": "1960-01-01T00:00:00"}]');
SELECT pg_temp.show() AS elsewhere \gset
RESET timezone; RESET datestyle; RESET intervalstyle; RESET extra_float_digits; RESET bytea_output; RESET standard_conforming_strings;
SELECT pg_temp.show() = :'elsewhere' AS same, born AT TIME ZONE 'UTC' AS born, seen FROM odd."User" WHERE "select" = 'carl';
-- times that RFC 3339 has no form for
UPDATE odd."User" SET born = 'infinity', seen = '-infinity', made = 'infinity' WHERE "select" = 'ann';
SELECT * FROM pg_temp.call('odd', 'GET', '/Users?filter=userName%20eq%20%22ann%22');
SELECT body FROM scim.handle('odd', 'GET', '/Users?attributes=meta.created&filter=userName%20eq%20%22ann%22');
UPDATE odd."User" SET born = '294276-12-31', seen = '0001-01-01 BC', made = '4713-01-01 BC' WHERE "select" = 'ann';
SELECT body FROM scim.handle('odd', 'GET', '/Users?attributes=meta.created,urn:example:odd:2.0:User:born,urn:example:odd:2.0:User:seen&filter=userName%20eq%20%22ann%22');
SELECT u, c.* FROM unnest('{9999-12-31T23:59:59Z,0001-01-01T00:00:00Z,-0001-01-01T00:00:00Z,12345-01-01T00:00:00Z}'::text[]) u,
	pg_temp.user('odd', 'POST', '/Users', jsonb_build_object('userName', u, 'urn:example:odd:2.0:User', jsonb_build_object('born', u))) c;
-- values of a simple attribute: null is none of them
SELECT (pg_temp.user('odd', 'POST', '/Users', '{"userName": "tags", "urn:example:odd:2.0:User": {"tags": ["x", "y"]}}')).status;
INSERT INTO odd.tag SELECT "Key", v FROM odd."User", unnest('{NULL,z,NULL}'::text[]) v WHERE "select" = 'tags';
SELECT answer::json FROM pg_temp.call('odd', 'GET', '/Users?attributes=urn:example:odd:2.0:User:tags&filter=userName%20eq%20%22tags%22');
-- only child rows change, and the key is nothing one can write
SELECT (pg_temp.patch('odd', '/Users/' || "Key", '[{"op": "add", "path": "urn:example:odd:2.0:User:tags", "value": ["w"]}]')).status FROM odd."User" WHERE "select" = 'tags';
SELECT c.* FROM odd."User", pg_temp.patch('odd', '/Users/' || "Key", '[{"op": "remove", "path": "urn:example:odd:2.0:User:tags"}]') c WHERE "select" = 'tags';
-- pages at the ends of the integers; ids that are none
SELECT c.*, q FROM unnest('{startIndex=9223372036854775807,startIndex=9223372036854775807&count=0,startIndex=9223372036854775808,startIndex=-9223372036854775808&count=0,count=-9223372036854775808,count=9223372036854775807&startIndex=9223372036854775806}'::text[]) q, pg_temp.call('odd', 'GET', '/Users?attributes=id&' || q) c;
SELECT i, (pg_temp.call('odd', m, '/Users/' || i)).status FROM unnest('{0,01,+1,-1,1.0,1e0,9223372036854775807,9223372036854775808,99999999999999999999,%20,1%20,x}'::text[]) i, unnest('{GET,DELETE}'::text[]) m;

-- ---- who may set a scope column: the endpoint ----
SET ROLE scim_regress_odd;
CREATE TABLE odd.scoped (id text PRIMARY KEY, org int NOT NULL, login text);
CREATE TABLE odd.scoped_mail (owner text, org int, mail text);
RESET ROLE;
CREATE FUNCTION pg_temp.try(attributes jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
BEGIN
	PERFORM scim.create_mapping('scoped', 'User', 'odd.scoped', attributes => attributes, owner => 'scim_regress_odd');
	PERFORM scim.create_endpoint('scoped', mappings => '{scoped}', scope => '{"org": 1}');
	RAISE EXCEPTION 'made';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	RETURN concat_ws(' ', SQLERRM, nullif(detail, ''));
END $$;
SELECT pg_temp.try('{"userName": "login"}');
SELECT pg_temp.try('{"userName": "org"}');
SELECT pg_temp.try('{"userName": "login", "emails[type eq \"work\"].value": "org"}');
SELECT pg_temp.try('{"userName": "login", "meta.version": "org"}');
SELECT pg_temp.try('{"userName": "login", "emails": {"table": "odd.scoped_mail", "parent": "owner", "columns": {"value": "mail", "type": "org"}}}');
SELECT pg_temp.try('{"userName": "login", "emails": {"table": "odd.scoped_mail", "parent": "owner", "columns": {"value": "mail"}}}');

-- ---- views ----
SET ROLE scim_regress_odd;
CREATE TABLE odd.base (id text, login text);
CREATE VIEW odd.view AS SELECT id, login FROM odd.base;
CREATE FUNCTION odd.instead() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP = 'INSERT' THEN
		INSERT INTO odd.base VALUES (CASE WHEN NEW.login <> 'keyless' THEN 'k-' || NEW.login END, NEW.login);
		IF NEW.login <> 'keyless' THEN NEW.id := 'k-' || NEW.login; END IF;
		RETURN NEW;
	ELSIF TG_OP = 'UPDATE' THEN
		UPDATE odd.base SET login = NEW.login WHERE id = OLD.id;
		RETURN NEW;
	END IF;
	DELETE FROM odd.base WHERE id = OLD.id;
	RETURN OLD;
END $$;
CREATE TRIGGER instead INSTEAD OF INSERT OR UPDATE OR DELETE ON odd.view FOR EACH ROW EXECUTE FUNCTION odd.instead();
RESET ROLE;
SELECT scim.create_mapping('odd_view', 'User', 'odd.view', key => 'id', attributes => '{"userName": "login"}', owner => 'scim_regress_odd');
SELECT scim.create_endpoint('view', mappings => '{odd_view}', public_url => 'https://x');
SELECT * FROM pg_temp.user('view', 'POST', '/Users', '{"userName": "a"}');
SELECT * FROM pg_temp.user('view', 'PUT', '/Users/k-a', '{"userName": "b"}');
-- a row without an id is no resource
SELECT * FROM pg_temp.user('view', 'POST', '/Users', '{"userName": "keyless"}');
INSERT INTO odd.base VALUES (NULL, 'nobody');
SELECT * FROM pg_temp.call('view', 'GET', '/Users?count=1');
SELECT * FROM pg_temp.call('view', 'GET', '/Users?count=0');
SELECT * FROM pg_temp.call('view', 'DELETE', '/Users/k-a');
SELECT * FROM odd.base;

-- ---- partitions ----
SET ROLE scim_regress_odd;
CREATE TABLE odd.part (id uuid NOT NULL DEFAULT gen_random_uuid(), org int NOT NULL, login text NOT NULL, PRIMARY KEY (org, id), UNIQUE (org, login)) PARTITION BY LIST (org);
CREATE TABLE odd.part1 PARTITION OF odd.part FOR VALUES IN (1);
RESET ROLE;
SELECT scim.create_mapping('odd_part', 'User', 'odd.part', key => 'id', attributes => '{"userName": "login"}', owner => 'scim_regress_odd');
SELECT scim.create_endpoint('part1', mappings => '{odd_part}', scope => '{"org": 1}');
SELECT scim.create_endpoint('part2', mappings => '{odd_part}', scope => '{"org": 2}');
SELECT status FROM pg_temp.user('part1', 'POST', '/Users', '{"userName": "a"}');
-- the constraint that says so is the partition's
SELECT status, answer FROM pg_temp.user('part1', 'POST', '/Users', '{"userName": "a"}');
SELECT status, answer FROM pg_temp.user('part2', 'POST', '/Users', '{"userName": "a"}');
SELECT (pg_temp.user('part1', 'PUT', '/Users/' || id, '{"userName": "b"}')).status FROM odd.part;
SELECT (pg_temp.call('part2', 'GET', '/Users/' || id)).status, (pg_temp.call('part1', 'DELETE', '/Users/' || id)).status FROM odd.part;

-- ---- row security binds the owner, and his plans ----
SET ROLE scim_regress_odd;
CREATE TABLE odd.rls (id text PRIMARY KEY DEFAULT gen_random_uuid(), login text, who name DEFAULT current_user);
ALTER TABLE odd.rls ENABLE ROW LEVEL SECURITY;
ALTER TABLE odd.rls FORCE ROW LEVEL SECURITY;
CREATE POLICY mine ON odd.rls USING (who = current_user AND login <> 'secret');
RESET ROLE;
INSERT INTO odd.rls VALUES ('1', 'a', 'scim_regress_odd'), ('2', 'secret', 'scim_regress_odd'), ('3', 'c', 'somebody');
SELECT scim.create_mapping('odd_rls', 'User', 'odd.rls', attributes => '{"userName": "login"}', owner => 'scim_regress_odd');
SELECT scim.create_endpoint('rls', mappings => '{odd_rls}', public_url => 'https://x');
SELECT * FROM pg_temp.call('rls', 'GET', '/Users');
SELECT i, (pg_temp.call('rls', 'DELETE', '/Users/' || i)).status FROM unnest('{2,3}'::text[]) i;
SELECT * FROM odd.rls ORDER BY id;

-- ---- triggers that do what they should not in the middle of a request ----
SET ROLE scim_regress_odd;
CREATE TABLE odd.live (id int PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY, login text UNIQUE DEFERRABLE INITIALLY DEFERRED, title text);
CREATE TABLE odd.phone (id int REFERENCES odd.live ON DELETE CASCADE, number text, kind text, CONSTRAINT one_kind UNIQUE (id, kind) DEFERRABLE INITIALLY DEFERRED);
RESET ROLE;
SELECT scim.create_mapping('odd_live', 'User', 'odd.live', attributes => '{"userName": "login", "title": "title",
	"phoneNumbers": {"table": "odd.phone", "parent": "id", "columns": {"value": "number", "type": "kind"}}}', owner => 'scim_regress_odd');
SELECT scim.create_endpoint('live', mappings => '{odd_live}', public_url => 'https://x');
SET ROLE scim_regress_odd;
CREATE FUNCTION odd.do_it() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.title IS NOT NULL THEN EXECUTE NEW.title; END IF; RETURN NEW; END $$;
CREATE TRIGGER do_it BEFORE INSERT OR UPDATE ON odd.live FOR EACH ROW EXECUTE FUNCTION odd.do_it();
RESET ROLE;
GRANT EXECUTE ON FUNCTION scim.handle TO scim_regress_odd;
-- columns come and go
SELECT * FROM pg_temp.user('live', 'POST', '/Users', '{"userName": "a", "title": "ALTER TABLE odd.phone ALTER kind TYPE varchar(5)"}');
SELECT * FROM pg_temp.user('live', 'POST', '/Users', '{"userName": "b", "title": "ALTER TABLE odd.phone RENAME number TO num", "phoneNumbers": [{"value": "+1"}]}');
SELECT status, regexp_replace(answer, 'request [0-9a-f-]{36}', 'request *') AS answer FROM pg_temp.user('live', 'POST', '/Users', '{"userName": "b", "title": "ALTER TABLE odd.live DROP title"}');
-- so does a constraint that is to be deferred again
BEGIN;
SAVEPOINT s;
SELECT * FROM pg_temp.user('live', 'POST', '/Users', '{"userName": "b", "title": "ALTER TABLE odd.phone DROP CONSTRAINT one_kind"}');
ROLLBACK TO s;
SELECT * FROM pg_temp.call('live', 'GET', '/Users?count=0');
COMMIT;
DO $$
BEGIN
	BEGIN
		PERFORM pg_temp.user('live', 'POST', '/Users', '{"userName": "b", "title": "ALTER TABLE odd.phone DROP CONSTRAINT one_kind"}');
	EXCEPTION WHEN OTHERS THEN
		RAISE WARNING '%', SQLERRM;
	END;
	RAISE WARNING 'status %', (pg_temp.call('live', 'GET', '/Users?count=0')).status;
END $$;
-- a request in a request, on the same table; its failure is its own
SELECT * FROM pg_temp.user('live', 'POST', '/Users', jsonb_build_object('userName', 'outer', 'title',
	$$SELECT scim.handle('live', 'POST', '/Users', body => '{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "inner"}')$$,
	'phoneNumbers', '[{"value": "+1"}]'::jsonb));
SELECT * FROM pg_temp.user('live', 'POST', '/Users', jsonb_build_object('userName', 'outer2', 'title',
	$$SELECT scim.handle('live', 'POST', '/Users', body => '{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "inner"}')$$,
	'phoneNumbers', '[{"value": "+2", "type": "x"}, {"value": "+3", "type": "x"}]'::jsonb));
SELECT l.login, p.number, p.kind FROM odd.live l LEFT JOIN odd.phone p USING (id) ORDER BY login, number;
-- and one that fills the store of plans with its filters while a statement runs
CREATE FUNCTION odd.many(n int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1..n LOOP
		PERFORM scim.handle('live', 'GET', '/Users?count=0&filter=' || (SELECT string_agg(CASE WHEN i >> b & 1 = 0 THEN 'userName%20pr' ELSE 'title%20pr' END, '%20or%20') FROM generate_series(0, 9) b));
	END LOOP;
END $$;
GRANT EXECUTE ON FUNCTION odd.many TO scim_regress_odd;
SELECT status FROM pg_temp.user('live', 'POST', '/Users', '{"userName": "many", "title": "SELECT odd.many(300)"}');
SELECT odd.many(600);
SELECT status FROM pg_temp.user('live', 'POST', '/Users', '{"userName": "many2", "title": "SELECT odd.many(300)"}');
-- a column of another type: the next request knows
DROP TRIGGER do_it ON odd.live;
ALTER TABLE odd.live DROP title, ADD title int;
SELECT status, answer FROM pg_temp.user('live', 'POST', '/Users', '{"userName": "late", "title": "42"}');
SELECT scim.alter_mapping('odd_live');
SELECT status, answer FROM pg_temp.user('live', 'POST', '/Users', '{"userName": "late", "title": "42"}');

-- ---- exception blocks, savepoints ----
DO $$
DECLARE
	n int;
BEGIN
	FOR i IN 1..3 LOOP
		BEGIN
			PERFORM pg_temp.user('view', 'POST', '/Users', jsonb_build_object('userName', 'x' || i));
			IF i = 2 THEN RAISE EXCEPTION 'no'; END IF;
		EXCEPTION WHEN raise_exception THEN NULL;
		END;
		BEGIN
			PERFORM scim.handle('nowhere', 'GET', '/Users');
		EXCEPTION WHEN undefined_object THEN NULL;
		END;
	END LOOP;
	SELECT count(*) INTO n FROM odd.base WHERE login LIKE 'x%';
	RAISE WARNING '% users', n;
END $$;
-- deep down
CREATE FUNCTION pg_temp.deep(n int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	RETURN CASE WHEN n = 0 THEN (pg_temp.call('view', 'GET', '/Users?count=0')).status ELSE pg_temp.deep(n - 1) END;
EXCEPTION WHEN division_by_zero THEN RETURN 0;
END $$;
SELECT pg_temp.deep(100);

-- ---- clean up ----
SELECT scim.drop_endpoint(e) FROM unnest('{odd,view,part1,part2,rls,live}'::text[]) e;
SELECT scim.drop_mapping(m) FROM unnest('{odd_users,odd_view,odd_part,odd_rls,odd_live}'::text[]) m;
SELECT scim.drop_schema('urn:example:odd:2.0:User');
DROP SCHEMA odd CASCADE;
REVOKE ALL ON SCHEMA scim FROM scim_regress_odd;
REVOKE ALL ON FUNCTION scim.fold(text), scim.handle FROM scim_regress_odd;
REVOKE ALL ON TABLE scim.resource_state FROM scim_regress_odd;
DROP ROLE scim_regress_odd;
