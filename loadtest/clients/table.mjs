// How does docs/CLIENTS.md look?

const HEAD = `# Clients

Written by \`make clients\` (loadtest/clients): every line is a client that somebody else wrote, run against a whole Carillon on one machine. How to read it:

| column | what was tried |
|---|---|
| header, subprotocol, query, first frame | the four places of the [token](PROTOCOL.md#31-opening-get-v1ws-also-ws). – means that the client cannot set headers |
| compression | \`permessage-deflate\` as the client offers it by itself or with its usual switch, then a long, a short and another long event |
| 1,000 | a thousand events in order, none missing, none twice |
| largest | an event of 65,536 bytes to a hundred channels of the longest names. "with" names the setting it needs; without it such a client comes back to the same event for ever |
| 4401 | the close code and its reason reach the program, when a first frame has a bad token |
| drain | \`goaway\`, then close code 1012, when the node is stopped |

`

const COLUMNS = [['header', 'header'], ['protocol', 'subprotocol'], ['query', 'query'], ['first', 'first frame'], ['compression', 'compression'], ['order', '1,000'], ['large', 'largest'], ['close', '4401'], ['drain', 'drain']]

/** The page, of what was seen. */
export function table(rows) {
  const languages = [...new Set(rows.map(({ language }) => language))]
  const lines = [
    `${rows.length} clients in ${languages.filter((language) => language !== 'browser').length} languages and ${rows.filter(({ language }) => language === 'browser').length} browser engines.`,
    '',
    `| language | client | version | ${COLUMNS.map(([, title]) => title).join(' | ')} |`,
    `|---|---|---|${COLUMNS.map(() => '---').join('|')}|`,
  ]
  const cell = (text) => String(text).replaceAll('|', '\\|')
  for (const { language, name, version, results } of rows) {
    lines.push(`| ${language} | ${name} | ${version} | ${COLUMNS.map(([key]) => cell(results[key])).join(' | ')} |`)
  }
  return `${HEAD}${lines.join('\n')}\n`
}
