#!/usr/bin/env bash
# Installs the Debian packages that building and testing need, or those named as arguments; starts no service.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/testbed.sh"

packages=("$@")
if ((${#packages[@]} == 0)); then
    packages=(
        gcc libc6-dev libcrypt-dev libyaml-dev zlib1g-dev libdeflate-dev libzstd-dev
        binutils buildah busybox-static ca-certificates conntrack curl debootstrap ethtool iproute2 iptables jq kmod
        openssl podman procps python3 python3-pip shellcheck skopeo unzip xz-utils
    )
    command -v dockerd >/dev/null || packages+=(docker.io)
    command -v docker >/dev/null || packages+=(docker.io)
    # Comes with Debian's docker.io; somebody else's docker may have brought none.
    { command -v containerd && command -v ctr; } >/dev/null || packages+=(containerd)
fi

is_installed() { [[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" == installed ]]; }

missing=()
for package in "${packages[@]}"; do
    is_installed "$package" || missing+=("$package")
done
((${#missing[@]} > 0)) || exit 0

require_root
hold_lock packages
say "installing ${missing[*]}"

# Debian starts a service as soon as its package is there, unless this program forbids it.
policy=/usr/sbin/policy-rc.d
if [[ ! -e "$policy" ]]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

export DEBIAN_FRONTEND=noninteractive
options=(-q -y --no-install-recommends -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3)
log="$testbed_cache/install-packages.log"
if ! timeout 1800 apt-get "${options[@]}" install "${missing[@]}" >"$log" 2>&1; then
    # The list of packages may be old or absent on a new machine: fetch it and try once more.
    refresh_package_lists 2>>"$log"
    timeout 1800 apt-get "${options[@]}" install "${missing[@]}" >>"$log" 2>&1 || {
        tail -n 5 "$log" >&2
        die "apt-get install failed, see $log"
    }
fi

# Where systemd runs, a service of a package just installed must not come up at the next boot either.
if [[ -d /run/systemd/system ]]; then
    for package in "${missing[@]}"; do
        dpkg -L "$package" | sed -n 's|^/lib/systemd/system/\([^/@]*\.\(service\|socket\)\)$|\1|p' |
            xargs -r systemctl disable --now >>"$log" 2>&1 || say "could not disable the services of $package, see $log"
    done
fi
