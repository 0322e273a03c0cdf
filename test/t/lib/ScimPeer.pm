# ScimPeer.pm - the test peer (test/peer) as a process to provision to.
#
# ScimPeer->start(profile => 'datadog', token => 'secret') runs a peer on a free
# port of 127.0.0.1; what it holds, has seen and shall do wrong is asked and
# told through its /_peer/ interface, as perl data.  A peer ends with the object
# or with the test file.  "make -C test/peer" has to have built it.
#
# What a fault is: test/peer/peer_fault.c.
package ScimPeer;

use strict;
use warnings FATAL => 'all';

use File::Basename ();
use File::Spec;
use File::Temp ();
use HTTP::Tiny;
use JSON::PP ();
use POSIX ();
use Time::HiRes qw(sleep time);

my $codec = JSON::PP->new->utf8->canonical->allow_nonref;
my $program = File::Spec->rel2abs(
	File::Spec->catfile(File::Basename::dirname(__FILE__), '..', '..', '..', 'build', 'peer', 'peer'));
my %running;

# Options: profile, base, token, port, latency (ms), rate (requests in the
# profile's period, 0 for any number), delete_means, seed (users), state (file),
# random_seed, tls (1: with a certificate of its own), settings (hash, as
# PATCH /_peer/settings takes them).
sub start
{
	my ($class, %opt) = @_;
	my $self = bless { profile => $opt{profile} || 'generic', token => $opt{token} }, $class;
	my @args = ('--port', $opt{port} || 0, '--profile', $self->{profile});

	die "there is no $program: run make -C test/peer\n" unless -x $program;
	for my $name (qw(base latency rate delete_means seed state random_seed))
	{
		(my $option = $name) =~ tr/_/-/;
		push @args, "--$option", $opt{$name} if defined $opt{$name};
	}
	push @args, '--setting', "$_=" . $codec->encode($opt{settings}{$_}) for sort keys %{ $opt{settings} || {} };

	# Other users see the arguments of a process.
	$self->{dir} = File::Temp->newdir('scim-peer-XXXXXX', TMPDIR => 1);
	if (defined $opt{token})
	{
		open my $file, '>', "$self->{dir}/token" or die "$self->{dir}/token: $!";
		print $file $opt{token};
		close $file;
		push @args, '--token-file', "$self->{dir}/token";
	}
	push @args, $self->certificate if $opt{tls};

	pipe my $out, my $in or die "pipe: $!";
	my $pid = fork;
	die "fork: $!" unless defined $pid;
	if (!$pid)
	{
		open STDOUT, '>&', $in or POSIX::_exit(127);
		close $out;
		exec { $program } $program, @args or POSIX::_exit(127);
	}
	close $in;
	$self->{pid} = $pid;
	$self->{owner} = $$;
	$running{$pid} = $$;
	my $line = <$out>;
	($self->{port}) = ($line || '') =~ /^listening on (\d+)$/ or die "the peer did not start\n";
	$self->{out} = $out;

	$self->{http} = HTTP::Tiny->new(timeout => 60, max_redirect => 0,
		($self->{ca} ? (verify_SSL => 1, SSL_options => { SSL_ca_file => $self->{ca} }) : ()));
	$self->{base} = $self->settings->{base};
	return $self;
}

sub certificate
{
	my ($self) = @_;
	my ($cert, $key) = ("$self->{dir}/peer.crt", "$self->{dir}/peer.key");

	system('openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-sha256', '-days', '2',
		'-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1',
		'-keyout', $key, '-out', $cert, '-batch') == 0
	  or die "openssl failed\n";
	$self->{ca} = $cert;
	return ('--tls-cert', $cert, '--tls-key', $key);
}

sub port { return $_[0]->{port} }
sub token { return $_[0]->{token} }
sub ca { return $_[0]->{ca} }
sub pid { return $_[0]->{pid} }

# scheme://host:port, and with the path of the service.
sub origin { my ($self) = @_; return ($self->{ca} ? 'https' : 'http') . "://127.0.0.1:$self->{port}" }
sub url { my ($self) = @_; return $self->origin . $self->{base} }

# One request to /_peer/; dies unless it is answered with 200.
sub control
{
	my ($self, $method, $what, $body) = @_;
	my %args;

	%args = (content => $codec->encode($body), headers => { 'Content-Type' => 'application/json' }) if defined $body;
	my $r = $self->{http}->request($method, $self->origin . "/_peer/$what", \%args);
	die "$method /_peer/$what: $r->{status} $r->{content}\n" if $r->{status} != 200;
	return $codec->decode($r->{content});
}

# One request to the service, as a client with the token: (status, decoded body,
# headers).  The status is 599 if there was no answer.
sub request
{
	my ($self, $method, $path, $body, %headers) = @_;
	my %args = (headers => { %headers });

	$args{headers}{Authorization} ||= "Bearer $self->{token}" if defined $self->{token};
	if (defined $body)
	{
		$args{content} = ref $body ? $codec->encode($body) : $body;
		$args{headers}{'Content-Type'} ||= 'application/json';
	}
	my $r = $self->{http}->request($method, $self->url . $path, \%args);
	return ($r->{status}, scalar eval { $codec->decode($r->{content}) }, $r->{headers});
}

# All resources, {Users => [...], Groups => [...]} by name.
sub state { return $_[0]->control('GET', 'state') }
sub users { return { map { $_->{userName} => $_ } @{ $_[0]->state->{Users} } } }
sub groups { return { map { $_->{displayName} => $_ } @{ $_[0]->state->{Groups} } } }

# Requests from number $since on: number, time_ms, end_ms, method, path, query,
# body, user_agent, content_type, fault, status, applied, created_twice, early,
# overlaps.
sub log
{
	my ($self, $since) = @_;
	my ($next, @requests) = ($since || 1);

	for (;;)
	{
		my $part = $self->control('GET', "log?since=$next");
		push @requests, @{ $part->{requests} };
		return @requests if @{ $part->{requests} } < 10000;
		$next = $part->{next};
	}
}

# The number of the next request, to give to log later.
sub mark { return $_[0]->control('GET', 'log?limit=0&since=1000000000000')->{next} }
sub clear_log { return $_[0]->control('DELETE', 'log') }

sub stats { return $_[0]->control('GET', 'stats') }
sub reset_stats { return $_[0]->control('DELETE', 'stats') }

# These rules instead of those there are; without any, no fault.
sub faults { my ($self, @rules) = @_; return $self->control('POST', 'faults', \@rules) }
sub faults_now { return $_[0]->control('GET', 'faults') }

sub settings { my ($self, %set) = @_; return %set ? $self->control('PATCH', 'settings', \%set) : $self->control('GET', 'settings') }

# What somebody else does at the target.
sub put_resources { my ($self, @resources) = @_; return $self->control('POST', 'resources', \@resources) }
sub remove { my ($self, $id) = @_; return $self->control('DELETE', "resources/$id") }
sub remove_all { return $_[0]->control('DELETE', 'resources') }

# Wait until $code->($self) is true, at most $timeout seconds; its value.
sub wait_for
{
	my ($self, $code, $timeout) = @_;
	my $end = time + ($timeout || 10);
	my $value;

	until ($value = $code->($self))
	{
		return $value if time > $end;
		sleep 0.05;
	}
	return $value;
}

# A resource as paths and values, {'name.formatted' => 'Ann', 'active' => 1,
# 'emails[type eq "work"].value' => ...}, booleans as 0 and 1, members as the
# sorted list of ids; without what the peer adds.
sub flat
{
	my ($class, $resource) = @_;
	my %flat;

	for my $name (grep { !/^(?:id|meta|schemas)$/ } keys %$resource)
	{
		my $value = $resource->{$name};

		if ($name eq 'members') { $flat{members} = [ sort map { $_->{value} } @$value ] }
		elsif (ref $value eq 'ARRAY')
		{
			for my $element (@$value)
			{
				my $which = defined $element->{type} ? qq($name\[type eq "$element->{type}"]) : $name;
				$flat{"$which.$_"} = scalar_of($element->{$_}) for grep { $_ ne 'type' } keys %$element;
			}
		}
		elsif (ref $value eq 'HASH')
		{
			# of an extension, as in a PATCH path
			my $separator = $name =~ /^urn:/i ? ':' : '.';
			$flat{"$name$separator$_"} = scalar_of($value->{$_}) for keys %$value;
		}
		else { $flat{$name} = scalar_of($value) }
	}
	return \%flat;
}

sub scalar_of
{
	my ($value) = @_;
	return JSON::PP::is_bool($value) ? ($value ? 1 : 0) : $value;
}

# What no sync may do, whatever goes wrong: create twice, come back before the
# time that was announced, write a resource that it is writing already.
# Returns a list of what it did, empty if nothing.
sub offences
{
	my ($self) = @_;
	my $stats = $self->stats;
	my @offences;

	push @offences, "created twice: @{ $stats->{duplicates} }" if $stats->{duplicate_creates};
	for my $r (grep { $_->{early} || $_->{overlaps} } $self->log)
	{
		push @offences, sprintf '%s: request %d at %.0f ms, %s %s', $r->{early} ? 'too early' : 'overlapping',
		  @{$r}{qw(number time_ms method path)};
	}
	return @offences;
}

sub signal
{
	my ($self, $signal) = @_;
	my $pid = delete $self->{pid} or return;

	delete $running{$pid};
	# waitpid sets $?, which is the exit status of a test file that is ending
	local $?;
	kill $signal, $pid;
	waitpid $pid, 0;
	return $?;
}

# Exit status.
sub stop { return $_[0]->signal('TERM') }
sub kill9 { return $_[0]->signal('KILL') }

sub DESTROY
{
	my ($self) = @_;
	$self->stop if $self->{owner} && $self->{owner} == $$;
	return;
}

END
{
	kill 'TERM', grep { $running{$_} == $$ } keys %running;
}

1;
