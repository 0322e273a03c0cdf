#!/usr/bin/env bash
#
# run.sh [--rounds N] [--seconds S] [--users N] [--out DIR] [--profile] -
# measure scim over HTTP against pgbench on the same tables.
#
#   --rounds N    how often each pair is measured (default 4); ratios are medians
#   --seconds S   length of each measurement (default 2, whole seconds)
#   --users N     users stored beforehand (default 20000)
#   --out DIR     where the report goes (default build/bench)
#   --profile     then run each operation once more under perf, and write where
#                 the listeners' time goes to DIR/profile-<operation>.txt
#
# Builds the extension in the tree, installs it into a private copy of the
# PostgreSQL at hand, and starts a cluster of its own there; all of it under
# /tmp and removed at the end.  README.md says what is compared with what.
# Exit status 1 if any answer was wrong: there is no rate without right answers.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
source "$root/test/lib.sh"

rounds=4
seconds=2
users=20000
out=$root/build/bench
profile=
usage='usage: run.sh [--rounds N] [--seconds S] [--users N] [--out DIR] [--profile]'
while [ $# != 0 ]; do
	if [ "$1" = --profile ]; then
		profile=yes
		shift
		continue
	fi
	[ $# -ge 2 ] || die "$usage"
	case $1 in
		--rounds) rounds=$2 ;;
		--seconds) seconds=$2 ;;
		--users) users=$2 ;;
		--out) out=$2 ;;
		*) die "unknown option: $1" "$usage" ;;
	esac
	shift 2
done
for value in "$rounds" "$seconds" "$users"; do
	[[ $value =~ ^[1-9][0-9]{0,7}$ ]] || die "\"$value\" is not a positive whole number."
done
mkdir -p "$out" || die "$out cannot be made."
out=$(cd "$out" && pwd -P)

listeners=2
connections=16
clients=8
tenant=bench
base_path=/bench/scim/v2
server=				# directory of PostgreSQL and the cluster (server_user's)
mine=				# scenarios, scripts, results (ours)
private=			# the private copy's programs

clean_up()
{
	local status=$?

	trap - EXIT
	trap '' INT TERM HUP
	allow_main_cluster
	if [ -n "$server" ]; then
		[ -z "$private" ] || stop_cluster "$server" "$private"
		rm -rf "$server"
	fi
	[ -z "$mine" ] || rm -rf "$mine"
	exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

psql_quiet()
{
	"$private/psql" -XAtq -v ON_ERROR_STOP=1 -h "$server/socket" -p 5432 -U postgres -d postgres "$@"
}

# give_up WHAT: say it, with the end of the server's log.
give_up()
{
	[ ! -s "$server/log" ] || tail -n 15 "$server/log" | sed 's/^/    /' >&2
	die "$@"
}

# ---- set up ----

# Into the tree, as make does; then into the private copy.  The lock is the one
# that quickstart takes: two runs at once would build the same files.
build_and_install()
{
	local log=$mine/build.log

	mkdir -p "$root/.quickstart"
	(
		! command -v flock >/dev/null || flock 9
		nice make -C "$root" -j2 PG_CONFIG="$pg_config" 9>&- &&
			make -C "$root" PG_CONFIG="$server/postgres$pg_config" install 9>&-
	) 9>"$root/.quickstart/lock" >"$log" 2>&1 ||
		{ tail -n 25 "$log" >&2; die "the build failed (see above)."; }
	gcc -O2 -o "$mine/load" "$root/bench/load.c" >"$log" 2>&1 ||
		{ cat "$log" >&2; die "bench/load.c cannot be compiled (see above)."; }
}

start_server()
{
	local memory=$(($(awk '/^MemTotal:/ { print int($2 / 1024) }' /proc/meminfo) / 4))

	port=$(free_port)
	make_cluster "$server" "$private" "$me"
	# A checkpoint or autovacuum that falls into one half of a pair and not into
	# the other would decide the ratio.
	append_conf "$server" <<-CONF
		cluster_name = 'scim bench'
		max_connections = 50
		shared_buffers = $((memory > 4096 ? 4096 : memory < 128 ? 128 : memory))MB
		max_wal_size = 16GB
		checkpoint_timeout = 1h
		autovacuum = off
		shared_preload_libraries = 'scim'
		scim.database = 'postgres'
		scim.port = $port
		scim.listeners = $listeners
	CONF
	start_cluster "$server" "$private" || give_up "the private cluster did not start (see above)."
	postmaster=$(head -n 1 "$server/data/postmaster.pid")
}

wait_listening()
{
	local deadline=$((SECONDS + 60)) state=

	while [ $SECONDS -lt $deadline ]; do
		state=$(psql_quiet -c "SELECT count(*) FILTER (WHERE state = 'listening'), max(note) FROM scim.workers" 2>/dev/null) || state=
		[ "$state" != "$listeners|" ] || return 0
		sleep 0.1
	done
	give_up "the listeners do not listen on port $port: $state"
}

# Users 1 to N, each of a parent row and eleven values, as the scenario "post"
# makes them.  The id is computed from the number, so that pgbench can compute
# it, too; the multiplication scatters the ids over the index as random ones
# would be.
load_users()
{
	psql_quiet -v users="$users" >"$mine/load.log" 2>&1 <<-'SQL' || { cat "$mine/load.log" >&2; die "the users cannot be loaded (see above)."; }
		-- the triggers' work is done by the statements themselves
		SET session_replication_role = replica;
		SET synchronous_commit = off;
		SET work_mem = '256MB';
		CREATE TEMPORARY TABLE n AS
			SELECT n, ((10000000 + x / 1000) * 10000 + 1000 + x % 1000 || '40008000000000000000')::uuid AS id
			FROM (SELECT n, n::bigint * 2654435761 % 10000000000 AS x FROM generate_series(1, :users) n) numbers;
		INSERT INTO scim.users (tenant, id, external_id, user_name, name_formatted, name_family_name, name_given_name,
				name_middle_name, display_name, nick_name, profile_url, title, user_type, preferred_language, locale, timezone,
				active, employee_number, cost_center, organization, division, department, manager_id, values_present)
			SELECT 'bench', id, 'seed-' || n, 'seed.' || n || '@example.com', 'Tove M Sandberg', 'Sandberg', 'Tove',
				'M', 'Tove Sandberg', 'Tovis', 'https://people.example.com/' || n, 'Engineer', 'Employee', 'sv-SE', 'sv-SE', 'Europe/Stockholm',
				true, n, '4130', 'Example AB', 'Theatre', 'Stage lighting', '11111111-1111-4111-8111-111111111111', 127
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
		COPY (SELECT id, 'seed.' || n || '@example.com' FROM n) TO STDOUT \g ids.tsv
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

# ---- what is measured ----

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
	cat >"$mine/post.sql" <<-'SQL'
		\set r random(1, 9000000000000000000)
		WITH u AS (
			INSERT INTO scim.users (tenant, external_id, user_name, name_formatted, name_family_name, name_given_name,
				name_middle_name, display_name, nick_name, profile_url, title, user_type, preferred_language, locale, timezone,
				active, employee_number, cost_center, organization, division, department, manager_id, values_present)
			VALUES ('bench', :r::text, :r::text || '@example.com', 'Tove M Sandberg', 'Sandberg', 'Tove',
				'M', 'Tove Sandberg', 'Tovis', 'https://people.example.com/' || :r::text, 'Engineer', 'Employee', 'sv-SE', 'sv-SE', 'Europe/Stockholm',
				true, '12345', '4130', 'Example AB', 'Theatre', 'Stage lighting', '11111111-1111-4111-8111-111111111111', 127)
			RETURNING id),
		emails AS (
			INSERT INTO scim.user_emails (tenant, user_id, value, type, is_primary)
			SELECT 'bench', u.id, :r::text || v.value, v.type, v.is_primary
			FROM u, (VALUES ('@example.com', 'work', true), ('@home.example', 'home', NULL)) v (value, type, is_primary)),
		phones AS (
			INSERT INTO scim.user_phone_numbers (tenant, user_id, value, type)
			SELECT 'bench', u.id, v.value, v.type FROM u, (VALUES ('+46 8 5550 1234', 'work'), ('+46 70 555 0123', 'mobile')) v (value, type)),
		ims AS (
			INSERT INTO scim.user_ims (tenant, user_id, value, type) SELECT 'bench', u.id, 'tove.sandberg', 'xmpp' FROM u),
		photos AS (
			INSERT INTO scim.user_photos (tenant, user_id, value, type)
			SELECT 'bench', u.id, 'https://people.example.com/' || :r::text || '.jpg', 'photo' FROM u),
		addresses AS (
			INSERT INTO scim.user_addresses (tenant, user_id, street_address, locality, region, postal_code, country, type)
			SELECT 'bench', u.id, v.street, v.city, v.region, v.code, 'SE', v.type
			FROM u, (VALUES ('Storgatan 1', 'Uppsala', 'Uppland', '753 20', 'work'), ('Kyrkogatan 7', 'Knivsta', 'Uppland', '741 40', 'home'))
				v (street, city, region, code, type)),
		entitlements AS (
			INSERT INTO scim.user_entitlements (tenant, user_id, value) SELECT 'bench', u.id, 'workshop' FROM u),
		roles AS (
			INSERT INTO scim.user_roles (tenant, user_id, value) SELECT 'bench', u.id, v.value FROM u, (VALUES ('viewer'), ('editor')) v (value))
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

# ---- measuring ----

# CPU time of all listeners so far, in microseconds.
listeners_cpu()
{
	local pid stat sum=0

	for pid in $pids; do
		stat=$(<"/proc/$pid/stat")
		set -- ${stat##*) }
		sum=$((sum + ${12} + ${13}))
	done
	printf '%s\n' $((sum * 1000000 / tick))
}

number()
{
	sed -n "s/.*\"$1\": \([0-9.]*\).*/\1/p" "$mine/answer"
}

# http NAME SECONDS: sets rate, p50, p99 (ms) and cpu (us per request).
http()
{
	local before after

	before=$(listeners_cpu)
	"$mine/load" --url "http://127.0.0.1:$port$base_path" --token-file "$mine/token" --connections "$connections" \
		--seconds "$2" --out "$mine/answer" "$mine/$1" || give_up "the answers to $1 are not what they should be (see above)."
	after=$(listeners_cpu)
	rate=$(number rate)
	p50=$(awk "BEGIN { print $(number p50_us) / 1000 }")
	p99=$(awk "BEGIN { print $(number p99_us) / 1000 }")
	cpu=$(awk "BEGIN { print ($after - $before) / $(number answers) }")
}

# CPU time of all sessions that have ended so far, in microseconds: the
# postmaster's children's.
sessions_cpu()
{
	local stat

	stat=$(<"/proc/$postmaster/stat")
	set -- ${stat##*) }
	printf '%s\n' $(((${14} + ${15}) * 1000000 / tick))
}

# yardstick SCRIPT SECONDS [CLIENTS]: sets tps and yardstick_cpu (us per
# transaction, beginning and end of the sessions included).
yardstick()
{
	local options= before count

	before=$(sessions_cpu)
	[ "$1" != post ] || options='-c session_replication_role=replica'
	PGOPTIONS=$options "$private/pgbench" -n -M prepared -c "${3:-$clients}" -j 2 -T "$2" -D users="$users" -f "$mine/$1.sql" \
		-h "$server/socket" -p 5432 -U postgres postgres >"$mine/pgbench" 2>&1 ||
		{ tail -n 20 "$mine/pgbench" >&2; give_up "pgbench failed on $1 (see above)."; }
	tps=$(sed -n 's/^tps = \([0-9.]*\).*without initial.*/\1/p' "$mine/pgbench")
	count=$(sed -n 's/^number of transactions actually processed: \([0-9]*\).*/\1/p' "$mine/pgbench")
	[ -n "$tps" ] && [ "${count:-0}" -gt 0 ] || { cat "$mine/pgbench" >&2; die "pgbench said no tps."; }
	sleep 0.2		# pgbench does not wait until its sessions have ended
	yardstick_cpu=$(awk "BEGIN { print ($(sessions_cpu) - $before) / $count }")
}

# pair ROUND NAME: the yardstick goes first in every other round, because what
# comes first after a checkpoint or a load pays for it.
pair()
{
	if [ $(($1 % 2)) = 1 ]; then
		http "$2" "$seconds"
		yardstick "$2" "$seconds"
	else
		yardstick "$2" "$seconds"
		http "$2" "$seconds"
	fi
	printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$rate" "$p50" "$p99" "$cpu" "$tps" "$yardstick_cpu" >>"$mine/results"
	printf '.'
}

measure()
{
	local round name point point_cpu

	for name in get filter post patch; do
		http $name 1
	done
	yardstick flush 1 1
	flush=$tps
	for round in $(seq "$rounds"); do
		for name in get filter post patch; do
			pair "$round" $name
			[ $name != get ] || { point=$tps; point_cpu=$yardstick_cpu; }
		done
		yardstick handle "$seconds"
		printf '%s\thandle\t%s\t-\t-\t%s\t%s\t%s\n' "$round" "$tps" "$yardstick_cpu" "$point" "$point_cpu" >>"$mine/results"
	done
	printf '\n\n'
}

# Where the listeners' time goes, by function and by library, without and with
# what a function calls.
profile()
{
	local name recorder

	for name in get filter post patch; do
		perf record -q -F 2999 -g --call-graph fp -o "$mine/perf.data" -p "${pids// /,}" -- sleep 3 >/dev/null 2>"$mine/perf.log" &
		recorder=$!
		http $name 4
		wait "$recorder" || { cat "$mine/perf.log" >&2; die "perf failed (see above)."; }
		{
			printf 'CPU %s us per request, %s requests/s (perf takes its part)\n' "$cpu" "$rate"
			perf report -i "$mine/perf.data" --no-children -g none --sort dso --percent-limit 0.5 --stdio
			perf report -i "$mine/perf.data" --no-children -g none --sort symbol,dso --percent-limit 0.3 --stdio
			perf report -i "$mine/perf.data" --children -g none --sort symbol,dso --percent-limit 1 --stdio
		} 2>/dev/null | grep -v -e '^#' -e '^$' >"$out/profile-$name.txt"
		say "Written: $out/profile-$name.txt"
	done
}

# ---- report ----

# The table goes to standard output, the same as JSON to the file "json".
# Goals: at least, great.
report()
{
	awk -F '\t' -v json="$1" -v date="$(date -u +%Y-%m-%dT%H:%M:%SZ)" -v users="$users" -v rounds="$rounds" -v seconds="$seconds" \
		-v cpus="$(nproc)" -v machine="$(uname -srm)" -v model="$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" \
		-v postgres="$("$pg_config" --version)" -v disk="$(stat -f -c %T "$server/data")" -v commit="$commit" \
		-v listeners="$listeners" -v connections="$connections" -v clients="$clients" -v body="$body_size" -v answer="$answer_size" -v flush="$flush" '
		function median(name, column,    i, j, n, swap, list) {
			n = 0
			for (i = 1; i <= count; i++)
				if (what[i] == name)
					list[++n] = value[i, column] + 0
			for (i = 2; i <= n; i++)
				for (j = i; j > 1 && list[j - 1] > list[j]; j--) {
					swap = list[j]; list[j] = list[j - 1]; list[j - 1] = swap
				}
			return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
		}
		function extreme(name, column, sign,    i, best, found) {
			for (i = 1; i <= count; i++)
				if (what[i] == name && (!found++ || sign * value[i, column] > sign * best))
					best = value[i, column] + 0
			return best
		}
		function rounded(x, digits) {
			return sprintf("%." digits "f", x)
		}
		function text(s) {
			gsub(/["\\]/, "\\\\&", s)
			return "\"" s "\""
		}
		function row(name, title, against, least, great,    i, comma, r, verdict, http) {
			http = name != "handle"
			r = median(name, 7)
			verdict = r >= great ? "great" : r >= least ? "ok" : "below"
			printf "%-24s %9.0f %7s %7s %7s   %-38s %8.0f %7s   %5.2f  %4.2f-%-4.2f  %4.2f %5.2f  %s\n", title, median(name, 1),
				http ? rounded(median(name, 2), 2) : "", http ? rounded(median(name, 3), 2) : "", rounded(median(name, 4), 0),
				against, median(name, 5), rounded(median(name, 6), 0), r, extreme(name, 7, -1), extreme(name, 7, 1), least, great, verdict
			printf "%s\n    {\"name\": %s, \"rate\": %.1f, \"cpu_us\": %.1f, \"yardstick\": %s, \"tps\": %.1f, \"yardstick_cpu_us\": %.1f, \"ratio\": %.4f, \"at_least\": %.2f, \"great\": %.2f",
				operations++ ? "," : "", text(name), median(name, 1), median(name, 4), text(against), median(name, 5), median(name, 6), r, least, great > json
			if (http)
				printf ", \"p50_ms\": %.3f, \"p99_ms\": %.3f", median(name, 2), median(name, 3) > json
			printf ", \"rounds\": [" > json
			for (i = 1; i <= count; i++)
				if (what[i] == name)
					printf "%s{\"rate\": %.1f, \"cpu_us\": %.1f, \"tps\": %.1f, \"yardstick_cpu_us\": %.1f, \"ratio\": %.4f%s}", comma++ ? ", " : "",
						value[i, 1], value[i, 4], value[i, 5], value[i, 6], value[i, 7],
						http ? sprintf(", \"p50_ms\": %.3f, \"p99_ms\": %.3f", value[i, 2], value[i, 3]) : "" > json
			printf "]}" > json
		}
		{
			what[++count] = $2
			for (i = 3; i <= 8; i++)
				value[count, i - 2] = $i
			value[count, 7] = $3 / $7
		}
		END {
			printf "{\n  \"date\": %s, \"commit\": %s, \"postgres\": %s, \"machine\": %s, \"cpu\": %s, \"cpus\": %d, \"disk\": %s,\n",
				text(date), text(commit), text(postgres), text(machine), text(model), cpus, text(disk) > json
			printf "  \"users\": %d, \"rounds\": %d, \"seconds\": %d, \"listeners\": %d, \"connections\": %d, \"pgbench_clients\": %d, \"post_bytes\": %d, \"get_bytes\": %d, \"commits_alone\": %.0f,\n  \"operations\": [",
				users, rounds, seconds, listeners, connections, clients, body, answer, flush > json
			printf "%s, %d CPUs, data on %s; %d users; median of %d rounds of %d s\n", postgres, cpus, disk, users, rounds, seconds
			printf "HTTP: %d listeners, %d keep-alive connections, bearer token, no TLS; POST of %d bytes, GET of %d bytes\n", listeners, connections, body, answer
			printf "One session that does nothing but commit: %.0f commits/s (what a flush of the WAL costs here)\n\n", flush
			printf "%-24s %9s %7s %7s %7s   %-38s %8s %7s   %5s  %-9s  %4s %5s\n", "", "per s", "p50 ms", "p99 ms", "CPU us", "yardstick: pgbench, " clients " clients", "tps", "CPU us", "ratio", "range", "min", "great"
			row("get", "GET /Users/{id}", "SELECT * by (tenant, id)", 0.20, 0.40)
			row("filter", "GET ?filter=userName eq", "SELECT * by (tenant, fold(user_name))", 0.20, 0.40)
			row("post", "POST /Users", "INSERT of the same 12 rows, 1 statement", 0.35, 0.80)
			row("patch", "PATCH of title", "UPDATE of title, 1 statement", 0.50, 1.20)
			row("handle", "scim.handle GET, in SQL", "SELECT * by (tenant, id)", 0.20, 0.50)
			printf "\n  ]\n}\n" > json
		}' "$mine/results"
}

ensure_packages quickstart
[ -z "$profile" ] || command -v perf >/dev/null || die "--profile needs perf." "On Debian it comes with linux-perf."
[ -x "$pg_bindir/pgbench" ] || die "there is no pgbench in $pg_bindir." "On Debian it comes with postgresql-$pg_major."
tick=$(getconf CLK_TCK)
commit=$(git -C "$root" describe --always --dirty 2>/dev/null || printf unknown)
mine=$(mktemp -d /tmp/scim-bench-files.XXXXXX)
new_directory bench
server=$directory
as_server mkdir "$server/postgres"
private_postgres "$server/postgres"
private=$server/postgres$pg_bindir
say "Building, and starting a private cluster ..."
build_and_install
cd "$mine"
start_server
psql_quiet -c "CREATE EXTENSION scim" -c "SELECT scim.setup()" -c "SELECT scim.create_endpoint('$tenant', base_path => '$base_path')" >/dev/null ||
	give_up "the extension cannot be set up."
(umask 077; psql_quiet -c "SELECT scim.create_token('$tenant', label => 'bench')" >"$mine/token")
wait_listening
say "Loading $users users ..."
load_users
always_check_foreign_keys
write_scenarios
write_yardsticks
check_yardsticks
pids=$(psql_quiet -c "SELECT string_agg(pid::text, ' ') FROM scim.workers WHERE state = 'listening'")
body_size=$(sed 's/{run}/0123456789abcd/g; s/{n}/12345/g' "$mine/post.json" | wc -c)
answer_size=$(psql_quiet -c "SELECT octet_length(body) FROM scim.handle('$tenant', 'GET', '/Users/$(cut -f 1 "$mine/ids.tsv" | head -n 1)')")
say "Measuring: $rounds rounds ..."
measure
file=$out/bench-$(date -u +%Y%m%dT%H%M%SZ).json
report "$file"
say "Written: $file"
[ -z "$profile" ] || profile
