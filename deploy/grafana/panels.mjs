// How does a panel become the JSON that Grafana reads?
//
// A dashboard is rows of panels: `row(title, ...panels)`, each panel with a title, a description, a unit and queries. Where
// it stands on the grid, its id and the datasource follow from the order. Nothing here knows what Carillon is.

const DATASOURCE = { type: 'prometheus', uid: '${datasource}' }
const COLUMNS = 24

/** A query: PromQL and how its series are called. `rare` says that a healthy system gives it no data. */
export const query = (expr, legend = '', { rare = false } = {}) => ({ expr, legend, rare })

/** Lines over time. `colors` says which series has which, where that means something; `names` stand at the bottom or right. */
export function lines(title, unit, description, queries, { w = 8, h = 8, stack = false, max, min = 0, decimals, colors = {}, names = 'bottom' } = {}) {
  const custom = {
    drawStyle: 'line', lineInterpolation: 'linear', lineWidth: 1, fillOpacity: stack ? 30 : 8, showPoints: 'never', spanNulls: false,
    axisSoftMin: 0, stacking: { mode: stack ? 'normal' : 'none', group: 'A' },
  }
  const options = {
    legend: { displayMode: 'list', placement: names, showLegend: true, calcs: [] },
    tooltip: { mode: 'multi', sort: 'desc' },
  }
  const overrides = overriding('color', Object.entries(colors).map(([name, fixedColor]) => [name, { mode: 'fixed', fixedColor }]))
  return panel('timeseries', title, unit, description, queries, { w, h, custom, options, min, max, decimals, overrides })
}

/** One number, coloured by thresholds: [[from, colour], ...] in ascending order, the first from null. */
export function number(title, unit, description, queries, { w = 4, h = 4, thresholds, decimals, text, spark = true } = {}) {
  const options = {
    reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
    colorMode: thresholds ? 'background' : 'value', graphMode: spark ? 'area' : 'none', justifyMode: 'auto', orientation: 'auto',
    textMode: text ?? 'auto',
  }
  return panel('stat', title, unit, description, queries, { w, h, options, thresholds, decimals })
}

/** A bar for each series, from min to max. */
export function bars(title, unit, description, queries, { w = 8, h = 8, min = 0, max, thresholds } = {}) {
  const options = {
    reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
    displayMode: 'gradient', orientation: 'horizontal', showUnfilled: true, valueMode: 'color',
  }
  return panel('bargauge', title, unit, description, queries, { w, h, options, min, max, thresholds, instant: true })
}

/** How often each bucket of a histogram was hit, over time. The one query sums buckets by `le`. */
export function heatmap(title, unit, description, queries, { w = 12, h = 8 } = {}) {
  const options = {
    calculate: false, cellGap: 1, cellValues: { unit: 'short' }, color: { mode: 'scheme', scheme: 'Spectral', steps: 64, exponent: 0.5, fill: 'dark-orange', scale: 'exponential', reverse: false },
    exemplars: { color: 'rgba(255,0,255,0.7)' }, filterValues: { le: 1e-9 }, legend: { show: true }, rowsFrame: { layout: 'auto' },
    tooltip: { mode: 'single', yHistogram: false }, yAxis: { axisPlacement: 'left', reverse: false, unit },
  }
  return panel('heatmap', title, unit, description, queries, { w, h, options, format: 'heatmap' })
}

/** Which state each series was in, over time: { value: [text, colour] }. */
export function states(title, description, queries, names, { w = 24, h = 8 } = {}) {
  const mapped = Object.entries(names).map(([value, [text, color]], index) => [value, { text, color, index }])
  const options = {
    mergeValues: true, showValue: 'auto', alignValue: 'left', rowHeight: 0.9,
    legend: { displayMode: 'list', placement: 'bottom', showLegend: true, calcs: [] }, tooltip: { mode: 'single', sort: 'none' },
  }
  const mappings = [{ type: 'value', options: Object.fromEntries(mapped) }]
  return panel('state-timeline', title, 'none', description, queries, { w, h, options, mappings, custom: { lineWidth: 0, fillOpacity: 70 } })
}

/** The newest value of each series and its labels. `hide` names labels that say nothing here; `sort` is [column, descending]. */
export function table(title, unit, description, queries, { w = 12, h = 8, hide = [], rename = {}, order = [], widths = {}, sort } = {}) {
  const options = { showHeader: true, cellHeight: 'sm', footer: { show: false, reducer: [] } }
  if (sort) options.sortBy = [{ displayName: sort[0], desc: sort[1] }]
  const excludeByName = Object.fromEntries(['Time', '__name__', ...hide].map((name) => [name, true]))
  const transformations = [{ id: 'organize', options: { excludeByName, indexByName: Object.fromEntries(order.map((name, at) => [name, at])), renameByName: rename } }]
  const custom = { align: 'auto', cellOptions: { type: 'auto' }, inspect: false }
  return panel('table', title, unit, description, queries, { w, h, options, transformations, custom, overrides: overriding('custom.width', Object.entries(widths)), instant: true, format: 'table' })
}

/** Panels under a heading; `folded` hides them until somebody opens it. */
export const row = (title, ...panels) => ({ title, panels, folded: false })
export const folded = (title, ...panels) => ({ title, panels, folded: true })

/** One property of the series or columns with these names. */
const overriding = (id, values) => values.map(([name, value]) => ({ matcher: { id: 'byName', options: name }, properties: [{ id, value }] }))

function panel(type, title, unit, description, queries, { w, h, options, thresholds, custom, min, max, decimals, mappings = [], overrides = [], transformations, instant = false, format = 'time_series' }) {
  const steps = (thresholds ?? [[null, 'green']]).map(([value, color]) => ({ value, color }))
  const defaults = { unit, mappings, color: { mode: thresholds ? 'thresholds' : 'palette-classic' }, thresholds: { mode: 'absolute', steps } }
  if (custom) defaults.custom = custom
  for (const [name, value] of Object.entries({ min, max, decimals })) if (value !== undefined) defaults[name] = value
  const targets = queries.map(({ expr, legend }, index) => ({
    refId: String.fromCharCode(65 + index), datasource: DATASOURCE, editorMode: 'code', expr, format,
    legendFormat: legend || '__auto', instant, range: !instant,
  }))
  const json = { type, title, description, datasource: DATASOURCE, fieldConfig: { defaults, overrides }, options, targets }
  if (transformations) json.transformations = transformations
  return { json, w, h, queries }
}

/** The dashboard as Grafana imports it, and its queries as {panel, expr, rare}. */
export function dashboard({ uid, title, description, variables, annotations, rows }) {
  let id = 0
  let y = 0
  const panels = []
  const queries = annotations.map(({ name, expr }) => ({ panel: `annotation ${name}`, expr, rare: true }))
  for (const { title: heading, panels: inside, folded: collapsed } of rows) {
    const head = { id: ++id, type: 'row', title: heading, collapsed, gridPos: { h: 1, w: COLUMNS, x: 0, y: y++ }, panels: [] }
    panels.push(head)
    const below = y
    let x = 0
    let deepest = y
    for (const { json, w, h, queries: asked } of inside) {
      if (x + w > COLUMNS) [x, y] = [0, deepest]
      const placed = { id: ++id, ...json, gridPos: { h, w, x, y } }
      ;(collapsed ? head.panels : panels).push(placed)
      x += w
      deepest = Math.max(deepest, y + h)
      queries.push(...asked.map(({ expr, rare }) => ({ panel: json.title, expr, rare })))
    }
    // The panels of a folded row take no room until it is opened; Grafana moves what is below.
    y = collapsed ? below : deepest
  }
  const json = {
    uid, title, description, tags: ['carillon'], editable: true, graphTooltip: 1, schemaVersion: 39, version: 1, timezone: '',
    refresh: '30s', time: { from: 'now-1h', to: 'now' }, timepicker: {}, fiscalYearStartMonth: 0, weekStart: '',
    links: [{ type: 'dashboards', title: 'Carillon', tags: ['carillon'], asDropdown: true, includeVars: true, keepTime: true, icon: 'external link', targetBlank: false, tooltip: '', url: '' }],
    annotations: { list: annotations.map(marks) },
    templating: { list: [datasourceVariable(), ...variables.map(queryVariable)] },
    panels,
  }
  return { json, queries, variables }
}

const marks = ({ name, expr, text, color }) => ({
  name, datasource: DATASOURCE, enable: true, hide: false, iconColor: color, expr, step: '30s', titleFormat: name, textFormat: text, useValueForTime: false,
})

const datasourceVariable = () => ({
  name: 'datasource', label: 'Prometheus', type: 'datasource', query: 'prometheus', regex: '', current: {}, hide: 0, includeAll: false, multi: false, options: [], refresh: 1,
})

const queryVariable = ({ name, label, expr }) => ({
  name, label, type: 'query', datasource: DATASOURCE, definition: expr, query: { query: expr, refId: `variable-${name}` }, regex: '', sort: 1,
  refresh: 2, hide: 0, includeAll: true, multi: true, allValue: '.*', options: [], current: { selected: true, text: ['All'], value: ['$__all'] },
})
