#!/bin/sh
# The vectors are what the library seals today, and a reader that shares no line with it reads them, and pads never seen
# before.
#   read_pad_test.sh PAD_VECTORS
set -eu
vectors=$(readlink -f "$1")
here=$(CDPATH='' cd -- "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$vectors" >"$work/fixed"
cmp "$work/fixed" "$here/vectors/pads.json" || { echo "FAILED: the format of pads has changed"; exit 1; }
python3 "$here/read_pad.py" "$here/vectors/pads.json"
seed=${PS_SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
echo "PS_SEED=$seed"
"$vectors" "$seed" >"$work/fresh"
python3 "$here/read_pad.py" "$work/fresh"
