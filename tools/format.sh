#!/bin/sh
# Says which C files clang-format would lay out otherwise; with --fix, does so.
set -eu
cd "$(dirname "$0")/.."
mode="--dry-run -Werror"
[ "${1:-}" = --fix ] && mode=-i
# shellcheck disable=SC2086 # several options
git ls-files -z '*.c' '*.h' | xargs -0 clang-format $mode
