// Is a browser a pipe, too? Its page opens the WebSocket; what it gets and what it is to send go through this process.
//
// `node browser.mjs PROGRAM ARGUMENTS...`: PROGRAM is started with a folder of its own and the address of the page.

import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { protocols, feed, say, url } from '../node/pipe.mjs'

const page = `<!doctype html><meta charset="utf-8"><title>A WebSocket</title><script type="module">
let telling = Promise.resolve()
const tell = (line) => { telling = telling.then(() => fetch('/say', { method: 'POST', body: line })).catch(() => {}); return telling }
const ws = new WebSocket(${JSON.stringify(url)}, ${JSON.stringify(protocols)})
ws.onopen = async () => {
  tell('open ' + ws.protocol)
  for (;;) {
    const { lines, end } = await (await fetch('/next')).json()
    for (const line of lines) ws.send(line)
    if (end) return ws.close(1000)
  }
}
ws.onmessage = ({ data }) => tell('text ' + data)
ws.onerror = () => tell('error the page is told no more')
ws.onclose = ({ code, reason }) => tell('close ' + code + ' ' + reason)
</script>`

let waiting = []
let end = false
let ask = null
const answer = () => {
  if (!ask || !(waiting.length || end)) return
  ask.setHeader('content-type', 'application/json')
  ask.end(JSON.stringify({ lines: waiting, end }))
  ask = null
  waiting = []
}

const server = createServer(async (request, response) => {
  if (request.url === '/next') {
    ask = response
    return answer()
  }
  if (request.url === '/say') {
    const parts = []
    for await (const part of request) parts.push(part)
    const [, kind, text] = /^(\w+) ?(.*)$/s.exec(String(Buffer.concat(parts)))
    response.end()
    say(kind, text)
    if (kind === 'close') leave()
    return
  }
  response.setHeader('content-type', 'text/html; charset=utf-8')
  response.end(request.url === '/' ? page : '')
})

let browser
const folder = mkdtempSync(join(tmpdir(), 'carillon-browser-'))
function leave() {
  if (browser) try { process.kill(-browser.pid, 'SIGKILL') } catch { /* It has ended by itself. */ }
  setTimeout(() => { rmSync(folder, { recursive: true, force: true, maxRetries: 5 }); process.exit(0) }, 100)
}
process.on('SIGTERM', leave)

server.listen(0, '127.0.0.1', () => {
  const address = `http://127.0.0.1:${server.address().port}/`
  const [program, ...rest] = process.argv.slice(2).map((text) => text.replaceAll('FOLDER', folder).replaceAll('PAGE', address))
  browser = spawn(program, rest, { detached: true, stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, HOME: folder } })
  browser.on('error', (error) => { say('error', error.message); leave() })
})
feed((line) => { waiting.push(line); answer() }, () => { end = true; answer() })
