#!/bin/sh
# Renews the vendored schema from a codex binary: schema/renew.sh [codex]
set -eu
codex=${1:-codex}
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
bundle=codex_app_server_protocol.schemas.json

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
echo "schema of codex $(cat "$here/VERSION"); now run the tests, and read target/*/build/cas-sdk-*/out/codegen.log"
