# 023_sync_drift.pl - what somebody has changed at the target, looked for by the
# worker at the times that a sync names, and changed back where it says so.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use ScimPeer;
use ScimSync;
use ScimTest;
use Test::More;
use Time::HiRes qw(sleep time);

ScimTest->watchdog(150);
my $s = ScimSync->start(rows => 12);
my $peer = ScimPeer->start(token => CANARY);
my $found = "SELECT string_agg(source_key || ' ' || coalesce(attribute, 'gone'), ', ' ORDER BY source_key::int) FROM scim.sync_drift WHERE sync = 'staff'";

# Somebody there gives user N another title.
sub change
{
	my ($n, $title) = @_;
	my $id = $peer->users->{"user$n\@example.com"}{id};
	my ($status) = $peer->request('PATCH', "/Users/$id", { schemas => ['urn:ietf:params:scim:api:messages:2.0:PatchOp'],
		Operations => [ { op => 'replace', path => 'title', value => $title } ] });
	return is($status, 200, "user $n is changed there");
}

$s->start_sync('staff', $peer, options => '{"drift_interval": "2 seconds"}', server => { page_size => 5 });
ok($s->settled('staff'), 'settled');
change(3, 'Somebody');
change(11, 'Else');
$peer->remove($peer->users->{'user7@example.com'}{id});
ok($s->poll($found, '3 title, 7 gone, 11 title', 15), 'what is different is found');
my $mark = $peer->mark;
sleep 3;
is(scalar(grep { $_->{method} ne 'GET' } $peer->log($mark)), 0, 'and left alone');
cmp_ok(scalar(grep { $_->{method} eq 'GET' } $peer->log($mark)), '<=', 9, 'each look costs the pages of the list');

$s->sql("SELECT scim.alter_sync('staff', options => '{\"drift_interval\": \"2 seconds\", \"drift_repair\": true, \"recreate_count\": 1}')");
$s->becomes_same($peer, 'staff', 'repaired', 15);
ok($s->poll("SELECT count(*) FROM scim.sync_drift WHERE sync = 'staff'", 0, 15), 'then nothing differs any more');

# what is changed here meanwhile is no difference
$s->sql("UPDATE hr.staff SET job_title = 'T' || i FROM generate_series(1, 3) i WHERE id = 1") for 1 .. 3;
ok($s->settled('staff'), 'settled');
$peer->remove($peer->users->{"user$_\@example.com"}{id}) for 1, 2;
ok($s->poll("SELECT count(*) FROM scim.sync_links WHERE sync = 'staff' AND state = 'staged' AND staged = 'recreate'", 2, 15), 'more that have gone than are made anew in an hour wait');
is($s->sql("SELECT scim.approve('staff')"), 2, 'for approval');
$s->becomes_same($peer, 'staff', 'approved', 15);
is($s->sql("SELECT count(*) FROM scim.sync_errors WHERE sync = 'staff'"), 0, 'no errors');

# a sync that stops looks no more
$s->sql("SELECT scim.pause_sync('staff')");
sleep 1;
$mark = $peer->mark;
sleep 3;
is(scalar(() = $peer->log($mark)), 0, 'a pause ends it');
is($s->sql("SELECT count(*) FROM (SELECT scim.alter_sync('staff', options => '{\"drift_interval\": \"1 day\"}')) q"), 1, 'another interval');
my ($rc) = $s->t->try_sql("SELECT scim.alter_sync('staff', options => '{\"drift_interval\": 3}')");
isnt($rc, 0, 'which has to be one');

# whoever is made anew has another id: groups that are not changed learn it, also
# where the target goes on to show the old one
$s->mapped_teams(2);
$s->sql('INSERT INTO hr.team_members SELECT t, p FROM generate_series(1, 2) t, generate_series(3, 5) p');
$s->start_sync('staff2', my $keeper = ScimPeer->start(token => CANARY));
$s->t->call('create_sync', { name => 'teams', mapping => 'teams', server => 'staff2' });
$s->sql("SELECT scim.start_sync('teams')");
ok($s->settled('staff2') && $s->settled('teams'), 'settled');
$s->same_teams($keeper, 'at first');
$keeper->remove($keeper->users->{'user4@example.com'}{id});
is($s->sql("SELECT source_key FROM scim.check_drift('staff2', repair => true)"), '4', 'a user has gone');
$s->becomes_same($keeper, 'staff', 'made anew', 15);
$s->same_teams($keeper, 'then');

# who comes to be known while a change of the group is on its way is in it, too
$s->sql('INSERT INTO hr.team_members VALUES (1, 99)');
ok($s->settled('teams'), 'a group waits for somebody');
$keeper->faults({ action => 'delay', method => 'PATCH', path => '/Groups', delay_ms => 1500, first => 1 });
$s->sql('INSERT INTO hr.team_members VALUES (1, 6)');
ok($s->poll("SELECT intent FROM scim.sync_links WHERE sync = 'teams' AND source_key = '1'", 'update', 5), 'a change of it is on its way');
$s->add_rows('staff', 99, 99);
ok($s->poll("SELECT state FROM scim.sync_links WHERE sync = 'staff2' AND source_key = '99'", 'linked', 5), 'meanwhile he comes');
is($s->sql("SELECT intent FROM scim.sync_links WHERE sync = 'teams' AND source_key = '1'"), 'update', 'still on its way');
ok($s->settled('teams'), 'it arrives');
$s->same_teams($keeper, 'with him');

# who has gone, and is not made anew, is in no group
$s->sql('UPDATE hr.staff SET is_soft_deleted = true WHERE id = 3');
ok($s->settled('staff2'), 'somebody is out of use');
$keeper->remove($keeper->users->{'user3@example.com'}{id});
is($s->sql("SELECT source_key FROM scim.check_drift('staff2', repair => true)"), '3', 'and has gone');
ok($s->poll("SELECT state FROM scim.sync_links WHERE sync = 'staff2' AND source_key = '3'", 'skipped', 10), 'for good');
$s->same_teams($keeper, 'without him');
done_testing();
