#!/bin/sh
# Installs what building and testing Padstone needs and is not there yet. For Debian 12; as root, or with sudo. Changes
# nothing, and asks for no rights, when all is there.
set -eu

packages="gcc g++ clang libclang-rt-14-dev cmake ninja-build pkg-config e2fsprogs
	libjemalloc-dev liburing-dev libxxhash-dev libsodium-dev libzstd-dev libjansson-dev libcmocka-dev
	libcurl4-openssl-dev libexpat1-dev libssl-dev openssl
	python3 ceph-mon ceph-osd ceph-common librados-dev radosgw"

if ! command -v dpkg-query >/dev/null 2>&1; then
	echo "setup: no Debian package tools here; needed are the like of:" $packages
	exit 0
fi

# pkg-config may be there under the name of the package that provides it.
is_installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ] ||
		{ [ "$1" = pkg-config ] && command -v pkg-config >/dev/null 2>&1; }
}

missing=
for package in $packages; do
	is_installed "$package" || missing="$missing $package"
done
if [ -z "$missing" ]; then
	echo "setup: everything needed is installed"
	exit 0
fi

# Links in a third of the time of others; where all else is there, it is done without.
is_installed lld || missing="$missing lld"

as_root=
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null 2>&1 || { echo "setup: needs root to install:$missing" >&2; exit 1; }
	as_root=sudo
fi
echo "setup: installing$missing"
$as_root apt-get update -q
# shellcheck disable=SC2086 # a list of names
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
