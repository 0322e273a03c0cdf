#!/usr/bin/env bash
#
# outbound.sh [--rounds N] [--users N] [--latency MS] [--concurrency N] [--scale N] -
# how fast an initial sync is, or what a large table costs.
#
#   --rounds N        how often each is measured (default 3); medians
#   --users N         rows of the table (default 2000)
#   --latency MS      of the service in the first half (default 50)
#   --concurrency N   requests at the same time (default 50)
#   --scale N         instead of all that: so many rows are synced once, then
#                     reconciled without a change, then one is changed: time,
#                     requests, memory of the sync worker
#
# A table of users is synced to the test peer, which holds nobody: once with
# that latency, against concurrency / latency, which nobody can exceed; without
# latency against bench/multi.c, which sends the same requests over libcurl and
# does nothing else, and against the same with a search before each POST, as who
# does not read the target's list has to; and with Bulk.  Builds the extension, installs it into a private copy
# of the PostgreSQL at hand, and starts a cluster of its own, all under /tmp and
# removed at the end.  Exit status 1 if the peer does not hold all users, once.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
source "$root/test/lib.sh"
source "$root/bench/lib.sh"

rounds=3
users=2000
latency=50
concurrency=50
scale=
usage='usage: outbound.sh [--rounds N] [--users N] [--latency MS] [--concurrency N] [--scale N]'
while [ $# != 0 ]; do
	[ $# -ge 2 ] || die "$usage"
	case $1 in
		--rounds) rounds=$2 ;;
		--users) users=$2 ;;
		--latency) latency=$2 ;;
		--concurrency) concurrency=$2 ;;
		--scale) users=$2 scale=$2 ;;
		*) die "unknown option: $1" "$usage" ;;
	esac
	shift 2
done
for value in "$rounds" "$users" "$latency" "$concurrency"; do
	[[ $value =~ ^[1-9][0-9]{0,6}$ ]] || die "\"$value\" is not a positive whole number."
done

peer=				# processes
sampler=

end_more()
{
	[ -z "$peer" ] || kill "$peer" 2>/dev/null || true
	[ -z "$sampler" ] || kill "$sampler" 2>/dev/null || true
}

start_server()
{
	make_cluster "$server" "$private" "$me"
	append_conf "$server" <<-CONF
		shared_buffers = 256MB
		max_wal_size = 4GB
		checkpoint_timeout = 1h
		shared_preload_libraries = 'scim'
		scim.database = 'postgres'
		scim.listeners = 0
		scim.allowed_targets = '127.0.0.1'
	CONF
	start_cluster "$server" "$private" || give_up "the private cluster did not start (see above)."
	psql_quiet -v users="$users" >"$mine/load.log" 2>&1 <<-'SQL' || { cat "$mine/load.log" >&2; die "the rows cannot be loaded (see above)."; }
		CREATE EXTENSION scim;
		SELECT scim.setup();
		CREATE ROLE app NOLOGIN;
		CREATE SCHEMA app AUTHORIZATION app;
		SET ROLE app;
		CREATE TABLE app.staff (id int PRIMARY KEY, login text NOT NULL, full_name text, mail text, job text, gone boolean NOT NULL DEFAULT false);
		RESET ROLE;
		INSERT INTO app.staff SELECT i, 'user' || i || '@example.com', 'User ' || i, 'user' || i || '@mail.example', 'Title ' || i FROM generate_series(1, :users) i;
		ANALYZE app.staff;
		SELECT scim.create_mapping('staff', 'User', 'app.staff', owner => 'app',
			attributes => '{"userName": "login", "active": "NOT gone", "name.formatted": "full_name", "title": "job", "emails[type eq \"work\"].value": "mail"}');
	SQL
}

wait_syncing()
{
	local i state=

	for i in $(seq 300); do
		state=$(psql_quiet -c "SELECT state, note FROM scim.workers WHERE worker = 'sync'" 2>/dev/null) || state=
		[ "$state" != 'syncing|' ] || return 0
		sleep 0.1
	done
	give_up "there is no sync worker: $state"
}

# start_peer LATENCY [OPTION...]
start_peer()
{
	local i port= latency=$1

	shift
	"$root/build/peer/peer" "$@" --latency "$latency" --token-file "$mine/token" >"$mine/peer" 2>&1 &
	peer=$!
	for i in $(seq 100); do
		port=$(sed -n 's/^listening on //p' "$mine/peer")
		[ -z "$port" ] || break
		sleep 0.1
	done
	[ -n "$port" ] || die "the peer does not start: $(cat "$mine/peer")"
	origin=http://127.0.0.1:$port
}

stop_peer()
{
	kill "$peer"
	wait "$peer" 2>/dev/null || true
	peer=
}

# figure NAME: of the peer's statistics.
figure()
{
	sed -n "s/.*\"$1\": *\([0-9.]*\).*/\1/p" "$mine/stats" | head -n 1
}

# First request and end of the last, of those that the peer has logged.
span()
{
	local since=1 n=0

	: >"$mine/log"
	while [ $since -le "$1" ]; do
		curl -q -sS --noproxy '*' "$origin/_peer/log?since=$since" >>"$mine/log"
		since=$((since + 10000))
	done
	grep -o '"\(time_ms\|end_ms\)": *[0-9.]*' "$mine/log" | awk -F ': *' '
		/time_ms/ { if (!first || $2 < first) first = $2 }
		/end_ms/ { if ($2 > last) last = $2 }
		END { printf "%.3f\n", (last - first) / 1000 }'
}

worker_cpu()
{
	local stat

	stat=$(<"/proc/$(psql_quiet -c "SELECT pid FROM scim.workers WHERE worker = 'sync'")/stat")
	set -- ${stat##*) }
	printf '%s\n' $(((${12} + ${13}) * 1000 / tick))
}

# initial_sync BULK: sets requests, seconds and cpu (ms of the sync worker), as the peer sees it.
initial_sync()
{
	local before bulk=$1 deadline=$((SECONDS + 600)) state=

	psql_quiet >/dev/null <<-SQL || give_up "the sync cannot be made."
		CREATE SERVER target FOREIGN DATA WRAPPER scim OPTIONS (base_url '$origin/scim/v2', concurrency '$concurrency', bulk '$bulk');
		GRANT USAGE ON FOREIGN SERVER target TO app;
		SELECT scim.set_secret('target', '$(<"$mine/token")');
		SELECT scim.create_sync('staff', 'staff', 'target');
	SQL
	before=$(worker_cpu)
	psql_quiet -c "SELECT scim.start_sync('staff')" >/dev/null
	while [ "$state" != "$users|0" ]; do
		[ $SECONDS -lt $deadline ] || give_up "the sync does not end: $state"
		sleep 0.2
		state=$(psql_quiet -c "SELECT linked, pending + failed + in_flight + queued FROM scim.sync_status")
	done
	cpu=$(($(worker_cpu) - before))
	curl -q -sS --noproxy '*' "$origin/_peer/stats" >"$mine/stats"
	requests=$(figure requests)
	[ "$(figure duplicate_creates)" = 0 ] || die "somebody was created twice."
	seconds=$(span "$requests")
	psql_quiet -c "SELECT scim.drop_sync('staff')" -c 'DROP SERVER target' >/dev/null
}

# ---- one large table ----

# The largest private memory of the worker so far, in KB, into $mine/memory.
sample_memory()
{
	local pid=$1 most=0 now

	while now=$(sed -n 's/^RssAnon:[ \t]*\([0-9]*\).*/\1/p' "/proc/$pid/status" 2>/dev/null) && [ -n "$now" ]; do
		[ "$now" -le "$most" ] || { most=$now; printf '%s\n' "$most" >"$mine/memory"; }
		sleep 0.2
	done
}

# until_synced: wait until nothing is left to do; prints seconds since START.
until_synced()
{
	local deadline=$((SECONDS + 3600))

	until [ "$(psql_quiet -c "SELECT scim.wait_synced('staff', timeout => '10 s')" 2>/dev/null)" = t ]; do
		[ $SECONDS -lt $deadline ] || give_up "the sync does not end."
	done
	awk -v a="$1" -v b="$(date +%s.%N)" 'BEGIN { printf "%.1f\n", b - a }'
}

# scale_row WHAT SECONDS: what it took since the last row, of the worker's time
# ("before": until then, ms) as well, and the peer's requests, which are forgotten.
scale_row()
{
	local now

	now=$(worker_cpu)
	curl -q -sS --noproxy '*' "$origin/_peer/stats" >"$mine/stats"
	curl -q -sS --noproxy '*' -X DELETE "$origin/_peer/stats" >/dev/null
	printf '%-36s %9s %9d.%d %9s  %s\n' "$1" "$2" $(((now - before) / 1000)) $(((now - before) / 100 % 10)) "$(figure requests)" "$(sed -n 's/.*"by_status": *\({.*}\)}$/\1/p' "$mine/stats")"
	before=$(worker_cpu)
}

measure_scale()
{
	local start before

	start_peer 0 --setting log_max=1000
	psql_quiet >/dev/null <<-SQL || give_up "the sync cannot be made."
		CREATE SERVER target FOREIGN DATA WRAPPER scim OPTIONS (base_url '$origin/scim/v2', concurrency '$concurrency');
		GRANT USAGE ON FOREIGN SERVER target TO app;
		SELECT scim.set_secret('target', '$(<"$mine/token")');
		SELECT scim.create_sync('staff', 'staff', 'target');
	SQL
	sample_memory "$(psql_quiet -c "SELECT pid FROM scim.workers WHERE worker = 'sync'")" &
	sampler=$!
	printf '%d rows, %d requests at the same time\n\n%-36s %9s %11s %9s  %s\n' "$scale" "$concurrency" '' seconds "worker's" requests 'of these'
	before=$(worker_cpu)

	start=$(date +%s.%N)
	psql_quiet -c "SELECT scim.start_sync('staff')" >/dev/null
	scale_row 'initial sync' "$(until_synced "$start")"
	[ "$(psql_quiet -c "SELECT count(*) FROM scim.sync_links WHERE state = 'linked'")" = "$scale" ] || die "not all rows are linked."
	psql_quiet -c 'VACUUM ANALYZE scim._links'
	start=$(date +%s.%N)
	psql_quiet -c "SELECT scim.restart_sync('staff')" >/dev/null
	scale_row 'reconcile, nothing has changed' "$(until_synced "$start")"
	start=$(date +%s.%N)
	psql_quiet -c "UPDATE app.staff SET job = 'Another' WHERE id = $((scale / 2 + 1))"
	scale_row 'one attribute of one row' "$(until_synced "$start")"
	printf '\n%-36s %9.1f MB\n' 'private memory of the worker, at most' "$(awk '{ printf "%.1f", $1 / 1024 }' "$mine/memory")"
}

# ---- the first sync ----

# bare [search]: what libcurl alone needs for the same.
bare()
{
	read -r requests seconds < <("$mine/multi" "$origin/scim/v2" "$mine/token" "$users" "$concurrency" "$@") || die "the yardstick failed."
	cpu=0
}

# once NAME LATENCY COMMAND...: with a peer of its own.
once()
{
	local name=$1 latency=$2

	shift 2
	start_peer "$latency"
	"$@"
	stop_peer
	printf '%s\t%s\t%s\t%s\n' "$name" "$requests" "$seconds" "$cpu" >>"$mine/results"
}

measure()
{
	local round

	for round in $(seq "$rounds"); do
		once late "$latency" initial_sync false
		if [ $((round % 2)) = 0 ]; then
			once fast 0 initial_sync false
			once bare 0 bare
			once bulk 0 initial_sync true
			once search 0 bare search
		else
			once search 0 bare search
			once bulk 0 initial_sync true
			once bare 0 bare
			once fast 0 initial_sync false
		fi
		printf '.'
	done
	printf '\n\n'
}

report()
{
	awk -F '\t' -v users="$users" -v latency="$latency" -v concurrency="$concurrency" '
		function median(name, column,    i, j, n, swap, list) {
			n = count[name]
			for (i = 1; i <= n; i++)
				list[i] = value[name, i, column]
			for (i = 2; i <= n; i++)
				for (j = i; j > 1 && list[j - 1] > list[j]; j--) {
					swap = list[j]; list[j] = list[j - 1]; list[j - 1] = swap
				}
			return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
		}
		function row(title, name, ideal) {
			printf "%-46s %9.0f %9.0f %8.0f%% %9.3f %9.0f\n", title, median(name, 1), ideal, 100 * median(name, 1) / ideal,
				median(name, 2), median(name, 3)
		}
		{
			n = ++count[$1]
			value[$1, n, 1] = users / $3
			value[$1, n, 2] = $2 / users
			value[$1, n, 3] = 1000 * $4 / users
		}
		END {
			printf "%d users, %d requests at the same time; medians\n\n", users, concurrency
			printf "%-46s %9s %9s %9s %9s %9s\n", "initial sync", "users/s", "ideal", "of it", "req/user", "CPU us"
			row("latency " latency " ms; concurrency / latency", "late", 1000 * concurrency / latency)
			row("no latency; libcurl alone, the same requests", "fast", median("bare", 1))
			row("no latency; libcurl alone, and searches", "fast", median("search", 1))
			row("no latency, by Bulk; libcurl alone, a POST each", "bulk", median("bare", 1))
		}' "$mine/results"
}

ensure_packages quickstart
tick=$(getconf CLK_TCK)
make_directories outbound
printf 'outbound-bench' >"$mine/token"
say "Building, loading $users rows."
build_and_install
build_program multi "$root/bench/multi.c" -lcurl
make -C "$root/test/peer" >"$mine/build.log" 2>&1 || { tail -n 25 "$mine/build.log" >&2; die "the peer cannot be compiled (see above)."; }
start_server
wait_syncing
if [ -n "$scale" ]; then
	measure_scale
else
	measure
	report
fi
