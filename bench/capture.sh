#!/usr/bin/env bash
#
# capture.sh [--rounds N] [--rows N] - what change capture costs a bulk UPDATE.
#
#   --rounds N    how often each statement is measured (default 9); medians
#   --rows N      rows of the table (default 100000)
#
# Two tables with the same rows, one of them captured for a sync, and the same
# statements on both in alternation; the half that comes first changes from
# round to round.  Builds the extension, installs it into a private copy of the
# PostgreSQL at hand, and starts a cluster of its own, all under /tmp and
# removed at the end.  Exit status 1 if the queue does not hold what changed.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
source "$root/test/lib.sh"
source "$root/bench/lib.sh"

rounds=9
rows=100000
usage='usage: capture.sh [--rounds N] [--rows N]'
while [ $# != 0 ]; do
	[ $# -ge 2 ] || die "$usage"
	case $1 in
		--rounds) rounds=$2 ;;
		--rows) rows=$2 ;;
		*) die "unknown option: $1" "$usage" ;;
	esac
	shift 2
done
for value in "$rounds" "$rows"; do
	[[ $value =~ ^[1-9][0-9]{0,7}$ ]] || die "\"$value\" is not a positive whole number."
done

start_server()
{
	make_cluster "$server" "$private" "$me"
	append_conf "$server" <<-CONF
		shared_buffers = 512MB
		max_wal_size = 16GB
		checkpoint_timeout = 1h
		autovacuum = off
	CONF
	start_cluster "$server" "$private" || give_up "the private cluster did not start (see above)."
	postmaster=$(head -n 1 "$server/data/postmaster.pid")
}

# Two tables alike; "captured" is watched for two columns and the key.
load_rows()
{
	psql_quiet -v rows="$rows" >"$mine/load.log" 2>&1 <<-'SQL' || { cat "$mine/load.log" >&2; die "the rows cannot be loaded (see above)."; }
		CREATE EXTENSION scim;
		CREATE ROLE app NOLOGIN;
		CREATE FOREIGN DATA WRAPPER bench_wrapper;
		CREATE SERVER target FOREIGN DATA WRAPPER bench_wrapper;
		CREATE SCHEMA app AUTHORIZATION app;
		SET ROLE app;
		CREATE TABLE app.plain (id int PRIMARY KEY, login text NOT NULL, full_name text, mail text, job text, department text, note text, seen int NOT NULL DEFAULT 0);
		CREATE TABLE app.captured (LIKE app.plain INCLUDING ALL);
		RESET ROLE;
		INSERT INTO app.plain SELECT i, 'user' || i, 'User Number ' || i, 'user' || i || '@example.com', 'clerk', 'sales', repeat('x', 100) FROM generate_series(1, :rows) i;
		INSERT INTO app.captured SELECT * FROM app.plain;
		SELECT scim.create_mapping('captured', 'User', 'app.captured', owner => 'app',
			attributes => '{"userName": "login", "name.formatted": "full_name", "title": "job", "emails[type eq \"work\"].value": "mail"}');
		SELECT scim.create_sync('captured', 'captured', 'target', scope => 'department <> ''contractor''');
	SQL
}

# CPU time of all sessions that have ended so far, in ms: the postmaster's children's.
sessions_cpu()
{
	local stat

	stat=$(<"/proc/$postmaster/stat")
	set -- ${stat##*) }
	printf '%s\n' $(((${14} + ${15}) * 1000 / tick))
}

# timed STATEMENT: sets ms, the commit included, and cpu, in ms as well.
timed()
{
	local before

	before=$(sessions_cpu)
	ms=$(psql_quiet -c '\timing on' -c "$1" | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' | head -n 1)
	sleep 0.1		# psql does not wait until its session has ended
	cpu=$(($(sessions_cpu) - before))
}

# statement NAME TABLE ROUND
statement()
{
	case $1 in
		mapped) printf "UPDATE app.%s SET job = 'job %s'" "$2" "$3" ;;
		other) printf "UPDATE app.%s SET seen = %s" "$2" "$3" ;;
		delete) printf "DELETE FROM app.%s" "$2" ;;
		insert) printf "INSERT INTO app.%s SELECT * FROM kept" "$2" ;;
	esac
}

# Keys queued by what was just measured.
queued()
{
	psql_quiet -c 'SELECT coalesce(sum(cardinality(keys)), 0) FROM scim._dirty' -c 'TRUNCATE scim._dirty'
}

measure()
{
	local round name table order expected

	psql_quiet -c 'CREATE TABLE kept AS SELECT * FROM app.plain'
	for round in $(seq 0 "$rounds"); do
		for name in mapped other delete insert; do
			order='plain captured'
			[ $((round % 2)) = 0 ] || order='captured plain'
			for table in $order; do
				psql_quiet -c "VACUUM app.$table" -c CHECKPOINT
				timed "$(statement $name "$table" "$round")"
				printf '%s\t%s\t%s\t%s\t%s\n' "$round" "$name" "$table" "$ms" "$cpu" >>"$mine/results"
			done
			expected=$rows
			[ "$name" != other ] || expected=0
			[ "$(queued)" = "$expected" ] || die "$name: the queue does not hold the $expected keys that changed."
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
		# median of captured / plain, of the rounds (column 4: time, 5: CPU)
		function ratio(name, column,    i, r) {
			for (i = 1; i <= rounds; i++)
				r[i] = value[name, "captured", i, column] / value[name, "plain", i, column]
			return median(r, rounds)
		}
		function middle(name, table, column,    i, v) {
			for (i = 1; i <= rounds; i++)
				v[i] = value[name, table, i, column]
			return median(v, rounds)
		}
		$1 > 0 { value[$2, $3, $1, 4] = $4; value[$2, $3, $1, 5] = $5 > 0 ? $5 : 1; if ($1 > rounds) rounds = $1 }
		END {
			split("mapped other delete insert", names, " ")
			text["mapped"] = "UPDATE of a mapped column"
			text["other"] = "UPDATE of another column"
			text["delete"] = "DELETE"
			text["insert"] = "INSERT"
			printf "%-28s %9s %9s %6s   %9s %9s %6s\n", "every row; medians", "plain ms", "captured", "cost", "plain CPU", "captured", "cost"
			for (k = 1; k <= 4; k++) {
				name = names[k]
				printf "%-28s %9.0f %9.0f %+5.0f%%   %9.0f %9.0f %+5.0f%%\n", text[name],
					middle(name, "plain", 4), middle(name, "captured", 4), (ratio(name, 4) - 1) * 100,
					middle(name, "plain", 5), middle(name, "captured", 5), (ratio(name, 5) - 1) * 100
			}
		}' "$mine/results"
}

ensure_packages quickstart
tick=$(getconf CLK_TCK)
make_directories capture
say "Building, loading $rows rows."
build_and_install
start_server
load_rows
measure
report
