#!/usr/bin/env bash
#
# publish.sh [DIR] - put the newest reports of DIR (default build/bench) into
# docs/performance.md, and their plots beside it.
#
# In the page, what lies between <!-- NAME --> and <!-- /NAME --> is replaced, for each NAME
# that there is a report of: bench-20000, bench-1000000, curves, curves-plans.

set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
from=${1:-$root/build/bench}
page=$root/docs/performance.md

# newest NAME: the report, without the end of its name.
newest()
{
	local file found=

	for file in "$from/$1"-*Z.json; do
		[ ! -e "$file" ] || found=${file%.json}
	done
	printf '%s\n' "$found"
}

# paste_in NAME FILE [PLOT...]: each plot is a line of the page.
paste_in()
{
	local name=$1 file=$2

	shift 2
	grep -qxF "<!-- $name -->" "$page" && grep -qxF "<!-- /$name -->" "$page" || { printf 'publish: %s has no place for %s\n' "$page" "$name" >&2; exit 1; }
	printf '%s\n\n' "$@" | awk -v name="$name" -v file="$file" '
		FILENAME == "-" { plots = plots $0 "\n"; next }
		$0 == "<!-- /" name " -->" { skip = 0 }
		!skip { print }
		$0 == "<!-- " name " -->" {
			print "\n```text"
			while ((getline line < file) > 0)
				print line
			print "```\n"
			sub(/\n+$/, "", plots)
			if (plots != "")
				print plots "\n"
			skip = 1
		}' - "$page" >"$page.new"
	mv "$page.new" "$page"
	printf '%s: %s\n' "$name" "$file"
}

for name in bench-20000 bench-1000000; do
	report=$(newest "$name")
	[ -n "$report" ] || continue
	paste_in "$name" "$report.txt" "![In parts of what is the least](performance-${name#bench-}.svg)"
	cp "$report.svg" "$root/docs/performance-${name#bench-}.svg"
done
report=$(newest curves)
if [ -n "$report" ]; then
	paste_in curves "$report.txt" '![By users stored](performance-users.svg)' '![By members of the group](performance-group.svg)' '![By the number of the page](performance-page.svg)'
	paste_in curves-plans "$report-plans.txt"
	for curve in users group page; do
		cp "$report-$curve.svg" "$root/docs/performance-$curve.svg"
	done
fi
