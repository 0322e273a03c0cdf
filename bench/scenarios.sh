# scenarios.sh - what bench/run.sh and bench/curves.sh send, and what they compare
# with: requests for load, statements for pgbench.  Sourced after stock.sh.

# scenario NAME: standard input as a scenario in $directory.
scenario()
{
	{
		printf 'url %s\ntoken-file token\nheader Accept: application/scim+json\n' "$url"
		cat
	} >"$directory/$1"
}

# write_scenarios DIRECTORY URL: beside the data and the token.
write_scenarios()
{
	local directory=$1 url=$2 i

	scenario get <<-'SCENARIO'
		path /Users/{1}
		data ids.tsv
		expect "id":"{1}"
		expect "userName":"{2}"
		expect "employeeNumber":
		expect "value":"editor"
	SCENARIO
	for i in 'filter userName 2' 'external externalId 3' 'email emails.value 2' 'id id 1'; do
		set -- $i
		scenario "$1" <<-SCENARIO
			path /Users?filter=$2%20eq%20%22{$3}%22
			data ids.tsv
			expect "totalResults":1,
			expect "id":"{1}"
			expect "userName":"{2}"
			expect "value":"editor"
		SCENARIO
	done
	scenario page <<-'SCENARIO'
		path /Users?count=100&startIndex={1}
		data pages.tsv
		expect "startIndex":{1},
		expect "itemsPerPage":
		expect "value":"editor"
	SCENARIO
	# as a client does: one page after the other on a connection
	{ sed '/^url \|^token-file \|^header /d' "$directory/page"; printf 'rows walk\n'; } | scenario walk
	scenario cursor <<-'SCENARIO'
		path /Users?count=100&cursor={carry}
		carry "nextCursor":"
		expect "itemsPerPage":
		expect "value":"editor"
	SCENARIO
	scenario post <<-'SCENARIO'
		method POST
		path /Users
		body post.json
		header Content-Type: application/scim+json
		status 201
		expect "id":"
		expect "userName":"{run}.{n}@example.com"
		expect "externalId":"{run}-{n}"
		expect "value":"editor"
	SCENARIO
	tr -d '\n' >"$directory/post.json" <<-'JSON'
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
	scenario bulk <<-'SCENARIO'
		method POST
		path /Bulk
		body bulk.json
		header Content-Type: application/scim+json
		status 200
		expect "status":"201"
		expect "bulkId":"b99"
	SCENARIO
	{
		printf '{"schemas":["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],"Operations":['
		for i in $(seq 0 99); do
			[ "$i" = 0 ] || printf ','
			printf '{"method":"POST","path":"/Users","bulkId":"b%s","data":%s}' "$i" "$(sed "s/{n}/{n}.$i/g" "$directory/post.json")"
		done
		printf ']}'
	} >"$directory/bulk.json"
	scenario patch <<-'SCENARIO'
		method PATCH
		path /Users/{1}
		data ids.tsv
		body patch.json
		header Content-Type: application/scim+json
		status 200
		expect "id":"{1}"
		expect "userName":"{2}"
		expect "title":"Engineer {run} {n}"
	SCENARIO
	cat >"$directory/patch.json" <<-'JSON'
		{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","path":"title","value":"Engineer {run} {n}"}]}
	JSON
}

# write_group_scenarios DIRECTORY URL LETTER NAME: of the group that load_group
# has made: NAME-add, NAME-remove (of the same users, in the same order),
# NAME-rename, NAME-bare (without members), NAME-whole.
write_group_scenarios()
{
	local directory=$1 url=$2 path=/Groups/00000000-0000-4000-8000-00000000000$3 name=$4 i

	for i in add remove; do
		scenario "$name-$i" <<-SCENARIO
			method PATCH
			path $path
			data members.tsv
			rows in-order
			body member-$i.json
			header Content-Type: application/scim+json
			status 204
		SCENARIO
	done
	cat >"$directory/member-add.json" <<-'JSON'
		{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"add","path":"members","value":[{"value":"{1}"}]}]}
	JSON
	cat >"$directory/member-remove.json" <<-'JSON'
		{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"remove","path":"members[value eq \"{1}\"]"}]}
	JSON
	scenario "$name-rename" <<-SCENARIO
		method PATCH
		path $path?excludedAttributes=members
		body rename.json
		header Content-Type: application/scim+json
		status 200
		expect "displayName":"name {n}"
	SCENARIO
	cat >"$directory/rename.json" <<-'JSON'
		{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","path":"displayName","value":"name {n}"}]}
	JSON
	scenario "$name-bare" <<-SCENARIO
		path $path?excludedAttributes=members
		expect "displayName":
	SCENARIO
	scenario "$name-whole" <<-SCENARIO
		path $path
		expect "displayName":
		expect "members":[{
	SCENARIO
}

# write_yardsticks DIRECTORY: scripts of pgbench.  What scim writes into its log of
# writes (audit), they write, too.
write_yardsticks()
{
	local audit='INSERT INTO scim._audit (request, endpoint_id, endpoint, owner, token, caller, method, resource_type, resource_id, attributes, status, duration_ms)
		SELECT gen_random_uuid(), 1, $$bench$$, $$postgres$$::regrole, $$bench$$, $$scim_worker$$::regrole,'
	local pick='\set n random(1, :users)
\set key (1000 + :n / 1000) * 10000 + 1000 + :n % 1000'

	cat >"$1/get.sql" <<-SQL
		$pick
		SELECT * FROM scim.users WHERE tenant = 'bench' AND id = ('0190' || :key::text || '70008000000000000000')::uuid;
	SQL
	cat >"$1/filter.sql" <<-'SQL'
		\set n random(1, :users)
		SELECT * FROM scim.users WHERE tenant = 'bench' AND scim.fold(user_name) COLLATE "C" = 'seed.' || :n::text || '@example.com';
	SQL
	cat >"$1/external.sql" <<-'SQL'
		\set n random(1, :users)
		SELECT * FROM scim.users WHERE tenant = 'bench' AND external_id = 'seed-' || :n::text;
	SQL
	cat >"$1/email.sql" <<-'SQL'
		\set n random(1, :users)
		SELECT u.* FROM scim.user_emails e JOIN scim.users u ON u.tenant = e.tenant AND u.id = e.user_id
		WHERE e.tenant = 'bench' AND scim.fold(e.value) COLLATE "C" = 'seed.' || :n::text || '@example.com';
	SQL
	cat >"$1/page.sql" <<-'SQL'
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
	cat >"$1/post.sql" <<-SQL
		\\set r random(1, 9000000000000000000)
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
		$audit 'POST', 'User', u.id::text, '{externalId,userName,name,displayName,nickName,profileUrl,title,userType,preferredLanguage,locale,timezone,active,emails,phoneNumbers,ims,photos,addresses,entitlements,roles}', 201, 0.5 FROM u;
	SQL
	cat >"$1/patch.sql" <<-SQL
		$pick
		\\set r random(1, 9000000000000000000)
		WITH u AS (
			UPDATE scim.users SET title = 'Engineer ' || :r::text, version = version + 1, last_modified = now()
			WHERE tenant = 'bench' AND id = ('0190' || :key::text || '70008000000000000000')::uuid RETURNING id)
		$audit 'PATCH', 'User', u.id::text, '{title}', 200, 0.5 FROM u;
	SQL
	# a status that is not 200 is a division by zero, which ends pgbench
	cat >"$1/handle.sql" <<-SQL
		$pick
		\\set first :key / 10000
		\\set second :key % 10000
		SELECT 1 / (status = 200)::int, body FROM scim.handle('bench', 'GET', '/Users/0190' || :first::text || '-' || :second::text || '-7000-8000-000000000000');
	SQL
	cat >"$1/flush.sql" <<-'SQL'
		SELECT pg_logical_emit_message(true, '', '');
	SQL
}

# What pgbench reads and writes must be there: it does not look at results.
check_yardsticks()
{
	local found

	found=$(psql_quiet -d large -v users="$users" <<-'SQL'
		SELECT count(*) FROM scim.users u, generate_series(1, least(:users, 1000)) n
		WHERE u.tenant = 'bench' AND u.id = ('0190' || (1000 + n / 1000) * 10000 + 1000 + n % 1000 || '70008000000000000000')::uuid
			AND scim.fold(u.user_name) COLLATE "C" = 'seed.' || n || '@example.com';
	SQL
	)
	[ "$found" = $((users < 1000 ? users : 1000)) ] || die "the users loaded are not where pgbench will look for them."
}

