# 008_errors.pl - bad input is a 4xx SCIM error that names the thing, echoes
# nothing, and stores nothing; never a 5xx.  Concurrent creates of one name:
# one succeeds.  Limits at their edges.  At the end some thousand mutated
# requests from a seed.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use ScimTest;
use Test::More;
use Time::HiRes qw(sleep time);

use PostgreSQL::Test::Utils ();

ScimTest->watchdog(110);

my $t = ScimTest->start(listeners => 2);
my $c = $t->client;
my $enterprise = ENTERPRISE;
my $user = $c->post('/Users', { schemas => [CORE_USER], userName => 'user@example.org', title => 'T',
	emails => [ { type => 'work', value => 'user@example.org' } ] })->id;
ok($user, 'there is a user') or BAIL_OUT('nothing works');
my $other = $c->post('/Users', { schemas => [CORE_USER], userName => 'other@example.org' })->id;
my $group = $c->post('/Groups', { schemas => [CORE_GROUP], displayName => 'G', members => [ { value => $user } ] })->id;
my $put = $c->post('/Users', { schemas => [CORE_USER], userName => 'put@example.org' })->id;
my $users = 3;
my $digest = $t->store_digest;
my @pids = $t->listener_pids;

# Nothing of a refused request may be stored.
sub unchanged
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $now = $t->store_digest;
	is($now, $digest, $name || 'nothing was stored');
	$digest = $now;
	return;
}

my $canary = 'canary7f3a';

sub core { return sprintf('{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],%s}', $_[0]) }
sub op { return sprintf('{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[%s]}', $_[0]) }

subtest 'bodies that are no JSON object' => sub {
	my %bad = (
		'empty' => '', 'cut off' => '{"schemas":', 'array' => '[]', 'string' => '"x"', 'number' => '7', 'null' => 'null', 'more behind' => '{} x',
		'two objects' => '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"x"}{}',
		'comma' => '{"userName":"x",}', 'quotes' => "{'userName':'x'}", 'no UTF-8' => "{\"userName\":\"\xff\"}",
		'overlong UTF-8' => "{\"userName\":\"\xc0\xaf\"}", 'surrogate in UTF-8' => "{\"userName\":\"\xed\xa0\x80\"}",
		'lone surrogate' => core('"userName":"\ud800"'), 'raw control' => "{\"userName\":\"a\nb\"}", 'raw NUL' => "{\"userName\":\"a\0b\"}",
		'the same name twice' => core('"userName":"a","userName":"b"'), 'twice in another case' => core('"userName":"a","username":"b"'),
		'NaN' => core('"userName":"a","x":NaN'), 'hex' => core('"userName":"a","x":0x1'));
	for my $name (sort keys %bad)
	{
		error_is($c->post('/Users', $bad{$name}), 400, 'invalidSyntax', undef, "POST: $name");
		error_is($c->put("/Users/$user", $bad{$name}), 400, 'invalidSyntax', undef, "PUT: $name");
		error_is($c->patch("/Users/$user", $bad{$name}), 400, undef, undef, "PATCH: $name");
	}
	error_is($c->post('/Users', core('"userName":"a\u0000b"')), 400, 'invalidValue', qr/userName|position/, 'U+0000');
	status_is($c->get("/Users/$user"), 200, 'the connection lives');
	unchanged();
};

subtest 'wrong types and values' => sub {
	my @bad = (
		[ 'userName', '"userName":5' ], [ 'userName', '"userName":true' ], [ 'userName', '"userName":{}' ], [ 'userName', '"userName":[]' ],
		[ 'userName', '"userName":null' ], [ 'userName', '"userName":""' ], [ 'userName', '"title":"x"' ], [ 'userName', '"userName":["x","y"]' ],
		[ 'name', qq("userName":"$canary","name":"$canary") ], [ 'givenName', qq("userName":"$canary","name":{"givenName":7}) ],
		[ 'active', qq("userName":"$canary","active":1) ], [ 'active', qq("userName":"$canary","active":"$canary") ], [ 'active', qq("userName":"$canary","active":{}) ],
		[ 'emails', qq("userName":"$canary","emails":"$canary") ], [ 'emails', qq("userName":"$canary","emails":[7]) ],
		[ 'emails', qq("userName":"$canary","emails":[{"value":7}]) ], [ 'primary', qq("userName":"$canary","emails":[{"value":"a","primary":"$canary"}]) ],
		[ 'emails|primary', qq("userName":"$canary","emails":[{"value":"a","primary":true},{"value":"b","primary":true}]) ],
		[ 'title', qq("userName":"$canary","title":{"$canary":1}) ], [ 'title', qq("userName":"$canary","title":1.5) ],
		[ 'x509Certificates', qq("userName":"$canary","x509Certificates":[{"value":"***"}]) ],
		[ 'department', qq("userName":"$canary","$enterprise":{"department":7}) ], [ 'enterprise', qq("userName":"$canary","$enterprise":7) ]);
	for (@bad)
	{
		my ($attribute, $json) = @$_;
		my $r = $c->post('/Users', core($json));
		error_is($r, 400, 'invalidValue', qr/$attribute/, "POST {$json}");
		unlike($r->text, qr/$canary/, 'which does not echo the value') if $r->status != 201 && $r->text =~ /$canary/;
		# what should have been refused must not disturb the rest
		$c->delete('/Users/' . $r->id) if $r->status == 201;
		next if $json =~ /^"title/;
		$r = $c->put("/Users/$put", core($json));
		error_is($r, 400, 'invalidValue', qr/$attribute/, "PUT {$json}");
	}
	error_is($c->post('/Groups', '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"]}'), 400, 'invalidValue', qr/displayName/, 'a group without displayName');
	error_is($c->post('/Groups', '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"x","members":[{"value":7}]}'), 400, 'invalidValue', qr/members|value/, 'a member that is a number');
	error_is($c->post('/Groups', '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"x","members":"y"}'), 400, 'invalidValue', qr/members/, 'members that are a string');
	error_is($c->post('/Users', '{"schemas":[7],"userName":"x"}'), 400, undef, qr/schemas/, 'schemas that is a number');
	unchanged();
};

subtest 'PATCH' => sub {
	my @bad = (
		[ 'invalidPath', qr/shoeSize/, '{"op":"replace","path":"shoeSize","value":1}' ],
		[ 'invalidPath', qr/shoeSize/, '{"op":"replace","path":"name.shoeSize","value":1}' ],
		[ 'invalidPath', undef, '{"op":"replace","path":"emails[","value":1}' ],
		[ 'invalidPath', undef, '{"op":"replace","path":"/emails/0","value":1}' ],
		[ undef, undef, '{"op":"replace","path":"","value":1}' ],
		[ 'invalidPath', undef, '{"op":"replace","path":"urn:x:y:title","value":1}' ],
		[ 'invalidFilter', undef, '{"op":"replace","path":"emails[type eq]","value":1}' ],
		[ 'invalidFilter', qr/shoeSize/, '{"op":"replace","path":"emails[shoeSize eq 1].value","value":"x"}' ],
		[ 'invalidValue', qr/active/, '{"op":"replace","path":"active","value":"maybe"}' ],
		[ 'invalidValue', qr/active/, '{"op":"Replace","path":"active","value":{}}' ],
		[ 'invalidValue', qr/active/, '{"op":"replace","value":{"active":[false,true]}}' ],
		[ 'invalidValue', qr/active/, '{"op":"Replace","path":"active","value":"0"}' ],
		[ 'invalidValue', qr/title/, '{"op":"replace","path":"title","value":7}' ],
		[ 'invalidValue', qr/title/, '{"op":"replace","value":{"title":7}}' ],
		[ undef, undef, '{"op":"add","path":"title"}' ], [ undef, undef, '{"op":"replace"}' ], [ undef, undef, '{"op":"replace","value":7}' ],
		[ 'invalidSyntax', qr/op\b/, '{"op":"move","path":"title","value":"x"}' ], [ 'invalidSyntax', undef, '{"path":"title","value":"x"}' ],
		[ 'invalidSyntax', undef, '{"op":7,"path":"title","value":"x"}' ], [ 'invalidSyntax', undef, '7' ],
		[ undef, undef, '{"op":"replace","path":7,"value":"x"}' ],
		[ 'mutability', qr/\bid\b/, '{"op":"replace","path":"id","value":"x"}' ], [ 'mutability', qr/meta/, '{"op":"add","path":"meta.created","value":"x"}' ],
		[ 'mutability', qr/groups/, '{"op":"add","path":"groups","value":[{"value":"x"}]}' ],
		[ 'mutability', qr/userName/, '{"op":"remove","path":"userName"}' ],
		[ 'noTarget', undef, '{"op":"remove"}' ],
		[ 'noTarget', undef, '{"op":"add","path":"emails[value co \"zzz\"].display","value":"x"}' ],
		[ 'invalidValue', qr/emails|primary/, '{"op":"replace","path":"emails","value":[{"value":"a","primary":true},{"value":"b","primary":true}]}' ]);
	for (@bad)
	{
		my ($type, $pattern, $json) = @$_;
		error_is($c->patch("/Users/$user", op($json)), 400, $type, $pattern, "PATCH $json");
		# an operation that succeeds before it is undone
		error_is($c->patch("/Users/$user", op(qq({"op":"replace","path":"title","value":"changed"},$json))), 400, $type, undef, "the same as the second operation");
	}
	error_is($c->patch("/Users/$user", op('{"op":"replace","path":"title","value":"x"},{"op":"replace","path":"shoeSize","value":1}')), 400, 'invalidPath', qr/Operations\[1\]/, 'the detail names the operation');
	error_is($c->patch("/Users/$user", $_), 400, 'invalidSyntax', undef, $_)
	  for '{}', '{"Operations":{}}', '{"Operations":7}', '{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"]}', '{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":"x"}';
	error_is($c->patch("/Groups/$group", op(qq({"op":"replace","path":"members[value eq \\"$user\\"].value","value":"x"}))), 400, 'mutability', qr/value/, 'the value of a member cannot be changed');
	unchanged();
};

subtest 'what is not there' => sub {
	for my $id ('nobody', '00000000-0000-4000-8000-000000000000', $group, uc $user, 'a%2Fb', '%00', "$user%20", '-1', '1e9', '%F0%9F%98%80', 'x' x 300)
	{
		next if $id eq $user;
		my $want = $id =~ /%00|%2F/ ? qr/^40[04]$/ : qr/^404$/;
		for my $r ($c->get("/Users/$id"), $c->put("/Users/$id", core('"userName":"x"')), $c->patch("/Users/$id", op('{"op":"replace","path":"title","value":"x"}')), $c->delete("/Users/$id"))
		{
			like($r->status, $want, substr($id, 0, 40)) or diag($r->text);
			ok($r->json && $r->json->{status} eq $r->status, 'with an Error body');
		}
	}
	error_is($c->patch('/Users/nobody', 'no JSON at all'), 404, undef, undef, 'an unknown id comes before the body');
	for my $path ('/Nothing', '/users/x/y', "/Users/$user/x", '/Schemas/urn:x', '/ResourceTypes/Nothing', '/v3/Users', '/Users.scim', "/Users/$user.scim")
	{
		error_is($c->get($path), 404, undef, undef, "GET $path");
	}
	unchanged();
};

subtest 'methods' => sub {
	for (['PUT', '/Users', 'GET, POST'], ['DELETE', '/Users', 'GET, POST'], ['PATCH', '/Groups', 'GET, POST'], ['POST', "/Users/$user", 'GET, PUT, PATCH, DELETE'],
		['POST', '/Schemas', 'GET'], ['DELETE', '/ServiceProviderConfig', 'GET'], ['PUT', '/ResourceTypes/User', 'GET'], ['PATCH', '/Schemas/' . CORE_USER, 'GET'])
	{
		my ($method, $path, $allowed) = @$_;
		my $r = $c->request($method, $path, $method eq 'DELETE' ? undef : core('"userName":"x"'), headers => { 'X-HTTP-Method-Override' => 'PATCH' });
		error_is($r, 405, undef, undef, "$method $path");
		my %got = map { $_ => 1 } split /,\s*/, $r->header('allow') || '';
		is(join(' ', grep { !$got{$_} } split /, /, $allowed), '', 'Allow names what is') or diag($r->header('allow') || 'no Allow');
	}
	unchanged();
};

subtest 'filters and parameters' => sub {
	my @bad = (
		'userName eq', 'userName', 'eq "x"', 'userName eq "x" and', '(userName eq "x"', 'userName eq "x")', 'userName eq "x', 'userName regex "x"', 'userName eq x', 'userName eq 5',
		'shoeSize eq 1', 'name eq "x"', 'name.shoeSize eq "x"', 'emails[userName eq "x"]', 'emails[type eq "work"', 'active gt true', 'active co true', 'active eq "maybe"',
		'meta.created gt "yesterday"', 'password eq "x"', 'password pr', 'userName eq "\ud800"', 'userName gt null', 'not userName eq "x"', 'userName eq "x" userName eq "y"',
		'userName eq "x" or', '""', 'userName eq {}', 'userName eq [1]', "userName eq 'x'", 'urn:x:y:userName eq "x"');
	for my $f (@bad)
	{
		error_is($c->filter('/Users', $f), 400, 'invalidFilter', undef, $f);
	}
	error_is($c->filter('/Users', 'userName regex "x"'), 400, 'invalidFilter', qr/regex/, 'the operator is named');
	error_is($c->filter('/Users', 'shoeSize eq 1'), 400, 'invalidFilter', qr/shoeSize/, 'the attribute is named');
	error_is($c->get('/Users?filter=userName+pr&filter=title+pr'), 400, 'invalidFilter', undef, 'two filters');
	error_is($c->get('/Users?filter=userName+eq+%22%ff%22'), 400, undef, undef, 'no UTF-8');
	list_is($c->filter('/Users', q(userName eq "'; DROP TABLE scim.users; --")), 0, 'SQL is only text');
	list_is($c->filter('/Users', q(userName co "%")), 0, 'a per cent sign is one');
	list_is($c->filter('/Users', q(userName co "_")), 0, 'an underscore as well');
	for my $q ('count=abc', 'count=1.5', 'startIndex=99999999999999999999', 'startIndex=x', 'count=99999999999999999999', 'count=1e3', 'sortBy=userName&sortOrder=sideways')
	{
		error_is($c->get("/Users?$q"), 400, 'invalidValue', undef, $q);
	}
	error_is($c->get('/Users?sortBy=shoeSize'), 400, undef, qr/shoeSize|sortBy/, 'sortBy of an unknown attribute');
	error_is($c->get('/Users?attributes=userName&excludedAttributes=title'), 400, 'invalidValue', undef, 'attributes and excludedAttributes');
	my $r = $c->get('/Users?startIndex=-5&count=-1');
	list_is($r, $users, 'a negative count');
	is($r->json->{startIndex}, 1, 'a negative startIndex is 1');
	is($r->json->{itemsPerPage}, 0, 'a negative count is 0');
	list_is($c->get('/Users?count=100000'), $users, 'a count over the limit is clipped');
	list_is($c->get('/Users?startIndex=1000000000'), $users, 'beyond the end');
	error_is($c->get('/Users', accept => 'text/html'), 406, undef, undef, 'Accept: text/html');
	unchanged();
};

subtest 'limits' => sub {
	my $base = core('"userName":"' . 'limit%s@example.org' . '"%s');
	my $post = sub { my ($n, $more) = @_; return $c->post('/Users', sprintf($base, $n, $more)) };
	my $undo = sub { my ($r) = @_; $c->delete('/Users/' . $r->id) if $r->id; return };
	my ($r, $len);

	# body: 1 MiB
	my $pad = sub { my ($size) = @_; my $json = sprintf($base, 1, ''); return $json . ' ' x ($size - length $json) };
	$r = $c->post('/Users', $pad->(1024 * 1024));
	status_is($r, 201, 'a body of 1 MiB');
	$undo->($r);
	$r = $t->client(keep_alive => 0)->post('/Users', $pad->(1024 * 1024 + 1));
	error_is($r, 413, undef, undef, 'one byte more');
	my $raw = $t->raw;
	$r = $raw->exchange("POST /api/v2/scim/Users HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " . $t->token . "\r\nContent-Type: application/json\r\nContent-Length: 1000000000\r\n\r\n{");
	ok($r && $r->status == 413, 'a body of 1 GB is refused before it comes') or diag($r ? $r->status : 'no answer');
	$raw->close;

	# JSON: depth 32, string 256 KiB
	my $nest = sub { my ($n) = @_; return ',"x":' . '[' x $n . ']' x $n };
	for (31, 32, 33, 10_000)
	{
		$r = $post->(1, $nest->($_ - 1));
		if ($_ <= 32) { status_is($r, 201, "depth $_"); $undo->($r) }
		else { error_is($r, 400, 'invalidSyntax', undef, "depth $_") }
	}
	for (256 * 1024, 256 * 1024 + 1)
	{
		$r = $post->(1, ',"x":"' . 'y' x $_ . '"');
		if ($_ <= 256 * 1024) { status_is($r, 201, "a string of $_ bytes"); $undo->($r) }
		else { error_is($r, 400, 'invalidSyntax', undef, "a string of $_ bytes") }
	}
	error_is($post->(1, ',"x":[' . join(',', (1) x 201_000) . ']'), 400, 'invalidSyntax', undef, '201,000 tokens');

	# userName: 1 KiB
	for (1024, 1025)
	{
		$r = $c->post('/Users', core('"userName":"' . 'n' x $_ . '"'));
		if ($_ <= 1024) { status_is($r, 201, "userName of $_ bytes"); $undo->($r) }
		else { error_is($r, 400, 'invalidValue', qr/userName/, "userName of $_ bytes") }
	}

	# filters: 4 KiB, 64 comparisons, depth 32, operand 1 KiB
	for (63, 64, 65)
	{
		$r = $c->filter('/Users', join(' or ', ('title eq "a"') x $_));
		if ($_ <= 64) { list_is($r, 0, "$_ comparisons") }
		else { error_is($r, 400, 'invalidFilter', undef, "$_ comparisons") }
	}
	for (1024, 1025)
	{
		$r = $c->filter('/Users', 'title eq "' . 'x' x $_ . '"');
		if ($_ <= 1024) { list_is($r, 0, "an operand of $_ bytes") }
		else { error_is($r, 400, 'invalidFilter', undef, "an operand of $_ bytes") }
	}
	list_is($c->filter('/Users', '(' x 30 . 'title eq "a"' . ')' x 30), 0, 'parentheses 30 deep');
	error_is($c->filter('/Users', '(' x 34 . 'title eq "a"' . ')' x 34), 400, 'invalidFilter', undef, 'parentheses 34 deep');
	error_is($c->filter('/Users', 'not(' x 500 . 'title pr' . ')' x 500), 400, 'invalidFilter', undef, 'not 500 deep');
	error_is($c->get('/Users?filter=title+eq+%22a%22' . '+' x 4096), 400, 'invalidFilter', undef, 'a filter over 4 KiB');

	# URL 8 KiB, head 16 KiB
	$r = $t->raw->exchange("GET /api/v2/scim/Users?x=" . 'y' x 9000 . " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " . $t->token . "\r\n\r\n");
	ok($r && $r->status == 414, 'a URL over 8 KiB') or diag($r ? $r->status : 'no answer');
	$r = $t->raw->exchange("GET /api/v2/scim/Users HTTP/1.1\r\nHost: x\r\nX-Pad: " . 'y' x 20_000 . "\r\nAuthorization: Bearer " . $t->token . "\r\n\r\n");
	ok($r && $r->status == 431, 'a head over 16 KiB') or diag($r ? $r->status : 'no answer');

	# PATCH: 1,000 operations
	my $etag = $c->get("/Users/$user")->header('etag');
	$r = $c->patch("/Users/$user", op(join(',', ('{"op":"replace","path":"title","value":"T"}') x 1000)));
	status_is($r, 200, '1,000 operations');
	is($r->header('etag'), $etag, 'that change nothing');
	error_is($c->patch("/Users/$user", op(join(',', ('{"op":"replace","path":"title","value":"T"}') x 1001))), 413, undef, qr/1,?000/, '1,001 operations');
	unchanged();
};

subtest 'constraints of the schema' => sub {
	error_is($c->put("/Users/$user", core('"userName":"OTHER@example.org"')), 409, 'uniqueness', qr/userName/, 'PUT of a taken userName');
	my $r = $c->patch("/Users/$user", op('{"op":"replace","path":"userName","value":"Other@Example.org"}'));
	error_is($r, 409, 'uniqueness', qr/userName/, 'PATCH of a taken userName');
	unlike($r->text, qr/\Q$other\E|users_user_name|duplicate key/, 'the answer tells neither the other user nor SQL');
	error_is($c->delete("/Users/$user", headers => { 'If-Match' => 'W/"stale"' }), 412, undef, undef, 'DELETE with a stale version');
	error_is($c->patch("/Users/$user", op('{"op":"replace","path":"title","value":"x"}'), headers => { 'If-Match' => 'W/"stale"' }), 412, undef, undef, 'PATCH with a stale version');
	error_is($c->put("/Users/$user", core('"userName":"x"'), headers => { 'If-Match' => 'abc' }), 412, undef, undef, 'PUT with a malformed version');
	status_is($c->get("/Users/$user", headers => { 'If-None-Match' => $c->get("/Users/$user")->header('etag') }), 304, 'If-None-Match');
	unchanged();
};

subtest 'one name, many clients' => sub {
	my $clients = 8;
	my $rounds = 12;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my $start = time + 1.5;
	my @pids = fork_clients($clients, sub {
		my ($i) = @_;
		my $mine = $t->client;
		open(my $fh, '>', "$dir/$i") or die $!;
		$mine->get('/Users?count=0');
		for my $round (1 .. $rounds)
		{
			my $wait = $start + $round * 0.15 - time;
			sleep($wait) if $wait > 0;
			my $name = $i % 2 ? "race$round\@example.org" : "RACE$round\@Example.org";
			my $r = $mine->post('/Users', { schemas => [CORE_USER], userName => $name });
			print $fh join(' ', $round, $r->status, $r->json ? $r->json->{scimType} || '-' : '-'), "\n";
		}
		close $fh;
	});
	is(wait_children(@pids), 0, 'the clients end');
	my %status;
	for my $i (1 .. $clients)
	{
		for (split /\n/, PostgreSQL::Test::Utils::slurp_file("$dir/$i"))
		{
			my ($round, $what) = split / /, $_, 2;
			$status{$round}{$what}++;
		}
	}
	for my $round (1 .. $rounds)
	{
		is_deeply($status{$round}, { '201 -' => 1, '409 uniqueness' => $clients - 1 }, "round $round: one 201, the others 409");
	}
	is($t->sql("SELECT count(*) FROM scim.users WHERE user_name ILIKE 'race%'"), $rounds, 'SQL: one row each');
	$t->sql("DELETE FROM scim.users WHERE user_name ILIKE 'race%'");
	unchanged('and nothing else');
};

subtest 'one version, many writers' => sub {
	my ($clients, $rounds) = (5, 30);
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my $id = $c->post('/Users', { schemas => [CORE_USER], userName => 'counter@example.org', title => '0' })->id;
	my @pids = fork_clients($clients, sub {
		my ($i) = @_;
		my $mine = $t->client;
		open(my $fh, '>', "$dir/$i") or die $!;
		for (1 .. $rounds)
		{
			my $r = $mine->get("/Users/$id");
			my $next = $r->json->{title} + 1;
			my $w = $mine->patch("/Users/$id", [ { op => 'replace', path => 'title', value => "$next" } ], headers => { 'If-Match' => $r->header('etag') });
			print $fh $w->status, "\n";
		}
		close $fh;
	});
	is(wait_children(@pids), 0, 'the clients end');
	my %status;
	$status{$_}++ for map { split /\n/, PostgreSQL::Test::Utils::slurp_file("$dir/$_") } 1 .. $clients;
	is(join(' ', grep { !/^(200|412)$/ } sort keys %status), '', 'each write succeeds or is refused with 412');
	is($c->get("/Users/$id")->json->{title}, $status{200}, "the counter is the number of successes: $status{200}");
	status_is($c->delete("/Users/$id"), 204, 'delete');
	unchanged('and nothing else');
};

subtest 'many writers on few resources' => sub {
	my $clients = 6;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my @u = map { $c->post('/Users', { schemas => [CORE_USER], userName => "storm$_" })->id } 1 .. 5;
	my @g = map { $c->post('/Groups', { schemas => [CORE_GROUP], displayName => "storm$_", members => [ map { { value => $_ } } @u ] })->id } 1 .. 3;
	my $any = sub { return $_[ int rand @_ ] };
	my @pids = fork_clients($clients, sub {
		my ($i) = @_;
		my $mine = $t->client;
		srand(7919 * $i);
		open(my $fh, '>', "$dir/$i") or die $!;
		for (1 .. 100)
		{
			my ($x, $y, $h, $k) = ($any->(@u), $any->(@u), $any->(@g), $any->(@g));
			my $r = $any->(
				sub { $mine->patch("/Groups/$h", [ { op => 'add', path => 'members', value => [ map { { value => $_ } } $x, $y, $k ] } ]) },
				sub { $mine->patch("/Groups/$h", [ { op => 'remove', path => qq(members[value eq "$x"]) } ]) },
				sub { $mine->patch("/Groups/$h", [ { op => 'replace', path => 'members', value => [ map { { value => $_ } } @u ] } ]) },
				sub { $mine->put("/Groups/$h", { schemas => [CORE_GROUP], displayName => 'storm' . int rand 9, members => [ { value => $y }, { value => $x } ] }) },
				sub { $mine->put("/Users/$x", { schemas => [CORE_USER], userName => 'storm' . int rand 9, emails => [ { value => 'a' . int rand 3 }, { value => 'b' } ] }) },
				sub { $mine->patch("/Users/$x", [ { op => 'replace', path => 'emails[type eq "work"].value', value => 'z' . rand } ]) },
				sub { $mine->patch("/Users/$x", [ { op => 'add', path => 'emails', value => [ { value => 'q' . int rand 4, primary => TRUE } ] } ]) },
				sub { $mine->delete("/Users/$x") },
				sub { my $new = $mine->post('/Users', { schemas => [CORE_USER], userName => 'storm' . int rand 9 }); $u[ int rand @u ] = $new->id if $new->id; $new },
				sub { $mine->get('/Groups') })->();
			print $fh $r->status, "\n";
		}
		close $fh;
	});
	is(wait_children(@pids), 0, 'the clients end');
	my %status;
	$status{$_}++ for map { split /\n/, PostgreSQL::Test::Utils::slurp_file("$dir/$_") } 1 .. $clients;
	is(join(' ', grep { $_ >= 500 } sort keys %status), '', 'no 5xx');
	note(join(', ', map { "$_: $status{$_}" } sort keys %status));
	is($t->sql('SELECT count(*) FROM (SELECT FROM scim.user_emails WHERE is_primary GROUP BY tenant, user_id HAVING count(*) > 1) x'), '0', 'SQL: at most one primary e-mail of a user');
	$t->sql("DELETE FROM scim.users WHERE user_name LIKE 'storm%'; DELETE FROM scim.groups WHERE display_name LIKE 'storm%'");
	unchanged('and nothing else');
};

# ---- mutated requests ----

# A generator of its own, so that a seed is the same everywhere.
my $seed = $ENV{SCIM_TEST_SEED} || 20261125;
my $state = $seed;
sub rnd
{
	my ($n) = @_;
	$state = ($state * 1103515245 + 12345) & 0x7fffffff;
	return int(($state >> 8) % $n);
}
sub pick { return $_[ rnd(scalar @_) ] }

my @bodies = (
	[ 'POST', '/Users', core(qq("externalId":"e","userName":"fuzz","active":true,"name":{"givenName":"G","familyName":"F","formatted":"G F"},"emails":[{"value":"a\@b","type":"work","primary":true}],"phoneNumbers":[{"value":"+1","type":"mobile"}],"addresses":[{"country":"SE","type":"work"}],"roles":[],"$enterprise":{"department":"D","manager":{"value":"m"}})) ],
	[ 'PUT', "/Users/$user", core(qq("userName":"user\@example.org","title":"T","emails":[{"value":"user\@example.org","type":"work"}],"$enterprise":{"manager":"m"})) ],
	[ 'PATCH', "/Users/$user", op('{"op":"Replace","path":"emails[type eq \"work\"].value","value":"x@y"},{"op":"Add","path":"nickName","value":"N"},{"op":"remove","path":"title"}') ],
	[ 'PATCH', "/Users/$user", op(qq({"op":"replace","value":{"active":false,"name.givenName":"K","$enterprise:employeeNumber":"A","emails[type eq \\"home\\"].value":"h"}})) ],
	[ 'PATCH', "/Groups/$group", op(qq({"op":"Add","path":"members","value":[{"\$ref":null,"value":"$other"}]},{"op":"Remove","path":"members","value":[{"value":"$user"}]})) ],
	[ 'PATCH', "/Groups/$group", op(qq({"op":"remove","path":"members[value eq \\"$user\\"]"},{"op":"replace","value":{"id":"x","displayName":"G"}})) ],
	[ 'POST', '/Groups', qq({"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"fuzz","members":[{"value":"$user"}]}) ],
	[ 'PUT', "/Groups/$group", qq({"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"G","members":[{"value":"$other","type":"User"}]}) ]);
my @queries = (
	'/Users?filter=userName+eq+%22fuzz%22', '/Users?filter=emails%5Btype+eq+%22work%22%5D.value+sw+%22a%22&startIndex=1&count=5', '/Groups?filter=members+eq+%22x%22+and+displayName+co+%22G%22&excludedAttributes=members',
	'/Users?sortBy=name.familyName&sortOrder=descending&attributes=userName,name', '/Users?filter=not+(title+pr)+or+meta.lastModified+gt+%222020-01-01T00:00:00Z%22',
	"/Users/$user?attributes=emails.value", "/Groups/$group?excludedAttributes=members", '/Schemas/urn:ietf:params:scim:schemas:core:2.0:User', '/ResourceTypes/User', '/ServiceProviderConfig');
my @tokens = ('null', 'true', '"True"', '""', '[]', '{}', '0', '-1', '1e999', '1.7976931348623159e308', '9223372036854775808', '"\u0000"', '"\ud800"', '"\ud83d\ude00"', '"' . 'z' x 2000 . '"',
	'[[[]]]', '{"value":null}', '[{"value":[]}]', '[null]', '"$ref"', '{"$ref":7}', '"members"', '"emails[type eq \"work\"]"', '"emails[value"', '"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"',
	'"id"', '"schemas"', '"meta"', '"%s%n"', '"\\\\"', '"\u202e"', '"A\u030a"', '"\ufb01\u0130\u00df"', qq("$user"), qq("$group"), '"2026-02-30T00:00:00Z"', '1.0', '"not(a eq b)"');
my @fragments = ('(', ')', '[', ']', '"', '\\', '%00', '%ff', '%22', '+and+', '+or+', '+not+(', '+pr', '+eq+', 'null', 'true', '.value', ':', '%F0%9F%98%80', '&', '=', '%', '%zz', '..', '/', ';', '*', "'", '-', '$ref', 'x' x 200);

sub mutate_json
{
	my ($text) = @_;
	for (1 .. 1 + rnd(3))
	{
		my $how = rnd(10);
		if ($how < 4)
		{
			# put another value in place of one
			my @at;
			while ($text =~ /(?<=[:\[,])\s*("(?:[^"\\]|\\.)*"(?!\s*:)|true|false|null|-?\d[\d.eE+-]*)/g) { push @at, [ $-[1], $+[1] - $-[1] ] }
			next unless @at;
			my ($from, $length) = @{ pick(@at) };
			substr($text, $from, $length) = pick(@tokens);
		}
		elsif ($how < 6)
		{
			# rename a member
			my @at;
			while ($text =~ /"([A-Za-z\$]+)"\s*:/g) { push @at, [ $-[1], $+[1] - $-[1] ] }
			next unless @at;
			my ($from, $length) = @{ pick(@at) };
			my $name = substr($text, $from, $length);
			substr($text, $from, $length) = pick(uc $name, lc $name, 'x' . $name, '', 'id', 'meta', 'members', 'value', 'path', 'op', '$ref', 'password', 'name.givenName', 'emails[type eq \"work\"].value', "$enterprise:manager");
		}
		elsif ($how == 6) { substr($text, rnd(length $text), 1) = chr(rnd(256)) }
		elsif ($how == 7) { substr($text, rnd(length $text), 0) = pick('{', '}', '[', ']', ',', ':', '"', '\\', "\0", "\xff", 'null', '\u00') }
		elsif ($how == 8) { my $at = rnd(length $text); substr($text, $at, 1 + rnd(12)) = '' if $at < length $text }
		else { $text = substr($text, 0, rnd(length $text)) if rnd(4) == 0; $text .= $text if rnd(20) == 0 }
		$text = '{}' if $text eq '';
	}
	return $text;
}

sub mutate_target
{
	my ($target) = @_;
	for (1 .. 1 + rnd(2))
	{
		my $at = rnd(length $target) || 1;
		my $how = rnd(4);
		if ($how == 0) { substr($target, $at, 0) = pick(@fragments) }
		elsif ($how == 1 && $at < length $target) { substr($target, $at, 1 + rnd(4)) = '' }
		elsif ($how == 2 && $at < length $target) { substr($target, $at, 1) = sprintf('%%%02X', rnd(256)) }
		else { $target .= pick('&count=', '&startIndex=', '&sortBy=', '&attributes=', '&filter=', '?', '/') . pick(@fragments) }
	}
	return $target;
}

{
	my $requests = 4000;
	my $raw = $t->raw;
	my ($deadline, $done, %status, @wrong) = (time + 40, 0);
	while ($done < $requests && time < $deadline && @wrong < 10)
	{
		$done++;
		my ($method, $path, $body);
		if (rnd(4) == 0)
		{
			($method, $path) = ('GET', mutate_target(pick(@queries)));
			$method = pick('GET', 'HEAD', 'DELETE') if rnd(10) == 0 && $path !~ /^\/(Users|Groups)\/[0-9a-f-]{36}/;
		}
		else
		{
			($method, $path, $body) = @{ pick(@bodies) };
			$body = mutate_json($body);
			$method = pick('POST', 'PUT', 'PATCH') if rnd(25) == 0;
			$path = mutate_target($path) if rnd(25) == 0;
		}
		my $head = "$method /api/v2/scim$path HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " . $t->token . "\r\n";
		$head .= "Content-Type: application/scim+json\r\nContent-Length: " . length($body) . "\r\n" if defined $body;
		my $r = $raw->exchange("$head\r\n" . (defined $body ? $body : ''), no_body => $method eq 'HEAD');
		my $what = '';
		if (!$r) { $what = 'no answer' }
		elsif ($r->status >= 500) { $what = 'status ' . $r->status . ' ' . $r->text }
		elsif ($r->status >= 400 && $method ne 'HEAD'
			&& (ref $r->json ne 'HASH' || ($r->json->{status} || '') ne $r->status || !defined $r->json->{detail}))
		{
			$what = 'no SCIM error: ' . $r->status . ' ' . $r->text;
		}
		elsif ($r->status < 300 && $method ne 'HEAD' && $r->status != 204 && ref $r->json ne 'HASH') { $what = 'no JSON: ' . $r->text }
		$status{ $r ? $r->status : 0 }++;
		push @wrong, "request $done of seed $seed: $method $path " . (defined $body ? $body : '') . ": $what" if $what ne '';
	}
	is(scalar(@wrong), 0, 'mutated requests: each is answered, no 5xx, every error is a SCIM error');
	diag(substr($_, 0, 1500)) for @wrong;
	cmp_ok($done, '>=', 2000, "$done of them");
	my $good = 0;
	$good += $status{$_} for grep { /^2/ } keys %status;
	cmp_ok($good, '>', $done / 20, 'some are good all the same');
	note("seed $seed: " . join(', ', map { "$_: $status{$_}" } sort keys %status));
}
is(join(' ', $t->listener_pids), "@pids", 'the listeners are those of the beginning');
status_is($c->get('/Users?count=0'), 200, 'and serve');
my $bad_state = $t->sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'scim_worker' AND state LIKE 'idle in%'");
is($bad_state, '0', 'no transaction is left open');
is(scalar(grep { index($t->log_text, $_) >= 0 } $canary), 0, 'no value is in the server log');
$t->no_crash;
done_testing();
