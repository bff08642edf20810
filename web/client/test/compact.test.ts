// Is what the library makes of compact frames what everybody else gets?

import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { compactWebSocket, plainFrames, UnknownNameError } from '../src/compact.js'

const lines = readFileSync(new URL('../../../protocol/assets/compact-frames.txt', import.meta.url), 'utf8')
  .trim()
  .split('\n')

test('compact frames become the plain ones that the gateway writes for others', () => {
  const plain = plainFrames()
  expect(lines.length).toBe(12)
  for (let at = 0; at < lines.length; at += 2) {
    const frame = plain(JSON.parse(lines[at]!))
    expect(frame).toEqual(JSON.parse(lines[at + 1]!))
    // Members stand in the order of the log, for who writes them out again.
    expect(Object.keys(frame.event)).toEqual(Object.keys(JSON.parse(lines[at + 1]!).event))
    expect(plain(frame)).toBe(frame)
  }
})

test('names are those of one connection', () => {
  const [one, other] = [plainFrames(), plainFrames()]
  one(JSON.parse(lines[0]!))
  const frame = other({ n: { 0: ['a', 'b'], 1: 'c' }, s: 1, k: [0, 1], i: 'i', w: 'w' } as never)
  expect(frame).toEqual({
    type: 'event',
    seq: 1,
    channels: ['c'],
    event: { specversion: '1.0', id: 'i', source: 'b', type: 'a', time: 'w' },
  })
  expect(one(JSON.parse(lines[2]!)).event.type).toBe('order.paid')
})

test('every moment is written as the log has it', () => {
  const plain = plainFrames()
  for (const [w, time] of [
    [0, '1970-01-01T00:00:00Z'],
    [1, '1970-01-01T00:00:00.000001Z'],
    [1_709_251_199_100_000, '2024-02-29T23:59:59.1Z'],
    [1_700_000_010_000_000, '2023-11-14T22:13:30Z'],
  ])
    expect(plain({ s: 1, k: [['a', 'b'], 'c'], i: 'i', w } as never).event.time).toBe(time)
})

test('a WebSocket that asks for the compact form hands on plain frames, those of the other form untouched', () => {
  const heard: string[] = []
  let socket!: Base
  class Base {
    #listener: ((event: { data: string }) => void) | null = null
    constructor(
      readonly url: string,
      readonly protocols: string[],
    ) {
      socket = this
    }
    // As platforms have it: on the prototype.
    get onmessage() {
      return this.#listener
    }
    set onmessage(listener) {
      this.#listener = listener
    }
  }
  const Compact = compactWebSocket(Base as never)
  const made = new Compact('wss://example.com/v1/ws', 'carillon.v1')
  made.onmessage = ({ data }) => heard.push(data)
  expect(socket.protocols).toEqual(['carillon.v1.compact', 'carillon.v1'])
  const heartbeat = '{"type":"heartbeat","seq":7}'
  for (const data of [lines[0]!, heartbeat, lines[2]!]) socket.onmessage?.({ data })
  expect(heard.map((text) => JSON.parse(text))).toEqual([lines[1]!, heartbeat, lines[3]!].map((text) => JSON.parse(text)))
  expect(heard[1]).toBe(heartbeat)
  made.onmessage = null
  expect(made.onmessage).toBe(null)
})

test('an unknown name ends the connection, and nothing after it is handed on', () => {
  const heard: string[] = []
  const closed: unknown[] = []
  let socket!: Base
  class Base {
    #listener: ((event: { data: string }) => void) | null = null
    constructor() {
      socket = this
    }
    get onmessage() {
      return this.#listener
    }
    set onmessage(listener) {
      this.#listener = listener
    }
    close(code: number, reason: string) {
      closed.push(code, reason)
    }
  }
  const Compact = compactWebSocket(Base as never)
  const made = new Compact('wss://example.com/v1/ws')
  made.onmessage = ({ data }) => heard.push(data)
  socket.onmessage?.({ data: lines[0]! })
  // Another listener reads on with the names that are known.
  made.onmessage = ({ data }) => heard.push(data)
  socket.onmessage?.({ data: lines[2]! })
  expect(heard.map((text) => JSON.parse(text))).toEqual([lines[1]!, lines[3]!].map((text) => JSON.parse(text)))
  const unknown = '{"s":13,"k":[9,1],"i":"a","w":0}'
  expect(() => plainFrames()(JSON.parse(unknown))).toThrow(UnknownNameError)
  socket.onmessage?.({ data: unknown })
  socket.onmessage?.({ data: lines[2]! })
  expect([heard.length, closed]).toEqual([2, [4000, 'unknown name in a compact frame']])
})
