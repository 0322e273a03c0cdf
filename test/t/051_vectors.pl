# 051_vectors.pl - the filters' test vectors on the schemas of docs/mapping.md.
#
# The resources of the vectors are created by requests, as far as a schema has
# places for what they say.  Every filter that an endpoint takes then has to find
# what the evaluation in memory finds in the resources as they are shown.  (What
# it does not take names an attribute that the mapping has not.)

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use ScimTest;
use Test::More;

ScimTest->watchdog(180);

# Names that a table folds by its own lower() are not found in another case beyond
# ASCII, here with the locale C (scim.check_mapping says so).
my $other_fold = q{id IN ('F-S005', 'F-S007') AND endpoint <> 'django'};

my $t = ScimTest->start;
$t->sql('CREATE ROLE app NOLOGIN; GRANT CREATE ON DATABASE postgres TO app');
open(my $file, '<', "$FindBin::RealBin/../data/filter-vectors.json") or die $!;
my $vectors = do { local $/; <$file> };
$vectors =~ s/'/''/g;
$t->sql("CREATE TABLE vectors AS SELECT '$vectors'::jsonb AS f");
$t->sql(<<'SQL');
CREATE FUNCTION percent(t text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT string_agg('%' || upper(encode(substring(convert_to(t, 'UTF8') FROM i FOR 1), 'hex')), '' ORDER BY i) FROM generate_series(1, octet_length(t)) i
$$;
CREATE TABLE run (endpoint text, mode text, id text, filter text, status int, found jsonb, wanted jsonb);
CREATE FUNCTION matching(filter text, mode text, resources jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT coalesce(jsonb_agg(r -> 'id' ORDER BY r ->> 'id'), '[]') FROM jsonb_array_elements(resources) r WHERE scim.filter_matches('User', r, filter, mode)
$$;
SQL

my %schema = (django => [ 'django', '{django_user,django_group}' ], supabase => [ 'supabase', '{supabase_user,supabase_team}' ],
	saas => [ 'saas1', '{saas_user,saas_team}', '{"org_id": 1}' ], orgs => [ 'orgs1', '{orgs_user,orgs_team}', '{"org_id": 1}' ]);
for my $name (sort keys %schema)
{
	my ($endpoint, $mappings, $scope) = @{ $schema{$name} };
	$t->sql($_) for recipe($name);
	$t->create_endpoint("${name}_strict", mode => 'strict', mappings => $mappings, (defined $scope ? (scope => $scope) : ()));
	is($t->sql("SELECT string_agg(h.status || ' ' || h.body, E'\\n') FROM vectors, jsonb_array_elements(f -> 'resources') r,
		scim.handle('$endpoint', 'POST', '/Users', '{}', (r - '{id,meta,groups}'::text[] - " . ($name eq 'orgs' ? "'userType'" : "''") . ")::text) h WHERE h.status <> 201"), '', "$name: all users are created");
	for my $mode ('strict', 'compat')
	{
		my $served = $mode eq 'strict' ? "${name}_strict" : $endpoint;
		$t->sql(qq{
			WITH shown AS MATERIALIZED (SELECT h.body::jsonb -> 'Resources' AS resources FROM scim.handle('$served', 'GET', '/Users?count=100', '{}', NULL) h),
			answer AS MATERIALIZED (SELECT v ->> 'id' AS id, v ->> 'filter' AS filter, h.status, h.body::jsonb AS body FROM vectors, jsonb_array_elements(f -> 'vectors') v,
				scim.handle('$served', 'GET', '/Users?count=100&attributes=userName&filter=' || percent(v ->> 'filter'), '{}', NULL) h
				WHERE v ->> 'filter' <> '' AND v ? 'matches' AND (v ->> 'mode' = '$mode' OR ('$mode' = 'compat' AND v ->> 'mode' = 'strict' AND (v ->> 'strictOnly') IS DISTINCT FROM 'true')))
			INSERT INTO run SELECT '$name', '$mode', a.id, a.filter, a.status,
				(SELECT coalesce(jsonb_agg(r -> 'id' ORDER BY r ->> 'id'), '[]') FROM jsonb_array_elements(a.body -> 'Resources') r),
				CASE WHEN a.status = 200 THEN matching(a.filter, '$mode', s.resources) END FROM answer a, shown s});
		my ($taken, $all) = split /\|/, $t->sql("SELECT count(*) FILTER (WHERE status = 200), count(*) FROM run WHERE endpoint = '$name' AND mode = '$mode'");
		cmp_ok($taken, '>', 60, "$name, $mode: $taken of $all filters name attributes that it has");
		is($t->sql("SELECT string_agg(concat_ws(' ', id, filter, 'found', found, 'wanted', wanted), E'\\n') FROM run WHERE endpoint = '$name' AND mode = '$mode' AND status = 200 AND found <> wanted AND NOT ($other_fold)"), '',
			"$name, $mode: they find what the evaluation in memory finds");
		is($t->sql("SELECT string_agg(concat_ws(' ', id, filter, status), E'\\n') FROM run WHERE endpoint = '$name' AND mode = '$mode' AND status NOT IN (200, 400)"), '',
			"$name, $mode: the others are 400");
	}
}
$t->no_crash;
done_testing();
