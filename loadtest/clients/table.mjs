// How does docs/CLIENTS.md look?

const HEAD = `# Clients

Written by \`make clients\` (loadtest/clients): every line is a client that somebody else wrote, run against a whole Carillon on one machine.
`

const SOCKETS = {
  title: 'WebSockets',
  words: `| column | what was tried |
|---|---|
| header, subprotocol, query, first frame | the four places of the [token](PROTOCOL.md#31-opening-get-v1ws-also-ws). – means that the client cannot set headers |
| compression | \`permessage-deflate\` as the client offers it by itself or with its usual switch, then a long, a short and another long event |
| 1,000 | a thousand events in order, none missing, none twice |
| largest | an event of 65,536 bytes to a hundred channels of the longest names. "with" names the setting it needs; without it such a client comes back to the same event for ever |
| 4401 | the close code and its reason reach the program, when a first frame has a bad token |
| drain | \`goaway\`, then close code 1012, when the node is stopped |`,
  columns: [['header', 'header'], ['protocol', 'subprotocol'], ['query', 'query'], ['first', 'first frame'], ['compression', 'compression'], ['order', '1,000'], ['large', 'largest'], ['close', '4401'], ['drain', 'drain']],
}

const STREAMS = {
  title: 'Event streams',
  words: `Each with its defaults; what a client does by itself, without a line of the program for it.

| column | what was tried |
|---|---|
| token | where it goes: in the header if the client lets a program set one, else in the query |
| 1,000, largest | as above |
| 12 s | a stream without an event for twelve seconds stays. "with" names the setting it needs: a gateway is silent for 25 s |
| position | where the last id stands in the request after the end of a stream; with it the client got what it had missed, once |
| 200 and the end | a stream that ended, then a [refusal that passes](PROTOCOL.md#36-without-a-websocket-get-v1sse--get-v1poll) of a gateway that is full: 200, \`retry:\`, an \`error\` frame and the end |
| 503, 429 | a stream that ended, then these statuses with \`Retry-After\` |
| port refused | a stream that was cut and a port where nobody listens for nine seconds |
| 401 | a token that is none |`,
  columns: [['token', 'token'], ['order', '1,000'], ['large', 'largest'], ['quiet', '12 s'], ['position', 'position'], ['end', '200 and the end'], ['unavailable', '503, 429'], ['refused', 'port refused'], ['unauthorized', '401']],
}

const cell = (text) => String(text).replaceAll('|', '\\|')

function section({ title, words, columns }, rows) {
  const languages = [...new Set(rows.map(({ language }) => language))]
  const browsers = rows.filter(({ language }) => language === 'browser').length
  return [
    `## ${title}`, '', words, '',
    `${rows.length} clients in ${languages.filter((language) => language !== 'browser').length} languages and ${browsers} browser engines.`, '',
    `| language | client | version | ${columns.map(([, name]) => name).join(' | ')} |`,
    `|---|---|---|${columns.map(() => '---').join('|')}|`,
    ...rows.map(({ language, name, version, results }) => `| ${language} | ${name} | ${version} | ${columns.map(([key]) => cell(results[key])).join(' | ')} |`),
  ].join('\n')
}

/** The page, of what was seen; a section of which not everything was seen stays as it is. */
export function page(before, sockets, streams) {
  const kept = (title) => new RegExp(`^## ${title}$[\\s\\S]*?(?=^## |(?![\\s\\S]))`, 'm').exec(before)?.[0].trimEnd()
  const parts = [[SOCKETS, sockets], [STREAMS, streams]].map(([shape, rows]) => (rows ? section(shape, rows) : kept(shape.title))).filter(Boolean)
  return `${[HEAD.trimEnd(), ...parts].join('\n\n')}\n`
}
