# 019_sync_limits.pl - what a sync does when it has to stop short: a server whose
# address is not allowed, a resource that goes again and again, a quarantine
# that a GET alone does not end, rows that nobody takes for weeks, rows that
# vanish while they are inactive, a key that changes, owners' code that takes
# for ever.  And a sync that only matches.

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

ScimTest->watchdog(280);
my ($false, $true) = (FALSE, TRUE);
my $s = ScimSync->start(conf => "scim.statement_timeout = '1s'\n");
my $t = $s->t;

sub count_of { my ($peer, $method, $mark) = @_; return scalar grep { $_->{method} eq $method } $peer->log($mark || 1) }
sub state_of { my ($name) = @_; return $s->sql("SELECT state FROM scim.syncs WHERE name = '$name'") }

# ---- a server of which requests are not allowed ----

{
	my $peer = ScimPeer->start(token => CANARY);

	$s->mapped_table('barred', 3);
	$s->create_sync('barred', $peer, mapping => 'barred');
	$t->node->append_conf('postgresql.conf', "scim.allowed_targets = 'elsewhere.example'\n");
	$t->node->reload;
	$s->sql("SELECT scim.start_sync('barred')");
	ok($s->poll("SELECT reason IS NOT NULL FROM scim.sync_status WHERE name = 'barred'", 't', 10), 'what is wrong with the server is said of the sync');
	is($s->sql("SELECT count(*) FROM scim.sync_errors WHERE sync = 'barred'"), 0, 'and of no row');
	is($s->sql("SELECT DISTINCT verdict FROM scim.sync_log WHERE sync = 'barred'"), 'barred', 'in the log, too');
	$t->node->append_conf('postgresql.conf', "scim.allowed_targets = '127.0.0.1'\n");
	$t->node->reload;
	$s->becomes_same($peer, 'barred', 'allowed', 10);
	ok($s->poll("SELECT reason IS NULL FROM scim.sync_status WHERE name = 'barred'", 't', 10), 'nothing is wrong any more');
	$s->sql("SELECT scim.drop_sync('barred')");
}

# ---- resources that go ----

{
	my $peer = ScimPeer->start(token => CANARY);
	my $i = 0;

	$s->mapped_table('losing', 6);
	$s->start_sync('losing', $peer, mapping => 'losing', options => '{"recreate_count": 2}');
	ok($s->settled('losing'), 'settled');
	$peer->remove_all;
	$s->sql("UPDATE hr.losing SET job_title = 'One'");
	ok($s->poll("SELECT staged, pending FROM scim.sync_status WHERE name = 'losing'", '4|0', 20), 'all have gone: two are made anew, the others wait');
	is(scalar keys %{ $peer->users }, 2, 'they are there');
	$s->sql("UPDATE hr.losing SET job_title = 'Two'");
	sleep 1.5;
	is($s->sql("SELECT staged FROM scim.sync_status WHERE name = 'losing'"), 4, 'another change does not make them');
	$s->sql("SELECT scim.reject('losing', ARRAY[(SELECT min(source_key) FROM scim.sync_links WHERE sync = 'losing' AND state = 'staged')])");
	is($s->sql("SELECT state, count(*) FROM scim.sync_links WHERE sync = 'losing' AND staged IS NOT NULL GROUP BY 1 ORDER BY 1"), "conflict|1\nstaged|3", 'one is rejected');
	is($s->sql("SELECT scim.approve('losing')"), 3, 'the others are approved');
	ok($s->poll("SELECT count(*) FROM scim.sync_links WHERE sync = 'losing' AND state = 'linked'", 5, 20), 'and made');
	$s->sql("SELECT scim.retry('losing')");
	$s->becomes_same($peer, 'losing', 'a retry makes the last', 20);

	# one that goes again and again
	my $id = $peer->users->{'user1@example.com'}{id};
	$s->sql("SELECT scim.alter_sync('losing', options => '{\"recreate_count\": 9}')");
	ok($s->settled('losing', 20), 'settled');
	for (1 .. 4)
	{
		last if $s->sql("SELECT state FROM scim.sync_links WHERE sync = 'losing' AND source_key = '1'") eq 'staged';
		$peer->remove($peer->users->{'user1@example.com'}{id});
		$s->sql("UPDATE hr.losing SET job_title = 'T$_' WHERE id = 1");
		$s->poll("SELECT state IN ('linked', 'staged') AND next_at IS NULL AND intent IS NULL FROM scim.sync_links WHERE sync = 'losing' AND source_key = '1'", 't', 10);
	}
	is($s->sql("SELECT state FROM scim.sync_links WHERE sync = 'losing' AND source_key = '1'"), 'staged', 'one that goes again and again waits as well');
	$s->sql("SELECT scim.drop_sync('losing')");
}

# Where each creation mails a person.
{
	my $peer = ScimPeer->start(token => CANARY);

	$s->mapped_table('mailed', 2);
	$s->start_sync('mailed', $peer, mapping => 'mailed', server => { create_sends_invite => 'true' });
	ok($s->settled('mailed'), 'settled');
	my $mark = $peer->mark;
	$peer->remove_all;
	$s->sql("UPDATE hr.mailed SET job_title = 'One'");
	ok($s->poll("SELECT staged, pending FROM scim.sync_status WHERE name = 'mailed'", '2|0', 20), 'who has gone is not invited again');
	is(scalar(grep { $_->{method} eq 'POST' } $peer->log($mark)), 0, 'nobody is created');
	is($s->sql("SELECT scim.approve('mailed')"), 2, 'until somebody says so');
	$s->becomes_same($peer, 'mailed', 'then they are', 20);
	$s->sql("SELECT scim.drop_sync('mailed')");
}

# ---- a scope that nobody is in ----

{
	my $peer = ScimPeer->start(token => CANARY);

	$s->mapped_table('scoped', 5);
	$s->start_sync('scoped', $peer, mapping => 'scoped', scope => 'id < 100');
	ok($s->settled('scoped'), 'settled');
	my $mark = $peer->mark;
	$s->sql("SELECT scim.alter_sync('scoped', scope => 'id > 100')");
	ok($s->poll("SELECT count(*) FROM scim.sync_links WHERE sync = 'scoped' AND state = 'staged' AND reason LIKE '%no row is in the scope%'", 5, 10), 'all wait for approval, be they few');
	ok($s->settled('scoped'), 'settled');
	is(scalar(() = $peer->log($mark)), 0, 'nobody is disabled');
	is($s->sql("SELECT count(*) FROM scim.pending_disables WHERE sync = 'scoped'"), 5, 'they are shown');
	$s->sql("SELECT scim.alter_sync('scoped', scope => 'id < 5')");
	ok($s->poll("SELECT linked, disabled, staged FROM scim.sync_status WHERE name = 'scoped'", '4|0|1', 10), 'with a better scope they go on, but for who is out of it');
	is($s->sql("SELECT scim.approve('scoped')"), 1, 'who waits');
	ok($s->poll("SELECT linked, disabled, staged FROM scim.sync_status WHERE name = 'scoped'", '4|1|0', 10), 'for approval');
	$s->sql("SELECT scim.drop_sync('scoped')");
}

# ---- a GET does not end a quarantine ----

{
	my $peer = ScimPeer->start(token => CANARY);
	my $probe = "UPDATE scim._syncs SET probe_at = now() WHERE name = 'trial'";

	$s->mapped_table('trial', 5);
	$s->start_sync('trial', $peer, mapping => 'trial');
	ok($s->settled('trial'), 'settled');
	$peer->faults({ action => 'unauthorized', method => ['PATCH'] });
	$s->sql("UPDATE hr.trial SET job_title = 'One'");
	ok($s->poll("SELECT state FROM scim.syncs WHERE name = 'trial'", 'quarantined', 10), 'writes are not let in');
	my $probes = $s->sql("SELECT probes FROM scim._syncs WHERE name = 'trial'");
	my $mark = $peer->mark;
	$s->sql($probe);
	$s->sql("UPDATE hr.trial SET mail = 'wake\@mail.example' WHERE id = 1");
	ok($s->poll("SELECT probes FROM scim._syncs WHERE name = 'trial'", $probes + 1, 10), 'a probe that is answered does not end it');
	is(state_of('trial'), 'quarantined', 'it is quarantined');
	is(count_of($peer, 'PATCH', $mark), 1, 'after one row that was tried');
	$peer->faults;
	$s->sql($probe);
	$s->sql("UPDATE hr.trial SET mail = 'wake2\@mail.example' WHERE id = 1");
	$s->becomes_same($peer, 'trial', 'a row that is taken ends it', 15);
	is(state_of('trial'), 'active', 'it is active');
	$peer->faults({ action => 'unauthorized', method => ['PATCH'] });
	$s->sql("UPDATE hr.trial SET job_title = 'Two'");
	ok($s->poll("SELECT state FROM scim.syncs WHERE name = 'trial'", 'quarantined', 10), 'again');
	$s->sql("UPDATE scim._syncs SET quarantined_at = now() - interval '29 days', probe_at = now() WHERE name = 'trial'; UPDATE hr.trial SET mail = 'wake3\@mail.example' WHERE id = 1");
	ok($s->poll("SELECT state FROM scim.syncs WHERE name = 'trial'", 'disabled', 10), 'after four weeks it is given up');
	$peer->faults;
	$s->sql("SELECT scim.resume_sync('trial')");
	$s->becomes_same($peer, 'trial', 'until a person resumes it', 15);
	$s->sql("SELECT scim.drop_sync('trial')");
}

# ---- rows that nobody takes for weeks ----

{
	my $peer = ScimPeer->start(token => CANARY);

	$peer->faults({ action => 'answer', status => 400, method => ['POST'], answer_body => { detail => 'no' } });
	$s->mapped_table('weeks', 1);
	$s->start_sync('weeks', $peer, mapping => 'weeks', options => '{"escrow_days": 2}');
	ok($s->poll("SELECT state, next_at > now() + interval '5 hours' FROM scim.sync_links WHERE sync = 'weeks'", 'parked|t', 10), 'parked for hours');
	for my $try (2 .. 4)
	{
		$s->sql("UPDATE scim._links SET next_at = now() WHERE sync_id = (SELECT id FROM scim._syncs WHERE name = 'weeks')");
		$s->sql("SELECT scim.restart_sync('weeks', '{quarantine}')");
		$s->poll("SELECT attempts FROM scim.sync_links WHERE sync = 'weeks'", $try, 10);
	}
	is($s->sql("SELECT state, next_at IS NULL, reason LIKE 'given up after 2 days: %' FROM scim.sync_links WHERE sync = 'weeks'"), 'parked|t|t', 'then it is given up');
	$peer->faults;
	$s->sql("SELECT scim.retry('weeks', '1')");
	$s->becomes_same($peer, 'weeks', 'until somebody wants another try', 10);
	is($s->sql("SELECT percent, eta IS NULL, lag IS NULL, last_error FROM scim.sync_status WHERE name = 'weeks'"), '100.0|t|t|refused: 400: no', 'the status: all is done, and what went wrong last');
	$s->sql("SELECT scim.drop_sync('weeks')");
}

# ---- inactive rows that vanish ----

{
	my $peer = ScimPeer->start(token => CANARY);

	$s->mapped_table('inactive', 10);
	$s->start_sync('inactive', $peer, mapping => 'inactive', options => '{"guard_count": 3, "guard_percent": 0, "create_inactive": true}', delete_after => '1 hour');
	ok($s->settled('inactive'), 'settled');
	$s->sql("UPDATE hr.inactive SET is_soft_deleted = true WHERE id <= 3");
	ok($s->settled('inactive'), 'three are out of use');
	$s->sql("DELETE FROM scim._removals");
	$s->sql("UPDATE hr.inactive SET is_soft_deleted = true WHERE id IN (4, 5)");
	ok($s->settled('inactive'), 'five are');
	$s->sql("DELETE FROM hr.inactive WHERE id <= 5");
	ok($s->poll("SELECT state, staged, count(*) FROM scim.sync_links WHERE sync = 'inactive' AND source_key <= '5' AND source_key <> '10' GROUP BY 1, 2 ORDER BY 1", "disabled||1\nstaged|delete|4", 10),
		'their deletion counts, as any loss does');
	$s->sql("SELECT scim.approve('inactive')");
	ok($s->poll("SELECT count(*) FROM scim.sync_links WHERE sync = 'inactive' AND state = 'disabled' AND gone_at IS NOT NULL AND next_at IS NOT NULL", 5, 10), 'approved: they wait for their time');
	$s->sql("SELECT scim.drop_sync('inactive')");
}

# ---- a key that changes ----

{
	my $peer = ScimPeer->start(token => CANARY);

	$s->mapped_table('keyed', 3);
	$s->start_sync('keyed', $peer, mapping => 'keyed');
	ok($s->settled('keyed'), 'settled');
	my $id = $peer->users->{'user2@example.com'}{id};
	$s->sql("UPDATE hr.keyed SET id = 22, job_title = 'Same person' WHERE id = 2");
	ok($s->poll("SELECT state, remote_id FROM scim.sync_links WHERE sync = 'keyed' AND source_key = '22' AND intent IS NULL AND next_at IS NULL", "linked|$id", 20),
		'the new key has the resource of the old one');
	$s->same_users($peer, 'keyed', 'keyed');
	is($s->sql("SELECT count(*) FROM scim.sync_links WHERE sync = 'keyed'"), 3, 'the old one is forgotten');
	is(count_of($peer, 'POST'), 3, 'nobody was made twice');
	$s->sql("SELECT scim.drop_sync('keyed')");
}

# ---- a sync that only matches ----

{
	my $peer = ScimPeer->start(token => CANARY);

	$peer->put_resources(map { +{ schemas => [CORE_USER], userName => "user$_\@example.com", active => $true } } 1 .. 3);
	$s->mapped_table('found', 4);
	$s->sql("SET ROLE hr_owner; CREATE TABLE hr.teams (id int PRIMARY KEY, name text); CREATE TABLE hr.team_members (team int, person int);
		INSERT INTO hr.teams VALUES (1, 'Team'); INSERT INTO hr.team_members SELECT 1, i FROM generate_series(1, 4) i");
	$t->call('create_mapping', { name => 'teams', resource_type => 'Group', relation => 'hr.teams', owner => 'hr_owner',
		attributes => '{"displayName": "name", "members": {"table": "hr.team_members", "parent": "team", "ref": "person", "type": "User"}}' });
	$s->start_sync('found', $peer, mapping => 'found', actions => '{}');
	$t->call('create_sync', { name => 'teams', mapping => 'teams', server => 'found' });
	$s->sql("SELECT scim.start_sync('teams')");
	ok($s->poll("SELECT count(*) FROM scim.sync_links WHERE sync = 'found' AND state = 'linked'", 3, 10), 'users of somebody else are found');
	ok($peer->wait_for(sub { my $g = $_[0]->groups->{Team}; $g && @{ $g->{members} || [] } == 3 }, 10), 'and are members of our groups');
	is(join(' ', grep { !/Groups/ } map { $_->{path} } grep { $_->{method} ne 'GET' } $peer->log), '', 'no user was written');
	is($s->sql("SELECT state, next_at > now() FROM scim.sync_links WHERE sync = 'found' AND source_key = '4'"), 'skipped|t', 'one that is not there is looked for again');
	$peer->put_resources({ schemas => [CORE_USER], userName => 'user4@example.com', active => $true });
	$s->sql("SELECT scim.retry('found', '4')");
	ok($peer->wait_for(sub { @{ $_[0]->groups->{Team}{members} || [] } == 4 }, 10), 'and is a member then');
	$s->sql('DELETE FROM hr.found WHERE id = 1');
	ok($s->poll("SELECT count(*) FROM scim.sync_links WHERE sync = 'found'", 3, 10), 'who is gone is forgotten');
	ok($peer->users->{'user1@example.com'}{active}, 'and left alone');
	$s->sql("SELECT scim.drop_sync('teams'), scim.drop_sync('found')");
}

# ---- attributes that have to match together ----

for my $and ('false', 'true')
{
	my $peer = ScimPeer->start(token => CANARY);
	my $name = "pair_$and";

	$peer->put_resources({ schemas => [CORE_USER], userName => 'user1@example.com', title => 'Title 1', active => $true },
		{ schemas => [CORE_USER], userName => 'user2@example.com', title => 'Another', active => $true });
	$s->mapped_table($name, 3);
	$s->start_sync($name, $peer, mapping => $name, server => { filter_and => $and }, attributes => '{"userName": {"match": 1}, "title": {"match": 1}}');
	ok($s->poll("SELECT string_agg(CASE WHEN reason ~ 'duplicate|taken' THEN 'other' ELSE state || coalesce(reason, '') END, ' ' ORDER BY source_key) FROM scim.sync_links WHERE sync = '$name'", 'linked other linked', 20),
		"filter_and $and: who matches in both is adopted, in one is not");
	is(scalar(grep { ($_->{query} || '') =~ /%20and%20/ } $peer->log) > 0, $and eq 'true', "filter_and $and: asked accordingly");
	$s->sql("SELECT scim.drop_sync('$name')");
}

# ---- code of the owner that takes for ever ----

{
	my $peer = ScimPeer->start(token => CANARY);
	my $other = ScimPeer->start(token => CANARY);

	$s->mapped_table('sound', 3);
	$s->start_sync('sound', $other, mapping => 'sound');
	$s->sql("SET ROLE hr_owner; CREATE FUNCTION hr.slow(title text) RETURNS text LANGUAGE plpgsql AS \$\$
BEGIN
	IF title = 'slow' THEN PERFORM pg_sleep(60); END IF;
	WHILE title = 'for ever' LOOP
		BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN NULL; END;
	END LOOP;
	RETURN title;
END \$\$; CREATE TABLE hr.slow (id int PRIMARY KEY, upn text, title text); INSERT INTO hr.slow SELECT i, 'u' || i, CASE i WHEN 7 THEN 'slow' ELSE 'quick' END FROM generate_series(1, 20) i");
	$t->call('create_mapping', { name => 'slow', resource_type => 'User', relation => 'hr.slow', owner => 'hr_owner',
		attributes => '{"userName": "upn", "title": "hr.slow(title)"}' });
	$s->start_sync('slow', $peer, mapping => 'slow');
	ok($s->poll("SELECT linked, failed FROM scim.sync_status WHERE name = 'slow'", '19|1', 60), 'one row that takes too long costs no other');
	like($s->sql("SELECT reason FROM scim.sync_errors WHERE sync = 'slow'"), qr/statement_timeout/, 'and says why');
	my $pid = $s->worker_pid;
	$s->sql("UPDATE hr.slow SET title = 'for ever' WHERE id = 8; UPDATE hr.slow SET title = 'quick' WHERE id = 7; UPDATE hr.slow SET title = 'next' WHERE id = 9");
	ok($s->poll("SELECT count(*) FROM scim.sync_links WHERE sync = 'slow' AND state = 'linked'", 19, 90), 'nor one that catches its cancel');
	ok($s->poll("SELECT state FROM scim.sync_links WHERE sync = 'slow' AND source_key = '8'", 'parked', 30), 'which is parked');
	$s->sql("UPDATE hr.sound SET job_title = 'After'");
	$s->becomes_same($other, 'sound', 'another sync goes on', 20);
	$s->sql("SELECT scim.drop_sync('slow'), scim.drop_sync('sound')");
}

done_testing();
