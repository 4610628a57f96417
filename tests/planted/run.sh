#!/bin/sh
# Plants the defects of defects.txt, one at a time: each must make the test that is named beside it fail, and the test must
# pass over the unchanged sources. Only the changed file is compiled anew; it is linked before the library that has it unchanged.
#
# run.sh BUILD-CONFIG [--texts|--beside] [DEFECT...]     without names: all of them. --texts: only whether each can still be
# planted. --beside: among all other tests; what is one of these, with the same arguments, is not run over the unchanged sources
# once more.
set -u

config=$1
shift
task=try
beside=
case ${1:-} in
--texts) task=look && shift ;;
--beside) beside=yes && shift ;;
esac
here=$(cd "$(dirname "$0")" && pwd)
table=$here/defects.txt
limit=${PS_PLANTED_TIMEOUT:-600}
scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/work" || exit 1
trap 'exit 1' HUP INT TERM
caught=0
wrong=0

# The lines of a section "[name]" of the build's description.
section() {
	sed -n "/^\[$1\]\$/,/^\[/{/^\[/d;/^\$/d;p;}" "$config"
}

complain() {
	echo "WRONG: $*"
	wrong=$((wrong + 1))
}

# field NAME KEY: what stands behind "KEY " in the defect's paragraph.
field() {
	awk -v name="$1" -v key="$2" '
		/^defect / { inside = $2 == name }
		inside && index($0, key " ") == 1 { sub("^" key " *", ""); print; exit }' "$table"
}

# plant NAME SOURCE TARGET: the lines of the paragraph that begin with "-" must stand in the source, one after another,
# exactly once; the lines with "+" take their place. White space at a line's ends does not count.
plant() {
	awk -v name="$1" '
		function trim(s) { gsub(/^[ \t]+|[ \t]+$/, "", s); return s }
		NR == FNR {
			if (/^defect /) inside = $2 == name
			else if (inside && /^-/) old[++olds] = trim(substr($0, 2))
			else if (inside && /^\+/) new[++news] = substr($0, 2)
			next
		}
		{ line[++lines] = $0 }
		END {
			for (i = 1; olds && i <= lines - olds + 1; i++) {
				for (k = 1; k <= olds && trim(line[i + k - 1]) == old[k]; k++) { }
				if (k > olds) { at = i; found++ }
			}
			if (found != 1) { print found + 0 > "/dev/stderr"; exit 1 }
			for (i = 1; i <= lines; i++) {
				for (k = 1; i == at && k <= news; k++) print new[k]
				if (i < at || i >= at + olds) print line[i]
			}
		}' "$table" "$2" >"$3" 2>"$scratch/found"
}

# compile SOURCE OBJECT: as the library, without what a debugger reads, and in less time.
compile() (
	IFS='
'
	# shellcheck disable=SC2046
	"$(section compiler)" $(section flags) -O1 -g0 -w -c -o "$2" "$1"
)

# link PROGRAM OUTPUT [OBJECT]
link() (
	program=$1
	output=$2
	shift 2
	IFS='
'
	# shellcheck disable=SC2046
	"$(section compiler)" $(section linkflags) -o "$output" "$@" $(section "program $program") $(section libraries)
)

# run PROGRAM-FILE ARGUMENTS: the arguments as they stand in the table, with quotes. What a failing test leaves behind goes with
# the folder that it runs in.
run() (
	cd "$scratch/work" && eval "timeout \"$limit\" \"\$1\" $2" >"$scratch/output" 2>&1
)

# The build's other tests, a line each: program and arguments, without quotes.
others() {
	cat "$(dirname "$config")"/../*/CTestTestfile.cmake |
		sed -n '/^add_test(/{s/^[^"]*"\([^"]*\/\)*\([^"]*\)"/\2/;s/)$//;s/"//g;p;}'
}

# The test over the unchanged sources, once.
passes_unchanged() {
	[ -z "$beside" ] || ! printf '%s\n' "$1$2" | tr -d '"' | grep -qxFf "$scratch/others" || return 0
	key=$(printf '%s' "$1 $2" | cksum | tr -c '0-9\n' _)
	[ -e "$scratch/passed$key" ] && return 0
	[ -e "$scratch/$1" ] || link "$1" "$scratch/$1" || return 1
	run "$scratch/$1" "$2" || { tail -n 20 "$scratch/output"; return 1; }
	: >"$scratch/passed$key"
}

look() {
	name=$1
	file=$(field "$name" file)
	program=$(field "$name" test)
	if ! grep -qxF "[program ${program%% *}]" "$config"; then
		complain "$name: ${program%% *} is not among the programs of $config"
	elif plant "$name" "$(section source)/$file" "$scratch/planted.c"; then
		caught=$((caught + 1))
	else
		complain "$name: its text stands in $file $(cat "$scratch/found") times, not once"
	fi
}

try() {
	name=$1
	file=$(field "$name" file)
	program=$(field "$name" test)
	arguments=${program#"${program%% *}"}
	program=${program%% *}
	[ -n "$file" ] && [ -n "$program" ] || { complain "$name: not in $table"; return; }
	passes_unchanged "$program" "$arguments" || { complain "$name: \"$program$arguments\" fails without it"; return; }
	folder=$scratch/tree/$(dirname "$file")
	mkdir -p "$folder"
	if ! plant "$name" "$(section source)/$file" "$scratch/tree/$file"; then
		complain "$name: its text stands in $file $(cat "$scratch/found") times, not once"
		return
	fi
	compile "$scratch/tree/$file" "$scratch/changed.o" && link "$program" "$scratch/planted" "$scratch/changed.o" "$scratch/first_failure.o" ||
		{ complain "$name: does not build"; return; }
	# Where threads have to meet for it, once is not always enough.
	for attempt in 1 2 3 4 5; do
		run "$scratch/planted" "$arguments"
		status=$?
		[ "$status" -eq 0 ] || break
	done
	if [ "$status" -eq 0 ]; then
		complain "$name: \"$program$arguments\" passes with it, $attempt times"
	elif [ "$status" -ge 124 ] && [ "$status" -le 127 ]; then
		complain "$name: \"$program$arguments\" did not end within $limit s, or did not start"
	else
		caught=$((caught + 1))
		echo "caught: $name, by $program$arguments"
	fi
}

[ -z "$beside" ] || others >"$scratch/others"
[ $task = look ] || compile "$here/first_failure.c" "$scratch/first_failure.o" || exit 1
[ $# -gt 0 ] || set -- $(awk '/^defect / { print $2 }' "$table")
for defect; do
	"$task" "$defect"
done
if [ $task = look ]; then
	echo "$caught texts found, $wrong wrong"
else
	echo "$caught defects caught, $wrong wrong"
fi
[ "$wrong" -eq 0 ] && [ "$caught" -gt 0 ]
