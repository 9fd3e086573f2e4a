#!/bin/sh
# Builds the addon for one target into artifacts/: npm run build:target -- <triple>
#
# zig links, so that every machine can build for every other, and so that a glibc binary needs no newer glibc than
# Node.js 20 itself. What is built for macOS elsewhere nobody has run: it goes to artifacts/unverified/, and is not published.
# The standard library is the toolchain's if it has one for the target (rustup target add <triple>);
# else it is built from the source in Debian's rust-web-src, with the compiler it belongs to.
set -eu

GLIBC=2.28
DEBIAN_SYSROOT=/usr

triple=${1:?usage: npm run build:target -- <triple>}
case $triple in
  x86_64-unknown-linux-gnu | aarch64-unknown-linux-gnu) zig_triple=$triple.$GLIBC ;;
  x86_64-unknown-linux-musl | aarch64-unknown-linux-musl) zig_triple=$triple ;;
  x86_64-apple-darwin | aarch64-apple-darwin) zig_triple=$triple ;;
  *) echo "unknown target: $triple; package.json lists them under napi.targets" >&2 && exit 2 ;;
esac
cd "$(dirname "$0")/.."
output=artifacts
cross=--cross-compile
# No path of the machine that builds.
flags="--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo --remap-path-prefix=$PWD=/echo-node"

case $triple-$(uname) in
  *-apple-darwin-Darwin)
    # Xcode's own linker, for either processor.
    cross=
    export MACOSX_DEPLOYMENT_TARGET=11.0
    ;;
  *-apple-darwin-*)
    output=artifacts/unverified
    # Without the first the dynamic linker would look for libraries that nothing needs. The second replaces strip(1), which
    # rustc runs elsewhere.
    flags="$flags -Clink-arg=-Wl,-dead_strip_dylibs -Clink-arg=-Wl,-s"
    # Otherwise zig would ask for the newest system.
    export MACOSX_DEPLOYMENT_TARGET=11.0 CARGO_PROFILE_RELEASE_STRIP=none
    ;;
esac

if [ -n "$cross" ] && ! command -v cargo-zigbuild >/dev/null; then
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
  flags="$flags --remap-path-prefix=$DEBIAN_SYSROOT/lib/rustlib/src/rust=/rust"
  case $triple in
    # Otherwise everything of a standard library that is built here is exported.
    *-apple-darwin) flags="$flags -Zdefault-visibility=hidden" ;;
  esac
fi
export PATH RUSTFLAGS="$flags"

npx napi build --platform --release ${cross:+"$cross"} --target "$zig_triple" --manifest-path crate/Cargo.toml \
  --target-dir "${CARGO_TARGET_DIR:-target}/cross" --output-dir "$output" --no-js --dts index.d.cts
