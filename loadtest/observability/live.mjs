// Does every rule and every dashboard query have data on a Prometheus that has watched a running system?
//
// `node live.mjs URL` asks that Prometheus. Rules must evaluate without an error, recorded series must exist, every series that
// an alert looks at must exist, and every query of a dashboard must have given a number at some time of the run. What a run
// without faults does not show is marked rare in the dashboards and listed in RARE here; it must still be understood, and its
// labels must be labels of its metric. The last line is `N passed, M failed`.

import { dashboards } from '../../deploy/grafana/build.mjs'
import { selectors } from './promql.mjs'
import { OWN } from './reference.mjs'
import { Tally } from './tally.mjs'

/** Series of alerts and rules that a run without faults need not have: metric, and a label that makes it so. */
const RARE = [
  ['carillon_connections_closed_total', 'reason'],
  ['carillon_handshakes_rejected_total', 'code'],
  ['carillon_http_requests_total', 'status'],
  ['carillon_jwks_refreshes_total', 'result'],
  ['carillon_canary_runs_total', 'result'],
]
/** What Grafana puts in, as it would with this run on the screen. */
const VARIABLES = [[/\$__rate_interval/g, '20s'], [/\$__range/g, '90s'], [/\$\w+/g, '.*']]

const [, , url] = process.argv
const tally = new Tally()

/** One question to Prometheus's API: its data, or an error with its words. */
async function ask(path, parameters) {
  const answer = await fetch(`${url}/api/v1/${path}?${new URLSearchParams(parameters)}`)
  const body = await answer.json()
  if (body.status !== 'success') throw new Error(body.error)
  return body.data
}

const end = Date.now() / 1000
const start = end - 150

/** How many numbers an expression gave during the run. */
async function numbers(query) {
  const { result } = await ask('query_range', { query, start, end, step: '1s' })
  return result.flatMap(({ values }) => values).filter(([, value]) => Number.isFinite(Number(value))).length
}

const labelsOf = new Map()
/** The labels a metric has; none when there is no series of it. */
async function labels(metric) {
  if (!labelsOf.has(metric)) labelsOf.set(metric, new Set(await ask('labels', { 'match[]': metric, start, end })))
  return labelsOf.get(metric)
}

const isRare = ({ metric, labels: matchers }) =>
  RARE.some(([name, label]) => name === metric && matchers.some((one) => one.name === label))

/** Labels that are asked for and that the metric has not. A series without data has no labels to compare with. */
async function misspelt(expr) {
  const faults = []
  for (const { metric, labels: matchers } of selectors(expr)) {
    const there = await labels(metric)
    for (const { name } of matchers) if (there.size > 0 && !there.has(name) && !OWN.has(metric)) faults.push(`${metric} has no label ${name}`)
  }
  return faults
}

/** What is wrong with an expression: Prometheus's own words, labels that do not exist, or no data though there should be. */
async function faults(expr, wantsData) {
  try {
    const count = await numbers(expr)
    return [...(await misspelt(expr)), wantsData && count === 0 && `no data: ${expr.replace(/\s+/g, ' ')}`]
  } catch (error) {
    return [`${error.message}: ${expr.replace(/\s+/g, ' ')}`]
  }
}

const { groups } = await ask('rules', {})
const rules = groups.flatMap(({ rules: inside }) => inside)
for (const { type, name, query, health, lastError, labels: extra } of rules) {
  const title = [type === 'alerting' ? 'alert' : 'record', name, extra?.window, extra?.job].filter(Boolean).join(' ')
  const wrong = [health !== 'ok' && `${health}: ${lastError}`]
  if (type === 'recording') {
    wrong.push(...(await faults(query, false)), ...(await faults(name, true)))
  } else {
    // The condition is false when all is well; what it looks at must be there all the same.
    wrong.push(...(await faults(query, false)))
    for (const selector of selectors(query)) wrong.push(...(await faults(selector.text, !isRare(selector))))
  }
  tally.check(title, [...new Set(wrong)])
}
tally.check('all rules are loaded', rules.length < 100 && `only ${rules.length}`)

const filled = (expr) => VARIABLES.reduce((text, [from, to]) => text.replace(from, to), expr)
let rare = 0
for (const [file, { queries, variables }] of Object.entries(dashboards)) {
  for (const { panel, expr, rare: seldom } of queries) {
    rare += seldom ? 1 : 0
    tally.check(`${file}, ${panel}: ${expr.slice(0, 60)}`, await faults(filled(expr), !seldom))
  }
  for (const { name, expr } of variables) {
    const [, series, label] = expr.match(/^label_values\((.*), (\w+)\)$/)
    const values = await ask(`label/${label}/values`, { 'match[]': filled(series), start, end })
    tally.check(`${file}, variable ${name}`, values.length === 0 && `no value: ${expr}`)
  }
}
tally.note(`${rare} queries of dashboards are marked rare: they were understood, and need no data`)

const { alerts } = await ask('alerts', {})
for (const { labels: of, state } of alerts) tally.note(`${of.alertname} is ${state} ${of.instance ?? ''} ${of.result ?? ''}`)
tally.end()
