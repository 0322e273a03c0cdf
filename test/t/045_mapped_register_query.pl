# 045_mapped_register_query.pl - 032_register_query.pl on tables of an application (ScimMapped.pm): the register, queries.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";

BEGIN { $ENV{SCIM_STORE} = 'mapped' }
use ScimTest;

do "$FindBin::RealBin/032_register_query.pl" or die $@ || $!;
