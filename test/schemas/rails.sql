-- Rails with Devise and rolify: users, roles of which some are about one record, and an
-- address that belongs to anything.
-- [endpoints rails]
-- [has given family mail active]
-- [schema]
CREATE TABLE users (
    id bigserial PRIMARY KEY, email varchar NOT NULL DEFAULT '', encrypted_password varchar NOT NULL DEFAULT '', reset_password_token varchar, sign_in_count integer NOT NULL DEFAULT 0,
    failed_attempts integer NOT NULL DEFAULT 0, unlock_token varchar, locked_at timestamp(6), first_name varchar, last_name varchar, created_at timestamp(6) NOT NULL, updated_at timestamp(6) NOT NULL);
CREATE UNIQUE INDEX index_users_on_email ON users (email);
CREATE TABLE roles (id bigserial PRIMARY KEY, name varchar, resource_type varchar, resource_id bigint, created_at timestamp(6) NOT NULL, updated_at timestamp(6) NOT NULL);
CREATE INDEX index_roles_on_name_and_resource ON roles (name, resource_type, resource_id);
CREATE TABLE users_roles (user_id bigint, role_id bigint);
CREATE INDEX index_users_roles_on_user_id_and_role_id ON users_roles (user_id, role_id);
CREATE TABLE addresses (
    id bigserial PRIMARY KEY, addressable_type varchar NOT NULL, addressable_id bigint NOT NULL, kind varchar, street varchar, city varchar, created_at timestamp(6) NOT NULL, updated_at timestamp(6) NOT NULL);
INSERT INTO roles (name, resource_type, resource_id, created_at, updated_at) VALUES ('moderator', 'Forum', 1, now(), now());
-- [mapping]
SELECT scim.create_mapping('rails_user', 'User', 'rails.users', owner => 'app', attributes => '{
    "userName": {"column": "email", "required": true}, "emails[type eq \"work\"].value": "email", "name.givenName": "first_name", "name.familyName": "last_name",
    "active": {"read": "locked_at IS NULL", "write": {"locked_at": "CASE WHEN value IS NOT FALSE THEN NULL ELSE coalesce(locked_at, now() AT TIME ZONE ''UTC'') END"}},
    "addresses": {"table": "rails.addresses", "parent": "addressable_id", "where": {"addressable_type": "User"}, "order": "id",
        "columns": {"streetAddress": "street", "locality": "city", "type": "kind"}, "insert": {"created_at": "now()", "updated_at": "now()"}},
    "meta.created": "created_at", "meta.lastModified": "updated_at"
}', options => '{"delete": "cascade"}');
SELECT scim.create_mapping('rails_role', 'Group', 'rails.roles', owner => 'app', attributes => '{
    "displayName": {"column": "name", "required": true},
    "members": {"table": "rails.users_roles", "parent": "role_id", "ref": "user_id", "type": "User"},
    "meta.created": "created_at", "meta.lastModified": "updated_at"
}', options => '{"filter": "resource_type IS NULL", "delete": "cascade"}');
SELECT scim.create_endpoint('rails', mappings => '{rails_user,rails_role}');
-- [user]
SELECT email, first_name, last_name, email, locked_at IS NULL FROM users WHERE id = '%s'
-- [members]
SELECT string_agg(email, ',' ORDER BY email) FROM users_roles r JOIN users u ON u.id = user_id WHERE role_id = '%s'
-- [request POST /Users 201]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ann@x", "addresses": [{"type": "work", "locality": "Rome"}, {"type": "home", "locality": "Bari", "streetAddress": "1, Via"}]}
-- [sql] User|work|Rome|,User|home|Bari|1, Via
SELECT string_agg(concat_ws('|', addressable_type, kind, city, coalesce(street, '')), ',' ORDER BY id) FROM addresses
-- [request GET /Users?filter=addresses%5Btype%20eq%20%22home%22%20and%20locality%20eq%20%22BARI%22%5D 1]
-- [request GET /Groups?filter=displayName%20eq%20%22moderator%22 0]
