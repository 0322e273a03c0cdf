-- A copy that is kept by the queue alone stays equal to what it is a copy of,
-- whatever statements change the tables (random, but the same every time).
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE ROLE scim_regress_hr NOLOGIN;
CREATE FOREIGN DATA WRAPPER scim_regress_wrapper;
CREATE SERVER scim_regress_server FOREIGN DATA WRAPPER scim_regress_wrapper;
CREATE SCHEMA hr AUTHORIZATION scim_regress_hr;
SET ROLE scim_regress_hr;
CREATE TABLE hr.people (id int NOT NULL, org int NOT NULL, login text, job text, note text, PRIMARY KEY (id, org)) PARTITION BY LIST (org);
CREATE TABLE hr.people_0 PARTITION OF hr.people FOR VALUES IN (0);
CREATE TABLE hr.people_1 (note text, dropped int, login text, org int NOT NULL, job text, id int NOT NULL);
ALTER TABLE hr.people_1 DROP COLUMN dropped;
ALTER TABLE hr.people ATTACH PARTITION hr.people_1 FOR VALUES IN (1);
CREATE TABLE hr.people_2 PARTITION OF hr.people FOR VALUES IN (2, 3) PARTITION BY LIST (org);
CREATE TABLE hr.people_2a PARTITION OF hr.people_2 FOR VALUES IN (2);
CREATE TABLE hr.people_2b PARTITION OF hr.people_2 FOR VALUES IN (3);
CREATE TABLE hr.phones (person int, number text, remark text);
RESET ROLE;
SELECT scim.create_mapping('people', 'User', 'hr.people', key => 'id', owner => 'scim_regress_hr', attributes => '{
	"userName": "login", "title": "upper(job)",
	"phoneNumbers": {"table": "hr.phones", "parent": "person", "columns": {"value": "number"}}}');
SELECT scim.create_sync('people', 'people', 'scim_regress_server', scope => 'org < 3');

-- what a sync would push, of all or of some keys
CREATE FUNCTION pg_temp.documents(keys text[]) RETURNS TABLE (key text, document text) LANGUAGE sql AS $$
	SELECT p.id::text, string_agg(format('%s %s %s %s', p.org < 3, p.login, upper(p.job),
		(SELECT array_agg(c.number ORDER BY c.number) FROM hr.phones c WHERE c.person = p.id)), ';' ORDER BY p.org)
	FROM hr.people p WHERE keys IS NULL OR p.id::text = ANY (keys) GROUP BY p.id
$$;
CREATE TEMP TABLE copy (key text PRIMARY KEY, document text);

CREATE FUNCTION pg_temp.consume() RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	entry record;
	n int := 0;
BEGIN
	FOR entry IN DELETE FROM scim._dirty RETURNING * LOOP
		DELETE FROM copy c WHERE entry.keys IS NULL OR c.key = ANY (entry.keys);
		INSERT INTO copy SELECT * FROM pg_temp.documents(entry.keys);
		n := n + 1;
	END LOOP;
	RETURN n;
END $$;

CREATE FUNCTION pg_temp.pick(VARIADIC choices text[]) RETURNS text LANGUAGE sql VOLATILE AS
	$$ SELECT choices[1 + floor(random() * cardinality(choices))::int] $$;

CREATE FUNCTION pg_temp.statement() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	k int := floor(random() * 40);
	org int := floor(random() * 4);
	part text := pg_temp.pick('hr.people', 'hr.people', 'hr.people_0', 'hr.people_1', 'hr.people_2', 'hr.people_2b');
	word text := pg_temp.pick('a', 'b', 'c');
BEGIN
	RETURN CASE floor(random() * 15)::int
		WHEN 0 THEN format('INSERT INTO hr.people VALUES (%s, %s, %L, %L)', k, org, word, word)
		WHEN 1 THEN format('INSERT INTO hr.people SELECT i, i %% 4, %L FROM generate_series(%s, %s) i ON CONFLICT DO NOTHING', word, k, k + 10)
		WHEN 2 THEN format('INSERT INTO hr.people VALUES (%s, %s, %L), (%s, %s, %L) ON CONFLICT (id, org) DO UPDATE SET login = EXCLUDED.login', k, org, word, k + 1, org, word)
		WHEN 3 THEN format('INSERT INTO hr.people_1 (id, org, login) VALUES (%s, 1, %L) ON CONFLICT DO NOTHING', k, word)
		WHEN 4 THEN format('UPDATE %s SET login = %L WHERE id BETWEEN %s AND %s', part, word, k, k + 3)
		WHEN 5 THEN format('UPDATE %s SET job = %L', part, word)
		WHEN 6 THEN format('UPDATE %s SET note = %L', part, word)
		WHEN 7 THEN format('UPDATE hr.people SET org = (org + 1) %% 4 WHERE id BETWEEN %s AND %s', k, k + 3)
		WHEN 8 THEN format('UPDATE %s SET id = id + 1 WHERE id = %s', part, k)
		WHEN 9 THEN format('DELETE FROM %s WHERE id = %s', part, k)
		WHEN 10 THEN format('INSERT INTO hr.phones VALUES (%s, %L), (%s, %L)', k, word, k + 1, word)
		WHEN 11 THEN format('UPDATE hr.phones SET number = number || %L, remark = %L WHERE person = %s', word, word, k)
		WHEN 12 THEN format('UPDATE hr.phones SET person = person + 1 WHERE person = %s', k)
		WHEN 13 THEN format('DELETE FROM hr.phones WHERE person BETWEEN %s AND %s', k, k + 1)
		ELSE CASE WHEN random() < 0.05 THEN 'TRUNCATE ' || part
			ELSE format('WITH gone AS (DELETE FROM hr.people WHERE id = %s RETURNING *) INSERT INTO hr.phones SELECT id, login FROM gone', k) END
	END;
END $$;

-- Statements, some of which fail, some of which are rolled back; after every
-- few of them the queue is consumed and the copy compared.
CREATE FUNCTION pg_temp.run(rounds int, OUT statements int, OUT entries int, OUT differences int) LANGUAGE plpgsql AS $$
DECLARE
	command text;
	failed text[] := '{}';
BEGIN
	statements := 0;
	entries := 0;
	differences := 0;
	FOR i IN 1 .. rounds LOOP
		FOR j IN 1 .. floor(random() * 6)::int LOOP
			command := pg_temp.statement();
			BEGIN
				EXECUTE command;
				IF random() < 0.1 THEN
					RAISE division_by_zero;
				END IF;
				statements := statements + 1;
			EXCEPTION WHEN unique_violation OR division_by_zero THEN
				NULL;
			END;
			failed := failed || command;
		END LOOP;
		entries := entries + pg_temp.consume();
		IF EXISTS ((SELECT * FROM pg_temp.documents(NULL) EXCEPT SELECT * FROM copy) UNION ALL
				   (SELECT * FROM copy EXCEPT SELECT * FROM pg_temp.documents(NULL))) THEN
			RAISE WARNING 'after %', failed;
			differences := differences + 1;
		END IF;
		failed := '{}';
	END LOOP;
END $$;
SELECT setseed(0.4), pg_temp.consume() >= 0 AS emptied;
SELECT statements > 500 AS statements, entries BETWEEN statements / 4 AND statements * 2 AS entries, differences FROM pg_temp.run(400);

SELECT scim.drop_sync('people');
SELECT scim.drop_mapping('people');
DROP SCHEMA hr CASCADE;
DROP FOREIGN DATA WRAPPER scim_regress_wrapper CASCADE;
REVOKE ALL ON SCHEMA scim FROM scim_regress_hr;
REVOKE ALL ON FUNCTION scim.fold(text) FROM scim_regress_hr;
REVOKE ALL ON TABLE scim.resource_state FROM scim_regress_hr;
DROP ROLE scim_regress_hr;
