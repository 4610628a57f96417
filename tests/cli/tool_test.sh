#!/bin/sh
# The tool over real files: every command, every exit status, every JSON line, names of every kind.
#   tool_test.sh PADSTONE
set -u
tool=$(readlink -f "$1")
here=$(dirname "$(readlink -f "$0")")
work=$(mktemp -d /tmp/padstone-tool-XXXXXX) || exit 1
holder=
mounted=
clean() {
	[ -z "$holder" ] || kill "$holder" 2>/dev/null
	[ -z "$mounted" ] || umount "$work/small" 2>/dev/null
	cd / && chmod -R u+rwx "$work" && rm -rf "$work"
}
trap clean EXIT
cd "$work" || exit 1
. "$here/checks.sh"

json_lines() { python3 -c '
import json, sys
lines = open(sys.argv[1]).read().splitlines()
assert lines, "no line"
for line in lines:
    assert json.loads(line)["command"] == sys.argv[2], line
' "$1" "$2"; }
member() { python3 -c 'import json, sys; print(json.loads(open("out").readlines()[-1])[sys.argv[1]])' "$1"; }

# able COMMAND…: runs it; false, and said so, only if the store says that it cannot do such a thing at all.
unable=' '
able() {
	if ! "$tool" "$@" >out 2>err && grep -q "does not support" err; then
		unable="$unable$1 "
		echo "skipped: $1 (this store does not support it)"
		return 1
	fi
}

# Help and usage
expect 0 "help" "$tool" --help
holds "help lists all commands" grep -q "export" out
expect 0 "version" "$tool" --version
for command in create put get rm ls info stat map check compact backup import export; do
	expect 0 "help $command" "$tool" help $command
	holds "help $command says its operands" grep -q "padstone $command .*STORE" out
	expect 0 "$command --help" "$tool" $command --help
	expect 2 "$command without a store" "$tool" $command
	expect 2 "$command with an unknown option" "$tool" $command --nonsense s
	expect 3 "$command on a store that is not there" "$tool" $command $(
		case $command in
		create) echo no/such/folder ;;
		put | import) echo none . ;;
		get | rm | info) echo none 2 ;;
		backup | export) echo none dest ;;
		*) echo none ;;
		esac
	)
done
expect 2 "no command" "$tool"
expect 2 "an unknown command" "$tool" frobnicate s
expect 2 "help on an unknown command" "$tool" help frobnicate
holds "nothing was made" test ! -e none

# Objects
expect 0 "create" "$tool" create s
expect 1 "create over a store" "$tool" create s
holds "create says it exists" grep -q "exists" err
expect 2 "an id that is none" "$tool" get s 12x
expect 2 "a negative id" "$tool" get s -- -1
expect 2 "id 0" "$tool" info s 0
expect 2 "an id beyond 64 bits" "$tool" get s 99999999999999999999999
expect 3 "an id that names nothing" "$tool" get s 999999999
expect 2 "a size that is none" "$tool" stat s --memory 12Q
expect 2 "an I/O kind that is none" "$tool" stat s --io floppy
printf 'hello' >five
: >empty
head -c 5000000 /dev/urandom >big
for file in five empty big; do
	expect 0 "put $file" "$tool" put s $file
	id=$(cat out)
	expect 0 "get $file" "$tool" get s "$id"
	holds "$file is the same" cmp $file out
	expect 0 "get $file -o" "$tool" get s "$id" -o copy
	holds "$file is the same in a file" cmp $file copy
	expect 0 "get $file by hexadecimal id" "$tool" get s "$(printf '0x%x' "$id")"
	holds "$file is the same by hexadecimal id" cmp $file out
	expect 0 "info $file" "$tool" info s "$id"
	holds "info says the size" grep -q "size *$(stat -c %s $file) bytes" out
	eval "id_$file=$id"
done
checks=$((checks + 1))
id=$(cat big | "$tool" put s -) && "$tool" get s "$id" | cmp - big || { echo "FAILED: put -"; failures=$((failures + 1)); }
expect 3 "put of a file that is not there" "$tool" put s nofile
expect 1 "put of a folder" "$tool" put s .
expect 3 "rm of one that is there and one that is not" "$tool" rm s "$id" 999999999
expect 0 "rm deleted neither" "$tool" info s "$id"
expect 0 "rm" "$tool" rm s "$id" "$id_empty"
expect 3 "a deleted object" "$tool" get s "$id"
expect 3 "a deleted object to a file" "$tool" get s "$id" -o never
holds "no file is left of it" test -z "$(ls -A | grep -e never -e '^\.padstone')"
expect 1 "output that cannot be written" sh -c "'$tool' get s $id_five -o no/such/file || exit 1"
expect 6 "output to a full device" sh -c "'$tool' get s $id_big >/dev/full"
expect 0 "ls of objects" "$tool" ls s
holds "ls lists two" test "$(wc -l <out)" = 2
for io in auto posix buffered; do
	expect 0 "--io $io" "$tool" get --io $io s "$id_five"
	holds "the same through $io" cmp five out
done
expect 0 "a small budget" "$tool" get --memory 8M s "$id_big"
holds "the same within a small budget" cmp big out

# A tree with names of every kind
mkdir -p 'tree/with space/deep' tree/hollow tree/gone
printf nl >"tree/$(printf 'new\nline')"
printf q >"tree/quo\"te's"
printf u >'tree/grüß'
printf r >"tree/$(printf '\377raw')"
printf b >'tree/back\slash'
printf d >tree/-dash
: >tree/nothing
truncate -s 3M tree/sparse
head -c 2500000 /dev/urandom >tree/large
ln -s /etc/passwd tree/absolute
ln -s no/where tree/dangling
ln -s 'with space' tree/folderlink
printf g >tree/gone/g
chmod 0640 tree/nothing
chmod 0500 tree/hollow
touch -d '1960-05-06 07:08:09.123456789Z' tree/large
touch -h -d '2001-01-01 00:00:00.5Z' tree/dangling
listing() { (cd "$1" && find . -printf '%P\0%y %m %T@ %l\0' | sort -z); }
same_tree() { diff -r --no-dereference "$1" "$2" && listing "$1" >a.list && listing "$2" >b.list && cmp a.list b.list; }
expect 0 "import" "$tool" import s tree
expect 0 "import again" "$tool" import --json s tree
holds "nothing was stored again" test "$(member bytes_stored)$(member new)$(member changed)" = 000
expect 0 "export" "$tool" export s exported
holds "the tree is the same" same_tree tree exported
holds "a sparse file is sparse again" test "$(stat -c %b exported/sparse)" -lt 6144
expect 1 "export over files" "$tool" export s exported
expect 0 "export over files by force" "$tool" export --force s exported
holds "the tree is the same again" same_tree tree exported
expect 3 "export of what is not there" "$tool" export --from nowhere s exported2
expect 3 "import of a folder that is not there" "$tool" import s nofolder
expect 3 "import of a file" "$tool" import s five
rm -r tree/gone && printf changed >tree/nothing
expect 0 "import --delete" "$tool" import --delete --json s tree
holds "counts" test "$(member changed) $(member removed)" = "1 1"
expect 0 "export after it" "$tool" export s exported3
holds "the changed tree is the same" same_tree tree exported3
expect 0 "ls" "$tool" ls s
holds "ls escapes control characters" grep -q 'new\\nline' out
holds "ls shows targets" grep -q 'absolute -> /etc/passwd' out
expect 0 "ls of a folder" "$tool" ls s 'with space'
expect 3 "ls of what is not there" "$tool" ls s nowhere
expect 0 "check" "$tool" check s
expect 0 "quick check" "$tool" check --quick s
expect 0 "stat" "$tool" stat s
holds "stat has the table of routes" grep -q '^route .*slabs' out
expect 0 "map" "$tool" map s
holds "map shows slabs and the log" sh -c "grep -q '|.*=.*|' out && grep -q 'slabs of slots' out"
expect 0 "map --svg" "$tool" map --svg map.svg s
holds "the picture is XML" python3 -c 'import xml.etree.ElementTree as t; t.parse("map.svg")'
if able compact s; then
	expect 0 "compact" "$tool" compact s
	expect 0 "check after it" "$tool" check s
fi
if able backup s copy.store; then
	expect 1 "backup over a file" "$tool" backup s copy.store
	expect 0 "check of the backup" "$tool" check copy.store
	expect 0 "export of the backup" "$tool" export copy.store exported4
	holds "the backup's tree is the same" same_tree tree exported4
fi

# JSON from every command
expect 0 "json create" "$tool" create --json s2; holds "parses" json_lines out create
expect 0 "json put" "$tool" put --json s2 five; holds "parses" json_lines out put
id=$(member id)
expect 0 "json get" "$tool" get --json -o copy s2 "$id"; holds "parses" json_lines out get
expect 2 "json get without -o" "$tool" get --json s2 "$id"
expect 0 "json info" "$tool" info --json s2 "$id"; holds "parses" json_lines out info
expect 0 "json ls --ids" "$tool" ls --ids --json s2; holds "parses" json_lines out ls
expect 0 "json rm" "$tool" rm --json s2 "$id"; holds "parses" json_lines out rm
expect 3 "json of a failure" "$tool" rm --json s2 "$id"; holds "parses" json_lines out rm
holds "says the error" test "$(member error) $(member exit)" = "PS_ENOTFOUND 3"
expect 0 "json import" "$tool" import --json s2 tree; holds "parses" json_lines out import
expect 0 "json ls" "$tool" ls -R --json s2; holds "parses" json_lines out ls
holds "names are exact" python3 -c '
import json
names = {bytes.fromhex(o["path_hex"]) if "path_hex" in o else o["path"].encode() for o in map(json.loads, open("out"))}
assert {b"new\nline", b"quo\"te\x27s", "grüß".encode(), b"\xffraw", b"back\\slash", b"with space/deep"} <= names, names'
for command in stat map check compact; do
	case $unable in *" $command "*) continue ;; esac
	expect 0 "json $command" "$tool" $command --json s2; holds "parses" json_lines out $command
done
case $unable in *" backup "*) ;; *)
	expect 0 "json backup" "$tool" backup --json s2 copy2.store; holds "parses" json_lines out backup ;;
esac
expect 0 "json export" "$tool" export --json s2 exported5; holds "parses" json_lines out export

# Busy: another process has the store open, waiting for its input
# (a pipe: it can be opened for writing once the tool, store in hand, opens it for reading)
mkfifo pipe
"$tool" put s2 pipe >held 2>held.err &
holder=$!
exec 9>pipe
printf waiting >&9
expect 4 "a store in use" "$tool" put s2 five
expect 4 "a store in use, reading" "$tool" stat s2
exec 9>&-
wait "$holder" || { echo "FAILED: the process that held the store"; failures=$((failures + 1)); }
holder=
expect 0 "the store is free again" "$tool" get s2 "$(cat held)"
holds "what the holder stored" test "$(cat out)" = waiting

# Damage: the file's bytes are found in the store and one is flipped
cp s damaged
python3 - damaged big <<'END'
import sys
store = open(sys.argv[1], "r+b"); data = store.read()
piece = open(sys.argv[2], "rb").read()[2000000:2000064]
at = data.find(piece)
assert at > 0, "the object's bytes are not in the store"
store.seek(at); store.write(bytes([data[at] ^ 1]))
END
expect 5 "get of a damaged object" "$tool" get damaged "$id_big"
expect 5 "get of a damaged object to a file" "$tool" get damaged "$id_big" -o never
holds "no damaged file appears" test ! -e never
expect 5 "check finds it" "$tool" check damaged
expect 5 "check finds it, in JSON" "$tool" check --json damaged
holds "parses" json_lines out check
expect 0 "other objects are served" "$tool" get damaged "$id_five"
holds "and are right" cmp five out
expect 0 "and exported" "$tool" export damaged exported6

# Not a store at all
printf 'just some text, of no use as a store' >text
expect 1 "a text file" "$tool" stat text
head -c 100000 /dev/urandom >noise
expect 1 "noise" "$tool" stat noise
expect 1 "a folder as a store" "$tool" stat tree
head -c 70000 s >short
"$tool" stat short >out 2>err
case $? in 1 | 5) ;; *) echo "FAILED: a truncated store"; failures=$((failures + 1)) ;; esac

# No space, by a limit on the file's size and, as root, on a small file system
"$tool" create small.store >out
# (in blocks of 512 bytes; the file is 5 MB)
expect 6 "beyond the file size limit" sh -c "ulimit -f 8192; trap '' XFSZ; exec '$tool' put small.store big"
expect 0 "the store is sound" "$tool" check small.store
expect 0 "and takes what fits" "$tool" put small.store five
mkdir small
if [ "$(id -u)" = 0 ] && mount -t tmpfs -o size=8m tmpfs small 2>/dev/null; then
	mounted=1
	expect 0 "create on a small disk" "$tool" create small/s
	head -c 20000000 /dev/urandom >toobig
	expect 6 "put on a full disk" "$tool" put small/s toobig
	expect 0 "what fits goes in" "$tool" put small/s five
	mkdir many && (cd many && split -b 300000 ../toobig)
	expect 6 "import on a full disk" "$tool" import small/s many
	expect 0 "the store on the full disk is sound" "$tool" check small/s
	expect 0 "export from the full disk" "$tool" export -q small/s exported7
	expect 0 "delete on the full disk" sh -c "mkdir none && '$tool' import --delete small/s none"
	expect 0 "space is there again" "$tool" put small/s five
	umount small && mounted=
else
	echo "skipped: the full disk (needs root and tmpfs)"
fi

# Interrupted: what was committed stays
expect 0 "progress is quiet off a terminal" "$tool" import s2 tree
holds "no bar on standard error, at the most a line each ten seconds" sh -c '! tr -d "\n" <err | grep -q "[[:cntrl:]]" && ! grep -qv "^padstone: import: " err'

tell
