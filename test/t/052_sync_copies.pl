# 052_sync_copies.pl - syncs and copies of the server (threat-and-fault-model S5,
# faults 16 and 17): a standby sends nothing, a promoted one goes on where it may,
# and finds what it never heard of; any other copy waits for a person.  And a fast
# stop while many requests hang (fault 23).

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use ScimPeer;
use ScimSync;
use ScimTest;
use Test::More;
use Time::HiRes qw(sleep time);

ScimTest->watchdog(200);

my $s = ScimSync->start(rows => 5, conf => "wal_level = replica\nmax_wal_senders = 4\nscim.node_identity = 'the-cluster'\n");
my $t = $s->t;
my $peer = ScimPeer->start(token => CANARY);

# A copy of the primary as it was backed up, with lines for its configuration.
sub copy
{
	my ($name, $streaming, $conf) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init_from_backup($t->node, 'copy', $streaming ? (has_streaming => 1) : ());
	$node->append_conf('postgresql.conf', 'scim.port = ' . PostgreSQL::Test::Cluster::get_free_port() . "\n$conf");
	$node->start;
	return $node;
}

sub creates { return scalar grep { $_->{method} eq 'POST' } $peer->log }

$s->start_sync('copied', $peer, delete_after => '0');
ok($s->settled('copied'), 'settled');
$t->node->backup('copy');

# ---- a copy that nobody has announced ----

{
	my $mark = $peer->mark;
	my $copy = copy('elsewhere', 0, "scim.node_identity = ''\n");

	ok($copy->poll_query_until('postgres', "SELECT state = 'paused' FROM scim.syncs"), 'the sync of a copy is paused');
	like($copy->safe_psql('postgres', 'SELECT reason FROM scim.sync_status'), qr/another server or database/, 'and says why');
	$copy->safe_psql('postgres', "UPDATE hr.staff SET job_title = 'Of a copy'");
	sleep 1;
	is(scalar(() = $peer->log($mark)), 0, 'it sends nothing');
	is($copy->safe_psql('postgres', "SELECT count(*) FROM scim.plan('copied')"), 5, 'the plan shows what it would send');
	$copy->stop;
}

# ---- an earlier state of the same server ----

for my $way ([ 'a base backup', '', '' ], [ 'a recovery that ends somewhere', 'recovery.signal', "restore_command = 'false'\n" ],
	[ 'a standby that stops at some point', 'standby.signal', "recovery_target = 'immediate'\nrecovery_target_action = 'promote'\nrestore_command = 'false'\n" ])
{
	my ($what, $signal, $conf) = @$way;
	my $mark = $peer->mark;
	my $copy = PostgreSQL::Test::Cluster->new('restored' . length $signal);

	$copy->init_from_backup($t->node, 'copy');
	$copy->append_conf('postgresql.conf', 'scim.port = ' . PostgreSQL::Test::Cluster::get_free_port() . "\n$conf");
	PostgreSQL::Test::Utils::append_to_file($copy->data_dir . "/$signal", '') if $signal;
	$copy->start;
	ok($copy->poll_query_until('postgres', "SELECT state = 'paused' AND NOT pg_is_in_recovery() FROM scim.syncs"), "$what: the sync is paused");
	is($copy->safe_psql('postgres', 'SELECT reason FROM scim.sync_status'), 'this server was restored to an earlier state', "$what: although it has the name of the node");
	$copy->safe_psql('postgres', "UPDATE hr.staff SET job_title = 'Of the past' WHERE id = 1");
	sleep 1;
	is(scalar(() = $peer->log($mark)), 0, "$what: it sends nothing");
	# a person has looked
	$copy->safe_psql('postgres', "SELECT scim.resume_sync('copied')");
	ok($peer->wait_for(sub { ($_[0]->users->{'user1@example.com'}{title} || '') eq 'Of the past' }, 10), "$what: until a person lets it");
	$copy->restart;
	$copy->safe_psql('postgres', "UPDATE hr.staff SET job_title = 'Title 1' WHERE id = 1");
	ok($peer->wait_for(sub { ($_[0]->users->{'user1@example.com'}{title} || '') eq 'Title 1' }, 10), "$what: also when it is started again");
	$copy->stop;
}

# ---- a standby, and its promotion ----

my $standby = copy('standby', 1, '');
my $mark = $peer->mark;

$s->sql("UPDATE hr.staff SET job_title = 'Once' WHERE id = 1");
ok($s->settled('copied'), 'settled');
$t->node->wait_for_catchup('standby', 'replay', $t->node->lsn('insert'));
sleep 1;
is(join(' ', map { $_->{method} } $peer->log($mark)), 'PATCH', 'a standby sends nothing');

# what the standby does not hear of: a row that was created, and its acknowledgement
$standby->append_conf('postgresql.conf', "primary_conninfo = ''\n");
$standby->reload;
$standby->poll_query_until('postgres', 'SELECT count(*) = 0 FROM pg_stat_wal_receiver');
$s->add_rows('staff', 6, 6);
ok($s->settled('copied'), 'the primary creates another user');
is(creates(), 6, 'as the sixth');
$t->node->kill9;
$standby->promote;
my $start = time;
$standby->safe_psql('postgres', "UPDATE hr.staff SET job_title = 'After' WHERE id = 2");
ok($peer->wait_for(sub { ($_[0]->users->{'user2@example.com'}{title} || '') eq 'After' }, 10), 'the promoted standby goes on');
cmp_ok(time - $start, '<', 5, 'within five seconds');
$standby->safe_psql('postgres', 'INSERT INTO hr.staff ' . ScimSync::rows(6, 7));
ok($peer->wait_for(sub { $_[0]->users->{'user7@example.com'} }, 10), 'so it does with new rows');
ok($standby->poll_query_until('postgres', "SELECT linked = 7 FROM scim.sync_status"), 'all are linked');
is(creates(), 7, 'and who was created before it could know is found');
no_offences($peer, 'promotion');

# ---- a fast stop with many requests that hang ----

$peer->faults({ action => 'delay', delay_ms => 60_000 });
$standby->safe_psql('postgres', "ALTER SERVER copied OPTIONS (ADD concurrency '200')");
$standby->safe_psql('postgres', 'INSERT INTO hr.staff ' . ScimSync::rows(10, 300));
ok($peer->wait_for(sub { $_[0]->stats->{concurrent} > 0 }, 10), 'requests hang: ' . $peer->stats->{concurrent});
$start = time;
$standby->stop('fast');
cmp_ok(time - $start, '<', 5, 'a fast stop waits for none of them');
done_testing();
