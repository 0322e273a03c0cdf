#!/usr/bin/env bash
#
# floors.sh [DIR] - the rules of the source tree that a search can check.
#
# DIR is a tree that has been built (default: this one); the rules on object
# files need the objects.  Each rule prints "ok" or "not ok" and what violates
# it; exit status 1 if any does.

set -euo pipefail
cd "${1:-$(dirname "${BASH_SOURCE[0]}")/..}"
shopt -s globstar nullglob lastpipe	# lastpipe: rule counts
export LC_ALL=C

number=0
failed=0

# rule TEXT: standard input lists the violations.
rule()
{
	local found

	number=$((number + 1))
	found=$(cat)
	if [ -z "$found" ]; then
		printf 'ok %d - %s\n' "$number" "$1"
	else
		failed=$((failed + 1))
		printf 'not ok %d - %s\n' "$number" "$1"
		printf '%s\n' "$found" | sed 's/^/    /'
	fi
}

# grep's "nothing found" is what we hope for.
seek()
{
	grep "$@" || [ $? = 1 ]
}

sources=(src/**/*.c)
headers=(src/**/*.h)
all=("${sources[@]}" "${headers[@]}")

# ---- includes ----

awk '
	BEGIN {
		split("core 1 catalog 2 store 3 client 4 provider 4 provisioner 5 fdw 5 worker 6", word, " ")
		for (i = 1; i in word; i += 2)
			height[word[i]] = word[i + 1]
	}
	/^[ \t]*#[ \t]*include[ \t]*"/ {
		split(FILENAME, part, "/")
		split($0, quoted, "\"")
		if (part[3] == "" || split(quoted[2], to, "/") < 2 || !(to[1] in height))
			next
		if (!(part[2] in height))
			print FILENAME ": " part[2] " is no floor"
		else if (to[1] != part[2] && height[to[1]] >= height[part[2]])
			print FILENAME ":" FNR ": includes \"" quoted[2] "\""
	}' "${all[@]}" |
	rule 'no file includes a header of a floor above its own (core < catalog < store < client, provider < provisioner, fdw < worker < module)'

seek -nE '^\s*#\s*include\s+"' src/core/*.[ch] | seek -vE '"(core/)?core_[a-z_0-9]+\.h"' | seek -v '^src/core/core_shim\.c:' |
	rule 'core includes no header of the server, but for core_shim.c'

seek -nE '^\s*#\s*include\s+[<"]curl/' "${all[@]}" | seek -v '^src/client/' |
	rule 'only src/client includes curl.h'

seek -nE '^\s*#\s*include\s+[<"]microhttpd\.h' "${all[@]}" | seek -v '^src/worker/worker_listener_mhd\.c:' |
	rule 'only src/worker/worker_listener_mhd.c includes microhttpd.h'

seek -nE '^\s*#\s*include\s+[<"]jansson' "${all[@]}" | seek -v '^src/core/core_json\.h:' |
	rule 'only src/core/core_json.h includes jansson.h'

seek -nE '^\s*#\s*include\s+"postgres(_fe)?\.h"' "${headers[@]}" |
	rule 'no header includes postgres.h'

# A file that must not see the server says so with #ifdef POSTGRES_H, #error.
for file in "${sources[@]}"; do
	case $file in
		src/core/*) ;;
		*) grep -q 'ifdef POSTGRES_H' "$file" ||
			awk '/^[ \t]*#[ \t]*include/ { if ($0 !~ /"postgres\.h"/) print FILENAME ": its first include is " $2; exit }' "$file" ;;
	esac
done | rule 'postgres.h is the first include of every server file'

seek -lE 'ifdef POSTGRES_H' "${sources[@]}" | while read -r file; do
	seek -nHE '^\s*#\s*include\s+"(postgres|utils/|executor/|catalog/pg_|miscadmin|fmgr)' "$file"
done | rule 'files with callbacks of foreign libraries do not see the server'

seek -n 'PG_VERSION_NUM' "${all[@]}" | seek -v '^src/compat\.h:' |
	rule 'only src/compat.h knows versions of PostgreSQL'

# ---- names ----

printf '%s\n' {src,test,bench}/**/*.[ch] | sed 's|.*/||' | sort | uniq -d |
	rule 'names of C files are unique in the tree'

seek -nE '/root/|/home/[a-z]|/tmp/[a-z]+/|TODO|FIXME|XXX[^X]' "${all[@]}" sql/install/*.sql |
	rule 'no path of a developer'\''s machine, no TODO'

# ---- objects ----

objects=()
for file in "${sources[@]}"; do
	[ ! -f "${file%.c}.o" ] || objects+=("${file%.c}.o")
done
if [ ${#objects[@]} = 0 ]; then
	for text in 'no object refers to json_object' 'every non-static symbol starts with scim_'; do
		printf 'there is no object file here: build first (make)\n' | rule "$text"
	done
else
	nm -A "${objects[@]}" | seek -E ' json_object$' |
		rule 'no object refers to json_object (it is a function of the server, too)'
	nm -A -g --defined-only "${objects[@]}" | seek -vE ' (scim_[a-z0-9_]+|pg_finfo_scim_[a-z0-9_]+|Pg_magic_func|_PG_init)$' |
		rule 'every non-static symbol starts with scim_'
fi

# ---- install scripts ----

seek -niE 'CREATE OR REPLACE|CREATE [A-Z ]*IF NOT EXISTS|ADD COLUMN IF NOT EXISTS' sql/install/*.sql |
	rule 'install scripts do not take over what is there (no OR REPLACE, no IF NOT EXISTS)'

awk '
	match($0, /^CREATE (FUNCTION|TABLE|VIEW|SERVER|AGGREGATE|PROCEDURE) scim\.[a-z_0-9]+/) {
		name = substr($0, RSTART + 7, RLENGTH - 7)
		made[name] = FILENAME ":" FNR
	}
	match($0, /^COMMENT ON (FUNCTION|TABLE|VIEW|AGGREGATE|PROCEDURE) scim\.[a-z_0-9]+/) {
		commented[substr($0, RSTART + 11, RLENGTH - 11)] = 1
	}
	# privileges of views are those of tables
	match($0, /^(REVOKE ALL|GRANT [A-Z, ]+) ON (FUNCTION|TABLE|AGGREGATE|PROCEDURE) scim\.[a-z_0-9]+/) {
		name = substr($0, RSTART, RLENGTH)
		sub(/^.* ON /, "", name)
		decided[name] = 1
	}
	END {
		for (name in made) {
			acl = name
			sub(/^VIEW /, "TABLE ", acl)
			if (!(name in commented))
				print made[name] ": " name " has no COMMENT"
			if (!(acl in decided))
				print made[name] ": " name " has no REVOKE or GRANT"
		}
	}' sql/install/*.sql | sort |
	rule 'every function, table and view has its COMMENT and its REVOKE or GRANT'

awk '
	/^CREATE FUNCTION/ { text = ""; inside = 1; at = FILENAME ":" FNR; name = $3 }
	inside { text = text " " $0 }
	inside && /(^|[^$])\$\$|MODULE_PATHNAME|;$/ {
		inside = 0
		if (text !~ /(IMMUTABLE|STABLE|VOLATILE)/) print at ": " name " does not state its volatility"
		if (text !~ /PARALLEL (SAFE|RESTRICTED|UNSAFE)/) print at ": " name " does not state whether it is parallel safe"
		if (text ~ /SECURITY DEFINER/ && text !~ /SET search_path = pg_catalog, pg_temp/) print at ": " name " is SECURITY DEFINER without a pinned search_path"
	}' sql/install/*.sql |
	rule 'every function states volatility and parallel safety; SECURITY DEFINER pins search_path'

printf '%d passed, %d failed\n' $((number - failed)) "$failed"
[ "$failed" = 0 ]
