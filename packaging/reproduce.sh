#!/bin/sh
# Builds the package of the last commit twice, in two folders, with other settings of the session each, and compares the two byte
# for byte. Half an hour; what it leaves is one of the two packages. docs/operating.md (From source) says what it is good for.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# build NAME UMASK ZONE LANGUAGE
build() (
    umask "$2"
    export TZ="$3" LC_ALL="$4"
    unset CARGO_TARGET_DIR
    make --no-print-directory -C "$folder/$1" deb TOOLS="$root/target/tools"
)

# Both before the first is built, which takes a while: a commit meanwhile would be in one of them alone.
for name in a another-name/below; do git clone --quiet "$root" "$folder/$name"; done
make --no-print-directory tools
build a 022 UTC C
build another-name/below 027 Asia/Kathmandu C.UTF-8

one=$(echo "$folder"/a/target/debian/*.deb)
other=$(echo "$folder"/another-name/below/target/debian/*.deb)
sha256sum "$one" "$other"
mkdir -p target/reproduce
cp "$one" target/reproduce/
if ! cmp "$one" "$other"; then
    cp "$other" target/reproduce/other.deb
    echo "the two differ; both are in target/reproduce: diffoscope shows where" >&2
    exit 1
fi
echo "the same bytes from both folders: target/reproduce/$(basename "$one")"
