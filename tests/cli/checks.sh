# What the tests of the tool share; to be sourced in a scratch folder. Nothing reads from a terminal unless it says so.
# shellcheck shell=sh disable=SC2034 # checks and failures are the sourcing script's to tell
exec </dev/null
failures=0
checks=0

# expect STATUS WHAT COMMAND…: its output is left in out and err, its JSON lines in json.
expect() {
	want=$1 what=$2
	shift 2
	checks=$((checks + 1))
	"$@" >out 2>err
	got=$?
	grep -a '^{"command":' out >>json
	if [ "$got" != "$want" ]; then
		echo "FAILED: $what: status $got instead of $want: $*"
		sed 's/^/    /' out err | head -20
		failures=$((failures + 1))
	fi
}
# holds WHAT COMMAND…
holds() {
	what=$1
	shift
	checks=$((checks + 1))
	if ! "$@" >holds.out 2>&1; then
		echo "FAILED: $what: $*"
		sed 's/^/    /' holds.out out err 2>/dev/null | head -20
		failures=$((failures + 1))
	fi
}
# says WHAT TEXT: the last command did, as an error or a hint.
says() { holds "$1" grep -qF -- "$2" err; }
# tell: the end of a test.
tell() {
	[ $failures = 0 ] || { echo "$failures of $checks checks failed"; exit 1; }
	echo "$checks checks"
}
