-- A dateTime without a zone is UTC, whatever the session or the server thinks of zones.
\set VERBOSITY terse
SET client_min_messages = warning;
SELECT scim.setup();
\pset format unaligned
\pset tuples_only on

SELECT scim.create_schema('{"id": "urn:acme:2.0:Shift", "name": "Shift", "attributes": [{"name": "label", "required": true}, {"name": "t", "type": "dateTime"}, {"name": "ts", "type": "dateTime", "multiValued": true},
	{"name": "c", "type": "complex", "multiValued": true, "subAttributes": [{"name": "value"}, {"name": "t", "type": "dateTime"}, {"name": "ts", "type": "dateTime", "multiValued": true}]},
	{"name": "o", "type": "complex", "subAttributes": [{"name": "ts", "type": "dateTime", "multiValued": true}]}]}');
SELECT scim.create_resource_type('Shift', 'urn:acme:2.0:Shift');
SELECT scim.create_endpoint('shifts', mappings => '{shifts}');
CREATE FUNCTION pg_temp.found(f text, more jsonb DEFAULT '{}', e text DEFAULT 'shifts') RETURNS text LANGUAGE sql AS $$
	SELECT CASE WHEN h.status = 200 THEN (SELECT coalesce(string_agg(r ->> 'label', ' '), '-') FROM jsonb_array_elements(h.body::jsonb -> 'Resources') r) ELSE h.status::text END
	FROM scim.handle(e, 'POST', '/Shifts/.search', body => (jsonb_build_object('filter', f) || more)::text) h $$;
-- one moment, in four spellings; and the one an hour later
SET timezone = 'Asia/Tokyo';
SELECT h.status, h.body::json ->> 't' FROM (VALUES ('zone', '2024-01-01T00:00:00Z'), ('none', '2024-01-01T00:00:00'), ('east', '2024-01-01T05:30:00.000+05:30'), ('west', '2023-12-31T16:00:00-08:00'), ('late', '2024-01-01T01:00:00')) v(l, t),
	scim.handle('shifts', 'POST', '/Shifts', body => format('{"label": "%s", "t": "%s", "ts": ["%2$s"], "c": [{"value": "v", "t": "%2$s", "ts": ["%2$s"]}], "o": {"ts": ["%2$s"]}}', l, t)) h;
SELECT z, f, set_config('timezone', z, false) <> '' AND pg_temp.found(f || ' eq "2024-01-01T00:00:00Z"', '{"sortBy": "label"}') = 'east none west zone', pg_temp.found(f || ' gt "2024-01-01T00:00:00"')
	FROM unnest('{Asia/Tokyo,UTC,America/Los_Angeles}'::text[]) z, unnest('{t,ts,c.t,c.ts,o.ts}'::text[]) f;
SELECT s, pg_temp.found('t pr', jsonb_build_object('sortBy', s, 'sortOrder', 'descending', 'count', 1)) FROM unnest('{t,o.ts}'::text[]) s;
SELECT h.body::json ->> 't' FROM scim.handle('shifts', 'GET', '/Shifts?filter=label%20eq%20%22none%22') l, scim.handle('shifts', 'GET', '/Shifts/' || (l.body::json #>> '{Resources,0,id}')) h;

-- texts of a table of one's own, in the server's spelling, too
CREATE ROLE scim_regress_time;
CREATE TABLE shifts (id text PRIMARY KEY, t text, plain text);
INSERT INTO shifts VALUES ('zone', '2024-01-01 00:00:00+00', '2024-01-01T00:00:00Z'), ('none', '2024-01-01 00:00:00', '2024-01-01T00:00:00'), ('date', '2024-01-01', NULL), ('east', '2024-01-01 05:30:00+05:30', '2024-01-01T05:30:00+05:30'), ('ever', 'infinity', NULL);
ALTER TABLE shifts OWNER TO scim_regress_time;
GRANT EXECUTE ON FUNCTION scim.fold(text) TO scim_regress_time;
SELECT scim.create_mapping('own_shifts', 'Shift', 'shifts', key => 'id', owner => 'scim_regress_time', attributes => '{"label": "id", "t": {"column": "t", "time": "iso"}}');
SELECT scim.create_mapping('own_plain', 'Shift', 'shifts', key => 'id', owner => 'scim_regress_time', attributes => '{"label": "id", "t": "plain"}');
SELECT scim.create_endpoint('own_shifts', mappings => '{own_shifts}'), scim.create_endpoint('own_plain', mappings => '{own_plain}');
SELECT r ->> 'label', r ->> 't' FROM scim.handle('own_shifts', 'GET', '/Shifts') h, jsonb_array_elements(h.body::jsonb -> 'Resources') r ORDER BY 1;
SELECT e, pg_temp.found('t eq "2024-01-01T00:00:00Z"', '{"sortBy": "label"}', e) FROM unnest('{own_shifts,own_plain}'::text[]) e;
RESET timezone;

SELECT scim.drop_endpoint('own_shifts'), scim.drop_endpoint('own_plain'), scim.drop_mapping('own_shifts'), scim.drop_mapping('own_plain');
DROP TABLE shifts;
DROP OWNED BY scim_regress_time;
DROP ROLE scim_regress_time;
DELETE FROM scim.resources WHERE tenant = 'shifts';
SELECT scim.drop_endpoint('shifts'), scim.drop_resource_type('Shift'), scim.drop_schema('urn:acme:2.0:Shift');
