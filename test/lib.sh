# lib.sh - what test/quickstart.sh and test/run.sh share: who runs this, what
# is missing on this machine, a private PostgreSQL cluster, cleaning up.
#
# To be sourced by bash scripts that have set "root" to the top of the tree.
#
# Who does what: packages and "make install" need root (directly or by sudo);
# everything of PostgreSQL runs as "server_user", which is whoever runs the
# script or, for root, the user postgres.  No existing cluster is ever started,
# stopped or changed: every cluster here lies in a directory of its own.

set -euo pipefail

# Nothing of the caller's environment may lead to another server or another
# build: PG_CONFIG alone chooses the PostgreSQL.
for variable in $(compgen -e); do
	case $variable in
		PG_CONFIG) ;;
		PG* | MAKEFLAGS | MFLAGS | MAKELEVEL | MAKEOVERRIDES | PSQLRC) unset "$variable" ;;
	esac
done
unset variable CDPATH
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
umask 022

me=$(id -un)
server_user=$me

say()
{
	printf '%s\n' "$*"
}

# die MESSAGE [LINE...]: say what is wrong and what to do about it, and end.
die()
{
	printf '\nscim: %s\n' "$1" >&2
	shift
	[ $# = 0 ] || printf '      %s\n' "$@" >&2
	exit 1
}

is_root()
{
	[ "$(id -u)" = 0 ]
}

# need_root REASON COMMAND: make sure that as_root will work.
need_root()
{
	is_root && return 0
	command -v sudo >/dev/null ||
		die "$1 needs root, and there is no sudo here." "As root: $2"
	sudo -n true 2>/dev/null && return 0
	if [ -t 0 ] && [ -z "${CI:-}" ]; then
		say "($1 needs root: sudo may ask for your password.)"
		sudo=(sudo)
		sudo -v && return 0
	fi
	die "$1 needs root, and sudo does not let $me do it." "As root: $2"
}

sudo=(sudo -n)

as_root()
{
	if is_root; then
		"$@"
	else
		"${sudo[@]}" "$@"
	fi
}

as_server()
{
	if is_root; then
		runuser -u "$server_user" -- env HOME=/nonexistent "$@"
	else
		"$@"
	fi
}

# ---- what is here, what is missing ----

# Find the PostgreSQL to work with: PG_CONFIG if given, else the newest one
# under /usr/lib/postgresql that is complete, else the newest one there, else
# the pg_config in PATH.  Sets pg_config (may not exist yet), pg_bindir and
# pg_major; all empty: there is none.
find_postgres()
{
	local dir version best= server= headers=

	pg_config= pg_bindir= pg_major=
	if [ -n "${PG_CONFIG:-}" ]; then
		pg_config=$(command -v "$PG_CONFIG") || die "PG_CONFIG names '$PG_CONFIG', which cannot be run."
	else
		for dir in $(ls -d /usr/lib/postgresql/[0-9]* 2>/dev/null | sort -V); do
			version=${dir##*/}
			[ "$version" -ge 14 ] 2>/dev/null || continue
			[ ! -x "$dir/bin/postgres" ] || server=$dir
			[ ! -f "$dir/lib/pgxs/src/makefiles/pgxs.mk" ] || headers=$dir
			[ "$server" != "$dir" ] || [ "$headers" != "$dir" ] || best=$dir
		done
		best=${best:-${server:-$headers}}
		if [ -n "$best" ]; then
			pg_config=$best/bin/pg_config pg_bindir=$best/bin pg_major=${best##*/}
			return 0
		fi
		dir=$(command -v pg_config) || return 0
		[ -x "$("$dir" --bindir)/postgres" ] || return 0
		pg_config=$dir
	fi
	pg_bindir=$("$pg_config" --bindir)
	pg_major=$("$pg_config" --version | sed 's/^[^0-9]*\([0-9]*\).*/\1/')
}

has_header()
{
	command -v gcc >/dev/null || return 1
	printf '#include <%s>\n' "$1" | gcc -E -x c - >/dev/null 2>&1
}

has_module()
{
	perl "-M$1" -e 1 2>/dev/null
}

# List the packages that are missing, in "missing".  What counts is whether the
# thing itself is here, wherever it came from.  FOR is quickstart or test.
find_missing()
{
	local pg=${pg_major:-NN}

	missing=()
	command -v gcc >/dev/null || missing+=(gcc libc6-dev)
	command -v make >/dev/null || missing+=(make)
	has_header stdlib.h || [[ " ${missing[*]-} " = *" libc6-dev "* ]] || missing+=(libc6-dev)
	[ -n "$pg_bindir" ] && [ -x "$pg_bindir/postgres" ] && [ -x "$pg_bindir/initdb" ] || missing+=("postgresql-$pg")
	[ -x "$pg_config" ] && [ -f "$("$pg_config" --pgxs)" ] && [ -f "$("$pg_config" --includedir-server)/postgres.h" ] ||
		missing+=("postgresql-server-dev-$pg")
	has_header curl/curl.h || missing+=(libcurl4-openssl-dev)
	has_header jansson.h || missing+=(libjansson-dev)
	has_header microhttpd.h || missing+=(libmicrohttpd-dev)
	command -v curl >/dev/null || missing+=(curl)
	[ "$1" = test ] || return 0

	command -v clang >/dev/null || missing+=(clang)
	command -v nm >/dev/null || missing+=(binutils)
	command -v openssl >/dev/null || missing+=(openssl)
	# prove and the modules that the tests use; perl-base alone has them not
	command -v prove >/dev/null && has_module Test::More && has_module HTTP::Tiny && has_module JSON::PP || missing+=(perl)
	has_module IPC::Run || missing+=(libipc-run-perl)
	has_module IO::Socket::SSL || missing+=(libio-socket-ssl-perl)
	[ -n "$pg_bindir" ] && [ -x "$pg_bindir/psql" ] || missing+=("postgresql-client-$pg")
}

# Run apt-get quietly; when it fails, show the end of what it said.
apt_get()
{
	local log

	log=$(mktemp)
	if ! as_root env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 \
		${http_proxy:+"http_proxy=$http_proxy"} ${https_proxy:+"https_proxy=$https_proxy"} \
		apt-get -y -q -o DPkg::Lock::Timeout=180 -o Dpkg::Use-Pty=0 "$@" >"$log" 2>&1 </dev/null; then
		tail -n 20 "$log" | sed 's/^/    /' >&2
		rm -f "$log"
		return 1
	fi
	rm -f "$log"
}

# Debian's PostgreSQL makes and starts a cluster named "main" when a server is
# installed.  Nobody asked for it, so it is told not to, for this installation
# only: a drop-in that is removed again.
forbid_main_cluster()
{
	dropin=/etc/postgresql-common/createcluster.d/scim-quickstart.conf
	as_root mkdir -p "${dropin%/*}"
	printf 'create_main_cluster = false\n' | as_root tee "$dropin" >/dev/null
}

allow_main_cluster()
{
	[ -z "${dropin:-}" ] || as_root rm -f "$dropin"
	dropin=
}

# ensure_packages quickstart|test: install what is missing, and set pg_config,
# pg_bindir, pg_major and server_user.
ensure_packages()
{
	local i free

	find_postgres
	find_missing "$1"
	if [ ${#missing[@]} != 0 ]; then
		command -v apt-get >/dev/null ||
			die "missing on this machine: ${missing[*]}" \
				"These are Debian's names. There is no apt-get here: install them by hand, then try again."
		need_root "Installing packages" "apt-get install ${missing[*]//NN/<version>}"
		say "Missing: ${missing[*]//-NN/}. Asking apt for its lists ..."
		apt_get update || die "apt-get update failed (see above)." "Is there a network, and are the sources of apt right?"
		if [ -z "$pg_major" ]; then
			pg_major=$(apt-cache depends postgresql 2>/dev/null | sed -n 's/.*Depends: postgresql-\([0-9]*\)$/\1/p' | head -n 1)
			[ -n "$pg_major" ] || die "apt knows no package 'postgresql'." "Are the sources of apt right?"
			for i in "${!missing[@]}"; do
				missing[i]=${missing[i]/%-NN/-$pg_major}
			done
		fi
		free=$(df -Pm /usr | awk 'NR == 2 { print $4 }')
		[ "$free" -ge 900 ] || say "Only $free MB are free under /usr: that may not be enough."
		say "Installing: ${missing[*]} (a few minutes) ..."
		forbid_main_cluster
		if ! apt_get install --no-install-recommends "${missing[@]}"; then
			allow_main_cluster
			die "apt-get install failed (see above)." "Is there a network? By hand: apt-get update && apt-get install ${missing[*]}"
		fi
		allow_main_cluster
		find_postgres
		find_missing "$1"
		[ ${#missing[@]} = 0 ] || die "still missing after the installation: ${missing[*]}"
	fi

	[ "$pg_major" -ge 14 ] || die "PostgreSQL $pg_major is too old: scim needs 14 or later."
	if is_root; then
		server_user=postgres
		id postgres >/dev/null 2>&1 ||
			die "PostgreSQL does not run as root, and there is no user postgres to run it as." "Run this as an ordinary user."
	fi
}

# ---- directories and clusters ----

# new_directory NAME: a directory of server_user's own, in "directory".  Under
# /tmp, because the path of a socket is limited to 107 bytes and the user
# postgres must be able to get there.
new_directory()
{
	local free

	free=$(df -Pm /tmp | awk 'NR == 2 { print $4 }')
	[ "$free" -ge 300 ] || die "only $free MB are free under /tmp: 300 are needed."
	directory=$(mktemp -d "/tmp/scim-$1.XXXXXX") || die "no directory could be made under /tmp."
	chmod 0700 "$directory"
	! is_root || chown "$server_user:" "$directory"
}

# write_file PATH: standard input to a file that belongs to server_user.
write_file()
{
	as_server sh -c 'cat >"$1"' sh "$1"
}

# make_cluster DIR BINDIR OSUSER: initdb into DIR/data, socket in DIR/socket,
# no TCP.  The socket and the role postgres are for OSUSER alone, who needs no
# password.  The caller may append to postgresql.conf before start_cluster.
make_cluster()
{
	as_server mkdir -m 0700 "$1/socket"
	as_server "$2/initdb" -D "$1/data" -U postgres -E UTF8 --locale=C.UTF-8 -k -N -A peer >"$1/initdb.log" 2>&1 ||
		{ cat "$1/initdb.log" >&2; die "initdb failed (see above)."; }
	append_conf "$1" <<-CONF
		listen_addresses = ''
		unix_socket_directories = '$1/socket'
		unix_socket_permissions = 0700
		port = 5432
		log_line_prefix = '%m [%p] %b '
	CONF
	write_file "$1/data/pg_hba.conf" <<-HBA
		local all postgres peer map=scim
	HBA
	write_file "$1/data/pg_ident.conf" <<-IDENT
		scim "$3" postgres
	IDENT
}

# append_conf DIR: standard input to the end of the cluster's postgresql.conf.
append_conf()
{
	as_server sh -c 'cat >>"$1"' sh "$1/data/postgresql.conf"
}

start_cluster()
{
	as_server "$2/pg_ctl" -D "$1/data" -l "$1/log" -w -t 60 -s start >/dev/null 2>&1 </dev/null
}

# stop_cluster DIR BINDIR: whatever state it is in; quiet, always succeeds.
stop_cluster()
{
	local pid

	[ -f "$1/data/postmaster.pid" ] || return 0
	pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null) || return 0
	as_server "$2/pg_ctl" -D "$1/data" -m fast -t 15 -w -s stop >/dev/null 2>&1 </dev/null ||
		as_server "$2/pg_ctl" -D "$1/data" -m immediate -t 5 -w -s stop >/dev/null 2>&1 </dev/null ||
		kill -9 "$pid" 2>/dev/null || true
}

# free_port [FIRST]: a port of 127.0.0.1 that nobody listens on; FIRST if it is.
free_port()
{
	local port=${1:-0} try

	for try in $(seq 200); do
		[ "$port" -gt 0 ] || port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
		if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
			printf '%s\n' "$port"
			return 0
		fi
		port=0
	done
	die "no free port was found."
}

# private_postgres DIR: a copy of the PostgreSQL at hand, to install into
# without touching the real one and without root.  PostgreSQL finds its
# libraries and its share relative to its programs, so copies of these and
# links to everything else do; DIR/<path of pg_config> then names it.
private_postgres()
{
	local dir=$1 lib share include path program

	lib=$("$pg_config" --pkglibdir)
	share=$("$pg_config" --sharedir)
	include=$("$pg_config" --includedir)
	as_server mkdir -p "$dir$pg_bindir" "$dir$lib" "$dir$share/extension" "$dir${include%/*}"
	for program in postgres initdb pg_ctl pg_config pg_controldata pg_resetwal pg_isready pg_basebackup \
		psql createdb dropdb pg_dump pg_dumpall pg_restore pgbench pg_upgrade pg_amcheck pg_waldump pg_rewind; do
		path=$pg_bindir/$program
		[ ! -x "$path" ] || as_server cp -L "$path" "$dir$path"
	done
	as_server ln -s "$include" "$dir$include"
	as_server ln -s "$lib"/* "$dir$lib/"
	as_server ln -s "$share"/* "$dir$share/" 2>/dev/null || true	# extension/ is ours
	as_server ln -s "$share"/extension/* "$dir$share/extension/"
	as_server sh -c 'rm -f "$1"/scim.so "$2"/extension/scim*' sh "$dir$lib" "$dir$share"
}
