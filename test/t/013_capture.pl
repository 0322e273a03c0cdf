# 013_capture.pl - changes are captured, whatever becomes of the transaction or
# the database: prepared transactions, a crash, dump and restore, a table that
# logical replication writes to.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use ScimTest;
use Test::More;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

ScimTest->watchdog(150);

my $node = ScimTest->cluster('main', conf => <<'CONF');
max_prepared_transactions = 4
wal_level = logical
max_wal_senders = 4
max_replication_slots = 4
CONF
$node->start;

sub sql { return $node->safe_psql($_[1] || 'postgres', $_[0]) }

# The queue, and empty it.
sub queue
{
	my ($dbname) = @_;
	my $rows = sql(q{SELECT string_agg(format('%s %s %s', s.name, d.reason, d.keys), ', ' ORDER BY d.id)
		FROM scim._dirty d JOIN scim._syncs s ON s.id = d.sync_id}, $dbname);
	sql('DELETE FROM scim._dirty', $dbname);
	return $rows;
}

sql(<<'SQL');
CREATE EXTENSION scim;
CREATE ROLE hr NOLOGIN;
CREATE FOREIGN DATA WRAPPER some_wrapper;
CREATE SERVER target FOREIGN DATA WRAPPER some_wrapper;
CREATE SCHEMA hr AUTHORIZATION hr;
SET ROLE hr;
CREATE TABLE hr.staff (id int NOT NULL, org int NOT NULL, login text, note text, PRIMARY KEY (org, id)) PARTITION BY LIST (org);
CREATE TABLE hr.staff_1 PARTITION OF hr.staff FOR VALUES IN (1);
CREATE TABLE hr.staff_2 (note text, login text, org int NOT NULL, id int NOT NULL);
ALTER TABLE hr.staff ATTACH PARTITION hr.staff_2 FOR VALUES IN (2);
CREATE TABLE hr.phones (staff_id int, number text);
RESET ROLE;
SELECT scim.create_mapping('staff', 'User', 'hr.staff', key => 'id', owner => 'hr', attributes => '{"userName": "login",
	"phoneNumbers": {"table": "hr.phones", "parent": "staff_id", "columns": {"value": "number"}}}');
SELECT scim.create_sync('staff', 'staff', 'target', scope => 'login <> ''root''', attributes => '{"userName": {"match": 1}}');
SELECT scim.create_sync('waiting', 'staff', 'target');
SELECT scim.start_sync('staff');
INSERT INTO hr.staff VALUES (1, 1, 'ann'), (2, 2, 'bob');
SQL
is(queue(), 'staff full , staff insert {1,2}, waiting insert {1,2}', 'a sync starts');

# ---- the library is loaded by a trigger, inside subtransactions ----

sql(q{BEGIN; SAVEPOINT a; SAVEPOINT b; UPDATE hr.staff SET login = 'lost'; ROLLBACK TO a; SAVEPOINT c; UPDATE hr.staff SET login = 'kept' WHERE id = 1; COMMIT});
is(queue(), 'staff update {1}, waiting update {1}', 'in a transaction that knew nothing of scim');
sql(q{BEGIN; SAVEPOINT a; SELECT scim.fold('x'); ROLLBACK TO a; SELECT scim.fold('y'); COMMIT});

# ---- prepared transactions ----

sql(q{BEGIN; UPDATE hr.staff SET login = 'ann2' WHERE id = 1; PREPARE TRANSACTION 'kept'});
sql(q{BEGIN; UPDATE hr.staff SET login = 'bob2' WHERE id = 2; PREPARE TRANSACTION 'lost'});
is(queue(), '', 'a prepared transaction has queued nothing that is seen');
$node->stop('immediate');
$node->start;
sql(q{COMMIT PREPARED 'kept'});
sql(q{ROLLBACK PREPARED 'lost'});
is(queue(), 'staff update {1}, waiting update {1}', 'committed after a crash, it has');

# ---- a crash ----

sql(q{UPDATE hr.staff SET login = 'ann3' WHERE id = 1});
$node->stop('immediate');
$node->start;
is(queue(), 'staff update {1}, waiting update {1}', 'the queue survives a crash');

sql(q{SET session_replication_role = replica; UPDATE hr.staff SET login = 'ann4' WHERE id = 1});
is(queue(), '', 'triggers that are off see nothing');

# ---- dump and restore ----

sub configuration
{
	my ($dbname) = @_;
	return join("\n", map { sql($_, $dbname) }
		'SELECT * FROM scim.syncs ORDER BY name',
		'SELECT * FROM scim.sync_captures ORDER BY sync, relation::text',
		q{SELECT tgrelid::regclass::text, tgname, tgenabled FROM pg_trigger WHERE tgfoid = 'scim._capture'::regproc ORDER BY 1, 2});
}
# what a mapping with "track" knows of its rows
sub states
{
	my ($dbname) = @_;
	return sql(q{SELECT s.key, s.external_id, s.created, s.last_modified, s.version FROM scim._resource_state s JOIN scim._mappings m ON m.id = s.mapping WHERE m.name = 'tracked' ORDER BY s.key}, $dbname);
}
sql(q{CREATE TABLE hr.tracked (id int PRIMARY KEY, login text); ALTER TABLE hr.tracked OWNER TO hr; INSERT INTO hr.tracked VALUES (1, 'one'), (2, 'two');
	SELECT scim.create_mapping('tracked', 'User', 'hr.tracked', owner => 'hr', attributes => '{"userName": "login"}', options => '{"track": true}');
	UPDATE hr.tracked SET login = 'ONE' WHERE id = 1});
my $states = states('postgres');
my $before = configuration('postgres');
like($before, qr/^staff\|hr.staff_2\|id\|\{id,login\}\|t\|staff$/m, 'partitions are captured');
unlike($before, qr/\|f\|/m, 'everything is');

sql(q{UPDATE hr.staff SET login = 'queued' WHERE id = 1});
my $dump = $node->basedir . '/dump';
my $plain = $node->basedir . '/dump.sql';
my @connection = ('-h', $node->host, '-p', $node->port);
command_ok([ 'pg_dump', @connection, '-Fc', '-f', $dump, 'postgres' ], 'pg_dump');
command_ok([ 'pg_dump', @connection, '-f', $plain, 'postgres' ], 'pg_dump as text');
my %ways = (
	whole => [ [ 'pg_restore', @connection, '--exit-on-error', '-d', 'whole', $dump ] ],
	sections => [ map { [ 'pg_restore', @connection, '--exit-on-error', "--section=$_", '-d', 'sections', $dump ] } 'pre-data', 'data', 'post-data' ],
	plain => [ [ 'psql', @connection, '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', 'plain', '-f', $plain ] ]);
for my $way (sort keys %ways)
{
	sql("CREATE DATABASE $way TEMPLATE template0");
	command_ok($_, "$way: " . $_->[0]) for @{ $ways{$way} };
	is(configuration($way), $before, "$way: syncs, captures and triggers are the same");
	is(queue($way), '', "$way: the queue is not part of a dump");
	is(states($way), $states, "$way: versions are");
	sql('UPDATE hr.tracked SET login = login || id', $way);
	is(sql("SELECT count(*) FROM (SELECT DISTINCT version FROM scim._resource_state WHERE version > (SELECT max(split_part(l, '|', 5)::bigint) FROM unnest(string_to_array('$states', E'\n')) l)) x", $way), '2', "$way: and go on");
	sql(q{UPDATE hr.staff SET login = 'x' WHERE id = 1; UPDATE hr.staff_2 SET note = 'y', login = 'z'; INSERT INTO hr.phones VALUES (2, '+1')}, $way);
	is(queue($way), join(', ', map { ("staff $_", "waiting $_") } 'update {1}', 'update {2}', 'insert {2}'), "$way: changes are captured");
	sql(q{CREATE TABLE hr.staff_3 PARTITION OF hr.staff FOR VALUES IN (3); INSERT INTO hr.staff_3 VALUES (3, 3, 'new')}, $way);
	is(queue($way), 'staff insert {3}, waiting insert {3}', "$way: also of a new partition");
	sql(q{SELECT scim.create_sync('another', 'staff', 'target')}, $way);
	is(sql('SELECT count(DISTINCT id) FROM scim._syncs', $way), '3', "$way: numbers of syncs go on");
	sql('SELECT scim.drop_sync(name) FROM scim.syncs', $way);
	sql(q{SELECT scim.drop_mapping('tracked')}, $way);
	is(sql(q{SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'scim_capture%'}, $way), '0', "$way: dropped, with the triggers");
	sql("DROP DATABASE $way");
}
is(queue(), 'staff update {1}, waiting update {1}', 'the original is as it was');

# ---- logical replication ----

sql('CREATE DATABASE publisher');
my $tables = 'CREATE TABLE public.people (id int PRIMARY KEY, login text, note text); CREATE TABLE public.teams (id int PRIMARY KEY, login text, note text)';
sql("$tables; CREATE PUBLICATION people FOR TABLE public.people, public.teams; SELECT pg_create_logical_replication_slot('people', 'pgoutput')", 'publisher');
sql(<<"SQL");
$tables;
GRANT SELECT, TRIGGER ON public.people, public.teams TO hr;
SELECT scim.create_mapping(t, 'User', t::regclass, owner => 'hr', attributes => '{"userName": "login"}') FROM unnest(ARRAY['people', 'teams']) t;
SELECT scim.create_sync('people', 'people', 'target');
SQL
my $connstr = $node->connstr . ' dbname=publisher';
sql("CREATE SUBSCRIPTION people CONNECTION '$connstr' PUBLICATION people WITH (create_slot = false, copy_data = false)");
sql(q{SELECT scim.create_sync('teams', 'teams', 'target')});
is(sql(q{SELECT tgrelid::regclass, tgname, tgenabled FROM pg_trigger WHERE tgrelid IN ('public.people'::regclass, 'public.teams'::regclass)
	AND tgname ~ 'row|truncate' ORDER BY 1, 2}),
	join("\n", map { ("$_|scim_capture_row|R", "$_|scim_capture_truncate|A") } 'people', 'teams'), 'a subscription before or after the sync: a trigger for it');

sub replicated
{
	my ($statement) = @_;
	sql($statement, 'publisher');
	$node->wait_for_catchup('people', 'replay', $node->lsn('write'));
	return queue();
}
is(replicated(q{INSERT INTO public.people VALUES (1, 'a'), (2, 'b')}), 'people insert {1}, people insert {2}', 'an insert is applied and captured');
is(replicated(q{UPDATE public.people SET note = 'x'}), '', 'a change that does not matter');
is(replicated(q{UPDATE public.people SET login = 'c' WHERE id = 1}), 'people update {1}', 'one that does');
is(replicated(q{DELETE FROM public.people WHERE id = 1}), 'people delete {1}', 'a delete');
is(replicated(q{INSERT INTO public.teams VALUES (7, 'a')}), 'teams insert {7}', 'another table');
is(replicated(q{TRUNCATE public.people}), 'people full ', 'TRUNCATE');
sql(q{INSERT INTO public.people VALUES (9, 'z'); TRUNCATE public.people});
is(queue(), 'people insert {9}, people full ', 'a statement of this database is captured once');
sql('DROP SUBSCRIPTION people');

# ---- the extension goes ----

my ($rc, $out, $err) = (0, '', '');
$rc = $node->psql('postgres', 'DROP EXTENSION scim', stderr => \$err);
like($err, qr/trigger scim_capture_insert on table hr\.staff depends on function scim\._capture/, 'the triggers keep the extension');
sql('DROP EXTENSION scim CASCADE');
sql(q{INSERT INTO hr.staff VALUES (5, 1, 'eva'); CREATE TABLE hr.staff_5 PARTITION OF hr.staff FOR VALUES IN (5)});
is(sql(q{SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'scim_capture%'}), '0', 'with CASCADE they go, too');
unlike(slurp_file($node->logfile), qr/was terminated by signal|PANIC|TRAP:/, 'no process crashed');

done_testing();
