#!/usr/bin/env bash
# Windows and macOS from a Linux machine: what compiles, and what runs under Wine.
#
#   .ci/windows.sh          everything
#   .ci/windows.sh check    only what compiles
#
# `check` takes rustup's standard libraries for the targets if they are installed. Else it builds them from Debian's packages
# of Rust and its sources, which also bring what Wine needs. Where neither can be had, the script says so and ends well.
# docs/platforms.md says what this shows and what it can't.
set -euo pipefail
cd "$(dirname "$0")/.."

mode=${1:-all}
windows=x86_64-pc-windows-gnu
macos=aarch64-apple-darwin
sources=/usr/lib/rustlib/src/rust/library
wine=/usr/lib/wine/wine64

step() { printf '\n=== %s (%s s)\n' "$*" "$SECONDS"; }
skip() {
  printf '\n*** NOTHING WAS CHECKED FOR WINDOWS AND MACOS: %s ***\n\n' "$1"
  exit 0
}

# Installs what is missing of Debian's packages.
install() {
  command -v apt-get >/dev/null || skip "there is no apt-get to install $*"
  [ "$(id -u)" = 0 ] || skip "only root can install $*"
  { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"; } >/dev/null 2>&1 ||
    skip "these packages can't be installed: $*"
}

has_target() { [ -d "$(rustc --print target-libdir --target "$1" 2>/dev/null)" ]; }

if [ "$mode" = check ] && has_target $windows && has_target $macos; then
  cargo=(cargo)
  std=()
else
  [ -d $sources ] && [ -x /usr/bin/cargo ] || install rustc-web cargo-web rust-web-src
  if [ "$mode" != check ]; then
    command -v x86_64-w64-mingw32-gcc >/dev/null && [ -x $wine ] || install gcc-mingw-w64-x86-64 wine wine64
  fi
  export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1
  cargo=(/usr/bin/cargo)
  std=(-Zbuild-std=std,panic_abort)
fi
export CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_TEST_DEBUG=0
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/cross # Another compiler, so apart from what is there.

if [ "$mode" = check ]; then
  # Nothing is linked, so the C of SQLite and ring need not be compiled: no compiler for it is needed either.
  work=$(mktemp -d)
  trap 'rm -r "$work"' EXIT
  cat >"$work/cc" <<'STUB'
#!/bin/sh
for arg; do
  case $arg in *.a) : >"$arg" ;; esac
  [ "${before-}" != -o ] || : >"$arg"
  before=$arg
done
STUB
  chmod +x "$work/cc"
  for target in ${windows//-/_} ${macos//-/_}; do
    export "CC_$target=$work/cc" "AR_$target=$work/cc"
  done
  for target in $windows $macos; do
    step "$target: the library and cas compile"
    "${cargo[@]}" check "${std[@]}" --target $target --lib --bins --all-features
  done
  step "done"
  exit
fi

export WINEPREFIX=${WINEPREFIX:-${XDG_CACHE_HOME:-$HOME/.cache}/cas-sdk/wine} WINEDEBUG=-all
export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER=$wine
step "Wine: a prefix"
prng=$WINEPREFIX/drive_c/windows/system32/bcryptprimitives.dll
if ! [ -e "$prng" ]; then
  mkdir -p "$WINEPREFIX"
  $wine wineboot -i >/dev/null 2>&1 || true
  # Debian's Wine lacks the function that Rust's standard library takes random bytes from.
  work=$(mktemp -d)
  cat >"$work/prng.c" <<'C'
#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE bytes, SIZE_T length) { return SystemFunction036(bytes, (ULONG)length); }
C
  x86_64-w64-mingw32-gcc -shared -o "$prng" "$work/prng.c" -ladvapi32
  rm -r "$work"
fi
step "Wine: unit tests, the faults over a pipe in memory, processes and the proxy's transcripts"
"${cargo[@]}" test "${std[@]}" --target $windows --all-features --lib --test faults --test platforms
step "done"
