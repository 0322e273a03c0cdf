# 042_mapped_okta.pl - 002_okta.pl on tables of an application (ScimMapped.pm): the dialogues of Okta.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";

BEGIN { $ENV{SCIM_STORE} = 'mapped' }
use ScimTest;

do "$FindBin::RealBin/002_okta.pl" or die $@ || $!;
