#!/bin/sh
# An import is killed with SIGKILL at many moments; each time the store must be sound, and in the end the tree must come
# out byte by byte.
#   kill_test.sh PADSTONE [KILLS]
set -u
tool=$(readlink -f "$1")
kills=${2:-12}
work=$(mktemp -d /tmp/padstone-kill-XXXXXX) || exit 1
trap 'cd / && rm -rf "$work"' EXIT
cd "$work" || exit 1
python3 - <<'END'
import os, random
random.seed(4711)
for folder in range(40):
    os.makedirs("tree/%d/sub" % folder)
    for file in range(60):
        size = random.choice([0, 10, 900, 5000, 70000])
        open("tree/%d/%s%d" % (folder, random.choice(["", "sub/"]), file), "wb").write(random.randbytes(size))
for file in range(12):
    open("tree/large%d" % file, "wb").write(random.randbytes(1500000 + file))
END
"$tool" create -q s || exit 1
# Any moment will do, as long as they differ: each kill comes 13 ms later than the one before.
died=0
n=0
while [ $n -lt "$kills" ]; do
	n=$((n + 1))
	"$tool" import -q s tree &
	pid=$!
	python3 -c 'import sys, time; time.sleep(int(sys.argv[1]) * 0.013)' $n
	kill -9 $pid 2>/dev/null && died=$((died + 1))
	wait $pid 2>/dev/null
	"$tool" check -q s || { echo "FAILED: the store is damaged after kill $n"; exit 1; }
done
"$tool" import -q s tree || { echo "FAILED: the last import"; exit 1; }
"$tool" check -q s || { echo "FAILED: the store is damaged in the end"; exit 1; }
"$tool" export -q s out || { echo "FAILED: the export"; exit 1; }
diff -r tree out || { echo "FAILED: the trees differ"; exit 1; }
# Every object is named: files, folders, root, journal and prime; none was left behind by a kill.
named=$(($(find tree -mindepth 1 | wc -l) + 3))
there=$("$tool" ls --ids s | wc -l)
[ "$named" = "$there" ] || { echo "FAILED: $there objects for $named names"; exit 1; }
echo "killed $died imports of $kills; nothing lost, nothing left behind"
