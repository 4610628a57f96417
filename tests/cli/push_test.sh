#!/bin/sh
# push, clone and history over a dir: network: a store whose machine burns.
#   push_test.sh PADSTONE
set -u
. "$(dirname "$(readlink -f "$0")")/pushed.sh"
export PADSTONE_NETWORK=dir:net PADSTONE_KEY=key
# comes_back STORE TREE: its files are the tree's
comes_back() {
	rm -rf restored
	expect 0 "$1 is sound" "$tool" check "$1"
	expect 0 "$1 gives its files" "$tool" export "$1" restored
	holds "$1 has what was there" same_tree "$2" restored
}

mkdir -p tree/folder && printf one >tree/a && seq 1 40000 >tree/folder/numbers && : >tree/empty
head -c 300000 /dev/urandom >tree/noise

for command in push clone history remote-status; do
	expect 0 "help $command" "$tool" help $command
	expect 2 "$command with an unknown option" "$tool" $command --nonsense
done
expect 2 "push without a store" "$tool" push
expect 2 "history has no operand" "$tool" history s
expect 2 "a level that there is not" "$tool" push --level 20 s
expect 2 "which network?" env -u PADSTONE_NETWORK "$tool" push s
says "which network" "--network"

expect 0 "a key" "$tool" key new key
expect 0 "a store" "$tool" create s
expect 0 "files" "$tool" import s tree
expect 3 "no network" "$tool" push s
expect 0 "a network" "$tool" remote init --create
expect 3 "nothing to clone" "$tool" clone c
says "what brings a store there" "padstone push"
expect 3 "no history" "$tool" history
expect 3 "a store that is not there" "$tool" push nothing
expect 0 "push" "$tool" push --json s
holds "all objects were sent" test "$(figure objects)" -ge 5
first=$(figure state)
expect 0 "push of no change" "$tool" push --json s
holds "nothing was sent" test "$(figure sent_bytes)" = 0

cp -a tree before
printf two >>tree/a && rm tree/empty
expect 0 "a change" "$tool" import --delete s tree
expect 0 "push of a change" "$tool" push --history 1 --json s
holds "little was sent" test "$(figure sent_bytes)" -lt 100000
expect 0 "history" "$tool" history
holds "two states" test "$(wc -l <out)" = 2
expect 0 "history as JSON" "$tool" history --json

expect 0 "clone" "$tool" clone c
comes_back c tree
expect 1 "a clone writes over nothing" "$tool" clone c
says "another name" "another name"
holds "the file is there, not the network" grep -qx "padstone: c: exists already" err
expect 0 "a lazy clone" "$tool" clone --lazy --json lazy
holds "knows how much there is" test "$(figure objects)" -gt 0
expect 0 "what is in it" "$tool" ls lazy
expect 0 "a file that nobody has touched" "$tool" clone --lazy untouched
expect 7 "without the network nothing is known" env -u PADSTONE_NETWORK "$tool" ls untouched
comes_back lazy tree
expect 2 "one or the other" "$tool" clone --lazy --full other
expect 0 "an earlier state" "$tool" clone --state "$first" --json earlier
comes_back earlier before
expect 3 "a state that is not kept" "$tool" clone --state 99 other
holds "no file was made" test ! -e other

# The same without a file: what only reads works on a state that is kept.
for command in get ls info check backup export; do
	expect 0 "help $command" "$tool" help $command
	holds "$command works on a state" grep -q -e --at out
done
expect 0 "its files" "$tool" export --at "$first" s then
holds "as they were" same_tree before then
expect 0 "all of it" "$tool" check --at "$first" --json nothing
holds "was read" grep -q '"ok":true,"full":true.*"away":0' out
holds "and no file was made" test ! -e nothing
expect 0 "a copy of it" "$tool" backup --at "$first" s copy
comes_back copy before
expect 0 "the newest one" "$tool" ls --at 0 s
expect 2 "what changes a store does not" "$tool" rm --at "$first" s 5
expect 2 "and a key is needed" env -u PADSTONE_KEY "$tool" ls --at "$first" s
says "which" "PADSTONE_KEY"
expect 3 "a state that is not kept" "$tool" ls --at 99 s
says "where they are listed" "padstone history"
expect 3 "a folder that is not there" "$tool" ls --at "$first" nowhere/s
says "which" "cannot make a file in 'nowhere'"

# The machine burns: the key is all that is left of it.
rm -rf s c home
expect 0 "a clone on a new machine" "$tool" clone --json s
comes_back s tree
printf three >>tree/a
expect 0 "work goes on there" "$tool" import s tree
expect 1 "a clone does not hold it" "$tool" push s
says "who does" "epoch 1 of writers"
says "the way out" "--take-over"
expect 0 "and is pushed" "$tool" push --take-over s
expect 0 "from then on" "$tool" push s
expect 5 "who did not see that pushes nothing" "$tool" push earlier
says "the ways out" "padstone clone"
expect 0 "status" "$tool" remote-status --max-lag 1000 --json s
holds "nothing is behind" test "$(figure commits)" = 0
holds "the second holder" test "$(figure epoch)" = 2
holds "what was asked for, by kind" python3 -c 'import json, sys
r = json.loads(open("out").read())
kinds = ("get", "range", "head", "create", "replace", "remove", "list")
assert set(r["requests"]) == set(kinds) and r["requests"]["create"] > 0 and r["requests"]["replace"] > 0, r
assert r["requests_since"] > 0 and r["drill"] is None, r'
kinds() { python3 -c 'import json; print(sum(json.loads(open("out").read())["requests"].values()))'; }
asked=$(kinds)
expect 0 "a drill" "$tool" remote drill
expect 0 "status after it" "$tool" remote-status --json s
holds "the drill is noted, and the requests of all processes are summed" python3 -c 'import json, sys
r = json.loads(open("out").read())
assert r["drill"] > 0 and r["drill_values"] > 0 and r["drill_wrong"] == 0, r
assert sum(r["requests"].values()) > int(sys.argv[1]), r' "$asked"
expect 0 "status in words" "$tool" remote-status s
holds "the drill" grep -q "^last drill .* findings: 0" out
holds "the requests" grep -q "^requests from this machine since .* create" out
expect 1 "it was never pushed" "$tool" remote-status --max-lag 1000 earlier
expect 0 "the same, with no limit" "$tool" remote-status earlier
expect 0 "another change" "$tool" import --delete s before
expect 0 "it is behind" "$tool" remote-status --json s
holds "by some commits" test "$(figure commits)" -ge 1
holds "the network was asked" grep -q '"reached":true' out
behind=$(figure commits)
# Its network is away: what the file knows is told all the same.
mv net gone
expect 3 "a network that is away" "$tool" remote-status --json s
holds "as far behind as before" test "$(figure commits)" = "$behind"
holds "the network was not asked" grep -q '"reached":false' out
expect 3 "not too far behind" "$tool" remote-status --max-lag 1000000 s
expect 1 "too far behind" "$tool" remote-status --max-lag 0 --json s
holds "which lag that is" python3 -c 'import json
r = json.loads(open("out").read().splitlines()[-1])
assert r["lag"] > 0 and r["commits"] > 0 and r["state"] > 0 and r["pushed"] > 0, r'
expect 1 "the same in words" "$tool" remote-status --max-lag 0 s
holds "the lag" grep -Eq "^$behind commits? since, behind by" out
mv gone net
expect 0 "a store that was never pushed" "$tool" create alone
expect 0 "its status" "$tool" remote-status --json alone
holds "no lag is known" python3 -c 'import json
r = json.loads(open("out").read())
assert r["state"] == 0 and r["pushed"] is None and r["reached"], r'
expect 0 "there is nothing to be behind with" "$tool" remote-status --max-lag 0 alone
expect 0 "until there is" "$tool" put alone key
expect 1 "then it is as far behind as can be" "$tool" remote-status --max-lag 1000000 alone
expect 0 "in words" "$tool" remote-status alone
holds "never" grep -q "^never pushed" out
holds "how much is here alone" grep -Eq "^[0-9]+ commits? (is|are) not on the network" out
expect 0 "a key that only reads" "$tool" key read-only key reading
expect 0 "it tells the same" "$tool" remote-status --key reading --json s
holds "as far behind" test "$(figure commits)" = "$behind"
expect 0 "and reads the log" "$tool" remote verify --key reading
expect 0 "a clone that takes over" "$tool" clone --take-over taken
expect 1 "who held it is fenced" "$tool" push s
says "what to do" "padstone export"
expect 0 "the new holder" "$tool" push taken
expect 0 "what was pushed" "$tool" clone c
comes_back c tree
expect 0 "the pads" "$tool" remote verify --json
holds "and the log" grep -q '"log_pads":0' out

holds "JSON lines are JSON" python3 -c 'import json
for line in open("json"): json.loads(line)'
tell
