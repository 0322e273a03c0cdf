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

# paste NAME FILE
paste_in()
{
	grep -qxF "<!-- $1 -->" "$page" && grep -qxF "<!-- /$1 -->" "$page" || { printf 'publish: %s has no place for %s\n' "$page" "$1" >&2; exit 1; }
	awk -v name="$1" -v file="$2" '
		$0 == "<!-- /" name " -->" { skip = 0 }
		!skip { print }
		$0 == "<!-- " name " -->" {
			print "\n```text"
			while ((getline line < file) > 0)
				print line
			print "```\n"
			skip = 1
		}' "$page" >"$page.new"
	mv "$page.new" "$page"
	printf '%s: %s\n' "$1" "$2"
}

for name in bench-20000 bench-1000000; do
	report=$(newest "$name")
	[ -n "$report" ] || continue
	paste_in "$name" "$report.txt"
	cp "$report.svg" "$root/docs/performance-${name#bench-}.svg"
done
report=$(newest curves)
if [ -n "$report" ]; then
	paste_in curves "$report.txt"
	paste_in curves-plans "$report-plans.txt"
	for curve in users group page; do
		cp "$report-$curve.svg" "$root/docs/performance-$curve.svg"
	done
fi
