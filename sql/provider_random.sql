-- psql -v seed=0.2 -v n=2000 for another run, or a longer one.
-- Random resources of a type that has everything a schema can say: what SQL finds is what is found in memory, what PATCH stores is what core makes of it.
\if :{?seed}
\else
	\set seed 0.5
	\set n 250
\endif
\set VERBOSITY terse
\set show_context never
SET client_min_messages = warning;
SELECT scim.setup();
\pset format unaligned
\pset tuples_only on

SELECT scim.create_schema('{"id": "urn:acme:2.0:Any", "name": "Any", "attributes": [{"name": "s"}, {"name": "x", "caseExact": true}, {"name": "n", "type": "integer"}, {"name": "d", "type": "decimal"}, {"name": "b", "type": "boolean"}, {"name": "t", "type": "dateTime"},
	{"name": "u", "type": "reference", "referenceTypes": ["uri"]}, {"name": "ss", "multiValued": true}, {"name": "ns", "type": "integer", "multiValued": true}, {"name": "bs", "type": "boolean", "multiValued": true}, {"name": "ts", "type": "dateTime", "multiValued": true},
	{"name": "c", "type": "complex", "subAttributes": [{"name": "s"}, {"name": "n", "type": "integer"}, {"name": "t", "type": "dateTime"}, {"name": "ss", "multiValued": true}, {"name": "ns", "type": "integer", "multiValued": true}]},
	{"name": "m", "type": "complex", "multiValued": true, "subAttributes": [{"name": "value"}, {"name": "type"}, {"name": "primary", "type": "boolean"}, {"name": "n", "type": "integer"}, {"name": "t", "type": "dateTime"}, {"name": "x", "caseExact": true}, {"name": "ss", "multiValued": true}]},
	{"name": "a", "type": "complex", "multiValued": true, "subAttributes": [{"name": "s"}, {"name": "n", "type": "integer"}, {"name": "ns", "type": "integer", "multiValued": true}]}]}');
SELECT scim.create_schema('{"id": "urn:acme:more:2.0:Any", "name": "More", "attributes": [{"name": "s"}, {"name": "ss", "multiValued": true}, {"name": "c", "type": "complex", "subAttributes": [{"name": "n", "type": "integer"}]}]}');
SELECT scim.create_resource_type('Any', 'urn:acme:2.0:Any', endpoint => '/Any', extensions => '{"urn:acme:more:2.0:Any": false}');
SELECT scim.create_endpoint('any', mappings => '{any}');

-- ---- what may be in it ----
CREATE FUNCTION pg_temp.one_of(VARIADIC a text[]) RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT a[1 + floor(random() * cardinality(a))::int] $$;
-- a value of a kind, as JSON: s(tring), x, n(umber), d(ecimal), b(oolean), t(ime), u(ri)
CREATE FUNCTION pg_temp.value(kind text) RETURNS jsonb LANGUAGE plpgsql VOLATILE AS $$
BEGIN
	RETURN CASE left(kind, 1)
		WHEN 'n' THEN pg_temp.one_of('0', '1', '2', '-7', '9223372036854775807')
		WHEN 'd' THEN pg_temp.one_of('0', '0.5', '1', '-2.25', '123456.789')
		WHEN 'b' THEN pg_temp.one_of('true', 'false')
		WHEN 't' THEN pg_temp.one_of('"2024-01-01T00:00:00Z"', '"2024-01-01T01:00:00+01:00"', '"2024-06-30T23:59:59.5Z"', '"2024-01-01T00:00:00"', '"0001-01-01T00:00:00Z"')
		WHEN 'u' THEN pg_temp.one_of('"urn:x:a"', '"https://example.org/A"', '"https://example.org/a"')
		ELSE pg_temp.one_of('"a"', '"A"', '"ab"', '"b"', '"straße"', '"STRASSE"', '"é"', '"É"', '"a\"b\\c"', '"%"', '"_"', '"a b"', '"😀"', '"z,y"')
	END;
END $$;
CREATE FUNCTION pg_temp.several(kind text) RETURNS jsonb LANGUAGE sql VOLATILE AS $$ SELECT coalesce(jsonb_agg(pg_temp.value(kind)), '[]') FROM generate_series(1, floor(random() * 4)::int) $$;
CREATE FUNCTION pg_temp.object(VARIADIC names text[]) RETURNS jsonb LANGUAGE sql VOLATILE AS $$
	SELECT coalesce(jsonb_object_agg(n, CASE WHEN n ~ '^[a-z]s$' THEN pg_temp.several(n) ELSE pg_temp.value(CASE n WHEN 'primary' THEN 'b' WHEN 'value' THEN 's' WHEN 'type' THEN 's' ELSE n END) END), '{}') FROM unnest(names) n WHERE random() < 0.6 $$;
CREATE FUNCTION pg_temp.element(attribute text) RETURNS jsonb LANGUAGE sql VOLATILE AS $$ SELECT CASE attribute WHEN 'm' THEN pg_temp.object('value', 'type', 'n', 't', 'x', 'ss') ELSE pg_temp.object('s', 'n', 'ns') END $$;
CREATE FUNCTION pg_temp.elements(attribute text) RETURNS jsonb LANGUAGE sql VOLATILE AS $$ SELECT coalesce(jsonb_agg(pg_temp.element(attribute)), '[]') FROM generate_series(1, floor(random() * 4)::int) $$;
CREATE FUNCTION pg_temp.resource() RETURNS jsonb LANGUAGE sql VOLATILE AS $$
	SELECT pg_temp.object('s', 'x', 'n', 'd', 'b', 't', 'u', 'ss', 'ns', 'bs', 'ts') || jsonb_build_object('c', pg_temp.object('s', 'n', 't', 'ss', 'ns'), 'm', pg_temp.elements('m'), 'a', pg_temp.elements('a'),
		'urn:acme:more:2.0:Any', pg_temp.object('s', 'ss') || jsonb_build_object('c', pg_temp.object('n')), 'schemas', ARRAY['urn:acme:2.0:Any', 'urn:acme:more:2.0:Any']) $$;

-- ---- filters ----
CREATE FUNCTION pg_temp.comparison(path text) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	leaf text := regexp_replace(path, '^.*[.:]', '');
	kind text := CASE WHEN leaf IN ('value', 'type', 'm') THEN 's' WHEN leaf = 'primary' THEN 'b' ELSE leaf END;
	op text := CASE left(kind, 1) WHEN 'b' THEN pg_temp.one_of('eq', 'ne', 'pr') WHEN 'n' THEN pg_temp.one_of('eq', 'ne', 'gt', 'ge', 'lt', 'le', 'pr') WHEN 'd' THEN pg_temp.one_of('eq', 'gt', 'le', 'pr') WHEN 't' THEN pg_temp.one_of('eq', 'ne', 'gt', 'ge', 'lt', 'le', 'pr')
		ELSE pg_temp.one_of('eq', 'ne', 'co', 'sw', 'ew', 'gt', 'ge', 'lt', 'le', 'pr') END;
BEGIN
	RETURN path || ' ' || op || CASE WHEN op = 'pr' THEN '' WHEN op IN ('eq', 'ne') AND random() < 0.1 THEN ' null' ELSE ' ' || pg_temp.value(kind)::text END;
END $$;
CREATE FUNCTION pg_temp.filter(depth int, VARIADIC names text[]) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	r float := random();
	name text;
BEGIN
	IF depth > 0 AND r < 0.5 THEN
		RETURN CASE WHEN r < 0.2 THEN format('(%s and %s)', pg_temp.filter(depth - 1, VARIADIC names), pg_temp.filter(depth - 1, VARIADIC names))
			WHEN r < 0.35 THEN format('(%s or %s)', pg_temp.filter(depth - 1, VARIADIC names), pg_temp.filter(depth - 1, VARIADIC names))
			ELSE format('not (%s)', pg_temp.filter(depth - 1, VARIADIC names)) END;
	END IF;
	name := pg_temp.one_of(VARIADIC names);
	RETURN CASE name WHEN 'm[' THEN format('m[%s]', pg_temp.filter(depth, 'value', 'type', 'primary', 'n', 't', 'x', 'ss')) WHEN 'a[' THEN format('a[%s]', pg_temp.filter(depth, 's', 'n', 'ns'))
		WHEN 'c[' THEN format('c[%s]', pg_temp.filter(depth, 's', 'n', 't', 'ss', 'ns')) WHEN 'c' THEN 'c pr' WHEN 'a' THEN 'a pr' ELSE pg_temp.comparison(name) END;
END $$;
CREATE FUNCTION pg_temp.filter() RETURNS text LANGUAGE sql VOLATILE AS $$
	SELECT pg_temp.filter(2, 's', 'x', 'n', 'd', 'b', 't', 'u', 'ss', 'ns', 'bs', 'ts', 'c', 'c.s', 'c.n', 'c.t', 'c.ss', 'c.ns', 'c[', 'm', 'm.value', 'm.type', 'm.primary', 'm.n', 'm.t', 'm.x', 'm.ss', 'm[', 'm[', 'a', 'a.s', 'a.n', 'a.ns', 'a[',
		'urn:acme:more:2.0:Any:s', 'urn:acme:more:2.0:Any:ss', 'urn:acme:more:2.0:Any:c.n') $$;

-- ---- PATCH ----
CREATE FUNCTION pg_temp.operation() RETURNS jsonb LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	op text := pg_temp.one_of('add', 'replace', 'replace', 'remove');
	path text := pg_temp.one_of('s', 'x', 'n', 'd', 'b', 't', 'u', 'ss', 'ns', 'bs', 'ts', 'c', 'c.s', 'c.n', 'c.t', 'c.ss', 'c.ns', 'm', 'm.n', 'm.ss', 'm[', 'm[', 'm[.', 'm[.', 'a', 'a.s', 'a.ns', 'a[', 'a[.', 'urn:acme:more:2.0:Any:s', 'urn:acme:more:2.0:Any:ss', 'urn:acme:more:2.0:Any:c.n', 'urn:acme:more:2.0:Any', '');
	top text := left(path, 1);
	sub text;
	value jsonb;
BEGIN
	IF path ~ '^[ma]\[' THEN
		sub := CASE WHEN path ~ '\.' THEN CASE top WHEN 'm' THEN pg_temp.one_of('value', 'type', 'n', 't', 'x', 'ss') ELSE pg_temp.one_of('s', 'n', 'ns') END END;
		path := CASE top WHEN 'm' THEN format('m[%s]', pg_temp.filter(1, 'value', 'type', 'n', 'ss')) ELSE format('a[%s]', pg_temp.filter(1, 's', 'n', 'ns')) END || coalesce('.' || sub, '');
	ELSE
		sub := regexp_replace(path, '^.*[.:]', '');
	END IF;
	value := CASE WHEN sub IS NULL THEN pg_temp.element(top) WHEN sub = '' THEN pg_temp.object('s', 'n', 'ss') || jsonb_build_object('c', pg_temp.object('s', 'ss')) WHEN sub = 'Any' THEN pg_temp.object('s', 'ss') WHEN sub = 'c' THEN pg_temp.object('s', 'n', 'ss')
		WHEN sub IN ('m', 'a') THEN pg_temp.elements(sub) WHEN sub ~ '^[a-z]s$' THEN pg_temp.several(sub) ELSE pg_temp.value(CASE WHEN sub IN ('value', 'type') THEN 's' ELSE sub END) END;
	RETURN jsonb_strip_nulls(jsonb_build_object('op', op, 'path', nullif(path, ''), 'value', CASE WHEN op <> 'remove' THEN value END));
END $$;

-- ---- runs ----
-- A singular time is given out in UTC; the order of several values means nothing.
CREATE FUNCTION pg_temp.sorted(v jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT CASE jsonb_typeof(v) WHEN 'array' THEN (SELECT jsonb_agg(x ORDER BY x) FROM (SELECT pg_temp.sorted(e) AS x FROM jsonb_array_elements(v) e) y)
		WHEN 'object' THEN (SELECT jsonb_object_agg(k, pg_temp.sorted(e)) FROM jsonb_each(v) o (k, e)) ELSE v END $$;
CREATE FUNCTION pg_temp.bare(r jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT pg_temp.sorted(regexp_replace((r - '{id,meta,schemas}'::text[])::text, '"2024-01-01T(01:00:00\+01:00|00:00:00)"', '"2024-01-01T00:00:00Z"', 'g')::jsonb) $$;
CREATE FUNCTION pg_temp.run_filters(n int) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	all_of jsonb := (scim.handle('any', 'GET', '/Any?count=1000')).body::jsonb -> 'Resources';
	f text;
	h record;
	sql text;
	memory text;
BEGIN
	FOR i IN 1 .. n LOOP
		f := pg_temp.filter();
		h := scim.handle('any', 'POST', '/Any/.search', body => jsonb_build_object('filter', f, 'attributes', ARRAY['id'], 'count', 1000)::text);
		sql := CASE WHEN h.status = 200 THEN (SELECT coalesce(string_agg(r ->> 'id', ' ' ORDER BY r ->> 'id'), '') FROM jsonb_array_elements(h.body::jsonb -> 'Resources') r) ELSE h.status::text END;
		BEGIN
			SELECT coalesce(string_agg(r ->> 'id', ' ' ORDER BY r ->> 'id'), '') INTO memory FROM jsonb_array_elements(all_of) r WHERE scim.filter_matches('Any', r, f);
		EXCEPTION WHEN invalid_parameter_value THEN
			memory := '400';
		END;
		IF sql IS DISTINCT FROM memory THEN
			RETURN NEXT f || ': ' || h.status || ' sql ' || left(sql, 200) || ', memory ' || left(memory, 200);
		END IF;
	END LOOP;
END $$;
CREATE FUNCTION pg_temp.run_patches(n int) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	ids text[] := ARRAY(SELECT id::text FROM scim.resources WHERE tenant = 'any');
	target text;
	request jsonb;
	before jsonb;
	wanted jsonb;
	h record;
	after jsonb;
BEGIN
	FOR i IN 1 .. n LOOP
		target := pg_temp.one_of(VARIADIC ids);
		before := (scim.handle('any', 'GET', '/Any/' || target)).body;
		request := jsonb_build_object('Operations', (SELECT jsonb_agg(pg_temp.operation()) FROM generate_series(1, 1 + floor(random() * 3)::int)));
		BEGIN
			wanted := scim.patch_apply('Any', before, request);
		EXCEPTION WHEN OTHERS THEN
			wanted := NULL;
		END;
		h := scim.handle('any', 'PATCH', '/Any/' || target, body => request::text);
		after := (scim.handle('any', 'GET', '/Any/' || target)).body;
		IF (wanted IS NULL) <> (h.status <> 200) OR h.status > 400 OR pg_temp.bare(after) <> pg_temp.bare(coalesce(wanted, before)) OR (h.status = 200 AND h.body::jsonb <> after) THEN
			RETURN NEXT concat_ws(E'\n  ', request, 'before ' || pg_temp.bare(before)::text, h.status || ' ' || CASE WHEN h.status <> 200 THEN h.body END, 'after  ' || pg_temp.bare(after)::text, 'wanted ' || pg_temp.bare(wanted)::text);
		END IF;
	END LOOP;
END $$;
-- what is given out can be sent back, and is no change
CREATE FUNCTION pg_temp.run_puts() RETURNS SETOF text LANGUAGE sql AS $$
	SELECT concat_ws(' ', p.status, g.body, p.body) FROM scim.resources r, scim.handle('any', 'GET', '/Any/' || r.id) g, scim.handle('any', 'PUT', '/Any/' || r.id, body => g.body) p
	WHERE r.tenant = 'any' AND (p.status <> 200 OR p.body <> g.body) $$;

-- a walk by cursor, there and back, meets what the list shows, in its order
CREATE FUNCTION pg_temp.run_walks() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	sorted_by text;
	direction text;
	whole text[];
	forth text[];
	back text[];
	page jsonb;
	move text;
BEGIN
	FOREACH sorted_by IN ARRAY '{s,x,n,d,b,t,u,ss,ns,bs,ts,c.s,c.t,c.ss,c.ns,m,m.n,m.t,m.ss,a.s,a.ns,externalId,meta.lastModified,urn:acme:more:2.0:Any:ss}'::text[] LOOP
		FOREACH direction IN ARRAY '{ascending,descending}'::text[] LOOP
			whole := ARRAY(SELECT r ->> 'id' FROM scim.handle('any', 'GET', format('/Any?count=1000&sortBy=%s&sortOrder=%s', sorted_by, direction)) h, jsonb_array_elements(h.body::jsonb -> 'Resources') WITH ORDINALITY e(r, i) ORDER BY i);
			forth := '{}';
			back := '{}';
			move := '';
			LOOP
				page := (scim.handle('any', 'GET', format('/Any?count=7&sortBy=%s&sortOrder=%s&cursor=%s', sorted_by, direction, move))).body;
				forth := forth || ARRAY(SELECT r ->> 'id' FROM jsonb_array_elements(page -> 'Resources') WITH ORDINALITY e(r, i) ORDER BY i);
				move := page ->> 'nextCursor';
				EXIT WHEN move IS NULL;
			END LOOP;
			LOOP
				back := ARRAY(SELECT r ->> 'id' FROM jsonb_array_elements(page -> 'Resources') WITH ORDINALITY e(r, i) ORDER BY i) || back;
				move := page ->> 'previousCursor';
				EXIT WHEN move IS NULL;
				page := (scim.handle('any', 'GET', format('/Any?count=7&sortBy=%s&sortOrder=%s&cursor=%s', sorted_by, direction, move))).body;
			END LOOP;
			IF whole <> forth OR whole <> back OR cardinality(whole) <> 60 THEN
				RETURN NEXT format('%s %s: %s there, %s back, of %s', sorted_by, direction, cardinality(forth), cardinality(back), cardinality(whole));
			END IF;
		END LOOP;
	END LOOP;
END $$;

SELECT setseed(:seed) \gset ignored_
SELECT h.status, count(*), min(h.body::json ->> 'detail') FROM generate_series(1, 60) i, scim.handle('any', 'POST', '/Any', body => (pg_temp.resource() || jsonb_build_object('externalId', i::text))::text) h GROUP BY 1;
SELECT pg_temp.run_filters(:n);
SELECT pg_temp.run_puts();
SELECT pg_temp.run_walks();
SELECT pg_temp.run_patches(:n);
SELECT pg_temp.run_filters(:n);

DELETE FROM scim.resources WHERE tenant = 'any';
SELECT scim.drop_endpoint('any'), scim.drop_resource_type('Any'), scim.drop_schema('urn:acme:2.0:Any'), scim.drop_schema('urn:acme:more:2.0:Any');
