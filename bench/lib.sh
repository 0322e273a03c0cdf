# lib.sh - what the benchmarks share: a private copy of PostgreSQL with the
# extension of the tree, a cluster of their own, and cleaning up.
#
# To be sourced after test/lib.sh by bash scripts that have set "root".  A
# script that has more to end than a cluster defines end_more.

server=				# directory of PostgreSQL and the cluster (server_user's)
mine=				# scripts, results (ours)
private=			# the private copy's programs

end_more()
{
	:
}

clean_up()
{
	local status=$?

	trap - EXIT
	trap '' INT TERM HUP
	allow_main_cluster
	end_more
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

# make_directories NAME: set server, mine and private.
make_directories()
{
	mine=$(mktemp -d "/tmp/scim-$1-files.XXXXXX")
	new_directory "$1"
	server=$directory
	as_server mkdir "$server/postgres"
	private_postgres "$server/postgres"
	private=$server/postgres$pg_bindir
}

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
}

# build_program NAME SOURCE... [LIBRARY...]: $mine/NAME.
build_program()
{
	local name=$1

	shift
	gcc -O2 -Wall -Wextra -o "$mine/$name" "$@" >"$mine/build.log" 2>&1 ||
		{ cat "$mine/build.log" >&2; die "bench/$name cannot be compiled (see above)."; }
}

# The load generator.  GnuTLS' headers come with those of libmicrohttpd.
build_load()
{
	build_program load "$root"/bench/load/*.c -lgnutls
}
