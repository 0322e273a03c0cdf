-- Redmine: users and groups are rows of one table, told apart by "type"; a group's name
-- is its last name; the e-mail in another table.
-- [endpoints redmine]
-- [has given family mail active]
-- [schema]
CREATE TABLE users (
    id serial PRIMARY KEY, login varchar NOT NULL DEFAULT '', hashed_password varchar(40) NOT NULL DEFAULT '', firstname varchar(30) NOT NULL DEFAULT '',
    lastname varchar(255) NOT NULL DEFAULT '', admin boolean NOT NULL DEFAULT false, status integer NOT NULL DEFAULT 1, last_login_on timestamp, language varchar(5) DEFAULT '',
    created_on timestamp, updated_on timestamp, type varchar, mail_notification varchar NOT NULL DEFAULT '', salt varchar(64), must_change_passwd boolean NOT NULL DEFAULT false);
CREATE INDEX index_users_on_id_and_type ON users (id, type);
CREATE TABLE email_addresses (
    id serial PRIMARY KEY, user_id integer NOT NULL, address varchar NOT NULL, is_default boolean NOT NULL DEFAULT false, notify boolean NOT NULL DEFAULT true,
    created_on timestamp NOT NULL, updated_on timestamp NOT NULL);
CREATE TABLE groups_users (group_id integer NOT NULL, user_id integer NOT NULL);
CREATE UNIQUE INDEX groups_users_ids ON groups_users (group_id, user_id);
INSERT INTO users (login, lastname, type, status) VALUES ('', 'Anonymous', 'AnonymousUser', 0), ('', 'Non member users', 'GroupNonMember', 1);
-- [mapping]
SELECT scim.create_mapping('redmine_user', 'User', 'redmine.users', owner => 'app', attributes => '{
    "userName": {"column": "login", "required": true},
    "name.givenName": {"column": "firstname", "null": ""}, "name.familyName": {"column": "lastname", "null": ""}, "locale": {"column": "language", "null": ""},
    "emails[type eq \"work\"].value": {"table": "redmine.email_addresses", "parent": "user_id", "where": {"is_default": true}, "column": "address", "insert": {"created_on": "now()", "updated_on": "now()"}},
    "active": {"column": "status", "codes": [[1, true], [3, false], [2, false]]},
    "roles[value eq \"admin\"]": "admin",
    "meta.created": "created_on", "meta.lastModified": "updated_on"
}', options => '{"filter": "type = ''User''", "insert": {"type": "''User''", "mail_notification": "''only_my_events''"}, "delete": "cascade"}');
SELECT scim.create_mapping('redmine_group', 'Group', 'redmine.users', owner => 'app', attributes => '{
    "displayName": {"column": "lastname", "required": true},
    "members": {"table": "redmine.groups_users", "parent": "group_id", "ref": "user_id", "type": "User"},
    "meta.created": "created_on", "meta.lastModified": "updated_on"
}', options => '{"filter": "type = ''Group''", "insert": {"type": "''Group''"}, "delete": "cascade"}');
SELECT scim.create_endpoint('redmine', mappings => '{redmine_user,redmine_group}');
-- [user]
SELECT login, nullif(firstname, ''), nullif(lastname, ''), (SELECT address FROM email_addresses e WHERE e.user_id = u.id AND is_default), status = 1 FROM users u WHERE id = '%s' AND type = 'User'
-- [members]
SELECT string_agg(login, ',' ORDER BY login) FROM groups_users g JOIN users u ON u.id = user_id WHERE group_id = '%s'
-- [request POST /Groups 201]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "Staff"}
-- [request GET /Users/{Staff} 404]
-- [request GET /Groups/1 404]
-- [request DELETE /Groups/2 404]
-- [request PATCH /Groups/{Staff} 400]
{"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [{"op": "add", "path": "members", "value": [{"value": "{Staff}"}]}]}
