#!/usr/bin/env bash
# The yardstick: a cluster by plain docker, the rootfs's scripts and bare kubeadm, with each stage's time.
# usage: run-bare-kubeadm.sh [--keep] [--tuned] [--masters=N] [--nodes=N] [JSON-FILE]
#   --keep   leaves the nodes running
#   --tuned  what sealer does: pod ranges and network before the nodes join, and a join that does not wait in vain
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/testbed.sh"
testbed_label="io.sealer.testbed=bare-kubeadm"
source "$(dirname "${BASH_SOURCE[0]}")/node-containers.sh"

keep=false
tuned=false
master_count=1
worker_count=1
json_file="$testbed_cache/bare-kubeadm.json"
for argument in "$@"; do
    case "$argument" in
        --keep) keep=true ;;
        --tuned) tuned=true ;;
        --masters=[1-9]) master_count="${argument#*=}" ;;
        --nodes=[0-9]) worker_count="${argument#*=}" ;;
        -*) die "unknown option $argument" ;;
        *) json_file="$argument" ;;
    esac
done
masters=()
workers=()
for ((number = 0; number < master_count; number++)); do masters+=("sealer-bare-master-$number"); done
for ((number = 0; number < worker_count; number++)); do workers+=("sealer-bare-worker-$number"); done
nodes=("${masters[@]}" "${workers[@]}")
master="${masters[0]}"
network=sealer-bare
rootfs=/var/lib/sealer-bare/rootfs
socket=/run/containerd/containerd.sock
pod_subnet=10.244.0.0/16
service_subnet=10.96.0.0/12
export RegistryDomain=sea.hub RegistryPort=5000 RegistryURL=sea.hub:5000 ContainerRuntime=containerd

eval "$("$repository/scripts/start-docker.sh")"
"$repository/scripts/make-node-image.sh"
"$repository/scripts/start-upstream-registry.sh" >/dev/null
new_work_folder
"$repository/images/kubernetes/make-context.sh" "$work_folder/context"

finish() {
    local status=$?
    if $keep; then
        say "kept ${nodes[*]}"
    else
        remove_nodes || true
    fi
    rm -rf --one-file-system "${work_folders[@]}"
    exit "$status"
}
trap finish EXIT
remove_nodes

# stage NAME COMMAND…: runs it and notes how long that took.
stage_names=()
stage_seconds=()
stage() {
    local name="$1" begin="$EPOCHREALTIME" log="$work_folder/log" seconds
    shift
    "$@" >"$log" 2>&1 || {
        tail -n 40 "$log" >&2
        die "stage $name failed"
    }
    seconds="$(awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')"
    stage_names+=("$name")
    stage_seconds+=("$seconds")
    printf '%-18s %6s\n' "$name" "$seconds"
}

# on_all COMMAND…: runs a function with each node's name, at the same time; fails when one does.
on_all() { at_once "${nodes[*]}" "$@"; }

# at_once "NODE…" COMMAND…: the same for some nodes.
at_once() {
    local node failed=0 running=() process
    for node in $1; do
        "${@:2}" "$node" &
        running+=($!)
    done
    for process in "${running[@]}"; do wait "$process" || failed=1; done
    return "$failed"
}

create_nodes() {
    timeout 60 docker network create --internal --label "$testbed_label" "$network" >/dev/null
    local node
    for node in "${nodes[@]}"; do create_node "$node" "$network"; done
}

copy_rootfs() {
    in_node "$1" mkdir -p "$rootfs"
    tar -C "$work_folder/context" -cf - . | in_node "$1" tar -xf - -C "$rootfs"
}

run_scripts() {
    local variables=(RegistryDomain="$RegistryDomain" RegistryPort="$RegistryPort" RegistryURL="$RegistryURL"
        HostIP="$(node_address "$1")" PodCIDR="$pod_subnet" SvcCIDR="$service_subnet" ContainerRuntime="$ContainerRuntime")
    in_node "$1" env -C "$rootfs" "${variables[@]}" bash scripts/containerd.sh
    in_node "$1" env -C "$rootfs" "${variables[@]}" bash scripts/init-kube.sh
}

import_images() {
    local image archive
    while read -r image; do
        archive="$work_folder/${image//[\/:]/_}.tar"
        in_node "$1" ctr --address "$socket" -n k8s.io images import - <"$archive"
    done <"$work_folder/images"
}

fetch_images() {
    local image
    cp "$work_folder/context/manifests/imageList" "$work_folder/images"
    echo docker.io/sealer-examples/hello:1.0 >>"$work_folder/images"
    while read -r image; do
        skopeo copy -q --src-tls-verify=false "docker://$upstream_registry/$image" \
            "docker-archive:$work_folder/${image//[\/:]/_}.tar:$image"
    done <"$work_folder/images"
}

# Made before kubeadm runs, so that nothing has to be read out of what it prints.
token="$(openssl rand -hex 3).$(openssl rand -hex 8)"

kubeadm_init() {
    local allocate=true
    if $tuned; then allocate=false; fi
    in_node "$master" sh -c 'cat >/etc/kubernetes/kubeadm.yaml' <<CONFIG
apiVersion: kubeadm.k8s.io/v1beta2
kind: InitConfiguration
bootstrapTokens:
  - token: $token
    ttl: 1h0m0s
localAPIEndpoint:
  advertiseAddress: $(node_address "$master")
  bindPort: 6443
nodeRegistration:
  name: $master
  criSocket: unix://$socket
  kubeletExtraArgs:
    node-ip: $(node_address "$master")
---
apiVersion: kubeadm.k8s.io/v1beta2
kind: ClusterConfiguration
kubernetesVersion: v$kubernetes_version
imageRepository: k8s.gcr.io
controlPlaneEndpoint: $(node_address "$master"):6443
networking:
  podSubnet: $pod_subnet
  serviceSubnet: $service_subnet
  dnsDomain: cluster.local
controllerManager:
  extraArgs:
    allocate-node-cidrs: "$allocate"
etcd:
  local:
    imageTag: $etcd_version-0
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: cgroupfs
failSwapOn: false
---
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
conntrack:
  maxPerCore: 0
  min: 0
CONFIG
    in_node "$master" kubeadm init --config /etc/kubernetes/kubeadm.yaml --skip-phases=preflight,addon/coredns
}

kubectl() { in_node "$master" kubectl --kubeconfig /etc/kubernetes/admin.conf --request-timeout 20s "$@"; }

# kubeadm join looks for the controller manager's signature under cluster-info, and only every 5 s: wait for it ourselves.
is_signed() { [[ -n "$(kubectl -n kube-public get configmap cluster-info -o "jsonpath={.data.jws-kubeconfig-${token%.*}}")" ]]; }

kubeadm_join() {
    local ca_hash
    ca_hash="$(in_node "$master" cat /etc/kubernetes/pki/ca.crt | openssl x509 -pubkey -noout |
        openssl pkey -pubin -outform DER | sha256sum | cut -d' ' -f1)"
    if $tuned; then wait_until 60 "the signature of the bootstrap token" is_signed; fi
    local node
    # etcd takes one member at a time; workers may come together.
    for node in "${masters[@]:1}"; do join_node "$node" "$ca_hash" master; done
    at_once "${workers[*]}" join_worker "$ca_hash"
}

join_worker() { join_node "$2" "$1" worker; }

# The authorities come to a further master as kubeadm's own documentation has it: copied by hand.
copy_authorities() {
    local files=(ca.crt ca.key sa.key sa.pub front-proxy-ca.crt front-proxy-ca.key etcd/ca.crt etcd/ca.key)
    in_node "$1" mkdir -p /etc/kubernetes/pki
    in_node "$master" tar -C /etc/kubernetes/pki -cf - "${files[@]}" | in_node "$1" tar -xf - -C /etc/kubernetes/pki
}

join_node() {
    local node="$1" ca_hash="$2" control_plane=""
    if [[ "$3" == master ]]; then
        copy_authorities "$node"
        control_plane="controlPlane: {localAPIEndpoint: {advertiseAddress: $(node_address "$node"), bindPort: 6443}}"
    fi
    in_node "$node" sh -c 'cat >/etc/kubernetes/kubeadm.yaml' <<CONFIG
apiVersion: kubeadm.k8s.io/v1beta2
kind: JoinConfiguration
discovery:
  bootstrapToken:
    token: $token
    apiServerEndpoint: $(node_address "$master"):6443
    caCertHashes:
      - sha256:$ca_hash
nodeRegistration:
  name: $node
  criSocket: unix://$socket
  kubeletExtraArgs:
    node-ip: $(node_address "$node")
$control_plane
CONFIG
    in_node "$node" kubeadm join --config /etc/kubernetes/kubeadm.yaml --skip-phases=preflight
}

# The range of a node's pods: ours, or the one that the controller manager gave it.
pod_range() {
    if ! $tuned; then
        kubectl get node "$1" -o 'jsonpath={.spec.podCIDR}'
    else
        echo "10.244.$(index_of "$1").0/24"
    fi
}
index_of() {
    local index
    for index in "${!nodes[@]}"; do [[ "${nodes[index]}" != "$1" ]] || echo "$index"; done
}
has_pod_range() { [[ -n "$(pod_range "$1")" ]]; }

# A tunnel's hardware address that follows from the node's address.
tunnel_address() {
    local octets
    IFS=. read -ra octets <<<"$(node_address "$1")"
    printf '02:00:%02x:%02x:%02x:%02x' "${octets[@]}"
}

# Pods of one node share a bridge. Between nodes they go through a VXLAN: an --internal Docker network, as many others,
# lets nothing pass but the nodes' own addresses.
connect_pods() {
    local node="$1" peer range peer_range
    wait_until 60 "the pod range of $node" has_pod_range "$node"
    range="$(pod_range "$node")"
    in_node "$node" sh -eu <<COMMANDS
ip link add pod-vxlan address $(tunnel_address "$node") type vxlan id 4096 dstport 8472 local $(node_address "$node") nolearning
ip link set pod-vxlan mtu 1450 up
ip address add ${range%/*}/32 dev pod-vxlan
COMMANDS
    for peer in "${nodes[@]}"; do
        [[ "$peer" != "$node" ]] || continue
        wait_until 60 "the pod range of $peer" has_pod_range "$peer"
        peer_range="$(pod_range "$peer")"
        in_node "$node" sh -eu <<COMMANDS
ip neigh replace ${peer_range%/*} lladdr $(tunnel_address "$peer") dev pod-vxlan nud permanent
bridge fdb replace $(tunnel_address "$peer") dev pod-vxlan dst $(node_address "$peer")
ip route replace $peer_range via ${peer_range%/*} dev pod-vxlan onlink
COMMANDS
    done
    in_node "$node" sh -c 'mkdir -p /etc/cni/net.d && cat >/etc/cni/net.d/10-bridge.conflist' <<CONFIG
{
  "cniVersion": "0.4.0",
  "name": "bridge",
  "plugins": [
    {
      "type": "bridge",
      "bridge": "cni0",
      "isGateway": true,
      "hairpinMode": true,
      "mtu": 1450,
      "ipam": {
        "type": "host-local",
        "ranges": [[{"subnet": "$range"}]],
        "routes": [{"dst": "0.0.0.0/0"}]
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
CONFIG
}

# kubelet reports itself ready as soon as it learns its pod range, if it has set up the rest by then (the CSINode object
# is the last of it); otherwise with its next report, up to 10 s later.
note_pod_ranges() {
    local node
    for node in "${nodes[@]}"; do
        wait_until 60 "kubelet of $node" kubectl get csinode "$node"
        kubectl patch node "$node" -p "{\"spec\": {\"podCIDR\": \"$(pod_range "$node")\", \"podCIDRs\": [\"$(pod_range "$node")\"]}}"
    done
}

await_ready() { kubectl wait --for=condition=Ready node --all --timeout=120s; }

run_hello() {
    kubectl apply -f - <"$repository/examples/hello/manifests/hello.yaml"
    kubectl rollout status deployment/hello --timeout=120s
}

# Both pods must answer through both nodes, so that the way between the nodes is used too. While kube-proxy has opened the
# port and not yet written its rules, a connection hangs: give up early and ask again.
both_answer() {
    local answers
    answers="$(for _ in {1..10}; do curl -fsS --max-time 1 "http://$1:30080/"; done | sort -u)" || return 1
    [[ "$(wc -l <<<"$answers")" == 2 ]]
}

ask_hello() {
    local node
    for node in "${nodes[@]}"; do
        wait_until 60 "both pods to answer through $node" both_answer "$(node_address "$node")"
    done
}

stage fetch-images fetch_images
stage create-nodes create_nodes
stage copy-rootfs on_all copy_rootfs
stage run-scripts on_all run_scripts
stage import-images on_all import_images
if $tuned; then stage pod-network on_all connect_pods; fi
stage kubeadm-init kubeadm_init
stage kubeadm-join kubeadm_join
if $tuned; then stage pod-ranges note_pod_ranges; else stage pod-network on_all connect_pods; fi
stage nodes-ready await_ready
# Not with several masters: when the second one comes to etcd, the first API server loses watches for minutes (kubernetes#97294),
# and services lead nowhere meanwhile.
if ((master_count == 1)); then
    stage hello-ready run_hello
    stage hello-answers ask_hello
fi

kubectl get nodes -o wide
kubectl get pods --all-namespaces -o wide

mkdir -p "$(dirname "$json_file")"
{
    printf '{'
    for index in "${!stage_names[@]}"; do
        ((index == 0)) || printf ', '
        printf '"%s": %s' "${stage_names[index]}" "${stage_seconds[index]}"
    done
    printf '}\n'
} >"$json_file"
say "the times are in $json_file"
