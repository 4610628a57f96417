#!/bin/sh
# Rules of the house that a compiler does not check, over the tree given. Says every breach; exit status 1 if there is any.
# usage: lint.sh SOURCE
set -eu
here=$(CDPATH='' cd -- "$(dirname "$0")" && pwd)
cd "$1"
layers="base allocator store multistore concurrent remote"
breaches=$(mktemp)
trap 'rm -f "$breaches"' EXIT

files_in() {
	for folder in "$@"; do
		[ ! -d "$folder" ] || find "$folder" -name '*.[ch]'
	done
}

# ---- includes point down ----
# What a layer may include besides its own: base <- allocator <- store <- multistore <- concurrent, remote on store.
# Programs include what layers show.
may_include() {
	case $1 in
	base) echo "" ;;
	allocator) echo "base" ;;
	store) echo "base allocator" ;;
	multistore) echo "base allocator store remote" ;;
	concurrent) echo "base allocator store multistore" ;;
	remote) echo "base allocator store" ;;
	# The tool runs the conformance suite.
	cli) echo "$layers tests" ;;
	bench) echo "$layers" ;;
	esac
}

# The header of <padstone/NAME> where it lies in the tree.
source_of() {
	for folder in $layers; do
		if [ -f "$folder/$1" ]; then
			echo "$folder/$1"
			return
		fi
	done
}

check_include() {
	file=$1 line=$2 header=$3
	layer=${file%%/*}
	case $header in padstone/*) header=$(source_of "${header#padstone/}") ;; esac
	owner=${header%%/*}
	case " $layers tests cli bench " in *" $owner "*) ;; *) return ;; esac
	[ "$owner" != "$layer" ] || return 0
	case " $(may_include "$layer") " in
	*" $owner "*) ;;
	*)
		echo "$file:$line: $layer/ may not include $header"
		return
		;;
	esac
	[ "$owner" = base ] || grep -qx "$header" "$here/interfaces.txt" ||
		echo "$file:$line: $header is private to $owner/"
}

for file in $(files_in $layers cli bench); do
	# The one header that brings all layers to an application; no layer includes it.
	[ "$file" != store/padstone.h ] || continue
	awk '/^[ \t]*#[ \t]*include[ \t]*["<][^">]*\// { split($0, part, /["<>]/); print NR, part[2] }' "$file" |
		while read -r line header; do
			check_include "$file" "$line" "$header"
		done
done >>"$breaches"

# ---- size ----
# A function's body is what stands between "{" and "}" alone in the first column.
files_in $layers cli bench tests | while read -r file; do
	awk -v file="$file" '
		/^\{$/ { start = NR }
		/^\}$/ && start {
			if (NR - start + 1 > 70)
				printf "%s:%d: a function of %d lines (70 at most)\n", file, start, NR - start + 1
			start = 0
		}
		END {
			if (NR > 800)
				printf "%s: %d lines (800 at most)\n", file, NR
		}' "$file"
done >>"$breaches"

# ---- a library neither prints nor ends the process ----
files_in $layers | while read -r file; do
	awk -v file="$file" '
		{ sub(/\/\*.*\*\//, ""); sub(/\/\/.*/, ""); gsub(/"([^"\\]|\\.)*"/, "\"\"") }
		/^[ \t]*(\/\*|\* )/ { next }
		match($0, /(^|[^A-Za-z0-9_.>])(v?f?printf|puts|fputs|putchar|putc|fputc|perror|psignal|abort|exit|_exit|_Exit|quick_exit|err|errx|warn|warnx)[ \t]*\(/) {
			printf "%s:%d: a library does not call this: %s\n", file, NR, substr($0, RSTART, RLENGTH)
		}' "$file"
done >>"$breaches"

if [ -s "$breaches" ]; then
	cat "$breaches"
	exit 1
fi
echo "lint: $(files_in $layers cli bench tests | wc -l) files, no breach"
