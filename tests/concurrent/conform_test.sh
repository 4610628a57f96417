#!/bin/sh
# The tool's conformance run: what it says, what it refuses, and that it leaves nothing behind.
#   conform_test.sh PADSTONE
set -u
tool=$1
work=$(mktemp -d /tmp/padstone-conform-XXXXXX) || exit 1
trap 'rm -rf "$work"' EXIT
fail() {
	echo "FAILED: $*"
	cat "$work/out" "$work/err"
	exit 1
}
run() { "$tool" conform "$@" >"$work/out" 2>"$work/err"; }

run --stack 'concurrent(memory)' "$work/store" || fail "a sound stack did not pass"
grep -q '^passed .*no_read_is_ever_torn' "$work/out" || fail "tests are not named"
grep -q '^concurrent(memory): [0-9]* passed, 0 failed, ' "$work/out" || fail "no sum"
[ ! -e "$work/store" ] || fail "the store was left behind"
for stack in nothing 'concurrent(base' 'base(memory)' concurrent 'memory)' ''; do
	run --stack "$stack" "$work/store" && fail "\"$stack\" is no stack"
	[ ! -e "$work/store" ] || fail "\"$stack\" left a store behind"
done
echo precious >"$work/file"
run --stack 'concurrent(base)' "$work/file" && fail "ran over a file that was there"
grep -qx precious "$work/file" || fail "changed a file that was there"
run --json --stack memory "$work/store" || fail "a leaf alone did not pass"
tail -n 1 "$work/out" | grep -q '"ok":true' || fail "no JSON sum"
