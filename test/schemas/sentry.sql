-- Sentry: the member of an organization is the resource; flags in the bits of a number;
-- the short name of a team is made of its name.
-- [endpoints sentry]
-- [has active]
-- [schema]
CREATE TABLE sentry_organization (id bigserial PRIMARY KEY, name varchar(64) NOT NULL, slug varchar(50) NOT NULL UNIQUE);
CREATE TABLE sentry_organizationmember (
    id bigserial PRIMARY KEY, organization_id bigint NOT NULL REFERENCES sentry_organization DEFERRABLE INITIALLY DEFERRED, user_id bigint, type integer NOT NULL CHECK (type >= 0),
    date_added timestamptz NOT NULL, email varchar(75), has_global_access boolean NOT NULL, flags bigint NOT NULL, role varchar(32) NOT NULL, token varchar(64) UNIQUE,
    UNIQUE (organization_id, user_id), UNIQUE (organization_id, email));
CREATE TABLE sentry_team (
    id bigserial PRIMARY KEY, organization_id bigint NOT NULL REFERENCES sentry_organization DEFERRABLE INITIALLY DEFERRED, slug varchar(50) NOT NULL, name varchar(64) NOT NULL,
    status integer NOT NULL CHECK (status >= 0), date_added timestamptz, UNIQUE (organization_id, slug));
CREATE TABLE sentry_organizationmember_teams (
    id serial PRIMARY KEY, organizationmember_id bigint NOT NULL REFERENCES sentry_organizationmember DEFERRABLE INITIALLY DEFERRED,
    team_id bigint NOT NULL REFERENCES sentry_team DEFERRABLE INITIALLY DEFERRED, is_active boolean NOT NULL, UNIQUE (team_id, organizationmember_id));
INSERT INTO sentry_organization (name, slug) VALUES ('One', 'one');
-- [mapping]
SELECT scim.create_mapping('sentry_member', 'User', 'sentry.sentry_organizationmember', owner => 'app', attributes => '{
    "userName": {"column": "email", "required": true}, "emails[type eq \"work\"].value": "email",
    "roles[value eq \"sso\"]": {"read": "flags & 1 <> 0", "write": {"flags": "CASE WHEN value THEN coalesce(flags, 0) | 1 ELSE coalesce(flags, 0) & ~1::bigint END"}},
    "active": {"read": "flags & 4 = 0", "write": {"flags": "CASE WHEN value IS NOT FALSE THEN coalesce(flags, 0) & ~4::bigint ELSE coalesce(flags, 0) | 4 END"}},
    "userType": {"column": "role", "default": "member"},
    "meta.created": "date_added"
}', options => '{"insert": {"type": "50", "flags": "0", "has_global_access": "true", "token": "md5(gen_random_uuid()::text)"}, "delete": "cascade"}');
SELECT scim.create_mapping('sentry_team', 'Group', 'sentry.sentry_team', owner => 'app', attributes => '{
    "displayName": {"column": "name", "write": {"slug": "lower(regexp_replace(value, ''[^A-Za-z0-9]+'', ''-'', ''g''))"}},
    "members": {"table": "sentry.sentry_organizationmember_teams", "parent": "team_id", "ref": "organizationmember_id", "type": "User",
        "filter": "is_active", "insert": {"is_active": "true"}, "remove": {"is_active": "false"}, "revive": {"is_active": "true"}},
    "meta.created": "date_added"
}', options => '{"filter": "status = 0", "insert": {"status": "0"}, "delete": {"set": {"status": "1", "slug": "slug || ''-'' || id"}}}');
SELECT scim.create_endpoint('sentry', mappings => '{sentry_member,sentry_team}', scope => '{"organization_id": 1}');
-- [user]
SELECT email, flags & 4 = 0 FROM sentry_organizationmember WHERE id = '%s'
-- [members]
SELECT string_agg(email, ',' ORDER BY email) FROM sentry_organizationmember_teams t JOIN sentry_organizationmember m ON m.id = organizationmember_id WHERE team_id = '%s' AND is_active
-- [request POST /Users 201]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ann@x", "roles": [{"value": "sso"}], "active": false}
-- [sql] 5|member
SELECT flags, role FROM sentry_organizationmember
-- [request PATCH /Users/{ann@x} 200]
{"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [{"op": "replace", "path": "active", "value": true}, {"op": "remove", "path": "roles"}]}
-- [sql] 0
SELECT flags FROM sentry_organizationmember
