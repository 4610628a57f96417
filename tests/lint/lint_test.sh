#!/bin/sh
# Shows that lint.sh finds each kind of breach, and only that.
set -eu
lint=$(CDPATH='' cd -- "$(dirname "$0")" && pwd)/lint.sh
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

good() {
	rm -rf "$tree"
	mkdir -p "$tree/base" "$tree/allocator" "$tree/store" "$tree/multistore" "$tree/remote" "$tree/cli"
	touch "$tree/base/error.h" "$tree/multistore/multi_store.h" "$tree/remote/keys.h" "$tree/allocator/root.h" "$tree/allocator/extent_tree.h" "$tree/store/storer.h"
	cat >"$tree/store/good.c" <<-'END'
		#include <padstone/error.h>
		#include "allocator/root.h"
		#include "base/error.h"
		#include "store/own_internal.h"
		/* Nothing here calls printf() or abort(). */
		int good(int exit) __attribute__((format(printf, 2, 3)));
		const char *text = "exit(1)";
		int x = snprintf(text, 1, "%d", store->abort(1));
	END
}

# breach TITLE FILE EXPECTED: the file's contents on standard input.
breach() {
	good
	cat >"$tree/$2"
	if sh "$lint" "$tree" >"$tree/said"; then
		echo "$1: not found"
		exit 1
	fi
	grep -q "$3" "$tree/said" || { cat "$tree/said"; echo "$1: not said"; exit 1; }
	[ "$(wc -l <"$tree/said")" -eq 1 ] || { cat "$tree/said"; echo "$1: more than that was said"; exit 1; }
	echo "ok: $1"
}

good
sh "$lint" "$tree"
echo '#include "allocator/root.h"' | breach "upwards from base" base/a.c 'base/a.c:1: base/ may not include allocator/root.h'
echo '#include <padstone/storer.h>' | breach "upwards through an installed name" allocator/a.c 'may not include store/storer.h'
echo '#include "allocator/extent_tree.h"' | breach "another layer's private header" store/a.c 'private to allocator/'
echo '#include "multistore/multi_store.h"' | breach "remote on what stands above it" remote/a.c 'may not include multistore/multi_store.h'
echo '#include "remote/keys.h"' | breach "the store on remote" store/a.c 'may not include remote/keys.h'
echo '#include "allocator/extent_tree.h"' | breach "a program on a private header" cli/a.c 'private to allocator/'
echo '#include "tests/support/sim_disk.h"' | breach "a library on its tests" store/a.c 'may not include tests/support'
for call in 'printf("x");' 'fprintf(stderr, "x");' 'abort();' 'if (x) exit(1);' 'perror("x");'; do
	echo "	$call" | breach "a library calls ${call%%;*}" base/a.c 'base/a.c:1: a library does not call this'
done
{ echo 'int f(void)'; echo '{'; yes '	x++;' | head -n 69; echo '}'; } | breach "a function of 71 lines" store/a.c 'store/a.c:2: a function of 71 lines'
yes '/* */' | head -n 801 | breach "a file of 801 lines" store/a.h 'store/a.h: 801 lines'
good
{ echo 'int f(void)'; echo '{'; yes '	x++;' | head -n 68; echo '}'; } >"$tree/store/a.c"
sh "$lint" "$tree"
