#!/usr/bin/env bash
# Checks the format of the Swift code and runs shellcheck over every script.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/testbed.sh"

cd "$repository"
swift format lint --strict --recursive Package.swift Sources Tests Fuzz
find scripts images .ci -type f -print0 | xargs -0 grep -lZ -E '^#!.*(bash|/sh)$' | xargs -0 shellcheck --external-sources --source-path SCRIPTDIR
say "nothing to complain about"
