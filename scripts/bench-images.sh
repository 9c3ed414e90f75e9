#!/usr/bin/env bash
# Times the image commands and the registry beside the tools that Debian has, and prints tables of medians: bench-images.sh
# [ROUNDS] [PART…]. ROUNDS is 3; parts are rootfs, mixed, small and serve, all of them unless some are named. A run of all parts
# in three rounds or more also writes the tables into docs/performance.md.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/testbed.sh"
source "$(dirname "${BASH_SOURCE[0]}")/bench/measure.sh"
source "$(dirname "${BASH_SOURCE[0]}")/bench/peers.sh"
source "$(dirname "${BASH_SOURCE[0]}")/bench/rootfs.sh"
source "$(dirname "${BASH_SOURCE[0]}")/bench/mixed.sh"
source "$(dirname "${BASH_SOURCE[0]}")/bench/small.sh"
source "$(dirname "${BASH_SOURCE[0]}")/bench/serve.sh"

# The rest runs in a network namespace of its own: what goes over its loopback interface is what the tools send.
if [[ "${1:-}" != --inside ]]; then
    require_root
    "$repository/scripts/install-packages.sh" \
        buildah curl iproute2 openssl podman python3 skopeo time umoci util-linux wrk zstd
    [[ -x "$repository/.build/sealer" ]] || "$repository/scripts/build-sealer.sh"
    exports="$("$repository/scripts/prepare-testbed.sh")"
    eval "$exports"
    "$repository/images/kubernetes/make-context.sh" "$testbed_cache/kubernetes-context" >/dev/null
    registry_program="$("$repository/scripts/unpack-packages.sh" docker-registry docker-registry)/usr/bin/docker-registry"
    export registry_program
    exec unshare --net "$0" --inside "$@"
fi
shift
ip link set lo up

rounds=3
if (($# > 0)) && [[ "$1" != [a-z]* ]]; then
    rounds="$1"
    shift
fi
[[ "$rounds" =~ ^[1-9][0-9]*$ ]] || die "usage: bench-images.sh [ROUNDS] [PART…]"
parts=("$@")
(($# > 0)) || parts=(rootfs mixed small serve)
for part in "${parts[@]}"; do
    [[ "$part" =~ ^(rootfs|mixed|small|serve)$ ]] || die "there is no part $part"
done

sealer="$repository/.build/sealer"
new_work_folder
work="$work_folder"
trap 'stop_servers; rm -rf --one-file-system "${work_folders[@]}"' EXIT
export SEALER_ROOT="$work/sealer" TMPDIR="$work/tmp"
mkdir "$TMPDIR"
configure_peers
for part in "${parts[@]}"; do "prepare_$part"; done
for ((round = 1; round <= rounds; round++)); do
    say "round $round of $rounds"
    measure_bounds
    for part in "${parts[@]}"; do "measure_$part"; done
done
"$repository/scripts/bench/table.py" "$work" >"$work/tables.md"
cat "$work/tables.md"
if ((rounds >= 3 && ${#parts[@]} == 4)); then
    "$repository/scripts/bench/table.py" "$work" "$repository/docs/performance.md"
    say "the tables of docs/performance.md are written; read what stands between them"
fi
check_memory
