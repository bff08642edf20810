// What stands in deploy/prometheus? Its rules, and which alerts its tests expect to fire and to be silent.
//
// These files have one shape, so lines are read instead of YAML; what does not have the shape is an error. That they are
// right YAML is promtool's business.

import { readFileSync, readdirSync } from 'node:fs'

const folder = new URL('../../deploy/prometheus/', import.meta.url)
const read = (name) => readFileSync(new URL(name, folder), 'utf8')

/** Rules: { file, kind: 'record' or 'alert', name, expr, text }, text being all lines of the rule. */
export function rules() {
  return ['rules.yml', 'alerts.yml'].flatMap((file) => {
    const parts = read(file).split(/^ {6}- (?=record: |alert: )/m).slice(1)
    return parts.map((text) => {
      const [, kind, name] = text.match(/^(record|alert): (\S+)\n/) ?? fault(file, text)
      const [, block, line] = text.match(/^ {8}expr: (?:\|\n((?: {10}.*\n)+)|(.*)\n)/m) ?? fault(file, text)
      return { file, kind, name, expr: (block ?? line).trim(), text }
    })
  })
}

function fault(file, text) {
  throw new Error(`${file}: a rule without the usual shape: ${text.slice(0, 80)}`)
}

/** The groups of rules in the order of the files, and the order in which each test file has them evaluated. */
export function orders() {
  const groups = ['rules.yml', 'alerts.yml'].flatMap((file) => [...read(file).matchAll(/^ {2}- name: (\S+)$/gm)].map(([, name]) => name))
  const evaluated = readdirSync(new URL('tests/', folder)).map((name) => {
    const list = read(`tests/${name}`).match(/^group_eval_order:\s+\[([^\]]*)\]/m)?.[1] ?? ''
    return [name, list.split(/,\s*/)]
  })
  return { groups, evaluated }
}

/** What the tests expect: names of alerts that fire somewhere, that are silent somewhere, and the whole text. */
export function tests() {
  const text = readdirSync(new URL('tests/', folder)).sort().map((name) => read(`tests/${name}`)).join('\n')
  const fires = new Set([...text.matchAll(/alertname: (\w+)\n +exp_alerts:\n/g)].map(([, name]) => name))
  const silent = new Set([...text.matchAll(/alertname: (\w+),? *\n? *exp_alerts: \[\]/g)].map(([, name]) => name))
  return { fires, silent, text }
}
