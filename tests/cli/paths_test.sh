#!/bin/sh
# Row A21 of the attack table: names that would lead out of a folder, where names meet folders. A name is a name only:
# get -o writes the one file that it was told, drill --compare-with and health --repair-from read nothing outside of
# their folder, export and remote export write nothing outside of their own. Names by seeds; PS_SEED begins elsewhere.
#   paths_test.sh PADSTONE
set -u
here=$(CDPATH='' cd -- "$(dirname "$0")" && pwd)
tool=$(readlink -f "$1")
base=/tmp
[ ! -w /dev/shm ] || base=/dev/shm
work=$(mktemp -d $base/padstone-paths-XXXXXX) || exit 1
trap 'cd / && rm -rf "$work"' EXIT
cd "$work" || exit 1
unset PADSTONE_NETWORK PADSTONE_KEY
export PADSTONE_HOME="$work/home" TZ=UTC
seed=${PS_SEED:-1}
. "$here/checks.sh"
echo "PS_SEED=$seed"

remote() {
	command=$1
	shift
	"$tool" remote "$command" --network dir:net --key key "$@"
}

# 20 names, one a line: each leads from work/folder to work/secret, or would if somebody followed it.
make_names() {
	awk -v seed="$seed" -v work="$work" 'BEGIN {
		srand(seed)
		split("../secret inner/../../secret ./../secret link/secret inner/up/secret ../folder/../secret", paths, " ")
		paths[7] = work "/secret"
		paths[8] = "link/../secret"
		paths[9] = "/proc/self/cwd/secret"
		for (i = 0; i < 20; i++) {
			name = paths[i < 9 ? i + 1 : int(rand() * 9) + 1]
			for (n = int(rand() * 3); n > 0; n--)
				sub("/", rand() < 0.5 ? "//" : "/./", name)
			while (name in seen)
				name = substr(name, 1, 1) == "/" ? "/" name : "./" name
			seen[name] = 1
			print name
		}
	}' >names
}

setting() {
	mkdir -p folder/inner outside
	ln -s .. folder/link
	ln -s ../.. folder/inner/up
	head -c 300 /dev/urandom >secret
	cp secret outside/secret
	"$tool" key new -q key || exit 1
	expect 0 "init" remote init --create
	make_names
	holds "20 names" test "$(wc -l <names)" = 20
	while read -r name; do
		expect 0 "put $name" remote put --mode small "$name" secret
	done <names
}

gets() {
	touch before after out err holds.out
	while read -r name; do
		rm -rf here && mkdir here
		find . -path ./home -prune -o -path ./net -prune -o -print | sort >before
		expect 0 "get $name" remote get "$name" -o here/file
		find . -path ./home -prune -o -path ./net -prune -o -print | grep -v '^./here/file$' | sort >after
		holds "writes that file" cmp secret here/file
		holds "and no other" cmp before after
	done <names
	# A link at the place of the file is replaced, never written through.
	echo canary >canary && ln -s ../canary here/link
	expect 0 "get over a link" remote get "$(head -1 names)" -o here/link
	holds "leaves what it pointed to" test "$(cat canary)" = canary
}

drills() {
	expect 0 "sync" remote sync
	expect 5 "drill" remote drill --json --compare-with folder
	holds "has no copy of any of them" test "$(grep -c '"finding":"PS_ENOENT"' out)" = 20
	cp secret folder/plain
	expect 0 "one that is there" remote put --mode small plain secret
	expect 0 "sync" remote sync
	expect 5 "drill" remote drill --json --compare-with folder
	holds "but of one that is there" test "$(grep -c '"finding":"PS_ENOENT"' out)" = 20
}

# All of them as files below a folder, in which links wait at the places of their folders.
restores() {
	for inner in plain link; do
		rm -rf out.d restored && mkdir -p out.d restored && echo canary >out.d/secret
		case $inner in link) for name in inner folder link proc tmp dev ..; do
			ln -s "$work/out.d" "restored/$name" 2>/dev/null
		done ;; esac
		find . -path ./home -prune -o -path ./net -prune -o -path ./restored -prune -o -print | sort >before
		"$tool" remote export --network dir:net --key key restored >out 2>err
		find . -path ./home -prune -o -path ./net -prune -o -path ./restored -prune -o -print | sort >after
		holds "an export writes nothing elsewhere ($inner)" cmp before after
		holds "and nothing through links" sh -c 'test "$(cat out.d/secret)" = canary && test "$(ls out.d)" = secret'
	done
	rm -rf restored
	expect 0 "export" remote export --json restored
	holds "has them all" test "$(find restored -type f | wc -l)" = 21
	rm -rf restored
}

# Each value lies in one small pad; all of these are lost.
repairs() {
	remote sync >out 2>err
	while read -r name; do
		"$tool" remote rm --network dir:net --key key "$name" >out 2>err
		touch mark
		expect 0 "put $name" remote put --mode small "$name" secret
		pad=$(find net -path 'net/[0-9a-f][0-9a-f]/*' -type f ! -name lock -newer mark | head -1)
		rm -f "$pad"
		expect 5 "nothing outside repairs $name" remote health --json --repair-from folder "$name"
		holds "it stays lost" grep -q '"repaired":0' out
		expect 0 "release" remote rm "$name"
	done <names
}

# What is exported meets links at the places of its folders and files.
exports() {
	mkdir -p tree/a/b tree/c && echo evil >tree/a/b/file && echo evil >tree/c/file && echo evil >tree/file
	expect 0 "create" "$tool" create store
	expect 0 "import" "$tool" import store tree
	i=0
	while [ $i -lt 20 ]; do
		rm -rf target out.d && mkdir -p target out.d/b
		echo canary >out.d/file && echo canary >out.d/b/file
		case $(((seed + i) % 5)) in
		0) ln -s ../out.d target/a ;;
		1) ln -s ../out.d target/c ;;
		2) mkdir target/a && ln -s "$work/out.d" target/a/b ;;
		3) ln -s "$work/out.d/file" target/file ;;
		4) mkdir target/c && ln -s ../../out.d/file target/c/file ;;
		esac
		force=
		[ $((i % 2)) = 0 ] || force=--force
		"$tool" export $force store target >out 2>err
		holds "export $i keeps what links point to" sh -c '
			test "$(cat out.d/file out.d/b/file)" = "canary
canary" && test "$(find out.d | wc -l)" = 4'
		i=$((i + 1))
	done
}

setting
gets
drills
restores
repairs
exports
tell
