-- Random users, filters, patches and walks at the endpoint "any" (038_random.pl): what SQL
-- finds, stores and sorts against what memory does.  Variables: seed, n.  Prints what differs.
\set VERBOSITY terse
\set show_context never
SET client_min_messages = warning;
\pset format unaligned
\pset tuples_only on

CREATE FUNCTION pg_temp.one_of(VARIADIC a text[]) RETURNS text LANGUAGE sql VOLATILE AS $$ SELECT a[1 + floor(random() * cardinality(a))::int] $$;
-- a value of a kind, as JSON: s(tring), b(oolean), u(ri)
CREATE FUNCTION pg_temp.value(kind text) RETURNS jsonb LANGUAGE plpgsql VOLATILE AS $$
BEGIN
	RETURN CASE kind
		WHEN 'b' THEN pg_temp.one_of('true', 'false')
		WHEN 'u' THEN pg_temp.one_of('"urn:x:a"', '"https://example.org/A"', '"https://example.org/a"')
		ELSE pg_temp.one_of('"a"', '"A"', '"ab"', '"b"', '"straße"', '"STRASSE"', '"é"', '"É"', '"a\"b\\c"', '"%"', '"_"', '"a b"', '"😀"', '"z,y"')
	END;
END $$;

CREATE FUNCTION pg_temp.kind(leaf text) RETURNS text LANGUAGE sql AS $$ SELECT CASE WHEN leaf IN ('active','primary') THEN 'b' WHEN leaf = 'profileUrl' THEN 'u' ELSE 's' END $$;
CREATE FUNCTION pg_temp.object(VARIADIC names text[]) RETURNS jsonb LANGUAGE sql VOLATILE AS $$
	SELECT coalesce(jsonb_object_agg(n, pg_temp.value(pg_temp.kind(n))), '{}') FROM unnest(names) n WHERE random() < 0.6 $$;
CREATE FUNCTION pg_temp.element(attribute text) RETURNS jsonb LANGUAGE sql VOLATILE AS $$ SELECT CASE attribute WHEN 'emails' THEN pg_temp.object('value','type','display') WHEN 'roles' THEN pg_temp.object('value','type','display') ELSE pg_temp.object('type','locality','region','formatted') END $$;
CREATE FUNCTION pg_temp.elements(attribute text) RETURNS jsonb LANGUAGE sql VOLATILE AS $$ SELECT coalesce(jsonb_agg(CASE WHEN i = 2 AND random() < 0.5 THEN pg_temp.element(attribute) || '{"primary":true}' ELSE pg_temp.element(attribute) END), '[]') FROM generate_series(1, floor(random() * 4)::int) i $$;
CREATE FUNCTION pg_temp.resource() RETURNS jsonb LANGUAGE sql VOLATILE AS $$
	SELECT pg_temp.object('title','nickName','active','profileUrl','userType','displayName') || jsonb_build_object('name', pg_temp.object('givenName','familyName','formatted'), 'emails', pg_temp.elements('emails'), 'roles', pg_temp.elements('roles'), 'addresses', pg_temp.elements('addresses'),
		'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User', pg_temp.object('department','costCenter','division'), 'schemas', ARRAY['urn:ietf:params:scim:schemas:core:2.0:User','urn:ietf:params:scim:schemas:extension:enterprise:2.0:User'], 'userName', 'u' || random()) $$;
CREATE FUNCTION pg_temp.comparison(path text) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	leaf text := regexp_replace(path, '^.*[.:]', '');
	kind text := pg_temp.kind(leaf);
	op text := CASE kind WHEN 'b' THEN pg_temp.one_of('eq', 'ne', 'pr') ELSE pg_temp.one_of('eq', 'ne', 'co', 'sw', 'ew', 'gt', 'ge', 'lt', 'le', 'pr') END;
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
	RETURN CASE WHEN name IN ('emails[','roles[') THEN format('%s%s]', name, pg_temp.filter(depth, 'value', 'type', 'primary', 'display')) WHEN name = 'addresses[' THEN format('addresses[%s]', pg_temp.filter(depth, 'type','locality','region','primary'))
		WHEN name = 'name[' THEN format('name[%s]', pg_temp.filter(depth, 'givenName','familyName')) WHEN name IN ('name','addresses') THEN name || ' pr' ELSE pg_temp.comparison(name) END;
END $$;
CREATE FUNCTION pg_temp.filter() RETURNS text LANGUAGE sql VOLATILE AS $$
	SELECT pg_temp.filter(2, 'title','nickName','active','profileUrl','userType','displayName','externalId','userName','name','name.givenName','name.familyName','name[','emails','emails.value','emails.type','emails.primary','emails.display','emails[','emails[','roles','roles.value','roles[','roles.primary','addresses','addresses.locality','addresses.type','addresses[','urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department','urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:division') $$;
CREATE FUNCTION pg_temp.operation() RETURNS jsonb LANGUAGE plpgsql VOLATILE AS $$
DECLARE
	op text := pg_temp.one_of('add', 'replace', 'replace', 'remove');
	path text := pg_temp.one_of('title','nickName','active','profileUrl','name','name.givenName','name.familyName','emails','emails.type','emails.primary','emails[','emails[','emails[.','emails[.','roles','roles[','roles[.','addresses','addresses[','addresses[.','addresses.locality','urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department','urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:division','urn:ietf:params:scim:schemas:extension:enterprise:2.0:User','');
	top text := regexp_replace(path, '\[.*', '');
	sub text;
	value jsonb;
BEGIN
	IF path ~ '\[' THEN
		sub := CASE WHEN path ~ '\.' THEN CASE top WHEN 'addresses' THEN pg_temp.one_of('type','locality','region','primary') ELSE pg_temp.one_of('value','type','display','primary') END END;
		path := format('%s[%s]', top, CASE top WHEN 'addresses' THEN pg_temp.filter(1, 'type','locality','region','primary') ELSE pg_temp.filter(1, 'value','type','display','primary') END) || coalesce('.' || sub, '');
	ELSE
		sub := regexp_replace(path, '^.*[.:]', '');
	END IF;
	value := CASE WHEN sub IS NULL THEN pg_temp.element(top) WHEN sub = '' THEN pg_temp.object('title','active') || jsonb_build_object('name', pg_temp.object('givenName'), 'roles', pg_temp.elements('roles')) WHEN path = 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User' THEN pg_temp.object('department','division') WHEN sub = 'name' THEN pg_temp.object('givenName','familyName')
		WHEN sub IN ('emails','roles','addresses') THEN pg_temp.elements(sub) ELSE pg_temp.value(pg_temp.kind(sub)) END;
	RETURN jsonb_strip_nulls(jsonb_build_object('op', op, 'path', nullif(path, ''), 'value', CASE WHEN op <> 'remove' THEN value END));
END $$;
-- ---- runs ----
-- The order of several values means nothing, and an unspecified primary is false.
CREATE FUNCTION pg_temp.sorted(v jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT CASE jsonb_typeof(v) WHEN 'array' THEN (SELECT jsonb_agg(x ORDER BY x) FROM (SELECT pg_temp.sorted(e) AS x FROM jsonb_array_elements(v) e) y)
		WHEN 'object' THEN (SELECT jsonb_object_agg(k, pg_temp.sorted(e)) FROM jsonb_each(v) o (k, e) WHERE NOT (k = 'primary' AND e = 'false')) ELSE v END $$;
CREATE FUNCTION pg_temp.bare(r jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT pg_temp.sorted(r - '{id,meta,schemas}'::text[]) $$;
CREATE FUNCTION pg_temp.run_filters(n int) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	all_of jsonb := (scim.handle('any', 'GET', '/Users?count=1000')).body::jsonb -> 'Resources';
	f text;
	h record;
	sql text;
	memory text;
BEGIN
	FOR i IN 1 .. n LOOP
		f := pg_temp.filter();
		h := scim.handle('any', 'POST', '/Users/.search', body => jsonb_build_object('filter', f, 'attributes', ARRAY['id'], 'count', 1000)::text);
		sql := CASE WHEN h.status = 200 THEN (SELECT coalesce(string_agg(r ->> 'id', ' ' ORDER BY r ->> 'id'), '') FROM jsonb_array_elements(h.body::jsonb -> 'Resources') r) ELSE h.status::text END;
		BEGIN
			SELECT coalesce(string_agg(r ->> 'id', ' ' ORDER BY r ->> 'id'), '') INTO memory FROM jsonb_array_elements(all_of) r WHERE scim.filter_matches('User', r, f);
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
	ids text[] := ARRAY(SELECT r ->> 'id' FROM scim.handle('any', 'GET', '/Users?count=1000') h, jsonb_array_elements(h.body::jsonb -> 'Resources') r);
	target text;
	request jsonb;
	before jsonb;
	wanted jsonb;
	h record;
	after jsonb;
BEGIN
	FOR i IN 1 .. n LOOP
		target := pg_temp.one_of(VARIADIC ids);
		before := (scim.handle('any', 'GET', '/Users/' || target)).body;
		request := jsonb_build_object('Operations', (SELECT jsonb_agg(pg_temp.operation()) FROM generate_series(1, 1 + floor(random() * 3)::int)));
		BEGIN
			wanted := scim.patch_apply('User', before, request);
		EXCEPTION WHEN OTHERS THEN
			wanted := NULL;
		END;
		h := scim.handle('any', 'PATCH', '/Users/' || target, body => request::text);
		after := (scim.handle('any', 'GET', '/Users/' || target)).body;
		IF (wanted IS NULL) <> (h.status <> 200) OR h.status > 400 OR pg_temp.bare(after) <> pg_temp.bare(coalesce(wanted, before)) OR (h.status = 200 AND h.body::jsonb <> after) THEN
			RETURN NEXT concat_ws(E'\n  ', request, 'before ' || pg_temp.bare(before)::text, h.status || ' ' || CASE WHEN h.status <> 200 THEN h.body END, 'after  ' || pg_temp.bare(after)::text, 'wanted ' || pg_temp.bare(wanted)::text);
		END IF;
	END LOOP;
END $$;
-- what is given out can be sent back, and is no change
CREATE FUNCTION pg_temp.run_puts() RETURNS SETOF text LANGUAGE sql AS $$
	SELECT concat_ws(' ', p.status, g.body, p.body) FROM scim.handle('any', 'GET', '/Users?count=1000') l, jsonb_array_elements(l.body::jsonb -> 'Resources') r,
		scim.handle('any', 'GET', '/Users/' || (r ->> 'id')) g, scim.handle('any', 'PUT', '/Users/' || (r ->> 'id'), body => g.body) p
	WHERE p.status <> 200 OR p.body <> g.body $$;
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
	FOREACH sorted_by IN ARRAY '{title,active,profileUrl,name.givenName,emails,emails.type,roles,addresses.locality,userName,externalId,meta.created,urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department}'::text[] LOOP
		FOREACH direction IN ARRAY '{ascending,descending}'::text[] LOOP
			whole := ARRAY(SELECT r ->> 'id' FROM scim.handle('any', 'GET', format('/Users?count=1000&sortBy=%s&sortOrder=%s', sorted_by, direction)) h, jsonb_array_elements(h.body::jsonb -> 'Resources') WITH ORDINALITY e(r, i) ORDER BY i);
			forth := '{}';
			back := '{}';
			move := '';
			LOOP
				page := (scim.handle('any', 'GET', format('/Users?count=7&sortBy=%s&sortOrder=%s&cursor=%s', sorted_by, direction, move))).body;
				forth := forth || ARRAY(SELECT r ->> 'id' FROM jsonb_array_elements(page -> 'Resources') WITH ORDINALITY e(r, i) ORDER BY i);
				move := page ->> 'nextCursor';
				EXIT WHEN move IS NULL;
			END LOOP;
			LOOP
				back := ARRAY(SELECT r ->> 'id' FROM jsonb_array_elements(page -> 'Resources') WITH ORDINALITY e(r, i) ORDER BY i) || back;
				move := page ->> 'previousCursor';
				EXIT WHEN move IS NULL;
				page := (scim.handle('any', 'GET', format('/Users?count=7&sortBy=%s&sortOrder=%s&cursor=%s', sorted_by, direction, move))).body;
			END LOOP;
			IF whole <> forth OR whole <> back OR cardinality(whole) <> 60 THEN
				RETURN NEXT format('%s %s: %s there, %s back, of %s', sorted_by, direction, cardinality(forth), cardinality(back), cardinality(whole));
			END IF;
		END LOOP;
	END LOOP;
END $$;

\o /dev/null
SELECT setseed(:seed);
\o
SELECT h.status, h.body FROM generate_series(1, 60) i, scim.handle('any', 'POST', '/Users', body => (pg_temp.resource() || jsonb_build_object('externalId', i::text, 'userName', 'u' || i))::text) h WHERE h.status <> 201;
SELECT pg_temp.run_filters(:n);
SELECT pg_temp.run_puts();
SELECT pg_temp.run_walks();
SELECT pg_temp.run_patches(:n);
SELECT pg_temp.run_filters(:n);
