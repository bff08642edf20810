#!/usr/bin/env bash
# Does the chart carry the same rules, dashboards and file of HAProxy as deploy/? A chart reads only files below itself, so it has copies.
#
#   helm/sync.sh           copies them
#   helm/sync.sh --check   names what differs, and fails if anything does
set -euo pipefail
cd "$(dirname "$0")/.."
shopt -s nullglob

target=helm/carillon/files
wanted=$(mktemp -d)
trap 'rm -rf "$wanted"' EXIT

mkdir "$wanted/haproxy" "$wanted/prometheus" "$wanted/grafana"
cp deploy/haproxy/haproxy.cfg "$wanted/haproxy/"
# Rule files only: prometheus.yml, and tests, are not for the operator.
for file in deploy/prometheus/*.yml; do
  if grep -q '^groups:' "$file"; then
    cp "$file" "$wanted/prometheus/"
  fi
done
for file in deploy/grafana/*.json deploy/grafana/dashboards/*.json; do
  cp "$file" "$wanted/grafana/"
done

case "${1:-}" in
  "")
    rm -rf "$target"
    mkdir -p "$target"
    cp -r "$wanted/." "$target/"
    find "$target" -type f | sort
    ;;
  --check)
    if ! diff -rq "$wanted" "$target"; then
      echo "helm/carillon/files differs from deploy/: run helm/sync.sh" >&2
      exit 1
    fi
    ;;
  *)
    sed -n '2,5s/^# \{0,1\}//p' "$0" >&2
    exit 64
    ;;
esac
