# ScimMapped.pm - tables of an application that can hold all that the built-in
# store does, each thing in another way, and what makes a test that was written
# for the built-in store run on them: with SCIM_STORE=mapped in the environment
# the endpoints of ScimTest are those of these mappings, and SQL that looks at
# scim.users and its like looks at views of the same shape.
package ScimMapped;

use strict;
use warnings FATAL => 'all';

# The schema, before any endpoint.
sub setup
{
	return (<<'TABLES', <<'USERS', <<'GROUPS', <<'VIEWS');
CREATE ROLE mapped NOLOGIN;
CREATE SCHEMA mapped AUTHORIZATION mapped;
GRANT USAGE ON SCHEMA scim TO mapped;
GRANT EXECUTE ON FUNCTION scim.fold(text) TO mapped;
SET ROLE mapped;
CREATE TABLE mapped.person (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(), org text NOT NULL, login text NOT NULL CHECK (login <> ''), enabled boolean,
	first text, last text, names jsonb, shown text, nick text, url text, job text, kind text, language text, locale text, zone text,
	data jsonb, number text, dept jsonb NOT NULL DEFAULT '{"floor": 1}', boss text);
CREATE UNIQUE INDEX ON mapped.person (org, scim.fold(login) COLLATE "C");
CREATE INDEX ON mapped.person (org, id);
CREATE TABLE mapped.mail (person uuid REFERENCES mapped.person ON DELETE CASCADE, n bigint GENERATED ALWAYS AS IDENTITY, address text, label text, text text, main boolean, PRIMARY KEY (person, n));
CREATE UNIQUE INDEX ON mapped.mail (person) WHERE main;
CREATE TABLE mapped.place (person uuid REFERENCES mapped.person ON DELETE CASCADE, n bigint GENERATED ALWAYS AS IDENTITY,
	whole text, street text, town text, region text, code text, country text, label text, main boolean, PRIMARY KEY (person, n));
CREATE TABLE mapped.duty (person uuid REFERENCES mapped.person ON DELETE CASCADE, n bigint GENERATED ALWAYS AS IDENTITY, source text NOT NULL DEFAULT 'hand',
	name text, label text, text text, main boolean, PRIMARY KEY (person, n));
CREATE TABLE mapped.team (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), org text NOT NULL, name text NOT NULL CHECK (name <> ''));
CREATE INDEX ON mapped.team (org, scim.fold(name) COLLATE "C");
CREATE TABLE mapped.team_person (team uuid REFERENCES mapped.team ON DELETE CASCADE, person uuid REFERENCES mapped.person ON DELETE CASCADE, PRIMARY KEY (team, person));
CREATE INDEX ON mapped.team_person (person);
CREATE TABLE mapped.team_team (team uuid REFERENCES mapped.team ON DELETE CASCADE, part uuid REFERENCES mapped.team ON DELETE CASCADE, PRIMARY KEY (team, part));
CREATE INDEX ON mapped.team_team (part);
CREATE TABLE mapped.team_waiting (team uuid REFERENCES mapped.team ON DELETE CASCADE, value text COLLATE "C", PRIMARY KEY (team, value));
RESET ROLE;
TABLES
SELECT scim.create_mapping('mapped_users', 'User', 'mapped.person', owner => 'mapped', attributes => '{
	"userName": "login", "active": "enabled", "displayName": "shown", "nickName": "nick", "profileUrl": "url", "title": "job", "userType": "kind",
	"preferredLanguage": "language", "locale": "locale", "timezone": "zone", "name.givenName": "first", "name.familyName": "last",
	"name.formatted": {"column": "names", "path": "formatted"}, "name.middleName": {"column": "names", "path": "middle"},
	"name.honorificPrefix": {"column": "names", "path": "around.before"}, "name.honorificSuffix": {"column": "names", "path": "around.after"},
	"emails": {"table": "mapped.mail", "parent": "person", "order": "n", "columns": {"value": "address", "display": "text", "type": "label", "primary": "main"}},
	"phoneNumbers": {"column": "data", "path": "phones", "keys": {"value": "number", "display": "text", "type": "label", "primary": "main"}},
	"ims": {"column": "data", "path": "ims", "keys": {"value": "name", "display": "text", "type": "net", "primary": "main"}},
	"photos": {"column": "data", "path": "pictures", "keys": {"value": "url", "display": "text", "type": "size", "primary": "main"}},
	"addresses": {"table": "mapped.place", "parent": "person", "order": "n", "columns": {"formatted": "whole", "streetAddress": "street", "locality": "town", "region": "region",
		"postalCode": "code", "country": "country", "type": "label", "primary": "main"}},
	"entitlements": {"column": "data", "path": "entitlements", "keys": {"value": "value", "display": "text", "type": "label", "primary": "main"}},
	"roles": {"table": "mapped.duty", "parent": "person", "order": "n", "where": {"source": "scim"}, "columns": {"value": "name", "display": "text", "type": "label", "primary": "main"}},
	"x509Certificates": {"column": "data", "path": "certificates", "keys": {"value": "der", "display": "text", "type": "label", "primary": "main"}},
	"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber": "number",
	"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:costCenter": {"column": "dept", "path": "cost center"},
	"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:organization": {"column": "dept", "path": "company"},
	"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:division": {"column": "dept", "path": "division"},
	"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department": {"column": "dept", "path": "name"},
	"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value": "boss"}');
USERS
SELECT scim.create_mapping('mapped_groups', 'Group', 'mapped.team', owner => 'mapped', attributes => '{"displayName": "name", "members": [
	{"table": "mapped.team_person", "parent": "team", "ref": "person", "type": "User"},
	{"table": "mapped.team_team", "parent": "team", "ref": "part", "type": "Group"},
	{"table": "mapped.team_waiting", "parent": "team", "pending": "value"}]}');
GROUPS
CREATE VIEW mapped.users AS SELECT p.org AS tenant, p.id, p.login AS user_name, p.enabled AS active, p.job AS title, p.first AS name_given_name, p.last AS name_family_name,
	p.names ->> 'formatted' AS name_formatted, p.names ->> 'middle' AS name_middle_name, p.names #>> '{around,before}' AS name_honorific_prefix, p.names #>> '{around,after}' AS name_honorific_suffix,
	p.nick AS nick_name, p.shown AS display_name, p.url AS profile_url, p.kind AS user_type, p.language AS preferred_language, p.locale, p.zone AS timezone, p.number AS employee_number, p.boss AS manager_id,
	p.dept ->> 'cost center' AS cost_center, p.dept ->> 'company' AS organization, p.dept ->> 'division' AS division, p.dept ->> 'name' AS department,
	(SELECT s.external_id FROM scim._resource_state s JOIN scim._mappings m ON m.id = s.mapping WHERE m.name = 'mapped_users' AND s.key = p.id::text) AS external_id FROM mapped.person p;
CREATE VIEW mapped.groups AS SELECT t.org AS tenant, t.id, t.name AS display_name,
	(SELECT s.external_id FROM scim._resource_state s JOIN scim._mappings m ON m.id = s.mapping WHERE m.name = 'mapped_groups' AND s.key = t.id::text) AS external_id FROM mapped.team t;
CREATE VIEW mapped.pending AS SELECT t.org AS endpoint, t.id AS group_id, t.name AS display_name, w.value FROM mapped.team t JOIN mapped.team_waiting w ON w.team = t.id;
CREATE VIEW mapped.group_members AS SELECT t.org AS tenant, t.id AS group_id, m.person AS user_id, m.part AS subgroup_id FROM mapped.team t
	JOIN (SELECT team, person, NULL::uuid AS part FROM mapped.team_person UNION ALL SELECT team, NULL, part FROM mapped.team_team) m ON m.team = t.id;
CREATE FUNCTION mapped.add_member() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO mapped.team_person VALUES (NEW.group_id, NEW.user_id); RETURN NEW; END $$;
CREATE TRIGGER add INSTEAD OF INSERT ON mapped.group_members FOR EACH ROW EXECUTE FUNCTION mapped.add_member();
CREATE VIEW mapped.user_emails AS SELECT p.org AS tenant, p.id AS user_id, m.n AS ord, m.address AS value, m.text AS display, m.label AS type, m.main AS is_primary FROM mapped.person p JOIN mapped.mail m ON m.person = p.id;
CREATE VIEW mapped.user_roles AS SELECT p.org AS tenant, p.id AS user_id, m.n AS ord, m.name AS value, m.text AS display, m.label AS type, m.main AS is_primary FROM mapped.person p JOIN mapped.duty m ON m.person = p.id;
CREATE VIEW mapped.user_phone_numbers AS SELECT p.org AS tenant, p.id AS user_id, e.n AS ord, e.v ->> 'number' AS value, e.v ->> 'label' AS type FROM mapped.person p, jsonb_array_elements(p.data -> 'phones') WITH ORDINALITY e(v, n);
CREATE VIEW mapped.user_entitlements AS SELECT p.org AS tenant, p.id AS user_id, e.n AS ord, e.v ->> 'value' AS value FROM mapped.person p, jsonb_array_elements(p.data -> 'entitlements') WITH ORDINALITY e(v, n);
VIEWS
}

# The arguments of scim.create_endpoint for an endpoint of the built-in store.
sub endpoint
{
	my ($name, %args) = @_;
	my $tenant = delete $args{tenant} || $name;
	return (%args, mappings => '{mapped_users,mapped_groups}', scope => qq({"org": "$tenant"}));
}

# Tables of the built-in store by the names of what stands for them.
sub sql
{
	my ($query) = @_;
	$query =~ s/\bscim\.(users|groups|group_members|pending|user_emails|user_roles|user_phone_numbers|user_entitlements)\b/mapped.$1/g;
	return $query;
}

1;
