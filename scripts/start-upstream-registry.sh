#!/usr/bin/env bash
# Runs a local registry that stands for upstream's (k8s.gcr.io, docker.io), filled from the cache, and writes a registries.conf.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/testbed.sh"

data="$testbed_cache/registry-data"
pid_file="$testbed_run/registry.pid"

answers() { curl -fsS --max-time 5 "http://$upstream_registry/v2/" >/dev/null 2>&1; }

start_registry() {
    local program config="$testbed_run/registry.yml" log="$testbed_run/registry.log" process
    program="$("$repository/scripts/unpack-packages.sh" docker-registry docker-registry)/usr/bin/docker-registry"
    mkdir -p "$data"
    cat >"$config" <<CONFIG
version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: "$data"}, delete: {enabled: true}}
http: {addr: "$upstream_registry"}
CONFIG
    start_detached "$log" "$program" serve "$config"
    process=$!
    echo "$process" >"$pid_file"
    answers_or_ended() { answers || ! kill -0 "$process"; }
    wait_until 30 "the registry to answer on $upstream_registry, see $log" answers_or_ended
    kill -0 "$process" 2>/dev/null || {
        rm -f "$pid_file"
        tail -n 3 "$log" >&2
        die "the registry ended, see $log"
    }
    say "started a registry on $upstream_registry"
}

# Short names are docker.io's; a tool reads this file when CONTAINERS_REGISTRIES_CONF names it.
write_registries_conf() {
    local domain
    {
        echo 'unqualified-search-registries = ["docker.io"]'
        for domain in k8s.gcr.io docker.io; do
            printf '\n[[registry]]\nprefix = "%s"\nlocation = "%s"\n' "$domain" "$domain"
            printf '\n[[registry.mirror]]\nlocation = "%s/%s"\ninsecure = true\n' "$upstream_registry" "$domain"
        done
    } >"$registries_conf.new"
    mv "$registries_conf.new" "$registries_conf"
}

mkdir -p "$testbed_run"
hold_lock upstream-registry
if is_running "$pid_file" docker-registry && answers; then
    :
elif answers; then
    die "something else answers on $upstream_registry; set SEALER_TESTBED_REGISTRY_PORT to a free port"
else
    start_registry
fi
"$repository/scripts/fill-upstream-registry.sh" "$data"
write_registries_conf
printf 'export CONTAINERS_REGISTRIES_CONF=%q\n' "$registries_conf"
