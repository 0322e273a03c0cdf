# 009_tenants.pl - two endpoints on the built-in store: nothing of one can be
# seen, referred to, changed, counted or inferred through the other.  What
# exists there and what exists nowhere are answered with the same bytes.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use ScimTest;
use Test::More;
use Time::HiRes qw(time);

ScimTest->watchdog(90);

my $t = ScimTest->start(listeners => 2);
my $enterprise = ENTERPRISE;
my $marker = 'onlyofa';

# Base paths of equal length, so that answers can be compared as bytes.
$t->create_endpoint($_, base_path => "/t/$_") for 'a', 'b';
my $a = $t->client(base_path => '/t/a', token => $t->create_token('a'));
my $b = $t->client(base_path => '/t/b', token => $t->create_token('b'));

# What exists in A.
my $r = $a->post('/Users', { schemas => [CORE_USER], userName => "$marker\@example.org", externalId => "$marker-x", displayName => $marker,
	emails => [ { type => 'work', value => "$marker\@example.org" } ], $enterprise => { department => $marker } });
status_is($r, 201, 'a user in A') or BAIL_OUT($r->text);
my $user = $r->id;
my $etag = $r->header('etag');
$r = $a->post('/Groups', { schemas => [CORE_GROUP], displayName => $marker, externalId => "$marker-g", members => [ { value => $user } ] });
status_is($r, 201, 'a group in A');
my $group = $r->id;
my $nowhere = '11111111-2222-4333-8444-555555555555';

sub state_of
{
	my ($tenant) = @_;
	return $t->sql(qq{
		SELECT coalesce(md5(string_agg(x, ',' ORDER BY x)), 'nothing') FROM (
			SELECT u::text FROM scim.users u WHERE tenant = '$tenant' UNION ALL
			SELECT e::text FROM scim.user_emails e WHERE tenant = '$tenant' UNION ALL
			SELECT g::text FROM scim.groups g WHERE tenant = '$tenant' UNION ALL
			SELECT m::text FROM scim.group_members m WHERE tenant = '$tenant' UNION ALL
			SELECT p::text FROM scim.pending_members p WHERE tenant = '$tenant') t(x)});
}

# An answer as one string, with the id that was asked for taken out.
sub shape
{
	my ($reply, @ids) = @_;
	my $text = join("\n", $reply->status, map({ "$_: " . $reply->header($_) } grep { !/^(date|connection)$/ } sort keys %{ $reply->{headers} }), $reply->text);
	$text =~ s/\Q$_\E/ID/g for @ids;
	return $text;
}

my $before = state_of('a');

subtest 'ids of the other tenant do not exist' => sub {
	for my $type ('Users', 'Groups')
	{
		my ($id, $body, $ops) = $type eq 'Users'
		  ? ($user, { schemas => [CORE_USER], userName => 'x' }, [ { op => 'replace', path => 'title', value => 'x' } ])
		  : ($group, { schemas => [CORE_GROUP], displayName => 'x' }, [ { op => 'replace', path => 'displayName', value => 'x' } ]);
		my %try = (
			'GET' => sub { $b->get("/$type/$_[0]") },
			'GET with attributes' => sub { $b->get("/$type/$_[0]?attributes=id") },
			'GET If-None-Match' => sub { $b->get("/$type/$_[0]", headers => { 'If-None-Match' => $etag }) },
			'PUT' => sub { $b->put("/$type/$_[0]", $body) },
			'PUT If-Match *' => sub { $b->put("/$type/$_[0]", $body, headers => { 'If-Match' => '*' }) },
			'PATCH' => sub { $b->patch("/$type/$_[0]", $ops) },
			'PATCH If-Match' => sub { $b->patch("/$type/$_[0]", $ops, headers => { 'If-Match' => $etag }) },
			'PATCH that is wrong' => sub { $b->patch("/$type/$_[0]", '{') },
			'DELETE' => sub { $b->delete("/$type/$_[0]") },
			'DELETE If-Match' => sub { $b->delete("/$type/$_[0]", headers => { 'If-Match' => $etag }) });
		for my $name (sort keys %try)
		{
			my ($foreign, $none) = ($try{$name}->($id), $try{$name}->($nowhere));
			is($foreign->status, 404, "$name /$type");
			is(shape($foreign, $id, $nowhere), shape($none, $id, $nowhere), 'the same as for an id that is nowhere');
		}
	}
	is(state_of('a'), $before, 'A is as it was');
};

subtest 'lists and filters' => sub {
	list_is($b->get('/Users'), 0, 'no users');
	list_is($b->get('/Groups'), 0, 'no groups');
	for my $f (qq(id eq "$user"), qq(userName eq "$marker\@example.org"), qq(externalId eq "$marker-x"), qq(displayName co "$marker"), qq(emails.value sw "$marker"),
		'userName pr', 'not (userName eq "x")', 'title eq null', qq(meta.location co "$user"), qq($enterprise:department eq "$marker"), qq(groups.value eq "$group"),
		'meta.created gt "2000-01-01T00:00:00Z"', 'active ne true')
	{
		my $list = $b->filter('/Users', $f);
		# what cannot be filtered on is refused, and the same for A
		if ($list->status == 400) { is($a->filter('/Users', $f)->status, 400, "$f: refused for everybody"); next }
		list_is($list, 0, $f);
	}
	for my $f (qq(id eq "$group"), qq(displayName eq "$marker"), qq(members eq "$user"), qq(members.value eq "$user"), qq(members[value eq "$user"]), qq(id eq "$group" and members eq "$user"),
		'members pr', 'displayName pr', qq(externalId eq "$marker-g"))
	{
		list_is($b->filter('/Groups', $f), 0, $f);
	}
	for my $q ('startIndex=1&count=0', 'sortBy=userName', 'startIndex=2&count=1', "startIndex=1&count=5&sortBy=meta.created&sortOrder=descending")
	{
		list_is($b->get("/Users?$q"), 0, $q);
	}
};

subtest 'unique names are unique in their tenant' => sub {
	$r = $b->post('/Users', { schemas => [CORE_USER], userName => uc "$marker\@example.org", externalId => "$marker-x" });
	status_is($r, 201, 'the same userName and externalId in B');
	isnt($r->id, $user, 'is another user');
	status_is($a->get("/Users/" . $r->id), 404, 'that A does not know');
	list_is($a->filter('/Users', qq(userName eq "$marker\@example.org")), 1, 'A finds its own');
	list_is($b->filter('/Users', qq(userName eq "$marker\@example.org")), 1, 'B finds its own');
	status_is($b->delete('/Users/' . $r->id), 204, 'B deletes it');
	status_is($a->get("/Users/$user"), 200, 'A has its own still');
	status_is($b->post('/Groups', { schemas => [CORE_GROUP], displayName => $marker }), 201, 'the same name of a group');
	is(state_of('a'), $before, 'A is as it was');
	$t->sql("DELETE FROM scim.groups WHERE tenant = 'b'");
};

subtest 'references' => sub {
	# An unknown member is kept as pending; a foreign one is just as unknown.
	my (%shape, %group);
	for my $id ($user, $nowhere, $group)
	{
		my $made = $b->post('/Groups', { schemas => [CORE_GROUP], displayName => 'refers', members => [ { value => $id } ] });
		my $read = $b->get('/Groups/' . $made->id);
		my $found = $b->filter('/Groups', qq(members eq "$id"));
		$group{$id} = $made->id;
		my @shapes = map { shape($_, $made->id, $id) } $made, $read, $found;
		# times, whose length may differ
		s/"(created|lastModified)"\s*:\s*"[^"]*"/"$1"/g for @shapes;
		s/^content-length: .*$//m for @shapes;
		$shape{$id} = join("\n", @shapes);
	}
	is($shape{$user}, $shape{$nowhere}, 'a member that is a user of A is like one that is nowhere');
	is($shape{$group}, $shape{$nowhere}, 'so is a group of A');
	unlike($shape{$user}, qr/$marker/, 'nothing of it is shown');
	is($t->sql("SELECT count(*) FROM scim.group_members WHERE tenant = 'b'"), '0', 'SQL: there is no membership');
	$r = $b->patch('/Groups/' . $group{$nowhere}, [ { op => 'add', path => 'members', value => [ { value => $user } ] } ]);
	accepted($r, 'PATCH as well');
	my $seen = $a->get("/Users/$user")->json;
	is_deeply([ map { $_->{value} } @{ $seen->{groups} } ], [$group], 'A shows only the group of A');
	accepted($b->patch("/Groups/$group{$user}", [ { op => 'remove', path => qq(members[value eq "$user"]) } ]), 'removing it from the group of B');
	is_deeply([ map { $_->{value} } @{ $a->get("/Groups/$group")->json->{members} } ], [$user], 'leaves it in the group of A');

	# manager
	$r = $b->post('/Users', { schemas => [CORE_USER], userName => 'report', $enterprise => { manager => { value => $user } } });
	status_is($r, 201, 'a manager from A');
	$r = $b->get('/Users/' . $r->id);
	unlike($r->text, qr/$marker/, 'shows nothing of it');
	my $none = $b->post('/Users', { schemas => [CORE_USER], userName => 'repor2', $enterprise => { manager => { value => $nowhere } } });
	is_deeply([ sort keys %{ $r->json->{$enterprise}{manager} || {} } ], [ sort keys %{ $none->json->{$enterprise}{manager} || {} } ], 'like a manager that is nowhere');
	is(state_of('a'), $before, 'A is as it was');

	# ids given by a client are ignored, so that no row of A can be hit
	$r = $b->post('/Users', { schemas => [CORE_USER], id => $user, userName => 'sameid', meta => { location => "http://x/t/a/Users/$user" } });
	status_is($r, 201, 'a POST with the id of a user of A');
	isnt($r->id, $user, 'gets an id of its own');
	$r = $b->put('/Users/' . $r->id, { schemas => [CORE_USER], id => $user, userName => 'sameid2' });
	status_is($r, 200, 'a PUT with it');
	isnt($r->id, $user, 'changes its own');
	is(state_of('a'), $before, 'A is as it was');

	# what A deletes does not change what B has of it
	my $of_b = state_of('b');
	my $temp = $a->post('/Users', { schemas => [CORE_USER], userName => 'temp' })->id;
	status_is($a->delete("/Users/$temp"), 204, 'A deletes a user');
	is(state_of('b'), $of_b, 'B is as it was');
	$t->sql("DELETE FROM scim.users WHERE tenant = 'b'; DELETE FROM scim.groups WHERE tenant = 'b'");
};

subtest 'a pending member becomes real only in its own tenant' => sub {
	# A knows the future id of nobody; but a row of A with the id that B waits for
	# must not become its member.
	my $waiting = $b->post('/Groups', { schemas => [CORE_GROUP], displayName => 'waiting', members => [ { value => $nowhere } ] })->id;
	$t->sql("INSERT INTO scim.users (tenant, id, user_name) VALUES ('a', '$nowhere', 'coincidence')");
	is($a->get("/Users/$nowhere")->json->{groups}, undef, 'the user of A is in no group');
	$r = $b->get("/Groups/$waiting");
	unlike($r->text, qr/coincidence|Users\/$nowhere/, 'the group of B does not show it');
	is($t->sql("SELECT count(*) FROM scim.group_members WHERE tenant = 'b'"), '0', 'SQL: there is no membership');
	$t->sql("DELETE FROM scim.users WHERE id = '$nowhere'; DELETE FROM scim.groups WHERE tenant = 'b'");
};

subtest 'tokens and paths' => sub {
	for my $path ('/Users', "/Users/$user", '/Groups', '/ServiceProviderConfig')
	{
		is($a->with(url => $b->{url})->get($path)->status, 401, "the token of A on the path of B: $path");
		is($b->with(url => $a->{url})->get($path)->status, 401, "the token of B on the path of A: $path");
	}
	$r = $b->get('/../a/Users');
	cmp_ok($r->status, '>=', 400, 'no way up the path');
	unlike($r->text, qr/$marker/, 'in any spelling');
	$r = $b->get('/%2e%2e/a/Users');
	cmp_ok($r->status, '>=', 400, 'no way up the path, encoded');
};

# ---- whatever A does, B stays, and the other way round ----

subtest 'random requests of A on what B has' => sub {
	my @b_users = map { $b->post('/Users', { schemas => [CORE_USER], userName => "b$_", emails => [ { value => "b$_\@b" } ] })->id } 1 .. 5;
	my @b_groups = map { $b->post('/Groups', { schemas => [CORE_GROUP], displayName => "gb$_", members => [ map { { value => $_ } } @b_users ] })->id } 1 .. 3;
	my $view = sub { return $b->get('/Users?count=100')->text . $b->get('/Groups?count=100')->text };
	my ($of_b, $seen_by_b) = (state_of('b'), $view->());
	my @mine = ($user);
	my @my_groups = ($group);
	my ($n, $shown, %status) = (0, 0);

	srand(20261125);
	my $any = sub { return $_[ int rand @_ ] };
	for (1 .. 400)
	{
		my $id = $any->(@b_users, @mine, $nowhere);
		my $gid = $any->(@b_groups, @my_groups, $nowhere);
		my $member = $any->(@b_users, @mine, @b_groups, 'b1', $nowhere);
		my $x = $any->(
			sub { $a->post('/Users', { schemas => [CORE_USER], id => $id, userName => 'b' . $any->(1 .. 9), externalId => $id }) },
			sub { $a->put("/Users/$id", { schemas => [CORE_USER], id => $any->(@b_users), userName => 'b' . $any->(1 .. 9) }) },
			sub { $a->patch("/Users/$id", [ { op => 'replace', path => 'userName', value => 'b' . $any->(1 .. 9) } ]) },
			sub { $a->patch("/Users/$id", [ { op => 'add', path => "$enterprise:manager", value => $any->(@b_users) } ]) },
			sub { $id eq $user ? $a->get("/Users/$id") : $a->delete("/Users/$id") },
			sub { $a->post('/Groups', { schemas => [CORE_GROUP], displayName => 'gb1', members => [ { value => $member } ] }) },
			sub { $a->put("/Groups/$gid", { schemas => [CORE_GROUP], displayName => 'gb2', members => [ { value => $member }, { value => $id } ] }) },
			sub { $a->patch("/Groups/$gid", [ { op => 'add', path => 'members', value => [ { value => $member } ] } ]) },
			sub { $a->patch("/Groups/$gid", [ { op => 'remove', path => 'members', value => [ { value => $member } ] } ]) },
			sub { $a->patch("/Groups/$gid", [ { op => 'remove', path => qq(members[value eq "$member"]) } ]) },
			sub { $a->patch("/Groups/$gid", [ { op => 'replace', path => 'members', value => [ { value => $member } ] } ]) },
			sub { $gid eq $group ? $a->get("/Groups/$gid") : $a->delete("/Groups/$gid") },
			sub { $a->filter('/Groups', qq(members eq "$member")) },
			sub { $a->filter('/Users', qq(id eq "$id" or userName sw "b")) });
		my $answer = $x->();
		$status{ $answer->status }++;
		$n++ if $answer->status >= 500;
		$shown++ if $answer->text =~ /b\d\@b/;
		if ($answer->status == 201)
		{
			if ($answer->json->{userName}) { push @mine, $answer->id }
			else { push @my_groups, $answer->id }
		}
	}
	is($n, 0, 'no 5xx');
	is($shown, 0, 'no answer shows a value of B');
	is(state_of('b'), $of_b, 'SQL: B is as it was');
	is($view->(), $seen_by_b, 'HTTP: so it looks to B');
	is($t->sql(q{SELECT count(*) FROM scim.group_members m WHERE NOT EXISTS (SELECT FROM scim.groups g WHERE (g.tenant, g.id) = (m.tenant, m.group_id))}), '0', 'every membership is within its tenant');
	note(join(', ', map { "$_: $status{$_}" } sort keys %status));
};

$t->no_crash;
done_testing();
