#!/usr/bin/env bash
# Installs what the tests need beside Rust, gcc, make and git: nothing, and without a word, when it is all there.
# Debian and its kin; as root, or through sudo. CI, the Makefile and people may run it as often as they like.
set -euo pipefail

missing=()
command -v systemd-analyze >/dev/null || missing+=(systemd) # tests/systemd.rs checks the units
command -v radicale >/dev/null || missing+=(radicale)       # tests/carddav.rs starts contact servers; Debian 12 has 3.1.8
command -v promtool >/dev/null || missing+=(prometheus)     # tests/monitoring.rs has it scrape and alert; Debian 12 has 2.42
/usr/bin/python3 -c 'import jsonschema' 2>/dev/null || missing+=(python3-jsonschema) # tests/schema.rs is an editor; the system's python, whichever comes first
# tests/package.rs: what Debian asks of a package, a Debian to install it in, and the container it runs in
command -v lintian >/dev/null || missing+=(lintian)
command -v mmdebstrap >/dev/null || missing+=(mmdebstrap)
command -v systemd-nspawn >/dev/null || missing+=(systemd-container)

as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)

if [ ${#missing[@]} -gt 0 ]; then
    if ! command -v apt-get >/dev/null; then
        echo "tests/setup.sh: please install ${missing[*]}: this is not a Debian system" >&2
        exit 1
    fi
    echo "tests/setup.sh: installing ${missing[*]}" >&2
    export DEBIAN_FRONTEND=noninteractive
    if [[ " ${missing[*]} " == *" prometheus "* ]]; then
        # The program is wanted, not a service that listens from now on (`systemctl unmask prometheus` is the way back).
        "${as_root[@]}" mkdir -p /etc/systemd/system
        "${as_root[@]}" ln -sf /dev/null /etc/systemd/system/prometheus.service
    fi
    "${as_root[@]}" apt-get update -qq </dev/null >/dev/null
    "${as_root[@]}" apt-get install -qq -y --no-install-recommends "${missing[@]}" </dev/null >/dev/null
fi

# The Debian that packages are installed in, and beside it (the one waits for the network, the other computes) cargo-deb.
cd "$(dirname "$0")/.."
debian=target/tools/bookworm.tar
if [ ! -e "$debian" ]; then
    echo "tests/setup.sh: making $debian" >&2
    mkdir -p target/tools
    "${as_root[@]}" mmdebstrap --quiet --variant=minbase --include=systemd,systemd-sysv,ca-certificates,curl,man-db,procps,sudo \
        --format=tar bookworm - </dev/null >"$debian.partial" &
    debian_made=$!
fi
[ -e target/tools/bin/cargo-deb ] || {
    echo "tests/setup.sh: building cargo-deb" >&2
    make --no-print-directory --silent target/tools/bin/cargo-deb </dev/null 2>target/tools/cargo-deb.log ||
        { cat target/tools/cargo-deb.log >&2; exit 1; }
}
if [ -n "${debian_made:-}" ]; then
    wait "$debian_made"
    mv "$debian.partial" "$debian"
fi
