# 030_schemas.pl - the cookbook of docs/mapping.md: schemas of applications as
# endpoints, by the statements that stand there and nothing else.  For each the
# dialogues of Entra (both modes) and Okta (PATCH and PUT) over HTTP, and what
# the application's tables hold then.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use ScimTest;
use Test::More;

ScimTest->watchdog(180);

my $t;
my $enterprise = ENTERPRISE;

# What an endpoint's users say of one of them; "-" where there is nothing.
sub seen
{
	my ($c, $id, @what) = @_;
	my $j = $c->get("/Users/$id")->json;
	my %value = (userName => $j->{userName}, given => $j->{name}{givenName}, family => $j->{name}{familyName},
		mail => (map { $_->{value} } grep { $_->{type} eq 'work' } @{ $j->{emails} || [] })[0],
		title => $j->{title}, externalId => $j->{externalId}, active => defined $j->{active} ? ($j->{active} ? 't' : 'f') : undef);
	return join('|', map { defined $value{$_} ? $value{$_} : '-' } @what);
}

sub patched
{
	my ($c, $path, $operations, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $r = $c->patch($path, qq({"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":$operations}));
	accepted($r, $name);
	return $r;
}

# "has": the attributes that the schema has a place for, beside the usual ones.
sub entra
{
	my ($s, $endpoint, $flag) = @_;
	my $c = $t->client(base_path => "/$endpoint/scim/v2", token => $t->create_token($endpoint));
	my @what = ('userName', 'given', 'family', 'mail', 'active', @{ $s->{has} });
	my $values = sub { my (%v) = @_; return join('|', map { defined $v{$_} ? $v{$_} : '-' } @what) };
	my $suffix = $flag ? '?aadOptscim062020' : '';
	my ($r, $babs, $kim);

	list_is($c->get('/Users' . query(filter => 'userName eq "3e59e27b-0a9c-4ac4-9b1c-3f3f3cdd0f60"')), 0, 'Test Connection');
	list_is($c->get('/Users' . query(filter => 'userName eq "babs@contoso.example"')), 0, 'match: nobody yet');
	$r = $c->post("/Users$suffix", <<'JSON');
{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],
 "externalId":"0a21f0f2","userName":"babs@contoso.example","active":true,"title":"Engineer","roles":[],"meta":{"resourceType":"User"},
 "emails":[{"primary":true,"type":"work","value":"babs@contoso.example"}],"name":{"formatted":"Babs Jensen","familyName":"Jensen","givenName":"Babs"}}
JSON
	status_is($r, 201, 'create');
	$babs = $r->id;
	ok($babs, 'the answer has an id') or return;
	my %now = (userName => 'babs@contoso.example', given => 'Babs', family => 'Jensen', mail => 'babs@contoso.example', active => 't', title => 'Engineer', externalId => '0a21f0f2');
	is(seen($c, $babs, @what), $values->(%now), 'what was stored');
	is($t->sql(sprintf $s->{user}, $babs), $values->(%now), 'SQL: so say the tables');
	error_is($c->post("/Users$suffix", { schemas => [CORE_USER], userName => 'BABS@contoso.example' }), 409, 'uniqueness', qr/userName/, 'the same name in another case is taken');
	list_is($c->get('/Users' . query(filter => 'userName eq "Babs@Contoso.example"')), 1, 'match by userName');
	list_is($c->get('/Users' . query(filter => 'emails[type eq "work"].value eq "babs@contoso.example"')), 1, 'match by work e-mail');
	list_is($c->get('/Users' . query(filter => 'externalId eq "0a21f0f2"')), 1, 'match by externalId') if grep { $_ eq 'externalId' } @what;

	patched($c, "/Users/$babs$suffix", $flag ? <<'FLAG' : <<'PLAIN', 'update');
[{"op":"replace","path":"emails[type eq \"work\"].value","value":"barbara@contoso.example"},
 {"op":"replace","value":{"name.givenName":"Barbara","title":"Boss","userName":"barbara@contoso.example"}}]
FLAG
[{"op":"Replace","path":"emails[type eq \"work\"].value","value":"barbara@contoso.example"},{"op":"Add","path":"name.givenName","value":"Barbara"},
 {"op":"Replace","path":"title","value":"Boss"},{"op":"Replace","path":"userName","value":"barbara@contoso.example"}]
PLAIN
	%now = (%now, userName => 'barbara@contoso.example', given => 'Barbara', mail => 'barbara@contoso.example', title => 'Boss');
	is(seen($c, $babs, @what), $values->(%now), 'what was named has changed, the rest has not');
	is($t->sql(sprintf $s->{user}, $babs), $values->(%now), 'SQL: so say the tables');
	my $version = $c->get("/Users/$babs")->header('etag');
	patched($c, "/Users/$babs$suffix", '[{"op":"Replace","path":"title","value":"Boss"},{"op":"Replace","path":"active","value":"True"}]', 'what is so already');
	is($c->get("/Users/$babs")->header('etag'), $version, 'writes nothing');

	for my $active ('False', 'True')
	{
		patched($c, "/Users/$babs$suffix", $flag ? lc qq([{"op":"replace","path":"active","value":$active}]) : qq([{"op":"Replace","path":"active","value":"$active"}]), "active: $active");
		$now{active} = $active eq 'True' ? 't' : 'f';
		is($t->sql(sprintf $s->{user}, $babs), $values->(%now), 'SQL: so says the table');
		list_is($c->get('/Users' . query(filter => 'active eq ' . lc $active)), 1, 'and a filter');
	}

	$kim = $c->post("/Users$suffix", '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"kim@contoso.example"}')->id;
	ok($kim, 'a user of whom there is a name only') or return;
	$r = $c->post("/Groups$suffix", '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"externalId":"8aa1a0c0","displayName":"Engineering"}');
	status_is($r, 201, 'create a group');
	my $group = $r->id;
	my $members = sub { return $t->sql(sprintf $s->{members}, $group) };
	patched($c, "/Groups/$group$suffix", qq([{"op":"Add","path":"members","value":[{"\$ref":null,"value":"$babs"},{"\$ref":null,"value":"$kim"}]}]), 'add members');
	is($members->(), 'barbara@contoso.example,kim@contoso.example', 'SQL: the members');
	list_is($c->get('/Groups' . query(excludedAttributes => 'members', filter => qq(id eq "$group" and members eq "$babs"))), 1, 'probe a reference');
	is_deeply([ map { $_->{display} } @{ $c->get("/Users/$babs")->json->{groups} } ], ['Engineering'], 'the user shows the group');
	patched($c, "/Groups/$group$suffix", $flag ? qq([{"op":"remove","path":"members[value eq \\"$babs\\"]"}]) : qq([{"op":"Remove","path":"members","value":[{"\$ref":null,"value":"$babs"}]}]), 'remove a member');
	is($members->(), 'kim@contoso.example', 'SQL: that one is gone');
	patched($c, "/Groups/$group$suffix", '[{"op":"Replace","path":"displayName","value":"Platform"}]', 'rename the group');
	is($c->get("/Groups/$group")->json->{displayName}, 'Platform', 'it has the name');
	status_is($c->delete("/Users/$kim$suffix"), 204, 'delete a user');
	status_is($c->get("/Users/$kim"), 404, 'who is not found then');
	is(scalar @{ $c->get("/Groups/$group")->json->{members} || [] }, 0, 'and is no member');
	status_is($c->delete("/Groups/$group$suffix"), 204, 'delete the group');
	status_is($c->delete("/Users/$babs$suffix"), 204, 'delete the other user');
	list_is($c->get('/Users'), 0, 'nobody is left');
	return;
}

sub okta
{
	my ($s, $endpoint, $put) = @_;
	my $c = $t->client(base_path => "/$endpoint/scim/v2", token => $t->create_token($endpoint));
	my ($r, @u);

	list_is($c->get('/Users?startIndex=1&count=2'), 0, 'test of the credentials');
	for my $i (1 .. 3)
	{
		$r = $c->post('/Users', qq({"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"u$i\@okta.local","name":{"givenName":"Test","familyName":"User"},
			"emails":[{"primary":true,"value":"u$i\@okta.local","type":"work"}],"displayName":"Test User","locale":"en-US","externalId":"00u$i","groups":[],"password":"Canary","active":true}));
		status_is($r, 201, "create u$i");
		unlike($r->text, qr/Canary/, 'no password in the answer');
		push @u, $r->id;
	}
	my $user = $c->get("/Users/$u[0]")->json;
	$r = $c->put("/Users/$u[0]", $user);
	is($r->json->{meta}{version}, $user->{meta}{version}, 'PUT of what was read changes nothing');
	$user->{name}{givenName} = 'Another';
	$user->{shoeSize} = 44;
	$r = $c->put("/Users/$u[0]", $user);
	status_is($r, 200, 'PUT with a change');
	is(seen($c, $u[0], qw(userName given family mail active)), 'u1@okta.local|Another|User|u1@okta.local|t', 'which is stored, and the rest kept');
	for my $active ('false', 'true')
	{
		$user = $c->get("/Users/$u[0]")->json;
		$user->{active} = $active eq 'true' ? TRUE : FALSE;
		$r = $put ? $c->put("/Users/$u[0]", $user)
		  : $c->patch("/Users/$u[0]", qq({"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","value":{"active":$active}}]}));
		is($r->json->{active}, $user->{active}, "active: $active");
	}
	$r = $c->post('/Groups', '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"Test SCIMv2","members":[]}');
	status_is($r, 201, 'create a group');
	my $group = $r->id;
	for my $want ([ 0, 1 ], [ 1, 2 ], [])
	{
		my $list = json_bytes([ map { { value => $u[$_], display => 'x' } } @$want ]);
		$r = $put ? $c->put("/Groups/$group", qq({"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"id":"$group","displayName":"Renamed","members":$list}))
		  : $c->patch("/Groups/$group", qq({"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","path":"members","value":$list}]}));
		accepted($r, 'push of ' . @$want . ' members');
		is($t->sql(sprintf $s->{members}, $group), join(',', map { 'u' . ($_ + 1) . '@okta.local' } @$want), 'SQL: those are the members');
	}
	list_is($c->get('/Users?startIndex=2&count=1'), 3, 'a page');
	status_is($c->delete("/Groups/$group"), 204, 'delete the group');
	status_is($c->delete("/Users/$_"), 204, 'delete a user') for @u;
	return;
}

# Who is unlinked from an organization is there still.
sub forget
{
	my ($name) = @_;
	$t->sql('DELETE FROM orgs.team_members; DELETE FROM orgs.users') if $name eq 'orgs';
	return;
}

# The statements that say what the tables hold: userName, given and family name,
# work e-mail, active, then what "has" names.
my %schema = (
	django => { endpoints => ['django'], has => [],
		user => q{SELECT username, coalesce(nullif(first_name, ''), '-'), coalesce(nullif(last_name, ''), '-'), coalesce(nullif(email, ''), '-'), is_active FROM django.auth_user WHERE id = '%s'},
		members => q{SELECT string_agg(username, ',' ORDER BY username) FROM django.auth_user_groups g JOIN django.auth_user u ON u.id = user_id WHERE group_id = '%s'} },
	supabase => { endpoints => ['supabase'], has => [ 'title', 'externalId' ],
		user => q{SELECT email, raw_user_meta_data ->> 'first_name', raw_user_meta_data ->> 'last_name', raw_user_meta_data ->> 'work_email', banned_until IS NULL,
			raw_user_meta_data -> 'job' ->> 'title', raw_app_meta_data -> 'scim' ->> 'external_id' FROM auth.users WHERE id = '%s'},
		members => q{SELECT string_agg(email, ',' ORDER BY email) FROM supa.team_members m JOIN auth.users u ON u.id = user_id WHERE team_id = '%s'} },
	saas => { endpoints => [ 'saas1', 'saas2' ], has => [ 'title', 'externalId' ],
		user => q{SELECT email, first_name, last_name, (SELECT string_agg(e.email, ',') FROM saas.user_emails e WHERE e.user_id = u.id AND kind = 'work'), status = 'active', job_title, external_id FROM saas.users u WHERE id = '%s'},
		members => q{SELECT string_agg(email, ',' ORDER BY email) FROM saas.team_members m JOIN saas.users u ON u.id = user_id WHERE team_id = '%s' AND role = 'member'} },
	orgs => { endpoints => [ 'orgs1', 'orgs2' ], has => [ 'title', 'externalId' ],
		user => q{SELECT email, first_name, last_name, work_email, enabled, job_title, external_id FROM orgs.users u JOIN orgs.organization_users o ON user_id = u.id WHERE u.id = '%s'},
		members => q{SELECT string_agg(email, ',' ORDER BY email) FROM orgs.team_members m JOIN orgs.users u ON u.id = user_id JOIN orgs.teams t ON t.id = m.team_id
			WHERE team_id = '%s' AND EXISTS (SELECT 1 FROM orgs.organization_users o WHERE o.user_id = u.id AND o.org_id = t.org_id)} });

$t = ScimTest->start(listeners => 2);
$t->sql('CREATE ROLE app NOLOGIN; GRANT CREATE ON DATABASE postgres TO app');
for my $name (sort keys %schema)
{
	my $s = $schema{$name};
	$t->sql($_) for recipe($name);
	is($t->sql("SELECT string_agg(concat_ws(' ', m.name, c.subject, c.problem), '; ') FROM scim.mappings m, scim.check_mapping(m.name) c WHERE m.name LIKE '$name%' AND c.severity = 'error'"), '', "$name: no error");
	for my $endpoint (@{ $s->{endpoints} })
	{
		subtest "$endpoint: Entra in default mode" => sub { entra($s, $endpoint, 0) };
		forget($name);
		subtest "$endpoint: Entra with aadOptscim062020" => sub { entra($s, $endpoint, 1) };
		forget($name);
		subtest "$endpoint: Okta, catalogue" => sub { okta($s, $endpoint, 0) };
		forget($name);
		subtest "$endpoint: Okta, wizard" => sub { okta($s, $endpoint, 1) };
		forget($name);
	}
}
subtest 'one recipe for each need' => sub {
	my $n = 0;
	for my $statements (recipe('recipes'))
	{
		my ($rc, undef, $err) = $t->try_sql($statements);
		is($rc, 0, 'recipe ' . $n++) or diag($err);
	}
	my $c = $t->client(base_path => '/shop/scim/v2', token => $t->create_token('shop'));
	my $r = $c->post('/Users', <<'JSON');
{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:shop:params:scim:schemas:staff:2.0:User"],"userName":"Ann@shop.example","externalId":"E1","userType":"owner","title":"Boss","active":false,
 "urn:shop:params:scim:schemas:staff:2.0:User":{"hired":"2020-01-01T00:00:00Z"},"roles":[{"value":"admin"}],"entitlements":[{"value":"till"},{"value":"safe"}],
 "ims":[{"type":"skill","value":"sql"},{"type":"skill","value":"c"}],"name":{"givenName":"Ann","familyName":"Lee"},"phoneNumbers":[{"value":"+1","type":"work"}],"timezone":"Europe/Rome",
 "addresses":[{"type":"home","locality":"Rome"}],"nickName":"An","emails":[{"value":"ann@shop.example","type":"work","primary":true},{"value":"a@home.example"}]}
JSON
	status_is($r, 201, 'a user in all these places');
	my $id = $r->id;
	my $j = $r->json;
	delete @$j{qw(meta id schemas)};
	is(json_bytes($j), '{"active":false,"addresses":[{"locality":"Rome","primary":true,"type":"home"}],"displayName":"Ann@Shop.Example",'
		. '"emails":[{"primary":false,"type":"other","value":"a@home.example"},{"primary":true,"type":"work","value":"ann@shop.example"}],'
		. '"entitlements":[{"value":"till"},{"value":"safe"}],"externalId":"E1","ims":[{"type":"skill","value":"sql"},{"type":"skill","value":"c"}],"locale":"en-GB",'
		. '"name":{"familyName":"Lee","givenName":"Ann"},"nickName":"An","phoneNumbers":[{"type":"work","value":"+1"}],"preferredLanguage":"en","roles":[{"value":"admin"}],'
		. '"timezone":"Europe/Rome","title":"Boss","urn:shop:params:scim:schemas:staff:2.0:User":{"hired":"2020-01-01T00:00:00Z"},"userName":"Ann@shop.example","userType":"owner"}',
		'comes out as it went in');
	is($t->sql("SELECT login_lower, role, left_at IS NOT NULL, hired, is_admin, nicknames, skills, data, settings, (SELECT newsletter FROM shop.preferences WHERE person = p.id) FROM shop.people p WHERE id = $id"),
		'ann@shop.example|1|t|1577836800|t|{till,safe}|sql,c|{"name": {"given": "Ann", "family": "Lee"}, "phones": [{"kind": "work", "number": "+1"}]}|{"ui": {"time zone": "Europe/Rome"}}|f',
		'SQL: the places');
	for my $filter ('userType eq "OWNER" and title eq "boss"', 'roles.value eq "admin" and entitlements.value eq "safe"', 'ims[type eq "skill" and value eq "C"]', 'timezone sw "europe"',
		'nickName eq "an" and preferredLanguage eq "en"', 'emails[primary eq true].value ew "shop.example"', 'externalId eq "E1" and meta.created pr', 'urn:shop:params:scim:schemas:staff:2.0:User:hired lt "2020-01-01T00:00:01Z"')
	{
		list_is($c->get('/Users' . query(filter => $filter)), 1, $filter);
	}
	my $group = $c->post('/Groups', { schemas => [CORE_GROUP], displayName => 'Rome', externalId => 'G1', members => [ { value => $id } ] })->id;
	status_is($c->delete("/Users/$id"), 204, 'delete: marked');
	is(scalar @{ $c->get("/Groups/$group")->json->{members} || [] }, 0, 'no member any more');
	is($c->post('/Users', { schemas => [CORE_USER], userName => 'ann@SHOP.example' })->id, $id, 'a POST of the name brings the row back');
	my $v = $t->client(base_path => '/contractors/scim/v2', token => $t->create_token('contractors'));
	is($v->post('/Users', { schemas => [CORE_USER], userName => 'max@build.example' })->json->{userType}, 'build.example', 'a view with triggers');
};
$t->no_crash;
done_testing();
