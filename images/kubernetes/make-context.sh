#!/usr/bin/env bash
# Assembles the build context of the Kubernetes base image in folder $1: this recipe's files and the programs from the cache.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/testbed.sh"

(($# == 1)) || die "usage: make-context.sh FOLDER"
recipe="$repository/images/kubernetes"
target="$1"
[[ ! -e "$target" || -e "$target/Kubefile" ]] || die "$target is there and is no build context; name another folder"

"$repository/scripts/build-kubernetes.sh"
"$repository/scripts/fetch-helm.sh"
runtime="$("$repository/scripts/unpack-packages.sh" node-runtime containerd runc containernetworking-plugins)"

mkdir -p "$(dirname "$target")"
context="$(mktemp -d "$target.XXXXXXXX")"
trap 'rm -rf "$context"' EXIT
chmod 755 "$context"

cp "$recipe/Kubefile" "$context/"
cp -r "$recipe/rootfs/." "$context/"
mkdir -p "$context"/{bin,cri/bin,cri/cni}

# Links instead of copies where the cache is on the same file system: nothing writes into either.
place() { cp --dereference --link "$@" 2>/dev/null || cp --dereference "$@"; }
for program in kubeadm kubectl kubelet; do
    place "$kubernetes_binaries/$program" "$context/bin/"
done
place "$helm_binary" "$context/bin/"
for program in bin/containerd bin/containerd-shim-runc-v2 bin/ctr sbin/runc; do
    place "$runtime/usr/$program" "$context/cri/bin/"
done
# The plug-ins that pod networks build on.
for plugin in bandwidth bridge firewall host-local loopback portmap ptp tuning; do
    place "$runtime/usr/lib/cni/$plugin" "$context/cri/cni/"
done

rm -rf "$target"
mv "$context" "$target"
say "the build context is in $target"
