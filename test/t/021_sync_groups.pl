# 021_sync_groups.pl - groups in groups: sent as they are, or flattened, so that
# the users of an inner group are members of the outer one.

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
my $s = ScimSync->start(rows => 8);
my $t = $s->t;

$s->sql("SET ROLE hr_owner; CREATE TABLE hr.units (id int PRIMARY KEY, name text); CREATE TABLE hr.unit_members (unit int, person int);
	CREATE TABLE hr.unit_units (unit int, part int)");
$t->call('create_mapping', { name => 'units', resource_type => 'Group', relation => 'hr.units', owner => 'hr_owner',
	attributes => '{"displayName": "name", "members": [{"table": "hr.unit_members", "parent": "unit", "ref": "person", "type": "User"},
		{"table": "hr.unit_units", "parent": "unit", "ref": "part", "type": "Group"}]}' });

# The users of a group at a peer.
sub members
{
	my ($peer, $group) = @_;
	my %name = map { $_->{id} => $_->{userName} =~ s/\@.*//r } values %{ $peer->users };
	my $g = $peer->groups->{$group};
	return $g ? join ' ', sort map { $name{ $_->{value} } // 'group' } @{ $g->{members} || [] } : 'none';
}

sub becomes
{
	my ($peer, $group, $members, $what) = @_;
	$peer->wait_for(sub { members($_[0], $group) eq $members }, 15);
	return is(members($peer, $group), $members, $what);
}

my $peer = ScimPeer->start(token => CANARY);

# 1 holds 2, which holds 3; 4 and 5 hold each other
$s->sql("INSERT INTO hr.units VALUES (1, 'Company'), (2, 'Division'), (3, 'Team'), (4, 'Left'), (5, 'Right');
	INSERT INTO hr.unit_units VALUES (1, 2), (2, 3), (4, 5), (5, 4), (1, 99);
	INSERT INTO hr.unit_members VALUES (1, 1), (2, 2), (3, 3), (3, 1), (4, 4), (5, 5)");
$s->start_sync('staff', $peer);
ok($s->settled('staff'), 'users are there');
$t->call('create_sync', { name => 'units', mapping => 'units', server => 'staff', options => '{"flatten_groups": true}' });
is($s->sql("SELECT string_agg(jsonb_array_length(body -> 'members')::text, ' ' ORDER BY source_key::int) FROM scim.plan('units')"), '3 3 2 2 2', 'the plan shows it');
$s->sql("SELECT scim.start_sync('units')");
ok($s->settled('units'), 'settled');
is(members($peer, 'Company'), 'user1 user2 user3', 'the outermost has all');
is(members($peer, 'Division'), 'user1 user2 user3', 'the one in it');
is(members($peer, 'Team'), 'user1 user3', 'the innermost has its own');
is(members($peer, 'Left') . '|' . members($peer, 'Right'), 'user4 user5|user4 user5', 'groups that hold each other end');

# changes of inner groups
$s->sql('INSERT INTO hr.unit_members VALUES (3, 6)');
becomes($peer, 'Company', 'user1 user2 user3 user6', 'a new member of the innermost');
becomes($peer, 'Division', 'user1 user2 user3 user6', 'in each');
$s->sql('DELETE FROM hr.unit_members WHERE unit = 3 AND person = 1');
becomes($peer, 'Division', 'user2 user3 user6', 'who leaves it');
becomes($peer, 'Company', 'user1 user2 user3 user6', 'and is there otherwise, stays');
$s->sql("INSERT INTO hr.units VALUES (99, 'New'); INSERT INTO hr.unit_members VALUES (99, 7)");
becomes($peer, 'Company', 'user1 user2 user3 user6 user7', 'a group that was missing');
$s->sql('DELETE FROM hr.unit_units WHERE unit = 2');
becomes($peer, 'Company', 'user1 user2 user7', 'a group that is taken out of another');
$s->sql('INSERT INTO hr.unit_members VALUES (3, 8)');
ok($s->settled('units'), 'settled');
is(members($peer, 'Company'), 'user1 user2 user7', 'is none of its matters any more');
$s->sql('INSERT INTO hr.unit_units VALUES (2, 3); DELETE FROM hr.units WHERE id = 3');
becomes($peer, 'Company', 'user1 user2 user7', 'a group that is gone has no members');

# by hand, and what changes then
$s->sql("INSERT INTO hr.units VALUES (3, 'Team')");
$s->sql("SELECT scim.pause_sync('units')");
sleep 0.5;
$s->sql("UPDATE hr.units SET name = 'Firm' WHERE id = 1");
$s->sql("SELECT count(*) FROM scim.sync_now('units', '1')");
is(members($peer, 'Firm'), 'user1 user2 user3 user6 user7 user8', 'sync_now');
$s->sql("SELECT scim.resume_sync('units')");
ok($s->settled('units'), 'settled');
my $mark = $peer->mark;
$s->sql("SELECT scim.restart_sync('units')");
ok($s->settled('units'), 'a reconcile');
is(scalar(grep { $_->{method} ne 'GET' } $peer->log($mark)), 0, 'writes nothing');

# as they are
$s->sql("SELECT scim.alter_sync('units', options => '{}')");
becomes($peer, 'Firm', 'group group user1', 'without the option groups are members');
ScimSync::no_offences($peer, 'groups');
done_testing();
