#!/bin/sh
# What tools/demo.sh shows of a network, on a real one: PS_TEST_NETWORK is its URL, with %s where a place goes (tests/remote/on_engine.c).
#   engine_test.sh PADSTONE
set -u
. "$(dirname "$(readlink -f "$0")")/pushed.sh"
# shellcheck disable=SC2059 # it is a format
PADSTONE_NETWORK=$(printf "$PS_TEST_NETWORK" "tool-$$")
export PADSTONE_NETWORK PADSTONE_KEY="$work/key"

mkdir -p tree/folder && printf one >tree/a && seq 1 60000 >tree/folder/numbers && : >tree/empty && ln -s a tree/link
head -c 3000000 /dev/urandom >tree/folder/noise
expect 0 "a key" "$tool" key new key
expect 0 "a network" "$tool" remote init --create
expect 0 "a store" "$tool" create s
expect 0 "files" "$tool" import s tree
expect 0 "push" "$tool" push --history 1 --json s
whole=$(figure sent_bytes) first=$(figure state)
cp -a tree before
echo "a line more" >>tree/a
expect 0 "a change" "$tool" import s tree
expect 0 "push of it" "$tool" push --history 1 --json s
holds "it sends what changed" test "$(figure sent_bytes)" -lt "$((whole / 4))"
expect 0 "the state before" "$tool" export --at "$first" s then
holds "is as it was" same_tree before then

# The machine burns.
rm -rf s home
expect 0 "a clone" "$tool" clone s
expect 0 "a check" "$tool" check s
expect 0 "its files" "$tool" export s back
holds "as they were" same_tree tree back

expect 0 "what was pushed leaves" "$tool" evict --json s
holds "all of it" test "$(figure local_bytes)" = 0
expect 0 "and comes back" "$tool" export s again
holds "as it was" same_tree tree again
expect 0 "nothing of the network is lost" "$tool" remote health --json
tell
