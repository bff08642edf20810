# What verify.sh and cluster.sh share: the versions they pin, and how they count. It is sourced, not run.

HELM3=v3.21.4
HELM4=v4.2.4
GATEWAY_API=v1.6.1
PROMETHEUS_OPERATOR=v0.93.0
KEDA=v2.20.0

passed=0
failed=0

# check NAME COMMAND…: one line when it succeeds, its output when it does not.
check() {
  local name=$1 log
  shift
  if log=$("$@" 2>&1); then
    passed=$((passed + 1))
    printf 'ok       %s\n' "$name"
  else
    failed=$((failed + 1))
    printf 'FAILED   %s\n' "$name"
    printf '%s\n' "$log" | tail -n 40 | sed 's/^/         | /'
  fi
}
