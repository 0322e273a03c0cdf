-- Roles: none is created by this script, all by scim.setup(), once.

CREATE FUNCTION scim._grant_use(owner pg_catalog.oid) RETURNS void
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
	AS $$
BEGIN
	EXECUTE pg_catalog.format('GRANT USAGE ON SCHEMA scim TO %s', owner::pg_catalog.regrole);
	EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION scim.fold(text) TO %s', owner::pg_catalog.regrole);
	EXECUTE pg_catalog.format('GRANT SELECT ON TABLE scim.resource_state TO %s', owner::pg_catalog.regrole);
END
$$;
REVOKE ALL ON FUNCTION scim._grant_use(pg_catalog.oid) FROM PUBLIC;
COMMENT ON FUNCTION scim._grant_use(pg_catalog.oid) IS 'Internal: lets the owner of a mapping use scim.fold and scim.resource_state, which the statements on its relation do.';

CREATE FUNCTION scim._grant_key(owner pg_catalog.oid) RETURNS void
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
	AS $$
BEGIN
	EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION scim.key_text(text[]) TO %s', owner::pg_catalog.regrole);
END
$$;
REVOKE ALL ON FUNCTION scim._grant_key(pg_catalog.oid) FROM PUBLIC;
COMMENT ON FUNCTION scim._grant_key(pg_catalog.oid) IS 'Internal: lets the owner of a mapping whose key is more than one column call scim.key_text, which the statements on its relation do.';

CREATE FUNCTION scim._check_role(role name) RETURNS void
	LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	r record;
BEGIN
	SELECT * INTO r FROM pg_catalog.pg_roles p WHERE p.rolname = role;
	IF r.rolsuper OR r.rolcreaterole OR r.rolbypassrls OR r.rolreplication THEN
		RAISE EXCEPTION 'role "%" must not work for scim', role
			USING ERRCODE = 'invalid_parameter_value',
				  DETAIL = 'It is SUPERUSER, CREATEROLE, BYPASSRLS or REPLICATION.',
				  HINT = 'Name a role of its own, or let scim.setup() create one.';
	END IF;
	-- (From PostgreSQL 16 on also whoever made the role without being a
	-- superuser: he has ADMIN, and can let himself act as it.)
	IF EXISTS (SELECT 1 FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles g ON g.oid = m.member
			   WHERE m.roleid = r.oid AND NOT g.rolsuper) THEN
		RAISE EXCEPTION 'role "%" must not work for scim', role
			USING ERRCODE = 'invalid_parameter_value',
				  DETAIL = 'It has members, who could act as it.',
				  HINT = 'Name a role of its own, or let scim.setup() create one.';
	END IF;
END
$$;
REVOKE ALL ON FUNCTION scim._check_role(name) FROM PUBLIC;
COMMENT ON FUNCTION scim._check_role(name) IS 'Internal: raises if a role has rights or members that a role of scim must not have.';

CREATE FUNCTION scim.setup(
	worker_role name DEFAULT 'scim_worker',
	store_role name DEFAULT 'scim_store'
) RETURNS void
	LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	t text;
BEGIN
	IF NOT (SELECT p.rolsuper FROM pg_catalog.pg_roles p WHERE p.rolname = current_user) THEN
		RAISE EXCEPTION 'scim.setup() is for superusers' USING ERRCODE = 'insufficient_privilege';
	END IF;
	IF worker_role = store_role THEN
		RAISE EXCEPTION 'the worker role and the store role must be two roles' USING ERRCODE = 'invalid_parameter_value';
	END IF;

	IF NOT EXISTS (SELECT 1 FROM pg_catalog.pg_roles p WHERE p.rolname = worker_role) THEN
		-- before PostgreSQL 17 a background worker's role has to have LOGIN;
		-- it has no password
		EXECUTE pg_catalog.format('CREATE ROLE %I %s NOINHERIT', worker_role,
			CASE WHEN pg_catalog.current_setting('server_version_num')::int < 170000 THEN 'LOGIN' ELSE 'NOLOGIN' END);
		EXECUTE pg_catalog.format('COMMENT ON ROLE %I IS %L', worker_role, 'Background workers of the extension scim');
	END IF;
	IF NOT EXISTS (SELECT 1 FROM pg_catalog.pg_roles p WHERE p.rolname = store_role) THEN
		EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN NOINHERIT', store_role);
		EXECUTE pg_catalog.format('COMMENT ON ROLE %I IS %L', store_role, 'Owner of requests on the built-in store of the extension scim');
	END IF;
	PERFORM scim._check_role(worker_role);
	PERFORM scim._check_role(store_role);

	EXECUTE pg_catalog.format('GRANT CONNECT ON DATABASE %I TO %I', pg_catalog.current_database(), worker_role);
	EXECUTE pg_catalog.format('GRANT USAGE ON SCHEMA scim TO %I', store_role);
	EXECUTE pg_catalog.format('GRANT EXECUTE ON FUNCTION scim.fold(text) TO %I', store_role);
	FOREACH t IN ARRAY ARRAY['users', 'user_values', 'user_emails', 'user_phone_numbers', 'user_ims', 'user_photos', 'user_addresses',
							 'user_entitlements', 'user_roles', 'user_x509_certificates',
							 'groups', 'group_members', 'pending_members', 'resources', 'resource_links'] LOOP
		EXECUTE pg_catalog.format('GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE scim.%I TO %I', t, store_role);
	END LOOP;

	DELETE FROM scim._roles;
	INSERT INTO scim._roles (kind, role) VALUES
		('worker', pg_catalog.quote_ident(worker_role)::pg_catalog.regrole),
		('store', pg_catalog.quote_ident(store_role)::pg_catalog.regrole);
END
$$;
REVOKE ALL ON FUNCTION scim.setup(name, name) FROM PUBLIC;
COMMENT ON FUNCTION scim.setup(name, name) IS
'Set scim up in this database, once: create the two roles it works with where they are missing, and grant what each needs. May be repeated.
worker_role: what background workers authenticate as (setting scim.worker_role), no rights on any table; store_role: what requests on the built-in store run as, the only role with rights on its tables.
Errors: 42501 the caller is no superuser; 22023 a role is SUPERUSER, CREATEROLE, BYPASSRLS or REPLICATION, or has members.';
