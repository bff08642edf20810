// How are events handed to Carillon as to the other peers? Lines of JSON in, one request after the other to the publisher.
//
// `node lines.mjs STACK_JSON` prints {"port":0,"publish":…} and serves until it is killed. What comes while a request is under way goes with
// the next, in order.
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { createInterface } from 'node:readline'

const { publisher, api_key: key } = JSON.parse(readFileSync(process.argv[2]))
const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' }
let waiting = []
let sending = false

async function send() {
    if (sending || !waiting.length) return
    sending = true
    const events = waiting.splice(0, 100).map((line) => `{"tenant":"peers","type":"event","channels":["load"],"data":${line}}`)
    const answer = await fetch(`${publisher}/v1/events`, { method: 'POST', headers, body: `[${events.join()}]` })
    if (answer.status !== 201) throw new Error(`HTTP ${answer.status} ${await answer.text()}`)
    await answer.arrayBuffer()
    sending = false
    send()
}

const lines = createServer((stream) => {
    stream.on('error', () => stream.destroy())
    createInterface({ input: stream }).on('line', (line) => { waiting.push(line); send() })
})
lines.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ port: 0, publish: lines.address().port })))
