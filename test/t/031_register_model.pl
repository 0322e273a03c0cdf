# 031_register_model.pl - the register, sections 1 to 6: data model, resource
# types, characteristics, discovery, HTTP, authentication.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use ScimTest;
use ScimRegister;
use Test::More;
use Time::HiRes qw(sleep);

ScimTest->watchdog(120);

my ($t, $c, $s, $th) = register_start(listeners => 2);
my $ent = ENTERPRISE;
my ($r, $id, $json);

# ---- 1. data model ----

$r = $c->post('/Users', { schemas => [CORE_USER], USERNAME => 'case1', Name => { GIVENNAME => 'G' } });
ok($r->status == 201 && $r->json->{userName} eq 'case1' && $r->json->{name}{givenName} eq 'G', 'R-7643-2.1-02 names without case in, in the spelling of the schema out');
for my $name ('1x', 'a b', '')
{
	my ($rc, $out, $err) = $t->try_sql(qq{SELECT scim.create_schema('{"id":"urn:x:bad","attributes":[{"name":"$name"}]}')});
	ok($rc != 0 && $err =~ /attribute|name/i, "R-7643-2.1-03 an attribute cannot be called \"$name\"");
}
error_is($c->post('/Users', '{"schemas":["' . CORE_USER . '"],"userName":"a","username":"b"}'), 400, 'invalidSyntax', undef, 'R-7643-2.1-04 an attribute twice');
error_is($s->post('/Users', { userName => 'x' }), 400, 'invalidSyntax', undef, 'R-7643-2.1-01 strict: a body without schemas');
status_is($c->post('/Users', { userName => 'noschemas' }), 201, 'R-7643-2.1-01 compat: the core schema is assumed');
($json) = grep { $_->{name} eq 'plain' } @{ get_ok($th, '/Schemas/' . THING)->{attributes} };
is(json_bytes([ @$json{qw(type multiValued required caseExact mutability returned uniqueness)} ]), '["string",false,false,false,"readWrite","default","none"]', 'R-7643-2.2-01 defaults of what a schema leaves out');
$r = new_user($c, displayName => "\x{674e}\x{96f7} \x01? \x{1f600}");
is(get_ok($c, '/Users/' . $r->id)->{displayName}, "\x{674e}\x{96f7} \x01? \x{1f600}", 'R-7643-2.3.1-01 a string comes back as it was');
error_is($c->post('/Users', '{"schemas":["' . CORE_USER . '"],"userName":"a\u0000b"}'), 400, 'invalidValue', undef, 'R-7643-2.3.1-02 U+0000');
error_is($c->post('/Users', '{"schemas":["' . CORE_USER . '"],"userName":"\ud800"}'), 400, 'invalidSyntax', undef, 'R-7643-2.3.1-02 half a surrogate pair');
status_is($c->post('/Users', user_body(emails => [ { value => 'a@b', type => 'mars' } ])), 201, 'R-7643-2.3.1-03 another label than the canonical ones');
error_is($s->post('/Users', user_body(active => 'true')), 400, 'invalidValue', qr/active/, 'R-7643-2.3.2-01 strict: a boolean in quotes');
is(value_of($c->post('/Users', user_body(active => 'true'))->json, 'active'), 'true', 'R-7643-2.3.2-01 compat: it is taken');
error_is($_->post('/Users', user_body(active => 1)), 400, 'invalidValue', qr/active/, 'R-7643-2.3.2-01 a number is no boolean') for $c, $s;

sub thing
{
	my ($bytes) = @_;
	return $th->post('/Things', '{"schemas":["' . THING . '"],"name":"t",' . $bytes . '}');
}
like(thing('"dec":0.1')->text, qr/"dec":0\.1[,}]/, 'R-7643-2.3.3-01 a decimal in its shortest form');
error_is(thing('"dec":12345678901234.5678'), 400, 'invalidValue', undef, 'R-7643-2.3.3-01 more digits than can be kept');
error_is(thing(qq{"num":$_}), 400, 'invalidValue', qr/num/, "R-7643-2.3.4-01 $_ is no integer") for '7.5', '1e3';
like(thing('"num":9007199254740993')->text, qr/"num":9007199254740993[,}]/, 'R-7643-2.3.4-01 an integer is exact');
like(thing('"at":"2024-02-29T12:00:00+01:00"')->text, qr/"at":"2024-02-29T11:00:00(\.0+)?Z"/, 'R-7643-2.3.5-01 an offset');
error_is(thing(qq{"at":"$_"}), 400, 'invalidValue', qr/at/, "R-7643-2.3.5-01 $_ is no dateTime") for '2024-02-29', '2023-02-29T00:00:00Z', 'yesterday';
like(get_ok($c, '/Users/' . $r->id)->{meta}{created}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/, 'R-7643-2.3.5-02 times are UTC');
error_is(thing('"bin":"***"'), 400, 'invalidValue', qr/bin/, 'R-7643-2.3.6-01 no base64');
status_is(thing('"bin":"aGVsbG8"'), 201, 'R-7643-2.3.6-01 without padding');

my $u1 = new_user($c)->id;
my $base = $t->origin =~ s/localhost/127.0.0.1/r . '/api/v2/scim';
my $g = new_group($c, members => [ { value => $u1 } ])->id;
$json = get_ok($c, "/Groups/$g");
is($json->{members}[0]{'$ref'}, "$base/Users/$u1", 'R-7643-2.3.7-01 a reference is an absolute URI');
is($c->get($json->{members}[0]{'$ref'} =~ s/127\.0\.0\.1/localhost/r)->status, 200, 'R-7643-2.3.7-02 and can be followed');
{
	my $before = $t->store_digest;
	error_is($s->post('/Groups', group_body(members => [ { value => 'nobody' } ])), 400, 'invalidValue', qr/nobody|members/, 'R-7643-2.3.7-03 strict: a reference to nobody');
	is($t->store_digest, $before, 'R-7643-2.3.7-03 nothing of it is stored');
}
{
	my $one = new_user($c, title => 'x', displayName => 'y');
	my $two = $c->put('/Users/' . $one->id, '{"displayName":"y","title":"x","userName":"' . $one->json->{userName} . '","schemas":["' . CORE_USER . '"]}');
	is($two->header('etag'), $one->header('etag'), 'R-7643-2.3.8-01 the order of members is no change');
}
{
	my ($rc, $out, $err) = $t->try_sql(q{SELECT scim.create_schema('{"id":"urn:x:deep","attributes":[{"name":"a","type":"complex","subAttributes":[{"name":"b","type":"complex","subAttributes":[{"name":"c"}]}]}]}')});
	ok($rc != 0, 'R-7643-2.3.8-02 complex in complex');
	($rc, $out, $err) = $t->try_sql(q{SELECT scim.create_schema('{"id":"urn:x:primary","attributes":[{"name":"a","type":"complex","multiValued":true,"subAttributes":[{"name":"value"},{"name":"primary","type":"string"}]}]}')});
	ok($rc != 0 || $err =~ /primary/, 'R-7643-2.4-03 a primary that is no boolean') or diag($err);
	$t->try_sql(q{SELECT scim.drop_schema('urn:x:primary')});
}
error_is($c->post('/Users', user_body(emails => [ { value => 'a@b', primary => TRUE }, { value => 'c@d', primary => TRUE } ])), 400, 'invalidValue', qr/primary|emails/, 'R-7643-2.4-01 two are primary');
{
	my $u = new_user($c, emails => [ { value => 'p@q' } ]);
	list_is($c->filter('/Users', 'emails[primary eq false] and id eq "' . $u->id . '"'), 1, 'R-7643-2.4-02 not said to be primary is not primary');
	$u = new_user($c, emails => [ { value => 'a@b', type => 'work' }, { value => 'a@b', type => 'work' } ]);
	is(scalar(@{ $u->json->{emails} }), 1, 'R-7643-2.4-04 a value given twice is there once');
	$u = new_user($c, emails => [ { value => 'W@B', type => 'WORK' } ]);
	list_is($c->filter('/Users', 'emails[type eq "work" and value eq "w@b"] and id eq "' . $u->id . '"'), 1, 'R-7643-2.4-06 a label is found in the canonical spelling');
	my $a = new_user($c, title => 'x')->id;
	my $name = get_ok($c, "/Users/$a")->{userName};
	my $null = $c->put("/Users/$a", { schemas => [CORE_USER], userName => $name, title => undef, emails => [] });
	my $none = $c->put("/Users/$a", { schemas => [CORE_USER], userName => $name });
	is($null->header('etag'), $none->header('etag'), 'R-7643-2.5-01 null, [] and absence are one');
	shape_is($none, 'id meta schemas userName', 'R-7643-2.5-02 unassigned attributes are left out');
	is(value_of($c->post('/Users', user_body(active => undef))->json, 'active'), '', 'R-7643-2.5-03 null unassigns');
}
$json = new_user($c, $ent => { department => 'D' })->json;
is(join(' ', sort @{ $json->{schemas} }), join(' ', CORE_USER, $ent), 'R-7643-3-01 schemas: each once, those that there is data of');
{
	my $body = user_body($ent => { department => 'D' });
	my $first = $c->post('/Users', { %$body, schemas => [ $ent, CORE_USER ] });
	my $second = $c->put('/Users/' . $first->id, { %$body, schemas => [ CORE_USER, $ent ] });
	is($second->header('etag'), $first->header('etag'), 'R-7643-3-02 the order of schemas is no change');
}
error_is($s->post('/Users', { schemas => [ CORE_USER, 'urn:x' ], userName => 'unknown-urn' }), 400, 'invalidSyntax', undef, 'R-7643-3-03 strict: an unknown URI in schemas');
status_is($c->post('/Users', { schemas => [ CORE_USER, 'urn:x' ], userName => 'unknown-urn' }), 201, 'R-7643-3-03 compat: ignored');
ok(exists $json->{$ent}{department} && !exists $json->{department}, 'R-7643-3-04 attributes of an extension are in its object');
$r = $c->post('/Users', user_body($ent => { department => 'D' }));
is(scalar(grep { $_ eq $ent } @{ $r->json->{schemas} }), 1, 'R-7643-3-05 compat: the URI of an extension with data is added');
error_is($s->post('/Users', user_body($ent => { department => 'D' })), 400, 'invalidSyntax', undef, 'R-7643-3-05 strict: it has to be there');
is(scalar(@{ $c->post('/Users', user_body(schemas => [ CORE_USER, CORE_USER ]))->json->{schemas} }), 1, 'R-7643-3-06 twice in, once out');
$r = $c->post('/Users', user_body(id => 'mine', meta => { created => '2000-01-01T00:00:00Z', resourceType => 'X' }));
ok($r->status == 201 && $r->id ne 'mine', 'R-7643-3.1-01 id is the server\'s');
ok(exists $c->get('/Users/' . $r->id . '?attributes=userName')->json->{id}, 'R-7643-3.1-01 and always returned');
ok($r->json->{meta}{resourceType} eq 'User' && $r->json->{meta}{created} !~ /^2000/, 'R-7643-3.1-04 meta is the server\'s');
is($t->sql(q{SELECT count(*) FROM generate_series(1, 100000) WHERE gen_random_uuid()::text ~* 'bulkid'}), '0', 'R-7643-3.1-02 no id holds "bulkId": they are UUIDs');
is(join(' ', map { $c->post('/Users', user_body(externalId => 'same'))->status } 1, 2), '201 201', 'R-7643-3.1-03 two may have one externalId');
list_is($s->filter('/Users', 'externalId eq "same"'), 0, 'R-7643-3.1-03 another tenant sees neither');
ok($r->json->{meta}{location} eq $r->header('location') && $r->json->{meta}{resourceType} && $r->json->{meta}{lastModified}, 'R-7643-3.1-05 meta is complete');
is($r->json->{meta}{lastModified}, $r->json->{meta}{created}, 'R-7643-3.1-06 new: modified when created');
{
	my $before = $r->json->{meta}{lastModified};
	my $same = $c->patch('/Users/' . $r->id, [ { op => 'remove', path => 'title' } ]);
	is($same->json->{meta}{lastModified}, $before, 'R-7643-3.1-07 no change, no new lastModified');
	my $moved = $c->patch('/Users/' . $r->id, [ { op => 'add', path => 'title', value => 'x' } ]);
	ok($moved->json->{meta}{lastModified} gt $before, 'R-7643-3.1-07 a change moves it');
	is($moved->json->{meta}{version}, $moved->header('etag'), 'R-7643-3.1-08 version is the ETag');
	$json = $c->get('/Users/' . $r->id . '?attributes=meta.location')->json;
	shape_is($json, 'id meta schemas', 'R-7643-3.1-09 meta sub-attributes can be selected');
	shape_is($json->{meta}, 'location', 'R-7643-3.1-09 one by one');
}
{
	$r = $th->post('/Things', { schemas => [THING], name => 'new' });
	my $path = '/Things/' . $r->id;
	is(join(' ', $r->status, map { $_->status } $th->get('/ResourceTypes/Thing'), $th->get('/Schemas/' . THING), $th->get($path), $th->filter('/Things', 'name eq "new"'),
			$th->patch($path, [ { op => 'add', path => 'tags', value => ['a'] } ]), $th->put($path, { schemas => [THING], name => 'newer' }),
			$th->post('/Bulk', { schemas => [BULK], Operations => [ { method => 'DELETE', path => $path } ] }), $th->get($path)),
		'201 200 200 200 200 200 200 200 404', 'R-7643-3.2-01 a type of one\'s own does what User does');
}
$t->sql(q{SELECT scim.create_schema('{"id":"urn:example:ext:2.0:Thing","name":"Ext","attributes":[{"name":"name"}]}', extends => 'Thing');
	ALTER TABLE app.things ADD ext_name text;
	SELECT scim.create_mapping('things2', 'Thing', 'app.things', owner => 'things', attributes => '{"name":"name","urn:example:ext:2.0:Thing:name":"ext_name"}')});
$t->create_endpoint('things2', base_path => '/things2', mappings => '{things2}');
my $th2 = $t->client(base_path => '/things2', token => $t->create_token('things2'));
$r = $th2->post('/Things', { schemas => [THING], name => 'core', 'urn:example:ext:2.0:Thing' => { name => 'ext' } });
is(value_of($r->json, 'name') . value_of($r->json, 'urn:example:ext:2.0:Thing', 'name'), '"core""ext"', 'R-7643-3.3-01 an extension\'s attribute is another one');
error_is($c->patch("/Users/$u1", [ { op => 'remove', path => 'schemas' } ]), 400, 'mutability', undef, 'R-7643-3.3-02 the core schema stays');

{
	my $of = '/Groups/' . new_group($c)->id;
	$c->patch($of, [ { op => 'add', path => 'members', value => [ { value => $u1, '$ref' => "https://id.example.com/v2/Users/$u1" } ] } ]);
	my $version = get_ok($c, $of)->{meta}{version};
	$c->patch($of, [ { op => 'add', path => 'members', value => [ { value => $u1, '$ref' => "https://id.example.com/Users/$u1" } ] } ]);
	is(get_ok($c, $of)->{meta}{version} . scalar(@{ get_ok($c, $of)->{members} }), $version . '1', 'R-7643-2.4-05 with and without the version in its $ref it is one member');
}

# ---- 2. resource types ----

error_is($c->post('/Users', { schemas => [CORE_USER] }), 400, 'invalidValue', qr/userName/, 'R-7643-4.1.1-01 userName is required');
error_is($c->post('/Users', { schemas => [CORE_USER], userName => '' }), 400, 'invalidValue', qr/userName/, 'R-7643-4.1.1-01 and not empty');
new_user($c, userName => 'bjensen');
error_is($c->post('/Users', user_body(userName => 'BJensen')), 409, 'uniqueness', qr/userName/, 'R-7643-4.1.1-01 and unique without regard to case');
{
	my $u = new_user($c, password => 'hush-hush');
	my @texts = ($u->text, map { $_->text } $c->get('/Users/' . $u->id), $c->get('/Users/' . $u->id . '?attributes=password'),
		$c->post('/Users/.search', { schemas => [SEARCH], attributes => ['password'], filter => 'id eq "' . $u->id . '"' }),
		$c->put('/Users/' . $u->id, { schemas => [CORE_USER], userName => $u->json->{userName}, password => 'hush-hush' }),
		$c->post('/Bulk', { schemas => [BULK], Operations => [ { method => 'POST', bulkId => 'p', path => '/Users', data => user_body(password => 'hush-hush') } ] }));
	is(scalar(grep { /hush|"password"/ } @texts), 0, 'R-7643-4.1.1-02 a password is in no answer');
	unlike($t->log_text, qr/hush-hush/, 'R-7643-4.1.1-02 nor in the log');
	is($t->sql(q{SELECT count(*) FROM scim.users u WHERE u::text LIKE '%hush%'}), '0', 'R-7643-4.1.1-03 nor in the table: the built-in store keeps none');
}
is(new_user($c, name => { formatted => 'X', givenName => 'A' })->json->{name}{formatted}, 'X', 'R-7643-4.1.1-04 formatted is the client\'s');
{
	my $u = new_user($c)->id;
	$c->patch("/Users/$u", [ { op => 'replace', path => 'active', value => FALSE } ]);
	list_is($c->filter('/Users', "id eq \"$u\" and active eq false"), 1, 'R-7643-4.1.1-05 an inactive user is still there');
}
status_is($c->post('/Users', user_body(locale => 'sv_SE', preferredLanguage => 'en_US', timezone => 'Mars/Olympus')), 201, 'R-7643-4.1.1-06 tags are texts');
ok($c->post('/Users', user_body(profileUrl => 'not a uri', photos => [ { value => 'also not' } ]))->status =~ /^(201|400)$/, 'R-7643-4.1.1-07 what is no URI is no failure');
{
	my $inner = new_group($c, members => [ { value => $u1 } ])->id;
	my $outer = new_group($c, members => [ { value => $inner } ])->id;
	my %groups = map { $_->{value} => $_ } @{ get_ok($c, "/Users/$u1")->{groups} };
	is("$groups{$inner}{type} $groups{$outer}{type}", 'direct indirect', 'R-7643-4.1.2-01 groups: direct and indirect');
	ok($groups{$inner}{display} && $groups{$inner}{'$ref'}, 'R-7643-4.1.2-01 with display and $ref');
	is($c->get($groups{$inner}{'$ref'} =~ s/127\.0\.0\.1/localhost/r)->id, $inner, 'R-7643-4.1.2-03 value is the id, $ref leads there');
	error_is($c->patch("/Users/$u1", [ { op => 'add', path => 'groups', value => [ { value => $outer } ] } ]), 400, 'mutability', undef, 'R-7643-4.1.2-02 groups are not changed from the user\'s side');
	my $name = get_ok($c, "/Users/$u1")->{userName};
	status_is($c->put("/Users/$u1", { schemas => [CORE_USER], userName => $name, groups => [] }), 200, 'R-7643-4.1.2-02 in a PUT they are ignored');
	ok(@{ get_ok($c, "/Users/$u1")->{groups} } >= 2, 'R-7643-4.1.2-02 and stay');
	$c->patch("/Groups/$inner", [ { op => 'add', path => 'members', value => [ { value => $outer } ] } ]);
	my @all = map { $_->{value} } @{ get_ok($c, "/Users/$u1")->{groups} };
	my %once = map { $_ => 1 } @all;
	is(scalar(@all), scalar(keys %once), 'R-7643-4.2-03 a cycle ends, each group once');
}
is(join(' ', map { $c->post('/Users', user_body(addresses => [ { country => $_ } ]))->status } 'US', 'USA'), '201 201', 'R-7643-4.1.2-04 countries are not checked');
is(join(' ', map { $c->post('/Users', user_body(x509Certificates => [ { value => $_ } ]))->status } 'TUlJQg==', '?!'), '201 400', 'R-7643-4.1.2-05 a certificate is base64');
{
	my $u = new_user($c, emails => [ { value => 'B@EXAMPLE.com' } ]);
	list_is($c->filter('/Users', 'emails.value eq "b@example.com" and id eq "' . $u->id . '"'), 1, 'R-7643-4.1.2-06 the value given is what filters find');
}
error_is($c->post('/Groups', { schemas => [CORE_GROUP] }), 400, 'invalidValue', qr/displayName/, 'R-7643-4.2-01 a group has a displayName');
error_is($c->patch("/Groups/$g", [ { op => 'replace', path => "members[value eq \"$u1\"].value", value => 'x' } ]), 400, 'mutability', undef, 'R-7643-4.2-02 a member\'s value does not change');
ok($json = get_ok($c, "/Groups/$g")->{members}[0], 'R-7643-4.2-04 a member') && is("$json->{type} " . ($json->{'$ref'} =~ m{/Users/\Q$u1\E$} ? 1 : 0), 'User 1', 'R-7643-4.2-04 the server knows its type and $ref');
$r = $c->post('/Groups', group_body(members => [ { value => 'nobody' } ]));
ok($r->status == 201 && value_of(get_ok($c, '/Groups/' . $r->id), 'members', 0, 'value') eq '"nobody"', 'R-7643-4.2-05 compat: an unknown member is kept and shown');
is($t->sql(q{SELECT value FROM scim.pending WHERE endpoint = 'acme'}), 'nobody', 'R-7643-4.2-05 and listed in a view');
{
	my $u = new_user($c)->id;
	my $of = new_group($c, members => [ { value => $u } ])->id;
	$c->delete("/Users/$u");
	ok(!exists get_ok($c, "/Groups/$of")->{members}, 'R-7643-4.2-06 who is deleted is no member');
}
is(join(' ', map { $c->post('/Groups', { schemas => [CORE_GROUP], displayName => 'A' })->status } 1, 2), '201 201', 'R-7643-4.2-07 two groups may have one name');
{
	my $boss = new_user($c)->id;
	my %all = (employeeNumber => '7', costCenter => 'c', organization => 'o', division => 'd', department => 'e', manager => { value => $boss, displayName => 'x' });
	$json = new_user($c, $ent => \%all)->json->{$ent};
	is(join(' ', map { $json->{$_} } qw(employeeNumber costCenter organization division department)) . " $json->{manager}{value}", "7 c o d e $boss", 'R-7643-4.3-01 the enterprise extension comes back');
	isnt($json->{manager}{displayName} // '', 'x', 'R-7643-4.3-02 the manager\'s displayName is not the client\'s');
}

# ---- 3. characteristics ----

$r = $th->post('/Things', { schemas => [THING], name => 'n', plain => 'p', computed => 'mine', serial => 's', asked => 'a', forced => 'f', hidden => 'h', code => 'A1' });
my $thing = '/Things/' . $r->id;
is($r->json->{computed}, 'c', 'R-7643-7-01 readOnly is ignored in POST');
error_is($th->patch($thing, [ { op => 'replace', path => 'computed', value => 'x' } ]), 400, 'mutability', undef, 'R-7643-7-01 and no target of PATCH');
error_is($th->put($thing, { schemas => [THING], name => 'n', serial => 'other' }), 400, 'mutability', undef, 'R-7643-7-02 immutable: another value');
status_is($th->put($thing, { schemas => [THING], name => 'n', plain => 'p', asked => 'a', hidden => 'h', code => 'A1', serial => 's', forced => 'f' }), 200, 'R-7643-7-02 the same value');
ok(!exists $th->get("$thing?attributes=hidden")->json->{hidden}, 'R-7643-7-03 writeOnly is not returned');
is($t->sql('SELECT hidden FROM app.things WHERE id = ' . $r->id), 'h', 'R-7643-7-03 but stored');
ok(exists $th->get("$thing?excludedAttributes=id,forced")->json->{id} && exists $th->get("$thing?attributes=plain")->json->{forced}, 'R-7643-7-04 returned always');
error_is($th->filter('/Things', 'hidden eq "h"'), 400, 'invalidFilter', undef, 'R-7643-7-05 returned never cannot be probed');
ok(!exists $th->get($thing)->json->{asked} && exists $th->get("$thing?attributes=asked")->json->{asked}, 'R-7643-7-06 returned on request');
ok(exists $th->get($thing)->json->{plain} && !exists $th->get("$thing?excludedAttributes=plain")->json->{plain}, 'R-7643-7-07 returned by default');
list_is($th->filter('/Things', 'code eq "a1"'), 0, 'R-7643-7-08 caseExact');
list_is($th->filter('/Things', 'code eq "A1"'), 1, 'R-7643-7-08 is found as it is');
new_user($c, userName => "\x{c5}sa");
error_is($c->post('/Users', user_body(userName => "\x{e5}SA")), 409, 'uniqueness', undef, 'R-7643-7-09 uniqueness compares as filters do');
error_is($c->patch("/Users/$u1", [ { op => 'remove', path => 'userName' } ]), 400, 'mutability', undef, 'R-7643-7-10 what is required stays');
error_is($c->put("/Users/$u1", { schemas => [CORE_USER] }), 400, 'invalidValue', qr/userName/, 'R-7643-7-10 and has to be in a PUT');
error_is($c->put("/Users/$u1", user_body(userName => 'bjensen')), 409, 'uniqueness', undef, 'R-7643-7-11 PUT into a duplicate');
error_is($c->patch("/Users/$u1", [ { op => 'replace', path => 'userName', value => 'BJENSEN' } ]), 409, 'uniqueness', undef, 'R-7643-7-11 PATCH into a duplicate');

$t->sql(q{CREATE TABLE app.people (login text PRIMARY KEY); CREATE TABLE app.teams (name text PRIMARY KEY); CREATE TABLE app.crew (team text REFERENCES app.teams, login text REFERENCES app.people);
	ALTER TABLE app.people OWNER TO things; ALTER TABLE app.teams OWNER TO things; ALTER TABLE app.crew OWNER TO things;
	INSERT INTO app.people VALUES ('p'); INSERT INTO app.teams VALUES ('inner'), ('outer');
	SELECT scim.create_mapping('people', 'User', 'app.people', key => 'login', owner => 'things', attributes => '{"userName":"login"}');
	SELECT scim.create_mapping('teams', 'Group', 'app.teams', key => 'name', owner => 'things', attributes => '{"displayName":"name","members":{"table":"app.crew","parent":"team","ref":"login","type":"User"}}')});
$t->create_endpoint('crew', base_path => '/crew', mappings => '{people,teams}');
my $crew = $t->client(base_path => '/crew', token => $t->create_token('crew'));
error_is($crew->patch('/Groups/outer', [ { op => 'add', path => 'members', value => [ { value => 'inner' } ] } ]), 400, 'invalidValue', undef, 'R-7643-7-12 members are users here: no group');
accepted($crew->patch('/Groups/outer', [ { op => 'add', path => 'members', value => [ { value => 'p' } ] } ]), 'R-7643-7-12 a user');

# ---- 4. discovery ----

$json = get_ok($c, '/ServiceProviderConfig');
ok(!(grep { !defined $json->{$_}{supported} } qw(patch bulk filter changePassword sort etag)) && $json->{bulk}{maxOperations} && $json->{bulk}{maxPayloadSize} && $json->{filter}{maxResults},
	'R-7643-5-01 ServiceProviderConfig is complete');
ok(!(grep { $_->{type} !~ /^(oauth|oauth2|oauthbearertoken|httpbasic|httpdigest)$/ || !$_->{name} || !$_->{description} } @{ $json->{authenticationSchemes} }), 'R-7643-5-02 authenticationSchemes');
status_is($c->get('/ServiceProviderConfig', token => undef), 401, 'R-7643-5-03 it needs a token');
$t->sql(q{SELECT scim.alter_endpoint('acme', '{"publicConfig":true}')});
status_is($c->get('/ServiceProviderConfig', token => undef), 200, 'R-7643-5-03 unless the administrator says otherwise');
status_is($c->get('/ServiceProviderConfig', token => 'scim_wrong'), 401, 'R-7643-5-03 a token that is wrong is wrong all the same');
status_is($c->get('/Schemas', token => undef), 401, 'R-7643-5-03 and nothing else is shown');
$t->sql(q{SELECT scim.alter_endpoint('acme', '{"publicConfig":null}')});
is("$json->{meta}{resourceType} $json->{meta}{location}", "ServiceProviderConfig $base/ServiceProviderConfig", 'R-7643-5-04 its meta');
$json = get_ok($c, '/ResourceTypes/User');
is(json_bytes([ @$json{qw(id name endpoint schema schemaExtensions)} ]), json_bytes([ 'User', 'User', '/Users', CORE_USER, [ { schema => $ent, required => FALSE } ] ]), 'R-7643-6-01 a ResourceType');
is(join(' ', map { $c->get("/Schemas/$_")->status } CORE_USER, CORE_GROUP, $ent), '200 200 200', 'R-7643-6-02 its schemas are there');
$t->sql(q{SELECT scim.create_schema('{"id":"urn:example:must:2.0:Badge","name":"Badge","attributes":[{"name":"nr","required":true}]}', extends => 'User', required => true);
	CREATE TABLE app.badged (login text PRIMARY KEY, nr text); ALTER TABLE app.badged OWNER TO things;
	SELECT scim.create_mapping('badged', 'User', 'app.badged', key => 'login', owner => 'things', attributes => '{"userName":"login","urn:example:must:2.0:Badge:nr":"nr"}')});
$t->create_endpoint('badged', base_path => '/badged', mappings => '{badged}');
my $badged = $t->client(base_path => '/badged', token => $t->create_token('badged'));
error_is($badged->post('/Users', { schemas => [CORE_USER], userName => 'x' }), 400, 'invalidValue', undef, 'R-7643-6-03 a required extension is required');
status_is($badged->post('/Users', { schemas => [ CORE_USER, 'urn:example:must:2.0:Badge' ], userName => 'x', 'urn:example:must:2.0:Badge' => { nr => '1' } }), 201, 'R-7643-6-03 with it');
ok(!(grep { $_->{name} eq 'title' } @{ get_ok($badged, '/Schemas/' . CORE_USER)->{attributes} }), 'R-7643-7-13 a schema lists what the mapping has');
$json = get_ok($c, '/Schemas/' . CORE_USER);
ok($json->{schemas}[0] eq 'urn:ietf:params:scim:schemas:core:2.0:Schema' && $json->{name} && $json->{description} && @{ $json->{attributes} } && $json->{meta}{resourceType} eq 'Schema', 'R-7643-7-14 a Schema resource');
is(join(' ', map { my $x = $c->get($_); $x->status . ($x->header('content-type') eq 'application/scim+json' ? '' : '!') } '/ServiceProviderConfig', '/ResourceTypes', '/ResourceTypes/User', '/Schemas', '/Schemas/' . CORE_USER),
	'200 200 200 200 200', 'R-7644-4-01 all answer GET');
for my $path ('/Schemas', '/ResourceTypes')
{
	$json = get_ok($c, $path);
	is(scalar(@{ $json->{Resources} }), $json->{totalResults}, "R-7644-4-02 $path holds everything");
	is($c->get("$path?startIndex=2&count=1&sortBy=id")->text, $c->get($path)->text, "R-7644-4-03 $path is not paged");
	status_is($c->filter($path, 'id eq "x"'), 403, "R-7644-4-04 $path is not filtered");
	for my $method (qw(POST PUT PATCH DELETE))
	{
		$r = $c->request($method, $path, $method eq 'DELETE' ? undef : {});
		ok($r->status == 405 && $r->header('allow') eq 'GET, HEAD', "R-7644-4-07 $method $path");
	}
}
status_is($c->get('/Schemas/' . (CORE_USER =~ s/:/%3A/gr)), 200, 'R-7644-4-05 percent-encoded');
status_is($c->get('/Schemas/' . uc CORE_USER), 200, 'R-7644-4-05 without case');
error_is($c->get($_), 404, undef, undef, "R-7644-4-06 $_") for '/Schemas/urn:x', '/ResourceTypes/X';
ok(!(grep { $_->{id} =~ /api:messages/ } @{ get_ok($c, '/Schemas')->{Resources} }), 'R-7644-4-08 messages are not listed');
error_is($c->post('/Schemas/.search', { schemas => [SEARCH] }), $_, undef, undef, 'R-7644-3.4.3-06 no search there') for $c->post('/Schemas/.search', {})->status == 404 ? 404 : 405;

# ---- 5. HTTP ----

error_is($c->post('/Users', $_), 400, 'invalidSyntax', undef, "R-7644-3.1-01 $_") for '[]', '{} x', '{"a":', '"x"';
is(get_ok($c, '/Users')->{schemas}[0], LIST_RESPONSE, 'R-7644-3.1-02 ListResponse');
error_is($s->post('/Users/.search', { schemas => [CORE_USER] }), 400, 'invalidSyntax', undef, 'R-7644-3.1-02 a message has to say what it is');
status_is($c->post('/Users', user_body(shoeSize => 44)), 201, 'R-7644-3.1-03 unknown attributes are ignored');
$t->sql(q{SELECT scim.alter_endpoint('acme', '{"unknownAttributes":"refuse"}')});
error_is($c->post('/Users', user_body(shoeSize => 44)), 400, 'invalidSyntax', qr/shoeSize/, 'R-7644-3.1-03 or refused');
$t->sql(q{SELECT scim.alter_endpoint('acme', '{"unknownAttributes":null}')});
is($th->post('/Things', { schemas => [THING], name => 'x', plain => 'upper' })->json->{plain}, 'UPPER', 'R-7644-3.1-04 the answer is what is stored');
status_is($c->get('/Users/'), 200, 'R-7644-3.2-01 a slash at the end');
error_is($s->get('/users'), 404, undef, undef, 'R-7644-3.2-01 names are case exact');
$r = $c->put('/Users', {});
ok($r->status == 405 && $r->header('allow') eq 'GET, POST, HEAD', 'R-7644-3.2-02 405 with Allow');
error_is($c->get('/Nothing'), 404, undef, undef, 'R-7644-3.2-03 an unknown endpoint');
status_is($c->post("/Users/$u1?_method=PATCH", {}, headers => { 'X-HTTP-Method-Override' => 'PATCH' }), 405, 'R-7644-3.2-04 no method override');
$r = $c->head("/Users/$u1");
ok($r->status == 200 && $r->header('etag') && $r->text eq '', 'R-7644-3.2-05 HEAD');
$r = $c->post('/Users', user_body(), type => 'application/scim+json; charset=utf-8');
status_is($r, 201, 'R-7644-3.8-01 with charset');
is($r->header('content-type'), 'application/scim+json', 'R-7644-3.8-02 the type of answers');
status_is($c->post('/Users', user_body(), type => 'application/json', accept => 'application/json'), 201, 'R-7644-3.8-03 application/json');
is($c->get('/Users', headers => { Accept => $_ })->header('content-type'), 'application/scim+json', 'R-7644-3.8-04 Accept: ' . ($_ // 'none')) for undef, '*/*', 'application/*';
status_is($c->get('/Users', accept => 'text/html'), 406, 'R-7644-3.8-05 406');
status_is($c->post('/Users', user_body(), type => 'text/plain'), 415, 'R-7644-3.8-05 415');
error_is($c->post('/Users', "{\"userName\":\"\xff\"}"), 400, 'invalidSyntax', undef, 'R-7644-3.8-06 not UTF-8');
status_is($c->get("/Users/$u1.scim"), 404, 'R-7644-3.8-07 no suffix');
{
	my $body = json_bytes(user_body());
	status_is($t->raw->exchange("POST /api/v2/scim/Users HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " . $t->token . "\r\nContent-Length: " . length($body) . "\r\n\r\n$body"), 201, 'R-7644-3.8-08 without a Content-Type');
}
error_is($c->post('/Users', '[' x 10000 . ']' x 10000), 400, 'invalidSyntax', undef, 'R-7644-3.8-09 deep nesting');
is($c->get('/Users?count=0')->status, 200, 'R-7644-3.8-09 and all is well');
ok($c->post('/Users', "\xef\xbb\xbf" . json_bytes(user_body()))->status =~ /^(201|400)$/, 'R-7644-3.8-09 a byte order mark');
is($c->get('/Users')->header('content-type'), 'application/scim+json', 'R-7644-8.1-01 the media type');
{
	my $raw = $t->raw;
	my $auth = 'Authorization: Bearer ' . $t->token;
	$r = $raw->exchange("POST /api/v2/scim/Users HTTP/1.1\r\nHost: x\r\n$auth\r\nContent-Length: 1073741824\r\n\r\n");
	error_is($r, 413, undef, qr/maxPayloadSize \(1048576/, 'R-9110-8-01 a gigabyte is 413, before it is read');
	my $body = json_bytes(user_body());
	$r = $t->raw->exchange("POST /api/v2/scim/Users HTTP/1.1\r\nHost: x\r\n$auth\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n" . sprintf("%x\r\n%s\r\n0\r\n\r\n", length $body, $body));
	status_is($r, 201, 'R-9110-8-01 chunks, and an expectation');
}

# ---- 6. authentication ----

status_is($c->get('/Users'), 200, 'R-7644-2-01 a bearer token');
$t->create_token('acme', label => 'gone');
my %credential = (none => undef, unknown => 'scim_' . 'x' x 43, expired => $t->create_token('acme', label => 'short', expires_in => '1 ms'), revoked => $t->create_token('acme', label => 'revoked'), malformed => 'a b');
$t->sql(q{SELECT scim.revoke_token('acme', 'revoked')});
sleep 0.1;
my %answer;
for my $what (sort keys %credential)
{
	$r = $c->get('/Users', token => $credential{$what});
	error_is($r, 401, undef, undef, "R-7644-2-02 credential: $what");
	like($r->header('www-authenticate'), qr/^Bearer realm="scim"/, "R-7644-2-03 $what: the challenge");
	$answer{$what} = $r->text . $r->header('www-authenticate');
}
is($answer{unknown}, $answer{revoked}, 'R-7644-2-02 unknown and revoked in the same words');
like($answer{none}, qr/Bearer realm="scim"$/, 'R-6750-3-01 without a credential there is no error code');
like($answer{unknown}, qr/error="invalid_token"/, 'R-6750-3-02 invalid_token');
my $reader = $t->create_token('acme', label => 'reader', can_write => 'false');
$r = $c->post('/Users', user_body(), token => $reader);
error_is($r, 403, undef, undef, 'R-7644-2-04 a token that may only read');
like($r->header('www-authenticate'), qr/error="insufficient_scope"/, 'R-6750-3-03 insufficient_scope');
status_is($c->get('/Users', token => undef), 401, 'R-7644-2-05 nobody is anonymous');
status_is($c->get('/Users', token => undef, headers => { authorization => 'bearer ' . $t->token }), 200, 'R-6750-2.1-01 the scheme without case');
error_is($c->get('/Users?access_token=' . $t->token), 400, undef, undef, 'R-6750-2.1-02 two ways at once');
status_is($c->get('/Users?access_token=' . $t->token, token => undef), 401, 'R-6750-2.1-03 not in the URL');
unlike($t->log_text, qr/\Q@{[ substr($t->token, 5) ]}\E/, 'R-6750-2.1-03 and in no log');
is($t->sql(q{SELECT count(*) FROM scim._tokens t WHERE t::text LIKE '%} . substr($t->token, 5) . q{%'}), '0', 'R-6750-5-01 the table holds no token');
ok(length($t->token) >= 43, 'R-6750-5-01 256 bits');

{
	$t->sql(q{SELECT scim.alter_endpoint('acme', '{"oauth":true}')});
	my $secret = $t->sql(q{SELECT scim.create_client('acme', 'a client')});
	$r = $c->post('/oauth/token', "grant_type=client_credentials&client_id=a+client&client_secret=$secret", type => 'application/x-www-form-urlencoded; charset=utf-8', token => undef);
	ok($r->status == 200 && $r->json->{token_type} eq 'Bearer' && $r->json->{expires_in} == 3600 && $r->header('cache-control') eq 'no-store', 'R-7644-2-01 a client gets a token (RFC 6749 4.4)');
	status_is($c->get('/Users', token => $r->json->{access_token}), 200, 'R-7644-2-01 which is good');
	status_is($c->get('/Users', token => $secret), 401, 'R-7644-2-02 its secret is no token');
	status_is($c->post('/oauth/token', "grant_type=client_credentials&client_id=a+client&client_secret=wrong", type => 'application/x-www-form-urlencoded', token => undef), 401, 'R-7644-2-02 a wrong secret');
	$t->sql(q{SELECT scim.revoke_token('acme', 'a client')});
	status_is($c->get('/Users', token => $r->json->{access_token}), 401, 'R-7644-2-02 with the client its tokens end');
	unlike($t->log_text, qr/\Q@{[ substr($secret, 5) ]}\E/, 'the secret is in no log');
}

$t->no_crash;
done_testing();
