#!/usr/bin/env bash
# Finds a Docker daemon that answers, or starts one of the testbed's own; prints the export line for DOCKER_HOST.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/testbed.sh"

answers() { timeout 10 docker version -f '{{.Server.Version}}' >/dev/null 2>&1; }
answers_on() { DOCKER_HOST="$1" answers; }

if [[ -n "${DOCKER_HOST:-}" ]] && answers; then
    printf 'export DOCKER_HOST=%q\n' "$DOCKER_HOST"
    exit 0
fi
for socket in /var/run/docker.sock "$docker_socket"; do
    if answers_on "unix://$socket"; then
        printf 'export DOCKER_HOST=%q\n' "unix://$socket"
        exit 0
    fi
done

require_root
command -v dockerd >/dev/null || die "no Docker daemon answers and dockerd is not installed; scripts/install-packages.sh installs it"
mkdir -p "$testbed_run"
log="$testbed_run/dockerd.log"
say "starting a Docker daemon of the testbed, log in $log"
setsid dockerd --host "unix://$docker_socket" --data-root "${SEALER_TESTBED_DOCKER_ROOT:-/var/lib/sealer-testbed/docker}" \
    --exec-root "$testbed_run/docker" --pidfile "$testbed_run/dockerd.pid" </dev/null >"$log" 2>&1 &
daemon=$!

answers_or_ended() { answers_on "unix://$docker_socket" || ! kill -0 "$daemon"; }
wait_until 60 "the Docker daemon to answer, see $log" answers_or_ended
kill -0 "$daemon" 2>/dev/null || {
    tail -n 5 "$log" >&2
    die "the Docker daemon ended, see $log"
}
printf 'export DOCKER_HOST=%q\n' "unix://$docker_socket"
