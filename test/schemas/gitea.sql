-- Gitea: organizations are rows of the users' table; names in lower case in a column of
-- their own; the e-mail again in another table; times in seconds.
-- [endpoints gitea]
-- [has mail active]
-- [needs "emails": [{"type": "work", "value": "kim@contoso.example"}]]
-- [forget DELETE FROM email_address; DELETE FROM "user" WHERE type = 0]
-- [schema]
CREATE TABLE "user" (
    id bigserial PRIMARY KEY, lower_name varchar(255) NOT NULL, name varchar(255) NOT NULL, full_name varchar(255), email varchar(255) NOT NULL, passwd varchar(255) NOT NULL,
    login_source bigint NOT NULL DEFAULT 0, type integer, location varchar(255), website varchar(255), language varchar(5), created_unix bigint, updated_unix bigint,
    is_active boolean, is_admin boolean, prohibit_login boolean NOT NULL DEFAULT false, visibility integer NOT NULL DEFAULT 0, num_members integer);
CREATE UNIQUE INDEX "UQE_user_lower_name" ON "user" (lower_name);
CREATE UNIQUE INDEX "UQE_user_name" ON "user" (name);
CREATE TABLE email_address (id bigserial PRIMARY KEY, uid bigint NOT NULL, email varchar(255) NOT NULL, lower_email varchar(255) NOT NULL, is_activated boolean, is_primary boolean NOT NULL DEFAULT false);
CREATE UNIQUE INDEX "UQE_email_address_lower_email" ON email_address (lower_email);
CREATE TABLE org_user (id bigserial PRIMARY KEY, uid bigint, org_id bigint, is_public boolean);
CREATE UNIQUE INDEX "UQE_org_user_s" ON org_user (uid, org_id);
CREATE TABLE team (id bigserial PRIMARY KEY, org_id bigint, lower_name varchar(255), name varchar(255), description varchar(255), authorize integer, num_members integer);
CREATE TABLE team_user (id bigserial PRIMARY KEY, org_id bigint, team_id bigint, uid bigint);
CREATE UNIQUE INDEX "UQE_team_user_s" ON team_user (team_id, uid);
INSERT INTO "user" (lower_name, name, email, passwd, type) VALUES ('contoso', 'Contoso', '', '', 1);
-- [cookbook]
-- [user]
SELECT name, u.email, NOT prohibit_login FROM "user" u JOIN email_address e ON e.uid = u.id AND e.email = u.email AND lower_email = lower(u.email) WHERE u.id = '%s' AND lower_name = lower(name)
-- [members]
SELECT string_agg(name, ',' ORDER BY name) FROM team_user t JOIN "user" u ON u.id = uid JOIN org_user o ON o.uid = u.id AND o.org_id = t.org_id WHERE team_id = '%s'
-- [request POST /Users 409 userName]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "CONTOSO", "emails": [{"type": "work", "value": "c@x"}]}
-- [request POST /Users 201]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "Ann", "emails": [{"type": "work", "value": "Ann@x"}]}
-- [request POST /Users 409 emails]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "Ben", "emails": [{"type": "work", "value": "ANN@x"}]}
-- [sql] Ann@x|ann@x|t
SELECT email, lower_email, (SELECT created_unix > 1700000000 FROM "user" WHERE name = 'Ann') FROM email_address
