# 018_sync_apart.pl - what must not touch each other: a sync that is broken and
# its neighbour, looking and doing, a pause and the requests under way, a row's
# former name and its new one, two rows and one id.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use ScimPeer;
use ScimSync;
use ScimTest;
use Test::More;
use Time::HiRes qw(sleep time);

use constant CORE_USER => 'urn:ietf:params:scim:schemas:core:2.0:User';

ScimTest->watchdog(200);
my ($false, $true) = (FALSE, TRUE);
my $s = ScimSync->start;
my $t = $s->t;

sub sent
{
	my ($peer, $method) = @_;
	return scalar grep { $_->{method} eq $method } $peer->log;
}

sub users_like
{
	my ($peer, $active) = @_;
	return scalar grep { !!$_->{active} == !!$active } values %{ $peer->users };
}

# ---- a broken neighbour ----

{
	my $peer = ScimPeer->start(token => CANARY, latency => 500);
	my $other = ScimPeer->start(token => CANARY);

	$s->mapped_table('broken', 3);
	$s->start_sync('broken', $other, mapping => 'broken');
	ok($s->settled('broken'), 'settled');
	$s->mapped_table('sound', 30);
	$s->start_sync('sound', $peer, mapping => 'sound', server => { concurrency => 4 });
	ok($peer->wait_for(sub { $_[0]->stats->{requests} > 4 }, 10), 'under way');
	$s->sql('SET client_min_messages = error; ALTER TABLE hr.broken DROP COLUMN job_title CASCADE');
	for my $i (1 .. 5)
	{
		$s->sql("UPDATE hr.broken SET mail = '$i\@example.com'");
		sleep 0.7;
	}
	ok($s->poll("SELECT reason IS NOT NULL FROM scim.sync_status WHERE name = 'broken'", 't', 10), 'the other one is broken');
	ok($s->settled('sound', 40), 'this one settles');
	is(sent($peer, 'GET') . ' ' . sent($peer, 'POST'), '30 30', 'and has sent nothing twice');
	$s->same_users($peer, 'sound', 'sound');
	no_offences($peer, 'sound');

	# what is matched anew
	$s->sql("SELECT scim.restart_sync('sound', '{links}')");
	ok($s->settled('sound', 40), 'its links are forgotten');
	is($s->sql("SELECT linked FROM scim.sync_status WHERE name = 'sound'"), 30, 'and found again');
	is(sent($peer, 'POST'), 30, 'nobody is new');
	# what is to be deleted in weeks, and can't be disabled, as groups are
	$s->sql("UPDATE scim._links SET gone_at = now(), next_at = now() + '30 days' WHERE source_key = '1' AND sync_id = (SELECT id FROM scim._syncs WHERE name = 'sound')");
	is($s->sql("SELECT scim.wait_synced('sound', timeout => '1 s')"), 't', 'what is due in weeks is not waited for');
	$s->sql("SELECT scim.drop_sync('sound'), scim.drop_sync('broken')");
}

# ---- requests that wait while the catalogs change ----

{
	my $peer = ScimPeer->start(token => CANARY);

	$s->mapped_table('waits', 1);
	$s->start_sync('waits', $peer, mapping => 'waits', server => { concurrency => 8 });
	ok($s->settled('waits'), 'settled');
	$peer->faults({ action => 'answer', status => 429, retry_after => 2, method => 'POST' });
	$s->add_rows('waits', 2, 20);
	ok($peer->wait_for(sub { sent($_[0], 'POST') > 0 }, 10), 'they are told to wait');
	# meanwhile what the worker knows of the mapping is read anew, often
	for my $i (1 .. 10)
	{
		$s->sql("ALTER TABLE hr.waits ALTER mail SET STATISTICS $i; UPDATE hr.waits SET job_title = 'Title $i' WHERE id = 1; CREATE TABLE other$i (); DROP TABLE other$i");
		$s->sql("SELECT scim.alter_sync('waits', options => '{\"guard_count\": $i}')");
		sleep 0.1;
	}
	$peer->faults;
	ok($s->settled('waits', 30), 'settled');
	is($s->sql("SELECT DISTINCT reason FROM scim.sync_errors WHERE sync = 'waits'"), '', 'no request has lost its path');
	$s->same_users($peer, 'waits', 'waits');
	$s->sql("SELECT scim.drop_sync('waits')");
}

# ---- looking is not doing ----

{
	my $peer = ScimPeer->start(token => CANARY);
	my $link = "SELECT to_json(l) FROM scim._links l JOIN scim._syncs s ON s.id = l.sync_id WHERE s.name = 'look'";

	$peer->put_resources({ schemas => [CORE_USER], userName => 'user1@example.com', active => $true });
	$s->mapped_table('look', 1);
	$s->start_sync('look', $peer, mapping => 'look', options => '{"adopt": "never"}');
	ok($s->poll("SELECT state FROM scim.sync_links WHERE sync = 'look'", 'conflict', 10), 'a conflict');
	my $before = $s->sql($link);
	is($s->sql("SELECT step, outcome FROM scim.explain_sync('look', '1') WHERE step = 'match'"), 'match|ok', 'explained');
	is($s->sql($link), $before, 'the link is what it was');
	$peer->remove_all;
	is($s->sql("SELECT detail, method FROM scim.explain_sync('look', '1') WHERE step = 'action'"), 'not sent|POST', 'it would be created');
	is($s->sql($link), $before, 'the link is what it was');
	$s->sql("SELECT scim.retry('look', '1')");
	ok($s->poll("SELECT state FROM scim.sync_links WHERE sync = 'look'", 'linked', 10), 'and is not in flight for ever');
	$s->sql("SELECT scim.drop_sync('look')");
}

# ---- a pause, and what is under way ----

{
	my $peer = ScimPeer->start(token => CANARY, latency => 700);

	$s->mapped_table('rest', 12);
	$s->start_sync('rest', $peer, mapping => 'rest', server => { concurrency => 4 });
	ok($peer->wait_for(sub { sent($_[0], 'POST') > 0 }, 20), 'under way');
	$s->sql("SELECT scim.pause_sync('rest')");
	sleep 0.2;
	$s->sql("SELECT scim.resume_sync('rest')");
	ok($s->settled('rest', 40), 'settled');
	$s->same_users($peer, 'rest', 'rest');
	no_offences($peer, 'rest');
	is($s->sql("SELECT count(DISTINCT remote_id) FROM scim.sync_links WHERE sync = 'rest' AND state = 'linked'"), 12, 'all are linked');

	$s->sql("UPDATE hr.rest SET job_title = 'Other'");
	ok($peer->wait_for(sub { sent($_[0], 'PATCH') > 0 }, 20), 'under way');
	$s->sql("SELECT scim.pause_sync('rest')");
	ok($s->poll("SELECT in_flight FROM scim.sync_status WHERE name = 'rest'", 0, 10), 'nothing is in flight in a pause');
	my $key = $s->sql("SELECT source_key FROM scim.sync_links WHERE sync = 'rest' AND next_at IS NOT NULL LIMIT 1");
	isnt($key, '', 'and there is something to do');
	is($s->sql("SELECT outcome FROM scim.sync_now('rest', '$key') WHERE step = 'update'"), 'ok', 'which can be done by hand');
	$s->sql("SELECT scim.drop_sync('rest')");
}

# ---- resources that were there, for people who are not ----

{
	my $peer = ScimPeer->start(token => CANARY);

	$peer->put_resources(map { { schemas => [CORE_USER], userName => "user$_\@example.com", active => $true } } 1 .. 40);
	$s->mapped_table('wrong', 40);
	# the wrong way round
	$s->sql('UPDATE hr.wrong SET is_soft_deleted = true');
	$s->start_sync('wrong', $peer, mapping => 'wrong', options => '{"guard_count": 5}');
	ok($s->poll("SELECT staged, in_flight, pending, due FROM scim.sync_status WHERE name = 'wrong'", '35|0|0|0', 20), 'most of them wait for approval');
	is(users_like($peer, 0), 5, 'five are out of use');
	$s->sql("SELECT scim.approve('wrong')");
	ok($s->settled('wrong', 20), 'settled');
	is(users_like($peer, 0), 40, 'then all');
	$s->sql("SELECT scim.drop_sync('wrong')");
}

# ---- another name while nobody knows what became of the first ----

{
	my $peer = ScimPeer->start(token => CANARY);

	$s->mapped_table('renamed', 0);
	$s->start_sync('renamed', $peer, mapping => 'renamed');
	# found a while later only, so that the doubt lasts long enough to be seen
	$peer->settings(search_lag_ms => 1500);
	$peer->faults({ action => 'drop', applied => $true, method => 'POST', first => 1 });
	$s->add_rows('renamed', 1, 1);
	ok($s->poll("SELECT l.doubt > 0 FROM scim._links l JOIN scim._syncs s ON s.id = l.sync_id WHERE s.name = 'renamed'", 't', 10), 'in doubt');
	$s->sql("UPDATE hr.renamed SET upn = 'another\@example.com', mail = NULL");
	ok($s->settled('renamed', 40), 'settled');
	$s->same_users($peer, 'renamed', 'renamed');
	$peer->settings(search_lag_ms => 0);

	# what is found has more than is wanted, and refuses to lose it at first
	$peer->put_resources({ schemas => [CORE_USER], userName => 'user2@example.com', title => 'Old', active => $true, emails => [ { type => 'work', value => 'old@mail.example' } ] });
	$peer->faults({ action => 'answer', status => 409, method => 'PATCH', first => 1 });
	$s->sql("INSERT INTO hr.renamed (id, upn) VALUES (2, 'user2\@example.com')");
	ok($s->settled('renamed', 40), 'settled');
	$s->same_users($peer, 'renamed', 'found');
	$s->sql("SELECT scim.drop_sync('renamed')");
}

# ---- one id for two rows ----

{
	my $peer = ScimPeer->start(token => CANARY);

	$s->mapped_table('same', 1);
	$s->start_sync('same', $peer, mapping => 'same');
	ok($s->settled('same'), 'settled');
	my $id = $peer->users->{'user1@example.com'}{id};
	$peer->faults({ action => 'answer', status => 201, method => 'POST', body => 'user2@', answer_body => { schemas => [CORE_USER], id => $id } });
	$s->add_rows('same', 2, 5);
	ok($s->poll("SELECT linked, failed, in_flight FROM scim.sync_status WHERE name = 'same'", '4|1|0', 20), 'the others are linked');
	is($s->sql("SELECT source_key, state FROM scim.sync_links WHERE sync = 'same' AND state <> 'linked'"), '2|conflict', 'the second row of an id is not');
	is($peer->users->{'user1@example.com'}{title}, 'Title 1', 'and the first one is what it was');
	$s->sql("SELECT scim.drop_sync('same')");
}

# ---- a look for syncs that fails ----

{
	my $peer = ScimPeer->start(token => CANARY);
	my $pid = $s->worker_pid;

	$s->mapped_table('late', 3);
	$s->create_sync('late', $peer, mapping => 'late');
	$s->sql("UPDATE scim._syncs SET state_reason = 'before' WHERE name = 'late'; SELECT scim.start_sync('late'), scim.pause_sync('late'); UPDATE scim._syncs SET state = 'active', state_reason = 'before' WHERE name = 'late'");
	# the worker wants to clear the reason, and may not for longer than it waits
	my $holder = $t->node->background_psql('postgres');
	$holder->query_safe("BEGIN; SELECT FROM scim._syncs WHERE name = 'late' FOR UPDATE");
	$s->sql("UPDATE hr.late SET mail = NULL");
	sleep 4;
	$holder->query_safe('COMMIT');
	$holder->quit;
	ok($s->settled('late', 30), 'it settles afterwards');
	is($s->worker_pid, $pid, 'the worker is the same');
	$s->sql("SELECT scim.drop_sync('late')");
}

my @crash = grep { /was terminated by signal|PANIC|TRAP:/ } split /\n/, $t->log_text;
is("@crash", '', 'no process crashed');
done_testing();
