#!/usr/bin/env bash
# Times the image commands beside the tools that Debian has, $1 rounds each (3), and prints medians and ratios.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/testbed.sh"

rounds="${1:-3}"
[[ "$rounds" =~ ^[1-9][0-9]*$ ]] || die "usage: bench-images.sh [ROUNDS]"
sealer="$repository/.build/sealer"

require_root
"$repository/scripts/install-packages.sh" buildah podman skopeo umoci wrk zstd jq curl
[[ -x "$sealer" ]] || "$repository/scripts/build-sealer.sh"
exports="$("$repository/scripts/prepare-testbed.sh")"
eval "$exports"
"$repository/images/kubernetes/make-context.sh" "$testbed_cache/kubernetes-context" >/dev/null
new_work_folder
work="$work_folder"
export SEALER_ROOT="$work/sealer" TMPDIR="$work/tmp"
mkdir -p "$TMPDIR" "$work/context/rootfs"

# Peers with folders of their own: nothing is in their caches, nothing stays.
for peer in buildah podman; do
    cat >"$work/$peer.conf" <<CONFIG
[storage]
driver = "overlay"
graphroot = "$work/$peer"
runroot = "$work/$peer-run"
CONFIG
done
buildah_() { CONTAINERS_STORAGE_CONF="$work/buildah.conf" buildah "$@"; }
podman_() { CONTAINERS_STORAGE_CONF="$work/podman.conf" podman "$@"; }
printf '{"default": [{"type": "insecureAcceptAnything"}]}\n' >"$work/policy.json"

# About 500 MB of real binaries.
cp "$kubernetes_binaries"/{kubelet,kubeadm,kubectl,kube-apiserver,kube-controller-manager,kube-scheduler,kube-proxy} "$work/context/rootfs/"
printf 'FROM scratch\nCOPY rootfs .\n' >"$work/context/Kubefile"
cp "$work/context/Kubefile" "$work/context/Dockerfile"
bytes="$(du -sb "$work/context/rootfs" | cut -f1)"
say "the rootfs has $((bytes / 1000000)) MB"

# timed NAME COMMAND…: appends the seconds that it took to times/NAME, and its peak memory (KiB) to memory/NAME.
mkdir -p "$work/times" "$work/memory"
timed() {
    local name="$1" begin end
    shift
    begin="$EPOCHREALTIME"
    /usr/bin/env time -f %M -o "$work/peak" "$@" >"$work/output" 2>&1 || {
        tail -n 5 "$work/output" >&2
        die "$name failed: $*"
    }
    end="$EPOCHREALTIME"
    awk -v a="$begin" -v b="$end" 'BEGIN { printf "%.2f\n", b - a }' >>"$work/times/$name"
    tail -n 1 "$work/peak" >>"$work/memory/$name"
}
median() { sort -n "$1" | awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'; }

# settle: what an earlier command left to be written must not slow the next one.
settle() { sync; }

build_all() {
    local flag
    for flag in cold warm; do
        settle
        timed "build-$flag-sealer" "$sealer" build --progress none -t bench:1 "$work/context"
        settle
        timed "build-$flag-buildah" buildah --signature-policy "$work/policy.json" bud --layers -q -t bench:1 "$work/context"
        settle
        timed "build-$flag-podman" podman build --signature-policy "$work/policy.json" --layers -q -t bench-podman:1 "$work/context"
        settle
        timed "build-$flag-docker" docker build -q -t bench:1 "$work/context"
    done
}

clean_all() {
    "$sealer" rmi bench:1 >/dev/null
    rm -rf "$SEALER_ROOT/cache"
    buildah rmi -fa >/dev/null 2>&1 || true
    podman rmi -fa >/dev/null 2>&1 || true
    docker rmi -f bench:1 >/dev/null 2>&1 || true
    docker builder prune -fa >/dev/null 2>&1 || true
}

for ((round = 1; round <= rounds; round++)); do
    say "round $round of $rounds"
    build_all
    ((round == rounds)) || clean_all
done
for file in "$work"/times/*; do
    printf '%-32s %8s s %8s MB\n' "${file##*/}" "$(median "$file")" "$(($(median "$work/memory/${file##*/}") / 1024))"
done
