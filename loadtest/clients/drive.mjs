// Runs the checks of the clients that are named, or of all, and writes docs/CLIENTS.md.

import { existsSync, readFileSync, writeFileSync } from 'node:fs'

import { need } from '../interop/stack.mjs'
import { clients, streams } from './manifest.mjs'
import * as socketClients from './sockets.mjs'
import * as streamClients from './streams.mjs'
import { page } from './table.mjs'
import { versions } from './versions.mjs'

const wanted = process.argv.slice(2)
/** What was seen last of each client: whoever runs some of them gets a table of all. */
const seen = `${need('CARILLON_CLIENTS_BUILD')}/seen.json`
const rows = { sockets: {}, streams: {}, ...(existsSync(seen) ? JSON.parse(readFileSync(seen)) : {}) }
const title = ({ language, name }) => `${language} ${name}`
let passed = 0
let failed = 0

/** Tries one client; a check that is known not to hold has its reason in the manifest, and must not hold. */
async function one(kind, client, version, checks) {
  const row = { version, results: {} }
  for (const [name, check] of Object.entries(checks)) {
    const known = client.known?.[name]
    try {
      row.results[name] = await check(client)
      if (known) throw new Error(`holds (${row.results[name]}), though it is known not to: ${known}`)
      passed += 1
    } catch (error) {
      const why = String(error.message).split('\n')[0]
      row.results[name] = known ?? `no: ${why}`
      if (known && !why.startsWith('holds (')) passed += 1
      else {
        failed += 1
        console.log(`  FAIL  ${title(client)}: ${name}: ${why}`)
      }
    }
  }
  console.log(`  ${title(client)} ${row.version}: ${Object.entries(row.results).map(([name, result]) => `${name} ${result}`).join(', ')}`)
  rows[kind][title(client)] = row
  writeFileSync(seen, JSON.stringify(rows))
}

/** Some at a time: most of what is tried of an event stream is waiting. */
async function all(kind, list, checks, together) {
  const chosen = list.filter((client) => !wanted.length || [client.name, client.language, kind].some((name) => wanted.includes(name)))
  const found = await versions(chosen)
  const left = [...chosen]
  const work = async () => { for (let client; (client = left.shift());) await one(kind, client, found.get(client), checks) }
  await Promise.all(Array.from({ length: together }, work))
}

await all('sockets', clients, socketClients.checks, 1)
await all('streams', streams, streamClients.checks, 4)
await streamClients.stop()
const complete = (kind, list) => (list.every((client) => rows[kind][title(client)]) ? list.map((client) => ({ ...client, ...rows[kind][title(client)] })) : null)
const place = need('CARILLON_CLIENTS_TABLE')
writeFileSync(place, page(readFileSync(place, 'utf8'), complete('sockets', clients), complete('streams', streams)))
console.log(`${passed} passed, ${failed} failed`)
process.exit(failed === 0 ? 0 : 1)
