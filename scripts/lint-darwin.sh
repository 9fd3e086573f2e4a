#!/bin/sh
# Checks the engine for macOS with clippy, on Debian with cargo-web, rust-web-src and rust-web-clippy: npm run lint:darwin
#
# Only the part for the other system is new to it, but a type or a name that does not fit shows nowhere else.
set -eu

cd "$(dirname "$0")/.."
# Building the standard library is not stable yet; this lets a stable compiler do it.
export RUSTC_BOOTSTRAP=1 CARGO_UNSTABLE_BUILD_STD=std,panic_abort
# The toolchain of Debian, whose standard library's source is there.
export PATH="/usr/bin:$PATH"
exec cargo clippy --package echo-node --all-targets --target aarch64-apple-darwin \
  --target-dir "${CARGO_TARGET_DIR:-target}/cross" -- -D warnings
