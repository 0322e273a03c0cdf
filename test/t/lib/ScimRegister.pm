# ScimRegister.pm - the ground of the tests that go through the register of
# requirements (test/data/register.tsv) entry by entry: a server with an
# endpoint in compat mode, one in strict mode, and one with a resource type of
# its own that has every characteristic.  The name of an assertion begins with
# the number of the entry.
package ScimRegister;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use Test::More;

use ScimTest;

our @EXPORT = qw(
  register_start new_user new_group user_body group_body get_ok value_of shape_is
  THING SEARCH BULK
);

use constant {
	THING => 'urn:example:scim:2.0:Thing',
	SEARCH => 'urn:ietf:params:scim:api:messages:2.0:SearchRequest',
	BULK => 'urn:ietf:params:scim:api:messages:2.0:BulkRequest',
};

my $serial = 0;

# (server, compat client, strict client, client of things).
sub register_start
{
	my (%opt) = @_;
	my $t = ScimTest->start(%opt);

	$t->create_endpoint('strict', base_path => '/strict', mode => 'strict');
	$t->sql(q{
		CREATE ROLE things;
		CREATE SCHEMA app AUTHORIZATION things;
		SELECT scim.create_schema('{"id":"urn:example:scim:2.0:Thing","name":"Thing","description":"A thing","attributes":[
			{"name":"name","required":true},
			{"name":"plain"},
			{"name":"dec","type":"decimal"}, {"name":"num","type":"integer"}, {"name":"at","type":"dateTime"}, {"name":"bin","type":"binary"}, {"name":"flag","type":"boolean"},
			{"name":"serial","mutability":"immutable"}, {"name":"secret","mutability":"writeOnly","returned":"never"}, {"name":"computed","mutability":"readOnly"},
			{"name":"asked","returned":"request"}, {"name":"forced","returned":"always"}, {"name":"hidden","returned":"never"},
			{"name":"code","caseExact":true,"uniqueness":"server"},
			{"name":"tags","multiValued":true}]}');
		CREATE TABLE app.things (id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, name text NOT NULL, plain text, dec float8, num bigint, at timestamptz, bin text, flag boolean,
			serial text, secret text, computed text DEFAULT 'c', asked text, forced text DEFAULT 'f', hidden text, code text UNIQUE, unmapped text, short varchar(3), CHECK (plain <> 'forbidden'));
		CREATE TABLE app.tags (thing bigint REFERENCES app.things ON DELETE CASCADE, tag text CHECK (tag <> 'bad'));
		CREATE FUNCTION app.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.plain = 'upper' THEN NEW.plain := 'UPPER'; END IF; IF NEW.plain = 'boom' THEN RAISE SQLSTATE 'XX000' USING MESSAGE = 'secret internals'; END IF; RETURN NEW; END $$;
		CREATE TRIGGER touch BEFORE INSERT OR UPDATE ON app.things FOR EACH ROW EXECUTE FUNCTION app.touch();
		ALTER TABLE app.things OWNER TO things; ALTER TABLE app.tags OWNER TO things; ALTER FUNCTION app.touch() OWNER TO things;
		SELECT scim.create_mapping('things', 'Thing', 'app.things', owner => 'things', attributes => '{"name":"name","plain":"plain","dec":"dec","num":"num","at":"at","bin":"bin","flag":"flag","serial":"serial","secret":"secret",
			"computed":"computed","asked":"asked","forced":"forced","hidden":"hidden","code":"code","tags":{"table":"app.tags","parent":"thing","columns":{"value":"tag"}}}')});
	$t->create_endpoint('things', base_path => '/things', mappings => '{things}');
	return ($t, $t->client,
		$t->client(base_path => '/strict', token => $t->create_token('strict')),
		$t->client(base_path => '/things', token => $t->create_token('things')));
}

sub user_body { my (%more) = @_; return { schemas => [CORE_USER], userName => 'user' . ++$serial . '@example.org', %more } }
sub group_body { my (%more) = @_; return { schemas => [CORE_GROUP], displayName => 'group' . ++$serial, %more } }

# A new resource: its answer, which has to be 201.
sub new_user
{
	my ($client, %more) = @_;
	my $r = $client->post('/Users', user_body(%more));
	die 'no user: ' . $r->status . ' ' . $r->text . "\n" if $r->status != 201;
	return $r;
}

sub new_group
{
	my ($client, %more) = @_;
	my $r = $client->post('/Groups', group_body(%more));
	die 'no group: ' . $r->status . ' ' . $r->text . "\n" if $r->status != 201;
	return $r;
}

# The resource at a path.
sub get_ok
{
	my ($client, $path) = @_;
	my $r = $client->get($path);
	die "GET $path: " . $r->status . ' ' . $r->text . "\n" if $r->status != 200;
	return $r->json;
}

# A member of a resource, as JSON; "" if there is none.
sub value_of
{
	my ($json, @path) = @_;
	for my $step (@path)
	{
		$json = ref $json eq 'ARRAY' ? $json->[$step] : ref $json eq 'HASH' ? $json->{$step} : undef;
	}
	return defined $json ? json_bytes($json) : '';
}

# Names of the members of a resource, sorted.
sub shape_is
{
	my ($reply, $names, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $json = ref $reply eq 'HASH' ? $reply : $reply->json;
	return is(join(' ', sort keys %{ $json || {} }), $names, $name);
}

1;
