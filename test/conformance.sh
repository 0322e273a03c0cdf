#!/usr/bin/env bash
#
# conformance.sh [--write] - docs/conformance.md against the register and the
# tests.
#
# test/data/register.tsv lists the requirements on a service provider: number,
# level, title, and where one is not met or not tested, the reason why.  A test
# proves an entry by naming its number.  The table is made from both: this
# script fails if an entry is named in no test and has no reason, if a test
# names an entry that does not exist, or if the table in docs/ is another one.
# --write writes it.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export LC_ALL=C

register=test/data/register.tsv
table=docs/conformance.md
number='R-(7643|7644|9865|6750|9110|compat)-[a-z0-9.]+-[0-9]+'

# entry<TAB>file, each once
named()
{
	find test sql bench -type f \( -name '*.pl' -o -name '*.pm' -o -name '*.c' -o -name '*.sql' -o -name '*.spec' -o -name '*.json' -o -name '*.sh' \) \
		! -path '*/build/*' ! -path 'sql/install/*' -print0 | sort -z |
		xargs -0 grep -oHE "$number" | sed -E 's/^([^:]*):(.*)$/\2\t\1/' | sort -u
}

make_table()
{
	cat <<'HEAD'
# Conformance

Every entry of the register of requirements (RFC 7643, RFC 7644, RFC 9865, RFC 6750; MUST† marks a rule of this project where an RFC leaves the choice), with the tests that
prove it: each names the number. `test/conformance.sh` makes this table from `test/data/register.tsv` and the tests, and fails where an entry has neither a test nor a reason.

| entry | level | requirement | proved by, or why not |
| --- | --- | --- | --- |
HEAD
	awk -F '\t' '
		NR == FNR { files[$1] = files[$1] (files[$1] == "" ? "" : ", ") "[" base($2) "](../" $2 ")"; next }
		{
			proof = files[$1]
			if ($4 != "")
				proof = proof (proof == "" ? "" : "; ") $4
			gsub(/\|/, "\\|", $3)
			print "| " $1 " | " $2 " | " $3 " | " proof " |"
		}
		function base(path) { sub(/.*\//, "", path); return path }
	' "$1" "$register"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
named >"$work/named"
make_table "$work/named" >"$work/table"
cut -f 1 "$register" | sort >"$work/entries"
cut -f 1 "$work/named" | sort -u >"$work/proved"
status=0

report()
{
	[ ! -s "$2" ] || { status=1; sed "s/^/$1: /" "$2"; }
}

uniq -d "$work/entries" >"$work/twice"
awk -F '\t' 'NR == FNR { proved[$1] = 1; next } !($1 in proved) && $4 == "" { print $1 }' "$work/named" "$register" >"$work/missing"
comm -13 <(uniq "$work/entries") "$work/proved" >"$work/unknown"
report 'the register has it twice' "$work/twice"
report 'named in no test, and no reason given' "$work/missing"
report 'named in a test, but not in the register' "$work/unknown"
if [ "${1:-}" = --write ]; then
	cp "$work/table" "$table"
elif ! cmp -s "$work/table" "$table"; then
	status=1
	printf '%s is not what the register and the tests make: test/conformance.sh --write\n' "$table"
fi
printf '%d entries, %d named in tests\n' "$(uniq "$work/entries" | wc -l)" "$(comm -12 <(uniq "$work/entries") "$work/proved" | wc -l)"
exit $status
