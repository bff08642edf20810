// What does every JavaScript client here do? It is a pipe: lines of the standard input are sent, messages are printed.
//
// `open`, `text <message>`, `close <code> <reason>` and `error <why>` are the lines of the standard output.

import { createInterface } from 'node:readline'
import process from 'node:process'

const { env } = process
export const url = env.WS_URL
export const headers = env.WS_BEARER ? { Authorization: `Bearer ${env.WS_BEARER}` } : {}
export const protocols = (env.WS_PROTOCOLS ?? '').split(',').filter(Boolean)
export const compress = env.WS_COMPRESS === '1'
/** Whether the library's setting for large messages is to be used. */
export const large = env.WS_LARGE === '1'
export const LARGEST = 131072

export const say = (kind, text = '') => process.stdout.write(`${kind} ${text}\n`)
export const closed = (code, reason = '') => process.stdout.write(`close ${code} ${reason}\n`, () => process.exit(0))
export const failed = (error) => process.stdout.write(`error ${String(error?.message ?? error).replaceAll('\n', ' ')}\n`, () => process.exit(0))

/** Sends what comes, ends when it ends. */
export function feed(send, end) {
  const lines = createInterface({ input: process.stdin })
  lines.on('line', send)
  lines.on('close', end)
}

/** The whole of it for what behaves like a browser's WebSocket. */
export function standard(ws) {
  let why = ''
  ws.onopen = () => {
    say('open', ws.protocol)
    feed((line) => ws.send(line), () => ws.close(1000))
  }
  ws.onmessage = ({ data }) => say('text', data)
  ws.onerror = (event) => { why = event.message ?? event.error?.message ?? 'error' }
  ws.onclose = ({ code, reason }) => {
    if (why) say('error', why.replaceAll('\n', ' '))
    closed(code, reason)
  }
}
