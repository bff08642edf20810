import fc from 'fast-check'
import { expect, test } from 'vitest'
import { formatPosition, isAfter, parsePosition } from '../src/position.js'

test('what is written as a position is read as the same', () => {
  fc.assert(
    fc.property(fc.stringMatching(/^[\w-]{1,32}$/), fc.nat(), (epoch, seq) => {
      expect(parsePosition(formatPosition({ epoch, seq }))).toEqual({ epoch, seq })
    }),
  )
})

test('what is no position is none', () => {
  for (const text of ['', ':', 'a:', ':1', 'a:-1', 'a:1:2', 'a b:1', undefined, null]) expect(parsePosition(text)).toBeNull()
})

test('an event comes after a position only beyond it, or in another epoch', () => {
  expect(isAfter(2, 'a', { seq: 1, epoch: 'a' })).toBe(true)
  expect(isAfter(1, 'a', { seq: 1, epoch: 'a' })).toBe(false)
  expect(isAfter(1, 'b', { seq: 9, epoch: 'a' })).toBe(true)
  expect(isAfter(1, 'b', null)).toBe(true)
})
