# 016_sync_trouble.pl - a target that is down, that revokes the token, that
# refuses some rows; a sync that is paused, a worker that ends, and objects that
# are dropped while they are in use.  And the secret, which is nowhere.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use ScimPeer;
use ScimSync;
use ScimTest;
use Test::More;
use Time::HiRes qw(sleep time);

use PostgreSQL::Test::Utils ();

ScimTest->watchdog(270);
my ($false, $true) = (FALSE, TRUE);

my $s = ScimSync->start(conf => "shared_preload_libraries = 'pg_stat_statements'\nlog_min_duration_statement = 0\nlog_error_verbosity = verbose\n", preload => 0);
my $t = $s->t;
# with the workers, and with what might keep a text
$t->node->append_conf('postgresql.conf', "shared_preload_libraries = 'scim,pg_stat_statements'\n");
$t->node->restart;
$t->wait_listening;
$s->sql('CREATE EXTENSION pg_stat_statements');

sub state_of { my ($name) = @_; return $s->sql("SELECT state FROM scim.syncs WHERE name = '$name'") }

# ---- a target that is down ----

{
	my $dir = PostgreSQL::Test::Utils::tempdir();
	my $up = ScimPeer->start(token => CANARY);
	my $down = ScimPeer->start(token => CANARY, state => "$dir/state");
	my $port = $down->port;

	$s->mapped_table('outage', 20);
	$s->start_sync('up', $up, mapping => 'outage');
	$s->start_sync('down', $down, mapping => 'outage');
	ok($s->settled('up') && $s->settled('down'), 'both settle');
	$down->stop;
	$s->sql("UPDATE hr.outage SET job_title = 'One'");
	$s->becomes_same($up, 'outage', 'the other target', 5);
	ok($s->poll("SELECT state, reason IS NOT NULL FROM scim.sync_status WHERE name = 'down'", 'active|t', 5), 'the status says what is wrong');
	sleep 4;
	$s->sql("ALTER SERVER down OPTIONS (ADD total_timeout '20s')");
	sleep 0.5;
	is($s->sql("SELECT state, reason IS NOT NULL FROM scim.sync_status WHERE name = 'down'"), 'active|t', 'as long as it is');
	my $tries = $s->sql("SELECT count(DISTINCT date_trunc('milliseconds', at)) FROM scim.sync_log WHERE sync = 'down' AND verdict = 'unreached'");
	cmp_ok($tries, '<=', 60, "it backs off ($tries tries)");
	my $start = time;
	$s->sql("UPDATE hr.outage SET job_title = 'Two' WHERE id = 1");
	$s->becomes_same($up, 'outage', 'the other target');
	cmp_ok(time - $start, '<', 3, 'is not slowed down');
	$down = ScimPeer->start(token => CANARY, state => "$dir/state", port => $port);
	$s->becomes_same($down, 'outage', 'back again', 40);
	ok($s->settled('down', 30), 'and settles');
	is($s->sql("SELECT max(attempts) FROM scim.sync_links WHERE sync = 'down'"), 0, 'no row was blamed');
	is($s->sql("SELECT reason FROM scim.sync_status WHERE name = 'down'"), '', 'nothing is wrong any more');
	no_offences($down, 'down');
	$s->sql("SELECT scim.drop_sync('up'), scim.drop_sync('down')");
}

# ---- a target that wants to be left alone for ever ----

{
	my $peer = ScimPeer->start(token => CANARY);
	my $other = ScimPeer->start(token => CANARY);

	$s->mapped_table('absurd', 3);
	$s->start_sync('absurd', $peer, mapping => 'absurd');
	$s->start_sync('polite', $other, mapping => 'absurd');
	ok($s->settled('absurd') && $s->settled('polite'), 'both settle');
	for my $spelling ([ 'retry_after', 99_999_999 ], [ 'retry_after_date', 99_999_999 ], [ 'x_rate_limit_reset', 99_999_999 ])
	{
		$peer->faults({ action => 'answer', status => 429, $spelling->[0] => $spelling->[1], first => 1 });
		$s->sql("UPDATE hr.absurd SET job_title = '$spelling->[0]'");
		ok($s->poll("SELECT max(held_until) > now() + interval '50 minutes' AND max(held_until) <= now() + interval '61 minutes' FROM scim.sync_log WHERE sync = 'absurd' AND held_until > now()", 't', 10), "$spelling->[0]: an hour at most");
		$s->becomes_same($other, 'absurd', 'the other target', 5);
		# a new process knows of it
		my $pid = $s->worker_pid;
		$s->sql("SELECT pg_terminate_backend($pid)");
		ok($peer->wait_for(sub { defined $s->worker_pid && $s->worker_pid != $pid }, 20), 'another worker');
		my $mark = $peer->mark;
		sleep 0.7;
		is(scalar(() = $peer->log($mark)), 0, 'which keeps to it');
		$s->sql("SELECT scim.pause_sync('absurd'); UPDATE scim._attempts SET held_until = NULL; SELECT scim.resume_sync('absurd')");
		$s->sql("SELECT pg_terminate_backend(" . $s->worker_pid . ')');
		$s->becomes_same($peer, 'absurd', 'and goes on when it may', 20);
	}
	$s->sql("SELECT scim.drop_sync('absurd'), scim.drop_sync('polite')");
}

# ---- a token that is revoked ----

{
	my $peer = ScimPeer->start(token => CANARY);

	$s->mapped_table('revoked', 40);
	$s->start_sync('revoked', $peer, mapping => 'revoked', server => { concurrency => 2 });
	ok($s->settled('revoked'), 'settled');
	$peer->faults({ action => 'unauthorized' });
	my $mark = $peer->mark;
	$s->sql("UPDATE hr.revoked SET job_title = 'One'");
	ok($s->poll("SELECT state FROM scim.syncs WHERE name = 'revoked'", 'quarantined', 10), 'quarantined');
	sleep 1.5;
	$s->sql("UPDATE hr.revoked SET job_title = 'Two' WHERE id = 1");
	sleep 1;
	my @sent = $peer->log($mark);
	cmp_ok(scalar @sent, '<=', 3, 'after at most three requests') or
	  diag(join "\n", map { sprintf '%.1f to %.1f ms: %s %s %s', @{$_}{qw(time_ms end_ms method path status)} } @sent);
	like($s->sql("SELECT state_reason FROM scim.syncs WHERE name = 'revoked'"), qr/refuses the secret/, 'and says why');
	$peer->faults;
	$peer->settings(token => 'another.secret');
	$s->set_secret('revoked', 'another.secret');
	$s->becomes_same($peer, 'revoked', 'with a new secret it goes on', 20);
	is(state_of('revoked'), 'active', 'by itself');
	no_offences($peer, 'revoked');

	# 403 is a row's own matter, three in a row are the token's
	$peer->faults({ action => 'answer', status => 403, body => 'Forbidden fruit', answer_body => { detail => 'no' } });
	$s->sql("UPDATE hr.revoked SET job_title = CASE id WHEN 3 THEN 'Forbidden fruit' ELSE 'Three' END WHERE id < 10");
	ok($s->poll("SELECT state FROM scim.sync_links WHERE sync = 'revoked' AND source_key = '3'", 'parked', 10), 'one 403 parks the row');
	is(state_of('revoked'), 'active', 'and not the sync');
	$s->sql("UPDATE hr.revoked SET job_title = 'Forbidden fruit, ' || id");
	ok($s->poll("SELECT state FROM scim.syncs WHERE name = 'revoked'", 'quarantined', 10), 'three stop it');
	$s->sql("SELECT scim.drop_sync('revoked')");
}

# ---- one in a hundred is refused ----

{
	my $peer = ScimPeer->start(token => CANARY);

	$peer->faults({ action => 'answer', status => 400, method => [ 'POST', 'PATCH' ], body => 'poison',
		answer_body => { schemas => ['urn:ietf:params:scim:api:messages:2.0:Error'], status => '400', scimType => 'invalidValue', detail => 'I do not eat ' . CANARY } });
	$s->mapped_table('poison', 0);
	$s->sql("INSERT INTO hr.poison SELECT i, 'user' || i || '\@example.com', false, CASE WHEN i % 100 = 0 THEN 'poison' ELSE 'food' END FROM generate_series(1, 500) i");
	$s->start_sync('poison', $peer, mapping => 'poison');
	ok($s->poll("SELECT linked, failed, in_flight FROM scim.sync_status WHERE name = 'poison'", '495|5|0', 30), 'five of 500 are parked, the rest flows');
	like($s->sql("SELECT DISTINCT reason FROM scim.sync_errors WHERE sync = 'poison'"), qr/^400: invalidValue; I do not eat \*+$/, 'in the words of the target, without the secret');
	my $mark = $peer->mark;
	$s->sql("UPDATE hr.poison SET mail = 'a\@b.example' WHERE id = 1; UPDATE hr.poison SET is_soft_deleted = is_soft_deleted");
	ok($s->settled('poison'), 'settled');
	is(scalar(grep { ($_->{body} || '') =~ /poison/ } $peer->log($mark)), 0, 'what was refused is not sent again');
	$s->sql("UPDATE hr.poison SET job_title = 'food' WHERE id = 100");
	$s->becomes_same($peer, 'poison', 'a row that is better now', 10, "job_title = 'food'");
	is(state_of('poison'), 'active', 'the sync is active');
	$s->sql("SELECT scim.drop_sync('poison')");
}

# ---- pause, and a worker that ends ----

{
	my $peer = ScimPeer->start(token => CANARY, latency => 100);

	$s->mapped_table('pause', 400);
	$s->start_sync('pause', $peer, mapping => 'pause', server => { concurrency => 4 });
	ok($peer->wait_for(sub { $_[0]->stats->{requests} > 20 }, 10), 'it is under way');
	$s->sql("SELECT scim.pause_sync('pause', 'lunch')");
	sleep 0.4;
	my $mark = $peer->mark;
	sleep 1;
	is(scalar(() = $peer->log($mark)), 0, 'a pause stops it at once');
	is($s->sql("SELECT state, reason FROM scim.sync_status WHERE name = 'pause'"), 'paused|lunch', 'and is shown');
	$s->sql("UPDATE hr.pause SET job_title = 'Meanwhile' WHERE id % 10 = 0");
	$s->sql("SELECT scim.resume_sync('pause')");
	ok($peer->wait_for(sub { my $n = grep { $_->{method} eq 'POST' } $_[0]->log; $n > 30 }, 10), 'it goes on');

	# a worker that is told to end, and all of them
	my $pid = $s->worker_pid;
	$s->sql("SELECT pg_terminate_backend($pid)");
	ok($peer->wait_for(sub { defined $s->worker_pid && $s->worker_pid != $pid }, 20), 'a worker that is terminated comes back');
	$s->sql('SELECT scim.stop_workers()');
	$mark = $peer->mark;
	sleep 0.5;
	is(scalar(() = $peer->log($mark)), 0, 'without workers nothing is sent');
	$s->sql("SELECT scim.start_workers(port => " . $t->port . ", listeners => 1)");
	is($s->sql("SELECT count(*) FROM scim.workers WHERE worker = 'sync' AND state = 'syncing'"), 1, 'one sync worker');
	$peer->settings(latency_ms => 10);
	ok($s->settled('pause', 90), 'and settles');
	$s->same_users($peer, 'pause', 'pause');
	no_offences($peer, 'pause');
	$s->sql("SELECT scim.drop_sync('pause')");
}

# ---- the secret is nowhere ----

{
	my $peer = ScimPeer->start(token => CANARY);

	$s->mapped_table('canary', 5);
	$s->start_sync('canary', $peer, mapping => 'canary');
	ok($s->settled('canary'), 'settled');
	# what people do although the documentation says otherwise
	$s->sql("CREATE SERVER lazy FOREIGN DATA WRAPPER scim OPTIONS (base_url '" . $peer->url . "')");
	is(($t->try_sql("SELECT scim.set_secret('nobody', '" . CANARY . "')"))[0], 0, 'a secret for nobody raises nothing');
	$s->sql('SELECT ok FROM scim.test_connection(\'canary\')');
	$peer->faults({ action => 'answer', status => 500, answer_body => 'your token is ' . CANARY . ' and ' . CANARY, first => 3 });
	$s->sql("UPDATE hr.canary SET job_title = 'x'");
	ok($s->settled('canary', 20), 'settled');
	$s->sql('SELECT * FROM scim.test_connection(\'canary\')');

	my $canary = CANARY;
	my @found;
	for my $relation (split /\n/, $s->sql("SELECT oid::regclass FROM pg_class WHERE relkind IN ('r', 'v', 'm', 'p') AND relnamespace IN ('scim'::regnamespace, 'pg_catalog'::regnamespace, 'public'::regnamespace) AND oid <> 'scim._secrets'::regclass"))
	{
		# pg_stat_activity has this very query, so it does not spell it
		my ($rc, $out) = $t->try_sql("SELECT count(*) FROM $relation x WHERE x::text LIKE '%' || reverse('" . reverse($canary) . "') || '%'");
		push @found, $relation if $rc == 0 && $out ne '0';
	}
	is("@found", '', 'no table or view shows the secret');
	my ($out, $err) = PostgreSQL::Test::Utils::run_command([ 'pg_dump', '-d', $t->node->connstr('postgres') ]);
	cmp_ok(length $out, '>', 10000, 'a dump');
	is(index($out, $canary), -1, 'has no secret');
	# the statement of the lazy one is in this log, as scim.set_secret's comment says: with log_statement = all
	my $lines = join "\n", grep { !/set_secret\('nobody'/ } split /\n/, $t->log_text;
	is(() = $lines =~ /\Q$canary\E/g, 0, 'nor does the log');
	cmp_ok($s->sql("SELECT count(*) FROM pg_stat_statements WHERE query LIKE '%set_secret%'"), '>', 0, 'pg_stat_statements has seen the call');
	is($s->sql("SELECT count(*) FROM pg_stat_statements WHERE query LIKE '%$canary%'"), '0', 'and not the secret');
	$s->sql("SELECT scim.drop_sync('canary')");
}

# ---- objects that go while they are used ----

{
	my $peer = ScimPeer->start(token => CANARY, latency => 20);
	my $n = 0;

	for my $way (
		[ 'the sync', "SELECT scim.drop_sync('%s')" ],
		[ 'the table', 'DROP TABLE hr.%s CASCADE' ],
		[ 'the server', 'DROP SERVER %s CASCADE' ],
		[ 'a column', 'ALTER TABLE hr.%s DROP COLUMN job_title CASCADE' ],
		[ 'the secret', "SELECT scim.drop_secret('%s')" ],
		[ 'the extension', 'DROP EXTENSION scim CASCADE' ])
	{
		my ($what, $statement) = @$way;
		my $name = 'gone' . ++$n;

		$peer->remove_all;
		$peer->clear_log;
		$s->mapped_table($name, 300);
		$s->start_sync($name, $peer, mapping => $name);
		ok($peer->wait_for(sub { $_[0]->users && keys %{ $_[0]->users } > 20 }, 10), "$what: the sync is under way");
		my $start = time;
		(my $command = $statement) =~ s{%s}{$name};
		my ($rc, undef, $err) = $t->try_sql($command);
		is($rc, 0, "$what is dropped") or diag($err);
		cmp_ok(time - $start, '<', 10, 'without waiting long');
		sleep 0.5;
		my $mark = $peer->mark;
		sleep 0.7;
		is(scalar(() = $peer->log($mark)), 0, 'and nothing more is sent');
		next if $what eq 'the extension';
		$t->try_sql("SELECT scim.drop_sync('$name')");
		ok(defined $s->worker_pid, 'the worker lives');
	}
	is($s->sql('SELECT 1'), 1, 'the server lives');
	$s->sql('CREATE EXTENSION scim; SELECT scim.setup()');
}

my @crash = grep { /was terminated by signal|PANIC|TRAP:/ } split /\n/, $t->log_text;
is("@crash", '', 'no process crashed');
done_testing();
