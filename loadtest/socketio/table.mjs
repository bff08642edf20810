// How does docs/SOCKETIO.md look?

const HEAD = `# Socket.IO clients

Written by \`make socketio\` (loadtest/socketio): every line is a client that somebody else wrote, run against a whole Carillon on one machine. Two gateways
stand behind a balancer that sends each request to the next one, and the requests of a session that polls to the gateway that began it. How to move:
[guide](guide/socketio.md).

| column | what was tried |
|---|---|
| WebSocket, polling, upgrade | connect over WebSocket only, over polling only, or as the library does it by itself; join, and get events in order |
| rooms | \`join\` and \`leave\` with callbacks; nothing comes from a room that was left |
| 1,000 | a thousand events in order, none missing, none twice |
| publish | \`publish\` with a callback that has the \`seq\`; somebody else gets the event |
| errors | callbacks get the code of the error: a forbidden channel, an unknown event |
| namespace, token, expired | the client is told why it does not come in. "message only": its library does not tell the code |
| killed, stopped | 400 events while its gateway is killed (SIGKILL) or told to go (SIGTERM); the program puts the \`cursor\` of its last event into \`auth\`: none missing, none twice, and after how long it was back |
| recovered | the same with the library's own connection state recovery: \`socket.recovered\` is true. – means that the library has none |
`

const COLUMNS = { websocket: 'WebSocket', polling: 'polling', upgrade: 'upgrade', rooms: 'rooms', order: '1,000', publish: 'publish', errors: 'errors', namespace: 'namespace', token: 'token', expired: 'expired', killed: 'killed', stopped: 'stopped', recovered: 'recovered' }

const TAIL = `Not here: clients for Dart, Swift, C#, C++ and PHP, which the registries that this page is made from (npm, PyPI, Maven Central, the Go module proxy, crates.io) do not hold.
`

const cell = (text) => String(text).replaceAll('|', '\\|')

export function page(rows) {
  const columns = Object.entries(COLUMNS).filter(([key]) => rows.some(({ results }) => key in results))
  return [
    HEAD,
    `${rows.length} clients in ${new Set(rows.map(({ language }) => language)).size} languages.`, '',
    `| language | client | version | ${columns.map(([, name]) => name).join(' | ')} |`,
    `|---|---|---|${columns.map(() => '---').join('|')}|`,
    ...rows.map(({ language, name, version, results }) => `| ${language} | ${name} | ${version} | ${columns.map(([key]) => cell(results[key] ?? '–')).join(' | ')} |`),
    '', TAIL,
  ].join('\n')
}
