#!/bin/sh
# Imports are killed with SIGKILL at many moments; each time the store must be sound, and in the end the tree must come
# out byte by byte, with nothing left behind in the store.
#   kill_test.sh PADSTONE
set -u
tool=$(readlink -f "$1")
work=$(mktemp -d /tmp/padstone-kill-XXXXXX) || exit 1
trap 'cd / && rm -rf "$work"' EXIT
cd "$work" || exit 1
python3 - "$tool" <<'END' || exit 1
import os, random, subprocess, sys, time

tool = sys.argv[1]
random.seed(4711)
for folder in range(40):
    os.makedirs("tree/%d/sub" % folder)
    for file in range(60):
        size = random.choice([0, 10, 900, 5000, 70000])
        with open("tree/%d/%s%d" % (folder, random.choice(["", "sub/"]), file), "wb") as f:
            f.write(random.randbytes(size))
for file in range(40):
    with open("tree/%d/large%d" % (file, file), "wb") as f:
        f.write(random.randbytes(1500000 + file))

BUSY = 4

def check():
    """What a killed process had under way the kernel may still be writing, and holds the lock for it: on a slow disk for long."""
    for n in range(300):
        status = subprocess.run([tool, "check", "-q", "s"]).returncode
        if status != BUSY:
            break
    return status

def die(what):
    sys.exit("FAILED: " + what)

# Two rounds on new stores. Any moment will do as long as they differ, so each kill comes a little later than the one
# before, and on a slow machine soon much later; an import goes on where the last one was killed, until one is done before
# its kill.
died = 0
for first_ms, step_ms in ((4, 2), (7, 5)):
    if os.path.exists("s"):
        os.unlink("s")
    if subprocess.run([tool, "create", "-q", "s"]).returncode != 0:
        die("create")
    for n in range(60):
        process = subprocess.Popen([tool, "import", "-q", "s", "tree"])
        time.sleep((first_ms + n * step_ms) / 1000 * 1.03 ** n)
        process.kill()
        status = process.wait()
        if status == 0:
            break
        if status != -9:
            die("import: status %d" % status)
        died += 1
        if check() != 0:
            die("the store is damaged after kill %d" % died)
if died < 5:
    die("only %d imports were killed in their middle" % died)
print("killed %d imports" % died)
END
"$tool" import -q s tree || { echo "FAILED: the last import"; exit 1; }
"$tool" check -q s || { echo "FAILED: the store is damaged in the end"; exit 1; }
"$tool" export -q s out || { echo "FAILED: the export"; exit 1; }
diff -r tree out || { echo "FAILED: the trees differ"; exit 1; }
# Every object has a name, but for root, journal and prime: no kill left one behind.
named=$(($(find tree -mindepth 1 | wc -l) + 3))
there=$("$tool" ls --ids s | wc -l)
[ "$named" = "$there" ] || { echo "FAILED: $there objects for $named names"; exit 1; }
echo "nothing lost, nothing left behind"
