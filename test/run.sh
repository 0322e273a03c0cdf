#!/usr/bin/env bash
#
# run.sh [PART...] - every test there is, or only the parts named:
#
#   floors       the rules that a search can check (test/floors.sh)
#   build        gcc and clang, warnings are errors
#   unit         core and client, without a server
#   sanitize     the same under AddressSanitizer and UBSan
#   fuzz         what the fuzzers have found once, again
#   regress      pg_regress
#   isolation    pg_isolation_regress
#   nolistener   the build without libmicrohttpd, and pg_regress with it
#   tap          processes: HTTP, TLS, crashes, identity providers' dialogues
#   quickstart   make quickstart, its modes, and what it leaves behind
#
# and those that run only when they are named:
#
#   soak         the postmaster killed KILLS times (1000), for MINUTES at most
#   soak-sync    040_chaos.pl and 039_across.pl of tap at full size (SCIM_SEED)
#
# Installs what is missing from Debian's packages; nothing else of the machine
# changes.  Everything happens in a directory under /tmp: copies of the tree, a
# copy of PostgreSQL's programs to install the extension into, clusters.
#
# Counted are: a rule, a build, a group of unit checks, a pg_regress test, an
# isolation spec, an assertion of a TAP file.
# What could not run has failed.  The last line is "N passed, N failed"; the
# exit status is 1 if any failed.  KEEP=1 keeps the directory.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
source "$root/test/lib.sh"

all_parts=(floors build unit sanitize fuzz regress isolation nolistener tap quickstart)
parts=("$@")
[ $# != 0 ] || parts=("${all_parts[@]}")
for part in "${parts[@]}"; do
	case " ${all_parts[*]} soak soak-sync " in
		*" $part "*) ;;
		*) die "there is no part '$part'." "Parts: ${all_parts[*]}, soak, soak-sync" ;;
	esac
done

work=
passed=0
failed=0
child=

clean_up()
{
	local status=$? dir

	trap - EXIT
	trap '' INT TERM HUP
	allow_main_cluster
	[ -z "$child" ] || { kill "$child" && wait "$child"; } 2>/dev/null || true
	if [ -n "$work" ]; then
		for dir in "$work"/cluster*; do
			[ ! -d "$dir" ] || stop_cluster "$dir" "$bindir"
		done
		# what a TAP file that had to be stopped has left running
		for dir in "$work"/gcc/tmp_check/*/pgdata; do
			[ ! -f "$dir/postmaster.pid" ] || kill -QUIT "$(head -n 1 "$dir/postmaster.pid")" 2>/dev/null || true
		done
		if [ -n "${KEEP:-}" ]; then
			say "Kept: $work"
		else
			rm -rf "$work"
		fi
	fi
	exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# ---- reports ----

heading()
{
	printf '\n== %s\n' "$1"
}

# pass NAME
pass()
{
	passed=$((passed + 1))
	printf '   ok      %s\n' "$1"
}

# miss NAME [FILE [LINES]]: it failed; show the end of FILE.
miss()
{
	failed=$((failed + 1))
	printf '   FAILED  %s\n' "$1"
	[ -z "${2:-}" ] || [ ! -s "$2" ] || tail -n "${3:-40}" "$2" | sed 's/^/      | /'
}

# try NAME LOG COMMAND...: a test that is a command.
try()
{
	local name=$1 log=$2 start=$SECONDS

	shift 2
	if "$@" >"$log" 2>&1 </dev/null; then
		pass "$name ($((SECONDS - start)) s)"
	else
		miss "$name" "$log"
		return 1
	fi
}

# guarded SECONDS COMMAND...: as server_user and with a limit.  In the
# background, because bash handles Ctrl-C only after what is in front, and
# timeout keeps it from what it runs.
guarded()
{
	local seconds=$1 status=0

	shift
	(
		if is_root; then
			exec runuser -u "$server_user" -- env --default-signal=INT HOME=/nonexistent timeout -k 10 "$seconds" "$@"
		else
			exec env --default-signal=INT timeout -k 10 "$seconds" "$@"
		fi
	) &
	child=$!
	wait "$child" || status=$?
	child=
	[ $status != 124 ] || say "stopped after $seconds s"
	return $status
}

# ---- copies of the tree, builds ----

# copy_tree NAME: the tree as it is, without what a build made.
copy_tree()
{
	[ ! -d "$work/$1" ] || return 0
	as_server mkdir "$work/$1"
	tar -C "$root" --exclude=./.git --exclude=./.quickstart --exclude='*.o' --exclude='*.so' --exclude='*.a' \
		--exclude='./scim--*.sql' --exclude=./.build-options --exclude=./results --exclude=./tmp_check \
		--exclude=./output_iso --exclude=./build --exclude=./.deps --exclude=./test/unit/build --exclude=./test/fuzz/build -cf - . |
		as_server tar -C "$work/$1" --no-same-owner -xf -
}

build_tree()
{
	local dir=$1

	shift
	as_server make -C "$work/$dir" -j"$jobs" WERROR=1 PG_CONFIG="$private_config" "$@" &&
		[ -f "$work/$dir/scim.so" ]
}

# The gcc build is what most parts install and test.  Sets have_build.
need_build()
{
	[ -z "${have_build:-}" ] || [ "$have_build" = yes ] || return 1
	[ -z "${have_build:-}" ] || return 0
	have_build=no
	copy_tree gcc
	heading 'build: gcc'
	try 'gcc, warnings are errors' "$work/log/gcc" build_tree gcc CC=gcc || return 1
	try 'make install' "$work/log/install" as_server make -C "$work/gcc" install PG_CONFIG="$private_config" || return 1
	have_build=yes
}

# need_cluster DIR BINDIR: a running cluster for pg_regress.
need_cluster()
{
	[ ! -d "$1" ] || return 0
	as_server mkdir -m 0700 "$1"
	make_cluster "$1" "$2" "$server_user"
	append_conf "$1" <<-CONF
		fsync = off
		max_prepared_transactions = 4
		max_worker_processes = 16
	CONF
	if ! start_cluster "$1" "$2"; then
		miss "the cluster did not start" "$1/log"
		return 1
	fi
}

# ---- counting what other programs report ----

# count_regress LOG: results in the forms of PostgreSQL 14 to 15 and 16 on.
count_regress()
{
	local line name n=0

	while IFS= read -r line; do
		if [[ $line =~ ^(not\ )?ok\ [0-9]+\ +[-+]\ ([^ ]+) ]]; then
			name=${BASH_REMATCH[2]}
			line=${BASH_REMATCH[1]}
		elif [[ $line =~ ^(test)?\ +([^ ]+)\ +\.\.\.\ (ok|FAILED|failed) ]]; then
			name=${BASH_REMATCH[2]}
			[ "${BASH_REMATCH[3]}" != ok ] || line=
		else
			continue
		fi
		n=$((n + 1))
		if [ -z "$line" ]; then
			pass "$name"
		else
			miss "$name"
		fi
	done <"$1"
	[ "$n" != 0 ]
}

# run_regress CLUSTER LOG DIFFS MAKE-ARGUMENT...
run_regress()
{
	local cluster=$1 log=$2 diffs=$3 before=$failed status=0

	shift 3
	guarded 600 env PGHOST="$cluster/socket" PGPORT=5432 PGUSER=postgres PGDATABASE=postgres \
		make "$@" installcheck PG_CONFIG="$config" >"$log" 2>&1 </dev/null || status=$?
	if ! count_regress "$log"; then
		miss 'no test ran' "$log"
	elif [ $status != 0 ] && [ "$failed" = "$before" ]; then
		miss "exit status $status" "$log"
	fi
	if [ "$failed" != "$before" ] && [ -s "$diffs" ]; then
		head -n 120 "$diffs" | sed 's/^/      | /'
	fi
}

# count_tap LOG: assertions of one file (prove -v).  A skipped one has not run.
count_tap()
{
	local good bad

	good=$(grep -acE '^ok [0-9]+' "$1" || true)
	bad=$(grep -aciE '^ok [0-9]+.*# *skip' "$1" || true)
	good=$((good - bad))
	bad=$((bad + $(grep -aE '^not ok [0-9]+' "$1" | grep -acviE '# *todo' || true)))
	passed=$((passed + good))
	failed=$((failed + bad))
	tap_good=$good tap_bad=$bad
}

# count_units LOG STATUS: a test is a group of checks ("  name: N passed, N
# failed" below "== program"); a program that breaks off is one that failed.
count_units()
{
	local line program='' before=$failed n=0

	while IFS= read -r line; do
		if [[ $line =~ ^==\ (.+)$ ]]; then
			program=${BASH_REMATCH[1]}
		elif [[ $line =~ ^\ +([^:]+):\ ([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
			n=$((n + 1))
			if [ "${BASH_REMATCH[3]}" = 0 ]; then
				pass "$program: ${BASH_REMATCH[1]} (${BASH_REMATCH[2]} checks)"
			else
				miss "$program: ${BASH_REMATCH[1]} (${BASH_REMATCH[3]} of $((BASH_REMATCH[2] + BASH_REMATCH[3])) checks)"
			fi
		elif [[ $line =~ FAILED:\ it\ did\ not\ end ]]; then
			miss "$program: ${line#*FAILED: }"
		fi
	done <"$1"
	if [ "$n" = 0 ] || { [ "$2" != 0 ] && [ "$failed" = "$before" ]; }; then
		miss "make check: $n groups, exit status $2" "$1"
	elif [ "$failed" != "$before" ]; then
		grep -B 1 -A 3 'FAILED:\|ERROR:\|runtime error' "$1" | head -n 60 | sed 's/^/      | /' || true
	fi
}

# ---- the parts ----

part_floors()
{
	local log=$work/log/floors status=0 line

	need_build || { heading floors; miss 'floors: there is no build'; return 0; }
	heading 'floors: rules of the tree'
	"$work/gcc/test/floors.sh" "$work/gcc" >"$log" 2>&1 || status=$?
	while IFS= read -r line; do
		case $line in
			"ok "*) pass "${line#* - }" ;;
			"not ok "*) miss "${line#* - }" ;;
			"    "*) printf '      | %s\n' "${line#    }" ;;
		esac
	done <"$log"
	grep -q '^[0-9]* passed, [0-9]* failed$' "$log" || miss "floors.sh ended with status $status" "$log"
	try 'docs/conformance.md is what the register and the tests say' "$work/log/conformance" "$work/gcc/test/conformance.sh" || true
}

part_build()
{
	need_build || true
	heading 'build: clang'
	copy_tree clang
	try 'clang, warnings are errors' "$work/log/clang" build_tree clang CC=clang || true
}

part_unit()
{
	local status=0

	heading 'unit: core and client, without a server'
	[ -f "$root/test/unit/Makefile" ] || { miss 'there is no test/unit/Makefile'; return 0; }
	copy_tree unit
	guarded 600 make -s -C "$work/unit/test/unit" -j"$jobs" check >"$work/log/unit" 2>&1 </dev/null || status=$?
	count_units "$work/log/unit" "$status"
}

part_sanitize()
{
	local status=0

	heading 'sanitize: core and client under AddressSanitizer and UBSan'
	[ -f "$root/test/unit/Makefile" ] || { miss 'there is no test/unit/Makefile'; return 0; }
	copy_tree san
	guarded 600 make -s -C "$work/san/test/unit" -j"$jobs" SAN=1 check >"$work/log/san" 2>&1 </dev/null || status=$?
	count_units "$work/log/san" "$status"
}

part_fuzz()
{
	local status=0 inputs

	heading 'fuzz: the corpus, again'
	[ -f "$root/test/fuzz/Makefile" ] || { miss 'there is no test/fuzz/Makefile'; return 0; }
	copy_tree fuzz
	guarded 600 make -s -C "$work/fuzz/test/fuzz" -j"$jobs" replay >"$work/log/fuzz" 2>&1 </dev/null || status=$?
	inputs=$(sed -nE 's/^fuzz: ([0-9]+) passed, 0 failed$/\1/p' "$work/log/fuzz" | tail -n 1)
	if [ "$status" = 0 ] && [ "${inputs:-0}" -gt 0 ]; then
		pass "replay of $inputs inputs"
	else
		miss "replay: exit status $status" "$work/log/fuzz"
	fi
}

part_regress()
{
	need_build || { heading regress; miss 'regress: there is no build'; return 0; }
	heading 'regress: pg_regress'
	config=$private_config
	need_cluster "$work/cluster" "$bindir" || return 0
	run_regress "$work/cluster" "$work/log/regress" "$work/gcc/regression.diffs" -C "$work/gcc" ISOLATION=
}

part_isolation()
{
	need_build || { heading isolation; miss 'isolation: there is no build'; return 0; }
	heading 'isolation: pg_isolation_regress'
	config=$private_config
	need_cluster "$work/cluster" "$bindir" || return 0
	run_regress "$work/cluster" "$work/log/isolation" "$work/gcc/output_iso/regression.diffs" -C "$work/gcc" REGRESS=
}

part_nolistener()
{
	local other=$work/pg2

	heading 'nolistener: without libmicrohttpd'
	copy_tree nolistener
	as_server mkdir "$other"
	private_postgres "$other"
	config=$other$pg_config
	try 'make LISTENER=no, warnings are errors' "$work/log/nolistener" build_tree nolistener LISTENER=no || return 0
	if readelf -d "$work/nolistener/scim.so" | grep -q 'NEEDED.*microhttpd'; then
		miss 'it needs libmicrohttpd all the same'
	else
		pass 'it does not need libmicrohttpd'
	fi
	try 'make install LISTENER=no' "$work/log/nolistener-install" as_server make -C "$work/nolistener" install LISTENER=no PG_CONFIG="$config" || return 0
	need_cluster "$work/cluster-nolistener" "$other$pg_bindir" || return 0
	run_regress "$work/cluster-nolistener" "$work/log/nolistener-regress" "$work/nolistener/regression.diffs" -C "$work/nolistener" LISTENER=no ISOLATION=
	stop_cluster "$work/cluster-nolistener" "$other$pg_bindir"
}

# prove_file SECONDS FILE: a TAP file of the tree, with that limit.
prove_file()
{
	local seconds=$1 file=$2 name=${2##*/} log status=0 start=$SECONDS pgxs

	log=$work/log/$name
	pgxs=$(dirname "$("$pg_config" --pgxs)")
	guarded "$seconds" env PATH="$bindir:$PATH" PG_REGRESS="$pgxs/../test/regress/pg_regress" \
		TMPDIR="$work/tmp" TESTDIR="$work/gcc" TESTDATADIR="$work/gcc/tmp_check" TESTLOGDIR="$work/gcc/tmp_check/log" \
		sh -c 'cd "$1" && exec prove -v -I "$2" -I test/t/lib "$3"' sh "$work/gcc" "$pgxs/../test/perl" "$file" \
		>"$log" 2>&1 </dev/null || status=$?
	count_tap "$log"
	if [ "$tap_bad" = 0 ] && [ $status = 0 ]; then
		printf '   ok      %s: %d (%d s)\n' "$name" "$tap_good" $((SECONDS - start))
	else
		# the file itself fails, too, when it ended too early
		[ "$tap_bad" != 0 ] || failed=$((failed + 1))
		printf '   FAILED  %s: %d of %d, exit status %d\n' "$name" "$tap_bad" $((tap_good + tap_bad)) $status
		{ grep -aE -A 12 '^not ok' "$log" | grep -avE '^ok ' | head -n 60; printf '...\n'; tail -n 12 "$log"; } | sed 's/^/      | /'
	fi
}

# can_prove PART: there are a build and the modules of PostgreSQL's own tests.
can_prove()
{
	local pgxs

	need_build || { heading "$1"; miss "$1: there is no build"; return 1; }
	heading "$1: processes"
	pgxs=$(dirname "$("$pg_config" --pgxs)")
	[ -f "$pgxs/../test/perl/PostgreSQL/Test/Cluster.pm" ] || [ -f "$pgxs/../../src/test/perl/PostgreSQL/Test/Cluster.pm" ] ||
		{ miss "PostgreSQL::Test::Cluster is missing under $pgxs/../test/perl"; return 1; }
}

part_tap()
{
	local file

	can_prove tap || return 0
	try 'the test peer, warnings are errors' "$work/log/peer" as_server make -C "$work/gcc/test/peer" -j"$jobs" || return 0
	for file in "$work/gcc"/test/t/*.pl; do
		prove_file 300 "test/t/${file##*/}"
	done
}

part_soak()
{
	can_prove soak || return 0
	prove_file $((${KILLS:-1000} * 20 + 300)) test/soak/crash.pl
	grep '^# .* kills, ' "$work/log/crash.pl" | tail -n 1
}

part_soak-sync()
{
	local file

	can_prove soak-sync || return 0
	try 'the test peer, warnings are errors' "$work/log/peer" as_server make -C "$work/gcc/test/peer" -j"$jobs" || return 0
	export SCIM_SOAK=1
	for file in 040_chaos.pl 039_across.pl; do
		prove_file 3300 "test/t/$file"
		grep -E '^# .*(requests|edits here)' "$work/log/$file"
	done
	unset SCIM_SOAK
}

# psql with nothing but what the file env of the quickstart says.
psql_by_env()
{
	env -i PATH="$bindir:$PATH" HOME=/nonexistent bash -c 'source "$1" && psql -XAtc "$2"' bash "$1" "$2"
}

part_quickstart()
{
	local script=$work/gcc/test/quickstart.sh file=$work/gcc/.quickstart/env other i data status=0

	need_build || { heading quickstart; miss 'quickstart: there is no build'; return 0; }
	heading 'quickstart'
	export PG_CONFIG=$private_config
	try 'quickstart --once: every step comes out right' "$work/log/once" "$script" --once || true
	[ ! -e "$file" ] && pass 'it removes .quickstart/env' || miss 'it leaves .quickstart/env behind'

	"$script" --serve >"$work/log/serve" 2>&1 </dev/null &
	child=$!
	for i in $(seq 600); do
		[ ! -s "$file" ] && kill -0 "$child" 2>/dev/null || break
		sleep 0.1
	done
	if [ ! -s "$file" ]; then
		miss 'quickstart --serve comes up' "$work/log/serve"
		return 0
	fi
	pass 'quickstart --serve comes up'
	[ "$(stat -c %a "$file")" = 600 ] && pass 'only its owner can read the file env' || miss 'the file env is readable for others'
	cp -p "$file" "$work/env"
	data=$(bash -c 'source "$1"; printf %s "$PGDATA"' bash "$work/env")
	[ "$(psql_by_env "$work/env" 'SELECT rolsuper FROM pg_roles WHERE rolname = current_user' 2>"$work/log/psql")" = t ] &&
		pass 'psql connects as superuser with the file env alone' || miss 'psql does not connect' "$work/log/psql"
	[ "$(bash -c 'source "$1"; curl -q -s --noproxy "*" -o /dev/null -w "%{http_code}" -H "Authorization: Bearer $SCIM_TOKEN" "$SCIM_URL/Users"' bash "$work/env")" = 200 ] &&
		pass 'the token opens the tenant URL' || miss 'the token does not open the tenant URL'
	if is_root; then
		# without the modes of the directories in the way, peer authentication decides
		cp "$work/env" "$work/env-for-all"
		chmod 0644 "$work/env-for-all"
		chmod 0755 "$work"
		for other in nobody "$server_user"; do
			if runuser -u "$other" -- env -i PATH="$bindir:$PATH" bash -c 'source "$1" && psql -XAtc "SELECT 1"' bash "$work/env-for-all" >"$work/log/other" 2>&1; then
				miss "user $other gets in as well"
			else
				pass "user $other does not get in"
			fi
		done
		chmod 0700 "$work"
	fi

	try 'a second run beside the first one' "$work/log/second" "$script" --once || true
	[ "$(psql_by_env "$work/env" 'SELECT 1' 2>/dev/null)" = 1 ] && pass 'the first one is still there' || miss 'the first one is gone'
	kill -TERM "$child"
	wait "$child" || status=$?
	child=
	[ $status = 0 ] && pass 'it ends when told to' || miss "it ends with status $status" "$work/log/serve"
	[ ! -e "${data%/data}" ] && pass 'and leaves nothing behind' || miss "and leaves ${data%/data} behind"
	unset PG_CONFIG
}

# ---- go ----

jobs=$(nproc 2>/dev/null || echo 2)
[ "$jobs" -le 4 ] || jobs=4
cd /
ensure_packages test
new_directory test
work=$directory
as_server mkdir "$work/log" "$work/pg" "$work/tmp"
! is_root || chmod 0777 "$work/log"
private_postgres "$work/pg"
private_config=$work/pg$pg_config
bindir=$work/pg$pg_bindir
say "scim $(sed -n "s/^default_version *= *'\(.*\)'/\1/p" "$root/scim.control"), $("$pg_config" --version), as $server_user, in $work"

for part in "${parts[@]}"; do
	"part_$part" || miss "the part $part stopped early"
done

printf '\n%d s\n' "$SECONDS"
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" = 0 ]
