#!/usr/bin/env bash
# Brings the observability stack up from a fresh clone: builds bootstrap, takes or makes a cluster (k3d where k3d and
# a Docker engine are there, else the devcluster of this repository), and runs `bootstrap up` with the arguments given.
# --build-images, before all others, is for the devcluster: it builds the real programs from source, asking no registry.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bin=${CARGO_TARGET_DIR:-$root/target}/release

say() { printf '==> %s\n' "$*" >&2; }
die() {
  printf 'error: %s\nhint: %s\n' "$1" "$2" >&2
  exit 3
}
has() { command -v "$1" >/dev/null; }
build() { cargo build --quiet --release --locked --manifest-path "$root/Cargo.toml" -p "$1"; }

use_k3d() {
  if k3d cluster list observability >/dev/null 2>&1; then
    say "k3d: the cluster observability is there; starting it if it is stopped"
    k3d cluster start observability
    k3d kubeconfig merge observability --kubeconfig-merge-default >/dev/null
  elif (exec 3<>/dev/tcp/127.0.0.1/80) 2>/dev/null; then
    die "port 80 of 127.0.0.1 is taken, which scripts/k3d.yaml maps to the cluster's ingress" \
      "see what has it: ss -ltnp 'sport = :80'; or map another port there"
  else
    say "k3d: making the cluster observability from scripts/k3d.yaml; grafana.localhost will be on port 80"
    k3d cluster create --config "$root/scripts/k3d.yaml"
  fi
  export BOOTSTRAP_CONTEXT=k3d-observability
  down="k3d cluster delete observability"
  grafana="http://grafana.localhost"
}

use_devcluster() {
  say "no k3d with a running Docker engine: using the devcluster, one real Kubernetes node on this machine"
  build devcluster
  "$bin/devcluster" up
  if [[ -n $build_images ]]; then
    say "building the real programs of the stack's images (the first time takes some 15 minutes more); Alloy and Grafana get stand-ins"
  else
    say "loading the stack's images; a stand-in takes the place of each that no registry gives"
  fi
  "$bin/devcluster" load ${build_images:+"$build_images"} --stack "$root/manifests"
  export BOOTSTRAP_CONTEXT=devcluster
  down="$bin/devcluster down"
  kubectl=$(command -v kubectl || "$bin/devcluster" tool kubectl)
  grafana="http://localhost:3000 after: $kubectl port-forward --context devcluster -n monitoring service/grafana-service 3000"
}

use_helm() {
  say "no helm on the PATH: using one built from its Go module (the first time takes some minutes)"
  build devcluster
  BOOTSTRAP_HELM=$("$bin/devcluster" tool helm) ||
    die "helm is missing" "install it: https://helm.sh/docs/intro/install/"
  export BOOTSTRAP_HELM
}

# Where no chart repository answers, the small charts of the tests serve.
use_charts() {
  local chart
  chart=$(sed -n 's/^ *chart: \(oci:.*\)/\1/p' "$root/manifests/stack.yaml" | head -n 1)
  if ! timeout 20 "${BOOTSTRAP_HELM:-helm}" show chart "$chart" >/dev/null 2>&1; then
    say "no answer from $chart: using the small charts in tests/charts in place of the upstream ones"
    export BOOTSTRAP_CHARTS=$root/tests/charts
  fi
}

build_images=
if [[ ${1:-} == --build-images ]]; then
  build_images=$1
  shift
fi
has cargo || die "cargo is missing" "install Rust 1.95 or newer: https://rustup.rs"
say "building bootstrap (the first time takes some minutes)"
build bootstrap

if has k3d && docker info >/dev/null 2>&1; then
  use_k3d
elif [[ $(uname -s) == Linux && $EUID == 0 ]]; then
  use_devcluster
else
  die "no cluster: k3d with a running Docker engine is missing, and the devcluster needs root on Linux" \
    "get Docker, then k3d: https://k3d.io/stable/#installation"
fi
[[ -n ${BOOTSTRAP_HELM:-} ]] || has helm || use_helm
[[ $BOOTSTRAP_CONTEXT != devcluster || -n ${BOOTSTRAP_CHARTS:-} ]] || use_charts

say "bootstrap up${*:+ $*}"
"$bin/bootstrap" up "$@"

say "done; run this again whenever you like, it changes only what is not as it should be"
settings=
for name in BOOTSTRAP_CONTEXT BOOTSTRAP_HELM BOOTSTRAP_CHARTS; do
  [[ -z ${!name:-} ]] || settings+=" $name=$(printf %q "${!name}")"
done
cat >&2 <<EOF
    in your shell:   export$settings
    what runs:       $bin/bootstrap status
    Grafana:         $grafana
    its login:       $bin/bootstrap credentials --show
    take it away:    $bin/bootstrap down (with --purge-data also what it stored)
    and the cluster: $down
EOF
