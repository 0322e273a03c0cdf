# 001_entra.pl - the requests that Microsoft Entra ID's provisioning service
# sends, in its default mode and with the flag aadOptscim062020, over plain HTTP
# with several listener processes and over TLS.  After each step the SQL view
# of it.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use ScimTest;
use Test::More;

ScimTest->watchdog(120);

my $t;

# What scim.users says of a user, or of everybody.
sub user_row
{
	my ($tenant, $id) = @_;
	return $t->sql(qq{
		SELECT user_name, active, title, name_formatted, name_given_name, name_family_name,
			nick_name, external_id, employee_number, manager_id,
			(SELECT string_agg(concat_ws('/', type, value, is_primary), ',' ORDER BY ord)
			 FROM scim.user_emails e WHERE e.tenant = u.tenant AND e.user_id = u.id)
		FROM scim.users u WHERE tenant = '$tenant' AND id = '$id'});
}

sub members
{
	my ($tenant, $group) = @_;
	return $t->sql(qq{
		SELECT string_agg(u.user_name, ',' ORDER BY u.user_name)
		FROM scim.groups g
		JOIN scim.group_members m ON m.tenant = g.tenant AND m.group_id = g.id
		JOIN scim.users u ON u.tenant = m.tenant AND u.id = m.user_id
		WHERE g.tenant = '$tenant' AND g.id = '$group'});
}

# PATCH with a payload as it is on the wire.
sub patched
{
	my ($c, $path, $operations, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $r = $c->patch($path, qq({"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":$operations}));
	accepted($r, $name);
	return $r;
}

sub dialogue
{
	my ($tenant, $flag) = @_;
	my $c = $t->client(base_path => "/entra/$tenant", token => $t->create_token($tenant), keep_alive => 0);
	my $suffix = $flag ? '?aadOptscim062020' : '';
	my $more = $flag ? '&aadOptscim062020' : '';
	my ($r, $group, $babs, $kim);
	my $enterprise = ENTERPRISE;

	# Test Connection: a random GUID, blanks as "+", no User-Agent.
	$r = $t->raw->exchange(
		"GET /entra/$tenant/Users?filter=userName+eq+%223e59e27b-0a9c-4ac4-9b1c-3f3f3cdd0f60%22$more HTTP/1.1\r\n"
		  . "Host: localhost:" . $t->port . "\r\nAccept: application/scim+json\r\nAuthorization: Bearer $c->{token}\r\n\r\n");
	ok($r, 'Test Connection is answered') or return;
	list_is($r, 0, 'Test Connection: 200 with an empty list');
	like($r->header('content-type'), qr{^application/scim\+json}, 'the type of the answer is application/scim+json');
	unlike($r->text, qr/null/, 'there is no null in it');

	# Match, by what can be a matching attribute.
	list_is($c->get("/Users" . query(filter => 'userName eq "babs@contoso.example"') . $more), 0, 'match by userName: nobody yet');
	list_is($c->get("/Users" . query(filter => 'emails[type eq "work"].value eq "babs@contoso.example"') . $more), 0, 'match by work e-mail: nobody yet');
	list_is($c->get("/Users" . query(filter => 'externalId eq "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef"') . $more), 0, 'match by externalId: nobody yet');

	# Create.  The custom extension is a key that "schemas" does not name.
	$r = $c->post("/Users$suffix", <<'JSON');
{
    "schemas": [
        "urn:ietf:params:scim:schemas:core:2.0:User",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],
    "externalId": "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef",
    "userName": "babs@contoso.example",
    "active": true,
    "emails": [{
        "primary": true,
        "type": "work",
        "value": "babs@contoso.example"
    }],
    "meta": {
        "resourceType": "User"
    },
    "name": {
        "formatted": "Babs Jensen",
        "familyName": "Jensen",
        "givenName": "Babs"
    },
    "urn:ietf:params:scim:schemas:extension:contoso:2.0:User": {
        "CustomAttribute": "x"
    },
    "roles": []}
JSON
	status_is($r, 201, 'create');
	$babs = $r->id;
	ok($babs, 'the answer has an id') or return;
	is($r->json->{meta}{resourceType}, 'User', 'and the resource type');
	like($r->header('location') || '', qr{/entra/$tenant/Users/\Q$babs\E$}, 'Location names it');
	is($r->json->{meta}{location}, $r->header('location'), 'meta.location is the same');
	is($r->json->{meta}{version}, $r->header('etag'), 'meta.version is the ETag');
	is($r->json->{active}, TRUE, 'active is a boolean');
	is(user_row($tenant, $babs),
		'babs@contoso.example|t||Babs Jensen|Babs|Jensen||0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef|||work/babs@contoso.example/t',
		'SQL: the user');
	status_is($c->get($r->header('location')), 200, 'GET of Location works');

	# Read back.
	$r = $c->get("/Users/$babs$suffix");
	status_is($r, 200, 'read back');
	is($r->json->{userName}, 'babs@contoso.example', 'it is the user');
	my $version = $r->header('etag');

	# The same userName in another case is taken.
	error_is($c->post("/Users$suffix", { schemas => [CORE_USER], userName => 'BABS@contoso.example' }),
		409, 'uniqueness', qr/userName/, 'a second user of that name is refused');

	# Update.
	if (!$flag)
	{
		patched($c, "/Users/$babs", qq([
			{"op":"Replace","path":"emails[type eq \\"work\\"].value","value":"barbara\@contoso.example"},
			{"op":"Add","path":"nickName","value":"Babs"},
			{"op":"Add","path":"name.givenName","value":"Barbara"},
			{"op":"Replace","path":"name.formatted","value":"Barbara Jensen"},
			{"op":"Replace","path":"$enterprise:employeeNumber","value":"701984"}
		]), 'update in default mode: an operation for each attribute');
	}
	else
	{
		patched($c, "/Users/$babs$suffix", qq([
			{"op":"replace","path":"emails[type eq \\"work\\"].value","value":"barbara\@contoso.example"},
			{"op":"replace","value":{
				"nickName":"Babs",
				"name.givenName":"Barbara",
				"name.formatted":"Barbara Jensen",
				"$enterprise:employeeNumber":"701984"}}
		]), 'update with the flag: one operation without path, dotted and qualified keys');
	}
	is(user_row($tenant, $babs),
		'babs@contoso.example|t||Barbara Jensen|Barbara|Jensen|Babs|0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef|701984||work/barbara@contoso.example/t',
		'SQL: what was named has changed, the rest has not');
	$r = $c->get("/Users/$babs$suffix");
	isnt($r->header('etag'), $version, 'the version has moved');
	is_deeply([ sort @{ $r->json->{schemas} } ], [ CORE_USER, $enterprise ], 'schemas names the extension now');

	# The five attributes of the reference mapping, for another user.
	$r = $c->post("/Users$suffix", <<'JSON');
{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],
 "userName":"kim@contoso.example","active":true,"title":"Engineer",
 "emails":[{"primary":true,"type":"work","value":"kim@contoso.example"}],
 "name":{"formatted":"Kim Akers"},"meta":{"resourceType":"User"},"roles":[]}
JSON
	status_is($r, 201, 'create with the five attributes of the reference mapping');
	$kim = $r->id;
	is(user_row($tenant, $kim), 'kim@contoso.example|t|Engineer|Kim Akers|||||||work/kim@contoso.example/t', 'SQL: the five attributes');
	if (!$flag)
	{
		patched($c, "/Users/$kim", '[{"op":"Replace","path":"userName","value":"kim.akers@contoso.example"},'
			. '{"op":"Replace","path":"title","value":"Principal Engineer"},'
			. '{"op":"Replace","path":"emails[type eq \"work\"].value","value":"kim.akers@contoso.example"},'
			. '{"op":"Replace","path":"name.formatted","value":"Kim A. Akers"},'
			. '{"op":"Replace","path":"active","value":"True"}]', 'update by the five paths');
	}
	else
	{
		patched($c, "/Users/$kim$suffix", '[{"op":"replace","path":"emails[type eq \"work\"].value","value":"kim.akers@contoso.example"},'
			. '{"op":"replace","value":{"userName":"kim.akers@contoso.example","title":"Principal Engineer","name.formatted":"Kim A. Akers","active":true}}]',
			'update by the five paths');
	}
	is(user_row($tenant, $kim), 'kim.akers@contoso.example|t|Principal Engineer|Kim A. Akers|||||||work/kim.akers@contoso.example/t', 'SQL: the five attributes');

	# Add where there was nothing, also of an element of a list.
	$r = $c->post("/Users$suffix", '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"lee@contoso.example"}');
	status_is($r, 201, 'create with userName alone');
	my $lee = $r->id;
	my $op = $flag ? 'add' : 'Add';
	patched($c, "/Users/$lee$suffix", qq([{"op":"$op","path":"emails[type eq \\"work\\"].value","value":"lee\@contoso.example"}]),
		'Add of the work e-mail of a user who has none');
	is(user_row($tenant, $lee), 'lee@contoso.example||||||||||work/lee@contoso.example', 'SQL: it was made');

	# Manager as a bare string.
	patched($c, "/Users/$babs$suffix", qq([{"op":"$op","path":"$enterprise:manager","value":"$kim"}]), 'manager as a bare string');
	is($t->sql("SELECT manager_id FROM scim.users WHERE id = '$babs'"), $kim, 'SQL: the manager');
	is($c->get("/Users/$babs")->json->{$enterprise}{manager}{value}, $kim, 'it is manager.value in the answer');

	# Roles, as text within a value in default mode.
	if (!$flag)
	{
		patched($c, "/Users/$babs", '[{"op":"Add","path":"roles","value":[{"value":"{\"id\":\"06b07648-ecfe-589f-9d2f-6325724a46ee\",\"value\":\"Admin\",\"displayName\":\"Admin\"}"}]}]', 'roles: JSON text as a value');
		is($t->sql("SELECT value, display FROM scim.user_roles WHERE user_id = '$babs'"), 'Admin|Admin', 'SQL: the role that the text describes');
		patched($c, "/Users/$babs", '[{"op":"Replace","path":"roles[primary eq \"True\"].value","value":"Reader"}]', 'roles: a filter with the string "True"');
		is($t->sql("SELECT value FROM scim.user_roles WHERE user_id = '$babs' AND is_primary"), 'Reader', 'SQL: the primary role');
	}
	else
	{
		patched($c, "/Users/$babs$suffix", '[{"op":"replace","path":"roles","value":[{"primary":false,"type":"WindowsAzureActiveDirectoryRole","display":"User","value":"User"},'
			. '{"primary":true,"type":"WindowsAzureActiveDirectoryRole","display":"Admin","value":"Admin"}]}]', 'roles: a list');
		is($t->sql("SELECT string_agg(value || coalesce(is_primary, false)::text, ',' ORDER BY ord) FROM scim.user_roles WHERE user_id = '$babs'"),
			'Userfalse,Admintrue', 'SQL: the roles');
	}

	# Disable, and restore.
	patched($c, "/Users/$babs$suffix", $flag ? '[{"op":"replace","path":"active","value":false}]' : '[{"op":"Replace","path":"active","value":"False"}]', 'disable');
	is($t->sql("SELECT active FROM scim.users WHERE id = '$babs'"), 'f', 'SQL: she is disabled');
	$r = $c->get("/Users/$babs$suffix");
	status_is($r, 200, 'a disabled user is still there');
	is($r->json->{active}, FALSE, 'and is shown as disabled');
	list_is($c->get("/Users" . query(filter => 'userName eq "babs@contoso.example"') . $more), 1, 'and is found');
	patched($c, "/Users/$babs$suffix", $flag ? '[{"op":"replace","path":"active","value":true}]' : '[{"op":"Replace","path":"active","value":"True"}]', 'restore');
	is($t->sql("SELECT active FROM scim.users WHERE id = '$babs'"), 't', 'SQL: she is enabled');

	# Groups.
	list_is($c->get("/Groups" . query(excludedAttributes => 'members', filter => 'displayName eq "Engineering"') . $more), 0, 'match a group: none');
	$r = $c->post("/Groups$suffix", <<'JSON');
{
    "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group",
        "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],
    "externalId": "8aa1a0c0-c4c3-4bc0-b4a5-2ef676900159",
    "displayName": "Engineering",
    "meta": {
        "resourceType": "Group"
    }
}
JSON
	status_is($r, 201, 'create a group');
	$group = $r->id;
	ok($group, 'it has an id') or return;
	is($t->sql("SELECT display_name, external_id FROM scim.groups WHERE tenant = '$tenant' AND id = '$group'"),
		'Engineering|8aa1a0c0-c4c3-4bc0-b4a5-2ef676900159', 'SQL: the group');
	is($c->get("/Groups/$group" . query(excludedAttributes => 'members') . $more)->json->{displayName}, 'Engineering', 'read back without members');
	my $probe = "/Groups" . query(excludedAttributes => 'members', filter => qq(id eq "$group" and members eq "$babs")) . $more;
	list_is($c->get($probe), 0, 'probe a reference: not yet');

	my $add = qq([{"op":"$op","path":"members","value":[{"\$ref":null,"value":"$babs"}]}]);
	patched($c, "/Groups/$group$suffix", $add, 'add a member, with $ref null');
	is(members($tenant, $group), 'babs@contoso.example', 'SQL: the member');
	list_is($c->get($probe), 1, 'probe a reference: it is there');
	$version = $c->get("/Groups/$group")->header('etag');
	$r = patched($c, "/Groups/$group$suffix", $add, 'add the member again');
	is($r->header('etag'), $version, 'which changes nothing');
	patched($c, "/Groups/$group$suffix", qq([{"op":"$op","path":"members","value":[{"\$ref":null,"value":"$kim"},{"\$ref":null,"value":"$lee"}]}]), 'add two members');
	is(members($tenant, $group), 'babs@contoso.example,kim.akers@contoso.example,lee@contoso.example', 'SQL: three members');
	$r = $c->get("/Users/$babs$suffix");
	is_deeply([ map { "$_->{value} $_->{display}" } @{ $r->json->{groups} } ], ["$group Engineering"], 'the user shows the group');
	unlike($c->get("/Groups/$group" . query(excludedAttributes => 'members'))->text, qr/members/, 'excludedAttributes=members leaves them out');

	# The classic disaster is to read the first form as "remove all members".
	patched($c, "/Groups/$group$suffix", $flag
		? qq([{"op":"remove","path":"members[value eq \\"$kim\\"]"}])
		: qq([{"op":"Remove","path":"members","value":[{"\$ref":null,"value":"$kim"}]}]), 'remove a member');
	is(members($tenant, $group), 'babs@contoso.example,lee@contoso.example', 'SQL: that one is gone, the others are not');
	patched($c, "/Groups/$group$suffix", $flag
		? qq([{"op":"remove","path":"members[value eq \\"$kim\\"]"}])
		: qq([{"op":"Remove","path":"members","value":[{"\$ref":null,"value":"$kim"}]}]), 'remove who is no member');
	is(members($tenant, $group), 'babs@contoso.example,lee@contoso.example', 'SQL: nothing changed');
	patched($c, "/Groups/$group$suffix", $flag
		? '[{"op":"replace","value":{"displayName":"Platform"}}]'
		: '[{"op":"Replace","path":"displayName","value":"Platform"}]', 'rename the group');
	is($t->sql("SELECT display_name FROM scim.groups WHERE id = '$group'"), 'Platform', 'SQL: the new name');
	is(members($tenant, $group), 'babs@contoso.example,lee@contoso.example', 'SQL: the members stay');

	# Delete.
	status_is($c->delete("/Users/$lee$suffix"), 204, 'delete a user');
	is(user_row($tenant, $lee), '', 'SQL: he is gone');
	is(members($tenant, $group), 'babs@contoso.example', 'SQL: from the group as well');
	error_is($c->get("/Users/$lee$suffix"), 404, undef, undef, 'he is not found');
	error_is($c->delete("/Users/$lee$suffix"), 404, undef, undef, 'nor deleted twice');
	list_is($c->get("/Users" . query(filter => 'userName eq "lee@contoso.example"') . $more), 0, 'nor matched');
	status_is($c->delete("/Groups/$group$suffix"), 204, 'delete the group');
	is($t->sql("SELECT count(*) FROM scim.groups WHERE tenant = '$tenant'"), '0', 'SQL: no group');
	is($t->sql("SELECT count(*) FROM scim.group_members WHERE tenant = '$tenant'"), '0', 'SQL: no members');
	is($t->sql("SELECT count(*) FROM scim.users WHERE tenant = '$tenant'"), '2', 'SQL: the other users stay');

	# Gallery applications read the schemas: a list without nulls.
	$r = $c->get("/Schemas$suffix");
	status_is($r, 200, 'the schemas');
	is($r->json->{totalResults}, scalar $r->resources, 'all of them');
	unlike($r->text, qr/:\s*null\b/, 'without nulls');

	# Microsoft's validator sends an empty list of operations.
	$r = patched($c, "/Users/$babs", '[]', 'no operations: nothing to do');
	return;
}

sub endpoints
{
	$t->create_endpoint($_, base_path => "/entra/$_") for @_;
	return;
}

$t = ScimTest->start(listeners => 4);
unlike($t->log_text, qr/WARNING/, 'CREATE EXTENSION and scim.setup() warn of nothing');
endpoints('plain', 'plainflag', 'tls', 'tlsflag');
is(scalar($t->listener_pids), 4, 'four listeners share the port');
subtest 'default mode' => sub { dialogue('plain', 0) };
subtest 'with aadOptscim062020' => sub { dialogue('plainflag', 1) };

$t->use_tls;
$t->node->append_conf('postgresql.conf', "scim.listeners = 2\n");
$t->node->restart;
$t->wait_listening;
is(scalar($t->listener_pids), 2, 'two listeners, with TLS');
subtest 'default mode over TLS' => sub { dialogue('tls', 0) };
subtest 'with aadOptscim062020 over TLS' => sub { dialogue('tlsflag', 1) };
isnt(ScimTest::Client->new(url => 'http://localhost:' . $t->port . '/entra/tls', token => undef, keep_alive => 0, timeout => 3)->get('/Users')->status,
	401, 'no plain HTTP on the TLS port');
is($t->client(token => undef)->get('/Users')->status, 401, 'the listener survives that');

$t->no_crash;
done_testing();
