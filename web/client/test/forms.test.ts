import { afterEach, expect, test, vi } from 'vitest'
import { listen } from '../src/fallback.js'
import type { Ended } from '../src/machine.js'
import type { Frame, Hello } from '../src/transport.js'
import { tokenOf } from './fake-server.js'

afterEach(() => vi.unstubAllGlobals())

const hello = (channels: number): Hello => ({
  token: tokenOf('anna'),
  channels: Array.from({ length: channels }, (_, n) => `order:${'0'.repeat(32)}-${n}`),
  cursor: null,
})

const problem = (status: number, code: string) => Response.json({ code, detail: code }, { status })

/** A gateway from before forms, which has room for a URL of so many bytes: what it was asked, and how it ended. */
async function older(transport: 'sse' | 'poll', channels: number, room: number) {
  const asked: string[] = []
  const frames: Frame[] = []
  vi.stubGlobal('fetch', async (url: string, init: RequestInit) => {
    const method = init.method ?? 'GET'
    asked.push(method)
    if (method !== 'GET') return problem(405, 'method_not_allowed')
    if (url.length > room) return problem(431, 'head_too_large')
    if (asked.filter((one) => one === 'GET').length > 2) return problem(403, 'forbidden')
    return transport === 'poll'
      ? Response.json({ events: [], seq: 1, epoch: 'e' })
      : new Response('data:{"type":"heartbeat","seq":1,"epoch":"e"}\n\n')
  })
  const ended = await new Promise<Ended>((ended) =>
    listen(transport, 'http://localhost', hello(channels), { frame: (frame) => frames.push(frame), ended }),
  )
  return { asked, frames: frames.map(({ type }) => type), ended }
}

test('a gateway from before forms is asked with a URL, once it has said so', async () => {
  const stream = await older('sse', 300, 32 * 1024)
  expect(stream).toMatchObject({ asked: ['POST', 'GET'], frames: ['heartbeat'], ended: { code: 'stream_ended' } })
  const polls = await older('poll', 300, 32 * 1024)
  expect(polls.asked).toEqual(['POST', 'GET', 'GET', 'GET'])
  expect(polls.frames).toEqual(['welcome', 'heartbeat', 'heartbeat'])
  expect(polls.ended).toMatchObject({ outcome: 'final', code: 'forbidden' })
})

test('what its URL has no room for ends with the name of that', async () => {
  for (const transport of ['sse', 'poll'] as const) {
    const { asked, ended } = await older(transport, 998, 32 * 1024)
    expect([asked, ended.outcome, ended.code]).toEqual([['POST', 'GET'], 'final', 'head_too_large'])
  }
})
