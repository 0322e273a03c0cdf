-- How many resources there are, without counting them: what the tables of the
-- built-in store have grown by is noted, whatever made them grow.
\set VERBOSITY terse
\pset format unaligned
SET client_min_messages = warning;
SELECT scim.setup();
SELECT scim.create_endpoint(e, base_path => '/' || e) FROM unnest('{grows,grows2}'::text[]) e;
-- vacuum and analyze have it counted anew
ALTER TABLE scim.users SET (autovacuum_enabled = off);
CREATE FUNCTION pg_temp.total(endpoint text, path text DEFAULT '/Users') RETURNS int LANGUAGE sql AS $$
	SELECT (body::jsonb ->> 'totalResults')::int FROM scim.handle(endpoint, 'GET', path || '?count=1');
$$;
-- what an endpoint says, and what there is
CREATE FUNCTION pg_temp.totals(OUT users int, OUT groups int, OUT other int, OUT "right" boolean) LANGUAGE plpgsql AS $$
BEGIN
	users := pg_temp.total('grows');
	groups := pg_temp.total('grows', '/Groups');
	other := pg_temp.total('grows2');
	"right" := users = (SELECT count(*) FROM scim.users u WHERE tenant = 'grows') AND groups = (SELECT count(*) FROM scim.groups g WHERE tenant = 'grows')
		AND other = (SELECT count(*) FROM scim.users u WHERE tenant = 'grows2');
END
$$;
INSERT INTO scim.users (tenant, user_name) SELECT 'grows', 'u' || i FROM generate_series(1, 5) i;
SELECT * FROM pg_temp.totals();

-- statements of all kinds
INSERT INTO scim.users (tenant, user_name) SELECT CASE WHEN i % 3 = 0 THEN 'grows2' ELSE 'grows' END, 'v' || i FROM generate_series(1, 6) i;
SELECT * FROM pg_temp.totals();
INSERT INTO scim.users (tenant, user_name) VALUES ('grows', 'v1'), ('grows', 'v9') ON CONFLICT DO NOTHING;
SELECT * FROM pg_temp.totals();
COPY scim.users (tenant, user_name) FROM stdin;
grows	c1
grows2	c1
\.
INSERT INTO scim.groups (tenant, display_name) VALUES ('grows', 'g1'), ('grows', 'g2'), ('grows2', 'g1');
SELECT * FROM pg_temp.totals();
DELETE FROM scim.users WHERE user_name IN ('u1', 'u2', 'v3');
DELETE FROM scim.groups WHERE display_name = 'g1';
SELECT * FROM pg_temp.totals();
WITH gone AS (DELETE FROM scim.users WHERE user_name = 'u3') INSERT INTO scim.users (tenant, user_name) VALUES ('grows2', 'w1'), ('grows2', 'w2');
SELECT * FROM pg_temp.totals();
UPDATE scim.users SET tenant = 'grows2' WHERE tenant = 'grows' AND user_name LIKE 'u_';
SELECT * FROM pg_temp.totals();
UPDATE scim.users SET tenant = tenant, title = 'x';
DELETE FROM scim.users WHERE user_name = 'nobody';
SELECT * FROM pg_temp.totals();

-- requests
SELECT status FROM scim.handle('grows', 'POST', '/Users', '{}', '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"posted"}');
SELECT status FROM scim.handle('grows', 'POST', '/Users', '{}', '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"posted"}');
SELECT jsonb_path_query_array(body::jsonb, '$.Operations[*].status') FROM scim.handle('grows', 'POST', '/Bulk', '{}', '{"schemas":["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],"Operations":[
	{"method":"POST","path":"/Users","bulkId":"a","data":{"userName":"bulk1"}}, {"method":"POST","path":"/Users","bulkId":"b","data":{"userName":"bulk1"}},
	{"method":"POST","path":"/Users","bulkId":"c","data":{"userName":"bulk2"}}, {"method":"DELETE","path":"/Users/bulkId:c"},
	{"method":"POST","path":"/Groups","bulkId":"d","data":{"displayName":"bulk"}}]}');
SELECT * FROM pg_temp.totals();
SELECT status FROM scim.users u, scim.handle('grows', 'DELETE', '/Users/' || u.id) WHERE user_name = 'posted';
SELECT * FROM pg_temp.totals();

-- what is rolled back has not happened; a transaction sees what it has done
BEGIN;
INSERT INTO scim.users (tenant, user_name) SELECT 'grows', 'r' || i FROM generate_series(1, 10) i;
SELECT * FROM pg_temp.totals();
SAVEPOINT s;
DELETE FROM scim.users WHERE tenant = 'grows';
SELECT * FROM pg_temp.totals();
ROLLBACK TO s;
SELECT * FROM pg_temp.totals();
ROLLBACK;
SELECT * FROM pg_temp.totals();
BEGIN ISOLATION LEVEL SERIALIZABLE;
INSERT INTO scim.users (tenant, user_name) VALUES ('grows', 's1');
COMMIT;
SELECT * FROM pg_temp.totals();

-- from here on it can be seen that nothing is counted
UPDATE scim._growth SET rows = rows + 1000 WHERE relation = 'scim.users'::regclass AND ctid IN (SELECT min(ctid) FROM scim._growth WHERE relation = 'scim.users'::regclass AND tenant = 'grows');
SELECT * FROM pg_temp.totals();
INSERT INTO scim.users (tenant, user_name) VALUES ('grows', 'seen');
SELECT * FROM pg_temp.totals();
-- until something about the table has changed
ANALYZE scim.users;
SELECT * FROM pg_temp.totals();
UPDATE scim._growth SET rows = rows + 1000 WHERE relation = 'scim.users'::regclass AND ctid IN (SELECT min(ctid) FROM scim._growth WHERE relation = 'scim.users'::regclass AND tenant = 'grows');
SELECT * FROM pg_temp.totals();

-- triggers that do not run
ALTER TABLE scim.users DISABLE TRIGGER note_growth_insert;
SELECT * FROM pg_temp.totals();
INSERT INTO scim.users (tenant, user_name) VALUES ('grows', 'unnoted');
SELECT * FROM pg_temp.totals();
ALTER TABLE scim.users ENABLE TRIGGER note_growth_insert;
SELECT * FROM pg_temp.totals();
-- all of one kind: rows would be noted twice
ALTER TABLE scim.users ENABLE TRIGGER ALL;
INSERT INTO scim.users (tenant, user_name) VALUES ('grows', 'twice');
SELECT * FROM pg_temp.totals();
SELECT status FROM scim.handle('grows', 'POST', '/Users', '{}', '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"twice too"}');
SELECT * FROM pg_temp.totals();
ALTER TABLE scim.users ENABLE ALWAYS TRIGGER note_growth_move, ENABLE REPLICA TRIGGER note_growth_replica;
SELECT * FROM pg_temp.totals();
-- as in replication
SET session_replication_role = replica;
INSERT INTO scim.users (tenant, user_name) VALUES ('grows', 'replicated1'), ('grows', 'replicated2'), ('grows2', 'replicated');
SELECT * FROM pg_temp.totals();
SELECT status FROM scim.handle('grows', 'POST', '/Users', '{}', '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"replicated3"}');
DELETE FROM scim.users WHERE user_name = 'replicated1';
UPDATE scim.users SET tenant = 'grows2' WHERE user_name = 'replicated2';
SELECT * FROM pg_temp.totals();
RESET session_replication_role;
SELECT sum(rows) FROM scim._growth WHERE tenant = 'grows2' AND relation = 'scim.users'::regclass AND rows < 500;
-- notes do not pile up
DO $$
BEGIN
	FOR i IN 1 .. 2000 LOOP
		INSERT INTO scim.users (tenant, user_name) VALUES ('grows', 'many' || i);
		COMMIT;
	END LOOP;
END
$$;
SELECT count(*) < 1000 AS few FROM scim._growth WHERE tenant = 'grows';
SELECT * FROM pg_temp.totals();

-- the trigger is for these tables
CREATE TABLE t (tenant text);
CREATE TRIGGER wrong BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION scim._note_growth('tenant');
INSERT INTO t VALUES ('x');
DROP TRIGGER wrong ON t;
CREATE TRIGGER wrong AFTER INSERT OR DELETE OR UPDATE OR TRUNCATE ON t FOR EACH STATEMENT EXECUTE FUNCTION scim._note_growth('tenant');
INSERT INTO t VALUES ('x');
TRUNCATE t;
DROP TRIGGER wrong ON t;
CREATE TRIGGER wrong AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION scim._note_growth('none');
INSERT INTO t VALUES ('x');
DROP TRIGGER wrong ON t;
CREATE TRIGGER wrong AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION scim._note_growth('tenant');
INSERT INTO t VALUES (NULL);
DROP TABLE t;
DELETE FROM scim.users WHERE tenant LIKE 'grows%';
DELETE FROM scim.groups WHERE tenant LIKE 'grows%';
SELECT scim.drop_endpoint(e) FROM unnest('{grows,grows2}'::text[]) e;
ALTER TABLE scim.users RESET (autovacuum_enabled);
