# measure.sh - how bench/run.sh and bench/curves.sh measure: a server, requests
# over HTTP, transactions of pgbench.  Sourced after lib.sh.

listeners=2
connections=16
clients=8
warm=0.3			# seconds before each measurement

# start_server DATABASE...: each is served on a port of its own, port_of[DATABASE],
# by processes of its own, pids_of[DATABASE].
declare -A port_of pids_of
start_server()
{
	local database served= memory=$(($(awk '/^MemTotal:/ { print int($2 / 1024) }' /proc/meminfo) / 4))

	for database; do
		port_of[$database]=$(free_port)
		served+="${served:+, }$database:${port_of[$database]}"
	done
	make_cluster "$server" "$private" "$me"
	# A checkpoint or autovacuum that falls into one half of a pair and not into
	# the other would decide the ratio.
	append_conf "$server" <<-CONF
		cluster_name = 'scim bench'
		max_connections = 50
		max_worker_processes = 24
		shared_buffers = $((memory > 3072 ? 3072 : memory < 128 ? 128 : memory))MB
		work_mem = 64MB
		maintenance_work_mem = 512MB
		max_wal_size = 32GB
		checkpoint_timeout = 1h
		autovacuum = off
		shared_preload_libraries = 'scim'
		scim.database = '$served'
		scim.listeners = $listeners
	CONF
	start_cluster "$server" "$private" || give_up "the private cluster did not start (see above)."
	postmaster=$(head -n 1 "$server/data/postmaster.pid")
	for database; do
		psql_quiet -c "CREATE DATABASE $database" || give_up "the database $database cannot be made."
		make_endpoint "$database"
	done
	# workers that found no extension have gone to sleep for a while
	psql_quiet -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type LIKE 'scim %'" >/dev/null
	for database; do
		wait_listening "$database"
	done
}

wait_listening()
{
	local deadline=$((SECONDS + 60)) state=

	while [ $SECONDS -lt $deadline ]; do
		state=$(psql_quiet -d "$1" -c "SELECT count(*) FILTER (WHERE state = 'listening'), max(note), string_agg(pid::text, ' ') FROM scim.workers WHERE port = ${port_of[$1]}" 2>/dev/null) || state=
		if [[ $state == "$listeners||"* ]]; then
			pids_of[$1]=${state##*|}
			return 0
		fi
		sleep 0.1
	done
	give_up "the listeners of $1 do not listen on port ${port_of[$1]}: $state"
}

# number KEY [SCENARIO]: of the last report of load; of all, or of a scenario.
number()
{
	if [ $# = 2 ]; then
		sed -n "s|.*\"$2\": {[^}]*\"$1\": \([0-9.]*\).*|\1|p" "$mine/answer"
	else
		grep -o -m 1 "\"$1\": [0-9.]*" "$mine/answer" | sed -n '1s/.* //p'
	fi
}

# request DATABASE SECONDS CONNECTIONS SCENARIO...: a report of load.
request()
{
	local database=$1 seconds=$2 connections=$3

	shift 3
	(cd "$mine" && ./load --ca-file tls.pem --connections "$connections" --warm "$warm" --seconds "$seconds" \
		--watch "${pids_of[$database]// /,}" --out answer "$@") ||
		give_up "the answers to $* are not what they should be (see above)."
}

# http SCENARIO SECONDS [CONNECTIONS]: sets rate, p50, p99 (ms), cpu (us per
# request) and bytes (per second).  The scenario's directory begins with the name
# of its database.
http()
{
	local directory=${1%/*}

	request "${directory%-tls}" "$2" "${3:-$connections}" "$1"
	rate=$(number rate)
	p50=$(awk "BEGIN { print $(number p50_us) / 1000 }")
	p99=$(awk "BEGIN { print $(number p99_us) / 1000 }")
	cpu=$(number cpu_us)
	bytes=$(number bytes_per_second)
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

# yardstick DATABASE SCRIPT SECONDS [CLIENTS]: sets tps and yardstick_cpu (us per
# transaction, beginning and end of the sessions included).
yardstick()
{
	local options= before count number=$users

	[ "$1" != small ] || number=1000
	before=$(sessions_cpu)
	if [ "$2" = post ]; then
		options='-c session_replication_role=replica'
		note_growth "$1" off
	fi
	PGOPTIONS=$options "$private/pgbench" -n -M prepared -c "${4:-$clients}" -j 2 -T "$3" -D users="$number" -f "$mine/yardsticks/$2.sql" \
		-h "$server/socket" -p 5432 -U postgres "$1" >"$mine/pgbench" 2>&1 ||
		{ tail -n 20 "$mine/pgbench" >&2; give_up "pgbench failed on $2 (see above)."; }
	tps=$(sed -n 's/^tps = \([0-9.]*\).*without initial.*/\1/p' "$mine/pgbench")
	count=$(sed -n 's/^number of transactions actually processed: \([0-9]*\).*/\1/p' "$mine/pgbench")
	[ -n "$tps" ] && [ "${count:-0}" -gt 0 ] || { cat "$mine/pgbench" >&2; die "pgbench said no tps."; }
	[ "$2" != post ] || note_growth "$1" on
	sleep 0.2		# pgbench does not wait until its sessions have ended
	yardstick_cpu=$(awk "BEGIN { print ($(sessions_cpu) - $before) / $count }")
}

# line KIND VALUE...: of the results, for the reports.
line()
{
	local IFS=$'\t'

	printf '%s\n' "$*" >>"$mine/results"
}

# What a report says about where it was made, as options of awk in "about".
describe_machine()
{
	about=(-v "date=$(date -u +%Y-%m-%dT%H:%M:%SZ)" -v "cpus=$(nproc)" -v "machine=$(uname -srm)"
		-v "model=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" -v "postgres=$("$pg_config" --version)"
		-v "disk=$(stat -f -c %T "$server/data")" -v "commit=$(git -C "$root" describe --always --dirty 2>/dev/null || printf unknown)"
		-v "listeners=$listeners" -v "connections=$connections" -v "clients=$clients")
}
