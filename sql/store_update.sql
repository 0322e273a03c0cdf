-- A row is locked and changed without a statement where nothing but constraints, indexes and foreign keys is to be
-- looked after; what else there may be counts as it does for a statement.
\set VERBOSITY terse
SET client_min_messages = warning;
SELECT scim.setup();
CREATE ROLE scim_regress_update;
CREATE SCHEMA kept AUTHORIZATION scim_regress_update;
SET ROLE scim_regress_update;
CREATE TABLE kept.person (firm int NOT NULL, id int NOT NULL, name text NOT NULL, nick varchar(4) CHECK (nick <> 'bad'), title text, active boolean, zone text, born int, version int NOT NULL DEFAULT 1,
	noted timestamptz, PRIMARY KEY (firm, id), UNIQUE (firm, title), boss int, FOREIGN KEY (firm, boss) REFERENCES kept.person);
INSERT INTO kept.person (firm, id, name, title) VALUES (1, 1, 'ann', 'one'), (1, 2, 'bob', 'two'), (2, 1, 'eve', 'one');
RESET ROLE;
SELECT scim.create_mapping('kept', 'User', 'kept.person', key => 'id', attributes => '{"userName": "name", "nickName": "nick", "title": "title", "active": "active", "timezone": "zone", "meta.version": "version", "meta.lastModified": "noted",
	"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value": "boss"}', owner => 'scim_regress_update');
SELECT scim.create_endpoint('kept', mappings => '{kept}', scope => '{"firm": 1}', public_url => 'https://x');
CREATE FUNCTION pg_temp.set(id int, attribute text, value text) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ', h.status, regexp_replace(h.body, '"(schemas|meta)":(\[[^]]*\]|\{[^}]*\}),?', '', 'g')) FROM scim.handle('kept', 'PATCH', '/Users/' || id, '{"Content-Type": "application/scim+json"}',
		format('{"Operations": [{"op": "replace", "path": "%s", "value": %s}]}', attribute, value)) h $$;

SELECT pg_temp.set(1, 'title', '"three"');
SELECT pg_temp.set(1, 'active', 'false');
SELECT pg_temp.set(1, 'timezone', 'null');
SELECT pg_temp.set(1, 'title', '"three"');
SELECT firm, id, title, active, version, noted > now() - interval '1 minute' AS noted FROM kept.person ORDER BY 1, 2;
SELECT pg_temp.set(3, 'title', '"three"');
-- constraints
SELECT pg_temp.set(1, 'title', '"two"');
SELECT pg_temp.set(1, 'nickName', '"bad"');
SELECT pg_temp.set(1, 'nickName', '"longer"');
SELECT pg_temp.set(1, 'nickName', '"ann"');
SELECT pg_temp.set(1, 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value', '"2"');
SELECT pg_temp.set(1, 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value', '"5"');
-- a version at its end
UPDATE kept.person SET version = 2147483647 WHERE firm = 1 AND id = 2;
SELECT pg_temp.set(2, 'title', '"four"');
UPDATE kept.person SET version = 1 WHERE firm = 1 AND id = 2;
-- triggers
SET ROLE scim_regress_update;
CREATE FUNCTION kept.loud() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_LEVEL = 'ROW' AND TG_WHEN = 'BEFORE' THEN NEW.zone := 'UTC'; END IF;
	RAISE WARNING '% % %', TG_NAME, TG_WHEN, TG_LEVEL;
	RETURN CASE WHEN TG_WHEN = 'BEFORE' THEN NEW END;
END $$;
CREATE TRIGGER loud BEFORE UPDATE ON kept.person FOR EACH ROW EXECUTE FUNCTION kept.loud();
CREATE TRIGGER heard AFTER UPDATE OF title ON kept.person FOR EACH STATEMENT EXECUTE FUNCTION kept.loud();
RESET ROLE;
SELECT pg_temp.set(2, 'title', '"five"');
SET ROLE scim_regress_update;
DROP TRIGGER loud ON kept.person;
DROP TRIGGER heard ON kept.person;
-- a generated column
ALTER TABLE kept.person ADD shout text GENERATED ALWAYS AS (upper(title)) STORED;
RESET ROLE;
SELECT pg_temp.set(2, 'title', '"six"');
SELECT shout FROM kept.person WHERE firm = 1 AND id = 2;
-- a rule, a policy
SET ROLE scim_regress_update;
ALTER TABLE kept.person DROP shout;
CREATE RULE shouting AS ON UPDATE TO kept.person DO ALSO SELECT 1;
DROP RULE shouting ON kept.person;
ALTER TABLE kept.person ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY reading ON kept.person FOR SELECT USING (true);
CREATE POLICY writing ON kept.person FOR UPDATE USING (id <> 2) WITH CHECK (title <> 'forbidden');
RESET ROLE;
SELECT pg_temp.set(1, 'title', '"seven"');
SELECT pg_temp.set(1, 'title', '"forbidden"');
SELECT pg_temp.set(2, 'title', '"seven"');
SET ROLE scim_regress_update;
ALTER TABLE kept.person NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
-- who may change some columns only, or none
REVOKE UPDATE ON kept.person FROM scim_regress_update;
GRANT UPDATE (title, version, noted) ON kept.person TO scim_regress_update;
RESET ROLE;
SELECT pg_temp.set(1, 'title', '"eight"');
SELECT pg_temp.set(1, 'nickName', '"new"');
SELECT title, nick FROM kept.person WHERE firm = 1 AND id = 1;
-- a transaction that only reads
SET ROLE scim_regress_update;
GRANT UPDATE ON kept.person TO scim_regress_update;
RESET ROLE;
BEGIN READ ONLY;
SELECT left(pg_temp.set(1, 'title', '"nine"'), 3);
ROLLBACK;
-- a column that became another
SET ROLE scim_regress_update;
DROP POLICY writing ON kept.person;
ALTER TABLE kept.person DROP CONSTRAINT person_firm_title_key, ALTER title TYPE varchar(10);
RESET ROLE;
SELECT pg_temp.set(1, 'title', '"ten"');
SELECT pg_temp.set(1, 'title', '"far too long"');

SELECT scim.drop_endpoint('kept'), scim.drop_mapping('kept');
DROP SCHEMA kept CASCADE;
DROP OWNED BY scim_regress_update;
DROP ROLE scim_regress_update;
