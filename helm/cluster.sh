#!/usr/bin/env bash
# Does a real Kubernetes API server take the chart: every object, hooks, upgrades, autoscaling, rollback, with both Helms?
#
#   helm/verify.sh             first: it installs the Helms
#   helm/cluster.sh            builds the API server from its Go modules (target/tools, long on few cores, once), then minutes
#
# etcd and the API server are real, with admission, defaults and the restricted pod security standard; they listen on loopback and
# end with this script. There are no controllers and no nodes: nothing runs, and what a Job or the test's pod would report is played.
# The last line is "<n> passed, <m> failed".
set -uo pipefail
cd "$(dirname "$0")/.."
exec </dev/null
. helm/common.sh || exit

KUBERNETES=1.36.2

chart=$PWD/helm/carillon
tools=$PWD/target/tools
bin=$tools/kubernetes-$KUBERNETES
work=$PWD/target/helm-cluster
rm -rf "$work"
mkdir -p "$bin" "$work"
export GOTOOLCHAIN=auto CGO_ENABLED=0
pids=()

# Only what was started here, by its id, the last first: an API server without its etcd would not end by itself.
finish() {
  local index pid tries
  for ((index = ${#pids[@]} - 1; index >= 0; index--)); do
    pid=${pids[index]}
    kill "$pid" 2>/dev/null
    for ((tries = 0; tries < 100; tries++)); do
      kill -0 "$pid" 2>/dev/null || break
      sleep 0.2
    done
    kill -9 "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
  done
}
trap finish EXIT

give_up() {
  printf 'NOT RUN  everything: %s\n' "$1"
  echo "$passed passed, $((failed + 1)) failed"
  exit 1
}

# --- programs ------------------------------------------------------------------------------------------------------------

# Published, k8s.io/kubernetes replaces its libraries by folders; a module of ours replaces them by the versions published with it.
build_kubernetes() {
  local declared library command minor=${KUBERNETES#1.}
  mkdir "$work/kubernetes" && cd "$work/kubernetes" || return
  declared=$(go mod download -json "k8s.io/kubernetes@v$KUBERNETES" | sed -n 's/.*"GoMod": "\(.*\)".*/\1/p')
  [ -n "$declared" ] || return
  {
    echo "module kubernetes"
    grep '^go ' "$declared"
    echo "require k8s.io/kubernetes v$KUBERNETES"
    echo "tool k8s.io/kubernetes/cmd/kube-apiserver"
    echo "tool k8s.io/kubernetes/cmd/kubectl"
    grep -oE 'k8s\.io/[a-z-]+ => ' "$declared" | sort -u | while read -r library _; do
      echo "replace $library => $library v0.$minor"
    done
  } >go.mod
  go mod tidy || return
  for command in kubectl kube-apiserver; do
    nice go build -o "$bin/$command" -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=v$KUBERNETES \
      -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=${minor%%.*}" "k8s.io/kubernetes/cmd/$command" || return
  done
}
if [ ! -x "$bin/kube-apiserver" ]; then
  echo "building Kubernetes $KUBERNETES"
  (build_kubernetes) >"$work/build.log" 2>&1 || give_up "Kubernetes $KUBERNETES could not be built: $(tail -n 1 "$work/build.log")"
fi
etcd=$(command -v etcd || echo "$tools/etcd/usr/bin/etcd")
if [ ! -x "$etcd" ]; then
  mkdir -p "$tools/etcd"
  (cd "$tools/etcd" && apt-get download -qq etcd-server && dpkg-deb -x etcd-server_*.deb . && rm etcd-server_*.deb) >/dev/null 2>&1
  [ -x "$etcd" ] || give_up "etcd is not installed, and apt has no package etcd-server"
fi
for version in "$HELM3" "$HELM4"; do
  [ -x "$tools/helm-$version/helm" ] || give_up "Helm $version is missing: run helm/verify.sh first"
done

# --- the API server ------------------------------------------------------------------------------------------------------

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
start() {
  local name=$1
  shift
  "$@" >"$work/$name.log" 2>&1 &
  pids+=($!)
}
# wait_for WHAT SECONDS COMMAND…
wait_for() {
  local what=$1 limit=$2 deadline=$((SECONDS + $2))
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] || { echo "$what: not within $limit s"; return 1; }
    sleep 0.3
  done
}

store=$(free_port)
peers=$(free_port)
api=$(free_port)
start etcd "$etcd" --data-dir "$work/etcd" --listen-client-urls "http://127.0.0.1:$store" --advertise-client-urls "http://127.0.0.1:$store" \
  --listen-peer-urls "http://127.0.0.1:$peers" --initial-advertise-peer-urls "http://127.0.0.1:$peers" --initial-cluster "default=http://127.0.0.1:$peers"
token=$(python3 -c 'import secrets; print(secrets.token_hex(16))')
(umask 077 && echo "$token,admin,admin,system:masters" >"$work/tokens.csv" && openssl genrsa -out "$work/accounts.key" 2048 2>/dev/null)
start kube-apiserver "$bin/kube-apiserver" --etcd-servers "http://127.0.0.1:$store" --bind-address 127.0.0.1 --secure-port "$api" \
  --cert-dir "$work/certificates" --token-auth-file "$work/tokens.csv" --authorization-mode RBAC --service-cluster-ip-range 10.96.0.0/16 \
  --service-account-issuer https://kubernetes.default.svc --service-account-key-file "$work/accounts.key" \
  --service-account-signing-key-file "$work/accounts.key"
cat >"$work/kubeconfig" <<YAML
apiVersion: v1
kind: Config
current-context: here
contexts: [{name: here, context: {cluster: here, user: admin}}]
clusters: [{name: here, cluster: {server: "https://127.0.0.1:$api", insecure-skip-tls-verify: true}}]
users: [{name: admin, user: {token: $token}}]
YAML
export KUBECONFIG=$work/kubeconfig HELM_CONFIG_HOME=$work/home HELM_CACHE_HOME=$work/home HELM_DATA_HOME=$work/home
kubectl() { "$bin/kubectl" "$@"; }
wait_for "the API server" 180 kubectl get --raw /readyz || give_up "the API server did not start: $(tail -n 1 "$work/kube-apiserver.log")"
echo "Kubernetes $(kubectl version -o json | sed -n 's/.*"gitVersion": "\(.*\)".*/\1/p' | tail -n 1)"

module() { go mod download -json "$1@$2" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p'; }
custom_resources() {
  local routes operator keda file
  routes=$(module sigs.k8s.io/gateway-api "$GATEWAY_API")
  operator=$(module github.com/prometheus-operator/prometheus-operator "$PROMETHEUS_OPERATOR")
  keda=$(module github.com/kedacore/keda/v2 "$KEDA")
  for file in "$routes"/config/crd/standard/*httproutes.yaml "$operator"/example/prometheus-operator-crd/*_{podmonitors,prometheusrules}.yaml \
    "$keda"/config/crd/bases/keda.sh_scaledobjects.yaml; do
    kubectl apply --server-side -f "$file" || return
  done
  kubectl wait --for condition=Established crd --all --timeout 60s
}
check "the custom resources' definitions are taken" custom_resources

# A namespace that refuses pods which are not restricted, and warns of templates of such pods.
namespace() {
  kubectl create namespace "$1" &&
    kubectl label namespace "$1" pod-security.kubernetes.io/enforce=restricted pod-security.kubernetes.io/warn=restricted &&
    kubectl -n "$1" create serviceaccount default &&
    kubectl -n "$1" create secret generic carillon-redis --from-literal=url=unused
}

# --- what controllers would do -------------------------------------------------------------------------------------------

# The migration succeeds, as soon as it is there. Its name is kept as a witness: the hook is deleted after success.
play_migration() {
  local space=$1 now
  wait_for "the migration" 60 kubectl -n "$space" get job t-carillon-migrate || return
  now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
  kubectl -n "$space" patch job t-carillon-migrate --subresource status --type merge --patch '{"status":{"startTime":"'"$now"'","completionTime":"'"$now"'",
    "succeeded":1,"uncountedTerminatedPods":{},"conditions":[{"type":"SuccessCriteriaMet","status":"True"},{"type":"Complete","status":"True"}]}}' &&
    echo "$space" >>"$work/migrated"
}
# with_migration SPACE COMMAND…
with_migration() {
  local space=$1 player code=0
  shift
  play_migration "$space" >"$work/migration-$space.log" 2>&1 &
  player=$!
  "$@" || code=$?
  wait "$player" || { cat "$work/migration-$space.log"; return 1; }
  return $code
}
play_test() {
  wait_for "the test's pod" 60 kubectl -n "$1" get pod t-carillon-probe &&
    kubectl -n "$1" patch pod t-carillon-probe --subresource status --type merge --patch '{"status":{"phase":"Succeeded"}}'
}
helm_test() {
  play_test "$2" >"$work/test-$2.log" 2>&1 &
  "$1" test t --namespace "$2" --timeout 90s || { cat "$work/test-$2.log"; return 1; }
}

# --- the chart -----------------------------------------------------------------------------------------------------------

# Admission and validation of all that a set of values renders, hooks and test included; nothing is kept.
taken() {
  local log
  log=$("$1" template x "$chart" --namespace "$2" --kube-version "$KUBERNETES" --values "$3" |
    kubectl -n "$2" apply --server-side --dry-run=server --validate=strict -f - 2>&1) || { echo "$log"; return 1; }
  ! grep -i warning <<<"$log"
}
replicas() { [ "$(kubectl -n "$1" get deployment t-carillon-gateway -o jsonpath='{.spec.replicas}')" = "$2" ]; }
nothing_left() {
  local found
  found=$(kubectl -n "$1" get all,hpa,pdb,networkpolicy,serviceaccount,configmap -l app.kubernetes.io/part-of=carillon -o name | grep -v '^pod/t-carillon-probe')
  [ -z "$found" ] || { echo "$found"; return 1; }
}
checksum() { kubectl -n "$1" get deployment t-carillon-gateway -o jsonpath='{.spec.template.metadata.annotations.checksum/secrets}'; }

# The chart as it would be without the look at the live Deployment.
careless=$work/careless
cp -r "$chart" "$careless"
sed -i 's/{{- with lookup .*}}/{{- if false }}/' "$careless/templates/deployments.yaml"

for version in "$HELM3" "$HELM4"; do
  helm=$tools/helm-$version/helm
  major=${version%%.*}
  name="Helm ${major#v}"
  space=helm-${major#v}
  namespace "$space" >/dev/null || give_up "no namespace $space"
  for file in "$chart"/ci/*.yaml; do
    check "$name: every object of $(basename "$file" .yaml) is taken, without a warning" taken "$helm" "$space" "$file"
  done

  change() {
    local verb=$1 from=$2
    shift 2
    "$helm" "$verb" t "$from" --namespace "$space" --values "$chart/ci/minimal.yaml" --timeout 2m "$@"
  }
  check "$name installs, the migration first" with_migration "$space" change install "$chart"
  check "$name: the migration was a hook and is gone" bash -c "grep -q $space $work/migrated && ! $bin/kubectl -n $space get job t-carillon-migrate"
  check "$name: the test's pod is made under the restricted standard" helm_test "$helm" "$space"
  check "$name upgrades to six gateways, the migration first" with_migration "$space" change upgrade "$chart" --set gateway.replicas=6
  check "$name: they are six" replicas "$space" 6
  check "$name switches autoscaling on" with_migration "$space" change upgrade "$chart" --set gateway.autoscaling.kind=hpa
  check "$name: and the six stay six" replicas "$space" 6
  # Twin: from the same six, without the look at the live number.
  check "$name goes back to six by number" with_migration "$space" change upgrade "$chart" --set gateway.replicas=6
  check "$name switches autoscaling on with a chart that does not look" with_migration "$space" change upgrade "$careless" --set gateway.autoscaling.kind=hpa
  check "$name: and that one falls to a single gateway" replicas "$space" 1

  roll() { with_migration "$space" change upgrade "$chart" --set secrets.rollOnChange=true >/dev/null; }
  rolls_on_change() {
    local first second third
    roll && first=$(checksum "$space") && roll && second=$(checksum "$space") &&
      kubectl -n "$space" patch secret carillon-redis --patch '{"stringData":{"url":"other"}}' && roll && third=$(checksum "$space")
    echo "checksums: $first $second $third"
    [ -n "$first" ] && [ "$first" = "$second" ] && [ "$second" != "$third" ]
  }
  check "$name: pods are replaced when a Secret has changed, and only then" rolls_on_change
  check "$name rolls back" "$helm" rollback t 2 --namespace "$space" --timeout 2m
  check "$name: to six again" replicas "$space" 6
  check "$name uninstalls" "$helm" uninstall t --namespace "$space" --timeout 2m
  check "$name leaves nothing behind" nothing_left "$space"
done

# The namespaces really enforce the standard.
check "a pod that is not restricted is refused" bash -c "! $bin/kubectl -n helm-3 run careless --image=careless"

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
