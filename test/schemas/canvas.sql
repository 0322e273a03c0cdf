-- Canvas LMS: a user has no name to log in with; pseudonyms have, one for each account, and
-- are unique while they are active. E-mails are channels, the name is kept twice, to show and to sort.
-- [endpoints canvas]
-- [has given family mail externalId]
-- [schema]
CREATE TABLE accounts (id bigserial PRIMARY KEY, name varchar(255), workflow_state varchar NOT NULL DEFAULT 'active');
CREATE TABLE users (
    id bigserial PRIMARY KEY, name varchar(255), sortable_name varchar(255), workflow_state varchar NOT NULL, time_zone varchar(255), uuid varchar(255), created_at timestamp NOT NULL,
    updated_at timestamp NOT NULL, deleted_at timestamp, short_name varchar(255), preferences text, locale varchar);
CREATE UNIQUE INDEX index_users_on_unique_uuid ON users (uuid);
CREATE TABLE pseudonyms (
    id bigserial PRIMARY KEY, user_id bigint NOT NULL REFERENCES users, account_id bigint NOT NULL REFERENCES accounts, workflow_state varchar NOT NULL, unique_id varchar(255) NOT NULL,
    crypted_password varchar(255) NOT NULL, password_salt varchar(255) NOT NULL, persistence_token varchar(255) NOT NULL, single_access_token varchar(255) NOT NULL,
    perishable_token varchar(255) NOT NULL, position integer, created_at timestamp NOT NULL, updated_at timestamp NOT NULL, sis_user_id varchar(255), integration_id varchar(255));
CREATE UNIQUE INDEX index_unique_pseudonyms ON pseudonyms (lower(unique_id::text), account_id) WHERE workflow_state IN ('active', 'suspended');
CREATE UNIQUE INDEX index_pseudonyms_on_sis_user_id ON pseudonyms (sis_user_id, account_id) WHERE sis_user_id IS NOT NULL;
CREATE INDEX index_pseudonyms_on_user_id ON pseudonyms (user_id);
CREATE TABLE communication_channels (
    id bigserial PRIMARY KEY, path varchar(255) NOT NULL, path_type varchar(255) NOT NULL DEFAULT 'email', position integer, user_id bigint NOT NULL REFERENCES users,
    workflow_state varchar(255) NOT NULL, created_at timestamp NOT NULL, updated_at timestamp NOT NULL);
CREATE INDEX index_communication_channels_on_user_id ON communication_channels (user_id);
CREATE TABLE groups (
    id bigserial PRIMARY KEY, name varchar(255), workflow_state varchar NOT NULL, created_at timestamp NOT NULL, updated_at timestamp NOT NULL, deleted_at timestamp,
    context_id bigint NOT NULL, context_type varchar NOT NULL, account_id bigint NOT NULL REFERENCES accounts, uuid varchar(255) NOT NULL, sis_source_id varchar(255));
CREATE TABLE group_memberships (
    id bigserial PRIMARY KEY, group_id bigint NOT NULL REFERENCES groups, workflow_state varchar NOT NULL, user_id bigint NOT NULL REFERENCES users, created_at timestamp NOT NULL,
    updated_at timestamp NOT NULL, uuid varchar(255) NOT NULL, sis_batch_id bigint, moderator boolean);
CREATE UNIQUE INDEX index_group_memberships_on_group_id_and_user_id ON group_memberships (group_id, user_id) WHERE workflow_state <> 'deleted';
INSERT INTO accounts VALUES (1, 'Root');
-- [mapping]
SELECT scim.create_mapping('canvas_user', 'User', 'canvas.users', owner => 'app', attributes => '{
    "userName": {"table": "canvas.pseudonyms", "parent": "user_id", "where": {"account_id": 1, "workflow_state": "active"}, "column": "unique_id", "fold": "lower", "required": true,
        "insert": {"crypted_password": "''''", "password_salt": "''''", "persistence_token": "md5(random()::text)", "single_access_token": "md5(random()::text)",
                   "perishable_token": "md5(random()::text)", "created_at": "now()", "updated_at": "now()"}},
    "externalId": {"table": "canvas.pseudonyms", "parent": "user_id", "where": {"account_id": 1, "workflow_state": "active"}, "column": "integration_id"},
    "displayName": "short_name",
    "name.formatted": "name",
    "name.givenName": {"read": "nullif(split_part(sortable_name, '', '', 2), '''')", "write": {"sortable_name": "concat_ws('', '', coalesce(split_part(sortable_name, '', '', 1), ''''), coalesce(value, ''''))"}},
    "name.familyName": {"read": "nullif(split_part(sortable_name, '', '', 1), '''')", "write": {"sortable_name": "concat_ws('', '', coalesce(value, ''''), coalesce(split_part(sortable_name, '', '', 2), ''''))"}},
    "emails[type eq \"work\"].value": {"table": "canvas.communication_channels", "parent": "user_id", "where": {"path_type": "email", "position": 1}, "column": "path",
        "insert": {"workflow_state": "''active''", "created_at": "now()", "updated_at": "now()"}},
    "locale": "locale", "timezone": "time_zone",
    "meta.created": "created_at", "meta.lastModified": "updated_at"
}', options => '{
    "filter": "workflow_state <> ''deleted''", "insert": {"workflow_state": "''registered''", "uuid": "md5(random()::text)"}, "delete": "cascade"
}');
SELECT scim.create_mapping('canvas_group', 'Group', 'canvas.groups', owner => 'app', attributes => '{
    "displayName": {"column": "name", "required": true}, "externalId": "sis_source_id",
    "members": {"table": "canvas.group_memberships", "parent": "group_id", "ref": "user_id", "type": "User", "filter": "workflow_state = ''accepted''",
        "insert": {"workflow_state": "''accepted''", "created_at": "now()", "updated_at": "now()", "uuid": "md5(random()::text)"}, "remove": {"workflow_state": "''deleted''", "updated_at": "now()"}},
    "meta.created": "created_at", "meta.lastModified": "updated_at"
}', options => '{
    "filter": "workflow_state = ''available'' AND context_type = ''Account'' AND context_id = 1",
    "insert": {"workflow_state": "''available''", "context_type": "''Account''", "context_id": "1", "account_id": "1", "uuid": "md5(random()::text)"},
    "delete": {"set": {"workflow_state": "''deleted''", "deleted_at": "now()"}}
}');
SELECT scim.create_endpoint('canvas', mappings => '{canvas_user,canvas_group}');
-- [user]
SELECT p.unique_id, nullif(split_part(sortable_name, ', ', 2), ''), nullif(split_part(sortable_name, ', ', 1), ''), (SELECT path FROM communication_channels c WHERE c.user_id = u.id), p.integration_id
  FROM users u JOIN pseudonyms p ON p.user_id = u.id AND p.account_id = 1 AND p.workflow_state = 'active' WHERE u.id = '%s'
-- [members]
SELECT string_agg(unique_id, ',' ORDER BY unique_id) FROM group_memberships m JOIN pseudonyms p ON p.user_id = m.user_id WHERE group_id = '%s' AND m.workflow_state = 'accepted'
-- [request POST /Users 201]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "Ann", "name": {"givenName": "Ann", "familyName": "Lee"}}
-- [request POST /Users 409 userName]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ANN"}
-- [request GET /Users?filter=userName%20eq%20%22ann%22%20and%20name.familyName%20eq%20%22lee%22 1]
-- [sql] Lee, Ann|Ann|active|1
SELECT sortable_name, unique_id, p.workflow_state, account_id FROM users u JOIN pseudonyms p ON p.user_id = u.id
-- [request PUT /Users/{Ann} 200]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ann.lee", "externalId": "x1"}
-- [sql] ann.lee|x1|1
SELECT unique_id, integration_id, (SELECT count(*) FROM pseudonyms) FROM users u JOIN pseudonyms p ON p.user_id = u.id
