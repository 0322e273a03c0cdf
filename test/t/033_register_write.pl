# 033_register_write.pl - the register, sections 7 and 15 to 23: create, PUT,
# PATCH, DELETE, Bulk, /Me, errors, versions of the protocol, entity tags.
# (The PATCH vectors, test/data/patch-vectors.json, are run by unit_patch.c and
# language_patch.sql.)

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use ScimTest;
use ScimRegister;
use Test::More;

ScimTest->watchdog(150);

my ($t, $c, $s, $th) = register_start(listeners => 2);
my $ent = ENTERPRISE;
my ($r, $json, $u);

sub state_of { my ($path, $client) = @_; return ($client || $c)->get($path)->text }

# ---- 7. create ----

$r = $c->post('/Users', user_body(title => 'x'));
ok($r->status == 201 && $r->header('location') eq $r->json->{meta}{location} && $r->id, 'R-7644-3.3-01 201, Location, the representation');
is($c->get($r->header('location') =~ s/127\.0\.0\.1/localhost/r)->id, $r->id, 'R-7644-3.3-02 Location works');
ok($c->post('/Users', user_body(id => 'x', meta => {}, groups => [ { value => 'x' } ]))->json->{id} ne 'x', 'R-7644-3.3-03 readOnly attributes are ignored');
is(value_of($th->post('/Things', { schemas => [THING], name => 'd' })->json, 'forced') . value_of($th->post('/Things', { schemas => [THING], name => 'd', forced => undef })->json, 'forced'), '"f"', 'R-7644-3.3-04 a default, unless null says otherwise');
ok(value_of($c->post('/Users', user_body(active => undef))->json, 'active') eq '', 'R-7643-2.5-03 null is not overridden');
new_user($c, userName => 'taken');
my $before = $t->store_digest;
error_is($c->post('/Users', user_body(userName => 'TAKEN')), 409, 'uniqueness', undef, 'R-7644-3.3-05 a duplicate');
is($t->store_digest, $before, 'R-7644-3.3-05 creates nothing');
error_is($c->post('/Users', { schemas => [CORE_USER] }), 400, 'invalidValue', qr/userName/, 'R-7644-3.3-06 what is missing is named');
error_is($s->post('/Users', user_body(name => 'x')), 400, 'invalidValue', qr/name/, 'R-7644-3.3-07 a wrong type is named');
shape_is($c->post('/Users?attributes=userName', user_body(title => 'x')), 'id schemas userName', 'R-7644-3.3-08 attributes shape the answer');
{
	my $rows = $t->sql('SELECT count(*) FROM app.things');
	error_is($th->post('/Things', { schemas => [THING], name => 'x', tags => [ 'good', 'bad' ] }), 400, 'invalidValue', undef, 'R-7644-3.3-09 a child row is refused');
	is($t->sql('SELECT count(*) FROM app.things'), $rows, 'R-7644-3.3-09 and there is no parent');
}
{
	my @pids = fork_clients(20, sub { my $x = $t->client->post('/Users', { schemas => [CORE_USER], userName => 'race' })->status; die $x if $x != 201 && $x != 409; POSIX::_exit($x == 201 ? 0 : 1) });
	is(20 - wait_children(@pids), 1, 'R-7644-3.3-10 of twenty at once one succeeds');
}
$r = $c->post('/Users', user_body());
is($r->header('etag'), $r->json->{meta}{version}, 'R-7644-3.3-11 ETag and version');
error_is($th->post('/Things', { schemas => [THING], name => 'x', plain => 'forbidden' }), 400, 'invalidValue', qr/^(?!.*(INSERT|violates)).*plain/, 'R-7644-3.3-12 CHECK');
$th->post('/Things', { schemas => [THING], name => 'x', code => 'one' });
error_is($th->post('/Things', { schemas => [THING], name => 'x', code => 'one' }), 409, 'uniqueness', qr/code/, 'R-7644-3.3-12 UNIQUE');
is($c->post('/Groups', group_body())->json->{meta}{resourceType}, 'Group', 'R-7644-3.3.1-01 meta.resourceType');

# ---- 15. PUT ----

$u = new_user($c, title => 'x', password => 'old-secret', emails => [ { value => 'a@b', type => 'work' }, { value => 'c@d', type => 'home' } ], $ent => { department => 'D' });
my $path = '/Users/' . $u->id;
my $name = $u->json->{userName};
my %core = (schemas => [CORE_USER], userName => $name);
$r = $c->put($path, { %core, title => 'y', emails => $u->json->{emails}, schemas => [ CORE_USER, $ent ], $ent => { department => 'D' } });
ok($r->status == 200 && $r->json->{title} eq 'y' && $r->header('etag'), 'R-7644-3.5.1-01 PUT replaces');
error_is($c->put('/Users/11111111-2222-4333-8444-555555555555', \%core), 404, undef, undef, 'R-7644-3.5.1-02 and never creates');
my $etag = $r->header('etag');
$r = $c->put($path, { %core, title => 'y', emails => [ reverse @{ $u->json->{emails} } ], schemas => [ CORE_USER, $ent ], $ent => { department => 'D' } });
is($r->header('etag'), $etag, 'R-7644-3.5.1-09 the same values in another order are no change');
$json = $c->get($path)->json;
is($c->put($path, $json)->header('etag'), $etag, 'R-7644-3.5.1-11 what was read, written back, is no change');
is($c->put($path, { %$json, id => 'other', meta => { version => 'x' }, groups => [] })->id, $u->id, 'R-7644-3.5.1-12 another id is ignored');
is($c->put($path, { %$json, groups => [ { value => 'x' } ], meta => 'nonsense' })->status, 200, 'R-7644-3.5.1-05 readOnly values are ignored, whatever they hold');
$r = $c->put($path, { %core, schemas => [ CORE_USER, $ent ], $ent => { department => 'D' } });
ok(!exists $r->json->{title} && !exists $r->json->{emails}, 'R-7644-3.5.1-03 what is left out is cleared');
ok(!exists $c->put($path, \%core)->json->{$ent}, 'R-7644-3.5.1-08 an extension left out is gone');
$r = $th->post('/Things', { schemas => [THING], name => 'n', serial => 's1', hidden => 'secret' });
my $thing = '/Things/' . $r->id;
$t->sql(q{UPDATE app.things SET unmapped = 'stays' WHERE id = } . $r->id);
error_is($th->put($thing, { schemas => [THING], name => 'n', serial => 's2' }), 400, 'mutability', qr/serial/, 'R-7644-3.5.1-06 immutable');
status_is($th->put($thing, { schemas => [THING], name => 'n2', serial => 's1' }), 200, 'R-7644-3.5.1-06 the same value');
is($t->sql('SELECT unmapped FROM app.things WHERE id = ' . $r->id), 'stays', 'R-7644-3.5.1-13 a column that is not mapped stays');
$th->patch($thing, [ { op => 'add', path => 'secret', value => 'kept' } ]);
$th->put($thing, { schemas => [THING], name => 'n3', serial => 's1' });
is($t->sql("SELECT name || ' ' || secret FROM app.things WHERE id = " . ($thing =~ /(\d+)/)[0]), 'n3 kept', 'R-7644-3.5.1-04 what is writeOnly cannot be read, so a PUT without it leaves it');
error_is($c->put($path, { schemas => [CORE_USER] }), 400, 'invalidValue', qr/userName/, 'R-7644-3.5.1-07 what is required has to be there');
error_is($c->put($path, { %core, userName => 'taken' }), 409, 'uniqueness', undef, 'R-7644-3.5.1-10 a duplicate');

# ---- 16. PATCH ----

sub patch { my ($ops, %opt) = @_; return ($opt{client} || $c)->patch(($opt{path} || $path) . ($opt{query} || ''), $ops) }
sub emails_of { return join(' ', sort map { json_bytes($_) } @{ $_[0]->json->{emails} }) }
sub one { my ($op, $p, @value) = @_; return patch([ { op => $op, path => $p, @value ? (value => $value[0]) : () } ]) }

status_is(one('add', 'EMAILS[type eq "work"].VALUE', 'p@q'), 200, 'R-7644-3.5.2-03 names without case in a path');
error_is(one('add', 'emails[', 'x'), 400, 'invalidPath', undef, 'R-7644-3.5.2-04 a malformed path');
error_is(one('add', 'emails[type eq]', 'x'), 400, 'invalidFilter', undef, 'R-7644-3.5.2-04 a malformed filter in it');
error_is(one('add', 'shoeSize', 1), 400, 'invalidPath', undef, 'R-7644-3.5.2-05 an undefined attribute');
error_is(one('remove', $_), 400, undef, undef, "R-7644-3.5.2-06 $_") for '/emails/0', 'emails[0]';
$r = patch([ { op => 'remove', path => 'title' }, { op => 'add', path => 'title', value => 'second' } ]);
is($r->json->{title}, 'second', 'R-7644-3.5.2-07 in order');
$before = state_of($path);
error_is(patch([ { op => 'replace', path => 'title', value => 'third' }, { op => 'replace', path => 'id', value => 'x' } ]), 400, 'mutability', qr/Operations\[1\]/, 'R-7644-3.5.2-09 an error names the operation');
is(state_of($path), $before, 'R-7644-3.5.2-08 and nothing has changed');
shape_is(patch([ { op => 'replace', path => 'title', value => 'z' } ], query => '?attributes=userName'), 'id schemas userName', 'R-7644-3.5.2-10 with attributes: 200 and those');
$r = one('replace', 'title', 'a');
ok($r->status == 200 && $r->header('etag') && $r->header('location'), 'R-7644-3.5.2-11 200 with body, ETag, Location');
is($c->patch($path, [ { op => 'replace', path => 'title', value => 'b' } ], headers => { Prefer => 'return=minimal' })->status, 204, 'R-7644-3.5.2-10 204 where less is preferred');
is(one('replace', 'title', 'b')->header('etag'), get_ok($c, $path)->{meta}{version}, 'R-7644-3.5.2-12 no effect');
$etag = get_ok($c, $path)->{meta}{version};
one('replace', 'title', 'b');
is(get_ok($c, $path)->{meta}{version}, $etag, 'R-7644-3.5.2-12 no new version');
$c->put($path, { %core, emails => [ { value => 'w@x', type => 'work', primary => TRUE }, { value => 'h@x', type => 'home' } ] });
$r = one('replace', 'emails[type eq "home"].primary', TRUE);
is(join(' ', map { $_->{type} } grep { $_->{primary} && $_->{primary} eq TRUE } @{ $r->json->{emails} }), 'home', 'R-7644-3.5.2-13 one primary takes it from the other');
error_is(one('replace', 'emails', [ { value => '1@x', primary => TRUE }, { value => '2@x', primary => TRUE } ]), 400, 'invalidValue', undef, 'R-7644-3.5.2-14 two at once');
error_is(one('replace', $_, 'x'), 400, 'mutability', undef, "R-7644-3.5.2-15 $_ is readOnly") for 'id', 'meta.created', 'groups';
$r = one('add', "$ent:employeeNumber", '7');
is(scalar(grep { $_ eq $ent } @{ $r->json->{schemas} }), 1, 'R-7644-3.5.2-17 the URI of an extension comes');
is(scalar(grep { $_ eq $ent } @{ one('remove', "$ent:employeeNumber")->json->{schemas} }), 0, 'R-7644-3.5.2-18 and goes');
error_is(one('add', 'schemas', ['urn:x']), 400, 'invalidValue', undef, 'R-7644-3.5.2-19 an unknown URI in schemas');
is(patch([ { op => 'remove', path => 'userName' }, { op => 'add', path => 'userName', value => $name } ])->status, 200, 'R-7644-3.5.2-20 what is required is judged at the end');
error_is(one('replace', 'userName', 'taken'), 409, 'uniqueness', undef, 'R-7644-3.5.2-21 a duplicate');
error_is($c->patch('/Users/nobody', '{'), 404, undef, undef, 'R-7644-3.5.2-22 nobody is 404, whatever the body');
$t->sql(q{SELECT scim.alter_endpoint('acme', '{"patch":false}')});
ok(patch([])->status == 501 && get_ok($c, '/ServiceProviderConfig')->{patch}{supported} eq FALSE, 'R-7644-3.5.2-23 switched off');
$t->sql(q{SELECT scim.alter_endpoint('acme', '{"patch":null}')});
error_is(one('replace', 'active', 'x'), 400, 'invalidValue', undef, 'R-7644-3.5.2-24 a wrong type');
error_is(patch([ { op => 'replace', path => 'serial', value => 'other' } ], client => $th, path => $thing), 400, 'mutability', undef, 'R-7644-3.5.2-16 immutable');
error_is(patch([ { op => 'move', path => 'title' } ]), 400, 'invalidSyntax', undef, 'R-7644-3.5.2-02 an unknown op');

# add
error_is(one('add', 'title'), 400, undef, undef, 'R-7644-3.5.2.1-01 add needs a value');
$r = patch([ { op => 'add', value => { title => 'np', nickName => 'n' } } ]);
is($r->json->{title} . $r->json->{nickName}, 'npn', 'R-7644-3.5.2.1-02 no path: an object of attributes');
is(one('add', 'title', 'x')->json->{title}, 'x', 'R-7644-3.5.2.1-03 singular: replaced');
one('add', 'name', { givenName => 'G' });
is(value_of(one('add', 'name', { middleName => 'M' })->json, 'name'), '{"givenName":"G","middleName":"M"}', 'R-7644-3.5.2.1-04 complex: merged');
is(scalar(@{ one('add', 'emails', { value => 'n@x', type => 'other' })->json->{emails} }), 3, 'R-7644-3.5.2.1-05 multi-valued: appended');
$etag = get_ok($c, $path)->{meta}{version};
is(one('add', 'emails', [ { value => 'n@x', type => 'other' } ])->header('etag'), $etag, 'R-7644-3.5.2.1-06 what is there is no change');
{
	my $fresh = new_user($c)->id;
	is(value_of(patch([ { op => 'add', path => 'name.givenName', value => 'G' } ], path => "/Users/$fresh")->json, 'name', 'givenName'), '"G"', 'R-7644-3.5.2.1-07 the parent is made');
	is(value_of(patch([ { op => 'add', path => 'emails[type eq "work"].value', value => 'w@x' } ], path => "/Users/$fresh")->json, 'emails', 0), '{"type":"work","value":"w@x"}', 'R-7644-3.5.2.1-10 a value path that selects nothing creates');
	is(value_of(patch([ { op => 'add', path => 'emails[type eq "work"]', value => { display => 'D' } } ], path => "/Users/$fresh")->json, 'emails', 0, 'display'), '"D"', 'R-7644-3.5.2.1-08 a value path merges');
	is(value_of(patch([ { op => 'add', path => 'emails[type eq "work"].display', value => 'E' } ], path => "/Users/$fresh")->json, 'emails', 0, 'display'), '"E"', 'R-7644-3.5.2.1-09 sets a sub-attribute');
	error_is(patch([ { op => 'add', path => 'emails[type sw "q"].value', value => 'w@x' } ], path => "/Users/$fresh"), 400, 'noTarget', undef, 'R-7644-3.5.2.1-10 unless the filter says too little');
}
my $group = '/Groups/' . new_group($c, members => [ { value => $u->id } ])->id;
$etag = get_ok($c, $group)->{meta}{version};
patch([ { op => 'add', path => 'members', value => [ { value => $u->id, display => 'x' } ] } ], path => $group) for 1, 2;
is(get_ok($c, $group)->{meta}{version}, $etag, 'R-7644-3.5.2.1-11 a member is known by its value');
# remove
error_is(patch([ { op => 'remove' } ]), 400, 'noTarget', undef, 'R-7644-3.5.2.2-01 remove without a path');
is(join(' ', map { one('remove', 'title')->status } 1, 2), '200 200', 'R-7644-3.5.2.2-02 remove twice');
patch([ { op => 'remove', path => 'members' } ], path => $group);
ok(!exists get_ok($c, $group)->{members}, 'R-7644-3.5.2.2-03 all values');
is(scalar(@{ one('remove', 'emails[type eq "other"]')->json->{emails} }), 2, 'R-7644-3.5.2.2-04 those that match');
accepted(patch([ { op => 'remove', path => 'members[value eq "nobody"]' } ], path => $group), 'R-7644-3.5.2.2-05 nothing matches: success');
one('add', 'emails[type eq "home"].display', 'D');
is(value_of(one('remove', 'emails[type eq "home"].display')->json, 'emails', 1, 'display'), '', 'R-7644-3.5.2.2-06 a sub-attribute of those that match');
error_is(one('remove', $_), 400, 'mutability', undef, "R-7644-3.5.2.2-07 $_ stays") for 'userName', 'id';
error_is(patch([ { op => 'remove', path => 'serial' } ], client => $th, path => $thing), 400, 'mutability', undef, 'R-7644-3.5.2.2-08 immutable');
patch([ { op => 'replace', path => 'name', value => { givenName => 'G' } }, { op => 'remove', path => 'name.middleName' } ]);
ok(!exists one('remove', 'name.givenName')->json->{name}, 'R-7644-3.5.2.2-09 the last sub-attribute takes the attribute along');
# replace
error_is(one('replace', 'title'), 400, undef, undef, 'R-7644-3.5.2.3-01 replace needs a value');
$r = patch([ { op => 'replace', value => { title => 'r', emails => [ { value => 'only@x' } ] } } ]);
is($r->json->{title} . scalar(@{ $r->json->{emails} }), 'r1', 'R-7644-3.5.2.3-02 no path');
is(one('replace', 'nickName', 'nn')->json->{nickName}, 'nn', 'R-7644-3.5.2.3-03 singular');
one('add', 'name', { givenName => 'G', familyName => 'F' });
is(value_of(one('replace', 'name', { familyName => 'H' })->json, 'name'), '{"familyName":"H","givenName":"G"}', 'R-7644-3.5.2.3-04 complex: what is not given stays');
is(scalar(@{ one('replace', 'emails', [ { value => '1@x', type => 'work' }, { value => '2@x' } ])->json->{emails} }), 2, 'R-7644-3.5.2.3-05 the whole list');
is(emails_of(one('replace', 'emails[type eq "work"]', { value => '3@x', type => 'home' })), '{"type":"home","value":"3@x"} {"value":"2@x"}', 'R-7644-3.5.2.3-07 a value as a whole');
is(emails_of(one('replace', 'emails[type eq "home"].value', '4@x')), '{"type":"home","value":"4@x"} {"value":"2@x"}', 'R-7644-3.5.2.3-08 a sub-attribute');
ok(!exists one('replace', 'emails', [])->json->{emails}, 'R-7644-3.5.2.3-06 [] clears');
{
	my $strict = new_user($s)->id;
	error_is($s->patch("/Users/$strict", [ { op => 'replace', path => 'emails[type eq "other"].value', value => 'x' } ]), 400, 'noTarget', undef, 'R-7644-3.5.2.3-09 strict: nothing is selected');
	error_is($s->patch("/Users/$strict", [ { op => 'replace', path => 'emails.type', value => 'x' } ]), 400, 'noTarget', undef, 'R-7644-3.5.2.3-10 every value, and there is none');
}
is(join(' ', map { patch([ { op => $_, path => 'title', value => 'x' } ])->status } 'Add', 'REPLACE', 'Remove'), '200 200 200', 'R-compat-patch-01 op in any case');

# ---- 18. DELETE ----

$u = new_user($c, userName => 'dies');
$path = '/Users/' . $u->id;
error_is($c->delete($path, headers => { 'If-Match' => 'W/"0"' }), 412, undef, undef, 'R-7644-3.6-05 a stale If-Match');
status_is($c->get($path), 200, 'R-7644-3.6-05 and it is still there');
$r = $c->delete($path);
ok($r->status == 204 && $r->text eq '', 'R-7644-3.6-01 204 without a body');
is(join(' ', map { $_->status } $c->get($path), $c->put($path, { %core, userName => 'dies' }), $c->patch($path, []), $c->delete($path)), '404 404 404 404', 'R-7644-3.6-02 404 from then on');
list_is($c->filter('/Users', 'userName eq "dies"'), 0, 'R-7644-3.6-02 and in no list');
status_is($c->delete($path), 404, 'R-7644-3.6-04 a second DELETE');
status_is($c->post('/Users', user_body(userName => 'dies')), 201, 'R-7644-3.6-03 its name is free');
$t->sql(q{CREATE TABLE app.owners (thing bigint REFERENCES app.things); GRANT ALL ON app.owners TO things; INSERT INTO app.owners VALUES (} . ($thing =~ /(\d+)/)[0] . ')');
error_is($th->delete($thing), 409, undef, qr/referred/, 'R-7644-3.6-07 what is referred to cannot go');

$t->sql(q{CREATE TABLE app.soft (id serial PRIMARY KEY, login text, gone timestamptz); CREATE UNIQUE INDEX ON app.soft (login) WHERE gone IS NULL;
	CREATE VIEW app.live AS SELECT id, login FROM app.soft WHERE gone IS NULL;
	CREATE FUNCTION app.mark() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE app.soft SET gone = now() WHERE id = OLD.id; RETURN OLD; END $$;
	CREATE TRIGGER mark INSTEAD OF DELETE ON app.live FOR EACH ROW EXECUTE FUNCTION app.mark();
	ALTER TABLE app.soft OWNER TO things; ALTER VIEW app.live OWNER TO things; GRANT USAGE ON SEQUENCE app.soft_id_seq TO things;
	SELECT scim.create_mapping('soft', 'User', 'app.live', key => 'id', owner => 'things', attributes => '{"userName":"login"}')});
$t->create_endpoint('soft', base_path => '/soft', mappings => '{soft}');
my $soft = $t->client(base_path => '/soft', token => $t->create_token('soft'));
$r = $soft->post('/Users', { schemas => [CORE_USER], userName => 'lazarus' });
my $lazarus = '/Users/' . $r->id;
is(join(' ', map { $_->status } $soft->delete($lazarus), $soft->get($lazarus), $soft->delete($lazarus), $soft->post('/Users', { schemas => [CORE_USER], userName => 'lazarus' })), '204 404 404 201', 'R-7644-3.6-06 a soft delete is a DELETE');
is($t->sql(q{SELECT count(*) FROM app.soft WHERE login = 'lazarus'}), '2', 'R-7644-3.6-06 but the row is still there');

# ---- 19. Bulk ----

sub bulk { my ($ops, %more) = @_; return $c->post('/Bulk', { schemas => [BULK], Operations => $ops, %more }) }
sub made { my ($bulk_id, %more) = @_; return { method => 'POST', path => '/Users', bulkId => $bulk_id, data => user_body(%more) } }
sub statuses { return join(' ', map { $_->{status} } @{ $_[0]->json->{Operations} || [] }) }

$r = bulk([ made('1') ]);
ok($r->status == 200 && $r->json->{schemas}[0] =~ /BulkResponse$/ && statuses($r) eq '201', 'R-7644-3.7-01 a BulkResponse');
is(statuses(bulk([ { method => 'GET', path => '/Users' } ])), '400', 'R-7644-3.7-02 GET is no method here');
is(statuses(bulk([ { method => 'POST', path => '/Users/u1', bulkId => 'x', data => user_body() } ])), '400', 'R-7644-3.7-03 where a POST goes');
error_is(bulk([ { method => 'POST', path => '/Users', data => user_body() } ]), 400, 'invalidSyntax', undef, 'R-7644-3.7-04 a POST needs a bulkId');
error_is(bulk([ made('1'), made('1') ]), 400, 'invalidSyntax', undef, 'R-7644-3.7-04 of its own');
is(statuses(bulk([ { method => 'PUT', path => '/Users/x' }, { method => 'PATCH', path => '/Users/x' } ])), '400 400', 'R-7644-3.7-05 data is needed');
$u = new_user($c);
is(statuses(bulk([ { method => 'DELETE', path => '/Users/' . $u->id, version => 'W/"0"' } ])), '412', 'R-7644-3.7-06 version');
is(statuses(bulk([ { method => 'PATCH', path => '/Users/x', data => {} }, made('2') ])), '404 201', 'R-7644-3.7-07 everything is attempted');
is(statuses(bulk([ { method => 'PATCH', path => '/Users/x', data => {} }, made('3') ], failOnErrors => 1)), '404', 'R-7644-3.7-08 failOnErrors');
error_is(bulk([ made('4') ], failOnErrors => $_), 400, undef, undef, "R-7644-3.7-09 failOnErrors: $_") for 'x', 0;
is(statuses(bulk([ made('5', userName => 'bulk5'), made('6', userName => 'BULK5') ])), '201 409', 'R-7644-3.7-10 one fails');
list_is($c->filter('/Users', 'userName eq "bulk5"'), 1, 'R-7644-3.7-10 the other stays');
is(statuses(bulk([ map { { method => 'POST', path => $_, bulkId => $_, data => {} } } '/Bulk', '/Me', '/Schemas', '/.search' ])), '400 400 400 400', 'R-7644-3.7-11 nothing but resources');
$r = bulk([ { method => 'POST', path => '/Groups', bulkId => 'g', data => group_body(members => [ { value => 'bulkId:u' } ]) }, made('u') ]);
is(statuses($r), '201 201', 'R-7644-3.7-12 operations are done in the order of need');
my ($gid, $uid) = map { $_->{location} =~ m{/([^/]+)$} } @{ $r->json->{Operations} };
is(get_ok($c, "/Groups/$gid")->{members}[0]{value}, $uid, 'R-7644-3.7.2-01 bulkId becomes the id');
$r = bulk([ map { { method => 'POST', path => '/Groups', bulkId => $_->[0], data => group_body(members => [ { value => "bulkId:$_->[1]" } ]) } } [ 'a', 'b' ], [ 'b', 'a' ] ]);
is(statuses($r), '201 201', 'R-7644-3.7.1-01 a circle');
is(statuses(bulk([ made('p'), { method => 'PATCH', path => '/Users/bulkId:p', data => { schemas => [PATCH_OP], Operations => [ { op => 'add', path => 'title', value => 'x' } ] } } ])), '201 200', 'R-7644-3.7.2-02 in a path');
is(statuses(bulk([ { method => 'POST', path => '/Groups', bulkId => 'g', data => group_body(members => [ { value => 'bulkId:none' } ]) } ])), '409', 'R-7644-3.7.2-03 nobody has this bulkId');
$r = bulk([ made('m'), { method => 'PATCH', path => "/Groups/$gid", data => { schemas => [PATCH_OP], Operations => [ { op => 'add', path => 'members', value => [ { value => 'bulkId:m' } ] } ] } } ]);
is(scalar(@{ get_ok($c, "/Groups/$gid")->{members} }), 2, 'R-7644-3.7.2-04 in the value of a PATCH');
$r = bulk([ made('t', displayName => 'bulkId: 7', title => 'bulkId:t') ]);
like($c->get($r->json->{Operations}[0]{location} =~ s/127\.0\.0\.1/localhost/r)->json->{title}, qr/^bulkId:t$/, 'R-7644-3.7.2-05 in an ordinary text it stays');
$r = bulk([ made('s'), { method => 'DELETE', path => '/Users/nobody' } ]);
shape_is($r->json->{Operations}[0], 'bulkId location method status version', 'R-7644-3.7.3-01 a result');
ok(!exists $r->json->{Operations}[0]{response}, 'R-7644-3.7.3-03 without the resource');
is(value_of($r->json, 'Operations', 1, 'response', 'status'), '"404"', 'R-7644-3.7.3-02 a failure has an Error of the same status');
$before = $t->store_digest;
error_is(bulk([ map { made("n$_") } 1 .. 1001 ]), 413, undef, qr/maxOperations \(1000\)/, 'R-7644-3.7.4-01 too many operations');
error_is($c->post('/Bulk', ' ' x (1024 * 1024 + 1)), 413, undef, qr/maxPayloadSize \(1048576/, 'R-7644-3.7.4-01 too many bytes');
is($t->store_digest, $before, 'R-7644-3.7.4-02 nothing was done');
$t->sql(q{SELECT scim.alter_endpoint('acme', '{"bulk":false}')});
ok(bulk([ made('off') ])->status == 501 && get_ok($c, '/ServiceProviderConfig')->{bulk}{supported} eq FALSE, 'R-7644-3.7.4-03 switched off');
$t->sql(q{SELECT scim.alter_endpoint('acme', '{"bulk":null}')});

# ---- 20. Me ----

error_is($c->get('/Me'), 501, undef, undef, 'R-7644-3.11-01 the token is nobody\'s');
my $me = $t->create_token('acme', label => 'me', subject => $u->id);
$r = $c->get('/Me', token => $me);
ok($r->status == 200 && $r->header('location') =~ m{/Users/\Q@{[ $u->id ]}\E$}, 'R-7644-3.11-02 a user\'s token: the permanent Location');

# ---- 21. errors ----

my @errors = ([ 400, $c->post('/Users', '{') ], [ 401, $c->get('/Users', token => 'x') ], [ 404, $c->get('/Nothing') ], [ 405, $c->put('/Users', {}) ], [ 406, $c->get('/Users', accept => 'text/html') ],
	[ 409, $c->post('/Users', user_body(userName => 'taken')) ], [ 412, $c->delete('/Users/' . $u->id, headers => { 'If-Match' => 'x' }) ], [ 413, $c->post('/Bulk', ' ' x (1024 * 1024 + 1)) ],
	[ 415, $c->post('/Users', 'x', type => 'text/plain') ], [ 500, $th->post('/Things', { schemas => [THING], name => 'x', plain => 'boom' }) ], [ 501, $c->get('/Me') ]);
error_is($_->[1], $_->[0], undef, undef, "R-7644-3.12-01 R-7644-3.12-02 the body and the type of $_->[0]") for @errors;
error_is($c->post('/Users', '{'), 400, 'invalidSyntax', undef, 'R-7644-3.12-03 scimType');
ok(!(grep { $_->status >= 500 } map { $c->post('/Users', $_) } '{"a":1e999}', '"', "\0", '{"schemas":7}', '[[[', '{"schemas":[null],"userName":[]}', json_bytes(user_body(emails => 'x', name => [], active => {}))), 'R-7644-3.12-04 bad input is no 5xx');
($r) = map { $_->[1] } grep { $_->[0] == 500 } @errors;
like($r->json->{detail}, qr/request ([0-9a-f-]{36})$/, 'R-7644-3.12-05 a 500 has a reference');
my ($reference) = $r->json->{detail} =~ /request (\S+)$/;
like($t->log_text, qr/\Q$reference\E/, 'R-7644-3.12-05 which is in the log');
is($t->sql("SELECT status FROM scim.audit_log WHERE request = '$reference'"), '500', 'R-7644-3.12-05 and in the audit');
unlike($r->text . join("\n", grep { /request failed|Raised in|ERROR: / } split(/\n/, $t->log_text)), qr/secret internals/, 'R-7644-3.12-05 and no internals');
new_user($c, userName => 'only-mine');
unlike($c->post('/Users', user_body(userName => 'Only-Mine'))->text, qr/only-mine|[0-9a-f]{8}-/i, 'R-7644-3.12-06 a detail repeats no value and no id');
is(join(' ', $errors[6][1]->status, $c->get('/Users/' . $u->id, headers => { 'If-None-Match' => '*' })->status), '412 304', 'R-7644-3.12-07 412 and 304');
{
	my $locker = $t->node->background_psql('postgres');
	$locker->query_safe($t->in_store('BEGIN; SELECT 1 FROM scim.users WHERE id = \'' . $u->id . '\' FOR UPDATE'));
	$r = $c->patch('/Users/' . $u->id, [ { op => 'replace', path => 'title', value => 'late' } ]);
	ok($r->status == 503 && $r->header('retry-after'), 'R-7644-3.12-07 503 with Retry-After');
	$locker->query_safe('ROLLBACK');
	$locker->quit;
}

# ---- 22. versions of the protocol ----

$t->create_endpoint('v2', base_path => '/t/v2');
status_is($t->client(base_path => '/t/v2', token => $t->create_token('v2'))->get('/Users'), 200, 'R-7644-3.13-01 a base may end in /v2');
is($t->client(base_path => '/t/v3', token => $t->create_token('v2', label => 'b'))->get('/Users')->status, 401, 'R-7644-3.13-02 there is no /v3 (401: nothing tells what is there)');
error_is($c->get('/v3/Users'), 404, undef, undef, 'R-7644-3.13-02 nor below the base');

# ---- 23. entity tags ----

$u = new_user($c);
$path = '/Users/' . $u->id;
my %body = (schemas => [CORE_USER], userName => $u->json->{userName});
my @with = ($c->get($path), $u, $c->put($path, { %body, title => 'x' }), $c->patch($path, [ { op => 'replace', path => 'title', value => 'y' } ]));
is(scalar(grep { ($_->header('etag') // '') ne $_->json->{meta}{version} } @with), 0, 'R-7644-3.14-01 ETag is meta.version');
is(scalar(grep { $_->header('etag') !~ m{^W/".+"$} } @with), 0, 'R-7644-3.14-02 weak');
my $stale = $u->header('etag');
my $fresh = $with[3]->header('etag');
$before = state_of($path);
is(join(' ', map { $_->status } $c->put($path, \%body, headers => { 'If-Match' => $stale }), $c->patch($path, [], headers => { 'If-Match' => $stale }), $c->delete($path, headers => { 'If-Match' => $stale })), '412 412 412', 'R-7644-3.14-03 a stale If-Match');
is(state_of($path), $before, 'R-7644-3.14-03 changes nothing');
is(join(' ', map { $c->put($path, \%body, headers => { 'If-Match' => $_ })->status } '*'), '200', 'R-7644-3.14-04 If-Match: *');
$fresh = get_ok($c, $path)->{meta}{version};
is($c->put($path, \%body, headers => { 'If-Match' => "\"a\", $fresh" })->status, 200, 'R-7644-3.14-04 a list');
is($c->put($path, \%body, headers => { 'If-Match' => $fresh =~ s/^W\///r })->status, 200, 'R-7644-3.14-04 compared weakly');
$r = $c->get($path, headers => { 'If-None-Match' => $fresh });
ok($r->status == 304 && $r->header('etag') eq $fresh && $r->text eq '', 'R-7644-3.14-05 304');
status_is($c->put($path, \%body, headers => { 'If-None-Match' => '*' }), 412, 'R-7644-3.14-06 If-None-Match: * on what exists');
status_is($c->put($path, \%body, headers => { 'If-Match' => 'abc' }), 412, 'R-7644-3.14-07 a malformed If-Match matches nothing');
for my $list ('"a" ' . $fresh, "$fresh \"a\"", "$fresh x", "$fresh, x", "x, $fresh", "*, $fresh", "w$fresh", '"a')
{
	status_is($c->put($path, \%body, headers => { 'If-Match' => $list }), 412, "R-7644-3.14-07 nor does a list with something else: $list");
	status_is($c->get($path, headers => { 'If-None-Match' => $list }), 200, "R-7644-3.14-07 of If-None-Match neither: $list");
}
is($c->put($path, \%body, headers => { 'If-Match' => ", \"a,b\" ,, $fresh ," })->status, 200, 'R-7644-3.14-04 a list with empty elements');
is(join(' ', map { $c->get($path, headers => $_)->status } { 'If-Match' => $stale }, { 'If-Match' => $fresh }, { 'If-Match' => $stale, 'If-None-Match' => $fresh }, { 'If-Match' => $fresh, 'If-None-Match' => $fresh }),
	'412 200 412 304', 'R-7644-3.14-05 a read: If-Match comes first (RFC 9110 13.2.2)');
{
	my @pids = fork_clients(2, sub { my $x = $t->client->put($path, { %body, title => "by $_[0]" }, headers => { 'If-Match' => $fresh })->status; POSIX::_exit($x == 200 ? 0 : $x == 412 ? 1 : 2) });
	my %rc;
	for (@pids) { waitpid($_, 0); $rc{ $? >> 8 }++ }
	is(json_bytes(\%rc), '{"0":1,"1":1}', 'R-7644-3.14-08 of two with one If-Match one succeeds');
}
is($c->get("$path?attributes=userName")->header('etag'), $c->get($path)->header('etag'), 'R-7644-3.14-09 the tag does not depend on attributes');
error_is($c->put($path, { %body, userName => 'taken' }, headers => { 'If-Match' => '*' }), 409, 'uniqueness', undef, 'R-7644-3.14-10 409 is for uniqueness');

$t->no_crash;
done_testing();
