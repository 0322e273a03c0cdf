# 037_operate.pl - what an operator relies on: how long logs are kept, what is
# counted and not logged, what is tried again, and that discovery says what the
# settings are.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use ScimTest;
use ScimRegister;
use Test::More;
use Time::HiRes qw(sleep);

ScimTest->watchdog(110);

my $t = ScimTest->start(listeners => 1, conf => "scim.audit_retention = 30\nscim.request_log_retention = 5\n");
my $c = $t->client;
my $r;

# Settings of all listeners, from the next request on.
sub set
{
	my ($check, %settings) = @_;
	$t->node->append_conf('postgresql.conf', join('', map { "$_ = '$settings{$_}'\n" } sort keys %settings));
	$t->node->reload;
	for (1 .. 50)
	{
		return if eval { $check->() };
		sleep 0.1;
	}
	fail('the settings ' . join(', ', %settings) . ' are not taken up');
}

sub config { return get_ok($c, '/ServiceProviderConfig') }

# ---- retention ----

{
	my $endpoint = q{(SELECT id FROM scim._endpoints WHERE name = 'acme')};
	$t->sql(qq{INSERT INTO scim._audit (at, request, endpoint_id, endpoint, owner, caller, method, attributes, status, duration_ms)
		SELECT now() - make_interval(days => d), gen_random_uuid(), $endpoint, 'acme', 'scim_store', 'postgres', 'POST', '{}', 200, 1 FROM unnest('{365,31,30,29}'::int[]) d});
	# a row for each operation
	my @operations = map { { method => 'DELETE', path => "/Users/nobody$_" } } 1 .. 300;
	$c->post('/Bulk', { schemas => [BULK], Operations => \@operations });
	is($t->sql(q{SELECT string_agg(extract(day FROM now() - at)::text, ' ' ORDER BY at) FROM scim.audit_log WHERE at < now() - interval '1 day'}), '29', 'scim.audit_log loses what is older than scim.audit_retention');
	is($t->sql(q{SELECT count(*) FROM scim.audit_log WHERE at > now() - interval '1 day'}), '300', 'and nothing else');

	# rows that another transaction is about to delete are not waited for
	$t->sql(qq{INSERT INTO scim._audit (at, request, endpoint_id, endpoint, owner, caller, method, attributes, status, duration_ms)
		SELECT now() - interval '31 days', gen_random_uuid(), $endpoint, 'acme', 'scim_store', 'postgres', 'POST', '{}', 200, 1});
	my $other = $t->node->background_psql('postgres');
	$other->query_safe(q{BEGIN; DELETE FROM scim._audit WHERE at < now() - interval '30 days'});
	$r = $c->post('/Bulk', { schemas => [BULK], Operations => \@operations });
	is($r->status . ' ' . @{ $r->json->{Operations} || [] }, '200 300', 'who deletes them at the same time is not waited for');
	$other->query_safe('ROLLBACK');
	$other->quit;

	my ($rc, undef, $error) = $t->try_sql('UPDATE scim._audit SET status = 200');
	like($error, qr/can only be appended to/, 'it can only be appended to');

	$t->sql(q{SELECT scim.alter_endpoint('acme', '{"requestLog": true}')});
	$c->get('/Users');
	$t->sql(q{UPDATE scim._requests SET at = now() - interval '6 days'});
	$c->get('/Users?count=1') for 1 .. 70;
	is($t->sql(q{SELECT count(*) FILTER (WHERE at < now() - interval '5 days') || ' ' || count(*) FROM scim.request_log}), '0 70', 'scim.request_log loses what is older than scim.request_log_retention');
	$t->sql(q{SELECT scim.alter_endpoint('acme', '{"requestLog": null}')});
	$c->get('/Users');
	is($t->sql('SELECT count(*) FROM scim.request_log'), '70', 'without the option nothing is kept');
}

# ---- who is not let in is counted ----

{
	my $count = q{SELECT sum(unauthorized) FROM scim.workers};
	my $before = $t->sql($count);
	my $rows = $t->sql('SELECT count(*) FROM scim.audit_log');
	status_is($t->client(token => $_)->post('/Users', user_body(userName => 'x')), 401, 'not let in') for undef, 'x', $t->token . 'x';
	status_is($t->client(base_path => '/nowhere')->get('/Users'), 401, 'nor elsewhere');
	is($t->sql($count) - $before, 4, 'scim.workers counts failed authentications');
	is($t->sql('SELECT count(*) FROM scim.audit_log'), $rows, 'and no row is written for them');
}

# ---- serialization failures and deadlocks are tried again ----

$t->sql(<<'SQL');
CREATE SEQUENCE tries;
CREATE FUNCTION fail_at_first() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
	code text := split_part(NEW.title, ' ', 2);
BEGIN
	IF nextval('public.tries') <= split_part(NEW.title, ' ', 3)::int THEN
		RAISE EXCEPTION 'by the test' USING ERRCODE = code;
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER fail_at_first BEFORE UPDATE ON scim.users FOR EACH ROW WHEN (NEW.title LIKE 'fail %') EXECUTE FUNCTION fail_at_first();
SQL
for my $code ('40001', '40P01')
{
	my $path = '/Users/' . new_user($c, title => 'before')->id;
	my $try = sub {
		my ($times) = @_;
		$t->sql('ALTER SEQUENCE tries RESTART');
		return $c->patch($path, [ { op => 'replace', path => 'title', value => "fail $code $times" } ]);
	};
	status_is($try->($_), 200, "$code, $_ times: tried again until it is done") for 1 .. 3;
	my $title = get_ok($c, $path)->{title};
	$r = $try->(99);
	error_is($r, 503, undef, undef, "$code for ever: 503");
	like($r->header('retry-after') // '', qr/^\d+$/, 'with Retry-After');
	is($t->sql('SELECT last_value FROM tries'), '4', 'after three more tries');
	is(get_ok($c, $path)->{title}, $title, 'and nothing is stored');
	is($t->sql(q{SELECT array_agg(status ORDER BY at) FROM scim.audit_log WHERE method = 'PATCH' AND resource_id = '} . ($path =~ s/.*\///r) . q{'}), '{200,200,200,503}', 'the audit has a row a request, not a try');
}
$t->sql('DROP TRIGGER fail_at_first ON scim.users');

# ---- settings change while clients work ----

# Clients on kept connections and on new ones; those that got another answer
# than 200, as text.
sub clients_while
{
	my ($kept, $change) = @_;
	my $stop = $t->node->data_dir . '/stop';
	my $failures = $t->node->data_dir . '/failures';
	unlink($stop, $failures);
	my @pids = fork_clients(4, sub {
		my ($i) = @_;
		my $n = 0;
		my $client = $t->client(keep_alive => $kept);
		while (!-e $stop || $n < 20)
		{
			my $answer = $client->get('/Users?count=1');
			$n++;
			next if $answer->status == 200;
			open(my $file, '>>', $failures);
			print $file "client $i, request $n: " . $answer->status . ' ' . $answer->text . "\n";
			close($file);
		}
	});
	$change->();
	open(my $file, '>', $stop);
	close($file);
	is(wait_children(@pids), 0, 'the clients come to their end');
	return -e $failures ? PostgreSQL::Test::Utils::slurp_file($failures) : '';
}

sub change
{
	my ($name, @values) = @_;
	for (1 .. 5)
	{
		for my $value (@values)
		{
			$t->node->append_conf('postgresql.conf', "$name = '$value'");
			$t->node->reload;
			sleep 0.05;
		}
	}
	return;
}

my $started = $t->sql('SELECT string_agg(pid::text, $$ $$ ORDER BY pid) FROM scim.workers');
is(clients_while(1, sub { change('scim.max_body_size', '2MB', '1MB'); change('scim.idle_timeout', '61s', '60s') }), '', 'limits change without a connection being closed');
is(clients_while(0, sub { change('scim.max_connections_per_address', '90', '100') }), '', 'what needs a new HTTP side changes without a client being turned away');
is($t->sql('SELECT string_agg(pid::text, $$ $$ ORDER BY pid) FROM scim.workers'), $started, 'by the same processes');

{
	my $stranger = $t->client(token => 'wrong', local => '127.0.0.77');
	my $statuses = sub { my ($n) = @_; return join(' ', map { $stranger->get('/Users')->status } 1 .. $n) };
	# with a setting that shows that it is taken up
	my $failures = sub {
		my ($n, $page_size) = @_;
		set(sub { config()->{pagination}{defaultPageSize} == $page_size }, 'scim.max_auth_failures' => $n, 'scim.page_size' => $page_size);
	};
	$failures->(3, 98);
	is($statuses->(5), '401 401 401 429 429', 'scim.max_auth_failures: after so many an address has to wait');
	$failures->(0, 99);
	is($statuses->(5), '401 401 401 401 401', 'with 0 it never has to');
	$failures->(1000, 100);
}

# ---- memory is given back ----

{
	my ($pid) = $t->listener_pids;
	my $memory = sub { return PostgreSQL::Test::Utils::slurp_file("/proc/$pid/status") =~ /^RssAnon:\s+(\d+) kB/m ? $1 : die 'no RssAnon' };
	$t->sql(q{INSERT INTO scim.users (tenant, user_name, profile_url) SELECT 'acme', 'm' || i, 'https://example.com/' || repeat('x', 2500) FROM generate_series(1, 1000) i});
	get_ok($c, '/Users?count=1&startIndex=2');
	sleep 2.5;
	my $before = $memory->();
	my $list = get_ok($c, '/Users?count=1000');
	is(scalar(@{ $list->{Resources} }), 1000, 'a page of 2.7 MB');
	my $after;
	for (1 .. 50)
	{
		sleep 0.1;
		$after = $memory->();
		last if $after < $before + 1000;
	}
	cmp_ok($after, '<', $before + 1000, 'what it took is given back, though nobody asks for anything more');
	$t->sql(q{DELETE FROM scim.users WHERE user_name LIKE 'm%'});
}

# ---- discovery says what the settings are, and they hold ----

$t->sql(q{INSERT INTO scim.users (tenant, user_name) SELECT 'acme', 'd' || i FROM generate_series(1, 30) i});
is(join(' ', @{ config()->{bulk} }{qw(maxOperations maxPayloadSize)}, config()->{filter}{maxResults}, @{ config()->{pagination} }{qw(defaultPageSize maxPageSize cursorTimeout)}), '1000 1048576 1000 100 1000 3600', 'the limits as they are at first');
set(sub { config()->{filter}{maxResults} == 7 }, 'scim.max_page_size' => 7, 'scim.page_size' => 5, 'scim.cursor_timeout' => '120s', 'scim.max_body_size' => '8kB');
is(join(' ', config()->{bulk}{maxPayloadSize}, config()->{filter}{maxResults}, @{ config()->{pagination} }{qw(defaultPageSize maxPageSize cursorTimeout)}), '8192 7 5 7 120', 'and as they are set');
is(get_ok($c, '/Users')->{itemsPerPage}, 5, 'a page is of that size');
is(get_ok($c, '/Users?count=500')->{itemsPerPage}, 7, 'at most of that');
is(get_ok($c, '/Users?cursor&count=500')->{itemsPerPage}, 7, 'by cursor, too');
for my $path ('/Bulk', '/Users')
{
	error_is($c->post($path, ' ' x 8193), 413, undef, undef, "$path: a body is of that size at most");
	error_is($c->post($path, '{' . ' ' x 8190 . '}'), 400, undef, undef, "$path: one of that size is read");
}
{
	my $next = get_ok($c, '/Users?cursor&count=2')->{nextCursor};
	set(sub { config()->{pagination}{cursorTimeout} == 1 }, 'scim.cursor_timeout' => '1s');
	status_is($c->get("/Users?count=2&cursor=$next"), 200, 'a cursor is good for as long as was said when it was made');
	$next = get_ok($c, '/Users?cursor&count=2')->{nextCursor};
	sleep 2.1;
	error_is($c->get("/Users?count=2&cursor=$next"), 400, 'expiredCursor', undef, 'and no longer');
}
$t->sql(q{SELECT scim.alter_endpoint('acme', '{"patch": false, "bulk": false, "sort": false, "pagination": false}')});
$r = config();
is(join(' ', map { ref $r->{$_} ? $r->{$_}{supported} ? 'yes' : 'no' : 'absent' } qw(patch bulk sort pagination filter etag)), 'no no no absent yes yes', 'what is switched off is shown so');
is(join(' ', map { $_->status } $c->patch('/Users/x', []), $c->post('/Bulk', {}), $c->get('/Users?sortBy=userName&sortOrder=descending')), '501 501 200', 'and is so');
ok(!(grep { $_->{name} eq 'password' } @{ get_ok($c, '/Schemas/' . CORE_USER)->{attributes} }), 'the schema has no attribute that nobody keeps');

$t->no_crash;
done_testing();
