-- scim.handle: the protocol as a function.  What providers send is in
-- provider_entra and provider_okta; this is the protocol itself.
\set VERBOSITY terse
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SELECT scim.setup();
SELECT scim.create_endpoint('proto', public_url => 'https://id.example.com/scim/v2');
-- ids become *1, *2, ... in the order of names, so that none is shown; what has
-- several values or resources is sorted, since ids are random
CREATE FUNCTION pg_temp.hide(t text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	r record;
BEGIN
	FOR r IN SELECT id, row_number() OVER (ORDER BY kind, name) AS n FROM
		(SELECT 'g' AS kind, display_name AS name, id FROM scim.groups WHERE tenant = 'proto'
		 UNION ALL SELECT 'u', user_name, id FROM scim.users WHERE tenant = 'proto') x
	LOOP
		t := replace(t, r.id::text, '*' || r.n);
	END LOOP;
	t := regexp_replace(t, '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '*', 'g');
	RETURN regexp_replace(t, '"\d{4}-\d\d-\d\dT[\d:.]+Z"', '"*"', 'g');
END
$$;
CREATE FUNCTION pg_temp.send(method text, path text, body text DEFAULT NULL, headers jsonb DEFAULT '{}',
	OUT status int, OUT headers_out text, OUT answer text) LANGUAGE plpgsql AS $$
BEGIN
	path := regexp_replace(path, '<(\w+)>', coalesce(
		(SELECT u.id::text FROM scim.users u WHERE u.tenant = 'proto' AND u.user_name = (regexp_match(path, '<(\w+)>'))[1]),
		(SELECT g.id::text FROM scim.groups g WHERE g.tenant = 'proto' AND g.display_name = (regexp_match(path, '<(\w+)>'))[1]), ''));
	SELECT h.status, pg_temp.hide((h.headers - 'Content-Type')::text), pg_temp.hide(h.body)
	  INTO send.status, headers_out, answer FROM scim.handle('proto', method, path, headers, body) h;
END
$$;

-- ---- create, read ----
SELECT * FROM pg_temp.send('POST', '/Users', '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"anna","title":"Boss","id":"mine","meta":{"created":"2000-01-01T00:00:00Z"}}');
SELECT * FROM pg_temp.send('POST', '/Users?attributes=userName', '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"bert"}');
SELECT * FROM pg_temp.send('POST', '/Users', '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"ANNA"}');
SELECT * FROM pg_temp.send('POST', '/Users', '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"]}');
SELECT * FROM pg_temp.send('POST', '/Users', '[]');
SELECT * FROM pg_temp.send('POST', '/Users', '{"userName":"x"} x');
SELECT * FROM pg_temp.send('POST', '/Users', '{"userName":"x","title":"a","title":"b"}');
SELECT * FROM pg_temp.send('POST', '/Users', '{"userName":"x","name":{"givenName":"a","GIVENNAME":"b"}}');
SELECT * FROM pg_temp.send('POST', '/Users');
SELECT * FROM pg_temp.send('GET', '/Users/<anna>');
SELECT * FROM pg_temp.send('GET', '/Users/<anna>/');
SELECT * FROM pg_temp.send('GET', '/proto/scim/v2/Users/<anna>?attributes=title');
SELECT * FROM pg_temp.send('GET', '/Users/<anna>?excludedAttributes=meta,title,id');
SELECT * FROM pg_temp.send('GET', '/Users/<anna>?attributes=title&excludedAttributes=meta');
SELECT * FROM pg_temp.send('HEAD', '/Users/<anna>');
SELECT * FROM pg_temp.send('GET', '/Users/nobody');
SELECT * FROM pg_temp.send('GET', '/Groups/<anna>');

-- ---- paths and methods ----
SELECT status, answer FROM pg_temp.send('GET', '/Nothing');
SELECT p, (pg_temp.send('GET', p)).status FROM unnest('{/users,//Users,/Users/%00,/Users/%ff,/Users/%2e%2e,/Users/.,/Users/a%2Fb,/Users/%4,/Users/a/b,Users,/v3/Users,/Me,/Users/x.scim}'::text[]) p;
SELECT m, p, s.status, s.headers_out FROM (VALUES ('PUT', '/Users'), ('DELETE', '/Groups'), ('POST', '/Users/x'), ('OPTIONS', '/Users/x'), ('get', '/Users'),
	('POST', '/Schemas'), ('PATCH', '/ResourceTypes/User'), ('PUT', '/ServiceProviderConfig'), ('POST', '/Schemas/.search'),
	('GET', '/Bulk'), ('GET', '/.search'), ('GET', '/Users/.search'), ('POST', '/')) v(m, p), pg_temp.send(m, p, '{}') s;

-- ---- content negotiation ----
SELECT a, (pg_temp.send('GET', '/Users?count=0', headers => jsonb_build_object('accept', a))).status
  FROM unnest(ARRAY['', '*/*', 'application/*', 'application/json', 'APPLICATION/SCIM+JSON;charset=utf-8', 'text/html, */*;q=0.1', 'text/html', 'application/json;q=0', 'application/json; q=0.0, text/*', 'application/json;q=0.5']) a;
SELECT c, (pg_temp.send('POST', '/Users', '{', headers => jsonb_build_object('content-type', c))).status
  FROM unnest(ARRAY['application/scim+json', 'application/json; charset=utf-8', 'text/plain', 'application/xml', '']) c;

-- ---- entity tags ----
SELECT i, (pg_temp.send('GET', '/Users/<anna>', headers => jsonb_build_object('If-None-Match', i))).* FROM unnest(ARRAY['W/"1"', '"1"', '"0", W/"1"', '*']) i;
SELECT i, (pg_temp.send('GET', '/Users/<anna>', headers => jsonb_build_object('If-None-Match', i))).status FROM unnest(ARRAY['W/"2"', 'abc', '*x']) i;
SELECT i, (pg_temp.send('PATCH', '/Users/<anna>', '{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","path":"title","value":"Boss"}]}',
	jsonb_build_object('If-Match', i))).status FROM unnest(ARRAY['W/"1"', '"1"', '"0", W/"1"', '*', 'W/"0"', 'abc', '1', '*x', '']) i;
SELECT * FROM pg_temp.send('PUT', '/Users/<anna>', '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"anna"}', '{"If-Match": "W/\"0\""}');
SELECT * FROM pg_temp.send('PUT', '/Users/<anna>', '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"anna"}', '{"If-None-Match": "*"}');
SELECT * FROM pg_temp.send('DELETE', '/Users/<anna>', headers => '{"If-Match": "W/\"0\""}');

-- ---- replace, change ----
SELECT * FROM pg_temp.send('PUT', '/Users/<anna>', '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"anna","id":"other"}', '{"If-Match": "W/\"1\""}');
SELECT * FROM pg_temp.send('PUT', '/Users/<anna>?attributes=meta.version', '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"anna","title":null}');
SELECT * FROM pg_temp.send('PUT', '/Users/nobody', '{');
SELECT * FROM pg_temp.send('PUT', '/Users/<anna>', '{');
SELECT * FROM pg_temp.send('PATCH', '/Users/nobody', '{');
SELECT * FROM pg_temp.send('PATCH', '/Users/<anna>', '{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"add","path":"title","value":"x"},{"op":"replace","path":"id","value":"x"}]}');
SELECT * FROM pg_temp.send('PATCH', '/Users/<anna>?attributes=title', '{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"add","path":"title","value":"x"}]}');
SELECT p, (pg_temp.send('PATCH', '/Users/<anna>', '{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[]}', jsonb_build_object('Prefer', p))).status
  FROM unnest(ARRAY['', 'return=minimal', 'wait=1, Return=Minimal; x', 'return=minimalist', 'return=representation']) p;
SELECT * FROM pg_temp.send('PATCH', '/Users/<anna>?attributes=title', '{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[]}', '{"Prefer": "return=minimal"}');

-- members are changed without being read, and not read back unless asked for
SELECT status FROM pg_temp.send('POST', '/Groups', '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"team"}');
SELECT * FROM pg_temp.send('PATCH', '/Groups/<team>', (SELECT format('{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"add","path":"members","value":[{"value":"%s"}]}]}', id) FROM scim.users WHERE user_name = 'anna' AND tenant = 'proto'));
SELECT status, headers_out, jsonb_array_length(answer::jsonb -> 'members') AS members FROM pg_temp.send('PATCH', '/Groups/<team>?excludedAttributes=meta', (SELECT format('{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"add","path":"members","value":[{"value":"%s"}]}]}', id) FROM scim.users WHERE user_name = 'bert' AND tenant = 'proto'));
SELECT * FROM pg_temp.send('PUT', '/Groups/<team>?excludedAttributes=meta.created,meta.lastModified', (SELECT format('{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"team","members":[{"value":"%s"}]}', id) FROM scim.users WHERE user_name = 'bert' AND tenant = 'proto'));
SELECT headers_out FROM pg_temp.send('PUT', '/Groups/<team>', (SELECT format('{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"team","members":[{"value":"%s"}]}', id) FROM scim.users WHERE user_name = 'bert' AND tenant = 'proto'));
SELECT answer FROM pg_temp.send('PUT', '/Groups/<team>?attributes=members', '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"team"}');

-- ---- lists ----
SELECT answer FROM pg_temp.send('GET', '/Users?attributes=userName&sortBy=userName&sortOrder=descending');
SELECT answer FROM pg_temp.send('GET', '/Users?attributes=userName&sortBy=userName&startIndex=2&count=1');
SELECT q, (answer::jsonb - '{Resources,schemas}'::text[]) AS page FROM unnest('{startIndex=-5,startIndex=1000000000,count=0,count=-1,count=1,foo=bar,filter=userName+eq+%22nobody%22,filter=userName%20eq%20%22a%2Bb%22,FILTER=userName+sw+%22a%22}'::text[]) q, pg_temp.send('GET', '/Users?' || q);
SELECT q, status, answer::jsonb ->> 'scimType' AS scim_type, answer::jsonb ->> 'detail' AS detail FROM unnest('{count=abc,count=1.5,startIndex=99999999999999999999,sortBy=foo,sortBy=name,sortBy=password,sortBy=userName&sortOrder=up,filter=userName,filter=,filter=%ff,filter=a&filter=b,count=1&count=2,filter=password+eq+%22x%22}'::text[]) q, pg_temp.send('GET', '/Users?' || q);
SELECT answer FROM pg_temp.send('POST', '/Users/.search', '{"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],"attributes":["userName"],"filter":"userName eq \"anna\"","startIndex":1,"count":5}');
SELECT b, status, answer::jsonb ->> 'scimType' AS scim_type FROM unnest(ARRAY['{"schemas":["urn:x"]}', '{"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],"count":"x"}',
	'{"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],"filter":5}', '[]', '{"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],"attributes":[1]}']) b, pg_temp.send('POST', '/Users/.search', b);

-- ---- the base: all resource types ----
SELECT answer::jsonb - 'Resources' AS page FROM pg_temp.send('GET', '');
SELECT p, answer::jsonb - '{Resources,schemas}'::text[] AS page, answer::jsonb -> 'Resources' AS resources FROM unnest('{count=5,count=1,count=1&startIndex=2,count=5&startIndex=2,count=5&startIndex=3,count=0}'::text[]) p,
	pg_temp.send('GET', '/?attributes=userName,displayName&filter=userName+eq+%22anna%22+or+displayName+eq+%22team%22&' || p);
SELECT q, status, answer::jsonb -> 'totalResults' AS total, answer::jsonb ->> 'detail' AS detail FROM unnest(ARRAY['userName+pr', 'not+(userName+pr)', 'userName+ne+%22anna%22', 'userName+eq+null', 'members+pr+or+userName+eq+%22anna%22',
	'displayName+eq+%22team%22+and+userName+eq+null', 'meta.resourceType+eq+%22Group%22', 'meta.resourceType+ne+%22Group%22+and+userName+sw+%22a%22', 'emails[type+eq+%22work%22]', 'not+(emails[type+eq+%22work%22])',
	'shoeSize+eq+1', 'userName+eq+5', 'members[value+eq+1]', 'userName']) q, pg_temp.send('GET', '?count=0&filter=' || q);
SELECT answer FROM pg_temp.send('GET', '?sortBy=userName&attributes=userName&filter=meta.resourceType+eq+%22User%22');
SELECT answer FROM pg_temp.send('GET', '?sortBy=userName');
SELECT answer FROM pg_temp.send('POST', '/.search', '{"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],"attributes":["displayName"],"filter":"displayName eq \"team\""}');

-- ---- discovery ----
SELECT answer FROM pg_temp.send('GET', '/ServiceProviderConfig');
SELECT answer FROM pg_temp.send('GET', '/ResourceTypes?startIndex=2&count=1');
SELECT answer::jsonb = (SELECT l.answer::jsonb -> 'Resources' -> 0 FROM pg_temp.send('GET', '/ResourceTypes') l) AS same FROM pg_temp.send('GET', '/ResourceTypes/User');
SELECT r ->> 'id' AS id, jsonb_array_length(r -> 'attributes') AS attributes, r -> 'meta' ->> 'location' AS location FROM pg_temp.send('GET', '/Schemas') l, jsonb_array_elements(l.answer::jsonb -> 'Resources') r ORDER BY 1;
SELECT answer::jsonb ->> 'name' FROM pg_temp.send('GET', '/Schemas/urn%3Aietf%3Aparams%3Ascim%3Aschemas%3Acore%3A2.0%3AUSER');
SELECT p, status FROM unnest('{/Schemas/urn:x,/ResourceTypes/X,/Schemas?filter=id+pr,/ResourceTypes?filter=id+pr,/ServiceProviderConfig?filter=id+pr,/ServiceProviderConfig/x,/Schemas/a/b}'::text[]) p, pg_temp.send('GET', p);

-- ---- bulk ----
CREATE FUNCTION pg_temp.bulk(operations text, rest text DEFAULT '') RETURNS TABLE (result text) LANGUAGE sql AS $$
	SELECT coalesce((r - 'response')::text || coalesce(' ' || (r -> 'response' ->> 'detail'), ''), s.status || ' ' || coalesce(s.answer::jsonb ->> 'scimType', '-') || ' ' || (s.answer::jsonb ->> 'detail'))
	  FROM pg_temp.send('POST', '/Bulk', '{"schemas":["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],' || rest || '"Operations":' || operations || '}') s
	  LEFT JOIN jsonb_array_elements(s.answer::jsonb -> 'Operations') WITH ORDINALITY x(r, n) ON true ORDER BY n
$$;
-- references forward, backward, in paths and filters, in a circle; failures alone
SELECT * FROM pg_temp.bulk('[
	{"method":"POST","path":"/Groups","bulkId":"a","data":{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"bulkId:u","members":[{"value":"bulkId:u"},{"value":"bulkId:b"}]}},
	{"method":"POST","path":"/Users","bulkId":"u","data":{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"ulla","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"manager":{"value":"bulkId:m"}}}},
	{"method":"POST","path":"/Groups","bulkId":"b","data":{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"b","members":[{"value":"bulkId:a"}]}},
	{"method":"POST","path":"/Users","bulkId":"m","data":{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"mara","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"manager":"bulkId:u"}}},
	{"method":"POST","path":"/Users","bulkId":"dup","data":{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"Anna"}},
	{"method":"POST","path":"/Groups","bulkId":"bad","data":{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"bad","members":[{"value":"bulkId:dup"}]}},
	{"method":"PATCH","path":"/Users/bulkId:u","data":{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"add","path":"title","value":"bulkId:m"}]}},
	{"method":"PATCH","path":"/Groups/bulkId:a","data":{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"remove","path":"members[value eq \"bulkId:u\"]"},{"op":"add","path":"members","value":[{"value":"bulkId:m"}]}]}}]');
SELECT answer FROM pg_temp.send('GET', '/Groups?attributes=displayName,members.value&sortBy=displayName');
SELECT answer FROM pg_temp.send('GET', '/Users?attributes=title,urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value&filter=title+pr+or+userName+eq+%22mara%22&sortBy=userName');
-- a circle fails as a whole
SELECT * FROM pg_temp.bulk('[
	{"method":"POST","path":"/Groups","bulkId":"a","data":{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"circle","members":[{"value":"bulkId:b"}]}},
	{"method":"POST","path":"/Groups","bulkId":"b","data":{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"members":[{"value":"bulkId:a"}]}},
	{"method":"POST","path":"/Groups","bulkId":"c","data":{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"own","members":[{"value":"bulkId:c"}]}}]');
SELECT display_name FROM scim.groups WHERE tenant = 'proto' ORDER BY 1;
-- operations that are wrong in themselves
SELECT * FROM pg_temp.bulk('[
	{"method":"GET","path":"/Users"}, {"path":"/Users"}, {"method":"POST","bulkId":"1","data":{}}, {"method":"POST","path":"/Users/x","bulkId":"2","data":{}},
	{"method":"PUT","path":"/Users","data":{}}, {"method":"PATCH","path":"/Users/x"}, {"method":"POST","path":"/Bulk","bulkId":"3","data":{}}, {"method":"POST","path":"/Me","bulkId":"4","data":{}},
	{"method":"DELETE","path":"/Users/nobody"}, {"method":"DELETE","path":"/Users/bulkId:9"}, {"method":"DELETE","path":"/Schemas/x"}, {"method":"POST","path":"/Users","bulkId":"5","data":[]}]');
-- version is an If-Match; the count of errors
SELECT b.* FROM scim.users u, pg_temp.bulk(format('[{"method":"DELETE","path":"/Users/%s","version":"W/\"77\""},{"method":"DELETE","path":"/Users/%1$s","version":"*"},{"method":"DELETE","path":"/Users/%1$s"}]', id)) b
  WHERE u.tenant = 'proto' AND u.user_name = 'mara';
SELECT * FROM pg_temp.bulk('[{"method":"DELETE","path":"/Users/1"},{"method":"DELETE","path":"/Users/2"},{"method":"DELETE","path":"/Users/3"}]', '"failOnErrors":2,');
SELECT b.* FROM (VALUES ('[]', ''), ('{}', ''), ('[5]', ''), ('[{"method":"POST","path":"/Users","data":{}}]', ''), ('[{"method":"DELETE","path":"/Users/1"}]', '"failOnErrors":0,'),
	('[{"method":"DELETE","path":"/Users/1"}]', '"failOnErrors":"x",'), ('[{"method":"POST","path":"/Users","bulkId":"1"},{"method":"POST","path":"/Users","bulkId":"1"}]', '')) v(o, r), pg_temp.bulk(o, r) b;
SELECT b.* FROM pg_temp.bulk((SELECT json_agg(json_build_object('method', 'DELETE', 'path', '/Users/' || i))::text FROM generate_series(1, 1001) i)) b;

-- ---- delete ----
SELECT * FROM pg_temp.send('DELETE', '/Users/<ulla>');
SELECT (pg_temp.send(m, '/Users/' || id, '{}')).status FROM unnest('{GET,PUT,PATCH,DELETE}'::text[]) m, (SELECT gen_random_uuid() AS id) x;
SELECT answer FROM pg_temp.send('GET', '/Groups?attributes=members&filter=displayName+eq+%22b%22');

-- ---- a token, where the caller sends one ----
CREATE TEMP TABLE token AS SELECT scim.create_token('proto', label => 'all') AS t, scim.create_token('proto', label => 'reader', can_write => false) AS r;
SELECT s.* FROM token, unnest(ARRAY['Bearer ' || t, 'bearer   ' || t, t, 'Bearer x', 'Basic dTpw', '']) a, pg_temp.send('GET', '/Users?count=0', headers => jsonb_build_object('authorization', a)) s;
SELECT s.* FROM token, pg_temp.send('GET', '/Users?access_token=' || t, headers => jsonb_build_object('Authorization', 'Bearer ' || t)) s;
SELECT s.* FROM token, pg_temp.send('GET', '/Users?filter=a&filter=b', headers => '{"Authorization": "Bearer x"}') s;
SELECT m, p, s.status, s.headers_out FROM token, (VALUES ('GET', '/Users?count=0'), ('POST', '/Users/.search'), ('POST', '/.search'), ('POST', '/Users'), ('POST', '/Bulk'), ('DELETE', '/Users/x')) v(m, p),
	pg_temp.send(m, p, '{"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],"count":0}', jsonb_build_object('Authorization', 'Bearer ' || r)) s;

-- ---- the caller's side ----
-- errors of SQL, not of the protocol
SELECT scim.handle('nowhere', 'GET', '/Users');
SELECT scim.handle('proto', NULL, '/Users');
SELECT scim.handle('proto', 'GET', '/Users', '[]');
CREATE ROLE scim_regress_caller;
SET ROLE scim_regress_caller;
SELECT scim.handle('proto', 'GET', '/Users');
RESET ROLE;
GRANT USAGE ON SCHEMA scim TO scim_regress_caller;
GRANT EXECUTE ON FUNCTION scim.handle(text, text, text, jsonb, text) TO scim_regress_caller;
SET ROLE scim_regress_caller;
SELECT scim.handle('proto', 'GET', '/Users');
RESET ROLE;
REVOKE ALL ON SCHEMA scim FROM scim_regress_caller;
REVOKE ALL ON FUNCTION scim.handle(text, text, text, jsonb, text) FROM scim_regress_caller;
DROP ROLE scim_regress_caller;
-- reads in a read-only transaction; writes are refused as a response
BEGIN READ ONLY;
SELECT status FROM scim.handle('proto', 'GET', '/Users?count=0');
SELECT status, headers FROM scim.handle('proto', 'POST', '/Users', '{}', '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"ro"}');
SELECT status FROM scim.handle('proto', 'GET', '/Users?count=0');
COMMIT;
-- identity, settings and the transaction are the caller's again, whatever happened
BEGIN;
SET LOCAL search_path = pg_temp, public;
SELECT status FROM pg_temp.send('POST', '/Users', '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"carl"}');
SELECT status FROM pg_temp.send('POST', '/Users', '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"carl"}');
SELECT current_user = session_user AS user, current_setting('search_path') AS search_path, (SELECT count(*) FROM scim.users WHERE user_name = 'carl') AS carl;
SAVEPOINT s;
SELECT status FROM pg_temp.send('DELETE', '/Users/<carl>');
ROLLBACK TO s;
SELECT count(*) AS carl FROM scim.users WHERE user_name = 'carl';
ROLLBACK;
SELECT count(*) AS carl FROM scim.users WHERE user_name = 'carl';
-- what is configured in the same transaction is seen
BEGIN;
SELECT scim.enable_endpoint('proto', false);
SELECT s.status FROM token, pg_temp.send('GET', '/Users?count=0', headers => jsonb_build_object('Authorization', 'Bearer ' || t)) s;
ROLLBACK;
SELECT s.status FROM token, pg_temp.send('GET', '/Users?count=0', headers => jsonb_build_object('Authorization', 'Bearer ' || t)) s;
