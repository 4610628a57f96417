#!/bin/sh
# evict, and what every command does with contents that have left the file.
#   evict_test.sh PADSTONE
set -u
. "$(dirname "$(readlink -f "$0")")/pushed.sh"
# whole NAME: as figure, of all routes together
whole() { sed -n "\$s/^[^[]*\"$1\":\([0-9]*\).*/\1/p" out; }
# on COMMAND…: with network and key, which stand behind the command's name
on() {
	command=$1
	shift
	"$tool" "$command" --network dir:net --key key "$@"
}
# away WHAT COMMAND…: needs what is away, is told nothing of where that is
away() {
	what=$1
	shift
	expect 7 "$what" "$tool" "$@"
	says "$what: which options help" "--network URL"
}

mkdir -p tree/folder && printf one >tree/a && seq 1 60000 >tree/folder/numbers && : >tree/empty
head -c 700000 /dev/urandom >tree/noise
for command in evict get ls info rm check compact backup import export; do
	expect 0 "help $command" "$tool" help $command
	holds "$command has the options" grep -q -e --network out
done
expect 0 "help create" "$tool" help create
holds "a new file has nothing away" sh -c '! grep -q -e --network out'
expect 2 "create takes no network" "$tool" create --network dir:net x

expect 0 "a key" "$tool" key new key
expect 0 "a store" "$tool" create s
expect 0 "files" "$tool" import s tree
expect 2 "which network?" "$tool" evict s
expect 2 "a size that is none" on evict --to much s
expect 0 "a network" "$tool" remote init --create --network dir:net --key key
expect 3 "nothing was pushed" on evict s
expect 0 "push" on push s
printf two >tree/b
expect 0 "a change" "$tool" import s tree
expect 0 "the whole size" "$tool" stat --json s
before=$(figure disk_bytes)

expect 0 "a part leaves" on evict --to 300K --json s
holds "as much as was said" test "$(figure local_bytes)" -le 307200
holds "and not all" test "$(figure local_bytes)" -gt 100000
expect 0 "the rest" on evict s
holds "what had to stay" grep -q "had to stay: changed" out
expect 0 "once more" on evict --json s
holds "nothing more leaves" test "$(figure freed)" = 0
holds "changed contents stay" test "$(figure dirty_bytes)" -gt 0
holds "and only these" test "$(figure local_bytes)" = "$(figure dirty_bytes)"
# What has left is free until it is given back: the store's figures have what its routes have.
free_of_all() {
	python3 - out <<'EOF'
import json, sys
last = json.loads(open(sys.argv[1]).read().splitlines()[-1])
assert last["used_bytes"] + last["free_bytes"] == last["file_bytes"], last
assert last["free_bytes"] >= last["routes"][0]["free_bytes"] > 600000, last
EOF
}
expect 0 "the space" "$tool" stat --json s
holds "is free" free_of_all
expect 0 "what is free goes" "$tool" compact s
expect 0 "the size without" "$tool" stat --json s
holds "the file system has the space" test "$(figure disk_bytes)" -lt $((before - 600000))

# Where contents are, by route: each byte in one place.
totals() {
	python3 - out <<'EOF'
import json, sys
last = json.loads(open(sys.argv[1]).read().splitlines()[-1])
parts = ("local_bytes", "both_bytes", "dirty_bytes", "away_bytes", "away_objects")
for part in parts:
    assert last[part] == sum(route[part] for route in last["routes"]), (part, last)
for route in last["routes"] + [last]:
    assert route["local_bytes"] == route["both_bytes"] + route["dirty_bytes"], route
assert last["local_bytes"] + last["away_bytes"] == last["live_bytes"], last
assert last["dirty_bytes"] > 0 and last["both_bytes"] == 0 and last["away_bytes"] > 1000000, last
assert any(route["slot_bytes"] and route["away_bytes"] for route in last["routes"]), last
EOF
}
expect 0 "figures" "$tool" stat --json s
holds "they add up" totals
expect 0 "the map" "$tool" map --json s
holds "its figures, too" totals
expect 0 "as text" "$tool" stat s
holds "where contents are" grep -q "^contents .* away" out
expect 0 "a map as text" "$tool" map s
holds "where contents are" grep -q "^all  .* bytes .* MiB" out
expect 0 "a picture" "$tool" map --svg picture.svg s
holds "it says what is away" grep -q "here and pushed 0 bytes; changed since .*; away 1.0 MiB" picture.svg

# Without a network: no damage, no guess, no half result under its own name.
away "an export" export s out1
holds "what is here was exported" test -f out1/b
holds "what is away was not" test ! -e out1/noise
away "a check" check s
away "a quick check" check --quick s
expect 7 "a check as JSON" "$tool" check --json s
holds "how many" test "$(figure away)" -ge 3
away "a backup" backup s copy
holds "no copy was made" test ! -e copy
away "an import" import s tree
expect 0 "ids" "$tool" ls --ids --json s
on ls --json s >list
id=$(sed -n 's/.*"path":"noise".*"id":\([0-9]*\).*/\1/p' list)
away "an object" get -o one s "$id"
holds "no file was made" test ! -e one
expect 7 "as JSON" "$tool" get --json -o one s "$id"
holds "the exit status is said" grep -q '"error":"PS_EUNAVAILABLE".*"exit":7' out
expect 2 "a key, and which network?" "$tool" get --key key s "$id"
says "which network" "PADSTONE_NETWORK"
expect 2 "a network, and which key?" "$tool" get --network dir:net s "$id"
says "which key" "PADSTONE_KEY"
expect 2 "a network that is none" "$tool" get --network net --key key s "$id"
says "what one begins with" "begins with dir:"
expect 0 "its size needs nothing" "$tool" info s "$id"

# To a second network nothing goes of a file that has not all; what says so says how all of it gets there.
expect 0 "a second network" "$tool" remote init --create --network dir:second --key key
expect 7 "it has nothing of what is away" "$tool" push --network dir:second --key key s
says "where that is" "nothing was pushed here"
says "one way" "padstone remote copy --to"
says "and another" "padstone backup"
expect 0 "the first one has not lost it" on push s

# With one.
expect 0 "an object" on get -o one s "$id"
holds "its bytes" cmp one tree/noise
expect 0 "by the environment" env PADSTONE_NETWORK=dir:net PADSTONE_KEY=key "$tool" get -o one s "$id"
expect 0 "a check" on check --json s
holds "all was read" test "$(figure away)" = 0
expect 0 "a backup" on backup s copy
expect 0 "it is whole" "$tool" check copy
expect 0 "and has all" "$tool" export copy out2
holds "what was there" same_tree tree out2
expect 0 "an export" on export s out3
holds "every byte" same_tree tree out3
expect 1 "a network that is not there" env PADSTONE_HOME="$work/other" "$tool" get --network dir:nowhere --key key s "$id" -o two

# A pad that is lost, or another key, is no damage of the file, and gives no wrong bytes.
expect 0 "another key" "$tool" key new other
expect 1 "opens no such store" "$tool" get --network dir:net --key other -o two s "$id"
holds "no file was made" test ! -e two

# Of a file that nobody has fetched even what an object is.
expect 0 "a lazy clone" on clone --lazy lazy
expect 0 "where its contents are" "$tool" stat --json lazy
holds "on the network, all of them" test "$(whole away_bytes)" = "$(whole live_bytes)"
holds "of no route yet" test "$(whole unknown_bytes)" = "$(whole live_bytes)"
expect 0 "a picture" "$tool" map --svg lazy.svg lazy
holds "has them" grep -q "away 1.0 MiB" lazy.svg
expect 0 "as text" "$tool" stat lazy
holds "what nobody has looked at" grep -q "^untouched .* MiB" out
away "an object's size" info lazy "$id"
expect 0 "with the network" on info --json lazy "$id"
holds "its size" test "$(figure size)" = 700000
expect 0 "another one" on clone --lazy third
away "a removal" rm third "$id"
expect 0 "a removal with the network" on rm third "$id"
expect 3 "it is gone" on info third "$id"

# Contents come back for good where the store is written.
printf three >tree/a
expect 0 "a change" on import s tree
expect 0 "what was fetched for it stays" on evict --json --to 100M s
expect 0 "an object that is away goes" "$tool" rm s "$id"
rm -f tree/noise
expect 0 "the catalogue follows" on import --delete s tree
expect 0 "push of it" on push s
expect 0 "all leaves" on evict --json s
holds "all of it" test "$(figure local_bytes)" = 0
# Ctrl-C ends what is being fetched, which would take a minute.
expect 124 "an export that is given up" timeout -s INT -k 30 1 "$tool" export --network dir:net --key key --down 1K s out9
expect 124 "a check of a state" timeout -s INT -k 30 1 "$tool" check --network dir:net --key key --down 1K --at 0 s
expect 0 "an export" on export s out4
holds "every byte" same_tree tree out4
expect 0 "a check" on check s

# Another file takes over: from this one nothing leaves any more.
expect 0 "a clone" "$tool" clone --take-over --network dir:net --key key c
expect 0 "which has the same" on evict s
printf four >tree/c
expect 0 "it goes on" on import c tree
expect 0 "and pushes" on push c
rm tree/c
expect 5 "not the newest any more" on evict s
expect 0 "but it still reads" on export --force s out4
tell
