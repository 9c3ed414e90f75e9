#!/usr/bin/env bash
# Brings up all that a cluster in containers needs: Docker, the node image, the upstream registry; prints export lines for them.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/testbed.sh"

"$repository/scripts/install-packages.sh"
docker_exports="$("$repository/scripts/start-docker.sh")"
eval "$docker_exports"
"$repository/scripts/make-node-image.sh"
registry_exports="$("$repository/scripts/start-upstream-registry.sh")"
printf '%s\n' "$docker_exports" "$registry_exports"
