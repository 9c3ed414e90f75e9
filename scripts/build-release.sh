#!/usr/bin/env bash
# Builds an executable as sealer is released, fully static, and prints where it lies: build-release.sh PRODUCT
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/testbed.sh"

(($# == 1)) || die "build-release.sh PRODUCT"
"$repository/scripts/install-packages.sh" >&2
command -v swift >/dev/null || die "no swift in PATH; sealer needs a Swift 6.3 toolchain (swift.org/install)"
cd "$repository"
# A scratch folder of its own: the static flags would make `swift build` and `swift test` build everything anew. For the size:
# functions in sections of their own, so that the linker can leave out those that nobody calls, and no tables for unwinding the
# stack after exceptions, which nothing here throws (profilers and backtraces go by frame pointers).
flags=(-Xswiftc -static-executable -Xswiftc -Xfrontend -Xswiftc -function-sections -Xlinker --icf=safe)
for flag in -fno-asynchronous-unwind-tables -fno-unwind-tables; do flags+=(-Xcc "$flag" -Xcxx "$flag"); done
timeout 3600 swift build -c release --static-swift-stdlib "${flags[@]}" --product "$1" --scratch-path .build/static >&2 ||
    die "swift build failed; the compiler's messages are above"
printf '%s/%s\n' "$(swift build -c release --scratch-path .build/static --show-bin-path)" "$1"
