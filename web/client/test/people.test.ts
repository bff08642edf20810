// Is it known who is in a channel when the code for it could not be loaded at first?

import { afterEach, expect, test, vi } from 'vitest'
import { until } from '../../testing/stack.js'
import { FakeServer } from './fake-server.js'

let failures = 0
vi.mock('../src/people.js', async (original) => {
  const code = await original<typeof import('../src/people.js')>()
  return {
    createPeople(...given: Parameters<typeof code.createPeople>) {
      if (failures-- > 0) throw new TypeError('Failed to fetch dynamically imported module')
      return code.createPeople(...given)
    },
  }
})
const server = new FakeServer()
afterEach(() => server.close())

test('a list whose code comes late is asked for, and right', async () => {
  failures = 1
  const mila = { user: 'mila', since: 1 }
  server.answer = ({ type, id, presence }) =>
    type === 'subscribe' && presence
      ? { type: 'ok', channels: ['a'], seq: 1, epoch: 'e', presence: { a: { count: 1, members: [mila] } } }
      : type === 'presence'
        ? { type: 'presence', id, presence: { a: { count: 2, members: [mila, { user: 'omar', since: 2 }] } } }
        : undefined
  const client = server.client()
  const { presence } = client.channel('a')
  presence.on(() => {})
  await until('the list is told, and its code is not there', () => failures < 1 && !!server.sent('subscribe').at(-1)?.presence)
  expect(server.sent('subscribe').at(-1)!.presence).toBe(true)
  expect(presence.snapshot.members).toEqual([])
  server.sockets[0]!.tell({ type: 'presence', channel: 'a', joined: [{ user: 'omar', since: 2 }], count: 2 })
  await until('the code is there', () => presence.snapshot.count > 0)
  expect(presence.snapshot).toMatchObject({ count: 2, stale: false, error: null })
  expect(presence.snapshot.members.map(({ user }) => user)).toEqual(['mila', 'omar'])
  server.sockets[0]!.tell({ type: 'presence', channel: 'a', left: ['mila'], count: 1 })
  expect(presence.snapshot.members.map(({ user }) => user)).toEqual(['omar'])
})
