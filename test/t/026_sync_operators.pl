# 026_sync_operators.pl - what the people who run a sync are promised: what goes
# first, what waits for them, whom it refers to, what they are told and how long
# the log is kept.

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
my $s = ScimSync->start;
my $t = $s->t;

sub links { my ($sync) = @_; return $s->sql("SELECT string_agg(concat_ws(' ', source_key, state, staged), ', ' ORDER BY source_key::int) FROM scim.sync_links WHERE sync = '$sync'") }

# ---- resources that are there already ----

{
	my $peer = ScimPeer->start(token => CANARY);

	$peer->request('POST', '/Users', { schemas => ['urn:ietf:params:scim:schemas:core:2.0:User'], userName => "user$_\@example.com", title => 'Of the target' }) for 1, 2;
	$s->mapped_table('adopt', 3);
	$s->start_sync('adopt', $peer, mapping => 'adopt', options => '{"adopt": "approve"}');
	ok($s->poll("SELECT linked, staged FROM scim.sync_status WHERE name = 'adopt'", '1|2', 10), 'who is there waits, who is not is created');
	is(links('adopt'), '1 staged adopt, 2 staged adopt, 3 linked', 'which is shown');
	is($peer->users->{'user1@example.com'}{title}, 'Of the target', 'nothing has happened to them');
	is($s->sql("SELECT scim.approve('adopt', '{1}'), scim.reject('adopt', '{2}')"), '1|1', 'one is approved, one is not');
	ok($s->poll("SELECT linked FROM scim.sync_status WHERE name = 'adopt'", 2, 10), 'the one');
	is($peer->users->{'user1@example.com'}{title}, 'Title 1', 'is the row\'s now');
	is($peer->users->{'user2@example.com'}{title}, 'Of the target', 'the other is not');
	is($s->sql("SELECT source_key FROM scim.sync_conflicts WHERE sync = 'adopt'"), 2, 'and is a conflict');
	$s->sql("SELECT scim.drop_sync('adopt')");

	$s->mapped_table('never', 2);
	$s->start_sync('never', $peer, mapping => 'never', options => '{"adopt": "never"}');
	ok($s->poll("SELECT failed, in_flight, due FROM scim.sync_status WHERE name = 'never'", '2|0|0', 10), 'or it is a conflict always');
	is($s->sql("SELECT state FROM scim.syncs WHERE name = 'never'"), 'active', 'which the target is not to blame for');
	$s->sql("SELECT scim.drop_sync('never')");
	no_offences($peer, 'adopt');
}

# ---- what goes first ----

{
	my $peer = ScimPeer->start(token => CANARY);

	$s->mapped_table('first', 10);
	$s->start_sync('first', $peer, mapping => 'first', server => { concurrency => 1 });
	ok($s->settled('first'), 'settled');
	$s->sql("SELECT scim.pause_sync('first')");
	$s->sql("UPDATE hr.first SET job_title = 'x' WHERE id BETWEEN 3 AND 10");
	$s->add_rows('first', 11, 14);
	$s->sql("DELETE FROM hr.first WHERE id <= 2");
	my $mark = $peer->mark;
	$s->sql("SELECT scim.resume_sync('first')");
	ok($s->settled('first'), 'settled');
	my @writes = map { $_->{method} eq 'POST' ? 'create' : ($_->{body} || '') =~ /"active"/ ? 'disable' : 'change' } grep { $_->{method} ne 'GET' } $peer->log($mark);
	is("@writes", join(' ', ('disable') x 2, ('change') x 8, ('create') x 4), 'disables, though they were the last to happen, before changes before what is new');

	# what can't be undone waits for a person
	$s->sql("ALTER SERVER first OPTIONS (ADD delete_means 'irreversible')");
	$s->sql("SELECT scim.alter_sync('first', delete_after => '0')");
	ok($s->poll("SELECT count(*) FROM scim.sync_links WHERE sync = 'first' AND state = 'staged' AND staged = 'delete'", 2, 10), 'a deletion that can\'t be undone waits for approval');
	is(scalar(grep { $_->{method} eq 'DELETE' } $peer->log), 0, 'and is not sent before');
	is($s->sql("SELECT scim.approve('first')"), 2, 'approved');
	ok($peer->wait_for(sub { keys %{ $_[0]->users } == 12 }, 10), 'they are deleted');
	no_offences($peer, 'first');
	$s->sql("SELECT scim.drop_sync('first')");
}

# ---- a manager who comes later ----

{
	my $peer = ScimPeer->start(token => CANARY);
	my $manager = sub { return ($peer->users->{ $_[0] }{'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User'} || {})->{manager}{value} // 'none' };
	my $id = sub { return ($peer->users->{ $_[0] } || {})->{id} // 'nobody' };

	$s->sql("SET ROLE hr_owner; CREATE TABLE hr.chain (id int PRIMARY KEY, upn text, boss int, hired boolean DEFAULT true)");
	$t->call('create_mapping', { name => 'chain', resource_type => 'User', relation => 'hr.chain', owner => 'hr_owner',
		attributes => '{"userName": "upn", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value": "boss::text"}' });
	$s->sql("INSERT INTO hr.chain VALUES (1, 'a', 2, true), (2, 'b', 3, true), (3, 'c', 9, true), (9, 'z', NULL, false)");
	$s->start_sync('chain', $peer, mapping => 'chain', scope => 'hired');
	ok($peer->wait_for(sub { $manager->('a') eq $id->('b') && $manager->('b') eq $id->('c') }, 10), 'who comes before the manager gets one when that one is there');
	is($manager->('c'), 'none', 'a manager who is out of scope is left out');
	like($s->sql("SELECT reason FROM scim.sync_links WHERE sync = 'chain' AND source_key = '3'"), qr/waits for/, 'which is said');
	$s->sql("UPDATE hr.chain SET hired = true WHERE id = 9");
	ok($peer->wait_for(sub { $manager->('c') eq $id->('z') }, 10), 'and follows by itself when he comes into scope');
	ok($s->settled('chain'), 'settled');
	is($s->sql("SELECT count(*) FROM scim.sync_links WHERE sync = 'chain' AND reason IS NOT NULL"), 0, 'nothing waits any more');
	$s->sql("SELECT scim.drop_sync('chain')");
}

# ---- what people are told, and what is kept ----

{
	my $peer = ScimPeer->start(token => CANARY);

	$s->mapped_table('told', 4);
	$s->create_sync('told', $peer, mapping => 'told');
	my ($out) = PostgreSQL::Test::Utils::run_command([ 'psql', '-XAtq', '-d', $t->node->connstr('postgres'),
		'-c', 'LISTEN scim_sync', '-c', "SELECT scim.start_sync('told')", '-c', "SELECT scim.pause_sync('told', 'a reason')", '-c', 'SELECT 1' ]);
	like($out, qr/Asynchronous notification "scim_sync" with payload "\{"sync":"told","state":"active"\}"/, 'whoever listens hears that it is active');
	like($out, qr/\{"sync":"told","state":"paused"\}/, 'and paused, without the reason');
	unlike($out, qr/a reason/, 'which is for its owner');
	$s->sql("SELECT scim.resume_sync('told')");
	ok($s->settled('told'), 'settled');
	is($s->sql("SELECT percent, eta, lag, linked, last_error FROM scim.sync_status WHERE name = 'told'"), '100.0|||4|', 'the status when all is done');

	$peer->faults({ action => 'unauthorized' });
	my $warnings = sub { return scalar(() = $t->log_text =~ /sync "told" is quarantined/g) };
	$s->sql("UPDATE hr.told SET job_title = 'x'");
	ok($s->poll("SELECT state FROM scim.syncs WHERE name = 'told'", 'quarantined', 10), 'quarantined');
	for my $n (1, 2)
	{
		my $probes = $s->sql("SELECT probes FROM scim._syncs WHERE name = 'told'");
		$s->sql("UPDATE scim._syncs SET probe_at = now() WHERE name = 'told'; UPDATE hr.told SET job_title = 'y$n' WHERE id = 1");
		ok($s->poll("SELECT probes > $probes FROM scim._syncs WHERE name = 'told'", 't', 10), 'a probe is refused');
	}
	is($warnings->(), 1, 'one warning for one reason');
	$peer->faults;
	$s->sql("SELECT scim.resume_sync('told')");
	ok($s->settled('told'), 'settled');
	like($s->sql("SELECT last_error FROM scim.sync_status WHERE name = 'told'"), qr/^unauthorized: 401/, 'what went wrong last is still to be seen');

	# the log: as long as scim.sync_log_days says
	$s->sql("UPDATE scim._attempts SET at = at - interval '40 days' WHERE id % 2 = 0");
	my $recent = $s->sql("SELECT count(*) FROM scim.sync_log WHERE at > now() - interval '30 days'");
	$s->sql("SELECT pg_terminate_backend(" . $s->worker_pid . ')');
	ok($s->poll("SELECT count(*) FROM scim.sync_log WHERE at < now() - interval '30 days'", 0, 20), 'entries of the log that are old go');
	cmp_ok($s->sql("SELECT count(*) FROM scim.sync_log"), '>=', $recent, 'the others stay');
	no_offences($peer, 'told');
}

done_testing();
