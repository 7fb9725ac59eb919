#!/usr/bin/env bash
# Runs the healthy cases of the gauntlet over and over on a cluster of its own; the summary counts the false failures, of
# which there must be none. Usage: scripts/soak.sh [TIMES], 20 unless given. Needs root on Linux.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export GAUNTLET_REPEAT=${1:-20}
exec cargo test --locked --test gauntlet -- healthy:: </dev/null
