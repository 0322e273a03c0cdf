-- Endpoints, tokens, mappings: who may make them, what is refused.
\set VERBOSITY terse
SET client_min_messages = warning;
SELECT scim.create_endpoint('early');		-- not set up yet
SELECT scim.setup();
SELECT scim.setup();						-- may be repeated
-- (LOGIN for the worker, where PostgreSQL still asks for it)
SELECT rolname, rolsuper, CASE rolname WHEN 'scim_worker' THEN rolcanlogin OR current_setting('server_version_num')::int >= 170000
                                       ELSE NOT rolcanlogin END AS login_as_needed,
  rolcreaterole, rolreplication, rolbypassrls
  FROM pg_roles WHERE rolname IN ('scim_worker', 'scim_store') ORDER BY 1;
CREATE ROLE scim_regress_boss SUPERUSER;
SELECT scim.setup(store_role => 'scim_regress_boss');
DROP ROLE scim_regress_boss;
CREATE ROLE scim_regress_role;
CREATE ROLE scim_regress_member IN ROLE scim_regress_role;
SELECT scim.setup(store_role => 'scim_regress_role');
DROP ROLE scim_regress_role, scim_regress_member;

-- endpoints
SELECT scim.create_endpoint('acme', base_path => '/api/v2/scim');
SELECT scim.create_endpoint('acme');
SELECT scim.create_endpoint('other', base_path => '/api/v2/scim');
SELECT scim.create_endpoint('bad', base_path => 'api');
SELECT scim.create_endpoint('bad', base_path => '/api/');
SELECT scim.create_endpoint('bad', base_path => '/a//b');
SELECT scim.create_endpoint('bad', base_path => '/a/../b');
SELECT scim.create_endpoint('bad', base_path => '/a%41');
SELECT scim.create_endpoint('bad', public_url => 'ftp://example.com');
SELECT scim.create_endpoint('bad', public_url => 'https://user@example.com');
SELECT scim.create_endpoint('bad', mode => 'lax');
SELECT scim.create_endpoint('bad', mappings => '{nothing}');
SELECT scim.create_endpoint('bad', mappings => '{users,users}');
SELECT scim.create_endpoint('bad', mappings => '{groups}');
SELECT scim.create_endpoint('bad', scope => '{"tenant": "acme"}');
SELECT scim.create_endpoint('bad', owner => 'nobody_of_this_name');
SELECT scim.create_endpoint('globex', public_url => 'https://id.example.com/globex/scim/v2/', mode => 'strict');
SELECT name, base_path, public_url, tenant, owner, mappings, scope, mode, enabled FROM scim.endpoints ORDER BY name;

-- tokens: shown once, kept as a hash
SELECT length(scim.create_token('acme', 'entra', '1 year')) AS length;
SELECT scim.create_token('acme', 'entra');
SELECT scim.create_token('nowhere', 'x');
SELECT scim.create_token('acme', 'x', '-1 day');
SELECT scim.create_token('acme', '');
SELECT scim.create_token('acme', 'reader', can_write => false) ~ '^scim_[A-Za-z0-9_-]{43}$' AS well_formed;
SELECT endpoint, label, can_write, expires - created AS valid_for, last_used, state FROM scim.tokens ORDER BY label;
SELECT scim.revoke_token('acme', 'entra');
SELECT scim.revoke_token('acme', 'entra');
SELECT label, state FROM scim.tokens ORDER BY label;
SELECT length(scim.create_token('acme', 'entra')) AS length;	-- the label is free again

-- nothing for others
CREATE ROLE scim_regress_other;
GRANT USAGE ON SCHEMA scim TO scim_regress_other;
SET ROLE scim_regress_other;
SELECT scim.create_endpoint('mine');
SELECT scim.create_token('acme');
SELECT * FROM scim.tokens;
SELECT * FROM scim._tokens;
SELECT * FROM scim.users;
RESET ROLE;
-- with EXECUTE, but no member of the owner
GRANT EXECUTE ON FUNCTION scim.create_token(text, text, interval, boolean, text[], text), scim.drop_endpoint(text),
	scim.create_endpoint(text, text, text, text, text[], jsonb, name, text),
	scim.handle(text, text, text, jsonb, text) TO scim_regress_other;
GRANT SELECT ON scim.endpoints TO scim_regress_other;
SET ROLE scim_regress_other;
SELECT scim.create_token('acme');
SELECT scim.drop_endpoint('acme');
SELECT scim.create_endpoint('mine', owner => 'scim_store');
SELECT * FROM scim.handle('acme', 'GET', '/Users');
SELECT count(*) FROM scim.endpoints;
RESET ROLE;
-- with a membership that gives the owner's privileges, or SET ROLE, but not
-- both (before PostgreSQL 16: none, or SET ROLE); then with one that gives both
CREATE ROLE scim_regress_owner;
GRANT USAGE ON SCHEMA scim TO scim_regress_owner;
SELECT scim.create_endpoint('owned', owner => 'scim_regress_owner');
SELECT current_setting('server_version_num')::int >= 160000 AS options \gset
\if :options
GRANT scim_regress_owner TO scim_regress_other WITH INHERIT TRUE, SET FALSE;
\endif
SET ROLE scim_regress_other;
SELECT scim.create_token('owned');
SELECT scim.create_endpoint('mine', owner => 'scim_regress_owner');
RESET ROLE;
\if :options
GRANT scim_regress_owner TO scim_regress_other WITH INHERIT FALSE, SET TRUE;
\else
ALTER ROLE scim_regress_other NOINHERIT;
GRANT scim_regress_owner TO scim_regress_other;
\endif
SET ROLE scim_regress_other;
SELECT scim.create_token('owned');
SELECT scim.create_endpoint('mine', owner => 'scim_regress_owner');
SELECT count(*) FROM scim.endpoints;
RESET ROLE;
REVOKE scim_regress_owner FROM scim_regress_other;
ALTER ROLE scim_regress_other INHERIT;
GRANT scim_regress_owner TO scim_regress_other;
SET ROLE scim_regress_other;
SELECT length(scim.create_token('owned')) AS length;
SELECT scim.create_endpoint('mine', owner => 'scim_regress_owner');
SELECT name FROM scim.endpoints ORDER BY 1;
SELECT scim.drop_endpoint('mine');
SELECT scim.drop_endpoint('owned');
RESET ROLE;
REVOKE ALL ON FUNCTION scim.fold(text) FROM scim_regress_owner;
REVOKE ALL ON TABLE scim.resource_state FROM scim_regress_owner;
REVOKE ALL ON SCHEMA scim FROM scim_regress_owner;
DROP ROLE scim_regress_owner;
REVOKE ALL ON FUNCTION scim.create_token(text, text, interval, boolean, text[], text), scim.drop_endpoint(text),
	scim.create_endpoint(text, text, text, text, text[], jsonb, name, text),
	scim.handle(text, text, text, jsonb, text) FROM scim_regress_other;
REVOKE ALL ON scim.endpoints FROM scim_regress_other;
REVOKE ALL ON SCHEMA scim FROM scim_regress_other;
DROP ROLE scim_regress_other;

-- nothing to PUBLIC, but scim.fold
SELECT p.oid::regprocedure FROM pg_proc p
 WHERE p.pronamespace = 'scim'::regnamespace AND has_function_privilege('public', p.oid, 'EXECUTE') ORDER BY 1;
SELECT c.oid::regclass FROM pg_class c
 WHERE c.relnamespace = 'scim'::regnamespace AND c.relkind IN ('r', 'v', 'S')
   AND has_table_privilege('public', c.oid, 'SELECT, INSERT, UPDATE, DELETE') ORDER BY 1;
-- every object has a comment
SELECT p.oid::regprocedure FROM pg_proc p
 WHERE p.pronamespace = 'scim'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL ORDER BY 1;
SELECT c.oid::regclass FROM pg_class c
 WHERE c.relnamespace = 'scim'::regnamespace AND c.relkind IN ('r', 'v') AND obj_description(c.oid, 'pg_class') IS NULL ORDER BY 1;
SELECT a.attrelid::regclass, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
 WHERE c.relnamespace = 'scim'::regnamespace AND c.relkind IN ('r', 'v') AND a.attnum > 0 AND NOT a.attisdropped
   AND col_description(c.oid, a.attnum) IS NULL ORDER BY 1, 2;

SELECT scim.enable_endpoint('acme', false);
SELECT name, enabled FROM scim.endpoints ORDER BY 1;
SELECT scim.drop_endpoint('acme');
SELECT scim.drop_endpoint('acme');
SELECT scim.drop_endpoint('globex');
SELECT count(*) FROM scim.tokens;
