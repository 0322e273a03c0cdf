# 039_across.pl - from PostgreSQL to PostgreSQL: tables of one server are synced
# into an endpoint of another, while clients change rows here and resources there.
# When both sides come to rest, and what was changed there has been looked for,
# there is what the tables say.
#
# With SCIM_SOAK=1 (make soak-sync): an hour's edits (one a second here, one in five
# seconds there) in two minutes.  SCIM_SEED: as in 040_chaos.pl.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use ScimPeer;
use ScimSync;
use ScimTest;
use Test::More;
use Time::HiRes qw(sleep time);

my $soak = $ENV{SCIM_SOAK};
my %size = $soak ? (users => 500, teams => 25, seconds => 120, here => 3600, there => 720, settle => 300)
  : (users => 60, teams => 5, seconds => 6, here => 150, there => 30, settle => 60);
my $seed = $ENV{SCIM_SEED} || 1;

ScimTest->watchdog($soak ? 900 : 200);
srand($seed);
note("SCIM_SEED=$seed");

# What ScimSync compares by, of an endpoint in place of the peer.
package ScimEndpoint
{
	sub list
	{
		my ($self, $type) = @_;
		my @all;

		for (;;)
		{
			my $page = $self->{client}->get("/$type?count=500&startIndex=" . (@all + 1))->json;
			push @all, @{ $page->{Resources} || [] };
			return \@all if !@{ $page->{Resources} || [] } || @all >= $page->{totalResults};
		}
	}
	sub state { my ($self) = @_; return { Users => $self->list('Users'), Groups => $self->list('Groups') } }
	# without the groups of each, which the service provider adds
	sub users { my ($self) = @_; return { map { delete $_->{groups}; $_->{userName} => $_ } @{ $self->list('Users') } } }
}

my $s = ScimSync->start(rows => $size{users});
my $there = ScimTest->start(name => 'there', listeners => 2);
my $endpoint = bless { client => $there->client }, 'ScimEndpoint';
my $t = $s->t;

$s->mapped_teams($size{teams});
$s->sql("INSERT INTO hr.team_members SELECT DISTINCT 1 + i % $size{teams}, 1 + (i * 37 + i / $size{teams}) % $size{users} FROM generate_series(1, 3 * $size{users}) i");
$s->sql("CREATE SERVER across FOREIGN DATA WRAPPER scim OPTIONS (base_url 'http://127.0.0.1:" . $there->port . "/api/v2/scim', concurrency '8'); ALTER SERVER across OWNER TO hr_owner");
$s->set_secret('across', $there->token);
for my $sync ([ 'users', 'staff' ], [ 'teams', 'teams' ])
{
	$t->call('create_sync', { name => $sync->[0], mapping => $sync->[1], server => 'across', delete_after => '0', options => '{"guard_count": 1000000, "recreate_count": 1000000}' });
}
is($s->sql("SELECT bool_and(ok) FROM scim.test_connection('across')"), 't', 'the endpoint is there');
$s->sql("SELECT scim.start_sync('users'), scim.start_sync('teams')");
ok($s->settled('users', $size{settle}) && $s->settled('teams', $size{settle}), 'the first cycle settles');
$s->same_users($endpoint, 'staff', 'at first');
$s->same_teams($endpoint, 'at first');

# ---- both sides at the same time ----

my ($serial, $last) = (0, $size{users});

sub user { return 1 + int rand $size{users} }
sub team { return 1 + int rand $size{teams} }

sub edit_here
{
	my $kind = rand;
	my ($i, $j) = (user(), team());

	$serial++;
	return $kind < 0.45 ? "UPDATE hr.staff SET job_title = 'Title $serial' WHERE id = $i"
	  : $kind < 0.55 ? "UPDATE hr.staff SET mail = CASE WHEN mail IS NULL THEN 'mail$serial\@mail.example' END WHERE id = $i"
	  : $kind < 0.6 ? "UPDATE hr.staff SET upn = 'renamed$serial\@example.com' WHERE id = $i"
	  : $kind < 0.65 ? "UPDATE hr.staff SET is_soft_deleted = NOT is_soft_deleted WHERE id = $i"
	  : $kind < 0.68 ? "DELETE FROM hr.team_members WHERE person = $i; DELETE FROM hr.staff WHERE id = $i"
	  : $kind < 0.73 ? 'INSERT INTO hr.staff ' . ScimSync::rows($last + 1, ++$last)
	  : $kind < 0.85 ? "INSERT INTO hr.team_members SELECT $j, id FROM hr.staff WHERE id = $i ON CONFLICT DO NOTHING"
	  : $kind < 0.97 ? "DELETE FROM hr.team_members WHERE team = $j AND person = $i"
	  : "UPDATE hr.teams SET name = 'Renamed $serial' WHERE id = $j";
}

# What somebody does there: a resource that he has seen a moment ago.
sub edit_there
{
	my ($known) = @_;
	my $kind = rand;
	my $user = $known->{Users}[ rand @{ $known->{Users} } ];
	my $group = $known->{Groups}[ rand @{ $known->{Groups} } ];
	my $client = $endpoint->{client};

	# when he has deleted them all
	$kind *= 0.7 unless $group;
	my $patch = sub { return { schemas => [PATCH_OP], Operations => [@_] } };

	$serial++;
	return $kind < 0.5 ? $client->patch("/Users/$user->{id}", $patch->({ op => 'replace', path => 'title', value => "Drift $serial" }))
	  : $kind < 0.6 ? $client->patch("/Users/$user->{id}", $patch->({ op => 'replace', path => 'active', value => FALSE }))
	  : $kind < 0.7 ? $client->delete("/Users/$user->{id}")
	  : $kind < 0.85 ? $client->patch("/Groups/$group->{id}", $patch->({ op => 'remove', path => "members[value eq \"$user->{id}\"]" }))
	  : $kind < 0.95 ? $client->patch("/Groups/$group->{id}", $patch->({ op => 'add', path => 'members', value => [ { value => $user->{id} } ] }))
	  : $client->delete("/Groups/$group->{id}");
}

my $start = time;
my ($here_done, $there_done, $seen_at, $known) = (0, 0, 0);
my %answers;

while ((my $part = (time - $start) / $size{seconds}) < 1)
{
	my @due;

	push @due, edit_here() while $here_done++ < $part * $size{here};
	$here_done--;
	$s->sql(join '; ', @due) if @due;
	if ($there_done < $part * $size{there})
	{
		($known, $seen_at) = ($endpoint->state, time) if time > $seen_at + 2;
		$answers{ edit_there($known)->status }++;
		$there_done++;
	}
	sleep 0.02;
}
note(sprintf '%d edits here, %d there (%s) in %.0f s', $here_done, $there_done, join(', ', map { "$_: $answers{$_}" } sort keys %answers), time - $start);
is(scalar(grep { $_ >= 500 } keys %answers), 0, 'no request failed there');
ok($s->settled('users', $size{settle}) && $s->settled('teams', $size{settle}), 'both syncs settle');

# ---- what was changed there is found, and mended ----

# members before users are back are theirs no more: so the groups come after
for my $sync ('users', 'teams')
{
	my $found = $s->sql("SELECT count(*) FROM scim.check_drift('$sync', repair => true)");
	cmp_ok($found, '>', 0, "$sync: $found differences");
	ok($s->settled($sync, $size{settle}), "$sync settle");
}
my $held = ScimSync::held($endpoint);
my $wanted = $s->wanted('staff');
# who is inactive is not made anew
delete $wanted->{$_} for grep { !$wanted->{$_}{active} && !$held->{$_} } keys %$wanted;
is_deeply($held, $wanted, 'users are as the tables say');
$s->same_teams($endpoint, 'in the end');
is($s->sql("SELECT count(*) FROM scim.check_drift('users')") + $s->sql("SELECT count(*) FROM scim.check_drift('teams')"), 0, 'nothing differs any more');
is($s->sql("SELECT string_agg(DISTINCT state, ' ') FROM scim.sync_links WHERE state NOT IN ('linked', 'skipped')"), '', 'no row is left behind')
  or diag($s->sql("SELECT sync, state, staged, reason, count(*) FROM scim.sync_links GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4"));
$t->no_crash;
$there->no_crash('nor there');
done_testing();
