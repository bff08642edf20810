// What does every JavaScript client of event streams here do? `node streams.mjs NAME` prints what it gets, until its input ends.
//
// `open`, `event <id> <data>`, `error <why>` and `end <why>` (it will not come back) are the lines of the standard output.

import process from 'node:process'

const { env } = process
const url = env.SSE_URL
const headers = env.SSE_BEARER ? { Authorization: `Bearer ${env.SSE_BEARER}` } : {}
/** Whether the setting that the table names is to be used. */
const setting = env.SSE_SETTING === '1'
const line = (text) => String(text ?? '').replaceAll('\n', ' ')
const say = (kind, text = '') => process.stdout.write(`${kind} ${line(text)}\n`)

/** Whatever behaves like a browser's EventSource. */
function standard(source) {
  source.onopen = () => say('open')
  source.onmessage = ({ lastEventId, data }) => say('event', `${lastEventId} ${data}`)
  source.onerror = (event) => {
    say('error', event?.message ?? event?.error?.message ?? event?.type)
    // LaunchDarkly's sets readyState afterwards.
    setTimeout(() => { if (source.readyState === 2) say('end', 'readyState 2') }, 0)
  }
}

/** An own fetch sets the header, as the documentation of versions 3 and later says. */
const authorized = { fetch: (input, init) => fetch(input, { ...init, headers: { ...init.headers, ...headers } }) }

const openers = {
  'eventsource-2': async () => standard(new (await import('eventsource-2')).default(url, { headers })),
  'eventsource-3': async () => standard(new (await import('eventsource-3')).EventSource(url, authorized)),
  'eventsource-4': async () => standard(new (await import('eventsource-4')).EventSource(url, authorized)),
  'eventsource-5': async () => standard(new (await import('eventsource-5')).EventSource(url, authorized)),
  'event-source-polyfill': async () => standard(new (await import('event-source-polyfill')).default.EventSourcePolyfill(url, { headers })),
  'launchdarkly-eventsource': async () => standard(new (await import('launchdarkly-eventsource')).EventSource(url, { headers, ...(setting ? { readTimeoutMillis: 60_000 } : {}) })),
  undici: async () => standard(new (await import('undici')).EventSource(url)),
  global: async () => standard(new EventSource(url)),
  async 'eventsource-client'() {
    const { createEventSource } = await import('eventsource-client')
    createEventSource({
      url,
      headers,
      onConnect: () => say('open'),
      onMessage: ({ id, data }) => say('event', `${id ?? ''} ${data}`),
      onScheduleReconnect: () => say('error', 'reconnects'),
      onDisconnect: () => say('error', 'disconnected'),
    })
  },
  async 'fetch-event-source'() {
    globalThis.window = globalThis
    globalThis.document = { hidden: false, addEventListener() {}, removeEventListener() {} }
    const { fetchEventSource } = await import('@microsoft/fetch-event-source')
    await fetchEventSource(url, {
      headers,
      onmessage: ({ id, data }) => say('event', `${id} ${data}`),
      onerror: (error) => { say('error', error.message) },
    }).then(() => say('end', 'the promise is fulfilled'), (error) => say('end', error.message))
  },
}

process.stdin.resume().on('end', () => process.exit(0))
process.on('uncaughtException', (error) => { say('end', error.message) })
openers[process.argv[2]]().catch((error) => say('end', error.message))
