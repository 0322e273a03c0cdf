-- Sub-attributes with several values (RFC 7643 2.3.8: a sub-attribute is simple, and may be multi-valued).
\set VERBOSITY terse
SET client_min_messages = warning;
SELECT scim.setup();
\set show_context never
\pset format unaligned
\pset tuples_only on

CREATE FUNCTION pg_temp.r(m text, p text, b jsonb DEFAULT NULL, e text DEFAULT 'several') RETURNS text LANGUAGE sql AS $$
	SELECT h.status || ' ' || coalesce(CASE WHEN h.status >= 400 THEN h.body::jsonb ->> 'detail' ELSE (h.body::jsonb - '{id,schemas,meta,userName}'::text[])::text END, '')
	FROM scim.handle(e, m, p, body => b::text) h $$;
CREATE FUNCTION pg_temp.found(filter text, more jsonb DEFAULT '{}', e text DEFAULT 'several', p text DEFAULT '/Gadgets') RETURNS text LANGUAGE sql AS $$
	SELECT CASE WHEN h.status = 200 THEN (SELECT coalesce(string_agg(coalesce(r ->> 'serial', r ->> 'userName'), ' '), '-') FROM jsonb_array_elements(h.body::jsonb -> 'Resources') r)
		ELSE h.status || ' ' || (h.body::jsonb ->> 'detail') END
	FROM scim.handle(e, 'POST', p || '/.search', body => (jsonb_build_object('filter', filter) || more)::text) h $$;
CREATE FUNCTION pg_temp.patch(op text, path text, value jsonb DEFAULT NULL) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('Operations', jsonb_build_array(jsonb_strip_nulls(jsonb_build_object('op', op, 'path', path, 'value', value)))) $$;

SELECT scim.create_schema('{"id": "urn:acme:2.0:Gadget", "name": "Gadget", "attributes": [
	{"name": "serial", "required": true, "uniqueness": "server"},
	{"name": "place", "type": "complex", "subAttributes": [{"name": "room"}, {"name": "tags", "multiValued": true}, {"name": "floors", "type": "integer", "multiValued": true},
		{"name": "open", "type": "boolean", "multiValued": true}, {"name": "seen", "type": "dateTime", "multiValued": true}, {"name": "codes", "multiValued": true, "caseExact": true, "uniqueness": "server"}]},
	{"name": "disks", "type": "complex", "multiValued": true, "subAttributes": [{"name": "value"}, {"name": "labels", "multiValued": true}, {"name": "sizes", "type": "decimal", "multiValued": true},
		{"name": "primary", "type": "boolean"}]}]}');
SELECT scim.create_schema('{"id": "urn:acme:badge:2.0:User", "name": "Badge", "attributes": [
	{"name": "badge", "type": "complex", "subAttributes": [{"name": "value"}, {"name": "doors", "multiValued": true}]}]}');
SELECT scim.create_resource_type('Gadget', 'urn:acme:2.0:Gadget');
SELECT scim.create_store_mapping('badged', 'User');
SELECT scim.create_endpoint('several', base_path => '/several', mappings => '{badged,gadgets}');
SELECT scim.create_endpoint('several_strict', base_path => '/several_strict', mappings => '{badged,gadgets}', mode => 'strict');
SELECT s ->> 'name', s ->> 'multiValued' FROM scim.handle('several', 'GET', '/Schemas/urn:acme:2.0:Gadget') h, jsonb_path_query(h.body::jsonb, '$.attributes[*].subAttributes[*]') s WHERE s ->> 'multiValued' = 'true';

-- ---- written and read ----
SELECT pg_temp.r('POST', '/Gadgets', '{"serial": "G1", "place": {"room": "r", "tags": ["b", "a", "A", "x\"y\\z"], "floors": [3, 1], "open": [true], "seen": ["2024-01-01T00:00:00Z"], "codes": ["C1", "c1"]},
	"disks": [{"value": "d1", "labels": ["x", "y"], "sizes": [1.5, 2], "primary": true}, {"value": "d2"}]}');
SELECT pg_temp.r('POST', '/Gadgets', '{"serial": "G2", "place": {"tags": ["c"], "floors": [2, 9], "open": [false], "seen": ["2023-12-31T23:30:00-02:00"]}, "disks": [{"value": "d1", "labels": ["z"], "sizes": [10]}]}');
SELECT pg_temp.r('POST', '/Gadgets', '{"serial": "G3", "place": {"room": "q", "tags": []}, "disks": [{"labels": []}]}');
SELECT pg_temp.r('POST', '/Gadgets', '{"serial": "G4", "place": {"tags": "single"}}');
SELECT id AS g1 FROM scim.resources WHERE attributes ->> 'serial' = 'G1' \gset
SELECT pg_temp.r('GET', '/Gadgets/' || :'g1');
SELECT pg_temp.r('GET', '/Gadgets/' || :'g1' || '?attributes=place.tags,disks.labels');
SELECT pg_temp.r('GET', '/Gadgets/' || :'g1' || '?excludedAttributes=place.tags,disks.labels,place.floors');
SELECT pg_temp.r('POST', '/Users', '{"userName": "ann", "urn:acme:badge:2.0:User": {"badge": {"value": "7", "doors": ["north", "south"]}}}');
SELECT pg_temp.r('PUT', '/Users/' || id, '{"userName": "ann", "urn:acme:badge:2.0:User": {"badge": {"doors": ["south"]}}}') FROM scim.users WHERE tenant = 'several';

-- ---- refused ----
SELECT pg_temp.r('POST', '/Gadgets', jsonb_build_object('serial', 'G9') || b) FROM unnest(ARRAY['{"place": {"tags": [["a"]]}}', '{"place": {"tags": [{"value": "a"}]}}', '{"place": {"floors": ["1"]}}', '{"place": {"floors": [1.5]}}',
	'{"disks": [{"labels": [true]}]}', '{"place": {"codes": ["x", "C1"]}}']::jsonb[]) b;
SELECT pg_temp.r('POST', '/Gadgets', '{"schemas": ["urn:acme:2.0:Gadget"], "serial": "G9", "place": {"tags": "single"}}', 'several_strict');

-- ---- filters: as SQL and in memory ----
CREATE TEMP TABLE filters AS SELECT f FROM unnest(ARRAY['place.tags eq "A"', 'place.tags eq "C"', 'place.tags ne "c"', 'place.tags sw "x"', 'place.tags co "\"y\\"', 'place.tags gt "b"', 'place.tags pr', 'not (place.tags pr)', 'place.tags eq null', 'place.tags ne null', 'not (place.tags eq "a")',
	'place.tags eq "a" and place.tags eq "b"', 'place[tags eq "a" and room eq "R"]', 'place[tags eq "c" and room pr]', 'place.floors gt 2', 'place.floors eq 1', 'place.floors ne 3', 'place.open eq true', 'place.open eq false', 'place.seen ge "2024-01-01T01:00:00+01:00"', 'place.codes eq "c1"', 'place.codes eq "C2"',
	'disks.labels eq "Y"', 'disks.labels ne "z"', 'disks[value eq "d1" and labels eq "y"]', 'disks[value eq "d2" and labels eq "y"]', 'disks[value eq "d1" and not (labels eq "x")]', 'disks[labels pr]', 'disks[not (labels pr)]', 'disks.labels pr', 'disks.sizes lt 2', 'disks[sizes ge 2 and sizes lt 2]',
	'place.tags eq 5', 'place.floors co "1"', 'place pr', 'not (place pr)']) f;
SELECT f, pg_temp.found(f, '{"sortBy": "serial"}') FROM filters;
SELECT f, pg_temp.found(f, '{"sortBy": "serial"}') AS sql, m.memory FROM filters, LATERAL (SELECT coalesce(string_agg(r ->> 'serial', ' ' ORDER BY r ->> 'serial'), '-') AS memory
		FROM scim.handle('several', 'GET', '/Gadgets') h, jsonb_array_elements(h.body::jsonb -> 'Resources') r WHERE scim.filter_matches('Gadget', r, f)) m
	WHERE f !~ '(eq 5|co "1")' AND m.memory <> pg_temp.found(f, '{"sortBy": "serial"}');
SELECT pg_temp.found('urn:acme:badge:2.0:User:badge.doors eq "SOUTH"', p => '/Users'), pg_temp.found('urn:acme:badge:2.0:User:badge[doors eq "north"]', p => '/Users');
SELECT s, pg_temp.found(s || ' pr', jsonb_build_object('sortBy', s)), pg_temp.found(s || ' pr', jsonb_build_object('sortBy', s, 'sortOrder', 'descending')) FROM unnest('{place.tags,place.floors,place.open,place.seen,disks.labels,disks.sizes}'::text[]) s;
-- one statement
SELECT f, count(*) FILTER (WHERE s ~ 'jsonb_array_elements_text') FROM unnest(ARRAY['disks[value eq "d1" and labels eq "y"]', 'place.tags eq "a"']) f, LATERAL (SELECT split_part(s, E'\n', 1) AS s FROM scim.explain('several', 'Gadget', f) s LIMIT 1) x GROUP BY f ORDER BY f;

-- ---- changed ----
SELECT op, path, value, pg_temp.r('PATCH', '/Gadgets/' || :'g1' || '?attributes=place.tags,disks.labels', pg_temp.patch(op, path, value)) FROM (VALUES
	('add', 'place.tags', '"d"'::jsonb), ('add', 'place.tags', '["D", "e"]'), ('add', 'place', '{"tags": ["f"]}'), ('replace', 'place.tags', '["t"]'), ('remove', 'place.tags', NULL), ('add', 'place.tags', '"u"'), ('replace', 'place.tags', '[]'),
	('add', 'disks[value eq "d1"].labels', '["w"]'), ('replace', 'disks[value eq "d2"].labels', '"v"'), ('add', 'disks[labels eq "V"].labels', '["V", "vv"]'), ('remove', 'disks[labels eq "x"].labels', NULL),
	('add', 'disks.labels', '["all"]'), ('remove', 'disks[labels eq "vv"]', NULL), ('replace', 'place.floors', '["x"]')) v(op, path, value);
-- the same is no change
SELECT (a).headers ->> 'ETag' = (b).headers ->> 'ETag' FROM (SELECT scim.handle('several', 'GET', '/Gadgets/' || :'g1') AS a, scim.handle('several', 'PATCH', '/Gadgets/' || :'g1', body => pg_temp.patch('add', 'disks.labels', '["ALL"]')::text) AS b) x;
-- a value that has gone is free
SELECT pg_temp.r('PATCH', '/Gadgets/' || :'g1' || '?attributes=place.codes', pg_temp.patch('replace', 'place.codes', '["c1"]'));
SELECT left(pg_temp.r('POST', '/Gadgets', '{"serial": "G5", "place": {"codes": ["C1"]}}'), 3);
SELECT left(pg_temp.r('DELETE', '/Gadgets/' || :'g1'), 3);

-- ---- in documents of a table of one's own ----
CREATE ROLE scim_regress_several;
CREATE TABLE gadgets (id text PRIMARY KEY, serial text, doc jsonb, tags text[]);
ALTER TABLE gadgets OWNER TO scim_regress_several;
INSERT INTO gadgets VALUES ('1', 'T1', '{"where": {"tags": ["a", 7, null, "b"], "floors": [1, "2"]}, "disks": [{"v": "d", "l": ["x"]}, {"v": "e", "l": "no array"}, {"v": "f", "l": []}]}'), ('2', 'T2', NULL), ('3', 'T3', '{"where": {"tags": "a"}, "disks": {}}');
SELECT scim.create_mapping('own_gadgets', 'Gadget', 'gadgets', key => 'id', owner => 'scim_regress_several', attributes => '{"serial": "serial", "place.tags": {"column": "doc", "path": "where.tags"},
	"place.floors": {"column": "doc", "path": "where.floors"}, "disks": {"column": "doc", "path": "disks", "keys": {"value": "v", "labels": "l"}}}');
GRANT EXECUTE ON FUNCTION scim.fold(text) TO scim_regress_several;
SELECT scim.create_endpoint('own_several', mappings => '{own_gadgets}');
SELECT r - '{meta,schemas}'::text[] FROM scim.handle('own_several', 'GET', '/Gadgets') h, jsonb_array_elements(h.body::jsonb -> 'Resources') r;
SELECT f, pg_temp.found(f, e => 'own_several') FROM unnest(ARRAY['place.tags eq "B"', 'place.floors eq 2', 'place.floors pr', 'disks.labels eq "x"', 'disks[not (labels pr)]']) f;
SELECT pg_temp.r('PATCH', '/Gadgets/3', pg_temp.patch('add', 'place.tags', '["n"]'), 'own_several');
SELECT pg_temp.r('PATCH', '/Gadgets/1', pg_temp.patch('add', 'disks[value eq "f"].labels', '["n"]'), 'own_several');
SELECT doc FROM gadgets ORDER BY id;
-- elsewhere they have no place
SELECT scim.create_mapping('bad_gadgets', 'Gadget', 'gadgets', key => 'id', owner => 'scim_regress_several', attributes => '{"serial": "serial", "place.tags": "serial"}');
SELECT scim.create_mapping('bad_gadgets', 'Gadget', 'gadgets', key => 'id', owner => 'scim_regress_several', attributes => '{"serial": "serial", "place.tags": {"column": "doc", "path": "x", "codes": {"a": "b"}}}');
SELECT scim.create_mapping('bad_gadgets', 'Gadget', 'gadgets', key => 'id', owner => 'scim_regress_several', attributes => '{"serial": "serial", "disks[labels eq \"x\"].value": "serial"}');
SELECT scim.create_mapping('bad_gadgets', 'Gadget', 'gadgets', key => 'id', owner => 'scim_regress_several', attributes => '{"serial": "serial", "disks": {"table": "public.gadgets", "parent": "id", "columns": {"labels": "tags"}}}');

SELECT scim.drop_endpoint('own_several'), scim.drop_mapping('own_gadgets');
DROP TABLE gadgets;
DROP OWNED BY scim_regress_several;
DROP ROLE scim_regress_several;
-- ---- the index of docs/types.md serves a filter ----
INSERT INTO scim.resources (tenant, resource_type, attributes) SELECT 'several', 'Gadget', jsonb_build_object('serial', 'I' || i, 'place', jsonb_build_object('room', 'r' || i)) FROM generate_series(1, 2000) i;
CREATE INDEX gadgets_room ON scim.resources (tenant, scim.fold(attributes #>> '{place,room}') COLLATE "C");
ANALYZE scim.resources;
SELECT f, bool_or(s ~ 'Index .*gadgets_room') FROM unnest(ARRAY['place.room eq "R77"', 'place.room sw "r77"', 'place.room co "77"', 'place[room eq "r77" and tags pr]', 'not (place.room eq "r77")']) f, scim.explain('several', 'Gadget', f) s GROUP BY f ORDER BY f COLLATE "C";
DROP INDEX scim.gadgets_room;

SELECT scim.drop_endpoint('several'), scim.drop_endpoint('several_strict'), scim.drop_mapping('badged');
DELETE FROM scim.resources WHERE tenant LIKE 'several%';
DELETE FROM scim.users WHERE tenant LIKE 'several%';
SELECT scim.drop_resource_type('Gadget');
SELECT scim.drop_schema('urn:acme:2.0:Gadget'), scim.drop_schema('urn:acme:badge:2.0:User');
