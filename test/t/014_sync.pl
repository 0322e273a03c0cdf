# 014_sync.pl - a sync to a target that is overloaded, fails, and drops
# connections, by a worker that is killed: at the end the target has what the
# table has, nobody was made twice, and what it asked for was kept.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use ScimPeer;
use ScimSync;
use ScimTest;
use Test::More;
use Time::HiRes qw(sleep time clock_gettime CLOCK_MONOTONIC);

use constant ROWS => 1000;

ScimTest->watchdog(280);
my ($false, $true) = (FALSE, TRUE);

my $s = ScimSync->start(rows => ROWS);
my $t = $s->t;

# ---- without faults ----

{
	my $peer = ScimPeer->start(profile => 'datadog', token => CANARY, rate => 0);

	$s->create_sync('calm', $peer);
	is($s->sql("SELECT count(*), min(action), max(action) FROM scim.plan('calm')"), ROWS . '|create|create', 'the plan has every row');
	sleep 0.3;
	is($peer->stats->{requests}, 0, 'and nothing is sent before the start');
	my $start = time;
	$s->sql("SELECT scim.start_sync('calm')");
	ok($s->settled('calm', 60), 'a thousand rows settle');
	note(sprintf '%.1f s, %d requests', time - $start, $peer->stats->{requests});
	$s->same_users($peer, 'staff', 'calm');
	no_offences($peer, 'calm');
	is($s->sql("SELECT linked, failed, state FROM scim.sync_status WHERE name = 'calm'"), ROWS . '|0|active', 'all are linked');

	# one change, one request
	my $mark = $peer->mark;
	$start = time;
	$s->sql("UPDATE hr.staff SET job_title = 'Director' WHERE id = 7");
	ok($peer->wait_for(sub { $_[0]->users->{'user7@example.com'}{title} eq 'Director' }, 5), 'an update arrives');
	my $took = time - $start;
	cmp_ok($took, '<', 2, sprintf 'within two seconds (%.2f)', $took);
	ok($s->settled('calm'), 'settled');
	my @log = $peer->log($mark);
	is(join(' ', map { $_->{method} } @log), 'PATCH', 'as one PATCH');
	is_deeply(JSON::PP->new->utf8->decode($log[0]{body})->{Operations}, [ { op => 'replace', path => 'title', value => 'Director' } ], 'of what changed');
	$s->sql("SELECT scim.drop_sync('calm'); DROP SERVER calm");
}

# ---- with all of them ----

{
	my $peer = ScimPeer->start(token => CANARY, random_seed => 11, latency => 5);

	# A target that answers a POST it has carried out with an error, or not at
	# all; each spelling of "come back later"; errors of a moment.
	my @spellings = qw(retry_after retry_after_date x_ratelimit_reset x_rate_limit_reset ratelimit_reset);
	$peer->faults(
		(map { { name => "429 $spellings[$_]", action => 'answer', status => 429, $spellings[$_] => 2, skip => 150 + 300 * $_, first => 3 } } 0 .. $#spellings),
		{ name => '503 with a time', action => 'answer', status => 503, retry_after => 1, skip => 1200, first => 2 },
		{ name => '500', action => 'answer', status => 500, probability => 0.03 },
		{ name => '503', action => 'answer', status => 503, probability => 0.01 },
		{ name => '500 applied', action => 'answer', status => 500, applied => $true, method => 'POST', probability => 0.03 },
		{ name => '502 applied', action => 'html', status => 502, applied => $true, method => 'POST', probability => 0.02 },
		{ name => 'drop', action => 'drop', probability => 0.02 },
		{ name => 'drop applied', action => 'drop', applied => $true, method => [ 'POST', 'PATCH' ], probability => 0.03 },
		{ name => 'reset applied', action => 'reset', applied => $true, method => 'POST', probability => 0.02 },
		{ name => 'no id', action => 'no_id', method => 'POST', probability => 0.02 },
		{ name => 'no body', action => 'no_body', location => $false, method => 'POST', probability => 0.02 });
	$s->start_sync('storm', $peer);

	# Kill the worker in the middle of it, ten times; the server starts all its
	# processes anew.
	my @killed;
	my $tries = 0;
	while (@killed < 10 && $tries++ < 30)
	{
		my $before = $peer->stats->{requests};
		$peer->wait_for(sub { $_[0]->stats->{requests} > $before + 120 }, 5);
		# in time rows change as well
		$t->try_sql("UPDATE hr.staff SET job_title = job_title || '.' WHERE id % 100 = " . scalar @killed);
		my $pid = $s->worker_pid;
		if (defined $pid && kill 9, $pid)
		{
			push @killed, clock_gettime(CLOCK_MONOTONIC) * 1000;
			$s->poll('SELECT 1', 1, 20);
			my $end = time + 10;
			sleep 0.05 until time > $end || (defined $s->worker_pid && $s->worker_pid != $pid);
		}
	}
	is(scalar @killed, 10, 'the worker was killed ten times');
	ok($s->settled('storm', 150), 'and everything settles');
	my %fired = map { $_->{name} => $_->{fired} } @{ $peer->faults_now };
	note(join ', ', map { "$_: $fired{$_}" } sort keys %fired);
	is(join(', ', grep { !$fired{$_} } sort keys %fired), '', 'every fault has happened');
	$s->same_users($peer, 'staff', 'storm');
	no_offences($peer, 'storm', @killed);
	is($s->sql("SELECT linked, failed, state FROM scim.sync_status WHERE name = 'storm'"), ROWS . '|0|active', 'all are linked');
	my $failed = $s->sql("SELECT source_key, state, reason FROM scim.sync_links WHERE sync = 'storm' AND state <> 'linked'");
	diag($failed) if $failed ne "";
	note($peer->stats->{requests} . ' requests');
	is($s->sql("SELECT count(DISTINCT remote_id) FROM scim.sync_links WHERE sync = 'storm'"), ROWS, 'each to a resource of its own');
}

my @crash = grep { /was terminated by signal (?!9)|PANIC|TRAP:/ } split /\n/, $t->log_text;
is("@crash", '', 'no process crashed by itself');
done_testing();
