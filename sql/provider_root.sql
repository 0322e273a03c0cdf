-- Queries at the base URL, over all resource types (RFC 7644 3.4.2.1): what the
-- forms are is in provider_handle; this is the truth of them, against each
-- type's own answers.
\set VERBOSITY terse
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SELECT scim.setup();
SELECT scim.create_endpoint('root', public_url => 'https://id.example.com/scim/v2');
SELECT scim.create_endpoint('root_strict', tenant => 'root', mode => 'strict', public_url => 'https://id.example.com/strict/v2');
CREATE FUNCTION pg_temp.url(t text) RETURNS text LANGUAGE sql AS $$
	SELECT replace(replace(replace(replace(t, '%', '%25'), ' ', '%20'), '"', '%22'), '+', '%2B')
$$;
-- the total, or the error
CREATE FUNCTION pg_temp.total(at text, filter text, endpoint text DEFAULT 'root') RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(body::jsonb ->> 'totalResults', status || ' ' || (body::jsonb ->> 'scimType') || ' ' || (body::jsonb ->> 'detail'))
	  FROM scim.handle(endpoint, 'GET', at || '?count=0&filter=' || pg_temp.url(filter))
$$;
SELECT count(*) FROM generate_series(1, 7) i, scim.handle('root', 'POST', '/Users', '{}', json_build_object('schemas', '{urn:ietf:params:scim:schemas:core:2.0:User}'::text[], 'userName', 'u' || i,
	'displayName', CASE WHEN i < 4 THEN 'd' || i END, 'externalId', CASE WHEN i > 5 THEN 'x' || i END, 'emails', CASE WHEN i % 2 = 0 THEN json_build_array(json_build_object('type', 'work', 'value', 'u' || i || '@example.com')) END,
	'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User', CASE WHEN i = 7 THEN '{"department":"Tools"}'::json END)::text) h WHERE h.status = 201;
SELECT count(*) FROM generate_series(1, 4) i, scim.handle('root', 'POST', '/Groups', '{}', json_build_object('schemas', '{urn:ietf:params:scim:schemas:core:2.0:Group}'::text[], 'displayName', 'd' || i,
	'members', (SELECT json_agg(json_build_object('value', u.id)) FROM scim.users u WHERE tenant = 'root' AND u.user_name <= 'u' || i - 1))::text) h WHERE h.status = 201;

-- both types know it: the sum of what each says
SELECT f, pg_temp.total('/', f) AS base, pg_temp.total('/Users', f) AS users, pg_temp.total('/Groups', f) AS groups FROM unnest(ARRAY['id pr', 'displayName pr', 'displayName eq "D2"', 'displayName ne "d2"', 'not (displayName co "d")',
	'displayName sw "d" and not (displayName ew "3")', 'externalId eq null', 'externalId pr', 'meta.created gt "2001-01-01T00:00:00Z"', 'meta.resourceType eq "User"', 'meta.resourceType ne "User"', 'meta.resourceType co "ou"',
	'schemas eq "urn:ietf:params:scim:schemas:core:2.0:Group"', 'not (meta.resourceType eq "Group") or displayName eq "d4"']) f;
-- one type lacks it: for that type it is unassigned, in every position
SELECT f, pg_temp.total('/', f) FROM unnest(ARRAY['userName pr', 'not (userName pr)', 'userName eq null', 'userName ne null', 'userName ne "u1"', 'not (userName eq "u1")', 'userName sw "u"', 'not (userName sw "u")', 'userName gt "u5"',
	'userName eq "u1" or displayName eq "d1"', 'userName eq "u1" and displayName eq "d1"', 'userName eq null and displayName eq "d1"', '(userName eq null or displayName eq "d1") and not (displayName eq "d4")',
	'members pr', 'members eq null', 'members pr or emails pr', 'members eq null and emails eq null', 'emails[type eq "work"]', 'not (emails[type eq "work"])', 'emails[type eq "work" and value co "4"] or members pr',
	'not (not (members pr))', 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department eq "tools"', 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department ne "tools"',
	'urn:ietf:params:scim:schemas:core:2.0:Group:displayName pr', 'emails[type eq "work"].value ne "u2@example.com"', 'emails[type eq "work"].value eq null']) f;
-- no type knows it, or what is said of it is wrong where it is known
SELECT f, pg_temp.total('/', f) FROM unnest(ARRAY['shoeSize pr', 'shoeSize eq 1 or userName pr', 'name.shoe pr', 'emails[shoe eq 1]', 'members[value eq 1]', 'userName eq 5', 'userName gt null', 'members gt null', 'active gt true', 'members co 5', 'userName']) f;
-- strict: an extension's attribute by its bare name is unknown
SELECT e, pg_temp.total('/', 'department eq "tools"', e) FROM unnest('{root,root_strict}'::text[]) e;

-- every page of every size: the types one after the other, each resource once, the total always
CREATE FUNCTION pg_temp.page(start int, size int, filter text, OUT total int, OUT start_index int, OUT per_page int, OUT ids text[], OUT kinds text[]) LANGUAGE sql AS $$
	SELECT (b ->> 'totalResults')::int, (b ->> 'startIndex')::int, (b ->> 'itemsPerPage')::int, ARRAY(SELECT r ->> 'id' FROM jsonb_array_elements(b -> 'Resources') WITH ORDINALITY x(r, n) ORDER BY n),
		ARRAY(SELECT r -> 'meta' ->> 'resourceType' FROM jsonb_array_elements(b -> 'Resources') WITH ORDINALITY x(r, n) ORDER BY n)
	  FROM (SELECT body::jsonb AS b FROM scim.handle('root', 'GET', '/?attributes=meta.resourceType&startIndex=' || start || '&count=' || size || '&filter=' || pg_temp.url(filter))) h
$$;
SELECT kinds FROM pg_temp.page(1, 100, 'id pr');
SELECT f, bool_and(p.ids = coalesce(w.ids[s:s + c - 1], '{}')) AS same, bool_and(p.total = cardinality(w.ids)) AS totals, bool_and(p.start_index = s AND p.per_page = cardinality(p.ids)) AS counts, count(*)
  FROM unnest(ARRAY['id pr', 'displayName pr', 'userName pr', 'members pr', 'userName eq "u1" or members pr']) f, pg_temp.page(1, 100, f) w, generate_series(1, 13) s, generate_series(0, 12) c, pg_temp.page(s, c, f) p GROUP BY 1 ORDER BY 1;
-- no filter at all; what lies beyond the end
SELECT body::jsonb - '{schemas,Resources}'::text[] FROM unnest('{"",/,/?startIndex=12,/?startIndex=9223372036854775807&count=5,/?startIndex=-3&count=-3}'::text[]) p, scim.handle('root', 'GET', p);

-- projection is each type's own: a name that only one knows says nothing to the other
SELECT r - '{id,schemas}'::text[] FROM scim.handle('root', 'GET', '/?attributes=userName,members.type,displayName&filter=' || pg_temp.url('userName eq "u1" or members pr and displayName eq "d2"')) h, jsonb_array_elements(h.body::jsonb -> 'Resources') WITH ORDINALITY x(r, n) ORDER BY n;
SELECT (SELECT string_agg(k, ' ' ORDER BY k) FROM jsonb_object_keys(r) k) FROM scim.handle('root', 'GET', '/?excludedAttributes=members,emails,meta,groups&filter=' || pg_temp.url('userName eq "u2" or displayName eq "d3" and userName eq null')) h, jsonb_array_elements(h.body::jsonb -> 'Resources') WITH ORDINALITY x(r, n) ORDER BY n;
SELECT status, body::jsonb ->> 'scimType' FROM scim.handle('root', 'GET', '/?attributes=id&excludedAttributes=meta');

-- sorting: over all types; what lacks the attribute comes last, descending first
SELECT s, status, body::jsonb ->> 'scimType', ARRAY(SELECT coalesce(r ->> 'userName', r ->> 'displayName') FROM jsonb_array_elements(body::jsonb -> 'Resources') WITH ORDINALITY x(r, n) ORDER BY n)
  FROM unnest(ARRAY['sortBy=userName&count=3&filter=userName pr', 'sortBy=userName&sortOrder=descending&count=3&filter=meta.resourceType eq "User"', 'sortBy=displayName&sortOrder=descending&filter=meta.resourceType eq "Group"',
	'sortBy=displayName&filter=displayName pr', 'sortBy=displayName&startIndex=3&count=3&filter=displayName pr', 'sortBy=userName&count=7', 'sortBy=displayName&sortOrder=descending&startIndex=5&count=7',
	'sortBy=shoeSize', 'sortBy=name', 'sortBy=password', 'sortBy=displayName&sortOrder=up', 'sortBy=displayName&filter=meta.resourceType eq "Device"']) s, scim.handle('root', 'GET', '/?attributes=userName,displayName&' || pg_temp.url(s));

-- POST .search is the same
SELECT f, bool_and(g.body::jsonb = p.body::jsonb) FROM unnest(ARRAY['id pr', 'userName eq null', 'userName eq "u1" or displayName eq "d1"', 'shoeSize pr']) f, scim.handle('root', 'GET', '/?startIndex=2&count=3&filter=' || pg_temp.url(f)) g,
	scim.handle('root', 'POST', '/.search', '{}', json_build_object('schemas', '{urn:ietf:params:scim:api:messages:2.0:SearchRequest}'::text[], 'filter', f, 'startIndex', 2, 'count', 3)::text) p GROUP BY 1 ORDER BY 1;
SELECT e, status FROM unnest('{root,root_strict}'::text[]) e, scim.handle(e, 'POST', '/.search', '{}', '{"count":1}');
SELECT m, p, status, headers ->> 'Allow' FROM (VALUES ('HEAD', ''), ('POST', ''), ('DELETE', '/'), ('GET', '/.search'), ('POST', '/.search/x')) v(m, p), scim.handle('root', m, p, '{}', '{}');
-- sortOrder is looked at, whether it has an effect or not
SELECT status, body::jsonb ->> 'scimType' FROM scim.handle('root', 'GET', '/?count=0&sortOrder=up');

-- the statement of an order
SELECT e FROM scim.explain('root', 'Group', sort_by => 'displayName', sort_order => 'descending', start_index => 11, count => 5) WITH ORDINALITY x(e, n) WHERE n = 1;
SELECT count(*) > 1 FROM scim.explain('root', 'Group', 'displayName pr', 'members');
SELECT scim.explain('root', 'Group', sort_by => 'userName');

DELETE FROM scim.groups WHERE tenant = 'root';
DELETE FROM scim.users WHERE tenant = 'root';
SELECT scim.drop_endpoint('root'), scim.drop_endpoint('root_strict');
