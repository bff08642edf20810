// Does docs/guide/socketio.md do what it says, with a client of Socket.IO that nobody here wrote?
//
// The page is the test: its `sh` parts run in a shell, its `js` parts in one program with the real `socket.io-client`, and what it says that is
// printed (`text`) must be printed, and nothing else. `ts` parts are code of before.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { inspect } from 'node:util'
import { createContext, runInContext } from 'node:vm'

import { io } from 'socket.io-client'

import { Checks, until } from './checks.mjs'
import { alive, need, stack } from './stack.mjs'

const page = readFileSync(new URL('../../docs/guide/socketio.md', import.meta.url), 'utf8')
const { version } = JSON.parse(readFileSync(new URL('node_modules/socket.io-client/package.json', import.meta.url)))
const checks = new Checks(`docs/guide/socketio.md with socket.io-client ${version}`)

let printed = []
const sockets = []
const program = createContext({
  CARILLON: stack.balancer,
  console: { log: (...what) => printed.push(what.map((one) => (typeof one === 'string' ? one : inspect(one))).join(' ')) },
  io: (...args) => {
    const socket = io(...args)
    sockets.push(socket)
    return socket
  },
})

/** What the shell of the page has: its functions and its variables, after each part. */
let shell = `URL='${stack.balancer}' API_KEY='${stack.apiKey}'\ncarillon() { '${need('CARILLON_PROGRAM')}' --data '${need('CARILLON_DATA')}' "$@"; }\n`

function commands(text) {
  const all = `set -euo pipefail\n${shell}\n${text}\necho; set -o posix; set`
  const lines = execFileSync('bash', ['-c', all], { encoding: 'utf8' }).split('\n')
  for (const line of lines) {
    const [, name, value] = /^([A-Z]+)=([\w.-]+)$/.exec(line) ?? []
    if (!name || !text.includes(`${name}=`)) continue
    program[name] = value
    shell += `${name}='${value}'\n`
  }
  const functions = text.match(/^\w+\(\) \{.*\}$/gm) ?? []
  shell += functions.map((line) => `${line}\n`).join('')
}

/** Exactly these lines come: what one client prints may come before what another prints, so their order is theirs. */
async function prints(text) {
  const wanted = text.trim().split('\n').sort()
  await until(15_000, `the page prints ${JSON.stringify(wanted)}`, () => printed.length >= wanted.length).catch((error) => {
    throw new Error(`${error.message}; it printed ${JSON.stringify(printed)}`)
  })
  assert.deepEqual(printed.toSorted(), wanted)
  printed = []
}

/** A client that comes back is told `replay` by a gateway that has what was missed: which gateway, the balancer chooses. */
async function everyGatewayHasIt() {
  const headers = { authorization: `Bearer ${stack.apiKey}` }
  const position = await fetch(`${stack.publisher}/v1/position?tenant=guide-crm`, { headers })
  if (!position.ok) return
  const { epoch, seq } = await position.json()
  for (const node of await alive()) {
    const gateway = stack.gateways[Number(node.split('-')[1]) - 1].replace('ws:', 'http:').replace('/v1/ws', '/v1/poll')
    // A cursor that is ahead of a gateway has it catch up.
    const answer = await fetch(`${gateway}?tenant=guide-crm&since=${seq}&epoch=${epoch}&wait=0`, { headers })
    assert.equal(answer.status, 200, await answer.text())
  }
}

const run = { sh: commands, js: (text) => runInContext(text.replace(/^import .*$/gm, ''), program), text: prints, ts: () => {}, console: () => {} }
const blocks = [...page.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)]
for (const [, language, text] of blocks) {
  await checks.check(`${language}: ${text.split('\n')[0].slice(0, 90)}`, async () => {
    await run[language](text)
    if (language === 'sh' && text.includes('/v1/events')) await everyGatewayHasIt()
  })
}
await checks.check('a line that nobody prints is missed (so the others can fail)', async () => {
  printed = ['somebody prints this']
  await assert.rejects(prints('nobody prints this'), assert.AssertionError)
})
await checks.check('clients that begin with polling, as they do unless they are told otherwise, get a WebSocket at whichever gateway', async () => {
  const clients = Array.from({ length: 12 }, () => {
    const got = []
    const socket = io(stack.balancer, { forceNew: true, auth: { token: program.ANA, channels: ['branch:7'] } })
    sockets.push(socket)
    socket.on('note', ({ n }) => got.push(n))
    return { socket, got }
  })
  const transports = () => clients.map(({ socket }) => socket.connected && socket.io.engine.transport.name)
  await until(30_000, 'a WebSocket for each', () => transports().every((name) => name === 'websocket')).catch((error) => {
    throw new Error(`${error.message}: ${transports()}`)
  })
  const numbers = Array.from({ length: 50 }, (_, n) => n)
  const events = numbers.map((n) => ({ tenant: 'guide-crm', type: 'note', channels: ['branch:7'], data: { n } }))
  const headers = { authorization: `Bearer ${stack.apiKey}`, 'content-type': 'application/json' }
  const answer = await fetch(`${stack.balancer}/v1/events`, { method: 'POST', headers, body: JSON.stringify(events) })
  assert.equal(answer.status, 201, await answer.text())
  await until(15_000, 'all events at all', () => clients.every(({ got }) => got.length >= numbers.length))
  for (const { got } of clients) assert.deepEqual(got, numbers)
})
for (const socket of sockets) socket.disconnect()
process.exit(checks.summary())
