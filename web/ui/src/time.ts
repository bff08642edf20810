// How is a time written?

import { useEffect, useState } from 'react'

const steps: [Intl.RelativeTimeFormatUnit, number][] = [
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
  ['second', 1],
]

/** "5 minutes ago"; after a week the date. What is newer than the last look at the clock is "now". */
export function relative(time: string, now: number, locale: string): string {
  const seconds = Math.min(0, Date.parse(time) - now) / 1000
  if (Number.isNaN(seconds)) return ''
  if (Math.abs(seconds) > 7 * 86_400) return new Date(time).toLocaleDateString(locale, { dateStyle: 'medium' })
  const [unit, size] = steps.find(([, size]) => Math.abs(seconds) >= size) ?? ['second', 1]
  return new Intl.RelativeTimeFormat(locale, { numeric: 'auto', style: 'short' }).format(Math.trunc(seconds / size), unit)
}

/** The whole of it: "29 November 2026 at 16:00". */
export function whole(time: string, locale: string): string {
  return Number.isNaN(Date.parse(time)) ? '' : new Date(time).toLocaleString(locale, { dateStyle: 'long', timeStyle: 'short' })
}

/** The time of day, with the day if it is another. */
export function clock(time: string, locale: string): string {
  const date = new Date(time)
  const isToday = date.toDateString() === new Date().toDateString()
  return date.toLocaleString(locale, isToday ? { timeStyle: 'short' } : { dateStyle: 'medium', timeStyle: 'short' })
}

/** The present, renewed every `ms`; null on servers and at first, so that both render the same. */
export function useNow(ms: number): number | null {
  const [now, setNow] = useState<number | null>(null)
  useEffect(() => {
    setNow(Date.now())
    const timer = setInterval(() => setNow(Date.now()), ms)
    return () => clearInterval(timer)
  }, [ms])
  return now
}

/** The text for a live region: a newer one at most every `ms`, so that a screen reader is not talked over. */
export function useAnnounced(text: string, ms = 10_000): string {
  const [said, setSaid] = useState({ text: '', at: 0 })
  useEffect(() => {
    if (text === said.text) return
    const timer = setTimeout(() => setSaid({ text, at: Date.now() }), Math.max(0, said.at + ms - Date.now()))
    return () => clearTimeout(timer)
  }, [text, said, ms])
  return said.text
}
