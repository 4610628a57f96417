# Part of remote_test.sh: files in and out, and a second network.

names_of() { "$tool" remote ls --network "$1" --key key --json | python3 -c '
import json, sys
for line in sys.stdin:
    print(ascii(json.loads(line)["name"]))'; }

files() {
	mkdir -p tree/sub/deep && cp some tree/some && cp byte tree/sub/byte && cp changed tree/sub/deep/changed && : >tree/empty
	cp byte "tree/100%" && cp byte "tree/100%.txt" && cp byte "tree/$(printf 'new\nline')"
	ln -s ../byte tree/link && mkfifo tree/fifo
	expect 0 "import" remote import --json --mode small tree
	member values 7
	member skipped 2
	holds "says what it skipped" grep -qF "'link'" err
	expect 0 "import again" remote import --json tree
	member values 0
	member same 7
	rm tree/link tree/fifo
	printf x >>tree/sub/deep/changed
	expect 0 "import of a change" remote import --json tree
	member values 1
	expect 3 "import of no folder" remote import nowhere
	expect 0 "export" remote export --json out1
	member values 7
	expect 0 "import of the export" remote import --json out1
	member same 7
	holds "the times are the values'" sh -c 'test "$(stat -c %Y out1/some)" -le "$(date +%s)"'
	for file in some sub/byte sub/deep/changed empty; do
		holds "$file is the same" cmp "tree/$file" "out1/$file"
	done
	holds "a percent sign is written otherwise" cmp byte "out1/100%25"
	expect 0 "export again" remote export --json out1
	member same 7
	printf y >>out1/some
	rm out1/sub/byte
	expect 1 "a file with other contents" remote export --json out1
	member refused 1
	member values 1
	says "says what replaces it" "--replace"
	expect 0 "is replaced when told" remote export --json --replace out1
	member values 1
	holds "and is the value again" cmp some out1/some
	expect 0 "a part of the names" remote export --json out2 sub/
	member values 2
	holds "is all that is written" sh -c 'test "$(find out2 -type f | wc -l)" = 2'
	rm -r out1 && mkdir out1 elsewhere && ln -s ../elsewhere out1/sub
	expect 1 "a link in the folder" remote export --json out1
	member refused 2
	holds "is not followed" sh -c 'test -z "$(ls elsewhere)"'
}

hard_names() {
	for name in ../evil /etc/passwd .. a//b a/ some/inside .padstone-x.tmp "$(printf 'e\033[1m')" "$(head -c 700 /dev/zero | tr '\0' z)"; do
		expect 0 "put a name that is no path" remote put "$name" byte
	done
	names_of dir:net >names1
	expect 0 "export of them" remote export --json out3
	member values 16
	holds "nothing is outside" sh -c '! test -e evil && ! test -e ../evil'
	expect 0 "another store" "$tool" remote init --network dir:net3 --key key --create
	expect 0 "import there" "$tool" remote import --network dir:net3 --key key out3 --json
	member values 16
	names_of dir:net3 >names2
	holds "has the same names" cmp names1 names2
}

second_network() {
	expect 0 "sync" remote sync
	expect 2 "copy to nowhere" remote copy
	says "says how" "--to URL"
	expect 2 "copy to itself" remote copy --to dir:./net
	expect 3 "copy to a folder that is none" remote copy --to dir:copy
	says "says what makes it" "--create"
	expect 0 "dry run" remote copy --json --to dir:copy --create --dry-run
	holds "says pads" grep -q new_pads out
	expect 0 "copy" remote copy --json --to dir:copy --create --rates 0.01,0,0,0 --max-cost 100
	member missing 0
	member kept 0
	expect 0 "again" remote copy --json --to dir:copy
	member looked 0
	expect 0 "looking at all" remote copy --json --to "dir:$work/./copy" --all
	member created 0
	expect 0 "another store on a network of its own" "$tool" remote init --network dir:net4 --key key --create
	expect 1 "is no copy" remote copy --to dir:net4
	says "says so" "is in use"
	find net -type f -size +100k >victims
	while read -r victim; do rm "$victim"; done <victims
	expect 5 "export of what is lost" remote export --json out4
	expect 0 "with a fallback" remote export --json out4 --fallback dir:copy
	holds "is the same, beside a folder that has its name" cmp some "out4/some%="
	expect 5 "copy of what is lost" remote copy --json --to dir:copy5 --create
	expect 0 "health repairs it" remote health --json --fallback dir:copy
	member repaired "[1-9][0-9]*"
	expect 0 "export" remote export --json out4
	expect 0 "the second copy goes on" remote copy --json --to dir:copy5
	member missing 0
	expect 0 "another machine, with a witness" env PADSTONE_HOME="$work/second" "$tool" remote head-code \
		--network dir:net --key key --witness dir:copy --json
	member unanchored false
	expect 0 "put" remote put --replace some byte
	expect 0 "sync" remote sync
	expect 0 "copy of a change" remote copy --json --to dir:copy
	mv net gone
	expect 0 "the copy alone" env PADSTONE_HOME="$work/third" "$tool" remote get --network dir:copy --key key some
	holds "has all" cmp byte out
	expect 0 "and is copied to a new network" env PADSTONE_HOME="$work/third" "$tool" remote copy --json \
		--network dir:copy --key key --to dir:net --create
	expect 0 "on which the store goes on" remote sync
	expect 0 "get" remote get sub/deep/changed
	holds "is the same" cmp tree/sub/deep/changed out
	expect 0 "health" remote health --read --json
	member ok true
}

copies() {
	make_store
	contents
	files
	hard_names
	second_network
	check_json
}
