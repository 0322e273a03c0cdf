# 006_hostile.pl - a mapped table whose owner is hostile: every trigger,
# constraint, default and policy of it tries one thing after another to gain
# rights or to leave something behind (threat-and-fault-model I1-I3).
#
# Each request carries the name of one vector in its title; code of the owner
# attempts that vector in every place where it is run for the request, and notes
# in a log what happened and who it was then.  After it a request to another
# owner's table, on the same and only listener, reports the state of the
# session.  The same is done with scim.handle, whose caller is a superuser with
# a session to lose.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use ScimTest;
use Test::More;
use Time::HiRes qw(time);

ScimTest->watchdog(110);

my $t = ScimTest->start(listeners => 1, conf => "scim.statement_timeout = '2s'\n");

# ---- the vectors ----
#
# name => statement [, must]: 'refused': it must fail; otherwise it may succeed,
# so long as it gains and leaves nothing.

my @vectors = (
	# identity
	['reset_role', 'RESET ROLE', 'refused'],
	['set_role_none', 'SET ROLE NONE', 'refused'],
	['set_role_superuser', 'SET ROLE postgres', 'refused'],
	['set_local_role', 'SET LOCAL ROLE postgres', 'refused'],
	['set_role_worker', 'SET ROLE scim_worker', 'refused'],
	['set_role_store', 'SET ROLE scim_store', 'refused'],
	['set_role_victim', 'SET ROLE victor', 'refused'],
	['set_config_role', q{SELECT set_config('role', 'none', false)}, 'refused'],
	['set_config_role_local', q{SELECT set_config('role', 'postgres', true)}, 'refused'],
	['session_authorization', 'SET SESSION AUTHORIZATION postgres', 'refused'],
	['session_authorization_default', 'SET SESSION AUTHORIZATION DEFAULT', 'refused'],
	['reset_session_authorization', 'RESET SESSION AUTHORIZATION', 'refused'],
	['set_config_session', q{SELECT set_config('session_authorization', 'postgres', false)}, 'refused'],
	['reset_all', 'RESET ALL'],
	['discard_all', 'DISCARD ALL', 'refused'],
	['reset_role_and_write', q{RESET ROLE; INSERT INTO public.crown VALUES ('reset role')}, 'refused'],
	['alter_role', 'ALTER ROLE mallory SUPERUSER', 'refused'],
	['alter_role_set', q{ALTER ROLE scim_worker SET search_path = mal}, 'refused'],
	['grant_role', 'GRANT scim_store TO mallory', 'refused'],
	['create_role', 'CREATE ROLE accomplice SUPERUSER', 'refused'],
	# settings
	['search_path', 'SET search_path = mal, public'],
	['search_path_config', q{SELECT set_config('search_path', 'mal', false)}],
	['search_path_local', q{SELECT set_config('search_path', 'mal', true)}],
	['timeouts', 'SET statement_timeout = 1; SET lock_timeout = 1; SET idle_in_transaction_session_timeout = 1'],
	['transaction_timeout', 'SET transaction_timeout = 1', 'refused'],		# before PostgreSQL 17: there is none
	['no_timeouts', 'SET statement_timeout = 0; SET lock_timeout = 0'],
	['read_only', 'SET default_transaction_read_only = on'],
	['characteristics', 'SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY'],
	['replica', 'SET session_replication_role = replica', 'refused'],
	['date_style', q{SET datestyle = 'SQL, DMY'; SET intervalstyle = 'sql_standard'; SET timezone = 'Asia/Tokyo'}],
	['strings', q{SET standard_conforming_strings = off; SET escape_string_warning = off; SET backslash_quote = on; SET bytea_output = 'escape'}],
	['numbers', 'SET extra_float_digits = -15'],
	['encoding', q{SET client_encoding = 'LATIN1'}],
	['planner', q{SET enable_indexscan = off; SET enable_seqscan = off; SET work_mem = '64kB'; SET plan_cache_mode = force_generic_plan}],
	['bodies', 'SET check_function_bodies = off; SET row_security = on'],
	['application_name', q{SET application_name = 'mallory was here'}],
	['synchronous_commit', 'SET synchronous_commit = off'],
	['custom', q{SET mal.note = 'remember me'}],
	['scim_setting', q{SET scim.listen_address = '0.0.0.0'}, 'refused'],
	['scim_limit', 'SET scim.statement_timeout = 600000', 'refused'],
	['log_off', 'SET log_min_messages = panic', 'refused'],
	['jit', 'SET jit = off; SET default_table_access_method = heap; SET default_tablespace = pg_default; SET transform_null_equals = on'],
	# things of the session
	['advisory_lock', 'SELECT pg_advisory_lock(4711); SELECT pg_advisory_lock_shared(4712); SELECT pg_advisory_lock(47, 13)'],
	['try_advisory_lock', 'SELECT pg_try_advisory_lock(4714)'],
	['temp_table', 'CREATE TEMP TABLE users (id int, user_name text); CREATE TEMP TABLE leftover (x int)'],
	['temp_table_like', 'CREATE TEMP TABLE _tokens (hash bytea); CREATE TEMP VIEW _endpoints AS SELECT 1 AS id'],
	['temp_function', q{CREATE FUNCTION pg_temp.fold(text) RETURNS text LANGUAGE sql AS 'SELECT $1'; CREATE TEMP SEQUENCE s}],
	['prepare', 'PREPARE leftover AS SELECT 1; PREPARE more(int) AS SELECT $1'],
	['deallocate', 'DEALLOCATE ALL'],
	['listen', 'LISTEN leftover; NOTIFY leftover'],
	['cursor_hold', q{DECLARE leftover CURSOR WITH HOLD FOR SELECT mal.note_who('held cursor')}],
	['cursor', q{DECLARE leftover CURSOR FOR SELECT mal.note_who('cursor')}],
	['sequence', q{SELECT nextval('mal.numbers'); SELECT setval('mal.numbers', 42)}],
	['set_constraints', 'SET CONSTRAINTS ALL DEFERRED'],
	['set_constraints_immediate', 'SET CONSTRAINTS ALL IMMEDIATE'],
	['commit', 'COMMIT', 'refused'],
	['rollback', 'ROLLBACK', 'refused'],
	['savepoint', 'SAVEPOINT leftover', 'refused'],
	# what belongs to others
	['read_tokens', 'SELECT * FROM scim._tokens', 'refused'],
	['read_endpoints', 'SELECT * FROM scim._endpoints', 'refused'],
	['write_endpoints', q{UPDATE scim._endpoints SET owner = 'mallory'::regrole}, 'refused'],
	['write_mappings', q{UPDATE scim._mappings SET owner = 'postgres'::regrole}, 'refused'],
	['read_store', 'SELECT * FROM scim.users', 'refused'],
	['write_store', q{INSERT INTO scim.users (tenant, user_name) VALUES ('acme', 'mallory')}, 'refused'],
	['own_token', q{SELECT scim.create_token('acme')}, 'refused'],
	['own_handle', q{SELECT scim.handle('acme', 'GET', '/Users', '{}', NULL)}, 'refused'],
	['own_setup', 'SELECT scim.setup()', 'refused'],
	['own_stop', 'SELECT scim.stop_workers()', 'refused'],
	['write_superuser', q{INSERT INTO public.crown VALUES ('insert')}, 'refused'],
	['read_victim', 'SELECT * FROM vic.people', 'refused'],
	['trigger_on_store', 'CREATE TRIGGER evil BEFORE INSERT ON scim.users FOR EACH ROW EXECUTE FUNCTION mal.before()', 'refused'],
	['copy_program', q{COPY mal.log TO PROGRAM 'true'}, 'refused'],
	['read_file', q{SELECT pg_read_file('postgresql.conf')}, 'refused'],
	['alter_system', q{ALTER SYSTEM SET scim.listen_address = '0.0.0.0'}, 'refused'],
	['alter_database', 'ALTER DATABASE postgres SET search_path = mal', 'refused'],
	['terminate', 'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()'],
	['terminate_self', 'SELECT pg_terminate_backend(pg_backend_pid())', 'refused'],
	['create_in_scim', 'CREATE FUNCTION scim.fold(int) RETURNS int LANGUAGE sql AS $f$SELECT 1$f$', 'refused'],
	['own_table', 'ALTER TABLE mal.people OWNER TO postgres', 'refused'],
	['drop_own_table', 'DROP TABLE mal.people', 'refused'],
	# chains: events that are fired late, in a table that is not mapped
	['late_chain', q{INSERT INTO mal.chain VALUES (3)}],
	['later_chain', q{SET CONSTRAINTS ALL DEFERRED; INSERT INTO mal.chain VALUES (3)}],
);

# Errors that leave the trigger: the request fails, and that is all.
my @errors = (
	['raise', 'P0001'], ['raise_cancel', '57014'], ['raise_shutdown', '57P01'], ['raise_internal', 'XX000'],
	['raise_serialization', '40001'], ['raise_deadlock', '40P01'], ['raise_unique', '23505'], ['raise_memory', '53200']);

# ---- the scene ----

$t->sql(q{
	CREATE TABLE public.crown (x text);
	CREATE ROLE mallory; CREATE ROLE victor;
	CREATE SCHEMA mal AUTHORIZATION mallory; CREATE SCHEMA vic AUTHORIZATION victor;
});

# Everything of mallory is made by mallory.
$t->sql(q{
	SET SESSION AUTHORIZATION mallory;
	CREATE SEQUENCE mal.numbers;
	CREATE TABLE mal.vectors (name text PRIMARY KEY, statement text, errcode text);
	CREATE TABLE mal.log (n bigserial, vector text, place text, outcome text, who text, session text, super text);

	CREATE FUNCTION mal.attack(place text, vector text) RETURNS boolean LANGUAGE plpgsql AS $f$
	DECLARE
		v mal.vectors;
		outcome text;
	BEGIN
		SELECT * INTO v FROM mal.vectors x WHERE x.name = vector;
		IF NOT FOUND THEN
			RETURN true;
		END IF;
		IF v.errcode IS NOT NULL THEN
			IF v.statement = place THEN
				RAISE EXCEPTION 'by mallory' USING ERRCODE = v.errcode;
			END IF;
			RETURN true;
		END IF;
		BEGIN
			EXECUTE v.statement;
			outcome := 'worked';
		EXCEPTION WHEN OTHERS THEN
			outcome := SQLSTATE || ' ' || SQLERRM;
		END;
		BEGIN
			INSERT INTO mal.log (vector, place, outcome, who, session, super)
				VALUES (vector, place, outcome, current_user, session_user, (SELECT rolsuper FROM pg_roles WHERE rolname = current_user));
		EXCEPTION WHEN OTHERS THEN
			RAISE LOG 'mallory cannot write the log as %: %', current_user, SQLERRM;
		END;
		RETURN true;
	END $f$;

	CREATE FUNCTION mal.note_who(place text) RETURNS text LANGUAGE plpgsql VOLATILE AS $f$
	DECLARE
		outcome text := 'worked';
	BEGIN
		PERFORM set_config('search_path', 'mal, public', false), set_config('datestyle', 'SQL, DMY', false), pg_advisory_lock(4799);
		BEGIN
			INSERT INTO public.crown VALUES (place);
		EXCEPTION WHEN insufficient_privilege THEN
			outcome := 'refused';
		END;
		INSERT INTO mal.log (vector, place, outcome, who, session, super)
			VALUES ('who', place, outcome, current_user, session_user, (SELECT rolsuper FROM pg_roles WHERE rolname = current_user));
		RETURN place;
	END $f$;

	CREATE FUNCTION mal.before() RETURNS trigger LANGUAGE plpgsql AS $f$
	BEGIN
		PERFORM mal.attack(TG_NAME || ' ' || TG_OP, CASE TG_OP WHEN 'DELETE' THEN OLD.title ELSE NEW.title END);
		IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
		RETURN NEW;
	END $f$;

	CREATE FUNCTION mal.statement_level() RETURNS trigger LANGUAGE plpgsql AS $f$
	BEGIN
		PERFORM mal.attack(TG_NAME || ' ' || TG_OP, x.title) FROM news x LIMIT 1;
		RETURN NULL;
	END $f$;

	CREATE TABLE mal.people (
		id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
		login text NOT NULL UNIQUE,
		active boolean,
		title text CHECK (mal.attack('check', title)));
	CREATE TRIGGER before BEFORE INSERT OR UPDATE OR DELETE ON mal.people FOR EACH ROW EXECUTE FUNCTION mal.before();
	CREATE TRIGGER after AFTER INSERT OR UPDATE OR DELETE ON mal.people FOR EACH ROW EXECUTE FUNCTION mal.before();
	CREATE TRIGGER statement_ins AFTER INSERT ON mal.people REFERENCING NEW TABLE AS news FOR EACH STATEMENT EXECUTE FUNCTION mal.statement_level();
	CREATE TRIGGER statement_upd AFTER UPDATE ON mal.people REFERENCING NEW TABLE AS news FOR EACH STATEMENT EXECUTE FUNCTION mal.statement_level();
	CREATE CONSTRAINT TRIGGER immediate AFTER INSERT OR UPDATE OR DELETE ON mal.people
		FOR EACH ROW EXECUTE FUNCTION mal.before();
	CREATE CONSTRAINT TRIGGER deferrable_immediate AFTER INSERT OR UPDATE OR DELETE ON mal.people
		DEFERRABLE INITIALLY IMMEDIATE FOR EACH ROW EXECUTE FUNCTION mal.before();
	CREATE CONSTRAINT TRIGGER deferred AFTER INSERT OR UPDATE OR DELETE ON mal.people
		DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION mal.before();

	-- a policy that the owner is subject to
	ALTER TABLE mal.people ENABLE ROW LEVEL SECURITY;
	ALTER TABLE mal.people FORCE ROW LEVEL SECURITY;
	CREATE POLICY evil ON mal.people USING (mal.attack('policy', title)) WITH CHECK (mal.attack('policy check', title));

	-- events in a table that is not mapped, each of which queues the next
	CREATE TABLE mal.chain (i int);
	CREATE FUNCTION mal.next_link() RETURNS trigger LANGUAGE plpgsql AS $f$
	BEGIN
		PERFORM mal.note_who('chain ' || NEW.i);
		IF NEW.i > 0 THEN
			SET CONSTRAINTS ALL DEFERRED;
			INSERT INTO mal.chain VALUES (NEW.i - 1);
		END IF;
		RETURN NULL;
	END $f$;
	CREATE CONSTRAINT TRIGGER link AFTER INSERT ON mal.chain DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION mal.next_link();
});

for my $v (@vectors)
{
	$t->sql(sprintf('INSERT INTO mal.vectors VALUES (%s, %s)', map { ScimTest::literal($_) } $v->[0], $v->[1]));
}

# What a session looks like from within a request of another owner.
$t->sql(q{
	SET SESSION AUTHORIZATION victor;
	CREATE TABLE vic.probe (n bigserial, pid int, who text, session text, state text);
	CREATE FUNCTION vic.probe() RETURNS trigger LANGUAGE plpgsql AS $f$
	DECLARE
		state text := '';
		last text;
	BEGIN
		SELECT state || coalesce(string_agg(name || '=' || setting || ' (' || source || ')', E'\n' ORDER BY name), '')
			INTO state FROM pg_settings WHERE source = 'session' OR name IN ('search_path', 'TimeZone', 'client_encoding', 'row_security');
		state := state || E'\nmal.note=' || coalesce(nullif(current_setting('mal.note', true), ''), 'unset');
		SELECT state || coalesce(string_agg(E'\nprepared ' || name, '' ORDER BY name), '') INTO state FROM pg_prepared_statements;
		SELECT state || coalesce(string_agg(E'\ncursor ' || name, '' ORDER BY name), '') INTO state FROM pg_cursors WHERE name NOT LIKE '<unnamed%';
		SELECT state || coalesce(string_agg(E'\nchannel ' || c, '' ORDER BY c), '') INTO state FROM pg_listening_channels() c;
		SELECT state || coalesce(string_agg(E'\ntemporary ' || relname, '' ORDER BY relname), '') INTO state
			FROM pg_class WHERE relnamespace = pg_my_temp_schema();
		SELECT state || coalesce(string_agg(E'\ntemporary function ' || proname, '' ORDER BY proname), '') INTO state
			FROM pg_proc WHERE pronamespace = pg_my_temp_schema();
		SELECT state || coalesce(string_agg(E'\nadvisory ' || classid || ' ' || objid, '' ORDER BY classid, objid), '') INTO state
			FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();
		BEGIN
			last := lastval();
			state := state || E'\nlastval ' || last;
		EXCEPTION WHEN OTHERS THEN
			NULL;
		END;
		INSERT INTO vic.probe (pid, who, session, state) VALUES (pg_backend_pid(), current_user, session_user, state);
		RETURN NEW;
	END $f$;
	CREATE TABLE vic.people (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), login text NOT NULL UNIQUE, active boolean);
	CREATE TRIGGER probe BEFORE INSERT ON vic.people FOR EACH ROW EXECUTE FUNCTION vic.probe();
});

$t->sql(q{
	SELECT scim.create_mapping('mal_people', 'User', 'mal.people', key => 'id',
		attributes => '{"userName": "login", "active": "active", "title": "title"}', owner => 'mallory');
	SELECT scim.create_mapping('vic_people', 'User', 'vic.people', key => 'id',
		attributes => '{"userName": "login", "active": "active"}', owner => 'victor');
	SELECT scim.create_endpoint('mal', base_path => '/mal', mappings => '{mal_people}', owner => 'mallory');
	SELECT scim.create_endpoint('vic', base_path => '/vic', mappings => '{vic_people}', owner => 'victor');
});
my $mal = $t->client(base_path => '/mal', token => $t->create_token('mal'));
my $vic = $t->client(base_path => '/vic', token => $t->create_token('vic'));
my $store = $t->client;
my $n = 0;

# The state of the listener's session, as victor sees it.
sub probe
{
	my $r = $vic->post('/Users', { schemas => [CORE_USER], userName => 'probe' . $n++ });
	return 'the probe failed: ' . $r->status . ' ' . $r->text if $r->status != 201;
	return $t->sql('SELECT pid, who, session, state FROM vic.probe ORDER BY n DESC LIMIT 1');
}

# ---- refusals of privileged owners ----

for my $role ('postgres', 'scim_super', 'scim_bypass', 'scim_repl')
{
	$t->sql("CREATE ROLE $role " . { scim_super => 'SUPERUSER', scim_bypass => 'BYPASSRLS', scim_repl => 'REPLICATION' }->{$role}) if $role ne 'postgres';
	my ($rc) = $t->try_sql("SELECT scim.create_mapping('bad', 'User', 'vic.people', key => 'id', attributes => '{\"userName\": \"login\"}', owner => '$role')");
	isnt($rc, 0, "$role cannot own a mapping");
}

# ---- over HTTP ----

status_is($mal->post('/Users', { schemas => [CORE_USER], userName => 'honest' }), 201, 'an honest request to the hostile table') or diag($t->log_tail);
probe();
my $clean = probe();
like($clean, qr/^\d+\|victor\|scim_worker\|/, 'a request runs as the owner, in a session of the worker role');
like($clean, qr/^search_path=pg_catalog, ?pg_temp\b/m, 'with search_path pinned');

# Run the vector in POST, PATCH, PUT, GET and DELETE; return what is wrong.
# (A policy is asked about rows of other vectors, too.)
my %escaped;
my @wrong;
my %must = map { $_->[0] => $_->[2] } @vectors;
sub judge
{
	my ($how, $name) = @_;
	for (split /\n/, $t->sql("SELECT vector, place, replace(outcome, E'\\n', ' '), who, session, super FROM mal.log ORDER BY n"))
	{
		my ($vector, $place, $outcome, $who, $session, $super) = split /\|/;
		push @wrong, "$how: $name in $place: is $who, superuser $super ($outcome)" if $who ne 'mallory' || $super ne 'false';
		push @wrong, "$how: $name in $place: worked" if $vector ne 'who' && $must{$vector} && $outcome eq 'worked';
		push @wrong, "$how: $name in $place: wrote a superuser's table" if $vector eq 'who' && $outcome eq 'worked';
		$escaped{"$how $place"}++;
	}
	$t->sql('TRUNCATE mal.log');
	return;
}

for my $v (@vectors)
{
	my ($name) = @$v;
	my @status;
	my $r = $mal->post('/Users', { schemas => [CORE_USER], userName => $name, title => $name });
	push @status, $r->status;
	my $id = $r->id;
	if ($id)
	{
		push @status, $mal->get("/Users/$id")->status;
		push @status, $mal->patch("/Users/$id", [ { op => 'replace', path => 'active', value => TRUE } ])->status;
		push @status, $mal->put("/Users/$id", { schemas => [CORE_USER], userName => $name, title => $name, active => FALSE })->status;
		push @status, $mal->delete("/Users/$id")->status;
	}
	push @wrong, "HTTP: $name: no answer (@status)" if grep { $_ == 599 } @status;
	judge('HTTP', $name);
	my $now = probe();
	if ($now ne $clean)
	{
		push @wrong, "HTTP: $name: left something behind: $now";
		$clean = $now if $now !~ /^the probe failed/;
	}
	note("$name: @status");
}
is(scalar(@wrong), 0, scalar(@vectors) . ' vectors over HTTP gain nothing and leave nothing');
diag($_) for splice(@wrong, 0, 20);
@wrong = ();
is($t->sql('SELECT count(*) FROM public.crown'), '0', 'nothing was written to the table of a superuser');
is($t->sql('SELECT rolsuper FROM pg_roles WHERE rolname = \'mallory\''), 'f', 'mallory is no superuser');
{
	# The vectors have really been run, in all these places.  A statement trigger
	# that is missing here is one that does not fire for a POST.
	my @places = ('before INSERT', 'after INSERT', 'immediate INSERT', 'deferrable_immediate INSERT', 'deferred INSERT', 'statement_ins INSERT', 'check',
		'policy check', 'before UPDATE', 'deferred UPDATE', 'deferred DELETE');
	my @missing = grep { !$escaped{"HTTP $_"} } @places;
	is("@missing", '', 'they were run in every place');
	cmp_ok(scalar(grep { ($escaped{"HTTP $_"} || 0) >= @vectors / 2 } @places), '==', scalar(@places), 'most of them everywhere')
	  or diag(join(', ', map { "$_: $escaped{$_}" } sort keys %escaped));
}

# errors out of the triggers
my $mark = length $t->log_text;
for my $e (@errors)
{
	my ($name, $code) = @$e;
	for my $place ('before INSERT', 'immediate INSERT', 'deferred INSERT')
	{
		$t->sql("TRUNCATE mal.vectors; INSERT INTO mal.vectors VALUES ('$name', '$place', '$code')");
		my $r = $mal->post('/Users', { schemas => [CORE_USER], userName => "$name $place", title => $name });
		push @wrong, "$name in $place: status " . $r->status . ' ' . $r->text if $r->status < 400 || $r->status == 599;
		push @wrong, "$name in $place: the answer shows its message" if $r->text =~ /mallory/;
		my $now = probe();
		push @wrong, "$name in $place: left $now" if $now ne $clean;
		$clean = $now if $now !~ /^the probe failed/;
	}
}
is($t->sql("SELECT count(*) FROM mal.people WHERE title LIKE 'raise%'"), '0', 'what failed is not stored');
is(scalar(@wrong), 0, 'errors out of a trigger fail the request and leave nothing');
diag($_) for splice(@wrong, 0, 20);
@wrong = ();
is(scalar(grep { /by mallory/ } split /\n/, substr($t->log_text, $mark)), 0, 'their messages are not in the log');

# a trigger that does not end, also at the end of the transaction
for my $place ('before INSERT', 'deferred INSERT')
{
	$t->sql("TRUNCATE mal.vectors; INSERT INTO mal.vectors VALUES ('sleep', 'SELECT pg_sleep(30)')");
	$t->sql("SET SESSION AUTHORIZATION mallory; CREATE OR REPLACE FUNCTION mal.attack(place text, vector text) RETURNS boolean LANGUAGE plpgsql AS \$f\$
		BEGIN IF place = '$place' AND vector = 'sleep' THEN PERFORM pg_sleep(30); END IF; RETURN true; END \$f\$");
	my $start = time;
	my $r = $mal->post('/Users', { schemas => [CORE_USER], userName => "sleep $place", title => 'sleep' });
	my $took = time - $start;
	error_is($r, 503, undef, undef, "sleeping in $place ends with 503");
	cmp_ok($took, '<', 5, 'after the statement timeout');
	is(probe(), $clean, 'and leaves nothing');
}

status_is($store->post('/Users', { schemas => [CORE_USER], userName => 'built-in' }), 201, 'the built-in store is served as ever');
is($t->sql("SELECT tenant FROM scim.users WHERE user_name = 'built-in'"), 'acme', 'with its row in the right place');

# ---- scim.handle ----
#
# The caller is a superuser; the session is psql's.  It has state of its own,
# which must stay.

$t->sql(q{
	SET SESSION AUTHORIZATION mallory;
	CREATE OR REPLACE FUNCTION mal.attack(place text, vector text) RETURNS boolean LANGUAGE plpgsql AS $f$
	DECLARE
		v mal.vectors;
		outcome text;
	BEGIN
		SELECT * INTO v FROM mal.vectors x WHERE x.name = vector;
		IF NOT FOUND THEN
			RETURN true;
		END IF;
		BEGIN
			EXECUTE v.statement;
			outcome := 'worked';
		EXCEPTION WHEN OTHERS THEN
			outcome := SQLSTATE || ' ' || SQLERRM;
		END;
		INSERT INTO mal.log (vector, place, outcome, who, session, super)
			VALUES (vector, place, outcome, current_user, session_user, (SELECT rolsuper FROM pg_roles WHERE rolname = current_user));
		RETURN true;
	END $f$;
	TRUNCATE mal.vectors, mal.people;
});
for my $v (@vectors)
{
	$t->sql(sprintf('INSERT INTO mal.vectors VALUES (%s, %s)', map { ScimTest::literal($_) } $v->[0], $v->[1]));
}

my $state = q{
	SELECT current_user || ' ' || session_user || ' ' || current_setting('is_superuser');
	SELECT name || '=' || setting FROM pg_settings WHERE source = 'session' ORDER BY 1;
	SELECT 'mal.note=' || coalesce(nullif(current_setting('mal.note', true), ''), 'unset');
	SELECT 'prepared ' || name FROM pg_prepared_statements ORDER BY 1;
	SELECT 'cursor ' || name FROM pg_cursors WHERE name <> '' ORDER BY 1;
	SELECT 'channel ' || c FROM pg_listening_channels() c ORDER BY 1;
	SELECT 'temporary ' || relname FROM pg_class WHERE relnamespace = pg_my_temp_schema() ORDER BY 1;
	SELECT 'advisory ' || classid || ' ' || objid FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() ORDER BY 1;
};
my $own = q{
	SET search_path = public; SET datestyle = 'German'; PREPARE mine AS SELECT 1; LISTEN mine; CREATE TEMP TABLE mine (x int);
	SELECT pg_advisory_lock(1); DECLARE mine CURSOR WITH HOLD FOR SELECT 1;
};
my @left;
sub handled
{
	my ($name, $transaction) = @_;
	my $body = json_bytes({ schemas => [CORE_USER], userName => "$name$transaction", title => $name });
	my ($begin, $end) = $transaction ? ('BEGIN;', 'COMMIT;') : ('', '');
	my ($rc, $out, $err) = $t->try_sql("$own SELECT 'A'; $state SELECT 'B'; $begin"
		. " SELECT 'status ' || status FROM scim.handle('mal', 'POST', '/Users', '{\"Content-Type\": \"application/scim+json\"}', "
		. ScimTest::literal($body) . "); $end SELECT 'C'; $state SELECT 'D';");
	push @wrong, "handle: $name: psql failed: $err" if $rc;
	my ($before) = $out =~ /^A\n(.*?)^B$/ms;
	my ($after) = $out =~ /^C\n(.*?)^D$/ms;
	push @wrong, "handle: $name: not handled: $out" if $out !~ /^status \d/m;
	if (defined $before && defined $after && $before ne $after)
	{
		my %b = map { $_ => 1 } split /\n/, $before;
		my %a = map { $_ => 1 } split /\n/, $after;
		push @left, "handle: $name" . ($transaction ? ' in a transaction' : '') . ': the session has changed: '
		  . join(', ', (map { "+$_" } grep { !$b{$_} } sort keys %a), (map { "-$_" } grep { !$a{$_} } sort keys %b));
	}
	return;
}

%escaped = ();
for my $v (@vectors)
{
	# whoever fires a trigger in a session of his own lets it do that
	next if $v->[0] eq 'transaction_timeout';
	handled($v->[0], $_) for 0, 1;
	judge('handle', $v->[0]);
}
is(scalar(@wrong), 0, 'the same vectors by scim.handle gain nothing');
diag($_) for splice(@wrong, 0, 20);
is(scalar(@left), 0, 'and leave nothing in the session of the caller');
diag($_) for splice(@left, 0, 40);
is($t->sql('SELECT count(*) FROM public.crown'), '0', 'nothing was written to the table of a superuser');
for my $status (201, 409)
{
	# a caller with many locks of its own, and a request that takes more and fails
	my $locks = q{SELECT count(*) || ' ' || count(*) FILTER (WHERE objid IN (4711, 4712, 13)) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();};
	my $body = ScimTest::literal(json_bytes({ schemas => [CORE_USER], userName => 'many locks', title => 'advisory_lock' }));
	my (undef, $out) = $t->try_sql("SELECT count(pg_advisory_lock(i)) FROM generate_series(10001, 12000) i; $locks SELECT status FROM scim.handle('mal', 'POST', '/Users', '{}', $body); $locks");
	is($out, "2000\n2000 0\n$status\n2000 0", "locks of the caller stay, those of the owner do not, after $status");
}
cmp_ok($escaped{'handle deferred INSERT'} || 0, '>=', @vectors, 'deferred constraints were fired within');

$t->no_crash;
done_testing();
