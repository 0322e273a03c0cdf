-- Grafana: users of organizations, by a table that holds their role; reserved words; a
-- column for the current organization, NOT NULL.
-- [endpoints grafana1 grafana2]
-- [has mail active externalId]
-- [needs "emails": [{"type": "work", "value": "kim@contoso.example"}]]
-- [forget DELETE FROM team_member; DELETE FROM user_auth; DELETE FROM "user"]
-- [schema]
CREATE TABLE org (id serial PRIMARY KEY, version integer NOT NULL, name varchar(190) NOT NULL UNIQUE);
CREATE TABLE "user" (
    id serial PRIMARY KEY, version integer NOT NULL, login varchar(190) NOT NULL, email varchar(190) NOT NULL, name varchar(255), password varchar(255), salt varchar(50),
    rands varchar(50), org_id bigint NOT NULL, is_admin boolean NOT NULL, email_verified boolean, created timestamp NOT NULL, updated timestamp NOT NULL,
    help_flags1 bigint NOT NULL DEFAULT 0, last_seen_at timestamp, is_disabled boolean NOT NULL DEFAULT false, is_service_account boolean DEFAULT false);
CREATE UNIQUE INDEX "UQE_user_login" ON "user" (login);
CREATE UNIQUE INDEX "UQE_user_email" ON "user" (email);
CREATE TABLE user_auth (id serial PRIMARY KEY, user_id bigint NOT NULL, auth_module varchar(190) NOT NULL, auth_id varchar(190) NOT NULL, created timestamp NOT NULL);
CREATE TABLE org_user (
    id serial PRIMARY KEY, org_id bigint NOT NULL, user_id bigint NOT NULL, role varchar(20) NOT NULL, created timestamp NOT NULL, updated timestamp NOT NULL);
CREATE UNIQUE INDEX "UQE_org_user_org_id_user_id" ON org_user (org_id, user_id);
CREATE TABLE team (id serial PRIMARY KEY, name varchar(190) NOT NULL, org_id bigint NOT NULL, created timestamp NOT NULL, updated timestamp NOT NULL, email varchar(190));
CREATE UNIQUE INDEX "UQE_team_org_id_name" ON team (org_id, name);
CREATE TABLE team_member (
    id serial PRIMARY KEY, org_id bigint NOT NULL, team_id bigint NOT NULL, user_id bigint NOT NULL, created timestamp NOT NULL, updated timestamp NOT NULL, external boolean, permission smallint);
CREATE UNIQUE INDEX "UQE_team_member_org_id_team_id_user_id" ON team_member (org_id, team_id, user_id);
INSERT INTO org (version, name) VALUES (0, 'One'), (0, 'Two');
-- [cookbook]
-- [user]
SELECT login, email, NOT is_disabled, (SELECT auth_id FROM user_auth a WHERE a.user_id = u.id) FROM "user" u JOIN org_user o ON o.user_id = u.id AND o.org_id = u.org_id AND o.role = 'Viewer' WHERE u.id = '%s'
-- [members]
SELECT string_agg(login, ',' ORDER BY login) FROM team_member m JOIN "user" u ON u.id = user_id JOIN org_user o ON o.user_id = u.id AND o.org_id = m.org_id WHERE team_id = '%s'
-- [request POST /Users 201]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ann", "emails": [{"type": "work", "value": "ann@x"}], "userType": "Admin"}
-- [sql] 1|Admin|1
SELECT u.org_id, role, o.org_id FROM "user" u JOIN org_user o ON o.user_id = u.id
-- [request GET /Users?filter=userType%20eq%20%22ADMIN%22 1]
