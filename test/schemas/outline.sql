-- Outline: camel case, soft deletion of users and groups, a group must name who made it.
-- [endpoints outline]
-- [has mail active externalId]
-- [forget DELETE FROM group_users; DELETE FROM groups; DELETE FROM users WHERE role <> 'admin']
-- [schema]
CREATE TYPE enum_users_role AS ENUM ('admin', 'member', 'viewer', 'guest');
CREATE TABLE teams (id uuid PRIMARY KEY, name varchar(255));
CREATE TABLE users (
    id uuid PRIMARY KEY, email varchar(255), name varchar(255) NOT NULL, role enum_users_role NOT NULL, "teamId" uuid REFERENCES teams, "createdAt" timestamptz NOT NULL, "updatedAt" timestamptz NOT NULL,
    "deletedAt" timestamptz, "suspendedAt" timestamptz, "suspendedById" uuid REFERENCES users, language varchar(255), preferences jsonb);
CREATE UNIQUE INDEX users_email_team_id ON users (email, "teamId");
CREATE TABLE groups (
    id uuid PRIMARY KEY, name varchar(255) NOT NULL, "externalId" varchar(255), "teamId" uuid NOT NULL REFERENCES teams, "createdById" uuid NOT NULL REFERENCES users,
    "createdAt" timestamptz NOT NULL, "updatedAt" timestamptz NOT NULL, "deletedAt" timestamptz);
CREATE TABLE group_users (
    "userId" uuid NOT NULL REFERENCES users, "groupId" uuid NOT NULL REFERENCES groups, "createdById" uuid NOT NULL REFERENCES users, "createdAt" timestamptz NOT NULL, "updatedAt" timestamptz NOT NULL,
    permission varchar(255) NOT NULL DEFAULT 'member', PRIMARY KEY ("groupId", "userId"));
INSERT INTO teams VALUES ('11111111-1111-4111-8111-111111111111', 'One');
INSERT INTO users (id, email, name, role, "teamId", "createdAt", "updatedAt") VALUES ('22222222-2222-4222-8222-222222222222', 'admin@x', 'Admin', 'admin', '11111111-1111-4111-8111-111111111111', now(), now());
-- [mapping]
SELECT scim.create_mapping('outline_user', 'User', 'outline.users', owner => 'app', attributes => '{
    "userName": {"column": "email", "required": true}, "emails[type eq \"work\"].value": "email",
    "displayName": "name", "userType": {"column": "role", "default": "member"}, "locale": "language",
    "externalId": {"column": "preferences", "path": "externalId"},
    "active": {"read": "\"suspendedAt\" IS NULL", "write": {"suspendedAt": "CASE WHEN value IS NOT FALSE THEN NULL ELSE coalesce(\"suspendedAt\", now()) END"}},
    "meta.created": "createdAt", "meta.lastModified": "updatedAt"
}', options => '{
    "filter": "\"deletedAt\" IS NULL", "insert": {"id": "gen_random_uuid()", "name": "''''"},
    "delete": {"set": {"deletedAt": "now()"}}, "revive": {"by": "userName", "set": {"deletedAt": null}}
}');
SELECT scim.create_mapping('outline_group', 'Group', 'outline.groups', owner => 'app', attributes => '{
    "displayName": "name", "externalId": "externalId",
    "members": {"table": "outline.group_users", "parent": "groupId", "ref": "userId", "type": "User",
        "insert": {"createdById": "\"createdById\"", "createdAt": "now()", "updatedAt": "now()"}},
    "meta.created": "createdAt", "meta.lastModified": "updatedAt"
}', options => '{
    "filter": "\"deletedAt\" IS NULL",
    "insert": {"id": "gen_random_uuid()", "createdById": "(SELECT u.id FROM outline.users u WHERE u.role = ''admin'' ORDER BY u.\"createdAt\" LIMIT 1)"},
    "delete": {"set": {"deletedAt": "now()"}}
}');
SELECT scim.create_endpoint('outline', mappings => '{outline_user,outline_group}', scope => '{"teamId": "11111111-1111-4111-8111-111111111111"}');
-- [user]
SELECT email, email, "suspendedAt" IS NULL, preferences ->> 'externalId' FROM users WHERE id = '%s' AND "deletedAt" IS NULL AND role = 'member'
-- [members]
SELECT string_agg(email, ',' ORDER BY email) FROM group_users JOIN users u ON u.id = "userId" WHERE "groupId" = '%s' AND u."deletedAt" IS NULL
-- [request POST /Users 201]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ann@x", "displayName": "Ann", "userType": "viewer"}
-- [request DELETE /Users/{ann@x} 204]
-- [request POST /Users 201]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ANN@x"}
-- [sql] ANN@x||member|t
SELECT email, name, role, "deletedAt" IS NULL FROM users WHERE email ILIKE 'ann@%'
