-- Mastodon: a login is a user, whose name is its account's; the account's row is made
-- first.  One role for each user.
-- [endpoints mastodon]
-- [has mail active]
-- [needs "emails": [{"type": "work", "value": "kim@contoso.example"}]]
-- [schema]
CREATE TABLE accounts (
    id bigserial PRIMARY KEY, username varchar NOT NULL DEFAULT '', domain varchar, private_key text, public_key text NOT NULL DEFAULT '', created_at timestamp NOT NULL, updated_at timestamp NOT NULL,
    note text NOT NULL DEFAULT '', display_name varchar NOT NULL DEFAULT '', uri varchar NOT NULL DEFAULT '', suspended_at timestamp, actor_type varchar);
CREATE UNIQUE INDEX index_accounts_on_username_and_domain_lower ON accounts (lower(username::text), COALESCE(lower(domain::text), ''));
CREATE TABLE user_roles (id bigserial PRIMARY KEY, name varchar NOT NULL DEFAULT '', color varchar NOT NULL DEFAULT '', position integer NOT NULL DEFAULT 0, permissions bigint NOT NULL DEFAULT 0,
    created_at timestamp(6) NOT NULL, updated_at timestamp(6) NOT NULL);
CREATE TABLE users (
    id bigserial PRIMARY KEY, email varchar NOT NULL DEFAULT '', created_at timestamp NOT NULL, updated_at timestamp NOT NULL, encrypted_password varchar NOT NULL DEFAULT '',
    confirmed_at timestamp, locale varchar, account_id bigint NOT NULL REFERENCES accounts ON DELETE CASCADE, disabled boolean NOT NULL DEFAULT false, approved boolean NOT NULL DEFAULT true,
    role_id bigint REFERENCES user_roles ON DELETE SET NULL);
CREATE UNIQUE INDEX index_users_on_email ON users (email);
CREATE INDEX index_users_on_account_id ON users (account_id);
INSERT INTO accounts (username, domain, created_at, updated_at) VALUES ('elsewhere', 'remote.example', now(), now());
-- [mapping]
SELECT scim.create_mapping('mastodon_user', 'User', 'mastodon.users', owner => 'app', attributes => '{
    "userName": {"table": "mastodon.accounts", "parent": "id", "by": "account_id", "column": "username", "fold": "lower", "required": true, "insert": {"created_at": "now()", "updated_at": "now()"}},
    "displayName": {"table": "mastodon.accounts", "parent": "id", "by": "account_id", "column": "display_name", "null": ""},
    "emails[type eq \"work\"].value": {"column": "email", "required": true}, "locale": "locale", "active": "NOT disabled",
    "meta.created": "created_at", "meta.lastModified": "updated_at"
}', options => '{"insert": {"confirmed_at": "now()"}, "delete": "cascade"}');
SELECT scim.create_mapping('mastodon_role', 'Group', 'mastodon.user_roles', owner => 'app', attributes => '{
    "displayName": {"column": "name", "required": true},
    "members": {"table": "mastodon.users", "parent": "role_id", "ref": "id", "type": "User"},
    "meta.created": "created_at", "meta.lastModified": "updated_at"
}');
SELECT scim.create_endpoint('mastodon', mappings => '{mastodon_user,mastodon_role}');
-- [user]
SELECT username, email, NOT disabled FROM users u JOIN accounts a ON a.id = account_id WHERE u.id = '%s'
-- [members]
SELECT string_agg(username, ',' ORDER BY username) FROM users u JOIN accounts a ON a.id = account_id WHERE role_id = '%s'
-- [sql] 1
SELECT count(*) FROM accounts
-- [request POST /Users 201]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "Ann", "emails": [{"type": "work", "value": "ann@x"}], "displayName": "A"}
-- [request POST /Users 409 userName]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "aNN", "emails": [{"type": "work", "value": "ben@x"}]}
-- [sql] 2|1
SELECT (SELECT count(*) FROM accounts), (SELECT count(*) FROM users)
-- [request GET /Users?filter=userName%20eq%20%22ANN%22%20and%20displayName%20eq%20%22a%22 1]
