# stock.sh - what bench/run.sh and bench/curves.sh store: users, groups, and
# that it is the same again after each round.  Sourced after lib.sh.

tenant=bench
base_path=/bench/scim/v2

# sql DATABASE WHAT [psql option...]: run standard input, or say that WHAT failed.
sql()
{
	local database=$1 what=$2

	shift 2
	psql_quiet -d "$database" "$@" >"$mine/sql.log" 2>&1 || { tail -n 20 "$mine/sql.log" >&2; give_up "$what (see above)."; }
}

# make_endpoint DATABASE: extension, endpoint, and the token in DATABASE/token.
make_endpoint()
{
	mkdir -p "$mine/$1"
	sql "$1" "the extension cannot be set up" -v tenant="$tenant" -v base="$base_path" <<-'SQL'
		CREATE EXTENSION scim;
		SELECT scim.setup();
		SELECT scim.create_endpoint(:'tenant', base_path => :'base');
	SQL
	(umask 077; psql_quiet -d "$1" -c "SELECT scim.create_token('$tenant', label => 'bench')" >"$mine/$1/token")
}

# load_users DATABASE FIRST LAST: each of a parent row and eleven values, as the
# scenario "post" makes them.  The id is computed from the number, so that
# pgbench can compute it, too; like the ids that the server gives, it is a UUID of
# version 7, and a later user has a greater one.
load_users()
{
	sql "$1" "the users cannot be loaded" -v first="$2" -v last="$3" <<-'SQL'
		-- the triggers' work is done by the statements themselves
		SET session_replication_role = replica;
		SET synchronous_commit = off;
		SET work_mem = '256MB';
		CREATE TEMPORARY TABLE n AS
			SELECT n, ('0190' || (1000 + n / 1000) * 10000 + 1000 + n % 1000 || '70008000000000000000')::uuid AS id
			FROM generate_series(:first::int, :last::int) n;
		INSERT INTO scim.users (tenant, id, external_id, user_name, name_formatted, name_family_name, name_given_name,
				name_middle_name, display_name, nick_name, profile_url, title, user_type, preferred_language, locale, timezone,
				active, employee_number, cost_center, organization, division, department, manager_id)
			SELECT 'bench', id, 'seed-' || n, 'seed.' || n || '@example.com', 'Tove M Sandberg', 'Sandberg', 'Tove',
				'M', 'Tove Sandberg', 'Tovis', 'https://people.example.com/' || n, 'Engineer', 'Employee', 'sv-SE', 'sv-SE', 'Europe/Stockholm',
				true, n, '4130', 'Example AB', 'Theatre', 'Stage lighting', '11111111-1111-4111-8111-111111111111'
			FROM n;
		INSERT INTO scim.user_values (tenant, user_id, attribute, value, type, is_primary, street_address, locality, region, postal_code, country)
			SELECT 'bench', id, v.*
			FROM n, LATERAL (VALUES ('emails', 'seed.' || n || '@example.com', 'work', true, NULL, NULL, NULL, NULL, NULL),
				('emails', 'seed.' || n || '@home.example', 'home', NULL, NULL, NULL, NULL, NULL, NULL),
				('phoneNumbers', '+46 8 5550 1234', 'work', NULL, NULL, NULL, NULL, NULL, NULL),
				('phoneNumbers', '+46 70 555 0123', 'mobile', NULL, NULL, NULL, NULL, NULL, NULL),
				('ims', 'tove.sandberg', 'xmpp', NULL, NULL, NULL, NULL, NULL, NULL),
				('photos', 'https://people.example.com/' || n || '.jpg', 'photo', NULL, NULL, NULL, NULL, NULL, NULL),
				('addresses', NULL, 'work', NULL, 'Storgatan 1', 'Uppsala', 'Uppland', '753 20', 'SE'),
				('addresses', NULL, 'home', NULL, 'Kyrkogatan 7', 'Knivsta', 'Uppland', '741 40', 'SE'),
				('entitlements', 'workshop', NULL, NULL, NULL, NULL, NULL, NULL, NULL),
				('roles', 'viewer', NULL, NULL, NULL, NULL, NULL, NULL, NULL),
				('roles', 'editor', NULL, NULL, NULL, NULL, NULL, NULL, NULL)) v;
		RESET session_replication_role;
		VACUUM ANALYZE;
		CHECKPOINT;
	SQL
}

# write_data DATABASE USERS: the rows of the scenarios: ids and names, of at most
# 250,000 users, and the first index of each page of 100.
write_data()
{
	psql_quiet -v users="$2" >"$mine/$1/ids.tsv" <<-'SQL'
		COPY (SELECT ('0190' || (1000 + n / 1000) * 10000 + 1000 + n % 1000 || '70008000000000000000')::uuid, 'seed.' || n || '@example.com', 'seed-' || n
			FROM generate_series(1, :users, greatest(1, :users / 250000)) n ORDER BY random()) TO STDOUT;
	SQL
	seq 1 100 $(($2 > 100 ? $2 - 99 : 1)) >"$mine/$1/pages.tsv"
	# as many as are changed in a second or two, so that each is new
	head -n 20000 "$mine/$1/ids.tsv" >"$mine/$1/members.tsv"
}

# load_group DATABASE LETTER NAME MEMBERS: they need not exist for what is
# measured.
load_group()
{
	sql "$1" "the group cannot be loaded" -v id="00000000-0000-4000-8000-00000000000$2" -v name="$3" -v members="$4" <<-'SQL'
		SET session_replication_role = replica;
		SET synchronous_commit = off;
		INSERT INTO scim.groups (tenant, id, display_name) VALUES ('bench', :'id', :'name');
		INSERT INTO scim.group_members (tenant, group_id, user_id)
			SELECT 'bench', :'id', gen_random_uuid() FROM generate_series(1, :members);
		RESET session_replication_role;
		VACUUM ANALYZE scim.groups, scim.group_members;
	SQL
}

# What POST and Bulk have created goes again, and dead rows with it, as
# autovacuum would have done it.
sweep()
{
	sql "$1" "the users created cannot be deleted" <<-'SQL'
		SET session_replication_role = replica;
		SET synchronous_commit = off;
		CREATE TEMPORARY TABLE created AS SELECT tenant, id FROM scim.users WHERE user_name NOT LIKE 'seed.%';
		ANALYZE created;
		SELECT format('DELETE FROM %s c USING created WHERE c.tenant = created.tenant AND c.user_id = created.id', c.conrelid::regclass)
			FROM pg_constraint c WHERE c.contype = 'f' AND c.confrelid = 'scim.users'::regclass \gexec
		DELETE FROM scim.users u USING created WHERE u.tenant = created.tenant AND u.id = created.id;
		RESET session_replication_role;
		SELECT format('VACUUM ANALYZE %s', c.oid::regclass)
			FROM pg_class c WHERE c.relnamespace = 'scim'::regnamespace AND c.relkind = 'r' AND c.relname ~ '^(users?|groups?)(_|$)' \gexec
	SQL
}

# For the yardstick of POST: in a session with session_replication_role =
# replica the foreign keys are checked as ever, but the trigger that looks for
# members who were named before they came does not run.  Sessions that do not ask
# for it see no change.  (see also note_growth)
always_check_foreign_keys()
{
	sql "$1" "the foreign keys cannot be set up" <<-'SQL'
		SELECT format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', t.tgrelid::regclass, t.tgname)
		FROM pg_trigger t JOIN pg_constraint c ON c.oid = t.tgconstraint
		WHERE t.tgisinternal AND c.contype = 'f' AND c.conrelid = t.tgrelid AND c.confrelid = 'scim.users'::regclass \gexec
	SQL
}

# note_growth DATABASE on|off: for the same yardstick, do those sessions note what
# the table grows by, as scim does for its totals?
note_growth()
{
	local state='ENABLE REPLICA'

	[ "$2" = on ] || state=DISABLE
	psql_quiet -d "$1" -c "ALTER TABLE scim.users $state TRIGGER note_growth_replica"
}
