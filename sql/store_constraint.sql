-- Constraints of mapped tables: what each error says in SCIM, and statements in an order that unique indexes allow.
\set VERBOSITY terse
SET client_min_messages = warning;
SELECT scim.setup();
CREATE ROLE scim_regress_constraint;
CREATE SCHEMA con AUTHORIZATION scim_regress_constraint;
CREATE FUNCTION pg_temp.call(method text, path text, body jsonb, OUT status int, OUT answer text)
	LANGUAGE sql AS $$
	SELECT h.status, regexp_replace(regexp_replace(h.body, ',?"meta":[{][^}]*[}]', '', 'g'), '"schemas":[[][^]]*[]],?|, request [0-9a-f-]*', '', 'g')
	  FROM scim.handle('con', method, path, '{}', (body || '{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"]}')::text) h
$$;
CREATE FUNCTION pg_temp.patch(operations jsonb, OUT status int, OUT answer text)
	LANGUAGE sql AS $$
	SELECT h.status, regexp_replace(regexp_replace(h.body, ',?"meta":[{][^}]*[}]', '', 'g'), '"schemas":[[][^]]*[]],?', '', 'g')
	  FROM scim.handle('con', 'PATCH', '/Users/1', '{}', jsonb_build_object('schemas', '["urn:ietf:params:scim:api:messages:2.0:PatchOp"]'::jsonb, 'Operations', operations)::text) h
$$;
SET ROLE scim_regress_constraint;
CREATE TABLE con.country (code text PRIMARY KEY);
INSERT INTO con.country VALUES ('de'), ('fr');
CREATE TABLE con.person (
	id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, login text NOT NULL UNIQUE, first text, last text, city text CHECK (city <> 'Atlantis'), zip varchar(5),
	country text REFERENCES con.country, age smallint, nick text NOT NULL DEFAULT 'x', seat int4range, tick text,
	UNIQUE (first, last), EXCLUDE USING gist (seat WITH &&));
CREATE UNIQUE INDEX ON con.person (lower(zip));
CREATE TABLE con.mail (person int NOT NULL REFERENCES con.person ON DELETE CASCADE, mail text NOT NULL, type text NOT NULL, main boolean NOT NULL, n int NOT NULL, PRIMARY KEY (person, n), UNIQUE (mail));
CREATE UNIQUE INDEX ON con.mail (person) WHERE main;
CREATE UNIQUE INDEX ON con.mail (person, type);
CREATE FUNCTION con.check_person() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	CASE NEW.tick
		WHEN 'user' THEN RAISE EXCEPTION 'no ticks on Sundays' USING ERRCODE = '45000';
		WHEN 'lock' THEN RAISE EXCEPTION 'secret' USING ERRCODE = '55P03';
		WHEN 'cancel' THEN RAISE EXCEPTION 'secret' USING ERRCODE = '40001';
		WHEN 'deadlock' THEN RAISE EXCEPTION 'secret' USING ERRCODE = '40P01';
		WHEN 'resources' THEN RAISE EXCEPTION 'secret' USING ERRCODE = '53300';
		WHEN 'readonly' THEN RAISE EXCEPTION 'secret' USING ERRCODE = '25006';
		WHEN 'denied' THEN RAISE EXCEPTION 'secret' USING ERRCODE = '42501';
		WHEN 'table' THEN RAISE EXCEPTION 'secret' USING ERRCODE = '42P01';
		WHEN 'column' THEN RAISE EXCEPTION 'secret' USING ERRCODE = '42703';
		WHEN 'data' THEN RAISE EXCEPTION 'secret' USING ERRCODE = '22012';
		WHEN 'plain' THEN RAISE EXCEPTION 'secret';
		WHEN 'other' THEN RAISE EXCEPTION 'secret' USING ERRCODE = 'XX001';
		ELSE
	END CASE;
	RETURN NEW;
END $$;
CREATE TRIGGER check_person BEFORE INSERT OR UPDATE ON con.person FOR EACH ROW EXECUTE FUNCTION con.check_person();
RESET ROLE;
SELECT scim.create_mapping('con_person', 'User', 'con.person', attributes => '{"userName": "login", "name.givenName": "first", "name.familyName": "last", "nickName": "nick", "title": "tick",
	"addresses[type eq \"work\"].locality": "city", "addresses[type eq \"work\"].postalCode": "zip", "addresses[type eq \"work\"].country": "country",
	"displayName": {"read": "seat::text", "write": {"seat": "value::int4range"}}, "urn:con:params:scim:schemas:con:2.0:User:age": "age",
	"emails": {"table": "con.mail", "parent": "person", "columns": {"value": "mail", "type": "type", "primary": "main"}, "order": "n"}}', owner => 'scim_regress_constraint');
SELECT scim.create_endpoint('con', mappings => '{con_person}', public_url => 'https://x');
SELECT status FROM pg_temp.call('POST', '/Users', '{"userName": "ann", "name": {"givenName": "A", "familyName": "B"}, "displayName": "[1,5)", "addresses": [{"type": "work", "postalCode": "Ab1"}],
	"emails": [{"value": "a@x", "type": "work", "primary": true}, {"value": "b@x", "type": "home"}, {"value": "c@x", "type": "other"}]}');

-- ---- the table of errors ----
SELECT what, c.* FROM (VALUES
	('23505', '{"userName": "ann"}'::jsonb),
	('23505 of several', '{"userName": "bob", "name": {"givenName": "A", "familyName": "B"}}'),
	('23505 of an expression', '{"userName": "bob", "addresses": [{"type": "work", "postalCode": "aB1"}]}'),
	('23505 of a child', '{"userName": "bob", "emails": [{"value": "a@x", "type": "work"}]}'),
	('23505 of a partial index', '{"userName": "bob", "emails": [{"value": "p@x", "type": "work"}, {"value": "q@x", "type": "work"}]}'),
	('23P01', '{"userName": "bob", "displayName": "[4,9)"}'),
	('22P02 in an expression', '{"userName": "bob", "displayName": "nonsense"}'),
	('22003', '{"userName": "bob", "urn:con:params:scim:schemas:con:2.0:User": {"age": 99999}}'),
	('too long', '{"userName": "bob", "addresses": [{"type": "work", "postalCode": "123456"}]}'),
	('23502', '{"userName": "bob", "emails": [{"value": "n@x"}]}'),
	('23503', '{"userName": "bob", "addresses": [{"type": "work", "country": "xx"}]}'),
	('23514', '{"userName": "bob", "addresses": [{"type": "work", "locality": "Atlantis"}]}')) v(what, body), pg_temp.call('POST', '/Users', body) c;
SELECT status, answer FROM pg_temp.call('POST', '/Users', jsonb_build_object('userName', (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 500) i)));
SELECT tick, c.* FROM unnest('{user,lock,cancel,deadlock,resources,readonly,denied,table,column,data,plain,other}'::text[]) tick, pg_temp.call('POST', '/Users', jsonb_build_object('userName', 'bob', 'title', tick)) c;
SELECT count(*) FROM con.person;
SELECT severity, subject, problem FROM scim.check_mapping('con_person') ORDER BY 1, 2, 3;

-- ---- statements in an order that unique indexes allow at each step ----
CREATE FUNCTION pg_temp.mails() RETURNS text LANGUAGE sql AS $$ SELECT string_agg(concat_ws(' ', mail, type, CASE WHEN main THEN '*' END), ', ' ORDER BY mail) FROM con.mail $$;
-- two values change places
SELECT status FROM pg_temp.call('PUT', '/Users/1', '{"userName": "ann", "emails": [{"value": "b@x", "type": "work", "primary": true}, {"value": "a@x", "type": "home"}, {"value": "c@x", "type": "other"}]}');
SELECT pg_temp.mails();
SELECT (pg_temp.patch('[{"op": "replace", "path": "emails[type eq \"home\"].value", "value": "b@x"}, {"op": "replace", "path": "emails[type eq \"work\"].value", "value": "a@x"}]')).status;
SELECT pg_temp.mails();
-- primary moves
SELECT (pg_temp.patch('[{"op": "replace", "path": "emails[type eq \"home\"].primary", "value": true}]')).status;
SELECT pg_temp.mails();
SELECT status FROM pg_temp.call('PUT', '/Users/1', '{"userName": "ann", "emails": [{"value": "c@x", "type": "other", "primary": true}, {"value": "a@x", "type": "work"}, {"value": "b@x", "type": "home"}]}');
SELECT pg_temp.mails();
-- three go round
SELECT status FROM pg_temp.call('PUT', '/Users/1', '{"userName": "ann", "emails": [{"value": "a@x", "type": "home"}, {"value": "b@x", "type": "other", "primary": true}, {"value": "c@x", "type": "work"}]}');
SELECT pg_temp.mails();
-- a value goes and comes again in one request
SELECT (pg_temp.patch('[{"op": "remove", "path": "emails[value eq \"a@x\"]"}, {"op": "add", "path": "emails", "value": [{"value": "a@x", "type": "home", "primary": true}]}]')).status;
SELECT pg_temp.mails();

SELECT scim.drop_endpoint('con'), scim.drop_mapping('con_person'), scim.drop_schema('urn:con:params:scim:schemas:con:2.0:User');
DROP SCHEMA con CASCADE;
REVOKE ALL ON SCHEMA scim FROM scim_regress_constraint;
REVOKE ALL ON FUNCTION scim.fold(text) FROM scim_regress_constraint;
REVOKE ALL ON TABLE scim.resource_state FROM scim_regress_constraint;
DROP ROLE scim_regress_constraint;
