#!/usr/bin/env bash
# Does the client keep its promises in each browser that Debian packages: Chromium, Firefox ESR, WebKitGTK?
#
# Installs what is missing (root and apt), then runs browsers.test.ts in each, or in those that are named: `browsers/run.sh firefox`.
# A browser that cannot be installed is said and skipped; exit code 1 when a test failed, or when there was no browser at all.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[[ -d ../target/web-node/node_modules/.bin ]] && PATH=$(cd ../target/web-node/node_modules/.bin && pwd):$PATH
[[ -f client/dist/index.js && -d node_modules ]] || {
    echo "browsers: run \`make web\` first" >&2
    exit 1
}
minibrowser=$(ls /usr/lib/*/webkit2gtk-4*/MiniBrowser 2>/dev/null | tail -1 || true)
present() {
    case $1 in
        chromium) [[ -n ${CARILLON_CHROMIUM:-} ]] || command -v chromium >/dev/null ;;
        firefox) [[ -n ${CARILLON_FIREFOX:-} ]] || command -v firefox-esr >/dev/null ;;
        webkit) [[ -n $minibrowser ]] && command -v WebKitWebDriver >/dev/null && command -v xvfb-run >/dev/null ;;
    esac
}
packages() {
    case $1 in
        chromium) echo chromium ;;
        firefox) echo firefox-esr ;;
        webkit) echo webkit2gtk-driver xvfb xauth ;;
    esac
}
failed=0
ran=0
for name in "${@:-chromium firefox webkit}"; do
    for browser in $name; do
        if ! present "$browser" && [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
            # shellcheck disable=SC2046
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(packages "$browser") >/dev/null || true
            minibrowser=$(ls /usr/lib/*/webkit2gtk-4*/MiniBrowser 2>/dev/null | tail -1 || true)
        fi
        if ! present "$browser"; then
            echo "browsers: $browser is not here and could not be installed; its tests did not run"
            continue
        fi
        ran=$((ran + 1))
        export CARILLON_BROWSER=$browser
        [[ $browser == webkit ]] && export CARILLON_WEBKIT=$minibrowser
        screen=()
        [[ $browser == webkit ]] && screen=(xvfb-run -a)
        "${screen[@]}" npx vitest run --root browsers || failed=1
    done
done
[[ $ran -gt 0 && $failed == 0 ]]
