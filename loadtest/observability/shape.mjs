// Would Grafana read this? What its dashboard schema asks for, as far as it can be told without Grafana.
//
// Ids and titles unique, panels on the grid of 24 columns without touching each other, a datasource that is the variable,
// a unit, a description and a query in every panel, and only panel types that exist.

const TYPES = new Set(['timeseries', 'stat', 'bargauge', 'heatmap', 'state-timeline', 'table'])
// The unit ids that are used here. Grafana shows a misspelt one as plain text and says nothing.
const UNITS = new Set(['none', 'short', 's', 'bytes', 'percentunit', 'cps', 'reqps', 'Bps'])
const COLOURS = new Set(['green', 'orange', 'red', 'blue'])

/** What is wrong with a dashboard, in words. */
export function shape(json) {
  const faults = []
  const need = (holds, words) => holds || faults.push(words)
  need(/^[a-zA-Z0-9_-]{1,40}$/.test(json.uid), 'its uid is not one')
  need(json.title && json.description, 'title or description is missing')
  need(Number.isInteger(json.schemaVersion) && json.schemaVersion >= 36, 'schemaVersion is missing or old')
  need(json.tags?.includes('carillon'), 'the tag by which dashboards are linked is missing')
  need(json.id === undefined, 'an id belongs to one Grafana')
  need(/^now/.test(json.time?.from) && json.time?.to === 'now', 'its time range is not relative')
  const variables = json.templating.list
  need(variables[0]?.type === 'datasource' && variables[0].query === 'prometheus', 'its first variable is not the datasource')
  const names = new Set(variables.map(({ name }) => name))
  for (const { name, type, datasource, query } of variables.slice(1)) {
    need(type === 'query' && isVariable(datasource) && query?.query && query.refId, `variable ${name} asks nothing`)
  }
  for (const { name, datasource, expr } of json.annotations.list) need(isVariable(datasource) && expr, `annotation ${name} asks nothing`)

  const rows = json.panels.filter(({ type }) => type === 'row')
  const panels = json.panels.flatMap((panel) => (panel.type === 'row' ? panel.panels : [panel]))
  const ids = [...rows, ...panels].map(({ id }) => id)
  need(new Set(ids).size === ids.length, 'two panels share an id')
  // One heading may repeat another row's word, but within a dashboard a title is how people speak of a panel.
  const rowOf = new Map()
  let heading = ''
  for (const panel of json.panels) {
    if (panel.type === 'row') heading = panel.title
    for (const inside of panel.type === 'row' ? panel.panels : [panel]) rowOf.set(inside, heading)
  }
  const titles = panels.map((panel) => `${rowOf.get(panel)} / ${panel.title}`)
  for (const title of titles.filter((one, at) => titles.indexOf(one) !== at)) faults.push(`two panels are called ${title}`)
  for (const panel of [...rows, ...panels]) faults.push(...place(panel))
  for (const [at, panel] of panels.entries()) {
    faults.push(...content(panel, names))
    for (const other of panels.slice(at + 1)) {
      // Panels of a folded row lie under it, where nothing else is until it is opened.
      const together = json.panels.includes(panel) === json.panels.includes(other)
      if (together && overlap(panel.gridPos, other.gridPos)) faults.push(`${panel.title} and ${other.title} overlap`)
    }
  }
  for (const row of rows) need(row.collapsed === row.panels.length > 0, `row ${row.title} is folded and empty, or open and keeps its panels`)
  return faults
}

const isVariable = (datasource) => datasource?.type === 'prometheus' && datasource.uid === '${datasource}'

const overlap = (a, b) => a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h

function place({ title, gridPos }) {
  const { x, y, w, h } = gridPos ?? {}
  const whole = [x, y, w, h].every((number) => Number.isInteger(number) && number >= 0)
  return whole && w > 0 && h > 0 && x + w <= 24 ? [] : [`${title} is not on the grid`]
}

function content(panel, variables) {
  const faults = []
  const need = (holds, words) => holds || faults.push(`${panel.title}: ${words}`)
  const defaults = panel.fieldConfig?.defaults ?? {}
  need(panel.title && panel.title.length <= 60, 'no title, or a long one')
  need(TYPES.has(panel.type), `${panel.type} is no panel type`)
  need(panel.description?.length > 10 && panel.description.endsWith('.'), 'no description, or not a sentence')
  need(UNITS.has(defaults.unit), `${defaults.unit} is no unit`)
  need(isVariable(panel.datasource), 'its datasource is not the variable')
  need(panel.options && Array.isArray(panel.fieldConfig.overrides), 'no options')
  const steps = defaults.thresholds?.steps ?? []
  const rising = steps.every(({ value }, at) => (at === 0 ? value === null : at === 1 || value > steps[at - 1].value))
  need(steps.length > 0 && rising && steps.every(({ color }) => COLOURS.has(color)), 'its thresholds do not rise from null')
  need(panel.targets?.length > 0, 'no query')
  const refs = panel.targets.map(({ refId }) => refId)
  need(new Set(refs).size === refs.length, 'two queries share a refId')
  for (const { refId, datasource, expr, instant, range, format } of panel.targets) {
    need(isVariable(datasource), `query ${refId}: its datasource is not the variable`)
    need(expr && instant !== range, `query ${refId}: neither at one time nor over time`)
    need((panel.type === 'heatmap') === (format === 'heatmap') && (panel.type === 'table') === (format === 'table'), `query ${refId}: the format of another panel type`)
    const used = [...(expr.matchAll(/\$(?!__)(\w+)/g) ?? [])].map(([, name]) => name)
    for (const name of used) need(variables.has(name), `query ${refId}: there is no variable ${name}`)
  }
  return faults
}
