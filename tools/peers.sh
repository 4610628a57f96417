#!/bin/sh
# Installs the stores that padstone-bench measures beside Padstone. For Debian 12; as root, or with sudo. Those that a release
# does not have are left out and said; configure again afterwards.
set -eu

packages="liblmdb-dev librocksdb-dev libwiredtiger-dev libsqlite3-dev libdb5.3-dev libleveldb-dev libkyotocabinet-dev libtkrzw-dev
	libjansson-dev"

command -v apt-get >/dev/null 2>&1 || { echo "peers: no apt-get here; needed are the like of:" $packages; exit 1; }
as_root=
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null 2>&1 || { echo "peers: needs root" >&2; exit 1; }
	as_root=sudo
fi
$as_root apt-get update -q
missing=
for package in $packages; do
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$package" ||
		missing="$missing $package"
done
[ -z "$missing" ] || echo "peers: not to be had here:$missing"
