// Do rules, alerts, dashboards and runbooks agree with each other and with docs/METRICS.md? Nothing needs to run for that.
//
// The last line is `N passed, M failed`.

import { readFileSync } from 'node:fs'
import { dashboards, stale } from '../../deploy/grafana/build.mjs'
import { declared, selectors } from './promql.mjs'
import { OWN, reference } from './reference.mjs'
import { orders, rules, tests } from './rules.mjs'
import { shape } from './shape.mjs'
import { Tally } from './tally.mjs'

const tally = new Tally()
const known = reference()
const all = rules()
const recorded = new Set(all.filter(({ kind }) => kind === 'record').map(({ name }) => name))

/** Names in an expression that neither a service, nor a rule, nor Prometheus makes. */
function unknown(expr) {
  const names = selectors(expr).map(({ metric }) => metric)
  return [...new Set(names)].filter((name) => !OWN.has(name) && !recorded.has(name) && !declared(name, known)).map((name) => `nobody makes ${name}`)
}

/** A counter is asked for its growth, anything else never is. */
function misused(expr) {
  const growth = new Set([...expr.matchAll(/\b(?:rate|increase)\((\w[\w:]*)/g)].map(([, name]) => name))
  return [...growth].filter((name) => known.has(name) && known.get(name) !== 'counter').map((name) => `${name} is a ${known.get(name)}, not a counter`)
}

for (const { file, kind, name, expr, text } of all) {
  const window = name.match(/:(?:rate|left)(\d+[smhd])$/)?.[1]
  const others = window ? selectors(expr).map(({ range }) => range).filter((range) => range !== window) : []
  tally.check(`${file}: ${name}`, [
    ...unknown(expr),
    ...misused(expr),
    ...others.map((range) => `its name says ${window}, it asks for [${range}]`),
    kind === 'record' && !/^(namespace|instance|job):carillon_\w+:\w+$/.test(name) && 'its name is not level:metric:operation',
    kind === 'alert' && !/^ {8}labels: \{ severity: (critical|warning)[,\s]/m.test(text) && 'it has no severity',
    kind === 'alert' && !/^ {10}summary: \S/m.test(text) && 'it has no summary',
    kind === 'alert' && !/^ {10}description: '.*\{\{ \$value/m.test(text) && 'its description does not say the number',
    kind === 'alert' && !text.includes(`runbook_url: docs/runbooks/README.md#${name.toLowerCase()}\n`) && 'its runbook_url leads elsewhere',
  ])
}

const { fires, silent, text: cases } = tests()
const alerts = [...new Set(all.filter(({ kind }) => kind === 'alert').map(({ name }) => name))]
for (const name of alerts) {
  tally.check(`tests of ${name}`, [!fires.has(name) && 'it never fires', !silent.has(name) && 'it is never silent'])
}
for (const name of recorded) tally.check(`tests of ${name}`, !cases.includes(name) && 'nobody tests its value')

// promtool takes groups in any order otherwise, and what reads a recorded series may see it a step late.
const { groups, evaluated } = orders()
for (const [file, order] of evaluated) tally.check(`order of groups in tests/${file}`, order.join() !== groups.join() && 'it is not that of the files')

const page = readFileSync(new URL('../../docs/runbooks/README.md', import.meta.url), 'utf8')
const chapters = new Map([...page.matchAll(/^### (\w+)\n([\s\S]*?)(?=^##|$(?![\s\S]))/gm)].map(([, name, body]) => [name, body]))
const PARTS = ['Means', 'Look', 'Do', 'False alarm']
for (const name of new Set([...alerts, ...chapters.keys()])) {
  const missing = PARTS.filter((part) => !chapters.get(name)?.includes(`**${part}**`))
  tally.check(`runbook of ${name}`, [!alerts.includes(name) && 'there is no such alert', ...missing.map((part) => `it does not say: ${part}`)])
}
const links = [...page.matchAll(/\]\(#(\w+)\)/g)].map(([, anchor]) => anchor)
const anchors = new Set([...chapters.keys()].map((name) => name.toLowerCase()))
tally.check('links within the runbook', links.filter((anchor) => !anchors.has(anchor)).map((anchor) => `#${anchor} is no heading`))

tally.check('dashboards are what build.mjs writes', stale().map((name) => `${name}.json is not current: node deploy/grafana/build.mjs`))
for (const [file, { json, queries, variables }] of Object.entries(dashboards)) {
  tally.check(`${file}.json has the shape of a dashboard`, shape(json))
  for (const { panel, expr } of queries) tally.check(`${file}, ${panel}`, [...unknown(expr), ...misused(expr)])
  for (const { name, expr } of variables) tally.check(`${file}, variable ${name}`, unknown(expr.replace(/^label_values\((.*), \w+\)$/, '$1')))
}
const uids = Object.values(dashboards).map(({ json }) => json.uid)
tally.check('uids of dashboards', uids.filter((uid, at) => uids.indexOf(uid) !== at).map((uid) => `${uid} is taken twice`))
const shown = new Set(Object.values(dashboards).flatMap(({ queries }) => queries.flatMap(({ expr }) => selectors(expr).map(({ metric }) => declared(metric, known) ?? metric))))
// What build_info says is shown by version; everything else that is counted must be seen somewhere.
const unseen = [...known.keys()].filter((name) => !shown.has(name))
tally.check('every metric is on a dashboard', unseen.map((name) => `${name} is nowhere`))
tally.end()
