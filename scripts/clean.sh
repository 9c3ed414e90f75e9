#!/usr/bin/env bash
# Deletes the build products and ends what the testbed started. The cache (Kubernetes, node image) stays; it says where that is.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/testbed.sh"

"$repository/scripts/stop-testbed.sh"
rm -rf "$repository/.build"
say "the cache stays: $testbed_cache"
