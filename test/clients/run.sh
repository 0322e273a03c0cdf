#!/usr/bin/env bash
#
# run.sh - the provider under clients that nobody here wrote (make conformance):
#
#   python   scim2-tester, through scim2-cli: its compliance check
#   java     the client of the SCIM-SDK, which checks answers by its own schemas
#   go       schemas of elimity-com/scim on answers, filters of scim2/filter-parser
#
# Needs the package registries of these languages, and is no part of make test.
# What is not installed is skipped, and said so.  SCIM_URL and SCIM_TOKEN name an
# endpoint that is there; else one is started (make quickstart ARGS=--serve).
# The last line is "N passed, N failed, N skipped".

set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
work=$(mktemp -d)
server=
passed=0
failed=0
skipped=0

clean_up()
{
	[ -z "$server" ] || { kill "$server" && wait "$server"; } 2>/dev/null || true
	rm -rf "$work"
}
trap clean_up EXIT

# suite NAME PROGRAM COMMAND...: runs in $work/NAME; lines "ok" and "not ok" count.
suite()
{
	local name=$1 program=$2 good bad status=0

	shift 2
	printf '\n== %s\n' "$name"
	if ! command -v "$program" >/dev/null; then
		printf '   skipped: there is no %s\n' "$program"
		skipped=$((skipped + 1))
		return 0
	fi
	mkdir -p "$work/$name"
	[ ! -d "$root/test/clients/$name" ] || cp -r "$root/test/clients/$name/." "$work/$name"
	(cd "$work/$name" && "$@") >"$work/$name.log" 2>&1 || status=$?
	good=$(grep -aoE '(^|m)ok - ' "$work/$name.log" | wc -l)
	bad=$(grep -ac '^not ok - ' "$work/$name.log" || true)
	if [ "$good" = 0 ] || { [ $status != 0 ] && [ "$bad" = 0 ]; }; then
		bad=$((bad + 1))
		tail -n 20 "$work/$name.log" | sed 's/^/      | /'
	fi
	grep -a -A 2 '^not ok - ' "$work/$name.log" | cut -c 1-300 | sed 's/^/      | /' || true
	printf '   %d passed, %d failed\n' "$good" "$bad"
	passed=$((passed + good))
	failed=$((failed + bad))
}

python_suite()
{
	python3 -m venv venv
	venv/bin/pip install -q 'scim2-cli==0.6.0' 'scim2-tester==0.5.2'
	# SUCCESS and anything else at the begin of a line, without colours
	venv/bin/scim2 --url "$SCIM_URL" --header "Authorization: Bearer $SCIM_TOKEN" test -v |
		sed -E 's/\x1b\[[0-9;]*m//g; s/^SUCCESS /ok - /; s/^([A-Z]{4,}) /not ok - \1 /'
}

java_suite()
{
	mvn -q -B compile org.codehaus.mojo:exec-maven-plugin:3.1.0:java -Dexec.mainClass=Clients
}

go_suite()
{
	go run .
}

if [ -z "${SCIM_URL:-}" ]; then
	"$root/test/quickstart.sh" --serve >"$work/serve.log" 2>&1 </dev/null &
	server=$!
	for _ in $(seq 1200); do
		[ ! -s "$root/.quickstart/env" ] && kill -0 "$server" 2>/dev/null || break
		sleep 0.1
	done
	[ -s "$root/.quickstart/env" ] || { tail -n 20 "$work/serve.log"; exit 1; }
	source "$root/.quickstart/env"
fi
export SCIM_URL SCIM_TOKEN

suite python python3 python_suite
suite java mvn java_suite
suite go go go_suite
printf '\n== the request collection of Microsoft'"'"'s validator\n   skipped: it is not to be had from a registry; its requests are in test/t/001_entra.pl and 003_must_accept.pl\n'
skipped=$((skipped + 1))

printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" = 0 ]
