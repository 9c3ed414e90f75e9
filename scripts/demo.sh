#!/usr/bin/env bash
# The whole way: builds sealer, the base image and the example, runs it as a two-node cluster without a way out, shows it.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/testbed.sh"

cluster="${SEALER_DEMO_NAME:-demo}"
image="sealer.io/examples/hello:1.0"
sealer="$repository/.build/sealer"
kubeconfig="${SEALER_ROOT:-/var/lib/sealer}/clusters/$cluster/kubeconfig"

require_root
times=()
# stage NAME COMMAND…: runs it with its output shown, and notes the time it took.
stage() {
    local name="$1" begin="$EPOCHREALTIME"
    shift
    printf '\n== %s\n' "$name"
    "$@"
    times+=("$(awk -v name="$name" -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { printf "%-28s %7.1f s", name, b - a }')")
}

prepare() {
    local exports
    exports="$("$repository/scripts/prepare-testbed.sh")"
    eval "$exports"
}

# The cluster of an earlier demo makes way: same name, same ports.
delete_earlier() {
    [[ ! -e "${kubeconfig%/*}" ]] || "$sealer" delete --name "$cluster"
}

ask_kubernetes() { timeout 60 "$kubernetes_binaries/kubectl" --kubeconfig "$kubeconfig" --request-timeout 20s "$@"; }
pods_run() { ask_kubernetes wait --for=condition=Available deployment --all --timeout=120s; }

# The address of a worker: the Service answers there although the page may come from the other node.
node_address() {
    ask_kubernetes get nodes -o 'jsonpath={.items[-1:].status.addresses[?(@.type=="InternalIP")].address}'
}
ask_service() { curl -fsS --max-time 2 "http://$(node_address):30080/"; }

stage "build sealer" "$repository/scripts/build-sealer.sh"
stage "prepare Docker and registry" prepare
stage "build the base image" "$repository/scripts/make-base-image.sh"
stage "build the example" "$sealer" build -t "$image" -f "$repository/examples/hello/Kubefile" "$repository/examples/hello"
delete_earlier
stage "run the cluster" "$sealer" run "$image" --provider container --masters 1 --nodes 1 --name "$cluster" \
    --node-image "$node_image"
stage "pods available" pods_run
wait_until 30 "the Service to answer" ask_service

printf '\nNodes\n'
ask_kubernetes get nodes -o wide
printf '\nPods\n'
ask_kubernetes get pods --all-namespaces -o wide
printf '\nThe Service says\n  %s\n' "$(ask_service)"
printf '\nTimes\n'
printf '  %s\n' "${times[@]}"
printf '\n%s --kubeconfig %s get pods   asks the cluster\n' "$kubernetes_binaries/kubectl" "$kubeconfig"
printf 'DOCKER_HOST=%s %s delete --name %s   deletes it\n' "$DOCKER_HOST" "$sealer" "$cluster"
