#!/usr/bin/env bash
# Formats the Swift code in place, as .swift-format says.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/testbed.sh"

cd "$repository"
swift format --in-place --parallel --recursive Package.swift Sources Tests Fuzz
