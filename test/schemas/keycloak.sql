-- Keycloak: users of realms.  Keys are texts that the application makes; attributes
-- that have no column are rows of user_attribute, which have keys of their own; an
-- e-mail is unique where it is one, by a second column; a group at the top has the
-- parent " ".
-- [endpoints keycloak]
-- [has given family mail active title externalId]
-- [schema]
CREATE TABLE realm (id varchar(36) PRIMARY KEY, name varchar(255) UNIQUE);
CREATE TABLE user_entity (
    id varchar(36) NOT NULL PRIMARY KEY, email varchar(255), email_constraint varchar(255), email_verified boolean NOT NULL DEFAULT false,
    enabled boolean NOT NULL DEFAULT false, federation_link varchar(255), first_name varchar(255), last_name varchar(255),
    realm_id varchar(255), username varchar(255), created_timestamp bigint, service_account_client_link varchar(255),
    not_before integer NOT NULL DEFAULT 0,
    CONSTRAINT uk_dykn684sl8up1crfei6eckhd7 UNIQUE (realm_id, email_constraint), CONSTRAINT uk_ru8tt6t700s9v50bu18ws5ha6 UNIQUE (realm_id, username));
CREATE TABLE user_attribute (
    name varchar(255) NOT NULL, value varchar(255), user_id varchar(36) NOT NULL REFERENCES user_entity,
    id varchar(36) NOT NULL DEFAULT 'sybase-needs-something-here' PRIMARY KEY);
CREATE INDEX idx_user_attribute ON user_attribute (user_id);
CREATE TABLE keycloak_group (
    id varchar(36) NOT NULL PRIMARY KEY, name varchar(255), parent_group varchar(36) NOT NULL, realm_id varchar(36), type integer NOT NULL DEFAULT 0,
    CONSTRAINT sibling_names UNIQUE (realm_id, parent_group, name));
CREATE TABLE user_group_membership (
    group_id varchar(36) NOT NULL, user_id varchar(36) NOT NULL REFERENCES user_entity, membership_type varchar(255) NOT NULL,
    PRIMARY KEY (group_id, user_id));
INSERT INTO realm VALUES ('r1', 'one'), ('r2', 'two');
-- [cookbook]
-- [user]
SELECT username, first_name, last_name, email, enabled,
       (SELECT value FROM user_attribute a WHERE a.user_id = u.id AND name = 'jobTitle'), (SELECT value FROM user_attribute a WHERE a.user_id = u.id AND name = 'externalId')
  FROM user_entity u WHERE id = '%s'
-- [members]
SELECT string_agg(username, ',' ORDER BY username) FROM user_group_membership m JOIN user_entity u ON u.id = user_id WHERE group_id = '%s' AND membership_type = 'UNMANAGED'
-- [request POST /Groups 201]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "Inner"}
-- [request POST /Groups 201]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "Outer", "members": [{"value": "{Inner}", "type": "Group"}]}
-- [sql] t
SELECT i.parent_group = o.id AND o.parent_group = ' ' FROM keycloak_group i, keycloak_group o WHERE i.name = 'Inner' AND o.name = 'Outer'
-- [request PATCH /Groups/{Outer} 204]
{"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [{"op": "remove", "path": "members"}]}
-- [sql] 2
SELECT count(*) FROM keycloak_group WHERE parent_group = ' '
-- [request PUT /Groups/{Outer} 200]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "Outer", "members": [{"value": "{Inner}"}]}
-- [request DELETE /Groups/{Outer} 204]
-- [sql] Inner| 
SELECT name, parent_group FROM keycloak_group
-- [request DELETE /Groups/{Inner} 204]
-- [request POST /Users 201]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "Ann", "emails": [{"type": "work", "value": "Ann@x"}]}
-- [request POST /Users 409 emails]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ben", "emails": [{"type": "work", "value": "ann@X"}]}
-- [request GET /Users?filter=userName%20eq%20%22ANN%22 1]
-- [sql] ann|Ann@x|ann@x
SELECT username, email, email_constraint FROM user_entity
