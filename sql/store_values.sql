-- The values of users: one table, and a view for each attribute that takes writes as a table would.
\set VERBOSITY terse
SELECT scim.create_endpoint('values', public_url => 'https://x') AS made;
CREATE FUNCTION pg_temp.user(method text, path text, body text DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws(' ', h.status, regexp_replace(h.body, '"(id|created|lastModified|location)":"[^"]*",?', '', 'g')) FROM scim.handle('values', method, path, '{"Content-Type": "application/scim+json"}', body) h $$;

SELECT pg_temp.user('POST', '/Users', '{"userName": "ann", "emails": [{"value": "a@x", "type": "work", "primary": true}, {"value": "b@x"}], "phoneNumbers": [{"value": "+1"}],
	"addresses": [{"locality": "Uppsala", "country": "SE"}], "roles": [{"value": "admin"}]}');
SELECT id AS ann FROM scim.users WHERE tenant = 'values' \gset
SELECT attribute, value, type, is_primary, locality FROM scim.user_values WHERE tenant = 'values' ORDER BY ord;
SELECT value, display, type, is_primary, attribute FROM scim.user_emails WHERE tenant = 'values' ORDER BY ord;
SELECT locality, country, attribute FROM scim.user_addresses WHERE tenant = 'values';

-- plain SQL
INSERT INTO scim.user_phone_numbers (tenant, user_id, value, type) VALUES ('values', :'ann', '+2', 'mobile') RETURNING attribute;
INSERT INTO scim.user_entitlements (tenant, user_id, value) VALUES ('values', :'ann', 'car');
UPDATE scim.user_roles SET display = 'Administrator' WHERE tenant = 'values' AND value = 'admin';
DELETE FROM scim.user_emails WHERE tenant = 'values' AND value = 'b@x';
SELECT pg_temp.user('GET', '/Users/' || :'ann');
SELECT pg_temp.user('GET', '/Users?attributes=phoneNumbers&filter=' || 'phoneNumbers%5Btype%20eq%20%22mobile%22%5D');
-- between those of other attributes, and still in its place
INSERT INTO scim.user_emails (tenant, user_id, value) VALUES ('values', :'ann', 'c@x');
SELECT pg_temp.user('GET', '/Users/' || :'ann' || '?attributes=emails,phoneNumbers');
SELECT pg_temp.user('GET', '/Users?attributes=emails');

-- a view holds one attribute, and the table those that there are
INSERT INTO scim.user_emails (tenant, user_id, value, attribute) VALUES ('values', :'ann', 'x', 'roles');
UPDATE scim.user_emails SET attribute = 'roles' WHERE tenant = 'values';
INSERT INTO scim.user_values (tenant, user_id, value, attribute) VALUES ('values', :'ann', 'x', 'nothing');
-- one is primary, of each attribute
UPDATE scim.user_phone_numbers SET is_primary = true WHERE tenant = 'values' AND value = '+1';
UPDATE scim.user_phone_numbers SET is_primary = true WHERE tenant = 'values' AND value = '+2';
-- and they belong to a user
INSERT INTO scim.user_ims (tenant, user_id, value) VALUES ('values', '00000000-0000-4000-8000-000000000000', 'x');

-- where only statements may read: a policy, which the views keep to from PostgreSQL 15 on
SELECT pg_temp.user('GET', '/Users/' || :'ann') AS scanned \gset
ALTER TABLE scim.user_values ENABLE ROW LEVEL SECURITY;
CREATE POLICY all_rows ON scim.user_values USING (true);
SELECT pg_temp.user('GET', '/Users/' || :'ann') = :'scanned' AS same;
ALTER POLICY all_rows ON scim.user_values USING (attribute <> 'roles');
SELECT pg_temp.user('GET', '/Users/' || :'ann' || '?attributes=roles,entitlements');
DROP POLICY all_rows ON scim.user_values;
ALTER TABLE scim.user_values DISABLE ROW LEVEL SECURITY;

SELECT pg_temp.user('PATCH', '/Users/' || :'ann', '{"Operations": [{"op": "remove", "path": "emails"}, {"op": "add", "path": "ims", "value": [{"value": "ann", "type": "xmpp"}]}]}');
SELECT pg_temp.user('DELETE', '/Users/' || :'ann');
SELECT count(*) FROM scim.user_values WHERE tenant = 'values';
SELECT scim.drop_endpoint('values');
