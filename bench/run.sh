#!/usr/bin/env bash
#
# run.sh [--rounds N] [--seconds S] [--users N] [--members N] [--out DIR] [--profile] -
# measure scim over HTTP against pgbench on the same tables.
#
#   --rounds N    how often each pair is measured (default 5); ratios are medians
#   --seconds S   length of each measurement (default 2, whole seconds)
#   --users N     users stored (default 20000), beside a database with 1000
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
source "$root/bench/stock.sh"
source "$root/bench/scenarios.sh"
source "$root/bench/measure.sh"

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

beside=				# process

end_more()
{
	[ -z "$beside" ] || kill "$beside" 2>/dev/null || true
}

# ---- TLS ----

make_certificate()
{
	as_server openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
		-addext subjectAltName=IP:127.0.0.1 -keyout "$server/key.pem" -out "$server/cert.pem" >"$mine/openssl.log" 2>&1 ||
		{ cat "$mine/openssl.log" >&2; die "openssl made no certificate (see above)."; }
	cp "$server/cert.pem" "$mine/tls.pem"
}

# switch_tls on|off: and wait until all listeners have followed.
switch_tls()
{
	local cert= key= scenario=large/get try

	[ "$1" = off ] || cert=$server/cert.pem key=$server/key.pem scenario=large-tls/get
	psql_quiet -c "ALTER SYSTEM SET scim.tls_cert_file = '$cert'" -c "ALTER SYSTEM SET scim.tls_key_file = '$key'" -c "SELECT pg_reload_conf()" >/dev/null
	for try in $(seq 100); do
		! (cd "$mine" && ./load --ca-file tls.pem --connections 32 --seconds 0.1 --out answer "$scenario" 2>"$mine/load.log") || return 0
		sleep 0.1
	done
	cat "$mine/load.log" >&2
	give_up "the listeners do not switch TLS $1."
}

# ---- rounds ----

operations=(get filter external email page post patch)

# pair ROUND NAME [SCENARIO]: the yardstick goes first in every other round,
# because what comes first after a checkpoint or a load pays for it.
pair()
{
	local scenario=${3:-$2}

	if [ $(($1 % 2)) = 1 ]; then
		http "large/$scenario" "$seconds"
		yardstick large "$scenario" "$seconds"
	else
		yardstick large "$scenario" "$seconds"
		http "large/$scenario" "$seconds"
	fi
	line pair "$1" "$2" "$rate" "$p50" "$p99" "$cpu" "$tps" "$yardstick_cpu"
}

# Pages while a user is changed twenty times a second: what is remembered of
# totals does not last.
pair_busy()
{
	(cd "$mine" && exec ./load --connections 2 --rate 20 --seconds 3600 --out beside large/patch) &
	beside=$!
	pair "$1" busy page
	kill "$beside" 2>/dev/null || give_up "who was to write beside the pages has ended."
	wait "$beside" 2>/dev/null || true
	beside=
}

measure_pairs()
{
	local name point point_cpu create create_cpu

	for name in "${operations[@]}"; do
		pair "$1" "$name"
		case $name in
			get) point=$tps point_cpu=$yardstick_cpu ;;
			post) create=$rate create_cpu=$cpu ;;
		esac
	done
	pair_busy "$1"
	# resources, not requests; beside the single creates of this round
	http large/bulk "$seconds"
	line pair "$1" bulk "$(awk "BEGIN { print $rate * 100 }")" "$p50" "$p99" "$(awk "BEGIN { print $cpu / 100 }")" "$create" "$create_cpu"
	yardstick large handle "$seconds"
	line pair "$1" handle "$tps" 0 0 "$yardstick_cpu" "$point" "$point_cpu"
	sweep large
}

measure_tls()
{
	local name

	switch_tls on
	for name in "${operations[@]}"; do
		http "large-tls/$name" 1
		line tls "$1" "$name" "$rate" "$p50" "$p99" "$cpu"
	done
	http large-tls/bulk 1
	line tls "$1" bulk "$(awk "BEGIN { print $rate * 100 }")" "$p50" "$p99" "$(awk "BEGIN { print $cpu / 100 }")"
	switch_tls off
	sweep large
}

# The same among 1000 users and among all, in turn.
measure_stored()
{
	local name rate_small cpu_small

	for name in get filter external email id walk cursor patch post; do
		http "small/$name" 1
		rate_small=$rate cpu_small=$cpu
		http "large/$name" 1
		line stored "$1" "$name" "$rate_small" "$rate" "$cpu_small" "$cpu"
	done
	yardstick small get 1
	rate_small=$tps cpu_small=$yardstick_cpu
	yardstick large get 1
	line stored "$1" pgbench "$rate_small" "$tps" "$cpu_small" "$yardstick_cpu"
}

# turns ROUND SECONDS DATABASE NAME-SMALL NAME-BIG...: one client, which asks one after the
# other, so that no one is alone with a bad moment; the median time of each.
turns()
{
	local round=$1 seconds=$2 database=$3

	shift 3
	request "$database" "$seconds" 1 "$@"
	while [ $# != 0 ]; do
		line turn "$round" "$1" "$(number p50_us "$1")" "$(number p50_us "$2")"
		shift 2
	done
}

# note NAME VALUE: of a figure that stands for itself.
note()
{
	line note "$@"
}

measure()
{
	local round name

	for name in "${operations[@]}" bulk; do
		http "large/$name" 1
	done
	yardstick large flush 1 1
	flush=$tps
	sweep large
	for round in $(seq "$rounds"); do
		[ $((round % 2)) = 1 ] || measure_tls "$round"
		measure_pairs "$round"
		[ $((round % 2)) = 0 ] || measure_tls "$round"
		measure_stored "$round"
		sweep small
		sweep large
		turns "$round" 2 large small/filter large/filter small/external large/external small/email large/email small/id large/id
		turns "$round" 2 large large/ten-add large/big-add large/ten-remove large/big-remove
		turns "$round" 1 large large/ten-bare large/big-bare
		turns "$round" 1 large large/ten-rename large/big-rename
		http large/shown-whole 2 1
		note group "$(awk "BEGIN { print $bytes / 1000000 }")"
		printf '.'
	done
	printf '\n'
}

# ---- what is no rate ----

# Private memory of the listener that has most, in MB.
listeners_memory()
{
	local pid

	for pid in ${pids_of[large]}; do
		sed -n 's/^RssAnon:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$pid/status"
	done | sort -n | tail -n 1 | awk '{ print $1 / 1024 }'
}

listeners_requests()
{
	psql_quiet -d large -c "SELECT min(requests) FROM scim.workers WHERE port = ${port_of[large]}"
}

# Memory of the listeners after a million requests of all sorts each, and what they
# do when there is nothing to do.
measure_idle()
{
	local pid before=0 after=0 deadline=$((SECONDS + 90))

	while [ "$(listeners_requests)" -lt 1000000 ] && [ $SECONDS -lt $deadline ]; do
		request large 5 "$connections" large/get large/filter large/external large/email large/get large/id large/get large/filter large/get large/patch
	done
	note requests "$(listeners_requests)"
	sleep 3			# what an answer took is given back within two seconds
	note memory "$(listeners_memory)"
	for pid in ${pids_of[large]}; do
		before=$((before + $(sed -n 's/^voluntary_ctxt_switches:[^0-9]*//p' "/proc/$pid/status")))
	done
	sleep 15
	for pid in ${pids_of[large]}; do
		after=$((after + $(sed -n 's/^voluntary_ctxt_switches:[^0-9]*//p' "/proc/$pid/status")))
	done
	note wakeups "$(awk "BEGIN { print ($after - $before) / 15 / $listeners }")"
	note snapshots "$(psql_quiet -c "SELECT count(backend_xmin) FROM pg_stat_activity WHERE backend_type LIKE 'scim %'")"
}

# The first scim.handle of a session, in a server that preloads nothing.
measure_first()
{
	local id i

	id=$(head -n 1 "$mine/large/ids.tsv" | cut -f 1)
	stop_cluster "$server" "$private"
	append_conf "$server" <<-'CONF'
		shared_preload_libraries = ''
	CONF
	start_cluster "$server" "$private" || give_up "the private cluster did not start again (see above)."
	for i in 1 2 3 4 5 6 7; do
		note first "$(psql_quiet -d large -v id="$id" <<-'SQL'
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

	for name in "${operations[@]}" walk; do
		perf record -q -F 2999 -g --call-graph fp -o "$mine/perf.data" -p "${pids_of[large]// /,}" -- sleep 3 >/dev/null 2>"$mine/perf.log" &
		recorder=$!
		http "large/$name" 4
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

# ---- all of it ----

ensure_packages quickstart
[ -z "$profile" ] || command -v perf >/dev/null || die "--profile needs perf." "On Debian it comes with linux-perf."
[ -x "$pg_bindir/pgbench" ] || die "there is no pgbench in $pg_bindir." "On Debian it comes with postgresql-$pg_major."
command -v openssl >/dev/null || die "there is no openssl, which makes the certificate." "On Debian it is the package openssl."
tick=$(getconf CLK_TCK)
make_directories bench
say "Building, and starting a private cluster ..."
build_and_install
build_load
make_certificate
start_server small large
note memory_before "$(listeners_memory)"
say "Loading 1000 users, $users users, and a group of $members ..."
load_users small 1 1000
load_users large 1 "$users"
load_group large a ten 10
load_group large b big "$members"
load_group large c shown 100000
psql_quiet -c CHECKPOINT
always_check_foreign_keys large
for database in small large; do
	write_data "$database" "$([ "$database" = small ] && printf 1000 || printf %s "$users")"
	write_scenarios "$mine/$database" "http://127.0.0.1:${port_of[$database]}$base_path"
done
write_group_scenarios "$mine/large" "http://127.0.0.1:${port_of[large]}$base_path" a ten
write_group_scenarios "$mine/large" "http://127.0.0.1:${port_of[large]}$base_path" b big
write_group_scenarios "$mine/large" "http://127.0.0.1:${port_of[large]}$base_path" c shown
mkdir "$mine/large-tls" "$mine/yardsticks"
ln -s ../large/token ../large/ids.tsv ../large/pages.tsv "$mine/large-tls/"
write_scenarios "$mine/large-tls" "https://127.0.0.1:${port_of[large]}$base_path"
write_yardsticks "$mine/yardsticks"
check_yardsticks
body_size=$(sed 's/{run}/0123456789abcd/g; s/{n}/12345/g' "$mine/large/post.json" | wc -c)
answer_size=$(psql_quiet -d large -c "SELECT octet_length(body) FROM scim.handle('$tenant', 'GET', '/Users/$(head -n 1 "$mine/large/ids.tsv" | cut -f 1)')")
say "Measuring: $rounds rounds ..."
measure
[ -z "$profile" ] || profile
measure_idle
measure_first
describe_machine
file=$out/bench-$users-$(date -u +%Y%m%dT%H%M%SZ)
awk -F '\t' -f "$root/bench/report.awk" -v json="$file.json" -v svg="$file.svg" "${about[@]}" -v users="$users" -v members="$members" \
	-v rounds="$rounds" -v seconds="$seconds" -v body="$body_size" -v answer="$answer_size" -v flush="$flush" "$mine/results" | tee "$file.txt"
say "Written: $file.txt, .json, .svg ($SECONDS s in all)"
