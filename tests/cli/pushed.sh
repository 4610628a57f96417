# What the tests of pushed stores begin with: the tool's path, and a scratch folder, in memory where there is room for one. To be
# sourced by a script whose first argument is the tool.
# shellcheck shell=sh disable=SC2034 # the tool is the sourcing script's to run
tool=$(readlink -f "$1")
here=$(dirname "$(readlink -f "$0")")
base=/tmp
[ ! -w /dev/shm ] || base=/dev/shm
work=$(mktemp -d "$base/padstone-$(basename "$0" _test.sh)-XXXXXX") || exit 1
trap 'cd / && rm -rf "$work"' EXIT
cd "$work" || exit 1
export PADSTONE_HOME="$work/home" TZ=UTC
unset PADSTONE_NETWORK PADSTONE_KEY
. "$here/checks.sh"
# figure NAME: of the last command's last line
figure() { sed -n "\$s/.*\"$1\":\([0-9]*\).*/\1/p" out; }
same_tree() { diff -r --no-dereference "$1" "$2"; }
