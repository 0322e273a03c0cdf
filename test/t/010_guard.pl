# 010_guard.pl - bytes on a socket that no client should send, and clients that
# are slow, greedy or gone (threat-and-fault-model H2, H4, H5, H8).
#
# A bad request is followed by a good one in the same write: it must be refused,
# the connection closed, and the good one not served.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use IO::Select;
use IO::Socket::INET;
use JSON::PP ();
use ScimTest;
use Socket ();
use Test::More;
use Time::HiRes qw(sleep time);

ScimTest->watchdog(160);

my $t = ScimTest->start(listeners => 1, conf => <<'CONF');
scim.head_timeout = '1s'
scim.body_timeout = '1500ms'
scim.request_timeout = '4s'
scim.idle_timeout = '1500ms'
scim.write_timeout = '1500ms'
scim.max_keepalive_requests = 20
scim.max_body_size = '64kB'
scim.max_connections = 60
CONF

my $token = $t->token;
my $base = '/api/v2/scim';
my $good = "$base/ServiceProviderConfig";
my $auth = "Authorization: Bearer $token\r\n";
my $host = "Host: scim.example.org\r\n";
my $smuggled = "GET $good HTTP/1.1\r\n$host$auth\r\n";

$SIG{PIPE} = 'IGNORE';

# ---- bytes ----

sub dial
{
	my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $t->port, Proto => 'tcp', Timeout => 5)
	  or die "connect: $!";
	$s->autoflush(1);
	return $s;
}

# Everything up to the end of the connection or of the time; the second value
# says whether the end came, the third after how long.
sub slurp
{
	my ($s, $timeout) = @_;
	my ($start, $all, $eof) = (time, '', 0);

	while ((my $left = $start + $timeout - time) > 0)
	{
		last unless IO::Select->new($s)->can_read($left);
		my $n = sysread($s, my $chunk, 65536);
		if (!$n) { $eof = 1; last }
		$all .= $chunk;
	}
	return ($all, $eof, time - $start);
}

# Split a stream of responses; those of HEAD are told by no_body.
sub responses
{
	my ($bytes, $no_body) = @_;
	my @all;

	while ($bytes =~ s{\A(HTTP/1\.[01] (\d{3})[^\r\n]*\r\n(.*?)\r\n)\r\n}{}s || $bytes =~ s{\A(HTTP/1\.[01] (\d{3})[^\r\n]*\r\n())\r\n}{}s)
	{
		my ($head, $status, $lines) = ($1, $2, $3);
		my %h = map { /\A([^:]+):\s*(.*?)\s*\z/ ? (lc $1 => $2) : () } split(/\r\n/, $lines);
		my $len = $no_body || $status == 204 || $status < 200 ? 0 : $h{'content-length'} || 0;
		push @all, { status => $status, headers => \%h, body => substr($bytes, 0, $len, ''), head => $head };
	}
	push @all, { status => 'rest', body => $bytes, headers => {} } if $bytes ne '';
	return @all;
}

sub talk
{
	my ($bytes, $timeout, %opt) = @_;
	my $s = dial();
	print $s $bytes;
	my ($all, $eof, $took) = slurp($s, $timeout || 3);
	close $s;
	return { responses => [ responses($all, $opt{no_body}) ], eof => $eof, took => $took, bytes => $all };
}

# A response made by the guard is a SCIM error with the headers of all others.
sub is_scim_error
{
	my ($r) = @_;
	my $json = eval { JSON::PP->new->utf8->decode($r->{body}) };
	return ref $json eq 'HASH' && $json->{status} eq $r->{status} && length $json->{detail}
	  && $json->{schemas}[0] eq 'urn:ietf:params:scim:api:messages:2.0:Error'
	  && $r->{headers}{'content-type'} =~ m{^application/scim\+json}
	  && $r->{headers}{'x-content-type-options'} eq 'nosniff'
	  && $r->{headers}{'cache-control'} eq 'no-store'
	  && lc($r->{headers}{connection} || '') eq 'close';
}

# libmicrohttpd 1.0 and later refuses by itself much of what before only the
# guard refused.
my $strict_library = qx(printf '#include <microhttpd.h>\nMHD_VERSION' | gcc -E -P -x c -) =~ /^\s*0x0*[1-9][0-9a-f]{6}\s*$/m;

# Refused: one response with one of these statuses (none: closed without one
# may do), the end of the connection, nothing served.  by => 'library' where
# the HTTP library answers for itself, in its own words; strict => statuses
# where it does that from 1.0 on.
sub refused
{
	my ($name, $bytes, $statuses, %opt) = @_;
	($statuses, $opt{by}) = ($opt{strict}, 'library') if $opt{strict} && $strict_library;
	my $got = talk($bytes . ($opt{alone} ? '' : $smuggled), $opt{timeout} || 3);
	my @r = @{ $got->{responses} };
	my @wrong;

	# libmicrohttpd 0.9.75 sends the head of its own 400 twice
	push @wrong, 'more than one response' if $opt{by} ? $got->{bytes} =~ m{HTTP/1\.[01] [123]\d\d} : @r > 1;
	push @wrong, 'no response' if !@r && $statuses !~ /none/;
	push @wrong, "status $r[0]{status}" if @r && " $statuses " !~ / \Q$r[0]{status}\E /;
	push @wrong, 'not a SCIM error' if @r && !$opt{by} && !is_scim_error($r[0]);
	push @wrong, 'not closed' if !$got->{eof};
	my $ok = ok(!@wrong, $name);
	diag("@wrong: $got->{bytes}") unless $ok;
	return;
}

# Served: so many responses, each below 300.
sub served
{
	my ($name, $bytes, $n, %opt) = @_;
	my $s = dial();
	my ($all, @r) = ('');
	my $end = time + 5;

	print $s $bytes;
	while (time < $end && @r < $n)
	{
		last unless IO::Select->new($s)->can_read($end - time);
		last unless sysread($s, my $chunk, 65536);
		$all .= $chunk;
		@r = grep { $_->{status} ne 'rest' && $_->{status} >= 200 } responses($all, $opt{no_body});
	}
	my $ok = is(join(' ', map { $_->{status} < 300 ? 'ok' : $_->{status} } @r), join(' ', ('ok') x $n), $name);
	diag($all) unless $ok;
	close $s;
	return @r;
}

sub request
{
	my ($method, $lines, $body) = @_;
	return "$method $good HTTP/1.1\r\n$host$auth$lines\r\n" . (defined $body ? $body : '');
}

my $json = "Content-Type: application/scim+json\r\n";
my $n_user = 0;

# A body that creates a user, another one each time.
sub user
{
	$n_user++;
	return qq({"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"guard$n_user"});
}

sub post
{
	my ($lines, $body) = @_;
	return "POST $base/Users HTTP/1.1\r\n$host$auth$json$lines\r\n$body";
}

sub chunked
{
	return join('', map { sprintf("%x\r\n%s\r\n", length $_, $_) } @_) . "0\r\n\r\n";
}

# ---- what is served, before and among all that ----

served('a plain GET', request('GET', ''), 1);
{
	my $s = dial();
	setsockopt($s, Socket::IPPROTO_TCP(), Socket::TCP_NODELAY(), 1);
	for (unpack('(a7)*', request('GET', "X-Piecemeal: yes\r\n")))
	{
		syswrite($s, $_);
		sleep(0.002);
	}
	my ($all) = slurp($s, 0.5);
	like($all, qr{\AHTTP/1\.1 200 }, 'a GET in pieces of seven bytes');
	close $s;
}
served('two requests in one write', request('GET', '') x 2, 2);
served('ten requests in one write', request('GET', '') x 10, 10);
{
	my $body = user();
	served('POST with a length', post('Content-Length: ' . length($body) . "\r\n", $body), 1);
	my @half = unpack('(a40)*', user());
	served('POST in chunks', post("Transfer-Encoding: chunked\r\n", chunked(@half)), 1);
	@half = unpack('(a7)*', user());
	served('the coding in capitals', post("Transfer-Encoding: CHUNKED\r\n", chunked(@half)), 1);
	my $text = user();
	served('trailers, which mean nothing',
		post("Transfer-Encoding: chunked\r\n", sprintf("%x\r\n%s\r\n0\r\nAuthorization: Bearer no\r\nContent-Length: 3\r\n\r\n", length $text, $text)), 1);
	$text = user();
	# libmicrohttpd 1.0.1 loses count behind an extension, and refuses the body
	my $got = talk(post("Transfer-Encoding: chunked\r\nConnection: close\r\n", sprintf("%x;a=b\r\n%s\r\n%s", length $text, $text, "0\r\n\r\n")));
	like($got->{responses}[0]{status}, $strict_library ? qr/^(201|400)$/ : qr/^201$/, 'chunk extensions, which mean nothing') or diag($got->{bytes});
	my $next = user();
	$text = user();
	served('POST and POST in one write', post('Content-Length: ' . length($text) . "\r\n", $text) . post('Content-Length: ' . length($next) . "\r\n", $next), 2);
}
served('names of headers in lower case', "GET $good HTTP/1.1\r\nhost: a\r\nauthorization: Bearer $token\r\n\r\n", 1);
served('an empty header', request('GET', "X-Empty:\r\n"), 1);
served('tabs and Latin-1 in a value', request('GET', "X-Odd: a\tb\xe9\r\n"), 1);
served('an empty line before the request', "\r\n" . request('GET', ''), 1);
served('HTTP/1.0 without Host', "GET $good HTTP/1.0\r\n$auth\r\n", 1);
served('a length of 0', request('GET', "Content-Length: 0\r\n"), 1);
served('identity as content coding', request('GET', "Content-Encoding: identity\r\n"), 1);
{
	my @r = served('HEAD', request('HEAD', ''), 1, no_body => 1);
	my @get = served('and GET', request('GET', ''), 1);
	is($r[0]{headers}{'content-length'}, length $get[0]{body}, 'HEAD has the length of GET');
	my $got = talk(request('HEAD', '') . request('HEAD', "Connection: close\r\n"), 3, no_body => 1);
	is(scalar(@{ $got->{responses} }), 2, 'HEAD has no body: two responses and nothing between them') or diag($got->{bytes});
	is($r[0]{headers}{'x-content-type-options'}, 'nosniff', 'nosniff');
	is($r[0]{headers}{'cache-control'}, 'no-store', 'no-store');
}
{
	my $s = dial();
	my $body = user();
	print $s post("Expect: 100-continue\r\nContent-Length: " . length($body) . "\r\n", '');
	my ($first) = slurp($s, 0.5);
	like($first, qr{\AHTTP/1\.1 100 [^\r\n]*\r\n\r\n\z}, '100 Continue');
	print $s $body;
	my ($all) = slurp($s, 1);
	my @r = responses($all);
	cmp_ok($r[0]{status}, '<', 300, 'and then the answer') or diag($all);
	close $s;
}
{
	my $got = talk(request('GET', "Connection: close\r\n") . $smuggled);
	is(scalar(@{ $got->{responses} }), 1, 'nothing is served behind "Connection: close"');
	ok($got->{eof}, 'which is obeyed');
}

# ---- framing ----

my $five = 'hello';
my $zero = "0\r\n\r\n";

refused('length beside coding', request('POST', "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", $zero), '400', strict => '400');
refused('coding beside length', request('POST', "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", $zero), '400', strict => '400');
refused('coding beside length 0', request('GET', "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", $zero), '400', strict => '400');
refused('two lengths, equal', request('POST', "Content-Length: 5\r\nContent-Length: 5\r\n", $five), '400', strict => '400');
refused('two lengths, different', request('POST', "Content-Length: 5\r\nContent-Length: 50\r\n", $five), '400', strict => '400');
refused('two lengths, the second in other letters', request('POST', "Content-Length: 5\r\ncONTENT-lENGTH: 6\r\n", $five), '400', strict => '400');
for (['a list', '5, 5'], ['a sign', '+5'], ['a minus', '-1'], ['hexadecimal', '0x5'], ['two numbers', '5 5'], ['nothing', ''],
	['a parameter', '5;a'], ['a fraction', '5.0'], ['an exponent', '5e0'], ['a quoted number', '"5"'], ['letters', 'five'],
	['a vertical tab', "5\x0b"], ['full-width digits', "\xef\xbc\x95"])
{
	refused("length: $_->[0]", request('POST', "Content-Length: $_->[1]\r\n", $five), '400', by => 'library');
}
refused('length: 20 digits', request('POST', "Content-Length: 18446744073709551617\r\n", $five), '400 413', by => 'library');
refused('length: 30 digits', request('POST', 'Content-Length: ' . '9' x 30 . "\r\n", $five), '400 413', by => 'library');
for (['gzip', 'gzip'], ['chunked twice', 'chunked, chunked'], ['gzip, chunked', 'gzip, chunked'], ['chunked, gzip', 'chunked, gzip'],
	['identity', 'identity'], ['something like chunked', 'xchunked'], ['quoted', '"chunked"'], ['a parameter', 'chunked;q=1'],
	['a comma', 'chunked,'], ['nothing', ''])
{
	refused("coding: $_->[0]", request('POST', "Transfer-Encoding: $_->[1]\r\n", $zero), '501', strict => '400 501');
}
refused('coding: a vertical tab', request('POST', "Transfer-Encoding: \x0bchunked\r\n", $zero), '400', strict => '400 501');
refused('two codings, equal', request('POST', "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", $zero), '400', strict => '400 501');
refused('two codings, the second identity', request('POST', "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", $zero), '400 501', strict => '400 501');
refused('two codings, the first identity', request('POST', "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", $zero), '400 501', strict => '400 501');
refused('a folded coding beside a length', request('POST', "Content-Length: 5\r\nTransfer-Encoding:\r\n chunked\r\n", $zero), '400 501', strict => '400');
refused('blank before the colon of the coding', request('POST', "Transfer-Encoding : chunked\r\n", $zero), '400', strict => '400');
refused('blank before the colon of the length', request('POST', "Content-Length : 5\r\n", $five), '400', strict => '400');
refused('tab before the colon of the length', request('POST', "Content-Length\t: 5\r\n", $five), '400', strict => '400');
refused('HTTP/1.0 with a coding', "POST $good HTTP/1.0\r\n$host${auth}Transfer-Encoding: chunked\r\n\r\n$zero", '400', strict => '400');
refused('HTTP/1.0 with coding and length', "POST $good HTTP/1.0\r\n$host${auth}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n$zero", '400', strict => '400');
refused('content coding', request('POST', "Content-Encoding: gzip\r\nContent-Length: 5\r\n", $five), '415');
refused('another expectation', request('POST', "Expect: 200-ok\r\nContent-Length: 5\r\n", $five), '417');
for (['a sign', '+5'], ['a minus', '-5'], ['a prefix', '0x5'], ['nothing', ''], ['a letter', 'g'], ['overflow', 'FFFFFFFFFFFFFFFFF'], ['64 bits', 'FFFFFFFFFFFFFFFF'])
{
	refused("size of a chunk: $_->[0]", request('POST', "Transfer-Encoding: chunked\r\n", "$_->[1]\r\n$five\r\n$zero"), '400 413 none', by => 'library');
}
refused('a chunk longer than its size', request('POST', "Transfer-Encoding: chunked\r\n", "3\r\n$five\r\n$zero"), '400 none', by => 'library');

# ---- headers ----

refused('no Host', "GET $good HTTP/1.1\r\n$auth\r\n", '400', by => 'library');
refused('two Hosts', request('GET', $host), '400', strict => '400');
refused('two Hosts, the second empty', request('GET', "Host:\r\n"), '400', strict => '400');
for (['a user', 'u@h'], ['a path', 'h/p'], ['a list', 'a, b'], ['a blank', 'a b'], ['a fragment', 'h#f'], ['a query', 'h?q'])
{
	refused("Host with $_->[0]", "GET $good HTTP/1.1\r\nHost: $_->[1]\r\n$auth\r\n", '400');
}
refused('two Authorizations', request('GET', $auth), '400');
refused('two Authorizations, the first wrong', "GET $good HTTP/1.1\r\n${host}Authorization: Bearer no\r\n$auth\r\n", '400');
refused('two Content-Types', request('GET', "$json$json"), '400');
refused('two If-Matches', request('GET', "If-Match: \"a\"\r\nIf-Match: *\r\n"), '400');
refused('blank in a name', request('GET', "X Y: 1\r\n"), '400', strict => '400');
refused('no name', request('GET', ": 1\r\n"), '400', by => 'library');
refused('bracket in a name', request('GET', "X(Y): 1\r\n"), '400', strict => '400');
refused('eighth bit in a name', request('GET', "X\xe9: 1\r\n"), '400', strict => '400');
refused('no colon', request('GET', "nothing\r\n"), '400 none', by => 'library');
refused('CR in a value', request('GET', "X: a\rTransfer-Encoding: chunked\r\n"), '400', strict => '400');
refused('control character in a value', request('GET', "X: a\x01b\r\n"), '400');
refused('DEL in a value', request('GET', "X: a\x7fb\r\n"), '400');
refused('CR in the credential', "GET $good HTTP/1.1\r\n${host}Authorization: Bearer $token\rX\r\n\r\n", '400', strict => '400');

# ---- request line ----

for (['absolute form', "http://scim.example.org$good"], ['authority form', 'scim.example.org:443'], ['asterisk form', '*'],
	['no slash', 'api/v2/scim/Users'], ['a fragment', "$good#f"], ['the eighth bit', "$good/\xc3\xa9"],
	['a control character', "$good/\x01"], ['a tab', "$good\t/x"], ['DEL', "$good\x7f"])
{
	refused("target: $_->[0]", "GET $_->[1] HTTP/1.1\r\n$host$auth\r\n", '400', by => $_->[0] eq 'a tab' ? 'library' : undef);
}
refused('target: a blank', "GET $good /x HTTP/1.1\r\n$host$auth\r\n", '400 none', by => 'library');
refused('CONNECT', "CONNECT scim.example.org:443 HTTP/1.1\r\n$host$auth\r\n", '400');
refused('OPTIONS *', "OPTIONS * HTTP/1.1\r\n$host$auth\r\n", '400');
refused('preface of HTTP/2', "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", '400 505 none', by => 'library');
for (['2.0', 'HTTP/2.0'], ['1.2', 'HTTP/1.2'], ['9.9', 'HTTP/9.9'], ['in small letters', 'http/1.1'], ['with a tail', 'HTTP/1.1x'], ['without a number', 'HTTP/'], ['of another protocol', 'ICY/1.1'])
{
	refused("version $_->[0]", "GET $good $_->[1]\r\n$host$auth\r\n", '400 505 none', by => 'library');
}
refused('no version', "GET $good\r\n$host$auth\r\n", '400 505 none', by => 'library');
refused('bracket in the method', "GE(T $good HTTP/1.1\r\n$host$auth\r\n", '400');
refused('TLS to a plain port', "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" . 'x' x 100 . "\r\n\r\n", '400 505 none', by => 'library');
refused('another protocol', "SSH-2.0-OpenSSH_9.2\r\n\r\n", '400 505 none', by => 'library');

# A method that is well formed goes to the provider, exactly as it is spelled.
for my $method ('get', 'TRACE', 'PROPFIND', 'GETX')
{
	my $got = talk("$method $good HTTP/1.1\r\n$host${auth}Connection: close\r\n\r\n");
	like($got->{responses}[0]{status}, qr/^(405|501)$/, "method $method") or diag($got->{bytes});
}

# What does not show in names and values: how lines end, fold, and have no name.
refused('LF at the end of lines', "GET $good HTTP/1.1\nHost: a\n\n", '400 none', by => 'library');
refused('LF at the end of one line', request('GET', "X: a\nY: b\r\n"), '400', strict => '400');
refused('LF at the end of the request line', "GET $good HTTP/1.1\n$host$auth\r\n", '400', strict => '400');
refused('LF at the end of the head', "GET $good HTTP/1.1\r\n${host}Authorization: Bearer $token\n\r\n", '400', strict => '400');
refused('a coding behind LF', request('GET', "X: a\nTransfer-Encoding: chunked\r\n", $zero), '400', strict => '400');
refused('a folded line', request('GET', "X: a\r\n b\r\n"), '400', strict => '400');
refused('a folded line, with a tab', request('GET', "X: a\r\n\tb\r\n"), '400', strict => '400');
refused('a folded length', request('POST', "Content-Length:\r\n 5\r\n", $five), '400', by => 'library');
refused('a folded credential', "GET $good HTTP/1.1\r\n${host}Authorization: Bearer\r\n $token\r\n\r\n", '400', strict => '400');
refused('a first line that begins with a blank', "GET $good HTTP/1.1\r\n X: a\r\n$host$auth\r\n", '400 none', by => 'library');
refused('a line without a name before others', "GET $good HTTP/1.1\r\n$host: 1\r\n$auth\r\n", '400', by => 'library');
refused('a colon alone', "GET $good HTTP/1.1\r\n$host:\r\n$auth\r\n", '400', by => 'library');
refused('a request behind a line without a name', request('GET', ":\r\n$smuggled"), '400', by => 'library');
refused('NUL in the target', "GET $good\0/x HTTP/1.1\r\n$host$auth\r\n", '400 none', by => 'library');
refused('NUL in a value', request('GET', "X: a\0b\r\n"), '400', by => 'library');
refused('NUL in a name', request('GET', "X\0Y: b\r\n"), '400 none', by => 'library');
refused('NUL in the credential', "GET $good HTTP/1.1\r\n${host}Authorization: Bearer $token\0x\r\n\r\n", '400', by => 'library');
refused('NUL before the coding', request('POST', "X: a\0\r\nTransfer-Encoding: chunked\r\n", $zero), '400', by => 'library');

# ---- sizes ----

served('a head of 15 kB', request('GET', join('', map { "X-$_: " . 'x' x 990 . "\r\n" } 1 .. 14)), 1);
refused('a head of 17 kB', request('GET', join('', map { "X-$_: " . 'x' x 990 . "\r\n" } 1 .. 17)), '431');
refused('a head of 100 kB', request('GET', join('', map { "X-$_: " . 'x' x 990 . "\r\n" } 1 .. 100)), '431 none', by => 'library');
refused('one header of 100 kB', request('GET', 'X: ' . 'x' x 100_000 . "\r\n"), '431 none', by => 'library');
refused('3,000 headers', request('GET', "a: b\r\n" x 3000), '431 none', by => 'library');
{
	my $query = '?a=' . 'x' x (8192 - length($good) - 3);
	served('a target of 8 kB', "GET $good$query HTTP/1.1\r\n$host$auth\r\n", 1);
	refused('one byte more', "GET $good${query}x HTTP/1.1\r\n$host$auth\r\n", '414');
	refused('a target of 100 kB', "GET $good?" . 'x' x 100_000 . " HTTP/1.1\r\n$host$auth\r\n", '414 431 none', by => 'library');
}
{
	my $max = 64 * 1024;
	my $body = user();
	my $full = $body . ' ' x ($max - length $body);
	served('a body of the limit', post("Content-Length: $max\r\n", $full), 1);
	$body = user();
	$full = $body . ' ' x ($max - length $body);
	served('the same in chunks', post("Transfer-Encoding: chunked\r\n", chunked(unpack('(a5000)*', $full))), 1);
	refused('one byte more', post('Content-Length: ' . ($max + 1) . "\r\n", "$full "), '413');
	refused('the same in chunks', post("Transfer-Encoding: chunked\r\n", chunked(unpack('(a5000)*', "$full "))), '413');
	refused('a gigabyte that is only announced', post("Content-Length: 1073741824\r\n", ''), '413', alone => 1);
	refused('a gigabyte with an expectation', post("Expect: 100-continue\r\nContent-Length: 1073741824\r\n", ''), '413', alone => 1);
	refused('3 MB in one chunk', post("Transfer-Encoding: chunked\r\n", "300000\r\n" . 'x' x 0x300000 . "\r\n$zero"), '413');
	refused('3 MB with a length', post('Content-Length: ' . 0x300000 . "\r\n", 'x' x 0x300000), '413');
}

# ---- deadlines ----

# How long the server keeps a connection; what it sends is thrown away.
sub lives
{
	my ($s, $timeout) = @_;
	my (undef, $eof, $took) = slurp($s, $timeout);
	return $eof ? $took : 99;
}

# Send a byte every 0.2 s until the connection ends.
sub trickle
{
	my ($s, $bytes, $timeout) = @_;
	my $start = time;
	for my $byte (split //, $bytes)
	{
		return 99 if time - $start > $timeout;
		last unless syswrite($s, $byte);
		next unless IO::Select->new($s)->can_read(0.2);
		my $n = sysread($s, my $chunk, 65536);
		last if !$n;
	}
	return time - $start;
}

sub about
{
	my ($took, $wanted, $name) = @_;
	ok($took > $wanted - 0.3 && $took < $wanted + 1, $name) or diag("after $took s, not $wanted s");
	return;
}

my @silent = map { dial() } 1 .. 5;
about(lives($silent[0], 4), 1, 'a connection that says nothing is cut at the head deadline');
is(scalar(grep { lives($_, 0.5) < 0.6 } @silent[ 1 .. 4 ]), 4, 'so are its neighbours');
about(trickle(dial(), request('GET', ''), 5), 1, 'one byte after the other is no excuse: head');
{
	my $s = dial();
	print $s post("Content-Length: 50\r\n", '{');
	about(trickle($s, ' ' x 50, 5), 1.5, 'nor in the body');
	$s = dial();
	print $s post("Transfer-Encoding: chunked\r\n", '');
	about(trickle($s, "1\r\n \r\n" x 20, 5), 1.5, 'nor in chunks');
	$s = dial();
	print $s request('GET', '');
	slurp($s, 0.3);
	about(lives($s, 5), 1.2, 'a connection that is idle after an answer is cut at the idle deadline');
	$s = dial();
	print $s request('GET', '');
	slurp($s, 0.3);
	about(trickle($s, request('GET', ''), 6), 1.2, 'so is one that begins the next request slowly');
}
{
	my $s = dial();
	my ($n, $all) = (0, '');
	for (1 .. 30)
	{
		print $s request('GET', '') or last;
		my $end = time + 2;
		my $r = 0;
		while (time < $end && !$r)
		{
			last unless IO::Select->new($s)->can_read(1);
			last unless sysread($s, my $chunk, 65536);
			$all .= $chunk;
			my @r = grep { $_->{status} ne 'rest' } responses($all);
			$r = @r > $n;
			$n = @r;
		}
		last unless $r;
	}
	is($n, 20, 'so many requests on one connection and no more');
	like($all, qr/\r\nConnection: close\r\n(?:(?!HTTP\/1\.1).)*\z/si, 'the last answer says so');
}

# An answer that nobody reads: the pipeline stands, its requests are not
# served for ever, and others are.
{
	my @greedy = map { dial() } 1 .. 3;
	setsockopt($_, SOL_SOCKET, SO_RCVBUF, 4096) for @greedy;
	$_->blocking(0) for @greedy;
	syswrite($_, request('GET', '') x 200) for @greedy;
	served('beside clients that do not read', request('GET', ''), 1);
	sleep(2.5);
	my $open = 0;
	for my $s (@greedy)
	{
		my $n = 0;
		$s->blocking(1);
		my ($all, $eof) = slurp($s, 2);
		$open++ unless $eof;
	}
	is($open, 0, 'they are cut');
}

# ---- many connections ----

# More of them than are allowed, saying nothing: the oldest make room.
{
	my @idle;
	push @idle, eval { dial() } for 1 .. 100;
	served('beside 100 silent connections where 60 are allowed', request('GET', ''), 1);
	my $cut = grep { defined && lives($_, 0.02) < 1 } @idle;
	cmp_ok($cut, '>=', 40, 'those too many were cut') or diag("$cut");
	close $_ for grep { defined } @idle;
}

# A client whose request was authenticated keeps its place.
{
	my $s = dial();
	print $s request('GET', '');
	my ($all) = slurp($s, 0.2);
	my @idle = map { scalar eval { dial() } } 1 .. 80;
	print $s request('GET', '');
	my ($again) = slurp($s, 0.5);
	like($again, qr{\AHTTP/1\.1 200 }, 'an authenticated connection outlives a flood of others');
	close $_ for grep { defined } @idle;
}

# H8: every one of many connections that are suspended at the same time is
# served, again and again.
{
	my @many = map { dial() } 1 .. 40;
	for my $round (1 .. 5)
	{
		print {$_} request('GET', '') for @many;
		my $answered = 0;
		for my $s (@many)
		{
			next unless IO::Select->new($s)->can_read(3);
			sysread($s, my $chunk, 65536);
			$answered++ if $chunk =~ m{\AHTTP/1\.1 200 };
		}
		is($answered, 40, "40 at a time, round $round: nobody starves");
	}
}

# Clients that are gone before the answer.
{
	for (1 .. 30)
	{
		my $s = dial();
		print $s request('GET', '') x 3;
		setsockopt($s, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0)) if $_ % 2;
		close $s;
	}
	served('after clients that left', request('GET', ''), 1);
}

# ---- failed authentications ----

{
	my %seen;
	my $retry;
	my $start = time;

	for (1 .. 130)
	{
		my $got = talk("GET $base/Users HTTP/1.1\r\n${host}Authorization: Bearer scim_wrong\r\nConnection: close\r\n\r\n");
		my $r = $got->{responses}[0];
		$seen{ $r->{status} }++;
		$retry = $r->{headers}{'retry-after'} if $r->{status} == 429;
	}
	note(join(' ', map { "$_: $seen{$_}" } sort keys %seen), ' in ', time - $start, ' s');
	cmp_ok($seen{401} || 0, '>=', 90, 'an address may fail 100 times in 10 s');
	cmp_ok($seen{429} || 0, '>=', 20, 'then it has to wait');
	ok(defined $retry && $retry >= 1 && $retry <= 10, 'Retry-After says how long');
	served('a token that was good before goes on being so', request('GET', ''), 1);
	refused('no token', "GET $good HTTP/1.1\r\n$host\r\n", '429');
}

$t->no_crash;
done_testing();
