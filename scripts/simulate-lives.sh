#!/usr/bin/env bash
# Lives the lives of 1,000 clusters under the whole engine on simulated hosts, and makes one of 1,000 hosts; it says how long
# that took. simulate-lives.sh [LIVES|FIRST..LAST]: 17..17 lives the one with the seed 17 again.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/testbed.sh"

# As released: unoptimised, a life takes twenty times as long.
lives="$("$repository/scripts/build-release.sh" SimulatedLives)"
# Two minutes are meant; what hangs is ended.
timeout 900 "$lives" "${1:-1000}" || die "not all went as it must; $0 SEED..SEED lives one of them again"
