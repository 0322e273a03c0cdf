# 044_mapped_register_model.pl - 031_register_model.pl on tables of an application (ScimMapped.pm): the register, data model.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";

BEGIN { $ENV{SCIM_STORE} = 'mapped' }
use ScimTest;

do "$FindBin::RealBin/031_register_model.pl" or die $@ || $!;
