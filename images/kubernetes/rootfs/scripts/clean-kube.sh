#!/usr/bin/env bash
# Takes Kubernetes off the node: kubelet, its pods, their data, certificates, rules and programs; can be run again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf 'clean-kube.sh: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
# A folder that is a mount of its own is emptied, and stays.
remove() {
    local folder
    for folder in "$@"; do
        if mountpoint -q "$folder"; then find "$folder" -mindepth 1 -delete; else rm -rf "$folder"; fi
    done
}

if [[ -e /etc/systemd/system/kubelet.service ]]; then
    timeout 60 systemctl --quiet disable kubelet.service || true
    timeout 120 systemctl stop kubelet.service
fi

# The pods, by the runtime's own tool: kubeadm reset needs crictl for that, which this rootfs does not bring.
socket="$(cat /etc/sealerio/cri/socket-path 2>/dev/null || true)"
ask_runtime() { timeout 30 /usr/local/bin/ctr --address "$socket" -n k8s.io "$@"; }
if [[ -n "$socket" ]] && ask_runtime version >/dev/null 2>&1; then
    end=$((SECONDS + 60))
    # The runtime may be busy with the same container, so one round may not be enough.
    while tasks="$(ask_runtime tasks list -q)" && [[ -n "$tasks" ]]; do
        ((SECONDS < end)) || die "these containers did not end within 60 s: $tasks"
        for task in $tasks; do
            ask_runtime tasks delete --force "$task" >/dev/null 2>&1 || true
        done
    done
    for container in $(ask_runtime containers list -q); do
        ask_runtime containers delete "$container" >/dev/null 2>&1 || say "could not remove container $container"
    done
fi
# The pods' network namespaces, and with them their end of the bridge.
for namespace in /run/netns/cni-*; do
    [[ ! -e "$namespace" ]] || ip netns delete "${namespace##*/}"
done

awk '$2 ~ "^/var/lib/kubelet/" { print $2 }' /proc/self/mounts | sort -r | xargs -r -n1 umount -l
remove /etc/kubernetes /var/lib/kubelet /var/lib/etcd /var/lib/cni
# Emptied only: the container runtime watches this very folder, and would not see another one of its name.
[[ ! -d /etc/cni/net.d ]] || find /etc/cni/net.d -mindepth 1 -delete
rm -rf /etc/systemd/system/kubelet.service.d /etc/systemd/system/kubelet.service /etc/sysctl.d/90-kubernetes.conf
timeout 60 systemctl daemon-reload

# What the bridge plug-in and kube-proxy left in the kernel. It takes the pods' ends away by itself, but some seconds later.
for port in /sys/class/net/cni0/brif/*; do
    [[ ! -e "$port" ]] || ip link delete "${port##*/}" 2>/dev/null || true
done
[[ ! -e /sys/class/net/cni0 ]] || ip link delete cni0
for family in iptables ip6tables; do
    command -v "$family-save" >/dev/null || continue
    rules="$("$family-save" 2>/dev/null)" || continue
    if grep -Eq 'KUBE-|CNI-' <<<"$rules"; then
        grep -Ev 'KUBE-|CNI-' <<<"$rules" | "$family-restore" || say "could not remove the rules of kube-proxy from $family"
    fi
done

for program in bin/*; do
    rm -f "/usr/bin/${program##*/}"
done
