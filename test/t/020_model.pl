# 020_model.pl - random requests against a model.
#
# Fourteen endpoints, which know nothing of each other: two on the built-in store,
# two on one table with a scope column, two on each schema of docs/mapping.md:
# where tenancy is a column (saas) or a table of memberships (orgs), and where
# there is none, and each tenant has tables of its own (django, supabase); and two
# on the built-in store with an extension of users, a resource type of its own,
# and soft delete: a POST brings back who was deleted (own).  Some thousands of random
# requests, through HTTP and through scim.handle, also with ids, names and
# references of the other tenants.  After each the answer is compared with what
# a model in perl says; at the end all lists are.  Nothing of another tenant
# may be seen: every value carries the mark of its tenant.
#
# The run is that of a seed, which is printed; SCIM_SEED=n runs it again,
# SCIM_REQUESTS=n is how many requests there are to be, SCIM_MODEL=name takes one of the stores only.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use ScimTest;
use Test::More;
use Time::HiRes qw(time);

my @stores = split / /, $ENV{SCIM_MODEL} || 'built app saas orgs django supabase own';
my $requests = $ENV{SCIM_REQUESTS} || 8000;
my $seed = $ENV{SCIM_SEED} || int(rand(1_000_000));
my $whole = $ENV{SCIM_REQUESTS};	# or as many as there is time for
my $most_seconds = $whole ? 100_000 : 30;
my $sent = 0;

ScimTest->watchdog($ENV{SCIM_SECONDS} || ($whole ? 100_000 : 90));
note("SCIM_SEED=$seed");
diag("SCIM_SEED=$seed") if $ENV{SCIM_SEED};
srand($seed);

my $t = ScimTest->start(listeners => 2);
$t->sql(<<'SQL');
CREATE ROLE app NOLOGIN;
CREATE SCHEMA app AUTHORIZATION app;
SET ROLE app;
CREATE TABLE app.users (id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, org int NOT NULL, login text NOT NULL, title text, disabled boolean, mail text);
CREATE TABLE app.teams (id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, org int NOT NULL, name text NOT NULL);
CREATE TABLE app.members (team bigint REFERENCES app.teams ON DELETE CASCADE, member bigint REFERENCES app.users ON DELETE CASCADE, PRIMARY KEY (team, member));
RESET ROLE;
CREATE UNIQUE INDEX ON app.users (org, scim.fold(login));
SELECT scim.create_mapping('app_users', 'User', 'app.users', owner => 'app',
	attributes => '{"userName": "login", "title": "title", "active": "NOT disabled", "emails[type eq \"work\"].value": "mail"}');
SELECT scim.create_mapping('app_teams', 'Group', 'app.teams', owner => 'app',
	attributes => '{"displayName": "name", "members": {"table": "app.members", "parent": "team", "ref": "member", "type": "User"}}');
SQL

$t->sql('GRANT CREATE ON DATABASE postgres TO app');
$t->sql($_) for recipe('saas'), recipe('orgs');
for my $n (1, 2)
{
	for my $statements (recipe('django'), recipe('supabase'))
	{
		my $own = $statements =~ s/\b(auth|supa)\b/$1$n/gr;
		$own =~ s/(django|supabase)/$1$n/g;
		$t->sql($own);
	}
}
$t->sql('ALTER TABLE saas.users ALTER status DROP NOT NULL, ALTER status DROP DEFAULT; ALTER TABLE orgs.organization_users ALTER enabled DROP NOT NULL, ALTER enabled DROP DEFAULT');
# who is in no organization any more is nobody's
$t->sql(<<'SQL');
CREATE FUNCTION orgs.forget() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM orgs.team_members WHERE user_id = OLD.user_id;
	DELETE FROM orgs.users u WHERE id = OLD.user_id AND NOT EXISTS (SELECT 1 FROM orgs.organization_users o WHERE o.user_id = u.id);
	RETURN NULL;
END $$;
CREATE TRIGGER forget AFTER DELETE ON orgs.organization_users FOR EACH ROW EXECUTE FUNCTION orgs.forget();
SQL

$t->sql(<<'SQL');
SELECT scim.create_schema('{"id": "urn:model:2.0:User", "name": "Model", "attributes": [{"name": "badge", "uniqueness": "server"}]}');
SELECT scim.create_schema('{"id": "urn:model:2.0:Device", "name": "Device", "attributes": [{"name": "serial", "required": true, "uniqueness": "server"}, {"name": "note"},
	{"name": "owner", "type": "complex", "subAttributes": [{"name": "value"}, {"name": "$ref", "type": "reference", "referenceTypes": ["User"]}]},
	{"name": "users", "type": "complex", "multiValued": true, "subAttributes": [{"name": "value"}, {"name": "$ref", "type": "reference", "referenceTypes": ["User"]}]}]}');
SELECT scim.create_resource_type('Device', 'urn:model:2.0:Device');
SELECT scim.create_store_mapping('badge_users', 'User');
SQL

# What is particular about a store: its endpoint for the i-th of two tenants; has
# it ids that are UUIDs; which attribute the model's title is; are names of groups
# unique?
my %store = (
	built => { uuid => 1, endpoint => sub { () } },
	app => { endpoint => sub { (mappings => '{app_users,app_teams}', scope => qq({"org": $_[0]})) } },
	saas => { endpoint => sub { (mappings => '{saas_user,saas_team}', scope => qq({"org_id": $_[0]})) } },
	orgs => { uuid => 1, endpoint => sub { (mappings => '{orgs_user,orgs_team}', scope => qq({"org_id": $_[0]})) } },
	django => { title => 'name.familyName', groups_unique => 1, endpoint => sub { (mappings => "{django$_[0]_user,django$_[0]_group}") } },
	own => { uuid => 1, own => 1, endpoint => sub { (mappings => '{badge_users,groups,devices}') } },
	supabase => { uuid => 1, endpoint => sub { (mappings => "{supabase$_[0]_user,supabase$_[0]_team}") } });
my @names = qw(red green blue grey pink teal lime gold plum mint jade onyx sand kiwi);

# A tenant: its client, and what the model knows: users, groups, devices by id.
my @tenants;
for my $i (0 .. 2 * @stores - 1)
{
	my $name = $names[$i];
	my $store = $store{ $stores[ $i / 2 ] };
	my $mapped = $stores[ $i / 2 ] !~ /^(?:built|own)$/;
	$t->create_endpoint($name, base_path => "/$name", mode => $mapped ? 'strict' : 'compat', $store->{endpoint}->($i % 2 + 1));
	$t->sql(qq{SELECT scim.alter_endpoint('$name', '{"softDelete": true, "reviveDeleted": true}')}) if $store->{own};
	push @tenants, { name => $name, mapped => $mapped, own => $store->{own}, uuid => $store->{uuid}, title => $store->{title} || 'title', groups_unique => $store->{groups_unique}, users => {}, groups => {}, devices => {}, dead => [], deleted => [],
		client => $t->client(base_path => "/$name", token => $t->create_token($name)) };
}

my $enough = 0;				# differences: stop after a few
sub differs
{
	my ($tenant, $what, $r, $want) = @_;
	fail("$tenant->{name}: $what (SCIM_SEED=$seed)");
	diag("wanted $want, got " . $r->status . ' ' . substr($r->text, 0, 600));
	return ++$enough;
}

# One request, by HTTP mostly.
sub request
{
	my ($tenant, $method, $path, $body) = @_;
	$sent++;
	# (a psql each: one in a hundred, where there are many)
	my $r = rand() < ($whole ? 0.01 : 0.05)
	  ? $t->handle($method, $path, $body, endpoint => $tenant->{name})
	  : $tenant->{client}->request($method, $path, $body);
	for my $other (@tenants)
	{
		next if $other == $tenant;
		# names are in paths of references of the tenant itself only
		differs($tenant, "$method $path shows something of $other->{name}", $r, 'nothing') if $r->text =~ /\Q$other->{name}\E/;
	}
	differs($tenant, "$method $path", $r, 'no failure') if $r->status >= 500;
	return $r;
}

sub pick { return $_[ int(rand(@_)) ] }
sub some { my ($n, @from) = @_; my %got = map { pick(@from) => 1 } @from ? 1 .. int(rand($n + 1)) : (); return sort keys %got }

# The same few names, in both cases, so that they meet.
sub new_name { my ($tenant) = @_; my $n = "$tenant->{name}-" . int(rand(25)); return rand() < 0.3 ? uc $n : $n }
sub new_title { my ($tenant) = @_; return rand() < 0.3 ? undef : "t-$tenant->{name}-" . int(rand(6)) }
sub new_mail { my ($tenant) = @_; return rand() < 0.3 ? undef : "m$tenant->{name}" . int(rand(9)) . '@Example.org' }

# An id: of the tenant, deleted, of another tenant, or of nothing.
sub an_id
{
	my ($tenant, $type) = @_;
	my $way = rand();
	my $other = pick(@tenants);
	my @own = sort keys %{ $tenant->{$type} };
	my @foreign = sort keys %{ $other->{$type} };
	return pick(@own) if @own && $way < 0.8;
	return pick(@{ $tenant->{dead} }) if @{ $tenant->{dead} } && $way < 0.87;
	return pick(@foreign) if @foreign && $way < 0.97;
	return $tenant->{uuid} ? '11111111-2222-4333-8444-555555555555' : 999_999;
}

# Is a name, or a value that is unique as well, somebody else's?
sub taken
{
	my ($tenant, $name, $id, $badge) = @_;
	return scalar grep {
		my $u = $tenant->{users}{$_};
		$_ ne $id && (lc $u->{userName} eq lc $name || (defined $badge && defined $u->{badge} && lc $u->{badge} eq lc $badge))
	} keys %{ $tenant->{users} };
}
sub new_badge { my ($tenant) = @_; return $tenant->{own} && rand() < 0.5 ? pick('b', 'B') . "-$tenant->{name}-" . int(rand(15)) : undef }

# Who was the last to be deleted of this name: a POST brings him back.
sub revived
{
	my ($tenant, $name) = @_;
	my ($last) = grep { lc $_->{name} eq lc $name } reverse @{ $tenant->{deleted} };
	$tenant->{deleted} = [ grep { $_ != $last } @{ $tenant->{deleted} } ] if $last;
	return $last && $last->{id};
}

# The same for a group; that a member is refused may be said instead.
sub group_taken
{
	my ($tenant, $g, $id) = @_;
	return $tenant->{groups_unique} && grep { $_ ne $id && lc $tenant->{groups}{$_}{displayName} eq lc $g->{displayName} } keys %{ $tenant->{groups} };
}

sub user_body
{
	my ($tenant, $u) = @_;
	my ($top, $sub) = split /\./, $tenant->{title};
	return { schemas => [ CORE_USER, defined $u->{badge} ? 'urn:model:2.0:User' : () ], userName => $u->{userName}, (defined $u->{badge} ? ('urn:model:2.0:User' => { badge => $u->{badge} }) : ()), (defined $u->{title} ? ($top => $sub ? { $sub => $u->{title} } : $u->{title}) : ()), (defined $u->{active} ? (active => $u->{active} ? TRUE : FALSE) : ()),
		(defined $u->{mail} ? (emails => [ { type => 'work', value => $u->{mail} } ]) : ()) };
}

sub group_body
{
	my ($g) = @_;
	return { schemas => [CORE_GROUP], displayName => $g->{displayName}, members => [ map { { value => $_ } } sort keys %{ $g->{members} } ] };
}

# What an answer says, and what the model does, as one string each.
sub user_text
{
	my ($id, $u) = @_;
	return join('|', $id, map { defined $_ ? $_ : '-' } $u->{userName}, $u->{title}, defined $u->{active} ? ($u->{active} ? 1 : 0) : undef, $u->{mail}, $u->{badge});
}

sub user_seen
{
	my ($tenant, $j) = @_;
	my ($top, $sub) = split /\./, $tenant->{title};
	my $title = $sub ? ($j->{$top} || {})->{$sub} : $j->{$top};
	return user_text($j->{id}, { userName => $j->{userName}, title => $title, active => $j->{active}, mail => ($j->{emails} || [])->[0]{value}, badge => ($j->{'urn:model:2.0:User'} || {})->{badge} });
}

sub groups_of
{
	my ($tenant, $id) = @_;
	return join(',', grep { $tenant->{groups}{$_}{members}{$id} } sort keys %{ $tenant->{groups} });
}

sub check_user
{
	my ($tenant, $what, $r, $status, $id) = @_;
	my $u = $tenant->{users}{$id};
	return differs($tenant, $what, $r, $status) if $r->status != $status;
	my $want = user_text($id, $u);
	return differs($tenant, $what, $r, $want) if user_seen($tenant, $r->json) ne $want;
	my $groups = join(',', sort map { $_->{value} } @{ $r->json->{groups} || [] });
	return differs($tenant, "$what: groups", $r, groups_of($tenant, $id)) if $groups ne groups_of($tenant, $id);
	return;
}

sub check_group
{
	my ($tenant, $what, $r, $status, $id) = @_;
	my $g = $tenant->{groups}{$id};
	return differs($tenant, $what, $r, $status) if $r->status != $status;
	return if $status == 204;
	my $want = join('|', $id, $g->{displayName}, sort keys %{ $g->{members} });
	my $got = join('|', $r->json->{id}, $r->json->{displayName}, sort map { $_->{value} } @{ $r->json->{members} || [] });
	return differs($tenant, $what, $r, $want) if $got ne $want;
	return;
}

# Are all of them users that the tenant has?  (Others are kept in compat mode, and refused in strict mode.)
sub refused { my ($tenant, @ids) = @_; return $tenant->{mapped} && grep { !$tenant->{users}{$_} } @ids }

my %do = (
	post_user => sub {
		my ($tenant) = @_;
		my $u = { userName => new_name($tenant), title => new_title($tenant), active => pick(0, 1), mail => new_mail($tenant), badge => new_badge($tenant) };
		my $r = request($tenant, 'POST', '/Users', user_body($tenant, $u));
		if (taken($tenant, $u->{userName}, '', $u->{badge})) { return $r->status == 409 || differs($tenant, 'POST of a name that is taken', $r, 409) }
		return differs($tenant, 'POST /Users', $r, 201) if $r->status != 201;
		my $old = revived($tenant, $u->{userName});
		if ($old ? $r->id ne $old : grep { $_ eq $r->id } @{ $tenant->{dead} }) { return differs($tenant, "POST of $u->{userName}, who was deleted", $r, $old || 'a new id') }
		$tenant->{users}{ $r->id } = $u;
		check_user($tenant, 'POST /Users', $r, 201, $r->id);
	},
	put_user => sub {
		my ($tenant) = @_;
		my $id = an_id($tenant, 'users');
		my $u = { userName => new_name($tenant), title => new_title($tenant), active => pick(0, 1), mail => new_mail($tenant), badge => new_badge($tenant) };
		my $r = request($tenant, 'PUT', "/Users/$id", user_body($tenant, $u));
		if (!$tenant->{users}{$id}) { return $r->status == 404 || differs($tenant, 'PUT of nobody', $r, 404) }
		if (taken($tenant, $u->{userName}, $id, $u->{badge})) { return $r->status == 409 || differs($tenant, 'PUT of a name that is taken', $r, 409) }
		$tenant->{users}{$id} = $u;
		check_user($tenant, "PUT /Users/$id", $r, 200, $id);
	},
	patch_user => sub {
		my ($tenant) = @_;
		my $id = an_id($tenant, 'users');
		my %change;
		my @ops;
		if (rand() < 0.4) { $change{userName} = new_name($tenant); push @ops, { op => 'replace', path => 'userName', value => $change{userName} } }
		if (rand() < 0.5)
		{
			$change{title} = new_title($tenant);
			push @ops, defined $change{title} ? { op => pick('add', 'replace'), path => $tenant->{title}, value => $change{title} } : { op => 'remove', path => $tenant->{title} };
		}
		if (!@ops || rand() < 0.5) { $change{active} = pick(0, 1); push @ops, { op => 'replace', value => { active => $change{active} ? TRUE : FALSE } } }
		if (rand() < 0.3) { $change{mail} = undef; push @ops, { op => 'remove', path => 'emails[type eq "work"]' } }
		my $r = request($tenant, 'PATCH', "/Users/$id", { schemas => [PATCH_OP], Operations => \@ops });
		if (!$tenant->{users}{$id}) { return $r->status == 404 || differs($tenant, 'PATCH of nobody', $r, 404) }
		if ($tenant->{mapped} && exists $change{mail} && !defined $tenant->{users}{$id}{mail} && $r->status == 400) { return }	# strict: noTarget
		if (exists $change{userName} && taken($tenant, $change{userName}, $id)) { return $r->status == 409 || differs($tenant, 'PATCH to a name that is taken', $r, 409) }
		$tenant->{users}{$id} = { %{ $tenant->{users}{$id} }, %change };
		check_user($tenant, "PATCH /Users/$id " . json_bytes(\@ops), $r, 200, $id);
	},
	delete_user => sub {
		my ($tenant) = @_;
		my $id = an_id($tenant, 'users');
		my $r = request($tenant, 'DELETE', "/Users/$id");
		my $want = $tenant->{users}{$id} ? 204 : 404;
		differs($tenant, "DELETE /Users/$id", $r, $want) if $r->status != $want;
		return if $want == 404;
		push @{ $tenant->{deleted} }, { id => $id, name => $tenant->{users}{$id}{userName} } if $tenant->{own};
		delete $tenant->{users}{$id};
		push @{ $tenant->{dead} }, $id;
		delete $_->{members}{$id} for values %{ $tenant->{groups} };
		delete $_->{users}{$id} for values %{ $tenant->{devices} };
	},
	get_user => sub {
		my ($tenant) = @_;
		my $id = an_id($tenant, 'users');
		my $r = request($tenant, 'GET', "/Users/$id");
		if (!$tenant->{users}{$id}) { return $r->status == 404 || differs($tenant, 'GET of nobody', $r, 404) }
		check_user($tenant, "GET /Users/$id", $r, 200, $id);
	},
	post_group => sub {
		my ($tenant) = @_;
		my $g = { displayName => "g-" . new_name($tenant), members => { map { $_ => 1 } map { an_id($tenant, 'users') } 1 .. int(rand(4)) } };
		my $r = request($tenant, 'POST', '/Groups', group_body($g));
		if (group_taken($tenant, $g, '')) { return $r->status == 409 || refused($tenant, keys %{ $g->{members} }) && $r->status == 400 || differs($tenant, 'POST of a name that is taken', $r, 409) }
		if (refused($tenant, keys %{ $g->{members} })) { return $r->status == 400 || differs($tenant, 'POST with strangers', $r, 400) }
		return differs($tenant, 'POST /Groups', $r, 201) if $r->status != 201;
		$tenant->{groups}{ $r->id } = $g;
		check_group($tenant, 'POST /Groups', $r, 201, $r->id);
	},
	put_group => sub {
		my ($tenant) = @_;
		my $id = an_id($tenant, 'groups');
		my $g = { displayName => "g-" . new_name($tenant), members => { map { $_ => 1 } map { an_id($tenant, 'users') } 1 .. int(rand(4)) } };
		my $r = request($tenant, 'PUT', "/Groups/$id", group_body($g));
		if (!$tenant->{groups}{$id}) { return $r->status == 404 || differs($tenant, 'PUT of no group', $r, 404) }
		if (group_taken($tenant, $g, $id)) { return $r->status == 409 || refused($tenant, keys %{ $g->{members} }) && $r->status == 400 || differs($tenant, 'PUT of a name that is taken', $r, 409) }
		if (refused($tenant, keys %{ $g->{members} })) { return $r->status == 400 || differs($tenant, 'PUT with strangers', $r, 400) }
		$tenant->{groups}{$id} = $g;
		check_group($tenant, "PUT /Groups/$id", $r, 200, $id);
	},
	patch_group => sub {
		my ($tenant) = @_;
		my $id = an_id($tenant, 'groups');
		my @ids = map { an_id($tenant, 'users') } 1 .. 1 + int(rand(3));
		my %now = $tenant->{groups}{$id} ? %{ $tenant->{groups}{$id}{members} } : ();
		my $way = int(rand(4));
		my @values = map { { value => $_ } } @ids;
		my $op = $way == 0 ? { op => 'add', path => 'members', value => \@values }
		  : $way == 1 ? { op => 'remove', path => qq(members[value eq "$ids[0]"]) }
		  : $way == 2 ? { op => 'replace', path => 'members', value => \@values }
		  : { op => 'remove', path => 'members' };
		my $r = request($tenant, 'PATCH', "/Groups/$id", { schemas => [PATCH_OP], Operations => [$op] });
		if (!$tenant->{groups}{$id}) { return $r->status == 404 || differs($tenant, 'PATCH of no group', $r, 404) }
		if ($way % 2 == 0 && refused($tenant, @ids)) { return $r->status == 400 || differs($tenant, 'PATCH with strangers', $r, 400) }
		if ($way == 1 && $tenant->{mapped} && !$now{ $ids[0] } && $r->status == 400) { return }	# strict: noTarget
		if ($way == 1) { delete $now{ $ids[0] } }
		else { %now = () if $way != 0; $now{$_} = 1 for $way == 3 ? () : @ids }
		$tenant->{groups}{$id}{members} = \%now;
		check_group($tenant, "PATCH /Groups/$id " . json_bytes($op), $r, 204, $id);
	},
	delete_group => sub {
		my ($tenant) = @_;
		my $id = an_id($tenant, 'groups');
		my $r = request($tenant, 'DELETE', "/Groups/$id");
		my $want = $tenant->{groups}{$id} ? 204 : 404;
		differs($tenant, "DELETE /Groups/$id", $r, $want) if $r->status != $want;
		delete $tenant->{groups}{$id};
	},
	get_group => sub {
		my ($tenant) = @_;
		my $id = an_id($tenant, 'groups');
		my $r = request($tenant, 'GET', "/Groups/$id");
		if (!$tenant->{groups}{$id}) { return $r->status == 404 || differs($tenant, 'GET of no group', $r, 404) }
		check_group($tenant, "GET /Groups/$id", $r, 200, $id);
	},
	filter => sub {
		my ($tenant) = @_;
		my @terms = map { term($tenant) } 1 .. 1 + int(rand(3));
		my ($text, $code) = @{ shift @terms };
		for my $next (@terms)
		{
			my ($left, $right) = ($code, $next->[1]);
			if (rand() < 0.5) { $text = "($text) and $next->[0]"; $code = sub { $left->(@_) && $right->(@_) } }
			else { $text = "$text or $next->[0]"; $code = sub { $left->(@_) || $right->(@_) } }
		}
		if (rand() < 0.2) { my $inner = $code; $text = "not ($text)"; $code = sub { !$inner->(@_) } }
		check_list($tenant, $text, grep { $code->($tenant->{users}{$_}, $_) } keys %{ $tenant->{users} });
	},
	post_device => sub {
		my ($tenant) = @_;
		my $d = new_device($tenant);
		my $r = request($tenant, 'POST', '/Devices', device_body($d));
		return if device_refused($tenant, 'POST', $r, $d, '');
		return differs($tenant, 'POST /Devices', $r, 201) if $r->status != 201;
		$tenant->{devices}{ $r->id } = $d;
		check_device($tenant, 'POST /Devices', $r, 201, $r->id);
	},
	put_device => sub {
		my ($tenant) = @_;
		my $id = an_id($tenant, 'devices');
		my $d = new_device($tenant);
		my $r = request($tenant, 'PUT', "/Devices/$id", device_body($d));
		if (!$tenant->{devices}{$id}) { return $r->status == 404 || differs($tenant, 'PUT of no device', $r, 404) }
		return if device_refused($tenant, 'PUT', $r, $d, $id);
		$tenant->{devices}{$id} = $d;
		check_device($tenant, "PUT /Devices/$id", $r, 200, $id);
	},
	patch_device => sub {
		my ($tenant) = @_;
		my $id = an_id($tenant, 'devices');
		my $user = an_id($tenant, 'users');
		my $op = pick({ op => 'replace', path => 'note', value => 'n' . int(rand(5)) }, { op => 'remove', path => 'note' },
			{ op => 'add', path => 'users', value => [ { value => $user } ] }, { op => 'remove', path => qq(users[value eq "$user"]) });
		my $r = request($tenant, 'PATCH', "/Devices/$id?attributes=serial,note,owner,users", { schemas => [PATCH_OP], Operations => [$op] });
		my $d = $tenant->{devices}{$id};
		if (!$d) { return $r->status == 404 || differs($tenant, 'PATCH of no device', $r, 404) }
		if ($op->{path} eq 'users' && !$tenant->{users}{$user}) { return $r->status == 400 || differs($tenant, 'PATCH of a device with a stranger', $r, 400) }
		if ($op->{path} eq 'note') { $d->{note} = $op->{value} }
		elsif ($op->{path} eq 'users') { $d->{users}{$user} = 1 }
		else { delete $d->{users}{$user} }
		check_device($tenant, "PATCH /Devices/$id " . json_bytes($op), $r, 200, $id);
	},
	delete_device => sub {
		my ($tenant) = @_;
		my $id = an_id($tenant, 'devices');
		my $r = request($tenant, 'DELETE', "/Devices/$id");
		my $want = $tenant->{devices}{$id} ? 204 : 404;
		differs($tenant, "DELETE /Devices/$id", $r, $want) if $r->status != $want;
		push @{ $tenant->{dead} }, $id if delete $tenant->{devices}{$id};
	},
	filter_device => sub {
		my ($tenant) = @_;
		my $serial = new_serial($tenant);
		my $user = an_id($tenant, 'users');
		my ($text, $code) = @{ pick(
			[ qq(serial eq "$serial"), sub { lc $_[0]{serial} eq lc $serial } ],
			[ qq(not (serial sw "$serial") and note pr), sub { index(lc $_[0]{serial}, lc $serial) != 0 && defined $_[0]{note} } ],
			[ 'note eq "N1" or note eq null', sub { !defined $_[0]{note} || $_[0]{note} eq 'n1' } ],
			[ qq(owner.value eq "$user"), sub { ($_[0]{owner} || '') eq $user } ],
			[ qq(users[value eq "$user"] or owner pr), sub { $_[0]{users}{$user} || defined $_[0]{owner} } ]) };
		my $r = request($tenant, 'GET', '/Devices?count=200&filter=' . escape($text));
		my @want = sort grep { $code->($tenant->{devices}{$_}) } keys %{ $tenant->{devices} };
		differs($tenant, "devices of $text", $r, "@want") if $r->status != 200 || join(' ', sort map { $_->{id} } $r->resources) ne "@want";
	});

# ---- devices ----

sub new_serial { my ($tenant) = @_; return pick('s', 'S') . "-$tenant->{name}-" . int(rand(25)) }

sub new_device
{
	my ($tenant) = @_;
	return { serial => new_serial($tenant), note => rand() < 0.3 ? undef : 'n' . int(rand(5)), owner => rand() < 0.5 ? an_id($tenant, 'users') : undef,
		users => { map { $_ => 1 } map { an_id($tenant, 'users') } 1 .. int(rand(3)) } };
}

sub device_body
{
	my ($d) = @_;
	return { schemas => ['urn:model:2.0:Device'], serial => $d->{serial}, (defined $d->{note} ? (note => $d->{note}) : ()),
		(defined $d->{owner} ? (owner => { value => $d->{owner} }) : ()), users => [ map { { value => $_ } } sort keys %{ $d->{users} } ] };
}

# Is the request one that must be refused (as it then was)?
sub device_refused
{
	my ($tenant, $what, $r, $d, $id) = @_;
	# an owner who has gone since stays what he was
	my $stranger = grep { !$tenant->{users}{$_} } keys %{ $d->{users} };
	$stranger ||= defined $d->{owner} && !$tenant->{users}{ $d->{owner} } && ($id eq '' || ($tenant->{devices}{$id}{owner} || '') ne $d->{owner});
	my $taken = grep { $_ ne $id && lc $tenant->{devices}{$_}{serial} eq lc $d->{serial} } keys %{ $tenant->{devices} };
	return 0 if !$stranger && !$taken;
	differs($tenant, "$what of a device", $r, 'a refusal') unless ($stranger && $r->status == 400) || ($taken && $r->status == 409);
	return 1;
}

sub check_device
{
	my ($tenant, $what, $r, $status, $id) = @_;
	my $d = $tenant->{devices}{$id};
	return differs($tenant, $what, $r, $status) if $r->status != $status;
	my $j = $r->json;
	my ($want, $got) = map { join('|', map { defined $_ ? $_ : '-' } @$_) } [ $id, @$d{qw(serial note owner)}, sort keys %{ $d->{users} } ],
		[ $j->{id}, $j->{serial}, $j->{note}, ($j->{owner} || {})->{value}, sort map { $_->{value} } @{ $j->{users} || [] } ];
	return differs($tenant, $what, $r, $want) if $got ne $want;
	return;
}

# A comparison: its text, and what it means.
sub term
{
	my ($tenant) = @_;
	my $from = rand() < 0.85 ? $tenant : pick(@tenants);
	my $name = new_name($from);
	my $path = $tenant->{title};
	my $title = "t-$from->{name}-" . int(rand(6));
	my $id = an_id($tenant, 'users');
	my $group = an_id($tenant, 'groups');
	my $tail = int(rand(10));
	return pick(
		[ qq(userName eq "$name"), sub { lc $_[0]{userName} eq lc $name } ],
		[ qq(userName ne "$name"), sub { lc $_[0]{userName} ne lc $name } ],
		[ qq(userName sw "$name"), sub { index(lc $_[0]{userName}, lc $name) == 0 } ],
		[ qq(userName ew "$tail"), sub { $_[0]{userName} =~ /$tail\z/ } ],
		[ qq(userName co "-1"), sub { $_[0]{userName} =~ /-1/ } ],
		[ qq(userName gt "$name"), sub { lc $_[0]{userName} gt lc $name } ],
		[ qq($path eq "$title"), sub { defined $_[0]{title} && $_[0]{title} eq $title } ],
		[ qq($path ne "$title"), sub { !defined $_[0]{title} || $_[0]{title} ne $title } ],
		[ "$path pr", sub { defined $_[0]{title} } ],
		[ "$path eq null", sub { !defined $_[0]{title} } ],
		[ 'active eq true', sub { $_[0]{active} } ],
		[ 'active eq false', sub { !$_[0]{active} } ],
		[ qq(emails.value sw "M$from->{name}1"), sub { defined $_[0]{mail} && index(lc $_[0]{mail}, "m$from->{name}1") == 0 } ],
		[ 'emails[type eq "work" and value co "3@"]', sub { defined $_[0]{mail} && index($_[0]{mail}, '3@') >= 0 } ],
		[ 'emails[type eq "home"]', sub { 0 } ],
		[ qq(id eq "$id"), sub { $_[1] eq $id } ],
		[ qq(groups.value eq "$group"), sub { $tenant->{groups}{$group} && $tenant->{groups}{$group}{members}{ $_[1] } } ]);
}

# A list: all of it, or page by page, in an order or none.
sub check_list
{
	my ($tenant, $filter, @want) = @_;
	my $by = pick('', 'id', 'userName', $tenant->{title});
	my $order = pick('', 'ascending', 'descending');
	my $count = rand() < 0.5 ? 200 : 1 + int(rand(7));
	my $query = 'filter=' . escape($filter) . "&count=$count" . ($by ? "&sortBy=$by" . ($order ? "&sortOrder=$order" : '') : '');
	my @got;
	for (my $start = 1;; $start += $count)
	{
		my $r = request($tenant, 'GET', "/Users?$query&startIndex=$start");
		return differs($tenant, "list of $filter", $r, 200) if $r->status != 200;
		return differs($tenant, "total of $filter", $r, scalar @want) if $r->json->{totalResults} != @want;
		push @got, map { user_seen($tenant, $_) } $r->resources;
		last if $start + $count > @want;
	}
	my @texts = map { user_text($_, $tenant->{users}{$_}) } @want;
	return diag("query $query") && differs($tenant, "list of $filter", ScimTest::Reply->new(status => 200, headers => {}, text => join(' ', sort @got)), join(' ', sort @texts))
	  if join(' ', sort @got) ne join(' ', sort @texts);
	if ($by eq 'userName')
	{
		my @names = map { lc((split /\|/)[1]) } @got;
		my @sorted = sort @names;
		@sorted = reverse @sorted if $order eq 'descending';
		differs($tenant, "order of $query", ScimTest::Reply->new(status => 200, headers => {}, text => "@names"), "@sorted") if "@names" ne "@sorted";
	}
	return;
}

sub escape { my ($s) = @_; $s =~ s/([^A-Za-z0-9_.-])/sprintf('%%%02X', ord $1)/ge; return $s }

my %weight = (post_user => 12, put_user => 8, patch_user => 12, delete_user => 4, get_user => 8, post_group => 3, put_group => 4, patch_group => 12, delete_group => 1, get_group => 5, filter => 14);
my @wheel = map { ($_) x $weight{$_} } sort keys %weight;
my %own_weight = (post_device => 16, put_device => 8, patch_device => 16, delete_device => 4, filter_device => 10);
my @own_wheel = (@wheel, map { ($_) x $own_weight{$_} } sort keys %own_weight);

my $start = time;
my %done;
my $n = 0;
while ($sent < $requests && $enough < 5 && time - $start < $most_seconds)
{
	my $tenant = pick(@tenants);
	my $what = pick($tenant->{own} ? @own_wheel : @wheel);
	$do{$what}->($tenant);
	$done{$what}++;
	$n++;
}
note(sprintf('%d requests, %d steps in %.1f s: %s', $sent, $n, time - $start, join(', ', map { "$_ $done{$_}" } sort keys %done)));
cmp_ok($sent, '>=', $enough ? 0 : $whole || 400, ($whole || 'some thousands of') . " requests (SCIM_SEED=$seed)");

for my $tenant (@tenants)
{
	check_list($tenant, 'userName pr', keys %{ $tenant->{users} });
	for my $id (sort keys %{ $tenant->{groups} })
	{
		check_group($tenant, "GET /Groups/$id", request($tenant, 'GET', "/Groups/$id"), 200, $id);
	}
	for my $id ($tenant->{own} ? sort keys %{ $tenant->{devices} } : ())
	{
		check_device($tenant, "GET /Devices/$id", request($tenant, 'GET', "/Devices/$id"), 200, $id);
	}
	is($t->handle('GET', '/Groups?count=0', undef, endpoint => $tenant->{name})->json->{totalResults}, scalar(keys %{ $tenant->{groups} }), "$tenant->{name}: number of groups");
}
is($enough, 0, "no difference (SCIM_SEED=$seed)");
$t->no_crash;

done_testing();
