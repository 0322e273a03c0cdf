# 029_schemas.pl - the cookbook of docs/mapping.md: schemas of applications as
# endpoints, by the statements that stand there and nothing else.  For each the
# dialogues of Entra (both modes) and Okta (PATCH and PUT) over HTTP, and what
# the application's tables hold then.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";
use ScimDialogue;
use ScimTest;
use Test::More;

ScimTest->watchdog(180);

my $t;

# Who is unlinked from an organization is there still.
sub forget
{
	my ($name) = @_;
	$t->sql('DELETE FROM orgs.team_members; DELETE FROM orgs.users') if $name eq 'orgs';
	return;
}

# The statements that say what the tables hold (see ScimDialogue.pm).
my @usual = qw(userName given family mail active);
my %schema = (
	django => { endpoints => ['django'], what => [@usual],
		user => q{SELECT username, first_name, last_name, email, is_active FROM django.auth_user WHERE id = '%s'},
		members => q{SELECT string_agg(username, ',' ORDER BY username) FROM django.auth_user_groups g JOIN django.auth_user u ON u.id = user_id WHERE group_id = '%s'} },
	supabase => { endpoints => ['supabase'], what => [ @usual, 'title', 'externalId' ],
		user => q{SELECT email, raw_user_meta_data ->> 'first_name', raw_user_meta_data ->> 'last_name', raw_user_meta_data ->> 'work_email', banned_until IS NULL,
			raw_user_meta_data -> 'job' ->> 'title', raw_app_meta_data -> 'scim' ->> 'external_id' FROM auth.users WHERE id = '%s'},
		members => q{SELECT string_agg(email, ',' ORDER BY email) FROM supa.team_members m JOIN auth.users u ON u.id = user_id WHERE team_id = '%s'} },
	saas => { endpoints => [ 'saas1', 'saas2' ], what => [ @usual, 'title', 'externalId' ],
		user => q{SELECT email, first_name, last_name, (SELECT string_agg(e.email, ',') FROM saas.user_emails e WHERE e.user_id = u.id AND kind = 'work'), status = 'active', job_title, external_id FROM saas.users u WHERE id = '%s'},
		members => q{SELECT string_agg(email, ',' ORDER BY email) FROM saas.team_members m JOIN saas.users u ON u.id = user_id WHERE team_id = '%s' AND role = 'member'} },
	orgs => { endpoints => [ 'orgs1', 'orgs2' ], what => [ @usual, 'title', 'externalId' ],
		user => q{SELECT email, first_name, last_name, work_email, enabled, job_title, external_id FROM orgs.users u JOIN orgs.organization_users o ON user_id = u.id WHERE u.id = '%s'},
		members => q{SELECT string_agg(email, ',' ORDER BY email) FROM orgs.team_members m JOIN orgs.users u ON u.id = user_id JOIN orgs.teams t ON t.id = m.team_id
			WHERE team_id = '%s' AND EXISTS (SELECT 1 FROM orgs.organization_users o WHERE o.user_id = u.id AND o.org_id = t.org_id)} });

$t = ScimTest->start(listeners => 2);
$t->sql('CREATE ROLE app NOLOGIN; GRANT CREATE ON DATABASE postgres TO app');
for my $name (sort keys %schema)
{
	my $s = $schema{$name};
	$t->sql($_) for recipe($name);
	is($t->sql("SELECT string_agg(concat_ws(' ', m.name, c.subject, c.problem), '; ') FROM scim.mappings m, scim.check_mapping(m.name) c WHERE m.name LIKE '$name%' AND c.severity = 'error'"), '', "$name: no error");
	for my $endpoint (@{ $s->{endpoints} })
	{
		subtest "$endpoint: Entra in default mode" => sub { entra($t, $s, $endpoint, 0) };
		forget($name);
		subtest "$endpoint: Entra with aadOptscim062020" => sub { entra($t, $s, $endpoint, 1) };
		forget($name);
		subtest "$endpoint: Okta, catalogue" => sub { okta($t, $s, $endpoint, 0) };
		forget($name);
		subtest "$endpoint: Okta, wizard" => sub { okta($t, $s, $endpoint, 1) };
		forget($name);
	}
}
subtest 'one recipe for each need' => sub {
	my $n = 0;
	for my $statements (recipe('recipes'))
	{
		my ($rc, undef, $err) = $t->try_sql($statements);
		is($rc, 0, 'recipe ' . $n++) or diag($err);
	}
	my $c = $t->client(base_path => '/shop/scim/v2', token => $t->create_token('shop'));
	my $r = $c->post('/Users', <<'JSON');
{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User","urn:shop:params:scim:schemas:staff:2.0:User"],"userName":"Ann@shop.example","externalId":"E1","userType":"owner","title":"Boss","active":false,
 "urn:shop:params:scim:schemas:staff:2.0:User":{"hired":"2020-01-01T00:00:00Z"},"roles":[{"value":"admin"}],"entitlements":[{"value":"till"},{"value":"safe"}],
 "ims":[{"type":"skill","value":"sql"},{"type":"skill","value":"c"}],"name":{"givenName":"Ann","familyName":"Lee"},"phoneNumbers":[{"value":"+1","type":"work"}],"timezone":"Europe/Rome",
 "addresses":[{"type":"home","locality":"Rome"}],"nickName":"An","emails":[{"value":"ann@shop.example","type":"work","primary":true},{"value":"a@home.example"}]}
JSON
	status_is($r, 201, 'a user in all these places');
	my $id = $r->id;
	my $j = $r->json;
	delete @$j{qw(meta id schemas)};
	is(json_bytes($j), '{"active":false,"addresses":[{"locality":"Rome","primary":true,"type":"home"}],"displayName":"Ann@Shop.Example",'
		. '"emails":[{"primary":false,"type":"other","value":"a@home.example"},{"primary":true,"type":"work","value":"ann@shop.example"}],'
		. '"entitlements":[{"value":"till"},{"value":"safe"}],"externalId":"E1","ims":[{"type":"skill","value":"sql"},{"type":"skill","value":"c"}],"locale":"en-GB",'
		. '"name":{"familyName":"Lee","givenName":"Ann"},"nickName":"An","phoneNumbers":[{"type":"work","value":"+1"}],"preferredLanguage":"en","roles":[{"value":"admin"}],'
		. '"timezone":"Europe/Rome","title":"Boss","urn:shop:params:scim:schemas:staff:2.0:User":{"hired":"2020-01-01T00:00:00Z"},"userName":"Ann@shop.example","userType":"owner"}',
		'comes out as it went in');
	is($t->sql("SELECT login_lower, role, left_at IS NOT NULL, hired, is_admin, nicknames, skills, data, settings, (SELECT newsletter FROM shop.preferences WHERE person = p.id) FROM shop.people p WHERE id = $id"),
		'ann@shop.example|1|t|1577836800|t|{till,safe}|sql,c|{"name": {"given": "Ann", "family": "Lee"}, "phones": [{"kind": "work", "number": "+1"}]}|{"ui": {"time zone": "Europe/Rome"}}|f',
		'SQL: the places');
	for my $filter ('userType eq "OWNER" and title eq "boss"', 'roles.value eq "admin" and entitlements.value eq "safe"', 'ims[type eq "skill" and value eq "C"]', 'timezone sw "europe"',
		'nickName eq "an" and preferredLanguage eq "en"', 'emails[primary eq true].value ew "shop.example"', 'externalId eq "E1" and meta.created pr', 'urn:shop:params:scim:schemas:staff:2.0:User:hired lt "2020-01-01T00:00:01Z"')
	{
		list_is($c->get('/Users' . query(filter => $filter)), 1, $filter);
	}
	my $group = $c->post('/Groups', { schemas => [CORE_GROUP], displayName => 'Rome', externalId => 'G1', members => [ { value => $id } ] })->id;
	status_is($c->delete("/Users/$id"), 204, 'delete: marked');
	is(scalar @{ $c->get("/Groups/$group")->json->{members} || [] }, 0, 'no member any more');
	is($c->post('/Users', { schemas => [CORE_USER], userName => 'ann@SHOP.example' })->id, $id, 'a POST of the name brings the row back');
	my $v = $t->client(base_path => '/contractors/scim/v2', token => $t->create_token('contractors'));
	is($v->post('/Users', { schemas => [CORE_USER], userName => 'max@build.example' })->json->{userType}, 'build.example', 'a view with triggers');
};
$t->no_crash;
done_testing();
