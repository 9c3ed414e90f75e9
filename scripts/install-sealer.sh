#!/usr/bin/env bash
# Installs .build/sealer and its shell completions under PREFIX (/usr/local), below DESTDIR if that is set.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/testbed.sh"

target="${DESTDIR:-}${PREFIX:-/usr/local}"
sealer="$repository/.build/sealer"
[[ -x "$sealer" ]] || "$repository/scripts/build-sealer.sh"

install -D -m 755 "$sealer" "$target/bin/sealer"
# completion SHELL FILE
completion() {
    mkdir -p "$(dirname "$target/$2")"
    "$sealer" --generate-completion-script "$1" >"$target/$2"
}
completion bash share/bash-completion/completions/sealer
completion zsh share/zsh/site-functions/_sealer
completion fish share/fish/vendor_completions.d/sealer.fish
say "installed $target/bin/sealer"
