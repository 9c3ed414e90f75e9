#!/usr/bin/env bash
# Builds sealer as a release: one fully static, stripped executable at .build/sealer.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/testbed.sh"

size_limit=$((45 * 1000 * 1000))
product="$repository/.build/sealer"

"$repository/scripts/install-packages.sh"
command -v swift >/dev/null || die "no swift in PATH; sealer needs a Swift 6.3 toolchain (swift.org/install)"
cd "$repository"
# A scratch folder of its own: the static flags would make `swift build` and `swift test` build everything anew. For the size:
# functions in sections of their own, so that the linker can leave out those that nobody calls, and no tables for unwinding the
# stack after exceptions, which nothing here throws (profilers and backtraces go by frame pointers).
flags=(-Xswiftc -static-executable -Xswiftc -Xfrontend -Xswiftc -function-sections -Xlinker --icf=safe)
for flag in -fno-asynchronous-unwind-tables -fno-unwind-tables; do flags+=(-Xcc "$flag" -Xcxx "$flag"); done
timeout 3600 swift build -c release --static-swift-stdlib "${flags[@]}" --product sealer --scratch-path .build/static >&2 ||
    die "swift build failed; the compiler's messages are above"

built="$(swift build -c release --scratch-path .build/static --show-bin-path)/sealer"
strip -o "$product.new" "$built"
size="$(stat -c %s "$product.new")"
((size < size_limit)) || die "$built is $size bytes stripped; the limit is $size_limit"
linkage="$(ldd "$product.new" 2>&1 || true)"
[[ "$linkage" == *"statically linked"* || "$linkage" == *"not a dynamic executable"* ]] ||
    die "$built is not static: $linkage"
mv "$product.new" "$product"
say "$product, $((size / 1000000)) MB, $("$product" --version)"
