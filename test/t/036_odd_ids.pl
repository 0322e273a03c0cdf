# 036_odd_ids.pl - ids of any characters over HTTP: keys that are an attribute,
# and keys of several columns.  What Location, meta.location and $ref say can be
# asked for as it is.

use strict;
use warnings FATAL => 'all';
use utf8;

use FindBin;
use lib "$FindBin::RealBin/lib";
use ScimTest;
use Test::More;

ScimTest->watchdog(120);

my $t = ScimTest->start(listeners => 1);
$t->sql(<<'SQL');
CREATE ROLE app NOLOGIN;
CREATE SCHEMA app AUTHORIZATION app;
SET ROLE app;
CREATE TABLE app.people (login text PRIMARY KEY, title text);
CREATE TABLE app.parts (org text, code text, label text NOT NULL, PRIMARY KEY (org, code));
CREATE TABLE app.holders (org text, code text, login text REFERENCES app.people ON DELETE CASCADE,
	PRIMARY KEY (org, code, login), FOREIGN KEY (org, code) REFERENCES app.parts ON DELETE CASCADE);
CREATE FUNCTION app.place() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.org := 'a/b'; NEW.code := '~%' || NEW.label; RETURN NEW; END $$;
CREATE TRIGGER place BEFORE INSERT ON app.parts FOR EACH ROW EXECUTE FUNCTION app.place();
RESET ROLE;
SELECT scim.create_mapping('people', 'User', 'app.people', owner => 'app', attributes => '{"userName": "login", "title": "title"}');
SELECT scim.create_mapping('parts', 'Group', 'app.parts', owner => 'app', attributes => '{"displayName": "label",
	"members": {"table": "app.holders", "parent": ["org", "code"], "ref": "login", "type": "User"}}');
SQL
$t->create_endpoint('odd', base_path => '/odd', mappings => '{people,parts}', owner => 'app');
my $c = $t->client(base_path => '/odd', token => $t->create_token('odd'));

# The path below the base of the endpoint.
sub path_of
{
	my ($location) = @_;
	my ($path) = $location =~ m{/odd(/.*)$};
	return $path;
}

my @logins = ('a/b', 'a b', 'a%2Fb', 'who?x=1', '#1', '~', 'ünïcode', '名前', 'semi;colon', 'plus+', q(quote'"), '..%2f..', 'Me', 'a&b=c', '\\', 'dot.', '.hidden');
my %at;
for my $login (@logins)
{
	my $r = $c->post('/Users', { schemas => [CORE_USER], userName => $login, title => 'T' });
	status_is($r, 201, "POST of a login that is an id") or diag($r->text);
	is($r->json->{id}, $login, 'the id is the login');
	my $path = $at{$login} = path_of($r->json->{meta}{location});
	is(path_of($r->header('Location')), $path, 'Location');
	like($path, qr{^/Users/[A-Za-z0-9%._~!\$&'()*+,;=:\@-]+$}, 'which is a URL of one segment');
	my $got = $c->get($path);
	status_is($got, 200, "GET of it");
	is($got->json->{userName}, $login, 'the one');
	status_is($c->patch($path, { schemas => [PATCH_OP], Operations => [ { op => 'replace', path => 'title', value => $login } ] }), 200, 'PATCH of it');
	error_is($c->put($path, { schemas => [CORE_USER], userName => "$login-" }), 400, 'mutability', qr/userName/, 'another login would be another id');
}
is($t->sql('SELECT count(*) FROM app.people WHERE title = login'), scalar(@logins), 'each was changed, once');

my $r = $c->post('/Groups', { schemas => [CORE_GROUP], displayName => 'P/1', members => [ map { { value => $_ } } @logins ] });
status_is($r, 201, 'POST with a key of two columns') or diag($r->text);
is($r->json->{id}, 'a%2Fb~%7E%25P%2F1', 'the texts, encoded and joined');
my $group = path_of($r->json->{meta}{location});
$r = $c->get($group);
status_is($r, 200, 'GET of it');
is(join(' ', sort map { $_->{value} } @{ $r->json->{members} }), join(' ', sort @logins), 'its members');
for my $m (@{ $r->json->{members} })
{
	my $ref = path_of($m->{'$ref'});
	is($ref, $at{ $m->{value} }, 'the $ref is the location');
	is(path_of($c->get($ref)->json->{groups}[0]{'$ref'}), $group, 'and leads back');
}
status_is($c->delete($at{'a/b'}), 204, 'DELETE');
status_is($c->get($at{'a/b'}), 404, 'gone');
status_is($c->get($at{'a%2Fb'}), 200, 'the other is not');
status_is($c->get("/Groups/$_"), 404, "no id of two texts: $_") for 'a', 'a~b~c', '~', '%zz~b', 'a%252Fb';
status_is($c->delete($group), 204, 'DELETE of the group');

done_testing();
