// Runs the checks of the clients that are named, or of all, and writes docs/SOCKETIO.md.

import { existsSync, readFileSync, writeFileSync } from 'node:fs'

import { need, setRule } from '../interop/stack.mjs'
import { checks } from './checks.mjs'
import { clients } from './manifest.mjs'
import { nodes } from './stack.mjs'
import { page } from './table.mjs'
import { versions } from './versions.mjs'

const wanted = process.argv.slice(2)
/** What was seen last of each client: whoever runs some of them gets a table of all. */
const seen = `${need('CARILLON_SOCKETIO_BUILD')}/seen.json`
const rows = existsSync(seen) ? JSON.parse(readFileSync(seen)) : {}
const title = ({ language, name }) => `${language} ${name}`
const only = process.env.SIO_CHECKS?.split(',')
let passed = 0
let failed = 0

await setRule('approvals:{one}', { subscribe: ['anyone'], publish: ['anyone'], durable: true })
await nodes.start()
await nodes.start()
for (const client of clients.filter(({ name, language }) => !wanted.length || wanted.includes(name) || wanted.includes(language))) {
  const row = { version: versions[Object.keys(client.version)[0]](Object.values(client.version)[0]), results: rows[title(client)]?.results ?? {} }
  for (const [name, check] of Object.entries(checks).filter(([name]) => !only || only.includes(name))) {
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
  rows[title(client)] = row
  writeFileSync(seen, JSON.stringify(rows))
}
await nodes.stop()
if (clients.every((client) => rows[title(client)])) writeFileSync(need('CARILLON_SOCKETIO_TABLE'), page(clients.map((client) => ({ ...client, ...rows[title(client)] }))))
console.log(`${passed} passed, ${failed} failed`)
process.exit(failed === 0 ? 0 : 1)
