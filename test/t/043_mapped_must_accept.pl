# 043_mapped_must_accept.pl - 003_must_accept.pl on tables of an application (ScimMapped.pm): what clients send that is not quite SCIM.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";

BEGIN { $ENV{SCIM_STORE} = 'mapped' }
use ScimTest;

do "$FindBin::RealBin/003_must_accept.pl" or die $@ || $!;
