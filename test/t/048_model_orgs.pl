# 048_model_orgs.pl - 20,000 random requests to two tenants of one schema of
# docs/mapping.md: users in several organizations.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";

BEGIN
{
	$ENV{SCIM_MODEL} = 'orgs';
	$ENV{SCIM_REQUESTS} ||= 20_000;
	$ENV{SCIM_SECONDS} ||= 280;
}
use ScimTest;

do "$FindBin::RealBin/020_model.pl" or die $@ || $!;
