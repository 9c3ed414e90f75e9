#!/usr/bin/env bash
# Times `sealer run` of the example beside bare kubeadm on the same kind of nodes, and prints the medians: bench.sh [ROUNDS]
# [MASTERS+NODES…]. ROUNDS is 3; 1+1 and 3+2 unless others are named.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/testbed.sh"

rounds="${1:-3}"
[[ "$rounds" =~ ^[1-9][0-9]*$ ]] || die "usage: bench.sh [ROUNDS] [MASTERS+NODES…]"
shapes=("${@:2}")
(($# > 1)) || shapes=(1+1 3+2)
for shape in "${shapes[@]}"; do [[ "$shape" =~ ^[1-9]\+[0-9]$ ]] || die "$shape is no number of masters and nodes, as 3+2"; done
image="sealer.io/examples/hello:1.0"
sealer="$repository/.build/sealer"

require_root
[[ -x "$sealer" ]] || "$repository/scripts/build-sealer.sh"
exports="$("$repository/scripts/prepare-testbed.sh")"
eval "$exports"
new_work_folder
export SEALER_ROOT="$work_folder/sealer"
"$repository/scripts/make-base-image.sh" >/dev/null
"$sealer" build -t "$image" -f "$repository/examples/hello/Kubefile" "$repository/examples/hello" >/dev/null

median() { sort -n | awk '{ value[NR] = $1 } END { print value[int((NR + 1) / 2)] }'; }

# measure MASTERS NODES: both, in turn; and the same once more with nothing to do.
measure() {
    local shape="$1+$2" begin
    "$repository/scripts/run-bare-kubeadm.sh" --masters="$1" --nodes="$2" "$work_folder/bare.json" >/dev/null
    jq '."kubeadm-init" + ."kubeadm-join"' "$work_folder/bare.json" >>"$work_folder/bare-$shape"
    jq '."kubeadm-init" + ."kubeadm-join" + ."pod-network" + ."nodes-ready"' "$work_folder/bare.json" >>"$work_folder/ready-$shape"
    begin="$EPOCHREALTIME"
    "$sealer" run "$image" --provider container --masters "$1" --nodes "$2" --name bench --node-image "$node_image" >&2
    seconds_since "$begin" 1 >>"$work_folder/run-$shape"
    begin="$EPOCHREALTIME"
    "$sealer" apply --name bench >&2
    seconds_since "$begin" 2 >>"$work_folder/again-$shape"
    "$sealer" delete --name bench >&2
}

seconds_since() { awk -v a="$1" -v b="$EPOCHREALTIME" -v digits="$2" 'BEGIN { printf "%.*f\n", digits, b - a }'; }

for ((round = 1; round <= rounds; round++)); do
    for shape in "${shapes[@]}"; do
        say "round $round of $rounds, $shape"
        measure "${shape%+*}" "${shape#*+}"
    done
done
for shape in "${shapes[@]}"; do
    bare="$(median <"$work_folder/bare-$shape")"
    whole="$(median <"$work_folder/run-$shape")"
    printf '%-58s %6s s\n' "$shape: bare kubeadm init and join, images present" "$bare" \
        "$shape: the same until all nodes are Ready" "$(median <"$work_folder/ready-$shape")" \
        "$shape: sealer run, the whole of it" "$whole" \
        "$shape: sealer apply with nothing to do" "$(median <"$work_folder/again-$shape")"
    awk -v a="$whole" -v b="$bare" -v s="$shape" 'BEGIN { printf "%-58s %6.2f\n", s ": sealer run / bare init and join", a / b }'
done
