// Does the sequence checker see every kind of fault, and no fault where there is none?

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'

// k6 wants its modules as .js without a package.json beside them; Node then takes them for CommonJS. So by their text.
const text = readFileSync(new URL('./carillon/sequence.js', import.meta.url), 'utf8')
const { Sequence } = await import(`data:text/javascript,${encodeURIComponent(text)}`)

function read(cursor, ...seqs) {
  const sequence = new Sequence(cursor)
  for (const seq of seqs) sequence.take(seq)
  return [sequence.cursor, sequence.events, sequence.gaps, sequence.repeats]
}

test('numbers that ascend one by one are right', () => {
  assert.deepEqual(read(0, 1, 2, 3), [3, 3, 0, 0])
  assert.deepEqual(read(41, 42), [42, 1, 0, 0])
})

test('a jump counts every number that is missing', () => {
  assert.deepEqual(read(0, 1, 4), [4, 2, 2, 0])
  assert.deepEqual(read(10, 12), [12, 1, 1, 0])
})

test('a number again, or an older one, is a repeat and moves nothing', () => {
  assert.deepEqual(read(0, 1, 2, 2), [2, 3, 0, 1])
  assert.deepEqual(read(0, 1, 3, 2), [3, 3, 1, 1])
})

test('a cursor the server tells beyond ours is a gap, once', () => {
  const sequence = new Sequence(5)
  sequence.told(5)
  assert.equal(sequence.gaps, 0)
  sequence.told(7)
  sequence.told(7)
  assert.deepEqual([sequence.gaps, sequence.cursor], [2, 7])
})

test('after a reset the numbers go on from there', () => {
  const sequence = new Sequence(90)
  sequence.reset(3)
  sequence.take(4)
  assert.deepEqual([sequence.gaps, sequence.repeats, sequence.cursor], [0, 0, 4])
})

test('who is at the head or beyond misses nothing', () => {
  assert.equal(new Sequence(7).behind(9), 2)
  assert.equal(new Sequence(9).behind(9), 0)
  assert.equal(new Sequence(10).behind(9), 0)
})
