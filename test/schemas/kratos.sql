-- Ory Kratos: everything that is known of an identity is one document; tenants by a
-- network.  There are no groups.
-- [endpoints kratos]
-- [has given family mail active title externalId]
-- [schema]
CREATE TABLE networks (id uuid PRIMARY KEY, created_at timestamp NOT NULL, updated_at timestamp NOT NULL);
CREATE TABLE identities (
    id uuid NOT NULL PRIMARY KEY, schema_id varchar(2048) NOT NULL, traits jsonb NOT NULL, created_at timestamp NOT NULL, updated_at timestamp NOT NULL,
    nid uuid NOT NULL REFERENCES networks ON DELETE CASCADE, state varchar(255) NOT NULL DEFAULT 'active', state_changed_at timestamp, metadata_public jsonb, metadata_admin jsonb, external_id varchar(64));
CREATE UNIQUE INDEX identities_nid_external_id ON identities (nid, external_id);
INSERT INTO networks VALUES ('11111111-1111-4111-8111-111111111111', now(), now());
-- [mapping]
SELECT scim.create_mapping('kratos_identity', 'User', 'kratos.identities', owner => 'app', attributes => '{
    "userName": {"column": "traits", "path": "email", "required": true},
    "name.givenName": {"column": "traits", "path": "name.first"}, "name.familyName": {"column": "traits", "path": "name.last"}, "title": {"column": "traits", "path": "title"},
    "emails[type eq \"work\"].value": {"column": "traits", "path": "work_email"}, "phoneNumbers": {"column": "traits", "path": "phones", "keys": {"value": "nr", "type": "kind"}},
    "externalId": "external_id",
    "active": {"column": "state", "codes": {"active": true, "inactive": false}, "write": {"state_changed_at": "CASE WHEN (state = ''active'') IS DISTINCT FROM value THEN now() ELSE state_changed_at END"}},
    "meta.created": "created_at", "meta.lastModified": "updated_at"
}', options => '{"insert": {"id": "gen_random_uuid()", "schema_id": "''default''"}}');
SELECT scim.create_endpoint('kratos', mappings => '{kratos_identity}', scope => '{"nid": "11111111-1111-4111-8111-111111111111"}');
-- [user]
SELECT traits ->> 'email', traits -> 'name' ->> 'first', traits -> 'name' ->> 'last', traits ->> 'work_email', state = 'active', traits ->> 'title', external_id FROM identities WHERE id = '%s'
-- [request POST /Users 201]
{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "Ann", "phoneNumbers": [{"value": "+1", "type": "work"}, {"value": "+2"}]}
-- [sql] {"email": "Ann", "phones": [{"nr": "+1", "kind": "work"}, {"nr": "+2"}]}
SELECT traits FROM identities
-- [request GET /Users?filter=phoneNumbers%5Btype%20eq%20%22work%22%20and%20value%20eq%20%22%2B1%22%5D 1]
