# ScimLedger.pm - clients that create and change users and keep a ledger of
# every answer, and a comparison of the ledgers with the tables.
#
# A client writes "state userName id" lines: "new" before the first try, "ack"
# after a 201, "had" after a 409, which says that an earlier try whose answer was
# lost had been committed.  A name is tried until one of them comes.  "set" is
# written after the 200 of a PATCH of title.  What else comes but no answer (599)
# and "not ready" (503) is "bad".
package ScimLedger;

use strict;
use warnings FATAL => 'all';

use IO::Socket::INET;
use ScimTest;
use Test::More;
use Time::HiRes qw(sleep time);

use PostgreSQL::Test::Utils ();

# Options: server (a ScimTest), clients (default 10).
sub new
{
	my ($class, %opt) = @_;
	my $dir = PostgreSQL::Test::Utils::tempdir();
	return bless { t => $opt{server}, clients => $opt{clients} || 10, dir => $dir, stop_file => "$dir/stop", round => 0, pids => [], read => {} }, $class;
}

sub _writer
{
	my ($self, $i) = @_;
	my $t = $self->{t};
	my $c = $t->client(timeout => 5);
	my $n = 0;
	my $parent = getppid;
	my $over = sub { return -e $self->{stop_file} || getppid != $parent };

	open(my $ledger, '>>', "$self->{dir}/ledger.$i") or die $!;
	$ledger->autoflush(1);
	until ($over->())
	{
		my $name = "r$self->{round}-c$i-" . $n++ . '@example.org';
		alarm(100);		# it lives as long as it gets on
		print $ledger "new $name -\n";
		while (1)
		{
			my $r = $c->post('/Users', { schemas => [CORE_USER], userName => $name, active => TRUE,
				emails => [ { type => 'work', value => $name, primary => TRUE }, { type => 'home', value => "h-$name" } ] });
			if ($r->status == 201)
			{
				my $id = $r->id;
				print $ledger "ack $name $id\n";
				$r = $c->patch("/Users/$id", { schemas => [PATCH_OP], Operations => [ { op => 'replace', path => 'title', value => "t-$name" } ] });
				if ($r->status == 200) { print $ledger "set $name $id\n" }
				elsif ($r->status != 599 && $r->status != 503) { print $ledger "bad $name ", $r->status, "\n" }
				last;
			}
			if ($r->status == 409) { print $ledger "had $name -\n"; last }
			if ($r->status != 599 && $r->status != 503)
			{
				print $ledger "bad $name ", $r->status, "\n";
				last;
			}
			last if $over->();
			sleep(0.05);
			$c = $t->client(timeout => 5);
		}
	}
	return;
}

sub start
{
	my ($self) = @_;
	unlink $self->{stop_file};
	$self->{round}++;
	$self->{pids} = [ fork_clients($self->{clients}, sub { $self->_writer(@_) }) ];
	return;
}

sub stop
{
	my ($self) = @_;
	open(my $fh, '>', $self->{stop_file}) or die $!;
	close $fh;
	is(wait_children(@{ $self->{pids} }), 0, 'the clients end');
	return;
}

# Lines of all ledgers that are complete; "fresh": only those since the last time.
sub _lines
{
	my ($self, $fresh) = @_;
	my @lines;

	for my $file (glob "$self->{dir}/ledger.*")
	{
		open(my $fh, '<', $file) or die $!;
		seek($fh, $self->{read}{$file} || 0, 0) if $fresh;
		while (my $line = <$fh>)
		{
			last if $line !~ s/\n$//;
			push @lines, $line;
			$self->{read}{$file} = tell $fh if $fresh;
		}
	}
	return @lines;
}

sub acknowledged
{
	my ($self) = @_;
	return scalar(grep { /^ack / } $self->_lines);
}

# Wait for more acknowledgements: the load is flowing.
sub flowing
{
	my ($self, $more) = @_;
	my $size = sub { my $sum = 0; $sum += -s $_ || 0 for glob "$self->{dir}/ledger.*"; return $sum };
	my ($start, $from) = (time, $size->());
	# "new", "ack" with an id, and "set" are some 130 bytes
	while (time - $start < 20)
	{
		return 1 if $size->() >= $from + 130 * $more;
		sleep(0.05);
	}
	return 0;
}

# Compare the ledgers with the tables.  Returns what is wrong, in words, and how
# many users and changes have been compared.  "fresh": only what was written into
# the ledgers since the last time, while the clients go on.
sub compare
{
	my ($self, $fresh) = @_;
	my (%ack, %had, %new, %set, %row, %title, @wrong);

	for ($self->_lines($fresh))
	{
		my ($state, $name, $id) = split / /;
		if ($state eq 'new') { $new{$name} = 1 }
		elsif ($state eq 'ack') { $ack{$name} = $id }
		elsif ($state eq 'had') { $had{$name} = 1 }
		elsif ($state eq 'set') { $set{$name} = $id }
		else { push @wrong, "another answer for $name: $id" }
	}
	my $names = join(',', map { "'$_'" } keys %ack, keys %had, keys %set);
	# a plan made for empty tables would go through all e-mails for each user
	$self->{t}->sql('ANALYZE scim.users; ANALYZE scim.user_values') if !$self->{analyzed}++;
	my $which = $fresh ? qq{WHERE u.tenant = 'acme' AND scim.fold(u.user_name) COLLATE "C" = ANY (ARRAY[$names]::text[])} : '';
	for (split /\n/, $self->{t}->sql(qq{SELECT user_name, u.id, (SELECT count(*) FROM scim.user_emails e WHERE (e.tenant, e.user_id) = (u.tenant, u.id)), coalesce(title, '-') FROM scim.users u $which}))
	{
		my ($name, $id, $emails, $title) = split /\|/;
		push @wrong, "$name is there twice" if $row{$name};
		push @wrong, "$name was never sent" if !$fresh && !$new{$name};
		push @wrong, "$name is there by half" if $emails != 2;
		$row{$name} = $id;
		$title{$name} = $title;
	}
	for (keys %ack)
	{
		push @wrong, "$_ had a 201 and is lost" if !defined $row{$_};
		push @wrong, "$_ is there with another id" if defined $row{$_} && $row{$_} ne $ack{$_};
	}
	push @wrong, map { "$_ had a 409 and is lost" } grep { !$row{$_} } keys %had;
	push @wrong, map { "the change of $_ had a 200 and is lost" } grep { !defined $title{$_} || $title{$_} ne "t-$_" } keys %set;
	return (\@wrong, scalar(keys %ack), scalar(keys %set));
}

sub check
{
	my ($self, $what, $fresh) = @_;
	my ($wrong, $users, $changes) = $self->compare($fresh);
	my @some = @$wrong[ 0 .. ($#$wrong < 4 ? $#$wrong : 4) ];
	is(join("\n", @some), '', "$what: $users acknowledged users are there, once, whole, and $changes changes; nobody else");
	return;
}

# Port free: nobody of an old server holds it.
sub port_free
{
	my ($self, $timeout) = @_;
	my $start = time;
	while (time - $start < $timeout)
	{
		my $s = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $self->{t}->port, Proto => 'tcp', Listen => 1, ReuseAddr => 1);
		return 1 if $s;
		sleep(0.1);
	}
	return 0;
}

# Settings of a server that is to lose what the listeners do not flush themselves:
# the WAL writer, which would do it for them, sleeps.
sub conf
{
	return "checkpoint_timeout = 30s\nwal_writer_delay = 10s\nwal_writer_flush_after = 1GB\n";
}

# kill -9 of the postmaster, and a start after it; seconds until listeners are
# back, or what went wrong.
sub kill_server
{
	my ($self) = @_;
	my $node = $self->{t}->node;
	my $postmaster = $node->{_pid};

	$node->kill9;
	return (undef, 'the listeners do not leave the port') if !$self->port_free(5);
	# a process that nobody has waited for yet counts as running for pg_ctl
	for (1 .. 100)
	{
		last unless kill 0, $postmaster;
		sleep(0.1);
	}
	return (undef, 'the server does not start') if !$node->start;
	my $took = $self->{t}->try_listening(15);
	return ($took, defined $took ? undef : 'no listener within 15 s');
}

1;
