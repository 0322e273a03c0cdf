-- The filters' vectors on tables that hold everything in another way than the
-- built-in store: documents, arrays, lists, codes, numbers for times, rows of
-- other tables.  The resources are written by requests, so that every form is
-- written as well as read.
\set VERBOSITY terse
SET client_min_messages = warning;
SELECT scim.setup();
CREATE ROLE scim_regress_vectors;
CREATE SCHEMA vec AUTHORIZATION scim_regress_vectors;
\set vectors `cat test/data/filter-vectors.json`
CREATE TEMP TABLE file AS SELECT :'vectors'::jsonb AS f;
SELECT scim.create_schema(s, 'User') FROM file, jsonb_array_elements(f -> 'fixtureSchemas') s;
SET ROLE scim_regress_vectors;
CREATE SEQUENCE vec.ids;
CREATE TABLE vec.people (
	id text PRIMARY KEY DEFAULT 'p' || nextval('vec.ids'),
	login text NOT NULL UNIQUE, display text NOT NULL DEFAULT '-', status char(1) NOT NULL DEFAULT '?', kind text,
	name jsonb, contact json, work text, badge jsonb NOT NULL DEFAULT '{"x": {"y": 1}}',
	issued bigint, code varchar(10), tags text[], roles text[], admin boolean NOT NULL DEFAULT false, level int NOT NULL DEFAULT -1,
	made bigint NOT NULL, changed timestamp NOT NULL);
CREATE TABLE vec.profile (person text PRIMARY KEY REFERENCES vec.people ON UPDATE CASCADE ON DELETE CASCADE, title text, locale text, score numeric);
CREATE TABLE vec.more (person text REFERENCES vec.people ON UPDATE CASCADE ON DELETE CASCADE, key text, value text NOT NULL, PRIMARY KEY (person, key));
CREATE TABLE vec.address (person text REFERENCES vec.people ON UPDATE CASCADE ON DELETE CASCADE, n int, kind int, locality text, region text, code text, country char(2), PRIMARY KEY (person, n));
CREATE TABLE vec.slot (person text REFERENCES vec.people ON UPDATE CASCADE ON DELETE CASCADE, n int, value text, rank int, since int, main boolean, PRIMARY KEY (person, n));
CREATE TABLE vec.phone (person text REFERENCES vec.people ON UPDATE CASCADE ON DELETE CASCADE, number text NOT NULL, type text NOT NULL);
RESET ROLE;
SELECT scim.create_mapping('vec', 'User', 'vec.people', attributes => '{
	"userName": "login",
	"externalId": {"column": "badge", "path": "external.id"},
	"displayName": {"column": "display", "null": "-"},
	"active": {"column": "status", "codes": {"A": true, "D": false}, "null": "?"},
	"userType": "kind",
	"nickName": {"table": "vec.more", "parent": "person", "where": {"key": "nick"}, "column": "value"},
	"title": {"table": "vec.profile", "parent": "person", "column": "title"},
	"locale": {"table": "vec.profile", "parent": "person", "column": "locale"},
	"profileUrl": {"table": "vec.more", "parent": "person", "where": {"key": "url"}, "column": "value"},
	"preferredLanguage": {"column": "name", "path": "lang"},
	"name.formatted": {"column": "name", "path": "full"}, "name.familyName": {"column": "name", "path": "parts.family"}, "name.givenName": {"column": "name", "path": "parts.given"},
	"name.middleName": {"column": "name", "path": "parts.middle"}, "name.honorificPrefix": {"column": "name", "path": "prefix"}, "name.honorificSuffix": {"column": "name", "path": "suffix"},
	"emails": {"column": "contact", "path": "mail", "keys": {"value": "address", "type": "label", "primary": "main"}},
	"ims": {"column": "contact", "path": "ims", "keys": {"value": "id", "type": "net", "display": "text", "primary": "main"}},
	"phoneNumbers": [{"table": "vec.phone", "parent": "person", "columns": {"value": "number"}, "where": {"type": "w"}, "fixed": {"type": "work"}},
		{"table": "vec.phone", "parent": "person", "columns": {"value": "number"}, "where": {"type": "m"}, "fixed": {"type": "mobile"}},
		{"table": "vec.phone", "parent": "person", "columns": {"value": "number"}, "where": {"type": "f"}, "fixed": {"type": "fax"}}],
	"addresses": {"table": "vec.address", "parent": "person", "order": "n", "columns": {"type": {"column": "kind", "codes": {"1": "work", "2": "home", "3": "other"}}, "locality": "locality", "region": "region", "postalCode": "code", "country": "country"}},
	"roles": {"column": "contact", "path": "roles", "keys": {"value": "v", "type": "t", "primary": "p"}},
	"entitlements": "roles",
	"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:employeeNumber": {"column": "work", "path": "number"},
	"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:costCenter": {"column": "work", "path": "cost center"},
	"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department": {"column": "work", "path": ["dep", "name"]},
	"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value": {"column": "work", "path": ["dep", "manager"]},
	"urn:example:params:scim:schemas:extension:badge:2.0:User:level": {"column": "level", "null": -1},
	"urn:example:params:scim:schemas:extension:badge:2.0:User:score": {"table": "vec.profile", "parent": "person", "column": "score"},
	"urn:example:params:scim:schemas:extension:badge:2.0:User:issued": {"column": "issued", "time": "epoch_ms"},
	"urn:example:params:scim:schemas:extension:badge:2.0:User:visible": {"column": "badge", "path": "visible"},
	"urn:example:params:scim:schemas:extension:badge:2.0:User:code": "code",
	"urn:example:params:scim:schemas:extension:badge:2.0:User:tags": "tags",
	"urn:example:params:scim:schemas:extension:badge:2.0:User:photo": {"column": "badge", "path": "x.photo"},
	"urn:example:params:scim:schemas:extension:badge:2.0:User:slots": {"table": "vec.slot", "parent": "person", "order": "n", "columns": {"value": "value", "rank": "rank", "since": {"column": "since", "time": "epoch"}, "primary": "main"}},
	"meta.created": {"column": "made", "time": "epoch"}, "meta.lastModified": "changed"
}', owner => 'scim_regress_vectors');
SELECT severity, subject, problem FROM scim.check_mapping('vec');
SELECT scim.create_endpoint('compat', mappings => '{vec}', public_url => 'https://example.com/scim/v2');
SELECT scim.create_endpoint('strict', mappings => '{vec}', public_url => 'https://example.com/scim/v2', mode => 'strict');
CREATE TEMP TABLE fixture AS
	SELECT r ->> 'id' AS id, r ->> 'userName' AS user_name, r AS resource, r - '{id,meta,groups}'::text[] AS wanted
	  FROM file, jsonb_array_elements(f -> 'resources') r;

CREATE TEMP TABLE made AS SELECT f.id, f.wanted, h.status, h.body::jsonb AS body FROM fixture f, scim.handle('compat', 'POST', '/Users', '{}', wanted::text) h;
SELECT status, count(*) FROM made GROUP BY 1;
SELECT id, body ->> 'detail' FROM made WHERE status <> 201;
-- what was answered is what was wanted, but for what the mapping has no place for
CREATE FUNCTION pg_temp.state(j jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	IF jsonb_typeof(j) = 'object' THEN
		RETURN coalesce((SELECT jsonb_object_agg(k, s) FROM jsonb_each(j) e(k, v), pg_temp.state(v) s
			WHERE s NOT IN ('null', '[]', '{}', 'false') AND k NOT IN ('id', 'meta', '$ref', 'schemas', 'serial', 'computed')
			  AND NOT (k = 'displayName' AND j ? 'value')), '{}');
	ELSIF jsonb_typeof(j) = 'array' THEN
		RETURN coalesce((SELECT jsonb_agg(s ORDER BY s) FROM jsonb_array_elements(j) v, pg_temp.state(v) s), '[]');
	END IF;
	IF j #>> '{}' ~ '^\d{4}-\d\d-\d\dT' THEN
		RETURN to_jsonb((j #>> '{}')::timestamptz AT TIME ZONE 'UTC');
	END IF;
	RETURN j;
END $$;
SELECT id, pg_temp.state(wanted) AS wanted, pg_temp.state(body) AS stored FROM made WHERE pg_temp.state(wanted) <> pg_temp.state(body) ORDER BY 1;
SELECT login, display, status, name, contact, work, badge, issued, tags, roles, level FROM vec.people WHERE login IN ('bjensen', 'zed');
-- a PUT of what is stored writes nothing
SELECT count(*) FILTER (WHERE h.status = 200), count(*) FILTER (WHERE h.body::jsonb -> 'meta' = m.body -> 'meta') AS same FROM made m,
	scim.handle('compat', 'PUT', '/Users/' || (m.body ->> 'id'), '{}', wanted::text) h;

UPDATE vec.people p SET id = f.id, made = extract(epoch FROM (resource -> 'meta' ->> 'created')::timestamptz), changed = (resource -> 'meta' ->> 'lastModified')::timestamptz AT TIME ZONE 'UTC'
  FROM fixture f WHERE f.user_name = p.login;
CREATE FUNCTION pg_temp.percent(t text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT string_agg('%' || upper(encode(substring(convert_to(t, 'UTF8') FROM i FOR 1), 'hex')), '' ORDER BY i)
	  FROM generate_series(1, octet_length(t)) i
$$;
SET timezone = 'Asia/Kathmandu';
CREATE TEMP TABLE run AS
	SELECT v ->> 'id' AS id, m.mode, v ->> 'filter' AS filter, v -> 'matches' AS matches, v -> 'error' AS error,
		h.status, h.body::jsonb AS body, (SELECT jsonb_agg(r ->> 'id' ORDER BY r ->> 'id') FROM jsonb_array_elements(h.body::jsonb -> 'Resources') r) AS found
	  FROM file, jsonb_array_elements(f -> 'vectors') v,
		(VALUES ('strict'), ('compat')) m(mode),
		scim.handle(m.mode, 'GET', '/Users?count=100&attributes=userName&filter=' || coalesce(pg_temp.percent(v ->> 'filter'), '')) h
	 WHERE (v ->> 'mode' = m.mode OR (m.mode = 'compat' AND v ->> 'mode' = 'strict' AND (v ->> 'strictOnly') IS DISTINCT FROM 'true'))
	   AND v ->> 'filter' !~* '\mgroups|serial|computed|meta.version|manager.displayName'
	   AND v ->> 'filter' <> '';
SELECT mode, count(*) FILTER (WHERE error IS NULL) AS queries, count(*) FILTER (WHERE error IS NOT NULL) AS errors FROM run GROUP BY 1 ORDER BY 1;
-- what differs: nothing
SELECT id, mode, filter, status, body ->> 'detail' AS detail, found, matches FROM run
 WHERE error IS NULL AND (status <> 200 OR coalesce(found, '[]') IS DISTINCT FROM matches) ORDER BY 1, 2;
SELECT id, mode, filter, status, body ->> 'scimType' AS scim_type FROM run
 WHERE error IS NOT NULL AND (status <> 400 OR body ->> 'scimType' <> error ->> 'scimType') ORDER BY 1, 2;
RESET timezone;

SELECT (SELECT count(*) FROM vec.more) > 0 AS more, count(*) FROM vec.people, scim.handle('compat', 'DELETE', '/Users/' || id) h WHERE h.status = 204;
SELECT (SELECT count(*) FROM vec.people) + (SELECT count(*) FROM vec.more) + (SELECT count(*) FROM vec.address) AS left;
SELECT scim.drop_endpoint('compat'), scim.drop_endpoint('strict'), scim.drop_mapping('vec');
SELECT scim.drop_schema(s ->> 'id') FROM file, jsonb_array_elements(f -> 'fixtureSchemas') s;
DROP SCHEMA vec CASCADE;
REVOKE ALL ON SCHEMA scim FROM scim_regress_vectors;
REVOKE ALL ON FUNCTION scim.fold(text) FROM scim_regress_vectors;
REVOKE ALL ON TABLE scim.resource_state FROM scim_regress_vectors;
DROP ROLE scim_regress_vectors;
