#!/bin/sh
# Shows what Padstone does with real files: stores a tree of this machine, is killed in the middle, goes on, gives every
# byte back, forgets half and shrinks; then loses everything but a key, and has it all again. Works in a temporary folder that
# it removes. Under two minutes after the build.
#   sh tools/demo.sh [FOLDER…]     default: /usr/include /usr/share/doc
set -eu

cd "$(dirname "$0")/.."
build=${PS_BUILD_DIR:-build}/demo
[ $# -gt 0 ] || set -- /usr/include /usr/share/doc

say() { printf '\n== %s\n' "$*"; }
note() { printf '   %s\n' "$*"; }
give_up() {
	echo "demo: $*" >&2
	exit 1
}
megabytes() { awk -v bytes="$1" 'BEGIN { printf "%.1f MiB", bytes / 1048576 }'; }
now() { date +%s; }

say "Setting up and building (the log is $build.log)"
mkdir -p "$build"
sh tools/setup.sh >"$build.log" 2>&1 || { cat "$build.log"; give_up "setting up failed"; }
{ cmake -S . -B "$build" -G Ninja -DPS_TESTS=OFF -DPS_BENCH=OFF && cmake --build "$build" --target padstone_cli; } \
	>>"$build.log" 2>&1 || { tail -40 "$build.log"; give_up "the build failed"; }
tool=$(find "$(cd "$build" && pwd)/cli" -name padstone -type f -perm -u+x | head -n 1)
[ -n "$tool" ] || give_up "the build made no padstone"
started=$(now)

work=$(mktemp -d "${TMPDIR:-/tmp}/padstone-demo-XXXXXX")
importer=
clean() {
	[ -z "$importer" ] || kill -9 "$importer" 2>/dev/null || true
	chmod -R u+rwx "$work" && rm -rf "$work"
}
trap clean EXIT
trap 'exit 1' INT TERM
store=$work/demo.store
tree=$work/tree

# Names, kinds, modes, times to the nanosecond and targets of links.
listing() { (cd "$1" && find . -printf '%P\0%y %m %T@ %l\0' | sort -z); }
same_tree() {
	listing "$1" >"$work/a.list"
	listing "$2" >"$work/b.list"
	cmp "$work/a.list" "$work/b.list" && diff -r --no-dereference "$1" "$2"
}
# figure KEY: a whole number out of a line of JSON on standard input, before any array in it
figure() { sed -n "s/^[^[]*\"$1\":\([0-9]*\).*/\1/p"; }
store_figure() { "$tool" stat --json "$store" | figure "$1"; }

say "A tree of real files: $*"
mkdir "$tree"
for folder; do
	[ -d "$folder" ] || continue
	cp -a "$folder" "$tree/"
done
# Hard links and set-id bits are not what import promises to keep; a copy of each file is.
find "$tree" ! -type f ! -type d ! -type l -delete
files=$(find "$tree" -type f -printf x | wc -c)
links=$(find "$tree" -type l -printf x | wc -c)
folders=$(find "$tree" -mindepth 1 -type d -printf x | wc -c)
bytes=$(find "$tree" -type f -printf '%s\n' | awk '{ sum += $1 } END { printf "%.0f", sum }')
[ "$files" -gt 0 ] || give_up "there are no files in $*"
note "$files files, $folders folders and $links symbolic links; $(megabytes "$bytes")"

say "Importing it, and killing the import with SIGKILL in the middle"
killed=
share=50
while [ -z "$killed" ] && [ $share -gt 2 ]; do
	rm -f "$store"
	"$tool" create --quiet "$store"
	"$tool" import --quiet "$store" "$tree" &
	importer=$!
	# The middle: when so much of the tree is in the store's file.
	while kill -0 $importer 2>/dev/null &&
		[ $(($(stat -c '%b * 512' "$store"))) -lt $((bytes / 100 * share)) ]; do
		sleep 0.01
	done
	kill -9 $importer 2>/dev/null && killed=yes
	wait $importer 2>/dev/null && killed=
	importer=
	share=$((share / 2))
done
[ -n "$killed" ] || give_up "the import was always done before the kill; give it a larger FOLDER"
note "killed; the store's file then took $(megabytes $(($(stat -c '%b * 512' "$store")))) of disk"

say "Opening the store again and checking every byte"
"$tool" check "$store" | sed 's/^/   /'
kept=$("$tool" ls -R "$store" | grep -c '^-' || true)
[ "$kept" -lt "$files" ] || give_up "the import was not killed in its middle"
note "$kept of $files files had been committed, and are there"

say "Importing again, to the end"
"$tool" import --json --quiet "$store" "$tree" >"$work/import.json"
same=$(figure same <"$work/import.json")
note "$same files and links were the same and not stored again, $(figure new <"$work/import.json") were new"
[ "$same" -ge "$kept" ] || give_up "files that were committed were stored again"
"$tool" import --json --quiet "$store" "$tree" >"$work/import.json"
[ "$(figure new <"$work/import.json") $(figure changed <"$work/import.json")" = "0 0" ] ||
	give_up "a further import stored something"
note "a third import found nothing to store"

say "Exporting, and comparing with the original"
"$tool" export --quiet --setuid "$store" "$work/out" || give_up "the export failed"
same_tree "$tree" "$work/out" || give_up "what came out differs"
note "the same: every byte, name, mode, time and link target of $files files"
rm -rf "$work/out"
full_disk=$(store_figure disk_bytes)

say "Deleting every second file, and compacting"
# shellcheck disable=SC2016 # for the inner shell
find "$tree" -type f -print0 | sort -z |
	xargs -0 sh -c 'while [ $# -gt 0 ]; do printf "%s\0" "$1"; shift; [ $# -eq 0 ] || shift; done' demo |
	xargs -0 rm -f
"$tool" import --delete "$store" "$tree" 2>&1 | sed 's/^/   /'
half_live=$(store_figure live_bytes)
half_disk=$(store_figure disk_bytes)
compacted=yes
"$tool" compact --quiet "$store" 2>"$work/error" || compacted=
if [ -z "$compacted" ] && ! grep -q "does not support" "$work/error"; then
	cat "$work/error" >&2
	give_up "compacting failed"
fi
compact_disk=$(store_figure disk_bytes)
note "before deleting:  $(megabytes "$full_disk") on disk for $(megabytes "$bytes") of files"
note "after deleting:   $(megabytes "$half_disk") on disk, $(megabytes "$half_live") of it live"
if [ -n "$compacted" ]; then
	note "after compacting: $(megabytes "$compact_disk") on disk"
	[ "$compact_disk" -lt "$full_disk" ] || give_up "compacting gave nothing back"
else
	note "compacting: this build's store cannot do it yet, so this is not shown"
fi

say "Checking and exporting what is left"
"$tool" check "$store" | sed 's/^/   /'
"$tool" export --quiet --setuid "$store" "$work/out" || give_up "the second export failed"
same_tree "$tree" "$work/out" || give_up "what came out after deleting differs"
note "the same again"

say "Pushing the store to a network, here a folder, that need not be trusted"
export PADSTONE_HOME="$work/state" PADSTONE_NETWORK="dir:$work/network" PADSTONE_KEY="$work/key"
"$tool" key new --quiet "$PADSTONE_KEY"
"$tool" remote init --quiet --create
"$tool" push --json --quiet "$store" >"$work/push.json" || give_up "the push failed"
note "$(figure objects <"$work/push.json") objects, $(megabytes "$(figure bytes <"$work/push.json")"); $(megabytes "$(figure sent_bytes <"$work/push.json")") sent, compressed and sealed"
pushed=$(figure sent_bytes <"$work/push.json")
one=$(find "$tree" -type f -size -8k | sort | head -n 1)
echo "a line more" >>"$one"
"$tool" import --quiet "$store" "$tree"
"$tool" push --json --quiet "$store" >"$work/push.json" || give_up "the second push failed"
note "one file changed, pushed again: $(figure sent_bytes <"$work/push.json") bytes sent"
[ "$(figure sent_bytes <"$work/push.json")" -lt "$pushed" ] || give_up "the second push sent everything"
if grep -rqa "a line more" "$work/network"; then give_up "the network can read what was pushed"; fi

say "Losing the store, and all that this machine knows; making it again from the key"
rm -rf "$store" "$work/state"
"$tool" clone --quiet "$store" || give_up "the clone failed"
"$tool" check "$store" | sed 's/^/   /'
rm -rf "$work/out"
"$tool" export --quiet --setuid "$store" "$work/out" || give_up "the third export failed"
same_tree "$tree" "$work/out" || give_up "what came back differs"
note "the same: every byte, name, mode, time and link target"

say "Letting the contents leave the file: the network has them"
cloned=$(store_figure disk_bytes)
"$tool" evict --quiet "$store" || give_up "what was pushed did not leave"
"$tool" compact --quiet "$store" || give_up "what was free did not go"
evicted=$(store_figure disk_bytes)
[ "$evicted" -lt "$cloned" ] || give_up "nothing has left"
id=$("$tool" ls --json "$store" "${one#"$tree"/}" | figure id)
"$tool" get --quiet "$store" "$id" -o "$work/one" || give_up "nothing was fetched"
cmp "$one" "$work/one" || give_up "what was fetched differs"
note "$(megabytes "$cloned") on disk before, $(megabytes "$evicted") after; a file that is read comes back through the network"

say "What was proved, in $(($(now) - started)) seconds"
note "- an import killed with SIGKILL left a sound store, and lost no file that it had committed;"
note "- run again it stored only what was missing, and a further one stored nothing;"
note "- $files files came out byte by byte as they went in, with modes, times and links;"
note "- half of the files were deleted, and what stayed is unharmed;"
note "- the store, pushed and lost with all its machine knew, came back from the network and one key;"
note "- its contents left the file, and what was read of them came back;"
[ -z "$compacted" ] || note "- the deleted space went back to the file system."
