// How does a number move over time? Drawn by uPlot on a canvas, with the same numbers as text for who cannot see it.

import { useEffect, useId, useRef } from 'react'
import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { clock } from '../format.js'
import { scheme } from '../scheme.js'
import { useStore } from '../store.js'

export interface Series {
  readonly name: string
  readonly values: readonly (number | null)[]
}

/** Seconds that are shown. */
const SPAN = 300

interface ChartProps {
  readonly label: string
  /** Seconds since 1970. */
  readonly times: readonly number[]
  /** Up to three. */
  readonly series: readonly Series[]
  readonly format: (value: number) => string
  readonly height?: number
}

export default function Chart({ label, times, series, format, height = 168 }: ChartProps) {
  const place = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot>(null)
  const id = useId()
  const colours = useStore(scheme)
  const names = series.map((one) => one.name).join('|')
  const data = [times, ...series.map((one) => one.values)] as unknown as uPlot.AlignedData
  const latest = useRef(data)
  latest.current = data
  const write = useRef(format)
  write.current = format
  useEffect(() => {
    const box = place.current
    if (!box) return
    const make = () => {
      plot.current?.destroy()
      plot.current = draw(box, names.split('|'), latest.current, height, (value) => write.current(value))
    }
    make()
    const dark = matchMedia('(prefers-color-scheme: dark)')
    dark.addEventListener('change', make)
    const size = new ResizeObserver(() => plot.current?.setSize({ width: box.clientWidth, height }))
    size.observe(box)
    return () => {
      dark.removeEventListener('change', make)
      size.disconnect()
      plot.current?.destroy()
      plot.current = null
    }
  }, [names, height, colours])
  useEffect(() => plot.current?.setData(data))
  return (
    <figure aria-labelledby={id}>
      <figcaption id={id} className="legend">
        <span className="hidden">{label}: </span>
        {series.map((one, n) => {
          const value = one.values.findLast((value) => value !== null)
          return (
            <span key={one.name}>
              <i data-series={n + 1} />
              {one.name} {value === undefined || value === null ? '–' : format(value)}
            </span>
          )
        })}
      </figcaption>
      <div ref={place} className="chart" aria-hidden="true" />
    </figure>
  )
}

function draw(
  box: HTMLElement,
  names: readonly string[],
  data: uPlot.AlignedData,
  height: number,
  format: (value: number) => string,
): uPlot {
  const style = getComputedStyle(document.body)
  const colour = (name: string) => style.getPropertyValue(name).trim()
  const font = `11px ${style.fontFamily}`
  const axis = {
    stroke: colour('--crln-muted'),
    font,
    grid: { stroke: colour('--line'), width: 1 },
    ticks: { show: false },
  }
  return new uPlot(
    {
      width: box.clientWidth || 300,
      height,
      padding: [8, 4, 0, 0],
      legend: { show: false },
      cursor: { y: false, points: { size: 6 } },
      scales: {
        // What is not known yet stays empty at the left, so that the line moves and the axis does not.
        x: { range: (_, __, last) => [last - SPAN, last] },
        y: { range: (_, __, most) => [0, Math.max(4, most * 1.15)] },
      },
      axes: [
        {
          ...axis,
          size: 24,
          grid: { show: false },
          values: (_, ticks) => ticks.map((at) => clock(at * 1000, { millis: false })),
        },
        { ...axis, size: 46, values: (_, ticks) => ticks.map(format) },
      ],
      series: [
        {},
        ...names.map((label, n) => ({
          label,
          stroke: colour(`--series-${n + 1}`),
          width: 1.6,
          points: { show: false },
          fill: n === 0 && names.length === 1 ? `${colour('--series-1')}1c` : undefined,
          spanGaps: false,
        })),
      ] as uPlot.Series[],
    },
    data,
    box,
  )
}
