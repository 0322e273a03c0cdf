-- Confluence (Crowd embedded): T and F, each name again in lower case, and one table of
-- members with a column for users and one for groups.
-- [endpoints confluence]
-- [has given family mail active externalId]
-- [schema]
CREATE SEQUENCE hibernate_sequence START 98305;
CREATE TABLE cwd_user (
    id bigint NOT NULL PRIMARY KEY, user_name varchar(255) NOT NULL, lower_user_name varchar(255) NOT NULL, active char(1) NOT NULL, created_date timestamp NOT NULL, updated_date timestamp NOT NULL,
    first_name varchar(255), lower_first_name varchar(255), last_name varchar(255), lower_last_name varchar(255), display_name varchar(255), lower_display_name varchar(255),
    email_address varchar(255), lower_email_address varchar(255), external_id varchar(255), directory_id bigint NOT NULL, credential varchar(255), UNIQUE (lower_user_name, directory_id));
CREATE TABLE cwd_group (
    id bigint NOT NULL PRIMARY KEY, group_name varchar(255) NOT NULL, lower_group_name varchar(255) NOT NULL, active char(1) NOT NULL, local char(1) NOT NULL, created_date timestamp NOT NULL,
    updated_date timestamp NOT NULL, description varchar(255), group_type varchar(32) NOT NULL, directory_id bigint NOT NULL, UNIQUE (lower_group_name, directory_id));
CREATE TABLE cwd_membership (
    id bigint NOT NULL PRIMARY KEY, parent_id bigint NOT NULL REFERENCES cwd_group, child_group_id bigint REFERENCES cwd_group, child_user_id bigint REFERENCES cwd_user,
    UNIQUE (parent_id, child_group_id), UNIQUE (parent_id, child_user_id));
-- [mapping]
SELECT scim.create_mapping('confluence_user', 'User', 'confluence.cwd_user', owner => 'app', attributes => '{
    "userName": {"column": "user_name", "fold": "lower", "folded": "lower_user_name"},
    "name.givenName": {"column": "first_name", "fold": "lower", "folded": "lower_first_name"}, "name.familyName": {"column": "last_name", "fold": "lower", "folded": "lower_last_name"},
    "displayName": {"column": "display_name", "fold": "lower", "folded": "lower_display_name"},
    "emails[type eq \"work\"].value": {"column": "email_address", "fold": "lower", "folded": "lower_email_address"},
    "externalId": "external_id", "active": {"column": "active", "codes": {"T": true, "F": false}, "default": true},
    "meta.created": "created_date", "meta.lastModified": "updated_date"
}', options => '{"insert": {"id": "nextval(''confluence.hibernate_sequence'')", "credential": "''nopass''"}, "delete": "cascade"}');
SELECT scim.create_mapping('confluence_group', 'Group', 'confluence.cwd_group', owner => 'app', attributes => '{
    "displayName": {"column": "group_name", "fold": "lower", "folded": "lower_group_name"},
    "members": [
        {"table": "confluence.cwd_membership", "parent": "parent_id", "ref": "child_user_id", "type": "User", "insert": {"id": "nextval(''confluence.hibernate_sequence'')"}},
        {"table": "confluence.cwd_membership", "parent": "parent_id", "ref": "child_group_id", "type": "Group", "insert": {"id": "nextval(''confluence.hibernate_sequence'')"}}],
    "meta.created": "created_date", "meta.lastModified": "updated_date"
}', options => '{"insert": {"id": "nextval(''confluence.hibernate_sequence'')", "active": "''T''", "local": "''F''", "group_type": "''GROUP''"}, "delete": "cascade"}');
SELECT scim.create_endpoint('confluence', mappings => '{confluence_user,confluence_group}', scope => '{"directory_id": 1}');
-- [user]
SELECT user_name, first_name, last_name, email_address, active = 'T', external_id FROM cwd_user WHERE id = '%s' AND lower_user_name = lower(user_name) AND lower_first_name IS NOT DISTINCT FROM lower(first_name)
-- [members]
SELECT string_agg(user_name, ',' ORDER BY user_name) FROM cwd_membership m JOIN cwd_user u ON u.id = child_user_id WHERE parent_id = '%s'
-- [request POST /Users 201]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "Ann"}
-- [request POST /Groups 201]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "Inner", "members": [{"value": "{Ann}"}]}
-- [request POST /Groups 201]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "Outer", "members": [{"value": "{Inner}"}]}
-- [sql] Outer||Inner,Inner|Ann|
SELECT string_agg(concat_ws('|', p.group_name, coalesce(user_name, ''), coalesce(g.group_name, '')), ',' ORDER BY m.id DESC) FROM cwd_membership m JOIN cwd_group p ON p.id = parent_id LEFT JOIN cwd_user u ON u.id = child_user_id LEFT JOIN cwd_group g ON g.id = child_group_id
-- [request PATCH /Groups/{Outer} 204]
{"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [{"op": "add", "path": "members", "value": [{"value": "{Ann}"}]}, {"op": "remove", "path": "members[value eq \"{Inner}\"]"}]}
-- [sql] 2
SELECT count(*) FROM cwd_membership WHERE child_user_id IS NOT NULL
-- [request DELETE /Groups/{Inner} 204]
-- [request DELETE /Groups/{Outer} 204]
