-- Cal.com: quoted names in camel case, enums, organizations that are teams, and tenancy
-- by the rows that make users members of the organization's team.
-- [endpoints calcom calcomb]
-- [has mail active externalId]
-- [needs "emails": [{"type": "work", "value": "kim@contoso.example"}]]
-- [forget DELETE FROM users u WHERE NOT EXISTS (SELECT 1 FROM "Membership" m WHERE m."userId" = u.id)]
-- [schema]
CREATE TYPE "MembershipRole" AS ENUM ('MEMBER', 'ADMIN', 'OWNER');
CREATE TYPE "UserPermissionRole" AS ENUM ('USER', 'ADMIN');
CREATE TABLE users (
    id serial PRIMARY KEY, uuid uuid NOT NULL DEFAULT gen_random_uuid() UNIQUE, username text, name text, email text NOT NULL, "emailVerified" timestamp(3), bio text, "avatarUrl" text,
    "timeZone" text NOT NULL DEFAULT 'Europe/London', "weekStart" text NOT NULL DEFAULT 'Sunday', created timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP, locale text,
    role "UserPermissionRole" NOT NULL DEFAULT 'USER', locked boolean NOT NULL DEFAULT false, metadata jsonb, "organizationId" integer);
CREATE UNIQUE INDEX users_email_key ON users (email);
CREATE UNIQUE INDEX "users_username_organizationId_key" ON users (username, "organizationId");
CREATE TABLE "Team" (
    id serial PRIMARY KEY, name text NOT NULL, slug text, "parentId" integer REFERENCES "Team" ON UPDATE CASCADE ON DELETE CASCADE, "isOrganization" boolean NOT NULL DEFAULT false,
    metadata jsonb, "createdAt" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP);
CREATE UNIQUE INDEX "Team_slug_parentId_key" ON "Team" (slug, "parentId");
CREATE TABLE "Membership" (
    id serial PRIMARY KEY, "teamId" integer NOT NULL REFERENCES "Team" ON UPDATE CASCADE ON DELETE CASCADE, "userId" integer NOT NULL REFERENCES users ON UPDATE CASCADE ON DELETE CASCADE,
    accepted boolean NOT NULL DEFAULT false, role "MembershipRole" NOT NULL, "disableImpersonation" boolean NOT NULL DEFAULT false, "createdAt" timestamp(3), "updatedAt" timestamp(3));
CREATE UNIQUE INDEX "Membership_userId_teamId_key" ON "Membership" ("userId", "teamId");
CREATE INDEX "Membership_teamId_idx" ON "Membership" ("teamId");
ALTER TABLE users ADD FOREIGN KEY ("organizationId") REFERENCES "Team" ON UPDATE CASCADE ON DELETE SET NULL;
INSERT INTO "Team" (name, slug, "isOrganization") VALUES ('Contoso', 'contoso', true), ('Fabrikam', 'fabrikam', true);
-- [mapping]
SELECT scim.create_mapping('calcom_user', 'User', 'calcom.users', key => '(uuid)', owner => 'app', attributes => '{
    "userName": {"column": "username", "required": true}, "displayName": "name",
    "emails[type eq \"work\"].value": {"column": "email", "fold": "lower", "write": {"emailVerified": "coalesce(\"emailVerified\", now())"}},
    "active": "NOT locked", "locale": "locale", "timezone": "\"timeZone\"",
    "userType": {"table": "calcom.\"Membership\"", "parent": "userId", "column": "role"},
    "externalId": {"column": "metadata", "path": "scimExternalId"},
    "meta.created": "created"
}', options => '{"insert": {"organizationId": {"scope": "teamId"}}, "membership": {"table": "calcom.\"Membership\"", "parent": "userId", "insert": {"role": "''MEMBER''", "accepted": "true", "createdAt": "now()"}, "adopt": "userName"}}');
SELECT scim.create_mapping('calcom_group', 'Group', 'calcom."Team"', owner => 'app', attributes => '{
    "displayName": {"column": "name", "write": {"slug": "lower(regexp_replace(value, ''[^A-Za-z0-9]+'', ''-'', ''g''))"}},
    "externalId": {"column": "metadata", "path": "scimExternalId"},
    "members": {"table": "calcom.\"Membership\"", "parent": "teamId", "ref": "userId", "type": "User", "filter": "accepted", "insert": {"role": "''MEMBER''", "accepted": "true"}},
    "meta.created": "\"createdAt\""
}', options => '{"filter": "NOT \"isOrganization\"", "scope": {"teamId": "parentId"}}');
SELECT scim.create_endpoint('calcom', mappings => '{calcom_user,calcom_group}', scope => '{"teamId": 1}');
SELECT scim.create_endpoint('calcomb', mappings => '{calcom_user,calcom_group}', scope => '{"teamId": 2}');
-- [user]
SELECT username, email, NOT locked, metadata ->> 'scimExternalId' FROM users WHERE uuid = '%s'
-- [members]
SELECT string_agg(username, ',' ORDER BY username) FROM "Membership" m JOIN users u ON u.id = "userId" WHERE "teamId" = '%s' AND accepted
-- [request POST /Users 201]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ann", "emails": [{"type": "work", "value": "Ann@x"}], "userType": "admin"}
-- [request POST /Groups 201]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "Field Sales", "members": [{"value": "{ann}"}]}
-- [request GET /Users?filter=groups.display%20eq%20%22field%20sales%22%20and%20userType%20eq%20%22ADMIN%22 1]
-- [sql] ADMIN Contoso, MEMBER Field Sales|field-sales|1
SELECT string_agg(concat_ws(' ', m.role, t.name), ', ' ORDER BY t.id), max(slug) FILTER (WHERE "parentId" = 1), max("organizationId") FROM "Membership" m JOIN "Team" t ON t.id = "teamId" JOIN users u ON u.id = "userId" WHERE username = 'ann'
