# 005_crash.pl - what was acknowledged is there: listeners, the postmaster and
# the whole server are killed while several clients create and change users and
# keep a ledger of every 201 and 200 (ScimLedger).  Writes that come together share a flush
# (scim.shared_flush): the ledger shows that none was answered before it.
# Workers come back by themselves, and a fast stop is fast.
# The postmaster is killed a few times here, a thousand times by make soak-crash.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use IO::Socket::INET;
use ScimLedger;
use ScimTest;
use Test::More;
use Time::HiRes qw(sleep time);

use PostgreSQL::Test::Cluster;

ScimTest->watchdog(280);

my $t = ScimTest->start(listeners => 4, conf => ScimLedger->conf);
my $node = $t->node;
my $ledger = ScimLedger->new(server => $t);

# Does the server answer queries, before a timeout?
sub up
{
	my ($timeout) = @_;
	my $start = time;
	while (time - $start < $timeout)
	{
		my ($rc, $out) = eval { $t->try_sql('SELECT 1') };
		return 1 if defined $rc && $rc == 0;
		sleep(0.1);
	}
	return 0;
}

# ---- listeners ----

$ledger->start;
ok($ledger->flowing(50), 'the load is flowing') or diag($t->log_tail);
for my $kill (1 .. 12)
{
	my @before = $t->listener_pids;
	is(scalar(@before), 4, 'four listeners') if $kill == 1;
	my $victim = $before[ int(rand @before) ];
	is(kill(9, $victim), 1, "kill -9 of a listener, $kill");
	my $took = $t->try_listening(15);
	ok(defined $took && $took < 5, 'listeners are back within 5 s') or diag(defined $took ? "$took s" : $t->log_tail);
	ok($ledger->flowing(30), 'and the load flows');
	up(5);
	ok(!(grep { $_ == $victim } $t->listener_pids), 'the killed one is gone');
}
$ledger->stop;
is(scalar($t->listener_pids), 4, 'four listeners again');
$ledger->check('listeners killed');

# ---- the postmaster ----

for my $kill (1 .. 4)
{
	$ledger->start;
	ok($ledger->flowing(30), 'the load is flowing');
	my ($took, $wrong) = $ledger->kill_server;
	is($wrong, undef, "kill -9 of the postmaster, $kill: the port is freed, and the server starts again");
	cmp_ok(defined $took ? $took : 99, '<', 5, 'listeners are back within 5 s') or diag($t->log_tail);
	ok($ledger->flowing(30), 'and the load flows');
	$ledger->stop;
	$ledger->check('postmaster killed');
}

# ---- stops under load ----

for my $mode ('immediate', 'fast', 'immediate', 'fast')
{
	$ledger->start;
	ok($ledger->flowing(30), 'the load is flowing');
	my $start = time;
	$node->stop($mode);
	my $took = time - $start;
	cmp_ok($took, '<', 3, "pg_ctl stop -m $mode under load ends in 3 s");
	ok($ledger->port_free(2), 'the port is free');
	$node->start;
	$took = $t->try_listening(15);
	ok(defined $took && $took < 5, 'listeners are back within 5 s') or diag(defined $took ? "$took s" : $t->log_tail);
	ok($ledger->flowing(30), 'and the load flows');
	$ledger->stop;
	$ledger->check("$mode stop");
}

# with many idle connections as well
{
	my @idle = grep { $_ } map { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $t->port, Timeout => 2) } 1 .. 200;
	is(scalar(@idle), 200, '200 idle connections');
	my $start = time;
	$node->stop('fast');
	cmp_ok(time - $start, '<', 3, 'do not delay a fast stop');
}

# Signal 9 was ours; no other.
my @crash = grep { /was terminated by signal (?!9)|PANIC|TRAP:/ } split /\n/, $t->log_text;
is("@crash", '', 'no process crashed by itself');
note($ledger->acknowledged . ' acknowledged in all');
done_testing();
