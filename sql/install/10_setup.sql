-- The ground: the schema belongs to whoever installs, and to nobody else.
DO $$
BEGIN
	IF pg_catalog.current_setting('server_encoding') OPERATOR(pg_catalog.<>) 'UTF8' THEN
		RAISE EXCEPTION 'scim works in UTF8 databases only'
			USING ERRCODE = 'feature_not_supported',
				  DETAIL = pg_catalog.format('This database is encoded as %s.', pg_catalog.current_setting('server_encoding')),
				  HINT = 'CREATE DATABASE ... ENCODING ''UTF8'' TEMPLATE template0';
	END IF;
	IF (SELECT n.nspowner FROM pg_catalog.pg_namespace n WHERE n.nspname OPERATOR(pg_catalog.=) 'scim')
		OPERATOR(pg_catalog.<>) (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname OPERATOR(pg_catalog.=) current_user) THEN
		RAISE EXCEPTION 'schema "scim" exists and belongs to somebody else'
			USING ERRCODE = 'insufficient_privilege', HINT = 'DROP SCHEMA scim; then CREATE EXTENSION scim.';
	END IF;
END
$$;

-- (No REVOKE on the schema: a new one grants nothing to PUBLIC, and what an
-- extension's script grants or revokes is left out of dumps.)
COMMENT ON SCHEMA scim IS 'SCIM 2.0 (RFC 7643, RFC 7644): service provider and store. Names that begin with an underscore are internal.';

-- The roles scim works with (scim.setup() fills it).
CREATE TABLE scim._roles (
	kind text PRIMARY KEY CHECK (kind IN ('worker', 'store')),
	role pg_catalog.regrole NOT NULL
);
REVOKE ALL ON TABLE scim._roles FROM PUBLIC;
COMMENT ON TABLE scim._roles IS 'Internal: the worker role and the store role of this database, as scim.setup() recorded them.';
COMMENT ON COLUMN scim._roles.kind IS 'worker: what background workers authenticate as; store: what requests on the built-in store run as.';
COMMENT ON COLUMN scim._roles.role IS 'The role.';
SELECT pg_catalog.pg_extension_config_dump('scim._roles', '');

CREATE FUNCTION scim._config_changed() RETURNS trigger
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'scim_config_changed';
REVOKE ALL ON FUNCTION scim._config_changed() FROM PUBLIC;
COMMENT ON FUNCTION scim._config_changed() IS 'Internal: statement trigger of configuration tables; makes every backend forget what it has cached of them (plain DML sends no invalidation by itself).';

CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON scim._roles
	FOR EACH STATEMENT EXECUTE FUNCTION scim._config_changed();
