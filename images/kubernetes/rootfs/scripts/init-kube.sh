#!/usr/bin/env bash
# Installs kubeadm, kubelet, kubectl and helm of this rootfs with kubelet's service, and sets the kernel up; can be run again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf 'init-kube.sh: %s\n' "$*" >&2; }

install_changed() { cmp -s "$2" "$3" || install -D -m "$1" "$2" "$3"; }

for program in bin/*; do
    install_changed 755 "$program" "/usr/bin/${program##*/}"
done
install_changed 644 etc/kubelet.service /etc/systemd/system/kubelet.service
install_changed 644 etc/10-kubeadm.conf /etc/systemd/system/kubelet.service.d/10-kubeadm.conf
install_changed 644 etc/sysctl.conf /etc/sysctl.d/90-kubernetes.conf
mkdir -p /etc/kubernetes/manifests /var/lib/kubelet

# The kernel may have it built in, or the node may be a container that must not load modules: the settings below tell.
if command -v modprobe >/dev/null; then
    modprobe -q br_netfilter || true
fi
while read -r name _ value; do
    file="/proc/sys/${name//./\/}"
    if [[ ! -e "$file" ]]; then
        say "the kernel has no $name: pods on this node may not reach Services"
    elif [[ "$(<"$file")" != "$value" ]]; then
        printf '%s' "$value" >"$file" || say "could not set $name to $value"
    fi
done < <(grep -v '^#' etc/sysctl.conf)

if [[ "$(wc -l </proc/swaps)" -gt 1 ]]; then
    say "this node has swap: memory limits of pods are not kept while it is on; 'swapoff -a' turns it off"
fi

timeout 60 systemctl daemon-reload
timeout 60 systemctl --quiet enable kubelet.service
