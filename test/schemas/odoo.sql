-- Odoo: a user is a partner, whose row is made first and named by the user's; names of
-- groups are translated documents; a group that another implies.
-- [endpoints odoo]
-- [has mail active title]
-- [needs "name": {"formatted": "Kim"}]
-- [schema]
CREATE TABLE res_company (id serial PRIMARY KEY, name varchar NOT NULL UNIQUE);
CREATE TABLE res_partner (
    id serial PRIMARY KEY, company_id integer REFERENCES res_company ON DELETE SET NULL, name varchar, display_name varchar, email varchar, function varchar, lang varchar, tz varchar,
    type varchar DEFAULT 'contact', active boolean, phone varchar, create_date timestamp, write_date timestamp,
    CONSTRAINT res_partner_check_name CHECK ((type = 'contact' AND name IS NOT NULL) OR type <> 'contact'));
CREATE TABLE res_users (
    id serial PRIMARY KEY, company_id integer NOT NULL REFERENCES res_company ON DELETE RESTRICT, partner_id integer NOT NULL REFERENCES res_partner ON DELETE RESTRICT,
    active boolean DEFAULT true, create_date timestamp, login varchar NOT NULL, password varchar, notification_type varchar NOT NULL, share boolean, write_date timestamp,
    CONSTRAINT res_users_login_key UNIQUE (login));
CREATE TABLE res_company_users_rel (cid integer NOT NULL REFERENCES res_company ON DELETE CASCADE, user_id integer NOT NULL REFERENCES res_users ON DELETE CASCADE, PRIMARY KEY (cid, user_id));
CREATE TABLE res_groups (id serial PRIMARY KEY, name jsonb NOT NULL, comment jsonb, share boolean, create_date timestamp, write_date timestamp);
CREATE TABLE res_groups_users_rel (gid integer NOT NULL REFERENCES res_groups ON DELETE CASCADE, uid integer NOT NULL REFERENCES res_users ON DELETE CASCADE, PRIMARY KEY (gid, uid));
CREATE TABLE res_groups_implied_rel (gid integer NOT NULL REFERENCES res_groups ON DELETE CASCADE, hid integer NOT NULL REFERENCES res_groups ON DELETE CASCADE, PRIMARY KEY (gid, hid));
INSERT INTO res_company (name) VALUES ('Contoso');
-- [cookbook]
-- [user]
SELECT login, email, u.active, function FROM res_users u JOIN res_partner p ON p.id = partner_id AND p.active = u.active WHERE u.id = '%s' AND EXISTS (SELECT 1 FROM res_company_users_rel r WHERE r.user_id = u.id)
-- [members]
SELECT string_agg(login, ',' ORDER BY login) FROM res_groups_users_rel m JOIN res_users u ON u.id = uid WHERE gid = '%s'
-- [request POST /Users 201]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ann", "name": {"formatted": "Ann"}, "active": false}
-- [request PATCH /Users/{ann} 200]
{"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [{"op": "add", "value": {"title": "Boss", "phoneNumbers": [{"type": "work", "value": "+1"}]}}]}
-- [sql] 1|Ann|Ann|Boss|+1|f
SELECT (SELECT count(*) FROM res_partner), name, display_name, function, phone, active FROM res_partner
-- [request GET /Users?filter=title%20eq%20%22boss%22%20and%20phoneNumbers.value%20eq%20%22%2B1%22 1]
-- [request DELETE /Users/{ann} 204]
-- [sql] 0
SELECT count(*) FROM res_partner
