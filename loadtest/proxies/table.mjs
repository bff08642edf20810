// How does docs/PROXIES.md look?

const HEAD = `# Proxies

Written by \`make proxies\` (loadtest/proxies): each proxy runs with the file that deploy/ has for it, before three gateways and two publishers. Only addresses are filled in. How to read it:

| column | what was tried |
|---|---|
| token | the four places of the [token](PROTOCOL.md#31-opening-get-v1ws-also-ws): header, subprotocol, query, first frame; \`/v1/ws\` and \`/ws\` |
| SSE, poll, REST | the welcome and three events, each at once; a poll that waits; publish, list, a body of 1 MiB, refusals that are the publisher's own, pages that are none of the public's |
| paths | every operation of \`/openapi.json\` and \`/asyncapi.json\` goes to the service that has it, and rules whose patterns have braces, a star or letters that are encoded (\`%74est\`) are set, read and deleted |
| 1,000 | a first frame that names a thousand channels, and an event stream and a poll that do so [in a form](PROTOCOL.md#more-channels-than-a-url-has-room-for) |
| head | a token of 8 KiB in every place, 450 channels \`contact:<uuid>\` in a URL beside it, 32,000 bytes in one header and in one URL |
| above | what is said to a head of 40 KiB |
| largest | an event of 64 KiB to a hundred channels of the longest names, on a WebSocket and an event stream |
| CORS | preflights of REST, event streams and polls, and answers that a page may read |
| address | a gateway that takes two connections of an address counts the client's, whatever the client says in \`X-Forwarded-For\` and \`Forwarded\`; and the one that two balancers before the proxy tell on a line each, once the proxy is told to believe them |
| kill | one of three gateways is killed: no newcomer is refused, no socket of another gateway is cut, and when it is back it gets newcomers |
| drain | one is stopped: its sockets hear \`goaway\` and 1012, those of others nothing, and newcomers come in elsewhere |
| reload | the proxy reads its file again while sockets and an event stream are open and newcomers come: all stay, for at least twelve seconds |
| outage | the database takes no events: \`database_read_only\` of the publishers comes through, though none of them is ready, and \`/docs\` stays |
| publishers, gateways | all of them are killed: a problem with this status, \`Retry-After\`, CORS, and a preflight with any header that succeeds; \`/v1/sse\` is answered with 200 and \`retry:\`; all from the first request on. REST goes on without gateways, sockets without publishers |
| 2,000 | 2,000 WebSockets and 200 event streams at once, fifty on their way in at a time: all come in, over all gateways, all hear an event, none is cut, another comes in beside them and REST answers |
| HTTP/2 | whether browsers that speak HTTP/2 to it put WebSockets on that connection, where all of a page share its streams ([more](#http2)). – is not tried: nginx 1.22 has no WebSockets in HTTP/2, and lighttpd's file switches HTTP/2 off |
| quiet | a socket and an event stream without events, for 65 s, and a poll of 50 s |

`

const COLUMNS = [['token', 'token'], ['sse', 'SSE'], ['poll', 'poll'], ['rest', 'REST'], ['paths', 'paths'], ['channels', '1,000'], ['head', 'head'], ['over', 'above'], ['largest', 'largest'], ['cors', 'CORS'], ['address', 'address'], ['kill', 'kill'], ['drain', 'drain'], ['reload', 'reload'], ['outage', 'outage'], ['publishers', 'publishers'], ['gateways', 'gateways'], ['many', '2,000'], ['h2', 'HTTP/2'], ['quiet', 'quiet']]

const TAIL = `
## Paths

Every file names what gateways have, \`/v1/ws\`, \`/ws\`, \`/v1/sse\`, \`/v1/poll\`, \`/v1/commands\` and \`/socket.io/\`, and sends everything else to publishers: a new path of the REST API needs no line. lighttpd, Apache, Envoy and Traefik
decode letters that need not be encoded (\`%74est\` comes as \`test\`; [try it](../findings/proxies-decode-letters.sh)): here, too, both are one path (RFC 3986, 6.2.2.2).

## HTTP/2

Over HTTP/2 a browser asks for WebSockets on the connection it has (RFC 8441) if the proxy announces that it takes them. Then all sockets, event streams and requests of its pages to this name share the streams of
one connection: 100 with HAProxy's defaults, 8 with lighttpd 1.4.69. Of 130 sockets of a page Chromium 156 opens so many, and the others wait without an error until one is closed ([try it](../findings/http2-websockets-wait.sh)). Where a proxy does not announce it, each socket has a connection of its own (over HTTP/1.1) beside
HTTP/2 for the rest; that is how every file in deploy/ is. Whoever allows it (\`allow_connect\` in Envoy, no \`h2-workaround-bogus-websocket-clients\` in HAProxy, \`GODEBUG=http2xconnect=1\` for Caddy) raises the streams of a connection with it, too.
`

/** The page, of what was seen. */
export function table(rows, caches) {
  const cell = (text) => String(text).replaceAll('|', '\\|')
  const lines = [
    `| proxy | version | ${COLUMNS.map(([, title]) => title).join(' | ')} |`,
    `|---|---|${COLUMNS.map(() => '---').join('|')}|`,
    ...rows.map(({ name, version, results }) => `| ${name} | ${version} | ${COLUMNS.map(([key]) => cell(results[key])).join(' | ')} |`),
    '',
    'What each needs that its defaults do not give, and where that stands:',
    '',
    '| proxy | file | settings that matter |',
    '|---|---|---|',
    ...rows.filter(({ as }) => !as).map(({ name, folder, main, needs }) => `| ${name} | [${main}](../deploy/${folder}/${main}) | ${needs} |`),
    '',
    '## How many connections',
    '',
    'A socket is two connections and two file descriptors of a proxy: give it twice as many descriptors as clients (`LimitNOFILE`, `ulimit -n`) and a few hundred more, and as many ports towards each gateway (`net.ipv4.ip_local_port_range`: some 28,000 by default, for each address of a gateway).',
    '',
    '| proxy | by default | in the file |',
    '|---|---|---|',
    ...rows.filter(({ as }) => !as).map(({ name, room }) => `| ${name} | ${room[0]} | ${room[1]} |`),
    '',
    '## Caches on the way',
    '',
    'Each stands before a gateway\'s event stream, and before one that comes without chunks and whose first message is in one piece with the head.',
    '',
    '| cache | version | a gateway\'s welcome | a first message without chunks |',
    '|---|---|---|---|',
    ...caches.map(({ name, version, ours, without }) => `| ${name} | ${version} | ${ours} | ${without} |`),
  ]
  return `${HEAD}${lines.join('\n')}\n${TAIL}`
}
