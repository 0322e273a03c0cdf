# 028_pages.pl - lists by startIndex over HTTP, where the listener remembers
# where pages ended and how many there are: every resource once, whatever comes
# and goes meanwhile, and totals that are right at once.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use ScimTest;
use Test::More;

ScimTest->watchdog(120);

my $t = ScimTest->start(listeners => 1);
$t->create_endpoint($_, base_path => "/t/$_") for 'a', 'b';
my $a = $t->client(base_path => '/t/a', token => $t->create_token('a'));
my $b = $t->client(base_path => '/t/b', token => $t->create_token('b'));

# Ids that tell where a user stands.
sub id_of { return sprintf('%08d-0000-4000-8000-000000000000', shift) }

sub add
{
	my ($tenant, @n) = @_;
	$t->sql(join('', map { "INSERT INTO scim.users (tenant, id, user_name, title) VALUES ('$tenant', '" . id_of($_) . "', 'u$_', CASE WHEN $_ % 2 = 0 THEN 'even' END);" } @n));
}

sub page
{
	my ($client, $start, $count, $more) = @_;
	my $r = $client->get("/Users?attributes=userName&startIndex=$start&count=$count" . ($more // ''));
	status_is($r, 200, "page from $start") or BAIL_OUT($r->text);
	return ($r->json->{totalResults}, map { substr($_->{userName}, 1) } @{ $r->json->{Resources} });
}

add('a', map { $_ * 10 } 1 .. 50);
add('b', map { $_ * 10 } 1 .. 7);

subtest 'a walk' => sub {
	my @seen;
	for (my $start = 1; $start <= 50; $start += 7)
	{
		my ($total, @page) = page($a, $start, 7);
		is($total, 50, 'the total');
		push @seen, @page;
	}
	is("@seen", join(' ', map { $_ * 10 } 1 .. 50), 'each once, in order');
};

subtest 'jumps, behind a place that is known and not' => sub {
	is((page($a, 15, 2))[1], 150, 'the first of the third page');
	is(join(' ', page($a, 20, 3)), '50 200 210 220', 'in the middle of one');
	is(join(' ', page($a, 3, 2)), '50 30 40', 'back');
	is(join(' ', page($a, 49, 10)), '50 490 500', 'the last');
	is(join(' ', page($a, 51, 10)), '50', 'behind it');
	is(join(' ', page($a, 1000, 10)), '50', 'far behind it');
};

subtest 'another tenant, another filter, another order' => sub {
	is(join(' ', page($b, 4, 2)), '7 40 50', 'the other tenant');
	is(join(' ', page($b, 6, 2)), '7 60 70', 'and on');
	is(join(' ', page($a, 6, 2, '&filter=title%20eq%20%22even%22')), '50 60 70', 'with a filter');
	is(join(' ', page($a, 8, 2, '&filter=title%20pr')), '50 80 90', 'with another');
	is(join(' ', page($a, 3, 1, '&filter=userName%20co%20%225%22')), '6 250', 'with one that fewer fulfil');
	is(join(' ', page($a, 2, 2, '&sortBy=userName&sortOrder=descending')), '50 80 70', 'sorted');
	is(join(' ', page($a, 4, 2, '&sortBy=userName&sortOrder=descending')), '50 60 500', 'sorted, and on');
};

subtest 'totals are right at once' => sub {
	is((page($a, 1, 5))[0], 50, 'before');
	add('a', 601, 602);
	is((page($a, 6, 5))[0], 52, 'after an INSERT in SQL');
	status_is($a->post('/Users', { schemas => [CORE_USER], userName => 'posted' }), 201, 'a POST');
	is((page($a, 11, 5))[0], 53, 'after a POST');
	$t->sql("DELETE FROM scim.users WHERE user_name IN ('u601', 'u602', 'posted')");
	is((page($a, 16, 5))[0], 50, 'after a DELETE');
	$t->sql("BEGIN; DELETE FROM scim.users WHERE tenant = 'a'; ROLLBACK");
	is((page($a, 21, 5))[0], 50, 'after what was rolled back');
	is((page($b, 1, 1))[0], 7, 'of the other tenant');
	is($a->get('/Users?count=0')->json->{totalResults}, 50, 'no page at all');
	# a transaction that is not over yet, seen when it is
	my $session = $t->node->background_psql('postgres');
	$session->query_safe("BEGIN; INSERT INTO scim.users (tenant, user_name) VALUES ('a', 'slow')");
	is((page($a, 1, 5))[0], 50, 'before the end of a transaction');
	is((page($a, 1, 5))[0], 50, 'and once more');
	$session->query_safe('COMMIT');
	$session->quit;
	is((page($a, 1, 5))[0], 51, 'after it');
	$t->sql("DELETE FROM scim.users WHERE user_name = 'slow'");
};

subtest 'who walks sees what stays, once' => sub {
	my @seen;
	my (undef, @page) = page($a, 1, 10);
	push @seen, @page;
	# before the place where the walk is: rows of its first page go, others come
	$t->sql("DELETE FROM scim.users WHERE tenant = 'a' AND user_name IN ('u10', 'u20', 'u30')");
	add('a', 15, 16);
	for (my $start = 11; $start <= 41; $start += 10)
	{
		push @seen, (page($a, $start, 10))[1 .. 10];
	}
	is(join(' ', grep { defined } @seen), join(' ', map { $_ * 10 } 1 .. 50), 'nobody left out, nobody twice');
	is(join(' ', page($a, 1, 4)), '49 15 16 40 50', 'the first page as it is now');
	is(join(' ', page($a, 5, 2)), '49 60 70', 'and the one behind it');
};

subtest 'totals while many write' => sub {
	my $stop = $t->node->data_dir . '/stop';
	my $totals = q{BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT (SELECT count(*) FROM scim.users WHERE tenant = 'a') || ' ' || (SELECT body::jsonb ->> 'totalResults' FROM scim.handle('a', 'GET', '/Users?count=1')); COMMIT};
	my @writers = fork_clients(4, sub {
		my ($i) = @_;
		my $n = 0;
		my $client = $t->client(base_path => '/t/a', token => $a->{token});
		my $session = $t->node->background_psql('postgres');
		while (!-e $stop)
		{
			my $name = "w$i-" . ++$n;
			my $r = $client->post('/Users', { schemas => [CORE_USER], userName => $name });
			$client->delete('/Users/' . $r->id) if $n % 3 == 0;
			$session->query_safe("BEGIN; INSERT INTO scim.users (tenant, user_name) VALUES ('a', 'x$name'), ('a', 'y$name'), ('b', '$name'); "
				  . "SAVEPOINT s; DELETE FROM scim.users WHERE user_name LIKE 'x$i-_'; " . ($n % 2 ? 'ROLLBACK TO s; ' : '') . ($n % 5 ? 'COMMIT' : 'ROLLBACK'));
		}
		$session->quit;
	});
	my $reader = $t->node->background_psql('postgres');
	my (%wrong, %seen);
	for (1 .. 400)
	{
		my ($is, $said) = split(/ /, $reader->query_safe($totals));
		$seen{$is} = 1;
		$wrong{"$said instead of $is"} = 1 if $is ne $said;
	}
	open(my $file, '>', $stop);
	close($file);
	is(wait_children(@writers), 0, 'the writers come to their end');
	is(join(', ', sort keys %wrong), '', 'in each snapshot the total is what there is');
	cmp_ok(scalar(keys %seen), '>', 20, 'of several times');
	is((page($_, 1, 1))[0], $t->sql("SELECT count(*) FROM scim.users WHERE tenant = '" . ($_ == $a ? 'a' : 'b') . q{'}), 'and the listener knows it, too') for $a, $b;
	$t->sql('TRUNCATE scim.users CASCADE');
	is($reader->query_safe($totals), '0 0', 'after TRUNCATE');
	is((page($a, 1, 1))[0], 0, 'there are none, says the listener, too');
	$reader->quit;
	cmp_ok($t->sql('SELECT count(*) FROM scim._growth'), '<', 1000, 'notes do not pile up');
};

subtest 'after a crash' => sub {
	add('a', 1 .. 10);
	is((page($a, 1, 1))[0], 10, 'before it');
	$t->node->stop('immediate');
	$t->node->start;
	$t->wait_listening;
	is((page($a, 1, 1))[0], 10, 'after it');
	add('a', 11, 12);
	is((page($a, 1, 1))[0], 12, 'and on');
	is($t->sql('SELECT sum(rows) FROM scim._growth'), '2', 'what was noted before is forgotten');
};

done_testing();
