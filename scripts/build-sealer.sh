#!/usr/bin/env bash
# Builds sealer as a release: one fully static, stripped executable at .build/sealer.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/testbed.sh"

size_limit=$((45 * 1000 * 1000))
product="$repository/.build/sealer"

built="$("$repository/scripts/build-release.sh" sealer)"
strip -o "$product.new" "$built"
size="$(stat -c %s "$product.new")"
((size < size_limit)) || die "$built is $size bytes stripped; the limit is $size_limit"
linkage="$(ldd "$product.new" 2>&1 || true)"
[[ "$linkage" == *"statically linked"* || "$linkage" == *"not a dynamic executable"* ]] ||
    die "$built is not static: $linkage"
mv "$product.new" "$product"
say "$product, $((size / 1000000)) MB, $("$product" --version)"
