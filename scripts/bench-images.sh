#!/usr/bin/env bash
# Times the image commands beside the tools that Debian has, $1 rounds each (3), and prints medians and ratios.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/testbed.sh"

rounds="${1:-3}"
[[ "$rounds" =~ ^[1-9][0-9]*$ ]] || die "usage: bench-images.sh [ROUNDS]"
sealer="$repository/.build/sealer"

require_root
"$repository/scripts/install-packages.sh" buildah podman skopeo umoci zstd time curl
[[ -x "$sealer" ]] || "$repository/scripts/build-sealer.sh"
exports="$("$repository/scripts/prepare-testbed.sh")"
eval "$exports"
"$repository/images/kubernetes/make-context.sh" "$testbed_cache/kubernetes-context" >/dev/null
new_work_folder
work="$work_folder"
export SEALER_ROOT="$work/sealer" TMPDIR="$work/tmp"
mkdir -p "$TMPDIR" "$work/context/rootfs"

# Peers with folders of their own: nothing is in their caches, nothing stays.
for peer in buildah podman load; do
    cat >"$work/$peer.conf" <<CONFIG
[storage]
driver = "overlay"
graphroot = "$work/$peer"
runroot = "$work/$peer-run"
CONFIG
done
printf '{"default": [{"type": "insecureAcceptAnything"}]}\n' >"$work/policy.json"

# A registry for everybody to push to and pull from, with data of its own.
registry="127.0.0.1:5992"
cat >"$work/registry.yml" <<CONFIG
version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: "$work/registry"}}
http: {addr: "$registry"}
CONFIG
registry_program="$("$repository/scripts/unpack-packages.sh" docker-registry docker-registry)/usr/bin/docker-registry"
registry_process=
trap 'kill $registry_process 2>/dev/null; rm -rf --one-file-system "${work_folders[@]}"' EXIT
# An empty one: what somebody else has pushed would be mounted instead of sent.
fresh_registry() {
    if [[ -n "$registry_process" ]]; then
        kill "$registry_process"
        wait "$registry_process" || true
    fi
    rm -rf "$work/registry"
    "$registry_program" serve "$work/registry.yml" >"$work/registry.log" 2>&1 &
    registry_process=$!
    wait_until 20 "the registry to answer" curl -fsS "http://$registry/v2/"
    settle
}
printf '[[registry]]\nlocation = "%s"\ninsecure = true\n' "$registry" >"$work/registries.conf"
export CONTAINERS_REGISTRIES_CONF="$work/registries.conf"

# About 500 MB of real binaries.
cp "$kubernetes_binaries"/{kubelet,kubeadm,kubectl,kube-apiserver,kube-controller-manager,kube-scheduler,kube-proxy} "$work/context/rootfs/"
printf 'FROM scratch\nCOPY rootfs .\n' >"$work/context/Kubefile"
cp "$work/context/Kubefile" "$work/context/Dockerfile"
bytes="$(du -sb "$work/context/rootfs" | cut -f1)"
say "the rootfs has $((bytes / 1000000)) MB"

# timed WORK/TOOL COMMAND…; `peer TOOL …` runs the tool with its own folders: appends the seconds that it took to times/NAME, and its peak memory (KiB) to memory/NAME.
mkdir -p "$work/times" "$work/memory"
timed() {
    local name="$1" begin end
    shift
    mkdir -p "$work/times/${name%/*}" "$work/memory/${name%/*}"
    [[ "$1" != peer ]] || set -- env CONTAINERS_STORAGE_CONF="$work/$2.conf" "${@:2}"
    begin="$EPOCHREALTIME"
    /usr/bin/env time -f %M -o "$work/peak" "$@" >"$work/output" 2>&1 || {
        tail -n 5 "$work/output" >&2
        die "$name failed: $*"
    }
    end="$EPOCHREALTIME"
    awk -v a="$begin" -v b="$end" 'BEGIN { printf "%.2f\n", b - a }' >>"$work/times/$name"
    tail -n 1 "$work/peak" >>"$work/memory/$name"
}
peer() { CONTAINERS_STORAGE_CONF="$work/$1.conf" "$@"; }
median() { sort -n "$1" | awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'; }

# settle: what an earlier command left to be written must not slow the next one.
settle() { sync; }

# The same work with each tool, in turn, so that a slow moment of the machine hits all of them alike.
build_all() {
    local flag
    for flag in cold warm; do
        settle
        timed "build-$flag/sealer" "$sealer" build --progress none -t bench:1 "$work/context"
        settle
        timed "build-$flag/buildah" peer buildah --signature-policy "$work/policy.json" bud --layers -q -t bench:1 "$work/context"
        settle
        timed "build-$flag/podman" peer podman build --signature-policy "$work/policy.json" --layers -q -t bench:1 "$work/context"
        settle
        timed "build-$flag/docker" docker build -q -t bench:1 "$work/context"
    done
}

save_and_load() {
    settle
    timed save/sealer "$sealer" save --progress none -o "$work/sealer.tar" bench:1
    settle
    timed save/podman peer podman save -q --format oci-archive -o "$work/podman.tar" localhost/bench:1
    settle
    timed save/skopeo skopeo --policy "$work/policy.json" copy -q "oci:$SEALER_ROOT/store:docker.io/library/bench:1" "oci-archive:$work/skopeo.tar:bench:1"
    settle
    timed load/sealer env SEALER_ROOT="$work/sealer-load" "$sealer" load --progress none "$work/sealer.tar"
    settle
    timed load/podman env CONTAINERS_STORAGE_CONF="$work/load.conf" podman load --signature-policy "$work/policy.json" -q -i "$work/podman.tar"
    settle
    timed load/skopeo skopeo --policy "$work/policy.json" copy -q "oci-archive:$work/skopeo.tar:bench:1" "dir:$work/skopeo-dir"
    rm -rf "$work/sealer-load" "$work/skopeo-dir" "$work"/*.tar
    CONTAINERS_STORAGE_CONF="$work/load.conf" podman rmi -fa >/dev/null 2>&1 || true
}

# Over loopback, with docker-registry at the other end for everybody.
push_and_pull() {
    fresh_registry
    timed push/skopeo skopeo --policy "$work/policy.json" copy -q --all --dest-tls-verify=false "oci:$SEALER_ROOT/store:docker.io/library/bench:1" "docker://$registry/bench/skopeo:1"
    fresh_registry
    timed push/podman peer podman push -q --tls-verify=false localhost/bench:1 "$registry/bench/podman:1"
    timed pull/podman env CONTAINERS_STORAGE_CONF="$work/load.conf" podman pull --signature-policy "$work/policy.json" -q --tls-verify=false "$registry/bench/podman:1"
    fresh_registry
    timed push/sealer "$sealer" push --progress none bench:1 "$registry/bench/sealer:1"
    settle
    timed pull/sealer env SEALER_ROOT="$work/sealer-pull" "$sealer" pull --progress none "$registry/bench/sealer:1"
    settle
    timed pull/skopeo skopeo --policy "$work/policy.json" copy -q --all --src-tls-verify=false "docker://$registry/bench/sealer:1" "oci:$work/skopeo-oci:bench:1"
    rm -rf "$work/sealer-pull" "$work/skopeo-oci"
    CONTAINERS_STORAGE_CONF="$work/load.conf" podman rmi -fa >/dev/null 2>&1 || true
}

unpack_all() {
    local layer
    layer="$(find "$SEALER_ROOT/store/blobs/sha256" -size +10M | head -n 1)"
    settle
    timed unpack/sealer "$sealer" mount --progress none --plain bench:1 "$work/tree-sealer"
    "$sealer" umount "$work/tree-sealer" >/dev/null
    mkdir "$work/tree-tar"
    settle
    timed unpack/tar tar --zstd -xf "$layer" -C "$work/tree-tar"
    skopeo --policy "$work/policy.json" copy -q "oci:$SEALER_ROOT/store:docker.io/library/bench:1" "oci:$work/umoci:bench" --dest-compress-format gzip
    settle
    timed unpack/umoci umoci unpack --image "$work/umoci:bench" "$work/tree-umoci"
    rm -rf "$work"/tree-* "$work/umoci"
}

# 16 clients, each a blob of 460 MB or so, from both registries over plain http.
serve_all() {
    local server port digest url
    digest="$(find "$SEALER_ROOT/store/blobs/sha256" -size +10M -printf '%f\n' | head -n 1)"
    port=5991
    "$sealer" registry serve --listen "127.0.0.1:$port" >"$work/serve.log" 2>&1 &
    server=$!
    wait_until 20 "the registry to answer" curl -fsS "http://127.0.0.1:$port/healthz"
    for url in "sealer http://127.0.0.1:$port/v2/library/bench" "docker-registry http://$registry/v2/bench/sealer"; do
        settle
        # shellcheck disable=SC2016  # the inner shell expands it
        timed "serve/${url%% *}" bash -c 'for _ in {1..16}; do curl -fsS -o /dev/null "$1/blobs/sha256:$2" & done; wait' serve "${url#* }" "$digest"
    done
    grep VmHWM "/proc/$server/status" | awk '{ print $2 }' >>"$work/memory/serve-process-sealer"
    grep VmHWM "/proc/$registry_process/status" | awk '{ print $2 }' >>"$work/memory/serve-process-docker-registry"
    kill "$server"
    wait "$server" || true
}

clean_all() {
    "$sealer" rmi bench:1 >/dev/null
    rm -rf "$SEALER_ROOT/cache"
    peer buildah rmi -fa >/dev/null 2>&1 || true
    peer podman rmi -fa >/dev/null 2>&1 || true
    docker rmi -f bench:1 >/dev/null 2>&1 || true
}

for ((round = 1; round <= rounds; round++)); do
    say "round $round of $rounds"
    build_all
    save_and_load
    push_and_pull
    unpack_all
    serve_all
    clean_all
done

printf '\n%-14s %-16s %9s %9s %9s\n' WORK TOOL SECONDS RATIO "PEAK MB"
for folder in "$work"/times/*/; do
    job="$(basename "$folder")"
    ours="$(median "$folder/sealer")"
    for file in "$folder"*; do
        tool="${file##*/}"
        awk -v job="$job" -v tool="$tool" -v s="$(median "$file")" -v ours="$ours" -v kib="$(median "$work/memory/$job/$tool")" \
            'BEGIN { printf "%-14s %-16s %9.2f %9.2f %9.0f\n", job, tool, s, s / ours, kib / 1024 }'
    done
done
for tool in sealer docker-registry; do
    printf 'peak memory of the serving %s: %s MB\n' "$tool" "$(($(median "$work/memory/serve-process-$tool") / 1024))"
done
