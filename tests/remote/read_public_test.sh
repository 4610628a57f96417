#!/bin/sh
# The vectors of addresses and manifests are what the library writes today, and a reader that shares no line with it reads
# them, others never seen before, and public values from a dir: network with nothing but their addresses.
#   read_public_test.sh PUBLIC_VECTORS PUBLIC_VALUES
set -eu
vectors=$(readlink -f "$1")
values=$(readlink -f "$2")
here=$(CDPATH='' cd -- "$(dirname "$0")" && pwd)
export PYTHONDONTWRITEBYTECODE=1
# Quick means that nobody waits for a disk.
base=/tmp
[ ! -w /dev/shm ] || base=/dev/shm
work=$(mktemp -d $base/padstone-public-XXXXXX)
trap 'rm -rf "$work"' EXIT
"$vectors" >"$work/fixed"
cmp "$work/fixed" "$here/vectors/public.json" || { echo "FAILED: the format of public values has changed"; exit 1; }
python3 "$here/read_public.py" vectors "$here/vectors/public.json"
seed=${PS_SEED:-$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}
echo "PS_SEED=$seed"
"$vectors" "$seed" >"$work/fresh"
python3 "$here/read_public.py" vectors "$work/fresh"

# NAME ADDRESS of each value; what each holds is in the file NAME; of one that was taken back there is none.
"$values" "$work" >"$work/list"
while read -r name address; do
	status=0
	python3 "$here/read_public.py" "$work/network" "$address" "$work/read" || status=$?
	if [ -f "$work/$name" ]; then
		[ "$status" = 0 ] && cmp "$work/$name" "$work/read" || { echo "FAILED: $name: status $status"; exit 1; }
	elif [ "$status" != 3 ]; then
		echo "FAILED: $name was taken back, and is read: status $status"
		exit 1
	fi
done <"$work/list"
[ "$(wc -l <"$work/list")" -ge 5 ]
