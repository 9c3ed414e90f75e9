#!/usr/bin/env bash
# Makes and removes node containers with plain docker commands; sourced, never run. Needs testbed.sh sourced before.
# shellcheck disable=SC2154

# The kernel's capabilities by number, as far as every Docker since 20.10 knows their names.
capability_names=(
    CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
    NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
    SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
    MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ
)

# create_node NAME NETWORK: starts a node container. It gets every capability that this machine itself has: --privileged
# would ask for all there are, and fails where the machine lacks one.
create_node() {
    local bounding_set options=() number
    bounding_set="0x$(awk '$1 == "CapBnd:" { print $2 }' /proc/self/status)"
    for number in "${!capability_names[@]}"; do
        if ((bounding_set >> number & 1)); then options+=(--cap-add "${capability_names[number]}"); fi
    done
    timeout 120 docker run --detach --name "$1" --hostname "$1" --network "$2" --label "$testbed_label" "${options[@]}" \
        --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined \
        --cgroupns private --device-cgroup-rule 'a *:* rwm' --tmpfs /run --tmpfs /tmp:exec \
        --volume /var/lib/containerd --stop-signal SIGRTMIN+3 "$node_image" >/dev/null || die "could not start node $1"
    wait_until 60 "systemd of node $1" docker exec "$1" sh -c 'systemctl is-system-running | grep -Eq "running|degraded"'
}

# remove_nodes: removes every container, volume and network that carries the testbed's label.
remove_nodes() {
    local found
    found="$(timeout 60 docker ps --all --quiet --filter "label=$testbed_label")"
    # shellcheck disable=SC2086  # one id a line
    [[ -z "$found" ]] || timeout 120 docker rm --force --volumes $found >/dev/null
    found="$(timeout 60 docker network ls --quiet --filter "label=$testbed_label")"
    # shellcheck disable=SC2086
    [[ -z "$found" ]] || timeout 60 docker network rm $found >/dev/null
}

# node_address NAME: the node's IPv4 address.
node_address() { timeout 30 docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$1"; }

# in_node NAME COMMAND…
in_node() {
    local name="$1"
    shift
    timeout 900 docker exec -i "$name" "$@"
}
