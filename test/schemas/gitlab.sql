-- GitLab: the name of a user is the path of a namespace and of a route, too; texts are
-- empty and not null; who is a member of what is in one table for groups and projects.
-- [endpoints gitlab]
-- [has mail active title externalId]
-- [needs "emails": [{"type": "work", "value": "kim@contoso.example"}]]
-- [schema]
CREATE TABLE users (
    id bigserial PRIMARY KEY, email varchar NOT NULL DEFAULT '', encrypted_password varchar NOT NULL DEFAULT '', name varchar, username varchar,
    admin boolean NOT NULL DEFAULT false, projects_limit integer NOT NULL, state varchar, user_type smallint NOT NULL DEFAULT 0, confirmed_at timestamp,
    created_at timestamp, updated_at timestamp, notification_email varchar, preferred_language varchar);
CREATE UNIQUE INDEX index_users_on_email ON users (email);
CREATE INDEX index_on_users_lower_username ON users (lower(username::text));
CREATE TABLE user_details (user_id bigint PRIMARY KEY REFERENCES users ON DELETE CASCADE, job_title varchar(200) NOT NULL DEFAULT '', bio text NOT NULL DEFAULT '');
CREATE TABLE identities (
    id bigserial PRIMARY KEY, extern_uid varchar, provider varchar, user_id bigint, created_at timestamp, updated_at timestamp, saml_provider_id integer);
CREATE TABLE namespaces (
    id bigserial PRIMARY KEY, name varchar NOT NULL, path varchar NOT NULL, owner_id bigint, created_at timestamp, updated_at timestamp,
    type varchar NOT NULL DEFAULT 'User', description varchar NOT NULL DEFAULT '', visibility_level integer NOT NULL DEFAULT 20, parent_id bigint REFERENCES namespaces ON DELETE CASCADE);
CREATE UNIQUE INDEX index_namespaces_on_path ON namespaces (lower(path)) WHERE parent_id IS NULL;
CREATE TABLE members (
    id bigserial PRIMARY KEY, access_level integer NOT NULL, source_id bigint NOT NULL, source_type varchar NOT NULL, user_id bigint REFERENCES users ON DELETE CASCADE,
    notification_level integer NOT NULL, type varchar NOT NULL, created_at timestamp, updated_at timestamp, invite_token varchar, requested_at timestamp,
    expires_at date, ldap boolean NOT NULL DEFAULT false, state smallint DEFAULT 0, CHECK (source_type IN ('Namespace', 'Project')));
CREATE UNIQUE INDEX idx_members_on_user_and_source ON members (user_id, source_id, source_type) WHERE invite_token IS NULL;
-- [mapping]
SELECT scim.create_mapping('gitlab_user', 'User', 'gitlab.users', owner => 'app', attributes => '{
    "userName": {"column": "username", "fold": "lower", "required": true, "copies": [
        {"table": "gitlab.namespaces", "parent": "owner_id", "where": {"type": "User"}, "column": "path", "write": {"name": "value"}, "insert": {"created_at": "now()"}}]},
    "name.formatted": "name",
    "emails[type eq \"work\"].value": {"column": "email", "required": true, "write": {"notification_email": "value"}},
    "active": {"column": "state", "codes": [["active", true], ["blocked", false], ["ldap_blocked", false], ["deactivated", false]], "default": true},
    "title": {"table": "gitlab.user_details", "parent": "user_id", "column": "job_title", "null": ""},
    "externalId": {"table": "gitlab.identities", "parent": "user_id", "where": {"provider": "group_saml"}, "column": "extern_uid", "insert": {"created_at": "now()", "updated_at": "now()"}},
    "meta.created": "created_at", "meta.lastModified": "updated_at"
}', options => '{
    "filter": "user_type = 0", "insert": {"projects_limit": "100000", "confirmed_at": "now()"}, "delete": "cascade"
}');
SELECT scim.create_mapping('gitlab_group', 'Group', 'gitlab.namespaces', owner => 'app', attributes => '{
    "displayName": {"column": "name", "write": {"path": "coalesce(path, lower(regexp_replace(value, ''[^A-Za-z0-9_.-]+'', ''-'', ''g'')))"}},
    "members": [
        {"table": "gitlab.members", "parent": "source_id", "ref": "user_id", "type": "User", "where": {"source_type": "Namespace", "type": "GroupMember"},
         "filter": "requested_at IS NULL", "insert": {"access_level": "30", "notification_level": "3", "created_at": "now()"}},
        {"table": "gitlab.namespaces", "parent": "parent_id", "ref": "id", "type": "Group"}],
    "meta.created": "created_at", "meta.lastModified": "updated_at"
}', options => '{"filter": "type = ''Group''", "insert": {"type": "''Group''"}, "delete": "cascade"}');
SELECT scim.create_endpoint('gitlab', mappings => '{gitlab_user,gitlab_group}');
-- [user]
SELECT username, email, state = 'active', (SELECT nullif(job_title, '') FROM user_details d WHERE d.user_id = u.id), (SELECT extern_uid FROM identities i WHERE i.user_id = u.id AND provider = 'group_saml')
  FROM users u WHERE id = '%s' AND EXISTS (SELECT 1 FROM namespaces n WHERE n.owner_id = u.id AND n.path = username AND n.name = username AND n.type = 'User')
-- [members]
SELECT string_agg(username, ',' ORDER BY username) FROM members m JOIN users u ON u.id = user_id WHERE source_id = '%s' AND access_level = 30 AND m.type = 'GroupMember'
-- [request POST /Users 201]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "Ann", "emails": [{"type": "work", "value": "ann@x"}]}
-- [request POST /Groups 201]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "Big Group"}
-- [request POST /Users 409 userName]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "big-group", "emails": [{"type": "work", "value": "big@x"}]}
-- [sql] Ann|Ann|Big Group|big-group
SELECT string_agg(name || '|' || path, '|' ORDER BY type DESC) FROM namespaces
