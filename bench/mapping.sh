#!/usr/bin/env bash
#
# mapping.sh [--rounds N] [--users N] [--seconds S] - what a mapping costs.
#
#   --rounds N    how often each request is measured (default 7); medians
#   --users N     users in each store (default 1000000)
#   --seconds S   length of each measurement (default 2, whole seconds)
#
# The same users in the built-in store and in two tables of an application, one
# with columns for externalId and times, one without (scim.resource_state has
# them then), with the indexes that scim.recommend_indexes names.  GET by id and
# a filter on userName over HTTP, the three in turn, the order of which changes
# from round to round.  What is compared is the listener's CPU time for a request
# (and the rate beside it, which other work on the machine moves).
#
# Builds the extension, installs it into a private copy of the PostgreSQL at
# hand, and starts a cluster of its own, all under /tmp and removed at the end.
# Exit status 1 if an answer is not the user that was asked for.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
source "$root/test/lib.sh"
source "$root/bench/lib.sh"

rounds=7
users=1000000
seconds=2
usage='usage: mapping.sh [--rounds N] [--users N] [--seconds S]'
while [ $# != 0 ]; do
	[ $# -ge 2 ] || die "$usage"
	case $1 in
		--rounds) rounds=$2 ;;
		--users) users=$2 ;;
		--seconds) seconds=$2 ;;
		*) die "unknown option: $1" "$usage" ;;
	esac
	shift 2
done
for value in "$rounds" "$users" "$seconds"; do
	[[ $value =~ ^[1-9][0-9]{0,7}$ ]] || die "\"$value\" is not a positive whole number."
done
stores=(built columns state)

start_server()
{
	port=$(free_port)
	make_cluster "$server" "$private" "$me"
	append_conf "$server" <<-CONF
		shared_buffers = 1GB
		max_wal_size = 16GB
		checkpoint_timeout = 1h
		autovacuum = off
		fsync = off
		shared_preload_libraries = 'scim'
		scim.database = 'postgres'
		scim.port = $port
		scim.listeners = 1
	CONF
	start_cluster "$server" "$private" || give_up "the private cluster did not start (see above)."
}

# Sets pid.
wait_listening()
{
	local deadline=$((SECONDS + 60))

	pid=
	while [ $SECONDS -lt $deadline ] && [ -z "$pid" ]; do
		pid=$(psql_quiet -c "SELECT pid FROM scim.workers WHERE state = 'listening'" 2>/dev/null) || pid=
		[ -n "$pid" ] || sleep 0.1
	done
	[ -n "$pid" ] || give_up "the listener does not listen on port $port."
}

# Every user has a name, a title, an e-mail; an id is the md5 of a number.
load_users()
{
	psql_quiet -v users="$users" >"$mine/load.log" 2>&1 <<-'SQL' || { cat "$mine/load.log" >&2; die "the users cannot be loaded (see above)."; }
		CREATE EXTENSION scim;
		SELECT scim.setup();
		CREATE ROLE app NOLOGIN;
		CREATE SCHEMA app AUTHORIZATION app;
		SET ROLE app;
		CREATE TABLE app.state (id uuid PRIMARY KEY, login text NOT NULL, first text, last text, job text, active boolean);
		CREATE TABLE app.columns (LIKE app.state INCLUDING ALL, external_id text, created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now());
		CREATE TABLE app.state_mail (id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, person uuid NOT NULL REFERENCES app.state ON DELETE CASCADE, mail text NOT NULL, kind text, main boolean);
		CREATE TABLE app.columns_mail (id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, person uuid NOT NULL REFERENCES app.columns ON DELETE CASCADE, mail text NOT NULL, kind text, main boolean);
		RESET ROLE;
		CREATE TEMP TABLE people AS SELECT md5(i::text)::uuid AS id, 'user' || i || '@example.com' AS login, 'First' || i % 1000 AS first, 'Last' || i % 7000 AS last, 'job ' || i % 50 AS job FROM generate_series(1, :users) i;
		INSERT INTO scim.users (tenant, id, external_id, user_name, name_given_name, name_family_name, title, active) SELECT 'built', id, 'e' || id, login, first, last, job, true FROM people;
		INSERT INTO scim.user_values (tenant, user_id, attribute, value, type, is_primary) SELECT 'built', id, 'emails', login, 'work', true FROM people;
		INSERT INTO app.state SELECT id, login, first, last, job, true FROM people;
		INSERT INTO app.columns SELECT id, login, first, last, job, true, 'e' || id FROM people;
		INSERT INTO app.state_mail (person, mail, kind, main) SELECT id, login, 'work', true FROM people;
		INSERT INTO app.columns_mail (person, mail, kind, main) SELECT id, login, 'work', true FROM people;
		SELECT scim.create_mapping('columns', 'User', 'app.columns', owner => 'app', attributes => '{"userName": "login", "name.givenName": "first", "name.familyName": "last", "title": "job", "active": "active",
			"emails": {"table": "app.columns_mail", "parent": "person", "order": "id", "columns": {"value": "mail", "type": "kind", "primary": "main"}},
			"externalId": "external_id", "meta.created": "created_at", "meta.lastModified": "updated_at"}');
		SELECT scim.create_mapping('state', 'User', 'app.state', owner => 'app', attributes => '{"userName": "login", "name.givenName": "first", "name.familyName": "last", "title": "job", "active": "active",
			"emails": {"table": "app.state_mail", "parent": "person", "order": "id", "columns": {"value": "mail", "type": "kind", "primary": "main"}}}');
		INSERT INTO scim._resource_state (mapping, scope, key, external_id, created, last_modified)
			SELECT m.id, '', p.id::text, 'e' || p.id, now(), now() FROM people p, scim._mappings m WHERE m.name = 'state';
		DO $$
		DECLARE
			s text;
		BEGIN
			FOR s IN SELECT statement FROM unnest('{columns,state}'::text[]) m, scim.recommend_indexes(m) WHERE statement IS NOT NULL LOOP
				EXECUTE s;
			END LOOP;
		END $$;
		CREATE INDEX ON app.columns_mail (person, id);
		CREATE INDEX ON app.state_mail (person, id);
		SELECT scim.create_endpoint('built'), scim.create_endpoint('columns', mappings => '{columns}'), scim.create_endpoint('state', mappings => '{state}');
		VACUUM (ANALYZE);
		CHECKPOINT;
	SQL
}

# Data (ids.tsv), tokens and scenarios lie in one directory.
write_scenarios()
{
	local store

	psql_quiet -F $'\t' -c "SELECT md5(i::text)::uuid, 'user' || i || '@example.com' FROM (SELECT 1 + floor(random() * $users)::int AS i FROM generate_series(1, 100000)) x" >"$mine/ids.tsv"
	cat >"$mine/get" <<-'SCENARIO'
		method GET
		path /Users/{1}
		data ids.tsv
		status 200
		expect "id":"{1}"
		expect "userName":"{2}"
		expect "externalId":"e{1}"
	SCENARIO
	sed 's|^path .*|path /Users?filter=userName%20eq%20%22{2}%22|' "$mine/get" >"$mine/filter"
	for store in "${stores[@]}"; do
		(umask 077; psql_quiet -c "SELECT scim.create_token('$store', label => 'bench')" >"$mine/token-$store")
	done
}

# CPU time of the listener so far, in microseconds.
listener_cpu()
{
	local stat

	stat=$(<"/proc/$pid/stat")
	set -- ${stat##*) }
	printf '%s\n' $(((${12} + ${13}) * 1000000 / tick))
}

number()
{
	sed -n "s/.*\"$1\": \([0-9.]*\).*/\1/p" "$mine/answer"
}

# timed REQUEST STORE: sets rate, and cpu, in us for a request.
timed()
{
	local before

	before=$(listener_cpu)
	"$mine/load" --url "http://127.0.0.1:$port/$2/scim/v2" --token-file "$mine/token-$2" --connections 4 --seconds "$seconds" --out "$mine/answer" "$mine/$1" ||
		give_up "the answers to $1 of $2 are not what they should be (see above)."
	rate=$(number rate)
	cpu=$(awk "BEGIN { print ($(listener_cpu) - $before) / $(number answers) }")
}

measure()
{
	local round request k store

	for round in $(seq 0 "$rounds"); do
		for request in get filter; do
			for k in 0 1 2; do
				store=${stores[(round + k) % 3]}
				timed "$request" "$store"
				printf '%s\t%s\t%s\t%s\t%s\n' "$round" "$request" "$store" "$rate" "$cpu" >>"$mine/results"
			done
		done
		printf '.'
	done
	printf '\n\n'
}

# Round 0 only warms up.
report()
{
	awk -F '\t' '
		function median(list, n,    i, j, swap) {
			for (i = 2; i <= n; i++)
				for (j = i; j > 1 && list[j - 1] > list[j]; j--) {
					swap = list[j]; list[j] = list[j - 1]; list[j - 1] = swap
				}
			return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
		}
		function middle(request, store, column, by,    i, v) {
			for (i = 1; i <= rounds; i++)
				v[i] = value[request, store, i, column] / (by == "" ? 1 : value[request, by, i, column])
			return median(v, rounds)
		}
		$1 > 0 { value[$2, $3, $1, 4] = $4; value[$2, $3, $1, 5] = $5; if ($1 > rounds) rounds = $1 }
		END {
			split("get filter", names, " ")
			split("columns state", stores, " ")
			text["get"] = "GET by id"
			text["filter"] = "filter userName eq"
			text["columns"] = "columns for all"
			text["state"] = "scim.resource_state"
			printf "%-20s %-20s %14s %10s %7s %9s\n", "medians", "mapping", "built-in us", "mapped", "ratio", "rate"
			for (k = 1; k <= 2; k++)
				for (s = 1; s <= 2; s++)
					printf "%-20s %-20s %14.0f %10.0f %7.2f %9.2f\n", text[names[k]], text[stores[s]],
						middle(names[k], "built", 5, ""), middle(names[k], stores[s], 5, ""), middle(names[k], stores[s], 5, "built"), middle(names[k], stores[s], 4, "built")
		}' "$mine/results"
}

ensure_packages quickstart
tick=$(getconf CLK_TCK)
make_directories mapping
say "Building, loading $users users three times."
build_and_install
build_load
cd "$mine"
start_server
load_users
wait_listening
write_scenarios
measure
report
