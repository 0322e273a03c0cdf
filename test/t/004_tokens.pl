# 004_tokens.pl - tokens: there are exactly two answers of status 401, whatever
# the endpoint, the route, the method and the reason; revocation and expiry
# count from the next request on, in every listener; a token is nowhere but with
# whom it was shown to.

use strict;
use warnings FATAL => 'all';

use Digest::SHA qw(sha256_hex);
use FindBin;
use lib "$FindBin::RealBin/lib";
use ScimTest;
use Test::More;
use Time::HiRes qw(sleep time);

ScimTest->watchdog(110);

my $t = ScimTest->start(
	listeners => 4,
	conf => "scim.max_auth_failures = 100\nlog_min_messages = debug1\nlog_min_duration_statement = 0\n");
my $user = $t->client->post('/Users', { schemas => [CORE_USER], userName => 'u' })->id;
ok($user, 'there is a user') or BAIL_OUT('nothing works');
my @secrets = ($t->token);

sub token
{
	my ($endpoint, %args) = @_;
	my $token = $t->create_token($endpoint, %args);
	push @secrets, $token;
	return $token;
}

# ---- what a token is ----

my $token = token('acme', label => 'form');
like($token, qr/^scim_[A-Za-z0-9._~+\/-]{43,}=*$/, 'a token has the prefix and 256 bits in the alphabet of RFC 6750');
isnt(token('acme', label => 'form2'), $token, 'and each is another');
is($t->sql("SELECT count(*) FROM scim._tokens WHERE hash = decode('" . sha256_hex($token) . "', 'hex')"), '1', 'its SHA-256 is stored');
{
	my @found;
	for my $table (split /\n/, $t->sql(q{SELECT c.oid::regclass FROM pg_class c WHERE c.relnamespace = 'scim'::regnamespace AND c.relkind IN ('r', 'v')}))
	{
		# not as a condition of the query, which would be logged
		push @found, $table if index($t->sql("SELECT x::text FROM $table x"), substr($token, 5)) >= 0;
	}
	is("@found", '', 'it is itself in no table and no view');
}
unlike($t->sql('SELECT x::text FROM scim.tokens x'), qr/\Q@{[ sha256_hex($token) ]}\E/, 'the view does not show the hash');
is($t->client(token => $token)->get('/Users')->status, 200, 'it works');

# ---- 401 and 401 ----

$t->create_endpoint('other', base_path => '/other/scim');
$t->create_endpoint('off', base_path => '/off/scim');
$t->create_endpoint('gone', base_path => '/gone/scim');
$t->create_endpoint('bare', base_path => '/bare/scim');
my %state = (
	'unknown' => 'scim_' . 'A' x 43,
	'garbage' => 'x',
	'revoked' => token('acme', label => 'revoked'),
	'expired' => token('acme', label => 'expired', expires_in => '1 second'),
	'of another endpoint' => token('other'),
	'of a disabled endpoint' => token('off'),
	'of a dropped endpoint' => token('gone'),
	'with a letter more' => $token . 'A',
	'with a letter less' => substr($token, 0, -1),
	'in another case' => do { my $x = $token; $x =~ tr/A-Za-z/a-zA-Z/; $x =~ s/^SCIM_/scim_/; $x },
	'the hash' => sha256_hex($token));
$t->sql("SELECT scim.revoke_token('acme', 'revoked')");
$t->sql("SELECT scim.enable_endpoint('off', false)");
$t->sql("SELECT scim.drop_endpoint('gone')");
sleep(1.2);

my @endpoints = ('/api/v2/scim', '/other/scim', '/off/scim', '/gone/scim', '/bare/scim', '/nowhere/scim/v2', '/api/v2/scimX', '');
my @routes = ('', '/', '/Users', "/Users/$user", '/Users/nobody', '/Users?filter=userName+eq+%22u%22', '/Groups', '/Schemas', '/ServiceProviderConfig',
	'/ResourceTypes/User', '/Bulk', '/.search', '/Users/.search', '/Me', '/Nothing', '/Users/a/b/c', '/Users/%2e%2e');
my @methods = qw(GET HEAD POST PUT PATCH DELETE OPTIONS);

# Failures are counted by address; each address has fewer than the limit here.
my ($host, $used, $raw) = (1, 0);
sub address
{
	return sprintf('127.0.%d.%d', int($host / 250), 2 + $host++ % 250);
}
my $json = '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"intruder"}';

# The answer as bytes without what has to differ: the date.
sub answer
{
	my ($method, $target, $authorization) = @_;

	$raw = $t->raw(local => address()) if $used++ % 80 == 0;
	my $request = "$method $target HTTP/1.1\r\nHost: localhost\r\nAccept: application/scim+json\r\n";
	$request .= "Authorization: $authorization\r\n" if defined $authorization;
	$request .= $method =~ /^P/
	  ? "Content-Type: application/scim+json\r\nContent-Length: " . length($json) . "\r\n\r\n$json"
	  : "\r\n";
	my $r = $raw->exchange($request, no_body => $method eq 'HEAD');
	return 'no answer' unless $r;
	my $head = $r->{head};
	$head =~ s/^Date: [^\r\n]*\r\n//mi;
	$head =~ s/^Connection: [^\r\n]*\r\n//mi;
	return $head . "\r\n" . $r->text;
}

my $none = answer('GET', '/api/v2/scim/Users');
my $invalid = answer('GET', '/api/v2/scim/Users', "Bearer $state{unknown}");
like($none, qr{^HTTP/1\.1 401 }, 'no credential: 401');
like($none, qr/^WWW-Authenticate: Bearer realm="scim"\r$/mi, 'with a challenge and no error code');
like($none, qr{^Content-Type: application/scim\+json}mi, 'as SCIM JSON');
like($none, qr/"status"\s*:\s*"401"/, 'with an Error body');
like($invalid, qr{^HTTP/1\.1 401 }, 'a credential that is not valid here: 401');
like($invalid, qr/^WWW-Authenticate: Bearer realm="scim", ?error="invalid_token"\r$/mi, 'with the error code invalid_token');
like($invalid, qr/"status"\s*:\s*"401"/, 'with an Error body');

# HEAD has no body.
sub expected
{
	my ($answer, $method) = @_;
	$answer =~ s/\r\n\r\n.*//s if $method eq 'HEAD';
	return $method eq 'HEAD' ? "$answer\r\n\r\n" : $answer;
}

{
	my ($n, @wrong) = (0);
	for my $name ('', sort keys %state)
	{
		my $credential = $name eq '' ? undef : "Bearer $state{$name}";
		for my $endpoint (@endpoints)
		{
			# these two are valid there
			next if $name eq 'of another endpoint' && $endpoint eq '/other/scim';
			for my $route (@routes)
			{
				for my $method (@methods)
				{
					next if "$endpoint$route" eq '';
					# the full product for two states, a tenth of it for the others
					$n++;
					next if $name !~ /^(|revoked)$/ && $n % 10 != 0;
					my $got = answer($method, "$endpoint$route", $credential);
					next if $got eq expected(defined $credential ? $invalid : $none, $method);
					push @wrong, sprintf("%s %s%s, token %s: %s", $method, $endpoint, $route, $name || 'none', $got)
					  if @wrong < 5;
				}
			}
		}
	}
	is(scalar(@wrong), 0, 'each is the same, byte for byte, over states, endpoints, routes and methods');
	diag($_) for @wrong;
}
for my $credential ('Basic dTpw', 'Bearer', 'Bearer ', '', 'bearer', "Token $token", $token, "Bearer $token $token", "Bearer  x")
{
	my @got = map { answer('GET', "$_/Users", $credential) } '/api/v2/scim', '/nowhere/scim/v2';
	ok($got[0] eq $none || $got[0] eq $invalid, 'one of the two for the header "' . substr($credential, 0, 12) . '"') or diag($got[0]);
	is($got[1], $got[0], 'the same for an endpoint that does not exist');
}
is($t->sql('SELECT count(*) FROM scim.users'), '1', 'nothing was stored');
is(answer('GET', '/off/scim/Users', "Bearer $token"), $invalid, 'a disabled endpoint: the same');
$t->sql("SELECT scim.enable_endpoint('off')");
is($t->client(base_path => '/off/scim', token => $state{'of a disabled endpoint'})->get('/Users')->status, 200, 'enabled again it serves');

# ---- who fails too often ----

{
	my ($busy, $other) = (address(), address());
	my $good = $t->client(local => $busy);
	my @connections = map { $t->client(local => $busy, token => $state{unknown}) } 1 .. 8;
	is($good->get('/Users')->status, 200, 'somebody works from an address');
	my (%status, $last);
	for (1 .. 150)
	{
		for my $c (@connections)
		{
			$last = $c->get('/Users');
			$status{ $last->status }++;
		}
	}
	is(join(' ', sort keys %status), '401 429', 'somebody else fails too often from there and is told to wait');
	cmp_ok($status{401}, '<=', 4 * 100 + 8, 'after a hundred failures in each listener') if $status{401};
	like($last->header('retry-after') || '', qr/^\d+$/, 'and for how long');
	error_is($last, 429, undef, undef, 'in an Error');
	is($good->get('/Users')->status, 200, 'who works goes on to work from there');
	is($t->client(local => $other)->get('/Users')->status, 200, 'and everybody from elsewhere');
}

# ---- the ways of sending it (RFC 6750 2) ----

for my $scheme ('Bearer', 'bearer', 'BEARER')
{
	like(answer('GET', '/api/v2/scim/Users', "$scheme $token"), qr{^HTTP/1\.1 200 }, "scheme $scheme");
}
is(answer('GET', "/api/v2/scim/Users?access_token=$token"), $none, 'in the query it is no credential');
like(answer('GET', "/api/v2/scim/Users?access_token=$token", "Bearer $token"), qr{^HTTP/1\.1 400 }, 'in two ways it is refused');

# ---- reading only ----

{
	my $reader = $t->client(token => token('acme', label => 'reader', can_write => 'false'));
	my $digest = $t->store_digest;
	status_is($reader->get("/Users/$user"), 200, 'a read-only token reads');
	status_is($reader->get('/Users'), 200, 'and lists');
	for my $r ($reader->post('/Users', { schemas => [CORE_USER], userName => 'w' }),
		$reader->put("/Users/$user", { schemas => [CORE_USER], userName => 'w' }),
		$reader->patch("/Users/$user", [ { op => 'replace', path => 'title', value => 'w' } ]),
		$reader->delete("/Users/$user"))
	{
		error_is($r, 403, undef, undef, 'it does not write');
		like($r->header('www-authenticate') || '', qr/error="insufficient_scope"/, 'and is told so');
	}
	is($t->store_digest, $digest, 'nothing was stored');
}

# ---- revocation and expiry, at the next request of every listener ----

sub clients
{
	my ($with, $n) = @_;
	my $local = address();
	my @c = map { $t->client(token => $with, local => $local) } 1 .. $n;
	is(join(' ', map { $_->get('/Users?count=0')->status } @c), join(' ', ('200') x $n), "$n connections work");
	return @c;
}

{
	my $dies = token('acme', label => 'dies');
	my @c = clients($dies, 24);
	$t->sql("SELECT scim.revoke_token('acme', 'dies')");
	is(join(' ', map { $_->get('/Users?count=0')->status } @c), join(' ', ('401') x 24), 'revoked: each next request is refused');
	is($t->sql("SELECT state FROM scim.tokens WHERE label = 'dies'"), 'revoked', 'the view says so');
	is(join(' ', map { $t->client(token => $dies, keep_alive => 0)->get('/Users')->status } 1 .. 8), join(' ', ('401') x 8), 'on new connections as well');
}
{
	my $dies = token('acme', label => 'ends', expires_in => '2 seconds');
	my @c = clients($dies, 16);
	sleep(2.1);
	is(join(' ', map { $_->get('/Users?count=0')->status } @c), join(' ', ('401') x 16), 'expired: each next request is refused');
	is($t->sql("SELECT state FROM scim.tokens WHERE label = 'ends'"), 'expired', 'the view says so');
}
{
	$t->create_endpoint('short', base_path => '/short/scim');
	my $dies = token('short');
	my $local = address();
	my @c = map { $t->client(token => $dies, base_path => '/short/scim', local => $local) } 1 .. 16;
	is(join(' ', map { $_->get('/Users')->status } @c), join(' ', ('200') x 16), 'an endpoint works');
	$t->sql("SELECT scim.drop_endpoint('short')");
	is(join(' ', map { $_->get('/Users')->status } @c), join(' ', ('401') x 16), 'dropped: each next request is refused');
	$t->create_endpoint('short', base_path => '/short/scim');
	is(join(' ', map { $_->get('/Users')->status } @c), join(' ', ('401') x 16), 'another endpoint of that name does not know the token');
	my $lives = token('short');
	is($t->client(token => $lives, base_path => '/short/scim')->get('/Users')->status, 200, 'it has its own');
}
{
	# rotation: two live tokens
	my ($old, $new) = (token('acme', label => 'old'), token('acme', label => 'new'));
	is($t->client(token => $_)->get('/Users')->status, 200, 'both work') for $old, $new;
	$t->sql("SELECT scim.revoke_token('acme', 'old')");
	is($t->client(token => $old)->get('/Users')->status, 401, 'the old one no longer');
	is($t->client(token => $new)->get('/Users')->status, 200, 'the new one does');
	my ($rc, undef, $err) = $t->try_sql("SELECT scim.create_token('acme', label => 'new')");
	isnt($rc, 0, 'a label is taken once');
	like($err, qr/label/, 'which the message says');
}
{
	# revocation in a transaction counts when it commits
	my $dies = token('acme', label => 'rolled back');
	$t->sql("BEGIN; SELECT scim.revoke_token('acme', 'rolled back'); ROLLBACK");
	is($t->client(token => $dies)->get('/Users')->status, 200, 'a revocation that was rolled back did not happen');
}
like($t->sql("SELECT last_used >= now() - interval '5 minutes' FROM scim.tokens WHERE label = 'new'"), qr/^t$/, 'the view knows when a token was last used');

# ---- who may ----

$t->sql('CREATE ROLE nosy LOGIN');
for my $statement ("SELECT * FROM scim._tokens", "SELECT * FROM scim.tokens", "SELECT scim.create_token('acme')", "SELECT scim.revoke_token('acme', 'new')",
	"SELECT scim.create_endpoint('mine')", "SELECT scim.handle('acme', 'GET', '/Users', '{}', NULL)", "SELECT * FROM scim.users", "SELECT scim.setup()",
	"SELECT scim.drop_endpoint('acme')", "SELECT scim.stop_workers()")
{
	my ($rc, undef, $err) = $t->try_sql("SET SESSION AUTHORIZATION nosy; $statement");
	like($err, qr/permission denied/, "refused to others: $statement");
}

# ---- nothing secret anywhere ----

{
	my $log = $t->log_text;
	my @found = grep { index($log, $_) >= 0 || index($log, substr($_, 5)) >= 0 } @secrets;
	is(scalar(@found), 0, 'no token is in the server log');
	my $activity = $t->sql('SELECT string_agg(query, E\'\n\') FROM pg_stat_activity');
	is(scalar(grep { index($activity, $_) >= 0 } @secrets), 0, 'nor in pg_stat_activity');
}

$t->no_crash;
done_testing();
