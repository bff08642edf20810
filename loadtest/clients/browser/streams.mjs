// Is a browser's EventSource a pipe, too? What its page gets goes through this process.
//
// `node streams.mjs PROGRAM ARGUMENTS...`: PROGRAM is started with a folder of its own and the address of the page.

import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const page = `<!doctype html><meta charset="utf-8"><title>An event stream</title><script type="module">
let telling = Promise.resolve()
const tell = (line) => { telling = telling.then(() => fetch('/say', { method: 'POST', body: line })).catch(() => {}) }
const source = new EventSource(${JSON.stringify(process.env.SSE_URL)})
source.onopen = () => tell('open')
source.onmessage = ({ lastEventId, data }) => tell('event ' + lastEventId + ' ' + data)
source.onerror = () => tell(source.readyState === 2 ? 'end readyState 2' : 'error the page is told no more')
</script>`

const server = createServer(async (request, response) => {
  if (request.url === '/say') {
    const parts = []
    for await (const part of request) parts.push(part)
    response.end()
    process.stdout.write(`${String(Buffer.concat(parts)).replaceAll('\n', ' ')}\n`)
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
process.stdin.resume().on('end', leave)

server.listen(0, '127.0.0.1', () => {
  const address = `http://127.0.0.1:${server.address().port}/`
  const [program, ...rest] = process.argv.slice(2).map((text) => text.replaceAll('FOLDER', folder).replaceAll('PAGE', address))
  browser = spawn(program, rest, { detached: true, stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, HOME: folder } })
  browser.on('error', (error) => { process.stdout.write(`end ${error.message}\n`); leave() })
})
