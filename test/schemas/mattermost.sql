-- Mattermost: keys of 26 letters and digits, times in milliseconds, 0 for "never"; groups
-- and their members are marked when they go.
-- [endpoints mattermost]
-- [has given family mail active title externalId]
-- [schema]
CREATE TABLE users (
    id varchar(26) PRIMARY KEY, createat bigint, updateat bigint, deleteat bigint, username varchar(64) UNIQUE, password varchar(128), authdata varchar(128) UNIQUE,
    authservice varchar(32), email varchar(128) UNIQUE, emailverified boolean, nickname varchar(64), firstname varchar(64), lastname varchar(64), roles varchar(256),
    allowmarketing boolean, props jsonb, notifyprops jsonb, failedattempts integer, locale varchar(5), mfaactive boolean, position varchar(128), timezone jsonb, remoteid varchar(26));
CREATE INDEX idx_users_username_lower_textpattern ON users (lower(username::text) text_pattern_ops);
CREATE TABLE usergroups (
    id varchar(26) PRIMARY KEY, name varchar(64) UNIQUE, displayname varchar(128), description varchar(1024), source varchar(64), remoteid varchar(48),
    createat bigint, updateat bigint, deleteat bigint, allowreference boolean, UNIQUE (source, remoteid));
CREATE TABLE groupmembers (groupid varchar(26), userid varchar(26), createat bigint, deleteat bigint, PRIMARY KEY (groupid, userid));
CREATE TABLE teammembers (teamid varchar(26), userid varchar(26), roles varchar(64), deleteat bigint, schemeuser boolean, schemeadmin boolean, PRIMARY KEY (teamid, userid));
-- [mapping]
SELECT scim.create_mapping('mattermost_user', 'User', 'mattermost.users', owner => 'app', attributes => '{
    "userName": {"column": "username", "fold": "lower", "required": true},
    "name.givenName": {"column": "firstname", "null": ""}, "name.familyName": {"column": "lastname", "null": ""}, "nickName": {"column": "nickname", "null": ""},
    "emails[type eq \"work\"].value": "email",
    "title": {"column": "position", "null": ""},
    "externalId": {"column": "authdata", "write": {"authservice": "CASE WHEN value IS NULL THEN '''' ELSE ''saml'' END"}},
    "locale": "locale", "timezone": {"column": "timezone", "path": "manualTimezone"},
    "roles": {"column": "roles", "delimiter": " "},
    "active": {"read": "deleteat = 0", "write": {"deleteat": "CASE WHEN value IS NOT FALSE THEN 0 ELSE coalesce(nullif(deleteat, 0), (extract(epoch FROM now()) * 1000)::bigint) END"}},
    "meta.created": {"column": "createat", "time": "epoch_ms"}, "meta.lastModified": {"column": "updateat", "time": "epoch_ms"}
}', options => '{
    "insert": {"id": "translate(substr(replace(gen_random_uuid()::text || gen_random_uuid()::text, ''-'', ''''), 1, 26), ''0123456789'', ''qrstuvwxyz'')",
               "deleteat": "0", "roles": "''system_user''", "authservice": "''''", "emailverified": "true", "props": "''{}''", "failedattempts": "0"},
    "delete": "cascade"
}');
SELECT scim.create_mapping('mattermost_group', 'Group', 'mattermost.usergroups', owner => 'app', attributes => '{
    "displayName": {"column": "displayname", "write": {"name": "lower(regexp_replace(value, ''[^A-Za-z0-9]+'', ''-'', ''g''))"}},
    "externalId": "remoteid",
    "members": {"table": "mattermost.groupmembers", "parent": "groupid", "ref": "userid", "type": "User", "filter": "deleteat = 0",
        "insert": {"createat": "(extract(epoch FROM now()) * 1000)::bigint", "deleteat": "0"},
        "remove": {"deleteat": "(extract(epoch FROM now()) * 1000)::bigint"}, "revive": {"deleteat": "0"}},
    "meta.created": {"column": "createat", "time": "epoch_ms"}, "meta.lastModified": {"column": "updateat", "time": "epoch_ms"}
}', options => '{
    "filter": "deleteat = 0 AND source = ''custom''",
    "insert": {"id": "substr(replace(gen_random_uuid()::text, ''-'', ''''), 1, 26)", "source": "''custom''", "deleteat": "0", "allowreference": "true"},
    "delete": {"set": {"deleteat": "(extract(epoch FROM now()) * 1000)::bigint", "name": null, "remoteid": null}}
}');
SELECT scim.create_endpoint('mattermost', mappings => '{mattermost_user,mattermost_group}');
-- [user]
SELECT username, nullif(firstname, ''), nullif(lastname, ''), email, deleteat = 0, nullif(position, ''), authdata FROM users WHERE id = '%s' AND id ~ '^[a-z]{26}$'
-- [members]
SELECT string_agg(username, ',' ORDER BY username) FROM groupmembers m JOIN users u ON u.id = userid WHERE groupid = '%s' AND m.deleteat = 0
-- [request POST /Users 201]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ann", "roles": [{"value": "system_user"}, {"value": "system_admin"}], "timezone": "Europe/Rome", "locale": "en-GB"}
-- [sql] system_user system_admin|{"manualTimezone": "Europe/Rome"}|||en-GB|t
SELECT roles, timezone, firstname, authservice, locale, authdata IS NULL AND email IS NULL AND createat > 1700000000000 FROM users
-- [request GET /Users?filter=roles.value%20eq%20%22system_admin%22%20and%20meta.created%20gt%20%222020-01-01T00:00:00Z%22 1]
