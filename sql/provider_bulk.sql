-- Bulk (RFC 7644 3.7) on tables of an owner, whose triggers see and do things.
-- What is wrong with a request as such is in provider_handle.
\set VERBOSITY terse
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SELECT scim.setup();
CREATE ROLE scim_regress_bulk;
CREATE SCHEMA bulk AUTHORIZATION scim_regress_bulk;
SET ROLE scim_regress_bulk;
CREATE TABLE bulk.people (login text PRIMARY KEY, title text, boss text REFERENCES bulk.people);
CREATE TABLE bulk.teams (id serial PRIMARY KEY, name text UNIQUE);
CREATE TABLE bulk.team_people (team int REFERENCES bulk.teams ON DELETE CASCADE, login text REFERENCES bulk.people ON DELETE CASCADE, PRIMARY KEY (team, login));
CREATE TABLE bulk.seen (who name, login text);
CREATE FUNCTION bulk.look() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO bulk.seen VALUES (current_user, NEW.login);
	CASE NEW.title
		WHEN 'divide' THEN PERFORM 1 / 0;
		WHEN 'refuse' THEN RAISE SQLSTATE '45000' USING MESSAGE = 'not on a Friday';
		WHEN 'again' THEN RAISE serialization_failure;
		WHEN 'cancel' THEN RAISE query_canceled;
		WHEN 'become' THEN SET LOCAL search_path = bulk; SET LOCAL statement_timeout = 1234567;
		ELSE NULL;
	END CASE;
	RETURN NEW;
END
$$;
CREATE TRIGGER look BEFORE INSERT ON bulk.people FOR EACH ROW EXECUTE FUNCTION bulk.look();
CREATE FUNCTION bulk.late() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.title = 'late' THEN RAISE check_violation; END IF;
	RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON bulk.people DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION bulk.late();
RESET ROLE;
SELECT scim.create_mapping('bulk_people', 'User', 'bulk.people', owner => 'scim_regress_bulk', key => 'login', attributes => '{"userName": "login", "title": "title",
	"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value": "boss"}');
SELECT scim.create_mapping('bulk_teams', 'Group', 'bulk.teams', owner => 'scim_regress_bulk', key => 'id', attributes => '{"displayName": "name",
	"members": {"table": "bulk.team_people", "parent": "team", "ref": "login", "type": "User"}}');
SELECT scim.create_endpoint('bulk', public_url => 'https://id.example.com/scim/v2', owner => 'scim_regress_bulk', mappings => '{bulk_people,bulk_teams}');

-- one line for each result: its shape, and of an error what it says; versions differ from run to run
CREATE FUNCTION pg_temp.bulk(operations text, rest text DEFAULT '', headers jsonb DEFAULT '{}') RETURNS TABLE (result text) LANGUAGE sql AS $$
	SELECT coalesce((r - '{response,version}'::text[])::text || CASE WHEN r ? 'version' THEN ' versioned' ELSE '' END ||
		coalesce(' ' || (r -> 'response' ->> 'status') || ' ' || coalesce(r -> 'response' ->> 'scimType', '-') || ' ' || (r -> 'response' ->> 'detail'), ''), h.status || ' ' || h.body)
	  FROM scim.handle('bulk', 'POST', '/Bulk', headers, '{"schemas":["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],' || rest || '"Operations":' || operations || '}') h
	  LEFT JOIN jsonb_array_elements(h.body::jsonb -> 'Operations') WITH ORDINALITY x(r, n) ON true ORDER BY n
$$;
CREATE FUNCTION pg_temp.person(bulk_id text, login text, title text DEFAULT NULL, boss text DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
	SELECT json_build_object('method', 'POST', 'path', '/Users', 'bulkId', bulk_id, 'data', json_build_object('schemas', '{urn:ietf:params:scim:schemas:core:2.0:User}'::text[],
		'userName', login, 'title', title, 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User', CASE WHEN boss IS NOT NULL THEN json_build_object('manager', json_build_object('value', boss)) END))::text
$$;
CREATE VIEW pg_temp.state AS SELECT login AS name, coalesce(boss, '-') AS more FROM bulk.people UNION ALL
	SELECT name, (SELECT coalesce(string_agg(login, ',' ORDER BY login), '-') FROM bulk.team_people p WHERE p.team = t.id) FROM bulk.teams t ORDER BY 1;

-- every method; references forward and backward, in values, paths and filters
SELECT * FROM pg_temp.bulk('[
	{"method":"PATCH","path":"/Groups/bulkId:t","data":{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[
		{"op":"remove","path":"members[value eq \"bulkId:a\"]"},{"op":"add","path":"members","value":[{"value":"bulkId:c"}]}]}},
	{"method":"POST","path":"/Groups","bulkId":"t","data":{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"team","members":[{"value":"bulkId:a"},{"value":"bulkId:b"}]}},'
	|| pg_temp.person('a', 'anna', 'bulkId:b', 'bulkId:b') || ',' || pg_temp.person('b', 'bert') || ',' || pg_temp.person('c', 'cleo') || ',' || pg_temp.person('d', 'dora') || ',
	{"method":"PUT","path":"/Users/bulkId:c","data":{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"cleo","title":"bulkId:"}},
	{"method":"DELETE","path":"/Users/bulkId:d"}]');
TABLE pg_temp.state;
SELECT login, title FROM bulk.people WHERE title IS NOT NULL ORDER BY 1;
-- everything ran as the owner
SELECT who, count(*) FROM bulk.seen GROUP BY 1;
TRUNCATE bulk.seen;

-- SQL errors fail their own operation, and leave nothing of it; a deferred one, too
SELECT * FROM pg_temp.bulk('[' || pg_temp.person('1', 'e1') || ',' || pg_temp.person('2', 'e2', 'divide') || ',' || pg_temp.person('3', 'e3', 'refuse') || ',' || pg_temp.person('4', 'e4', 'late') || ','
	|| pg_temp.person('5', 'e5', boss => 'nobody') || ',' || pg_temp.person('6', 'anna') || ',' || pg_temp.person('7', 'e7', boss => 'bulkId:2') || ',' || pg_temp.person('8', 'e8') || ']');
SELECT login FROM bulk.seen ORDER BY 1;
-- a circle is all or none
SELECT * FROM pg_temp.bulk('[' || pg_temp.person('1', 'f1', boss => 'bulkId:2') || ',' || pg_temp.person('2', 'f2', boss => 'bulkId:3') || ',' || pg_temp.person('3', 'f3', boss => 'bulkId:1') || ']');
SELECT * FROM pg_temp.bulk('[' || pg_temp.person('1', 'g1', boss => 'bulkId:2') || ',' || pg_temp.person('2', 'g2', 'divide', boss => 'bulkId:1') || ',' || pg_temp.person('3', 'g3') || ']');
TABLE pg_temp.state;
-- what concerns the request as a whole undoes all of it: a retry over HTTP, 503 here; a cancel is the caller's
SELECT * FROM pg_temp.bulk('[' || pg_temp.person('1', 'h1') || ',' || pg_temp.person('2', 'h2', 'again') || ']');
SELECT * FROM pg_temp.bulk('[' || pg_temp.person('1', 'h1') || ',' || pg_temp.person('2', 'h2', 'cancel') || ']');
SELECT count(*) FROM bulk.people WHERE login LIKE 'h%';
-- and what an operation sets is gone behind the request
SELECT * FROM pg_temp.bulk('[' || pg_temp.person('1', 'i1', 'become') || ',' || pg_temp.person('2', 'i2', 'divide') || ']');
SELECT current_user = session_user, current_setting('search_path'), current_setting('statement_timeout');

-- failOnErrors counts; the order of the results is the request's, also where another was needed
SELECT * FROM pg_temp.bulk('[{"method":"PATCH","path":"/Users/bulkId:1","data":{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"add","path":"title","value":"x"}]}},'
	|| pg_temp.person('2', 'anna') || ',' || pg_temp.person('1', 'k1') || ',' || pg_temp.person('3', 'k3', 'divide') || ',' || pg_temp.person('4', 'k4') || ']', '"failOnErrors":2,');
SELECT login, title FROM bulk.people WHERE login LIKE 'k%' ORDER BY 1;
-- version is an If-Match
SELECT b.* FROM scim.handle('bulk', 'GET', '/Users/anna') h, pg_temp.bulk(format('[{"method":"PATCH","path":"/Users/anna","version":"W/\"0\"","data":%s},{"method":"PATCH","path":"/Users/anna","version":%s,"data":%1$s},{"method":"DELETE","path":"/Users/bert","version":"x"}]',
	'{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","path":"title","value":"seen"}]}', to_json(h.headers ->> 'ETag'))) b;
SELECT title FROM bulk.people WHERE login = 'anna';

-- limits are advertised, and come before any work
SELECT body::jsonb -> 'bulk' FROM scim.handle('bulk', 'GET', '/ServiceProviderConfig');
SELECT b.* FROM pg_temp.bulk((SELECT '[' || string_agg(pg_temp.person(i::text, 'l' || i), ',') || ']' FROM generate_series(1, 1001) i)) b;
SELECT status, body FROM scim.handle('bulk', 'POST', '/Bulk', '{}', repeat(' ', 1024 * 1024 + 1));
SELECT count(*) FROM bulk.people WHERE login LIKE 'l%';
SELECT count(*), x FROM (SELECT substring(result FROM '"status": "\d+"') AS x FROM pg_temp.bulk((SELECT '[' || string_agg(pg_temp.person(i::text, 'l' || i, boss => 'bulkId:' || i % 1000 + 1), ',') || ']' FROM generate_series(1, 1000) i))) r GROUP BY 2;
SELECT count(*) FROM bulk.people WHERE login LIKE 'l%' AND boss LIKE 'l%';
-- a token that may only read
CREATE TEMP TABLE token AS SELECT scim.create_token('bulk', label => 'reader', can_write => false) AS t;
SELECT h.status, h.body::jsonb ->> 'detail' FROM token, scim.handle('bulk', 'POST', '/Bulk', jsonb_build_object('Authorization', 'Bearer ' || t),
	'{"schemas":["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],"Operations":[' || pg_temp.person('1', 'n1') || ']}') h;
SELECT count(*) FROM bulk.people WHERE login = 'n1';

-- an id may hold anything: in a filter it is a string of JSON, in a location it is percent-encoded
SELECT * FROM pg_temp.bulk('[{"method":"POST","path":"/Groups","bulkId":"t","data":{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"odd","members":[{"value":"bulkId:q"},{"value":"bulkId:b"},{"value":"bulkId:p"}]}},
	{"method":"PATCH","path":"/Groups/bulkId:t","data":{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"remove","path":"members[value eq \"bulkId:q\" or value eq \"bulkId:b\"]"}]}},'
	|| pg_temp.person('q', 'q" or value pr or value eq "/') || ',' || pg_temp.person('b', 'b\') || ',' || pg_temp.person('p', 'plain') || ',
	{"method":"PATCH","path":"/Users/bulkId:q","data":{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"add","path":"title","value":5}]}}]');
SELECT * FROM pg_temp.state WHERE name = 'odd';
-- what is readOnly refers to nothing, nor does a sub-attribute that holds no id
SELECT * FROM pg_temp.bulk('[{"method":"PATCH","path":"/Groups/bulkId:t","data":{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"remove","path":"members[type eq \"bulkId:none\"]"}]}},
	{"method":"POST","path":"/Groups","bulkId":"t","data":{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"r","members":[{"value":"bulkId:u"}]}},
	{"method":"POST","path":"/Users","bulkId":"u","data":{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"r1","groups":[{"value":"bulkId:t"}]}},
	{"method":"POST","path":"/Users","bulkId":"v","data":{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"r2","groups":[{"value":"bulkId:none"}]}}]');
SELECT * FROM pg_temp.state WHERE name = 'r';

SELECT scim.drop_endpoint('bulk');
SELECT scim.drop_mapping('bulk_people'), scim.drop_mapping('bulk_teams');
DROP SCHEMA bulk CASCADE;
DROP OWNED BY scim_regress_bulk;
DROP ROLE scim_regress_bulk;
