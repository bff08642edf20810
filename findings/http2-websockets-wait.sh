#!/usr/bin/env bash
# Chromium 156 opens eight WebSockets of a page through lighttpd 1.4.69, and a hundred through HAProxy 2.6.12, when both speak HTTP/2: the
# others wait without an error.
#
# Both announce WebSockets over HTTP/2 (RFC 8441) by default, and a browser then opens all of a page on the connection it has, as many as that takes
# streams. HAProxy's `h2-workaround-bogus-websocket-clients` gives each a connection of its own.
# Needs loadtest/proxies/install.sh, chromium and lighttpd's mod_openssl. Exit code 0: as described. 1: it behaves otherwise now.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
"$root/loadtest/proxies/install.sh" "$root/target/proxies"
missing=()
command -v chromium >/dev/null || missing+=(chromium)
[[ -e /usr/lib/lighttpd/mod_openssl.so ]] || missing+=(lighttpd-mod-openssl)
[[ ${#missing[@]} == 0 ]] || RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
[[ -d $root/loadtest/interop/node_modules/ws ]] || (cd "$root/loadtest/interop" && npm ci --no-audit --no-fund --loglevel=error >&2)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost 2>/dev/null
cat key.pem cert.pem >both.pem
cat >try.mjs <<JAVASCRIPT
import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { chromium } from '$root/loadtest/interop/node_modules/playwright-core/index.mjs'
import { WebSocketServer } from '$root/loadtest/interop/node_modules/ws/wrapper.mjs'

const WANTED = 130
const free = () => new Promise((done) => { const s = createServer().listen(0, '127.0.0.1', () => { const { port } = s.address(); s.close(() => done(port)) }) })
const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds))
const backend = new WebSocketServer({ host: '127.0.0.1', port: 0 })
await new Promise((done) => backend.on('listening', done))
const to = backend.address().port
const haproxy = (global) => (port) => [['haproxy', '-db', '-f', 'config'], \`global\n \${global}\ndefaults\n mode http\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n timeout tunnel 1h\nlisten all\n bind 127.0.0.1:\${port} ssl crt both.pem alpn h2,http/1.1\n server one 127.0.0.1:\${to}\n\`]
const lighttpd = (port) => [['lighttpd', '-D', '-f', 'config'], \`server.modules = ("mod_openssl", "mod_proxy")\nserver.document-root = "/tmp"\nserver.bind = "127.0.0.1"\nserver.port = \${port}\nssl.engine = "enable"\nssl.pemfile = "both.pem"\nserver.stream-response-body = 1\nproxy.header = ("upgrade" => "enable")\nproxy.server = ("" => (("host" => "127.0.0.1", "port" => \${to})))\n\`]
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--ignore-certificate-errors'] })

async function opened(make) {
  const port = await free()
  const [[program, ...words], text] = make(port)
  writeFileSync('config', text)
  const child = spawn(program, words, { stdio: 'ignore', env: { ...process.env, PATH: process.env.PATH + ':/usr/sbin' } })
  await pause(1_000)
  const page = await (await browser.newContext({ ignoreHTTPSErrors: true })).newPage()
  await page.goto(\`https://localhost:\${port}/\`)
  const states = await page.evaluate(async ([port, count]) => {
    const sockets = Array.from({ length: count }, () => new WebSocket(\`wss://localhost:\${port}/\`))
    await new Promise((done) => setTimeout(done, 10_000))
    return [1, 0].map((state) => sockets.filter(({ readyState }) => readyState === state).length)
  }, [port, WANTED])
  await page.close()
  child.kill('SIGKILL')
  return states
}

const [light, plain, own] = [await opened(lighttpd), await opened(haproxy('')), await opened(haproxy('h2-workaround-bogus-websocket-clients'))]
console.log(\`Chromium \${browser.version()}, of \${WANTED} sockets after ten seconds: lighttpd \${light[0]} open and \${light[1]} waiting, HAProxy \${plain[0]} and \${plain[1]}, with its option \${own[0]}\`)
await browser.close()
process.exit(light[0] === 8 && light[1] === WANTED - 8 && plain[0] === 100 && plain[1] === WANTED - 100 && own[0] === WANTED ? 0 : 1)
JAVASCRIPT
node try.mjs
