-- Discourse: the name in lower case in a column of its own, the e-mail in another table,
-- rows that have to be there beside a user, the number of members in the group.
-- [endpoints discourse]
-- [has mail active title externalId]
-- [schema]
CREATE TABLE users (
    id serial PRIMARY KEY, username varchar(60) NOT NULL, created_at timestamp NOT NULL, updated_at timestamp NOT NULL, name varchar, last_posted_at timestamp,
    active boolean NOT NULL DEFAULT false, username_lower varchar(60) NOT NULL, admin boolean NOT NULL DEFAULT false, trust_level integer NOT NULL,
    approved boolean NOT NULL DEFAULT false, suspended_at timestamp, suspended_till timestamp, title varchar, staged boolean NOT NULL DEFAULT false, locale varchar(10));
CREATE UNIQUE INDEX index_users_on_username ON users (username);
CREATE UNIQUE INDEX index_users_on_username_lower ON users (username_lower);
CREATE TABLE user_emails (
    id serial PRIMARY KEY, user_id integer NOT NULL, email varchar(513) NOT NULL, "primary" boolean NOT NULL DEFAULT false,
    created_at timestamp NOT NULL, updated_at timestamp NOT NULL, normalized_email varchar);
CREATE UNIQUE INDEX index_user_emails_on_email ON user_emails (lower(email::text));
CREATE UNIQUE INDEX index_user_emails_on_user_id_and_primary ON user_emails (user_id, "primary") WHERE "primary";
CREATE TABLE user_profiles (user_id integer PRIMARY KEY, location varchar(3000), website varchar(3000), bio_raw text, views integer NOT NULL DEFAULT 0);
CREATE TABLE user_stats (user_id integer PRIMARY KEY, topics_entered integer NOT NULL DEFAULT 0, new_since timestamp NOT NULL);
CREATE TABLE single_sign_on_records (
    id serial PRIMARY KEY, user_id integer NOT NULL, external_id varchar NOT NULL, last_payload text NOT NULL, created_at timestamp NOT NULL, updated_at timestamp NOT NULL,
    external_username varchar, external_email varchar);
CREATE UNIQUE INDEX index_single_sign_on_records_on_external_id ON single_sign_on_records (external_id);
CREATE TABLE groups (
    id serial PRIMARY KEY, name varchar NOT NULL, created_at timestamp NOT NULL, updated_at timestamp NOT NULL, automatic boolean NOT NULL DEFAULT false,
    user_count integer NOT NULL DEFAULT 0, full_name varchar, visibility_level integer NOT NULL DEFAULT 0);
CREATE UNIQUE INDEX index_groups_on_name ON groups (name);
CREATE TABLE group_users (
    id serial PRIMARY KEY, group_id integer NOT NULL, user_id integer NOT NULL, created_at timestamp NOT NULL, updated_at timestamp NOT NULL,
    owner boolean NOT NULL DEFAULT false, notification_level integer NOT NULL DEFAULT 2);
CREATE UNIQUE INDEX index_group_users_on_group_id_and_user_id ON group_users (group_id, user_id);
-- [mapping]
SELECT scim.create_mapping('discourse_user', 'User', 'discourse.users', owner => 'app', attributes => '{
    "userName": {"column": "username", "fold": "lower", "folded": "username_lower"},
    "name.formatted": "name", "title": "title", "locale": "locale", "active": "active",
    "emails[type eq \"work\"].value": {"table": "discourse.user_emails", "parent": "user_id", "where": {"primary": true}, "column": "email", "fold": "lower",
        "insert": {"created_at": "now()", "updated_at": "now()"}},
    "externalId": {"table": "discourse.single_sign_on_records", "parent": "user_id", "column": "external_id",
        "insert": {"last_payload": "''''", "created_at": "now()", "updated_at": "now()", "external_username": "username"}},
    "addresses[type eq \"home\"].formatted": {"table": "discourse.user_profiles", "parent": "user_id", "column": "location"},
    "meta.created": "created_at", "meta.lastModified": "updated_at"
}', options => '{
    "filter": "id > 0 AND NOT staged",
    "insert": {"trust_level": "1", "active": "true", "approved": "true"},
    "beside": [{"table": "discourse.user_profiles", "parent": "user_id"}, {"table": "discourse.user_stats", "parent": "user_id", "insert": {"new_since": "now()"}}],
    "delete": "cascade"
}');
SELECT scim.create_mapping('discourse_group', 'Group', 'discourse.groups', owner => 'app', attributes => '{
    "displayName": {"column": "full_name", "required": true, "write": {"name": "coalesce(name, lower(regexp_replace(value, ''[^A-Za-z0-9]+'', ''_'', ''g'')))"}},
    "members": {"table": "discourse.group_users", "parent": "group_id", "ref": "user_id", "type": "User", "insert": {"created_at": "now()", "updated_at": "now()"}},
    "meta.created": "created_at", "meta.lastModified": "updated_at"
}', options => '{
    "filter": "NOT automatic", "touch": {"user_count": "(SELECT count(*) FROM discourse.group_users gu WHERE gu.group_id = r.id)"}, "delete": "cascade"
}');
SELECT scim.create_endpoint('discourse', mappings => '{discourse_user,discourse_group}');
-- [user]
SELECT username, (SELECT email FROM user_emails e WHERE e.user_id = u.id AND "primary"), active, title, (SELECT external_id FROM single_sign_on_records s WHERE s.user_id = u.id)
  FROM users u JOIN user_stats ON user_stats.user_id = u.id JOIN user_profiles p ON p.user_id = u.id WHERE u.id = '%s' AND username_lower = lower(username)
-- [members]
SELECT string_agg(username, ',' ORDER BY username) FROM group_users g JOIN users u ON u.id = user_id WHERE group_id = '%s'
-- [request POST /Users 201]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "Ann", "emails": [{"type": "work", "value": "Ann@x"}], "addresses": [{"type": "home", "formatted": "Rome"}], "externalId": "E1"}
-- [request POST /Users 409 emails]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ben", "emails": [{"type": "work", "value": "ANN@x"}]}
-- [request POST /Users 409 externalId]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ben", "externalId": "E1"}
-- [request POST /Groups 201]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "Big Group", "members": [{"value": "{Ann}"}]}
-- [request PATCH /Groups/{Big Group} 204]
{"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [{"op": "remove", "path": "members"}]}
-- [sql] 0
SELECT user_count FROM groups
-- [request PATCH /Groups/{Big Group} 204]
{"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [{"op": "add", "path": "members", "value": [{"value": "{Ann}"}]}]}
-- [sql] big_group|Big Group|1|Rome|1|Ann
SELECT g.name, full_name, user_count, location, (SELECT count(*) FROM user_emails), external_username FROM groups g, users u, user_profiles p, single_sign_on_records s
-- [request GET /Users?filter=userName%20sw%20%22AN%22%20and%20emails.value%20eq%20%22ANN@X%22 1]
