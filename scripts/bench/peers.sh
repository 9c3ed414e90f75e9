#!/usr/bin/env bash
# The other tools with folders of their own, and the registries; sourced by bench-images.sh.

# shellcheck disable=SC2154  # the script that sources this sets them

registry="127.0.0.1:5992"
own_registry="127.0.0.1:5991"
registry_process=
own_process=

# Nothing of before is in their caches, and nothing stays.
configure_peers() {
    local peer
    for peer in buildah podman mixed load; do
        cat >"$work/$peer.conf" <<CONFIG
[storage]
driver = "overlay"
graphroot = "$work/$peer"
runroot = "$work/$peer-run"
CONFIG
    done
    printf '{"default": [{"type": "insecureAcceptAnything"}]}\n' >"$work/policy.json"
    cat >"$work/registry.yml" <<CONFIG
version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: "$work/registry"}}
http: {addr: "$registry"}
CONFIG
    printf '[[registry]]\nlocation = "%s"\ninsecure = true\n' "$registry" "$own_registry" >"$work/registries.conf"
    export CONTAINERS_REGISTRIES_CONF="$work/registries.conf"
    # shellcheck disable=SC2034  # for the other parts
    policy=(--signature-policy "$work/policy.json")
}

# skopeo_copy SOURCE DESTINATION [OPTION…]
skopeo_copy() {
    skopeo --policy "$work/policy.json" copy -q --all --src-tls-verify=false --dest-tls-verify=false "${@:3}" "$1" "$2"
}

start_registry() {
    stop_registry
    "$registry_program" serve "$work/registry.yml" >"$work/registry.log" 2>&1 &
    registry_process=$!
    wait_until 20 "the registry to answer" curl -fsS "http://$registry/v2/"
}

stop_registry() {
    [[ -n "$registry_process" ]] || return 0
    kill "$registry_process"
    wait "$registry_process" || true
    registry_process=
}

# An empty one: what somebody else has pushed would be mounted instead of sent.
fresh_registry() {
    stop_registry
    rm -rf "$work/registry"
    start_registry
}

# start_own_registry FOLDER [OPTION…]: serves the store of that folder.
start_own_registry() {
    stop_own_registry
    SEALER_ROOT="$1" "$sealer" registry serve --listen "$own_registry" "${@:2}" >"$work/serve.log" 2>&1 &
    own_process=$!
    wait_until 20 "the registry to answer" curl -fsS "http://$own_registry/healthz"
}

stop_own_registry() {
    [[ -n "$own_process" ]] || return 0
    kill "$own_process"
    wait "$own_process" || true
    own_process=
}

fresh_own_registry() {
    stop_own_registry
    rm -rf "$work/own"
    start_own_registry "$work/own" --writable --anonymous-push
}

stop_servers() {
    stop_registry
    stop_own_registry
}

# each_image COMMAND…: runs it once for each of the 20 images, with %% in its words replaced by the number.
each_image() {
    local number
    for number in {01..20}; do "${@//%%/$number}"; done
}

# timed runs programs: these are for the functions above.
export -f skopeo_copy each_image
export work
# shellcheck disable=SC2034  # for the other parts
in_shell=(bash -ec '"$@"' bench)
