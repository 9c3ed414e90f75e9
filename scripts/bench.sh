#!/usr/bin/env bash
# Times `sealer run` of the example beside bare kubeadm on the same kind of nodes, $1 times each (3), and prints the medians.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/testbed.sh"

rounds="${1:-3}"
[[ "$rounds" =~ ^[1-9][0-9]*$ ]] || die "usage: bench.sh [ROUNDS]"
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

for ((round = 1; round <= rounds; round++)); do
    say "round $round of $rounds"
    "$repository/scripts/run-bare-kubeadm.sh" "$work_folder/bare-$round.json" >/dev/null
    jq '."kubeadm-init" + ."kubeadm-join"' "$work_folder/bare-$round.json" >>"$work_folder/bare"
    jq '."kubeadm-init" + ."kubeadm-join" + ."pod-network" + ."nodes-ready"' "$work_folder/bare-$round.json" >>"$work_folder/ready"
    begin="$EPOCHREALTIME"
    "$sealer" run "$image" --provider container --masters 1 --nodes 1 --name bench --node-image "$node_image" >&2
    awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f\n", b - a }' >>"$work_folder/sealer-run"
    "$sealer" delete --name bench >&2
done
bare="$(median <"$work_folder/bare")"
whole="$(median <"$work_folder/sealer-run")"
printf '%-46s %6s s\n' "bare kubeadm init and join, images present" "$bare" \
    "the same until both nodes are Ready" "$(median <"$work_folder/ready")" "sealer run, the whole of it" "$whole"
awk -v a="$whole" -v b="$bare" 'BEGIN { printf "%-46s %6.2f\n", "sealer run / bare init and join", a / b }'
