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
#   mapping              the statements of a user of the extension
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
	my ($rc, undef, $err) = $t->try_sql(only('mapping', @sections)->[2]);
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
$t->sql('CREATE ROLE app NOLOGIN; GRANT CREATE ON DATABASE postgres TO app');
for my $file (@files)
{
	my ($name) = $file =~ m{([a-z0-9]+)\.sql$};
	next if $ENV{SCHEMAS} && $ENV{SCHEMAS} !~ /\b$name\b/;
	subtest $name => sub { application($name, sections($file)) };
}
$t->no_crash;
done_testing();
