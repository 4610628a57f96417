#!/bin/sh
# The tool's key commands over real files: every command, every exit status, every JSON line.
#   key_test.sh PADSTONE [passphrase]
# With `passphrase' the commands that stretch one, which takes most of a second each time, on files and on a terminal.
set -u
tool=$(readlink -f "$1")
here=$(dirname "$(readlink -f "$0")")
part=${2:-plain}
work=$(mktemp -d /tmp/padstone-keytool-XXXXXX) || exit 1
trap 'cd / && rm -rf "$work"' EXIT
cd "$work" || exit 1
. "$here/checks.sh"

member() { python3 -c 'import json, sys; print(json.loads(open("out").readlines()[-1])[sys.argv[1]])' "$1"; }
# typed LINES COMMAND…: COMMAND with a terminal of its own on which these lines are typed; what it showed is in out.
typed() {
	python3 - "$@" <<'END' >out
import os, pty, select, sys, termios
lines, command = sys.argv[1].encode().split(b","), sys.argv[2:]
child, terminal = pty.fork()
if child == 0:
    os.execv(command[0], command)
shown, unseen = b"", True
while True:
    if not select.select([terminal], [], [], 60)[0]:
        sys.exit("nothing more comes: %r" % shown)
    try:
        piece = os.read(terminal, 4096)
    except OSError:
        break
    if not piece:
        break
    shown += piece
    if shown.endswith(b": ") and lines:
        unseen = unseen and not termios.tcgetattr(terminal)[3] & termios.ECHO
        os.write(terminal, lines.pop(0) + b"\n")
sys.stdout.buffer.write(shown)
if not unseen or b"sesame" in shown:
    sys.exit("what was typed could be seen")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
END
}

plain() {
	expect 0 "a new key" "$tool" key new a
	holds "only we may read it" test "$(stat -c %a a)" = 600
	expect 0 "its words" "$tool" key show a
	holds "24 of them" test "$(wc -w <out)" = 24
	cp out words
	expect 0 "its digits" "$tool" key show --hex a
	holds "64 of them" grep -qxE '[0-9a-f]{64}' out
	cp out digits
	expect 0 "check" "$tool" key check --json a
	print=$(member fingerprint)
	holds "says what it is" test "$(member kind)$(member passphrase)" = userFalse
	expect 0 "from words" sh -c "'$tool' key new b --from-words <words"
	expect 0 "check" "$tool" key check --json b
	holds "the same key" test "$(member fingerprint)" = "$print"
	expect 0 "from digits" sh -c "'$tool' key new c --from-hex --json <digits"
	holds "the same key" test "$(member fingerprint)" = "$print"
	expect 0 "words in JSON" "$tool" key show --json c
	holds "the same words" test "$(member words)" = "$(cat words)"
	expect 0 "another new key" "$tool" key new --json d
	holds "another key" test "$(member fingerprint)" != "$print"
	tr 'a-z' 'A-Z' <words | tr ' ' '\n' >other
	expect 0 "words written otherwise" sh -c "'$tool' key new e --from-words <other"

	expect 1 "over a file" "$tool" key new a
	expect 0 "the file is untouched" "$tool" key show a
	holds "the same words" cmp words out
	expect 1 "too few words" sh -c "cut -d' ' -f1-23 words | '$tool' key new f --from-words"
	expect 1 "a wrong word" sh -c "sed 's/^[a-z]*/padstone/' words | '$tool' key new f --from-words"
	holds "says which" grep -q 'word 1 ' err
	expect 1 "too few digits" sh -c "cut -c2- digits | '$tool' key new f --from-hex"
	expect 2 "two ways at once" sh -c "'$tool' key new f --from-hex --from-words <words"
	expect 1 "no folder to write to" sh -c "'$tool' key new no/folder/f || exit 1"
	holds "no file is left of these" sh -c 'test ! -e f && ! ls -A | grep -q "^\.padstone"'

	expect 0 "a read-only key" "$tool" key read-only --store photos --json a r
	holds "of another kind" test "$(member kind)" = read-only
	expect 0 "check of it" "$tool" key check --json r
	holds "its store" test "$(member store)" = photos
	expect 1 "it has no words" "$tool" key show r
	expect 1 "and makes no others" "$tool" key read-only r r2
	expect 1 "nor another generation" "$tool" key rotate r r2
	expect 0 "rotate" "$tool" key rotate --json a next
	holds "another key" test "$(member fingerprint)" != "$print"
	holds "says what it does not do" grep -q 'stays sealed with the old key' err

	expect 3 "no such file" "$tool" key check nowhere
	chmod 640 b
	expect 1 "a file that others may read" "$tool" key show b
	holds "says so" grep -q 'others may read' err
	mkfifo pipe
	expect 1 "a pipe" "$tool" key check pipe
	echo 'no key at all' >text && chmod 600 text
	expect 1 "a text file" "$tool" key check text
	python3 -c '
data = bytearray(open("c", "rb").read()); data[400] ^= 1; open("c", "wb").write(data)'
	expect 5 "a damaged file" "$tool" key show c
	holds "shows nothing of it" test ! -s out

	expect 2 "no member" "$tool" key
	expect 2 "no such member" "$tool" key forge
	expect 2 "no file" "$tool" key new
	expect 2 "an operand too many" "$tool" key new a b
	expect 0 "help" "$tool" help key
	holds "lists the members" grep -q 'key read-only' out
	expect 0 "help of a member" "$tool" help key rotate
	expect 0 "--help" "$tool" key --help
	expect 2 "help of no member" "$tool" help key forge
}

passphrase() {
	echo 'open sesame' >right && echo 'open sesamf' >wrong && : >empty
	expect 0 "a new key" "$tool" key new --json a
	print=$(member fingerprint)
	expect 1 "a passphrase where there is none" "$tool" key check --passphrase-file right a
	expect 1 "an empty one" "$tool" key passphrase --new-passphrase-file empty a
	expect 0 "set" "$tool" key passphrase --new-passphrase-file right a
	holds "only we may read it" test "$(stat -c %a a)" = 600
	expect 0 "check" "$tool" key check --json --passphrase-file right a
	holds "the same key, under a passphrase" test "$(member fingerprint)$(member passphrase)" = "${print}True"
	expect 1 "the wrong one" "$tool" key check --json --passphrase-file wrong a
	holds "has an error of its own" test "$(member error)" = PS_EAUTH
	expect 1 "no terminal" setsid "$tool" key check a
	expect 0 "from a descriptor" sh -c "'$tool' key check --passphrase-file 7 a 7<right"
	expect 0 "typed" typed 'open sesame' "$tool" key check a
	expect 0 "changed by typing" typed 'open sesame,sesame two,sesame two' "$tool" key passphrase a
	expect 1 "two different ones" typed 'sesame two,sesame three,sesame four' "$tool" key passphrase a
	expect 1 "the old one" "$tool" key check --passphrase-file right a
	echo 'sesame two' >right
	expect 0 "a key under the same passphrase" "$tool" key rotate --passphrase-file right a next
	expect 0 "which opens it" "$tool" key check --passphrase-file right next
	expect 0 "removed" "$tool" key passphrase --remove --passphrase-file right a
	expect 0 "check" "$tool" key check --json a
	holds "the same key, in clear" test "$(member fingerprint)$(member passphrase)" = "${print}False"
	python3 -c '
data = bytearray(open("next", "rb").read()); data[450] ^= 1; open("next", "wb").write(data)'
	expect 5 "damage is no wrong passphrase" "$tool" key check --passphrase-file right next
}

"$part"
tell
