#!/usr/bin/env bash
# Ends containerd with all its containers and removes what containerd.sh installed, images included; can be run again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

socket=/run/containerd/containerd.sock
ctr=/usr/local/bin/ctr

if [[ -x "$ctr" ]] && timeout 10 "$ctr" --address "$socket" version >/dev/null 2>&1; then
    for namespace in $(timeout 30 "$ctr" --address "$socket" namespaces list -q); do
        for task in $(timeout 30 "$ctr" --address "$socket" -n "$namespace" tasks list -q); do
            timeout 30 "$ctr" --address "$socket" -n "$namespace" tasks delete --force "$task" >/dev/null 2>&1 || true
        done
    done
fi
if [[ -e /etc/systemd/system/containerd.service ]]; then
    timeout 60 systemctl --quiet disable containerd.service || true
    timeout 120 systemctl stop containerd.service
    rm -f /etc/systemd/system/containerd.service
    timeout 60 systemctl daemon-reload
fi

# A mount left by a container would turn the removal below into a removal of what is mounted there.
awk '$2 ~ "^/(run|var/lib)/containerd/" { print $2 }' /proc/self/mounts | sort -r | xargs -r -n1 umount -l

for program in cri/bin/*; do
    rm -f "/usr/local/bin/${program##*/}"
done
for plugin in cri/cni/*; do
    rm -f "/opt/cni/bin/${plugin##*/}"
done
rm -rf /etc/containerd /run/containerd /etc/sealerio/cri
# The folder itself may be a volume's mount point.
[[ ! -d /var/lib/containerd ]] || find /var/lib/containerd -mindepth 1 -delete
