# 012_client.pl - requests to other services, as scim.test_connection sends
# them: whom TLS believes, where nothing may go, what a target may answer, what
# ends a wait; and where the secret is to be found afterwards (nowhere).
#
# The peers are children of this test: TLS servers with certificates of every
# kind, which write down what they hear.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use File::Temp ();
use IO::Socket::INET;
use IO::Socket::SSL;
use IO::Socket::SSL::Utils;
use IPC::Run ();
use JSON::PP ();
use ScimTest;
use Test::More;
use Time::HiRes qw(sleep time);

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

ScimTest->watchdog(200);

my $canary = 'canary-Zm9vYmFy.0123456789~/+==';
my $dir = File::Temp->newdir('scim_client_XXXXXX', TMPDIR => 1);
my @children;

# ---- certificates ----

my $now = time;
my ($ca, $ca_key) = CERT_create(CA => 1, subject => { commonName => 'scim test' }, not_before => $now - 864000);
my ($other_ca, $other_key) = CERT_create(CA => 1, subject => { commonName => 'another' }, not_before => $now - 864000);
my @names = ([ DNS => 'localhost' ], [ IP => '127.0.0.1' ]);

sub certificate
{
	my (%with) = @_;
	return CERT_create(subject => { commonName => 'localhost' }, subjectAltNames => \@names, purpose => 'server',
		issuer => [ $ca, $ca_key ], not_before => $now - 864000, not_after => $now + 86400, %with);
}

sub write_file
{
	my ($name, $text, $mode) = @_;
	my $path = "$dir/$name";
	open my $f, '>', $path or die "$path: $!";
	print $f $text;
	close $f;
	chmod($mode, $path) if defined $mode;
	return $path;
}

chmod 0755, "$dir";
my $ca_file = write_file('ca.pem', PEM_cert2string($ca));

# ---- the peer ----

sub answer
{
	my ($socket, $status, $body, @headers) = @_;
	print $socket join("\r\n", "HTTP/1.1 $status X", @headers, 'Content-Length: ' . length($body), '', $body);
	$socket->flush;
	return;
}

sub serve
{
	my ($socket, $log, $port) = @_;

	for (;;)
	{
		my $head = '';
		while (defined(my $line = <$socket>)) { $head .= $line; last if $line =~ /^\r?\n$/; }
		return if $head !~ /\r?\n\r?\n$/;
		print $log "request $head";
		my ($method, $what, $path) = $head =~ m{^(\w+) /(\w+)(\S*)} or return;
		my ($bearer) = $head =~ /^Authorization: (.*?)\r/m;
		my $user = '{"id": "1", "userName": "stranger"}';

		if ($what eq 'drop') { return }
		elsif ($what eq 'slow') { sleep(100) }
		elsif ($what eq 'redirect') { answer($socket, 302, '', "Location: https://localhost:$port/canary/Users") }
		elsif ($what =~ /^(4\d\d|5\d\d)$/) { answer($socket, $1, '{"schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"], "detail": "no\nway", "status": "' . $1 . '"}') }
		elsif ($what eq 'errors') { answer($socket, 403, '{"errors": ["Forbidden"]}') }
		elsif ($what eq 'echo') { answer($socket, 400, JSON::PP->new->encode({ detail => "you sent $bearer" })) }
		elsif ($what eq 'binary') { answer($socket, 400, "{\"detail\": \"\xff\xfe\"}") }
		elsif ($what eq 'html') { answer($socket, 200, '<html>hello</html>', 'Content-Type: text/html') }
		elsif ($what eq 'array') { answer($socket, 200, '[]') }
		elsif ($what eq 'deep') { answer($socket, 200, ('[' x 100000)) }
		elsif ($what eq 'big') { answer($socket, 200, 'x' x 2_000_000) }
		elsif ($what eq 'ignore') { answer($socket, 200, qq({"totalResults": 1, "Resources": [$user]})) }
		elsif ($what eq 'liar') { answer($socket, 200, qq({"totalResults": 0, "Resources": [$user]})) }
		elsif ($path eq '/ServiceProviderConfig')
		{
			$what eq 'bare' ? answer($socket, 404, '') : answer($socket, 200, '{"patch": {"supported": true}, "filter": {"supported": true}}');
		}
		elsif ($path =~ /^\/Users\?filter=userName%20eq%20%22[0-9a-f-]{36}%22$/)
		{
			answer($socket, 200, '{"schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"], "totalResults": 0, "Resources": []}', 'Content-Type: application/scim+json');
		}
		else { answer($socket, 200, qq({"totalResults": 1, "Resources": [$user]})) }
	}
}

# Start a TLS server; returns port and the name of its log.
sub peer
{
	my ($name, $cert, $key, %ssl) = @_;
	my $log = "$dir/$name.log";
	my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 50, ReuseAddr => 1) or die "listen: $!";
	my $port = $listener->sockport;
	my $pid;

	open my $out, '>>', $log or die "$log: $!";
	$out->autoflush(1);
	$pid = fork();
	die "fork: $!" unless defined $pid;
	if ($pid == 0)
	{
		setpgrp;			# with its connections, to be ended as one
		$SIG{CHLD} = 'IGNORE';
		$SIG{PIPE} = 'IGNORE';
		$SIG{TERM} = $SIG{ALRM} = 'DEFAULT';
		for (;;)
		{
			my $socket = $listener->accept or next;
			print $out "connection\n";
			if (fork() == 0)
			{
				if (IO::Socket::SSL->start_SSL($socket, SSL_server => 1, SSL_cert => $cert, SSL_key => $key, %ssl))
				{
					serve($socket, $out, $port);
					$socket->close;
				}
				POSIX::_exit(0);
			}
			close $socket;
		}
	}
	close $listener;
	push @children, $pid;
	return ($port, $log);
}

# (the END block of the server's class looks at the exit status)
END { my $status = $?; kill 'KILL', map { -$_ } @children if @children; $? = $status; }

sub heard { my ($log) = @_; return slurp_file($log) }

my ($port, $log) = peer('good', certificate());

# ---- the server ----

my $statistics = -e `pg_config --sharedir` =~ s/\n//r . '/extension/pg_stat_statements.control';
my $t = ScimTest->start(tls => 1, conf => <<'CONF');
scim.allowed_targets = 'localhost'
max_prepared_transactions = 2
log_statement = none
CONF
my $node = $t->node;
if ($statistics)
{
	$node->append_conf('postgresql.conf', "shared_preload_libraries = 'scim, pg_stat_statements'\npg_stat_statements.track = all\n");
	$node->restart;
	$t->sql('CREATE EXTENSION pg_stat_statements');
}

my $made = 0;

# A server with this URL; returns its name.
sub server
{
	my ($url, %options) = @_;
	my $name = $options{name} || 's' . ++$made;

	delete $options{name};
	$options{base_url} = $url;
	$options{ca_file} = $ca_file unless exists $options{ca_file};
	delete $options{ca_file} unless defined $options{ca_file};
	$t->sql("CREATE SERVER $name FOREIGN DATA WRAPPER scim OPTIONS (" . join(', ', map { "$_ '$options{$_}'" } sort keys %options) . ')');
	$t->sql("SELECT scim.set_secret('$name', '$canary')");
	return $name;
}

# Rows of scim.test_connection, as text.
sub connection
{
	my ($name, $before) = @_;
	$before ||= '';
	return $t->sql("$before SELECT ok, step, status, detail FROM scim.test_connection('$name')");
}

# ---- a target that does what it should ----

my $good = server("https://localhost:$port/ok/", name => 'good');
my $rows = connection($good);
is($rows, "t|secret||for https://localhost:$port\nt|users|200|a filter on userName works\nt|service provider config|200|patch: yes, bulk: no, filter: yes, etag: no", 'a good target');
like(heard($log), qr{request GET /ok/Users\?filter=userName%20eq%20%22}, 'it was asked for somebody');
like(heard($log), qr/^User-Agent: scim-pg\/\d/m, 'by whom');
like(heard($log), qr/^Authorization: Bearer \Q$canary\E\r$/m, 'with the secret');
is(() = heard($log) =~ /^connection$/mg, 1, 'over one connection');
like(connection(server("https://127.0.0.1:$port/ok"), "SET scim.allowed_targets = '127.0.0.1:$port';"), qr/^t\|users\|200/m, 'by its address');
like(connection(server("https://localhost:$port/bare")), qr/^t\|service provider config\|404\|not offered$/m, 'no ServiceProviderConfig is no fault');
like($t->sql("SELECT latency_ms > 0 AND latency_ms < 20000 FROM scim.test_connection('$good') WHERE step = 'users'"), qr/^t$/, 'latency');

# ---- this very extension ----

$t->sql("CREATE SERVER self FOREIGN DATA WRAPPER scim OPTIONS (profile 'scim', base_url 'https://localhost:" . $t->port . "/api/v2/scim', ca_file '$t->{ca}')");
$t->sql("SELECT scim.set_secret('self', " . ScimTest::literal($t->token) . ')');
$rows = connection('self');
like($rows, qr/^t\|users\|200\|a filter on userName works\nt\|service provider config\|200\|patch: yes, bulk: yes, filter: yes, etag: yes$/m, 'an endpoint of this extension, over TLS') or diag($rows);
$t->sql("SELECT scim.set_secret('self', 'scim_wrong')");
like(connection('self'), qr/^f\|users\|401\|the secret is not accepted; the target says: /m, 'with a wrong secret');

# ---- certificates ----

my @bad = (
	[ 'expired', [ certificate(not_after => $now - 3600) ], {} ],
	[ 'not yet valid', [ certificate(not_before => $now + 86400, not_after => $now + 864000) ], {} ],
	[ 'of another host', [ certificate(subjectAltNames => [ [ DNS => 'example.com' ] ], subject => { commonName => 'example.com' }) ], {} ],
	[ 'another host in its names, this one as common name', [ certificate(subjectAltNames => [ [ DNS => 'example.com' ] ]) ], {} ],
	[ 'signed by itself', [ CERT_create(subject => { commonName => 'localhost' }, subjectAltNames => \@names, purpose => 'server') ], {} ],
	[ 'of an unknown authority', [ certificate(issuer => [ $other_ca, $other_key ]) ], {} ],
	[ 'for clients only', [ certificate(purpose => 'client') ], {} ],
);
for my $case (@bad)
{
	my ($what, $pair, $ssl) = @$case;
	my ($bad_port, $bad_log) = peer('bad' . ++$made, @$pair, %$ssl);
	my $text = connection(server("https://localhost:$bad_port/ok"));

	like($text, qr/^f\|users\|\|not sent: /m, "a certificate $what is refused: " . ($text =~ /not sent: (.*)/ ? $1 : $text));
	is(heard($bad_log) =~ s/connection\n//gr, '', 'before anything was sent');
}
my ($old_port, $old_log) = peer('old', certificate(), SSL_version => 'TLSv1_1', SSL_cipher_list => 'ALL:@SECLEVEL=0');
like(connection(server("https://localhost:$old_port/ok")), qr/^f\|users\|\|not sent: /m, 'TLS 1.1 is refused');
unlike(heard($old_log), qr/request/, 'before anything was sent');
like(connection(server("https://localhost:$port/ok", ca_file => undef)), qr/^f\|users\|\|not sent: /m, 'without ca_file the authorities of the system count');
like(connection(server("https://localhost:$port/ok", ca_file => "$dir/nothing.pem")), qr/^f\|users\|\|not sent: /m, 'a ca_file that is missing is not ignored');

# ---- addresses ----

# the peer accepts in order: after an answer all connections before it are in its log
like(connection($good), qr/^t\|users\|200/m, 'the peer is there');
my $before = heard($log);
my @hosts = qw(127.0.0.1 127.1 127.0.1 2130706433 0x7f000001 0x7f.1 0X7F.0.0.1 0177.0.0.1 017700000001 0x7f.0x0.0x0.0x1 127.000.000.001 127.0.0.2 127.255.255.254 0.0.0.0 0 0x0
  [::1] [::] [0:0:0:0:0:0:0:1] [::ffff:127.0.0.1] [::ffff:7f00:1] [::127.0.0.1] [64:ff9b::127.0.0.1] [64:ff9b::7f00:1] [2002:7f00:1::] localhost LocalHost
  169.254.169.254 2852039166 0xa9fea9fe [::ffff:169.254.169.254] [fd00:ec2::254] [fe80::1] 10.0.0.1 172.16.0.1 192.168.0.1 100.100.100.200 255.255.255.255 224.0.0.1 [ff02::1]);
for my $host (@hosts)
{
	my $text = connection(server("https://$host:$port/canary", total_timeout => '5s'), "SET scim.allowed_targets = '';");
	like($text, qr/^f\|users\|\|(refused here|not sent: Could not resolve)/m, "$host is refused");
}
is(heard($log), $before, 'and the peer heard nothing of ' . scalar(@hosts) . ' attempts');

$rows = $t->sql("BEGIN; SELECT step, status FROM scim.test_connection('$good'); SET LOCAL scim.allowed_targets = ''; SELECT step, status, detail FROM scim.test_connection('$good'); COMMIT");
like($rows, qr/users\|200.*users\|\|refused here/s, 'an address that is not allowed any more is not reached over a kept connection either') or diag($rows);

# ---- answers ----

my %answers = (
	redirect => qr/^f\|users\|302\|redirects are not followed/m,
	401 => qr/^f\|users\|401\|the secret is not accepted; the target says: no way$/m,
	403 => qr/^f\|users\|403\|the secret does not permit this; the target says: no way$/m,
	404 => qr/^f\|users\|404\|nothing is there: see base_url; the target says: no way$/m,
	429 => qr/^f\|users\|429\|too many requests/m,
	500 => qr/^f\|users\|500\|an answer that was not expected; the target says: no way$/m,
	errors => qr/^f\|users\|403\|.*the target says: Forbidden$/m,
	echo => qr/^f\|users\|400\|.*\(withheld: it repeats the secret\)$/m,
	binary => qr/^f\|users\|400\|an answer that was not expected$/m,
	html => qr/^f\|users\|200\|the answer is not a ListResponse of SCIM/m,
	array => qr/^f\|users\|200\|the answer is not a ListResponse of SCIM/m,
	deep => qr/^f\|users\|200\|the answer is not a ListResponse of SCIM/m,
	big => qr/^f\|users\|200\|the answer is larger than/m,
	ignore => qr/^f\|users\|200\|the target ignores filters/m,
	liar => qr/^f\|users\|200\|the target ignores filters/m,
	drop => qr/^f\|users\|\|no whole answer: /m,
);
for my $what (sort keys %answers)
{
	like(connection(server("https://localhost:$port/$what")), $answers{$what}, "answer: $what");
}
unlike(heard($log), qr{GET /canary}, 'no redirect was followed');
like(connection(server("https://localhost:$port/all", list_scan => 'true')), qr/^t\|users\|200\|1 users$/m, 'a target that knows no filter, and says so');

my $free = PostgreSQL::Test::Cluster::get_free_port();
like(connection(server("https://localhost:$free/ok")), qr/^f\|users\|\|not sent: /m, 'nobody listens');
like(connection(server('https://nobody.invalid/ok')), qr/^f\|users\|\|not sent: Could not resolve host/m, 'no such host');

# ---- what ends a wait ----

my $slow = server("https://localhost:$port/slow", name => 'slow');
my $start = time;
my ($rc, $out, $err) = $t->try_sql("SET statement_timeout = '500ms'; SELECT * FROM scim.test_connection('slow')");
like($err, qr/canceling statement due to statement timeout/, 'a statement timeout');
cmp_ok(time - $start, '<', 4, 'at once');
$rows = $t->sql(q{
	SET statement_timeout = '400ms';
	DO $$ BEGIN
		PERFORM scim.test_connection('slow');
	EXCEPTION WHEN query_canceled THEN
		SET LOCAL statement_timeout = 0;
		PERFORM set_config('test.seen', (SELECT count(*)::text FROM scim.test_connection('good') WHERE ok), false);
	END $$;
	SELECT current_setting('test.seen');});
is($rows, '3', 'the session goes on after an error that was caught');
$t->sql("ALTER SERVER slow OPTIONS (ADD total_timeout '700ms')");
$start = time;
like(connection('slow'), qr/^f\|users\|\|no whole answer: .*timed out/m, 'total_timeout');
cmp_ok(time - $start, '<', 4, 'in time');

$t->sql("ALTER SERVER slow OPTIONS (SET total_timeout '1h')");
my ($hung_out, $hung_err) = ('', '');
my $hung = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', "SELECT * FROM scim.test_connection('slow')" ], '>', \$hung_out, '2>', \$hung_err);
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE query ~ 'test_connection' AND wait_event_type = 'Extension' AND pid <> pg_backend_pid()"), 'one waits');
$start = time;
$t->sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ~ 'test_connection' AND pid <> pg_backend_pid()");
$hung->finish;
cmp_ok(time - $start, '<', 4, 'a termination ends it');
like($hung_err, qr/terminating connection/, 'and says so');

# ---- switched off ----

$node->append_conf('postgresql.conf', 'scim.outbound = off');
$node->reload;
ok($node->poll_query_until('postgres', "SELECT current_setting('scim.outbound') = 'off'"), 'scim.outbound is off');
$before = heard($log);
($rc, $out, $err) = $t->try_sql("SELECT * FROM scim.test_connection('good')", params => [ '-v', 'VERBOSITY=verbose' ]);
like($err, qr/55000.*switched off/, 'then nothing is sent');
is(heard($log), $before, 'indeed');
$node->append_conf('postgresql.conf', 'scim.outbound = on');
$node->reload;
ok($node->poll_query_until('postgres', "SELECT current_setting('scim.outbound') = 'on'"), 'scim.outbound is on');

# ---- a secret in a file ----

my $secret_file = write_file('secret', "$canary\n", 0600);
$t->sql("CREATE SERVER filed FOREIGN DATA WRAPPER scim OPTIONS (base_url 'https://localhost:$port/ok', ca_file '$ca_file', secret_file '$secret_file')");
like(connection('filed'), qr/^t\|users\|200/m, 'secret_file');
chmod 0644, $secret_file;
like(connection('filed'), qr/^f\|secret\|\|the file of secret_file is open to others/m, 'not if others can read it');
chmod 0600, $secret_file;
write_file('secret', "two words\n");
like(connection('filed'), qr/^f\|secret\|\|the first line of the file/m, 'nor if it holds no token');
write_file('secret', '');
like(connection('filed'), qr/^f\|secret\|\|the file of secret_file is empty/m, 'nor if it is empty');
$t->sql('DROP SERVER filed');

# ---- the secret is nowhere ----

is($t->sql("SELECT scim.set_secret('nobody', '$canary')"), 'server "nobody" does not exist, or is not one of SCIM', 'a failure that is a result');
$t->sql("BEGIN; LOCK TABLE scim._secrets; PREPARE TRANSACTION 'lock'");
($rc, $out, $err) = $t->try_sql("SET lock_timeout = '300ms'; SELECT scim.set_secret('good', '$canary')");
like($err, qr/lock timeout/, 'a failure that is an error');
unlike($err, qr/\Q$canary\E/, 'without the secret');
$t->sql("ROLLBACK PREPARED 'lock'");
like($t->log_text, qr/canceling statement due to lock timeout/, 'which is in the log');
($rc, $out, $err) = $t->try_sql("CREATE USER MAPPING FOR CURRENT_USER SERVER good OPTIONS (token '$canary two')");
like($err, qr/invalid value for option "token"/, 'a token that is none');

is($t->sql(qq{
	DO \$\$ BEGIN
		PERFORM scim.set_secret('good', '$canary');
		PERFORM pg_stat_clear_snapshot();
		IF EXISTS (SELECT 1 FROM pg_stat_activity WHERE query ~ 'canary') THEN
			RAISE EXCEPTION 'it is in pg_stat_activity';
		END IF;
	END \$\$;
	SELECT 'fine'}), 'fine', 'not in pg_stat_activity');

# as data, with everything logged
$t->sql(<<"SQL");
SET log_statement = 'all';
SET log_min_duration_statement = 0;
CREATE TEMP TABLE s (t text);
COPY s FROM stdin;
$canary
\\.
SELECT scim.set_secret('good', t) FROM s;
DROP TABLE s;
SQL
like($t->log_text, qr/LOG:  statement: SELECT scim\.set_secret\('good', t\) FROM s/, 'log_statement = all');
like(connection('good'), qr/^t\|users\|200/m, 'it was set');

SKIP:
{
	skip 'pg_stat_statements is not installed', 2 unless $statistics;
	is($t->sql("SELECT count(*) > 0 FROM pg_stat_statements WHERE query LIKE 'SELECT scim.set_secret(%'"), 't', 'pg_stat_statements knows the calls');
	# (but for the text of the DO above, which is a statement that holds it)
	is($t->sql("SELECT query FROM pg_stat_statements WHERE strpos(query, '$canary') > 0 AND query !~ '^\\s*DO '"), '', 'and not the secret');
}
my $dump = `pg_dump -d "${\ $node->connstr('postgres')}" 2>/dev/null`;
like($dump, qr/CREATE SERVER good FOREIGN DATA WRAPPER scim/, 'a dump has the servers');
unlike($dump, qr/\Q$canary\E/, 'and not the secrets');
$t->sql('CREATE DATABASE again TEMPLATE template0');
$t->sql($dump, dbname => 'again');
is($t->sql("SELECT ok, detail FROM scim.test_connection('good')", dbname => 'again'), 'f|no secret is set: scim.set_secret()', 'what is restored wants its secret again');
is($t->sql("SELECT count(*) FROM scim.server_capabilities('self') WHERE source = 'profile'", dbname => 'again') > 0, 1, 'and has its profile');
for my $view ('scim.secrets', 'scim.profiles', 'pg_foreign_server', 'pg_user_mappings', 'scim.server_capabilities(\'good\')')
{
	unlike($t->sql("SELECT * FROM $view"), qr/\Q$canary\E/, "$view has no secret");
}
unlike($t->log_text, qr/\Q$canary\E/, 'the log has none');

# ---- a stop while a request hangs ----

$hung = IPC::Run::start([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', "SELECT * FROM scim.test_connection('slow')" ], '>', \$hung_out, '2>', \$hung_err);
ok($node->poll_query_until('postgres', "SELECT count(*) = 1 FROM pg_stat_activity WHERE query ~ 'test_connection' AND wait_event_type = 'Extension' AND pid <> pg_backend_pid()"), 'one waits');
$start = time;
$node->stop('fast');
cmp_ok(time - $start, '<', 5, 'a fast stop is fast');
$hung->finish;
unlike($t->log_text, qr/PANIC|terminated by signal/, 'no crash');

done_testing();
