#!/usr/bin/env bash
# Finds a Docker daemon that answers, or starts one of the testbed's own; prints the export line for DOCKER_HOST.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/testbed.sh"

answers_on() { DOCKER_HOST="$1" timeout 10 docker version -f '{{.Server.Version}}' >/dev/null 2>&1; }

print_answering() {
    local host
    for host in ${DOCKER_HOST:+"$DOCKER_HOST"} unix:///var/run/docker.sock "unix://$docker_socket"; do
        if answers_on "$host"; then
            printf 'export DOCKER_HOST=%q\n' "$host"
            return 0
        fi
    done
    return 1
}

print_answering && exit 0
require_root
command -v dockerd >/dev/null || die "no Docker daemon answers and dockerd is not installed; scripts/install-packages.sh installs it"
hold_lock docker
print_answering && exit 0
mkdir -p "$testbed_run"
is_running "$testbed_run/dockerd.pid" dockerd || rm -f "$testbed_run/dockerd.pid"
log="$testbed_run/dockerd.log"
say "starting a Docker daemon of the testbed, log in $log"
start_detached "$log" dockerd --host "unix://$docker_socket" --data-root "${SEALER_TESTBED_DOCKER_ROOT:-/var/lib/sealer-testbed/docker}" \
    --exec-root "$testbed_run/docker" --pidfile "$testbed_run/dockerd.pid"
daemon=$!

answers_or_ended() { answers_on "unix://$docker_socket" || ! kill -0 "$daemon"; }
wait_until 60 "the Docker daemon to answer, see $log" answers_or_ended
kill -0 "$daemon" 2>/dev/null || {
    tail -n 5 "$log" >&2
    die "the Docker daemon ended, see $log"
}
printf 'export DOCKER_HOST=%q\n' "unix://$docker_socket"
