#!/bin/sh
# The tool's remote commands over a dir: network: every command, every exit status, every JSON line.
#   remote_test.sh PADSTONE [shared|copies|interrupted]
# With `shared' machines that share a store, damage and drills; with `copies' files in and out and a second network; with `interrupted' what takes longer: kills, Ctrl-C, full
# disks, passphrases, a terminal.
set -u
tool=$(readlink -f "$1")
part=${2:-plain}
here=$(dirname "$(readlink -f "$0")")
# Quick means that nobody waits for a disk.
base=/tmp
[ "$part" = interrupted ] || [ ! -w /dev/shm ] || base=/dev/shm
work=$(mktemp -d $base/padstone-remote-XXXXXX) || exit 1
mounted=
clean() {
	[ -z "$mounted" ] || umount "$work/small" 2>/dev/null
	cd / && rm -rf "$work"
}
trap clean EXIT
cd "$work" || exit 1
unset PADSTONE_NETWORK PADSTONE_KEY
export PADSTONE_HOME="$work/home" TZ=UTC
. "$here/checks.sh"

# member NAME VALUE: in the last command's last line.
member() { holds "$1 is $2" grep -aqE "\"$1\":\"?$2\"?[,}]" out; }
remote() {
	command=$1
	shift
	"$tool" remote "$command" --network dir:net --key key "$@"
}
make_store() {
	"$tool" key new -q key || exit 1
	expect 0 "init" remote init --create
}

usage() {
	expect 2 "no member" "$tool" remote
	expect 2 "no such member" "$tool" remote fly
	expect 0 "help" "$tool" help remote
	sed -n 's/^  remote \([a-z-]*\) .*/\1/p' out >members
	holds "lists the members" grep -qx put members
	holds "in 80 columns" awk 'length > 80 { exit 1 }' out
	while read -r member; do
		expect 0 "help $member" "$tool" help remote "$member"
		holds "says its usage and all options, in 80 columns" awk -v member="$member" '
			index($0, "Usage: padstone remote " member " ") == 1 { usage = 1 }
			/--network=URL/ { options = 1 }
			length > 80 { wide = 1 }
			END { exit !usage || !options || wide }' out
	done <members
	expect 0 "--help" "$tool" remote put --help
	expect 2 "an unknown option" remote ls --nonsense
	expect 2 "too few operands" remote put a
	expect 2 "too many" remote put a b c
	expect 2 "none where one is needed" remote get
	expect 2 "no network" "$tool" remote ls --key key
	says "says how" "--network URL"
	expect 2 "no key" "$tool" remote ls --network dir:net
	says "says how" "--key FILE"
	for bad in "--range 5" "--mode tiny" "--verify maybe" "--rates 1,2" "--share 2" "--max-pads x" "--up 1Q"; do
		case $bad in
		--range*) expect 2 "$bad" remote get $bad a ;;
		--share*) expect 2 "$bad" remote health $bad ;;
		*) expect 2 "$bad" remote put $bad a b ;;
		esac
	done
	expect 2 "a size that is none" remote estimate much
	expect 2 "a name that is none" remote put "" b
	says "says what a name has" "1 to 1024 bytes"
	expect 2 "a new name that is none" remote mv a ""
	expect 2 "a name that is too long" remote get "$(printf %1025s x)"
	expect 2 "get --json without a file" remote get --json a
}

stores() {
	expect 3 "no key file" remote ls
	says "says what makes one" "padstone key new"
	holds "names the file, and no network" sh -c 'grep -qF "key file" err && ! grep -qF "dir:" err'
	"$tool" key new -q key || exit 1
	expect 3 "no network" remote ls
	says "names it" "dir:$work/net"
	mkdir net
	echo other >net/file
	expect 1 "a folder with other things" remote init --create
	holds "is left as it is" test "$(ls net)" = file
	rm -r net
	expect 0 "init" remote init --create --json
	member store main
	expect 1 "init again" remote init
	expect 0 "estimate" remote estimate --json --mode small --rates 1,0,0,0 700000
	member new_pads 6
	member price 6.0
	expect 3 "put into a store that does not exist" remote put --store other a json
	says "says to run init" "padstone remote init"
	expect 0 "another store" remote init --store other
	"$tool" key new -q stranger
	expect 3 "another key" "$tool" remote ls --network dir:net --key stranger
	chmod 640 stranger
	expect 1 "a key file that others may read" "$tool" remote ls --network dir:net --key stranger
	says "says what to do" "chmod 600"
	holds "names the file, and no network" sh -c 'grep -qF "stranger" err && ! grep -qF "dir:" err'
	expect 2 "a URL that is none" "$tool" remote ls --network '' --key key
	expect 2 "a scheme that is none" "$tool" remote ls --network ftp:net --key key
	says "says which there are" "'ftp:net' is no network: a URL begins with dir:, s3:, rados:"
	expect 2 "a copy's that is none" remote copy --to net
	says "names that one" "'net' is no network"
	expect 2 "a witness's" remote ls --witness net
	expect 2 "a folder that has no name" "$tool" remote ls --network dir: --key key
	expect 2 "a network that holds a secret" "$tool" remote ls --network s3://id:hidden@bucket/x --key key
	holds "which is not shown" sh -c '! grep -q hidden err'
	expect 2 "one of no known scheme" "$tool" remote ls --network ftp://id:hidden@host/x --key key
	holds "which is not shown either" sh -c '! grep -q hidden err'
}

contents() {
	: >empty
	printf x >byte
	head -c 700000 /dev/urandom >some
	head -c 400000 some >changed && printf changed >>changed
}

values() {
	for file in empty byte some; do
		expect 0 "put $file" remote put --json --mode small $file $file
		member size "$(stat -c %s $file)"
		expect 0 "get $file" remote get $file
		holds "$file is the same" cmp $file out
	done
	expect 0 "get -o" remote get --json some -o copy
	member output copy
	holds "is the same" cmp some copy
	expect 0 "from standard input" sh -c "'$tool' remote put --network dir:net --key key piped - <some"
	expect 0 "from a pipe" sh -c "cat some | '$tool' remote put --network dir:net --key key --replace piped -"
	expect 0 "a range" remote get piped --range 100000:300000
	holds "has these bytes" sh -c 'tail -c +100001 some | head -c 300000 | cmp - out'
	expect 0 "to the end" remote get piped --range 600K:
	holds "has these" sh -c 'tail -c +614401 some | cmp - out'
	expect 1 "put over a value" remote put some byte
	says "says what replaces" "padstone remote update"
	expect 0 "update" remote update --json --mode small some changed
	member kept_pads 3
	expect 0 "get" remote get some
	holds "is the new one" cmp changed out
	expect 3 "update of nothing" remote update nothing byte
	expect 3 "put of a missing file" remote put a missing
	expect 1 "put of a folder" remote put a home
	expect 3 "get of nothing" remote get nothing -o no
	says "names what is missing" nothing
	mkfifo fifo
	expect 1 "get over a pipe" remote get byte -o fifo
	holds "which is still one" test -p fifo
	expect 3 "get into no folder" remote get byte -o no/folder/file
	holds "no file is left of these" sh -c 'test ! -e no && ! ls -A | grep -q "^\.padstone"'
	expect 6 "get to a full device" sh -c "'$tool' remote get --network dir:net --key key some >/dev/full"
	says "says so" "No space left"

	expect 0 "dry run" remote put --json --dry-run --mode small new some
	member kept_pads 0
	expect 3 "put nothing" remote stat new
	expect 6 "over --max-pads" remote put --mode small --max-pads 5 new some
	expect 6 "over --max-cost" remote put --mode small --rates 1,0,0,0 --max-cost 5.5 new some
	says "says which limits" "--max-cost"
	expect 3 "put nothing either" remote stat new
}

names() {
	odd=$(printf 'odd \033[31m\nname')
	expect 0 "a name that would steer a terminal" remote put "$odd" byte
	holds "is shown in clear" grep -qF 'odd \x1b[31m\nname' out
	expect 0 "ls" remote ls
	holds "there too" grep -qF 'odd \x1b[31m\nname' out
	holds "nothing else gets through" sh -c "! tr -d '\n' <out | grep -q '[[:cntrl:]]'"
	expect 0 "ls --json" remote ls --json
	expect 3 "an error about one" remote get "$odd."
	holds "is clean, too" sh -c "! tr -d '\n' <err | grep -q '[[:cntrl:]]'"
	expect 0 "ls of a prefix" remote ls so
	holds "is that one" test "$(wc -l <out)" = 1
	expect 0 "stat" remote stat --json some
	member complete true
	expect 0 "mv" remote mv some thing --json
	member to thing
	expect 1 "mv to a name that is taken" remote mv byte thing
	expect 3 "mv of nothing" remote mv some other
	expect 0 "rm --dry-run" remote rm --dry-run byte thing
	expect 0 "removes nothing" remote stat thing
	expect 3 "rm of one that is missing" remote rm byte nothing
	expect 0 "removes none" remote stat byte
	expect 0 "rm" remote rm --json byte thing
	member removed 2
	expect 3 "and it is gone" remote get thing
	expect 3 "release of nothing" remote release empty
}

pads() {
	expect 0 "reserve" remote reserve --json --mode small 20
	expect 0 "stats" remote stats --json
	holds "20 pads or more are free" sh -c 'grep -qE "\"free_pads\":[2-9][0-9]" out'
	expect 0 "health" remote health --json
	member lost 0
	expect 0 "reading all" remote health --json --read
	member ok true
	expect 0 "a share of it" remote health --share 0.5 piped
	expect 3 "health of nothing" remote health nothing
	says "says that there is no such value" "no value under"
	expect 0 "verify" remote verify --json
	member findings 0
	expect 0 "purge" remote purge --json
	expect 0 "audit" remote audit --json
	holds "has a head" grep -qE '"roles":\{"data":[0-9]+,"head":1,' out
	expect 0 "quicker, and as text" remote audit --quick
	holds "says what is not seen" grep -q 'does not see names' out
	expect 0 "gc where nothing is left over" remote gc --json
	member unnamed 0
	expect 2 "an age that is none" remote gc --age 0
	expect 0 "text of all these" sh -c "'$tool' remote stats --network dir:net --key key && '$tool' remote stat --network dir:net --key key piped"
	holds "says the size" grep -q '700000 bytes' out
	expect 0 "from the environment" env PADSTONE_NETWORK="dir:$work//net/." PADSTONE_KEY=key "$tool" remote ls
	holds "the same store by another URL of the folder" grep -q piped out
}

# Two machines are two state folders.
second() { PADSTONE_HOME="$work/second" remote "$@"; }
machines() {
	expect 0 "another store" remote init --store other --json
	other_code=$(grep -aoE '"head_code":"[^"]*' out | cut -d'"' -f4)
	expect 0 "put" remote put empty empty
	expect 0 "put" remote put both byte
	expect 0 "sync" remote sync --json
	member received 0
	code=$(grep -aoE '"head_code":"[^"]*' out | cut -d'"' -f4)
	expect 1 "init on another machine" second init
	expect 2 "another machine, and no head code" second ls --expect-head nonsense
	expect 5 "another machine, and a code of another history" second ls --expect-head "$other_code"
	expect 0 "another machine" second ls --expect-head "$code"
	holds "sees it" grep -q both out
	expect 0 "with a code of its own" second head-code
	holds "which is the same" grep -qF "$code " out
	expect 0 "compared" second head-code --json --expect-head "$code"
	member unanchored false
	expect 0 "get" second get both
	holds "is the same" cmp byte out
	expect 0 "update there" second update both some
	expect 0 "rm there" second rm empty
	expect 0 "sync there" second sync --json
	member sent 2
	code=$(grep -aoE '"head_code":"[^"]*' out | cut -d'"' -f4)
	expect 5 "a code from after what is known here" remote head-code --expect-head "$code"
	says "says what to do" "padstone remote sync"
	expect 0 "sync here" remote sync --json --expect-head "$code"
	member received 1
	member removed 1
	expect 0 "get of the update" remote get both
	holds "is the same" cmp some out
	expect 3 "what was removed there" remote get empty
	expect 0 "update here" remote update both changed
	expect 0 "and there" second update both byte
	expect 0 "sync here" remote sync
	expect 0 "and there" second sync --json
	member conflicts 1
	expect 0 "sync here" remote sync
	expect 0 "both contents" remote ls both
	holds "are there" test "$(wc -l <out)" = 2
	mkdir -p all none scratch
	"$tool" remote ls --network dir:net --key key --json | python3 -c '
import json, subprocess, sys
for line in sys.stdin:
    name = json.loads(line)["name"]
    subprocess.run([sys.argv[1], "remote", "get", "--network", "dir:net", "--key", "key", name, "-o", "all/" + name], check=True)
' "$tool"
	expect 0 "drill" env TMPDIR="$work/scratch" "$tool" remote drill --network dir:net --key key --json --compare-with all
	member wrong 0
	printf . >>all/both
	expect 5 "another copy" remote drill --json --compare-with all
	member wrong 1
	holds "nothing is left of it" sh -c 'test -z "$(ls scratch)"'
	expect 0 "one more, not synced" second put unsynced byte
	expect 0 "who has written" remote machines --json
	id=$(grep '"self":false' out | grep -o '"id":"[0-9a-f]*"' | cut -d'"' -f4)
	expect 3 "nobody of that name" remote drop-machine nobody
	says "says what lists them" "padstone remote machines"
	expect 0 "one that never comes back" remote drop-machine "$id"
	expect 0 "one less" remote machines --json
	holds "is not listed" sh -c "! grep -q $id out"
	expect 5 "which is told so if it does" second sync
	expect 2 "forget without a terminal" setsid "$tool" remote forget --network dir:net --key key
	expect 0 "forget there" second forget --json --yes
	expect 3 "there is nothing more to forget" second forget --yes
	expect 0 "the same store again" second ls --json
	holds "without what was not synced" sh -c 'grep -q both out && ! grep -q unsynced out'
	expect 0 "put there" second put again byte
	expect 0 "which lists it again" second sync
	expect 0 "on trust" second head-code --json
	member unanchored true
	expect 0 "a key that reads" "$tool" key read-only key reader
	expect 0 "sees the store" env PADSTONE_HOME="$work/third" "$tool" remote ls --network dir:net --key reader
	holds "with all in it" grep -q both out
	expect 1 "and cannot write" env PADSTONE_HOME="$work/third" "$tool" remote put --network dir:net --key reader no byte
	third="env PADSTONE_HOME=$work/third $tool remote export --json --network dir:net --key reader"
	expect 0 "but takes all along" $third taken
	holds "the same bytes" cmp -s taken/again byte
	expect 0 "which it has then, by its bytes" $third taken
	printf y >taken/again
	expect 1 "not if they are others" $third taken
	member error PS_EEXIST
}

# A machine burns with values that it never synced.
leftovers() {
	expect 0 "gc of what the machine left that was forgotten" remote gc --json
	left=$(grep -o '"unnamed":[0-9]*' out | cut -d: -f2)
	left=$((left + 6))
	expect 0 "put" env PADSTONE_HOME="$work/burned" "$tool" remote put --network dir:net --key key --mode small lost some
	rm -r burned
	expect 0 "gc" remote gc --json
	member unnamed $left
	member ripe 0
	expect 0 "gc --apply, too soon" remote gc --json --apply
	member deleted 0
	# The machine that was forgotten is in the list of machines, and tells nothing any more.
	tries=0
	until [ $tries = 300 ] || [ "$got" = 4 ]; do
		tries=$((tries + 1))
		remote gc --apply --age 0.0003 >out 2>err
		got=$?
	done
	says "a machine that is silent stops it, and what to do" "--ignore-silent"
	tries=0
	until [ $tries = 300 ] || grep -q '"unnamed":0' out; do
		tries=$((tries + 1))
		expect 0 "gc --apply" remote gc --json --apply --ignore-silent --age 0.0003
	done
	member unnamed 0
	expect 0 "and nothing else is gone" remote drill --json
	member wrong 0
	expect 0 "gc, as text" remote gc
}

# A pad of `kept' is lost, and another altered.
damage() {
	find net -type f -printf '%p\n' | sort >before
	expect 0 "put" remote put --mode small kept some
	find net -type f -newer before -printf '%s %p\n' | sort -n >after
	victim=$(awk '$1 > 100000 { path = $2 } END { print path }' after)
	expect 0 "sync" remote sync
	rm "$victim"
	expect 5 "drill finds a pad that is lost" remote drill --json
	member wrong 1
	expect 5 "get of a value that lost a pad" remote get kept -o lost
	holds "leaves no file" test ! -e lost
	says "says what may help" "health"
	expect 5 "health finds it" remote health --json kept
	member lost 1
	mkdir -p copies && cp some copies/kept
	expect 0 "and repairs it" remote health --json --repair-from copies kept
	member repaired 1
	expect 0 "get" remote get kept
	holds "is the same" cmp some out
	python3 - "$victim" <<'END'
import sys
with open(sys.argv[1], "r+b") as file:
    file.seek(60000)
    byte = file.read(1)
    file.seek(60000)
    file.write(bytes([byte[0] ^ 1]))
END
	expect 5 "get of altered bytes" remote get kept -o lost
	holds "leaves no file" test ! -e lost
	expect 5 "health --read finds it" remote health --read kept
}

# The network loses its head, which is what a sync writes last.
headless() {
	expect 0 "put" remote put changed changed
	expect 0 "the index as a file, before a sync" remote export-index --json index
	member unsynced 1
	expect 0 "sync" remote sync
	expect 1 "again" remote export-index index
	says "says what writes over it" "--replace"
	expect 0 "replaced when told" remote export-index --json --replace index
	member unsynced 0
	head=$(find net -type f ! -name lock -printf '%T@ %p\n' | sort -n | tail -1 | cut -d' ' -f2)
	expect 1 "rebuild where nothing is lost" remote rebuild
	expect 0 "put back where nothing is lost" remote import-index --json index
	member restored 0
	cp -p "$head" head && rm "$head"
	expect 0 "put back" env PADSTONE_HOME="$work/fifth" "$tool" remote import-index --network dir:net --key key --json index
	member restored 1
	holds "the same bytes" cmp head "$head"
	expect 0 "get of what it names" env PADSTONE_HOME="$work/fifth" "$tool" remote get --network dir:net --key key changed
	holds "is the same" cmp changed out
	head -c 5000 index >cut
	rm "$head"
	expect 5 "a file that is not whole" remote import-index cut
	holds "puts nothing back" test ! -e "$head"
	expect 5 "sync with a head that is lost" remote sync
	says "says what helps" "padstone remote rebuild"
	expect 0 "rebuild" remote rebuild --json
	member refused 0
	expect 0 "what was there" env PADSTONE_HOME="$work/fourth" "$tool" remote get --network dir:net --key key changed
	holds "is the same" cmp changed out
}

# The commands of README.md, as they stand there.
readme() {
	mkdir -p readme/bin && ln -s "$tool" readme/bin/padstone && echo notes >readme/notes.txt
	awk '/^## / { on = $2 == "Remote" } on && /^    / { print "set -e;", $0 }' "$here/../../README.md" >readme/commands
	holds "README.md has commands" test "$(wc -l <readme/commands)" -ge 5
	expect 0 "which work" sh -c 'cd readme && PATH="$PWD/bin:$PATH" && . ./commands'
	holds "and give the file back" cmp readme/notes.txt readme/copy.txt
}

check_json() {
	python3 - <<'END' || failures=$((failures + 1))
import json
lines = open("json").read().splitlines()
commands = {json.loads(line)["command"] for line in lines}
print(len(lines), "lines of JSON from", len(commands), "commands")
END
}

# As somebody else, who has no key.
fetch() {
	PADSTONE_HOME="$work/reader" "$tool" remote fetch --network dir:net "$@"
}

addresses() {
	head -c 300000 /dev/urandom >shown
	head -c 200000 /dev/urandom >changed
	expect 3 "publish what is not there" remote publish shown
	expect 0 "put" remote put -q shown shown
	expect 0 "publish" remote publish -q shown
	address=$(cat out)
	holds "an address" sh -c "[ ${#address} = 112 ]"
	expect 0 "publish again" remote publish shown --json
	member address "$address"
	member name shown
	expect 0 "fetch" fetch "$address" -o fetched
	holds "what was published" cmp shown fetched
	expect 0 "fetch to standard output" fetch "$address"
	holds "what was published" cmp shown out
	expect 0 "fetch a part" fetch "$address" --range 1000:70000 -o part
	holds "the part" sh -c 'tail -c +1001 shown | head -c 70000 | cmp - part'
	expect 0 "fetch, JSON" fetch "$address" -o fetched --json
	member size 300000
	member output fetched
	expect 2 "fetch, JSON without -o" fetch "$address" --json
	echo "$address" >typed
	holds "fetch of an address that was typed" sh -c "PADSTONE_HOME='$work/reader' '$tool' remote fetch - --network dir:net <typed | cmp - shown"
	expect 2 "fetch of no address" fetch "${address}0"
	says "which mistake" "more than 112"
	expect 2 "fetch of a slip" fetch "$(echo "$address" | tr 3579 7935)"
	expect 2 "fetch from no network" "$tool" remote fetch "$address"
	expect 0 "update" remote update -q shown changed
	expect 0 "fetch what was changed" fetch "$address" -o fetched
	holds "what was changed" cmp changed fetched
	expect 0 "stat" remote stat shown --json
	member public true
	member address "$address"
	expect 0 "ls" remote ls shown
	holds "that it is public" grep -q "shown  (public)" out
	expect 0 "put --public" remote put --public other shown --json
	member name other
	expect 0 "put of many pads" remote put -q many changed --mode small
	expect 6 "more pads than are allowed" remote publish --max-pads 1 --mode small many
	expect 0 "rm" remote rm -q many
	expect 0 "take over" remote publish --take-over -q shown
	holds "the same address" grep -qx "$address" out
	expect 0 "unpublish --dry-run" remote unpublish --dry-run shown
	expect 0 "fetch: still there" fetch "$address" -o fetched
	expect 0 "unpublish" remote unpublish shown
	expect 3 "fetch what was taken back" fetch "$address" -o gone
	says "that it was" "taken back"
	holds "no file" test ! -e gone
	expect 3 "unpublish again" remote unpublish shown
	expect 0 "it is there" remote get shown -o fetched
	holds "as it was" cmp changed fetched
	expect 0 "publish anew" remote publish -q shown
	holds "another address" sh -c '[ "$(cat out)" != "$1" ]' - "$address"
	expect 0 "rm" remote rm -q other shown
}

plain() {
	usage
	stores
	contents
	values
	names
	pads
	addresses
	check_json
}

shared() {
	make_store
	contents
	machines
	leftovers
	damage
	headless
	readme
	check_json
}

. "$here/remote_interrupted.sh"
. "$here/remote_copies.sh"
"$part"
tell
