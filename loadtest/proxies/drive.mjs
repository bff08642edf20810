// What works through each proxy with the file that is shipped for it?

import { existsSync, readFileSync, writeFileSync } from 'node:fs'

import { need } from '../interop/stack.mjs'
import { caches, tryCache } from './caches.mjs'
import { checks, silence } from './checks.mjs'
import { Proxy, proxies } from './proxies.mjs'
import { fleet as start } from './services.mjs'
import { table } from './table.mjs'

const wanted = process.argv.slice(2)
/** For whoever changes a check: CARILLON_CHECKS=drain,reload. */
const only = process.env.CARILLON_CHECKS?.split(',')
const chosen = proxies.filter(({ name }) => !wanted.length || wanted.includes(name))
/** What was seen last of each: whoever runs some of them gets a table of all. */
const seen = `${need('CARILLON_PROXIES_BUILD')}/seen.json`
const rows = existsSync(seen) ? JSON.parse(readFileSync(seen)) : {}
/** Whatever was started ends with this process, also when it ends by an error. */
process.on('exit', () => [...fleet.all, ...Proxy.all].forEach((it) => (it.children ?? [it.child]).forEach((child) => child?.kill('SIGKILL'))))
const fleet = await start()
let passed = 0
let failed = 0
let number = 40

for (const kind of chosen) {
  const row = { version: kind.version(), results: { ...(only ? rows[kind.name]?.results : {}) } }
  let proxy
  let alone
  try {
    proxy = await Proxy.start(kind, fleet.gateways, fleet.publishers)
    alone = await Proxy.start(kind, [fleet.narrow], fleet.publishers)
  } catch (error) {
    failed += 1
    console.log(`  FAIL  ${kind.name}: ${error.message}`)
    await proxy?.end()
    continue
  }
  const quiet = !only || only.includes('quiet') ? await silence(alone).catch((error) => ({ error })) : null
  for (const [name, check] of Object.entries(checks)) {
    if (only && !only.includes(name)) continue
    try {
      if (name === 'quiet' && quiet.error) throw quiet.error
      row.results[name] = await check({ kind, proxy, alone, fleet, quiet, hosts: [`127.0.0.${number}`, `127.0.0.${number + 1}`] })
      passed += 1
    } catch (error) {
      failed += 1
      row.results[name] = `no: ${String(error.message).split('\n')[0]}`
      console.log(`  FAIL  ${kind.name}: ${name}: ${error.message}`)
      if (process.env.CARILLON_PROXIES_LOUD) console.log(error.stack, '\n', proxy.tail())
      await fleet.revive()
    }
  }
  number += 2
  quiet?.socket?.leave()
  quiet?.stream?.leave()
  await Promise.all([proxy.end(), alone.end()])
  console.log(`  ${kind.name} ${row.version}: ${Object.entries(row.results).map(([name, result]) => `${name} ${result}`).join(', ')}`)
  rows[kind.name] = row
  writeFileSync(seen, JSON.stringify(rows))
}
for (const kind of only ? [] : caches.filter(({ name }) => !wanted.length || wanted.includes(name))) {
  try {
    rows[kind.name] = await tryCache(kind, fleet.gateways[0])
    passed += 1
  } catch (error) {
    failed += 1
    console.log(`  FAIL  ${kind.name}: ${error.message}`)
    rows[kind.name] = { version: kind.version(), ours: `no: ${error.message}`, without: '' }
  }
  console.log(`  ${kind.name} ${rows[kind.name].version}: ${rows[kind.name].ours}; without chunks ${rows[kind.name].without}`)
  writeFileSync(seen, JSON.stringify(rows))
}
for (const service of fleet.all) service.child.kill('SIGKILL')
if ([...proxies, ...caches].every(({ name }) => rows[name])) {
  const of = (list) => list.map((kind) => ({ ...kind, ...rows[kind.name], version: rows[kind.name].version }))
  writeFileSync(need('CARILLON_PROXIES_TABLE'), table(of(proxies), of(caches)))
}
console.log(`${passed} passed, ${failed} failed`)
process.exit(failed === 0 ? 0 : 1)
