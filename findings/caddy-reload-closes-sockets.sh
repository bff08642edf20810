#!/usr/bin/env bash
# Caddy 2.11.9 closes every proxied WebSocket with 1001 at a reload that changes anything, unless stream_close_delay is set.
#
# Also a change that has nothing to do with the route. Needs loadtest/proxies/install.sh, which builds Caddy, and `npm ci` in loadtest/interop.
# Exit code 0: as described. 1: it behaves otherwise now.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
"$root/loadtest/proxies/install.sh" "$root/target/proxies"
[[ -d $root/loadtest/interop/node_modules/ws ]] || (cd "$root/loadtest/interop" && npm ci --no-audit --no-fund --loglevel=error >&2)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/try.mjs" <<JAVASCRIPT
import { execFileSync, spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import WebSocket, { WebSocketServer } from '$root/loadtest/interop/node_modules/ws/wrapper.mjs'

const free = () => new Promise((done) => { const s = createServer().listen(0, '127.0.0.1', () => { const { port } = s.address(); s.close(() => done(port)) }) })
const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds))
const backend = new WebSocketServer({ host: '127.0.0.1', port: 0 })
const caddy = '$root/target/proxies/bin/caddy'

async function closedBy(setting) {
  const [port, admin] = [await free(), await free()]
  const file = (header) => writeFileSync('$work/Caddyfile', \`{\n admin localhost:\${admin}\n}\n:\${port} {\n header X-Version \${header}\n reverse_proxy 127.0.0.1:\${backend.address().port} {\n \${setting}\n }\n}\n\`)
  file(1)
  const child = spawn(caddy, ['run', '--config', '$work/Caddyfile'], { stdio: 'ignore', env: { ...process.env, HOME: '$work' } })
  let socket
  for (let open = false; !open; await pause(100)) {
    socket = new WebSocket(\`ws://127.0.0.1:\${port}/\`)
    open = await new Promise((done) => socket.on('open', () => done(true)).on('error', () => done(false)))
  }
  let code = 'open'
  socket.on('close', (it) => { code = it })
  file(2)
  execFileSync(caddy, ['reload', '--config', '$work/Caddyfile', '--address', \`localhost:\${admin}\`], { stdio: 'ignore', env: { ...process.env, HOME: '$work' } })
  await pause(2_000)
  child.kill('SIGKILL')
  return code
}

const [without, with_] = [await closedBy(''), await closedBy('stream_close_delay 1h')]
console.log(\`two seconds after a reload: \${without} without stream_close_delay, \${with_} with it\`)
process.exit(without === 1001 && with_ === 'open' ? 0 : 1)
JAVASCRIPT
node "$work/try.mjs"
