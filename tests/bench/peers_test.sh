#!/bin/sh
# Every peer and every workload of the harness at a tiny size: they run, what they read is right, nothing is left behind, and the
# results can be read again. Nothing is timed here.
# usage: peers_test.sh PADSTONE_BENCH [PEERS]
set -eu
bench=$1
dir=$(mktemp -d "${TMPDIR:-.}/peers_test.XXXXXX")
trap 'rm -rf "$dir"' EXIT
fail() {
	echo "peers_test: $1" >&2
	exit 1
}
mkdir "$dir/data"
"$bench" --quick --num 4000 --bytes_most 4194304 --duration 0.02 --dir "$dir/data" ${2:+--peers "$2"} --json "$dir/run.json" \
	--html "$dir/run.html" --results "$dir/run.md" >"$dir/out" 2>"$dir/err" || {
	cat "$dir/err"
	fail "a peer or a workload failed"
}
[ -z "$(ls -A "$dir/data")" ] || fail "files are left: $(ls -A "$dir/data")"
grep -q '"record":"machine"' "$dir/run.json" || fail "the machine is not described"
if grep '"record":"failure"' "$dir/run.json"; then
	fail "a peer failed"
fi
for workload in W1 W2 W3 W4 W5 W6 W7 W8; do
	grep -q "\"workload\":\"$workload\".*\"peer\":\"padstone\"" "$dir/run.json" || fail "$workload has no result of padstone"
	grep -q "\"workload\":\"$workload\".*\"limit\":true" "$dir/run.json" || fail "$workload has no limit"
	grep -q "$workload" "$dir/run.md" || fail "$workload is not in the tables"
done
grep -q '<svg' "$dir/run.html" || fail "the page has no plot"
"$bench" compare "$dir/run.json" "$dir/run.json" >"$dir/same" || fail "a run differs from itself"
