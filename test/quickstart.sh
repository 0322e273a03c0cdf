#!/usr/bin/env bash
#
# quickstart.sh [--serve | --once] - from nothing to provisioned users.
#
# Installs what is missing from Debian's packages, builds and installs the
# extension, and starts a private PostgreSQL cluster of its own with an HTTP
# listener.  Then it plays what Microsoft Entra ID sends when it provisions, and
# shows after each step what SQL sees of it.  After that the way out: a table of
# staff is synced to a service that behaves as Datadog does (test/peer), and to
# an endpoint of this extension in another database.
#
#   (nothing)   play, then stay up until Ctrl-C, so that you can go on by hand
#   --serve     stay up only
#   --once      play, check, remove everything again; exit status 0 if every
#               step came out right, 1 with the name of the first that did not
#
# Every step is checked in any case.  The facts that one needs to go on are in
# .quickstart/env: tenant URL, token, and what psql needs.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
source "$root/test/lib.sh"

mode=stay
case "${1:-}" in
	'') ;;
	--serve) mode=serve ;;
	--once) mode=once ;;
	*) die "usage: quickstart.sh [--serve | --once]" "make quickstart ARGS=--once" ;;
esac

parent=				# the make that waits for us
[ "$(cat "/proc/$PPID/comm" 2>/dev/null)" != make ] || parent=$PPID
listeners=2
base_path=/api/v2/scim
server=				# directory of the cluster (server_user's)
mine=				# directory of requests and answers (ours)
peer=				# process of the service that is provisioned
db=postgres			# that SQL goes to
step='setting up'
step_no=0
checks=0
env_file=$root/.quickstart/env

# ---- whatever happens, nothing is left behind ----

clean_up()
{
	local status=$?

	trap - EXIT
	trap '' INT TERM HUP
	allow_main_cluster
	[ -z "$peer" ] || kill "$peer" 2>/dev/null || true
	if [ -n "$server" ]; then
		stop_cluster "$server" "$pg_bindir"
		# a newer run may have written its own facts there
		if grep -qxF "PGDATA='$server/data'" "$env_file" 2>/dev/null; then
			rm -f "$env_file"
		fi
		rm -rf "$server"
	fi
	[ -z "$mine" ] || rm -rf "$mine"
	exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# ---- words ----

bold= dim= good= bad= plain=
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ] && [ "${TERM:-dumb}" != dumb ]; then
	bold=$'\e[1m' dim=$'\e[2m' good=$'\e[32m' bad=$'\e[31m' plain=$'\e[0m'
fi

# fail WHAT [LINE...]: the step that is being played came out wrong.
fail()
{
	printf '\n%sFAILED: step %d, %s%s\n' "$bad" "$step_no" "$step" "$plain"
	printf '    %s\n' "$@"
	if [ -n "$server" ] && [ -s "$server/log" ]; then
		printf '    End of the server log:\n'
		tail -n 15 "$server/log" | sed 's/^/      /'
	fi
	exit 1
} >&2

# begin TITLE [LINE...]: the next step.
begin()
{
	step_no=$((step_no + 1))
	step=$1
	shift
	printf '\n%s%d. %s%s\n' "$bold" "$step_no" "$step" "$plain"
	[ $# = 0 ] || printf "   $dim%s$plain\n" "$@"
}

# ---- SQL ----

psql_quiet()
{
	"$pg_bindir/psql" -XAtq -v ON_ERROR_STOP=1 -h "$server/socket" -p 5432 -U postgres -d "$db" "$@"
}

# show QUERY: the query and its result, as psql prints it.
show()
{
	local out

	printf '\n   %s=# %s\n' "$db" "$1"
	out=$("$pg_bindir/psql" -Xq -v ON_ERROR_STOP=1 -P pager=off -P footer=off \
		-h "$server/socket" -p 5432 -U postgres -d "$db" -c "$1" 2>&1) || fail "the query failed:" "$out"
	[ -z "$out" ] || printf '%s\n' "$out" | sed '/^ *$/d; s/^/   /; s/ *$//'
}

# want_sql EXPECTED QUERY: what the tables must hold now (columns joined by |).
want_sql()
{
	local got

	got=$(psql_quiet -c "$2" 2>&1) || fail "this query failed: $2" "$got"
	[ "$got" = "$1" ] || fail "SQL does not show what it should." "query:    $2" "expected: $1" "got:      $got"
	checks=$((checks + 1))
}

# ---- HTTP ----

# http METHOD PATH [BODY]: a request below the tenant URL with the token, as
# Entra sends it; the answer is in "status" and in the file body.
http()
{
	local data=() text

	printf '\n   %s%s %s%s\n' "$bold" "$1" "$base_path$2" "$plain"
	if [ $# -gt 2 ]; then
		printf '%s\n' "$3" | sed 's/^/     /'
		printf '%s' "$3" >"$mine/request"
		data=(--data-binary "@$mine/request")
	fi
	: >"$mine/body"
	# -q, --noproxy: nothing of this machine's own set-up takes part
	status=$(curl -q -g -sS --noproxy '*' --max-time 30 -X "$1" -H "@$mine/headers" "${data[@]}" \
		-o "$mine/body" -D "$mine/answer" -w '%{http_code}' "$url$2" 2>"$mine/error") ||
		fail "no answer: $(cat "$mine/error")"
	text=$(<"$mine/body")
	printf '   -> %s%s%s %s\n' "$bold" "$status" "$plain" "$([ ${#text} -le 300 ] && printf '%s' "$text" || printf '%s ...' "${text:0:300}")"
}

want_status()
{
	case " $* " in
		*" $status "*) ;;
		*) fail "the status is $status, and should be $(printf '%s or ' "$@" | sed 's/ or $//')." "$(head -c 1000 "$mine/body")" ;;
	esac
	checks=$((checks + 1))
}

# body EXPRESSION: a value of SQL made from b, the answer's body.
body()
{
	"$pg_bindir/psql" -XAtq -v ON_ERROR_STOP=1 -v "body=$(<"$mine/body")" \
		-h "$server/socket" -p 5432 -U postgres -d "$db" 2>&1 <<-SQL
			SELECT $1 FROM (SELECT :'body'::jsonb AS b) AS answer;
		SQL
}

# want_body EXPRESSION...: conditions on b that must hold.
want_body()
{
	local condition got

	for condition; do
		got=$(body "$condition") || fail "the body is not what it should be: $got" "$(head -c 1000 "$mine/body")"
		[ "$got" = t ] || fail "the body is not what it should be." "expected: $condition" "got:      $(head -c 1000 "$mine/body")"
		checks=$((checks + 1))
	done
}

want_count()
{
	want_status 200
	want_body "b->'schemas' @> '[\"urn:ietf:params:scim:api:messages:2.0:ListResponse\"]'" \
		"b->'totalResults' = '$1'" "jsonb_array_length(coalesce(b->'Resources', '[]')) = $1"
}

patch()
{
	http PATCH "$1" "{\"schemas\":[\"urn:ietf:params:scim:api:messages:2.0:PatchOp\"],
 \"Operations\":$2}"
}

# ---- set up ----

build_and_install()
{
	local log=$root/.quickstart/build.log library control share

	(
		# two runs at once would build the same files
		! command -v flock >/dev/null || flock 9
		nice make -C "$root" -j2 PG_CONFIG="$pg_config" >"$log" 2>&1 9>&- &&
			nice make -C "$root/test/peer" -j2 >>"$log" 2>&1 9>&- ||
			{ tail -n 25 "$log" >&2; die "the build failed (see above; all of it: $log)."; }

		library=$("$pg_config" --pkglibdir)/scim.so
		share=$("$pg_config" --sharedir)/extension
		for control in scim.control "$(cd "$root" && ls scim--*.sql)"; do
			cmp -s "$root/$control" "$share/$control" || library=
		done
		cmp -s "$root/scim.so" "$library" && exit 0
		if [ -w "$("$pg_config" --pkglibdir)" ] && [ -w "$share" ]; then
			make -C "$root" PG_CONFIG="$pg_config" install >>"$log" 2>&1 9>&-
		else
			need_root "Installing the extension" "make install PG_CONFIG=$pg_config"
			as_root make -C "$root" PG_CONFIG="$pg_config" install >>"$log" 2>&1 9>&-
		fi || { tail -n 25 "$log" >&2; die "make install failed (see above; all of it: $log)."; }
	) 9>"$root/.quickstart/lock"
}

start_server()
{
	new_directory quickstart
	server=$directory
	mine=$(mktemp -d /tmp/scim-requests.XXXXXX)
	make_cluster "$server" "$pg_bindir" "$me"
	append_conf "$server" <<-CONF
		cluster_name = 'scim quickstart'
		max_connections = 50
	CONF
	start_cluster "$server" "$pg_bindir" ||
		{ tail -n 15 "$server/log" >&2; die "the private cluster did not start (see above)."; }
	postmaster=$(head -n 1 "$server/data/postmaster.pid")
}

restart_server()
{
	as_server "$pg_bindir/pg_ctl" -D "$server/data" -l "$server/log" -m fast -w -s restart >/dev/null 2>&1 </dev/null ||
		fail 'the server does not start again.'
	postmaster=$(head -n 1 "$server/data/postmaster.pid")
}

# Wait until the listeners listen.  One that says that the port is taken, by
# somebody who came between our look and its bind, gets another.
wait_listening()
{
	local deadline=$((SECONDS + 60)) state

	while [ $SECONDS -lt $deadline ]; do
		state=$(psql_quiet -c "SELECT count(*) FILTER (WHERE state = 'listening'), coalesce(max(note), '') FROM scim.workers" 2>/dev/null) || state=
		case "$state" in
			"$listeners|"*) return 0 ;;
			*"port"*"in use"* | *"port"*"taken"*)
				port=$(free_port)
				append_conf "$server" <<<"scim.port = $port"
				restart_server
				;;
		esac
		sleep 0.1
	done
	fail "the listeners do not listen on port $port:" "$state"
}

write_env()
{
	local new

	new=$(mktemp "$root/.quickstart/env.XXXXXX")
	cat >"$new" <<-ENV
		SCIM_URL='$url'
		SCIM_TOKEN='$token'
		PGHOST='$server/socket'
		PGPORT='5432'
		PGDATABASE='postgres'
		PGUSER='postgres'
		PGDATA='$server/data'
		export SCIM_URL SCIM_TOKEN PGHOST PGPORT PGDATABASE PGUSER PGDATA
	ENV
	chmod 0600 "$new"
	mv -f "$new" "$env_file"
}

say "${bold}scim: SCIM 2.0 inside PostgreSQL${plain}"
[ -w "$root" ] || die "$me may not write to $root."
mkdir -p "$root/.quickstart"
[ -w "$root/.quickstart" ] || die "$me may not write to $root/.quickstart."
ensure_packages quickstart
say "PostgreSQL $("$pg_config" --version | sed 's/^PostgreSQL //'); building and installing the extension ..."
build_and_install
cd /
start_server
say "A private cluster runs in $server, as $server_user."

begin 'Install' 'The extension, and the two unprivileged roles that it works with.'
show "CREATE EXTENSION scim;"
show "SELECT scim.setup();"

begin 'Listen' 'Some lines in postgresql.conf and a restart (without a restart: SELECT scim.start_workers()).'
port=$(free_port 8080)
settings="shared_preload_libraries = 'scim'
scim.database = 'postgres'
scim.port = $port
scim.listeners = $listeners"
printf '\n%s\n' "$settings" | sed 's/^./     &/'
append_conf "$server" <<<"$settings"
restart_server
wait_listening
show "SELECT kind, port, state FROM scim.workers;"

begin 'An endpoint and its token' 'A base URL for one customer, and a token that belongs to the endpoint, not to a person.'
url=http://127.0.0.1:$port$base_path
show "SELECT scim.create_endpoint('acme', base_path => '$base_path', public_url => '$url');"
printf '\n   postgres=# %s\n' "SELECT scim.create_token('acme', label => 'entra', expires_in => '1 year');"
token=$(psql_quiet -c "SELECT scim.create_token('acme', label => 'entra', expires_in => '1 year')" 2>&1) || fail "$token"
printf '   %s\n   %s(It is shown this once; the database holds its SHA-256.)%s\n' "$token" "$dim" "$plain"
want_sql 'acme|entra|live' "SELECT endpoint, label, state FROM scim.tokens"
write_env

# ---- the story ----

user_columns="SELECT user_name, active, title, name_formatted, e.value AS work_email
             FROM scim.users u LEFT JOIN scim.user_emails e ON e.tenant = u.tenant AND e.user_id = u.id AND e.type = 'work'
             WHERE u.tenant = 'acme' ORDER BY user_name"
member_columns="SELECT g.display_name, u.user_name AS member
             FROM scim.groups g LEFT JOIN scim.group_members m ON m.tenant = g.tenant AND m.group_id = g.id
             LEFT JOIN scim.users u ON u.tenant = m.tenant AND u.id = m.user_id
             WHERE g.tenant = 'acme' ORDER BY 1, 2"

want_users()
{
	want_sql "$1" "$user_columns"
}

want_members()
{
	want_sql "$1" "$member_columns"
}

play()
{
	local guid ada grace group core='urn:ietf:params:scim:schemas:core:2.0' enterprise='urn:ietf:params:scim:schemas:extension:enterprise:2.0:User'

	umask 077
	cat >"$mine/headers" <<-HEADERS
		Authorization: Bearer $token
		Content-Type: application/scim+json; charset=utf-8
		Accept: application/scim+json
		User-Agent:
	HEADERS

	begin 'Test Connection' \
		'Entra asks for a user that cannot exist. 200 and an empty list mean that URL and token are right.'
	guid=$(cat /proc/sys/kernel/random/uuid)
	http GET "/Users?filter=userName+eq+%22$guid%22"
	want_count 0
	grep -qi '^content-type: application/scim+json' "$mine/answer" || fail 'the Content-Type is not application/scim+json.'

	begin 'A wrong token' 'Any token that is not valid here is answered 401, and so is none.'
	sed 's/Bearer .*/Bearer not-the-token/' "$mine/headers" >"$mine/headers.wrong"
	mv "$mine/headers" "$mine/headers.right"
	mv "$mine/headers.wrong" "$mine/headers"
	http GET '/Users'
	mv "$mine/headers.right" "$mine/headers"
	want_status 401

	begin 'Match' 'Is the user there already? Entra asks by the matching attribute before it creates.'
	http GET '/Users?filter=userName+eq+%22ada%40contoso.example%22'
	want_count 0

	begin 'Create a user' 'The five attributes of the mapping: userName, active, title, emails[type eq "work"].value, name.formatted.'
	http POST /Users "{\"schemas\":[\"$core:User\",\"$enterprise\"],
 \"userName\":\"ada@contoso.example\",
 \"active\":true,
 \"title\":\"Analyst\",
 \"emails\":[{\"primary\":true,\"type\":\"work\",\"value\":\"ada@contoso.example\"}],
 \"meta\":{\"resourceType\":\"User\"},
 \"name\":{\"formatted\":\"Ada Byron\"},
 \"roles\":[]}"
	want_status 201
	want_body "b->>'userName' = 'ada@contoso.example'" "b->'active' = 'true'" "b->>'title' = 'Analyst'" \
		"b->'emails' @> '[{\"type\":\"work\",\"value\":\"ada@contoso.example\",\"primary\":true}]'" \
		"b#>>'{name,formatted}' = 'Ada Byron'" "b#>>'{meta,location}' = '$url/Users/' || (b->>'id')" \
		"b#>>'{meta,resourceType}' = 'User'"
	ada=$(body "b->>'id'")
	show "$user_columns;"
	want_users 'ada@contoso.example|t|Analyst|Ada Byron|ada@contoso.example'

	begin 'A second user, with less' 'Nothing is known of her but the name: title and e-mail follow later.'
	http POST /Users "{\"schemas\":[\"$core:User\",\"$enterprise\"],
 \"userName\":\"grace@contoso.example\",\"active\":true,\"meta\":{\"resourceType\":\"User\"},\"name\":{\"formatted\":\"Grace Hopper\"},\"roles\":[]}"
	want_status 201
	grace=$(body "b->>'id'")

	begin 'The same name again' 'userName is unique in the tenant, without regard to case: the unique index decides.'
	http POST /Users "{\"schemas\":[\"$core:User\"],\"userName\":\"ADA@contoso.example\",\"active\":true}"
	want_status 409
	want_body "b->>'scimType' = 'uniqueness'" "b->>'status' = '409'"
	want_sql 2 "SELECT count(*) FROM scim.users"

	begin 'Match and read back' 'Now the filter finds her, and GET by id gives the resource.'
	http GET '/Users?filter=userName+eq+%22ada%40contoso.example%22'
	want_count 1
	want_body "b#>>'{Resources,0,id}' = '$ada'"
	http GET "/Users/$ada"
	want_status 200
	want_body "b->>'id' = '$ada'"

	begin 'Update, default mode' 'One operation for each attribute, addressed by the paths of the mapping, with capital letters.'
	patch "/Users/$ada" '[
  {"op":"Replace","path":"userName","value":"ada.lovelace@contoso.example"},
  {"op":"Replace","path":"title","value":"Senior Analyst"},
  {"op":"Replace","path":"emails[type eq \"work\"].value","value":"ada.lovelace@contoso.example"},
  {"op":"Replace","path":"name.formatted","value":"Ada Lovelace"}]'
	want_status 200
	want_body "b->>'title' = 'Senior Analyst'" "jsonb_array_length(b->'emails') = 1"
	patch "/Users/$grace" '[
  {"op":"Add","path":"title","value":"Rear Admiral"},
  {"op":"Add","path":"emails[type eq \"work\"].value","value":"grace@contoso.example"}]'
	want_status 200
	want_body "b->'emails' @> '[{\"type\":\"work\",\"value\":\"grace@contoso.example\"}]'"
	show "$user_columns;"
	want_users 'ada.lovelace@contoso.example|t|Senior Analyst|Ada Lovelace|ada.lovelace@contoso.example
grace@contoso.example|t|Rear Admiral|Grace Hopper|grace@contoso.example'

	begin 'Update, with the flag aadOptscim062020' 'Lower case; simple attributes as dotted keys of one operation without a path.'
	patch "/Users/$ada?aadOptscim062020" '[
  {"op":"replace","value":{"title":"Countess","name.formatted":"Ada King"}},
  {"op":"replace","path":"emails[type eq \"work\"].value","value":"ada.king@contoso.example"}]'
	want_status 200
	want_body "b->>'title' = 'Countess'" "b#>>'{name,formatted}' = 'Ada King'"
	show "$user_columns;"
	want_users 'ada.lovelace@contoso.example|t|Countess|Ada King|ada.king@contoso.example
grace@contoso.example|t|Rear Admiral|Grace Hopper|grace@contoso.example'

	begin 'Manager' 'An attribute of the enterprise extension. Entra sends the bare id.'
	patch "/Users/$ada" "[{\"op\":\"Add\",\"path\":\"$enterprise:manager\",\"value\":\"$grace\"}]"
	want_status 200
	want_body "b#>>'{$enterprise,manager,value}' = '$grace'"
	show "SELECT u.user_name, m.user_name AS manager
             FROM scim.users u JOIN scim.users m ON m.tenant = u.tenant AND m.id::text = u.manager_id;"
	want_sql 'ada.lovelace@contoso.example|grace@contoso.example' \
		"SELECT u.user_name, m.user_name FROM scim.users u JOIN scim.users m ON m.tenant = u.tenant AND m.id::text = u.manager_id"

	begin 'Disable' 'In default mode the value is the text "False". The user stays, and is still found.'
	patch "/Users/$ada" '[{"op":"Replace","path":"active","value":"False"}]'
	want_status 200
	want_body "b->'active' = 'false'"
	show "SELECT user_name, active FROM scim.users WHERE tenant = 'acme' ORDER BY 1;"
	want_sql 'f' "SELECT active FROM scim.users WHERE id = '$ada'"
	http GET '/Users?filter=userName+eq+%22ada.lovelace%40contoso.example%22'
	want_count 1
	want_body "b#>'{Resources,0,active}' = 'false'"

	begin 'Restore' 'The same user comes back: same id, same attributes.'
	patch "/Users/$ada" '[{"op":"Replace","path":"active","value":"True"}]'
	want_status 200
	want_body "b->>'id' = '$ada'" "b->'active' = 'true'"
	show "SELECT user_name, active FROM scim.users WHERE tenant = 'acme' ORDER BY 1;"
	want_sql 't' "SELECT active FROM scim.users WHERE id = '$ada'"

	begin 'Disable and restore, with the flag' 'Here the value is a boolean.'
	patch "/Users/$ada?aadOptscim062020" '[{"op":"replace","path":"active","value":false}]'
	want_status 200
	want_sql 'f' "SELECT active FROM scim.users WHERE id = '$ada'"
	patch "/Users/$ada?aadOptscim062020" '[{"op":"replace","path":"active","value":true}]'
	want_status 200
	show "SELECT user_name, active FROM scim.users WHERE tenant = 'acme' ORDER BY 1;"
	want_sql 't' "SELECT active FROM scim.users WHERE id = '$ada'"

	begin 'A group: match, create, read back' 'Members are left out of each question, so a large group costs nothing.'
	http GET '/Groups?excludedAttributes=members&filter=displayName+eq+%22Engineering%22'
	want_count 0
	http POST /Groups "{\"schemas\":[\"$core:Group\",\"http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group\"],
 \"externalId\":\"$(cat /proc/sys/kernel/random/uuid)\",\"displayName\":\"Engineering\",\"meta\":{\"resourceType\":\"Group\"}}"
	want_status 201
	want_body "b->>'displayName' = 'Engineering'" "b#>>'{meta,location}' = '$url/Groups/' || (b->>'id')"
	group=$(body "b->>'id'")
	http GET "/Groups/$group?excludedAttributes=members"
	want_status 200
	want_body "b->>'id' = '$group'" "NOT b ? 'members'"
	show "$member_columns;"
	want_members 'Engineering|'

	begin 'Reference probe, then members' 'Entra asks whether the member is there already, then adds it ("$ref" is null).'
	http GET "/Groups?excludedAttributes=members&filter=id+eq+%22$group%22+and+members+eq+%22$ada%22"
	want_count 0
	patch "/Groups/$group" "[
  {\"op\":\"Add\",\"path\":\"members\",\"value\":[{\"\$ref\":null,\"value\":\"$ada\"}]}]"
	want_status 200 204
	patch "/Groups/$group" "[
  {\"op\":\"Add\",\"path\":\"members\",\"value\":[{\"\$ref\":null,\"value\":\"$grace\"}]}]"
	want_status 200 204
	show "$member_columns;"
	want_members 'Engineering|ada.lovelace@contoso.example
Engineering|grace@contoso.example'
	http GET "/Groups?excludedAttributes=members&filter=id+eq+%22$group%22+and+members+eq+%22$ada%22"
	want_count 1

	begin 'Members remove, default mode' 'The value says who. Taking it for "remove all members" is the classic disaster.'
	patch "/Groups/$group" "[
  {\"op\":\"Remove\",\"path\":\"members\",\"value\":[{\"\$ref\":null,\"value\":\"$ada\"}]}]"
	want_status 200 204
	show "$member_columns;"
	want_members 'Engineering|grace@contoso.example'

	begin 'Members remove, with the flag' 'Here the path says who.'
	patch "/Groups/$group?aadOptscim062020" "[
  {\"op\":\"remove\",\"path\":\"members[value eq \\\"$grace\\\"]\"}]"
	want_status 200 204
	show "$member_columns;"
	want_members 'Engineering|'

	begin 'Rename the group'
	patch "/Groups/$group" '[{"op":"Replace","path":"displayName","value":"Analytical Engines"}]'
	want_status 200 204
	show "SELECT display_name FROM scim.groups WHERE tenant = 'acme';"
	want_sql 'Analytical Engines' "SELECT display_name FROM scim.groups"

	begin 'The same answers without HTTP' 'What the listener serves is a function: a whole request in one SELECT.'
	show "SELECT status, body::jsonb->'totalResults' AS found
             FROM scim.handle('acme', 'GET', '/Users?filter=title sw \"Count\"');"
	want_sql '200|1' "SELECT status, body::jsonb->'totalResults' FROM scim.handle('acme', 'GET', '/Users?filter=title sw \"Count\"')"

	begin 'Delete' 'The group and one of the users go.'
	http DELETE "/Groups/$group"
	want_status 204
	http GET "/Groups/$group"
	want_status 404
	want_body "b->'schemas' @> '[\"urn:ietf:params:scim:api:messages:2.0:Error\"]'" "b->>'status' = '404'"
	http DELETE "/Users/$ada"
	want_status 204
	http GET "/Users/$ada"
	want_status 404
	show "$user_columns;"
	want_users 'grace@contoso.example|t|Rear Admiral|Grace Hopper|grace@contoso.example'
	want_sql 0 "SELECT count(*) FROM scim.groups"

	begin 'Who was it?' 'The token is known by its label and its last use.'
	show "SELECT endpoint, label, state, last_used IS NOT NULL AS used FROM scim.tokens;"
	want_sql 'acme|entra|live|t' "SELECT endpoint, label, state, last_used IS NOT NULL FROM scim.tokens"
}

# ---- the way out ----

# peer_asks WHAT: what the service holds or has seen, in the file body.
peer_asks()
{
	curl -q -sS --noproxy '*' --max-time 10 -o "$mine/body" "$peer_origin/_peer/$1" 2>"$mine/error" ||
		fail "the peer does not answer: $(cat "$mine/error")"
}

# within SECONDS WHAT CONDITION: wait until the answer to WHAT is so.
within()
{
	local start deadline=$((SECONDS + $1)) condition=$3

	start=$(date +%s%N)
	while :; do
		peer_asks "$2"
		[ "$(body "$condition")" != t ] || break
		[ $SECONDS -lt $deadline ] || fail "the service has not got there in $1 s." "expected: $condition" "got:      $(head -c 1000 "$mine/body")"
		sleep 0.05
	done
	took=$((($(date +%s%N) - start) / 1000000))
	checks=$((checks + 1))
}

# arrived SECONDS N METHOD [CONDITION]: N such requests since the last mark; shows the first.
arrived()
{
	local requests="(SELECT count(*) FROM jsonb_array_elements(b->'requests') r WHERE r->>'method' = '$3' AND r->>'status' LIKE '2__' AND ${4:-true})"

	within "$1" "log?since=$mark" "$requests = $2"
	[ "$(body "(SELECT count(*) FROM jsonb_array_elements(b->'requests') r WHERE r->>'method' NOT IN ('GET', '$3'))")" = 0 ] ||
		fail 'the service received something else as well.' "$(head -c 1000 "$mine/body")"
	printf '\n   %sAfter %s ms:%s %s %s x %s, the first:\n' "$dim" "$took" "$plain" "$2" "$3"
	body "(SELECT (r->>'method') || ' ' || (r->>'path') || coalesce(E'\n' || (r->>'body'), '') || E'\n-> ' || (r->>'status')
		FROM jsonb_array_elements(b->'requests') r WHERE r->>'method' = '$3' ORDER BY r->'number' LIMIT 1)" | sed 's/^/     /'
}

mark_now()
{
	peer_asks 'log?limit=0&since=1000000000000'
	mark=$(body "b->'next'")
}

start_peer()
{
	local i port

	umask 077
	head -c 20 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$mine/app-key"
	"$root/build/peer/peer" --profile datadog --token-file "$mine/app-key" >"$mine/peer" 2>&1 &
	peer=$!
	for i in $(seq 100); do
		port=$(sed -n 's/^listening on //p' "$mine/peer")
		[ -z "$port" ] || break
		sleep 0.1
	done
	[ -n "$port" ] || fail 'the peer does not start:' "$(cat "$mine/peer")"
	peer_port=$port
	peer_origin=http://127.0.0.1:$port
}

# allow_targets LIST: and wait until new sessions know it.
allow_targets()
{
	local i

	show "ALTER SYSTEM SET scim.allowed_targets = '$1';"
	show "SELECT pg_reload_conf();"
	for i in $(seq 100); do
		[ "$(psql_quiet -c 'SHOW scim.allowed_targets' 2>&1)" != "$1" ] || return 0
		sleep 0.1
	done
	fail 'the setting does not arrive.'
}

# secret SERVER FILE: as data, so that it is in no statement and in no log.
secret()
{
	local out

	printf "\n   $db=# %s\n" 'CREATE TEMP TABLE s (t text);' "\\copy s FROM '$2'" "SELECT scim.set_secret('$1', t) FROM s;"
	out=$(psql_quiet <<-SQL 2>&1
		CREATE TEMP TABLE s (t text);
		\\copy s FROM '$2'
		SELECT scim.set_secret('$1', t) FROM s;
	SQL
	) || fail "$out"
	[ "$out" = ok ] || fail "the secret is not taken: $out"
	printf '   %s\n' "$out"
	checks=$((checks + 1))
}

staff_columns="upn AS user_name, NOT is_soft_deleted AS active, job_title AS title, full_name, mail"

play_out()
{
	local port2 url2 n

	begin 'The way out: a table of staff' 'Any table with a key. Thirty people work here.'
	show "CREATE ROLE hr_app;"
	show "CREATE SCHEMA hr AUTHORIZATION hr_app;"
	show "CREATE TABLE hr.staff (
     id int PRIMARY KEY, upn text NOT NULL, full_name text, job_title text, mail text,
     is_soft_deleted boolean NOT NULL DEFAULT false, room text);"
	show "ALTER TABLE hr.staff OWNER TO hr_app;"
	show "INSERT INTO hr.staff
     SELECT i, 'person' || i || '@contoso.example', 'Person ' || i, 'Analyst', 'person' || i || '@contoso.example'
     FROM generate_series(1, 30) i;"

	begin 'A mapping' 'Attribute to column, expression, or place in a list. Statements on the table run as its owner.'
	show "SELECT scim.create_mapping('staff', 'User', 'hr.staff', owner => 'hr_app', attributes => '{
     \"userName\": \"upn\",
     \"active\": \"NOT is_soft_deleted\",
     \"title\": \"job_title\",
     \"emails[type eq \\\"work\\\"].value\": \"mail\",
     \"name.formatted\": \"full_name\"}');"

	begin 'A server and its secret' "A service that behaves on the wire as Datadog's API, on this machine. Plain http goes only to hosts that are named."
	start_peer
	allow_targets "127.0.0.1:$peer_port"
	show "CREATE SERVER datadog FOREIGN DATA WRAPPER scim OPTIONS (profile 'datadog', base_url '$peer_origin/api/v2/scim');"
	show "GRANT USAGE ON FOREIGN SERVER datadog TO hr_app;"
	secret datadog "$mine/app-key"
	show "SELECT ok, step, status, detail FROM scim.test_connection('datadog');"
	want_sql t "SELECT bool_and(ok) FROM scim.test_connection('datadog')"

	begin 'A sync, and its plan' 'Triggers capture changes from now on; nothing is sent before the start.'
	show "SELECT scim.create_sync('staff_to_datadog', 'staff', 'datadog', delete_after => '0');"
	show "SELECT action, method, path, count(*) FROM scim.plan('staff_to_datadog') GROUP BY 1, 2, 3;"
	show "SELECT jsonb_pretty(body) AS body FROM scim.plan('staff_to_datadog', key => '1');"
	want_sql 'create|POST|/Users|30' "SELECT action, method, path, count(*) FROM scim.plan('staff_to_datadog') GROUP BY 1, 2, 3"
	peer_asks state
	want_body "jsonb_array_length(b->'Users') = 0"

	begin 'Start' 'Each is looked for first, then created.'
	mark_now
	show "SELECT scim.start_sync('staff_to_datadog');"
	arrived 20 30 POST
	within 1 state "jsonb_array_length(b->'Users') = 30"
	within 1 stats "b->'duplicate_creates' = '0'"
	want_sql t "SELECT scim.wait_synced('staff_to_datadog')"
	show "SELECT name, state, linked, pending, failed FROM scim.sync_status;"
	want_sql 'staff_to_datadog|active|30|0|0' "SELECT name, state, linked, pending, failed FROM scim.sync_status"

	begin 'An UPDATE is a PATCH' 'Only what has changed is sent, when the transaction has committed; a column that is not mapped sends nothing.'
	mark_now
	show "UPDATE hr.staff SET job_title = 'Countess', room = '12' WHERE id = 1;"
	arrived 2 1 PATCH "r->>'body' LIKE '%{\"op\":\"replace\",\"path\":\"title\",\"value\":\"Countess\"}%'"
	mark_now
	show "BEGIN; UPDATE hr.staff SET job_title = 'nobody'; ROLLBACK;"
	show "UPDATE hr.staff SET room = '13';"
	sleep 1
	peer_asks "log?since=$mark"
	want_body "b->'requests' = '[]'"

	begin 'A soft delete is active: false' 'The column of the application decides.'
	mark_now
	show "UPDATE hr.staff SET is_soft_deleted = true WHERE id = 2;"
	arrived 2 1 PATCH "r->>'body' LIKE '%\"path\":\"active\",\"value\":false%'"
	within 1 state "(SELECT count(*) FROM jsonb_array_elements(b->'Users') u WHERE u->'active' = 'false') = 1"

	begin 'A DELETE is a DELETE' "Because this sync says delete_after => '0'. (Otherwise the user is disabled at once, and deleted after thirty days.)"
	mark_now
	show "DELETE FROM hr.staff WHERE id = 3;"
	arrived 5 1 DELETE

	begin 'The round trip' 'Another database of this server has an endpoint of this extension, on another port: a service as any other.'
	show "CREATE DATABASE elsewhere;"
	port2=$(free_port)
	url2=http://127.0.0.1:$port2/scim/v2
	db=elsewhere
	show "CREATE EXTENSION scim;"
	show "SELECT scim.setup();"
	show "SELECT scim.create_endpoint('acme', base_path => '/scim/v2', public_url => '$url2');"
	psql_quiet -c "SELECT scim.create_token('acme', label => 'sync')" >"$mine/elsewhere-token" || fail 'no token was made.'
	show "SELECT scim.start_workers(port => $port2, listeners => 1);"
	db=postgres
	allow_targets "127.0.0.1:$peer_port, 127.0.0.1:$port2"
	show "CREATE SERVER elsewhere FOREIGN DATA WRAPPER scim OPTIONS (profile 'scim', base_url '$url2');"
	show "GRANT USAGE ON FOREIGN SERVER elsewhere TO hr_app;"
	secret elsewhere "$mine/elsewhere-token"
	want_sql t "SELECT bool_and(ok) FROM scim.test_connection('elsewhere')"
	show "SELECT scim.create_sync('staff_to_elsewhere', 'staff', 'elsewhere');"
	show "SELECT scim.start_sync('staff_to_elsewhere');"
	show "SELECT scim.wait_synced('staff_to_elsewhere');"
	want_sql 'active|28|0' "SELECT state, linked, failed FROM scim.sync_status WHERE name = 'staff_to_elsewhere'"

	begin 'The same rows there' 'Who is disabled here and was never there is not created.'
	n=$(psql_quiet -c "SELECT $staff_columns FROM hr.staff WHERE NOT is_soft_deleted ORDER BY upn" 2>&1) || fail "$n"
	db=elsewhere
	show "SELECT user_name, active, title, name_formatted, e.value AS work_email
             FROM scim.users u LEFT JOIN scim.user_emails e ON e.tenant = u.tenant AND e.user_id = u.id AND e.type = 'work'
             ORDER BY user_name LIMIT 5;"
	want_sql "$n" "SELECT user_name, active, title, name_formatted, e.value
		FROM scim.users u LEFT JOIN scim.user_emails e ON e.tenant = u.tenant AND e.user_id = u.id AND e.type = 'work' ORDER BY user_name"
	db=postgres
	show "UPDATE hr.staff SET full_name = 'Ada King' WHERE id = 1;"
	show "SELECT scim.wait_synced('staff_to_datadog') AND scim.wait_synced('staff_to_elsewhere') AS synced;"
	db=elsewhere
	show "SELECT user_name, name_formatted FROM scim.users WHERE user_name = 'person1@contoso.example';"
	want_sql 'Ada King' "SELECT name_formatted FROM scim.users WHERE user_name = 'person1@contoso.example'"
	db=postgres
	within 1 state "(SELECT count(*) FROM jsonb_array_elements(b->'Users') u WHERE u#>>'{name,formatted}' = 'Ada King') = 1"
}

if [ $mode != serve ]; then
	play
	play_out
	printf '\n%sAll %d steps came out right (%d checks).%s\n' "$good" "$step_no" "$checks" "$plain"
fi
[ $mode != once ] || exit 0

# ---- stay up ----

cat <<FACTS

${bold}Go on by hand${plain}
   Tenant URL    $url
   Secret token  $token
   SQL           source $env_file && psql
   HTTP          source $env_file && curl -H "Authorization: Bearer \$SCIM_TOKEN" \$SCIM_URL/Users
   Server log    $server/log
${peer:+   The service   curl $peer_origin/_peer/state (what "Datadog" holds), $peer_origin/_peer/log
}
Everything stays up until Ctrl-C, and is removed then.
FACTS

trap 'printf "\nStopping, and removing %s.\n" "$server"; exit 0' INT TERM HUP
step='staying up'
while [ -d "/proc/$postmaster" ]; do
	sleep 1 &
	wait $! || true
	# make was killed in a way that tells nobody
	[ -z "$parent" ] || [ -d "/proc/$parent" ] || exit 0
done
fail 'the server has ended.'
