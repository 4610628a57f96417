#!/bin/sh
# The benchmark program at a tiny size: it runs, verifies what it reads and leaves nothing behind. Nothing is timed here.
# usage: bench_test.sh PADSTONE_BENCH
set -eu
bench=$1
dir=$(mktemp -d "${TMPDIR:-.}/bench_test.XXXXXX")
trap 'rm -rf "$dir"' EXIT
fail() {
	echo "bench_test: $1" >&2
	exit 1
}

"$bench" targets --dir "$dir" --count 2000 --seconds 0.02 --rounds 1 --json - >"$dir/out" || fail "a workload failed"
for workload in allocators beside cached durable large load locks memory push remote reopen routes space; do
	grep -q "^{\"workload\":\"$workload\",.*}\$" "$dir/out" || fail "$workload says nothing"
done
grep -q '"name":"reads of the file during all of it","unit":"reads","median":0,' "$dir/out" ||
	fail "a cached read went to the file"
grep -q '"name":"the most of it that one sync sent".*"met":true' "$dir/out" || fail "a sync of one change sends much"
rm "$dir/out"
[ -z "$(ls -A "$dir")" ] || fail "files are left: $(ls -A "$dir")"
if "$bench" --dir "$dir/nowhere" cached 2>"$dir/err"; then
	fail "a folder that is not there went unnoticed"
fi
if "$bench" nonsense 2>/dev/null; then
	fail "an unknown workload went unnoticed"
fi
