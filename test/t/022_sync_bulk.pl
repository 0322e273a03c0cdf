# 022_sync_bulk.pl - several changes in one request: where the target says that
# it offers that, what each operation comes to, answers that are lost or lack
# something, refusals, and what never travels with others.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use JSON::PP ();
use ScimPeer;
use ScimSync;
use ScimTest;
use Test::More;
use Time::HiRes qw(sleep time);

use constant CORE_USER => 'urn:ietf:params:scim:schemas:core:2.0:User';

ScimTest->watchdog(250);
my ($false, $true) = (FALSE, TRUE);
my $s = ScimSync->start;
my $json = JSON::PP->new->utf8;

sub learned { my ($server) = @_; return $s->sql("SELECT string_agg(capability || ' ' || value, ', ' ORDER BY 1) FROM scim._learned l, LATERAL (VALUES (l.capability)) c WHERE server = '$server'") }

sub bulks { my ($peer, $mark) = @_; return grep { $_->{path} =~ m{/Bulk$} } $peer->log($mark || 1) }

sub largest
{
	my ($most) = sort { $b <=> $a } map { scalar @{ $json->decode($_->{body})->{Operations} } } @_;
	return $most // 0;
}

# A peer, a table with rows, a sync that is not settled yet.
sub begin
{
	my ($name, $rows, %opt) = @_;
	my $peer = ScimPeer->start(token => CANARY, settings => $opt{settings} || {});

	$peer->faults(@{ $opt{faults} }) if $opt{faults};
	$s->mapped_table($name, $rows);
	$s->start_sync($name, $peer, mapping => $name, server => { bulk => 'ask', %{ $opt{server} || {} } }, %{ $opt{sync} || {} });
	return $peer;
}

# ---- asked, offered, used ----

{
	my $peer = begin('offered', 300);

	ok($s->settled('offered', 30), 'settled');
	$s->same_users($peer, 'offered', 'created');
	is(scalar(grep { $_->{path} =~ m{/ServiceProviderConfig$} } $peer->log), 1, 'it was asked once');
	is(learned('offered'), 'bulk true', 'and offers it');
	cmp_ok(largest(bulks($peer)), '<=', 100, 'no more operations than it takes');
	cmp_ok(scalar(() = $peer->log), '<', 100, scalar(() = $peer->log) . ' requests for 300 rows');
	my $mark = $peer->mark;
	$s->sql("UPDATE hr.offered SET job_title = 'New'");
	$s->becomes_same($peer, 'offered', 'changed', 20);
	ok($s->settled('offered', 20), 'settled');
	cmp_ok(scalar(() = $peer->log($mark)), '<', 30, scalar(() = $peer->log($mark)) . ' requests for 300 changes');
	is($s->sql("SELECT count(*) FROM scim.sync_log WHERE sync = 'offered' AND action = 'update' AND status = 200"), 300, 'each is in the log');

	# each operation comes to what it would alone
	no_offences($peer, 'offered');
	$mark = $peer->mark;
	$peer->remove($peer->users->{'user7@example.com'}{id});
	$s->sql("UPDATE hr.offered SET job_title = 'Newer' WHERE id <= 20");
	$s->becomes_same($peer, 'offered', 'one of them had gone', 20);
	ok($s->settled('offered', 20), 'settled');
	ok($peer->users->{'user7@example.com'}, 'and was made anew');

	# who is taken out of use
	$mark = $peer->mark;
	$s->sql("UPDATE hr.offered SET is_soft_deleted = id % 2 = 0, job_title = 'Newest' WHERE id <= 20");
	$s->becomes_same($peer, 'offered', 'ten are out of use', 20);
	$s->sql('DELETE FROM hr.offered WHERE id BETWEEN 21 AND 28');
	ok($s->poll("SELECT count(*) FROM scim.sync_links WHERE sync = 'offered' AND state = 'disabled'", 8, 20), 'rows that are gone');
	is(scalar(grep { ($_->{body} || '') =~ /"active","value":false/ } bulks($peer, $mark)), 0, 'nobody of them travels with others');
	$s->sql("SELECT scim.drop_sync('offered')");
}

# ---- few rows ----

{
	my $peer = begin('few', 5);

	ok($s->settled('few'), 'settled');
	is(scalar(grep { $_->{path} !~ m{/Users} } $peer->log), 0, 'for a few rows nothing is asked');
	$s->sql("SELECT scim.drop_sync('few')");
}

# ---- answers that are lost, or lack something ----

for my $fault ({ action => 'drop', applied => $true }, { action => 'drop' }, { action => 'truncate' },
	{ action => 'answer', status => 200, answer_body => { Operations => [] }, applied => $true },
	{ action => 'answer', status => 500, applied => $true })
{
	my $what = "$fault->{action}" . ($fault->{status} || '') . ($fault->{applied} ? 'ed' : '');
	my $peer = begin($what, 40, server => { bulk => 'true' }, faults => [ { path => '/Bulk', first => 1, %$fault } ]);

	ok($s->settled($what, 60), "$what: settled");
	$s->same_users($peer, $what, $what);
	no_offences($peer, $what);
	$s->sql("SELECT scim.drop_sync('$what')");
}

# ---- refusals ----

for my $status (404, 405, 501, 400, 403)
{
	my $name = "refused$status";
	my $peer = begin($name, 60, server => { bulk => 'true' });

	# an option is not unlearned: the server is told otherwise
	$s->sql("ALTER SERVER $name OPTIONS (DROP bulk)");
	$peer->faults({ path => '/Bulk', action => 'answer', status => $status });
	ok($s->settled($name, 30), "$name: settled");
	$s->same_users($peer, $name, $name);
	$s->sql("UPDATE hr.$name SET job_title = 'New'");
	$s->becomes_same($peer, $name, "$name: changed", 20);
	is(learned($name), 'bulk false', "$name: it is not asked this way any more");
	cmp_ok(scalar(() = bulks($peer)), '<=', 9, "$name: than by what was under way");
	is($s->sql("SELECT count(*) FROM scim.sync_errors WHERE sync = '$name'"), 0, "$name: no row is to blame");
	no_offences($peer, $name);
	$s->sql("SELECT scim.drop_sync('$name')");
}
{
	my $peer = begin('large', 120, faults => [ { path => '/Bulk', action => 'answer', status => 413, first => 1 } ]);

	ok($s->settled('large', 30), 'too large: settled');
	$s->same_users($peer, 'large', 'too large');
	like(learned('large'), qr/^bulk true, bulk_max_operations \d+$/, 'a smaller number is learned');
	no_offences($peer, 'large');
	$s->sql("SELECT scim.drop_sync('large')");
}
{
	my $peer = begin('limited', 100, server => { bulk => 'true', bulk_max_payload => 3000 });

	ok($s->settled('limited', 30), 'bytes: settled');
	my ($most) = sort { $b <=> $a } map { length $_->{body} } bulks($peer);
	cmp_ok($most, '<=', 3000, 'no request is larger');
	cmp_ok($most, '>', 1000, 'nor much smaller');
	$s->same_users($peer, 'limited', 'bytes');
	$s->sql("SELECT scim.drop_sync('limited')");
}
{
	my $peer = begin('throttled', 60, server => { bulk => 'true' }, faults => [ { path => '/Bulk', action => 'answer', status => 429, retry_after => 2, first => 1 } ]);

	ok($s->settled('throttled', 30), '429: settled');
	$s->same_users($peer, 'throttled', '429');
	no_offences($peer, '429');
	$s->sql("SELECT scim.drop_sync('throttled')");
}
done_testing();
