#!/usr/bin/env bash
# Makes the node image (a Debian with systemd, by debootstrap) into the cache and imports it where the Docker daemon lacks it.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/testbed.sh"

recipe="$repository/images/node"

# The mirror that this machine itself uses for Debian 12.
debian_mirror() {
    # shellcheck disable=SC2016  # apt fills these names in, not the shell
    apt-get indextargets --format '$(ORIGIN)|$(CODENAME)|$(REPO_URI)' 'Created-By: Packages' |
        sed -n '/^Debian|bookworm|http/{s/.*|//;p;q}'
}

# What a container has no use for, or what would fail there and leave `systemctl is-system-running` degraded.
masked_units=(
    apt-daily-upgrade.timer apt-daily.timer dev-hugepages.mount dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service
    fstrim.timer getty.target kmod-static-nodes.service modprobe@.service ssh.service ssh.socket sys-fs-fuse-connections.mount
    sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount systemd-logind.service
    systemd-modules-load.service systemd-remount-fs.service systemd-udevd.service systemd-update-utmp.service
    tmp.mount
)

make_archive() {
    local mirror root
    new_work_folder
    root="$work_folder/root"
    mirror="${SEALER_DEBIAN_MIRROR:-$(debian_mirror)}"
    [[ -n "$mirror" ]] || die "this machine's apt sources name no http mirror of Debian 12; set SEALER_DEBIAN_MIRROR"
    say "making the node image with debootstrap: 2 to 4 minutes, once"
    log="$testbed_cache/make-node-image.log"
    timeout 1800 debootstrap --variant=minbase --include="$(paste -sd, "$recipe/packages.txt")" \
        bookworm "$root" "$mirror" >"$log" 2>&1 || {
        tail -n 5 "$log" >&2
        die "debootstrap failed, see $log"
    }
    chroot "$root" systemctl mask "${masked_units[@]}" >>"$log" 2>&1
    chroot "$root" systemctl set-default multi-user.target >>"$log" 2>&1
    rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/* "$root"/usr/share/{doc,man,info,locale}/*
    # Keys that every node had would be nobody's: who wants sshd on a node makes its keys, and unmasks it.
    rm -f "$root/etc/hostname" "$root/etc/resolv.conf" "$root/var/lib/dbus/machine-id" "$root"/etc/ssh/ssh_host_*
    # Empty: the entrypoint gives every node its own.
    : >"$root/etc/machine-id"
    tar -C "$root" --sort=name --numeric-owner --xattrs -cf "$work_folder/node.tar" .
    mv "$work_folder/node.tar" "$archive"
    find "$testbed_cache" -maxdepth 1 -name 'node-debian12-*.tar' ! -path "$archive" -delete
}

# The names of the results follow from what goes into them: the packages take minutes, our own files a second.
packages_sum="$({
    declare -f make_archive
    printf '%s\n' "${masked_units[@]}"
    cat "$recipe/packages.txt"
} | sha256sum | cut -c1-12)"
image_sum="$({
    echo "$packages_sum"
    find "$recipe/rootfs" -type f -print0 | sort -z | xargs -0 cat
} | sha256sum | cut -c1-12)"
archive="$testbed_cache/node-debian12-$packages_sum.tar"

if [[ ! -s "$archive" ]]; then
    require_root
    hold_lock node-image
    [[ -s "$archive" ]] || make_archive
fi
[[ "${1:-}" != --archive-only ]] || exit 0

label="io.sealer.node.recipe"
present="$(timeout 60 docker image inspect -f "{{index .Config.Labels \"$label\"}}" "$node_image" 2>/dev/null || true)"
[[ "$present" != "$image_sum" ]] || exit 0
say "importing $node_image"
new_work_folder
cp "$archive" "$work_folder/node.tar"
# Files only: the daemon refuses an archive that names a folder twice.
(cd "$recipe/rootfs" && find . -type f | sort) |
    tar -rf "$work_folder/node.tar" -C "$recipe/rootfs" --owner=0 --group=0 --numeric-owner -T -
timeout 600 docker import -c 'ENTRYPOINT ["/usr/local/sbin/node-entrypoint"]' -c 'ENV container=docker' \
    -c 'VOLUME /var/lib/containerd' -c "LABEL $label=$image_sum" "$work_folder/node.tar" "$node_image" >/dev/null ||
    die "docker import failed; is a Docker daemon running? scripts/start-docker.sh starts one"
