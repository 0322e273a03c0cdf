-- Chatwoot: users of accounts by a table with a role in a number; the e-mail twice; what
-- there is no column for is in a document.
-- [endpoints chatwoot1 chatwoot2]
-- [has mail title externalId]
-- [forget DELETE FROM team_members; DELETE FROM users]
-- [schema]
CREATE TABLE accounts (id serial PRIMARY KEY, name varchar NOT NULL);
CREATE TABLE users (
    id serial PRIMARY KEY, provider varchar NOT NULL DEFAULT 'email', uid varchar NOT NULL DEFAULT '', encrypted_password varchar NOT NULL DEFAULT '', confirmed_at timestamp,
    name varchar NOT NULL, display_name varchar, email varchar, tokens json, created_at timestamp NOT NULL, updated_at timestamp NOT NULL, pubsub_token varchar UNIQUE,
    availability integer DEFAULT 0, ui_settings jsonb DEFAULT '{}', custom_attributes jsonb DEFAULT '{}', type varchar, message_signature text);
CREATE UNIQUE INDEX index_users_on_uid_and_provider ON users (uid, provider);
CREATE INDEX index_users_on_email ON users (email);
CREATE TABLE account_users (
    id bigserial PRIMARY KEY, account_id bigint, user_id bigint, role integer DEFAULT 0, inviter_id bigint, created_at timestamp NOT NULL, updated_at timestamp NOT NULL,
    availability integer NOT NULL DEFAULT 0, auto_offline boolean NOT NULL DEFAULT true, UNIQUE (account_id, user_id));
CREATE TABLE teams (
    id bigserial PRIMARY KEY, name varchar NOT NULL, description text, allow_auto_assign boolean DEFAULT true, account_id bigint NOT NULL, created_at timestamp NOT NULL, updated_at timestamp NOT NULL,
    UNIQUE (name, account_id));
CREATE TABLE team_members (
    id bigserial PRIMARY KEY, team_id bigint NOT NULL, user_id bigint NOT NULL, created_at timestamp NOT NULL, updated_at timestamp NOT NULL, UNIQUE (team_id, user_id));
INSERT INTO accounts (name) VALUES ('One'), ('Two');
-- [mapping]
SELECT scim.create_mapping('chatwoot_user', 'User', 'chatwoot.users', owner => 'app', attributes => '{
    "userName": {"column": "uid", "required": true, "write": {"email": "lower(value)", "name": "coalesce(name, value)"}},
    "name.formatted": "name",
    "emails[type eq \"work\"].value": {"column": "custom_attributes", "path": "mail"},
    "title": {"column": "custom_attributes", "path": "title"}, "externalId": {"column": "custom_attributes", "path": ["scim", "id"]},
    "userType": {"table": "chatwoot.account_users", "parent": "user_id", "column": "role", "codes": {"0": "agent", "1": "administrator"}},
    "meta.created": "created_at", "meta.lastModified": "updated_at"
}', options => '{
    "insert": {"confirmed_at": "now()", "pubsub_token": "gen_random_uuid()"},
    "membership": {"table": "chatwoot.account_users", "parent": "user_id", "insert": {"created_at": "now()", "updated_at": "now()"}, "adopt": "userName"}
}');
SELECT scim.create_mapping('chatwoot_team', 'Group', 'chatwoot.teams', owner => 'app', attributes => '{
    "displayName": "name",
    "members": {"table": "chatwoot.team_members", "parent": "team_id", "ref": "user_id", "type": "User", "insert": {"created_at": "now()", "updated_at": "now()"}},
    "meta.created": "created_at", "meta.lastModified": "updated_at"
}', options => '{"delete": "cascade"}');
SELECT scim.create_endpoint('chatwoot1', mappings => '{chatwoot_user,chatwoot_team}', scope => '{"account_id": 1}');
SELECT scim.create_endpoint('chatwoot2', mappings => '{chatwoot_user,chatwoot_team}', scope => '{"account_id": 2}');
-- [user]
SELECT uid, custom_attributes ->> 'mail', custom_attributes ->> 'title', custom_attributes -> 'scim' ->> 'id' FROM users u JOIN account_users a ON a.user_id = u.id AND a.role = 0 WHERE u.id = '%s' AND email = lower(uid)
-- [members]
SELECT string_agg(uid, ',' ORDER BY uid) FROM team_members m JOIN users u ON u.id = user_id WHERE team_id = '%s' AND EXISTS (SELECT 1 FROM account_users a, teams t WHERE a.user_id = u.id AND t.id = m.team_id AND a.account_id = t.account_id)
-- [request POST /Users 201]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "Ann@x", "userType": "administrator"}
-- [sql] ann@x|Ann@x|1
SELECT email, name, role FROM users u JOIN account_users a ON a.user_id = u.id
