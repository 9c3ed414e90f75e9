#!/usr/bin/env bash
# Builds the Kubernetes base ClusterImage with sealer, from the recipe in images/kubernetes; needs .build/sealer.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/testbed.sh"

base_image="sealer.io/kubernetes:v$kubernetes_version"
context="$testbed_cache/kubernetes-context"

"$repository/images/kubernetes/make-context.sh" "$context"
"$repository/.build/sealer" build -t "$base_image" -f "$context/Kubefile" "$context"
