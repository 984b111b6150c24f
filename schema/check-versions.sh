#!/bin/sh
# Builds the crate against the schemas of other codex versions, and runs its unit tests, the corpus of messages and the
# checks of the inventory on each.
#   schema/check-versions.sh 0.150.0 0.160.0 latest
# Fetches each through npm into a temporary directory, and deletes it again. Goes through all of them, and ends with a line
# for each and with a failure if one failed. `CAS_CHECK=check` only compiles.
set -eu
cd "$(dirname -- "$0")/.."
[ $# -gt 0 ] || set -- 0.150.0 0.155.0 0.160.0 0.165.0 0.168.0 0.169.0 0.171.0
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM
check() {
    if [ "${CAS_CHECK:-test}" = check ]; then
        CAS_CODEX=$1 cargo check --quiet --features cli,testing
    else
        CAS_CODEX=$1 cargo test --quiet --lib --test corpus --test inventory
    fi
}
report=
failed=0
for version in "$@"; do
    echo "== codex $version"
    if npm install --silent --no-audit --no-fund --prefix "$tmp/$version" "@openai/codex@$version" >/dev/null; then
        codex=$(find "$tmp/$version/node_modules/@openai" -type f -name codex -perm -u+x | head -n 1)
    else
        codex=
    fi
    if [ -z "$codex" ]; then
        result="no codex for this machine in @openai/codex@$version"
        failed=1
    elif check "$codex" >"$tmp/log" 2>&1; then
        result="good; $(grep -c '^warning: cas-sdk' "$tmp/log" || true) warnings of the schema"
    else
        result=FAILED
        failed=1
    fi
    grep -v '^$' "$tmp/log" 2>/dev/null || true
    report="$report$version: $result
"
    rm -rf "${tmp:?}/$version"
done
printf '== summary\n%s' "$report"
exit $failed
