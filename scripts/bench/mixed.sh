#!/usr/bin/env bash
# 20 images of mixed sizes, 300 kB to 100 MB unpacked, which share a layer; sourced by bench-images.sh.

# shellcheck disable=SC2154  # the script that sources this sets them

prepare_mixed() {
    "$repository/scripts/bench/make-images.py" mixed "$work/mixed" "$kubernetes_binaries"/kube*
    size_of mixed "$(du -sb "$work/mixed/blobs" | cut -f1)"
    each_image "$sealer" copy --progress none "oci:$work/mixed:mixed-%%" "mixed:%%" >/dev/null
    (
        export CONTAINERS_STORAGE_CONF="$work/mixed.conf"
        each_image skopeo --policy "$work/policy.json" copy -q "oci:$work/mixed:mixed-%%" "containers-storage:localhost/mixed:%%"
    )
}

measure_mixed() {
    each_push_and_pull
    all_in_one
    each_save_and_load
}

# One command for each image, one after the other.
each_push_and_pull() {
    local each=("${in_shell[@]}" each_image)
    fresh_registry
    timed mixed-push/skopeo-oci "${each[@]}" skopeo_copy "oci:$work/mixed:mixed-%%" "docker://$registry/bench/mixed:%%"
    fresh_registry
    timed mixed-push/podman peer mixed "${each[@]}" podman push -q --tls-verify=false "localhost/mixed:%%" "$registry/bench/mixed:%%"
    fresh_registry
    timed mixed-push/sealer "${each[@]}" "$sealer" push --progress none "mixed:%%" "$registry/bench/mixed:%%"
    timed mixed-pull/sealer env SEALER_ROOT="$work/pulled" "${each[@]}" "$sealer" pull --progress none "$registry/bench/mixed:%%"
    timed mixed-pull/skopeo-oci "${each[@]}" skopeo_copy "docker://$registry/bench/mixed:%%" "oci:$work/skopeo-oci:%%"
    timed mixed-pull/skopeo-dir "${each[@]}" skopeo_copy "docker://$registry/bench/mixed:%%" "dir:$work/skopeo-dir-%%"
    timed mixed-pull/podman peer load "${each[@]}" podman pull "${policy[@]}" -q --tls-verify=false "$registry/bench/mixed:%%"
    CONTAINERS_STORAGE_CONF="$work/load.conf" podman rmi -fa >/dev/null
    rm -rf "$work/pulled" "$work/skopeo-oci" "$work"/skopeo-dir-*
}

# The same images as what one ClusterImage contains, as users of sealer move them: one command for all.
all_in_one() {
    local context="$work/mixed-context"
    mkdir -p "$context/manifests"
    printf 'FROM scratch\nCOPY manifests manifests\n' >"$context/Kubefile"
    printf "$registry/bench/mixed:%s\n" {01..20} >"$context/manifests/imageList"
    "$sealer" build --progress none -t mixed:all "$context" >/dev/null
    fresh_registry
    timed mixed-push/sealer-one "$sealer" push --progress none mixed:all "$registry/bench/all:1"
    timed mixed-pull/sealer-one env SEALER_ROOT="$work/pulled" "$sealer" pull --progress none "$registry/bench/all:1"
    rm -rf "$work/pulled"
    stop_registry
}

each_save_and_load() {
    local each=("${in_shell[@]}" each_image)
    timed mixed-save/sealer "$sealer" save --progress none -o "$work/sealer.tar" mixed:{01..20}
    timed mixed-save/podman peer mixed podman save -q -m -o "$work/podman.tar" localhost/mixed:{01..20}
    timed mixed-save/skopeo "${each[@]}" skopeo_copy "oci:$work/mixed:mixed-%%" "oci-archive:$work/skopeo-%%.tar:%%"
    timed mixed-load/sealer env SEALER_ROOT="$work/loaded" "$sealer" load --progress none "$work/sealer.tar"
    timed mixed-load/podman peer load podman load "${policy[@]}" -q -i "$work/podman.tar"
    timed mixed-load/skopeo-dir "${each[@]}" skopeo_copy "oci-archive:$work/skopeo-%%.tar:%%" "dir:$work/skopeo-dir-%%"
    timed mixed-load/skopeo-oci "${each[@]}" skopeo_copy "oci-archive:$work/skopeo-%%.tar:%%" "oci:$work/skopeo-oci:%%"
    CONTAINERS_STORAGE_CONF="$work/load.conf" podman rmi -fa >/dev/null
    rm -rf "$work/loaded" "$work/skopeo-oci" "$work"/skopeo-dir-* "$work"/*.tar
}
