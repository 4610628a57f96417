#!/bin/sh
# Sets up, builds and tests everything, and ends with one line: "N passed, N failed", with ", N skipped" if there were any.
# Builds lie below ${PS_BUILD_DIR:-build} and are used again. Exit status 0 only if nothing failed.
#
# test.sh --build NAME...: only builds those of gcc, clang, asan, tsan.
set -u

cd "$(dirname "$0")/.." || exit 1
build=${PS_BUILD_DIR:-build}
jobs=${PS_JOBS:-$(nproc)}
passed=0
failed=0
skipped=0
again=
builder=

say() {
	printf '\n== %s\n' "$*"
}

# The value of an attribute of the first <testsuite> in a JUnit file.
attribute() {
	tr '\n\t' '  ' <"$2" | sed -n "s/.*<testsuite [^>]*[ ]$1=\"\([0-9]*\)\".*/\1/p"
}

fail() {
	echo "FAILED: $*"
	failed=$((failed + 1))
}

count() {
	tests=$(attribute tests "$1")
	bad=$(attribute failures "$1")
	skip=$(($(attribute skipped "$1") + $(attribute disabled "$1")))
	if [ "${tests:-0}" -eq 0 ]; then
		fail "there were no tests"
		return
	fi
	passed=$((passed + tests - bad - skip))
	failed=$((failed + bad))
	skipped=$((skipped + skip))
}

# make_build NAME CC CXX [cmake options]: false if it does not build.
make_build() {
	folder=$build/$1
	cc=$2
	cxx=$3
	shift 3
	launcher=
	command -v ccache >/dev/null 2>&1 && launcher=ccache
	cmake -S . -B "$folder" -G Ninja -DCMAKE_C_COMPILER="$cc" -DPS_TEST_CXX="$cxx" \
		-DCMAKE_C_COMPILER_LAUNCHER="$launcher" "$@" >"$folder.log" 2>&1 &&
		cmake --build "$folder" --parallel "$jobs" >>"$folder.log" 2>&1
}

# The names of the tests with a status, "run" or "fail", in a JUnit file.
names() {
	sed -n "s/.*<testcase name=\"\([^\"]*\)\".* status=\"$1\".*/\1/p" "$2"
}

# Tests on an engine (a real Ceph cluster) depend on how fast servers are that are not ours, tests of label clock on time-outs by the real
# clock, which a machine that stands still for seconds lets pass: those that failed run once more, alone, and count by that, and the
# end names them. All others have one try.
try_again() {
	folder=$1
	first=$2
	second=${first%.xml}_again.xml
	bad=$(names fail "$first" | paste -s -d '|')
	rm -f "$second"
	[ -z "$bad" ] || ctest --test-dir "$folder" -R "^($bad)\$" -L "^(engine|clock)\$" --no-tests=ignore --output-on-failure --timeout 900 \
		--output-junit "$second"
	[ -f "$second" ] || return 0
	for name in $(names run "$second"); do
		echo "$name failed once and passed alone"
		again="$again $name"
		failed=$((failed - 1))
		passed=$((passed + 1))
	done
}

# run_tests NAME TITLE [ctest options]
run_tests() {
	folder=$build/$1
	report=$(cd "$folder" && pwd)/report.xml
	title=$2
	shift 2
	rm -f "$report"
	# One more than there are processors: a few wait for servers more than they work.
	ctest --test-dir "$folder" --parallel "$((jobs + 1))" --output-on-failure --timeout 900 --output-junit "$report" "$@"
	if [ -f "$report" ]; then
		count "$report"
		try_again "$folder" "$report"
	else
		fail "$title: ctest did not run"
	fi
}

# For a debugger they have lines, and no more: gcc takes a quarter less time for it. Under sanitizers only what runs is built.
make_named() {
	lean="-DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS=-O1 -DCMAKE_C_FLAGS_DEBUG=-gline-tables-only -DPS_BENCH=OFF -DPS_LONG_TESTS=OFF"
	optimised="-DCMAKE_C_FLAGS_RELWITHDEBINFO=-O2 -g1 -DNDEBUG"
	case $1 in
	gcc) make_build gcc gcc g++ -DCMAKE_BUILD_TYPE=RelWithDebInfo "$optimised" ;;
	clang) make_build clang clang clang++ -DCMAKE_BUILD_TYPE=RelWithDebInfo "$optimised" ;;
	asan) make_build asan clang clang++ $lean -DPS_SANITIZE=address ;;
	tsan) make_build tsan clang clang++ $lean -DPS_SANITIZE=thread ;;
	*) echo "there is no build $1" >&2 && false ;;
	esac
}

# make_all NAME...: what is built has a file NAME.built.
make_all() {
	mkdir -p "$build" || exit 1
	for name; do
		rm -f "$build/$name.built"
	done
	for name; do
		make_named "$name" && : >"$build/$name.built"
	done
}

# build_beside NAME...: tests wait for servers, disks and one another; what they leave of the processors builds those meanwhile. A
# session of its own, so that all of it ends with this script. Where the kernel shares processors out by sessions
# (autogroup), it is the session's niceness that counts.
build_beside() {
	for name; do
		rm -f "$build/$name.built"
	done
	setsid nice -n 19 sh -c '[ -w /proc/self/autogroup ] && echo 19 >/proc/self/autogroup 2>/dev/null; exec sh tools/test.sh --build "$@"' sh "$@" &
	builder=$!
}

# At the end, however it comes.
stop_builder() {
	[ -z "$builder" ] || kill -- "-$builder" 2>/dev/null
}

# test_build NAME TITLE CHOICE: CHOICE is what ctest gets to choose the tests by.
test_build() {
	say "$2: testing (log of the build in $build/$1.log)"
	if [ -f "$build/$1.built" ]; then
		run_tests "$1" "$2" $3
	else
		tail -n 40 "$build/$1.log"
		fail "$2: does not build"
	fi
}

if [ "${1:-}" = --build ]; then
	shift
	make_all "$@"
	exit
fi

say "what is needed"
sh tools/setup.sh || { fail "setup"; echo "$passed passed, $failed failed"; exit 1; }

trap stop_builder EXIT
trap 'exit 1' HUP INT TERM
# What looks at sources only (label source) is done once.
quick="-L quick -LE source"
say "building: gcc, optimised"
make_all gcc
build_beside clang asan tsan
test_build gcc "gcc, optimised, all tests" "-L ."
say "building: what is left of the others"
wait "$builder"
builder=
test_build clang "clang, quick tests" "$quick"
test_build asan "address and undefined behaviour sanitizers, quick tests" "$quick"
test_build tsan "thread sanitizer, quick tests" "$quick"

for name in $again; do
	printf '\n%s failed once and passed alone' "$name"
done
result="$passed passed, $failed failed"
[ "$skipped" -eq 0 ] || result="$result, $skipped skipped"
printf '\n%s\n' "$result"
[ "$failed" -eq 0 ]
