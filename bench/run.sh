#!/usr/bin/env bash
#
# run.sh [--rounds N] [--seconds S] [--users N] [--members N] [--out DIR] [--profile] -
# measure scim over HTTP against pgbench on the same tables.
#
#   --rounds N    how often each pair is measured (default 5); ratios are medians
#   --seconds S   length of each measurement (default 2, whole seconds)
#   --users N     users stored (default 20000); the first 1000 are measured alone
#   --members N   members of the big group (default 1000000)
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
source "$root/bench/lib.sh"
source "$root/bench/scenarios.sh"

rounds=5
seconds=2
users=20000
members=1000000
out=$root/build/bench
profile=
usage='usage: run.sh [--rounds N] [--seconds S] [--users N] [--members N] [--out DIR] [--profile]'
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
		--members) members=$2 ;;
		--out) out=$2 ;;
		*) die "unknown option: $1" "$usage" ;;
	esac
	shift 2
done
for value in "$rounds" "$seconds" "$users" "$members"; do
	[[ $value =~ ^[1-9][0-9]{0,7}$ ]] || die "\"$value\" is not a positive whole number."
done
[ "$users" -ge 1000 ] || die "fewer than 1000 users are no measurement."
mkdir -p "$out" || die "$out cannot be made."
out=$(cd "$out" && pwd -P)

listeners=2
connections=16
clients=8
tenant=bench
base_path=/bench/scim/v2

# ---- set up ----

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

# http NAME SECONDS [CONNECTIONS]: sets rate, p50, p99 (ms), cpu (us per request)
# and bytes.
http()
{
	local before after

	before=$(listeners_cpu)
	"$mine/load" --url "http://127.0.0.1:$port$base_path" --token-file "$mine/token" --connections "${3:-$connections}" \
		--seconds "$2" --out "$mine/answer" "$mine/$1" || give_up "the answers to $1 are not what they should be (see above)."
	after=$(listeners_cpu)
	rate=$(number rate)
	p50=$(awk "BEGIN { print $(number p50_us) / 1000 }")
	p99=$(awk "BEGIN { print $(number p99_us) / 1000 }")
	cpu=$(awk "BEGIN { print ($after - $before) / $(number answers) }")
	bytes=$(number bytes)
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

operations=(get filter external email page post patch)

measure()
{
	local round name point point_cpu create create_cpu

	for name in "${operations[@]}" bulk; do
		http "$name" 1
	done
	yardstick flush 1 1
	flush=$tps
	for round in $(seq "$rounds"); do
		for name in "${operations[@]}"; do
			pair "$round" "$name"
			case $name in
				get) point=$tps point_cpu=$yardstick_cpu ;;
				post) create=$rate create_cpu=$cpu ;;
			esac
		done
		# resources, not requests; beside the single creates of this round
		http bulk "$seconds"
		awk -v OFS='\t' -v round="$round" -v rate="$rate" -v p50="$p50" -v p99="$p99" -v cpu="$cpu" -v create="$create" -v create_cpu="$create_cpu" \
			'BEGIN { print round, "bulk", rate * 100, p50, p99, cpu / 100, create, create_cpu }' >>"$mine/results"
		yardstick handle "$seconds"
		printf '%s\thandle\t%s\t-\t-\t%s\t%s\t%s\n' "$round" "$tps" "$yardstick_cpu" "$point" "$point_cpu" >>"$mine/results"
		measure_members
	done
	printf '\n'
}

# ---- what is no rate beside another ----

# note NAME VALUE: of a figure that a round gives; report.awk takes the median.
note()
{
	printf '%s\t%s\n' "$1" "$2" >>"$mine/notes"
}

# One client, so that nobody waits for the lock of the group: what one member
# more costs in a big group and in a small one, and a group as JSON.
measure_members()
{
	local small

	http member-small 1 1
	small=$p50
	http member-big 1 1
	note members "$(awk "BEGIN { print $p50 / $small }")"
	http group 2 1
	note group "$(awk "BEGIN { print $bytes / 1000000 / 2 }")"
	printf '.'
}

# scale few|many: the same with few users stored and with many.
scale()
{
	local name

	for name in get filter email walk; do
		http "$name" 1
		http "$name" "$seconds"
		printf '%s\t%s\t%s\t%s\n' "$1" "$name" "$rate" "$cpu" >>"$mine/scale"
	done
}

# Memory of the listeners, after all the requests there were, and what they do
# when there is nothing to do.
measure_idle()
{
	local pid before=0 after=0 memory=0 rss

	note requests "$(psql_quiet -c "SELECT sum(requests) FROM scim.workers")"
	for pid in $pids; do
		rss=$(sed -n 's/^RssAnon:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$pid/status")
		memory=$((rss > memory ? rss : memory))
	done
	note memory "$(awk "BEGIN { print $memory / 1024 }")"
	sleep 2
	for pid in $pids; do
		before=$((before + $(sed -n 's/^voluntary_ctxt_switches:[^0-9]*//p' "/proc/$pid/status")))
	done
	sleep 15
	for pid in $pids; do
		after=$((after + $(sed -n 's/^voluntary_ctxt_switches:[^0-9]*//p' "/proc/$pid/status")))
	done
	note wakeups "$(awk "BEGIN { print ($after - $before) / 15 / $listeners }")"
	note snapshots "$(psql_quiet -c "SELECT count(backend_xmin) FROM pg_stat_activity WHERE backend_type = 'scim listener'")"
}

# The first scim.handle of a session, in a server that preloads nothing.
measure_first()
{
	local id i

	id=$(head -n 1 ids.tsv | cut -f 1)
	stop_cluster "$server" "$private"
	append_conf "$server" <<-'CONF'
		shared_preload_libraries = ''
	CONF
	start_cluster "$server" "$private" || give_up "the private cluster did not start again (see above)."
	for i in 1 2 3 4 5 6 7; do
		note first "$(psql_quiet -v id="$id" <<-'SQL'
			SELECT extract(epoch FROM clock_timestamp()) AS t \gset
			SELECT 1 / (status = 200)::int FROM scim.handle('bench', 'GET', '/Users/' || :'id') \g /dev/null
			SELECT 1000 * (extract(epoch FROM clock_timestamp()) - :t);
		SQL
		)"
	done
}

# Where the listeners' time goes, by function and by library, without and with
# what a function calls.
profile()
{
	local name recorder

	for name in "${operations[@]}"; do
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

# The table goes to standard output, the same as JSON and as a plot to the files.
report()
{
	awk -F '\t' -f "$root/bench/report.awk" -v json="$1.json" -v svg="$1.svg" -v date="$(date -u +%Y-%m-%dT%H:%M:%SZ)" \
		-v users="$users" -v members="$members" -v rounds="$rounds" -v seconds="$seconds" \
		-v cpus="$(nproc)" -v machine="$(uname -srm)" -v model="$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" \
		-v postgres="$("$pg_config" --version)" -v disk="$(stat -f -c %T "$server/data")" -v commit="$commit" \
		-v listeners="$listeners" -v connections="$connections" -v clients="$clients" -v body="$body_size" -v answer="$answer_size" -v flush="$flush" \
		"$mine/results" "$mine/scale" "$mine/notes"
}

ensure_packages quickstart
[ -z "$profile" ] || command -v perf >/dev/null || die "--profile needs perf." "On Debian it comes with linux-perf."
[ -x "$pg_bindir/pgbench" ] || die "there is no pgbench in $pg_bindir." "On Debian it comes with postgresql-$pg_major."
tick=$(getconf CLK_TCK)
commit=$(git -C "$root" describe --always --dirty 2>/dev/null || printf unknown)
make_directories bench
say "Building, and starting a private cluster ..."
build_and_install
build_program load
cd "$mine"
start_server
psql_quiet -c "CREATE EXTENSION scim" -c "SELECT scim.setup()" -c "SELECT scim.create_endpoint('$tenant', base_path => '$base_path')" >/dev/null ||
	give_up "the extension cannot be set up."
(umask 077; psql_quiet -c "SELECT scim.create_token('$tenant', label => 'bench')" >"$mine/token")
wait_listening
say "Loading the first 1000 users, and measuring ..."
load_users 1 1000
write_scenarios
pids=$(psql_quiet -c "SELECT string_agg(pid::text, ' ') FROM scim.workers WHERE state = 'listening'")
scale few
say "Loading $users users, and a group of $members ..."
[ "$users" = 1000 ] || load_users 1001 "$users"
load_groups "$members"
always_check_foreign_keys
write_yardsticks
check_yardsticks
scale many
body_size=$(sed 's/{run}/0123456789abcd/g; s/{n}/12345/g' "$mine/post.json" | wc -c)
answer_size=$(psql_quiet -c "SELECT octet_length(body) FROM scim.handle('$tenant', 'GET', '/Users/$(cut -f 1 "$mine/ids.tsv" | head -n 1)')")
say "Measuring: $rounds rounds ..."
measure
[ -z "$profile" ] || profile
measure_idle
measure_first
file=$out/bench-$(date -u +%Y%m%dT%H%M%SZ)
report "$file"
say "Written: $file.json, $file.svg"
