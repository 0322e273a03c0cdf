-- Nextcloud: users and groups whose key is their name; settings are rows under two keys,
-- and a user of whom nothing is said is enabled.
-- [endpoints nextcloud]
-- [has mail active]
-- [immutable]
-- [schema]
CREATE TABLE oc_users (uid varchar(64) NOT NULL DEFAULT '' PRIMARY KEY, displayname varchar(64), password varchar(255) NOT NULL DEFAULT '', uid_lower varchar(64) DEFAULT '');
CREATE INDEX user_uid_lower ON oc_users (uid_lower);
CREATE TABLE oc_preferences (
    userid varchar(64) NOT NULL DEFAULT '', appid varchar(32) NOT NULL DEFAULT '', configkey varchar(64) NOT NULL DEFAULT '', configvalue text, PRIMARY KEY (userid, appid, configkey));
CREATE TABLE oc_accounts (uid varchar(64) NOT NULL DEFAULT '' PRIMARY KEY, data text NOT NULL DEFAULT '');
CREATE TABLE oc_groups (gid varchar(64) NOT NULL DEFAULT '' PRIMARY KEY, displayname varchar(255) NOT NULL DEFAULT 'name');
CREATE TABLE oc_group_user (gid varchar(64) NOT NULL DEFAULT '', uid varchar(64) NOT NULL DEFAULT '', PRIMARY KEY (gid, uid));
-- [mapping]
SELECT scim.create_mapping('nextcloud_user', 'User', 'nextcloud.oc_users', owner => 'app', attributes => '{
    "userName": {"column": "uid", "fold": "lower", "folded": "uid_lower", "required": true},
    "displayName": "displayname",
    "emails[type eq \"work\"].value": {"table": "nextcloud.oc_preferences", "parent": "userid", "where": {"appid": "settings", "configkey": "email"}, "column": "configvalue"},
    "locale": {"table": "nextcloud.oc_preferences", "parent": "userid", "where": {"appid": "core", "configkey": "lang"}, "column": "configvalue"},
    "active": {"table": "nextcloud.oc_preferences", "parent": "userid", "where": {"appid": "core", "configkey": "enabled"}, "column": "configvalue",
        "codes": {"true": true, "false": false}, "default": true},
    "addresses[type eq \"home\"].formatted": {"table": "nextcloud.oc_accounts", "parent": "uid", "column": "data", "path": "address.value"}
}', options => '{"delete": "cascade"}');
SELECT scim.create_mapping('nextcloud_group', 'Group', 'nextcloud.oc_groups', owner => 'app', attributes => '{
    "displayName": {"column": "displayname", "required": true, "write": {"gid": "coalesce(gid, value)"}},
    "members": {"table": "nextcloud.oc_group_user", "parent": "gid", "ref": "uid", "type": "User"}
}', options => '{"delete": "cascade"}');
SELECT scim.create_endpoint('nextcloud', mappings => '{nextcloud_user,nextcloud_group}');
-- [user]
SELECT uid, (SELECT configvalue FROM oc_preferences p WHERE userid = u.uid AND appid = 'settings' AND configkey = 'email'),
       coalesce((SELECT configvalue FROM oc_preferences p WHERE userid = u.uid AND appid = 'core' AND configkey = 'enabled'), 'true') = 'true' FROM oc_users u WHERE uid = '%s'
-- [members]
SELECT string_agg(uid, ',' ORDER BY uid) FROM oc_group_user WHERE gid = '%s'
-- [request POST /Users 201]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "Ann", "addresses": [{"type": "home", "formatted": "Rome"}], "locale": "de"}
-- [sql] ann|{"address": {"value": "Rome"}}|de|t
SELECT uid_lower, data, configvalue, NOT EXISTS (SELECT 1 FROM oc_preferences WHERE configkey = 'enabled') FROM oc_users, oc_accounts, oc_preferences
-- [request GET /Users?filter=active%20eq%20true%20and%20addresses.formatted%20eq%20%22rome%22 1]
