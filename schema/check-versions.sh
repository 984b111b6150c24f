#!/bin/sh
# Builds the crate against the schema of other codex versions, and runs its unit tests, the corpus of messages and the
# checks of the inventory on it.
#   schema/check-versions.sh 0.150.0 0.160.0 0.165.0
# Fetches each through npm into a temporary directory, and deletes it again.
set -eu
cd "$(dirname -- "$0")/.."
[ $# -gt 0 ] || set -- 0.150.0 0.160.0 0.165.0
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
for version in "$@"; do
    npm install --silent --no-audit --no-fund --prefix "$tmp/$version" "@openai/codex@$version" >/dev/null
    codex=$(find "$tmp/$version/node_modules/@openai" -type f -name codex -perm -u+x | head -n 1)
    [ -n "$codex" ] || { echo "no codex binary in @openai/codex@$version for this machine" >&2; exit 1; }
    echo "== codex $version"
    CAS_CODEX=$codex cargo test --quiet --lib --test corpus --test inventory
    rm -rf "${tmp:?}/$version"
done
