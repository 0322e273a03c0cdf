-- Superset and Airflow (Flask-AppBuilder): keys from sequences that are no default, and an
-- e-mail that is unique and may not be missing.
-- [endpoints superset]
-- [has given family mail active]
-- [schema]
CREATE SEQUENCE ab_user_id_seq;
CREATE SEQUENCE ab_role_id_seq;
CREATE SEQUENCE ab_user_role_id_seq;
CREATE TABLE ab_user (
    id integer NOT NULL PRIMARY KEY, first_name varchar(64) NOT NULL, last_name varchar(64) NOT NULL, username varchar(128) NOT NULL UNIQUE, password varchar(256), active boolean,
    email varchar(320) NOT NULL UNIQUE, last_login timestamp, login_count integer, fail_login_count integer, created_on timestamp, changed_on timestamp,
    created_by_fk integer REFERENCES ab_user, changed_by_fk integer REFERENCES ab_user);
CREATE TABLE ab_role (id integer NOT NULL PRIMARY KEY, name varchar(64) NOT NULL UNIQUE);
CREATE TABLE ab_user_role (id integer NOT NULL PRIMARY KEY, user_id integer REFERENCES ab_user, role_id integer REFERENCES ab_role, UNIQUE (user_id, role_id));
-- [mapping]
SELECT scim.create_mapping('superset_user', 'User', 'superset.ab_user', owner => 'app', attributes => '{
    "userName": "username", "name.givenName": {"column": "first_name", "null": ""}, "name.familyName": {"column": "last_name", "null": ""},
    "emails[type eq \"work\"].value": {"read": "CASE WHEN email NOT LIKE ''%@nowhere.invalid'' THEN email END", "write": {"email": "coalesce(value, username || ''@nowhere.invalid'')"}},
    "active": {"column": "active", "default": true}, "meta.created": "created_on", "meta.lastModified": "changed_on"
}', options => '{"insert": {"id": "nextval(''superset.ab_user_id_seq'')", "email": "gen_random_uuid() || ''@nowhere.invalid''"}, "delete": "cascade"}');
SELECT scim.create_mapping('superset_role', 'Group', 'superset.ab_role', owner => 'app', attributes => '{
    "displayName": "name",
    "members": {"table": "superset.ab_user_role", "parent": "role_id", "ref": "user_id", "type": "User", "insert": {"id": "nextval(''superset.ab_user_role_id_seq'')"}}
}', options => '{"insert": {"id": "nextval(''superset.ab_role_id_seq'')"}, "delete": "cascade"}');
SELECT scim.create_endpoint('superset', mappings => '{superset_user,superset_role}');
-- [user]
SELECT username, nullif(first_name, ''), nullif(last_name, ''), email, active FROM ab_user WHERE id = '%s'
-- [members]
SELECT string_agg(username, ',' ORDER BY username) FROM ab_user_role r JOIN ab_user u ON u.id = user_id WHERE role_id = '%s'
-- [request POST /Users 201]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ann", "emails": [{"type": "work", "value": "ann@x"}]}
-- [request POST /Users 201]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ben"}
-- [request POST /Users 409 emails]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "cid", "emails": [{"type": "work", "value": "ann@x"}]}
-- [request GET /Users?filter=emails%20pr 1]
-- [request PATCH /Users/{ann} 200]
{"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [{"op": "remove", "path": "emails"}]}
-- [sql] ann@nowhere.invalid
SELECT email FROM ab_user WHERE username = 'ann'
