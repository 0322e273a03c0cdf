# 015_sync_changes.pl - every way in which a row can change, and in which a
# resource can change behind our back, and what arrives at the target.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use ScimPeer;
use ScimSync;
use ScimTest;
use Test::More;
use Time::HiRes qw(sleep time);

ScimTest->watchdog(240);
my ($false, $true) = (FALSE, TRUE);

my $s = ScimSync->start(conf => "max_prepared_transactions = 5\n");
my $t = $s->t;

sub writes { my ($peer, $since) = @_; return grep { $_->{method} ne 'GET' } $peer->log($since) }
sub said { return join ' ', map { $_->{method} } @_ }

# ---- an update whose answer is lost, of a row that then is what it was before ----

{
	my $peer = ScimPeer->start(token => CANARY);

	$s->mapped_table('lost', 3);
	$s->start_sync('lost', $peer, mapping => 'lost');
	ok($s->settled('lost'), 'settled');
	my $title = $s->sql('SELECT job_title FROM hr.lost WHERE id = 1');
	$peer->faults({ action => 'drop', applied => $true, method => 'PATCH', first => 1 });
	$s->sql("UPDATE hr.lost SET job_title = 'for a moment' WHERE id = 1");
	ok($peer->wait_for(sub { grep { $_->{method} eq 'PATCH' } $_[0]->log }, 5), 'the PATCH was carried out');
	$s->sql("UPDATE hr.lost SET job_title = '$title' WHERE id = 1");
	ok($s->settled('lost', 30), 'settled');
	$s->same_users($peer, 'lost', 'what the target has is read, not assumed');
	$s->sql("SELECT scim.drop_sync('lost')");
}

# ---- statements and transactions ----

{
	my $peer = ScimPeer->start(token => CANARY);

	$s->sql("SET ROLE hr_owner;
		CREATE TABLE hr.parts (id int, upn text, is_soft_deleted boolean NOT NULL DEFAULT false, job_title text, mail text, display_name text,
			PRIMARY KEY (id)) PARTITION BY RANGE (id);
		CREATE TABLE hr.parts_a PARTITION OF hr.parts FOR VALUES FROM (0) TO (100);
		CREATE TABLE hr.parts_b PARTITION OF hr.parts FOR VALUES FROM (100) TO (200);
		INSERT INTO hr.parts " . ScimSync::rows(1, 10));
	$s->map_table('parts');
	$s->start_sync('parts', $peer, mapping => 'parts', delete_after => '0');
	ok($s->settled('parts'), 'settled');
	$s->same_users($peer, 'parts', 'the first rows');

	my $mark = $peer->mark;
	$s->sql("BEGIN; UPDATE hr.parts SET job_title = 'never'; ROLLBACK");
	$s->sql("BEGIN; SAVEPOINT a; UPDATE hr.parts SET job_title = 'never' WHERE id = 1; ROLLBACK TO a; COMMIT");
	$s->sql('UPDATE hr.parts SET job_title = job_title');
	sleep 1;
	is(scalar(() = $peer->log($mark)), 0, 'what is rolled back, or changes nothing, sends nothing');

	$s->sql("BEGIN; UPDATE hr.parts SET job_title = 'kept' WHERE id = 1; SAVEPOINT a; UPDATE hr.parts SET job_title = 'never' WHERE id = 2; ROLLBACK TO a; COMMIT");
	$s->becomes_same($peer, 'parts', 'a savepoint');
	is(said($peer->log($mark)), 'PATCH', 'one row was sent');

	$s->sql("UPDATE hr.parts_a SET job_title = 'direct' WHERE id = 3");
	$s->becomes_same($peer, 'parts', 'a change in a partition');
	$s->sql("SET ROLE hr_owner; CREATE TABLE hr.parts_c PARTITION OF hr.parts FOR VALUES FROM (200) TO (300)");
	$s->sql('INSERT INTO hr.parts_c ' . ScimSync::rows(200, 204));
	$s->becomes_same($peer, 'parts', 'rows of a new partition');
	$s->sql("COPY hr.parts FROM STDIN;\n150\tcopied\@example.com\tf\tCopied\tc\@mail.example\tC\n\\.\n");
	$s->sql("COPY hr.parts_b FROM STDIN;\n151\tcopied1\@example.com\tf\tCopied\t\\N\tC\n\\.\n");
	$s->becomes_same($peer, 'parts', 'COPY');
	$s->sql('UPDATE hr.parts SET id = id + 250 WHERE id = 4');
	$s->becomes_same($peer, 'parts', 'a key that moves to another partition');
	$s->sql("INSERT INTO hr.parts " . ScimSync::rows(5, 12) . " ON CONFLICT (id) DO UPDATE SET job_title = 'again'");
	$s->becomes_same($peer, 'parts', 'INSERT ... ON CONFLICT');

	$mark = $peer->mark;
	$s->sql("BEGIN; UPDATE hr.parts SET job_title = 'prepared' WHERE id = 6; PREPARE TRANSACTION 'p'");
	sleep 1;
	is(scalar(() = $peer->log($mark)), 0, 'a prepared transaction sends nothing');
	$s->sql("COMMIT PREPARED 'p'");
	$s->becomes_same($peer, 'parts', 'COMMIT PREPARED', 8);

	$s->sql('DELETE FROM hr.parts WHERE id > 200');
	$s->becomes_same($peer, 'parts', 'DELETE');
	$s->sql('TRUNCATE hr.parts_b');
	$s->becomes_same($peer, 'parts', 'TRUNCATE of a partition');
	$s->sql('BEGIN; TRUNCATE hr.parts; INSERT INTO hr.parts ' . ScimSync::rows(1, 3) . '; COMMIT');
	$s->becomes_same($peer, 'parts', 'TRUNCATE and some rows again');
	is_deeply($peer->stats->{duplicates}, ['user4@example.com'], 'only what had to go with its key was made twice');
	is($peer->stats->{overlaps} + $peer->stats->{violations}, 0, 'nothing at the same time');
	$s->sql("SELECT scim.drop_sync('parts')");
}

# ---- a change while its push is in flight ----

{
	my $peer = ScimPeer->start(token => CANARY);

	$s->mapped_table('flight', 3);
	$s->start_sync('flight', $peer, mapping => 'flight');
	ok($s->settled('flight'), 'settled');
	my $mark = $peer->mark;
	$peer->faults({ action => 'delay', method => 'PATCH', delay_ms => 800, first => 1 });
	$s->sql("UPDATE hr.flight SET job_title = 'first' WHERE id = 1");
	ok($peer->wait_for(sub { $_[0]->mark > $mark }, 5), 'a PATCH is in flight');
	$s->sql("UPDATE hr.flight SET job_title = 'second' WHERE id = 1");
	$s->becomes_same($peer, 'flight', 'the newer state');
	is(said($peer->log($mark)), 'PATCH PATCH', 'one PATCH after the other');

	# and while a POST is in flight
	$mark = $peer->mark;
	$peer->faults({ action => 'delay', method => 'POST', delay_ms => 800, first => 1 });
	$s->add_rows('flight', 4, 4);
	ok($peer->wait_for(sub { grep { $_->{method} eq 'POST' } $_[0]->log($mark) }, 5), 'a POST is in flight');
	$s->sql("UPDATE hr.flight SET job_title = 'while' WHERE id = 4");
	$s->becomes_same($peer, 'flight', 'the newer state of a new row');
	$peer->faults({ action => 'delay', method => 'POST', delay_ms => 800, first => 1 });
	$mark = $peer->mark;
	$s->add_rows('flight', 5, 5);
	ok($peer->wait_for(sub { grep { $_->{method} eq 'POST' } $_[0]->log($mark) }, 5), 'a POST is in flight');
	$s->sql("DELETE FROM hr.flight WHERE id = 5");
	ok($peer->wait_for(sub { my $u = $_[0]->users->{'user5@example.com'}; $u && !$u->{active} }, 5), 'a row that went meanwhile is disabled');
	ok($s->settled('flight'), 'settled');
	no_offences($peer, 'flight');
	$s->sql("SELECT scim.drop_sync('flight')");
}

# ---- rows that go, and rows out of scope ----

{
	my $peer = ScimPeer->start(token => CANARY);

	$s->mapped_table('leavers', 6);
	$s->start_sync('leavers', $peer, mapping => 'leavers', scope => 'coalesce(job_title, $$$$) <> $$Guest$$', delete_after => '2 seconds');
	ok($s->settled('leavers'), 'settled');

	$s->sql('UPDATE hr.leavers SET is_soft_deleted = true WHERE id = 1');
	$s->becomes_same($peer, 'leavers', 'a soft delete is active: false');
	is($s->link_of('leavers', 1), 'linked|', 'and still linked');

	$s->sql("UPDATE hr.leavers SET job_title = 'Guest' WHERE id = 2");
	ok($peer->wait_for(sub { !$_[0]->users->{'user2@example.com'}{active} }, 5), 'out of scope: disabled');
	is($peer->users->{'user2@example.com'}{title}, 'Title 2', 'and nothing else of it has changed');
	ok($s->settled('leavers'), 'settled');
	is($s->link_of('leavers', 2), 'disabled|', 'known to be disabled');
	$s->sql("UPDATE hr.leavers SET job_title = 'Back' WHERE id = 2");
	$s->becomes_same($peer, 'leavers', 'in scope again: active again');
	is($peer->stats->{duplicate_creates} + scalar(grep { $_->{method} eq 'POST' } $peer->log), 6, 'as the same resource');

	$s->sql('DELETE FROM hr.leavers WHERE id = 3');
	ok($peer->wait_for(sub { my $u = $_[0]->users->{'user3@example.com'}; $u && !$u->{active} }, 5), 'gone: disabled');
	ok($peer->wait_for(sub { !$_[0]->users->{'user3@example.com'} }, 8), 'and deleted after delete_after');
	$s->sql("DELETE FROM hr.leavers WHERE id = 4; INSERT INTO hr.leavers " . ScimSync::rows(4, 4));
	sleep 3;
	$s->becomes_same($peer, 'leavers', 'a row that came back is not deleted');

	# disabled is believed when the target says so
	$peer->faults({ action => 'answer', status => 200, method => 'PATCH', answer_body => {}, first => 1 });
	my $mark = $peer->mark;
	$s->sql('DELETE FROM hr.leavers WHERE id = 5');
	ok($peer->wait_for(sub { my $u = $_[0]->users->{'user5@example.com'}; $u && !$u->{active} }, 10), 'a PATCH that came to nothing is sent again');
	like(said($peer->log($mark)), qr/^PATCH GET PATCH/, 'because it was looked at');
	no_offences($peer, 'leavers');
	$s->sql("SELECT scim.drop_sync('leavers')");
}

# ---- resources that change at the target ----

{
	my $peer = ScimPeer->start(token => CANARY);

	$s->mapped_table('drift', 5);
	$s->start_sync('drift', $peer, mapping => 'drift');
	ok($s->settled('drift'), 'settled');

	my $users = $peer->users;
	my $mark = $peer->mark;
	$peer->remove($users->{'user1@example.com'}{id});
	$s->sql("UPDATE hr.drift SET job_title = 'Anew' WHERE id = 1");
	$s->becomes_same($peer, 'drift', 'deleted at the target: made anew', 15);
	ok($s->settled('drift'), 'settled');
	is(scalar(grep { $_->{method} eq 'POST' } $peer->log($mark)), 1, 'once');
	sleep 1;
	is(scalar(grep { $_->{method} eq 'POST' } $peer->log($mark)), 1, 'and not again');

	# somebody else made it again
	$peer->remove($users->{'user2@example.com'}{id});
	my ($status, $body) = $peer->request('POST', '/Users', { schemas => [CORE_USER], userName => 'USER2@example.com', title => 'By hand', active => $true });
	is($status, 201, 'made by hand');
	$mark = $peer->mark;
	$s->sql("UPDATE hr.drift SET job_title = 'Found' WHERE id = 2");
	ok($peer->wait_for(sub { grep { $_->{id} eq $body->{id} && $_->{title} eq 'Found' } values %{ $_[0]->users } }, 15), 'the one by hand is found');
	ok($s->settled('drift'), 'settled');
	is(scalar(grep { $_->{method} eq 'POST' } $peer->log($mark)), 0, 'and none is made');
	is($s->sql("SELECT remote_id FROM scim.sync_links WHERE sync = 'drift' AND source_key = '2'"), $body->{id}, 'and linked');

	# deleted at the target, and then here
	$peer->remove($users->{'user3@example.com'}{id});
	$s->sql('DELETE FROM hr.drift WHERE id = 3');
	ok($s->settled('drift'), 'both have deleted it');
	ok(!$peer->users->{'user3@example.com'}, 'it stays away');
	is($peer->stats->{overlaps} + $peer->stats->{violations}, 0, 'nothing at the same time');
	$s->sql("SELECT scim.drop_sync('drift')");
}

# ---- a target that returns what was not asked for ----

{
	my $peer = ScimPeer->start(token => CANARY, seed => 5);
	my $strangers = $peer->users;
	my %foreign = map { $_->{id} => 1 } values %$strangers;

	$peer->faults({ action => 'ignore_filter', method => 'GET', first => 3 }, { action => 'stranger', method => 'GET', first => 3 },
		{ action => 'stranger', method => 'POST', first => 2 });
	$s->mapped_table('wary', 6);
	$s->start_sync('wary', $peer, mapping => 'wary');
	ok($s->settled('wary', 40), 'settled');
	$s->sql("UPDATE hr.wary SET job_title = 'Changed'; DELETE FROM hr.wary WHERE id = 1");
	ok($s->settled('wary', 40), 'settled');
	is(scalar(grep { $_->{path} =~ m{/Users/([^/]+)$} && $foreign{$1} } writes($peer)), 0, 'no write to a foreign id');
	my $now = $peer->users;
	is_deeply({ map { $_ => $now->{$_} } keys %$strangers }, $strangers, 'the strangers are as they were');
	is_deeply([ map { $now->{"user$_\@example.com"}{title} } 2 .. 6 ], [ ('Changed') x 5 ], 'and the rows are there');
	no_offences($peer, 'wary');
	$s->sql("SELECT scim.drop_sync('wary')");
}

# ---- a 200 that is none, a duplicate that is not found ----

{
	my $peer = ScimPeer->start(token => CANARY);

	$s->mapped_table('pages', 4);
	$s->start_sync('pages', $peer, mapping => 'pages', delete_after => '0');
	ok($s->settled('pages'), 'settled');
	# of a gateway, say; what was asked for has not happened
	for my $page ({ action => 'html', status => 200 }, { action => 'garbage' })
	{
		$peer->faults({ %$page, method => 'PATCH', first => 1 });
		$s->sql("UPDATE hr.pages SET job_title = '$page->{action}' WHERE id = 1");
		$s->becomes_same($peer, 'pages', "PATCH, 200 with $page->{action}");
	}
	$peer->faults({ action => 'html', status => 200, method => 'DELETE', first => 1 });
	$s->sql('DELETE FROM hr.pages WHERE id = 2');
	$s->becomes_same($peer, 'pages', 'DELETE, 200 with a page');
	$peer->faults({ action => 'html', status => 201, method => 'POST', first => 1 });
	$s->add_rows('pages', 5, 5);
	$s->becomes_same($peer, 'pages', 'POST, 201 with a page', 30);

	# what was there before, and is in no list before some seconds
	$peer->settings(search_lag_ms => 4000);
	my ($status) = $peer->request('POST', '/Users', { schemas => [CORE_USER], userName => 'user6@example.com', title => 'By hand', active => $true });
	is($status, 201, 'made by hand');
	$s->add_rows('pages', 6, 6);
	$s->becomes_same($peer, 'pages', 'a duplicate that is found late', 40);
	# and what it has made itself, without saying its id
	$peer->faults({ action => 'no_body', location => $false, method => 'POST', first => 1 });
	$s->add_rows('pages', 7, 7);
	$s->becomes_same($peer, 'pages', 'one of its own that is found late', 40);
	ok($s->settled('pages', 40), 'settled');
	no_offences($peer, 'pages');
	$s->sql("SELECT scim.drop_sync('pages')");
}

# ---- several that match ----

{
	my $peer = ScimPeer->start(token => CANARY, settings => { unique => $false });

	$peer->put_resources(map { { schemas => [CORE_USER], userName => 'user1@example.com', title => $_, active => $true } } 'One', 'Other');
	$s->mapped_table('twins', 3);
	$s->start_sync('twins', $peer, mapping => 'twins');
	ok($s->poll("SELECT linked, failed, in_flight FROM scim.sync_status WHERE name = 'twins'", '2|1|0', 20), 'one row is in conflict');
	is($s->link_of('twins', 1), 'conflict|2 resources match', 'and says why');
	is(said(map { $_ } grep { defined $_->{body} && $_->{body} =~ /user1\@/ } writes($peer)), '', 'nothing is written for it');
	# two rows that are the same one there
	$s->sql("UPDATE hr.twins SET upn = 'user3\@example.com' WHERE id = 1");
	ok($s->poll("SELECT state FROM scim.sync_links WHERE sync = 'twins' AND source_key = '1' AND reason LIKE '%row with key 3%'", 'conflict', 20), 'a resource belongs to one row');
	is($s->sql("SELECT count(*) FROM scim.sync_links WHERE sync = 'twins' AND remote_id IS NOT NULL"), 2, 'two resources for two rows');
	$s->sql("SELECT scim.drop_sync('twins')");
}

# ---- names that are swapped ----

{
	my $peer = ScimPeer->start(token => CANARY);

	$s->mapped_table('swap', 2);
	$s->start_sync('swap', $peer, mapping => 'swap');
	ok($s->settled('swap'), 'settled');
	$s->sql("UPDATE hr.swap SET upn = CASE id WHEN 1 THEN 'user9\@example.com' ELSE 'user1\@example.com' END");
	$s->becomes_same($peer, 'swap', 'a name that another row has given up', 20);
	no_offences($peer, 'swap');
}

my @crash = grep { /was terminated by signal|PANIC|TRAP:|SQLSTATE/ } split /\n/, $t->log_text;
is("@crash", '', 'nothing went wrong in the server');
done_testing();
