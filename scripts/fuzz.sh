#!/usr/bin/env bash
# Fuzzes the parsers with libFuzzer: fuzz.sh [SECONDS [TARGET…]], 60 seconds each and every target by default.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/testbed.sh"

seconds="${1:-60}"
[[ "$seconds" =~ ^[1-9][0-9]*$ ]] || die "usage: fuzz.sh [SECONDS [TARGET…]]"
targets=("${@:2}")
((${#targets[@]} > 0)) || targets=(tar layer gzip zstd document reference challenge)

"$repository/scripts/install-packages.sh"
cd "$repository"
# A scratch folder of its own: every module is compiled to tell libFuzzer which way it went.
SEALER_FUZZ_BUILD=1 timeout 1800 swift build -c release --product fuzz --scratch-path .build/fuzz \
    -Xswiftc -sanitize=fuzzer >&2 || die "swift build failed; the compiler's messages are above"
program="$(SEALER_FUZZ_BUILD=1 swift build -c release --scratch-path .build/fuzz --show-bin-path)/fuzz"

# What an earlier run found worth keeping goes on in this one.
found="$testbed_cache/fuzz"

# fuzz TARGET: its outcome is in a file, since several run at once.
fuzz() {
    local target="$1" log="$found/$1.log"
    if SEALER_FUZZ="$target" timeout $((seconds + 120)) "$program" "$found/$target" "Fuzz/Corpus/$target" \
        -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=16384 -print_final_stats=1 \
        -verbosity=0 -artifact_prefix="$found/$target-" >"$log" 2>&1; then
        say "$target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs in $seconds s, nothing found"
    else
        {
            say "$target: a finding"
            grep -aE 'Fatal error|SUMMARY|Test unit written|ERROR' "$log" || tail -n 20 "$log"
        } >&2
        touch "$found/$target.failed"
    fi
}

for target in "${targets[@]}"; do
    [[ -d "Fuzz/Corpus/$target" ]] || die "there is no target $target; Fuzz/Corpus has a folder for each"
    mkdir -p "$found/$target"
    rm -f "$found/$target.failed"
done
say "fuzzing ${targets[*]}, $seconds s each"
for target in "${targets[@]}"; do
    while (($(jobs -rp | wc -l) >= $(nproc))); do wait -n || true; done
    fuzz "$target" &
done
wait
failed=()
for target in "${targets[@]}"; do [[ ! -e "$found/$target.failed" ]] || failed+=("$target"); done
((${#failed[@]} == 0)) || die "findings in: ${failed[*]}; run one again with SEALER_FUZZ=TARGET $program FILE"
