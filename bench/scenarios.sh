# scenarios.sh - what bench/run.sh loads, sends, and compares with: the users and
# groups, the requests for load.c, the statements for pgbench.  Sourced; all files
# go to the directory $mine.

# load_users FIRST LAST: each of a parent row and eleven values, as the scenario "post"
# makes them.  The id is computed from the number, so that pgbench can compute
# it, too; the multiplication scatters the ids over the index as random ones
# would be.
load_users()
{
	psql_quiet -v first="$1" -v last="$2" >"$mine/load.log" 2>&1 <<-'SQL' || { cat "$mine/load.log" >&2; die "the users cannot be loaded (see above)."; }
		-- the triggers' work is done by the statements themselves
		SET session_replication_role = replica;
		SET synchronous_commit = off;
		SET work_mem = '256MB';
		CREATE TEMPORARY TABLE n AS
			SELECT n, ((10000000 + x / 1000) * 10000 + 1000 + x % 1000 || '40008000000000000000')::uuid AS id
			FROM (SELECT n, n::bigint * 2654435761 % 10000000000 AS x FROM generate_series(:first::int, :last::int) n) numbers;
		INSERT INTO scim.users (tenant, id, external_id, user_name, name_formatted, name_family_name, name_given_name,
				name_middle_name, display_name, nick_name, profile_url, title, user_type, preferred_language, locale, timezone,
				active, employee_number, cost_center, organization, division, department, manager_id)
			SELECT 'bench', id, 'seed-' || n, 'seed.' || n || '@example.com', 'Tove M Sandberg', 'Sandberg', 'Tove',
				'M', 'Tove Sandberg', 'Tovis', 'https://people.example.com/' || n, 'Engineer', 'Employee', 'sv-SE', 'sv-SE', 'Europe/Stockholm',
				true, n, '4130', 'Example AB', 'Theatre', 'Stage lighting', '11111111-1111-4111-8111-111111111111'
			FROM n;
		INSERT INTO scim.user_emails (tenant, user_id, value, type, is_primary)
			SELECT 'bench', id, 'seed.' || n || v.value, v.type, v.is_primary
			FROM n, (VALUES ('@example.com', 'work', true), ('@home.example', 'home', NULL)) v (value, type, is_primary);
		INSERT INTO scim.user_phone_numbers (tenant, user_id, value, type)
			SELECT 'bench', id, v.value, v.type FROM n, (VALUES ('+46 8 5550 1234', 'work'), ('+46 70 555 0123', 'mobile')) v (value, type);
		INSERT INTO scim.user_ims (tenant, user_id, value, type) SELECT 'bench', id, 'tove.sandberg', 'xmpp' FROM n;
		INSERT INTO scim.user_photos (tenant, user_id, value, type)
			SELECT 'bench', id, 'https://people.example.com/' || n || '.jpg', 'photo' FROM n;
		INSERT INTO scim.user_addresses (tenant, user_id, street_address, locality, region, postal_code, country, type)
			SELECT 'bench', id, v.street, v.city, v.region, v.code, 'SE', v.type
			FROM n, (VALUES ('Storgatan 1', 'Uppsala', 'Uppland', '753 20', 'work'), ('Kyrkogatan 7', 'Knivsta', 'Uppland', '741 40', 'home'))
				v (street, city, region, code, type);
		INSERT INTO scim.user_entitlements (tenant, user_id, value) SELECT 'bench', id, 'workshop' FROM n;
		INSERT INTO scim.user_roles (tenant, user_id, value) SELECT 'bench', id, v.value FROM n, (VALUES ('viewer'), ('editor')) v (value);
		COPY (SELECT id, 'seed.' || n || '@example.com', 'seed-' || n FROM n) TO STDOUT \g some-ids.tsv
		RESET session_replication_role;
		VACUUM ANALYZE;
		CHECKPOINT;
	SQL
	cat some-ids.tsv >>ids.tsv
	# a client that walks through all pages, and one that jumps
	seq 1 100 $(($2 > 100 ? $2 - 99 : 1)) >pages.tsv
}

# Three groups; their members need not exist for what is measured.
load_groups()
{
	psql_quiet -v big="$1" >"$mine/load.log" 2>&1 <<-'SQL' || { cat "$mine/load.log" >&2; die "the groups cannot be loaded (see above)."; }
		SET session_replication_role = replica;
		SET synchronous_commit = off;
		INSERT INTO scim.groups (tenant, id, display_name) VALUES
			('bench', '00000000-0000-4000-8000-00000000000a', 'small'), ('bench', '00000000-0000-4000-8000-00000000000b', 'big'),
			('bench', '00000000-0000-4000-8000-00000000000c', 'shown');
		INSERT INTO scim.group_members (tenant, group_id, user_id)
			SELECT 'bench', g.id::uuid, gen_random_uuid() FROM (VALUES ('00000000-0000-4000-8000-00000000000a', 10),
				('00000000-0000-4000-8000-00000000000b', :big), ('00000000-0000-4000-8000-00000000000c', 100000)) g (id, size), generate_series(1, g.size);
		RESET session_replication_role;
		VACUUM ANALYZE;
		CHECKPOINT;
	SQL
}

# For the yardstick of POST: in a session with session_replication_role =
# replica the foreign keys are checked as ever, but the trigger that keeps
# values_present does not run, as it does nothing for scim itself.  Sessions
# that do not ask for it see no change.
always_check_foreign_keys()
{
	psql_quiet <<-'SQL' || die "the foreign keys cannot be set up."
		SELECT format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', t.tgrelid::regclass, t.tgname)
		FROM pg_trigger t JOIN pg_constraint c ON c.oid = t.tgconstraint
		WHERE t.tgisinternal AND c.contype = 'f' AND c.conrelid = t.tgrelid AND c.confrelid = 'scim.users'::regclass \gexec
	SQL
}

# Data (ids.tsv) and these files lie in one directory.
write_scenarios()
{
	cat >"$mine/get" <<-'SCENARIO'
		method GET
		path /Users/{1}
		data ids.tsv
		header Accept: application/scim+json
		status 200
		expect "id":"{1}"
		expect "userName":"{2}"
		expect "employeeNumber":
		expect "value":"editor"
	SCENARIO
	cat >"$mine/filter" <<-'SCENARIO'
		method GET
		path /Users?filter=userName%20eq%20%22{2}%22
		data ids.tsv
		header Accept: application/scim+json
		status 200
		expect "totalResults":1,
		expect "id":"{1}"
		expect "userName":"{2}"
		expect "value":"editor"
	SCENARIO
	sed 's|userName%20eq%20%22{2}|externalId%20eq%20%22{3}|' "$mine/filter" >"$mine/external"
	sed 's|userName%20eq%20%22{2}|emails.value%20eq%20%22{2}|' "$mine/filter" >"$mine/email"
	cat >"$mine/page" <<-'SCENARIO'
		method GET
		path /Users?count=100&startIndex={1}
		data pages.tsv
		header Accept: application/scim+json
		status 200
		expect "startIndex":{1},
		expect "itemsPerPage":
		expect "value":"editor"
	SCENARIO
	{ cat "$mine/page"; printf 'rows in-order\n'; } >"$mine/walk"
	cat >"$mine/post" <<-'SCENARIO'
		method POST
		path /Users
		body post.json
		header Content-Type: application/scim+json
		header Accept: application/scim+json
		status 201
		expect "id":"
		expect "userName":"{run}.{n}@example.com"
		expect "externalId":"{run}-{n}"
		expect "value":"editor"
	SCENARIO
	tr -d '\n' >"$mine/post.json" <<-'JSON'
		{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],
		"externalId":"{run}-{n}","userName":"{run}.{n}@example.com",
		"name":{"formatted":"Tove M Sandberg","familyName":"Sandberg","givenName":"Tove","middleName":"M"},
		"displayName":"Tove Sandberg","nickName":"Tovis","profileUrl":"https://people.example.com/{n}","title":"Engineer","userType":"Employee",
		"preferredLanguage":"sv-SE","locale":"sv-SE","timezone":"Europe/Stockholm","active":true,
		"emails":[{"value":"{run}.{n}@example.com","type":"work","primary":true},{"value":"{run}.{n}@home.example","type":"home"}],
		"phoneNumbers":[{"value":"+46 8 5550 1234","type":"work"},{"value":"+46 70 555 0123","type":"mobile"}],
		"ims":[{"value":"tove.sandberg","type":"xmpp"}],
		"photos":[{"value":"https://people.example.com/{n}.jpg","type":"photo"}],
		"addresses":[{"streetAddress":"Storgatan 1","locality":"Uppsala","region":"Uppland","postalCode":"753 20","country":"SE","type":"work"},
		{"streetAddress":"Kyrkogatan 7","locality":"Knivsta","region":"Uppland","postalCode":"741 40","country":"SE","type":"home"}],
		"entitlements":[{"value":"workshop"}],"roles":[{"value":"viewer"},{"value":"editor"}],
		"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":{"employeeNumber":"{n}","costCenter":"4130","organization":"Example AB",
		"division":"Theatre","department":"Stage lighting","manager":{"value":"11111111-1111-4111-8111-111111111111"}}}
	JSON
	cat >"$mine/bulk" <<-'SCENARIO'
		method POST
		path /Bulk
		body bulk.json
		header Content-Type: application/scim+json
		header Accept: application/scim+json
		status 200
		expect "status":"201"
		expect "bulkId":"b99"
	SCENARIO
	{
		printf '{"schemas":["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],"Operations":['
		for i in $(seq 0 99); do
			[ "$i" = 0 ] || printf ','
			printf '{"method":"POST","path":"/Users","bulkId":"b%s","data":%s}' "$i" "$(sed "s/{n}/{n}.$i/g" "$mine/post.json")"
		done
		printf ']}'
	} >"$mine/bulk.json"
	for i in a:small b:big; do
		cat >"$mine/member-${i#*:}" <<-SCENARIO
			method PATCH
			path /Groups/00000000-0000-4000-8000-00000000000${i%:*}
			data ids.tsv
			body member.json
			header Content-Type: application/scim+json
			status 204
		SCENARIO
	done
	cat >"$mine/member.json" <<-'JSON'
		{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"add","path":"members","value":[{"value":"{1}"}]}]}
	JSON
	cat >"$mine/group" <<-'SCENARIO'
		method GET
		path /Groups/00000000-0000-4000-8000-00000000000c
		header Accept: application/scim+json
		status 200
		expect "displayName":"shown"
	SCENARIO
	cat >"$mine/patch" <<-'SCENARIO'
		method PATCH
		path /Users/{1}
		data ids.tsv
		body patch.json
		header Content-Type: application/scim+json
		header Accept: application/scim+json
		status 200
		expect "id":"{1}"
		expect "userName":"{2}"
		expect "title":"Engineer {run} {n}"
	SCENARIO
	cat >"$mine/patch.json" <<-'JSON'
		{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","path":"title","value":"Engineer {run} {n}"}]}
	JSON
}

write_yardsticks()
{
	local pick='\set n random(1, :users)
\set x (:n * 2654435761) % 10000000000
\set key (10000000 + :x / 1000) * 10000 + 1000 + :x % 1000'

	cat >"$mine/get.sql" <<-SQL
		$pick
		SELECT * FROM scim.users WHERE tenant = 'bench' AND id = (:key::text || '40008000000000000000')::uuid;
	SQL
	cat >"$mine/filter.sql" <<-'SQL'
		\set n random(1, :users)
		SELECT * FROM scim.users WHERE tenant = 'bench' AND scim.fold(user_name) COLLATE "C" = 'seed.' || :n::text || '@example.com';
	SQL
	cat >"$mine/external.sql" <<-'SQL'
		\set n random(1, :users)
		SELECT * FROM scim.users WHERE tenant = 'bench' AND external_id = 'seed-' || :n::text;
	SQL
	cat >"$mine/email.sql" <<-'SQL'
		\set n random(1, :users)
		SELECT u.* FROM scim.user_emails e JOIN scim.users u ON u.tenant = e.tenant AND u.id = e.user_id
		WHERE e.tenant = 'bench' AND scim.fold(e.value) COLLATE "C" = 'seed.' || :n::text || '@example.com';
	SQL
	cat >"$mine/page.sql" <<-'SQL'
		\set skip random(0, (:users - 100) / 100) * 100
		WITH page AS MATERIALIZED (SELECT * FROM scim.users WHERE tenant = 'bench' ORDER BY id LIMIT 100 OFFSET :skip),
		v AS (SELECT w.user_id, json_object_agg(w.attribute, w.list) AS lists FROM (SELECT c.user_id, c.attribute, json_agg(CASE c.attribute WHEN 'addresses' THEN json_build_object('streetAddress', c.street_address, 'locality', c.locality, 'region', c.region, 'postalCode', c.postal_code, 'country', c.country, 'type', c.type, 'primary', c.is_primary) ELSE json_build_object('value', c.value, 'type', c.type, 'primary', c.is_primary) END ORDER BY c.ord) AS list FROM page k JOIN scim.user_values c ON c.tenant = k.tenant AND c.user_id = k.id GROUP BY 1, 2) w GROUP BY 1)
		SELECT json_build_object('totalResults', (SELECT count(*) FROM scim.users WHERE tenant = 'bench'), 'Resources', json_agg(json_build_object(
		'id', p.id, 'externalId', p.external_id, 'userName', p.user_name, 'name', json_build_object('formatted', p.name_formatted, 'familyName', p.name_family_name, 'givenName', p.name_given_name, 'middleName', p.name_middle_name),
		'displayName', p.display_name, 'nickName', p.nick_name, 'profileUrl', p.profile_url, 'title', p.title, 'userType', p.user_type, 'preferredLanguage', p.preferred_language, 'locale', p.locale, 'timezone', p.timezone, 'active', p.active,
		'enterprise', json_build_object('employeeNumber', p.employee_number, 'costCenter', p.cost_center, 'organization', p.organization, 'division', p.division, 'department', p.department, 'manager', p.manager_id),
		'meta', json_build_object('created', p.created, 'lastModified', p.last_modified, 'version', p.version), 'values', v.lists) ORDER BY p.id)) FROM page p
		LEFT JOIN v ON v.user_id = p.id;
	SQL
	cat >"$mine/post.sql" <<-'SQL'
		\set r random(1, 9000000000000000000)
		WITH u AS (
			INSERT INTO scim.users (tenant, external_id, user_name, name_formatted, name_family_name, name_given_name,
				name_middle_name, display_name, nick_name, profile_url, title, user_type, preferred_language, locale, timezone,
				active, employee_number, cost_center, organization, division, department, manager_id)
			VALUES ('bench', :r::text, :r::text || '@example.com', 'Tove M Sandberg', 'Sandberg', 'Tove',
				'M', 'Tove Sandberg', 'Tovis', 'https://people.example.com/' || :r::text, 'Engineer', 'Employee', 'sv-SE', 'sv-SE', 'Europe/Stockholm',
				true, '12345', '4130', 'Example AB', 'Theatre', 'Stage lighting', '11111111-1111-4111-8111-111111111111')
			RETURNING id),
		listed AS (
			INSERT INTO scim.user_values (tenant, user_id, attribute, value, type, is_primary, street_address, locality, region, postal_code, country)
			SELECT 'bench', u.id, v.*
			FROM u, (VALUES ('emails', :r::text || '@example.com', 'work', true, NULL, NULL, NULL, NULL, NULL),
				('emails', :r::text || '@home.example', 'home', NULL, NULL, NULL, NULL, NULL, NULL),
				('phoneNumbers', '+46 8 5550 1234', 'work', NULL, NULL, NULL, NULL, NULL, NULL),
				('phoneNumbers', '+46 70 555 0123', 'mobile', NULL, NULL, NULL, NULL, NULL, NULL),
				('ims', 'tove.sandberg', 'xmpp', NULL, NULL, NULL, NULL, NULL, NULL),
				('photos', 'https://people.example.com/' || :r::text || '.jpg', 'photo', NULL, NULL, NULL, NULL, NULL, NULL),
				('addresses', NULL, 'work', NULL, 'Storgatan 1', 'Uppsala', 'Uppland', '753 20', 'SE'),
				('addresses', NULL, 'home', NULL, 'Kyrkogatan 7', 'Knivsta', 'Uppland', '741 40', 'SE'),
				('entitlements', 'workshop', NULL, NULL, NULL, NULL, NULL, NULL, NULL),
				('roles', 'viewer', NULL, NULL, NULL, NULL, NULL, NULL, NULL),
				('roles', 'editor', NULL, NULL, NULL, NULL, NULL, NULL, NULL)) v)
		SELECT id FROM u;
	SQL
	cat >"$mine/patch.sql" <<-SQL
		$pick
		\\set r random(1, 9000000000000000000)
		UPDATE scim.users SET title = 'Engineer ' || :r::text, version = version + 1, last_modified = now()
		WHERE tenant = 'bench' AND id = (:key::text || '40008000000000000000')::uuid;
	SQL
	# a status that is not 200 is a division by zero, which ends pgbench
	cat >"$mine/handle.sql" <<-SQL
		$pick
		\\set first :key / 10000
		\\set second :key % 10000
		SELECT 1 / (status = 200)::int, body FROM scim.handle('bench', 'GET', '/Users/' || :first::text || '-' || :second::text || '-4000-8000-000000000000');
	SQL
	cat >"$mine/flush.sql" <<-'SQL'
		SELECT pg_logical_emit_message(true, '', '');
	SQL
}

# What pgbench reads and writes must be there: it does not look at results.
check_yardsticks()
{
	local found

	found=$(psql_quiet -v users="$users" <<-'SQL'
		SELECT count(*) FROM scim.users u, (SELECT n, n::bigint * 2654435761 % 10000000000 AS x FROM generate_series(1, least(:users, 1000)) n) k
		WHERE u.tenant = 'bench' AND u.id = ((10000000 + x / 1000) * 10000 + 1000 + x % 1000 || '40008000000000000000')::uuid
			AND scim.fold(u.user_name) COLLATE "C" = 'seed.' || n || '@example.com';
	SQL
	)
	[ "$found" = $((users < 1000 ? users : 1000)) ] || die "the users loaded are not where pgbench will look for them."
}

