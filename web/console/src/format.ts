// How are numbers and times written?

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const short = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 })

/** `12,345`; a dash for what is not known. */
export const number = (value: number | null | undefined) => (value === null || value === undefined ? '–' : whole.format(value))

/** `12.3K` */
export const compact = (value: number | null | undefined) =>
  value === null || value === undefined ? '–' : value < 10_000 ? whole.format(value) : short.format(value)

/** A rate: `0.4`, `12`, `1.2K`. */
export function rate(value: number | null | undefined): string {
  if (value === null || value === undefined) return '–'
  return value > 0 && value < 10 ? value.toFixed(1) : compact(value)
}

export const percent = (part: number, of: number) => (of === 0 ? '–' : `${((part / of) * 100).toFixed(part === of ? 0 : 1)} %`)

/** `3.1 ms`, `1.2 s` */
export function milliseconds(value: number | null | undefined): string {
  if (value === null || value === undefined) return '–'
  return value < 10 ? `${value.toFixed(1)} ms` : value < 1000 ? `${whole.format(value)} ms` : `${(value / 1000).toFixed(1)} s`
}

export function bytes(value: number): string {
  return value < 1024
    ? `${value} B`
    : value < 1_048_576
      ? `${(value / 1024).toFixed(1)} KiB`
      : `${(value / 1_048_576).toFixed(1)} MiB`
}

const two = (n: number, digits = 2) => `${n}`.padStart(digits, '0')

/** `14:03:07.123` in the zone of who looks. */
export function clock(time: string | number | Date, { millis = true } = {}): string {
  const at = new Date(time)
  if (Number.isNaN(at.getTime())) return '–'
  const text = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`
  return millis ? `${text}.${two(at.getMilliseconds(), 3)}` : text
}

/** `2026-11-29 14:03:07` in the zone of who looks. */
export function dateTime(time: string | number | Date | null | undefined): string {
  if (time === null || time === undefined) return '–'
  const at = new Date(time)
  if (Number.isNaN(at.getTime())) return '–'
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${clock(at, { millis: false })}`
}

/** `3 min ago`, `in 2 h` */
export function ago(time: string | number | Date, now = Date.now()): string {
  const seconds = Math.round((now - new Date(time).getTime()) / 1000)
  const size = Math.abs(seconds)
  const text =
    size < 60
      ? `${size} s`
      : size < 3600
        ? `${Math.round(size / 60)} min`
        : size < 172_800
          ? `${Math.round(size / 3600)} h`
          : `${Math.round(size / 86_400)} d`
  return seconds >= 0 ? `${text} ago` : `in ${text}`
}
