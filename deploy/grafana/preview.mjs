#!/usr/bin/env node
// What do the dashboards look like? `node preview.mjs PROMETHEUS_URL OUT_FOLDER [--end RFC3339|unix] [--range SECONDS] [--open]`
//
// Draws every dashboard beside this file as one SVG, with the data of a running Prometheus: for people, and for machines
// without Grafana. Without --end it ends where the data end, without --range it shows all of them, at most an hour. --open
// opens folded rows. What a panel looks like is in draw.mjs; here are the questions to Prometheus.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { dashboards } from './build.mjs'
import { picture } from './draw.mjs'

const POINTS = 150
const UNITS = { ms: 0.001, s: 1, m: 60, h: 3600 }

/** One question to Prometheus's API: its data, or an error with its words. */
const asker = (url) => async (path, parameters = {}) => {
  const answer = await fetch(`${url}/api/v1/${path}?${new URLSearchParams(parameters)}`)
  const body = await answer.json()
  if (body.status !== 'success') throw new Error(`${body.error}: ${parameters.query ?? path}`)
  return body.data
}

/** What time is shown, in seconds, and how fine: not finer than Prometheus scrapes, not more than POINTS to a line. */
async function times(ask, { end, range }) {
  const { headStats } = await ask('status/tsdb')
  const { yaml } = await ask('status/config')
  const [, number, unit] = yaml.match(/scrape_interval: (\d+)(ms|s|m|h)/)
  const scrape = Number(number) * UNITS[unit]
  const to = Math.floor(end ?? (headStats.numSeries > 0 ? Math.min(headStats.maxTime, Date.now()) : Date.now()) / 1000)
  const held = to - headStats.minTime / 1000
  const seconds = Math.ceil(range ?? (held > 0 ? Math.min(3600, held) : 3600))
  const step = Math.max(Math.ceil(seconds / POINTS), Math.ceil(scrape))
  // As Grafana reckons it, so that a rate always has four samples.
  return { from: to - seconds, to, step, rate: `${Math.max(step + scrape, 4 * scrape)}s` }
}

/** A query as Grafana would send it, every variable at `All`. */
const filled = (expr, json, { from, to, rate }) =>
  json.templating.list
    .filter(({ type }) => type === 'query')
    .reduce((text, { name, allValue }) => text.replaceAll(`$${name}`, allValue), expr.replaceAll('$__rate_interval', rate).replaceAll('$__range', `${to - from}s`))

/** How a series is called: its legend's labels put in, or all its labels. */
export function named(legend, labels) {
  if (legend !== '__auto') return legend.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, label) => labels[label] ?? '')
  return `{${Object.entries(labels).map(([name, value]) => `${name}="${value}"`).join(', ')}}`
}

/** The series of a query: { name, labels, values: [[time, number]] }, a number only where there is one. */
async function series(ask, { expr, legendFormat = '__auto', instant }, json, time) {
  const query = filled(expr, json, time)
  const { result } = instant
    ? await ask('query', { query, time: time.to })
    : await ask('query_range', { query, start: time.from, end: time.to, step: time.step })
  const made = result.map(({ metric, value, values }) => ({
    name: named(legendFormat, metric),
    labels: metric,
    values: (values ?? [value]).map(([at, text]) => [at, Number(text)]).filter(([, number]) => Number.isFinite(number)),
  }))
  const some = made.filter(({ values }) => values.length > 0)
  // An instant answer has an order of its own: topk begins with the largest.
  return instant ? some : some.sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** Everything that a dashboard shows, by panel id, and what is marked on the time axis. */
async function answers(ask, json, time) {
  const data = new Map()
  for (const panel of json.panels.flatMap((one) => [one, ...(one.panels ?? [])])) {
    const found = []
    for (const target of panel.targets ?? []) found.push(...(await series(ask, target, json, time)))
    data.set(panel.id, found)
  }
  const marks = []
  for (const { expr, iconColor } of json.annotations.list) {
    // Only where it begins: Grafana draws what goes on as a region.
    for (const { values } of await series(ask, { expr }, json, time)) marks.push({ at: values[0][0], color: iconColor })
  }
  return { data, marks }
}

function options(words) {
  const given = { open: false }
  const left = []
  for (let at = 0; at < words.length; at += 1) {
    if (words[at] === '--open') given.open = true
    else if (words[at] === '--range') given.range = Number(words[++at])
    else if (words[at] === '--end') given.end = /^[\d.]+$/.test(words[++at]) ? Number(words[at]) : Date.parse(words[at]) / 1000
    else left.push(words[at])
  }
  const [url, folder] = left
  const wrong = left.length !== 2 || [given.range, given.end].some(Number.isNaN)
  return wrong || given.range <= 0 ? null : { ...given, url: url.replace(/\/$/, ''), folder }
}

async function main(words) {
  const given = options(words)
  if (!given) {
    console.error('node preview.mjs PROMETHEUS_URL OUT_FOLDER [--end RFC3339|unix] [--range SECONDS] [--open]')
    return 64
  }
  const ask = asker(given.url)
  const time = await times(ask, given)
  mkdirSync(given.folder, { recursive: true })
  for (const name of Object.keys(dashboards)) {
    const json = JSON.parse(readFileSync(new URL(`${name}.json`, import.meta.url), 'utf8'))
    const shown = picture({ json, time, open: given.open, ...(await answers(ask, json, time)), name })
    const file = join(given.folder, `dashboard-${name}.svg`)
    writeFileSync(file, shown)
    console.log(`${file} ${Math.ceil(shown.length / 1024)} KB`)
  }
  return 0
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.exitCode = await main(process.argv.slice(2)).catch((error) => {
    console.error(`preview: ${error.cause?.message || error.message}`)
    return 1
  })
}
