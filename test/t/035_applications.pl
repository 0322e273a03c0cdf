# 035_applications.pl - the schemas of well-known applications as endpoints, by
# mappings alone and without a change of a table.  For each the dialogues of
# Entra and Okta over HTTP, then what is particular to it.
#
# A schema is a file of test/schemas, in sections that "-- [name ...]" begins:
#
#   endpoints NAME...    those of the dialogues (the mapping section makes them)
#   has ATTRIBUTE...     what there is a place for, beside userName (ScimDialogue.pm)
#   needs JSON           members that every user must have
#   immutable            the userName is the key
#   forget SQL           between dialogues: what stays of unlinked users
#   schema               the tables, shortened to what matters, made as their owner
#   mapping              the statements of a user of the extension, or
#   cookbook             those of this name in docs/cookbook.md
#   user, members        SQL over the tables (ScimDialogue.pm)
#   request METHOD PATH EXPECTED   at the first endpoint, with a body; {name} is the id
#                        of what was created by that name.  Expected is a status, with
#                        a word of the detail, or the number of matches
#   sql EXPECTED         what the tables say then

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use ScimDialogue;
use ScimTest;
use Test::More;

ScimTest->watchdog(240);

my $t;

# The sections of a schema: [ word, rest of the line, text ], ...
sub sections
{
	my ($file) = @_;
	open(my $in, '<', $file) or die "$file: $!";
	my @sections;
	while (my $line = <$in>)
	{
		if ($line =~ /^-- \[(\w+)(?: (.*))?\](?: (.*))?$/)
		{
			push @sections, [ $1, defined $3 ? $3 : defined $2 ? $2 : '', '' ];
		}
		elsif (@sections)
		{
			$sections[-1][2] .= $line;
		}
	}
	return @sections;
}

sub only
{
	my ($name, @sections) = @_;
	my @found = grep { $_->[0] eq $name } @sections;
	die "section $name is there twice" if @found > 1;
	return @found ? $found[0] : undef;
}

# One request of a schema's own, with the ids that are known by now.
sub request
{
	my ($c, $line, $body, $ids) = @_;
	my ($method, $path, $status, $word) = $line =~ m{^(\w+) (/.+?) (\d+)(?: (\S+))?$} or die "request: $line";

	$path =~ s/\{([^}]+)\}/defined $ids->{$1} ? $ids->{$1} =~ s{([^A-Za-z0-9._~-])}{sprintf('%%%02X', ord $1)}ger : die "no $1"/ge;
	$body =~ s/"\{([^"{}]+)\}"/defined $ids->{$1} ? qq("$ids->{$1}") : die "no $1"/ge;
	$body =~ s/\\"\{([^"{}]+)\}\\"/defined $ids->{$1} ? qq(\\"$ids->{$1}\\") : die "no $1"/ge;
	my $r = $c->request($method, $path, $body =~ /\S/ ? $body : undef);
	if ($status < 100)
	{
		list_is($r, $status, "$method $path");
	}
	elsif ($word)
	{
		error_is($r, $status, undef, qr/\Q$word\E/, "$method $path: $status, $word");
	}
	else
	{
		status_is($r, $status, "$method $path: $status");
	}
	my $j = $r->json;
	$ids->{ $j->{userName} || $j->{displayName} } = $j->{id} if $status == 201 && ref $j eq 'HASH' && $j->{id};
	return;
}

sub application
{
	my ($name, @sections) = @_;
	my %s = (
		what => [ 'userName', split(/ /, only('has', @sections)->[1]) ],
		user => only('user', @sections)->[2],
		members => only('members', @sections) ? only('members', @sections)->[2] : undef,
		needs => only('needs', @sections) ? only('needs', @sections)->[1] : undef,
		immutable => defined only('immutable', @sections));
	my $forget = only('forget', @sections);
	my @endpoints = split(/ /, only('endpoints', @sections)->[1]);
	my %ids;

	$_ = defined $_ ? "SET search_path = $name; $_" : undef for @s{qw(user members)};
	$t->sql("CREATE SCHEMA $name AUTHORIZATION app; SET ROLE app; SET search_path = $name; " . only('schema', @sections)->[2]);
	my $mapping = only('mapping', @sections);
	my ($rc, undef, $err) = $t->try_sql($mapping ? $mapping->[2] : join('', recipe($name)));
	is($rc, 0, 'the mappings') or diag($err), return;
	is($t->sql("SELECT string_agg(concat_ws(' ', m.name, c.subject, c.problem), '; ') FROM scim.mappings m, scim.check_mapping(m.name) c WHERE m.name LIKE '$name%' AND c.severity = 'error'"), '', 'no errors');
	for my $endpoint (@endpoints)
	{
		# another tenant gets one dialogue of each
		my @modes = $endpoint eq $endpoints[0] ? (0, 1) : (1);
		for my $flag (@modes)
		{
			subtest "$endpoint: Entra" . ($flag ? ' with aadOptscim062020' : '') => sub { entra($t, \%s, $endpoint, $flag) };
			$t->sql("SET search_path = $name; $forget->[1]") if $forget;
		}
		for my $put (@modes)
		{
			subtest "$endpoint: Okta, " . ($put ? 'wizard' : 'catalogue') => sub { okta($t, \%s, $endpoint, $put) };
			$t->sql("SET search_path = $name; $forget->[1]") if $forget;
		}
	}
	my $c = $t->client(base_path => "/$endpoints[0]/scim/v2", token => $t->create_token($endpoints[0]));
	for my $section (@sections)
	{
		my ($word, $line, $text) = @$section;
		request($c, $line, $text, \%ids) if $word eq 'request';
		is($t->sql("SET search_path = $name; $text"), $line, "SQL: $line") if $word eq 'sql';
	}
	return;
}

my @files = sort glob("$FindBin::RealBin/../schemas/*.sql");
ok(@files >= 12, scalar(@files) . ' applications');
$t = ScimTest->start(listeners => 2);
$t->sql('CREATE ROLE app NOLOGIN; GRANT CREATE ON DATABASE postgres TO app; CREATE EXTENSION citext SCHEMA public');
for my $file (@files)
{
	my ($name) = $file =~ m{([a-z0-9]+)\.sql$};
	next if $ENV{SCHEMAS} && $ENV{SCHEMAS} !~ /\b$name\b/;
	subtest $name => sub { application($name, sections($file)) };
}
subtest 'relations of other kinds' => sub {
	for my $statements (recipe('relations'))
	{
		my ($rc, undef, $err) = $t->try_sql($statements);
		is($rc, 0, 'recipe') or diag($err);
	}
	my %c = map { $_ => $t->client(base_path => "/$_/scim/v2", token => $t->create_token($_)) } qw(people1 people2 circles1 circles2 visible accounts devices named);
	my $user = sub { my ($name, %more) = @_; return { schemas => [CORE_USER], userName => $name, %more } };
	my $r = $c{people1}->post('/Users', $user->('ANN', userType => 'Senior', displayName => 'is read-only', 'urn:more:params:scim:schemas:people:2.0:User' => { order => 7 }));

	status_is($r, 201, 'a partition, row security, a trigger');
	is(join('|', $r->json->{userName}, $r->json->{displayName}, $r->json->{userType}, $r->json->{'urn:more:params:scim:schemas:people:2.0:User'}{order}), 'ann|A|senior|7', 'the answer is what was stored');
	error_is($c{people1}->post('/Users', $user->('Ann')), 409, 'uniqueness', qr/userName/, 'unique in the partition');
	error_is($c{people1}->post('/Users', $user->('a b')), 400, 'invalidValue', undef, 'the domain refuses');
	error_is($c{people1}->post('/Users', $user->('bob', userType => 'boss')), 400, 'invalidValue', qr/userType/, 'the enum refuses');
	status_is($c{people1}->post('/Users', $user->('root')), 403, 'the policy refuses');
	status_is($c{people2}->post('/Users', $user->('ann')), 201, 'another tenant has that name, too');
	status_is($c{people2}->get('/Users/' . $r->id), 404, 'and does not see this one');
	$t->sql("UPDATE more.people SET hired = '2020-02-03' WHERE org = 1");
	list_is($c{people1}->get('/Users' . query(filter => 'nickName eq "2020-02-03" and userType eq "SENIOR"')), 1, 'a cast in a filter');

	my $ann = $c{circles1}->post('/Users', $user->('ann'))->id;
	error_is($c{circles2}->post('/Users', $user->('ANN')), 409, 'uniqueness', qr/userName/, 'one user for all');
	my $circle = $c{circles1}->post('/Groups', { schemas => [CORE_GROUP], displayName => 'c', members => [ { value => $ann } ] })->id;
	status_is($c{circles2}->get("/Groups/$circle"), 404, 'a circle is of its tenant');
	is(scalar @{ $c{circles1}->get("/Users/$ann")->json->{groups} || [] }, 1, 'who sees its member in it');
	is(scalar @{ $c{circles2}->get("/Users/$ann")->json->{groups} || [] }, 0, 'and the other does not');
	status_is($c{circles1}->delete("/Users/$ann"), 403, 'no delete');
	list_is($c{circles1}->get('/Users' . query(filter => 'userName eq "ANN"')), 1, 'citext');

	status_is($c{visible}->post('/Users', $user->('ben')), 201, 'a view');
	status_is($c{visible}->post('/Users', $user->('x-cid')), 400, 'its check option');
	is($t->sql(q{SELECT string_agg(login::text, ',' ORDER BY login) FROM more.everyone}), 'ann,ben', 'SQL: the table below it');

	$t->sql(q{INSERT INTO more.robots (login, model) VALUES ('r2', 'd2')});
	$r = $c{accounts}->get('/Users' . query(filter => 'userName eq "R2"'));
	list_is($r, 1, 'a row of an heir');
	my ($id) = map { $_->{id} } $r->resources;
	error_is($c{accounts}->post('/Users', $user->('R2')), 409, 'uniqueness', qr/userName/, 'whose name is taken');
	status_is($c{accounts}->put("/Users/$id", $user->('r3')), 200, 'is changed');
	is($t->sql('SELECT login, model FROM more.robots'), 'r3|d2', 'SQL: where it is');
	status_is($c{accounts}->delete("/Users/$id"), 204, 'and deleted');

	$r = $c{devices}->post('/Devices', { schemas => ['urn:scim:schemas:custom:2.0:Device'], model => 'Z80', boughtAt => '1976-07-01T00:00:00Z', weight => 0.01, tags => [ 'a', 'b' ] });
	status_is($r, 201, 'a resource type made of a table');
	is(json_bytes({ map { $_ => $r->json->{$_} } qw(model boughtAt weight tags inUse) }), '{"boughtAt":"1976-07-01T00:00:00Z","inUse":true,"model":"Z80","tags":["a","b"],"weight":0.01}', 'its attributes');
	error_is($c{devices}->post('/Devices', { schemas => ['urn:scim:schemas:custom:2.0:Device'], model => 'x' x 21 }), 400, 'invalidValue', qr/model/, 'varchar(20)');
	list_is($c{devices}->get('/Devices' . query(filter => 'weight lt 1 and tags eq "B" and inUse eq true')), 1, 'and filters');

	$r = $c{named}->post('/Users', $user->("O'Neil/x"));
	is($r->id, "O'Neil/x", 'a key that is the name');
	like($r->json->{meta}{location}, qr{/Users/O%27Neil%2Fx$|/Users/O'Neil%2Fx$}, 'encoded in its URL');
	status_is($c{named}->put('/Users/O%27Neil%2Fx', $user->("O'Neil/x", title => 'T')), 200, 'found by it');
	error_is($c{named}->put('/Users/O%27Neil%2Fx', $user->('other')), 400, 'mutability', qr/userName/, 'it does not change');
	error_is($c{named}->post('/Users', $user->("o'NEIL/x")), 409, 'uniqueness', qr/userName/, 'and is one in every case');
};
$t->no_crash;
done_testing();
