# 041_mapped_entra.pl - 001_entra.pl on tables of an application (ScimMapped.pm): the dialogues of Entra.

use strict;
use warnings FATAL => 'all';

use FindBin;
use lib "$FindBin::RealBin/lib";

BEGIN { $ENV{SCIM_STORE} = 'mapped' }
use ScimTest;

do "$FindBin::RealBin/001_entra.pl" or die $@ || $!;
