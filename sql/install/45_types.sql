-- Resource types and extensions of users in the built-in store.
--
-- A resource of a type of one's own is a row of scim.resources, its attributes a
-- document; references to many are rows of scim.resource_links; what a schema
-- says is unique is kept so by the primary key of scim._unique_values.

CREATE TABLE scim._resource_types (
	name text COLLATE "C" PRIMARY KEY,
	schema text NOT NULL REFERENCES scim._schemas,
	endpoint text COLLATE "C" NOT NULL,
	description text NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX _resource_types_lower_name ON scim._resource_types (pg_catalog.lower(name) COLLATE "C");
CREATE UNIQUE INDEX _resource_types_lower_endpoint ON scim._resource_types (pg_catalog.lower(endpoint) COLLATE "C");
REVOKE ALL ON TABLE scim._resource_types FROM PUBLIC;
COMMENT ON TABLE scim._resource_types IS 'Internal: resource types made by scim.create_resource_type (RFC 7643 section 6); see the view scim.resource_types.';
COMMENT ON COLUMN scim._resource_types.name IS 'Name of the resource type.';
COMMENT ON COLUMN scim._resource_types.schema IS 'URI of its base schema.';
COMMENT ON COLUMN scim._resource_types.endpoint IS 'Path below the base URL, such as /Devices.';
COMMENT ON COLUMN scim._resource_types.description IS 'What it is, for people; empty: as its schema says.';
CREATE TRIGGER changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON scim._resource_types
	FOR EACH STATEMENT EXECUTE FUNCTION scim._config_changed();
SELECT pg_catalog.pg_extension_config_dump('scim._resource_types', '');

CREATE TABLE scim._unique_attributes (
	schema text COLLATE "C" NOT NULL REFERENCES scim._schemas ON DELETE CASCADE,
	attribute text COLLATE "C" NOT NULL,
	path pg_catalog.jsonpath NOT NULL,
	case_exact boolean NOT NULL,
	PRIMARY KEY (schema, attribute)
);
REVOKE ALL ON TABLE scim._unique_attributes FROM PUBLIC;
COMMENT ON TABLE scim._unique_attributes IS 'Internal: attributes of schemas of users that have uniqueness server or global.';
COMMENT ON COLUMN scim._unique_attributes.schema IS 'URI of the schema.';
COMMENT ON COLUMN scim._unique_attributes.attribute IS 'Name in the schema, such as serial or place.code.';
COMMENT ON COLUMN scim._unique_attributes.path IS 'Where the values are in the object of the schema.';
COMMENT ON COLUMN scim._unique_attributes.case_exact IS 'Whether its values compare with their case.';
SELECT pg_catalog.pg_extension_config_dump('scim._unique_attributes', '');

CREATE VIEW scim.resource_types AS
	SELECT t.name, t.endpoint, t.schema, t.description,
		coalesce((SELECT pg_catalog.jsonb_object_agg(s.uri, s.required) FROM scim._schemas s
				  WHERE pg_catalog.lower(s.extends) = pg_catalog.lower(t.name)), '{}') AS extensions,
		(SELECT m.name FROM scim._mappings m WHERE m.builtin AND m.resource_type = t.name) AS mapping
	FROM scim._resource_types t;
REVOKE ALL ON TABLE scim.resource_types FROM PUBLIC;
COMMENT ON VIEW scim.resource_types IS 'Resource types made by scim.create_resource_type.';
COMMENT ON COLUMN scim.resource_types.name IS 'Name of the resource type.';
COMMENT ON COLUMN scim.resource_types.endpoint IS 'Path below the base URL.';
COMMENT ON COLUMN scim.resource_types.schema IS 'URI of its base schema.';
COMMENT ON COLUMN scim.resource_types.description IS 'What it is, for people.';
COMMENT ON COLUMN scim.resource_types.extensions IS 'URI of each extension, and whether resources must carry it.';
COMMENT ON COLUMN scim.resource_types.mapping IS 'Name of its mapping in the built-in store, which endpoints serve.';

-- ---- rows ----

CREATE TABLE scim.resources (
	tenant text COLLATE "C" NOT NULL,
	id uuid NOT NULL,
	resource_type text COLLATE "C" NOT NULL REFERENCES scim._resource_types,
	external_id text COLLATE "C",
	attributes jsonb NOT NULL DEFAULT '{}',
	created timestamptz NOT NULL DEFAULT pg_catalog.now(),
	last_modified timestamptz NOT NULL DEFAULT pg_catalog.now(),
	version bigint NOT NULL DEFAULT 1,
	PRIMARY KEY (tenant, id)
);
CREATE INDEX resources_type ON scim.resources (tenant, resource_type, id);
CREATE INDEX resources_external_id ON scim.resources (tenant, external_id) WHERE external_id IS NOT NULL;
REVOKE ALL ON TABLE scim.resources FROM PUBLIC;
COMMENT ON TABLE scim.resources IS 'Provisioned resources of the types made by scim.create_resource_type.';
COMMENT ON COLUMN scim.resources.tenant IS 'Tenant the resource belongs to (scim.endpoints.tenant).';
COMMENT ON COLUMN scim.resources.id IS 'id: given by the server, never reused.';
COMMENT ON COLUMN scim.resources.resource_type IS 'Name of its resource type.';
COMMENT ON COLUMN scim.resources.external_id IS 'externalId: the identity provider''s own key.';
COMMENT ON COLUMN scim.resources.attributes IS 'Attributes by their names in the base schema; those of an extension in an object under its URI.';
COMMENT ON COLUMN scim.resources.created IS 'meta.created.';
COMMENT ON COLUMN scim.resources.last_modified IS 'meta.lastModified.';
COMMENT ON COLUMN scim.resources.version IS 'meta.version: grows with every change.';

-- Ids of the built-in store are UUIDs of version 7 (RFC 9562 section 5.7): as
-- unguessable as meta.created lets them be, with 74 random bits, and those of
-- resources created one after the other lie side by side.  So a page is read from
-- neighbouring rows, an insert finds the end of its index in memory, and whoever
-- walks the pages meets what is created meanwhile at the end.  An expression and
-- no function of ours, because whoever may insert rows would need to be granted
-- that, too.
DO $$
DECLARE
	t text;
BEGIN
	FOREACH t IN ARRAY ARRAY['users', 'groups', 'resources'] LOOP
		EXECUTE pg_catalog.format($sql$
			ALTER TABLE scim.%I ALTER id SET DEFAULT pg_catalog.encode(
				pg_catalog.overlay(
					pg_catalog.set_bit(pg_catalog.set_bit(pg_catalog.uuid_send(pg_catalog.gen_random_uuid()), 52, 1), 53, 1),
					pg_catalog.substring(pg_catalog.int8send((pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()) OPERATOR(pg_catalog.*) 1000)::bigint), 3),
					1, 6),
				'hex')::uuid$sql$, t);
	END LOOP;
END
$$;

CREATE TABLE scim.resource_links (
	tenant text COLLATE "C" NOT NULL,
	resource_id uuid NOT NULL,
	attribute text COLLATE "C" NOT NULL,
	user_id uuid,
	group_id uuid,
	other_id uuid,
	CHECK (pg_catalog.num_nonnulls(user_id, group_id, other_id) = 1),
	UNIQUE (tenant, resource_id, attribute, user_id),
	UNIQUE (tenant, resource_id, attribute, group_id),
	UNIQUE (tenant, resource_id, attribute, other_id),
	FOREIGN KEY (tenant, resource_id) REFERENCES scim.resources ON DELETE CASCADE,
	FOREIGN KEY (tenant, user_id) REFERENCES scim.users ON DELETE CASCADE,
	FOREIGN KEY (tenant, group_id) REFERENCES scim.groups ON DELETE CASCADE,
	FOREIGN KEY (tenant, other_id) REFERENCES scim.resources ON DELETE CASCADE
);
CREATE INDEX resource_links_user ON scim.resource_links (tenant, user_id) WHERE user_id IS NOT NULL;
CREATE INDEX resource_links_group ON scim.resource_links (tenant, group_id) WHERE group_id IS NOT NULL;
CREATE INDEX resource_links_other ON scim.resource_links (tenant, other_id) WHERE other_id IS NOT NULL;
REVOKE ALL ON TABLE scim.resource_links FROM PUBLIC;
COMMENT ON TABLE scim.resource_links IS 'References of scim.resources in multi-valued attributes that hold nothing else; they end with what they refer to.';
COMMENT ON COLUMN scim.resource_links.tenant IS 'Tenant of both.';
COMMENT ON COLUMN scim.resource_links.resource_id IS 'The resource that refers.';
COMMENT ON COLUMN scim.resource_links.attribute IS 'Its attribute, of an extension with the URI before it.';
COMMENT ON COLUMN scim.resource_links.user_id IS 'What it refers to, if that is a user.';
COMMENT ON COLUMN scim.resource_links.group_id IS 'What it refers to, if that is a group.';
COMMENT ON COLUMN scim.resource_links.other_id IS 'What it refers to, if that is one of scim.resources.';

SELECT pg_catalog.pg_extension_config_dump('scim.resources', '');
SELECT pg_catalog.pg_extension_config_dump('scim.resource_links', '');

-- ---- uniqueness ----

-- In no dump: the trigger writes it again when the resources are restored.
CREATE TABLE scim._unique_values (
	tenant text COLLATE "C" NOT NULL,
	resource_type text COLLATE "C" NOT NULL,
	attribute text COLLATE "C" NOT NULL,
	digest bytea NOT NULL,
	resource_id uuid NOT NULL,
	PRIMARY KEY (tenant, resource_type, attribute, digest)
);
CREATE INDEX _unique_values_resource ON scim._unique_values (tenant, resource_id);
REVOKE ALL ON TABLE scim._unique_values FROM PUBLIC;
COMMENT ON TABLE scim._unique_values IS 'Internal: who has which value of an attribute that a schema of users says is unique.';
COMMENT ON COLUMN scim._unique_values.tenant IS 'Tenant of the resource.';
COMMENT ON COLUMN scim._unique_values.resource_type IS 'Resource type, among whose resources the value is unique.';
COMMENT ON COLUMN scim._unique_values.attribute IS 'The attribute, of an extension with the URI before it.';
COMMENT ON COLUMN scim._unique_values.digest IS 'SHA-256 of the value, as it compares.';
COMMENT ON COLUMN scim._unique_values.resource_id IS 'Who has it.';

-- The insert decides, not a look before it: two requests at one time meet at the
-- primary key, and the second waits for what becomes of the first.
CREATE FUNCTION scim._keep_unique() RETURNS trigger
	LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	type text;
	base text;
	doc jsonb;
	taken text;
BEGIN
	IF TG_OP = 'DELETE' THEN
		DELETE FROM scim._unique_values v WHERE v.tenant = OLD.tenant AND v.resource_id = OLD.id;
		RETURN NULL;
	END IF;
	IF TG_TABLE_NAME = 'resources' THEN
		type := NEW.resource_type;
		doc := NEW.attributes;
		SELECT t.schema INTO base FROM scim._resource_types t WHERE t.name = type;
	ELSE
		type := TG_ARGV[0];
		doc := NEW.extensions;
	END IF;
	WITH wanted AS MATERIALIZED (
		SELECT DISTINCT CASE WHEN u.schema = base THEN u.attribute ELSE u.schema || ':' || u.attribute END AS attribute,
			sha256(convert_to(CASE WHEN jsonb_typeof(value) = 'number' THEN trim_scale((value #>> '{}')::numeric)::text
								   WHEN u.case_exact THEN value #>> '{}'
								   ELSE scim.fold(value #>> '{}') END, 'UTF8')) AS digest
		FROM scim._unique_attributes u
		CROSS JOIN LATERAL jsonb_path_query(CASE WHEN u.schema = base THEN doc ELSE doc -> u.schema END, u.path) value
		WHERE u.schema = base OR doc ? u.schema
	), gone AS (
		DELETE FROM scim._unique_values v WHERE v.tenant = NEW.tenant AND v.resource_id = NEW.id
			AND NOT EXISTS (SELECT 1 FROM wanted w WHERE w.attribute = v.attribute AND w.digest = v.digest)
	), fresh AS (
		INSERT INTO scim._unique_values (tenant, resource_type, attribute, digest, resource_id)
			SELECT NEW.tenant, type, w.attribute, w.digest, NEW.id FROM wanted w
			WHERE NOT EXISTS (SELECT 1 FROM scim._unique_values v WHERE v.tenant = NEW.tenant AND v.resource_id = NEW.id
							  AND v.attribute = w.attribute AND v.digest = w.digest)
			ORDER BY w.attribute, w.digest
			ON CONFLICT DO NOTHING RETURNING attribute, digest
	)
	SELECT w.attribute INTO taken FROM wanted w
		WHERE NOT EXISTS (SELECT 1 FROM fresh f WHERE f.attribute = w.attribute AND f.digest = w.digest)
		AND NOT EXISTS (SELECT 1 FROM scim._unique_values v WHERE v.tenant = NEW.tenant AND v.resource_id = NEW.id
						AND v.attribute = w.attribute AND v.digest = w.digest)
		LIMIT 1;
	IF taken IS NOT NULL THEN
		RAISE EXCEPTION 'attribute "%" of resource type "%" is unique, and another resource has this value', taken, type
			USING ERRCODE = 'unique_violation', SCHEMA = 'scim', TABLE = '_unique_values', COLUMN = taken;
	END IF;
	RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION scim._keep_unique() FROM PUBLIC;
COMMENT ON FUNCTION scim._keep_unique() IS 'Internal: row trigger of the tables with a document; keeps scim._unique_values. Argument: the resource type, where the row does not say.';
CREATE TRIGGER keep_unique AFTER INSERT OR UPDATE OF attributes OR DELETE ON scim.resources
	FOR EACH ROW EXECUTE FUNCTION scim._keep_unique();
CREATE TRIGGER keep_unique_insert AFTER INSERT ON scim.users
	FOR EACH ROW WHEN (NEW.extensions IS NOT NULL) EXECUTE FUNCTION scim._keep_unique('User');
CREATE TRIGGER keep_unique_update AFTER UPDATE OF extensions ON scim.users
	FOR EACH ROW EXECUTE FUNCTION scim._keep_unique('User');
CREATE TRIGGER keep_unique_delete AFTER DELETE ON scim.users
	FOR EACH ROW WHEN (OLD.extensions IS NOT NULL) EXECUTE FUNCTION scim._keep_unique('User');
CREATE TRIGGER keep_unique_insert AFTER INSERT ON scim.groups
	FOR EACH ROW WHEN (NEW.extensions IS NOT NULL) EXECUTE FUNCTION scim._keep_unique('Group');
CREATE TRIGGER keep_unique_update AFTER UPDATE OF extensions ON scim.groups
	FOR EACH ROW EXECUTE FUNCTION scim._keep_unique('Group');
CREATE TRIGGER keep_unique_delete AFTER DELETE ON scim.groups
	FOR EACH ROW WHEN (OLD.extensions IS NOT NULL) EXECUTE FUNCTION scim._keep_unique('Group');

-- ---- functions ----

CREATE FUNCTION scim.create_resource_type(
	name text,
	schema text,
	endpoint text DEFAULT NULL,
	extensions jsonb DEFAULT '{}',
	description text DEFAULT NULL
) RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'scim_create_resource_type';
REVOKE ALL ON FUNCTION scim.create_resource_type(text, text, text, jsonb, text) FROM PUBLIC;
COMMENT ON FUNCTION scim.create_resource_type(text, text, text, jsonb, text) IS
'Make a resource type (RFC 7643 section 6) that the built-in store keeps. Its mapping is named as its endpoint in lower case (devices): endpoints serve it by that name.
name: unique; schema: URI of a base schema (scim.create_schema); endpoint: path below the base URL (default: "/" and the name and "s"); extensions: object, the URI of each extension and whether resources must carry it; description: for people (default: that of the schema).
Errors: 42710 name, endpoint or mapping taken, 42704 no such schema, 22023 bad argument, 54000 more than 1,000 attributes or 63 extensions.';

CREATE FUNCTION scim.alter_resource_type(
	name text,
	extensions jsonb DEFAULT NULL,
	endpoint text DEFAULT NULL,
	description text DEFAULT NULL
) RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'scim_alter_resource_type';
REVOKE ALL ON FUNCTION scim.alter_resource_type(text, jsonb, text, text) FROM PUBLIC;
COMMENT ON FUNCTION scim.alter_resource_type(text, jsonb, text, text) IS
'Change a resource type made by scim.create_resource_type; endpoints serve it so from their next request on.
name: the resource type; extensions: object, extensions that are added, or whose "required" changes, null for one that goes; endpoint: its new path; description: its new description.
Errors: 42704 no such resource type or schema, 2BP01 a resource has data of the extension that is to go, 42710 endpoint taken, 22023 bad argument.';

CREATE FUNCTION scim.drop_resource_type(name text) RETURNS void
	LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'scim_drop_resource_type';
REVOKE ALL ON FUNCTION scim.drop_resource_type(text) FROM PUBLIC;
COMMENT ON FUNCTION scim.drop_resource_type(text) IS
'Drop a resource type made by scim.create_resource_type, with its mapping; its schemas stay.
Errors: 42704 no such resource type, 2BP01 an endpoint or another mapping uses it, or there are resources of it.';

CREATE FUNCTION scim.create_store_mapping(
	name text,
	resource_type text,
	extensions text[] DEFAULT NULL,
	passwords boolean DEFAULT false
) RETURNS void
	LANGUAGE c VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'scim_create_store_mapping';
REVOKE ALL ON FUNCTION scim.create_store_mapping(text, text, text[], boolean) FROM PUBLIC;
COMMENT ON FUNCTION scim.create_store_mapping(text, text, text[], boolean) IS
'Make a mapping of the built-in store that has extensions: users or groups as the mappings "users" and "groups" have them, and attributes of schemas made by scim.create_schema. Endpoints that serve it share the users of their tenant with those that do not.
name: of the mapping; resource_type: User or Group; extensions: URIs of schemas that extend it (default: all there are); passwords: keep them, as the mapping users_with_password does.
Errors: 42710 name taken, 42704 no such resource type or schema, 22023 bad argument, 54000 more than 1,000 attributes.';

CREATE FUNCTION scim.set_mappings(endpoint text, mappings text[]) RETURNS void
	LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'scim_set_mappings';
REVOKE ALL ON FUNCTION scim.set_mappings(text, text[]) FROM PUBLIC;
COMMENT ON FUNCTION scim.set_mappings(text, text[]) IS
'Serve other mappings at an endpoint, from its next request on; what is stored stays.
endpoint: name; mappings: names, one for each resource type, all of the built-in store or all of the endpoint''s owner, as they were before.
Errors: 42704 no such endpoint or mapping, 42501 not a member of its owner, 22023 bad argument, or the endpoint could not serve them.';
