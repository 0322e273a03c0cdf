#!/usr/bin/env bash
#
# versions.sh [SUITE...] - the tests with the PostgreSQL of other releases of
# Debian: trixie has 17, forky has 18 (default: these two).  PARTS names the
# parts of test/run.sh (default: "build regress isolation tap").
#
# Each release is installed into a directory under /tmp by mmdebstrap, from the
# mirror in MIRROR or the first one that apt knows, and test/run.sh runs in it,
# with processes and mounts of its own that end with it.  Needs root, 3 GB under
# /tmp, and Debian's package mmdebstrap.
#
# The last line is "N passed, N failed"; a release that could not be installed
# is a failure.  KEEP=1 keeps the directories.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
source "$root/test/lib.sh"

suites=("$@")
[ $# != 0 ] || suites=(trixie forky)
read -r -a parts <<<"${PARTS:-build regress isolation tap}"
passed=0
failed=0

is_root || die "making a chroot needs root." "As root: make versions"
command -v mmdebstrap >/dev/null || die "mmdebstrap is missing." "As root: apt-get install mmdebstrap"
[ "$(df -Pm /tmp | awk 'NR == 2 { print $4 }')" -ge 3000 ] || die "3 GB under /tmp are needed."
mirror=${MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1)}

work=$(mktemp -d /tmp/scim-versions.XXXXXX)
chmod 0755 "$work"
trap '[ -n "${KEEP:-}" ] || rm -rf --one-file-system "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# install SUITE: that release with what compiles C; test/run.sh gets the rest.
install_suite()
{
	mmdebstrap --quiet --mode=root --variant=apt --include=gcc,libc6-dev,make,perl,procps,util-linux \
		--aptopt='APT::Install-Recommends "false"' "$1" "$work/$1" "$mirror"
}

# run_suite SUITE: test/run.sh there.
run_suite()
{
	mkdir "$work/$1/scim"
	tar -C "$root" --exclude=./.git --exclude=./.quickstart --exclude='*.o' --exclude='*.so' --exclude='*.a' -cf - . |
		tar -C "$work/$1/scim" --no-same-owner -xf -
	unshare --mount --pid --fork --kill-child bash -c '
		set -e
		mount -t proc proc "$0/proc"
		mkdir -p "$0/dev/shm"
		mount -t tmpfs -o mode=1777 tmpfs "$0/dev/shm"
		exec env -u KEEP chroot "$0" /scim/test/run.sh "$@"' "$work/$1" "${parts[@]}"
}

for suite in "${suites[@]}"; do
	say "==== $suite"
	if ! install_suite "$suite"; then
		say "   FAILED  $suite could not be installed"
		failed=$((failed + 1))
		continue
	fi
	run_suite "$suite" | tee "$work/log" || true
	if [[ $(tail -n 1 "$work/log") =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
		passed=$((passed + BASH_REMATCH[1]))
		failed=$((failed + BASH_REMATCH[2]))
	else
		say "   FAILED  the tests of $suite did not come to an end"
		failed=$((failed + 1))
	fi
	[ -n "${KEEP:-}" ] || rm -rf --one-file-system "${work:?}/$suite"
done

printf "\n"; say "Skipped: PostgreSQL 14 and 16, which no release of Debian carries; the parts that are not among: ${parts[*]}."
say "$passed passed, $failed failed"
[ "$failed" = 0 ]
