#!/bin/sh
# Builds the addon for one target into artifacts/: npm run build:target -- <triple>
#
# zig links, so that every machine can build for every other, and so that a glibc binary needs no newer glibc than
# Node.js 20 itself. The standard library is the toolchain's if it has one for the target (rustup target add <triple>);
# else it is built from the source in Debian's rust-web-src, with the compiler it belongs to.
set -eu

GLIBC=2.28
DEBIAN_SYSROOT=/usr

triple=${1:?usage: npm run build:target -- <triple>}
case $triple in
  x86_64-unknown-linux-gnu | aarch64-unknown-linux-gnu) zig_triple=$triple.$GLIBC ;;
  x86_64-unknown-linux-musl | aarch64-unknown-linux-musl) zig_triple=$triple ;;
  *) echo "unknown target: $triple; package.json lists them under napi.targets" >&2 && exit 2 ;;
esac
cd "$(dirname "$0")/.."

if ! command -v cargo-zigbuild >/dev/null; then
  tools=$PWD/target/cross-tools
  [ -x "$tools/bin/cargo-zigbuild" ] || {
    python3 -m venv "$tools"
    "$tools/bin/pip" install --quiet --requirement scripts/build-target.txt
  }
  PATH=$tools/bin:$PATH
fi

if ! [ -d "$(rustc --print target-libdir --target "$triple")" ]; then
  if ! [ -d "$DEBIAN_SYSROOT/lib/rustlib/src/rust/library" ]; then
    echo "no standard library for $triple: 'rustup target add $triple', or on Debian 'apt-get install cargo-web rust-web-src'" >&2
    exit 1
  fi
  PATH=${tools:+$tools/bin:}$DEBIAN_SYSROOT/bin:$PATH
  # Building the standard library is not stable yet; this lets a stable compiler do it.
  export RUSTC_BOOTSTRAP=1 CARGO_UNSTABLE_BUILD_STD=std,panic_abort
fi
export PATH

npx napi build --platform --release --cross-compile --target "$zig_triple" --manifest-path crate/Cargo.toml \
  --target-dir "${CARGO_TARGET_DIR:-target}/cross" --output-dir artifacts --no-js --dts index.d.cts
