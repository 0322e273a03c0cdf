# 017_wire.pl - targets that want their requests in another form: PUT instead of
# PATCH, one operation at a time, few members at a time; that cannot filter, or
# do not want to be asked for each row; that say by a refusal what they want.
#
# Each part has a peer of its own and syncs of the same two tables to it.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use JSON::PP ();
use MIME::Base64 ();
use ScimPeer;
use ScimTest;
use Test::More;
use Time::HiRes qw(sleep time);

use constant TOKEN => 'wire-token';

ScimTest->watchdog(280);

my $t = ScimTest->start(conf => "scim.allowed_targets = '127.0.0.1'\n");
my $json = JSON::PP->new->utf8->canonical;

$t->sql(<<'SQL');
CREATE ROLE hr_owner;
CREATE SCHEMA hr AUTHORIZATION hr_owner;
GRANT USAGE ON FOREIGN DATA WRAPPER scim TO hr_owner;
SET ROLE hr_owner;
CREATE TABLE hr.staff (id int PRIMARY KEY, login text, title text, mail text, listed boolean NOT NULL DEFAULT true);
CREATE TABLE hr.teams (id int PRIMARY KEY, name text);
CREATE TABLE hr.team_members (team int, person int, PRIMARY KEY (team, person));
SQL
$t->call('create_mapping', { name => 'staff', resource_type => 'User', relation => 'hr.staff', owner => 'hr_owner',
		attributes => json_bytes({ userName => 'login', title => 'title', 'emails[type eq "work"].value' => 'mail' }) });
$t->call('create_mapping', { name => 'teams', resource_type => 'Group', relation => 'hr.teams', owner => 'hr_owner',
		attributes => json_bytes({ displayName => 'name', members => { table => 'hr.team_members', parent => 'team', ref => 'person', type => 'User' } }) });

# The tables as they are at the beginning of a part.
sub rows
{
	my ($n, @members) = @_;

	$t->sql('TRUNCATE hr.staff, hr.teams, hr.team_members');
	$t->sql("INSERT INTO hr.staff SELECT i, 'u' || i, 'T' || i, 'u' || i || '\@mail.example' FROM generate_series(1, $n) i");
	$t->sql("INSERT INTO hr.teams VALUES (1, 'Team')") if @members;
	$t->sql("INSERT INTO hr.team_members SELECT 1, unnest('{" . join(',', @members) . "}'::int[])") if @members;
	return;
}

# A server NAME for a peer and a sync of each table, users_NAME and teams_NAME, started.
# Options of the server; scope: of the users' sync; users, teams: 0 for no such sync.
sub connect_to
{
	my ($name, $peer, %opt) = @_;
	my %with = (users => 1, teams => 1, scope => 'listed', map { exists $opt{$_} ? ($_ => delete $opt{$_}) : () } qw(users teams scope options));
	my %options = (profile => 'generic', base_url => $peer->url, bulk => 'false', %opt);

	$t->sql("CREATE SERVER $name FOREIGN DATA WRAPPER scim OPTIONS (" . join(', ', map { "$_ '$options{$_}'" } sort keys %options)
		  . "); ALTER SERVER $name OWNER TO hr_owner");
	is($t->sql("SELECT scim.set_secret('$name', '" . TOKEN . "')"), 'ok', "$name: secret");
	my %more = $with{options} ? (options => $with{options}) : ();
	$t->call('create_sync', { name => "users_$name", mapping => 'staff', server => $name, scope => $with{scope}, %more }) if $with{users};
	$t->call('create_sync', { name => "teams_$name", mapping => 'teams', server => $name, %more }) if $with{teams};
	# users first, so that groups are created with members
	$t->sql("SELECT scim.start_sync('users_$name')") if $with{users};
	settles($name, 'users');
	$t->sql("SELECT scim.start_sync('teams_$name')") if $with{teams};
	return;
}

sub drop
{
	my ($name) = @_;
	$t->sql("SELECT scim.drop_sync(name) FROM scim.syncs WHERE server = '$name'");
	$t->sql("DROP SERVER $name");
	return;
}

sub poll
{
	my ($query, $expected, $what, $timeout) = @_;
	my $end = time + ($timeout || 30);
	my $got;

	while (($got = $t->sql($query)) ne $expected && time < $end) { sleep 0.1 }
	return is($got, $expected, $what);
}

# Nothing of a server's syncs is left to do now, and nothing has failed.
sub settles
{
	my ($name, $what, $timeout) = @_;
	return poll("SELECT (SELECT sum(queued) FROM scim.sync_status WHERE server = '$name') + count(*) FROM scim.sync_links WHERE sync IN ('users_$name', 'teams_$name')"
		  . " AND (intent IS NOT NULL OR next_at <= clock_timestamp() OR (next_at IS NOT NULL AND state IN ('pending', 'linked') AND refused IS NULL))",
		0, "$name: $what", $timeout);
}

sub failures
{
	my ($name) = @_;
	return $t->sql("SELECT sync, source_key, state, reason FROM scim.sync_errors WHERE sync IN ('users_$name', 'teams_$name') ORDER BY 1, 2");
}

# The names of a team's members at a peer.
sub members
{
	my ($peer) = @_;
	my $state = $peer->state;
	my %name = map { $_->{id} => $_->{userName} } @{ $state->{Users} };
	my ($team) = grep { $_->{displayName} eq 'Team' } @{ $state->{Groups} };

	return '' unless $team;
	return join ' ', sort { substr($a, 1) <=> substr($b, 1) } map { $name{ $_->{value} } // '?' } @{ $team->{members} || [] };
}

sub names { return join ' ', map { "u$_" } @_ }

# Methods of the requests that wrote, from a mark on.
sub writes
{
	my ($peer, $mark) = @_;
	return join ' ', map { $_->{method} } grep { $_->{method} ne 'GET' } $peer->log($mark);
}

# The largest number of operations, and of members, in one request.
sub largest
{
	my ($peer, $method) = @_;
	my ($operations, $members) = (0, 0);

	for my $request (grep { $_->{method} eq $method && $_->{body} } $peer->log)
	{
		my $body = $json->decode($request->{body});
		my $n = @{ $body->{members} || [] };

		$operations = @{ $body->{Operations} || [] } if @{ $body->{Operations} || [] } > $operations;
		for my $op (@{ $body->{Operations} || [] })
		{
			$n += ref $op->{value} eq 'ARRAY' ? @{ $op->{value} } : ($op->{path} || '') =~ /^members\[/ ? 1 : 0;
		}
		$members = $n if $n > $members;
	}
	return ($operations, $members);
}

sub clean { my ($peer, $name) = @_; is(join('; ', $peer->offences), '', "$name: nothing twice, nothing at the same time"); return }

# ---- steps ----

{
	my $peer = ScimPeer->start(token => TOKEN, settings => { members_change => 3 });

	rows(10, 1 .. 8);
	connect_to('few', $peer, members_per_request => 3);
	settles('few', 'a group of more members than one request carries');
	is(members($peer), names(1 .. 8), 'few: all of them arrive');
	$t->sql('DELETE FROM hr.team_members WHERE person < 6; INSERT INTO hr.team_members VALUES (1, 9), (1, 10)');
	settles('few', 'changed');
	is(members($peer), names(6 .. 10), 'few: members that go and come');
	is((largest($peer, 'POST'))[1], 3, 'few: a creation has three');
	is((largest($peer, 'PATCH'))[1], 3, 'few: and so has a change');
	is(failures('few'), '', 'few: no failure');
	clean($peer, 'few');
	drop('few');
}
{
	my $peer = ScimPeer->start(token => TOKEN);

	rows(4, 1 .. 3);
	connect_to('single', $peer, patch_one_operation => 'true');
	settles('single', 'created');
	$t->sql("UPDATE hr.staff SET title = 'X', mail = 'x\@mail.example', login = 'u5' WHERE id = 4; UPDATE hr.teams SET name = 'Squad';
		DELETE FROM hr.team_members WHERE person < 3; INSERT INTO hr.team_members VALUES (1, 4)");
	settles('single', 'changed');
	is((largest($peer, 'PATCH'))[0], 1, 'single: one operation in a request');
	is($peer->users->{u5}{title}, 'X', 'single: all of the change arrives');
	is_deeply([ map { $_->{value} } @{ $peer->groups->{Squad}{members} } ], [ map { $peer->users->{$_}{id} } qw(u3 u5) ], 'single: also of a group');
	$t->sql('UPDATE hr.staff SET listed = false WHERE id = 1');
	settles('single', 'out of scope');
	$t->sql("UPDATE hr.staff SET listed = true, title = 'Back' WHERE id = 1");
	settles('single', 'in scope again');
	ok($peer->users->{u1}{active} && $peer->users->{u1}{title} eq 'Back', 'single: taken back, and changed');
	is((largest($peer, 'PATCH'))[0], 1, 'single: one operation in a request');
	clean($peer, 'single');
	drop('single');
}

# ---- PUT ----

for my $method (qw(put put_merge))
{
	my $peer = ScimPeer->start(token => TOKEN);

	rows(3, 1, 2);
	connect_to($method, $peer, update_method => $method, group_update => $method);
	settles($method, 'created');
	# what the sync does not manage
	my $ann = $peer->users->{u1};
	$peer->put_resources({ %$ann, nickName => 'Annie', emails => [ @{ $ann->{emails} }, { type => 'home', value => 'ann@home.example' } ] });
	is($t->sql("BEGIN; UPDATE hr.staff SET title = 'Boss' WHERE id = 1; SELECT method FROM scim.plan('users_$method'); ROLLBACK"), 'PUT', "$method: the plan shows it");
	my $mark = $peer->mark;
	$t->sql("BEGIN; UPDATE hr.staff SET title = 'Boss' WHERE id = 1; INSERT INTO hr.team_members VALUES (1, 3); DELETE FROM hr.team_members WHERE person = 1; COMMIT");
	settles($method, 'changed');
	is(writes($peer, $mark), 'PUT PUT', "$method: by PUT");
	$ann = $peer->users->{u1};
	is($ann->{title}, 'Boss', "$method: what changed arrives");
	is(members($peer), names(2, 3), "$method: members too");
	if ($method eq 'put')
	{
		is($ann->{nickName}, 'Annie', "$method: what is not managed stays");
		is(scalar @{ $ann->{emails} }, 2, "$method: of a list as well");
		# a resource that is not whole is not overwritten
		$peer->faults({ action => 'answer', status => 200, method => 'GET', path => '/Users/', answer_body => { id => $ann->{id} } });
		$t->sql("UPDATE hr.staff SET title = 'Chief' WHERE id = 1");
		poll("SELECT state, reason FROM scim.sync_links WHERE sync = 'users_put' AND source_key = '1'",
			'parked|what the target returns is no whole resource: it is not overwritten', 'put: not over what is cut short');
		$peer->faults;
		$t->sql("SELECT scim.retry('users_put')");
		settles($method, 'tried again');
		is($peer->users->{u1}{title}, 'Chief', 'put: then it is');
	}
	$t->sql('UPDATE hr.staff SET listed = false WHERE id = 2');
	settles($method, 'out of scope');
	ok(!$peer->users->{u2}{active}, "$method: disabled");
	$t->sql('UPDATE hr.staff SET listed = true WHERE id = 2');
	settles($method, 'in scope again');
	ok($peer->users->{u2}{active}, "$method: taken back");
	is(failures($method), '', "$method: no failure");
	clean($peer, $method);
	drop($method);
}
{
	my $peer = ScimPeer->start(token => TOKEN);

	rows(2, 1, 2);
	connect_to('pathless', $peer, patch_path_style => 'pathless');
	settles('pathless', 'created');
	my $mark = $peer->mark;
	$t->sql("UPDATE hr.staff SET title = 'Boss', login = 'v1' WHERE id = 1; UPDATE hr.staff SET title = NULL WHERE id = 2");
	settles('pathless', 'changed');
	my %operations = map { $_->{Operations}[0]{op} => $_->{Operations} } map { $json->decode($_->{body}) } grep { $_->{method} eq 'PATCH' } $peer->log($mark);
	is_deeply($operations{replace}, [ { op => 'replace', value => { userName => 'v1', title => 'Boss' } } ], 'pathless: one operation');
	is_deeply($operations{remove}, [ { op => 'remove', path => 'title' } ], 'pathless: but a removal has a path');
	is($peer->users->{v1}{title}, 'Boss', 'pathless: arrived');
	drop('pathless');
}

# ---- paths to one value of a list ----

for my $case ([ 'told', profile => 'github' ], [ 'learned' ])
{
	my ($name, %opt) = @$case;
	my $peer = ScimPeer->start(profile => 'github', token => TOKEN);

	rows(3, 1, 2);
	connect_to($name, $peer, %opt);
	settles($name, 'created');
	my $mark = $peer->mark;
	$t->sql("UPDATE hr.staff SET mail = 'new\@mail.example' WHERE id = 1; UPDATE hr.staff SET mail = NULL WHERE id = 2");
	settles($name, 'changed');
	is($peer->users->{u1}{emails}[0]{value}, 'new@mail.example', "$name: a value of a list has changed");
	is(scalar @{ $peer->users->{u2}{emails} || [] }, 0, "$name: one has gone");
	my @bodies = map { $_->{body} } grep { $_->{method} eq 'PATCH' } $peer->log($mark);
	is(scalar(grep { /\[type/ } @bodies) ? 'with such a path first' : 'never with such a path', %opt ? 'never with such a path' : 'with such a path first', "$name: how");
	is($t->sql("SELECT value, source FROM scim.server_capabilities('$name') WHERE name = 'patch_value_path'"), 'false|' . (%opt ? 'profile' : 'learned'), "$name: the capability");
	is(failures($name), '', "$name: no failure");
	$mark = $peer->mark;
	$t->sql("UPDATE hr.staff SET mail = 'newer\@mail.example' WHERE id = 1");
	settles($name, 'changed again');
	is(writes($peer, $mark), 'PATCH', "$name: one request");
	clean($peer, $name);
	drop($name);
}

# ---- what disable and delete mean ----

for my $case ([ 'unlinks', 'new_id' ], [ 'deletes', 'impossible' ])
{
	my ($means, $back) = @$case;
	my $peer = ScimPeer->start(profile => 'atlassian', token => TOKEN);

	rows(2);
	connect_to($means, $peer, teams => 0, disable_means => $means, reactivation => $back);
	settles($means, 'created');
	my $id = $peer->users->{u1}{id};
	$t->sql('UPDATE hr.staff SET listed = false WHERE id = 1');
	poll("SELECT state, remote_id IS NULL, reason FROM scim.sync_links WHERE sync = 'users_$means' AND source_key = '1'",
		'disabled|t|removed by the target when it was disabled', "$means: the resource has gone");
	$t->sql('UPDATE hr.staff SET listed = true WHERE id = 1');
	if ($back eq 'new_id')
	{
		poll("SELECT state FROM scim.sync_links WHERE sync = 'users_$means' AND source_key = '1'", 'linked', "$means: in scope again");
		isnt($peer->users->{u1}{id}, $id, "$means: as a new resource");
	}
	else
	{
		poll("SELECT state, reason FROM scim.sync_links WHERE sync = 'users_$means' AND source_key = '1'",
			'disabled|the target takes nobody back whom it has removed', "$means: nobody comes back");
	}
	drop($means);
}

# ---- too large, or not wanted ----

{
	my $peer = ScimPeer->start(token => TOKEN);

	rows(40, 1);
	connect_to('large', $peer);
	settles('large', 'created');
	$peer->faults({ action => 'answer', status => 413, method => 'PATCH', first => 2 });
	$t->sql('INSERT INTO hr.team_members SELECT 1, generate_series(2, 40)');
	settles('large', 'after 413');
	is(members($peer), names(1 .. 40), 'large: all members arrive');
	is($t->sql("SELECT capability, value, evidence FROM scim.learned WHERE server = 'large'"), 'members_per_request|9|PATCH: 413, and 9 went through', 'large: it is remembered');
	is($t->sql("SELECT value, source FROM scim.server_capabilities('large') WHERE name = 'members_per_request'"), '9|learned', 'large: and counts');
	is($t->sql("SELECT scim.forget_learned('large')"), '1', 'large: until it is forgotten');
	is(failures('large'), '', 'large: no failure');
	clean($peer, 'large');
	drop('large');
}
{
	my $peer = ScimPeer->start(token => TOKEN);

	rows(30, 1);
	connect_to('poison', $peer);
	settles('poison', 'created');
	my $id = $peer->users->{u17}{id};
	$peer->faults({ action => 'answer', status => 400, method => 'PATCH', body => $id });
	$t->sql('INSERT INTO hr.team_members SELECT 1, generate_series(2, 30)');
	settles('poison', 'with a member that is refused');
	is(members($peer), names(1 .. 16, 18 .. 30), 'poison: the others arrive');
	is($t->sql("SELECT state, refused FROM scim.sync_links WHERE sync = 'teams_poison'"), "linked|{$id}", 'poison: which it is, is known');
	like(failures('poison'), qr/^teams_poison\|1\|linked\|the target refuses 1 of the members, \Q$id\E among them$/, 'poison: and shown');
	my $mark = $peer->mark;
	$t->sql("UPDATE hr.teams SET name = 'Squad'");
	settles('poison', 'renamed');
	is(writes($peer, $mark), 'PATCH', 'poison: it is in nobody\'s way');
	my $hours = "SELECT refused_tries, round(extract(epoch FROM refused_until - now()) / 3600) FROM scim._links WHERE refused IS NOT NULL";
	is($t->sql($hours), '1|6', 'poison: it is tried again after six hours');
	$t->sql("UPDATE scim._links SET refused_until = now() WHERE refused IS NOT NULL; UPDATE hr.teams SET name = 'Team'");
	settles('poison', 'after that time');
	is($t->sql($hours), '2|12', 'poison: then after twelve');
	$t->sql("UPDATE scim._links SET refused_until = now(), refused_tries = 40 WHERE refused IS NOT NULL; UPDATE hr.teams SET name = 'Squad'");
	settles('poison', 'after four weeks');
	is($t->sql("SELECT refused_until FROM scim._links WHERE refused IS NOT NULL"), 'infinity', 'poison: not for ever');
	like(failures('poison'), qr/^teams_poison\|1\|linked\|given up after 28 days: the target refuses 1 of the members/, 'poison: which is said');
	is($t->sql("SELECT count(*) FROM scim.sync_links WHERE sync = 'teams_poison' AND next_at IS NOT NULL"), 0, 'poison: nothing is left to do');
	$t->sql('DELETE FROM hr.team_members WHERE person = 17');
	settles('poison', 'without it');
	is(failures('poison'), '', 'poison: who has left the group is no failure any more');
	$t->sql('INSERT INTO hr.team_members VALUES (1, 17)');
	settles('poison', 'with it again');
	is($t->sql($hours), '1|6', 'poison: it begins anew');
	$peer->faults;
	$t->sql("SELECT scim.retry('teams_poison')");
	settles('poison', 'tried again');
	is(scalar @{ $peer->groups->{Squad}{members} }, 30, 'poison: until it is taken');
	clean($peer, 'poison');
	drop('poison');
}
{
	my $peer = ScimPeer->start(token => TOKEN);

	$peer->faults({ action => 'answer', status => 400, method => 'POST', path => '/Groups', body => '"members"' });
	rows(5, 1 .. 5);
	connect_to('bare', $peer);
	settles('bare', 'a group that cannot be created with members');
	is(members($peer), names(1 .. 5), 'bare: has them in the end');
	drop('bare');
}

# ---- learned ----

{
	my $peer = ScimPeer->start(token => TOKEN);

	rows(6, 1, 2);
	connect_to('nopatch', $peer);
	settles('nopatch', 'created');
	$peer->faults({ action => 'html', status => 404, method => 'PATCH', path => '/Users' }, { action => 'answer', status => 405, method => 'PATCH', path => '/Groups' });
	$t->sql("UPDATE hr.staff SET title = title || '!' WHERE id < 4; INSERT INTO hr.team_members VALUES (1, 3)");
	settles('nopatch', 'changed');
	is($peer->users->{u3}{title}, 'T3!', 'nopatch: users by PUT');
	is(members($peer), names(1 .. 3), 'nopatch: groups by PUT');
	is($t->sql("SELECT capability, value FROM scim.learned WHERE server = 'nopatch' ORDER BY 1"), "group_update|put\nupdate_method|put", 'nopatch: learned');
	# a page for people in answer to a disable is not its success
	$t->sql("SELECT scim.forget_learned('nopatch'); UPDATE hr.staff SET listed = false WHERE id = 1");
	settles('nopatch', 'out of scope');
	ok(!$peer->users->{u1}{active}, 'nopatch: disabled by PUT');
	$peer->faults({ action => 'answer', status => 405, method => [ 'PATCH', 'PUT' ], path => '/Users' });
	$t->sql("UPDATE hr.staff SET title = 'X' WHERE id = 2");
	poll("SELECT state FROM scim.sync_links WHERE sync = 'users_nopatch' AND source_key = '2'", 'parked', 'nopatch: where neither works it is parked');
	drop('nopatch');
}
{
	my $peer = ScimPeer->start(profile => 'sentry', token => TOKEN);

	rows(1);
	connect_to('media', $peer, teams => 0, external_id_user => 'false');
	settles('media', 'a target that takes application/json only');
	ok($peer->users->{u1}, 'media: created');
	like($t->sql("SELECT capability, value, evidence FROM scim.learned WHERE server = 'media'"), qr/^content_type\|application\/json\|POST: 415/, 'media: learned');
	drop('media');
}

# ---- the target's list instead of queries ----

sub reads { my ($peer) = @_; return grep { $_->{method} eq 'GET' } $peer->log }
sub queries { my ($peer) = @_; return scalar grep { ($_->{query} || '') =~ /filter=/ } $peer->log }

{
	my $peer = ScimPeer->start(token => TOKEN);

	rows(1000);
	connect_to('empty', $peer, teams => 0);
	is(scalar keys %{ $peer->users }, 1000, 'empty: everybody is created');
	cmp_ok($peer->stats->{requests}, '<=', 1020, 'empty: at most 1.02 requests each');
	is(queries($peer), 0, 'empty: without a query');
	$peer->clear_log;
	$t->sql("SELECT scim.restart_sync('users_empty')");
	settles('empty', 'a second cycle');
	is(scalar($peer->log), 0, 'empty: costs nothing');
	clean($peer, 'empty');
	drop('empty');
}
{
	# half of them are there, in other letters, with other titles; one of them twice
	my $peer = ScimPeer->start(token => TOKEN, settings => { unique => FALSE, page_max => 40 });

	$peer->put_resources(map { { schemas => [CORE_USER], userName => "U$_", active => TRUE, title => 'Old', emails => [ { type => 'work', value => "u$_\@mail.example" } ] } } 1 .. 100, 7);
	$peer->put_resources({ schemas => [CORE_USER], userName => 'stranger', active => TRUE });
	rows(200);
	connect_to('half', $peer, teams => 0);
	is(queries($peer), 0, 'half: no query');
	is($t->sql("SELECT state, count(*) FROM scim.sync_links WHERE sync = 'users_half' GROUP BY 1 ORDER BY 1"), "conflict|1\nlinked|199", 'half: found or created, but for one');
	is(scalar(@{ $peer->state->{Users} }), 202, 'half: a hundred are new');
	is($peer->users->{u50}{title}, 'T50', 'half: the others are as they should be');
	is($t->sql("SELECT user_name FROM scim.orphans WHERE sync = 'users_half' ORDER BY 1"), "U7\nU7\nstranger", 'half: who is nobody\'s is known');
	drop('half');
}
{
	# 80 groups of a quarter of a megabyte
	my $peer = ScimPeer->start(token => TOKEN);

	$peer->put_resources(map { { schemas => [CORE_GROUP], displayName => "G$_", externalId => 'x' x 250000 } } 1 .. 80);
	rows(1);
	$t->sql("INSERT INTO hr.teams SELECT i, 'G' || i FROM generate_series(1, 80) i");
	connect_to('big', $peer);
	settles('big', 'groups');
	is($t->sql("SELECT state, count(*) FROM scim.sync_links WHERE sync = 'teams_big' GROUP BY 1"), 'linked|80', 'big: all are found');
	my @reads = grep { $_->{path} =~ /Groups/ } reads($peer);
	is(scalar(grep { $_->{query} =~ /filter=/ } @reads), 0, 'big: by smaller pages');
	cmp_ok(scalar(@reads), '<=', 4, 'big: not many of them');
	drop('big');
}
for my $case ([ 'repeats', { action => 'answer', status => 200, method => 'GET', regex => 'startIndex=[0-9]{2}', answer_body => { schemas => [LIST_RESPONSE], totalResults => 120, Resources => [ { id => 'a', userName => 'x' } ] } } ],
	[ 'broken', { action => 'answer', status => 500, method => 'GET', regex => 'startIndex=1&' } ],
	[ 'refused', { action => 'answer', status => 400, method => 'GET', regex => 'startIndex=' } ])
{
	my ($name, $fault) = @$case;
	my $peer = ScimPeer->start(token => TOKEN, settings => { page_max => 60 });

	$peer->put_resources(map { { schemas => [CORE_USER], userName => "u$_", active => TRUE } } 1 .. 120);
	$peer->faults($fault);
	rows(80);
	connect_to($name, $peer, teams => 0);
	is($t->sql("SELECT state, count(*) FROM scim.sync_links WHERE sync = 'users_$name' GROUP BY 1 ORDER BY 1"), 'linked|80', "$name: all are found");
	cmp_ok(queries($peer), '>=', 80, "$name: by queries") if $name ne 'broken';
	is(scalar(@{ $peer->state->{Users} }), 120, "$name: nobody is new");
	drop($name);
}
{
	# a target that ignores filters is not asked by them
	my $peer = ScimPeer->start(token => TOKEN, settings => { page_max => 20 });

	$peer->put_resources(map { { schemas => [CORE_USER], userName => "u$_", active => TRUE } } 1 .. 50);
	$peer->faults({ action => 'ignore_filter', regex => 'filter=' });
	rows(45);
	$t->sql('DELETE FROM hr.staff WHERE id < 41');
	connect_to('deaf', $peer, teams => 0);
	is($t->sql("SELECT state, count(*) FROM scim.sync_links WHERE sync = 'users_deaf' GROUP BY 1"), 'linked|5', 'deaf: all are found');
	is(scalar(@{ $peer->state->{Users} }), 50, 'deaf: nobody is new');
	is($t->sql("SELECT capability, value FROM scim.learned WHERE server = 'deaf'"), 'list_scan|true', 'deaf: learned');
	my $before = queries($peer);
	$t->sql("INSERT INTO hr.staff SELECT i, 'u' || i, 'T', 'u' || i || '\@mail.example' FROM generate_series(50, 51) i");
	settles('deaf', 'two more');
	is(queries($peer), $before, 'deaf: no query any more');
	is(scalar(@{ $peer->state->{Users} }), 51, 'deaf: one of them is new');
	# a creation of unknown outcome
	$peer->faults({ action => 'drop', method => 'POST', applied => TRUE, first => 1 });
	$t->sql("INSERT INTO hr.staff VALUES (60, 'u60', 'T', 'u60\@mail.example')");
	settles('deaf', 'a lost answer');
	is(scalar(@{ $peer->state->{Users} }), 52, 'deaf: created once');
	is(failures('deaf'), '', 'deaf: no failure');
	clean($peer, 'deaf');
	drop('deaf');
}

# ---- drift ----

{
	my $peer = ScimPeer->start(token => TOKEN, settings => { page_max => 3 });
	my $drift = "SELECT source_key, attribute, wanted, found FROM scim.check_drift('%s') ORDER BY 1, 2";

	rows(7, 1 .. 4);
	connect_to('drift', $peer);
	$t->sql('UPDATE hr.staff SET listed = false WHERE id = 6');
	settles('drift', 'out of scope');
	is($t->sql(sprintf $drift, 'users_drift'), '', 'drift: none');
	my $users = $peer->users;
	$peer->put_resources({ %{ $users->{u1} }, title => 'Hacker', nickName => 'x' }, { %{ $users->{u6} }, active => TRUE });
	$peer->remove($users->{u2}{id});
	$peer->put_resources({ schemas => [CORE_USER], userName => 'mallory', active => TRUE });
	my $team = $peer->groups->{Team};
	$peer->put_resources({ %$team, members => [ { value => $users->{u5}{id} }, { value => $users->{u1}{id} } ] });
	my $before = $peer->mark;
	is($t->sql(sprintf $drift, 'users_drift'), "1|title|\"T1\"|\"Hacker\"\n2||{\"title\": \"T2\", \"emails\": [{\"type\": \"work\", \"value\": \"u2\@mail.example\", \"primary\": true}], \"userName\": \"u2\"}|\n6|active|false|true", 'drift: what somebody else has done');
	is($t->sql("SELECT source_key, attribute FROM scim.check_drift('teams_drift')"), '1|members', 'drift: also to a group');
	is($t->sql("SELECT user_name FROM scim.orphans WHERE sync = 'users_drift'"), 'mallory', 'drift: who is nobody\'s');
	is(writes($peer, $before), '', 'drift: nothing is written');
	$t->sql("SELECT count(*) FROM scim.check_drift('users_drift', true)");
	settles('drift', 'repaired');
	is($peer->users->{u1}{title} . ' ' . $peer->users->{u1}{nickName}, 'T1 x', 'drift: an attribute');
	ok(!$peer->users->{u6}{active}, 'drift: who is to be disabled');
	ok($peer->users->{u2}, 'drift: who had gone');
	$t->sql("SELECT count(*) FROM scim.check_drift('teams_drift', true)");
	settles('drift', 'repaired');
	is(members($peer), names(1 .. 4), 'drift: members');
	is($t->sql(sprintf $drift, 'users_drift'), '', 'drift: none');
	is(failures('drift'), '', 'drift: no failure');
	$peer->faults({ action => 'truncate', method => 'GET' });
	my ($rc, $out, $err) = $t->try_sql("SELECT * FROM scim.check_drift('users_drift')");
	like($err, qr/the list of the target of sync "users_drift" can't be read/, 'drift: a list that is cut');
	drop('drift');
}

# ---- how fast ----

{
	my $peer = ScimPeer->start(token => TOKEN);

	rows(40);
	$t->sql("CREATE SERVER slow FOREIGN DATA WRAPPER scim OPTIONS (base_url '" . $peer->url . "', creates_per_hour '5', concurrency '1'); ALTER SERVER slow OWNER TO hr_owner;
		SELECT scim.set_secret('slow', '" . TOKEN . "')");
	$t->call('create_sync', { name => 'users_slow', mapping => 'staff', server => 'slow' });
	$t->sql("SELECT scim.start_sync('users_slow')");
	poll("SELECT linked FROM scim.sync_status WHERE name = 'users_slow'", 5, 'slow: as many as an hour allows');
	$t->sql("UPDATE hr.staff SET title = 'X' WHERE id IN (SELECT source_key::int FROM scim.sync_links WHERE sync = 'users_slow' AND state = 'linked')");
	ok($peer->wait_for(sub { 5 == grep { ($_->{title} || '') eq 'X' } values %{ $_[0]->users } }, 10), 'slow: changes do not wait for creations');
	is(scalar keys %{ $peer->users }, 5, 'slow: and no more are made');
	drop('slow');
}
{
	# 20 requests in 2 s, and it says how many are left
	my $peer = ScimPeer->start(profile => 'datadog', token => TOKEN, rate => 20, settings => { period => 2 });

	rows(70);
	connect_to('quota', $peer, teams => 0, profile => 'datadog', concurrency => 4);
	is(scalar keys %{ $peer->users }, 70, 'quota: all arrive');
	cmp_ok($peer->stats->{by_status}{POST}{429} || 0, '<=', 8, 'quota: nearly all within it');
	clean($peer, 'quota');
	drop('quota');
}

# ---- who asks ----

sub secret_is { my ($server, $secret) = @_; is($t->sql("SELECT scim.set_secret('$server', '$secret')"), 'ok', "$server: secret"); return }

{
	my $peer = ScimPeer->start(settings => { token_basic => 'Basic ' . MIME::Base64::encode_base64('hr:pa:ss word', '') });

	rows(3);
	$t->sql("CREATE SERVER basic FOREIGN DATA WRAPPER scim OPTIONS (base_url '" . $peer->url . "', auth 'basic', client_id 'hr'); ALTER SERVER basic OWNER TO hr_owner");
	secret_is('basic', 'pa:ss word');
	$t->call('create_sync', { name => 'users_basic', mapping => 'staff', server => 'basic' });
	$t->sql("SELECT scim.start_sync('users_basic')");
	settles('basic', 'by user and password');
	is(scalar keys %{ $peer->users }, 3, 'basic: all arrive');
	is($t->sql("SELECT bool_and(ok) FROM scim.test_connection('basic')"), 't', 'basic: also from a session');
	drop('basic');
}
{
	my $peer = ScimPeer->start(settings => { token_ttl => 30, token_basic => 'Basic ' . MIME::Base64::encode_base64('app%201:s%2Fcret', '') });

	rows(3);
	$t->sql("CREATE SERVER oauth FOREIGN DATA WRAPPER scim OPTIONS (base_url '" . $peer->url . "', auth 'oauth2_client_credentials',
		client_id 'app 1', token_url '" . $peer->origin . "/oauth/token', scope 'scim write'); ALTER SERVER oauth OWNER TO hr_owner");
	secret_is('oauth', 's/cret');
	$t->call('create_sync', { name => 'users_oauth', mapping => 'staff', server => 'oauth' });
	$t->sql("SELECT scim.start_sync('users_oauth')");
	settles('oauth', 'by a token');
	is(scalar keys %{ $peer->users }, 3, 'oauth: all arrive');
	my @asked = grep { $_->{path} eq '/oauth/token' } $peer->log;
	is(scalar @asked, 1, 'oauth: by one token');
	is($asked[0]{body}, 'grant_type=client_credentials&scope=scim%20write', 'oauth: which was asked for by the book');
	$peer->settings(token => 'revoked');
	$t->sql("UPDATE hr.staff SET title = 'X'");
	settles('oauth', 'after its token was revoked');
	is(join(' ', map { $_->{title} } values %{ $peer->users }), 'X X X', 'oauth: another one was got');
	is($t->sql("SELECT state FROM scim.syncs WHERE name = 'users_oauth'"), 'active', 'oauth: nothing else came of it');
	is($t->sql("SELECT bool_and(ok) FROM scim.test_connection('oauth')"), 't', 'oauth: also from a session');
	$t->sql("ALTER SERVER oauth OPTIONS (SET token_url 'https://elsewhere.example/oauth/token')");
	poll("SELECT state_reason FROM scim.syncs WHERE name = 'users_oauth'", 'the secret was set for another origin: set it again', 'oauth: the secret goes nowhere else');
	$t->sql("ALTER SERVER oauth OPTIONS (SET token_url '" . $peer->origin . "/oauth/token')");
	secret_is('oauth', 'wrong');
	$t->sql("UPDATE hr.staff SET title = 'Y'");
	poll("SELECT state, state_reason FROM scim.syncs WHERE name = 'users_oauth'", 'quarantined|the target refuses the secret (401: invalid_client)', 'oauth: a wrong one stops it');
	secret_is('oauth', 's/cret');
	poll("SELECT state FROM scim.syncs WHERE name = 'users_oauth'", 'active', 'oauth: with the right one');
	settles('oauth', 'and settles');
	is(join(' ', map { $_->{title} } values %{ $peer->users }), 'Y Y Y', 'oauth: it goes on');
	drop('oauth');
}

done_testing();
