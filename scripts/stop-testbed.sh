#!/usr/bin/env bash
# Ends what the testbed started (its registry, its Docker daemon), by the process ids that it noted, and says so.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/testbed.sh"

ended=0
# end_noted PID-FILE PROGRAM SECONDS
end_noted() {
    local pid
    is_running "$1" "$2" || {
        rm -f "$1"
        return 0
    }
    pid="$(<"$1")"
    kill "$pid"
    wait_until "$3" "$2 (process $pid) to end" eval "! kill -0 $pid"
    rm -f "$1"
    say "ended $2 (process $pid)"
    ended=$((ended + 1))
}

end_noted "$testbed_run/registry.pid" docker-registry 20
end_noted "$testbed_run/dockerd.pid" dockerd 60
((ended > 0)) || say "nothing of the testbed was running"
