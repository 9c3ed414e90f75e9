#!/usr/bin/env bash
# One image of 2,000 layers of 1 to 16 kB: moved, and served to wrk; sourced by bench-images.sh.

# shellcheck disable=SC2154  # the script that sources this sets them

prepare_small() {
    "$repository/scripts/bench/make-images.py" small "$work/small"
    size_of small "$(du -sb "$work/small/blobs" | cut -f1)"
    "$sealer" copy --progress none "oci:$work/small:small" small:1 >/dev/null
    find "$work/small/blobs/sha256" -type f -printf 'sha256:%f\n' >"$work/digests"
}

# podman is left out: its storage takes 500 layers at most.
measure_small() {
    local image="oci:$work/small:small"
    fresh_own_registry
    timed small-push-own/sealer "$sealer" push --progress none small:1 "$own_registry/bench/small:1"
    fresh_own_registry
    timed small-push-own/skopeo-oci "${in_shell[@]}" skopeo_copy "$image" "docker://$own_registry/bench/small:1"
    stop_own_registry
    rm -rf "$work/own"
    fresh_registry
    timed small-push/skopeo-oci "${in_shell[@]}" skopeo_copy "$image" "docker://$registry/bench/small:1"
    fresh_registry
    timed small-push/sealer "$sealer" push --progress none small:1 "$registry/bench/small:1"
    timed small-pull/sealer env SEALER_ROOT="$work/pulled" "$sealer" pull --progress none "$registry/bench/small:1"
    timed small-pull/skopeo-oci "${in_shell[@]}" skopeo_copy "docker://$registry/bench/small:1" "oci:$work/skopeo-oci:1"
    timed small-pull/skopeo-dir "${in_shell[@]}" skopeo_copy "docker://$registry/bench/small:1" "dir:$work/skopeo-dir"
    rm -rf "$work/pulled" "$work/skopeo-oci" "$work/skopeo-dir"
    serve_small
    stop_registry
}

# 16 connections that ask for one blob after the other, for 5 s.
serve_small() {
    start_own_registry "$SEALER_ROOT"
    ask_with_wrk sealer "http://$own_registry" /v2/library/small/blobs/ "$own_process"
    stop_own_registry
    start_registry
    ask_with_wrk docker-registry "http://$registry" /v2/bench/small/blobs/ "$registry_process"
}

# ask_with_wrk NAME SERVER PATH PROCESS
ask_with_wrk() {
    sync
    wrk -t 2 -c 16 -d 5s -s "$repository/scripts/bench/digests.lua" "$2" -- "$3" "$work/digests" >"$work/wrk"
    grep -q 'requests in' "$work/wrk" || die "wrk: $(<"$work/wrk")"
    # docker-registry gives a wrong answer now and then under this load; sealer must not.
    if grep -qE 'Non-2xx|Socket errors' "$work/wrk"; then
        [[ "$1" != sealer ]] || die "$1: $(<"$work/wrk")"
        say "$1: $(grep -E 'Non-2xx|Socket errors' "$work/wrk")"
    fi
    record rate "serve-small/$1" "$(awk '/^Requests\/sec/ { print $2 }' "$work/wrk")"
    record server-memory "serve-small/$1" "$(peak_of "$4")"
}
