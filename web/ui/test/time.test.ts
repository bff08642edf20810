// How is a time written, beside the present?

import { expect, test } from 'vitest'
import { snoozeTimes } from '../src/item.js'
import { relative } from '../src/time.js'

const now = Date.parse('2026-11-29T15:00:00Z')
const at = (seconds: number, locale = 'en') => relative(new Date(now + seconds * 1000).toISOString(), now, locale)

test('seconds, minutes, hours, days, and then the date', () => {
  expect([at(-5), at(-60), at(-7199), at(-86_400), at(-3 * 86_400)]).toEqual([
    '5 sec. ago',
    '1 min. ago',
    '1 hr. ago',
    'yesterday',
    '3 days ago',
  ])
  expect(at(-8 * 86_400)).toBe('Nov 21, 2026')
  expect(at(-86_400, 'de')).toBe('gestern')
})

test('what came after the last look at the clock is now, and what is no time is nothing', () => {
  expect([at(0), at(20)]).toEqual(['now', 'now'])
  expect(relative('soon', now, 'en')).toBe('')
})

test('putting off: in an hour, tomorrow at eight, and the Monday after today', () => {
  for (const day of [23, 24, 25, 26, 27, 28, 29]) {
    const from = new Date(2026, 10, day, 17, 30)
    const { oneHour, tomorrow, nextWeek } = snoozeTimes(from)
    expect(oneHour.getTime() - from.getTime()).toBe(3_600_000)
    expect([tomorrow.getDate(), tomorrow.getHours()]).toEqual([new Date(2026, 10, day + 1).getDate(), 8])
    expect([nextWeek.getDay(), nextWeek.getHours(), nextWeek > from]).toEqual([1, 8, true])
    expect(nextWeek.getTime() - from.getTime()).toBeLessThan(7 * 86_400_000)
  }
})
