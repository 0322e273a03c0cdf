#!/usr/bin/env bash
#
# curves.sh [--seconds S] [--users N] [--members N] [--out DIR] - how the time of a
# request grows with the users stored, with the size of a group, and with the
# number of a page; and the statements behind each operation, with their plans.
#
#   --seconds S   length of each measurement (default 2)
#   --users N     the most users (default 1000000), each step a tenth: down to 1000
#   --members N   the largest group (default 1000000), each step a tenth: down to 10
#   --out DIR     where the report goes (default build/bench)
#
# One client asks one request after the other, the sizes in turn, so that all of
# them see the same moment; the figure is the median time.  Writes curves-<time>.txt,
# .json, -users.svg, -group.svg, -page.svg and -plans.txt.  README.md says more.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
source "$root/test/lib.sh"
source "$root/bench/lib.sh"
source "$root/bench/stock.sh"
source "$root/bench/scenarios.sh"
source "$root/bench/measure.sh"

seconds=2
users=1000000
members=1000000
out=$root/build/bench
usage='usage: curves.sh [--seconds S] [--users N] [--members N] [--out DIR]'
while [ $# != 0 ]; do
	[ $# -ge 2 ] || die "$usage"
	case $1 in
		--seconds) seconds=$2 ;;
		--users) users=$2 ;;
		--members) members=$2 ;;
		--out) out=$2 ;;
		*) die "unknown option: $1" "$usage" ;;
	esac
	shift 2
done
for value in "$seconds" "$users" "$members"; do
	[[ $value =~ ^[1-9][0-9]{0,7}$ ]] || die "\"$value\" is not a positive whole number."
done
[ "$users" -ge 1000 ] || die "fewer than 1000 users are no measurement."
mkdir -p "$out" || die "$out cannot be made."
out=$(cd "$out" && pwd -P)

# steps LEAST MOST: each ten times the one before.
steps()
{
	local n

	for ((n = $1; n <= $2; n *= 10)); do
		printf '%s\n' "$n"
	done
}

# in_turn CURVE SERIES [SIZE SCENARIO]...: the median time of each.
in_turn()
{
	local curve=$1 series=$2 sizes=() scenarios=() i

	shift 2
	while [ $# != 0 ]; do
		sizes+=("$1")
		scenarios+=("$2")
		shift 2
	done
	request "$largest" "$seconds" 1 "${scenarios[@]}"
	for i in "${!sizes[@]}"; do
		line "$curve" "$series" "${sizes[i]}" "$(number p50_us "${scenarios[i]}")"
	done
}

# Which of the operations, in each of the databases.
by_users()
{
	local operation size list

	for operation in 'get GET by id' 'filter filter userName eq' 'external filter externalId eq' 'email filter emails.value eq' 'patch PATCH of one attribute' \
		'post POST of a full user' 'walk page of 100 by startIndex, in order' 'cursor page of 100 by cursor'; do
		list=()
		for size in $(steps 1000 "$users"); do
			list+=("$size" "users$size/${operation%% *}")
		done
		in_turn users "${operation#* }" "${list[@]}"
	done
}

by_members()
{
	local operation size list

	for operation in 'add PATCH adds a member' 'remove PATCH removes it' 'bare GET without members' 'rename PATCH of displayName' 'whole GET with all members'; do
		list=()
		for size in $(steps 10 "$members"); do
			# one answer holds no more than that
			[ "${operation%% *}" != whole ] || [ "$size" -le 100000 ] || continue
			list+=("$size" "$largest/of$size-${operation%% *}")
		done
		in_turn group "${operation#* }" "${list[@]}"
	done
}

by_page()
{
	local size jumps=() orders=() directory=$mine/$largest url

	url=http://127.0.0.1:${port_of[$largest]}$base_path
	for size in $(steps 1000 "$users"); do
		# the last ten pages of so many users
		seq $((size - 999)) 100 $((size - 99)) >"$directory/pages-$size.tsv"
		tail -n 1 "$directory/pages-$size.tsv" >"$directory/page-$size.tsv"
		jumps+=("$((size / 100))" "$largest/jump-$size")
		sed "s/pages\.tsv/page-$size.tsv/" "$directory/page" >"$directory/jump-$size"
		orders+=("$((size / 100))" "$largest/order-$size")
		{ sed "s/pages\.tsv/pages-$size.tsv/" "$directory/page"; printf 'rows in-order\n'; } >"$directory/order-$size"
	done
	in_turn page 'a jump to the page' "${jumps[@]}"
	# apart from each other: in turn, each would be a jump
	while [ ${#orders[@]} != 0 ]; do
		in_turn page 'the pages before it were read' "${orders[0]}" "${orders[1]}"
		orders=("${orders[@]:2}")
	done
}

# plans_of TITLE METHOD PATH [BODY]: the statements of a request, as auto_explain
# sees them in a session that has asked the same before, so that its plans are
# made.  {n} is 1 then, and 2 when it counts.  pg_catalog is left out, to be read.
plans_of()
{
	local title=$1 method=$2 path=$3 body=${4:-}

	"$private/psql" -XAtq -v ON_ERROR_STOP=1 -h "$server/socket" -p 5432 -U postgres -d "$largest" -v tenant="$tenant" -v method="$method" \
		-v path="$path" -v body="$body" >"$mine/explained" 2>&1 <<-'SQL' || { tail -n 5 "$mine/explained" >&2; give_up "the plans of $title cannot be shown."; }
		LOAD 'auto_explain';
		SET plan_cache_mode = force_generic_plan;
		SET jit = off;
		SELECT 1 / (status < 300)::int FROM scim.handle(:'tenant', :'method', replace(:'path', '{n}', '1'), NULL, replace(nullif(:'body', ''), '{n}', '1')) \g /dev/null
		SET client_min_messages = log;
		SET auto_explain.log_nested_statements = on;
		SET auto_explain.log_min_duration = 0;
		SELECT 1 / (status < 300)::int FROM scim.handle(:'tenant', :'method', replace(:'path', '{n}', '2'), NULL, replace(nullif(:'body', ''), '{n}', '2')) \g /dev/null
	SQL
	awk -v title="$title" '
		# once each, in the order of their first end
		function flush() {
			if (text != "" && text !~ /scim\.handle\(/ && !times[text]++)
				order[++n] = text
			text = ""
		}
		BEGIN { printf "== %s\n", title }
		/^LOG: / { flush(); keep = 1; next }
		/^[A-Z]+: / { keep = 0 }
		keep {
			sub(/^Query Text: /, "\n")
			sub(/  \(cost=.*\)$/, "")
			gsub(/::pg_catalog\.text|pg_catalog\./, "")
			while (match($0, /OPERATOR\([^)]*\)/))
				$0 = substr($0, 1, RSTART - 1) substr($0, RSTART + 9, RLENGTH - 10) substr($0, RSTART + RLENGTH)
			text = text $0 "\n"
		}
		END {
			flush()
			for (i = 1; i <= n; i++)
				printf "%s%s", order[i], (times[order[i]] > 1 ? "(" times[order[i]] " times)\n" : "")
			if (!n)
				print "\n(no statement: rows by the access methods)"
			print ""
		}' "$mine/explained" >>"$mine/plans"
}

by_statement()
{
	local id=$mine/$largest/ids.tsv group=00000000-0000-4000-8000-00000000000 patch='{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":'

	id=$(sed -n '1s/\t.*//p' "$id")
	plans_of 'GET by id' GET "/Users/$id"
	plans_of 'filter userName eq' GET '/Users?filter=userName%20eq%20%22seed.{n}@example.com%22'
	plans_of 'filter externalId eq' GET '/Users?filter=externalId%20eq%20%22seed-{n}%22'
	plans_of 'filter emails.value eq' GET '/Users?filter=emails.value%20eq%20%22seed.{n}@example.com%22'
	plans_of 'page of 100 by startIndex' GET '/Users?count=100&startIndex={n}01'
	plans_of 'page of 100 by cursor' GET '/Users?count=100&cursor'
	plans_of 'POST of a full user' POST /Users "$(sed 's/{run}/plan/g' "$mine/$largest/post.json")"
	plans_of 'PATCH of one attribute' PATCH "/Users/$id" "$patch"'[{"op":"replace","path":"title","value":"Plan {n}"}]}'
	plans_of 'PATCH that adds a member' PATCH "/Groups/${group}a" "$patch"'[{"op":"add","path":"members","value":[{"value":"{n}0000000-0000-4000-8000-000000000000"}]}]}'
	plans_of 'PATCH that removes a member' PATCH "/Groups/${group}a" "$patch"'[{"op":"remove","path":"members[value eq \"{n}0000000-0000-4000-8000-000000000000\"]"}]}'
	plans_of 'GET of a group without members' GET "/Groups/${group}a?excludedAttributes=members"
	plans_of 'GET of a group' GET "/Groups/${group}a"
}

# ---- all of it ----

ensure_packages quickstart
tick=$(getconf CLK_TCK)
make_directories curves
: >"$mine/tls.pem"
largest=users$(steps 1000 "$users" | tail -n 1)
say "Building, and starting a private cluster ..."
build_and_install
build_load
listeners=1
warm=1				# the first of many users counts them all
start_server $(steps 1000 "$users" | sed 's/^/users/')
say "Loading ..."
for size in $(steps 1000 "$users"); do
	load_users "users$size" 1 "$size"
	write_data "users$size" "$size"
	write_scenarios "$mine/users$size" "http://127.0.0.1:${port_of[users$size]}$base_path"
done
letters=(a b c d e f 1 2)
i=0
for size in $(steps 10 "$members"); do
	load_group "$largest" "${letters[i]}" "of $size" "$size"
	write_group_scenarios "$mine/$largest" "http://127.0.0.1:${port_of[$largest]}$base_path" "${letters[i]}" "of$size"
	i=$((i + 1))
done
psql_quiet -c CHECKPOINT
say "Measuring ..."
by_users
by_members
by_page
by_statement
describe_machine
file=$out/curves-$(date -u +%Y%m%dT%H%M%SZ)
awk -F '\t' -f "$root/bench/curves.awk" -v file="$file" "${about[@]}" "$mine/results" | tee "$file.txt"
cp "$mine/plans" "$file-plans.txt"
say "Written: $file.txt, .json, -users.svg, -group.svg, -page.svg, -plans.txt ($SECONDS s in all)"
