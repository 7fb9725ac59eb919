#!/usr/bin/env bash
# Runs what must never fail over and over, on clusters of its own: first kill -9 at moments spread over up and down, each
# followed by up; then the healthy cases of the gauntlet, of which the summary counts the false failures.
# Usage: scripts/soak.sh [TIMES [MOMENTS]]: each healthy case 20 times, and 30 moments, unless given. Needs root on Linux.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

times=${1:-20} moments=${2:-30}
INTERRUPTED_MOMENTS=$((moments / 2)) cargo test --locked --test interrupted -- after_a_kill </dev/null
GAUNTLET_REPEAT=$times exec cargo test --locked --test gauntlet -- healthy:: </dev/null
