#!/usr/bin/env bash
# Runs every test: those of each room, then those of the executable, of other tools' clients and of real clusters.
# A group that fails does not keep the next from running; the last lines name every test that failed, and why.
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
output="$SEALER_ROOT.log"
finish() {
    local status=$?
    if ((status != 0)) && grep -q '^✘' "$output"; then
        printf '\n== failed\n'
        grep '^✘' "$output"
    fi
    rm -rf --one-file-system "$SEALER_ROOT" "$output"
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
export SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH="${SWT_EXPERIMENTAL_MAXIMUM_PARALLELIZATION_WIDTH:-4}"

cd "$repository"
failures=0
swift_test() {
    timeout 3600 swift test --disable-xctest "$@" 2>&1 | tee -a "$output" || failures=$((failures + 1))
}
if (($# > 0)); then
    swift_test "$@"
else
    swift build --build-tests
    # Simulated lives by themselves: they compute without a pause, and others would wait for a core longer than their limits.
    # Those of the executable by themselves: beside hundreds of others on two cores they would be slow, and the moments at
    # which it is killed would be others than meant.
    swift_test --skip-build --skip '^(ClusterTests|CrashTests|ClientMatrixTests)\.|^ApplyEngineTests\.Simulated'
    swift_test --skip-build --filter '^ApplyEngineTests\.Simulated'
    "$repository/scripts/simulate-lives.sh" 2>&1 | tee -a "$output" || failures=$((failures + 1))
    swift_test --skip-build --filter '^ClientMatrixTests\.'
    swift_test --skip-build --filter '^CrashTests\.'
    swift_test --skip-build --filter '^ClusterTests\.'
fi
((failures == 0))
