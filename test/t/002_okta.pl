# 002_okta.pl - the requests that Okta sends: an application of its catalogue
# (PATCH) and one made by the wizard (PUT), over plain HTTP and over TLS.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use ScimTest;
use Test::More;
use Time::HiRes qw(time);

ScimTest->watchdog(120);

my $t;
my $enterprise = ENTERPRISE;

# The headers of Okta's own tests.
my %okta = (
	'User-Agent' => 'Okta SCIM Client 1.0.0',
	'Accept' => 'application/scim+json',
	'Accept-Charset' => 'utf-8',
	'Content-Type' => 'application/scim+json; charset=utf-8');

sub members
{
	my ($tenant, $group) = @_;
	return $t->sql(qq{
		SELECT string_agg(u.user_name, ',' ORDER BY u.user_name)
		FROM scim.group_members m
		JOIN scim.users u ON u.tenant = m.tenant AND u.id = m.user_id
		WHERE m.tenant = '$tenant' AND m.group_id = '$group'});
}

sub new_user
{
	my ($c, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $r = $c->post('/Users', qq({"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],
		"userName":"$name","name":{"givenName":"Test","familyName":"User"},
		"emails":[{"primary":true,"value":"$name","type":"work"}],
		"displayName":"Test User","locale":"en-US","externalId":"00u1a2b3c4$name","groups":[],
		"password":"1mz050nq-Canary","active":true}), headers => {%okta});
	status_is($r, 201, "create $name");
	return $r;
}

sub dialogue
{
	my ($tenant, $put) = @_;
	my $c = $t->client(base_path => "/okta/$tenant", token => $t->create_token($tenant));
	my %h = (headers => {%okta});
	my ($r, $id, $other, $group);

	# Test the credentials.
	my $best = 99;
	for (1 .. 3)
	{
		my $start = time;
		$r = $c->get('/Users?startIndex=1&count=2', %h);
		$best = time - $start if time - $start < $best;
	}
	list_is($r, 0, 'test of the credentials');
	cmp_ok($best, '<', 0.6, 'in less than 600 ms');
	like($r->text, qr/"$_"\s*:\s*\d/, "$_ is a number") for qw(totalResults startIndex itemsPerPage);
	list_is($c->get('/Groups?startIndex=1&count=100', %h), 0, 'the groups');

	# Match, create.
	my $match = '/Users?filter=userName%20eq%20%22test.user%40okta.local%22&startIndex=1&count=100';
	list_is($c->get($match, %h), 0, 'match: nobody');
	$r = new_user($c, 'test.user@okta.local');
	$id = $r->id;
	ok($id, 'the answer has a body with an id') or return;
	is($r->json->{userName}, 'test.user@okta.local', 'and the user');
	unlike($r->text, qr/password|Canary/, 'and no password');
	is($t->sql("SELECT user_name, active, locale, external_id FROM scim.users WHERE tenant = '$tenant' AND id = '$id'"),
		'test.user@okta.local|t|en-US|00u1a2b3c4test.user@okta.local', 'SQL: the user');
	$r = $c->get($match, %h);
	list_is($r, 1, 'match: found');
	is(($r->resources)[0]{id}, $id, 'by its id');
	error_is($c->post('/Users', { schemas => [CORE_USER], userName => 'Test.User@OKTA.local' }, %h),
		409, 'uniqueness', qr/userName/, 'the same user again is a conflict');

	# Update: read, then PUT the whole of it, with what is read-only in it and
	# what we do not know.
	my $user = $c->get("/Users/$id", %h)->json;
	my $before = $user->{meta}{version};
	$r = $c->put("/Users/$id", $user, %h);
	status_is($r, 200, 'PUT of what was read');
	is($r->json->{meta}{version}, $before, 'changes nothing');
	$user->{name}{givenName} = 'Another';
	$user->{displayName} = 'Another User';
	$user->{shoeSize} = 44;
	$user->{groups} = [];
	$user->{$enterprise} = { department => 'Sales' };
	push @{ $user->{phoneNumbers} }, { type => 'mobile', value => '+1 555 0100', primary => TRUE };
	$r = $c->put("/Users/$id", $user, %h);
	status_is($r, 200, 'PUT with changes');
	is($r->id, $id, 'the id stays');
	is($r->json->{displayName}, 'Another User', 'the answer has the changes');
	ok(!exists $r->json->{shoeSize}, 'and nothing unknown');
	is($t->sql("SELECT name_given_name, display_name, department, (SELECT value FROM scim.user_phone_numbers p WHERE p.user_id = u.id) FROM scim.users u WHERE id = '$id'"),
		'Another|Another User|Sales|+1 555 0100', 'SQL: the changes');
	is($t->sql("SELECT user_name, external_id, (SELECT value FROM scim.user_emails e WHERE e.user_id = u.id) FROM scim.users u WHERE id = '$id'"),
		'test.user@okta.local|00u1a2b3c4test.user@okta.local|test.user@okta.local', 'SQL: the rest as before');

	# Deactivate and reactivate.
	for my $active ('false', 'true')
	{
		if ($put)
		{
			$user = $c->get("/Users/$id", %h)->json;
			$user->{active} = $active eq 'true' ? TRUE : FALSE;
			$r = $c->put("/Users/$id", $user, %h);
		}
		else
		{
			$r = $c->patch("/Users/$id", qq({"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","value":{"active":$active}}]}), %h);
		}
		status_is($r, 200, "active: $active");
		is($r->json->{active}, $active eq 'true' ? TRUE : FALSE, 'so says the answer');
		is($t->sql("SELECT active FROM scim.users WHERE id = '$id'"), substr($active, 0, 1), 'SQL: so says the table');
	}
	is($t->sql("SELECT department FROM scim.users WHERE id = '$id'"), 'Sales', 'SQL: nothing else changed');

	# Groups.
	my @u = map { new_user($c, "u$_\@okta.local")->id } 1 .. 4;
	$r = $c->post('/Groups', '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"Test SCIMv2","members":[]}', %h);
	status_is($r, 201, 'create a group');
	$group = $r->id;
	ok($group, 'it has an id') or return;
	if ($put)
	{
		for my $want ([ 0, 1 ], [ 1, 2, 3 ], [])
		{
			$r = $c->put("/Groups/$group", json_bytes({
				schemas => [CORE_GROUP], id => $group, displayName => 'Renamed',
				members => [ map { { value => $u[$_], display => 'u' . ($_ + 1) . '@okta.local' } } @$want ] }), %h);
			status_is($r, 200, 'PUT of the group with ' . @$want . ' members');
			is(members($tenant, $group), join(',', map { 'u' . ($_ + 1) . '@okta.local' } @$want), 'SQL: those are the members');
		}
		is($t->sql("SELECT display_name FROM scim.groups WHERE id = '$group'"), 'Renamed', 'SQL: the name');
	}
	else
	{
		my $op = '{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":';
		$r = $c->patch("/Groups/$group", $op . qq([{"op":"replace","value":{"id":"$group","displayName":"Renamed"}}]}), %h);
		accepted($r, 'rename, with the id in the value');
		is($t->sql("SELECT display_name FROM scim.groups WHERE id = '$group'"), 'Renamed', 'SQL: the name');
		$r = $c->patch("/Groups/$group", $op . qq([{"op":"add","path":"members","value":[{"value":"$u[0]","display":"u1\@okta.local"},{"value":"$u[1]","display":"u2\@okta.local"}]}]}), %h);
		accepted($r, 'add members, without type');
		is(members($tenant, $group), 'u1@okta.local,u2@okta.local', 'SQL: two members');
		$r = $c->patch("/Groups/$group", $op . qq([{"op":"remove","path":"members[value eq \\"$u[0]\\"]"},{"op":"add","path":"members","value":[{"value":"$u[2]","display":"u3\@okta.local"}]}]}), %h);
		accepted($r, 'remove and add members in one request');
		is(members($tenant, $group), 'u2@okta.local,u3@okta.local', 'SQL: the members');
		$r = $c->patch("/Groups/$group", $op . qq([{"op":"replace","path":"members","value":[{"value":"$u[3]","display":"u4\@okta.local"},{"value":"$u[0]","display":"u1\@okta.local"}]}]}), %h);
		accepted($r, 'push of the whole membership');
		is(members($tenant, $group), 'u1@okta.local,u4@okta.local', 'SQL: the members');

		# A user that is not there (any more) does not lose the push.
		$r = $c->patch("/Groups/$group", $op . qq([{"op":"add","path":"members","value":[{"value":"00000000-0000-4000-8000-000000000000"},{"value":"$u[1]"}]}]}), %h);
		accepted($r, 'a push with an unknown member is taken');
		is(members($tenant, $group), 'u1@okta.local,u2@okta.local,u4@okta.local', 'SQL: the known one is a member');
	}
	$r = $c->get("/Groups/$group", %h);
	for my $member (grep { $_->{type} } @{ $r->json->{members} || [] })
	{
		is($member->{type}, 'User', 'a member has its type');
		like($member->{'$ref'}, qr{/Users/$member->{value}$}, 'and its reference');
	}
	status_is($c->delete("/Groups/$group", %h), 204, 'unlink the group');
	is($t->sql("SELECT count(*) FROM scim.group_members WHERE tenant = '$tenant'"), '0', 'SQL: no members');
	is($t->sql("SELECT count(*) FROM scim.users WHERE tenant = '$tenant'"), '5', 'SQL: all users');

	# Clear text of a password is nowhere.
	my @found;
	for my $table (split /\n/, $t->sql(q{SELECT c.oid::regclass FROM pg_class c WHERE c.relnamespace = 'scim'::regnamespace AND c.relkind = 'r'}))
	{
		push @found, $table if $t->sql("SELECT x::text FROM $table x") =~ /Canary/;
	}
	is("@found", '', 'no password in any table');
	return;
}

# Import: every page of 100, in a stable order.
sub paging
{
	my $c = $t->client(base_path => '/okta/paging', token => $t->create_token('paging'));
	my (%seen, $total);

	$t->sql("INSERT INTO scim.users (tenant, user_name, active) SELECT 'paging', 'page' || i || '\@okta.local', true FROM generate_series(1, 250) i");
	for (my $start = 1; $start < 400; $start += 100)
	{
		my $r = $c->get("/Users?startIndex=$start&count=100", headers => {%okta});
		list_is($r, 250, "page from $start");
		is($r->json->{startIndex}, $start, 'it says where it starts');
		$seen{ $_->{id} }++ for $r->resources;
	}
	is(scalar(keys %seen), 250, 'every user was seen');
	is(scalar(grep { $_ != 1 } values %seen), 0, 'each once');
	return;
}

$t = ScimTest->start(listeners => 2);
$t->create_endpoint($_, base_path => "/okta/$_") for qw(catalogue wizard catalogue_tls wizard_tls paging);
subtest 'catalogue application' => sub { dialogue('catalogue', 0) };
subtest 'wizard application' => sub { dialogue('wizard', 1) };
subtest 'import' => \&paging;

$t->use_tls;
$t->node->restart;
$t->wait_listening;
subtest 'catalogue application over TLS' => sub { dialogue('catalogue_tls', 0) };
subtest 'wizard application over TLS' => sub { dialogue('wizard_tls', 1) };

unlike($t->log_text, qr/Canary/, 'no password in the server log');
$t->no_crash;
done_testing();
