-- Resources of the built-in store that were deleted at endpoints with the option
-- softDelete: out of every table that anything looks at, kept here.

CREATE TABLE scim._deleted (
	tenant text COLLATE "C" NOT NULL,
	id uuid NOT NULL,
	resource_type text COLLATE "C" NOT NULL,
	key text COLLATE "C",
	deleted timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
	created timestamptz NOT NULL,
	version bigint NOT NULL,
	resource jsonb NOT NULL,
	PRIMARY KEY (tenant, id)
);
CREATE INDEX _deleted_key ON scim._deleted (tenant, resource_type, key, deleted);
CREATE INDEX _deleted_deleted ON scim._deleted (tenant, deleted);
REVOKE ALL ON TABLE scim._deleted FROM PUBLIC;
COMMENT ON TABLE scim._deleted IS 'Internal: deleted resources of the built-in store; see the view scim.deleted_resources.';
COMMENT ON COLUMN scim._deleted.tenant IS 'Tenant the resource belonged to.';
COMMENT ON COLUMN scim._deleted.id IS 'id: nothing else gets it.';
COMMENT ON COLUMN scim._deleted.resource_type IS 'Name of its resource type.';
COMMENT ON COLUMN scim._deleted.key IS 'What a POST brings it back by: userName of a user, as it compares; externalId of anything else.';
COMMENT ON COLUMN scim._deleted.deleted IS 'When it was deleted.';
COMMENT ON COLUMN scim._deleted.created IS 'meta.created.';
COMMENT ON COLUMN scim._deleted.version IS 'meta.version when it was deleted; one that is brought back goes on from there.';
COMMENT ON COLUMN scim._deleted.resource IS 'What it was, without its password and its references to others (members).';
SELECT pg_catalog.pg_extension_config_dump('scim._deleted', '');

CREATE VIEW scim.deleted_resources AS
	SELECT e.name AS endpoint, d.resource_type, d.id, d.deleted, d.resource
	FROM scim._deleted d
	JOIN scim._endpoints e ON e.tenant = d.tenant AND EXISTS (SELECT 1 FROM scim._mappings m
		WHERE m.builtin AND m.resource_type = d.resource_type AND m.name = ANY (e.mappings))
	WHERE pg_catalog.pg_has_role(e.owner, 'USAGE');
REVOKE ALL ON TABLE scim.deleted_resources FROM PUBLIC;
COMMENT ON VIEW scim.deleted_resources IS 'What was deleted at endpoints with option softDelete that belong to a role of the current user, and not purged yet.';
COMMENT ON COLUMN scim.deleted_resources.endpoint IS 'Name of the endpoint.';
COMMENT ON COLUMN scim.deleted_resources.resource_type IS 'Name of the resource type.';
COMMENT ON COLUMN scim.deleted_resources.id IS 'id, for scim.restore_resource.';
COMMENT ON COLUMN scim.deleted_resources.deleted IS 'When it was deleted.';
COMMENT ON COLUMN scim.deleted_resources.resource IS 'What it was, without its password and its references to others (members).';

CREATE FUNCTION scim.restore_resource(endpoint text, resource_type text, id text) RETURNS void
	LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'scim_restore_resource';
REVOKE ALL ON FUNCTION scim.restore_resource(text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION scim.restore_resource(text, text, text) IS
'Bring back a resource that was deleted at an endpoint with option softDelete, as it was, without its password and its memberships.
endpoint: name; resource_type: User, Group or one of yours; id: of scim.deleted_resources.
Errors: 42704 no such endpoint, resource type or deleted resource, 42501 not a member of its owner, 23505 a value that must be unique is taken, 22023 the resource does not fit its type any more.';

CREATE FUNCTION scim.purge_deleted(endpoint text, older_than interval DEFAULT '0') RETURNS bigint
	LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'scim_purge_deleted';
REVOKE ALL ON FUNCTION scim.purge_deleted(text, interval) FROM PUBLIC;
COMMENT ON FUNCTION scim.purge_deleted(text, interval) IS
'Delete for good what was deleted in the tenant of an endpoint with option softDelete; returns how many resources. (With option deletedRetention deletions do it themselves.)
endpoint: name; older_than: those deleted so long ago at least (default: all).
Errors: 42704 no such endpoint, 42501 not a member of its owner, 22023 it is not on the built-in store.';
