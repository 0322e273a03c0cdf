# 032_register_query.pl - the register, sections 8 to 14 and 24 to 26: read,
# query, filter, sort, pages, projection, .search, strings, tenants, security.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use ScimTest;
use ScimRegister;
use Test::More;
use Time::HiRes qw(sleep);

ScimTest->watchdog(150);

my ($t, $c, $s, $th) = register_start(listeners => 2);
my $ent = ENTERPRISE;
my ($r, $json);

# Whom a filter finds, by userName (or displayName).
sub found
{
	my ($filter, %opt) = @_;
	my $client = $opt{client} || $c;
	my $reply = $client->filter($opt{path} || '/Users', $filter, count => 1000);
	return $reply->status . ' ' . ($reply->json->{scimType} // '') if $reply->status != 200;
	return join(' ', sort map { $_->{userName} // $_->{displayName} // $_->{name} } $reply->resources);
}

sub refused { my ($filter, $name, $client) = @_; return error_is(($client || $c)->filter('/Users', $filter), 400, 'invalidFilter', undef, $name) }

my @people = (
	{ userName => 'ann', title => 'Boss', active => TRUE, userType => 'x', externalId => 'E1', name => { familyName => 'Zed', givenName => 'Ann' }, emails => [ { value => 'ann@a.example', type => 'work' }, { value => 'ann@b.example', type => 'home', primary => TRUE } ] },
	{ userName => 'Bert', title => 'boss', active => FALSE, name => { familyName => 'alpha' }, emails => [ { value => 'bert@b.example', type => 'work' } ], $ent => { department => 'Tour', manager => { value => 'u1' } } },
	{ userName => 'carl', nickName => '', displayName => '100% _x\\', name => { familyName => 'Beta' } },
	{ userName => "d\x{e5}n", title => '', preferredLanguage => 'sv' },
	{ userName => 'a+b', phoneNumbers => [ { value => '1', type => 'work' } ] });
my %id;
for my $p (@people)
{
	$r = $c->post('/Users', { schemas => [CORE_USER], %$p });
	die $r->text if $r->status != 201;
	$id{ $p->{userName} } = $r->id;
}
my $all = join(' ', sort map { $_->{userName} } @people);
my $team = new_group($c, displayName => 'team', members => [ { value => $id{ann} } ])->id;

# ---- 8. read ----

$r = $c->get("/Users/$id{ann}");
ok($r->status == 200 && $r->header('etag') eq $r->json->{meta}{version} && $r->header('location') eq $r->json->{meta}{location}, 'R-7644-3.4.1-01 GET of a known id');
is($c->get("/Users/$team")->text, $c->get('/Users/11111111-2222-4333-8444-555555555555')->text, 'R-7644-3.4.1-02 an id of another type is unknown, in the same words');
is($s->get("/Users/$id{ann}")->text, $c->get("/Users/$team")->text, 'R-7644-3.4.1-02 so is one of another tenant');
status_is($c->get('/Users/' . uc $id{ann}), 404, 'R-7644-3.4.1-03 ids are case exact');
status_is($c->get('/Users/' . ($id{ann} =~ s/-/%2D/gr)), 200, 'R-7644-3.4.1-03 and percent-decoded once');
error_is($c->get("/Users/$_"), 404, undef, undef, "R-7644-3.4.1-04 $_ cannot be an id") for 'not-a-uuid', 'a%2Fb', '%00';
error_is($th->get('/Things/x'), 404, undef, undef, 'R-7644-3.4.1-04 x is no number');

# ---- 9. query ----

list_is($c->get('/Users'), scalar(@people), 'R-7644-3.4.2-01 a ListResponse');
$json = get_ok($c, '/Users?count=2');
is(json_bytes([ @$json{qw(totalResults itemsPerPage startIndex)} ]), '[5,2,1]', 'R-7644-3.4.2-02 the page describes itself');
is(get_ok($c, '/Users?startIndex=4&count=10')->{itemsPerPage}, 2, 'R-7644-3.4.2-03 itemsPerPage is what is there');
list_is($c->filter('/Users', 'userName eq "nobody"'), 0, 'R-7644-3.4.2-04 no match is a list, too');
status_is($c->get('/Users?foo=bar'), 200, 'R-7644-3.4.2-05 unknown parameters');
is(join(' ', sort map { $_->{meta}{resourceType} } $c->get('/')->resources), 'Group User User User User User', 'R-7644-3.4.2-06 a query at the base');
is($c->get("/Users/$id{ann}" . query(filter => 'active eq false'))->status, 200, 'R-7644-3.4.2-07 a filter on one resource is ignored');
is(found('userName pr', path => '/'), $all, 'R-7644-3.4.2.1-01 what a type lacks is unassigned');
$t->sql(q{SELECT scim.alter_endpoint('acme', '{"tooMany":4}')});
error_is($c->get('/Users'), 400, 'tooMany', undef, 'R-7644-3.4.2.1-02 a ceiling');
status_is($c->filter('/Users', 'userName eq "ann"'), 200, 'R-7644-3.4.2.1-02 below it all is well');
$t->sql(q{SELECT scim.alter_endpoint('acme', '{"tooMany":null}')});
is(found('meta.resourceType eq "Group"', path => '/'), 'team', 'R-7644-3.4.2.1-03 meta.resourceType');

# ---- 10. filter (test/data/filter-vectors.json is run by unit_filter.c and language_filter.sql) ----

is(found('(userName eq "ann") and not (title eq "x" or emails[type eq "z"])'), 'ann', 'R-7644-3.4.2.2-01 the grammar');
error_is($c->filter('/Users', 'userName eq'), 400, 'invalidFilter', qr/position|at \d+/i, 'R-7644-3.4.2.2-02 anything else, with the position');
is(found('USERNAME EQ "ANN" AND NOT (NICKNAME PR)'), 'ann', 'R-7644-3.4.2.2-03 names and operators without case');
refused('active eq True', 'R-7644-3.4.2.2-04 strict: literals are in lower case', $s);
is(found('userName eq "d\u00e5n"'), "d\x{e5}n", 'R-7644-3.4.2.2-05 escapes in strings');
refused('userName eq "\ud800"', 'R-7644-3.4.2.2-05 half a surrogate pair');
is(found('userName eq "ann" or userName eq "carl" and title pr'), 'ann', 'R-7644-3.4.2.2-06 and binds closer');
is(found('title eq "BOSS"'), 'Bert ann', 'R-7644-3.4.2.2-07 eq, by caseExact');
is(found('meta.created gt "2020-01-01T00:00:00+02:00" and active eq true'), 'ann', 'R-7644-3.4.2.2-07 instants and booleans');
is(found('userType ne "x"'), join(' ', grep { $_ ne 'ann' } split / /, $all), 'R-7644-3.4.2.2-08 ne holds for the unassigned');
is(found('userName sw ""'), $all, 'R-7644-3.4.2.2-09 everything starts with nothing');
is(join('|', found('userName co "er"'), found('userName sw "b"'), found('userName ew "L"'), found('userName co "ann"')), 'Bert|Bert|carl|ann', 'R-7644-3.4.2.2-09 co, sw, ew');
is(found('displayName co ""'), 'carl', 'R-7644-3.4.2.2-09 the unassigned never match');
is(join('|', map { found(qq{displayName co "$_"}) } '%', '_', '\\\\', '%_'), 'carl|carl|carl|', 'R-7644-3.4.2.2-10 operands are literal');
is(join('|', found('active pr'), found('nickName pr'), found('name pr')), 'Bert ann||Bert ann carl', 'R-7644-3.4.2.2-11 pr');
is(found('userName ge "B" and userName lt "d"'), 'Bert carl', 'R-7644-3.4.2.2-12 order of strings, folded');
is(found('meta.lastModified gt "2999-01-01T00:00:00Z"'), '', 'R-7644-3.4.2.2-12 order of times');
refused($_, "R-7644-3.4.2.2-13 $_") for 'active gt true', 'x509Certificates.value gt "a"';
refused('name gt "a"', 'R-7644-3.4.2.2-14 a complex attribute has no order');
refused($_, "R-7644-3.4.2.2-15 $_") for 'active co true', 'meta.created co "2"', 'x509Certificates.value sw "a"';
refused($_, "R-7644-3.4.2.2-16 $_") for 'userName eq 5', 'active eq "x"', 'meta.created gt "x"';
is(found('title eq null'), join(' ', grep { !/^(ann|Bert)$/ } split / /, $all), 'R-7644-3.4.2.2-17 eq null');
is(found('title ne null'), 'Bert ann', 'R-7644-3.4.2.2-17 ne null');
refused('title gt null', 'R-7644-3.4.2.2-17 gt null');
is(found('emails.value eq "ann@b.example"'), 'ann', 'R-7644-3.4.2.2-18 any value');
is(found('emails co "b.example"'), found('emails.value co "b.example"'), 'R-7644-3.4.2.2-19 emails stands for emails.value');
refused($_, "R-7644-3.4.2.2-20 $_") for 'name eq "x"', 'addresses co "x"';
is(found('emails[type eq "work" and value co "@b"]'), 'Bert', 'R-7644-3.4.2.2-21 the same element');
refused('emails[userName eq "x"]', 'R-7644-3.4.2.2-22 only sub-attributes in brackets');
is(found('not (emails[type eq "work"]) and phoneNumbers[type eq "work"] or title eq "Boss"'), 'Bert a+b ann', 'R-7644-3.4.2.2-23 value paths and comparisons mix');
is(found(CORE_USER . ':userName sw "b"'), 'Bert', 'R-7644-3.4.2.2-24 qualified, core');
is(found(uc($ent) . ':manager.value eq "u1"'), 'Bert', 'R-7644-3.4.2.2-24 qualified, extension, URN without case');
refused('department eq "x"', 'R-7644-3.4.2.2-25 strict: an extension attribute needs its URN', $s);
is(found('department eq "tour"'), 'Bert', 'R-7644-3.4.2.2-25 compat: not if it is unambiguous');
is(found("schemas eq \"\U$ent\""), 'Bert', 'R-7644-3.4.2.2-26 schemas');
is(found('meta.resourceType eq "User" and meta.location ew "' . $id{ann} . '" and meta.version pr'), 'ann', 'R-7644-3.4.2.2-27 meta');
is(join('|', found('externalId eq "E1"'), found('externalId eq "e1"'), found("id eq \"$id{ann}\""), found("id eq \"\U$id{ann}\"")), 'ann||ann|', 'R-7644-3.4.2.2-28 id and externalId are case exact');
is(join('|', map { found($_, path => '/Groups') } "members.value eq \"$id{ann}\"", "members[value eq \"$id{ann}\"]", "members eq \"$id{Bert}\""), 'team|team|', 'R-7644-3.4.2.2-29 members');
refused('shoeSize eq 1', 'R-7644-3.4.2.2-30 an attribute that nobody has');
is(found('not (title co "x")'), $all, 'R-7644-3.4.2.2-31 not is true for the unassigned');
$th->post('/Things', { schemas => [THING], name => 'd' });
is(found('forced eq "f"', path => '/Things', client => $th), 'd', 'R-7644-3.4.2.2-32 a default is compared as shown');
error_is($c->filter('/Users', 'userName regex "x"'), 400, 'invalidFilter', qr/regex/, 'R-7644-3.4.2.2-33 the operator is named');
refused('password eq "x"', 'R-7644-3.4.2.2-34 no probing of what is never returned');
is(found(q{userName eq "'; DROP TABLE scim.users; --"}), '', 'R-7644-3.4.2.2-35 text is a parameter');
error_is($c->post('/Users/.search', { schemas => [SEARCH], filter => '(' x 20000 }), 400, 'invalidFilter', undef, 'R-7644-3.4.2.2-36 a deep one');
error_is($c->post('/Users/.search', { schemas => [SEARCH], filter => 'userName eq "' . 'x' x 100000 . '"' }), 400, 'invalidFilter', undef, 'R-7644-3.4.2.2-36 a long one');
$t->sql(q{INSERT INTO scim.users (tenant, user_name, title) SELECT 'big', 'u' || i, 't' || i % 10 FROM generate_series(1, 20000) i; ANALYZE scim.users});
$t->create_endpoint('big', base_path => '/big');
for my $filter ('userName eq "u77"', 'userName sw "u777"', 'id eq "11111111-2222-4333-8444-555555555555"', 'externalId eq "x"')
{
	like($t->sql("SELECT string_agg(e, ' ') FROM scim.explain('big', 'User', '$filter') e"), qr/Index (Only )?Scan/, "R-7644-3.4.2.2-37 by index: $filter");
}
is(join(' ', map { $_->{userName} } $c->get('/Users?filter=userName%20eq%20%22a%2Bb%22')->resources), 'a+b', 'R-7644-3.4.2.2-38 decoded once');
is(join(' ', map { $_->{userName} } $c->get('/Users?filter=userName+eq+%22ann%22')->resources), 'ann', 'R-7644-3.4.2.2-38 + is a blank');
error_is($c->get('/Users?filter=title+pr&filter=title+pr'), 400, 'invalidFilter', undef, 'R-7644-3.4.2.2-39 two filters');

# ---- 11. sort ----

sub sorted { return join(' ', map { utf8::encode(my $n = $_->{userName}); $n } $c->get('/Users' . query(@_))->resources) }
is(sorted(sortBy => 'userName', sortOrder => 'descending', filter => 'userName lt "d"'), 'carl Bert ann a+b', 'R-7644-3.4.2.3-01 descending');
is(sorted(sortBy => 'userName', filter => 'userName lt "d"'), 'a+b ann Bert carl', 'R-7644-3.4.2.3-05 without case where it does not count');
like(sorted(sortBy => 'nickName') . '|' . sorted(sortBy => 'title'), qr/^[^|]*\|(ann Bert|Bert ann) /, 'R-7644-3.4.2.3-02 without a value: last');
like(sorted(sortBy => 'title', sortOrder => 'descending'), qr/ (ann Bert|Bert ann)$/, 'R-7644-3.4.2.3-02 descending: first');
is(sorted(sortBy => 'emails', filter => 'emails pr'), 'ann Bert', 'R-7644-3.4.2.3-03 the primary value');
is(sorted(sortBy => 'emails.type', filter => 'emails pr'), 'ann Bert', 'R-7644-3.4.2.3-03 of a sub-attribute, too (home, work)');
error_is($c->get('/Users?sortBy=name'), 400, 'invalidPath', undef, 'R-7644-3.4.2.3-04 a complex attribute');
is(sorted(sortBy => 'name.familyName', filter => 'name pr'), 'Bert carl ann', 'R-7644-3.4.2.3-04 needs a sub-attribute');
{
	my $big = $t->client(base_path => '/big', token => $t->create_token('big'));
	my %seen;
	for my $page (0 .. 19)
	{
		$seen{ $_->{userName} }++ for $big->get('/Users' . query(sortBy => 'title', attributes => 'userName', count => 1000, startIndex => 1 + 1000 * $page))->resources;
	}
	is(scalar(keys %seen) . ' ' . scalar(grep { $_ != 1 } values %seen), '20000 0', 'R-7644-3.4.2.3-06 equal keys: each once over all pages');
	%seen = ();
	for my $page (0 .. 19)
	{
		$seen{ $_->{userName} }++ for $big->get('/Users' . query(attributes => 'userName', count => 1000, startIndex => 1 + 1000 * $page))->resources;
	}
	is(scalar(keys %seen) . ' ' . scalar(grep { $_ != 1 } values %seen), '20000 0', 'R-7644-3.4.2.4-07 no sortBy: each once as well');
}
error_is($c->get('/Users?sortBy=foo'), 400, 'invalidPath', undef, 'R-7644-3.4.2.3-07 an unknown sortBy');
error_is($c->get('/Users?sortBy=title&sortOrder=up'), 400, 'invalidValue', undef, 'R-7644-3.4.2.3-07 an unknown sortOrder');
$t->sql(q{SELECT scim.alter_endpoint('acme', '{"sort":false}')});
ok(get_ok($c, '/ServiceProviderConfig')->{sort}{supported} eq FALSE && $c->get('/Users?sortBy=foo')->status == 200, 'R-7644-3.4.2.3-08 not supported: ignored');
$t->sql(q{SELECT scim.alter_endpoint('acme', '{"sort":null}')});

# ---- 12. pages by index ----

is(join(' ', map { get_ok($c, "/Users?startIndex=$_")->{startIndex} } 0, -5), '1 1', 'R-7644-3.4.2.4-01 less than 1 is 1');
is(json_bytes([ map { my $x = get_ok($c, "/Users?count=$_"); ($x->{Resources}, $x->{totalResults}) } 0, -1 ]), '[[],5,[],5]', 'R-7644-3.4.2.4-02 count=0 and less');
$json = get_ok($t->client(base_path => '/big', token => $t->create_token('big', label => 'x')), '/Users?count=100000&attributes=id');
is($json->{itemsPerPage}, get_ok($c, '/ServiceProviderConfig')->{filter}{maxResults}, 'R-7644-3.4.2.4-03 no more than the maximum');
is(get_ok($t->client(base_path => '/big', token => $t->create_token('big', label => 'y')), '/Users?attributes=id')->{itemsPerPage}, 100, 'R-7644-3.4.2.4-04 the default');
is(json_bytes([ @{ get_ok($c, '/Users?startIndex=1000000000') }{qw(itemsPerPage totalResults)} ]), '[0,5]', 'R-7644-3.4.2.4-05 beyond the end');
error_is($c->get("/Users?$_"), 400, 'invalidValue', undef, "R-7644-3.4.2.4-06 $_") for 'count=abc', 'startIndex=99999999999999999999';

# ---- 13. projection ----

my %shaped = (
	'GET' => $c->get("/Users/$id{ann}?attributes=userName"),
	'list' => $c->filter('/Users', 'userName eq "ann"', attributes => 'userName')->json->{Resources}[0],
	'.search' => $c->post('/Users/.search', { schemas => [SEARCH], filter => 'userName eq "ann"', attributes => ['userName'] })->json->{Resources}[0],
	'POST' => $c->post('/Users?attributes=userName', user_body(title => 'x')),
	'PUT' => $c->put("/Users/$id{carl}?attributes=userName", { schemas => [CORE_USER], userName => 'carl', title => 'x' }),
	'PATCH' => $c->patch("/Users/$id{carl}?attributes=userName", [ { op => 'replace', path => 'title', value => 'y' } ]));
shape_is($shaped{$_}, 'id schemas userName', "R-7644-3.4.2.5-01 $_ ?attributes=userName") for sort keys %shaped;
shape_is($shaped{GET}, 'id schemas userName', 'R-7644-3.9-01 the minimum and what is named');
$json = $c->get("/Users/$id{ann}?excludedAttributes=id,title,emails")->json;
ok(exists $json->{id} && exists $json->{userName} && !exists $json->{title} && !exists $json->{emails}, 'R-7644-3.9-02 the default set without what is named');
$json = $c->get("/Users/$id{ann}?attributes=name.givenName,emails.value")->json;
is(value_of($json, 'name') . value_of($json, 'emails', 0), '{"givenName":"Ann"}{"value":"ann@a.example"}', 'R-7644-3.9-03 sub-attributes');
is(value_of($c->get("/Users/$id{Bert}?attributes=$ent")->json, $ent, 'department') . value_of($c->get("/Users/$id{Bert}?attributes=$ent:department")->json, $ent), '"Tour"{"department":"Tour"}', 'R-7644-3.9-04 an extension by URN');
shape_is($c->get("/Users/$id{ann}?attributes=USERNAME,%20foo"), 'id schemas userName', 'R-7644-3.9-05 without case, unknown ones ignored');
error_is($c->get("/Users/$id{ann}?attributes=title&excludedAttributes=emails"), 400, 'invalidValue', undef, 'R-7644-3.9-06 both at once');
ok(exists $th->post('/Things?attributes=asked', { schemas => [THING], name => 'x', asked => 'a' })->json->{asked}, 'R-7644-3.9-07 on request');
$t->sql(qq{INSERT INTO scim.users (tenant, user_name) SELECT 'acme', 'm' || i FROM generate_series(1, 20000) i;
	INSERT INTO scim.group_members (tenant, group_id, user_id) SELECT 'acme', '$team', id FROM scim.users WHERE tenant = 'acme' AND user_name LIKE 'm%'});
{
	my $before = $t->sql(q{SELECT sum(idx_tup_fetch + seq_tup_read) FROM pg_stat_user_tables WHERE relname = 'group_members'});
	$c->get("/Groups/$team?excludedAttributes=members") for 1 .. 20;
	sleep 1.5;
	cmp_ok($t->sql(q{SELECT sum(idx_tup_fetch + seq_tup_read) FROM pg_stat_user_tables WHERE relname = 'group_members'}) - $before, '<', 20000, 'R-7644-3.9-08 what is excluded is not read');
}
is($c->get("/Users/$id{ann}?attributes=")->text, $c->get("/Users/$id{ann}")->text, 'R-7644-3.9-09 an empty list counts as absent');

# ---- 14. .search ----

is(scalar($c->post("$_/.search", { schemas => [SEARCH], filter => 'userName eq "ann"', count => 5 })->resources), 1, "R-7644-3.4.3-01 $_/.search") for '', '/Users';
error_is($s->post('/Users/.search', {}), 400, 'invalidSyntax', undef, 'R-7644-3.4.3-02 strict: schemas');
status_is($c->post('/Users/.search', {}), 200, 'R-7644-3.4.3-02 compat: tolerated');
shape_is($c->post('/Users/.search', { schemas => [SEARCH], filter => 'userName eq "ann"', attributes => 'userName,title' })->json->{Resources}[0], 'id schemas title userName', 'R-7644-3.4.3-03 a string of names');
error_is($s->post('/Users/.search', { schemas => [SEARCH], count => 'x' }), 400, 'invalidValue', undef, 'R-7644-3.4.3-04 wrong types');
status_is($c->post('/Users/.search', { schemas => [SEARCH], count => '2' }), 200, 'R-7644-3.4.3-04 compat: a number in quotes');
is($c->post('/Users/.search', { schemas => [SEARCH], filter => 'title pr', sortBy => 'title', startIndex => 2, count => 1 })->text, $c->get('/Users' . query(filter => 'title pr', sortBy => 'title', startIndex => 2, count => 1))->text, 'R-7644-3.4.3-05 the same as GET');
ok($c->post("$_/.search", { schemas => [SEARCH] })->status =~ /^40[45]$/, "R-7644-3.4.3-06 none at $_") for "/Users/$id{ann}", '/Schemas';

# ---- 24. strings ----

new_user($c, userName => "\x{c5}strand");
error_is($c->post('/Users', user_body(userName => "A\x{30a}STRAND")), 409, 'uniqueness', undef, 'R-7644-5-01 composed and decomposed are one name');
error_is($c->post('/Users', user_body(userName => "\x{ff41}nn")), 409, 'uniqueness', undef, 'R-7644-5-01 so are wide and narrow letters');
is(new_user($c, userName => 'BJensen')->json->{userName}, 'BJensen', 'R-7644-5-02 what was sent is kept');
is(found('userName eq "a\u030astrand"') eq '' ? 0 : 1, 1, 'R-7644-7.8-01 filters prepare as uniqueness does');

# ---- 25. tenants (009_tenants.pl goes into depth) ----

is(join(' ', map { $_->status } $s->get("/Users/$id{ann}"), $s->delete("/Users/$id{ann}"), $s->patch("/Users/$id{ann}", [ { op => 'remove', path => 'title' } ])), '404 404 404', 'R-7644-6-01 another tenant\'s resources do not exist');
error_is($s->post('/Groups', group_body(members => [ { value => $id{ann} } ])), 400, 'invalidValue', undef, 'R-7644-6-01 and are no members');
status_is($s->post('/Users', { schemas => [CORE_USER], userName => 'ann', externalId => 'E1' }), 201, 'R-7644-6-02 names are unique in a tenant');
status_is($s->get('/Users', token => $t->token), 401, 'R-7644-6-03 a token opens its own endpoint only');
unlike($s->get('/Users')->text, qr/E2|Bert/, 'R-7643-9-01 nothing of another tenant is seen');

# ---- 26. security ----

{
	$t->node->append_conf('postgresql.conf', "scim.listen_address = '*'\n");
	$t->node->reload;
	my $note = '';
	for (1 .. 80)
	{
		$note = $t->sql(q{SELECT coalesce(string_agg(note, ' '), '') FROM scim.workers});
		last if $note =~ /TLS|tls|insecure/;
		sleep 0.1;
	}
	like($note, qr/tls|insecure/i, 'R-7644-7-01 off loopback it wants TLS');
	$t->node->append_conf('postgresql.conf', "scim.listen_address = '127.0.0.1'\n");
	$t->node->reload;
	$t->wait_listening;
}
$t->sql(q{SELECT scim.alter_endpoint('acme', '{"sensitive":["emails"]}')});
error_is($c->filter('/Users', 'emails.value eq "x"'), 403, 'sensitive', undef, 'R-7644-7-02 a filter that must not be in a URL');
status_is($c->post('/Users/.search', { schemas => [SEARCH], filter => 'emails.value eq "x"' }), 200, 'R-7644-7-02 by POST');
$t->sql(q{SELECT scim.alter_endpoint('acme', '{"sensitive":null,"requestsPerSecond":3}')});
my @status = map { $c->get('/Users?count=0')->status } 1 .. 40;
ok((grep { $_ == 200 } @status) && (grep { $_ == 429 } @status), 'R-7644-7-04 rates are limited');
$t->sql(q{SELECT scim.alter_endpoint('acme', '{"requestsPerSecond":1}')});
($r) = grep { $_->status == 429 } map { $c->get('/Users?count=0') } 1 .. 10;
error_is($r, 429, undef, undef, 'R-7644-3.12-07 429');
is($r->header('retry-after'), '1', 'R-7644-7-04 with Retry-After');
$t->sql(q{SELECT scim.alter_endpoint('acme', '{"requestsPerSecond":null}')});
unlike(join("\n", grep { !/ statement: / } split(/\n/, $t->log_text)), qr/userName%20|userName eq|ann\@a/, 'R-7644-7-03 no filter is in the log');
is(join(' ', map { $c->filter('/Users', $_)->status } q{userName eq "'||(SELECT 1)||'"}, q{userName eq "\\"; SELECT 1; --"}, q{emails[type eq "');"]}), '200 200 200', 'R-7644-7-06 input is no SQL');
my $victim = new_user($c)->id;
$c->patch("/Users/$victim", [ { op => 'add', path => 'title', value => 'x' } ]);
is($t->sql("SELECT token || ' ' || method || ' ' || status || ' ' || attributes::text FROM scim.audit_log WHERE resource_id = '$victim' ORDER BY at DESC LIMIT 1"), 'test PATCH 200 {title}', 'R-7644-7-07 every write is attributable');

$t->no_crash;
done_testing();
