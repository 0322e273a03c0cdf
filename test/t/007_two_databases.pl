# 007_two_databases.pl - the life of workers: preloaded before there is an
# extension; a second database on a port of its own, started from SQL; a port
# that is taken; a server without shared_preload_libraries.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use IO::Socket::INET;
use ScimTest;
use Test::More;
use Time::HiRes qw(sleep time);

use PostgreSQL::Test::Cluster;

ScimTest->watchdog(110);

# A ScimTest around a node that exists, for one database and port of it.
sub face
{
	my ($node, $dbname, $port) = @_;
	return bless { node => $node, dbname => $dbname, port => $port, tls => 0, endpoint => 'acme', base_path => '/api/v2/scim' }, 'ScimTest';
}

sub set_up
{
	my ($t) = @_;
	$t->sql('CREATE EXTENSION scim');
	$t->sql('SELECT scim.setup()');
	$t->create_endpoint('acme', base_path => '/api/v2/scim');
	$t->{token} = $t->create_token('acme', label => 'test');
	return;
}

# Ends of connections to a port, for a while: the worst of them.
sub statuses
{
	my ($c, $n) = @_;
	my %seen;
	$seen{ $c->get('/Users')->status }++ for 1 .. $n;
	return join(' ', sort keys %seen);
}

sub log_lines
{
	my ($t, $pattern, $from) = @_;
	return scalar(grep { /$pattern/ } split /\n/, substr($t->log_text, $from));
}

sub await
{
	my ($timeout, $code) = @_;
	my $start = time;
	while (time - $start < $timeout)
	{
		return 1 if $code->();
		sleep(0.1);
	}
	return 0;
}

# ---- preloaded before there is anything ----

my $port1 = PostgreSQL::Test::Cluster::get_free_port();
my $port2 = PostgreSQL::Test::Cluster::get_free_port();
my $port3 = PostgreSQL::Test::Cluster::get_free_port();
my $node = ScimTest->cluster('main', conf => <<"CONF");
shared_preload_libraries = 'scim'
scim.database = 'first'
scim.port = $port1
scim.listeners = 2
max_worker_processes = 20
CONF
$node->start;
my $one = face($node, 'first', $port1);
my $two = face($node, 'second', $port2);

sleep(1);
is($node->safe_psql('postgres', 'SELECT 1'), '1', 'a server whose workers find no database runs');
cmp_ok(log_lines($one, 'FATAL|ERROR', 0), '<=', 4, 'they do not flood the log') or diag($one->log_tail);
unlike($one->log_text, qr/terminated by signal|PANIC/, 'nor crash');
$node->safe_psql('postgres', 'CREATE DATABASE first');
$node->safe_psql('postgres', 'CREATE DATABASE second');
set_up($one);
my $took = $one->try_listening(25);
ok(defined $took, 'once there is an extension, they serve by themselves') or BAIL_OUT($one->log_tail);
note("after $took s");
my $user = $one->client->post('/Users', { schemas => [CORE_USER], userName => 'same@example.org' });
status_is($user, 201, 'the first database is served');

# ---- the second database ----

set_up($two);
is($one->try_listening(3) ? 1 : 0, 1, 'the first one does not mind');
my ($rc, $out, $err) = $two->try_sql("SELECT scim.start_workers(port => $port2, listeners => 2)");
is($rc, 0, 'start_workers in the second database');
like($err, qr/NOTICE:.*(restart|start)/, 'says that such workers do not survive a restart');
ok(defined $two->try_listening(10), 'it is served on a port of its own') or diag($two->log_tail);
status_is($two->client->post('/Users', { schemas => [CORE_USER], userName => 'same@example.org' }), 201, 'the same userName is free there');
is($two->client->get('/Users/' . $user->id)->status, 404, 'a user of the first database is unknown');
is(face($node, 'second', $port2)->client(token => $one->token)->get('/Users')->status, 401, 'so is a token of the first');
is(face($node, 'first', $port1)->client(token => $two->token)->get('/Users')->status, 401, 'and the other way round');
is($one->sql('SELECT count(*) FROM scim.users'), '1', 'SQL: one user in the first');
is($two->sql('SELECT count(*) FROM scim.users'), '1', 'SQL: one user in the second');
$one->sql("SELECT scim.revoke_token('acme', 'test')");
is($one->client->get('/Users')->status, 401, 'a token revoked in the first');
is($two->client->get('/Users')->status, 200, 'does not concern the second');
$one->{token} = $one->create_token('acme', label => 'again');
is($one->sql("SELECT count(*) FROM scim.workers WHERE worker = 'listener'"), '2', 'each shows its own workers: two') or diag($one->sql('SELECT w::text FROM scim.workers w'));
is($two->sql("SELECT count(*) FROM scim.workers WHERE worker = 'listener'"), '2', 'and two') or diag($two->sql('SELECT w::text FROM scim.workers w'));

# ---- a port that belongs to the other database ----

my $mark = length $one->log_text;
($rc, $out, $err) = $two->try_sql("SELECT scim.start_workers(port => $port1, listeners => 2)");
sleep(2);
is(statuses($one->client(keep_alive => 0), 40), '200', 'the port of the first database keeps serving the first, whoever asks for it');
if ($rc == 0)
{
	cmp_ok(log_lines($one, "\\b$port1\\b", $mark), '>=', 1, 'the log says that the port is taken');
	cmp_ok(log_lines($one, "\\b$port1\\b.*(taken|in use)|(taken|in use).*\\b$port1\\b", $mark), '<=', 2, 'in one line of each worker') or diag($one->log_tail);
}
else
{
	like($err, qr/\b$port1\b/, 'start_workers refuses the port by name');
}
$two->sql('SELECT scim.stop_workers()');
ok(await(5, sub { $two->client->get('/Users')->status == 599 }), 'stop_workers stops those of the second database');
is(statuses($one->client(keep_alive => 0), 10), '200', 'and not those of the first');

# ---- a port that some other program has ----

{
	my $thief = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port3, Proto => 'tcp', Listen => 5)
	  or BAIL_OUT("cannot listen on $port3: $!");
	my $three = face($node, 'second', $port3);
	$three->{token} = $two->token;
	$mark = length $one->log_text;
	($rc) = $two->try_sql("SELECT scim.start_workers(port => $port3, listeners => 1)");
	is($rc, 0, 'start_workers with a port that is taken');
	sleep(3);
	is(log_lines($one, "\\b$port3\\b.*(taken|in use)|(taken|in use).*\\b$port3\\b", $mark), 1, 'there is one line about it') or diag($one->log_tail);
	like($two->sql('SELECT w::text FROM scim.workers w'), qr/\b$port3\b/, 'and scim.workers shows it') or diag($two->sql('SELECT w::text FROM scim.workers w'));
	is(statuses($one->client(keep_alive => 0), 3), '200', 'others are served');
	close $thief;
	$took = $three->try_listening(20);
	ok(defined $took, 'when the port is free it serves');
	note('after ' . (defined $took ? $took : 'ever') . ' s');
	is($three->client->get('/Users')->status, 200, 'the second database');
}

# ---- what goes away while it is served ----

$two->sql('DROP EXTENSION scim');
sleep(0.5);
is(face($node, 'second', $port3)->client(token => $two->token)->get('/Users')->status == 200 ? 1 : 0, 0, 'without the extension nothing is served');
is(statuses($one->client(keep_alive => 0), 5), '200', 'the first database does not mind');
unlike($one->log_text, qr/terminated by signal/, 'nothing crashed');
$two->sql('CREATE EXTENSION scim');
$two->sql('SELECT scim.setup()');
$two->sql('SELECT scim.stop_workers()');
ok(await(10, sub { eval { $node->safe_psql('postgres', 'DROP DATABASE second'); 1 } }), 'after stop_workers the database can be dropped');
my $start = time;
$node->stop('fast');
cmp_ok(time - $start, '<', 3, 'a fast stop');

# ---- without shared_preload_libraries ----

my $plain = ScimTest->start(name => 'plain', preload => 0, listeners => 2);
is($plain->try_listening(0.5), undef, 'without preloading nothing listens');
($rc, $out, $err) = $plain->try_sql('SET ROLE pg_monitor; SELECT scim.start_workers(port => ' . $plain->port . ')');
isnt($rc, 0, 'not everybody may start workers');
$plain->sql('SELECT scim.start_workers(port => ' . $plain->port . ', listeners => 2)');
ok(defined $plain->try_listening(10), 'start_workers is enough') or diag($plain->log_tail);
my $r = $plain->client->post('/Users', { schemas => [CORE_USER], userName => 'p' });
status_is($r, 201, 'a user');
status_is($plain->client->get('/Users/' . $r->id), 200, 'is there');
like($r->header('location'), qr{:\Q@{[ $plain->port ]}\E/}, 'Location names the port that serves') or diag($r->header('location'));
my ($victim) = $plain->listener_pids;
kill 9, $victim;
$took = $plain->try_listening(10);
ok(defined $took && $took < 5, 'they come back after a crash') or diag($plain->log_tail);
await(5, sub { eval { $plain->sql('SELECT 1') } });
status_is($plain->client->get('/Users/' . $r->id), 200, 'and the user is there');
$plain->node->restart;
is($plain->try_listening(1.5), undef, 'and not after a restart, as the notice said');
$plain->sql('SELECT scim.start_workers(port => ' . $plain->port . ', listeners => 1)');
ok(defined $plain->try_listening(10), 'until they are started again');
$plain->sql('SELECT scim.stop_workers()');
ok(await(5, sub { !defined $plain->try_listening(0.2) }), 'stop_workers stops them');
$start = time;
$plain->node->stop('fast');
cmp_ok(time - $start, '<', 3, 'a fast stop');

done_testing();
