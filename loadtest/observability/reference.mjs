// Which metrics are there? Those of docs/METRICS.md, which the services' own declarations write.

import { readFileSync } from 'node:fs'

/** Metrics of the reference page: name -> kind. */
export function reference() {
  const page = readFileSync(new URL('../../docs/METRICS.md', import.meta.url), 'utf8')
  return new Map([...page.matchAll(/^\| `(\w+)` \| (counter|gauge|histogram) \|/gm)].map(([, name, kind]) => [name, kind]))
}

/** Series that Prometheus itself makes. */
export const OWN = new Set(['up', 'ALERTS'])
