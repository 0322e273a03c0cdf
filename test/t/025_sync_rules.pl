# 025_sync_rules.pl - what a sync says of single attributes (apply, on_null) in each
# form of an update, and what the log keeps of a request.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use ScimPeer;
use ScimSync;
use ScimTest;
use Test::More;
use Time::HiRes qw(sleep time);

ScimTest->watchdog(200);
my $s = ScimSync->start;
my $t = $s->t;

$s->sql("SET ROLE hr_owner;
	CREATE TABLE hr.people (id int PRIMARY KEY, upn text, job_title text, nick text, mail text, display_name text, badge text, secret text);
	CREATE TABLE hr.phones (person int, kind text, number text);
	CREATE TABLE hr.clubs (id int PRIMARY KEY, name text);
	CREATE TABLE hr.club_members (club int, person int)");
$s->sql(q{SELECT scim.create_schema('{"id": "urn:example:scim:2.0:User", "name": "Example", "attributes": [
	{"name": "badge", "type": "string"}, {"name": "apiToken", "type": "string"},
	{"name": "door", "type": "complex", "subAttributes": [{"name": "number", "type": "string"}, {"name": "secretCode", "type": "string"}]}]}')});
$t->call('create_mapping', { name => 'people', resource_type => 'User', relation => 'hr.people', owner => 'hr_owner',
	attributes => '{"userName": "upn", "title": "job_title", "nickName": "nick", "emails[type eq \"work\"].value": "mail", "name.formatted": "display_name",
		"urn:example:scim:2.0:User:badge": "badge", "urn:example:scim:2.0:User:apiToken": "secret", "urn:example:scim:2.0:User:door.secretCode": "secret",
		"phoneNumbers": {"table": "hr.phones", "parent": "person", "columns": {"type": "kind", "value": "number"}}}' });
$t->call('create_mapping', { name => 'clubs', resource_type => 'Group', relation => 'hr.clubs', owner => 'hr_owner',
	attributes => '{"displayName": "name", "members": {"table": "hr.club_members", "parent": "club", "ref": "person", "type": "User"}}' });

sub phones { my ($peer, $n) = @_; return join ' ', sort map { $_->{value} } @{ $peer->users->{"p$n"}{phoneNumbers} || [] } }
sub work { my ($peer, $n) = @_; return join ' ', map { $_->{value} } grep { ($_->{type} || '') eq 'work' } @{ $peer->users->{"p$n"}{emails} || [] } }
sub written { my ($peer, $mark) = @_; return grep { $_->{method} ne 'GET' } $peer->log($mark) }

# One round in each form of an update: what is taken away here stays there, what is
# new comes, and a reconcile finds nothing to do.
for my $method (qw(patch put put_merge))
{
	my $peer = ScimPeer->start(token => CANARY);

	$s->sql("TRUNCATE hr.people, hr.phones, hr.clubs, hr.club_members");
	$s->sql("INSERT INTO hr.people VALUES (1, 'p1', 'Engineer', 'one', 'p1\@x', 'P One'), (2, 'p2', 'Clerk', NULL, NULL, 'P Two');
		INSERT INTO hr.phones VALUES (1, 'work', '1'), (1, 'home', '2');
		INSERT INTO hr.clubs VALUES (1, 'Chess'); INSERT INTO hr.club_members VALUES (1, 1)");
	$s->create_sync($method, $peer, mapping => 'people', server => { update_method => $method, group_update => $method },
		attributes => '{"phoneNumbers": {"apply": "add_only"}, "emails": {"apply": "add_only"}, "title": {"apply": "add_only"},
			"nickName": {"apply": "if_absent"}, "name.formatted": {"apply": "create_only"}}');
	$s->sql("SELECT scim.start_sync('$method')");
	$t->call('create_sync', { name => "c$method", mapping => 'clubs', server => $method, attributes => '{"members": {"apply": "add_only"}}' });
	$s->sql("SELECT scim.start_sync('c$method')");
	ok($s->settled($method) && $s->settled("c$method"), "$method: settled");

	# somebody there has a phone, too
	my $user = $peer->users->{p1};
	my ($status) = $peer->request('PATCH', "/Users/$user->{id}", { schemas => ['urn:ietf:params:scim:api:messages:2.0:PatchOp'],
		Operations => [ { op => 'add', path => 'phoneNumbers', value => [ { type => 'other', value => '9' } ] } ] });
	is($status, 200, "$method: a phone is added there");

	my $plan = $s->sql("BEGIN; DELETE FROM hr.phones WHERE number = '1'; INSERT INTO hr.phones VALUES (1, 'mobile', '3');
		SELECT body FROM scim.plan('$method', '1'); ROLLBACK");
	like($plan, $method eq 'patch' ? qr/"Operations": \[\{"op": "add", "path": "phoneNumbers", "value": \[\{"type": "mobile", "value": "3"\}\]\}\]/ : qr/"3"/, "$method: the plan adds what is new");

	my $mark = $peer->mark;
	$s->sql("DELETE FROM hr.phones WHERE number = '1'; INSERT INTO hr.phones VALUES (1, 'mobile', '3');
		UPDATE hr.people SET job_title = NULL, mail = NULL, nick = 'uno', display_name = 'Other' WHERE id = 1;
		UPDATE hr.people SET job_title = 'Chief', mail = 'p2\@x', nick = 'two' WHERE id = 2");
	$s->sql("DELETE FROM hr.club_members; INSERT INTO hr.club_members VALUES (1, 2)");
	ok($s->settled($method) && $s->settled("c$method"), "$method: changed");
	$user = $peer->users->{p1};
	# without reading nobody knows of what was added there
	is(phones($peer, 1), $method eq 'put_merge' ? '1 2 3' : '1 2 3 9', "$method: values of a list are added, none is taken away");
	is(work($peer, 1), 'p1@x', "$method: nor one of a type");
	is($user->{title}, 'Engineer', "$method: nor a single value");
	is($user->{nickName}, 'one', "$method: if_absent leaves what is there");
	is($user->{name}{formatted}, 'P One', "$method: create_only");
	is(join('|', $peer->users->{p2}{title}, work($peer, 2), $peer->users->{p2}{nickName}), 'Chief|p2@x|two', "$method: a value is put in the place of another, and of none");
	is(scalar(@{ $peer->groups->{Chess}{members} }), 2, "$method: members are added, too");

	# what differs and is not sent is no reason to look again, and no drift
	$mark = $peer->mark;
	my $before = $s->sql("SELECT max(changed_at) FROM scim.sync_links WHERE sync IN ('$method', 'c$method')");
	$s->sql("SELECT scim.restart_sync('$method'); SELECT scim.restart_sync('c$method')");
	ok($s->settled($method) && $s->settled("c$method"), "$method: a reconcile");
	is($s->sql("SELECT max(changed_at) FROM scim.sync_links WHERE sync IN ('$method', 'c$method')"), $before, "$method: touches no link");
	is($s->sql("SELECT string_agg(attribute, ' ') FROM scim.check_drift('$method')") . $s->sql("SELECT string_agg(attribute, ' ') FROM scim.check_drift('c$method')"), '', "$method: nothing has drifted");
	is(scalar(written($peer, $mark)), 0, "$method: nothing is sent");

	# a list that somebody there has cut: only what the target had acknowledged is missed
	($status) = $peer->request('PATCH', "/Users/$user->{id}", { schemas => ['urn:ietf:params:scim:api:messages:2.0:PatchOp'],
		Operations => [ { op => 'remove', path => 'phoneNumbers[value eq "3"]' } ] });
	is($s->sql("SELECT string_agg(attribute, ' ') FROM scim.check_drift('$method', repair => true)"), 'phoneNumbers', "$method: one that is gone there is drift");
	ok($s->settled($method), "$method: repaired");
	like(phones($peer, 1), qr/2 3/, "$method: and comes back");

	# without the rule
	$s->sql("SELECT scim.alter_sync('$method', attributes => '{}')");
	ok($s->settled($method), "$method: without rules");
	is(phones($peer, 1) . '|' . work($peer, 1), '2 3|', "$method: what the rows do not have goes") if $method ne 'put_merge';
	is($peer->users->{p1}{nickName} . '|' . $peer->users->{p1}{name}{formatted}, 'uno|Other', "$method: what was kept back is sent");
	$s->sql("SELECT scim.pause_sync('$method'); SELECT scim.pause_sync('c$method')");
	no_offences($peer, $method);
}

# ---- what the log has ----

{
	my $peer = ScimPeer->start(token => CANARY);
	my $sorted = sub { "(SELECT array_agg(n ORDER BY n) FROM unnest($_[0]) n)" };
	my $log = "SELECT string_agg(concat_ws(' ', method, coalesce(" . $sorted->('before') . ", '{}'), '>', " . $sorted->('after') . "), E'\\n' ORDER BY id) FROM scim.sync_log WHERE sync = 'logged' AND method <> 'GET' AND source_key = '1' AND id > ";
	my $last = sub { $s->sql("SELECT max(id) FROM scim.sync_log") };

	$s->sql("TRUNCATE hr.people, hr.phones, hr.clubs, hr.club_members");
	$s->sql("INSERT INTO hr.people VALUES (1, 'p1', 'Engineer', NULL, 'p1\@x', 'P One')");
	$s->start_sync('logged', $peer, mapping => 'people');
	ok($s->settled('logged'), 'settled');
	is($s->sql($log . 0), 'POST {} > {emails,name.formatted,title,userName}', 'a creation has the names of all that it sets');
	is($s->sql("SELECT count(*) FROM scim.sync_log WHERE sync = 'logged' AND (old_values IS NOT NULL OR new_values IS NOT NULL)"), 0, 'and no values');
	is($s->sql("SELECT count(*) FROM scim.sync_log WHERE sync = 'logged' AND method = 'GET' AND (before IS NOT NULL OR after IS NOT NULL)"), 0, 'a request that reads changes nothing');

	my $mark = $last->();
	$s->sql("UPDATE hr.people SET job_title = 'Chief', nick = 'one', mail = NULL WHERE id = 1");
	ok($s->settled('logged'), 'settled');
	is($s->sql($log . $mark), 'PATCH {emails,title} > {nickName,title}', 'a change: what there was before, and what there is afterwards');

	# with values, but none of secrets
	$s->sql("SELECT scim.alter_sync('logged', options => '{\"log_values\": true}')");
	ok($s->settled('logged'), 'settled');
	$mark = $last->();
	$s->sql("BEGIN; UPDATE hr.people SET job_title = 'Boss', display_name = NULL WHERE id = 1; INSERT INTO hr.phones VALUES (1, 'work', '5'); COMMIT");
	ok($s->settled('logged'), 'settled');
	is($s->sql("SELECT old_values FROM scim.sync_log WHERE sync = 'logged' AND id > $mark AND method = 'PATCH'"), '{"title": "Chief", "name.formatted": "P One"}', 'old values');
	is($s->sql("SELECT new_values -> 'title', new_values #>> '{phoneNumbers,0,value}' FROM scim.sync_log WHERE sync = 'logged' AND id > $mark AND method = 'PATCH'"), '"Boss"|5', 'and new ones');
	$mark = $last->();
	$s->sql("UPDATE hr.people SET badge = '007', secret = 'hunter2' WHERE id = 1");
	ok($s->settled('logged'), 'settled');
	$s->sql("UPDATE hr.people SET badge = NULL, secret = 'hunter3' WHERE id = 1");
	ok($s->settled('logged'), 'settled');
	is($s->sql("SELECT string_agg(cardinality(after)::text || new_values::text || old_values::text, ' ' ORDER BY id) FROM scim.sync_log WHERE sync = 'logged' AND id > $mark AND method = 'PATCH'"),
		'3{"urn:example:scim:2.0:User:badge": "007"}{} 2{}{"urn:example:scim:2.0:User:badge": "007"}', 'names of all that changes, and no value of what is named like a secret');
	is($s->sql("SELECT count(*) FROM scim._attempts a WHERE a::text LIKE '%hunter%'"), 0, 'nor anywhere else');
	$mark = $last->();
	$s->sql("DELETE FROM hr.people WHERE id = 1");
	ok($s->poll("SELECT state FROM scim.sync_links WHERE sync = 'logged'", 'disabled'), 'gone');
	is($s->sql("SELECT before, after, old_values, new_values FROM scim.sync_log WHERE sync = 'logged' AND id > $mark AND action = 'disable'"), '{active}|{active}|{"active": true}|{"active": false}', 'a disable');
}

# ---- all rows, now and then ----

{
	my $peer = ScimPeer->start(token => CANARY);
	my $behind = sub { $s->sql("SET session_replication_role = replica; UPDATE hr.people SET job_title = '$_[0]' WHERE id = 1") };
	my $title = sub { my ($title) = @_; return $peer->wait_for(sub { ($_[0]->users->{p1}{title} || '') eq $title }, 10) };

	$s->sql("TRUNCATE hr.people, hr.phones");
	$s->sql("INSERT INTO hr.people VALUES (1, 'p1', 'Engineer'), (2, 'p2', 'Clerk')");
	$s->start_sync('daily', $peer, mapping => 'people');
	ok($s->settled('daily'), 'settled');
	is($s->sql("SELECT reconciling, reconcile_at - reconciled_at, reconciled_at > now() - interval '1 minute' FROM scim.sync_status WHERE name = 'daily'"), 'f|1 day|t', 'all rows are looked at once a day');
	$behind->('Behind');
	sleep 1;
	is($s->sql("SELECT count(*) FROM scim.plan('daily')"), 0, 'what no trigger has seen');
	$s->sql("UPDATE scim._syncs SET reconciled_at = now() - interval '25 hours' WHERE name = 'daily'; UPDATE hr.people SET job_title = 'Wakes' WHERE id = 2");
	ok($title->('Behind'), 'is found then');
	ok($s->settled('daily'), 'settled');
	is($s->sql("SELECT reconciled_at > now() - interval '1 minute' FROM scim.sync_status WHERE name = 'daily'"), 't', 'which is noted');

	$s->sql("SELECT scim.alter_sync('daily', options => '{\"reconcile_interval\": \"2 seconds\"}')");
	$behind->('Soon');
	ok($title->('Soon'), 'the interval is an option, and nothing else has to happen');
	my $mark = $peer->mark;
	sleep 3;
	is(scalar(() = $peer->log($mark)), 0, 'without changes it costs no request');
	$s->sql("SELECT scim.alter_sync('daily', options => '{\"reconcile_interval\": \"never\"}')");
	ok($s->settled('daily'), 'settled');
	is($s->sql("SELECT reconcile_at FROM scim.sync_status WHERE name = 'daily'"), '', 'or never');
	for my $bad ('3', '"0 s"', '"sometimes"')
	{
		isnt(($t->try_sql("SELECT scim.alter_sync('daily', options => '{\"reconcile_interval\": $bad}')"))[0], 0, "$bad is none");
	}
	$behind->('After');
	sleep 2;

	# a target that is somewhere else: the sync stops, and no row is to blame
	$mark = $peer->mark;
	$peer->faults({ action => 'redirect', location => 'https://elsewhere.example/Users' });
	$s->sql("UPDATE hr.people SET nick = 'x' WHERE id = 2; UPDATE hr.people SET nick = 'y' WHERE id = 2; INSERT INTO hr.people VALUES (3, 'p3'), (4, 'p4'), (5, 'p5'), (6, 'p6')");
	ok($s->poll("SELECT state, reason FROM scim.sync_status WHERE name = 'daily'", 'quarantined|the target redirects (302): base_url has to name the service itself', 10), 'a redirection stops the sync');
	sleep 1;
	is($s->sql("SELECT count(*) FROM scim.sync_links WHERE sync = 'daily' AND state = 'parked'"), 0, 'no row is parked');
	cmp_ok(scalar(() = $peer->log($mark)), '<=', 6, 'and no more is sent than was under way');
	is($s->sql("SELECT DISTINCT verdict FROM scim.sync_log WHERE sync = 'daily' AND status = 302"), 'moved', 'the log calls it that');
	$peer->faults;
	$s->sql("ALTER SERVER daily OPTIONS (ADD total_timeout '50s')");
	ok($s->poll("SELECT state FROM scim.syncs WHERE name = 'daily'", 'active', 10), 'when the server is altered it is probed at once');
	ok($title->('After'), 'after a quarantine all rows are looked at');
	ok($s->settled('daily'), 'settled');
	is(scalar(keys %{ $peer->users }), 6, 'and everybody is there');
	no_offences($peer, 'daily');
}

done_testing();
