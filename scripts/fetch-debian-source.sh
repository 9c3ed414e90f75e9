#!/usr/bin/env bash
# Downloads the source package $1 of Debian into folder $2, from the mirrors that this machine's own apt sources name.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/testbed.sh"

(($# == 2)) || die "usage: fetch-debian-source.sh PACKAGE FOLDER"
package="$1"
folder="$(realpath "$2")"

# Machines rarely list deb-src. A private list with the same places, for Debian's own entries only, leaves theirs alone.
apt_folder="$(mktemp -d)"
trap 'rm -rf "$apt_folder"' EXIT
chmod 755 "$apt_folder"
mkdir -p "$apt_folder/lists/partial"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
# shellcheck disable=SC2016  # apt fills these names in, not the shell
format='$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)'
list_sources() { apt-get indextargets --format "$format" 'Created-By: Packages' | sort -u | grep '^Debian|'; }
if ! list_sources >/dev/null; then
    require_root
    refresh_package_lists
fi
list_sources | while IFS='|' read -r _ place release component; do
    printf 'deb-src [signed-by=%s] %s %s %s\n' "$keyring" "$place" "$release" "$component"
done >"$apt_folder/sources.list"
[[ -s "$apt_folder/sources.list" ]] || die "this machine's apt sources name no Debian mirror"

options=(
    -q -o "Dir::Etc::SourceList=$apt_folder/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o "Dir::State::Lists=$apt_folder/lists" -o "Dir::Cache::pkgcache=" -o "Dir::Cache::srcpkgcache="
    -o Acquire::Retries=3 -o APT::Sandbox::User=root
)
timeout 600 apt-get "${options[@]}" update >&2 || die "could not fetch Debian's list of source packages"
cd "$folder"
timeout 1800 apt-get "${options[@]}" source --only-source --download-only "$package" >&2 ||
    die "could not download the source package $package"
