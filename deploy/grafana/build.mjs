#!/usr/bin/env node
// Which dashboards are there? `node build.mjs` writes them beside this file; `node build.mjs --check` says whether they are current.
//
// They are JSON made from dashboards/*.mjs, so that a metric's name is written once, a unit is never forgotten, and every
// query can be taken out and run (loadtest/observability).

import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { fleet } from './dashboards/fleet.mjs'
import { gateway } from './dashboards/gateway.mjs'
import { overview } from './dashboards/overview.mjs'
import { publisher } from './dashboards/publisher.mjs'
import { tenants } from './dashboards/tenants.mjs'

/** Every dashboard by the name of its file: { json, queries: [{panel, expr, rare}], variables }. */
export const dashboards = { overview, gateway, publisher, fleet, tenants }

const place = (name) => new URL(`${name}.json`, import.meta.url)
const text = ({ json }) => `${JSON.stringify(json, null, 2)}\n`

/** The names of dashboards whose file is not what would be written now. */
export function stale() {
  return Object.keys(dashboards).filter((name) => {
    try {
      return readFileSync(place(name), 'utf8') !== text(dashboards[name])
    } catch (error) {
      if (error.code === 'ENOENT') return true
      throw error
    }
  })
}

function main(argument) {
  const old = stale()
  if (argument === '--check') {
    for (const name of old) console.error(`${name}.json is not current: run node deploy/grafana/build.mjs`)
    return old.length
  }
  for (const name of old) writeFileSync(place(name), text(dashboards[name]))
  console.log(old.length ? `written: ${old.join(', ')}` : 'all current')
  return 0
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = main(process.argv[2]) ? 1 : 0
