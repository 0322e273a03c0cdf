# The test peer itself: that it says no where the products do, misbehaves as
# told, and counts what the other tests rely on.
use strict;
use warnings FATAL => 'all';

use Test::More;
use Time::HiRes qw(sleep time);

use lib 'test/t/lib';
use ScimPeer;

$SIG{ALRM} = sub { die "the test did not end within 120 s\n" };
alarm 120;

my ($false, $true) = (JSON::PP::false, JSON::PP::true);

sub ops { return { schemas => ['urn:ietf:params:scim:api:messages:2.0:PatchOp'], Operations => [@_] } }

sub user
{
	my ($name, %more) = @_;
	return {
		schemas => ['urn:ietf:params:scim:schemas:core:2.0:User'], userName => $name, active => $true,
		emails => [ { type => 'work', value => "$name\@example.com", primary => $true } ], %more };
}

# ---- Datadog ----

my $peer = ScimPeer->start(profile => 'datadog', token => 'canary', rate => 0);
my ($status, $body, $headers) = $peer->request('GET', '/Users', undef, Authorization => 'Bearer wrong');
is($status, 403, 'a wrong token');
is_deeply($body, { errors => ['Forbidden'] }, 'errors are a list of texts');
($status, $body) = $peer->request('POST', '/Users', user('ann'));
is($status, 201, 'create');
my $id = $body->{id};
is(($peer->request('POST', '/Users', user('ANN')))[0], 409, 'a userName is unique');
is(($peer->request('POST', '/Users', user('bob', externalId => '1')))[0], 400, 'there is no externalId on users');
is(($peer->request('POST', '/Users', user('bob', name => { givenName => 'B' })))[0], 400, 'nor name.givenName');
is(($peer->request('POST', '/Users', user('bob', emails => [ { type => 'home', value => 'b@example.com' } ])))[0], 400, 'nor home addresses');
is(($peer->request('GET', '/Users?filter=userName%20eq%20%22ann%22'))[1]{totalResults}, 1, 'userName eq');
for my $filter ('userName%20eq%20ann', 'userName%20sw%20%22a%22', 'title%20eq%20%22x%22')
{
	is(($peer->request('GET', "/Users?filter=$filter"))[0], 400, "not $filter");
}
is(($peer->request('PATCH', "/Users/$id", ops({ op => 'Replace', path => 'title', value => 'x' })))[0], 400, 'ops are lower case');
is(($peer->request('PATCH', "/Users/$id", ops({ op => 'replace', path => 'active', value => 'False' })))[0], 400, 'booleans are booleans');
is(($peer->request('PATCH', "/Users/$id", ops({ op => 'replace', value => { name => { formatted => 'A' } } })))[1]{name}{formatted}, 'A', 'PATCH without a path');
is(($peer->request('PATCH', "/Users/$id", ops({ op => 'replace', path => 'active', value => $false })))[1]{active}, $false, 'disabled');
is(($peer->request('DELETE', "/Users/$id"))[0], 204, 'deleted');
is($peer->users->{ann}{active}, $false, 'which disables');
# windows go by the clock: not across the end of one
sleep 0.1 while time % 60 > 57;
$peer->settings(rate => 2, period => 60);
my @status = map { ($peer->request('GET', '/Users'))[0] } 1 .. 5;
like("@status", qr/429$/, 'the limit') or diag("@status");
($status, $body, $headers) = $peer->request('GET', '/Users');
like($headers->{'x-ratelimit-reset'}, qr/^[1-9]\d?$/, 'seconds until it is reset');
sleep 0.2;
$peer->request('GET', '/Users');
cmp_ok($peer->stats->{violations}, '>=', 1, 'a request before that is noted');
is($peer->stop, 0, 'it ends when told to');

# ---- faults ----

$peer = ScimPeer->start(token => 'canary', random_seed => 7, tls => 1);
like($peer->url, qr{^https://127\.0\.0\.1:\d+/scim/v2$}, 'TLS');
$peer->faults({ action => 'drop', method => 'POST', first => 1 }, { action => 'drop', method => 'POST', applied => $true });
is(($peer->request('POST', '/Users', user('ann')))[0], 599, 'dropped');
is_deeply($peer->users, {}, 'before it is applied');
is(($peer->request('POST', '/Users', user('ann')))[0], 599, 'dropped');
is_deeply([ keys %{ $peer->users } ], ['ann'], 'after it is applied');
is_deeply([ map { $_->{applied} ? 1 : 0 } $peer->log ], [ 0, 1 ], 'the log knows which');
is_deeply(ScimPeer->flat($peer->users->{ann}),
	{ userName => 'ann', active => 1, 'emails[type eq "work"].value' => 'ann@example.com', 'emails[type eq "work"].primary' => 1 },
	'as paths and values');
is_deeply([ $peer->offences ], [], 'nobody has done wrong');
$id = $peer->users->{ann}{id};
my %expected = (retry_after => 'retry-after', retry_after_date => 'retry-after', x_ratelimit_reset => 'x-ratelimit-reset',
	x_rate_limit_reset => 'x-rate-limit-reset', ratelimit_reset => 'ratelimit-reset');
for my $spelling (sort keys %expected)
{
	$peer->faults({ action => 'answer', $spelling => 3 });
	($status, $body, $headers) = $peer->request('GET', '/Users');
	ok($status == 429 && $headers->{ $expected{$spelling} }, "429 with $spelling");
}
sleep 0.2;
$peer->faults({ action => 'stranger' });
isnt(($peer->request('GET', "/Users/$id"))[1]{id}, $id, 'somebody else');
$peer->faults({ action => 'no_id', method => 'POST' });
($status, $body, $headers) = $peer->request('POST', '/Users', user('bob'));
ok($status == 201 && !exists $body->{id} && $headers->{location}, '201 without id');
$peer->faults({ action => 'ignore_filter' });
is(($peer->request('GET', '/Users?filter=userName%20eq%20%22x%22'))[1]{totalResults}, 2, 'everybody');
$peer->faults;
$peer->settings(unique => $false, search_lag_ms => 60000);
is(($peer->request('POST', '/Users', user('bob')))[0], 201, 'a second one');
is($peer->stats->{duplicate_creates}, 1, 'is counted');
like(join("\n", $peer->offences), qr/^created twice: bob\ntoo early: request \d+ at/, 'and an offence, like coming back too early');
is(($peer->request('GET', '/Users?filter=userName%20eq%20%22bob%22'))[1]{totalResults}, 1, 'and not found yet');
ok($peer->wait_for(sub { $_[0]->stats->{concurrent} == 0 }, 5), 'nothing is under way');
undef $peer;

# ---- one request does not wait for another ----

$peer = ScimPeer->start(latency => 300, seed => 3);
my $begin = time;
my @pids;
for (1 .. 20)
{
	my $pid = fork;
	die "fork: $!" unless defined $pid;
	if (!$pid)
	{
		POSIX::_exit(($peer->request('GET', '/Users'))[0] == 200 ? 0 : 1);
	}
	push @pids, $pid;
}
my $failed = grep { waitpid $_, 0; $? } @pids;
my $took = time - $begin;
# a client that hangs up is noticed
my $hasty = HTTP::Tiny->new(timeout => 1);
$peer->faults({ action => 'delay', delay_ms => 3600000 });
is($hasty->get($peer->url . '/Users')->{status}, 599, 'a request that is not answered');
ok($peer->wait_for(sub { $_[0]->stats->{concurrent} == 0 }, 5), 'is over when the client hangs up');
is(($peer->log)[-1]{status}, 0, 'and has no status');

is($failed, 0, 'twenty requests at once');
cmp_ok($took, '<', 3, 'take about as long as one');
cmp_ok($peer->stats->{max_concurrent}, '>', 1, 'and are seen as such');
$peer->kill9;

done_testing();
