#!/usr/bin/env bash
# Installs what the tests need beside Rust, gcc, make and git: nothing, and without a word, when it is all there.
# Debian and its kin; as root, or through sudo. CI, the Makefile and people may run it as often as they like.
set -euo pipefail

missing=()
command -v systemd-analyze >/dev/null || missing+=(systemd) # tests/systemd.rs checks the units
command -v radicale >/dev/null || missing+=(radicale)       # tests/carddav.rs starts contact servers; Debian 12 has 3.1.8
python3 -c 'import jsonschema' 2>/dev/null || missing+=(python3-jsonschema) # tests/schema.rs is an editor

[ ${#missing[@]} -gt 0 ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "tests/setup.sh: please install ${missing[*]}: this is not a Debian system" >&2
    exit 1
fi
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
echo "tests/setup.sh: installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq </dev/null >/dev/null
"${as_root[@]}" apt-get install -qq -y --no-install-recommends "${missing[@]}" </dev/null >/dev/null
