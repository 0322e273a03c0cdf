-- Rows of plain tables come from a scan of an index, without a statement;
-- whatever only a statement does right is left to one.
\set VERBOSITY terse
SET client_min_messages = warning;
SELECT scim.setup();
CREATE ROLE scim_regress_scan;
CREATE ROLE scim_regress_scan_tables;
CREATE SCHEMA plain AUTHORIZATION scim_regress_scan_tables;
GRANT USAGE ON SCHEMA plain TO scim_regress_scan;
SET ROLE scim_regress_scan_tables;
CREATE TABLE plain.person (firm int NOT NULL, id uuid NOT NULL, name text, title varchar(20), active boolean, born int, version int NOT NULL DEFAULT 7, PRIMARY KEY (id, firm));
CREATE TABLE plain.mail (person uuid, firm int, n int, address text, kind varchar(10), main boolean, PRIMARY KEY (firm, person, n));
CREATE TABLE plain.phone (person uuid, firm int, n int, number int, PRIMARY KEY (firm, person, n));
INSERT INTO plain.person (firm, id, name, title, active) VALUES
	(1, '00000000-0000-4000-8000-000000000001', 'ann', NULL, true), (1, '00000000-0000-4000-8000-000000000002', 'bob', 'Boss "B"', false),
	(2, '00000000-0000-4000-8000-000000000001', 'eve', 'Spy', true), (2, '00000000-0000-4000-8000-000000000003', 'mallory', 'Spy', NULL);
INSERT INTO plain.mail VALUES
	('00000000-0000-4000-8000-000000000001', 1, 2, 'ann@home', 'home', NULL), ('00000000-0000-4000-8000-000000000001', 1, 1, 'ann@work', 'work', true),
	('00000000-0000-4000-8000-000000000002', 1, 1, NULL, 'other', false), ('00000000-0000-4000-8000-000000000001', 2, 1, 'eve@spy', 'work', true);
INSERT INTO plain.phone VALUES ('00000000-0000-4000-8000-000000000001', 1, 1, 123), ('00000000-0000-4000-8000-000000000002', 1, 5, -5), ('00000000-0000-4000-8000-000000000002', 1, 3, 3);
GRANT SELECT, UPDATE, DELETE ON ALL TABLES IN SCHEMA plain TO scim_regress_scan;
RESET ROLE;
SELECT scim.create_mapping('people', 'User', 'plain.person', key => 'id', attributes => '{
	"userName": "name", "title": "title", "active": "active", "meta.version": "version",
	"emails": {"table": "plain.mail", "parent": "person", "order": "n", "columns": {"value": "address", "type": "kind", "primary": "main"}},
	"phoneNumbers": {"table": "plain.phone", "parent": "person", "order": "n", "columns": {"value": "number"}, "fixed": {"type": "work"}}}', owner => 'scim_regress_scan');
SELECT scim.create_endpoint('firm1', mappings => '{people}', scope => '{"firm": 1}', public_url => 'https://x');
SELECT scim.create_endpoint('firm2', mappings => '{people}', scope => '{"firm": 2}', public_url => 'https://x');

-- What a GET answers, and which relations it has read through an index.  A
-- statement may use none here, so that those are the ones that were scanned.
SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off;
CREATE FUNCTION pg_temp.look(path text, endpoint text DEFAULT 'firm1', OUT scanned text, OUT answer text) LANGUAGE plpgsql AS $$
DECLARE
	before jsonb;
BEGIN
	SELECT jsonb_object_agg(indexrelid, pg_stat_get_xact_numscans(indexrelid)) INTO before FROM pg_index;
	SELECT h.status || ' ' || regexp_replace(regexp_replace(h.body, '"schemas":[[][^]]*[]],?', '', 'g'), '"meta":[{][^}]*[}]', '"meta":*', 'g')
		INTO answer FROM scim.handle(endpoint, 'GET', path) h;
	SELECT string_agg(DISTINCT c.relname::text, ' ' ORDER BY c.relname::text) INTO scanned
		FROM pg_class c JOIN pg_index i ON i.indrelid = c.oid
		WHERE c.relname IN ('person', 'mail', 'phone') AND pg_stat_get_xact_numscans(i.indexrelid) > (before ->> i.indexrelid::text)::bigint;
END
$$;
\set ann '/Users/00000000-0000-4000-8000-000000000001'
\set bob '/Users/00000000-0000-4000-8000-000000000002'
SELECT * FROM pg_temp.look(:'ann');
SELECT * FROM pg_temp.look(:'bob');
-- the scope is part of the key
SELECT * FROM pg_temp.look(:'ann', 'firm2');
SELECT * FROM pg_temp.look(:'bob', 'firm2');
-- only what is asked for
SELECT * FROM pg_temp.look(:'ann' || '?attributes=emails.value');
SELECT * FROM pg_temp.look(:'ann' || '?excludedAttributes=emails,phoneNumbers');
-- which rows a page has is what a statement says
SELECT * FROM pg_temp.look('/Users?sortBy=userName&attributes=emails.value,phoneNumbers.value');
-- what this transaction has written is seen
BEGIN;
UPDATE plain.person SET name = 'anna' WHERE firm = 1 AND name = 'ann';
DELETE FROM plain.mail WHERE n = 2;
SELECT answer FROM pg_temp.look(:'ann');
ROLLBACK;

-- ---- what is left to a statement ----
\set mails :ann ?attributes=emails.value
-- row security
ALTER TABLE plain.mail ENABLE ROW LEVEL SECURITY;
CREATE POLICY work ON plain.mail USING (kind = 'work');
SELECT * FROM pg_temp.look(:'mails');
ALTER TABLE plain.mail DISABLE ROW LEVEL SECURITY;
SELECT * FROM pg_temp.look(:'mails');
ALTER TABLE plain.person ENABLE ROW LEVEL SECURITY;
CREATE POLICY active ON plain.person USING (active);
SELECT * FROM pg_temp.look(:'bob');
ALTER TABLE plain.person DISABLE ROW LEVEL SECURITY;
-- privileges on columns, and none
REVOKE SELECT ON plain.mail FROM scim_regress_scan;
SELECT * FROM pg_temp.look(:'mails');
GRANT SELECT (person, firm, n, address, kind, main) ON plain.mail TO scim_regress_scan;
SELECT * FROM pg_temp.look(:'mails');
GRANT SELECT ON plain.mail TO scim_regress_scan;
-- inheritance
CREATE TABLE plain.more_mail () INHERITS (plain.mail);
INSERT INTO plain.more_mail VALUES ('00000000-0000-4000-8000-000000000001', 1, 3, 'ann@child', 'other', NULL);
SELECT * FROM pg_temp.look(:'mails');
DROP TABLE plain.more_mail;
-- until then the table is taken for one with descendants
ANALYZE plain.mail;
SELECT * FROM pg_temp.look(:'mails');
-- a rule
CREATE RULE nothing AS ON DELETE TO plain.mail WHERE OLD.n = 99 DO INSTEAD NOTHING;
SELECT * FROM pg_temp.look(:'mails');
DROP RULE nothing ON plain.mail;
-- no index, one that will not do, and one that does
ALTER TABLE plain.mail DROP CONSTRAINT mail_pkey;
SELECT * FROM pg_temp.look(:'mails');
CREATE INDEX partial ON plain.mail (firm, person, n) WHERE main;
CREATE INDEX other_order ON plain.mail (n, firm, person);
CREATE INDEX not_btree ON plain.mail USING hash (person);
SELECT * FROM pg_temp.look(:'mails');
CREATE INDEX by_person ON plain.mail (person, firm) WHERE person IS NOT NULL;
SELECT * FROM pg_temp.look(:'mails');
-- values in the order of their column, whatever the index gives
UPDATE plain.mail SET n = 9 WHERE address = 'ann@work';
SELECT * FROM pg_temp.look(:'mails');
-- columns that are not what the index compares with
ALTER TABLE plain.mail ALTER person TYPE text, ALTER person SET NOT NULL;
SELECT * FROM pg_temp.look(:'mails');
ALTER TABLE plain.mail ALTER person TYPE uuid USING person::uuid;
SELECT * FROM pg_temp.look(:'mails');
-- a value whose text is not that of its column's type
ALTER TABLE plain.mail ALTER address TYPE char(12);
SELECT * FROM pg_temp.look(:'mails');
ALTER TABLE plain.mail ALTER address TYPE text;
-- a column that came later has its default in old rows
DROP POLICY work ON plain.mail;
ALTER TABLE plain.mail DROP COLUMN kind, ADD kind varchar(5) DEFAULT 'late';
SELECT scim.alter_mapping('people');
SELECT * FROM pg_temp.look(:'ann' || '?attributes=emails.type');
-- a partitioned table
DELETE FROM plain.mail WHERE firm = 2;
ALTER TABLE plain.mail RENAME TO old_mail;
SELECT attributes #>> '{emails,table}' FROM scim.mappings WHERE name = 'people';
CREATE TABLE plain.mail (LIKE plain.old_mail) PARTITION BY LIST (firm);
ALTER TABLE plain.mail ATTACH PARTITION plain.old_mail FOR VALUES IN (1);
CREATE INDEX ON plain.mail (person, firm);
GRANT SELECT ON plain.mail TO scim_regress_scan;
SELECT scim.alter_mapping('people', '{"emails": {"table": "plain.mail", "parent": "person", "order": "n", "columns": {"value": "address", "type": "kind", "primary": "main"}}}');
SELECT * FROM pg_temp.look(:'mails');

SELECT scim.drop_endpoint('firm1'), scim.drop_endpoint('firm2');
SELECT scim.drop_mapping('people');
DROP SCHEMA plain CASCADE;
DROP OWNED BY scim_regress_scan;
DROP ROLE scim_regress_scan, scim_regress_scan_tables;
