# 038_random.pl - random users on the built-in store and on mapped tables: what
# SQL finds, stores and sorts against what memory does (test/data/random_users.sql;
# of a type of one's own: sql/provider_random.sql).
#
# SCIM_SEED=0.123 runs it again, SCIM_REQUESTS=n is how many filters and patches
# there are to be.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use ScimTest;
use ScimMapped;
use Test::More;

ScimTest->watchdog($ENV{SCIM_REQUESTS} ? 3000 : 110);

my $n = $ENV{SCIM_REQUESTS} || 500;
my $seed = $ENV{SCIM_SEED} || sprintf('%.6f', rand);
note("SCIM_SEED=$seed");
my $t = ScimTest->start;
my %made = ('built-in' => q{SELECT scim.create_endpoint('any')}, 'mapped' => q{SELECT scim.create_endpoint('any', mappings => '{mapped_users,mapped_groups}', scope => '{"org": "any"}')});
$t->sql($_) for ScimMapped::setup();
for my $store (sort keys %made)
{
	$t->sql($made{$store});
	my ($out, $err) = ('', '');
	my $ok = PostgreSQL::Test::Utils::run_log([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-v', "seed=$seed", '-v', "n=$n", '-d', $t->node->connstr('postgres'), '-f', "$FindBin::RealBin/../data/random_users.sql" ], '>', \$out, '2>', \$err);
	ok($ok, "$store: $n filters twice, $n patches, each user put back, walks by cursor (SCIM_SEED=$seed)") or diag($err);
	is(substr($out, 0, 3000), '', "$store: nothing differs");
	$t->sql(q{SELECT scim.drop_endpoint('any')});
}

$t->no_crash;
done_testing();
