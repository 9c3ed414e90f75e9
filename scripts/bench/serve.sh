#!/usr/bin/env bash
# A blob of 1 GB: served to 16 clients at once, and moved, to see what memory that takes; sourced by bench-images.sh.

# shellcheck disable=SC2154  # the script that sources this sets them

prepare_serve() {
    "$repository/scripts/bench/make-images.py" large "$work/large"
    size_of large 1000000000
    large_digest="$(find "$work/large/blobs/sha256" -size +100M -printf '%f\n')"
    "$sealer" copy --progress none "oci:$work/large:large" large:1 >/dev/null
    rm -rf "$work/large"
}

# peak_of PROCESS: the most memory it ever had, in KiB.
peak_of() { awk '/^VmHWM/ { print $2 }' "/proc/$1/status"; }

# Each server is started anew for each kind of client: its peak is of that alone.
measure_serve() {
    local kind
    move_large
    for kind in curl read drop; do
        start_own_registry "$SEALER_ROOT"
        serve_large "$kind" sealer "$own_registry/v2/library/large" "$own_process"
        stop_own_registry
        start_registry
        serve_large "$kind" docker-registry "$registry/v2/bench/large" "$registry_process"
        stop_registry
    done
}

# serve_large KIND NAME ADDRESS PROCESS: to curl, to plain readers, or to readers that let the kernel drop what comes.
serve_large() {
    local url="$3/blobs/sha256:$large_digest" flags=()
    [[ "$1" != drop ]] || flags=(--drop)
    if [[ "$1" == curl ]]; then
        # shellcheck disable=SC2016  # the inner shell expands it
        timed "serve-$1/$2" bash -c 'for _ in {1..16}; do curl -fsS -o /dev/null "$1" & done; wait' bench "http://$url"
    else
        timed "serve-$1/$2" "$repository/scripts/bench/read-blob.py" "${flags[@]}" 16 "$url"
    fi
    record server-memory "serve-$1/$2" "$(peak_of "$4")"
}

move_large() {
    fresh_registry
    timed large-push/sealer "$sealer" push --progress none large:1 "$registry/bench/large:1"
    timed large-pull/sealer env SEALER_ROOT="$work/pulled" "$sealer" pull --progress none "$registry/bench/large:1"
    timed large-save/sealer "$sealer" save --progress none -o "$work/large.tar" large:1
    timed large-load/sealer env SEALER_ROOT="$work/loaded" "$sealer" load --progress none "$work/large.tar"
    rm -rf "$work/pulled" "$work/loaded" "$work/large.tar"
    fresh_own_registry
    timed large-push-own/sealer "$sealer" push --progress none large:1 "$own_registry/bench/large:1"
    record server-memory large-push-own/sealer "$(peak_of "$own_process")"
    stop_own_registry
    rm -rf "$work/own"
}
