-- Servers: options and profiles, secrets and what binds them, who may do what.
-- No request leaves this machine here; what goes over the wire is test/t/012_client.pl.
\set VERBOSITY terse
SET client_min_messages = warning;
CREATE ROLE scim_regress_maker;
CREATE ROLE scim_regress_user;
CREATE ROLE scim_regress_other;

-- ---- options ----

CREATE SERVER dd FOREIGN DATA WRAPPER scim OPTIONS (profile 'datadog');
CREATE SERVER eu FOREIGN DATA WRAPPER scim OPTIONS (profile 'datadog', site 'datadoghq.eu', page_size '7', user_attributes ' userName , active,title', total_timeout '1min', rate_per_second '0.5', email_types '');
CREATE SERVER plain FOREIGN DATA WRAPPER scim OPTIONS (base_url 'https://Example.com:8443/scim/v2/');
SELECT * FROM scim.server_capabilities('dd') WHERE source <> 'default';
SELECT * FROM scim.server_capabilities('eu') WHERE source = 'option';
SELECT * FROM scim.server_capabilities('plain');
-- each profile passes what an option has to pass
DO $$
DECLARE
	p text;
	n int;
BEGIN
	FOR p IN SELECT name FROM scim.profiles LOOP
		EXECUTE format('CREATE SERVER probe FOREIGN DATA WRAPPER scim OPTIONS (profile %L %s)', p,
			CASE WHEN EXISTS (SELECT 1 FROM scim.profiles WHERE name = p AND capabilities ? 'base_url') THEN '' ELSE ', base_url ''https://example.com''' END);
		SELECT count(*) INTO n FROM scim.server_capabilities('probe') c JOIN scim.profiles f ON f.name = p AND f.capabilities ? c.name WHERE c.source = 'profile';
		IF n <> (SELECT count(*) FROM scim.profiles f, jsonb_object_keys(f.capabilities) k WHERE f.name = p AND k NOT IN ('base_url', 'sites')) THEN
			RAISE EXCEPTION 'profile % says what no option can say', p;
		END IF;
		DROP SERVER probe;
	END LOOP;
END
$$;

\set VERBOSITY default
CREATE SERVER bad FOREIGN DATA WRAPPER scim;
CREATE SERVER bad FOREIGN DATA WRAPPER scim OPTIONS (profile 'nothing');
CREATE SERVER bad FOREIGN DATA WRAPPER scim OPTIONS (url 'https://example.com');
CREATE SERVER bad FOREIGN DATA WRAPPER scim OPTIONS (profile 'datadog', site 'example.com');
\set VERBOSITY terse
CREATE SERVER bad FOREIGN DATA WRAPPER scim OPTIONS (profile 'datadog', site 'evil.example/x#.datadoghq.com');
CREATE SERVER bad FOREIGN DATA WRAPPER scim OPTIONS (profile 'datadog', site 'datadoghq.eu', base_url 'https://example.com');
CREATE SERVER bad FOREIGN DATA WRAPPER scim OPTIONS (profile 'aws', site 'eu');
CREATE SERVER bad FOREIGN DATA WRAPPER scim OPTIONS (base_url 'https://user:password@example.com');
CREATE SERVER bad FOREIGN DATA WRAPPER scim OPTIONS (base_url 'https://example.com/scim?x=1');
CREATE SERVER bad FOREIGN DATA WRAPPER scim OPTIONS (base_url 'file:///etc/passwd');
CREATE SERVER bad FOREIGN DATA WRAPPER scim OPTIONS (base_url '');
CREATE SERVER bad FOREIGN DATA WRAPPER scim OPTIONS (base_url 'https://example.com', page_size '0');
CREATE SERVER bad FOREIGN DATA WRAPPER scim OPTIONS (base_url 'https://example.com', page_size 'many');
CREATE SERVER bad FOREIGN DATA WRAPPER scim OPTIONS (base_url 'https://example.com', total_timeout '1 fortnight');
CREATE SERVER bad FOREIGN DATA WRAPPER scim OPTIONS (base_url 'https://example.com', rate_per_second 'NaN');
CREATE SERVER bad FOREIGN DATA WRAPPER scim OPTIONS (base_url 'https://example.com', rate_per_second '-1');
CREATE SERVER bad FOREIGN DATA WRAPPER scim OPTIONS (base_url 'https://example.com', filter_and 'maybe');
CREATE SERVER bad FOREIGN DATA WRAPPER scim OPTIONS (base_url 'https://example.com', delete_means 'whatever');
CREATE SERVER bad FOREIGN DATA WRAPPER scim OPTIONS (base_url 'https://example.com', filter_user 'userName,,id');
CREATE SERVER bad FOREIGN DATA WRAPPER scim OPTIONS (base_url 'https://example.com', filter_user 'userName,');
CREATE SERVER bad FOREIGN DATA WRAPPER scim OPTIONS (base_url 'https://example.com', accept E'a\r\nX-Evil: 1');
CREATE SERVER bad FOREIGN DATA WRAPPER scim OPTIONS (base_url 'https://example.com', content_type '');
CREATE SERVER bad FOREIGN DATA WRAPPER scim OPTIONS (base_url 'https://example.com', ca_file 'relative.pem');
CREATE SERVER bad FOREIGN DATA WRAPPER scim OPTIONS (base_url 'https://example.com', auth 'digest');
CREATE SERVER bad FOREIGN DATA WRAPPER scim OPTIONS (base_url 'https://example.com', auth 'basic');
CREATE SERVER bad FOREIGN DATA WRAPPER scim OPTIONS (base_url 'https://example.com', auth 'basic', client_id 'a:b');
CREATE SERVER bad FOREIGN DATA WRAPPER scim OPTIONS (base_url 'https://example.com', auth 'oauth2_client_credentials', client_id 'app');
CREATE SERVER bad FOREIGN DATA WRAPPER scim OPTIONS (base_url 'https://example.com', auth 'oauth2_client_credentials', client_id 'app', token_url 'https://u:p@example.com/token');
CREATE SERVER bad FOREIGN DATA WRAPPER scim OPTIONS (base_url 'https://example.com', scope '');

-- ---- passwords and tokens, what is learned ----

CREATE SERVER pass FOREIGN DATA WRAPPER scim OPTIONS (base_url 'https://example.com', auth 'basic', client_id 'hr');
CREATE SERVER app FOREIGN DATA WRAPPER scim OPTIONS (base_url 'https://example.com', auth 'oauth2_client_credentials', client_id 'app', token_url 'https://login.example.com/oauth/token', scope 'scim');
SELECT scim.set_secret('pass', 'a pass: word'), scim.set_secret('app', 's/cret'), scim.set_secret('app', E'two\nlines');
SELECT server, origin FROM scim.secrets WHERE server IN ('pass', 'app') ORDER BY 1;
INSERT INTO scim._learned (server, origin, capability, value, evidence) VALUES
	('pass', 'https://example.com:443', 'members_per_request', '7', 'PATCH: 413'), ('app', 'https://other.example:443', 'update_method', 'put', 'PATCH: 405');
SELECT c.* FROM (VALUES ('pass'), ('app')) s (server), scim.server_capabilities(s.server) c WHERE c.source IN ('option', 'learned') OR c.name = 'update_method';
SELECT server, capability, value, evidence FROM scim.learned ORDER BY 1;
-- an option goes before it
ALTER SERVER pass OPTIONS (ADD members_per_request '50');
SELECT value, source FROM scim.server_capabilities('pass') WHERE name = 'members_per_request';
SELECT scim.forget_learned('pass'), scim.forget_learned('pass');
SELECT scim.forget_learned('nowhere');
SELECT scim.drop_secret('pass'), scim.drop_secret('app'), scim.forget_learned('app');
DROP SERVER pass;
DROP SERVER app;
ALTER SERVER plain OPTIONS (ADD concurrency '0');
ALTER FOREIGN DATA WRAPPER scim OPTIONS (ADD x 'y');

-- plain http only to whom the superuser names
SET scim.allowed_targets = 'nonsense here';
SET scim.allowed_targets = '10.0.0.0/8';
SET scim.allowed_targets = 'localhost:8080, [::1]';
CREATE SERVER http FOREIGN DATA WRAPPER scim OPTIONS (base_url 'http://localhost:8080/scim');
\set VERBOSITY default
ALTER SERVER http OPTIONS (SET base_url 'http://localhost:8081/scim');
\set VERBOSITY terse
SELECT scim.set_secret('http', 'x');
SELECT ok, step, status, detail FROM scim.test_connection('http');
DROP SERVER http;
RESET scim.allowed_targets;

-- ---- who may do what ----

GRANT USAGE ON SCHEMA scim TO scim_regress_maker, scim_regress_user, scim_regress_other;
GRANT EXECUTE ON FUNCTION scim.set_secret(text, text), scim.drop_secret(text), scim.test_connection(text), scim.server_capabilities(text)
	TO scim_regress_maker, scim_regress_user, scim_regress_other;
GRANT SELECT ON scim.secrets TO scim_regress_maker, scim_regress_user, scim_regress_other;
SET ROLE scim_regress_maker;
CREATE SERVER mine FOREIGN DATA WRAPPER scim OPTIONS (base_url 'https://127.1:9/scim');
SELECT * FROM scim.profiles;
SELECT * FROM scim._secrets;
SET scim.allowed_targets = 'localhost';
RESET ROLE;
GRANT USAGE ON FOREIGN DATA WRAPPER scim TO scim_regress_maker;
SET ROLE scim_regress_maker;
CREATE SERVER mine FOREIGN DATA WRAPPER scim OPTIONS (base_url 'https://127.1:9/scim');
ALTER SERVER mine OPTIONS (ADD secret_file '/etc/passwd');
ALTER SERVER mine OPTIONS (ADD ca_file '/etc/passwd');
SELECT scim.set_secret('dd', 'stolen');
SELECT scim.set_secret('mine', 'sekrit-0123456789');
GRANT USAGE ON FOREIGN SERVER mine TO scim_regress_user;
SELECT * FROM scim.server_capabilities('dd');
SELECT * FROM scim.test_connection('dd');
SET ROLE scim_regress_user;
SELECT scim.set_secret('mine', 'another');
SELECT scim.drop_secret('mine');
SELECT count(*) FROM scim.secrets;
SELECT count(*) FROM scim.server_capabilities('mine');
SELECT ok, step, status, detail FROM scim.test_connection('mine');
SET ROLE scim_regress_other;
SELECT ok FROM scim.test_connection('mine');
RESET ROLE;
-- while it has a file option others can't alter it, but for taking that away
ALTER SERVER mine OPTIONS (ADD secret_file '/nowhere/secret');
SET ROLE scim_regress_maker;
ALTER SERVER mine OPTIONS (SET base_url 'https://evil.example');
ALTER SERVER mine OPTIONS (DROP secret_file);
RESET ROLE;

-- ---- secrets ----

SELECT scim.set_secret('dd', 'canary-0123456789==');
SELECT server, origin, owner = 'scim_regress_maker'::regrole AS makers, set_at = now() AS now FROM scim.secrets ORDER BY server;
SELECT scim.set_secret('nowhere', 'x');
SELECT scim.set_secret('dd', NULL);
SELECT scim.set_secret(NULL, 'x');
SELECT scim.set_secret('dd', '');
SELECT scim.set_secret('dd', 'two words');
SELECT scim.set_secret('dd', E'line\nend');
SELECT scim.set_secret('dd', 'ümlaut');
SELECT scim.set_secret('dd', repeat('x', 8193));
SELECT scim.set_secret('dd', repeat('x', 8192));
BEGIN READ ONLY;
SELECT scim.set_secret('dd', 'x');
COMMIT;
-- as data, in the text of no statement
CREATE TEMP TABLE s (t text);
COPY s FROM stdin;
canary-0123456789
\.
SELECT scim.set_secret('dd', t) FROM s;
DROP TABLE s;

-- bound to the origin ...
ALTER SERVER mine OPTIONS (SET base_url 'https://127.1:9/other/path');
SELECT ok, step, detail FROM scim.test_connection('mine');
ALTER SERVER mine OPTIONS (SET base_url 'https://127.1:10/scim');
SELECT ok, step, detail FROM scim.test_connection('mine');
ALTER SERVER mine OPTIONS (SET base_url 'https://127.2:9/scim');
SELECT ok, step, detail FROM scim.test_connection('mine');
ALTER SERVER mine OPTIONS (SET base_url 'https://127.1:9/scim');
SELECT ok, step, detail FROM scim.test_connection('mine');
-- ... and the owner
ALTER SERVER mine OWNER TO CURRENT_USER;
SELECT ok, step, detail FROM scim.test_connection('mine');
DROP SERVER mine CASCADE;
CREATE SERVER mine FOREIGN DATA WRAPPER scim OPTIONS (base_url 'https://127.1:9/scim');
SELECT ok, step, detail FROM scim.test_connection('mine');
SELECT scim.drop_secret('mine');
SELECT scim.drop_secret('mine');
SELECT ok, step, detail FROM scim.test_connection('mine');

-- a secret in a user mapping works, and is told of
SET client_min_messages = notice;
\set VERBOSITY default
CREATE USER MAPPING FOR CURRENT_USER SERVER mine OPTIONS (token 'two words');
CREATE USER MAPPING FOR CURRENT_USER SERVER mine OPTIONS (password 'x');
CREATE USER MAPPING FOR PUBLIC SERVER mine OPTIONS (token 'visible');
SET client_min_messages = warning;
\set VERBOSITY terse
SELECT ok, step, detail FROM scim.test_connection('mine');

-- a file
ALTER SERVER mine OPTIONS (ADD secret_file '/nowhere/secret');
SELECT ok, step, detail FROM scim.test_connection('mine');

-- ---- servers of others ----

CREATE FOREIGN DATA WRAPPER scim_regress_wrapper;
CREATE SERVER alien FOREIGN DATA WRAPPER scim_regress_wrapper;
SELECT scim.set_secret('alien', 'x');
SELECT * FROM scim.test_connection('alien');
SELECT * FROM scim.test_connection('nowhere');
DROP FOREIGN DATA WRAPPER scim_regress_wrapper CASCADE;

-- ---- addresses that are refused, whatever they are called ----

DO $$
DECLARE
	host text;
	r record;
BEGIN
	FOREACH host IN ARRAY ARRAY['127.0.0.1', '0x7f.1', '2130706433', '0177.0.0.1', '0.0.0.0', '[::1]', '[::ffff:127.0.0.1]', '169.254.169.254', '10.0.0.1', '[fd00:ec2::254]'] LOOP
		EXECUTE format('CREATE SERVER probe FOREIGN DATA WRAPPER scim OPTIONS (base_url %L)', 'https://' || host || '/scim');
		PERFORM scim.set_secret('probe', 'x');
		SELECT * INTO r FROM scim.test_connection('probe') t WHERE t.step = 'users';
		IF r.ok OR r.status IS NOT NULL OR r.detail NOT LIKE 'refused here: %' THEN
			RAISE WARNING '% is not refused: %', host, r.detail;
		END IF;
		DROP SERVER probe;
	END LOOP;
END
$$;

DROP SERVER mine CASCADE;
DROP SERVER dd, eu, plain;
SELECT server, scim.drop_secret(server) FROM scim.secrets ORDER BY server;
REVOKE ALL ON SCHEMA scim FROM scim_regress_maker, scim_regress_user, scim_regress_other;
REVOKE ALL ON FUNCTION scim.set_secret(text, text), scim.drop_secret(text), scim.test_connection(text), scim.server_capabilities(text)
	FROM scim_regress_maker, scim_regress_user, scim_regress_other;
REVOKE ALL ON scim.secrets FROM scim_regress_maker, scim_regress_user, scim_regress_other;
REVOKE ALL ON FOREIGN DATA WRAPPER scim FROM scim_regress_maker;
DROP ROLE scim_regress_maker, scim_regress_user, scim_regress_other;
