#!/usr/bin/env bash
# Measures `bootstrap up` against a shell script that does the same with kubectl and helm, on one devcluster node of its
# own with all images local. Runs of both alternate. Usage: scripts/bench.sh [ROUNDS]; a round is one fresh run and three
# repeated ones of each. Needs root on Linux.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export LC_ALL=C

rounds=${1:-3}
work=$(mktemp -d)
bin=${CARGO_TARGET_DIR:-target}/release
cargo build --quiet --release --locked --workspace --bins
devcluster() { "$bin/devcluster" "$@"; }

trap 'devcluster down --name bench; rm -rf "$work"' EXIT
export KUBECONFIG=$work/kubeconfig BOOTSTRAP_CHARTS=tests/charts
devcluster up --name bench
devcluster load --name bench --stack manifests
BOOTSTRAP_HELM=$(devcluster tool helm)
KUBECTL=$(devcluster tool kubectl)
export BOOTSTRAP_HELM
helm() { "$BOOTSTRAP_HELM" -n monitoring "$@"; }
kubectl() { "$KUBECTL" -n monitoring "$@"; }

# What the script applies: bootstrap's own objects, a file for each step, so that both make the same.
"$bin/bootstrap" render --skip storage --storage-class local-path |
  awk -v dir="$work" '/^# step /{ file = sprintf("%s/%02d-%s.yaml", dir, ++count, $3) } { print > file }'
steps=("$work"/*.yaml)

# One thing after another, each waited for: without a plan that is how a script keeps to the order of the steps.
script_up() {
  local file release workload
  for file in "${steps[@]}"; do
    if grep -q '^kind:' "$file"; then
      kubectl apply --server-side -f "$file"
    fi
    if grep -q '^# secret grafana-secrets' "$file"; then
      kubectl get secret grafana-secrets || kubectl create secret generic grafana-secrets \
        --from-literal=admin-user=admin --from-literal=admin-password="$RANDOM$RANDOM"
    fi
    release=$(sed -n 's/^# release \([^:]*\):.*/\1/p' "$file")
    if [[ -n $release ]]; then
      helm upgrade --install "$release" "tests/charts/$release" -f "manifests/$release/values.yaml"
      kubectl rollout status "deployment/$release" --timeout=5m
    fi
    while read -r workload; do
      kubectl rollout status "$workload" --timeout=5m
    done < <(workloads "$file")
  done
}

# KIND/NAME of each workload in a file.
workloads() {
  awk '/^---/ { kind = "" } /^kind: /{ kind = $2 }
    kind ~ /^(Deployment|StatefulSet|DaemonSet)$/ && /^  name: / { print kind "/" $2; kind = "" }' "$1"
}

script_down() {
  helm uninstall prometheus-adapter kube-state-metrics
  cat "${steps[@]}" | kubectl delete --ignore-not-found -f -
  kubectl wait persistentvolume --all --for=delete --timeout=2m || true
}

bootstrap_up() { "$bin/bootstrap" up --storage-class local-path; }
bootstrap_down() { "$bin/bootstrap" down --purge-data; }

now() { printf '%s' $((${EPOCHREALTIME/./} / 1000)); }

# measure FILE COMMAND…: adds the milliseconds that it takes to the file.
measure() {
  local file=$1 begin
  begin=$(now)
  "${@:2}" >"$work/last.log" 2>&1 || { cat "$work/last.log" && return 1; }
  printf '%d\n' $(($(now) - begin)) >>"$work/$file"
  printf '%s %d ms\n' "$file" "$(tail -n 1 "$work/$file")"
}

# Writes down when each pod is first seen, and when it is Ready, as a watch tells.
watch_pods() {
  "$KUBECTL" -n monitoring get pods --watch -o \
    'jsonpath={.metadata.name} {.status.conditions[?(@.type=="Ready")].status}{"\n"}' \
    > >(while read -r line; do printf '%s %s\n' "$(now)" "$line"; done >"$work/pods") &
  watch=$!
}

# The pods' own start: from the first sight of each to its Ready, added up along what waits for each other.
pods_start() {
  awk '
    !($2 in seen) { seen[$2] = $1 }
    $3 == "True" && !($2 in took) { took[$2] = $1 - seen[$2] }
    function longest(pattern, pod, most) {
      for (pod in took) if (pod ~ pattern && took[pod] > most) most = took[pod]
      return most
    }
    END {
      chain = longest("^(prometheus-0|kube-state-metrics-)") + longest("^prometheus-adapter-")
      alone = longest(".")
      print (chain > alone ? chain : alone)
    }' "$work/pods" >>"$work/pods-start"
}

for ((round = 1; round <= rounds; round++)); do
  watch_pods
  measure bootstrap-fresh bootstrap_up
  kill "$watch" && pods_start
  for _ in 1 2 3; do measure bootstrap-again bootstrap_up; done
  bootstrap_down >/dev/null 2>&1
  measure script-fresh script_up
  for _ in 1 2 3; do measure script-again script_up; done
  script_down >/dev/null 2>&1
done

# MIN MEDIAN of a file, in seconds.
sum_up() { sort -n "$work/$1" | awk '{ all[NR] = $1 / 1000 } END { print all[1], all[int((NR + 1) / 2)] }'; }
printf '\n%-8s %22s %22s %8s\n' '' 'bootstrap min/median' 'script min/median' ratio
for what in fresh again; do
  read -r least median < <(sum_up "bootstrap-$what")
  read -r script_least script_median < <(sum_up "script-$what")
  awk -v w="$what" -v a="$least" -v b="$median" -v c="$script_least" -v d="$script_median" \
    'BEGIN { printf "%-8s %13.2f /%6.2f s %13.2f /%6.2f s %8.2f\n", w, a, b, c, d, b / d }'
done
read -r least median < <(sum_up pods-start)
printf '%-8s %13.2f /%6.2f s  the pods'"'"' own start, from first sight to Ready, along the longest chain\n' floor "$least" "$median"
