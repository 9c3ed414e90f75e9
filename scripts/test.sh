#!/usr/bin/env bash
# Runs every test: those of each room and the one that makes a real cluster; ends with the summary of swift test.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/testbed.sh"

require_root
"$repository/scripts/build-sealer.sh"
# Hosts over SSH are tested with a real sshd, in namespaces of its own.
"$repository/scripts/install-packages.sh" openssh-client openssh-server sudo
exports="$("$repository/scripts/prepare-testbed.sh")"
eval "$exports"

# What the cluster test works with. A store of its own: it must find nothing that an earlier run left.
SEALER_ROOT="$(mktemp -d "${TMPDIR:-/tmp}/sealer-test.XXXXXXXX")"
export SEALER_ROOT
finish() {
    local status=$?
    rm -rf --one-file-system "$SEALER_ROOT"
    exit "$status"
}
trap finish EXIT
"$repository/images/kubernetes/make-context.sh" "$testbed_cache/kubernetes-context"
export SEALER_TEST_EXECUTABLE="$repository/.build/sealer"
export SEALER_TEST_BASE_CONTEXT="$testbed_cache/kubernetes-context"
export SEALER_TEST_NODE_IMAGE="$node_image"
export SEALER_TEST_UPSTREAM_FILES="$testbed_cache/registry-data"
export SEALER_TEST_KUBECTL="$kubernetes_binaries/kubectl"

# The tests of the registry client and of the clients of others start a docker-registry of their own.
registry_files="$("$repository/scripts/unpack-packages.sh" docker-registry docker-registry)"
export PATH="$PATH:$registry_files/usr/bin"

# All tests at once on two cores starve each other, and the limits that some of them set pass.
export SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH="${SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH:-8}"

cd "$repository"
if (($# > 0)); then
    timeout 3600 swift test --disable-xctest "$@"
else
    # Those of the executable by themselves: beside hundreds of others on two cores they would be slow, and the moments at
    # which it is killed would be others than meant.
    timeout 3600 swift test --disable-xctest --skip '^(ClusterTests|CrashTests|ClientMatrixTests)\.'
    timeout 3600 swift test --disable-xctest --skip-build --filter '^ClientMatrixTests\.'
    timeout 3600 swift test --disable-xctest --skip-build --filter '^CrashTests\.'
    timeout 3600 swift test --disable-xctest --skip-build --filter '^ClusterTests\.'
fi
