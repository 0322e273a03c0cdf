# ScimDialogue.pm - what Entra and Okta say to an endpoint, over HTTP.
#
# For the TAP tests of applications' schemas: the same dialogues run on each,
# and after each step the application's own tables are asked.  A schema is a
# hash:
#
#   what       the attributes that it has a place for, of userName, given, family,
#              mail, active, title, externalId
#   user       SQL that says these of the user with the id "%s", in that order
#   members    SQL of the userNames of a group's members; none: it has no groups
#   needs      members of JSON that every user must have
#   immutable  a userName can't change
package ScimDialogue;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use ScimTest;
use Test::More;

our @EXPORT = qw(entra okta);

sub texts
{
	my ($what, %value) = @_;
	return join('|', map { defined $value{$_} ? $value{$_} : '-' } @$what);
}

# What an endpoint says of a user; "-" where there is nothing.
sub seen
{
	my ($c, $id, @what) = @_;
	my $j = $c->get("/Users/" . path_id($id))->json;
	return texts(\@what, userName => $j->{userName}, given => $j->{name}{givenName}, family => $j->{name}{familyName},
		mail => scalar((map { $_->{value} } grep { $_->{type} eq 'work' } @{ $j->{emails} || [] })[0]),
		title => $j->{title}, externalId => $j->{externalId}, active => defined $j->{active} ? ($j->{active} ? 't' : 'f') : undef);
}

# The same of its tables: an empty text is none, too.
sub stored
{
	my ($t, $s, $id) = @_;
	my $row = $t->sql(sprintf $s->{user}, $id);
	return join('|', map { $_ eq '' ? '-' : $_ } split(/\|/, $row, -1));
}

sub patched
{
	my ($c, $path, $operations, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $r = $c->patch($path, qq({"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":$operations}));
	accepted($r, $name);
	return $r;
}

# An id as a path has it.
sub path_id
{
	my ($id) = @_;
	return $id =~ s{([^A-Za-z0-9._~-])}{sprintf('%%%02X', ord $1)}ger;
}

sub has
{
	my ($s, $what) = @_;
	return scalar grep { $_ eq $what } @{ $s->{what} };
}

sub endpoint_client
{
	my ($t, $endpoint) = @_;
	return $t->client(base_path => "/$endpoint/scim/v2", token => $t->create_token($endpoint));
}

# A user of whom the name is known, and what the schema needs.
sub minimal_user
{
	my ($s, $name) = @_;
	my $needs = defined $s->{needs} ? ",$s->{needs}" : '';
	return qq({"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"$name"$needs});
}

# Users of Entra: created, matched, changed, disabled; returns the id of one who
# stays, and the wanted state of that one.
sub entra_user
{
	my ($t, $s, $c, $flag) = @_;
	my $suffix = $flag ? '?aadOptscim062020' : '';
	my @what = @{ $s->{what} };
	my $name = 'barbara@contoso.example';

	list_is($c->get('/Users' . query(filter => 'userName eq "3e59e27b-0a9c-4ac4-9b1c-3f3f3cdd0f60"')), 0, 'Test Connection');
	list_is($c->get('/Users' . query(filter => 'userName eq "babs@contoso.example"')), 0, 'match: nobody yet');
	my $r = $c->post("/Users$suffix", <<'JSON');
{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],
 "externalId":"0a21f0f2","userName":"babs@contoso.example","active":true,"title":"Engineer","roles":[],"meta":{"resourceType":"User"},
 "emails":[{"primary":true,"type":"work","value":"babs@contoso.example"}],"name":{"formatted":"Babs Jensen","familyName":"Jensen","givenName":"Babs"}}
JSON
	status_is($r, 201, 'create');
	my $babs = $r->id;
	ok($babs, 'the answer has an id') or return;
	my %now = (userName => 'babs@contoso.example', given => 'Babs', family => 'Jensen', mail => 'babs@contoso.example', active => 't', title => 'Engineer', externalId => '0a21f0f2');
	is(seen($c, $babs, @what), texts(\@what, %now), 'what was stored');
	is(stored($t, $s, $babs), texts(\@what, %now), 'SQL: so say the tables');
	error_is($c->post("/Users$suffix", { schemas => [CORE_USER], userName => 'BABS@contoso.example', name => { formatted => 'B' }, emails => [ { type => 'work', value => 'other@contoso.example' } ] }),
		409, 'uniqueness', qr/userName/, 'the same name in another case is taken');
	list_is($c->get('/Users' . query(filter => 'userName eq "Babs@Contoso.example"')), 1, 'match by userName');
	list_is($c->get('/Users' . query(filter => 'emails[type eq "work"].value eq "babs@contoso.example"')), 1, 'match by work e-mail') if has($s, 'mail');
	list_is($c->get('/Users' . query(filter => 'externalId eq "0a21f0f2"')), 1, 'match by externalId') if has($s, 'externalId');

	$name = $now{userName} if $s->{immutable};
	patched($c, "/Users/" . path_id($babs) . $suffix, $flag ? <<"FLAG" : <<"PLAIN", 'update');
[{"op":"replace","path":"emails[type eq \\"work\\"].value","value":"barbara\@contoso.example"},
 {"op":"replace","value":{"name.givenName":"Barbara","title":"Boss","userName":"$name"}}]
FLAG
[{"op":"Replace","path":"emails[type eq \\"work\\"].value","value":"barbara\@contoso.example"},{"op":"Add","path":"name.givenName","value":"Barbara"},
 {"op":"Replace","path":"title","value":"Boss"},{"op":"Replace","path":"userName","value":"$name"}]
PLAIN
	%now = (%now, userName => $name, given => 'Barbara', mail => 'barbara@contoso.example', title => 'Boss');
	is(seen($c, $babs, @what), texts(\@what, %now), 'what was named has changed, the rest has not');
	is(stored($t, $s, $babs), texts(\@what, %now), 'SQL: so say the tables');
	my $version = $c->get("/Users/" . path_id($babs))->header('etag');
	patched($c, "/Users/" . path_id($babs) . $suffix, '[{"op":"Replace","path":"title","value":"Boss"},{"op":"Replace","path":"active","value":"True"}]', 'what is so already');
	is($c->get("/Users/" . path_id($babs))->header('etag'), $version, 'writes nothing');

	for my $active (has($s, 'active') ? ('False', 'True') : ())
	{
		patched($c, "/Users/" . path_id($babs) . $suffix, $flag ? lc qq([{"op":"replace","path":"active","value":$active}]) : qq([{"op":"Replace","path":"active","value":"$active"}]), "active: $active");
		$now{active} = $active eq 'True' ? 't' : 'f';
		is(stored($t, $s, $babs), texts(\@what, %now), 'SQL: so says the table');
		list_is($c->get('/Users' . query(filter => 'active eq ' . lc($active) . ' and userName sw "BA"')), 1, 'and a filter');
	}
	return ($babs, $name);
}

# A group: created, matched, its members added and removed, renamed.
sub entra_group
{
	my ($t, $s, $c, $suffix, $babs, $name, $kim) = @_;
	my $flag = $suffix ne '';
	my $r = $c->post("/Groups$suffix", '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"externalId":"8aa1a0c0","displayName":"Engineering"}');
	status_is($r, 201, 'create a group');
	my $group = $r->id;
	my $members = sub { return $t->sql(sprintf $s->{members}, $group) };

	list_is($c->get('/Groups' . query(excludedAttributes => 'members', filter => 'displayName eq "engineering"')), 1, 'match it by name');
	patched($c, "/Groups/" . path_id($group) . $suffix, qq([{"op":"Add","path":"members","value":[{"\$ref":null,"value":"$babs"},{"\$ref":null,"value":"$kim"}]}]), 'add members');
	is($members->(), "$name,kim\@contoso.example", 'SQL: the members');
	list_is($c->get('/Groups' . query(excludedAttributes => 'members', filter => qq(id eq "$group" and members eq "$babs"))), 1, 'probe a reference');
	is_deeply([ map { $_->{display} } @{ $c->get("/Users/" . path_id($babs))->json->{groups} } ], ['Engineering'], 'the user shows the group');
	patched($c, "/Groups/" . path_id($group) . $suffix, $flag ? qq([{"op":"remove","path":"members[value eq \\"$babs\\"]"}]) : qq([{"op":"Remove","path":"members","value":[{"\$ref":null,"value":"$babs"}]}]), 'remove a member');
	is($members->(), 'kim@contoso.example', 'SQL: that one is gone');
	patched($c, "/Groups/" . path_id($group) . $suffix, '[{"op":"Replace","path":"displayName","value":"Platform"}]', 'rename the group');
	is($c->get("/Groups/" . path_id($group))->json->{displayName}, 'Platform', 'it has the name');
	return $group;
}

sub entra
{
	my ($t, $s, $endpoint, $flag) = @_;
	my $c = endpoint_client($t, $endpoint);
	my $suffix = $flag ? '?aadOptscim062020' : '';
	my $others = $c->get('/Users?count=0')->json->{totalResults};
	my ($babs, $name) = entra_user($t, $s, $c, $flag) or return;
	my $kim = $c->post("/Users$suffix", minimal_user($s, 'kim@contoso.example'))->id;

	ok($kim, 'a user of whom there is a name only') or return;
	my $group = $s->{members} ? entra_group($t, $s, $c, $suffix, $babs, $name, $kim) : undef;
	status_is($c->delete("/Users/" . path_id($kim) . $suffix), 204, 'delete a user');
	status_is($c->get("/Users/" . path_id($kim)), 404, 'who is not found then');
	if ($group)
	{
		is(scalar @{ $c->get("/Groups/" . path_id($group))->json->{members} || [] }, 0, 'and is no member');
		status_is($c->delete("/Groups/" . path_id($group) . $suffix), 204, 'delete the group');
		$group = $c->post("/Groups$suffix", '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"Platform"}')->id;
		ok($group, 'create it again') or return;
		is($t->sql(sprintf $s->{members}, $group), '', 'SQL: it has no members');
		status_is($c->delete("/Groups/" . path_id($group) . $suffix), 204, 'and delete it again');
	}
	$kim = $c->post("/Users$suffix", minimal_user($s, 'kim@contoso.example'));
	status_is($kim, 201, 'create the user again') or return;
	is(scalar @{ $c->get('/Users/' . path_id($kim->id))->json->{groups} || [] }, 0, 'who is in no group');
	status_is($c->delete("/Users/" . path_id($_) . $suffix), 204, 'delete users') for $kim->id, $babs;
	list_is($c->get('/Users?count=0'), $others, 'nobody is left');
	return;
}

sub okta
{
	my ($t, $s, $endpoint, $put) = @_;
	my $c = endpoint_client($t, $endpoint);
	my $others = $c->get('/Users?startIndex=1&count=2')->json->{totalResults};
	my @what = grep { $_ ne 'title' && $_ ne 'externalId' } @{ $s->{what} };
	my ($r, @u);

	for my $i (1 .. 3)
	{
		$r = $c->post('/Users', qq({"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"u$i\@okta.local","name":{"givenName":"Test","familyName":"User","formatted":"Test User"},
			"emails":[{"primary":true,"value":"u$i\@okta.local","type":"work"}],"displayName":"Test User","locale":"en-US","externalId":"00u$i","groups":[],"password":"Canary","active":true}));
		status_is($r, 201, "create u$i");
		unlike($r->text, qr/Canary/, 'no password in the answer');
		push @u, $r->id;
	}
	my $user = $c->get("/Users/" . path_id($u[0]))->json;
	$r = $c->put("/Users/" . path_id($u[0]), $user);
	is($r->json->{meta}{version}, $user->{meta}{version}, 'PUT of what was read changes nothing');
	$user->{name}{givenName} = 'Another';
	$user->{shoeSize} = 44;
	$r = $c->put("/Users/" . path_id($u[0]), $user);
	status_is($r, 200, 'PUT with a change');
	is(seen($c, $u[0], @what), texts(\@what, userName => 'u1@okta.local', given => 'Another', family => 'User', mail => 'u1@okta.local', active => 't'), 'which is stored, and the rest kept');
	for my $active (has($s, 'active') ? ('false', 'true') : ())
	{
		$user = $c->get("/Users/" . path_id($u[0]))->json;
		$user->{active} = $active eq 'true' ? TRUE : FALSE;
		$r = $put ? $c->put("/Users/" . path_id($u[0]), $user)
		  : $c->patch("/Users/" . path_id($u[0]), qq({"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","value":{"active":$active}}]}));
		is($r->json->{active}, $user->{active}, "active: $active");
	}
	if ($s->{members})
	{
		$r = $c->post('/Groups', '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"Test SCIMv2","members":[]}');
		status_is($r, 201, 'create a group');
		my $group = $r->id;
		for my $want ([ 0, 1 ], [ 1, 2 ], [])
		{
			my $list = json_bytes([ map { { value => $u[$_], display => 'x' } } @$want ]);
			$r = $put ? $c->put("/Groups/" . path_id($group), qq({"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"id":"$group","displayName":"Renamed","members":$list}))
			  : $c->patch("/Groups/" . path_id($group), qq({"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"replace","path":"members","value":$list}]}));
			accepted($r, 'push of ' . @$want . ' members');
			is($t->sql(sprintf $s->{members}, $group), join(',', map { 'u' . ($_ + 1) . '@okta.local' } @$want), 'SQL: those are the members');
		}
		status_is($c->delete("/Groups/" . path_id($group)), 204, 'delete the group');
	}
	list_is($c->get('/Users?startIndex=2&count=1'), 3 + $others, 'a page');
	status_is($c->delete("/Users/" . path_id($_)), 204, 'delete a user') for @u;
	return;
}

1;
