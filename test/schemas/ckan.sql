-- CKAN: tables with reserved names, keys that are texts, rows that are marked as deleted,
-- and one table of members for users, datasets and groups alike.
-- [endpoints ckan]
-- [has mail active title externalId]
-- [schema]
CREATE TABLE "user" (
    id text PRIMARY KEY, name text NOT NULL, apikey text, created timestamp without time zone, about text, password text, fullname text, email text, reset_key text,
    sysadmin boolean DEFAULT false, activity_streams_email_notifications boolean DEFAULT false, state text NOT NULL DEFAULT 'active', plugin_extras jsonb, image_url text,
    last_active timestamp without time zone, CONSTRAINT user_name_key UNIQUE (name));
CREATE UNIQUE INDEX idx_only_one_active_email ON "user" (email, state) WHERE state = 'active';
CREATE INDEX idx_user_name ON "user" (name);
CREATE TABLE "group" (
    id text PRIMARY KEY, name text NOT NULL UNIQUE, title text, description text, created timestamp without time zone, state text, type text NOT NULL, approval_status text,
    image_url text, is_organization boolean DEFAULT false);
CREATE TABLE member (
    id text PRIMARY KEY, group_id text REFERENCES "group", table_id text NOT NULL, state text, table_name text NOT NULL, capacity text NOT NULL);
CREATE INDEX idx_group_pkg_id ON member (table_id);
CREATE INDEX idx_extra_grp_id_pkg_id ON member (group_id, table_id);
INSERT INTO "group" VALUES ('g-topic', 'topic', 'Topic', NULL, now(), 'active', 'group', 'approved', NULL, false);
INSERT INTO member VALUES ('m-1', 'g-topic', 'some-dataset', 'active', 'package', 'public');
-- [mapping]
SELECT scim.create_mapping('ckan_user', 'User', 'ckan."user"', owner => 'app', attributes => '{
    "userName": "name", "displayName": "fullname", "title": {"column": "plugin_extras", "path": "scim.title"}, "externalId": {"column": "plugin_extras", "path": "scim.externalId"},
    "emails[type eq \"work\"].value": "email", "active": {"column": "state", "codes": [["active", true], ["pending", false]], "default": true},
    "roles[value eq \"sysadmin\"]": "sysadmin", "meta.created": "created"
}', options => '{
    "filter": "state <> ''deleted''", "insert": {"id": "gen_random_uuid()::text"}, "delete": {"set": {"state": "''deleted''", "name": "name || ''-'' || id"}}
}');
SELECT scim.create_mapping('ckan_group', 'Group', 'ckan."group"', owner => 'app', attributes => '{
    "displayName": {"column": "title", "required": true, "write": {"name": "coalesce(name, lower(regexp_replace(value, ''[^A-Za-z0-9]+'', ''-'', ''g'')))"}},
    "members": {"table": "ckan.member", "parent": "group_id", "ref": "table_id", "type": "User", "where": {"table_name": "user"}, "filter": "state = ''active''",
        "insert": {"id": "gen_random_uuid()::text", "state": "''active''", "capacity": "''member''"}, "remove": {"state": "''deleted''"}, "revive": {"state": "''active''"}},
    "meta.created": "created"
}', options => '{"filter": "state = ''active'' AND is_organization", "insert": {"id": "gen_random_uuid()::text", "state": "''active''", "type": "''organization''", "is_organization": "true", "approval_status": "''approved''"},
    "delete": {"set": {"state": "''deleted''", "name": "name || ''-'' || id"}}}');
SELECT scim.create_endpoint('ckan', mappings => '{ckan_user,ckan_group}');
-- [user]
SELECT name, email, state = 'active', plugin_extras -> 'scim' ->> 'title', plugin_extras -> 'scim' ->> 'externalId' FROM "user" WHERE id = '%s'
-- [members]
SELECT string_agg(u.name, ',' ORDER BY u.name) FROM member m JOIN "user" u ON u.id = m.table_id WHERE m.group_id = '%s' AND m.table_name = 'user' AND m.state = 'active' AND u.state <> 'deleted'
-- [request POST /Users 201]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ann", "emails": [{"type": "work", "value": "ann@x"}]}
-- [request POST /Users 409 email]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "bob", "emails": [{"type": "work", "value": "ann@x"}]}
-- [request POST /Groups 201]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "My Org", "members": [{"value": "{ann}"}]}
-- [request GET /Groups/g-topic 404]
-- [request PATCH /Groups/{My Org} 204]
{"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [{"op": "remove", "path": "members"}]}
-- [request PATCH /Groups/{My Org} 204]
{"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [{"op": "add", "path": "members", "value": [{"value": "{ann}"}]}]}
-- [sql] my-org|active|member|1
SELECT g.name, string_agg(m.state, ','), max(m.capacity), count(*) FROM member m JOIN "group" g ON g.id = group_id WHERE table_name = 'user' AND g.name = 'my-org' GROUP BY 1
-- [request DELETE /Users/{ann} 204]
-- [request POST /Users 201]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ann", "emails": [{"type": "work", "value": "ann@x"}]}
