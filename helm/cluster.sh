#!/usr/bin/env bash
# Does the chart live in a real Kubernetes: installs that wait, hooks, upgrades, evictions, autoscaling, rollback, with both Helms?
#
#   helm/verify.sh             first: it installs the Helms
#   helm/cluster.sh            builds the programs from their Go modules (target/tools, long on few cores, once), then about 20 minutes
#
# etcd, the API server with admission and the restricted pod security standard, the controllers and the scheduler are real; they listen
# on loopback and end with this script. There are no containers: kwok has six nodes in three zones, and their pods report what kubelets
# would (helm/tests/stages.yaml). A pod fails, or is never ready, when it uses a Secret named carillon-wrong: that is how a migration,
# a version or a test fails here. The last line is "<n> passed, <m> failed".
set -uo pipefail
cd "$(dirname "$0")/.."
exec </dev/null
. helm/common.sh || exit

chart=$PWD/helm/carillon
tools=$PWD/target/tools
work=$PWD/target/helm-cluster
rm -rf "$work"
mkdir -p "$work"
export GOTOOLCHAIN=auto CGO_ENABLED=0 HELM_MAX_HISTORY=100 HELM_CONFIG_HOME=$work/home HELM_CACHE_HOME=$work/home HELM_DATA_HOME=$work/home

give_up() {
  printf 'NOT RUN  everything: %s\n' "$1"
  echo "$passed passed, $((failed + 1)) failed"
  exit 1
}
. helm/tests/control-plane.sh || exit
trap finish EXIT
programs
for version in "$HELM3" "$HELM4"; do
  [ -x "$tools/helm-$version/helm" ] || give_up "Helm $version is missing: run helm/verify.sh first"
done
start_api_server
start_controllers
start_nodes
echo "Kubernetes $(kubectl version -o json | sed -n 's/.*"gitVersion": "\(.*\)".*/\1/p' | tail -n 1), $(kubectl get nodes -o name | wc -l) nodes"

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

# What sets of values name and do not bring.
kubectl create priorityclass edge --value 1000 >/dev/null
kubectl create -f - >/dev/null <<YAML
{apiVersion: node.k8s.io/v1, kind: RuntimeClass, metadata: {name: gvisor}, handler: runsc}
YAML

# A namespace that refuses pods which are not restricted, and warns of templates of such pods.
namespace() {
  kubectl create namespace "$1" &&
    kubectl label namespace "$1" pod-security.kubernetes.io/enforce=restricted pod-security.kubernetes.io/warn=restricted &&
    wait_for "the account" 60 kubectl -n "$1" get serviceaccount default &&
    wait_for "the authority" 60 kubectl -n "$1" get configmap kube-root-ca.crt &&
    kubectl -n "$1" create serviceaccount shared &&
    kubectl -n "$1" create secret generic carillon-redis --from-literal=url=unused
}

# --- what is there -------------------------------------------------------------------------------------------------------

live() { python3 helm/tests/live.py "$@"; }
kinds=$(kubectl api-resources --namespaced --verbs list -o name | grep -vE '^(endpoints|events|leases)\b' | paste -sd ,)
# The test's pod is a hook, and stays to be read.
everything() { kubectl -n "$space" get "$kinds" -o name --ignore-not-found | grep -v '^pod/t-carillon-probe$' | sort; }
as_before() { [ "$(everything)" = "$empty" ]; }
nothing_left() {
  wait_for "an empty namespace" 90 as_before && return
  diff <(echo "$empty") <(everything)
  return 1
}

deployments() { kubectl -n "$space" get deployment -l app.kubernetes.io/part-of=carillon -o name; }
available() {
  local item
  for item in $(deployments); do
    kubectl -n "$space" rollout status "$item" --timeout 120s && kubectl -n "$space" wait --for condition=Available "$item" --timeout 60s || return
  done
}
are() { [ "$(kubectl -n "$space" get deployment t-carillon-gateway -o jsonpath='{.spec.replicas} {.status.availableReplicas}')" = "$1 $1" ]; }
# Helm 3 waits until they are ready, which is a little earlier.
replicas() { wait_for "$1 gateways" 60 are "$1"; }
# pods COMPONENT…: those that are not about to leave.
pods() {
  kubectl -n "$space" get pods -l "app.kubernetes.io/component in ($1)" --sort-by metadata.name \
    -o go-template='{{range .items}}{{if not .metadata.deletionTimestamp}}{{.metadata.name}}{{"\n"}}{{end}}{{end}}'
}
ready() { [ "$(kubectl -n "$space" get pod "$1" -o jsonpath='{.metadata.deletionTimestamp}{.status.conditions[?(@.type=="Ready")].status}')" = True ]; }
# serving PODS: all of them are still there and ready.
serving() {
  local pod
  [ -n "$1" ] && for pod in $1; do
    ready "$pod" || { echo "$pod is not in service"; return 1; }
  done
}
generations() { kubectl -n "$space" get deployment -l app.kubernetes.io/part-of=carillon -o jsonpath='{.items[*].metadata.generation}'; }
migrations() { kubectl -n "$space" get events --field-selector involvedObject.kind=Job,reason=Completed -o name | wc -l; }
job_failed() { kubectl -n "$space" get jobs -o jsonpath='{.items[*].status.conditions[?(@.type=="Failed")].reason}' | grep BackoffLimitExceeded; }
no_job() { [ -z "$(kubectl -n "$space" get job -o name)" ]; }
phase() { [ "$(kubectl -n "$space" get pod t-carillon-probe -o jsonpath='{.status.phase}')" = "$1" ]; }

# --- the chart -----------------------------------------------------------------------------------------------------------

# Admission and validation of all that a set of values renders, hooks and test included; nothing is kept.
taken() {
  local log
  log=$("$helm" template x "$chart" --namespace "$space" --kube-version "$KUBERNETES" --values "$1" |
    kubectl -n "$space" apply --server-side --dry-run=server --validate=strict -f - 2>&1) || { echo "$log"; return 1; }
  ! grep -i warning <<<"$log"
}

# change VERB CHART OPTION…: with the values of $values, and until everything is there.
change() {
  local verb=$1 from=$2
  shift 2
  "$helm" "$verb" t "$from" --namespace "$space" --values "$values" --wait --timeout 4m "$@"
}
back() { "$helm" rollback t "$1" --namespace "$space" --wait --timeout 4m && available; }
gone() { "$helm" uninstall t --namespace "$space" --wait --timeout 2m && nothing_left; }
with_migration() {
  local before
  before=$(migrations)
  "$@" && [ "$(migrations)" = $((before + 1)) ]
}
# refused SECONDS OPTION…: an upgrade that does not come to its end.
refused() {
  local limit=$1
  shift
  ! change upgrade "$chart" --timeout "$limit" "$@"
}
soon=(--set gateway.minReadySeconds=2 --set publisher.minReadySeconds=2)

life() {
  local before
  before=$(migrations)
  change install "$chart" --wait-for-jobs "${soon[@]}" && available || return
  case $values in
    */migrations-init.yaml | */migrations-none.yaml) ;;
    *) before=$((before + 1)) ;;
  esac
  [ "$(migrations)" = "$before" ] || { echo "migrations: $(migrations), not $before"; return 1; }
  gone
}

migration_stops_upgrade() {
  local before numbers
  before=$(pods "gateway, publisher") && numbers=$(generations)
  refused 2m --set gateway.replicas=5 "${soon[@]}" --set log.level=debug --set migrations.backoffLimit=1 --set database.migrator.existingSecret=carillon-wrong &&
    job_failed && [ "$(generations)" = "$numbers" ] && [ "$(pods "gateway, publisher")" = "$before" ] && serving "$before"
}
migration_stops_install() {
  ! change install "$chart" --set migrations.backoffLimit=0 --set database.migrator.existingSecret=carillon-wrong && job_failed || return
  [ -z "$(deployments)" ] || return
  # A hook that failed stays to be read, and no release owns it.
  "$helm" uninstall t --namespace "$space" --wait && kubectl -n "$space" delete job,serviceaccount,networkpolicy -l app.kubernetes.io/component=migrate &&
    nothing_left
}
version_never_ready() {
  local before
  before=$(pods gateway)
  refused 20s --set gateway.replicas=6 "${soon[@]}" --set redis.gateway.existingSecret=carillon-wrong && serving "$before" &&
    [ "$(pods gateway | wc -l)" = 8 ]
}
init_never_done() {
  local before
  change install "$chart" "${soon[@]}" && available || return
  before=$(pods publisher)
  refused 20s "${soon[@]}" --set database.migrator.existingSecret=carillon-wrong && serving "$before" && back 1 && gone
}
job_fails() {
  ! change install "$chart" --wait-for-jobs --timeout 60s --set migrations.backoffLimit=0 --set database.migrator.existingSecret=carillon-wrong &&
    job_failed && gone
}
job_is_the_same() {
  local before
  change install "$chart" --wait-for-jobs "${soon[@]}" && before=$(kubectl -n "$space" get job -o name) &&
    change upgrade "$chart" --wait-for-jobs "${soon[@]}" --set log.level=debug && [ "$(kubectl -n "$space" get job -o name)" = "$before" ] &&
    change upgrade "$chart" --wait-for-jobs "${soon[@]}" --set image.tag=next && [ "$(kubectl -n "$space" get job -o name)" != "$before" ] && gone
}
tests() { "$helm" test t --namespace "$space" --timeout 90s; }
test_fails() { ! tests && phase Failed; }
six_stay() {
  local before
  before=$(pods gateway)
  with_migration change upgrade "$chart" "${soon[@]}" --set gateway.autoscaling.kind=hpa && replicas 6 && [ "$(pods gateway)" = "$before" ]
}
fell() {
  kubectl -n "$space" get events --field-selector reason=ScalingReplicaSet -o jsonpath='{range .items[*]}{.message}{"\n"}{end}' |
    grep 't-carillon-gateway-[a-z0-9]* from 6 to 1$'
}
never_fell() { ! fell; }
rolls_on_change() {
  local first second third
  roll() { with_migration change upgrade "$chart" "${soon[@]}" --set secrets.rollOnChange=true && available; }
  roll && first=$(pods gateway) && roll && second=$(pods gateway) &&
    kubectl -n "$space" patch secret carillon-redis --patch '{"stringData":{"url":"other"}}' && roll && third=$(pods gateway)
  printf 'pods:\n%s\n%s\n%s\n' "$first" "$second" "$third"
  [ -n "$first" ] && [ "$first" = "$second" ] && [ -n "$third" ] && [ -z "$(comm -12 <(echo "$second") <(echo "$third"))" ]
}

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
  empty=$(everything)
  for file in "$chart"/ci/*.yaml; do
    check "$name: every object of $(basename "$file" .yaml) is taken, without a warning" taken "$file"
  done

  values=$chart/ci/minimal.yaml
  check "$name: a migration that fails stops the install" migration_stops_install
  check "$name installs, the migration first" with_migration change install "$chart"
  check "$name: the migration was a hook and is gone" no_job
  check "$name: everything is Available" available
  check "$name: three gateways are in three zones" live spread "$space" gateway 1 1 1
  check "$name: two publishers are in two" live spread "$space" publisher 1 1 0
  check "$name upgrades to six gateways, the migration first" with_migration change upgrade "$chart" "${soon[@]}" --set gateway.replicas=6
  check "$name: they are six" replicas 6
  check "$name: the test passes" tests
  check "$name: its pod ran under the restricted standard" phase Succeeded
  check "$name: an update has two gateways more and none less, and is in no hurry" live rollout "$space" gateway 8 6 5 \
    "$helm" upgrade t "$chart" --namespace "$space" --values "$values" --wait --timeout 4m --set gateway.replicas=6 --set gateway.minReadySeconds=5 --set log.level=debug
  # Twin: the same look at another strategy.
  check "$name: an update may have two less and none more" live rollout "$space" gateway 6 4 - \
    "$helm" upgrade t "$chart" --namespace "$space" --values "$values" --wait --timeout 4m --set gateway.replicas=6 "${soon[@]}" \
    --set gateway.strategy.maxSurge=0 --set gateway.strategy.maxUnavailable=2
  check "$name: back to six" back 2
  check "$name: a migration that fails stops the upgrade, and nothing has changed" migration_stops_upgrade
  check "$name: a version that is never ready leaves the six in service" version_never_ready
  check "$name rolls such a version back" back 2
  check "$name: to six" replicas 6
  check "$name: the test's pod can be changed alone" with_migration change upgrade "$chart" "${soon[@]}" --set gateway.replicas=6 --set tests.token.existingSecret=carillon-wrong
  check "$name: a test that fails is a failure" test_fails
  check "$name switches autoscaling on, and the six stay six" six_stay
  check "$name: the autoscaler has found them" live autoscaler "$space" gateway
  # Twin: from the same six, without the look at the live number. Of its own, the autoscaler brings them up again to its fewest.
  check "$name goes back to six by number" with_migration change upgrade "$chart" "${soon[@]}" --set gateway.replicas=6
  check "$name: until now they never were one" never_fell
  check "$name switches autoscaling on with a chart that does not look" with_migration change upgrade "$careless" "${soon[@]}" --set gateway.autoscaling.kind=hpa
  check "$name: and that one falls to a single gateway" wait_for "the fall" 30 fell
  check "$name: pods are replaced when a Secret has changed, and only then" rolls_on_change
  check "$name rolls back" back 2
  check "$name: to six again" replicas 6
  check "$name uninstalls, and leaves nothing behind" gone

  for values in "$chart"/ci/*.yaml; do
    check "$name: $(basename "$values" .yaml) becomes Available, and leaves nothing behind" life
  done
  values=$chart/ci/migrations-job.yaml
  check "$name: a Job that fails fails an install that waits for it" job_fails
  check "$name: the same image is the same Job, another image another" job_is_the_same
  values=$chart/ci/migrations-init.yaml
  check "$name: a publisher that cannot migrate leaves the others in service" init_never_done
done

# --- what does not depend on Helm ----------------------------------------------------------------------------------------

space=services
namespace "$space" >/dev/null || give_up "no namespace $space"
empty=$(everything)
values=$chart/ci/minimal.yaml
check "the default values become Available" change install "$chart"
check "an update at the default pace has one gateway more and none less, 30 s apart" live rollout "$space" gateway 4 3 30 \
  "$helm" upgrade t "$chart" --namespace "$space" --values "$values" --wait --timeout 6m --set log.level=debug
for component in gateway publisher; do
  check "clients reach the $component pods that are ready and stay, ops reaches all" live endpoints "$space" "$component"
  check "one $component may be evicted, not two" live evict "$space" "$component" 1
done
check "a gateway that is not ready may be evicted when no other may" live evict-unready "$space" gateway
check "the budget is made two" change upgrade "$chart" "${soon[@]}" --set log.level=debug --set gateway.pdb.maxUnavailable=2
check "two gateways may be evicted, not three" live evict "$space" gateway 2
check "it leaves nothing behind" gone

# Many people, and at first one of the three zones takes no pods.
values=$chart/ci/production.yaml
kubectl cordon -l zone=c >/dev/null
check "production installs with a zone closed" "$helm" install t "$chart" --namespace "$space" --values "$values" --timeout 2m
check "two of four gateways wait for the third zone" live waiting "$space" gateway 2
check "the others are in the two zones" live spread "$space" gateway 1 1 0
# Twin: the publishers' spread is a wish.
check "the four publishers do not wait" live spread "$space" publisher 2 2 0
kubectl uncordon -l zone=c >/dev/null
check "with the zone open everything is Available" available
check "four gateways are in three zones" live spread "$space" gateway 2 1 1
for component in gateway publisher; do
  check "the $component autoscaler has found its target, and says that there are no metrics" live autoscaler "$space" "$component"
  check "one $component of production may be evicted, not two" live evict "$space" "$component" 1
done
kubectl -n "$space" create -f - >/dev/null <<YAML
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: nobody}
spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: nobody}, maxReplicas: 4}
YAML
check "an autoscaler without a target says so" kubectl -n "$space" wait --for condition=AbleToScale=false hpa nobody --timeout 60s
kubectl -n "$space" delete hpa nobody >/dev/null
check "an update of production has one gateway more and none less" live rollout "$space" gateway 5 4 5 \
  "$helm" upgrade t "$chart" --namespace "$space" --values "$values" --wait --timeout 6m --set gateway.minReadySeconds=5 --set log.level=debug
check "its gateways are in three zones again" live spread "$space" gateway 2 1 1
check "and now its publishers, too" live spread "$space" publisher 2 1 1
check "production leaves nothing behind" gone

# The namespaces really enforce the standard.
careless_pod_refused() {
  local said
  ! said=$(kubectl -n "$space" run careless --image=careless 2>&1) && grep "violates PodSecurity" <<<"$said"
}
check "a pod that is not restricted is refused" careless_pod_refused

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
