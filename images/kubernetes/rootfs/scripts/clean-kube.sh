#!/usr/bin/env bash
# Takes Kubernetes off the node: kubelet, its pods, their data, certificates, rules and programs; can be run again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf 'clean-kube.sh: %s\n' "$*" >&2; }

if [[ -e /etc/systemd/system/kubelet.service ]]; then
    timeout 60 systemctl --quiet disable kubelet.service || true
    timeout 120 systemctl stop kubelet.service
fi

# The pods, by the runtime's own tool: kubeadm reset needs crictl for that, which this rootfs does not bring.
socket="$(cat /etc/sealerio/cri/socket-path 2>/dev/null || true)"
ctr=/usr/local/bin/ctr
if [[ -n "$socket" && -x "$ctr" ]] && timeout 10 "$ctr" --address "$socket" version >/dev/null 2>&1; then
    for task in $(timeout 30 "$ctr" --address "$socket" -n k8s.io tasks list -q); do
        timeout 30 "$ctr" --address "$socket" -n k8s.io tasks delete --force "$task" >/dev/null 2>&1 || say "could not end $task"
    done
    for container in $(timeout 30 "$ctr" --address "$socket" -n k8s.io containers list -q); do
        timeout 30 "$ctr" --address "$socket" -n k8s.io containers delete "$container" >/dev/null 2>&1 ||
            say "could not remove container $container"
    done
fi

awk '$2 ~ "^/var/lib/kubelet/" { print $2 }' /proc/self/mounts | sort -r | xargs -r -n1 umount -l
rm -rf /etc/kubernetes /var/lib/kubelet /var/lib/etcd /var/lib/cni /etc/cni/net.d
rm -rf /etc/systemd/system/kubelet.service.d /etc/systemd/system/kubelet.service /etc/sysctl.d/90-kubernetes.conf
timeout 60 systemctl daemon-reload

# What the bridge plug-in and kube-proxy left in the kernel.
for link in cni0 kube-bridge; do
    [[ ! -e "/sys/class/net/$link" ]] || ip link delete "$link"
done
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
