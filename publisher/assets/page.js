// What the page at /docs does: publish an event, listen to events, and take the key along when the reference is tried.
const at = (id) => document.getElementById(id)
const { origin } = location
const sockets = origin.replace('http', 'ws')

at('ws').textContent = `${sockets}/v1/ws?channels=contact:123&since=41&epoch=9940c3ae295d`
at('sse').textContent = `${origin}/v1/sse?channels=contact:123&token=…`
at('poll').textContent = `${origin}/v1/poll?channels=contact:123&since=41&epoch=9940c3ae295d`

function curl() {
  const body = at('event').value.replace(/\s*\n\s*/g, ' ').replaceAll("'", "'\\''")
  at('curl').textContent = `curl ${origin}/v1/events -H "Authorization: Bearer $API_KEY" -H "Content-Type: application/json" -d '${body}'`
}
at('event').oninput = curl
curl()

at('send').onclick = async () => {
  at('sent').textContent = '…'
  try {
    const headers = { authorization: `Bearer ${at('key').value.trim()}`, 'content-type': 'application/json' }
    const answer = await fetch('/v1/events', { method: 'POST', headers, body: at('event').value })
    const text = await answer.text()
    at('sent').textContent = `${answer.status} ${pretty(text)}`
  } catch (error) {
    at('sent').textContent = `no answer: ${error.message}`
  }
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2)
  } catch {
    return text
  }
}

let socket
at('open').onclick = () => {
  socket?.close()
  at('heard').textContent = ''
  const say = (text) => { at('heard').textContent += `${text}\n` }
  const channels = at('channels').value.trim()
  const mine = new WebSocket(`${sockets}/v1/ws${channels && `?${new URLSearchParams({ channels })}`}`, 'carillon.v1')
  socket = mine
  mine.onopen = () => mine.send(JSON.stringify({ type: 'auth', token: at('token').value.trim() }))
  mine.onmessage = ({ data }) => say(data)
  mine.onclose = ({ code, reason }) => {
    if (socket !== mine) return
    // Of a refused handshake, and of an address without sockets, a page learns no more than this.
    const why = code === 1006 ? 'no WebSocket here: open this page at the balancer, or the origin is not allowed' : reason
    say(`closed: ${code} ${why}`)
  }
}

const reference = document.querySelector('rapi-doc')
reference.addEventListener('before-try', ({ detail }) => {
  const credential = at('key').value.trim() || at('token').value.trim()
  if (credential) detail.request.headers.set('authorization', `Bearer ${credential}`)
})

// For people it begins with publishing one event, then comes what reads; patterns are for programs, and said in words beside them.
const text = await (await fetch('/openapi.json')).text()
const contract = JSON.parse(text, (key, value) => (key === 'pattern' && typeof value === 'string' ? undefined : value))
contract.tags = [{ name: 'Publish' }, { name: 'Read' }]
contract.paths = Object.fromEntries(Object.entries(contract.paths).sort(([one], [other]) => one.length - other.length))
for (const { get, post } of Object.values(contract.paths)) {
  if (post) post.tags = ['Publish']
  if (get) get.tags = ['Read']
}
await customElements.whenDefined('rapi-doc')
reference.loadSpec(contract)

// The codes stand in the description, as tables: `| 400 | `invalid_json` | … |` and `| `required` | … |`.
for (const row of contract.info.description.split('\n')) {
  const cells = row.split('|').map((cell) => cell.trim().replaceAll('`', '')).filter(Boolean)
  if (!/^\| (\d{3} \| )?`\w+` \|/.test(row)) continue
  const [term, meaning] = ['dt', 'dd'].map((name) => document.createElement(name))
  term.textContent = cells.slice(0, -1).join(' ')
  meaning.textContent = cells.at(-1)
  at('problems').append(term, meaning)
}
