-- Options of an endpoint, scopes of tokens, /Me, rotation.
-- the library is loaded in a subtransaction that fails: first of all, in this session
DO $$ BEGIN PERFORM scim.fold('x'); RAISE 'x'; EXCEPTION WHEN raise_exception THEN NULL; END $$;
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SELECT scim.setup();
SELECT scim.create_endpoint('opt', public_url => 'https://id.example.com/opt');
CREATE FUNCTION pg_temp.send(method text, path text, body text DEFAULT NULL, token text DEFAULT NULL, OUT status int, OUT scim_type text, OUT detail text, OUT headers jsonb) LANGUAGE sql AS $$
	SELECT h.status, h.body::jsonb ->> 'scimType', h.body::jsonb ->> 'detail', h.headers - 'Content-Type'
	  FROM scim.handle('opt', method, path, CASE WHEN token IS NULL THEN '{}' ELSE jsonb_build_object('Authorization', 'Bearer ' || token) END, body) h
$$;
CREATE FUNCTION pg_temp.url(t text) RETURNS text LANGUAGE sql AS $$ SELECT replace(replace(t, ' ', '%20'), '"', '%22') $$;
INSERT INTO scim.users (tenant, id, user_name) SELECT 'opt', ('00000000-0000-4000-8000-00000000000' || i)::uuid, 'u' || i FROM generate_series(1, 5) i;
INSERT INTO scim.groups (tenant, id, display_name) VALUES ('opt', '00000000-0000-4000-8000-0000000000aa', 'team');

-- ---- options ----
SELECT options FROM scim.endpoints WHERE name = 'opt';
SELECT scim.alter_endpoint('nowhere', '{}');
SELECT scim.alter_endpoint('opt', '[]');
SELECT scim.alter_endpoint('opt', '{"colour":"red"}');
SELECT scim.alter_endpoint('opt', '{"patch":"no"}');
SELECT scim.alter_endpoint('opt', '{"tooMany":0}');
SELECT scim.alter_endpoint('opt', '{"unknownAttributes":"maybe"}');
SELECT scim.alter_endpoint('opt', '{"sensitive":"emails"}');
SELECT scim.alter_endpoint('opt', '{"sensitive":["emails",7]}');
SELECT options FROM scim.endpoints WHERE name = 'opt';

-- PATCH and Bulk switched off
SELECT scim.alter_endpoint('opt', '{"patch":false,"bulk":false,"sort":false,"pagination":false}');
SELECT c -> 'patch', c -> 'bulk' -> 'supported', c -> 'sort', c -> 'pagination' FROM scim.handle('opt', 'GET', '/ServiceProviderConfig') h, LATERAL (SELECT h.body::jsonb AS c) x;
SELECT * FROM pg_temp.send('PATCH', '/Users/00000000-0000-4000-8000-000000000001', '{"Operations":[]}');
SELECT * FROM pg_temp.send('POST', '/Bulk', '{"Operations":[]}');
SELECT * FROM pg_temp.send('PUT', '/Users', '{}');
SELECT * FROM pg_temp.send('POST', '/Users/00000000-0000-4000-8000-000000000001', '{}');
SELECT status FROM pg_temp.send('GET', '/Users?sortBy=nothing');
SELECT scim.alter_endpoint('opt', '{"bulk":null}');
SELECT jsonb_path_query_array(body::jsonb, '$.Operations[*].status') FROM scim.handle('opt', 'POST', '/Bulk', '{}', '{"Operations":[{"method":"PATCH","path":"/Users/00000000-0000-4000-8000-000000000001","data":{}}]}');
SELECT scim.alter_endpoint('opt', '{"patch":null,"sort":null,"pagination":null}');
SELECT options FROM scim.endpoints WHERE name = 'opt';

-- unknown attributes
SELECT status FROM pg_temp.send('PUT', '/Users/00000000-0000-4000-8000-000000000001', '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"u1","shoeSize":44}');
SELECT scim.alter_endpoint('opt', '{"unknownAttributes":"refuse"}');
SELECT status, scim_type, detail FROM pg_temp.send('PUT', '/Users/00000000-0000-4000-8000-000000000001', '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"u1","shoeSize":44}');

-- filters on what is sensitive: not in a URL
SELECT scim.alter_endpoint('opt', '{"sensitive":["emails","NAME.familyName"]}');
SELECT f, g.status, g.scim_type, p.status, r.status AS root FROM unnest(ARRAY['emails.value eq "a@b"', 'emails[type eq "work"]', 'userName eq "u1" and not (emails pr)', 'name.familyName sw "J"', 'name pr', 'name.givenName eq "x"', 'userName pr']) f,
	pg_temp.send('GET', '/Users?filter=' || pg_temp.url(f)) g, pg_temp.send('POST', '/Users/.search', json_build_object('schemas', '{urn:ietf:params:scim:api:messages:2.0:SearchRequest}'::text[], 'filter', f)::text) p,
	pg_temp.send('GET', '/?filter=' || pg_temp.url(f)) r;

-- a ceiling
SELECT scim.alter_endpoint('opt', '{"tooMany":3}');
SELECT p, s.* FROM unnest('{/Users,/Users?count=1,/Users?cursor&count=1,/Users?filter=userName%20sw%20%22u1%22,/Groups,/}'::text[]) p, pg_temp.send('GET', p) s;
SELECT scim.alter_endpoint('opt', '{"tooMany":null}');

-- ---- tokens ----
SELECT scim.create_token('opt', 'x', resource_types => '{Device}');
SELECT scim.create_token('opt', 'x', resource_types => '{}');
CREATE TEMP TABLE token AS SELECT scim.create_token('opt', 'people', resource_types => '{User}') AS people, scim.create_token('opt', 'mine', subject => '00000000-0000-4000-8000-000000000002') AS mine,
	scim.create_token('opt', 'gone', subject => '00000000-0000-4000-8000-000000000009') AS gone, scim.create_token('opt', 'teams', resource_types => '{Group}', subject => '00000000-0000-4000-8000-000000000002') AS teams;
SELECT label, can_write, state, resource_types, subject FROM scim.tokens WHERE endpoint = 'opt' ORDER BY 1;
-- scope: resource types
SELECT m, p, s.* FROM token, (VALUES ('GET', '/Users?count=0'), ('GET', '/Groups?count=0'), ('GET', '/Groups/00000000-0000-4000-8000-0000000000aa'), ('POST', '/Groups/.search'), ('POST', '/Groups'), ('DELETE', '/Groups/x'), ('GET', '/Schemas')) v(m, p),
	pg_temp.send(m, p, CASE m WHEN 'POST' THEN '{}' END, people) s;
SELECT status, body::jsonb -> 'totalResults' FROM token, scim.handle('opt', 'GET', '/', jsonb_build_object('Authorization', 'Bearer ' || people));
SELECT jsonb_path_query_array(body::jsonb, '$.Operations[*].status') FROM token, scim.handle('opt', 'POST', '/Bulk', jsonb_build_object('Authorization', 'Bearer ' || people),
	'{"Operations":[{"method":"DELETE","path":"/Users/00000000-0000-4000-8000-000000000005"},{"method":"DELETE","path":"/Groups/00000000-0000-4000-8000-0000000000aa"}]}');

-- /Me
SELECT m, s.* FROM unnest('{GET,POST,PUT,PATCH,DELETE,OPTIONS}'::text[]) m, pg_temp.send(m, '/Me', '{}') s;
SELECT s.* FROM token, pg_temp.send('GET', '/Me', NULL, people) s;
SELECT h.status, h.headers ->> 'Location', h.body::jsonb ->> 'userName' FROM token, scim.handle('opt', 'GET', '/Me', jsonb_build_object('Authorization', 'Bearer ' || mine)) h;
SELECT h.status, h.headers ->> 'Location', h.body::jsonb ->> 'title' FROM token, scim.handle('opt', 'PATCH', '/Me', jsonb_build_object('Authorization', 'Bearer ' || mine),
	'{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","path":"title","value":"mine"}]}') h;
SELECT h.status, h.body::jsonb ->> 'title' FROM token, scim.handle('opt', 'PUT', '/Me?attributes=title', jsonb_build_object('Authorization', 'Bearer ' || mine, 'If-Match', 'W/"2"'),
	'{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"u2","title":"still mine"}') h;
SELECT m, s.status, s.detail, s.headers FROM token, (VALUES ('POST', '/Me'), ('OPTIONS', '/Me'), ('GET', '/Me/x')) v(m, p), pg_temp.send(m, p, '{}', mine) s;
SELECT s.status, s.detail FROM token, pg_temp.send('GET', '/Me', NULL, gone) s;
SELECT s.status, s.detail FROM token, pg_temp.send('GET', '/Me', NULL, teams) s;
SELECT s.status FROM token, pg_temp.send('DELETE', '/Me', NULL, mine) s;
SELECT s.status FROM token, pg_temp.send('GET', '/Me', NULL, mine) s;

-- rotation: both are good for a while, with the same rights
SELECT scim.rotate_token('opt', 'nobody');
SELECT scim.rotate_token('opt', 'people', '-1 day');
SELECT scim.rotate_token('opt', 'people', '1 day', '0 days');
CREATE TEMP TABLE fresh AS SELECT scim.rotate_token('opt', 'people', '1 hour', '1 year') AS people;
SELECT regexp_replace(label, 'out .*', 'out *') AS label, state, resource_types, round(extract(epoch FROM expires - now()) / 3600) AS hours FROM scim.tokens WHERE endpoint = 'opt' AND label LIKE 'people%' ORDER BY 1;
SELECT a.status, b.status, c.status FROM token t, fresh f, pg_temp.send('GET', '/Users?count=0', NULL, t.people) a, pg_temp.send('GET', '/Users?count=0', NULL, f.people) b, pg_temp.send('GET', '/Groups', NULL, f.people) c;
CREATE TEMP TABLE fresher AS SELECT scim.rotate_token('opt', 'people', '0') AS people;
SELECT a.status, b.status, c.status FROM token t, fresh f, fresher g, pg_temp.send('GET', '/Users?count=0', NULL, t.people) a, pg_temp.send('GET', '/Users?count=0', NULL, f.people) b, pg_temp.send('GET', '/Users?count=0', NULL, g.people) c;

-- ---- OAuth 2.0 client credentials ----
CREATE FUNCTION pg_temp.ask(form text, basic text DEFAULT NULL, type text DEFAULT 'application/x-www-form-urlencoded', method text DEFAULT 'POST', OUT status int, OUT body jsonb, OUT headers jsonb) LANGUAGE sql AS $$
	SELECT h.status, h.body::jsonb, h.headers - 'Content-Type' FROM scim.handle('opt', method, '/oauth/token',
		jsonb_strip_nulls(jsonb_build_object('Content-Type', type, 'Authorization', 'Basic ' || replace(encode(convert_to(basic, 'UTF8'), 'base64'), E'\n', ''))), form) h
$$;
SELECT scim.create_client('opt', '');
SELECT scim.create_client('opt', 'x', '0');
SELECT scim.create_client('opt', 'x', NULL);
CREATE TEMP TABLE client AS SELECT scim.create_client('opt', 'entra', '2 hours', resource_types => '{User}') AS secret;
SELECT scim.create_client('opt', 'entra');
SELECT status FROM client, pg_temp.ask('grant_type=client_credentials&client_id=entra&client_secret=' || secret);	-- not switched on
SELECT scim.alter_endpoint('opt', '{"oauth":true}');
SELECT body::jsonb -> 'authenticationSchemes' -> 1 ->> 'type' FROM scim.handle('opt', 'GET', '/ServiceProviderConfig');
SELECT a.* FROM client, LATERAL (VALUES ('', NULL), ('grant_type=password&client_id=entra&client_secret=x', NULL), ('grant_type=client_credentials', NULL), ('grant_type=client_credentials&client_id=entra&client_secret=wrong', NULL),
	('grant_type=client_credentials&client_id=other&client_secret=' || secret, NULL), ('grant_type=client_credentials', 'entra:wrong'), ('grant_type=client_credentials', 'entra'),
	('grant_type=client_credentials&client_id=entra', 'entra:' || secret), ('grant_type=client_credentials&grant_type=client_credentials&client_id=entra&client_secret=' || secret, NULL)) v(form, basic), pg_temp.ask(form, basic) a;
SELECT a.* FROM pg_temp.ask('{}', type => 'application/json') a;
SELECT a.* FROM pg_temp.ask(NULL, method => 'GET') a;
SELECT a.status, a.body - 'access_token', a.body ->> 'access_token' ~ '^scim_[A-Za-z0-9_-]{43}$' FROM client, pg_temp.ask('grant_type=client_credentials&client_id=entra&client_secret=' || secret) a;
CREATE TEMP TABLE got AS SELECT a.body ->> 'access_token' AS t FROM client, pg_temp.ask('grant_type=client_credentials&scope=x', 'entra:' || secret) a;
-- the token has the client's rights, the secret none
SELECT a.status, b.status, c.status FROM got, client, pg_temp.send('GET', '/Users?count=0', NULL, t) a, pg_temp.send('GET', '/Groups', NULL, t) b, pg_temp.send('GET', '/Users', NULL, secret) c;
SELECT kind, regexp_replace(label, 'issued .*', 'issued *') AS label, state, resource_types, round(extract(epoch FROM expires - now()) / 3600) AS hours FROM scim.tokens WHERE endpoint = 'opt' AND label LIKE 'entra%' ORDER BY 1, 2;
CREATE TEMP TABLE turned AS SELECT scim.rotate_token('opt', 'entra', '1 hour') AS secret;
SELECT a.status, b.status FROM client c, turned n, pg_temp.ask('grant_type=client_credentials&client_id=entra&client_secret=' || c.secret) a, pg_temp.ask('grant_type=client_credentials&client_id=entra&client_secret=' || n.secret) b;
CREATE TEMP TABLE again AS SELECT scim.rotate_token('opt', 'entra', '0') AS secret;
SELECT a.status, b.status FROM turned c, again n, pg_temp.ask('grant_type=client_credentials&client_id=entra&client_secret=' || c.secret) a, pg_temp.ask('grant_type=client_credentials&client_id=entra&client_secret=' || n.secret) b;
SELECT scim.revoke_token('opt', 'entra');
SELECT a.status FROM got, pg_temp.send('GET', '/Users?count=0', NULL, t) a;
-- what was rotated out has a label of its own, and is revoked by it
SELECT scim.revoke_token('opt', label) FROM scim.tokens WHERE endpoint = 'opt' AND kind = 'client' AND label LIKE 'entra, rotated out%';
SELECT count(*) FROM scim.tokens WHERE endpoint = 'opt' AND kind <> 'token' AND state <> 'revoked';

-- ---- passwords: ignored, or kept as a secret that nobody can read ----
SELECT scim.alter_endpoint('opt', '{"unknownAttributes":null}');
SELECT scim.create_endpoint('pass', mappings => '{users_with_password,groups}');
SELECT e, c -> 'changePassword' -> 'supported', (SELECT count(*) FROM scim.handle(e, 'GET', '/Schemas/urn:ietf:params:scim:schemas:core:2.0:User') s, jsonb_array_elements(s.body::jsonb -> 'attributes') a WHERE a ->> 'name' = 'password') FROM unnest('{opt,pass}'::text[]) e, scim.handle(e, 'GET', '/ServiceProviderConfig') h, LATERAL (SELECT h.body::jsonb AS c) x;
SELECT e, h.status, h.body::jsonb ? 'password' FROM unnest('{opt,pass}'::text[]) e, scim.handle(e, 'POST', '/Users?attributes=userName,password', '{}', '{"userName":"pw","password":"hush"}') h;
SELECT tenant, password_hash ~ '^SCRAM-SHA-256\$4096:', password_hash ~ 'hush' FROM scim.users WHERE user_name = 'pw' ORDER BY 1;
SELECT id AS pw FROM scim.users WHERE tenant = 'pass' \gset
SELECT scim.check_password('pass', 'PW', 'hush'), scim.check_password('pass', 'pw', 'Hush'), scim.check_password('pass', 'pw', ''), scim.check_password('pass', 'nobody', 'hush'), scim.check_password('opt', 'pw', 'hush');
-- the same one changes nothing, another one does; a PUT without it leaves it
SELECT h.status, h.headers ->> 'ETag', scim.check_password('pass', 'pw', p) FROM unnest('{hush,other}'::text[]) p, scim.handle('pass', 'PATCH', '/Users/' || :'pw', '{}', '{"Operations":[{"op":"replace","path":"password","value":"' || p || '"}]}') h;
SELECT h.status, h.headers ->> 'ETag', scim.check_password('pass', 'pw', 'other') FROM scim.handle('pass', 'PUT', '/Users/' || :'pw', '{}', '{"userName":"pw","title":"x"}') h;
SELECT h.status, h.body::jsonb ->> 'detail' FROM unnest('{"",md5c4ca4238a0b923820dcc509a6f75849b}'::text[]) p, scim.handle('pass', 'PATCH', '/Users/' || :'pw', '{}', '{"Operations":[{"op":"replace","path":"password","value":"' || p || '"}]}') h;
SELECT h.status, h.body::jsonb ->> 'scimType' FROM unnest('{filter=password%20pr,sortBy=password}'::text[]) q, scim.handle('pass', 'GET', '/Users?' || q) h;
SELECT h.status, scim.check_password('pass', 'pw', 'other') FROM scim.handle('pass', 'PATCH', '/Users/' || :'pw', '{}', '{"Operations":[{"op":"replace","path":"active","value":false}]}') h;
SELECT h.status FROM scim.handle('pass', 'PATCH', '/Users/' || :'pw', '{}', '{"Operations":[{"op":"remove","path":"password"}]}') h;
SELECT password_hash IS NULL FROM scim.users WHERE id = :'pw';
SELECT scim.check_password('nowhere', 'pw', 'other');
SELECT attributes FROM scim.audit_log WHERE endpoint = 'pass' AND attributes <> '{}' ORDER BY at;
SELECT scim.drop_endpoint('pass');
DELETE FROM scim.users WHERE tenant = 'pass';

-- a rate
SELECT scim.alter_endpoint('opt', '{"requestsPerSecond":5}');
SELECT min(s.status), max(s.status), count(*) > 5, max(s.detail), max(s.headers ->> 'Retry-After') FROM fresher, generate_series(1, 60) i, pg_temp.send('GET', '/Users?count=' || i % 2, NULL, people) s;
SELECT scim.alter_endpoint('opt', '{"requestsPerSecond":null}');

SELECT scim.drop_endpoint('opt');
DELETE FROM scim.groups WHERE tenant = 'opt';
DELETE FROM scim.users WHERE tenant = 'opt';
