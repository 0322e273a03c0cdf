# scim: SCIM 2.0 in and out of PostgreSQL.
#
#   make                build (needs pg_config, libcurl, jansson, libmicrohttpd)
#   make install        install into the PostgreSQL that pg_config names
#   make quickstart     set up everything on a fresh Debian machine and show it
#   make test           the same set-up, then every test
#   make soak-crash     kill the postmaster a thousand times, and miss nothing
#   make soak-sync      sync through every fault, and between two servers, for a quarter of an hour
#   make conformance    run clients of others against it (needs their registries)
#   make bench          measure against pgbench
#   make bench-curves   how times grow with users, members and pages
#   make bench-core     measure the language alone, against jansson
#   make bench-outbound measure an initial sync, against libcurl alone; SCALE=1000000: a large table
#   make bench-mapping  measure tables of an application against the built-in store
#   make coverage       unit tests of core, and the lines they reach
#   make LISTENER=no    build without libmicrohttpd (everything but the listener)
#
# Targets that need no PostgreSQL come first: this file has to work on a
# machine where make quickstart has yet to install it.

EXTENSION   = scim
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" scim.control)
LISTENER   ?= yes

.DEFAULT_GOAL := all
.PHONY: quickstart test soak-crash soak-sync versions conformance bench bench-curves bench-core bench-outbound bench-mapping fuzz unit coverage floors

quickstart:
	@test/quickstart.sh $(ARGS)

test:
	@test/run.sh $(ARGS)

# KILLS=1000, and MINUTES at most: test/soak/crash.pl.
soak-crash:
	@$(if $(KILLS),KILLS=$(KILLS)) $(if $(MINUTES),MINUTES=$(MINUTES)) test/run.sh soak

# SCIM_SEED=1: test/t/040_chaos.pl.
soak-sync:
	@$(if $(SCIM_SEED),SCIM_SEED=$(SCIM_SEED)) test/run.sh soak-sync

# The tests with the PostgreSQL of other releases of Debian, in chroots: test/versions.sh.
versions:
	@test/versions.sh $(ARGS)

conformance:
	@test/clients/run.sh

bench:
	@bench/run.sh $(if $(SCALE),--users $(SCALE)) $(ARGS)

bench-curves:
	@bench/curves.sh $(if $(SCALE),--users $(SCALE)) $(ARGS)

bench-outbound:
	@bench/outbound.sh $(if $(SCALE),--scale $(SCALE)) $(ARGS)

bench-mapping:
	@bench/mapping.sh $(ARGS)

# The language alone, as ratios to jansson's parse of the same bytes: bench/core.
bench-core:
	@$(MAKE) --no-print-directory -C bench/core run $(if $(ROUNDS),ROUNDS=$(ROUNDS))

# Core alone, without a server: test/unit/Makefile builds and runs it.
unit:
	@$(MAKE) --no-print-directory -C test/unit check

# The same, and which part of core's lines it reaches (gcov).
coverage:
	@$(MAKE) --no-print-directory -C test/unit coverage

# Every fuzzer of core, SECONDS each (60): test/fuzz/Makefile.
fuzz:
	@$(MAKE) --no-print-directory -C test/fuzz run $(if $(SECONDS),SECONDS=$(SECONDS))

floors:
	@test/floors.sh

PG_CONFIG ?= pg_config
PGXS      := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)

ifeq ($(wildcard $(PGXS)),)

all install installcheck clean:
	@echo "scim: no PostgreSQL server headers found (pg_config --pgxs: '$(PGXS)')."
	@echo "      'make quickstart' installs what is missing on Debian."
	@exit 1

else

SQL_PARTS   = $(sort $(wildcard sql/install/*.sql))
MODULE_big  = scim
SOURCES    := $(sort $(wildcard src/*.c src/*/*.c))
ifeq ($(LISTENER),no)
SOURCES    := $(filter-out src/worker/worker_listener%.c,$(SOURCES))
PG_CPPFLAGS += -DSCIM_NO_LISTENER
else
SHLIB_LINK += -lmicrohttpd
endif
OBJS        = $(SOURCES:.c=.o)
PG_CPPFLAGS += -DSCIM_VERSION='"$(EXTVERSION)"'
PG_CFLAGS   = -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers
ifdef WERROR
PG_CFLAGS  += -Werror
endif
SHLIB_LINK += -ljansson -lcurl
override with_llvm := no

DATA_built  = scim--$(EXTVERSION).sql
DATA        = $(wildcard sql/scim--*--*.sql)

REGRESS     = $(patsubst sql/%.sql,%,$(filter-out sql/scim--%,$(sort $(wildcard sql/*.sql))))
REGRESS_OPTS = --load-extension=$(EXTENSION) --encoding=UTF8 --no-locale
ISOLATION   = $(patsubst test/isolation/specs/%.spec,%,$(sort $(wildcard test/isolation/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test/isolation --outputdir=output_iso --load-extension=$(EXTENSION)
PROVE_TESTS ?= test/t/*.pl
EXTRA_CLEAN = tmp_check output_iso results build .build-options

include $(PGXS)

# Behind the server's directories: its own headers include catalog/catalog.h.
override CPPFLAGS += -Isrc

# gcc's flags of PGXS are unknown to clang.
ifneq ($(findstring clang,$(CC)),)
override CFLAGS += -Wno-ignored-attributes -Wno-ignored-optimization-argument -Wno-unknown-warning-option
endif

scim--$(EXTVERSION).sql: $(SQL_PARTS) scim.control
	{ printf '%s\n' '\echo Use "CREATE EXTENSION scim" to load this file. \quit'; cat $(SQL_PARTS); } > $@.tmp && mv $@.tmp $@

# PGXS knows no header dependencies; and another LISTENER is another build.
$(OBJS): $(wildcard src/*.h src/*/*.h) .build-options
.build-options: FORCE
	@echo '$(LISTENER) $(CC)' | cmp -s - $@ || echo '$(LISTENER) $(CC)' > $@
.PHONY: FORCE
FORCE:

endif
