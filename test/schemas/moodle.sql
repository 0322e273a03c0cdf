-- Moodle: small numbers for yes and no, empty texts, times in seconds; a user that is
-- deleted keeps its row and gives its name back.
-- [endpoints moodle]
-- [has given family mail active externalId]
-- [schema]
CREATE TABLE mdl_user (
    id bigserial PRIMARY KEY, auth varchar(20) NOT NULL DEFAULT 'manual', confirmed smallint NOT NULL DEFAULT 0, deleted smallint NOT NULL DEFAULT 0, suspended smallint NOT NULL DEFAULT 0,
    mnethostid bigint NOT NULL DEFAULT 0, username varchar(100) NOT NULL DEFAULT '', password varchar(255) NOT NULL DEFAULT '', idnumber varchar(255) NOT NULL DEFAULT '',
    firstname varchar(100) NOT NULL DEFAULT '', lastname varchar(100) NOT NULL DEFAULT '', email varchar(100) NOT NULL DEFAULT '', city varchar(120) NOT NULL DEFAULT '',
    country varchar(2) NOT NULL DEFAULT '', lang varchar(30) NOT NULL DEFAULT 'en', timezone varchar(100) NOT NULL DEFAULT '99', timecreated bigint NOT NULL DEFAULT 0, timemodified bigint NOT NULL DEFAULT 0);
CREATE UNIQUE INDEX mdl_user_mneuse_uix ON mdl_user (mnethostid, username);
CREATE TABLE mdl_cohort (
    id bigserial PRIMARY KEY, contextid bigint NOT NULL, name varchar(254) NOT NULL DEFAULT '', idnumber varchar(100), description text, descriptionformat smallint NOT NULL,
    visible smallint NOT NULL DEFAULT 1, component varchar(100) NOT NULL DEFAULT '', timecreated bigint NOT NULL, timemodified bigint NOT NULL);
CREATE TABLE mdl_cohort_members (
    id bigserial PRIMARY KEY, cohortid bigint NOT NULL DEFAULT 0 REFERENCES mdl_cohort, userid bigint NOT NULL DEFAULT 0 REFERENCES mdl_user, timeadded bigint NOT NULL DEFAULT 0);
CREATE UNIQUE INDEX mdl_cohomemb_cohuse_uix ON mdl_cohort_members (cohortid, userid);
INSERT INTO mdl_user (username, confirmed, mnethostid) VALUES ('guest', 1, 1);
-- [mapping]
SELECT scim.create_mapping('moodle_user', 'User', 'moodle.mdl_user', owner => 'app', attributes => '{
    "userName": {"column": "username", "fold": "lower", "folded": "username", "required": true},
    "name.givenName": {"column": "firstname", "null": ""}, "name.familyName": {"column": "lastname", "null": ""},
    "emails[type eq \"work\"].value": {"column": "email", "null": ""}, "externalId": {"column": "idnumber", "null": ""},
    "addresses[type eq \"work\"].locality": {"column": "city", "null": ""}, "addresses[type eq \"work\"].country": {"column": "country", "null": ""},
    "active": {"column": "suspended", "codes": {"0": true, "1": false}},
    "timezone": {"column": "timezone", "null": "99"},
    "meta.created": {"column": "timecreated", "time": "epoch"}, "meta.lastModified": {"column": "timemodified", "time": "epoch"}
}', options => '{
    "filter": "deleted = 0 AND id > 1",
    "insert": {"auth": "''saml2''", "confirmed": "1", "mnethostid": "1", "timecreated": "extract(epoch FROM now())::bigint", "timemodified": "extract(epoch FROM now())::bigint"},
    "delete": {"set": {"deleted": "1", "username": "md5(username) || ''.'' || id", "email": "''''", "idnumber": "''''"}}
}');
SELECT scim.create_mapping('moodle_cohort', 'Group', 'moodle.mdl_cohort', owner => 'app', attributes => '{
    "displayName": {"column": "name", "required": true}, "externalId": "idnumber",
    "members": {"table": "moodle.mdl_cohort_members", "parent": "cohortid", "ref": "userid", "type": "User", "insert": {"timeadded": "extract(epoch FROM now())::bigint"}},
    "meta.created": {"column": "timecreated", "time": "epoch"}, "meta.lastModified": {"column": "timemodified", "time": "epoch"}
}', options => '{"insert": {"contextid": "1", "descriptionformat": "1"}, "delete": "cascade"}');
SELECT scim.create_endpoint('moodle', mappings => '{moodle_user,moodle_cohort}');
-- [user]
SELECT username, nullif(firstname, ''), nullif(lastname, ''), nullif(email, ''), suspended = 0, nullif(idnumber, '') FROM mdl_user WHERE id = '%s' AND deleted = 0 AND timecreated > 1700000000 AND timemodified > 1700000000
-- [members]
SELECT string_agg(username, ',' ORDER BY username) FROM mdl_cohort_members c JOIN mdl_user u ON u.id = userid AND u.deleted = 0 WHERE cohortid = '%s'
-- [request POST /Users 201]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "Ann", "addresses": [{"type": "work", "country": "IT"}]}
-- [request POST /Users 400 addresses]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ben", "addresses": [{"type": "work", "country": "Italy"}]}
-- [request GET /Users?filter=addresses.country%20eq%20%22it%22%20and%20not%20(emails%20pr)%20and%20not%20(timezone%20pr) 1]
