-- Directus: the role of a user is a column of the user, and roles are in roles; a list in
-- a column of type json.
-- [endpoints directus]
-- [has given family mail active title externalId]
-- [schema]
CREATE TABLE directus_roles (
    id uuid PRIMARY KEY, name varchar(100) NOT NULL, icon varchar(64) NOT NULL DEFAULT 'supervised_user_circle', description text, parent uuid REFERENCES directus_roles);
CREATE TABLE directus_users (
    id uuid PRIMARY KEY, first_name varchar(50), last_name varchar(50), email varchar(128) UNIQUE, password varchar(255), location varchar(255), title varchar(50), description text,
    tags json, language varchar(255), status varchar(16) NOT NULL DEFAULT 'active', role uuid REFERENCES directus_roles ON DELETE SET NULL, token varchar(255) UNIQUE,
    provider varchar(128) NOT NULL DEFAULT 'default', external_identifier varchar(255) UNIQUE, auth_data json, email_notifications boolean DEFAULT true);
-- [mapping]
SELECT scim.create_mapping('directus_user', 'User', 'directus.directus_users', owner => 'app', attributes => '{
    "userName": {"column": "email", "required": true}, "emails[type eq \"work\"].value": "email",
    "name.givenName": "first_name", "name.familyName": "last_name", "title": "title", "locale": "language",
    "externalId": {"column": "external_identifier", "write": {"provider": "CASE WHEN value IS NULL THEN ''default'' ELSE ''scim'' END"}},
    "active": {"column": "status", "codes": [["active", true], ["suspended", false], ["draft", false], ["invited", false], ["unverified", false], ["archived", false]]},
    "entitlements": {"column": "tags"},
    "addresses[type eq \"work\"].formatted": "location"
}', options => '{"insert": {"id": "gen_random_uuid()"}}');
SELECT scim.create_mapping('directus_role', 'Group', 'directus.directus_roles', owner => 'app', attributes => '{
    "displayName": "name",
    "members": [
        {"table": "directus.directus_users", "parent": "role", "ref": "id", "type": "User"},
        {"table": "directus.directus_roles", "parent": "parent", "ref": "id", "type": "Group"}]
}', options => '{"insert": {"id": "gen_random_uuid()"}, "delete": "cascade"}');
SELECT scim.create_endpoint('directus', mappings => '{directus_user,directus_role}');
-- [user]
SELECT email, first_name, last_name, email, status = 'active', title, external_identifier FROM directus_users WHERE id = '%s' AND provider = CASE WHEN external_identifier IS NULL THEN 'default' ELSE 'scim' END
-- [members]
SELECT string_agg(email, ',' ORDER BY email) FROM directus_users WHERE role = '%s'
-- [request POST /Users 201]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ann@x", "entitlements": [{"value": "a"}, {"value": "b"}]}
-- [request PATCH /Users/{ann@x} 200]
{"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [{"op": "remove", "path": "entitlements[value eq \"a\"]"}]}
-- [sql] ["b"]
SELECT tags FROM directus_users
