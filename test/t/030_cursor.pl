# 030_cursor.pl - paging by cursor (RFC 9865): a walk while resources come and
# go, what a cursor is bound to, what it gives away, how it ends.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use ScimTest;
use Test::More;
use Time::HiRes qw(sleep);

ScimTest->watchdog(200);

my $t = ScimTest->start(listeners => 2, conf => "scim.cursor_timeout = 600\nautovacuum = off\n");
my $c = $t->client;

# A page of a list; dies unless it is 200.
sub page
{
	my ($path, %params) = @_;
	my $r = $c->get($path . query(%params));
	die $r->status . ' ' . $r->text . "\n" if $r->status != 200;
	return $r->json;
}

sub names { return map { $_->{userName} // $_->{displayName} } @{ $_[0]->{Resources} } }

# All pages in one direction, as lists of names.
sub walk
{
	my ($path, %params) = @_;
	my @pages;
	my $cursor = '';
	while (defined $cursor)
	{
		my $json = page($path, %params, cursor => $cursor);
		push @pages, $json;
		$cursor = $json->{nextCursor};
		last if @pages > 1000;
	}
	return @pages;
}

# ---- 20,000 users, 50 leave and 50 come during the walk ----

$t->sql(q{INSERT INTO scim.users (tenant, user_name, title)
	SELECT 'acme', 'u' || i, CASE WHEN i % 7 = 0 THEN NULL ELSE 'title ' || i % 100 END FROM generate_series(1, 20000) i});
$t->sql('ANALYZE scim.users');

for my $case ([ 'by id' ], [ 'by userName', sortBy => 'userName' ], [ 'by title, descending', sortBy => 'title', sortOrder => 'descending' ],
	[ 'with a filter', filter => 'userName sw "u"', sortBy => 'meta.created' ])
{
	my ($what, %params) = @$case;
	my %before = map { $_ => 1 } split(/\n/, $t->sql(q{SELECT user_name FROM scim.users}));
	my ($child) = fork_clients(1, sub {
		my $other = $t->client;
		for my $i (1 .. 50)
		{
			my $victim = $t->sql(q{SELECT id FROM scim.users WHERE user_name !~ 'new-} . $what . q{' ORDER BY random() LIMIT 1});
			die 'delete' if $other->delete("/Users/$victim")->status != 204;
			die 'create' if $other->post('/Users', { schemas => [CORE_USER], userName => "u-new-$what-$i", title => 'title ' . $i })->status != 201;
		}
	});
	my (%seen, $pages, $startless, $wrong_size);
	my $cursor = '';
	while (defined $cursor)
	{
		my $json = page('/Users', %params, count => 400, attributes => 'userName', cursor => $cursor);
		$seen{$_}++ for names($json);
		$startless++ if !exists $json->{startIndex};
		$wrong_size++ if $json->{itemsPerPage} != @{ $json->{Resources} };
		$pages++;
		$cursor = $json->{nextCursor};
	}
	is(wait_children($child), 0, "$what: the others have done their work meanwhile");
	my %after = map { $_ => 1 } split(/\n/, $t->sql(q{SELECT user_name FROM scim.users}));
	my @stayed = grep { $after{$_} } keys %before;
	is(scalar(@stayed), 19950, "$what: 50 have left");
	is(scalar(grep { ($seen{$_} // 0) != 1 } @stayed), 0, "$what: R-9865-2-07 every user that stayed was seen exactly once ($pages pages)");
	is(scalar(grep { $_ > 1 } values %seen), 0, "$what: nobody was seen twice");
	is($startless, $pages, "$what: R-9865-2-08 startIndex is in no page");
	ok(!$wrong_size, "$what: itemsPerPage counts the resources");
	is(scalar(grep { !$before{$_} && !$after{$_} } keys %seen), 0, "$what: and nobody that never was");
}

# ---- there and back ----

$t->sql(q{DELETE FROM scim.users});
$t->sql(q{INSERT INTO scim.users (tenant, user_name, title)
	SELECT 'acme', 'u' || i, CASE WHEN i % 3 = 0 THEN NULL ELSE 'T' || i % 5 END FROM generate_series(1, 25) i});
$t->sql(q{INSERT INTO scim.groups (tenant, display_name) SELECT 'acme', 'g' || i FROM generate_series(1, 7) i});
for my $case ([ '/Users', 25 ], [ '/Users', 25, sortBy => 'title' ], [ '/Users', 25, sortBy => 'title', sortOrder => 'descending' ],
	[ '/Users', 25, sortBy => 'emails.value' ], [ '/Users', 25, sortBy => 'meta.lastModified' ], [ '/', 32 ], [ '/', 32, sortBy => 'title' ],
	[ '/', 32, sortBy => 'title', sortOrder => 'descending' ], [ '/', 32, sortBy => 'meta.created' ], [ '/', 32, sortBy => 'id', sortOrder => 'descending' ])
{
	my ($path, $total, %params) = @$case;
	my $what = join(' ', $path, map { $params{$_} // () } qw(sortBy sortOrder));
	my @pages = walk($path, %params, count => 10);
	my @all = map { names($_) } @pages;
	is(join(' ', @all), join(' ', names(page($path, %params, count => 100))), "$what: R-9865-2.2-01 the order is that of a list by index");
	is(scalar(@all), $total, "$what: all of them");
	is(scalar(grep { $_->{totalResults} != $total } @pages), 0, "$what: R-9865-2-06 totalResults on every page");
	is(join(',', map { $_->{nextCursor} ? 1 : 0 } @pages), join(',', (1) x (@pages - 1), 0), "$what: R-9865-2-03 nextCursor on every page but the last");
	is(join(',', map { $_->{previousCursor} ? 1 : 0 } @pages), join(',', 0, (1) x (@pages - 1)), "$what: R-9865-2-04 previousCursor on every page but the first");
	is(scalar(grep { $_ && $_ !~ /^[A-Za-z0-9._~-]+$/ } map { ($_->{nextCursor}, $_->{previousCursor}) } @pages), 0, "$what: R-9865-2-02 unreserved characters");

	my @back = ($pages[-1]);
	while (defined(my $cursor = $back[0]{previousCursor}))
	{
		unshift @back, page($path, %params, count => 10, cursor => $cursor);
		last if @back > 20;
	}
	is(join('|', map { join ' ', names($_) } @back), join('|', map { join ' ', names($_) } @pages), "$what: the same pages backward");
	is(join(' ', names(page($path, %params, count => 10, cursor => $back[0]{nextCursor}))), join(' ', names($pages[1])), "$what: and forward again");
}

# A page whose place has lost all that was there leads back to what is left.
{
	my $first = page('/Users', count => 20, cursor => '', sortBy => 'userName');
	my $last = page('/Users', count => 20, cursor => $first->{nextCursor}, sortBy => 'userName');
	my @ids = map { $_->{id} } @{ $last->{Resources} };
	$t->sql(sprintf q{DELETE FROM scim.users WHERE id IN (%s)}, join(',', map { "'$_'" } @ids));
	my $empty = page('/Users', count => 20, cursor => $first->{nextCursor}, sortBy => 'userName');
	is($empty->{itemsPerPage}, 0, 'what came after the place has gone');
	ok(!exists $empty->{nextCursor}, 'that is the end');
	my $back = page('/Users', count => 20, cursor => $empty->{previousCursor}, sortBy => 'userName');
	is(join(' ', names($back)), join(' ', names($first)), 'and the way back leads to what is left');
}

# ---- what a cursor is bound to ----

my %q = (count => 5, sortBy => 'userName', filter => 'userName pr', attributes => 'userName');
my $next = page('/Users', %q, cursor => '')->{nextCursor};
status_is($c->get('/Users' . query(%q, cursor => $next)), 200, 'R-9865-2-01 a cursor continues its query');
list_like($c->get('/Users?cursor&count=5'), 'R-9865-2-01 "cursor" without a value starts one');
status_is($c->get('/Users' . query(%{ { %q, filter => 'userName  PR' } }, cursor => $next)), 200, 'the filter is the same in another spelling');

sub list_like
{
	my ($r, $name) = @_;
	ok($r->status == 200 && $r->json->{nextCursor}, $name) or diag($r->text);
	return;
}

my $wording;
for my $case (
	[ 'another filter', filter => 'title pr' ], [ 'no filter', filter => undef ], [ 'another order', sortBy => 'title' ],
	[ 'another direction', sortOrder => 'descending' ], [ 'other attributes', attributes => 'title' ])
{
	my ($what, %other) = @$case;
	my %p = (%q, %other);
	delete $p{$_} for grep { !defined $p{$_} } keys %p;
	my $r = $c->get('/Users' . query(%p, cursor => $next));
	error_is($r, 400, 'invalidCursor', undef, "R-9865-2-09 $what: invalidCursor");
	$wording //= $r->text;
	is($r->text, $wording, "R-9865-2.1-01 $what: in the same words");
}
$t->create_endpoint('other', base_path => '/other');
$t->sql(q{INSERT INTO scim.users (tenant, user_name) SELECT 'other', 'o' || i FROM generate_series(1, 25) i});
my $other = $t->client(base_path => '/other', token => $t->create_token('other'));
list_like($other->get('/Users?cursor&count=5'), 'another endpoint has cursors, too');
for my $case ([ 'garbage', 'zzz' ], [ 'a quarter of one', substr($next, 0, 60) ], [ 'one with something behind it', $next . 'A' ],
	[ 'another alphabet', '!!!!' ], [ 'a long one', 'A' x 5000 ])
{
	my $r = $c->get('/Users' . query(%q, cursor => $case->[1]));
	is($r->text, $wording, "R-9865-2.1-01 $case->[0]: invalidCursor, in the same words");
}
{
	my $r = $other->get('/Users' . query(%q, cursor => $next));
	is($r->status . $r->text, '400' . $wording, 'R-9865-5-01 the cursor of another endpoint');
	$r = $c->get('/Groups' . query(count => 5, cursor => page('/Users', count => 5, cursor => '')->{nextCursor}));
	is($r->text, $wording, 'R-9865-5-01 the cursor of another resource type');
	is($t->client(token => 'scim_' . 'x' x 43)->get('/Users' . query(%q, cursor => $next))->status, 401, 'R-9865-5-01 a cursor is no credential');
	my @bad = grep {
		my $flipped = $next;
		substr($flipped, $_, 1) = substr($flipped, $_, 1) eq 'A' ? 'B' : 'A';
		$c->get('/Users' . query(%q, cursor => $flipped))->text ne $wording;
	} 0 .. length($next) - 1;
	is("@bad", '', 'R-9865-5-02 with any one character changed');
	my $bytes = $next =~ tr{-_}{+/}r;
	require MIME::Base64;
	unlike(MIME::Base64::decode_base64($bytes . '=='), qr/u\d|[0-9a-f]{8}-/, 'R-9865-5-02 it holds no value in clear');
	my %lengths = map { length(page('/Users', %q, count => $_, cursor => '')->{nextCursor}) => 1 } 1 .. 9;
	is(scalar(keys %lengths), 1, 'nor does its length tell one');
}

# ---- count, startIndex ----

error_is($c->get('/Users?cursor=&count=abc'), 400, 'invalidCount', undef, 'R-9865-2.1-03 a count that is no number');
error_is($c->get('/Users' . query(%{ { %q, count => 6 } }, cursor => $next)), 400, 'invalidCount', undef, 'R-9865-2.1-03 another count than before');
error_is($c->get('/Users?cursor=&startIndex=1'), 400, 'invalidValue', undef, 'R-9865-2-08 startIndex beside a cursor');
for my $n (0, -3)
{
	my $json = page('/Users', count => $n, cursor => '');
	is(json_bytes([ $json->{itemsPerPage}, $json->{Resources}, exists $json->{nextCursor} ? 1 : 0 ]), '[0,[],0]', "R-9865-2-05 count=$n: the total only");
}
is(page('/Users', count => 100000, cursor => '')->{itemsPerPage}, 20, 'a count over the maximum is reduced');
ok(!exists page('/Users', count => 5)->{nextCursor}, 'R-9865-2.3-01 without "cursor" there is none');
ok(exists page('/Users', count => 5)->{startIndex}, 'R-9865-2.4-01 but startIndex');

# ---- .search ----

{
	my $search = { schemas => ['urn:ietf:params:scim:api:messages:2.0:SearchRequest'], cursor => '', count => 5, sortBy => 'userName' };
	my $r = $c->post('/Users/.search', $search);
	status_is($r, 200, 'R-9865-3-01 SearchRequest takes a cursor');
	my $second = $c->post('/Users/.search', { %$search, cursor => $r->json->{nextCursor} });
	is(join(' ', names($second->json)), join(' ', names(page('/Users', count => 5, startIndex => 6, sortBy => 'userName'))), 'R-9865-3-01 and continues');
	status_is($c->post('/.search', { %$search, sortBy => undef }), 200, 'on the base, too');
}

# ---- advertised; expired; keys ----

my $config = $c->get('/ServiceProviderConfig')->json->{pagination};
is(json_bytes($config), '{"cursor":true,"cursorTimeout":600,"defaultPageSize":100,"defaultPaginationMethod":"index","index":true,"maxPageSize":1000}',
	'R-9865-4-01 ServiceProviderConfig says so');
$t->node->append_conf('postgresql.conf', "scim.cursor_timeout = 1\n");
$t->node->reload;
$t->wait_listening;
for (1 .. 50)
{
	last if $c->get('/ServiceProviderConfig')->json->{pagination}{cursorTimeout} == 1;
	sleep 0.1;
}
$next = page('/Users', %q, cursor => '')->{nextCursor};
sleep 1.2;
error_is($c->get('/Users' . query(%q, cursor => $next)), 400, 'expiredCursor', undef, 'R-9865-2.1-02 an old cursor');
is($t->sql('SELECT count(*) FROM scim._cursor_keys'), '2', 'R-9865-5-03 what the server keeps is a key for each endpoint');
{
	my $dump = PostgreSQL::Test::Utils::slurp_file(do {
		my $file = $t->node->basedir . '/dump.sql';
		$t->node->command_ok([ 'pg_dump', '-f', $file, '-d', $t->node->connstr('postgres') ], 'pg_dump');
		$file;
	});
	unlike($dump, qr/_cursor_keys/, 'which are in no dump');
}
$t->no_crash;
done_testing();
