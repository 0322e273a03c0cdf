# 046_mapped_register_write.pl - 033_register_write.pl on tables of an application (ScimMapped.pm): the register, writes.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";

BEGIN { $ENV{SCIM_STORE} = 'mapped' }
use ScimTest;

do "$FindBin::RealBin/033_register_write.pl" or die $@ || $!;
