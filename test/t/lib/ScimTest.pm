# ScimTest.pm - a cluster with listeners, an HTTP client, and assertions.
#
# For the TAP tests of this folder.  A test makes one server with
# ScimTest->start(...), which is a private PostgreSQL cluster
# (PostgreSQL::Test::Cluster, hence not as root) whose database has the
# extension, its roles, an endpoint and a token, and listeners on a free port,
# over plain HTTP or TLS with a certificate of its own.  It talks to it through
# ScimTest::Client (HTTP::Tiny, bodies as perl data or as the bytes of a
# payload) or, where the bytes matter, through ScimTest::Raw, and asserts with
# the exported functions, which show the answer when they fail.
#
# Every wait is bounded, so that a broken server fails a test and does not hang
# it; ScimTest->watchdog ends a file that runs too long all the same.
package ScimTest;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use File::Spec;
use FindBin;
use IO::Socket::INET;
use JSON::PP ();
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils ();

use ScimMapped;

our @EXPORT = qw(
  status_is accepted error_is list_is json_bytes query recipe fork_clients wait_children
  TRUE FALSE CORE_USER CORE_GROUP ENTERPRISE PATCH_OP LIST_RESPONSE
);

use constant {
	TRUE => $JSON::PP::true,
	FALSE => $JSON::PP::false,
	CORE_USER => 'urn:ietf:params:scim:schemas:core:2.0:User',
	CORE_GROUP => 'urn:ietf:params:scim:schemas:core:2.0:Group',
	ENTERPRISE => 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User',
	PATCH_OP => 'urn:ietf:params:scim:api:messages:2.0:PatchOp',
	LIST_RESPONSE => 'urn:ietf:params:scim:api:messages:2.0:ListResponse',
	ERROR_SCHEMA => 'urn:ietf:params:scim:api:messages:2.0:Error',
};

# What the endpoints of a test are of, where it says nothing else: the built-in
# store, or ScimMapped's tables.
my $mapped = ($ENV{SCIM_STORE} || '') eq 'mapped';

my $codec = JSON::PP->new->utf8->canonical->allow_nonref->allow_blessed;

# JSON text (bytes, members in order) of perl data.
sub json_bytes
{
	my ($data) = @_;
	return $codec->encode($data);
}

# The statements of a recipe of the documentation, in the order of the page.
sub recipe
{
	my ($name) = @_;
	my @blocks;
	for my $page ('mapping.md', 'cookbook.md')
	{
		open(my $file, '<', "$FindBin::RealBin/../../docs/$page") or die "docs/$page: $!";
		my $text = do { local $/; <$file> };
		push @blocks, $text =~ /<!-- run: \Q$name\E -->\n```sql\n(.*?)```/sg;
	}
	die "no recipe $name" if !@blocks;
	return @blocks;
}

# End the file by force after so many seconds.  The handler dies, so that the
# END block of PostgreSQL::Test::Cluster still stops the server.
sub watchdog
{
	my ($class, $seconds) = @_;

	$SIG{ALRM} = sub { die "the test did not end within $seconds s\n" };
	alarm($seconds);
	return;
}

# A cluster with a database and nothing of scim in it, and not started.
sub cluster
{
	my ($class, $name, %opt) = @_;

	die "run this as an ordinary user: PostgreSQL does not start as root\n"
	  if $> == 0;

	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init(extra => [ '--encoding=UTF8', '--no-locale' ]);
	$node->append_conf('postgresql.conf', <<"CONF");
restart_after_crash = on
max_connections = 50
scim.database = 'postgres'
log_min_messages = warning
scim.max_auth_failures = 100
CONF
	$node->append_conf('postgresql.conf', $opt{conf}) if $opt{conf};
	return $node;
}

# Start a server.  Options: name, tls (0/1), listeners, conf (further lines of
# postgresql.conf), endpoint (name of the endpoint, default acme), base_path,
# mode, preload (default 1; 0: workers by scim.start_workers).
#
# The extension is installed before the library is preloaded, because a worker
# that finds no role to connect as backs off for a while (007 tests that way).
sub start
{
	my ($class, %opt) = @_;
	my $self = bless {
		name => $opt{name} || 'main',
		tls => $opt{tls} || 0,
		listeners => $opt{listeners} || 1,
		endpoint => $opt{endpoint} || 'acme',
		base_path => $opt{base_path} || '/api/v2/scim',
		dbname => 'postgres',
	}, $class;
	my $preload = exists $opt{preload} ? $opt{preload} : 1;

	my $node = $self->{node} = $class->cluster($self->{name}, conf => $opt{conf});
	$self->{port} = PostgreSQL::Test::Cluster::get_free_port();
	$node->append_conf('postgresql.conf', <<"CONF");
scim.port = $self->{port}
scim.listeners = $self->{listeners}
CONF
	$self->use_tls if $self->{tls};

	$node->start;
	$self->sql('CREATE EXTENSION scim');
	$self->sql('SELECT scim.setup()');
	if ($mapped)
	{
		$self->sql($_) for ScimMapped::setup();
		$self->{tables} = 1;
	}
	$self->create_endpoint($self->{endpoint}, base_path => $self->{base_path}, mode => $opt{mode} || 'compat');
	$self->{token} = $self->create_token($self->{endpoint}, label => 'test');

	if ($preload)
	{
		$node->append_conf('postgresql.conf', "shared_preload_libraries = 'scim'\n");
		$node->restart;
		$self->wait_listening;
	}
	return $self;
}

sub node { return $_[0]->{node} }
sub port { return $_[0]->{port} }
sub token { return $_[0]->{token} }

# A certificate for localhost, signed by itself, for the listener.
sub use_tls
{
	my ($self) = @_;
	my $dir = File::Spec->rel2abs($self->{node}->data_dir);
	my ($cert, $key) = ("$dir/scim.crt", "$dir/scim.key");

	PostgreSQL::Test::Utils::system_or_bail(
		'openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-sha256',
		'-days', '2', '-subj', '/CN=localhost',
		'-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1',
		'-keyout', $key, '-out', $cert, '-batch');
	chmod 0600, $key;
	$self->{tls} = 1;
	$self->{ca} = $cert;
	$self->{node}->append_conf('postgresql.conf',
		"scim.tls_cert_file = '$cert'\nscim.tls_key_file = '$key'\n");
	return;
}

# Result of a query as psql -AtX prints it; dies when it fails.
sub sql
{
	my ($self, $query, %opt) = @_;
	return $self->{node}->safe_psql($opt{dbname} || $self->{dbname}, $self->in_store($query));
}

# A query on the tables of the store: those that the endpoints are of.
sub in_store
{
	my ($self, $query) = @_;
	return $self->{tables} ? ScimMapped::sql($query) : $query;
}

# The same for queries that may fail: (exit status, output, messages).
sub try_sql
{
	my ($self, $query, %opt) = @_;
	my ($out, $err) = ('', '');
	my $rc = eval {
		$self->{node}->psql($opt{dbname} || $self->{dbname}, $self->in_store($query),
			stdout => \$out, stderr => \$err, on_error_stop => 1, on_error_die => 0,
			timeout => 30, extra_params => $opt{params} || []);
	};

	# a psql that finds no server may end before it has been given the query
	die $@ if !defined $rc && $@ !~ /Broken pipe/;
	return ($rc // 2, $out, $err);
}

sub literal
{
	my ($value) = @_;
	return 'NULL' unless defined $value;
	$value =~ s/'/''/g;
	return "'$value'";
}

# Call a function of the extension with named arguments; all values are text.
sub call
{
	my ($self, $function, $args, %opt) = @_;
	my $list = join(', ', map { "$_ => " . literal($args->{$_}) } sort keys %$args);
	return $self->sql("SELECT scim.$function($list)", %opt);
}

sub create_endpoint
{
	my ($self, $name, %args) = @_;
	my $dbname = delete $args{dbname};
	%args = ScimMapped::endpoint($name, %args) if $mapped && !$args{mappings};
	return $self->call('create_endpoint', { name => $name, %args }, dbname => $dbname);
}

sub create_token
{
	my ($self, $endpoint, %args) = @_;
	my $dbname = delete $args{dbname};
	return $self->call('create_token', { endpoint => $endpoint, %args }, dbname => $dbname);
}

# scim.handle of the endpoint; a ScimTest::Reply like that of a client.
sub handle
{
	my ($self, $method, $path, $body, %opt) = @_;
	my $endpoint = $opt{endpoint} || $self->{endpoint};
	my $headers = json_bytes($opt{headers} || {});

	$body = json_bytes($body) if ref $body;
	my $out = $self->sql(
		'SELECT pg_catalog.row_to_json(h) FROM scim.handle('
		  . join(', ', map { literal($_) } $endpoint, $method, $path, $headers, $body)
		  . ') AS h', %opt);
	my $row = $codec->decode($out);
	my $text = defined $row->{body} ? $row->{body} : '';
	$text = json_bytes($text) if ref $text;
	utf8::encode($text) if utf8::is_utf8($text);
	my %names = map { lc $_ => $row->{headers}{$_} } keys %{ $row->{headers} || {} };
	return ScimTest::Reply->new(status => $row->{status}, headers => \%names, text => $text);
}

sub origin
{
	my ($self) = @_;
	return ($self->{tls} ? 'https' : 'http') . "://localhost:$self->{port}";
}

# A client of the endpoint, with its token unless another is given
# (token => undef: none).  Options: token, base_path, keep_alive, agent,
# timeout, local (address to connect from: failures of authentication are
# counted by address, and all of 127.0.0.0/8 is ours).
sub client
{
	my ($self, %opt) = @_;
	return ScimTest::Client->new(
		url => $self->origin . (defined $opt{base_path} ? $opt{base_path} : $self->{base_path}),
		ca => $self->{ca},
		token => exists $opt{token} ? $opt{token} : $self->{token},
		keep_alive => exists $opt{keep_alive} ? $opt{keep_alive} : 1,
		timeout => $opt{timeout} || 20,
		local => $opt{local},
		(exists $opt{agent} ? (agent => $opt{agent}) : ()));
}

sub raw
{
	my ($self, %opt) = @_;
	return ScimTest::Raw->new(port => $self->{port}, ca => $self->{ca}, %opt);
}

# Wait until the port answers HTTP; seconds that it took, or undef.
sub try_listening
{
	my ($self, $timeout) = @_;
	my $start = time;

	while (time - $start < $timeout)
	{
		my $client = $self->client(token => undef, keep_alive => 0, timeout => 2);
		return time - $start if $client->get('/Users')->status =~ /^4(01|29)$/;
		sleep(0.05);
	}
	return undef;
}

sub wait_listening
{
	my ($self, $timeout) = @_;
	$timeout ||= 15;
	my $took = $self->try_listening($timeout);
	return $took if defined $took;
	diag($self->log_tail);
	BAIL_OUT("no listener on port $self->{port} after $timeout s");
}

# Process numbers of the listeners, as the server sees them.
sub listener_pids
{
	my ($self, %opt) = @_;
	my $out = eval {
		$self->sql("SELECT pid FROM pg_catalog.pg_stat_activity WHERE usename = 'scim_worker' AND backend_type = 'scim listener' ORDER BY pid", %opt);
	};
	return defined $out ? split(/\n/, $out) : ();
}

sub log_text
{
	my ($self) = @_;
	return PostgreSQL::Test::Utils::slurp_file($self->{node}->logfile);
}

sub log_tail
{
	my ($self, $lines) = @_;
	my @all = split(/\n/, $self->log_text);
	$lines ||= 30;
	splice(@all, 0, @all - $lines) if @all > $lines;
	return join("\n", 'end of the server log:', @all);
}

# The log shows no crash: call at the end of a test that provoked none.
sub no_crash
{
	my ($self, $name) = @_;
	my @bad = grep { /was terminated by signal|PANIC|TRAP:|exited with exit code [2-9]/ } split(/\n/, $self->log_text);
	is(join("\n", @bad), '', $name || 'no process crashed');
	return;
}

# Digest of everything in the store: "nothing was stored" is that it stays the
# same.
sub store_digest
{
	my ($self, %opt) = @_;
	my @tables = split(/\n/, $self->sql(q{
		SELECT c.oid::regclass FROM pg_class c
		WHERE c.relnamespace = '} . ($mapped ? 'mapped' : 'scim') . q{'::regnamespace AND c.relkind = 'r' AND c.relname !~ '^_'
		ORDER BY 1}, %opt));
	push @tables, 'scim._resource_state' if $mapped;
	my $union = join(' UNION ALL ', map { "SELECT '$_ ' || t::text AS line FROM $_ t" } @tables);
	return $self->sql("SELECT count(*) || ' rows ' || coalesce(md5(string_agg(line, E'\\n' ORDER BY line)), '') FROM ($union) u", %opt);
}

# ---- assertions ----

sub show
{
	my ($reply) = @_;
	my $text = $reply->text;
	$text = substr($text, 0, 600) . '...' if length($text) > 600;
	diag('got ' . $reply->status . " $text");
	return;
}

sub status_is
{
	my ($reply, $status, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $ok = is($reply->status, $status, $name);
	show($reply) unless $ok;
	return $ok;
}

# Success of PUT or PATCH: 200 with the resource; for a group also 204, because
# its members may be many and nobody asks for them (Entra, Okta take both).
sub accepted
{
	my ($reply, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $group = ($reply->{target} || '') =~ m{/Groups/};
	my $ok = ok($reply->status == 200 && $reply->id || $group && $reply->status == 204 && $reply->text eq '', $name);
	show($reply) unless $ok;
	return $ok;
}

# A SCIM error (RFC 7644 3.12): status, scimType (undef: any or none; '': none),
# detail matching a pattern (undef: any).
sub error_is
{
	my ($reply, $status, $scim_type, $pattern, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $json = $reply->json;
	my @wrong;

	push @wrong, "status is not $status" if $reply->status != $status;
	push @wrong, 'the type of the body is not application/scim+json: ' . ($reply->header('content-type') || 'none')
	  if ($reply->header('content-type') || '') !~ m{^application/scim\+json}i;
	if (ref $json ne 'HASH')
	{
		push @wrong, 'the body is no JSON object';
	}
	else
	{
		push @wrong, 'schemas does not name the Error message'
		  if ref $json->{schemas} ne 'ARRAY' || "@{ $json->{schemas} }" ne ERROR_SCHEMA;
		push @wrong, 'the body has another status, or it is no string'
		  if json_bytes($json->{status}) ne qq{"$status"};
		push @wrong, 'there is no detail' if !defined $json->{detail} || $json->{detail} eq '';
		my $got = defined $json->{scimType} ? $json->{scimType} : '';
		push @wrong, "scimType is not \"$scim_type\"" if defined $scim_type && $got ne $scim_type;
		push @wrong, "the detail does not match $pattern"
		  if defined $pattern && (defined $json->{detail} ? $json->{detail} : '') !~ $pattern;
	}
	my $ok = ok(!@wrong, $name);
	if (!$ok)
	{
		diag($_) for @wrong;
		show($reply);
	}
	return $ok;
}

# A ListResponse (RFC 7644 3.4.2) with so many matches.
sub list_is
{
	my ($reply, $total, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $json = $reply->json;
	my @wrong;

	push @wrong, 'status is not 200' if $reply->status != 200;
	if (ref $json ne 'HASH')
	{
		push @wrong, 'the body is no JSON object';
	}
	else
	{
		push @wrong, 'schemas does not name the ListResponse message'
		  if ref $json->{schemas} ne 'ARRAY' || "@{ $json->{schemas} }" ne LIST_RESPONSE;
		for my $name (qw(totalResults startIndex itemsPerPage))
		{
			push @wrong, "$name is no number" if json_bytes($json->{$name}) !~ /^\d+$/;
		}
		push @wrong, "totalResults is not $total" if ($json->{totalResults} // -1) ne $total;
		push @wrong, 'Resources is no array' if ref $json->{Resources} ne 'ARRAY';
		push @wrong, 'itemsPerPage is not the number of Resources'
		  if ref $json->{Resources} eq 'ARRAY' && @{ $json->{Resources} } != ($json->{itemsPerPage} // -1);
	}
	my $ok = ok(!@wrong, $name);
	if (!$ok)
	{
		diag($_) for @wrong;
		show($reply);
	}
	return $ok;
}

# ---- small tools ----

# "?name=value&..." with percent encoding.
sub query
{
	my @pairs;
	while (my ($name, $value) = splice(@_, 0, 2))
	{
		utf8::encode($value) if utf8::is_utf8($value);
		$value =~ s/([^A-Za-z0-9._~-])/sprintf('%%%02X', ord $1)/ge;
		push @pairs, "$name=$value";
	}
	return '?' . join('&', @pairs);
}

# Run code(i) in n child processes.  They must not run this process' END
# blocks, which stop the cluster.
sub fork_clients
{
	my ($n, $code) = @_;
	my @pids;

	for my $i (1 .. $n)
	{
		my $pid = fork;
		die "fork: $!" unless defined $pid;
		if (!$pid)
		{
			# nobody is left behind when the parent ends early
			$SIG{ALRM} = 'DEFAULT';
			alarm(100);
			my $rc = eval { $code->($i); 1 } ? 0 : 1;
			print STDERR "client $i: $@" if $rc;
			POSIX::_exit($rc);
		}
		push @pids, $pid;
	}
	return @pids;
}

# Number of children that failed.
sub wait_children
{
	my $failed = 0;
	for my $pid (@_)
	{
		waitpid($pid, 0);
		$failed++ if $?;
	}
	return $failed;
}

# ---- an answer ----

package ScimTest::Reply;

use strict;
use warnings FATAL => 'all';

sub new
{
	my ($class, %self) = @_;
	return bless {%self}, $class;
}

sub status { return $_[0]->{status} }
sub text { return defined $_[0]->{text} ? $_[0]->{text} : '' }

sub header
{
	my ($self, $name) = @_;
	my $value = $self->{headers}{ lc $name };
	return ref $value eq 'ARRAY' ? join(', ', @$value) : $value;
}

# The decoded body, or undef if it is no JSON.
sub json
{
	my ($self) = @_;
	return undef if $self->text eq '';
	$self->{json} = eval { $codec->decode($self->text) } unless exists $self->{json};
	return $self->{json};
}

sub id { my $json = $_[0]->json; return ref $json eq 'HASH' ? $json->{id} : undef }
sub resources { my $json = $_[0]->json; return ref $json eq 'HASH' ? @{ $json->{Resources} || [] } : () }

# ---- an HTTP client ----

package ScimTest::Client;

use strict;
use warnings FATAL => 'all';

use HTTP::Tiny;
use Socket ();

sub new
{
	my ($class, %opt) = @_;
	my $self = bless {%opt}, $class;

	$self->{http} = HTTP::Tiny->new(
		keep_alive => $opt{keep_alive},
		timeout => $opt{timeout},
		max_redirect => 0,
		($opt{local} ? (local_address => $opt{local}) : ()),
		agent => exists $opt{agent} ? $opt{agent} : 'scim-test',
		($opt{ca}
			? (verify_SSL => 1, SSL_options => { SSL_ca_file => $opt{ca} })
			: ()));
	return $self;
}

# Another client of the same server: other token, base path and so on.
sub with
{
	my ($self, %opt) = @_;
	return ScimTest::Client->new((map { $_ => $self->{$_} } grep { $_ ne 'http' } keys %$self), %opt);
}

# One request.  "path" is below the base URL, or an absolute URL.  "body" is
# perl data or the bytes to send.  Options: headers (undef drops one), type
# (Content-Type), accept, token.
sub request
{
	my ($self, $method, $path, $body, %opt) = @_;
	my $url = $path =~ m{^https?://} ? $path : $self->{url} . $path;
	my $token = exists $opt{token} ? $opt{token} : $self->{token};
	my %headers = (
		'Accept' => $opt{accept} || 'application/scim+json',
		(defined $token ? ('Authorization' => "Bearer $token") : ()),
		%{ $opt{headers} || {} });
	my %args = (peer => '127.0.0.1');

	if (defined $body)
	{
		$args{content} = ref $body ? ScimTest::json_bytes($body) : $body;
		utf8::encode($args{content}) if utf8::is_utf8($args{content});
		$headers{'Content-Type'} = $opt{type} || 'application/scim+json'
		  unless exists $headers{'Content-Type'};
	}
	delete $headers{$_} for grep { !defined $headers{$_} } keys %headers;
	$args{headers} = \%headers;

	# HTTP::Tiny writes head and body apart: without this the body of every
	# request on a kept connection waits for a delayed acknowledgement.
	my $kept = $self->{http}{handle};
	setsockopt($kept->{fh}, Socket::IPPROTO_TCP, Socket::TCP_NODELAY, 1) if $kept && $kept->{fh};

	my $r = $self->{http}->request($method, $url, \%args);
	return ScimTest::Reply->new(
		target => $path,
		status => $r->{status},
		headers => $r->{headers} || {},
		text => $r->{content});
}

sub get { my ($self, $path, %opt) = @_; return $self->request('GET', $path, undef, %opt) }
sub head { my ($self, $path, %opt) = @_; return $self->request('HEAD', $path, undef, %opt) }
sub delete { my ($self, $path, %opt) = @_; return $self->request('DELETE', $path, undef, %opt) }
sub post { my ($self, $path, $body, %opt) = @_; return $self->request('POST', $path, $body, %opt) }
sub put { my ($self, $path, $body, %opt) = @_; return $self->request('PUT', $path, $body, %opt) }

# PATCH with a whole body, or with a list of operations.
sub patch
{
	my ($self, $path, $body, %opt) = @_;
	$body = { schemas => [ScimTest::PATCH_OP], Operations => $body } if ref $body eq 'ARRAY';
	return $self->request('PATCH', $path, $body, %opt);
}

# List with a filter; further query parameters may follow.
sub filter
{
	my ($self, $path, $filter, @more) = @_;
	return $self->get($path . ScimTest::query(filter => $filter, @more));
}

# ---- bytes on a socket ----

package ScimTest::Raw;

use strict;
use warnings FATAL => 'all';

use IO::Select;
use IO::Socket::INET;
use Time::HiRes ();

sub new
{
	my ($class, %opt) = @_;
	return bless { timeout => 10, %opt, buffer => '' }, $class;
}

sub connect
{
	my ($self) = @_;
	my %peer = (PeerAddr => '127.0.0.1', PeerPort => $self->{port}, Timeout => $self->{timeout});
	$peer{LocalAddr} = $self->{local} if $self->{local};

	$self->close;
	if ($self->{ca})
	{
		require IO::Socket::SSL;
		$self->{fh} = IO::Socket::SSL->new(%peer, SSL_ca_file => $self->{ca},
			SSL_hostname => 'localhost', SSL_verifycn_name => 'localhost', SSL_verifycn_scheme => 'http');
	}
	else
	{
		$self->{fh} = IO::Socket::INET->new(%peer, Proto => 'tcp');
		$self->{fh}->autoflush(1) if $self->{fh};
	}
	return $self->{fh};
}

sub close
{
	my ($self) = @_;
	close($self->{fh}) if $self->{fh};
	$self->{fh} = undef;
	$self->{buffer} = '';
	return;
}

sub fill
{
	my ($self, $deadline) = @_;
	my $left = $deadline - Time::HiRes::time();

	return 0 if $left <= 0;
	if (!($self->{fh}->can('pending') && $self->{fh}->pending))
	{
		return 0 unless IO::Select->new($self->{fh})->can_read($left);
	}
	my $n = sysread($self->{fh}, my $chunk, 65536);
	return 0 unless $n;
	$self->{buffer} .= $chunk;
	return 1;
}

# Send bytes (connecting if need be) and read one response; undef if none came.
# Keeps the connection if the server does.  With no_body a response is read
# as that to HEAD.
sub exchange
{
	my ($self, $bytes, %opt) = @_;
	local $SIG{PIPE} = 'IGNORE';

	for my $try (1, 2)
	{
		my $fresh = !$self->{fh};
		return undef if $fresh && !$self->connect;
		my $sent = print { $self->{fh} } $bytes;
		my $reply = $self->read_response(%opt);
		return $reply if $reply;
		$self->close;
		return undef if $fresh;
		# the server may have closed an idle connection meanwhile
	}
	return undef;
}

sub read_response
{
	my ($self, %opt) = @_;
	my $deadline = Time::HiRes::time() + $self->{timeout};
	my ($head, %headers);

	while (1)
	{
		while ($self->{buffer} !~ /\r\n\r\n/)
		{
			return undef unless $self->fill($deadline);
		}
		$self->{buffer} =~ s/\A(.*?\r\n)\r\n//s;
		$head = $1;
		last unless $head =~ m{\AHTTP/1\.1 100};
	}
	my ($line, @lines) = split(/\r\n/, $head);
	return undef unless $line =~ m{\AHTTP/1\.[01] (\d{3})};
	my $status = $1;
	for (@lines)
	{
		my ($name, $value) = /\A([^:]+):\s*(.*?)\s*\z/ or next;
		$headers{ lc $name } = defined $headers{ lc $name } ? "$headers{ lc $name }, $value" : $value;
	}

	my $body = '';
	if (!$opt{no_body} && $status != 204 && $status != 304)
	{
		if (defined $headers{'content-length'})
		{
			my $want = $headers{'content-length'};
			while (length($self->{buffer}) < $want)
			{
				last unless $self->fill($deadline);
			}
			$body = substr($self->{buffer}, 0, $want, '');
		}
		else
		{
			1 while $self->fill($deadline);
			$body = $self->{buffer};
			$self->{buffer} = '';
		}
	}
	$self->close if ($headers{connection} || '') =~ /close/i;
	return ScimTest::Reply->new(status => $status, headers => \%headers, text => $body, head => $head);
}

1;
