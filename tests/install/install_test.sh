#!/bin/sh
# Installs a build into a folder of its own, and uses it as foreign programs do.
# usage: install_test.sh SOURCE BUILD CC CXX CMAKE
set -eu

source=$1 build=$2 cc=$3 cxx=$4 cmake=$5
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix
warnings="-Wall -Wextra -pedantic -Werror"
checks=0

die() {
	echo "install_test: $*" >&2
	exit 1
}

# check TITLE command …: quiet unless it fails.
check() {
	title=$1
	shift
	checks=$((checks + 1))
	"$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; die "$title: failed: $*"; }
	echo "ok: $title"
}

# run TITLE PROGRAM [arguments]: the store's path is the last argument, a new one each time.
run() {
	title=$1
	shift
	check "$title" env LD_LIBRARY_PATH="$libs" "$@" "$work/store$checks"
}

check "installs" "$cmake" --install "$build" --prefix "$prefix"
pc=$(find "$prefix" -name padstone.pc)
[ -f "$pc" ] || die "no padstone.pc"
export PKG_CONFIG_PATH="${pc%/*}"
libs=${PKG_CONFIG_PATH%/pkgconfig}

for file in "$libs/libpadstone.so" "$libs/libpadstone.so.0" "$libs/libpadstone.a" \
	"$libs/cmake/padstone/padstone-config.cmake" "$libs/cmake/padstone/padstone-config-version.cmake" \
	"$prefix/include/padstone/padstone.h"; do
	[ -e "$file" ] || die "$file is missing"
done

# ---- what the libraries show ----
foreign=$(nm -D --defined-only "$libs/libpadstone.so" | awk '$3 !~ /^ps_/ { print $3 }')
[ -z "$foreign" ] || die "exported, but not ps_: $foreign"
nm -D --defined-only "$libs/libpadstone.so" | grep -q ' ps_put$' || die "ps_put is not exported"
declared=$(sed -n 's/^\(PS_CHECKED \)\{0,1\}PS_API .*[ *]\(ps_[a-z0-9_]*\)(.*/\2/p' "$prefix"/include/padstone/*.h | sort -u)
exported=$(nm -D --defined-only "$libs/libpadstone.so" | awk '{ print $3 }' | sort -u)
[ -n "$declared" ] || die "no declarations found"
for name in $declared; do
	echo "$exported" | grep -qx "$name" || die "$name is declared in a header and not exported"
done
echo "ok: exactly the public names are exported"

for header in "$prefix"/include/padstone/*.h; do
	name=padstone/${header##*/}
	printf '#include <%s>\nextern int alone;\nint alone;\n' "$name" >"$work/alone.c"
	cp "$work/alone.c" "$work/alone.cpp"
	check "$name alone as C17" "$cc" -std=c17 $warnings -I"$prefix/include" -fsyntax-only "$work/alone.c"
	check "$name alone as C++17" "$cxx" -std=c++17 $warnings -I"$prefix/include" -fsyntax-only "$work/alone.cpp"
done

# ---- programs by pkg-config ----
flags=$(pkg-config --cflags --libs padstone)
static=$(pkg-config --static --cflags --libs padstone)
# With libcurl a wholly static program is not to be had: this library alone is linked statically then.
wholly=-static
case "$static" in *-lcurl*)
	wholly=
	static=$(echo "$static" | sed 's/-lpadstone/-l:libpadstone.a/')
	;;
esac
case "$(pkg-config --libs padstone)" in *uring*) die "shared linking names private libraries" ;; esac
# shellcheck disable=SC2086 # several flags
{
	check "C17, shared" "$cc" -std=c17 $warnings "$source/tests/install/app.c" $flags -o "$work/c"
	run "C17, shared, runs" "$work/c"
	check "C++17, shared" "$cxx" -std=c++17 $warnings "$source/tests/install/app.cpp" $flags -o "$work/cpp"
	run "C++17, shared, runs" "$work/cpp"
	check "C17, static" "$cc" $wholly -std=c17 $warnings "$source/tests/install/app.c" $static -o "$work/cs"
	run "C17, static, runs" "$work/cs"
	check "C++17, static" "$cxx" $wholly -std=c++17 $warnings "$source/tests/install/app.cpp" $static -o "$work/cpps"
	run "C++17, static, runs" "$work/cpps"
	check "a layer from outside" "$cc" -std=c17 $warnings "$source/tests/install/layer.c" $flags -o "$work/layer"
	run "a layer from outside, runs" "$work/layer"
	check "dlopen" "$cc" -std=c17 $warnings "$source/tests/install/load.c" $(pkg-config --cflags padstone) -ldl -o "$work/load"
	run "dlopen, runs" "$work/load" "$libs/libpadstone.so"
}

# ---- programs by find_package ----
check "find_package" "$cmake" -S "$source/tests/install/project" -B "$work/project" -DCMAKE_PREFIX_PATH="$prefix" \
	-DCMAKE_C_COMPILER="$cc" -DCMAKE_CXX_COMPILER="$cxx" -DAPP_SOURCES="$source/tests/install"
check "find_package, builds" "$cmake" --build "$work/project"
for kind in padstone padstone_static; do
	for language in c cpp; do
		run "find_package, $kind, $language, runs" "$work/project/${kind}_$language"
	done
done
if ldd "$work/project/padstone_static_c" | grep -q libpadstone; then
	die "the static program needs libpadstone.so"
fi

# ---- README.md's program ----
awk '/^```c$/ { on = 1; next } /^```/ { on = 0 } on' "$source/README.md" >"$work/readme.c"
[ -s "$work/readme.c" ] || die "README.md has no program in C"
# shellcheck disable=SC2086
check "README.md's program" "$cc" -std=c17 $warnings "$work/readme.c" $flags -o "$work/readme"
(cd "$work" && LD_LIBRARY_PATH="$libs" ./readme) >"$work/said" || die "README.md's program failed"
grep -q 'hello' "$work/said" || die "README.md's program says: $(cat "$work/said")"
echo "ok: README.md's program runs"

# ---- the tool, where it is built ----
if [ -x "$prefix/bin/padstone" ]; then
	check "padstone --version" "$prefix/bin/padstone" --version
fi
echo "$checks checks passed"
