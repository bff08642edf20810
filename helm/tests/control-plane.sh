# A control plane without containers: etcd, the API server, controllers, scheduler, and kwok, whose nodes have pods that only report.
# helm/cluster.sh sources it; it needs $tools, $work and give_up, and gives kubectl, wait_for and $KUBECONFIG.

KUBERNETES=1.36.2
KWOK=v0.8.0
# The one that Kubernetes' own module names. The older ones of distributions tell no progress: kwok would lose every watch.
ETCD=v3.6.8

bin=$tools/kubernetes-$KUBERNETES
kwok=$tools/kwok-$KWOK
etcd=$tools/etcd-$ETCD
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
    printf 'tool k8s.io/kubernetes/cmd/%s\n' "$@"
    grep -oE 'k8s\.io/[a-z-]+ => ' "$declared" | sort -u | while read -r library _; do
      echo "replace $library => $library v0.$minor"
    done
  } >go.mod
  go mod tidy || return
  for command in "$@"; do
    nice go build -o "$bin/$command" -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=v$KUBERNETES \
      -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=${minor%%.*}" "k8s.io/kubernetes/cmd/$command" || return
  done
}

# It, too, replaces its libraries by folders. A main module of ours knows nothing of that.
build_etcd() {
  local declared
  mkdir "$work/etcd-module" && cd "$work/etcd-module" || return
  declared=$(go mod download -json "go.etcd.io/etcd/server/v3@$ETCD" | sed -n 's/.*"GoMod": "\(.*\)".*/\1/p')
  [ -n "$declared" ] || return
  {
    echo "module etcd"
    grep '^go ' "$declared"
    echo "require go.etcd.io/etcd/server/v3 $ETCD"
    echo "tool go.etcd.io/etcd/server/v3"
  } >go.mod
  go mod tidy && nice go build -o "$etcd/etcd" -ldflags "-s -w" go.etcd.io/etcd/server/v3
}

programs() {
  local command missing=()
  mkdir -p "$bin"
  for command in kubectl kube-apiserver kube-controller-manager kube-scheduler; do
    [ -x "$bin/$command" ] || missing+=("$command")
  done
  if [ ${#missing[@]} != 0 ]; then
    echo "building Kubernetes $KUBERNETES: ${missing[*]}"
    (build_kubernetes "${missing[@]}") >"$work/build.log" 2>&1 || give_up "Kubernetes $KUBERNETES could not be built: $(tail -n 1 "$work/build.log")"
  fi
  if [ ! -x "$kwok/kwok" ]; then
    echo "installing kwok $KWOK"
    GOBIN=$kwok nice go install "sigs.k8s.io/kwok/cmd/kwok@$KWOK" >"$work/build.log" 2>&1 || give_up "kwok $KWOK could not be built: $(tail -n 1 "$work/build.log")"
  fi
  if [ ! -x "$etcd/etcd" ]; then
    echo "building etcd $ETCD"
    (build_etcd) >"$work/build.log" 2>&1 || give_up "etcd $ETCD could not be built: $(tail -n 1 "$work/build.log")"
  fi
}

# --- processes -----------------------------------------------------------------------------------------------------------

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
kubectl() { "$bin/kubectl" "$@"; }
module() { go mod download -json "$1@$2" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p'; }

start_api_server() {
  local store peers api token
  store=$(free_port)
  peers=$(free_port)
  api=$(free_port)
  start etcd "$etcd/etcd" --data-dir "$work/etcd" --listen-client-urls "http://127.0.0.1:$store" --advertise-client-urls "http://127.0.0.1:$store" \
    --listen-peer-urls "http://127.0.0.1:$peers" --initial-advertise-peer-urls "http://127.0.0.1:$peers" \
    --initial-cluster "default=http://127.0.0.1:$peers"
  token=$(python3 -c 'import secrets; print(secrets.token_hex(16))')
  (umask 077 && echo "$token,admin,admin,system:masters" >"$work/tokens.csv" && openssl genrsa -out "$work/accounts.key" 2048 2>/dev/null)
  start kube-apiserver "$bin/kube-apiserver" --etcd-servers "http://127.0.0.1:$store" --bind-address 127.0.0.1 --secure-port "$api" \
    --cert-dir "$work/certificates" --token-auth-file "$work/tokens.csv" --authorization-mode RBAC --service-cluster-ip-range 10.96.0.0/16 \
    --service-account-issuer https://kubernetes.default.svc --service-account-key-file "$work/accounts.key" \
    --service-account-signing-key-file "$work/accounts.key"
  (umask 077 && cat >"$work/kubeconfig") <<YAML
apiVersion: v1
kind: Config
current-context: here
contexts: [{name: here, context: {cluster: here, user: admin}}]
clusters: [{name: here, cluster: {server: "https://127.0.0.1:$api", insecure-skip-tls-verify: true}}]
users: [{name: admin, user: {token: $token}}]
YAML
  export KUBECONFIG=$work/kubeconfig
  wait_for "the API server" 180 kubectl get --raw /readyz || give_up "the API server did not start: $(tail -n 1 "$work/kube-apiserver.log")"
}

# The autoscaler looks every five seconds instead of fifteen; everything else is as by default.
start_controllers() {
  local port config=(--kubeconfig "$KUBECONFIG" --bind-address 127.0.0.1 --leader-elect=false)
  port=$(free_port)
  start kube-controller-manager "$bin/kube-controller-manager" "${config[@]}" --secure-port "$port" --cert-dir "$work/controllers" \
    --service-account-private-key-file "$work/accounts.key" --root-ca-file "$work/certificates/apiserver.crt" \
    --horizontal-pod-autoscaler-sync-period 5s
  wait_for "the controllers" 120 kubectl -n default get serviceaccount default || give_up "the controllers did not start: $(tail -n 1 "$work/kube-controller-manager.log")"
  port=$(free_port)
  start kube-scheduler "$bin/kube-scheduler" "${config[@]}" --secure-port "$port" --cert-dir "$work/scheduler"
}

# Two nodes in each of three zones. Their pods do what helm/tests/stages.yaml says.
start_nodes() {
  local zone number stages
  stages=$(module sigs.k8s.io/kwok "$KWOK")/kustomize/stage/node
  start kwok "$kwok/kwok" --kubeconfig "$KUBECONFIG" --manage-all-nodes --cidr 10.244.0.1/16 --node-ip 10.0.0.1 --node-lease-duration-seconds 40 \
    --config "$stages/fast/node-initialize.yaml" --config "$stages/heartbeat-with-lease/node-heartbeat-with-lease.yaml" --config helm/tests/stages.yaml
  for zone in a b c; do
    for number in 1 2; do
      kubectl create -f - >/dev/null <<YAML
apiVersion: v1
kind: Node
metadata:
  name: node-$zone$number
  labels:
    kubernetes.io/hostname: node-$zone$number
    kubernetes.io/os: linux
    kubernetes.io/arch: amd64
    topology.kubernetes.io/zone: zone-$zone
    zone: $zone
status:
  allocatable: {cpu: "64", memory: 256Gi, pods: "110"}
  capacity: {cpu: "64", memory: 256Gi, pods: "110"}
YAML
    done
  done
  kubectl wait --for condition=Ready node --all --timeout 120s >"$work/nodes.log" 2>&1 || give_up "the nodes are not ready: $(tail -n 1 "$work/nodes.log")"
}
