# 024_http2.pl - the option http2 of a server: HTTP/2 is offered where it is
# wanted and nowhere else, and a target that does not have it is spoken to as
# ever.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use ScimPeer;
use ScimSync;
use ScimTest;
use Test::More;
use Time::HiRes qw(sleep time);

use POSIX ();
use PostgreSQL::Test::Cluster;

ScimTest->watchdog(120);
my $s = ScimSync->start(rows => 20);
my $peer = ScimPeer->start(token => CANARY, tls => 1);

# What a client offers in its TLS handshake: openssl says it.
sub offered
{
	my ($http2) = @_;
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	my $out = "$peer->{dir}/offered$http2";
	my $pid = fork;

	die "fork: $!" unless defined $pid;
	if (!$pid)
	{
		open STDIN, '<', '/dev/null';
		open STDOUT, '>', $out;
		open STDERR, '>&', \*STDOUT;
		exec { 'openssl' } 'openssl', 's_server', '-accept', "127.0.0.1:$port", '-cert', "$peer->{dir}/peer.crt", '-key', "$peer->{dir}/peer.key",
		  '-alpn', 'http/1.1', '-www', '-naccept', 1
		  or POSIX::_exit(127);
	}
	sleep 0.5;
	$s->sql("CREATE SERVER offer_$http2 FOREIGN DATA WRAPPER scim OPTIONS (base_url 'https://127.0.0.1:$port/scim', ca_file '" . $peer->ca . "', http2 '$http2', total_timeout '5s')");
	$s->set_secret("offer_$http2", CANARY);
	$s->sql("SELECT count(*) FROM scim.test_connection('offer_$http2')");
	# it ends by itself, and writes then
	for (1 .. 100) { last if waitpid($pid, POSIX::WNOHANG()) == $pid; sleep 0.05 }
	kill 'TERM', $pid;
	open my $file, '<', $out or die "$out: $!";
	local $/;
	my ($protocols) = <$file> =~ /ALPN protocols advertised by the client: (.*)/;
	return $protocols // 'none';
}

like(offered('true'), qr/^h2,/, 'HTTP/2 is offered');
is(offered('false'), 'http/1.1', 'and is not without the option');

$s->start_sync('staff', $peer, server => { http2 => 'true', ca_file => $peer->ca });
ok($s->settled('staff'), 'a target that has none');
$s->same_users($peer, 'staff', 'HTTP/1.1');
no_offences($peer, 'HTTP/1.1');
done_testing();
