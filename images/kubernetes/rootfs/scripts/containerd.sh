#!/usr/bin/env bash
# Installs containerd, runc and the CNI plug-ins of this rootfs on the node and starts containerd; can be run again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

socket=/run/containerd/containerd.sock

say() { printf 'containerd.sh: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

[[ "${ContainerRuntime:-containerd}" == containerd ]] || die "this rootfs brings containerd, not $ContainerRuntime"

# install_changed MODE FILE TARGET: writes TARGET only when it differs; fails unless it then is FILE.
changed=false
install_changed() {
    cmp -s "$2" "$3" && return
    install -D -m "$1" "$2" "$3"
    changed=true
}

# Bit 24 of the bounding set is CAP_SYS_RESOURCE, without which no process can lower an OOM score.
capabilities="$(awk '$1 == "CapBnd:" { print $2 }' /proc/self/status)"
if ((0x$capabilities >> 24 & 1)); then restrict=false; else restrict=true; fi

filled="$(mktemp)"
trap 'rm -f "$filled"' EXIT
sed "s/@restrict_oom_score_adj@/$restrict/" etc/containerd.toml >"$filled"

for program in cri/bin/*; do
    install_changed 755 "$program" "/usr/local/bin/${program##*/}"
done
for plugin in cri/cni/*; do
    install_changed 755 "$plugin" "/opt/cni/bin/${plugin##*/}"
done
install_changed 644 "$filled" /etc/containerd/config.toml
install_changed 644 etc/containerd.service /etc/systemd/system/containerd.service
mkdir -p /etc/containerd/certs.d /etc/cni/net.d

if ! command -v modprobe >/dev/null || ! modprobe -q overlay; then
    grep -qw overlay /proc/filesystems || die "this kernel has no overlay file system, which containerd needs"
fi

timeout 60 systemctl daemon-reload
timeout 60 systemctl --quiet enable containerd.service
if $changed; then action=restart; else action=start; fi
timeout 120 systemctl "$action" containerd.service || {
    journalctl --no-pager -n 20 -u containerd.service >&2 || true
    die "containerd did not start; its last messages are above"
}

end=$((SECONDS + 60))
until timeout 10 /usr/local/bin/ctr --address "$socket" version >/dev/null 2>&1; do
    ((SECONDS < end)) || die "containerd did not answer on $socket within 60 s"
    sleep 0.2
done

mkdir -p /etc/sealerio/cri
printf '%s\n' "$socket" >/etc/sealerio/cri/socket-path
