# 005_crash.pl - what was acknowledged is there: listeners, the postmaster and
# the whole server are killed while several clients create and change users and
# keep a ledger of every 201 and 200.  Writes that come together share a flush
# (scim.shared_flush): the ledger shows that none was answered before it.
# Workers come back by themselves, and a fast stop is fast.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use IO::Socket::INET;
use ScimTest;
use Test::More;
use Time::HiRes qw(sleep time);

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils ();

use constant CLIENTS => 10;

ScimTest->watchdog(170);

# The workers of a killed server write no checkpoint; a small interval between
# kills makes recovery short.  What the listeners do not flush themselves should
# be lost: the WAL writer, which would do it for them, sleeps.
my $t = ScimTest->start(listeners => 4, conf => "checkpoint_timeout = 30s\nwal_writer_delay = 10s\nwal_writer_flush_after = 1GB\n");
my $node = $t->node;
my $dir = PostgreSQL::Test::Utils::tempdir();
my $stop_file = "$dir/stop";
my $round = 0;

# One writing client.  Each line of its ledger is "state userName id": "new" is
# written before the first try, "ack" after a 201, "had" after a 409, which says
# that an earlier try whose answer was lost had been committed.  A name is tried
# until one of them comes.  "set" is written after the 200 of a PATCH of title.
sub writer
{
	my ($i) = @_;
	my $c = $t->client(timeout => 5);
	my $n = 0;
	my $parent = getppid;

	open(my $ledger, '>>', "$dir/ledger.$i") or die $!;
	$ledger->autoflush(1);
	while (!-e $stop_file && getppid == $parent)
	{
		my $name = "r$round-c$i-" . $n++ . '@example.org';
		print $ledger "new $name -\n";
		while (1)
		{
			my $r = $c->post('/Users', { schemas => [CORE_USER], userName => $name, active => TRUE,
				emails => [ { type => 'work', value => $name, primary => TRUE }, { type => 'home', value => "h-$name" } ] });
			if ($r->status == 201)
			{
				my $id = $r->id;
				print $ledger "ack $name $id\n";
				$r = $c->patch("/Users/$id", { schemas => [PATCH_OP], Operations => [ { op => 'replace', path => 'title', value => "t-$name" } ] });
				if ($r->status == 200) { print $ledger "set $name $id\n" }
				elsif ($r->status != 599 && $r->status != 503) { print $ledger "bad $name ", $r->status, "\n" }
				last;
			}
			if ($r->status == 409) { print $ledger "had $name -\n"; last }
			# 599: no answer; 503: not ready.  Anything else is wrong.
			if ($r->status != 599 && $r->status != 503)
			{
				print $ledger "bad $name ", $r->status, "\n";
				last;
			}
			last if -e $stop_file || getppid != $parent;
			sleep(0.05);
			$c = $t->client(timeout => 5);
		}
	}
	return;
}

sub start_load
{
	unlink $stop_file;
	$round++;
	my @pids = fork_clients(CLIENTS, \&writer);
	return @pids;
}

sub stop_load
{
	open(my $fh, '>', $stop_file) or die $!;
	close $fh;
	is(wait_children(@_), 0, 'the clients end');
	return;
}

sub acknowledged
{
	my $n = 0;
	for my $file (glob "$dir/ledger.*")
	{
		$n += grep { /^ack / } split /\n/, PostgreSQL::Test::Utils::slurp_file($file);
	}
	return $n;
}

# Wait for more acknowledgements: the load is flowing.
sub flowing
{
	my ($more) = @_;
	my ($start, $from) = (time, acknowledged());
	while (time - $start < 20)
	{
		return 1 if acknowledged() >= $from + $more;
		sleep(0.05);
	}
	return 0;
}

# Compare the ledgers with the tables.
sub check
{
	my ($what) = @_;
	my (%ack, %had, %new, %set, @bad);

	for my $file (glob "$dir/ledger.*")
	{
		for (split /\n/, PostgreSQL::Test::Utils::slurp_file($file))
		{
			my ($state, $name, $id) = split / /;
			if ($state eq 'new') { $new{$name} = 1 }
			elsif ($state eq 'ack') { $ack{$name} = $id }
			elsif ($state eq 'had') { $had{$name} = 1 }
			elsif ($state eq 'set') { $set{$name} = $id }
			else { push @bad, "$name: $id" }
		}
	}
	my (%row, %title, @doubled);
	for (split /\n/, $t->sql(q{SELECT user_name, u.id, (SELECT count(*) FROM scim.user_emails e WHERE (e.tenant, e.user_id) = (u.tenant, u.id)), coalesce(title, '-') FROM scim.users u}))
	{
		my ($name, $id, $emails, $title) = split /\|/;
		push @doubled, $name if $row{$name};
		$row{$name} = "$id $emails";
		$title{$name} = $title;
	}
	my @lost = grep { !defined $row{$_} || $row{$_} ne "$ack{$_} 2" } keys %ack;
	is(scalar(@lost), 0, "$what: " . keys(%ack) . ' acknowledged users are there, with that id and both e-mails');
	diag(join(' ', map { $_ . ' ' . ($row{$_} || 'lost') } @lost[ 0 .. ($#lost < 4 ? $#lost : 4) ])) if @lost;
	is(scalar(grep { !$row{$_} } keys %had), 0, "$what: and those of a 409");
	is(scalar(grep { !defined $title{$_} || $title{$_} ne "t-$_" } keys %set), 0, "$what: " . keys(%set) . ' acknowledged changes as well');
	is("@doubled", '', "$what: nobody is there twice");
	is(scalar(grep { !$new{$_} } keys %row), 0, "$what: nobody is there who was never sent");
	is(scalar(grep { $row{$_} !~ / 2$/ } keys %row), 0, "$what: nobody is there by half");
	is("@bad", '', "$what: no other answer");
	return;
}

# Port free: nobody of an old server holds it.
sub port_free
{
	my ($timeout) = @_;
	my $start = time;
	while (time - $start < $timeout)
	{
		my $s = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $t->port, Proto => 'tcp', Listen => 1, ReuseAddr => 1);
		return 1 if $s;
		sleep(0.1);
	}
	return 0;
}

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

my @load = start_load();
ok(flowing(50), 'the load is flowing') or diag($t->log_tail);
for my $kill (1 .. 12)
{
	my @before = $t->listener_pids;
	is(scalar(@before), 4, 'four listeners') if $kill == 1;
	my $victim = $before[ int(rand @before) ];
	is(kill(9, $victim), 1, "kill -9 of a listener, $kill");
	my $took = $t->try_listening(15);
	ok(defined $took && $took < 5, 'listeners are back within 5 s') or diag(defined $took ? "$took s" : $t->log_tail);
	ok(flowing(30), 'and the load flows');
	up(5);
	ok(!(grep { $_ == $victim } $t->listener_pids), 'the killed one is gone');
}
stop_load(@load);
is(scalar($t->listener_pids), 4, 'four listeners again');
check('listeners killed');

# ---- the postmaster ----

for my $kill (1 .. 4)
{
	@load = start_load();
	ok(flowing(30), 'the load is flowing');
	my $postmaster = $node->{_pid};
	$node->kill9;
	ok(port_free(5), "kill -9 of the postmaster, $kill: the listeners leave and free the port");
	# a process that nobody has waited for yet counts as running for pg_ctl
	for (1 .. 100)
	{
		last unless kill 0, $postmaster;
		sleep(0.1);
	}
	ok($node->start, 'the server starts');
	my $took = $t->try_listening(15);
	ok(defined $took && $took < 5, 'listeners are back within 5 s') or diag(defined $took ? "$took s" : $t->log_tail);
	ok(flowing(30), 'and the load flows');
	stop_load(@load);
	check('postmaster killed');
}

# ---- stops under load ----

for my $mode ('immediate', 'fast', 'immediate', 'fast')
{
	@load = start_load();
	ok(flowing(30), 'the load is flowing');
	my $start = time;
	$node->stop($mode);
	my $took = time - $start;
	cmp_ok($took, '<', 3, "pg_ctl stop -m $mode under load ends in 3 s");
	ok(port_free(2), 'the port is free');
	$node->start;
	$took = $t->try_listening(15);
	ok(defined $took && $took < 5, 'listeners are back within 5 s') or diag(defined $took ? "$took s" : $t->log_tail);
	ok(flowing(30), 'and the load flows');
	stop_load(@load);
	check("$mode stop");
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
note(acknowledged() . ' acknowledged in all');
done_testing();
