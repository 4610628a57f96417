#!/bin/sh
# The multi store calls the store below, memory, and nothing else: no I/O.
# usage: symbols_test.sh NM OBJECTS...
set -eu
nm=$1
shift
symbols=$("$nm" -u "$@" | awk 'NF == 2 { print $2 }' | sort -u)
case $symbols in *ps_use_placement*) ;; *)
	echo "these are not the multi store's objects: $*"
	exit 1
	;;
esac
# What begins with two underscores is the compiler's and the sanitizers'.
strange=$(echo "$symbols" | grep -Ev '^(ps_[a-z_]+|calloc|free|mem(cpy|cmp|set)|bcmp|__.*|_GLOBAL_OFFSET_TABLE_)$' || true)
# Of the store's, those that a layer may call: the contract's, and the allocators' tables.
strange="$strange $(echo "$symbols" | grep -E '^ps_(io|base|memory|log|root|omni)_' || true)"
if [ -n "${strange# }" ]; then
	echo "the multi store calls: $strange"
	exit 1
fi
echo "$(echo "$symbols" | wc -l) symbols, none of them does I/O"
