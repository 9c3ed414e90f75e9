#!/usr/bin/env bash
# An image of one layer, about 500 MB of real binaries: build, move, unpack; sourced by bench-images.sh.

# shellcheck disable=SC2154  # the script that sources this sets them

prepare_rootfs() {
    local name
    mkdir -p "$work/context/rootfs"
    for name in kubelet kubeadm kubectl kube-apiserver kube-controller-manager kube-scheduler kube-proxy; do
        cp "$kubernetes_binaries/$name" "$work/context/rootfs/"
    done
    printf 'FROM scratch\nCOPY rootfs .\n' | tee "$work/context/Kubefile" >"$work/context/Dockerfile"
    # Two layers, of which the second is one small file.
    printf 'FROM scratch\nCOPY rootfs .\nCOPY note.txt .\n' >"$work/context/two"
    size_of rootfs "$(du -sb "$work/context/rootfs" | cut -f1)"
}

layer_of_rootfs() { find "$SEALER_ROOT/store/blobs/sha256" -size +10M -size -900M -printf '%s %p\n' | sort -n | tail -n 1 | cut -d ' ' -f 2; }

# The same work with each tool, in turn, so that a slow moment of the machine hits all of them alike.
measure_rootfs() {
    build_all
    size_of packed "$(stat -c %s "$(layer_of_rootfs)")"
    save_and_load
    push_and_pull
    push_to_own
    push_again
    unpack_all
    memory_of_the_rest
    "$sealer" rmi bench:1 >/dev/null
    "$sealer" rmi bench:two >/dev/null
    rm -rf "$SEALER_ROOT/cache"
    "$sealer" prune >/dev/null
    empty_peers
    docker rmi -f bench:1 >/dev/null 2>&1 || true
}

empty_peers() {
    local peer
    for peer in buildah podman load; do
        CONTAINERS_STORAGE_CONF="$work/$peer.conf" podman rmi -fa >/dev/null 2>&1 || true
    done
}

build_all() {
    local flag context="$work/context"
    for flag in cold warm; do
        timed "build-$flag/sealer" "$sealer" build --progress none -t bench:1 "$context"
        timed "build-$flag/buildah" peer buildah buildah "${policy[@]}" bud --layers -q -t bench:1 "$context"
        timed "build-$flag/podman" peer podman podman build "${policy[@]}" --layers -q -t bench:1 "$context"
        timed "build-$flag/docker" docker build -q -t bench:1 "$context"
    done
}

save_and_load() {
    local image="oci:$SEALER_ROOT/store:docker.io/library/bench:1"
    timed save/sealer "$sealer" save --progress none -o "$work/sealer.tar" bench:1
    timed save/podman peer podman podman save -q --format oci-archive -o "$work/podman.tar" localhost/bench:1
    timed save/docker docker save -o "$work/docker.tar" bench:1
    timed save/skopeo "${in_shell[@]}" skopeo_copy "$image" "oci-archive:$work/skopeo.tar:bench:1"
    timed load/sealer env SEALER_ROOT="$work/sealer-load" "$sealer" load --progress none "$work/sealer.tar"
    timed load/podman peer load podman load "${policy[@]}" -q -i "$work/podman.tar"
    timed load/skopeo-dir "${in_shell[@]}" skopeo_copy "oci-archive:$work/skopeo.tar:bench:1" "dir:$work/skopeo-dir"
    timed load/skopeo-oci "${in_shell[@]}" skopeo_copy "oci-archive:$work/skopeo.tar:bench:1" "oci:$work/skopeo-oci:bench"
    docker rmi -f bench:1 >/dev/null 2>&1
    timed load/docker docker load -q -i "$work/docker.tar"
    CONTAINERS_STORAGE_CONF="$work/load.conf" podman rmi -fa >/dev/null
    rm -rf "$work/sealer-load" "$work/skopeo-dir" "$work/skopeo-oci" "$work"/*.tar
}

# Over loopback, with docker-registry at the other end for everybody.
push_and_pull() {
    local image="oci:$SEALER_ROOT/store:docker.io/library/bench:1" remote="docker://$registry/bench/sealer:1"
    skopeo_copy "$image" "dir:$work/push-dir"
    fresh_registry
    timed push/skopeo-oci "${in_shell[@]}" skopeo_copy "$image" "docker://$registry/bench/skopeo:1"
    fresh_registry
    timed push/skopeo-dir "${in_shell[@]}" skopeo_copy "dir:$work/push-dir" "docker://$registry/bench/skopeo:1"
    fresh_registry
    timed push/podman peer podman podman push -q --tls-verify=false localhost/bench:1 "$registry/bench/podman:1"
    timed pull/podman peer load podman pull "${policy[@]}" -q --tls-verify=false "$registry/bench/podman:1"
    CONTAINERS_STORAGE_CONF="$work/load.conf" podman rmi -fa >/dev/null
    timed pull/skopeo-storage peer load "${in_shell[@]}" skopeo_copy "docker://$registry/bench/podman:1" containers-storage:localhost/bench:1
    CONTAINERS_STORAGE_CONF="$work/load.conf" podman rmi -fa >/dev/null
    # The least that a registry needs for it: no client can be faster.
    fresh_registry
    timed push/curl-put "$repository/scripts/bench/put-blob.sh" "$registry/v2/bench/curl" "$(layer_of_rootfs)"
    fresh_registry
    timed push/sealer "$sealer" push --progress none bench:1 "$registry/bench/sealer:1"
    timed pull/sealer env SEALER_ROOT="$work/sealer-pull" "$sealer" pull --progress none "$registry/bench/sealer:1"
    timed pull/skopeo-oci "${in_shell[@]}" skopeo_copy "$remote" "oci:$work/skopeo-oci:bench"
    timed pull/skopeo-dir "${in_shell[@]}" skopeo_copy "$remote" "dir:$work/skopeo-dir"
    rm -rf "$work/sealer-pull" "$work/skopeo-oci" "$work/skopeo-dir" "$work/push-dir"
}

# The same with sealer's own registry at the other end.
push_to_own() {
    local image="oci:$SEALER_ROOT/store:docker.io/library/bench:1"
    fresh_own_registry
    timed push-own/skopeo-oci "${in_shell[@]}" skopeo_copy "$image" "docker://$own_registry/bench/skopeo:1"
    fresh_own_registry
    timed push-own/curl-put "$repository/scripts/bench/put-blob.sh" "$own_registry/v2/bench/curl" "$(layer_of_rootfs)"
    fresh_own_registry
    timed push-own/sealer "$sealer" push --progress none bench:1 "$own_registry/bench/sealer:1"
    stop_own_registry
    rm -rf "$work/own"
}

build_two() {
    printf '%s\n' "$1" >"$work/context/note.txt"
    "$sealer" build --progress none -t bench:two -f "$work/context/two" "$work/context" >/dev/null
    CONTAINERS_STORAGE_CONF="$work/podman.conf" podman build "${policy[@]}" --layers -q -t bench:two -f "$work/context/two" "$work/context" >/dev/null
}

# After a change of one small file: seconds, and what went over the network.
push_again() {
    local image="oci:$SEALER_ROOT/store:docker.io/library/bench:two"
    build_two "round $round, before"
    fresh_registry
    "$sealer" push --progress none bench:two "$registry/bench/sealer:two" >/dev/null
    skopeo_copy "$image" "docker://$registry/bench/skopeo:two"
    CONTAINERS_STORAGE_CONF="$work/podman.conf" podman push -q --tls-verify=false localhost/bench:two "$registry/bench/podman:two"
    build_two "round $round, after"
    timed push-again/skopeo-oci "${in_shell[@]}" skopeo_copy "$image" "docker://$registry/bench/skopeo:two"
    timed push-again/podman peer podman podman push -q --tls-verify=false localhost/bench:two "$registry/bench/podman:two"
    timed push-again/sealer "$sealer" push --progress none bench:two "$registry/bench/sealer:two"
    stop_registry
}

unpack_all() {
    timed unpack/sealer "$sealer" mount --progress none --plain bench:1 "$work/tree-sealer"
    "$sealer" umount "$work/tree-sealer" >/dev/null
    mkdir "$work/tree-tar"
    timed unpack/tar tar --zstd -xf "$(layer_of_rootfs)" -C "$work/tree-tar"
    skopeo_copy "oci:$SEALER_ROOT/store:docker.io/library/bench:1" "oci:$work/umoci:bench" --dest-compress-format gzip
    timed unpack/umoci umoci unpack --image "$work/umoci:bench" "$work/tree-umoci"
    rm -rf "$work"/tree-* "$work/umoci"
}

# Commands without a peer: what counts is that their memory does not grow with the image.
memory_of_the_rest() {
    timed other-images/sealer "$sealer" images
    timed other-inspect/sealer "$sealer" inspect bench:1
    timed other-diff/sealer "$sealer" diff bench:1 bench:two
    timed other-copy/sealer "$sealer" copy --progress none bench:1 "oci-archive:$work/copy.tar:bench"
    timed other-tag/sealer "$sealer" tag bench:1 bench:other
    timed other-fsck/sealer "$sealer" fsck
    timed other-rmi/sealer "$sealer" rmi bench:other
    timed other-prune/sealer "$sealer" prune --dry-run
    rm -f "$work/copy.tar"
}
