// How does Grafana draw a panel? Near enough to judge a dashboard by: its grid, its dark theme, its units, its legends.
//
// Pure functions from a panel's JSON and its series to the text of an SVG; preview.mjs fetches the series.

const PAGE = 1600
const CELL = 30
const GAP = 8
const HEAD = 64
const COLORS = { green: '#73BF69', orange: '#FF9830', red: '#F2495C', blue: '#5794F2', purple: '#B877D9' }
const PALETTE = ['#73BF69', '#F2CC0C', '#8AB8FF', '#FF780A', '#F2495C', '#5794F2', '#B877D9', '#705DA0', '#37872D', '#FADE2A', '#447EBC', '#C15C17']
const SPECTRAL = ['#5E4FA2', '#3288BD', '#66C2A5', '#ABDDA4', '#E6F598', '#FFFFBF', '#FEE08B', '#FDAE61', '#F46D43', '#D53E4F', '#9E0142']
const [TEXT, FAINT, GRID] = ['#CCCCDC', '#8E8E9A', '#2B2D33']

// --- numbers ----------------------------------------------------------------------------------------------------------

const SI = (unit, names = ['', 'K', 'M', 'B']) => names.map((prefix, power) => [1000 ** power, ` ${prefix}${unit}`.trimEnd()])
const SCALES = {
  none: [[1, '']],
  short: [[1, ''], [1e3, ' K'], [1e6, ' Mil'], [1e9, ' Bil']],
  s: [[1e-9, ' ns'], [1e-6, ' µs'], [1e-3, ' ms'], [1, ' s'], [60, ' mins'], [3600, ' hours'], [86400, ' days']],
  bytes: ['B', 'KiB', 'MiB', 'GiB', 'TiB'].map((unit, power) => [1024 ** power, ` ${unit}`]),
  Bps: SI('B/s', ['', 'k', 'M', 'G']),
  percentunit: [[0.01, '%']],
  cps: [[1, ' c/s'], [1e3, 'K c/s'], [1e6, 'M c/s']],
  reqps: [[1, ' req/s'], [1e3, 'K req/s'], [1e6, 'M req/s']],
}

const scaleOf = (value, unit) => (value === 0 && unit === 's' ? [1, ' s'] : SCALES[unit].findLast(([from]) => Math.abs(value) >= from) ?? SCALES[unit][0])

/** As many digits as Grafana shows when a panel does not say: about three. */
function digits(value) {
  if (Number.isInteger(value)) return 0
  const power = -Math.floor(Math.log10(Math.abs(value))) + 1
  return Math.max(0, power + (value * 10 ** power > 2.25 ? 1 : 0))
}

/** A value with its unit, as in a tooltip. */
export function format(value, unit, decimals) {
  const [scale, suffix] = scaleOf(value, unit)
  const scaled = Number((value / scale).toPrecision(12))
  return `${scaled.toFixed(decimals ?? digits(scaled))}${suffix}`
}

/** Where the axis has its strokes, and where it ends: a tenth above the highest value. */
export function axis(highest, { unit, min = 0, max }, room) {
  const base = 10 ** Math.floor(Math.log10(highest - min || 1000))
  const top = max ?? (highest > min ? Math.ceil(((highest - min) * 1.1 + min) / (base / 10)) * (base / 10) : min + 100)
  const binary = unit === 'bytes'
  const steps = binary ? [1, 2, 4, 8, 16, 32, 64, 128, 256, 512] : [1, 2, 2.5, 5]
  const within = binary ? 1024 : 10
  const rough = (top - min) / Math.max(1, Math.floor(room / 34))
  const power = within ** Math.floor(Math.log(rough) / Math.log(within))
  const step = [...steps.map((one) => one * power), within * power].find((one) => one >= rough * 0.999)
  const ticks = []
  for (let at = Math.ceil(min / step) * step; at <= top * 1.0001; at += step) ticks.push(Number(at.toPrecision(9)))
  const label = (value) => {
    const [scale] = scaleOf(value, unit)
    const fine = [0, 1, 2, 3].find((count) => Math.abs(Number((step / scale).toFixed(count)) * scale - step) < step / 1000) ?? 3
    return format(value, unit, value === 0 ? 0 : Math.min(fine, digits(value / scale) + 1))
  }
  return { top, min, ticks, label }
}

// --- pieces -----------------------------------------------------------------------------------------------------------

export const escape = (text) => String(text).replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`)
const short = (number) => String(Math.round(number * 10) / 10)
const wide = (text, size = 12) => String(text).length * size * 0.56
const cut = (text, room, size = 12) => (wide(text, size) <= room ? String(text) : `${String(text).slice(0, Math.max(1, Math.floor(room / size / 0.56) - 1))}…`)
const text = (x, y, words, { size = 12, fill = TEXT, anchor, weight } = {}) =>
  `<text x="${short(x)}" y="${short(y)}" font-size="${size}" fill="${fill}"${anchor ? ` text-anchor="${anchor}"` : ''}${weight ? ` font-weight="${weight}"` : ''}>${escape(words)}</text>`
const box = (x, y, w, h, fill, more = '') => `<rect x="${short(x)}" y="${short(y)}" width="${short(w)}" height="${short(h)}" fill="${fill}" ${more}/>`
const lineOf = (d, stroke, more = '') => `<path d="${d}" fill="none" stroke="${stroke}" ${more}/>`
const noData = ({ w, h }) => text(w / 2, h / 2 + 4, 'No data', { size: 14, fill: FAINT, anchor: 'middle' })

const stepsOf = (panel) => panel.fieldConfig.defaults.thresholds.steps
const threshold = (value, panel) => COLORS[stepsOf(panel).findLast((step) => step.value === null || value >= step.value).color]
const colored = (value, panel, at) => (panel.fieldConfig.defaults.color.mode === 'thresholds' ? threshold(value, panel) : PALETTE[at % PALETTE.length])
/** What the panel says about the series or column of a name: a colour, a width. */
const override = (panel, name, id) => panel.fieldConfig.overrides.find(({ matcher }) => matcher.options === name)?.properties.find((one) => one.id === id)?.value
const last = ({ values }) => values.at(-1)[1]

/** Points without those that lie on the line between their neighbours. */
const bent = (points) =>
  points.filter(([x, y], at) => {
    const [before, after] = [points[at - 1], points[at + 1]]
    return !before || !after || Math.abs(before[1] + ((after[1] - before[1]) * (x - before[0])) / (after[0] - before[0]) - y) > 0.05
  })

/** Points as runs: where values are missing a line breaks. */
function runs(values, step) {
  const found = []
  for (const point of values) {
    const open = found.at(-1)
    if (open && point[0] - open.at(-1)[0] < step * 1.5) open.push(point)
    else found.push([point])
  }
  return found
}

/** The path along points, and back along `floor` if there is one. */
const along = (points) => points.map(([x, y], at) => `${at ? 'L' : 'M'}${short(x)} ${short(y)}`).join('')
const area = (points, floor) => `${along(bent(points))}${along(bent(floor)).replace('M', 'L')}Z`

/** The time axis under a plot: strokes, times, marks of annotations. */
function timeAxis({ left, width, height, time, marks, x, grid = true }) {
  const nice = [5, 10, 15, 30, 60, 300, 600, 900, 1800, 3600].find((step) => (time.to - time.from) / step <= width / 75) ?? 7200
  let made = ''
  for (let at = Math.ceil(time.from / nice) * nice; at <= time.to; at += nice) {
    if (grid) made += lineOf(`M${short(x(at))} 0V${short(height)}`, GRID)
    const words = new Date(at * 1000).toISOString().slice(11, nice < 60 ? 19 : 16)
    if (x(at) > left + 20 && x(at) < left + width - 20) made += text(x(at), height + 16, words, { fill: FAINT, anchor: 'middle', size: 11 })
  }
  for (const { at, color } of marks) {
    made += lineOf(`M${short(x(at))} 0V${short(height)}`, COLORS[color], 'stroke-dasharray="4 3"') + `<path d="M${short(x(at) - 4)} ${short(height + 5)}h8l-4 -5z" fill="${COLORS[color]}"/>`
  }
  return made
}

const more = (count, w, h) => (count > 0 ? text(w, h + 4, `${count} more, by scrolling`, { anchor: 'end', fill: COLORS.orange, size: 10 }) : '')

/** Names in lines under a plot, or one below the other beside it; those that find no room are reached by scrolling. */
function legend(entries, { w, h }, placement = 'bottom') {
  if (placement === 'right') {
    const width = Math.min(w * 0.4, Math.max(...entries.map(([name]) => wide(name))) + 34)
    const fit = Math.floor(h / 20)
    const names = entries.slice(0, fit).map(([name, color], row) => box(w - width + 10, row * 20 + 6, 14, 4, color, 'rx="2"') + text(w - width + 30, row * 20 + 12, cut(name, width - 30)))
    return { height: 0, width, drawn: names.join('') + more(entries.length - fit, w, h) }
  }
  const lines = [[]]
  let x = 0
  for (const [name, color] of entries) {
    const words = cut(name, w - 24)
    if (x > 0 && x + wide(words) + 34 > w) [x] = [0, lines.push([])]
    lines.at(-1).push([x, words, color])
    x += wide(words) + 34
  }
  const kept = lines.slice(0, Math.max(1, Math.floor((h * 0.35) / 20)))
  const height = kept.length * 20 + 6
  const drawn = kept.flatMap((line, row) => line.map(([at, words, color]) => box(at, h - height + row * 20 + 11, 14, 4, color, 'rx="2"') + text(at + 20, h - height + row * 20 + 17, words)))
  return { height, width: 0, drawn: drawn.join('') + more(entries.length - kept.flat().length, w, h) }
}

// --- panels: each draws into { w, h } ---------------------------------------------------------------------------------

function timeseries(panel, series, { w, h, time, marks }) {
  const { unit, min, max, custom } = panel.fieldConfig.defaults
  const stacked = custom.stacking.mode === 'normal'
  const sums = new Map()
  const tops = series.map(({ values }) => values.map(([at, value]) => {
    const floor = stacked ? sums.get(at) ?? 0 : Math.max(min ?? 0, 0)
    sums.set(at, floor + value)
    return [at, stacked ? floor + value : value, floor]
  }))
  const paints = series.map(({ name }, at) => COLORS[override(panel, name, 'color')?.fixedColor] ?? PALETTE[at % PALETTE.length])
  const names = legend(series.map(({ name }, at) => [name, paints[at]]), { w, h }, panel.options.legend.placement)
  const height = h - names.height - 24
  const { top, ticks, label, min: low } = axis(Math.max(0, ...tops.flat().map(([, value]) => value)), { unit, min, max }, height)
  const left = Math.max(...ticks.map((tick) => wide(label(tick), 11))) + 12
  const width = w - left - 6 - names.width
  const x = (at) => left + ((at - time.from) / (time.to - time.from)) * width
  const y = (value) => height - ((Math.min(value, top) - low) / (top - low)) * height
  let made = ticks.map((tick) => lineOf(`M${short(left)} ${short(y(tick))}H${short(left + width)}`, GRID) + text(left - 6, y(tick) + 4, label(tick), { fill: FAINT, anchor: 'end', size: 11 })).join('')
  made += timeAxis({ left, width, height, time, marks, x })
  tops.forEach((points, at) => {
    for (const run of runs(points, time.step)) {
      const upper = run.map(([when, value]) => [x(when), y(value)])
      const floor = run.map(([when, , below]) => [x(when), y(below)]).reverse()
      const color = paints[at]
      if (upper.some(([, high], point) => floor.at(-1 - point)[1] - high > 0.5)) made += `<path d="${area(upper, floor)}" fill="${color}" fill-opacity="${custom.fillOpacity / 100}"/>`
      made += lineOf(run.length > 1 ? along(bent(upper)) : `M${short(upper[0][0] - 1)} ${short(upper[0][1])}h2`, color, 'stroke-width="1.3"')
    }
  })
  return made + names.drawn
}

function stat(panel, series, { w, h, time }) {
  const { unit, decimals } = panel.fieldConfig.defaults
  const filled = panel.options.colorMode === 'background'
  const each = w / series.length
  return series.map((one, at) => {
    const value = format(last(one), unit, decimals)
    const color = colored(last(one), panel, at)
    const size = Math.min(44, h * 0.52, (each - 24) / value.length / 0.6)
    let made = filled ? box(at * each - GAP, -34, each + 2 * GAP, h + 42, color, 'fill-opacity="0.85" rx="2"') : ''
    if (panel.options.graphMode === 'area' && one.values.length > 1) {
      const [lowest, highest] = [Math.min(...one.values.map(([, number]) => number)), Math.max(...one.values.map(([, number]) => number))]
      const points = one.values.map(([when, number]) => [at * each + ((when - time.from) / (time.to - time.from)) * each, h - 2 - ((number - lowest) / (highest - lowest || 1)) * h * 0.3])
      made += `<path d="${area(points, [[points.at(-1)[0], h + 6], [points[0][0], h + 6]])}" fill="${filled ? '#FFF' : color}" fill-opacity="0.2"/>` + lineOf(along(bent(points)), filled ? '#FFF' : color, 'stroke-opacity="0.6"')
    }
    if (series.length > 1) made += text(at * each + each / 2, 8, one.name, { anchor: 'middle', size: 11 })
    return made + text(at * each + each / 2, h * 0.44 + size * 0.35, value, { size: short(size), fill: filled ? '#FFF' : color, anchor: 'middle', weight: 500 })
  }).join('')
}

function bargauge(panel, series, { w, h }) {
  const { unit, decimals, min = 0, max } = panel.fieldConfig.defaults
  const high = max ?? Math.max(...series.map(last))
  const room = Math.min(w * 0.35, Math.max(...series.map(({ name }) => wide(name))) + 12)
  const values = series.map((one) => format(last(one), unit, decimals))
  const side = Math.max(...values.map((value) => wide(value, 14))) + 10
  const each = Math.min(44, h / series.length)
  return series.map((one, at) => {
    const color = colored(last(one), panel, at)
    const share = Math.min(1, Math.max(0, (last(one) - min) / (high - min || 1)))
    const [y, width] = [at * each, w - room - side]
    return text(room - 8, y + each / 2 + 4, cut(one.name, room), { anchor: 'end' }) + box(room, y + 2, width, each - 5, '#22252B') +
      box(room, y + 2, width * share, each - 5, color, 'fill-opacity="0.6"') + text(w, y + each / 2 + 5, values[at], { fill: color, anchor: 'end', size: Math.min(14, Math.round(each * 0.6)) })
  }).join('')
}

function table(panel, series, { w, h }) {
  const { excludeByName: hidden, renameByName: called, indexByName: order } = panel.transformations[0].options
  const keys = [...new Set(series.flatMap(({ labels }) => Object.keys(labels))), 'Value'].filter((key) => !hidden[key]).sort((a, b) => (order[a] ?? 99) - (order[b] ?? 99))
  const heads = keys.map((key) => called[key] ?? key)
  const rows = series.map((one) => keys.map((key) => (key === 'Value' ? last(one) : one.labels[key] ?? '')))
  for (const { displayName, desc } of panel.options.sortBy ?? []) {
    const by = heads.indexOf(displayName)
    rows.sort((a, b) => (a[by] < b[by] ? -1 : a[by] > b[by] ? 1 : 0) * (desc ? -1 : 1))
  }
  const fixed = heads.map((head) => override(panel, head, 'custom.width'))
  const rest = (w - fixed.reduce((sum, one) => sum + (one ?? 0), 0)) / fixed.filter((one) => !one).length
  const starts = heads.map((_, at) => fixed.slice(0, at).reduce((sum, one) => sum + (one ?? rest), 0))
  const room = Math.floor(h / 28)
  const shown = (cell) => (typeof cell === 'number' ? format(cell, panel.fieldConfig.defaults.unit) : cell)
  return [heads, ...rows].slice(0, room).map((cells, row) => (row > 0 ? lineOf(`M0 ${row * 28}H${w}`, GRID) : '') +
    cells.map((cell, at) => text(starts[at] + 6, row * 28 + 18, cut(shown(cell), (fixed[at] ?? rest) - 8), row === 0 ? { fill: '#6E9FFF', weight: 500 } : {})).join('')).join('') + more(rows.length + 1 - room, w, h)
}

function stateTimeline(panel, series, { w, h, time, marks }) {
  const names = panel.fieldConfig.defaults.mappings[0].options
  const below = legend(Object.values(names).map(({ text: words, color }) => [words, COLORS[color]]), { w, h })
  const height = h - below.height - 24
  const left = Math.max(...series.map(({ name }) => wide(name))) + 10
  const x = (at) => left + ((at - time.from) / (time.to - time.from)) * (w - left)
  const each = height / series.length
  let made = timeAxis({ left, width: w - left, height, time, marks, x, grid: false })
  series.forEach(({ name, values }, row) => {
    made += text(left - 8, (row + 0.5) * each + 4, name, { anchor: 'end' })
    for (const run of runs(values, time.step)) {
      for (let from = 0, at = 1; at <= run.length; at += 1) {
        if (at < run.length && run[at][1] === run[from][1]) continue
        const [start, end] = [x(run[from][0]), x(Math.min(time.to, (run[at] ?? [run[at - 1][0] + time.step])[0]))]
        const { text: words, color } = names[run[from][1]] ?? { text: run[from][1], color: 'red' }
        made += box(start, row * each + each * 0.05, end - start, each * 0.9, COLORS[color], 'fill-opacity="0.7"')
        if (end - start > wide(words) + 8) made += text(start + 6, (row + 0.5) * each + 4, words, { fill: '#FFF' })
        from = at
      }
    }
  })
  return made + below.drawn
}

/** Buckets as rows. Prometheus counts each bucket together with all below it; what is shown is each alone. */
function heatmap(panel, series, { w, h, time, marks }) {
  const buckets = [...series].sort((a, b) => Number(a.name.replace('+Inf', 'Infinity')) - Number(b.name.replace('+Inf', 'Infinity')))
  const cells = buckets.map(({ values }, row) => {
    const lower = new Map(buckets[row - 1]?.values)
    return values.map(([at, value]) => [at, value - (lower.get(at) ?? 0)]).filter(([, value]) => value > 1e-9)
  })
  const { color, yAxis } = panel.options
  const palette = color.reverse ? [...SPECTRAL].reverse() : SPECTRAL
  const [height, left] = [h - 46, 64]
  const each = height / buckets.length
  const x = (at) => left + ((at - time.from) / (time.to - time.from)) * (w - left)
  const counts = cells.flat().map(([, value]) => value)
  const [least, most] = counts.length > 0 ? [Math.min(...counts), Math.max(...counts)] : [0, 0]
  const shade = (value) => palette[Math.round(((value - least) / (most - least || 1)) ** color.exponent * (palette.length - 1))]
  const every = Math.ceil(18 / each)
  let made = buckets.map(({ name }, row) => (row % every ? '' : text(left - 6, height - row * each, name === '+Inf' ? name : format(Number(name), yAxis.unit), { anchor: 'end', fill: FAINT, size: 11 }))).join('')
  const cell = ((w - left) * time.step) / (time.to - time.from)
  for (const [row, values] of cells.entries()) {
    for (const [at, value] of values) if (at > time.from) made += box(x(at) - cell + 0.5, height - (row + 1) * each + 0.5, cell - 1, each - 1, shade(value))
  }
  made += timeAxis({ left, width: w - left, height, time, marks, x, grid: false })
  palette.forEach((shaded, at) => (made += box(left + at * 18, h - 12, 18, 8, shaded)))
  return made + text(left - 6, h - 4, format(least, 'short'), { anchor: 'end', fill: FAINT, size: 11 }) + text(left + palette.length * 18 + 6, h - 4, format(most, 'short'), { fill: FAINT, size: 11 })
}

const DRAW = { timeseries, stat, bargauge, table, 'state-timeline': stateTimeline, heatmap }

// --- the page ---------------------------------------------------------------------------------------------------------

const column = (PAGE - 25 * GAP) / 24
const down = (rows) => rows * (CELL + GAP)

function panelAt(panel, y, series, around) {
  const { x: left, w, h } = panel.gridPos
  const [width, height] = [w * (column + GAP) - GAP, down(h) - GAP]
  const inside = { w: width - 2 * GAP, h: height - 42, ...around }
  const drawn = series.length === 0 ? noData(inside) : DRAW[panel.type](panel, series, inside)
  const title = text(10, 21, cut(panel.title, width - 16, 14), { size: 14, weight: 500, fill: panel.options.colorMode === 'background' ? '#FFF' : TEXT })
  return `<g transform="translate(${short(GAP + left * (column + GAP))} ${short(y)})">${box(0, 0, width, height, '#181B1F', 'stroke="#25272C" rx="2"')}` +
    (panel.type === 'stat' ? `<g transform="translate(${GAP} 34)">${drawn}</g>${title}` : `${title}<g transform="translate(${GAP} 34)">${drawn}</g>`) + '</g>\n'
}

/** A dashboard as an SVG: rows of panels, folded ones as a heading unless `open`. */
export function picture({ name, json, data, marks, time, open }) {
  let made = ''
  let pushed = 0
  let deepest = 0
  for (const panel of json.panels) {
    const y = HEAD + down(panel.gridPos.y + pushed)
    deepest = Math.max(deepest, panel.gridPos.y + pushed + panel.gridPos.h)
    if (panel.type !== 'row') {
      made += panelAt(panel, y, data.get(panel.id), { time, marks })
      continue
    }
    const folded = panel.collapsed && !open
    made += text(GAP + 4, y + 21, `${folded ? '›' : '⌄'}  ${panel.title}${folded ? `  (${panel.panels.length} panels)` : ''}`, { size: 16, weight: 500 })
    if (folded || !panel.collapsed) continue
    for (const inside of panel.panels) {
      made += panelAt(inside, HEAD + down(inside.gridPos.y + pushed), data.get(inside.id), { time, marks })
      deepest = Math.max(deepest, inside.gridPos.y + pushed + inside.gridPos.h)
    }
    pushed += Math.max(...panel.panels.map(({ gridPos }) => gridPos.y + gridPos.h)) - panel.gridPos.y - 1
  }
  const height = Math.ceil(HEAD + down(deepest) + 26)
  const day = (at) => new Date(at * 1000).toISOString().replace('T', ' ').slice(0, 19)
  const variables = json.templating.list.filter(({ type }) => type === 'query').map(({ label }) => `${label}: All`)
  const foot = `drawn by preview.mjs from deploy/grafana/${name}.json and a Prometheus that scraped a minute of load, a lost Redis and a drain; not Grafana itself`
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${PAGE}" height="${height}" viewBox="0 0 ${PAGE} ${height}" font-family="Inter, Helvetica, Arial, sans-serif">\n` +
    box(0, 0, PAGE, height, '#111217') + text(GAP + 4, 26, json.title, { size: 18, weight: 500 }) +
    text(PAGE - GAP - 4, 26, `${day(time.from)} to ${day(time.to).slice(11)} UTC`, { anchor: 'end', fill: FAINT }) +
    text(GAP + 4, 50, variables.join(' · '), { fill: FAINT }) + `\n${made}` + text(GAP + 4, height - 9, foot, { fill: FAINT }) + '\n</svg>\n'
}
