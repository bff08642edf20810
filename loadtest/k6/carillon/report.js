// What does a run look like to people and to machines? (JSON, a page that loads nothing, and a few lines on the terminal.)

import { out, settled } from './settings.js'

const escape = (text) => String(text).replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;')
const round = (value) => (Number.isInteger(value) ? value : Math.round(value * 100) / 100)

/** The percentiles that reports have. */
export const summaryTrendStats = ['count', 'min', 'med', 'avg', 'p(95)', 'p(99)', 'max']

function shaped(script, data) {
  const thresholds = []
  const metrics = []
  for (const [name, metric] of Object.entries(data.metrics).sort(([a], [b]) => (a < b ? -1 : 1))) {
    const values = Object.fromEntries(Object.entries(metric.values).map(([key, value]) => [key, round(value)]))
    metrics.push({ name, type: metric.type, unit: metric.contains === 'time' ? 'ms' : metric.contains, values })
    for (const [expression, { ok }] of Object.entries(metric.thresholds || {})) thresholds.push({ metric: name, expression, ok })
  }
  const checks = data.root_group.checks.map(({ name, passes, fails }) => ({ name, passes, fails }))
  return {
    tool: 'k6', script, ok: thresholds.every(({ ok }) => ok), duration_ms: Math.round(data.state.testRunDurationMs), settings: settled,
    thresholds, checks, metrics,
  }
}

const says = ({ type, unit, values }) => {
  const ms = unit === 'ms' ? ' ms' : ''
  if (type === 'trend') return `med ${values.med}${ms} · p95 ${values['p(95)']}${ms} · p99 ${values['p(99)']}${ms} · max ${values.max}${ms} (${values.count})`
  if (type === 'rate') return `${values.passes} of ${values.passes + values.fails}`
  if (type === 'counter') return `${values.count} (${values.rate}/s)`
  return String(values.value)
}

function page(report) {
  const row = (...cells) => `<tr>${cells.map((cell) => `<td>${cell}</td>`).join('')}</tr>`
  const mark = (ok) => `<b class="${ok ? 'ok' : 'no'}">${ok ? 'kept' : 'crossed'}</b>`
  const settings = Object.entries(report.settings).map(([name, value]) => `${escape(name)}=${escape(value)}`).join(' ')
  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${escape(report.script)}: ${report.ok ? 'passed' : 'failed'}</title>
<style>body{font:15px/1.45 system-ui,sans-serif;max-width:64em;margin:2em auto;padding:0 1em;color:#1b1f24;background:#fff}
table{border-collapse:collapse;width:100%;margin:.5em 0 2em}td{padding:.3em .8em .3em 0;border-bottom:1px solid #d9dee3;vertical-align:top}
td:last-child{font-variant-numeric:tabular-nums}code,small{color:#57606a}.ok{color:#146c2e}.no{color:#b3261e}</style>
<h1>${escape(report.script)} <span class="${report.ok ? 'ok' : 'no'}">${report.ok ? 'passed' : 'failed'}</span></h1>
<p>k6 · ${round(report.duration_ms / 1000)} s · <code>${settings}</code></p>
<h2>Thresholds</h2><table>${report.thresholds.map(({ metric, expression, ok }) => row(mark(ok), escape(metric), `<code>${escape(expression)}</code>`)).join('\n')}</table>
<h2>Checks</h2><table>${report.checks.map(({ name, passes, fails }) => row(escape(name), `${passes} of ${passes + fails}`)).join('\n')}</table>
<h2>Measures</h2><table>${report.metrics.map((metric) => row(escape(metric.name), escape(says(metric)))).join('\n')}</table>
</html>
`
}

function lines(report) {
  const ours = report.metrics.filter(({ name }) => name.startsWith('carillon_') || name === 'http_req_duration')
  const failed = report.checks.filter(({ fails }) => fails > 0)
  return [
    `${report.script}: ${report.ok ? 'passed' : 'FAILED'} in ${round(report.duration_ms / 1000)} s`,
    ...report.thresholds.filter(({ ok }) => !ok).map(({ metric, expression }) => `  crossed: ${metric} ${expression}`),
    ...failed.map(({ name, passes, fails }) => `  ${fails} of ${passes + fails} not: ${name}`),
    ...ours.map((metric) => `  ${metric.name.padEnd(22)} ${says(metric)}`),
  ].join('\n') + '\n'
}

/** The `handleSummary` of a script: writes `k6-<script>.json` and `k6-<script>.html` into the folder of the reports. */
export const reporter = (script) => (data) => {
  if (!data.root_group) throw new Error('run k6 with --new-machine-readable-summary=false')
  const report = shaped(script, data)
  return {
    [`${out}/k6-${script}.json`]: `${JSON.stringify(report, null, 1)}\n`,
    [`${out}/k6-${script}.html`]: page(report),
    stdout: lines(report),
  }
}
