#!/usr/bin/env bash
# Names and small functions that every script of the testbed shares; sourced, never run.

# shellcheck disable=SC2034  # the names are used by the scripts that source this file

repository="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
testbed_cache="${XDG_CACHE_HOME:-${HOME:?}/.cache}/sealer-testbed"
testbed_run="${SEALER_TESTBED_RUN:-/run/sealer-testbed}"

kubernetes_version="1.20.2"
etcd_version="3.4.23"
pause_version="3.2"
registry_port="${SEALER_TESTBED_REGISTRY_PORT:-5005}"
upstream_registry="127.0.0.1:$registry_port"
registries_conf="$testbed_run/registries.conf"

kubernetes_binaries="$testbed_cache/kubernetes-$kubernetes_version"
helm_binary="$testbed_cache/helm-3/helm"
node_image="sealer.io/node:debian12"
docker_socket="$testbed_run/docker.sock"

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

die() {
    say "$*"
    exit 1
}

require_root() { [[ "$(id -u)" == 0 ]] || die "needs root: run it as root, or with sudo"; }

# hold_lock NAME: waits until no other script holds NAME; the lock ends with the process.
hold_lock() {
    mkdir -p "$testbed_cache"
    exec {lock_descriptor}>"$testbed_cache/.$1.lock"
    flock --timeout 3600 "$lock_descriptor" || die "waited an hour for another script that holds $testbed_cache/.$1.lock"
}

# new_work_folder: a fresh folder inside the cache, so that the result can be renamed into place; removed at exit, and
# after a day where the script was killed before that.
new_work_folder() {
    mkdir -p "$testbed_cache"
    find "$testbed_cache" -maxdepth 1 -name '.work.*' -mmin +1440 -exec rm -rf --one-file-system {} +
    work_folder="$(mktemp -d "$testbed_cache/.work.XXXXXXXX")"
    work_folders+=("$work_folder")
    trap 'rm -rf --one-file-system "${work_folders[@]}"' EXIT
}
work_folders=()

# wait_until SECONDS WHAT COMMAND…: runs COMMAND until it succeeds; dies naming WHAT when the time is over.
wait_until() {
    local limit="$1" what="$2" end
    shift 2
    end=$((SECONDS + limit))
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < end)) || die "waited $limit s for $what"
        sleep 0.2
    done
}

# start_detached LOG COMMAND…: starts a program that outlives this script, without this script's locks and pipes; its process
# id is then $!.
start_detached() {
    local log="$1"
    shift
    # shellcheck disable=SC2016  # the inner shell expands it
    setsid bash -c 'for descriptor in /proc/self/fd/*; do
            descriptor="${descriptor##*/}"
            if ((descriptor > 2)); then eval "exec $descriptor>&-"; fi
        done
        exec "$@"' start_detached "$@" </dev/null >"$log" 2>&1 &
}

# refresh_package_lists: for a machine whose lists of packages are absent or older than the archive.
refresh_package_lists() {
    timeout 600 apt-get -q -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 update >&2 || die "apt-get update failed"
}

# is_running PID-FILE PROGRAM: whether the noted process still lives and is that program.
is_running() {
    local pid
    [[ -s "$1" ]] || return 1
    pid="$(<"$1")"
    [[ "$pid" =~ ^[0-9]+$ && "$(readlink "/proc/$pid/exe" 2>/dev/null)" == *"/$2" ]]
}
