# 040_chaos.pl - users, groups and memberships are synced to a target that does
# everything wrong that test/peer can, at random, while rows change, the sync
# worker is killed and the whole server is: at the end the target has what the
# tables have, nobody was made twice, what it asked for was kept, and no two
# writes were on their way to one resource.
#
# With SCIM_SOAK=1 (make soak-sync): 10,000 users, 200 groups, 20,000 memberships, 200
# kills of the worker and 20 of the postmaster.  What changes, what goes wrong and
# when it is killed (after how many requests) comes from SCIM_SEED (1): a run can
# be repeated, but for the order in which processes get the processor.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use ScimPeer;
use ScimSync;
use ScimTest;
use Test::More;
use Time::HiRes qw(sleep time clock_gettime CLOCK_MONOTONIC);

my $soak = $ENV{SCIM_SOAK};
my %size = $soak
  ? (users => 10_000, teams => 200, members => 20_000, kills => 200, postmasters => 20, between => 400, lag => 10_000, settle => 1500)
  : (users => 300, teams => 10, members => 600, kills => 5, postmasters => 1, between => 120, lag => 1000, settle => 100);
my $seed = $ENV{SCIM_SEED} || 1;
my ($false, $true) = (FALSE, TRUE);

ScimTest->watchdog($soak ? 3000 : 200);
srand($seed);
note("SCIM_SEED=$seed");

my $s = ScimSync->start(rows => $size{users});
my $t = $s->t;
my $peer = ScimPeer->start(token => CANARY, random_seed => $seed, latency => 3);
$s->mapped_teams($size{teams});
$s->sql("INSERT INTO hr.team_members SELECT DISTINCT 1 + (i * 7919) % $size{teams}, 1 + (i * 104729 + i / $size{teams}) % $size{users} FROM generate_series(1, $size{members}) i");

# ---- what goes wrong ----

# A target that answers what it has carried out with an error, or not at all;
# each spelling of "come back later"; answers that are none.
my @spellings = qw(retry_after retry_after_date x_ratelimit_reset x_rate_limit_reset ratelimit_reset);
my $rare = $soak ? 0.0005 : 0.002;
my @always = (
	(map { { name => "429 $_", action => 'answer', status => 429, $_ => 1, probability => $rare } } @spellings),
	{ name => '503 with a time', action => 'answer', status => 503, retry_after => 1, probability => $rare },
	{ name => '500', action => 'answer', status => 500, probability => 0.01 },
	{ name => '503', action => 'answer', status => 503, probability => 0.01 },
	{ name => '500 applied', action => 'answer', status => 500, applied => $true, method => [ 'POST', 'PATCH', 'DELETE' ], probability => 0.01 },
	{ name => '502 applied', action => 'html', status => 502, applied => $true, method => [ 'POST', 'PATCH', 'DELETE' ], probability => 0.01 },
	{ name => '504', action => 'html', status => 504, probability => 0.005 },
	{ name => 'drop', action => 'drop', probability => 0.01 },
	{ name => 'drop applied', action => 'drop', applied => $true, method => [ 'POST', 'PATCH', 'DELETE' ], probability => 0.01 },
	{ name => 'reset', action => 'reset', probability => 0.01 },
	{ name => 'reset applied', action => 'reset', applied => $true, method => [ 'POST', 'PATCH' ], probability => 0.01 },
	{ name => 'cut', action => 'truncate', probability => 0.01 },
	{ name => 'garbage', action => 'garbage', probability => 0.005 },
	{ name => 'garbage applied', action => 'garbage', applied => $true, method => 'POST', probability => 0.01 },
	{ name => 'HTML', action => 'html', status => 200, method => 'GET', probability => 0.005 },
	{ name => 'HTML applied', action => 'html', status => 201, applied => $true, method => 'POST', probability => 0.005 },
	{ name => 'no id', action => 'no_id', method => 'POST', probability => 0.01 },
	{ name => 'no body', action => 'no_body', location => $false, method => 'POST', probability => 0.01 },
	{ name => 'text/html', action => 'wrong_type', probability => 0.01 },
	{ name => 'trickle', action => 'trickle', chunk => 50, interval_ms => 20, probability => 0.005 },
	{ name => 'close', action => 'close', probability => 0.01 },
	{ name => 'slow', action => 'delay', delay_ms => 700, probability => 0.01 });

# Besides, one of these from time to time: rules, settings.  A target that takes
# two of one name must find what it has made at once, and the other way round.
my @moods = (
	{ name => 'calm', settings => {} },
	{ name => 'finds late', settings => { search_lag_ms => $size{lag} } },
	{ name => 'finds a bit late', settings => { search_lag_ms => $size{lag} / 5 } },
	{ name => 'not unique', settings => { unique => $false } },
	{ name => 'small pages', settings => { page_max => 7 } },
	{ name => 'few at a time', settings => { concurrency => 3 } },
	{ name => 'few a second', settings => { rate => 60, period => 1 } },
	{ name => 'strangers', settings => {}, faults => [ { name => 'stranger', action => 'stranger', method => 'GET', probability => 0.3 } ] },
	{ name => 'ignores filters', settings => {}, faults => [ { name => 'ignores the filter', action => 'ignore_filter', filter => 'eq', probability => 0.3 } ] },
	{ name => 'hangs', settings => {}, hangs => 1 });
my %usual = (search_lag_ms => 0, unique => $true, page_max => 100, concurrency => 0, rate => 0, period => 1);
my $unseen_until = 0;
my %fired;

sub count_fired { $fired{ $_->{name} } += $_->{fired} for @{ $peer->faults_now }; return }

sub change_mood
{
	my ($mood) = @_;
	my %settings = (%usual, %{ $mood->{settings} });

	# what was made when it found late is still not found
	$settings{unique} = $true if time < $unseen_until;
	$unseen_until = time + $settings{search_lag_ms} / 1000 + 1 if $settings{search_lag_ms};
	count_fired();
	$peer->faults(@{ $mood->{faults} || [] }, @always);
	$peer->settings(%settings);
	# an operator's doing: the rule is off, and nobody else would tell
	$t->try_sql("SELECT scim.forget_learned('chaos')");
	if ($mood->{hangs})
	{
		kill 'STOP', $peer->pid;
		sleep 1;
		kill 'CONT', $peer->pid;
	}
	note("the target: $mood->{name}");
	return;
}

# ---- what changes ----

my ($serial, $last) = (0, $size{users});

sub some { my ($table) = @_; return int(rand($table eq 'teams' ? $size{teams} : $size{users})) + 1 }

# Statements of a transaction; all of them may be repeated.
sub changes
{
	my @changes;
	my ($first, $many) = (some('staff'), $soak ? 150 : 20);

	$serial++;
	push @changes, "UPDATE hr.staff SET job_title = 'Title $serial' WHERE id BETWEEN $first AND $first + $many";
	push @changes, "UPDATE hr.staff SET mail = CASE WHEN mail IS NULL THEN id || '\@again.example' END WHERE id = " . some('staff') for 1 .. 5;
	push @changes, "UPDATE hr.staff SET is_soft_deleted = NOT is_soft_deleted WHERE id = " . some('staff') for 1 .. 2;
	push @changes, "UPDATE hr.staff SET upn = 'renamed$serial.' || id || '\@example.com' WHERE id = " . some('staff') for 1 .. 2;
	push @changes, "DELETE FROM hr.staff WHERE id = " . some('staff');
	push @changes, 'INSERT INTO hr.staff ' . ScimSync::rows($last + 1, $last + 3) . ' ON CONFLICT DO NOTHING';
	$last += 3;
	push @changes, "UPDATE hr.teams SET name = 'Renamed $serial.' || id WHERE id = " . some('teams');
	for (1 .. 5)
	{
		push @changes, "DELETE FROM hr.team_members WHERE person = " . some('staff');
		push @changes, "INSERT INTO hr.team_members SELECT " . some('teams') . ", id FROM hr.staff WHERE id = " . some('staff') . ' ON CONFLICT DO NOTHING';
	}
	return join '; ', 'BEGIN', @changes, 'COMMIT';
}

# ---- what is killed ----

my @killed;

sub now_ms { return clock_gettime(CLOCK_MONOTONIC) * 1000 }

sub kill_worker
{
	my $pid = $s->worker_pid;

	return 0 unless defined $pid && kill 9, $pid;
	push @killed, now_ms();
	$s->poll('SELECT 1', 1, 30);
	return 1;
}

sub kill_postmaster
{
	my $postmaster = $t->node->{_pid};

	$t->node->kill9;
	push @killed, now_ms();
	# until it is reaped, and its processes are gone, there is no other
	for (1 .. 500)
	{
		sleep 0.02;
		last unless kill 0, $postmaster;
	}
	for (1 .. 100)
	{
		last if $t->node->start(fail_ok => 1);
		$t->node->{_pid} = undef;
		sleep 0.1;
	}
	return 1;
}

# ---- the run ----

my $start = time;
my %left = (worker => $size{kills}, postmaster => $size{postmasters});

$s->create_sync('chaos', $peer, delete_after => '0', options => '{"guard_count": 1000000}');
$t->call('create_sync', { name => 'teams', mapping => 'teams', server => 'chaos', delete_after => '0', options => '{"guard_count": 1000000}' });
change_mood($moods[0]);
$s->sql("SELECT scim.start_sync('chaos'), scim.start_sync('teams')");
while ($left{worker} + $left{postmaster} > 0)
{
	my $before = $peer->stats->{requests};
	my $wanted = 1 + int rand $size{between};
	my $which = rand($left{worker} + $left{postmaster}) < $left{worker} ? 'worker' : 'postmaster';
	my $change = changes();

	change_mood($moods[ rand @moods ]) if rand() < ($soak ? 0.2 : 0.5);
	$t->try_sql($change);
	$peer->wait_for(sub { $_[0]->stats->{requests} >= $before + $wanted }, 3);
	$left{$which}-- if $which eq 'worker' ? kill_worker() : kill_postmaster();
}
is(scalar(@killed), $size{kills} + $size{postmasters}, "$size{kills} kills of the worker, $size{postmasters} of the postmaster");
note(sprintf '%.0f s of chaos, %d requests', time - $start, $peer->stats->{requests});

count_fired();
$peer->faults;
$peer->settings(%usual);
$t->try_sql("SELECT scim.forget_learned('chaos')");
ok($s->settled('chaos', $size{settle}), 'the users settle');
ok($s->settled('teams', $size{settle}), 'the groups settle');
note(sprintf '%.0f s in all, %d requests, %d of them faults', time - $start, $peer->stats->{requests}, eval { my $n = 0; $n += $_ for values %fired; $n });
note(join ', ', map { "$_: $fired{$_}" } sort keys %fired);
# (a short run has too few requests for that)
is(join(', ', grep { !$fired{$_} } sort keys %fired), '', 'every fault has happened') if $soak;

my $failed = $s->sql("SELECT sync, source_key, state, reason FROM scim.sync_links WHERE state NOT IN ('linked', 'disabled', 'skipped') LIMIT 20");
is($failed, '', 'no row is left behind');
# who was inactive from the first is not created
my $held = ScimSync::held($peer);
my $wanted = $s->wanted('staff');
delete $wanted->{$_} for grep { !$wanted->{$_}{active} && !$held->{$_} } keys %$wanted;
is(scalar keys %$held, scalar keys %$wanted, 'as many users as rows');
my @wrong = grep { json_bytes($held->{$_}) =~ s/"?\b([01])"?([,}])/$1$2/gr ne json_bytes($wanted->{$_}) =~ s/"?\b([01])"?([,}])/$1$2/gr } sort keys %$wanted;
is(scalar(@wrong), 0, 'each as its row') or diag(join "\n", map { "$_: " . json_bytes($held->{$_}) . ' for ' . json_bytes($wanted->{$_}) } @wrong[ 0 .. ($#wrong < 9 ? $#wrong : 9) ]);
$s->same_teams($peer, 'teams');
no_offences($peer, 'chaos', @killed);
is($s->sql("SELECT count(*) = count(DISTINCT remote_id) FROM scim.sync_links WHERE sync = 'chaos' AND remote_id IS NOT NULL"), 't', 'each row has a resource of its own');
is($s->sql("SELECT string_agg(state, ' ') FROM scim.syncs"), 'active active', 'the syncs are active');

my @crash = grep { /was terminated by signal (?!9)|PANIC|TRAP:/ } split /\n/, $t->log_text;
is("@crash", '', 'no process crashed by itself');
done_testing();
