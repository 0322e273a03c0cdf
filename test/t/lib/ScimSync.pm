# ScimSync.pm - a table of staff that is pushed to test peers.
#
# For the TAP tests of the outbound half: a cluster (ScimTest) whose database
# has hr.staff and the mapping "staff", peers (ScimPeer), and what to compare
# them by.  A test makes syncs of its own, with peers of its own, so that one
# leaves nothing behind that another sees.
package ScimSync;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use Test::More;
use Time::HiRes qw(sleep time);

use ScimPeer;
use ScimTest;

our @EXPORT = qw(same_users no_offences CANARY);

# What the peers want as a token, and what may be nowhere else.
use constant CANARY => 'canary-5ecret.token_of~the+sync==';

my %attributes = (
	'userName' => 'upn',
	'active' => 'NOT is_soft_deleted',
	'title' => 'job_title',
	'emails[type eq "work"].value' => 'mail',
	'name.formatted' => 'display_name');

# Options as for ScimTest->start; rows (of hr.staff).
sub start
{
	my ($class, %opt) = @_;
	my $conf = $opt{conf} || '';
	my $t = ScimTest->start(%opt, conf => "scim.allowed_targets = '127.0.0.1'\n$conf");
	my $self = bless { t => $t }, $class;

	$t->sql("CREATE ROLE hr_owner; CREATE SCHEMA hr AUTHORIZATION hr_owner; GRANT USAGE ON FOREIGN DATA WRAPPER scim TO hr_owner");
	$self->mapped_table('staff', $opt{rows} || 0);
	return $self;
}

sub t { return $_[0]->{t} }
sub sql { my ($self, @args) = @_; return $self->{t}->sql(@args) }

# The same with the timing of one session, for what is more than one statement.
sub columns { return 'id int PRIMARY KEY, upn text, is_soft_deleted boolean NOT NULL DEFAULT false, job_title text, mail text, display_name text' }

# A table hr.NAME with a mapping of that name and so many rows.  "suffix" comes
# behind the columns of its definition.
sub mapped_table
{
	my ($self, $name, $rows, $suffix) = @_;

	$self->sql("SET ROLE hr_owner; CREATE TABLE hr.$name (" . columns() . ')' . ($suffix || ''));
	$self->add_rows($name, 1, $rows) if $rows;
	$self->map_table($name);
	return;
}

sub map_table
{
	my ($self, $name) = @_;

	return $self->{t}->call('create_mapping', { name => $name, resource_type => 'User', relation => "hr.$name",
		attributes => json_bytes(\%attributes), owner => 'hr_owner' });
}

# Values of rows, for INSERT.
sub rows
{
	my ($first, $last) = @_;
	return "SELECT i, 'user' || i || '\@example.com', false, 'Title ' || i, 'user' || i || '\@mail.example', 'User ' || i FROM generate_series($first, $last) i";
}

sub add_rows
{
	my ($self, $name, $first, $last) = @_;
	return $self->sql("INSERT INTO hr.$name " . rows($first, $last));
}

# A server, its secret, and a sync of a mapping that is not started.  Options:
# mapping (staff), profile (that of the peer), server (hash of its options),
# secret, and the arguments of create_sync.
sub create_sync
{
	my ($self, $name, $peer, %opt) = @_;
	my $mapping = delete $opt{mapping} || 'staff';
	my $secret = delete $opt{secret} || CANARY;
	# what is counted in most tests are requests of single rows
	my %options = (profile => delete $opt{profile} || $peer->{profile}, base_url => $peer->url, bulk => 'false', %{ delete $opt{server} || {} });
	my $list = join ', ', map { "$_ '$options{$_}'" } sort keys %options;

	$self->sql("CREATE SERVER $name FOREIGN DATA WRAPPER scim OPTIONS ($list); ALTER SERVER $name OWNER TO hr_owner");
	$self->set_secret($name, $secret);
	return $self->{t}->call('create_sync', { name => $name, mapping => $mapping, server => $name, %opt });
}

# As the documentation says: as data, so that no text of a statement has it.
sub set_secret
{
	my ($self, $server, $secret) = @_;

	is($self->sql("CREATE TEMP TABLE s (t text);\nCOPY s FROM STDIN;\n$secret\n\\.\nSELECT scim.set_secret('$server', t) FROM s"), 'ok', "the secret of $server");
	return;
}

sub start_sync
{
	my ($self, $name, $peer, %opt) = @_;

	$self->create_sync($name, $peer, %opt);
	return $self->sql("SELECT scim.start_sync('$name')");
}

# Wait until a query gives a value, at most $timeout seconds; whether it did.
# The server may be restarting meanwhile.
sub poll
{
	my ($self, $query, $expected, $timeout) = @_;
	my $end = time + ($timeout || 20);
	my $got;

	for (;;)
	{
		my ($rc, $out) = $self->{t}->try_sql($query);
		$got = $rc == 0 ? $out : "exit status $rc";
		return 1 if $got eq $expected;
		last if time > $end;
		sleep 0.05;
	}
	diag("$query\nexpected: $expected\ngot:      $got");
	return 0;
}

# Wait until a sync has nothing more to do: also what failed and is tried again.
sub settled
{
	my ($self, $name, $timeout) = @_;
	return $self->poll("SELECT queued + in_flight + due + pending
			+ (SELECT count(*) FROM scim.sync_links l WHERE l.sync = s.name AND l.state = 'linked' AND l.next_at IS NOT NULL)
		FROM scim.sync_status s WHERE name = '$name'", '0', $timeout);
}

sub link_of
{
	my ($self, $name, $key) = @_;
	return $self->sql("SELECT state, reason FROM scim.sync_links WHERE sync = '$name' AND source_key = '$key'");
}

sub worker_pid
{
	my ($self) = @_;
	my ($rc, $out) = $self->{t}->try_sql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'scim sync' AND datname = current_database()");
	return $rc == 0 && $out =~ /^\d+$/ ? $out : undef;
}

# What a peer should hold of a table: by userName, paths and values.
sub wanted
{
	my ($self, $table, $where) = @_;
	my $rows = $self->sql("SELECT coalesce(json_agg(s), '[]') FROM hr.$table s WHERE " . ($where || 'true'));
	my %wanted;

	for my $row (@{ JSON::PP->new->utf8->decode($rows) })
	{
		my %flat = (userName => $row->{upn}, active => $row->{is_soft_deleted} ? 0 : 1);
		$flat{title} = $row->{job_title} if defined $row->{job_title};
		$flat{'emails[type eq "work"].value'} = $row->{mail} if defined $row->{mail};
		$flat{'name.formatted'} = $row->{display_name} if defined $row->{display_name};
		$wanted{ $row->{upn} } = \%flat;
	}
	return \%wanted;
}

sub held
{
	my ($peer) = @_;
	my $users = $peer->users;
	my %held;

	for my $name (keys %$users)
	{
		my $flat = ScimPeer->flat($users->{$name});
		delete $flat->{externalId};
		delete $flat->{'emails[type eq "work"].primary'};
		$held{$name} = $flat;
	}
	return \%held;
}

# The peer has the rows of a table, and nobody else.
sub same_users
{
	my ($self, $peer, $table, $what, $where) = @_;
	my ($wanted, $held) = ($self->wanted($table, $where), held($peer));

	is(scalar keys %$held, scalar keys %$wanted, "$what: as many users as rows");
	return is_deeply($held, $wanted, "$what: the peer has what the table has");
}

# Wait for it.
sub becomes_same
{
	my ($self, $peer, $table, $what, $timeout, $where) = @_;
	my $wanted = $self->wanted($table, $where);
	my $codec = JSON::PP->new->canonical;
	my $text = $codec->encode($wanted);

	# numbers and texts alike
	my $same = $peer->wait_for(sub { my $t = $codec->encode(held($_[0])); s/"?\b([01])"?([,}])/$1$2/g for $t, $text; $t eq $text }, $timeout || 10);
	return $same ? pass("$what: the peer has what the table has") : is_deeply(held($peer), $wanted, "$what: the peer has what the table has");
}

# Tables hr.teams and hr.team_members (team, person: keys of hr.staff) with so many
# teams, and the mapping "teams".
sub mapped_teams
{
	my ($self, $teams) = @_;

	$self->sql("SET ROLE hr_owner; CREATE TABLE hr.teams (id int PRIMARY KEY, name text); CREATE TABLE hr.team_members (team int, person int, PRIMARY KEY (team, person)); CREATE INDEX ON hr.team_members (person)");
	$self->sql("INSERT INTO hr.teams SELECT i, 'Team ' || i FROM generate_series(1, $teams) i") if $teams;
	return $self->{t}->call('create_mapping', { name => 'teams', resource_type => 'Group', relation => 'hr.teams', owner => 'hr_owner',
		attributes => json_bytes({ displayName => 'name', members => { table => 'hr.team_members', parent => 'team', ref => 'person', type => 'User' } }) });
}

# Members of the peer's groups, by name; and those of hr.teams, of whom the peer has.
sub teams_of
{
	my ($self, $peer) = @_;
	my $state = $peer->state;
	my %name = map { $_->{id} => $_->{userName} } @{ $state->{Users} };
	my %there = map { $_ => 1 } values %name;
	my %held = map { my $g = $_; $g->{displayName} => [ sort map { $name{ $_->{value} } // "? $_->{value}" } @{ $g->{members} || [] } ] } @{ $state->{Groups} };
	my $rows = $self->sql("SELECT coalesce(json_object_agg(t.name, (SELECT coalesce(json_agg(s.upn), '[]') FROM hr.team_members m JOIN hr.staff s ON s.id = m.person WHERE m.team = t.id)), '{}') FROM hr.teams t");
	my $wanted = JSON::PP->new->utf8->decode($rows);

	$_ = [ sort grep { $there{$_} } @$_ ] for values %$wanted;
	return (\%held, $wanted);
}

# A user that was made anew a moment ago brings groups into the queue once more,
# so that one look is not enough.
sub same_teams
{
	my ($self, $peer, $what) = @_;
	my $json = JSON::PP->new->canonical;
	my ($held, $wanted);

	for (1 .. 100)
	{
		($held, $wanted) = $self->teams_of($peer);
		last if $json->encode($held) eq $json->encode($wanted);
		sleep 0.1;
	}
	return is_deeply($held, $wanted, "$what: the groups are as the tables say");
}

# What the worker was told at the very moment when it was killed it can't know:
# requests that are too early because of that alone are no offences ($kills:
# times of kills, ms of the peer's clock).
sub forgotten
{
	my ($peer, @kills) = @_;
	my @log = $peer->log;
	# by a fault, or by the peer's own limit
	my @told = grep { ($_->{status} || 0) == 429 || ($_->{fault} || '') =~ /^429|with a time/ } @log;
	my %excused;

	for my $kill (@kills)
	{
		for my $told (grep { $_->{end_ms} > $kill - 500 && $_->{time_ms} < $kill } @told)
		{
			$excused{ $_->{number} } = 1 for grep { $_->{early} && $_->{time_ms} > $kill && $_->{time_ms} < $told->{end_ms} + 2500 } @log;
		}
	}
	return \%excused;
}

sub no_offences
{
	my ($peer, $what, @kills) = @_;
	my $excused = @kills ? forgotten($peer, @kills) : {};
	my @offences = grep { !(/^too early: request (\d+)/ && $excused->{$1}) } $peer->offences;
	note(keys(%$excused) . ' requests after a time was forgotten with the worker') if %$excused;
	return is(scalar(@offences), 0, "$what: nothing twice, nothing too early, nothing at the same time") || diag(join "\n", @offences[ 0 .. ($#offences < 9 ? $#offences : 9) ]);
}

1;
