# crash.pl - the postmaster is killed a thousand times (KILLS), at any moment,
# while ten clients create and change users; after each kill, what they have
# heard since the last one is there, and at the end all of it (ScimLedger).
# MINUTES ends it earlier.  make soak-crash runs it; 005_crash.pl is its short
# form.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/../t/lib";
use ScimLedger;
use ScimTest;
use Test::More;
use Time::HiRes qw(sleep time);

my $kills = $ENV{KILLS} || 1000;
my $deadline = $ENV{MINUTES} ? time + 60 * $ENV{MINUTES} : undef;
my $t = ScimTest->start(listeners => 4, conf => ScimLedger->conf);
my $ledger = ScimLedger->new(server => $t);
my $start = time;
my ($done, $slowest) = (0, 0);

sub report
{
	diag(sprintf('%d kills, %.0f s, listeners back after %.1f s at most, %d users acknowledged', $done, time - $start, $slowest, $ledger->acknowledged));
	return;
}

$ledger->start;
while ($done < $kills && (!$deadline || time < $deadline))
{
	if (!$ledger->flowing(10))
	{
		fail('the load is flowing');
		last;
	}
	sleep(rand(0.3));
	my ($took, $wrong) = $ledger->kill_server;
	if (defined $wrong)
	{
		fail("kill $done: $wrong");
		last;
	}
	$done++;
	$slowest = $took if $took > $slowest;
	$ledger->check("kill $done", 1);
	report() if $done % 50 == 0;
}
$ledger->stop;
$ledger->check("$done kills");
report();
my @crash = grep { /was terminated by signal (?!9)|PANIC|TRAP:/ } split /\n/, $t->log_text;
is("@crash", '', 'no process crashed by itself');
diag($t->log_tail) if !Test::More->builder->is_passing;
done_testing();
