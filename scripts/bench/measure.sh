#!/usr/bin/env bash
# How something is measured, and what the machine itself can do; sourced by bench-images.sh.

# shellcheck disable=SC2154  # the script that sources this sets them

# Bytes that went over the loopback interface so far, headers and answers included.
loopback_bytes() { awk '$1 == "lo:" { print $2 }' /proc/net/dev; }

# record KIND JOB/TOOL VALUE: adds a reading.
record() {
    mkdir -p "$work/readings/$1/${2%/*}"
    printf '%s\n' "$3" >>"$work/readings/$1/$2"
}

# size_of NAME BYTES: notes how much work a job is.
size_of() {
    mkdir -p "$work/sizes"
    printf '%s\n' "$2" >"$work/sizes/$1"
}

# timed JOB/TOOL COMMAND…; `peer NAME COMMAND…` gives the command the containers' storage of that name: records the seconds it
# took, its peak memory in KiB and the bytes that went over the network. What takes more than 20 s is measured once.
timed() {
    local name="$1" begin end bytes
    shift
    [[ "$1" != peer ]] || set -- env CONTAINERS_STORAGE_CONF="$work/$2.conf" "${@:3}"
    if [[ -s "$work/readings/seconds/$name" ]] && awk '{ exit !($1 > 20) }' "$work/readings/seconds/$name"; then return; fi
    # What an earlier command left to be written must not slow this one.
    sync
    bytes="$(loopback_bytes)"
    begin="$EPOCHREALTIME"
    /usr/bin/env time -f %M -o "$work/peak" "$@" >"$work/output" 2>&1 || {
        tail -n 5 "$work/output" >&2
        die "$name failed: $*"
    }
    end="$EPOCHREALTIME"
    record seconds "$name" "$(awk -v a="$begin" -v b="$end" 'BEGIN { printf "%.3f", b - a }')"
    record memory "$name" "$(tail -n 1 "$work/peak")"
    record bytes "$name" "$(($(loopback_bytes) - bytes))"
}

# bound NAME COMMAND…: records how many bytes a second the machine does of something; the command prints how many it did.
bound() {
    local name="$1" begin bytes
    shift
    sync
    begin="$EPOCHREALTIME"
    bytes="$("$@")"
    record bounds "$name/machine" "$(awk -v a="$begin" -v b="$EPOCHREALTIME" -v n="$bytes" 'BEGIN { printf "%.0f", n / (b - a) }')"
}

gigabyte() {
    if [[ ! -e "$work/gigabyte" ]]; then openssl rand 1000000000 >"$work/gigabyte"; fi
    printf '%s\n' "$work/gigabyte"
}

write_durably() {
    dd if="$1" of="$work/written" bs=1M conv=fsync status=none
    stat -c %s "$work/written"
}

# read_bare CLIENTS FILE [--drop]
read_bare() {
    "$repository/scripts/bench/read-blob.py" --bare "$2" "${@:3}" "$1"
    printf '%s\n' "$(($1 * $(stat -c %s "$2")))"
}

measure_bounds() {
    local file
    file="$(gigabyte)"
    # The hash alone, one core, pieces of 1 MiB that lie in the cache.
    record bounds sha256/machine "$(openssl speed -evp sha256 -bytes 1048576 -seconds 2 -mr 2>/dev/null |
        awk -F: '/^\+F/ { printf "%.0f", $NF }')"
    # As much as most of the images have: long writes are slower on many machines.
    head -c 120000000 "$file" >"$work/some"
    bound disk write_durably "$work/some"
    bound disk-long write_durably "$file"
    rm -f "$work/written" "$work/some"
    bound loopback read_bare 1 "$file"
    bound loopback-16 read_bare 16 "$file"
    bound loopback-16-drop read_bare 16 "$file" --drop
}

# What every command of sealer must stay under, whatever the size.
check_memory() {
    local worst
    worst="$(find "$work/readings/memory" -name 'sealer*' -exec awk '{ print $1, FILENAME }' {} + | sort -n | tail -n 1)"
    say "most memory: $((${worst%% *} / 1024)) MiB, ${worst#*/readings/memory/}"
    ((${worst%% *} < 256 * 1024)) || die "that is not under 256 MiB"
}
