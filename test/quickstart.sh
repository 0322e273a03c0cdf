#!/usr/bin/env bash
#
# quickstart.sh [--serve | --once] - from nothing to provisioned users.
#
# Installs what is missing from Debian's packages, builds and installs the
# extension, and starts a private PostgreSQL cluster of its own with an HTTP
# listener.  Then it plays what Microsoft Entra ID sends when it provisions, and
# shows after each step what SQL sees of it.
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
	"$pg_bindir/psql" -XAtq -v ON_ERROR_STOP=1 -h "$server/socket" -p 5432 -U postgres -d postgres "$@"
}

# show QUERY: the query and its result, as psql prints it.
show()
{
	local out

	printf '\n   postgres=# %s\n' "$1"
	out=$("$pg_bindir/psql" -Xq -v ON_ERROR_STOP=1 -P pager=off -P footer=off \
		-h "$server/socket" -p 5432 -U postgres -d postgres -c "$1" 2>&1) || fail "the query failed:" "$out"
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
		-h "$server/socket" -p 5432 -U postgres -d postgres 2>&1 <<-SQL
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
		nice make -C "$root" -j2 PG_CONFIG="$pg_config" >"$log" 2>&1 9>&- ||
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

if [ $mode != serve ]; then
	play
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
