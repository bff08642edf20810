// Who starts the clients, publishes for them, and adds up what they have got? `node jitter.mjs STACK_JSON CLIENTS SECONDS EVENTS_A_SECOND`

import { fork } from 'node:child_process'
import { readFileSync } from 'node:fs'

const stack = JSON.parse(readFileSync(process.argv[2]))
const [clients, seconds, rate] = process.argv.slice(3, 6).map(Number)
/** Processes of clients: a thread holds some thousands. */
const PROCESSES = 2
/** How long they may take to connect, and to get what is left at the end. */
const CONNECT_MS = 120_000
const DRAIN_MS = 90_000

const sleep = (ms) => new Promise((done) => setTimeout(done, ms))
const cpu = (pid) => {
  // After the name, which is in brackets: utime and stime are the 12th and 13th field, in hundredths of a second.
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}
const gateways = Object.entries(stack.pids).filter(([name]) => name.startsWith('gateway')).map(([, pid]) => pid)
const cpuOfGateways = () => gateways.reduce((sum, pid) => sum + cpu(pid), 0)

async function publish(n) {
  const answer = await fetch(`${stack.publisher}/v1/events`, {
    method: 'POST',
    headers: { authorization: `Bearer ${stack.api_key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ tenant: 'jitter', type: 'tick', channels: ['jitter:1'], data: { n } }),
  })
  if (answer.status !== 201) throw new Error(`publish: HTTP ${answer.status} ${await answer.text()}`)
}

const crowds = Array.from({ length: PROCESSES }, (_, at) => {
  const share = Math.floor(clients / PROCESSES) + (at < clients % PROCESSES ? 1 : 0)
  const child = fork(new URL('./jitter-crowd.mjs', import.meta.url), [JSON.stringify({
    gateways: stack.gateways.map((url) => url.replace(/^ws/, 'http').replace('/v1/ws', '')), secret: stack.jwt_secret, first: at * 1_000_000, clients: share,
  })])
  const crowd = { child, state: {}, ended: false }
  child.on('message', (state) => { crowd.state = state })
  child.on('exit', () => { crowd.ended = true })
  return crowd
})
const total = (name) => crowds.reduce((sum, { state }) => sum + (state[name] ?? 0), 0)
async function until(ms, done) {
  const end = Date.now() + ms
  while (!done() && Date.now() < end && crowds.every(({ ended }) => !ended)) await sleep(100)
  return done()
}
const tell = (message) => crowds.forEach(({ child, ended }) => ended || child.send(message))

function end(code, line) {
  console.log(line)
  crowds.forEach(({ child }) => child.kill('SIGKILL'))
  process.exit(code)
}

const began = Date.now()
if (!(await until(CONNECT_MS, () => total('connected') === clients))) {
  end(1, `only ${total('connected')} of ${clients} clients connected within ${CONNECT_MS / 1000} s: too many for this machine (${JSON.stringify(crowds[0].state)})`)
}
console.log(`${clients} clients connected in ${((Date.now() - began) / 1000).toFixed(1)} s`)
const before = { cpu: cpuOfGateways(), at: Date.now() }
tell({ begin: true })
const events = seconds * rate
for (let n = 0; n < events; n += 1) {
  await publish(n)
  await sleep(Math.max(0, before.at + (n + 1) * (1000 / rate) - Date.now()))
}
tell({ rest: events })
await until(DRAIN_MS, () => total('complete') === clients)
const used = cpuOfGateways() - before.cpu
const took = (Date.now() - before.at) / 1000
const [got, twice, breaks, back, recovered, disordered] = ['got', 'twice', 'breaks', 'back', 'recovered', 'disordered'].map(total)
const wanted = events * clients
const missing = wanted - (got - twice)
const line = `${clients} clients, ${events} events in ${seconds} s, each away 2 s in every 15: ${(100 * (got - twice) / wanted).toFixed(4)} % delivered (${missing} missing), `
  + `${twice} twice, ${disordered} out of order; ${breaks} lines broken, ${back} came back, ${recovered} of them recovered; gateways ${used.toFixed(1)} s of CPU in ${took.toFixed(0)} s`
end(missing === 0 && twice === 0 && disordered === 0 && recovered === back && back === breaks ? 0 : 1, line)
