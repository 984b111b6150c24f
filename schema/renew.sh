#!/bin/sh
# Renews the vendored schema from a codex binary: schema/renew.sh [codex]
set -eu
codex=${1:-codex}
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
bundle=codex_app_server_protocol.schemas.json
old=$(cat "$here/VERSION")
mkdir -p "$tmp/history/$old"
cp "$here/$bundle" "$tmp/history/$old/"

"$codex" app-server generate-json-schema --experimental --out "$tmp/all"
"$codex" app-server generate-json-schema --out "$tmp/stable"
cp "$tmp/all/$bundle" "$here/$bundle"
{
    echo '# The methods of the stable schema: what a client may use without `experimentalApi`.'
    for kind in ClientRequest ClientNotification ServerNotification ServerRequest; do
        tr -d '\n ' <"$tmp/stable/$kind.json" | grep -oE '"method":\{"enum":\["[^"]+"\]' | sed 's/.*\["//; s/"\]//'
    done | LC_ALL=C sort -u
} >"$here/stable-methods.txt"
"$codex" --version | grep -oE '[0-9]+\.[0-9]+\.[0-9]+[^ ]*' >"$here/VERSION"
new=$(cat "$here/VERSION")
mkdir -p "$tmp/history/$new"
cp "$here/$bundle" "$tmp/history/$new/"
# What came and went is written down, if the crate builds already; else run this line again when it does.
(cd "$here/.." && CAS_SCHEMAS=$tmp/history cargo test --quiet --lib the_history_is_written -- --ignored >/dev/null) ||
    echo "the history is not written yet: mend the build, take the old schema back (git checkout schema), and renew again" >&2
echo "schema of codex $(cat "$here/VERSION"); now run the tests, and read target/*/build/cas-sdk-*/out/codegen.log"
