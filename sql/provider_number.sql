-- Numbers: what is given out can be sent back; what a column holds of more digits than a request may have keeps nobody from changing the rest.
\set VERBOSITY terse
SET client_min_messages = warning;
SELECT scim.setup();
\pset format unaligned
\pset tuples_only on

SELECT scim.create_schema('{"id": "urn:acme:2.0:Meter", "name": "Meter", "attributes": [{"name": "serial", "required": true}, {"name": "d", "type": "decimal"}, {"name": "n", "type": "integer"}, {"name": "ds", "type": "decimal", "multiValued": true},
	{"name": "c", "type": "complex", "multiValued": true, "subAttributes": [{"name": "d", "type": "decimal"}, {"name": "more", "type": "decimal", "multiValued": true}]}]}');
SELECT scim.create_resource_type('Meter', 'urn:acme:2.0:Meter');
SELECT scim.create_endpoint('meters', mappings => '{meters}');
CREATE FUNCTION pg_temp.again(d text) RETURNS TABLE (value text, created int, given text, put int, same boolean, found text) LANGUAGE plpgsql AS $$
DECLARE
	made record; got record; back record; sought record;
BEGIN
	made := scim.handle('meters', 'POST', '/Meters', body => format('{"serial": "s", "d": %s, "ds": [%1$s], "c": [{"d": %1$s, "more": [%1$s, 2.5]}]}', d));
	IF made.status <> 201 THEN
		RETURN QUERY SELECT d, made.status, made.body::jsonb ->> 'detail', NULL::int, NULL::boolean, NULL;
		RETURN;
	END IF;
	got := scim.handle('meters', 'GET', '/Meters/' || (made.body::json ->> 'id'));
	back := scim.handle('meters', 'PUT', '/Meters/' || (made.body::json ->> 'id'), body => got.body);
	sought := scim.handle('meters', 'POST', '/.search', body => json_build_object('filter', format('d eq %s and ds eq %1$s and c.d eq %1$s and c.more eq %1$s', d))::text);
	RETURN QUERY SELECT d, made.status, concat_ws(' ', got.body::json ->> 'd', got.body::json ->> 'ds', got.body::json ->> 'c'), back.status, back.headers ->> 'ETag' = made.headers ->> 'ETag', sought.body::json ->> 'totalResults';
	PERFORM scim.handle('meters', 'DELETE', '/Meters/' || (made.body::json ->> 'id'));
END $$;
SELECT a.* FROM unnest('{0,-0.0,1,1.0,0.1,-1.5,1e2,1E+2,100000000000000000000.0,1e20,-1e20,123456789012345e30,1e308,1.7e308,1e-300,0.000001,1e-7,9007199254740993,9223372036854775807,9223372036854775808,12345678901234567.5,1e309,1e-400}'::text[]) d, pg_temp.again(d) a;

-- a table of one's own holds more digits
CREATE ROLE scim_regress_number;
CREATE TABLE meters (id text PRIMARY KEY, serial text, d numeric, n numeric);
INSERT INTO meters VALUES ('1', 'T1', 123456789012345678.123456789, 1), ('2', 'T2', 12345678901234567890, 2), ('3', 'T3', 1.10, 12345678901234567890), ('4', 'T4', 'NaN', NULL);
ALTER TABLE meters OWNER TO scim_regress_number;
SELECT scim.create_mapping('own_meters', 'Meter', 'meters', key => 'id', owner => 'scim_regress_number', attributes => '{"serial": "serial", "d": "d", "n": "n"}', options => '{"state": false}');
SELECT scim.create_endpoint('own_meters', mappings => '{own_meters}');
SELECT h.status, h.body::json ->> 'd', h.body::json ->> 'n' FROM generate_series(1, 4) i, scim.handle('own_meters', 'GET', '/Meters/' || i) h;
SELECT i, h.status, h.body::json ->> 'detail' FROM generate_series(1, 4) i, scim.handle('own_meters', 'PATCH', '/Meters/' || i, body => '{"Operations": [{"op": "replace", "path": "serial", "value": "new"}]}') h;
SELECT i, h.status, h.body::json ->> 'detail' FROM generate_series(1, 2) i, scim.handle('own_meters', 'PUT', '/Meters/' || i, body => format('{"serial": "put", "n": %s}', i)) h;
SELECT i, h.status, h.body::json ->> 'detail' FROM generate_series(1, 2) i, scim.handle('own_meters', 'PATCH', '/Meters/' || i, body => '{"Operations": [{"op": "replace", "path": "d", "value": 7.5}]}') h;
SELECT * FROM meters ORDER BY id;

SELECT scim.drop_endpoint('own_meters'), scim.drop_mapping('own_meters');
DROP TABLE meters;
DROP OWNED BY scim_regress_number;
DROP ROLE scim_regress_number;
SELECT scim.drop_endpoint('meters'), scim.drop_resource_type('Meter'), scim.drop_schema('urn:acme:2.0:Meter');
