#!/usr/bin/env bash
# Unpacks Debian packages into a folder of the cache without installing them, and prints that folder: unpack-packages.sh NAME PACKAGE…
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/testbed.sh"

(($# >= 2)) || die "usage: unpack-packages.sh NAME PACKAGE…"
name="$1"
shift

# The folder's name says which versions are in it, so that an update of the machine's package lists leads to a new one.
list_versions() { timeout 60 apt-cache policy "$@" | sed -n 's/^  Candidate: //p' | grep -v '(none)'; }
knows_all() { [[ "$(list_versions "$@" | wc -l)" == "$#" ]]; }
knows_all "$@" || refresh_package_lists
knows_all "$@" || die "apt does not know each of: $*"
folder="$testbed_cache/$name-$(printf '%s\n' "$@" "$(list_versions "$@")" | sha256sum | cut -c1-12)"

if [[ ! -d "$folder" ]]; then
    hold_lock "$name"
    new_work_folder
    mkdir "$work_folder/download" "$work_folder/result"
    (
        cd "$work_folder/download"
        timeout 600 apt-get -q -o APT::Sandbox::User=root -o Acquire::Retries=3 download "$@" >&2
    ) || die "could not download $*"
    for archive in "$work_folder"/download/*.deb; do
        dpkg-deb -x "$archive" "$work_folder/result"
    done
    rm -rf "$testbed_cache/$name"-????????????
    mv "$work_folder/result" "$folder"
fi
printf '%s\n' "$folder"
