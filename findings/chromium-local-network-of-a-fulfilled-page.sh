#!/usr/bin/env bash
# Chromium 156 with Playwright 1.65: a page that `route.fulfill` answers for may open no WebSocket to this machine.
#
# Of a document that no network brought Chromium does not know that it comes from 127.0.0.1, so its sockets to 127.0.0.1 are taken for
# a way from the internet into a local network: net::ERR_BLOCKED_BY_LOCAL_NETWORK_ACCESS_CHECKS. `fetch` to the page's own origin is let
# through. The same page from the server connects, and so does the fulfilled one with --disable-features=LocalNetworkAccessChecks.
# Needs Debian's chromium (CARILLON_CHROMIUM: another one). Exit code 0: as described. 1: it behaves otherwise now.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --no-audit --no-fund --loglevel=error playwright-core@1.65.1 >&2
cat >local-network.mjs <<'JS'
import { createServer } from 'node:http'
import { chromium } from 'playwright-core'

const server = createServer((_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<title>page</title>'))
// No handshake: what counts is whether the connection is made at all.
let reached = 0
server.on('upgrade', (_, socket) => {
  reached++
  socket.destroy()
})
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
const url = `http://127.0.0.1:${server.address().port}/`

async function reaches(fulfilled, args) {
  const executablePath = process.env.CARILLON_CHROMIUM ?? '/usr/bin/chromium'
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', ...args] })
  const page = await browser.newPage()
  if (fulfilled) await page.route(url, (route) => route.fulfill({ contentType: 'text/html', body: '<title>page</title>' }))
  await page.goto(url)
  const before = reached
  await page.evaluate((to) => new Promise((resolve) => (new WebSocket(to).onclose = resolve)), url.replace('http', 'ws'))
  await browser.close()
  return reached > before
}
const said = {
  'from the server': await reaches(false, []),
  fulfilled: await reaches(true, []),
  'fulfilled, without the check': await reaches(true, ['--disable-features=LocalNetworkAccessChecks']),
}
console.log(said)
server.close()
process.exit(JSON.stringify(Object.values(said)) === '[true,false,true]' ? 0 : 1)
JS
node local-network.mjs
